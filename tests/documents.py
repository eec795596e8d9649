"""Reads the documents, and the parts of the integration that they describe."""

from collections.abc import Iterable
from pathlib import Path
import re
from typing import Any

import yaml

from custom_components.alibaba_cloud.const import DOMAIN

ROOT = Path(__file__).parent.parent
INTEGRATION = ROOT / "custom_components" / DOMAIN
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
}


def section(document: str, title: str) -> str:
    """Return a section of a document up to the next heading of its level or higher."""
    text = DOCUMENTS[document]
    found = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    assert found, f"{document} has no section {title}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(document: str, title: str) -> list[list[str]]:
    """Return the rows of the tables in a section, without their headings."""
    tables = re.findall(
        r"^\|.*\n\|[-|]+\|\n((?:\|.*\n)*)", section(document, title), re.MULTILINE
    )
    return [
        [cell.strip() for cell in row.strip("|").split("|")]
        for table in tables
        for row in table.splitlines()
    ]


def names(cells: Iterable[str]) -> list[str]:
    """Return the names in code spans of cells."""
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def pasted(text: str) -> list[Any]:
    """Return the YAML examples of a text."""
    return [
        yaml.safe_load(block)
        for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    ]


def fields(file: str) -> dict[str, Any]:
    """Return the descriptions in a YAML file of the integration by name.

    Names with a leading dot are YAML anchors and left out.
    """
    offered = yaml.safe_load((INTEGRATION / file).read_text())
    return {name: it for name, it in offered.items() if not name.startswith(".")}
