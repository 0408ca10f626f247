"""Programs whose structure is static, with the exact pattern written out."""

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


class TestKnownZeros:
    def test_mask(self) -> None:
        mask = jnp.array([1.0, 0.0, 0.0, 2.0])
        check_jacobian(lambda x: x * mask + mask[::-1] * x[::-1], 4, "x..x .... .... x..x")

    def test_zero_times(self) -> None:
        check_jacobian(lambda x: x[:2] * 0 + x[2:], 4, "..x. ...x")

    def test_mask_made_of_a_computation(self) -> None:
        def f(x):
            distance = jnp.abs(jnp.arange(4)[:, None] - jnp.arange(4))
            return (distance <= 1).astype(float) @ x

        check_jacobian(f, 4, TRIDIAGONAL)

    def test_sparse_matrix_stored_densely(self) -> None:
        matrix = jnp.array([[0.0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 3, 4]])
        check_jacobian(lambda x: matrix @ x, 4, ".x.. x... .... ..xx")
        check_jacobian(lambda x: x @ matrix, 4, ".x.. x... ...x ...x")
        check_hessian(lambda x: x @ matrix @ x, 4, ".x.. x... ...x ..xx")

    def test_batch_of_sparse_matrices(self) -> None:
        matrices = jnp.stack([jnp.eye(2), jnp.ones((2, 2))])

        def f(x):
            return jnp.einsum("bij,bj->bi", matrices, x.reshape(2, 2)).ravel()

        check_jacobian(f, 4, "x... .x.. ..xx ..xx")

    def test_kernel_with_holes(self) -> None:
        kernel = jnp.array([1.0, 0.0, 1.0])
        expected = ".x.. x.x. .x.x ..x."
        check_jacobian(lambda x: jnp.convolve(x, kernel, mode="same"), 4, expected)

    @pytest.mark.parametrize("part", [jnp.tril, jnp.triu])
    def test_triangle_of_an_input(self, part: Any) -> None:
        def f(x):
            return (part(x[:, None] * jnp.ones(4)) @ jnp.ones(4))[:2]

        check_jacobian(f, 4, "x... .x..")

    def test_triangular_matrix(self) -> None:
        check_jacobian(lambda x: jnp.tril(jnp.ones((4, 4))) @ x, 4, LOWER)

    def test_banded_matrix(self) -> None:
        matrix = jnp.eye(4) + jnp.eye(4, k=1) + jnp.eye(4, k=-1)
        check_jacobian(lambda x: matrix @ x, 4, TRIDIAGONAL)

    def test_kronecker_with_the_identity(self) -> None:
        matrix = jnp.kron(jnp.eye(2), jnp.ones((2, 2)))
        check_jacobian(lambda x: matrix @ x, 4, BLOCKS)

    def test_known_predicate(self) -> None:
        odd = jnp.arange(4) % 2 == 1
        check_jacobian(lambda x: jnp.where(odd, x, x[::-1]), 4, "...x .x.. .x.. ...x")
        check_jacobian(lambda x: jnp.where(odd, x, 0.0), 4, ".... .x.. .... ...x")

    def test_predicate_known_in_part(self) -> None:
        def f(x):
            predicate = (jnp.arange(4) < 2) & (x > 0)
            return jnp.where(predicate, x[::-1], x)

        check_jacobian(f, 4, "x..x .xx. ..x. ...x")

    def test_nothing_left(self) -> None:
        check_jacobian(lambda x: jnp.floor(x) + lax.stop_gradient(x), 4, "....\n" * 4)


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

    @pytest.mark.parametrize("sign", [1, -1])
    def test_questions_for_numbers(self, sign: int) -> None:
        """What may be NaN is not zero for a comparison, and `inf` is no `-inf`."""

        def f(x: Array) -> Array:
            level = jnp.where(x > 0, x, -jnp.inf)
            power = jnp.exp(-jnp.inf - sign * level)
            return jnp.where(jnp.isnan(power), x[::-1], 2 * x)

        check_sound(f, expected="x..x .xx. .xx. x..x")


class TestIndices:
    def test_computed_from_constants(self) -> None:
        def f(x):
            order = jnp.argsort(jnp.array([3.0, 1.0, 2.0, 0.0]))
            return x[order]

        check_jacobian(f, 4, "...x .x.. ..x. x...")

    def test_in_nested_jit(self) -> None:
        @jax.jit
        def neighbor(x, k):
            return jax.jit(lambda x, k: x[(k + 1) % 4])(x, k * 1)

        def f(x):
            return jax.jit(lambda x: jnp.stack([neighbor(x, k) for k in range(4)]))(x)

        check_jacobian(f, 4, ".x.. ..x. ...x x...")

    def test_in_vmap(self) -> None:
        def f(x):
            def window(k):
                return jnp.sum(lax.dynamic_slice(x, (k,), (2,)))

            return jax.vmap(window)(jnp.arange(3))

        check_jacobian(f, 4, "xx.. .xx. ..xx")

    def test_mesh(self) -> None:
        edges = jnp.array([[0, 1], [1, 2], [2, 3]])

        def energy(x):
            return jnp.sum(jnp.sin(x[edges[:, 0]] - x[edges[:, 1]]))

        check_hessian(energy, 4, TRIDIAGONAL)

    def test_table_of_indices_per_row(self) -> None:
        def f(x):
            table = x.reshape(2, 2)
            return jnp.take_along_axis(table, jnp.array([[1], [0]]), axis=1).ravel()

        check_jacobian(f, 4, ".x.. ..x.")


class TestBlocks:
    @pytest.mark.parametrize(
        "function", [jnp.median, jnp.max, jnp.std, jnp.linalg.norm, jax.nn.logsumexp]
    )
    def test_reduction_per_block(self, function: Any) -> None:
        def f(x):
            return function(x.reshape(2, 2), axis=1)

        check_jacobian(f, 4, "xx.. ..xx")

    @pytest.mark.parametrize(
        "function", [jnp.sort, jax.nn.softmax, jnp.fft.fft, lambda x: x[jnp.argsort(x)]]
    )
    def test_map_per_block(self, function: Any) -> None:
        def f(x):
            return jnp.real(jax.vmap(function)(x.reshape(2, 2))).ravel()

        check_jacobian(f, 4, BLOCKS)

    def test_gather_at_argmax(self) -> None:
        def f(x):
            rows = x.reshape(2, 2)
            return jnp.take_along_axis(
                rows, jnp.argmax(rows, axis=1)[:, None], axis=1
            ).ravel()

        check_jacobian(f, 4, "xx.. ..xx")

    def test_argmax_of_another_array(self) -> None:
        """The index along the axis is not known, the row is."""

        def f(x, scores):
            return jnp.take_along_axis(
                x.reshape(2, 2), scores.argmax(1)[:, None], 1
            ).ravel()

        check_jacobian(f, (np.ones(4), np.ones((2, 2))), "xx.. ..xx")

    def test_solve_per_block(self) -> None:
        def f(x):
            matrices = jnp.array([[[2.0, 1], [1, 3]], [[2, 0], [1, 2]]])
            return jax.vmap(jnp.linalg.solve)(matrices, x.reshape(2, 2)).ravel()

        check_jacobian(f, 4, BLOCKS)

    def test_factorization_per_block(self) -> None:
        def f(x):
            def block(row):
                matrix = jnp.outer(row, row) + jnp.eye(2)
                return jnp.linalg.cholesky(matrix)[1]

            return jax.vmap(block)(x.reshape(2, 2)).ravel()

        check_jacobian(f, 4, BLOCKS)


class TestInterpolation:
    def test_values_at_known_places(self) -> None:
        grid = jnp.arange(4.0)
        places = jnp.array([0.5, 2.5])
        check_jacobian(lambda x: jnp.interp(places, grid, x), 4, "xx.. ..xx")

    def test_constant_table_at_inputs(self) -> None:
        grid = jnp.linspace(-2, 2, 9)
        check_jacobian(lambda x: jnp.interp(x, grid, grid**2), 4, DIAGONAL)


class TestCounters:
    def test_prefix_sums(self) -> None:
        def f(x):
            return lax.fori_loop(1, 4, lambda i, y: y.at[i].add(y[i - 1]), x)

        check_jacobian(f, 4, LOWER)

    def test_pairs(self) -> None:
        def f(x):
            def body(i, y):
                return y.at[i].set(x[i] * x[3 - i])

            return lax.fori_loop(0, 4, body, jnp.zeros(4))

        check_jacobian(f, 4, "x..x .xx. .xx. x..x")

    def test_thomas_algorithm(self) -> None:
        """The solution of a tridiagonal system is dense in its right-hand side, the
        elimination is not."""

        def eliminated(right):
            def step(carry, d):
                ratio, before = carry
                scale = 1 / (4 - ratio)
                after = (d - before) * scale
                return (scale, after), after

            return lax.scan(step, (0.0, 0.0), right)[1]

        def solution(right):
            ratios = lax.scan(lambda c, _: (1 / (4 - c), 1 / (4 - c)), 0.0, None, length=4)[
                1
            ]

            def step(after, pair):
                d, ratio = pair
                x = d - ratio * after
                return x, x

            return lax.scan(step, 0.0, (eliminated(right), ratios), reverse=True)[1]

        check_jacobian(eliminated, 4, LOWER)
        check_jacobian(solution, 4, "xxxx " * 4)

    def test_time_stepper_that_writes_into_a_buffer(self) -> None:
        def f(x):
            buffer = jnp.zeros((3, 4)).at[0].set(x)

            def step(k, buffer):
                state = buffer[k]
                shifted = jnp.concatenate([jnp.zeros(1), state[:-1]])
                return buffer.at[k + 1].set(state + shifted**2)

            return lax.fori_loop(0, 2, step, buffer).ravel()

        one = "x... xx.. .xx. ..xx"
        two = "x... xx.. xxx. .xxx"
        check_jacobian(f, 4, f"{DIAGONAL} {one} {two}")

    def test_recurrence_in_residual_form(self) -> None:
        """As in collocation: each residual depends on its own state and the one before."""

        def f(x):
            def step(before, state):
                return state, state - before - jnp.sin(state[::-1])

            return lax.scan(step, jnp.ones(2), x.reshape(2, 2))[1].ravel()

        check_jacobian(f, 4, "xx.. xx.. x.xx .xxx")

    def test_branch_on_counter(self) -> None:
        def f(x):
            def body(i, y):
                return lax.cond(i == 1, lambda y: y[::-1], lambda y: y * 2, y)

            return lax.fori_loop(0, 2, body, x)

        check_jacobian(f, 4, "...x ..x. .x.. x...")

    def test_mask_on_counter(self) -> None:
        def f(x):
            def body(i, y):
                return y + jnp.where(jnp.arange(4) == i, x[::-1], 0.0)

            return lax.fori_loop(0, 2, body, x)

        check_jacobian(f, 4, "x..x .xx. ..x. ...x")

    def test_counter_in_nested_loops(self) -> None:
        def f(x):
            def outer(i, total):
                def inner(j, total):
                    return total.at[i].add(x[2 * i + j] ** 2)

                return lax.fori_loop(0, 2, inner, total)

            return lax.fori_loop(0, 2, outer, jnp.zeros(2))

        check_jacobian(f, 4, "xx.. ..xx")

    def test_inner_loop_up_to_the_outer_counter(self) -> None:
        def f(x):
            def outer(i, total):
                return lax.fori_loop(0, i, lambda j, y: y.at[i].add(x[j] ** 2), total)

            return lax.fori_loop(0, 4, outer, jnp.zeros(4))

        check_jacobian(f, 4, ".... x... xx.. xxx.")

    def test_inner_while_up_to_the_outer_counter(self) -> None:
        def f(x):
            def outer(i, total):
                def inner(carry):
                    j, y = carry
                    return j + 2, y.at[i].add(x[j] ** 2)

                return lax.while_loop(lambda c: c[0] <= i, inner, (0, total))[1]

            return lax.fori_loop(0, 4, outer, jnp.zeros(4))

        check_jacobian(f, 4, "x... x... x.x. x.x.")

    def test_while_with_a_known_number_of_steps(self) -> None:
        def f(x):
            def body(carry):
                k, y = carry
                return k - 1, y.at[k].set(x[3 - k] ** 2)

            return lax.while_loop(lambda c: c[0] > 0, body, (3, jnp.zeros(4)))[1]

        check_jacobian(f, 4, ".... ..x. .x.. x...")

    def test_counter_in_nested_jit(self) -> None:
        pick = jax.jit(lambda x, k: x[k])

        def f(x):
            return lax.scan(lambda c, k: (c, pick(x, 3 - k)), 0.0, jnp.arange(4))[1]

        check_jacobian(f, 4, "...x ..x. .x.. x...")

    def test_hessian_of_a_counted_loop(self) -> None:
        def energy(x):
            return lax.fori_loop(0, 3, lambda i, c: c + x[i] * x[i + 1] ** 2, 0.0)

        check_hessian(energy, 4, ".x.. xxx. .xxx ..xx")

    def test_hessian_of_a_scan(self) -> None:
        def energy(x):
            def step(before, state):
                return state, (state - before**2) ** 2

            return jnp.sum(lax.scan(step, 1.0, x)[1])

        check_hessian(energy, 4, TRIDIAGONAL)

    def test_associative_scan(self) -> None:
        check_jacobian(lambda x: lax.associative_scan(jnp.multiply, x), 4, LOWER)

    def test_map(self) -> None:
        check_jacobian(lambda x: lax.map(lambda e: e**2, x), 4, DIAGONAL)
        check_jacobian(
            lambda x: lax.map(lambda row: row[::-1], x.reshape(2, 2)).ravel(),
            4,
            ".x.. x... ...x ..x.",
        )


class TestDerivativeRules:
    """Not the function is followed, but the derivative that JAX will compute."""

    def test_straight_through(self) -> None:
        def f(x):
            return x + lax.stop_gradient(jnp.round(x) - x)

        check_jacobian(f, 4, DIAGONAL)

    def test_custom_vjp(self) -> None:
        @jax.custom_vjp
        def f(x):
            return jnp.sort(x)

        f.defvjp(lambda x: (jnp.sort(x), None), lambda _, g: (g[::-1],))
        check_jacobian(f, 4, "...x ..x. .x.. x...")

    def test_custom_jvp(self) -> None:
        @jax.custom_jvp
        def f(x):
            return jnp.sort(x)

        f.defjvp(lambda primals, tangents: (f(*primals), tangents[0] * 2))
        check_jacobian(f, 4, DIAGONAL)

    def test_implicit_function(self) -> None:
        def f(x: Array) -> Array:
            def residual(y):
                return y**3 + y - x

            def solve(residual, start):
                step = lambda _, y: y - residual(y) / (3 * y**2 + 1)  # noqa: E731
                return lax.fori_loop(0, 20, step, start)

            def tangent_solve(linear, b):
                return b / linear(jnp.ones_like(b))

            return lax.custom_root(residual, jnp.zeros_like(x), solve, tangent_solve)

        check_jacobian(f, 4, DIAGONAL)


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
