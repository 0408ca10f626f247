"""Constant coefficients that repeat along an axis: what is made of them repeats, too."""

from collections.abc import Callable

import numpy as np
import pytest

from asdex._detect import coefficients as co

SHAPE = (5, 3, 2)
ROW = np.broadcast_to([[1.0], [0.0], [-2.0]], SHAPE)
TWOS = np.broadcast_to(2.0, SHAPE)
MASK = np.tile([[True], [False], [True]], (5, 1, 2))  # Of full size.
FUNCTIONS = {
    "sum": (lambda x: co.add(x, x), 2 * ROW),
    "sum with a scalar": (lambda x: co.add(x, np.full((), 1.0)), ROW + 1),
    "difference": (lambda x: co.subtract(np.full((), 2.0), x), 2 - ROW),
    "product": (lambda x: co.multiply(x, x), ROW**2),
    "mask": (lambda x: co.keep_where(MASK, x), np.where(MASK, ROW, 0)),
    "choice": (lambda x: co.choose(MASK.astype(int), [x, TWOS]), np.where(MASK, 2, ROW)),
}


@pytest.mark.parametrize(("function", "expected"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_repeating(
    function: Callable[[np.ndarray], np.ndarray], expected: np.ndarray
) -> None:
    found = function(ROW)
    assert co.is_constant(found)
    np.testing.assert_array_equal(found, expected)
    assert found.strides[0] == found.strides[2] == 0
    everywhere = function(ROW.copy())
    np.testing.assert_array_equal(everywhere, expected)
    np.testing.assert_array_equal(co.as_jax(found), expected)


def test_what_repeats_nowhere() -> None:
    x, y = np.arange(30.0).reshape(SHAPE), np.arange(3.0)[:, None]
    np.testing.assert_array_equal(co.multiply(x, y), x * y)
    empty = np.zeros((0, 3))
    assert co.add(empty, empty).shape == co.multiply(empty, np.ones((1, 3))).shape == (0, 3)
