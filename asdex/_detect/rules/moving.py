"""Primitives that only move elements: the row numbers move in the same way."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from jax.extend.core import JaxprEqn

from .. import coefficients as co
from ..dependence import Dependence, combine, nothing
from ..moves import MOVES, move_for
from ..registry import register
from ..value import Scope, Value, shape_of


@register(*MOVES, coefficients=True)
def move(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Dependence]:
    """Applies the primitive's NumPy function to the row numbers."""
    sources = [op.dependence or nothing(op.shape, scope.n) for op in operands]
    return [
        combine(sources, partial(_moved, eqn, k), shape_of(var))
        for k, var in enumerate(eqn.outvars)
    ]


def _moved(eqn: JaxprEqn, k: int, *xs: Any) -> Any:
    """Result `k` of the primitive, by NumPy for constants."""
    if not all(map(co.is_constant, xs)):
        return co.bind(eqn, *xs)[k]
    function = move_for(eqn.primitive)
    assert function is not None
    results = function(eqn, *xs)
    return results[k] if eqn.primitive.multiple_results else results
