"""Sums along axes and running sums."""

from collections.abc import Sequence

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn

from ..dependence import Dependence, nothing
from ..table import Scope, Value, output_shape, register


@register(
    *(lax.reduce_sum_p, lax.reduce_max_p, lax.reduce_min_p, lax.reduce_prod_p),
    *(lax.reduce_and_p, lax.reduce_or_p, lax.reduce_xor_p, lax.argmax_p, lax.argmin_p),
)
def reduce(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Each output depends on the elements that are reduced to it."""
    del scope
    dependence = operands[0].dependence
    assert dependence is not None
    return dependence.merge(eqn.params["axes"]).reshape(output_shape(eqn))


@register(
    *(lax.cumsum_p, lax.cumprod_p, lax.cummax_p, lax.cummin_p, lax.cumlogsumexp_p),
)
def cumulate(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Each output depends on the elements up to its own along the axis."""
    dependence = operands[0].dependence
    assert dependence is not None
    if not dependence.size:
        return nothing(dependence.shape, scope.n)
    axis = eqn.params["axis"]
    upto, element = np.tril_indices(dependence.shape[axis])
    if eqn.params["reverse"]:
        upto, element = element, upto
    index = np.arange(dependence.size, dtype=np.int32).reshape(dependence.shape)
    targets, sources = (np.take(index, part, axis).reshape(-1) for part in (upto, element))
    return dependence.spread(targets, sources, dependence.shape)
