"""Run one benchmark by name; without a name, the table of all stages."""

import argparse
import importlib
import pkgutil

from tests import benchmarks

SHARED = {"__main__", "problems", "timing"}


def main() -> None:
    names = sorted({m.name for m in pkgutil.iter_modules(benchmarks.__path__)} - SHARED)
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("name", nargs="?", default="stages", choices=names)
    name = parser.parse_args().name
    importlib.import_module(f"tests.benchmarks.{name}").main()


if __name__ == "__main__":
    main()
