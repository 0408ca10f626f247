"""`Sparse`: a solver of lineax for any linear operator whose matrix is sparse."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Bool

from .._base.types import PyTree
from .._call.space import Space
from .._color import Algorithm
from .._linalg.solvers import AnySolver, Iterative, Solver, as_solver
from .._operator import Factorization, SparseJacobian
from .._operator.least_squares import LeastSquares
from .._structure.matrices import PatternLike, as_pattern
from .._structure.pattern import SparsityPattern
from .materialize import DenseOperator
from .required import lx
from .structure import sparse_matrix


class Sparse(lx.AbstractLinearSolver):
    """A solver for the operators whose matrix is sparse.

    Takes any operator of lineax, also within the programs of optimistix and diffrax. `init`
    finds the pattern of the matrix, computes its values and factors it; `compute` only
    substitutes. So the iterations of a chord method share the factors, and so do a solve
    and its derivatives. A singular matrix gives `lineax.RESULTS.singular`, and an iterative
    solver that has not converged `lineax.RESULTS.max_steps_reached`.

    Oblong matrices of full rank are solved with in the sense of least squares, by the
    normal equations; see `SparseJacobian.lstsq`. An operator that turns out to be dense, or
    that calls functions on the host, is solved with by `lineax.AutoLinearSolver`, with a
    warning unless it is small.

    Structure that lineax shows is used as it is: `SparseLinearOperator`, diagonals, sums,
    products, multiples, tags. For all else the pattern is detected on the product with a
    vector. lineax passes the arrays of an operator as arguments to a program of its own, so
    that an index array in them is not known there: after `x[indices]` the pattern is dense,
    unless it is given.

    **Arguments:**

    - `solver`: how to solve; see `asdex.solve`.
    - `algorithm`: how to search a coloring, where one is needed; see
        `asdex.jacobian_coloring_from_sparsity`.
    - `sparsity`: the pattern of the operators, or a matrix with its entries, if it is
        known: nothing is detected. It is trusted to hold all entries: solutions are wrong
        if it does not.
    """

    solver: Solver
    algorithm: Algorithm = eqx.field(static=True)
    sparsity: SparsityPattern | None = eqx.field(static=True)

    def __init__(
        self,
        solver: AnySolver = "auto",
        algorithm: Algorithm = "auto",
        sparsity: PatternLike | None = None,
    ):
        self.solver, self.algorithm = as_solver(solver), algorithm
        self.sparsity = None if sparsity is None else as_pattern(sparsity)

    def init(self, operator: Any, options: dict[str, Any]) -> "_State":
        """The factors of the matrix of an operator. There are no options."""
        try:
            matrix = sparse_matrix(operator, self.algorithm, self.sparsity)
        except DenseOperator:
            return _Dense(_AUTO.init(operator, options))
        if matrix.sparsity.m == matrix.sparsity.n:
            return _Square(matrix.factorize(solver=self.solver))
        return _Oblong.of(matrix, self.solver)

    def compute(
        self, state: "_State", vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        """The solution for a vector."""
        return state.solve(vector, options)

    def transpose(
        self, state: "_State", options: dict[str, Any]
    ) -> tuple["_State", dict[str, Any]]:
        """The state of the transposed operator, with the same factors."""
        return state.transpose(options)

    def conj(
        self, state: "_State", options: dict[str, Any]
    ) -> tuple["_State", dict[str, Any]]:
        """The state of the conjugated operator."""
        return state.conj(options)

    def assume_full_rank(self) -> bool:
        """True: other matrices are singular."""
        return True


_AUTO = lx.AutoLinearSolver(well_posed=None)


def _result(failed: Bool[Array, ""], solver: Solver) -> lx.RESULTS:
    is_iterative = isinstance(solver, Iterative)
    failure = lx.RESULTS.max_steps_reached if is_iterative else lx.RESULTS.singular
    return lx.RESULTS.where(failed, failure, lx.RESULTS.successful)


class _Square(eqx.Module):
    """The factors of a square matrix."""

    factorization: Factorization

    def solve(self, vector: PyTree, options: dict[str, Any]) -> Any:
        del options
        x, singular, _ = self.factorization.solve_flagged(vector)
        return x, _result(singular, self.factorization.solver), {}

    def transpose(self, options: dict[str, Any]) -> Any:
        return _Square(self.factorization.T), options

    def conj(self, options: dict[str, Any]) -> Any:
        return _Square(self.factorization.conj()), options


class _Oblong(eqx.Module):
    """The factors of the normal equations."""

    squares: LeastSquares
    domain: Space = eqx.field(static=True)
    codomain: Space = eqx.field(static=True)

    @classmethod
    def of(cls, matrix: SparseJacobian, solver: Solver) -> "_Oblong":
        squares = LeastSquares.of(matrix.sparsity, matrix.data, 0.0, solver)
        return cls(squares, matrix.domain, matrix.codomain)

    def solve(self, vector: PyTree, options: dict[str, Any]) -> Any:
        del options
        b = self.codomain.ravel("vector", vector, (), self.squares.data.dtype)
        x, singular, _ = self.squares.solve(b)
        return self.domain.unravel(x), _result(singular, self.squares.normal.solver), {}

    def transpose(self, options: dict[str, Any]) -> Any:
        return _Oblong(self.squares.T, self.codomain, self.domain), options

    def conj(self, options: dict[str, Any]) -> Any:
        return _Oblong(self.squares.conj(), self.domain, self.codomain), options


class _Dense(eqx.Module):
    """What lineax's own choice of a solver keeps."""

    state: Any

    def solve(self, vector: PyTree, options: dict[str, Any]) -> Any:
        return _AUTO.compute(self.state, vector, options)

    def transpose(self, options: dict[str, Any]) -> Any:
        state, options = _AUTO.transpose(self.state, options)
        return _Dense(state), options

    def conj(self, options: dict[str, Any]) -> Any:
        state, options = _AUTO.conj(self.state, options)
        return _Dense(state), options


_State = _Square | _Oblong | _Dense
