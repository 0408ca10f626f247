"""The table of functions that find bounds, keyed by primitive."""

from collections.abc import Callable
from typing import TypeAlias

from jax.extend.core import Primitive

from .bounds import Bounds

Fold: TypeAlias = Callable[..., Bounds | list[Bounds | None] | None]
"""Maps an equation and the bounds of its operands, of which nothing may be known, to the
bounds of the result, `None` for nothing; or to a list of them if there are many."""

FOLDS: dict[Primitive, Fold] = {}


def fold(*primitives: Primitive) -> Callable[[Fold], Fold]:
    """Add a function to the table."""

    def decorate(function: Fold) -> Fold:
        FOLDS.update(dict.fromkeys(primitives, function))
        return function

    return decorate
