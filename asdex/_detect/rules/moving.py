"""Primitives that only move elements: the row numbers move in the same way."""

from collections.abc import Sequence
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
    function = move_for(eqn.primitive)
    assert function is not None

    def moved(*xs: Any) -> Sequence[Any]:
        if not all(map(co.is_constant, xs)):
            return co.bind(eqn, *xs)
        results = function(eqn, *xs)
        return results if eqn.primitive.multiple_results else [results]

    return [
        combine(sources, lambda *xs, k=k: moved(*xs)[k], shape_of(var))
        for k, var in enumerate(eqn.outvars)
    ]
