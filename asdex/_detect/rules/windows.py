"""Windows that slide over an image: pooling and its derivatives."""

import itertools
from collections.abc import Sequence
from math import prod

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jaxtyping import Int

from ..dependence import Dependence
from ..positions import Window, seen_positions
from ..registry import register
from ..terms import Shape
from ..value import Scope, Value, output_shape


@register(lax.reduce_window_sum_p, linear=(0,), coefficients=True)
@register(
    *(lax.reduce_window_max_p, lax.reduce_window_min_p),
    *("select_and_gather_add",),
    linear=(0,),
)
def reduce_window(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Each output depends on the elements in its window. Which of them the largest one is
    (`select_and_gather_add`, the derivative of a maximum) is not known."""
    del scope
    dependence = operands[0].dependence
    assert dependence is not None
    shape = output_shape(eqn)
    return dependence.gather_union(_views(eqn, dependence.shape, shape), shape)


@register(lax.select_and_scatter_add_p, linear=(0,))
def select_and_scatter_add(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope
) -> Dependence:
    """Each window adds an element at one of its positions, not known which."""
    del scope
    source = operands[0].dependence
    assert source is not None
    shape = output_shape(eqn)
    targets = np.stack([view.reshape(-1) for view in _views(eqn, shape, source.shape)])
    sources = np.broadcast_to(np.arange(source.size), targets.shape)
    inside = targets >= 0
    return source.spread(targets[inside], sources[inside], shape)


def _views(eqn: JaxprEqn, image: Shape, out: Shape) -> list[Int[np.ndarray, "*out"]]:
    """The positions in the image that each element of the window covers."""
    params = eqn.params
    size = params["window_dimensions"]
    ones = (1,) * len(size)
    window = Window(
        strides=params["window_strides"],
        padding=params["padding"],
        base_dilation=params.get("base_dilation", ones),
        window_dilation=params.get("window_dilation", ones),
    )
    places = list(itertools.product(*map(range, size)))
    assert len(places) == prod(size)
    return list(seen_positions(window, places, image, out))
