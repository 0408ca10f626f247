"""Primitives of Equinox that reach a program, known by name.

`nonbatchable` only checks its operand and is with the rules that pass everything through;
`unvmap_any` and its like give booleans and counters, which depend on nothing.
"""

from collections.abc import Sequence

from jax.extend.core import JaxprEqn

from ..dependence import Dependence, nothing, union
from ..table import Scope, Value, output_shape, register


@register("select_if_vmap")
def select_if_vmap(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """One of two arrays."""
    del scope
    shape = output_shape(eqn)
    return union([op.dependence.broadcast(shape) for op in operands if op.dependence])


@register("maybe_set", linear=(1, 2))
def maybe_set(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """A buffer in which an element along the leading axis, not known which, is replaced."""
    _, buffer, update, *_ = operands
    shape = output_shape(eqn)
    parts = [nothing(shape, scope.n)]
    if buffer.dependence is not None:
        parts.append(buffer.dependence)
    if update.dependence is not None:
        parts.append(update.dependence.whole().broadcast(shape))
    return union(parts)
