"""The verbs that detect patterns and color them, before anything is differentiated.

`jacobian_sparsity` explains the arguments that all of them share.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .._base.errors import DenseColoringWarning
from .._base.types import (
    HESSIAN_MODES,
    JACOBIAN_MODES,
    HessianMode,
    JacobianMode,
    check_choice,
    check_jacobian_mode,
)
from .._color import (
    Algorithm,
    Decompression,
    as_algorithm,
    color_jacobian,
    hessian_coloring_from_sparsity,
)
from .._structure.coloring import ColoredPattern
from .._structure.layouts import check_symmetric
from .._structure.pattern import SparsityPattern
from .explain import warn_if_dense
from .sparsity import Detected, Subject, detect_sparsity

_UNSYMMETRIC = "Pass symmetric=False, also where pad_rows has filled up rows of a Hessian."


def jacobian_sparsity(
    f: Callable[..., Any],
    *args: Any,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    local: bool = False,
    max_nnz: int | None = None,
    **kwargs: Any,
) -> SparsityPattern:
    """Which entries of the Jacobian of `f` can be nonzero, for any values of the arrays.

    `f` is traced, not evaluated; the pattern holds for all arguments that have the
    shapes, and the static values, of the samples. It may hold entries that are always
    zero, but lacks none that can be nonzero.

    **Arguments:**

    - `f`: a function of arrays and pytrees that returns an array or a pytree of arrays.
    - `*args`, `**kwargs`: sample arguments of `f`: arrays, `jax.ShapeDtypeStruct`, Python
        numbers, and pytrees of them, of which only shapes and dtypes are used. bool, int,
        str, None and other objects that are not arrays are static: the pattern holds for
        their values. In place of all samples, `input_shape=` gives the shape (an int or
        a tuple) of a single array.
    - `argnums`: which arguments to differentiate with respect to, an int or a sequence;
        they are numbered in the order of the signature of `f`, and may be negative.
    - `has_aux`: whether `f` returns a pair `(output, aux)`; `aux` is ignored.
    - `local`: use the values of the samples too. The pattern is tighter, but holds at
        these values only (`pattern.is_local`): do not use it anywhere else.
    - `max_nnz`: raise an error rather than follow a pattern, also of an intermediate
        array, with more entries. By default as many as fit into half of the memory of the
        machine.

    **Returns:** a pattern of shape `(m, n)` with `m` elements in the output of `f` and
    `n` in the selected arguments, raveled and joined in the order of their leaves.

    **Raises:** `TypeError` if `f` cannot be called with the samples or is not traceable;
    `ValueError` if `argnums` is out of range or selects no array, or if `local` and a
    sample has no value; `PatternTooLargeError`, naming the line of `f`, if the pattern
    outgrows `max_nnz`.
    """
    subject = Subject(f, args, kwargs, argnums, has_aux, local, max_nnz)
    return detect_sparsity(subject, order=1).pattern


def hessian_sparsity(
    f: Callable[..., Any],
    *args: Any,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    local: bool = False,
    max_nnz: int | None = None,
    **kwargs: Any,
) -> SparsityPattern:
    """Which entries of the Hessian of a scalar function `f` can be nonzero.

    The pattern is that of the Jacobian of the gradient, made symmetric. Outputs of shape
    `(1,)`, `(1, 1)` and so on count as scalars. See `jacobian_sparsity` for the
    arguments.

    **Returns:** a symmetric pattern of shape `(n, n)`.

    **Raises:** what `jacobian_sparsity` raises; `ValueError` if `f` does not return a
    scalar; `TypeError` if a selected argument holds integers.
    """
    subject = Subject(f, args, kwargs, argnums, has_aux, local, max_nnz)
    return detect_sparsity(subject, order=2).pattern


def jacobian_coloring(
    f: Callable[..., Any],
    *args: Any,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    local: bool = False,
    max_nnz: int | None = None,
    mode: JacobianMode | None = None,
    symmetric: bool = False,
    postprocess: bool = False,
    algorithm: Algorithm = "auto",
    **kwargs: Any,
) -> ColoredPattern:
    """Detect the pattern of the Jacobian of `f` and color it.

    The coloring can be used for any values of the arguments, and with
    `jacobian_from_coloring` as often as wanted. See `jacobian_sparsity` for `f`, the
    samples and the options of detection, and `jacobian_coloring_from_sparsity` for the
    rest; without a `mode`, those that JAX cannot use on `f` are left out.

    **Raises:** what those two raise; `ValueError` if JAX cannot differentiate `f` in
    `mode`.
    """
    _, color = prepare_jacobian(
        Subject(f, args, kwargs, argnums, has_aux, local, max_nnz),
        mode=mode,
        symmetric=symmetric,
        postprocess=postprocess,
        algorithm=algorithm,
    )
    return color()


def hessian_coloring(
    f: Callable[..., Any],
    *args: Any,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    local: bool = False,
    max_nnz: int | None = None,
    mode: HessianMode | None = None,
    symmetric: bool = True,
    postprocess: bool = False,
    algorithm: Algorithm = "auto",
    decompression: Decompression = "direct",
    **kwargs: Any,
) -> ColoredPattern:
    """Detect the pattern of the Hessian of a scalar function `f` and color it.

    See `hessian_sparsity` for `f` and the samples, and `hessian_coloring_from_sparsity`
    for the other arguments and the errors. Without a `mode`, `"fwd_over_rev"` is taken
    if JAX can use it on `f`.
    """
    _, color = prepare_hessian(
        Subject(f, args, kwargs, argnums, has_aux, local, max_nnz),
        mode=mode,
        symmetric=symmetric,
        postprocess=postprocess,
        algorithm=algorithm,
        decompression=decompression,
    )
    return color()


def prepare_jacobian(
    subject: Subject,
    *,
    mode: JacobianMode | None,
    symmetric: bool,
    postprocess: bool = False,
    algorithm: Algorithm = "auto",
    choices: Sequence[JacobianMode] = JACOBIAN_MODES,
) -> tuple[Detected, Callable[[], ColoredPattern]]:
    """What `jacobian_coloring` detects, and a function that colors it, choosing among
    `choices` if no mode is given."""
    if mode is not None:
        check_jacobian_mode(mode)
    chosen = as_algorithm(algorithm)
    detected, is_dense = _detect_and_warn(subject, order=1)
    if mode is not None:
        detected.require(mode)
        choices = (mode,)
    modes = [mode for mode in detected.modes if mode in choices]

    def color() -> ColoredPattern:
        pattern, left = detected.pattern, list(modes)
        while True:
            coloring = color_jacobian(pattern, left, symmetric, postprocess, chosen)
            if mode is not None or detected.refused(coloring.mode) is None:
                return coloring
            if len(left) == 1:
                detected.require(coloring.mode)
            left.remove(coloring.mode)

    return detected, _quietly(color) if is_dense else color


def prepare_hessian(
    subject: Subject,
    *,
    mode: HessianMode | None,
    symmetric: bool,
    postprocess: bool = False,
    algorithm: Algorithm = "auto",
    decompression: Decompression = "direct",
) -> tuple[Detected, Callable[[], ColoredPattern]]:
    """What `hessian_coloring` detects, and a function that colors it."""
    if mode is not None:
        check_choice("mode", mode, HESSIAN_MODES)
    detected, is_dense = _detect_and_warn(subject, order=2)
    if symmetric and subject.sparsity is not None:
        check_symmetric(detected.pattern, _UNSYMMETRIC)
    if mode is not None:
        detected.require(mode)
    color = partial(
        hessian_coloring_from_sparsity,
        detected.pattern,
        mode=mode or detected.first_mode(),
        symmetric=symmetric,
        postprocess=postprocess,
        algorithm=algorithm,
        decompression=decompression,
    )
    return detected, _quietly(color) if is_dense else color


def _detect_and_warn(subject: Subject, *, order: int) -> tuple[Detected, bool]:
    """What is detected, and whether it was warned of as dense."""
    detected = detect_sparsity(subject, order=order)
    is_dense = warn_if_dense(detected, order)
    # A program that can be followed again holds constants as JAX has converted them. Kept,
    # they would take the place of those of NumPy that have changed since.
    return detected._replace(retrace=None), is_dense


def _quietly(color: Callable[[], ColoredPattern]) -> Callable[[], ColoredPattern]:
    """The same, without the warning that has been given before."""

    def quiet() -> ColoredPattern:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DenseColoringWarning)
            return color()

    return quiet
