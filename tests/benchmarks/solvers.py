"""Sparse solves in diffrax and optimistix, by one argument, and a bundle adjustment.

Each problem is solved by `asdex.lineax.Sparse` and, where that takes less than minutes, by
lineax's own choice, which makes dense matrices. Traces and compilation are timed apart.
"""

import time
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx

import asdex
from asdex._linalg.solvers.host.store import STORE
from asdex.lineax import Sparse

from .timing import together

DENSE = lx.AutoLinearSolver(well_posed=None)


def robertson(groups: int) -> tuple[Any, Any, float]:
    """Independent copies of Robertson's kinetics, with rates that differ."""
    rates = jnp.linspace(0.5, 1.5, groups)

    def rate(t: Any, y: Any, args: Any) -> Any:
        del t, args
        slow, fast = 0.04 * rates * y[0], 1e4 * y[1] * y[2]
        faster = 3e7 * y[1] ** 2
        return jnp.stack([fast - slow, slow - fast - faster, faster])

    return rate, jnp.zeros((3, groups)).at[0].set(1.0), 100.0


def brusselator(side: int) -> tuple[Any, Any, float]:
    """Two reacting and diffusing fields on a periodic grid."""
    x, y = jnp.meshgrid(jnp.arange(side) / side, jnp.arange(side) / side)

    def rate(t: Any, fields: Any, args: Any) -> Any:
        del t, args
        u, v = fields

        def laplacian(w: Any) -> Any:
            shifts = [jnp.roll(w, s, axis) for s in (1, -1) for axis in (0, 1)]
            return 0.02 * side**2 * (sum(shifts) - 4 * w)

        return 1 + u**2 * v - 4.4 * u + laplacian(u), 3.4 * u - u**2 * v + laplacian(v)

    return rate, (22 * y * (1 - y) ** 1.5, 27 * x * (1 - x) ** 1.5), 1.0


def integrate(
    problem: tuple[Any, Any, float], method: Any, tolerance: float, linear_solver: Any
) -> Callable[[Any], Any]:
    rate, _, end = problem
    chord = diffrax.with_stepsize_controller_tols(diffrax.VeryChord)

    def run(start: Any) -> Any:
        solution = diffrax.diffeqsolve(
            *(
                diffrax.ODETerm(rate),
                method(root_finder=chord(linear_solver=linear_solver)),
            ),
            *(0.0, end, 1e-4, start),
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            max_steps=100_000,
        )
        return solution.ys, solution.stats["num_steps"]

    return run


def bratu(linear_solver: Any) -> Callable[[Any], Any]:
    """Newton's method of optimistix on 900 unknowns."""

    def residual(u: Any, strength: Any) -> Any:
        grid = jnp.pad(u.reshape(30, 30), 1)
        near = grid[2:, 1:-1] + grid[:-2, 1:-1] + grid[1:-1, 2:] + grid[1:-1, :-2]
        return 4 * u - near.ravel() - strength / 900 * jnp.exp(u)

    newton = optx.Newton(rtol=1e-8, atol=1e-8, linear_solver=linear_solver)

    def run(start: Any) -> Any:
        solution = optx.root_find(residual, newton, start, args=1.0)
        return solution.value, solution.stats["num_steps"]

    return run


def compare(name: str, make: Callable[[Any], Any], start: Any, with_dense: bool) -> None:
    programs = []
    for solver in (Sparse(), DENSE)[: 1 + with_dense]:
        begin = time.perf_counter()
        lowered = jax.jit(make(solver)).lower(start)
        traced = time.perf_counter()
        programs.append((lowered.compile(), traced - begin, time.perf_counter() - traced))
    results = [program(start) for program, *_ in programs]
    calls = [lambda run=program: forgetful(run, start) for program, *_ in programs]
    seconds = together(*calls, budget=2.0)
    _, trace, compilation = programs[0]
    steps = int(results[0][1])
    line = f"{name:32} {steps:6} steps {1e3 * seconds[0]:10.1f} ms, "
    line += f"trace {trace:.1f} s, compilation {compilation:.1f} s"
    if with_dense:
        line += f"; dense {seconds[1] / seconds[0]:.0f} times as long"
        error = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), *(r[0] for r in results))
        line += f", difference {max(jax.tree.leaves(error)):.0e}"
    print(line, flush=True)


def forgetful(run: Callable[..., Any], *args: Any) -> Any:
    """A call that finds no factors of the one before."""
    STORE.clear()
    return run(*args)


def bundle_adjustment(cameras: int = 40, points: int = 800) -> asdex.SparseJacobian:
    """Residuals of which each depends on a camera of 6 and on a point of 3 numbers."""
    rng = np.random.default_rng(0)
    seen = np.repeat(np.arange(points), 6)
    by = rng.integers(0, cameras, seen.size)
    unknowns = np.concatenate(
        [6 * by[:, None] + np.arange(6), 6 * cameras + 3 * seen[:, None] + np.arange(3)], 1
    )
    cols = np.repeat(unknowns, 2, axis=0)
    rows = np.broadcast_to(np.arange(len(cols))[:, None], cols.shape)
    shape = len(cols), 6 * cameras + 3 * points
    pattern = asdex.SparsityPattern(rows.ravel(), cols.ravel(), shape)
    return asdex.SparseJacobian(jnp.asarray(rng.normal(size=pattern.nnz)), pattern)


def grid(side: int) -> asdex.SparseJacobian:
    """The five-point stencil, with a coefficient that varies a hundredfold."""
    weight = 10 ** (1 - 2 * jnp.abs(jnp.sin(jnp.arange(side**2) / 99))).reshape(side, side)

    def residual(u: Any) -> Any:
        padded, w = jnp.pad(u.reshape(side, side), 1), jnp.pad(weight, 1, mode="edge")
        near = [jnp.roll(padded, s, axis) for s in (1, -1) for axis in (0, 1)]
        across = [w + jnp.roll(w, s, axis) for s in (1, -1) for axis in (0, 1)]
        flows = [c * (padded - n) for c, n in zip(across, near, strict=True)]
        return sum(flows, jnp.zeros_like(padded))[1:-1, 1:-1].ravel()

    u = jnp.zeros(side**2)
    return asdex.jacobian(residual, u, output_format="operator")(u)


def elliptic(side: int, solvers: dict[str, Any]) -> None:
    """Solves with one matrix: the first, which plans, compiles and factors, and others."""
    a = grid(side)
    b = jnp.ones(a.shape[0])
    for name, solver in solvers.items():
        solve = jax.jit(lambda a, b, s=solver: a.solve(b, solver=s, throw=False))
        begin = time.perf_counter()
        x = jax.block_until_ready(solve(a, b))
        first = time.perf_counter() - begin
        (seconds,) = together(lambda run=solve: forgetful(run, a, b), budget=1.0)
        residual = jnp.linalg.norm(a @ x - b) / jnp.linalg.norm(b)
        print(
            f"grid of {side} x {side}, {name:16} {seconds:7.2f} s, the first "
            f"{first:6.2f} s, residual {residual:.0e}",
            flush=True,
        )


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    for groups, with_dense in ((333, False), (1000, False), (10_000, False)):
        problem = robertson(groups)

        def kinetics(s: Any, problem: Any = problem) -> Any:
            return integrate(problem, diffrax.Kvaerno5, 1e-8, s)

        compare(f"Robertson, {groups} groups", kinetics, problem[1], with_dense)
    for side, with_dense in ((16, True), (64, False)):
        problem = brusselator(side)

        def fields(s: Any, problem: Any = problem) -> Any:
            return integrate(problem, diffrax.Kvaerno3, 1e-4, s)

        compare(f"Brusselator, {side} x {side} x 2", fields, problem[1], with_dense)
    compare("Bratu by Newton, 900", bratu, jnp.zeros(900), with_dense=True)
    a = bundle_adjustment()
    b = jnp.ones(a.shape[0])
    step = jax.jit(lambda a, b: a.lstsq(b, damping=1e-3))
    begin = time.perf_counter()
    jax.block_until_ready(step(a, b))
    first = time.perf_counter() - begin
    (seconds,) = together(lambda: forgetful(step, a, b))
    name = f"bundle adjustment, {a.shape[1]} unknowns"
    print(f"{name}: {1e3 * seconds:.1f} ms a step, the first with its plan {first:.1f} s")
    jacobi, ilu, amg = (
        asdex.Iterative("cg", preconditioner=name) for name in ("jacobi", "ilu", "amg")
    )
    named = {"cg and jacobi": jacobi, "cg and ilu": ilu, "cg and amg": amg}
    elliptic(316, {"direct": "superlu"} | named)
    elliptic(1000, {name: named[name] for name in ("cg and ilu", "cg and amg")})
