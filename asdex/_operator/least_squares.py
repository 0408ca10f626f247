"""Least squares by the normal equations, whose pattern is that of `A^H A`."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Inexact, Num

from .._call.space import Space
from .._linalg import algebra
from .._linalg.solvers import Solver
from .._structure.pattern import SparsityPattern
from .factorization import Factorization, factors_of


class LeastSquares(eqx.Module):
    """The solutions of `min |A x - b|^2 + damping |x|^2`, the smallest one if there are
    many, by a factorization that all of them share.

    If the matrix is tall, `A^H A` is factored, else `A A^H`. Each solution is refined once
    by its residual (A. Björck, "Stability analysis of the method of seminormal equations
    for linear least squares problems", Linear Algebra Appl. 88/89 (1987)), so that its
    error grows with the condition number of `A` and not with its square, as long as the
    normal matrix is not singular up to rounding errors.
    """

    data: Inexact[Array, " nnz"]
    damping: Inexact[Array, "..."]
    normal: Factorization
    sparsity: SparsityPattern = eqx.field(static=True)
    is_tall: bool = eqx.field(static=True)

    @classmethod
    def of(
        cls,
        pattern: SparsityPattern,
        data: Inexact[Array, " nnz"],
        damping: Inexact[ArrayLike, "..."],
        solver: Solver,
    ) -> "LeastSquares":
        """Factor the normal equations of a matrix. `damping` is a number, or a vector of
        one for each unknown."""
        damping = jnp.asarray(damping, data.dtype)
        is_tall = pattern.m >= pattern.n or damping.ndim > 0
        other = algebra.transpose(pattern, jnp.conj(data))
        factors = (*other, pattern, data) if is_tall else (pattern, data, *other)
        normal, values = algebra.shift(*algebra.product(*factors), damping)
        space = Space.flat(normal.n, data.dtype)
        factored = factors_of(normal, values, solver)
        factorization = Factorization(values, factored, normal, space, space, solver)
        return cls(data, damping, factorization, pattern, is_tall)

    @property
    def T(self) -> "LeastSquares":
        """Those of the transpose, whose normal equations are the transposed ones."""
        return replace(
            self,
            sparsity=algebra.transpose(self.sparsity, self.data)[0],
            normal=self.normal.T,
            is_tall=not self.is_tall,
        )

    def conj(self) -> "LeastSquares":
        """Those of the matrix of complex conjugates."""
        return replace(self, data=jnp.conj(self.data), normal=self.normal.conj())

    def solve(
        self, b: Num[Array, " m"]
    ) -> tuple[Inexact[Array, " n"], Bool[Array, ""], Bool[Array, ""]]:
        """The solution, whether the normal matrix is singular, and whether it is so up to
        rounding errors."""
        apply = partial(algebra.apply, self.sparsity, self.data)
        adjoint = partial(algebra.apply_transposed, self.sparsity, jnp.conj(self.data))
        damping = self.damping
        if self.is_tall:
            x, singular, nearly = self.normal.solve_flagged(adjoint(b))
            left = adjoint(b - apply(x)) - damping * x
            return x + self.normal.solve_flagged(left)[0], singular, nearly
        y, singular, nearly = self.normal.solve_flagged(b)
        left = b - apply(adjoint(y)) - damping * y
        return adjoint(y + self.normal.solve_flagged(left)[0]), singular, nearly
