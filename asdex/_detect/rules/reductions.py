"""Sums along axes and running sums."""

from collections.abc import Sequence

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn

from ..dependence import Dependence, nothing, union
from ..registry import register
from ..value import Scope, Value, output_shape


@register(lax.reduce_sum_p, coefficients=True)
@register(
    *(lax.reduce_max_p, lax.reduce_min_p, lax.reduce_prod_p),
    *(lax.reduce_and_p, lax.reduce_or_p, lax.reduce_xor_p, lax.argmax_p, lax.argmin_p),
)
def reduce(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Each output depends on the elements that are reduced to it."""
    del scope
    dependence = operands[0].dependence
    assert dependence is not None
    return dependence.merge(eqn.params["axes"]).reshape(output_shape(eqn))


@register(*(lax.cumsum_p, lax.cumprod_p, lax.cummax_p, lax.cummin_p, lax.cumlogsumexp_p))
def cumulate(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Each output depends on the elements up to its own along the axis."""
    dependence = operands[0].dependence
    assert dependence is not None
    if not dependence.size:
        return nothing(dependence.shape, scope.n)
    axis = eqn.params["axis"]
    later, earlier = np.tril_indices(dependence.shape[axis])
    if eqn.params["reverse"]:
        later, earlier = earlier, later
    return dependence.mix(axis, later, earlier)


@register(lax.reduce_p)
def reduce_any(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Dependence]:
    """A reduction of several arrays by one function couples them."""
    del scope
    shape = output_shape(eqn)
    axes = eqn.params["dimensions"]
    count = len(eqn.outvars)
    parts = [
        op.dependence.merge(axes).reshape(shape) for op in operands[:count] if op.dependence
    ]
    parts += [op.dependence.broadcast(shape) for op in operands[count:] if op.dependence]
    return [union(parts)] * count


@register(lax.sort_p)
def sort(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Dependence]:
    """An element can move anywhere along the axis, led by any operand."""
    del scope
    axis = eqn.params["dimension"]
    merged = [op.dependence.merge((axis,)) for op in operands if op.dependence]
    return [union(merged).broadcast(operands[0].shape)] * len(operands)


@register(lax.top_k_p, lax.approx_top_k_p)
def top_k(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Dependence]:
    """Values and indices depend on all elements along the axis."""
    del scope
    dependence = operands[0].dependence
    assert dependence is not None
    axis = eqn.params.get("axis", eqn.params.get("reduction_dimension", -1))
    merged = dependence.merge((axis % len(dependence.shape),))
    return [merged.broadcast(output_shape(eqn))] * len(eqn.outvars)
