"""The problems that benchmarks share, each for about any number of unknowns."""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Vector = Float[Array, " n"]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A function of one vector, and which derivative of it is wanted.

    `make(n)` returns the function and a point with about `n` elements.
    """

    name: str
    kind: Literal["jacobian", "hessian"]
    make: Callable[[int], tuple[Callable[[Vector], Array], Vector]]


def point(n: int) -> Vector:
    return jnp.asarray(np.random.default_rng(0).standard_normal(n), jnp.float32)


def squared_differences(n: int) -> tuple[Callable[[Vector], Vector], Vector]:
    """Bidiagonal: two entries per row."""
    return lambda x: (x[1:] - x[:-1]) ** 2, point(n)


def brusselator(n: int) -> tuple[Callable[[Vector], Vector], Vector]:
    """Two species on a periodic grid, five-point stencil: six entries per row."""
    side = max(3, round(math.sqrt(n / 2)))

    def time_derivative(state: Vector) -> Vector:
        u, v = state.reshape(2, side, side)
        reaction = u**2 * v
        du = 1 + reaction - 4.4 * u + laplacian(u)
        dv = 3.4 * u - reaction + laplacian(v)
        return jnp.stack([du, dv]).ravel()

    def laplacian(w: Float[Array, "side side"]) -> Float[Array, "side side"]:
        neighbors = sum(jnp.roll(w, shift, axis) for axis in (0, 1) for shift in (-1, 1))
        return neighbors - 4 * w

    return time_derivative, point(2 * side**2)


def rosenbrock(n: int) -> tuple[Callable[[Vector], Float[Array, ""]], Vector]:
    """A chain of banana valleys: tridiagonal Hessian."""

    def objective(x: Vector) -> Float[Array, ""]:
        return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    return objective, point(n)


def mesh(n: int) -> tuple[Callable[[Vector], Vector], Vector]:
    """Assembly over the triangles of a mesh: gather, local residual, scatter-add.

    Seven entries per row, in an order that a random numbering of the nodes hides.
    """
    corners = jnp.asarray(triangles(n))
    side = _side(n)

    def residual(u: Vector) -> Vector:
        local = u[corners]
        conductivity = 1 + jnp.mean(local, axis=1, keepdims=True) ** 2
        flux = conductivity * (3 * local - jnp.sum(local, axis=1, keepdims=True))
        return jnp.zeros_like(u).at[corners].add(flux)

    return residual, point(side**2)


def triangles(n: int) -> Int[np.ndarray, "triangles 3"]:
    """The nodes of each triangle of the mesh."""
    grid = np.random.default_rng(1).permutation(_side(n) ** 2).reshape(_side(n), -1)
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[:-1, 1:], grid[1:, 1:]
    halves = [(a, b, c), (d, c, b)]
    return np.concatenate([np.stack(half, axis=-1).reshape(-1, 3) for half in halves])


def _side(n: int) -> int:
    return max(2, round(math.sqrt(n)))


def multilayer_perceptrons(n: int) -> tuple[Callable[[Vector], Vector], Vector]:
    """One small network applied to many inputs: blocks of 8 x 8 on the diagonal."""
    width, hidden = 8, 32
    into, out = point(width * hidden).reshape(width, hidden), point(hidden * width)

    def apply(x: Vector) -> Vector:
        batch = x.reshape(-1, width)
        return (jnp.tanh(batch @ into) @ out.reshape(hidden, width)).ravel()

    return apply, point(width * max(1, n // width))


PROBLEMS = [
    Problem("squared differences", "jacobian", squared_differences),
    Problem("Brusselator", "jacobian", brusselator),
    Problem("Rosenbrock", "hessian", rosenbrock),
    Problem("mesh assembly", "jacobian", mesh),
    Problem("batched MLP", "jacobian", multilayer_perceptrons),
]


def dense(problem: Problem, function: Callable) -> Callable:
    """JAX's dense derivative of `function`, compiled."""
    return jax.jit((jax.jacfwd if problem.kind == "jacobian" else jax.hessian)(function))
