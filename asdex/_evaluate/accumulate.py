"""Accumulation: the values of the entries by arithmetic on coefficients, without seeds.

The tangent of the function comes as a short sum of terms, each with one coefficient per
element of the output. Where each term has at most one entry per row, the values are read
from these arrays like from the rows of a compressed matrix; otherwise the entries of all
terms are sorted, and those in one place added.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Inexact, Integer, Num

from .._base.index import index_dtype
from .._base.sharding import typed_like
from .._detect import (
    Coefficients,
    Dependence,
    accumulate,
    add_at,
    as_jax,
    is_constant,
)
from .._detect import coefficients as co
from .._structure.layouts import find_entries
from .._structure.padding import has_equal_rows
from .._structure.pattern import SparsityPattern
from .._structure.sides import Side
from .compress import Linearization, check_output_dtype
from .options import Options
from .probe import with_check
from .read import plan_reading, read

Vector = Inexact[Array, " size"]


def accumulate_data(
    fun: Callable[[Vector], tuple[Array, Any]],
    x: Vector,
    pattern: SparsityPattern,
    order: int,
    options: Options,
    known: Mapping[int, Any],
) -> tuple[Num[Array, " nnz"], Any]:
    """The values of the Jacobian of `fun`, or of the Hessian if `order` is 2, in the order
    of the pattern, and the auxiliary output of `fun`.

    `known` holds the values of arrays that `fun` closes over, by their identity.

    **Raises:** `NoCoefficients` where the program has an operation without coefficients;
    `TypeError` if the output is real, but `holomorphic` is promised.
    """
    if order == 2:
        fun = jax.grad(fun, has_aux=True, holomorphic=options.holomorphic)
    with np.errstate(all="ignore"):  # Constants may overflow, as in JAX.
        tangent, y, aux = accumulate(fun, x, known)
        check_output_dtype(y.dtype, "fwd", options.holomorphic)
        data = as_jax(_in_order(tangent, y.dtype, pattern))
    if options.checked:
        _, push, _ = jax.linearize(fun, x, has_aux=True)
        linear_map = Linearization(lambda v: push(typed_like(v, x)), x.dtype, y.dtype)
        columns = np.zeros(pattern.n, np.int32)
        side = Side("column", columns, 1, 0, pattern.cols, pattern.rows, pattern.m)
        data = with_check(data, data, linear_map, side)
    return data, aux


class ConstantEntries(NamedTuple):
    """Entries whose values never change.

    Others may be constant, too, without this being seen: only what is computed from
    constants in few steps is known to be one.
    """

    sparsity: SparsityPattern
    """The pattern of the matrix."""
    is_constant: Bool[np.ndarray, " nnz"]
    """Whether the value of each entry is known not to change."""
    values: Num[np.ndarray, " nnz"]
    """These values; zero for the other entries."""


def find_constant_entries(
    fun: Callable[[Vector, Any], tuple[Array, Any]],
    x: jax.ShapeDtypeStruct,
    others: Any,
    pattern: SparsityPattern,
    order: int,
) -> ConstantEntries:
    """The entries of the Jacobian of `fun`, or of the Hessian if `order` is 2, that
    accumulation finds to be constant. Nothing is evaluated.

    **Raises:** what `accumulate_data` raises.
    """
    found: list[ConstantEntries] = []

    def run(x: Vector, others: Any) -> None:
        derivative = partial(_call, fun, others)
        if order == 2:
            is_complex = jnp.issubdtype(x.dtype, jnp.complexfloating)
            derivative = jax.grad(derivative, has_aux=True, holomorphic=is_complex)
        tangent, y, _ = accumulate(derivative, x, {})
        found.append(_constants(tangent, y.dtype, pattern))

    jax.eval_shape(run, x, others)
    return found[0]


def _call(
    fun: Callable[[Vector, Any], tuple[Array, Any]], others: Any, x: Vector
) -> tuple[Array, Any]:
    return fun(x, others)


def _constants(
    tangent: Dependence, dtype: Any, pattern: SparsityPattern
) -> ConstantEntries:
    is_known, values = np.ones(pattern.nnz, bool), np.zeros(pattern.nnz, dtype)
    for part in tangent.entries():
        at = find_entries(pattern, part.rows, part.cols)
        if is_constant(part.values):
            np.add.at(values, at[at >= 0], part.values[at >= 0])
        else:
            is_known[at[at >= 0]] = False
    return ConstantEntries(pattern, is_known, np.where(is_known, values, 0))


def _in_order(tangent: Dependence, dtype: Any, pattern: SparsityPattern) -> Coefficients:
    """The values of the entries in the order of the pattern."""
    terms = tangent.terms
    if not terms:
        return np.zeros(pattern.nnz, dtype)
    if all(term.base is None for term in terms):
        rows = [term.rows.reshape(-1) for term in terms]
        positions = _positions(rows, pattern)
        if positions is not None:
            lines = [term.coefficients.reshape(-1) for term in terms]
            if all(map(is_constant, lines)):
                return np.concatenate(lines)[positions]
            plan = plan_reading(positions, pattern.rows, pattern.m)
            return read(list(map(_as_line, lines, rows)), plan)
        if has_equal_rows(pattern):
            lines = [term.coefficients.reshape(-1) for term in terms]
            return _row_by_row(rows, lines, dtype, pattern)
    entries = tangent.entries()
    at = [find_entries(pattern, part.rows, part.cols) for part in entries]
    return add_at([part.values for part in entries], at, pattern.nnz)


def _as_line(coefficients: Coefficients, rows: Integer[np.ndarray, " m"]) -> Array:
    """Coefficients of which those at entries are read. Constants that are equal at all
    entries are equal everywhere, and take no memory."""
    if is_constant(coefficients):
        at_entries = coefficients[rows >= 0]
        if at_entries.size and (at_entries == at_entries[0]).all():
            coefficients = np.broadcast_to(at_entries[0], coefficients.shape)
    return as_jax(coefficients)


def _row_by_row(
    rows: Sequence[np.ndarray],
    lines: Sequence[Coefficients],
    dtype: Any,
    pattern: SparsityPattern,
) -> Coefficients:
    """The values of a pattern whose rows have equally many entries.

    Each is computed from elements of its own row, by selections alone: where the rows are
    split over devices, nothing is sent.
    """
    slots = []
    for cols in pattern.cols.reshape(pattern.m, -1).T:
        values = co.zeros((pattern.m,), dtype)
        for row, line in zip(rows, lines, strict=True):
            here = row == cols
            if here.any():
                is_all = (here | (row < 0)).all()  # Elsewhere coefficients are zero.
                values = co.add(values, line if is_all else co.keep_where(here, line))
        slots.append(values)
    return co.stack(slots).T.reshape(-1)


def _positions(
    rows: Sequence[np.ndarray], pattern: SparsityPattern
) -> Integer[np.ndarray, " nnz"] | None:
    """Where each entry is among the coefficients of all terms, one after the other; `None`
    if that is not one place."""
    m, count = pattern.m, len(rows)
    # Unsigned, so that absent entries come last.
    cols = [row.astype(np.int32, copy=False).view(np.uint32) for row in rows]
    rank = np.zeros((count, m), np.uint8)  # Of the entry of each term within its row.
    for k, other in itertools.combinations(range(count), 2):
        is_before = cols[k] < cols[other]
        rank[other] += is_before
        rank[k] += ~is_before
    present = [row >= 0 for row in rows]
    lengths = np.sum(present, axis=0, dtype=np.int32)
    if not np.array_equal(np.repeat(np.arange(m, dtype=np.int32), lengths), pattern.rows):
        return None
    starts = np.cumsum(lengths) - lengths
    dtype = index_dtype(count * m)
    positions, numbers = np.empty(pattern.nnz, dtype), np.arange(m, dtype=dtype)
    for k, (row, is_present) in enumerate(zip(rows, present, strict=True)):
        element = slice(None) if is_present.all() else np.flatnonzero(is_present)
        place = starts[element] + rank[k, element]
        if not np.array_equal(pattern.cols[place], row[element]):
            return None  # Also where two terms have one entry.
        positions[place] = numbers[element] + k * m
    return positions
