"""Where random keys come from: integers, `SeedGenerator`s, and one generator for the whole process."""

import functools
import random as python_random
from typing import Any

from multikeras.backend import SPEC, current, scope
from multikeras.backend.interface import Array, Backend
from multikeras.backend.shapes import Spec
from multikeras.core import naming
from multikeras.core.variable import Variable
from multikeras.random import host


def make_default_seed() -> int:
    """Return a seed from Python's own generator, which `utils.set_random_seed` seeds too."""
    return python_random.randint(1, 1_000_000_000)


def _first_key(seed: int, shape: tuple, dtype: str) -> Array:
    return current.asarray(host.key_of(seed), dtype)


class SeedGenerator:
    """A stream of random keys: pass it as `seed` to have other numbers at each call.

    The state is a variable (seed, counter), so that it is saved with a layer and may be read and written in compiled
    functions.

    Args:
        seed: An integer; drawn at random if None.
        name: Name, which is the first part of the path of the state.

    >>> from multikeras import random
    >>> generator = random.SeedGenerator(seed=7)
    >>> random.uniform((3,), seed=generator).shape == random.uniform((3,), seed=generator).shape
    True
    >>> int(generator.state.numpy()[1])
    2
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs):
        if kwargs:
            raise ValueError(f"SeedGenerator: Unrecognized keyword arguments {sorted(kwargs)}. It takes seed and name.")
        if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__")):
            raise ValueError(f"SeedGenerator: Argument `seed` must be an integer or None, got {seed!r}.")
        self.seed = make_default_seed() if seed is None else int(seed)
        self._initial_seed = seed
        self.name = name or naming.auto_name("SeedGenerator")
        with naming.name_scope(self.name, caller=self):
            self.state = Variable(
                functools.partial(_first_key, self.seed),
                shape=(2,),
                dtype=current.key_dtype,
                trainable=False,
                autocast=False,
                aggregation="none",
                name="seed_generator_state",
            )

    def next(self, ordered: bool = True) -> Array:
        """Return a key and move the counter on by one."""
        # A copy: frameworks that write in place would change the key with the state.
        key = current.copy_tensor(current.read(self.state.value))
        try:
            self.state.assign(current.add(key, current.asarray([0, 1], current.key_dtype)))
        except RuntimeError as error:
            raise ValueError(
                "When tracing a JAX function, you should only use seeded random ops: pass an integer or a key as `seed`, "
                f"or compile with multikeras.jit. {error}"
            ) from error
        return key

    def get_config(self) -> dict:
        """Return the seed it was made with."""
        return {"seed": self._initial_seed}

    @classmethod
    def from_config(cls, config: dict) -> "SeedGenerator":
        """Return a generator made with `config`."""
        return cls(**config)


class _Process:
    generator: SeedGenerator | None = None
    seed: int | None = None


def global_seed_generator() -> SeedGenerator:
    """Return the generator behind `seed=None`."""
    if _Process.generator is None:
        redirect, scope.stack.redirect = scope.stack.redirect, None
        try:
            _Process.generator = SeedGenerator(_Process.seed, name="global_seed_generator")
        finally:
            scope.stack.redirect = redirect
    return _Process.generator


def set_global_seed(seed: int | None) -> None:
    """Start the generator behind `seed=None` anew; None: from the seed set before, at random if there is none."""
    _Process.seed = _Process.seed if seed is None else seed
    if _Process.seed is None:
        _Process.generator = None
    elif _Process.generator is not None:
        # The same variable: functions compiled before go on reading it.
        _Process.generator.seed = _Process.seed
        _Process.generator.state.assign(host.key_of(_Process.seed))


def global_seed() -> int:
    """Return the seed of the process: the one that was set, or one drawn at random."""
    return make_default_seed() if _Process.seed is None else _Process.seed


def key_from(B: Backend, seed: Any) -> Array:
    """Return the key, a (2,) tensor, of an integer (always the same), a `SeedGenerator` (its next) or None.

    A tensor of shape (2,) is a key already. On shapes alone no generator moves.
    """
    if B is SPEC:
        return Spec((2,), current.key_dtype)
    if seed is None:
        return global_seed_generator().next()
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if hasattr(seed, "__index__") and not getattr(seed, "shape", ()):
        return B.asarray(host.key_of(int(seed)), current.key_dtype)
    if isinstance(seed, Variable) or B.is_tensor(seed):
        return B.asarray(seed.value if isinstance(seed, Variable) else seed, current.key_dtype)
    raise ValueError(f"Argument `seed` must be either an integer, a SeedGenerator or None, got {seed!r}.")


def host_key(seed: Any) -> tuple[int, int]:
    """Return the key of `seed` as Python integers, for `host`."""
    if hasattr(seed, "__index__") and not getattr(seed, "shape", ()):
        return host.key_of(int(seed))
    first, second = current.to_numpy(key_from(current, seed)).tolist()
    return first, second
