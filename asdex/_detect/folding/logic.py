"""Bounds of comparisons, of choices between elements, and of logic and bits."""

import operator
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn, Primitive

from ..moves import select
from . import rounding
from .bounds import (
    OVERFLOW,
    Bounds,
    Operand,
    as_int64,
    between,
    dtype_of,
    exact,
    fitted,
    is_bool,
    is_inexact,
    is_real,
    largest_reach,
    merged,
    only_zeros,
    operand_dtype,
    reach_of,
    takes_complex,
    unit_of,
    unknown,
)
from .rounding import as_floats, as_sides
from .table import fold


@fold(lax.max_p, lax.min_p)
def _extremum(eqn: JaxprEqn, a: Bounds, b: Bounds) -> Bounds | None:
    if takes_complex(eqn):
        return None
    function = np.maximum if eqn.primitive is lax.max_p else np.minimum
    return _chosen(function, _comparable(eqn, (a, b)), operand_dtype(eqn))


@fold(lax.clamp_p)
def _clamp(eqn: JaxprEqn, least: Bounds, x: Bounds, most: Bounds) -> Bounds | None:
    if takes_complex(eqn):
        return None
    operands = _comparable(eqn, (least, x, most))
    return _chosen(
        lambda a, x, b: np.minimum(np.maximum(a, x), b), operands, operand_dtype(eqn)
    )


def _chosen(
    function: Callable[..., Operand], operands: Sequence[Bounds], dtype: Any
) -> Bounds:
    """One of the operands, element by element, by a function that grows with each."""
    lo = function(*(operand.lo for operand in operands))
    hi = function(*(operand.hi for operand in operands))
    if not is_inexact(dtype):
        return between(lo, hi)
    # The sign of a zero is not known even if the array is: so it counts as computed.
    reach = np.maximum.reduce(np.broadcast_arrays(*map(reach_of, operands)))
    if all(operand.is_exact for operand in operands):
        return exact(lo, min(map(unit_of, operands)), reach)
    return Bounds(lo, hi, reach=reach)


def _comparable(eqn: JaxprEqn, operands: Sequence[Bounds]) -> list[Bounds]:
    """The operands, floating-point numbers as float64."""
    dtype = operand_dtype(eqn)
    return (
        [as_floats(op, dtype) for op in operands] if is_inexact(dtype) else list(operands)
    )


@fold(lax.sign_p)
def _sign(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    if takes_complex(eqn):
        return only_zeros(x.zero, operand_dtype(eqn))
    (x,) = _comparable(eqn, (x,))
    if x.is_exact:
        return exact(np.sign(x.lo))
    lo, hi = np.sign(x.lo), np.sign(x.hi)
    return Bounds(lo, hi) if is_inexact(operand_dtype(eqn)) else between(lo, hi)


@fold(lax.lt_p, lax.le_p, lax.gt_p, lax.ge_p, lax.eq_p, lax.ne_p)
@fold(lax.lt_to_p, lax.le_to_p, lax.eq_to_p)
def _compare(eqn: JaxprEqn, a: Bounds, b: Bounds) -> Bounds | None:
    """A comparison is known where the bounds decide it."""
    primitive = eqn.primitive
    if takes_complex(eqn):
        return None
    same = a is b
    (a, b), dtype = _comparable(eqn, (a, b)), operand_dtype(eqn)
    signed = not (a.is_exact and b.is_exact and a.reach is b.reach is None)
    a_lo, a_hi, b_lo, b_hi = a.lo, a.hi, b.lo, b.hi
    if primitive in (lax.gt_p, lax.ge_p):
        a_lo, a_hi, b_lo, b_hi = b_lo, b_hi, a_lo, a_hi
    surely, maybe = _ORDERINGS[primitive](a_lo, a_hi, b_lo, b_hi)
    if is_inexact(dtype):
        maybe = maybe | np.isnan(a_lo + a_hi) | np.isnan(b_lo + b_hi)
        if primitive in _TOTAL and signed:  # Zero has a sign, which may not be known.
            both_zero = (a_lo <= 0) & (a_hi >= 0) & (b_lo <= 0) & (b_hi >= 0)
            surely, maybe = surely & ~both_zero, maybe | both_zero
    if same and primitive in (lax.eq_p, lax.ne_p):
        is_number = ~np.isnan(a_lo) if is_inexact(dtype) else np.ones(np.shape(a_lo), bool)
        surely, maybe = surely | is_number, maybe | is_number
    if primitive is lax.ne_p:
        surely, maybe = ~maybe, ~surely
    return between(surely, maybe)


def _less(a_lo: Operand, a_hi: Operand, b_lo: Operand, b_hi: Operand) -> Any:
    return a_hi < b_lo, a_lo < b_hi


def _less_or_equal(a_lo: Operand, a_hi: Operand, b_lo: Operand, b_hi: Operand) -> Any:
    return a_hi <= b_lo, a_lo <= b_hi


def _equal(a_lo: Operand, a_hi: Operand, b_lo: Operand, b_hi: Operand) -> Any:
    surely = (a_lo == a_hi) & (b_lo == b_hi) & (a_lo == b_lo)
    return surely, (a_lo <= b_hi) & (b_lo <= a_hi)


_ORDERINGS: dict[Primitive, Callable[..., Any]] = {
    **dict.fromkeys((lax.lt_p, lax.gt_p, lax.lt_to_p), _less),
    **dict.fromkeys((lax.le_p, lax.ge_p, lax.le_to_p), _less_or_equal),
    **dict.fromkeys((lax.eq_p, lax.ne_p, lax.eq_to_p), _equal),
}
_TOTAL = {lax.lt_to_p, lax.le_to_p, lax.eq_to_p}


@fold(lax.is_finite_p)
def _is_finite(eqn: JaxprEqn, x: Bounds) -> Bounds:
    dtype = operand_dtype(eqn)
    lo, hi = as_sides(x, dtype)
    limit = rounding.precision(dtype).largest
    surely = (np.abs(lo) < limit) & (np.abs(hi) < limit)
    never = x.known & (np.isinf(lo) | (np.isnan(lo) & x.is_exact))
    return between(surely, ~never)


# --- Choice and logic ---------------------------------------------------------------------


@fold(lax.select_n_p)
def _select_n(eqn: JaxprEqn, which: Bounds, *cases: Bounds) -> Bounds:
    """The case that is taken where that is known, otherwise any that is possible."""
    dtype = dtype_of(eqn.outvars[0])
    shape = np.broadcast_shapes(*(np.shape(operand.lo) for operand in (which, *cases)))
    if which.is_exact and which.lo.size and (which.lo == which.lo.flat[0]).all():
        return cases[min(max(int(which.lo.flat[0]), 0), len(cases) - 1)]
    first, last = as_int64(which)
    if which.is_exact:
        return merged(partial(select, np.broadcast_to(first, shape)), cases, dtype)
    if is_real(dtype):
        cases = tuple(as_floats(case, dtype) for case in cases)
    lowest, highest = [], []
    for number, case in enumerate(cases):
        possible = (first <= number) | (number == len(cases) - 1)
        possible = possible & ((last >= number) | (number == 0))
        lowest.append(np.where(possible, case.lo, _largest(dtype)))
        highest.append(np.where(possible, case.hi, _smallest(dtype)))
    lo = np.broadcast_to(reduce(np.minimum, lowest), shape)
    hi = np.broadcast_to(reduce(np.maximum, highest), shape)
    if is_inexact(dtype):
        return Bounds(lo, hi, reach=largest_reach(cases) if is_real(dtype) else None)
    return between(lo, hi)


def _largest(dtype: Any) -> Any:
    return np.inf if is_inexact(dtype) else unknown((), dtype).hi


def _smallest(dtype: Any) -> Any:
    return -np.inf if is_inexact(dtype) else unknown((), dtype).lo


@fold(lax.and_p, lax.or_p, lax.xor_p)
def _logic(eqn: JaxprEqn, a: Bounds, b: Bounds) -> Bounds | None:
    dtype, primitive = operand_dtype(eqn), eqn.primitive
    if a.is_exact and b.is_exact:
        return exact(np.asarray(_BITWISE[primitive](a.lo, b.lo)))
    if is_bool(dtype) and primitive is not lax.xor_p:
        function = _BITWISE[primitive]
        return between(function(a.lo, b.lo), function(a.hi, b.hi))
    if is_bool(dtype):
        known, value = a.known & b.known, a.lo ^ b.lo
        return between(value & known, value | ~known)
    (a_lo, a_hi), (b_lo, b_hi) = as_int64(a), as_int64(b)
    if primitive is lax.and_p:  # Not larger than an operand that is not negative.
        limit = np.minimum(
            np.where(a_lo >= 0, a_hi, _INT64_MAX), np.where(b_lo >= 0, b_hi, _INT64_MAX)
        )
        lost = (a_lo < 0) & (b_lo < 0)
        return fitted(np.zeros_like(limit), limit, lost, dtype)
    lost = (a_lo < 0) | (b_lo < 0)
    most = np.maximum(np.maximum(a_hi, b_hi), 1).astype(np.float64)
    limit = np.exp2(np.minimum(np.floor(np.log2(most)) + 1, 62)).astype(np.int64) - 1
    return fitted(np.zeros_like(limit), limit, lost | (most >= OVERFLOW / 2), dtype)


_BITWISE: dict[Primitive, Callable[..., Any]] = {
    lax.and_p: operator.and_,
    lax.or_p: operator.or_,
    lax.xor_p: operator.xor,
}
_INT64_MAX = np.iinfo(np.int64).max


@fold(lax.not_p)
def _not(eqn: JaxprEqn, x: Bounds) -> Bounds:
    if x.is_exact:
        return exact(np.invert(x.lo))
    return between(np.invert(x.hi), np.invert(x.lo))


@fold(lax.shift_left_p, lax.shift_right_logical_p, lax.shift_right_arithmetic_p)
def _shift(eqn: JaxprEqn, x: Bounds, by: Bounds) -> Bounds | None:
    dtype = operand_dtype(eqn)
    bits = np.iinfo(dtype).bits
    if not by.is_exact or ((by.lo < 0) | (by.lo >= bits)).any():
        return None
    if x.is_exact:
        return exact(np.asarray(_shift_bits(eqn.primitive, x.lo, by.lo), dtype))
    lo, hi = as_int64(x)
    if eqn.primitive is lax.shift_left_p:
        factor = np.exp2(by.lo.astype(np.float64))
        size = np.maximum(np.abs(lo), np.abs(hi)).astype(np.float64) * factor
        shift = by.lo.astype(np.int64)
        return fitted(lo << shift, hi << shift, size >= OVERFLOW, dtype)
    if eqn.primitive is lax.shift_right_logical_p:
        lost = lo < 0
    else:  # The highest bit is copied, also that of an unsigned integer.
        lost = hi > np.iinfo(f"i{dtype.itemsize}").max
    return fitted(lo >> by.lo.astype(np.int64), hi >> by.lo.astype(np.int64), lost, dtype)


def _shift_bits(primitive: Primitive, x: Operand, by: Operand) -> Operand:
    if primitive is lax.shift_left_p:
        return np.left_shift(x, by)
    kind = "u" if primitive is lax.shift_right_logical_p else "i"
    same_bits = f"{kind}{x.dtype.itemsize}"
    return np.right_shift(x.astype(same_bits), by.astype(same_bits)).astype(x.dtype)
