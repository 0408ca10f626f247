"""A reaction-diffusion equation over several processes, by `jax.distributed`.

Implicit Euler steps by Newton's method and conjugate gradients. The lines of the grid are
sharded over all devices of all processes, and with them the rows of the Jacobian: of a
vector, each device gets the lines next to its own. The program is the one for a single
device, but for the shardings and for `pad_rows`; each process compares its part with what
a single device computes.

Without arguments it starts two processes on this machine. On a cluster, start it on each
machine: `python hosts.py --address HOST:PORT --processes 4 --process 0`, and so on.
"""

import argparse
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import asdex

jax.config.update("jax_enable_x64", True)
SIDE, STEPS, DT = 64, 5, 0.5


def residual(u: jax.Array, before: jax.Array) -> jax.Array:
    """Of one step of the Allen-Cahn equation, on a grid with insulated sides."""
    padded = jnp.pad(u, 1, mode="edge")
    neighbors = padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]
    return u - before - DT * (neighbors - 4 * u + u - u**3)


def simulate(start: jax.Array) -> jax.Array:
    """The grid after the steps, each by three iterations of Newton's method."""
    pattern = asdex.pad_rows(asdex.jacobian_sparsity(residual, start, start))
    jacobian = asdex.jacobian(
        residual,
        start,
        start,
        sparsity=pattern,
        mode="accumulate",
        output_format="operator",
    )
    solver = asdex.Iterative("cg", preconditioner="jacobi", rtol=1e-10)

    def step(_: int, before: jax.Array) -> jax.Array:
        def newton(_: int, u: jax.Array) -> jax.Array:
            return u - jacobian(u, before).solve(residual(u, before), solver=solver)

        return jax.lax.fori_loop(0, 3, newton, before)

    return jax.lax.fori_loop(0, STEPS, step, start)


def part_of_process(address: str, processes: int, process: int) -> None:
    jax.distributed.initialize(address, processes, process)
    mesh = Mesh(np.array(jax.devices()), ("lines",))
    sharding = NamedSharding(mesh, P("lines"))
    start = np.sin(np.arange(SIDE**2)).reshape(SIDE, SIDE)
    u = jax.make_array_from_callback(start.shape, sharding, lambda index: start[index])

    after = jax.jit(simulate, out_shardings=sharding)(u)
    held = [piece.data.shape[0] for piece in after.addressable_shards]
    print(f"process {process} of {processes} holds {held} of {SIDE} lines", flush=True)

    expected = np.asarray(jax.jit(simulate)(start))
    assert np.isfinite(expected).all()
    for piece in after.addressable_shards:
        np.testing.assert_allclose(piece.data, expected[piece.index], atol=1e-9)


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", help="where process 0 listens, HOST:PORT")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--process", type=int)
    options = parser.parse_args()
    if options.process is not None:
        part_of_process(options.address, options.processes, options.process)
        return
    count, address = options.processes, free_address()
    command = [sys.executable, __file__, "--address", address, "--processes", str(count)]
    started = [
        subprocess.Popen([*command, "--process", str(process)]) for process in range(count)
    ]
    if any([running.wait() for running in started]):
        sys.exit("a process has failed")


if __name__ == "__main__":
    main()
