"""What operators can be made of: products, sums, parts and reductions.

Each function is compiled, so that what depends on patterns alone is worked out once for
each pattern, and kept with the compiled program.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Inexact, Int32, Num

from .._base.index import IndexArray, as_indices
from .._base.types import PyTree
from .._call.space import Space
from .._linalg import multiply as products
from .._linalg.multiply import group_sums, sum_lines
from .._linalg.plans import (
    Map,
    diagonal_entries,
    diagonal_pattern,
    plan_part,
    plan_product,
    plan_transpose,
    plan_triangle,
    plan_union,
)
from .._structure.layouts import find_entries

if TYPE_CHECKING:
    from .operator import SparseJacobian

compiled = partial(jax.jit, inline=True)


# -- Products with vectors ---------------------------------------------------------------


@compiled
def multiply(a: "SparseJacobian", x: PyTree) -> PyTree:
    vector = a.domain.ravel("x", x, a.batch_shape, a.dtype)
    return a.codomain.unravel(_apply(products.multiply, a, vector))


@compiled
def multiply_transposed(a: "SparseJacobian", u: PyTree) -> PyTree:
    vector = a.codomain.ravel("u", u, a.batch_shape, a.dtype)
    return a.domain.unravel(_apply(products.multiply_transposed, a, vector))


def multiply_matrix(a: "SparseJacobian", x: ArrayLike) -> Num[Array, "..."]:
    x = _as_array(x, "A @ x takes an operator or an array", "For pytrees use A.mv.")
    if x.ndim == 0 or x.shape[max(-2, -x.ndim)] != a.shape[1]:
        raise ValueError(
            f"A @ x needs an x of shape ({a.shape[1]},) or (..., {a.shape[1]}, k) for an "
            f"operator of shape {a.shape}. Got {x.shape}. For pytrees use A.mv."
        )
    return _multiply_matrix(a, x)


@compiled
def _multiply_matrix(a: "SparseJacobian", x: Num[Array, "..."]) -> Num[Array, "..."]:
    if x.ndim == 1:
        return _apply(products.multiply, a, x)
    columns = jnp.moveaxis(x, -1, 0)
    product = jax.vmap(lambda column: _apply(products.multiply, a, column))(columns)
    return jnp.moveaxis(product, 0, -1)


def multiply_matrix_from_left(x: ArrayLike, a: "SparseJacobian") -> Num[Array, "..."]:
    x = _as_array(x, "x @ A takes an operator or an array", "For pytrees use A.rmv.")
    if x.ndim == 0 or x.shape[-1] != a.shape[0]:
        raise ValueError(
            f"x @ A needs an x of shape ({a.shape[0]},) or (..., k, {a.shape[0]}) for an "
            f"operator of shape {a.shape}. Got {x.shape}. For pytrees use A.rmv."
        )
    if x.ndim == 1:
        return transpose(a) @ x
    return jnp.swapaxes(transpose(a) @ jnp.swapaxes(x, -1, -2), -1, -2)


def _apply(
    product: Callable[..., Array], a: "SparseJacobian", x: Num[Array, "... size"]
) -> Num[Array, "... result"]:
    """A product with the entries, for all matrices and vectors of a batch."""
    data, x = promoted(a.data, x)
    return jnp.vectorize(partial(product, a.sparsity), signature="(k),(n)->(m)")(data, x)


# -- Operators from operators ------------------------------------------------------------


def with_data(a: "SparseJacobian", data: Num[Array, "..."]) -> "SparseJacobian":
    """The operator with other values."""
    return replace(a, data=data)


@compiled
def transpose(a: "SparseJacobian") -> "SparseJacobian":
    spaces = {"domain": a.codomain, "codomain": a.domain}
    if not a.symmetric:
        return replace(a, sparsity=plan_transpose(a.sparsity), **spaces)
    # The pattern stays as it is. The values are exchanged though they should be equal in
    # pairs, because derivatives by them, and gradients that are operators, need not be.
    pattern = a.sparsity
    mirror = find_entries(pattern, pattern.cols, pattern.rows)
    return replace(a, data=_take(a.data, mirror), **spaces)


@compiled
def product(a: "SparseJacobian", b: "SparseJacobian") -> "SparseJacobian":
    if not a.domain.matches(b.codomain):
        raise ValueError(
            f"A @ B needs the input of A to be like the output of B. A of shape {a.shape} "
            f"takes {a.in_structure}, B of shape {b.shape} returns {b.out_structure}. If "
            "their order is the same, use A.flat @ B.flat."
        )
    _check_batches(a, b)
    pattern, lengths, left, right = plan_product(a.sparsity, b.sparsity)

    def values(a_data: Num[Array, " k"], b_data: Num[Array, " l"]) -> Num[Array, " m"]:
        return group_sums(
            lengths,
            lambda places: _take(a_data, left[places]) * _take(b_data, right[places]),
            a_data.dtype,
        )

    data = jnp.vectorize(values, signature="(k),(l)->(m)")(*promoted(a.data, b.data))
    return replace(a, data=data, sparsity=pattern, domain=b.domain, symmetric=False)


@compiled
def add(a: "SparseJacobian", b: "SparseJacobian") -> "SparseJacobian":
    if a.shape != b.shape:
        raise ValueError(
            f"Operators that are added must have equal shapes. Got {a.shape} and {b.shape}."
        )
    if not (a.domain.matches(b.domain) and a.codomain.matches(b.codomain)):
        raise ValueError(
            "Operators that are added must map the same structures. Got\n"
            f"{a.in_structure} to {a.out_structure} and\n"
            f"{b.in_structure} to {b.out_structure}.\n"
            "If their order is the same, use A.flat + B.flat."
        )
    _check_batches(a, b)
    left, right = promoted(a.data, b.data)
    union = plan_union(a.sparsity, b.sparsity)
    data = spread(left, union.left) + spread(right, union.right)
    symmetric = a.symmetric and b.symmetric
    return replace(a, data=data, sparsity=union.pattern, symmetric=symmetric)


def shift(a: "SparseJacobian", alpha: ArrayLike) -> "SparseJacobian":
    m, n = a.shape
    if m != n:
        raise ValueError(
            f"shift adds a multiple of the identity, which is square. The operator has "
            f"shape {a.shape}."
        )
    alpha = _as_array(alpha, "alpha must be a number or an array")
    if alpha.ndim and alpha.shape[-1] != n:
        raise ValueError(
            f"alpha must be a number or of shape (..., {n}). Got {alpha.shape}. For a "
            "number for each matrix of a batch use jax.vmap."
        )
    return _shift(a, alpha)


@compiled
def _shift(a: "SparseJacobian", alpha: Num[Array, "..."]) -> "SparseJacobian":
    n = a.shape[0]
    data, alpha = promoted(a.data, alpha)
    union = plan_union(a.sparsity, diagonal_pattern(n))
    diagonal = jnp.broadcast_to(alpha, (*alpha.shape[:-1], n))
    shifted = spread(data, union.left) + spread(diagonal, union.right)
    return replace(a, data=shifted, sparsity=union.pattern)


def scale(a: "SparseJacobian", factor: ArrayLike, divide: bool = False) -> "SparseJacobian":
    factor = _as_array(factor, "An operator can be multiplied and divided by numbers")
    if factor.ndim and factor.shape != a.batch_shape:
        raise ValueError(
            "An operator can be multiplied and divided by a number, or by one for each "
            f"matrix of its batch {a.batch_shape}. Got an array of shape {factor.shape}. "
            "For vectors use @, mv, scale_rows or scale_cols."
        )
    return _scale(a, factor, divide)


@partial(compiled, static_argnames="divide")
def _scale(a: "SparseJacobian", factor: Num[Array, "*batch"], divide: bool) -> Any:
    data, factor = promoted(a.data, factor)
    factor = jnp.expand_dims(factor, -1)
    return with_data(a, data / factor if divide else data * factor)


@compiled
def scale_rows(a: "SparseJacobian", factors: PyTree) -> "SparseJacobian":
    vector = a.codomain.ravel("factors", factors, a.batch_shape, a.dtype)
    return _scale_lines(a, vector, a.sparsity.rows)


@compiled
def scale_cols(a: "SparseJacobian", factors: PyTree) -> "SparseJacobian":
    vector = a.domain.ravel("factors", factors, a.batch_shape, a.dtype)
    return _scale_lines(a, vector, a.sparsity.cols)


def _scale_lines(
    a: "SparseJacobian",
    factors: Num[Array, "*batch lines"],
    lines: Int32[np.ndarray, " nnz"],
) -> "SparseJacobian":
    data, factors = promoted(a.data, factors)
    return replace(a, data=data * _take(factors, lines), symmetric=False)


def gram(a: "SparseJacobian") -> "SparseJacobian":
    return replace(product(transpose(a), a), symmetric=True)


@compiled
def gram_diagonal(a: "SparseJacobian") -> PyTree:
    squares = _sum_lines(a.data * a.data, a.sparsity.cols, a.shape[1])
    return a.domain.unravel(squares)


def congruence(a: "SparseJacobian", p: "SparseJacobian") -> "SparseJacobian":
    if a.shape[0] != a.shape[1]:
        raise ValueError(f"P^T A P needs a square A. The operator has shape {a.shape}.")
    if not isinstance(p, type(a)):
        raise TypeError(
            f"P^T A P needs an operator P. Got {type(p).__name__}. For a dense one use "
            "P.T @ (A @ P)."
        )
    return replace(product(transpose(p), product(a, p)), symmetric=a.symmetric)


def submatrix(a: "SparseJacobian", rows: Any, cols: Any) -> "SparseJacobian":
    m, n = a.shape
    row_index = IndexArray(_as_selection("rows", rows, m))
    return _submatrix(a, row_index, IndexArray(_as_selection("cols", cols, n)))


@partial(compiled, static_argnames=("rows", "cols"))
def _submatrix(a: "SparseJacobian", rows: IndexArray, cols: IndexArray) -> "SparseJacobian":
    part = plan_part(a.sparsity, rows.array, cols.array)
    m, n = part.pattern.shape
    return replace(
        a,
        data=_take(a.data, part.entries),
        sparsity=part.pattern,
        domain=Space.flat(n, a.dtype),
        codomain=Space.flat(m, a.dtype),
        symmetric=a.symmetric and rows == cols,
    )


@partial(compiled, static_argnames=("k", "upper"))
def triangle(a: "SparseJacobian", k: int, *, upper: bool) -> "SparseJacobian":
    part = plan_triangle(a.sparsity, k, upper=upper)
    data = _take(a.data, part.entries)
    return replace(a, data=data, sparsity=part.pattern, symmetric=False)


# -- Reductions --------------------------------------------------------------------------


@compiled
def diagonal(a: "SparseJacobian") -> Num[Array, "*batch diagonal"]:
    return spread(a.data, diagonal_entries(a.sparsity))


@compiled
def row_sums(a: "SparseJacobian") -> PyTree:
    return a.codomain.unravel(_sum_lines(a.data, a.sparsity.rows, a.shape[0]))


def norm(a: "SparseJacobian", ord: Any) -> Inexact[Array, "*batch"]:
    if ord not in ("fro", 1, "inf", math.inf):
        raise ValueError(f"ord must be 'fro', 1 or 'inf'. Got {ord!r}.")
    return _norm(a, ord) if a.nnz else jnp.zeros(a.batch_shape, a.data.real.dtype)


@partial(compiled, static_argnames="ord")
def _norm(a: "SparseJacobian", ord: Any) -> Inexact[Array, "*batch"]:
    if ord == "fro":
        return jnp.linalg.norm(a.data, axis=-1)
    lines = a.sparsity.cols if ord == 1 else a.sparsity.rows
    sums = _sum_lines(jnp.abs(a.data), lines, a.shape[1 if ord == 1 else 0])
    return sums.max(-1, initial=0)


# -- Helpers -----------------------------------------------------------------------------


def promoted(*arrays: Num[Array, "..."]) -> list[Num[Array, "..."]]:
    """The arrays in the dtype that JAX promotes them to."""
    dtype = jnp.result_type(*arrays)
    return [array.astype(dtype) for array in arrays]


def _check_batches(a: "SparseJacobian", b: "SparseJacobian") -> None:
    try:
        np.broadcast_shapes(a.batch_shape, b.batch_shape)
    except ValueError:
        raise ValueError(
            "Batches of operators must have equal shapes, or shapes that NumPy can "
            f"broadcast. Got {a.batch_shape} and {b.batch_shape}."
        ) from None


def _as_array(
    value: Any, expectation: str, advice: str = "For other operations use A.todense()."
) -> Num[Array, "..."]:
    """An array, whose numbers may be of weak type, from what stands beside an operator."""
    wrong = TypeError(f"{expectation}. Got {type(value).__name__}. {advice}")
    if hasattr(value, "todense"):  # NumPy would ask a sparse matrix for all elements.
        raise wrong
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError):
        raise wrong from None


def _take(values: Num[Array, "*batch size"], places: Any) -> Num[Array, "*batch places"]:
    """Elements along the last axis; `places` are indices, or a slice."""
    if isinstance(places, slice):
        return values[..., places]
    return values.at[..., places].get(mode="promise_in_bounds")


def spread(values: Num[Array, "*batch size"], places: Map) -> Num[Array, "*batch places"]:
    """Elements along the last axis, zero where the place is -1."""
    if np.array_equal(places, np.arange(values.shape[-1])):
        return values
    if values.shape[-1] == 0:
        return jnp.zeros((*values.shape[:-1], places.size), values.dtype)
    found = _take(values, np.maximum(places, 0))
    return jnp.where(places >= 0, found, jnp.zeros((), values.dtype))


def _sum_lines(
    values: Num[Array, "*batch nnz"], lines: Int32[np.ndarray, " nnz"], count: int
) -> Num[Array, "*batch count"]:
    sums = partial(sum_lines, lines, count)
    return jnp.vectorize(sums, signature="(k)->(m)")(values)


def _as_selection(name: str, indices: Any, size: int) -> Int32[np.ndarray, " part"]:
    """Indices below `size`, each at most once, from integers or a mask."""
    if indices is None:
        return np.arange(size, dtype=np.int32)
    if (mask := np.asarray(indices)).dtype == bool:
        if mask.shape != (size,):
            raise ValueError(
                f"The mask {name} must have shape ({size},). Got {mask.shape}."
            )
        indices = np.flatnonzero(mask)
    chosen = as_indices(name, indices, -size, size - 1, f"for {size} {name}") % max(1, size)
    if np.unique(chosen).size < chosen.size:
        raise ValueError(f"{name} must name each index at most once. Got {indices!r}.")
    return chosen.astype(np.int32)
