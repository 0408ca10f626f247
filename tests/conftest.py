"""Settings that every test runs under."""

from collections.abc import Iterator

import jax
import jaxtyping
import pytest

# Dense reference derivatives are compared in float64; tests of float32 cast explicitly.
jax.config.update("jax_enable_x64", True)
# asdex must not rely on implicit promotion between array dtypes: users may forbid it.
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def without_annotation_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets wrong arguments through to asdex's own checks, as they reach it for users."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def standard_promotion() -> Iterator[None]:
    """For functions that mix dtypes, as users do."""
    with jax.numpy_dtype_promotion("standard"):
        yield
