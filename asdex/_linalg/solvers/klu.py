"""General sparse matrices, by KLU through the optional package klujax."""

from dataclasses import dataclass
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Inexact

from ..._base.types import PyTree
from .backend import Backend, Determinant, Solution, Vector
from .matching import Facts
from .superlu import plan_superlu

_MISSING = (
    "solver='klu' needs the package klujax. Install it with `pip install klujax`, or "
    "use solver='superlu', which needs nothing else."
)

_SETTINGS = ("jax_enable_x64", "jax_platform_name")


def plan_klu(facts: Facts) -> Backend:
    """LU decomposition by KLU, in block triangular form, on the CPU.

    KLU computes in double precision, whatever the dtype, and analyses the pattern again in
    each call. klujax ends the program with JAX's own error when a matrix is singular, so
    there is no flag to return, and one singular matrix fails its batch. Raises
    `ImportError` if klujax is missing.
    """
    return Klu(_import_klujax(), facts)


@dataclass(frozen=True, eq=False)
class Klu:
    """Solves by `klujax.solve`, once for all right-hand sides of a matrix.

    It keeps no factors: those of klujax are addresses in memory, which a program may use
    after they were freed, and never frees under `jit`.
    """

    klujax: ModuleType
    facts: Facts

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        return data

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        rows, cols = self.facts.pattern.rows, self.facts.pattern.cols
        if transposed:
            rows, cols = cols, rows
        is_complex = jnp.issubdtype(b.dtype, jnp.complexfloating)
        double = np.dtype(np.complex128 if is_complex else np.float64)
        with jax.enable_x64(True):
            values, rhs = (lax.convert_element_type(v, double) for v in (factors, b))
            x = self.klujax.solve(jnp.asarray(rows), jnp.asarray(cols), values, rhs)
            x = lax.convert_element_type(x, b.dtype)
        return x, jnp.zeros((), bool)

    def slogdet(self, factors: PyTree[Array]) -> Determinant:
        host = plan_superlu(self.facts)
        return host.slogdet(host.factor(factors))


def _import_klujax() -> ModuleType:
    """klujax, without the settings of JAX that it changes when it is imported."""
    settings = {name: jax.config.values[name] for name in _SETTINGS}
    try:
        import klujax
    except ImportError as error:
        raise ImportError(_MISSING) from error
    finally:
        for name, value in settings.items():
            jax.config.update(name, value)
    return klujax
