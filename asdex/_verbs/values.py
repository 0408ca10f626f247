"""The verbs that return the value of the function, too.

Each takes the arguments of the verb that it adds the value to.
"""

from collections.abc import Callable
from typing import Any, Literal, Unpack, overload

from scipy.sparse import sparray

from .._base.types import OutputFormat
from .._operator import SparseJacobian
from .._structure.coloring import ColoredPattern
from .derivative import Derivative, signature_of
from .derivatives import (
    EvaluationOptions,
    ScipyFormat,
    hessian,
    hessian_from_coloring,
    jacobian,
    jacobian_from_coloring,
)


@overload
def value_and_jacobian(
    f: Callable[..., Any],
    *sample_args: Any,
    output_format: Literal["operator"],
    has_aux: Literal[False] = False,
    **options: Any,
) -> Derivative[tuple[Any, SparseJacobian]]: ...
@overload
def value_and_jacobian(
    f: Callable[..., Any],
    *sample_args: Any,
    output_format: ScipyFormat,
    has_aux: Literal[False] = False,
    **options: Any,
) -> Derivative[tuple[Any, sparray]]: ...
@overload
def value_and_jacobian(
    f: Callable[..., Any],
    *sample_args: Any,
    output_format: OutputFormat = "bcoo",
    **options: Any,
) -> Derivative[Any]: ...
@signature_of(jacobian)
def value_and_jacobian(*args: Any, **kwargs: Any) -> Derivative[Any]:
    """A function that computes the value of `f` and its sparse Jacobian.

    The value comes out of the pass that the Jacobian needs anyway. See `jacobian` for the
    arguments.

    **Returns:** a function that returns `(value, jacobian)`, or with `has_aux`
    `((value, aux), jacobian)`, ordered like `jax.value_and_grad`.
    """
    return jacobian(*args, **kwargs).with_value()


@overload
def value_and_jacobian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: Literal["operator"],
    *,
    has_aux: Literal[False] = False,
    **options: Unpack[EvaluationOptions],
) -> Derivative[tuple[Any, SparseJacobian]]: ...
@overload
def value_and_jacobian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: ScipyFormat,
    *,
    has_aux: Literal[False] = False,
    **options: Unpack[EvaluationOptions],
) -> Derivative[tuple[Any, sparray]]: ...
@overload
def value_and_jacobian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: OutputFormat = "bcoo",
    *,
    has_aux: bool = False,
    **options: Unpack[EvaluationOptions],
) -> Derivative[Any]: ...
@signature_of(jacobian_from_coloring)
def value_and_jacobian_from_coloring(*args: Any, **kwargs: Any) -> Derivative[Any]:
    """`value_and_jacobian` by a given coloring; see `jacobian_from_coloring`."""
    return jacobian_from_coloring(*args, **kwargs).with_value()


@overload
def value_and_hessian(
    f: Callable[..., Any],
    *sample_args: Any,
    output_format: Literal["operator"],
    has_aux: Literal[False] = False,
    **options: Any,
) -> Derivative[tuple[Any, SparseJacobian]]: ...
@overload
def value_and_hessian(
    f: Callable[..., Any],
    *sample_args: Any,
    output_format: ScipyFormat,
    has_aux: Literal[False] = False,
    **options: Any,
) -> Derivative[tuple[Any, sparray]]: ...
@overload
def value_and_hessian(
    f: Callable[..., Any],
    *sample_args: Any,
    output_format: OutputFormat = "bcoo",
    **options: Any,
) -> Derivative[Any]: ...
@signature_of(hessian)
def value_and_hessian(*args: Any, **kwargs: Any) -> Derivative[Any]:
    """A function that computes the value of `f` and its sparse Hessian.

    The value, squeezed to a scalar, comes out of a pass that the Hessian needs anyway.
    See `hessian` for the arguments.

    **Returns:** a function that returns `(value, hessian)`, or with `has_aux`
    `((value, aux), hessian)`, ordered like `jax.value_and_grad`.
    """
    return hessian(*args, **kwargs).with_value()


@overload
def value_and_hessian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: Literal["operator"],
    *,
    has_aux: Literal[False] = False,
    **options: Unpack[EvaluationOptions],
) -> Derivative[tuple[Any, SparseJacobian]]: ...
@overload
def value_and_hessian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: ScipyFormat,
    *,
    has_aux: Literal[False] = False,
    **options: Unpack[EvaluationOptions],
) -> Derivative[tuple[Any, sparray]]: ...
@overload
def value_and_hessian_from_coloring(
    f: Callable[..., Any],
    coloring: ColoredPattern,
    output_format: OutputFormat = "bcoo",
    *,
    has_aux: bool = False,
    **options: Unpack[EvaluationOptions],
) -> Derivative[Any]: ...
@signature_of(hessian_from_coloring)
def value_and_hessian_from_coloring(*args: Any, **kwargs: Any) -> Derivative[Any]:
    """`value_and_hessian` by a given coloring; see `hessian_from_coloring`."""
    return hessian_from_coloring(*args, **kwargs).with_value()
