"""Which solver suits a pattern."""

from typing import Literal, TypeAlias, get_args

import numpy as np

from .._pattern import SparsityPattern
from .backend import Backend, Planner, Singular
from .banded import bandwidths, plan_banded
from .blocks import plan_block_diagonal, plan_dense
from .cusolver import on_device, plan_cusolver
from .diagonal import plan_diagonal, plan_tridiagonal
from .klu import plan_klu
from .orders import block_triangle, components, match_rows
from .superlu import plan_superlu
from .triangular import plan_triangular

SolverName: TypeAlias = Literal[
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
"""How to solve; `"auto"` chooses by the pattern."""

SOLVERS: tuple[str, ...] = get_args(SolverName)

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

_DENSE_SIZE = 32
_MIN_DENSITY = 0.2
_MAX_DENSE_SIZE = 2000
_MAX_BLOCK = 64
_MAX_BAND = 20


def plan(pattern: SparsityPattern, solver: SolverName) -> Backend:
    """The back end for a square pattern.

    Raises `ValueError` if the solver does not suit the pattern, and `ImportError` if it
    is not installed.
    """
    if match_rows(pattern) is None:
        return Singular()
    name = choose(pattern) if solver == "auto" else solver
    backend = _PLANNERS[name](pattern)
    if solver == "auto" and name in _ON_HOST:
        return on_device(pattern, backend)
    return backend


def choose(pattern: SparsityPattern) -> SolverName:
    """The solver that is quickest for a square pattern that can be nonsingular."""
    n = pattern.n
    lower, upper = bandwidths(pattern)
    if lower == upper == 0:
        return "diagonal"
    if n <= _DENSE_SIZE:
        return "dense"
    if max(lower, upper) == 1:
        return "tridiagonal"
    if _largest_part(pattern) <= _MAX_BLOCK:
        return "block_diagonal"
    if lower + upper <= _MAX_BAND:
        return "banded"
    row_of_col = match_rows(pattern)
    assert row_of_col is not None
    if block_triangle(pattern, row_of_col).num_blocks == n:
        return "triangular"
    if pattern.density >= _MIN_DENSITY and n <= _MAX_DENSE_SIZE:
        return "dense"
    return "superlu"


def _largest_part(pattern: SparsityPattern) -> int:
    row_part, _, _ = components(pattern)
    return int(np.bincount(row_part).max())
