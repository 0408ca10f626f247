"""An ensemble of boundary value problems, solved at once by `jax.vmap`.

A substance diffuses into a porous slab, from its surface at `x = 1` to the middle at
`x = 0`, and is used up by a reaction of second order on its way:

    u_xx = rate u^2,    u_x(0) = 0,    u(1) = 1

A slow reaction leaves the slab full, a fast one happens in a thin layer at the surface. Of
interest is the effectiveness, the mean of `u^2`: which part of the slab is put to use. A
fast reaction has an effectiveness of `sqrt(2 / (3 rate))`.

Newton's method is written for one rate, with a sparse Jacobian. `jax.vmap` makes it a
program for all of them: one pattern, one coloring, one compilation, and a batch of values.
For small systems that is several times as fast as a loop over the rates, which waits for a
call of each. Large ones a CPU solves faster one by one, because each fits into its caches
and all of them do not; see it with `--size 5000`.

Run `python docs/examples/ensemble.py --help` for the options.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

import asdex

Profile = Float[Array, " n"]
Scalar = Float[Array, ""]
Correction = Callable[[Profile, Scalar], Profile]
"""From `u` and the rate to what Newton's method subtracts from `u`."""

TOLERANCE, MAX_ITERATIONS = 1e-10, 50


class Progress(NamedTuple):
    """The state of Newton's method."""

    u: Profile
    change: Scalar
    iterations: Int[Array, ""]


def residual(u: Profile, rate: Scalar) -> Profile:
    """The residual of the equation in the middle of `n` cells of equal length."""
    # The value beyond an end, from the condition at that end.
    beyond = jnp.concatenate([u[:1], u, 2 - u[-1:]])
    return beyond[2:] - 2 * u + beyond[:-2] - rate / u.size**2 * u**2


def effectiveness(u: Profile) -> Scalar:
    """Which part of the slab is put to use."""
    return jnp.mean(u**2)


def newton(correction: Correction, size: int, rate: Scalar) -> Progress:
    """Newton's method until it changes `u` no more."""

    def unfinished(now: Progress) -> Array:
        return (now.change > TOLERANCE) & (now.iterations < MAX_ITERATIONS)

    def step(now: Progress) -> Progress:
        change = correction(now.u, rate)
        return Progress(now.u - change, jnp.abs(change).max(), now.iterations + 1)

    depth = 1 - jnp.arange(0.5, size) / size
    guess = (1 + jnp.sqrt(rate / 6) * depth) ** -2  # Exact in a slab without end.
    start = Progress(guess, jnp.asarray(jnp.inf), jnp.zeros((), int))
    return jax.lax.while_loop(unfinished, step, start)


def sparse_correction(size: int) -> Correction:
    """By a tridiagonal operator."""
    jacobian = asdex.value_and_jacobian(
        residual, jnp.ones(size), jnp.ones(()), output_format="operator"
    )

    def correction(u: Profile, rate: Scalar) -> Profile:
        value, matrix = jacobian(u, rate)
        return matrix.solve(value)

    return correction


def dense_correction(u: Profile, rate: Scalar) -> Profile:
    """By JAX alone, for comparison."""
    return jnp.linalg.solve(jax.jacfwd(residual)(u, rate), residual(u, rate))


def best_of(repeats: int, function: Callable[[], Any]) -> tuple[float, Any]:
    """Least seconds of several calls, after one to warm up, and the result."""

    def seconds() -> float:
        start = time.perf_counter()
        jax.block_until_ready(function())
        return time.perf_counter() - start

    result = function()
    return min(seconds() for _ in range(repeats)), result


def solver(correction: Correction, size: int) -> Callable[[Scalar], Progress]:
    """Newton's method for one rate, to be vmapped and compiled."""
    return lambda rate: newton(correction, size, rate)


def compare(size: int, rates: Float[Array, " rates"], *, with_dense: bool) -> Progress:
    """Solve for all rates in up to three ways, and print what each costs."""
    solve = solver(sparse_correction(size), size)
    one, all_at_once = jax.jit(solve), jax.jit(jax.vmap(solve))
    print(f"\n{rates.size} slabs of {size} cells")
    batched, ends = best_of(3, lambda: all_at_once(rates))
    print(f"  vmap               {1e3 * batched:10.1f} ms")
    loop, _ = best_of(3, lambda: [one(rate) for rate in rates])
    print(f"  loop of Python     {1e3 * loop:10.1f} ms  ({loop / batched:.1f}x as long)")
    if with_dense:
        dense_solve = jax.jit(jax.vmap(solver(dense_correction, size)))
        dense, _ = best_of(3, lambda: dense_solve(rates))
        print(
            f"  vmap, dense        {1e3 * dense:10.1f} ms  ({dense / batched:.0f}x as long)"
        )
    return ends


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=300, help="cells of the slab")
    parser.add_argument("--dense-size", type=int, default=50, help="same, dense as well")
    parser.add_argument("--members", type=int, default=64, help="number of rates")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)

    rates = jnp.logspace(0, 4, options.members)
    compare(options.dense_size, rates, with_dense=True)
    ends = compare(options.size, rates, with_dense=False)
    converged = int((ends.change <= TOLERANCE).sum())
    found, expected = effectiveness(ends.u[-1]), jnp.sqrt(2 / (3 * rates[-1]))
    print(f"\n{converged} of {rates.size} converged")
    print(f"iterations        {ends.iterations.min()} to {ends.iterations.max()}")
    print(f"slowest reaction  effectiveness {effectiveness(ends.u[0]):.5f}")
    print(f"fastest reaction  effectiveness {found:.5f}, in theory {expected:.5f}")


if __name__ == "__main__":
    main()
