"""Peak memory of the compiled program, without arguments and results, and its time.

Sparse: a million unknowns in a chain, of which a hundred are coupled to each other, so
that the compressed matrix has a hundred rows and a hundred times as many elements as the
Jacobian has entries. Dense: two thousand unknowns through a wide layer.

On two busy cores: 1156 MiB and 3.6 s for all 101 colors at once, 99 MiB and 0.23 s by ten,
23 MiB and 0.15 s one by one; dense 183 MiB in one block, 78 MiB in 64.
"""

import warnings
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp

import asdex

from .timing import together


def chain(x: jax.Array) -> jax.Array:
    coupled = jnp.pad(jnp.full(100, jnp.sum(x[:100])), (0, x.size - 100))
    return jnp.convolve(x, jnp.array([1.0, -2.0, 1.0], x.dtype), mode="same") + coupled * x


def layer(x: jax.Array) -> jax.Array:
    weights = jnp.sin(jnp.arange(8000.0 * x.size)).reshape(8000, x.size).astype(x.dtype)
    return jnp.mean(jnp.tanh(weights @ x) ** 2)


def report(title: str, fun: Callable[[jax.Array], Any], x: jax.Array) -> None:
    compiled = jax.jit(fun).lower(x).compile()
    size = cast(Any, compiled.memory_analysis()).temp_size_in_bytes
    (seconds,) = together(lambda: compiled(x), budget=0.1)
    print(f"{title:<44} {size / 2**20:>9.1f} MiB {1e3 * seconds:>10.1f} ms")


def main() -> None:
    warnings.simplefilter("ignore", asdex.ConservativePatternWarning)
    x = jnp.ones(10**6, jnp.float32)
    coloring = asdex.jacobian_coloring(chain, x, mode="fwd")
    print(f"Sparse Jacobian: n = {x.size}, {coloring.num_colors} colors")
    for chunk_size in (None, 50, 20, 10, 5, 1, "auto"):
        derivative = asdex.jacobian_from_coloring(chain, coloring, chunk_size=chunk_size)
        report(f"  chunk_size={chunk_size}", lambda x, d=derivative: d(x).data, x)

    x = jnp.ones(2000, jnp.float32)
    print(f"Dense Hessian: n = {x.size}, a layer of width 8000")
    for nbatches in (1, 4, 16, 64):
        report(
            f"  nbatches={nbatches}",
            lambda x, n=nbatches: asdex.dense.hessian(layer, x, n)[0],
            x,
        )


if __name__ == "__main__":
    main()
