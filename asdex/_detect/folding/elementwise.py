"""Bounds of elementwise functions."""

import operator
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import lax
from jax.extend.core import JaxprEqn, Primitive

from ..moves import select
from . import rounding
from .bounds import (
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
    reach_of,
    unit_of,
    unknown,
)
from .rounding import as_floats
from .table import fold

_OVERFLOW = 2.0**62
"""Where a result in int64 is at least so large, it may have wrapped round."""


def _operand_dtype(eqn: JaxprEqn) -> Any:
    return dtype_of(eqn.invars[0])


def _is_complex(eqn: JaxprEqn) -> bool:
    return jnp.issubdtype(_operand_dtype(eqn), jnp.complexfloating)


def _zeros(zero: Operand, dtype: Any) -> Bounds:
    """An array of which only zeros are known."""
    nothing = unknown(zero.shape, dtype)
    return Bounds(np.where(zero, 0, nothing.lo), np.where(zero, 0, nothing.hi))


# --- Arithmetic ---------------------------------------------------------------------------

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
    """Integers wrap round. But XLA takes a square, and a magnitude, to be positive, so
    nothing is known of one that overflows."""
    primitive, dtype = eqn.primitive, _operand_dtype(eqn)
    if _is_complex(eqn):
        zero = {lax.mul_p: a.zero | b.zero, lax.div_p: a.zero & (b.known & ~b.zero)}
        return _zeros(zero.get(primitive, a.zero & b.zero), dtype)
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
    return fitted(lo, hi, np.maximum.reduce(sizes) >= _OVERFLOW, dtype)


def _remainder(a: Bounds, b: Bounds, dtype: Any) -> Bounds:
    """The remainder of integers, which has the sign of `a`."""
    (a_lo, a_hi), (b_lo, b_hi) = as_int64(a), as_int64(b)
    most = np.maximum(np.abs(b_lo), np.abs(b_hi)) - 1
    least = np.minimum(np.abs(b_lo), np.abs(b_hi))
    within = (a_lo > -least) & (a_hi < least)
    lo = np.where(within, a_lo, np.where(a_lo < 0, np.maximum(a_lo, -most), 0))
    hi = np.where(within, a_hi, np.where(a_hi > 0, np.minimum(a_hi, most), 0))
    # The magnitude of the most negative int64 is none.
    lost = (b_lo == np.iinfo(np.int64).min) | (most < 0)
    return fitted(lo, hi, lost, dtype)


@fold(lax.neg_p, lax.abs_p)
def _sign_change(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype, negates = _operand_dtype(eqn), eqn.primitive is lax.neg_p
    if _is_complex(eqn):
        return _zeros(x.zero, dtype_of(eqn.outvars[0]))
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
    exponent, dtype = eqn.params.get("y", 2), _operand_dtype(eqn)
    if _is_complex(eqn):
        return _zeros(x.zero, dtype) if exponent > 0 else None
    if is_inexact(dtype):
        return rounding.integer_power(as_floats(x, dtype), exponent, dtype)
    if exponent < 0:
        return None
    if x.is_exact and exponent % 2:
        return exact(np.asarray(x.lo**exponent, dtype))
    lo, hi = as_int64(x)
    size = np.maximum(np.abs(lo.astype(np.float64)), np.abs(hi.astype(np.float64)))
    lost = size**exponent >= _OVERFLOW
    least, most = lo**exponent, hi**exponent
    if exponent and exponent % 2 == 0:
        least, most = np.minimum(least, most), np.maximum(least, most)
        least = np.where((lo <= 0) & (hi >= 0), 0, least)
    return fitted(least, most, lost, dtype)


@fold(lax.pow_p)
def _pow(eqn: JaxprEqn, x: Bounds, y: Bounds) -> Bounds | None:
    dtype = _operand_dtype(eqn)
    if not is_real(dtype) or not is_real(dtype_of(eqn.invars[1])):
        return None
    (x_lo, x_hi), (y_lo, y_hi) = _sides(x, dtype), _sides(y, dtype)
    logs = [
        y_end * np.log(np.where(x_lo > 0, x_end, np.nan))
        for x_end in (x_lo, x_hi)
        for y_end in (y_lo, y_hi)
    ]
    size = np.abs(np.maximum.reduce(np.abs(logs)))
    lo, hi = np.exp(np.minimum.reduce(logs)), np.exp(np.maximum.reduce(logs))
    error = rounding.FUNCTIONS * rounding.precision(dtype).eps * (1 + size) * hi
    return rounding.rounded(lo, hi, dtype, rounding.FUNCTIONS, error)


# --- Order --------------------------------------------------------------------------------


@fold(lax.max_p, lax.min_p)
def _extremum(eqn: JaxprEqn, a: Bounds, b: Bounds) -> Bounds | None:
    if _is_complex(eqn):
        return None
    function = np.maximum if eqn.primitive is lax.max_p else np.minimum
    return _chosen(function, _comparable(eqn, (a, b)), _operand_dtype(eqn))


@fold(lax.clamp_p)
def _clamp(eqn: JaxprEqn, least: Bounds, x: Bounds, most: Bounds) -> Bounds | None:
    if _is_complex(eqn):
        return None
    operands = _comparable(eqn, (least, x, most))
    return _chosen(
        lambda a, x, b: np.minimum(np.maximum(a, x), b), operands, _operand_dtype(eqn)
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
    dtype = _operand_dtype(eqn)
    return (
        [as_floats(op, dtype) for op in operands] if is_inexact(dtype) else list(operands)
    )


def _sides(x: Bounds, dtype: Any) -> tuple[Operand, Operand]:
    """The bounds of floating-point numbers in float64."""
    x = as_floats(x, dtype)
    return x.lo, x.hi


@fold(lax.sign_p)
def _sign(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    if _is_complex(eqn):
        return _zeros(x.zero, _operand_dtype(eqn))
    (x,) = _comparable(eqn, (x,))
    if x.is_exact:
        return exact(np.sign(x.lo))
    lo, hi = np.sign(x.lo), np.sign(x.hi)
    return Bounds(lo, hi) if is_inexact(_operand_dtype(eqn)) else between(lo, hi)


@fold(lax.lt_p, lax.le_p, lax.gt_p, lax.ge_p, lax.eq_p, lax.ne_p)
@fold(lax.lt_to_p, lax.le_to_p, lax.eq_to_p)
def _compare(eqn: JaxprEqn, a: Bounds, b: Bounds) -> Bounds | None:
    """A comparison is known where the bounds decide it."""
    primitive = eqn.primitive
    if _is_complex(eqn):
        return None
    same = a is b
    (a, b), dtype = _comparable(eqn, (a, b)), _operand_dtype(eqn)
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
    dtype = _operand_dtype(eqn)
    lo, hi = _sides(x, dtype)
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
    first, last = as_int64(which)
    if which.is_exact:
        if first.size and (first == first.flat[0]).all():
            return cases[int(np.clip(first.flat[0], 0, len(cases) - 1))]
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
    dtype, primitive = _operand_dtype(eqn), eqn.primitive
    if a.is_exact and b.is_exact:
        return exact(np.asarray(_BITWISE[primitive](a.lo, b.lo)))
    if is_bool(dtype) and primitive is not lax.xor_p:
        function = _BITWISE[primitive]
        return between(function(a.lo, b.lo), function(a.hi, b.hi))
    if is_bool(dtype):
        known, value = a.known & b.known, a.lo ^ b.lo
        return between(value & known, value | ~known)
    (a_lo, a_hi), (b_lo, b_hi) = as_int64(a), as_int64(b)
    if primitive is lax.and_p:  # Not above either operand that is not negative.
        limit = np.minimum(
            np.where(a_lo >= 0, a_hi, _INT64_MAX), np.where(b_lo >= 0, b_hi, _INT64_MAX)
        )
        lost = (a_lo < 0) & (b_lo < 0)
        return fitted(np.zeros_like(limit), limit, lost, dtype)
    lost = (a_lo < 0) | (b_lo < 0)
    most = np.maximum(np.maximum(a_hi, b_hi), 1).astype(np.float64)
    limit = np.exp2(np.minimum(np.floor(np.log2(most)) + 1, 62)).astype(np.int64) - 1
    return fitted(np.zeros_like(limit), limit, lost | (most >= _OVERFLOW / 2), dtype)


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
    dtype = _operand_dtype(eqn)
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
        return fitted(lo << shift, hi << shift, size >= _OVERFLOW, dtype)
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


# --- Conversions --------------------------------------------------------------------------


@fold(lax.convert_element_type_p)
def _convert(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    old, new = _operand_dtype(eqn), dtype_of(eqn.outvars[0])
    if new == old:
        return x
    if jnp.issubdtype(old, jnp.complexfloating) or jnp.issubdtype(new, jnp.complexfloating):
        if is_bool(new):
            return None
        return _zeros(x.zero, new)
    if is_inexact(old):
        return _from_float(as_floats(x, old), old, new)
    if is_inexact(new):
        return _to_float(x, new)
    if is_bool(new):
        return between((x.lo > 0) | (x.hi < 0), (x.lo != 0) | (x.hi != 0))
    if x.is_exact:
        return exact(x.lo.astype(new))
    return fitted(*as_int64(x), False, new)


def _from_float(x: Bounds, old: Any, new: Any) -> Bounds | None:
    lo, hi = x.lo, x.hi
    lost = np.isnan(lo) | np.isnan(hi)
    if is_bool(new):
        return between(((lo > 0) | (hi < 0)) & ~lost, (lo != 0) | (hi != 0) | lost)
    if not is_inexact(new):
        lo, hi = np.trunc(lo), np.trunc(hi)
        info = np.iinfo(new)
        lost = lost | (lo < float(info.min)) | (hi >= min(float(info.max), _OVERFLOW))
        lo, hi = (np.where(lost, 0, side).astype(np.int64) for side in (lo, hi))
        return fitted(lo, hi, lost, new)
    if x.is_exact:
        if rounding.precision(new).bits >= rounding.precision(old).bits:
            return x
        unit, reach = rounding.unit_of(x), rounding.reach_of(x)
        if (found := rounding.if_exact(x.lo, unit, reach, new)) is not None:
            return found
        same = x.lo.astype(new).astype(np.float64) == x.lo
        if x.reach is None and same.all():
            return as_floats(x, new)
    found = rounding.rounded(lo, hi, new, rounding.ARITHMETIC)
    return Bounds(found.lo, found.hi, reach=x.reach)


def _to_float(x: Bounds, new: Any) -> Bounds:
    lo, hi = x.lo.astype(np.float64), x.hi.astype(np.float64)
    limit = min(2.0 ** rounding.precision(new).bits, rounding.precision(new).largest)
    fits = (np.abs(lo) <= limit) & (np.abs(hi) <= limit)
    if fits.all():
        return exact(lo) if x.is_exact else Bounds(lo, hi)
    found = rounding.rounded(lo, hi, new, rounding.ARITHMETIC)
    return Bounds(np.where(fits, lo, found.lo), np.where(fits, hi, found.hi))


@fold(lax.reduce_precision_p)
def _reduce_precision(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype = _operand_dtype(eqn)
    if _is_complex(eqn) or eqn.params["exponent_bits"] < jnp.finfo(dtype).nexp:
        return None
    ulps = 2.0 ** (jnp.finfo(dtype).nmant - eqn.params["mantissa_bits"] + 2)
    return rounding.rounded(*_sides(x, dtype), dtype, max(ulps, 4.0))


@fold(lax.floor_p, lax.ceil_p, lax.round_p)
def _to_integer(eqn: JaxprEqn, x: Bounds) -> Bounds:
    dtype = _operand_dtype(eqn)
    x = as_floats(x, dtype)
    function = _ROUNDINGS[eqn.primitive](eqn)
    return exact(function(x.lo)) if x.is_exact else Bounds(function(x.lo), function(x.hi))


def _round(eqn: JaxprEqn) -> Callable[[Operand], Operand]:
    if eqn.params["rounding_method"] == lax.RoundingMethod.TO_NEAREST_EVEN:
        return np.rint
    return lambda x: np.trunc(x + np.copysign(0.5, x))


_ROUNDINGS: dict[Primitive, Callable[[JaxprEqn], Callable[[Operand], Operand]]] = {
    lax.floor_p: lambda eqn: np.floor,
    lax.ceil_p: lambda eqn: np.ceil,
    lax.round_p: _round,
}


# --- Complex numbers ----------------------------------------------------------------------


@fold(lax.real_p, lax.imag_p, lax.conj_p)
def _part(eqn: JaxprEqn, z: Bounds) -> Bounds:
    function = {lax.real_p: np.real, lax.imag_p: np.imag, lax.conj_p: np.conj}[
        eqn.primitive
    ]
    dtype = dtype_of(eqn.outvars[0])
    if z.is_exact:
        return exact(np.asarray(function(z.lo), dtype))
    return _zeros(z.zero, dtype)


_PARTS: dict[Primitive, Callable[[Operand], Operand]] = {
    lax.real_p: np.real,
    lax.imag_p: np.imag,
    lax.conj_p: np.conj,
}


@fold(lax.complex_p)
def _complex(eqn: JaxprEqn, real: Bounds, imag: Bounds) -> Bounds:
    dtype = dtype_of(eqn.outvars[0])
    if real.is_exact and imag.is_exact and real.reach is imag.reach is None:
        value = np.asarray(real.lo) + 1j * np.asarray(imag.lo)
        return exact(value.astype(dtype))
    return _zeros(np.asarray(real.zero & imag.zero), dtype)


# --- Elementary functions -----------------------------------------------------------------

_KEEP_ZERO: dict[Primitive, Callable[..., Any]] = {
    lax.sqrt_p: np.sqrt,
    lax.cbrt_p: np.cbrt,
    lax.expm1_p: np.expm1,
    lax.log1p_p: np.log1p,
    lax.sinh_p: np.sinh,
    lax.tanh_p: np.tanh,
    lax.asinh_p: np.arcsinh,
    lax.atanh_p: np.arctanh,
    lax.asin_p: np.arcsin,
    lax.atan_p: np.arctan,
    lax.erf_p: scipy.special.erf,
    lax.erf_inv_p: scipy.special.erfinv,
}
"""Increasing functions that are zero at zero."""


@fold(*_KEEP_ZERO, lax.exp_p, lax.exp2_p, lax.logistic_p)
def _increasing(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    primitive, dtype = eqn.primitive, _operand_dtype(eqn)
    keeps_zero = primitive in _KEEP_ZERO
    if _is_complex(eqn):
        return _zeros(x.zero, dtype) if keeps_zero else None
    function = _KEEP_ZERO[primitive] if keeps_zero else _GROWING[primitive]
    return rounding.increasing(function, as_floats(x, dtype), dtype, keeps_zero=keeps_zero)


_GROWING: dict[Primitive, Callable[..., Any]] = {
    lax.exp_p: np.exp,
    lax.exp2_p: np.exp2,
    lax.logistic_p: scipy.special.expit,
}


@fold(lax.log_p)
def _log(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype = _operand_dtype(eqn)
    return None if _is_complex(eqn) else rounding.logarithm(as_floats(x, dtype), dtype)


@fold(lax.rsqrt_p)
def _rsqrt(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype = _operand_dtype(eqn)
    if _is_complex(eqn):
        return None
    root = rounding.increasing(np.sqrt, as_floats(x, dtype), dtype, keeps_zero=True)
    return rounding.divide(exact(np.ones(())), root, dtype)


@fold(lax.sin_p, lax.cos_p)
def _wave(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype, is_sine = _operand_dtype(eqn), eqn.primitive is lax.sin_p
    if _is_complex(eqn):
        return _zeros(x.zero, dtype) if is_sine else None
    function = np.sin if is_sine else np.cos
    return rounding.wave(function, as_floats(x, dtype), dtype, keeps_zero=is_sine)


@fold(lax.acos_p)
def _acos(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype = _operand_dtype(eqn)
    if _is_complex(eqn):
        return None
    lo, hi = _sides(x, dtype)
    error = rounding.FUNCTIONS * rounding.precision(dtype).eps
    return rounding.rounded(np.arccos(hi), np.arccos(lo), dtype, rounding.FUNCTIONS, error)


@fold(lax.atan2_p)
def _atan2(eqn: JaxprEqn, y: Bounds, x: Bounds) -> Bounds | None:
    """The angle of points that are all on one side of the negative axis."""
    dtype = _operand_dtype(eqn)
    if _is_complex(eqn):
        return None
    (y_lo, y_hi), (x_lo, x_hi) = _sides(y, dtype), _sides(x, dtype)
    corners = [np.arctan2(b, a) for b in (y_lo, y_hi) for a in (x_lo, x_hi)]
    one_side = (x_lo > 0) | (y_lo > 0) | (y_hi < 0)
    lo, hi = np.minimum.reduce(corners), np.maximum.reduce(corners)
    lo, hi = np.where(one_side, lo, np.nan), np.where(one_side, hi, np.nan)
    error = rounding.FUNCTIONS * rounding.precision(dtype).eps
    return rounding.rounded(lo, hi, dtype, rounding.FUNCTIONS, error)
