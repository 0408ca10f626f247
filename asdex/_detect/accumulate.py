"""Accumulation: the coefficients of a function's tangent, in terms of its inputs.

Detection follows which inputs each element depends on; the same rules, asked for
coefficients, too, say by which factor. The factors are computed by a program that is
emitted on the way, by JAX's own tracing: sparse vector forward mode, vectorized over the
elements of arrays (Griewank and Walther, Evaluating Derivatives, chapter 7).
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters.partial_eval import dce_jaxpr
from jaxtyping import Array, Inexact

from .dependence import Dependence, identity, nothing
from .interpret import interpret
from .known import constant
from .value import Notes, Scope, Value


def accumulate(
    fun: Callable[[Inexact[Array, " n"]], tuple[Array, Any]],
    x: Inexact[Array, " n"],
    values: Mapping[int, Any],
) -> tuple[Dependence, Any, Any]:
    """The tangent of `fun` at `x` with its coefficients, the type of its output, and its
    auxiliary output.

    `fun` returns `(y, aux)`. The value of an array that it closes over is known if the
    array is no tracer, or if `values` has it under the identity of the array. Cost: one
    trace, and the cost of detection.

    **Raises:** `NoCoefficients` if some primitive passes on dependence, but has no
    coefficients.
    """

    types = []

    def tangent(x: Any, v: Any) -> Any:
        y, *outputs = jax.jvp(fun, (x,), (v,), has_aux=True)
        types.append(jax.typeof(y))
        return outputs

    program, shapes = jax.make_jaxpr(tangent, return_shape=True)(x, x)
    # Equations on values that nothing needs would be emitted, too.
    jaxpr, _ = dce_jaxpr(
        program.jaxpr, [True] * len(program.jaxpr.outvars), instantiate=True
    )
    consts = [
        Value(var.aval, None, constant(values.get(id(value), value)), value)
        for var, value in zip(jaxpr.constvars, program.consts, strict=True)
    ]
    at, direction = jaxpr.invars
    args = [
        Value(at.aval, array=x),
        Value(direction.aval, identity(x.shape, x.size, dtype=x.dtype)),
    ]
    scope = Scope(x.size, Notes(), emits=True)
    output, *others = interpret(jaxpr, consts, args, scope)
    aux = jax.tree.unflatten(
        jax.tree.structure(shapes[1]), [jnp.asarray(value.array) for value in others]
    )
    return output.dependence or nothing(output.shape, x.size), types[0], aux
