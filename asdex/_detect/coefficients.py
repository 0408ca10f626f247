"""Coefficients: arrays of NumPy while they are constant, of JAX once inputs enter.

A constant coefficient costs nothing at run time: products and moves of constants are
computed here, and what is left of them enters the emitted program as a literal.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jaxtyping import Int, Integer

from .._base.index import counting_order, gather, unfolded
from .._base.sharding import varying_alike
from .matrices import Groups

Coefficients: TypeAlias = Any
"""A `numpy.ndarray` if constant, otherwise a `jax.Array`."""

_MAX_SLOTS = 16
"""Sums of at most so many terms are written out on accelerators."""

_MAX_SLICES = 8
"""Elements in more pieces than this are gathered."""


class NoCoefficients(Exception):
    """A primitive passes dependence on, but no coefficients are known for it."""


def is_constant(x: Coefficients) -> bool:
    """Whether coefficients are known when the function is traced."""
    return isinstance(x, np.ndarray | np.generic)


def as_jax(x: Coefficients) -> jax.Array:
    """Coefficients as an array of the emitted program, in which those that repeat along an
    axis are stored once."""
    if not is_constant(x):
        return x
    stored = _stored(x)
    if stored.size == 1:
        return lax.full(x.shape, stored.flat[0], x.dtype)
    return jnp.broadcast_to(unfolded(stored), x.shape)


def _stored(x: np.ndarray) -> np.ndarray:
    """The part of an array that has to be stored: the first along axes that repeat."""
    for axis in range(x.ndim):
        first = x[(slice(None),) * axis + (slice(0, 1),)]
        if x.strides[axis] == 0 or (x.shape[axis] > 1 and (x == first).all()):
            x = first
    return x


def _repeating(x: np.ndarray) -> np.ndarray:
    """The same array, with memory for what has to be stored only."""
    return np.broadcast_to(_stored(x), x.shape)


def _elementwise(function: Callable[..., Any], *xs: Coefficients) -> np.ndarray:
    """A function of constants, element by element, computed once where all repeat along
    an axis."""
    shape = np.broadcast_shapes(*(x.shape for x in xs))
    xs = tuple(np.broadcast_to(x, shape) for x in xs)
    once = tuple(
        slice(0, 1) if all(x.strides[axis] == 0 for x in xs) else slice(None)
        for axis in range(len(shape))
    )
    return np.broadcast_to(np.asarray(function(*(x[once] for x in xs))), shape)


def is_all(x: Coefficients, value: int) -> bool:
    """Whether coefficients are constants, all of this value."""
    return bool(is_constant(x) and x.size and _is_uniform(x) and x.flat[0] == value)


def _is_uniform(x: np.ndarray) -> bool:
    x = x[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in x.strides)]
    return x.size == 1 or bool((x == x.flat[0]).all())


def zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Constant zeros, without memory of their own."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def ones(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Constant ones, without memory of their own."""
    return np.broadcast_to(np.ones((), dtype), shape)


def bind(eqn: JaxprEqn, *operands: Coefficients) -> list[Coefficients]:
    """The results of an equation on coefficients; constants if all operands are."""
    constant = all(map(is_constant, operands))
    params = eqn.primitive.get_bind_params(eqn.params)
    if constant:
        with jax.ensure_compile_time_eval(), eqn.ctx.manager:
            results = eqn.primitive.bind(*map(jnp.asarray, operands), **params)
    else:
        with eqn.ctx.manager:
            results = eqn.primitive.bind(
                *varying_alike(list(map(as_jax, operands))), **params
            )
    results = results if eqn.primitive.multiple_results else [results]
    return list(map(np.asarray, results)) if constant else list(results)


def apply(eqn: JaxprEqn, *operands: Coefficients) -> Coefficients:
    """The result of an equation that computes it element by element."""
    # A sharding might not divide an axis of which one part is computed.
    if all(map(is_constant, operands)) and eqn.params.get("sharding") is None:
        return _elementwise(lambda *xs: bind(eqn, *xs)[0], *operands)
    return bind(eqn, *operands)[0]


def add(x: Coefficients, y: Coefficients) -> Coefficients:
    """The sum, without adding known zeros."""
    if is_all(x, 0):
        return y
    if is_all(y, 0):
        return x
    if is_constant(x) and is_constant(y):
        return _elementwise(np.add, x, y)
    return lax.add(as_jax(x), as_jax(y))


def subtract(x: Coefficients, y: Coefficients) -> Coefficients:
    """The difference, without subtracting known zeros."""
    if is_all(y, 0):
        return x
    if is_constant(x) and is_constant(y):
        return _elementwise(np.subtract, x, y)
    return lax.neg(y) if is_all(x, 0) else lax.sub(as_jax(x), as_jax(y))


def multiply(x: Coefficients, y: Coefficients) -> Coefficients:
    """The product of arrays of one dtype, whose shapes broadcast, without factors one."""
    if is_all(y, 1):
        x, y = y, x
    if is_all(x, 1):
        shape = np.broadcast_shapes(x.shape, y.shape)
        return y if y.shape == shape else broadcast_to(y, shape)
    if is_constant(x) and is_constant(y):
        return _elementwise(np.multiply, x, y)
    return jnp.multiply(as_jax(x), as_jax(y))


def contract(x: Coefficients, y: Coefficients, eqn: JaxprEqn) -> Coefficients:
    """The product of arrays of axes `(g, i, k)` and `(g, j, k)`, of axes `(g, i, j)`,
    computed like the product `eqn`."""
    options = {key: eqn.params[key] for key in ("precision", "preferred_element_type")}
    numbers = (((2,), (2,)), ((0,), (0,)))
    if is_constant(x) and is_constant(y):
        with jax.ensure_compile_time_eval():
            return np.asarray(lax.dot_general(x, y, numbers, **options))
    return lax.dot_general(as_jax(x), as_jax(y), numbers, **options)


def broadcast_to(x: Coefficients, shape: tuple[int, ...]) -> Coefficients:
    """The array repeated along axes of length one."""
    return np.broadcast_to(x, shape) if is_constant(x) else jnp.broadcast_to(x, shape)


def stack(xs: Sequence[Coefficients]) -> Coefficients:
    """The arrays along a new leading axis."""
    if all(map(is_constant, xs)):
        return np.stack(xs)
    return jnp.stack(list(map(as_jax, xs)))


def concatenate(xs: Sequence[Coefficients], axis: int = 0) -> Coefficients:
    """The arrays along an axis."""
    if len(xs) == 1:
        return xs[0]
    if all(map(is_constant, xs)):
        return np.concatenate(xs, axis)
    return jnp.concatenate(list(map(as_jax, xs)), axis)


def choose(which: np.ndarray, xs: Sequence[Coefficients]) -> Coefficients:
    """Element by element the array of that number, clipped to range."""
    out = xs[0]
    for number, x in enumerate(xs[1:], start=1):
        if is_constant(out) and is_constant(x):
            out = _elementwise(np.where, _repeating(which >= number), x, out)
        else:
            out = jnp.where(which >= number, as_jax(x), as_jax(out))
    return out


def keep_where(keep: np.ndarray, x: Coefficients) -> Coefficients:
    """The array with rows `-1`, or coefficients zero, where `keep` is false."""
    absent = _absent(x)
    if is_constant(x):
        return _elementwise(np.where, _repeating(keep), x, absent)
    return jnp.where(as_jax(keep), x, absent)


def put(x: Coefficients, window: Coefficients, at: tuple[slice, ...]) -> Coefficients:
    """The array with a window replaced."""
    if is_constant(x) and is_constant(window):
        x = x.copy()
        x[at] = window
        return x
    starts = [part.start for part in at]
    return lax.dynamic_update_slice(as_jax(x), as_jax(window), starts)


def take(x: Coefficients, positions: Integer[np.ndarray, "*new"]) -> Coefficients:
    """The elements at flat positions, in the shape of `positions`; -1 is absent."""
    if not x.size:
        return np.broadcast_to(_absent(x), positions.shape)
    missing = positions < 0
    any_missing = bool(missing.any())
    if is_constant(x):
        if _is_uniform(x) and not any_missing:
            return np.broadcast_to(x.flat[0], positions.shape)
        picked = x.reshape(-1)[positions]
        return np.where(missing, _absent(x), picked) if any_missing else picked
    if not positions.size:
        return jnp.zeros(positions.shape, x.dtype)
    if not any_missing and (found := _slices_of(x, positions.reshape(-1))) is not None:
        return found.reshape(positions.shape)
    index = np.maximum(positions, 0).astype(np.int32) if any_missing else positions
    picked = gather(x.reshape(-1), index)
    return jnp.where(missing, _absent(x), picked) if any_missing else picked


def _absent(x: Coefficients) -> np.ndarray:
    is_rows = np.issubdtype(x.dtype, np.integer)
    return np.asarray(-1 if is_rows else 0, x.dtype)


def _slices_of(x: jax.Array, positions: Int[np.ndarray, " size"]) -> jax.Array | None:
    """The elements at positions that are equally far apart, or in a few rows of
    neighbors; `None` if they are not."""
    if (found := _slice_of(x, positions)) is not None:
        return found
    if (ends := np.flatnonzero(np.diff(positions) != 1) + 1).size >= _MAX_SLICES:
        return None
    flat = x.reshape(-1)
    parts = [flat[part[0] : part[-1] + 1] for part in np.split(positions, ends)]
    return jnp.concatenate(parts)


def _slice_of(x: jax.Array, positions: Int[np.ndarray, " size"]) -> jax.Array | None:
    """The elements at positions that are equally far apart, `None` if they are not."""
    first = int(positions[0])
    if positions.size == 1:
        return x.reshape(-1)[first : first + 1]
    step = int(positions[1]) - first
    last = first + step * (positions.size - 1)
    if positions[-1] != last or not (np.diff(positions) == step).all():
        return None
    if step == 0:
        return jnp.broadcast_to(x.reshape(-1)[first], positions.shape)
    if step < 0:
        return lax.rev(lax.slice(x.reshape(-1), (last,), (first + 1,), (-step,)), (0,))
    return lax.slice(x.reshape(-1), (first,), (last + 1,), (step,))


def add_at(
    parts: Sequence[Coefficients],
    places: Sequence[Int[np.ndarray, "..."]],
    count: int,
) -> Coefficients:
    """A vector of `count` elements, at whose `places` all parts are added; -1 drops one."""
    at, x = np.concatenate(places), concatenate(parts)
    if at.size == count and np.array_equal(at, np.arange(count)):
        return x
    if (at < 0).any():
        kept = np.flatnonzero(at >= 0)
        at, x = at[kept], take(x, kept)
    if not at.size:
        return zeros((count,), x.dtype)
    order = counting_order(at, count)
    at = at[order]
    starts = np.flatnonzero(np.append(True, at[1:] != at[:-1]))
    sums = sum_groups(x, Groups(order, starts))
    if starts.size == count:
        return sums
    place = np.full(count, -1)
    place[at[starts]] = np.arange(starts.size)
    return take(sums, place)


def sum_groups(x: Coefficients, groups: Groups) -> Coefficients:
    """The sum of the elements in each group; no group is empty."""
    order, starts = groups
    if is_constant(x):
        if not starts.size:
            return x[order]
        return np.add.reduceat(_widened(x[order]), starts).astype(x.dtype)
    lengths = np.diff(starts, append=order.size)
    longest = int(lengths.max(initial=1))
    if (lengths == longest).all():
        sorted_ = take(x, order)
        return sorted_ if longest == 1 else sorted_.reshape(-1, longest).sum(axis=1)
    if longest > _MAX_SLOTS or jax.default_backend() == "cpu":
        group = np.empty(order.size, np.int32)
        group[order] = np.repeat(np.arange(starts.size, dtype=np.int32), lengths)
        parts = _widened(x)
        out = jnp.zeros(starts.size, parts.dtype).at[unfolded(group)]
        out = out.add(parts, mode="promise_in_bounds", wrap_negative_indices=False)
        return out.astype(x.dtype)
    return _sum_by_gathers(x, groups, lengths)


def _sum_by_gathers(
    x: jax.Array, groups: Groups, lengths: Integer[np.ndarray, " groups"]
) -> jax.Array:
    """The sums written out, those of the most elements first.

    Assembly on a mesh of a million nodes, by ratio to a scatter: 0.6 on a GPU, where the
    result is also the same in every run; 1.5 to 3 on CPUs.
    """
    order, starts = groups
    longest = int(lengths.max())
    by_length = counting_order(longest - lengths, longest)
    first, num_longer = starts[by_length], np.bincount(lengths)[::-1].cumsum()[::-1]
    sums = take(x, order[first])
    for slot in range(1, longest):
        count = int(num_longer[slot + 1])
        more = take(x, order[first[:count] + slot])
        sums = jnp.concatenate([sums[:count] + more, sums[count:]])
    place = np.empty(starts.size, np.int32)
    place[by_length] = np.arange(starts.size)
    return take(sums, place)


def sum_along(x: Coefficients, axes: tuple[int, ...]) -> Coefficients:
    """The sums along axes, which keep length one."""
    if x is None:
        return None
    return _widened(x).sum(axis=axes, keepdims=True).astype(x.dtype)


def _widened(x: Coefficients) -> Coefficients:
    """Numbers of 16 bits in 32, as XLA adds them up: else a sum of many stops growing."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x
