"""Evaluation of derivatives: from a program of the function and a coloring to a matrix."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Inexact

from .._base.sharding import automatically
from .._base.types import (
    HESSIAN_MODES,
    JACOBIAN_MODES,
    OPERATOR,
    OUTPUT_FORMATS,
    OutputFormat,
    check_choice,
)
from .._call.trace import Program
from .._operator import SparseJacobian
from .._operator.formats import Conversion, plan_conversion
from .._structure.coloring import ColoredPattern
from .._structure.pattern import SparsityPattern
from .accumulate import accumulate_data
from .compress import compress, joined, linearize, resolve_chunk_size, rows_of
from .decompress import decompress_data
from .options import Options
from .probe import with_check
from .read import (
    ChunkedPlan,
    DecompressionPlan,
    plan_chunks,
    plan_decompression,
    read,
    read_in_chunks,
)
from .substitute import substitute

Shapes = tuple[tuple[int, ...], ...]
Vector = Inexact[Array, " size"]


class Compression(NamedTuple):
    """How the values are computed by colors: by which products, and how their results are
    read; `None` stops at the compressed matrix.

    What the coloring and the options alone determine is computed by `plan`, once.
    """

    coloring: ColoredPattern
    chunk_size: int | None
    decompression: DecompressionPlan | ChunkedPlan | None

    @classmethod
    def plan(cls, coloring: ColoredPattern, options: Options) -> "Compression":
        """The compression by a coloring."""
        chunk_size = resolve_chunk_size(options.chunk_size, coloring)
        plan = _plan_decompression(coloring, options.output_format, chunk_size)
        return cls(coloring, chunk_size, plan)

    def values(
        self,
        fun: Callable[[Vector], tuple[Array, list[Array]]],
        x: Vector,
        options: Options,
    ) -> tuple[Any, list[Array]]:
        """The values of the entries, or the compressed matrix, and the arrays that `fun`
        returns in addition."""
        coloring = self.coloring
        fun = jax.checkpoint(fun) if options.checkpoint else fun
        maps, arrays = linearize(fun, x, coloring.mode, holomorphic=options.holomorphic)
        sides = rows_of(maps, coloring)
        if self.decompression is None:
            result: Any = compress(sides, self.chunk_size)
        elif isinstance(self.decompression, DecompressionPlan):
            result = read(joined(compress(sides, None)), self.decompression)
        else:
            result = read_in_chunks(sides, self.decompression)
        if self.decompression is not None and coloring.substitution is not None:
            result = substitute(result, coloring.substitution)
        if options.checked:
            entries = (
                decompress_data(result, coloring) if self.decompression is None else result
            )
            result = with_check(
                result,
                entries,
                maps[0],
                coloring.sides[0],
                lambda: decompress_data(compress(sides, 1), coloring),
            )
        return result, arrays


class Evaluation(NamedTuple):
    """How a derivative is computed from a program of the function, and in which format the
    matrix is returned.

    Without a compression, the values are accumulated.
    """

    pattern: SparsityPattern
    bare: SparsityPattern
    """The pattern as operators hold it, without the types of the function."""
    symmetric: bool
    order: int
    options: Options
    compression: Compression | None
    conversion_for: Callable[[Shapes], Conversion | None]

    @classmethod
    def by_colors(
        cls, coloring: ColoredPattern, order: int, options: Options
    ) -> "Evaluation":
        """The evaluation of a Jacobian (`order` 1) or Hessian (`order` 2) by a coloring.

        **Raises:** `TypeError` or `ValueError` for options that no call can have.
        """
        _check_coloring(coloring, order)
        compression = Compression.plan(coloring, options)
        return cls._plan(coloring.sparsity, coloring.symmetric, order, options, compression)

    @classmethod
    def by_accumulation(
        cls, pattern: SparsityPattern, order: int, options: Options, *, symmetric: bool
    ) -> "Evaluation":
        """The evaluation of a Jacobian (`order` 1) or Hessian (`order` 2) without colors.

        **Raises:** what `by_colors` raises.
        """
        return cls._plan(pattern, symmetric, order, options, None)

    @classmethod
    def _plan(
        cls,
        pattern: SparsityPattern,
        symmetric: bool,
        order: int,
        options: Options,
        compression: Compression | None,
    ) -> "Evaluation":
        _check_options(order, options)
        # A pattern made by hand need not hold the shapes of the output.
        conversion_for = functools.lru_cache(maxsize=2)(
            partial(_conversion, pattern, options.output_format)
        )
        conversion_for(pattern.output_shapes if order == 1 else pattern.inputs.shapes)
        return cls(
            pattern, pattern.bare, symmetric, order, options, compression, conversion_for
        )

    @property
    def coloring(self) -> ColoredPattern | None:
        """The coloring that is used, if one is."""
        return None if self.compression is None else self.compression.coloring

    @property
    def mode(self) -> str:
        """How automatic differentiation is used: accumulation goes forward."""
        if self.coloring is not None:
            return self.coloring.mode
        return "fwd" if self.order == 1 else "fwd_over_rev"

    def with_value(self) -> "Evaluation":
        """The same, but the value of the function is computed, too."""
        return self._replace(options=self.options._replace(with_value=True))

    def on_device(
        self,
        program: Program,
        consts: Sequence[Any],
        values: Sequence[Any],
        others: Sequence[Any],
        constants: Sequence[Any] | None = None,
    ) -> tuple[Any, list[Array], list[Array]]:
        """All that JAX can compile: the compressed matrix, an operator, or the arrays of
        the blocks of another format; the leaves of the output, if the value is returned;
        and the arrays of the auxiliary output, if there is one.

        `constants` are the values of `consts`, where those are traced but known.

        **Raises:** `NoCoefficients` if the values cannot be accumulated.
        """
        known = constants or consts
        run = partial(self._on_device, program, known)
        run = run if program.is_explicit else automatically(run)
        return run(values, others, consts)

    def _on_device(
        self,
        program: Program,
        constants: Sequence[Any],
        values: Sequence[Any],
        others: Sequence[Any],
        consts: Sequence[Any],
    ) -> tuple[Any, list[Array], list[Array]]:
        options = self.options
        domain = program.domain
        codomain = program.codomain if self.order == 1 else domain
        self.conversion_for(codomain.shapes)  # Raises an error if the sizes do not fit.

        def fun(x: Vector) -> tuple[Inexact[Array, "..."], list[Array]]:
            return program.run(consts, x, others)

        x = domain.pack(values)
        if self.compression is None:
            known = dict(zip(map(id, consts), constants, strict=True))
            result, arrays = accumulate_data(
                fun, x, self.pattern, self.order, options, known
            )
        else:
            result, arrays = self.compression.values(fun, x, options)
        if options.output_format is not None:
            result = self._arrays(
                SparseJacobian(result, self.bare, domain, codomain, self.symmetric)
            )
        leaves, aux = program.split(arrays)
        return (
            result,
            leaves if options.with_value else [],
            aux if options.has_aux else [],
        )

    def assemble(
        self, program: Program, result: Any, leaves: list[Array], aux: list[Array]
    ) -> Any:
        """What the caller gets, from the results of `on_device`."""
        options, domain = self.options, program.domain
        codomain = program.codomain if self.order == 1 else domain
        conversion = self.conversion_for(codomain.shapes)
        if conversion is not None and conversion.on_host:
            result = conversion(result.data, domain, codomain, self._dtypes(result))
        elif conversion is not None:
            result = conversion.blocks(result, domain, codomain)
        if options.with_value:
            value = program.value(leaves)
            return ((value, program.aux(aux)) if options.has_aux else value), result
        return (result, program.aux(aux)) if options.has_aux else result

    def _arrays(self, operator: SparseJacobian) -> Any:
        """The arrays of the blocks of the format; the operator itself if that is the
        format, or one of the host."""
        conversion = self.conversion_for(operator.codomain.shapes)
        if conversion is None or conversion.on_host:
            return operator
        return conversion.arrays(operator.data, self._dtypes(operator))

    def _dtypes(self, operator: SparseJacobian) -> list[Any]:
        """The dtype of each block: that of its leaf of the output, or in reverse mode of
        the input, as in JAX."""
        pairs = itertools.product(operator.codomain.dtypes, operator.domain.dtypes)
        by_rows = self.coloring is not None and self.coloring.sides[0].kind == "row"
        return [col if by_rows else row for row, col in pairs]


def _conversion(
    pattern: SparsityPattern, output_format: OutputFormat | None, row_shapes: Shapes
) -> Conversion | None:
    """From an operator to the format, for output leaves of these shapes."""
    if (size := sum(map(math.prod, row_shapes))) != pattern.m:
        raise ValueError(
            f"The function returns {size} numbers, but the coloring is of a pattern with "
            f"{pattern.m} rows. Use a coloring that was made for this function."
        )
    if output_format in (None, OPERATOR):
        return None
    return plan_conversion(pattern, row_shapes, pattern.leaf_shapes, output_format)


def _plan_decompression(
    coloring: ColoredPattern, output_format: OutputFormat | None, chunk_size: int | None
) -> DecompressionPlan | ChunkedPlan | None:
    """How the values are read, `None` for the compressed matrix itself."""
    if output_format is None:
        return None
    if chunk_size is None:
        return plan_decompression(coloring)
    return plan_chunks(coloring, chunk_size)


def _check_coloring(coloring: ColoredPattern, order: int) -> None:
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


def _check_options(order: int, options: Options) -> None:
    if options.output_format is not None:
        check_choice("output_format", options.output_format, OUTPUT_FORMATS)
    if order == 2 and options.allow_int:
        raise TypeError(
            "allow_int=True is not supported for Hessians: integer inputs cannot be "
            "differentiated twice."
        )
