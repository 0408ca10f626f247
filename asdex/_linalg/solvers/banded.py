"""Banded matrices, by LAPACK on the host."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from .backend import Backend, refuse
from .host import Host, HostSolution, Values, Vectors
from .matching import Band, Facts

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
    """Solves by `gbtrf` and `gbtrs`. `places` are the positions of entries in memory."""

    band: Band
    places: Int64[np.ndarray, " nnz"]

    def __call__(self, values: Values, rhs: Vectors, transposed: bool) -> HostSolution:
        from scipy.linalg.lapack import get_lapack_funcs

        lower, upper, order = self.band
        factor, substitute = get_lapack_funcs(("gbtrf", "gbtrs"), dtype=values.dtype)
        # Column-major, as in Fortran.
        storage = np.zeros((order.size, self.band.height), values.dtype)
        storage.reshape(-1)[self.places] = values
        factors, pivots, info = factor(storage.T, lower, upper, overwrite_ab=True)
        if info > 0:
            return rhs, True
        solved, _ = substitute(
            factors,
            lower,
            upper,
            np.take(rhs, order, axis=1).T,
            pivots,
            trans=int(transposed),
        )
        x = np.empty_like(rhs)
        x[:, order] = solved.T
        return x, False
