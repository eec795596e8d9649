"""The translations: complete, and with all the texts that the code asks for."""

from collections.abc import Iterator
import json
from pathlib import Path
import re
from string import Formatter
from typing import Any

import pytest

from custom_components.alibaba_cloud.binary_sensor import (
    ACCOUNT_BINARY_SENSORS,
    STATUS_BINARY_SENSORS,
)
from custom_components.alibaba_cloud.coordinator import FAILURES
from custom_components.alibaba_cloud.sensor import (
    ACCOUNT_SENSORS,
    MODEL_SENSORS,
    STATUS,
)
from homeassistant.helpers.entity import EntityDescription

INTEGRATION = Path(__file__).parent.parent / "custom_components" / "alibaba_cloud"
TRANSLATIONS = INTEGRATION / "translations"
LINK = re.compile(r"\]\(([^)]*)\)")

# The texts that read the same in English. The keys are the languages there must be.
SAME_AS_ENGLISH: dict[str, set[str]] = {
    "de": {"Limit", "OK", "Status"},
    "es": {"China (Hong Kong)", "Error", "OK", "tokens", "tokens/min"},
    "fr": {"Message", "OK"},
    "ja": {"OK"},
    "zh-Hans": set(),
    "zh-Hant": set(),
}

DESCRIPTIONS: dict[str, tuple[EntityDescription, ...]] = {
    "binary_sensor": (*ACCOUNT_BINARY_SENSORS, *STATUS_BINARY_SENSORS),
    "sensor": (STATUS, *ACCOUNT_SENSORS, *MODEL_SENSORS),
}
FAILURE_KEYS = {key for _, key in FAILURES.values()}


def read(path: Path) -> Any:
    """Return the contents of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def texts(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts of a translation with their paths, in the order of the file."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from texts(value, f"{path}.{key}" if path else key)
    else:
        assert isinstance(node, str), path
        yield path, node


def placeholders(text: str) -> list[str]:
    """Return the names of a text's placeholders, sorted: languages differ in order."""
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def links(text: str) -> list[str]:
    """Return where the Markdown links of a text lead, in its order."""
    return LINK.findall(text)


@pytest.fixture(name="english", scope="module")
def english_fixture() -> Any:
    """Return the English translation."""
    return read(TRANSLATIONS / "en.json")


def test_languages() -> None:
    assert {path.stem for path in TRANSLATIONS.iterdir()} == {"en", *SAME_AS_ENGLISH}


@pytest.mark.parametrize("language", SAME_AS_ENGLISH)
def test_language(language: str, english: Any) -> None:
    original = dict(texts(english))
    translated = dict(texts(read(TRANSLATIONS / f"{language}.json")))

    assert list(translated) == list(original)
    assert [path for path, text in translated.items() if not text.strip()] == []
    for path, text in translated.items():
        assert placeholders(text) == placeholders(original[path]), path
        assert links(text) == links(original[path]), path
    same = {text for path, text in translated.items() if text == original[path]}
    assert same == SAME_AS_ENGLISH[language]


def test_english_has_no_empty_text(english: Any) -> None:
    assert [path for path, text in texts(english) if not text.strip()] == []


def test_entities(english: Any) -> None:
    named = english["entity"]
    icons = read(INTEGRATION / "icons.json")["entity"]
    assert named.keys() == icons.keys() == DESCRIPTIONS.keys()
    for platform, descriptions in DESCRIPTIONS.items():
        for description in descriptions:
            assert description.translation_key == description.key
        keys = {description.key for description in descriptions}
        assert named[platform].keys() == keys
        assert icons[platform].keys() == keys
        assert [key for key in keys if not named[platform][key].get("name")] == []
        assert [key for key in keys if not icons[platform][key].get("default")] == []


def test_exceptions(english: Any) -> None:
    wanted = FAILURE_KEYS | {"environment_variable_missing"}
    assert wanted <= english["exceptions"].keys()
    assert [key for key in wanted if "message" not in english["exceptions"][key]] == []


def test_form_errors(english: Any) -> None:
    assert (
        FAILURE_KEYS | {"invalid_url", "unknown"} <= english["config"]["error"].keys()
    )
