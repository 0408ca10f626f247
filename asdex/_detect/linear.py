"""Whether a function is linear, equation by equation."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var
from jax.extend.core import primitives as p
from jax.interpreters.partial_eval import dce_jaxpr

from .._base.compat import CALLS, called_program
from .._base.types import PyTree
from .dependence import identity
from .folding import Bounds
from .interpret import interpret
from .known import bounds, constant
from .source import describe
from .value import Notes, Scope, Trail, Value

_ADDED: dict[Any, slice] = {
    **dict.fromkeys((lax.add_p, lax.sub_p, p.add_jaxvals_p, lax.complex_p), slice(0, 2)),
    **dict.fromkeys((lax.concatenate_p, lax.pad_p), slice(None)),
    lax.dynamic_update_slice_p: slice(0, 2),
    **dict.fromkeys((lax.scatter_p, lax.scatter_add_p), slice(0, 3, 2)),
    lax.select_n_p: slice(1, None),
}
"""Operands that become part of the result: where one is linear, the others must be zero
unless they are linear, too."""


def check_linear(fun: Callable[[Any], Any], x: PyTree) -> None:
    """Raise `ValueError`, naming an equation, unless `fun` is linear in `x`, a pytree of
    `jax.ShapeDtypeStruct`s."""

    def tangent(x: Any, v: Any) -> Any:
        return jax.jvp(fun, (x,), (v,))[1]

    count = len(jax.tree.leaves(x))
    program = jax.make_jaxpr(tangent)(x, x)
    jaxpr, used = dce_jaxpr(program.jaxpr, [True] * len(program.jaxpr.outvars))
    if any(used[:count]):
        at = jaxpr.invars[: sum(used[:count])]
        found = _first_product(jaxpr, set(at), {*jaxpr.invars} - {*at}, ())
        where = describe(*found) if found else "an equation that JAX does not show"
        raise ValueError(
            "The function is not linear: its derivative depends on the argument at "
            f"{where}."
        )
    _check_homogeneous(fun, x)


def _first_product(
    jaxpr: Jaxpr, of_x: set[Var], of_v: set[Var], callers: tuple[JaxprEqn, ...]
) -> tuple[JaxprEqn, tuple[JaxprEqn, ...]] | None:
    """The first equation that combines what depends on the argument with a tangent."""
    for eqn in jaxpr.eqns:
        from_x, from_v = (
            [not isinstance(atom, Literal) and atom in known for atom in eqn.invars]
            for known in (of_x, of_v)
        )
        if any(from_x) and any(from_v):
            if eqn.primitive not in CALLS:
                return eqn, callers
            inner = called_program(eqn).jaxpr
            pairs = list(zip(inner.invars, from_x, from_v, strict=True))
            of_inner = {var for var, x, _ in pairs if x}, {var for var, _, v in pairs if v}
            if (found := _first_product(inner, *of_inner, (*callers, eqn))) is not None:
                return found
        of_x = of_x | {*eqn.outvars} if any(from_x) else of_x
        of_v = of_v | {*eqn.outvars} if any(from_v) else of_v
    return None


def _check_homogeneous(fun: Callable[[Any], Any], x: PyTree) -> None:
    """Raise `ValueError` if something else than zero is added to what is linear."""
    program, shapes = jax.make_jaxpr(fun, return_shape=True)(x)
    consts = [
        Value(var.aval, None, constant(value))
        for var, value in zip(program.jaxpr.constvars, program.consts, strict=True)
    ]
    n = sum(var.aval.size for var in program.jaxpr.invars)
    offsets = np.cumsum([0, *(var.aval.size for var in program.jaxpr.invars)])
    args = [
        Value(var.aval, identity(var.aval.shape, n, int(offset)))
        for var, offset in zip(program.jaxpr.invars, offsets[:-1], strict=True)
    ]
    trail = Trail()
    outputs = interpret(program.jaxpr, consts, args, Scope(n, Notes(trail=trail)))
    for step in trail.steps:
        added = _ADDED.get(step.eqn.primitive)
        for operand in step.operands[added] if added is not None else ():
            if operand.dependence is None and not _is_zero(operand):
                raise ValueError(
                    "The function is not linear: something that is not known to be zero is "
                    f"added at {describe(step.eqn, step.callers)}."
                )
    del shapes
    for output in outputs:
        if output.dependence is None and not _is_zero(output):
            raise ValueError(
                "The function is not linear: it returns something that does not depend on "
                "its argument and is not known to be zero."
            )


def _is_zero(value: Value) -> bool:
    found: Bounds | None = bounds(value.known)
    return found is not None and bool(np.all(found.zero))
