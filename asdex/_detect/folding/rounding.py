"""Floating-point arithmetic on bounds that hold however a value is computed."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np

from .bounds import Bounds, Operand, exact, reach_of, unit_of

Reals: TypeAlias = Operand
"""Real numbers as float64."""

ARITHMETIC = 4.0
"""Error of a sum, product or quotient in units of the last place: one that is exact to
rounding has half of one, a quotient by a reciprocal two."""

FUNCTIONS = 256.0
"""The same for elementary functions, which backends approximate."""


class Precision(NamedTuple):
    """What a floating-point dtype can hold."""

    bits: int
    """Number of significant bits."""
    eps: float
    tiny: float
    """The smallest normal number. What is smaller may be flushed to zero."""
    largest: float
    small: float
    large: float
    """A product of three numbers between `small` and `large` is a normal number."""


def precision(dtype: Any) -> Precision:
    """The precision of a real floating-point dtype."""
    info = jnp.finfo(dtype)
    third = np.floor(-np.log2(float(info.tiny)) / 3)
    return Precision(
        int(info.nmant) + 1,
        float(info.eps),
        float(info.tiny),
        float(info.max),
        float(2.0**-third),
        float(2.0**third),
    )


def as_floats(bounds: Bounds, dtype: Any) -> Bounds:
    """Bounds in float64, before something is computed with them: a denormal number may
    count as zero."""
    limit = precision(dtype).tiny
    if bounds.is_exact:
        value = np.asarray(bounds.lo, np.float64)
        denormal = (np.abs(value) < limit) & (value != 0)
        if not denormal.any():
            return exact(value, bounds.unit, bounds.reach)
    lo, hi = np.asarray(bounds.lo, np.float64), np.asarray(bounds.hi, np.float64)
    lo = np.where((lo > 0) & (lo < limit), 0, lo)
    return Bounds(lo, np.where((hi < 0) & (hi > -limit), 0, hi), reach=bounds.reach)


def as_sides(bounds: Bounds, dtype: Any) -> tuple[Reals, Reals]:
    """Lower and upper bounds in float64."""
    floats = as_floats(bounds, dtype)
    return floats.lo, floats.hi


def if_exact(value: Operand, unit: float, reach: Operand, dtype: Any) -> Bounds | None:
    """A computed array, if every way to compute it is exact: all partial sums are
    multiples of `unit`, and at most `reach`, so that they fit into the significant bits."""
    limits = precision(dtype)
    reach = np.asarray(reach, np.float64)
    most = float(reach.max(initial=0.0))
    fits = most <= limits.largest and most <= unit * 2.0**limits.bits
    if not fits or (most > 0 and unit < limits.tiny):
        return None
    return exact(np.asarray(value), unit, reach)


def rounded(
    lo: Reals, hi: Reals, dtype: Any, ulps: float, absolute: Reals | float = 0.0
) -> Bounds:
    """Bounds for a result that is computed to within so many units of the last place.

    Zero is exact. `absolute` is an additional error.
    """
    limits, exact_before = precision(dtype), lo is hi
    down = ulps * limits.eps * np.abs(lo) + absolute
    up = down if exact_before else ulps * limits.eps * np.abs(hi) + absolute
    below, above = np.asarray(lo - down), np.asarray(hi + up)
    if not (np.isfinite(below).all() and np.isfinite(above).all()):
        below, above = np.where(np.isinf(lo), lo, below), np.where(np.isinf(hi), hi, above)
        lost = np.isnan(below) | np.isnan(above)
        below, above = np.where(lost, np.nan, below), np.where(lost, np.nan, above)
    # A denormal result has few bits, or none where it is flushed to zero.
    tiny = limits.tiny
    below = _replaced(below, (below > 0) & (below < tiny), 0.0)
    below = _replaced(below, (below < 0) & (below > -tiny), -tiny)
    above = _replaced(above, (above < 0) & (above > -tiny), 0.0)
    above = _replaced(above, (above > 0) & (above < tiny), tiny)
    # A large one may overflow.
    below = _replaced(below, below < -limits.largest, -np.inf)
    below = _replaced(below, below > limits.largest, limits.largest)
    above = _replaced(above, above > limits.largest, np.inf)
    above = _replaced(above, above < -limits.largest, -limits.largest)
    return Bounds(below, above)


def _replaced(x: Reals, where: Operand, value: float) -> Reals:
    return np.where(where, value, x) if where.any() else x


def add(a: Bounds, b: Bounds, dtype: Any) -> Bounds:
    """The sum. Error is measured by the terms: others may be added to them first."""
    return total(operator.add, [a, b], dtype, 2)


def negative(a: Bounds) -> Bounds:
    """The negative, which is exact."""
    if a.is_exact:
        return exact(-a.lo, a.unit, a.reach)
    return Bounds(-a.hi, -a.lo, reach=a.reach)


def multiply(a: Bounds, b: Bounds, dtype: Any) -> Bounds:
    """The product. A factor of zero makes it zero if the other is finite or unknown."""
    if a.is_exact and b.is_exact and not _extreme((a.lo, b.lo), dtype).any():
        unit, reach = unit_of(a) * unit_of(b), reach_of(a) * reach_of(b)
        if (found := if_exact(a.lo * b.lo, unit, reach, dtype)) is not None:
            return found
    (a_lo, a_hi), (b_lo, b_hi) = (a.lo, a.hi), (b.lo, b.hi)
    lo, hi = _corners(np.multiply, a_lo, a_hi, b_lo, b_hi)
    lo, hi = _out_of_range(lo, hi, (a_lo, a_hi, b_lo, b_hi), dtype)
    is_zero = _absorbs(a_lo, a_hi, b_lo, b_hi) | _absorbs(b_lo, b_hi, a_lo, a_hi)
    if is_zero.any():
        lo, hi = np.where(is_zero, 0.0, lo), np.where(is_zero, 0.0, hi)
    return rounded(lo, hi, dtype, ARITHMETIC)


def _absorbs(a_lo: Reals, a_hi: Reals, b_lo: Reals, b_hi: Reals) -> Any:
    """Where `a` is zero, and `b` not known to be infinite."""
    return (a_lo == 0) & (a_hi == 0) & ~np.isinf(b_lo) & ~np.isinf(b_hi)


def divide(a: Bounds, b: Bounds, dtype: Any) -> Bounds:
    """The quotient; by powers of two it is exact."""
    if a.is_exact and b.is_exact and b.reach is None:
        mantissa, _ = np.frexp(b.lo)
        powers = (np.abs(mantissa) == 0.5).all() and not _extreme((b.lo,), dtype).any()
        if powers and b.lo.size:
            size = np.abs(b.lo)
            unit, reach = unit_of(a) / float(size.max()), reach_of(a) / size
            if (found := if_exact(a.lo / b.lo, unit, reach, dtype)) is not None:
                return found
    (a_lo, a_hi), (b_lo, b_hi) = (a.lo, a.hi), (b.lo, b.hi)
    lo, hi = _corners(np.divide, a_lo, a_hi, b_lo, b_hi)
    lo, hi = _out_of_range(lo, hi, (a_lo, a_hi, b_lo, b_hi), dtype)
    limit = precision(dtype).tiny
    near_zero = ~((b_lo > limit) | (b_hi < -limit))
    is_zero = (a_lo == 0) & (a_hi == 0)
    if is_zero.any():
        lo, hi = np.where(is_zero, 0.0, lo), np.where(is_zero, 0.0, hi)
    if near_zero.any():
        lo, hi = np.where(near_zero, np.nan, lo), np.where(near_zero, np.nan, hi)
    return rounded(lo, hi, dtype, ARITHMETIC)


def remainder(a: Bounds, b: Bounds, dtype: Any) -> Bounds:
    """The remainder with the sign of `a` (that of C's `fmod`)."""
    if a.is_exact and b.is_exact and (b.lo != 0).all():
        return exact(np.fmod(a.lo, b.lo))
    (a_lo, a_hi), (b_lo, b_hi) = (a.lo, a.hi), (b.lo, b.hi)
    size, limit = _magnitude(a_lo, a_hi), _magnitude(b_lo, b_hi)
    error = ARITHMETIC * precision(dtype).eps * (size + limit)
    times = np.trunc(a_lo / b_lo)
    lo, hi = a_lo - times * b_lo, a_hi - times * b_lo
    nearest, farthest = np.minimum(np.abs(lo), np.abs(hi)), _magnitude(lo, hi)
    # Close to a multiple of the divisor, rounding decides about the quotient.
    inside = (b_lo == b_hi) & (lo * hi > 0) & (nearest > error) & (farthest < limit - error)
    lo = np.where(inside, lo - error, np.where(a_lo < 0, -limit, 0))
    hi = np.where(inside, hi + error, np.where(a_hi > 0, limit, 0))
    smallest = np.minimum(np.abs(b_lo), np.abs(b_hi))
    lost = ~((b_lo * b_hi > 0) & (smallest > precision(dtype).tiny) & np.isfinite(size))
    return rounded(
        np.where(lost, np.nan, lo), np.where(lost, np.nan, hi), dtype, ARITHMETIC
    )


def integer_power(a: Bounds, exponent: int, dtype: Any) -> Bounds:
    """A power with an integer exponent, computed by products."""
    if exponent < 0:
        one = exact(np.ones(()))
        return divide(one, integer_power(a, -exponent, dtype), dtype)
    if exponent == 0:
        return exact(np.ones(np.shape(a.lo)))
    if a.is_exact and not _extreme((a.lo,), dtype).any():
        unit, reach = unit_of(a) ** exponent, reach_of(a) ** exponent
        if (found := if_exact(a.lo**exponent, unit, reach, dtype)) is not None:
            return found
    a_lo, a_hi = a.lo, a.hi
    lo, hi = a_lo**exponent, a_hi**exponent
    if exponent % 2 == 0:
        lo, hi = np.minimum(lo, hi), np.maximum(lo, hi)
        lo = np.where((a_lo <= 0) & (a_hi >= 0), 0, lo)
    lo, hi = _out_of_range(lo, hi, (a_lo, a_hi), dtype)
    is_zero = (a_lo == 0) & (a_hi == 0)
    lo, hi = np.where(is_zero, 0.0, lo), np.where(is_zero, 0.0, hi)
    return rounded(lo, hi, dtype, ARITHMETIC * exponent)


def increasing(
    function: Callable[[Reals], Reals], a: Bounds, dtype: Any, *, keeps_zero: bool
) -> Bounds:
    """An increasing elementary function. One that does not keep zero may underflow."""
    a_lo, a_hi = a.lo, a.hi
    found = rounded(function(a_lo), function(a_hi), dtype, FUNCTIONS)
    if keeps_zero:
        return found
    limit = precision(dtype).tiny
    lo = np.where((found.lo == 0) & np.isfinite(a_lo), -limit, found.lo)
    hi = np.where((found.hi == 0) & np.isfinite(a_hi), limit, found.hi)
    return Bounds(lo, hi)


def logarithm(a: Bounds, dtype: Any, base: float = np.e) -> Bounds:
    """The logarithm, whose error near its zero is that of the argument."""
    lo, hi = (np.log(side) / np.log(base) for side in (a.lo, a.hi))
    return rounded(lo, hi, dtype, FUNCTIONS, FUNCTIONS * precision(dtype).eps)


def wave(
    function: Callable[[Reals], Reals], a: Bounds, dtype: Any, *, keeps_zero: bool
) -> Bounds:
    """Sine or cosine: between -1 and 1, and of slope at most one."""
    a_lo, a_hi = a.lo, a.hi
    middle = (a_lo + a_hi) / 2
    error = (a_hi - a_lo) / 2 + FUNCTIONS * precision(dtype).eps * (1 + np.abs(middle))
    if keeps_zero:
        error = np.where((a_lo == 0) & (a_hi == 0), 0, error)
    lo, hi = function(middle) - error, function(middle) + error
    limit = 1 + FUNCTIONS * precision(dtype).eps
    return rounded(np.maximum(lo, -limit), np.minimum(hi, limit), dtype, 0.0)


def total(
    add_up: Callable[..., Operand], operands: Sequence[Bounds], dtype: Any, terms: int
) -> Bounds:
    """Sums of at most `terms` elements each, which `add_up` makes of the operands."""
    reach = add_up(*map(reach_of, operands))
    if all(operand.is_exact for operand in operands):
        unit = min(map(unit_of, operands))
        value = add_up(*(operand.lo for operand in operands))
        if (found := if_exact(value, unit, reach, dtype)) is not None:
            return found
    lo = add_up(*(operand.lo for operand in operands))
    hi = add_up(*(operand.hi for operand in operands))
    error = (ARITHMETIC + terms) * precision(dtype).eps * reach
    if np.isinf(reach).any():  # Infinite terms of both signs add up to NaN.
        falls = add_up(*(np.where(operand.lo == -np.inf, 1.0, 0.0) for operand in operands))
        rises = add_up(*(np.where(operand.hi == np.inf, 1.0, 0.0) for operand in operands))
        lo = np.where((falls > 0) & (rises > 0), np.nan, lo)
    return rounded(lo, hi, dtype, 0.0, error)


def _magnitude(lo: Reals, hi: Reals) -> Reals:
    return np.maximum(np.abs(lo), np.abs(hi))


def _corners(
    function: Callable[[Reals, Reals], Reals],
    a_lo: Reals,
    a_hi: Reals,
    b_lo: Reals,
    b_hi: Reals,
) -> tuple[Reals, Reals]:
    sides = [[lo] if lo is hi else [lo, hi] for lo, hi in ((a_lo, a_hi), (b_lo, b_hi))]
    first, *others = [function(a, b) for a in sides[0] for b in sides[1]]
    lo, hi = first, first
    for corner in others:
        lo, hi = np.minimum(lo, corner), np.maximum(hi, corner)
    return lo, hi


def _out_of_range(
    lo: Reals, hi: Reals, factors: Sequence[Reals], dtype: Any
) -> tuple[Reals, Reals]:
    """Bounds for a product or quotient of several factors, some of which may be multiplied
    first: if one is very small or large, that can underflow or overflow."""
    extreme = _extreme(factors, dtype) & ~np.isnan(lo) & ~np.isnan(hi)
    if not extreme.any():
        return lo, hi
    # A product that is zero here may have underflowed, so that its sign is not known.
    nothing = (lo == 0) & (hi == 0)
    lo = np.where(extreme, np.where((lo < 0) | nothing, -np.inf, 0), lo)
    hi = np.where(extreme, np.where((hi > 0) | nothing, np.inf, 0), hi)
    return lo, hi


def _extreme(factors: Sequence[Reals], dtype: Any) -> Any:
    """Where some factor is very small or very large."""
    limits = precision(dtype)
    found: Any = np.zeros((), bool)
    for factor in factors:
        size = np.abs(factor)
        found = found | ((size < limits.small) & (size > 0)) | (size > limits.large)
    return found
