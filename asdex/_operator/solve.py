"""The door to the solvers: structures, batches, several right-hand sides, and errors."""

from functools import partial
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Num

from .._base.errors import SingularMatrixError
from .._base.types import PyTree, check_choice
from .._linalg.solvers import SOLVERS, SolverName, solve_flat
from .algebra import compiled

if TYPE_CHECKING:
    from .operator import SparseJacobian

_SINGULAR = (
    "The matrix is singular, so A x = b has no solution, or more than one. Pass "
    "throw=False for NaN in place of this error."
)


def solve(
    a: "SparseJacobian",
    b: PyTree,
    *,
    solver: SolverName = "auto",
    throw: bool | None = None,
) -> PyTree:
    """`x` with `A x = b`, for a square operator `A`.

    Differentiable in forward and reverse mode with respect to the values of `A` and to
    `b`, by the implicit function theorem: a derivative is one more solve. Works under
    `jax.jit` and `jax.vmap`, also over the values of `A`; solve with the transpose by
    `A.T`. What depends on the pattern alone, as an order of elimination with little
    fill, is worked out while tracing; calls outside of `jit` are compiled for each
    pattern.

    **Arguments:**

    - `a`: the operator.
    - `b`: a pytree like `a.out_structure`, its leaves behind the batch axes of `a` if it
        has some. For an operator between flat vectors also a matrix of shape
        `(*batch, n, k)`, whose columns are `k` right-hand sides. The matrix is factored
        once for all right-hand sides, also for those under `jax.vmap`.
    - `solver`: by default chosen from the pattern. In pure JAX: `"diagonal"`,
        `"tridiagonal"`, `"block_diagonal"`, for rows and columns that fall into small
        independent sets, and `"dense"`. On the host, called back from the program:
        `"banded"` (LAPACK), `"triangular"`, also after a permutation, `"superlu"`
        (SciPy), and `"klu"`, which needs `pip install 'asdex[klu]'`. `"cusolver"` is for
        NVIDIA GPUs.
    - `throw`: what happens if the matrix is singular. By default an error is raised
        outside of `jax.jit` and other transformations, and the result is NaN inside, where
        there is no number to look at. True raises an error in either case, inside of `jit`
        at run time as `equinox.error_if` does; false gives NaN in either case.

    **Returns:** a pytree like `a.in_structure`, or a matrix like `b`.

    **Raises:** `ValueError` if the operator is not square, `b` has another structure, or
    the solver does not suit the pattern; `SingularMatrixError` as `throw` says.
    """
    if not hasattr(a, "sparsity"):
        raise TypeError(
            f"solve needs a SparseJacobian, as output_format='operator' returns it. Got "
            f"{type(a).__name__}."
        )
    m, n = a.shape
    if m != n:
        raise ValueError(
            f"Only a square matrix can be solved with. This one has shape {(m, n)}. For "
            "least squares solve A.gram() with A.rmv(b)."
        )
    check_choice("solver", solver, SOLVERS)
    x, singular = _solve(a, b, solver=solver)
    return x if throw is False else _unless_singular(x, singular, throw)


@partial(compiled, static_argnames="solver")
def _solve(
    a: "SparseJacobian", b: PyTree, *, solver: SolverName
) -> tuple[PyTree, Bool[Array, "..."]]:
    if _is_matrix(a, b):
        columns = jax.vmap(partial(_solve_vector, a, solver), -1, (-1, -1))
        return columns(jnp.asarray(b))
    vector = a.codomain.ravel("b", b, a.batch_shape, a.dtype)
    x, singular = _solve_vector(a, solver, vector)
    return a.domain.unravel(x), singular


def _is_matrix(a: "SparseJacobian", b: PyTree) -> bool:
    """Whether `b` holds right-hand sides as columns."""
    if not (a.domain.is_flat and a.codomain.is_flat and hasattr(b, "shape")):
        return False
    return b.shape[:-1] == (*a.batch_shape, a.shape[0])


def _solve_vector(
    a: "SparseJacobian", solver: SolverName, b: Num[Array, "... n"]
) -> tuple[Num[Array, "... n"], Bool[Array, "..."]]:
    one = partial(solve_flat, a.sparsity, solver=solver)
    return jnp.vectorize(one, signature="(k),(n)->(n),()")(a.data, b)


def _unless_singular(x: PyTree, singular: Bool[Array, "..."], throw: bool | None) -> PyTree:
    """`x`, or an error if a matrix was singular and that can be told."""
    try:
        is_singular = bool(np.any(singular))
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
        return eqx.error_if(x, singular, _SINGULAR) if throw else x
    if is_singular:
        raise SingularMatrixError(_SINGULAR)
    return x
