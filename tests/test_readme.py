"""What the README tells people to paste works, and what it names exists."""

from pathlib import Path
import re
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)
import yaml

from custom_components.alibaba_cloud.binary_sensor import (
    ACCOUNT_BINARY_SENSORS,
    STATUS_BINARY_SENSORS,
)
from custom_components.alibaba_cloud.const import CONF_BASE_URL, DOMAIN
from custom_components.alibaba_cloud.sensor import (
    ACCOUNT_SENSORS,
    MODEL_SENSORS,
    STATUS,
)
from homeassistant.const import CONF_API_KEY, EVENT_CALL_SERVICE
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity import EntityDescription
from homeassistant.setup import async_setup_component

from .conftest import API_KEY, NOW, Poll, setup
from .simulator import Fault, Simulator

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    """Return the section of the README with this title."""
    return next(text for text in README.split("\n## ") if text.startswith(f"{title}\n"))


def blocks(title: str) -> list[Any]:
    """Return what a section says to paste."""
    found = re.findall(r"```yaml\n(.*?)```", section(title), re.DOTALL)
    return [yaml.safe_load(block) for block in found]


@pytest.fixture
async def automated(
    hass: HomeAssistant,
    enable_custom_integrations: None,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
) -> None:
    """Set up an account of the README's name, and the automations."""
    freezer.move_to(NOW)
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Model Studio (cn-beijing)",
        data={CONF_API_KEY: API_KEY, CONF_BASE_URL: simulator.base_url},
    )
    entry.add_to_hass(hass)
    await setup(hass, entry)
    assert await async_setup_component(hass, "persistent_notification", {})
    assert await async_setup_component(
        hass, "automation", {"automation": blocks("Automations")}
    )
    await hass.async_block_till_done()


@pytest.mark.usefixtures("automated")
async def test_spend_automation(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    calls = async_capture_events(hass, EVENT_CALL_SERVICE)
    simulator.body["data"]["monthly_spend"] = 399.99
    await poll()
    assert calls == []
    for spend in (400, 410):
        simulator.body["data"]["monthly_spend"] = spend
        await poll()
    assert [call.data["service_data"]["message"] for call in calls] == [
        "400 USD of 500 USD are spent."
    ]


@pytest.mark.logs("Error fetching")
@pytest.mark.usefixtures("automated")
async def test_throttled_automation(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    calls = async_capture_events(hass, EVENT_CALL_SERVICE)
    simulator.fail(Fault.THROTTLED)
    await poll()
    assert calls == []
    await poll(61)
    await poll(61)
    assert len(calls) == 1


@pytest.mark.logs("Error fetching")
@pytest.mark.usefixtures("automated")
async def test_rejected_key_automation(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    calls = async_capture_events(hass, EVENT_CALL_SERVICE)
    simulator.fail(Fault.UNAUTHORIZED)
    await poll()
    (message,) = [call.data["service_data"]["message"] for call in calls]
    assert message.startswith("Invalid or expired API key (InvalidApiKey: ")


@pytest.mark.usefixtures("automated")
async def test_automations_name_entities_that_exist(hass: HomeAssistant) -> None:
    named = set(re.findall(r"\b(?:binary_)?sensor\.\w+", section("Automations")))
    assert named
    assert {name for name in named if hass.states.get(name) is None} == set()


def test_dashboard_is_the_one_that_is_tried() -> None:
    """It is shown to a browser in tests/live, where each entity must exist."""
    assert (ROOT / "tests/live/dashboard.yaml").read_text() in section("A dashboard")


def test_every_entity_is_in_the_table() -> None:
    table = section("Devices and entities")
    descriptions: list[EntityDescription] = [
        *ACCOUNT_SENSORS,
        *MODEL_SENSORS,
        STATUS,
        *ACCOUNT_BINARY_SENSORS,
        *STATUS_BINARY_SENSORS,
    ]
    for description in descriptions:
        assert f"`{description.key}`" in table


def test_pictures_exist() -> None:
    pictures = re.findall(r"!\[[^]]+\]\((assets/[^)]+)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).is_file()
