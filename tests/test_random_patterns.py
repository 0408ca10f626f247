"""Decompressing what a coloring compresses gives back the matrix, for random patterns."""

from collections.abc import Callable
from functools import partial

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from jax.experimental.sparse import BCOO
from jaxtyping import Bool, Float

import asdex

from .helpers import HESSIAN_MODES, JACOBIAN_MODES

pytestmark = pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning")
few = partial(
    settings,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

# Few sizes, because the loops of the coloring are compiled once for each.
SHAPES = st.sampled_from([(1, 1), (4, 4), (3, 7), (7, 3), (6, 6), (9, 9), (0, 3), (3, 0)])
SQUARE = st.sampled_from([(1, 1), (2, 2), (4, 4), (6, 6), (9, 9), (0, 0)])


def masks(shapes: st.SearchStrategy) -> st.SearchStrategy:
    """Boolean matrices: sparse, dense, banded, with an empty or a full row and column."""
    entries = hnp.arrays(bool, shapes, elements=st.booleans(), fill=st.just(False))
    return st.builds(_shaped, entries, st.sampled_from(["any", "band", "arrow", "hole"]))


def _shaped(mask: Bool[np.ndarray, "m n"], kind: str) -> Bool[np.ndarray, "m n"]:
    mask = mask.copy()
    if kind == "band":
        mask &= np.abs(np.subtract.outer(*map(np.arange, mask.shape))) <= 1
    if kind == "arrow":
        mask[:1], mask[:, :1] = True, True
    if kind == "hole":
        mask[1:2], mask[:, 2:3] = False, False
    return mask


def values(mask: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
    """A matrix with these nonzeros, all different."""
    return mask * (1.0 + np.arange(mask.size).reshape(mask.shape))


def compress(
    matrix: Float[np.ndarray, "m n"], coloring: asdex.ColoredPattern
) -> Float[np.ndarray, "colors dim"]:
    """The definition: row c is the sum of the columns (or rows) of color c."""
    lines = matrix if coloring.mode == "rev" else matrix.T
    colors = np.arange(coloring.num_colors)[:, None] == coloring.colors
    return colors.astype(float) @ lines


def check_round_trip(
    matrix: Float[np.ndarray, "m n"], coloring: asdex.ColoredPattern
) -> None:
    pattern = coloring.sparsity
    compressed = compress(matrix, coloring)
    assert compressed.shape == (coloring.num_colors, coloring.dim)
    data = np.asarray(asdex.decompress_data(jnp.asarray(compressed), coloring))
    assert np.array_equal(data, matrix[pattern.rows, pattern.cols])
    dense = asdex.decompress(jnp.asarray(compressed), coloring, "numpy_dense")
    assert np.array_equal(dense, matrix)


@few(max_examples=60)
@given(masks(SHAPES), st.sampled_from([None, *JACOBIAN_MODES]))
def test_jacobian_colorings(mask: np.ndarray, mode: asdex.JacobianMode | None) -> None:
    check_round_trip(values(mask), asdex.jacobian_coloring_from_sparsity(mask, mode=mode))


@few(max_examples=60)
@given(
    masks(SQUARE),
    st.sampled_from([*HESSIAN_MODES, *JACOBIAN_MODES]),
    st.booleans(),
)
def test_symmetric_colorings(mask: np.ndarray, mode: str, postprocess: bool) -> None:
    mask = mask | mask.T
    matrix = values(mask) + values(mask).T
    color: Callable[..., asdex.ColoredPattern] = asdex.jacobian_coloring_from_sparsity
    if mode in HESSIAN_MODES:
        color = asdex.hessian_coloring_from_sparsity
    coloring = color(mask, mode=mode, symmetric=True, postprocess=postprocess)
    check_round_trip(matrix, coloring)
    check_round_trip(matrix, color(mask, mode=mode, symmetric=False))


@few(max_examples=40)
@given(masks(SHAPES), st.randoms(use_true_random=False))
def test_entries_in_any_order(mask: np.ndarray, random) -> None:
    """A pattern keeps its caller's order, and so does the decompressed data."""
    rows, cols = np.nonzero(mask)
    order = list(range(rows.size))
    random.shuffle(order)
    pattern = asdex.SparsityPattern.from_coo(rows[order], cols[order], mask.shape)
    assert np.array_equal(pattern.rows, rows[order])
    for mode in JACOBIAN_MODES:
        coloring = asdex.jacobian_coloring_from_sparsity(pattern, mode=mode)
        check_round_trip(values(mask), coloring)


@few(max_examples=40)
@given(masks(SQUARE), st.randoms(use_true_random=False), st.booleans())
def test_symmetric_entries_in_any_order(mask: np.ndarray, random, postprocess) -> None:
    mask = mask | mask.T
    rows, cols = np.nonzero(mask)
    order = list(range(rows.size))
    random.shuffle(order)
    pattern = asdex.SparsityPattern.from_coo(rows[order], cols[order], mask.shape)
    coloring = asdex.hessian_coloring_from_sparsity(pattern, postprocess=postprocess)
    check_round_trip(values(mask) + values(mask).T, coloring)


@few(max_examples=15)
@given(
    masks(SHAPES),
    st.sampled_from(["fwd", "rev", "bidirectional"]),
    st.sampled_from([None, 1, 2, 100]),
)
def test_linear_functions(mask: np.ndarray, mode: asdex.JacobianMode, chunk_size) -> None:
    """The whole way: `x -> A x` with a pattern made by hand."""
    matrix = values(mask)
    coloring = asdex.jacobian_coloring_from_sparsity(mask, mode=mode)
    jacobian = asdex.jacobian_from_coloring(
        lambda x: matrix @ x, coloring, "dense", chunk_size=chunk_size
    )
    assert np.array_equal(jacobian(np.ones(mask.shape[1])), matrix)


@few(max_examples=15)
@given(
    masks(SQUARE),
    st.sampled_from(HESSIAN_MODES),
    st.sampled_from([(True, True), (True, False), (False, False)]),
    st.sampled_from([None, 1, 2]),
)
def test_quadratic_functions(mask: np.ndarray, mode, options, chunk_size) -> None:
    mask = mask | mask.T
    matrix = values(mask) + values(mask).T
    symmetric, postprocess = options
    coloring = asdex.hessian_coloring_from_sparsity(
        mask, mode=mode, symmetric=symmetric, postprocess=postprocess
    )
    hessian = asdex.hessian_from_coloring(
        lambda x: 0.5 * x @ (matrix @ x), coloring, "dense", chunk_size=chunk_size
    )
    assert np.array_equal(hessian(np.ones(len(mask))), matrix)


@few(max_examples=40)
@given(masks(SHAPES))
def test_structure_round_trips(mask: np.ndarray) -> None:
    pattern = asdex.SparsityPattern.from_dense(mask)
    assert np.array_equal(pattern.todense(), mask)
    again = asdex.SparsityPattern.from_bcoo(pattern.to_bcoo())
    assert again == pattern
    assert hash(again) == hash(pattern)
    outside = np.full((2, 2), max(mask.shape))
    indices = jnp.asarray(np.concatenate([np.argwhere(mask), outside]), np.int32)
    padded = BCOO((jnp.ones(len(indices)), indices), shape=mask.shape)
    assert asdex.SparsityPattern.from_bcoo(padded) == pattern
    assert jax.tree.leaves(pattern) == []
    assert jax.tree.map(lambda leaf: leaf, pattern) == pattern
    coloring = asdex.jacobian_coloring_from_sparsity(mask)
    assert jax.tree.leaves(coloring) == []
    assert jax.tree.map(lambda leaf: leaf, coloring) == coloring
    entries = [(i, j) for i, cols in pattern.row_to_cols.items() for j in cols]
    assert sorted(entries) == sorted(map(tuple, np.argwhere(mask).tolist()))
    assert len(entries) == sum(map(len, pattern.col_to_rows.values()))
