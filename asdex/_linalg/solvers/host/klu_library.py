"""The C functions of KLU, in the library that the package klujax brings along.

klujax itself calls them from within programs of JAX: it analyses a pattern again in each
call, or keeps factors at addresses that a program never frees, and ends the program where a
matrix is singular. On the host they are functions like any other.
"""

import ctypes
import weakref
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Inexact, Int32

_MISSING = (
    "solver='klu' needs the package klujax. Install it with `pip install klujax`, or "
    "use solver='superlu', which needs nothing else."
)

_OTHER = (
    "solver='klu' calls the C functions of KLU in the library of klujax, which are not "
    "found in {path}. Use solver='superlu', or klujax 0.5.2."
)


class Numeric(NamedTuple):
    """Factors of a matrix, freed with `owner`, and the memory that they take."""

    address: int
    nbytes: int
    owner: "_Owner"


class _Owner:
    """What frees an object of the library when it is no longer used."""

    def __init__(self, free: Callable[..., Any], address: int):
        pointer = ctypes.c_void_p(address)
        weakref.finalize(self, free, ctypes.byref(pointer), ctypes.byref(Common()))


class Common(ctypes.Structure):
    """`klu_common` of SuiteSparse 5 to 7, with room for what others may add."""

    _fields_ = (
        *((name, ctypes.c_double) for name in ("tol", "memgrow", "initmem_amd")),
        *((name, ctypes.c_double) for name in ("initmem", "maxwork")),
        *((name, ctypes.c_int) for name in ("btf", "ordering", "scale")),
        *((name, ctypes.c_void_p) for name in ("user_order", "user_data")),
        *((name, ctypes.c_int) for name in ("halt_if_singular", "status", "nrealloc")),
        *((name, ctypes.c_int32) for name in ("structural_rank", "numerical_rank")),
        *((name, ctypes.c_int32) for name in ("singular_col", "noffdiag")),
        *((name, ctypes.c_double) for name in ("flops", "rcond", "condest")),
        *((name, ctypes.c_double) for name in ("rgrowth", "work")),
        *((name, ctypes.c_size_t) for name in ("memusage", "mempeak")),
        ("others", ctypes.c_char * 256),
    )

    @property
    def is_as_expected(self) -> bool:
        """Whether the fields hold KLU's defaults: they are where they are looked for."""
        numbers = self.tol, self.memgrow, self.btf, self.ordering, self.scale
        return (*numbers, self.halt_if_singular) == (0.001, 1.2, 1, 0, 2, 1)


class Analysis(NamedTuple):
    """The order of elimination for a pattern, in compressed columns."""

    library: ctypes.CDLL
    indptr: Int32[np.ndarray, " pointers"]
    indices: Int32[np.ndarray, " nnz"]
    address: int
    owner: _Owner

    def factor(self, values: Inexact[np.ndarray, " nnz"]) -> Numeric | None:
        """Factors of the matrix with these values in double precision; `None` if it is
        singular."""
        kind = _kind(values)
        common = _defaults(self.library)
        address = getattr(self.library, f"klu_{kind}factor")(
            *map(_address, (self.indptr, self.indices, values)),
            ctypes.c_void_p(self.address),
            ctypes.byref(common),
        )
        if not address:
            return None
        owner = _Owner(getattr(self.library, f"klu_{kind}free_numeric"), address)
        return Numeric(address, common.memusage, owner)

    def solve(
        self, numeric: Numeric, rhs: Inexact[np.ndarray, "k n"], transposed: bool
    ) -> None:
        """Overwrite right-hand sides in double precision by the solutions. Not more than
        one thread may use the same factors."""
        kind = _kind(rhs)
        name = f"klu_{kind}tsolve" if transposed else f"klu_{kind}solve"
        without_conjugation = (ctypes.c_int(0),) if kind and transposed else ()
        getattr(self.library, name)(
            ctypes.c_void_p(self.address),
            ctypes.c_void_p(numeric.address),
            *(ctypes.c_int32(rhs.shape[1]), ctypes.c_int32(rhs.shape[0])),
            _address(rhs),
            *without_conjugation,
            ctypes.byref(_defaults(self.library)),
        )


def analyze(
    indptr: Int32[np.ndarray, " pointers"], indices: Int32[np.ndarray, " nnz"]
) -> Analysis:
    """The analysis of a pattern that holds nonsingular matrices.

    **Raises:** `ImportError` if klujax is missing, or its library does not show KLU.
    """
    spec = find_spec("klujax_cpp")
    if spec is None or spec.origin is None:
        raise ImportError(_MISSING)
    library = _load(spec.origin)
    address = library.klu_analyze(
        ctypes.c_int32(indptr.size - 1),
        *map(_address, (indptr, indices)),
        ctypes.byref(_defaults(library)),
    )
    if not address:
        raise MemoryError("KLU has not enough memory to analyze the pattern.")
    owner = _Owner(library.klu_free_symbolic, address)
    return Analysis(library, indptr, indices, address, owner)


@cache
def _load(path: str) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(path)
        for name in ("klu_analyze", "klu_factor", "klu_z_factor"):
            getattr(library, name).restype = ctypes.c_void_p
        is_as_expected = _defaults(library).is_as_expected
    except (OSError, AttributeError) as error:
        raise ImportError(_OTHER.format(path=path)) from error
    if not is_as_expected:
        raise ImportError(_OTHER.format(path=path))
    return library


def _defaults(library: ctypes.CDLL) -> Common:
    common = Common()
    library.klu_defaults(ctypes.byref(common))
    return common


def _kind(values: Inexact[np.ndarray, "..."]) -> str:
    return "z_" if np.iscomplexobj(values) else ""


def _address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
