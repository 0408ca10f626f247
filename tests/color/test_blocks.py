"""Patterns made of dense blocks."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Array, Bool, Float

import asdex
from asdex import ColoredPattern, SparsityPattern
from asdex._color.blocks import find_blocks

from . import drawn, patterns

pytestmark = pytest.mark.filterwarnings("ignore::asdex.DenseColoringWarning")

block_shapes = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(drawn.matrices, block_shapes)
def test_kron(dense: Bool[np.ndarray, "m n"], block_shape: tuple[int, int]):
    pattern = SparsityPattern.from_dense(dense)
    expected = SparsityPattern.from_dense(np.kron(dense, np.ones(block_shape, bool)))
    assert pattern.kron(block_shape) == expected
    assert pattern.kron(block_shape).is_sorted


def test_kron_keeps_the_order_of_the_entries():
    blocks = SparsityPattern([1, 0], [0, 1], (2, 2)).kron((1, 2))
    assert blocks.rows.tolist() == [1, 1, 0, 0]
    assert blocks.cols.tolist() == [0, 1, 2, 3]


def test_kron_appends_an_axis_to_known_inputs():
    pattern = asdex.jacobian_sparsity(
        lambda s, x: x[1:] * x[:-1], 2.0, np.ones(4), argnums=1
    )
    blocks = pattern.kron((2, 3))
    assert (blocks.shape, blocks.leaf_shapes) == ((6, 12), [(4, 3)])
    assert blocks.output_shapes == ((3, 2),)
    assert blocks.input_avals[0].shape == ()


@pytest.mark.parametrize("block_shape", [(0, 2), (2, -1)])
def test_block_shape_must_be_positive(block_shape: tuple[int, int]):
    with pytest.raises(ValueError, match=r"must be positive|must lie between"):
        patterns.band(4, 3).kron(block_shape)


JACOBIAN = asdex.jacobian_coloring_from_sparsity
HESSIAN = asdex.hessian_coloring_from_sparsity
MODES = ("fwd", "rev", "bidirectional")


def check_definition(coloring: ColoredPattern) -> None:
    """Raise unless the definition of its kind holds."""
    pattern, colors = coloring.sparsity, coloring.colors
    if coloring.mode == "bidirectional":
        sides = np.split(colors, [pattern.n])
        asdex.check_coloring_bidirectional(pattern, *sides)
    elif coloring.substitution is not None:
        asdex.check_coloring_acyclic(pattern, colors)
    elif coloring.symmetric:
        asdex.check_coloring_symmetric(pattern, colors)
    elif coloring.mode == "rev":
        asdex.check_coloring_rows(pattern, colors)
    else:
        asdex.check_coloring_cols(pattern, colors)


def check(coloring: ColoredPattern) -> None:
    """Check it against the definition, and recover a matrix by it."""
    pattern = coloring.sparsity
    check_definition(coloring)
    rng = np.random.default_rng(0)
    matrix = np.zeros(pattern.shape)
    matrix[pattern.rows, pattern.cols] = rng.normal(size=pattern.nnz)
    if coloring.symmetric:
        matrix = matrix + matrix.T

    def fun(x: Float[Array, " n"]) -> Float[Array, "..."]:
        x = x.reshape(-1)
        y = jnp.asarray(matrix) @ x
        return x @ y / 2 if "over" in coloring.mode else y

    with jax.enable_x64(True):
        verb = asdex.hessian_from_coloring if "over" in coloring.mode else None
        verb = verb or asdex.jacobian_from_coloring
        found = verb(fun, coloring, "dense")(jnp.ones(pattern.leaf_shapes[0]))
        found = np.reshape(found, matrix.shape)
        np.testing.assert_allclose(found, matrix, rtol=1e-12, atol=1e-12)


@given(drawn.matrices, block_shapes, st.sampled_from(MODES))
def test_lifted_jacobian_coloring(
    dense: Bool[np.ndarray, "m n"], block_shape: tuple[int, int], mode: str
):
    blocks = JACOBIAN(SparsityPattern.from_dense(dense), mode=mode)  # pyright: ignore
    lifted = asdex.lift_coloring(blocks, block_shape)
    assert lifted.sparsity == blocks.sparsity.kron(block_shape)
    r, c = block_shape
    vjps = blocks.num_colors - blocks.num_jvps
    assert lifted.num_colors == c * blocks.num_jvps + r * vjps
    assert lifted.lower_bound <= lifted.num_colors
    check_definition(lifted)


@given(
    drawn.symmetric_matrices,
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from(["direct", "substitution"]),
)
def test_lifted_hessian_coloring(
    dense: Bool[np.ndarray, "n n"], size: int, postprocess: bool, decompression: str
):
    pattern = SparsityPattern.from_dense(dense)
    postprocess = postprocess and decompression == "direct"
    blocks = HESSIAN(
        pattern,
        postprocess=postprocess,
        decompression=decompression,  # pyright: ignore
    )
    lifted = asdex.lift_coloring(blocks, (size, size))
    assert lifted.num_colors == size * blocks.num_colors
    assert lifted.lower_bound <= lifted.num_colors
    check_definition(lifted)


LIFTED = {
    "fwd": JACOBIAN(patterns.band(7, 3), mode="fwd"),
    "rev": JACOBIAN(patterns.band(7, 3), mode="rev"),
    "bidirectional": JACOBIAN(patterns.arrow(6), mode="bidirectional"),
    "symmetric": JACOBIAN(patterns.band(7, 3), symmetric=True),
    "hessian": HESSIAN(patterns.grid(3, 3)),
    "no diagonal": HESSIAN(patterns.cycle(4), postprocess=True),
    "substitution": HESSIAN(patterns.grid(3, 3), decompression="substitution"),
}


@pytest.mark.parametrize("coloring", LIFTED.values(), ids=LIFTED)
def test_lifted_colorings_recover_the_matrix(coloring: ColoredPattern):
    check(asdex.lift_coloring(coloring, (2, 2)))
    if not coloring.symmetric and "over" not in coloring.mode:
        check(asdex.lift_coloring(coloring, (2, 3)))


def test_symmetric_colorings_need_square_blocks():
    with pytest.raises(ValueError, match=r"square blocks. Got block_shape \(2, 3\)"):
        asdex.lift_coloring(LIFTED["symmetric"], (2, 3))


@given(drawn.matrices, block_shapes, st.booleans())
def test_blocks_are_found(
    dense: Bool[np.ndarray, "m n"], block_shape: tuple[int, int], square: bool
):
    if square:
        dense = dense[: dense.shape[1], : dense.shape[0]]
        block_shape = block_shape[0], block_shape[0]
    (m, n), (r, c) = dense.shape, block_shape
    fine = np.kron(dense, np.ones(block_shape, bool))
    aval = jax.ShapeDtypeStruct((n, c), np.float32)
    rows, cols = fine.nonzero()
    pattern = SparsityPattern(rows, cols, fine.shape, (aval,), 0, [(m, r)])
    blocks = find_blocks(pattern, square=square)
    is_right = not square or (dense == dense.T).all()
    if dense.any() and max(block_shape) > 1 and is_right:
        np.testing.assert_array_equal(blocks.todense(), dense)
    else:
        assert blocks is pattern
    # With one entry less these are not blocks any more.
    for k in range(pattern.nnz) if r * c > 1 and max(r, c) == r * c else ():
        keep = np.arange(pattern.nnz) != k
        less = SparsityPattern(
            pattern.rows[keep], pattern.cols[keep], fine.shape, (aval,), 0, [(m, r)]
        )
        assert find_blocks(less, square=square) is less


def coupled(u: Float[Array, "points species"]) -> Float[Array, "points species"]:
    """All species of a point and of its neighbors depend on each other."""
    total = u.sum(axis=-1, keepdims=True)
    return u * (total + jnp.roll(total, 1, axis=0) + jnp.roll(total, -1, axis=0))


def potential(u: Float[Array, "points species"]) -> Float[Array, ""]:
    return (u.sum(axis=-1)[1:] ** 2 * u.sum(axis=-1)[:-1] ** 2).sum()


@pytest.mark.parametrize("mode", MODES)
def test_jacobian_with_a_trailing_axis(mode: str):
    u = jnp.arange(27.0).reshape(9, 3) / 27
    coloring = asdex.jacobian_coloring(coupled, u, mode=mode)  # pyright: ignore
    assert coloring.found_by.endswith("of blocks")
    assert coloring.num_colors == 3 * 3
    found = asdex.jacobian_from_coloring(coupled, coloring)(u).todense()
    np.testing.assert_allclose(found, jax.jit(jax.jacobian(coupled))(u), rtol=1e-6)


@pytest.mark.parametrize("decompression", ["direct", "substitution"])
def test_hessian_with_a_trailing_axis(decompression: str):
    u = jnp.arange(27.0).reshape(9, 3) / 27
    coloring = asdex.hessian_coloring(potential, u, decompression=decompression)  # pyright: ignore
    assert coloring.found_by.endswith("of blocks")
    found = asdex.hessian_from_coloring(potential, coloring)(u).todense()
    np.testing.assert_allclose(
        found, jax.jit(jax.hessian(potential))(u), rtol=1e-4, atol=1e-4
    )


def test_axes_of_different_sizes():
    def fun(tree: dict[str, Array]) -> Array:
        total = tree["a"].sum(-1) + tree["b"].sum(-1)
        return total[1:] * total[:-1]

    tree = {"a": jnp.ones((8, 4)), "b": jnp.ones((8, 6))}
    coloring = asdex.jacobian_coloring(fun, tree, mode="fwd")
    assert coloring.num_colors == 2 * 10  # Blocks of two columns.
    assert coloring.found_by.endswith("of blocks")


def test_bounds_by_hand_are_not_multiplied():
    """An odd cycle needs three colors, and twice as many vertices in pairs only five."""
    rows = np.repeat(np.arange(5), 2)
    cycle = SparsityPattern(rows, (rows + np.tile([0, 1], 5)) % 5, (5, 5))
    colors = np.array([0, 1, 0, 1, 2])
    coloring = ColoredPattern(cycle, colors, 3, False, "fwd", lower_bound=3)
    lifted = asdex.lift_coloring(coloring, (1, 2))
    assert lifted.num_colors == 6
    assert lifted.lower_bound <= 5
    pairs = np.stack([2 * np.arange(5) % 5, (2 * np.arange(5) + 1) % 5], axis=1).ravel()
    assert ColoredPattern(lifted.sparsity, pairs, 5, False, "fwd").num_colors == 5


def test_kron_of_special_patterns():
    local = SparsityPattern([0], [1], (2, 2), is_local=True)
    assert local.kron((2, 2)).is_local
    aval = jax.ShapeDtypeStruct((2,), np.dtype(np.float32))
    of_last = SparsityPattern([0], [1], (2, 2), (aval, aval), -1)
    assert of_last.kron((1, 3)).leaf_shapes == [(2, 3)]


def test_errors_name_entries_not_blocks():
    aval = jax.ShapeDtypeStruct((2, 3), np.dtype(np.float32))
    wide = SparsityPattern([0, 0, 0], [0, 1, 2], (5, 6), (aval,))
    for color in (HESSIAN, partial(JACOBIAN, symmetric=True)):
        with pytest.raises(ValueError, match=r"square pattern. Got shape \(5, 6\)"):
            color(wide)
    triangle = np.kron(np.array([[1, 1], [0, 1]]), np.ones((3, 3)))
    rows, cols = triangle.nonzero()
    with pytest.raises(ValueError, match=r"at \(0, 3\), but none at \(3, 0\)"):
        HESSIAN(SparsityPattern(rows, cols, (6, 6), (aval,)))


def test_partly_coupled_species_are_no_blocks():
    pattern = patterns.brusselator(12, interleaved=True)
    assert find_blocks(pattern, square=False) is pattern
    assert JACOBIAN(pattern).num_colors == 6


BLOCKED: list[Callable[[SparsityPattern], ColoredPattern]] = [JACOBIAN, HESSIAN]


@pytest.mark.parametrize("color", BLOCKED)
@pytest.mark.parametrize("size", [2, 5])
def test_as_many_colors_as_without_blocks(
    color: Callable[[SparsityPattern], ColoredPattern], size: int
):
    points = patterns.grid(12, 12)
    blocks = points.kron((size, size))
    plain = SparsityPattern(blocks.rows, blocks.cols, blocks.shape)
    assert color(blocks).found_by.endswith("of blocks")
    assert color(blocks).num_colors <= color(plain).num_colors
