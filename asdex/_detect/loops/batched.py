"""Loops that `vmap` gave a predicate for each of its elements."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, JaxprEqn, jaxpr_as_fun


def has_predicate_per_element(eqn: JaxprEqn) -> bool:
    """Whether a `while` ends at different steps for different elements of a batch."""
    return bool(eqn.params["cond_jaxpr"].out_avals[0].shape)


def with_scalar_predicate(eqn: JaxprEqn) -> ClosedJaxpr:
    """The same `while` as JAX compiles it: a loop that goes on while any element does,
    and leaves the others as they are."""
    num_cond, num_body = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    cond = jaxpr_as_fun(eqn.params["cond_jaxpr"])
    body = jaxpr_as_fun(eqn.params["body_jaxpr"])

    def run(*operands: Any) -> Any:
        cond_consts, operands = operands[:num_cond], operands[num_cond:]
        consts, init = operands[:num_body], operands[num_body:]

        def step(carry: Any) -> Any:
            (goes_on,) = cond(*cond_consts, *carry)
            after = body(*consts, *carry)
            return tuple(map(lambda *values: _where(goes_on, *values), after, carry))

        return lax.while_loop(
            lambda carry: jnp.any(cond(*cond_consts, *carry)[0]), step, init
        )

    return jax.make_jaxpr(run)(*(var.aval for var in eqn.invars))


def _where(leading: Any, new: Any, old: Any) -> Any:
    """`new` or `old`, by a mask of the leading axes."""
    mask = lax.broadcast_in_dim(leading, new.shape, range(leading.ndim))
    return lax.select(mask, new, old)
