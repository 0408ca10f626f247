"""Programs whose structure is static, with the exact pattern written out."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax

from .literal import check_hessian, check_jacobian

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


class TestIndices:
    def test_computed_from_constants(self) -> None:
        def f(x):
            order = jnp.argsort(jnp.array([3.0, 1.0, 2.0, 0.0]))
            return x[order]

        check_jacobian(f, 4, "...x .x.. ..x. x...")

    def test_orders_by_constants(self) -> None:
        """By keys that are sorted along, and by a fixed random key."""
        keys = jnp.array([3.0, 1.0, 2.0, 0.0])
        check_jacobian(
            lambda x: lax.sort((keys, x), num_keys=1)[1], 4, "...x .x.. ..x. x..."
        )
        order = jax.random.permutation(jax.random.key(0), 4)
        rows = ["".join("x" if k == one else "." for k in range(4)) for one in order]
        check_jacobian(
            lambda x: jax.random.permutation(jax.random.key(0), x), 4, " ".join(rows)
        )

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
