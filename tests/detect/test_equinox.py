"""Functions written with Equinox, and its own loops and primitives.

The pattern holds every nonzero of the dense derivative at several points; where the rules
are meant to be precise, it is written out.
"""

from typing import Any

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import pytest

from .literal import check_jacobian, check_sound

DIAGONAL = "x... .x.. ..x. ...x"
BLOCKS = "xx.. xx.. ..xx ..xx"
FULL = "xxxx xxxx xxxx xxxx"


pytestmark = pytest.mark.usefixtures("standard_promotion")


class TestEquinox:
    @pytest.mark.parametrize(
        ("kind", "steps"), [("lax", None), ("bounded", 8), ("checkpointed", 8)]
    )
    def test_while_loop(self, kind: Any, steps: int | None) -> None:
        def f(x):
            def body(carry):
                k, y = carry
                return k + 1, jnp.sin(y) * x

            return eqxi.while_loop(
                lambda c: c[0] < 3, body, (0, x), max_steps=steps, kind=kind
            )[1]

        check_sound(f, expected=DIAGONAL)

    @pytest.mark.parametrize(
        ("kind", "steps"), [("lax", None), ("bounded", 8), ("checkpointed", 8)]
    )
    def test_buffers(self, kind: Any, steps: int | None) -> None:
        """Rows are written at a counter, which is not followed; columns stay apart."""

        def f(x):
            def body(carry):
                k, y, rows = carry
                return k + 1, y * 2, rows.at[k].set(y * x[:2])

            rows = jnp.zeros((2, 2))
            out = eqxi.while_loop(
                lambda c: c[0] < 2,
                body,
                (0, x[2:], rows),
                max_steps=steps,
                buffers=lambda c: c[2],
                kind=kind,
            )
            return out[2].ravel()

        check_sound(f, expected="x.x. .x.x x.x. .x.x")

    @pytest.mark.parametrize("kind", ["lax", "checkpointed"])
    def test_scan(self, kind: Any) -> None:
        def f(x):
            return eqxi.scan(lambda c, e: (c + e, c * e), 0.0, x, kind=kind)[1]

        check_sound(f)

    def test_vmapped_loop(self) -> None:
        def f(x):
            def count(y):
                step = lambda c: (c[0] + 1, c[1] * y, c[2].at[c[0]].set(c[1]))  # noqa: E731
                start = (0, y, jnp.zeros(3))
                return eqxi.while_loop(
                    lambda c: c[0] < 3,
                    step,
                    start,
                    max_steps=4,
                    buffers=lambda c: c[2],
                    kind="checkpointed",
                )[2][-1]

            return jax.vmap(count)(x)

        check_sound(f, expected=DIAGONAL)

    def test_noinline(self) -> None:
        f = eqxi.noinline(lambda x: x[::-1] ** 2)
        check_jacobian(f, 4, "...x ..x. .x.. x...")
        check_jacobian(
            lambda x: jax.vmap(f)(x.reshape(2, 2)).ravel(), 4, ".x.. x... ...x ..x."
        )

    def test_checks_and_markers(self) -> None:
        def f(x):
            x = eqx.error_if(x, jnp.any(x > 1e9), "large")
            x = eqxi.nondifferentiable_backward(x)
            count = eqxi.unvmap_max(eqxi.nonbatchable(jnp.arange(3)))
            positive = eqxi.unvmap_any(x > 0) & eqxi.unvmap_all(x > -1e9)
            return jnp.where(positive, x, x[::-1]) * count

        check_jacobian(f, 4, "x..x .xx. .xx. x..x")

    def test_custom_derivatives(self) -> None:
        @eqx.filter_custom_vjp
        def f(x):
            return jnp.sort(x)

        f.def_fwd(lambda perturbed, x: (jnp.sort(x), None))
        f.def_bwd(lambda residuals, g, perturbed, x: g[::-1])
        check_jacobian(f, 4, "...x ..x. .x.. x...")

        @eqx.filter_custom_jvp
        def g(x):
            return jnp.sort(x)

        g.def_jvp(lambda primals, tangents: (g(*primals), tangents[0] * 2))
        check_jacobian(g, 4, DIAGONAL)

    def test_module(self) -> None:
        network = eqx.nn.MLP(2, 2, 3, 1, key=jax.random.key(0))
        check_jacobian(lambda x: jax.vmap(network)(x.reshape(2, 2)).ravel(), 4, BLOCKS)

    def test_filtered_transformations(self) -> None:
        def f(x):
            y = eqx.filter_jit(lambda x: x**2)(x)
            y = eqx.filter_checkpoint(lambda y: y * x)(y)
            return eqx.filter_vmap(jnp.sin)(y) + eqx.filter_grad(lambda x: jnp.sum(x**3))(x)

        check_jacobian(f, 4, DIAGONAL)
