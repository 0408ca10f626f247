"""From the user's function and sample arguments to a pattern, and the modes that fit it."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Int32

from .._base.types import JACOBIAN_MODES, ONE_SIDED_MODES
from .._call.arguments import (
    Bound,
    Inputs,
    as_inputs,
    bind_samples,
    bind_values,
    is_array,
    is_aval,
)
from .._call.flat import FlatCall, FlatFunction, flatten
from .._detect import DEFAULT_MAX_NNZ, Detection, Trail, detect
from .._structure.pattern import SparsityPattern

_WHY = (
    "A custom_vjp and integer inputs exclude forward mode; a while loop and complex "
    "outputs of real inputs exclude reverse mode."
)


class Detected(NamedTuple):
    """A pattern, and the AD modes that can compute its matrix, best first."""

    pattern: SparsityPattern
    modes: tuple[Any, ...]

    def require(self, mode: str) -> None:
        """Raise `ValueError` if JAX cannot differentiate the function in mode `mode`."""
        if mode not in self.modes:
            raise ValueError(
                f"mode={mode!r} is impossible for this function; possible is "
                f"{' or '.join(map(repr, self.modes))}. {_WHY}"
            )


def detect_sparsity(
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    *,
    order: int,
    argnums: int | Sequence[int],
    has_aux: bool,
    local: bool = False,
    max_nnz: int = DEFAULT_MAX_NNZ,
    trail: Trail | None = None,
) -> Detected:
    """The pattern of the Jacobian (`order` 1) or the Hessian (`order` 2) of `f`.

    Samples contribute shapes, dtypes and static values, so the pattern holds for all
    values of arrays of these shapes; if `local`, it holds for the values of the samples
    only. See `detect` for `max_nnz` and `trail`.

    **Raises:** what `bind_samples`, `as_inputs` and `flatten` raise; `TypeError` for a
    Hessian with respect to integers; `ValueError` if JAX can differentiate `f` in no
    mode; JAX's own errors, with a note, if it cannot trace `f`.
    """
    if not local:
        samples = bound = bind_samples(f, args, kwargs)
    elif "input_shape" in kwargs:
        raise ValueError("local=True needs sample arguments with values, not input_shape.")
    else:
        samples, bound = bind_values(f, args, kwargs), bind_samples(f, args, kwargs)
    if max_nnz < 1:
        raise ValueError(f"max_nnz must be positive. Got {max_nnz}.")
    inputs = as_inputs(bound, argnums)
    if order == 2 and inputs.has_integers:
        raise TypeError(
            f"Integer inputs are not supported for Hessians. Got {inputs.trees}. Pass "
            "floating point samples, or select other arguments by argnums."
        )
    call = flatten(samples, inputs, has_aux=has_aux, scalar=order == 2)
    with _advice_on_tracing():
        fun = call.fun if order == 1 else _gradient(call)
        detection = detect(
            fun, call.x, call.others, local=local, max_nnz=max_nnz, trail=trail
        )
    rows, cols = detection.rows, detection.cols
    if order == 2:
        rows, cols = _symmetrize(rows, cols, detection.shape)
    pattern = SparsityPattern(
        rows,
        cols,
        detection.shape,
        inputs.avals,
        inputs.argnums,
        detection.aux.structure.shapes if order == 1 else None,
        local,
    )
    return Detected(pattern, _modes(detection, inputs, call.x, order))


def check_still_holds(
    pattern: SparsityPattern, bound: Bound, call: FlatCall, order: int, *, changed: bool
) -> None:
    """Check that a pattern holds also for a call with other floating dtypes, or after
    something that the function reads has `changed`.

    Constants can be zero in one dtype and not in another, by rounding or underflow; and a
    closed-over zero can be replaced. Then the pattern is detected again and compared.

    **Raises:** `ValueError` naming an entry that the pattern lacks.
    """
    samples = jax.tree.leaves(pattern.input_avals)
    expected = [leaf.dtype for leaf in samples if is_aval(leaf)]
    leaves = jax.tree.leaves(bound.arguments)
    given = [jnp.result_type(leaf) for leaf in leaves if is_array(leaf)]
    if pattern.is_local or not pattern.knows_dtypes or (given == expected and not changed):
        return
    x, others = jax.tree.map(_shape_and_dtype, (call.x, call.others))
    detection = detect(call.fun if order == 1 else _gradient(call), x, others)
    held = pattern.rows.astype(np.int64) * pattern.n + pattern.cols
    needed = detection.rows.astype(np.int64) * pattern.n + detection.cols
    if (lacking := needed[~np.isin(needed, held)]).size:
        row, col = divmod(int(lacking[0]), pattern.n)
        reason = "a value that the function reads has changed since the pattern was used"
        if given != expected:
            reason = f"the pattern was detected for dtypes {_names(expected)}"
        raise ValueError(
            f"The pattern lacks entry ({row}, {col}), which can be nonzero in this call, "
            f"with dtypes {_names(given)}: {reason}. Detect it again for what is used now, "
            "or pass what changes as an argument."
        )


def _shape_and_dtype(leaf: Any) -> jax.ShapeDtypeStruct:
    aval = jax.typeof(leaf)
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


def _names(dtypes: Sequence[Any]) -> str:
    return ", ".join(sorted({jnp.dtype(dtype).name for dtype in dtypes}))


def _modes(detection: Detection, inputs: Inputs, x: Any, order: int) -> tuple[str, ...]:
    """The modes that JAX allows, the preferred one first."""
    excluded = set()
    if inputs.has_integers:
        excluded.add("fwd")
    if any(map(jnp.iscomplexobj, detection.aux.leaves)) and not jnp.iscomplexobj(x):
        excluded.add("rev")
    modes = tuple(mode for mode in detection.modes if mode not in excluded)
    if not modes:
        raise ValueError(
            f"JAX can differentiate this function neither forward nor in reverse. {_WHY}"
        )
    if order == 1:
        return JACOBIAN_MODES if modes == ONE_SIDED_MODES else modes
    # What was detected is the Jacobian of the gradient, a reverse pass, so a custom_vjp
    # shows up in it only where it is differentiated forward first.
    over_gradient = {"fwd": ("fwd_over_rev",), "rev": ("rev_over_fwd", "rev_over_rev")}
    return tuple(itertools.chain.from_iterable(over_gradient[mode] for mode in modes))


def _gradient(call: FlatCall) -> FlatFunction:
    """The gradient, for real and for complex numbers; the output rides along."""

    def gradient(x: Any, others: Any) -> Any:
        y, pull, extras = jax.vjp(lambda x: call.fun(x, others), x, has_aux=True)
        return pull(jnp.ones_like(y))[0], extras

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


@contextlib.contextmanager
def _advice_on_tracing() -> Iterator[None]:
    try:
        yield
    except jax.errors.JAXTypeError as error:
        error.add_note(
            "asdex traces the function with abstract values, as jax.jit does. Arguments "
            "that decide about control flow or shapes must be static: pass them as bool, "
            "int or str, or bind them with functools.partial."
        )
        raise
