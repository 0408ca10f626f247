"""The patterns that operators are tested on, and operators with random values on them."""

from typing import Any

import numpy as np
from jaxtyping import Num

import asdex

PATTERNS: dict[str, asdex.SparsityPattern] = {}


def random_mask(m: int, n: int, density: float = 0.4, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((m, n)) < density


def _add(name: str, mask: np.ndarray, *, shuffled: bool = False) -> None:
    rows, cols = np.nonzero(mask)
    order = np.arange(rows.size)
    if shuffled:
        order = np.random.default_rng(2).permutation(rows.size)
    pattern = asdex.SparsityPattern(rows[order], cols[order], mask.shape)
    assert shuffled != pattern.is_sorted
    PATTERNS[name] = pattern


def _rows_of_lengths(lengths: list[int], n: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    mask = np.zeros((len(lengths), n), bool)
    for row, length in zip(mask, lengths, strict=True):
        row[rng.choice(n, length, replace=False)] = True
    return mask


def _arrow(n: int) -> np.ndarray:
    mask = np.eye(n, dtype=bool)
    mask[0] = mask[:, 0] = True
    return mask


_add("square", random_mask(6, 6))
_add("wide", random_mask(4, 9))
_add("tall", random_mask(9, 4))
_add("no entries", np.zeros((3, 4), bool))
_add("no entries, square", np.zeros((3, 3), bool))
_add("one element", np.ones((1, 1), bool))
_add("no rows", np.zeros((0, 3), bool))
_add("no columns", np.zeros((3, 0), bool))
_add("nothing", np.zeros((0, 0), bool))
_add("diagonal", np.eye(5, dtype=bool))
_add("tridiagonal", np.abs(np.subtract.outer(np.arange(7), np.arange(7))) < 2)
_add("strictly upper", np.triu(np.ones((4, 4), bool), 1))
_add("dense", np.ones((3, 5), bool))
_add("dense, shuffled", np.ones((4, 3), bool), shuffled=True)
_add("dense row", np.arange(5)[:, None] * np.ones(6) == 3)
_add("arrow", _arrow(18))
_add("shuffled", random_mask(6, 6, seed=4), shuffled=True)
_add("shuffled, wide", random_mask(4, 7, seed=5), shuffled=True)
_add("empty lines", random_mask(8, 8, seed=6) & (np.arange(8) % 3 > 0)[:, None])
_add("all widths", _rows_of_lengths([0, *range(17), 0, 1, 3, 16, 0], 18))
_add("long rows", _rows_of_lengths([300, 33, 17, 16, 5, 2, 1, 1, 0, 1, 257, 0], 310))
_add("power law", _rows_of_lengths([40, 20, 9, 4, 2, *[1] * 10], 40), shuffled=True)
_add("differences", np.eye(5, 7, dtype=bool) | np.eye(5, 7, 2, dtype=bool))
PATTERNS["periodic, by offsets"] = asdex.SparsityPattern(
    np.repeat(np.arange(7), 3), (np.arange(7)[:, None] + [-2, 0, 1]).ravel() % 7, (7, 7)
)


def symmetric_pattern(n: int = 6) -> asdex.SparsityPattern:
    mask = random_mask(n, n, 0.25, seed=7)
    rows, cols = np.nonzero(mask | mask.T)
    order = np.random.default_rng(8).permutation(rows.size)
    return asdex.SparsityPattern(rows[order], cols[order], (n, n))


SYMMETRIC = symmetric_pattern()


def numbers(shape: tuple[int, ...], dtype: Any = np.float64, seed: int = 0) -> Any:
    """Random numbers, none of them small."""
    rng = np.random.default_rng(seed)

    def real() -> np.ndarray:
        return rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape)

    values = real() + 1j * real() if np.issubdtype(dtype, np.complexfloating) else real()
    return values.astype(dtype)


def operator(
    pattern: asdex.SparsityPattern,
    batch: tuple[int, ...] = (),
    dtype: Any = np.float64,
    seed: int = 0,
) -> asdex.SparseJacobian:
    """An operator with random values on the pattern."""
    data = numbers((*batch, pattern.nnz), dtype, seed)
    return asdex.SparseJacobian(data, pattern)


def symmetric_operator(
    pattern: asdex.SparsityPattern = SYMMETRIC,
    batch: tuple[int, ...] = (),
    dtype: Any = np.float64,
) -> asdex.SparseJacobian:
    """One that equals its transpose, and is declared to."""
    dense = numbers((*batch, *pattern.shape), dtype)
    dense = dense + np.swapaxes(dense, -1, -2)
    data = dense[..., pattern.rows, pattern.cols]
    return asdex.SparseJacobian(data, pattern, symmetric=True)


def dense(a: asdex.SparseJacobian) -> Num[np.ndarray, "*batch m n"]:
    """The matrix entry by entry, without methods of the operator."""
    matrix = np.zeros((*a.data.shape[:-1], *a.sparsity.shape), a.data.dtype)
    matrix[..., a.sparsity.rows, a.sparsity.cols] = np.asarray(a.data)
    return matrix
