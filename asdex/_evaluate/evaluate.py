"""The one engine behind every verb: from a program and a coloring to a derivative."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
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
from .._call.arguments import Inputs
from .._call.flat import cast, pack
from .._call.space import Space
from .._call.trace import Program
from .._operator import SparseJacobian
from .._operator.formats import Assembler, assembler, block_layout, check_shapes_for
from .._structure.coloring import ColoredPattern
from .compress import (
    compress,
    joined,
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

Shapes = tuple[tuple[int, ...], ...]


class Options(NamedTuple):
    """What a caller may choose about an evaluation; `jacobian` explains the choices."""

    output_format: OutputFormat | None = "bcoo"  # `None` stops at the compressed matrix.
    with_value: bool = False
    has_aux: bool = False
    holomorphic: bool = False
    allow_int: bool = False
    chunk_size: ChunkSize = None
    checkpoint: bool = False
    checked: bool = False


class Evaluation(NamedTuple):
    """How a derivative is computed from a program of the function: by which products, how
    their results are read, and in which format the matrix is returned.

    What the coloring and the options alone determine is computed by `plan`, once.
    """

    coloring: ColoredPattern
    order: int
    options: Options
    inputs: Inputs
    chunk_size: int | None
    form_for: Callable[[Shapes], "Form | None"]

    @classmethod
    def plan(cls, coloring: ColoredPattern, order: int, options: Options) -> "Evaluation":
        """The evaluation of a Jacobian (`order` 1) or Hessian (`order` 2).

        **Raises:** `TypeError` or `ValueError` for options that no call can have.
        """
        _check_options(coloring, order, options)
        pattern = coloring.sparsity
        chunk_size = resolve_chunk_size(options.chunk_size, coloring)
        # A pattern made by hand need not know the shapes of the output.
        form_for = functools.lru_cache(maxsize=2)(
            functools.partial(_form, coloring, options.output_format, chunk_size)
        )
        form_for(pattern.output_shapes if order == 1 else tuple(pattern.leaf_shapes))
        inputs = Inputs.of(pattern)
        return cls(coloring, order, options, inputs, chunk_size, form_for)

    def with_value(self) -> "Evaluation":
        """The same that computes the value of the function, too."""
        return self._replace(options=self.options._replace(with_value=True))

    def on_device(
        self,
        program: Program,
        consts: Sequence[Any],
        values: Sequence[Any],
        others: Sequence[Any],
    ) -> tuple[Any, list[Array], list[Array]]:
        """All that JAX can compile: the compressed matrix, the values of an operator, or
        the blocks of the result; the leaves of the output and the arrays of the auxiliary
        output, if they are asked for."""
        options, coloring, mode = self.options, self.coloring, self.coloring.mode

        def fun(x: Inexact[Array, " n"]) -> tuple[Inexact[Array, "..."], list[Array]]:
            return program.run(consts, x, others)

        fun = jax.checkpoint(fun) if options.checkpoint else fun
        x = pack(values)
        maps, arrays = linearize(fun, x, mode, holomorphic=options.holomorphic)
        sides, form = rows_of(maps, coloring), self.form_for(self._rows(program))
        if form is None:
            result: Any = compress(sides, self.chunk_size)
        elif isinstance(form.reading, Reading):
            result = read(joined(compress(sides, None)), form.reading)
        else:
            result = read_in_chunks(sides, form.reading)
        if form is not None and coloring.substitution is not None:
            result = substitute(result, coloring.substitution)
            result = result if form.order is None else result[form.order]
        if options.checked:
            entries = decompress_data(result, coloring) if form is None else result
            entry_order = None if form is None else form.order
            result = with_check(result, entries, entry_order, maps[0], coloring)
        leaves, aux = program.split(arrays)
        return (
            self._arrange(result, program),
            leaves if options.with_value else [],
            aux if options.has_aux else [],
        )

    def assemble(
        self, program: Program, result: Any, leaves: list[Array], aux: list[Array]
    ) -> Any:
        """What the caller gets, from the results of `on_device`."""
        options, form = self.options, self.form_for(self._rows(program))
        if options.output_format == OPERATOR:
            result = self._operator(program, result)
        elif form is not None:
            if options.output_format in HOST_FORMATS:
                result = form.assemble(result)
            result = self._nest(program, result)
        if options.with_value:
            value = program.value(leaves)
            return ((value, program.aux(aux)) if options.has_aux else value), result
        return (result, program.aux(aux)) if options.has_aux else result

    def _rows(self, program: Program) -> Shapes:
        """Shapes of the arrays that the rows of the matrix belong to."""
        if self.order == 1:
            return program.structure.shapes
        return tuple(self.coloring.sparsity.leaf_shapes)

    def _arrange(self, result: Any, program: Program) -> Any:
        """The part of the assembly that can be compiled."""
        form = self.form_for(self._rows(program))
        if form is None or self.options.output_format == OPERATOR:
            return result
        by_column = self.coloring.sides[0].kind == "row"
        is_jacobian = self.order == 1
        row_dtypes = program.structure.dtypes if is_jacobian else program.dtypes
        dtypes = program.dtypes if by_column else row_dtypes
        blocks = form.split(result, by_column=by_column, dtypes=dtypes)
        is_of_jax = self.options.output_format not in HOST_FORMATS
        return form.assemble(blocks) if is_of_jax else blocks

    def _operator(self, program: Program, data: Num[Array, " nnz"]) -> SparseJacobian:
        pattern, structure = self.coloring.sparsity, program.structure
        treedef = jax.tree.structure(self.inputs.example)
        domain = Space(treedef, tuple(pattern.leaf_shapes), program.dtypes)
        codomain = Space(structure.treedef, structure.shapes, structure.dtypes)
        spaces = (domain, codomain if self.order == 1 else domain)
        return SparseJacobian(data, pattern, *spaces, self.coloring.symmetric)

    def _nest(self, program: Program, blocks: list[list[Any]]) -> Any:
        unflatten = self.inputs.unflatten
        outer = program.structure.treedef.unflatten if self.order == 1 else unflatten
        return outer([unflatten(row) for row in blocks])


class Form(NamedTuple):
    """How to read the values of the entries, and to make the blocks of the result."""

    order: Integer[np.ndarray, " nnz"] | None  # See `Layout`.
    reading: Reading | ChunkedReading
    bounds: tuple[int, ...]
    assemblers: tuple[tuple[Assembler, ...], ...]  # One row for each leaf of the output.

    def split(
        self,
        values: Num[Array, " nnz"],
        *,
        by_column: bool,
        dtypes: Sequence[Any],
    ) -> list[list[Num[Array, " _"]]]:
        """The values of each block, of the dtype of its leaf of the output, or input."""
        windows = itertools.pairwise(self.bounds)
        return [
            [
                cast(values[slice(*next(windows))], dtypes[j if by_column else i])
                for j in range(len(row))
            ]
            for i, row in enumerate(self.assemblers)
        ]

    def assemble(self, values: list[list[Num[Array, " _"]]]) -> list[list[Any]]:
        """The blocks, from the values of each."""
        return [
            [assembler(block) for assembler, block in zip(*row, strict=True)]
            for row in zip(self.assemblers, values, strict=True)
        ]


def _form(
    coloring: ColoredPattern,
    output_format: OutputFormat | None,
    chunk_size: int | None,
    row_shapes: Shapes,
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


def _check_options(coloring: ColoredPattern, order: int, options: Options) -> None:
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
