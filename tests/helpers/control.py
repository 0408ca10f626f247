"""Branches and loops, and the traps in them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .table import family, followed_by, normal, uniform

_, case = family("control")

N = 5


@case(normal(N), core=True)
def cond_traced(x: Array) -> Array:
    return lax.cond(x[0] > 0, lambda y: y[::-1], lambda y: y**2, x)


@case(normal(N))
def cond_known(x: Array) -> Array:
    return lax.cond(jnp.array(3) > 2, lambda y: y, lambda y: jnp.cumsum(y), x)


@case(followed_by(normal(N), True))
def cond_argument(x: Array, flag: bool) -> Array:
    return lax.cond(flag, lambda: x, lambda: jnp.roll(x, 1))


@case(normal(N))
def cond_closure(x: Array) -> Array:
    y = jnp.sin(x)
    return lax.cond(jnp.sum(x) > 0, lambda: y * x[1], lambda: jnp.zeros(N, x.dtype))


@case(normal(N))
def switch(x: Array) -> Array:
    branches = [lambda y: y, lambda y: y[::-1], lambda y: jnp.roll(y, 1)]
    return lax.switch(jnp.clip(x[0] * 2, 0, 2).astype(int), branches, x)


@case(normal(N))
def switch_known_clamped(x: Array) -> Array:
    return lax.switch(jnp.array(7), [lambda y: jnp.cumsum(y), lambda y: y], x)


@case(normal((3, 4)))
def cond_vmapped(x: Array) -> Array:
    return jax.vmap(lambda r: lax.cond(r[0] > 0, lambda y: y, lambda y: y[::-1], r))(x)


@case(normal(N), modes=("fwd",), edges=False, exact="no", core=True)
def while_countdown(x: Array) -> Array:
    def body(carry):
        count, y = carry
        return count - 1, jnp.roll(y, 1) + y

    return lax.while_loop(lambda c: c[0] > 0, body, (2, x))[1]


@case(normal(N), modes=("fwd",))
def while_counted(x: Array) -> Array:
    def body(carry):
        k, y = carry
        return k + 2, y.at[k].set(jnp.sin(y[k - 1]) * x[k])

    return lax.while_loop(lambda c: c[0] < N, body, (1, x))[1]


@case(normal(N), modes=("fwd",))
def fori_triangular(x: Array) -> Array:
    def row(i, y):
        return lax.fori_loop(0, i, lambda j, y: y.at[i].add(x[j] * x[i]), y)

    return lax.fori_loop(1, N, row, jnp.zeros(N, x.dtype))


@case(normal(N), modes=("fwd",))
def while_until_small(x: Array) -> Array:
    def halve(y):
        return jnp.where(jnp.arange(N) % 2 == 0, y / 2, y[::-1] / 2)

    return lax.while_loop(lambda y: jnp.max(jnp.abs(y)) > 0.5, halve, x)


@case(normal(N), modes=("fwd",), exact="no")
def while_never(x: Array) -> Array:
    return lax.while_loop(lambda y: jnp.array(False), lambda y: jnp.cumsum(y), x)


@case(normal(4), modes=("fwd",), exact="no")
def while_swap(x: Array) -> Array:
    def body(carry):
        count, a, b = carry
        return count + 1, b, a * 2

    _, a, _b = lax.while_loop(lambda c: c[0] < 3, body, (0, x[:2], x[2:]))
    return a


@case(normal(N), modes=("fwd",))
def while_aliased_carry(x: Array) -> Array:
    def body(carry):
        count, a, b, zero = carry
        return count + 1, b, a * b, zero + a

    start = (0, x, x, jnp.zeros_like(x))
    return jnp.stack(lax.while_loop(lambda c: c[0] < 3, body, start)[1:])


@case(normal(N), modes=("fwd",), exact="no")
def while_moving_index(x: Array) -> Array:
    def body(carry):
        i, y = carry
        return i + 1, y.at[i].set(y[i - 1] * 2)

    return lax.while_loop(lambda c: c[0] < 4, body, (1, x))[1]


@case(followed_by(normal(N), 3))
def fori_static_bound(x: Array, steps: int) -> Array:
    return lax.fori_loop(0, steps, lambda i, y: y.at[i].add(x[i + 1]), x)


@case(followed_by(normal(N), np.array(3)), modes=("fwd",), exact="no")
def fori_argument_bound(x: Array, steps: Array) -> Array:
    return lax.fori_loop(0, steps, lambda i, y: y.at[i].add(x[i + 1]), x)


@case(normal(N), modes=("fwd",), exact="no")
def fori_input_bound(x: Array) -> Array:
    steps = jnp.clip(jnp.abs(x[0]) * 2, 0, 3).astype(int)
    return lax.fori_loop(0, steps, lambda i, y: jnp.roll(y, 1), x)


@case(normal(N), core=True)
def fori_prefix(x: Array) -> Array:
    return lax.fori_loop(1, N, lambda i, y: y.at[i].add(y[i - 1]), x)


@case(normal(N))
def fori_backward(x: Array) -> Array:
    return lax.fori_loop(0, N - 1, lambda i, y: y.at[N - 2 - i].add(y[N - 1 - i]), x)


@case(normal(N))
def fori_branch_on_counter(x: Array) -> Array:
    def body(i, y: Array) -> Array:
        return lax.cond(i == 2, lambda: jnp.roll(y, 1), lambda: y * 2)

    return lax.fori_loop(0, 4, body, x)


@case(normal(N))
def fori_zero_trips(x: Array) -> Array:
    return lax.fori_loop(3, 3, lambda i, y: jnp.cumsum(y), x)


@case(normal(N))
def fori_slices(x: Array) -> Array:
    def body(i, total: Array) -> Array:
        return total + lax.dynamic_slice(x, (i,), (2,)) ** 2

    return lax.fori_loop(0, 3, body, jnp.zeros(2, x.dtype))


@case(normal(3, (4, 3)), argnums=(0, 1), core=True)
def scan_carry_and_outputs(x: Array, inputs: Array) -> tuple[Array, Array]:
    def body(carry: Array, row: Array):
        carry = carry * jnp.sin(row)
        return carry, carry[0] + row[1:]

    return lax.scan(body, x, inputs)


@case(normal((4, 2)))
def scan_reverse(x: Array) -> Array:
    return lax.scan(lambda c, row: (c + row, c), jnp.zeros(2, x.dtype), x, reverse=True)[1]


@case(normal((4, 2)))
def scan_zero_start(x: Array) -> Array:
    def body(carry, row):
        first, second = carry
        return (row, second + first * row), first * 3

    start = jnp.zeros(2, x.dtype), jnp.zeros(2, x.dtype)
    (_, total), seen = lax.scan(body, start, x)
    return jnp.concatenate([total[None], seen])


@case(normal(N))
def scan_permuted_carry(x: Array) -> Array:
    def body(carry, _):
        a, b, c = carry
        return (b, c, a * 2), a

    (a, _, _), seen = lax.scan(body, (x[0], x[1], x[2] * x[3]), None, length=4)
    return jnp.append(seen, a)


@case(normal((3, 2)), exact="no")
def scan_swapped_constants(x: Array) -> Array:
    ones, zeros = jnp.ones(2, x.dtype), jnp.zeros(2, x.dtype)

    def body(carry, row: Array):
        p, q = carry
        return (q, p), row * p

    return lax.scan(body, (zeros, ones), x)[1]


@case(normal((4, 3)))
def scan_nested(x: Array) -> Array:
    def inner(carry: Array, element: Array):
        return carry * 2 + element, carry

    def outer(carry: Array, row: Array):
        last, seen = lax.scan(inner, carry, row)
        return last, seen

    return lax.scan(outer, jnp.zeros((), x.dtype), x)[1]


@case(normal(N), modes=("fwd",), exact="no")
def scan_in_while_in_cond(x: Array) -> Array:
    def step(carry):
        count, y = carry
        return count + 1, lax.scan(lambda c, e: (e, c * y[0]), y[0], y)[1]

    def loop(y):
        return lax.while_loop(lambda c: c[0] < 2, step, (0, y))[1]

    return lax.cond(x[1] > 0, loop, lambda y: y, x)


@case(normal(N))
def scan_index_inputs(x: Array) -> Array:
    return lax.scan(lambda c, i: (c, x[i] * x[c]), 1, np.array([3, 0, 0]))[1]


@case(normal(N))
def scan_index_carry(x: Array) -> Array:
    def body(i, _):
        return (i * 2) % N, x[i] ** 2

    return lax.scan(body, 1, None, length=6)[1]


@case(normal(N), exact="no")
def scan_index_from_input(x: Array) -> Array:
    def body(i, element: Array):
        return jnp.where(element > 0, i + 1, i), x[i]

    return lax.scan(body, 0, x)[1]


@case(normal(N))
def scan_buffer(x: Array) -> Array:
    def body(carry, _):
        i, buffer, y = carry
        y = y + jnp.roll(y, 1)
        return (i + 1, lax.dynamic_update_index_in_dim(buffer, y, i, 0), y), None

    return lax.scan(body, (0, jnp.zeros((3, N), x.dtype), x), None, length=3)[0][1]


@case(normal((0, 2), 2), argnums=(0, 1))
def scan_no_steps(x: Array, start: Array) -> tuple[Array, Array]:
    return lax.scan(lambda c, row: (c[::-1] + row, c), start, x)


@case(normal((4, 0), ()), argnums=(0, 1))
def scan_empty_rows(x: Array, start: Array) -> Array:
    return lax.scan(lambda c, row: (c + jnp.sum(row), c), start, x)[1]


@case(normal(6), core=True)
def scan_unrolled(x: Array) -> Array:
    return lax.scan(lambda c, e: (c * e, c), x[0], x, unroll=2)[1]


@case(normal((3, 4)))
def mapped(x: Array) -> Array:
    return lax.map(lambda row: jnp.cumsum(row) * row[0], x)


@case(normal((5, 2)))
def mapped_in_batches(x: Array) -> Array:
    return lax.map(lambda row: jnp.sum(row**2), x, batch_size=2)


@case(normal((3, 2)), modes=("fwd",))
def while_vmapped(x: Array) -> Array:
    def single(row: Array) -> Array:
        return lax.while_loop(lambda y: y[0] > 0.1, lambda y: (y * 0.5)[::-1] * 0.5, row)

    return jax.vmap(single)(x)


@case(uniform(0.5, 1, N))
def scan_rematerialized(x: Array) -> Array:
    body = jax.checkpoint(lambda c, e: (jnp.sin(c) * e, c))
    return lax.scan(body, x[0], x)[1]


@case(normal(N))
def scan_known_first_carry_only(x: Array) -> Array:
    def body(carry, element: Array):
        index, weight = carry
        out = x[index] * weight
        return (jnp.argmax(x), weight + element), out

    return lax.scan(body, (0, jnp.zeros((), x.dtype)), x)[1]


@case(normal((3, 2)), exact="no")
def scan_partly_known_inputs(x: Array) -> Array:
    weights = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])

    def body(i, row: Array):
        return i + 1, row**2 * x[i, 0]

    return lax.scan(body, 0, x * weights)[1]


@case(normal(3), exact="no")
def scan_over_repeated_writes(x: Array) -> Array:
    """Which of two writes to one element wins depends on the device."""
    written = jnp.zeros(3).at[jnp.array([0, 0, 1])].set(jnp.array([1.0, 0.0, 3.0]))
    return lax.scan(lambda i, e: (i + 1, x[i] * e), 0, written)[1]


@case(normal(4))
def scan_keys(x: Array) -> Array:
    """The slice of an array of keys is a key, not the array."""
    keys = jax.random.split(jax.random.key(0), 4)
    return lax.scan(lambda i, k: (i + 1, x[i] + jax.random.normal(k)), 0, keys)[1]
