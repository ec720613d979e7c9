"""Small data sets, downloaded once and kept in `~/.keras/datasets`."""

from multikeras.datasets import boston_housing as boston_housing
from multikeras.datasets import california_housing as california_housing
from multikeras.datasets import cifar10 as cifar10
from multikeras.datasets import cifar100 as cifar100
from multikeras.datasets import fashion_mnist as fashion_mnist
from multikeras.datasets import imdb as imdb
from multikeras.datasets import mnist as mnist
from multikeras.datasets import reuters as reuters
