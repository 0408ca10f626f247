"""Condition numbers of linear systems, and warnings of those that are large."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex


def laplacian(n: int, dtype: Any = np.float64) -> asdex.SparseJacobian:
    dense = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    pattern = asdex.SparsityPattern.from_dense(dense)
    return asdex.SparseJacobian(dense[pattern.rows, pattern.cols].astype(dtype), pattern)


def random(n: int, seed: int, dtype: Any) -> asdex.SparseJacobian:
    rng = np.random.default_rng(seed)
    mask = (rng.random((n, n)) < 0.3) | np.eye(n, dtype=bool)
    pattern = asdex.SparsityPattern.from_dense(mask)
    data = jnp.asarray(rng.normal(size=pattern.nnz), dtype)
    if dtype is complex:
        data += 1j * jnp.asarray(rng.normal(size=pattern.nnz), dtype)
    return asdex.SparseJacobian(data, pattern)


@pytest.mark.parametrize("n", [1, 2, 5, 30])
@pytest.mark.parametrize("dtype", [float, complex])
def test_the_estimate_is_close_from_above(n: int, dtype: Any) -> None:
    for seed in range(3):
        a = random(n, seed, dtype)
        exact = 1 / np.linalg.cond(np.asarray(a.todense()), 1)
        found = float(a.rcond())
        assert exact * (1 - 1e-8) <= found <= 3 * exact
        np.testing.assert_allclose(jax.jit(lambda a: a.rcond())(a), found)


def test_known_condition_numbers() -> None:
    for n in (3, 50):
        exact = 1 / np.linalg.cond(np.asarray(laplacian(n).todense()), 1)
        np.testing.assert_allclose(laplacian(n).rcond(), exact, rtol=1e-6)
    singular = asdex.SparseJacobian(
        jnp.array([1.0, 0.0]), asdex.SparsityPattern([0, 1], [0, 1], (2, 2))
    )
    assert singular.rcond() == 0
    with pytest.raises(ValueError, match="one matrix"):
        jax.tree.map(lambda data: jnp.stack([data, data]), singular).rcond()


def test_a_matrix_that_is_singular_up_to_rounding_is_a_warning() -> None:
    dense = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])  # SciPy's own example.
    pattern = asdex.SparsityPattern.from_dense(dense)
    a = asdex.SparseJacobian(dense.reshape(-1), pattern)
    b = jnp.array([1.0, 0.0, 0.0])
    with pytest.warns(asdex.NearlySingularWarning, match="rcond") as caught:
        a.solve(b)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(asdex.NearlySingularWarning):
        a.solve(jnp.eye(3))
    assert a.rcond() < 1e-15
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jax.jit(lambda a, b: a.solve(b))(a, b)
        for n in (100, 3000):
            laplacian(n).solve(jnp.ones(n))
        laplacian(100, np.float32).solve(jnp.ones(100, jnp.float32))
