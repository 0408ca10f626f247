"""From the user's function and arguments to one flat vector in, one flat vector out.

After this file nothing depends on keyword and static arguments, auxiliary output or
pytrees: samples and calls both become a `FlatCall`, whose input and output are vectors in
two spaces.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._base.sharding import varies
from .._base.types import PyTree
from .._structure.inputs import Inputs, as_aval, is_aval
from .arguments import Bound
from .space import Space, in_words, is_inexact


class Output(NamedTuple):
    """What is static about the output of a function."""

    space: Space
    aux_treedef: Any  # Of the JAX arrays in the auxiliary output.
    aux: PyTree  # The auxiliary output with `None` in their places.


def _typed(value: Any, aval: Any) -> Any:
    """The type of an array, `aval` unless it varies over a mesh axis."""
    return jax.typeof(value).update(weak_type=False) if varies(value) else aval


class FlatCall(NamedTuple):
    """A call of the user's function as `fun(active, others)` with lists of arrays.

    It returns the leaves of the output, followed by the arrays of the auxiliary output, and
    their structure. `active` are the selected leaves that can be differentiated; `domain`
    packs all the selected leaves, `values`, as one vector. `others` are leaves of
    arguments that are not selected, and selected leaves of integers, whose part of the
    vector is filled with zeros that nothing depends on. For samples, all of them are
    `jax.ShapeDtypeStruct`s.
    """

    fun: Callable[[list[Any], list[Any]], tuple[list[Array], Output]]
    values: list[Any]
    others: list[Any]
    domain: Space
    scalar: bool

    @property
    def active(self) -> list[Any]:
        """The types of the arrays that can be differentiated."""
        pairs = zip(self.values, jax.tree.leaves(self.domain.tree), strict=True)
        types = [_typed(value, aval) for value, aval in pairs]
        return [aval for aval in types if is_inexact(aval.dtype)]

    @property
    def other_types(self) -> list[Any]:
        """The types of the other arrays."""
        return [_typed(value, as_aval(value)) for value in self.others]

    @property
    def vector(self) -> jax.ShapeDtypeStruct:
        """The type of the vector that they are packed as."""
        return jax.eval_shape(self.domain.pack, self.values)


def flatten(bound: Bound, inputs: Inputs, *, has_aux: bool, scalar: bool) -> FlatCall:
    """Flatten a call of the user's function, or the samples of one.

    **Arguments:**

    - `bound`: the arguments, or their avals.
    - `inputs`: which of them are differentiated.
    - `has_aux`: whether the function returns a pair `(output, aux)`.
    - `scalar`: whether its output must be a single number; shapes like `(1,)` are
        squeezed.

    **Raises:** once `fun` is traced, `TypeError` if the output is not a pair in spite of
    `has_aux` or a leaf is not an array; `ValueError` if it must be a scalar and is not.
    """
    leaves, treedef = jax.tree.flatten(bound.arguments)
    selected = inputs.selected
    dtypes = tuple(_dtype(leaves[k]) for k in selected)
    in_x = [k for k, dtype in zip(selected, dtypes, strict=True) if is_inexact(dtype)]
    arrays = [k for k, aval in enumerate(inputs.leaves) if is_aval(aval)]
    in_others = sorted(set(arrays) - set(in_x))
    shapes = tuple(jnp.shape(leaves[k]) for k in selected)

    def fun(active: list[Any], others: list[Any]) -> tuple[list[Array], Output]:
        merged = list(leaves)
        for k, leaf in zip((*in_x, *in_others), (*active, *others), strict=True):
            merged[k] = leaf
        result = bound.call(jax.tree.unflatten(treedef, merged))
        return _flatten_output(result, has_aux=has_aux, scalar=scalar)

    values = [leaves[k] for k in selected]
    others = [leaves[k] for k in in_others]
    domain = Space(inputs.example_treedef, shapes, dtypes)
    return FlatCall(fun, values, others, domain, scalar)


def _flatten_output(
    result: PyTree, *, has_aux: bool, scalar: bool
) -> tuple[list[Array], Output]:
    if has_aux and not (isinstance(result, tuple) and len(result) == 2):
        raise TypeError(
            "With has_aux=True the function must return a pair (output, aux). Got "
            f"{type(result).__name__}."
        )
    value, aux = result if has_aux else (result, None)
    leaves, treedef = jax.tree.flatten(value)
    leaves = [x if isinstance(x, jax.Array) else jnp.asarray(x) for x in leaves]
    if scalar:
        leaves = [_as_scalar(treedef, leaves)]
    arrays, static = eqx.partition(aux, eqx.is_array) if has_aux else (None, None)
    aux_leaves, aux_treedef = jax.tree.flatten(arrays)
    shapes, dtypes = tuple(x.shape for x in leaves), tuple(x.dtype for x in leaves)
    space = Space(treedef, shapes, dtypes)
    return [*leaves, *aux_leaves], Output(space, aux_treedef, static)


def _as_scalar(treedef: Any, leaves: Sequence[Array]) -> Array:
    if not jax.tree_util.treedef_is_leaf(treedef):
        raise ValueError(
            "A Hessian needs a function that returns a scalar. This one returns a PyTree "
            f"like {in_words(treedef)}; with has_aux=True a pair counts as (output, aux)."
        )
    (leaf,) = leaves
    if leaf.size != 1:
        raise ValueError(
            "A Hessian needs a function that returns a scalar, or an array of one "
            f"element. This one returns shape {leaf.shape}."
        )
    if not is_inexact(leaf.dtype):
        raise TypeError(
            "A Hessian needs a function that returns a floating point number. This one "
            f"returns {leaf.dtype}."
        )
    return leaf if leaf.shape == () else leaf.reshape(())


def _dtype(leaf: Any) -> Any:
    return leaf.dtype if isinstance(leaf, jax.Array) else jnp.result_type(leaf)
