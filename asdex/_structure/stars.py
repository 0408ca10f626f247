"""`StarSet`: the stars of a symmetric coloring."""

import equinox as eqx
import numpy as np
from jaxtyping import Int32, Integer

from .._base.index import IndexArray, as_indices, counting_order

STAR_SET_ARRAYS = ("star", "hub", "edge_lo", "edge_hi", "edge_pos")


class StarSet(eqx.Module):
    """The two-colored stars into which a star coloring splits the edges of a graph.

    In a star coloring any two colors induce a forest of stars. The nonzero of an edge
    is read from the compressed matrix at the color of its star's *hub* and
    the row of the other endpoint. (Gebremedhin, Tarafdar, Manne, Pothen, "New Acyclic
    and Star Coloring Algorithms with Application to Computing Hessians", SIAM J. Sci.
    Comput. 29(3), 2007, section 4.)

    An immutable pytree without leaves, like `SparsityPattern`.

    **Arguments:**

    - `star`: number of the star that each edge belongs to, in order of discovery.
    - `hub`: hub of each star. A star of one edge has no decided hub; it holds
        `-(v + 1)`, where `v` is the larger endpoint.
    - `edge_lo`, `edge_hi`: endpoints of the edges, `edge_lo < edge_hi`, sorted
        lexicographically.
    - `edge_pos`: position in `star` of each of the sorted edges.

    **Raises:** `TypeError` unless all are integers; `ValueError` if lengths differ,
    indices are out of range or edges are not sorted.
    """

    _star: IndexArray = eqx.field(static=True)
    _hub: IndexArray = eqx.field(static=True)
    _edge_lo: IndexArray = eqx.field(static=True)
    _edge_hi: IndexArray = eqx.field(static=True)
    _edge_pos: IndexArray = eqx.field(static=True)

    def __init__(
        self,
        star: Integer[np.ndarray, " edges"],
        hub: Integer[np.ndarray, " stars"],
        edge_lo: Integer[np.ndarray, " edges"],
        edge_hi: Integer[np.ndarray, " edges"],
        edge_pos: Integer[np.ndarray, " edges"],
    ):
        edges = len(edge_pos)
        self._star = IndexArray(
            as_indices("star", star, 0, len(hub) - 1, f"for {len(hub)} hubs")
        )
        self._hub = IndexArray(as_indices("hub", hub))
        self._edge_lo = IndexArray(as_indices("edge_lo", edge_lo, 0))
        self._edge_hi = IndexArray(as_indices("edge_hi", edge_hi, 0))
        self._edge_pos = IndexArray(
            as_indices("edge_pos", edge_pos, 0, edges - 1, f"for {edges} edges")
        )
        lo, hi = self.edge_lo, self.edge_hi
        if not self.star.size == lo.size == hi.size == edges:
            raise ValueError(
                "star, edge_lo, edge_hi and edge_pos must have one element per edge. Got "
                f"lengths {self.star.size}, {lo.size}, {hi.size}, {edges}."
            )
        ascending = (lo[1:] > lo[:-1]) | ((lo[1:] == lo[:-1]) & (hi[1:] > hi[:-1]))
        if not (ascending.all() and (lo < hi).all()):
            raise ValueError(
                "The edges of a StarSet must have edge_lo < edge_hi and be sorted by "
                "(edge_lo, edge_hi) without repetition."
            )

    @property
    def star(self) -> Int32[np.ndarray, " edges"]:
        """Number of the star that each edge belongs to, in order of discovery."""
        return self._star.array

    @property
    def hub(self) -> Int32[np.ndarray, " stars"]:
        """Hub of each star, `-(v + 1)` where it is undecided."""
        return self._hub.array

    @property
    def edge_lo(self) -> Int32[np.ndarray, " edges"]:
        """Smaller endpoint of each edge."""
        return self._edge_lo.array

    @property
    def edge_hi(self) -> Int32[np.ndarray, " edges"]:
        """Larger endpoint of each edge."""
        return self._edge_hi.array

    @property
    def edge_pos(self) -> Int32[np.ndarray, " edges"]:
        """Position of each of the sorted edges in `star`."""
        return self._edge_pos.array

    def edge_index(self, i: int, j: int) -> int:
        """Position in `star` of the edge between `i` and `j`, in either order.

        Raises `KeyError` if there is no such edge. Cost: O(log edges).
        """
        lo, hi = min(i, j), max(i, j)
        first, last = np.searchsorted(self.edge_lo, [lo, lo + 1])
        k = first + np.searchsorted(self.edge_hi[first:last], hi)
        if k == last or self.edge_hi[k] != hi:
            raise KeyError((i, j))
        return int(self.edge_pos[k])

    def hub_vertex(self, i: int, j: int) -> int:
        """Hub of the star that the edge between `i` and `j` belongs to.

        Raises `KeyError` if there is no such edge.
        """
        hub = int(self.hub[self.star[self.edge_index(i, j)]])
        return hub if hub >= 0 else -hub - 1

    def hubs(
        self, i: Integer[np.ndarray, " pairs"], j: Integer[np.ndarray, " pairs"]
    ) -> Int32[np.ndarray, " pairs"]:
        """`hub_vertex` of many pairs at once, -1 where there is no such edge.

        Cost: a search for each pair; O(pairs) for those of the entries of the graph's
        matrix in row-major order.
        """
        if not self.star.size:
            return np.full(i.shape, -1, np.int32)
        hub = self.hub[self.star[self.edge_pos]]
        hub = np.append(np.where(hub < 0, -hub - 1, hub), np.int32(-1))
        found = np.empty(i.shape, np.int32)
        above, below = np.flatnonzero(i < j), np.flatnonzero(i >= j)
        below = below[counting_order(j[below], 1 + int(j.max(initial=0)))]
        found[above] = hub[self._find(i[above], j[above])]
        found[below] = hub[self._find(j[below], i[below])]
        return found

    def _find(
        self, lo: Integer[np.ndarray, " pairs"], hi: Integer[np.ndarray, " pairs"]
    ) -> Integer[np.ndarray, " pairs"]:
        """Number of each pair among the sorted edges, -1 where there is no such edge."""
        if np.array_equal(lo, self.edge_lo) and np.array_equal(hi, self.edge_hi):
            return np.arange(lo.size)
        stride = np.int64(1 + max(self.edge_hi.max(initial=0), hi.max(initial=0)))
        edges, wanted = self.edge_lo * stride + self.edge_hi, lo * stride + hi
        edge = np.minimum(np.searchsorted(edges, wanted), edges.size - 1)
        return np.where(edges[edge] == wanted, edge, -1)

    def __hash__(self) -> int:
        return hash((self._star, self._hub, self._edge_lo, self._edge_hi))

    def __repr__(self) -> str:
        return f"StarSet(edges={self.star.size}, stars={self.hub.size})"
