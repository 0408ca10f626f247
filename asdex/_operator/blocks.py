"""Matrices made of others: blocks, stacks, diagonals and Kronecker products."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Num

from .._base.sharding import automatically
from .._linalg.algebra import promoted
from .._linalg.multiply import take
from .._structure.pattern import SparsityPattern
from .operator import SparseJacobian


@automatically
def block(rows: Sequence[Sequence[SparseJacobian | None]]) -> SparseJacobian:
    """The matrix that consists of blocks, such as `block([[H, A.T], [A, None]])`.

    **Arguments:**

    - `rows`: the blocks of each row of blocks, from left to right; `None` stands for zeros.
        Operators between pytrees count as those between flat vectors. Batches must have
        equal shapes, or be single matrices.

    **Returns:** an operator between flat vectors, its entries in row-major order. The
    pattern is static; the values are one gather.

    **Raises:** `ValueError` if the shapes do not fit, or if a row or column of blocks holds
    `None` only, so that its size is not known; `TypeError` if a block is no operator.
    """
    _check_operators([a for row in rows for a in row if a is not None])
    if not rows or len({len(row) for row in rows}) > 1 or not rows[0]:
        raise ValueError(
            "block takes rows of equally many blocks, at least one. Got rows of "
            f"{[len(row) for row in rows]} blocks. Write None for a block of zeros."
        )
    placed = [
        (i, j, a) for i, row in enumerate(rows) for j, a in enumerate(row) if a is not None
    ]
    heights = _sizes("row", len(rows), [(i, a.sparsity.m) for i, _, a in placed])
    widths = _sizes("column", len(rows[0]), [(j, a.sparsity.n) for _, j, a in placed])
    top, left = np.cumsum([0, *heights]), np.cumsum([0, *widths])
    entry_rows = np.concatenate([a.sparsity.rows + top[i] for i, _, a in placed])
    entry_cols = np.concatenate([a.sparsity.cols + left[j] for _, j, a in placed])
    order = np.lexsort((entry_cols, entry_rows)).astype(np.int32)
    shape = int(top[-1]), int(left[-1])
    pattern = SparsityPattern(entry_rows[order], entry_cols[order], shape)
    parts = _in_one_batch([a for *_, a in placed])
    return SparseJacobian(take(jnp.concatenate(parts, -1), order), pattern)


def hstack(matrices: Sequence[SparseJacobian]) -> SparseJacobian:
    """The matrices side by side; see `block`."""
    return block([_listed(matrices)])


def vstack(matrices: Sequence[SparseJacobian]) -> SparseJacobian:
    """The matrices below each other; see `block`."""
    return block([[a] for a in _listed(matrices)])


def diag(values: Num[ArrayLike, "*batch n"]) -> SparseJacobian:
    """The diagonal matrix with these values, or one for each vector of a batch. Integers
    become floating-point numbers."""
    data: Num[Array, "*batch n"] = jnp.asarray(values)
    if not jnp.issubdtype(data.dtype, jnp.inexact):
        data = data.astype(float)
    if data.ndim == 0:
        raise ValueError("diag takes a vector, or a batch of vectors. Got a number.")
    n = data.shape[-1]
    places = np.arange(n)
    return SparseJacobian(data, SparsityPattern(places, places, (n, n)))


@automatically
def kron(a: SparseJacobian, b: SparseJacobian) -> SparseJacobian:
    """The Kronecker product, in which each entry of `a` becomes a multiple of `b`.

    Operators between pytrees count as those between flat vectors, as in `block`, also for
    batches and errors. Its entries are in row-major order. Cost: a product for each.
    """
    _check_operators([a, b])
    of_a, of_b = a.sparsity, b.sparsity
    (m, n), (height, width) = of_a.shape, of_b.shape
    rows = np.add.outer(of_a.rows * np.int64(height), of_b.rows).reshape(-1)
    cols = np.add.outer(of_a.cols * np.int64(width), of_b.cols).reshape(-1)
    order = np.lexsort((cols, rows))
    pattern = SparsityPattern(rows[order], cols[order], (m * height, n * width))
    left, right = _in_one_batch([a, b])
    products = left[..., :, None] * right[..., None, :]
    return SparseJacobian(take(products.reshape(*left.shape[:-1], -1), order), pattern)


def _in_one_batch(matrices: Sequence[SparseJacobian]) -> list[Num[Array, "..."]]:
    """The values of the matrices, of one dtype, as batches of one shape."""
    parts = promoted(*(a.data for a in matrices))
    batches = sorted({part.shape[:-1] for part in parts} - {()})
    if len(batches) > 1:
        raise ValueError(f"The batches of blocks must have one shape. Got {batches}.")
    batch = batches[0] if batches else ()
    return [jnp.broadcast_to(part, (*batch, part.shape[-1])) for part in parts]


def _listed(matrices: Sequence[SparseJacobian]) -> list[SparseJacobian]:
    if isinstance(matrices, SparseJacobian):
        raise TypeError("Matrices are stacked from a list. Got one SparseJacobian.")
    return list(matrices)


def _check_operators(blocks: Sequence[Any]) -> None:
    for a in blocks:
        if not isinstance(a, SparseJacobian):
            raise TypeError(
                "Blocks must be SparseJacobians. Got an object of type "
                f"{type(a).__name__}. Make one by SparseJacobian(data, pattern)."
            )


def _sizes(kind: str, count: int, found: Sequence[tuple[int, int]]) -> list[int]:
    """The size of each row or column of blocks."""
    sizes = [{size for place, size in found if place == k} for k in range(count)]
    for k, options in enumerate(sizes):
        if len(options) != 1:
            raise ValueError(
                f"The blocks in a {kind} of blocks must have equally many {kind}s, and one "
                f"of them must not be None. Those of {kind} {k} have {sorted(options)}."
            )
    return [size for (size,) in sizes]
