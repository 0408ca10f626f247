"""Acyclic coloring of symmetric patterns, for recovery by substitution."""

import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32

from .._base.index import EntryIndices
from .._structure.matrices import PatternLike, as_pattern
from .graph import Adjacency, Lists, adjacency, costly_vertices, without_vertices
from .loops import MOST_STEPS_IN_PYTHON, compiled, for_range, full, read, while_loop, write
from .orders import AbstractOrder, LargestFirst, Permutation, own_colors


def color_acyclic(
    sparsity: PatternLike,
    *,
    order: AbstractOrder = LargestFirst(),  # noqa: B008 (immutable)
) -> tuple[Int32[np.ndarray, " n"], int]:
    """Acyclic coloring of a symmetric pattern: neighbors differ, and every cycle has at
    least three colors.

    Any two colors then induce a forest, and the entries of a tree can be computed one
    after the other, from its leaves to its root. This takes fewer colors than a star
    coloring, two instead of three for a tridiagonal matrix; but the values are differences
    of others, so rounding errors add up along the trees. Vertices are visited in the given
    order, each takes the smallest color allowed (Gebremedhin, Tarafdar, Manne, Pothen, "New
    Acyclic and Star Coloring Algorithms with Application to Computing Hessians", SIAM J.
    Sci. Comput. 29(3), 2007, Algorithm 3.1).

    **Returns:** colors of shape `(n,)` and their number; a pattern without entries has
    0 colors, all of them -1.

    **Raises:** `ValueError` if the pattern is not square or not symmetric.

    Cost: O(sum of the squared degrees), nearly. Where that would take seconds, vertices of
    the largest degrees get a color of their own each and are left out.
    """
    pattern = as_pattern(sparsity)
    graph = adjacency(pattern)
    if not pattern.nnz:
        return np.full(pattern.n, -1, np.int32), 0
    return color_trees(graph, order.arrange(graph.incidence))


def color_trees(
    graph: Adjacency, visits: Permutation
) -> tuple[Int32[np.ndarray, " n"], int]:
    """Color the vertices in the given order; costly ones get colors of their own."""
    if graph.is_complete:
        return own_colors(visits), visits.size
    private = costly_vertices(graph)
    is_private = np.zeros(visits.size, bool)
    is_private[private] = True
    neighbors, edge = without_vertices(graph, is_private)
    visits = visits[~is_private[visits]]
    steps = 2 * int((neighbors.sizes.astype(np.int64) ** 2).sum())
    color = _in_python if steps <= MOST_STEPS_IN_PYTHON else _in_compiled_code
    colors = color(visits, neighbors, edge, private.size)
    colors[private] = np.arange(private.size)
    return colors, int(colors.max(initial=-1)) + 1


def _in_python(
    visits: Permutation, neighbors: Lists, edge: EntryIndices, first_color: int
) -> Int32[np.ndarray, " n"]:
    """Algorithm 3.1 of Gebremedhin et al. (2007).

    The edges of a two-colored tree form a set, kept as a tree of its own in `parent`. A
    color is forbidden if it is that of a neighbor, or if in the trees of it and another
    color two neighbors are connected.
    """
    bounds, items, edges = (
        neighbors.starts.tolist(),
        neighbors.items.tolist(),
        edge.tolist(),
    )
    pairs = list(zip(items, edges, strict=True))
    around = [pairs[start:stop] for start, stop in itertools.pairwise(bounds)]
    colors = [-1] * len(around)
    parent: dict[int, int] = {}

    def find(e: int) -> int:
        while parent[e] != e:
            parent[e] = e = parent[parent[e]]
        return e

    for v in visits.tolist():
        colored = [(w, e) for w, e in around[v] if colors[w] >= 0]
        forbidden = {colors[w] for w, _ in colored}
        reached_from: dict[int, int] = {}
        for w, _ in colored:
            for x, f in around[w]:
                color = colors[x]
                if color < 0 or color in forbidden:
                    continue
                if reached_from.setdefault(find(f), w) != w:
                    forbidden.add(color)
        own = next(c for c in itertools.count(first_color) if c not in forbidden)
        colors[v] = own
        first: dict[int, int] = {}
        for w, e in colored:
            parent[e] = e
            parent[e] = find(first.setdefault(colors[w], e))
        for w, e in colored:
            for x, f in around[w]:
                if colors[x] == own:
                    parent[find(f)] = find(e)
    return np.array(colors, np.int32)


def _in_compiled_code(
    visits: Permutation, neighbors: Lists, edge: EntryIndices, first_color: int
) -> Int32[np.ndarray, " n"]:
    """The same as compiled code, for larger graphs."""
    n = neighbors.sizes.size
    uncolored, unset = (
        np.full(n, -1, np.int32),
        np.zeros(edge.max(initial=-1) + 1, np.int32),
    )
    colors = _acyclic_coloring(
        visits, *neighbors, edge, uncolored, unset, first_color, visits.size
    )
    return colors[:n].copy()


@compiled
def _acyclic_coloring(
    order: Int32[Array, " visits"],
    starts: Int32[Array, " bounds"],
    neighbors: Int32[Array, " nnz"],
    edge: Int32[Array, " nnz"],
    colors: Int32[Array, " n"],
    parent: Int32[Array, " edges"],
    first_color: Int32[Array, ""],
    count: Int32[Array, ""],
) -> Int32[Array, " n"]:
    """Algorithm 3.1 in its symbols, with sets as in `_in_python`.

    Marks are those of `star._star_coloring`: indexed by color plus one, or by the set of
    a tree; they hold a position in the list of `v` if `v` set them.
    """

    def find(parent, e):
        def is_inner(state):
            _, e, above, _ = state
            return e != above

        def climb(state):
            parent, e, _, top = state
            parent = write(parent, e, top)
            above = read(parent, top)
            return parent, top, above, read(parent, above)

        above = read(parent, e)
        state = parent, e, above, read(parent, above)
        return while_loop(is_inner, climb, state)[:2]

    def unite(parent, e, f):
        parent, e = find(parent, e)
        parent, f = find(parent, f)
        return write(parent, f, e)

    def visit(t, state):
        colors, forbidden, first, visited, parent = state
        v = read(order, t)
        start, stop = read(starts, v), read(starts, v + 1)

        def around(body, state):
            """Call `body(e, f, state)` for the positions of each neighbor w of v that has a
            color, and of each neighbor x of w."""

            def at_neighbor(e, state):
                w = read(neighbors, e)
                last = jnp.where(read(colors, w) < 0, 0, read(starts, w + 1))
                return for_range(
                    read(starts, w), last, lambda f, state: body(e, f, state), state
                )

            return for_range(start, stop, at_neighbor, state)

        def forbid(e, forbidden):
            return write(forbidden, read(colors, read(neighbors, e)) + 1, v)

        def prevent_cycle(e, f, state):
            c = read(colors, read(neighbors, f)) + 1
            is_open = (c > 0) & (read(state[0], c) != v)

            def look(_, state):
                forbidden, visited, parent = state
                parent, tree = find(parent, read(edge, f))
                place = read(visited, tree)
                is_first = (place < start) | (stop <= place)
                visited = write(visited, tree, jnp.where(is_first, e, place))
                # If two neighbors of v were in one tree, v would close a cycle.
                closes = read(visited, tree) != e
                return write(forbidden, jnp.where(closes, c, 0), v), visited, parent

            return for_range(0, is_open.astype(jnp.int32), look, state)

        def grow_star(e, state):
            first, parent = state
            c = read(colors, read(neighbors, e)) + 1
            place = read(first, c)
            is_first = (c == 0) | (place < start) | (stop <= place)
            first = write(first, c, jnp.where(is_first, e, place))
            parent = write(parent, read(edge, e), read(edge, e))
            return first, unite(parent, read(edge, e), read(edge, read(first, c)))

        def merge_trees(e, f, parent):
            is_same = read(colors, read(neighbors, f)) == color
            return for_range(
                0,
                is_same.astype(jnp.int32),
                lambda _, parent: unite(parent, read(edge, e), read(edge, f)),
                parent,
            )

        forbidden = for_range(start, stop, forbid, forbidden)
        forbidden, visited, parent = around(prevent_cycle, (forbidden, visited, parent))
        color = while_loop(
            lambda c: read(forbidden, c + 1) == v, lambda c: c + 1, first_color
        )
        colors = write(colors, v, color)
        first, parent = for_range(start, stop, grow_star, (first, parent))
        parent = around(merge_trees, parent)
        return colors, forbidden, first, visited, parent

    n, never = colors.size, np.iinfo(np.int32).max
    marks = full(n + 1, -1), full(n + 1, never), full(parent.size, never)
    state = for_range(0, count, visit, (colors, *marks, parent))
    return state[0]
