"""Settings that every test runs under."""

import gc
import os
from collections.abc import Iterator

import jax
import jaxtyping
import pytest

from .compiling import FLAGS

# XLA reads them when it compiles for the first time.
os.environ["XLA_FLAGS"] = f"{FLAGS} {os.environ.get('XLA_FLAGS', '')}"
# Dense reference derivatives are compared in float64; tests of float32 cast explicitly.
jax.config.update("jax_enable_x64", True)
# asdex must not rely on implicit promotion between array dtypes: users may forbid it.
jax.config.update("jax_numpy_dtype_promotion", "strict")

# Traces make many objects, nearly all of which are freed without the garbage collector.
gc.set_threshold(10_000, 20, 20)

PROGRAMS_IN_MEMORY = 300
compiled = 0


def count_compilations(event: str, duration_secs: float, **kwargs: str | int) -> None:
    global compiled
    compiled += event == "/jax/core/compile/backend_compile_duration"


jax.monitoring.register_event_duration_secs_listener(count_compilations)


def pytest_xdist_auto_num_workers() -> int:
    """As many as there are processors, or as have 2 GB of memory each."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(os.cpu_count() or 1, memory // (2 * 10**9)))


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """JAX keeps every compiled program, of about 1 MB, until its caches are cleared."""
    global compiled
    yield
    if compiled > PROGRAMS_IN_MEMORY:
        compiled = 0
        jax.clear_caches()


@pytest.fixture
def without_annotation_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets wrong arguments through to asdex's own checks, as they reach it for users."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def standard_promotion() -> Iterator[None]:
    """For functions that mix dtypes, as users do."""
    with jax.numpy_dtype_promotion("standard"):
        yield
