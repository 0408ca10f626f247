"""The compressed matrix: one product with the Jacobian or Hessian per color.

The function is linearized once. Its linear map, or the transpose of it, is then applied to
one seed vector per color, all at once or in chunks; row `c` of the result `B` is the sum of
the columns, or rows, of color `c`. A coloring of both columns and rows has a result for
each side.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, Int32, Num

from .._base.sharding import typed_like
from .._base.types import BIDIRECTIONAL, HESSIAN_MODES, ChunkSize
from .._structure.coloring import ColoredPattern
from .._structure.sides import Side

_CACHE = 2**19
"""Bytes of seeds and rows of a chunk on a CPU: all of 101 colors of a million unknowns at
once take 24 times as long there as one by one; see `python -m tests.benchmarks memory`.
Small functions fit into one chunk."""

_SHARE, _UNKNOWN = 16, 2**30
"""The part of an accelerator's memory for the seeds and rows of a chunk, and their bytes if
it does not tell. There, more colors at once are faster: of a million unknowns, all of 101
colors take 0.17 ms on an H200, ten times less than one by one, and 401 take 0.10 ms, fifty
times less."""

Vector = Inexact[Array, " size"]


class Linearization(NamedTuple):
    """The linear map whose products are the rows of the compressed matrix on one side.

    `apply` maps a vector of dtype `seed_dtype`, one element per colored row or column, to
    a vector of dtype `row_dtype`.
    """

    apply: Callable[[Vector], Vector]
    seed_dtype: Any
    row_dtype: Any


def linearize(
    fun: Callable[[Vector], tuple[Array, Any]], x: Vector, mode: str, *, holomorphic: bool
) -> tuple[list[Linearization], Any]:
    """Linearize `fun`, or for a Hessian its gradient, at `x`: one linear map for each side
    of a coloring of this mode.

    `fun` returns its flat output, in Hessian modes a scalar, and auxiliary output, which is
    returned with the linear maps. It is called once, in mode `rev_over_fwd` twice, because
    the directional derivative has no auxiliary output.

    **Raises:** `TypeError` if the output is complex in mode `"rev"` without `holomorphic`,
    or real with it.
    """
    if mode == "rev_over_fwd":
        _, extras = fun(x)

        def directional(x: Vector, v: Vector) -> Inexact[Array, ""]:
            return jax.jvp(lambda x: fun(x)[0], (x,), (v,))[1]

        gradient = jax.grad(directional, holomorphic=holomorphic)
        return [
            Linearization(lambda v: gradient(x, typed_like(v, x)), x.dtype, x.dtype)
        ], extras

    if mode in HESSIAN_MODES:
        fun = jax.grad(fun, has_aux=True, holomorphic=holomorphic)
    if mode in ("fwd", "fwd_over_rev", BIDIRECTIONAL):
        y, push, extras = _linearized(fun, x)
        maps = [Linearization(lambda v: push(typed_like(v, x)), x.dtype, y.dtype)]
        if mode == BIDIRECTIONAL:
            pull = jax.linear_transpose(push, x)
            # Of one dtype, since entries of both sides are read into one array.
            maps += [
                Linearization(
                    lambda v: pull(typed_like(v, y))[0].astype(y.dtype), y.dtype, y.dtype
                )
            ]
    else:
        y, pull, extras = jax.vjp(fun, x, has_aux=True)
        maps = [Linearization(lambda v: pull(typed_like(v, y))[0], y.dtype, x.dtype)]
    check_output_dtype(y.dtype, mode, holomorphic)
    return maps, extras


def _linearized(
    fun: Callable[[Vector], tuple[Array, Any]], x: Vector
) -> tuple[Array, Callable[[Vector], Array], Any]:
    """`jax.linearize`, or JVPs where JAX cannot part the linear map from the function: a
    rule for `vmap` (`jax.custom_batching.custom_vmap`), for example, is for both."""
    try:
        return jax.linearize(fun, x, has_aux=True)
    except ValueError:
        y, _, extras = jax.jvp(fun, (x,), (jnp.zeros_like(x),), has_aux=True)
        return y, lambda v: jax.jvp(fun, (x,), (v,), has_aux=True)[1], extras


Compressed: TypeAlias = (
    Num[Array, "colors dim"] | tuple[Num[Array, "jvps m"], Num[Array, "vjps n"]]
)
"""The compressed matrix, or in mode `"bidirectional"` the pair `(B_fwd, B_rev)`."""


class Rows(NamedTuple):
    """The rows of the compressed matrix on one side.

    `at` computes those of some colors, all at once. Colors that do not exist have rows of
    zeros.
    """

    at: Callable[[Int32[Array, " chunk"]], Inexact[Array, "chunk dim"]]
    num_colors: int
    dtype: Any


def rows_of(linear_maps: Sequence[Linearization], coloring: ColoredPattern) -> list[Rows]:
    """The rows of the compressed matrix on each side of the coloring."""
    return list(map(_rows, linear_maps, coloring.sides))


def _rows(linear_map: Linearization, side: Side) -> Rows:
    # Without the barrier XLA would compute the seeds of all colors while compiling.
    colors = jax.lax.optimization_barrier(jnp.asarray(side.colors))

    def row(color: Int32[Array, ""]) -> Inexact[Array, " dim"]:
        return linear_map.apply((colors == color).astype(linear_map.seed_dtype))

    def nothing(each: Int32[Array, " chunk"]) -> Inexact[Array, "chunk dim"]:
        return jnp.zeros((each.size, side.dim), linear_map.row_dtype)

    at = jax.vmap(row) if side.num_colors else nothing
    return Rows(at, side.num_colors, linear_map.row_dtype)


def compress(sides: Sequence[Rows], chunk_size: int | None) -> Compressed:
    """The compressed matrix, at most `chunk_size` rows of it being computed at a time."""
    matrices = [_compress_side(rows, chunk_size) for rows in sides]
    return matrices[0] if len(matrices) == 1 else (matrices[0], matrices[1])


def _compress_side(rows: Rows, chunk_size: int | None) -> Inexact[Array, "colors dim"]:
    if chunk_size is None or chunk_size >= rows.num_colors:
        return rows.at(jnp.arange(rows.num_colors, dtype=jnp.int32))
    chunks = jax.lax.map(rows.at, colors_in_chunks(rows.num_colors, chunk_size))
    return chunks.reshape(-1, chunks.shape[-1])[: rows.num_colors]


def joined(compressed: Compressed) -> Num[Array, "colors dim"]:
    """The sides of the compressed matrix in one array, their rows filled up with zeros to
    equal length."""
    if not isinstance(compressed, tuple):
        return compressed
    dim = max(side.shape[1] for side in compressed)
    return jnp.concatenate(
        [jnp.pad(side, ((0, 0), (0, dim - side.shape[1]))) for side in compressed]
    )


def colors_in_chunks(num_colors: int, chunk_size: int) -> Int32[Array, "chunks chunk"]:
    """The colors, at most `chunk_size` of them in each row; the last row may hold too
    many."""
    chunk_size = max(1, min(chunk_size, num_colors))
    num_chunks = -(-num_colors // chunk_size)
    colors = jnp.arange(num_chunks * chunk_size, dtype=jnp.int32)
    return colors.reshape(num_chunks, chunk_size)


def resolve_chunk_size(chunk_size: ChunkSize, coloring: ColoredPattern) -> int | None:
    """The number of colors in a chunk, `None` if a single chunk will do.

    `"auto"` takes as many as have seeds and rows that fit into the caches of a CPU, or into
    a sixteenth of the memory of an accelerator; what the function needs in between is not
    counted.
    """
    if chunk_size == "auto":
        leaves = jax.tree.leaves(coloring.sparsity.dyn_avals)
        itemsize = max(
            [leaf.dtype.itemsize for leaf in leaves if hasattr(leaf, "dtype")], default=4
        )
        size = itemsize * (coloring.colors.size + coloring.dim)
        chunk_size = max(1, _budget() // max(1, size))
    if chunk_size is None:
        return None
    if isinstance(chunk_size, str) or chunk_size <= 0:
        raise ValueError(
            f"chunk_size must be positive, None or 'auto'. Got {chunk_size!r}."
        )
    size = operator.index(chunk_size)
    return size if size < coloring.num_colors else None


def _budget() -> int:
    """Bytes of seeds and rows of a chunk on the default device."""
    if jax.default_backend() == "cpu":
        return _CACHE
    memory = jax.local_devices()[0].memory_stats() or {}
    return memory["bytes_limit"] // _SHARE if "bytes_limit" in memory else _UNKNOWN


def check_output_dtype(dtype: Any, mode: str, holomorphic: bool) -> None:
    """Raise `TypeError` unless JAX differentiates an output of this dtype in this mode."""
    is_complex = jnp.issubdtype(dtype, jnp.complexfloating)
    if holomorphic and not is_complex:
        raise TypeError(f"holomorphic=True needs outputs of complex dtype. Got {dtype}.")
    if is_complex and mode in ("rev", BIDIRECTIONAL) and not holomorphic:
        raise TypeError(
            f"Mode {mode!r} needs real-valued outputs. Got {dtype}. Use mode='fwd', or "
            "pass holomorphic=True if the function is holomorphic."
        )
