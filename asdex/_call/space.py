"""The vectors that an operator maps: pytrees, and flat arrays that hold their numbers."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.dtypes import float0
from jaxtyping import Array, Num

from .._base.types import PyTree
from .._structure.pattern import SparsityPattern
from .arguments import Inputs
from .flat import cast, common_dtype


@dataclasses.dataclass(frozen=True)
class Space:
    """Structure, shapes and dtypes of the pytrees that an operator takes or returns.

    Nothing can be differentiated by a leaf of integers: it is ignored in an input vector,
    and zeros of dtype `float0` in an output vector, as in JAX.
    """

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]

    @classmethod
    def of(cls, tree: PyTree) -> "Space":
        """The space of pytrees like this one, of arrays or `jax.ShapeDtypeStruct`s."""
        if isinstance(tree, Space):
            return tree
        leaves, treedef = jax.tree.flatten(tree)
        return cls(
            treedef,
            tuple(tuple(leaf.shape) for leaf in leaves),
            tuple(np.dtype(leaf.dtype) for leaf in leaves),
        )

    @classmethod
    def into(cls, pattern: SparsityPattern, dtype: Any) -> "Space":
        """The space of the inputs that a pattern was detected for, if they are known."""
        if not pattern.knows_dtypes:
            return cls.flat(pattern.n, dtype)
        return cls.of(Inputs.of(pattern).example)

    @classmethod
    def out_of(cls, pattern: SparsityPattern, dtype: Any) -> "Space":
        """The space of its outputs: of an array, or of a tuple if there were more."""
        outputs = [jax.ShapeDtypeStruct(shape, dtype) for shape in pattern.output_shapes]
        return cls.of(outputs[0] if len(outputs) == 1 else tuple(outputs))

    @classmethod
    def flat(cls, size: int, dtype: Any) -> "Space":
        """The space of vectors of `size` numbers."""
        return cls.of(jax.ShapeDtypeStruct((size,), dtype))

    @property
    def size(self) -> int:
        """Number of elements of all leaves."""
        return sum(map(math.prod, self.shapes))

    @property
    def tree(self) -> PyTree:
        """A pytree of `jax.ShapeDtypeStruct`."""
        leaves = map(jax.ShapeDtypeStruct, self.shapes, self.dtypes)
        return jax.tree.unflatten(self.treedef, list(leaves))

    @property
    def is_flat(self) -> bool:
        """Whether its vectors are single one-dimensional arrays."""
        is_leaf = jax.tree_util.treedef_is_leaf(self.treedef)
        return is_leaf and [len(shape) for shape in self.shapes] == [1]

    def matches(self, other: "Space") -> bool:
        """Whether structures and shapes are equal; dtypes may differ."""
        return self.treedef == other.treedef and self.shapes == other.shapes

    def ravel(
        self, name: str, tree: PyTree, batch: Sequence[int], dtype: Any
    ) -> Num[Array, "... size"]:
        """The numbers of a pytree as a flat vector; `name` is that of the argument.

        Its leaves have the shapes of the space, all of them behind the axes of `batch` or
        none; otherwise a `ValueError` is raised. The vector has `dtype`, that of an
        operator, unless a leaf needs a wider one.
        """
        leaves, treedef = jax.tree.flatten(tree)
        if treedef != self.treedef:
            raise ValueError(
                f"{name} must be a pytree of structure {self.treedef}, as the function "
                f"has it. Got {treedef}."
            )
        shapes = tuple(map(np.shape, leaves))
        batch = tuple(batch) if shapes != self.shapes else ()
        if shapes != tuple((*batch, *shape) for shape in self.shapes):
            behind = f", perhaps behind the batch axes {batch}" if batch else ""
            raise ValueError(
                f"{name} must have leaves of shapes {self.shapes}{behind}. Got {shapes}. "
                "For many vectors at once use jax.vmap."
            )
        arrays = [
            jnp.asarray(leaf)
            if jnp.issubdtype(kind, jnp.inexact)
            else np.zeros(shape, bool)
            for leaf, kind, shape in zip(leaves, self.dtypes, shapes, strict=True)
        ]
        with jax.numpy_dtype_promotion("standard"):
            dtype = jnp.result_type(dtype, *arrays)
        pieces = [
            jnp.asarray(array, dtype).reshape(*batch, math.prod(shape))
            for array, shape in zip(arrays, self.shapes, strict=True)
        ]
        if len(pieces) == 1:
            return pieces[0]
        return jnp.concatenate(pieces, -1) if pieces else jnp.zeros((*batch, 0), dtype)

    def unravel(self, vector: Num[Array, "*batch size"]) -> PyTree:
        """The pytree whose numbers a flat vector holds.

        Its leaves have the dtypes of the space if they can hold the numbers of `vector`.
        """
        batch = vector.shape[:-1]
        bounds = np.cumsum([0, *map(math.prod, self.shapes)])
        as_before = vector.dtype == self._dtype
        leaves: list[Any] = []
        for k, (shape, dtype) in enumerate(zip(self.shapes, self.dtypes, strict=True)):
            if not jnp.issubdtype(dtype, jnp.inexact):
                leaves.append(np.zeros((*batch, *shape), float0))
                continue
            piece = vector[..., bounds[k] : bounds[k + 1]].reshape(*batch, *shape)
            leaves.append(cast(piece, dtype) if as_before else piece)
        return jax.tree.unflatten(self.treedef, leaves)

    @property
    def _dtype(self) -> Any:
        return common_dtype(self.dtypes)
