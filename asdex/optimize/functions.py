"""Objective, constraints and Lagrangian."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Inexact

from .._base.types import PyTree
from .._call.arguments import bind_call
from .._call.space import Space
from .._operator import SparseJacobian
from .._verbs.derivative import Derivative


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


class LagrangianHessian(Derivative[SparseJacobian]):
    """The Hessian of the Lagrangian, and what checks the arguments of the Lagrangian."""

    @classmethod
    def of_derivative(cls, hessian: Derivative[SparseJacobian]) -> "LagrangianHessian":
        """A derivative of `Functions.lagrangian` as one of this class."""
        fields = dataclasses.fields(hessian)
        return cls(**{field.name: getattr(hessian, field.name) for field in fields})

    def __call__(
        self,
        x: PyTree,
        multipliers: PyTree,
        *args: Any,
        objective_factor: ArrayLike = 1.0,
    ) -> SparseJacobian:
        multipliers, factor = jax.tree.map(_as_float, (multipliers, objective_factor))
        return super().__call__(x, multipliers, *args, objective_factor=factor)

    def check(
        self, x: PyTree, multipliers: PyTree, args: tuple[Any, ...], factor: ArrayLike
    ) -> tuple[PyTree, Any]:
        """Multipliers and factor as floating point numbers.

        **Raises:** `TypeError` or `ValueError`, as a call does, if an argument differs from
        its sample.
        """
        multipliers, factor = jax.tree.map(_as_float, (multipliers, factor))
        arguments, keywords = (x, multipliers, *args), {"objective_factor": factor}
        bind_call(self.function, self.sparsity.inputs, arguments, keywords)
        return multipliers, factor


def check_real(name: str, tree: PyTree) -> None:
    """Raise `TypeError` unless all leaves hold real floating point numbers."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        dtype = _dtype(leaf)
        if jnp.issubdtype(dtype, jnp.floating):
            continue
        name += jax.tree_util.keystr(path)
        is_complex = jnp.issubdtype(dtype, jnp.complexfloating)
        advice = "" if is_complex else f" Cast it, as by {name}.astype(float)."
        raise TypeError(f"{name} must be real floating point numbers. Got {dtype}.{advice}")


def _as_float(leaf: Any) -> Any:
    """An integer or a bool as a floating point number; anything else as it is."""
    dtype = _dtype(leaf)
    is_whole = any(jnp.issubdtype(dtype, kind) for kind in (jnp.integer, jnp.bool_))
    return jnp.asarray(leaf, float) if is_whole else leaf


def _dtype(leaf: Any) -> Any:
    """The dtype of an array; the type of anything else, such as a Python number."""
    return getattr(leaf, "dtype", type(leaf))
