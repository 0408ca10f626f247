"""Banded matrices, by LAPACK on the host."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from .._pattern import SparsityPattern
from .backend import Backend, refuse
from .host import Columns, Host, HostSolution, Values

_MAX_STORAGE = 2**28
"""Places in band storage above which a band is taken for a mistake: 2 GiB in float64."""


def plan_banded(pattern: SparsityPattern) -> Backend:
    """LU decomposition with partial pivoting in band storage.

    Cost: O(n l (l + u)) with `l` diagonals below the main one and `u` above it.
    Raises `ValueError` if the band would fill gigabytes.
    """
    lower, upper = bandwidths(pattern)
    height = 2 * lower + upper + 1
    if height * pattern.n > _MAX_STORAGE:
        farthest = np.argsort(-np.abs(pattern.rows - pattern.cols))[:1]
        refuse(
            "banded", pattern, farthest, "all entries near the diagonal", "solver='superlu'"
        )
    row_in_band = lower + upper + pattern.rows.astype(np.int64) - pattern.cols
    return Host(_Band(lower, upper, pattern.n, pattern.cols * height + row_in_band))


def bandwidths(pattern: SparsityPattern) -> tuple[int, int]:
    """How many diagonals below the main one have entries, and how many above it."""
    distance = pattern.cols.astype(np.int64) - pattern.rows
    return int(-distance.min(initial=0)), int(distance.max(initial=0))


@dataclass(frozen=True, eq=False)
class _Band:
    """Solves by `gbtrf` and `gbtrs`. `places` says where each entry goes in memory."""

    lower: int
    upper: int
    n: int
    places: Int64[np.ndarray, " nnz"]

    def __call__(self, values: Values, columns: Columns, transposed: bool) -> HostSolution:
        from scipy.linalg.lapack import get_lapack_funcs

        factor, substitute = get_lapack_funcs(("gbtrf", "gbtrs"), dtype=values.dtype)
        # Column by column, as Fortran has it, with room for the fill above the band.
        band = np.zeros((self.n, 2 * self.lower + self.upper + 1), values.dtype)
        band.reshape(-1)[self.places] = values
        factors, pivots, info = factor(band.T, self.lower, self.upper, overwrite_ab=True)
        if info > 0:
            return columns, True
        x, _ = substitute(
            factors, self.lower, self.upper, columns, pivots, trans=int(transposed)
        )
        return x, False
