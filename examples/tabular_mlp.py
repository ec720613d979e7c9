"""A network on a table: is a breast tumour malignant? 569 patients, 30 measurements, from scikit-learn.

multikeras examples/tabular_mlp.py
"""

import keras
from keras import layers
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

x, y = load_breast_cancer(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
mean, deviation = x_train.mean(axis=0), x_train.std(axis=0)
x_train, x_test = ((part - mean) / deviation for part in (x_train, x_test))

measurements = keras.Input((30,), name="measurements")
hidden = layers.Dense(32, activation="relu", kernel_regularizer="l2")(measurements)
hidden = layers.BatchNormalization()(hidden)
hidden = layers.Dropout(0.2)(hidden)
hidden = layers.Dense(16, activation="relu")(hidden)
benign = layers.Dense(1, activation="sigmoid", name="benign")(hidden)
model = keras.Model(measurements, benign)

model.compile(
    optimizer=keras.optimizers.AdamW(5e-3),
    loss="binary_crossentropy",
    metrics=["accuracy", keras.metrics.AUC(name="auc")],
)
stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=8, restore_best_weights=True)
model.fit(x_train, y_train, batch_size=32, epochs=40, validation_split=0.2, callbacks=[stop], verbose=2)

found = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
print(", ".join(f"test {name} {value:.4f}" for name, value in found.items()))
print("first five patients:", model.predict(x_test[:5], verbose=0).round(3).ravel().tolist())
