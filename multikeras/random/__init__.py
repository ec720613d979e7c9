"""Random tensors, reproducible by seed."""

from multikeras.random import host as host
from multikeras.random.distributions import beta as beta
from multikeras.random.distributions import binomial as binomial
from multikeras.random.distributions import categorical as categorical
from multikeras.random.distributions import dropout as dropout
from multikeras.random.distributions import gamma as gamma
from multikeras.random.distributions import normal as normal
from multikeras.random.distributions import randint as randint
from multikeras.random.distributions import shuffle as shuffle
from multikeras.random.distributions import truncated_normal as truncated_normal
from multikeras.random.distributions import uniform as uniform
from multikeras.random.seed_generator import SeedGenerator as SeedGenerator
