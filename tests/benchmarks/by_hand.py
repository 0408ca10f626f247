"""Problems whose derivatives are also written by hand, as a careful user would do it.

What is written by hand computes the values of the entries, row by row, each row from left
to right. Index arrays, and constants, are made in advance.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.lib.stride_tricks import sliding_window_view

from . import problems

Vector: TypeAlias = Float[Array, " n"]
Values: TypeAlias = Float[Array, " nnz"]


class Instance(NamedTuple):
    """A function of one vector, the values of its derivative by hand, and a point."""

    function: Callable[[Vector], Array]
    by_hand: Callable[[Vector], Values]
    point: Vector


@dataclasses.dataclass(frozen=True)
class HandWritten:
    """A problem of about any number of unknowns, and those that it is measured with."""

    name: str
    make: Callable[[int], Instance]
    sizes: tuple[int, ...]
    kind: Literal["jacobian", "hessian"] = "jacobian"


def point(n: int) -> Vector:
    return jnp.asarray(np.random.default_rng(0).standard_normal(n))


def interleave(*columns: Float[Array, " m"]) -> Float[Array, " m_times_columns"]:
    return jnp.stack(columns, axis=-1).ravel()


def squared_differences(n: int) -> Instance:
    def by_hand(x: Vector) -> Values:
        slope = 2 * (x[1:] - x[:-1])
        return interleave(-slope, slope)

    return Instance(problems.squared_differences(n)[0], by_hand, point(n))


def brusselator(n: int) -> Instance:
    """Where the grid closes, the columns of a row come in another order."""
    function, x = problems.brusselator(n)
    side = math.isqrt(x.size // 2)
    cells = np.arange(side**2).reshape(1, side, side)
    shifts = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    neighbors = np.concatenate([np.roll(cells, shift, (1, 2)) for shift in shifts])
    neighbors = np.sort(neighbors.reshape(5, -1).T, axis=1)
    # 1 on the diagonal, 2 where the species are coupled, 0 where diffusion alone enters.
    of_species = (neighbors == cells.reshape(-1, 1)).astype(np.uint8)
    coupled = np.full((side**2, 1), 2, np.uint8)
    which = np.stack([np.hstack([of_species, coupled]), np.hstack([coupled, of_species])])

    def by_hand(state: Vector) -> Values:
        u, v = state.reshape(2, -1)
        diagonal = jnp.stack([2 * u * v - 8.4, -(u**2) - 4])
        coupling = jnp.stack([u**2, 3.4 - 2 * u * v])
        varying = jnp.where(which == 1, diagonal[..., None], coupling[..., None])
        return jnp.where(which == 0, 1.0, varying).ravel()

    return Instance(function, by_hand, point(x.size))


def rosenbrock(n: int) -> Instance:
    def by_hand(x: Vector) -> Values:
        diagonal = jnp.pad(1200 * x[:-1] ** 2 - 400 * x[1:] + 2, (0, 1))
        diagonal += jnp.pad(jnp.full(n - 1, 200.0), (1, 0))
        coupling = -400 * x[:-1]
        left, right = jnp.pad(coupling, (1, 0)), jnp.pad(coupling, (0, 1))
        return interleave(left, diagonal, right)[1:-1]

    return Instance(problems.rosenbrock(n)[0], by_hand, point(n))


def kinetics(n: int) -> Instance:
    """Robertson's reactions in each cell."""
    slow, fast, back = 0.04, 3e3, 1e2

    def rates(x: Vector) -> Vector:
        a, b, c = x.reshape(-1, 3).T
        return interleave(
            back * b * c - slow * a, slow * a - back * b * c - fast * b**2, fast * b**2
        )

    def by_hand(x: Vector) -> Values:
        _, b, c = x.reshape(-1, 3).T
        consumed, decay = 2 * fast * b, jnp.full(b.size, slow)
        return interleave(
            -decay, back * c, back * b, decay, -back * c - consumed, -back * b, consumed
        )

    return Instance(rates, by_hand, point(n // 3 * 3))


def arrow(n: int) -> Instance:
    """A full row, a full column and the diagonal."""

    def function(x: Vector) -> Vector:
        return jnp.concatenate([jnp.sum(x**2)[None], x[0] * x[1:] ** 2])

    def by_hand(x: Vector) -> Values:
        return jnp.concatenate([2 * x, interleave(x[1:] ** 2, 2 * x[0] * x[1:])])

    return Instance(function, by_hand, point(n))


def stored_densely(n: int) -> Instance:
    """A matrix of five diagonals that is stored with all of its zeros."""
    diagonals = np.random.default_rng(1).uniform(0.5, 1.5, (5, n))
    matrix = sum(np.diag(diagonals[k + 2, abs(k) :], k) for k in range(-2, 3))
    matrix = np.asarray(matrix)
    rows, cols = np.nonzero(matrix)
    entries, stored = matrix[rows, cols], jnp.asarray(matrix)
    return Instance(
        lambda x: jnp.sin(stored @ x),
        lambda x: jnp.cos(stored @ x)[rows] * entries,
        point(n),
    )


def convolution(n: int) -> Instance:
    """A layer of a network on an image."""
    side = math.isqrt(n)
    weights = np.random.default_rng(1).uniform(0.5, 1.5, (3, 3))
    inside = sliding_window_view(np.pad(np.ones((side, side), bool), 1), (3, 3))
    rows, _ = np.nonzero(inside.reshape(side**2, 9))
    entries = np.broadcast_to(weights[::-1, ::-1], inside.shape)[inside]
    kernel = jnp.asarray(weights)

    def function(x: Vector) -> Vector:
        image = jax.scipy.signal.convolve(x.reshape(side, side), kernel, "same")
        return jnp.tanh(image).ravel()

    return Instance(
        function, lambda x: (1 - function(x) ** 2)[rows] * entries, point(side**2)
    )


def perceptrons(n: int) -> Instance:
    """One network of 8, 16 and 8 units applied to many inputs."""
    weights = np.random.default_rng(1)
    into, out = weights.standard_normal((8, 16)), weights.standard_normal((16, 8))
    paths = np.einsum("ho,ih->hoi", out, into).reshape(16, 64)

    def apply(x: Vector) -> Vector:
        return (jnp.tanh(x.reshape(-1, 8) @ into) @ out).ravel()

    def by_hand(x: Vector) -> Values:
        hidden = jnp.tanh(x.reshape(-1, 8) @ into)
        return ((1 - hidden**2) @ paths).ravel()

    return Instance(apply, by_hand, point(n // 8 * 8))


def mesh(n: int) -> Instance:
    """The matrices of all triangles are added up at places computed in advance."""
    residual, x = problems.mesh(n)
    triangles = problems.triangles(n)
    rows = np.repeat(triangles, 3, axis=1).ravel()
    cols = np.tile(triangles, 3).ravel()
    places, at = np.unique(rows * x.size + cols, return_inverse=True)
    at = at.astype(np.int32)

    def by_hand(u: Vector) -> Values:
        local = u[triangles]
        mean = jnp.mean(local, axis=1)[:, None, None]
        differences = 3 * local - jnp.sum(local, axis=1, keepdims=True)
        of_mean = 2 / 3 * mean * differences[:, :, None]
        matrices = (1 + mean**2) * (3 * np.eye(3) - 1) + of_mean
        return jnp.zeros(places.size).at[at].add(matrices.ravel())

    return Instance(residual, by_hand, point(x.size))


def energy(n: int) -> Instance:
    """Springs that stiffen, between neighbors on a grid, in a periodic potential."""
    side = math.isqrt(n)
    cells = np.arange(side**2).reshape(side, side)
    down = np.arange(side * (side - 1)).reshape(side - 1, side) + side**2
    right = np.arange(side * (side - 1)).reshape(side, side - 1) + side * (2 * side - 1)
    around = [
        np.pad(down, ((1, 0), (0, 0)), constant_values=-1),
        np.pad(right, ((0, 0), (1, 0)), constant_values=-1),
        cells,
        np.pad(right, ((0, 0), (0, 1)), constant_values=-1),
        np.pad(down, ((0, 1), (0, 0)), constant_values=-1),
    ]
    positions = np.stack(around, axis=-1).ravel()
    positions = positions[positions >= 0].astype(np.int32)

    def potential(x: Vector) -> Float[Array, ""]:
        u = x.reshape(side, side)
        springs = [jnp.sum(jnp.diff(u, axis=axis) ** 4) for axis in (0, 1)]
        return sum(springs) / 4 + jnp.sum(jnp.cos(u))

    def by_hand(x: Vector) -> Values:
        u = x.reshape(side, side)
        along, across = (3 * jnp.diff(u, axis=axis) ** 2 for axis in (0, 1))
        diagonal = -jnp.cos(u)
        diagonal += jnp.pad(along, ((0, 1), (0, 0))) + jnp.pad(along, ((1, 0), (0, 0)))
        diagonal += jnp.pad(across, ((0, 0), (0, 1))) + jnp.pad(across, ((0, 0), (1, 0)))
        lines = [diagonal.ravel(), -along.ravel(), -across.ravel()]
        return jnp.concatenate(lines)[positions]

    return Instance(potential, by_hand, point(side**2))


def time_steps(n: int) -> Instance:
    """Twenty explicit steps; the band of the matrix is wider by two after each."""
    steps = 20
    width = 2 * steps + 1
    columns = np.arange(n)[:, None] + np.arange(-steps, steps + 1)
    inside = np.flatnonzero((columns >= 0) & (columns < n))

    def step(x: Vector) -> Vector:
        padded = jnp.pad(x, 1)
        return x + 0.1 * (padded[:-2] - 2 * x + padded[2:]) * jnp.sin(x)

    def function(x: Vector) -> Vector:
        return jax.lax.scan(lambda x, _: (step(x), None), x, length=steps)[0]

    def advance(
        carry: tuple[Vector, Float[Array, "n width"]], _: None
    ) -> tuple[tuple[Vector, Float[Array, "n width"]], None]:
        x, band = carry
        padded = jnp.pad(x, 1)
        coupling = 0.1 * jnp.sin(x)
        curvature = padded[:-2] - 2 * x + padded[2:]
        here = 1 + 0.1 * curvature * jnp.cos(x) - 2 * coupling
        # Column k of a row is column k + 1 of the row before, k - 1 of the next one.
        left, right = jnp.pad(band[:-1, 1:], ((1, 0), (0, 1))), band[1:, :-1]
        right = jnp.pad(right, ((0, 1), (1, 0)))
        band = here[:, None] * band + coupling[:, None] * (left + right)
        return (step(x), band), None

    def by_hand(x: Vector) -> Values:
        start = jnp.zeros((n, width)).at[:, steps].set(1)
        (_, band), _ = jax.lax.scan(advance, (x, start), length=steps)
        return band.ravel()[inside]

    return Instance(function, by_hand, point(n))


def collocation(n: int) -> Instance:
    """Residuals of implicit steps of the Lorenz system, one after the other."""
    h, sigma, rho, beta = 0.01, 10.0, 28.0, 8 / 3
    start = np.ones(3)

    def rates(state: Float[Array, "3"]) -> Float[Array, "3"]:
        x, y, z = state
        return jnp.stack([sigma * (y - x), x * (rho - z) - y, x * y - beta * z])

    def residual(
        before: Float[Array, "3"], state: Float[Array, "3"]
    ) -> tuple[Float[Array, "3"], Float[Array, "3"]]:
        return state, state - before - h * rates(state)

    def function(x: Vector) -> Vector:
        return jax.lax.scan(residual, jnp.asarray(start), x.reshape(-1, 3))[1].ravel()

    def by_hand(states: Vector) -> Values:
        x, y, z = states.reshape(-1, 3).T
        first = [-1.0, 1 + h * sigma, -h * sigma]
        second = [-1.0, h * (z - rho), 1 + h, h * x]
        third = [-1.0, -h * y, -h * x, 1 + h * beta]
        columns = jnp.broadcast_arrays(*first, *second, *third, x)[:-1]
        values = interleave(*columns)
        # The state before the first step is constant.
        return jnp.concatenate([values[1:3], values[4:7], values[8:]])

    return Instance(function, by_hand, point(n // 3 * 3))


def heat(n: int) -> Instance:
    """Constant diffusion, and a source that depends on the temperature."""

    def function(u: Vector) -> Vector:
        padded = jnp.pad(u, 1)
        return padded[:-2] - 2 * u + padded[2:] + u - u**3

    def by_hand(u: Vector) -> Values:
        ones = jnp.ones(n)
        return interleave(ones, -1 - 3 * u**2, ones)[1:-1]

    return Instance(function, by_hand, point(n))


def linear(n: int) -> Instance:
    """A residual whose derivative is constant."""
    load = np.linspace(0, 1, n - 2)
    entries = np.tile([1.0, -2.0, 1.0], n - 2)
    return Instance(
        lambda x: x[:-2] - 2 * x[1:-1] + x[2:] - load,
        lambda _: jnp.asarray(entries),
        point(n),
    )


HAND_WRITTEN = [
    HandWritten("squared differences", squared_differences, (100_000, 1_000_000)),
    HandWritten("Brusselator", brusselator, (2 * 96**2, 2 * 192**2)),
    HandWritten("Rosenbrock", rosenbrock, (100_000,), "hessian"),
    HandWritten("kinetics", kinetics, (9999,)),
    HandWritten("arrow", arrow, (2000, 100_000)),
    HandWritten("stored densely", stored_densely, (1000,)),
    HandWritten("convolution", convolution, (64**2,)),
    HandWritten("batched MLP", perceptrons, (4000,)),
    HandWritten("mesh assembly", mesh, (10_000, 1_000_000)),
    HandWritten("energy", energy, (10_000, 1_000_000), "hessian"),
    HandWritten("time steps", time_steps, (20_000,)),
    HandWritten("collocation", collocation, (6000,)),
    HandWritten("heat", heat, (100_000,)),
    HandWritten("linear residual", linear, (100_000,)),
]
