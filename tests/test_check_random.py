"""Checks of random smooth functions in float32: no false alarm, no missing entry unnoticed.

Run as a program, `python -m tests.test_check_random 0 1000` goes through as many of them.
"""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex

Function = Callable[[jax.Array], jax.Array]

SMOOTH: list[Callable[[jax.Array], Any]] = [
    *(jnp.sin, jnp.cos, jnp.tanh, jnp.exp, jnp.arctan, jnp.sinc, jnp.cumsum),
    *(jax.nn.softplus, jax.nn.sigmoid, jax.nn.gelu, jax.nn.swish),
    *(jax.nn.softmax, jax.nn.log_softmax, jax.nn.logsumexp),
    jax.scipy.special.erf,
    lambda x: jnp.log1p(x * x),
    lambda x: jnp.sqrt(1 + x * x),
    lambda x: 1 / (1 + x * x),
    lambda x: x**3,
    lambda x: jnp.exp(-x * x),
    lambda x: jnp.sinh(x / 4),
    lambda x: x / jnp.linalg.norm(x),
    lambda x: x - jnp.mean(x),
    lambda x: jnp.prod(jnp.tanh(x)),
    lambda x: jnp.logaddexp(x, x[::-1]),
]

ROUNDED = [316, 482, 525]
"""Seeds whose derivatives are what rounding errors at the point make of them, for which XLA
compiles a product alone to other numbers than one in a batch."""


NOT_FINITE = [943]
"""Seeds at whose points derivatives are NaN, for which all entries are compared."""


def draw(rng: np.random.Generator, n: int) -> tuple[Function, jax.Array]:
    """A composition of one to four smooth functions, each joined with a shifted copy, and a
    point of any magnitude, perhaps with a large constant added."""
    scale = 10.0 ** rng.uniform(-3, 3)
    shift = rng.choice([0.0, 0.0, 0.0, 1e2, 1e4]) * rng.normal()
    mixing = rng.normal(size=(n, n)) * (rng.random((n, n)) < 0.2)
    mixing = jnp.asarray(mixing, jnp.float32)
    joins: list[Callable[[jax.Array, jax.Array, int], jax.Array]] = [
        lambda x, y, k: y * jnp.roll(x, k),
        lambda x, y, k: y + jnp.roll(x, k),
        lambda x, y, k: y - jnp.roll(y, k),
        lambda x, y, k: mixing @ y,
        lambda x, y, k: y,
    ]
    layers = [
        (
            SMOOTH[rng.integers(len(SMOOTH))],
            joins[rng.integers(len(joins))],
            int(rng.integers(1, n)),
            float(10.0 ** rng.uniform(-2, 2)),
        )
        for _ in range(rng.integers(1, 5))
    ]

    def function(x: jax.Array) -> jax.Array:
        x = x + float(shift)
        for smooth, join, k, factor in layers:
            x = join(x, jnp.broadcast_to(smooth(factor * x), x.shape), k)
        return x

    return function, jnp.asarray(scale * rng.normal(size=n), jnp.float32)


def jacobian(function: Function, x: jax.Array) -> tuple[np.ndarray, bool]:
    """The Jacobian, and whether JAX computes it to three digits, forward and in reverse."""
    forward = np.asarray(jax.jit(jax.jacfwd(function))(x))
    reverse = np.asarray(jax.jit(jax.jacrev(function))(x))
    return reverse, np.abs(forward - reverse).max() <= 1e-3 * np.abs(reverse).max()


def without(pattern: asdex.SparsityPattern, k: int) -> asdex.ColoredPattern:
    """A coloring of the pattern without its entry `k`."""
    rows, cols = np.delete(pattern.rows, k), np.delete(pattern.cols, k)
    smaller = asdex.SparsityPattern(rows, cols, pattern.shape)
    return asdex.jacobian_coloring_from_sparsity(smaller, algorithm=asdex.Greedy())


def check(seed: int) -> bool:
    """Check one function in all ways. If JAX computes its Jacobian precisely, the lack of
    one entry must be noticed: whether that was tried."""
    rng = np.random.default_rng(seed)
    function, x = draw(rng, int(rng.choice([6, 12, 24])))
    dense, is_precise = jacobian(function, x)
    if not np.isfinite(dense).all():
        return False
    pattern = asdex.jacobian_sparsity(function, x)
    coloring = asdex.jacobian_coloring_from_sparsity(pattern, algorithm=asdex.Greedy())
    asdex.check_jacobian_correctness(
        function, x, coloring=coloring, method=("matvec", "dense")[seed % 2]
    )
    mode = ("accumulate", "fwd", "rev")[seed % 3]
    asdex.jacobian(function, x, mode=mode, checked=True)(x)
    values = np.abs(dense[pattern.rows, pattern.cols])
    if not (is_precise and values.any()):
        return False
    k = int(rng.choice(np.flatnonzero(values > 3e-2 * values.max())))
    with pytest.raises(asdex.VerificationError):
        asdex.check_jacobian_correctness(
            function, x, coloring=without(pattern, k), num_probes=1
        )
    return True


@pytest.mark.filterwarnings("ignore::asdex.DenseColoringWarning")
@pytest.mark.parametrize("seed", [*range(12), *ROUNDED, *NOT_FINITE])
def test_random_functions(seed: int) -> None:
    check(seed)


def main(first: int, last: int) -> None:
    """Go through the seeds, and tell those at which something went wrong."""
    warnings.simplefilter("ignore")
    tried, failed = 0, []
    for seed in range(first, last):
        try:
            tried += check(seed)
        except (AssertionError, pytest.fail.Exception) as error:
            failed.append(seed)
            print(seed, *str(error).splitlines()[1:2], flush=True)
    print(f"{last - first} functions, {tried} without an entry, {len(failed)} failed")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
