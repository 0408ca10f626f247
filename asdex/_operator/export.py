"""Operators as arguments and results of functions that `jax.export` writes to a file."""

from typing import Any

import jax
import numpy as np
from jax import export

from .._call.space import Space
from .._structure.files import (
    building_from,
    decode_structure,
    encode_structure,
    pack,
    take_header,
    unpack,
)
from .._structure.pattern import pattern_from_record, pattern_record
from .operator import SparseJacobian

_KIND = "operator"
_SOURCE = "the exported function"


def _to_bytes(static: Any) -> bytes:
    # Equinox flattens a module to its static fields, in order, behind a field of its own.
    _, sparsity, domain, codomain, symmetric = static
    fields, arrays = pattern_record(sparsity)
    fields |= {
        "domain": encode_structure(domain.tree),
        "codomain": encode_structure(codomain.tree),
        "symmetric": symmetric,
    }
    return pack(_KIND, fields, arrays)


def _from_bytes(data: bytes) -> Any:
    arrays = unpack(_SOURCE, data)
    fields = take_header(_SOURCE, _KIND, arrays)
    with building_from(_SOURCE):
        sparsity = pattern_from_record(fields, arrays)
        operator = SparseJacobian(
            np.zeros(sparsity.nnz),
            sparsity,
            Space.of(decode_structure(fields["domain"])),
            Space.of(decode_structure(fields["codomain"])),
            fields["symmetric"],
        )
    return jax.tree.structure(operator).node_data()[1]


# Writing raises `TypeError` for an operator that maps pytrees with nodes other than dicts,
# lists, tuples, named tuples and `None`.
export.register_pytree_node_serialization(
    SparseJacobian,
    serialized_name="asdex.SparseJacobian",
    serialize_auxdata=_to_bytes,
    deserialize_auxdata=_from_bytes,
)
