"""Recovery by substitution: entries that are differences of others.

With an acyclic coloring an element of the compressed matrix is the sum of one entry and of
entries that are known before it.
"""

from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Int32, Integer, UInt64

from .._base.index import IndexArray


class Substitution(eqx.Module):
    """How the entries of a symmetric matrix follow from the compressed one.

    Unknowns are the pairs of entries `(i, j)` and `(j, i)`, in the order of their levels.
    Each is read at one node of a tree and then known at another one: it is the number read
    less all that is known at the node it is read at. An immutable pytree without leaves.

    **Arguments:**

    - `bounds`: unknowns `bounds[k]:bounds[k + 1]` have level `k`.
    - `read_at`, `known_at`: the two nodes of each unknown, below `num_nodes`.
    - `entry`: an entry of the pattern where each unknown is read.
    - `unknown`: the unknown of each entry of the pattern, -1 on the diagonal.
    """

    ARRAYS: ClassVar = ("bounds", "read_at", "known_at", "entry", "unknown")

    _bounds: IndexArray = eqx.field(static=True)
    _read_at: IndexArray = eqx.field(static=True)
    _known_at: IndexArray = eqx.field(static=True)
    _entry: IndexArray = eqx.field(static=True)
    _unknown: IndexArray = eqx.field(static=True)
    num_nodes: int = eqx.field(static=True)

    def __init__(
        self,
        bounds: Integer[np.ndarray, " bounds"],
        read_at: Integer[np.ndarray, " unknowns"],
        known_at: Integer[np.ndarray, " unknowns"],
        entry: Integer[np.ndarray, " unknowns"],
        unknown: Integer[np.ndarray, " nnz"],
        num_nodes: int,
    ):
        self._bounds, self._read_at, self._known_at, self._entry, self._unknown = (
            IndexArray(np.asarray(array, np.int32))
            for array in (bounds, read_at, known_at, entry, unknown)
        )
        self.num_nodes = int(num_nodes)

    @property
    def arrays(self) -> dict[str, Int32[np.ndarray, " _"]]:
        """The index arrays by the names of the arguments."""
        return {name: getattr(self, f"_{name}").array for name in self.ARRAYS}

    @property
    def num_entries(self) -> int:
        """Number of entries of the pattern."""
        return self._unknown.array.size

    @property
    def num_levels(self) -> int:
        """How many steps follow each other."""
        return self._bounds.array.size - 1


def recovers(
    substitution: Substitution,
    values: UInt64[np.ndarray, " nnz"],
    sums: UInt64[np.ndarray, " nnz"],
) -> bool:
    """Whether the substitution finds the values of the entries from what is read of them.

    `sums` holds, for each entry, the element of the compressed matrix where it is read.
    For values drawn at random the answer is right but for one case in `2 ** 64`, since
    sums of 64-bit integers are exact modulo that number. Cost: O(nnz).
    """
    bounds, read_at, known_at, entry, unknown = substitution.arrays.values()
    count, nodes = read_at.size, substitution.num_nodes
    sizes_fit = known_at.size == entry.size == count and bounds.size > 0
    if not (sizes_fit and bounds[0] == 0 and bounds[-1] == count):
        return False
    limits = (read_at, nodes), (known_at, nodes), (entry, values.size)
    in_range = all(((array >= 0) & (array < limit)).all() for array, limit in limits)
    if not in_range or (np.diff(bounds) < 0).any() or unknown.max(initial=-1) >= count:
        return False
    # At a node everything has to be known before the one unknown that is read there.
    level = np.repeat(np.arange(substitution.num_levels), np.diff(bounds))
    last_known = np.full(nodes, -1)
    np.maximum.at(last_known, known_at, level)
    known = np.zeros(nodes, np.uint64)
    np.add.at(known, known_at, values[entry])
    is_direct = unknown < 0
    return bool(
        (last_known[read_at] < level).all()
        and (sums[entry] == values[entry] + known[read_at]).all()
        and (sums[is_direct] == values[is_direct]).all()
        and (values[~is_direct] == values[entry][unknown[~is_direct]]).all()
    )
