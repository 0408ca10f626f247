"""Boolean matrices, and the limit on their entries.

A boolean matrix is a canonical `csr_array` (sorted, no duplicates) with every stored value
true.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Integer, Shaped
from scipy.sparse import csr_array, vstack

from .._base.index import counting_order, index_dtype, pointers

DEFAULT_MAX_NNZ = 2**31

_max_nnz: ContextVar[int] = ContextVar("max_nnz", default=DEFAULT_MAX_NNZ)


class TooManyEntries(Exception):
    """A matrix would have more entries than `at_most` allows."""

    def __init__(self, entries: int, limit: int):
        super().__init__(entries, limit)
        self.entries, self.limit = entries, limit
        self.where: str | None = None  # Set by the interpreter.


@contextmanager
def at_most(max_nnz: int) -> Iterator[None]:
    """Refuse to build a boolean matrix of more than `max_nnz` entries."""
    token = _max_nnz.set(max_nnz)
    try:
        yield
    finally:
        _max_nnz.reset(token)


def check_entries(entries: int) -> None:
    if entries > (limit := _max_nnz.get()):
        raise TooManyEntries(entries, limit)


def boolean(
    rows: Integer[np.ndarray, " entries"],
    cols: Integer[np.ndarray, " entries"],
    shape: tuple[int, int],
) -> csr_array:
    """The canonical boolean matrix with the given entries, repeated ones merged."""
    values, dtype = np.ones(rows.size, bool), index_dtype(max(shape))
    places = rows.astype(dtype, copy=False), cols.astype(dtype, copy=False)
    matrix = csr_array((values, places), shape=shape)
    matrix.sum_duplicates()
    check_entries(matrix.nnz)
    return matrix


def total(matrices: Sequence[csr_array]) -> csr_array:
    """The canonical boolean matrix whose entries are those of all the matrices."""
    result = matrices[0]
    for matrix in matrices[1:]:
        result = csr_array(result + matrix)
        check_entries(result.nnz)
    result.sort_indices()
    return result


def product(left: csr_array, right: csr_array) -> csr_array:
    """The canonical boolean product, refused before it outgrows the limit."""
    limit = _max_nnz.get()
    bound = pointers(np.diff(right.indptr)[left.indices])[left.indptr]  # Up to each row.
    if bound[-1] <= limit:
        result = csr_array(left @ right)
        result.sort_indices()
        return result
    # The entries may be much fewer: compute as many rows at once as surely fit.
    blocks, entries, start = [], 0, 0
    while start < left.shape[0]:
        stop = int(np.searchsorted(bound, bound[start] + max(limit, 1), side="right")) - 1
        stop = min(max(stop, start + 1), left.shape[0])
        blocks.append(csr_array(left[start:stop] @ right))
        entries += blocks[-1].nnz
        check_entries(entries)
        start = stop
    result = csr_array(vstack(blocks, format="csr"))
    result.sort_indices()
    return result


def from_lists(inputs: Int32[np.ndarray, "size k"], n: int) -> csr_array:
    """The matrix whose row `i` holds the inputs listed in row `i`, less negative
    ones."""
    listed = inputs >= 0
    if listed.all():
        lengths, indices = np.full(len(inputs), inputs.shape[1]), inputs.reshape(-1)
    else:
        lengths, indices = np.count_nonzero(listed, axis=1), inputs[listed]
    values = np.ones(indices.size, bool)
    matrix = csr_array((values, indices, pointers(lengths)), shape=(len(inputs), n))
    matrix.sum_duplicates()
    check_entries(matrix.nnz)
    return matrix


def select_rows(base: csr_array, rows: Int32[np.ndarray, " size"]) -> csr_array:
    """The matrix of the given rows of `base`; -1 gives an empty row."""
    is_row = rows >= 0
    picked = rows[is_row]
    lengths = np.zeros(rows.size, base.indptr.dtype)
    lengths[is_row] = row_lengths(base, picked)
    indptr = pointers(lengths)
    check_entries(int(indptr[-1]))
    indices = base[picked].indices  # Needs no memory but that of the result.
    return csr_array(
        (np.ones(indices.size, bool), indices, indptr), shape=(rows.size, base.shape[1])
    )


def row_lengths(
    matrix: csr_array, rows: Integer[np.ndarray, " size"]
) -> Integer[np.ndarray, " size"]:
    """The numbers of entries in the given rows.

    Cost: O(size), however many rows the matrix has.
    """
    return matrix.indptr[rows + 1] - matrix.indptr[rows]


class Groups(NamedTuple):
    """Numbers in groups: those of group `k` are `order[starts[k] : starts[k + 1]]`."""

    order: Integer[np.ndarray, " size"]
    starts: Integer[np.ndarray, " groups"]


def boolean_by_rows(
    rows: Integer[np.ndarray, " edges"],
    columns: Sequence[Integer[np.ndarray, "..."]],
    shape: tuple[int, int],
) -> csr_array:
    """The canonical boolean matrix with an entry in each of the `columns` of each row, in
    any order, repeated ones merged. Columns may have any shape, whose elements they list.

    Cost: that of `counting_order` by rows, and a sort of the entries within each row.
    """
    ones = np.ones(rows.size * len(columns), bool)
    matrix = _by_rows(ones, rows, columns, counting_order(rows, shape[0]), shape)
    matrix.sum_duplicates()
    check_entries(matrix.nnz)
    return matrix


def grouped(
    rows: Integer[np.ndarray, " edges"],
    columns: Sequence[Integer[np.ndarray, "..."]],
    shape: tuple[int, int],
) -> tuple[csr_array, Groups]:
    """The same matrix, and for each of its entries the numbers of the given ones that are
    in its place; those of one row are numbered one after the other."""
    order, each = counting_order(rows, shape[0]), len(columns)
    dtype = index_dtype(order.size * each)
    numbers = order[:, None].astype(dtype) * dtype(each) + np.arange(each, dtype=dtype)
    listed = _by_rows(numbers.reshape(-1), rows, columns, order, shape)
    listed.sort_indices()
    order, cols, bounds = listed.data, listed.indices, listed.indptr
    is_first = np.ones(cols.size, bool)
    is_first[1:] = cols[1:] != cols[:-1]
    is_first[bounds[:-1][bounds[:-1] < cols.size]] = True
    starts = np.flatnonzero(is_first).astype(bounds.dtype)
    check_entries(starts.size)
    indptr = np.searchsorted(starts, bounds).astype(bounds.dtype)
    values = np.ones(starts.size, bool)
    return csr_array((values, cols[starts], indptr), shape=shape), Groups(order, starts)


def _by_rows(
    values: Shaped[np.ndarray, " size"],
    rows: Integer[np.ndarray, " edges"],
    columns: Sequence[Integer[np.ndarray, "..."]],
    order: Int32[np.ndarray, " edges"],
    shape: tuple[int, int],
) -> csr_array:
    """The matrix with these values, row by row, not sorted within a row."""
    bounds = pointers(len(columns) * np.bincount(rows, minlength=shape[0]))
    listed = np.empty((rows.size, len(columns)), np.int32)
    for k, column in enumerate(columns):
        listed[:, k] = column.reshape(-1)[order]
    return csr_array((values, listed.reshape(-1), bounds), shape=shape)


def places(
    stored: tuple[Integer[np.ndarray, " nnz"], Integer[np.ndarray, " nnz"]],
    rows: Integer[np.ndarray, " entries"],
    cols: Integer[np.ndarray, " entries"],
    width: int,
) -> Integer[np.ndarray, " entries"]:
    """Where each entry is among the stored ones, which are sorted row-major in a matrix
    of so many columns; -1 for entries that are not stored."""
    count = stored[0].size
    if np.array_equal(rows, stored[0]) and np.array_equal(cols, stored[1]):
        return np.arange(count)
    keys = stored[0] * np.int64(max(1, width)) + stored[1]
    wanted = rows * np.int64(max(1, width)) + cols
    found = np.searchsorted(keys, wanted)
    return np.where(np.append(keys, -1)[found] == wanted, found, -1)
