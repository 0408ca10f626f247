"""The verbs that differentiate: sparse Jacobians and Hessians.

All of them return a `Derivative`. `jacobian` explains the arguments that they share.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, overload

from scipy.sparse import sparray

from .._base.types import (
    ACCUMULATE,
    Accumulate,
    ChunkSize,
    HessianMode,
    JacobianMode,
    OutputFormat,
)
from .._color import Algorithm, Decompression
from .._evaluate.evaluate import Evaluation
from .._evaluate.options import Options
from .._operator import SparseJacobian
from .._structure.coloring import ColoredPattern
from .._structure.matrices import PatternLike
from .colorings import prepare_hessian, prepare_jacobian
from .derivative import Derivative, signature_of
from .sparsity import Detected, Subject

ScipyFormat: TypeAlias = Literal["scipy_coo", "scipy_csr", "scipy_csc"]


class EvaluationOptions(TypedDict, total=False):
    """Options, as keywords, that do not change the type of what is returned."""

    holomorphic: bool
    allow_int: bool
    chunk_size: ChunkSize
    checkpoint: bool
    checked: bool


@overload
def jacobian(
    f: Callable[..., Any],
    *sample_args: Any,
    output_format: Literal["operator"],
    has_aux: Literal[False] = False,
    **options: Any,
) -> Derivative[SparseJacobian]: ...
@overload
def jacobian(
    f: Callable[..., Any],
    *sample_args: Any,
    output_format: ScipyFormat,
    has_aux: Literal[False] = False,
    **options: Any,
) -> Derivative[sparray]: ...
@overload
def jacobian(
    f: Callable[..., Any],
    *sample_args: Any,
    output_format: OutputFormat = "bcoo",
    **options: Any,
) -> Derivative[Any]: ...
def jacobian(
    f: Callable[..., Any],
    *sample_args: Any,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    local: bool = False,
    max_nnz: int | None = None,
    sparsity: PatternLike | None = None,
    holomorphic: bool = False,
    allow_int: bool = False,
    mode: JacobianMode | Accumulate | None = None,
    symmetric: bool = False,
    algorithm: Algorithm = "auto",
    output_format: OutputFormat = "bcoo",
    chunk_size: ChunkSize = "auto",
    checkpoint: bool = False,
    checked: bool = False,
    **sample_kwargs: Any,
) -> Derivative[Any]:
    """A function that computes the sparse Jacobian of `f`.

    Detects the pattern, from samples, once. Each call of the result then accumulates the
    values along the linearized function, or takes one JVP or VJP of `f` per color of the
    pattern, whichever costs less. It accepts the arguments of `f`, with values of its own,
    and works under `jax.jit`, `jax.vmap` and `jax.grad`. Wrap it in `jax.jit` where it is
    called often: a call outside of `jit` is compiled, too, but traces `f` once, to see what
    `f` reads at that time; see `Derivative`.

    **Arguments:**

    - `f`, `*sample_args`, `**sample_kwargs`, `argnums`: see `jacobian_sparsity`.
    - `has_aux`: whether `f` returns a pair `(output, aux)`. `aux` may hold anything, and
        is returned with the Jacobian.
    - `local`, `max_nnz`: see `jacobian_sparsity`. With `local=True` the result is right at
        the values of the samples only.
    - `sparsity`: the pattern, or a matrix of NumPy, JAX or SciPy with its entries, where it
        is known: nothing is detected. It is trusted to hold every entry that can be
        nonzero, in all calls; `checked=True` verifies it.
    - `holomorphic`: a promise that `f` is holomorphic, which complex inputs need.
    - `allow_int`: whether selected arguments may hold integers. Their blocks are zero,
        and the mode is `"rev"`.
    - `mode`: `"accumulate"` for accumulation where each operation of `f` has a rule for it;
        `"fwd"` for one JVP per color of the columns, `"rev"` for one VJP per color of the
        rows, `"bidirectional"` for some of both. By default accumulation if it takes fewer
        operations, else the mode with the fewest colors, `"fwd"` if equal or symmetric,
        `"bidirectional"` only if it halves their number.
    - `symmetric`: whether the Jacobian is known to be symmetric, which saves colors. That
        is not checked: values are wrong if it is not.
    - `algorithm`: how to search the coloring; see `jacobian_coloring_from_sparsity`. It
        asks for colors, as do `symmetric`, `chunk_size` and `checkpoint`.
    - `output_format`: `"bcoo"` and `"bcsr"` for the sparse arrays of JAX, `"dense"` for
        `jax.Array`, `"operator"` for one `SparseJacobian`, `"numpy_dense"` for
        `numpy.ndarray`, `"scipy_coo"`, `"scipy_csr"` and `"scipy_csc"` for SciPy's sparse
        arrays. Entries of the pattern are stored also where they are zero. `"bcsr"` and
        SciPy's formats are one matrix between flat vectors, whatever the pytrees, as
        `jax.flatten_util.ravel_pytree` orders them. The last four cannot be made under
        `jit`; they are what SciPy's solvers take, not `"bcoo"`. Outside of `jit`, sparse
        arrays of JAX share their indices: donating one deletes those of earlier results.
    - `chunk_size`: how many colors to process at a time; memory grows with the chunk, not
        with the number of colors. `"auto"` takes as many as fit into the caches of a CPU,
        or into a sixteenth of the memory of an accelerator; `None` takes all at once.
    - `checkpoint`: whether to keep nothing of `f` between its forward and its reverse pass
        but its arguments, and to compute the rest twice, as `jax.checkpoint` does.
    - `checked`: whether each call compares the result with JAX's product with one random
        vector, which takes one more pass; an error is raised if they differ.

    **Returns:** a `Derivative`: a function that returns the Jacobian nested as
    `jax.jacobian` nests it, a block of shape `(*out_shape, *in_shape)` for each leaf of
    the output and of the selected arguments. An operator, and a matrix in a format of two
    axes, is one for all of them. With `has_aux`, it returns a pair `(jacobian, aux)`.

    **Raises:** what `jacobian_coloring` raises; `ValueError` for an unknown format or a
    `chunk_size` that is not positive. Calls raise `TypeError` or `ValueError` if their
    arguments differ from the samples in structure, shape, kind of dtype or static type,
    and `ValueError` if the pattern lacks an entry that can be nonzero in this call, because
    a static argument, or something that `f` reads, has changed. Keyword arguments that have
    no sample are passed on to `f`.
    """
    subject = Subject(
        f, sample_args, sample_kwargs, argnums, has_aux, local, max_nnz, sparsity
    )
    detected, color = prepare_jacobian(
        subject,
        mode=None if mode == ACCUMULATE else mode,
        symmetric=symmetric,
        algorithm=algorithm,
    )
    options = Options(
        output_format, has_aux, holomorphic, allow_int, chunk_size, checkpoint, checked
    )
    colored = symmetric or algorithm != "auto"
    return _derivative(f, detected, color, mode, options, 1, symmetric, colored)


@overload
def jacobian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: Literal["operator"],
    *,
    has_aux: Literal[False] = False,
    **options: Unpack[EvaluationOptions],
) -> Derivative[SparseJacobian]: ...
@overload
def jacobian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: ScipyFormat,
    *,
    has_aux: Literal[False] = False,
    **options: Unpack[EvaluationOptions],
) -> Derivative[sparray]: ...
@overload
def jacobian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: OutputFormat = "bcoo",
    *,
    has_aux: bool = False,
    **options: Unpack[EvaluationOptions],
) -> Derivative[Any]: ...
def jacobian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: OutputFormat = "bcoo",
    *,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    chunk_size: ChunkSize = "auto",
    checkpoint: bool = False,
    checked: bool = False,
) -> Derivative[Any]:
    """A function that computes the sparse Jacobian of `f` by a given coloring.

    The coloring, from `jacobian_coloring` or made by hand, must hold every entry of the
    Jacobian of `f` that can be nonzero: it is not checked for the function as it is at the
    first call, only for what it reads later. See `jacobian` for the other arguments, what
    is returned, and errors.
    """
    options = Options(
        output_format, has_aux, holomorphic, allow_int, chunk_size, checkpoint, checked
    )
    return Derivative.of(f, Evaluation.by_colors(coloring, 1, options))


@overload
def hessian(
    f: Callable[..., Any],
    *sample_args: Any,
    output_format: Literal["operator"],
    has_aux: Literal[False] = False,
    **options: Any,
) -> Derivative[SparseJacobian]: ...
@overload
def hessian(
    f: Callable[..., Any],
    *sample_args: Any,
    output_format: ScipyFormat,
    has_aux: Literal[False] = False,
    **options: Any,
) -> Derivative[sparray]: ...
@overload
def hessian(
    f: Callable[..., Any],
    *sample_args: Any,
    output_format: OutputFormat = "bcoo",
    **options: Any,
) -> Derivative[Any]: ...
def hessian(
    f: Callable[..., Any],
    *sample_args: Any,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    local: bool = False,
    max_nnz: int | None = None,
    sparsity: PatternLike | None = None,
    holomorphic: bool = False,
    allow_int: bool = False,
    mode: HessianMode | Accumulate | None = None,
    symmetric: bool = True,
    algorithm: Algorithm = "auto",
    decompression: Decompression = "direct",
    output_format: OutputFormat = "bcoo",
    chunk_size: ChunkSize = "auto",
    checkpoint: bool = False,
    checked: bool = False,
    **sample_kwargs: Any,
) -> Derivative[Any]:
    """A function that computes the sparse Hessian of a scalar function `f`.

    Detects the pattern, from samples, once. Each call of the result then accumulates the
    values along the linearized gradient, or takes one Hessian-vector product per color of
    the pattern, whichever costs less. Outputs of shape `(1,)`, `(1, 1)` and so on are
    squeezed. See `jacobian` for the arguments that are not listed.

    **Arguments:**

    - `allow_int`: there for symmetry with `jacobian`; must be false.
    - `mode`: `"accumulate"`, as for `jacobian`, or how a Hessian-vector product is
        composed: `"fwd_over_rev"` (the default of colors) is the JVP of the gradient,
        `"rev_over_fwd"` the gradient of the directional derivative, `"rev_over_rev"` the
        VJP of the gradient.
    - `symmetric`: whether to color as a symmetric matrix, which needs fewer colors. Pass
        false if custom derivative rules make the Hessian unsymmetric.
    - `decompression`: `"substitution"` takes fewer colors than `"direct"`, but rounding
        errors add up; see `hessian_coloring_from_sparsity`.

    **Returns:** a function that returns the Hessian nested as `jax.hessian` nests it: a
    block of shape `(*in_shape_1, *in_shape_2)` for each pair of leaves of the selected
    arguments. With `has_aux`, it returns a pair `(hessian, aux)`.

    **Raises:** what `hessian_coloring` and `jacobian` raise; `TypeError` with
    `allow_int`.
    """
    subject = Subject(
        f, sample_args, sample_kwargs, argnums, has_aux, local, max_nnz, sparsity
    )
    detected, color = prepare_hessian(
        subject,
        mode=None if mode == ACCUMULATE else mode,
        symmetric=symmetric,
        algorithm=algorithm,
        decompression=decompression,
    )
    options = Options(
        output_format, has_aux, holomorphic, allow_int, chunk_size, checkpoint, checked
    )
    colored = not symmetric or (algorithm, decompression) != ("auto", "direct")
    return _derivative(f, detected, color, mode, options, 2, symmetric, colored)


@overload
def hessian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: Literal["operator"],
    *,
    has_aux: Literal[False] = False,
    **options: Unpack[EvaluationOptions],
) -> Derivative[SparseJacobian]: ...
@overload
def hessian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: ScipyFormat,
    *,
    has_aux: Literal[False] = False,
    **options: Unpack[EvaluationOptions],
) -> Derivative[sparray]: ...
@overload
def hessian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: OutputFormat = "bcoo",
    *,
    has_aux: bool = False,
    **options: Unpack[EvaluationOptions],
) -> Derivative[Any]: ...
@signature_of(jacobian_from_coloring)
def hessian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: OutputFormat = "bcoo",
    **options: Any,
) -> Derivative[Any]:
    """A function that computes the sparse Hessian of `f` by a given coloring.

    The coloring, from `hessian_coloring` or made by hand, is trusted as it is by
    `jacobian_from_coloring`. See `hessian` for the arguments.
    """
    chosen = Options(output_format, **options)
    return Derivative.of(f, Evaluation.by_colors(coloring, 2, chosen))


def _derivative(
    f: Callable[..., Any],
    detected: Detected,
    color: Callable[[], ColoredPattern],
    mode: str | None,
    options: Options,
    order: int,
    symmetric: bool,
    colored: bool,
) -> Derivative[Any]:
    """The derivative by accumulation, if that is possible and wanted, or, where no mode and
    no other option asks for colors, the cheaper way; otherwise by colors."""
    costs, pattern = detected.costs, detected.pattern
    if costs is not None and costs.lacking:
        accumulates = False
    elif mode is not None:
        accumulates = mode == ACCUMULATE
    else:
        colored |= options.chunk_size != "auto" or options.checkpoint
        accumulates = (
            costs is not None and not colored and costs.favor_accumulation(pattern)
        )
    if accumulates:
        evaluation = Evaluation.by_accumulation(
            pattern, order, options, symmetric=symmetric
        )
    else:
        evaluation = Evaluation.by_colors(color(), order, options)
    return Derivative.of(f, evaluation, detected, color)
