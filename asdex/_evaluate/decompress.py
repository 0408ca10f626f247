"""From the compressed matrix to the values of the sparse one, and to a matrix format."""

from typing import Any

from jaxtyping import Array, Num

from .._base.sharding import automatically
from .._base.types import OPERATOR, OUTPUT_FORMATS, OutputFormat, check_choice
from .._operator import SparseJacobian
from .._operator.formats import plan_conversion
from .._structure.coloring import ColoredPattern
from .compress import joined
from .read import DecompressionPlan, read
from .substitute import substitute


@automatically
def decompress_data(
    compressed: Num[Array, "..."] | tuple[Num[Array, "..."], Num[Array, "..."]],
    coloring: ColoredPattern,
) -> Num[Array, " nnz"]:
    """The values of the sparse matrix, in the order of the entries of its pattern.

    Element `k` is the entry `(sparsity.rows[k], sparsity.cols[k])`. One gather, which
    `jax.jit`, `jax.vmap` and `jax.grad` can transform.

    **Arguments:**

    - `compressed`: the matrix `B` of shape `(num_colors, dim)` that
        `compressed_jacobian` or `compressed_hessian` returns; in mode `"bidirectional"`
        the pair `(B_fwd, B_rev)`.
    - `coloring`: the coloring that `B` was computed with.

    **Raises:** `ValueError` if `compressed` has another shape.
    """
    _check_shapes(compressed, coloring)
    values = read(joined(compressed), DecompressionPlan(coloring.positions, ()))
    if coloring.substitution is not None:
        values = substitute(values, coloring.substitution)
    return values


def _check_shapes(
    compressed: Num[Array, "..."] | tuple[Num[Array, "..."], Num[Array, "..."]],
    coloring: ColoredPattern,
) -> None:
    expected = tuple((side.num_colors, side.dim) for side in coloring.sides)
    if isinstance(compressed, tuple):
        shapes = tuple(part.shape for part in compressed)
        if shapes != expected:
            raise ValueError(
                "A pair of compressed matrices belongs to a coloring of mode "
                f"'bidirectional', of which this one of mode {coloring.mode!r} has shapes "
                f"{expected}. Got {shapes}."
            )
    else:
        k, d = coloring.num_colors, coloring.dim
        if compressed.shape != (k, d):
            raise ValueError(
                "compressed must have one row for each of the num_colors colors: expected "
                f"shape (k, d) = ({k}, {d}) for this coloring in mode {coloring.mode!r}. "
                f"Got {compressed.shape}."
            )


@automatically
def decompress(
    compressed: Num[Array, "..."] | tuple[Num[Array, "..."], Num[Array, "..."]],
    coloring: ColoredPattern,
    output_format: OutputFormat = "bcoo",
) -> Any:
    """The sparse matrix of shape `(m, n)`, flat whatever the pytrees of the function.

    See `decompress_data` for the arguments, and `jacobian` for `output_format`.

    **Raises:** `ValueError` if `compressed` has the wrong shape or the format is unknown.
    """
    check_choice("output_format", output_format, OUTPUT_FORMATS)
    pattern, data = coloring.sparsity, decompress_data(compressed, coloring)
    operator = SparseJacobian(data, pattern, symmetric=coloring.symmetric).flat
    if output_format == OPERATOR:
        return operator
    conversion = plan_conversion(pattern, [(pattern.m,)], [(pattern.n,)], output_format)
    return conversion(data, operator.domain, operator.codomain)
