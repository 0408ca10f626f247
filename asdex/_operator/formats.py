"""Formats of a matrix: from the values of its entries to BCOO, dense, SciPy and so on.

A matrix between pytrees is made of blocks, one for each leaf of the output and leaf of the
input. What a format needs beside the values is worked out once for each block.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int32, Integer, Num

from .._base.sparse import BCOO, BCSR
from .._base.types import OutputFormat
from .._structure.layouts import compress_lines
from .._structure.pattern import SparsityPattern

_MAX_FILL = 16
"""Elements per entry of a dense matrix above which a scatter is the faster way to it."""

Assembler = Callable[[Num[Array, " nnz"]], Any]


class Block(NamedTuple):
    """The entries that belong to one leaf of the output and one leaf of the input.

    As an array a block has the shape of the output leaf followed by that of the input
    leaf; `rows` and `cols` count the elements of either.
    """

    rows: Int32[np.ndarray, " block_nnz"]
    cols: Int32[np.ndarray, " block_nnz"]
    row_shape: tuple[int, ...]
    col_shape: tuple[int, ...]
    is_sorted: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the block as an array."""
        return (*self.row_shape, *self.col_shape)

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """Number of elements of the output leaf and of the input leaf."""
        return math.prod(self.row_shape), math.prod(self.col_shape)


class Layout(NamedTuple):
    """How the blocks of a matrix follow each other in one vector of values.

    `order` lists the entries of the pattern block by block, `None` if there is a single
    block; block `k`, counted along the leaves of the input first, has the entries
    `bounds[k]:bounds[k + 1]` of it.
    """

    order: Integer[np.ndarray, " nnz"] | None
    bounds: tuple[int, ...]
    blocks: tuple[Block, ...]


def block_layout(
    pattern: SparsityPattern,
    row_shapes: Sequence[tuple[int, ...]],
    col_shapes: Sequence[tuple[int, ...]],
) -> Layout:
    """Split a pattern into blocks, one for each pair of leaves with these shapes.

    Cost: O(nnz log nnz), nothing for a single block.
    """
    if len(row_shapes) == len(col_shapes) == 1:
        block = Block(
            pattern.rows, pattern.cols, row_shapes[0], col_shapes[0], pattern.is_sorted
        )
        return Layout(None, (0, pattern.nnz), (block,))
    row_starts = np.cumsum([0, *map(math.prod, row_shapes)])
    col_starts = np.cumsum([0, *map(math.prod, col_shapes)])
    row_leaf = np.searchsorted(row_starts[1:], pattern.rows, side="right")
    col_leaf = np.searchsorted(col_starts[1:], pattern.cols, side="right")
    owner = row_leaf * len(col_shapes) + col_leaf
    order = np.argsort(owner, kind="stable")
    num_blocks = len(row_shapes) * len(col_shapes)
    bounds = np.searchsorted(owner[order], np.arange(num_blocks + 1)).tolist()
    rows = (pattern.rows - row_starts[row_leaf]).astype(np.int32)[order]
    cols = (pattern.cols - col_starts[col_leaf]).astype(np.int32)[order]
    shapes = itertools.product(row_shapes, col_shapes)
    return Layout(
        order,
        tuple(bounds),
        tuple(
            Block(rows[start:stop], cols[start:stop], *shape, pattern.is_sorted)
            for shape, (start, stop) in zip(shapes, itertools.pairwise(bounds), strict=True)
        ),
    )


def check_shapes_for(
    output_format: OutputFormat,
    row_shapes: Sequence[tuple[int, ...]],
    col_shapes: Sequence[tuple[int, ...]],
) -> None:
    """Raise `ValueError` if the format cannot hold blocks of these shapes."""
    ndims = [len(shape) for shape in (*row_shapes, *col_shapes)]
    got = (
        f"Got output shapes {tuple(row_shapes)} and input shapes {tuple(col_shapes)}. Use "
        "'bcoo' or 'dense', or ravel the arguments and the output."
    )
    if output_format.startswith("scipy") and ndims != [1, 1]:
        raise ValueError(
            f"SciPy formats only support 2D matrices, so with {output_format!r} the "
            f"function must map one flat (1-D) array to one flat array. {got}"
        )
    if output_format == "bcsr" and set(ndims) - {1}:
        raise ValueError(
            "BCSR only supports 2D matrices, so all arrays that the function maps to each "
            f"other must be flat (1-D). {got}"
        )


# -- Formats -----------------------------------------------------------------------------


def assembler(block: Block, output_format: OutputFormat) -> Assembler:
    """A function that makes the matrix from the values of the entries.

    What the values do not enter is worked out here, once.
    """
    return _ASSEMBLERS[output_format](block)


def _bcoo(block: Block) -> Assembler:
    indices = np.concatenate(
        [_unravel(block.rows, block.row_shape), _unravel(block.cols, block.col_shape)],
        axis=1,
    )
    return lambda data: BCOO(
        (data, jnp.asarray(indices)),
        shape=block.shape,
        indices_sorted=block.is_sorted,
        unique_indices=True,
    )


def _unravel(
    flat: Int32[np.ndarray, " block_nnz"], shape: tuple[int, ...]
) -> Int32[np.ndarray, "block_nnz ndim"]:
    """Indices into an array of `shape`, one row each, from positions when raveled."""
    axes = np.unravel_index(flat, shape) if flat.size and shape else [flat] * len(shape)
    return np.stack(axes, axis=1, dtype=np.int32) if shape else flat.reshape(-1, 1)[:, :0]


def _bcsr(block: Block) -> Assembler:
    pointers, indices, order = compress_lines(block.rows, block.cols, block.shape[0])

    def assemble(data: Num[Array, " nnz"]) -> BCSR:
        ordered = data if block.is_sorted else data[order]
        return BCSR(
            (ordered, jnp.asarray(indices), jnp.asarray(pointers)),
            shape=block.shape,
            indices_sorted=True,
            unique_indices=True,
        )

    return assemble


def _dense(block: Block) -> Assembler:
    m, n = block.matrix_shape
    if block.is_sorted and block.rows.size == m * n:
        return lambda data: data.reshape(block.shape)
    if m * n > _MAX_FILL * block.rows.size:
        return lambda data: (
            jnp.zeros((m, n), data.dtype)
            .at[block.rows, block.cols]
            .set(
                data,
                indices_are_sorted=block.is_sorted,
                unique_indices=True,
                mode="promise_in_bounds",
            )
            .reshape(block.shape)
        )
    # To gather into a matrix with many entries is faster than to scatter them into it.
    source = np.full((m, n), block.rows.size, np.int32)
    source[block.rows, block.cols] = np.arange(block.rows.size)
    return lambda data: (
        jnp.append(data, jnp.zeros(1, data.dtype))
        .at[source]
        .get(mode="promise_in_bounds")
        .reshape(block.shape)
    )


def _numpy_dense(block: Block) -> Assembler:
    def assemble(data: Num[Array, " nnz"]) -> Num[np.ndarray, "..."]:
        dense = np.zeros(block.matrix_shape, data.dtype)
        dense[block.rows, block.cols] = _to_host(data)
        return dense.reshape(block.shape)

    return assemble


def _scipy_coo(block: Block) -> Assembler:
    from scipy.sparse import coo_array

    return lambda data: coo_array(
        (_to_host(data), (block.rows.copy(), block.cols.copy())), shape=block.shape
    )


def _scipy_csr(block: Block) -> Assembler:
    from scipy.sparse import csr_array

    pointers, indices, order = compress_lines(block.rows, block.cols, block.shape[0])
    return _compressed_assembler(csr_array, order, indices, pointers, block.shape)


def _scipy_csc(block: Block) -> Assembler:
    from scipy.sparse import csc_array

    pointers, indices, order = compress_lines(block.cols, block.rows, block.shape[1])
    return _compressed_assembler(csc_array, order, indices, pointers, block.shape)


def _compressed_assembler(
    array_type: Callable[..., Any],
    order: Integer[np.ndarray, " nnz"],
    indices: Int32[np.ndarray, " nnz"],
    pointers: Int32[np.ndarray, " lines"],
    shape: tuple[int, ...],
) -> Assembler:
    # SciPy changes index arrays in place, so each matrix gets its own.
    return lambda data: array_type(
        (_to_host(data)[order], indices.copy(), pointers.copy()), shape=shape
    )


def _to_host(data: Num[Array, " nnz"]) -> Num[np.ndarray, " nnz"]:
    """A NumPy copy of the values that its owner may write to."""
    try:
        return np.array(data)
    except jax.errors.TracerArrayConversionError:
        raise jax.errors.ConcretizationTypeError(
            cast(Tracer, data),
            "NumPy and SciPy formats cannot be made inside jax.jit, jax.vmap or another "
            "transformation, where there are no numbers yet. Use 'bcoo', 'operator' or "
            "'dense' there.",
        ) from None


_ASSEMBLERS: dict[str, Callable[[Block], Assembler]] = {
    "bcoo": _bcoo,
    "bcsr": _bcsr,
    "dense": _dense,
    "numpy_dense": _numpy_dense,
    "scipy_coo": _scipy_coo,
    "scipy_csr": _scipy_csr,
    "scipy_csc": _scipy_csc,
}
