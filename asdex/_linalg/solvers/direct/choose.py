"""Which solver suits a pattern."""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

import numpy as np

from ...._structure.pattern import SparsityPattern
from ..backend import Backend, Singular
from ..matching import Facts
from .banded import plan_banded
from .blocks import plan_block_diagonal, plan_dense
from .cusolver import on_device, plan_cusolver
from .diagonal import plan_diagonal, plan_tridiagonal
from .klu import plan_klu
from .predict import least_time_superlu, time_banded, time_dense, time_superlu
from .superlu import plan_superlu
from .triangular import plan_triangular

DirectName: TypeAlias = Literal[
    "auto",
    "diagonal",
    "tridiagonal",
    "banded",
    "block_diagonal",
    "triangular",
    "dense",
    "superlu",
    "klu",
    "cusolver",
]
"""A direct solver; `"auto"` chooses by the pattern."""

SOLVERS: tuple[str, ...] = get_args(DirectName)

Planner: TypeAlias = Callable[[Facts], Backend]
"""Makes a back end for a square pattern that can hold a nonsingular matrix."""

_PLANNERS: dict[str, Planner] = {
    "diagonal": plan_diagonal,
    "tridiagonal": plan_tridiagonal,
    "banded": plan_banded,
    "block_diagonal": plan_block_diagonal,
    "triangular": plan_triangular,
    "dense": plan_dense,
    "superlu": plan_superlu,
    "klu": plan_klu,
    "cusolver": plan_cusolver,
}

_ON_HOST = ("banded", "triangular", "superlu")

_SMALL_BLOCK, _LARGE_BLOCK = 16, 64
"""Largest parts that become dense blocks: the smaller ones always, the larger ones if there
is no band. 1000 dense blocks of 3 x 3 take 84 us (SuperLU 610), 300 of 16 x 16 645 us
(1920), 50 of 64 x 64 1.3 ms (5.3). Nearly empty ones of 64 take half of SuperLU's time."""

_MAX_BAND = 192
"""Diagonals, without the main one, up to which a band is considered. For wider ones BLAS
starts threads: with 252 diagonals 2048 unknowns take 3.5 ms, and 28 ms where the cores are
busy (SuperLU 4.3 ms)."""

_SMALL_SIZE = 128
"""Unknowns up to which the dense matrix is factored: 16, 64, 100 take 10, 57, 80 us."""

_LARGE_SIZE = 2000
"""Unknowns up to which the dense matrix is considered: of more it would fill memory."""


@lru_cache(maxsize=64)
def plan(pattern: SparsityPattern, solver: DirectName) -> Backend:
    """The back end for a square pattern, the same one for equal patterns: a program that
    solves in several places, or is traced several times, is planned once.

    Raises `ValueError` if the solver does not suit the pattern, and `ImportError` if it
    is not installed.
    """
    if (facts := Facts.of(pattern)) is None:
        return Singular()
    name = choose(facts) if solver == "auto" else solver
    backend = _PLANNERS[name](facts)
    if solver == "auto" and name in _ON_HOST:
        return on_device(pattern, backend)
    return backend


def choose(facts: Facts) -> DirectName:
    """The solver that is quickest for a square pattern that can be nonsingular."""
    pattern, n = facts.pattern, facts.pattern.n
    distance = np.abs(pattern.rows - pattern.cols).max(initial=0)
    if distance <= 1:
        return "tridiagonal" if distance else "diagonal"
    largest = int(np.bincount(facts.components.row_part).max())
    if largest <= _SMALL_BLOCK < n:
        return "block_diagonal"
    if n <= _SMALL_SIZE:
        return "block_diagonal" if largest <= n // 2 else "dense"
    times = _times(facts)
    if times.get("banded", np.inf) <= least_time_superlu(pattern):
        return "banded"
    if largest <= _LARGE_BLOCK:
        return "block_diagonal"
    if facts.triangle.num_blocks == n:
        return "triangular"
    if not times:
        return "superlu"
    times["superlu"] = time_superlu(facts)
    return min(times, key=times.__getitem__)


def _times(facts: Facts) -> dict[DirectName, float]:
    """How long solvers take that may be quicker than SuperLU."""
    pattern, n = facts.pattern, facts.pattern.n
    times: dict[DirectName, float] = {}
    # A row or column of a band holds no more entries, so no band needs to be searched for.
    if (
        _most_in_row_or_column(pattern) <= _MAX_BAND + 1
        and facts.band.lower + facts.band.upper <= _MAX_BAND
    ):
        times["banded"] = time_banded(n, facts.band)
    if n <= _LARGE_SIZE:
        times["dense"] = time_dense(n)
    return times


def _most_in_row_or_column(pattern: SparsityPattern) -> int:
    return int(max(np.bincount(index).max() for index in (pattern.rows, pattern.cols)))
