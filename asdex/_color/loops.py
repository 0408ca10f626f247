"""Sequential algorithms as compiled loops.

Coloring is sequential by nature: the color of a vertex depends on those given before. The
algorithms of this folder are therefore written one element at a time, as nested loops
over neighbor lists, and compiled by XLA.

XLA's CPU compiler runs the body of a loop as a chain of kernels, at about 100 ns each,
unless it takes the whole loop nest for one small call. `compiled` marks a kernel as such
a call; it then becomes a single native function, and an inner step costs a few
nanoseconds. The mark is a hint: without it results are the same, ten times slower.

How arrays stay in place: a `write` changes its array only if nothing can read the old one
later; otherwise XLA copies the whole array at every step. It may repeat a `read` wherever
the value is used, so a value read from an array should not be used for two writes of which
one is to that array. Three ways out: read again from the array just written, let the value
come out of a loop, or write first what the other arrays depend on. The tests look for
copies in the compiled kernels.
"""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array, Bool, Int32, Integer

from .._base.types import PyTree

T = TypeVar("T")

Index: TypeAlias = Int32[Array, ""] | int

MOST_STEPS_IN_PYTHON = 100_000
"""Steps up to which a loop in plain Python is used, at about 100 ns each. Compiling takes
some 150 ms for each loop and class of sizes, and running compiled code next to none."""

_SMALLEST_CLASS = 1024


def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A function of int32 arrays and integers, run as compiled code on the CPU.

    It returns NumPy arrays, also when called while JAX traces something else. Arrays are
    padded to the next power of two, so that patterns of similar size share one
    compilation: a kernel gets all sizes as integer arguments, and the arrays that it
    returns are padded, too.
    """
    called = jax.jit(kernel)

    def marked(*arguments: Int32[Array, "..."]) -> PyTree[Array]:
        with set_xla_metadata(xla_cpu_small_call="true", inlineable="false"):
            return called(*arguments)

    @functools.cache
    def program(*shapes: tuple[int, ...]) -> jax.stages.Compiled:
        dtype, cpu = np.dtype(np.int32), _cpu()
        arguments = [jax.ShapeDtypeStruct(shape, dtype, sharding=cpu) for shape in shapes]
        return jax.jit(marked).lower(*arguments).compile()

    @functools.wraps(kernel)
    def run(*arguments: Integer[np.ndarray, "..."] | int) -> PyTree[np.ndarray]:
        padded = [_pad(argument) for argument in arguments]

        def on_one_device() -> PyTree[np.ndarray]:
            with jax.disable_jit(False):
                return jax.device_get(program(*(array.shape for array in padded))(*padded))

        # Contexts of JAX belong to a thread. Where a mesh is set, JAX compiles for all of
        # its devices, and a mesh can neither be set nor unset within a trace.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(on_one_device).result()

    return run


def read(array: Int32[Array, " size"], index: Index) -> Int32[Array, ""]:
    """The element of `array` at `index`."""
    return lax.dynamic_slice(array, (index,), (1,), allow_negative_indices=False)[0]


def write(
    array: Int32[Array, " size"], index: Index, value: Index
) -> Int32[Array, " size"]:
    """`array` with `value` at `index`."""
    value = jnp.asarray(value, jnp.int32)[None]
    return lax.dynamic_update_slice(array, value, (index,), allow_negative_indices=False)


def for_range(start: Index, stop: Index, body: Callable[[Index, T], T], state: T) -> T:
    """`for i in range(start, stop): state = body(i, state)`; return `state`."""
    return lax.fori_loop(jnp.int32(start), jnp.int32(stop), body, state)


def while_loop(
    condition: Callable[[T], Bool[Array, ""]], body: Callable[[T], T], state: T
) -> T:
    """`while condition(state): state = body(state)`; return `state`."""
    return lax.while_loop(condition, body, state)


def full(size: int, value: int) -> Int32[Array, " size"]:
    """An array of `size` elements `value`."""
    return jnp.full(size, value, jnp.int32)


def words_for(num_colors: int) -> int:
    """Words of a set that can hold so many colors, one bit each."""
    return 1 + num_colors // 32


def _pad(argument: Integer[np.ndarray, " size"] | int) -> Int32[np.ndarray, "..."]:
    if isinstance(argument, int):
        return np.asarray(argument, np.int32)
    size = max(_SMALLEST_CLASS, 1 << (argument.size - 1).bit_length())
    padded = np.zeros(size, np.int32)
    padded[: argument.size] = argument
    return padded


def _cpu() -> jax.sharding.Sharding:
    try:
        return jax.sharding.SingleDeviceSharding(jax.local_devices(backend="cpu")[0])
    except RuntimeError as error:
        raise RuntimeError(
            "Coloring runs on JAX's CPU backend, which this process has disabled. Add "
            "it to the platforms, for instance JAX_PLATFORMS=cuda,cpu."
        ) from error
