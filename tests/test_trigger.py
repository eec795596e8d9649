"""Native triggers: which alerts of which accounts and models they fire on."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import WebSocketGenerator
import voluptuous as vol

from custom_components.alibaba_cloud.const import (
    CONF_BASE_URL,
    CONF_LOW_BALANCE,
    CONF_MODEL_LEVELS,
    CONF_MONTHLY_BUDGET,
    CONF_SPEND_LEVELS,
    DOMAIN,
)
from homeassistant.components.automation import DOMAIN as AUTOMATION
from homeassistant.const import CONF_API_KEY
from homeassistant.core import HomeAssistant
from homeassistant.helpers import (
    area_registry as ar,
    config_validation as cv,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.helpers.trigger import async_validate_trigger_config
from homeassistant.setup import async_setup_component

from .common import (
    API_KEY,
    EVERY_TRIGGER,
    KINDS,
    LONG,
    NOTHING,
    Poll,
    answer,
    arm,
    device,
    entity_id,
    model_levels,
    noon,
    report,
    setup,
    spend_alike,
    spend_levels,
    triggered,
)
from .simulator import Fault, Simulator

OPTIONS = {CONF_LOW_BALANCE: 50, CONF_MONTHLY_BUDGET: 300}
"""Options for an account with all kinds of alerts."""

BOTH_LEVELS = (CONF_SPEND_LEVELS, CONF_MODEL_LEVELS)

UNKNOWN_OPTION = "not a valid option|extra keys"
LEVELS = ("spend_level_reached", "model_level_reached")
"""The triggers with levels."""


@pytest.fixture
async def simulator(simulator: Simulator) -> Simulator:
    """Report figures below all levels."""
    report(simulator, daily_spend=5, monthly_spend=95, used=100)
    return simulator


@pytest.fixture
async def account(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
) -> MockConfigEntry:
    """Return an account that is set up, with all alerts on."""
    freezer.move_to(noon(10))
    hass.config_entries.async_update_entry(entry, options=OPTIONS)
    await setup(hass, entry)
    return entry


@pytest.fixture
async def other(
    hass: HomeAssistant, account: MockConfigEntry
) -> AsyncIterator[MockConfigEntry]:
    """Return another account, at another simulator, with the same models."""
    async with Simulator() as elsewhere:
        elsewhere.body = answer("account")
        report(elsewhere, monthly_spend=95, used=100)
        other = MockConfigEntry(
            domain=DOMAIN,
            title="Elsewhere",
            entry_id="other",
            data={CONF_API_KEY: API_KEY, CONF_BASE_URL: elsewhere.base_url},
        )
        other.add_to_hass(hass)
        await setup(hass, other)
        yield other
        await hass.config_entries.async_unload("other")


async def everything(
    simulator: Simulator, freezer: FrozenDateTimeFactory, poll: Poll
) -> None:
    """Cause all kinds of alerts."""
    await spend_alike(simulator, freezer, poll, [10, 11, 12, 13])
    report(simulator, monthly_spend=300, available=20, used=900)
    await poll()
    for fault in (Fault.THROTTLED, Fault.UNAUTHORIZED, Fault.SERVER_ERROR):
        simulator.fail(fault)
        await poll(LONG)
        await poll(LONG)
    simulator.recover()
    await poll(LONG)


EVERYTHING = [
    ("forecast_over_budget", None),
    ("spend_level_reached", 50),
    ("spend_level_reached", 80),
    ("spend_level_reached", 100),
    ("balance_low", None),
    ("model_level_reached", 80),
    ("rate_limited", None),
    ("api_key_rejected", None),
    ("account_unavailable", None),
    ("recovered", "rate_limited"),
    ("recovered", "api_key_rejected"),
    ("recovered", "account_unavailable"),
]


type Choice = Callable[[HomeAssistant, MockConfigEntry, MockConfigEntry], Any]

# Targets, with whether they fire for the account and for qwen-max.
CHOICES: dict[str, tuple[Choice, bool, bool]] = {
    "left out": (lambda hass, a, b: None, True, True),
    "none": (lambda hass, a, b: [], True, True),
    "one": (lambda hass, a, b: device(hass, a), True, True),
    "account": (lambda hass, a, b: [device(hass, a)], True, True),
    "both": (lambda hass, a, b: [device(hass, b), device(hass, a)], True, True),
    "model": (lambda hass, a, b: [device(hass, a, "qwen-max")], True, True),
    "another model": (lambda hass, a, b: [device(hass, a, "qwen-plus")], True, False),
    "models": (
        lambda hass, a, b: [
            device(hass, a, name) for name in ("qwen-plus", "qwen-max")
        ],
        True,
        True,
    ),
    "elsewhere": (lambda hass, a, b: [device(hass, b)], False, False),
    "model elsewhere": (lambda hass, a, b: [device(hass, b, "qwen-max")], False, False),
    "unknown": (lambda hass, a, b: ["gone"], False, False),
    "unknown and account": (lambda hass, a, b: ["gone", device(hass, a)], True, True),
}


@pytest.mark.logs("Error fetching")
async def test_each_trigger_by_device(
    hass: HomeAssistant,
    account: MockConfigEntry,
    other: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
) -> None:
    """Each trigger fires only for its kind of alert and for the target.

    An account includes its models. A model includes its account, but no other model.
    """
    triggers: list[dict[str, Any]] = []
    for name, (choose, _, _) in CHOICES.items():
        chosen = choose(hass, account, other)
        target = {} if chosen is None else {"target": {"device_id": chosen}}
        triggers += [{**trigger, "id": name, **target} for trigger in EVERY_TRIGGER]
    events = await arm(hass, *triggers)
    await everything(simulator, freezer, poll)
    assert {event.data["trigger"]["account"] for event in events} == {"Model Studio"}
    for name, (_, account_fires, model_fires) in CHOICES.items():
        mine = [event for event in events if event.data["trigger"]["id"] == name]
        fires = {"model_level_reached": model_fires}
        assert triggered(mine) == [
            alert for alert in EVERYTHING if fires.get(alert[0], account_fires)
        ], name


async def test_device_of_another_integration(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A device of another integration is not an account."""
    foreign = MockConfigEntry(domain="test")
    foreign.add_to_hass(hass)
    device_id = (
        dr.async_get(hass)
        .async_get_or_create(
            config_entry_id=foreign.entry_id,
            identifiers={("test", account.entry_id)},
        )
        .id
    )
    events = await arm(
        hass,
        *(
            {**trigger, "target": {"device_id": [device_id]}}
            for trigger in EVERY_TRIGGER
        ),
    )
    report(simulator, monthly_spend=300, used=900)
    await poll()
    assert events == []


async def test_model_removed_and_back(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A trigger fires once the device of its removed model is back, and not before."""
    trigger = {
        "trigger": f"{DOMAIN}.model_level_reached",
        "target": {"device_id": [device(hass, account, "qwen-max")]},
    }
    events = await arm(hass, trigger)
    row = simulator.body["data"]["models"].pop(0)
    await poll()
    simulator.body["data"]["models"][0]["used"] = 2000
    await poll()
    assert events == []
    simulator.body["data"]["models"].insert(0, {**row, "used": 1000})
    await poll()
    assert triggered(events) == model_levels(80, 100)


async def test_level(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A trigger fires at its level; without one, at the levels of the options."""
    hass.config_entries.async_update_entry(
        account,
        options={**OPTIONS, **{key: [50, 80, 99.9, 100] for key in BOTH_LEVELS}},
    )
    await hass.config_entries.async_reload(account.entry_id)
    expected: dict[Any, list[float]] = {
        None: [50, 80, 99.9, 100],
        50: [50],
        50.5: [50.5],
        "80": [80],
        80.1: [80.1],
        99.9: [99.9],
        100: [100],
        101: [],
    }
    events = await arm(
        hass,
        *(
            {
                "trigger": f"{DOMAIN}.{key}",
                "id": f"at {level}",
                **({} if level is None else {"options": {"level": level}}),
            }
            for key in LEVELS
            for level in expected
        ),
    )
    for spent, used in ((150, 500), (240, 800), (299.7, 999), (300, 1000)):
        report(simulator, monthly_spend=spent, used=used)
        await poll()
    for level, levels in expected.items():
        mine = [
            event for event in events if event.data["trigger"]["id"] == f"at {level}"
        ]
        alerts = triggered(mine)
        for key in LEVELS:
            assert [reached for events, reached in alerts if events == key] == levels, (
                level
            )


async def test_variables(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The variables are those of the event, the account's name and the usual ones."""
    events = await arm(
        hass,
        {
            "trigger": f"{DOMAIN}.spend_level_reached",
            "id": "spent",
            "variables": {"left": "{{ trigger.budget - trigger.spend }}"},
        },
    )
    report(simulator, monthly_spend=250.5)
    await poll()
    trigger = events[-1].data["trigger"]
    event_entity = hass.states.get(entity_id(hass, "alerts") or "")
    assert event_entity is not None
    assert trigger == {
        **NOTHING,
        "id": "spent",
        "idx": "0",
        "alias": None,
        "platform": f"{DOMAIN}.spend_level_reached",
        "description": "spend level of Model Studio",
        "account": "Model Studio",
        "level": 80,
        "spend": 250.5,
        "budget": 300,
        "currency": "USD",
        "usage_pct": 83.5,
        "period": "2026-08-01",
        "alert_id": event_entity.attributes["alert_id"],
    }
    assert {**event_entity.attributes, **trigger} == trigger | {
        key: event_entity.attributes[key]
        for key in ("event_type", "event_types", "friendly_name")
    }


async def test_variables_in_an_action(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """An action can use the variables in a message."""
    events: list[str] = []
    hass.bus.async_listen("message", lambda event: events.append(event.data["text"]))
    assert await async_setup_component(
        hass,
        AUTOMATION,
        {
            AUTOMATION: {
                "triggers": {"trigger": f"{DOMAIN}.model_level_reached"},
                "actions": {
                    "event": "message",
                    "event_data": {
                        "text": "{{ trigger.account }}: {{ trigger.model }} at"
                        " {{ trigger.usage_pct | round }} %"
                    },
                },
            }
        },
    )
    report(simulator, used=823)
    await poll()
    assert events == ["Model Studio: qwen-max at 82 %"]


@pytest.mark.parametrize("key", KINDS.values())
async def test_bad_options(
    hass: HomeAssistant, enable_custom_integrations: None, key: str
) -> None:
    """Invalid options are rejected when the automation is saved."""
    refused: list[tuple[dict[str, Any], str]] = [
        ({"levels": 80}, UNKNOWN_OPTION),
        ({"device_id": ["account"]}, UNKNOWN_OPTION),
    ]
    if key in LEVELS:
        refused += [({"level": bad}, "expected float") for bad in ("high", None, [80])]
        refused += [({"level": bad}, "must be higher than 0") for bad in (0, -1, "-80")]
    else:
        refused.append(({"level": 80}, UNKNOWN_OPTION))
    for options, error in refused:
        config = cv.TRIGGER_SCHEMA([{"trigger": f"{DOMAIN}.{key}", "options": options}])
        with pytest.raises(vol.Invalid, match=error):
            await async_validate_trigger_config(hass, config)


@pytest.mark.parametrize("level", ["nan", "inf"])
async def test_level_that_is_no_number(
    hass: HomeAssistant, enable_custom_integrations: None, level: str
) -> None:
    """A level that is not a number is rejected, as it would never fire."""
    config = cv.TRIGGER_SCHEMA(
        [{"trigger": f"{DOMAIN}.spend_level_reached", "options": {"level": level}}]
    )
    with pytest.raises(vol.Invalid):
        await async_validate_trigger_config(hass, config)


async def test_unknown_trigger(
    hass: HomeAssistant, enable_custom_integrations: None
) -> None:
    config = cv.TRIGGER_SCHEMA([{"trigger": f"{DOMAIN}.struck_by_lightning"}])
    with pytest.raises(vol.Invalid, match="Invalid trigger"):
        await async_validate_trigger_config(hass, config)


async def test_detached(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """An automation that is off does not trigger, also not later."""
    events = await arm(hass)

    async def switch(service: str) -> None:
        await hass.services.async_call(
            AUTOMATION, service, {"entity_id": "automation.record"}, blocking=True
        )

    await switch("turn_off")
    report(simulator, monthly_spend=150)
    await poll()
    await switch("turn_on")
    await poll()
    assert events == []
    report(simulator, monthly_spend=240)
    await poll()
    assert triggered(events) == [("spend_level_reached", 80)]


async def test_automation_before_the_account(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """An automation is valid without an account, and fires once there is one."""
    events = await arm(hass)
    report(simulator, monthly_spend=400)
    await setup(hass, entry)
    assert triggered(events) == spend_levels(50, 80)


async def test_offered_in_the_editor(
    hass: HomeAssistant,
    account: MockConfigEntry,
    hass_ws_client: WebSocketGenerator,
) -> None:
    """The editor offers each trigger with its fields and the right devices."""
    assert await async_setup_component(hass, AUTOMATION, {})
    client = await hass_ws_client(hass)
    await client.send_json_auto_id({"type": "trigger_platforms/subscribe"})
    assert (await client.receive_json())["success"]
    described = (await client.receive_json())["event"]
    ours = {
        key.removeprefix(f"{DOMAIN}."): description
        for key, description in described.items()
        if key.startswith(f"{DOMAIN}.")
    }
    assert ours.keys() == set(KINDS.values())
    for key, description in ours.items():
        fields = description.get("fields", {})
        assert fields.keys() == ({"level"} if key in LEVELS else set())


@pytest.mark.parametrize("with_entities", [True, False])
async def test_offered_by_target(
    hass: HomeAssistant,
    account: MockConfigEntry,
    hass_ws_client: WebSocketGenerator,
    with_entities: bool,
) -> None:
    """The device page and *By target* offer the triggers that fit."""
    assert await async_setup_component(hass, AUTOMATION, {})
    client = await hass_ws_client(hass)
    area = ar.async_get(hass).async_create("Office")
    registry = dr.async_get(hass)
    registry.async_update_device(device(hass, account), area_id=area.id)
    if not with_entities:
        # All but the diagnostic entities.
        entities = er.async_get(hass)
        for entity in er.async_entries_for_config_entry(entities, account.entry_id):
            if entity.domain == "sensor" and entity.entity_category is None:
                entities.async_remove(entity.entity_id)
        await hass.async_block_till_done()
    model = {"model_level_reached", "limit_lowered"}
    offers: list[tuple[dict[str, Any], set[str]]] = [
        ({"device_id": [device(hass, account)]}, set(KINDS.values())),
        ({"entity_id": [entity_id(hass, "alerts")]}, set(KINDS.values())),
        ({"area_id": [area.id]}, set(KINDS.values())),
        (
            {"device_id": [device(hass, account, "qwen-max")]},
            model if with_entities else set(),
        ),
    ]
    for target, expected in offers:
        await client.send_json_auto_id(
            {"type": "get_triggers_for_target", "target": target}
        )
        result = (await client.receive_json())["result"]
        assert {
            key.removeprefix(f"{DOMAIN}.") for key in result if key.startswith(DOMAIN)
        } == expected


async def test_editor_validates(
    hass: HomeAssistant,
    account: MockConfigEntry,
    hass_ws_client: WebSocketGenerator,
) -> None:
    """The frontend can validate triggers while the user edits them."""
    client = await hass_ws_client(hass)
    for level, valid in ((80, True), (0, False)):
        await client.send_json_auto_id(
            {
                "type": "validate_config",
                "triggers": [
                    {
                        "trigger": f"{DOMAIN}.spend_level_reached",
                        "target": {"device_id": [device(hass, account)]},
                        "options": {"level": level},
                    }
                ],
            }
        )
        result = (await client.receive_json())["result"]["triggers"]
        assert result["valid"] is valid


async def test_no_entity_is_needed(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A target needs only the model's device, no entity."""
    registry = er.async_get(hass)
    for entity in er.async_entries_for_config_entry(registry, account.entry_id):
        registry.async_update_entity(
            entity.entity_id, disabled_by=er.RegistryEntryDisabler.USER
        )
    assert await hass.config_entries.async_reload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    events = await arm(
        hass,
        {
            "trigger": f"{DOMAIN}.model_level_reached",
            "target": {"device_id": device(hass, account, "qwen-max")},
        },
    )
    assert hass.states.async_all("sensor") == []
    report(simulator, used=900)
    await poll()
    assert triggered(events) == [("model_level_reached", 80)]
