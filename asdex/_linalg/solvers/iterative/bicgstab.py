"""The stabilized method of biconjugate gradients.

JAX's own returns NaN where the residual becomes orthogonal to the first one. That is rare
for dense right-hand sides, and common for those with one nonzero element, as gradients of
one element of a solution have them. Here the method starts again from there.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Inexact, Int

from ...._base.sharding import typed_like
from ..backend import Vector

Number = Inexact[Array, ""]


class _State(NamedTuple):
    x: Vector
    r: Vector
    r_hat: Vector
    p: Vector
    q: Vector
    rho: Number
    alpha: Number
    omega: Number
    steps: Int[Array, ""]


def bicgstab(
    product: Callable[[Vector], Vector],
    precondition: Callable[[Vector], Vector],
    b: Vector,
    tolerance: Float[Array, ""],
    max_steps: int,
) -> Vector:
    """An approximate solution, preconditioned from the right: until the norm of the
    residual, as the method updates it, is at most `tolerance`.

    H. A. van der Vorst, "Bi-CGSTAB: A fast and smoothly converging variant of Bi-CG for the
    solution of nonsymmetric linear systems", SIAM J. Sci. Stat. Comput. 13 (1992).
    """
    eps = jnp.finfo(b.dtype).eps

    def is_needed(state: _State) -> Bool[Array, ""]:
        return (_norm(state.r) > tolerance) & (state.steps < max_steps)

    def step(state: _State) -> _State:
        x, r, r_hat, p, q, rho, alpha, omega, steps = state
        last_rho, rho = rho, jnp.vdot(r_hat, r)
        is_new = (jnp.abs(rho) <= eps * _norm(r_hat) * _norm(r)) | (omega == 0)
        r_hat = jnp.where(is_new, r, r_hat)
        rho = jnp.where(is_new, jnp.vdot(r, r), rho)
        beta = _ratio(rho, last_rho) * _ratio(alpha, omega)
        p = jnp.where(is_new, r, r + beta * (p - omega * q))
        towards = precondition(p)
        q = product(towards)
        alpha = _ratio(rho, jnp.vdot(r_hat, q))
        s = r - alpha * q
        along = precondition(s)
        t = product(along)
        omega = _ratio(jnp.vdot(t, s), jnp.vdot(t, t))
        x = x + alpha * towards + omega * along
        return _State(x, s - omega * t, r_hat, p, q, rho, alpha, omega, steps + 1)

    zero, one = jnp.zeros_like(b), typed_like(jnp.ones((), b.dtype), b)
    first = _State(zero, b, b, zero, zero, one, one, one, jnp.asarray(0))
    return lax.while_loop(is_needed, step, first).x


def _norm(x: Vector) -> Float[Array, ""]:
    return jnp.linalg.norm(x)


def _ratio(a: Number, b: Number) -> Number:
    """`a / b`, or zero where that is not defined."""
    is_zero, one = b == 0, jnp.ones_like(b)
    return jnp.where(is_zero, jnp.zeros_like(a), a / jnp.where(is_zero, one, b))
