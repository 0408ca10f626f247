"""Patterns of matrices in the types of other libraries."""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Array, Shaped
from scipy.sparse import issparse, sparray, spmatrix

from .._base.sparse import BCOO, BCSR
from .pattern import SparsityPattern

PatternLike: TypeAlias = (
    SparsityPattern
    | Shaped[np.ndarray, "m n"]
    | Shaped[Array, "m n"]
    | BCOO
    | BCSR
    | sparray
    | spmatrix
)
"""A pattern, or a matrix of NumPy, JAX or SciPy whose nonzero or stored entries are one."""


def as_pattern(matrix: Any) -> SparsityPattern:
    """The pattern of a matrix of any of these types; or that of an operator, a coloring or
    a derivative.

    **Raises:** what `SparsityPattern` raises for the type; `TypeError` for a function.
    """
    if isinstance(matrix, SparsityPattern):
        return matrix
    if isinstance(sparsity := getattr(matrix, "sparsity", None), SparsityPattern):
        return sparsity
    if isinstance(matrix, BCSR):
        return SparsityPattern.from_bcoo(matrix.to_bcoo())
    if isinstance(matrix, BCOO):
        return SparsityPattern.from_bcoo(matrix)
    if issparse(matrix):
        return SparsityPattern.from_scipy(matrix)
    if callable(matrix):
        raise TypeError(
            "Expected a pattern, a coloring, an operator or a matrix. Got the function "
            f"{matrix!r}, whose pattern is jacobian_sparsity(f, x) or "
            "hessian_sparsity(f, x)."
        )
    return SparsityPattern.from_dense(matrix)


def union(pattern: PatternLike, *others: PatternLike) -> SparsityPattern:
    """The pattern that has the entries of all of them, in row-major order: that of a sum of
    matrices, such as `M / dt - J`, which has a full diagonal where `J` may have none.

    The types of the inputs and outputs are those of the first. It is local if one of them
    is.

    **Raises:** `ValueError` unless their shapes are equal.
    """
    first, *rest = patterns = [as_pattern(matrix) for matrix in (pattern, *others)]
    for other in rest:
        if other.shape != first.shape:
            raise ValueError(
                "A union is that of patterns of equal shape. Got "
                f"{first.shape} and {other.shape}."
            )
    rows = np.concatenate([part.rows for part in patterns])
    cols = np.concatenate([part.cols for part in patterns])
    order = np.lexsort((cols, rows))
    return SparsityPattern(
        rows[order],
        cols[order],
        first.shape,
        () if first.inputs.is_assumed else first.input_avals,
        first.argnums,
        first.output_shapes,
        is_local=any(part.is_local for part in patterns),
    )
