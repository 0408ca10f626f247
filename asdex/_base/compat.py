"""Differences between the versions of JAX that asdex works with, 0.10.2 to 0.12.

The rest of the package never asks for a version: each difference is bridged by one name
of this file, which gives the version that made it.
"""

from typing import Any

from jax import lax
from jax.extend.core import ClosedJaxpr, JaxprEqn, Primitive
from jax.extend.core import primitives as p


def with_constants(program: Any) -> ClosedJaxpr:
    """A program, of either class, with the values of its constants: none if it holds none.

    Since 0.11 `Jaxpr` and `ClosedJaxpr` are one class. A test by class, right before,
    then takes a program that holds constants for one without, and removes them.
    """
    return program if hasattr(program, "consts") else ClosedJaxpr(program, ())


def scan_lengths(eqn: JaxprEqn) -> tuple[int, int]:
    """How many operands of a `scan` are constants, and how many are carried.

    Since 0.11 the parameter `ft_in`, a tree of the operands, tells both.
    """
    if "num_consts" in eqn.params:
        return eqn.params["num_consts"], eqn.params["num_carry"]
    consts, carry, _ = eqn.params["ft_in"].unpack()
    return len(consts), len(carry)


def _present(module: Any, *names: str) -> tuple[Primitive, ...]:
    """The primitives that this version of JAX has, in this order."""
    return tuple(getattr(module, name) for name in names if hasattr(module, name))


CALLS: tuple[Primitive, ...] = tuple(dict.fromkeys((p.call_p, p.closed_call_p)))
"""Primitives that call a program and nothing else. Since 0.11 they are one."""

NEW_ELEMENTWISE = _present(lax, "log2_p", "one_minus_square_p", "polynomial_p")
"""Elementwise primitives that are new in 0.11 (`log2`, `one_minus_square`) or 0.12."""

OLD_SINKS = _present(lax, "dce_sink_p")
"""A primitive without results that keeps its operands alive, until 0.10."""
