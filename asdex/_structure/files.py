"""Files: arrays and a JSON header in an `.npz` archive, without pickle.

This module defines the container and the encoding of input structures; what goes into
a file is documented by the classes that are saved. The header holds the kind of object, the
version of the format, and a checksum of everything in the file, so that a file which was
cut short, altered or made by something else is refused with a `ValueError`.
"""

import hashlib
import io
import json
import os
import sys
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._base.types import PyTree

FilePath = str | os.PathLike[str]

_VERSION = 1
_PLAIN = (bool, int, float, str, type(None))

# What `zipfile` and NumPy's reader raise on bytes that are not an archive of arrays.
_MALFORMED = (
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def write_file(
    path: FilePath, kind: str, fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write `fields`, which JSON can hold, and `arrays` as an object of the given kind.

    The file is written under another name and then moved into place, so that an interrupted
    call leaves an older file as it was. Raises `OSError` if it cannot be written.
    """
    content = pack(kind, fields, arrays)
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(unfinished, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def pack(kind: str, fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """What `write_file` writes."""
    header = {"format": "asdex", "version": _VERSION, "kind": kind}
    header |= {**fields, "arrays": sorted(arrays)}
    header["checksum"] = _checksum(header, arrays)
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    members: dict[str, Any] = {"header": text, **arrays}
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    return buffer.getvalue()


def read_arrays(path: FilePath) -> dict[str, np.ndarray]:
    """The arrays in an `.npz` archive, the header among them.

    Raises `ValueError` if the file is not such an archive or holds pickled objects;
    `OSError` if it cannot be read.
    """
    return unpack(path, Path(path).read_bytes())


def unpack(path: FilePath, data: bytes) -> dict[str, np.ndarray]:
    """The arrays in the content of a file; `path` says where it comes from."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = dict(archive)
        if all(isinstance(array, np.ndarray) for array in arrays.values()):
            return arrays
        raise ValueError("it holds more than arrays")
    except _MALFORMED as error:
        raise ValueError(
            f"{path} is damaged or not a file of asdex: {error or 'it ends too early'}."
        ) from error


def take_header(path: FilePath, kind: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Take the header out of what `write_file` wrote, and return its fields.

    Raises `ValueError` if the file was not written by `write_file` or by a newer one,
    holds another kind of object, lacks an array, or does not match its checksum.
    """
    check_present(path, ["header"], arrays)
    header = _parse_header(path, arrays.pop("header"))
    if header.get("version") != _VERSION:
        raise ValueError(
            f"{path} has version {header.get('version')} of the file format, and this "
            f"asdex reads version {_VERSION}. Update asdex, or write the file again."
        )
    if header.get("kind") != kind:
        raise ValueError(f"{path} holds a {header.get('kind')}. Expected a {kind}.")
    check_present(path, header.get("arrays", ()), arrays)
    if header.pop("checksum", None) != _checksum(header, arrays):
        raise ValueError(
            f"{path} is damaged: its contents do not match their checksum. Write the file "
            "again."
        )
    return header


def check_present(
    path: FilePath, names: Iterable[str], arrays: Mapping[str, np.ndarray]
) -> None:
    """Raise `ValueError` unless all of the named arrays are there."""
    if lacking := [name for name in names if name not in arrays]:
        raise ValueError(f"{path} lacks {', '.join(lacking)}. Write the file again.")


@contextmanager
def building_from(path: FilePath) -> Iterator[None]:
    """Errors met while an object is built from a file become `ValueError`s naming it."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds data that do not fit together: {error}") from error


def encode_structure(tree: PyTree) -> Any:
    """A pytree of `jax.ShapeDtypeStruct`s and static values as JSON can hold it.

    Nodes may be dicts, lists, tuples, named tuples and `None`. Raises `TypeError` for
    any other node, and for static values other than bool, int, float and str.
    """
    if isinstance(tree, jax.ShapeDtypeStruct):
        if jnp.issubdtype(tree.dtype, jax.dtypes.extended):
            raise TypeError(f"Arrays of dtype {tree.dtype} cannot be saved as inputs.")
        return {"aval": [tree.shape, tree.dtype.name, tree.weak_type]}
    if type(tree) in _PLAIN:
        return {"value": tree}
    if type(tree) is list:
        return {"list": [encode_structure(node) for node in tree]}
    if type(tree) is tuple:
        return {"tuple": [encode_structure(node) for node in tree]}
    if type(tree) is dict and all(type(key) in _PLAIN for key in tree):
        return {"dict": [[key, encode_structure(node)] for key, node in tree.items()]}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        name = [type(tree).__module__, type(tree).__qualname__]
        return {"namedtuple": [*name, [encode_structure(node) for node in tree]]}
    raise TypeError(
        "The inputs of a pattern can be saved if they are nested dicts, lists, tuples, "
        f"named tuples and None, with arrays, bool, int, float and str in them. Got "
        f"{type(tree).__name__}: {tree!r}."
    )


def decode_structure(code: Any) -> PyTree:
    """The pytree that `encode_structure` encoded.

    Raises `ValueError` if the code is not one of its results, or if the class of a named
    tuple has not been imported: reading a file never imports anything.
    """
    match code:
        case {"aval": [shape, dtype, weak_type]}:
            return jax.ShapeDtypeStruct(shape, jnp.dtype(dtype), weak_type=weak_type)
        case {"value": value}:
            return value
        case {"list": nodes}:
            return [decode_structure(node) for node in nodes]
        case {"tuple": nodes}:
            return tuple(decode_structure(node) for node in nodes)
        case {"dict": items}:
            return {key: decode_structure(node) for key, node in items}
        case {"namedtuple": [module, name, nodes]}:
            return _named_tuple(module, name)._make(map(decode_structure, nodes))
    raise ValueError(f"Unknown input structure {code!r}.")


def _named_tuple(module: str, qualified_name: str) -> Any:
    found: Any = sys.modules.get(module)
    for name in qualified_name.split("."):
        found = getattr(found, name, None)
    if not (
        isinstance(found, type) and issubclass(found, tuple) and hasattr(found, "_make")
    ):
        raise ValueError(
            f"The inputs hold the named tuple {qualified_name} of module {module}, which "
            "is not there. Import it first."
        )
    return found


def _parse_header(path: FilePath, text: np.ndarray) -> dict[str, Any]:
    with building_from(path):
        header = json.loads(text.tobytes())
    if not isinstance(header, dict) or header.get("format") != "asdex":
        raise ValueError(f"{path} was not written by asdex.")
    return header


def _checksum(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
