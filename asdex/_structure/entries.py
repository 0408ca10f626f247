"""Facts about the entries of a matrix, from their rows and columns."""

import numpy as np
from jaxtyping import Int32


def merge_duplicates(
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


def is_symmetric(
    rows: Int32[np.ndarray, " nnz"],
    cols: Int32[np.ndarray, " nnz"],
    shape: tuple[int, int],
) -> bool:
    """Whether each entry `(i, j)` has its mirror `(j, i)`. Cost: two sorts."""
    if shape[0] != shape[1]:
        return False
    long_rows, long_cols = rows.astype(np.int64), cols.astype(np.int64)
    entries, mirrored = long_rows * shape[1] + cols, long_cols * shape[1] + rows
    return np.array_equal(np.sort(entries), np.sort(mirrored))


def group(
    keys: Int32[np.ndarray, " nnz"], values: Int32[np.ndarray, " nnz"]
) -> dict[int, list[int]]:
    """The values that belong to each key, in ascending order."""
    order = np.lexsort((values, keys))
    unique, starts = np.unique(keys[order], return_index=True)
    parts = np.split(values[order], starts[1:]) if unique.size else []
    return {int(key): part.tolist() for key, part in zip(unique, parts, strict=True)}
