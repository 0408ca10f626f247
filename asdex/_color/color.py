"""From a pattern to the coloring of its Jacobian or Hessian: which side, how, and how
many passes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Int32, Integer

from .._base.errors import DenseColoringWarning
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
from .._base.warn import warn
from .._structure.coloring import ColoredPattern
from .._structure.matrices import PatternLike, as_pattern
from .._structure.pattern import SparsityPattern
from .._structure.stars import StarSet
from .bidirectional import likely_passes
from .blocks import find_blocks, lift
from .check import check_coloring_symmetric
from .graph import adjacency
from .orders import AbstractOrder, LargestFirst
from .portfolio import AbstractAlgorithm, Algorithm, Lattice, as_algorithm
from .problem import Acyclic, Bidirectional, OneSided, Problem, Star
from .star import color_stars, find_stars, finish

_FEW = 16
"""Passes that are not worth a warning."""

Decompression: TypeAlias = Literal["direct", "substitution"]
"""How entries are recovered from the compressed matrix."""


def jacobian_coloring_from_sparsity(
    sparsity: PatternLike,
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
    sparsity: PatternLike,
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
    - `decompression`: `"direct"` reads each entry from one place; `"substitution"` computes
        some as differences of others, which takes fewer colors, but rounding errors add
        up; see `color_acyclic`. It needs `symmetric`, without `postprocess`.

    **Raises:** `ValueError` for an unknown mode, or if the pattern is not square or, with
    `symmetric`, not symmetric. Warns with `DenseColoringWarning` if the coloring saves
    nothing.
    """
    pattern, chosen = as_pattern(sparsity), as_algorithm(algorithm)
    mode = "fwd_over_rev" if mode is None else mode
    check_choice("mode", mode, HESSIAN_MODES)
    check_choice("decompression", decompression, get_args(Decompression))
    if decompression == "substitution" and (not symmetric or postprocess):
        raise ValueError(
            "decompression='substitution' needs a symmetric coloring, without "
            "postprocess. Leave symmetric=False and postprocess=True out."
        )
    if decompression == "substitution":
        coloring = color(pattern, mode, chosen, Acyclic, square=True)
    elif symmetric:
        coloring = _color_stars(pattern, mode, chosen, postprocess)
    else:
        coloring = _color_side(pattern, mode, chosen)
    return _warn_if_dense(coloring)


def color_symmetric(
    sparsity: PatternLike,
    *,
    order: AbstractOrder = LargestFirst(),  # noqa: B008 (immutable)
    postprocess: bool = False,
    forced_colors: Integer[np.ndarray, " n"] | Sequence[int] | None = None,
) -> tuple[Int32[np.ndarray, " n"], int, StarSet]:
    """Star coloring of a symmetric pattern: neighbors have different colors, and every
    path of four vertices has at least three.

    Each entry, or the one mirrored to it, is then alone in its row among the columns
    of its color, so one Hessian-vector product per color gives the whole matrix. Vertices
    are visited largest first, each takes the smallest color allowed (Gebremedhin,
    Tarafdar, Manne, Pothen, "New Acyclic and Star Coloring Algorithms with Application
    to Computing Hessians", SIAM J. Sci. Comput. 29(3), 2007, Algorithm 4.1).

    **Arguments:**

    - `sparsity`: a square pattern with an entry `(j, i)` for each entry `(i, j)`.
    - `postprocess`: give the neutral color -1 to all vertices of colors from which no
        entry is read, and number the others again: fewer products.
    - `forced_colors`: colors to use instead of choosing some.

    **Returns:** colors of shape `(n,)`, their number, and the two-colored stars that say
    where each entry is read. A pattern without entries has 0 colors, all of them -1.

    **Raises:** `ValueError` if the pattern is not square or not symmetric, or if
    `forced_colors` has the wrong length; `InvalidColoringError`, naming two entries in
    conflict, if `forced_colors` is not a star coloring.

    Cost: O(nnz * colors / 32), nearly.
    """
    pattern = as_pattern(sparsity)
    graph = adjacency(pattern)
    if forced_colors is not None:
        colors = np.asarray(forced_colors, np.int32)
        check_coloring_symmetric(pattern, colors)
        if pattern.nnz and colors.min() < 0:
            raise ValueError("forced_colors must not hold the neutral color -1.")
    else:
        colors = color_stars(graph, order.arrange(graph.incidence))
    return finish(pattern, colors, find_stars(graph, colors), postprocess)


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
    return _warn_if_dense(_color_stars(pattern, modes[0], algorithm, postprocess))


def color(
    pattern: SparsityPattern,
    mode: ColoringMode,
    algorithm: AbstractAlgorithm,
    make_problem: Callable[[SparsityPattern], Problem],
    *,
    square: bool,
) -> ColoredPattern:
    """Solve the problem for the pattern, or for that of its blocks, which may have to be
    `square`, if it is made of such."""
    if (blocks := find_blocks(pattern, square=square)) is not pattern:
        of_blocks = color(blocks, mode, algorithm, make_problem, square=square)
        return lift(of_blocks, pattern)
    problem = make_problem(pattern)
    found, name = algorithm.search(problem)
    return problem.finish(found, mode, name)


def _color_side(
    pattern: SparsityPattern, mode: ColoringMode, algorithm: AbstractAlgorithm
) -> ColoredPattern:
    problems = {"rev": partial(OneSided, kind="row"), BIDIRECTIONAL: Bidirectional}
    make_problem = problems.get(mode, partial(OneSided, kind="column"))
    return color(pattern, mode, algorithm, make_problem, square=False)


def _color_stars(
    pattern: SparsityPattern,
    mode: ColoringMode,
    algorithm: AbstractAlgorithm,
    postprocess: bool,
) -> ColoredPattern:
    make_problem = partial(Star, postprocess=postprocess)
    return color(pattern, mode, algorithm, make_problem, square=True)


def _color_cheapest(
    pattern: SparsityPattern, modes: Sequence[ColoringMode], algorithm: AbstractAlgorithm
) -> ColoredPattern:
    """Color for each mode that may take the fewest passes; on a tie the first is taken.

    The entries of one row need different colors in the columns, and vice versa.
    A side whose bound is not below the colors of the other need not be colored. Both sides
    are colored together only where that is likely to halve even the lower of the bounds.
    """
    nets = {"fwd": pattern.rows, "rev": pattern.cols}
    bounds: dict[ColoringMode, tuple[int, int]] = {
        mode: (int(np.bincount(nets[mode]).max(initial=0)), place)
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


def _warn_if_dense(coloring: ColoredPattern) -> ColoredPattern:
    """The coloring, with a warning if it needs as many passes as the dense derivative."""
    m, n = coloring.sparsity.shape
    passes = min(side.colors.size for side in coloring.sides)
    if _FEW < passes <= coloring.num_colors:
        warn(
            f"The coloring has {coloring.num_colors} colors for a {m}x{n} matrix in mode "
            f"{coloring.mode!r}, the same as the dense case: sparse differentiation saves "
            "no pass here.",
            DenseColoringWarning,
        )
    return coloring
