"""Lattice coloring: stencils on regular grids, colored by a formula.

Where the vertices are the points of a grid and conflicts join points whose difference is
one of a few, the color `(a . x) mod k` of the point `x` is right if `a . d` is not zero
modulo `k` for any of these differences `d`. Such colorings often need no more colors than
a row has entries, where a greedy one needs half as many again.

On a periodic axis of length `N` the colors must fit together where it closes. If `a_i N`
is a multiple of `k` they do. Otherwise the axis gets some seams, far enough apart, where
the color jumps by `s_i` more than it would: then `a_i N + s_i (number of seams)` has to be
a multiple of `k`, and `a . d` with any of the jumps on the way must not be zero. If that
takes more colors than it should, a table may do better.

Between points of two colors whose difference is `c`, an edge leads along a difference `d`
with `a . d = c` modulo `k`. If there are two of these, `d` and `e`, the edges form paths in
the direction of `d - e`, which never close; three would close a hexagon. So a lattice
coloring is acyclic if no value is taken more than twice by `a . d` of the differences
between neighbors and their negatives.
"""

from collections.abc import Sequence
from itertools import combinations, pairwise, product
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Int32, Int64

from .graph import Bipartite
from .lattice_table import search_table

_FEW_NETS, _FEW_COPIES, _MOST_PAIRS = 64, 4, 1e7
"""A pattern counts as a stencil if it has few different nets: so few, or so many copies of
each, and so few pairs of vertices on them."""

_MULTIPLIERS = np.array([0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)
"""Odd numbers that mix the bits of a key."""

_MOST_DIFFERENCES = 4096
_MOST_TRIALS = 2**20
_SHORTEST_PERIOD = 8
_MOST_STRIDES = 32
"""Limits of the search: differences, candidates times differences, periodic sides, and
strides that a raveled array may have."""

Coloring: TypeAlias = tuple[Int32[np.ndarray, " vertices"], int]
"""Colors and their number."""


class _Grid(NamedTuple):
    """Points of one or several arrays: number of the array first, then the axes."""

    sides: Int64[np.ndarray, " axes"]
    points: Int64[np.ndarray, "vertices axes"]


def color_by_lattice(
    graph: Bipartite,
    shapes: Sequence[tuple[int, ...]],
    fewest: int,
    below: int,
    acyclic: bool = False,
) -> Coloring | None:
    """A lattice coloring with at least `fewest` and less than `below` colors, if any.

    Vertices on a common net get different colors. If `acyclic`, any two colors induce a
    forest in addition, and the nets must be the edges of a graph. The vertices are the
    elements of arrays of the given shapes, one after the other. A single vector may be a
    raveled array: if need be, its shape is guessed. The colors are checked on the graph,
    but for cycles, before they are returned.

    Cost: O(nnz), a sort, and a search that depends on the differences alone.
    """
    if below <= fewest or not fewest:
        return None
    grid = _grid(shapes)
    differences = _differences(graph, grid)
    if differences is None:
        return None
    color = _color_trees if acyclic else _color
    best = color(graph, grid, differences, fewest, below)
    below = below if best is None else best[1]
    if [len(shape) for shape in shapes] == [1] and below > fewest:
        grid = _grid([_guess_shape(differences[:, 1], len(grid.points))])
        if (differences := _differences(graph, grid)) is not None:
            best = color(graph, grid, differences, fewest, below) or best
    return best


def _color_trees(
    graph: Bipartite,
    grid: _Grid,
    differences: Int64[np.ndarray, "differences axes"],
    fewest: int,
    below: int,
) -> Coloring | None:
    """Search a formula of an acyclic coloring with few colors."""
    is_open = np.zeros(grid.sides.size, bool)
    for num_colors in range(max(fewest, len(differences) + 1), below):
        lattice = _search(differences, is_open, grid.sides, num_colors, acyclic=True)
        if lattice is not None:
            return _checked(lattice.apply(grid, num_colors), graph)
    return None


def _color(
    graph: Bipartite,
    grid: _Grid,
    differences: Int64[np.ndarray, "differences axes"],
    fewest: int,
    below: int,
) -> Coloring | None:
    """Search a formula with few colors, then a table with fewer."""
    unwrapped, is_periodic = _unwrap(differences, grid.sides)
    stencils = [(differences, np.zeros_like(is_periodic)), (unwrapped, is_periodic)]
    best = None
    for num_colors in range(fewest, below):
        for stencil in stencils:
            lattice = _search(*stencil, grid.sides, num_colors)
            if best is None and lattice is not None:
                best = _checked(lattice.apply(grid, num_colors), graph)
        if best is not None:
            below = best[1]
            break
    is_short = grid.sides < _SHORTEST_PERIOD
    for num_colors in range(below - 1, fewest - 1, -1):
        table = search_table(unwrapped, is_periodic, grid.sides, is_short, num_colors)
        found = None if table is None else _checked(table.apply(grid.points), graph)
        if found is None:
            break
        best = found
    return best


def _guess_shape(
    differences: Int64[np.ndarray, " differences"], size: int
) -> tuple[int, ...]:
    """The shape in which points with these differences of raveled indices are closest.

    The strides are some of the differences themselves, as those of neighbors are. Of all
    shapes with up to three axes, the one with the smallest sum of steps along them, where
    a step across the end of the first axis is short.
    """
    strides = [d for d in np.unique(differences).tolist() if d > 1 and size % d == 0]
    pairs = combinations(strides[:_MOST_STRIDES], 2)
    chains = [(), *zip(strides), *((s, t) for s, t in pairs if t % s == 0)]

    def total_steps(chain: tuple[int, ...]) -> int:
        total, left = 0, differences - np.rint(differences / size).astype(np.int64) * size
        for stride in (*chain[::-1], 1):
            steps = np.rint(left / stride).astype(np.int64)
            total, left = total + int(np.abs(steps).sum()), left - steps * stride
        return total

    best = min(chains, key=total_steps)
    bounds = (1, *best, size)
    return tuple(b // a for a, b in pairwise(bounds))[::-1]


def _checked(colors: Int64[np.ndarray, " vertices"], graph: Bipartite) -> Coloring | None:
    """The colors numbered without gaps, and their number, if they are valid."""
    used, colors = np.unique(colors, return_inverse=True)
    nets = np.repeat(np.arange(graph.vertices.sizes.size), graph.vertices.sizes)
    # No color may occur twice on a net.
    places = np.sort(nets * used.size + colors[graph.vertices.items])
    is_valid = (places[1:] != places[:-1]).all()
    return (colors.astype(np.int32), used.size) if is_valid else None


def _grid(shapes: Sequence[tuple[int, ...]]) -> _Grid:
    """The elements of some arrays as points, with axes filled up behind the last one."""
    axes = max(map(len, shapes))
    padded = [shape + (1,) * (axes - len(shape)) for shape in shapes]
    sides = np.array([len(shapes), *np.max(padded, axis=0)])
    points = [
        np.stack([np.full(shape, number), *np.indices(shape)], axis=-1)
        for number, shape in enumerate(padded)
    ]
    return _Grid(sides, np.concatenate([array.reshape(-1, axes + 1) for array in points]))


def _differences(
    graph: Bipartite, grid: _Grid
) -> Int64[np.ndarray, "differences axes"] | None:
    """All differences of two points on a common net, one of each pair `d` and `-d`.

    A point is coded as one integer, with space for a sign on each axis, so that equal
    differences are equal differences of codes. None if there are too many.
    """
    radices = 2 * grid.sides - 1
    weights = np.append(np.cumprod(radices[:0:-1])[::-1], 1)
    largest = (grid.sides - 1) @ weights
    codes = _code_differences(graph, grid.points @ weights)
    if codes is None or codes.size > _MOST_DIFFERENCES:
        return None
    return (codes[:, None] + largest) // weights % radices - (grid.sides - 1)


def _code_differences(
    graph: Bipartite, codes: Int64[np.ndarray, " vertices"]
) -> Int64[np.ndarray, " differences"] | None:
    """The differences of the codes on each net, which ascend with the vertices.

    In a stencil most nets are copies of a few. Copies are recognized by a checksum of
    their points relative to the first; if two nets that differ had the same, a coloring
    would not pass its check.
    """
    starts, points = graph.vertices.starts, codes[graph.vertices.items]
    sizes = graph.vertices.sizes
    firsts, sizes = starts[:-1][sizes > 0], sizes[sizes > 0]
    relative = points - np.repeat(points[firsts], sizes)
    keys = relative.astype(np.uint64)
    for multiplier in _MULTIPLIERS:
        keys *= multiplier
        keys ^= keys >> np.uint64(32)
    checksums = np.add.reduceat(keys, firsts)
    nets = np.unique(checksums, return_index=True)[1]
    too_many = max(_FEW_NETS, firsts.size // _FEW_COPIES)
    if nets.size > too_many or (sizes[nets].astype(np.int64) ** 2).sum() > _MOST_PAIRS:
        return None
    found = [np.zeros(0, np.int64)]
    for size in np.unique(sizes[nets]):
        stencils = relative[firsts[nets[sizes[nets] == size], None] + np.arange(size)]
        earlier, later = np.triu_indices(size, 1)
        found.append(np.unique(stencils[:, later] - stencils[:, earlier]))
    return np.unique(np.concatenate(found))


class _Lattice(NamedTuple):
    """The color of `x` is `slopes . x + jumps . (seams before x)` modulo their number."""

    slopes: Int64[np.ndarray, " axes"]
    jumps: Int64[np.ndarray, " axes"]
    seams: Int64[np.ndarray, " axes"]

    def apply(self, grid: _Grid, num_colors: int) -> Int64[np.ndarray, " vertices"]:
        """The colors of all points."""
        passed = grid.points * self.seams // grid.sides
        return (grid.points @ self.slopes + passed @ self.jumps) % num_colors


def _unwrap(
    differences: Int64[np.ndarray, "differences axes"], sides: Int64[np.ndarray, " axes"]
) -> tuple[Int64[np.ndarray, "unwrapped axes"], Bool[np.ndarray, " axes"]]:
    """Take long differences for short ones across the end of a periodic axis."""
    is_long = (2 * np.abs(differences) > sides) & (sides >= _SHORTEST_PERIOD)
    unwrapped = differences - np.where(is_long, np.sign(differences) * sides, 0)
    return np.unique(unwrapped, axis=0), np.asarray(is_long.any(axis=0))


def _search(
    differences: Int64[np.ndarray, "differences axes"],
    is_periodic: Bool[np.ndarray, " axes"],
    sides: Int64[np.ndarray, " axes"],
    num_colors: int,
    acyclic: bool = False,
) -> _Lattice | None:
    """Try all slopes and jumps, axis by axis, and take the first with fewest seams."""
    tried = np.zeros((1, 3, 0), np.int64)
    for axis, side in enumerate(sides.tolist()):
        reach = max(1, int(np.abs(differences[:, axis]).max(initial=0)))
        seams = _most_seams(num_colors, side, reach) if is_periodic[axis] else 0
        if num_colors**2 * seams > _MOST_TRIALS:
            return None
        options = _options(side, reach, bool(is_periodic[axis]), num_colors)
        ends_here = ~differences[:, axis + 1 :].any(axis=1)
        if not acyclic:  # The others have been checked.
            ends_here &= differences[:, axis] != 0
        steps = differences[ends_here, : axis + 1]
        if len(tried) * len(options) * max(1, len(steps)) > _MOST_TRIALS:
            return None
        tried = np.concatenate(
            [
                np.repeat(tried, len(options), axis=0),
                np.tile(options, (len(tried), 1))[:, :, None],
            ],
            axis=2,
        )
        tried = tried[_separates(tried, steps, is_periodic[: axis + 1], num_colors)]
        if acyclic:
            tried = tried[_is_forest(tried[:, 0] @ steps.T, num_colors)]
        if not len(tried):
            return None
    return _Lattice(*tried[tried[:, 2].sum(axis=1).argmin()])


def _options(
    side: int, reach: int, is_periodic: bool, num_colors: int
) -> Int64[np.ndarray, "options 3"]:
    """Slope, jump and number of seams that may be used along one axis."""
    slopes = np.arange(num_colors if side > 1 else 1)
    if not is_periodic:
        return np.stack([slopes, 0 * slopes, 0 * slopes], axis=1)
    seams = np.arange(_most_seams(num_colors, side, reach))
    every = np.stack(np.meshgrid(slopes, slopes, seams, indexing="ij"), axis=-1)
    every = every.reshape(-1, 3)
    slope, jump, count = every.T
    closes = (slope * side + jump * count) % num_colors == 0
    is_first = np.unique(slope[closes] * num_colors + jump[closes], return_index=True)[1]
    return every[closes][is_first]


def _most_seams(num_colors: int, side: int, reach: int) -> int:
    return min(num_colors, side // reach + 1)


def _separates(
    tried: Int64[np.ndarray, "tried 3 axes"],
    steps: Int64[np.ndarray, "steps axes"],
    is_periodic: Bool[np.ndarray, " axes"],
    num_colors: int,
) -> Bool[np.ndarray, " tried"]:
    """Whether no step, with any of the seams it may cross, leads to the same color."""
    good = np.ones(len(tried), bool)
    slopes, jumps = tried[:, 0], tried[:, 1]
    for crossed in product(*([0, 1] if periodic else [0] for periodic in is_periodic)):
        crossing = np.sign(steps) * np.array(crossed)
        change = slopes @ steps.T + jumps @ crossing.T
        good &= (change % num_colors != 0).all(axis=1)
    return good


def _is_forest(
    changes: Int64[np.ndarray, "tried steps"], num_colors: int
) -> Bool[np.ndarray, " tried"]:
    """Whether no color is reached by more than two of the steps and their negatives."""
    reached = np.sort(np.concatenate([changes, -changes], axis=1) % num_colors, axis=1)
    return (reached[:, 2:] != reached[:, :-2]).all(axis=1)
