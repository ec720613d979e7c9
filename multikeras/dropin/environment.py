"""`multikeras env`: what is installed, what was chosen and why."""

import os
import platform
import sys
from importlib import metadata

from rich.console import Console
from rich.table import Table

import multikeras
from multikeras import backend, config

_PACKAGES = (
    "multikeras", "numpy", "jax", "jaxlib", "torch", "tensorflow", "tensorflow-cpu", "keras", "h5py", "safetensors",
    "optree", "ml-dtypes", "rich", "pillow",
)  # fmt: skip
_VARIABLES = (
    "MULTIKERAS_BACKEND", "MULTIKERAS_HOME", "MULTIKERAS_RANDOM", "MULTIKERAS_PLAIN", "KERAS_BACKEND",
    "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "CUDA_VISIBLE_DEVICES",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of the packages that matter here, without importing any."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def environment() -> dict[str, str]:
    """Return all that `multikeras env` shows."""
    settings = config.home() / "multikeras.json"
    chosen = {
        "backend": backend.backend(),
        "chosen by": backend.reason,
        "devices": ", ".join(map(str, backend.current.devices())),
        "installed backends": ", ".join(backend.installed()),
        "settings file": str(settings) if settings.is_file() else f"{settings} (not there)",
        "floatx, image layout, random": f"{config.floatx()}, {config.image_data_format()}, {config.random_mode()}",
        "python": f"{platform.python_version()} ({sys.executable})",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
    }
    variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return chosen | {"multikeras": getattr(multikeras, "__version__", "?")} | versions() | variables


def print_environment() -> int:
    """Print the table; return the exit status 0."""
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in environment().items():
        table.add_row(name, value)
    Console(soft_wrap=not sys.stdout.isatty()).print(table)
    return 0
