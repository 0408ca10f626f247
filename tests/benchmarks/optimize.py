"""Optimal control of a beam by IPOPT: setting up, derivatives, and solving.

Per number of pieces, of which each has three unknowns and two constraints: seconds until
the structures are found and all functions have been compiled; the time of one evaluation of
all derivatives, and of first derivatives as IPOPT takes them, in times of objective and
constraints; and seconds of a whole solve, with compiled functions, by sparse derivatives
and where they fit by dense ones of JAX. Solving needs cyipopt.
"""

import importlib
import importlib.util
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from asdex.optimize import NonlinearProgram
from tests.optimize import beam

from .timing import together

SIZES = (200, 1000, 10_000)
DENSE = 200
"""The largest number of pieces with dense derivatives."""

HEADINGS = ["set-up", "all / f, c", "first / f, c", "solving", "iterations", "dense"]
FORMAT = "{:>8}" + "{:>14}" * len(HEADINGS)


class DenseCallbacks:
    """What IPOPT calls, with dense derivatives by JAX, each compiled."""

    def __init__(self, x: Any):
        _, unravel = ravel_pytree(x)

        def constraints(x: Any) -> Any:
            return ravel_pytree(beam.shape(unravel(x)))[0]

        def lagrangian(x: Any, multipliers: Any, factor: Any) -> Any:
            return factor * beam.energy(unravel(x)) + multipliers @ constraints(x)

        self.objective = jax.jit(lambda x: beam.energy(unravel(x)))
        self.gradient = jax.jit(jax.grad(self.objective))
        self.constraints = jax.jit(constraints)
        self.jacobian = jax.jit(jax.jacobian(constraints))
        self._hessian = jax.jit(jax.hessian(lagrangian))

    def hessian(self, x: Any, multipliers: Any, factor: Any) -> Any:
        dense = np.asarray(self._hessian(x, multipliers, factor))
        return dense[np.tril_indices(x.size)]


class Solved(NamedTuple):
    seconds: float
    iterations: int
    objective: float


def solve(callbacks: Any, sizes: Any, x: Any) -> Solved:
    """The whole solution by IPOPT, with functions that may not be compiled yet."""
    cyipopt = importlib.import_module("cyipopt")
    steps = 0

    def count(*args: Any) -> bool:
        nonlocal steps
        steps += 1
        return True

    callbacks.intermediate = count
    solver = cyipopt.Problem(problem_obj=callbacks, **sizes)
    for option in {"print_level": 0, "sb": "yes"}.items():
        solver.add_option(*option)
    begin = time.perf_counter()
    _, info = solver.solve(x)
    seconds = time.perf_counter() - begin
    assert info["status"] == 0, info["status_msg"]
    return Solved(seconds, steps, info["obj_val"])


def measure(pieces: int) -> list[str]:
    x = jax.tree.map(jnp.asarray, beam.start(pieces))
    flat = np.asarray(ravel_pytree(x)[0])
    begin = time.perf_counter()
    problem = NonlinearProgram(beam.energy, beam.shape, x, bounds=beam.bounds(pieces))
    callbacks = problem.cyipopt()
    ones = jax.tree.map(jnp.ones_like, problem.constraints(x))
    multipliers = np.ones(problem.codomain.size)
    callbacks.objective(flat)
    callbacks.hessian(flat, multipliers, 1.0)
    jax.block_until_ready(problem.evaluate(x, ones))
    set_up = time.perf_counter() - begin

    values = jax.jit(lambda x: (beam.energy(x), beam.shape(x)))
    everything = jax.jit(problem.evaluate)
    of_values, of_all, of_first = together(
        lambda: values(x),
        lambda: everything(x, ones),
        lambda: callbacks._program._first_order(flat),
    )
    found = [f"{set_up:.2f} s", f"{of_all / of_values:.2f}", f"{of_first / of_values:.2f}"]
    if importlib.util.find_spec("cyipopt") is None:
        return [*found, "no cyipopt", "", ""]
    sparse = solve(callbacks, callbacks.sizes, flat)
    found += [f"{sparse.seconds:.3f} s", str(sparse.iterations)]
    if pieces > DENSE:
        return [*found, ""]
    callbacks_of_dense = DenseCallbacks(x)
    solve(callbacks_of_dense, callbacks.sizes, flat)  # Compiles.
    dense = solve(callbacks_of_dense, callbacks.sizes, flat)
    np.testing.assert_allclose(sparse.objective, dense.objective, rtol=1e-6)
    return [*found, f"{dense.seconds:.2f} s"]


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    print(FORMAT.format("pieces", *HEADINGS))
    for pieces in SIZES:
        print(FORMAT.format(pieces, *measure(pieces)), flush=True)
