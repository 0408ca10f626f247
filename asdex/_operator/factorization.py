"""`Factorization`: a matrix that is factored once for all solves with it."""

from dataclasses import replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Inexact, Num

from .._base.errors import NearlySingularWarning
from .._base.types import PyTree
from .._base.warn import warn
from .._call.space import Space
from .._linalg import condition, solvers
from .._linalg.algebra import compiled
from .._linalg.solvers import Solver, check_solved
from .._structure.pattern import SparsityPattern


@runtime_checkable
class Matrix(Protocol):
    """A `SparseJacobian`, as far as a factorization knows it."""

    @property
    def data(self) -> Num[Array, "..."]: ...
    @property
    def sparsity(self) -> SparsityPattern: ...


class Factorization(eqx.Module):
    """A square matrix with the factors that its solves share; `A.factorize()` makes it.

    A pytree like the matrix itself: it goes through `jax.jit`, `jax.vmap`, `jax.lax.scan`
    and `jax.lax.while_loop`. Solutions have exact derivatives of any order by the values of
    the matrix and by the right-hand side, which are solves with the same factors.

    Solvers in pure JAX keep factors as arrays. Those on the host (`"superlu"`, `"klu"`,
    `"banded"`, `"triangular"`) factor the matrix at the first solve and keep the factors of
    the last 256 matrices that were used, up to one GiB. The values travel with the
    factorization: if its factors are gone, the next solve makes them again, with the same
    result. `"cusolver"` keeps none. What iterative solvers keep is the preconditioner.

    **Attributes:**

    - `data`: the values of the matrix, in the order of its pattern.
    - `factors`: arrays; what they are depends on the solver.
    - `sparsity`: the pattern of the matrix.
    - `domain`, `codomain`: what solutions and right-hand sides are like.
    - `solver`: how to solve, as a value; see `asdex.solve`.
    - `transposed`: whether solves are with the transpose of the matrix.
    """

    data: Num[Array, "*batch nnz"]
    factors: PyTree[Array]
    sparsity: SparsityPattern = eqx.field(static=True)
    domain: Space = eqx.field(static=True)
    codomain: Space = eqx.field(static=True)
    solver: Solver
    transposed: bool = eqx.field(static=True, default=False)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes of a batch of matrices."""
        return self.data.shape[:-1]

    @property
    def T(self) -> "Factorization":
        """Solves with the transpose, without conjugation, by the same factors."""
        return replace(
            self,
            domain=self.codomain,
            codomain=self.domain,
            transposed=not self.transposed,
        )

    def conj(self) -> "Factorization":
        """Solves with the complex conjugate, which is factored if it is another matrix."""
        return self.with_data(jnp.conj(self.data)) if jnp.iscomplexobj(self.data) else self

    def solve(self, b: PyTree, *, throw: bool | None = None) -> PyTree:
        """`x` with `A x = b`; see `asdex.solve` for `b`, `throw` and what is raised.

        `x` has the precision of the matrix, also where that of `b` is higher.
        """
        x, singular, is_nearly = self.solve_flagged(b)
        return report(x, singular, is_nearly, self.solver, throw)

    def solve_flat(self, b: Num[Array, " n"]) -> Inexact[Array, " n"]:
        """`x` with `A x = b` for flat vectors and one matrix, NaN if there is none."""
        x, _ = solvers.substitute(
            *(self.sparsity, self.data, self.factors, b),
            solver=self.solver,
            transposed=self.transposed,
        )
        return x

    @compiled
    def solve_flagged(
        self, b: PyTree
    ) -> tuple[PyTree, Bool[Array, "..."], Bool[Array, "..."]]:
        """The solution, NaN if the matrix is singular, whether it is, and whether it is so
        up to rounding errors."""

        def one(b: Num[Array, "..."]) -> tuple[Any, Any, Any]:
            pattern, data, transposed = self.sparsity, self.data, self.transposed
            x, singular = solvers.substitute(
                *(pattern, data, self.factors, b), solver=self.solver, transposed=transposed
            )
            nearly = condition.is_nearly_singular(pattern, data, x, b, transposed)
            return x, singular, nearly

        is_flat = self.domain.is_flat and self.codomain.is_flat and hasattr(b, "shape")
        if is_flat and b.shape[:-1] == (*self.batch_shape, self.sparsity.n):
            return jax.vmap(one, -1, -1)(jnp.asarray(b))
        x, *flags = one(self.codomain.ravel("b", b, self.batch_shape, self.data.dtype))
        return self.domain.unravel(x), *flags

    @compiled
    def slogdet(self) -> tuple[Inexact[Array, "*batch"], Inexact[Array, "*batch"]]:
        """The sign of the determinant and the logarithm of its absolute value; 0 and `-inf`
        for a singular matrix.

        Differentiable by the values of the matrix, to any order: the derivative is the
        inverse on the mirrored pattern, which takes the time of a few factorizations by
        SuperLU, whatever the solver. Second derivatives take `n` solves.
        """
        one = partial(solvers.slogdet, self.sparsity, solver=self.solver)
        for _ in self.batch_shape:
            one = jax.vmap(one)
        return one(self.data, self.factors)

    @compiled
    def rcond(self) -> Inexact[Array, ""]:
        """An estimate of the reciprocal of the condition number; see
        `SparseJacobian.rcond`. Cost: four solves with the same factors."""
        if self.batch_shape:
            raise ValueError("The condition number is that of one matrix. Use jax.vmap.")
        return condition.rcond(
            self.sparsity, self.data, self.factors, self.solver, self.transposed
        )

    def update(self, a: Matrix) -> "Factorization":
        """The factorization of another matrix of the same pattern, for which nothing is
        planned again. Raises `ValueError` if its pattern is another one, `TypeError` for
        what is no operator."""
        if not isinstance(a, Matrix):
            raise TypeError(
                "update takes a SparseJacobian with the pattern that was factored. Got an "
                f"object of type {type(a).__name__}."
            )
        if a.sparsity != self.sparsity:
            raise ValueError(
                "update takes an operator with the pattern that was factored, "
                f"{self.sparsity!r}. Got {a.sparsity!r}. Use A.factorize()."
            )
        return self.with_data(a.data)

    def with_data(self, data: Num[Array, "*batch nnz"]) -> "Factorization":
        """The factorization of the matrix with other values."""
        factors = factors_of(self.sparsity, data, self.solver)
        return replace(self, data=data, factors=factors)


@compiled
def factors_of(
    pattern: SparsityPattern, data: Num[Array, "*batch nnz"], solver: Solver
) -> PyTree[Array]:
    """`solvers.factor`, compiled once for each pattern."""
    return solvers.factor(pattern, data, solver)


def report(
    x: PyTree,
    singular: Bool[Array, "..."],
    is_nearly: Bool[Array, "..."],
    solver: Solver,
    throw: bool | None,
) -> PyTree:
    """`x`, or an error or a warning if the system was not solved and that is known."""
    x = x if throw is False else check_solved(x, singular, solver, throw)
    if not isinstance(is_nearly, Tracer) and np.any(is_nearly):
        warn(_NEARLY_SINGULAR, NearlySingularWarning)
    return x


_NEARLY_SINGULAR = (
    "The matrix is singular up to rounding errors: the solution is so large that the "
    "condition number exceeds the reciprocal of the precision, and may have no right "
    "digit. A.rcond() estimates the condition number."
)
