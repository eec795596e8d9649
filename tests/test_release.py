"""A release: its valid tags, and its installation from HACS and the Marketplace."""

import json
from pathlib import Path
import shutil
import subprocess

from awesomeversion import AwesomeVersion, AwesomeVersionStrategy
import pytest

ROOT = Path(__file__).parent.parent
MANIFEST = Path("custom_components/alibaba_cloud/manifest.json")
LOADED = [
    AwesomeVersionStrategy.CALVER,
    AwesomeVersionStrategy.SEMVER,
    AwesomeVersionStrategy.SIMPLEVER,
    AwesomeVersionStrategy.BUILDVER,
    AwesomeVersionStrategy.PEP440,
]
"""The versions of custom integrations that Home Assistant loads."""


def check_tag(
    tree: Path, tag: str, version: str = "1.2.3"
) -> subprocess.CompletedProcess[str]:
    """Check a tag in a copy of the project with this version."""
    for name in (Path("scripts/check-tag"), MANIFEST):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    manifest = json.loads((tree / MANIFEST).read_text()) | {"version": version}
    (tree / MANIFEST).write_text(json.dumps(manifest, indent=2))
    return subprocess.run(
        [tree / "scripts/check-tag", tag], check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "version",
    ["1.2.3", "0.10.0", "1.2.3b1", "1.2.3rc2", "1.2.3.dev1", "1.2.3-beta.1"],
)
def test_good_tags_are_versions_that_home_assistant_loads(
    tmp_path: Path, version: str
) -> None:
    for tag in (version, f"v{version}"):
        result = check_tag(tmp_path, tag, version)
        assert (result.returncode, result.stderr) == (0, "")
    AwesomeVersion(version, ensure_strategy=LOADED)


@pytest.mark.parametrize(
    "tag", ["1.2.3rc.4", "latest", "1.2", "v1.2.3-", "1.2.3.4", "1.2.3 ", "", "x1.2.3"]
)
def test_bad_tags(tmp_path: Path, tag: str) -> None:
    result = check_tag(tmp_path, tag, tag.removeprefix("v"))
    assert result.returncode == 1
    assert "is not a version" in result.stderr


def test_tag_of_another_version(tmp_path: Path) -> None:
    result = check_tag(tmp_path, "v1.2.4")
    assert result.returncode == 1
    assert "The tag is v1.2.4, but the version in the manifest is 1.2.3" in (
        result.stderr
    )


def test_every_commit_can_be_installed() -> None:
    """HACS installs the repository itself, so every commit can be installed."""
    hacs = json.loads((ROOT / "hacs.json").read_text())
    assert hacs.keys() == {"name", "homeassistant"}
    version = json.loads((ROOT / MANIFEST).read_text())["version"]
    AwesomeVersion(version, ensure_strategy=LOADED)
