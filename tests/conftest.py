"""Settings that every test runs under."""

import jax

# Dense reference derivatives are compared in float64; tests of float32 cast explicitly.
jax.config.update("jax_enable_x64", True)
# asdex must not rely on implicit promotion between array dtypes: users may forbid it.
jax.config.update("jax_numpy_dtype_promotion", "strict")
