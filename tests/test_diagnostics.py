"""Diagnostics of an account."""

import json

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from syrupy.assertion import SnapshotAssertion

from custom_components.alibaba_cloud.diagnostics import (
    async_get_config_entry_diagnostics,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.json import json_dumps

from .conftest import API_KEY, Poll
from .simulator import Fault, Simulator


async def diagnostics(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, object]:
    """Return the diagnostics as they are downloaded."""
    text = json_dumps(await async_get_config_entry_diagnostics(hass, entry))
    assert API_KEY not in text
    downloaded: dict[str, object] = json.loads(text)
    downloaded["entry"]["base_url"] = "the simulator's"  # type: ignore[index]
    return downloaded


async def test_diagnostics(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    snapshot: SnapshotAssertion,
) -> None:
    """They hold all figures and no key, and ask nothing of the service."""
    simulator.requests.clear()
    assert await diagnostics(hass, account) == snapshot
    assert simulator.requests == []


@pytest.mark.logs("Error fetching")
async def test_diagnostics_of_a_failure(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """They say what is wrong, in the service's words, though not the key in them."""
    simulator.fail(Fault.ARREARAGE, message=f"{API_KEY} owes us money")
    await poll()
    downloaded = await diagnostics(hass, account)
    assert downloaded["status"] == "error"
    assert "Arrearage: **REDACTED** owes us money" in str(downloaded["message"])
    assert downloaded["account"] is not None
