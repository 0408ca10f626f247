"""`Entries`: rows and columns of the entries of a matrix, and facts about them."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Int32, Integer

from .._base.index import INT32, IndexArray, as_indices, counting_order


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
        row_index, col_index, is_sorted = _merge_duplicates(row_index, col_index, n)
        return cls(IndexArray(row_index), IndexArray(col_index), shape, is_sorted)

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


def _merge_duplicates(
    rows: Int32[np.ndarray, " entries"], cols: Int32[np.ndarray, " entries"], n: int
) -> tuple[Int32[np.ndarray, " nnz"], Int32[np.ndarray, " nnz"], bool]:
    """The entries without repetitions, and whether they are in row-major order."""
    ascending = (rows[1:] > rows[:-1]) | ((rows[1:] == rows[:-1]) & (cols[1:] > cols[:-1]))
    if ascending.all():
        return rows, cols, True
    first = np.unique(rows.astype(np.int64) * n + cols, return_index=True)[1]
    if first.size < rows.size:
        keep = np.sort(first)
        rows, cols = rows[keep], cols[keep]
    return rows, cols, bool((first[1:] > first[:-1]).all())


def group(
    keys: Int32[np.ndarray, " nnz"], values: Int32[np.ndarray, " nnz"]
) -> dict[int, list[int]]:
    """The values that belong to each key, in ascending order."""
    order = np.lexsort((values, keys))
    unique, starts = np.unique(keys[order], return_index=True)
    parts = np.split(values[order], starts[1:]) if unique.size else []
    return {int(key): part.tolist() for key, part in zip(unique, parts, strict=True)}
