"""Special functions, by series and by primitives."""

import math
from typing import Any

from multikeras.ops._common import Tensor, binary, constant
from multikeras.ops._op import op

# fmt: off
gammainc = binary("gammainc", "Compute the regularized lower incomplete gamma function of exponent x1 at x2.",
                   "round(float(ops.gammainc(1.0, 1.0)), 4) -> 0.6321", inexact=True)
# fmt: on


@op(inexact=True)
def sinc(B, x: Any) -> Tensor:
    """Compute `sin(pi x) / (pi x)`, 1 at 0.

    >>> float(ops.sinc(0.0))
    1.0
    """
    # Closer to 0 it is 1 in every precision, and the derivative of the quotient would overflow.
    zero, one = B.abs(x) <= constant(B, x, 1e-10), constant(B, x, 1)
    angle = B.where(zero, one, x) * constant(B, x, math.pi)
    return B.where(zero, one, B.sin(angle) / angle)


# Chebyshev coefficients of exp(-x) i0(x), in x / 4 - 1 up to 8; beyond, times sqrt(x), in 16 / x - 1.
_I0_SMALL = (
    0.33839763720473792, -0.30468267234319835, 0.17162090152220871, -0.094901097048047584, 0.049305284239670767,
    -0.023737414805899436, 0.010546460394594837, -0.0043243099950504684, 0.0016394756169413772,
    -0.00057637557453863819, 0.00018850288509573895, -5.7541950100111389e-05, 1.6448448070272016e-05,
    -4.4167383585369537e-06, 1.1173875392511689e-06, -2.6707938574066501e-07, 6.0469949877036322e-08,
    -1.3000250564942917e-08, 2.6598234355764325e-09, -5.1897944460440233e-10, 9.675827176517752e-11,
    -1.7268268296769899e-11, 2.9545329146192973e-12, -4.8553383535931973e-13, 7.7297427717818817e-14,
    -1.0943098279388626e-14,
)  # fmt: skip
_I0_LARGE = (
    0.4022452055070545, 0.0033691164782557481, 6.8897583469178342e-05, 2.8913705208966078e-06,
    2.0489185889380417e-07, 2.2666689871207417e-08, 3.3962318982757504e-09, 4.9406029267728968e-10,
    1.1889079464511865e-11, -3.149894447837745e-11, -1.3215766088319033e-11, -1.7938428520380967e-12,
    7.1807944206188258e-13, 3.8558045645231687e-13, 1.5487611193520934e-14, -4.1533016342371484e-14,
    -9.5671334102794752e-15, 3.9434267816974315e-15, 1.8062474592940048e-15,
)  # fmt: skip


def _chebyshev(B: Any, x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """Sum a Chebyshev series by Clenshaw's recurrence."""
    last = before = x * 0
    first, *more = B.unstacked(B.asarray(coefficients, B.dtype(x)))
    for c in reversed(more):
        last, before = x * last * 2 - before + c, last
    return x * last - before + first


@op(inexact=True)
def i0(B, x: Any) -> Tensor:
    """Compute the modified Bessel function of the first kind and order 0.

    >>> round(float(ops.i0(1.0)), 4)
    1.2661
    """
    x = B.abs(x)
    eight = constant(B, x, 8)
    small, large = B.minimum(x, eight), B.maximum(x, eight)
    scaled = B.where(
        x < 8, _chebyshev(B, small / 4 - 1, _I0_SMALL), _chebyshev(B, 16 / large - 1, _I0_LARGE) / B.sqrt(large)
    )
    return B.exp(x) * scaled


# Lanczos's approximation with g = 7 and nine terms.
_LANCZOS = (
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
)  # fmt: skip


@op(inexact=True)
def lgamma(B, x: Any) -> Tensor:
    """Compute logarithms of the absolute value of the gamma function, infinity at 0 and negative integers.

    >>> round(float(ops.lgamma(5.0)), 4)
    3.1781
    """
    low = x < 0.5
    z = B.where(low, 1 - x, x) - 1
    terms, *more = B.unstacked(B.asarray(_LANCZOS, B.dtype(x)))
    for i, c in enumerate(more, 1):
        terms = terms + c / (z + i)
    t = z + 7.5
    half_log, log_pi, pi = (constant(B, x, v) for v in (math.log(2 * math.pi) / 2, math.log(math.pi), math.pi))
    gamma = half_log - 7 + (z + 0.5) * (B.log(t) - 1) + B.log(terms)
    off = B.where(low, x - B.round(x), constant(B, x, 0.5))  # from the next integer, so that it is infinity there
    return B.where(low, log_pi - B.log(B.abs(B.sin(off * pi))) - gamma, gamma)
