"""Local patterns, the limit on entries, and the report on where a pattern comes from."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import asdex
from asdex._verbs.reasons import REASONS

from .test_completeness import PUBLIC


def sorts(x: Array) -> Array:
    y = 2 * x
    z = jnp.sort(y)  # culprit
    return z[::-1]


def solves(x: Array) -> Array:
    matrix = jnp.diag(x) + jnp.ones((x.size, x.size))
    return jnp.linalg.solve(matrix, x)  # culprit


def gathers(x: Array) -> Array:
    y = x**2
    return y[jnp.argsort(x)] * x  # culprit


def loops(x: Array) -> Array:
    def body(carry: Array, element: Array):
        return carry + element, carry * element

    return jax.lax.scan(body, x[0], x)[1]  # culprit


def line_of(function: Callable[..., Array]) -> str:
    """`file:line` of the line marked as culprit."""
    lines, first = inspect.getsourcelines(function)
    (offset,) = [k for k, line in enumerate(lines) if "# culprit" in line]
    return f"{inspect.getsourcefile(function)}:{first + offset} "


@pytest.mark.parametrize("function", [sorts, solves, gathers, loops])
def test_report_names_the_culprit(function):
    report = asdex.explain_sparsity(function, jnp.ones(5))
    assert report.pattern == asdex.jacobian_sparsity(function, jnp.ones(5))
    worst = report.culprits[0]
    assert worst.line.startswith(line_of(function))
    assert worst.added > 0
    assert worst.line in str(report)
    assert worst.source.endswith("# culprit")
    assert worst.source in str(report)
    assert worst.reason


def test_report_names_the_function_of_jax_and_why() -> None:
    report = asdex.explain_sparsity(sorts, jnp.ones(5))
    (worst,) = report.culprits
    assert (worst.primitive, worst.inside) == ("gather", "sort")
    text = " ".join(str(report).split())
    assert "gather in sort: 25 entries, +4.0 per element" in text
    assert "the index depends on the input" in text
    assert "local=True" in text

    def normed(x: Array) -> Array:
        return x / jnp.linalg.norm(x)

    worst = asdex.explain_sparsity(normed, jnp.ones(5)).culprits[0]
    assert (worst.primitive, worst.inside) == ("reduce_sum", "norm")


def test_report_of_nothing_to_blame() -> None:
    report = asdex.explain_sparsity(lambda x: x**2, jnp.ones(5))
    assert "No step makes the pattern denser" in str(report)


def test_report_of_local_pattern() -> None:
    x = jnp.arange(5.0)
    report = asdex.explain_sparsity(sorts, x, local=True)
    assert report.pattern.is_local
    assert report.pattern.nnz == 5
    with pytest.raises(asdex.PatternTooLargeError, match="max_nnz=6"):
        asdex.explain_sparsity(sorts, x, max_nnz=6)


def test_reasons_are_of_primitives_that_exist() -> None:
    one_primitive = {"closed_call", "eval_jaxpr"}  # It was renamed in 0.11.
    known = {primitive.name for primitive in PUBLIC.values()}
    assert {*REASONS} - one_primitive <= known


@pytest.mark.parametrize("function", [sorts, solves, gathers, loops])
def test_limit_names_the_culprit(function):
    with pytest.raises(asdex.PatternTooLargeError, match="max_nnz=6") as error:
        asdex.jacobian_sparsity(function, jnp.ones(5), max_nnz=6)
    assert line_of(function) in str(error.value)


def test_limit_is_exact():
    pattern = asdex.jacobian_sparsity(sorts, jnp.ones(5), max_nnz=25)
    assert pattern.nnz == 25
    with pytest.raises(asdex.PatternTooLargeError):
        asdex.jacobian_sparsity(sorts, jnp.ones(5), max_nnz=24)
    with pytest.raises(ValueError, match="max_nnz must be positive"):
        asdex.jacobian_sparsity(sorts, jnp.ones(5), max_nnz=0)


def test_limit_stops_before_memory_is_gone():
    def outer(x: Array) -> Array:
        return jnp.tril(jnp.ones((x.size, x.size))) @ jnp.cumsum(x)

    with pytest.raises(asdex.PatternTooLargeError):
        asdex.jacobian_sparsity(outer, jnp.ones(1000), max_nnz=10**5)


def test_chain_leads_from_input_to_output():
    def chained(x: Array) -> Array:
        y = jnp.sin(x[1:])
        z = jnp.concatenate([y, x[:1]])
        return z * z[0]

    report = asdex.explain_sparsity(chained, jnp.ones(4))
    source, first = inspect.getsourcelines(chained)
    assert len(source) == 4
    lines = [
        int(step.line.split(":")[1].split(" ")[0]) - first for step in report.chain(2, 3)
    ]
    assert lines == sorted(lines)
    assert set(lines) == {1, 2, 3}
    assert report.chain(2, 1)[-1].primitive in ("mul", "add_any")
    with pytest.raises(KeyError, match="Output 0 does not depend on input 3"):
        report.chain(0, 3)
    with pytest.raises(IndexError, match=r"\(0, 4\) is outside of .* shape \(4, 4\)"):
        report.chain(0, 4)


def test_conservative_steps_and_what_they_do_not_cover() -> None:
    """A custom rule lets the tangent decide, which no rule of these primitives covers."""

    @jax.custom_jvp
    def f(x: Array) -> Array:
        return x

    @f.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        chosen = jax.lax.dynamic_slice(t, (jnp.argmax(t),), (2,))
        return x, jax.lax.cond(t[0] > 0, lambda: t, lambda: -t) * chosen[0]

    with pytest.warns(asdex.ConservativePatternWarning) as caught:
        asdex.jacobian_sparsity(f, jnp.ones(4))
    texts = sorted(str(warning.message).split(":")[0] for warning in caught)
    assert texts == [
        "The rule of the primitive 'cond' does not cover a choice that the input makes",
        "The rule of the primitive 'dynamic_slice' does not cover dependence through "
        "operand 1",
    ]
    steps = asdex.explain_sparsity(f, jnp.ones(4)).steps
    assert {step.primitive for step in steps if step.conservative} == {
        "cond",
        "dynamic_slice",
    }


def test_chain_through_every_entry():
    def mixed(x: Array) -> Array:
        y = jax.jit(lambda x: x[::-1] * x)(x)
        z = jax.lax.fori_loop(0, 3, lambda i, c: c.at[i].multiply(c[i + 1]), y)
        return jax.lax.cond(x[0] > 0, jnp.cumsum, lambda z: z * 2, z)

    report = asdex.explain_sparsity(mixed, jnp.ones(5))
    for row, col in zip(report.pattern.rows, report.pattern.cols, strict=True):
        assert report.chain(int(row), int(col))


def test_report_counts_rows_and_columns():
    def arrow(x: Array) -> Array:
        return x.at[0].add(jnp.sum(x)) + x[0]

    report = asdex.explain_sparsity(arrow, jnp.ones(6))
    assert report.densest_rows[0] == (0, 6)
    assert report.densest_cols[0] == (0, 6)


def test_report_of_hessian():
    def energy(x: Array) -> Array:
        return jnp.sum(x) ** 2  # culprit

    report = asdex.explain_sparsity(energy, jnp.ones(3), hessian=True)
    assert report.pattern.nnz == 9
    assert report.culprits[0].line.startswith(line_of(energy))


def test_local_pattern_holds_at_the_values():
    def selects(x: Array) -> Array:
        return jnp.where(x > 0, x[::-1], 0.0) * x[0]

    x = jnp.array([1.0, -1.0, 2.0, 3.0])
    pattern = asdex.jacobian_sparsity(selects, x, local=True)
    assert pattern.is_local
    coloring = asdex.jacobian_coloring_from_sparsity(pattern)
    for text in (repr(pattern), str(pattern), str(coloring), pattern._repr_html_()):
        assert ", local" in text
    expected = np.asarray(jax.jacfwd(selects)(x)) != 0
    np.testing.assert_array_equal(pattern.todense().astype(bool), expected)
    everywhere = asdex.jacobian_sparsity(selects, x)
    assert not everywhere.is_local
    assert "local" not in str(everywhere)
    assert everywhere.nnz > pattern.nnz
    assert everywhere != pattern


def test_local_hessian():
    def energy(x: Array, scale: Array) -> Array:
        return jnp.sum(scale * x[1:] ** 2 * x[:-1])

    x, scale = jnp.array([1.0, 2.0, 3.0]), jnp.array([0.0, 1.0])
    pattern = asdex.hessian_sparsity(energy, x, scale, local=True)
    expected = np.asarray(jax.hessian(energy)(x, scale)) != 0
    np.testing.assert_array_equal(pattern.todense().astype(bool), expected)


def test_local_with_other_kinds_of_arguments():
    def power(x: Array, y: float, k: int) -> Array:
        return x**k * y

    x = jnp.array([1.0, 0.0, 2.0])
    assert asdex.jacobian_sparsity(power, x, 2.0, 2, local=True).nnz == 2
    assert asdex.jacobian_sparsity(power, x, 0.0, 2, local=True).nnz == 0


def test_local_needs_values():
    sample = jax.ShapeDtypeStruct((3,), jnp.float32)
    with pytest.raises(ValueError, match="local=True needs sample arguments with values"):
        asdex.jacobian_sparsity(sorts, sample, local=True)


def test_local_refuses_tracers_and_shapes():
    with pytest.raises(ValueError, match="local=True needs"):
        jax.jit(lambda x: asdex.jacobian_sparsity(sorts, x, local=True).nnz)(jnp.ones(3))
    with pytest.raises(ValueError, match="not input_shape"):
        asdex.jacobian_sparsity(sorts, input_shape=3, local=True)


def centered(x: Array) -> Array:
    mean = jnp.mean(x)  # culprit
    return x - mean


@pytest.mark.parametrize(
    ("verb", "function"),
    [
        (asdex.jacobian, centered),
        (asdex.compressed_jacobian, centered),
        (asdex.jacobian_coloring, centered),
        (asdex.hessian, lambda x: jnp.sum(centered(x) ** 2)),
    ],
    ids=["jacobian", "compressed_jacobian", "jacobian_coloring", "hessian"],
)
def test_a_dense_matrix_is_a_warning_at_the_line_of_the_caller(
    verb: Any, function: Any
) -> None:
    with pytest.warns(asdex.DenseColoringWarning) as caught:
        verb(function, jnp.ones(120))
    (warning,) = caught
    assert warning.filename == __file__
    message = str(warning.message)
    assert "is dense: its pattern has 14,400 entries in a 120x120 matrix" in message
    assert f"{line_of(centered)}(centered): `mean = jnp.mean(x)  # culprit`" in message
    assert "asdex.explain_sparsity" in message


def test_a_small_dense_matrix_is_no_warning() -> None:
    for verb in (asdex.jacobian, asdex.compressed_jacobian):
        verb(centered, jnp.ones(12))


def test_warnings_of_colorings_are_at_the_line_of_the_caller() -> None:
    with pytest.warns(asdex.DenseColoringWarning) as caught:
        asdex.jacobian_coloring_from_sparsity(np.ones((20, 20)))
    assert [warning.filename for warning in caught] == [__file__]
