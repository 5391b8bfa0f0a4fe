"""`make bench [ONLY=filter]`: measure side by side, in one run, and print one table.

Figures are ratios wherever they can be: they mean something on another machine as well.
"""

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path

from reelsift.console import note, print_table

PREFIX = "bench_"


def benchmarks() -> list[str]:
    """Return the names of all benchmarks."""
    return sorted(path.stem.removeprefix(PREFIX) for path in Path(__file__).parent.glob(f"{PREFIX}*.py"))


def measured(names: list[str]) -> Iterator[tuple[str, str, str, str]]:
    """Run the benchmarks one after the other and yield their rows."""
    for name in names:
        note(f"Measuring {name} ...")
        for row in importlib.import_module(f"tests.benchmarks.{PREFIX}{name}").rows():
            yield (name, *row)


def main() -> None:
    """Measure what the arguments name, else everything."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("names", nargs="*", choices=[*benchmarks(), []], help="which ones; all by default")
    chosen = parser.parse_args().names or benchmarks()
    found = list[tuple[str, str, str, str]]()
    try:
        found.extend(measured(chosen))
    finally:  # what was measured before one failed took minutes as well
        print_table("Benchmarks", ("benchmark", "what", "measured", "required"), found)


if __name__ == "__main__":
    main()
