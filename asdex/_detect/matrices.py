"""Boolean matrices, and the limit on their entries.

A boolean matrix is a canonical `csr_array` (sorted, no duplicates) with every stored value
true.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from jaxtyping import Int32, Integer
from scipy.sparse import csr_array, vstack

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
    values = np.ones(rows.size, bool)
    matrix = csr_array((values, (rows, cols)), shape=shape)
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
    per_row = np.diff(right.indptr).astype(np.int64)[left.indices]
    bound = np.concatenate([[0], np.cumsum(per_row)])[left.indptr]  # Up to each row.
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
        indptr = np.arange(0, inputs.size + 1, inputs.shape[1])
        indices = inputs.reshape(-1)
    else:
        indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(listed, axis=1))])
        indices = inputs[listed]
    values = np.ones(indices.size, bool)
    matrix = csr_array((values, indices, indptr), shape=(len(inputs), n))
    matrix.sum_duplicates()
    check_entries(matrix.nnz)
    return matrix


def select_rows(base: csr_array, rows: Int32[np.ndarray, " size"]) -> csr_array:
    """The matrix of the given rows of `base`; -1 gives an empty row."""
    lengths = np.diff(base.indptr)
    lengths = np.where(rows < 0, 0, lengths[rows]) if lengths.size else np.zeros_like(rows)
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    check_entries(int(indptr[-1]))
    indices = base[rows[rows >= 0]].indices  # Needs no memory but that of the result.
    return csr_array(
        (np.ones(indices.size, bool), indices, indptr), shape=(rows.size, base.shape[1])
    )


def entry_numbers(
    matrix: csr_array,
    rows: Integer[np.ndarray, " entries"],
    cols: Integer[np.ndarray, " entries"],
) -> Integer[np.ndarray, " entries"]:
    """Where a canonical matrix stores each of these entries, all of which it has."""
    width = np.int64(max(1, matrix.shape[1]))
    stored = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return np.searchsorted(stored * width + matrix.indices, rows * width + cols)
