"""All operations of operators, compared with NumPy on dense matrices.

A table of operations times a table of matrices. All operations on one matrix are one
compiled program, because compiling is what takes the time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex
from asdex import SparseJacobian

from .matrices import (
    PATTERNS,
    SYMMETRIC,
    dense,
    numbers,
    operator,
    random_mask,
    symmetric_operator,
)


class Given(NamedTuple):
    """The other operands of operations on a matrix of shape `(m, n)`."""

    x: Any  # n
    u: Any  # m
    columns: Any  # n x 2
    lines: Any  # 2 x m
    same: Any  # An operator of this shape,
    right: Any  # of shape (n, 5),
    left: Any  # and of shape (2, m).
    scalar: Any
    one_x: Any  # Vectors that all matrices of a batch share.
    one_u: Any

    @classmethod
    def make(cls, a: SparseJacobian) -> "Given":
        (m, n), batch, dtype = a.sparsity.shape, a.batch_shape, a.dtype

        def like(pattern: asdex.SparsityPattern, seed: int) -> SparseJacobian:
            return operator(pattern, batch, dtype, seed)

        def pattern(m: int, n: int, seed: int) -> asdex.SparsityPattern:
            return asdex.SparsityPattern.from_dense(random_mask(m, n, 0.5, seed))

        return cls(
            numbers((*batch, n), dtype, 1),
            numbers((*batch, m), dtype, 2),
            numbers((*batch, n, 2), dtype, 3),
            numbers((*batch, 2, m), dtype, 4),
            like(pattern(m, n, 5), 5),
            like(pattern(n, 5, 6), 6),
            like(pattern(2, m, 7), 7),
            numbers(batch, dtype, 8),
            numbers((n,), dtype, 9),
            numbers((m,), dtype, 10),
        )


Operation = tuple[Callable[[SparseJacobian, Given], Any], Callable[[Any, Given], Any]]


def times(matrix: Any, vector: Any) -> Any:
    return np.einsum("...mn,...n->...m", matrix, vector)


def t(matrix: Any) -> Any:
    return np.swapaxes(matrix, -1, -2)


def per_matrix(numbers: Any) -> Any:
    return np.asarray(numbers)[..., None, None]


OF_THE_PATTERN: dict[str, Operation] = {
    "mv": (lambda a, g: a.mv(g.x), lambda d, g: times(d, g.x)),
    "rmv": (lambda a, g: a.rmv(g.u), lambda d, g: times(t(d), g.u)),
    "@ matrix": (lambda a, g: a @ g.columns, lambda d, g: d @ g.columns),
    "matrix @": (lambda a, g: g.lines @ a, lambda d, g: g.lines @ d),
    "@ operator": (lambda a, g: a @ g.right, lambda d, g: d @ g.right),
    "operator @": (lambda a, g: g.left @ a, lambda d, g: g.left @ d),
    "T": (lambda a, g: a.T, lambda d, g: t(d)),
    "+": (lambda a, g: a + g.same, lambda d, g: d + g.same),
    "-": (lambda a, g: g.same - a, lambda d, g: g.same - d),
    "scale_rows": (lambda a, g: a.scale_rows(g.u), lambda d, g: g.u[..., None] * d),
    "scale_cols": (lambda a, g: a.scale_cols(g.x), lambda d, g: d * g.x[..., None, :]),
    "gram": (lambda a, g: a.gram(), lambda d, g: t(d) @ d),
    "gram_diagonal": (lambda a, g: a.gram_diagonal(), lambda d, g: (d * d).sum(-2)),
    "triu(-1)": (lambda a, g: a.triu(-1), lambda d, g: np.triu(d, -1)),
    "tril": (lambda a, g: a.tril(), lambda d, g: np.tril(d)),
    "diagonal": (lambda a, g: a.diagonal(), lambda d, g: d.diagonal(0, -2, -1)),
    "row_sums": (lambda a, g: a.row_sums(), lambda d, g: d.sum(-1)),
    "norm(1)": (lambda a, g: a.norm(1), lambda d, g: np.abs(d).sum(-2).max(-1, initial=0)),
    "norm('inf')": (
        lambda a, g: a.norm("inf"),
        lambda d, g: np.abs(d).sum(-1).max(-1, initial=0),
    ),
    "submatrix(rows)": (
        lambda a, g: a.submatrix(rows=np.arange(a.sparsity.m)[::-2]),
        lambda d, g: d[..., ::-2, :],
    ),
    "submatrix(negative)": (
        lambda a, g: a.submatrix(
            -1 - np.arange(a.sparsity.m), -1 - np.arange(a.sparsity.n)
        ),
        lambda d, g: d[..., ::-1, ::-1],
    ),
    "todense": (lambda a, g: a.todense(), lambda d, g: d),
}

OF_SQUARE_PATTERNS: dict[str, Operation] = {
    "shift(number)": (lambda a, g: a.shift(2.0), lambda d, g: d + 2 * np.eye(d.shape[-1])),
    "shift(vector)": (
        lambda a, g: a.shift(g.one_x),
        lambda d, g: d + np.eye(d.shape[-1]) * g.one_x,
    ),
    "congruence": (
        lambda a, g: a.congruence(g.right),
        lambda d, g: t(g.right) @ d @ g.right,
    ),
    "@ transposed": (lambda a, g: a @ g.same.T, lambda d, g: d @ t(g.same)),
    "+ diagonal": (lambda a, g: a.tril(-1) + a.triu(0), lambda d, g: d),
    "principal submatrix": (
        lambda a, g: a.submatrix(np.arange(a.sparsity.m)[1:], np.arange(a.sparsity.m)[1:]),
        lambda d, g: d[..., 1:, 1:],
    ),
}

OF_THE_VALUES: dict[str, Operation] = {
    "mv of one": (lambda a, g: a.mv(g.one_x), lambda d, g: times(d, g.one_x)),
    "mv_flat": (lambda a, g: a.mv_flat(g.x), lambda d, g: times(d, g.x)),
    "rmv of one": (lambda a, g: a.rmv(g.one_u), lambda d, g: times(t(d), g.one_u)),
    "rmv_flat": (lambda a, g: a.rmv_flat(g.u), lambda d, g: times(t(d), g.u)),
    "@ vector": (lambda a, g: a @ g.one_x, lambda d, g: d @ g.one_x),
    "vector @": (lambda a, g: g.one_u @ a, lambda d, g: g.one_u @ d),
    "@ matrices": (
        lambda a, g: a @ jnp.stack([g.columns, 2 * g.columns]),
        lambda d, g: np.stack([d @ g.columns, 2 * d @ g.columns]),
    ),
    "T.mv": (lambda a, g: a.T.mv(g.u), lambda d, g: times(t(d), g.u)),
    "H": (lambda a, g: a.H, lambda d, g: np.conj(t(d))),
    "H.mv": (lambda a, g: a.H.mv(g.u), lambda d, g: times(np.conj(t(d)), g.u)),
    "conj": (lambda a, g: a.conj(), lambda d, g: np.conj(d)),
    "flat": (lambda a, g: a.flat, lambda d, g: d),
    "+ itself": (lambda a, g: a + a, lambda d, g: 2 * d),
    "negative": (lambda a, g: -a, lambda d, g: -d),
    "* number": (lambda a, g: a * 3, lambda d, g: 3 * d),
    "number *": (lambda a, g: 0.5 * a, lambda d, g: 0.5 * d),
    "* batch": (lambda a, g: a * g.scalar, lambda d, g: d * per_matrix(g.scalar)),
    "batch *": (lambda a, g: g.scalar * a, lambda d, g: d * per_matrix(g.scalar)),
    "/ number": (lambda a, g: a / 3, lambda d, g: d / 3),
    "/ batch": (lambda a, g: a / g.scalar, lambda d, g: d / per_matrix(g.scalar)),
    "triu": (lambda a, g: a.triu(), lambda d, g: np.triu(d)),
    "triu(2)": (lambda a, g: a.triu(2), lambda d, g: np.triu(d, 2)),
    "tril(-1)": (lambda a, g: a.tril(-1), lambda d, g: np.tril(d, -1)),
    "tril(400)": (lambda a, g: a.tril(400), lambda d, g: d),
    "norm": (lambda a, g: a.norm(), lambda d, g: np.linalg.norm(d, axis=(-2, -1))),
    "norm(inf)": (
        lambda a, g: a.norm(np.inf),
        lambda d, g: np.abs(d).sum(-1).max(-1, initial=0),
    ),
    "submatrix(None)": (lambda a, g: a.submatrix(), lambda d, g: d),
    "submatrix(mask)": (
        lambda a, g: a.submatrix(cols=np.arange(a.sparsity.n) % 3 == 1),
        lambda d, g: d[..., :, 1::3],
    ),
    "submatrix(slices)": (
        lambda a, g: a.submatrix(slice(None, None, -1), slice(1, None)),
        lambda d, g: d[..., ::-1, 1:],
    ),
    "sum": (lambda a, g: sum([a, a]), lambda d, g: 2 * d),
    "submatrix(nothing)": (lambda a, g: a.submatrix([], []), lambda d, g: d[..., :0, :0]),
}

OF_SQUARE_VALUES: dict[str, Operation] = {
    "shift(batch)": (
        lambda a, g: a.shift(g.x),
        lambda d, g: d + np.eye(d.shape[-1]) * g.x[..., None, :],
    ),
    "+ transposed": (lambda a, g: a + g.same.T, lambda d, g: d + t(g.same)),
}


def check_operations(a: SparseJacobian, *, of_values: bool = True) -> None:
    """Raise `AssertionError` unless the operations agree with dense ones."""
    square = a.sparsity.m == a.sparsity.n
    table = OF_THE_PATTERN | (OF_SQUARE_PATTERNS if square else {})
    if of_values:
        table = table | OF_THE_VALUES | (OF_SQUARE_VALUES if square else {})
    given = Given.make(a)

    def compute(a: SparseJacobian, given: Given) -> Any:
        return {name: sparse(a, given) for name, (sparse, _) in table.items()}

    found = jax.jit(compute)(a, given)
    in_double = np.result_type(a.dtype, np.float64)
    matrices = Given(
        *[
            (dense(part) if isinstance(part, SparseJacobian) else part).astype(in_double)
            for part in given
        ]
    )
    matrix = dense(a).astype(in_double)
    for name, (_, reference) in table.items():
        expected, actual = reference(matrix, matrices), found[name]
        if isinstance(actual, SparseJacobian):
            assert actual.shape == expected.shape, name
            sizes = actual.codomain.size, actual.domain.size
            assert sizes == expected.shape[-2:], name
            actual = dense(actual)
        is_real = name.startswith("norm")
        assert actual.dtype == (np.finfo(a.dtype).dtype if is_real else a.dtype), name
        check_close(actual, expected, a.dtype, name)


def check_close(actual: Any, expected: Any, dtype: Any, name: str) -> None:
    scale = np.abs(expected).max(initial=1.0)
    tolerance = 32 * np.finfo(dtype).eps * scale
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(name: str) -> None:
    check_operations(operator(PATTERNS[name]), of_values=False)


@pytest.mark.parametrize(
    ("dtype", "batch"),
    [
        (np.float32, (2,)),
        (np.complex128, ()),
        (np.float64, (3,)),
        (np.complex64, (2, 3)),
    ],
)
def test_types_and_batches(dtype: Any, batch: tuple[int, ...]) -> None:
    check_operations(operator(PATTERNS["shuffled"], batch, dtype))


@pytest.mark.parametrize("name", ["power law", "no entries", "dense"])
def test_batches_of_other_patterns(name: str) -> None:
    check_operations(operator(PATTERNS[name], (2,)), of_values=name == "dense")


@pytest.mark.parametrize(("batch", "dtype"), [((2,), np.complex128), ((0,), np.float64)])
def test_symmetric(batch: tuple[int, ...], dtype: Any) -> None:
    check_operations(symmetric_operator(SYMMETRIC, batch, dtype))


def test_batches_are_broadcast() -> None:
    one, three, many = (operator(PATTERNS["square"], b) for b in ((), (3,), (2, 3)))
    x = numbers((6,))
    for a, b in ((one, three), (three, many), (many, one)):
        batch = np.broadcast_shapes(a.batch_shape, b.batch_shape)
        total, product = a + 2 * b.T, a @ b
        assert total.batch_shape == product.batch_shape == batch
        check_close(dense(total), dense(a) + 2 * t(dense(b)), a.dtype, "sum")
        check_close(product.mv(x), dense(a) @ dense(b) @ x, a.dtype, "product")


def test_products_are_not_computed_while_compiling() -> None:
    """XLA would fold gathers at constant places from the first guess of an iteration."""
    n = 5000
    rows = np.repeat(np.arange(n), 2)
    cols = np.random.default_rng(0).permutation(2 * n) // 2
    a = asdex.SparseJacobian(np.ones(2 * n), asdex.SparsityPattern(rows, cols, (n, n)))
    program = jax.jit(lambda a: a.mv(jnp.zeros(n))).lower(a).compile()
    assert "gather" in str(program.as_text())
