"""Greedy coloring of the columns or of the rows of a pattern."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32

from .._structure.matrices import PatternLike, as_pattern
from .graph import Bipartite, column_graph, dense_nets, row_graph
from .loops import (
    add_to_set,
    compiled,
    for_range,
    full,
    read,
    smallest_absent,
    words_for,
    write,
)
from .orders import AbstractOrder, LargestFirst, Permutation

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

    Cost: O(sum of the squared row sizes); a row too dense for that costs
    O(size * colors / 32).
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
        colors = np.empty(count, np.int32)
        colors[visits] = np.arange(count, dtype=np.int32)
        return colors, count
    dense = dense_nets(graph)
    dense_sets = np.zeros((1 + dense.sum()) * words_for(count), np.int32)
    dense_number = np.where(dense, np.cumsum(dense), 0).astype(np.int32)
    colors, num_colors = _first_free_colors(
        visits, *nets, *vertices, dense_number, dense_sets, count
    )
    return colors[:count], int(num_colors)


@compiled
def _first_free_colors(
    order: Int32[Array, " vertices"],
    starts: Int32[Array, " bounds"],
    nets: Int32[Array, " nnz"],
    net_starts: Int32[Array, " net_bounds"],
    vertices: Int32[Array, " nnz"],
    dense: Int32[Array, " nets"],
    dense_sets: Int32[Array, " words"],
    count: Int32[Array, ""],
) -> tuple[Int32[Array, " vertices"], Int32[Array, ""]]:
    """Give each vertex in turn the smallest color that no vertex on its nets has.

    Number `k > 0` of the dense nets keeps its set of colors in the words from
    `k * stride` on, where `stride` is enough for `count` colors.
    """
    stride = words_for(count)

    def visit(t, state):
        colors, sets, forbidden, num_colors = state
        v = read(order, t)
        num_words = words_for(num_colors)
        forbidden = for_range(
            0, num_words, lambda k, forbidden: write(forbidden, k, 0), forbidden
        )

        def forbid_net(e, forbidden):
            net = read(nets, e)
            is_dense = read(dense, net) > 0
            offset = read(dense, net) * stride

            def forbid_vertex(f, forbidden):
                return add_to_set(forbidden, 0, read(colors, read(vertices, f)))

            def forbid_word(k, forbidden):
                word = read(forbidden, k) | read(sets, offset + k)
                return write(forbidden, k, word)

            start, stop = read(net_starts, net), read(net_starts, net + 1)
            stop = jnp.where(is_dense, start, stop)
            forbidden = for_range(start, stop, forbid_vertex, forbidden)
            return for_range(0, jnp.where(is_dense, num_words, 0), forbid_word, forbidden)

        def add_to_net(e, sets):
            return add_to_set(sets, read(dense, read(nets, e)) * stride, color)

        first, last = read(starts, v), read(starts, v + 1)
        forbidden = for_range(first, last, forbid_net, forbidden)
        color = smallest_absent(forbidden)
        sets = for_range(first, last, add_to_net, sets)
        colors = write(colors, v, color)
        return colors, sets, forbidden, jnp.maximum(num_colors, color + 1)

    colors = full(order.size, -1)
    forbidden = full(int(words_for(order.size)), 0)
    state = colors, dense_sets, forbidden, jnp.int32(0)
    colors, _, _, num_colors = for_range(0, count, visit, state)
    return colors, num_colors
