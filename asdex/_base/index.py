"""Index arrays as static structure: hashable, compared by content, read-only.

A sparsity pattern is part of a pytree's *structure*, like a shape. JAX keeps such
structure in treedefs and cache keys, so it must hash and compare; NumPy arrays do
neither. Modules keep them in the wrappers of this file.
"""

import zlib
from collections.abc import Sequence
from typing import Generic, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32, Integer, Shaped
from scipy.sparse import csr_array

T = TypeVar("T")

INT32 = np.iinfo(np.int32)

_FOLDED = 2**12
"""Elements of a constant that XLA may compute with while it compiles."""

EntryIndices: TypeAlias = Int32[np.ndarray, " nnz"]
"""An index for each entry of a pattern, such as its row."""


class IndexArray:
    """A read-only integer array that hashes and compares by content.

    The indices are copied to immutable memory, so that they cannot be changed afterwards,
    neither through the array that they came from nor by the flags of this one. The hash is
    computed on first use and kept; equality tries identity, then hash, then content. Two
    that are equal share one array from then on, so that comparing patterns built apart
    costs one pass over the data, once.

    Cost: one copy, none of an array that an `IndexArray` holds.
    """

    __slots__ = ("_hash", "array")

    array: Integer[np.ndarray, "..."]

    def __init__(self, array: Integer[np.ndarray, "..."]):
        if type(array.base) is not bytes or not array.flags.c_contiguous:
            # An array that owns its memory can be made writable again, one of bytes cannot.
            array = np.ndarray(array.shape, array.dtype, array.tobytes())
        self.array = array
        self._hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            checksum = zlib.crc32(self.array.reshape(-1).data)
            self._hash = hash((self.array.shape, self.array.dtype.str, checksum))
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, IndexArray):
            return False
        if self.array is other.array:
            return True
        if hash(self) != hash(other) or self.array.dtype != other.array.dtype:
            return False
        if not np.array_equal(self.array, other.array):
            return False
        other.array = self.array
        return True

    def __reduce__(self) -> tuple[type, tuple[np.ndarray]]:
        # Python salts hashes differently in each process, so the hash is not pickled.
        return IndexArray, (self.array,)

    def __repr__(self) -> str:
        return f"IndexArray({self.array.dtype}{list(self.array.shape)})"


class Derived(Generic[T]):
    """A value computed from the other fields of a module when it was built, or their
    provenance.

    It is not part of the identity of the module: any two `Derived` are equal, so they never
    cost a comparison or a hash.
    """

    __slots__ = ("value",)

    value: T

    def __init__(self, value: T):
        self.value = value

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Derived)

    def __repr__(self) -> str:
        return f"Derived({type(self.value).__name__})"


def index_dtype(size: int) -> type[np.signedinteger]:
    """The type of positions among so many elements: of 32 bits if these count them."""
    return np.int32 if size <= INT32.max else np.int64


def counting_order(
    keys: Integer[np.ndarray, " size"], bound: int
) -> Int32[np.ndarray, " size"]:
    """The stable order of keys from 0 to `bound - 1`.

    A counting sort, which is what SciPy's change from rows to columns is. Cost: O(size +
    bound).
    """
    numbers = np.arange(keys.size, dtype=np.int32)
    if keys.size and (keys[1:] >= keys[:-1]).all():
        return numbers
    # SciPy makes all indices as wide as the widest of them.
    keys, ends = keys.astype(np.int32, copy=False), np.array([0, keys.size], np.int32)
    one_row = csr_array((numbers, keys, ends), shape=(1, bound))
    return one_row.tocsc().data


def pointers(lengths: Integer[np.ndarray, " rows"]) -> Integer[np.ndarray, " pointers"]:
    """Where each of consecutive rows starts, and where the last one ends."""
    dtype = index_dtype(int(lengths.sum(dtype=np.int64)))
    found = np.zeros(lengths.size + 1, dtype)
    np.cumsum(lengths, out=found[1:])
    return found


def gather(
    x: Shaped[Array, "..."],
    index: Integer[np.ndarray, "..."] | tuple[Integer[np.ndarray, "..."], ...],
) -> Shaped[Array, "..."]:
    """The elements at constant indices from zero to the size of the axis.

    By default, JAX asks which of them are negative, and XLA finds out while it compiles.
    """
    index = jax.tree.map(unfolded, index)
    return x.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def unfolded(constant: Shaped[np.ndarray, "..."]) -> Shaped[Array, "..."]:
    """A constant of the program that XLA does not compute with while it compiles.

    Else it gathers from other constants, and keeps copies in the shapes that it converts a
    large array of indices to: twice the memory, and the time of several runs.
    """
    array = jnp.asarray(constant)
    return lax.optimization_barrier(array) if constant.size > _FOLDED else array


def as_indices(
    name: str,
    indices: Integer[np.ndarray, " size"] | Sequence[int],
    low: int = INT32.min,
    high: int = INT32.max,
    reason: str = "in an int32 array",
) -> Int32[np.ndarray, " size"]:
    """`indices` as a one-dimensional int32 array, which may be the array itself.

    Raises `TypeError` unless they are integers, `ValueError` unless they form a
    one-dimensional array within `low..high`; `reason` says where the bounds come from.
    """
    array = np.asarray(indices)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional. Got shape {array.shape}.")
    if array.size == 0:
        return np.zeros(0, np.int32)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} must be integers. Got dtype {array.dtype}.")
    if array.min() < low or array.max() > high:
        wrong = array[(array < low) | (array > high)][0]
        raise ValueError(f"{name} must lie in {low}..{high} {reason}. Got {wrong}.")
    return array.astype(np.int32, copy=False)
