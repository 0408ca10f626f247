"""Objective, constraints and Lagrangian."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact

from .._base.types import PyTree
from .._call.space import Space


@dataclasses.dataclass(frozen=True, eq=False)
class Functions:
    """The user's functions, checked where they are called, and their sum."""

    objective: Callable[..., Any]
    constraints: Callable[..., Any] | None
    domain: Space

    def value(self, x: PyTree, *args: Any) -> Inexact[Array, ""]:
        """The objective, a scalar."""
        value = self.objective(x, *args)
        if not jax.tree_util.all_leaves([value]) or jnp.size(value) != 1:
            raise ValueError(
                "The objective must return a scalar, or an array of one element. Got "
                f"{jax.tree.map(jnp.shape, value)}."
            )
        return jnp.reshape(value, ())

    def residuals(self, x: PyTree, *args: Any) -> PyTree:
        """The constraints; without any, an array of shape `(0,)`."""
        if self.constraints is None:
            return jnp.zeros(0, self.domain.dtype)
        return jax.tree.map(jnp.asarray, self.constraints(x, *args))

    def lagrangian(
        self, x: PyTree, multipliers: PyTree, *args: Any, objective_factor: Any = 1.0
    ) -> Inexact[Array, ""]:
        """The objective times a factor, plus the constraints times multipliers."""
        value, constraints = self.value(x, *args), self.residuals(x, *args)
        dtype = Space.of((value, constraints)).dtype
        terms = [
            jnp.vdot(jnp.asarray(factor, dtype), term.astype(dtype))
            for factor, term in zip(
                jax.tree.leaves((objective_factor, multipliers)),
                jax.tree.leaves((value, constraints)),
                strict=True,
            )
        ]
        return functools.reduce(jnp.add, terms)
