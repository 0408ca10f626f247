"""The interface of the solvers, and what they have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol, TypeAlias, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Inexact, Integer

from ..._base.types import PyTree
from ..._structure.pattern import SparsityPattern

Vector: TypeAlias = Inexact[Array, " n"]
Solution: TypeAlias = tuple[Vector, Bool[Array, ""]]
"""The vector `x`, and whether the matrix was found singular."""


@runtime_checkable
class Backend(Protocol):
    """One way to solve `A x = b` for the matrices of one pattern.

    What depends on the pattern alone is computed when it is made. Both methods
    are pure and can be traced and batched, but not differentiated.
    """

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        """The factors, which the solves with `A` and with its transpose share."""
        ...

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        """`x` with `A x = b`, or with `A.T x = b` without conjugation.

        `x` is NaN throughout if the matrix is singular.
        """
        ...


@dataclass(frozen=True, eq=False)
class Singular:
    """For patterns that hold singular matrices only: there is nothing to compute."""

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        del data
        return ()

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        del factors, transposed
        return jnp.full_like(b, jnp.nan), jnp.ones((), bool)


@dataclass(frozen=True, eq=False)
class ByPlatform:
    """One back end on some platforms and another one elsewhere, in the same program.

    Both are traced, but only the one in use is compiled, so the choice costs no time when
    the program runs. Factors are not shared between solves, since they differ.
    """

    platforms: tuple[str, ...]
    there: Backend
    elsewhere: Backend

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        return data

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        def solve_by(backend: Backend) -> Callable[..., Solution]:
            return lambda data, b: backend.solve(backend.factor(data), b, transposed)

        return lax.platform_dependent(
            factors,
            b,
            default=solve_by(self.elsewhere),
            **dict.fromkeys(self.platforms, solve_by(self.there)),
        )


def nan_where(singular: Bool[Array, ""], x: Vector) -> Solution:
    """`x`, or NaN if the matrix is singular."""
    return jnp.where(singular, jnp.full_like(x, jnp.nan), x), singular


def pad_values(
    data: Inexact[Array, " nnz"], *extra: float
) -> Inexact[Array, " padded_nnz"]:
    """`data`, followed by the values of positions without an entry."""
    return jnp.concatenate([data, jnp.asarray(extra, data.dtype)])


def refuse(
    solver: str,
    pattern: SparsityPattern,
    wrong: Integer[np.ndarray, " wrong"],
    needs: str,
    instead: str,
) -> NoReturn:
    """Raise the `ValueError` that names an entry that does not suit a solver."""
    i, j = pattern.rows[wrong[0]], pattern.cols[wrong[0]]
    raise ValueError(
        f"solver={solver!r} needs {needs}. The pattern of shape {pattern.shape} has the "
        f"entry ({i}, {j}). Use {instead}, or solver='auto', which chooses by the pattern."
    )


def is_finite(values: Inexact[Array, "..."]) -> Bool[Array, ""]:
    """Whether no number among them is infinite or NaN."""
    return jnp.isfinite(values).all()
