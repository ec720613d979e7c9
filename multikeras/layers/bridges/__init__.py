"""Layers made of what is written in one framework: each refuses backends other than its own."""

from multikeras.backend import current

_BACKENDS = {"jax": "jax", "torch": "torch", "saved_model": "tensorflow"}


def need(bridge: str, layer: type) -> None:
    """Raise ValueError unless the backend has a bridge."""
    if bridge not in current.bridges:
        wanted = _BACKENDS[bridge]
        raise ValueError(
            f"{layer.__name__} needs the {wanted} backend (set MULTIKERAS_BACKEND={wanted}); the backend is {current.name}."
        )
