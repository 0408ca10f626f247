"""What it costs to find a pattern: seconds, growth and memory, in float64.

Each line is measured in a process of its own. `first` is the first detection there, `best`
the best of three more; `/ f` is `best` as a multiple of one jitted evaluation of the
function. `growth` is the time for ten times the size, computed from the line before.
`bytes` is by how much the peak memory of the process grew in the first detection, for each
entry of the largest pattern on the way. Expected are the seconds of the last column, a
growth of 13 at most and, where patterns are large, 60 bytes at most.
"""

import json
import math
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

import asdex
from asdex._detect import Trail, detect

from .problems import brusselator, mesh, rosenbrock, squared_differences
from .timing import once, together

Problem: TypeAlias = tuple[Callable[[Array], Array], Any]


def elastic_energy(n: int) -> Problem:
    """Bilinear quadrilaterals, two unknowns per node."""
    side = max(2, math.isqrt(n // 2))
    node = np.arange(side**2).reshape(side, side)
    corners = [node[:-1, :-1], node[:-1, 1:], node[1:, :-1], node[1:, 1:]]
    elements = jnp.asarray(np.stack(corners, axis=-1).reshape(-1, 4))
    gradients = np.random.default_rng(0).standard_normal((4, 4, 2))

    def energy(u: Array) -> Array:
        local = u.reshape(-1, 2)[elements]
        (a, b), (c, d) = jnp.einsum("eac,gab->cbeg", local, gradients)
        volume = a * d - b * c
        return jnp.sum(a**2 + b**2 + c**2 + d**2 + (volume - 1) ** 2)

    return energy, np.ones(2 * side**2)


def stencil_in_scan(n: int) -> Problem:
    """Twenty steps of a periodic stencil of three points: 41 entries per row."""

    def step(c: Array, _: None) -> tuple[Array, None]:
        return jnp.roll(c, 1) + jnp.roll(c, -1) - 2 * jnp.sin(c), None

    return lambda x: lax.scan(step, x, None, length=20)[0], np.ones(n)


def lorenz_residuals(n: int) -> Problem:
    """A scan over the steps of a system of three states, each compared with the last."""

    def step(before: Array, now: Array) -> tuple[Array, Array]:
        x, y, z = now
        rate = jnp.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])
        return now, now - before - 0.01 * rate

    return lambda z: lax.scan(step, jnp.ones(3), z.reshape(-1, 3))[1].ravel(), np.ones(n)


def sparse_matrix_stored_densely(n: int) -> Problem:
    """Five entries per row."""
    rng = np.random.default_rng(0)
    dense = np.zeros((n, n))
    dense[rng.integers(n, size=5 * n), rng.integers(n, size=5 * n)] = 1.0
    matrix = jnp.asarray(dense)
    return lambda x: matrix @ x, np.ones(n)


def convolutional_network(n: int) -> Problem:
    """Three layers of 3 x 3 kernels on a square image: 49 entries per row."""
    side = math.isqrt(n)
    rng = np.random.default_rng(0)
    kernels = [rng.standard_normal((*shape, 3, 3)) for shape in [(4, 1), (4, 4), (1, 4)]]

    def apply(x: Array) -> Array:
        image = x.reshape(1, 1, side, side)
        for kernel in kernels:
            convolved = lax.conv_general_dilated(image, jnp.asarray(kernel), (1, 1), "SAME")
            image = jnp.tanh(convolved)
        return image.ravel()

    return apply, np.ones(side**2)


CASES: dict[str, tuple[Callable[[int], Any], str, dict[int, float]]] = {
    "squared differences": (
        squared_differences,
        "jacobian",
        {10**6: 0.06, 10**7: 0.8},
    ),
    "Brusselator": (brusselator, "jacobian", {73_728: 0.08, 10**6: 1.2}),
    "Rosenbrock": (rosenbrock, "hessian", {10**5: 0.06, 10**6: 0.6}),
    "elastic energy": (elastic_energy, "hessian", {20_402: 0.07, 80_802: 0.3}),
    "mesh assembly": (mesh, "jacobian", {10**4: 0.02, 10**6: 1.5}),
    "stencil in a scan": (stencil_in_scan, "jacobian", {2_000: math.inf, 20_000: 0.3}),
    "Lorenz residuals": (lorenz_residuals, "jacobian", {3_000: math.inf, 30_000: 0.2}),
    "matrix stored densely": (
        sparse_matrix_stored_densely,
        "jacobian",
        {1_000: 0.02},
    ),
    "network on 64 x 64": (convolutional_network, "jacobian", {4_096: 0.1}),
}
"""How to make each problem, the derivative wanted, and the seconds expected by size."""

HEADINGS = ("", "n", "nnz", "first [s]", "best [s]", "/ f", "growth", "bytes", "expected")
FORMAT = "{:<22} {:>9} {:>10} {:>9} {:>9} {:>7} {:>7} {:>6} {:>9}"


def measure(name: str, size: int) -> dict[str, float]:
    """The figures of one case in this process, which should be a new one."""
    jax.config.update("jax_enable_x64", True)
    make, kind, _ = CASES[name]
    find = asdex.jacobian_sparsity if kind == "jacobian" else asdex.hessian_sparsity
    small, x = make(12)
    find(small, np.asarray(x, float))
    function, x = make(size)
    x = np.asarray(x, float)
    evaluate = jax.jit(function)
    (plain,) = together(lambda: evaluate(x), budget=0.2)

    memory = _peak_memory()
    first, pattern = once(lambda: find(function, x))
    memory = _peak_memory() - memory
    best = min(once(lambda: find(function, x))[0] for _ in range(3))
    entries = _largest(function if kind == "jacobian" else jax.grad(function), x)
    return {
        "n": x.size,
        "nnz": pattern.nnz,
        "first": first,
        "best": best,
        "f": plain,
        "bytes": memory / entries,
    }


def _peak_memory() -> int:
    """Bytes. Linux counts in KiB."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _largest(function: Callable[[Array], Array], x: np.ndarray) -> int:
    """The entries of the largest pattern that some value of the program has."""
    trail = Trail()
    aval = jax.ShapeDtypeStruct(x.shape, x.dtype)
    detect(lambda x: (function(x), None), aval, trail=trail)
    outputs = (output for step in trail.steps for output in step.outputs)
    return max(value.dependence.count() for value in outputs if value.dependence)


def _in_new_process(name: str, size: int) -> dict[str, float]:
    measured = f"detection.measure({name!r}, {size})"
    program = (
        f"import json; from {__package__} import detection; print(json.dumps({measured}))"
    )
    run = [sys.executable, "-c", program]
    output = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    print(__doc__)
    print(FORMAT.format(*HEADINGS))
    for name, (_, _, expected) in CASES.items():
        before = None
        for size, seconds in expected.items():
            found = _in_new_process(name, size)
            growth = ""
            if before is not None:
                exponent = math.log(found["best"] / before["best"])
                growth = f"{10 ** (exponent / math.log(found['n'] / before['n'])):.1f}"
            before = found
            columns = [
                f"{found['first']:.3f}",
                f"{found['best']:.3f}",
                f"{found['best'] / found['f']:.0f}",
                growth,
                f"{found['bytes']:.0f}",
                "" if math.isinf(seconds) else f"{seconds:g}",
            ]
            print(FORMAT.format(name, found["n"], found["nnz"], *columns), flush=True)


if __name__ == "__main__":
    main()
