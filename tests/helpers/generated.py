"""Generated programs: steps that each take values at hand, in a loop, branch or batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .steps import FORWARD_ONLY, SIZE, STEPS

_ROWS = STEPS + FORWARD_ONLY


class Step(NamedTuple):
    """A row of the table, its number, and which values of the program it takes."""

    row: int
    number: int
    operands: tuple[int, ...]

    def __str__(self) -> str:
        takes, gives, _ = _ROWS[self.row]
        return f"{self.row}({takes}->{gives}) s={self.number} {self.operands}"


def program(random: np.random.Generator, *, forward: bool) -> tuple[Any, int, list[Step]]:
    """A function of a vector, the size of this, and the steps of the function.

    It has all of JAX's derivatives, or possibly, if `forward`, only the first.
    """
    kinds, dependent, steps = ["f", "i"], [True, False], []
    rows = len(_ROWS) if forward else len(STEPS)
    while len(steps) < 3 or not dependent[-1] or kinds[-1] != "f" or random.uniform() < 0.7:
        row = int(random.integers(rows))
        takes, gives, _ = _ROWS[row]
        operands = [_operand(random, kinds, dependent, kind) for kind in takes]
        if None not in operands:
            steps.append(Step(row, int(random.integers(60)), tuple(operands)))
            kinds.append(gives)
            dependent.append(any(dependent[k] for k in operands))
        if len(steps) > 14:
            return program(random, forward=forward)
    used = _used(steps)

    def run(x: Any, t: Any) -> Any:
        found: list[Any] = [x, t + jnp.arange(SIZE)]
        for k, step in enumerate(steps):
            operands = [found[o] for o in step.operands]
            value = _ROWS[step.row][2](step.number, *operands) if k in used else None
            found.append(value)
        return found[-1].astype(x.dtype)

    return *_placed(random, run), steps


def _operand(random: Any, kinds: list[str], dependent: list[bool], kind: str) -> Any:
    """The number of a value of a kind, more often a late one."""
    fits = [
        k
        for k, own in enumerate(kinds)
        if own == kind.lower() and (dependent[k] or kind != "F")
    ]
    if not fits:
        return None
    return fits[-1] if random.uniform() < 0.5 else int(random.choice(fits))


def _used(steps: Sequence[Step]) -> set[int]:
    """The steps that the last one needs; the others would only take time."""
    used, needed = set(), {len(steps) + 1}
    for k in reversed(range(len(steps))):
        if k + 2 in needed:
            used.add(k)
            needed |= set(steps[k].operands)
    return used


def _placed(random: np.random.Generator, run: Any) -> tuple[Any, int]:
    """The program by itself, or in a loop, a branch or a batch, with a counter."""
    t = int(random.integers(-2, 3))
    places: list[tuple[Any, int]] = [
        (lambda x: run(x, t), SIZE),
        (lambda x: run(x, t), SIZE),
        (lambda x: run(x, t), SIZE),
        (lambda x: jax.jit(run)(x, t), SIZE),
        (lambda x: jax.vmap(run)(x.reshape(2, SIZE), jnp.arange(2)).ravel(), 2 * SIZE),
        (lambda x: jax.vmap(run, (0, None))(x.reshape(2, SIZE), t).ravel(), 2 * SIZE),
        (lambda x: jax.vmap(run, (None, 0))(x, jnp.arange(2)).ravel(), SIZE),
        (lambda x: lax.fori_loop(0, 2, lambda k, y: run(y, k), x), SIZE),
        (lambda x: lax.scan(lambda y, k: (run(y, k), y), x, jnp.arange(2))[0], SIZE),
        (lambda x: lax.map(lambda k: run(x, k), jnp.arange(3)).ravel(), SIZE),
        (lambda x: lax.cond(x[0] > 0, run, lambda x, t: x * t, x, t), SIZE),
        (lambda x: lax.cond(x[0] > 0, lambda x: run(x, 1), lambda x: run(x, 2), x), SIZE),
        (lambda x: jax.checkpoint(run)(x, t), SIZE),
        (lambda x: run(x, jnp.argmax(x[:2]).astype(int)), SIZE),
    ]
    return places[int(random.integers(len(places)))]
