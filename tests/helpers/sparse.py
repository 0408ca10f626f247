"""Calling asdex on a row of the table."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import PyTree

import asdex

from .reference import output_avals, points
from .table import Case

JAX_FORMATS = ("bcoo", "dense")
HOST_FORMATS = ("numpy_dense", "scipy_coo", "scipy_csr", "scipy_csc")


@cache
def coloring(case: Case, dtype: np.dtype, mode: str | None = None) -> asdex.ColoredPattern:
    """The coloring that asdex finds for the case; detection runs once per test run."""
    color: Callable[..., asdex.ColoredPattern] = asdex.jacobian_coloring
    if case.scalar:
        color = asdex.hessian_coloring
    args = points(case, dtype)[0]
    return color(case.fun, *args, argnums=case.argnums, mode=mode, **case.kwargs)


def derivative(
    case: Case, colored: asdex.ColoredPattern, output_format: str = "bcoo", **options: Any
) -> Callable[..., PyTree]:
    """The sparse Jacobian of the case, or the Hessian, with its keywords bound."""
    make: Callable[..., Any] = asdex.jacobian_from_coloring
    if case.scalar:
        make = asdex.hessian_from_coloring
    fun = make(case.fun, colored, output_format, **options)
    return lambda *args: fun(*args, **case.kwargs)


def accumulated(case: Case, dtype: np.dtype) -> Callable[..., PyTree] | None:
    """The derivative without colors, `None` where it is not possible."""
    verb: Callable[..., Any] = asdex.hessian if case.scalar else asdex.jacobian
    args = points(case, dtype)[0]
    fun = verb(case.fun, *args, argnums=case.argnums, mode="accumulate", **case.kwargs)
    return None if fun.coloring else lambda *args: fun(*args, **case.kwargs)


def formats(case: Case, args: tuple[Any, ...]) -> tuple[str, ...]:
    """The output formats that can hold the result: SciPy's only flat input and output."""
    inputs = args[case.argnums] if isinstance(case.argnums, int) else args
    outputs = output_avals(case, args)
    ends = (inputs, inputs if case.scalar else outputs)
    if all(len(getattr(end, "shape", ())) == 1 for end in ends):
        return JAX_FORMATS + HOST_FORMATS
    return (*JAX_FORMATS, "numpy_dense")
