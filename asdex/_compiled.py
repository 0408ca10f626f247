"""Compiled computations for results on the host.

A result on the host cannot be made inside of the caller's `jax.jit`, so asdex compiles that
computation itself. But a call that is not under `jit` must see what the function sees at
that time, and no look at a function tells all that it reads. So it is traced at every
call, and only the compilation, by far the longest part, is spared where the trace is one
that was compiled before.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax.core import Tracer, eval_jaxpr

_MAX_EXECUTABLES = 8


class CompiledCalls:
    """Calls functions compiled, and keeps the last few executables.

    An executable is found again by the full text of what was lowered. Arrays that the
    function closes over are arguments of it.
    """

    __slots__ = ("_executables",)

    def __init__(self) -> None:
        self._executables: dict[str, Any] = {}

    def __call__(self, fun: Callable[..., Any], *args: Any) -> Any:
        """`fun(*args)`, of arrays."""
        program, shapes = jax.make_jaxpr(fun, return_shape=True)(*args)
        arrays = (program.consts, *jax.tree.leaves(args))
        if any(isinstance(array, Tracer) for array in jax.tree.leaves(arrays)):
            return fun(*args)
        lowered = jax.jit(partial(eval_jaxpr, program.jaxpr)).lower(*arrays)
        text = lowered.as_text()
        # Taken out and put back, so that the oldest is the one that was not used longest.
        executable = self._executables.pop(text, None) or lowered.compile()
        self._executables[text] = executable
        if len(self._executables) > _MAX_EXECUTABLES:
            del self._executables[next(iter(self._executables))]
        return jax.tree.unflatten(jax.tree.structure(shapes), executable(*arrays))
