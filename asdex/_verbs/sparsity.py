"""From the user's function and sample arguments to a pattern, and the modes that fit it."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Int32

from .._base.types import BIDIRECTIONAL, HESSIAN_MODES, JACOBIAN_MODES
from .._call.arguments import (
    Bound,
    as_inputs,
    bind_samples,
    bind_values,
    check_samples,
)
from .._call.flat import FlatCall, flatten
from .._call.trace import Trace, trace
from .._detect import DEFAULT_MAX_NNZ, Costs, Trail, detect
from .._evaluate.compress import linearize
from .._structure.inputs import Inputs, as_aval, is_array, is_aval
from .._structure.layouts import find_entries
from .._structure.matrices import PatternLike, as_pattern
from .._structure.pattern import SparsityPattern

_STARTING_IN_REVERSE = ("rev", "rev_over_fwd", "rev_over_rev")
"""Modes whose last pass is one in reverse."""


class Detected(NamedTuple):
    """A pattern, the trace of the function that it was detected on, and the costs of the
    two ways to the values."""

    pattern: SparsityPattern
    modes: tuple[Any, ...]
    """The modes that may be able to compute the matrix, best first. Of those that end with
    a reverse pass, `refused` finds out whether JAX can use them."""
    trace: Trace
    samples: tuple[Any, Sequence[Any]]
    """The flat vector and the other arrays that the function is traced with."""
    costs: Costs | None
    retrace: Callable[[], Trail] | None
    """Detects once more, and keeps the steps. `None` if the pattern was given, as the costs
    are then."""

    def require(self, mode: str) -> None:
        """Raise `ValueError` if JAX cannot differentiate the function in mode `mode`."""
        if (error := self.refused(mode)) is None:
            return
        possible = [repr(mode) for mode in self.modes if self.refused(mode) is None]
        instead = (
            f"possible is {' or '.join(possible)}"
            if possible
            else "JAX can differentiate it neither forward nor in reverse"
        )
        reason, *_ = str(error).splitlines() or [type(error).__name__]
        raise ValueError(
            f"mode={mode!r} is impossible for this function; {instead}. {reason}"
        ) from error

    def first_mode(self) -> Any:
        """The best mode that JAX can use. Raises `ValueError` if there is none."""
        for mode in self.modes:
            if self.refused(mode) is None:
                return mode
        return self.require(self.modes[0])

    def refused(self, mode: str) -> Exception | None:
        """JAX's error if it cannot compute the products of mode `mode`.

        Cost: they are traced once, but for the modes that detection follows, unless the
        pattern was given.
        """
        if mode not in self.modes:
            return TypeError("A custom_vjp and integer inputs exclude forward mode.")
        if mode in ("fwd", "fwd_over_rev") and self.costs is not None:
            return None
        products = partial(self._products, mode)
        try:
            if mode in ("fwd", "fwd_over_rev"):
                # JAX does not refuse a custom_vjp before it is lowered.
                jax.jit(products).lower(*self.samples)
            else:
                jax.eval_shape(products, *self.samples)
        except Exception as error:  # JAX has many types of them for this.
            return error
        return None

    def _products(self, mode: str, x: Any, others: Sequence[Any]) -> list[Any]:
        """One product of each kind that mode `mode` takes."""
        dtypes = (self.trace.program.codomain.dtype, x.dtype)
        maps, _ = linearize(
            lambda x: self.trace(x, others),
            x,
            mode,
            holomorphic=all(jnp.issubdtype(d, jnp.complexfloating) for d in dtypes),
        )
        sizes = {"rev": (self.pattern.m,), BIDIRECTIONAL: (x.size, self.pattern.m)}
        return [
            one.apply(jnp.zeros(size, one.seed_dtype))
            for one, size in zip(maps, sizes.get(mode, (x.size,)), strict=True)
        ]


class Subject(NamedTuple):
    """A function with samples of its arguments, and how its pattern is found.

    `jacobian_sparsity` explains the options. If `sparsity` is given, nothing is detected.
    """

    f: Callable[..., Any]
    args: Sequence[Any]
    kwargs: dict[str, Any]
    argnums: int | Sequence[int] = 0
    has_aux: bool = False
    local: bool = False
    max_nnz: int | None = None
    sparsity: PatternLike | None = None


def detect_sparsity(
    subject: Subject, *, order: int, trail: Trail | None = None
) -> Detected:
    """The pattern of the Jacobian (`order` 1) or the Hessian (`order` 2) of a function.

    Samples contribute shapes, dtypes and static values, so the pattern holds for all
    values of arrays of these shapes; if `local`, it holds for the values of the samples
    only. See `detect` for `trail`.

    **Raises:** what `bind_samples`, `as_inputs` and `flatten` raise; `TypeError` for a
    Hessian with respect to integers; JAX's own errors, with a note, if it cannot trace `f`;
    `ValueError` if a given pattern has another shape.
    """
    f, args, kwargs, argnums, has_aux, local, max_nnz, given = subject
    if not local:
        samples = bound = bind_samples(f, args, kwargs)
    elif "input_shape" in kwargs:
        raise ValueError("local=True needs sample arguments with values, not input_shape.")
    else:
        samples, bound = bind_values(f, args, kwargs), bind_samples(f, args, kwargs)
    if max_nnz is None:
        max_nnz = _entries_that_fit()
    if max_nnz < 1:
        raise ValueError(f"max_nnz must be positive. Got {max_nnz}.")
    inputs = as_inputs(bound, argnums)
    call = flatten(samples, inputs, has_aux=has_aux, scalar=order == 2)
    if order == 2:
        check_samples(f, inputs, HESSIAN_MODES[0], allow_int=False)
    traced = trace(call)
    x = call.domain.pack(call.values) if local else call.vector
    if given is not None:
        pattern = _as_given(as_pattern(given), traced, inputs, order)
        modes = JACOBIAN_MODES if order == 1 else HESSIAN_MODES
        return Detected(pattern, modes, traced.settled, (x, call.others), None, None)
    fun = traced if order == 1 else _gradient(traced)
    detection = detect(fun, x, call.others, local=local, max_nnz=max_nnz, trail=trail)
    rows, cols = detection.rows, detection.cols
    if order == 2:
        rows, cols = _symmetrize(rows, cols, detection.shape)
    pattern = SparsityPattern(
        rows,
        cols,
        detection.shape,
        inputs.avals,
        inputs.argnums,
        traced.program.codomain.shapes if order == 1 else None,
        local,
    )
    modes = JACOBIAN_MODES if order == 1 else HESSIAN_MODES
    if detection.excludes_forward or call.domain.has_integers:
        # What was detected is the Jacobian of the gradient, a reverse pass, so a custom_vjp
        # shows up in it only where it is differentiated forward first.
        modes = tuple(mode for mode in modes if mode in _STARTING_IN_REVERSE)
    costs = detection.costs
    if call.domain.has_integers:
        costs = costs._replace(lacking=(*costs.lacking, "integers"))
    sampled = (x, call.others)
    return Detected(pattern, modes, traced.settled, sampled, costs, detection.retrace)


def _as_given(
    pattern: SparsityPattern, traced: Trace, inputs: Inputs, order: int
) -> SparsityPattern:
    """A given pattern, with the types of the function."""
    program = traced.program
    n = program.domain.size
    shape = (program.codomain.size if order == 1 else n, n)
    if pattern.shape != shape:
        raise ValueError(
            f"sparsity must have the shape of the derivative, {shape}: the sizes of output "
            f"and input. Got {pattern.shape}."
        )
    output_shapes = program.codomain.shapes if order == 1 else None
    return SparsityPattern.of(pattern.entries, inputs, output_shapes, pattern.is_local)


def _entries_that_fit() -> int:
    """How many entries, of up to 60 bytes, fit into half of the memory of the machine."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Only Unix tells.
        return DEFAULT_MAX_NNZ
    return min(DEFAULT_MAX_NNZ, memory // 120)


def check_still_holds(
    pattern: SparsityPattern, traced: Trace, bound: Bound, call: FlatCall, order: int
) -> None:
    """Check that a pattern holds for the trace of a call that may differ from the one that
    it was detected on: in types, in what the function reads, or in arguments without a
    sample.

    **Raises:** `ValueError` naming an entry that the pattern lacks.
    """
    fun = traced if order == 1 else _gradient(traced)
    detection = detect(fun, call.vector, call.other_types)
    found = find_entries(pattern, detection.rows, detection.cols)
    if (found < 0).any():
        lacking = np.argmin(found)
        row, col = detection.rows[lacking], detection.cols[lacking]
        inputs = pattern.inputs
        given = _types(bound.arguments, inputs)
        reason = (
            "a static argument, or a value that the function reads, has changed since the "
            "pattern was detected"
        )
        if given != (expected := _types(inputs.avals, inputs)):
            reason = f"the pattern was detected for types {_names(expected)}"
        raise ValueError(
            f"The pattern lacks entry ({row}, {col}), which can be nonzero in this call, "
            f"with types {_names(given)}: {reason}. Detect it again for what is used now, "
            "or pass what changes as an argument."
        )


def is_like_samples(pattern: SparsityPattern, bound: Bound) -> bool:
    """Whether a call has the dtypes, weak types and static values that a pattern was
    detected for."""
    inputs = pattern.inputs
    return _types(bound.arguments, inputs) == _types(
        inputs.avals, inputs
    ) and has_static_values(pattern, bound)


def has_static_values(pattern: SparsityPattern, bound: Bound) -> bool:
    """Whether a call has the static values that a pattern was detected for."""
    pairs = zip(
        jax.tree.leaves(bound.arguments), jax.tree.leaves(pattern.input_avals), strict=True
    )
    return all(
        is_aval(sample) or given is sample or bool(given == sample)
        for given, sample in pairs
    )


def _types(arguments: Any, inputs: Inputs) -> list[tuple[Any, bool]]:
    """Dtypes of the arrays, and whether they are weak, as those of Python numbers are.

    Differentiated arrays are written to a vector and read back, and never weak.
    """
    selected, types = set(inputs.selected), []
    for k, leaf in enumerate(jax.tree.leaves(arguments)):
        if is_array(leaf):
            aval = as_aval(leaf)
            types.append((aval.dtype, aval.weak_type and k not in selected))
    return types


def _names(types: Sequence[tuple[Any, bool]]) -> str:
    names = {f"{'weak ' if weak else ''}{jnp.dtype(dtype).name}" for dtype, weak in types}
    return ", ".join(sorted(names))


def _gradient(traced: Trace) -> Callable[..., Any]:
    """The gradient, for real and for complex numbers; the output is returned with it."""

    def gradient(x: Any, others: Any) -> Any:
        y, pull, arrays = jax.vjp(lambda x: traced(x, others), x, has_aux=True)
        return pull(jnp.ones_like(y))[0], arrays

    return gradient


def _symmetrize(
    rows: Int32[np.ndarray, " nnz"], cols: Int32[np.ndarray, " nnz"], shape: tuple[int, int]
) -> tuple[Int32[np.ndarray, " union"], Int32[np.ndarray, " union"]]:
    """The entries and those mirrored to them, row-major.

    Detection need not see that a Hessian is symmetric: it may find `(i, j)` possible and
    `(j, i)` not.
    """
    ones = np.ones(rows.size, bool)
    matrix = scipy.sparse.csr_array((ones, (rows, cols)), shape=shape)
    union = (matrix + matrix.T).tocoo()
    return union.row, union.col
