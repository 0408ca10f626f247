"""Solves and Fourier transforms: dense along the axes they act on, precise elsewhere."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, JaxprEqn
from jax.extend.core import primitives as p

from ..compose import as_own_inputs, joined, split
from ..dependence import Dependence, nothing
from ..interpret import conservative
from ..matrices import boolean
from ..registry import Outcome, register
from ..value import Scope, Value, output_shape
from .control import call
from .reductions import running_union


@register(lax.fft_p)
def fourier(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Dense along the transformed axes, the last ones."""
    del scope
    dependence = operands[0].dependence
    assert dependence is not None
    rank = len(dependence.shape)
    axes = range(rank - len(eqn.params["fft_lengths"]), rank)
    return dependence.merge(tuple(axes)).broadcast(output_shape(eqn))


@register(p.triangular_solve_p, linear=(1,))
def triangular_solve(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Forward or backward substitution along the rows (columns, from the right)."""
    del scope
    params, dependence = eqn.params, operands[1].dependence
    assert dependence is not None
    if not dependence.size:
        return dependence
    axis = len(dependence.shape) - (2 if params["left_side"] else 1)
    # Transposing the matrix reverses the order, and so does solving from the right.
    forward = params["lower"] ^ bool(params["transpose_a"]) ^ (not params["left_side"])
    return running_union(dependence, axis, reverse=not forward)


@register(p.tridiagonal_solve_p, linear=(3,))
def tridiagonal_solve(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Dense along the rows, as the inverse of a tridiagonal matrix is."""
    del scope
    dependence = operands[3].dependence
    assert dependence is not None
    merged = dependence.merge((len(dependence.shape) - 2,))
    return merged.broadcast(output_shape(eqn))


@register(p.linear_solve_p)
def linear_solve(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Outcome:
    """The solution of `A x = b`, where a program gives the product with `A`. How the
    system is solved does not matter, nor what the solver returns in addition to `x`."""
    lengths, product = eqn.params["const_lengths"], eqn.params["jaxprs"].matvec
    first = sum(lengths)
    consts, sides = operands[:first], operands[first:]
    if any(const.dependence is not None for const in consts):
        return conservative(eqn, operands, scope, "a matrix that depends on the input")
    unknowns = [side.aval for side in sides]
    solved = solve_in_blocks(product, consts[: lengths.matvec], unknowns, sides, scope)
    return [*solved, *(Value(var.aval) for var in eqn.outvars[len(sides) :])]


def solve_in_blocks(
    product: ClosedJaxpr,
    consts: Sequence[Value],
    unknowns: Sequence[Any],
    sides: Sequence[Value],
    scope: Scope,
) -> list[Dependence]:
    """Solutions of the types `unknowns` for the right-hand sides `sides`, where `product`
    takes constants, which depend on no input, and unknowns to the left-hand sides.

    The (pseudo-)inverse of a matrix is dense at most within its blocks: the connected
    components of the graph in which each entry joins its row and its column.
    """
    from scipy.sparse.csgraph import connected_components  # Slow to import.

    empty = [Value(aval, nothing(aval.shape, 0)) for aval in unknowns]
    own, inner = as_own_inputs([*consts, *empty], scope.apart())
    products = call(product, own, inner)
    pattern = joined([_or_nothing(value, inner.n) for value in products], inner.n).matrix()
    height, width = pattern.shape
    rows = np.repeat(np.arange(height), np.diff(pattern.indptr))
    graph = boolean(rows, height + pattern.indices, (height + width, height + width))
    count, block = connected_components(graph, directed=False)
    right = joined([_or_nothing(side, scope.n) for side in sides], scope.n)
    blocks = right.spread(block[:height], np.arange(height), (int(count),))
    return split(blocks.take(block[height:]), [aval.shape for aval in unknowns])


def _or_nothing(value: Value, n: int) -> Dependence:
    return value.dependence or nothing(value.shape, n)
