"""Sums of coefficients in one place: the same by each way to compute them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asdex._detect.coefficients import add_at, sum_groups
from asdex._detect.matrices import Groups, grouped

RNG = np.random.default_rng(0)
PLACES = {
    "one each": np.arange(7),
    "in another order": RNG.permutation(7),
    "two each": np.repeat(RNG.permutation(6), 2),
    "few": RNG.integers(0, 20, 30),
    "many in one": np.append(RNG.integers(0, 5, 30), np.full(40, 2)),
    "none": np.zeros(0, int),
}


@pytest.fixture(params=["cpu", "gpu"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What XLA compiles for, as far as asdex asks for it."""
    monkeypatch.setattr(jax, "default_backend", lambda: request.param)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", [np.float64, np.float16])
@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_sums(places: np.ndarray, dtype: type) -> None:
    x = (1 + np.arange(places.size) % 9).astype(dtype)
    count = int(places.max(initial=0)) + 2
    expected = np.bincount(places, weights=x, minlength=count)
    for parts in (x, jnp.asarray(x)):
        found = add_at([parts, parts[:0]], [places, places[:0]], count)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == dtype
    rows, cols = places // 3, places % 3
    shape = (count, 3)
    matrix, groups = grouped(rows, [cols], shape)
    assert isinstance(groups, Groups)
    assert matrix.has_canonical_format
    dense = np.zeros(shape)
    np.add.at(dense, (rows, cols), x)
    np.testing.assert_array_equal(matrix.toarray(), dense != 0)
    for values in (x, jnp.asarray(x)):
        sums = sum_groups(values, groups)
        np.testing.assert_array_equal(sums, dense[dense != 0])


def test_several_entries_in_a_row() -> None:
    rows, cols = np.array([2, 0, 2]), np.array([[1, 3], [0, 0], [0, 1]])
    matrix, groups = grouped(rows, list(cols.T), (3, 4))
    expected = [[2.0, 0, 0, 0], [0, 0, 0, 0], [1, 2, 0, 1]]
    np.testing.assert_array_equal(matrix.toarray(), np.array(expected) != 0)
    sums = sum_groups(np.ones(6), groups)
    np.testing.assert_array_equal(sums, [2, 1, 2, 1])
