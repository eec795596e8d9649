"""What importing the integration costs beyond Home Assistant's own modules.

In a fresh process, all modules that the integration takes from elsewhere are imported
first; then the integration itself, as Home Assistant does at its start: the component,
its platforms, and what else it looks for beside them.
"""

import argparse
from collections.abc import Collection
from functools import partial
import gc
from importlib import import_module
from pathlib import Path
import re
from statistics import median
import sys
import time

from homeassistant.loader import BASE_PRELOAD_PLATFORMS

from .common import (
    DOMAIN,
    ROOT,
    Result,
    Table,
    arguments,
    at_most,
    in_fresh_process,
    report,
)

PACKAGE = f"custom_components.{DOMAIN}"
PLATFORMS = ("binary_sensor", "event", "sensor", *BASE_PRELOAD_PLATFORMS)
MOST_MS = 50
TIMES = 25


def modules_of(package: Path, names: Collection[str]) -> list[str]:
    """Return the full names of those modules that a package has."""
    return [f"{PACKAGE}.{name}" for name in names if (package / f"{name}.py").exists()]


def imports_of(modules: Collection[str]) -> tuple[list[str], list[str]]:
    """Import modules; return which others that brought, and which of the integration."""
    # Nothing is to be compiled when it is measured, as at all but a first start.
    sys.dont_write_bytecode = False
    before = set(sys.modules)
    for module in modules:
        import_module(module)
    new = [name for name in sys.modules if name not in before]
    own = [name for name in new if name.startswith(PACKAGE)]
    return [name for name in new if name not in own], own


def measure(others: Collection[str], modules: Collection[str]) -> float:
    """Return the CPU seconds that it takes to import modules after others."""
    for other in others:
        import_module(other)
    # What Home Assistant holds is not looked through again on account of this.
    gc.collect()
    gc.freeze()
    began = time.process_time()
    for module in modules:
        import_module(module)
    return time.process_time() - began


def main() -> int:
    """Return the exit status."""
    options = arguments(__doc__, _add_options)
    package = ROOT / Path(*PACKAGE.split("."))
    everything = "all that Home Assistant looks for"
    cases = {
        "component": [PACKAGE],
        everything: [PACKAGE, *modules_of(package, PLATFORMS)],
    }
    table = Table(
        "CPU of the import, in ms",
        ["Of", "Modules", "Lines", "Least", "Median", "Most"],
    )
    figures: dict[str, list[float]] = {}
    for case, modules in cases.items():
        others, own = in_fresh_process(imports_of, modules)
        run = partial(in_fresh_process, measure, others, modules)
        figures[case] = sorted(run() * 1000 for _ in range(options.times))
        table.rows.append(
            [
                case,
                str(len(own)),
                str(sum(map(_lines, own))),
                *(
                    f"{figure:.1f}"
                    for figure in (
                        figures[case][0],
                        median(figures[case]),
                        figures[case][-1],
                    )
                ),
            ]
        )
    found = Result(
        "imports",
        tables=[table],
        goals=[
            at_most(
                "All that Home Assistant looks for, in ms",
                MOST_MS,
                [median(figures[everything])],
            )
        ],
        figures=figures,
    )
    report(found, options.json)
    return int(not all(goal.met for goal in found.goals))


def _lines(module: str) -> int:
    """Return how many lines a module of the integration has."""
    path = ROOT / Path(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return len(re.findall("\n", path.read_text(encoding="utf-8")))


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--times", type=int, default=TIMES, help=f"(default: {TIMES})")


if __name__ == "__main__":
    sys.exit(main())
