"""Nested calls: `jit`, custom derivative rules, transformations inside the function."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero
from jax.sharding import Mesh, PartitionSpec

from .table import family, followed_by, normal, uniform

register, case = family("calls")

N = 4


@jax.jit
def product(a: Array, b: Array) -> Array:
    return a * b


@jax.jit
def pick(x: Array, index: Array) -> Array:
    return x[index]


@jax.jit
def choose(flag: Array, a: Array, b: Array) -> Array:
    return lax.cond(flag, lambda: a, lambda: b)


@case(normal(N), core=True)
def helper_known_zero_first(x: Array) -> Array:
    return product(jnp.zeros(N, x.dtype), x) + product(x[::-1], x)


@case(normal(N))
def helper_known_zero_last(x: Array) -> Array:
    return product(x[::-1], x) + product(jnp.zeros(N, x.dtype), x)


@case(normal(N))
def helper_known_index_first(x: Array) -> Array:
    order = jnp.array([1, 0, 2, 3])
    return pick(x, order) * pick(x, jnp.argsort(x)) + pick(x, order[::-1])


@case(normal(N))
def helper_known_branch_first(x: Array) -> Array:
    known = choose(jnp.array(True), x, x[::-1])
    return known + choose(x[0] > 0, x, jnp.roll(x, 1))


@case(normal(N))
def helper_two_zero_masks(x: Array) -> Array:
    first, second = jnp.array([1.0, 0, 0, 1]), jnp.array([0.0, 1, 0, 1])
    return product(first.astype(x.dtype), x) + product(second.astype(x.dtype), x[::-1])


@case(normal(N))
def helper_in_scan(x: Array) -> Array:
    def body(carry: Array, weight: Array):
        return product(carry, weight), product(jnp.zeros((), x.dtype), carry)

    return lax.scan(body, x[0], x)[0] + jnp.zeros(2)


@case(normal(N))
def nested_jit(x: Array) -> Array:
    @jax.jit
    def outer(y: Array) -> Array:
        inner = jax.jit(lambda z, k: z[k] * 2, static_argnums=1)
        return inner(y, 0) + inner(y, 1) * inner(y[::-1], 0)

    return outer(x) * outer(jnp.cos(x[::-1]))


register("remat", jax.checkpoint(lambda x: jnp.sin(x) * x[::-1]), normal(N))
register("filter_jit", lambda x: eqx.filter_jit(lambda y: y * y[0])(x), normal(N))
register("filter_checkpoint", lambda x: eqx.filter_checkpoint(jnp.cos)(x), normal(N))
register("named_scope", lambda x: jax.named_call(jnp.tanh, name="layer")(x), normal(N))
register("barrier", lambda x: lax.optimization_barrier((x, x * 2))[1], normal(N))
register(
    "random_weights", lambda x: x * jax.random.normal(jax.random.key(0), (N,)), normal(N)
)
register(
    "grad_inside",
    lambda x: jax.grad(lambda y: jnp.sum(y[1:] * y[:-1] ** 2))(x),
    normal(N),
    core=True,
)
register("jvp_inside", lambda x: jax.jvp(jnp.sin, (x,), (x[::-1],))[1], normal(N))
register("vjp_inside", lambda x: jax.vjp(jnp.cumsum, x)[1](x**2)[0], normal(N))
register("jacfwd_inside", lambda x: jax.jacfwd(lambda y: y[1:] * y[0])(x), normal(N))
register(
    "hessian_inside",
    lambda x: jnp.diag(jax.hessian(lambda y: jnp.sum(y**4))(x)),
    normal(N),
)
register("linearize_inside", lambda x: jax.linearize(jnp.exp, x)[1](x), normal(N))


@jax.custom_jvp
def rounded(x: Array) -> Array:
    return jnp.round(x)


@rounded.defjvp
def _(primals, tangents):
    return rounded(*primals), tangents[0]


register("straight_through_jvp", rounded, normal(N), core=True)
register(
    "straight_through_in_scan",
    lambda x: lax.scan(lambda c, e: (rounded(c + e), c), x[0], x)[1],
    normal(N),
)


@jax.custom_jvp
def flat_derivative(x: Array) -> Array:
    return x**2


@flat_derivative.defjvp
def _(primals, tangents):
    return flat_derivative(*primals), jnp.zeros_like(tangents[0])


register("custom_jvp_zero", flat_derivative, normal(N))


@partial(jax.custom_jvp, nondiff_argnums=(0, 2))
def apply_scaled(function, x: Array, power: int) -> Array:
    return function(x) ** power


@apply_scaled.defjvp
def _(function, power, primals, tangents):
    (x,), (tangent,) = primals, tangents
    return function(x) ** power, power * tangent[::-1]


register("custom_jvp_nondiff", lambda x: apply_scaled(jnp.sin, x, 2), normal(N))


@jax.custom_jvp
def symbolic_product(x: Array, y: Array) -> Array:
    return x * y


@partial(symbolic_product.defjvp, symbolic_zeros=True)
def _(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    out = jnp.zeros_like(x * y)
    if not isinstance(dx, SymbolicZero):
        out = out + dx * y
    if not isinstance(dy, SymbolicZero):
        out = out + x * jnp.roll(dy, 1)
    return x * y, out


register("custom_jvp_symbolic_zeros", symbolic_product, normal(N, N), argnums=1)
register("custom_jvp_symbolic_both", lambda x: symbolic_product(x, x[::-1]), normal(N))

REVERSE = {"modes": ("rev",)}


@jax.custom_vjp
def straight_through(x: Array) -> Array:
    return jnp.floor(x)


straight_through.defvjp(lambda x: (jnp.floor(x), None), lambda _, g: (g,))
register("straight_through_vjp", straight_through, normal(N), **REVERSE, core=True)


@jax.custom_vjp
def misdirected(x: Array, y: Array) -> Array:
    return x * y


misdirected.defvjp(
    lambda x, y: (x * y, (x, y)), lambda kept, g: (kept[1] * g[::-1], jnp.cumsum(g))
)
register("custom_vjp_other_pattern", misdirected, normal(N, N), argnums=(0, 1), **REVERSE)
register(
    "custom_vjp_around_sin",
    lambda x: jnp.sin(misdirected(x**2, x[::-1])),
    normal(N),
    **REVERSE,
)
register(
    "custom_vjp_vmapped", lambda x: jax.vmap(misdirected)(x, x), normal((2, 3)), **REVERSE
)
register(
    "custom_vjp_in_scan",
    lambda x: lax.scan(lambda c, e: (straight_through(c * e), c), x[0], x)[1],
    normal(N),
    **REVERSE,
)
register(
    "custom_vjp_in_cond",
    lambda x: lax.cond(x[0] > 0, straight_through, lambda y: y[::-1], x),
    normal(N),
    **REVERSE,
)
register(
    "custom_vjp_in_jit",
    lambda x: jax.jit(straight_through)(x) * jax.jit(straight_through)(x[::-1]),
    normal(N),
    **REVERSE,
)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def clip_gradient(limit: float, x: Array) -> Array:
    return x * 1.0


clip_gradient.defvjp(
    lambda limit, x: (x * 1.0, x),
    lambda limit, x, g: (jnp.where(jnp.abs(x) < limit, g, 0.0),),
)
register("custom_vjp_nondiff", lambda x: clip_gradient(1.0, x), normal(N), **REVERSE)


@jax.custom_gradient
def scaled_gradient(x: Array):
    return x**2, lambda g: g * jnp.array([1.0, 0, 1, 0])


register("custom_gradient", scaled_gradient, normal(N), **REVERSE)


@jax.custom_batching.custom_vmap
def batched_by_hand(x: Array) -> Array:
    return jnp.cumsum(x)


@batched_by_hand.def_vmap
def _(axis_size, in_batched, x):
    return jnp.cumsum(x, axis=1), True


register("custom_vmap", lambda x: jax.vmap(batched_by_hand)(x), normal((2, 3)))


@jax.custom_jvp
def host_sin(x: Array) -> Array:
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return jax.pure_callback(np.sin, shape, x, vmap_method="expand_dims")


@host_sin.defjvp
def _(primals, tangents):
    return host_sin(*primals), jnp.cos(primals[0]) * tangents[0]


register("callback", host_sin, normal(N))


@case(normal(N))
def debug_callback(x: Array) -> Array:
    jax.debug.callback(lambda _: None, x[0])
    return x * 2


@case(normal((3, 2)))
def collectives(x: Array) -> Array:
    def single(row: Array) -> Array:
        weight = 1.0 + lax.axis_index("i").astype(x.dtype)
        return (
            row * weight
            + lax.psum(row[::-1], "i")
            + lax.ppermute(row, "i", [(0, 1), (1, 2), (2, 0)])
        )

    return jax.vmap(single, axis_name="i")(x)


@case(normal((2, 2)))
def gather_all(x: Array) -> Array:
    def gathered(row):
        return lax.all_gather(row, "i") * lax.pmean(row, "i")

    return jax.vmap(gathered, axis_name="i")(x)


@case(normal(N))
def sharded(x: Array) -> Array:
    mesh = Mesh(np.array(jax.devices()[:1]), ("d",))
    spec = PartitionSpec("d")
    return jax.shard_map(lambda y: y * 2, mesh=mesh, in_specs=spec, out_specs=spec)(x)


@case(uniform(1, 2, N), edges=False, **REVERSE)
def equinox_loop(x: Array) -> Array:
    def body(carry):
        count, y = carry
        return count + 1, jnp.sin(y) * y[::-1]

    loop = eqx.internal.while_loop
    start = (jnp.array(0), x)
    return loop(lambda c: c[0] < 2, body, start, max_steps=4, kind="checkpointed")[1]


@case(uniform(1, 2, N), edges=False)
def equinox_bounded_loop(x: Array) -> Array:
    def step(carry):
        return (carry[0] + 1, carry[1] * x[::-1])

    loop = eqx.internal.while_loop
    return loop(lambda c: c[0] < 2, step, (jnp.array(0), x), max_steps=4, kind="bounded")[1]


@case(normal(N))
def equinox_error_if(x: Array) -> Array:
    return eqx.error_if(x, jnp.any(jnp.isinf(x)), "infinite") * x[0]


@case(followed_by(normal(N), np.arange(N, dtype=np.int32)), exact="no")
def keyed_by_integers(x: Array, integers: Array) -> Array:
    return x * integers + (integers % 2) * x[0]
