"""How long a VJP takes in a batch of one per color, compared with a JVP.

The choice between forward and reverse mode counts them alike.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

import asdex

from . import problems
from .timing import together

Vector = problems.Vector


def gathered_and_scattered(n: int) -> tuple[Callable[[Vector], Vector], Vector]:
    """Three neighbors interact in each cell, and cells add up."""
    cells = jnp.arange(n - 2)[:, None] + jnp.arange(3)

    def residual(x: Vector) -> Vector:
        corners = x[cells]
        forces = jnp.sin(corners).sum(axis=1, keepdims=True) * corners
        return jnp.zeros(n).at[cells].add(forces)

    return residual, problems.point(n)


def time_steps(n: int) -> tuple[Callable[[Vector], Vector], Vector]:
    """Ten explicit steps of a periodic three-point stencil."""

    def step(x: Vector, _: None) -> tuple[Vector, None]:
        return x + 0.1 * (jnp.roll(x, 1) - 2 * x + jnp.roll(x, -1)) * jnp.sin(x), None

    return lambda x: jax.lax.scan(step, x, None, length=10)[0], problems.point(n)


def sums(n: int) -> tuple[Callable[[Vector], Vector], Vector]:
    """Cumulative sums within groups of eight."""
    return lambda x: jnp.cumsum(x.reshape(-1, 8), axis=1).ravel() ** 2, problems.point(n)


def image_filter(n: int) -> tuple[Callable[[Vector], Array], Vector]:
    """A convolution with 3 x 3 weights on a square image."""
    side, weights = int(n**0.5), jnp.ones((3, 3))
    return (
        lambda x: jax.scipy.signal.convolve(x.reshape(side, side), weights, "same") ** 2,
        problems.point(side**2),
    )


CASES = {
    "squared differences": problems.squared_differences(100_000),
    "Brusselator": problems.brusselator(8192),
    "Brusselator, large": problems.brusselator(32_768),
    "gather and scatter": gathered_and_scattered(20_000),
    "time steps": time_steps(4000),
    "cumulative sums": sums(8000),
    "image filter": image_filter(4096),
}


def main() -> None:
    print(f"{'':<22}{'colors':>8}{'JVPs [ms]':>12}{'VJPs [ms]':>12}{'ratio for one':>16}")
    for name, (fun, x) in CASES.items():
        pattern = asdex.jacobian_sparsity(fun, x)
        colorings = [
            asdex.jacobian_coloring_from_sparsity(pattern, mode=mode)
            for mode in ("fwd", "rev")
        ]
        forward, reverse = (
            jax.jit(asdex.compressed_jacobian_from_coloring(fun, coloring))
            for coloring in colorings
        )
        jvps, vjps = together(lambda: forward(x), lambda: reverse(x))  # noqa: B023
        counts = [coloring.num_colors for coloring in colorings]
        ratio = (vjps / counts[1]) / (jvps / counts[0])
        print(
            f"{name:<22}{counts[0]:>4}{counts[1]:>4}{jvps * 1e3:>12.3f}{vjps * 1e3:>12.3f}"
            f"{ratio:>16.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
