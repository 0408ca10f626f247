"""Loops whose first step is taken apart, because it starts from zeros that later steps do
not have."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxpr_as_fun
from jax.extend.core import primitives as p

from ..._base.compat import scan_lengths
from ..folding.bounds import is_inexact
from ..known import bounds
from ..value import Value
from .body import Body

_MAX_DEPTH = 2
"""Loops within loops up to which that is done: each level multiplies the work."""


def starts_from_zeros(eqn: JaxprEqn, operands: Sequence[Value], body: Body) -> bool:
    """Whether a `scan` starts with zeros that may make products vanish in the first step
    only: values that depend on no input."""
    num_consts, num_carry = scan_lengths(eqn)
    init = operands[num_consts : num_consts + num_carry]
    found = eqn.params["length"] > 1 and any(
        at_step.dependence is None
        and before.known is not at_step.known
        and is_inexact(before.aval.dtype)
        and _is_zero(before)
        for before, at_step in zip(init, body.carry, strict=True)
    )
    return found and _depth(eqn) <= _MAX_DEPTH


def _is_zero(value: Value) -> bool:
    found = bounds(value.known, thorough=False)
    return found is not None and bool(found.zero.all())


def _depth(eqn: JaxprEqn) -> int:
    """How many loops are within each other."""
    held = jax.tree.leaves(list(eqn.params.values()), is_leaf=_is_program)
    inner = [step for program in filter(_is_program, held) for step in program.eqns]
    return max(map(_depth, inner), default=0) + (eqn.primitive in (p.scan_p, p.while_p))


def _is_program(value: Any) -> bool:
    return isinstance(value, Jaxpr | ClosedJaxpr)


def with_first_step_apart(eqn: JaxprEqn) -> ClosedJaxpr:
    """A `scan` as its first step, and a loop of all others."""
    program, reverse = eqn.params["jaxpr"], eqn.params["reverse"]
    num_consts, num_carry = scan_lengths(eqn)
    body, steps = jaxpr_as_fun(program), eqn.params["length"]
    first = steps - 1 if reverse else 0
    others = slice(0, -1) if reverse else slice(1, None)

    def run(*operands: Any) -> Any:
        consts, init = operands[:num_consts], operands[num_consts:][:num_carry]
        xs = operands[num_consts + num_carry :]

        def step(carry: Any, x: Any) -> Any:
            outputs = body(*consts, *carry, *x)
            return outputs[:num_carry], outputs[num_carry:]

        carry, y = step(init, [x[first] for x in xs])
        carry, ys = lax.scan(
            step,
            carry,
            [x[others] for x in xs],
            length=steps - 1,
            reverse=reverse,
            unroll=eqn.params["unroll"],
        )
        ends = [[rest, part[None]] for part, rest in zip(y, ys, strict=True)]
        return carry, [jnp.concatenate(end if reverse else end[::-1]) for end in ends]

    return jax.make_jaxpr(run)(*(var.aval for var in eqn.invars))
