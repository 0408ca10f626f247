"""From the user's function and arguments to one flat vector in, one flat vector out.

With `arguments` this is the only file that knows `argnums`, keyword and static
arguments, auxiliary output and pytrees. Samples and calls both become a `FlatCall`, and
nothing past it sees more than a vector.
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

FlatFunction = Callable[..., tuple[Inexact[Array, "..."], "Extras"]]
"""Maps the flat vector, and the arrays that it does not hold, to the flat output."""


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, eq=False)
class Structure:
    """What is static about the output of a function, known once it has been traced.

    Compared by identity, because `aux` may hold anything.
    """

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]
    aux: Any  # The auxiliary output with `None` where it holds a JAX array.


class Extras(NamedTuple):
    """What rides along with the flat output: the output as it was, and `aux`."""

    leaves: list[Array]
    aux: PyTree  # The auxiliary output with `None` where it holds no JAX array.
    structure: Structure

    def value_and_aux(self) -> tuple[PyTree, PyTree]:
        """The output and the auxiliary output as the function returned them."""
        value = jax.tree.unflatten(self.structure.treedef, self.leaves)
        return value, eqx.combine(self.aux, self.structure.aux)


class FlatCall(NamedTuple):
    """A call of the user's function as `fun(x, others)` with a flat vector `x`.

    `others` are the arrays that `x` does not hold: leaves of arguments that are not
    selected, and selected leaves of integers, whose place in `x` is filled with zeros
    that nothing depends on. For samples, `x` and `others` are `jax.ShapeDtypeStruct`s.
    """

    fun: FlatFunction
    x: Any
    others: list[Any]
    dtypes: tuple[Any, ...]  # Of the selected leaves.


def flatten(bound: Bound, inputs: Inputs, *, has_aux: bool, scalar: bool) -> FlatCall:
    """Flatten a call of the user's function, or the samples of one.

    **Arguments:**

    - `bound`: the arguments, or their avals.
    - `inputs`: which of them are differentiated.
    - `has_aux`: whether the function returns a pair `(output, aux)`.
    - `scalar`: whether its output must be a single number; shapes like `(1,)` are
        squeezed.

    **Raises:** once `fun` is traced, `TypeError` if the output is no pair in spite of
    `has_aux` or holds what is no array; `ValueError` if it is no scalar where it must be.
    """
    leaves, treedef = jax.tree.flatten(bound.arguments)
    selected = inputs.selected
    dtypes = tuple(jnp.result_type(leaves[k]) for k in selected)
    in_x = [k for k, dtype in zip(selected, dtypes, strict=True) if is_inexact(dtype)]
    avals = jax.tree.leaves(inputs.avals)
    arrays = [k for k, aval in enumerate(avals) if is_aval(aval)]
    in_others = sorted(set(arrays) - set(in_x))
    pack, unpack = _packing([leaves[k] for k in selected])

    def fun(
        x: Inexact[Array, " n"], others: list[Any]
    ) -> tuple[Inexact[Array, "..."], Extras]:
        merged = list(leaves)
        replaced = [*selected, *in_others]
        for k, leaf in zip(replaced, [*unpack(x), *others], strict=True):
            merged[k] = leaf
        result = bound.call(jax.tree.unflatten(treedef, merged))
        return _flatten_output(result, has_aux=has_aux, scalar=scalar)

    values = [leaves[k] for k in selected]
    sampled = any(map(is_aval, leaves))
    x = jax.eval_shape(pack, values) if sampled else pack(values)
    return FlatCall(fun, x, [leaves[k] for k in in_others], dtypes)


def _packing(
    leaves: Sequence[Any],
) -> tuple[Callable[[Sequence[Any]], Array], Callable[[Array], list[Array | None]]]:
    """How to write leaves of these shapes and dtypes as one vector, and back.

    Leaves of integers are written as zeros and read back as `None`.
    """
    shapes = [jnp.shape(leaf) for leaf in leaves]
    dtypes = [jnp.result_type(leaf) for leaf in leaves]
    common = common_dtype(dtypes)

    def pack(leaves: Sequence[Any]) -> Array:
        return _concatenate(
            [
                jnp.asarray(leaf).astype(common) if is_inexact(dtype) else jnp.zeros(shape)
                for leaf, dtype, shape in zip(leaves, dtypes, shapes, strict=True)
            ],
            common,
        )

    def unpack(x: Array) -> list[Array | None]:
        sizes = tuple(map(math.prod, shapes))
        pieces = [x] if len(sizes) == 1 else jax.lax.split(x, sizes)
        return [
            cast(piece, dtype).reshape(shape) if is_inexact(dtype) else None
            for piece, dtype, shape in zip(pieces, dtypes, shapes, strict=True)
        ]

    return pack, unpack


def _flatten_output(
    result: PyTree, *, has_aux: bool, scalar: bool
) -> tuple[Inexact[Array, "..."], Extras]:
    if has_aux and not (isinstance(result, tuple) and len(result) == 2):
        raise TypeError(
            "With has_aux=True the function must return a pair (output, aux). Got "
            f"{type(result).__name__}."
        )
    value, aux = result if has_aux else (result, None)
    leaves, treedef = jax.tree.flatten(value)
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    if scalar:
        leaves = [_as_scalar(treedef, leaves)]
    structure = Structure(
        treedef,
        tuple(leaf.shape for leaf in leaves),
        tuple(leaf.dtype for leaf in leaves),
        eqx.filter(aux, eqx.is_array, inverse=True),
    )
    y = leaves[0] if scalar else _concatenate(leaves, common_dtype(structure.dtypes))
    return y, Extras(leaves, eqx.filter(aux, eqx.is_array), structure)


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
    return leaf.reshape(())


def common_dtype(dtypes: Sequence[Any]) -> Any:
    """The dtype of a vector that holds arrays of these dtypes without loss."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*[*filter(is_inexact, dtypes)] or [float])


def _concatenate(leaves: Sequence[Array], dtype: Any) -> Array:
    pieces = [leaf.astype(dtype).reshape(-1) for leaf in leaves]
    if len(pieces) == 1:
        return pieces[0]
    return jnp.concatenate(pieces) if pieces else jnp.zeros(0, dtype)


def cast(x: Array, dtype: Any) -> Array:
    """`x` as `dtype`, without its imaginary part if `dtype` has none."""
    if jnp.iscomplexobj(x) and not jnp.issubdtype(dtype, jnp.complexfloating):
        x = x.real
    return x.astype(dtype)
