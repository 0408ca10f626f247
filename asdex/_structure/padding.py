"""Patterns whose rows all have equally many entries, as in the ELLPACK format."""

import numpy as np

from .._base.index import counting_order
from .layouts import find_entries
from .pattern import SparsityPattern

_MAX_FILL = 2
"""Offsets by entries of the longest row, above which rows are filled up otherwise."""

_WIDEST = 64
"""Entries in a row that are computed one by one."""


def pad_rows(pattern: SparsityPattern) -> SparsityPattern:
    """The pattern with entries added so that all rows have equally many.

    Their values, which are zero, are the price for values that can be split over devices by
    rows: they are a matrix of `m` rows, one after the other. Pass the pattern to `jacobian`
    as `sparsity`, with `mode="accumulate"`.

    If the rows are shifted copies of each other, but for the boundary, as those of stencils
    are, each gets an entry at each offset, around the end of the matrix where necessary,
    and in the same order. Products with vectors then need no index, and the pattern of a
    Hessian stays symmetric. Other rows are filled up with entries near the diagonal, whose
    mirrors the pattern may lack: pass `symmetric=False` to `hessian` then.

    Cost: a sort of the entries.
    """
    m, n = pattern.shape
    if not pattern.nnz:
        return pattern
    lengths, row = np.bincount(pattern.rows, minlength=m), np.arange(m, dtype=np.int32)
    longest = int(lengths.max())
    found = np.bincount((pattern.cols.astype(np.int64) - pattern.rows) % n, minlength=n)
    offsets = np.flatnonzero(found)
    if offsets.size <= _MAX_FILL * longest:
        rows = np.repeat(row, offsets.size)
        cols = ((row[:, None] + offsets) % n).reshape(-1)
    else:
        missing = longest - lengths
        short = row[missing > 0]
        # Of so many columns, enough are free in any row.
        nearby = (short[:, None] + np.arange(longest)) % n
        at = find_entries(pattern, np.repeat(short, longest), nearby.reshape(-1))
        is_free = at.reshape(nearby.shape) < 0
        chosen = is_free & (is_free.cumsum(axis=1) <= missing[short, None])
        rows = np.concatenate([pattern.rows, short[np.nonzero(chosen)[0]]])
        cols = np.concatenate([pattern.cols, nearby[chosen]])
        order = counting_order(rows, m)
        rows, cols = rows[order], cols[order]
    return SparsityPattern(
        rows,
        cols,
        pattern.shape,
        pattern.input_avals,
        pattern.argnums,
        pattern.output_shapes,
        pattern.is_local,
    )


def has_equal_rows(pattern: SparsityPattern) -> bool:
    """Whether the rows follow each other, all with equally many entries, but few."""
    width = pattern.nnz // pattern.m if pattern.m else 0
    return 0 < width <= _WIDEST and np.array_equal(
        pattern.rows, np.repeat(np.arange(pattern.m, dtype=np.int32), width)
    )
