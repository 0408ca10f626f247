"""Sparse Hessians of the functions in the table equal JAX's dense ones."""

from collections.abc import Iterator

import jax
import numpy as np
import pytest

from .helpers import (
    HESSIAN_MODES,
    Case,
    cases,
    check_all_points,
    check_formats,
    check_pattern,
    check_vmap,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::asdex._base.errors.DenseColoringWarning",
    "ignore::asdex._base.errors.ConservativePatternWarning",
)
CORE = cases(scalar=True, core=True)
CASES = cases(scalar=True)
F64, F32 = np.dtype(np.float64), np.dtype(np.float32)


@pytest.fixture(autouse=True)
def standard_promotion() -> Iterator[None]:
    """The functions of the table mix dtypes as users do."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_pattern_and_values(case: Case) -> None:
    with jax.enable_x64(True):
        check_pattern(case, F64)
        check_all_points(case, F64, None)


@pytest.mark.parametrize("case", CORE, ids=repr)
def test_formats(case: Case) -> None:
    with jax.enable_x64(True):
        check_formats(case, F64)
        check_vmap(case, F64, None)


@pytest.mark.parametrize("case", CORE, ids=repr)
@pytest.mark.parametrize("mode", HESSIAN_MODES)
def test_modes(case: Case, mode: str) -> None:
    if mode not in case.modes:
        pytest.skip(f"JAX cannot differentiate this function in mode {mode!r}.")
    with jax.enable_x64(True):
        check_all_points(case, F64, mode)
        check_vmap(case, F64, mode)


@pytest.mark.parametrize("case", CORE, ids=repr)
def test_float32(case: Case) -> None:
    with jax.enable_x64(False):
        check_all_points(case, F32, None)
        check_vmap(case, F32, None)
