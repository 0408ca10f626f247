"""Sparse derivatives of the functions in the table equal JAX's dense ones."""

import jax
import numpy as np
import pytest

from .helpers import Case, cases, check_formats, check_pattern_and_values

pytestmark = [
    # The functions of the table mix dtypes as users do.
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.ConservativePatternWarning"),
]
CORE = cases(core=True)
F64, F32 = np.dtype(np.float64), np.dtype(np.float32)


@pytest.mark.parametrize("case", cases(), ids=repr)
def test_pattern_and_values(case: Case) -> None:
    check_pattern_and_values(case, F64, every=case.core)


@pytest.mark.parametrize("case", CORE, ids=repr)
def test_formats(case: Case) -> None:
    check_formats(case, F64)


@pytest.mark.parametrize("case", CORE[::5], ids=repr)
def test_float32(case: Case) -> None:
    with jax.enable_x64(False):
        check_pattern_and_values(case, F32, every=True)
