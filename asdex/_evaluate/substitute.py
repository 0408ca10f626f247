"""Substitution: the values of entries that are differences of others.

Level by level, all entries of a level at once, the known ones are subtracted. Rounding
errors add up along the levels: an entry is accurate relative to the largest of those it was
computed from, not relative to itself.
"""

import itertools

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32, Integer, Num

from .._structure.recovery import Substitution

_UNROLLED = 8
"""Levels that are written out. The first are by far the largest in most graphs,
whereas a path has as many levels as a quarter of its vertices, of two edges each."""


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

    What lies in a window beyond its level is moved to the last node, which is unused,
    and overwritten by the next level.
    """
    width = int(np.diff(bounds).max())
    unused = known.size - 1
    padded = jnp.pad(sums, (0, width))
    read_nodes, known_nodes = (
        jnp.asarray(np.pad(nodes, (0, width), constant_values=unused))
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
            jnp.where(inside, lax.dynamic_slice(nodes, (start,), (width,)), unused)
            for nodes in (read_nodes, known_nodes)
        )
        found = lax.dynamic_slice(padded, (start,), (width,)) - known[at]
        known = known.at[then].add(found)
        return lax.dynamic_update_slice(values, found, (start,)), known

    count = bounds.size - 1
    values, _ = lax.fori_loop(0, count, level, (jnp.zeros_like(padded), known))
    return values[: sums.size]
