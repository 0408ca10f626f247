"""Factorizations and solves that can be differentiated and batched."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Inexact, Num

from ..._base.sharding import varies, varying_alike
from ..._base.types import PyTree
from ..._structure.pattern import SparsityPattern
from ..multiply import multiply, multiply_transposed
from .backend import Determinant, Solution, Vector
from .host.calls import Host, mirrored_inverse
from .solver import AnySolver, Direct, Solver, as_solver

_AT_ONCE = 64
"""Columns of an inverse that are computed together."""

_MOST_SOLVES = 512
"""Unknowns up to which the elements of an inverse are computed by solves. A grid of 10 000
takes 0.24 s from the factors, and 3.5 s by solves; one of 100 000 takes 4 s and 490 s."""


def factor(
    pattern: SparsityPattern, data: Num[Array, "*batch nnz"], solver: AnySolver
) -> PyTree[Array]:
    """The factors of a matrix, or of each matrix of a batch, for `substitute`.

    They carry no derivatives: `substitute` has those of the solution by the values. What
    depends on the pattern is computed while tracing, so call this under `jax.jit`.

    **Raises:** `ValueError` if the matrix is not square, the shapes do not fit, or the
    solver is unknown or does not suit the pattern; `ImportError` if it is not installed.
    """
    _check_square(pattern)
    if pattern.n == 0:
        return ()
    solver = as_solver(solver)

    def one(solver: Solver, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        return solver.plan(pattern).factor(data)

    batch = data.shape[:-1]
    if solver.batch_shape not in ((), batch):
        raise ValueError(
            f"The preconditioner is a batch of shape {solver.batch_shape}, the operator "
            f"one of shape {batch}."
        )
    for _ in batch:
        one = jax.vmap(one, (0 if solver.batch_shape else None, 0))
    return one(*lax.stop_gradient((solver, at_work(data))))


def substitute(
    pattern: SparsityPattern,
    data: Num[Array, "*batch nnz"],
    factors: PyTree[Array],
    b: Num[Array, "*#batch n"],
    *,
    solver: AnySolver,
    transposed: bool = False,
) -> tuple[Inexact[Array, "*batch n"], Bool[Array, "*batch"]]:
    """`x` with `A x = b`, or `A.T x = b`, from the `factors` of the matrix with the values
    `data`, and whether `A` is singular.

    `A` counts as singular if a pivot is exactly zero, or if all matrices of its pattern
    are singular; then all of `x` is NaN. Values that are not finite make some of `x` NaN,
    but do not make a matrix singular.

    Derivatives with respect to `data` and `b` are substitutions in the same factors. Of a
    batch, `b` has the axes of `data` or none of them. `x` has no more digits than the
    factors.
    """
    dtype = _solution_dtype(data, b)
    if pattern.n == 0:
        return jnp.zeros((*data.shape[:-1], 0), dtype), jnp.zeros(data.shape[:-1], bool)
    one = partial(_substitute, pattern, solver, transposed)
    for _ in data.shape[:-1]:
        one = jax.vmap(one, (0, 0, 0 if b.ndim > 1 else None))
    x, singular = one(at_work(data), factors, b)
    return lax.convert_element_type(x, dtype), singular


def slogdet(
    pattern: SparsityPattern,
    data: Num[Array, " nnz"],
    factors: PyTree[Array],
    solver: AnySolver,
) -> Determinant:
    """The sign and the logarithm of the absolute value of the determinant.

    The derivative by an entry is the element of the inverse at the mirrored position. Up
    to a few hundred unknowns that takes `n` substitutions in the same factors; beyond, it
    is computed from the factors of SuperLU, in the time of a few factorizations.
    """

    @jax.custom_jvp
    def compute(data: Num[Array, " nnz"], factors: PyTree[Array]) -> Determinant:
        if pattern.n == 0:
            return jnp.ones((), data.dtype), jnp.zeros((), data.real.dtype)
        return as_solver(solver).plan(pattern).slogdet(factors)

    @compute.defjvp
    def derivative(primals: Any, tangents: Any) -> Any:
        data, factors = primals
        sign, logarithm = compute(*primals)
        weights = _mirrored_inverse(pattern, data, factors, solver)
        change = (weights * tangents[0]).sum()
        turned = sign * 1j * change.imag if jnp.iscomplexobj(sign) else jnp.zeros_like(sign)
        return (sign, logarithm), (turned, change.real)

    return compute(at_work(data), lax.stop_gradient(factors))


def check_solved(
    x: PyTree, failed: Bool[Array, "..."], solver: Solver, throw: bool | None
) -> PyTree:
    """`x`, or the error of the solver if a system was not solved and that is known, or if
    `throw` is set."""
    try:
        has_failed = bool(np.any(failed))
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
        return eqx.error_if(x, failed, str(solver.failure)) if throw else x
    if has_failed:
        raise solver.failure
    return x


def at_work(values: Num[Array, "..."]) -> Inexact[Array, "..."]:
    """The values in a precision that libraries have: LAPACK has no shorter floats."""
    is_short = jnp.finfo(values.dtype).bits < 32
    return lax.convert_element_type(values, jnp.float32) if is_short else values


def as_precise(data: Num[Array, "..."], b: Num[Array, "..."]) -> Inexact[Array, "..."]:
    """`data` in the precision that a solution for `b` has, complex only if it was."""
    dtype = _common_dtype(data, b)
    is_complex = jnp.issubdtype(data.dtype, jnp.complexfloating)
    return lax.convert_element_type(data, dtype if is_complex else jnp.finfo(dtype).dtype)


def _substitute(
    pattern: SparsityPattern,
    solver: AnySolver,
    transposed: bool,
    data: Inexact[Array, " nnz"],
    factors: PyTree[Array],
    b: Num[Array, " n"],
) -> Solution:
    """`substitute` for one matrix and one vector, in the dtype of the matrix."""
    if jnp.iscomplexobj(b) and not jnp.iscomplexobj(data):
        one = partial(_substitute, pattern, solver, transposed, data, factors)
        x, singular = jax.vmap(one)(jnp.stack([b.real, b.imag]))
        return lax.complex(x[0], x[1]), singular[0]
    backend = as_solver(solver).plan(pattern)
    b = lax.convert_element_type(b, data.dtype)
    # In `jax.shard_map` all that a linear solve takes must vary over the same mesh axes.
    leaves, structure = jax.tree.flatten(lax.stop_gradient(factors))
    b, data, *leaves = varying_alike([b, data, *leaves])
    factors = jax.tree.unflatten(structure, leaves)

    def solve(transposed: bool) -> Callable[[object, Vector], Solution]:
        run = wrap(lambda b: backend.solve(factors, b, transposed))
        return lambda _, b: run(b)

    # There, `custom_linear_solve` lets the index arrays of functions vary as well, whose
    # programs do not expect it. Those of a compiled function are out of its reach.
    wrap: Callable[..., Any] = jax.jit if varies(b) else lambda function: function
    product = multiply_transposed if transposed else multiply
    x, singular = lax.custom_linear_solve(
        wrap(partial(product, pattern, data)),
        b,
        solve(transposed),
        solve(not transposed),
        has_aux=True,
    )
    return x, jnp.asarray(singular)


def _mirrored_inverse(
    pattern: SparsityPattern,
    data: Inexact[Array, " nnz"],
    factors: PyTree[Array],
    solver: AnySolver,
) -> Inexact[Array, " nnz"]:
    """For each entry `(i, j)` of the pattern the element `(j, i)` of the inverse.

    Its own derivatives take `n` substitutions each.
    """
    by_solves = partial(_inverse_by_solves, pattern, solver=solver)
    host = Direct("superlu").plan(pattern) if pattern.n > _MOST_SOLVES else None
    if not isinstance(host, Host):
        return by_solves(data, factors)

    @jax.custom_jvp
    def select(data: Inexact[Array, " nnz"], factors: PyTree[Array]) -> Array:
        del factors
        return mirrored_inverse(host.solver, data)

    @select.defjvp
    def derivative(primals: Any, tangents: Any) -> Any:
        data, factors = primals
        _, change = jax.jvp(lambda data: by_solves(data, factors), (data,), tangents[:1])
        return select(*primals), change

    return select(data, factors)


def _inverse_by_solves(
    pattern: SparsityPattern,
    data: Inexact[Array, " nnz"],
    factors: PyTree[Array],
    solver: AnySolver,
) -> Inexact[Array, " nnz"]:
    if not pattern.nnz:
        return data
    order = np.argsort(pattern.rows, kind="stable")
    starts = np.searchsorted(pattern.rows[order], np.arange(pattern.n + 1))
    width = int(np.diff(starts).max(initial=0))
    slots = starts[:-1, None] + np.arange(width)
    is_entry = slots < starts[1:, None]
    entries = order[np.where(is_entry, slots, 0)]

    def row(args: Any) -> Inexact[Array, " width"]:
        i, cols = args
        unit = jnp.zeros(pattern.n, data.dtype).at[i].set(1)
        x, _ = substitute(pattern, data, factors, unit, solver=solver)
        return x[cols]

    rows: Callable[..., Any] = partial(lax.map, row, batch_size=min(_AT_ONCE, pattern.n))
    found = rows((np.arange(pattern.n), pattern.cols[entries]))
    places = jnp.asarray(entries[is_entry])
    return jnp.zeros_like(data).at[places].set(found[is_entry])


def _check_square(pattern: SparsityPattern) -> None:
    if pattern.m != pattern.n:
        raise ValueError(
            f"Only square matrices can be solved with. Got shape {pattern.shape}. For "
            "least squares use A.lstsq(b)."
        )


def _solution_dtype(data: Num[Array, "..."], b: Num[Array, "..."]) -> Any:
    """The dtype of a solution by factors of a matrix with these values."""
    dtype = _common_dtype(data, b)
    if jnp.finfo(dtype).bits <= jnp.finfo(at_work(data).dtype).bits:
        return dtype
    return np.complex64 if jnp.issubdtype(dtype, jnp.complexfloating) else np.float32


def _common_dtype(data: Num[Array, "..."], b: Num[Array, "..."]) -> jnp.dtype:
    """The inexact dtype of a solution, that of `data * b`."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(data.dtype, b.dtype, float)
