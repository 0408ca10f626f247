"""From the user's function and arguments to one flat vector in, one flat vector out.

With `arguments` this is the only file that deals with `argnums`, keyword and static
arguments, auxiliary output and pytrees. Samples and calls both become a `FlatCall`, whose
input and output are vectors.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact

from .._base.types import PyTree
from .arguments import Bound, Inputs, is_aval, is_inexact


@dataclasses.dataclass(frozen=True, eq=False)
class Structure:
    """What is static about the output of a function."""

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]
    aux_treedef: Any  # Of the JAX arrays in the auxiliary output.
    aux: PyTree  # The auxiliary output with `None` in their places.


class FlatInputs(NamedTuple):
    """Shapes and dtypes of the selected leaves, which one vector `x` holds."""

    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]

    @property
    def x(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of the vector."""
        size = sum(map(math.prod, self.shapes))
        return jax.ShapeDtypeStruct((size,), common_dtype(self.dtypes))

    @property
    def active(self) -> list[jax.ShapeDtypeStruct]:
        """The leaves that `unpack` returns: all but those of integers."""
        pairs = zip(self.shapes, self.dtypes, strict=True)
        return [jax.ShapeDtypeStruct(*pair) for pair in pairs if is_inexact(pair[1])]

    def unpack(self, x: Inexact[Array, " n"]) -> list[Array]:
        """The leaves of which `x` was packed, all but those of integers."""
        sizes = tuple(map(math.prod, self.shapes))
        pieces = [x] if len(sizes) == 1 else jax.lax.split(x, sizes)
        return [
            cast(_reshape(piece, shape), dtype)
            for piece, dtype, shape in zip(pieces, self.dtypes, self.shapes, strict=True)
            if is_inexact(dtype)
        ]


class FlatCall(NamedTuple):
    """A call of the user's function as `fun(active, others)` with lists of arrays.

    It returns the leaves of the output, followed by the arrays of the auxiliary output, and
    their structure. `active` are the selected leaves that can be differentiated; `pack`
    writes all the selected leaves, `values`, as one vector. `others` are leaves of
    arguments that are not selected, and selected leaves of integers, whose part of the
    vector is filled with zeros that nothing depends on. For samples, all of them are
    `jax.ShapeDtypeStruct`s.
    """

    fun: Callable[[list[Any], list[Any]], tuple[list[Array], Structure]]
    values: list[Any]
    others: list[Any]
    inputs: FlatInputs
    scalar: bool

    @property
    def x(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of the flat vector."""
        return self.inputs.x

    @property
    def dtypes(self) -> tuple[Any, ...]:
        """Dtypes of the selected leaves."""
        return self.inputs.dtypes


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

    def fun(active: list[Any], others: list[Any]) -> tuple[list[Array], Structure]:
        merged = list(leaves)
        for k, leaf in zip((*in_x, *in_others), (*active, *others), strict=True):
            merged[k] = leaf
        result = bound.call(jax.tree.unflatten(treedef, merged))
        return _flatten_output(result, has_aux=has_aux, scalar=scalar)

    values = [leaves[k] for k in selected]
    others = [leaves[k] for k in in_others]
    return FlatCall(fun, values, others, FlatInputs(shapes, dtypes), scalar)


def pack(leaves: Sequence[Any]) -> Inexact[Array, " n"]:
    """Write the selected leaves of arguments as one vector, integers as zeros."""
    dtypes = list(map(_dtype, leaves))
    common = common_dtype(dtypes)
    return concatenate(
        [
            jnp.asarray(leaf) if is_inexact(dtype) else jnp.zeros(jnp.shape(leaf), common)
            for leaf, dtype in zip(leaves, dtypes, strict=True)
        ],
        common,
    )


def _flatten_output(
    result: PyTree, *, has_aux: bool, scalar: bool
) -> tuple[list[Array], Structure]:
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
    structure = Structure(treedef, shapes, dtypes, aux_treedef, static)
    return [*leaves, *aux_leaves], structure


def _as_scalar(treedef: Any, leaves: Sequence[Array]) -> Array:
    if not jax.tree_util.treedef_is_leaf(treedef):
        raise ValueError(
            "A Hessian needs a function that returns a scalar. This one returns a PyTree "
            f"of structure {treedef}; with has_aux=True a pair counts as (output, aux)."
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
    return _reshape(leaf, ())


def common_dtype(dtypes: Sequence[Any]) -> Any:
    """The dtype of a vector that holds arrays of these dtypes without loss."""
    if len(dtypes) == 1 and is_inexact(dtypes[0]):
        return dtypes[0]
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*[*filter(is_inexact, dtypes)] or [float])


def concatenate(leaves: Sequence[Array], dtype: Any) -> Inexact[Array, " size"]:
    """The elements of all leaves as one vector of this dtype."""
    pieces = [_reshape(cast(leaf, dtype), (leaf.size,)) for leaf in leaves]
    if len(pieces) == 1:
        return pieces[0]
    return jnp.concatenate(pieces) if pieces else jnp.zeros(0, dtype)


def cast(x: Any, dtype: Any) -> Any:
    """The array `x`, of JAX or NumPy, as `dtype`, without its imaginary part if `dtype` has
    none."""
    if x.dtype == dtype and not getattr(x, "weak_type", False):
        return x
    if jnp.iscomplexobj(x) and not jnp.issubdtype(dtype, jnp.complexfloating):
        x = x.real
    return x.astype(dtype)


def _reshape(x: Array, shape: tuple[int, ...]) -> Array:
    return x if x.shape == shape else x.reshape(shape)


def _dtype(leaf: Any) -> Any:
    return leaf.dtype if isinstance(leaf, jax.Array) else jnp.result_type(leaf)
