"""Solves and Fourier transforms: dense along the axes they act on, precise elsewhere."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, JaxprEqn
from jax.extend.core import primitives as p
from jaxtyping import Bool

from ..compose import as_own_inputs, joined, split
from ..dependence import Dependence, identity, nothing
from ..folding.bounds import only_zeros
from ..interpret import call, conservative
from ..known import Known, Status
from ..loops.recurrence import closure
from ..matrices import boolean
from ..registry import Outcome, register
from ..value import Scope, Value, output_shape
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
    """Forward or backward substitution along the rows (columns, from the right), only
    through entries of the matrix that are not known to be zero."""
    params, dependence = eqn.params, operands[1].dependence
    assert dependence is not None
    if not dependence.size:
        return dependence
    known = scope.partial_value(operands[0])
    if known is not None:
        zero = np.broadcast_to(known.zero, operands[0].shape)
        part = np.tril if params["lower"] else np.triu
        if part(zero).any():
            return _substituted(eqn, part(~zero), dependence)
    axis = len(dependence.shape) - (2 if params["left_side"] else 1)
    # Transposing the matrix reverses the order, and so does solving from the right.
    forward = params["lower"] ^ bool(params["transpose_a"]) ^ (not params["left_side"])
    return running_union(dependence, axis, reverse=not forward)


def _substituted(
    eqn: JaxprEqn, nonzero: Bool[np.ndarray, "*batch n n"], dependence: Dependence
) -> Dependence:
    """Each line of the solution depends on the lines of the right-hand side from which it
    is reached, in the graph of the entries of the matrix."""
    params, size, width = eqn.params, nonzero.shape[-1], dependence.shape[-1]
    if bool(params["transpose_a"]) == params["left_side"]:
        nonzero = nonzero.swapaxes(-1, -2)
    group, into, of = np.nonzero(nonzero.reshape(-1, size, size))
    count = size * prod(nonzero.shape[:-2])
    graph = closure(boolean(group * size + into, group * size + of, (count, count)))
    index = np.arange(dependence.size)
    if params["left_side"]:
        lines = index.reshape(count, width)
    else:
        lines = index.reshape(-1, dependence.shape[-2], size).swapaxes(1, 2)
        lines = lines.reshape(count, -1)
    targets = lines[np.repeat(np.arange(count), np.diff(graph.indptr))]
    sources = lines[graph.indices]
    return dependence.spread(targets.reshape(-1), sources.reshape(-1), dependence.shape)


@register(p.tridiagonal_solve_p, linear=(3,))
def tridiagonal_solve(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Dense along the rows, as the inverse of a tridiagonal matrix is."""
    del scope
    dependence = operands[3].dependence
    assert dependence is not None
    merged = dependence.merge((len(dependence.shape) - 2,))
    return merged.broadcast(output_shape(eqn))


@register(p.linear_solve_p, always=True)
def linear_solve(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Outcome:
    """The solution of `A x = b`, where a program gives the product with `A`. How the
    system is solved does not matter, nor what the solver returns in addition to `x`."""
    lengths, product = eqn.params["const_lengths"], eqn.params["jaxprs"].matvec
    first = sum(lengths)
    consts, sides = operands[:first], operands[first:]
    if any(const.dependence is not None for const in consts):
        return conservative(eqn, operands, scope, "a matrix that depends on the input")
    unknowns = [side.aval for side in sides]
    others = [Value(var.aval) for var in eqn.outvars[len(sides) :]]
    matrix = consts[: lengths.matvec]
    if any(side.dependence is not None for side in sides):
        return [*solve_in_blocks(product, matrix, unknowns, sides, scope), *others]
    return [*_solution_of_constants(product, matrix, unknowns, sides, scope), *others]


def _solution_of_constants(
    product: ClosedJaxpr,
    matrix: Sequence[Value],
    unknowns: Sequence[Any],
    sides: Sequence[Value],
    scope: Scope,
) -> list[Value]:
    """The solution for right-hand sides that depend on no input, such as the columns of
    the inverse: zero where it depends on zeros only."""
    found = [scope.partial_value(side) for side in sides]
    if all(bounds is None or not bounds.zero.any() for bounds in found):
        return [Value(aval) for aval in unknowns]
    alone = replace(scope.apart(), n=1, emits=False)
    nonzero = []
    for side, bounds in zip(sides, found, strict=True):
        source = identity((1,) * len(side.shape), 1).broadcast(side.shape)
        nonzero.append(
            Value(side.aval, source if bounds is None else source.without(bounds.zero))
        )
    values = []
    for aval, solved in zip(
        unknowns, solve_in_blocks(product, matrix, unknowns, nonzero, alone), strict=True
    ):
        reached = np.diff(solved.matrix().indptr).reshape(aval.shape) > 0
        zeros = only_zeros(~reached, aval.dtype)
        known = Known(Status.UNKNOWN, partial=True, given=zeros)
        values.append(Value(aval, None, known))
    return values


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
    blocks = right.spread(block[:height], None, (int(count),))
    return split(blocks.take(block[height:]), [aval.shape for aval in unknowns])


def _or_nothing(value: Value, n: int) -> Dependence:
    return value.dependence or nothing(value.shape, n)
