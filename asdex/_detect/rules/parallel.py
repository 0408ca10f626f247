"""Programs that run on several devices, and operations between them."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from jax.extend.core import primitives as p
from jax.sharding import PartitionSpec

from ..._base.compat import CALLS, called_program, with_constants
from ..dependence import Dependence, nothing
from ..interpret import call, conservative
from ..known import slices
from ..registry import Outcome, register
from ..terms import Shape
from ..value import Scope, Value, shape_of


@register("shard_map")
def shard_map(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Outcome:
    """The program of all devices at once: a batch over the axes of the mesh, in which JAX
    makes operations along axes of those between devices."""
    try:
        batched = _batched(eqn)
    except Exception:  # JAX has several types of them for what it cannot batch.
        uncovered = "some operations between devices"
        return conservative(eqn, operands, scope, uncovered)
    outputs = call(batched, operands, scope.called_by(eqn))
    return [
        _any_copy(var.aval, value) for var, value in zip(eqn.outvars, outputs, strict=True)
    ]


def _any_copy(aval: Any, copies: Value) -> Value:
    """One of the copies along the leading axis. They have equal values, so each element
    depends on at most what it depends on in all of them."""
    if copies.dependence is not None:
        return Value(aval, copies.dependence.merge((0,)).reshape(aval.shape))
    first, *_ = slices(copies.known, aval.dtype, copies.shape[0])
    return Value(aval, None, first)


class _Layout(NamedTuple):
    """How an array of shards, with a leading axis for each axis of the mesh in its spec, is
    made of the whole array: by a reshape to `parts`, and a permutation `order` of axes."""

    parts: Shape
    order: list[int]
    names: list[str]
    """The axes of the mesh in the spec, in the order of the mesh."""


def _layout(shape: Shape, spec: PartitionSpec, sizes: dict[str, int]) -> _Layout:
    parts: list[int] = []
    place: dict[str, int] = {}
    own = []
    for dim, entry in zip(shape, [*spec.partitions, *[None] * len(shape)], strict=False):
        for name in _names(entry):
            place[name] = len(parts)
            parts.append(sizes[name])
        own.append(len(parts))
        parts.append(dim // prod(sizes[name] for name in _names(entry)))
    names = [name for name in sizes if name in place]
    return _Layout(tuple(parts), [*(place[name] for name in names), *own], names)


def _mesh_axes(eqn: JaxprEqn) -> dict[str, int]:
    """The axes of the mesh along which the program is split, and their sizes."""
    manual, sizes = eqn.params["newly_manual_axes"], eqn.params["mesh"].shape
    return {name: size for name, size in sizes.items() if name in manual}


def _batched(eqn: JaxprEqn) -> ClosedJaxpr:
    """From the operands to the outputs. These have a leading axis for the copies along the
    axes of the mesh that are not in their spec."""
    program, sizes = with_constants(eqn.params["jaxpr"]), _mesh_axes(eqn)
    if any(spec.unreduced for spec in (*eqn.params["in_specs"], *eqn.params["out_specs"])):
        raise NotImplementedError("An array is a sum of its shards.")
    into, out = (
        [
            _layout(_unsharded(v).shape, spec, sizes)
            for v, spec in zip(atoms, specs, strict=True)
        ]
        for atoms, specs in (
            (eqn.invars, eqn.params["in_specs"]),
            (eqn.outvars, eqn.params["out_specs"]),
        )
    )

    def on_each(*shards: Any) -> list[Any]:
        return _evaluate(program, shards, sizes)

    function: Any = on_each
    for name in reversed(sizes):
        axes = tuple(0 if name in layout.names else None for layout in into)
        function = jax.vmap(function, axes, axis_name=name, axis_size=sizes[name])

    def run(*arrays: Any) -> list[Any]:
        outputs = function(
            *(
                array.reshape(layout.parts).transpose(layout.order)
                for array, layout in zip(arrays, into, strict=True)
            )
        )
        whole = []
        for var, shards, layout in zip(eqn.outvars, outputs, out, strict=True):
            copied = [k for k, name in enumerate(sizes) if name not in layout.names]
            first = jnp.moveaxis(shards, copied, range(len(copied)))
            back = [len(copied) + int(k) for k in np.argsort(layout.order)]
            parts = first.transpose([*range(len(copied)), *back])
            whole.append(parts.reshape((-1, *shape_of(var))))
        return whole

    return jax.make_jaxpr(run)(*map(_unsharded, eqn.invars))


def _names(entry: Any) -> tuple[str, ...]:
    """The axes of the mesh along which an axis of an array is split."""
    return entry if isinstance(entry, tuple) else () if entry is None else (entry,)


def _evaluate(
    program: ClosedJaxpr, operands: Sequence[Any], sizes: dict[str, int]
) -> list[Any]:
    """Evaluate a program of one device, with those operations between devices that JAX does
    not batch in terms of others."""
    environment = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    environment |= zip(program.jaxpr.invars, operands, strict=True)

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else environment[atom]

    for eqn in program.jaxpr.eqns:
        values, name = list(map(read, eqn.invars)), eqn.primitive.name
        if eqn.primitive in CALLS or name in CALLS:
            outputs = _evaluate(called_program(eqn), values, sizes)
        elif name == "pvary":
            outputs = values
        elif name == "psum_invariant":
            outputs = [lax.psum(value, eqn.params["axes"]) for value in values]
        elif name in ("all_gather_invariant", "all_gather_reduced"):
            outputs = [_gathered(value, eqn) for value in values]
        elif eqn.primitive is p.ppermute_p:
            outputs = [_permuted(value, eqn, sizes) for value in values]
        else:
            params = eqn.primitive.get_bind_params(_with_programs(eqn.params, sizes))
            found = eqn.primitive.bind(*values, **params)
            outputs = found if eqn.primitive.multiple_results else [found]
        environment |= zip(eqn.outvars, outputs, strict=True)
    return list(map(read, program.jaxpr.outvars))


def _gathered(value: Any, eqn: JaxprEqn) -> Any:
    params = eqn.params
    axis, tiled = params["all_gather_dimension"], params["tiled"]
    return lax.all_gather(value, params["axis_name"], axis=axis, tiled=tiled)


def _unsharded(atom: Any) -> jax.ShapeDtypeStruct:
    """The type of a value without the mesh that it lies on."""
    return jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype)


def _permuted(value: Any, eqn: JaxprEqn, sizes: dict[str, int]) -> Any:
    """What each device is sent along one axis, zeros if nothing: JAX batches permutations
    in which all devices take part."""
    (name,) = eqn.params["axis_name"]
    source = np.full(sizes[name], -1)
    for sender, receiver in eqn.params["perm"]:
        source[receiver] = sender
    sent = jnp.asarray(source)[lax.axis_index(name)]
    everything = lax.all_gather(value, name)
    received = lax.dynamic_index_in_dim(everything, sent, keepdims=False)
    return jnp.where(sent >= 0, received, jnp.zeros_like(received))


def _with_programs(params: dict[str, Any], sizes: dict[str, int]) -> dict[str, Any]:
    """Parameters whose programs are evaluated by `_evaluate`."""

    def changed(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(changed, value))
        if not isinstance(value, Jaxpr | ClosedJaxpr):
            return value
        program = with_constants(value)
        run = jax.make_jaxpr(
            lambda *operands: _evaluate(program, operands, sizes), axis_env=[*sizes.items()]
        )
        return run(*map(_unsharded, program.jaxpr.invars))

    return {key: changed(value) for key, value in params.items()}


@register(
    *(p.psum_p, p.pmax_p, p.pmin_p, p.ppermute_p, p.all_gather_p, p.all_to_all_p),
    *("psum_invariant", "all_gather_invariant", "all_gather_reduced", "reduce_scatter"),
)
def collective(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Dependence]:
    """Axes given by position are reduced. `shard_map` leaves no axes given by name."""
    positional = [axis for axis in eqn.params.get("axes", ()) if isinstance(axis, int)]
    outputs = []
    for var, operand in zip(eqn.outvars, operands, strict=True):
        dependence = operand.dependence or nothing(operand.shape, scope.n)
        outputs.append(dependence.merge(positional).reshape(shape_of(var)))
    return outputs


@register(
    *(lax.optimization_barrier_p, p.device_put_p, "nonbatchable"),
    "nondifferentiable_backward",
    coefficients=True,
)
def pass_through(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope
) -> list[Dependence]:
    """Each output is the operand at the same position."""
    del eqn
    return [op.dependence or nothing(op.shape, scope.n) for op in operands]
