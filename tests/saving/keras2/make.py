"""Make the files in this folder: run with Keras 2 (`tf_keras` 2.21 on TensorFlow 2.21) in the folder."""

import numpy as np
import tf_keras as keras

L = keras.layers


def branched():
    x, y = keras.Input((4,), name="x"), keras.Input((5, 4), name="y")
    shared = L.Dense(3, name="shared", kernel_regularizer="l2")
    a = shared(x)
    b = L.BatchNormalization(name="bn")(L.Dense(4, activation="relu")(a))
    inner = keras.Sequential([L.Dense(2, name="in1", input_shape=(4,)), L.Dropout(0.1), L.Dense(2)], name="inner")(b)
    recurrent = L.GRU(3, return_state=True, name="g")(y, initial_state=a)
    c = L.Concatenate()([inner, recurrent[0], L.Bidirectional(L.LSTM(3), name="bi")(y)])
    outputs = [L.LeakyReLU(0.2)(c), shared(L.Dense(4)(inner)), L.MultiHeadAttention(2, 3)(y, y)]
    model = keras.Model([x, y], outputs, name="mm")
    metrics = [["mae"], ["mae"], [keras.metrics.MeanSquaredError()]]
    model.compile(keras.optimizers.Adam(0.01), loss=["mse", "mae", keras.losses.Huber(0.5)], metrics=metrics)
    return model


def stacked():
    model = keras.Sequential(
        [L.Conv2D(4, 3, input_shape=(8, 8, 3), padding="same"), L.MaxPooling2D(), L.SeparableConv2D(5, 3),
         L.PReLU(shared_axes=[1, 2]), L.DepthwiseConv2D(2), L.Conv2DTranspose(3, 2), L.UpSampling2D(), L.ZeroPadding2D(1),
         L.Cropping2D(1), L.SpatialDropout2D(0.2), L.LayerNormalization(), L.Flatten(), L.Reshape((-1, 3)),
         L.TimeDistributed(L.Dense(4)), L.SimpleRNN(4, return_sequences=True), L.Conv1D(3, 2), L.GlobalAveragePooling1D(),
         L.RepeatVector(3), L.Permute((2, 1)), L.Masking(), L.LSTM(4), L.ELU(), L.Softmax(), L.GaussianNoise(0.1),
         L.ActivityRegularization(0.1), L.Dense(2, activation="softmax")]
    )  # fmt: skip
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    return model


def main():
    x = [np.random.default_rng(0).normal(size=(8, 4)).astype("float32"),
         np.random.default_rng(1).normal(size=(8, 5, 4)).astype("float32")]  # fmt: skip
    model = branched()
    model.fit(x, [np.ones((8, 11)), np.ones((8, 3)), np.ones((8, 5, 4))], verbose=0, epochs=2)
    model.save("k2m.h5")
    model.save_weights("k2w.h5")
    with open("k2m.json", "w") as file:
        file.write(model.to_json())
    np.savez("k2m.npz", *model.predict(x, verbose=0), *[v.numpy() for v in model.optimizer.variables])
    model = stacked()
    x = np.random.default_rng(2).normal(size=(4, 8, 8, 3)).astype("float32")
    model.fit(x, np.eye(2)[[0, 1, 0, 1]], verbose=0)
    model.save("k2s.h5")
    np.savez("k2s.npz", model.predict(x, verbose=0))


if __name__ == "__main__":
    main()
