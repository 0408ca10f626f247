"""Primitives that only move elements: the row numbers move in the same way."""

from collections.abc import Sequence

import numpy as np
from jax.extend.core import JaxprEqn

from ..dependence import Dependence, combine, nothing
from ..moves import MOVES, move_for
from ..registry import register
from ..value import Scope, Value, output_shape


@register(*MOVES)
def move(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope
) -> Dependence | list[Dependence]:
    """Applies the primitive's NumPy function to the row numbers."""
    sources = [op.dependence or nothing(op.shape, scope.n) for op in operands]
    function = move_for(eqn.primitive)
    assert function is not None
    if not eqn.primitive.multiple_results:
        shape = output_shape(eqn)
        return combine(sources, lambda *rows: function(eqn, *rows), shape)
    (source,) = sources
    index = np.arange(source.size, dtype=np.int32).reshape(source.shape)
    return [source.take(part) for part in function(eqn, index)]
