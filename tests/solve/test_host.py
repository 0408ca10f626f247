"""What happens on the host: one factorization per matrix, and the order that suits it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg
from scipy.linalg import lapack

from asdex import SparsityPattern
from asdex._linalg.solvers import SolverName
from asdex._linalg.solvers.direct.superlu import SuperLU, plan_superlu
from asdex._linalg.solvers.host import judged
from asdex._linalg.solvers.host.calls import Host, _solve_batch
from asdex._linalg.solvers.host.permuted import permute
from asdex._linalg.solvers.host.store import STORE
from asdex._linalg.solvers.matching import Facts

from .cases import CASES, check_close, from_mask, grid_mask, scatter, solve_flat, solver_for


class Counter:
    """Counts how often a function is called."""

    def __init__(self, function: Callable[..., Any]):
        self.function, self.calls = function, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.function(*args, **kwargs)


@pytest.fixture
def factorizations(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Counts factorizations by SuperLU and in band storage, none of which is stored yet."""
    counter = Counter(scipy.sparse.linalg.splu)
    get_functions = lapack.get_lapack_funcs

    def counting(names: Any, **kwargs: Any) -> Any:
        (function,) = get_functions(names, **kwargs)

        def counted(*args: Any, **kwargs: Any) -> Any:
            counter.calls += 1
            return function(*args, **kwargs)

        return (counted if names == ("gbtrf",) else function,)

    monkeypatch.setattr(scipy.sparse.linalg, "splu", counter)
    monkeypatch.setattr(lapack, "get_lapack_funcs", counting)
    STORE.clear()
    return counter


ON_HOST = {"superlu": "random", "banded": "wide_below"}


@pytest.mark.parametrize("solver", ON_HOST)
def test_one_factorization_for_each_matrix(solver: SolverName, factorizations: Counter):
    a = CASES[ON_HOST[solver]]
    solve = solver_for(a, solver)
    data, b = jnp.asarray(a.data), jnp.asarray(a.rhs())
    many = jnp.asarray(a.rhs(5))
    matrices = jnp.stack([data, 2 * data])
    columns = jax.vmap(solve, (None, 0))
    expected = [
        (solve, (data, b), 1),
        (columns, (data, many), 1),
        (jax.vmap(columns, (None, 0)), (data, jnp.stack([many] * 3)), 1),
        (jax.vmap(columns, (0, None)), (matrices, many), 2),
        (jax.vmap(jax.vmap(solve, (0, None)), (None, 0)), (matrices, many), 2),
        (jax.vmap(solve), (matrices, many[:2]), 2),
        (jax.jacrev(solve, 1), (data, b), 1),
        (jax.jacfwd(solve, 1), (data, b), 1),
        # The solution, and the transposed solve of all cotangents.
        (jax.jacrev(solve, 0), (data, b), 1),
    ]
    for function, args, count in expected:
        compiled = jax.jit(function).lower(*args).compile()
        jax.block_until_ready(compiled(*args))  # An order is found by a factorization.
        STORE.clear()
        factorizations.calls = 0
        jax.block_until_ready(compiled(*args))
        assert factorizations.calls == count


def test_pure_solvers_factor_once_for_derivatives():
    a = CASES["full"]
    data, b = jnp.asarray(a.data), jnp.asarray(a.rhs())
    jacobian = jax.jacrev(solver_for(a, "dense"), (0, 1))
    text = jax.jit(jacobian).lower(data, b).as_text()
    assert text.count("lapack_dgetrf") == 1


@pytest.mark.parametrize(
    ("data_batch", "b_batch"),
    [((), ()), ((1,), (4,)), ((3,), (3,)), ((3, 1), (3, 4)), ((1, 3), (4, 1)),
     ((2, 1, 3), (1, 4, 1)), ((1, 1), (1, 1)), ((1, 2), (3, 2)), ((0,), (0,))],
)  # fmt: skip
def test_batches_on_the_host(data_batch: tuple[int, ...], b_batch: tuple[int, ...]):
    class Divided(NamedTuple):
        values: np.ndarray
        nbytes: int = 0

        def solve(self, rhs: np.ndarray, transposed: bool) -> np.ndarray:
            assert not transposed
            return rhs / self.values

        def slogdet(self) -> tuple[complex, float]:
            return 0j, 0.0

    class Divide:
        def factor(self, values: np.ndarray) -> Divided | None:
            return Divided(values) if values[0] > 0 else None

    rng = np.random.default_rng(0)
    data, b = rng.normal(size=(*data_batch, 3)), rng.normal(size=(*b_batch, 3))
    # Found by their values even if all checksums are equal.
    checksums = np.zeros(data_batch, np.uint32)
    x, singular = _solve_batch(Divide(), False, data, checksums, b)
    expected = np.broadcast_to(data[..., :1] < 0, (b / data).shape)
    np.testing.assert_array_equal(singular, expected[..., 0])
    np.testing.assert_allclose(x, np.where(expected, np.nan, b / data))


def sparse_solver(pattern: SparsityPattern) -> SuperLU:
    facts = Facts.of(pattern)
    assert facts is not None
    backend = plan_superlu(facts)
    assert isinstance(backend, Host)
    assert isinstance(backend.solver, SuperLU)
    return backend.solver


GRID = from_mask(grid_mask(7, 5))


def dominant(by_rows: bool) -> np.ndarray:
    matrix = GRID.dense()
    np.fill_diagonal(matrix, 0)
    np.fill_diagonal(matrix, -np.abs(matrix).sum(axis=int(by_rows)))
    return matrix


def definite() -> np.ndarray:
    matrix = np.abs(GRID.dense())
    matrix = matrix + matrix.T
    np.fill_diagonal(matrix, 0)
    shift = 1e-2 - np.linalg.eigvalsh(matrix).min()
    return matrix + shift * np.eye(len(matrix))


def nearly_empty_diagonal() -> np.ndarray:
    matrix = GRID.dense() + GRID.dense().T
    np.fill_diagonal(matrix, 1e-12)
    return matrix


MATRICES = {
    "dominant columns": dominant(by_rows=False),
    "dominant rows": dominant(by_rows=True),
    "definite": definite(),
    "nearly empty diagonal": nearly_empty_diagonal(),
    "other": GRID.dense(),
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("transposed", [False, True])
def test_pivots_on_the_diagonal(name: str, transposed: bool, factorizations: Counter):
    matrix, pattern, rhs = MATRICES[name], GRID.pattern, GRID.rhs(2)
    factors = sparse_solver(pattern).factor(matrix[pattern.rows, pattern.cols])
    assert factors is not None
    assert (factors.quick is None) == (name == "nearly empty diagonal")
    x = factors.solve(rhs, transposed)
    assert x is not None
    assert factorizations.calls == 1
    nothing = factors.solve(np.zeros_like(rhs), transposed)
    assert nothing is not None
    assert not nothing.any()
    check_close(x, np.linalg.solve(matrix.T if transposed else matrix, rhs.T).T)


def test_unstable_factors_are_made_again(
    factorizations: Counter, monkeypatch: pytest.MonkeyPatch
):
    """The residual judges, not the values of the matrix."""
    monkeypatch.setattr(judged, "_MAX_ERROR", 0.0)
    factors = sparse_solver(GRID.pattern).factor(GRID.data)
    assert factors is not None
    for _ in range(2):
        x = factors.solve(GRID.rhs(2), False)
        check_close(x, np.linalg.solve(GRID.dense(), GRID.rhs(2).T).T)
    assert factorizations.calls == 2


def test_vectors_that_are_not_finite_are_not_judged(factorizations: Counter):
    factors = sparse_solver(GRID.pattern).factor(GRID.data)
    assert factors is not None
    rhs = GRID.rhs(2)
    rhs[0, 3] = np.nan
    x = factors.solve(rhs, False)
    assert x is not None
    assert np.isnan(x[0]).any()
    check_close(x[1], np.linalg.solve(GRID.dense(), rhs[1]))
    assert factorizations.calls == 1


def test_orders_are_found_without_a_factorization(factorizations: Counter):
    """The normal equations of many residuals: a full decomposition in the order of their
    columns takes hundreds of times as long as one with pivots on the diagonal."""
    rng = np.random.default_rng(0)
    points = np.repeat(np.arange(300), 6)
    unknowns = np.stack([300 + rng.integers(0, 30, points.size), points], 1)
    cols, rows = unknowns.ravel(), np.repeat(np.arange(points.size), 2)
    jacobian = scipy.sparse.csr_array((rng.normal(size=cols.size), (rows, cols)))
    normal = (jacobian.T @ jacobian + 1e-3 * scipy.sparse.eye_array(330)).tocoo()
    rows, cols = normal.coords
    pattern = SparsityPattern(rows, cols, normal.shape)
    solver = sparse_solver(pattern)
    assert solver.for_diagonal is not None
    assert np.array_equal(np.sort(solver.general.cols), np.arange(330))
    assert factorizations.calls == 0
    factors = solver.factor(normal.data)
    assert factors is not None
    rhs = np.ones((1, 330))
    expected = np.linalg.solve(normal.toarray(), rhs.T).T
    check_close(factors.solve(rhs, False), expected, 1e-8)
    assert factorizations.calls == 1


def test_an_order_of_its_own_for_blocks():
    """Grids one after another, each driven by the one before."""
    size, count = 100, 6
    mask = np.kron(np.eye(count), grid_mask(10))
    rng = np.random.default_rng(0)
    for k in range(1, count):
        rows = rng.integers(0, size, 200) + size * k
        mask[rows, rng.integers(0, size, 200) + size * (k - 1)] = 1
    pattern = SparsityPattern.from_dense(mask)
    solver = sparse_solver(pattern)
    values = rng.normal(size=pattern.nnz)
    rhs = rng.normal(size=(1, pattern.n))
    factors = solver.factor(values)
    assert factors is not None
    check_close(
        factors.solve(rhs, False), np.linalg.solve(scatter(pattern, values), rhs.T).T, 1e-8
    )


def test_orders_keep_the_matrix():
    a = CASES["unsorted_random"]
    rng = np.random.default_rng(0)
    rows, cols = (rng.permutation(a.pattern.n).astype(np.int32) for _ in range(2))
    matrix = permute(a.pattern, rows, cols).matrix(a.data)
    np.testing.assert_array_equal(matrix.toarray(), a.dense()[rows][:, cols])


def test_large_arguments_do_not_block():
    """A callback that waited for JAX might never return."""
    n = 200_000
    line = np.arange(n)
    pattern = SparsityPattern(
        np.concatenate([line, line[2:], line[:-2]]),
        np.concatenate([line, line[:-2], line[2:]]),
        (n, n),
    )
    data = jnp.asarray(np.concatenate([np.full(n, 4.0), np.ones(2 * n - 4)]))

    def twice(data, b):
        x, _ = solve_flat(pattern, jnp.cos(data) ** 2 + data, jnp.exp(b), solver="banded")
        return solve_flat(pattern, data, jnp.log1p(jnp.abs(x)), solver="banded")[0]

    assert jnp.isfinite(jax.jit(twice)(data, jnp.ones(n))).all()
