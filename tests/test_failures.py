"""Messages of failures: plain text in the user's language."""

import re
from typing import Final

from hypothesis import given, strategies as st
from markdown_it import MarkdownIt
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.failures import describe, escape_markdown
from custom_components.alibaba_cloud.model_studio import (
    AccountError,
    ConnectionFailedError,
    ConnectionFailure,
    plain_text,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.translation import async_get_translations

from .common import attributes, setup
from .simulator import Simulator

PIECES: Final = st.sampled_from(
    [
        *"\\`*_[]<>&!#|~@:/.()\"' a1",
        "![a](https://a.example/a.png)",
        "[a](http://a.example)",
        "<https://a.example>",
        "<img src=https://a.example/a.png>",
        "https://a.example",
        "HTTPS://a.example",
        "ftp://a.example",
        "www.a.example",
        "WWW.a.example",
        "a@a.example",
        "&lt;",
        "&#x3c;",
        "**a**",
        "`a`",
    ]
)
ADDRESS: Final = re.compile(r"(https?|ftp)://|www\.|[\w.+-]@\w", re.IGNORECASE)
"""Matches texts that Markdown turns into links."""


@given(st.lists(PIECES, max_size=12).map("".join))
def test_markdown_shows_plain_text(text: str) -> None:
    """Messages of a service are shown without links, pictures or HTML."""
    escaped = escape_markdown(f"a {text}")
    [opening, inline, closing] = MarkdownIt("commonmark").parse(escaped)
    assert (opening.type, closing.type) == ("paragraph_open", "paragraph_close")
    assert inline.children is not None
    assert {token.type for token in inline.children} <= {"text", "text_special"}
    shown = "".join(token.content for token in inline.children)
    assert shown == plain_text(f"a {text}")
    assert not ADDRESS.search(escaped)


@pytest.mark.parametrize("failure", ConnectionFailure)
@pytest.mark.parametrize("language", ["en", "de", "zh-Hans"])
async def test_connection_failure_has_a_text_in_the_language(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    failure: ConnectionFailure,
    language: str,
) -> None:
    hass.config.language = language
    await setup(hass, entry)
    texts = await async_get_translations(
        hass, language, "exceptions", ["alibaba_cloud"]
    )
    key = f"component.alibaba_cloud.exceptions.connection_{failure}.message"
    err = ConnectionFailedError(failure, "a.example:1")
    text = describe(hass, err)
    assert text == texts[key].format(host="a.example:1")
    assert "a.example:1" in str(err)


@pytest.mark.logs("Error fetching .*Connection refused by 127")
async def test_status_tells_it_in_the_language(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    hass.config.language = "de"
    await simulator.stop()
    await setup(hass, entry)
    message = attributes(hass, "status")["message"]
    assert re.fullmatch(r"127.0.0.1:\d+ hat die Verbindung abgelehnt", message)


def test_text_of_a_service_is_unchanged(hass: HomeAssistant) -> None:
    assert describe(hass, AccountError("Why.", code="Code")) == "Code: Why."
