"""A look at class numbers before they are trained on: on a device a wrong one would be a wrong number, or the end."""

from typing import Any, NamedTuple

import numpy as np

from multikeras.backend import current
from multikeras.losses.loss import LossFunctionWrapper
from multikeras.losses.probabilistic import sparse_categorical_crossentropy


class Limit(NamedTuple):
    """What the labels of one output must be."""

    name: str
    path: tuple
    classes: int
    ignored: int | None


def limits_of(parts: Any, output_at: Any) -> list[Limit]:
    """Return the limits of the labels of every loss that takes class numbers; `output_at(path)` is the output."""
    found = []
    for part in parts:
        if isinstance(part.loss, LossFunctionWrapper) and part.loss.fn is sparse_categorical_crossentropy:
            options = part.loss._fn_kwargs
            classes = output_at(part.path).shape[options.get("axis", -1)]
            if classes is not None:
                found.append(Limit(part.name, part.path, classes, options.get("ignore_class")))
    return found


def check(limit: Limit, labels: Any) -> None:
    """Refuse labels beyond the classes of an output."""
    labels = current.to_numpy(labels) if current.is_tensor(labels) else np.asarray(labels)
    if labels.size == 0 or (labels.min() >= 0 and labels.max() < limit.classes):
        return
    wrong = labels[~((labels >= 0) & (labels < limit.classes))]
    wrong = wrong if limit.ignored is None else wrong[wrong != limit.ignored]
    if wrong.size:
        raise ValueError(
            f"y holds the label {wrong.flat[0]} for the output {limit.name!r}, which has {limit.classes} classes: labels are 0 "
            f"to {limit.classes - 1}. To leave rows out give them that label as ignore_class= of SparseCategoricalCrossentropy."
        )
