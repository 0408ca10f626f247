"""Settings of the tests of operators."""

from collections.abc import Iterator

import jax
import pytest

FLAG = "jax_disable_most_optimizations"


@pytest.fixture(autouse=True, scope="module")
def compiled_quickly() -> Iterator[None]:
    """Compiling takes most of the time, and no number depends on how well it is done."""
    before = jax.config.read(FLAG)
    jax.config.update(FLAG, True)
    yield
    jax.config.update(FLAG, before)
