"""Matrices and machines on which solves failed or took too long."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from asdex import SparseJacobian, SparsityPattern
from asdex._linalg.solvers.direct.choose import choose
from asdex._linalg.solvers.direct.superlu import SuperLU, plan_superlu
from asdex._linalg.solvers.host.calls import Host
from asdex._linalg.solvers.matching import Facts, match_rows

from .cases import grid_mask


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_large_part_does_not_hide_a_small_one(dtype: type):
    """Symmetric with a positive diagonal, but not definite where the numbers are small."""
    laplacian = np.where(grid_mask(30), -1.0, 0.0) * 1e6
    np.fill_diagonal(laplacian, 4e6)
    dense = np.zeros((920, 920))
    dense[:900, :900] = laplacian
    for k in range(900, 920, 2):
        dense[k : k + 2, k : k + 2] = [[1e-8, 1.0], [1.0, 1e-8]]
    dense[900:, :20] = dense[:20, 900:] = 1e-3 * np.eye(20)
    pattern = SparsityPattern.from_dense(dense)
    data = jnp.asarray(dense[pattern.rows, pattern.cols], dtype)
    x = np.asarray(SparseJacobian(data, pattern).solve(jnp.ones(920, dtype)), float)
    matrix = np.asarray(data.astype(float))
    product = np.bincount(pattern.rows, matrix * x[pattern.cols], 920)
    terms = np.bincount(pattern.rows, np.abs(matrix * x[pattern.cols]), 920) + 1
    assert (np.abs(product - 1) <= 200 * np.finfo(dtype).eps * terms).all()


@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_pivots_that_nearly_vanish(mirror: float) -> None:
    """Dominated by the diagonal up to rounding, with pivots down to one unit of it.

    Each unknown of a grid has a pair of its own. The second pivot of a pair is `delta`, and
    without pivoting the square of the weak coupling is divided by it.
    """
    side, coupling = 12, 9e-7
    size = side**2
    grid = np.where(grid_mask(side), -1.0, 0.0)
    np.fill_diagonal(grid, 0)
    first, second = size + 2 * np.arange(size), size + 2 * np.arange(size) + 1
    dense = np.zeros((3 * size, 3 * size))
    dense[:size, :size] = grid
    dense[first, second], dense[second, first] = -1.0, -mirror
    dense[second, np.arange(size)] = coupling
    dense[np.arange(size), second] = mirror * coupling
    dense[first, first] = 1.0
    dense[np.arange(size), np.arange(size)] = np.abs(grid).sum(axis=1) + coupling
    dense[second, second] = mirror
    pattern = SparsityPattern.from_dense(dense)
    facts = Facts(pattern, np.arange(pattern.n, dtype=np.int32))
    backend = plan_superlu(facts)
    assert isinstance(backend, Host)
    assert isinstance(backend.solver, SuperLU)
    assert backend.solver.for_diagonal is not None
    right = np.random.default_rng(0).normal(size=(1, pattern.n))
    for power in range(20, 54):
        for delta in (2.0**-power, -(2.0**-power)):
            dense[second, second] = mirror * (1 + delta)
            values = dense[pattern.rows, pattern.cols]
            for matrix, transposed in ((dense, False), (dense.T, True)):
                factors = backend.solver.factor(values)
                assert factors is not None
                x = factors.solve(right, transposed)
                assert x is not None
                residual = np.abs(matrix @ x[0] - right[0])
                terms = np.abs(matrix) @ np.abs(x[0]) + np.abs(right[0])
                assert (residual <= 1e-13 * terms).all()


def test_a_renumbered_grid_is_matched():
    """SciPy's matching takes minutes here."""
    side, n = 100, 10_000
    place = np.arange(n).reshape(side, side)
    right = np.stack([place[:, :-1].ravel(), place[:, 1:].ravel()])
    down = np.stack([place[:-1].ravel(), place[1:].ravel()])
    rows, cols = np.concatenate([right, right[::-1], down, down[::-1]], axis=1)
    order = np.random.default_rng(0).permutation(n)
    pattern = SparsityPattern(
        np.append(order[rows], order), np.append(cols, place.ravel()), (n, n)
    )
    row_of_col = match_rows(pattern)
    assert row_of_col is not None
    np.testing.assert_array_equal(np.sort(row_of_col), np.arange(n))
    entries = set(zip(pattern.rows.tolist(), pattern.cols.tolist(), strict=True))
    assert all((row, col) in entries for col, row in enumerate(row_of_col.tolist()))


def test_one_full_row_leaves_planning_linear():
    """An order for a narrow band, which there cannot be, takes minutes here."""
    n = 300_000
    places = np.arange(n)
    other = np.random.default_rng(0).permutation(n)
    rows = np.concatenate([places, np.zeros(n, int), places])
    pattern = SparsityPattern(rows, np.concatenate([places, places, other]), (n, n))
    facts = Facts.of(pattern)
    assert facts is not None
    assert choose(facts) in ("superlu", "triangular")


def test_an_arrow_is_not_ordered_by_degree():
    """Minimum degree takes a time here that grows with the square of the size."""
    n = 200_000
    places, first = np.arange(n), np.zeros(n, int)
    rows, cols = np.array([[places, first, places], [places, places, first]]).reshape(2, -1)
    facts = Facts.of(SparsityPattern(rows, cols, (n, n)))
    assert facts is not None
    backend = plan_superlu(facts)
    assert isinstance(backend, Host)
    assert isinstance(backend.solver, SuperLU)
    assert backend.solver.for_diagonal is None


PROGRAM = """
import threading
import jax, jax.numpy as jnp, numpy as np, asdex

n = 12_000
places = np.arange(n)
cols = np.concatenate([(places + k) % n for k in (0, 2, 5, 7, 9)])
pattern = asdex.SparsityPattern(np.tile(places, 5), cols, (n, n))
values = jnp.where(jnp.arange(5 * n) < n, 8.0, 1.0)
A, b = asdex.SparseJacobian(values, pattern), jnp.full(n, 12.0)
solve = jax.jit(lambda A, b: A.solve(b))

def work():
    for k in range(20):
        x = solve(A * (1.0 + k), b).block_until_ready()
    np.testing.assert_allclose(x, 0.05, rtol=1e-4)
    finished.append(True)

finished = []
threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(finished) == 8
"""


def test_solves_on_many_threads_do_not_wait_for_each_other():
    """Each begins before its arguments are there, and must not keep them from it."""
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=240)
