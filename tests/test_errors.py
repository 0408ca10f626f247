"""Wrong use is refused, and the message says which argument, what came and what to do."""

# pyright: reportArgumentType=false

import functools
import inspect
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex
from asdex._call.arguments import OPTIONS

pytestmark = [
    pytest.mark.usefixtures("without_annotation_checks", "standard_promotion"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
]

X = jnp.linspace(1.0, 2.0, 4)
INTEGERS = jnp.arange(4)


def f(x: jax.Array) -> jax.Array:
    return x**2


def g(x: jax.Array) -> jax.Array:
    return jnp.sum(x**3)


JACOBIANS = [asdex.jacobian, asdex.value_and_jacobian, asdex.compressed_jacobian]
HESSIANS = [asdex.hessian, asdex.value_and_hessian, asdex.compressed_hessian]


@pytest.mark.parametrize("verb", [*JACOBIANS, asdex.jacobian_coloring])
def test_unknown_jacobian_mode(verb: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"mode 'sideways'. Expected 'fwd' or 'rev'"):
        verb(f, X, mode="sideways")


@pytest.mark.parametrize("verb", [*HESSIANS, asdex.hessian_coloring])
def test_unknown_hessian_mode(verb: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"'fwd'. Expected 'fwd_over_rev', "):
        verb(g, X, mode="fwd")


def test_unknown_format() -> None:
    coloring, unknown = asdex.jacobian_coloring(f, X), cast(Any, "csr")
    for build in (
        lambda: asdex.jacobian(f, X, output_format=unknown),
        lambda: asdex.hessian(g, X, output_format=unknown),
        lambda: asdex.jacobian_from_coloring(f, coloring, unknown),
        lambda: asdex.decompress(jnp.ones((1, 4)), coloring, unknown),
    ):
        with pytest.raises(ValueError, match=r"output_format 'csr'. Expected 'bcoo', "):
            build()


@pytest.mark.parametrize("chunk_size", [0, -1])
def test_chunk_size_must_be_positive(chunk_size: int) -> None:
    with pytest.raises(ValueError, match=r"chunk_size must be positive"):
        asdex.jacobian(f, X, chunk_size=chunk_size)


def test_functions_and_colorings_of_the_wrong_type() -> None:
    with pytest.raises(TypeError, match=r"f must be callable"):
        asdex.jacobian(X, X)
    with pytest.raises(TypeError, match=r"f must be callable"):
        asdex.jacobian_from_coloring(None, asdex.jacobian_coloring(f, X))
    with pytest.raises(TypeError, match=r"coloring must be a ColoredPattern. Got Sparsity"):
        asdex.jacobian_from_coloring(f, asdex.jacobian_sparsity(f, X))


def test_coloring_of_the_wrong_kind() -> None:
    with pytest.raises(ValueError, match=r"A Jacobian needs a coloring of mode 'fwd' or"):
        asdex.jacobian_from_coloring(f, asdex.hessian_coloring(g, X))
    with pytest.raises(ValueError, match=r"mode 'fwd'. Make it with hessian_coloring"):
        asdex.hessian_from_coloring(g, asdex.jacobian_coloring(f, X))


def test_coloring_of_another_function() -> None:
    derivative = asdex.jacobian_from_coloring(
        lambda x: x[1:], asdex.jacobian_coloring(f, X)
    )
    with pytest.raises(ValueError, match=r"returns 3 numbers, but .* 4 rows"):
        derivative(X)


def test_symmetric_coloring_needs_a_symmetric_pattern() -> None:
    with pytest.raises(ValueError, match=r"square"):
        asdex.jacobian(lambda x: x[1:], X, symmetric=True)
    with pytest.raises(ValueError, match=r"symmetric"):
        asdex.jacobian(lambda x: jnp.cumsum(x), X, symmetric=True)


# -- Arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argnums", "error", "match"),
    [
        (1, ValueError, "argnums=1 is out of range: .* 1 argument"),
        (-2, ValueError, "argnums=-2 is out of range"),
        ((0, 0), ValueError, "more than once"),
        ((), ValueError, "selects no array"),
        (0.5, TypeError, "argnums must be an int or a sequence of ints"),
        ("0", TypeError, "argnums must be an int or a sequence of ints"),
        (True, TypeError, "argnums must be an int or a sequence of ints"),
    ],
)
def test_argnums(argnums: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        asdex.jacobian(f, X, argnums=argnums)


@pytest.mark.parametrize("sample", [None, "name", 3, {}, [None, "name"]])
def test_zero_selected_inputs(sample: Any) -> None:
    with pytest.raises(ValueError, match=r"argnums=1 selects no array"):
        asdex.jacobian_sparsity(lambda x, other: x, X, sample, argnums=1)


@pytest.mark.parametrize("shape", [4, (4,), (2, 2)])
def test_a_shape_in_place_of_a_sample(shape: Any) -> None:
    for verb in (asdex.jacobian, asdex.jacobian_sparsity, asdex.hessian_coloring):
        with pytest.raises(ValueError, match=r"Did you mean input_shape=") as caught:
            verb(f, shape)
        assert f"input_shape={shape!r}?" in str(caught.value)
    with pytest.raises(ValueError, match="Select an argument that holds floats"):
        asdex.jacobian(f, ())


@pytest.mark.parametrize(
    ("option", "meant"),
    [("argnum", "argnums"), ("output_fmt", "output_format"), ("chunksize", "chunk_size")],
)
def test_a_misspelt_option(option: str, meant: str) -> None:
    verbs: list[Any] = [asdex.jacobian, asdex.hessian, asdex.jacobian_sparsity]
    for verb in verbs:
        with pytest.raises(TypeError, match=f"{option!r} is neither .* option {meant!r}?"):
            verb(f, X, **{option: 1})
    with pytest.raises(TypeError, match=r"'zzz' is neither .* of the function\.$"):
        cast(Any, asdex.jacobian)(f, X, zzz=1)


def test_all_options_are_known_where_one_is_misspelt() -> None:
    verbs = (*JACOBIANS, *HESSIANS, asdex.hessian_coloring, asdex.explain_sparsity)
    names = {name for verb in verbs for name in inspect.signature(verb).parameters}
    given = {"f", "args", "kwargs", "sample_args", "sample_kwargs"}
    assert names - given | {"input_shape"} == {*OPTIONS}


def test_samples_that_do_not_fit_the_signature() -> None:
    with pytest.raises(TypeError, match=r"required argument: 'x'.*asdex.jacobian\(f, x\)"):
        asdex.jacobian(f)
    with pytest.raises(TypeError, match=r"missing a required argument: 'y'.$"):
        asdex.jacobian(lambda x, y: x, X)
    with pytest.raises(TypeError, match=r"too many positional arguments"):
        asdex.jacobian(f, X, X)
    with pytest.raises(TypeError, match=r"either sample arguments or input_shape"):
        asdex.jacobian(f, X, input_shape=4)


def test_number_of_arguments_of_a_call() -> None:
    derivative = asdex.jacobian(lambda x, y=0.0: x + y, X)
    with pytest.raises(TypeError, match=r"Expected 1 positional argument\(s\)"):
        derivative(X, 1.0)
    with pytest.raises(TypeError, match=r"Expected 1 positional argument\(s\).*missing"):
        derivative()


def test_shape_and_structure_of_a_call() -> None:
    derivative = asdex.jacobian(lambda x: x["a"] * 2, {"a": X})
    with pytest.raises(ValueError, match=r"x\['a'\]: shape \(3,\) does not match expected"):
        derivative({"a": X[:3]})
    with pytest.raises(ValueError, match=r"pytree structure"):
        derivative({"b": X})
    with pytest.raises(TypeError, match=r"x\['a'\] must be an array of shape \(4,\)"):
        derivative({"a": "text"})


def test_dtype_of_a_call() -> None:
    derivative = asdex.jacobian(lambda x, i: x * i, X, INTEGERS)
    with pytest.raises(TypeError, match=r"i: dtype float64 does not match expected int64"):
        derivative(X, X)
    np.testing.assert_array_equal(
        derivative(X, INTEGERS.astype(jnp.int32)).todense(), jnp.diag(INTEGERS)
    )
    scaled = asdex.jacobian(lambda x, dt: x**2 * dt, X, 0.5, output_format="dense")
    for call in (scaled, jax.jit(scaled)):
        np.testing.assert_array_equal(call(X, 2), 4 * np.diag(X))
        with pytest.raises(TypeError, match="dt: dtype int64 does not match expected"):
            call(X, np.int64(2))
    # `imag` is zero for real samples, so complex values would lack entries.
    derivative = asdex.jacobian(lambda x, z: x * jnp.imag(z), X, X)
    with pytest.raises(TypeError, match=r"complex128 does not match expected float64"):
        derivative(X, X + 1j)


def test_static_values_of_a_call() -> None:
    derivative = asdex.jacobian(lambda x, n: x[:n], X, 2)
    with pytest.raises(ValueError, match=r"lacks entry \(2, 2\).*a static argument"):
        derivative(X, 3)
    with pytest.raises(ValueError, match="returns 1 numbers"):
        derivative(X, 1)
    with pytest.raises(TypeError, match=r"n was 2 .* Got True"):
        derivative(X, True)
    with pytest.raises(TypeError, match=r"n was 2 in the samples"):
        jax.jit(derivative)(X, 2)


# -- Dtypes ------------------------------------------------------------------------------


def test_integers_need_allow_int_and_reverse_mode() -> None:
    for verb in JACOBIANS:
        with pytest.raises(TypeError, match=r"Pass x.astype\(float\), or allow_int=True"):
            verb(f, INTEGERS)
        with pytest.raises(
            TypeError, match=r"but rest\[1\]\['k'\] has dtype int64. Pass r"
        ):
            verb(lambda x, *rest: x, X, X, {"k": INTEGERS}, argnums=2)
    with pytest.raises(TypeError, match=r"Pass x.astype\(float\)"):
        asdex.materialize(f, INTEGERS)
    with pytest.raises(ValueError, match=r"mode='fwd' is impossible"):
        asdex.jacobian_coloring(f, INTEGERS, mode="fwd")
    pattern = asdex.SparsityPattern.from_coo(
        [], [], (4, 4), input_avals=(jax.ShapeDtypeStruct((4,), jnp.int64),)
    )
    coloring = asdex.jacobian_coloring_from_sparsity(pattern, mode="fwd")
    with pytest.raises(TypeError, match=r"not supported in forward mode"):
        asdex.jacobian_from_coloring(f, coloring, allow_int=True)


def test_a_call_cannot_swap_integers_and_floats() -> None:
    derivative = asdex.jacobian(f, X, mode="rev", allow_int=True)
    with pytest.raises(TypeError, match=r"does not match expected float64"):
        derivative(INTEGERS)
    derivative = asdex.jacobian(f, INTEGERS, allow_int=True)
    with pytest.raises(TypeError, match=r"does not match expected int64"):
        derivative(X)


@pytest.mark.parametrize("verb", HESSIANS)
def test_hessians_refuse_integers(verb: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"not supported for Hessians"):
        verb(g, X, allow_int=True)
    with pytest.raises(TypeError, match=r"not supported for Hessians: x has dtype int64. "):
        verb(g, INTEGERS)
    with pytest.raises(TypeError, match=r"not supported for Hessians"):
        asdex.hessian_from_coloring(g, asdex.hessian_coloring(g, X))(INTEGERS)


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_complex_numbers_need_holomorphic(mode: Any) -> None:
    z = X + 1j
    with pytest.raises(TypeError, match=r"pass holomorphic=True"):
        asdex.jacobian(f, z, mode=mode)(z)
    with pytest.raises(TypeError, match=r"holomorphic=True needs inputs of complex dtype"):
        asdex.jacobian(f, X, mode=mode, holomorphic=True)(X)
    with pytest.raises(TypeError, match=r"holomorphic=True needs outputs of complex dtype"):
        asdex.jacobian(lambda z: z.real, z, mode=mode, holomorphic=True)(z)


def test_complex_outputs_of_real_inputs() -> None:
    found = asdex.jacobian(lambda x: x * 1j, X)(X).todense()
    np.testing.assert_array_equal(found, jnp.eye(4) * 1j)
    with pytest.raises(ValueError, match=r"mode='rev' is impossible"):
        asdex.jacobian(lambda x: x * 1j, X, mode="rev")


# -- Functions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb", [*HESSIANS, asdex.hessian_sparsity, asdex.hessian_coloring]
)
def test_hessians_need_a_scalar(verb: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"returns shape \(4,\)"):
        verb(f, X)
    with pytest.raises(ValueError, match=r"returns a PyTree"):
        verb(lambda x: {"loss": x.sum()}, X)
    with pytest.raises(TypeError, match=r"returns int64"):
        verb(lambda x: jnp.argmax(x), X)


def test_has_aux_needs_a_pair() -> None:
    with pytest.raises(TypeError, match=r"must return a pair \(output, aux\)"):
        asdex.jacobian(f, X, has_aux=True)


def test_functions_that_cannot_be_traced() -> None:
    def branches(x: jax.Array, flag: float) -> jax.Array:
        return x if flag > 0 else 2 * x

    def escapes(x: jax.Array) -> jax.Array:
        return jnp.asarray(np.sin(np.asarray(x)))

    for fun, samples in ((branches, (X, 1.0)), (escapes, (X,))):
        with pytest.raises(jax.errors.JAXTypeError) as caught:
            asdex.jacobian(fun, *samples)
        assert "abstract values" in "".join(caught.value.__notes__)


def test_floats_that_must_be_static() -> None:
    """A Python float is an array for asdex, but not for this function."""
    scaled = jax.jit(lambda x, scale: x * scale, static_argnames="scale")
    with pytest.raises(ValueError, match="static arguments") as caught:
        asdex.jacobian(scaled, X, 2.0)
    assert "functools.partial" in "".join(caught.value.__notes__)
    derivative = asdex.jacobian(functools.partial(scaled, scale=2.0), X)
    np.testing.assert_array_equal(derivative(X).todense(), 2 * jnp.eye(4))


def test_outputs_that_are_no_arrays() -> None:
    with pytest.raises(TypeError, match=r"text"):
        asdex.jacobian(lambda x: (x, "text"), X)


@jax.custom_vjp
def reverse_only(x: jax.Array) -> jax.Array:
    return x**2


reverse_only.defvjp(lambda x: (x**2, x), lambda x, ct: (2 * x * ct,))


def loop(x: jax.Array) -> jax.Array:
    return jax.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 2), (0, x))[1]


def test_modes_that_jax_cannot_use() -> None:
    assert asdex.jacobian_coloring(reverse_only, X).mode == "rev"
    assert asdex.jacobian_coloring(loop, X).mode == "fwd"
    with pytest.raises(ValueError, match=r"mode='fwd' is impossible .* possible is 'rev'"):
        asdex.jacobian(reverse_only, X, mode="fwd")
    with pytest.raises(ValueError, match=r"mode='rev' is impossible .* possible is 'fwd'"):
        asdex.jacobian(loop, X, mode="rev")
    with pytest.raises(ValueError, match=r"neither forward nor in reverse"):
        asdex.jacobian(lambda x: loop(reverse_only(x)), X)


def test_host_formats_cannot_be_made_under_jit() -> None:
    for output_format in ("numpy_dense", "scipy_coo", "scipy_csr", "scipy_csc"):
        derivative = asdex.jacobian(f, X, output_format=output_format)
        with pytest.raises(TypeError, match=r"cannot be made inside"):
            jax.jit(derivative)(X)
