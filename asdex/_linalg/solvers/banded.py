"""Banded matrices, by LAPACK on the host."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from ..._structure.pattern import SparsityPattern
from .backend import Backend, refuse
from .host import Host, HostSolution, Values, Vectors

_MAX_STORAGE = 2**28
"""Places in band storage above which a band is taken for a mistake: 2 GiB in float64."""


class Band(NamedTuple):
    """How many diagonals below the main one have entries, and how many above it.

    In the order of rows and columns alike in which `order[k]` comes at place `k`.
    """

    lower: int
    upper: int
    order: Int32[np.ndarray, " n"]

    @property
    def height(self) -> int:
        """Rows of LAPACK's band storage, with room for the fill above the band."""
        return 2 * self.lower + self.upper + 1


def plan_banded(pattern: SparsityPattern) -> Backend:
    """LU decomposition with partial pivoting in band storage.

    Cost: O(n l (l + u)) with `l` diagonals below the main one and `u` above it, in the
    order of `narrowest_band`. Raises `ValueError` if the band would fill gigabytes.
    """
    band = narrowest_band(pattern)
    place = np.empty_like(band.order)
    place[band.order] = np.arange(pattern.n)
    rows, cols = place[pattern.rows], place[pattern.cols]
    if band.height * pattern.n > _MAX_STORAGE:
        farthest = np.argsort(-np.abs(rows - cols))[:1]
        needs = "an order of the unknowns with all entries near the diagonal"
        refuse("banded", pattern, farthest, needs, "solver='superlu'")
    row_in_band = band.lower + band.upper + rows.astype(np.int64) - cols
    return Host(_Banded(band, cols * band.height + row_in_band))


def narrowest_band(pattern: SparsityPattern) -> Band:
    """The band in the given order of the unknowns or in one that makes it narrow.

    Fields of a problem in one dimension that stand one after another, or its periodic
    boundary, make a wide band of one that is narrow (Cuthill and McKee, "Reducing the
    bandwidth of sparse symmetric matrices", ACM '69). Cost: O(nnz).
    """
    given = _band(pattern, np.arange(pattern.n, dtype=np.int32))
    if given.lower <= 1 and given.upper <= 1:
        return given
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    ends = np.concatenate([pattern.rows, pattern.cols])
    other_ends = np.concatenate([pattern.cols, pattern.rows])
    graph = csr_array(
        (np.ones(ends.size, np.int8), (ends, other_ends)), shape=pattern.shape
    )
    found = _band(pattern, reverse_cuthill_mckee(graph, symmetric_mode=True))
    return min(given, found, key=lambda band: band.height)


def _band(pattern: SparsityPattern, order: Int32[np.ndarray, " n"]) -> Band:
    place = np.empty(pattern.n, np.int64)
    place[order] = np.arange(pattern.n)
    distance = place[pattern.cols] - place[pattern.rows]
    return Band(int(-distance.min(initial=0)), int(distance.max(initial=0)), order)


@dataclass(frozen=True, eq=False)
class _Banded:
    """Solves by `gbtrf` and `gbtrs`. `places` says where each entry goes in memory."""

    band: Band
    places: Int64[np.ndarray, " nnz"]

    def __call__(self, values: Values, rhs: Vectors, transposed: bool) -> HostSolution:
        from scipy.linalg.lapack import get_lapack_funcs

        lower, upper, order = self.band
        factor, substitute = get_lapack_funcs(("gbtrf", "gbtrs"), dtype=values.dtype)
        # Column by column, as Fortran has it.
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
