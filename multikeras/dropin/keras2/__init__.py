"""The names of Keras 2 that `tf.keras` still offers and old programs use; each module stands over the public one.

`keras2/backend.py` is served as `keras.backend`, `keras2/losses.py` as `keras.losses` and so on, before the names of the
multikeras module of the same path.
"""


def version() -> str:
    """Return the version of Keras whose interface is served.

    >>> version().split(".")[0]
    '3'
    """
    return "3.15.1"
