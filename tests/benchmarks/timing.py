"""Wall-clock time of calls, measured so that ratios between them mean something."""

import time
from collections.abc import Callable
from typing import Any

import jax


def once(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that one call takes until its result is there, and the result."""
    start = time.perf_counter()
    result = jax.block_until_ready(function())
    return time.perf_counter() - start, result


def together(
    *functions: Callable[[], Any],
    budget: float = 0.5,
    summary: Callable[[list[float]], float] = min,
) -> list[float]:
    """Seconds of a call of each function, after one call to warm each up: the least, or
    another summary of all calls.

    The functions take turns, so that a slow period of the machine affects all of them.
    Rounds go on for `budget` seconds, but for at least three and at most 200 rounds.
    """
    for function in functions:
        once(function)
    seconds: list[list[float]] = [[] for _ in functions]
    start, rounds = time.perf_counter(), 0
    while rounds < 3 or (rounds < 200 and time.perf_counter() - start < budget):
        for of_function, function in zip(seconds, functions, strict=True):
            of_function.append(once(function)[0])
        rounds += 1
    return [summary(of_function) for of_function in seconds]
