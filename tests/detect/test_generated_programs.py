"""Generated programs: patterns against dense derivatives of the compiled program.

A program computes on vectors: floating-point numbers, indices and masks, each of which
depends on the argument, or is a constant that is rounded, bounded or overflows on its way.
More of them from the command line:

    python -m tests.detect.test_generated_programs 20000
"""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex

from ..compiling import optimized_jit, plain_jit
from ..helpers.generated import Step, program
from ..helpers.steps import SIZE

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

Function = Callable[[Any], Any]
POINTS = 8


class Case(NamedTuple):
    """A generated function and where its derivative is compared."""

    seed: int
    kind: str
    function: Function
    steps: Sequence[Step]
    pattern: np.ndarray
    values: Sequence[Function]
    """The sparse derivative in some ways, perhaps none."""

    @property
    def dense(self) -> Function:
        derivative = jax.jacfwd if self.kind == "jacobian" else jax.hessian
        return derivative(self.function)

    def __str__(self) -> str:
        jaxpr = jax.make_jaxpr(self.function)(jnp.zeros(self.pattern.shape[1]))
        return f"{self.kind} of seed {self.seed}: {[*map(str, self.steps)]}\n{jaxpr}"


def case(seed: int) -> Case:
    """The program of a seed, with its pattern; with its derivative by accumulation if it
    has coefficients, and of some by colors."""
    random = np.random.default_rng(seed)
    kind = "hessian" if seed % 4 == 3 else "jacobian"
    vector, size, steps = program(random, forward=kind == "jacobian")
    function = vector if kind == "jacobian" else _scalar(vector)
    x = jnp.ones(size)
    find = asdex.jacobian_sparsity if kind == "jacobian" else asdex.hessian_sparsity
    pattern = find(function, x)
    values = []
    derivative: Any = asdex.jacobian if kind == "jacobian" else asdex.hessian
    accumulated = derivative(function, x, mode="accumulate", output_format="dense")
    if accumulated.coloring is None:
        values.append(accumulated)
    if seed % 16 in (0, 7):
        mode = "fwd" if kind == "jacobian" else "fwd_over_rev"
        values.append(derivative(function, x, mode=mode, output_format="dense"))
    matrix = np.asarray(pattern.todense()).astype(bool)
    return Case(seed, kind, function, steps, matrix, values)


def _scalar(vector: Function) -> Function:
    def function(x: Any) -> Any:
        y = vector(x)
        return jnp.sum(jnp.tanh(y) * (1 + jnp.arange(y.size) % 3))

    return function


def failures(cases: Sequence[Case], jit: Any) -> list[str]:
    """Missing entries, and values that are not those of the dense derivative."""
    found = []

    def derivatives(x: Any) -> list[Any]:
        return [
            [function(x[: c.pattern.shape[1]]) for function in (c.dense, *c.values)]
            for c in cases
        ]

    run = jit(derivatives)
    results = [jax.device_get(run(x)) for x in _points()]
    for number, c in enumerate(cases):
        dense = np.stack([np.asarray(r[number][0], np.float64) for r in results])
        nonzero = (np.isfinite(dense) & (dense != 0)).any(axis=0)
        if missing := np.argwhere(nonzero & ~c.pattern).tolist():
            found.append(f"missing {missing} in {c}")
        if c.kind == "hessian":  # JAX's need not be symmetric where a minimum has ties.
            symmetric = [np.allclose(h, h.T, equal_nan=True) for h in dense]
        else:
            symmetric = [True] * len(results)
        for way in range(1, 1 + len(c.values)):
            sparse = np.stack([np.asarray(r[number][way], np.float64) for r in results])
            if wrong := _different(sparse[symmetric], dense[symmetric]):
                found.append(f"{wrong} in {c}")
    return found


def _different(sparse: np.ndarray, dense: np.ndarray) -> str:
    """Compared where all of a derivative is finite, at the precision of `bfloat16`."""
    for one, other in zip(sparse, dense, strict=True):
        if np.isfinite(other).all() and np.abs(other).max(initial=0) < 1e6:
            scale = 1 + np.abs(other).max(initial=0)
            if not np.allclose(one, other, rtol=0.1, atol=0.05 * scale):
                return f"{one} is not {other}"
    return ""


def _points() -> Iterator[jax.Array]:
    """Random points, large ones, and one with ties and zeros."""
    random = np.random.default_rng(7)
    for k in range(POINTS):
        point = random.normal(size=2 * SIZE) * (1, 1, 1, 3, 0.3, 1, 10, 1)[k]
        if k == 5:
            point = np.round(point)
        yield jnp.asarray(np.abs(point) if k == 1 else point)


@pytest.mark.parametrize("batch", range(4))
def test_generated_programs(batch: int) -> None:
    with jax.numpy_dtype_promotion("standard"):
        found = failures([case(20 * batch + k) for k in range(20)], plain_jit)
    assert not found, "\n\n".join(found)


def main(count: int, start: int = 1_000_000) -> None:
    """Check so many programs, from a seed on; a fifth with XLA's optimizations."""
    warnings.simplefilter("ignore")
    total = 0
    for first in range(start, start + count, 20):
        cases = []
        for seed in range(first, min(first + 20, start + count)):
            try:
                cases.append(case(seed))
            except Exception as error:
                print(f"seed {seed}: {type(error).__name__}: {error}"[:2000], flush=True)
        jit = optimized_jit if first // 20 % 5 == 0 else plain_jit
        for failure in failures(cases, jit):
            total += 1
            print(failure[:6000], flush=True)
        print(f"{first + 20 - start} programs, {total} failures", flush=True)
        if first % 400 == 0:
            jax.clear_caches()


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    main(*map(int, sys.argv[1:]))
