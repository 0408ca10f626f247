"""Bounds of variables and of constraints."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._base.types import PyTree
from .._call.space import Space, in_words


class Bounds(NamedTuple):
    """The least and the greatest values that are allowed, infinite where there is no bound.

    Both are pytrees like what they bound, with arrays of the same shapes.
    """

    lower: PyTree
    upper: PyTree


def as_bounds(name: str, given: Any, space: Space) -> Bounds:
    """A pair of bounds, given as argument `name`, of the pytrees of a space.

    Either is a number for all elements, `None` if there is no bound, or a pytree, whose
    leaves may be such numbers for whole branches.

    **Raises:** `TypeError` if it is not a pair; `ValueError` if structures or shapes do not
    fit, or if a lower bound that is known is above the upper one.
    """
    if not (isinstance(given, tuple | list) and len(given) == 2):
        raise TypeError(f"{name} must be a pair (lower, upper). Got {given!r}.")
    lower, upper = (
        _fill(name, bound, infinite, space)
        for bound, infinite in zip(given, (-np.inf, np.inf), strict=True)
    )
    for low, high in zip(jax.tree.leaves(lower), jax.tree.leaves(upper), strict=True):
        known = not (isinstance(low, Tracer) or isinstance(high, Tracer))
        if known and not (wrong := np.asarray(low <= high)).all():
            at = tuple(map(int, np.argwhere(~wrong)[0]))
            raise ValueError(
                f"{name}: the lower bound {low[at]} at {at} is not below the upper one, "
                f"{high[at]}."
            )
    return Bounds(lower, upper)


def _fill(name: str, bound: Any, infinite: float, space: Space) -> PyTree:
    def fill(value: Any, branch: Any) -> Any:
        value = infinite if value is None else value
        return jax.tree.map(
            lambda leaf: jnp.broadcast_to(jnp.asarray(value, leaf.dtype), leaf.shape),
            branch,
        )

    try:
        return jax.tree.map(fill, bound, space.tree, is_leaf=lambda value: value is None)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be numbers, None, or pytrees like {in_words(space.treedef)} with "
            f"leaves of shapes {space.shapes}. Got {bound!r}: {error}"
        ) from error
