"""`Dependence`: which inputs each element of an array depends on.

The elements of an array of any shape depend on sets of the `n` inputs. Most programs move
elements about and add up a few of them, so the sets are kept as a short union of *terms*.
A term copies, for each element, one row of a boolean matrix: the identity at first (the
element depends on one input), or a matrix that a product left behind. Moving elements
moves row numbers, an array of the element's own shape; only a true combination of many
elements builds a matrix, by SciPy's compiled kernels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import zip_longest
from math import prod
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from jaxtyping import Bool, Int32, Integer
from scipy.sparse import csr_array, vstack

Shape: TypeAlias = tuple[int, ...]
Rows: TypeAlias = Int32[np.ndarray, "..."]

NOTHING = np.int32(-1)
"""Row number of an element that depends on no input."""

_MAX_TERMS = 16
"""A union of more terms than this is computed as one matrix."""


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


def _check_entries(entries: int) -> None:
    if entries > (limit := _max_nnz.get()):
        raise TooManyEntries(entries, limit)


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """For each element the row of `base` that holds its inputs; `NOTHING` for none.

    `base` is a boolean matrix with `n` columns, canonical, with every stored value true;
    `None` is the identity.
    """

    rows: Rows
    base: csr_array | None


@dataclass(frozen=True, slots=True, eq=False)
class Dependence:
    """The inputs, out of `n`, that each element of an array of shape `shape` depends on:
    the union of `terms`, nothing if there are none."""

    shape: Shape
    n: int
    terms: tuple[Term, ...]

    @property
    def size(self) -> int:
        """Number of elements of the array."""
        return prod(self.shape)

    def take(self, positions: Integer[np.ndarray, "*new"]) -> "Dependence":
        """The array whose elements copy those at flat `positions`; -1 copies none.

        Cost: O(positions) per term.
        """
        if not self.size:
            return nothing(positions.shape, self.n)
        missing = positions < 0
        any_missing = missing.any()

        def pick(rows: np.ndarray) -> Any:
            picked = rows.reshape(-1)[positions]
            return np.where(missing, NOTHING, picked) if any_missing else picked

        return combine([self], pick, positions.shape)

    def where(self, keep: Bool[np.ndarray, "*shape"]) -> "Dependence":
        """The same array with no dependence where `keep` is false."""
        return combine([self], lambda rows: np.where(keep, rows, NOTHING), self.shape)

    def reshape(self, shape: Shape) -> "Dependence":
        """The same elements in another shape."""
        return combine([self], lambda rows: rows.reshape(shape), shape)

    def spread(
        self,
        targets: Integer[np.ndarray, " edges"],
        sources: Integer[np.ndarray, " edges"],
        shape: Shape,
    ) -> "Dependence":
        """The array of shape `shape` whose element `t` depends on all that the elements
        `s` depend on, over the edges `(t, s)` of flat positions.

        This is the boolean product with a local pattern. Cost: a sort of the edges by
        target for each term, and a boolean matrix product for each matrix.
        """
        size = prod(shape)
        terms = []
        products: dict[int, tuple[csr_array | None, list[csr_array]]] = {}
        for term in self.terms:
            rows = term.rows.reshape(-1)[sources]
            kept = rows >= 0
            if not kept.all():
                rows, into = rows[kept], targets[kept]
            else:
                into = targets
            width = self.n if term.base is None else term.base.shape[0]
            local = boolean(into, rows, (size, width))
            if np.diff(local.indptr).max(initial=0) <= 1:
                terms.append(_lift(local, term.base, shape))
            else:
                products.setdefault(id(term.base), (term.base, []))[1].append(local)
        for base, locals_at_base in products.values():
            terms.append(_lift(_sum(locals_at_base), base, shape))
        return _union(shape, self.n, terms)

    def gather_union(
        self, views: Sequence[Integer[np.ndarray, "*new"]], shape: Shape
    ) -> "Dependence":
        """The array of shape `shape` each element of which depends on what the elements
        at its position in each of the `views` depend on; -1 adds nothing."""
        if len(views) * len(self.terms) <= _MAX_TERMS:
            return union([nothing(shape, self.n), *map(self.take, views)])
        sources = np.stack([view.reshape(-1) for view in views], axis=1)
        targets = np.broadcast_to(np.arange(len(sources))[:, None], sources.shape)
        seen = sources >= 0
        return self.spread(targets[seen], sources[seen], shape)

    def mix(
        self,
        axis: int,
        targets: Integer[np.ndarray, " edges"],
        sources: Integer[np.ndarray, " edges"],
    ) -> "Dependence":
        """The array whose element at position `t` along `axis` depends on that at position
        `s`, over the edges `(t, s)`, for all positions along the other axes."""
        index = np.arange(self.size).reshape(self.shape)
        into, of = (np.take(index, part, axis).reshape(-1) for part in (targets, sources))
        return self.spread(into, of, self.shape)

    def merge(self, axes: Iterable[SupportsIndex]) -> "Dependence":
        """The array whose elements depend on all elements along `axes` together (which
        keep length one), like a sum over them."""
        axes = tuple(int(axis) for axis in axes if self.shape[axis] != 1)
        if not axes:
            return self
        shape = tuple(1 if axis in axes else dim for axis, dim in enumerate(self.shape))
        if not self.size:
            return nothing(shape, self.n)
        length = prod(self.shape[axis] for axis in axes)
        if length * len(self.terms) <= _MAX_TERMS:
            index = np.arange(self.size).reshape(self.shape)
            lanes = np.moveaxis(index, axes, range(-len(axes), 0)).reshape(-1, length)
            return self.gather_union([lane.reshape(shape) for lane in lanes.T], shape)
        targets = np.arange(prod(shape), dtype=np.int32).reshape(shape)
        targets = np.broadcast_to(targets, self.shape).reshape(-1)
        return self.spread(targets, np.arange(self.size, dtype=np.int32), shape)

    def broadcast(self, shape: Shape) -> "Dependence":
        """The array repeated along axes of length one, to shape `shape`."""
        return combine([self], lambda rows: np.broadcast_to(rows, shape), shape)

    def count(self) -> int:
        """Number of entries, those that several terms have in common counted each time.

        Cost: one pass over the row numbers; no matrix is made.
        """
        total = 0
        for term in self.terms:
            rows = term.rows[term.rows >= 0]
            lengths = None if term.base is None else np.diff(term.base.indptr)
            total += (
                rows.size if lengths is None else int(lengths[rows].sum(dtype=np.int64))
            )
        return total

    def whole(self) -> "Dependence":
        """One element (shape `()`) that depends on all that any element depends on."""
        flat = self.reshape((self.size,))
        return flat.merge((0,)).reshape(()) if self.size else nothing((), self.n)

    def matrix(self) -> csr_array:
        """The boolean matrix of shape `(size, n)`, canonical (sorted, no duplicates).

        Cost: linear in its entries, times the number of terms.
        """
        matrices = []
        inputs = [term.rows.reshape(-1) for term in self.terms if term.base is None]
        if inputs:
            matrices.append(_from_lists(np.stack(inputs, axis=1), self.n))
        for term in self.terms:
            if term.base is not None:
                matrices.append(_select(term.base, term.rows.reshape(-1)))
        if not matrices:
            return csr_array((self.size, self.n), dtype=bool)
        return _sum(matrices)


def nothing(shape: Shape, n: int) -> Dependence:
    """An array that depends on no input."""
    return Dependence(tuple(shape), n, ())


def identity(shape: Shape, n: int, offset: int = 0) -> Dependence:
    """An array that holds the inputs `offset, offset + 1, ...` of `n`."""
    rows = np.arange(offset, offset + prod(shape), dtype=np.int32).reshape(shape)
    return Dependence(tuple(shape), n, (Term(rows, None),))


def from_matrix(matrix: csr_array, shape: Shape) -> Dependence:
    """An array whose element `k` depends on the inputs in row `k` of `matrix`."""
    return Dependence(tuple(shape), matrix.shape[1], (_lift(matrix, None, shape),))


def union(operands: Sequence[Dependence]) -> Dependence:
    """An array that depends, element by element, on what each operand depends on.

    The operands have one shape. Cost: O(1), or that of `Dependence.matrix` when there
    are many terms.
    """
    first = operands[0]
    return _union(first.shape, first.n, [term for dep in operands for term in dep.terms])


def stack(operands: Sequence[Dependence]) -> Dependence:
    """Arrays of one shape along a new leading axis."""
    shape = (len(operands), *operands[0].shape)
    bases = {id(term.base) for dep in operands for term in dep.terms}
    if len(bases) <= _MAX_TERMS:
        return combine(operands, lambda *rows: np.stack(rows), shape)
    matrices = vstack([dep.matrix() for dep in operands], format="csr")
    return from_matrix(csr_array(matrices), shape)


def combine(
    operands: Sequence[Dependence], move: Callable[..., Any], shape: Shape
) -> Dependence:
    """An array of shape `shape` each element of which copies an element of an operand.

    `move` makes the array out of arrays like the operands (`np.concatenate`, a slice,
    ...). It is applied to the row numbers, for each matrix and each layer of terms.
    """
    bases = {id(term.base): term.base for dep in operands for term in dep.terms}
    terms = []
    for base in bases.values():
        columns = [
            [term.rows for term in dep.terms if term.base is base] for dep in operands
        ]
        for layer in zip_longest(*columns):
            filled = (
                np.broadcast_to(NOTHING, dep.shape) if rows is None else rows
                for dep, rows in zip(operands, layer, strict=True)
            )
            terms.append(Term(np.asarray(move(*filled)), base))
    return _union(shape, operands[0].n, terms)


def boolean(
    rows: Integer[np.ndarray, " entries"],
    cols: Integer[np.ndarray, " entries"],
    shape: tuple[int, int],
) -> csr_array:
    """The canonical boolean matrix with the given entries, repeated ones merged."""
    values = np.ones(rows.size, bool)
    matrix = csr_array((values, (rows, cols)), shape=shape)
    matrix.sum_duplicates()
    _check_entries(matrix.nnz)
    return matrix


def _sum(matrices: Sequence[csr_array]) -> csr_array:
    """The canonical boolean matrix whose entries are those of all the matrices."""
    total = matrices[0]
    for matrix in matrices[1:]:
        total = csr_array(total + matrix)
        _check_entries(total.nnz)
    total.sort_indices()
    return total


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
        _check_entries(entries)
        start = stop
    result = csr_array(vstack(blocks, format="csr"))
    result.sort_indices()
    return result


def _from_lists(inputs: Int32[np.ndarray, "size k"], n: int) -> csr_array:
    """The matrix whose row `i` holds the inputs listed in row `i`, less `NOTHING`."""
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
    _check_entries(matrix.nnz)
    return matrix


def _union(shape: Shape, n: int, terms: Sequence[Term]) -> Dependence:
    distinct: list[Term] = []
    for term in terms:
        if not any(_same(term, other) for other in distinct):
            distinct.append(term)
    dependence = Dependence(tuple(shape), n, tuple(distinct))
    if len(distinct) > _MAX_TERMS:
        return from_matrix(dependence.matrix(), dependence.shape)
    return dependence


def _same(term: Term, other: Term) -> bool:
    """Whether two terms are equal; a few elements decide most cases."""
    if term.base is not other.base:
        return False
    if term.rows is other.rows:
        return True
    step = max(1, term.rows.size // 64)
    if not np.array_equal(term.rows.flat[::step], other.rows.flat[::step]):
        return False
    return np.array_equal(term.rows, other.rows)


def _lift(matrix: csr_array, base: csr_array | None, shape: Shape) -> Term:
    """The term whose element `k` depends on the union of the rows of `base` that row
    `k` of `matrix` lists."""
    counts = np.diff(matrix.indptr)
    if counts.max(initial=0) <= 1:
        rows = np.full(matrix.shape[0], NOTHING)
        rows[counts > 0] = matrix.indices
        return Term(rows.reshape(shape), base)
    if base is not None:
        matrix = product(matrix, base)
    return Term(np.arange(matrix.shape[0], dtype=np.int32).reshape(shape), matrix)


def _select(base: csr_array, rows: Int32[np.ndarray, " size"]) -> csr_array:
    """The matrix of the given rows of `base`; `NOTHING` gives an empty row."""
    lengths = np.diff(base.indptr)
    lengths = np.where(rows < 0, 0, lengths[rows]) if lengths.size else np.zeros_like(rows)
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    _check_entries(int(indptr[-1]))
    starts = np.where(rows < 0, 0, base.indptr[rows])
    positions = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], lengths)
    indices = base.indices[positions]
    return csr_array(
        (np.ones(indices.size, bool), indices, indptr), shape=(rows.size, base.shape[1])
    )
