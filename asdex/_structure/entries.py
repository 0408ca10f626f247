"""`Entries`: rows and columns of the entries of a matrix, and facts about them."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Int32, Integer
from scipy.sparse import csr_array

from .._base.index import INT32, IndexArray, as_indices, counting_order, pointers


@dataclasses.dataclass(frozen=True)
class Entries:
    """The entries of a matrix, each once, in any order."""

    rows: IndexArray
    cols: IndexArray
    shape: tuple[int, int]
    is_sorted: bool = dataclasses.field(compare=False)

    @classmethod
    def of(
        cls,
        rows: Integer[np.ndarray, " entries"] | Sequence[int],
        cols: Integer[np.ndarray, " entries"] | Sequence[int],
        shape: Sequence[int],
    ) -> "Entries":
        """The entries `(rows[k], cols[k])`, of those that are equal the first.

        Errors and cost are those of `SparsityPattern`.
        """
        m, n = shape = as_shape(shape)
        row_index = as_indices("rows", rows, 0, m - 1, f"for a matrix with {m} rows")
        col_index = as_indices("cols", cols, 0, n - 1, f"for a matrix with {n} cols")
        if row_index.shape != col_index.shape:
            raise ValueError(
                "rows and cols must have equal lengths, one of each per entry. Got "
                f"{row_index.size} rows and {col_index.size} cols."
            )
        is_sorted = _are_ascending(row_index, col_index)
        if not is_sorted and not by_row(row_index, col_index, shape).has_canonical_format:
            keys = row_index.astype(np.int64) * n + col_index
            first = np.sort(np.unique(keys, return_index=True)[1])
            row_index, col_index = row_index[first], col_index[first]
            is_sorted = _are_ascending(row_index, col_index)
        return cls(IndexArray(row_index), IndexArray(col_index), shape, is_sorted)

    @property
    def transposed(self) -> "Entries":
        """The entries `(j, i)`, in the same order. Shares the indices."""
        m, n = self.shape
        is_sorted = _are_ascending(self.cols.array, self.rows.array)
        return Entries(self.cols, self.rows, (n, m), is_sorted)

    @cached_property
    def is_symmetric(self) -> bool:
        """Whether each entry `(i, j)` has its mirror `(j, i)`.

        Cost: O(nnz + n), or two sorts if the entries are not in row-major order.
        """
        m, n = self.shape
        if m != n:
            return False
        rows, cols = self.rows.array, self.cols.array
        if not self.is_sorted:
            rows, cols = rows.astype(np.int64), cols.astype(np.int64)
            return np.array_equal(np.sort(rows * n + cols), np.sort(cols * n + rows))
        if not np.array_equal(np.bincount(rows), np.bincount(cols)):
            return False
        return np.array_equal(rows[counting_order(cols, n)], cols)


def as_shape(shape: Sequence[int]) -> tuple[int, int]:
    """`shape` as a pair of integers; `TypeError` or `ValueError` if it is none."""
    try:
        m, n = (int(dim.__index__()) for dim in shape)
    except (AttributeError, TypeError):
        raise TypeError(f"shape must hold two integers. Got {shape!r}.") from None
    except ValueError:
        raise ValueError(f"shape must be a pair (m, n). Got {shape!r}.") from None
    if not (0 <= m <= INT32.max and 0 <= n <= INT32.max):
        raise ValueError(
            f"Dimensions must lie between 0 and {INT32.max}, the range of an int32 index. "
            f"Got shape ({m}, {n})."
        )
    return m, n


def _are_ascending(
    rows: Int32[np.ndarray, " entries"], cols: Int32[np.ndarray, " entries"]
) -> bool:
    """Whether entries are in row-major order, each once."""
    ascending = (rows[1:] > rows[:-1]) | ((rows[1:] == rows[:-1]) & (cols[1:] > cols[:-1]))
    return bool(ascending.all())


def by_row(
    rows: Int32[np.ndarray, " entries"],
    cols: Int32[np.ndarray, " entries"],
    shape: tuple[int, int],
) -> csr_array:
    """The entries in row-major order, equal ones next to each other; the values are the
    numbers of the given ones.

    Cost: that of `counting_order` by rows, and a sort of the entries within each row.
    """
    bounds = pointers(np.bincount(rows, minlength=shape[0]))
    order = counting_order(rows, shape[0])
    matrix = csr_array((order, cols[order], bounds), shape=shape)
    matrix.sort_indices()
    return matrix


def group(
    keys: Int32[np.ndarray, " nnz"], values: Int32[np.ndarray, " nnz"]
) -> dict[int, list[int]]:
    """The values that belong to each key, in ascending order."""
    order = np.lexsort((values, keys))
    unique, starts = np.unique(keys[order], return_index=True)
    parts = np.split(values[order], starts[1:]) if unique.size else []
    return {int(key): part.tolist() for key, part in zip(unique, parts, strict=True)}
