"""Functions that treat each element by itself, or pairs of elements under broadcasting."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy import special

from .table import family, followed_by, normal, uniform

register, case = family("elementwise")

MASK = np.array([True, False, True, True, False])
WEIGHTS = np.array([2.0, 0.0, -1.0, 0.0, 3.0])


@case(normal(3))
def smooth(x: Array) -> Array:
    functions = (
        *(jnp.sin, jnp.cos, jnp.tan, jnp.tanh, jnp.exp, jnp.expm1, jnp.exp2, jnp.cbrt),
        *(jnp.arctan, jnp.sinh, jnp.cosh, jnp.arcsinh, jnp.sinc, jnp.square),
        *(special.erf, special.erfc, lax.logistic, jnp.reciprocal),
    )
    return jnp.stack([function(x) for function in functions])


@case(uniform(0.1, 0.9, 3), edges=False)
def smooth_on_unit_interval(x: Array) -> Array:
    functions = (
        *(jnp.log, jnp.sqrt, lax.rsqrt, jnp.log1p, jnp.arcsin, jnp.arccos, jnp.arctanh),
        *(special.gammaln, special.digamma, special.erfinv, special.ndtri, special.i0e),
        *(special.logit, special.entr, special.i1e),
    )
    return jnp.stack([function(x) for function in functions])


@case(normal(4), core=True)
def piecewise_constant(x: Array) -> Array:
    parts = (jnp.floor(x), jnp.ceil(x), jnp.round(x), jnp.sign(x), x > 0, jnp.trunc(x))
    return jnp.stack([part.astype(x.dtype) for part in parts])


@case(normal(4))
def piecewise_linear(x: Array) -> Array:
    return jnp.stack([jnp.abs(x), jax.nn.relu(x), jnp.clip(x, -1, 1), jax.nn.leaky_relu(x)])


register("pow", lambda x, y: x**y, uniform(0.5, 2, 3, 3), argnums=(0, 1))
register("integer_pow", lambda x: x**3 - x**-2 + x**0, uniform(0.5, 2, 4))
register("pow_static", lambda x: x**2.5, uniform(0.5, 2, 4))
register("sub_div", lambda x, y: (x - y) / y, uniform(1, 2, 4, 4), argnums=(0, 1))
register("atan2", lambda x, y: jnp.arctan2(x, y), normal(4, 4), argnums=(0, 1))
register("hypot", lambda x: jnp.hypot(x[:3], x[3:]), normal(6))
register("max_min", lambda x: jnp.maximum(x[:3], jnp.minimum(x[3:], 0.5)), normal(6))
register("logaddexp", lambda x: jnp.logaddexp(x[:3], x[3:]), normal(6))
register("rem", lambda x: jnp.fmod(9 * x[:3], 1 + x[3:] ** 2), normal(6))
register("divmod", lambda x: jnp.divmod(9 * x[:3], 1 + x[3:] ** 2), normal(6))
register("copysign", lambda x: jnp.copysign(x[:3], x[3:]), normal(6))
register("nan_to_num", lambda x: jnp.nan_to_num(x) * 2, normal(4))
register("gelu", lambda x: jax.nn.gelu(x) + jax.nn.softplus(x), normal(4))
register("polyval", lambda x: jnp.polyval(np.array([1.0, 0, -2, 3]), x), normal(4))
register("heaviside", lambda x: jnp.heaviside(x, 0.5) * x, normal(4))
register("constant", lambda x: jnp.arange(3.0) + 0 * x[0], normal(4))
register("identity", lambda x: x, normal(4))
register("zero_times", lambda x: x * 0, normal(4))
register("times_weights", lambda x: x * WEIGHTS, normal(5), core=True)
register("weights_times_sum", lambda x: jnp.sum(x) * WEIGHTS, normal(5))
register("over_mask", lambda x: x * MASK.astype(x.dtype), normal(5))
register("gammainc", lambda x: special.gammainc(2.0, x), uniform(1, 2, 3), edges=False)
register("beta", lambda x: special.betainc(2.0, 3.0, x), uniform(0.2, 0.8, 3), edges=False)


@case(normal(3, 4), argnums=(0, 1), core=True)
def outer_product(x: Array, y: Array) -> Array:
    return x[:, None] * y[None, :]


@case(normal((2, 3), 3), argnums=(0, 1))
def broadcast_row(x: Array, y: Array) -> Array:
    return x + jnp.sin(y)


@case(normal(5), core=True)
def where_known(x: Array) -> Array:
    return jnp.where(MASK, jnp.sin(x), x[::-1])


@case(normal(5))
def where_traced(x: Array) -> Array:
    return jnp.where(x > 0, x**2, jnp.roll(x, 1))


@case(normal(5))
def where_guard(x: Array) -> Array:
    positive = x > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, x, 1)), 0)


@case(followed_by(normal(5), MASK), exact="no")
def where_mask_argument(x: Array, mask: Array) -> Array:
    return jnp.where(mask, x, x[0])


@case(normal(5))
def select_of_three(x: Array) -> Array:
    which = np.array([0, 1, 2, 1, 0])
    return lax.select_n(which, x, x[::-1], jnp.full_like(x, 2))


@case(normal(5))
def select_scalar_predicate(x: Array) -> Array:
    return lax.select(x[4] > 0, x[:2], x[2:4])


@case(normal(6))
def clip_traced_bounds(x: Array) -> Array:
    return jnp.clip(x[:2], x[2:4], x[4:])


@case(normal(4))
def piecewise(x: Array) -> Array:
    return jnp.piecewise(
        x, [x < -1, x > 1], [lambda y: -y, lambda y: y**2, lambda y: 0.5 + 0 * y]
    )


@case(normal(4))
def select_conditions(x: Array) -> Array:
    return jnp.select([x > 1, x > 0], [x**2, x[::-1]], default=0.0)


@case(normal(4), core=True)
def stop_gradient(x: Array) -> Array:
    return x * lax.stop_gradient(jnp.sum(x)) + lax.stop_gradient(x**2)


@case(normal(4))
def integer_round_trip(x: Array) -> Array:
    return x + (10 * x).astype(np.int32).astype(x.dtype)


@case(normal(4), tolerance=1e-2)
def bfloat16_round_trip(x: Array) -> Array:
    return jnp.sin(x.astype(jnp.bfloat16)).astype(x.dtype) * x[::-1]


@case(normal(4), tolerance=1e-3)
def float16_and_float32(x: Array) -> Array:
    low = x[:2].astype(np.float16) + x[2:].astype(np.float32)
    return low.astype(x.dtype) * x[:2]


@case(normal(4))
def reduce_precision(x: Array) -> Array:
    return lax.reduce_precision(x, exponent_bits=8, mantissa_bits=10) * 2


@case(normal(4))
def nextafter(x: Array) -> Array:
    return jnp.nextafter(lax.stop_gradient(x), jnp.inf) * x


@case(normal(4))
def bitcast(x: Array) -> Array:
    bits = lax.bitcast_convert_type(x.astype(np.float32), np.int32)
    return x * lax.bitcast_convert_type(bits, np.float32).astype(x.dtype)


@case(normal(6), core=True)
def complex_intermediate(x: Array) -> Array:
    z = lax.complex(x[:3], x[3:]) ** 2
    return jnp.concatenate([jnp.real(z), jnp.imag(jnp.conj(z))])


@case(normal(6))
def complex_modulus(x: Array) -> Array:
    z = jnp.exp(1j * x[:3]) * x[3:]
    return jnp.abs(z + 2) + jnp.angle(z + 3)


@case(normal(4))
def real_part_of_real(x: Array) -> Array:
    return jnp.real(x) + jnp.imag(x)


@case(normal(4), exact="no")
def cancellation(x: Array) -> Array:
    return (x + x[0]) - x[0]
