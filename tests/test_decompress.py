"""From the compressed matrix to values and formats."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from jax.experimental.sparse import BCOO, BCSR

import asdex

from .helpers import todense

FORMATS = ("bcoo", "bcsr", "dense", "numpy_dense", "scipy_coo", "scipy_csr", "scipy_csc")
TYPES: dict[str, Any] = {
    "bcoo": BCOO,
    "bcsr": BCSR,
    "dense": jax.Array,
    "numpy_dense": np.ndarray,
    "scipy_coo": scipy.sparse.coo_array,
    "scipy_csr": scipy.sparse.csr_array,
    "scipy_csc": scipy.sparse.csc_array,
}


def random_matrix(m: int, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random((m, n)) < 0.3, rng.integers(1, 100, (m, n)), 0.0)


def colorings(matrix: np.ndarray) -> list[asdex.ColoredPattern]:
    pattern = asdex.SparsityPattern.from_dense(matrix)
    return [
        asdex.jacobian_coloring_from_sparsity(pattern, mode=mode) for mode in ("fwd", "rev")
    ]


def compress(matrix: np.ndarray, coloring: asdex.ColoredPattern) -> jax.Array:
    """The definition: one sum of rows or columns for each color."""
    lines = matrix if coloring.mode == "rev" else matrix.T
    sums = [lines[coloring.colors == c].sum(axis=0) for c in range(coloring.num_colors)]
    return jnp.asarray(np.reshape(sums, (coloring.num_colors, coloring.dim)))


@pytest.mark.parametrize("shape", [(6, 8), (8, 6), (5, 5), (1, 7), (7, 1), (0, 3), (3, 0)])
def test_decompression_inverts_compression(shape: tuple[int, int]) -> None:
    matrix = random_matrix(*shape)
    for coloring, output_format in itertools.product(colorings(matrix), FORMATS):
        found = asdex.decompress(compress(matrix, coloring), coloring, output_format)
        assert isinstance(found, TYPES[output_format])
        assert found.shape == shape
        np.testing.assert_array_equal(todense(found), matrix)


def test_symmetric_decompression() -> None:
    matrix = random_matrix(9, 9)
    matrix += matrix.T
    for postprocess in (False, True):
        coloring = asdex.hessian_coloring_from_sparsity(matrix, postprocess=postprocess)
        found = asdex.decompress(compress(matrix, coloring), coloring, "dense")
        np.testing.assert_array_equal(found, matrix)


def test_values_keep_the_order_of_the_pattern() -> None:
    pattern = asdex.SparsityPattern.from_coo([2, 0, 1, 0], [1, 2, 0, 0], (3, 3))
    matrix = np.arange(1.0, 10.0).reshape(3, 3) * pattern.todense()
    coloring = asdex.jacobian_coloring_from_sparsity(pattern)
    compressed = compress(matrix, coloring)
    data = asdex.decompress_data(compressed, coloring)
    np.testing.assert_array_equal(data, matrix[pattern.rows, pattern.cols])
    bcoo = asdex.decompress(compressed, coloring)
    assert bcoo.unique_indices
    assert not bcoo.indices_sorted
    for output_format in FORMATS:
        found = asdex.decompress(compressed, coloring, output_format)
        np.testing.assert_array_equal(todense(found), matrix)


def test_structural_zeros_stay_explicit() -> None:
    coloring = asdex.jacobian_coloring_from_sparsity(np.eye(3))
    for output_format in ("scipy_coo", "scipy_csr", "scipy_csc"):
        assert asdex.decompress(jnp.zeros((1, 3)), coloring, output_format).nnz == 3
    assert asdex.decompress(jnp.zeros((1, 3)), coloring).nse == 3


def test_host_results_belong_to_the_caller() -> None:
    """Writing to a result must change neither the coloring nor another result."""
    matrix = random_matrix(6, 6)
    for coloring, output_format in itertools.product(colorings(matrix), FORMATS[3:]):
        compressed = compress(matrix, coloring)
        first = asdex.decompress(compressed, coloring, output_format)
        for array in vars(first).values() if output_format != "numpy_dense" else [first]:
            if isinstance(array, np.ndarray):
                array[...] = 0
        again = asdex.decompress(compressed, coloring, output_format)
        np.testing.assert_array_equal(todense(again), matrix)


def test_dtypes_are_kept() -> None:
    coloring = asdex.jacobian_coloring_from_sparsity(np.eye(3))
    for dtype in (jnp.float32, jnp.float64, jnp.bfloat16, jnp.complex128):
        assert asdex.decompress_data(jnp.ones((1, 3), dtype), coloring).dtype == dtype


def test_decompression_under_transformations() -> None:
    matrix = random_matrix(6, 8)
    coloring = colorings(matrix)[0]
    compressed = compress(matrix, coloring)

    def total(compressed: jax.Array) -> jax.Array:
        return (asdex.decompress_data(compressed, coloring) ** 2).sum()

    assert jax.jit(total)(compressed) == (matrix**2).sum()
    batch = jax.vmap(lambda c: asdex.decompress(c, coloring))(jnp.stack([compressed] * 2))
    assert batch.n_batch == 1
    np.testing.assert_array_equal(batch.todense(), np.stack([matrix, matrix]))
    gradient = jax.grad(total)(compressed)
    np.testing.assert_array_equal(gradient.sum(), 2 * matrix.sum())


@pytest.mark.usefixtures("without_annotation_checks")
@pytest.mark.parametrize("shape", [(2, 3), (1, 4), (3,), (1, 3, 1), (0, 3)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    coloring = asdex.jacobian_coloring_from_sparsity(np.eye(3))
    for decompress in (asdex.decompress, asdex.decompress_data):
        with pytest.raises(ValueError, match=r"num_colors .* \(k, d\) = \(1, 3\)"):
            decompress(jnp.ones(shape), coloring)
