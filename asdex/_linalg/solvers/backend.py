"""The interface of the solvers, and what they have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Inexact, Integer

from ..._base.sharding import typed_like, varying_alike
from ..._base.types import PyTree
from ..._structure.pattern import SparsityPattern

Vector: TypeAlias = Inexact[Array, " n"]
Solution: TypeAlias = tuple[Vector, Bool[Array, ""]]
"""The vector `x`, and whether the matrix was found singular."""

Determinant: TypeAlias = tuple[Inexact[Array, ""], Inexact[Array, ""]]
"""The sign and the logarithm of the absolute value, as `numpy.linalg.slogdet`."""


@runtime_checkable
class Backend(Protocol):
    """One way to solve `A x = b` for the matrices of one pattern.

    What depends on the pattern alone is computed when it is made. The methods
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

    def slogdet(self, factors: PyTree[Array]) -> Determinant:
        """Sign and logarithm of the determinant; `(0, -inf)` if the matrix is singular."""
        ...


@dataclass(frozen=True, eq=False)
class Singular:
    """For patterns that hold singular matrices only: there is nothing to compute."""

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        return jnp.zeros((), data.dtype)

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        del factors, transposed
        return jnp.full_like(b, jnp.nan), jnp.ones((), bool)

    def slogdet(self, factors: PyTree[Array]) -> Determinant:
        return jnp.zeros_like(factors), jnp.full_like(factors.real, -jnp.inf)


@dataclass(frozen=True, eq=False)
class ByPlatform:
    """One back end on some platforms and another one elsewhere, in the same program.

    Both are traced, but only the one in use is compiled, so the choice costs no time when
    the program runs. Factors are a pair, of which the one not in use is zero.
    """

    platforms: tuple[str, ...]
    there: Backend
    elsewhere: Backend

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        backends = self.there, self.elsewhere
        structures = [jax.eval_shape(backend.factor, data) for backend in backends]
        nothing = [
            jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), structure)
            for structure in structures
        ]
        return self._choose(
            lambda data: (self.there.factor(data), nothing[1]),
            lambda data: (nothing[0], self.elsewhere.factor(data)),
            data,
        )

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        return self._choose(
            lambda factors, b: self.there.solve(factors[0], b, transposed),
            lambda factors, b: self.elsewhere.solve(factors[1], b, transposed),
            factors,
            b,
        )

    def slogdet(self, factors: PyTree[Array]) -> Determinant:
        return self._choose(
            lambda factors: self.there.slogdet(factors[0]),
            lambda factors: self.elsewhere.slogdet(factors[1]),
            factors,
        )

    def _choose(
        self, there: Callable[..., Any], elsewhere: Callable[..., Any], *args: Any
    ) -> Any:
        def varying(way: Callable[..., Any], *args: Any) -> Any:
            # In `jax.shard_map` both ways must vary over the same mesh axes.
            *_, widest = varying_alike(jax.tree.leaves(args))
            return jax.tree.map(lambda leaf: typed_like(leaf, widest), way(*args))

        ways = dict.fromkeys(self.platforms, partial(varying, there))
        return lax.platform_dependent(*args, default=partial(varying, elsewhere), **ways)


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
