"""An Equinox layer that solves a partial differential equation, trained through the solve.

A population `u` spreads over a periodic square and grows by an unknown law:

    du/dt = D (u_xx + u_yy) + growth(u)

The layer holds the diffusivity `D`, a small neural network for `growth`, and the coloring
of a Jacobian. It makes one step of implicit Euler: its output `y` for the input `u` is the
root of `y - u - dt (D (y_xx + y_yy) + growth(y))`, found by Newton's method with a sparse
Jacobian. From states before and after a step, made with `D = 0.01` and
`growth(u) = 4 u (1 - u)`, gradient descent learns both.

Run `python docs/examples/implicit_layer.py --help` for the options.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

import asdex

Grid = Float[Array, "side side"]
Grids = Float[Array, "samples side side"]
Scalar = Float[Array, ""]

DIFFUSIVITY, RATE = 0.01, 4.0
TIME_STEP, NEWTON_STEPS = 0.1, 4


class Logistic(eqx.Module):
    """The growth of a population up to a capacity of one."""

    rate: Scalar

    def __call__(self, u: Scalar) -> Scalar:
        return self.rate * u * (1 - u)


class Network(eqx.Module):
    """A function of one number, with one hidden layer."""

    hidden: eqx.nn.Linear
    output: eqx.nn.Linear

    def __init__(self, width: int, key: PRNGKeyArray):
        first, second = jax.random.split(key)
        self.hidden = eqx.nn.Linear("scalar", width, key=first)
        self.output = eqx.nn.Linear(width, "scalar", key=second)

    def __call__(self, u: Scalar) -> Scalar:
        return self.output(jnp.tanh(self.hidden(u)))


class ImplicitEuler(eqx.Module):
    """A step of a reaction-diffusion equation whose coefficients can be learned.

    The coloring is a field like any other. It holds no arrays, only structure, so
    gradients and optimizers see the coefficients alone, and `jax.jit` a static value.
    """

    log_diffusivity: Scalar
    growth: Logistic | Network
    coloring: asdex.ColoredPattern

    def __init__(self, diffusivity: float, growth: Logistic | Network, side: int):
        self.log_diffusivity = jnp.log(jnp.asarray(diffusivity))
        self.growth = growth
        grid = jnp.zeros((side, side))
        self.coloring = asdex.jacobian_coloring(self.residual, grid, grid)

    def residual(self, new: Grid, old: Grid) -> Grid:
        """The residual of the step."""
        neighbors = sum(jnp.roll(new, shift, axis) for axis in (0, 1) for shift in (-1, 1))
        laplacian = new.shape[0] ** 2 * (neighbors - 4 * new)
        growth = jax.vmap(jax.vmap(self.growth))(new)
        rate = jnp.exp(self.log_diffusivity) * laplacian + growth
        return new - old - TIME_STEP * rate

    def __call__(self, old: Grid, correction: "Correction | None" = None) -> Grid:
        """The state one step after `old`."""
        correct = correction or sparse_correction
        fixed, given = jax.lax.stop_gradient((self, old))
        new = jax.lax.fori_loop(
            0, NEWTON_STEPS, lambda _, new: new - correct(fixed, new, given), given
        )
        # Nothing is differentiated up to here. One more step changes the value no more,
        # but its derivative is exact: with J = residual_new held fixed, that of
        # new - J^-1 residual(new, old, p) by p is -J^-1 residual_p, as the implicit
        # function theorem says. The derivative of J would be multiplied by the
        # residual, which is zero.
        return new - correct(self, new, old)


Correction = Callable[[ImplicitEuler, Grid, Grid], Grid]
"""From a layer, a guess and the state before to what Newton's method subtracts."""


def sparse_correction(layer: ImplicitEuler, new: Grid, old: Grid) -> Grid:
    """By the operator, which takes and returns grids."""
    jacobian = asdex.jacobian_from_coloring(layer.residual, layer.coloring, "operator")
    matrix = jax.lax.stop_gradient(jacobian(new, old))
    return matrix.solve(layer.residual(new, old))


def dense_correction(layer: ImplicitEuler, new: Grid, old: Grid) -> Grid:
    """By JAX alone, for comparison."""
    matrix = jax.lax.stop_gradient(jax.jacfwd(layer.residual)(new, old))
    residual = layer.residual(new, old).ravel()
    return jnp.linalg.solve(matrix.reshape(new.size, new.size), residual).reshape(new.shape)


def loss(
    layer: ImplicitEuler, before: Grids, after: Grids, correction: Correction
) -> Scalar:
    """Mean squared error of the states after a step."""
    predicted = jax.vmap(lambda old: layer(old, correction))(before)
    return jnp.mean((predicted - after) ** 2)


class Adam(NamedTuple):
    """Moving averages of a gradient and of its square, both like the layer."""

    mean: ImplicitEuler
    square: ImplicitEuler
    steps: Scalar


def adam_step(
    layer: ImplicitEuler, state: Adam, gradient: ImplicitEuler, rate: float
) -> tuple[ImplicitEuler, Adam]:
    """One step of Adam with its usual constants (Kingma and Ba 2015, Algorithm 1)."""
    steps = state.steps + 1
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.mean, gradient)
    square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, state.square, gradient)

    def moved(p: Array, m: Array, v: Array) -> Array:
        m, v = m / (1 - 0.9**steps), v / (1 - 0.999**steps)
        return p - rate * m / (jnp.sqrt(v) + 1e-8)

    return jax.tree.map(moved, layer, mean, square), Adam(mean, square, steps)


@partial(jax.jit, static_argnames="steps")
def train(
    layer: ImplicitEuler, before: Grids, after: Grids, steps: int
) -> tuple[ImplicitEuler, Float[Array, " steps"]]:
    """The layer after training, and the loss before each step."""

    def step(
        carry: tuple[ImplicitEuler, Adam], _: None
    ) -> tuple[tuple[ImplicitEuler, Adam], Scalar]:
        layer, state = carry
        value, gradient = jax.value_and_grad(loss)(layer, before, after, sparse_correction)
        return adam_step(layer, state, gradient, rate=0.1), value

    zeros = jax.tree.map(jnp.zeros_like, layer)
    start = (layer, Adam(zeros, zeros, jnp.zeros(())))
    (layer, _), losses = jax.lax.scan(step, start, length=steps)
    return layer, losses


def initial_states(samples: int, side: int, key: PRNGKeyArray) -> Grids:
    """Random smooth states between 0 and 1: waves of two lengths."""
    x = jnp.linspace(0.0, 2 * jnp.pi, side, endpoint=False)
    phases = 2 * jnp.pi * jax.random.uniform(key, (4, samples, 1, 1))
    wave = jnp.sin(x[:, None] + phases[0]) * jnp.sin(x + phases[1])
    ripple = jnp.sin(2 * x[:, None] + phases[2]) * jnp.sin(2 * x + phases[3])
    return 0.5 + 0.25 * wave + 0.25 * ripple


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call takes until its result is there, and the result."""
    start = time.perf_counter()
    result = jax.block_until_ready(function())
    return time.perf_counter() - start, result


def best_of(repeats: int, function: Callable[[], Any]) -> tuple[float, Any]:
    """Least seconds of several calls, after one to warm up, and the result."""
    result = function()
    return min(timed(function)[0] for _ in range(repeats)), result


def problem(side: int, samples: int) -> tuple[ImplicitEuler, Grids, Grids]:
    """An untrained layer, and states before and after a step to learn from."""
    weights, states = jax.random.split(jax.random.key(0))
    before = initial_states(samples, side, states)
    truth = ImplicitEuler(DIFFUSIVITY, Logistic(jnp.asarray(RATE)), side)
    layer = ImplicitEuler(0.1, Network(8, weights), side)
    return layer, before, jax.jit(jax.vmap(truth))(before)


def compare(side: int, samples: int) -> None:
    """Print how gradients by the sparse and by the dense matrix differ, and their cost."""
    layer, before, after = problem(side, samples)
    gradient = jax.jit(jax.grad(loss), static_argnames="correction")
    sparse, by_sparse = best_of(
        3, lambda: gradient(layer, before, after, sparse_correction)
    )
    dense, by_dense = best_of(3, lambda: gradient(layer, before, after, dense_correction))
    differences = jax.tree.map(
        lambda a, b: jnp.abs(a - b).max() / jnp.abs(b).max(), by_sparse, by_dense
    )
    print(f"one gradient through {samples} solves on a {side} x {side} grid")
    print(f"  sparse              {1e3 * sparse:10.1f} ms")
    print(f"  dense               {1e3 * dense:10.1f} ms  ({dense / sparse:.1f}x as long)")
    print(f"  relative difference {max(jax.tree.leaves(differences)):10.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=40, help="grid points per direction")
    parser.add_argument("--dense-side", type=int, default=24, help="same, dense as well")
    parser.add_argument("--samples", type=int, default=4, help="states to learn from")
    parser.add_argument("--steps", type=int, default=200, help="steps of gradient descent")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)

    compare(options.dense_side, options.samples)
    layer, before, after = problem(options.side, options.samples)
    seconds, (learned, losses) = timed(lambda: train(layer, before, after, options.steps))
    print(f"\n{options.steps} steps of training on a {options.side} x {options.side} grid")
    print(f"  time                {seconds:10.1f} s  (with compilation)")
    print(f"  loss                {losses[0]:10.1e} to {losses[-1]:.1e}")
    print(f"  diffusivity         {jnp.exp(layer.log_diffusivity):10.4f} to", end=" ")
    print(f"{jnp.exp(learned.log_diffusivity):.4f}, truly {DIFFUSIVITY}")
    print(f"  growth(0.5)         {layer.growth(jnp.asarray(0.5)):10.4f} to", end=" ")
    print(f"{learned.growth(jnp.asarray(0.5)):.4f}, truly {RATE / 4}")


if __name__ == "__main__":
    main()
