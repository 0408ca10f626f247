"""Work that would multiply from level to level: nested calls, branches and loops."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax

import asdex
from asdex._detect import interpret

DEPTH = 9


def _branches(f: Any, g: Any) -> Callable[[Array], Array]:
    return lambda x: lax.cond(x[0] > 0, f, lambda x: g(f(2 * x)), x)


def _calls(f: Any, g: Any) -> Callable[[Array], Array]:
    return lambda x: f(x) + g(f(jnp.roll(x, 4)))


@pytest.mark.parametrize("level", [_branches, _calls])
@pytest.mark.parametrize("verb", [asdex.jacobian_sparsity, asdex.hessian_sparsity])
def test_a_level_is_interpreted_once(
    level: Any, verb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    f: Any = lambda x: jnp.sin(x) * x[::-1]  # noqa: E731
    for _ in range(DEPTH):
        f = jax.jit(level(f, lambda x: x + 1))
    equations = []
    apply_rule = interpret.apply_rule

    def counted(*args: Any) -> Any:
        equations.append(args[0])
        return apply_rule(*args)

    monkeypatch.setattr("asdex._detect.interpret.apply_rule", counted)
    fun = f if verb is asdex.jacobian_sparsity else lambda x: jnp.sum(f(x))
    assert verb(fun, jnp.ones(4)).nnz == 8
    assert len(equations) < 30 * DEPTH


def test_equal_calls_with_other_operands() -> None:
    """Masks, indices and the order of arguments differ from call to call."""

    @jax.jit
    def chosen(x: Array, mask: Array, k: Array) -> Array:
        return jax.jit(lambda x: jnp.where(mask, x, 0.0))(x) + x[k]

    def f(x: Array) -> Array:
        first = jnp.arange(4) == 0
        return jnp.stack(
            [
                chosen(x, first, jnp.asarray(1))[0],
                chosen(x, ~first, jnp.asarray(2))[0],
                chosen(x[::-1], first, jnp.asarray(1))[0],
                chosen(x, first, jnp.asarray(3))[0],
            ]
        )

    pattern = asdex.jacobian_sparsity(f, jnp.ones(4))
    expected = np.asarray(jax.jacobian(f)(jnp.ones(4))) != 0
    np.testing.assert_array_equal(pattern.todense().astype(bool), expected)


def test_nested_loops_that_index_with_their_counters() -> None:
    """Whether a loop must be followed is found out once, not in each step around it."""

    def nested(depth: int, x: Array, counters: tuple[Any, ...]) -> Array:
        if depth == 0:
            place = sum(counters) % 8
            return x.at[place].add(jnp.sin(x[place]))
        return lax.fori_loop(0, 2, lambda i, x: nested(depth - 1, x, (*counters, i)), x)

    assert asdex.jacobian_sparsity(lambda x: nested(5, x, ()), jnp.ones(8)).nnz == 8
