"""`Inputs`: the arguments of a function, and which of them are differentiated."""

import dataclasses
import operator
from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypeAlias

import jax
import numpy as np

from .._base.types import PyTree

Argnums: TypeAlias = int | Sequence[int]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The arguments that a pattern was detected for, without values of arrays.

    - `leaves`, `treedef`: of the tuple of all arguments; arrays as `jax.ShapeDtypeStruct`s,
        anything else, which is static, as it is.
    - `argnums`: positions of the differentiated arguments, an int or a tuple.
    - `is_assumed`: whether nothing is known of the function, so that the arguments are
        one vector of any dtype.
    """

    leaves: tuple[Any, ...]
    treedef: Any
    argnums: int | tuple[int, ...]
    is_assumed: bool = False

    @classmethod
    def of(cls, avals: Sequence[PyTree], argnums: Argnums) -> "Inputs":
        """Arguments of these types, of which `argnums` are differentiated.

        **Raises:** `TypeError` if `argnums` are not integers; `ValueError` if they are
        out of range or repeated.
        """
        leaves, treedef = jax.tree.flatten(tuple(avals))
        leaves = tuple(map(without_values, leaves))
        return cls(leaves, treedef, _check_argnums(argnums, len(avals)))

    @classmethod
    def assumed(cls, size: int, argnums: Argnums) -> "Inputs":
        """One vector, for a pattern of which nothing else is known."""
        vector = jax.ShapeDtypeStruct((size,), np.dtype(np.float32))
        return dataclasses.replace(cls.of((vector,), argnums), is_assumed=True)

    @property
    def count(self) -> int:
        """Number of arguments."""
        return len(self.treedef.children())

    @property
    def avals(self) -> tuple[PyTree, ...]:
        """The arguments."""
        return jax.tree.unflatten(self.treedef, self.leaves)

    @property
    def trees(self) -> tuple[PyTree, ...]:
        """The differentiated arguments, in the order of `argnums`."""
        avals = self.avals
        return tuple(avals[argnum] for argnum in self._argnums)

    @cached_property
    def selected(self) -> tuple[int, ...]:
        """Positions of the differentiated arrays among the leaves, in order of columns."""
        counts = [argument.num_leaves for argument in self.treedef.children()]
        bounds = np.cumsum([0, *counts]).tolist()
        return tuple(
            k
            for argnum in self._argnums
            for k in range(bounds[argnum], bounds[argnum + 1])
            if is_aval(self.leaves[k])
        )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the differentiated arrays, whose elements are the columns."""
        return tuple(self.leaves[k].shape for k in self.selected)

    @property
    def example(self) -> PyTree:
        """The differentiated arrays, nested as JAX nests a derivative: static leaves of the
        selected arguments are `None`."""
        nested = jax.tree.map(lambda leaf: leaf if is_aval(leaf) else None, self.trees)
        return nested[0] if isinstance(self.argnums, int) else nested

    @cached_property
    def example_treedef(self) -> Any:
        """The structure of `example`."""
        return jax.tree.structure(self.example)

    @property
    def _argnums(self) -> tuple[int, ...]:
        return (self.argnums,) if isinstance(self.argnums, int) else self.argnums


def is_aval(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def is_array(leaf: Any) -> bool:
    """Whether a leaf may change from call to call; any other leaf is static."""
    if isinstance(leaf, type):  # Types of NumPy have the attributes of their values.
        return False
    return isinstance(leaf, (float, complex)) or (
        hasattr(leaf, "shape") and hasattr(leaf, "dtype")
    )


def without_values(leaf: Any) -> Any:
    """The shape and dtype of an array; a static leaf is returned as it is."""
    return as_aval(leaf) if is_array(leaf) else leaf


def as_aval(leaf: Any) -> jax.ShapeDtypeStruct:
    """The shape and dtype of an array or a number."""
    aval = leaf if is_aval(leaf) else jax.typeof(leaf)
    # Weak types matter to the dtypes inside of a function, so they are kept. Shardings are
    # not.
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


def _check_argnums(argnums: Argnums, count: int) -> int | tuple[int, ...]:
    """`argnums` as nonnegative integers; an int stays one, a sequence becomes a tuple."""
    indices = argnums if isinstance(argnums, Sequence) else (argnums,)
    for argnum in indices:
        if isinstance(argnum, bool) or not hasattr(argnum, "__index__"):
            raise TypeError(
                f"argnums must be an int or a sequence of ints. Got {argnums!r}."
            )
        if not -count <= operator.index(argnum) < count:
            raise ValueError(
                f"argnums={argnums} is out of range: the function is called with {count} "
                f"argument(s), numbered 0 to {count - 1} in the order of its signature."
            )
    resolved = tuple(operator.index(argnum) % count for argnum in indices)
    if not isinstance(argnums, Sequence):
        return resolved[0]
    if len(set(resolved)) < len(resolved):
        raise ValueError(f"argnums={argnums} names an argument more than once.")
    return resolved
