"""Linear solves that can be differentiated and batched."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Inexact, Num

from ..._base.errors import SingularMatrixError
from ..._base.types import PyTree, check_choice
from ..._structure.pattern import SparsityPattern
from ..multiply import multiply
from .backend import Solution, Vector
from .choose import SOLVERS, SolverName, plan

_SINGULAR = (
    "The matrix is singular, so A x = b has no solution, or more than one. Pass "
    "throw=False for NaN in place of this error."
)


def solve_flat(
    pattern: SparsityPattern,
    data: Num[Array, " nnz"],
    b: Num[Array, " n"],
    *,
    solver: SolverName = "auto",
) -> tuple[Inexact[Array, " n"], Bool[Array, ""]]:
    """`x` with `A x = b`, where `A` has the values `data`, and whether `A` is singular.

    `A` counts as singular if a pivot is exactly zero, or if all matrices of its pattern
    are singular; then all of `x` is NaN. Values that are not finite make some of `x` NaN,
    but do not make a matrix singular.

    Derivatives with respect to `data` and `b` are solves with the same matrix or its
    transpose. They share factors with the first solve if these are arrays; libraries on
    the host factor once for each call. With `jax.vmap` over `b` alone there is one
    factorization for all right-hand sides, but for `"cusolver"`. What depends on the
    pattern is computed while tracing, so call this under `jax.jit`.

    **Arguments:**

    - `solver`: by default chosen by the pattern, see `choose`.

    **Raises:** `ValueError` if the matrix is not square, the shapes do not fit, or the
    solver is unknown or does not suit the pattern; `ImportError` if it is not installed.
    """
    check_choice("solver", solver, SOLVERS)
    _check_shapes(pattern, data, b)
    dtype = _common_dtype(data, b)
    if pattern.n == 0:
        return jnp.zeros(0, dtype), jnp.zeros((), bool)
    # LAPACK and other libraries have no shorter floats.
    is_short = jnp.finfo(dtype).bits < 32
    at_work = jnp.dtype(jnp.float32) if is_short else dtype
    data, b = (lax.convert_element_type(value, at_work) for value in (data, b))
    backend = plan(pattern, solver)
    factors = backend.factor(lax.stop_gradient(data))

    def solve(_: object, b: Vector, transposed: bool) -> Solution:
        return backend.solve(factors, b, transposed)

    x, singular = lax.custom_linear_solve(
        partial(multiply, pattern, data),
        b,
        partial(solve, transposed=False),
        partial(solve, transposed=True),
        has_aux=True,
    )
    return lax.convert_element_type(x, dtype), jnp.asarray(singular)


def solve_batch(
    pattern: SparsityPattern,
    data: Num[Array, "*#batch nnz"],
    b: Num[Array, "*#batch n"],
    solver: SolverName,
) -> tuple[Inexact[Array, "... n"], Bool[Array, "..."]]:
    """`solve_flat` for all matrices and right-hand sides of a batch."""
    one = partial(solve_flat, pattern, solver=solver)
    return jnp.vectorize(one, signature="(k),(n)->(n),()")(data, b)


def check_singular(x: PyTree, singular: Bool[Array, "..."], throw: bool | None) -> PyTree:
    """`x`, or an error if a matrix was singular and that is known, or `throw` is set."""
    try:
        is_singular = bool(np.any(singular))
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
        return eqx.error_if(x, singular, _SINGULAR) if throw else x
    if is_singular:
        raise SingularMatrixError(_SINGULAR)
    return x


def _check_shapes(
    pattern: SparsityPattern, data: Num[Array, "..."], b: Num[Array, "..."]
) -> None:
    if pattern.m != pattern.n:
        raise ValueError(
            f"Only square matrices can be solved with. Got shape {pattern.shape}. For "
            "least squares, solve with A.T A."
        )
    if data.shape != (pattern.nnz,) or b.shape != (pattern.n,):
        raise ValueError(
            f"data and b must have shapes ({pattern.nnz},) and ({pattern.n},) for this "
            f"pattern. Got {data.shape} and {b.shape}. Use jax.vmap for batches."
        )


def _common_dtype(data: Num[Array, " nnz"], b: Num[Array, " n"]) -> jnp.dtype:
    """The inexact dtype that both are converted to, that of `data * b`."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(data.dtype, b.dtype, float)
