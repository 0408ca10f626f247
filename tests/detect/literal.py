"""Patterns written out as text."""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import asdex

from ..helpers import check_contains


def pattern_text(pattern: asdex.SparsityPattern) -> str:
    """One line per row: `x` for an entry that can be nonzero, `.` for the others."""
    rows = pattern.todense().astype(bool)
    return "\n".join("".join("x" if entry else "." for entry in row) for row in rows)


def check_jacobian(
    f: Callable[..., Any], samples: Any, expected: str, **options: Any
) -> None:
    """The pattern of the Jacobian of `f` is the one written out, found without a warning.

    `samples`: the length of the one vector, or a tuple of samples.
    """
    _check(asdex.jacobian_sparsity, f, samples, expected, options)


def check_hessian(
    f: Callable[..., Any], samples: Any, expected: str, **options: Any
) -> None:
    """Like `check_jacobian`, for the Hessian."""
    _check(asdex.hessian_sparsity, f, samples, expected, options)


def check_sound(
    f: Callable[..., Any],
    n: int = 4,
    low: float = -1,
    high: float = 1,
    *,
    expected: str | None = None,
) -> None:
    """No nonzero of the dense Jacobian is missing, at points between `low` and `high`.

    With `expected`, the pattern is also the one written out, as in `check_jacobian`.
    """
    with warnings.catch_warnings():
        conservative = "ignore" if expected is None else "error"
        warnings.simplefilter(conservative, asdex.ConservativePatternWarning)
        warnings.simplefilter("ignore", asdex.DenseColoringWarning)
        coloring = asdex.jacobian_coloring(f, np.ones(n))
    if expected is not None:
        _compare(coloring.sparsity, expected)
    found = coloring.sparsity.todense().astype(bool)
    dense = jax.jit((jax.jacfwd if coloring.mode == "fwd" else jax.jacrev)(f))
    rng = np.random.default_rng(0)
    matrices = [np.asarray(dense(rng.uniform(low, high, n))) for _ in range(4)]
    check_contains(found, np.any([np.abs(m) > 1e-9 for m in matrices], axis=0))


def _check(
    find: Callable[..., asdex.SparsityPattern],
    f: Callable[..., Any],
    samples: Any,
    expected: str,
    options: dict[str, Any],
) -> None:
    if isinstance(samples, int):
        samples = (np.ones(samples),)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pattern = find(f, *samples, **options)
    _compare(pattern, expected)


def _compare(pattern: asdex.SparsityPattern, expected: str) -> None:
    found, wanted = pattern_text(pattern), "\n".join(expected.split())
    assert found == wanted, f"found\n{found}\nexpected\n{wanted}"
