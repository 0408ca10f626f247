"""Programs in which a careless detection misses entries, with their patterns written out.

Each pattern is the exact one, unless a comment says what is more than needed.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.lax import GatherScatterMode as Mode

import asdex

from .literal import check_hessian, check_jacobian, pattern_text

DIAGONAL = "x.. .x. ..x"
REVERSED = "..x .x. x.."
FULL = "xxx xxx xxx"


def _gathered(mode: Mode, indices: list[int], **kwargs: Any) -> Any:
    numbers = lax.GatherDimensionNumbers((), (0,), (0,))
    starts = np.asarray(indices)[:, None]
    return lambda x: lax.gather(x, starts, numbers, (1,), mode=mode, **kwargs)


class TestIndices:
    @pytest.mark.parametrize(
        ("mode", "expected"),
        [
            ("clip", "x.. x.. ..x ..x"),
            ("fill", "... x.. ..x ..."),
            ("wrap", "..x x.. ..x x.."),
        ],
    )
    def test_take_out_of_bounds(self, mode: Any, expected: str) -> None:
        indices = jnp.array([-1, 0, 2, 3])
        numbers = {"clip": Mode.CLIP, "fill": Mode.FILL_OR_DROP}
        if mode == "wrap":
            check_jacobian(lambda x: jnp.take(x, indices, mode="wrap"), 3, expected)
        else:
            check_jacobian(_gathered(numbers[mode], [-1, 0, 2, 3]), 3, expected)

    def test_negative_indices_of_numpy(self) -> None:
        check_jacobian(lambda x: x[jnp.array([-1, -3])], 3, "..x x..")

    @pytest.mark.parametrize(
        ("mode", "expected"),
        [
            (Mode.CLIP, "x..x. .x... ..x.x"),
            (Mode.FILL_OR_DROP, "x.... .x... ..x.."),
        ],
    )
    def test_add_out_of_bounds(self, mode: Mode, expected: str) -> None:
        """Elements 3 and 4 are added at -1 and 5."""
        numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
        starts = np.array([[-1], [5]])

        def f(x):
            return lax.scatter_add(x[:3], starts, x[3:], numbers, mode=mode)

        check_jacobian(f, 5, expected)

    def test_window_that_does_not_fit(self) -> None:
        """A write of two elements at 2 of 3 moves to 1, or is dropped as a whole."""
        numbers = lax.ScatterDimensionNumbers((0,), (), (0,))

        def f(x, mode):
            return lax.scatter(x[:3], np.array([2]), x[3:], numbers, mode=mode)

        check_jacobian(partial(f, mode=Mode.CLIP), 5, "x.... ...x. ....x")
        check_jacobian(partial(f, mode=Mode.FILL_OR_DROP), 5, "x.... .x... ..x..")

    def test_dynamic_slice_is_clamped(self) -> None:
        check_jacobian(lambda x: lax.dynamic_slice(x, (7,), (2,)), 3, ".x. ..x")
        check_jacobian(lambda x: lax.dynamic_slice(x, (-7,), (2,)), 3, "x.. .x.")

    def test_duplicate_indices(self) -> None:
        index = jnp.array([1, 1])
        check_jacobian(lambda x: jnp.zeros(3).at[index].add(x[:2]), 3, "... xx. ...")
        # Which of two writes wins is not defined, so both count.
        check_jacobian(lambda x: jnp.zeros(3).at[index].set(x[:2]), 3, "... xx. ...")
        check_jacobian(lambda x: x.at[index].subtract(x[:2]), 3, "x.. xx. ..x")
        check_jacobian(lambda x: x.at[index].max(x[1:]), 3, "x.. .xx ..x")

    def test_division_and_remainder(self) -> None:
        def f(x):
            k = jnp.arange(-4, 5)
            return jnp.concatenate(
                [x[k % 3], x[k // 3], x[lax.rem(k, 3)], x[lax.div(k, 3)]]
            )

        remainders = "..x x.. .x. ..x x.. .x. ..x x.. .x."
        quotients = ".x. ..x ..x ..x x.. x.. x.. .x. .x."
        signed = "..x x.. .x. ..x x.. .x. ..x x.. .x."
        truncated = "..x ..x x.. x.. x.. x.. x.. .x. .x."
        check_jacobian(f, 3, f"{remainders} {quotients} {signed} {truncated}")

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64, np.int64])
    def test_dtypes(self, dtype: Any) -> None:
        index = jnp.array([2, 0], dtype)
        check_jacobian(lambda x: x[index], 3, "..x x..")
        check_jacobian(lambda x: x.at[index].add(x[:2]), 3, "xx. .x. x.x")
        check_jacobian(lambda x: lax.dynamic_index_in_dim(x, index[0]), 3, "..x")

    def test_unsigned_constant_that_is_taken_for_negative(self) -> None:
        """XLA starts at 0 if the start is a constant, and at the end otherwise."""
        start = jnp.array(2**32 - 1, np.uint32)
        check_jacobian(lambda x: lax.dynamic_slice(x, (start,), (1,)), 3, "xxx")
        check_jacobian(
            lambda x, start: lax.dynamic_slice(x, (start,), (1,)),
            (np.ones(3), start),
            "xxx",
        )

    def test_largest_unsigned_index(self) -> None:
        index = jnp.array([2**64 - 1], np.uint64)
        # JAX makes it a signed index, which is negative.
        check_jacobian(lambda x: x.at[index].get(mode="clip"), 3, "x..")


class TestOuterTransformations:
    """Inside a trace, values that are closed over are tracers: not known yet."""

    TRANSFORMATIONS = (
        jax.jit,
        jax.grad,
        jax.vmap,
        lambda f: lambda a: lax.scan(lambda c, e: (c, f(e)), 0.0, a),
    )

    def outer(self, transformation: Any, f: Any, *args: Any) -> str:
        found = []

        def traced(*args):
            pattern = asdex.jacobian_sparsity(lambda x: f(x, *args), np.ones(3))
            found.append(pattern_text(pattern))
            return sum(jnp.sum(arg) for arg in args)

        transformation(traced)(*args)
        return found[0]

    @pytest.mark.parametrize("transformation", TRANSFORMATIONS)
    def test_traced_constant(self, transformation: Any) -> None:
        sample = np.zeros(()) if transformation in (jax.jit, jax.grad) else np.zeros(2)
        found = self.outer(transformation, lambda x, a: x * a + x[::-1] * 0.0, sample)
        assert found == DIAGONAL.replace(" ", "\n")

    def test_traced_index(self) -> None:
        found = self.outer(jax.jit, lambda x, k: x.at[k].set(0.0)[:1], np.array(1))
        assert found == "x.."
        found = self.outer(jax.jit, lambda x, k: x[k] * x[:1], np.array(1))
        assert found == "xxx"

    def test_traced_length(self) -> None:
        def f(x, steps):
            return lax.fori_loop(0, steps, lambda _, y: jnp.roll(y, 1), x)

        assert self.outer(jax.jit, f, np.array(1)) == FULL.replace(" ", "\n")

    def test_traced_kernel(self) -> None:
        kernel = np.array([1.0, 0.0, 0.0])
        found = self.outer(jax.jit, lambda x, k: jnp.convolve(x, k, mode="same"), kernel)
        assert found == "xx.\nxxx\n.xx"

    def test_large_constant_stays_on_its_device(self, monkeypatch: Any) -> None:
        """Only values that decide the pattern are looked at."""
        weights = jnp.ones((3, 3))
        copied = []
        monkeypatch.setattr(
            type(weights), "__array__", lambda *_, **__: copied.append(1) or 1 / 0
        )
        check_jacobian(lambda x: jnp.sin(x) + jnp.exp(weights)[0], 3, DIAGONAL)
        assert not copied


class TestOtherArguments:
    def test_dtypes_of_what_is_not_differentiated(self) -> None:
        def f(x, count, flag, weights, small):
            return jnp.where(flag, x * weights, x[::-1]) * count.astype(
                x.dtype
            ) + small.astype(x.dtype)

        samples = (
            np.ones(3),
            np.array(2),
            np.array(True),
            np.ones(3),
            np.ones((), np.float16),
        )
        check_jacobian(f, samples, "x.x .x. x.x")

        def g(x, *others):
            return jnp.sum(f(x, *others) ** 2)

        check_hessian(g, samples, "x.x .x. x.x")

    def test_loop_bound(self) -> None:
        def f(x, bound):
            return lax.fori_loop(0, bound, lambda i, y: y.at[0].add(x[1]), x)

        check_jacobian(f, (np.ones(3), np.array(2)), "xx. .x. ..x")

    def test_loop_bound_from_input(self) -> None:
        def f(x):
            bound = x[2].astype(int)
            return lax.fori_loop(0, bound, lambda i, y: y.at[0].add(x[1]), x)

        check_jacobian(f, 3, "xx. .x. ..x")

    def test_index_from_input(self) -> None:
        check_jacobian(lambda x: x[:2].at[x[2].astype(int)].set(x[0]), 3, "x.. xx.")

    def test_kernel_from_input(self) -> None:
        def f(x):
            return jnp.convolve(jnp.array([1.0, 0.0, 2.0]), x, mode="valid")

        # An element of the kernel counts although the image is zero there.
        check_jacobian(f, 3, "xxx")


class TestElsewhere:
    """What is found on one machine holds on all of them."""

    def test_branch_per_platform(self) -> None:
        def f(x):
            return lax.platform_dependent(
                x, cpu=lambda x: x * 2, cuda=lambda x: x[::-1], default=lambda x: x * 3
            )

        check_jacobian(f, 3, "x.x .x. x.x")

    def test_generator_of_the_device(self) -> None:
        def f(x):
            state = jnp.zeros(4, np.uint32)
            bits = lax.rng_bit_generator(state, (3,), np.uint32)[1]
            return jnp.where(bits > 2**31, x, x[::-1])

        check_jacobian(f, 3, "x.x .x. x.x")


class TestModes:
    """The automatic mode is one that JAX can use."""

    def test_custom_vjp(self) -> None:
        @jax.custom_vjp
        def f(x):
            return jnp.sin(x)

        f.defvjp(lambda x: (f(x), x), lambda x, g: (g * jnp.cos(x),))
        tall = lambda x: jnp.concatenate([f(x)[:1] * x, f(x)])  # noqa: E731
        assert asdex.jacobian_coloring(tall, np.ones(3)).mode == "rev"
        with pytest.raises(ValueError, match="mode='fwd' is impossible"):
            asdex.jacobian_coloring(tall, np.ones(3), mode="fwd")

    def test_while(self) -> None:
        def f(x):
            return lax.while_loop(lambda y: y[0] > 1, lambda y: y / 2, x)[:1]

        assert asdex.jacobian_coloring(f, np.ones(3)).mode == "fwd"
        with pytest.raises(ValueError, match="mode='rev' is impossible"):
            asdex.jacobian_coloring(f, np.ones(3), mode="rev")

    def test_while_that_no_input_enters(self) -> None:
        def f(x, k):
            k = lax.while_loop(lambda k: k < 10, lambda k: k * 2, k)
            return jnp.sum(x) * jnp.ones(1) * k.astype(x.dtype)

        coloring = asdex.jacobian_coloring(f, np.ones(3), np.array(2))
        assert coloring.mode == "rev"


class TestDtypes:
    @pytest.mark.parametrize("x64", [True, False])
    @pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float32, np.float64])
    def test_widths(self, x64: bool, dtype: Any) -> None:
        with jax.enable_x64(x64):
            sample = np.ones(3, dtype)
            check_jacobian(lambda x: x[jnp.array([2, 0])] * 2 * x[1], (sample,), ".xx xx.")

    def test_weak_types(self) -> None:
        check_jacobian(lambda x: jnp.stack([x * 2, 1.0 * x]), (2.0,), "x x")

    def test_complex_intermediates(self) -> None:
        def f(x):
            z = lax.complex(x[:2], x[1:])
            return jnp.concatenate([jnp.real(z * 1j), jnp.abs(z) ** 2])

        check_jacobian(f, 3, ".x. ..x xx. .xx")

    def test_empty_trees(self) -> None:
        def f(tree, nothing, empty):
            return {"a": tree["x"][::-1], "b": (), "c": None}

        sample = {"x": np.ones(3), "y": None, "z": []}
        check_jacobian(f, (sample, None, {}), REVERSED)


def test_slices_of_an_undetermined_constant() -> None:
    """Which of two updates of one element wins depends on the device: neither is sure."""

    def f(x):
        undetermined = jnp.zeros(3).at[jnp.array([0, 0, 1])].set(jnp.array([1.0, 0.0, 3.0]))
        return lax.scan(lambda i, element: (i + 1, x[i] * element), 0, undetermined)[1]

    check_jacobian(f, 3, "x.. .x. ...")
