"""The examples in the documents work."""

from collections.abc import Callable, Iterator, Mapping
import csv
from decimal import Decimal
import re
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
    async_mock_service,
)

from custom_components.alibaba_cloud.condition import CONDITIONS
from custom_components.alibaba_cloud.const import CONF_BASE_URL, DOMAIN
from custom_components.alibaba_cloud.trigger import TRIGGERS
from homeassistant.components.automation import EVENT_AUTOMATION_TRIGGERED
from homeassistant.const import CONF_API_KEY, EVENT_CALL_SERVICE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import condition, config_validation as cv, trigger
from homeassistant.setup import async_setup_component

from .common import API_KEY, NOW, Poll, give_access_key, setup
from .documents import DOCUMENTS, READMES, fields, pasted, section
from .simulator import Fault, Simulator

NAME = "Model Studio (cn-beijing)"
README_EXAMPLE = "Model Studio budget"

type Sent = Callable[[str], list[tuple[str, str]]]


def without_target(automation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an automation without targets, since examples name made-up devices."""
    return {
        **automation,
        "triggers": [
            {key: value for key, value in trigger.items() if key != "target"}
            for trigger in automation["triggers"]
        ],
    }


def automations() -> list[dict[str, Any]]:
    """Return the complete automations of the documents."""
    examples = pasted(section("docs/automations.md", "Complete automations"))
    return [*examples, *map(without_target, pasted(section("README.md", "Example")))]


@pytest.fixture
async def automated(
    hass: HomeAssistant,
    enable_custom_integrations: None,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
) -> None:
    """Set up an account with the name from the examples, and the automations."""
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
        hass, "automation", {"automation": automations()}
    )
    await hass.async_block_till_done()


@pytest.fixture
def sent(automated: None, hass: HomeAssistant) -> Sent:
    """Return a function that returns the notifications of an automation so far.

    Each notification is a title and a message.
    """
    calls = async_capture_events(hass, EVENT_CALL_SERVICE)
    runs = async_capture_events(hass, EVENT_AUTOMATION_TRIGGERED)

    def sent(alias: str) -> list[tuple[str, str]]:
        contexts = {run.context.id for run in runs if run.data["name"] == alias}
        return [
            (data["title"], data["message"])
            for call in calls
            if call.context.id in contexts and (data := call.data["service_data"])
        ]

    return sent


async def test_spend_automation(simulator: Simulator, poll: Poll, sent: Sent) -> None:
    for spend in (260, 399.99, 400, 410, 500, 510):
        simulator.body["data"]["monthly_spend"] = spend
        await poll()
    assert sent("Model Studio spend") == [
        (NAME, "You have spent 80% of the budget: 400.00 of 500.00 USD."),
    ]


@pytest.mark.parametrize("document", READMES)
async def test_example_of_the_readme(
    simulator: Simulator, poll: Poll, sent: Sent, document: str
) -> None:
    """The automation sends the message that the README quotes."""
    data = simulator.body["data"]
    for data["monthly_spend"] in (200, 243.5, 259):
        data["spend_limit"] = 260
        await poll()
    [(title, message)] = sent(README_EXAMPLE)
    assert title == NAME
    assert re.search(rf'["“]{message}["”]', DOCUMENTS[document])


@pytest.mark.logs("Error fetching")
async def test_throttled_automation(
    simulator: Simulator, poll: Poll, sent: Sent
) -> None:
    simulator.fail(Fault.THROTTLED)
    await poll()
    assert sent("Model Studio is throttled") == []
    for _ in range(2):
        await poll(1000)
    [(title, message)] = sent("Model Studio is throttled")
    assert title == NAME
    assert message.startswith("The service refuses requests.")


@pytest.mark.logs("Error fetching")
async def test_rejected_key_automation(
    simulator: Simulator, poll: Poll, sent: Sent
) -> None:
    simulator.fail(Fault.UNAUTHORIZED)
    await poll()
    assert sent("Model Studio key rejected") == []
    for _ in range(2):
        await poll(1000)
    assert sent("Model Studio key rejected") == [
        (NAME, "The service rejects the API key.")
    ]


@pytest.mark.logs("Error fetching")
async def test_automation_on_a_figure(
    simulator: Simulator, poll: Poll, sent: Sent
) -> None:
    """An automation on a figure fires again after an outage, as documented."""
    simulator.body["data"]["monthly_spend"] = 400
    await poll()
    assert sent("Model Studio spend above 80%") == []
    simulator.body["data"]["monthly_spend"] = 410
    await poll()
    simulator.fail(Fault.SERVER_ERROR)
    await poll()
    simulator.recover()
    await poll()
    assert (
        sent("Model Studio spend above 80%")
        == [("Model Studio", "You have spent 410.00 of 500.00 USD.")] * 2
    )
    assert len(sent("Model Studio spend")) == 1


@pytest.mark.usefixtures("automated")
async def test_automations_name_entities_that_exist(hass: HomeAssistant) -> None:
    examples = section("docs/automations.md", "Complete automations")
    named = set(re.findall(r"\b(?:binary_)?sensor\.\w+", examples))
    assert named
    assert {name for name in named if hass.states.get(name) is None} == set()


def examples_of(kind: str) -> Iterator[dict[str, Any]]:
    """Yield all triggers or conditions of the integration in the documents."""
    for text in DOCUMENTS.values():
        for block in pasted(text):
            if isinstance(block, dict):
                for example in block.get(f"{kind}s", ()):
                    if example[kind].startswith(f"{DOMAIN}."):
                        yield example


@pytest.mark.parametrize(
    ("kind", "existing"), [("trigger", TRIGGERS), ("condition", CONDITIONS)]
)
def test_there_is_an_example_of_each_with_a_target(
    kind: str, existing: Mapping[str, object]
) -> None:
    offered = fields(f"{kind}s.yaml")
    with_target = set()
    for example in examples_of(kind):
        name = example[kind].removeprefix(f"{DOMAIN}.")
        assert example.keys() <= {kind, "target", "options"}
        options = example.get("options", {}).keys()
        assert options <= offered[name].get("fields", {}).keys()
        if "target" in example:
            with_target.add(name)
    assert with_target == existing.keys()


@pytest.mark.usefixtures("automated")
async def test_examples_are_valid(hass: HomeAssistant) -> None:
    triggers = cv.TRIGGER_SCHEMA(list(examples_of("trigger")))
    await trigger.async_validate_trigger_config(hass, triggers)
    for example in examples_of("condition"):
        checked = cv.CONDITION_SCHEMA(example)
        await condition.async_validate_condition_config(hass, checked)


async def test_csv_script(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
) -> None:
    """The script sends rows by day and model that add up to the spend."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator)
    await setup(hass, entry)
    title = "Example: the spend of the month as CSV"
    [script] = pasted(section("docs/actions.md", title))
    script["sequence"][0]["data"]["config_entry_id"] = entry.entry_id
    sent = async_mock_service(hass, "notify", "send_message")
    assert await async_setup_component(hass, "script", {"script": {"csv": script}})
    await hass.services.async_call("script", "csv", blocking=True)

    [message] = [call.data["message"] for call in sent]
    lines = list(csv.DictReader(message.splitlines()))
    assert {line["date"] for line in lines} == {
        f"2026-08-{day:02}" for day in range(1, 16)
    }
    assert {"qwen-max", "qwen-plus"} <= {line["model"] for line in lines}
    assert {line["currency"] for line in lines} == {"CNY"}
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal("886.53")
