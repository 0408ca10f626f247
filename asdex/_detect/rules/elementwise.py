"""Each element of the output depends on the same element of the operands."""

from collections.abc import Sequence

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jax.extend.core import primitives as p

from ..._base.compat import LOG2, ONE_MINUS_SQUARE, POLYNOMIAL
from .. import coefficients as co
from ..dependence import Dependence, align, combine, nothing, union
from ..folding.bounds import dtype_of, is_inexact
from ..registry import register
from ..terms import Shape
from ..value import Scope, Value, output_shape


def broadcast_to(operand: Value, shape: Shape) -> Dependence:
    """Dependence of an operand that may be a scalar in place of a whole array."""
    dependence = operand.dependence
    assert dependence is not None
    return dependence if dependence.shape == shape else dependence.broadcast(shape)


@register(
    *(lax.add_p, lax.sub_p, p.add_jaxvals_p, lax.complex_p),
    coefficients=True,
)
def add(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """A sum of linear functions of the operands."""
    shape = output_shape(eqn)
    sources = [
        broadcast_to(op, shape) if op.dependence else nothing(shape, scope.n)
        for op in operands
    ]
    joins = {lax.sub_p: co.subtract, lax.complex_p: lambda x, y: co.apply(eqn, x, y)}
    return align(sources, joins.get(eqn.primitive, co.add))


@register(
    *(lax.neg_p, lax.convert_element_type_p, lax.reduce_precision_p, lax.real_p),
    *(lax.imag_p, lax.conj_p),
    coefficients=True,
)
def unary(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Linear in real numbers, unless it makes integers of them."""
    (operand,) = operands
    assert operand.dependence is not None
    if not is_inexact(dtype_of(eqn.outvars[0])):
        scope.lacks_coefficients(eqn)
    # A factor that is complex can only be taken out of what is linear in complex numbers.
    is_complex = np.issubdtype(operand.aval.dtype, np.complexfloating)
    source = operand.dependence
    return (source.map_entries if is_complex else source.map)(lambda x: co.apply(eqn, x))


@register(
    *(lax.max_p, lax.min_p, lax.abs_p, lax.clamp_p, lax.rem_p, lax.pow_p, lax.atan2_p),
    *(lax.sign_p, lax.floor_p, lax.ceil_p, lax.round_p, lax.is_finite_p, lax.nextafter_p),
    *(lax.exp_p, lax.exp2_p, lax.expm1_p, lax.log_p, lax.log1p_p, lax.logistic_p),
    *(lax.sin_p, lax.cos_p, lax.tan_p, lax.asin_p, lax.acos_p, lax.atan_p),
    *(lax.sinh_p, lax.cosh_p, lax.tanh_p, lax.asinh_p, lax.acosh_p, lax.atanh_p),
    *(lax.sqrt_p, lax.rsqrt_p, lax.cbrt_p, lax.square_p, lax.integer_pow_p),
    *(lax.erf_p, lax.erfc_p, lax.erf_inv_p, lax.lgamma_p, lax.digamma_p),
    *(lax.eq_p, lax.ne_p, lax.lt_p, lax.le_p, lax.gt_p, lax.ge_p),
    *(lax.not_p, lax.and_p, lax.or_p, lax.xor_p, lax.clz_p, lax.population_count_p),
    *(lax.eq_to_p, lax.le_to_p, lax.lt_to_p, lax.mulhi_p, lax.shift_left_p),
    *(lax.shift_right_arithmetic_p, lax.shift_right_logical_p),
    *(lax.bessel_i0e_p, lax.bessel_i1e_p, lax.igamma_p, lax.igammac_p, lax.zeta_p),
    *(lax.igamma_grad_a_p, lax.polygamma_p, lax.regularized_incomplete_beta_p),
    *(*LOG2, *ONE_MINUS_SQUARE, *POLYNOMIAL),
)
def elementwise(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Nonlinear functions are here too: a custom rule may apply one to a cotangent."""
    del scope
    shape = output_shape(eqn)
    return union([broadcast_to(op, shape) for op in operands if op.dependence])


@register(lax.mul_p, coefficients=True)
def multiply(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """A coefficient known to be zero removes dependence."""
    shape = output_shape(eqn)
    products = []
    for operand, other in (operands, operands[::-1]):
        if operand.dependence is None:
            continue
        coefficient, factor = scope.coefficient(other), scope.factor(other)
        product = broadcast_to(operand, shape)
        product = product.map(lambda x, y=factor: co.multiply(x, y))
        if coefficient is not None:
            product = product.without(coefficient.zero)
        products.append(product)
    if len(products) > 1:
        scope.lacks_coefficients(eqn)
    return union(products)


@register(lax.div_p, coefficients=True)
def divide(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Linear in the numerator."""
    numerator, denominator = operands
    if denominator.dependence is not None:
        scope.lacks_coefficients(eqn)
        shape = output_shape(eqn)
        return union([broadcast_to(op, shape) for op in operands if op.dependence])
    divisor = scope.factor(denominator)
    result = broadcast_to(numerator, output_shape(eqn))
    return result.map(lambda x: co.apply(eqn, x, divisor))


@register(lax.bitcast_convert_type_p)
def bitcast(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """The bits of an element are those of one element, or of all along a last axis that
    only one of the two types has."""
    del scope
    dependence, shape = operands[0].dependence, output_shape(eqn)
    assert dependence is not None
    rank = len(dependence.shape)
    if rank > len(shape):
        return dependence.merge((rank - 1,)).reshape(shape)
    if rank < len(shape):
        return dependence.reshape((*dependence.shape, 1)).broadcast(shape)
    return dependence


@register(lax.select_n_p, coefficients=True)
def select_n(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """The case that is taken where the predicate is known, otherwise all possible ones."""
    shape = output_shape(eqn)
    which, *cases = operands
    predicate = scope.predicate(which)
    if which.dependence is not None:
        scope.lacks_coefficients(eqn)
        return union([broadcast_to(op, shape) for op in operands if op.dependence])
    sources = [case.dependence or nothing(shape, scope.n) for case in cases]

    def select(*xs: co.Coefficients) -> co.Coefficients:
        return co.apply(eqn, which.array, *xs)

    if predicate is None:
        return align(sources, select)
    last = len(cases) - 1
    least, most = (
        np.broadcast_to(np.clip(np.asarray(side, np.int64), 0, last), shape)
        for side in (predicate.lo, predicate.hi)
    )
    if predicate.is_exact:
        return combine(sources, lambda *xs: co.choose(least, xs), shape)
    possible = [
        source.without(np.asarray((number < least) | (number > most)))
        for number, source in enumerate(sources)
    ]
    return align(possible, select)
