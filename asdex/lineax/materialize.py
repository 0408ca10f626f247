"""Matrices of which only products with vectors are known.

One solve traces its operator several times: a step of diffrax six times. What depends on
the program of the product alone, the pattern and how the values are computed, is found once
for equal programs.
"""

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._base.errors import DenseColoringWarning, PatternTooLargeError
from .._base.types import PyTree
from .._base.warn import warn
from .._call.arguments import as_inputs, bind_samples
from .._call.flat import flatten
from .._call.trace import Trace, trace
from .._color import Algorithm
from .._detect import NoCoefficients
from .._evaluate.evaluate import Evaluation
from .._operator import SparseJacobian
from .._structure.pattern import SparsityPattern
from .._verbs.derivatives import jacobian

_MOST = 0.5
"""Share of entries from which on an operator counts as dense."""

_FEW = 32
"""Unknowns up to which an operator may be dense without a warning."""

_MAX_PLANS = 64

Mv: TypeAlias = Callable[[Any], Any]
"""The product with a vector."""


class DenseOperator(Exception):
    """The operator has so many entries that a dense solver is quicker."""


def materialize(
    mv: Mv,
    structure: PyTree[jax.ShapeDtypeStruct],
    algorithm: Algorithm,
    sparsity: SparsityPattern | None,
) -> SparseJacobian:
    """The matrix of a linear map.

    The pattern is detected on the map as it is traced now; values that it closes over are
    not known if they belong to a program that is being traced.

    **Raises:** `DenseOperator` if it is not sparse, or if JAX cannot differentiate the map,
    so that nothing is known of it. The first time for equal programs a warning says so.
    """
    bound = bind_samples(mv, (structure,), {})
    call = flatten(bound, as_inputs(bound, 0), has_aux=False, scalar=False)
    traced = trace(call)
    key = _key(traced, algorithm, sparsity)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), structure)
    if (evaluation := _PLANS.get(key)) is not None:
        if _is_dense(evaluation.pattern):
            raise DenseOperator
        try:
            values = jax.tree.leaves(zeros)
            results = evaluation.on_device(traced.program, traced.consts, values, [])
            return evaluation.assemble(traced.program, *results)
        except NoCoefficients:
            pass  # The values take colors, which `jacobian` finds.
    dtypes = (leaf.dtype for leaf in jax.tree.leaves(structure))
    is_complex = any(jnp.issubdtype(dtype, jnp.complexfloating) for dtype in dtypes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DenseColoringWarning)
            derivative = jacobian(
                mv,
                structure,
                sparsity=sparsity,
                algorithm=algorithm,
                output_format="operator",
                holomorphic=is_complex,
            )
    except PatternTooLargeError as error:
        warn(_DENSE.format(reason=error), DenseColoringWarning)
        raise DenseOperator from error
    except ValueError as error:
        if _is_differentiable(mv, structure):
            raise
        warn(_DENSE.format(reason=f"({error})"), DenseColoringWarning)
        raise DenseOperator from error
    _PLANS.put(key, derivative.evaluation)
    pattern = derivative.sparsity
    if _is_dense(pattern):
        if max(pattern.shape) > _FEW:
            warn(_DENSE.format(reason=repr(pattern)), DenseColoringWarning)
        raise DenseOperator
    return derivative(zeros)


def _is_dense(pattern: SparsityPattern) -> bool:
    return pattern.density >= _MOST and max(pattern.shape) > 1


def _is_differentiable(mv: Mv, structure: PyTree[jax.ShapeDtypeStruct]) -> bool:
    """Whether JAX can: not through functions on the host, such as `jax.pure_callback`."""
    try:
        jax.eval_shape(lambda v: jax.jvp(mv, (v,), (v,)), structure)
    except ValueError:
        return False
    return True


_DENSE = (
    "The operator that asdex.lineax.Sparse is to solve with may have all entries, "
    "{reason}, and is solved with by lineax.AutoLinearSolver. If it is sparse, pass its "
    "pattern: Sparse(sparsity=asdex.jacobian_sparsity(...)). Indices that reach lineax as "
    "arguments of a program, as in x[indices], are not known there."
)


# -- Plans -------------------------------------------------------------------------------


class _Plans:
    """The evaluations for the programs that were traced last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Evaluation] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Evaluation | None:
        with self._lock:
            if (found := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: Hashable, evaluation: Evaluation) -> None:
        if key is None:
            return
        with self._lock:
            self._kept[key] = evaluation
            if len(self._kept) > _MAX_PLANS:
                self._kept.popitem(last=False)


_PLANS = _Plans()


def _key(traced: Trace, algorithm: Algorithm, sparsity: SparsityPattern | None) -> Hashable:
    """What the pattern and the evaluation depend on: the program, the constants that have
    values, and the options. `None` if that is not certain."""
    content = traced.content(1)
    if content is None:
        return None
    values = []
    for const in (*traced.consts, *content.consts):
        if isinstance(const, Tracer):
            values.append(None)
        elif isinstance(const, jax.Array) and not _is_readable(const):
            return None
        else:
            values.append(hashlib.blake2b(np.asarray(const).tobytes()).digest())
    return content.pattern, content.callbacks, tuple(values), algorithm, sparsity


def _is_readable(const: jax.Array) -> bool:
    is_key = jnp.issubdtype(const.dtype, jax.dtypes.prng_key)
    return const.is_fully_addressable and not is_key and not const.is_deleted()
