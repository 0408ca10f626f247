"""Differences between versions of JAX."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Jaxpr
from jax.extend.core import primitives as p

import asdex
from asdex._base.compat import scan_lengths, with_constants


def test_constants_of_a_program_are_kept() -> None:
    mask = jnp.array([1.0, 0.0, 2.0])
    program = jax.make_jaxpr(lambda x: x * mask)(mask)
    assert [np.asarray(value).tolist() for value in with_constants(program).consts] == [
        mask.tolist()
    ]


def test_program_without_constants_gets_none() -> None:
    whole = jax.make_jaxpr(lambda x: (2 * x, x))(jnp.ones(3)).jaxpr
    program = Jaxpr((), whole.invars, whole.outvars, whole.eqns, set(), whole.debug_info)
    assert list(with_constants(program).consts) == []


def test_constants_of_a_called_program_are_seen() -> None:
    """With its constants missing, the call could not be followed; with them unknown, the
    entry at the zero would be there."""
    program = jax.make_jaxpr(lambda x: x * jnp.array([1.0, 0.0, 2.0]))(jnp.ones(3))

    def f(x: Array) -> Array:
        params = p.closed_call_p.get_bind_params({"call_jaxpr": program})
        return p.closed_call_p.bind(x, **params)[0]

    pattern = asdex.jacobian_sparsity(f, jnp.ones(3))
    assert pattern.rows.tolist() == pattern.cols.tolist() == [0, 2]


def test_lengths_of_a_scan() -> None:
    def f(const: Array, carry: Array, slices: Array) -> Array:
        def step(carry, x):
            a, b = carry
            return (a * const, b + x[0] + x[1]), None

        return lax.scan(step, (carry, carry), (slices, slices))[0][1]

    xs = jnp.ones(()), jnp.ones(()), jnp.ones(4)
    (eqn,) = [e for e in jax.make_jaxpr(f)(*xs).eqns if e.primitive is lax.scan_p]
    assert scan_lengths(eqn) == (1, 2)
