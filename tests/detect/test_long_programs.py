"""Programs of many equations: the work is in proportion to their number."""

import cProfile
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import asdex
from asdex._detect.detect import trace
from asdex._detect.interpret import interpret
from asdex._detect.value import Notes, Scope

Maker = Callable[[int], tuple[Callable[[Array], Array], int]]


def generated_model(count: int) -> tuple[Callable[[Array], Array], int]:
    """Scalar equations, each on two of the values before."""
    pairs = np.random.default_rng(0).integers(0, 20, (count, 2))

    def f(x: Array) -> Array:
        values = list(x)
        for i, j in pairs:
            values[i] = values[i] * values[j] if (i + j) % 3 else values[i] + values[j]
        return jnp.stack(values)

    return f, 20


def sums_of_many(count: int) -> tuple[Callable[[Array], Array], int]:
    """Each element of the output has a matrix of its own."""

    def f(x: Array) -> Array:
        return jnp.stack([jnp.sum(x[k : k + 20]) * x[k] for k in range(count)])

    return f, count + 20


def unrolled_loop(count: int) -> tuple[Callable[[Array], Array], int]:
    """A value of many terms that agree in no element."""

    def f(x: Array) -> Array:
        y = x
        for k in range(count):
            y = y + jnp.roll(x, k % 40)
        return y

    return f, 64


PROGRAMS = [generated_model, sums_of_many, unrolled_loop]


@pytest.mark.parametrize("program", PROGRAMS)
def test_work(program: Maker) -> None:
    """Twice as many equations take about twice as many calls of functions."""
    few, many = (_calls_of_detection(*program(count)) for count in (100, 200))
    assert many < 2.5 * few


def _calls_of_detection(f: Callable[[Array], Array], n: int) -> int:
    """The calls that it takes to follow the tangent program, which JAX has traced."""
    program = trace(lambda x: (f(x), None), np.ones(n), (), local=False)
    with cProfile.Profile() as profile:
        interpret(program.jaxpr, program.consts, program.args, Scope(n, Notes()))
    return sum(entry.callcount for entry in profile.getstats())


@pytest.mark.parametrize("program", PROGRAMS)
def test_values(program: Maker) -> None:
    f, n = program(40)
    x = np.random.default_rng(1).uniform(0.5, 1.5, n)
    expected = jax.jacfwd(f)(x)
    found = asdex.jacobian(f, x, mode="accumulate", output_format="dense")(x)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert asdex.jacobian_sparsity(f, x).nnz == np.count_nonzero(expected)
