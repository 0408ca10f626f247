"""Programs that run on several devices, and operations between them."""

from collections.abc import Sequence

from jax import lax
from jax.extend.core import JaxprEqn
from jax.extend.core import primitives as p

from ..._base.compat import with_constants
from ..dependence import Dependence, nothing
from ..interpret import conservative
from ..registry import Outcome, register
from ..value import Scope, Value, shape_of
from .control import call


@register("shard_map")
def shard_map(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Outcome:
    """On one device the program itself; on more, everything may depend on everything."""
    if eqn.params["mesh"].size > 1:
        return conservative(eqn, operands, scope, "more than one device")
    return call(with_constants(eqn.params["jaxpr"]), operands, scope)


@register(
    *(p.psum_p, p.pmax_p, p.pmin_p, p.ppermute_p, p.all_gather_p, p.all_to_all_p),
    *("psum_invariant", "all_gather_invariant", "all_gather_reduced", "reduce_scatter"),
)
def collective(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Dependence]:
    """Axes given by position are reduced. A named axis has one device here (`shard_map`
    on more is not followed), so it leaves all elements where they are."""
    positional = [axis for axis in eqn.params.get("axes", ()) if isinstance(axis, int)]
    outputs = []
    for var, operand in zip(eqn.outvars, operands, strict=True):
        dependence = operand.dependence or nothing(operand.shape, scope.n)
        outputs.append(dependence.merge(positional).reshape(shape_of(var)))
    return outputs


@register(
    *(lax.optimization_barrier_p, p.device_put_p, "nonbatchable"),
    "nondifferentiable_backward",
)
def pass_through(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope
) -> list[Dependence]:
    """Each output is the operand at the same position."""
    del eqn
    return [op.dependence or nothing(op.shape, scope.n) for op in operands]
