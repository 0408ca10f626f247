"""Elements of the inverse from sparse factors, and gradients of determinants by them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu

from asdex import SparseJacobian, SparsityPattern
from asdex._linalg.solvers.host.selected import selected_inverse

from .cases import CASES, check_close, grid_mask

SELECTED = [name for name, a in CASES.items() if a.pattern.n]


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("name", SELECTED)
def test_elements_at_the_mirrored_entries(name: str, dtype: Any) -> None:
    a = CASES[name]
    values = a.data.astype(dtype)
    if np.issubdtype(dtype, np.complexfloating):
        values = values * np.exp(1j * np.arange(values.size))
    check_selected(a.pattern, values)


@pytest.mark.parametrize("seed", range(5))
def test_with_elements_that_cancel(seed: int) -> None:
    """SciPy leaves zeros out of its factors."""
    rng = np.random.default_rng(seed)
    dense = (rng.random((40, 40)) < 0.08) * rng.integers(-2, 3, (40, 40)) * 1.0
    dense += np.diag(rng.choice([-3.0, 1.0, 3.0], 40)) + np.diag(np.ones(39), 1)
    has_entry = (dense != 0) | (rng.random((40, 40)) < 0.05)
    pattern = SparsityPattern.from_dense(has_entry)
    check_selected(pattern, dense[pattern.rows, pattern.cols])


def check_selected(pattern: SparsityPattern, values: np.ndarray) -> None:
    rows, cols = pattern.rows, pattern.cols
    matrix = csc_array((values, (rows, cols)), shape=pattern.shape)
    lu = splu(matrix)
    found = selected_inverse(lu, lu.perm_c[cols], lu.perm_r[rows])
    check_close(found, np.linalg.inv(matrix.toarray())[cols, rows], 1e-11)


def precision(k: int) -> SparsityPattern:
    return SparsityPattern.from_dense(grid_mask(k))


def test_gradient_for_a_gaussian_field() -> None:
    """Of one matrix and of a batch, and the second derivative."""
    pattern = precision(23)
    n = pattern.n
    values = jnp.where(jnp.asarray(pattern.rows == pattern.cols), 4.5, -1.0)
    values = values + 0.1 * jnp.sin(jnp.arange(values.size))

    def logarithm(values: Any) -> Any:
        return SparseJacobian(values, pattern).slogdet()[1]

    @jax.jit
    def derived(values: Any) -> Any:
        gradient = jax.grad(logarithm)
        many = jax.vmap(gradient)(jnp.stack([values, 2 * values]))
        return many, jax.jvp(gradient, (values,), (jnp.cos(values),))

    def inverse(values: Any) -> np.ndarray:
        dense = np.zeros((n, n), values.dtype)
        dense[pattern.rows, pattern.cols] = values
        return np.linalg.inv(dense)

    many, (first, second) = derived(values)
    z = inverse(values)
    expected = z[pattern.cols, pattern.rows]
    check_close(many, np.stack([expected, expected / 2]), 1e-12)
    check_close(first, expected, 1e-12)
    change = np.zeros((n, n))
    change[pattern.rows, pattern.cols] = np.cos(values)
    check_close(second, -(z @ change @ z)[pattern.cols, pattern.rows], 1e-11)


def test_gradient_for_a_singular_matrix() -> None:
    pattern = precision(23)
    values = jnp.zeros(pattern.nnz)

    def logarithm(values: Any) -> Any:
        return SparseJacobian(values, pattern).slogdet()[1]

    value, gradient = jax.jit(jax.value_and_grad(logarithm))(values)
    assert value == -np.inf
    assert np.isnan(gradient).all()
