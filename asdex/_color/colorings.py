"""From a pattern to the coloring of its Jacobian or Hessian: which side, how, and how
many passes."""

import warnings
from typing import Literal, TypeAlias, get_args

import numpy as np
from jax.experimental.sparse import BCOO
from jaxtyping import Shaped

from .._coloring import ColoredPattern
from .._errors import DenseColoringWarning
from .._pattern import SparsityPattern
from .._types import (
    BIDIRECTIONAL,
    HESSIAN_MODES,
    ColoringMode,
    HessianMode,
    JacobianMode,
    check_choice,
    check_jacobian_mode,
)
from .bidirectional import color_bidirectional
from .graph import as_pattern
from .portfolio import AbstractAlgorithm, Algorithm, as_algorithm
from .problem import acyclic_problem, column_problem, row_problem, star_problem
from .star import finish
from .substitution import plan_substitution

Decompression: TypeAlias = Literal["direct", "substitution"]
"""How entries are recovered from the compressed matrix."""


def jacobian_coloring_from_sparsity(
    sparsity: SparsityPattern | Shaped[np.ndarray, "m n"] | BCOO,
    *,
    mode: JacobianMode | None = None,
    symmetric: bool = False,
    postprocess: bool = False,
    algorithm: Algorithm = "auto",
) -> ColoredPattern:
    """Color a pattern for the evaluation of a sparse Jacobian.

    **Arguments:**

    - `sparsity`: the pattern, or a matrix whose nonzero (stored) entries are the pattern.
    - `mode`: `"fwd"` colors the columns, `"rev"` the rows; by default the side with
        fewer colors, the columns on a tie, and always the columns if `symmetric`.
        `"bidirectional"` colors some of both, for matrices with dense rows and columns.
    - `symmetric`: color so that of each pair of entries `(i, j)` and `(j, i)` only one is
        read. The pattern must be symmetric, and so must be the matrix.
    - `postprocess`: only with `symmetric`; see `color_symmetric`.
    - `algorithm`: how to search, such as `Greedy(SmallestLast())`; `"auto"` is
        `Portfolio()`.

    **Raises:** `ValueError` for an unknown mode, or if `symmetric` and the pattern is not.
    Warns with `DenseColoringWarning` if the coloring saves nothing.
    """
    pattern, chosen = as_pattern(sparsity), as_algorithm(algorithm)
    if mode is not None:
        check_jacobian_mode(mode)
    if symmetric:
        if mode == BIDIRECTIONAL:
            raise ValueError(
                "A bidirectional coloring cannot be symmetric. Use mode='fwd' or 'rev', or "
                "symmetric=False."
            )
        return _color_symmetric(pattern, mode or "fwd", postprocess, chosen)
    if mode is None:
        return _warn_if_dense(_color_better_side(pattern, chosen))
    if mode == BIDIRECTIONAL:
        if algorithm != "auto":
            raise ValueError(
                f"Mode 'bidirectional' has one algorithm only. Got {algorithm!r}; leave it "
                "out, or color one side with it."
            )
        return _warn_if_dense(_color_both_sides(pattern))
    return _warn_if_dense(_color_side(pattern, mode, chosen))


def hessian_coloring_from_sparsity(
    sparsity: SparsityPattern | Shaped[np.ndarray, "n n"] | BCOO,
    *,
    mode: HessianMode | None = None,
    symmetric: bool = True,
    postprocess: bool = False,
    algorithm: Algorithm = "auto",
    decompression: Decompression = "direct",
) -> ColoredPattern:
    """Color a pattern for the evaluation of a sparse Hessian.

    **Arguments:**

    - `sparsity`: the pattern, or a matrix whose nonzero (stored) entries are the pattern.
    - `mode`: how Hessian-vector products are composed, by default `"fwd_over_rev"`.
    - `symmetric`: whether to read only one of two entries `(i, j)` and `(j, i)`, which
        needs fewer colors; otherwise columns are colored as for a Jacobian.
    - `postprocess`: only with `symmetric`; see `color_symmetric`.
    - `algorithm`: how to search, such as `Greedy(SmallestLast())`; `"auto"` is
        `Portfolio()`.
    - `decompression`: `"direct"` reads each entry in one place; `"substitution"` works
        some out as differences of others, which takes fewer colors, but rounding errors
        add up; see `color_acyclic`. It needs `symmetric`, and leaves `postprocess` out.

    **Raises:** `ValueError` for an unknown mode, or if the pattern is not square or, with
    `symmetric`, not symmetric. Warns with `DenseColoringWarning` if the coloring saves
    nothing.
    """
    pattern, chosen = as_pattern(sparsity), as_algorithm(algorithm)
    mode = "fwd_over_rev" if mode is None else mode
    check_choice("mode", mode, HESSIAN_MODES)
    check_choice("decompression", decompression, get_args(Decompression))
    if decompression == "substitution":
        if not symmetric:
            raise ValueError(
                "decompression='substitution' needs a symmetric coloring. Leave "
                "symmetric=False out."
            )
        return _color_acyclic(pattern, mode, chosen)
    if symmetric:
        return _color_symmetric(pattern, mode, postprocess, chosen)
    return _warn_if_dense(_color_side(pattern, mode, chosen))


def _color_side(
    pattern: SparsityPattern, mode: ColoringMode, algorithm: AbstractAlgorithm
) -> ColoredPattern:
    problem = row_problem(pattern) if mode == "rev" else column_problem(pattern)
    found, name = algorithm.search(problem)
    return ColoredPattern(
        pattern,
        found.colors,
        found.num_colors,
        symmetric=False,
        mode=mode,
        found_by=name,
        lower_bound=problem.lower_bound,
    )


def _color_better_side(
    pattern: SparsityPattern, algorithm: AbstractAlgorithm
) -> ColoredPattern:
    """Color columns, rows or both, and take the side with fewer colors.

    The entries of one row need different colors in the columns, and the other way round.
    A side whose bound is not below the colors of the other need not be colored.
    """
    col_bound = int(np.bincount(pattern.rows).max(initial=0))
    row_bound = int(np.bincount(pattern.cols).max(initial=0))
    if col_bound <= row_bound:
        cols = _color_side(pattern, "fwd", algorithm)
        if cols.num_colors <= row_bound:
            return cols
        rows = _color_side(pattern, "rev", algorithm)
    else:
        rows = _color_side(pattern, "rev", algorithm)
        if rows.num_colors < col_bound:
            return rows
        cols = _color_side(pattern, "fwd", algorithm)
    return min(cols, rows, key=lambda coloring: coloring.num_colors)


def _color_both_sides(pattern: SparsityPattern) -> ColoredPattern:
    column_colors, row_colors = color_bidirectional(pattern)
    num_jvps = int(column_colors.max(initial=-1)) + 1
    row_colors = np.where(row_colors < 0, row_colors, row_colors + num_jvps)
    colors = np.concatenate([column_colors, row_colors])
    return ColoredPattern(
        pattern,
        colors,
        int(colors.max(initial=-1)) + 1,
        symmetric=False,
        mode=BIDIRECTIONAL,
        found_by="Bidirectional",
        lower_bound=min(1, pattern.nnz),
    )


def _color_acyclic(
    pattern: SparsityPattern, mode: ColoringMode, algorithm: AbstractAlgorithm
) -> ColoredPattern:
    problem = acyclic_problem(pattern)
    found, name = algorithm.search(problem)
    colors = found.colors if pattern.nnz else np.full(pattern.n, -1, np.int32)
    return _warn_if_dense(
        ColoredPattern(
            pattern,
            colors,
            int(colors.max(initial=-1)) + 1,
            symmetric=True,
            mode=mode,
            found_by=name,
            lower_bound=problem.lower_bound if pattern.nnz else 0,
            substitution=plan_substitution(pattern, colors),
        )
    )


def _color_symmetric(
    pattern: SparsityPattern,
    mode: ColoringMode,
    postprocess: bool,
    algorithm: AbstractAlgorithm,
) -> ColoredPattern:
    problem = star_problem(pattern)
    found, name = algorithm.search(problem)
    assert found.stars is not None
    colors, num_colors, star_set = finish(pattern, found.colors, found.stars, postprocess)
    is_full = (pattern.rows == pattern.cols).sum() == pattern.n
    return _warn_if_dense(
        ColoredPattern(
            pattern,
            colors,
            num_colors,
            symmetric=True,
            mode=mode,
            star_set=star_set,
            found_by=name,
            # Without its diagonal entry a vertex may be neutral, against the bound.
            lower_bound=problem.lower_bound if is_full else min(1, pattern.nnz),
        )
    )


def _warn_if_dense(coloring: ColoredPattern) -> ColoredPattern:
    """The coloring, with a warning if it needs as many passes as the dense derivative."""
    m, n = coloring.sparsity.shape
    passes = {"rev": m, BIDIRECTIONAL: min(m, n)}.get(coloring.mode, n)
    if 1 < passes <= coloring.num_colors:
        warnings.warn(
            f"The coloring has {coloring.num_colors} colors for a {m}x{n} matrix in mode "
            f"{coloring.mode!r}, the same as the dense case: sparse differentiation saves "
            "no pass here.",
            DenseColoringWarning,
            stacklevel=3,
        )
    return coloring
