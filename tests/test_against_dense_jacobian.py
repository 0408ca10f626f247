"""Sparse Jacobians of the functions in the table equal JAX's dense ones."""

from collections.abc import Iterator

import jax
import numpy as np
import pytest

from .helpers import (
    JACOBIAN_MODES,
    Case,
    cases,
    check_all_points,
    check_formats,
    check_pattern,
    check_vmap,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::asdex._errors.DenseColoringWarning",
    "ignore::asdex._errors.ConservativePatternWarning",
)
CORE = cases(scalar=False, core=True)
REST = cases(scalar=False, core=False)
F64, F32 = np.dtype(np.float64), np.dtype(np.float32)


@pytest.fixture(autouse=True)
def standard_promotion() -> Iterator[None]:
    """The functions of the table mix dtypes as users do."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.parametrize("case", CORE + REST, ids=repr)
def test_pattern(case: Case) -> None:
    with jax.enable_x64(True):
        check_pattern(case, F64)


@pytest.mark.parametrize("case", REST, ids=repr)
def test_values(case: Case) -> None:
    with jax.enable_x64(True):
        check_all_points(case, F64, None)


@pytest.mark.parametrize("case", CORE, ids=repr)
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_values_in_all_formats(case: Case, dtype: np.dtype) -> None:
    with jax.enable_x64(dtype == F64):
        check_all_points(case, dtype, None)
        check_formats(case, dtype, None)
        check_vmap(case, dtype, None)


@pytest.mark.parametrize("case", CORE, ids=repr)
@pytest.mark.parametrize("mode", JACOBIAN_MODES)
def test_values_in_all_modes(case: Case, mode: str) -> None:
    if mode not in case.modes:
        pytest.skip(f"JAX cannot differentiate this function in mode {mode!r}.")
    with jax.enable_x64(True):
        check_formats(case, F64, mode)
        check_vmap(case, F64, mode)
