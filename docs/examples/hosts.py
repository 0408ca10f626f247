"""One sparse Jacobian over several processes, by `jax.distributed`.

The unknowns, and products with the Jacobian, are sharded over all devices of all processes;
each process reads the part that it holds. Nothing is particular to asdex: the program is
the one for a single device, with shardings.

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

N = 100_000


def residual(u: jax.Array) -> jax.Array:
    """A periodic reaction-diffusion equation in one dimension."""
    return u**3 + 3 * u - jnp.roll(u, 1) - jnp.roll(u, -1) - 1


def part_of_process(address: str, processes: int, process: int) -> None:
    jax.distributed.initialize(address, processes, process)
    mesh = Mesh(np.array(jax.devices()), ("u",))
    sharding = NamedSharding(mesh, P("u"))
    start = np.linspace(0.0, 1.0, N, dtype=np.float32)
    u = jax.make_array_from_callback((N,), sharding, lambda index: start[index])

    jacobian = asdex.jacobian(residual, u, output_format="operator")
    product = jax.jit(lambda u: jacobian(u).mv(u), out_shardings=sharding)(u)
    held = [piece.data.shape[0] for piece in product.addressable_shards]
    print(f"process {process} of {processes} holds {held} of {N} elements", flush=True)

    expected = jax.jvp(residual, (start,), (start,))[1]
    for piece in product.addressable_shards:
        np.testing.assert_allclose(piece.data, expected[piece.index], rtol=1e-5, atol=1e-5)


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
