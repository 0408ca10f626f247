"""Calls, branches and the derivative rules of custom functions."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn
from jax.extend.core import primitives as p

from ..dependence import nothing, union
from ..interpret import active, conservative, inactive, interpret
from ..known import UNKNOWN, constant
from ..local import as_own_inputs, joined, split
from ..table import Scope, Value, register_control


def call(program: ClosedJaxpr, operands: Sequence[Value], scope: Scope) -> list[Value]:
    """The outputs of a program that brings its constants along."""
    consts = [
        Value(var.aval, None, constant(value))
        for var, value in zip(program.jaxpr.constvars, program.consts, strict=True)
    ]
    return interpret(program.jaxpr, consts, operands, scope)


@register_control(
    *(p.jit_p, p.closed_call_p, p.call_p, p.remat_p),
    *(p.custom_jvp_call_p, p.custom_vjp_call_p),
)
def inline(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Value]:
    """The program, as if it stood here."""
    program = eqn.params["jaxpr" if "jaxpr" in eqn.params else "call_jaxpr"]
    if isinstance(program, Jaxpr):
        program = ClosedJaxpr(program, ())
    return call(program, operands, scope)


@register_control(p.cond_p)
def cond(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Value]:
    """The branch taken where that is known, otherwise the union of all branches."""
    which, *args = operands
    branches = eqn.params["branches"]
    if which.dependence is not None:
        return active(eqn, conservative(eqn, operands, scope))
    number = scope.value(which)
    if number is not None:
        taken = min(max(int(number), 0), len(branches) - 1)
        return call(branches[taken], args, scope)
    outcomes = [call(branch, args, scope) for branch in branches]
    merged = []
    for var, *values in zip(eqn.outvars, *outcomes, strict=True):
        dependences = [value.dependence for value in values if value.dependence]
        merged.append(Value(var.aval, union(dependences) if dependences else None))
    return merged


@register_control(p.custom_lin_p)
def custom_vjp(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Value]:
    """The tangent of a function with a custom VJP: the transpose of its `bwd`.

    `bwd` is traced, its pattern from cotangents to input cotangents transposed. JAX cannot
    run such a function in forward mode.
    """
    scope.notes.excluded_modes.add("fwd")
    num_res = eqn.params["num_res"]
    residuals, tangents = operands[:num_res], operands[num_res:]
    if all(tangent.dependence is None for tangent in tangents):
        return inactive(eqn, [UNKNOWN] * len(eqn.outvars))
    if any(residual.dependence is not None for residual in residuals):
        return active(eqn, conservative(eqn, operands, scope))

    def transpose(residual_values, cotangents):
        def linear(*tangent_values):
            return eqn.primitive.bind(*residual_values, *tangent_values, **eqn.params)

        return jax.linear_transpose(linear, *(t.aval for t in tangents))(cotangents)

    avals: list[Any] = [var.aval for var in eqn.outvars]
    program = jax.make_jaxpr(transpose)([value.aval for value in residuals], avals)
    seeds = [Value(aval, nothing(aval.shape, 0)) for aval in avals]
    own, inner = as_own_inputs([*residuals, *seeds], scope)
    backward = [value.dependence for value in call(program, own, inner)]

    pairs = zip(backward, tangents, strict=True)
    pattern = joined(
        [dep or nothing(t.shape, inner.n) for dep, t in pairs], inner.n
    ).matrix()
    tangent = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    sources = [t.dependence or nothing(t.shape, scope.n) for t in tangents]
    flat = joined(sources, scope.n).spread(pattern.indices, tangent, (inner.n,))
    return active(eqn, split(flat, [aval.shape for aval in avals]))
