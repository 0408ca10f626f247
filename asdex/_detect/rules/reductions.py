"""Sums along axes and running sums."""

from collections.abc import Sequence
from math import prod

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn

from ..dependence import Dependence, combine, nothing, union
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
    return running_union(dependence, eqn.params["axis"], reverse=eqn.params["reverse"])


GROUP = 32
"""Elements that are joined pair by pair in a running union."""


def running_union(dependence: Dependence, axis: int, *, reverse: bool) -> Dependence:
    """Each element depends on all up to its own along the axis, from the end if `reverse`.

    The elements up to one are those up to it in its group, then the groups up to its own in
    their group, and so on: one term for each level, and a matrix of a few entries per
    element in place of half a square. The whole is made only of the elements that are used.
    """
    length = dependence.shape[axis]
    along = slice(None, None, -1 if reverse else 1)

    def to_lanes(rows: np.ndarray) -> np.ndarray:
        return np.moveaxis(rows, axis, -1)[..., along]

    def back(rows: np.ndarray) -> np.ndarray:
        return np.moveaxis(rows[..., along], -1, axis)

    others = tuple(np.delete(dependence.shape, axis).tolist())
    lanes = combine([dependence], to_lanes, (*others, length))
    joined = _running_union_of_lanes(lanes.reshape((prod(others), length)))
    return combine([joined.reshape(lanes.shape)], back, dependence.shape)


def _running_union_of_lanes(lanes: Dependence) -> Dependence:
    """Along the last of two axes."""
    count, length = lanes.shape
    lane, position = np.arange(count)[:, None], np.arange(length)
    parts, step = [], 1
    while True:
        size = lanes.shape[1]
        within = _running_union_of_groups(lanes)
        place = position // step
        if step > 1:  # The groups before, since lower levels are of the own.
            place = np.where(place % GROUP == 0, -1, place - 1)
        parts.append(within.take(np.where(place < 0, -1, lane * size + place)))
        if size <= GROUP:
            return union(parts)
        ends = np.minimum(np.arange(GROUP - 1, size + GROUP - 1, GROUP), size - 1)
        lanes = within.take(lane * size + ends)
        step *= GROUP


def _running_union_of_groups(lanes: Dependence) -> Dependence:
    count, size = lanes.shape
    position = np.arange(size)
    before = position % GROUP + 1
    targets = np.repeat(position, before)
    ends = np.cumsum(before)
    sources = targets - (np.repeat(ends, before) - 1 - np.arange(ends[-1]))
    offset = size * np.arange(count)[:, None]
    return lanes.spread(
        (offset + targets).reshape(-1), (offset + sources).reshape(-1), lanes.shape
    )


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
