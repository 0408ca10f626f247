"""The verbs that stop at the compressed matrix, for callers that decompress it later."""

from collections.abc import Callable, Sequence
from typing import Any

from .._base.types import ONE_SIDED_MODES, ChunkSize, HessianMode, JacobianMode
from .._color import Algorithm
from .._evaluate.evaluate import Evaluation
from .._evaluate.options import Options
from .._structure.coloring import ColoredPattern
from .._structure.matrices import PatternLike
from .colorings import prepare_hessian, prepare_jacobian
from .derivative import Derivative, signature_of
from .sparsity import Subject


def compressed_jacobian(
    f: Callable[..., Any],
    *sample_args: Any,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    local: bool = False,
    max_nnz: int | None = None,
    sparsity: PatternLike | None = None,
    holomorphic: bool = False,
    allow_int: bool = False,
    mode: JacobianMode | None = None,
    symmetric: bool = False,
    algorithm: Algorithm = "auto",
    chunk_size: ChunkSize = "auto",
    checkpoint: bool = False,
    checked: bool = False,
    **sample_kwargs: Any,
) -> Derivative[Any]:
    """A function that computes the compressed Jacobian of `f`.

    It stops before decompression, at the matrix `B` of shape `(num_colors, dim)`: in mode
    `"fwd"` row `c` of it is the sum of the columns of color `c` and `dim` is `m`, the
    size of the output; in mode `"rev"` row `c` is the sum of the rows of color `c` and
    `dim` is `n`, the size of the selected arguments. `decompress` and `decompress_data`
    take it from there. See `jacobian` for the arguments and errors; the mode is
    `"bidirectional"`, which makes a pair of matrices, only if that is given.

    **Returns:** a function that returns `B`, a `jax.Array`, or with `has_aux` a pair
    `(B, aux)`.
    """
    subject = Subject(
        f, sample_args, sample_kwargs, argnums, has_aux, local, max_nnz, sparsity
    )
    detected, color = prepare_jacobian(
        subject,
        mode=mode,
        symmetric=symmetric,
        algorithm=algorithm,
        choices=ONE_SIDED_MODES,
    )
    options = Options(
        None, has_aux, holomorphic, allow_int, chunk_size, checkpoint, checked
    )
    return Derivative.of(f, Evaluation.by_colors(color(), 1, options), detected)


def compressed_jacobian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    *,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    chunk_size: ChunkSize = "auto",
    checkpoint: bool = False,
    checked: bool = False,
) -> Derivative[Any]:
    """`compressed_jacobian` by a given coloring; see `jacobian_from_coloring`."""
    options = Options(
        None, has_aux, holomorphic, allow_int, chunk_size, checkpoint, checked
    )
    return Derivative.of(f, Evaluation.by_colors(coloring, 1, options))


@signature_of(compressed_jacobian)
def value_and_compressed_jacobian(*args: Any, **kwargs: Any) -> Derivative[Any]:
    """A function that computes the value of `f` and its compressed Jacobian.

    See `compressed_jacobian` for the arguments.

    **Returns:** a function that returns `(value, B)`, or with `has_aux`
    `((value, aux), B)`.
    """
    return compressed_jacobian(*args, **kwargs).with_value()


@signature_of(compressed_jacobian_from_coloring)
def value_and_compressed_jacobian_from_coloring(
    *args: Any, **kwargs: Any
) -> Derivative[Any]:
    """`value_and_compressed_jacobian` by a given coloring."""
    return compressed_jacobian_from_coloring(*args, **kwargs).with_value()


def compressed_hessian(
    f: Callable[..., Any],
    *sample_args: Any,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    local: bool = False,
    max_nnz: int | None = None,
    sparsity: PatternLike | None = None,
    holomorphic: bool = False,
    allow_int: bool = False,
    mode: HessianMode | None = None,
    symmetric: bool = True,
    algorithm: Algorithm = "auto",
    chunk_size: ChunkSize = "auto",
    checkpoint: bool = False,
    checked: bool = False,
    **sample_kwargs: Any,
) -> Derivative[Any]:
    """A function that computes the compressed Hessian of a scalar function `f`.

    Row `c` of the matrix `B` of shape `(num_colors, n)` is the sum of the columns of
    color `c`: one Hessian-vector product. See `compressed_jacobian` for what to do with
    it, and `hessian` for the arguments and errors.

    **Returns:** a function that returns `B`, a `jax.Array`, or with `has_aux` a pair
    `(B, aux)`.
    """
    subject = Subject(
        f, sample_args, sample_kwargs, argnums, has_aux, local, max_nnz, sparsity
    )
    detected, color = prepare_hessian(
        subject,
        mode=mode,
        symmetric=symmetric,
        algorithm=algorithm,
    )
    options = Options(
        None, has_aux, holomorphic, allow_int, chunk_size, checkpoint, checked
    )
    return Derivative.of(f, Evaluation.by_colors(color(), 2, options), detected)


@signature_of(compressed_jacobian_from_coloring)
def compressed_hessian_from_coloring(
    f: Callable[..., Any], coloring: ColoredPattern, **options: Any
) -> Derivative[Any]:
    """`compressed_hessian` by a given coloring; see `hessian_from_coloring`."""
    chosen = Options(output_format=None, **options)
    return Derivative.of(f, Evaluation.by_colors(coloring, 2, chosen))


@signature_of(compressed_hessian)
def value_and_compressed_hessian(*args: Any, **kwargs: Any) -> Derivative[Any]:
    """A function that computes the value of `f` and its compressed Hessian.

    See `compressed_hessian` for the arguments.

    **Returns:** a function that returns `(value, B)`, or with `has_aux`
    `((value, aux), B)`.
    """
    return compressed_hessian(*args, **kwargs).with_value()


@signature_of(compressed_hessian_from_coloring)
def value_and_compressed_hessian_from_coloring(
    *args: Any, **kwargs: Any
) -> Derivative[Any]:
    """`value_and_compressed_hessian` by a given coloring."""
    return compressed_hessian_from_coloring(*args, **kwargs).with_value()
