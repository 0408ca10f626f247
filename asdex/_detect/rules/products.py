"""Matrix products and convolutions: precise over batch axes and known zeros."""

import itertools
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jaxtyping import Bool

from .. import coefficients as co
from ..dependence import (
    MAX_TERMS,
    NOTHING,
    Dependence,
    Shape,
    Term,
    combine,
    nothing,
    union,
)
from ..folding.bounds import dtype_of
from ..interpret import conservative
from ..positions import Window, seen_positions
from ..registry import register
from ..value import Scope, Value, output_shape


@register(lax.dot_general_p, coefficients=True)
def dot_general(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Each output depends on the elements it is contracted from, less those that meet
    a known zero."""
    sides = [side for side in (0, 1) if operands[side].dependence]
    if len(sides) > 1:
        scope.lacks_coefficients(eqn)
    return union([_contract(eqn, operands, side, scope) for side in sides])


class _Order(NamedTuple):
    """How to bring the axes of an operand into the order (batch, free, contracted)."""

    axes: tuple[int, ...]
    shape: Shape

    @classmethod
    def of(cls, shape: Shape, batch: Sequence[int], contracting: Sequence[int]) -> "_Order":
        free = [axis for axis in range(len(shape)) if axis not in {*batch, *contracting}]
        parts = (batch, free, contracting)
        joined = [prod(shape[axis] for axis in part) for part in parts]
        return cls(tuple(itertools.chain(*parts)), tuple(joined))

    def __call__(self, x: Any) -> Any:
        return x.transpose(self.axes).reshape(self.shape)


def _contract(
    eqn: JaxprEqn, operands: Sequence[Value], side: int, scope: Scope
) -> Dependence:
    """A product through its left (`side` 0) or right (1) operand.

    With axes brought into the order (batch, free, contracted), output `(g, i, j)` is
    the sum over `k` of element `(g, i, k)` of the operand times element `(g, j, k)` of the
    other one, unless that is a known zero.
    """
    operand, other = operands[side], operands[1 - side]
    contracting, batch = eqn.params["dimension_numbers"]
    order = _Order.of(operand.shape, batch[side], contracting[side])
    order_of_other = _Order.of(other.shape, batch[1 - side], contracting[1 - side])
    assert operand.dependence is not None
    source = combine([operand.dependence], order, order.shape)
    partial, factor = scope.coefficient(other), scope.factor(other)
    nonzero = None
    if partial is not None and partial.zero.any():
        nonzero = order_of_other(~np.broadcast_to(partial.zero, other.shape))
    if factor is not None:
        dtype = dtype_of(eqn.outvars[0])  # Perhaps wider than those of the operands.
        source = source.map(lambda x: x.astype(dtype))
        factor = order_of_other(factor).astype(dtype)
    product = _Contraction(eqn, nonzero, factor, order_of_other.shape[1])
    alike, rest = source.split_uniform((2,))
    result = union([product.of_alike(alike), product.of_different(rest)])
    if side == 1:
        groups, i, j = result.shape
        result = combine([result], lambda x: x.swapaxes(1, 2), (groups, j, i))
    return result.reshape(output_shape(eqn))


class _Contraction(NamedTuple):
    """The product of an operand of axes `(g, i, k)` with one of axes `(g, j, k)`."""

    eqn: JaxprEqn
    nonzero: Bool[np.ndarray, "g j k"] | None
    """Where the other operand is not a known zero; `None` if it may be nonzero anywhere."""
    factor: co.Coefficients
    """The other operand, if coefficients are followed."""
    columns: int

    def of_alike(self, source: Dependence) -> Dependence:
        """The product with elements that depend on one input along the contracted axis:
        their coefficients are contracted."""
        shape = (*source.shape[:2], self.columns)
        terms = []
        for term in source.terms:
            rows = np.broadcast_to(term.rows.max(axis=2, keepdims=True, initial=-1), shape)
            if self.nonzero is not None:
                meets = np.matmul(
                    (term.rows >= 0).astype(np.float32),
                    self.nonzero.swapaxes(1, 2).astype(np.float32),
                )
                rows = np.where(meets > 0, rows, NOTHING)
            values = term.coefficients
            if values is not None:
                values = co.contract(values, self.factor, self.eqn)
            terms.append(Term(rows, term.base, values))
        return Dependence(shape, source.n, tuple(terms))

    def of_different(self, source: Dependence) -> Dependence:
        """The product with other elements."""
        groups, free, contracted = source.shape
        shape = (groups, free, self.columns)
        if self.nonzero is None and self.factor is None:
            return source.merge((2,)).broadcast(shape)
        if self.nonzero is None and contracted * len(source.terms) <= MAX_TERMS:
            lanes = [
                combine(
                    [source],
                    lambda x, k=k: co.broadcast_to(x[:, :, k : k + 1], shape),
                    shape,
                ).map(lambda x, k=k: co.multiply(x, self.factor[:, None, :, k]))
                for k in range(contracted)
            ]
            return union([nothing(shape, source.n), *lanes])
        size = (groups, self.columns, contracted)
        nonzero = np.ones(size, bool) if self.nonzero is None else self.nonzero
        group, j, k = (index[:, None] for index in np.nonzero(nonzero))
        row = group * free + np.arange(free)
        targets, sources = row * self.columns + j, row * contracted + k
        weights = None
        if self.factor is not None:
            position = np.broadcast_to(np.flatnonzero(nonzero)[:, None], targets.shape)
            weights = co.take(self.factor, position.reshape(-1))
        return source.spread(targets.reshape(-1), sources.reshape(-1), shape, weights)


@register(lax.conv_general_dilated_p, coefficients=True)
def convolution(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Each output depends on the elements under the window, in its group of features,
    less the window's elements that are known to be zero."""
    shape = output_shape(eqn)
    image, kernel = operands
    parts = []
    if image.dependence:
        parts.append(_through_image(eqn, image, kernel, scope))
    if kernel.dependence:
        scope.lacks_coefficients(eqn)
        parts.append(_through_kernel(eqn, image, kernel))
    assert all(part.shape == shape for part in parts)
    return union(parts)


def _through_image(eqn: JaxprEqn, image: Value, kernel: Value, scope: Scope) -> Dependence:
    """With axes in the order (batch, features, space): output `(b, o, s)` depends on the
    features of its group, at the position that each element of the window covers. Only
    their coefficients tell the features of a group apart."""
    assert image.dependence is not None
    partial, factor = scope.coefficient(kernel), scope.factor(kernel)
    numbers = eqn.params["dimension_numbers"]
    groups = eqn.params["feature_group_count"]
    batch_groups = eqn.params["batch_group_count"]
    source = _transposed(image.dependence, numbers.lhs_spec)
    batch, features = source.shape[:2]
    space = source.shape[2:]
    of_group = features // groups
    if factor is None:
        source = source.reshape((batch, groups, of_group, *space)).merge((2,))
        source, of_group = source.reshape((batch, groups, *space)), 1

    out_shape = tuple(output_shape(eqn)[axis] for axis in numbers.out_spec)
    out_batch, out_features = out_shape[:2]
    out_space = out_shape[2:]
    # Output features are split into groups, of features or of the batch.
    feature = np.arange(out_features)
    group = feature // (out_features // groups)
    batch_group = feature // (out_features // batch_groups)
    member = batch_group[None, :] * out_batch + np.arange(out_batch)[:, None]
    row = member * groups + group[None, :]

    size = [kernel.shape[axis] for axis in numbers.rhs_spec]
    used = np.ones(size, bool)
    if partial is not None:
        used = ~np.broadcast_to(partial.zero, kernel.shape).transpose(numbers.rhs_spec)
    if factor is None:
        used = np.any(used, axis=1, keepdims=True)
    else:
        dtype = dtype_of(eqn.outvars[0])  # Perhaps wider than those of the operands.
        source = source.map(lambda x: x.astype(dtype))
        factor = factor.transpose(numbers.rhs_spec).astype(dtype)
    places = list(itertools.product(*map(range, size[2:])))
    covered = list(seen_positions(_window(eqn), places, space, out_space))
    views, weights = [], []
    for feature, (place, here) in itertools.product(
        range(of_group), zip(places, covered, strict=True)
    ):
        of_feature = (slice(None), feature, *place)
        position = (row * of_group + feature)[:, :, None] * prod(space) + here.reshape(-1)
        seen = (here.reshape(-1) >= 0) & used[of_feature][:, None]
        views.append(np.where(seen, position, -1).reshape(out_shape))
        if factor is not None:
            weights.append(factor[of_feature].reshape(-1, *(1,) * len(space)))
    result = source.gather_union(views, out_shape, weights if weights else None)
    return _transposed(result, _inverse(numbers.out_spec))


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
        _Order.of(operands[side].shape, batch[side], contracted[side]).shape
        for side in (0, 1)
    ]
    out = (shapes[0][0], shapes[0][1], shapes[1][1])
    parts = []
    for side in (0, 1):
        dependence = operands[side].dependence
        if dependence is None:
            continue
        order = _Order.of(operands[side].shape, batch[side], contracted[side])
        merged = combine([dependence], order, order.shape).merge((2,))
        merged = merged if side == 0 else _transposed(merged, (0, 2, 1))
        parts.append(merged.broadcast(out).reshape(output_shape(eqn)))
    return union(parts)
