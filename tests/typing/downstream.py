# pyright: strict
"""What a user of asdex might write who checks types as strictly as pyright can.

`assert_type` states the inferred type of a result. What depends on the arguments of
a verb is `Any`, as it is for `jax.jacobian`; an annotation makes it precise. The functions
take their arrays from `test_downstream`, which runs them.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, assert_type

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse import BCOO, BCSR
from jax.extend.core import JaxprEqn, Primitive
from jaxtyping import Array, Float
from scipy.sparse import sparray

import asdex
from asdex.optimize import Derivatives, NonlinearProgram

Scalar = Float[Array, ""]
Vector = Float[Array, " n"]
Evaluate = Callable[..., asdex.SparseJacobian]


def residual(u: Vector, rate: Scalar) -> Vector:
    """Diffusion with a reaction. Its Jacobian is tridiagonal and symmetric."""
    return (3 * u + rate * u**3).at[1:].add(-u[:-1]).at[:-1].add(-u[1:])


def energy(u: Vector, rate: Scalar) -> Scalar:
    """The function of which `residual` is the gradient."""
    return jnp.sum(1.5 * u**2 + rate * u**4 / 4) - jnp.sum(u[1:] * u[:-1])


# -- Verbs -------------------------------------------------------------------------------


def derivatives(u: Vector, rate: Scalar) -> tuple[BCOO, Array, Array]:
    """The Jacobian, and in two ways the Hessian that equals it."""
    jacobian = asdex.jacobian(residual, u, rate)
    assert_type(jacobian, asdex.Derivative[Any])
    assert_type(jacobian.sparsity, asdex.SparsityPattern)
    assert_type(jacobian.num_colors, int)
    matrix: BCOO = jacobian(u, rate)
    hessian: Callable[..., Array] = asdex.hessian(energy, u, rate, output_format="dense")
    coloring = asdex.hessian_coloring(energy, u, rate, mode="rev_over_rev")
    value_and_hessian: Callable[..., tuple[Array, Array]]
    value_and_hessian = asdex.value_and_hessian_from_coloring(energy, coloring, "dense")
    _, second = value_and_hessian(u, rate)
    return matrix, hessian(u, rate), second


def by_format(u: Vector, rate: Scalar) -> tuple[Vector, Any]:
    """What a derivative returns follows from the format, so that methods are known."""
    jacobian = asdex.jacobian(residual, u, rate, output_format="operator", mode="rev")
    assert_type(jacobian(u, rate), asdex.SparseJacobian)
    coloring = asdex.hessian_coloring(energy, u, rate)
    hessian = asdex.hessian_from_coloring(energy, coloring, "operator", checked=True)
    assert_type(hessian(u, rate).norm(), Array)
    both = asdex.value_and_jacobian(residual, u, rate, output_format="operator")
    assert_type(both(u, rate), tuple[Any, asdex.SparseJacobian])
    by_coloring = asdex.value_and_hessian_from_coloring(energy, coloring, "scipy_csr")
    assert_type(by_coloring(u, rate)[1], sparray)
    matrix = asdex.jacobian(residual, u, rate, output_format="scipy_csr")(u, rate)
    assert_type(matrix, sparray)
    change: Vector = jacobian(u, rate).solve(u)
    return change, matrix


def compressed(u: Vector, rate: Scalar) -> tuple[Array, BCOO]:
    """The values of the Jacobian, and the matrix, decompressed by hand."""
    coloring = asdex.jacobian_coloring(residual, u, rate, mode="rev")
    compress: Callable[..., Array]
    compress = asdex.compressed_jacobian_from_coloring(residual, coloring)
    b = compress(u, rate)
    data = asdex.decompress_data(b, coloring)
    assert_type(data, Array)
    matrix: BCOO = asdex.decompress(b, coloring)
    return data, matrix


def options(u: Vector, rate: Scalar, mode: asdex.JacobianMode) -> list[BCOO]:
    """The same Jacobian by several algorithms."""
    algorithms = [
        asdex.Greedy(asdex.SmallestLast()),
        asdex.Lattice(),
        asdex.Portfolio(budget=1_000),
    ]
    matrices: list[BCOO] = []
    for algorithm in algorithms:
        jacobian = asdex.jacobian(
            residual, u, rate, mode=mode, algorithm=algorithm, chunk_size="auto"
        )
        matrices.append(jacobian(u, rate))
    return matrices


def dense_blocks(u: Vector, rate: Scalar) -> tuple[Array, Array]:
    """The dense Hessian, flat and as a pytree."""
    matrix, unflatten = asdex.dense.hessian(lambda u: energy(u, rate), u, nbatches=2)
    assert_type(matrix, Array)
    assert_type(unflatten, Callable[[Array], Any])
    nested: Array = asdex.dense.hessian_to_pytree(matrix, u)
    return matrix, nested


# -- Patterns and colorings --------------------------------------------------------------


def patterns(u: Vector, rate: Scalar) -> asdex.SparsityPattern:
    """The detected pattern, which equals one made by hand."""
    detected = asdex.jacobian_sparsity(residual, u, rate)
    assert_type(detected.shape, tuple[int, int])
    assert_type(detected.to_bcoo(), BCOO)
    assert_type(detected.input_avals, tuple[Any, ...])
    rows: np.ndarray = detected.rows
    by_hand = asdex.SparsityPattern.from_coo(
        rows, detected.cols, detected.shape, input_avals=detected.input_avals
    )
    assert_type(by_hand, asdex.SparsityPattern)
    assert by_hand.row_to_cols == detected.row_to_cols
    return by_hand


def colorings(pattern: asdex.SparsityPattern) -> list[asdex.ColoredPattern]:
    """A tridiagonal pattern, colored in several ways."""
    col_colors, num_cols = asdex.color_cols(pattern, order=asdex.LargestFirst())
    assert_type(num_cols, int)
    asdex.check_coloring_cols(pattern, col_colors)
    star_colors, num_stars, star_set = asdex.color_symmetric(pattern, postprocess=True)
    assert_type(star_set, asdex.StarSet)
    return [
        asdex.ColoredPattern(pattern, col_colors, num_cols, symmetric=False, mode="fwd"),
        asdex.ColoredPattern(
            pattern, star_colors, num_stars, True, "fwd_over_rev", star_set
        ),
        asdex.jacobian_coloring_from_sparsity(pattern, mode="rev"),
        asdex.hessian_coloring_from_sparsity(pattern, decompression="substitution"),
    ]


def files(coloring: asdex.ColoredPattern, folder: Path) -> asdex.ColoredPattern:
    """A coloring that went through a file."""
    coloring.save(folder / "coloring.npz")
    loaded = asdex.ColoredPattern.load(str(folder / "coloring.npz"))
    assert_type(loaded, asdex.ColoredPattern)
    return loaded


def explained(u: Vector, rate: Scalar) -> str:
    """The primitives on the way from the first input to the second output."""
    report = asdex.explain_sparsity(residual, u, rate)
    assert_type(report.steps, tuple[asdex.SparsityStep, ...])
    return " ".join(step.primitive for step in report.chain(1, 0))


def structures(pattern: asdex.SparsityPattern) -> tuple[np.ndarray, np.ndarray]:
    """Row pointers, and which values belong to the lower triangle."""
    indptr, indices, permutation = asdex.csr_structure(pattern)
    lower = asdex.lower_triangle(pattern)
    assert_type(lower, asdex.TriangleStructure)
    assert indices.size == permutation.size == pattern.nnz
    return indptr, lower.selection


# -- Operators ---------------------------------------------------------------------------


class Layer(eqx.Module):
    """A step of Newton's method that holds its coloring."""

    rate: Scalar
    coloring: asdex.ColoredPattern

    def __call__(self, u: Vector) -> Vector:
        jacobian: Evaluate
        jacobian = asdex.jacobian_from_coloring(residual, self.coloring, "operator")
        change: Vector = jacobian(u, self.rate).solve(residual(u, self.rate))
        return u - change


def algebra(a: asdex.SparseJacobian, x: Vector) -> dict[str, Array]:
    """What an operator is made into, as dense matrices and vectors."""
    assert_type(a.data, Array)
    assert_type(a @ a, asdex.SparseJacobian)
    assert_type(a @ x, Array)
    assert_type(a.T, asdex.SparseJacobian)
    assert_type(2 * a - a / 2, asdex.SparseJacobian)
    assert_type(a.mv_flat(x), Array)
    assert_type(a.mv(x), Any)
    assert_type(a.norm("inf"), Array)
    assert_type(a.in_structure, Any)
    return {
        "product": (a @ a.T).todense(),
        "shifted": (2 * a).shift(1.0).todense(),
        "gram": a.gram().todense(),
        "scaled": a.scale_rows(x).todense(),
        "part": a.submatrix([0, 1], [1]).todense(),
        "vector": a @ x,
        "tree": a.rmv(x),
    }


def constrained(u: Vector, rate: Scalar) -> tuple[asdex.SparseJacobian, Array]:
    """The KKT matrix of a small problem, and how its Hessian is stored by columns."""

    def energy(u: Vector, rate: Scalar) -> Scalar:
        return rate * jnp.sum(u**2)

    problem = NonlinearProgram(energy, residual, u, rate, bounds=(0.0, None))
    assert_type(problem.jacobian(u, rate), asdex.SparseJacobian)
    at = problem.evaluate(u, u, rate, objective_factor=0.5)
    assert_type(at, Derivatives)
    assert_type(at.kkt(1.0), asdex.SparseJacobian)
    assert_type(problem.cyipopt(rate).objective(np.asarray(u)), float)
    upper = asdex.csc_structure(problem.hessian.sparsity, "upper")
    return problem.kkt(u, u, rate), at.hessian.data[upper.permutation]


def conversions(a: asdex.SparseJacobian) -> tuple[BCOO, BCSR, Array]:
    """The same matrix in the formats of JAX."""
    blocks = a.bsr((1, 1))
    assert_type(blocks.data, Array)
    assert a.to_scipy("csc").nnz == a.nnz
    return a.to_bcoo(), a.to_bcsr(), a.banded(1, 1)


def solutions(
    a: asdex.SparseJacobian, b: Vector, solvers: Sequence[asdex.SolverName]
) -> list[Vector]:
    """The solution by several solvers, and by default."""
    assert_type(asdex.solve(a, b), Any)
    return [a.solve(b), *(asdex.solve(a, b, solver=solver) for solver in solvers)]


# -- Errors and rules --------------------------------------------------------------------


def caught(a: asdex.SparseJacobian, b: Vector) -> list[str]:
    """The names of errors that a user may want to catch."""
    names: list[str] = []
    try:
        (0 * a).solve(b)
    except asdex.SingularMatrixError as error:
        names.append(type(error).__name__)
    try:
        asdex.check_coloring_cols(a.sparsity, np.zeros(a.shape[1], int))
    except asdex.InvalidColoringError as error:
        names.append(type(error).__name__)
    return names


def with_a_rule(
    function: Callable[[Vector], Vector], primitive: Primitive, x: Vector
) -> tuple[asdex.SparsityPattern, asdex.SparsityPattern]:
    """Patterns of a function whose primitive has no rule, and then has one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", asdex.ConservativePatternWarning)
        before = asdex.jacobian_sparsity(function, x)

    @asdex.register_rule(primitive)
    def reverse(eqn: JaxprEqn, operands: Sequence[Any], scope: Any) -> asdex.Dependence:
        dependence: asdex.Dependence = operands[0].dependence
        return dependence.take(np.arange(dependence.size)[::-1])

    assert callable(reverse)
    return before, asdex.jacobian_sparsity(function, x)
