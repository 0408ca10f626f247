"""Diagonal and tridiagonal matrices, in pure JAX."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Inexact, Int32

from ...._base.types import PyTree
from ...multiply import take
from ..backend import (
    Backend,
    ByPlatform,
    Determinant,
    Solution,
    Vector,
    is_finite,
    nan_where,
    pad_values,
    refuse,
)
from ..matching import Facts
from .banded import plan_banded

_PIVOTING_PLATFORMS = ("cpu", "cuda", "rocm")
"""Where JAX calls `gtsv` of LAPACK or cuSPARSE; elsewhere it does not pivot."""


def plan_diagonal(facts: Facts) -> Backend:
    """Division by the diagonal.

    Raises `ValueError` if there is any other entry.
    """
    pattern = facts.pattern
    wrong = np.flatnonzero(pattern.rows != pattern.cols)
    if wrong.size:
        refuse("diagonal", pattern, wrong, "a diagonal matrix", "solver='triangular'")
    source = np.empty(pattern.n, np.int32)
    source[pattern.rows] = np.arange(pattern.nnz)
    return Diagonal(source)


@dataclass(frozen=True, eq=False)
class Diagonal:
    """Solves by dividing. `source` is the entry in each row."""

    source: Int32[np.ndarray, " n"]

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        diagonal = take(data, self.source)
        return diagonal, (diagonal == 0).any()

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        del transposed
        diagonal, singular = factors
        return nan_where(singular, b / diagonal)

    def slogdet(self, factors: PyTree[Array]) -> Determinant:
        diagonal, _ = factors
        return jnp.sign(diagonal).prod(), jnp.log(jnp.abs(diagonal)).sum()


def plan_tridiagonal(facts: Facts) -> Backend:
    """Gaussian elimination with partial pivoting on three diagonals.

    Raises `ValueError` if there is any other entry.
    """
    pattern = facts.pattern
    distance = pattern.cols - pattern.rows
    wrong = np.flatnonzero(np.abs(distance) > 1)
    if wrong.size:
        refuse(
            "tridiagonal",
            pattern,
            wrong,
            "entries (i, j) with |i - j| <= 1 only",
            "solver='banded'",
        )
    # cuSPARSE takes at least three unknowns, so there may be some that are zero.
    source = np.full((3, max(pattern.n, 3)), pattern.nnz, np.int32)
    source[1, pattern.n :] = pattern.nnz + 1
    source[distance + 1, pattern.rows] = np.arange(pattern.nnz)
    banded = plan_banded(facts)
    native = Tridiagonal(source, banded)
    return ByPlatform(_PIVOTING_PLATFORMS, native, banded)


@dataclass(frozen=True, eq=False)
class Tridiagonal:
    """Solves by `gtsv`, which keeps no factors: to make them again takes half of its time.

    `source` is the entry of each row below, on and above the diagonal, where `nnz` means
    zero and `nnz + 1` one. The determinant is left to the other back end.
    """

    source: Int32[np.ndarray, "3 size"]
    banded: Backend

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        return take(pad_values(data, 0.0, 1.0), self.source), data

    def slogdet(self, factors: PyTree[Array]) -> Determinant:
        return self.banded.slogdet(self.banded.factor(factors[1]))

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        diagonals, _ = factors
        lower, diagonal, upper = diagonals
        if transposed:
            lower, upper = jnp.roll(upper, 1), jnp.roll(lower, -1)
        padded = jnp.pad(b, (0, diagonal.size - b.size))
        x = lax.linalg.tridiagonal_solve(lower, diagonal, upper, padded[:, None])
        x = x[: b.size, 0]
        # From finite numbers, NaN can only come from a zero pivot. The right-hand side goes
        # in as it is: selected by `jnp.where`, XLA for CPUs without optimizations (0.10)
        # has passed on other numbers in some loops.
        is_known = is_finite(diagonals) & is_finite(b)
        singular = jnp.isnan(x).any() & is_known
        return jnp.where(singular | ~is_known, jnp.full_like(x, jnp.nan), x), singular
