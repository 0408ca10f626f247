"""Singular matrices give NaN and set the flag; the rest of a batch is not affected."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asdex import SparsityPattern
from asdex._linalg.solvers import SolverName

from .cases import (
    CASES,
    EACH_SOLVER,
    GENERAL,
    Case,
    check_close,
    each_solver,
    from_mask,
    shuffled,
    solve_flat,
)


def made_singular(a: Case) -> np.ndarray:
    """The values with zeros in the row and column of one diagonal element, and there."""
    row, col = a.pattern.rows[3], a.pattern.cols[3]
    return np.where((a.pattern.rows == row) | (a.pattern.cols == col), 0.0, a.data)


@each_solver
def test_singular_values(solver: SolverName):
    a = CASES[EACH_SOLVER[solver]]
    solve = jax.jit(lambda data, b: solve_flat(a.pattern, data, b, solver=solver))
    x, singular = solve(jnp.asarray(made_singular(a)), jnp.asarray(a.rhs()))
    assert singular
    assert jnp.isnan(x).all()


@each_solver
def test_one_singular_matrix_of_a_batch(solver: SolverName):
    a = CASES[EACH_SOLVER[solver]]
    data = np.stack([a.data, made_singular(a), 2 * a.data])
    solve = jax.vmap(lambda data, b: solve_flat(a.pattern, data, b, solver=solver))
    b = a.rhs(3)
    x, singular = jax.jit(solve)(jnp.asarray(data), jnp.asarray(b))
    np.testing.assert_array_equal(singular, [False, True, False])
    assert jnp.isnan(x[1]).all()
    for k in (0, 2):
        check_close(x[k], np.linalg.solve(a.dense(data[k]), b[k]))


@pytest.mark.parametrize("solver", ["tridiagonal", "dense", *GENERAL])
def test_dependent_rows(solver: SolverName):
    """No entry is zero, but elimination leaves a pivot that is."""
    a = from_mask(np.ones((2, 2)))
    data = jnp.array([1.0, 2.0, 2.0, 4.0])
    x, singular = solve_flat(a.pattern, data, jnp.ones(2), solver=solver)
    assert singular
    assert jnp.isnan(x).all()


STRUCTURALLY_SINGULAR = {
    "empty row": np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]]),
    "no entries": np.zeros((4, 4)),
    "no matching": np.array([[1, 0, 0], [1, 0, 0], [1, 1, 1]]),
    "oblong parts": shuffled(
        np.array([[1, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1]])
    ),
    "strict triangle": np.tri(5, k=-1),
}


@pytest.mark.parametrize("name", STRUCTURALLY_SINGULAR)
@pytest.mark.parametrize("solver", ["auto", "diagonal", "superlu", "dense"])
def test_structurally_singular_patterns(name: str, solver: SolverName):
    mask = STRUCTURALLY_SINGULAR[name]
    pattern, n = SparsityPattern.from_dense(mask), len(mask)
    data = jnp.ones(pattern.nnz)
    x, singular = solve_flat(pattern, data, jnp.ones(n), solver=solver)
    assert singular
    assert jnp.isnan(x).all()
    _, flags = jax.vmap(lambda b: solve_flat(pattern, data, b, solver=solver))(
        jnp.ones((2, n))
    )
    assert flags.all()
    grad = jax.grad(lambda b: solve_flat(pattern, data, b, solver=solver)[0].sum())
    assert jnp.isnan(grad(jnp.ones(n))).all()


@each_solver
def test_values_that_are_not_finite(solver: SolverName):
    a = CASES[EACH_SOLVER[solver]]
    solve = jax.jit(lambda data, b: solve_flat(a.pattern, data, b, solver=solver))
    data, b = jnp.asarray(a.data), jnp.asarray(a.rhs())
    for value in (np.nan, np.inf):
        x, singular = solve(data.at[0].set(value), b)
        assert not singular
        # A diagonal element that is infinite determines its unknown: it is zero.
        assert not np.isfinite(x).all() or (value == np.inf and (x == 0).any())
        x, singular = solve(data, b.at[0].set(value))
        assert not singular
        assert not jnp.isfinite(x).all()


@pytest.mark.parametrize("solver", ["dense", "superlu", "banded"])
def test_nearly_singular_matrices_are_solved(solver: SolverName):
    a = from_mask(np.ones((2, 2)))
    data = np.array([1.0, 1.0, 1.0, 1.0 + 1e-9])
    x, singular = solve_flat(a.pattern, jnp.asarray(data), jnp.ones(2), solver=solver)
    assert not singular
    check_close(x, np.linalg.solve(a.dense(data), np.ones(2)), 1e-5)


def test_derivatives_at_a_singular_matrix_are_nan():
    a = CASES["random"]
    data, b = jnp.asarray(made_singular(a)), jnp.asarray(a.rhs())
    grad = jax.jit(jax.grad(lambda data: solve_flat(a.pattern, data, b)[0].sum()))(data)
    assert jnp.isnan(grad).all()
