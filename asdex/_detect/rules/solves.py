"""Solves and Fourier transforms: dense along the axes they act on, precise elsewhere."""

from collections.abc import Sequence

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jax.extend.core import primitives as p
from scipy.sparse.csgraph import connected_components

from ..dependence import Dependence, nothing
from ..interpret import active, conservative, inactive
from ..known import UNKNOWN
from ..local import as_own_inputs, joined, split
from ..table import Scope, Value, output_shape, register, register_control, shape_of
from .control import call


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
    axis = len(dependence.shape) - (2 if params["left_side"] else 1)
    later, earlier = np.tril_indices(dependence.shape[axis])
    # Transposing the matrix turns the order round, and so does solving from the right.
    forward = params["lower"] ^ bool(params["transpose_a"]) ^ (not params["left_side"])
    if not forward:
        later, earlier = earlier, later
    return dependence.mix(axis, later, earlier)


@register(p.tridiagonal_solve_p, linear=(3,))
def tridiagonal_solve(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Dense along the rows, as the inverse of a tridiagonal matrix is."""
    del scope
    dependence = operands[3].dependence
    assert dependence is not None
    merged = dependence.merge((len(dependence.shape) - 2,))
    return merged.broadcast(output_shape(eqn))


@register_control(p.linear_solve_p)
def linear_solve(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Value]:
    """The solution of `A x = b`, where a program gives the product with `A`.

    The inverse is dense at most within the blocks of `A`, the connected components of
    its pattern, which is worked out from that program. How the system is solved does not
    matter.
    """
    count = eqn.params["const_lengths"].matvec
    consts, sides = operands[:count], operands[-len(eqn.outvars) :]
    if all(operand.dependence is None for operand in operands):
        return inactive(eqn, [UNKNOWN] * len(eqn.outvars))
    if any(operand.dependence is not None for operand in operands[: -len(sides)]):
        return active(eqn, conservative(eqn, operands, scope))
    unknowns = [Value(side.aval, nothing(side.shape, 0)) for side in sides]
    own, inner = as_own_inputs([*consts, *unknowns], scope.apart())
    products = call(eqn.params["jaxprs"].matvec, own, inner)
    shapes = [shape_of(var) for var in eqn.outvars]
    rows = [
        product.dependence or nothing(shape, inner.n)
        for product, shape in zip(products, shapes, strict=True)
    ]
    pattern = joined(rows, inner.n).matrix()
    blocks, block = connected_components(pattern, directed=False)
    right = [side.dependence or nothing(side.shape, scope.n) for side in sides]
    every = np.arange(inner.n)
    solved = joined(right, scope.n).spread(block, every, (int(blocks),)).take(block)
    return active(eqn, split(solved, shapes))
