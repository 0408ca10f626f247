"""Lattice colorings from a table: `table[(a . x) mod p]` in place of `(a . x) mod k`.

Where no side of a periodic grid suits the number of colors `k`, a longer period `p` that
divides the sides may, with a table of colors that follows no formula. The points with
equal `(a . x) mod p` become one vertex, in a graph so small that a search can color it:
`v = a . x` is in conflict with `v + a . d` for each difference `d`. Many directions `a`
are searched at once, until one of them is colored.

The search moves one vertex at a time to another color, and does not move it back soon
(Hertz, de Werra, "Using Tabu Search Techniques for Graph Coloring", Computing 39, 1987).
"""

from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

_LONGEST_PERIOD = 100
_MOST_DIRECTIONS = 64
_MOST_CELLS = 250_000
"""Limits of the search. A move reads the colors and the neighbors of all vertices, for each
direction; vertices are places times the period."""

_MOVES_PER_VERTEX = 4
"""A search that succeeds at all needs two or three."""

_TENURE = 10, 0.6
"""For how many moves a color stays forbidden: below the first number, at random, and the
second one times the vertices in conflict (Galinier, Hao, 1999)."""

_TIES = 1024
_FORBIDDEN = 2**31
"""Moves of equal change are in random order, forbidden ones behind all others."""


class Table(NamedTuple):
    """The color of the point `x` is `colors[strides . x, (direction . x) mod period]`."""

    strides: Int64[np.ndarray, " axes"]
    direction: Int64[np.ndarray, " axes"]
    colors: Int64[np.ndarray, "places period"]

    def apply(
        self, points: Int64[np.ndarray, "vertices axes"]
    ) -> Int64[np.ndarray, " vertices"]:
        """The colors of all points."""
        columns = points @ self.direction % self.colors.shape[1]
        return self.colors[points @ self.strides, columns]


def search_table(
    differences: Int64[np.ndarray, "differences axes"],
    is_periodic: Bool[np.ndarray, " axes"],
    sides: Int64[np.ndarray, " axes"],
    is_short: Bool[np.ndarray, " axes"],
    num_colors: int,
) -> Table | None:
    """A table with colors that separate all differences, if one is found.

    Along short axes, such as that of the species at one point, nothing repeats: each of
    their coordinates is a place with colors of its own.
    """
    sizes = np.where(is_short, sides, 1)
    strides = np.cumprod(np.append(sizes, 1)[:0:-1])[::-1] * is_short
    places = np.array(list(product(*map(range, sizes))))
    if not is_periodic.any():
        return None
    turns = int(np.gcd.reduce(sides[is_periodic]))
    for period in range(num_colors + 1, _LONGEST_PERIOD + 1):
        steps = np.concatenate([differences, -differences])
        cells = len(places) * period * (num_colors + len(steps))
        if turns % period == 0 and cells <= _MOST_CELLS:
            directions = _directions(is_short, period, _MOST_CELLS // cells)
            there = places[:, None] + steps * is_short
            is_inside = ((there >= 0) & (there < sizes)).all(axis=-1)
            there = np.where(is_inside, there @ strides, -1)
            graphs = _graphs(there, directions @ steps.T, period)
            if (found := _color(graphs, num_colors)) is not None:
                which, colors = found
                return Table(strides, directions[which], colors.reshape(-1, period))
    return None


def _directions(
    is_short: Bool[np.ndarray, " axes"], period: int, most: int
) -> Int64[np.ndarray, "directions axes"]:
    """Directions that are 1 along the first long axis and anything along the others."""
    num_others = int((~is_short).sum()) - 1
    count = period**num_others
    picked = np.arange(count)
    if count > (most := min(most, _MOST_DIRECTIONS)):
        picked = np.unique(np.random.default_rng(0).integers(0, count, most))
    others = picked[:, None] // period ** np.arange(num_others) % period
    directions = np.zeros((picked.size, is_short.size), np.int64)
    directions[:, ~is_short] = np.insert(others, 0, 1, axis=1)
    return directions


def _graphs(
    there: Int64[np.ndarray, "places steps"],
    turns: Int64[np.ndarray, "directions steps"],
    period: int,
) -> Int64[np.ndarray, "directions vertices steps"]:
    """The neighbors of each vertex, for each direction.

    Each step leads from a place to `there`, or to nowhere, -1, for which the number behind
    the last vertex is.
    """
    columns = (np.arange(period)[:, None] + turns[:, None]) % period
    neighbors = there[:, None] * period + columns[:, None]
    neighbors = np.where(there[:, None] < 0, len(there) * period, neighbors)
    return neighbors.reshape(len(turns), -1, turns.shape[1])


def _color(
    graphs: Int64[np.ndarray, "graphs vertices degree"], num_colors: int
) -> tuple[int, Int64[np.ndarray, " vertices"]] | None:
    """The number of the first graph that gets a valid coloring, and its colors."""
    numbers = np.arange(graphs.shape[1])
    possible = ~(graphs == numbers[:, None]).any(axis=(1, 2))
    graphs, which = graphs[possible], np.flatnonzero(possible)
    count, size, _ = graphs.shape
    random, each = np.random.default_rng(0), np.arange(count)
    colors = random.integers(0, num_colors, (count, size))
    # The number of neighbors of each color, and when a vertex may take that color again.
    around = np.zeros((count, size + 1, num_colors), np.int64)
    np.add.at(around, (each[:, None, None], graphs, colors[..., None]), 1)
    free_at = np.zeros((count, size, num_colors), np.int64)
    for move in range(_MOVES_PER_VERTEX * size if count else 0):
        conflicts = np.take_along_axis(around[:, :size], colors[..., None], axis=2)
        num_conflicts = np.count_nonzero(conflicts, axis=(1, 2))
        if not num_conflicts.all():
            done = int(num_conflicts.argmin())
            return int(which[done]), colors[done]
        change = (around[:, :size] - conflicts) * _TIES
        change += random.integers(0, _TIES, change.shape[1:])
        change[(free_at > move) | (conflicts == 0)] = _FORBIDDEN
        np.put_along_axis(change, colors[..., None], _FORBIDDEN, axis=2)
        moved, new = np.divmod(change.reshape(count, -1).argmin(axis=1), num_colors)
        old, neighbors = colors[each, moved], graphs[each, moved]
        colors[each, moved] = new
        np.add.at(around, (each[:, None], neighbors, old[:, None]), -1)
        np.add.at(around, (each[:, None], neighbors, new[:, None]), 1)
        shortest, per_conflict = _TENURE
        tenure = random.integers(0, shortest, count) + per_conflict * num_conflicts
        free_at[each, moved, old] = move + tenure.astype(np.int64)
    return None
