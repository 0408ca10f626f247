"""Small sets of unknowns that have many entries in common."""

import numpy as np
from jaxtyping import Int64

from ...._structure.pattern import SparsityPattern

_PASSES = 12
"""Times that sets are joined in pairs. Each leaves some without a partner."""


def clusters(pattern: SparsityPattern, most: int) -> Int64[np.ndarray, " n"]:
    """A number for each unknown, equal for those of one set of at most `most`.

    Sets are joined in pairs, again and again: each chooses the one with which it has most
    entries in common, and two that choose each other become one (heavy edge matching, as
    in G. Karypis and V. Kumar, "A fast and high quality multilevel scheme for partitioning
    irregular graphs", SIAM J. Sci. Comput. 20 (1998)). Cost: a sort of the entries for
    each of the passes.
    """
    group = np.arange(pattern.n)
    rows, cols = pattern.rows.astype(np.int64), pattern.cols.astype(np.int64)
    weight = np.ones(rows.size, np.int64)
    for _ in range(_PASSES):
        sizes = np.bincount(group, minlength=pattern.n)
        # Sets that would become too large are left out, and so are loops.
        joins = (rows != cols) & (sizes[rows] + sizes[cols] <= most)
        if not joins.any():
            break
        a = np.concatenate([rows[joins], cols[joins]])
        b = np.concatenate([cols[joins], rows[joins]])
        count = np.concatenate([weight[joins]] * 2)
        key, inverse = np.unique(a * pattern.n + b, return_inverse=True)
        common = np.bincount(inverse, count).astype(np.int64)
        a, b = np.divmod(key, pattern.n)
        # Among equals a number decides that both ends compute alike, and that differs
        # from pair to pair: by their order, only one pair of a row of equals would agree.
        low, high = np.minimum(a, b), np.maximum(a, b)
        chance = (low * 2654435761 + high * 40503) % 1048573
        order = np.lexsort((chance, common, a))
        is_last = np.append(a[order][1:] != a[order][:-1], True)
        choice = np.full(pattern.n, -1)
        choice[a[order][is_last]] = b[order][is_last]
        (chosen,) = np.nonzero(choice >= 0)
        pairs = chosen[choice[choice[chosen]] == chosen]
        into = np.arange(pattern.n)
        into[pairs] = np.minimum(pairs, choice[pairs])
        group = into[group]
        key, inverse = np.unique(into[rows] * pattern.n + into[cols], return_inverse=True)
        weight = np.bincount(inverse, weight).astype(np.int64)
        rows, cols = np.divmod(key, pattern.n)
    return group
