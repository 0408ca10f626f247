"""The 2-D Bratu problem by Newton's method, compiled into one program.

A reaction releases heat, runs faster in the heat, and cools at the edges of a square plate:

    -(u_xx + u_yy) = lambda exp(u),    u = 0 on the boundary of the unit square

For `lambda` below 6.8 there is a steady state, beyond the plate explodes. On a grid of
`side**2` points every Newton step solves a sparse linear system with five entries per row.
Here the whole iteration, with the Jacobian, the solve and the test for convergence, is
inside one `jax.jit`, so it can be vmapped, differentiated or made part of a larger program.

Run `python docs/examples/bratu.py --help` for the options.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg
from jaxtyping import Array, Float, Int

import asdex

Grid = Float[Array, "side side"]
Scalar = Float[Array, ""]
Correction = Callable[[Grid, Scalar, Grid], Grid]
"""From `u`, `lambda` and the residual to what Newton's method subtracts from `u`."""

TOLERANCE, MAX_ITERATIONS = 1e-8, 20


class Progress(NamedTuple):
    """The state of Newton's method."""

    u: Grid
    residual: Grid
    iterations: Int[Array, ""]

    @property
    def error(self) -> Scalar:
        """The largest residual."""
        return jnp.abs(self.residual).max()


def residual(u: Grid, lam: Scalar) -> Grid:
    """The residual of the Bratu equation at the interior points."""
    inside = jnp.pad(u, 1)
    neighbors = inside[2:, 1:-1] + inside[:-2, 1:-1] + inside[1:-1, 2:] + inside[1:-1, :-2]
    return (u.shape[0] + 1) ** 2 * (4 * u - neighbors) - lam * jnp.exp(u)


def newton(correction: Correction, start: Grid, lam: Scalar) -> Progress:
    """Newton's method from `start` until the residual is small."""

    def unfinished(now: Progress) -> Array:
        return (now.error > TOLERANCE) & (now.iterations < MAX_ITERATIONS)

    def step(now: Progress) -> Progress:
        u = now.u - correction(now.u, lam, now.residual)
        return Progress(u, residual(u, lam), now.iterations + 1)

    first = Progress(start, residual(start, lam), jnp.zeros((), int))
    return jax.lax.while_loop(unfinished, step, first)


def sparse_correction(jacobian: Callable[..., asdex.SparseJacobian]) -> Correction:
    """By the operator, which takes and returns grids."""
    return lambda u, lam, r: jacobian(u, lam).solve(r)


def dense_correction(u: Grid, lam: Scalar, r: Grid) -> Grid:
    """By JAX alone, for comparison."""
    matrix = jax.jacfwd(residual)(u, lam).reshape(u.size, u.size)
    return jnp.linalg.solve(matrix, r.ravel()).reshape(u.shape)


def newton_by_hand(
    jacobian: Callable[..., asdex.SparseJacobian], start: Grid, lam: Scalar
) -> Progress:
    """The same with SciPy's SuperLU, in a loop of Python."""
    compiled, compiled_residual = jax.jit(jacobian), jax.jit(residual)
    now = Progress(start, compiled_residual(start, lam), jnp.zeros((), int))
    while now.error > TOLERANCE and now.iterations < MAX_ITERATIONS:
        matrix = compiled(now.u, lam).to_scipy("csc")
        # The ordering for a symmetric structure, which this one is: half the fill of
        # SciPy's default.
        factors = scipy.sparse.linalg.splu(
            matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}
        )
        change = factors.solve(np.asarray(now.residual).ravel())
        u = now.u - change.reshape(start.shape)
        now = Progress(u, compiled_residual(u, lam), now.iterations + 1)
    return now


def best_of(repeats: int, function: Callable[[], Any]) -> tuple[float, Any]:
    """Least seconds of several calls, after one to warm up, and the result."""

    def seconds() -> float:
        start = time.perf_counter()
        jax.block_until_ready(function())
        return time.perf_counter() - start

    result = function()
    return min(seconds() for _ in range(repeats)), result


def report(name: str, solve: Callable[[], Progress]) -> float:
    """Print how Newton's method ended, and return the seconds that each step took."""
    seconds, end = best_of(3, solve)
    per_step = seconds / int(end.iterations)
    print(
        f"{name:<24} {end.iterations:2d} iterations, residual {end.error:.1e}, "
        f"{1e3 * per_step:8.2f} ms per step"
    )
    return per_step


def compare(side: int, lam: Scalar, *, with_dense: bool) -> Progress:
    """Solve on a grid in up to three ways, and print what each costs."""
    start = jnp.zeros((side, side))
    jacobian = asdex.jacobian(residual, start, lam, output_format="operator")
    print(f"\n{side} x {side} grid: {jacobian(start, lam)}")
    solve = jax.jit(lambda lam: newton(sparse_correction(jacobian), start, lam))
    sparse = report("one program", lambda: solve(lam))
    hand = report("loop with SciPy's splu", lambda: newton_by_hand(jacobian, start, lam))
    print(f"  the loop takes {hand / sparse:.2f} times as long")
    if with_dense:
        dense_solve = jax.jit(lambda lam: newton(dense_correction, start, lam))
        dense = report("one program, dense", lambda: dense_solve(lam))
        print(f"  the dense matrix takes {dense / sparse:.0f} times as long")
    return solve(lam)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=100, help="grid points per direction")
    parser.add_argument("--dense-side", type=int, default=50, help="same, dense as well")
    parser.add_argument("--lam", type=float, default=6.0, help="strength of the reaction")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)

    lam = jnp.asarray(options.lam)
    compare(options.dense_side, lam, with_dense=True)
    end = compare(options.side, lam, with_dense=False)
    print(f"\nhighest temperature {end.u.max():.6f}")


if __name__ == "__main__":
    main()
