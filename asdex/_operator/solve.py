"""`solve`: the solution of a sparse linear system."""

from typing import Any

from .._base.types import PyTree
from .._linalg.solvers import AnySolver
from .operator import SparseJacobian


def solve(
    a: SparseJacobian,
    b: PyTree,
    *,
    solver: AnySolver = "auto",
    throw: bool | None = None,
    **options: Any,
) -> PyTree:
    """`x` with `A x = b`, for a square operator `A`.

    Differentiable in forward and reverse mode with respect to the values of `A` and to
    `b`, by the implicit function theorem: a derivative is one more solve. Works under
    `jax.jit` and `jax.vmap`, also over the values of `A`; solve with the transpose by
    `A.T`. What depends on the pattern alone, as an order of elimination with little
    fill, is computed while tracing; calls outside of `jit` are compiled for each
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
        (SciPy), and `"klu"`, which needs `pip install klujax`. `"cusolver"` is for
        NVIDIA GPUs. Iterative, to a tolerance: `"cg"`, `"gmres"`, `"bicgstab"`, or an
        `asdex.Iterative` with its options.
    - `throw`: what happens if the matrix is singular. By default an error is raised
        outside of `jax.jit` and other transformations, and the result is NaN inside, where
        values are not known. True raises an error in either case, inside of `jit`
        at run time as `equinox.error_if` does; false gives NaN in either case. The same
        holds where an iterative solver does not converge.
    - `options`: those of `asdex.Iterative`, if the solver is given by such a name:
        `preconditioner`, `rtol`, `atol`, `max_steps`, `restart`.

    **Returns:** a pytree like `a.in_structure`, or a matrix like `b`.

    **Raises:** `ValueError` if the operator is not square, `b` has another structure, or
    the solver does not suit the pattern; `SingularMatrixError` or `NotConvergedError` as
    `throw` says.
    """
    if not isinstance(a, SparseJacobian):
        raise TypeError(
            f"solve needs a SparseJacobian, as output_format='operator' returns it. Got "
            f"{type(a).__name__}."
        )
    return a.solve(b, solver=solver, throw=throw, **options)
