"""Matrix products and convolutions: precise over batch axes and known zeros."""

import itertools
from collections.abc import Sequence
from math import prod

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jaxtyping import Int

from ..dependence import Dependence, Shape, combine, nothing, union
from ..known import Partly
from ..table import Scope, Value, output_shape, register


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
        parts.append(_through_kernel(eqn, kernel))
    assert all(part.shape == shape for part in parts)
    return union(parts)


def _through_image(
    eqn: JaxprEqn, image: Value, kernel: Shape, weights: Partly | None
) -> Dependence:
    """With axes in the order (batch, features, space): output `(b, o, s)` depends on the
    features of its group, at the place that each element of the window looks at."""
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
    views = []
    for place in itertools.product(*(range(kernel[axis]) for axis in numbers.rhs_spec[2:])):
        look = _look(eqn, place, space, out_space).reshape(-1)
        position = row[:, :, None] * prod(space) + look
        position = np.where(look < 0, -1, position)
        position = np.where(used[(slice(None), *place)][:, None], position, -1)
        views.append(joined.take(position.reshape(out_shape)))
    result = union(views) if views else nothing(out_shape, source.n)
    return _transposed(result, _inverse(numbers.out_spec))


def _look(
    eqn: JaxprEqn, place: Sequence[int], space: Shape, out_space: Shape
) -> Int[np.ndarray, "*out_space"]:
    """For each place of the output the flat place of the image that element `place` of
    the window looks at; -1 on padding and in the gaps of a dilated image."""
    flat = np.zeros((), np.int64)
    outside = np.zeros((), bool)
    for axis, (dim, out_dim) in enumerate(zip(space, out_space, strict=True)):
        padded = np.arange(out_dim) * eqn.params["window_strides"][axis]
        padded += place[axis] * eqn.params["rhs_dilation"][axis]
        padded -= eqn.params["padding"][axis][0]
        looked, gap = np.divmod(padded, eqn.params["lhs_dilation"][axis])
        lost = (looked < 0) | (looked >= dim) | (gap != 0)
        flat = flat[..., None] * dim + looked
        outside = outside[..., None] | lost
    return np.where(outside, -1, flat)


def _through_kernel(eqn: JaxprEqn, kernel: Value) -> Dependence:
    """Each output feature depends on the whole kernel of that feature."""
    assert kernel.dependence is not None
    numbers = eqn.params["dimension_numbers"]
    source = _transposed(kernel.dependence, numbers.rhs_spec)
    features = source.shape[0]
    per_feature = source.merge(tuple(range(1, len(source.shape))))
    out_shape = [output_shape(eqn)[axis] for axis in numbers.out_spec]
    per_feature = per_feature.reshape((1, features) + (1,) * (len(out_shape) - 2))
    return _transposed(per_feature.broadcast(tuple(out_shape)), _inverse(numbers.out_spec))


def _inverse(axes: Sequence[int]) -> list[int]:
    return [axes.index(axis) for axis in range(len(axes))]


def _transposed(dependence: Dependence, axes: Sequence[int]) -> Dependence:
    shape = tuple(dependence.shape[axis] for axis in axes)
    return combine([dependence], lambda rows: rows.transpose(axes), shape)
