"""What the formats of a result cost, compared with the values alone; and small functions.

The first table compares one evaluation in each format with `decompress_data`, which is
what all of them need. JAX formats are jitted by the caller; for the others asdex traces
the function at every call, and compiles it once. The second table compares jitted dense
results with those of JAX where there is nothing to save.

On two busy cores at n = 1e5, in multiples of the values alone: BCOO 0.8 to 1.2, BCSR 0.7;
SciPy's formats take 8 to 20 ms more for the trace. Small functions take 0.5 to 1.2 times
as long as with dense JAX.
"""

import warnings

import jax
import jax.numpy as jnp

import asdex

from .timing import once, together

FORMATS = ("bcoo", "bcsr", "numpy_dense", "scipy_coo", "scipy_csr", "scipy_csc")
JITTED = ("bcoo", "bcsr", "dense")
REPEATS = 50


def differences(x: jax.Array) -> jax.Array:
    return (x[1:] - x[:-1]) ** 2


def rosenbrock(x: jax.Array) -> jax.Array:
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


WEIGHTS = jnp.sin(jnp.arange(64.0)).reshape(8, 8)
SMALL = {
    "differences": differences,
    "cumsum": jnp.cumsum,
    "sin": jnp.sin,
    "softmax": jax.nn.softmax,
    "layer": lambda x: jnp.tanh(WEIGHTS @ x),
    "normalize": lambda x: x / jnp.linalg.norm(x),
    "rosenbrock": rosenbrock,
    "quadratic": lambda x: x @ (WEIGHTS @ x),
    "sum of squares": lambda x: jnp.sum(x**2),
    "logsumexp": jax.nn.logsumexp,
    "product": jnp.prod,
    "outer product": lambda x: jnp.outer(x, x),
    "convolution": lambda x: jnp.convolve(x, jnp.array([1.0, -2.0, 1.0])),
    "periodic": lambda x: jnp.roll(x, 1) * x - jnp.roll(x, -1),
    "reversed": lambda x: jnp.exp(x) * x[::-1],
    "quadratic map": lambda x: (WEIGHTS @ x) * x,
    "entropy": lambda x: -jnp.sum(x * jnp.log(x)),
    "least squares": lambda x: jnp.sum((WEIGHTS @ x - 1) ** 2),
    "pendulum chain": lambda x: jnp.sum(1 - jnp.cos(x[1:] - x[:-1])),
    "sum of cubes of pairs": lambda x: jnp.sum(x[::2] ** 3 * x[1::2]),
}


def compare_formats(n: int) -> None:
    x = jnp.linspace(0.0, 1.0, n)
    coloring = asdex.jacobian_coloring(differences, x)
    compressed = asdex.compressed_jacobian_from_coloring(differences, coloring)
    core = jax.jit(lambda x: asdex.decompress_data(compressed(x), coloring))
    fun = jax.jit(differences)
    product = jax.jit(lambda x: jax.jvp(differences, (x,), (x,)))
    compiling = [once(lambda g=g: g(x))[0] for g in (fun, product, core)]
    print(f"n = {n}: first call {compiling[2] / sum(compiling[:2]):.2f} of f and one JVP")
    for output_format in FORMATS:
        if output_format == "numpy_dense" and n > 10**4:
            continue
        derivative = asdex.jacobian_from_coloring(differences, coloring, output_format)
        if output_format in JITTED:
            derivative = jax.jit(derivative)
        least, alone = together(lambda d=derivative: d(x), lambda: core(x))
        print(
            f"  {output_format:<12} {1e3 * least:>8.3f} ms {least / alone:>6.2f} x values"
        )


def compare_ways_to_scipy(n: int) -> None:
    """Three ways to a matrix of SciPy in a loop that evaluates it often."""
    x = jnp.linspace(0.0, 1.0, n)
    coloring = asdex.jacobian_coloring(differences, x)
    at_once = asdex.jacobian(differences, x, output_format="scipy_csr")
    operator = jax.jit(asdex.jacobian(differences, x, output_format="operator"))
    compressed = jax.jit(asdex.compressed_jacobian_from_coloring(differences, coloring))
    ways = {
        'output_format="scipy_csr"': lambda: at_once(x),
        "jitted operator, A.to_scipy()": lambda: operator(x).to_scipy(),
        "jitted compressed, decompress": lambda: asdex.decompress(
            compressed(x), coloring, "scipy_csr"
        ),
    }
    times = together(*ways.values())
    for name, seconds in zip(ways, times, strict=True):
        print(
            f"  {name:<30} {1e3 * seconds:>8.3f} ms {seconds / times[0]:>6.2f} x the first"
        )


def compare_small() -> None:
    x = jnp.linspace(0.5, 1.5, 8)
    for name, fun in SMALL.items():
        is_scalar = jax.eval_shape(fun, x).shape == ()
        sparse, dense = (
            (asdex.hessian, jax.hessian) if is_scalar else (asdex.jacobian, jax.jacobian)
        )
        ours = jax.jit(sparse(fun, x, output_format="dense"))
        jaxs = jax.jit(dense(fun))
        times = together(
            *[lambda g=g: [g(x) for _ in range(REPEATS)] for g in (ours, jaxs)]
        )
        print(f"  {name:<22} {1e6 * times[0] / REPEATS:>8.2f} us", end=" ")
        print(f"{times[0] / times[1]:>6.2f} x dense JAX")


def main() -> None:
    warnings.simplefilter("ignore", asdex.DenseColoringWarning)
    for n in (10**3, 10**5):
        compare_formats(n)
    for n in (10**3, 10**4, 10**5):
        print(f"n = {n}: ways to a matrix of SciPy")
        compare_ways_to_scipy(n)
    print("n = 8: Jacobian or Hessian as a dense array")
    compare_small()


if __name__ == "__main__":
    main()
