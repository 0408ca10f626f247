"""Bounds of sums, products, quotients and powers."""

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn, Primitive

from ..._base.compat import ONE_MINUS_SQUARE, POLYNOMIAL
from . import rounding
from .bounds import (
    OVERFLOW,
    Bounds,
    Operand,
    as_int64,
    dtype_of,
    exact,
    fitted,
    is_inexact,
    is_real,
    only_zeros,
    operand_dtype,
    takes_complex,
)
from .rounding import as_floats, as_sides
from .table import fold

_ON_FLOATS: dict[Primitive, Callable[[Bounds, Bounds, Any], Bounds]] = {
    lax.add_p: rounding.add,
    lax.sub_p: lambda a, b, dtype: rounding.add(a, rounding.negative(b), dtype),
    lax.mul_p: rounding.multiply,
    lax.div_p: rounding.divide,
    lax.rem_p: rounding.remainder,
}


def _divide(a: Operand, b: Operand) -> Operand:
    """The integer quotient, rounded toward zero."""
    return np.asarray((a - np.fmod(a, b)) // b, a.dtype)


_EXACT: dict[Primitive, Callable[[Operand, Operand], Operand]] = {
    lax.add_p: operator.add,
    lax.sub_p: operator.sub,
    lax.mul_p: operator.mul,
    lax.div_p: _divide,
    lax.rem_p: np.fmod,
}


@fold(lax.add_p, lax.sub_p, lax.mul_p, lax.div_p, lax.rem_p)
def _arithmetic(eqn: JaxprEqn, a: Bounds, b: Bounds) -> Bounds | None:
    """Integers wrap around. But XLA assumes that a square, and a magnitude, is positive, so
    nothing is known of one that overflows."""
    primitive, dtype = eqn.primitive, operand_dtype(eqn)
    if primitive is lax.mul_p and (a.is_unknown or b.is_unknown):
        zero = a.zero | b.zero
        return only_zeros(zero, dtype) if is_inexact(dtype) and zero.any() else None
    if takes_complex(eqn):
        zero = {lax.mul_p: a.zero | b.zero, lax.div_p: a.zero & (b.known & ~b.zero)}
        return only_zeros(zero.get(primitive, a.zero & b.zero), dtype)
    if is_inexact(dtype):
        return _ON_FLOATS[primitive](as_floats(a, dtype), as_floats(b, dtype), dtype)
    divides = primitive in (lax.div_p, lax.rem_p)
    if divides and ((b.lo <= 0) & (b.hi >= 0)).any():
        return None
    is_square = primitive is lax.mul_p and np.array_equal(a.lo, b.lo)
    if a.is_exact and b.is_exact and not is_square:
        return exact(np.asarray(_EXACT[primitive](a.lo, b.lo)))
    if primitive is lax.rem_p:
        return _remainder(a, b, dtype)
    (a_lo, a_hi), (b_lo, b_hi) = as_int64(a), as_int64(b)
    if primitive is lax.sub_p:
        lo, hi, ends = a_lo - b_hi, a_hi - b_lo, [(a_lo, b_hi), (a_hi, b_lo)]
    elif primitive is lax.add_p:
        lo, hi, ends = a_lo + b_lo, a_hi + b_hi, [(a_lo, b_lo), (a_hi, b_hi)]
    else:
        ends = [(x, y) for x in (a_lo, a_hi) for y in (b_lo, b_hi)]
        corners = [_EXACT[primitive](x, y) for x, y in ends]
        lo, hi = np.minimum.reduce(corners), np.maximum.reduce(corners)
    function = operator.truediv if divides else _EXACT[primitive]
    sizes = [np.abs(function(x.astype(np.float64), y.astype(np.float64))) for x, y in ends]
    return fitted(lo, hi, np.maximum.reduce(sizes) >= OVERFLOW, dtype)


def _remainder(a: Bounds, b: Bounds, dtype: Any) -> Bounds:
    """The remainder of integers, which has the sign of `a`."""
    (a_lo, a_hi), (b_lo, b_hi) = as_int64(a), as_int64(b)
    most = np.maximum(np.abs(b_lo), np.abs(b_hi)) - 1
    least = np.minimum(np.abs(b_lo), np.abs(b_hi))
    within = (a_lo > -least) & (a_hi < least)
    lo = np.where(within, a_lo, np.where(a_lo < 0, np.maximum(a_lo, -most), 0))
    hi = np.where(within, a_hi, np.where(a_hi > 0, np.minimum(a_hi, most), 0))
    # The magnitude of the most negative int64 is not an int64.
    lost = (b_lo == np.iinfo(np.int64).min) | (most < 0)
    return fitted(lo, hi, lost, dtype)


@fold(lax.neg_p, lax.abs_p)
def _sign_change(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype, negates = operand_dtype(eqn), eqn.primitive is lax.neg_p
    if takes_complex(eqn):
        return only_zeros(x.zero, dtype_of(eqn.outvars[0]))
    if is_inexact(dtype):
        x = as_floats(x, dtype)
        return rounding.negative(x) if negates else _magnitude(x)
    if x.is_exact and negates:
        return exact(np.negative(x.lo))
    lo, hi = as_int64(x)
    lost = lo == np.iinfo(np.int64).min
    if negates:
        return fitted(-hi, -lo, lost, dtype)
    least = np.where((lo <= 0) & (hi >= 0), 0, np.minimum(np.abs(lo), np.abs(hi)))
    return fitted(least, np.maximum(np.abs(lo), np.abs(hi)), lost, dtype)


def _magnitude(x: Bounds) -> Bounds:
    if x.is_exact:
        return exact(np.abs(x.lo), x.unit, x.reach)
    contains_zero = (x.lo <= 0) & (x.hi >= 0)
    ends = np.abs(x.lo), np.abs(x.hi)
    return Bounds(np.where(contains_zero, 0, np.minimum(*ends)), np.maximum(*ends))


@fold(lax.square_p, lax.integer_pow_p)
def _integer_pow(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    exponent, dtype = eqn.params.get("y", 2), operand_dtype(eqn)
    if takes_complex(eqn):
        return only_zeros(x.zero, dtype) if exponent > 0 else None
    if is_inexact(dtype):
        return rounding.integer_power(as_floats(x, dtype), exponent, dtype)
    if exponent < 0:
        return None
    if x.is_exact and exponent % 2:
        return exact(np.asarray(x.lo**exponent, dtype))
    lo, hi = as_int64(x)
    size = np.maximum(np.abs(lo.astype(np.float64)), np.abs(hi.astype(np.float64)))
    lost = size**exponent >= OVERFLOW
    least, most = lo**exponent, hi**exponent
    if exponent and exponent % 2 == 0:
        least, most = np.minimum(least, most), np.maximum(least, most)
        least = np.where((lo <= 0) & (hi >= 0), 0, least)
    return fitted(least, most, lost, dtype)


@fold(*ONE_MINUS_SQUARE)
def _one_minus_square(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    return _horner(eqn, x, [exact(np.asarray(c)) for c in (1.0, 0.0, -1.0)])


@fold(*POLYNOMIAL)
def _polynomial(eqn: JaxprEqn, x: Bounds, *coefficients: Bounds) -> Bounds | None:
    return _horner(eqn, x, coefficients)


def _horner(eqn: JaxprEqn, x: Bounds, coefficients: Sequence[Bounds]) -> Bounds | None:
    """A polynomial, lowest power first, which is zero where all coefficients are."""
    dtype = operand_dtype(eqn)
    if x.is_unknown or not is_real(dtype):
        shape = np.shape(x.lo)
        zero = reduce(
            np.logical_and, [np.broadcast_to(c.zero, shape) for c in coefficients]
        )
        return only_zeros(zero, dtype) if zero.any() else None
    x, *terms = (as_floats(value, dtype) for value in (x, *coefficients))
    result = terms[-1]
    for term in reversed(terms[:-1]):
        result = rounding.add(term, rounding.multiply(x, result, dtype), dtype)
    return result


@fold(lax.pow_p)
def _pow(eqn: JaxprEqn, x: Bounds, y: Bounds) -> Bounds | None:
    dtype = operand_dtype(eqn)
    if not is_real(dtype) or not is_real(dtype_of(eqn.invars[1])):
        return None
    (x_lo, x_hi), (y_lo, y_hi) = as_sides(x, dtype), as_sides(y, dtype)
    logs = [
        y_end * np.log(np.where(x_lo > 0, x_end, np.nan))
        for x_end in (x_lo, x_hi)
        for y_end in (y_lo, y_hi)
    ]
    size = np.abs(np.maximum.reduce(np.abs(logs)))
    lo, hi = np.exp(np.minimum.reduce(logs)), np.exp(np.maximum.reduce(logs))
    error = rounding.FUNCTIONS * rounding.precision(dtype).eps * (1 + size) * hi
    return rounding.rounded(lo, hi, dtype, rounding.FUNCTIONS, error)
