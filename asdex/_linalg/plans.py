"""Patterns of sums, products and parts of matrices, and where their values come from.

NumPy only, on the static structure: each plan is computed while tracing, so once for each
pattern, and then used by one gather.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64, Integer

from .._base.index import pointers
from .._structure.entries import by_row
from .._structure.layouts import csr_structure, find_entries
from .._structure.pattern import SparsityPattern

Map = Int32[np.ndarray, " nnz"]
"""Where each value comes from; -1 for a value that is zero."""


class Union(NamedTuple):
    """The pattern of a sum, and the entry of either term that each entry comes from."""

    pattern: SparsityPattern
    left: Map
    right: Map


class Product(NamedTuple):
    """The pattern of a product, and what its entries are sums of.

    Entry `k` is the sum of the next `lengths[k]` products of an entry `left` of one factor
    and an entry `right` of the other.
    """

    pattern: SparsityPattern
    lengths: Int64[np.ndarray, " nnz"]
    left: Int32[np.ndarray, " products"]
    right: Int32[np.ndarray, " products"]


def plan_union(left: SparsityPattern, right: SparsityPattern) -> Union:
    """Entries of either pattern; if one holds all of them it is that one, as it is.

    Cost: a sort of all entries.
    """
    for pattern, other in ((left, right), (right, left)):
        if (find_entries(pattern, other.rows, other.cols) >= 0).all():
            union = pattern
            break
    else:
        rows = np.concatenate([left.rows, right.rows])
        cols = np.concatenate([left.cols, right.cols])
        order = np.lexsort((cols, rows))
        union = SparsityPattern(rows[order], cols[order], left.shape)
    maps = [find_entries(p, union.rows, union.cols) for p in (left, right)]
    return Union(union, *maps)


def plan_product(left: SparsityPattern, right: SparsityPattern) -> Product:
    """The product of an `m x k` and a `k x n` matrix, entries in row-major order.

    Cost: a sort, within each row, of the scalar products, of which there are as many as a
    sparse matrix product computes.
    """
    shape = left.m, right.n
    indptr, indices, permutation = csr_structure(right)
    count = np.diff(indptr)[left.cols]
    from_left = np.repeat(np.arange(left.nnz, dtype=np.int32), count)
    first = pointers(count)
    places = np.arange(first[-1], dtype=first.dtype)
    places += np.repeat(indptr[left.cols] - first[:-1], count)
    products = by_row(left.rows[from_left], indices[places], shape)
    order, cols, bounds = products.data, products.indices, products.indptr
    is_first = np.append(True, cols[1:] != cols[:-1])[: cols.size]
    is_first[bounds[:-1][bounds[:-1] < cols.size]] = True
    starts = np.flatnonzero(is_first)
    lengths_of_rows = np.diff(np.searchsorted(starts, bounds))
    rows = np.repeat(np.arange(left.m, dtype=np.int32), lengths_of_rows)
    return Product(
        SparsityPattern(rows, cols[starts], shape),
        np.diff(starts, append=cols.size),
        from_left[order],
        permutation[places[order]],
    )


def plan_part(
    pattern: SparsityPattern,
    rows: Integer[np.ndarray, " part_rows"],
    cols: Integer[np.ndarray, " part_cols"],
) -> tuple[SparsityPattern, Int32[np.ndarray, " part_nnz"]]:
    """The matrix of some rows and columns, each given once, in the given order, and which
    entries are left; they keep their order.

    Cost: O(m + n + nnz).
    """
    new_row, new_col = np.full(pattern.m, -1, np.int32), np.full(pattern.n, -1, np.int32)
    new_row[rows] = np.arange(rows.size)
    new_col[cols] = np.arange(cols.size)
    entries = np.flatnonzero((new_row[pattern.rows] >= 0) & (new_col[pattern.cols] >= 0))
    part_rows, part_cols = new_row[pattern.rows[entries]], new_col[pattern.cols[entries]]
    part = SparsityPattern(part_rows, part_cols, (rows.size, cols.size))
    return part, entries.astype(np.int32)
