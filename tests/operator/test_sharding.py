"""Operators on several devices, of which the tests simulate eight in another process."""

import os
import subprocess
import sys
from pathlib import Path

from ..compiling import FLAGS


def test_eight_devices() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.operator.on_eight_devices"],
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"{FLAGS} --xla_force_host_platform_device_count=8",
        },
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
