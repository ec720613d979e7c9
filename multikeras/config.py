"""Settings of the process: number formats, image layout, backend, limits for foreign scripts.

Each setting starts from the environment, then `~/.multikeras/multikeras.json`
(or the folder named by `MULTIKERAS_HOME`), then the default.

>>> from multikeras import config
>>> config.floatx()
'float32'
"""

import json
import os
import threading
from pathlib import Path
from typing import Any

__all__ = [
    "backend", "disable_flash_attention", "disable_interactive_logging", "disable_traceback_filtering",
    "dtype_policy", "enable_flash_attention", "enable_interactive_logging", "enable_traceback_filtering",
    "enable_unsafe_deserialization", "epsilon", "fast_dev_run", "floatx", "image_data_format", "is_flash_attention_enabled",
    "is_interactive_logging_enabled", "is_nnx_enabled", "is_traceback_filtering_enabled", "max_epochs",
    "max_steps_per_epoch", "overfit_batches", "set_backend", "set_dtype_policy", "set_epsilon", "set_fast_dev_run",
    "set_floatx", "set_image_data_format", "set_max_epochs", "set_max_steps_per_epoch", "set_overfit_batches", "set_random",
]  # fmt: skip

_FLOATS = ("bfloat16", "float16", "float32", "float64")
LAYOUTS = ("channels_last", "channels_first")


def home() -> Path:
    """Return the folder of settings and caches."""
    return Path(os.environ.get("MULTIKERAS_HOME", "~/.multikeras")).expanduser()


def _from_file() -> dict[str, Any]:
    path = home() / "multikeras.json"
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Correct the file or delete it.") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} must hold one JSON object, it holds a {type(settings).__name__}.")
    return settings


file_settings = _from_file()


def _limit(name: str) -> int | None:
    value = os.environ.get(f"MULTIKERAS_{name}", os.environ.get(f"KERAS_{name}"))
    return int(value) if value else None


def _one_of(argument: str, value: Any, valid: tuple[str, ...]) -> str:
    if value not in valid:
        raise ValueError(f"{argument}={value!r} is unknown. Expected one of {', '.join(valid)}.")
    return value


class _Settings:
    floatx = _one_of("floatx", file_settings.get("floatx", "float32"), _FLOATS)
    epsilon = float(file_settings.get("epsilon", 1e-7))
    image_data_format = _one_of(
        "image_data_format", file_settings.get("image_data_format", "channels_last"), LAYOUTS
    )
    random = _one_of("MULTIKERAS_RANDOM", os.environ.get("MULTIKERAS_RANDOM", "native"), ("native", "portable"))
    flash_attention: bool | None = None
    interactive_logging = True
    traceback_filtering = True
    unsafe_deserialization = False
    max_epochs = _limit("MAX_EPOCHS")
    max_steps_per_epoch = _limit("MAX_STEPS_PER_EPOCH")
    fast_dev_run = _limit("FAST_DEV_RUN")
    overfit_batches = _limit("OVERFIT_BATCHES")
    dtype_policy: Any = None


_settings = _Settings()
_thread = threading.local()


def floatx() -> str:
    """Return the dtype of new weights and of converted Python floats."""
    return _settings.floatx


def set_floatx(value: str) -> None:
    """Set the dtype of new weights: bfloat16, float16, float32 or float64."""
    _settings.floatx = _one_of("floatx", value, _FLOATS)


def epsilon() -> float:
    """Return the small number that keeps divisions and logarithms finite."""
    return _settings.epsilon


def set_epsilon(value: float) -> None:
    """Set the small number that keeps divisions and logarithms finite."""
    _settings.epsilon = value


def image_data_format() -> str:
    """Return the layout of image tensors when a layer is told none."""
    return _settings.image_data_format


def set_image_data_format(data_format: str) -> None:
    """Set the default layout: `"channels_last"` or `"channels_first"`."""
    _settings.image_data_format = _one_of("data_format", data_format, LAYOUTS)


def standardize_data_format(data_format: str | None) -> str:
    """Return `data_format` checked, the default for None."""
    if data_format is None:
        return _settings.image_data_format
    return _one_of("data_format", str(data_format).lower(), LAYOUTS)


def random_mode() -> str:
    """Return `"native"` or `"portable"`: where random operations other than initializers draw from."""
    return _settings.random


def set_random(mode: str) -> None:
    """Choose the framework's generator (`"native"`) or the stream that is equal on all (`"portable"`)."""
    _settings.random = _one_of("mode", mode, ("native", "portable"))


def max_epochs() -> int | None:
    """Return the cap on the epochs of any `fit`, None for no cap."""
    return 1 if _settings.fast_dev_run else _settings.max_epochs


def set_max_epochs(max_epochs: int | None) -> None:
    """Cap the epochs of any `fit`."""
    _settings.max_epochs = max_epochs


def max_steps_per_epoch() -> int | None:
    """Return the cap on the steps of any epoch, None for no cap."""
    return _settings.fast_dev_run or _settings.max_steps_per_epoch


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Cap the steps of any epoch of `fit`, `evaluate` and `predict`."""
    _settings.max_steps_per_epoch = max_steps_per_epoch


def fast_dev_run() -> int | None:
    """Return the batches that a trial run of a program takes of everything, None for a real run."""
    return _settings.fast_dev_run


def set_fast_dev_run(batches: int | None) -> None:
    """Try a program out: one epoch of so many batches, so many of evaluation, and no callback that writes files.

    The environment variable `MULTIKERAS_FAST_DEV_RUN=1` does it for a program as it is.
    """
    _settings.fast_dev_run = batches


def overfit_batches() -> int | None:
    """Return the number of batches that every `fit` is held to, None for all."""
    return _settings.overfit_batches


def set_overfit_batches(batches: int | None) -> None:
    """Have every `fit` train on the first so many batches only, in order, and evaluate on the same.

    A model and a loop that are right learn them by heart. `MULTIKERAS_OVERFIT_BATCHES=1` does it for a program as it is.
    """
    _settings.overfit_batches = batches


def enable_flash_attention() -> None:
    """Require the framework's fused attention where it exists."""
    _settings.flash_attention = True


def disable_flash_attention() -> None:
    """Never use the framework's fused attention."""
    _settings.flash_attention = False


def is_flash_attention_enabled() -> bool | None:
    """Return True (required), False (forbidden) or None (used where it can be)."""
    return _settings.flash_attention


def enable_interactive_logging() -> None:
    """Show progress on the terminal."""
    _settings.interactive_logging = True


def disable_interactive_logging() -> None:
    """Send progress to `logging` instead of the terminal."""
    _settings.interactive_logging = False


def is_interactive_logging_enabled() -> bool:
    """Tell whether progress goes to the terminal."""
    return _settings.interactive_logging


def enable_traceback_filtering() -> None:
    """Leave this package's own frames out of tracebacks."""
    _settings.traceback_filtering = True


def disable_traceback_filtering() -> None:
    """Show whole tracebacks."""
    _settings.traceback_filtering = False


def is_traceback_filtering_enabled() -> bool:
    """Tell whether this package's own frames are left out of tracebacks."""
    return _settings.traceback_filtering


def enable_unsafe_deserialization() -> None:
    """Let every load of this process revive lambdas, as `safe_mode=False` does for one."""
    _settings.unsafe_deserialization = True


def is_unsafe_deserialization_enabled() -> bool:
    """Tell whether loads may revive lambdas by default."""
    return _settings.unsafe_deserialization


def is_nnx_enabled() -> bool:
    """Return False: variables are not flax.nnx variables here."""
    return False


process_setup: list[str] = []
"""Functions, as "module:function", that a process started by this one calls before it imports the program."""

# `dtype_policies` installs the function that turns a name into a policy.
policy_from_name: Any = None


def dtype_policy() -> Any:
    """Return the dtype policy of layers that are told none."""
    if _settings.dtype_policy is None:
        return policy_from_name(_settings.floatx)
    return _settings.dtype_policy


def set_dtype_policy(policy: Any) -> None:
    """Set the dtype policy of layers that are told none: a name or a `DTypePolicy`."""
    if policy is None:
        raise ValueError("Invalid `policy` argument. Expected the name of a policy or a DTypePolicy, got None.")
    _settings.dtype_policy = policy_from_name(policy)


# `backend/__init__` sets it once a backend is loaded.
loaded_backend: str | None = None


def backend() -> str:
    """Return the name of the backend in use."""
    return loaded_backend or "none"


def set_backend(backend: str) -> None:
    """Refuse a change of backend in a running process; accept the current one."""
    if backend != loaded_backend:
        raise RuntimeError(
            f"The backend is {loaded_backend!r} and cannot become {backend!r} in a running process. "
            f"Start the process with MULTIKERAS_BACKEND={backend}."
        )
