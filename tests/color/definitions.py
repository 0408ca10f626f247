"""Definitions of valid colorings for small dense matrices, as plain loops.

Slower and more obvious still than the public `check_coloring_*`, which are tested by them.
"""

from collections.abc import Sequence
from itertools import combinations, pairwise, permutations, product

import numpy as np
from jaxtyping import Bool


def is_column_coloring(dense: Bool[np.ndarray, "m n"], colors: Sequence[int]) -> bool:
    """No two columns of one color have an entry in the same row."""
    return not any(
        colors[j] == colors[k] and (dense[:, j] & dense[:, k]).any()
        for j, k in combinations(range(dense.shape[1]), 2)
    )


def is_star_coloring(dense: Bool[np.ndarray, "n n"], colors: Sequence[int]) -> bool:
    """Neighbors differ, and no path of four vertices has only two colors."""
    vertices = range(dense.shape[0])
    for v, w in combinations(vertices, 2):
        if dense[v, w] and colors[v] == colors[w]:
            return False
    for path in permutations(vertices, 4):
        edges = all(dense[v, w] for v, w in pairwise(path))
        if edges and len({colors[v] for v in path}) < 3:
            return False
    return True


def star_chromatic_number(dense: Bool[np.ndarray, "n n"]) -> int:
    """The fewest colors of a star coloring, by trying all."""
    n = dense.shape[0]
    for count in range(1, n + 1):
        if any(
            is_star_coloring(dense, colors) for colors in product(range(count), repeat=n)
        ):
            return count
    return 0


def is_acyclic_coloring(dense: Bool[np.ndarray, "n n"], colors: Sequence[int]) -> bool:
    """Neighbors differ, and cutting off ends leaves nothing of what two colors induce."""
    n = dense.shape[0]
    if any(dense[v, w] and colors[v] == colors[w] for v, w in combinations(range(n), 2)):
        return False
    for pair in combinations(set(colors), 2):
        left = {v for v in range(n) if colors[v] in pair}
        while ends := [v for v in left if sum(dense[v, w] for w in left - {v}) <= 1]:
            left.remove(ends[0])
        if left:
            return False
    return True
