"""Compiled functions whose large constants are arguments of what is compiled."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import numpy as np
from jax.core import eval_jaxpr
from jax.extend.core import ClosedJaxpr

from .._base.compat import without_constants
from .._call.trace import as_constant

Result = TypeVar("Result")

_LARGE = 2**16
"""Elements of a constant that becomes an argument."""


class Hoisted(Generic[Result]):
    """A function of arrays, compiled like by `jax.jit`, but for its large constants.

    JAX writes constants into the program that it compiles, and keeps that program, as does
    XLA: with the array of NumPy that each is made of, these are three copies of all indices
    while the function lives, and one more while it is compiled. As arguments they are two,
    one of them on the device.

    Cost of a call: that of `jax.jit`, and of finding the trace if there are such constants.
    """

    __slots__ = ("_is_small", "_jitted", "_kept")

    def __init__(self, function: Callable[..., Result]):
        self._jitted = jax.jit(function)
        self._kept: dict[int, _Program] = {}
        self._is_small = False

    def __call__(self, *args: Any) -> Result:
        if self._is_small or not _on_one_device(args):
            return self._jitted(*args)
        # JAX returns one program for equal types of arguments, in equal contexts.
        traced = self._jitted.trace(*args)
        kept = self._kept.get(id(traced.jaxpr))
        if kept is None:
            self._is_small = not any(map(_is_large, traced.jaxpr.consts))
            if self._is_small:
                return self._jitted(*args)
            kept = _Program.of(traced.jaxpr, jax.tree.structure(traced.out_info))
            self._kept[id(traced.jaxpr)] = kept
        return kept.run(kept.constants, *jax.tree.leaves(args))


class _Program(NamedTuple):
    """A program of which `run` takes the large constants, by number, and the arguments."""

    traced: ClosedJaxpr  # Kept alive: it is found by its identity.
    constants: dict[int, jax.Array]
    run: Any

    @classmethod
    def of(cls, traced: ClosedJaxpr, out: Any) -> "_Program":
        jaxpr, consts = without_constants(traced), traced.consts
        large = {k: as_constant(x) for k, x in enumerate(consts) if _is_large(x)}

        def run(large: dict[int, Any], *args: Any) -> Any:
            given = [large.get(k, const) for k, const in enumerate(consts)]
            return jax.tree.unflatten(out, eval_jaxpr(jaxpr, (), *given, *args))

        return cls(traced, large, jax.jit(run))


def _is_large(const: Any) -> bool:
    return isinstance(const, np.ndarray | jax.Array) and const.size > _LARGE


def _on_one_device(args: Any) -> bool:
    """Whether no argument is split over devices, or replicated: constants would be sent to
    each of them at every call."""
    leaves = jax.tree.leaves(args)
    return all(
        len(leaf.sharding.device_set) == 1 for leaf in leaves if isinstance(leaf, jax.Array)
    )
