"""How much XLA optimizes what the tests compile."""

from functools import partial

import jax

_DEFAULTS: dict[str, int | bool] = {"xla_backend_optimization_level": 3}
_FOR_TESTS: dict[str, int | bool] = {"xla_backend_optimization_level": 0}
if jax.__version_info__ < (0, 11):  # Later ones stop at this flag, which they lack.
    _DEFAULTS["xla_cpu_use_fusion_emitters"] = True
    _FOR_TESTS["xla_cpu_use_fusion_emitters"] = False

FLAGS = " ".join(f"--{name}={str(value).lower()}" for name, value in _FOR_TESTS.items())
"""For `XLA_FLAGS`: compiling takes most of the time of the tests, running next to none."""

optimized_jit = partial(jax.jit, compiler_options=_DEFAULTS)
"""`jax.jit` with the optimizations that users get, for tests of what XLA does."""

plain_jit = partial(jax.jit, compiler_options=_FOR_TESTS)
"""`jax.jit` without optimizations, also outside of the tests."""
