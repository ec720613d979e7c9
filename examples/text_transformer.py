"""A small transformer that learns to write like Python's reference manual, one character after the other.

The text is the help that comes with every Python (`pydoc_data.topics`).

    multikeras examples/text_transformer.py
"""

from pydoc_data.topics import topics

import keras
import numpy as np
from keras import layers, ops

CONTEXT, WIDTH, HEADS, BLOCKS = 48, 64, 4, 2

text = "\n".join(topics[name] for name in sorted(topics))[:120_000]
characters = sorted(set(text))
number = {c: i for i, c in enumerate(characters)}
data = np.array([number[c] for c in text], "int32")
pieces = data[: len(data) // (CONTEXT + 1) * (CONTEXT + 1)].reshape(-1, CONTEXT + 1)
pieces = pieces[np.random.default_rng(0).permutation(len(pieces))]
x, y = pieces[:, :-1], pieces[:, 1:]
held_out = len(x) // 10


class CharactersAndPositions(layers.Layer):
    """Embeds each character and the place it stands at."""

    def __init__(self, size, width, **kwargs):
        super().__init__(**kwargs)
        self.size, self.width = size, width
        self.characters = layers.Embedding(size, width)
        self.positions = layers.Embedding(CONTEXT, width)

    def call(self, x):
        return self.characters(x) + self.positions(ops.arange(x.shape[1]))

    def get_config(self):
        return {**super().get_config(), "size": self.size, "width": self.width}


inputs = keras.Input((CONTEXT,), dtype="int32")
h = CharactersAndPositions(len(characters), WIDTH)(inputs)
for _ in range(BLOCKS):
    attended = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(
        *[layers.LayerNormalization()(h)] * 2, use_causal_mask=True
    )
    h = layers.Add()([h, attended])
    widened = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(h))
    h = layers.Add()([h, layers.Dense(WIDTH)(widened)])
outputs = layers.Dense(len(characters))(layers.LayerNormalization()(h))
model = keras.Model(inputs, outputs)

model.compile(
    optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, 420)),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(x[held_out:], y[held_out:], batch_size=32, epochs=6, verbose=2)

loss, accuracy = model.evaluate(x[:held_out], y[:held_out], batch_size=64, verbose=0)
print(f"held-out text: {loss / np.log(2):.3f} bits a character, accuracy {accuracy:.4f}")

written = [number[c] for c in "The following statement is an example of the use"[:CONTEXT]]
for _ in range(60):
    logits = model.predict_on_batch(np.array([written[-CONTEXT:]]))
    written.append(int(np.argmax(logits[0, -1])))
print("".join(characters[i] for i in written))
