"""Bounds of conversions, of parts of complex numbers and of elementary functions."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn, Primitive

from ..._base.compat import LOG2
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
    only_zeros,
    operand_dtype,
    takes_complex,
)
from .rounding import as_floats, as_sides
from .table import fold


@fold(lax.convert_element_type_p)
def _convert(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    old, new = operand_dtype(eqn), dtype_of(eqn.outvars[0])
    if new == old:
        return x
    if jnp.issubdtype(old, jnp.complexfloating) or jnp.issubdtype(new, jnp.complexfloating):
        if is_bool(new):
            return None
        return only_zeros(x.zero, new)
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
        lost = lost | (lo < float(info.min)) | (hi >= min(float(info.max), OVERFLOW))
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
    dtype = operand_dtype(eqn)
    if takes_complex(eqn) or eqn.params["exponent_bits"] < jnp.finfo(dtype).nexp:
        return None
    ulps = 2.0 ** (jnp.finfo(dtype).nmant - eqn.params["mantissa_bits"] + 2)
    return rounding.rounded(*as_sides(x, dtype), dtype, max(ulps, 4.0))


@fold(lax.floor_p, lax.ceil_p, lax.round_p)
def _to_integer(eqn: JaxprEqn, x: Bounds) -> Bounds:
    dtype = operand_dtype(eqn)
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
    return only_zeros(z.zero, dtype)


@fold(lax.complex_p)
def _complex(eqn: JaxprEqn, real: Bounds, imag: Bounds) -> Bounds:
    dtype = dtype_of(eqn.outvars[0])
    if real.is_exact and imag.is_exact and real.reach is imag.reach is None:
        value = np.asarray(real.lo) + 1j * np.asarray(imag.lo)
        return exact(value.astype(dtype))
    return only_zeros(np.asarray(real.zero & imag.zero), dtype)


# --- Elementary functions -----------------------------------------------------------------


def _special(name: str) -> Callable[[Operand], Operand]:
    """A function of `scipy.special`, which is slow to import."""

    def function(x: Operand) -> Operand:
        import scipy.special

        return getattr(scipy.special, name)(x)

    return function


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
    lax.erf_p: _special("erf"),
    lax.erf_inv_p: _special("erfinv"),
}
"""Increasing functions that are zero at zero."""


@fold(*_KEEP_ZERO, lax.exp_p, lax.exp2_p, lax.logistic_p)
def _increasing(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    primitive, dtype = eqn.primitive, operand_dtype(eqn)
    keeps_zero = primitive in _KEEP_ZERO
    if takes_complex(eqn):
        return only_zeros(x.zero, dtype) if keeps_zero else None
    function = _KEEP_ZERO[primitive] if keeps_zero else _GROWING[primitive]
    return rounding.increasing(function, as_floats(x, dtype), dtype, keeps_zero=keeps_zero)


_GROWING: dict[Primitive, Callable[..., Any]] = {
    lax.exp_p: np.exp,
    lax.exp2_p: np.exp2,
    lax.logistic_p: _special("expit"),
}


@fold(lax.log_p, *LOG2)
def _log(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype, base = operand_dtype(eqn), 2.0 if eqn.primitive in LOG2 else np.e
    if takes_complex(eqn):
        return None
    return rounding.logarithm(as_floats(x, dtype), dtype, base)


@fold(lax.rsqrt_p)
def _rsqrt(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype = operand_dtype(eqn)
    if takes_complex(eqn):
        return None
    root = rounding.increasing(np.sqrt, as_floats(x, dtype), dtype, keeps_zero=True)
    return rounding.divide(exact(np.ones(())), root, dtype)


@fold(lax.sin_p, lax.cos_p)
def _wave(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype, is_sine = operand_dtype(eqn), eqn.primitive is lax.sin_p
    if takes_complex(eqn):
        return only_zeros(x.zero, dtype) if is_sine else None
    function = np.sin if is_sine else np.cos
    return rounding.wave(function, as_floats(x, dtype), dtype, keeps_zero=is_sine)


@fold(lax.acos_p)
def _acos(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype = operand_dtype(eqn)
    if takes_complex(eqn):
        return None
    lo, hi = as_sides(x, dtype)
    error = rounding.FUNCTIONS * rounding.precision(dtype).eps
    return rounding.rounded(np.arccos(hi), np.arccos(lo), dtype, rounding.FUNCTIONS, error)


@fold(lax.atan2_p)
def _atan2(eqn: JaxprEqn, y: Bounds, x: Bounds) -> Bounds | None:
    """The angle of points that are all on one side of the negative axis."""
    dtype = operand_dtype(eqn)
    if takes_complex(eqn):
        return None
    (y_lo, y_hi), (x_lo, x_hi) = as_sides(y, dtype), as_sides(x, dtype)
    corners = [np.arctan2(b, a) for b in (y_lo, y_hi) for a in (x_lo, x_hi)]
    one_side = (x_lo > 0) | (y_lo > 0) | (y_hi < 0)
    lo, hi = np.minimum.reduce(corners), np.maximum.reduce(corners)
    lo, hi = np.where(one_side, lo, np.nan), np.where(one_side, hi, np.nan)
    error = rounding.FUNCTIONS * rounding.precision(dtype).eps
    return rounding.rounded(lo, hi, dtype, rounding.FUNCTIONS, error)
