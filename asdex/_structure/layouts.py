"""Static index maps of a pattern: what consumers of values need in addition to them.

All of them are NumPy arrays of int32. A matrix in another layout is then `data[map]`,
inside or outside of `jax.jit`.
"""

from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from jaxtyping import Int32, Integer

from .._base.index import EntryIndices
from .._base.types import check_choice
from .pattern import SparsityPattern

Triangle: TypeAlias = Literal["lower", "upper"]


class CompressedStructure(NamedTuple):
    """The structure of compressed sparse rows (CSR) or columns (CSC).

    Line `i`, a row of CSR or a column of CSC, has the entries
    `indptr[i]:indptr[i + 1]`; they are in columns (rows) `indices`, in ascending order,
    and have the values `data[permutation]`. Of a triangle, only its entries are stored.
    """

    indptr: Int32[np.ndarray, " pointers"]
    indices: Int32[np.ndarray, " stored"]
    permutation: Int32[np.ndarray, " stored"]


class TriangleStructure(NamedTuple):
    """The lower triangle of a symmetric matrix: entries `(rows[k], cols[k])` with
    `rows[k] >= cols[k]`, row-major, of values `data[selection]`."""

    rows: Int32[np.ndarray, " lower"]
    cols: Int32[np.ndarray, " lower"]
    selection: Int32[np.ndarray, " lower"]


def csr_structure(
    pattern: SparsityPattern,
    triangle: Triangle | None = None,
    rows: tuple[int, int] | None = None,
) -> CompressedStructure:
    """Row pointers, columns and order of the values of a matrix in CSR format.

    With `triangle="lower"` or `"upper"` it is that of one triangle of a symmetric matrix,
    with the diagonal: the values `data[permutation]` are fewer than those of the matrix.
    With `rows=(first, last)` it is that of the rows from `first` up to `last`, which is
    excluded, and all columns, as processes need it that each hold some rows.
    Cost: O(nnz), or a sort unless the entries are in row-major order.

    **Raises:** `ValueError` for another `triangle`, or if there is none to take because the
    pattern is not symmetric, naming an entry without its mirror; or if `rows` is not a
    range of rows.
    """
    first, last = (0, pattern.m) if rows is None else rows
    if not 0 <= first <= last <= pattern.m:
        raise ValueError(
            f"rows must be a pair (first, last) within 0..{pattern.m}. Got {rows!r}."
        )
    chosen = _entries_of(pattern, triangle)
    if rows is not None:
        row = pattern.rows[chosen]
        chosen = chosen[(row >= first) & (row < last)]
    found = compress_lines(
        pattern.rows[chosen] - np.int32(first),
        pattern.cols[chosen],
        last - first,
        in_order=pattern.is_sorted,
    )
    return found._replace(permutation=chosen[found.permutation])


def csc_structure(
    pattern: SparsityPattern, triangle: Triangle | None = None
) -> CompressedStructure:
    """Column pointers, rows and order of the values in CSC format; see `csr_structure`.

    Solvers of quadratic programs update matrices by the values in this order. Cost: a sort.
    """
    chosen = _entries_of(pattern, triangle)
    found = compress_lines(pattern.cols[chosen], pattern.rows[chosen], pattern.n)
    return (
        found if triangle is None else found._replace(permutation=chosen[found.permutation])
    )


def transpose_map(pattern: SparsityPattern) -> Int32[np.ndarray, " nnz"]:
    """The order that turns values into those of the transpose in row-major order.

    The transpose of the matrix with values `data` has the values `data[transpose_map]`.
    Cost: a sort.
    """
    return csc_structure(pattern).permutation


def lower_triangle(pattern: SparsityPattern) -> TriangleStructure:
    """The lower triangle, as optimizers like IPOPT take a symmetric matrix.

    **Raises:** `ValueError` if the pattern is not symmetric, naming an entry without its
    mirror.
    """
    selection = csr_structure(pattern, "lower").permutation
    return TriangleStructure(pattern.rows[selection], pattern.cols[selection], selection)


def _entries_of(
    pattern: SparsityPattern, triangle: Triangle | None
) -> Int32[np.ndarray, " chosen"]:
    """The entries of one triangle of a symmetric matrix, or all of them."""
    if triangle is None:
        return np.arange(pattern.nnz, dtype=np.int32)
    check_choice("triangle", triangle, get_args(Triangle))
    check_symmetric(pattern, "One triangle does not say all about it.")
    below = pattern.rows - pattern.cols
    return np.flatnonzero(below >= 0 if triangle == "lower" else below <= 0).astype(
        np.int32
    )


def check_symmetric(pattern: SparsityPattern, consequence: str) -> None:
    """Raise `ValueError` unless each entry `(i, j)` has its mirror `(j, i)`."""
    if pattern.m != pattern.n:
        raise ValueError(
            f"The operator has shape {pattern.shape}, so it is not symmetric. {consequence}"
        )
    if not pattern.is_symmetric:
        k = np.argmin(find_entries(pattern, pattern.cols, pattern.rows) >= 0)
        i, j = pattern.rows[k], pattern.cols[k]
        raise ValueError(
            f"The pattern is not symmetric: it has the entry ({i}, {j}), but not ({j}, "
            f"{i}). {consequence}"
        )


def compress_lines(
    major: EntryIndices, minor: EntryIndices, count: int, *, in_order: bool = False
) -> CompressedStructure:
    """CSR of `count` rows from the row and column of each entry; CSC from the opposite."""
    if in_order:
        order, indices = np.arange(major.size, dtype=np.int32), minor
    else:
        order = np.lexsort((minor, major)).astype(np.int32)
        indices = minor[order]
    pointers = np.zeros(count + 1, np.int32)
    np.cumsum(np.bincount(major, minlength=count), out=pointers[1:])
    return CompressedStructure(pointers, indices, order)


def find_entries(
    pattern: SparsityPattern,
    rows: Integer[np.ndarray, " queries"],
    cols: Integer[np.ndarray, " queries"],
) -> Int32[np.ndarray, " queries"]:
    """Which entry of the pattern each `(rows[k], cols[k])` is, -1 if it is not one.

    Cost: a search for each query, and a sort unless the entries are in row-major order;
    one comparison if all entries are asked for in their order.
    """
    if np.array_equal(rows, pattern.rows) and np.array_equal(cols, pattern.cols):
        return np.arange(pattern.nnz, dtype=np.int32)
    if pattern.nnz == 0:
        return np.full(rows.size, -1, np.int32)
    entries = pattern.rows.astype(np.int64) * pattern.n + pattern.cols
    order = None if pattern.is_sorted else np.argsort(entries)
    entries = entries if order is None else entries[order]
    queries = rows.astype(np.int64) * pattern.n + cols
    place = np.searchsorted(entries, queries)
    found = place < entries.size
    found[found] = entries[place[found]] == queries[found]
    place = place if order is None else order[np.minimum(place, entries.size - 1)]
    return np.where(found, place, -1).astype(np.int32)
