"""The variables of a model as nested dicts by path, for checkpoint libraries."""

from typing import Any

_FORMATS = ("backend_tensor", "numpy_array")


def _groups(model: Any) -> dict[str, list]:
    optimizer = model.optimizer
    return {
        "trainable_variables": model.trainable_variables,
        "non_trainable_variables": model.non_trainable_variables,
        "optimizer_variables": [] if optimizer is None else list(optimizer.variables),
        "metrics_variables": model.metrics_variables,
    }


def get_state_tree(model: Any, value_format: str = "backend_tensor") -> dict[str, dict]:
    """Return the values of all variables of `model`, nested by the parts of their paths."""
    if value_format not in _FORMATS:
        raise ValueError(f"get_state_tree: value_format must be one of {_FORMATS}, got {value_format!r}.")
    found: dict[str, dict] = {}
    for group, variables in _groups(model).items():
        found[group] = {}
        for variable in variables:
            *folders, name = variable.path.split("/")
            place = found[group]
            for folder in folders:
                place = place.setdefault(folder, {})
            if name in place:
                raise ValueError(
                    f"The following variable path is found twice in the model: {variable.path!r}. Paths must be unique: give "
                    "layers and variables different names."
                )
            place[name] = variable.numpy() if value_format == "numpy_array" else variable.value
    return found


def set_state_tree(model: Any, state_tree: dict[str, Any]) -> None:
    """Assign values nested like those of `get_state_tree`; variables that are not named keep theirs."""
    groups = _groups(model)
    unknown = sorted(set(state_tree) - set(groups))
    if unknown:
        raise ValueError(f"set_state_tree: unknown groups {unknown}. Expected {sorted(groups)}.")
    for group, nested in state_tree.items():
        values = dict(_flat(nested, ""))
        for variable in groups[group]:
            if variable.path in values:
                variable.assign(values[variable.path])


def _flat(nested: dict, path: str):
    for name, value in nested.items():
        inner = f"{path}/{name}" if path else name
        if isinstance(value, dict):
            yield from _flat(value, inner)
        else:
            yield inner, value
