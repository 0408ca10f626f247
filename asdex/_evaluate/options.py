"""What a caller may choose about an evaluation."""

from typing import NamedTuple

from .._base.types import ChunkSize, OutputFormat


class Options(NamedTuple):
    """What a caller may choose about an evaluation; `jacobian` explains the choices."""

    output_format: OutputFormat | None = "bcoo"  # `None` stops at the compressed matrix.
    has_aux: bool = False
    holomorphic: bool = False
    allow_int: bool = False
    chunk_size: ChunkSize = "auto"
    checkpoint: bool = False
    checked: bool = False
    with_value: bool = False
