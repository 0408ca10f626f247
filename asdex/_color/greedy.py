"""Greedy coloring of the columns or of the rows of a pattern."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32

from .._structure.matrices import PatternLike, as_pattern
from .graph import Bipartite, Lists, column_graph, row_graph
from .loops import (
    MOST_STEPS_IN_PYTHON,
    compiled,
    for_range,
    full,
    read,
    while_loop,
    write,
)
from .orders import AbstractOrder, LargestFirst, Permutation, own_colors

Colors = Int32[np.ndarray, " vertices"]


def color_cols(
    sparsity: PatternLike,
    *,
    order: AbstractOrder = LargestFirst(),  # noqa: B008 (immutable)
) -> tuple[Colors, int]:
    """Color the columns so that no two columns with an entry in one row share a color.

    All columns of one color can then be computed by one JVP. Columns are visited largest
    first, each takes the smallest color that is still free (greedy partial distance-2
    coloring: Gebremedhin, Manne, Pothen, "What Color Is Your Jacobian?", SIAM Review
    47(4), 2005, Algorithm 3.2).

    **Returns:** colors of shape `(n,)` and their number; a pattern without entries has
    0 colors, all of them -1.

    Cost: O(nnz * colors / 32).
    """
    graph = column_graph(as_pattern(sparsity))
    return color_in_order(graph, order.arrange(graph))


def color_rows(
    sparsity: PatternLike,
    *,
    order: AbstractOrder = LargestFirst(),  # noqa: B008 (immutable)
) -> tuple[Colors, int]:
    """Color the rows so that no two rows with an entry in one column share a color.

    All rows of one color can then be computed by one VJP. This is `color_cols` of the
    transposed pattern.
    """
    graph = row_graph(as_pattern(sparsity))
    return color_in_order(graph, order.arrange(graph))


def color_in_order(graph: Bipartite, visits: Permutation) -> tuple[Colors, int]:
    """Color the vertices of a bipartite graph in the given order."""
    nets, vertices = graph
    count = nets.sizes.size
    if not nets.items.size:
        return np.full(count, -1, np.int32), 0
    if vertices.sizes.max() == count:  # One net holds all vertices.
        return own_colors(visits), count
    num_nets = vertices.sizes.size
    if nets.items.size <= MOST_STEPS_IN_PYTHON:
        colors = _first_free_colors(visits, nets, num_nets)
    else:
        taken = np.zeros(num_nets, np.int32)
        colors = _first_free_colors_compiled(visits, *nets, taken, count, num_nets)[:count]
    return colors, int(colors.max()) + 1


def _first_free_colors(visits: Permutation, nets: Lists, num_nets: int) -> Colors:
    """Give each vertex in turn the smallest color that no vertex on its nets has.

    A set of colors is an integer with one bit for each.
    """
    starts, items = nets.starts.tolist(), nets.items.tolist()
    taken = [0] * num_nets
    colors = np.empty(visits.size, np.int32)
    chosen = []
    for v in visits.tolist():
        around = items[starts[v] : starts[v + 1]]
        forbidden = 0
        for net in around:
            forbidden |= taken[net]
        color = ~forbidden & (forbidden + 1)
        for net in around:
            taken[net] |= color
        chosen.append(color.bit_length() - 1)
    colors[visits] = chosen
    return colors


@compiled
def _first_free_colors_compiled(
    order: Int32[Array, " vertices"],
    starts: Int32[Array, " bounds"],
    nets: Int32[Array, " nnz"],
    taken: Int32[Array, " nets"],
    count: Int32[Array, ""],
    num_nets: Int32[Array, ""],
) -> Int32[Array, " vertices"]:
    """`_first_free_colors`, where sets of colors are single words.

    The first round gives colors from 0 to 31 to all vertices that can have one, the next
    one those from 32 to 63 to those left, and so on. The result is the same: whether a
    vertex gets a color depends on earlier vertices of that color alone.
    """

    def choose_all(state):
        colors, taken, lowest, num_left = state

        def choose(t, state):
            colors, taken, num_left = state
            v = read(order, t)
            first, last = read(starts, v), read(starts, v + 1)

            def forbid(state):
                e, word = state
                return e + 1, word | read(taken, read(nets, e))

            def add(e, taken):
                net = read(nets, e)
                return write(taken, net, read(taken, net) | own)

            # Nothing is absent where a vertex has its color.
            word = jnp.where(read(colors, v) < 0, 0, -1)
            word = while_loop(
                lambda state: (state[0] < last) & (state[1] != -1), forbid, (first, word)
            )[1]
            own = ~word & (word + 1)
            last = jnp.where(own == 0, first, last)
            color = jnp.where(own == 0, read(colors, v), lowest + 31 - lax.clz(own))
            num_left -= (own != 0).astype(jnp.int32)
            return write(colors, v, color), for_range(first, last, add, taken), num_left

        taken = for_range(0, num_nets, lambda net, taken: write(taken, net, 0), taken)
        colors, taken, num_left = for_range(0, count, choose, (colors, taken, num_left))
        return colors, taken, lowest + 32, num_left

    state = full(order.size, -1), taken, jnp.int32(0), count
    return while_loop(lambda state: state[3] > 0, choose_all, state)[0]
