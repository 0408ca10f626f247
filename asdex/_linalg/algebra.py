"""Products, sums, parts and reductions of matrices, on patterns and values.

A matrix is a pattern and the values of its entries, perhaps behind the axes of a batch.
The functions are compiled, so that what depends on patterns alone is computed once for each
pattern, and kept with the compiled program.
"""

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact, Int32, Num

from .._base.index import IndexArray
from .._base.sharding import automatically
from .._base.types import PyTree
from .._structure.layouts import find_entries
from .._structure.pattern import SparsityPattern
from .multiply import group_sums, multiply, multiply_transposed, sum_by_index, take
from .plans import Map, plan_part, plan_product, plan_union

Data: TypeAlias = Num[Array, "*batch nnz"]
Matrix: TypeAlias = tuple[SparsityPattern, Num[Array, "..."]]
F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F, static: Sequence[str] = ()) -> F:
    """`jax.jit`, inlined into other programs, for functions and for methods of modules."""
    run = jax.jit(automatically(function), static_argnames=static, inline=True)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return run(*args, **kwargs)
        except TypeError:
            _check_arrays(args[1:])  # The operator or pattern is the first one.
            raise

    return cast(F, call)


def _check_arrays(args: PyTree) -> None:
    """Raise `TypeError` for leaves that JAX cannot compute with."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(args):
        if not eqx.is_array_like(leaf):
            raise TypeError(
                "The leaves of a vector must be arrays. Got "
                f"{leaf!r} at argument {jax.tree_util.keystr(path)}. Of a "
                "module pass equinox.filter(module, equinox.is_inexact_array)."
            ) from None


# -- Products with vectors ---------------------------------------------------------------


@compiled
def apply(
    pattern: SparsityPattern, data: Num[Array, "*#batch nnz"], x: Num[Array, "*#batch n"]
) -> Num[Array, "... m"]:
    """The matrix times a vector, for all matrices and vectors of a batch."""
    product = jnp.vectorize(partial(multiply, pattern), signature="(k),(n)->(m)")
    return product(*promoted(data, x))


@compiled
def apply_transposed(
    pattern: SparsityPattern, data: Num[Array, "*#batch nnz"], u: Num[Array, "*#batch m"]
) -> Num[Array, "... n"]:
    """The transposed matrix times a vector; see `apply`."""
    product = jnp.vectorize(partial(multiply_transposed, pattern), signature="(k),(m)->(n)")
    return product(*promoted(data, u))


@compiled
def apply_to_columns(
    pattern: SparsityPattern, data: Data, x: Num[Array, "..."]
) -> Num[Array, "..."]:
    """The matrix times a vector, or times each column of a dense matrix."""
    if x.ndim == 1:
        return apply(pattern, data, x)
    columns = jax.vmap(partial(apply, pattern, data))(jnp.moveaxis(x, -1, 0))
    return jnp.moveaxis(columns, 0, -1)


# -- Matrices from matrices --------------------------------------------------------------


@compiled
def transpose(pattern: SparsityPattern, data: Data) -> Matrix:
    """The transpose, its entries in the same order."""
    return pattern.transposed, data


@compiled
def mirror(pattern: SparsityPattern, data: Data) -> Data:
    """The values of the transpose of a matrix whose pattern is symmetric."""
    return take(data, find_entries(pattern, pattern.cols, pattern.rows))


@compiled
def product(
    left: SparsityPattern,
    a: Num[Array, "*#batch k"],
    right: SparsityPattern,
    b: Num[Array, "*#batch l"],
) -> Matrix:
    """The product of two matrices, entries in row-major order."""
    pattern, lengths, from_left, from_right = plan_product(left, right)

    def values(a: Num[Array, " k"], b: Num[Array, " l"]) -> Num[Array, " m"]:
        return group_sums(
            lengths,
            lambda chosen, _: take(a, from_left[chosen]) * take(b, from_right[chosen]),
            a.dtype,
        )

    return pattern, jnp.vectorize(values, signature="(k),(l)->(m)")(*promoted(a, b))


@compiled
def add(
    left: SparsityPattern,
    a: Num[Array, "*#batch k"],
    right: SparsityPattern,
    b: Num[Array, "*#batch l"],
) -> Matrix:
    """The sum of two matrices of equal shape, on the union of the patterns."""
    union = plan_union(left, right)
    a, b = promoted(a, b)
    return union.pattern, spread(a, union.left) + spread(b, union.right)


@compiled
def shift(pattern: SparsityPattern, data: Data, alpha: Num[Array, "..."]) -> Matrix:
    """The square matrix plus `alpha` times the identity, or plus a diagonal."""
    diagonal = jnp.broadcast_to(alpha, (*alpha.shape[:-1], pattern.n))
    places = np.arange(pattern.n)
    return add(pattern, data, SparsityPattern(places, places, pattern.shape), diagonal)


@partial(compiled, static=("divide",))
def scale(data: Data, factor: Num[Array, "*#batch"], divide: bool) -> Data:
    """The values times a number, or divided by it, one for each matrix of a batch."""
    data, factor = promoted(data, factor)
    factor = jnp.expand_dims(factor, -1)
    return data / factor if divide else data * factor


@partial(compiled, static=("rows", "cols"))
def submatrix(
    pattern: SparsityPattern, data: Data, rows: IndexArray, cols: IndexArray
) -> Matrix:
    """The matrix of some rows and columns, in the given order."""
    part, entries = plan_part(pattern, rows.array, cols.array)
    return part, take(data, entries)


@partial(compiled, static=("k", "upper"))
def triangle(pattern: SparsityPattern, data: Data, k: int, upper: bool) -> Matrix:
    """The entries on one side of diagonal `k`, and on it."""
    offset = pattern.cols.astype(np.int64) - pattern.rows
    entries = np.flatnonzero(offset >= k if upper else offset <= k).astype(np.int32)
    rows, cols = pattern.rows[entries], pattern.cols[entries]
    return SparsityPattern(rows, cols, pattern.shape), take(data, entries)


# -- Reductions --------------------------------------------------------------------------


@compiled
def diagonal(pattern: SparsityPattern, data: Data) -> Num[Array, "*batch diagonal"]:
    """Elements `(i, i)`."""
    places = np.arange(min(pattern.shape))
    return spread(data, find_entries(pattern, places, places))


@compiled
def row_sums(pattern: SparsityPattern, data: Data) -> Num[Array, "*batch m"]:
    """The sum of each row."""
    sums = partial(sum_by_index, pattern.rows, pattern.m)
    return jnp.vectorize(sums, signature="(k)->(m)")(data)


@compiled
def column_sums(pattern: SparsityPattern, data: Data) -> Num[Array, "*batch n"]:
    """The sum of each column."""
    sums = partial(sum_by_index, pattern.cols, pattern.n)
    return jnp.vectorize(sums, signature="(k)->(n)")(data)


@partial(compiled, static=("ord",))
def norm(pattern: SparsityPattern, data: Data, ord: Any) -> Inexact[Array, "*batch"]:
    """The Frobenius norm, or the largest sum of magnitudes in a column (1) or a row."""
    if ord == "fro":
        return jnp.linalg.norm(data, axis=-1)
    sums = (column_sums if ord == 1 else row_sums)(pattern, jnp.abs(data))
    return sums.max(-1, initial=0)


# -- Values ------------------------------------------------------------------------------


def promoted(*arrays: Num[Array, "..."]) -> list[Num[Array, "..."]]:
    """The arrays in the dtype that JAX promotes them to."""
    dtype = jnp.result_type(*arrays)
    return [array.astype(dtype) for array in arrays]


def scale_by_index(
    data: Num[Array, "*#batch nnz"],
    factors: Num[Array, "*#batch factors"],
    index: Int32[np.ndarray, " nnz"],
) -> Num[Array, "... nnz"]:
    """The values times the factor at the index of each, such as its row or column."""
    data, factors = promoted(data, factors)
    return data * take(factors, index)


def spread(values: Num[Array, "*batch size"], places: Map) -> Num[Array, "*batch places"]:
    """Elements along the last axis, zero where the position is -1."""
    if np.array_equal(places, np.arange(values.shape[-1])):
        return values
    step = int(places[1] - places[0]) if places.size > 1 else 0
    if step > 0 and places[0] >= 0 and (np.diff(places) == step).all():
        return take(values, slice(int(places[0]), int(places[-1]) + 1, step))
    if values.shape[-1] == 0:
        return jnp.zeros((*values.shape[:-1], places.size), values.dtype)
    found = take(values, np.maximum(places, 0))
    return jnp.where(places >= 0, found, jnp.zeros((), values.dtype))
