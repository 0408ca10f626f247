"""What the type of an array says of the devices that it is on.

Inside of `jax.shard_map` a type names the mesh axes over which the values vary, and under a
mesh of explicit axes those over which an array is split. JAX wants tangents to have the
types of primals, and has no rules for indexing along explicit axes: what asdex computes, it
computes with automatic ones.
"""

import contextlib
import functools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

import jax
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Shaped

from .sparse import BCOO, BCSR

F = TypeVar("F", bound=Callable[..., Any])


def typed_like(x: Shaped[Array, "..."], like: Any) -> Shaped[Array, "..."]:
    """The array, made to vary over the mesh axes over which another one does."""
    return _varying_over(_varies_over(jax.typeof(like)), x)


def _varying_over(axes: frozenset[str], x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    missing = axes - _varies_over(jax.typeof(x))
    return lax.pcast(x, tuple(sorted(missing)), to="varying") if missing else x


def automatically(function: F) -> F:
    """The function, evaluated with automatic axes in place of explicit ones.

    If the first axis of an argument is split, that of each result is split in the same way
    where its length allows that. Other results are whole on every device, as are the arrays
    of a `BCOO` or `BCSR`, for which JAX has no operations along explicit axes.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        types = map(jax.typeof, filter(_is_array, jax.tree.leaves((args, kwargs))))
        split = [aval for aval in types if _is_split(aval)]
        mesh = split[0].sharding.mesh if split else jax.sharding.get_abstract_mesh()
        if not _explicit_axes(mesh):
            return function(*args, **kwargs)
        firsts = [aval.sharding.spec[0] for aval in split if aval.sharding.spec[0]]
        names = firsts[0] if firsts else ()
        names = names if isinstance(names, tuple) else (names,)
        parts = math.prod(mesh.shape[name] for name in names)

        def by_rows(x: Any) -> Any:
            is_split = x.ndim and x.shape[0] % parts == 0
            return P(*[names if is_split and k == 0 else None for k in range(x.ndim)])

        with automatic_axes(mesh):
            args, kwargs = _resharded((args, kwargs), jax.sharding.get_abstract_mesh())
            results = function(*args, **kwargs)
        return jax.tree.map(
            lambda x: _resharded(x, mesh, _whole if _is_matrix(x) else by_rows),
            results,
            is_leaf=_is_matrix,
        )

    return cast(F, call)


def automatic_axes(mesh: Any) -> AbstractContextManager[Any]:
    """A context in which the axes of an abstract mesh that are explicit are automatic."""
    explicit = _explicit_axes(mesh)
    if not explicit:
        return contextlib.nullcontext()
    kinds = dict.fromkeys(explicit, AxisType.Auto)
    return jax.sharding.use_abstract_mesh(mesh.update_axis_types(kinds))


def has_explicit_axes() -> bool:
    """Whether a mesh with explicit axes is set."""
    return bool(_explicit_axes(jax.sharding.get_abstract_mesh()))


def gathered(x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """The whole array on every device, if it is split along explicit axes."""
    aval = jax.typeof(x)
    return _resharded(x, aval.sharding.mesh) if _is_split(aval) else x


def varies(x: Any) -> bool:
    """Whether an array varies over some mesh axis."""
    return isinstance(x, jax.Array) and bool(_varies_over(jax.typeof(x)))


def varying_alike(xs: list[Array]) -> list[Array]:
    """The arrays, made to vary over all the mesh axes over which one of them does."""
    axes = frozenset().union(*[_varies_over(jax.typeof(x)) for x in xs])
    return [_varying_over(axes, x) for x in xs]


def _whole(x: Any) -> Any:
    return P(*[None] * x.ndim)


def _resharded(tree: Any, mesh: Any, spec: Callable[[Any], Any] = _whole) -> Any:
    """The arrays with types of this mesh, split as `spec` says."""

    def change(x: Any) -> Any:
        if not _is_array(x):
            return x
        return jax.sharding.reshard(x, NamedSharding(mesh, spec(x)))

    return jax.tree.map(change, tree)


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array)


def _is_matrix(x: Any) -> bool:
    return isinstance(x, (BCOO, BCSR))


def _explicit_axes(mesh: Any) -> list[str]:
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return [name for name, kind in kinds if kind == AxisType.Explicit]


def _is_split(aval: Any) -> bool:
    return any(axis is not None for axis in aval.sharding.spec)


def _varies_over(aval: Any) -> frozenset[str]:
    return aval.manual_axis_type.varying
