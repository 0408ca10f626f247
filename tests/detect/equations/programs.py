"""Equations of primitives that hold programs, of collectives, and of Equinox."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from equinox.internal import noinline, select_if_vmap_p
from jax import lax
from jax.experimental import hijax
from jax.extend.core import primitives as p
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from .frame import Equation, Rng, booleans, equation, integers, real, some_shape


def _mixed(x: Any, y: Any) -> Any:
    """Elements that depend on one, two or none of the operands."""
    return x[::-1] * 2 + y, jnp.zeros_like(x), x * jnp.array([1.0, 0.0, 2.0])


def _calls(key: Any, wrap: Callable[[Any], Any]) -> None:
    @equation(key)
    def make(rng: Rng) -> Equation:
        del rng
        return Equation(wrap(_mixed), [real(3), real(3)])


def _with_jvp(fun: Any) -> Any:
    wrapped = jax.custom_jvp(fun)
    wrapped.defjvp(lambda primals, tangents: (fun(*primals), fun(*tangents)))
    return wrapped


def _with_vjp(fun: Any) -> Any:
    wrapped = jax.custom_vjp(fun)
    wrapped.defvjp(lambda *xs: (fun(*xs), None), lambda _, g: (g[0], g[0]))
    return wrapped


def _with_vmap(fun: Any) -> Any:
    wrapped = jax.custom_batching.custom_vmap(fun)
    wrapped.def_vmap(lambda size, batched, *xs: (fun(*xs), batched))
    return wrapped


_calls(p.jit_p, jax.jit)
_calls(p.remat_p, jax.checkpoint)
_calls(p.custom_jvp_call_p, _with_jvp)
_calls(p.custom_vjp_call_p, _with_vjp)
_calls("custom_vmap_call", _with_vmap)
_calls("noinline", noinline)


@equation(p.closed_call_p)
def closed_call(rng: Rng) -> Equation:
    del rng

    def fun(x, y):
        program = jax.make_jaxpr(_mixed)(x, y)
        params = p.closed_call_p.get_bind_params({"call_jaxpr": program})
        return p.closed_call_p.bind(x, y, **params)

    return Equation(fun, [real(3), real(3)])


_HiPrim: Any = getattr(hijax, "HiPrim", None) or hijax.VJPHiPrimitive  # Until 0.10.


class Operation(_HiPrim):
    """An operation written in terms of primitives, as those of `jax.numpy` since 0.12."""

    def __init__(self, aval: Any) -> None:
        self.in_avals, self.out_aval, self.params = (aval, aval), aval, {}
        super().__init__()

    def expand(self, x: Any, y: Any) -> Any:
        return _mixed(x, y)[0] + _mixed(y, x)[2]


@equation("call_hi_primitive")
def operation(rng: Rng) -> Equation:
    del rng
    return Equation(lambda x, y: Operation(jax.typeof(x))(x, y), [real(3), real(3)])


@equation(p.call_p)
def core_call(rng: Rng) -> Equation:
    del rng

    def fun(x, y):
        program = jax.make_jaxpr(lambda x, y: (x[::-1] * 2 + y, -y))(x, y).jaxpr
        params = p.call_p.get_bind_params({"call_jaxpr": program})
        return p.call_p.bind(x, y, **params)

    return Equation(fun, [real(3), real(3)])


@equation(p.cond_p)
def cond(rng: Rng) -> Equation:
    count = int(rng.integers(2, 4))
    branches = [lambda x: x[::-1], lambda x: x * 0, lambda x: x.at[0].add(x[1])][:count]
    operands = [integers(-1, 3), real(3)]
    return Equation(lambda i, x: lax.switch(i, branches, x), operands, inputs=[1])


@equation(p.custom_lin_p)
def custom_vjp_tangent(rng: Rng) -> Equation:
    """A tangent that only exists transposed; the test knows its values."""
    order = rng.permutation(3)

    @jax.custom_vjp
    def fun(x):
        return jnp.round(x)

    fun.defvjp(lambda x: (jnp.round(x), None), lambda _, g: (g[order],))

    def tangent(v):
        return jax.jvp(fun, (jnp.zeros(3),), (v,))[1]

    return Equation(tangent, [real(3)], evaluated=lambda v: jnp.zeros(3).at[order].add(v))


@equation(p.scan_p)
def scan(rng: Rng) -> Equation:
    steps, reverse = int(rng.integers(0, 5)), bool(rng.integers(2))
    shift = int(rng.integers(3))

    def fun(const, carry, xs):
        def step(carry, x):
            a, b, k = carry
            a, b = jnp.roll(b, shift) + const, a.at[k].add(x)
            return (a, b, (k + 1) % 3), (x * 2, b[k], k)

        return lax.scan(step, (carry, carry, 0), xs, length=steps, reverse=reverse)

    return Equation(fun, [real(3), real(3), real(steps)])


@equation(p.scan_p)
def scan_of_shifts(rng: Rng) -> Equation:
    """Without slices and outputs: the power of a matrix."""
    steps = int(rng.integers(1, 6))

    def fun(const, carry):
        return lax.fori_loop(0, steps, lambda _, c: c.at[1:].add(c[:-1]) + const, carry)

    return Equation(fun, [real(), real(4)])


@equation(p.while_p)
def while_loop(rng: Rng) -> Equation:
    """The number of steps is an operand; if it is known, the rule does not use it."""
    del rng

    def fun(steps, const, carry):
        def body(state):
            k, a, b = state
            return k + 1, b, jnp.roll(a, 1) + const

        return lax.while_loop(lambda s: s[0] < steps, body, (0, carry, carry))[1:]

    return Equation(fun, [integers(0, 8), real(3), real(3)], "no")


def _mesh(kind: AxisType) -> jax.sharding.Mesh:
    """One device, on an axis called `i`."""
    return jax.make_mesh((1,), ("i",), axis_types=(kind,))


def _collective(
    key: Any,
    fun: Callable[[Any], Any],
    out: PartitionSpec,
    kind: AxisType = AxisType.Auto,
    check: bool = True,
) -> None:
    """A program on one device, on which a collective leaves all elements alone."""
    mesh = _mesh(kind)
    sharded = jax.shard_map(
        fun, mesh=mesh, in_specs=PartitionSpec("i"), out_specs=out, check_vma=check
    )

    def run(x):
        if kind is AxisType.Explicit:
            x = jax.sharding.reshard(x, NamedSharding(mesh, PartitionSpec("i")))
        return sharded(x)

    @equation("shard_map")
    @equation(key)
    def make(rng: Rng) -> Equation:
        operand = real(1, *some_shape(rng))
        # JAX cannot run a loop over points around an explicit mesh.
        explicit = kind is AxisType.Explicit
        return Equation(run, [operand], evaluated=(lambda x: x) if explicit else None)


_SAME, _SHARD = PartitionSpec(), PartitionSpec("i")
_collective(p.psum_p, lambda x: lax.psum(x, "i"), _SAME, check=False)
_collective(p.pmax_p, lambda x: lax.pmax(x, "i"), _SAME)
_collective(p.pmin_p, lambda x: lax.pmin(x, "i"), _SAME)
_collective(p.ppermute_p, lambda x: lax.ppermute(x, "i", [(0, 0)]), _SHARD)
_collective(p.all_gather_p, lambda x: lax.all_gather(x, "i"), _SHARD)
_collective(p.all_gather_p, lambda x: lax.all_gather(x, "i", tiled=True), _SHARD)
_collective(p.all_to_all_p, lambda x: lax.all_to_all(x, "i", 0, 0, tiled=True), _SHARD)
_collective(p.all_to_all_p, lambda x: lax.all_to_all(x[None], "i", 0, 1), _SHARD)
_collective("reduce_scatter", lambda x: lax.psum_scatter(x[None], "i"), _SHARD)
_collective("reduce_scatter", lambda x: lax.psum_scatter(x, "i", tiled=True), _SHARD)
_collective("psum_invariant", lambda x: lax.psum(x, "i"), _SAME)
_collective("pvary", lambda x: lax.pcast(lax.psum(x, "i"), "i", to="varying"), _SHARD)
_collective(
    "all_gather_reduced",
    lambda x: lax.all_gather(x, "i", tiled=True, to="reduced"),
    PartitionSpec(reduced=frozenset({"i"})),
    AxisType.Explicit,
)
_collective("all_gather_invariant", lambda x: lax.all_gather(x, "i", to="invarying"), _SAME)


@equation("reshard")
def reshard(rng: Rng) -> Equation:
    sharding = NamedSharding(_mesh(AxisType.Explicit), PartitionSpec())
    return Equation(lambda x: jax.sharding.reshard(x, sharding), [real(*some_shape(rng))])


@equation("select_if_vmap")
def select_if_vmap(rng: Rng) -> Equation:
    """Without `vmap` the first array is returned, which the rule does not use."""
    shape = some_shape(rng)
    return Equation(select_if_vmap_p.bind, [booleans(), real(*shape), real(*shape)], "no")
