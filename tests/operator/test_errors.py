"""What errors say: the argument, what was expected, what came, and what to do."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex
from asdex import SparseJacobian, SparsityPattern

from .matrices import PATTERNS, SYMMETRIC, numbers, operator, symmetric_operator

pytestmark = pytest.mark.usefixtures("without_annotation_checks")

# Of any type, because a type checker would report what is wrong.
SQUARE: Any = operator(PATTERNS["square"])
WIDE: Any = operator(PATTERNS["wide"])
TALL: Any = operator(PATTERNS["tall"])
BATCH: Any = operator(PATTERNS["wide"], (3,))
UPPER: Any = operator(PATTERNS["strictly upper"])
ARRAY: Any = np.eye(3)
COLORING: Any = asdex.jacobian_coloring_from_sparsity(SQUARE.sparsity)
HUGE: Any = SparseJacobian(np.ones(1), SparsityPattern([0], [0], (10_000, 10_000)))
DICT: Any = SparseJacobian(
    SQUARE.data, SQUARE.sparsity, {"a": jnp.ones(2), "b": jnp.ones(4)}, (jnp.ones((2, 3)),)
)

Call = Callable[[], Any]
ERRORS: list[tuple[str, Call, type[Exception], list[str]]] = [
    # Construction.
    (
        "too little data",
        lambda: SparseJacobian(np.ones(3), PATTERNS["diagonal"]),
        ValueError,
        ["data must have shape (*batch, 5)", "Got (3,)"],
    ),
    (
        "no axis",
        lambda: SparseJacobian(np.ones(()), PATTERNS["one element"]),
        ValueError,
        ["data must have shape (*batch, 1)", "Got ()"],
    ),
    (
        "integers",
        lambda: SparseJacobian(np.ones(5, int), PATTERNS["diagonal"]),
        TypeError,
        ["data must be floating point or complex", "Got int64", "data.astype(float)"],
    ),
    (
        "domain of another size",
        lambda: SparseJacobian(np.ones(5), PATTERNS["diagonal"], {"x": jnp.ones(4)}),
        ValueError,
        ["shape (5, 5)", "5 and 4 elements", "'x'"],
    ),
    (
        "not symmetric",
        lambda: SparseJacobian(np.ones(6), PATTERNS["strictly upper"], symmetric=True),
        ValueError,
        ["entry (0, 1), but not (1, 0)", "Pass symmetric=False"],
    ),
    (
        "symmetric, but not square",
        lambda: SparseJacobian(np.ones(15), PATTERNS["dense"], symmetric=True),
        ValueError,
        ["shape (3, 5)", "Pass symmetric=False"],
    ),
    # Products.
    (
        "mv of another size",
        lambda: WIDE.mv(np.ones(4)),
        ValueError,
        ["x must have leaves of shapes ((9,),)", "Got ((4,),)", "jax.vmap"],
    ),
    (
        "mv of many",
        lambda: WIDE.mv(np.ones((2, 9))),
        ValueError,
        ["x must have leaves of shapes ((9,),)", "Got ((2, 9),)", "jax.vmap"],
    ),
    (
        "mv of another batch",
        lambda: BATCH.mv(np.ones((2, 9))),
        ValueError,
        ["behind the batch axes (3,)", "Got ((2, 9),)"],
    ),
    (
        "mv of another structure",
        lambda: DICT.mv({"a": np.ones(2)}),
        ValueError,
        ["x must be a pytree like {'a': array, 'b': array}", "Got {'a': array}."],
    ),
    (
        "rmv of another structure",
        lambda: DICT.rmv(np.ones(6)),
        ValueError,
        ["u must be a pytree like (array,), ", "Got an array."],
    ),
    ("mv_flat", lambda: DICT.mv_flat(np.ones(5)), ValueError, ["((6,),)", "Got ((5,),)"]),
    (
        "@ vector",
        lambda: WIDE @ np.ones(4),
        ValueError,
        ["A @ x needs", "(9,) or (..., 9, k)", "(4, 9)", "Got (4,)", "A.mv"],
    ),
    ("@ matrix", lambda: WIDE @ np.ones((4, 9)), ValueError, ["Got (4, 9)"]),
    ("@ number", lambda: WIDE @ 2.0, ValueError, ["A @ x needs", "Got ()"]),
    (
        "vector @",
        lambda: np.ones(9) @ WIDE,
        ValueError,
        ["x @ A needs", "(4,) or (..., k, 4)", "Got (9,)", "A.rmv"],
    ),
    (
        "@ pytree",
        lambda: DICT @ {"a": np.ones(2), "b": np.ones(4)},
        TypeError,
        ["A @ x takes an operator or an array", "Got dict", "A.mv"],
    ),
    (
        "@ matrix of another library",
        lambda: WIDE @ TALL.to_bcoo(),
        TypeError,
        ["A @ x takes an operator or an array", "Got BCOO"],
    ),
    (
        "@ operator",
        lambda: WIDE @ SQUARE,
        ValueError,
        ["A of shape (4, 9)", "shape=(9,)", "B of shape (6, 6)", "shape=(6,)", "A.flat"],
    ),
    (
        "@ operator of another structure",
        lambda: DICT @ SQUARE,
        ValueError,
        [
            "'b': ShapeDtypeStruct(shape=(4,)",
            "returns ShapeDtypeStruct(shape=(6,)",
            ".flat",
        ],
    ),
    # Algebra.
    (
        "+ another shape",
        lambda: WIDE + TALL,
        ValueError,
        ["must have equal shapes", "(4, 9) and (9, 4)"],
    ),
    (
        "+ another batch",
        lambda: BATCH + operator(PATTERNS["wide"], (2,)),
        ValueError,
        ["broadcast", "(3,) and (2,)"],
    ),
    (
        "@ another batch",
        lambda: BATCH.T @ operator(PATTERNS["wide"], (2, 2)),
        ValueError,
        ["broadcast", "(3,) and (2, 2)"],
    ),
    (
        "- another structure",
        lambda: SQUARE - DICT,
        ValueError,
        ["must map the same structures", "shape=(6,)", "'b'", "A.flat + B.flat"],
    ),
    ("+ number", lambda: SQUARE + 1.0, TypeError, ["operators. Got float.", "A.shift"]),
    ("number -", lambda: 1.0 - SQUARE, TypeError, ["operators. Got float.", "A.shift"]),
    ("array +", lambda: ARRAY + SQUARE, TypeError, ["Got ndarray.", "A.todense()"]),
    ("- BCOO", lambda: SQUARE - SQUARE.to_bcoo(), TypeError, ["Got BCOO."]),
    (
        "pattern first",
        lambda: SparseJacobian(SQUARE.sparsity, SQUARE.data),
        TypeError,
        ["values of the entries and then their pattern", "Got SparsityPattern and Array"],
    ),
    (
        "mv of a module",
        lambda: DICT.mv({"a": np.ones(2), "b": len}),
        TypeError,
        ["must be arrays", "function len", "['b']", "is_inexact_array"],
    ),
    (
        "submatrix(traced)",
        lambda: jax.jit(lambda i: SQUARE.submatrix(i))(jnp.arange(2)),
        TypeError,
        ["rows must be known", "static arguments"],
    ),
    (
        "lstsq of negative damping",
        lambda: SQUARE.lstsq(np.ones(6), damping=-1.0),
        ValueError,
        ["damping must be zero or positive. Got -1.0."],
    ),
    (
        "lstsq of dependent columns",
        lambda: asdex.diag(np.zeros(3)).lstsq(np.ones(3)),
        asdex.SingularMatrixError,
        ["columns of the matrix are linearly dependent", "damping"],
    ),
    (
        "option of other solvers",
        lambda: SQUARE.solve(np.ones(6), solver="gmres", maxiter=3),
        TypeError,
        ["maxiter", "max_steps"],
    ),
    (
        "* vector",
        lambda: SQUARE * np.ones(6),
        ValueError,
        ["by a number", "batch ()", "Got an array of shape (6,)", "scale_rows"],
    ),
    (
        "vector *",
        lambda: jnp.ones(9) * BATCH,
        ValueError,
        ["batch (3,)", "shape (9,)", "scale_cols"],
    ),
    ("/ vector", lambda: SQUARE / np.ones(6), ValueError, ["shape (6,)"]),
    (
        "* operator",
        lambda: SQUARE * SQUARE,
        TypeError,
        ["multiplied and divided by numbers", "Got SparseJacobian"],
    ),
    ("/ operator", lambda: SQUARE / SQUARE, TypeError, ["Got SparseJacobian"]),
    ("* text", lambda: SQUARE * "2", TypeError, ["Got str"]),
    (
        "scale_rows",
        lambda: WIDE.scale_rows(np.ones(9)),
        ValueError,
        ["factors must have leaves of shapes ((4,),)", "Got ((9,),)"],
    ),
    (
        "scale_cols",
        lambda: WIDE.scale_cols(np.ones(4)),
        ValueError,
        ["factors must have leaves of shapes ((9,),)", "Got ((4,),)"],
    ),
    ("shift of a wide one", lambda: WIDE.shift(1.0), ValueError, ["square", "(4, 9)"]),
    (
        "shift by another size",
        lambda: SQUARE.shift(np.ones(5)),
        ValueError,
        ["alpha must be a number or of shape (..., 6)", "Got (5,)", "jax.vmap"],
    ),
    ("shift by text", lambda: SQUARE.shift("1"), TypeError, ["alpha", "Got str"]),
    ("congruence", lambda: WIDE.congruence(TALL), ValueError, ["square A", "(4, 9)"]),
    (
        "congruence of another size",
        lambda: SQUARE.congruence(WIDE),
        ValueError,
        ["A of shape (6, 6)", "B of shape (4, 9)"],
    ),
    # Parts.
    (
        "row out of range",
        lambda: WIDE.submatrix([0, 4]),
        ValueError,
        ["rows must lie in -4..3 for 4 rows", "Got 4"],
    ),
    (
        "column out of range",
        lambda: WIDE.submatrix(cols=[-10]),
        ValueError,
        ["cols must lie in -9..8 for 9 cols", "Got -10"],
    ),
    (
        "row of none",
        lambda: operator(PATTERNS["no rows"]).submatrix([0]),
        ValueError,
        ["rows must lie in", "for 0 rows", "Got 0"],
    ),
    (
        "row twice",
        lambda: WIDE.submatrix([0, 3, -1]),
        ValueError,
        ["rows must name each index at most once", "Got [0, 3, -1]"],
    ),
    (
        "mask of another size",
        lambda: WIDE.submatrix(np.ones(5, bool)),
        ValueError,
        ["mask rows must have shape (4,)", "Got (5,)"],
    ),
    (
        "matrix of indices",
        lambda: WIDE.submatrix(cols=np.ones((1, 2), int)),
        ValueError,
        ["cols must be one-dimensional", "Got shape (1, 2)"],
    ),
    ("no integers", lambda: WIDE.submatrix([0.5]), TypeError, ["rows must be integers"]),
    (
        "unknown norm",
        lambda: WIDE.norm(2),
        ValueError,
        ["ord must be 'fro', 1 or 'inf'", "Got 2"],
    ),
    ("norm of a list", lambda: WIDE.norm([1]), ValueError, ["ord must be", "Got [1]"]),
    # Conversions.
    (
        "unknown format",
        lambda: WIDE.to_scipy("lil"),
        ValueError,
        ["Unknown format 'lil'", "'csr', 'csc', 'coo' or 'operator'"],
    ),
    (
        "SciPy of a batch",
        lambda: BATCH.to_scipy(),
        ValueError,
        ["one matrix", "batch of shape (3,)", "jax.tree.map"],
    ),
    (
        "linear operator of a batch",
        lambda: BATCH.to_scipy("operator"),
        ValueError,
        ["one matrix", "batch of shape (3,)"],
    ),
    ("matvec of a batch", lambda: BATCH.matvec(np.ones(9)), ValueError, ["one matrix"]),
    (
        "too large an array of NumPy",
        lambda: np.asarray(HUGE),
        ValueError,
        ["dense array of 100,000,000 elements", "it has 1 entries", "A.to_scipy()"],
    ),
    (
        "array of NumPy that is no copy",
        lambda: np.asarray(SQUARE, copy=False),
        ValueError,
        ["36 elements", "a copy", "todense"],
    ),
    ("blocks of a batch", lambda: BATCH.blocks(), ValueError, ["(3,)", "jax.vmap"]),
    (
        "blocks that do not divide",
        lambda: WIDE.bsr((4, 2)),
        ValueError,
        ["block_shape must divide the shape (4, 9)", "Got (4, 2)"],
    ),
    ("blocks of no rows", lambda: WIDE.bsr((0, 3)), ValueError, ["Got (0, 3)"]),
    ("negative blocks", lambda: WIDE.bsr((-4, 3)), ValueError, ["Got (-4, 3)"]),
    (
        "outside of the band",
        lambda: UPPER.banded(1, 1),
        ValueError,
        ["Entry (0, 2) lies outside", "l=1 and u=1", "l=0 and u=3"],
    ),
    (
        "negative band",
        lambda: UPPER.banded(-1, 3),
        ValueError,
        ["l and u must not be negative", "l=-1 and u=3"],
    ),
    (
        "lower triangle",
        lambda: asdex.lower_triangle(UPPER.sparsity),
        ValueError,
        ["entry (0, 1), but not (1, 0)"],
    ),
    (
        "lower triangle of a wide one",
        lambda: asdex.lower_triangle(WIDE.sparsity),
        ValueError,
        ["shape (4, 9)", "not symmetric"],
    ),
    (
        "upper triangle of a wide one, compressed",
        lambda: asdex.csc_structure(WIDE.sparsity, "upper"),
        ValueError,
        ["shape (4, 9)", "not symmetric"],
    ),
    (
        "a triangle of another name",
        lambda: asdex.csr_structure(SQUARE.sparsity, "left"),  # type: ignore[arg-type]
        ValueError,
        ["Unknown triangle 'left'", "'lower' or 'upper'"],
    ),
    (
        "rows beyond the last",
        lambda: asdex.csr_structure(SQUARE.sparsity, rows=(2, 9)),
        ValueError,
        ["pair (first, last) within 0..", "(2, 9)"],
    ),
    # Solving.
    (
        "solve of a wide one",
        lambda: WIDE.solve(np.ones(4)),
        ValueError,
        ["Only a square matrix", "(4, 9)", "A.lstsq(b)"],
    ),
    (
        "solve with another size",
        lambda: SQUARE.solve(np.ones(5)),
        ValueError,
        ["b must have leaves of shapes ((6,),)", "Got ((5,),)"],
    ),
    (
        "solve with another structure",
        lambda: DICT.solve(np.ones(6)),
        ValueError,
        ["b must be a pytree like", "(array,)"],
    ),
    (
        "unknown solver",
        lambda: SQUARE.solve(np.ones(6), solver="magic"),
        ValueError,
        ["Unknown solver 'magic'", "'auto'"],
    ),
    (
        "solve with an array",
        lambda: asdex.solve(ARRAY, np.ones(3)),
        TypeError,
        ["solve needs a SparseJacobian", "output_format='operator'", "Got ndarray"],
    ),
    (
        "solve with a coloring",
        lambda: asdex.solve(COLORING, np.ones(6)),
        TypeError,
        ["solve needs a SparseJacobian", "output_format='operator'", "Got ColoredPattern"],
    ),
]


@pytest.mark.parametrize(
    ("call", "kind", "words"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS]
)
def test_messages(call: Call, kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as error:
        call()
    assert type(error.value) is kind
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
@pytest.mark.parametrize("transform", [jax.jit, jax.vmap, jax.grad])
def test_scipy_inside_transformations(transform: Any, format: Any) -> None:
    a = BATCH if transform is jax.vmap else WIDE
    with pytest.raises(jax.errors.ConcretizationTypeError, match="no numbers yet"):
        transform(lambda a: a.to_scipy(format).sum())(a)


def test_patterns_that_nearly_are_symmetric() -> None:
    """The entry that is named is one without its mirror."""
    pattern = SYMMETRIC
    for k in np.flatnonzero(pattern.rows != pattern.cols):
        rows, cols = np.delete(pattern.rows, k), np.delete(pattern.cols, k)
        i, j = pattern.rows[k], pattern.cols[k]
        with pytest.raises(ValueError, match=rf"entry \({j}, {i}\), but not \({i}, {j}\)"):
            asdex.lower_triangle(SparsityPattern(rows, cols, pattern.shape))


def test_values_are_not_looked_at() -> None:
    """`symmetric` is a promise; only the pattern can be checked against it."""
    data = numbers((SYMMETRIC.nnz,))
    assert SparseJacobian(data, SYMMETRIC, symmetric=True).symmetric


def test_repr() -> None:
    assert repr(WIDE) == f"SparseJacobian(shape=(4, 9), nnz={WIDE.nnz}, dtype=float64)"
    assert f"shape={BATCH.todense().shape}" in repr(BATCH)
    assert "symmetric" in repr(symmetric_operator())
    shapes = jax.eval_shape(lambda a: a * 2, BATCH)
    assert repr(shapes) == repr(BATCH)
    assert "dtype=None" in repr(jax.tree.map(lambda _: None, WIDE))


def test_congruence_with_an_array() -> None:
    with pytest.raises(TypeError, match=r"needs an operator P. Got ndarray. .* use P\.T @"):
        SQUARE.congruence(np.eye(6))
