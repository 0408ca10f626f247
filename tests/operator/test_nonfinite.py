"""NaN and infinity reach what an entry connects them to, and nothing else."""

from typing import Any

import jax
import numpy as np
import pytest

import asdex
from asdex import SparseJacobian

from .matrices import PATTERNS, numbers, operator

NAMES = ["square", "empty lines", "all widths", "power law", "arrow", "shuffled, wide"]
WRONG = (np.nan, np.inf, -np.inf)


def sparse_product(
    pattern: asdex.SparsityPattern, data: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """The definition: each row sums over its entries only."""
    result = np.zeros(pattern.m)
    with np.errstate(invalid="ignore"):
        np.add.at(result, pattern.rows, data * x[pattern.cols])
    return result


def with_one_wrong(values: np.ndarray) -> np.ndarray:
    """Copies of a vector, in each of which one element is not finite."""
    copies = np.tile(values, (values.size, 1))
    np.fill_diagonal(copies, np.resize(WRONG, values.size))
    return copies


def sums(lines: np.ndarray, count: int, values: np.ndarray) -> np.ndarray:
    return np.bincount(lines, values, minlength=count)


@pytest.mark.parametrize("name", NAMES)
def test_products(name: str) -> None:
    a = operator(PATTERNS[name])
    pattern, data = a.sparsity, np.asarray(a.data)
    transposed = asdex.SparsityPattern(pattern.cols, pattern.rows, pattern.shape[::-1])
    xs, us = map(with_one_wrong, (numbers((pattern.n,)), numbers((pattern.m,))))
    datas = with_one_wrong(data)

    @jax.jit
    def compute(data: Any, xs: Any, us: Any, datas: Any) -> Any:
        a = SparseJacobian(data, pattern)
        many = jax.vmap(lambda data: SparseJacobian(data, pattern))(datas)
        mirrored = a.T.shift(1.0) if pattern.m == pattern.n else a.T
        return {
            "mv": jax.vmap(a.mv)(xs),
            "rmv": jax.vmap(a.rmv)(us),
            "T.mv": jax.vmap(a.T.mv)(us),
            "wrong data": many.mv(xs[0]),
            "row_sums": many.row_sums(),
            "gram_diagonal": many.gram_diagonal(),
            "diagonal": many.diagonal(),
            "todense": many.todense(),
            "union": (many + SparseJacobian(1e-3 * data, pattern)).todense(),
            "shifted": (many @ mirrored).todense(),
        }

    found = compute(data, xs, us, datas)
    right = dense_of(transposed, data) + np.eye(pattern.n, pattern.m) * (
        pattern.m == pattern.n
    )
    expected = {
        "mv": [sparse_product(pattern, data, x) for x in xs],
        "rmv": [sparse_product(transposed, data, u) for u in us],
        "T.mv": [sparse_product(transposed, data, u) for u in us],
        "wrong data": [sparse_product(pattern, wrong, xs[0]) for wrong in datas],
        "row_sums": [sums(pattern.rows, pattern.m, wrong) for wrong in datas],
        "gram_diagonal": [sums(pattern.cols, pattern.n, wrong**2) for wrong in datas],
        "diagonal": [dense_of(pattern, wrong).diagonal() for wrong in datas],
        "todense": [dense_of(pattern, wrong) for wrong in datas],
        "union": [
            dense_of(pattern, wrong) + dense_of(pattern, 1e-3 * data) for wrong in datas
        ],
        "shifted": [
            sparse_matrix_product(pattern, wrong, transposed, right) for wrong in datas
        ],
    }
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-12, atol=1e-12, err_msg=key)


def dense_of(pattern: asdex.SparsityPattern, data: np.ndarray) -> np.ndarray:
    matrix = np.zeros(pattern.shape)
    matrix[pattern.rows, pattern.cols] = data
    return matrix


def sparse_matrix_product(
    pattern: asdex.SparsityPattern,
    data: np.ndarray,
    other: asdex.SparsityPattern,
    right: np.ndarray,
) -> np.ndarray:
    """Rows of `right`, of which only entries count, combined entry by entry."""
    stored = other.todense().astype(bool)
    if other.m == other.n:
        stored |= np.eye(other.m, dtype=bool)
    result = np.zeros((pattern.m, other.n))
    with np.errstate(invalid="ignore"):
        for i, k, value in zip(pattern.rows, pattern.cols, data, strict=True):
            result[i] += np.where(stored[k], value * right[k], 0)
    return result


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_of_products(name: str) -> None:
    """A padded slot repeats an entry's factors, and must not add their product."""
    a = operator(PATTERNS[name])
    pattern, data = a.sparsity, np.asarray(a.data)
    xs, u = with_one_wrong(numbers((pattern.n,))), numbers((pattern.m,))

    @jax.jit
    def gradients(data: Any, xs: Any) -> Any:
        def product(data: Any, x: Any) -> Any:
            return u @ SparseJacobian(data, pattern).mv(x)

        return jax.vmap(jax.grad(product, (0, 1)), (None, 0))(data, xs)

    by_data, by_x = gradients(data, xs)
    expected = u[pattern.rows] * xs[:, pattern.cols]
    finite = np.isfinite(expected)
    np.testing.assert_allclose(np.asarray(by_data)[finite], expected[finite], rtol=1e-12)
    assert not np.isfinite(np.asarray(by_data)[~finite]).any()
    product = sums(pattern.cols, pattern.n, data * u[pattern.rows])
    np.testing.assert_allclose(by_x, np.tile(product, (pattern.n, 1)), rtol=1e-12)


def test_scaling_touches_entries_only() -> None:
    a = operator(PATTERNS["square"])
    factors, matrix = with_one_wrong(np.ones(6)), dense_of(a.sparsity, np.asarray(a.data))
    stored = matrix != 0
    with np.errstate(invalid="ignore"):
        by_row = np.where(stored, factors[:, :, None] * matrix, 0)
        by_col = np.where(stored, factors[:, None, :] * matrix, 0)
    shifted = np.tile(matrix, (6, 1, 1))
    shifted[:, np.arange(6), np.arange(6)] += factors
    for scaled, expected in (
        (jax.vmap(a.scale_rows)(factors), by_row),
        (jax.vmap(a.scale_cols)(factors), by_col),
        (jax.vmap(a.shift)(factors), shifted),
    ):
        np.testing.assert_allclose(scaled.todense(), expected)
