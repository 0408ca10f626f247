"""The options of an evaluation: chunks, rematerialization, checks, results on the host."""

from types import SimpleNamespace
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import asdex
from asdex._base.types import HESSIAN_MODES, JACOBIAN_MODES
from asdex._evaluate.compress import resolve_chunk_size
from tests.compiling import optimized_jit

pytestmark = [
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
]
X = jnp.linspace(1.0, 2.0, 8)
WEIGHTS = jnp.asarray(1.5 * (np.random.default_rng(0).random((9, 8)) < 0.4))


def f(x: jax.Array) -> jax.Array:
    return jnp.sin(WEIGHTS @ x**2)


def f_with_pattern(x: jax.Array) -> jax.Array:
    return (x[1:] - x[:-1]) ** 2 * x[0]


def g(x: jax.Array) -> jax.Array:
    return jnp.sum(f_with_pattern(x) ** 2)


# -- Chunks ------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_size", [1, 3])
@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_chunks_of_an_irregular_matrix(mode: Any, chunk_size: int) -> None:
    coloring = asdex.jacobian_coloring_from_sparsity(np.asarray(WEIGHTS), mode=mode)
    assert coloring.num_colors > 4

    def matrix(x: jax.Array) -> jax.Array:
        return asdex.jacobian_from_coloring(f, coloring, chunk_size=chunk_size)(x).todense()

    expected = jax.jit(jax.jacobian(f))
    np.testing.assert_allclose(matrix(X), expected(X))
    np.testing.assert_allclose(
        jax.jit(jax.vmap(matrix))(jnp.stack([X, 2 * X])),
        jax.vmap(expected)(jnp.stack([X, 2 * X])),
    )
    for transform in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(
            jax.jit(transform(matrix))(X), jax.jit(transform(expected))(X), atol=1e-10
        )


@pytest.mark.parametrize("mode", HESSIAN_MODES)
def test_chunks_of_pytrees(mode: Any) -> None:
    def fun(tree: dict[str, jax.Array]) -> jax.Array:
        return jnp.sum(jnp.outer(tree["a"], tree["b"]) ** 3)

    tree = {"a": X[:3], "b": X[3:]}
    found = asdex.hessian(fun, tree, mode=mode, chunk_size=2, output_format="dense")(tree)
    jax.tree.map(np.testing.assert_allclose, found, jax.jit(jax.hessian(fun))(tree))


def test_auto_fills_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = asdex.SparsityPattern.from_dense(np.ones((4, 4)))
    coloring = asdex.jacobian_coloring_from_sparsity(pattern)
    assert resolve_chunk_size("auto", coloring) is None
    assert resolve_chunk_size(3, coloring) == 3
    assert resolve_chunk_size(4, coloring) is None
    assert resolve_chunk_size(None, coloring) is None
    # 300 colors of 1e6 + 1 columns and one row, in float32: 268 seeds fit into 1 GiB.
    wide = asdex.SparsityPattern.from_coo([0] * 300, range(300), (1, 10**6))
    colors = np.full(10**6, -1)
    colors[:300] = np.arange(300)
    coloring = asdex.ColoredPattern(wide, colors, 300, False, "fwd")
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert resolve_chunk_size("auto", coloring) == 1
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert resolve_chunk_size("auto", coloring) == 2**30 // (4 * (10**6 + 1))
    for size, expected in ((2**33, 2**29 // (4 * (10**6 + 1))), (2**40, None)):
        device = SimpleNamespace(memory_stats=lambda size=size: {"bytes_limit": size})
        monkeypatch.setattr(jax, "local_devices", lambda device=device: [device])
        assert resolve_chunk_size("auto", coloring) == expected


def test_the_compressed_matrix_never_exists() -> None:
    """The memory of the compiled program grows with the chunk, not with the colors."""
    m, n = 40, 1000
    weights = jnp.ones((m, n))
    coloring = asdex.jacobian_coloring(lambda x: weights @ x, jnp.ones(n), mode="rev")
    assert coloring.num_colors == m

    def memory(chunk_size: int | None) -> int:
        derivative = asdex.jacobian_from_coloring(
            lambda x: jnp.sin(weights @ x), coloring, chunk_size=chunk_size
        )
        total = optimized_jit(lambda x: derivative(x).data.sum())
        compiled = total.lower(jnp.ones(n)).compile()
        return cast(Any, compiled.memory_analysis()).temp_size_in_bytes

    size = 8 * m * n
    assert memory(None) >= size
    # What remains is the values of the entries, here as many as the matrix has elements.
    assert memory(1) < memory(10) < memory(20)


# -- Rematerialization and checks --------------------------------------------------------


@pytest.mark.parametrize("mode", ["fwd", "rev", *HESSIAN_MODES])
def test_checkpoint(mode: Any) -> None:
    if mode in HESSIAN_MODES:
        derivative = asdex.hessian(g, X, mode=mode, checkpoint=True)
        expected = jax.jit(jax.hessian(g))(X)
    else:
        derivative = asdex.jacobian(f_with_pattern, X, mode=mode, checkpoint=True)
        expected = jax.jit(jax.jacobian(f_with_pattern))(X)
    np.testing.assert_allclose(derivative(X).todense(), expected, atol=1e-15)
    assert "checkpoint" in str(jax.make_jaxpr(derivative)(X)) or "remat" in str(
        jax.make_jaxpr(derivative)(X)
    )


def without_entry(coloring: asdex.ColoredPattern, k: int) -> asdex.ColoredPattern:
    pattern = coloring.sparsity
    rows, cols = np.delete(pattern.rows, k), np.delete(pattern.cols, k)
    return asdex.ColoredPattern(
        asdex.SparsityPattern(rows, cols, pattern.shape, pattern.input_avals),
        coloring.colors,
        coloring.num_colors,
        coloring.symmetric,
        coloring.mode,
        coloring.star_set,
    )


@pytest.mark.parametrize("mode", ["fwd", "rev"])
@pytest.mark.parametrize("chunk_size", [None, 1])
def test_checked_calls(mode: Any, chunk_size: int | None) -> None:
    coloring = asdex.jacobian_coloring(f_with_pattern, X, mode=mode)
    options = {"checked": True, "chunk_size": chunk_size}
    good = asdex.jacobian_from_coloring(f_with_pattern, coloring, **options)
    np.testing.assert_allclose(
        jax.jit(good)(X).todense(), jax.jit(jax.jacobian(f_with_pattern))(X)
    )
    wrong = without_entry(coloring, 3)
    for build in (
        asdex.jacobian_from_coloring,
        asdex.compressed_jacobian_from_coloring,
    ):
        bad = build(f_with_pattern, wrong, **options)
        for call, error in (
            (bad, asdex.VerificationError),
            (jax.jit(bad), jax.errors.JaxRuntimeError),
            (eqx.filter_jit(bad), eqx.EquinoxRuntimeError),
        ):
            with pytest.raises(error, match="differs from JAX's"):
                jax.block_until_ready(call(X))


# -- Results on the host -----------------------------------------------------------------


def test_keywords_without_a_sample_are_compiled_by_value() -> None:
    def fun(x: jax.Array, scale: float = 1.0) -> jax.Array:
        return scale * x**2

    coloring = asdex.jacobian_coloring(fun, X)
    derivative = asdex.jacobian_from_coloring(fun, coloring, "numpy_dense")
    for scale in (1.0, 3.0):
        np.testing.assert_allclose(derivative(X, scale=scale), np.diag(2 * scale * X))


FLAT = ("bcsr", "scipy_coo", "scipy_csr", "scipy_csc")


@pytest.mark.parametrize("output_format", FLAT)
@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_formats_of_one_flat_matrix(mode: Any, output_format: Any) -> None:
    """Whatever the pytrees, in the order of `ravel_pytree`."""

    def fun(tree: dict[str, Any], y: jax.Array) -> dict[str, Any]:
        u, v = tree["u"], tree["v"]
        return {"uv": u * v * y[0], "sum": jnp.sum(u), "y": (y**2, [u[0] - v[0]])}

    samples = {"v": jnp.ones((2, 3)), "u": jnp.arange(6.0).reshape(2, 3)}, X
    derivative = asdex.jacobian(
        fun, *samples, argnums=(0, 1), mode=mode, output_format=output_format
    )
    flat, unravel = ravel_pytree(samples)
    expected = jax.jit(jax.jacobian(lambda x: ravel_pytree(fun(*unravel(x)))[0]))(flat)
    found = derivative(*samples)
    np.testing.assert_allclose(found.todense(), expected)
    assert found.dtype == expected.dtype
    operator = asdex.jacobian(
        fun, *samples, argnums=(0, 1), mode=mode, output_format="operator"
    )
    np.testing.assert_array_equal(operator(*samples).to_scipy().todense(), found.todense())
    if output_format == "bcsr":
        batch = jax.vmap(derivative)(*jax.tree.map(lambda x: jnp.stack([x, x]), samples))
        assert batch.n_batch == 1


@pytest.mark.parametrize("output_format", FLAT)
def test_one_flat_matrix_of_no_flat_array(output_format: Any) -> None:
    def energy(u: jax.Array) -> jax.Array:
        return jnp.sum(u**3) + u[0, 0] * u[1, 1]

    u = jnp.arange(4.0).reshape(2, 2)
    expected = jax.jit(jax.hessian(energy))(u).reshape(4, 4)
    hessian = asdex.hessian(energy, u, output_format=output_format)(u)
    np.testing.assert_allclose(hessian.todense(), expected)
    scalar = asdex.jacobian(jnp.sin, 1.0, output_format=output_format)(1.0)
    np.testing.assert_allclose(scalar.todense(), [[np.cos(1.0)]])


@pytest.mark.parametrize("output_format", FLAT)
def test_one_flat_matrix_has_a_dtype_for_all(output_format: Any) -> None:
    x, y = jnp.ones(3, jnp.float32), jnp.ones(3, jnp.float64)
    derivative = asdex.jacobian(
        lambda x, y: (x * 2, y * 3), x, y, argnums=(0, 1), output_format=output_format
    )
    assert derivative(x, y).dtype == np.float64


def test_constants_of_another_default_dtype_are_used() -> None:
    def fun(x: jax.Array) -> jax.Array:
        tiny = jnp.full(3, 1e-46)  # Zero in float32.
        return x * (tiny * 1e30 * 1e16).astype(x.dtype)

    x = jnp.ones(3, jnp.float32)
    with jax.enable_x64(False):
        derivative = asdex.jacobian(fun, x, output_format="dense")
        np.testing.assert_array_equal(derivative(x), np.zeros((3, 3)))
    with jax.enable_x64(True):
        np.testing.assert_array_equal(derivative(x), jax.jacobian(fun)(x))


# -- Calls of the function ---------------------------------------------------------------


@pytest.mark.parametrize("has_aux", [False, True])
@pytest.mark.parametrize("mode", [*JACOBIAN_MODES, *HESSIAN_MODES])
def test_the_function_runs_once(mode: Any, has_aux: bool) -> None:
    """Once for values, derivatives and auxiliary output. In mode `rev_over_fwd` twice: the
    directional derivative, which is differentiated, does not return them."""
    runs = []

    def fun(x: jax.Array) -> Any:
        jax.debug.callback(lambda: runs.append(1))
        y = g(x) if mode in HESSIAN_MODES else f_with_pattern(x)
        return (y, jnp.sum(x)) if has_aux else y

    verb: Any = (
        asdex.value_and_hessian if mode in HESSIAN_MODES else asdex.value_and_jacobian
    )
    derivative = verb(fun, X, mode=mode, has_aux=has_aux)
    for call in (derivative, jax.jit(derivative)):
        runs.clear()
        call(X)
        jax.effects_barrier()
        assert len(runs) == (2 if mode == "rev_over_fwd" else 1)
