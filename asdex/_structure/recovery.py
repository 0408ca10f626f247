"""Recovery by substitution: entries that are differences of others.

With an acyclic coloring an element of the compressed matrix is the sum of one entry and of
entries that are known before it. Level by level, all entries of a level at once, the
known ones are subtracted. Rounding errors add up along the levels: an entry is accurate
relative to the largest of those it was worked out from, not relative to itself.
"""

import itertools
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32, Integer, Num, UInt64

from .._base.index import IndexArray

_UNROLLED = 8
"""Levels that get code of their own. The first are by far the largest in most graphs,
whereas a path has as many levels as a quarter of its vertices, of two edges each."""


class Substitution(eqx.Module):
    """How the entries of a symmetric matrix follow from the compressed one.

    Unknowns are the pairs of entries `(i, j)` and `(j, i)`, in the order of their levels.
    Each is read at one node of a tree and then known at another one: it is what is read
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
            IndexArray(np.array(array, np.int32))
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


def substitute(
    direct: Num[Array, " nnz"], substitution: Substitution
) -> Num[Array, " nnz"]:
    """The values of the entries, of which `direct` holds those at leaves and the sums."""
    bounds, read_at, known_at, entry, unknown = substitution.arrays.values()
    sums = direct[entry]
    known = jnp.zeros(substitution.num_nodes + 1, direct.dtype)
    pieces = []
    for start, stop in itertools.pairwise(bounds[: _UNROLLED + 1].tolist()):
        values = sums[start:stop] - known[read_at[start:stop]]
        known = known.at[known_at[start:stop]].add(values)
        pieces.append(values)
    if substitution.num_levels > _UNROLLED:
        rest = slice(bounds[_UNROLLED], None)
        deeper = bounds[_UNROLLED:] - bounds[_UNROLLED]
        pieces.append(
            _substitute_deeper(sums[rest], known, read_at[rest], known_at[rest], deeper)
        )
    if not pieces:
        return direct
    return jnp.where(unknown < 0, direct, jnp.concatenate(pieces)[unknown])


def _substitute_deeper(
    sums: Num[Array, " unknowns"],
    known: Num[Array, " nodes"],
    read_at: Int32[np.ndarray, " unknowns"],
    known_at: Int32[np.ndarray, " unknowns"],
    bounds: Int32[np.ndarray, " bounds"],
) -> Num[Array, " unknowns"]:
    """Levels of similar sizes, by a loop over windows as long as the largest of them.

    What lies in a window beyond its level is moved to the last node, which is nobody's,
    and overwritten by the next level.
    """
    width = int(np.diff(bounds).max())
    nobody = known.size - 1
    padded = jnp.pad(sums, (0, width))
    read_nodes, known_nodes = (
        jnp.asarray(np.pad(nodes, (0, width), constant_values=nobody))
        for nodes in (read_at, known_at)
    )
    limits = jnp.asarray(bounds)

    def level(
        k: Integer[Array, ""], state: tuple[Num[Array, " padded"], Num[Array, " nodes"]]
    ) -> tuple[Num[Array, " padded"], Num[Array, " nodes"]]:
        values, known = state
        start = limits[k]
        inside = jnp.arange(width, dtype=jnp.int32) < limits[k + 1] - start
        at, then = (
            jnp.where(inside, lax.dynamic_slice(nodes, (start,), (width,)), nobody)
            for nodes in (read_nodes, known_nodes)
        )
        found = lax.dynamic_slice(padded, (start,), (width,)) - known[at]
        known = known.at[then].add(found)
        return lax.dynamic_update_slice(values, found, (start,)), known

    count = bounds.size - 1
    values, _ = lax.fori_loop(0, count, level, (jnp.zeros_like(padded), known))
    return values[: sums.size]
