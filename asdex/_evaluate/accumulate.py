"""Accumulation: the values of the entries by arithmetic on coefficients, without seeds.

The tangent of the function comes as a short sum of terms, each with one coefficient per
element of the output. Where each term has at most one entry per row, the values are read
from these arrays like from the rows of a compressed matrix; otherwise the entries of all
terms are sorted, and those in one place added.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Inexact, Integer, Num

from .._detect import (
    Coefficients,
    Dependence,
    accumulate,
    add_at,
    as_jax,
    is_constant,
    places,
)
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
    tangent, y, aux = accumulate(fun, x, known)
    check_output_dtype(y.dtype, "fwd", options.holomorphic)
    data = as_jax(_in_order(tangent, y.dtype, pattern))
    if options.checked:
        _, push, _ = jax.linearize(fun, x, has_aux=True)
        linear_map = Linearization(push, x.dtype, y.dtype)
        columns = np.zeros(pattern.n, np.int32)
        side = Side("column", columns, 1, 0, pattern.cols, pattern.rows, pattern.m)
        data = with_check(data, data, linear_map, side)
    return data, aux


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
            return read(list(map(as_jax, lines)), plan)
    entries, stored = tangent.entries(), (pattern.rows, pattern.cols)
    at = [places(stored, part.rows, part.cols, pattern.n) for part in entries]
    return add_at([part.values for part in entries], at, pattern.nnz)


def _positions(
    rows: Sequence[np.ndarray], pattern: SparsityPattern
) -> Integer[np.ndarray, " nnz"] | None:
    """Where each entry is among the coefficients of all terms, one after the other; `None`
    if that is not one place."""
    n, m = pattern.n, pattern.m
    cols = np.where((stacked := np.stack(rows, axis=1)) < 0, n, stacked)
    term = np.argsort(cols, axis=1, kind="stable")
    cols = np.take_along_axis(cols, term, axis=1)
    inside = cols < n
    if (cols[:, 1:] == cols[:, :-1])[inside[:, 1:]].any():
        return None
    element, _ = np.nonzero(inside)
    if not (
        np.array_equal(element, pattern.rows) and np.array_equal(cols[inside], pattern.cols)
    ):
        return None
    return (term * m + np.arange(m)[:, None])[inside]
