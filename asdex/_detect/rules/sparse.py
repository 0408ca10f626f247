"""JAX's own sparse matrices, whose primitives are keyed by name: importing them is slow."""

from collections.abc import Sequence
from math import prod

import numpy as np
from jax.extend.core import JaxprEqn

from ..dependence import Dependence, nothing, union
from ..interpret import conservative
from ..registry import register
from ..value import Scope, Value, output_shape
from .control import implementation

register(
    *("bcoo_todense", "bcoo_extract", "bcoo_transpose"),
    *("bcoo_dot_general_sampled", "bcsr_todense"),
)(implementation)


@register("bcoo_dot_general", linear=(0, 2))
def bcoo_dot_general(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """A sparse matrix times a vector or matrix: exact where the indices are known."""
    data, indices, other = operands
    known = scope.value(indices)
    if known is None or not _is_plain_product(eqn, known):
        return conservative(eqn, operands, scope, _UNCOVERED)[0]
    return _product(eqn, known[:, 0], known[:, 1], data, other, scope)


@register("bcsr_dot_general", linear=(0, 3))
def bcsr_dot_general(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Like `bcoo_dot_general`."""
    data, indices, indptr, other = operands
    cols, starts = scope.value(indices), scope.value(indptr)
    if cols is None or starts is None or cols.ndim != 1:
        return conservative(eqn, operands, scope, _UNCOVERED)[0]
    rows = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    entries = np.stack([rows, cols[: rows.size]], axis=1)
    if rows.size != cols.size or not _is_plain_product(eqn, entries):
        return conservative(eqn, operands, scope, _UNCOVERED)[0]
    return _product(eqn, rows, cols, data, other, scope)


def _is_plain_product(eqn: JaxprEqn, indices: np.ndarray) -> bool:
    """Whether the last axis of a matrix meets the first axis of the other operand."""
    plain = (((1,), (0,)), ((), ()))
    numbers = tuple(tuple(map(tuple, pair)) for pair in eqn.params["dimension_numbers"])
    return indices.ndim == 2 and indices.shape[1] == 2 and numbers == plain


def _product(
    eqn: JaxprEqn,
    rows: np.ndarray,
    cols: np.ndarray,
    data: Value,
    other: Value,
    scope: Scope,
) -> Dependence:
    shape = output_shape(eqn)
    width = prod(shape[1:])
    column = np.arange(width)
    height, depth = eqn.params["lhs_spinfo"].shape
    inside = np.flatnonzero((rows < height) & (cols < depth))  # The rest is padding.
    targets = (rows[inside, None] * width + column).reshape(-1)
    parts = [nothing(shape, scope.n)]
    if data.dependence is not None:
        parts.append(data.dependence.spread(targets, np.repeat(inside, width), shape))
    if other.dependence is not None:
        sources = (cols[inside, None] * width + column).reshape(-1)
        parts.append(other.dependence.spread(targets, sources, shape))
    return union(parts)


_UNCOVERED = "batches of matrices, and indices that are not known"
