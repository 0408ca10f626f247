"""Star coloring of symmetric patterns."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32

from .._structure.pattern import SparsityPattern
from .._structure.stars import StarSet
from .graph import Adjacency, costly_vertices, without_vertices
from .loops import compiled, for_range, full, read, while_loop, write
from .orders import Permutation


def finish(
    pattern: SparsityPattern,
    colors: Int32[np.ndarray, " n"],
    stars: StarSet,
    postprocess: bool,
) -> tuple[Int32[np.ndarray, " n"], int, StarSet]:
    """The colors, neutral where they are not needed if `postprocess`, and the star set."""
    if not pattern.nnz:
        colors = np.full(pattern.n, -1, np.int32)
    elif postprocess:
        diagonal = pattern.rows[pattern.rows == pattern.cols]
        colors, stars = neutralize(colors, stars, diagonal)
    return colors, int(colors.max(initial=-1)) + 1, stars


def color_stars(
    graph: Adjacency,
    visits: Permutation,
    forced_colors: Int32[np.ndarray, " n"] | None = None,
    private: Int32[np.ndarray, " private"] | None = None,
    palette: Int32[np.ndarray, " n"] | None = None,
) -> tuple[Int32[np.ndarray, " n"], StarSet]:
    """Color the vertices in the given order, or keep `forced_colors`.

    Vertices in `private` get a color of their own each; by default those that would cost
    too much otherwise. With a `palette` of zeros and ones, vertices of different palettes
    have different colors.
    """
    n, num_edges = graph.neighbors.sizes.size, graph.lo.size
    if private is None:
        private = costly_vertices(graph)
        if forced_colors is not None:
            is_alone = np.bincount(forced_colors)[forced_colors[private]] == 1
            private = private[is_alone]
    is_private = np.zeros(n, bool)
    is_private[private] = True
    visits = visits[~is_private[visits]]
    neighbors, edge = without_vertices(graph, is_private)
    if forced_colors is None:
        forced_colors = np.full(n, -1, np.int32)
        forced_colors[private] = np.arange(private.size)
    palette, stride = (np.zeros(n, np.int32), 1) if palette is None else (palette, 2)
    colors, star, hub, num_stars = _star_coloring(
        visits,
        *neighbors,
        edge,
        np.zeros(num_edges, np.int32),
        forced_colors,
        palette + np.int32(private.size),
        stride,
        visits.size,
    )
    colors = np.where(is_private, forced_colors, colors[:n])
    # A vertex that shares its color with none is a hub to all of its neighbors.
    number = np.zeros(n, np.int32)
    number[private] = num_stars + np.arange(private.size)
    owner = np.where(is_private[graph.lo], graph.lo, graph.hi)
    star = np.where(is_private[owner], number[owner], star[:num_edges])
    hub = np.concatenate([hub[:num_stars], private])
    return colors, StarSet(star, hub, graph.lo, graph.hi, np.arange(num_edges))


@compiled
def _star_coloring(
    order: Int32[Array, " visits"],
    starts: Int32[Array, " bounds"],
    neighbors: Int32[Array, " nnz"],
    edge: Int32[Array, " nnz"],
    star: Int32[Array, " edges"],
    forced_colors: Int32[Array, " n"],
    lowest_color: Int32[Array, " n"],
    stride: Int32[Array, ""],
    count: Int32[Array, ""],
) -> tuple[
    Int32[Array, " n"], Int32[Array, " edges"], Int32[Array, " edges"], Int32[Array, ""]
]:
    """Algorithm 4.1 of Gebremedhin et al. (2007), in its symbols.

    Vertices are colored in `order`, each by one of `lowest_color + k * stride`;
    `forced_colors` other than -1 are taken as they are, and must be right.

    Marks are indexed by color plus one, so that vertices without color, -1, set one that is
    never read. They hold the vertex, or the position in its list, that set them last, and
    need no clearing.
    """

    def visit(t, state):
        colors, forbidden, first, star, hub, num_stars = state
        v = read(order, t)
        start, stop = read(starts, v), read(starts, v + 1)

        def place(mark):
            """Position in the list of `v` of the first neighbor that set this mark."""
            return jnp.where(mark < 0, -1 - mark, mark)

        def look_at_neighbor(e, state):
            forbidden, first = state
            c = read(colors, read(neighbors, e)) + 1
            earlier = place(read(first, c))
            is_repeated = (start <= earlier) & (earlier < e)
            first = write(first, c, jnp.where(is_repeated, -1 - earlier, e))
            return write(forbidden, c, v), first

        def forbid_around_neighbor(e, forbidden):
            # Paths x - w - v - q with q of the color of w: v may not have that of any x.
            # Paths v - w - x - y with y of the color of w: x is the hub of edge wx.
            w = read(neighbors, e)
            c = read(colors, w) + 1
            is_repeated = read(first, c) < 0

            def forbid(f, forbidden):
                x = read(neighbors, f)
                is_hub = read(hub, read(star, read(edge, f))) == x
                c = jnp.where(is_repeated | is_hub, read(colors, x) + 1, 0)
                return write(forbidden, c, v)

            last = jnp.where(c > 0, read(starts, w + 1), 0)
            return for_range(read(starts, w), last, forbid, forbidden)

        def join_star(e, state):
            star, hub, num_stars = state
            w = read(neighbors, e)
            c = read(colors, w) + 1
            last = jnp.where(c > 0, read(starts, w + 1), 0)

            def is_other(f):
                x = read(neighbors, f)
                return (f < last) & ((x == v) | (read(colors, x) != color))

            twin = while_loop(is_other, lambda f: f + 1, read(starts, w))
            earlier = place(read(first, c))
            joins_w, joins_v = twin < last, (c > 0) & (earlier < e)
            joined = read(star, read(edge, jnp.where(joins_w, twin, earlier)))
            is_new = ~joins_w & ~joins_v
            # What is written for a neighbor without color is overwritten later.
            star = write(star, read(edge, e), jnp.where(is_new, num_stars, joined))
            undecided = -1 - jnp.maximum(v, w)
            center = jnp.where(joins_w, w, jnp.where(joins_v, v, undecided))
            hub = write(hub, read(star, read(edge, e)), center)
            return star, hub, num_stars + (is_new & (c > 0)).astype(jnp.int32)

        forbidden, first = for_range(start, stop, look_at_neighbor, (forbidden, first))
        forbidden = for_range(start, stop, forbid_around_neighbor, forbidden)
        color = while_loop(
            lambda c: read(forbidden, c + 1) == v,
            lambda c: c + stride,
            read(lowest_color, v),
        )
        forced = read(forced_colors, v)
        color = jnp.where(forced < 0, color, forced)
        colors = write(colors, v, color)
        stars = for_range(start, stop, join_star, (star, hub, num_stars))
        return colors, forbidden, first, *stars

    n = forced_colors.size
    marks = full(2 * n + 2, -1), full(2 * n + 2, np.iinfo(np.int32).max)
    stars = star, full(star.size, -1), jnp.int32(0)
    state = for_range(0, count, visit, (full(n, -1), *marks, *stars))
    colors, _, _, star, hub, num_stars = state
    return colors, star, hub, num_stars


def neutralize(
    colors: Int32[np.ndarray, " n"],
    stars: StarSet,
    diagonal: Int32[np.ndarray, " diagonal"],
) -> tuple[Int32[np.ndarray, " n"], StarSet]:
    """Make colors neutral from which no entry is read; number the others again.

    Colors of hubs and of diagonal entries are needed. Where the hub of a star of one edge
    is open, an endpoint of a color that is needed anyway becomes the hub.
    """
    star, hub, edge_lo, edge_hi = stars.star, stars.hub, stars.edge_lo, stars.edge_hi
    num_colors = int(colors.max(initial=-1)) + 1
    needed = np.zeros(num_colors, np.int32)
    needed[colors[diagonal]] = 1
    needed[colors[hub[hub >= 0]]] = 1
    is_open = hub[star] < 0
    lo, hi = edge_lo[is_open], edge_hi[is_open]
    needed = _close_stars(colors[lo], colors[hi], needed, lo.size)[:num_colors] > 0
    hub = hub.copy()
    hub[star[is_open]] = np.where(needed[colors[lo]], lo, hi)
    renumbered = np.where(needed, np.cumsum(needed) - 1, -1).astype(np.int32)
    return renumbered[colors], StarSet(star, hub, edge_lo, edge_hi, stars.edge_pos)


@compiled
def _close_stars(
    lo: Int32[Array, " stars"],
    hi: Int32[Array, " stars"],
    needed: Int32[Array, " colors"],
    count: Int32[Array, ""],
) -> Int32[Array, " colors"]:
    """Add `hi` of each star to the needed colors, unless one of its colors is there."""

    def close(k, needed):
        c = read(hi, k)
        is_open = 1 - read(needed, read(lo, k))
        return write(needed, c, jnp.maximum(read(needed, c), is_open))

    return for_range(0, count, close, needed)
