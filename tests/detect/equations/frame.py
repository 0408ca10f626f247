"""What an equation of the table is, and how its operands are drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from jax.extend.core import Primitive

Rng: TypeAlias = np.random.Generator
Shape: TypeAlias = tuple[int, ...]
Exact: TypeAlias = Literal["yes", "known", "unknown", "no"]


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """A random array: `draw` makes one of shape `shape`."""

    shape: Shape
    draw: Callable[[Rng, Shape], np.ndarray]

    def sample(self, rng: Rng) -> np.ndarray:
        """A new array."""
        return np.asarray(self.draw(rng, self.shape))


@dataclass(frozen=True, slots=True, eq=False)
class Equation:
    """A program around one primitive, and how to draw operands for it.

    - `exact`: whether the rule must find no more entries than differences do: always,
        only while the other operands are known, or unknown, or not at all.
    - `inputs`: the operands that may depend on inputs, if they are not those that the
        rule lets dependence through.
    - `evaluated`: a function with the same dependence that can be evaluated, where `fun`
        itself cannot.
    """

    fun: Callable[..., Any]
    operands: Sequence[Operand]
    exact: Exact = "yes"
    inputs: Sequence[int] | None = None
    evaluated: Callable[..., Any] | None = None


Maker: TypeAlias = Callable[[Rng], Equation]

EQUATIONS: dict[Primitive | str, list[Maker]] = {}
"""Keyed as in the table of rules."""


def equation(*keys: Primitive | str) -> Callable[[Maker], Maker]:
    """Add a maker of random equations to the rows of each of the primitives."""

    def decorate(maker: Maker) -> Maker:
        for key in keys:
            EQUATIONS.setdefault(key, []).append(maker)
        return maker

    return decorate


def some_shape(rng: Rng, low: int = 0, high: int = 3, least: int = 1) -> Shape:
    """A shape of `low` to `high` axes, each of length `least` to 3."""
    rank = int(rng.integers(low, high + 1))
    return tuple(int(rng.integers(least, 4)) for _ in range(rank))


def real(*shape: int) -> Operand:
    """Normal numbers, one in four of them replaced by zero."""

    def draw(rng: Rng, shape: Shape) -> np.ndarray:
        return rng.standard_normal(shape) * (rng.random(shape) > 0.25)

    return Operand(shape, draw)


def between(low: float, high: float, *shape: int) -> Operand:
    """Uniform numbers."""
    return Operand(shape, lambda rng, shape: rng.uniform(low, high, shape))


def complex_(*shape: int) -> Operand:
    """Complex normal numbers."""

    def draw(rng: Rng, shape: Shape) -> np.ndarray:
        return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)

    return Operand(shape, draw)


def integers(low: int, high: int, *shape: int, dtype: Any = np.int32) -> Operand:
    """Integers from `low` to `high`, both included."""
    return Operand(
        shape, lambda rng, shape: np.asarray(rng.integers(low, high + 1, shape), dtype)
    )


def booleans(*shape: int) -> Operand:
    """True or false."""
    return Operand(shape, lambda rng, shape: rng.random(shape) > 0.5)
