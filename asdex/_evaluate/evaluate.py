"""The one engine behind every verb: from a function and its coloring to its derivative."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Inexact, Integer, Num

from .._base.types import (
    HESSIAN_MODES,
    HOST_FORMATS,
    JACOBIAN_MODES,
    OPERATOR,
    OUTPUT_FORMATS,
    ChunkSize,
    OutputFormat,
    check_choice,
)
from .._call.arguments import Bound, Inputs, bind_call, check_differentiable
from .._call.flat import Extras, FlatFunction, Structure, cast, flatten
from .._operator import Space, SparseJacobian
from .._operator.formats import Assembler, assembler, block_layout, check_shapes_for
from .._structure.coloring import ColoredPattern
from .._verbs.sparsity import check_still_holds
from .closure import Watch
from .compiled import CompiledCalls
from .compress import (
    as_compressed,
    compress,
    linearize,
    resolve_chunk_size,
    rows_of,
)
from .decompress import decompress_data
from .probe import with_check
from .read import (
    ChunkedReading,
    Reading,
    plan_chunked_reading,
    plan_reading,
    read,
    read_in_chunks,
)
from .substitute import substitute

Shapes = Sequence[tuple[int, ...]]


class Options(NamedTuple):
    """What a caller may choose about an evaluation; `jacobian` explains the choices."""

    output_format: OutputFormat | None = None  # `None` stops at the compressed matrix.
    with_value: bool = False
    has_aux: bool = False
    holomorphic: bool = False
    allow_int: bool = False
    chunk_size: ChunkSize = None
    checkpoint: bool = False
    checked: bool = False
    forward_keywords: bool = True  # See `bind_call`.


def evaluator(
    f: Callable[..., Any], coloring: ColoredPattern, order: int, options: Options
) -> Callable[..., Any]:
    """A function of the arguments of `f` that returns its derivative.

    `order` is 1 for the Jacobian and 2 for the Hessian. What the coloring and the options
    alone determine is worked out here, not at every call.

    **Raises:** `TypeError` or `ValueError` for options that are wrong whatever the call.
    """
    _check_options(f, coloring, order, options)
    pattern, mode = coloring.sparsity, coloring.mode
    inputs = Inputs.of(pattern)
    chunk_size = resolve_chunk_size(options.chunk_size, coloring)
    usual_shapes = pattern.output_shapes if order == 1 else pattern.leaf_shapes
    usual_form = _form(coloring, usual_shapes, options.output_format, chunk_size)

    def form_for(structure: Structure) -> Form | None:
        if order == 2 or structure.shapes == pattern.output_shapes:
            return usual_form
        # A pattern made by hand need not know the shapes of the output.
        return _form(coloring, structure.shapes, options.output_format, chunk_size)

    def compute(
        fun: FlatFunction, x: Inexact[Array, " n"], others: list[Any]
    ) -> tuple[Num[Array, "..."], Extras]:
        """The compressed matrix, or the values of its entries, with what rides along."""
        fun = jax.checkpoint(fun) if options.checkpoint else fun
        linearization, extras = linearize(
            lambda x: fun(x, others), x, mode, holomorphic=options.holomorphic
        )
        rows, form = rows_of(linearization, coloring), form_for(extras.structure)
        count = coloring.num_colors
        if form is None:
            result = compress(rows, count, chunk_size)
        elif isinstance(form.reading, Reading):
            result = read(compress(rows, count, None), form.reading)
        else:
            dtype = linearization.row_dtype
            result = read_in_chunks(rows, count, dtype, form.reading)
        if form is not None and coloring.substitution is not None:
            result = substitute(result, coloring.substitution)
            result = result if form.order is None else result[form.order]
        if options.checked:
            values = decompress_data(result, coloring) if form is None else result
            entries = None if form is None else form.order
            result = with_check(result, values, entries, linearization, coloring)
        return result, extras

    in_treedef = jax.tree.structure(inputs.example)
    watch = Watch(f) if pattern.knows_dtypes else None
    run = CompiledCalls(f) if options.output_format in HOST_FORMATS else _run

    def evaluate(*args: Any, **kwargs: Any) -> Any:
        bound = bind_call(
            f, inputs, args, kwargs, forward_keywords=options.forward_keywords
        )
        call = flatten(bound, inputs, has_aux=options.has_aux, scalar=order == 2)
        check_differentiable(
            inputs,
            call.dtypes,
            mode,
            holomorphic=options.holomorphic,
            allow_int=options.allow_int,
        )
        changed = watch is not None and watch.sees_change()
        check_still_holds(pattern, bound, call, order, changed=changed)
        result, extras = run(bound, partial(compute, call.fun), call.x, call.others)
        if watch is not None:
            watch.look()
        form, structure = form_for(extras.structure), extras.structure
        if form is None:
            result = as_compressed(result, coloring)
        elif options.output_format == OPERATOR:
            domain = Space(in_treedef, tuple(pattern.leaf_shapes), call.dtypes)
            codomain = Space(structure.treedef, structure.shapes, structure.dtypes)
            spaces = (domain, codomain if order == 1 else domain)
            result = SparseJacobian(result, pattern, *spaces, coloring.symmetric)
        else:
            row_dtypes = structure.dtypes if order == 1 else call.dtypes
            dtypes = call.dtypes if mode == "rev" else row_dtypes
            rows = form.assemble(result, by_column=mode == "rev", dtypes=dtypes)
            nest_rows = structure.treedef.unflatten if order == 1 else inputs.unflatten
            result = nest_rows([inputs.unflatten(row) for row in rows])
        return _combine(result, extras, options)

    return evaluate


def _run(_: Bound, fun: Callable[..., Any], *args: Any) -> Any:
    """Call a function as it is, for the caller to compile."""
    return fun(*args)


class Form(NamedTuple):
    """How to read the values of the entries, and to make the blocks of the result."""

    order: Integer[np.ndarray, " nnz"] | None  # See `Layout`.
    reading: Reading | ChunkedReading
    bounds: tuple[int, ...]
    assemblers: tuple[tuple[Assembler, ...], ...]  # One row for each leaf of the output.

    def assemble(
        self,
        values: Num[Array, " nnz"],
        *,
        by_column: bool,
        dtypes: Sequence[Any],
    ) -> list[list[Any]]:
        """The blocks, each of the dtype of its leaf of the output, or of the input."""
        windows = itertools.pairwise(self.bounds)
        return [
            [
                assemble(cast(values[slice(*next(windows))], dtypes[j if by_column else i]))
                for j, assemble in enumerate(row)
            ]
            for i, row in enumerate(self.assemblers)
        ]


def _form(
    coloring: ColoredPattern,
    row_shapes: Shapes,
    output_format: OutputFormat | None,
    chunk_size: int | None,
) -> Form | None:
    """The form for output leaves of these shapes; none for the compressed matrix."""
    pattern = coloring.sparsity
    if (size := sum(map(math.prod, row_shapes))) != pattern.m:
        raise ValueError(
            f"The function returns {size} numbers, but the coloring is of a pattern with "
            f"{pattern.m} rows. Use a coloring that was made for this function."
        )
    if output_format is None:
        return None
    if output_format == OPERATOR:
        return Form(None, _plan(coloring, chunk_size, None), (), ())
    col_shapes = pattern.leaf_shapes
    check_shapes_for(output_format, row_shapes, col_shapes)
    order, bounds, blocks = block_layout(pattern, row_shapes, col_shapes)
    # A substitution counts the entries in the order of the pattern.
    read_order = order if coloring.substitution is None else None
    assemblers = iter([assembler(block, output_format) for block in blocks])
    return Form(
        order,
        _plan(coloring, chunk_size, read_order),
        bounds,
        tuple(tuple(itertools.islice(assemblers, len(col_shapes))) for _ in row_shapes),
    )


def _plan(
    coloring: ColoredPattern,
    chunk_size: int | None,
    order: Integer[np.ndarray, " nnz"] | None,
) -> Reading | ChunkedReading:
    if chunk_size is None:
        return plan_reading(coloring, order)
    return plan_chunked_reading(coloring, chunk_size, order)


def _combine(result: Any, extras: Extras, options: Options) -> Any:
    """Put the value and the auxiliary output where `jax.value_and_grad` puts them."""
    value, aux = extras.value_and_aux()
    if options.with_value:
        return ((value, aux) if options.has_aux else value), result
    return (result, aux) if options.has_aux else result


def _check_options(
    f: Callable[..., Any], coloring: ColoredPattern, order: int, options: Options
) -> None:
    if not callable(f):
        raise TypeError(f"f must be callable. Got {f!r}.")
    if not isinstance(coloring, ColoredPattern):
        raise TypeError(
            f"coloring must be a ColoredPattern. Got {type(coloring).__name__}. Make one "
            "with jacobian_coloring or hessian_coloring."
        )
    modes = JACOBIAN_MODES if order == 1 else HESSIAN_MODES
    if coloring.mode not in modes:
        name = "Jacobian" if order == 1 else "Hessian"
        raise ValueError(
            f"A {name} needs a coloring of mode {' or '.join(map(repr, modes))}. This one "
            f"has mode {coloring.mode!r}. Make it with {name.lower()}_coloring."
        )
    if options.output_format is not None:
        check_choice("output_format", options.output_format, OUTPUT_FORMATS)
    if order == 2 and options.allow_int:
        raise TypeError(
            "allow_int=True is not supported for Hessians: integer inputs cannot be "
            "differentiated twice."
        )
