"""Equations of reads and writes at indices."""

from collections.abc import Sequence

import numpy as np
from equinox.internal._loop.common import _maybe_set  # What its loops call.
from jax import lax
from jax.lax import GatherDimensionNumbers, GatherScatterMode, ScatterDimensionNumbers

from .frame import Equation, Operand, Rng, booleans, equation, integers, real, some_shape

_MODES = (
    GatherScatterMode.CLIP,
    GatherScatterMode.FILL_OR_DROP,
    GatherScatterMode.PROMISE_IN_BOUNDS,
)


def _starts(rng: Rng, dims: Sequence[int]) -> list[Operand]:
    """Scalar indices, also beyond the ends, of one dtype."""
    dtype = [np.int32, np.int64, np.uint8, np.uint32][int(rng.integers(4))]
    low = 0 if np.issubdtype(dtype, np.unsignedinteger) else -2
    return [integers(low, dim + 1, dtype=dtype) for dim in dims]


@equation(lax.dynamic_slice_p)
def dynamic_slice(rng: Rng) -> Equation:
    shape = some_shape(rng, low=1)
    sizes = tuple(int(rng.integers(0, dim + 1)) for dim in shape)
    return Equation(
        lambda x, *starts: lax.dynamic_slice_p.bind(x, *starts, slice_sizes=sizes),
        [real(*shape), *_starts(rng, shape)],
        "known",
    )


@equation(lax.dynamic_update_slice_p)
def dynamic_update_slice(rng: Rng) -> Equation:
    shape = some_shape(rng, low=1)
    sizes = [int(rng.integers(0, dim + 1)) for dim in shape]
    operands = [real(*shape), real(*sizes), *_starts(rng, shape)]
    return Equation(lax.dynamic_update_slice_p.bind, operands, "known")


def _indexing(
    rng: Rng,
) -> tuple[tuple[int, ...], Operand, ScatterDimensionNumbers, tuple[int, ...]]:
    """Operand shape, indices, the numbers of a scatter, and the shape of its updates.

    The operand has one to three axes, each of which is one of: batched together with the
    indices, indexed and removed, indexed with a window, or only a window.
    """
    kinds = rng.choice(["batched", "removed", "indexed", "window"], size=rng.integers(1, 4))
    kinds[rng.integers(kinds.size)] = rng.choice(["removed", "indexed"])
    shape = tuple(int(rng.integers(1, 4)) for _ in kinds)
    batching = [axis for axis, kind in enumerate(kinds) if kind == "batched"]
    removed = [axis for axis, kind in enumerate(kinds) if kind == "removed"]
    indexed = [axis for axis, kind in enumerate(kinds) if kind in ("removed", "indexed")]
    indexed = rng.permutation(indexed).astype(int).tolist()
    batch = [shape[axis] for axis in batching] + [int(rng.integers(1, 4))]
    kept = [axis for axis in range(len(shape)) if axis not in {*batching, *removed}]
    window = [int(rng.integers(1, shape[axis] + 1)) for axis in kept]
    rank = len(batch) + len(window)
    window_axes = sorted(rng.choice(rank, size=len(window), replace=False).tolist())
    lengths, sizes = iter(batch), iter(window)
    updates = tuple(next(sizes if axis in window_axes else lengths) for axis in range(rank))
    numbers = ScatterDimensionNumbers(
        update_window_dims=tuple(window_axes),
        inserted_window_dims=tuple(removed),
        scatter_dims_to_operand_dims=tuple(indexed),
        operand_batching_dims=tuple(batching),
        scatter_indices_batching_dims=tuple(range(len(batching))),
    )
    return shape, integers(-1, 3, *batch, len(indexed)), numbers, updates


def _mode(rng: Rng) -> GatherScatterMode:
    return _MODES[int(rng.integers(3))]


@equation(lax.gather_p)
def gather(rng: Rng) -> Equation:
    shape, indices, scattered, result = _indexing(rng)
    numbers = GatherDimensionNumbers(
        offset_dims=tuple(scattered.update_window_dims),
        collapsed_slice_dims=tuple(scattered.inserted_window_dims),
        start_index_map=tuple(scattered.scatter_dims_to_operand_dims),
        operand_batching_dims=tuple(scattered.operand_batching_dims),
        start_indices_batching_dims=tuple(scattered.scatter_indices_batching_dims),
    )
    lengths = iter([result[axis] for axis in numbers.offset_dims])
    lacking = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    sizes = [1 if axis in lacking else next(lengths) for axis in range(len(shape))]
    mode = _mode(rng)
    if mode == GatherScatterMode.PROMISE_IN_BOUNDS:
        indices = integers(0, 0, *indices.shape)
    return Equation(
        lambda x, i: lax.gather(x, i, numbers, sizes, mode=mode, fill_value=0),
        [real(*shape), indices],
        "known",
    )


@equation(lax.gather_p)
def gather_elements(rng: Rng) -> Equation:
    shape = (int(rng.integers(1, 4)), 2)
    indices = integers(-1, 3, 3)
    mode = "clip" if rng.random() > 0.5 else "fill"
    return Equation(lambda x, i: x.at[i].get(mode=mode), [real(*shape), indices])


def _scatter_row(name: str) -> None:
    fun = getattr(lax, name)
    exact = "known" if name in ("scatter_add", "scatter_sub") else "no"

    @equation(getattr(lax, name + "_p"))
    def make(rng: Rng) -> Equation:
        shape, indices, numbers, updates = _indexing(rng)
        mode = _mode(rng)
        if mode == GatherScatterMode.PROMISE_IN_BOUNDS:
            indices = integers(0, 0, *indices.shape)
        return Equation(
            lambda x, i, y: fun(x, i, y, numbers, mode=mode),
            [real(*shape), indices, real(*updates)],
            exact,
        )

    @equation(getattr(lax, name + "_p"))
    def make_unique(rng: Rng) -> Equation:
        """Rows written to places that are known or not."""
        numbers = ScatterDimensionNumbers((1,), (0,), (0,))
        operands = [real(3, 2), integers(-1, 3, 1, 1), real(1, 2)]
        mode = "clip" if rng.random() > 0.5 else "fill"
        return Equation(
            lambda x, i, y: fun(x, i, y, numbers, mode=mode), operands, "unknown"
        )


for _name in ("scatter", "scatter_add", "scatter_sub", "scatter_mul"):
    _scatter_row(_name)
for _name in ("scatter_min", "scatter_max"):
    _scatter_row(_name)


@equation("maybe_set")
def maybe_set(rng: Rng) -> Equation:
    """As `equinox.internal.while_loop` writes a buffer."""
    del rng
    return Equation(
        lambda pred, xs, x, i: _maybe_set(
            pred, xs, x, i, kwargs={}, makes_false_steps=True
        ),
        [booleans(), real(3, 2), real(2), integers(0, 2)],
        "no",
        inputs=[1, 2],
    )
