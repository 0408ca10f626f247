"""Orders in which greedy colorings visit the vertices.

An order is a value, such as `SmallestLast()`. All of them are defined on a bipartite graph,
where two vertices on one net are neighbors, counted once for each net they share: the
number without repetitions costs as much as a coloring. For a symmetric pattern the nets
are its edges, and nothing is counted twice.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Int64

from .graph import Bipartite
from .loops import (
    MOST_STEPS_IN_PYTHON,
    compiled,
    for_range,
    full,
    read,
    while_loop,
    write,
)

Permutation = Int32[np.ndarray, " vertices"]


class AbstractOrder(eqx.Module):
    """An order in which a greedy coloring visits the vertices of a graph."""

    @abstractmethod
    def arrange(self, graph: Bipartite) -> Permutation:
        """The vertices in this order."""


class NaturalOrder(AbstractOrder):
    """By index."""

    def arrange(self, graph: Bipartite) -> Permutation:
        return np.arange(graph.nets.sizes.size, dtype=np.int32)


class LargestFirst(AbstractOrder):
    """By descending degree, equal ones by index (Welsh, Powell, 1967)."""

    def arrange(self, graph: Bipartite) -> Permutation:
        return np.argsort(-_degrees(graph), kind="stable").astype(np.int32)


class SmallestFirst(AbstractOrder):
    """By ascending degree, equal ones by index.

    For symmetric matrices, and both sides of others, in which a few vertices have most of
    the neighbors: these come last, when all others have few colors. Largest first, each of
    them would forbid a color to thousands; power laws take up to three times as many.
    """

    def arrange(self, graph: Bipartite) -> Permutation:
        return np.argsort(_degrees(graph), kind="stable").astype(np.int32)


class RandomOrder(AbstractOrder):
    """A random permutation, the same for equal seeds."""

    seed: int = 0

    def arrange(self, graph: Bipartite) -> Permutation:
        count = graph.nets.sizes.size
        return np.random.default_rng(self.seed).permutation(count).astype(np.int32)


class SmallestLast(AbstractOrder):
    """The last vertex has the fewest neighbors, the one before it the fewest if the last
    is removed, and so on (Matula, Marble, Isaacson, 1972).

    A distance-1 coloring in this order needs at most one color more than the largest
    degree that occurs on the way.
    """

    def arrange(self, graph: Bipartite) -> Permutation:
        graph = _without_dense_nets(graph)
        degrees = _degrees(graph)
        return _arrange(graph, degrees.max(initial=0) - degrees, 1)[::-1]


class IncidenceDegree(AbstractOrder):
    """The next vertex has the most neighbors already visited (Coleman, More, 1983)."""

    def arrange(self, graph: Bipartite) -> Permutation:
        graph = _without_dense_nets(graph)
        return _arrange(graph, np.zeros_like(_degrees(graph)), 1)


class DynamicLargestFirst(AbstractOrder):
    """The next vertex has the most neighbors not yet visited (Gebremedhin, Nguyen,
    Patwary, Pothen, "ColPack", ACM TOMS 40(1), 2013, section 3)."""

    def arrange(self, graph: Bipartite) -> Permutation:
        graph = _without_dense_nets(graph)
        return _arrange(graph, _degrees(graph), -1)


def own_colors(visits: Permutation) -> Int32[np.ndarray, " vertices"]:
    """A color for each vertex alone, in the given order."""
    colors = np.empty(visits.size, np.int32)
    colors[visits] = np.arange(visits.size, dtype=np.int32)
    return colors


def _degrees(graph: Bipartite) -> Int64[np.ndarray, " vertices"]:
    nets, vertices = graph
    others = np.concatenate([[0], np.cumsum((vertices.sizes - 1)[nets.items])])
    return others[nets.starts[1:]] - others[nets.starts[:-1]]


def _without_dense_nets(graph: Bipartite) -> Bipartite:
    """The graph without the nets that are too long to be walked for each of their vertices.

    An order may ignore those, since they change the keys of nearly all vertices. A walk
    along any other net takes no longer than a scan of 16 times as many bits.
    """
    nets, vertices = graph
    longest, count = int(vertices.sizes.max(initial=0)), nets.sizes.size
    is_dense = vertices.sizes > max(64, longest // 16, count // 512)
    if not is_dense.any():
        return graph
    on_dense = np.repeat(is_dense, vertices.sizes)
    return Bipartite(nets.keep(~is_dense[nets.items]), vertices.keep(~on_dense))


def _arrange(
    graph: Bipartite, keys: Int64[np.ndarray, " vertices"], step: int
) -> Permutation:
    """Take the vertex with the largest key, add `step` to its neighbors' keys, repeat."""
    count, highest = keys.size, int(keys.max(initial=0))
    if step > 0:
        highest = int((keys + _degrees(graph)).max(initial=0))
    if graph.walk <= MOST_STEPS_IN_PYTHON:
        return _take_largest(graph, keys, highest, step)
    order = _take_largest_compiled(
        *graph.nets,
        *graph.vertices,
        keys.astype(np.int32),
        *_rings(keys, highest),
        highest,
        step,
        count,
    )
    return order[:count]


def _take_largest(
    graph: Bipartite, keys: Int64[np.ndarray, " vertices"], highest: int, step: int
) -> Permutation:
    """The bucket queue behind `_arrange`. Taken vertices have the key -1. A vertex whose
    key changes stays in its old bucket, too, and is ignored there."""
    starts, nets = graph.nets.starts.tolist(), graph.nets.items.tolist()
    net_starts, vertices = graph.vertices.starts.tolist(), graph.vertices.items.tolist()
    key: list[int] = keys.tolist()
    buckets: list[list[int]] = [[] for _ in range(highest + 1)]
    for v in reversed(range(len(key))):
        buckets[key[v]].append(v)
    order, top = [], highest
    while len(order) < len(key):
        while not buckets[top]:
            top -= 1
        v = buckets[top].pop()
        if key[v] != top:
            continue
        key[v] = -1
        order.append(v)
        for net in nets[starts[v] : starts[v + 1]]:
            for u in vertices[net_starts[net] : net_starts[net + 1]]:
                if key[u] >= 0:
                    key[u] += step
                    buckets[key[u]].append(u)
                    top = max(top, key[u])
    return np.array(order, np.int32)


def _rings(
    keys: Int64[np.ndarray, " vertices"], highest: int
) -> tuple[Int32[np.ndarray, " nodes"], Int32[np.ndarray, " nodes"]]:
    """For each key a ring of the vertices that have it: the nodes after and before each.

    Node `v < keys.size` is a vertex, node `keys.size + key` the anchor of a ring, and the
    last node is a ring by itself.
    """
    anchors = np.arange(highest + 2)
    node_keys = np.concatenate([keys, anchors])
    nodes = np.concatenate([np.arange(keys.size) + anchors.size, anchors])
    ring = np.lexsort((nodes, node_keys))
    is_last = np.diff(node_keys[ring], append=highest + 2) > 0
    following = np.where(is_last, keys.size + node_keys[ring], np.roll(ring, -1))
    after, before = np.empty((2, ring.size), np.int32)
    after[ring] = following
    before[following] = ring
    return after, before


@compiled
def _take_largest_compiled(
    starts: Int32[Array, " bounds"],
    nets: Int32[Array, " nnz"],
    net_starts: Int32[Array, " net_bounds"],
    vertices: Int32[Array, " nnz"],
    keys: Int32[Array, " vertices"],
    after: Int32[Array, " nodes"],
    before: Int32[Array, " nodes"],
    highest: Int32[Array, ""],
    step: Int32[Array, ""],
    count: Int32[Array, ""],
) -> Int32[Array, " vertices"]:
    """`_take_largest`, where the buckets are the rings of `_rings`."""
    nowhere = count + highest + 1

    def take(t, state):
        keys, after, before, top, order = state

        def look(state):
            key, _, _ = state
            first = read(after, count + key - 1)
            return key - 1, first, read(after, first)

        top, v, second = while_loop(
            lambda state: state[1] >= count, look, look((top + 1, nowhere, nowhere))
        )
        anchor = count + top
        after, before = write(after, anchor, second), write(before, second, anchor)
        keys = write(keys, v, -1)

        def touch(f, state):
            keys, after, before, top = state
            u = read(vertices, f)
            key = read(keys, u)

            # A taken vertex moves no other vertex. (All that is read comes
            # out of one loop, so that the compiler cannot read again after a write.)
            def look_around(_, state):
                moved = key + step
                second = read(after, count + moved)
                return moved, u, read(after, u), read(before, u), second

            is_open = (key >= 0).astype(jnp.int32)
            state = jnp.int32(-1), *4 * (nowhere,)
            moved, node, follower, leader, second = for_range(
                0, is_open, look_around, state
            )
            anchor = jnp.where(moved < 0, nowhere, count + moved)
            after = write(after, leader, follower)
            after = write(write(after, node, second), anchor, node)
            before = write(before, follower, leader)
            before = write(write(before, node, anchor), second, node)
            return write(keys, u, moved), after, before, jnp.maximum(top, moved)

        def touch_net(e, state):
            net = read(nets, e)
            start, stop = read(net_starts, net), read(net_starts, net + 1)
            return for_range(start, stop, touch, state)

        state = keys, after, before, top
        state = for_range(read(starts, v), read(starts, v + 1), touch_net, state)
        return *state, write(order, t, v)

    state = keys, after, before, highest, full(keys.size, 0)
    return for_range(0, count, take, state)[4]
