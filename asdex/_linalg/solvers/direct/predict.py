"""How long one factorization and one solve take, in microseconds.

Fitted to times in float64 on one core of a server, of which they are seldom off by half;
only their ratios matter. A call to the host takes 15 us, which all but `dense` have in
common.
"""

from ...._structure.pattern import SparsityPattern
from ..matching import Band, Facts
from .superlu import trial_factors


def time_dense(n: int) -> float:
    """By LAPACK: 200, 500, 1000 unknowns take 0.55, 3.5, 20 ms."""
    return 30 + 6e-3 * n**2 + 2e-5 * n**3


def time_banded(n: int, band: Band) -> float:
    """By LAPACK. The periodic Brusselator on 16 x 16, 32 x 32, 48 x 48 points, with 124,
    252, 380 diagonals, takes 0.37, 3.5, 16 ms; strips of a grid of 10 000 unknowns with 20,
    80, 160 diagonals 1.3, 4.9, 11.5 ms."""
    width = band.lower + band.upper
    return n * (5e-2 + 4e-3 * width + 2.6e-5 * band.lower * width)


def time_superlu(facts: Facts) -> float:
    """By SuperLU: the same problems take 0.74, 4.3, 11 ms and 3.9, 7.7, 8.8 ms, the dense
    ones twice to four times as long as by LAPACK.

    Cost: a decomposition of a matrix of this pattern.
    """
    entries, multiplications = trial_factors(facts)
    return 100 + 2.2e-2 * entries + 1.2e-4 * multiplications


def least_time_superlu(pattern: SparsityPattern) -> float:
    """A lower bound: without fill."""
    return 100 + 2.2e-2 * pattern.nnz
