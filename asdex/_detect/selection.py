"""Elements read at indices that are not known, and added back at the same indices.

What `x[i]` is for an unknown `i` is not known. But what a Hessian adds back at `i` returns
to the place that it came from, though the rules of both operations let it come from
anywhere. So it is with the largest elements of windows, which pooling selects: both
operations choose by the same comparisons, also among equal elements.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from jax import lax
from jax.extend.core import JaxprEqn
from jax.extend.core import primitives as p

from .dependence import nothing, union
from .terms import Shape
from .value import Scope, Selected, Value, output_shape

Apply = Callable[[Sequence[Value]], Sequence[Value]]
"""The results of an equation on other operands, by the rule of its primitive."""


def with_selection(
    eqn: JaxprEqn,
    operands: Sequence[Value],
    results: Sequence[Value],
    apply: Apply,
    scope: Scope,
) -> Sequence[Value]:
    """The results of an equation, with the indices that they were read at; where they are
    added back at these, with less dependence."""
    result = results[0]
    if eqn.primitive is lax.gather_p or eqn.primitive.name == _WINDOWS_READ:
        source = operands[0].dependence
        if source is None or operands[1].dependence is not None:
            return results
        rest = nothing(result.shape, scope.n)
        selected = Selected(_choice(eqn, operands), operands[1], source, rest)
        return [replace(result, selected=selected)]
    if all(operand.selected is None for operand in operands):
        return results
    if eqn.primitive in (lax.scatter_add_p, lax.select_and_scatter_add_p):
        return [_added_back(eqn, operands, result, apply)]
    if eqn.primitive in _LINEAR:
        return [replace(result, selected=_combined(operands, result))]
    return results


def _choice(eqn: JaxprEqn, operands: Sequence[Value]) -> Hashable:
    """What decides on the positions, equal for a gather and the scatter that transposes it.

    Indices are compared by identity: one variable has one value.
    """
    if eqn.primitive.name == _WINDOWS_READ:
        return _windows(eqn, operands, output_shape(eqn))
    if eqn.primitive is lax.select_and_scatter_add_p:
        return _windows(eqn, operands, operands[0].shape)
    numbers = eqn.params["dimension_numbers"]
    if eqn.primitive is lax.gather_p:
        axes = (
            *(numbers.offset_dims, numbers.collapsed_slice_dims, numbers.start_index_map),
            *(numbers.operand_batching_dims, numbers.start_indices_batching_dims),
        )
        shape = output_shape(eqn)
    else:
        axes = (
            *(numbers.update_window_dims, numbers.inserted_window_dims),
            *(numbers.scatter_dims_to_operand_dims, numbers.operand_batching_dims),
            numbers.scatter_indices_batching_dims,
        )
        shape = operands[2].shape
    positions = tuple(tuple(map(int, part)) for part in axes)
    return id(operands[1]), eqn.params["mode"], operands[0].shape, shape, positions


def _windows(eqn: JaxprEqn, operands: Sequence[Value], shape: Shape) -> Hashable:
    names = ("window_dimensions", "window_strides", "padding")
    windows = (tuple(eqn.params[name]) for name in names)
    names = ("base_dilation", "window_dilation")
    dilated = any(max(eqn.params.get(name, ()), default=1) > 1 for name in names)
    return id(operands[1]), eqn.params["select_prim"], shape, *windows, dilated


def _added_back(
    eqn: JaxprEqn, operands: Sequence[Value], result: Value, apply: Apply
) -> Value:
    """Each element gets what was read from its own place, and the rest from anywhere."""
    added = 2 if eqn.primitive is lax.scatter_add_p else 0
    updates = operands[added]
    selected = updates.selected
    if selected is None or selected.choice != _choice(eqn, operands):
        return result
    others = list(operands)
    others[added] = replace(updates, dependence=selected.rest)
    (rest,) = apply(others)
    assert rest.dependence is not None
    return replace(result, dependence=union([rest.dependence, selected.source]))


def _combined(operands: Sequence[Value], result: Value) -> Selected | None:
    """The selection of a sum, or of a product with values that depend on no input."""
    made = [operand.selected for operand in operands if operand.selected is not None]
    first, *others = made
    if any(selected.choice != first.choice for selected in others):
        return None
    if any(selected.rest.shape != result.shape for selected in made):
        return None
    rest = [selected.rest for selected in made]
    for operand in operands:
        if operand.selected is None and operand.dependence is not None:
            rest.append(operand.dependence.broadcast(result.shape))
    source = union([selected.source for selected in made])
    return replace(first, source=source, rest=union(rest))


_WINDOWS_READ = "select_and_gather_add"
"""The derivative of a maximum over windows, whose primitive JAX does not export."""

_LINEAR = {
    *(lax.add_p, lax.sub_p, lax.neg_p, lax.mul_p, p.add_jaxvals_p),
    *(lax.convert_element_type_p, lax.copy_p),
}
"""Primitives that combine the elements at one position."""
