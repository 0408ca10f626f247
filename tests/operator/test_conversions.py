"""Operators in the formats of other libraries, and the static maps behind them."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg

import asdex
from asdex import SparseJacobian, SparsityPattern

from .matrices import (
    PATTERNS,
    SYMMETRIC,
    dense,
    numbers,
    operator,
    symmetric_operator,
)

EVERY = pytest.mark.parametrize("name", PATTERNS)
SOME = ["wide", "shuffled", "no entries", "dense, shuffled", "nothing", "tall"]
BATCHES = [((3,), np.complex64), ((2, 3), np.float64), ((0,), np.float64)]


def bandwidths(pattern: SparsityPattern) -> tuple[int, int]:
    below = pattern.rows - pattern.cols
    return int(below.max(initial=0)), int((-below).max(initial=0))


# -- Formats of JAX ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "batch", "dtype"),
    [
        *((name, (), np.float64) for name in SOME),
        *(("shuffled, wide", *kind) for kind in BATCHES),
    ],
)
def test_formats_of_jax(name: str, batch: tuple[int, ...], dtype: Any) -> None:
    """Made inside of `jit`, where a copy on the host would raise."""
    a = operator(PATTERNS[name], batch, dtype)

    def make(a: SparseJacobian) -> Any:
        return a.to_bcoo(), a.to_bcsr(), a.todense()

    expected, shape = dense(a), a.shape
    for compute in (jax.jit(make), make) if name == "shuffled" else (jax.jit(make),):
        bcoo, bcsr, matrix = compute(a)
        np.testing.assert_array_equal(matrix, expected)
        assert bcoo.shape == bcsr.shape == shape
        assert bcoo.dtype == bcsr.dtype == dtype
        assert bcoo.n_batch == bcsr.n_batch == len(batch)
        assert bcoo.n_dense == bcsr.n_dense == 0
        np.testing.assert_array_equal(bcoo.todense(), expected)
        np.testing.assert_array_equal(bcoo.data, a.data)
        np.testing.assert_array_equal(bcsr.todense(), expected)
        assert bcoo.unique_indices
        assert bcsr.unique_indices
        assert bcoo.indices_sorted == a.sparsity.is_sorted
        assert bcsr.indices_sorted


def test_formats_under_vmap_and_grad() -> None:
    batch = operator(PATTERNS["shuffled"], (3,))

    def matrices(a: SparseJacobian) -> Any:
        return a.to_bcoo().todense(), a.to_bcsr().todense(), a.todense()

    for matrix in jax.vmap(matrices)(batch):
        np.testing.assert_array_equal(matrix, dense(batch))
    weights = numbers((6, 6), seed=3)
    loss = lambda a: sum(jnp.sum(weights * part) for part in matrices(a))  # noqa: E731
    gradient = jax.vmap(jax.grad(loss))(batch)
    pattern = batch.sparsity
    expected = np.tile(3 * weights[pattern.rows, pattern.cols], (3, 1))
    np.testing.assert_allclose(gradient.data, expected, rtol=1e-14)


# -- SciPy -------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
def test_scipy(name: str, format: Any) -> None:
    a = operator(PATTERNS[name], (), np.float32)
    matrix = a.to_scipy(format)
    assert isinstance(matrix, getattr(scipy.sparse, f"{format}_array"))
    assert matrix.shape == a.shape
    assert matrix.dtype == np.float32
    assert matrix.nnz == a.nnz
    np.testing.assert_array_equal(matrix.todense(), dense(a))
    if format != "coo":
        assert matrix.has_sorted_indices
        assert matrix.has_canonical_format
    # It is a copy.
    matrix.data[:] = 0
    matrix.sum_duplicates()
    np.testing.assert_array_equal(a.todense(), dense(a))


def test_scipy_is_csr_by_default() -> None:
    assert isinstance(operator(PATTERNS["wide"]).to_scipy(), scipy.sparse.csr_array)


# SciPy 1.18 asks for `matmat` instead, which is tested as well.
@pytest.mark.filterwarnings("ignore:Calling .*matvec.* on .column vectors.:FutureWarning")
@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_linear_operators_of_scipy(dtype: Any) -> None:
    a = operator(PATTERNS["shuffled, wide"], (), dtype)
    m, n = a.shape
    real = a.to_scipy("operator")
    assert isinstance(real, scipy.sparse.linalg.LinearOperator)
    for made in (real, scipy.sparse.linalg.aslinearoperator(a)):
        assert (made.shape, made.dtype) == (a.shape, dtype)
        for shape in [(), (1,)]:
            x, u = numbers((n, *shape), dtype), numbers((m, *shape), dtype)
            y, v = made.matvec(x), made.rmatvec(u)
            np.testing.assert_allclose(y, dense(a) @ x, rtol=1e-5)
            np.testing.assert_allclose(v, dense(a).conj().T @ u, rtol=1e-5)
            y[:] = 0  # It may be changed.
        for k in [1, 3]:
            x, u = numbers((n, k), dtype), numbers((m, k), dtype)
            np.testing.assert_allclose(made.matmat(x), dense(a) @ x, rtol=1e-5)
            np.testing.assert_allclose(made.rmatmat(u), dense(a).conj().T @ u, rtol=1e-5)


def test_solvers_of_scipy() -> None:
    a = symmetric_operator().gram().shift(1.0)
    b = numbers((6,))
    for given in (a, a.to_scipy("operator"), a.to_scipy()):
        x, info = scipy.sparse.linalg.cg(given, b, rtol=1e-12)
        assert info == 0
        np.testing.assert_allclose(dense(a) @ x, b, rtol=1e-9)
        (largest,) = scipy.sparse.linalg.eigsh(given, 1, return_eigenvectors=False)
        np.testing.assert_allclose(largest, np.linalg.eigvalsh(dense(a))[-1])


def test_arrays_of_numpy() -> None:
    for batch in [(), (2,)]:
        a = operator(PATTERNS["shuffled"], batch)
        np.testing.assert_array_equal(np.asarray(a), dense(a))
        assert np.asarray(a, np.float32).dtype == np.float32
        np.array(a)[:] = 0
        np.testing.assert_array_equal(a.todense(), dense(a))
    left = operator(
        PATTERNS["wide"]
    ).to_scipy()  # SciPy makes arrays of what it multiplies.
    a = operator(PATTERNS["tall"])
    np.testing.assert_allclose(left @ a, left.toarray() @ dense(a))


# -- Blocks and bands --------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "dtype"), [((), np.float64), *BATCHES[1:]])
@pytest.mark.parametrize(
    ("name", "block_shape"),
    [
        ("square", (6, 6)),
        ("shuffled", (3, 2)),
        ("shuffled", (1, 1)),
        ("tall", (3, 2)),
        ("empty lines", (4, 2)),
        ("no entries", (3, 2)),
        ("dense, shuffled", (2, 3)),
        ("no rows", (2, 3)),
        ("nothing", (1, 2)),
    ],
)
def test_bsr(
    name: str, block_shape: tuple[int, int], batch: tuple[int, ...], dtype: Any
) -> None:
    a = operator(PATTERNS[name], batch, dtype)
    data, indices, indptr = a.bsr(block_shape)
    assert data.dtype == dtype
    assert isinstance(indices, np.ndarray)
    assert isinstance(indptr, np.ndarray)
    assert data.shape == (*batch, indices.size, *block_shape)
    if 0 in a.sparsity.shape:  # SciPy refuses it.
        assert indices.size == 0
        assert indptr.tolist() == [0] * (a.sparsity.m // block_shape[0] + 1)
        return
    for k in np.ndindex(batch):
        matrix, values = dense(a)[k], np.asarray(data)[k]
        found = scipy.sparse.bsr_array((values, indices, indptr), shape=a.sparsity.shape)
        assert found.has_canonical_format
        np.testing.assert_array_equal(found.todense(), matrix)
        reference = scipy.sparse.bsr_array(matrix, blocksize=block_shape)
        reference.sort_indices()
        np.testing.assert_array_equal(found.indices, reference.indices)
        np.testing.assert_array_equal(found.indptr, reference.indptr)


def test_bsr_keeps_blocks_that_are_zero_by_chance() -> None:
    a = operator(PATTERNS["diagonal"]) * 0
    data, indices, indptr = a.bsr((1, 5))
    assert data.shape == (5, 1, 5)
    np.testing.assert_array_equal(indices, np.zeros(5))
    np.testing.assert_array_equal(indptr, np.arange(6))


@EVERY
def test_banded(name: str) -> None:
    a = operator(PATTERNS[name])
    widths, matrix = bandwidths(a.sparsity), dense(a)
    bands = jax.jit(lambda a: [a.banded(widths[0] + k, widths[1] + 2 * k) for k in (0, 1)])
    for k, band in enumerate(bands(a)):
        lower, upper = widths[0] + k, widths[1] + 2 * k
        assert band.shape == (lower + upper + 1, a.sparsity.n)
        expected = np.zeros(band.shape)
        for i, j in zip(*np.nonzero(matrix), strict=True):
            expected[upper + i - j, j] = matrix[i, j]
        np.testing.assert_array_equal(band, expected)


def test_solving_with_the_band() -> None:
    a = operator(PATTERNS["tridiagonal"], (2, 2)).shift(8.0)
    b = numbers((7,))
    for k in np.ndindex(2, 2):
        x = scipy.linalg.solve_banded((1, 1), np.asarray(a.banded(1, 1))[k], b)
        np.testing.assert_allclose(dense(a)[k] @ x, b, rtol=1e-12)


# -- Static maps -------------------------------------------------------------------------


@EVERY
def test_maps(name: str) -> None:
    a = operator(PATTERNS[name])
    pattern, data, matrix = a.sparsity, np.asarray(a.data), dense(a)
    reference = {
        kind: scipy.sparse.coo_array(
            (data, (pattern.rows, pattern.cols)), shape=a.sparsity.shape
        )
        for kind in ("csr", "csc")
    }
    csr, csc = reference["csr"].tocsr(), reference["csc"].tocsc()
    for found, expected in (
        (asdex.csr_structure(pattern), csr),
        (asdex.csc_structure(pattern), csc),
    ):
        expected.sort_indices()
        np.testing.assert_array_equal(found.indptr, expected.indptr)
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_array_equal(data[found.permutation], expected.data)
        assert {array.dtype for array in found} == {np.dtype(np.int32)}
    order = asdex.transpose_map(pattern)
    transposed = np.zeros(matrix.T.shape)
    transposed[np.nonzero(matrix.T)] = data[order]
    np.testing.assert_array_equal(transposed, matrix.T)
    assert order.dtype == np.int32


@EVERY
def test_rows_of_processes(name: str) -> None:
    """The rows of all processes are those of the matrix."""
    a = operator(PATTERNS[name])
    m, data = a.sparsity.m, np.asarray(a.data)
    bounds = [0, m // 3, m // 3, m]
    parts = []
    for first, last in itertools.pairwise(bounds):
        indptr, indices, permutation = asdex.csr_structure(a.sparsity, rows=(first, last))
        values = data[permutation], indices, indptr
        part = scipy.sparse.csr_array(values, (last - first, a.sparsity.n))
        parts.append(part.toarray())
    np.testing.assert_array_equal(np.concatenate(parts), dense(a))


@pytest.mark.parametrize(
    "pattern",
    [SYMMETRIC, *(PATTERNS[k] for k in ("tridiagonal", "arrow", "no entries, square"))],
)
def test_lower_triangle(pattern: SparsityPattern) -> None:
    a = symmetric_operator(pattern)
    rows, cols, selection = asdex.lower_triangle(pattern)
    assert {rows.dtype, cols.dtype, selection.dtype} == {np.dtype(np.int32)}
    keys = rows.astype(int) * math.prod(pattern.shape) + cols
    assert (np.diff(keys) > 0).all()
    matrix = np.zeros(pattern.shape)
    matrix[rows, cols] = a.data[selection]
    np.testing.assert_array_equal(matrix, np.tril(dense(a)))
    below = np.tril(pattern.todense())
    assert rows.size == below.sum()


@pytest.mark.parametrize("triangle", ["lower", "upper"])
@pytest.mark.parametrize(
    "pattern",
    [SYMMETRIC, *(PATTERNS[k] for k in ("tridiagonal", "arrow", "no entries, square"))],
)
def test_compressed_triangles(pattern: SparsityPattern, triangle: Any) -> None:
    a = symmetric_operator(pattern)
    shuffled = np.random.default_rng(0).permutation(pattern.nnz)
    other = SparsityPattern(pattern.rows[shuffled], pattern.cols[shuffled], a.shape)
    expected = np.tril(dense(a)) if triangle == "lower" else np.triu(dense(a))
    stored = pattern.todense()
    stored = np.tril(stored) if triangle == "lower" else np.triu(stored)
    for structure, make in (
        (asdex.csr_structure, scipy.sparse.csr_array),
        (asdex.csc_structure, scipy.sparse.csc_array),
    ):
        for data, given in ((a.data, pattern), (a.data[shuffled], other)):
            indptr, indices, permutation = structure(given, triangle)
            assert {array.dtype for array in (indptr, indices, permutation)} == {
                np.dtype(np.int32)
            }
            assert indices.size == stored.sum()
            found = make((data[permutation], indices, indptr), a.shape)
            np.testing.assert_array_equal(found.toarray(), expected)
            assert found.has_sorted_indices


def test_values_go_through_maps_inside_jit() -> None:
    a = symmetric_operator()
    csc, lower = asdex.csc_structure(a.sparsity), asdex.lower_triangle(a.sparsity)

    @jax.jit
    def values(a: SparseJacobian) -> Any:
        return a.values[csc.permutation], a.values[lower.selection]

    in_columns, below = values(a)
    matrix = scipy.sparse.csc_array(
        (in_columns, csc.indices, csc.indptr), shape=a.sparsity.shape
    )
    np.testing.assert_array_equal(matrix.todense(), dense(a))
    np.testing.assert_array_equal(below, dense(a)[lower.rows, lower.cols])
