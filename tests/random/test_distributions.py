"""Every distribution has the law it claims, in both modes, and depends on the seed as documented."""

import math

import numpy as np
import pytest

import multikeras
from multikeras import config, ops, random
from multikeras.backend import current
from multikeras.random import host

N = 20000


def draw(name, *args, **kwargs):
    return ops.convert_to_numpy(getattr(random, name)(*args, **kwargs)).astype("float64")


def normal_cdf(x):
    return 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def kolmogorov_distance(sample, cdf):
    """Return the largest gap between the empirical and the expected distribution function."""
    x = np.sort(sample.ravel())
    expected = cdf(x)
    steps = np.arange(len(x) + 1) / len(x)
    return max((steps[1:] - expected).max(), (expected - steps[:-1]).max())


def truncated_cdf(x):
    low, high = normal_cdf(np.array(-2.0)), normal_cdf(np.array(2.0))
    return (normal_cdf(x) - low) / (high - low)


LAWS = {
    "uniform": (lambda seed: draw("uniform", (N,), -1.0, 3.0, seed=seed), lambda x: (x + 1) / 4),
    "normal": (lambda seed: draw("normal", (N,), 2.0, 3.0, seed=seed), lambda x: normal_cdf((x - 2) / 3)),
    "truncated_normal": (lambda seed: draw("truncated_normal", (N,), seed=seed), truncated_cdf),
    "gamma of 1": (lambda seed: draw("gamma", (N,), 1.0, seed=seed), lambda x: 1 - np.exp(-x)),
    "gamma of 2": (lambda seed: draw("gamma", (N,), 2.0, seed=seed), lambda x: 1 - np.exp(-x) * (1 + x)),
    "gamma of 1/2": (lambda seed: draw("gamma", (N,), 0.5, seed=seed), lambda x: 2 * normal_cdf(np.sqrt(2 * x)) - 1),
    "beta of 2 and 1": (lambda seed: draw("beta", (N,), 2.0, 1.0, seed=seed), lambda x: x * x),
    "beta of 1 and 3": (lambda seed: draw("beta", (N,), 1.0, 3.0, seed=seed), lambda x: 1 - (1 - x) ** 3),
}


@pytest.mark.parametrize("law", LAWS)
def test_law(law, mode):
    sample, cdf = LAWS[law]
    assert kolmogorov_distance(sample(3), cdf) < 1.95 / math.sqrt(N)  # a chance of 1 in 1000


@pytest.mark.parametrize(("draws", "cdf"), [
    (lambda: host.uniform((3, 0), (N,)), lambda x: x),
    (lambda: host.normal((3, 0), (N,)), normal_cdf),
    (lambda: host.truncated_normal((3, 0), (N,)), truncated_cdf),
])  # fmt: skip
def test_law_on_the_host(draws, cdf):
    assert kolmogorov_distance(draws().astype("float64"), cdf) < 1.95 / math.sqrt(N)


def chi_square(counts, expected):
    return float((((counts - expected) ** 2) / expected).sum())


def test_randint_is_even(mode):
    counts = np.bincount(draw("randint", (N,), 5, 15, seed=3).astype(int) - 5, minlength=10)
    assert len(counts) == 10
    assert chi_square(counts, N / 10) < 27.9  # 9 degrees of freedom, 1 in 1000


def test_categorical_follows_the_logits(mode):
    p = np.array([0.1, 0.2, 0.3, 0.4])
    counts = np.bincount(draw("categorical", np.log(p)[None], N, seed=3).astype(int).ravel(), minlength=4)
    assert chi_square(counts, N * p) < 16.3  # 3 degrees of freedom


def test_binomial_counts_successes(mode):
    p = np.array([math.comb(6, k) * 0.3**k * 0.7 ** (6 - k) for k in range(7)])
    counts = np.bincount(draw("binomial", (N,), 6.0, 0.3, seed=3).astype(int), minlength=7)
    assert chi_square(counts, N * p) < 22.5  # 6 degrees of freedom


@pytest.mark.parametrize(("p", "expected"), [(0.0, 0.0), (1.0, 9.0)])
def test_binomial_of_certain_events(p, expected, mode):
    assert set(draw("binomial", (50,), 9.0, p, seed=1)) == {expected}


def test_dropout_keeps_the_mean_and_the_rate(mode):
    y = draw("dropout", ops.ones((N,)), 0.3, seed=3)
    dropped = (y == 0).mean()
    assert abs(dropped - 0.3) < 4 * math.sqrt(0.21 / N)
    np.testing.assert_allclose(y[y > 0], 1 / 0.7, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.5, 0.995])
@pytest.mark.parametrize("shape", [(N,), (N // 4, 4), (N // 3, 3), (N, 1)])
def test_dropout_hits_each_rate_in_each_shape(rate, shape, mode):
    dropped = draw("dropout", ops.ones(shape), rate, seed=5) == 0
    assert abs(dropped.mean() - rate) < 4 * math.sqrt(rate * (1 - rate) / dropped.size)
    # Nor do two entries know of each other: beside each other, or half a row apart.
    flat = dropped.reshape(-1, shape[-1] if len(shape) > 1 and shape[-1] > 1 else N)
    for apart in {1, flat.shape[1] // 2}:
        both = (flat[:, :-apart] & flat[:, apart:]).mean()
        assert abs(both - rate**2) < 5 * rate / math.sqrt(flat.size) + 1e-4


@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (N,), (N // 8, 8), (N // 3, 3)])
def test_halves_are_even(shape):
    drawn = np.asarray(current.to_numpy(current.random_halves(current.asarray([3, 4], current.key_dtype), shape)))
    assert drawn.shape == shape
    assert drawn.size == 0 or (drawn.min() >= -(2**15) and drawn.max() < 2**15)
    if drawn.size > 1000:
        for bits in (drawn >> 8, drawn & 255):  # the upper and the lower ones
            counts = np.bincount((bits.astype(int) % 256).ravel(), minlength=256)
            assert chi_square(counts, np.full(256, drawn.size / 256)) < 341  # 255 degrees of freedom, 1 in 4,000


def test_dropout_shares_noise(mode):
    y = draw("dropout", ops.ones((4, 50)), 0.5, noise_shape=(1, None), seed=3)
    assert (y == y[:1]).all()
    assert 0 < (y == 0).mean() < 1


def test_shuffle_permutes_slices(mode):
    x = np.arange(60).reshape(3, 20)
    y = draw("shuffle", x, axis=1, seed=3)
    assert sorted(map(tuple, y.T)) == sorted(map(tuple, x.T))
    assert (y != x).any()


@pytest.mark.parametrize("name", ["uniform", "normal", "truncated_normal"])
def test_integer_seeds_repeat_and_neighbours_are_independent(name, mode):
    draws = {seed: draw(name, (N,), seed=seed) for seed in (0, 1, 2)}
    np.testing.assert_array_equal(draws[0], draw(name, (N,), seed=0))
    for a, b in [(0, 1), (1, 2), (0, 2)]:
        assert abs(np.corrcoef(draws[a], draws[b])[0, 1]) < 4 / math.sqrt(N)
        assert (draws[a] == draws[b]).mean() < 0.01


def test_neighbouring_seeds_do_not_share_later_draws(mode):
    # (seed, counter) and (seed + 1, counter - 1) must not be the same stream.
    first, second = random.SeedGenerator(5), random.SeedGenerator(6)
    a, b = ({float(v) for _ in range(4) for v in draw("uniform", (16,), seed=g)} for g in (first, second))
    assert not a & b


def test_generators_advance_and_begin_with_their_seed(mode):
    generator = random.SeedGenerator(11)
    draws = [draw("uniform", (8,), seed=generator) for _ in range(3)]
    np.testing.assert_array_equal(draws[0], draw("uniform", (8,), seed=11))
    assert (draws[0] != draws[1]).all()
    assert (draws[1] != draws[2]).all()


def test_global_seed_decides_unseeded_draws():
    multikeras.utils.set_random_seed(4)
    first = [draw("normal", (5,)) for _ in range(2)]
    multikeras.utils.set_random_seed(4)
    second = [draw("normal", (5,)) for _ in range(2)]
    np.testing.assert_array_equal(first, second)
    assert (first[0] != first[1]).all()


def test_portable_draws_are_the_hosts():
    config.set_random("portable")
    try:
        np.testing.assert_array_equal(draw("uniform", (33,), seed=8), host.uniform((8, 0), (33,)))
        kept = draw("dropout", ops.ones((33,)), 0.25, seed=8) > 0
    finally:
        config.set_random("native")
    np.testing.assert_array_equal(kept, host.uniform((8, 0), (33,)) >= 0.25)


def test_portable_draws_do_not_change_when_compiled():
    config.set_random("portable")
    try:
        draws = lambda: random.uniform((999,), -1.3, 3.7, seed=8)  # noqa: E731
        np.testing.assert_array_equal(ops.convert_to_numpy(draws()), ops.convert_to_numpy(multikeras.jit(draws)()))
    finally:
        config.set_random("native")


@pytest.mark.parametrize("shape", [(None, 3), [2, None]])
def test_sizes_nobody_knows_yet(shape, mode):
    for x in (random.uniform(shape), random.normal(shape, seed=1), random.randint(shape, 0, 5), random.gamma(shape, 2.0)):
        assert tuple(x.shape) == tuple(shape)


def test_symbolic_calls_draw_nothing(mode):
    generator = random.SeedGenerator(3)
    x = multikeras.KerasTensor((None, 4))
    assert random.dropout(x, 0.5, seed=generator).shape == (None, 4)
    assert random.shuffle(x, seed=generator).shape == (None, 4)
    assert random.categorical(x, 7, seed=generator).shape == (None, 7)
    assert int(generator.state.numpy()[1]) == 0


def test_permutation_depends_on_seed_and_epoch():
    orders = [tuple(host.permutation(seed, epoch, 100)) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4
    assert all(sorted(order) == list(range(100)) for order in orders)


@pytest.mark.parametrize("seed", ["1", 1.5, [1]])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="seed"):
        random.uniform((2,), seed=seed)


def test_generator_config_round_trip():
    generator = random.SeedGenerator(seed=5)
    again = random.SeedGenerator.from_config(generator.get_config())
    np.testing.assert_array_equal(generator.state.numpy(), again.state.numpy())
    assert current.dtype(generator.next()) == current.key_dtype
