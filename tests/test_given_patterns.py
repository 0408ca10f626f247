"""Derivatives by a known pattern, and the options of detection in all verbs."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import asdex

pytestmark = pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning")

X = jnp.linspace(1.0, 2.0, 12)
BAND = np.abs(np.subtract.outer(np.arange(12), np.arange(12))) < 2


def f(x: jax.Array) -> jax.Array:
    """Detection sees a dense Jacobian, but it has three diagonals."""
    total = jnp.sum(x)
    return x**2 + jnp.roll(x, 1).at[0].set(0.0) + (total - total)


def g(x: jax.Array) -> jax.Array:
    total = jnp.sum(x)
    return jnp.sum(x[1:] ** 2 * x[:-1]) + (total - total) ** 2


EXPECTED = jax.jit(jax.jacobian(f))(X)


@pytest.mark.parametrize(
    "given",
    [
        *(BAND, jnp.asarray(BAND), scipy.sparse.csr_array(BAND)),
        asdex.SparsityPattern.from_dense(BAND),
    ],
    ids=lambda given: type(given).__name__,
)  # fmt: skip
def test_the_pattern_is_given(given: Any) -> None:
    derivative = asdex.jacobian(f, X, sparsity=given, output_format="operator")
    assert derivative.sparsity.nnz == BAND.sum()
    assert derivative.num_colors == 3
    found = derivative(X)
    np.testing.assert_allclose(found.todense(), EXPECTED)
    assert found.in_structure.shape == (12,)
    np.testing.assert_allclose(jax.jit(derivative)(X).todense(), EXPECTED)


@pytest.mark.parametrize("shuffled", [False, True])
def test_values_may_be_accumulated(shuffled: bool) -> None:
    rows, cols = np.nonzero(BAND)
    order = np.random.default_rng(0).permutation(rows.size) if shuffled else slice(None)
    pattern = asdex.SparsityPattern(rows[order], cols[order], BAND.shape)
    assert pattern.is_sorted != shuffled
    derivative = asdex.jacobian(f, X, sparsity=pattern, mode="accumulate")
    assert derivative.coloring is None
    assert "accumulated" in repr(derivative)
    np.testing.assert_allclose(derivative(X).todense(), EXPECTED)
    hessian = asdex.hessian(g, X, sparsity=pattern, mode="accumulate", checked=True)
    expected = jax.jit(jax.hessian(g))(X)
    np.testing.assert_allclose(hessian(X).todense(), expected, atol=1e-12)
    lacking = asdex.jacobian(f, X, sparsity=np.eye(12), mode="accumulate", checked=True)
    with pytest.raises(asdex.VerificationError):
        lacking(X)
    sorted_too = asdex.jacobian(jnp.sort, X, sparsity=pattern, mode="accumulate")
    np.testing.assert_allclose(sorted_too(X).todense(), np.eye(12))


def test_all_verbs_take_it() -> None:
    hessian = jax.jit(jax.hessian(g))(X)
    found = asdex.hessian(g, X, sparsity=BAND)(X)
    np.testing.assert_allclose(found.todense(), hessian, atol=1e-12)
    _, found = asdex.value_and_jacobian(f, X, sparsity=BAND)(X)
    np.testing.assert_allclose(found.todense(), EXPECTED)
    for verb, fun in ((asdex.compressed_jacobian, f), (asdex.compressed_hessian, g)):
        assert verb(fun, X, sparsity=BAND)(X).shape == (3, 12)


def test_pytrees_and_several_arguments() -> None:
    def fun(tree: dict[str, jax.Array], y: jax.Array) -> Any:
        return tree["b"] * y, tree["a"] ** 2

    tree = {"a": X[:2], "b": X[:3]}
    pattern = scipy.sparse.csr_array(np.eye(5, k=2) + np.eye(5, k=-3))
    derivative = asdex.jacobian(fun, tree, X[:3], sparsity=pattern)
    found = jax.tree.map(
        lambda block: block.todense(),
        derivative(tree, X[:3]),
        is_leaf=lambda leaf: hasattr(leaf, "todense"),
    )
    expected = jax.jit(jax.jacobian(fun))(tree, X[:3])
    jax.tree.map(np.testing.assert_allclose, found, expected)


def test_it_is_trusted_at_every_call() -> None:
    weights = np.ones(12)
    derivative = asdex.jacobian(lambda x: weights * f(x), X, sparsity=BAND)
    derivative(X)
    weights[:] = 2.0
    np.testing.assert_allclose(derivative(X).todense(), 2 * EXPECTED)


def test_a_wrong_one_is_found_by_checked() -> None:
    derivative = asdex.jacobian(f, X, sparsity=np.eye(12), checked=True)
    with pytest.raises(asdex.VerificationError):
        derivative(X)


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"derivative, \(12, 12\).* Got \(11, 12\)"):
        asdex.jacobian(f, X, sparsity=BAND[1:])


@jax.custom_vjp
def reverse_only(x: jax.Array) -> jax.Array:
    return x**2


reverse_only.defvjp(lambda x: (x**2, x), lambda x, ct: (2 * x * ct,))


def test_the_mode_is_one_that_jax_can_use() -> None:
    derivative = asdex.jacobian(reverse_only, X, sparsity=np.eye(12))
    assert derivative.coloring is not None
    assert derivative.coloring.mode == "rev"
    np.testing.assert_allclose(derivative(X).todense(), np.diag(2 * X))


VERBS = [
    name
    for name in dir(asdex)
    if "jacobian" in name or "hessian" in name or name == "explain_sparsity"
    if not name.endswith(("from_coloring", "from_sparsity", "correctness"))
]


@pytest.mark.parametrize("name", VERBS)
def test_all_verbs_that_detect_take_the_options_of_detection(name: str) -> None:
    parameters = inspect.signature(getattr(asdex, name)).parameters
    assert {"argnums", "has_aux", "local", "max_nnz"} <= {*parameters}

    def fun(x: jax.Array) -> jax.Array:
        dense = jnp.where(x[0] > 0, x, jnp.cumsum(x))
        return jnp.sum(dense**2) if "hessian" in name else dense

    found = getattr(asdex, name)(fun, X, local=True)
    if not isinstance(found, asdex.SparsityPattern):
        found = found.pattern if name == "explain_sparsity" else found.sparsity
    assert (found.is_local, found.nnz) == (True, 12)
    with pytest.raises(asdex.PatternTooLargeError, match="max_nnz=20"):
        getattr(asdex, name)(fun, X, max_nnz=20)
