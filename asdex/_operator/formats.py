"""Formats of a matrix: from the values of its entries to BCOO, dense, SciPy and so on.

A matrix between pytrees is made of blocks, one for each leaf of the output and leaf of the
input; in formats of two axes, of a single one between flat vectors, in the order of
`jax.flatten_util.ravel_pytree`. What a format needs in addition to the values is computed
once for each block.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple
from typing import cast as as_type

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Int32, Int64, Integer, Num

from .._base.index import gather
from .._base.sharding import automatically, gathered
from .._base.sparse import BCOO, BCSR
from .._base.types import FLAT_FORMATS, HOST_FORMATS, OutputFormat, PyTree
from .._call.space import Space, cast
from .._linalg.algebra import Data, compiled, spread
from .._structure.layouts import compress_lines, csr_structure
from .._structure.pattern import SparsityPattern

_MAX_FILL = 16
"""Elements per entry of a dense matrix above which a scatter is faster."""

SCIPY_FORMATS: dict[str, OutputFormat] = {
    "csr": "scipy_csr",
    "csc": "scipy_csc",
    "coo": "scipy_coo",
}


class Assembler(NamedTuple):
    """How a block is made from the values of its entries: the `array` that JAX computes
    from them, and the `block` around it, on the host for the formats of the host."""

    array: Callable[[Any], Any]
    block: Callable[[Any], Any]


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

    @classmethod
    def of(cls, pattern: SparsityPattern) -> "Block":
        """The whole matrix as one block."""
        shapes = (pattern.m,), (pattern.n,)
        return cls(pattern.rows, pattern.cols, *shapes, pattern.is_sorted)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the block as an array."""
        return (*self.row_shape, *self.col_shape)

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """Number of elements of the output leaf and of the input leaf."""
        return math.prod(self.row_shape), math.prod(self.col_shape)


class BlockSparse(NamedTuple):
    """A matrix of dense blocks of equal shape: what `scipy.sparse.bsr_array` takes.

    Block row `i` has the blocks `indptr[i]:indptr[i + 1]`, in block columns `indices`.
    """

    data: Num[Array, "*batch blocks r c"]
    indices: Int32[np.ndarray, " blocks"]
    indptr: Int32[np.ndarray, " pointers"]


class Conversion(NamedTuple):
    """How the values of a matrix become blocks of a format, nested as JAX nests them, or
    if not `nested` one block.

    `order` lists the entries of the pattern block by block, `None` if that is their order.
    Block `k`, counted along the leaves of the input first, has the entries
    `bounds[k]:bounds[k + 1]` of it.
    """

    order: Integer[np.ndarray, " nnz"] | None
    bounds: tuple[int, ...]
    assemblers: tuple[Assembler, ...]
    on_host: bool
    nested: bool

    def __call__(
        self,
        data: Num[Array, " nnz"],
        domain: Space,
        codomain: Space,
        dtypes: Sequence[Any] | None = None,
    ) -> PyTree:
        """A block for each leaf of the output and of the input, of these dtypes if given;
        a single one has that of the data.

        **Raises:** `jax.errors.ConcretizationTypeError` for a format of the host inside of
        a transformation.
        """
        values: Any = _to_host(data) if self.on_host else data
        return self.blocks(self.arrays(values, dtypes), domain, codomain)

    def arrays(
        self,
        values: Num[Array | np.ndarray, " nnz"],
        dtypes: Sequence[Any] | None = None,
    ) -> list[Any]:
        """The arrays of all blocks, which a compiled program may return."""
        values = values if self.order is None else values[self.order]
        arrays: list[Any] = []
        for k, (start, stop) in enumerate(itertools.pairwise(self.bounds)):
            of_block = values if stop - start == values.size else values[start:stop]
            if self.nested and dtypes is not None:
                of_block = cast(of_block, dtypes[k])
            arrays.append(self.assemblers[k].array(of_block))
        return arrays

    def blocks(self, arrays: list[Any], domain: Space, codomain: Space) -> PyTree:
        """The blocks around these arrays; outside of transformations they share indices."""
        blocks = [
            assembler.block(array)
            for assembler, array in zip(self.assemblers, arrays, strict=True)
        ]
        if not self.nested:
            return blocks[0]
        width = len(domain.shapes)
        rows = [blocks[k : k + width] for k in range(0, len(blocks), width)]
        nested = [jax.tree.unflatten(domain.treedef, row) for row in rows]
        return jax.tree.unflatten(codomain.treedef, nested)


def plan_conversion(
    pattern: SparsityPattern,
    row_shapes: Sequence[tuple[int, ...]],
    col_shapes: Sequence[tuple[int, ...]],
    output_format: OutputFormat,
) -> Conversion:
    """The conversion of matrices between pytrees with leaves of these shapes.

    What does not depend on the values is computed here, once. Cost: O(nnz log nnz), for a
    single block only that of its format.
    """
    nested = output_format not in FLAT_FORMATS
    if not nested:
        row_shapes, col_shapes = [(pattern.m,)], [(pattern.n,)]
    order, bounds, blocks = _split(pattern, row_shapes, col_shapes)
    assemblers = tuple(_ASSEMBLERS[output_format](block) for block in blocks)
    on_host = output_format in HOST_FORMATS
    return Conversion(order, bounds, assemblers, on_host, nested)


def _split(
    pattern: SparsityPattern,
    row_shapes: Sequence[tuple[int, ...]],
    col_shapes: Sequence[tuple[int, ...]],
) -> tuple[Integer[np.ndarray, " nnz"] | None, tuple[int, ...], list[Block]]:
    """Order and bounds of the blocks, see `Conversion`, and their entries."""
    if len(row_shapes) == len(col_shapes) == 1:
        block = Block(
            pattern.rows, pattern.cols, row_shapes[0], col_shapes[0], pattern.is_sorted
        )
        return None, (0, pattern.nnz), [block]
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
    blocks = [
        Block(rows[start:stop], cols[start:stop], *shape, pattern.is_sorted)
        for shape, (start, stop) in zip(
            itertools.product(row_shapes, col_shapes),
            itertools.pairwise(bounds),
            strict=True,
        )
    ]
    in_order = bool((owner[1:] >= owner[:-1]).all())
    return None if in_order else order, tuple(bounds), blocks


# -- Conversions of an operator ----------------------------------------------------------


@compiled
def todense(pattern: SparsityPattern, data: Data) -> Num[Array, "*batch m n"]:
    """The dense matrix."""
    assemble = _dense(Block.of(pattern))
    return jnp.vectorize(assemble.array, signature="(k)->(m,n)")(data)


@automatically
def to_bcoo(pattern: SparsityPattern, data: Data) -> BCOO:
    """The matrix, perhaps with batch axes, its entries in their order."""
    batch, indices = data.shape[:-1], np.stack([pattern.rows, pattern.cols], 1)
    return BCOO(
        (data, _for_batch(batch, indices)),
        shape=(*batch, *pattern.shape),
        indices_sorted=pattern.is_sorted,
        unique_indices=True,
    )


@automatically
def to_bcsr(pattern: SparsityPattern, data: Data) -> BCSR:
    """The matrix, perhaps with batch axes, in row-major order."""
    batch = data.shape[:-1]
    indptr, indices, permutation = csr_structure(pattern)
    data = data if pattern.is_sorted else data[..., permutation]
    return BCSR(
        (data, _for_batch(batch, indices), _for_batch(batch, indptr)),
        shape=(*batch, *pattern.shape),
        indices_sorted=True,
        unique_indices=True,
    )


@automatically
def to_bsr(
    pattern: SparsityPattern, data: Data, block_shape: tuple[int, int]
) -> BlockSparse:
    """The dense blocks of a shape that divides that of the matrix."""
    (m, n), (r, c) = pattern.shape, block_shape
    if r <= 0 or c <= 0 or m % r or n % c:
        raise ValueError(
            f"block_shape must divide the shape {pattern.shape}. Got {tuple(block_shape)}."
        )
    rows, cols = pattern.rows, pattern.cols
    keys = (rows // r).astype(np.int64) * (n // c) + cols // c
    blocks, owner = np.unique(keys, return_inverse=True)
    block_rows, block_cols = (
        part.astype(np.int32) for part in np.divmod(blocks, max(1, n // c))
    )
    indptr, indices, _ = compress_lines(block_rows, block_cols, m // r, in_order=True)
    places = (owner * r + rows % r) * c + cols % c
    placed = _placed(data, places, blocks.size * r * c)
    stacked = placed.reshape(*data.shape[:-1], blocks.size, r, c)
    return BlockSparse(stacked, indices, indptr)


@automatically
def to_banded(
    pattern: SparsityPattern, data: Data, lower: int, upper: int
) -> Num[Array, "*batch diagonals n"]:
    """The diagonals in LAPACK's layout: element `(i, j)` at `[upper + i - j, j]`."""
    rows, cols = pattern.rows, pattern.cols
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
    n = pattern.n
    places = (upper + below).astype(np.int64) * n + cols
    diagonals = lower + upper + 1
    return _placed(data, places, diagonals * n).reshape(*data.shape[:-1], diagonals, n)


def _placed(
    data: Data, places: Int64[np.ndarray, " nnz"], size: int
) -> Num[Array, "*batch size"]:
    """A vector with the values at these positions, and zeros elsewhere."""
    source = np.full(size, -1, np.int32)
    source[places] = np.arange(places.size)
    return spread(data, source)


def _for_batch(batch: tuple[int, ...], indices: Int32[np.ndarray, "..."]) -> Array:
    """Indices that all matrices of a batch share."""
    return jnp.broadcast_to(indices, (*batch, *indices.shape))


# -- Formats -----------------------------------------------------------------------------


class _Shared:
    """An index array for all results: JAX gets it once, and again for other devices or
    after the caller has donated it."""

    def __init__(self, indices: Int32[np.ndarray, "..."]):
        self._indices = indices
        self._kept: tuple[Any, Array] | None = None

    def along(self, data: Any) -> Array:
        """The indices on the devices of some data, on all if that is split."""
        if not isinstance(data, jax.Array) or isinstance(data, Tracer):
            return jnp.asarray(self._indices)
        sharding, where = data.sharding, None
        if isinstance(sharding, NamedSharding):
            where = NamedSharding(sharding.mesh, PartitionSpec())
        elif data.committed and len(sharding.device_set) == 1:
            where = sharding
        kept = self._kept
        if kept is None or kept[0] != (sharding, where) or kept[1].is_deleted():
            kept = (sharding, where), jax.device_put(self._indices, where)
            if not isinstance(kept[1], Tracer):  # As for constants in a traced program.
                self._kept = kept
        return kept[1]


def _bcoo(block: Block) -> Assembler:
    indices = _Shared(
        np.concatenate(
            [_unravel(block.rows, block.row_shape), _unravel(block.cols, block.col_shape)],
            axis=1,
        )
    )
    return Assembler(
        _unchanged,
        lambda data: BCOO(
            (gathered(data), indices.along(data)),
            shape=block.shape,
            indices_sorted=block.is_sorted,
            unique_indices=True,
        ),
    )


def _unravel(
    flat: Int32[np.ndarray, " block_nnz"], shape: tuple[int, ...]
) -> Int32[np.ndarray, "block_nnz ndim"]:
    """Indices into an array of `shape`, one row each, from positions when raveled."""
    axes = np.unravel_index(flat, shape) if flat.size and shape else [flat] * len(shape)
    return np.stack(axes, axis=1, dtype=np.int32) if shape else flat.reshape(-1, 1)[:, :0]


def _bcsr(block: Block) -> Assembler:
    pointers, indices, order = compress_lines(block.rows, block.cols, block.shape[0])
    columns, bounds = _Shared(indices), _Shared(pointers)
    return Assembler(
        _unchanged if block.is_sorted else lambda data: data[order],
        lambda data: BCSR(
            (gathered(data), columns.along(data), bounds.along(data)),
            shape=block.shape,
            indices_sorted=True,
            unique_indices=True,
        ),
    )


def _unchanged(x: Any) -> Any:
    return x


def _dense(block: Block) -> Assembler:
    return Assembler(_densify(block), _unchanged)


def _densify(block: Block) -> Callable[[Any], Any]:
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
    return lambda data: gather(jnp.append(data, jnp.zeros(1, data.dtype)), source).reshape(
        block.shape
    )


def _numpy_dense(block: Block) -> Assembler:
    def assemble(data: Num[np.ndarray, " nnz"]) -> Num[np.ndarray, "..."]:
        dense = np.zeros(block.matrix_shape, data.dtype)
        dense[block.rows, block.cols] = data
        return dense.reshape(block.shape)

    return Assembler(_unchanged, assemble)


def _scipy_coo(block: Block) -> Assembler:
    from scipy.sparse import coo_array

    return Assembler(
        _unchanged,
        lambda data: coo_array(
            (data, (block.rows.copy(), block.cols.copy())), shape=block.shape
        ),
    )


def _scipy_compressed(block: Block, *, by_rows: bool) -> Assembler:
    from scipy.sparse import csc_array, csr_array

    array_type: Callable[..., Any] = csr_array if by_rows else csc_array
    major, minor = (block.rows, block.cols) if by_rows else (block.cols, block.rows)
    pointers, indices, order = compress_lines(major, minor, block.shape[1 - by_rows])
    # SciPy changes index arrays in place, so each matrix gets its own.
    return Assembler(
        _unchanged,
        lambda data: array_type(
            (data[order], indices.copy(), pointers.copy()), shape=block.shape
        ),
    )


def _to_host(data: Num[Array, " nnz"]) -> Num[np.ndarray, " nnz"]:
    """A writable NumPy copy of the values."""
    try:
        return np.array(data)
    except jax.errors.TracerArrayConversionError:
        raise jax.errors.ConcretizationTypeError(
            as_type(Tracer, data),
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
    "scipy_csr": partial(_scipy_compressed, by_rows=True),
    "scipy_csc": partial(_scipy_compressed, by_rows=False),
}
