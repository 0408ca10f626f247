"""Target positions of indexed reads and writes: flat, in the operand, in NumPy.

The semantics are those of XLA's Gather and Scatter (https://openxla.org/xla/operation_semantics):
a start index picks a window of the operand; reads clamp it into the operand, writes that do
not fit are dropped.
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from jax.extend.core import JaxprEqn
from jax.lax import GatherScatterMode
from jaxtyping import Bool, Int, Integer

from .._base.index import index_dtype
from .terms import Shape


def gather_positions(
    eqn: JaxprEqn, operand: Shape, starts: np.ndarray, window: Shape, result: Shape
) -> Int[np.ndarray, "*result"]:
    """Flat position in the operand of each element that a gather reads, -1 for those
    that it fills."""
    numbers = eqn.params["dimension_numbers"]
    return _window_positions(
        operand,
        starts,
        window,
        indexed=_ints(numbers.start_index_map),
        removed=_ints(numbers.collapsed_slice_dims),
        batching=_ints(numbers.operand_batching_dims),
        starts_batching=_ints(numbers.start_indices_batching_dims),
        window_axes=_ints(numbers.offset_dims),
        result=result,
        clamp=_clamps(eqn.params["mode"], writes=False),
    )


def scatter_positions(
    eqn: JaxprEqn, operand: Shape, starts: np.ndarray, updates: Shape
) -> Int[np.ndarray, "*updates"]:
    """Flat target position in the operand of each update of a scatter, -1 for those that
    are dropped."""
    numbers = eqn.params["dimension_numbers"]
    removed = _ints(numbers.inserted_window_dims)
    batching = _ints(numbers.operand_batching_dims)
    lengths = iter([updates[axis] for axis in numbers.update_window_dims])
    window = tuple(
        1 if axis in {*removed, *batching} else next(lengths)
        for axis in range(len(operand))
    )
    return _window_positions(
        operand,
        starts,
        window,
        indexed=_ints(numbers.scatter_dims_to_operand_dims),
        removed=removed,
        batching=batching,
        starts_batching=_ints(numbers.scatter_indices_batching_dims),
        window_axes=_ints(numbers.update_window_dims),
        result=updates,
        clamp=_clamps(eqn.params["mode"], writes=True),
    )


def _window_positions(
    operand: Shape,
    starts: Integer[np.ndarray, "*batch index"],
    window: Shape,
    *,
    indexed: Sequence[int],
    removed: Sequence[int],
    batching: Sequence[int],
    starts_batching: Sequence[int],
    window_axes: Sequence[int],
    result: Shape,
    clamp: bool,
) -> Int[np.ndarray, "*result"]:
    """Flat position in `operand` of each element of the result of a gather, or of the
    updates of a scatter; -1 where the window does not fit and `clamp` is false.

    - `starts`: one start index per window along its last axis, for the axes `indexed`.
    - `window`: size of the window along each axis of the operand.
    - `removed`, `batching`: axes of the operand that the result lacks; the coordinate
      along a `batching` axis is that of the batch axis `starts_batching` of `starts`.
    - `window_axes`: the axes of the result that run through the window, in the order of
      the operand's other axes. The remaining axes of the result run through the batch.
    """
    batch_axes = [axis for axis in range(len(result)) if axis not in window_axes]
    kept = [axis for axis in range(len(operand)) if axis not in {*removed, *batching}]
    strides = [prod(operand[axis + 1 :]) for axis in range(len(operand))]
    dtype = index_dtype(max(prod(operand), prod(window), *strides))

    first, inside = _window_starts(operand, starts, window, indexed, strides, clamp, dtype)
    for axis, batch_axis in zip(batching, starts_batching, strict=True):
        along = _along(starts.shape[:-1], batch_axis, operand[axis], dtype)
        first = first + strides[axis] * along

    positions = np.zeros((), dtype)
    for axis, result_axis in zip(kept, window_axes, strict=True):
        along = _along(result, result_axis, window[axis], dtype)
        positions = positions + strides[axis] * along
    per_window = [1] * len(result)
    for axis, dim in zip(batch_axes, starts.shape[:-1], strict=True):
        per_window[axis] = dim
    positions = positions + first.reshape(per_window)
    if not inside.all():
        positions = np.where(inside.reshape(per_window), positions, -1)
    return np.broadcast_to(positions, result)


class Window(NamedTuple):
    """How a window slides over an image, axis by axis."""

    strides: Sequence[int]
    padding: Sequence[tuple[int, int]]
    base_dilation: Sequence[int]
    window_dilation: Sequence[int]


def seen_positions(
    window: Window, places: Sequence[Sequence[int]], space: Shape, out_space: Shape
) -> Iterator[Int[np.ndarray, "*out_space"]]:
    """For each element of the window: the flat position in the image that it covers for
    each element of the output; -1 on padding and in the gaps of a dilated image."""
    for place in places:
        flat = np.zeros((), np.int64)
        outside = np.zeros((), bool)
        for axis, (dim, out_dim) in enumerate(zip(space, out_space, strict=True)):
            padded = np.arange(out_dim) * window.strides[axis]
            padded += place[axis] * window.window_dilation[axis]
            padded -= window.padding[axis][0]
            looked, gap = np.divmod(padded, window.base_dilation[axis])
            lost = (looked < 0) | (looked >= dim) | (gap != 0)
            flat = flat[..., None] * dim + looked
            outside = outside[..., None] | lost
        yield np.where(outside, -1, flat)


def clamped_starts(operand: Shape, starts: Sequence[int], window: Shape) -> tuple[int, ...]:
    """Start of a dynamic slice, moved so that the window fits into the operand."""
    triples = zip(operand, starts, window, strict=True)
    return tuple(max(0, min(int(start), dim - size)) for dim, start, size in triples)


def _window_starts(
    operand: Shape,
    starts: Integer[np.ndarray, "*batch index"],
    window: Shape,
    indexed: Sequence[int],
    strides: Sequence[int],
    clamp: bool,
    dtype: Any,
) -> tuple[Int[np.ndarray, "*batch"], Bool[np.ndarray, "*batch"]]:
    """Flat position of the first element of each window, and whether it fits."""
    first = np.zeros(starts.shape[:-1], dtype)
    inside = np.ones(starts.shape[:-1], bool)
    for k, axis in enumerate(indexed):
        limit = operand[axis] - window[axis]
        start = as_signed(starts[..., k])
        if clamp:
            start = np.clip(start, 0, limit)
        else:
            fits = (start >= 0) & (start <= limit)
            inside &= fits
            start = np.where(fits, start, 0)
        first += strides[axis] * start.astype(dtype, copy=False)
    return first, inside


def _clamps(mode: GatherScatterMode, *, writes: bool) -> bool:
    """Whether a window that does not fit is moved rather than dropped.

    With a promise that all windows fit, XLA does what suits the operation.
    """
    if mode == GatherScatterMode.FILL_OR_DROP:
        return False
    return mode == GatherScatterMode.CLIP or not writes


def _ints(axes: Sequence[SupportsIndex]) -> tuple[int, ...]:
    """Axes as plain integers: batching in JAX can leave NumPy's."""
    return tuple(map(int, axes))


def as_signed(index: np.ndarray | np.generic) -> Any:
    """Indices as signed integers of 32 or 64 bits, the largest as the largest of these."""
    if index.dtype == np.uint64:
        return np.minimum(index, np.iinfo(np.int64).max).astype(np.int64)
    return index.astype(np.result_type(index.dtype, np.int32), copy=False)


def _along(shape: Shape, axis: int, dim: int, dtype: Any) -> Int[np.ndarray, "..."]:
    """0, 1, ... along one axis, of length one along the others."""
    expanded = [1] * len(shape)
    expanded[axis] = dim
    return np.arange(dim, dtype=dtype).reshape(expanded)
