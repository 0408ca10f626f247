"""From a pattern to the coloring of its Jacobian or Hessian: which side, how, and how
many passes."""

import warnings
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Shaped

from .._base.errors import DenseColoringWarning
from .._base.sparse import BCOO
from .._base.types import (
    BIDIRECTIONAL,
    HESSIAN_MODES,
    JACOBIAN_MODES,
    ColoringMode,
    HessianMode,
    JacobianMode,
    check_choice,
    check_jacobian_mode,
)
from .._structure.coloring import ColoredPattern
from .._structure.pattern import SparsityPattern
from .bidirectional import likely_passes
from .blocks import find_blocks, lift
from .graph import as_pattern
from .portfolio import AbstractAlgorithm, Algorithm, Lattice, as_algorithm
from .problem import (
    acyclic_problem,
    bidirectional_problem,
    column_problem,
    row_problem,
    star_problem,
)
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
    - `mode`: `"fwd"` colors the columns, `"rev"` the rows, `"bidirectional"` some of
        both, for matrices with dense rows and columns. By default the mode with the fewest
        colors, the columns on a tie, and both only if that halves the number; always the
        columns if `symmetric`. A VJP counts as much as a JVP: batches of them take 0.3 to
        1.5 times as long, by `python -m tests.benchmarks modes`.
    - `symmetric`: color so that of each pair of entries `(i, j)` and `(j, i)` only one is
        read. The pattern must be symmetric, and so must be the matrix.
    - `postprocess`: only with `symmetric`; see `color_symmetric`.
    - `algorithm`: how to search, such as `Greedy(SmallestLast())`; `"auto"` is
        `Portfolio()`.

    **Raises:** `ValueError` for an unknown mode, or if `symmetric` and the pattern is not.
    Warns with `DenseColoringWarning` if the coloring saves nothing.
    """
    if mode is not None:
        check_jacobian_mode(mode)
    modes = JACOBIAN_MODES if mode is None else (mode,)
    pattern, chosen = as_pattern(sparsity), as_algorithm(algorithm)
    return color_jacobian(pattern, modes, symmetric, postprocess, chosen)


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
        add up; see `color_acyclic`. It needs `symmetric`, without `postprocess`.

    **Raises:** `ValueError` for an unknown mode, or if the pattern is not square or, with
    `symmetric`, not symmetric. Warns with `DenseColoringWarning` if the coloring saves
    nothing.
    """
    pattern, chosen = as_pattern(sparsity), as_algorithm(algorithm)
    mode = "fwd_over_rev" if mode is None else mode
    check_choice("mode", mode, HESSIAN_MODES)
    check_choice("decompression", decompression, get_args(Decompression))
    if decompression == "substitution":
        if not symmetric or postprocess:
            raise ValueError(
                "decompression='substitution' needs a symmetric coloring, without "
                "postprocess. Leave symmetric=False and postprocess=True out."
            )
        return _warn_if_dense(_color_acyclic(pattern, mode, chosen))
    if symmetric:
        return _warn_if_dense(_color_symmetric(pattern, mode, postprocess, chosen))
    return _warn_if_dense(_color_side(pattern, mode, chosen))


def color_jacobian(
    pattern: SparsityPattern,
    modes: Sequence[ColoringMode],
    symmetric: bool,
    postprocess: bool,
    algorithm: AbstractAlgorithm,
) -> ColoredPattern:
    """`jacobian_coloring_from_sparsity` with a choice of modes, the first one preferred."""
    if not symmetric:
        return _warn_if_dense(_color_cheapest(pattern, modes, algorithm))
    if modes[0] == BIDIRECTIONAL:
        raise ValueError(
            "A bidirectional coloring cannot be symmetric. Use mode='fwd' or 'rev', or "
            "symmetric=False."
        )
    return _warn_if_dense(_color_symmetric(pattern, modes[0], postprocess, algorithm))


def _color_side(
    pattern: SparsityPattern, mode: ColoringMode, algorithm: AbstractAlgorithm
) -> ColoredPattern:
    if (blocks := find_blocks(pattern, square=False)) is not pattern:
        return lift(_color_side(blocks, mode, algorithm), pattern)
    make = {"rev": row_problem, BIDIRECTIONAL: bidirectional_problem}
    problem = make.get(mode, column_problem)(pattern)
    found, name = algorithm.search(problem)
    is_rotated = mode == BIDIRECTIONAL  # The problem has the rows first.
    return ColoredPattern(
        pattern,
        np.roll(found.colors, pattern.n) if is_rotated else found.colors,
        found.num_colors,
        symmetric=False,
        mode=mode,
        found_by=name,
        lower_bound=problem.lower_bound,
    )


def _color_cheapest(
    pattern: SparsityPattern, modes: Sequence[ColoringMode], algorithm: AbstractAlgorithm
) -> ColoredPattern:
    """Color for each mode that may take the fewest passes; on a tie the first one wins.

    The entries of one row need different colors in the columns, and the other way round.
    A side whose bound is not below the colors of the other need not be colored. Both sides
    are colored together only where that is likely to halve even the lower of the bounds.
    """
    lines = {"fwd": pattern.rows, "rev": pattern.cols}
    bounds: dict[ColoringMode, tuple[int, int]] = {
        mode: (int(np.bincount(lines[mode]).max(initial=0)), place)
        for place, mode in enumerate(modes)
        if mode != BIDIRECTIONAL
    }
    if not bounds:
        return _color_side(pattern, BIDIRECTIONAL, algorithm)
    both, fewest = None, min(bound for bound, _ in bounds.values())
    may_have_both = BIDIRECTIONAL in modes and not isinstance(algorithm, Lattice)
    if may_have_both and 0 < 2 * likely_passes(pattern) <= fewest:
        both = _color_side(pattern, BIDIRECTIONAL, algorithm)
        if 2 * both.num_colors <= fewest:
            return both
    best, least = None, (np.inf, 0)
    for mode, bound in sorted(bounds.items(), key=lambda item: item[1]):
        if bound < least:
            coloring = _color_side(pattern, mode, algorithm)
            if (found := (coloring.num_colors, bound[1])) < least:
                best, least = coloring, found
    assert best is not None
    if both is not None and 2 * both.num_colors <= best.num_colors:
        return both
    return best


def _color_acyclic(
    pattern: SparsityPattern, mode: ColoringMode, algorithm: AbstractAlgorithm
) -> ColoredPattern:
    if (blocks := find_blocks(pattern, square=True)) is not pattern:
        return lift(_color_acyclic(blocks, mode, algorithm), pattern)
    problem = acyclic_problem(pattern)
    found, name = algorithm.search(problem)
    colors = found.colors if pattern.nnz else np.full(pattern.n, -1, np.int32)
    return ColoredPattern(
        pattern,
        colors,
        int(colors.max(initial=-1)) + 1,
        symmetric=True,
        mode=mode,
        found_by=name,
        lower_bound=problem.lower_bound if pattern.nnz else 0,
        substitution=plan_substitution(pattern, colors),
    )


def _color_symmetric(
    pattern: SparsityPattern,
    mode: ColoringMode,
    postprocess: bool,
    algorithm: AbstractAlgorithm,
) -> ColoredPattern:
    if (blocks := find_blocks(pattern, square=True)) is not pattern:
        return lift(_color_symmetric(blocks, mode, postprocess, algorithm), pattern)
    problem = star_problem(pattern)
    found, name = algorithm.search(problem)
    assert found.stars is not None
    colors, num_colors, star_set = finish(pattern, found.colors, found.stars, postprocess)
    is_full = (pattern.rows == pattern.cols).sum() == pattern.n
    return ColoredPattern(
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


def _warn_if_dense(coloring: ColoredPattern) -> ColoredPattern:
    """The coloring, with a warning if it needs as many passes as the dense derivative."""
    m, n = coloring.sparsity.shape
    passes = min(side.colors.size for side in coloring.sides)
    if 1 < passes <= coloring.num_colors:
        warnings.warn(
            f"The coloring has {coloring.num_colors} colors for a {m}x{n} matrix in mode "
            f"{coloring.mode!r}, the same as the dense case: sparse differentiation saves "
            "no pass here.",
            DenseColoringWarning,
            stacklevel=3,
        )
    return coloring
