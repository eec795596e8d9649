"""Alerts: the events and automations that the service's answers trigger."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)
from syrupy.assertion import SnapshotAssertion

from custom_components.alibaba_cloud.const import (
    CONF_BASE_URL,
    CONF_FORECAST_ALERT,
    CONF_LOW_BALANCE,
    CONF_MODEL_LEVELS,
    CONF_MODELS,
    CONF_SPEND_LEVELS,
    DOMAIN,
)
from custom_components.alibaba_cloud.ledger import AlertKind
from homeassistant.const import (
    CONF_API_KEY,
    EVENT_STATE_CHANGED,
    STATE_UNKNOWN,
    Platform,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er

from .common import (
    API_KEY,
    CAUSES,
    FAILURES,
    KINDS,
    LEVEL_80,
    LONG,
    NOTHING,
    STORED,
    Poll,
    alert_ids,
    answer,
    arm,
    attributes,
    check_platform,
    last_event,
    model_levels,
    open_options,
    reload,
    report,
    setup,
    spend_levels,
    state,
    triggered,
)
from .simulator import Simulator

pytestmark = pytest.mark.usefixtures("kept", "low_figures")


async def test_event_entity(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    snapshot: SnapshotAssertion,
) -> None:
    """The event entity lists the types of alerts and shows the last one."""
    assert state(hass, "alerts") == STATE_UNKNOWN
    shown = attributes(hass, "alerts")
    assert shown["event_types"] == [kind.value for kind in AlertKind] == list(KINDS)
    report(simulator, monthly_spend=400)
    await poll()
    check_platform(hass, Platform.EVENT, snapshot)


@pytest.mark.parametrize("kind", CAUSES)
async def test_each_kind(
    request: pytest.FixtureRequest,
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kind: str,
) -> None:
    """Event and trigger have the same data, once; a failure alerts after two polls."""
    options, cause, expected = CAUSES[kind]
    failure = kind in FAILURES
    if failure:
        request.node.add_marker(pytest.mark.logs("Error fetching"))
    hass.config_entries.async_update_entry(account, options=options)
    await reload(hass, account)
    events = await arm(hass)
    fired = async_capture_events(hass, EVENT_STATE_CHANGED)
    cause(simulator)
    await poll(LONG)
    if failure:
        assert last_event(hass) == (None, {})
        assert events == []
        await poll(LONG)
    assert last_event(hass) == (kind, expected[-1])
    triggers = [event.data["trigger"] for event in events]
    for trigger in triggers:
        assert trigger["platform"] == f"{DOMAIN}.{KINDS[kind]}"
        assert trigger["account"] == "Model Studio"
    assert [{key: trigger[key] for key in NOTHING} for trigger in triggers] == expected
    assert triggers[-1]["alert_id"] == attributes(hass, "alerts")["alert_id"]

    fired.clear()
    for _ in range(3):
        await poll(LONG)
    assert len(events) == len(expected)
    assert not [
        event
        for event in fired
        if event.data["entity_id"] == "event.model_studio_alerts"
    ]


async def test_several_in_one_poll(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Each alert is a separate event."""
    hass.config_entries.async_update_entry(account, options={CONF_LOW_BALANCE: 50})
    await reload(hass, account)
    events = await arm(hass)
    changes = async_capture_events(hass, EVENT_STATE_CHANGED)
    simulator.body["data"]["models"][1]["used"] = 2000
    report(simulator, monthly_spend=510, available=10, used=850)
    await poll()
    expected = [
        ("spend_level", 50, None),
        ("spend_level", 80, None),
        ("spend_level", 100, None),
        ("balance_low", None, None),
        ("model_level", 80, "qwen-max"),
        ("model_level", 80, "qwen-plus"),
        ("model_level", 100, "qwen-plus"),
    ]
    states = [
        event.data["new_state"]
        for event in changes
        if event.data["entity_id"] == "event.model_studio_alerts"
    ]
    assert [
        tuple(state.attributes.get(key) for key in ("event_type", "level", "model"))
        for state in states
        if state
    ] == expected
    assert [
        (
            trigger["platform"].removeprefix(f"{DOMAIN}."),
            trigger["level"],
            trigger["model"],
        )
        for trigger in (event.data["trigger"] for event in events)
    ] == [(KINDS[kind], level, model) for kind, level, model in expected]
    assert len(set(alert_ids(events))) == len(expected)


async def test_levels_once_in_a_period(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
) -> None:
    """Each level alerts once, in ascending order; a new period re-arms all levels."""
    events = await arm(hass)
    for spend, expected in (
        (450, [50, 80]),
        (200, []),
        (420, []),
        (500, [100]),
        (900, []),
    ):
        report(simulator, monthly_spend=spend)
        await poll()
        assert triggered(events) == spend_levels(*expected)
    freezer.move_to("2026-08-31 16:00:00+00:00")
    report(
        simulator,
        daily_spend=260,
        monthly_spend=260,
        billing_period={"start": "2026-09-01", "end": "2026-09-30"},
    )
    await poll()
    assert events[0].data["trigger"]["period"] == "2026-09-01"
    assert triggered(events) == spend_levels(50)


async def test_model_levels_arm_again(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A level re-arms once the usage is ten points below it, also across a reload."""
    events = await arm(hass)
    for used, expected in ((800, [80]), (701, []), (800, []), (700, []), (800, [80])):
        report(simulator, used=used)
        await poll()
        await reload(hass, account)
        assert triggered(events) == [
            ("model_level_reached", level) for level in expected
        ]


async def test_models_that_were_not_chosen(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Models that are not selected have no device and no alerts."""
    hass.config_entries.async_update_entry(
        account, options={CONF_MODELS: ["qwen-plus"]}
    )
    await reload(hass, account)
    events = await arm(hass)
    report(simulator, used=900)
    await poll()
    assert events == []
    simulator.body["data"]["models"][1]["used"] = 2000
    await poll()
    assert [event.data["trigger"]["model"] for event in events] == ["qwen-plus"] * 2


async def test_balance_arms_again(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The alert re-arms at 10 % above the threshold, also across a reload."""
    hass.config_entries.async_update_entry(account, options={CONF_LOW_BALANCE: "50.5"})
    await reload(hass, account)
    events = await arm(hass)
    for balance, times in (
        (50.51, 0),
        (50.5, 1),
        (55.54, 0),
        (50, 0),
        (55.55, 0),
        (50, 1),
    ):
        report(simulator, available=balance)
        await poll()
        await reload(hass, account)
        assert triggered(events) == [("balance_low", None)] * times


async def test_works_with_every_entity_disabled(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Triggers do not depend on entities."""
    hass.config_entries.async_update_entry(entry, pref_disable_new_entities=True)
    events = await arm(hass)
    await setup(hass, entry)
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    assert len(entities) > 20
    assert all(entity.disabled for entity in entities)
    assert hass.states.async_all(("event", "sensor", "binary_sensor")) == []
    report(simulator, monthly_spend=400, used=850)
    await poll()
    assert triggered(events) == spend_levels(50, 80) + model_levels(80)
    await reload(hass, entry)
    assert events == []


async def test_second_account(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """Each account has its own alerts, event entity, file and alert IDs."""
    async with Simulator() as elsewhere:
        elsewhere.body = answer("account")
        report(elsewhere, monthly_spend=100, used=100)
        other = MockConfigEntry(
            domain=DOMAIN,
            title="Elsewhere",
            entry_id="other",
            data={CONF_API_KEY: API_KEY, CONF_BASE_URL: elsewhere.base_url},
        )
        other.add_to_hass(hass)
        await setup(hass, other)
        events = await arm(hass)
        report(elsewhere, monthly_spend=400)
        await poll()
        assert [event.data["trigger"]["account"] for event in events] == [
            "Elsewhere"
        ] * 2
        assert last_event(hass) == (None, {})
        shown = hass.states.get("event.elsewhere_alerts")
        assert shown is not None
        assert shown.attributes["event_type"] == "spend_level"

        report(simulator, monthly_spend=400)
        await poll()
        assert [event.data["trigger"]["account"] for event in events] == [
            "Elsewhere",
            "Elsewhere",
            "Model Studio",
            "Model Studio",
        ]
        assert last_event(hass) == ("spend_level", LEVEL_80)
        assert len(set(alert_ids(events))) == 4
        events.clear()

        assert await hass.config_entries.async_remove("other")
        await hass.async_block_till_done(wait_background_tasks=True)
        assert f"{DOMAIN}.other" not in kept
        report(simulator, monthly_spend=500)
        report(elsewhere, monthly_spend=500)
        await poll()
        assert [event.data["trigger"]["account"] for event in events] == [
            "Model Studio"
        ]
        assert STORED in kept


async def test_options_changed(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A new level or budget alerts only levels that are newly crossed."""
    events = await arm(hass)
    report(simulator, monthly_spend=400)
    await poll()
    assert triggered(events) == spend_levels(50, 80)

    async def choose(**options: Any) -> list[tuple[Any, ...]]:
        form = await open_options(hass, account, "alerts")
        result = await hass.config_entries.options.async_configure(
            form["flow_id"],
            {
                CONF_SPEND_LEVELS: ["50", "80", "100"],
                CONF_FORECAST_ALERT: True,
                CONF_MODEL_LEVELS: ["80", "100"],
                **options,
            },
        )
        assert result["type"] is FlowResultType.CREATE_ENTRY
        await hass.async_block_till_done(wait_background_tasks=True)
        return triggered(events)

    assert await choose(spend_levels=["50", "75", "80", "100"]) == []
    assert await choose(monthly_budget=450) == []
    assert await choose(monthly_budget=390) == spend_levels(100)
    # A budget that is too large for a level re-arms the level.
    assert await choose(monthly_budget=450) == []
    assert await choose(monthly_budget=390) == spend_levels(100)
    assert await choose(low_balance=200) == [("balance_low", None)]
    assert await choose(model_levels=["10"]) == []
    assert await choose(spend_levels=[]) == []
    report(simulator, monthly_spend=4000)
    await poll()
    assert events == []


async def test_renamed_account(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Alerts contain the current name of the account."""
    events = await arm(hass)
    hass.config_entries.async_update_entry(account, title="Work")
    await hass.async_block_till_done()
    report(simulator, monthly_spend=400)
    await poll()
    assert [event.data["trigger"]["account"] for event in events] == ["Work"] * 2
