"""Values written by hand, by accumulation and by colors, against dense derivatives."""

import jax
import numpy as np
import pytest

from tests.benchmarks.by_hand import HAND_WRITTEN, HandWritten
from tests.benchmarks.evaluation import ways

pytestmark = [
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
]


@pytest.mark.parametrize("problem", HAND_WRITTEN, ids=lambda problem: problem.name)
def test_values_agree(problem: HandWritten) -> None:
    instance = problem.make(24)
    function, by_hand, x = instance
    transform = jax.jacfwd if problem.kind == "jacobian" else jax.hessian
    dense = np.asarray(jax.jit(transform(function))(x))

    accumulated, by_colors, default = ways(problem, instance)
    pattern = default.sparsity
    expected = dense[pattern.rows, pattern.cols]
    assert np.count_nonzero(dense) == np.count_nonzero(expected)
    found = {"by hand": jax.jit(by_hand)(x), "colors": by_colors(x).data}
    if accumulated is not None:
        found["accumulated"] = accumulated(x).data
    for way, data in found.items():
        np.testing.assert_allclose(data, expected, rtol=1e-9, atol=1e-9, err_msg=way)
