"""Random programs: patterns hold every nonzero, sparse derivatives equal dense ones.

`python -m tests.test_random_programs --seeds 1000` searches longer than the test suite.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import asdex

from .helpers import allclose, check_contains
from .helpers.programs import program

pytestmark = pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning")
POINTS = 6


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """Programs mix dtypes as users do, in float64."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.parametrize("seed", range(32))
def test_jacobian(seed: int) -> None:
    check_jacobian(seed)


@pytest.mark.parametrize("seed", range(7))
def test_hessian(seed: int) -> None:
    check_hessian(seed)


def check_jacobian(seed: int) -> None:
    rng = np.random.default_rng([0, seed])
    size, loops = int(rng.integers(1, 9)), bool(rng.integers(2))
    fun = program(rng, size, steps=int(rng.integers(1, 9)), loops=loops)
    coloring = asdex.jacobian_coloring(fun, np.ones(size))
    ways = [
        asdex.jacobian_from_coloring(fun, coloring),
        asdex.jacobian(fun, np.ones(size), mode="accumulate"),
    ]
    check(coloring.sparsity, ways, jax.jacfwd(fun), _points(rng, size))


def check_hessian(seed: int) -> None:
    rng = np.random.default_rng([1, seed])
    size = int(rng.integers(1, 7))
    vector = program(rng, size, steps=int(rng.integers(1, 6)), loops=False)

    def fun(x: Array) -> Array:
        y = vector(x)
        return jnp.sum(jnp.tanh(y) * (1 + jnp.arange(y.size) % 3))

    coloring = asdex.hessian_coloring(fun, np.ones(size))
    ways = [
        asdex.hessian_from_coloring(fun, coloring),
        asdex.hessian(fun, np.ones(size), mode="accumulate"),
    ]
    check(coloring.sparsity, ways, jax.hessian(fun), _points(rng, size))


def check(
    sparsity: asdex.SparsityPattern,
    ways: Sequence[asdex.Derivative],
    dense: Callable,
    points: np.ndarray,
) -> None:
    """Compare at all points what is computed by colors and, if there are coefficients, by
    accumulation; entries where the dense derivative is not finite are free."""
    colored, accumulated = ways
    sparse = ways if accumulated.coloring is None else [colored]
    both = jax.vmap(lambda x: ([fun(x).todense() for fun in sparse], dense(x)))
    all_values, dense_values = jax.tree.map(np.asarray, jax.jit(both)(points))
    finite = np.isfinite(dense_values)
    needed = (finite & (dense_values != 0)).any(axis=0)
    check_contains(sparsity.todense().astype(bool), needed)
    for k in np.flatnonzero(np.isfinite(dense_values).all(axis=(1, 2))):
        for values in all_values:
            value, expected = values[k], dense_values[k]
            assert allclose(value, expected, points.dtype), f"{value}\nis not\n{expected}"


def _points(rng: np.random.Generator, size: int) -> np.ndarray:
    """Random points, large ones and one with ties and zeros."""
    points = rng.standard_normal((POINTS, size))
    points[-2] *= 3
    points[-1] = np.round(points[-1])
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--start", type=int, default=1000)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    jax.config.update("jax_enable_x64", True)
    for seed in range(options.start, options.start + options.seeds):
        print(f"\rseed {seed}", end="", flush=True)
        check_jacobian(seed)
        check_hessian(seed)
        jax.clear_caches()  # Otherwise memory grows with every program.
    print(f"\r{options.seeds} seeds passed")


if __name__ == "__main__":
    main()
