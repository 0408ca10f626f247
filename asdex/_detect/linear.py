"""Whether a function is linear, equation by equation."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var
from jax.extend.core import primitives as p
from jax.interpreters.partial_eval import dce_jaxpr

from .._base.compat import CALLS, called_program
from .._base.types import PyTree
from .dependence import identity
from .folding import Bounds
from .folding.bounds import is_inexact
from .interpret import interpret
from .known import bounds, constant
from .source import describe
from .supports import ADDED, fills
from .value import Notes, Scope, Step, Trail, Value

_STEPWISE_CONSTANT = {
    *(lax.floor_p, lax.ceil_p, lax.round_p, lax.sign_p, p.stop_gradient_p),
}
"""Primitives that are not linear, though their derivative is zero. Those that return
integers or booleans are, too."""

_OF_REAL_NUMBERS = {lax.real_p, lax.imag_p, lax.conj_p}
"""Primitives that are not linear in complex numbers."""


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
    """Raise `ValueError` if something else than zero is added to what is linear, or if
    there is a step that is not linear, but has a derivative that does not show it."""
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
    trail = Trail(within_loops=True)
    outputs = interpret(program.jaxpr, consts, args, Scope(n, Notes(trail=trail)))
    for step in trail.steps:
        if problem := _problem(step):
            raise ValueError(
                f"The function is not linear: {problem} at "
                f"{describe(step.eqn, step.callers)}."
            )
    del shapes
    for output in outputs:
        if output.dependence is None and not _is_zero(output):
            raise ValueError(
                "The function is not linear: it returns something that does not depend on "
                "its argument and is not known to be zero."
            )


def _problem(step: Step) -> str | None:
    """Why an equation on linear functions of the argument is not linear."""
    primitive = step.eqn.primitive
    types = [value.aval.dtype for value in step.outputs if value.dependence is not None]
    if primitive in _STEPWISE_CONSTANT or not all(map(is_inexact, types)):
        return "the derivative is zero, but not the result,"
    if primitive in _OF_REAL_NUMBERS and _is_complex(step.operands[0]):
        return "complex numbers are taken apart"
    if fills(step.eqn):
        return "something else than zero is filled in"
    if any(
        operand.dependence is None and not _is_zero(operand) for operand in _added(step)
    ):
        return "something that is not known to be zero is added"
    if primitive is p.cond_p and not all(
        _depends_like(branch.jaxpr, step) for branch in step.eqn.params["branches"]
    ):
        return "only some branches depend on the argument"
    return None


def _added(step: Step) -> Sequence[Value]:
    """The operands that become part of what depends on the argument."""
    params, first = step.eqn.params, 0
    if step.eqn.primitive is p.scan_p:
        first, count = params["num_consts"], params["num_carry"]
    elif step.eqn.primitive is p.while_p:
        first = params["cond_nconsts"] + params["body_nconsts"]
        count = len(step.outputs)
    else:
        added = ADDED.get(step.eqn.primitive)
        return () if added is None else step.operands[added]
    carried = zip(step.operands[first : first + count], step.outputs[:count], strict=True)
    return [start for start, end in carried if end.dependence is not None]


def _depends_like(branch: Jaxpr, step: Step) -> bool:
    """Whether in this branch, too, each result of the step depends on the argument."""
    active = [operand.dependence is not None for operand in step.operands[1:]]
    for k, output in enumerate(step.outputs):
        wanted = [other == k for other in range(len(step.outputs))]
        _, used = dce_jaxpr(branch, wanted)
        if output.dependence is not None and not np.any(np.array(used) & active):
            return False
    return True


def _is_complex(value: Value) -> bool:
    return jnp.issubdtype(value.aval.dtype, np.complexfloating)


def _is_zero(value: Value) -> bool:
    found: Bounds | None = bounds(value.known)
    return found is not None and bool(np.all(found.zero))
