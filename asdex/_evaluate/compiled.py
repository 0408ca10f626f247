"""Compiled computations for results on the host.

A result on the host cannot be made inside of the caller's `jax.jit`, so asdex compiles that
computation itself. But a call that is not under `jit` must see what the function sees at
that time. So what was compiled is run again only if all that the function reads can be
told and has not changed. Otherwise the function is traced anew, and only the compilation,
by far the longest part, is spared where the trace is one that was compiled before.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax.core import Tracer, eval_jaxpr

from .._call.arguments import Bound, is_array
from .snapshot import Snapshot, take_snapshot

_MAX_EXECUTABLES = 8


class CompiledCalls:
    """Calls functions that are made from the calls of one function, compiled."""

    __slots__ = ("_executables", "_f", "_has_changed", "_kept")

    def __init__(self, f: Callable[..., Any]):
        self._f = f
        self._has_changed = False
        self._kept: dict[Any, _Kept] = {}
        self._executables: dict[Any, Any] = {}

    def __call__(self, bound: Bound, fun: Callable[..., Any], *args: Any) -> Any:
        """`fun(*args)`, where `fun` is determined by `f`, the types of the arrays in
        `bound`, which are in `args`, and whatever else is in `bound`."""
        arrays = [leaf for leaf in jax.tree.leaves(bound.arguments) if is_array(leaf)]
        if self._has_changed or bound.surplus or _holds_tracers((arrays, args)):
            return self._trace_and_run(fun, *args)
        static = jax.tree.map(lambda x: None if is_array(x) else x, bound.arguments)
        types, now = tuple(map(jax.typeof, arrays)), take_snapshot((self._f, static))
        kept = self._kept.get(types)
        if now is None or (kept is not None and not now.matches(kept.snapshot)):
            self._has_changed = kept is not None
            self._kept.clear()
            return self._trace_and_run(fun, *args)
        if kept is None:
            kept = self._kept[types] = _Kept(fun)
        result = kept.run(*args)
        if kept.snapshot is None:
            # What tracing the function changes, such as a count of its calls, is no change.
            kept.snapshot = take_snapshot((self._f, static))
        return result

    def _trace_and_run(self, fun: Callable[..., Any], *args: Any) -> Any:
        """Use an executable again if what is lowered has the same text.

        Arrays that the function closes over are arguments of it. The text does not tell
        which Python functions it calls back.
        """
        program, shapes = jax.make_jaxpr(fun, return_shape=True)(*args)
        arrays = (program.consts, *jax.tree.leaves(args))
        if _holds_tracers(arrays):
            return fun(*args)
        lowered = jax.jit(partial(eval_jaxpr, program.jaxpr)).lower(*arrays)
        devices = [getattr(array, "sharding", None) for array in jax.tree.leaves(arrays)]
        key = lowered.as_text(), tuple(devices)
        # Taken out and put back, so that the oldest is the one that was not used longest.
        executable = self._executables.pop(key, None) or lowered.compile()
        if "callback" not in key[0]:
            self._executables[key] = executable
        if len(self._executables) > _MAX_EXECUTABLES:
            del self._executables[next(iter(self._executables))]
        return jax.tree.unflatten(jax.tree.structure(shapes), executable(*arrays))


class _Kept:
    """A compiled function, and what it read when it was traced last."""

    __slots__ = ("run", "snapshot")

    def __init__(self, fun: Callable[..., Any]):
        self.snapshot: Snapshot | None = None

        def traced(*args: Any) -> Any:
            self.snapshot = None
            return fun(*args)

        self.run = jax.jit(traced)


def _holds_tracers(tree: Any) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))
