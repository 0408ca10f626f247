"""Terms: for each element of an array a row of a matrix, with a coefficient."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Int32, Integer
from scipy.sparse import csr_array

from . import coefficients as co
from .coefficients import Coefficients
from .matrices import boolean_by_rows, grouped, product, row_lengths

Shape: TypeAlias = tuple[int, ...]
Rows: TypeAlias = Int32[np.ndarray, "..."]

NOTHING = np.int32(-1)
"""Row number of an element that depends on no input."""

_MAX_EXPANDED = 50_000_000
"""Products of sparse matrices with values are not computed if they have more terms."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Base:
    """A canonical boolean matrix with `n` columns, and the values of its entries if
    coefficients are followed."""

    matrix: csr_array
    values: Coefficients = None


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """For each element the row of `base` that holds its inputs; `NOTHING` for none.

    Without a base the row is that of the identity. If coefficients are followed, element
    `e` is `coefficients[e]` times the row; where it is `NOTHING` they are zero.
    """

    rows: Rows
    base: Base | None
    coefficients: Coefficients = None


class Entries(NamedTuple):
    """Entries of a matrix with one row per element, in any order, and their values if
    coefficients are followed. Those in one place are added."""

    rows: Integer[np.ndarray, " entries"]
    cols: Integer[np.ndarray, " entries"]
    values: Coefficients


def num_entries(term: Term) -> int:
    """Number of entries of a term."""
    if term.base is None:
        return int(np.count_nonzero(term.rows >= 0))
    lengths = row_lengths(term.base.matrix, term.rows[term.rows >= 0])
    return int(lengths.sum(dtype=np.int64))


def has_coefficients(terms: Sequence[Term]) -> bool:
    return any(term.coefficients is not None for term in terms)


def layers(columns: Sequence[Sequence[Term]]) -> Iterator[Sequence[Term | None]]:
    """Terms of one base, a layer holding one of each operand at most. Those with constant
    coefficients share layers, which stay constant."""
    for constant in (True, False):
        of_kind = [
            [term for term in column if co.is_constant(term.coefficients) is constant]
            for column in columns
        ]
        yield from zip_longest(*of_kind)


def _common_rows(term: Term, other: Term) -> Rows | None:
    """The rows of two terms of one base as one, if they agree wherever both have any; a few
    elements decide most cases."""
    rows, others = term.rows, other.rows
    if rows is others:
        return rows
    size = rows.size
    for place in (0, size // 2, size - 1) if size else ():
        row, other_row = rows.item(place), others.item(place)
        if row != other_row and row >= 0 and other_row >= 0:
            return None
    step = size // 64
    if step > 1 and not _agree(rows.flat[::step], others.flat[::step]).all():
        return None
    if size > 1 and not _agree(rows, others).all():
        return None
    return np.asarray(np.maximum(rows, others))


def joined_rows(term: Term, other: Term) -> Rows | None:
    """The rows of two terms of one base that may become one: if that makes no constant
    coefficient one that is computed, but where both have it."""
    if (rows := _common_rows(term, other)) is None:
        return None
    constant = co.is_constant(term.coefficients), co.is_constant(other.coefficients)
    if constant[0] == constant[1] or ((term.rows >= 0) & (other.rows >= 0)).any():
        return rows
    return None


def without_repeats(terms: Sequence[Term]) -> list[Term]:
    """The terms, of one base, less those each of whose elements copies a row that another
    term copies there, too: their coefficients are added to those of the others.

    An element less the mean of its row, for example, then has as many terms as the row has
    elements. Constant coefficients stay constant where nothing is added to them.
    """
    kept, k = list(terms), 0
    if not _may_repeat([term.rows for term in terms]):
        return kept
    while k < len(kept):
        rest = _with_repeat(kept[k], kept[:k] + kept[k + 1 :])
        kept, k = (kept, k + 1) if rest is None else (rest, k)
    return kept


def _with_repeat(term: Term, others: Sequence[Term]) -> list[Term] | None:
    """The others with a term added to them, `None` if they do not copy all of its rows."""
    may_change = co.is_constant(term.coefficients)
    hosts = [
        other for other in others if may_change or not co.is_constant(other.coefficients)
    ]
    if not hosts or not _are_repeated(term.rows, [host.rows for host in hosts]):
        return None
    left, result = term.rows >= 0, []
    for other in others:
        if term.coefficients is not None and any(other is host for host in hosts):
            shared = left & (other.rows == term.rows)
            left = left & ~shared
            if shared.any():
                part = co.keep_where(shared, term.coefficients)
                other = replace(other, coefficients=co.add(other.coefficients, part))
        result.append(other)
    return result


def _may_repeat(rows: Sequence[Rows]) -> bool:
    """Whether both the first and the last row number of one are among those of the others,
    which is quick to see for many."""
    ends = np.stack([part.flat[[0, -1] if part.size else []] for part in rows])
    repeated = (ends[:, None] == ends).sum(axis=1) > 1
    return bool((repeated | (ends < 0)).all(axis=1).any())


def _are_repeated(rows: Rows, others: Sequence[Rows]) -> bool:
    """Whether each row number is one of the others of its element; a few elements decide
    most cases."""
    for step in (rows.size // 64, 1):
        few, *of_others = [x.flat[::step] if step > 1 else x for x in (rows, *others)]
        repeated = few < 0
        for other in of_others:
            repeated = repeated | (few == other)
        if not repeated.all():
            return False
    return True


def _agree(rows: Rows, others: Rows) -> Bool[np.ndarray, "..."]:
    return np.asarray((rows == others) | (rows < 0) | (others < 0))


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Rows of a base that are added to elements, edge by edge."""

    targets: Integer[np.ndarray, " edges"]
    rows: Integer[np.ndarray, "..."]
    """Of any shape, as the values: what repeats along an axis takes no memory."""
    values: Coefficients

    @classmethod
    def of(
        cls,
        term: Term,
        targets: Integer[np.ndarray, " edges"],
        sources: Integer[np.ndarray, " edges"] | None,
        weights: Coefficients,
    ) -> "Edges":
        rows, values = term.rows, term.coefficients
        rows = rows if sources is None else rows.reshape(-1)[sources]
        if values is not None:
            values = values if sources is None else co.take(values, sources)
            if weights is not None:
                values = co.multiply(values.reshape(-1), weights)
        if (kept := rows >= 0).all():
            return cls(targets, rows, values)
        values = None if values is None else co.take(values, np.flatnonzero(kept))
        return cls(targets[kept.reshape(-1)], rows[kept], values)

    def only_rows(self, size: int) -> Rows | None:
        """The row of each of `size` elements, `None` if some element has several."""
        given, some = self.rows.reshape(-1), self.targets.size // 2
        # One element decides most cases; the first one often lies on a boundary.
        of_one = given[self.targets == self.targets[some : some + 1]]
        if (of_one != of_one[:1]).any():
            return None
        rows = np.full(size, NOTHING)
        rows[self.targets] = given
        return rows if np.array_equal(rows[self.targets], given) else None

    def sums(self, size: int) -> Coefficients:
        """The sum of the values that are added to each of `size` elements."""
        if self.values is None:
            return None
        return co.add_at([self.values.reshape(-1)], [self.targets], size)


def matrix_of(
    parts: Sequence[Edges], shape: tuple[int, int]
) -> tuple[csr_array, Coefficients]:
    """The matrix of the targets and rows of all edges, and its values if there are any.

    Where all parts have the same targets, what belongs to one target stays together: it is
    sorted, and added up, in less than half the time.
    """
    targets, *others = [part.targets for part in parts]
    alike = all(np.array_equal(targets, other) for other in others)
    columns = [part.rows for part in parts]
    if not alike:
        targets = np.concatenate([targets, *others])
        columns = [np.concatenate([column.reshape(-1) for column in columns])]
    if parts[0].values is None:
        return boolean_by_rows(targets, columns, shape), None
    matrix, groups = grouped(targets, columns, shape)
    values = [part.values for part in parts]
    if alike:
        joined = co.stack(values).reshape(len(values), -1).T.reshape(-1)
    else:
        joined = co.concatenate([x.reshape(-1) for x in values])
    return matrix, co.sum_groups(joined, groups)


def lift(matrix: csr_array, values: Coefficients, base: Base | None, shape: Shape) -> Term:
    """The term whose element `k` depends on the union of the rows of `base` that row
    `k` of `matrix` lists."""
    counts = np.diff(matrix.indptr)
    if counts.max(initial=0) <= 1:
        has_row = counts > 0
        rows = np.full(matrix.shape[0], NOTHING)
        rows[has_row] = matrix.indices
        if values is not None:
            values = co.take(values, np.where(has_row, np.cumsum(has_row) - 1, -1))
            values = values.reshape(shape)
        return Term(rows.reshape(shape), base, values)
    if base is not None:
        local, matrix = matrix, product(matrix, base.matrix)
        if values is not None:
            values = _product_values(local, values, base, matrix)
    rows = np.arange(matrix.shape[0], dtype=np.int32).reshape(shape)
    coefficients = None if values is None else co.ones(shape, values.dtype)
    return Term(rows, Base(matrix, values), coefficients)


def _product_values(
    left: csr_array, values: Coefficients, right: Base, result: csr_array
) -> Coefficients:
    """The values of the product `result` of two sparse matrices, in the order of its
    entries."""
    lengths = np.diff(right.matrix.indptr)[left.indices]
    if (terms := int(lengths.sum(dtype=np.int64))) > _MAX_EXPANDED:
        raise co.NoCoefficients("a product of two large sparse matrices")
    rows = np.repeat(np.arange(left.shape[0]), np.diff(left.indptr))
    of_left = np.repeat(np.arange(left.nnz), lengths)
    within = np.arange(terms) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    of_right = right.matrix.indptr[left.indices][of_left] + within
    cols = right.matrix.indices[of_right]
    _, groups = grouped(rows[of_left], [cols], result.shape)
    of_base = co.take(right.values, of_right).astype(values.dtype)
    products = co.multiply(co.take(values, of_left), of_base)
    return co.sum_groups(products, groups)


def entries_of(term: Term) -> Entries:
    rows = term.rows.reshape(-1)
    element = np.flatnonzero(rows >= 0)
    values = term.coefficients
    if values is not None:
        values = co.take(values, element)
    if term.base is None:
        return Entries(element, rows[element], values)
    matrix, of_base = term.base.matrix, term.base.values
    lengths, cols = row_lengths(matrix, rows[element]), matrix.indices
    repeats = np.repeat(np.arange(element.size, dtype=np.int32), lengths)
    if not np.array_equal(rows, np.arange(matrix.shape[0])):
        starts = matrix.indptr[rows[element]]
        first = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        positions = first + np.arange(repeats.size)
        cols = cols[positions]
        of_base = of_base if values is None else co.take(of_base, positions)
    if values is not None:
        # The elements may have been converted since the matrix was made.
        values = co.multiply(co.take(values, repeats), of_base.astype(values.dtype))
    return Entries(element[repeats], cols, values)
