"""What the type of an array says of the devices that it is on.

Inside of `jax.shard_map` a type names the mesh axes over which the values vary, and under a
mesh of explicit axes those over which an array is split. JAX wants tangents to have the
types of primals.
"""

from typing import Any

import jax
from jax import lax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Shaped


def typed_like(x: Shaped[Array, "..."], like: Any) -> Shaped[Array, "..."]:
    """The array, made to vary over the mesh axes over which another one does."""
    return _varying_over(_varies_over(jax.typeof(like)), x)


def _varying_over(axes: frozenset[str], x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    missing = axes - _varies_over(jax.typeof(x))
    return lax.pcast(x, tuple(sorted(missing)), to="varying") if missing else x


def gathered(x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """The whole array on every device, if it is split along explicit axes, for which
    indexing has no rule."""
    aval = jax.typeof(x)
    if not _is_split(aval):
        return x
    return jax.sharding.reshard(x, aval.sharding.update(spec=P(*[None] * x.ndim)))


def varies(x: Any) -> bool:
    """Whether an array varies over some mesh axis."""
    return isinstance(x, jax.Array) and bool(_varies_over(jax.typeof(x)))


def varying_alike(xs: list[Array]) -> list[Array]:
    """The arrays, made to vary over all the mesh axes over which one of them does."""
    axes = frozenset().union(*[_varies_over(jax.typeof(x)) for x in xs])
    return [_varying_over(axes, x) for x in xs]


def _is_split(aval: Any) -> bool:
    return any(axis is not None for axis in aval.sharding.spec)


def _varies_over(aval: Any) -> frozenset[str]:
    return aval.manual_axis_type.varying
