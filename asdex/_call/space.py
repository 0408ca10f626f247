"""The vectors that a function or an operator maps: pytrees, and flat arrays that hold their
numbers."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.dtypes import float0
from jaxtyping import Array, Inexact, Num

from .._base.sharding import gathered
from .._base.types import PyTree
from .._structure.pattern import SparsityPattern

_SHOWN = 200
"""Characters of a structure in a message."""


@dataclasses.dataclass(frozen=True)
class Space:
    """Structure, shapes and dtypes of the pytrees that a function or an operator takes or
    returns.

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
        if pattern.inputs.is_assumed:
            return cls.flat(pattern.n, dtype)
        return cls.of(pattern.inputs.example)

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
    def dtype(self) -> Any:
        """The dtype of a vector that holds the numbers of all leaves without loss."""
        if len(self.dtypes) == 1 and is_inexact(self.dtypes[0]):
            return self.dtypes[0]
        with jax.numpy_dtype_promotion("standard"):
            return jnp.result_type(*[*filter(is_inexact, self.dtypes)] or [float])

    @property
    def vector(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of the vector that `pack` returns."""
        return jax.ShapeDtypeStruct((self.size,), self.dtype)

    @property
    def active(self) -> list[jax.ShapeDtypeStruct]:
        """The leaves that `unpack` returns: all but those of integers."""
        pairs = zip(self.shapes, self.dtypes, strict=True)
        return [jax.ShapeDtypeStruct(*pair) for pair in pairs if is_inexact(pair[1])]

    @property
    def has_integers(self) -> bool:
        """Whether some leaf does not hold floating point numbers."""
        return not all(map(is_inexact, self.dtypes))

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

    def pack(self, leaves: Sequence[Any]) -> Inexact[Array, " size"]:
        """Write leaves as one vector, integers as zeros."""
        dtype = self.dtype
        pieces = [
            cast(x, dtype).reshape(-1) if is_inexact(x.dtype) else jnp.zeros(x.size, dtype)
            for x in map(gathered, map(jnp.asarray, leaves))
        ]
        return _concatenate(pieces, (), dtype)

    def unpack(self, x: Inexact[Array, " size"]) -> list[Array]:
        """The leaves of which `x` was packed, all but those of integers."""
        pairs = zip(self._split(x), self.dtypes, strict=True)
        return [cast(piece, dtype) for piece, dtype in pairs if is_inexact(dtype)]

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
            expected, found = apart_in_words(self.treedef, treedef)
            raise ValueError(
                f"{name} must be a pytree like {expected}, as the function has it. Got "
                f"{found}. With flat vectors use A.flat."
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
            jnp.asarray(leaf) if is_inexact(kind) else np.zeros(shape, bool)
            for leaf, kind, shape in zip(leaves, self.dtypes, shapes, strict=True)
        ]
        with jax.numpy_dtype_promotion("standard"):
            dtype = jnp.result_type(dtype, *arrays)
        pieces = [
            jnp.asarray(array, dtype).reshape(*batch, math.prod(shape))
            for array, shape in zip(arrays, self.shapes, strict=True)
        ]
        return _concatenate(pieces, batch, dtype)

    def unravel(self, vector: Num[Array, "*batch size"]) -> PyTree:
        """The pytree whose numbers a flat vector holds.

        Its leaves have the dtypes of the space if they can hold the numbers of `vector`.
        """
        as_before = vector.dtype == self.dtype
        leaves: list[Any] = []
        for piece, dtype in zip(self._split(vector), self.dtypes, strict=True):
            if not is_inexact(dtype):
                leaves.append(np.zeros(piece.shape, float0))
            else:
                leaves.append(cast(piece, dtype) if as_before else piece)
        return jax.tree.unflatten(self.treedef, leaves)

    def _split(self, vector: Num[Array, "*batch size"]) -> list[Num[Array, "..."]]:
        """The numbers of each leaf, in its shape."""
        *batch, _ = vector.shape
        sizes = list(map(math.prod, self.shapes))
        pieces = [vector] if len(sizes) == 1 else jax.lax.split(vector, sizes, len(batch))
        return [
            piece.reshape((*batch, *shape))
            for piece, shape in zip(pieces, self.shapes, strict=True)
        ]


def in_words(treedef: Any) -> str:
    """The structure of a pytree, for messages: `{'a': array}`."""
    text = str(treedef).removeprefix("PyTreeDef(").removesuffix(")")
    return "an array" if text == "*" else text.replace("*", "array")


def apart_in_words(first: Any, second: Any) -> tuple[str, str]:
    """Two structures in words; of long ones the part where they begin to differ."""
    texts = in_words(first), in_words(second)
    pairs = enumerate(zip(*texts, strict=False))
    common = next((k for k, (a, b) in pairs if a != b), 0)
    start = max(0, common - _SHOWN // 2) if max(map(len, texts)) > _SHOWN else 0

    def part(text: str) -> str:
        shown = text[start:][:_SHOWN]
        before, after = "... " * (start > 0), " ..." * (start + _SHOWN < len(text))
        return f"{before}{shown}{after}"

    return part(texts[0]), part(texts[1])


def is_inexact(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.inexact)


def cast(x: Any, dtype: Any) -> Any:
    """The array `x`, of JAX or NumPy, as `dtype`, without its imaginary part if `dtype` has
    none."""
    if x.dtype == dtype and not getattr(x, "weak_type", False):
        return x
    if jnp.iscomplexobj(x) and not jnp.issubdtype(dtype, jnp.complexfloating):
        x = x.real
    return x.astype(dtype)


def _concatenate(
    pieces: Sequence[Num[Array, "*batch _"]], batch: tuple[int, ...], dtype: Any
) -> Num[Array, "*batch size"]:
    if len(pieces) == 1:
        return pieces[0]
    return jnp.concatenate(pieces, -1) if pieces else jnp.zeros((*batch, 0), dtype)
