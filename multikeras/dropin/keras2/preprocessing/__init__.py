"""`keras.preprocessing` in Keras 2: images, sequences and texts turned into arrays."""
