"""Local patterns: what a program's outputs depend on in terms of its own inputs.

The body of a loop is interpreted once, on inputs of its own; the steps of the loop are then
compositions of the result.
"""

from collections.abc import Sequence
from math import prod

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array

from . import coefficients as co
from .coefficients import Coefficients
from .dependence import Dependence, combine, identity, nothing, union
from .matrices import places
from .terms import Shape
from .value import Scope, Value


def as_own_inputs(operands: Sequence[Value], scope: Scope) -> tuple[list[Value], Scope]:
    """The operands, those with dependence made inputs of a scope of their own: numbered
    one after the other, element by element."""
    sizes = [prod(op.shape) if op.dependence else 0 for op in operands]
    inner = scope.within(sum(sizes))
    offsets = np.cumsum([0, *sizes])
    own = [
        Value(op.aval, identity(op.shape, inner.n, int(offset), inner.dtype_of(op)))
        if op.dependence
        else op
        for op, offset in zip(operands, offsets[:-1], strict=True)
    ]
    return own, inner


def values_in(value: Value, matrix: csr_array) -> Coefficients:
    """The coefficients of a value at the entries of a matrix that has all of its own."""
    entries = value.dependence.entries() if value.dependence else []
    if not entries:
        return co.zeros((matrix.nnz,), value.aval.dtype)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    stored = rows, matrix.indices
    at = [places(stored, part.rows, part.cols, matrix.shape[1]) for part in entries]
    return co.add_at([part.values for part in entries], at, matrix.nnz)


def joined(dependences: Sequence[Dependence | None], n: int) -> Dependence:
    """The elements of the arrays that have a dependence, one after the other."""
    flat = [dep.reshape((dep.size,)) for dep in dependences if dep is not None]
    if not flat:
        return nothing((0,), n)
    size = sum(dep.size for dep in flat)
    return combine(flat, lambda *xs: co.concatenate(xs), (size,))


def split(flat: Dependence, shapes: Sequence[Shape]) -> list[Dependence]:
    """The arrays of these shapes, whose elements `flat` holds one after the other."""
    ends = np.cumsum([prod(shape) for shape in shapes])
    parts = []
    for end, shape in zip(ends, shapes, strict=True):
        part = slice(int(end) - prod(shape), int(end))
        parts.append(
            combine([flat], lambda rows, p=part, s=shape: rows[p].reshape(s), shape)
        )
    return parts


def compose(
    local: Dependence,
    outer: Dependence,
    index: Int[np.ndarray, "steps inputs"] | None = None,
) -> Dependence:
    """The dependence `local` on its own inputs, composed with what these depend on.

    Own input `k` is element `k` of the flat `outer`, or, in each of several steps at
    once, element `index[step, k]`; the result then has a leading axis of steps.
    """
    if index is None:
        result = compose(local, outer, np.arange(local.n)[None])
        return result.reshape(local.shape)
    steps, shape = len(index), (len(index), *local.shape)
    parts = []
    for term in local.terms:
        rows, source = np.broadcast_to(term.rows, shape), outer
        if term.base is not None:
            matrix = term.base.matrix
            height = matrix.shape[0]
            targets = np.repeat(np.arange(height), np.diff(matrix.indptr))
            targets = targets + height * np.arange(steps)[:, None]
            sources = index[:, matrix.indices]
            source = outer.spread(
                targets.reshape(-1), sources.reshape(-1), (steps * height,)
            )
            index_of_row = np.arange(steps * height).reshape(steps, height)
        else:
            index_of_row = index
        step = np.arange(steps).reshape((steps,) + (1,) * len(local.shape))
        if index_of_row.size:
            positions = np.where(rows < 0, -1, index_of_row[step, rows])
            parts.append(source.take(positions))
    return union(parts) if parts else nothing(shape, outer.n)


def compose_weighted(
    local: Dependence,
    weights: Coefficients,
    outer: Dependence,
    index: Int[np.ndarray, "steps inputs"],
) -> Dependence:
    """Like `compose` with an index, with coefficients: those of `local` are, in each step,
    the `weights` of the entries of its matrix, of shape `(steps, nnz)`."""
    matrix, steps = local.matrix(), len(index)
    targets = np.repeat(np.arange(local.size), np.diff(matrix.indptr))
    targets = targets + local.size * np.arange(steps)[:, None]
    sources = index[:, matrix.indices]
    flat = outer.spread(
        targets.reshape(-1), sources.reshape(-1), (steps * local.size,), weights.reshape(-1)
    )
    return flat.reshape((steps, *local.shape))
