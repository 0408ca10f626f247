"""Which constraints are linear."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
from jax.interpreters.partial_eval import dce_jaxpr

from .._base.types import PyTree
from .._structure.inputs import is_aval


def linear_leaves(
    fun: Callable[..., Any], x: PyTree, args: Sequence[Any]
) -> tuple[bool, ...]:
    """Whether the derivative of each leaf of the output of `fun(x, *args)` is computed
    without `x`.

    `x` and `args` are pytrees of `jax.ShapeDtypeStruct`s and of static values. Cost: one
    trace.
    """
    arrays, static = eqx.partition(args, is_aval)

    def tangent(x: Any, v: Any, arrays: Any) -> list[Any]:
        args = eqx.combine(arrays, static)
        return jax.tree.leaves(jax.jvp(lambda x: fun(x, *args), (x,), (v,))[1])

    program = jax.make_jaxpr(tangent)(x, x, arrays).jaxpr
    count, outputs = len(jax.tree.leaves(x)), range(len(program.outvars))
    return tuple(
        not any(dce_jaxpr(program, [k == leaf for k in outputs])[1][:count])
        for leaf in outputs
    )
