"""The script that sets the URL of the repository."""

import json
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

ROOT = Path(__file__).parent.parent
MANIFEST = "custom_components/alibaba_cloud/manifest.json"
OWNER, NAME = "some-body", "energy.monitor"
NEW = (
    f"{OWNER}/{NAME}"  # two parts, as the script rewrites links in a copy of this file
)
README = """\
[![release](https://img.shields.io/github/v/release/{home}.svg)](https://github.com/{home}/releases)
[Add](https://my.home-assistant.io/redirect/hacs_repository/?owner={owner}&repository={name}&category=integration)
[Import](https://my.home-assistant.io/redirect/blueprint_import/?blueprint_url=https%3A%2F%2Fgithub.com%2F{owner}%2F{name}%2Fblob%2Fmain%2Fspend.yaml)
`git clone https://github.com/{home}.git`, as {home}.
Not this one: {home}-card, nor another-{home}, nor {home}.more, nor %2F{owner}%2F{name}-card%2F.
"""


def readme(home: str, untouched: str) -> str:
    """Return the README with links to a home and similar names that must stay."""
    owner, name = home.split("/")
    *links, others = README.splitlines(keepends=True)
    text = "".join(links).format(home=home, owner=owner, name=name)
    owner, name = untouched.split("/")
    return text + others.format(home=untouched, owner=owner, name=name)


def current_home(tree: Path) -> str:
    """Return the home that a tree's manifest names."""
    documentation: str = json.loads((tree / MANIFEST).read_text())["documentation"]
    return documentation.removeprefix("https://github.com/")


def contents(tree: Path) -> dict[Path, bytes]:
    """Return all files of a tree."""
    return {
        path.relative_to(tree): path.read_bytes()
        for path in sorted(tree.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(tree).parts
    }


def set_home(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a tree."""
    return subprocess.run(
        [sys.executable, tree / "scripts" / "set-home", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(params=["git", "plain"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of the project, as a checkout and as an unpacked archive."""
    copy = tmp_path / "copy"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    home = current_home(copy)
    (copy / "README.md").write_text(readme(home, home))
    if request.param == "git":
        subprocess.run(["git", "init", "--quiet", copy], check=True)
    return copy


def test_moves_every_link(tree: Path) -> None:
    old = current_home(tree)
    before = contents(tree)

    result = set_home(tree, NEW, "@some-body", "@a-team/core")

    assert result.returncode == 0, result.stderr
    manifest = json.loads((tree / MANIFEST).read_text())
    assert manifest["documentation"] == f"https://github.com/{NEW}"
    assert manifest["issue_tracker"] == f"https://github.com/{NEW}/issues"
    assert manifest["codeowners"] == ["@some-body", "@a-team/core"]
    assert list(manifest) == list(json.loads(before[Path(MANIFEST)]))
    assert (tree / "README.md").read_text() == readme(NEW, old)
    spellings = [old.encode(), old.replace("/", "%2F").encode()]
    left = [
        path
        for path, content in contents(tree).items()
        if path != Path("README.md")
        and any(spelled in content for spelled in spellings)
    ]
    assert left == []
    blueprints = list((tree / "blueprints").rglob("*.yaml"))
    assert blueprints
    for blueprint in blueprints:
        path = blueprint.relative_to(tree).as_posix()
        source_url = f"https://github.com/{NEW}/blob/main/{path}"
        assert f"source_url: {source_url}\n" in blueprint.read_text()
    assert contents(tree).keys() == before.keys()
    assert "README.md" in result.stdout
    for by_hand in (f"https://github.com/{NEW}", "description", "topics", "issues"):
        assert by_hand in result.stdout


def test_is_idempotent_and_reversible(tree: Path) -> None:
    old = current_home(tree)
    before = contents(tree)
    set_home(tree, NEW)
    moved = contents(tree)

    again = set_home(tree, NEW)

    assert again.returncode == 0
    assert "0 files changed" in again.stdout
    assert contents(tree) == moved != before

    assert set_home(tree, old).returncode == 0
    assert contents(tree) == before


def test_keeps_code_owners_that_are_not_given(tree: Path) -> None:
    set_home(tree, NEW, "@some-body")
    set_home(tree, "other/home")

    assert json.loads((tree / MANIFEST).read_text())["codeowners"] == ["@some-body"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [""],
        ["owner"],
        ["owner/"],
        ["owner/name/more"],
        ["https://github.com/owner/name"],
        ["owner/name.git"],
        ["owner/.."],
        ["-owner/name"],
        ["own--er/name"],
        ["owner/na me"],
        ["owner/name", "handle"],
        ["owner/name", "@"],
        ["owner/name", "@some one"],
    ],
)
def test_bad_arguments_change_nothing(tree: Path, arguments: list[str]) -> None:
    before = contents(tree)

    result = set_home(tree, *arguments)

    assert result.returncode == 2
    assert "usage:" in result.stderr
    assert contents(tree) == before


def test_refuses_a_manifest_it_cannot_read_the_home_from(tree: Path) -> None:
    manifest = tree / MANIFEST
    manifest.write_text(manifest.read_text().replace("https://github.com/", "https://"))
    before = contents(tree)

    result = set_home(tree, NEW)

    assert result.returncode == 1
    assert "documentation is not https://github.com/OWNER/NAME" in result.stderr
    assert contents(tree) == before
