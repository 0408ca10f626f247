"""Operators in other formats, and without the pytrees of their functions."""

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Int64, Num

from .._base.sparse import BCOO, BCSR
from .._base.types import OutputFormat, PyTree, check_choice
from .._call.space import Space
from .._structure.layouts import compress_lines, csr_structure
from .algebra import compiled, spread
from .formats import Block, assembler, block_layout

if TYPE_CHECKING:
    from .operator import SparseJacobian

_SCIPY_FORMATS: dict[str, OutputFormat] = {
    "csr": "scipy_csr",
    "csc": "scipy_csc",
    "coo": "scipy_coo",
}


class BlockSparse(NamedTuple):
    """A matrix of dense blocks of equal shape: what `scipy.sparse.bsr_array` takes.

    Block row `i` has the blocks `indptr[i]:indptr[i + 1]`, in block columns `indices`.
    """

    data: Num[Array, "*batch blocks r c"]
    indices: Int32[np.ndarray, " blocks"]
    indptr: Int32[np.ndarray, " pointers"]


def flatten(a: "SparseJacobian") -> "SparseJacobian":
    (m, n), dtype = a.shape, a.dtype
    return replace(a, domain=Space.flat(n, dtype), codomain=Space.flat(m, dtype))


@compiled
def todense(a: "SparseJacobian") -> Num[Array, "*batch m n"]:
    return jnp.vectorize(assembler(_matrix(a), "dense"), signature="(k)->(m,n)")(a.data)


def to_bcoo(a: "SparseJacobian") -> BCOO:
    indices = jnp.stack([jnp.asarray(a.sparsity.rows), jnp.asarray(a.sparsity.cols)], 1)
    return BCOO(
        (a.data, _behind_batch(a, indices)),
        shape=(*a.batch_shape, *a.shape),
        indices_sorted=a.sparsity.is_sorted,
        unique_indices=True,
    )


def to_bcsr(a: "SparseJacobian") -> BCSR:
    indptr, indices, permutation = csr_structure(a.sparsity)
    return BCSR(
        (
            a.data if a.sparsity.is_sorted else a.data[..., permutation],
            _behind_batch(a, jnp.asarray(indices)),
            _behind_batch(a, jnp.asarray(indptr)),
        ),
        shape=(*a.batch_shape, *a.shape),
        indices_sorted=True,
        unique_indices=True,
    )


def to_scipy(a: "SparseJacobian", format: str) -> Any:
    check_choice("format", format, list(_SCIPY_FORMATS))
    if a.batch_shape:
        raise ValueError(
            f"A SciPy matrix holds one matrix. This operator is a batch of shape "
            f"{a.batch_shape}: take one of them, jax.tree.map(lambda data: data[0], A)."
        )
    return assembler(_matrix(a), _SCIPY_FORMATS[format])(a.data)


def blocks(a: "SparseJacobian") -> PyTree:
    if a.batch_shape:
        raise ValueError(
            f"The operator is a batch of shape {a.batch_shape}. Use jax.vmap to get the "
            "blocks of all of its matrices."
        )
    order, bounds, parts = block_layout(a.sparsity, a.codomain.shapes, a.domain.shapes)
    data = a.data if order is None else a.data[order]
    found = [
        assembler(part, "bcoo")(data[start:stop])
        for part, (start, stop) in zip(parts, itertools.pairwise(bounds), strict=True)
    ]
    width = len(a.domain.shapes)
    rows = [found[k : k + width] for k in range(0, len(found), width)]
    nested = [jax.tree.unflatten(a.domain.treedef, row) for row in rows]
    return jax.tree.unflatten(a.codomain.treedef, nested)


def bsr(a: "SparseJacobian", block_shape: tuple[int, int]) -> BlockSparse:
    (m, n), (r, c) = a.shape, block_shape
    if r <= 0 or c <= 0 or m % r or n % c:
        raise ValueError(
            f"block_shape must divide the shape {a.shape}. Got {tuple(block_shape)}."
        )
    rows, cols = a.sparsity.rows, a.sparsity.cols
    keys = (rows // r).astype(np.int64) * (n // c) + cols // c
    blocks, owner = np.unique(keys, return_inverse=True)
    block_rows, block_cols = (
        part.astype(np.int32) for part in np.divmod(blocks, max(1, n // c))
    )
    indptr, indices, _ = compress_lines(block_rows, block_cols, m // r, in_order=True)
    places = (owner * r + rows % r) * c + cols % c
    data = _placed(a, places, blocks.size * r * c)
    return BlockSparse(data.reshape(*a.batch_shape, blocks.size, r, c), indices, indptr)


def banded(a: "SparseJacobian", lower: int, upper: int) -> Num[Array, "*batch _ n"]:
    rows, cols = a.sparsity.rows, a.sparsity.cols
    if lower < 0 or upper < 0:
        raise ValueError(f"l and u must not be negative. Got l={lower} and u={upper}.")
    below = rows - cols
    if (outside := np.flatnonzero((below > lower) | (below < -upper))).size:
        k = outside[0]
        raise ValueError(
            f"Entry ({rows[k]}, {cols[k]}) lies outside of the band of l={lower} and "
            f"u={upper}. It takes l={below.max(initial=0)} and "
            f"u={(-below).max(initial=0)} to hold all entries."
        )
    n = a.shape[1]
    places = (upper + below).astype(np.int64) * n + cols
    diagonals = lower + upper + 1
    return _placed(a, places, diagonals * n).reshape(*a.batch_shape, diagonals, n)


def _placed(
    a: "SparseJacobian", places: Int64[np.ndarray, " nnz"], size: int
) -> Num[Array, "*batch size"]:
    """A vector with the values at these places, and zeros elsewhere."""
    source = np.full(size, -1, np.int32)
    source[places] = np.arange(a.nnz)
    return spread(a.data, source)


def _matrix(a: "SparseJacobian") -> Block:
    """The whole matrix as one block."""
    (m, n), pattern = a.shape, a.sparsity
    return Block(pattern.rows, pattern.cols, (m,), (n,), pattern.is_sorted)


def _behind_batch(a: "SparseJacobian", indices: Array) -> Array:
    """Indices that all matrices of a batch share."""
    return jnp.broadcast_to(indices, (*a.batch_shape, *indices.shape))
