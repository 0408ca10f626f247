"""Functions whose operators are put through transformations: rows of the table of all
tests, and models of Equinox with parameters."""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

import asdex
from asdex import SparseJacobian
from tests.helpers import TABLE, Case, coloring, derivative, is_inexact, points

F64 = np.dtype(np.float64)

JACOBIANS = (
    "applications-brusselator",
    "control-cond_traced",
    "control-scan_carry_and_outputs",
    "gathering-roll",
    "linalg-laplacian",
    "pytrees-matrix_to_matrix",
    "pytrees-module",
    "pytrees-named_tuple",
    "pytrees-nested_dict",
    "pytrees-scalar_to_scalar",
    "pytrees-two_arguments",
    "scattering-add_repeated",
)
HESSIANS = (
    "scalars-arrowhead",
    "scalars-both_of_pair",
    "scalars-scanned",
    "scalars-structured",
)
NAMES = (*JACOBIANS, *HESSIANS)


def differentiated(
    case: Case, args: tuple[Any, ...]
) -> tuple[PyTree, Callable[[PyTree], tuple[Any, ...]]]:
    """The arrays that a case is differentiated by, and the arguments with others there."""
    several = isinstance(case.argnums, tuple)
    argnums = case.argnums if isinstance(case.argnums, tuple) else (case.argnums,)
    selected = tuple(args[k] for k in argnums)
    arrays, static = eqx.partition(selected if several else selected[0], is_inexact)

    def with_arrays(arrays: PyTree) -> tuple[Any, ...]:
        merged = eqx.combine(arrays, static)
        new_args = list(args)
        for k, value in zip(argnums, merged if several else (merged,), strict=True):
            new_args[k] = value
        return tuple(new_args)

    return arrays, with_arrays


class Problem:
    """A function of pytrees, its operator, and its derivative as a dense matrix."""

    def __init__(self, case: Case):
        self.points = [differentiated(case, args)[0] for args in points(case, F64)[:3]]
        self.arrays, with_arrays = differentiated(case, points(case, F64)[0])
        make = derivative(case, coloring(case, F64), "operator")

        def value(arrays: PyTree) -> Any:
            out = case.fun(*with_arrays(arrays), **case.kwargs)
            return jnp.reshape(out, ()) if case.scalar else out

        self.fun = jax.grad(value) if case.scalar else value
        self.operator = lambda arrays: make(*with_arrays(arrays))

    def dense(self, arrays: PyTree) -> Array:
        vector, unravel = ravel_pytree(arrays)
        flat = lambda vector: ravel_pytree(self.fun(unravel(vector)))[0]  # noqa: E731
        return jax.jacfwd(flat)(vector)


@cache
def problem(name: str) -> Problem:
    return Problem(TABLE[name])


class Model(eqx.Module):
    """A small network of local layers, with a field that is not an array."""

    kernel: Array
    layers: list[eqx.nn.Linear]
    activation: Callable[[Array], Array]
    power: int = eqx.field(static=True)

    def __init__(self):
        self.kernel = jnp.array([0.3, -1.2, 0.7])
        keys = jax.random.split(jax.random.key(0), 2)
        self.layers = [eqx.nn.Linear(2, 2, key=key, dtype=jnp.float64) for key in keys]
        self.activation = jnp.tanh
        self.power = 2

    def __call__(self, x: Array) -> Array:
        """Of six numbers, each with its neighbors and then in pairs."""
        x = jnp.convolve(x, self.kernel, "same") + x**self.power
        pairs = x.reshape(3, 2)
        for layer in self.layers:
            pairs = self.activation(jax.vmap(layer)(pairs))
        return pairs.reshape(-1) + x


X = jnp.linspace(-1.0, 1.2, 6)
MODEL = Model()


def _apply(model: Model, x: Array) -> Array:
    return model(x)


@cache
def model_coloring() -> asdex.ColoredPattern:
    """Of the Jacobian by `x`, for any parameters."""
    return asdex.jacobian_coloring(_apply, MODEL, X, argnums=1)


def operator_of_model(model: Model, x: Array) -> SparseJacobian:
    make = asdex.jacobian_from_coloring(_apply, model_coloring(), "operator")
    return make(model, x)


def dense_model(model: Model, x: Array) -> Array:
    return jax.jacfwd(model)(x)
