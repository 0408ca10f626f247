"""The order in which the entries of an acyclic coloring can be computed."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Int64

from .._base.errors import InvalidColoringError
from .._base.index import EntryIndices
from .._structure.pattern import SparsityPattern
from .._structure.recovery import Substitution
from .graph import Adjacency, adjacency, edge_numbers
from .loops import MOST_STEPS_IN_PYTHON, compiled, for_range, full, read, while_loop, write

_STEPS_PER_END = 4
"""Steps of a loop in Python at each end of an edge."""


def plan_substitution(
    sparsity: SparsityPattern,
    colors: Int32[np.ndarray, " n"],
    graph: Adjacency | None = None,
) -> Substitution:
    """Remove the edges of the two-colored trees, from the leaves on.

    A vertex `v` is in one tree for each color `c` around it. It is a node there, and
    the element `(c, v)` of the compressed matrix is the sum of the entries at the edges of
    that node. At a leaf this is one entry. Once it is known the edge can be removed, until
    the next node is a leaf. `graph` is that of the pattern, if it is at hand.

    **Raises:** `InvalidColoringError` if two colors induce a cycle.
    """
    graph = adjacency(sparsity) if graph is None else graph
    lo, hi, num_edges = graph.lo, graph.hi, graph.lo.size
    k = np.int64(1) + colors.max(initial=0)
    keys = np.concatenate([lo * k + colors[hi], hi * k + colors[lo]])
    num_nodes, ends = _numbered(keys, int(k) * colors.size)
    degrees = np.bincount(ends, minlength=num_nodes + 1).astype(np.int32)
    at_lo, at_hi = ends[:num_edges], ends[num_edges:]
    is_small = _STEPS_PER_END * ends.size <= MOST_STEPS_IN_PYTHON
    node, level = (_cut_trees if is_small else _cut_trees_compiled)(at_lo, at_hi, degrees)
    for edge in np.flatnonzero(node < 0)[:1]:
        raise InvalidColoringError(
            f"Entry ({lo[edge]}, {hi[edge]}) cannot be recovered: it lies on a cycle of "
            "two colors."
        )
    edges = np.argsort(level, kind="stable")
    bounds = np.searchsorted(level[edges], np.arange(level.max(initial=-1) + 2))
    rank = np.empty(num_edges, np.int32)
    rank[edges] = np.arange(num_edges, dtype=np.int32)

    edge_of = edge_numbers(graph, sparsity)
    # An edge is read at the node of `v`, in the row `v` of the matrix.
    reader = np.where(node == at_lo, lo, hi)
    entries = np.flatnonzero(edge_of >= 0)
    entries = entries[reader[edge_of[entries]] == sparsity.rows[entries]]
    entry = np.empty(num_edges, np.int32)
    entry[edge_of[entries]] = entries
    known_at = at_lo + at_hi - node
    return Substitution(
        bounds,
        node[edges],
        known_at[edges],
        entry[edges],
        np.append(rank, -1)[edge_of],
        num_nodes,
    )


def _numbered(
    keys: Int64[np.ndarray, " keys"], bound: int
) -> tuple[int, Int32[np.ndarray, " keys"]]:
    """How many keys there are, which are less than `bound`, and the number of each among
    them in ascending order."""
    if bound > 4 * keys.size:
        distinct, numbers = np.unique(keys, return_inverse=True)
        return distinct.size, numbers.astype(np.int32)
    occurs = np.zeros(bound, bool)
    occurs[keys] = True
    numbers = np.cumsum(occurs, dtype=np.int32) - np.int32(1)
    return int(np.count_nonzero(occurs)), numbers[keys]


def _cut_trees(
    lo: EntryIndices, hi: EntryIndices, degrees: Int32[np.ndarray, " nodes"]
) -> tuple[EntryIndices, EntryIndices]:
    """The leaf at which each edge is removed, -1 if at none, and its level.

    The edges left at a node are kept as the exclusive or of their numbers: when one is
    left, that is its number.
    """
    left, height, degree = [0] * degrees.size, [0] * degrees.size, degrees.tolist()
    ends = list(zip(lo.tolist(), hi.tolist(), strict=True))
    for e, (v, w) in enumerate(ends):
        left[v] ^= e
        left[w] ^= e
    node, level = np.full(lo.size, -1, np.int32), np.zeros(lo.size, np.int32)
    queue = np.flatnonzero(degrees == 1).tolist()
    for v in queue:
        if degree[v] == 0:  # The last node of a tree.
            continue
        e = left[v]
        other = sum(ends[e]) - v
        node[e], level[e] = v, height[v]
        left[other] ^= e
        height[other] = max(height[other], height[v] + 1)
        degree[other] -= 1
        if degree[other] == 1:
            queue.append(other)
    return node, level


def _cut_trees_compiled(
    lo: EntryIndices, hi: EntryIndices, degrees: Int32[np.ndarray, " nodes"]
) -> tuple[EntryIndices, EntryIndices]:
    """The same as compiled code, for larger graphs."""
    queue, leaves = np.zeros_like(degrees), np.flatnonzero(degrees == 1)
    queue[: leaves.size] = leaves
    node, level = _cut(lo, hi, degrees, queue, leaves.size, lo.size, degrees.size - 1)
    return node[: lo.size], level[: lo.size]


@compiled
def _cut(
    lo: Int32[Array, " edges"],
    hi: Int32[Array, " edges"],
    degrees: Int32[Array, " nodes"],
    queue: Int32[Array, " nodes"],
    num_leaves: Int32[Array, ""],
    num_edges: Int32[Array, ""],
    num_nodes: Int32[Array, ""],
) -> tuple[Int32[Array, " edges_and_one"], Int32[Array, " edges_and_one"]]:
    """`_cut_trees`, where the queue begins with all leaves. Behind the edges and the nodes
    is one of each that is nowhere."""

    def add_edge(e, left):
        left = write(left, read(lo, e), read(left, read(lo, e)) ^ e)
        return write(left, read(hi, e), read(left, read(hi, e)) ^ e)

    def has_more(state):
        return state[0] < state[1]

    def cut(state):
        head, tail, queue, degrees, left, height, node, level = state
        v = read(queue, head)

        # All that is read comes out of one loop, as in `orders._take_largest`. The last
        # node of a tree has no edge left, and what it would cut is nowhere.
        def look(_, state):
            e = read(left, v)
            return e, read(lo, e) + read(hi, e) - v, read(height, v), v

        is_leaf = read(degrees, v)
        state = num_edges, num_nodes, jnp.int32(0), jnp.int32(-1)
        e, other, depth, leaf = for_range(0, is_leaf, look, state)
        node, level = write(node, e, leaf), write(level, e, depth)
        left = write(left, other, read(left, other) ^ e)
        height = write(height, other, jnp.maximum(read(height, other), depth + 1))
        degrees = write(degrees, other, read(degrees, other) - 1)
        queue = write(queue, tail, other)
        tail = tail + (read(degrees, other) == 1).astype(jnp.int32)
        return head + 1, tail, queue, degrees, left, height, node, level

    left = for_range(0, num_edges, add_edge, full(degrees.size, 0))
    node, level = full(lo.size + 1, -1), full(lo.size + 1, 0)
    height = full(degrees.size, 0)
    state = jnp.int32(0), num_leaves, queue, degrees, left, height, node, level
    return while_loop(has_more, cut, state)[6:]
