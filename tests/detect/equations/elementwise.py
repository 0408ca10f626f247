"""Equations of elementwise primitives."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.extend.core import primitives as p

from asdex._base.compat import LOG2, ONE_MINUS_SQUARE, POLYNOMIAL

from .frame import (
    Equation,
    Exact,
    Operand,
    Rng,
    between,
    booleans,
    complex_,
    equation,
    integers,
    real,
    some_shape,
)

Kind = Callable[..., Operand]


def unit(*shape: int) -> Operand:
    """Numbers strictly between 0 and 1."""
    return between(0.1, 0.9, *shape)


def above_one(*shape: int) -> Operand:
    """Numbers larger than 1."""
    return between(1.1, 3.0, *shape)


def scalar(*shape: int) -> Operand:
    """One number for the whole array."""
    del shape
    return real()


def small_integers(*shape: int) -> Operand:
    """Integers of both signs."""
    return integers(-6, 6, *shape)


def shifts(*shape: int) -> Operand:
    """How far to shift a small integer."""
    return integers(0, 3, *shape)


def _row(
    primitive: Primitive, fun: Callable[..., Any], *kinds: Kind, exact: Exact = "yes"
) -> None:
    """A row of operands that all have the shape of the result."""

    @equation(primitive)
    def make(rng: Rng) -> Equation:
        shape = some_shape(rng, least=0)
        return Equation(fun, [kind(*shape) for kind in kinds], exact)


for name in (
    *("exp", "exp2", "expm1", "log", "log1p", "logistic", "sin", "cos", "tan", "asin"),
    *("acos", "atan", "sinh", "cosh", "tanh", "asinh", "atanh", "sqrt", "rsqrt", "cbrt"),
    *("erf", "erfc", "erf_inv", "lgamma", "digamma", "bessel_i0e", "bessel_i1e"),
):
    _row(getattr(lax, name + "_p"), getattr(lax, name), unit)
for name in ("neg", "abs", "square", "sign", "floor", "ceil", "round"):
    _row(getattr(lax, name + "_p"), getattr(lax, name), real)
for name in ("lt", "le", "gt", "ge", "add", "sub", "max", "min", "atan2"):
    _row(getattr(lax, name + "_p"), getattr(lax, name), real, real, exact="unknown")
for name in ("eq", "ne"):  # Two numbers are seldom equal.
    _row(getattr(lax, name + "_p"), getattr(lax, name), real, real, exact="no")
for name in ("not", "clz", "population_count"):
    fun = getattr(lax, "bitwise_not" if name == "not" else name)
    _row(getattr(lax, name + "_p"), fun, small_integers)
for name in ("and", "or", "xor"):
    fun = getattr(lax, f"bitwise_{name}")
    _row(getattr(lax, name + "_p"), fun, small_integers, small_integers, exact="unknown")
    _row(getattr(lax, name + "_p"), fun, booleans, booleans, exact="unknown")
for name in ("shift_left", "shift_right_arithmetic", "shift_right_logical"):
    fun = getattr(lax, name)
    _row(getattr(lax, name + "_p"), fun, small_integers, shifts, exact="unknown")
for name in ("eq_to", "le_to", "lt_to"):
    primitive = getattr(lax, name + "_p")
    _row(primitive, primitive.bind, real, real, exact="no")
for name in ("igamma", "igammac", "igamma_grad_a"):
    _row(getattr(lax, name + "_p"), getattr(lax, name), unit, unit)

for primitive in (*LOG2, *ONE_MINUS_SQUARE, *POLYNOMIAL):
    if primitive.name == "polynomial":  # A zero removes dependence.
        _row(primitive, primitive.bind, real, real, real, scalar, exact="unknown")
    else:
        _row(primitive, getattr(lax, primitive.name), unit)

_row(lax.nextafter_p, lax.nextafter, unit, unit, exact="no")
_row(lax.acosh_p, lax.acosh, above_one)
_row(
    lax.mulhi_p,
    lax.mulhi,
    lambda *shape: integers(0, 2**30, *shape),
    small_integers,
    exact="unknown",
)
_row(lax.zeta_p, lax.zeta, above_one, unit)
_row(
    lax.polygamma_p, lax.polygamma, lambda *shape: integers(1, 3, *shape, dtype=float), unit
)
_row(lax.regularized_incomplete_beta_p, lax.betainc, unit, unit, unit)
_row(lax.is_finite_p, lax.is_finite, real, exact="no")
_row(lax.div_p, lax.div, real, unit, exact="unknown")
_row(lax.rem_p, lax.rem, real, unit, exact="unknown")
_row(lax.pow_p, lax.pow, unit, unit)
_row(lax.mul_p, lax.mul, real, real)
_row(lax.mul_p, lax.mul, complex_, complex_)
_row(lax.integer_pow_p, lambda x: lax.integer_pow(x, 3), real)
_row(lax.integer_pow_p, lambda x: lax.integer_pow(x, -2), unit)
_row(lax.reduce_precision_p, lambda x: lax.reduce_precision(x, 5, 2), real)
_row(lax.convert_element_type_p, lambda x: lax.convert_element_type(x, np.float32), real)
_row(lax.convert_element_type_p, lambda x: lax.convert_element_type(x, bool), real)
_row(lax.complex_p, lax.complex, real, real)
_row(lax.real_p, lax.real, complex_)
_row(lax.imag_p, lax.imag, complex_)
_row(lax.conj_p, lax.conj, complex_)
_row(p.add_jaxvals_p, p.add_jaxvals_p.bind, real, real)
_row(lax.clamp_p, lax.clamp, real, real, real, exact="unknown")
_row(lax.select_n_p, lax.select_n, booleans, real, real, exact="unknown")
_row(
    lax.select_n_p,
    lax.select_n,
    lambda *s: integers(0, 2, *s),
    real,
    real,
    real,
    exact="unknown",
)


def _bitcasts(old: Any, new: Any, *last: int) -> None:
    @equation(lax.bitcast_convert_type_p)
    def make(rng: Rng) -> Equation:
        operand = integers(0, 200, *some_shape(rng), *last, dtype=old)
        # The operands are too small to change all parts of a wide integer.
        exact = "yes" if np.dtype(old).itemsize <= np.dtype(new).itemsize else "no"
        return Equation(
            lambda x: lax.bitcast_convert_type(x, new).astype(np.int32), [operand], exact
        )


_bitcasts(np.int32, np.uint32)
_bitcasts(np.uint8, np.int32, 4)
_bitcasts(np.int32, np.uint8)


@equation(lax.clamp_p)
def clamp_by_scalars(rng: Rng) -> Equation:
    return Equation(
        lax.clamp, [between(-2, 0), real(*some_shape(rng)), between(0, 2)], "unknown"
    )


@equation(lax.select_n_p)
def select_by_scalar(rng: Rng) -> Equation:
    shape = some_shape(rng)
    operands = [booleans(), real(*shape), real(*shape)]
    return Equation(lax.select_n, operands, inputs=[1, 2])
