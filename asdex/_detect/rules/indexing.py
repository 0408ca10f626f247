"""Reads and writes at indices: exact where the indices are known.

Where they are not, an element read may be any along the indexed axes, and an element
written may land anywhere along them; the other axes stay exact.
"""

from collections.abc import Sequence

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jaxtyping import Integer

from ..dependence import Dependence, Shape, combine, nothing, union
from ..positions import clamped_starts, gather_positions, scatter_positions
from ..table import Scope, Value, output_shape, register


@register(lax.dynamic_slice_p, linear=(0,))
def dynamic_slice(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """A window of the operand."""
    operand, *starts = operands
    assert operand.dependence is not None
    sizes = eqn.params["slice_sizes"]
    source, known, _ = _merge_unknown(operand.dependence, starts, sizes, scope)
    sizes_at_hand = tuple(min(pair) for pair in zip(sizes, source.shape, strict=True))
    first = clamped_starts(source.shape, known, sizes_at_hand)
    window = tuple(slice(a, a + b) for a, b in zip(first, sizes_at_hand, strict=True))
    part = combine([source], lambda rows: rows[window], sizes_at_hand)
    return part.broadcast(sizes)


@register(lax.dynamic_update_slice_p, linear=(0, 1))
def dynamic_update_slice(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope
) -> Dependence:
    """The operand with a window replaced, or perhaps replaced."""
    operand, update, *starts = operands
    shape = output_shape(eqn)
    old = operand.dependence or nothing(operand.shape, scope.n)
    new = update.dependence or nothing(update.shape, scope.n)
    source, known, unknown = _merge_unknown(new, starts, shape, scope)
    first = clamped_starts(shape, known, source.shape)
    window = tuple(slice(a, a + b) for a, b in zip(first, source.shape, strict=True))
    if not unknown:

        def put(old_rows: np.ndarray, new_rows: np.ndarray) -> np.ndarray:
            rows = old_rows.copy()
            rows[window] = new_rows
            return rows

        return combine([old, source], put, shape)

    # Along an axis of unknown start the merged update may land anywhere.
    target = tuple(slice(None) if k in unknown else part for k, part in enumerate(window))

    def spread(new_rows: np.ndarray) -> np.ndarray:
        rows = np.full(shape, np.int32(-1))
        rows[target] = new_rows
        return rows

    return union([old, combine([source], spread, shape)])


def _merge_unknown(
    dependence: Dependence, starts: Sequence[Value], sizes: Shape, scope: Scope
) -> tuple[Dependence, list[int], list[int]]:
    """The dependence merged along the axes whose start is unknown, the starts (0 for the
    unknown ones) and these axes. One on which the window has no room needs no start."""
    known, merged = [], []
    for axis, start in enumerate(starts):
        fixed = sizes[axis] == dependence.shape[axis]
        value = np.int32(0) if fixed else scope.value(start)
        if value is None:
            merged.append(axis)
        known.append(0 if value is None else int(value))
    return dependence.merge(merged), known, merged


@register(lax.gather_p, linear=(0,))
def gather(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """The elements at the indices."""
    operand, indices = operands
    source = operand.dependence
    assert source is not None
    starts, unknown = scope.column_values(indices)
    indexed = eqn.params["dimension_numbers"].start_index_map
    source = source.merge([indexed[column] for column in unknown])
    window = tuple(map(min, eqn.params["slice_sizes"], source.shape))
    shape = output_shape(eqn)
    return source.take(gather_positions(eqn, source.shape, starts, window, shape))


@register(
    *(lax.scatter_p, lax.scatter_add_p, lax.scatter_sub_p, lax.scatter_mul_p),
    *(lax.scatter_min_p, lax.scatter_max_p),
    linear=(0, 2),
)
def scatter(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """The operand, and where updates land theirs; what is overwritten is gone."""
    operand, indices, updates = operands
    shape = operand.shape
    old = operand.dependence or nothing(shape, scope.n)
    new = updates.dependence or nothing(updates.shape, scope.n)
    starts, unknown = scope.column_values(indices)
    if unknown:
        return union([old, _scatter_anywhere(eqn, new, operand, starts, unknown)])
    landing = scatter_positions(eqn, shape, starts, updates.shape).reshape(-1)
    written = np.flatnonzero(landing >= 0)
    if eqn.primitive is lax.scatter_p:
        keep = np.ones(old.size, bool)
        keep[landing[written]] = False
        old = old.where(keep.reshape(shape))
    return union([old, new.spread(landing[written], written, shape)])


def _scatter_anywhere(
    eqn: JaxprEqn,
    new: Dependence,
    operand: Value,
    starts: Integer[np.ndarray, "*batch index"],
    unknown: Sequence[int],
) -> Dependence:
    """Where updates may land if some components of the indices are unknown: anywhere on
    the axes of these. Worked out on an operand whose axes have shrunk to one element."""
    numbers = eqn.params["dimension_numbers"]
    loose = {numbers.scatter_dims_to_operand_dims[column] for column in unknown}
    shrunk = tuple(1 if axis in loose else dim for axis, dim in enumerate(operand.shape))
    lacking = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    kept = [axis for axis in range(len(operand.shape)) if axis not in lacking]
    pairs = zip(kept, numbers.update_window_dims, strict=True)
    new = new.merge([update_axis for axis, update_axis in pairs if axis in loose])
    landing = scatter_positions(eqn, shrunk, starts, new.shape).reshape(-1)
    written = np.flatnonzero(landing >= 0)
    spread = new.spread(landing[written], written, shrunk)
    return spread.broadcast(operand.shape)
