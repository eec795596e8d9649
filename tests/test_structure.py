"""The structure of the code: imports, and the length of files and functions."""

import ast
from collections.abc import Iterator
from decimal import Decimal
from graphlib import TopologicalSorter
import json
from pathlib import Path
import runpy
import subprocess
import sys

import pytest

from custom_components import alibaba_cloud
from custom_components.alibaba_cloud.model_studio import Money

TESTS = Path(__file__).parent
PACKAGE = Path(alibaba_cloud.__file__).parent
MUTATE = TESTS.parent / "scripts" / "mutate"


def modules(folder: Path) -> dict[str, Path]:
    """Return the files of a package by the name of their module."""
    return {
        ".".join(
            (folder.name, *file.relative_to(folder).with_suffix("").parts)
        ).removesuffix(".__init__"): file
        for file in sorted(folder.rglob("*.py"))
    }


def imports(name: str, file: Path) -> Iterator[str]:
    """Return the names that a module imports, also inside functions and for typing.

    `from a import b` is `a.b`, whether b is a module or not.
    """
    parents = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            yield from (".".join((*base, alias.name)) for alias in node.names)


def module_of(imported: str, known: dict[str, Path]) -> str | None:
    """Return the module that a name is imported from; None if it is unknown."""
    if imported in known:
        return imported
    parent = imported.rpartition(".")[0]
    return parent if parent in known else None


def test_no_test_module_imports_another() -> None:
    """Test modules share code only through helper modules and fixtures."""
    known = modules(TESTS)
    assert __name__ in known
    found = [
        (name, imported)
        for name, file in known.items()
        for imported in imports(name, file)
        if (module_of(imported, known) or "").rpartition(".")[2].startswith("test_")
    ]
    assert found == []


@pytest.mark.parametrize(
    ("layer", "layers", "libraries"),
    [
        ("model_studio", {"model_studio"}, {"aiohttp", "orjson", "yarl"}),
        ("ledger", {"model_studio", "ledger"}, set()),
    ],
)
def test_layers_import_nothing_above_them(
    layer: str, layers: set[str], libraries: set[str]
) -> None:
    """The client and the rules are independent of Home Assistant."""
    known = modules(PACKAGE)
    names = [name for name in known if name.startswith(f"{PACKAGE.name}.{layer}.")]
    assert len(names) > 5
    found = {
        (name, imported)
        for name in (f"{PACKAGE.name}.{layer}", *names)
        for imported in imports(name, known[name])
        if not imported.startswith(tuple(f"{PACKAGE.name}.{it}." for it in layers))
        and imported.partition(".")[0] not in sys.stdlib_module_names | libraries
    }
    assert found == set()


def test_no_import_circle() -> None:
    """No modules import each other, not even for typing only."""
    known = modules(PACKAGE)
    graph = {
        name: {
            module
            for imported in imports(name, file)
            if (module := module_of(imported, known)) is not None
        }
        for name, file in known.items()
    }
    assert graph[f"{PACKAGE.name}.sensor"] >= {f"{PACKAGE.name}.entity"}
    TopologicalSorter(graph).prepare()


def test_no_dataclass_is_a_condition() -> None:
    """No test uses one as a condition unnoticed, nor does the code that it runs."""
    with pytest.raises(AssertionError, match="Money is used as a condition"):
        bool(Money(amount=Decimal(), currency="USD"))


def test_files_and_functions_are_short() -> None:
    """A file has at most 400 lines, and a function at most 50."""
    for file in PACKAGE.rglob("*.js"):
        assert file.read_text().count("\n") <= 400, file.name
    for name, file in modules(PACKAGE).items():
        source = file.read_text()
        assert source.count("\n") <= 400, name
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno < 50, (name, node.name)


def test_test_files_are_short() -> None:
    """A file of the tests has at most 650 lines."""
    lengths = {name: f.read_text().count("\n") for name, f in modules(TESTS).items()}
    assert {name: lines for name, lines in lengths.items() if lines > 650} == {}


def test_changes_of_all_rules_and_clients_are_tried() -> None:
    """scripts/mutate has the tests of each module, and lists the modules to change."""
    script = runpy.run_path(str(MUTATE))
    tests: dict[str, tuple[str, ...]] = script["TESTS"]
    known = {
        file.relative_to(PACKAGE).as_posix(): file
        for layer in ("ledger", "model_studio")
        for file in (PACKAGE / layer).rglob("*.py")
        if file.name != "__init__.py"
    }
    assert set(tests) == set(known)
    for module, names in tests.items():
        has_functions = any(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and not node.decorator_list
            for node in ast.walk(ast.parse(known[module].read_text()))
        )
        assert bool(names) == has_functions, module
        assert [name for name in names if not (TESTS / name).is_file()] == [], module
    listed = subprocess.check_output([sys.executable, MUTATE, "--list"])
    assert json.loads(listed) == list(script["MODULES"])
