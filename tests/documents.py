"""Reads the documents, and the parts of the integration that they describe."""

from collections.abc import Iterable
import json
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
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
}
# The documents that exist in Chinese too, by their English edition.
EDITIONS = {READMES[0]: READMES[1]} | {
    name.replace("/zh-CN/", "/"): name for name in DOCUMENTS if "/zh-CN/" in name
}
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


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


def examples(document: str) -> list[str]:
    """Return the code blocks of a document without their comments."""
    return [re.sub(r" # .*", "", it) for it in CODE.findall(DOCUMENTS[document])]


def without_code(document: str) -> str:
    """Return a document without its code blocks."""
    return CODE.sub("", DOCUMENTS[document])


def blocks(document: str) -> list[str]:
    """Return the headings, rows, items and paragraphs of a document, each as a line."""
    parts = re.split(r"\n(?=#|\||- |\d\. |\n)", without_code(document))
    return [" ".join(part.split()) for part in parts if part.strip()]


def anchors(document: str) -> list[str]:
    """Return the anchors of a document's headings on GitHub."""
    return [
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", without_code(document), re.MULTILINE)
    ]


def links(document: str) -> list[tuple[str, str]]:
    """Return the files of the repository that a document links to, and the anchors."""
    found = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", without_code(document))
    home = (ROOT / document).parent
    return [
        (
            (home / path).resolve().relative_to(ROOT).as_posix() if path else document,
            anchor,
        )
        for path, anchor in found
    ]


def pasted(text: str) -> list[Any]:
    """Return the YAML examples of a text."""
    return [
        yaml.safe_load(block)
        for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    ]


def texts(language: str) -> list[str]:
    """Return the texts of a translation, in the same order for each language."""
    found: list[str] = []
    json.loads(
        (INTEGRATION / "translations" / f"{language}.json").read_text(encoding="utf-8"),
        object_hook=lambda node: found.extend(
            it for it in node.values() if isinstance(it, str)
        ),
    )
    return found


def fields(file: str) -> dict[str, Any]:
    """Return the descriptions in a YAML file of the integration by name.

    Names with a leading dot are YAML anchors and left out.
    """
    offered = yaml.safe_load((INTEGRATION / file).read_text())
    return {name: it for name, it in offered.items() if not name.startswith(".")}
