"""Matrix products and convolutions: precise over batch axes and known zeros."""

import itertools
from collections.abc import Sequence
from math import prod

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jaxtyping import Int

from ..dependence import Dependence, Shape, combine, nothing, union
from ..folding import Bounds
from ..interpret import conservative
from ..positions import Window, seen_positions
from ..registry import register
from ..value import Scope, Value, output_shape


@register(lax.dot_general_p)
def dot_general(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Each output depends on the elements it is contracted from, less those that meet
    a known zero."""
    shape = output_shape(eqn)
    parts = [
        _contract(eqn, operands[side], operands[1 - side], side, scope)
        for side in (0, 1)
        if operands[side].dependence
    ]
    return union(parts) if parts else nothing(shape, scope.n)


def _contract(
    eqn: JaxprEqn, operand: Value, other: Value, side: int, scope: Scope
) -> Dependence:
    """Dependence of a product through its left (`side` 0) or right (1) operand.

    With axes brought into the order (batch, free, contracted), output `(g, i, j)`
    depends on element `(g, i, k)` of the operand wherever element `(g, j, k)` of the other
    operand is not a known zero.
    """
    assert operand.dependence is not None
    contracting, batch = eqn.params["dimension_numbers"]
    own = _in_order(operand.shape, batch[side], contracting[side])
    dependence = operand.dependence.take(own)
    groups, free, contracted = own.shape
    other_index = _in_order(other.shape, batch[1 - side], contracting[1 - side])
    out = (groups, free, other_index.shape[1])

    coefficient = scope.partial_value(other)
    if coefficient is None or not coefficient.zero.any():
        result = dependence.merge((2,)).broadcast(out)
    else:
        nonzero = ~coefficient.zero.reshape(-1)[other_index]
        group, j, k = (index[:, None] for index in np.nonzero(nonzero))
        row = group * free + np.arange(free)
        targets, sources = row * out[2] + j, row * contracted + k
        result = dependence.spread(targets.reshape(-1), sources.reshape(-1), out)
    if side == 1:
        result = combine(
            [result], lambda rows: rows.swapaxes(1, 2), (out[0], out[2], out[1])
        )
    return result.reshape(output_shape(eqn))


def _in_order(
    shape: Shape, batch: Sequence[int], contracting: Sequence[int]
) -> Int[np.ndarray, "batch free contracted"]:
    """Flat positions of the elements, axes sorted and joined into three."""
    free = [axis for axis in range(len(shape)) if axis not in {*batch, *contracting}]
    parts = (batch, free, contracting)
    index = np.arange(prod(shape)).reshape(shape).transpose(*itertools.chain(*parts))
    return index.reshape([prod(shape[axis] for axis in part) for part in parts])


@register(lax.conv_general_dilated_p)
def convolution(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Each output depends on the elements under the window, in its group of features,
    less the window's elements that are known to be zero."""
    shape = output_shape(eqn)
    image, kernel = operands
    parts = []
    if image.dependence:
        parts.append(_through_image(eqn, image, kernel.shape, scope.partial_value(kernel)))
    if kernel.dependence:
        parts.append(_through_kernel(eqn, image, kernel))
    assert all(part.shape == shape for part in parts)
    return union(parts)


def _through_image(
    eqn: JaxprEqn, image: Value, kernel: Shape, weights: Bounds | None
) -> Dependence:
    """With axes in the order (batch, features, space): output `(b, o, s)` depends on the
    features of its group, at the position that each element of the window covers."""
    assert image.dependence is not None
    numbers = eqn.params["dimension_numbers"]
    groups = eqn.params["feature_group_count"]
    batch_groups = eqn.params["batch_group_count"]
    source = _transposed(image.dependence, numbers.lhs_spec)
    batch, features = source.shape[:2]
    space = source.shape[2:]
    joined = source.reshape((batch, groups, features // groups, *space)).merge((2,))
    joined = joined.reshape((batch, groups, *space))

    out_shape = tuple(output_shape(eqn)[axis] for axis in numbers.out_spec)
    out_batch, out_features = out_shape[:2]
    out_space = out_shape[2:]
    # Output features are split into groups, of features or of the batch.
    feature = np.arange(out_features)
    group = feature // (out_features // groups)
    batch_group = feature // (out_features // batch_groups)
    member = batch_group[None, :] * out_batch + np.arange(out_batch)[:, None]
    row = member * groups + group[None, :]

    used = np.ones([kernel[axis] for axis in numbers.rhs_spec], bool)
    if weights is not None:
        used = ~weights.zero.transpose(numbers.rhs_spec)
    used = np.any(used, axis=1)
    places = list(itertools.product(*(range(kernel[a]) for a in numbers.rhs_spec[2:])))
    views = []
    for place, covered in zip(
        places, seen_positions(_window(eqn), places, space, out_space), strict=True
    ):
        position = row[:, :, None] * prod(space) + covered.reshape(-1)
        seen = (covered.reshape(-1) >= 0) & used[(slice(None), *place)][:, None]
        views.append(np.where(seen, position, -1).reshape(out_shape))
    return _transposed(joined.gather_union(views, out_shape), _inverse(numbers.out_spec))


def _window(eqn: JaxprEqn) -> Window:
    params = eqn.params
    return Window(
        strides=params["window_strides"],
        padding=params["padding"],
        base_dilation=params["lhs_dilation"],
        window_dilation=params["rhs_dilation"],
    )


def _through_kernel(eqn: JaxprEqn, image: Value, kernel: Value) -> Dependence:
    """Each output feature depends on the kernel of that feature, on all input features
    of the elements of the window that do not lie on padding."""
    assert kernel.dependence is not None
    numbers = eqn.params["dimension_numbers"]
    source = _transposed(kernel.dependence, numbers.rhs_spec).merge((1,))
    features, _, *size = source.shape
    out_shape = tuple(output_shape(eqn)[axis] for axis in numbers.out_spec)
    space = tuple(image.shape[axis] for axis in numbers.lhs_spec[2:])
    feature = np.arange(features).reshape(-1, *(1,) * len(size))
    places = list(itertools.product(*map(range, size)))
    views = []
    for number, covered in enumerate(
        seen_positions(_window(eqn), places, space, out_shape[2:])
    ):
        position = np.where(covered < 0, -1, feature * prod(size) + number)
        views.append(np.broadcast_to(position, out_shape))
    return _transposed(source.gather_union(views, out_shape), _inverse(numbers.out_spec))


def _inverse(axes: Sequence[int]) -> list[int]:
    return [axes.index(axis) for axis in range(len(axes))]


def _transposed(dependence: Dependence, axes: Sequence[int]) -> Dependence:
    shape = tuple(dependence.shape[axis] for axis in axes)
    return combine([dependence], lambda rows: rows.transpose(axes), shape)


@register("ragged_dot_general", linear=(0, 1))
def ragged_dot(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """A product whose right operand is chosen, row by row of the left one, from a group.

    Which one is not known. Other kinds of ragged products, in which batch or contracted
    axes are ragged, couple everything.
    """
    numbers = eqn.params["ragged_dot_dimension_numbers"]
    contracting, batch = numbers.dot_dimension_numbers
    (ragged,) = numbers.lhs_ragged_dimensions
    if ragged in {*contracting[0], *batch[0]}:
        return conservative(eqn, operands, scope, "ragged axes that are contracted")[0]
    contracted = [list(contracting[0]), [*contracting[1], *numbers.rhs_group_dimensions]]
    shapes = [
        _in_order(operands[side].shape, batch[side], contracted[side]).shape
        for side in (0, 1)
    ]
    out = (shapes[0][0], shapes[0][1], shapes[1][1])
    parts = []
    for side in (0, 1):
        dependence = operands[side].dependence
        if dependence is None:
            continue
        own = _in_order(operands[side].shape, batch[side], contracted[side])
        merged = dependence.take(own).merge((2,))
        merged = merged if side == 0 else _transposed(merged, (0, 2, 1))
        parts.append(merged.broadcast(out).reshape(output_shape(eqn)))
    return union(parts)
