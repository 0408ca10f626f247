"""Programs whose pattern is exact only by what is known of values: zeros of masks and of
constant matrices, indices that are used twice, parts of complex numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax

import asdex

from .literal import check_hessian, check_jacobian, check_sound

DIAGONAL = "x... .x.. ..x. ...x"
TRIDIAGONAL = "xx.. xxx. .xxx ..xx"
LOWER = "x... xx.. xxx. xxxx"
BLOCKS = "xx.. xx.. ..xx ..xx"


class TestMasksOfInfinity:
    """Zeros that only a number can show: `exp(-inf - m)` is zero, or NaN."""

    MASK = np.tril(np.ones((3, 3), bool))

    @pytest.mark.parametrize("heads", [1, 2])
    def test_causal_attention(self, heads: int) -> None:
        def head(q: Array) -> Array:
            scores = jnp.where(self.MASK, q @ q.T, -jnp.inf)
            return jax.nn.softmax(scores, axis=-1) @ q

        def f(x: Array) -> Array:
            return jax.vmap(head)(x.reshape(heads, 3, 2)).reshape(-1)

        pattern = asdex.jacobian_sparsity(f, np.ones(6 * heads))
        blocks = np.kron(np.eye(heads), np.kron(self.MASK, np.ones((2, 2))))
        np.testing.assert_array_equal(pattern.todense(), blocks)

    def test_softmax_by_hand(self) -> None:
        mask = np.eye(4, k=-1) + np.eye(4) > 0

        def f(x: Array) -> Array:
            scores = jnp.where(mask, x, -jnp.inf)
            powers = jnp.exp2(scores - scores.max(axis=-1, keepdims=True))
            return (powers / powers.sum(axis=-1, keepdims=True)) @ x

        check_jacobian(f, 4, "x... xx.. .xx. ..xx")

    def test_added_to_scores(self) -> None:
        """As a bias that is added, also if a compiled function takes what becomes of it."""
        bias = np.where(self.MASK, 0.0, -np.inf)
        softmax = jax.jit(lambda scores: jax.jit(jax.nn.softmax)(scores))

        def f(x: Array) -> Array:
            q = x.reshape(3, 2)
            return (softmax(q @ q.T / 2 + bias) @ q).reshape(-1)

        pattern = asdex.jacobian_sparsity(f, np.ones(6))
        np.testing.assert_array_equal(
            pattern.todense(), np.kron(self.MASK, np.ones((2, 2)))
        )

    def test_of_the_other_sign(self) -> None:
        """What is subtracted from `-inf` is added, and what `inf` is added to grows."""

        def f(x: Array) -> Array:
            bias = jnp.array([0.0, -jnp.inf, 0.0, jnp.inf])
            return jnp.concatenate([jnp.exp(bias - x), jnp.exp2(x - bias)])

        check_sound(f, expected="x... .... ..x. ...x x... .x.. ..x. ...x")

    def test_of_scalars(self) -> None:
        def f(x: Array) -> Array:
            masked = jnp.exp(x[0] + -jnp.inf) * jnp.exp(-jnp.inf - x[1])
            return x + masked * x[::-1]

        check_sound(f, expected=DIAGONAL)

    @pytest.mark.parametrize("sign", [1, -1])
    def test_questions_for_numbers(self, sign: int) -> None:
        """What may be NaN is not zero for a comparison, and `inf` is no `-inf`."""

        def f(x: Array) -> Array:
            level = jnp.where(x > 0, x, -jnp.inf)
            power = jnp.exp(-jnp.inf - sign * level)
            return jnp.where(jnp.isnan(power), x[::-1], 2 * x)

        check_sound(f, expected="x..x .xx. .xx. x..x")


class TestPooling:
    """The largest elements of windows, in which some can be equal."""

    TIES = np.array([2.0, 2.0, 1.0, 1.0, 2.0, 2.0, 0.0, 1.0, *[3.0] * 8])

    @pytest.mark.parametrize("strides", [1, 2])
    @pytest.mark.parametrize("padding", ["SAME", "VALID"])
    def test_hessian(self, strides: int, padding: str) -> None:
        def f(x):
            image, steps = x.reshape(4, 4), (strides, strides)
            pooled = lax.reduce_window(image, -jnp.inf, lax.max, (2, 2), steps, padding)
            return jnp.sum(jnp.sin(pooled))

        pattern = asdex.hessian_sparsity(f, np.ones(16))
        np.testing.assert_array_equal(pattern.todense(), np.eye(16))
        hess = asdex.hessian(f, np.ones(16), output_format="dense")
        points = [np.random.default_rng(0).normal(size=16), self.TIES, np.ones(16)]
        dense = jax.vmap(jax.hessian(f))(np.stack(points))
        np.testing.assert_allclose([hess(x) for x in points], dense, atol=1e-12)

    def test_neighbours(self) -> None:
        def f(x):
            pooled = lax.reduce_window(x**2, -jnp.inf, lax.max, (2,), (1,), "VALID")
            return jnp.sum(pooled[1:] * pooled[:-1])

        check_hessian(f, 4, "xxx. xxxx xxxx .xxx")

    def test_equal_elements_of_a_maximum(self) -> None:
        """JAX shares the derivative of `max` out among them: no entry is too many."""

        def f(x):
            return jnp.sum(x.reshape(2, 2).max(axis=1) ** 2)

        check_hessian(f, 4, BLOCKS)
        assert np.count_nonzero(jax.hessian(f)(jnp.ones(4))) == 8


class TestRunningSums:
    """Half a square of entries is made only where it is used."""

    N = 100_000

    @pytest.mark.parametrize("sums", [jnp.cumsum, jnp.cumprod, lax.cummax])
    def test_a_few_of_many(self, sums: Any) -> None:
        x = jax.ShapeDtypeStruct((self.N,), jnp.float32)
        pattern = asdex.jacobian_sparsity(lambda x: sums(x)[:: self.N // 4], x)
        each = np.arange(0, self.N, self.N // 4) + 1
        np.testing.assert_array_equal(np.bincount(pattern.rows), each)

    def test_of_a_few(self) -> None:
        def f(x):
            return jnp.cumsum(jnp.zeros(self.N).at[jnp.array([7, 70])].set(x), axis=0)

        pattern = asdex.jacobian_sparsity(f, jnp.ones(2))
        assert pattern.nnz == 2 * self.N - 77

    def test_all_of_many_are_too_many(self) -> None:
        x = jax.ShapeDtypeStruct((self.N,), jnp.float32)
        with pytest.raises(asdex.PatternTooLargeError, match="cumsum"):
            asdex.jacobian_sparsity(jnp.cumsum, x)

    def test_substitution(self) -> None:
        matrix = jnp.tril(jnp.ones((600, 600)))

        def f(x):
            solved = jax.scipy.linalg.solve_triangular(matrix, x, lower=True)
            return solved[-1:]

        assert asdex.jacobian_sparsity(f, jnp.ones(600)).nnz == 600


class TestBranches:
    """What all branches have in common is known, whichever is taken."""

    def test_masks_that_agree(self) -> None:
        def f(x):
            mask = jnp.arange(4) < 2
            weights = lax.cond(
                x[0] > 0, lambda: jnp.where(mask, 1.0, 0.0), lambda: jnp.where(mask, x, 0.0)
            )
            return lax.stop_gradient(weights) * x

        check_jacobian(f, 4, "x... .x.. .... ....")

    def test_indices_that_agree(self) -> None:
        def f(x):
            order = lax.switch(
                (x[0] > 0).astype(int) + (x[1] > 0).astype(int),
                [
                    lambda: jnp.arange(4)[::-1],
                    lambda: 3 - jnp.arange(4),
                    lambda: 3 - jnp.arange(4),
                ],
            )
            return x[order]

        check_jacobian(f, 4, "...x ..x. .x.. x...")

    def test_indices_that_do_not(self) -> None:
        def f(x):
            return x[
                lax.cond(x[0] > 0, lambda: jnp.array([1, 2]), lambda: jnp.array([0, 2]))
            ]

        check_jacobian(f, 4, "xx.. ..x.")


@pytest.mark.usefixtures("standard_promotion")
class TestComplexNumbers:
    """Real and imaginary parts that are taken apart again."""

    def test_parts_of_a_sum(self) -> None:
        def f(x):
            z = x[:2] + 1j * x[2:]
            return jnp.concatenate([jnp.real(z) ** 2, jnp.imag(z)])

        check_jacobian(f, 4, DIAGONAL)
        check_hessian(lambda x: jnp.sum(f(x) ** 2), 4, DIAGONAL)

    def test_moves_and_real_factors(self) -> None:
        def f(x):
            z = jnp.conj(lax.complex(x[:2], x[2:]))[::-1] * 3.0
            z = jnp.stack([z, z]).sum(axis=0)
            return jnp.concatenate([z.imag, z.real])

        check_jacobian(f, 4, "...x ..x. .x.. x...")

    def test_factors_that_turn(self) -> None:
        def f(x):
            z = 2j * lax.complex(x[:2], x[2:])
            return jnp.concatenate([z.real, z.imag])

        check_jacobian(f, 4, "..x. ...x x... .x..")

    @pytest.mark.parametrize("factor", [1 + 1j, jnp.array([1j, 1.0])])
    def test_factors_that_mix(self, factor: Any) -> None:
        def f(x):
            z = factor * lax.complex(x[:2], x[2:])
            return jnp.concatenate([z.real, z.imag])

        check_jacobian(f, 4, "x.x. .x.x x.x. .x.x")

    def test_products_mix(self) -> None:
        def f(x):
            z = lax.complex(x[:2], x[2:])
            return (z * z).real

        check_jacobian(f, 4, "x.x. .x.x")


class TestConstantMatrices:
    """Solves with constant matrices are dense at most where these connect unknowns."""

    BLOCKS = jnp.kron(jnp.eye(2), jnp.array([[2.0, 1.0], [1.0, 3.0]]))

    @pytest.mark.parametrize("left_side", [True, False])
    @pytest.mark.parametrize("lower", [True, False])
    @pytest.mark.parametrize("transpose_a", [True, False])
    def test_substitution_through_zeros(
        self, left_side: bool, lower: bool, transpose_a: bool
    ) -> None:
        rng = np.random.default_rng(0)
        matrices = rng.uniform(1, 2, (2, 5, 5)) * (rng.random((2, 5, 5)) < 0.3)
        matrices = jnp.asarray(matrices + 3 * np.eye(5))
        shape = (2, 5, 3) if left_side else (2, 3, 5)

        def f(x):
            return lax.linalg.triangular_solve(
                matrices, x, left_side=left_side, lower=lower, transpose_a=transpose_a
            )

        x = jnp.ones(shape)
        expected = np.asarray(jax.jacobian(f)(x)).reshape(x.size, x.size) != 0
        found = asdex.jacobian_sparsity(f, x).todense().astype(bool)
        np.testing.assert_array_equal(found, expected)

    def test_inverse(self) -> None:
        check_jacobian(lambda x: jnp.linalg.inv(self.BLOCKS) @ x, 4, BLOCKS)
        check_hessian(lambda x: x @ jnp.linalg.inv(self.BLOCKS) @ x, 4, BLOCKS)

    def test_cholesky_factors(self) -> None:
        def f(x):
            factors = jax.scipy.linalg.cho_factor(self.BLOCKS)
            return jax.scipy.linalg.cho_solve(factors, x)

        check_jacobian(f, 4, BLOCKS)

    @pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
    def test_exponentials(self, scale: float) -> None:
        """The loop that squares a matrix keeps its blocks."""
        expm = jax.scipy.linalg.expm
        check_jacobian(lambda x: expm(scale * self.BLOCKS) @ x, 4, BLOCKS)
        check_hessian(lambda x: x @ expm(scale * self.BLOCKS) @ x, 4, BLOCKS)

    def test_loops(self) -> None:
        """Zeros remain in each step, or are filled in."""

        def powers(x: Array, step: Any) -> Array:
            matrix = lax.fori_loop(0, 5, lambda _, a: step(a) / 2, self.BLOCKS)
            while_ = lax.while_loop(
                lambda state: state[0] < 3,
                lambda state: (state[0] + 1, step(state[1])),
                (0, self.BLOCKS),
            )
            return (matrix + while_[1]) @ x

        check_jacobian(lambda x: powers(x, lambda a: a @ a), 4, BLOCKS)
        full = "xxxx xxxx xxxx xxxx"
        check_jacobian(lambda x: powers(x, lambda a: a + jnp.roll(a, 1)), 4, full)

    def test_kernels_of_an_interpolation(self) -> None:
        for method, each in (("cubic", 4), ("lanczos3", 6)):
            pattern = asdex.jacobian_sparsity(
                lambda x, m=method: jax.image.resize(x, (80,), m), jnp.ones(40)
            )
            assert np.bincount(pattern.rows).max() == each


class TestUnknownIndices:
    """What is read at an index that is not known is added back at the same place."""

    K = jax.ShapeDtypeStruct((2,), jnp.int32)
    ARROW = "xxxx xx.. x.x. x..x"

    def test_an_integer_argument(self) -> None:
        def f(x, k):
            return jnp.sum(x[k] ** 2 * x[0])

        check_hessian(f, (jnp.ones(4), self.K), self.ARROW)
        check_hessian(lambda x, k: jnp.sum(jnp.sin(x[k])), (jnp.ones(4), self.K), DIAGONAL)

    def test_rows_of_a_table(self) -> None:
        def f(x, k):
            return jnp.sum(jnp.prod(x[k], axis=1) * jnp.sum(x[k], axis=1))

        assert asdex.hessian_sparsity(f, jnp.ones((3, 2)), self.K).nnz >= 12

    def test_an_unknown_order(self) -> None:
        def f(x):
            order = jnp.argsort(lax.stop_gradient(x))
            return jnp.sum(jnp.arange(4.0) * x[order] ** 2)

        check_hessian(f, 4, DIAGONAL)

    def test_other_indices(self) -> None:
        """Read at some and written at others, in calls that differ in the indices alone."""
        numbers = lax.GatherDimensionNumbers((), (0,), (0,))
        into = lax.ScatterDimensionNumbers((), (0,), (0,))

        @jax.jit
        def moved(x, k, m):
            read = jax.jit(lambda x: lax.gather(x, k, numbers, (1,), mode="clip"))(x)
            return lax.scatter_add(jnp.zeros(4), m, 2 * read, into, mode="clip")

        def f(x, k, m):
            return jnp.concatenate([moved(x, k, k), moved(x, k, m), moved(x, m, m)])

        index = jax.ShapeDtypeStruct((2, 1), jnp.int32)
        full = "xxxx xxxx xxxx xxxx"
        check_jacobian(f, (jnp.ones(4), index, index), f"{DIAGONAL} {full} {DIAGONAL}")
