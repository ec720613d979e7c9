"""Names of `keras.optimizers` in Keras 2."""
