"""The periodic 2-D Brusselator by implicit Euler, with a sparse Jacobian for Newton.

Two chemical species `u`, `v` react and diffuse on the unit square:

    du/dt = 1 + u^2 v - (B + 1) u + D (u_xx + u_yy)
    dv/dt =         B u - u^2 v   + D (v_xx + v_yy)

For B > 2 every point oscillates, slowly for most of a cycle and then with a jump, and
diffusion on a fine grid is stiff: an explicit method would need ever smaller steps as the
grid is refined. Each implicit step solves a nonlinear system in `2 * side**2` unknowns,
whose Jacobian has six nonzeros per row.

Run `python docs/examples/brusselator.py --help` for the options.
"""

import argparse
import importlib.util
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg
from jaxtyping import Array, Float
from scipy.sparse import csc_array

import asdex

B, DIFFUSION = 3.4, 0.005

State = Float[Array, " n"]


def reaction_diffusion(state: State) -> State:
    """The time derivative of the state, on a periodic grid of the unit square."""
    side = math.isqrt(state.size // 2)
    u, v = state.reshape(2, side, side)

    def laplacian(w: Float[Array, "side side"]) -> Float[Array, "side side"]:
        neighbors = sum(jnp.roll(w, shift, axis) for axis in (0, 1) for shift in (-1, 1))
        return side**2 * (neighbors - 4 * w)

    reaction = u**2 * v
    du = 1 + reaction - (B + 1) * u + DIFFUSION * laplacian(u)
    dv = B * u - reaction + DIFFUSION * laplacian(v)
    return jnp.stack([du, dv]).ravel()


def residual(new: State, old: State, step: Float[Array, ""] | float) -> State:
    """The residual of implicit Euler."""
    return new - old - step * reaction_diffusion(new)


compiled_residual = jax.jit(residual)


def initial_state(side: int) -> State:
    """A state far from equilibrium, periodic in neither direction."""
    x = jnp.arange(side) / side
    u = 22 * (x * (1 - x))[:, None] ** 1.5
    v = 27 * (x * (1 - x))[None, :] ** 1.5
    return jnp.stack(jnp.broadcast_arrays(u, v)).ravel()


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call takes until its result is there, and the result."""
    start = time.perf_counter()
    result = jax.block_until_ready(function())
    return time.perf_counter() - start, result


def best_of(repeats: int, function: Callable[[], Any]) -> float:
    """Least seconds of several calls, after one to warm up."""
    function()
    return min(timed(function)[0] for _ in range(repeats))


def with_progress(count: int) -> Iterator[int]:
    """Count up to `count`; in a terminal a bar shows how far it is, after two seconds."""
    start, shown, is_terminal = time.perf_counter(), False, sys.stderr.isatty()
    for done in range(count):
        yield done
        if is_terminal and time.perf_counter() - start > 2:
            shown = True
            bar = "#" * (40 * (done + 1) // count)
            print(f"\r  [{bar:<40}] {done + 1}/{count}", end="", file=sys.stderr)
    if shown:
        print(file=sys.stderr)


def newton(
    jacobian: Callable[..., Any], pattern: asdex.SparsityPattern, old: State, step: float
) -> tuple[State, int, float]:
    """The state one step after `old`, Newton iterations, and the largest residual left."""
    new = old
    for iteration in range(20):
        value = np.asarray(compiled_residual(new, old, step))
        error = float(np.abs(value).max())
        if error < 1e-9:
            return new, iteration, error
        data = np.asarray(jacobian(new, old, step).data)
        matrix = csc_array((data, (pattern.rows, pattern.cols)), shape=pattern.shape)
        # The ordering for a symmetric structure, which this one is: half the fill of
        # SciPy's default.
        factors = scipy.sparse.linalg.splu(
            matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}
        )
        new = new - factors.solve(value)
    raise RuntimeError("Newton's method did not converge. Use a shorter --step.")


def integrate(
    jacobian: Callable[..., Any],
    pattern: asdex.SparsityPattern,
    state: State,
    step: float,
    steps: int,
) -> tuple[State, list[int], float]:
    """Final state, Newton iterations of each step, and the last residual."""
    iterations, error = [], 0.0
    for _ in with_progress(steps):
        state, needed, error = newton(jacobian, pattern, state, step)
        iterations.append(needed)
    return state, iterations, error


def report_stages(
    start: State, step: float
) -> tuple[Callable[..., Any], asdex.ColoredPattern]:
    """Build the Jacobian, print what each stage costs, and return it with its coloring."""
    detection, pattern = timed(
        lambda: asdex.jacobian_sparsity(residual, start, start, step)
    )
    color, coloring = timed(lambda: asdex.jacobian_coloring_from_sparsity(pattern))
    print(coloring)

    derivative = asdex.jacobian(residual, start, start, step)
    print(derivative)
    jacobian = jax.jit(derivative)
    first = timed(lambda: jacobian(start, start, step))[0]
    one = best_of(20, lambda: jacobian(start, start, step))
    function = best_of(20, lambda: compiled_residual(start, start, step))
    print(f"\ndetection         {1e3 * detection:10.2f} ms")
    print(f"coloring          {1e3 * color:10.2f} ms")
    print(f"first call        {1e3 * first:10.2f} ms  (with compilation)")
    print(f"one evaluation    {1e3 * one:10.2f} ms  ({one / function:.1f} residuals)")
    if dense_fits(start.size):
        dense = jax.jit(jax.jacfwd(residual))
        compare = best_of(1, lambda: dense(start, start, step))
        print(f"jitted jax.jacfwd {1e3 * compare:10.2f} ms  ({compare / one:.0f}x as long)")
    else:
        print("jitted jax.jacfwd: its dense matrix does not fit in memory")
    return jacobian, coloring


def dense_fits(n: int) -> bool:
    """Whether a few dense float64 matrices fit in half of the memory."""
    copies = 6
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return copies * 8 * n**2 < memory / 2


def draw(coloring: asdex.ColoredPattern, state: State, path: str) -> None:
    """Write a picture of the pattern and of the first species."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    side = math.isqrt(state.size // 2)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    asdex.spy(coloring, ax=left)
    picture = right.imshow(state.reshape(2, side, side)[0].T, origin="lower")
    figure.colorbar(picture, ax=right)
    right.set(title="u", xlabel="x", ylabel="y")
    figure.savefig(path, dpi=120)
    print(f"picture written to {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=64, help="grid points per direction")
    parser.add_argument("--steps", type=int, default=150, help="steps of implicit Euler")
    parser.add_argument("--step", type=float, default=0.05, help="length of a step")
    parser.add_argument("--picture", default="brusselator.png", help="file to write")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)

    start = initial_state(options.side)
    jacobian, coloring = report_stages(start, options.step)
    print(f"\n{options.steps} steps to t = {options.steps * options.step:g}")
    seconds, (state, iterations, error) = timed(
        lambda: integrate(jacobian, coloring.sparsity, start, options.step, options.steps)
    )
    print(f"time              {seconds:10.2f} s")
    print(
        f"Newton iterations {np.mean(iterations):10.2f} per step, {max(iterations)} at most"
    )
    print(f"final residual    {error:10.1e}")
    if importlib.util.find_spec("matplotlib"):
        draw(coloring, state, options.picture)


if __name__ == "__main__":
    main()
