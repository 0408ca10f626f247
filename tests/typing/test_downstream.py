"""The typed program of a user is also right when it runs."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Primitive
from jax.interpreters import ad

import asdex

from . import downstream

N = 6
U, RATE = jnp.linspace(0.5, 1.0, N), jnp.asarray(0.25)
DENSE = np.asarray(jax.jacobian(downstream.residual)(U, RATE))


@pytest.fixture(scope="module")
def operator():
    jacobian = asdex.jacobian(downstream.residual, U, RATE, output_format="operator")
    return jacobian(U, RATE)


def assert_all_equal(matrices: Iterable[Any], expected: Any = DENSE) -> None:
    for matrix in matrices:
        dense = matrix.todense() if hasattr(matrix, "todense") else matrix
        np.testing.assert_allclose(dense, expected, rtol=1e-12, atol=1e-12)


def test_verbs():
    assert_all_equal(downstream.derivatives(U, RATE))
    assert_all_equal(downstream.options(U, RATE, "fwd"))
    assert_all_equal(downstream.dense_blocks(U, RATE))
    change, matrix = downstream.by_format(U, RATE)
    assert_all_equal([change], np.linalg.solve(DENSE, U))
    assert_all_equal([matrix])
    data, matrix = downstream.compressed(U, RATE)
    assert_all_equal([matrix])
    assert_all_equal([data], matrix.data)


def test_patterns_and_colorings(tmp_path):
    pattern = downstream.patterns(U, RATE)
    assert pattern == asdex.jacobian_sparsity(downstream.residual, U, RATE)
    colorings = downstream.colorings(pattern)
    assert [coloring.num_colors for coloring in colorings] == [3, 3, 3, 2]
    assert [downstream.files(coloring, tmp_path) for coloring in colorings] == colorings
    assert "add" in downstream.explained(U, RATE)
    indptr, selection = downstream.structures(pattern)
    assert (indptr[-1], selection.size) == (3 * N - 2, 2 * N - 1)


def test_operators(operator):
    found = downstream.algebra(operator, U)
    expected = {
        "product": DENSE @ DENSE.T,
        "shifted": 2 * DENSE + np.eye(N),
        "gram": DENSE.T @ DENSE,
        "scaled": np.diag(U) @ DENSE,
        "part": DENSE[[0, 1]][:, [1]],
        "vector": DENSE @ U,
        "tree": DENSE.T @ U,
    }
    jax.tree.map(lambda a, b: assert_all_equal([a], b), found, expected)
    bcoo, bcsr, banded = downstream.conversions(operator)
    assert_all_equal([bcoo, bcsr])
    assert_all_equal([banded[1]], DENSE.diagonal())


def test_solves(operator):
    solutions = downstream.solutions(operator, U, ["tridiagonal", "dense"])
    assert_all_equal(solutions, np.linalg.solve(DENSE, U))
    coloring = asdex.jacobian_coloring(downstream.residual, U, RATE)
    layer, u = downstream.Layer(RATE, coloring), U
    for _ in range(8):
        u = jax.jit(downstream.Layer.__call__)(layer, u)
    assert_all_equal([u], 0)


def test_errors(operator):
    assert downstream.caught(operator, U) == ["SingularMatrixError", "InvalidColoringError"]


def test_a_rule():
    reverse_p = Primitive("reverse_downstream")
    reverse_p.def_abstract_eval(lambda x: x)
    ad.deflinear2(reverse_p, lambda cotangent, x: [reverse_p.bind(cotangent)])
    before, after = downstream.with_a_rule(reverse_p.bind, reverse_p, U)
    assert before.nnz == N * N
    np.testing.assert_array_equal(after.todense(), np.eye(N)[::-1])


def test_constrained():
    kkt, triangle = downstream.constrained(U, RATE)
    assert_all_equal([kkt.submatrix(range(N, 2 * N), range(N))])
    upper = np.triu(kkt.submatrix(range(N), range(N)).todense())
    assert triangle.size == np.count_nonzero(upper) <= kkt.nnz
