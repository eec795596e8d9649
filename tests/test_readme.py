"""What the README tells people to paste works, and what it names exists."""

from collections.abc import Callable, Iterable
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
from custom_components.alibaba_cloud.condition import CONDITIONS
from custom_components.alibaba_cloud.const import (
    CONF_ASSISTANT,
    CONF_BASE_URL,
    CONF_FORECAST_ALERT,
    CONF_MODELS,
    DOMAIN,
)
from custom_components.alibaba_cloud.dashboard import MODULE, MODULE_URL
from custom_components.alibaba_cloud.ledger import Alert, AlertKind
from custom_components.alibaba_cloud.llm import GetAccountUsageTool
from custom_components.alibaba_cloud.options_flow import AMOUNTS, LEVELS
from custom_components.alibaba_cloud.sensor import (
    ACCOUNT_SENSORS,
    MODEL_SENSORS,
    STATUS,
)
from custom_components.alibaba_cloud.trigger import TRIGGERS, AlertTrigger
from homeassistant.components.automation import EVENT_AUTOMATION_TRIGGERED
from homeassistant.const import CONF_API_KEY, EVENT_CALL_SERVICE
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity import EntityDescription
from homeassistant.setup import async_setup_component

from .conftest import API_KEY, NOW, Poll, setup
from .simulator import Fault, Simulator

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
NAME = "Model Studio (cn-beijing)"

type Told = Callable[[str], list[tuple[str, str]]]


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
        title=NAME,
        data={CONF_API_KEY: API_KEY, CONF_BASE_URL: simulator.base_url},
    )
    entry.add_to_hass(hass)
    await setup(hass, entry)
    assert await async_setup_component(hass, "persistent_notification", {})
    assert await async_setup_component(
        hass, "automation", {"automation": blocks("Automations")}
    )
    await hass.async_block_till_done()


@pytest.fixture
def told(automated: None, hass: HomeAssistant) -> Told:
    """Return a function that returns what the automation of this name told so far.

    Each notification is a title and a message.
    """
    calls = async_capture_events(hass, EVENT_CALL_SERVICE)
    runs = async_capture_events(hass, EVENT_AUTOMATION_TRIGGERED)

    def told(alias: str) -> list[tuple[str, str]]:
        contexts = {run.context.id for run in runs if run.data["name"] == alias}
        return [
            (data["title"], data["message"])
            for call in calls
            if call.context.id in contexts and (data := call.data["service_data"])
        ]

    return told


async def test_spend_automation(simulator: Simulator, poll: Poll, told: Told) -> None:
    for spend in (260, 399.99, 400, 410, 500, 510):
        simulator.body["data"]["monthly_spend"] = spend
        await poll()
    assert told("Model Studio spend") == [
        (NAME, "80 % of the budget: 400.00 of 500.00 USD are spent."),
    ]


@pytest.mark.logs("Error fetching")
async def test_throttled_automation(
    simulator: Simulator, poll: Poll, told: Told
) -> None:
    simulator.fail(Fault.THROTTLED)
    await poll()
    assert told("Model Studio is throttled") == []
    for _ in range(2):
        await poll(1000)
    [(title, message)] = told("Model Studio is throttled")
    assert title == NAME
    assert message.startswith("Requests are being refused.")


@pytest.mark.logs("Error fetching")
async def test_rejected_key_automation(
    simulator: Simulator, poll: Poll, told: Told
) -> None:
    simulator.fail(Fault.UNAUTHORIZED)
    await poll()
    assert told("Model Studio key rejected") == []
    for _ in range(2):
        await poll(1000)
    assert told("Model Studio key rejected") == [
        (NAME, "The service does not accept the API key any more.")
    ]


@pytest.mark.logs("Error fetching")
async def test_older_habits(simulator: Simulator, poll: Poll, told: Told) -> None:
    """They do what the README says of them: fire again after an outage."""
    simulator.body["data"]["monthly_spend"] = 400
    await poll()
    assert told("Model Studio spend above 80 %") == []
    simulator.body["data"]["monthly_spend"] = 410
    await poll()
    simulator.fail(Fault.SERVER_ERROR)
    await poll()
    simulator.recover()
    await poll()
    assert (
        told("Model Studio spend above 80 %")
        == [("Model Studio", "410 USD of 500 USD are spent.")] * 2
    )
    assert told("Model Studio spend") == [
        (NAME, "80 % of the budget: 400.00 of 500.00 USD are spent.")
    ]


@pytest.mark.usefixtures("automated")
async def test_automations_name_entities_that_exist(hass: HomeAssistant) -> None:
    named = set(re.findall(r"\b(?:binary_)?sensor\.\w+", section("Automations")))
    assert named
    assert {name for name in named if hass.states.get(name) is None} == set()


def test_dashboard() -> None:
    """What is pasted for the dashboard names what the module is and defines."""
    own_view, resource_list = blocks("Dashboard")
    [view] = own_view["views"]
    module = MODULE.read_text(encoding="utf-8")
    strategy = view["strategy"]
    assert f'"{strategy.pop("type").removeprefix("custom:")}"' in module
    assert all(f"options.{option}" in module for option in strategy)
    [resource] = resource_list["lovelace"]["resources"]
    assert resource["url"].partition("?")[0] == MODULE_URL
    assert resource["type"] == "module"


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
    assert "`alerts`" in table


def first_columns(rows: Iterable[str]) -> set[str]:
    """Return the names in code in the first columns of tables."""
    return {
        name
        for row in rows
        if row.startswith("|")
        for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    }


def test_all_of_the_alerts_is_in_the_tables() -> None:
    """And nothing that there is not."""
    assert first_columns(section("Alerts").splitlines()) == {
        *AMOUNTS,
        *LEVELS,
        CONF_FORECAST_ALERT,
        *(kind.value for kind in AlertKind),
        *Alert(kind=AlertKind.RECOVERED, alert_id="").as_dict(),
        *(f"{DOMAIN}.{name}" for name in (*TRIGGERS, *CONDITIONS)),
    }


@pytest.mark.parametrize(("name", "trigger"), TRIGGERS.items())
def test_triggers_are_of_the_alerts_they_are_said_to_be(
    name: str, trigger: type[AlertTrigger]
) -> None:
    [row] = [
        row
        for row in section("Alerts").splitlines()
        if row.startswith(f"| `{DOMAIN}.{name}`")
    ]
    _, _, alert, options, _ = row.split("|")
    assert alert.strip() == f"`{trigger.kind.value}`"
    assert set(re.findall(r"`(\w+)`", options)) == {
        str(option) for option in trigger.options
    }


def test_options_are_in_the_tables() -> None:
    for option in (CONF_MODELS, CONF_ASSISTANT):
        assert f"| `{option}` |" in section("Setup")
    assert f"`{GetAccountUsageTool.name}`" in section("Assist")


def test_links_within_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    }
    links = re.findall(r"\]\(#([^)]+)\)", README)
    assert links
    assert set(links) <= headings
    for path in re.findall(r"\]\((?!https?:|#|assets/)([^)#]+)", README):
        assert (ROOT / path).is_file()


def test_pictures_exist() -> None:
    pictures = re.findall(r"!\[[^]]+\]\((assets/[^)]+)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).is_file()
