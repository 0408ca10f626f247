"""Approximate inverses of sparse matrices, for iterative solvers.

Each is a direct solver, for a simpler matrix: the diagonal, dense blocks along it,
incomplete factors, a hierarchy of coarser matrices; or what a user passes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Inexact, Int32

from ...._base.types import PyTree, check_choice
from ...._structure.layouts import find_entries
from ...._structure.pattern import SparsityPattern
from ...algebra import spread
from ...multiply import take
from ..backend import Singular, Solution, Vector
from ..direct.blocks import plan_block_diagonal
from ..direct.superlu import SuperLU
from ..host.calls import Host
from ..host.permuted import Factored, Permuted, permute
from ..host.store import HostDeterminant, Values, Vectors
from ..matching import Facts
from .clusters import clusters

PreconditionerName: TypeAlias = Literal["jacobi", "block_jacobi", "ilu", "amg"]
PRECONDITIONERS: tuple[str, ...] = get_args(PreconditionerName)

_BLOCK = 16
"""Most unknowns in a block."""

_DROP, _FILL = 1e-4, 10.0
"""What SuperLU's incomplete factorization drops, relative to the largest element of a
column, and how much larger than the matrix it may become; SciPy's defaults."""

_NO_AMG = (
    "preconditioner='amg' needs the package pyamg. Install it with `pip install pyamg`, or "
    "use preconditioner='ilu', which needs nothing else."
)


@runtime_checkable
class Approximation(Protocol):
    """A solver for a matrix that approximates those of one pattern; see `Backend`."""

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]: ...
    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution: ...


@runtime_checkable
class Inverse(Protocol):
    """An inverse whose transpose is known, as a `Factorization` has it."""

    @property
    def T(self) -> "Inverse": ...
    def solve_flat(self, b: Vector) -> Vector: ...


class Named(eqx.Module):
    """A preconditioner that is computed from the values of the matrix."""

    name: PreconditionerName | None = eqx.field(static=True)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """No axes: it has no arrays."""
        return ()

    @property
    def is_symmetric(self) -> bool:
        """Whether it is symmetric, or Hermitian, where the matrix is."""
        return self.name != "ilu"

    def factor(
        self, pattern: SparsityPattern, data: Inexact[Array, " nnz"]
    ) -> PyTree[Array]:
        """What applications share."""
        return () if self.name is None else _plan(pattern, self.name).factor(data)

    def apply(
        self, pattern: SparsityPattern, factors: PyTree[Array], r: Vector, transposed: bool
    ) -> Vector:
        """The approximate inverse, or its transpose, times a vector."""
        if self.name is None:
            return r
        return _plan(pattern, self.name).solve(factors, r, transposed)[0]


class Given(eqx.Module):
    """A preconditioner that was passed: an `Inverse`, or a function."""

    inverse: Any

    @property
    def is_symmetric(self) -> bool:
        """Taken for granted."""
        return True

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes of a batch of factorizations."""
        return getattr(self.inverse, "batch_shape", ())

    def factor(
        self, pattern: SparsityPattern, data: Inexact[Array, " nnz"]
    ) -> PyTree[Array]:
        """What was passed, since it may hold arrays."""
        size = getattr(getattr(self.inverse, "sparsity", pattern), "n", pattern.n)
        if size != pattern.n:
            raise ValueError(
                f"The preconditioner has {size} unknowns, but the matrix {pattern.n}."
            )
        if isinstance(self.inverse, Inverse):
            return self.inverse
        # What the function refers to, as arrays: no derivative is taken by these. JAX would
        # hash the function, which a module of arrays does not allow.
        example = jnp.zeros(pattern.n, data.dtype)
        function, constants = jax.closure_convert(lambda r: self.inverse(r), example)
        return Partial(partial(_call, function), *constants)

    def apply(
        self, pattern: SparsityPattern, factors: PyTree[Array], r: Vector, transposed: bool
    ) -> Vector:
        """The approximate inverse, or its transpose, times a vector."""
        del pattern
        if isinstance(factors, Inverse):
            z = (factors.T if transposed else factors).solve_flat(r)
        elif transposed:
            (z,) = jax.linear_transpose(lambda r: jnp.asarray(factors(r), r.dtype), r)(r)
        else:
            z = factors(r)
        if jnp.shape(z) != r.shape:
            raise ValueError(
                f"A preconditioner takes a vector of shape {r.shape}, and must return one "
                f"of equal shape. Got {jnp.shape(z)}."
            )
        return jnp.asarray(z, r.dtype)


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function with its constants, which come first."""
    *constants, r = arguments
    return function(r, *constants)


Preconditioner: TypeAlias = Named | Given


def as_preconditioner(
    given: PreconditionerName | Callable[..., Any] | Preconditioner | Inverse | None,
) -> Preconditioner:
    """A preconditioner by its name, or from what was passed for one.

    **Raises:** `ValueError` for an unknown name, `TypeError` for what is no function.
    """
    if isinstance(given, Named | Given):
        return given
    if isinstance(given, Inverse):
        return Given(given)
    if given is None or isinstance(given, str):
        name: Any = given
        check_choice("preconditioner", name or "jacobi", PRECONDITIONERS)
        return Named(name)
    if not callable(given):
        raise TypeError(
            "preconditioner must be a name, a Factorization or a function of a flat "
            f"vector. Got {type(given).__name__}."
        )
    # A module that can be called may hold arrays; a plain function is structure.
    return Given(given if isinstance(given, eqx.Module | Partial) else Partial(given))


@lru_cache(maxsize=64)
def _plan(pattern: SparsityPattern, name: PreconditionerName) -> Approximation:
    """What depends on the pattern alone, the same object for equal patterns."""
    return _PLANNERS[name](pattern)


# -- In pure JAX -------------------------------------------------------------------------


def _plan_jacobi(pattern: SparsityPattern) -> "Jacobi":
    places = np.arange(pattern.n)
    return Jacobi(find_entries(pattern, places, places))


@dataclass(frozen=True, eq=False)
class Jacobi:
    """Divides by the diagonal, where that is not zero. `source` is the entry of each of
    its elements, -1 if there is none."""

    source: Int32[np.ndarray, " n"]

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        diagonal = spread(data, self.source)
        return jnp.where(diagonal == 0, jnp.ones_like(diagonal), diagonal)

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        del transposed
        return b / factors, jnp.zeros((), bool)


def _plan_block_jacobi(pattern: SparsityPattern) -> "Part":
    block = clusters(pattern, _BLOCK)
    (inside,) = np.nonzero(block[pattern.rows] == block[pattern.cols])
    part = SparsityPattern(pattern.rows[inside], pattern.cols[inside], pattern.shape)
    if (facts := Facts.of(part)) is None:
        raise ValueError(
            "preconditioner='block_jacobi' found blocks that are singular for all values "
            "of this pattern, as where entries of the diagonal are missing. Use 'ilu'."
        )
    return Part(inside.astype(np.int32), plan_block_diagonal(facts))


@dataclass(frozen=True, eq=False)
class Part:
    """Solves with some of the entries only."""

    entries: Int32[np.ndarray, " part"]
    solver: Approximation

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        return self.solver.factor(take(data, self.entries))

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        return self.solver.solve(factors, b, transposed)


# -- On the host -------------------------------------------------------------------------


def _plan_incomplete(pattern: SparsityPattern) -> Approximation:
    facts = Facts.of(pattern)
    return Singular() if facts is None else Host(IncompleteLU(SuperLU.of(facts)))


@dataclass(frozen=True, eq=False)
class IncompleteLU:
    """SuperLU's incomplete factors (X. S. Li and M. Shao, "A supernodal approach to
    incomplete LU factorization with partial pivoting", ACM Trans. Math. Softw. 37
    (2011)), in the orders of the complete ones.

    For a grid of 100 000 unknowns with coefficients that differ a hundredfold, `"bicgstab"`
    takes 3 steps with pivots on the diagonal, and more than 100 with partial pivoting.
    """

    complete: SuperLU

    def factor(self, values: Values) -> Factored | None:
        from scipy.sparse.linalg import spilu

        permuted = self.complete.diagonal_order(values)
        options: dict[str, Any] = {}
        if permuted is None:
            permuted = self.complete.general
        else:
            options = {"diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
        options |= {"drop_tol": _DROP, "fill_factor": _FILL}
        try:
            lu = spilu(permuted.matrix(values), permc_spec="NATURAL", **options)
        except RuntimeError as error:
            if "singular" not in str(error):
                raise
            return None
        return Factored(permuted, lu)


def _plan_multigrid(pattern: SparsityPattern) -> Host:
    try:
        import pyamg  # noqa: F401
    except ImportError as error:
        raise ImportError(_NO_AMG) from error
    as_they_are = np.arange(pattern.n, dtype=np.int32)
    return Host(Multigrid(permute(pattern, as_they_are, as_they_are)))


@dataclass(frozen=True, eq=False)
class Multigrid:
    """Smoothed aggregation by pyamg. Rows and columns are as they are."""

    permuted: Permuted

    def factor(self, values: Values) -> "Hierarchies":
        return Hierarchies(self.permuted.matrix(values))


class Hierarchies:
    """Coarser and coarser matrices, of which one V-cycle approximates the inverse; for the
    transpose those of the transposed matrix, made when first needed."""

    def __init__(self, matrix: Any):
        self._cycles = lru_cache(partial(_cycle, matrix))
        self.nbytes = 4 * (matrix.data.nbytes + matrix.indices.nbytes)

    def solve(self, rhs: Vectors, transposed: bool) -> Vectors:
        cycle = self._cycles(transposed)
        return np.stack([cycle.matvec(b) for b in rhs]).astype(rhs.dtype)

    def slogdet(self) -> HostDeterminant:
        raise ValueError("A preconditioner has no determinant.")


def _cycle(matrix: Any, transposed: bool) -> Any:
    from pyamg import smoothed_aggregation_solver

    matrix = (matrix.T if transposed else matrix).tocsr()
    return smoothed_aggregation_solver(matrix).aspreconditioner()


_PLANNERS: dict[str, Callable[[SparsityPattern], Approximation]] = {
    "jacobi": _plan_jacobi,
    "block_jacobi": _plan_block_jacobi,
    "ilu": _plan_incomplete,
    "amg": _plan_multigrid,
}
