"""Run one benchmark by name; without a name, the table of all stages."""

import argparse
import ast
import importlib.util
import pkgutil
import time
from pathlib import Path

from tests import benchmarks

SHARED = {"__main__", "by_hand", "problems", "timing"}


def main() -> None:
    names = sorted({m.name for m in pkgutil.iter_modules(benchmarks.__path__)} - SHARED)
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        epilog="names:\n" + "\n".join(f"  {name:<10} {summary(name)}" for name in names),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", default="stages", choices=names, metavar="NAME")
    name = parser.parse_args().name
    start = time.perf_counter()
    importlib.import_module(f"tests.benchmarks.{name}").main()
    print(f"\n{time.perf_counter() - start:.0f} s in all")


def summary(name: str) -> str:
    """The first line of what a benchmark says of itself, which need not be imported."""
    spec = importlib.util.find_spec(f"tests.benchmarks.{name}")
    assert spec is not None
    assert spec.origin is not None
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text())) or ""
    return docstring.partition("\n")[0]


if __name__ == "__main__":
    main()
