"""`Dependence`: which inputs each element of an array depends on, and how.

The elements of an array of any shape depend on sets of the `n` inputs. Most programs move
elements about and add up a few of them, so the sets are kept as a short union of *terms*.
A term copies, for each element, one row of a matrix: the identity at first (the element
depends on one input), or a matrix that a product left behind. Moving elements moves row
numbers, an array of the element's own shape; only a true combination of many elements
builds a matrix, by SciPy's compiled kernels.

Detection follows rows alone. If coefficients are followed, too, the elements are the sums
of their terms, each with a coefficient per element. The methods are then linear maps:
`take` copies elements, `spread` multiplies by a sparse matrix, `merge` and `union` add.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, SupportsIndex

import numpy as np
from jaxtyping import Bool, Integer
from scipy.sparse import csr_array, vstack

from . import coefficients as co
from .coefficients import Coefficients
from .matrices import boolean, check_entries, from_lists, select_rows, total
from .terms import (
    NOTHING,
    Base,
    Edges,
    Entries,
    Shape,
    Term,
    entries_of,
    has_coefficients,
    joined_rows,
    layers,
    lift,
    matrix_of,
    num_entries,
    without_repeats,
)

MAX_TERMS = 16
"""A union of more terms than this is computed as one matrix."""

_FEW_ENTRIES = 2**16
"""Terms of at most so many entries are joined by sorting them, others as matrices."""


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
        return combine([self], lambda x: co.take(x, positions), positions.shape)

    def where(self, keep: Bool[np.ndarray, "*shape"]) -> "Dependence":
        """The same array with zeros where `keep` is false."""
        return combine([self], lambda x: co.keep_where(keep, x), self.shape)

    def without(self, zero: Bool[np.ndarray, "..."]) -> "Dependence":
        """The same array with zeros where its elements are known to be zero: coefficients
        may be infinite there, or not a number, if a product overflows."""
        if not zero.any():
            return self
        if zero.all():
            return nothing(self.shape, self.n)
        return self.where(np.broadcast_to(~zero, self.shape))

    @property
    def bare(self) -> "Dependence":
        """The same without coefficients."""
        terms = [replace(term, coefficients=None) for term in self.terms]
        return replace(self, terms=tuple(terms))

    def map(self, function: Callable[[Coefficients], Coefficients]) -> "Dependence":
        """The array whose coefficients are `function` of the coefficients: a linear map
        element by element, such as a product with known or computed values."""
        terms = [
            term
            if term.coefficients is None
            else replace(term, coefficients=function(term.coefficients))
            for term in self.terms
        ]
        return replace(self, terms=tuple(terms))

    def map_entries(self, function: Callable[[Coefficients], Coefficients]) -> "Dependence":
        """Like `map`, for a function such as a real part, which is linear in real numbers
        only: applied to the products of coefficients and values of matrices."""
        terms = []
        for term in self.terms:
            if term.base is None or term.coefficients is None:
                terms += replace(self, terms=(term,)).map(function).terms
            else:
                matrix = select_rows(term.base.matrix, term.rows.reshape(-1))
                values = function(entries_of(term).values)
                terms.append(lift(matrix, values, None, self.shape))
        return _union(self.shape, self.n, terms)

    def reshape(self, shape: Shape) -> "Dependence":
        """The same elements in another shape."""
        return combine([self], lambda x: x.reshape(shape), shape)

    def spread(
        self,
        targets: Integer[np.ndarray, " edges"],
        sources: Integer[np.ndarray, " edges"] | None,
        shape: Shape,
        weights: Coefficients = None,
    ) -> "Dependence":
        """The array of shape `shape` whose element `t` is the sum of the elements `s` over
        the edges `(t, s)` of flat positions, each times the weight of its edge, if given.
        Without `sources`, there is an edge from each element, in their order.

        This is the product with a local, sparse matrix. Cost: a sort of the edges by
        target for each term, and a sparse matrix product for each matrix.
        """
        size = prod(shape)
        terms = []
        products: dict[int, tuple[Base | None, list[Edges]]] = {}
        for term in self.terms:
            edges = Edges.of(term, targets, sources, weights)
            if (rows := edges.only_rows(size)) is not None:
                values = edges.sums(size)
                values = None if values is None else values.reshape(shape)
                terms.append(Term(rows.reshape(shape), term.base, values))
            else:
                products.setdefault(id(term.base), (term.base, []))[1].append(edges)
        for base, parts in products.values():
            height = self.n if base is None else base.matrix.shape[0]
            local, values = matrix_of(parts, (size, height))
            terms.append(lift(local, values, base, shape))
        return _union(shape, self.n, terms)

    def gather_union(
        self,
        views: Sequence[Integer[np.ndarray, "*new"]],
        shape: Shape,
        weights: Sequence[Coefficients] | None = None,
    ) -> "Dependence":
        """The array of shape `shape` each element of which is the sum of the elements at
        its position in each of the `views`, times the view's weights, if given, of a shape
        that broadcasts to `shape`; -1 adds nothing."""
        if len(views) * len(self.terms) <= MAX_TERMS:
            parts = list(map(self.take, views))
            if weights is not None:
                parts = [
                    part.map(lambda x, w=weight: co.multiply(x, w))
                    for part, weight in zip(parts, weights, strict=True)
                ]
            return union([nothing(shape, self.n), *parts])
        sources = np.stack([view.reshape(-1) for view in views])
        targets = np.broadcast_to(np.arange(sources.shape[1]), sources.shape)
        seen, of_edge = sources >= 0, None
        if weights is not None:
            flat = [co.broadcast_to(weight, shape).reshape(-1) for weight in weights]
            of_edge = co.take(co.concatenate(flat), np.flatnonzero(seen))
        return self.spread(targets[seen], sources[seen], shape, of_edge)

    def merge(self, axes: Iterable[SupportsIndex]) -> "Dependence":
        """The array whose elements are the sums along `axes` (which keep length one)."""
        axes = tuple(int(axis) for axis in axes if self.shape[axis] != 1)
        if not axes:
            return self
        shape = tuple(1 if axis in axes else dim for axis, dim in enumerate(self.shape))
        if not self.size:
            return nothing(shape, self.n)
        alike, rest = self.split_uniform(axes)
        sums = [
            replace(
                term,
                rows=term.rows.max(axis=axes, keepdims=True),
                coefficients=co.sum_along(term.coefficients, axes),
            )
            for term in alike.terms
        ]
        return union([Dependence(shape, self.n, tuple(sums)), rest._merge(axes, shape)])

    def _merge(self, axes: tuple[int, ...], shape: Shape) -> "Dependence":
        length = prod(self.shape[axis] for axis in axes)
        if length * len(self.terms) <= MAX_TERMS:
            index = np.arange(self.size).reshape(self.shape)
            lanes = np.moveaxis(index, axes, range(-len(axes), 0)).reshape(-1, length)
            return self.gather_union([lane.reshape(shape) for lane in lanes.T], shape)
        targets = np.arange(prod(shape), dtype=np.int32).reshape(shape)
        targets = np.broadcast_to(targets, self.shape).reshape(-1)
        return self.spread(targets, None, shape)

    def split_uniform(self, axes: tuple[int, ...]) -> tuple["Dependence", "Dependence"]:
        """The terms whose rows do not change along `axes`, and the others. To combine
        elements along these axes combines the coefficients, and leaves rows as they are."""
        alike, rest = [], []
        for term in self.terms:
            row = term.rows.max(axis=axes, keepdims=True, initial=NOTHING)
            (alike if ((term.rows == row) | (term.rows < 0)).all() else rest).append(term)
        return replace(self, terms=tuple(alike)), replace(self, terms=tuple(rest))

    def broadcast(self, shape: Shape) -> "Dependence":
        """The array repeated along axes of length one, to shape `shape`."""
        return combine([self], lambda x: co.broadcast_to(x, shape), shape)

    def count(self) -> int:
        """Number of entries, those that several terms have in common counted each time.

        Cost: one pass over the row numbers; no matrix is made.
        """
        return sum(map(num_entries, self.terms))

    def whole(self) -> "Dependence":
        """One element (shape `()`) that depends on all that any element depends on."""
        flat = self.reshape((self.size,))
        return flat.merge((0,)).reshape(()) if self.size else nothing((), self.n)

    def matrix(self) -> csr_array:
        """The boolean matrix of shape `(size, n)`, canonical (sorted, no duplicates).

        Cost: linear in its entries, times the number of terms.
        """
        counts = list(map(num_entries, self.terms))
        check_entries(max(counts, default=0))
        matrices, few, inputs = [], [], []
        for term, count in zip(self.terms, counts, strict=True):
            if count <= _FEW_ENTRIES:
                few.append(entries_of(replace(term, coefficients=None)))
            elif term.base is None:
                inputs.append(term.rows.reshape(-1))
            else:
                matrices.append(select_rows(term.base.matrix, term.rows.reshape(-1)))
        if inputs:
            matrices.append(from_lists(np.stack(inputs, axis=1), self.n))
        if few:
            rows, cols, _ = zip(*few, strict=True)
            shape = self.size, self.n
            matrices.append(boolean(np.concatenate(rows), np.concatenate(cols), shape))
        if not matrices:
            return csr_array((self.size, self.n), dtype=bool)
        return total(matrices)

    def entries(self) -> list[Entries]:
        """The entries of the matrix of shape `(size, n)`, term by term."""
        return [entries_of(term) for term in self.terms]


def nothing(shape: Shape, n: int) -> Dependence:
    """An array that depends on no input."""
    return Dependence(tuple(shape), n, ())


def identity(shape: Shape, n: int, offset: int = 0, dtype: Any = None) -> Dependence:
    """An array that holds the inputs `offset, offset + 1, ...` of `n`; with a dtype,
    coefficients are followed."""
    rows = np.arange(offset, offset + prod(shape), dtype=np.int32).reshape(shape)
    coefficients = None if dtype is None else co.ones(shape, dtype)
    return Dependence(tuple(shape), n, (Term(rows, None, coefficients),))


def from_matrix(matrix: csr_array, shape: Shape, values: Coefficients = None) -> Dependence:
    """An array whose element `k` depends on the inputs in row `k` of `matrix`, by the
    values of its entries if coefficients are followed."""
    return Dependence(tuple(shape), matrix.shape[1], (lift(matrix, values, None, shape),))


def as_matrix(dependence: Dependence) -> Dependence:
    """The same elements as one term."""
    matrix, values = _whole_matrix([dependence])
    return from_matrix(matrix, dependence.shape, values)


def _whole_matrix(operands: Sequence[Dependence]) -> tuple[csr_array, Coefficients]:
    """The matrix with one row for each element of the operands, one operand after the
    other, and its values if coefficients are followed."""
    if not any(has_coefficients(dep.terms) for dep in operands):
        matrices = [dep.matrix() for dep in operands]
        if len(matrices) == 1:
            return matrices[0], None
        check_entries(sum(matrix.nnz for matrix in matrices))
        return csr_array(vstack(matrices, format="csr")), None
    ends = np.cumsum([dep.size for dep in operands])
    edges = [
        Edges(part.rows + (end - dep.size), part.cols, part.values)
        for dep, end in zip(operands, ends, strict=True)
        for part in dep.entries()
    ]
    return matrix_of(edges, (int(ends[-1]), operands[0].n))


def union(operands: Sequence[Dependence]) -> Dependence:
    """An array whose elements are the sums of those of the operands.

    The operands have one shape. Cost: O(size) for each pair of terms, or that of
    `Dependence.matrix` when there are many terms.
    """
    first = operands[0]
    return _union(first.shape, first.n, [term for dep in operands for term in dep.terms])


def stack(operands: Sequence[Dependence]) -> Dependence:
    """Arrays of one shape along a new leading axis."""
    shape = (len(operands), *operands[0].shape)
    bases = {id(term.base) for dep in operands for term in dep.terms}
    if len(bases) <= MAX_TERMS:
        return combine(operands, lambda *xs: co.stack(xs), shape)
    matrix, values = _whole_matrix(operands)
    return from_matrix(matrix, shape, values)


def combine(
    operands: Sequence[Dependence], move: Callable[..., Any], shape: Shape
) -> Dependence:
    """An array of shape `shape` each element of which copies an element of an operand.

    `move` makes the array out of arrays like the operands (`co.concatenate`, a slice,
    ...). It is applied to the row numbers, for each matrix and each layer of terms, and to
    the coefficients.

    Cost: that of `move`, for each matrix and layer. Operands of many matrices are joined
    first, so that the cost is in proportion to their number.
    """
    bases = {id(term.base): term.base for dep in operands for term in dep.terms}
    if len(bases) > MAX_TERMS and len(operands) > 1:
        operands = _on_one_base(operands)
        bases = {id(term.base): term.base for dep in operands for term in dep.terms}
    terms = []
    for base in bases.values():
        columns = [[term for term in dep.terms if term.base is base] for dep in operands]
        for layer in layers(columns):
            rows = (
                np.broadcast_to(NOTHING, dep.shape) if term is None else term.rows
                for dep, term in zip(operands, layer, strict=True)
            )
            coefficients = _filled(operands, layer)
            moved = None if coefficients is None else move(*coefficients)
            terms.append(Term(np.asarray(move(*rows)), base, moved))
    return _union(shape, operands[0].n, terms)


def _on_one_base(operands: Sequence[Dependence]) -> list[Dependence]:
    """The same arrays, whose matrices are parts of one."""
    on_bases = [
        replace(dep, terms=tuple(term for term in dep.terms if term.base is not None))
        for dep in operands
    ]
    matrix, values = _whole_matrix(on_bases)
    base = Base(matrix, values)
    ends = np.cumsum([dep.size for dep in operands])
    result = []
    for dep, on_base, end in zip(operands, on_bases, ends, strict=True):
        terms = [term for term in dep.terms if term.base is None]
        if on_base.terms:
            rows = np.arange(end - dep.size, end, dtype=np.int32).reshape(dep.shape)
            ones = None if values is None else co.ones(dep.shape, values.dtype)
            terms.append(Term(rows, base, ones))
        result.append(replace(dep, terms=tuple(terms)))
    return result


def align(operands: Sequence[Dependence], join: Callable[..., Coefficients]) -> Dependence:
    """The array of the operands' shape that a linear map of several arrays, element by
    element, makes of them: `join` is applied to coefficients of equal rows."""
    first = operands[0]
    groups: list[tuple[Term, list[Coefficients]]] = []
    of_base: dict[int, list[int]] = {}
    for k, dependence in enumerate(operands):
        for term in dependence.terms:
            alike = of_base.setdefault(id(term.base), [])
            for number in alike:
                kept, parts = groups[number]
                rows = None if parts[k] is not None else joined_rows(kept, term)
                if rows is not None:
                    parts[k] = term.coefficients
                    groups[number] = replace(kept, rows=rows), parts
                    break
            else:
                parts = [None] * len(operands)
                parts[k] = term.coefficients
                alike.append(len(groups))
                groups.append((term, parts))
    terms = []
    for term, parts in groups:
        if term.coefficients is not None:
            dtypes = [part.dtype for part in parts if part is not None]
            filled = [
                co.zeros(first.shape, _dtype_of(dep) or dtypes[0]) if part is None else part
                for dep, part in zip(operands, parts, strict=True)
            ]
            term = replace(term, coefficients=join(*filled))
        terms.append(term)
    return _union(first.shape, first.n, terms)


def _dtype_of(dependence: Dependence) -> Any:
    return next((term.coefficients.dtype for term in dependence.terms), None)


def _filled(
    operands: Sequence[Dependence], layer: Sequence[Term | None]
) -> list[Coefficients] | None:
    """The coefficients of a layer, zeros where an operand has no term in it."""
    given = [term.coefficients for term in layer if term is not None]
    if given[0] is None:
        return None
    return [
        co.zeros(dep.shape, given[0].dtype) if term is None else term.coefficients
        for dep, term in zip(operands, layer, strict=True)
    ]


def _union(shape: Shape, n: int, terms: Sequence[Term]) -> Dependence:
    distinct: list[Term] = []
    of_base: dict[int, list[int]] = {}
    for term in terms:
        alike = of_base.setdefault(id(term.base), [])
        for k in alike:
            if (rows := joined_rows(distinct[k], term)) is not None:
                both = distinct[k].coefficients
                if both is not None:
                    both = co.add(both, term.coefficients)
                distinct[k] = Term(rows, term.base, both)
                break
        else:
            alike.append(len(distinct))
            distinct.append(term)
    if len(distinct) > len(of_base):
        distinct = [
            term
            for numbers in of_base.values()
            for term in without_repeats([distinct[k] for k in numbers])
        ]
    dependence = Dependence(tuple(shape), n, tuple(distinct))
    return _with_fewer_terms(dependence) if len(distinct) > MAX_TERMS else dependence


def _with_fewer_terms(dependence: Dependence) -> Dependence:
    """The same elements, the terms of fewest entries as one.

    All of them, unless the others have so many more: the unions of a tree, whose terms
    double in size from level to level, would else be made whole at each level.
    """
    terms = sorted(dependence.terms, key=num_entries)
    sums = np.cumsum([0, *map(num_entries, terms)])
    few = len(terms) - MAX_TERMS // 2
    while few < len(terms) and sums[few + 1] <= 2 * sums[few]:
        few += 1
    joined = as_matrix(replace(dependence, terms=tuple(terms[:few])))
    return replace(dependence, terms=(*joined.terms, *terms[few:]))
