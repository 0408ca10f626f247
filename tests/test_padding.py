"""Patterns whose rows have equally many entries, and derivatives by them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex

from .operator.matrices import PATTERNS


@pytest.mark.parametrize("name", PATTERNS)
def test_rows_are_filled_up(name: str) -> None:
    pattern = PATTERNS[name]
    padded = asdex.pad_rows(pattern)
    assert padded.shape == pattern.shape
    assert (padded.todense() >= pattern.todense()).all()
    lengths = np.bincount(padded.rows, minlength=pattern.m)
    longest = np.bincount(pattern.rows, minlength=pattern.m).max(initial=0)
    assert not pattern.nnz or set(lengths.tolist()) <= set(range(longest, 2 * longest + 1))
    assert np.unique(lengths).size <= 1
    assert (padded.rows[1:] >= padded.rows[:-1]).all()


def test_stencils_get_one_entry_at_each_offset() -> None:
    def f(u: jax.Array) -> jax.Array:
        return jnp.diff(u, n=2, prepend=0.0, append=0.0) + u**2

    pattern = asdex.pad_rows(asdex.jacobian_sparsity(f, jnp.ones(8)))
    assert ((pattern.cols.reshape(8, 3) - np.arange(8)[:, None]) % 8 == [0, 1, 7]).all()
    assert pattern.input_avals == (jax.ShapeDtypeStruct((8,), jnp.ones(8).dtype),)


def test_patterns_of_stencils_stay_symmetric() -> None:
    def energy(u: jax.Array) -> jax.Array:
        return jnp.sum(jnp.diff(u) ** 4 + u[1:] ** 2)

    x = jnp.linspace(0.0, 1.0, 9) ** 2
    pattern = asdex.pad_rows(asdex.hessian_sparsity(energy, x))
    hessian = asdex.hessian(
        energy, x, sparsity=pattern, mode="accumulate", output_format="operator"
    )
    assert hessian(x).symmetric
    np.testing.assert_allclose(hessian(x).todense(), jax.hessian(energy)(x), atol=1e-13)


def test_hessians_of_rows_that_are_filled_up() -> None:
    def energy(u: jax.Array) -> jax.Array:
        return jnp.sum(u**4) + u[0] * u[3] ** 2 * u[7]

    x = jnp.linspace(0.5, 1.5, 9)
    pattern = asdex.pad_rows(asdex.hessian_sparsity(energy, x))
    assert not pattern.is_symmetric
    with pytest.raises(ValueError, match=r"not symmetric.*symmetric=False.*pad_rows"):
        asdex.hessian(energy, x, sparsity=pattern, mode="accumulate")
    hessian = asdex.hessian(energy, x, sparsity=pattern, mode="accumulate", symmetric=False)
    np.testing.assert_allclose(hessian(x).todense(), jax.hessian(energy)(x), rtol=1e-14)


def repeated(x: jax.Array) -> jax.Array:
    """Some rows read one element twice, others nothing of some terms."""
    places = np.array([0, 1, 1, 5, 2, 0])
    return x**3 + jnp.where(np.arange(6) < 4, x[places] ** 2, 1.0) * 2


def constant(x: jax.Array) -> jax.Array:
    return 3 * x - 2 * jnp.pad(x[1:], (0, 1))


@pytest.mark.parametrize("f", [repeated, constant])
def test_values_are_those_of_the_function(f) -> None:
    x = jnp.linspace(0.5, 1.5, 6)
    pattern = asdex.pad_rows(asdex.jacobian_sparsity(f, x))
    for mode in ("accumulate", "fwd", "rev"):
        a = asdex.jacobian(f, x, sparsity=pattern, mode=mode, output_format="operator")(x)
        assert a.nnz == pattern.nnz
        np.testing.assert_allclose(a.todense(), jax.jacfwd(f)(x), rtol=1e-14)
        np.testing.assert_allclose(a.mv(x), jax.jacfwd(f)(x) @ x, rtol=1e-13)
