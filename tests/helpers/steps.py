"""Steps of generated programs: functions of a number and of vectors of one size.

The number selects constants, modes and the function where a row has several.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.lax import GatherScatterMode as Mode

SIZE = 6
FLOATS = (jnp.float64, jnp.float32, jnp.float16, jnp.bfloat16)
INTEGERS = (jnp.int32, jnp.int64, jnp.int8, jnp.uint8, jnp.uint32, jnp.int16, jnp.uint64)
MODES = ("clip", "fill", "drop", "promise_in_bounds")


def _take(s: int, x: Any, i: Any) -> Any:
    if s % 4 == 2:
        return jnp.take(x, i, mode="wrap")
    mode = MODES[s % 4]
    i = i.astype(int) % SIZE if mode == "promise_in_bounds" else i
    return x.at[i].get(mode=mode, fill_value=0)


def _put(s: int, x: Any, i: Any, y: Any) -> Any:
    method = ("set", "add", "multiply", "max", "min", "add")[s % 6]
    i = i.astype(int) % SIZE if s % 4 == 3 else i
    unique = method == "multiply"  # Its derivative is otherwise not defined.
    i = lax.sort(jnp.argsort(i)) if unique else i
    options = {"mode": MODES[s % 4], "unique_indices": unique}
    return getattr(x.at[i], method)(y.astype(x.dtype), **options)


def _rows(s: int, x: Any, i: Any) -> Any:
    """A gather of windows, with indices clipped, dropped or in bounds."""
    mode = (Mode.CLIP, Mode.FILL_OR_DROP)[s % 2]
    numbers = lax.GatherDimensionNumbers((1,), (), (0,))
    starts = i[: SIZE // 2, None].astype(jnp.int32)
    return lax.gather(x, starts, numbers, (2,), mode=mode, fill_value=0).ravel()


def _batched(s: int, x: Any, i: Any) -> Any:
    matrix = jnp.outer(x, jnp.arange(1.0, 4)).astype(x.dtype)
    return jax.vmap(lambda row, k: row.at[k % (s % 3 + 1)].get(mode=MODES[s % 3]))(
        matrix, i
    )


def _along(s: int, x: Any, i: Any) -> Any:
    matrix = x.reshape(3, 2) if s % 2 else x.reshape(2, 3)
    k = i.reshape(matrix.shape) % matrix.shape[s % 3 % 2]
    return jnp.take_along_axis(matrix, k.astype(int), axis=s % 3 % 2).ravel()


def _slice(s: int, x: Any, i: Any) -> Any:
    part = lax.dynamic_slice(x, (i[s % SIZE],), (s % 4 + 1,))
    return jnp.pad(part, (0, SIZE - part.size))


def _update(s: int, x: Any, i: Any, y: Any) -> Any:
    return lax.dynamic_update_slice(x, y[: s % 5 + 1].astype(x.dtype), (i[s % SIZE],))


def _update_matrix(s: int, x: Any, i: Any, y: Any) -> Any:
    block = y[: 1 + s % 2][:, None].astype(x.dtype)
    return lax.dynamic_update_slice(x.reshape(2, 3), block, (i[0], i[s % SIZE])).ravel()


def _cond(s: int, x: Any, b: Any, y: Any) -> Any:
    y = y.astype(x.dtype)
    return lax.cond(b[s % SIZE], lambda x, y: x[::-1] * 2, lambda x, y: y + x[0], x, y)


def _switch(s: int, x: Any, i: Any, y: Any) -> Any:
    branches = [lambda x, y: x, lambda x, y: jnp.roll(x, 1) * y, lambda x, y: y[::-1]]
    return lax.switch(i[s % SIZE] // (s % 3 + 1), branches, x, y.astype(x.dtype))


def _while(s: int, x: Any, i: Any) -> Any:
    bound = i[s % SIZE].astype(int) % 5

    def body(carry: Any) -> Any:
        k, y = carry
        return k + 1 + s % 2, y.at[k].add(jnp.roll(y, k)[0] * x[k % SIZE])

    return lax.while_loop(lambda carry: carry[0] < bound, body, (jnp.asarray(0), x))[1]


def _fori(s: int, x: Any, i: Any) -> Any:
    def body(k: Any, y: Any) -> Any:
        value = lax.dynamic_index_in_dim(x, i[k], keepdims=False)
        return lax.dynamic_update_index_in_dim(y, value * y[0], k * (s % 3), 0)

    return lax.fori_loop(s % 3, SIZE - s % 2, body, jnp.roll(x, 1))


def _until(s: int, x: Any, b: Any) -> Any:
    """Stops at a mask."""

    def running(carry: Any) -> Any:
        k, _ = carry
        return (k < SIZE) & ~b[k % SIZE]

    return lax.while_loop(running, lambda c: (c[0] + 1, jnp.roll(c[1], 1)), (s % 3, x))[1]


def _scan(s: int, x: Any, i: Any, b: Any) -> Any:
    def body(carry: Any, e: Any) -> Any:
        total, k = carry
        x_k, i_k, b_k = e
        total = jnp.where(b_k, total + x_k, x_k * x[k % SIZE])
        return (total, k + i_k.astype(int)), total

    return lax.scan(body, (x[s % SIZE], jnp.asarray(s)), (x, i, b), reverse=bool(s % 2))[1]


def _dot(s: int, x: Any, k: Any, b: Any) -> Any:
    matrix = jnp.outer(k, k[::-1]) * (b[:, None] & b[None] if s % 2 else b[:, None] | b)
    return matrix.astype(x.dtype) @ x


def _convolve(s: int, x: Any, k: Any) -> Any:
    return jnp.convolve(x, k[: s % 3 + 1].astype(x.dtype), mode="same")


def _solve(s: int, x: Any, k: Any) -> Any:
    matrix = jnp.diag(1 + jnp.abs(k)) + (jnp.diag(k[1:], 1) if s % 2 else 0)
    x = x.astype(matrix.dtype) if matrix.dtype.itemsize > 2 else x.astype(jnp.float32)
    matrix = matrix.astype(x.dtype)
    if s % 3:
        return jax.scipy.linalg.solve_triangular(matrix, x, lower=s % 3 == 1)
    return jnp.linalg.solve(matrix, x)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _custom(s: int, x: Any) -> Any:
    return jnp.sin(x)


@_custom.defjvp
def _(s: int, primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return jnp.sin(x), jnp.where(jnp.arange(SIZE) < s % 5, t[::-1] * x, t).astype(x.dtype)


def _tiny(s: int, k: Any) -> Any:
    """Constants near the smallest numbers."""
    small = jnp.asarray((1e-38, 1e-44, 1e-310, 1e-200, 1e-8)[s % 5], k.dtype)
    return k * small * small if s % 3 == 0 else k * small


def _parts(s: int, x: Any) -> Any:
    z = lax.complex(x.astype(float), x[::-1].astype(float)) * (1 + 2j if s % 2 else 1j)
    return jnp.real(z) if s % 3 else jnp.imag(jnp.conj(z) * z[s % SIZE])


def _jitted(s: int, x: Any) -> Any:
    both = jax.jit(lambda x, k: x[k:] + x[: x.size - k], static_argnums=1)
    return both(jnp.tile(x, 2), SIZE) if s % 2 else jax.jit(jnp.flip)(x)


def _unary(*functions: Any) -> Callable[..., Any]:
    return lambda s, *args: functions[s % len(functions)](*args)


STEPS: list[tuple[str, str, Callable[..., Any]]] = [
    # Constants, and functions of them.
    ("", "f", lambda s: jnp.linspace(-1, 1 + s % 3, SIZE, dtype=FLOATS[s % 4])),
    ("", "f", lambda s: jnp.arange(SIZE, dtype=FLOATS[s % 4]) / (41 if s % 2 else 10)),
    ("", "f", lambda s: jnp.arange(-2, SIZE - 2, dtype=FLOATS[s % 3]) * 0.1 * (s % 5)),
    ("", "i", lambda s: jnp.arange(SIZE).astype(INTEGERS[s % 7]) * (s % 5) - s % 3),
    ("", "i", lambda s: (jnp.arange(SIZE) * 37 + 11 * s).astype(INTEGERS[s % 7])),
    ("", "b", lambda s: jnp.arange(SIZE) % (s % 4 + 1) == 0),
    ("", "f", lambda s: jax.random.normal(jax.random.key(s), (SIZE,), FLOATS[s % 2])),
    ("", "i", lambda s: jax.random.randint(jax.random.key(s), (SIZE,), -3, 9)),
    ("", "i", lambda s: jax.random.permutation(jax.random.key(s), SIZE)),
    ("", "f", lambda s: jnp.cumsum(jnp.full(SIZE, 0.1, FLOATS[s % 4])) % 0.3),
    ("f", "f", _tiny),
    # Masks.
    ("ff", "b", _unary(jnp.less, jnp.less_equal, jnp.equal, jnp.not_equal, jnp.greater)),
    ("f", "b", lambda s, x: x <= (s % 12 - 4) / 10),
    ("f", "b", lambda s, x: jnp.abs(x - x[s % SIZE]) <= 0.3),
    ("f", "b", _unary(lambda x: x != 0, lambda x: x.astype(bool), jnp.signbit, jnp.isnan)),
    ("i", "b", lambda s, i: i > s % 7),
    ("i", "b", lambda s, i: (i & 3) == s % 4),
    ("ii", "b", _unary(jnp.less, jnp.equal, jnp.greater_equal, jnp.not_equal)),
    ("bb", "b", _unary(jnp.logical_and, jnp.logical_or, jnp.logical_xor, lambda a, b: ~a)),
    ("b", "b", lambda s, b: lax.cummax(b.astype(int)) > 0 if s % 2 else b[::-1]),
    ("b", "b", lambda s, b: jnp.full(SIZE, (jnp.all, jnp.any)[s % 2](b))),
    # Integers.
    ("f", "i", lambda s, x: jnp.floor(x * (s % 4 + 1) / 3).astype(int)),
    ("f", "i", lambda s, x: (x * (s % 5)).astype(INTEGERS[s % 3])),
    (
        "f",
        "i",
        _unary(jnp.argsort, lambda x: lax.top_k(x, SIZE)[1], lambda x: jnp.argsort(-x)),
    ),
    ("f", "i", lambda s, x: jnp.argmax(x[: s % 5 + 1]) + jnp.arange(SIZE) * (s % 2)),
    ("f", "i", lambda s, x: jnp.full(SIZE, jnp.argmin(x, keepdims=bool(s % 2)))),
    (
        "f",
        "i",
        lambda s, x: jnp.searchsorted(jnp.sort(x), x[::-1], side=("left", "right")[s % 2]),
    ),
    ("ff", "i", lambda s, x, y: jnp.searchsorted(jnp.sort(x), y)),
    ("f", "i", lambda s, x: jnp.digitize(x, jnp.linspace(0, 1, s % 3 + 2))),
    ("f", "i", lambda s, x: jnp.sign(x).astype(int) + s % 3),
    ("f", "i", lambda s, x: lax.bitcast_convert_type(x.astype(jnp.float32), jnp.int32) & 7),
    ("i", "i", lambda s, i: jnp.clip(i, s % 3, 3)),
    ("i", "i", lambda s, i: i % (s % 6 + 1)),
    ("i", "i", lambda s, i: i // (s % 4 + 1)),
    ("i", "i", lambda s, i: lax.rem(i, jnp.asarray(s % 6 + 1, i.dtype))),
    ("i", "i", lambda s, i: lax.div(i, jnp.asarray(s % 3 + 2, i.dtype))),
    ("i", "i", lambda s, i: i & (3, 1, 5, 2)[s % 4]),
    ("i", "i", lambda s, i: i * jnp.asarray((3, 43, 2, 100)[s % 4], i.dtype)),
    ("i", "i", lambda s, i: i - jnp.asarray(s % 5, i.dtype)),
    ("i", "i", lambda s, i: i.astype(INTEGERS[s % 7])),
    ("i", "i", lambda s, i: i >> 1 if s % 2 else i << jnp.asarray(s % 9, i.dtype)),
    ("i", "i", lambda s, i: lax.shift_right_logical(i, jnp.asarray(s % 5, i.dtype))),
    (
        "i",
        "i",
        _unary(jnp.abs, jnp.negative, jnp.invert, jnp.cumsum, jnp.sort, jnp.argsort),
    ),
    (
        "i",
        "i",
        _unary(lax.population_count, lax.clz, jnp.sign, lambda i: i**2, jnp.cumprod),
    ),
    (
        "i",
        "i",
        lambda s, i: jnp.full(SIZE, (jnp.max, jnp.min, jnp.sum, jnp.prod)[s % 4](i)),
    ),
    ("ii", "i", _unary(jnp.add, jnp.subtract, jnp.multiply, jnp.maximum, jnp.minimum)),
    (
        "ii",
        "i",
        _unary(jnp.bitwise_and, jnp.bitwise_or, jnp.bitwise_xor, lambda i, k: i[k % SIZE]),
    ),
    ("ii", "i", lambda s, i, k: i.at[k].set(k.astype(i.dtype), mode=MODES[s % 3])),
    ("bii", "i", lambda s, b, i, k: jnp.where(b, i, k.astype(i.dtype))),
    (
        "b",
        "i",
        lambda s, b: b.astype(INTEGERS[s % 7]) * jnp.asarray(s % 4, INTEGERS[s % 7]),
    ),
    ("b", "i", lambda s, b: jnp.cumsum(b) - s % 2),
    ("b", "i", lambda s, b: jnp.nonzero(b, size=SIZE, fill_value=(s % 4) - 1)[0]),
    ("b", "i", lambda s, b: jnp.full(SIZE, jnp.argmax(b))),
    # Numbers of integers and masks.
    ("i", "f", lambda s, i: i.astype(FLOATS[s % 4]) * jnp.asarray(0.1, FLOATS[s % 4])),
    ("b", "f", lambda s, b: b.astype(FLOATS[s % 4])),
    # Arithmetic.
    (
        "Ff",
        "f",
        _unary(jnp.add, jnp.subtract, jnp.multiply, jnp.multiply, jnp.maximum, jnp.minimum),
    ),
    (
        "fF",
        "f",
        _unary(jnp.multiply, jnp.arctan2, jnp.subtract, lambda x, y: x / (1 + y * y)),
    ),
    (
        "f",
        "f",
        _unary(jnp.sin, jnp.tanh, jnp.abs, jnp.floor, jnp.sign, jnp.round, jnp.square),
    ),
    (
        "f",
        "f",
        _unary(
            jnp.exp2, jnp.cbrt, jnp.ceil, jax.nn.relu, jax.nn.sigmoid, lax.stop_gradient
        ),
    ),
    ("f", "f", lambda s, x: x % (s % 4 + 1)),
    ("f", "f", lambda s, x: x * (s % 3) + (s % 5)),
    ("f", "f", lambda s, x: x - lax.stop_gradient(x) if s % 2 else jnp.clip(x, -0.5, 0.5)),
    ("f", "f", lambda s, x: x.astype(FLOATS[s % 4])),
    ("f", "f", lambda s, x: lax.reduce_precision(x, 5 + s % 3, 3 + s % 5)),
    ("F", "f", _parts),
    ("Fb", "f", lambda s, x, b: x * b if s % 2 else x * (1 - b.astype(x.dtype))),
    ("bFf", "f", lambda s, b, x, y: jnp.where(b, x, y)),
    (
        "bfF",
        "f",
        lambda s, b, x, y: jnp.where(b, x, y) if s % 3 else jnp.where(b[s % SIZE], x, y),
    ),
    ("iFff", "f", lambda s, i, x, y, z: jnp.select([i == 0, i == s % 4, i < 0], [x, y, z])),
    (
        "iFff",
        "f",
        lambda s, i, *v: lax.select_n(jnp.int32(i % 3), *(x.astype(float) for x in v)),
    ),
    ("iFf", "f", lambda s, i, x, y: jnp.choose(i, [x, y], mode=("clip", "wrap")[s % 2])),
    ("Fff", "f", lambda s, x, y, z: lax.clamp(y.astype(x.dtype), x, z.astype(x.dtype))),
    # Moves, sums and products.
    ("F", "f", lambda s, x: jnp.roll(x, s) if s % 2 else x[::-1]),
    (
        "F",
        "f",
        lambda s, x: lax.pad(x, jnp.zeros((), x.dtype), [(1, s % 3, 1)])[
            s % 3 : SIZE + s % 3
        ],
    ),
    ("Ff", "f", lambda s, x, y: jnp.concatenate([x[: s % SIZE], y[s % SIZE :]])),
    (
        "F",
        "f",
        lambda s, x: x.reshape(2, 3).T.ravel() if s % 2 else x.reshape(3, 2).T.ravel(),
    ),
    (
        "F",
        "f",
        _unary(jnp.cumsum, jnp.cumprod, lax.cummax, lax.cummin, jnp.sort, lax.cumlogsumexp),
    ),
    (
        "F",
        "f",
        lambda s, x: jnp.full(
            SIZE, (jnp.sum, jnp.max, jnp.prod, jnp.min)[s % 4](x[: s % 5 + 1])
        ),
    ),
    (
        "F",
        "f",
        lambda s, x: jnp.tile((jnp.sum, jnp.max)[s % 2](x.reshape(3, 2), axis=1), 2),
    ),
    ("F", "f", lambda s, x: lax.top_k(x, SIZE)[0] if s % 2 else jnp.diff(x, append=0)),
    ("iF", "f", lambda s, i, x: lax.sort((i, x), num_keys=1)[1]),
    ("fF", "f", lambda s, k, x: lax.sort((k, x), num_keys=1, is_stable=bool(s % 2))[1]),
    ("Ffb", "f", _dot),
    ("Ff", "f", _convolve),
    ("Ff", "f", _solve),
    ("Fb", "f", lambda s, x, b: jnp.full(SIZE, jnp.sum(x, where=b)) * x),
    (
        "Fb",
        "f",
        lambda s, x, b: jnp.where(b[:, None] & b[::-1], x[:, None] * x, 0).sum(s % 2),
    ),
    # Indices.
    ("Fi", "f", _take),
    ("Fi", "f", _take),
    ("Fi", "f", _rows),
    ("Fi", "f", _batched),
    ("Fi", "f", _along),
    ("Fi", "f", _slice),
    ("Fi", "f", _slice),
    ("FiF", "f", _put),
    ("Fif", "f", _put),
    ("fiF", "f", _put),
    ("Fif", "f", _update),
    ("fiF", "f", _update),
    ("Fif", "f", _update_matrix),
    ("Fi", "f", lambda s, x, i: jax.ops.segment_sum(x, i, SIZE)),
    ("Fi", "f", lambda s, x, i: jax.nn.one_hot(i, SIZE, dtype=x.dtype) @ x),
    (
        "Fi",
        "f",
        lambda s, x, i: x[i[s % SIZE] % SIZE] * jnp.take(x, i, mode="fill", fill_value=0),
    ),
    ("Fi", "f", lambda s, x, i: x.reshape(3, 2)[i % 3, (i // 3) % 2]),
    # Control.
    ("Fbf", "f", _cond),
    ("Fif", "f", _switch),
    ("Fi", "f", _fori),
    ("Fib", "f", _scan),
    ("F", "f", _jitted),
]
"""Kinds of operands, kind of result, and function. Kinds are `f`, numbers; `i`, integers;
`b`, masks; and `F`, numbers that depend on the argument."""

FORWARD_ONLY: list[tuple[str, str, Callable[..., Any]]] = [
    ("Fi", "f", _while),
    ("Fb", "f", _until),
    ("F", "f", _custom),
]
"""Functions that JAX does not differentiate twice, or not in reverse mode."""
