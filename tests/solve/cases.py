"""Matrices of all kinds, and the solvers that suit them."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool, Inexact

from asdex import SparsityPattern
from asdex._linalg.solvers import SolverName, as_precise, factor, substitute

HAS_KLU = find_spec("klujax") is not None

GENERAL: tuple[SolverName, ...] = ("banded", "superlu", "klu")[: 2 + HAS_KLU]
"""Solvers for all cases; some add others that take any pattern, such as `"dense"`."""


class Case(NamedTuple):
    """A matrix by its pattern and values, and solvers that suit it besides `GENERAL`."""

    pattern: SparsityPattern
    data: np.ndarray
    special: tuple[SolverName, ...] = ()

    @property
    def solvers(self) -> tuple[SolverName, ...]:
        """All solvers that suit it."""
        return (*GENERAL, *self.special)

    def dense(self, data: np.ndarray | None = None) -> np.ndarray:
        """The matrix as a NumPy array."""
        data = self.data if data is None else np.asarray(data)
        return scatter(self.pattern, data)

    def rhs(self, *batch: int) -> np.ndarray:
        """Some right-hand sides."""
        return np.random.default_rng(7).normal(size=(*batch, self.pattern.n))


CASES: dict[str, Case] = {}


def case(*special: SolverName) -> Callable[[Callable[[], np.ndarray]], None]:
    """Add a matrix to the table, made of an array of zeros and ones or other numbers.

    Ones become random values such that the matrix is well conditioned.
    """

    def register(make: Callable[[], np.ndarray]) -> None:
        CASES[make.__name__] = from_mask(make(), special)

    return register


def from_mask(mask: np.ndarray, special: Sequence[SolverName] = ()) -> Case:
    """A case from an array of zeros and ones."""
    pattern = SparsityPattern.from_dense(mask)
    for seed in range(100):
        data = np.random.default_rng(seed).normal(size=pattern.nnz)
        if pattern.n == 0 or np.linalg.cond(scatter(pattern, data)) < 1e4:
            return Case(pattern, data, tuple(special))
    raise ValueError("No well-conditioned matrix of this pattern was found.")


def scatter(pattern: SparsityPattern, data: np.ndarray) -> np.ndarray:
    """The dense matrix with these values."""
    dense = np.zeros(pattern.shape, data.dtype)
    dense[pattern.rows, pattern.cols] = data
    return dense


def shuffled(mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """With rows and columns in random orders."""
    rng = np.random.default_rng(seed)
    return mask[rng.permutation(len(mask))][:, rng.permutation(len(mask))]


def block_diagonal(sizes: Sequence[int]) -> np.ndarray:
    """Full blocks of these sizes."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return (owner[:, None] == owner).astype(float)


def sparse_mask(n: int, per_row: float, seed: int = 0) -> np.ndarray:
    """About as many random entries in each row, and the diagonal."""
    rng = np.random.default_rng(seed)
    return np.maximum(rng.random((n, n)) < per_row / n, np.eye(n))


def grid_mask(k: int, m: int | None = None) -> np.ndarray:
    """The five-point stencil on `k` times `m` points."""
    m = m or k
    down, across = (np.eye(size, k=1) + np.eye(size, k=-1) for size in (k, m))
    return np.kron(down, np.eye(m)) + np.kron(np.eye(k), across) + np.eye(k * m)


@case("dense", "auto", "block_diagonal", "cusolver")
def nothing() -> np.ndarray:
    return np.zeros((0, 0))


@case(
    "dense", "auto", "block_diagonal", "cusolver", "diagonal", "tridiagonal", "triangular"
)
def one_by_one() -> np.ndarray:
    return np.ones((1, 1))


@case("dense", "tridiagonal")
def two_by_two_with_zero_pivot() -> np.ndarray:
    return np.array([[0, 1], [1, 1]])


@case("diagonal", "tridiagonal", "triangular")
def diagonal() -> np.ndarray:
    return np.eye(7)


@case("block_diagonal", "triangular")
def permutation() -> np.ndarray:
    return shuffled(np.eye(9))


@case("auto", "tridiagonal")
def tridiagonal() -> np.ndarray:
    return np.tri(12, k=1) - np.tri(12, k=-2)


@case("tridiagonal")
def tridiagonal_without_diagonal() -> np.ndarray:
    return np.eye(10, k=1) + np.eye(10, k=-1)


@case("auto")
def wide_below() -> np.ndarray:
    return np.tri(15, k=1) - np.tri(15, k=-4)


@case()
def wide_above_with_zero_pivots() -> np.ndarray:
    mask = np.tri(15, k=3) - np.tri(15, k=-2)
    return mask - np.diag(np.arange(15) % 3 == 0)


@case("block_diagonal")
def blocks() -> np.ndarray:
    return shuffled(block_diagonal([3, 1, 2, 14, 3, 4]))


@case("block_diagonal")
def blocks_of_many_sizes() -> np.ndarray:
    return shuffled(block_diagonal([1, 2, 3, 4, 5, 6, 7, 9]))


REACTIONS = np.array([[1, 1, 1], [1, 1, 1], [0, 1, 1]])


@case("block_diagonal")
def blocks_one_after_another() -> np.ndarray:
    return np.kron(np.eye(7), REACTIONS)


@case("block_diagonal")
def blocks_side_by_side() -> np.ndarray:
    return np.kron(REACTIONS, np.eye(7))


@case("triangular")
def lower_triangle() -> np.ndarray:
    return np.tril(sparse_mask(20, 4))


@case("triangular")
def upper_triangle() -> np.ndarray:
    return np.triu(sparse_mask(20, 4))


@case("triangular")
def hidden_triangle() -> np.ndarray:
    return shuffled(np.tril(sparse_mask(25, 5)))


@case()
def block_triangle() -> np.ndarray:
    return shuffled(np.maximum(block_diagonal([4] * 6), np.triu(sparse_mask(24, 3))))


@case("auto", "cusolver")
def grid() -> np.ndarray:
    return grid_mask(6)


@case("dense")
def random() -> np.ndarray:
    return sparse_mask(30, 3)


@case("dense")
def random_with_zero_diagonal() -> np.ndarray:
    mask = np.maximum(sparse_mask(30, 3), np.roll(np.eye(30), 1, axis=0))
    return mask * (1 - np.eye(30))


@case("dense")
def arrow() -> np.ndarray:
    mask = np.eye(20)
    mask[0] = mask[:, 0] = 1
    return mask


@case("dense")
def full() -> np.ndarray:
    return np.ones((9, 9))


def unsorted(original: Case) -> Case:
    """The same matrix with its entries in another order."""
    pattern = original.pattern
    order = np.random.default_rng(3).permutation(pattern.nnz)
    moved = SparsityPattern(pattern.rows[order], pattern.cols[order], pattern.shape)
    return original._replace(pattern=moved, data=original.data[order])


for _name in ("tridiagonal", "blocks", "hidden_triangle", "random"):
    CASES[f"unsorted_{_name}"] = unsorted(CASES[_name])

EACH_SOLVER: dict[SolverName, str] = {
    "diagonal": "diagonal",
    "tridiagonal": "unsorted_tridiagonal",
    "banded": "wide_above_with_zero_pivots",
    "block_diagonal": "unsorted_blocks",
    "triangular": "hidden_triangle",
    "dense": "random_with_zero_diagonal",
    "superlu": "unsorted_random",
    "klu": "random_with_zero_diagonal",
    "cusolver": "grid",
}
"""A case for each solver, for tests that need not see all of them."""

if not HAS_KLU:
    del EACH_SOLVER["klu"]

each_solver = pytest.mark.parametrize("solver", EACH_SOLVER)


def solve_flat(
    pattern: SparsityPattern, data: Array, b: Array, *, solver: SolverName = "auto"
) -> tuple[Inexact[Array, " n"], Bool[Array, ""]]:
    """`x` with `A x = b`, and whether the matrix is singular."""
    data = as_precise(data, b)
    return substitute(pattern, data, factor(pattern, data, solver), b, solver=solver)


def solver_for(
    a: Case, solver: SolverName
) -> Callable[[Array, Array], Inexact[Array, " n"]]:
    """Solves with the pattern of a case, without the flag for a singular matrix."""
    solve = partial(solve_flat, a.pattern, solver=solver)
    return lambda data, b: solve(data, b)[0]


def dense_solver(a: Case) -> Callable[[Array, Array], Inexact[Array, " n"]]:
    """The same by a dense matrix, as JAX does it."""

    def solve(data: Array, b: Array) -> Array:
        matrix = jnp.zeros(a.pattern.shape, data.dtype)
        matrix = matrix.at[a.pattern.rows, a.pattern.cols].set(data)
        return jnp.linalg.solve(matrix, b)

    return solve


def check_close(actual: object, expected: object, tolerance: float = 1e-10) -> None:
    """Compare pytrees of arrays, relative to the largest number of each array."""
    actual_leaves, expected_leaves = jax.tree.leaves(actual), jax.tree.leaves(expected)
    assert len(actual_leaves) == len(expected_leaves)
    for got, wanted in zip(actual_leaves, expected_leaves, strict=True):
        assert got.shape == wanted.shape
        scale = np.abs(wanted).max(initial=0.0)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * scale)
