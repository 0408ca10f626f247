"""Star coloring of symmetric patterns."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32

from .._structure.pattern import SparsityPattern
from .._structure.stars import StarSet
from .graph import Adjacency, Lists, without_vertices
from .loops import (
    MOST_STEPS_IN_PYTHON,
    compiled,
    for_range,
    read,
    while_loop,
    words_for,
    write,
)
from .orders import Permutation, own_colors

_LIKELY = 12
"""How many times the mean degree the number of colors seldom exceeds, so that sets of them
take less memory than the neighbor lists. One more program is compiled if it does."""


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
    private: Int32[np.ndarray, " private"] | None = None,
    side: Int32[np.ndarray, " n"] | None = None,
) -> Int32[np.ndarray, " n"]:
    """Color the vertices in the given order.

    Vertices in `private` get a color of their own each. In a bipartite graph, `side` is 0
    or 1 for each vertex, and different sides have different colors.
    """
    n = graph.neighbors.sizes.size
    if graph.is_complete:
        return own_colors(visits)
    private = np.zeros(0, np.int32) if private is None else private
    is_private = np.zeros(n, bool)
    is_private[private] = True
    neighbors = without_vertices(graph, is_private)[0]
    visits = visits[~is_private[visits]]
    is_small = neighbors.items.size <= MOST_STEPS_IN_PYTHON
    first_star_colors = _first_star_colors if is_small else _first_star_colors_compiled
    colors = first_star_colors(visits, neighbors, side is not None)
    if side is not None:
        colors = 2 * colors + side
    colors = colors + np.int32(private.size)
    colors[private] = np.arange(private.size, dtype=np.int32)
    return colors


def find_stars(graph: Adjacency, colors: Int32[np.ndarray, " n"]) -> StarSet:
    """The two-colored stars of a star coloring.

    The hub of a star is the vertex with several neighbors of one color. A star of a single
    edge is open: either end may be its hub.
    """
    lo, hi, num_colors = graph.lo, graph.hi, np.int64(colors.max(initial=-1) + 1)
    # The neighbors of one color around one vertex are a group.
    groups = np.concatenate([lo * num_colors + colors[hi], hi * num_colors + colors[lo]])
    if colors.size * num_colors <= 4 * groups.size:
        values = np.arange(colors.size * num_colors)
    else:
        values, groups = np.unique(groups, return_inverse=True)
    is_star = np.bincount(groups, minlength=values.size) > 1
    hub = (values[is_star] // max(1, num_colors)).astype(np.int32)
    number = np.cumsum(is_star, dtype=np.int32) - np.int32(1)
    at_lo, at_hi = groups[: lo.size], groups[lo.size :]
    star = number[np.where(is_star[at_lo], at_lo, at_hi)]
    is_open = ~(is_star[at_lo] | is_star[at_hi])
    star[is_open] = hub.size + np.arange(is_open.sum(), dtype=np.int32)
    hub = np.concatenate([hub, -1 - hi[is_open]])
    return StarSet(star, hub, lo, hi, np.arange(lo.size))


def _first_star_colors(
    visits: Permutation, neighbors: Lists, is_two_sided: bool
) -> Int32[np.ndarray, " n"]:
    """Algorithm 4.1 of Gebremedhin et al. (2007), with sets of colors.

    A vertex `v` may not have the color of a neighbor `w`. If other neighbors have the color
    of `w`, it may not have that of any neighbor of `w`, otherwise not that of a neighbor of
    `w` which is the hub of a star, having other neighbors of the color of `w`. So each
    vertex keeps the colors of its neighbors, those that are repeated there, and those of
    the hubs. A set is an integer with one bit for each color.
    """
    starts, items = neighbors.starts.tolist(), neighbors.items.tolist()
    color, around, repeated, hubs = ([0] * (len(starts) - 1) for _ in range(4))
    for v in visits.tolist():
        forbidden = 0 if is_two_sided else around[v]
        nearest = items[starts[v] : starts[v + 1]]
        for w in nearest:
            forbidden |= around[w] if color[w] & repeated[v] else color[w] and hubs[w]
        own = ~forbidden & (forbidden + 1)
        for w in nearest:
            if color[w] & repeated[v]:
                hubs[w] |= own
            if around[w] & own:
                hubs[v] |= color[w]
                if color[w] and not repeated[w] & own:
                    others = items[starts[w] : starts[w + 1]]
                    hubs[next(u for u in others if color[u] == own)] |= color[w]
                repeated[w] |= own
            around[w] |= own
        color[v] = own
    return np.array([own.bit_length() - 1 for own in color], np.int32)


def _first_star_colors_compiled(
    visits: Permutation, neighbors: Lists, is_two_sided: bool
) -> Int32[np.ndarray, " n"]:
    """`_first_star_colors`, with sets of as many words as turn out to be needed."""
    n, largest = neighbors.sizes.size, int(neighbors.sizes.max(initial=0))
    num_words = words_for(min(largest, _LIKELY * neighbors.items.size // max(1, n)))
    colors, sets = np.full(n, -1, np.int32), np.zeros((n, num_words, 3), np.int32)
    count, num_colored = visits.size, 0
    while num_colored < count:
        options = num_words, int(is_two_sided), num_colored, count
        colors, found, num_colored = _color_with_words(
            visits, *neighbors, colors, sets.reshape(-1), *options
        )
        sets = found[: sets.size].reshape(sets.shape)
        sets = np.pad(sets, ((0, 0), (0, num_words), (0, 0)))
        num_words, num_colored = 2 * num_words, int(num_colored)
    return colors[:n]


@compiled
def _color_with_words(
    order: Int32[Array, " visits"],
    starts: Int32[Array, " bounds"],
    neighbors: Int32[Array, " nnz"],
    colors: Int32[Array, " n"],
    sets: Int32[Array, " words"],
    num_words: Int32[Array, ""],
    is_two_sided: Int32[Array, ""],
    first: Int32[Array, ""],
    count: Int32[Array, ""],
) -> tuple[Int32[Array, " n"], Int32[Array, " words"], Int32[Array, ""]]:
    """Color the vertices in `order`, from the `first` on, until one finds no color in
    `num_words` words. Returns the colors, the sets, and how many vertices are colored.

    The three sets of a vertex are next to each other: words 0, 1, 2 from
    `3 * (v * num_words + c // 32)` on hold color `c` of vertex `v` around it, repeated, and
    of the hubs.
    """

    def visit(state):
        t, colors, sets, _ = state
        v = read(order, t)
        start, stop = read(starts, v), read(starts, v + 1)

        def bit(c):
            return jnp.where(c < 0, 0, jnp.int32(1) << (c & 31))

        def at(w, k):
            return 3 * (w * num_words + k)

        def is_repeated(c, sets):
            return (read(sets, at(v, c >> 5) + 1) & bit(c)) != 0

        def look_in_word(state):
            k = state[0] + 1

            def forbid(state):
                e, word = state
                w = read(neighbors, e)
                c = read(colors, w)
                seen = read(sets, at(w, k) + jnp.where(is_repeated(c, sets), 0, 2))
                return e + 1, word | jnp.where(c < 0, 0, seen)

            own = jnp.where(is_two_sided, 0, read(sets, at(v, k)))
            word = while_loop(
                lambda state: (state[0] < stop) & (state[1] != -1), forbid, (start, own)
            )[1]
            return k, ~word & (word + 1)

        k, own = while_loop(
            lambda state: (state[1] == 0) & (state[0] + 1 < num_words),
            look_in_word,
            (jnp.int32(-1), jnp.int32(0)),
        )
        color = 32 * k + 31 - lax.clz(own)
        colors = write(colors, v, color)

        def join(e, sets):
            # All that is read comes out of one loop, as in `orders._take_largest`.
            def look(_, state):
                w = read(neighbors, e)
                c, place, last = read(colors, w), at(w, k), read(starts, w + 1)
                is_second = (read(sets, place) & own) != 0
                is_third = (read(sets, place + 1) & own) != 0
                is_pair = is_second & ~is_third & (c >= 0)

                def is_other(f):
                    u = read(neighbors, f)
                    return (f < last) & ((u == v) | (read(colors, u) != color))

                other = while_loop(
                    is_other,
                    lambda f: f + 1,
                    jnp.where(is_pair, read(starts, w), last),
                )
                u = jnp.where(other < last, read(neighbors, other), v)
                of_hubs = jnp.where(is_second, bit(c), 0)
                of_w = jnp.where(is_repeated(c, sets), own, 0)
                of_ends = jnp.where(is_second, own, 0)
                return place, at(u, c >> 5), at(v, c >> 5), of_hubs, of_w, of_ends

            state = for_range(0, (own != 0).astype(jnp.int32), look, 6 * (jnp.int32(0),))
            place, at_u, at_v, of_hubs, of_w, of_ends = state

            # Several additions in a row would copy the array.
            def add(i, sets):
                of_w_itself = jnp.where(i == 0, own, jnp.where(i == 1, of_ends, of_w))
                into = jnp.where(i < 3, place + i, jnp.where(i == 3, at_u, at_v) + 2)
                added = jnp.where(i < 3, of_w_itself, of_hubs)
                return write(sets, into, read(sets, into) | added)

            return for_range(0, 5, add, sets)

        return t + 1, colors, for_range(start, stop, join, sets), own

    state = first, colors, sets, jnp.int32(1)
    state = while_loop(lambda state: (state[0] < count) & (state[-1] != 0), visit, state)
    num_colored, colors, sets, own = state
    return colors, sets, num_colored - (own == 0).astype(jnp.int32)


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
    needed = np.zeros(num_colors, bool)
    needed[colors[diagonal]] = True
    needed[colors[hub[hub >= 0]]] = True
    is_open = hub[star] < 0
    lo, hi = edge_lo[is_open], edge_hi[is_open]
    pairs = colors[lo] * np.int64(num_colors) + colors[hi]
    _, first = np.unique(pairs, return_index=True)
    for k in np.sort(first):
        if not needed[colors[lo[k]]]:
            needed[colors[hi[k]]] = True
    hub = hub.copy()
    hub[star[is_open]] = np.where(needed[colors[lo]], lo, hi)
    renumbered = np.where(needed, np.cumsum(needed) - 1, -1).astype(np.int32)
    return renumbered[colors], StarSet(star, hub, edge_lo, edge_hi, stars.edge_pos)
