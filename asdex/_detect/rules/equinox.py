"""Primitives of Equinox that reach a program, known by name.

`nonbatchable` and its like only check their operand and are with the rules that pass
everything through; `unvmap_any` and its like give booleans and counters, which depend on
nothing.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax.extend.core import JaxprEqn

from ..dependence import Dependence, union
from ..interpret import call, conservative
from ..known import Status
from ..registry import Outcome, register
from ..value import Scope, Value, output_shape
from .control import implementation


@register("select_if_vmap")
def select_if_vmap(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """One of two arrays."""
    del scope
    shape = output_shape(eqn)
    return union([op.dependence.broadcast(shape) for op in operands if op.dependence])


register("maybe_set")(implementation)


@register("noinline", always=True)
def noinline(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Outcome:
    """The function of that number, inlined."""
    number, *others = operands
    value = scope.value(number) if number.known.status is Status.KNOWN else None
    if value is None:
        return conservative(eqn, operands, scope, "a function that is not known")

    def run(*arrays: Any) -> Any:
        return eqn.primitive.impl(value, *arrays, **eqn.params)

    return call(jax.make_jaxpr(run)(*(op.aval for op in others)), others, scope)
