"""The version of this package."""

__version__ = "0.1.0"


def version() -> str:
    """Return the version of this package."""
    return __version__
