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

    **Raises:** what `SparsityPattern` raises for the type.
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
    return SparsityPattern.from_dense(matrix)
