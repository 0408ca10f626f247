"""Banded matrices, by LAPACK on the host."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Inexact, Int32, Int64

from ..backend import Backend, refuse
from ..host.calls import Host, sign_and_logarithm
from ..host.store import HostDeterminant, Values, Vectors
from ..matching import Band, Facts

_MAX_STORAGE = 2**28
"""Elements of band storage above which a band is refused: 2 GiB in float64."""


def plan_banded(facts: Facts) -> Backend:
    """LU decomposition with partial pivoting in band storage.

    Cost: O(n l (l + u)) with `l` diagonals below the main one and `u` above it, in the
    order of `narrowest_band`. Raises `ValueError` if the band would fill gigabytes.
    """
    pattern, band = facts.pattern, facts.band
    place = np.empty_like(band.order)
    place[band.order] = np.arange(pattern.n)
    rows, cols = place[pattern.rows], place[pattern.cols]
    if band.height * pattern.n > _MAX_STORAGE:
        farthest = np.argsort(-np.abs(rows - cols))[:1]
        needs = "an order of the unknowns with all entries near the diagonal"
        refuse("banded", pattern, farthest, needs, "solver='superlu'")
    row_in_band = band.lower + band.upper + rows.astype(np.int64) - cols
    return Host(_Banded(band, cols * band.height + row_in_band))


@dataclass(frozen=True, eq=False)
class _Banded:
    """Factors by `gbtrf`. `places` are the positions of entries in memory."""

    band: Band
    places: Int64[np.ndarray, " nnz"]

    def factor(self, values: Values) -> "_BandedFactors | None":
        from scipy.linalg.lapack import get_lapack_funcs

        lower, upper, order = self.band
        (factor,) = get_lapack_funcs(("gbtrf",), dtype=values.dtype)
        # Column-major, as in Fortran.
        storage = np.zeros((order.size, self.band.height), values.dtype)
        storage.reshape(-1)[self.places] = values
        factors, pivots, info = factor(storage.T, lower, upper, overwrite_ab=True)
        return None if info > 0 else _BandedFactors(self.band, factors, pivots)


@dataclass(frozen=True, eq=False)
class _BandedFactors:
    """Solves by `gbtrs`."""

    band: Band
    factors: Inexact[np.ndarray, "height n"]
    pivots: Int32[np.ndarray, " n"]

    @property
    def nbytes(self) -> int:
        return self.factors.nbytes

    def solve(self, rhs: Vectors, transposed: bool) -> Vectors:
        from scipy.linalg.lapack import get_lapack_funcs

        lower, upper, order = self.band
        (substitute,) = get_lapack_funcs(("gbtrs",), dtype=rhs.dtype)
        ordered = np.take(rhs, order, axis=1).T
        solved, _ = substitute(
            self.factors, lower, upper, ordered, self.pivots, trans=int(transposed)
        )
        x = np.empty_like(rhs)
        x[:, order] = solved.T
        return x

    def slogdet(self) -> HostDeterminant:
        swaps = int(np.count_nonzero(self.pivots != np.arange(self.pivots.size)))
        return sign_and_logarithm(self.factors[self.band.lower + self.band.upper], swaps)
