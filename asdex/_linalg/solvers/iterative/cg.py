"""Conjugate gradients.

JAX's own are a linear solve in itself, which within another one, or within the loop of a
new start, cannot be compiled inside of `jax.shard_map` with its checks of what varies.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ..backend import Vector


class _State(NamedTuple):
    x: Vector
    r: Vector
    p: Vector
    gamma: Float[Array, ""]
    steps: Int[Array, ""]


def cg(
    product: Callable[[Vector], Vector],
    precondition: Callable[[Vector], Vector],
    b: Vector,
    tolerance: Float[Array, ""],
    max_steps: int,
) -> Vector:
    """An approximate solution for a Hermitian positive definite matrix: until the norm of
    the residual, as the method updates it, is at most `tolerance`.

    Y. Saad, Iterative Methods for Sparse Linear Systems (2003), algorithm 9.1.
    """

    def is_needed(state: _State) -> Bool[Array, ""]:
        return (jnp.linalg.norm(state.r) > tolerance) & (state.steps < max_steps)

    def step(state: _State) -> _State:
        x, r, p, gamma, steps = state
        q = product(p)
        alpha = (gamma / jnp.vdot(p, q).real).astype(b.dtype)
        r = r - alpha * q
        z = precondition(r)
        last_gamma, gamma = gamma, jnp.vdot(r, z).real
        beta = (gamma / last_gamma).astype(b.dtype)
        return _State(x + alpha * p, r, z + beta * p, gamma, steps + 1)

    z = precondition(b)
    first = _State(jnp.zeros_like(b), b, z, jnp.vdot(b, z).real, jnp.asarray(0))
    return lax.while_loop(is_needed, step, first).x
