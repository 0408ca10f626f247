"""Calls and loops in which a careless detection misses entries, with their patterns.

Each pattern is the exact one, unless a comment says what is more than needed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from .literal import check_jacobian

DIAGONAL = "x.. .x. ..x"
REVERSED = "..x .x. x.."
FULL = "xxx xxx xxx"


class TestSharedHelper:
    """JAX traces a jitted helper once; what is known of one call is not of the next."""

    @pytest.mark.parametrize("known_first", [True, False])
    def test_known_zero(self, known_first: bool) -> None:
        product = jax.jit(lambda a, b: a * b)
        zeros = jnp.zeros(3)

        def f(x):
            calls = [(zeros, x[::-1]), (x, x)]
            return sum(product(*call) for call in (calls if known_first else calls[::-1]))

        check_jacobian(f, 3, DIAGONAL)

    @pytest.mark.parametrize("known_first", [True, False])
    def test_known_index(self, known_first: bool) -> None:
        pick = jax.jit(lambda x, i: x[i])
        order = jnp.array([2, 1, 0])

        def f(x):
            parts = [pick(x, order), pick(x, jnp.argsort(x)) * 0 + pick(x, order)]
            return jnp.concatenate(parts if known_first else parts[::-1])

        check_jacobian(f, 3, f"{REVERSED} {REVERSED}")

    @pytest.mark.parametrize("known_first", [True, False])
    def test_index_from_input(self, known_first: bool) -> None:
        pick = jax.jit(lambda x, i: x[i])

        def f(x):
            parts = [pick(x, 0), pick(x, jnp.argmax(x))]
            return jnp.stack(parts if known_first else parts[::-1])

        check_jacobian(f, 3, "x.. xxx" if known_first else "xxx x..")

    def test_known_branch(self) -> None:
        choose = jax.jit(lambda flag, x: lax.cond(flag, lambda: x, lambda: x[::-1]))

        def f(x):
            return jnp.concatenate([choose(True, x), choose(x[0] > 0, x), choose(False, x)])

        check_jacobian(f, 3, f"{DIAGONAL} x.x .x. x.x {REVERSED}")

    def test_loop(self) -> None:
        @jax.jit
        def last(x, start):
            return lax.fori_loop(0, 2, lambda i, c: c + x[i] * start, start * 0)

        def f(x):
            return jnp.stack([last(x, 0.0), last(x, 1.0), last(x, x[2])])

        check_jacobian(f, 3, "... xx. xxx")


class TestLoops:
    def test_aliased_carry_of_while(self) -> None:
        def f(x):
            def body(carry):
                k, a, b = carry
                return k + 1, b, a * 2

            return lax.while_loop(lambda c: c[0] < 2, body, (0, x, x))[1]

        check_jacobian(f, 3, DIAGONAL)

    def test_aliased_carry_of_scan(self) -> None:
        def f(x):
            def body(carry, _):
                a, b, c = carry
                return (b, c[::-1], a), a + c

            return lax.scan(body, (x, x, x), None, length=1)[1][0]

        check_jacobian(f, 3, DIAGONAL)

    def test_body_that_swaps_its_constants(self) -> None:
        """What goes in as `a` comes out as `b` after each step."""

        def f(x):
            a, b = x[:1], x[1:2]

            def body(carry, _):
                a, b, total = carry
                return (b, a, total + a), total

            total = lax.scan(body, (a, b, jnp.zeros(1)), None, length=3)[1]
            return total.ravel()

        check_jacobian(f, 3, "... x.. xx.")

    @pytest.mark.parametrize(
        ("steps", "expected"), [(0, "x.. .x. ..x"), (1, "..x x.. .x.")]
    )
    def test_permuted_carry(self, steps: int, expected: str) -> None:
        def f(x):
            return lax.fori_loop(0, steps, lambda _, y: jnp.roll(y, 1), x)

        check_jacobian(f, 3, expected)

    @pytest.mark.parametrize("steps", [3, 300])
    def test_permuted_carry_comes_back(self, steps: int) -> None:
        def f(x):
            return lax.fori_loop(0, steps, lambda _, y: jnp.roll(y, 1), x)

        check_jacobian(f, 3, DIAGONAL)

    def test_permuted_carry_of_unknown_length(self) -> None:
        def f(x, steps):
            return lax.fori_loop(0, steps, lambda _, y: jnp.roll(y, 1), x)

        check_jacobian(f, (np.ones(3), np.array(2)), FULL)

    def test_carry_that_forgets(self) -> None:
        """The last slice is all that is left."""

        def f(x):
            return lax.scan(lambda _, row: (row, None), jnp.zeros(1), x.reshape(3, 1))[0]

        check_jacobian(f, 3, "..x")

    def test_reverse_scan(self) -> None:
        def f(x):
            return lax.scan(lambda c, e: (c + e, c), 0.0, x, reverse=True)[1]

        check_jacobian(f, 3, ".xx ..x ...")

    def test_reverse_scan_by_counter(self) -> None:
        def f(x):
            def body(carry, k):
                return carry.at[k].add(carry[(k + 1) % 3]), carry[0]

            return lax.scan(body, x, jnp.arange(2), reverse=True)[0]

        check_jacobian(f, 3, "xxx .xx ..x")

    def test_scan_in_while_in_cond(self) -> None:
        def f(x):
            def loop(y):
                def body(carry):
                    k, y = carry
                    y = lax.scan(lambda c, e: (c + e, c + e), 0.0, y)[1]
                    return k + 1, y

                return lax.while_loop(lambda c: c[0] < 3, body, (0, y))[1]

            return lax.cond(x[0] > 0, loop, lambda y: y[::-1], x)

        check_jacobian(f, 3, "x.x xx. xxx")

    def test_fori_loop_with_dynamic_updates(self) -> None:
        def f(x):
            def body(k, y):
                return lax.dynamic_update_slice(
                    y, y[k] * lax.dynamic_slice(y, (k,), (2,)), (k,)
                )

            return lax.fori_loop(0, 2, body, x)

        check_jacobian(f, 3, "x.. xx. xxx")

    @pytest.mark.parametrize("trips", [0, -2])
    def test_no_trip(self, trips: int) -> None:
        check_jacobian(
            lambda x: lax.fori_loop(0, trips, lambda _, y: jnp.cumsum(y), x), 3, DIAGONAL
        )

    def test_no_trip_of_scan(self) -> None:
        def f(x):
            carry, ys = lax.scan(lambda c, _: (c[::-1], c), x, None, length=0)
            return jnp.concatenate([carry, ys.ravel()])

        check_jacobian(f, 3, DIAGONAL)

    def test_scan_over_arrays_of_size_zero(self) -> None:
        def f(x):
            def body(carry, row):
                return carry + jnp.sum(row), row

            carry, rows = lax.scan(body, x, jnp.zeros((2, 0)))
            return jnp.concatenate([carry, rows.ravel()])

        check_jacobian(f, 3, DIAGONAL)

    def test_carry_of_size_zero(self) -> None:
        def f(x):
            empty, ys = lax.scan(lambda c, e: (c * e, e * 2), x[:0], x)
            return jnp.concatenate([empty, ys])

        check_jacobian(f, 3, DIAGONAL)

    def test_carry_becomes_active_late(self) -> None:
        """Dependence takes one step per carry to get to the last."""

        def f(x):
            def body(_, carry):
                return x[0], *carry[:2]

            return jnp.stack(lax.fori_loop(0, 2, body, (0.0, 0.0, 0.0)))

        check_jacobian(f, 3, "x.. x.. ...")

    def test_while_that_writes_at_its_counter(self) -> None:
        def f(x):
            def body(carry):
                k, y = carry
                return k + 1, y.at[k].set(y[k - 1])

            return lax.while_loop(lambda c: c[0] < 3, body, (1, x))[1]

        check_jacobian(f, 3, "x.. x.. x..")

    def test_while_that_writes_at_its_counter_for_an_unknown_time(self) -> None:
        def f(x, stop):
            def body(carry):
                k, y = carry
                return k + 1, y.at[k].set(y[k - 1])

            return lax.while_loop(lambda c: c[0] < stop, body, (1, x))[1]

        check_jacobian(f, (np.ones(3), np.array(2)), FULL)

    def test_while_that_the_inputs_may_end_early(self) -> None:
        def f(x):
            def body(carry):
                k, y = carry
                return k + 1, y.at[k].set(2 * y[k - 1])

            return lax.while_loop(lambda c: (c[0] < 3) & (c[1][0] < 5), body, (1, x))[1]

        check_jacobian(f, 3, FULL)

    @pytest.mark.parametrize("stops", [[0, 2], [2, 2], [0, 0]])
    def test_while_of_a_batch(self, stops: list[int]) -> None:
        """The counter of an element stops with it, and so does what is written there."""

        def f(x, stop):
            def body(carry):
                k, y = carry
                return k + 1, y.at[k + 1].set(y[k])

            init = jnp.zeros((), int), x
            return lax.while_loop(lambda c: c[0] < stop, body, init)[1]

        expected = {0: DIAGONAL, 2: "x.. x.. x.."}
        first, second = (expected[stop].split() for stop in stops)
        rows = [f"{row}..." for row in first] + [f"...{row}" for row in second]
        ends = np.array(stops)
        check_jacobian(
            lambda x: jax.vmap(f)(x.reshape(2, 3), ends).ravel(), 6, " ".join(rows)
        )

    def test_counters_of_a_batch(self) -> None:
        """Indices counted by a loop over a batch of constants, in floating point."""

        def count(stop):
            start = jnp.zeros(())
            return lax.while_loop(lambda k: k < stop, lambda k: k + 0.5, start).astype(int)

        check_jacobian(lambda x: x[jax.vmap(count)(np.array([2.0, 0.0]))], 3, "..x x..")


class TestFirstStep:
    """A carry that starts from zero makes products vanish in the first step only."""

    @pytest.mark.parametrize("reverse", [False, True])
    def test_nested_loops(self, reverse: bool) -> None:
        def f(x):
            def outer(c, now):
                y = lax.scan(lambda y, z: (y + z, None), 0.0, x[:2])[0]
                return c + now, c * y

            return lax.scan(outer, 0.0, x, reverse=reverse)[1]

        check_jacobian(f, 3, "xxx xxx ..." if reverse else "... xx. xx.")

    def test_inner_loop(self) -> None:
        def f(x):
            def outer(_, row):
                return 0.0, lax.scan(lambda c, z: (c + z, jnp.sin(c) * z), 0.0, row)[1]

            return lax.scan(outer, 0.0, x.reshape(2, 2))[1].ravel()

        check_jacobian(f, 4, ".... xx.. .... ..xx")

    def test_several_outputs(self) -> None:
        def f(x):
            def step(c, row):
                return c + row[1], (c * row[0], row)

            product, rows = lax.scan(step, 0.0, x.reshape(2, 2))[1]
            return jnp.concatenate([product, rows.ravel()])

        check_jacobian(f, 4, ".... .xx. x... .x.. ..x. ...x")
