"""`ColoredPattern` and `StarSet`: attributes, checks, and where the entries are read."""

import copy
import itertools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asdex._base.errors import InvalidColoringError
from asdex._base.types import ColoringMode
from asdex._structure.coloring import ColoredPattern
from asdex._structure.pattern import SparsityPattern
from asdex._structure.stars import StarSet

ALL_MODES = ["fwd", "rev", "fwd_over_rev", "rev_over_fwd", "rev_over_rev"]


def ints(*values: int) -> np.ndarray:
    return np.array(values, int)


def path_stars() -> StarSet:
    """The path 0 - 1 - 2 as one star around its middle."""
    return StarSet(ints(0, 0), ints(1), ints(0, 1), ints(1, 2), ints(0, 1))


def tridiagonal(n: int = 3) -> SparsityPattern:
    return SparsityPattern.from_dense(np.tri(n, k=1) * np.tri(n, k=1).T)


def colored_path(mode: ColoringMode = "fwd_over_rev") -> ColoredPattern:
    return ColoredPattern(tridiagonal(), ints(0, 1, 0), 2, True, mode, path_stars())


def bidiagonal_coloring() -> ColoredPattern:
    pattern = SparsityPattern([0, 0, 1, 1], [0, 1, 1, 2], (2, 3))
    return ColoredPattern(pattern, ints(0, 1, 0), 2, False, "fwd")


def recovered(coloring: ColoredPattern, matrix: np.ndarray) -> np.ndarray:
    """`matrix` compressed by summing, and read again at `positions`."""
    if coloring.mode != "rev":
        matrix = matrix.T
    compressed = np.zeros((coloring.num_colors, coloring.dim))
    for color, line in zip(coloring.colors, matrix, strict=True):
        if color >= 0:
            compressed[color] += line
    return compressed.ravel()[coloring.positions]


# StarSet


def test_star_set_attributes():
    stars = path_stars()
    assert stars.star.tolist() == [0, 0]
    assert stars.hub.tolist() == [1]
    assert stars.edge_lo.tolist() == [0, 1]
    assert stars.edge_hi.tolist() == [1, 2]
    assert stars.edge_pos.tolist() == [0, 1]
    assert repr(stars) == "StarSet(edges=2, stars=1)"


def test_edges_are_found_in_either_order():
    stars = StarSet(ints(0, 1, 1), ints(2, -4), ints(0, 1, 1), ints(2, 2, 3), ints(2, 0, 1))
    assert [stars.edge_index(0, 2), stars.edge_index(2, 0)] == [2, 2]
    assert [stars.edge_index(1, 2), stars.edge_index(3, 1)] == [0, 1]
    assert stars.hub_vertex(2, 1) == 2
    assert stars.hub_vertex(1, 3) == stars.hub_vertex(2, 0) == 3  # -4 is vertex 3.


@pytest.mark.parametrize("edge", [(0, 1), (0, 3), (2, 2), (5, 6)])
def test_missing_edges_raise_key_error(edge):
    stars = StarSet(ints(0, 0), ints(2), ints(0, 1), ints(2, 2), ints(0, 1))
    with pytest.raises(KeyError):
        stars.edge_index(*edge)
    with pytest.raises(KeyError):
        stars.hub_vertex(*edge)


def test_hubs_of_many_pairs():
    stars = StarSet(ints(0, 1, 1), ints(2, -4), ints(0, 1, 1), ints(2, 2, 3), ints(2, 0, 1))
    hubs = stars.hubs(ints(2, 0, 1, 0, 9), ints(1, 2, 3, 3, 0))
    assert hubs.tolist() == [2, 3, 3, -1, -1]
    nothing = StarSet(ints(), ints(), ints(), ints(), ints())
    assert nothing.hubs(ints(0), ints(1)).tolist() == [-1]


def test_hubs_of_large_vertices_do_not_overflow():
    last = 2**31 - 2
    stars = StarSet(ints(0), ints(last), ints(last - 1), ints(last), ints(0))
    assert stars.hubs(ints(last, 0), ints(last - 1, 1)).tolist() == [last, -1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((ints(0), ints(1), ints(0, 1), ints(1, 2), ints(0, 1)), "one element per edge"),
        ((ints(0), ints(1), ints(1), ints(1), ints(0)), "edge_lo < edge_hi"),
        ((ints(0, 0), ints(1), ints(1, 0), ints(2, 1), ints(0, 1)), "sorted"),
        ((ints(0, 0), ints(1), ints(0, 0), ints(1, 1), ints(0, 1)), "without repetition"),
        ((ints(1), ints(1), ints(0), ints(1), ints(0)), r"star must lie in 0\.\.0"),
        ((ints(0), ints(1), ints(0), ints(1), ints(1)), r"edge_pos must lie in 0\.\.0"),
        ((ints(0), ints(1), ints(-1), ints(1), ints(0)), "edge_lo must lie in"),
    ],
)
@pytest.mark.usefixtures("without_annotation_checks")
def test_star_sets_that_do_not_fit(arrays, message):
    with pytest.raises(ValueError, match=message):
        StarSet(*arrays)


# ColoredPattern


def test_attributes():
    coloring = bidiagonal_coloring()
    assert coloring.sparsity.shape == (2, 3)
    assert coloring.colors.tolist() == [0, 1, 0]
    assert coloring.colors.dtype == np.int32
    assert (coloring.num_colors, coloring.symmetric, coloring.mode) == (2, False, "fwd")
    assert coloring.star_set is None
    assert coloring.dim == 2
    assert colored_path().star_set == path_stars()


def test_sides_have_colors_and_ends_of_their_own():
    pattern = SparsityPattern.from_dense(np.array([[1, 1], [0, 1], [0, 1]]))
    colors: dict[ColoringMode, np.ndarray] = {
        "fwd": ints(0, 1),
        "rev": ints(0, 1, 2),
        "bidirectional": ints(-1, 0, 1, -1, -1),
    }
    found = {}
    for mode, given in colors.items():
        coloring = ColoredPattern(pattern, given, int(given.max()) + 1, False, mode)
        found[mode] = [
            (side.kind, side.colors.tolist(), side.first_color, side.dim)
            for side in coloring.sides
        ]
        for side in coloring.sides:
            ends = [*zip(side.seeded.tolist(), side.along.tolist(), strict=True)]
            entries = [side.entry(*end) for end in ends]
            assert entries == [*zip(pattern.rows, pattern.cols, strict=True)]
            assert side.has(*ends[0])
            assert not side.has(*((0, 2) if side.kind == "column" else (2, 0)))
    assert found == {
        "fwd": [("column", [0, 1], 0, 3)],
        "rev": [("row", [0, 1, 2], 0, 2)],
        "bidirectional": [("column", [-1, 0], 0, 3), ("row", [0, -1, -1], 1, 2)],
    }


def test_num_colors_is_an_int():
    coloring = ColoredPattern(tridiagonal(2), ints(0, 1), np.int64(2), False, "fwd")
    assert type(coloring.num_colors) is int


@pytest.mark.parametrize("mode", ALL_MODES)
def test_entries_are_read_where_they_are_alone(mode):
    values = np.array([[1.0, 2, 0], [3, 4, 5], [0, 6, 7]])
    pattern = SparsityPattern([2, 0, 1, 1, 1, 0, 2], [2, 0, 1, 0, 2, 1, 1], (3, 3))
    coloring = ColoredPattern(pattern, ints(0, 1, 2), 3, False, mode)
    expected = values[pattern.rows, pattern.cols]
    np.testing.assert_array_equal(recovered(coloring, values), expected)


@pytest.mark.parametrize("mode", ALL_MODES)
def test_symmetric_entries_are_read_at_their_hub(mode):
    values = np.array([[1.0, 2, 0], [2, 4, 5], [0, 5, 7]])
    coloring = colored_path(mode)
    expected = values[coloring.sparsity.rows, coloring.sparsity.cols]
    np.testing.assert_array_equal(recovered(coloring, values), expected)
    assert coloring.num_colors < 3  # Fewer than without symmetry.


def test_a_symmetric_coloring_may_leave_spokes_neutral():
    pattern = SparsityPattern([0, 1, 1, 2], [1, 0, 2, 1], (3, 3))
    coloring = ColoredPattern(
        pattern, ints(-1, 0, -1), 1, True, "fwd_over_rev", path_stars()
    )
    values = np.array([[0.0, 2, 0], [2, 0, 5], [0, 5, 0]])
    np.testing.assert_array_equal(recovered(coloring, values), [2, 2, 5, 5])


def test_columns_without_entries_may_be_neutral():
    coloring = ColoredPattern(
        SparsityPattern([0, 1], [0, 2], (2, 3)), ints(0, -1, 0), 1, False, "fwd"
    )
    assert coloring.positions.tolist() == [0, 1]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 3)])
@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_patterns_without_entries(shape, mode):
    vertices, dim = shape if mode == "rev" else shape[::-1]
    pattern = SparsityPattern([], [], shape)
    coloring = ColoredPattern(pattern, np.full(vertices, -1), 0, False, mode)
    assert coloring.positions.shape == (0,)
    assert coloring.dim == dim


def test_positions_in_a_large_compressed_matrix_do_not_overflow():
    dim = 1_000_000
    entries = ints(0, dim - 1)
    pattern = SparsityPattern(entries, entries, (dim, dim))
    few = ColoredPattern(pattern, np.zeros(dim, int), 2, False, "fwd")
    assert few.positions.dtype == np.int32
    many = ColoredPattern(pattern, np.full(dim, dim - 1), dim, False, "fwd")
    assert many.positions.dtype == np.int64
    assert many.positions.tolist() == [(dim - 1) * dim, dim * dim - 1]


# Errors


@pytest.mark.parametrize(
    ("colors", "mode", "message"),
    [
        (
            ints(0, 0, 0),
            "fwd",
            r"Entries \(0, 0\) and \(0, 1\) .* columns 0 and 1 .*color 0",
        ),
        (ints(0, 0), "rev", r"Entries \(0, 1\) and \(1, 1\) .* rows 0 and 1 .*color 0"),
        (ints(0, -1, 1), "fwd", r"Entry \(0, 1\) .* column 1 has the neutral color -1"),
        (ints(-1, 0), "rev", r"Entry \(0, 0\) .* row 0 has the neutral color -1"),
    ],
)
def test_entries_that_could_not_be_recovered(colors, mode, message):
    pattern = SparsityPattern([0, 0, 1, 1], [0, 1, 1, 2], (2, 3))
    with pytest.raises(InvalidColoringError, match=message):
        ColoredPattern(pattern, colors, 2, False, mode)


def test_a_coloring_that_is_no_star_coloring_is_refused():
    # The path 0 - 1 - 2 - 3 with two colors is distance-1 colored but not a star.
    stars = StarSet(ints(0, 1, 1), ints(1, 2), ints(0, 1, 2), ints(1, 2, 3), ints(0, 1, 2))
    with pytest.raises(InvalidColoringError, match="in conflict"):
        ColoredPattern(tridiagonal(4), ints(0, 1, 0, 1), 2, True, "fwd_over_rev", stars)


def test_only_star_sets_that_recover_every_entry_are_accepted():
    """All hubs and colors on small patterns: built, or refused with the right error."""
    accepted = 0
    for dense in ("010101010", "011101110", "110111011"):
        pattern = SparsityPattern.from_dense(np.array(list(dense)).reshape(3, 3) == "1")
        lo, hi = np.triu(pattern.todense(), 1).nonzero()
        edges = np.arange(lo.size)
        matrix = pattern.todense() * np.array([[2.0, 3, 5], [3, 7, 11], [5, 11, 13]])
        for hub in itertools.product(range(-3, 3), repeat=lo.size):
            stars = StarSet(edges, ints(*hub), lo, hi, edges)
            for colors in itertools.product(range(-1, 2), repeat=3):
                try:
                    coloring = ColoredPattern(pattern, ints(*colors), 2, True, "fwd", stars)
                except InvalidColoringError:
                    continue
                accepted += 1
                expected = matrix[pattern.rows, pattern.cols]
                np.testing.assert_array_equal(recovered(coloring, matrix), expected)
    assert accepted > 50


def test_a_bound_above_the_number_of_colors_is_refused():
    with pytest.raises(ValueError, match="lower_bound=3 cannot hold"):
        ColoredPattern(
            SparsityPattern.from_dense(np.eye(2)),
            ints(0, 0),
            1,
            False,
            "fwd",
            lower_bound=3,
        )


def test_a_star_set_that_lacks_an_edge_is_refused():
    stars = StarSet(ints(0), ints(1), ints(0), ints(1), ints(0))
    with pytest.raises(InvalidColoringError, match=r"lacks the edge of entry \(1, 2\)"):
        ColoredPattern(tridiagonal(), ints(0, 1, 0), 2, True, "fwd_over_rev", stars)


@pytest.mark.parametrize(
    ("colors", "num_colors", "mode", "message"),
    [
        (ints(0, 1, 2), 3, "rev", r"shape \(2,\), one for each row of the 2x3 pattern"),
        (ints(0, 1), 2, "fwd", r"shape \(3,\), one for each column"),
        (ints(0, 1, 2), 2, "fwd", r"colors must lie in -1\.\.1 for num_colors=2\. Got 2"),
        (ints(0, 1, -2), 2, "fwd", r"colors must lie in .* Got -2"),
        (ints(0, 1, 2**32), 2, "fwd", r"colors must lie in .* Got 4294967296"),
        (ints(0, 1, 0), -1, "fwd", "num_colors must not be negative"),
        (ints(0, 1, 2), 3, "fwd_over_rev", r"needs a square pattern\. Got shape \(2, 3\)"),
        (ints(0, 1, 2), 3, "auto", "Unknown mode 'auto'. Expected 'fwd', 'rev'"),
    ],
)
@pytest.mark.usefixtures("without_annotation_checks")
def test_arguments_that_do_not_fit(colors, num_colors, mode, message):
    pattern = SparsityPattern([0, 1], [0, 1], (2, 3))
    with pytest.raises(ValueError, match=message):
        ColoredPattern(pattern, colors, num_colors, False, mode)


@pytest.mark.usefixtures("without_annotation_checks")
def test_colors_must_be_integers():
    with pytest.raises(TypeError, match="colors must be integers"):
        ColoredPattern(tridiagonal(2), np.array([0.5, 1]), 2, False, "fwd")


def test_symmetric_colorings_need_a_star_set_and_a_symmetric_pattern():
    with pytest.raises(ValueError, match="star_set that color_symmetric returns"):
        ColoredPattern(tridiagonal(), ints(0, 1, 0), 2, True, "fwd_over_rev")
    wide = SparsityPattern([0], [0], (1, 2))
    with pytest.raises(ValueError, match="needs a square pattern"):
        ColoredPattern(wide, ints(0, 0), 1, True, "fwd", path_stars())
    lower = SparsityPattern([1, 2], [0, 1], (3, 3))
    with pytest.raises(ValueError, match="needs a symmetric pattern"):
        ColoredPattern(lower, ints(0, 1, 0), 2, True, "fwd", path_stars())


# Immutability, equality, structure


def test_nothing_can_be_changed():
    coloring = colored_path()
    with pytest.raises(AttributeError):
        coloring.num_colors = 3
    for array in (coloring.colors, coloring.positions, path_stars().star):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_the_colors_of_the_caller_are_not_shared():
    colors = np.array([0, 1, 0], np.int32)
    coloring = ColoredPattern(SparsityPattern([0], [0], (1, 3)), colors, 2, False, "fwd")
    colors[:] = 1
    assert coloring.colors.tolist() == [0, 1, 0]


def test_equal_colorings_compare_and_hash_equal():
    for make in (colored_path, bidiagonal_coloring, path_stars):
        assert make() == make()
        assert hash(make()) == hash(make())


def test_different_colorings_compare_unequal():
    pattern = SparsityPattern([0, 1, 2], [0, 1, 2], (3, 3))
    base = ColoredPattern(pattern, ints(0, 1, 0), 2, False, "fwd")
    others = [
        ColoredPattern(pattern, ints(0, 1, 1), 2, False, "fwd"),
        ColoredPattern(pattern, ints(0, 1, 0), 3, False, "fwd"),
        ColoredPattern(pattern, ints(0, 1, 0), 2, True, "fwd", path_stars()),
        ColoredPattern(pattern, ints(0, 1, 0), 2, False, "rev"),
        ColoredPattern(tridiagonal(), ints(0, 1, 2), 3, False, "fwd"),
    ]
    assert all(base != other for other in others)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
)
@pytest.mark.parametrize("make", [colored_path, bidiagonal_coloring])
def test_copies_are_equal_and_immutable(copied, make):
    duplicate = copied(make())
    assert duplicate == make()
    np.testing.assert_array_equal(duplicate.positions, make().positions)
    assert not duplicate.colors.flags.writeable
    assert not duplicate.positions.flags.writeable


@pytest.mark.parametrize("make", [colored_path, bidiagonal_coloring, path_stars])
def test_a_coloring_is_structure(make):
    assert jax.tree.leaves(make()) == []
    assert jax.tree.map(lambda leaf: 1 / 0, make()) == make()


def test_an_equal_coloring_does_not_compile_again():
    traces = []

    @jax.jit
    def decompress(coloring, compressed):
        traces.append(None)
        return compressed.ravel()[coloring.positions]

    compressed = jnp.arange(6.0).reshape(2, 3)
    values = [decompress(colored_path(), compressed) for _ in range(3)]
    assert len(traces) == 1
    np.testing.assert_array_equal(values[0], values[2])
    decompress(colored_path("rev"), compressed)
    assert len(traces) == 2
