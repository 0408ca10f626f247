"""Loops in the emitted program: what the steps compute, and with which coefficients.

There are two ways. Where the carry is soon forgotten, the coefficients of all steps, in
terms of what each step finds, are computed at once, and composed afterwards. Otherwise the
loop carries coefficients along, for all entries that the carry has at some step.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import eval_jaxpr
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn
from jax.interpreters.partial_eval import dce_jaxpr
from scipy.sparse import csr_array

from ..._base.compat import without_constants
from ..._base.index import pointers
from .. import coefficients as co
from ..coefficients import Coefficients
from ..compose import as_own_inputs, split, values_in
from ..dependence import Dependence, from_matrix
from ..interpret import call
from ..terms import Shape
from ..value import Scope, Value, bare
from .body import Body
from .recurrence import MAX_DEPTH


class Steps(NamedTuple):
    """What the steps of a `scan` compute from values that depend on no input."""

    carry: dict[int, Any]
    """The carries after the last step."""
    outputs: dict[int, Any]
    """The outputs of the loop, numbered like those of the body."""
    weights: dict[int, Coefficients]
    """For each output of the body that depends on inputs the values of the entries of its
    matrix, of shape `(steps, nnz)`, in the order of the steps."""


def all_steps(eqn: JaxprEqn, operands: Sequence[Value], body: Body, scope: Scope) -> Steps:
    """The steps of a `scan` at once, after a loop that finds only what they start from."""
    program, steps, reverse = (eqn.params[k] for k in ("jaxpr", "length", "reverse"))
    num_consts, num_carry = body.counts
    slices = operands[num_consts + num_carry :]
    xs = {k: x.array for k, x in enumerate(slices) if x.dependence is None}
    final, states = _states(eqn, operands, body, xs)
    matrices = [out.dependence and out.dependence.matrix() for out in body.outputs]
    constants: dict[int, np.ndarray] = {}

    def step(state: dict[int, Any], x: dict[int, Any]) -> tuple[dict[int, Any], ...]:
        at_step = _with_arrays(body, state, x)
        outputs, values = {}, {}
        for k, output in enumerate(call(program, *as_own_inputs(at_step, scope))):
            matrix = matrices[k]
            if matrix is None:
                if k >= num_carry:
                    outputs[k] = output.array
                continue
            found = values_in(output, matrix)
            if co.is_constant(found):
                constants[k] = np.broadcast_to(found, (steps, matrix.nnz))
            else:
                values[k] = found
        return outputs, values

    outputs, values = jax.vmap(step, axis_size=steps)(states, xs)
    if reverse:
        values = {k: value[::-1] for k, value in values.items()}
    return Steps(final, outputs, values | constants)


def can_be_batched(program: Jaxpr | ClosedJaxpr) -> bool:
    """Whether JAX can run a program for all steps at once: not if it calls a function on
    the host of which it does not know how."""
    for eqn in program.eqns:
        if eqn.params.get("vmap_method", "") is None:
            return False
        held = jax.tree.leaves(list(eqn.params.values()), is_leaf=_is_program)
        if not all(can_be_batched(value) for value in held if _is_program(value)):
            return False
    return True


def _is_program(value: Any) -> bool:
    return hasattr(value, "eqns")


def _with_arrays(body: Body, state: dict[int, Any], x: dict[int, Any]) -> list[Value]:
    """What a step finds, with the arrays of what depends on no input."""
    num_consts, num_carry = body.counts
    arrays = {num_consts + k: array for k, array in state.items()}
    arrays |= {num_consts + num_carry + k: array for k, array in x.items()}
    return [
        replace(value, array=arrays[k]) if k in arrays else value
        for k, value in enumerate(body.operands)
    ]


def _states(
    eqn: JaxprEqn, operands: Sequence[Value], body: Body, xs: dict[int, Any]
) -> tuple[dict[int, Any], dict[int, Any]]:
    """The carries that depend on no input: after the last step, and before each step."""
    program, steps, reverse = (eqn.params[k] for k in ("jaxpr", "length", "reverse"))
    carried = [k for k, value in enumerate(body.carry) if value.dependence is None]
    if not carried:
        return {}, {}
    init = {k: jnp.asarray(operands[body.counts[0] + k].array) for k in carried}
    advance, depth = _advance(program, operands, body, carried)
    if depth is None:

        def step(state: Any, x: Any) -> tuple[Any, Any]:
            return advance(state, x), state

        return lax.scan(step, init, xs, steps, reverse=reverse, unroll=eqn.params["unroll"])

    def shifted(first: Any, after: Any) -> Any:
        parts = (after[1:], first[None]) if reverse else (first[None], after[:-1])
        return jnp.concatenate(parts)

    def repeated(x: Any) -> Any:
        return jnp.broadcast_to(x, (steps, *x.shape))

    after = states = jax.tree.map(repeated, init)
    for _ in range(depth):
        after = jax.vmap(advance, axis_size=steps)(states, xs)
        states = jax.tree.map(shifted, init, after)
    return jax.tree.map(lambda x: x[0 if reverse else -1], after), states


def _advance(
    program: ClosedJaxpr, operands: Sequence[Value], body: Body, carried: Sequence[int]
) -> tuple[Callable[[Any, Any], dict[int, Any]], int | None]:
    """The step from carries to carries of those that depend on no input, and after how
    many steps they have forgotten what they were, if soon."""
    jaxpr, (num_consts, num_carry) = without_constants(program), body.counts
    first = len(program.consts) + num_consts

    def needed(outputs: Sequence[int]) -> tuple[Any, list[bool]]:
        return dce_jaxpr(jaxpr, [k in outputs for k in range(len(jaxpr.outvars))])

    depth, wanted = 0, carried
    while wanted and depth <= MAX_DEPTH:
        _, used = needed(wanted)
        wanted = [k for k in range(num_carry) if used[first + k]]
        depth += 1
    part, used = needed(carried)
    fixed = [*program.consts, *(operand.array for operand in operands[:num_consts])]

    def advance(state: dict[int, Any], x: dict[int, Any]) -> dict[int, Any]:
        arrays = dict(enumerate(fixed))
        arrays |= {first + k: array for k, array in state.items()}
        arrays |= {first + num_carry + k: array for k, array in x.items()}
        places = [k for k, is_used in enumerate(used) if is_used]
        # The program may be given what its results do not depend on, whatever it is.
        given = [
            jnp.zeros_like(var.aval) if arrays.get(k) is None else arrays[k]
            for k, var in zip(places, part.invars, strict=True)
        ]
        return dict(zip(carried, eval_jaxpr(part, (), *given), strict=True))

    return advance, None if wanted else depth


class Carried(NamedTuple):
    """A loop that carries coefficients along: the values of the entries of `matrices`, for
    each carry that depends on inputs."""

    program: ClosedJaxpr
    body: Body
    consts: Sequence[Value]
    matrices: Sequence[csr_array | None]
    scope: Scope

    @classmethod
    def of(
        cls,
        program: ClosedJaxpr,
        body: Body,
        consts: Sequence[Value],
        pattern: Dependence,
        scope: Scope,
    ) -> "Carried":
        """For a carry that at any step depends on no more than `pattern`."""
        active = [value.shape for value in body.carry if value.dependence is not None]
        found = iter(split(pattern, active))
        matrices = [
            None if value.dependence is None else next(found).matrix()
            for value in body.carry
        ]
        return cls(program, body, consts, matrices, scope)

    def enter(self, init: Sequence[Value]) -> list[Any]:
        """What the loop starts with."""
        return [
            jnp.asarray(value.array) if matrix is None else _values(value, matrix)
            for value, matrix in zip(init, self.matrices, strict=True)
        ]

    def find(self, carry: Sequence[Any]) -> list[Value]:
        """The carries as a step finds them."""
        return [
            replace(value, array=array)
            if matrix is None
            else Value(value.aval, from_matrix(matrix, value.shape, array))
            for value, matrix, array in zip(
                self.body.carry, self.matrices, carry, strict=True
            )
        ]

    def step(
        self, carry: Sequence[Any], slices: Sequence[Value]
    ) -> tuple[list[Any], list[Value]]:
        """What a step leaves, and its outputs."""
        operands = [*self.consts, *self.find(carry), *slices]
        outputs = call(self.program, operands, self.scope)
        return self.enter(outputs[: len(carry)]), outputs[len(carry) :]

    def output_matrices(self, slices: Sequence[Value]) -> list[csr_array | None]:
        """The entries that the outputs have at some step."""
        quiet = replace(self.scope, emits=False)
        found = [
            value if matrix is None else Value(value.aval, from_matrix(matrix, value.shape))
            for value, matrix in zip(self.body.carry, self.matrices, strict=True)
        ]
        outputs = call(self.program, [*map(bare, self.consts), *found, *slices], quiet)
        return [
            output.dependence and output.dependence.matrix()
            for output in outputs[len(found) :]
        ]

    def leave(self, known: Sequence[Value], carry: Sequence[Any]) -> list[Value]:
        """The carries after the loop."""
        return [
            replace(value, array=array) if matrix is None else found
            for value, matrix, array, found in zip(
                known, self.matrices, carry, self.find(carry), strict=True
            )
        ]


def _values(value: Value, matrix: csr_array) -> jax.Array:
    return co.as_jax(values_in(value, matrix))


def carry_along(
    eqn: JaxprEqn, operands: Sequence[Value], known: Sequence[Value], carried: Carried
) -> list[Value]:
    """The results of a `scan` without slices that depend on inputs. `known` are the results
    as far as they are known."""
    steps, reverse, unroll = (eqn.params[k] for k in ("length", "reverse", "unroll"))
    num_consts, num_carry = carried.body.counts
    sliced = num_consts + num_carry
    at_step = carried.body.operands[sliced:]
    matrices = carried.output_matrices(at_step)

    def step(carry: Any, xs: Any) -> tuple[Any, Any]:
        slices = [replace(value, array=x) for value, x in zip(at_step, xs, strict=True)]
        after, outputs = carried.step(carry, slices)
        return after, [
            output.array if matrix is None else _values(output, matrix)
            for output, matrix in zip(outputs, matrices, strict=True)
        ]

    init = carried.enter(operands[num_consts:sliced])
    xs = [operand.array for operand in operands[sliced:]]
    final, written = lax.scan(step, init, xs, steps, reverse=reverse, unroll=unroll)
    outputs = [
        replace(value, array=array)
        if matrix is None
        else Value(value.aval, _repeated(matrix, array, value.shape))
        for value, matrix, array in zip(known[num_carry:], matrices, written, strict=True)
    ]
    return carried.leave(known[:num_carry], final) + outputs


def _repeated(matrix: csr_array, values: Coefficients, shape: Shape) -> Dependence:
    """An array that in each step has the pattern of `matrix`."""
    steps = len(values)
    indptr = pointers(np.tile(np.diff(matrix.indptr), steps))
    everywhere = np.ones(steps * matrix.nnz, bool)
    tiled = (everywhere, np.tile(matrix.indices, steps), indptr)
    size = steps * matrix.shape[0]
    whole = csr_array(tiled, shape=(size, matrix.shape[1]))
    return from_matrix(whole, shape, values.reshape(-1))
