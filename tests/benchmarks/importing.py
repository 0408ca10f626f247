"""How long `import asdex` takes, on top of JAX and Equinox. The limit is 0.3 s.

Each measurement is one fresh process; the first fills the caches of files.
"""

import statistics
import subprocess
import sys

REPEATS = 7
MEASURE = """
import time
import jax, equinox
start = time.perf_counter()
import asdex
print(time.perf_counter() - start)
"""


def seconds() -> list[float]:
    """One time for each fresh process, sorted."""
    runs = [
        subprocess.run(
            [sys.executable, "-c", MEASURE], check=True, capture_output=True, text=True
        )
        for _ in range(REPEATS + 1)
    ]
    return sorted(float(run.stdout) for run in runs[1:])


def main() -> None:
    times = seconds()
    print(
        f"import asdex: {statistics.median(times):.3f} s on top of jax and equinox "
        f"(median of {REPEATS}; least {times[0]:.3f} s, most {times[-1]:.3f} s)"
    )


if __name__ == "__main__":
    main()
