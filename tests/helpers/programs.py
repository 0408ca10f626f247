"""Random JAX programs: chains of small operations whose choices are drawn from a seed.

A program keeps a list of arrays, starting with its input. Each step draws an operation
and its operands, and appends the result; the output is the last few arrays. All choices
are made when the program is built, so that it does the same each time it is traced.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

Rng: TypeAlias = np.random.Generator
Operation: TypeAlias = Callable[..., Array]
Maker: TypeAlias = Callable[..., Operation]
"""Draws one operation for operands of the given avals."""

MAX_SIZE = 12
UNARY: list[Maker] = []
BINARY: list[Maker] = []
LOOPS: list[Maker] = []  # Forward mode only.


def program(rng: Rng, size: int, *, steps: int, loops: bool = True) -> Operation:
    """A random function of a vector of the given size that returns a vector."""
    return sequence(rng, jax.ShapeDtypeStruct((size,), float), steps, loops=loops)


def sequence(
    rng: Rng, aval: jax.ShapeDtypeStruct, steps: int, *, loops: bool = False
) -> Operation:
    unary = UNARY + LOOPS if loops else UNARY
    avals = [aval]
    chosen: list[tuple[Operation, tuple[int, ...]]] = []
    for _ in range(steps):
        table, arity = (unary, 1) if rng.random() < 0.7 else (BINARY, 2)
        # Recent values are likelier, so that programs are deep rather than wide.
        operands = [int(rng.integers(len(avals), size=2).max()) for _ in range(arity)]
        make = table[rng.integers(len(table))]
        operation = make(rng, *[avals[k] for k in operands])
        out = jax.eval_shape(operation, *[avals[k] for k in operands])
        if out.size > MAX_SIZE:
            operation, out = _cropped(operation), jax.ShapeDtypeStruct((MAX_SIZE,), float)
        chosen.append((operation, tuple(operands)))
        avals.append(out)

    def run(x: Array) -> Array:
        values = [x]
        for operation, operands in chosen:
            values.append(operation(*[values[k] for k in operands]))
        return jnp.concatenate([value.ravel() for value in values[-3:]])

    return run


def _cropped(operation: Operation) -> Operation:
    return lambda *operands: operation(*operands).ravel()[-MAX_SIZE:]


def fitted(operation: Operation, shape: tuple[int, ...]) -> Operation:
    """The operation with its result repeated or cut to the given shape."""
    return lambda *operands: jnp.resize(operation(*operands), shape)


def draw_axis(rng: Rng, x: jax.ShapeDtypeStruct) -> int:
    return int(rng.integers(-x.ndim, x.ndim))


def draw_indices(rng: Rng, size: int) -> np.ndarray:
    """Indices with repetitions, now and then negative or out of bounds."""
    low, high = (-size, size + 2) if rng.random() < 0.3 else (0, max(size, 1))
    return rng.integers(low, high, rng.integers(1, 5))


def draw_weights(rng: Rng, *shape: int) -> np.ndarray:
    """Small constants, a third of them zero."""
    return rng.integers(-1, 2, shape) * 1.5


def unary(make: Maker) -> Maker:
    """Register an operation of one array with at least one axis and element."""

    def lifted(rng: Rng, x: jax.ShapeDtypeStruct) -> Operation:
        if x.ndim and x.size:
            return make(rng, x)
        operation = make(rng, jax.ShapeDtypeStruct((2,), float))
        return lambda y: operation(jnp.resize(y, (2,)) if x.size else jnp.ones(2))

    UNARY.append(lifted)
    return lifted


def loop(make: Maker) -> Maker:
    """Register an operation that JAX differentiates in forward mode only."""
    UNARY.remove(lifted := unary(make))
    LOOPS.append(lifted)
    return lifted


def binary(make: Maker) -> Maker:
    """Register an operation of two arrays of equal shape, with at least one element."""

    def lifted(rng: Rng, x: jax.ShapeDtypeStruct, y: jax.ShapeDtypeStruct) -> Operation:
        shape = x.shape if x.size and x.ndim else (3,)
        operation = make(rng, jax.ShapeDtypeStruct(shape, float))

        def both(a: Array, b: Array) -> Array:
            a, b = (jnp.resize(v, shape) if v.size else jnp.ones(shape) for v in (a, b))
            return operation(a, b)

        return both

    BINARY.append(lifted)
    return lifted
