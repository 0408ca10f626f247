"""The compressed matrix: one product with the Jacobian or Hessian per color.

The function is linearized once. Its linear map is then applied to one seed vector per
color, all at once or in chunks; row `c` of the result `B` is the sum of the columns (in
mode `"rev"`: of the rows) of color `c`.
"""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, Int32, Num

from .._base.types import BIDIRECTIONAL, HESSIAN_MODES, ChunkSize
from .._structure.coloring import ColoredPattern

_BUDGET = 2**30

Vector = Inexact[Array, " size"]


class Linearization(NamedTuple):
    """The linear map whose products make the rows of the compressed matrix.

    `apply` maps a vector of dtype `seed_dtype`, one element per colored row or column, to
    a vector of dtype `row_dtype`.
    """

    apply: Callable[[Vector], Vector]
    seed_dtype: Any
    row_dtype: Any
    transpose: Callable[[Vector], Vector] | None = None  # In mode `"bidirectional"` only.


def linearize(
    fun: Callable[[Vector], tuple[Array, Any]], x: Vector, mode: str, *, holomorphic: bool
) -> tuple[Linearization, Any]:
    """Linearize `fun`, or for a Hessian its gradient, at `x`.

    `fun` returns its flat output, in Hessian modes a scalar, and what else it has to say,
    which is returned beside the linearization. It is called once, in mode `rev_over_fwd`
    twice, because the directional derivative leaves no room for the rest.

    **Raises:** `TypeError` if the output is complex in mode `"rev"` without `holomorphic`,
    or real with it.
    """
    if mode == "rev_over_fwd":
        _, extras = fun(x)

        def directional(x: Vector, v: Vector) -> Inexact[Array, ""]:
            return jax.jvp(lambda x: fun(x)[0], (x,), (v,))[1]

        gradient = jax.grad(directional, holomorphic=holomorphic)
        return Linearization(lambda v: gradient(x, v), x.dtype, x.dtype), extras

    if mode in HESSIAN_MODES:
        fun = jax.grad(fun, has_aux=True, holomorphic=holomorphic)
    if mode in ("fwd", "fwd_over_rev", BIDIRECTIONAL):
        y, push, extras = jax.linearize(fun, x, has_aux=True)
        linearization = Linearization(push, x.dtype, y.dtype)
        if mode == BIDIRECTIONAL:
            pull = jax.linear_transpose(push, x)
            linearization = linearization._replace(transpose=lambda v: pull(v)[0])
    else:
        y, pull, extras = jax.vjp(fun, x, has_aux=True)
        linearization = Linearization(lambda v: pull(v)[0], y.dtype, x.dtype)
    _check_output_dtype(y.dtype, mode, holomorphic)
    return linearization, extras


Compressed: TypeAlias = (
    Num[Array, "colors dim"] | tuple[Num[Array, "jvps m"], Num[Array, "vjps n"]]
)
"""The compressed matrix, or in mode `"bidirectional"` the pair `(B_fwd, B_rev)`."""

Rows = Callable[[Int32[Array, " chunk"]], Inexact[Array, "chunk dim"]]
"""Computes rows of the compressed matrix, all at once. Colors that do not exist have
rows of zeros."""


def rows_of(linearization: Linearization, coloring: ColoredPattern) -> Rows:
    """The rows of the compressed matrix as a function of their colors."""
    # Without the barrier XLA would work out the seeds of all colors while compiling.
    colors = jax.lax.optimization_barrier(jnp.asarray(coloring.colors))

    def row(color: Int32[Array, ""]) -> Inexact[Array, " dim"]:
        seed = (colors == color).astype(linearization.seed_dtype)
        return linearization.apply(seed)

    if coloring.num_colors == 0:
        return lambda each: jnp.zeros((0, coloring.dim), linearization.row_dtype)
    if linearization.transpose is None:
        return jax.vmap(row)
    return _rows_of_both(linearization, coloring, colors)


def _rows_of_both(
    linearization: Linearization, coloring: ColoredPattern, colors: Int32[Array, " both"]
) -> Rows:
    """The rows of the compressed matrix in mode `"bidirectional"`.

    Columns have the first colors, rows the others. Which product a row takes is known
    while tracing for all rows at once, but not for a chunk of them, which takes both.
    """
    (_, n), dim, num_jvps = coloring.sparsity.shape, coloring.dim, coloring.num_jvps
    dtype, transpose = linearization.row_dtype, linearization.transpose
    assert transpose is not None

    def push(color: Int32[Array, ""]) -> Inexact[Array, " dim"]:
        y = linearization.apply((colors[:n] == color).astype(linearization.seed_dtype))
        return jnp.pad(y, (0, dim - y.size))

    def pull(color: Int32[Array, ""]) -> Inexact[Array, " dim"]:
        x = transpose((colors[n:] == color).astype(dtype))
        return jnp.pad(x.astype(dtype), (0, dim - x.size))

    def rows(each: Int32[Array, " chunk"]) -> Inexact[Array, "chunk dim"]:
        if each.size == coloring.num_colors:
            pushed, pulled = each[:num_jvps], each[num_jvps:]
            parts = [jax.vmap(push)(pushed)] if num_jvps else []
            parts += [jax.vmap(pull)(pulled)] if pulled.size else []
            return jnp.concatenate(parts)

        # Not a sum: a product with zeros is not a number where a derivative is infinite.
        def push_or_pull(color: Int32[Array, ""]) -> Inexact[Array, " dim"]:
            return jnp.where(color < num_jvps, push(color), pull(color))

        return jax.vmap(push_or_pull)(each)

    return rows


def compress(
    rows: Rows, num_colors: int, chunk_size: int | None
) -> Inexact[Array, "colors dim"]:
    """The compressed matrix, at most `chunk_size` rows of it being computed at a time."""
    if chunk_size is None:
        return rows(jnp.arange(num_colors, dtype=jnp.int32))
    chunks = jax.lax.map(rows, colors_in_chunks(num_colors, chunk_size))
    return chunks.reshape(-1, chunks.shape[-1])[:num_colors]


def as_compressed(
    matrix: Inexact[Array, "colors dim"], coloring: ColoredPattern
) -> Compressed:
    """The compressed matrix as users get it: in mode `"bidirectional"` a pair without
    the filling, the rows of the JVPs and those of the VJPs."""
    if coloring.mode != BIDIRECTIONAL:
        return matrix
    (m, n), num_jvps = coloring.sparsity.shape, coloring.num_jvps
    return matrix[:num_jvps, :m], matrix[num_jvps:, :n]


def colors_in_chunks(num_colors: int, chunk_size: int) -> Int32[Array, "chunks chunk"]:
    """The colors, `chunk_size` of them in each row; the last row may hold too many."""
    num_chunks = -(-num_colors // chunk_size)
    colors = jnp.arange(num_chunks * chunk_size, dtype=jnp.int32)
    return colors.reshape(num_chunks, chunk_size)


def resolve_chunk_size(chunk_size: ChunkSize, coloring: ColoredPattern) -> int | None:
    """The number of colors in a chunk, `None` if a single chunk will do.

    `"auto"` takes as many as have seeds and rows of at most `_BUDGET` bytes, which leaves
    what the function needs in between out of account.
    """
    if chunk_size == "auto":
        leaves = jax.tree.leaves(coloring.sparsity.dyn_avals)
        itemsize = max(
            [leaf.dtype.itemsize for leaf in leaves if hasattr(leaf, "dtype")], default=4
        )
        size = itemsize * (coloring.colors.size + coloring.dim)
        chunk_size = max(1, _BUDGET // max(1, size))
    if chunk_size is None:
        return None
    if isinstance(chunk_size, str) or chunk_size <= 0:
        raise ValueError(
            f"chunk_size must be positive, None or 'auto'. Got {chunk_size!r}."
        )
    size = operator.index(chunk_size)
    return size if size < coloring.num_colors else None


def _check_output_dtype(dtype: Any, mode: str, holomorphic: bool) -> None:
    is_complex = jnp.issubdtype(dtype, jnp.complexfloating)
    if holomorphic and not is_complex:
        raise TypeError(f"holomorphic=True needs outputs of complex dtype. Got {dtype}.")
    if is_complex and mode in ("rev", BIDIRECTIONAL) and not holomorphic:
        raise TypeError(
            f"Mode {mode!r} needs real-valued outputs. Got {dtype}. Use mode='fwd', or "
            "pass holomorphic=True if the function is holomorphic."
        )
