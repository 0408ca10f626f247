"""Large problems on one machine, and problems that are split over devices.

For grids in two and three dimensions and for a mesh of triangles: seconds of detection, of
the first evaluation and product, which compile, of the next ones, and of 50 steps of
conjugate gradients; and the peak of memory in each stage, and what it adds to the memory
before the first, per entry. Each problem has a process of its own.

For one device on one core and two on two: how long an evaluation takes, how much processor
time it takes in all, which says more on a busy machine, and the work of each device, from
the compiled program. On two cores, one device takes 4.9 ms, and two devices, with half of
the work each, 3.5 ms: a gain of 1.4, as far as memory allows.

For grids with equally many points on each of 2, 4 and 8 simulated devices: the bytes that a
device sends in one product, from the compiled program.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

import asdex

SIZES = [500_000, 2_000_000]
PER_DEVICE = 2**16


def grid(u: Array) -> Array:
    """The neighbors in each direction, zeros around them, and a reaction."""
    total = (2 * u.ndim + 1) * u + u**3
    for axis in range(u.ndim):
        for first, width in ((slice(1, None), (0, 1)), (slice(-1), (1, 0))):
            part = u[(slice(None),) * axis + (first,)]
            widths = [width if k == axis else (0, 0) for k in range(u.ndim)]
            total = total - jnp.pad(part, widths)
    return total


def triangles(side: int) -> np.ndarray:
    """Two in each square of a grid, whose points are numbered at random."""
    place = np.random.default_rng(0).permutation(side**2).reshape(side, side)
    corners = place[:-1, :-1], place[1:, :-1], place[:-1, 1:], place[1:, 1:]
    a, b, c, d = (corner.ravel() for corner in corners)
    return np.concatenate([np.stack([a, b, c]), np.stack([d, c, b])], axis=1)


def make(name: str, n: int) -> tuple[Callable[[Array], Array], Array]:
    if name != "triangles":
        dims = 2 if name == "square" else 3
        return grid, jnp.ones((round(n ** (1 / dims)),) * dims, jnp.float32)
    corners = triangles(round(n**0.5))

    def assemble(u: Array) -> Array:
        values = u[corners]
        parts = values + values.sum(0) - 3 * jnp.roll(values, 1, 0) * values**2
        return 12 * u + jnp.zeros_like(u).at[corners].add(0.1 * parts)

    return assemble, jnp.ones(corners.max() + 1, jnp.float32)


def stage(name: str, run: Callable[[], Any]) -> tuple[Any, str]:
    """The result, and a line with seconds and peak memory."""
    Path("/proc/self/clear_refs").write_text("5")  # Resets the peak.
    start = time.perf_counter()
    result = jax.block_until_ready(run())
    seconds = time.perf_counter() - start
    return result, f"    {name:<20} {seconds:8.2f} s {memory('VmHWM') / 2**20:8.0f} MiB"


def memory(field: str) -> int:
    """Bytes of this process, from the fields of Linux."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", text)[0])


def one_machine(name: str, n: int) -> None:
    f, u = make(name, n)
    before = memory("VmRSS")
    jacobian, line = stage(
        "preparation", lambda: asdex.jacobian(f, u, output_format="operator")
    )
    nnz = jacobian.sparsity.nnz
    print(f"  {name}: {u.size} unknowns, {nnz} entries, {jacobian.num_colors} colors")

    def show(line: str) -> None:
        print(f"{line} {(memory('VmHWM') - before) / nnz:8.0f} bytes per entry", flush=True)

    def solve(a: asdex.SparseJacobian, b: Array) -> Array:
        return jax.scipy.sparse.linalg.cg(a.mv, b, maxiter=50, tol=0.0)[0]

    show(line)
    evaluate, product = jax.jit(jacobian), jax.jit(lambda a, u: a.mv(u))
    a, line = stage("first evaluation", lambda: evaluate(u))
    show(line)
    for name, run in (
        ("evaluation", lambda: evaluate(u)),
        ("first product", lambda: product(a, u)),
        ("product", lambda: product(a, u)),
        ("50 steps of CG", lambda: jax.jit(solve)(a, u)),
    ):
        show(stage(name, run)[1])


def split(devices: int, shape: tuple[int, int]) -> tuple[Any, Any, Array]:
    """The evaluation and the operator on a grid that is split over devices."""
    mesh = jax.make_mesh((devices,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    u = jax.device_put(jnp.ones(shape, jnp.float32), NamedSharding(mesh, P("i")))
    pattern = asdex.pad_rows(asdex.jacobian_sparsity(grid, u))
    jacobian = asdex.jacobian(
        grid, u, sparsity=pattern, mode="accumulate", output_format="operator"
    )
    return jax.jit(jacobian), jax.jit(jacobian)(u), u


def strong(devices: int) -> None:
    if devices == 1:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    evaluate, _, u = split(devices, (1024, 1024))
    costs = evaluate.lower(u).compile().cost_analysis()
    elapsed, computing = [], []
    for _ in range(100):
        start = time.perf_counter(), time.process_time()
        jax.block_until_ready(evaluate(u))
        elapsed.append(time.perf_counter() - start[0])
        computing.append(time.process_time() - start[1])
    print(
        f"  {devices} device(s): {1e3 * min(elapsed):.1f} ms at least, "
        f"{1e3 * min(computing):.1f} ms computing; for each {costs['flops']:.1e} "
        f"operations and {costs['bytes accessed'] / 2**20:.0f} MiB"
    )


def weak(devices: int) -> None:
    _, a, u = split(devices, (256 * devices, PER_DEVICE // 256))
    program = str(jax.jit(lambda a, u: a.mv(u)).lower(a, u).compile().as_text())
    sent = re.findall(r"= f32\[(\d+)\]\S* collective-permute\(", program)
    others = re.findall(r"all-gather|all-reduce|all-to-all|reduce-scatter", program)
    print(f"  {devices} devices: {4 * sum(map(int, sent))} bytes, {len(others)} others")


def apart(devices: int, *arguments: Any) -> None:
    """This file in a process of its own."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    command = [sys.executable, "-m", "tests.benchmarks.scale", *map(str, arguments)]
    subprocess.run(command, env={**os.environ, "XLA_FLAGS": flags}, check=True)


def main() -> None:
    print("One machine")
    for name in ("square", "cube", "triangles"):
        for n in SIZES:
            apart(1, name, n)
    print("Evaluation on one and on two cores")
    for devices in (1, 2):
        apart(devices, "strong", devices)
    print("What a device sends in a product")
    for devices in (2, 4, 8):
        apart(devices, "weak", devices)


if __name__ == "__main__":
    chosen, number = sys.argv[1], int(sys.argv[2])
    {"strong": strong, "weak": weak}.get(chosen, lambda n: one_machine(chosen, n))(number)
