"""Families of patterns with known coloring numbers, and random ones.

All without diagonal unless their docstring says otherwise.
"""

import math
from itertools import product

import jax
import numpy as np
from jaxtyping import Integer

from asdex import SparsityPattern


def band(n: int, width: int) -> SparsityPattern:
    """Entries at most `width // 2` away from the diagonal; `width` is odd."""
    rows = np.repeat(np.arange(n), width)
    cols = rows + np.tile(np.arange(width) - width // 2, n)
    inside = (cols >= 0) & (cols < n)
    return SparsityPattern(rows[inside], cols[inside], (n, n))


def graph(
    v: Integer[np.ndarray, " edges"], w: Integer[np.ndarray, " edges"], n: int
) -> SparsityPattern:
    """The graph with an edge between `v[k]` and `w[k]` for each `k`, without diagonal."""
    rows, cols = np.concatenate([v, w]), np.concatenate([w, v])
    order = np.lexsort((cols, rows))
    return SparsityPattern(rows[order], cols[order], (n, n))


def path(n: int) -> SparsityPattern:
    v = np.arange(n - 1)
    return graph(v, v + 1, n)


def cycle(n: int) -> SparsityPattern:
    """At least three vertices."""
    v = np.arange(n)
    return graph(v, (v + 1) % n, n)


def star(leaves: int) -> SparsityPattern:
    """Center 0."""
    v = np.arange(1, leaves + 1)
    return graph(0 * v, v, leaves + 1)


def arrow(n: int) -> SparsityPattern:
    """Dense last row, last column and diagonal."""
    v, last = np.arange(n), np.full(n, n - 1)
    return SparsityPattern(np.r_[v, last, v], np.r_[v, v, last], (n, n))


def complete(n: int) -> SparsityPattern:
    return SparsityPattern.from_dense(1 - np.eye(n))


def complete_bipartite(left: int, right: int) -> SparsityPattern:
    dense = np.ones((left + right, left + right))
    dense[:left, :left] = dense[left:, left:] = 0
    return SparsityPattern.from_dense(dense)


def binary_tree(n: int) -> SparsityPattern:
    """The parent of `v` is `(v - 1) // 2`."""
    v = np.arange(1, n)
    return graph((v - 1) // 2, v, n)


def grid(*sides: int, periodic: bool = False, radius: int | None = None) -> SparsityPattern:
    """Each point of a grid with its neighbors along the axes, and with itself.

    With a `radius` the neighbors are all points at most so far away along each axis.
    The input has the shape of the grid.
    """
    points = np.stack(np.meshgrid(*map(np.arange, sides), indexing="ij"))
    reach = 1 if radius is None else radius
    steps = np.array(list(product(range(-reach, reach + 1), repeat=len(sides))))
    if radius is None:
        steps = steps[np.abs(steps).sum(axis=1) <= 1]
    ends = points.reshape(len(sides), -1, 1) + steps.T[:, None]
    limits = np.array(sides).reshape(-1, 1, 1)
    inside = ((ends >= 0) & (ends < limits)).all(axis=0) | periodic
    rows = np.broadcast_to(np.arange(math.prod(sides))[:, None], inside.shape)[inside]
    cols = np.asarray(np.ravel_multi_index(tuple((ends % limits)[:, inside]), sides))
    order = np.lexsort((cols, rows))
    size = math.prod(sides)
    avals = (jax.ShapeDtypeStruct(sides, np.dtype(np.float32)),)
    return SparsityPattern(
        rows[order], cols[order], (size, size), avals, output_shapes=[sides]
    )


def brusselator(side: int, *, interleaved: bool) -> SparsityPattern:
    """Two species on a periodic grid, each coupled to the other at the same point."""
    point = grid(side, side, periodic=True)
    v, size = np.arange(side**2), side**2
    rows = np.concatenate([point.rows, v, v + size, point.rows + size])
    cols = np.concatenate([point.cols, v + size, v, point.cols + size])
    shapes = 2 * [(side, side)]
    if interleaved:
        rows, cols = (index % size * 2 + index // size for index in (rows, cols))
        shapes = [(side, side, 2)]
    avals = tuple(jax.ShapeDtypeStruct(shape, np.dtype(np.float32)) for shape in shapes)
    argnums = tuple(range(len(shapes)))
    return SparsityPattern(rows, cols, (2 * size, 2 * size), avals, argnums, shapes)


def power_law(seed: int, n: int, hub: int) -> SparsityPattern:
    """Symmetric, a few entries in most rows and `hub` of them in the fullest."""
    rng = np.random.default_rng(seed)
    degrees = np.minimum(hub, 2 * (1 + rng.pareto(1.5, n))).astype(np.int64)
    degrees[0] = hub
    v = np.repeat(np.arange(n), degrees)
    return graph(v, rng.integers(0, n, v.size), n)


def random_symmetric(seed: int, n: int, per_row: float) -> SparsityPattern:
    """Diagonal, and about `per_row` other entries in each row."""
    rng = np.random.default_rng(seed)
    rows, cols = rng.integers(0, n, (2, int(n * per_row / 2)))
    v = np.arange(n)
    rows, cols = np.concatenate([rows, cols, v]), np.concatenate([cols, rows, v])
    return SparsityPattern(rows, cols, (n, n))
