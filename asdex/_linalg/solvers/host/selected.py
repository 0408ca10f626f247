"""Elements of the inverse at the entries of sparse factors, without the others.

With `A = L U` and `Z = inv(A)`, `U Z = inv(L)` and `Z L = inv(U)`. So, for a set `J` of
adjacent columns, with `C` the rows below them where `L` has entries and `R` the columns
beyond them where `U` has entries,

    Z[R, J] = - Z[R, C] L[C, J] inv(L[J, J])
    Z[J, C] = - inv(U[J, J]) U[J, R] Z[R, C]
    Z[J, J] = inv(U[J, J]) inv(L[J, J]) - Z[J, C] L[C, J] inv(L[J, J])

and `Z[R, C]` lies within the transposed pattern of the factors, since eliminating `J` has
filled it. K. Takahashi, J. Fagan and M. S. Chen, "Formation of a sparse bus impedance
matrix and its application to short circuit study", PICA Conf. (1973); A. M. Erisman and
W. F. Tinney, "On computing certain elements of the inverse of a sparse matrix", Commun.
ACM 18 (1975). The cost is that of the factorization.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Inexact, Int64, Integer

Index = Int64[np.ndarray, "..."]


def selected_inverse(
    lu: Any, rows: Integer[np.ndarray, " k"], cols: Integer[np.ndarray, " k"]
) -> Inexact[np.ndarray, " k"]:
    """The elements `(rows, cols)` of the inverse of `L U`, as SuperLU returns these, where
    the matrix has entries `(cols, rows)`."""
    lower, upper = lu.L, lu.U
    found, is_known = _Inverse.of(lower, upper).at(rows, cols)
    if not is_known.all():
        # SciPy leaves out elements that have cancelled, with which others are computed.
        lower, upper = _filled(lower, upper, cols, rows)
        found, is_known = _Inverse.of(lower, upper).at(rows, cols)
        assert is_known.all()
    return found


def _filled(
    lower: Any,
    upper: Any,
    rows: Integer[np.ndarray, " k"],
    cols: Integer[np.ndarray, " k"],
) -> tuple[Any, Any]:
    """The factors with zeros at all places `(rows, cols)`, and where elimination could
    fill."""
    from scipy.sparse import coo_array, tril, triu

    places = coo_array((np.ones(rows.size, bool), (rows, cols)), shape=lower.shape)
    pattern, count = (lower != 0) + (upper != 0) + places.tocsr(), -1
    while pattern.nnz != count:
        count = pattern.nnz
        pattern = pattern + tril(pattern, -1, "csr") @ triu(pattern, 1, "csr")

    def with_zeros(factor: Any, part: Any) -> Any:
        # Sums of sparse arrays would drop the zeros.
        both = [factor.tocoo(), part.tocoo()]
        values = np.concatenate([factor.data, np.zeros(part.nnz, factor.dtype)])
        coords = np.concatenate([array.coords for array in both], axis=1)
        return coo_array((values, tuple(coords)), shape=factor.shape).tocsc()

    return with_zeros(lower, tril(pattern, -1)), with_zeros(upper, triu(pattern, 1))


class _Lines(NamedTuple):
    """The entries of a strict triangle, line by line, each sorted: columns of `L` or rows
    of `U`."""

    starts: Index
    indices: Index
    values: Inexact[np.ndarray, " nnz"]

    @property
    def lengths(self) -> Index:
        return np.diff(self.starts)

    @property
    def keys(self) -> Index:
        n = self.starts.size - 1
        return np.repeat(np.arange(n), self.lengths) * n + self.indices

    @classmethod
    def of(cls, matrix: Any) -> "_Lines":
        matrix.sort_indices()
        starts, indices = (
            part.astype(np.int64) for part in (matrix.indptr, matrix.indices)
        )
        return cls(starts, indices, matrix.data)

    def follows(self) -> Bool[np.ndarray, " n_minus_1"]:
        """Whether a line holds the next line's number and its entries, and no others."""
        lengths = self.lengths
        alike = lengths[:-1] == lengths[1:] + 1
        (lines,) = np.nonzero(alike)
        first = self.starts[lines]
        alike[lines] = self.indices[first] == lines + 1
        counts = lengths[lines + 1]
        offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        mine = self.indices[np.repeat(first + 1, counts) + offset]
        other = self.indices[np.repeat(self.starts[lines + 1], counts) + offset]
        wrong = np.bincount(np.repeat(lines, counts), mine != other, lengths.size)
        return alike & (wrong[:-1] == 0)


@dataclass(frozen=True, eq=False)
class _Factors:
    """`L` by columns and `U` by rows, without their diagonals; that of `L` is one."""

    lower: _Lines
    upper: _Lines
    diagonal: Inexact[np.ndarray, " n"]

    @classmethod
    def of(cls, lower: Any, upper: Any) -> "_Factors":
        from scipy.sparse import tril, triu

        below, beyond = tril(lower, -1, "csc"), triu(upper, 1, "csr")
        return cls(_Lines.of(below), _Lines.of(beyond), upper.diagonal())


class _Group(NamedTuple):
    """Sets of adjacent columns that are alike, and do not depend on each other: `width`
    columns from each of `first` on, `below` rows in `C` and `beyond` columns in `R`."""

    first: Index
    width: int
    below: int
    beyond: int


def _groups(factors: _Factors) -> list[_Group]:
    """All sets of columns with equal patterns, each group after those that it needs."""
    lower, upper = factors.lower, factors.upper
    n = factors.diagonal.size
    is_first = np.append(True, ~(lower.follows() & upper.follows()))[:n]
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], n) - 1
    number = np.cumsum(is_first) - 1
    level = np.zeros(first.size, np.int64)
    lines = [(part.starts.tolist(), number[part.indices]) for part in (lower, upper)]
    for k in range(first.size - 1, -1, -1):
        j, height = last[k], 0
        for starts, sets in lines:
            if starts[j] < starts[j + 1]:
                height = max(height, level[sets[starts[j] : starts[j + 1]]].max() + 1)
        level[k] = height
    kinds = np.stack(
        [level, last - first + 1, lower.lengths[last], upper.lengths[last]], axis=1
    )
    unique, kind = np.unique(kinds, axis=0, return_inverse=True)
    order = np.argsort(kind.reshape(-1), kind="stable")
    parts = np.split(first[order], np.cumsum(np.bincount(kind.reshape(-1)))[:-1])
    return [
        _Group(part, *sizes[1:]) for part, sizes in zip(parts, unique.tolist(), strict=True)
    ]


class _Inverse:
    """Elements of the inverse, stored as the entries of `L`, `U` and the diagonal are that
    they mirror: element `(j, k)` where `L` or `U` has entry `(k, j)`."""

    def __init__(self, factors: _Factors):
        self.factors, n = factors, factors.diagonal.size
        parts = factors.lower.keys, factors.upper.keys, np.arange(n)
        self.keys = np.concatenate([n * n * k + part for k, part in enumerate(parts)])
        self.in_upper = factors.lower.indices.size
        self.on_diagonal = self.in_upper + factors.upper.indices.size
        self.values = np.zeros(self.keys.size, factors.diagonal.dtype)
        self.is_known = np.zeros(self.keys.size, bool)

    @classmethod
    def of(cls, lower: Any, upper: Any) -> "_Inverse":
        """All elements that can be computed."""
        factors = _Factors.of(lower, upper)
        inverse = cls(factors)
        for group in _groups(factors):
            inverse.compute(group)
        return inverse

    def at(
        self, rows: Integer[np.ndarray, "..."], cols: Integer[np.ndarray, "..."]
    ) -> tuple[Inexact[np.ndarray, "..."], Bool[np.ndarray, "..."]]:
        """Elements, and which of them are known."""
        n = self.factors.diagonal.size
        rows, cols = rows.astype(np.int64), cols.astype(np.int64)
        low, high = np.minimum(rows, cols), np.maximum(rows, cols)
        key = np.where(rows < cols, low * n + high, n * n + low * n + high)
        key = np.where(rows == cols, 2 * n * n + low, key)
        place = np.searchsorted(self.keys, key)
        place = np.minimum(place, self.keys.size - 1)
        is_known = (self.keys[place] == key) & self.is_known[place]
        return np.where(is_known, self.values[place], 0), is_known

    def compute(self, group: _Group) -> None:
        """Elements `[R, J]`, `[J, C]` and `[J, J]` for the sets of a group."""
        lower, upper, diagonal = (
            self.factors.lower,
            self.factors.upper,
            self.factors.diagonal,
        )
        first, width, below, beyond = group
        columns = first[:, None] + np.arange(width)
        # Of each line, the entries within the set come first, as many as columns are left.
        inside = np.arange(width)[::-1]
        in_lower, in_upper = lower.starts[columns], upper.starts[columns]
        under = (in_lower + inside)[..., None] + np.arange(below)
        right = (in_upper + inside)[..., None] + np.arange(beyond)
        a, b = np.triu_indices(width, 1)
        lower_inside, upper_inside = (
            starts[:, a] + (b - a - 1) for starts in (in_lower, in_upper)
        )

        unit, triangle = np.zeros((2, first.size, width, width), diagonal.dtype)
        unit[:, b, a] = lower.values[lower_inside]
        unit += np.eye(width, dtype=unit.dtype)
        triangle[:, a, b] = upper.values[upper_inside]
        triangle[:, np.arange(width), np.arange(width)] = diagonal[columns]
        unit, triangle = np.linalg.inv(unit), np.linalg.inv(triangle)

        lower_rest = lower.values[under].swapaxes(1, 2) @ unit
        upper_rest = triangle @ upper.values[right]
        rows, cols = upper.indices[right[:, -1]], lower.indices[under[:, -1]]
        known, is_known = self.at(rows[:, :, None], cols[:, None, :])
        below_values = -known @ lower_rest
        beyond_values = -upper_rest @ known
        square = triangle @ unit - beyond_values @ lower_rest

        complete = is_known.all((1, 2))
        for places, found in (
            (under, beyond_values),
            (self.in_upper + right, below_values.swapaxes(1, 2)),
            (lower_inside, square[:, a, b]),
            (self.in_upper + upper_inside, square[:, b, a]),
            (self.on_diagonal + columns, np.diagonal(square, axis1=1, axis2=2)),
        ):
            self.values[places] = found
            self.is_known[places[complete]] = True
