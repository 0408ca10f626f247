"""The operations that random programs are made of."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .programs import (
    Operation,
    Rng,
    binary,
    draw_axis,
    draw_indices,
    draw_weights,
    fitted,
    loop,
    sequence,
    unary,
)

Aval = jax.ShapeDtypeStruct
SMOOTH: tuple[Operation, ...] = (
    *(jnp.sin, jnp.tanh, jnp.square, jnp.negative, lambda x: jnp.exp(jnp.sin(x))),
    *(lambda x: x / (1 + x**2), lambda x: jnp.sqrt(1 + x**2), jax.nn.softplus),
)
ROUGH: tuple[Operation, ...] = (
    *(
        jnp.abs,
        jax.nn.relu,
        jnp.floor,
        lambda x: lax.stop_gradient(x),
        lambda x: jnp.clip(x, -0.5, 0.5),
    ),
    *(jnp.sign, lambda x: x + jnp.round(x), lambda x: x * (x > 0), jnp.zeros_like),
)


@unary
def smooth(rng: Rng, x: Aval) -> Operation:
    return SMOOTH[rng.integers(len(SMOOTH))]


@unary
def rough(rng: Rng, x: Aval) -> Operation:
    return ROUGH[rng.integers(len(ROUGH))]


@unary
def scale(rng: Rng, x: Aval) -> Operation:
    weights = draw_weights(rng, *x.shape)
    return lambda y: y * weights


@unary
def known_choice(rng: Rng, x: Aval) -> Operation:
    mask, axis = rng.random(x.shape) < 0.5, draw_axis(rng, x)
    return lambda y: jnp.where(mask, y, jnp.flip(y, axis))


@unary
def traced_choice(rng: Rng, x: Aval) -> Operation:
    axis = draw_axis(rng, x)
    return lambda y: jnp.where(y > 0.1, jnp.roll(y, 1, axis), y * 2)


@unary
def static_slice(rng: Rng, x: Aval) -> Operation:
    axis = draw_axis(rng, x)
    size = x.shape[axis]
    start, step = int(rng.integers(size)), int(rng.choice([-2, -1, 1, 2]))
    return lambda y: jnp.moveaxis(jnp.moveaxis(y, axis, 0)[start::step], 0, axis)


@unary
def move(rng: Rng, x: Aval) -> Operation:
    axis = draw_axis(rng, x)
    kinds = (
        lambda y: jnp.flip(y, axis),
        lambda y: jnp.roll(y, 2, axis),
        lambda y: y.T,
        lambda y: y.reshape(-1),
        lambda y: y.reshape(y.shape[::-1], order="F"),
        lambda y: jnp.repeat(y, 2, axis),
        lambda y: jnp.tile(y, 2),
        lambda y: jnp.stack([y, y * 2], axis),
        lambda y: jnp.pad(y, 1),
        lambda y: jnp.diff(y, axis=axis),
        lambda y: y[..., None] * y,
        lambda y: lax.pad(y, 0.0, [(1, -1, 1)] * y.ndim),
    )
    return kinds[rng.integers(len(kinds))]


@unary
def matrix_view(rng: Rng, x: Aval) -> Operation:
    rows = int(rng.choice([d for d in range(1, x.size + 1) if x.size % d == 0]))
    return lambda y: y.reshape(rows, -1)


@unary
def gather(rng: Rng, x: Aval) -> Operation:
    axis = draw_axis(rng, x)
    index, mode = draw_indices(rng, x.shape[axis]), str(rng.choice(["clip", "wrap"]))
    return lambda y: jnp.take(y, index, axis=axis, mode=mode)


@unary
def gather_filled(rng: Rng, x: Aval) -> Operation:
    index = draw_indices(rng, x.size)
    return lambda y: y.ravel().at[index].get(mode="fill", fill_value=1.0)


@unary
def gather_traced(rng: Rng, x: Aval) -> Operation:
    shift = int(rng.integers(3))
    return lambda y: y[(jnp.abs(3 * y).astype(int).ravel() + shift) % y.shape[0]]


@unary
def gather_along(rng: Rng, x: Aval) -> Operation:
    axis = draw_axis(rng, x)
    return lambda y: jnp.take_along_axis(y, jnp.argsort(y, axis)[::-1], axis)


@unary
def slice_at(rng: Rng, x: Aval) -> Operation:
    n = x.shape[0]
    start, size = int(rng.integers(-1, n + 1)), int(rng.integers(1, n + 1))
    traced = bool(rng.random() < 0.4)

    def run(y: Array) -> Array:
        where = jnp.argmax(y.ravel()) if traced else start
        return lax.dynamic_slice_in_dim(y, where, size)

    return run


@unary
def scatter(rng: Rng, x: Aval) -> Operation:
    target, mode = draw_indices(rng, x.shape[0]), str(rng.choice(["drop", "clip"]))
    source = rng.integers(0, x.shape[0], target.size)
    kind, which = str(rng.choice(["set", "add", "min", "max"])), int(rng.integers(3))

    def run(y: Array) -> Array:
        updates = (0.5, y[0], y[source])[which]
        return getattr(y.at[target], kind)(updates, mode=mode)

    return run


@unary
def scatter_traced(rng: Rng, x: Aval) -> Operation:
    return lambda y: jnp.zeros_like(y).at[jnp.argsort(y.ravel()) % y.shape[0]].add(y[0])


@unary
def reduce(rng: Rng, x: Aval) -> Operation:
    axis = draw_axis(rng, x)
    kinds = (jnp.sum, jnp.mean, jnp.max, jnp.min, jnp.prod, jax.nn.logsumexp, jnp.var)
    kind, keepdims = kinds[rng.integers(len(kinds))], bool(rng.integers(2))
    return lambda y: kind(y, axis=axis, keepdims=keepdims)


@unary
def cumulate(rng: Rng, x: Aval) -> Operation:
    axis, reverse = int(rng.integers(x.ndim)), bool(rng.integers(2))
    kinds = (lax.cumsum, lax.cumprod, lax.cummax, lax.cummin, lax.cumlogsumexp)
    kind = kinds[rng.integers(len(kinds))]
    return lambda y: kind(y, axis=axis, reverse=reverse)


@unary
def sort(rng: Rng, x: Aval) -> Operation:
    axis = draw_axis(rng, x)
    return lambda y: jnp.sort(y, axis=axis)


@unary
def matmul(rng: Rng, x: Aval) -> Operation:
    weights = draw_weights(rng, x.shape[-1], int(rng.integers(1, 4)))
    return lambda y: y @ weights


@unary
def convolve(rng: Rng, x: Aval) -> Operation:
    kernel, mode = draw_weights(rng, 3), str(rng.choice(["same", "full"]))
    return lambda y: jnp.convolve(y.ravel(), kernel, mode)


@unary
def complex_product(rng: Rng, x: Aval) -> Operation:
    weights = draw_weights(rng, *x.shape)
    return lambda y: jnp.real(lax.complex(y, jnp.flip(y, 0)) * (1 + 1j * weights))


@unary
def rematerialize(rng: Rng, x: Aval) -> Operation:
    return jax.checkpoint(sequence(rng, x, 2))


@unary
def map_rows(rng: Rng, x: Aval) -> Operation:
    inner = sequence(rng, Aval(x.shape[1:], float), 2)
    return jax.vmap(inner) if rng.random() < 0.6 else lambda y: lax.map(inner, y)


@unary
def call_twice(rng: Rng, x: Aval) -> Operation:
    """A jitted helper first meets a known zero and then a traced value."""
    inner = jax.jit(lambda a, b: a * b + jnp.flip(b, 0) * a[0])
    zero = np.zeros(x.shape)
    return lambda y: inner(zero, y) + inner(y, jnp.sin(y)) + inner(y, zero)


@unary
def pick_twice(rng: Rng, x: Aval) -> Operation:
    """A jitted helper first meets a known index and then a traced one."""
    inner = jax.jit(lambda a, i: a[i % a.shape[0]])
    index = draw_indices(rng, x.shape[0])[:1]
    return lambda y: inner(y, index) * inner(y, jnp.abs(5 * y.ravel()[:1]).astype(int))


@unary
def branch(rng: Rng, x: Aval) -> Operation:
    one, two = (fitted(sequence(rng, x, 2), x.shape) for _ in range(2))
    known = bool(rng.random() < 0.3)

    def run(y: Array) -> Array:
        predicate = jnp.array(True) if known else y.ravel()[0] > 0
        return lax.cond(predicate, one, two, y)

    return run


@unary
def scan_rows(rng: Rng, x: Aval) -> Operation:
    row = Aval(x.shape[1:], float)
    inner = fitted(sequence(rng, row, 2), row.shape)
    reverse, from_zero = bool(rng.integers(2)), bool(rng.integers(2))

    def run(y: Array) -> Array:
        def body(carry: Array, element: Array):
            following = inner(carry * 0.5) + element
            return following, carry * jnp.sin(element)

        start = jnp.zeros(y.shape[1:]) if from_zero else y[-1]
        last, seen = lax.scan(body, start, y, reverse=reverse)
        return jnp.concatenate([last[None], seen])

    return run


@unary
def scan_swapping(rng: Rng, x: Aval) -> Operation:
    """A carry of three arrays that rotate, one of them zero at the start."""
    steps = int(rng.integers(1, 5))

    def run(y: Array) -> Array:
        def body(carry: tuple[Array, Array, Array], _: None):
            a, b, c = carry
            return (b, c, a + jnp.flip(b, 0) * 0.5), c

        start = (y, jnp.zeros_like(y), jnp.sin(y))
        (a, b, _), seen = lax.scan(body, start, None, length=steps)
        return jnp.stack([a, b, seen[-1]])

    return run


@unary
def count_up(rng: Rng, x: Aval) -> Operation:
    """A loop that reads and writes at its counter."""
    n = x.shape[0]
    stride, offset = int(rng.integers(1, 4)), int(rng.integers(n))

    def body(i: Array, y: Array) -> Array:
        return y.at[i].add(0.5 * y[(stride * i + offset) % n])

    return lambda y: lax.fori_loop(0, n, body, y)


@unary
def count_down(rng: Rng, x: Aval) -> Operation:
    """A loop that carries its own index, writes a buffer and branches on a counter."""
    n = x.shape[0]
    special = int(rng.integers(n))

    def run(y: Array) -> Array:
        def body(carry: tuple[Array, Array], element: Array):
            i, buffer = carry
            element = lax.cond(i == special, lambda e: e**2, jnp.zeros_like, element)
            return (i - 1, lax.dynamic_update_index_in_dim(buffer, element, i, 0)), i

        (_, buffer), seen = lax.scan(body, (jnp.array(n - 1), 0.5 * y), y)
        return buffer + y[seen]

    return run


@loop
def repeat_until(rng: Rng, x: Aval) -> Operation:
    inner = fitted(sequence(rng, x, 2), x.shape)
    limit, moving = int(rng.integers(1, 4)), bool(rng.integers(2))

    def run(y: Array) -> Array:
        steps = jnp.clip(jnp.abs(2 * y.ravel()[0]), 0, 3).astype(int) if moving else limit

        def body(carry: tuple[Array, Array, Array]):
            count, a, b = carry
            return count + 1, b * 0.5, jnp.tanh(inner(a))

        return lax.while_loop(lambda c: c[0] < steps, body, (jnp.array(0), y, 0 * y))[1]

    return run


@loop
def write_until(rng: Rng, x: Aval) -> Operation:
    n = x.shape[0]

    def run(y: Array) -> Array:
        def body(carry: tuple[Array, Array]):
            i, z = carry
            return i + 1, z.at[i].set(z[i - 1] * jnp.sin(y[(2 * i) % n]))

        return lax.while_loop(lambda c: c[0] < n, body, (jnp.array(1), y))[1]

    return run


@binary
def combine(rng: Rng, x: Aval) -> Operation:
    kinds = (jnp.add, jnp.subtract, jnp.multiply, jnp.maximum, jnp.arctan2, jnp.hypot)
    return kinds[rng.integers(len(kinds))]


@binary
def join(rng: Rng, x: Aval) -> Operation:
    axis = draw_axis(rng, x)
    return lambda a, b: jnp.concatenate([a, b * 2, a], axis)


@binary
def product(rng: Rng, x: Aval) -> Operation:
    kinds = (
        lambda a, b: jnp.tensordot(a, b, 1) if a.ndim < 2 else a @ jnp.swapaxes(b, -1, -2),
        lambda a, b: jnp.einsum("...i,...i->...", a, b),
        lambda a, b: jnp.convolve(a.ravel()[:5], b.ravel()[:3]),
        lambda a, b: jnp.outer(a.ravel()[:3], b.ravel()[-3:]),
    )
    return kinds[rng.integers(len(kinds))]


@binary
def choose(rng: Rng, x: Aval) -> Operation:
    mask = rng.random(x.shape) < 0.5
    if rng.random() < 0.5:
        return lambda a, b: jnp.where(mask, a, b)
    return lambda a, b: jnp.where(a > b, a * b, b)


@binary
def write(rng: Rng, x: Aval) -> Operation:
    start, traced = int(rng.integers(-1, x.shape[0] + 1)), bool(rng.random() < 0.3)

    def run(a: Array, b: Array) -> Array:
        where = jnp.argmin(b.ravel()) if traced else start
        return lax.dynamic_update_slice_in_dim(a, b[:1], where, 0)

    return run


@binary
def write_scattered(rng: Rng, x: Aval) -> Operation:
    index = rng.integers(-x.shape[0], x.shape[0] + 1, x.shape[0])
    kind = str(rng.choice(["add", "set", "max"]))
    return lambda a, b: getattr(a.at[index], kind)(b, mode="drop")


@binary
def branch_on_two(rng: Rng, x: Aval) -> Operation:
    inner = fitted(sequence(rng, x, 2), x.shape)
    return lambda a, b: lax.cond(a.ravel()[0] > b.ravel()[0], lambda: inner(a), lambda: b)


@binary
def scan_both(rng: Rng, x: Aval) -> Operation:
    def body(carry: Array, rows: tuple[Array, Array]):
        return carry * 0.5 + rows[0], carry * rows[1]

    return lambda a, b: lax.scan(body, a[0], (a, b))[1]
