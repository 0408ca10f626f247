"""Differences between the versions of JAX that asdex works with, 0.10.2 to 0.12.

The rest of the package does not depend on the version: each difference has one name in
this file, which gives the version that introduced it.
"""

from typing import Any

import jax
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Primitive
from jax.extend.core import primitives as p


def with_constants(program: Any) -> ClosedJaxpr:
    """A program, of either class, with the values of its constants: none if it holds none.

    Since 0.11 `Jaxpr` and `ClosedJaxpr` are one class. A test by class, correct until then,
    mistakes a program that holds constants for one without, and drops them.
    """
    return program if hasattr(program, "consts") else ClosedJaxpr(program, ())


def without_constants(program: ClosedJaxpr) -> Jaxpr:
    """A program whose constants are its first inputs.

    Since 0.11 `program.jaxpr` holds the values of the constants, too.
    """
    jaxpr = program.jaxpr
    inputs = [*jaxpr.constvars, *jaxpr.invars]
    return Jaxpr((), inputs, jaxpr.outvars, jaxpr.eqns, jaxpr.effects, jaxpr.debug_info)


def called_program(eqn: JaxprEqn) -> ClosedJaxpr:
    """The program that one of the `CALLS` calls.

    That of an operation written in terms of other primitives has to be traced; JAX keeps
    the trace. In 0.12 `jnp.searchsorted`, `jnp.nonzero` and others became such operations.
    """
    if eqn.primitive.name == _OPERATION:
        lowered = jax.jit(eqn.primitive.to_lojax, static_argnames=tuple(eqn.params))
        traced = lowered.trace(*(atom.aval for atom in eqn.invars), **eqn.params)
        return with_constants(traced.jaxpr)
    (name,) = {"jaxpr", "call_jaxpr", "call"} & eqn.params.keys()
    return with_constants(eqn.params[name])


def is_numpy_operation(value: Any) -> bool:
    """Whether a parameter is an operation of `jax.numpy`: its class and parameters decide
    about its values and derivatives. There are none before 0.12."""
    return type(value).__module__.startswith("jax._src.numpy.") and hasattr(value, "expand")


def scan_lengths(eqn: JaxprEqn) -> tuple[int, int]:
    """How many operands of a `scan` are constants, and how many are carried.

    Since 0.11 both are in the parameter `ft_in`, a tree of the operands.
    """
    if "num_consts" in eqn.params:
        return eqn.params["num_consts"], eqn.params["num_carry"]
    consts, carry, _ = eqn.params["ft_in"].unpack()
    return len(consts), len(carry)


def _present(module: Any, *names: str) -> tuple[Primitive, ...]:
    """The primitives that this version of JAX has, in this order."""
    return tuple(getattr(module, name) for name in names if hasattr(module, name))


_OPERATION = "call_hi_primitive"

CALLS: tuple[Primitive | str, ...] = (
    *dict.fromkeys((p.call_p, p.closed_call_p)),  # One primitive since 0.11.
    *(p.jit_p, p.remat_p, p.custom_jvp_call_p, p.custom_vjp_call_p),
    *("custom_vmap_call", _OPERATION),
)
"""Primitives that call a program and nothing else, or their names if not public."""

LOG2 = _present(lax, "log2_p")
"""The logarithm to base two, a primitive since 0.11."""

ONE_MINUS_SQUARE = _present(lax, "one_minus_square_p")
"""`1 - x**2`, since 0.11."""

POLYNOMIAL = _present(lax, "polynomial_p")
"""A polynomial of the first operand with the others as coefficients, since 0.12."""

OLD_SINKS = _present(lax, "dce_sink_p")
"""A primitive without results that keeps its operands alive, until 0.10."""
