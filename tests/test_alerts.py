"""Alerts from the service's answers to what automations and events say of them."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import date, datetime, timedelta
from decimal import Decimal
import json
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
    async_mock_restore_state_shutdown_restart,
)
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from syrupy.assertion import SnapshotAssertion

from custom_components.alibaba_cloud.const import (
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_BALANCE_ENDPOINT,
    CONF_BASE_URL,
    CONF_BILLING_ENDPOINT,
    CONF_FORECAST_ALERT,
    CONF_LOW_BALANCE,
    CONF_MODEL_LEVELS,
    CONF_MODELS,
    CONF_MONTHLY_BUDGET,
    CONF_PROMETHEUS_URL,
    CONF_SPEND_LEVELS,
    DOMAIN,
)
from custom_components.alibaba_cloud.model_studio import AlertKind, Money
from custom_components.alibaba_cloud.model_studio.forecast import forecast_period
from custom_components.alibaba_cloud.model_studio.spend import BILLING_TIME_ZONE
from custom_components.alibaba_cloud.sources import Source
from homeassistant.components.automation import DOMAIN as AUTOMATION
from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.history import state_changes_during_period
from homeassistant.components.recorder.statistics import async_list_statistic_ids
from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntryState
from homeassistant.const import (
    CONF_API_KEY,
    CONF_REGION,
    EVENT_STATE_CHANGED,
    STATE_ON,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
    Platform,
)
from homeassistant.core import CoreState, Event, HomeAssistant, callback
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import config_validation as cv, entity_registry as er
from homeassistant.helpers.trigger import async_validate_trigger_config
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util

from .conftest import (
    API_KEY,
    NOW,
    Poll,
    answer,
    attributes,
    check_platform,
    entity_id,
    open_options,
    setup,
    state,
)
from .simulator import Account, Fault, Simulator
from .simulator.billing import total_on

STORED = f"{DOMAIN}.account"
LONG = 16 * 60
"""Seconds after which any poll is due, also of a service that is left alone."""
DAY = 24 * 60 * 60

KINDS = {
    "spend_level": "spend_level_reached",
    "forecast_over_budget": "forecast_over_budget",
    "balance_low": "balance_low",
    "model_level": "model_level_reached",
    "rate_limited": "rate_limited",
    "api_key_rejected": "api_key_rejected",
    "account_unavailable": "account_unavailable",
    "recovered": "recovered",
}
"""Event types, each with the native trigger of the same."""
EVERY_TRIGGER = [{"trigger": f"{DOMAIN}.{key}"} for key in KINDS.values()]

NOTHING = {
    "level": None,
    "spend": None,
    "budget": None,
    "projected": None,
    "balance": None,
    "currency": None,
    "model": None,
    "usage_pct": None,
    "period": None,
    "failure": None,
}
"""What an alert says beside its id, if nothing applies."""
LEVEL_80 = {
    **NOTHING,
    "level": 80,
    "spend": 400,
    "budget": 500,
    "currency": "USD",
    "period": "2026-08-01",
}


@pytest.fixture(autouse=True)
def kept(hass_storage: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept over restarts."""
    return hass_storage


@pytest.fixture
async def simulator(simulator: Simulator) -> Simulator:
    """Let the account stand below all levels: at 20 % of the limit of 500 USD."""
    report(simulator, monthly_spend=100, used=100)
    return simulator


def report(simulator: Simulator, *, used: int | None = None, **figures: Any) -> None:
    """Let the service report other figures; `used` is that of qwen-max, of 1,000."""
    data = simulator.body["data"]
    data |= figures
    if used is not None:
        data["models"][0]["used"] = used


async def arm(
    hass: HomeAssistant, *triggers: dict[str, Any]
) -> list[Event[Mapping[str, Any]]]:
    """Set up an automation with triggers, all there are if none is named.

    Returns the events that it fires, each with the trigger's variables.
    """
    told: list[Event[Mapping[str, Any]]] = []

    @callback
    def tell(event: Event[Mapping[str, Any]]) -> None:
        told.append(event)

    hass.bus.async_listen("told", tell)
    assert await async_setup_component(
        hass,
        AUTOMATION,
        {
            AUTOMATION: {
                "alias": "Tell",
                "mode": "parallel",
                "triggers": list(triggers or EVERY_TRIGGER),
                "actions": {
                    "event": "told",
                    "event_data": {"trigger": "{{ trigger }}"},
                },
            }
        },
    )
    await hass.async_block_till_done()
    return told


def said(told: list[Event[Mapping[str, Any]]]) -> list[tuple[Any, ...]]:
    """Return what an automation was triggered by since the last look."""
    triggers = [event.data["trigger"] for event in told]
    told.clear()
    return [
        (
            trigger["platform"].removeprefix(f"{DOMAIN}."),
            trigger["level"] or trigger["failure"],
        )
        for trigger in triggers
    ]


def ids(told: list[Event[Mapping[str, Any]]]) -> list[str]:
    """Return the ids of the alerts that an automation was triggered by."""
    return [event.data["trigger"]["alert_id"] for event in told]


def last_event(hass: HomeAssistant) -> tuple[str | None, dict[str, Any]]:
    """Return the type of the last event, and what it says, without its id."""
    shown = attributes(hass, "alerts")
    kind = shown["event_type"]
    if kind is None:
        return None, {}
    assert len(shown["alert_id"]) == 32
    assert [key for key in NOTHING if shown.get(key, kind) is None] == []
    return kind, {key: shown.get(key) for key in NOTHING}


async def unload(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Stop the account, as a restart does."""
    assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)


async def reload(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)


async def restart(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Stop the account and start it again, as Home Assistant does."""
    await unload(hass, entry)
    hass.set_state(CoreState.not_running)
    await setup(hass, entry)
    await start(hass)


async def start(hass: HomeAssistant) -> None:
    """Complete the start of Home Assistant."""
    await hass.async_start()
    await hass.async_block_till_done(wait_background_tasks=True)


async def spend_alike(
    simulator: Simulator, freezer: FrozenDateTimeFactory, poll: Poll, days: list[int]
) -> None:
    """Let 10 USD be spent on each day of August, half of it by noon, and look then."""
    for day in days:
        freezer.move_to(noon(day))
        report(simulator, daily_spend=5, monthly_spend=10 * day - 5)
        await poll()


def noon(day: int) -> datetime:
    """Return the time that a poll is due at, by noon of a billing day in August."""
    return datetime(2026, 8, day, 12, tzinfo=BILLING_TIME_ZONE) - timedelta(seconds=31)


def levels_kept(kept: dict[str, Any]) -> list[str | None]:
    """Return the highest level alerted that is on the disk, of each budget."""
    return [level for _, level in kept[STORED]["data"]["alerts"]["levels"]]


@pytest.mark.usefixtures("account")
async def test_event_entity(
    hass: HomeAssistant, simulator: Simulator, poll: Poll, snapshot: SnapshotAssertion
) -> None:
    """It stands for the account, names its types, and shows the last alert."""
    assert state(hass, "alerts") == STATE_UNKNOWN
    shown = attributes(hass, "alerts")
    assert shown["event_types"] == [kind.value for kind in AlertKind] == list(KINDS)
    report(simulator, monthly_spend=400)
    await poll()
    check_platform(hass, Platform.EVENT, snapshot)


CAUSES: dict[str, tuple[dict[str, Any], Callable[[Simulator], None], Any]] = {
    "spend_level": (
        {},
        lambda simulator: report(simulator, monthly_spend="400.00"),
        LEVEL_80,
    ),
    "balance_low": (
        {CONF_LOW_BALANCE: 50},
        lambda simulator: report(simulator, available=49.5),
        {**NOTHING, "balance": 49.5, "currency": "USD"},
    ),
    "model_level": (
        {},
        lambda simulator: report(simulator, used=1001),
        {**NOTHING, "level": 100, "model": "qwen-max", "usage_pct": 100.1},
    ),
    "rate_limited": ({}, lambda simulator: simulator.fail(Fault.THROTTLED), NOTHING),
    "api_key_rejected": (
        {},
        lambda simulator: simulator.fail(Fault.UNAUTHORIZED),
        NOTHING,
    ),
    "account_unavailable": (
        {},
        lambda simulator: simulator.fail(Fault.SERVER_ERROR),
        NOTHING,
    ),
}
FAILURES = ("rate_limited", "api_key_rejected", "account_unavailable")


@pytest.mark.parametrize("kind", CAUSES)
async def test_each_kind(
    request: pytest.FixtureRequest,
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kind: str,
) -> None:
    """An event and a trigger say the same, once; a failure after two polls only."""
    options, cause, expected = CAUSES[kind]
    failure = kind in FAILURES
    if failure:
        request.node.add_marker(pytest.mark.logs("Error fetching"))
    hass.config_entries.async_update_entry(account, options=options)
    await reload(hass, account)
    told = await arm(hass)
    fired = async_capture_events(hass, EVENT_STATE_CHANGED)
    cause(simulator)
    await poll(LONG)
    if failure:
        assert last_event(hass) == (None, {})
        assert told == []
        await poll(LONG)
    assert last_event(hass) == (kind, expected)
    (event,) = told
    trigger = event.data["trigger"]
    assert trigger["platform"] == f"{DOMAIN}.{KINDS[kind]}"
    assert trigger["account"] == "Model Studio"
    assert {key: trigger[key] for key in NOTHING} == expected
    assert trigger["alert_id"] == attributes(hass, "alerts")["alert_id"]

    fired.clear()
    for _ in range(3):
        await poll(LONG)
    assert len(told) == 1
    assert not [
        event
        for event in fired
        if event.data["entity_id"] == "event.model_studio_alerts"
    ]


@pytest.mark.logs("Error fetching")
@pytest.mark.parametrize("kind", FAILURES)
async def test_recovered(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kind: str,
) -> None:
    """What has been alerted is told once it has passed, at once; a hiccup never is."""
    told = await arm(hass)
    CAUSES[kind][1](simulator)
    await poll(LONG)
    await poll(LONG)
    assert said(told) == [(kind, None)]
    simulator.recover()
    await poll(LONG)
    assert last_event(hass) == ("recovered", {**NOTHING, "failure": kind})
    assert said(told) == [("recovered", kind)]
    await poll(LONG)
    assert told == []


@pytest.mark.logs("Error fetching")
async def test_recovered_while_home_assistant_was_down(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """That is told after the start; a failure that lasted over it is not again."""
    told = await arm(hass)
    simulator.fail(Fault.UNAUTHORIZED)
    await poll(LONG)
    await poll(LONG)
    assert said(told) == [("api_key_rejected", None)]
    await unload(hass, account)
    simulator.recover()
    hass.set_state(CoreState.not_running)
    await setup(hass, account)
    assert told == []
    await start(hass)
    assert said(told) == [("recovered", "api_key_rejected")]


@pytest.mark.logs(*["Error fetching"] * 3)
async def test_failure_that_outlasts_restarts(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    told = await arm(hass)
    simulator.fail(Fault.UNAUTHORIZED)
    await poll(LONG)
    assert told == []
    await restart(hass, account)
    assert said(told) == [("api_key_rejected", None)]
    await restart(hass, account)
    await poll(LONG)
    assert told == []


@pytest.mark.logs("Error fetching", "Error fetching")
async def test_hiccups(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """One failed poll between good ones is nobody's business, however often."""
    told = await arm(hass)
    for _ in range(2):
        simulator.fail(Fault.SERVER_ERROR)
        await poll(LONG)
        simulator.recover()
        await poll(LONG)
    assert told == []
    assert last_event(hass) == (None, {})


@pytest.mark.logs("Error fetching")
async def test_one_failure_becomes_another(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The other one is told when it lasts as well, and each has passed in the end."""
    told = await arm(hass)
    simulator.fail(Fault.SERVER_ERROR)
    await poll(LONG)
    await poll(LONG)
    simulator.fail(Fault.UNAUTHORIZED)
    await poll(LONG)
    assert said(told) == [("account_unavailable", None)]
    await poll(LONG)
    assert said(told) == [("api_key_rejected", None)]
    simulator.recover()
    await poll(LONG)
    assert said(told) == [
        ("recovered", "account_unavailable"),
        ("recovered", "api_key_rejected"),
    ]


async def test_several_in_one_poll(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Each is an event of its own."""
    hass.config_entries.async_update_entry(account, options={CONF_LOW_BALANCE: 50})
    await reload(hass, account)
    told = await arm(hass)
    events = async_capture_events(hass, EVENT_STATE_CHANGED)
    simulator.body["data"]["models"][1]["used"] = 2000
    report(simulator, monthly_spend=510, available=10, used=850)
    await poll()
    expected = [
        ("spend_level", 100, None),
        ("balance_low", None, None),
        ("model_level", 80, "qwen-max"),
        ("model_level", 100, "qwen-plus"),
    ]
    states = [
        event.data["new_state"]
        for event in events
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
        for trigger in (event.data["trigger"] for event in told)
    ] == [(KINDS[kind], level, model) for kind, level, model in expected]
    assert len(set(ids(told))) == 4


async def test_levels_once_in_a_period(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
) -> None:
    """Of several crossed at once the highest is told; a new period arms all."""
    told = await arm(hass)
    for spend, expected in ((450, [80]), (300, []), (420, []), (500, [100]), (900, [])):
        report(simulator, monthly_spend=spend)
        await poll()
        assert said(told) == [("spend_level_reached", level) for level in expected]
    freezer.move_to("2026-08-31 16:00:00+00:00")
    report(
        simulator,
        monthly_spend=260,
        billing_period={"start": "2026-09-01", "end": "2026-09-30"},
    )
    await poll()
    assert told[0].data["trigger"]["period"] == "2026-09-01"
    assert said(told) == [("spend_level_reached", 50)]


async def test_model_levels_arm_again(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A level is told again once the use has been ten points below, also over a reload."""
    told = await arm(hass)
    for used, expected in ((800, [80]), (701, []), (800, []), (700, []), (800, [80])):
        report(simulator, used=used)
        await poll()
        await reload(hass, account)
        assert said(told) == [("model_level_reached", level) for level in expected]


async def test_models_that_were_not_chosen(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """They have no device, and alert nobody."""
    hass.config_entries.async_update_entry(
        account, options={CONF_MODELS: ["qwen-plus"]}
    )
    await reload(hass, account)
    told = await arm(hass)
    report(simulator, used=900)
    await poll()
    assert told == []
    simulator.body["data"]["models"][1]["used"] = 2000
    await poll()
    assert [event.data["trigger"]["model"] for event in told] == ["qwen-plus"]


async def test_balance_arms_again(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A balance has to rise to 10 % above the threshold first, also over a reload."""
    hass.config_entries.async_update_entry(account, options={CONF_LOW_BALANCE: "50.5"})
    await reload(hass, account)
    told = await arm(hass)
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
        assert said(told) == [("balance_low", None)] * times


async def test_restored_over_a_restart(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The last event is shown with all it said, at the time it was."""
    report(simulator, monthly_spend=400)
    await poll()
    before = hass.states.get("event.model_studio_alerts")
    assert before is not None
    await unload(hass, account)
    assert state(hass, "alerts") == STATE_UNAVAILABLE
    await async_mock_restore_state_shutdown_restart(hass)
    await poll(LONG)
    await setup(hass, account)
    after = hass.states.get("event.model_studio_alerts")
    assert after is not None
    assert (after.state, after.attributes) == (before.state, before.attributes)
    assert last_event(hass) == ("spend_level", LEVEL_80)


@pytest.mark.parametrize("again", [reload, restart])
async def test_neither_lost_nor_repeated(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    again: Callable[..., Any],
) -> None:
    """A reload and a restart repeat nothing, and what is crossed then is told."""
    told = await arm(hass)
    report(simulator, monthly_spend=400, used=850)
    await poll()
    assert said(told) == [("spend_level_reached", 80), ("model_level_reached", 80)]
    for _ in range(2):
        await again(hass, account)
        await poll()
    assert told == []
    report(simulator, monthly_spend=500, used=1000)
    await again(hass, account)
    assert said(told) == [("spend_level_reached", 100), ("model_level_reached", 100)]
    await again(hass, account)
    assert told == []


@pytest.mark.logs("Error fetching", "Error fetching")
async def test_crossed_in_an_outage(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """What was told before is not again after one; what was crossed in it is."""
    told = await arm(hass)
    report(simulator, monthly_spend=400)
    await poll()
    assert said(told) == [("spend_level_reached", 80)]
    for spend, levels in ((420, []), (520, [("spend_level_reached", 100)])):
        await simulator.stop()
        report(simulator, monthly_spend=spend)
        await poll()
        assert state(hass, "monthly_spend") == STATE_UNAVAILABLE
        await simulator.start()
        await poll()
        assert said(told) == levels


@pytest.mark.parametrize("automation_first", [True, False])
async def test_crossed_while_home_assistant_was_down(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
    automation_first: bool,
) -> None:
    """It is told once automations are armed, at the end of the start, and once only."""
    report(simulator, monthly_spend=400)
    await poll()
    await unload(hass, account)
    report(simulator, monthly_spend=500)

    hass.set_state(CoreState.not_running)
    if automation_first:
        told = await arm(hass)
        await setup(hass, account)
    else:
        await setup(hass, account)
        told = await arm(hass)
    # Polls while others still start.
    await poll()
    await poll()
    assert levels_kept(kept) == ["80"]
    assert last_event(hass) == ("spend_level", LEVEL_80)
    assert told == []

    await start(hass)
    assert said(told) == [("spend_level_reached", 100)]
    assert last_event(hass)[1]["level"] == 100
    assert levels_kept(kept) == ["100"]
    await poll()
    await reload(hass, account)
    assert told == []


async def test_crossed_while_home_assistant_stops(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    """Automations may have stopped then: it is told by the next run."""
    told = await arm(hass)
    report(simulator, monthly_spend=400)
    hass.set_state(CoreState.stopping)
    await account.runtime_data.async_refresh()
    assert state(hass, "monthly_spend") == "400"
    assert last_event(hass) == (None, {})
    await restart(hass, account)
    assert said(told) == [("spend_level_reached", 80)]


async def test_unloaded_before_the_start_ends(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    """An account that is stopped judges nothing any more; started again, it does once."""
    await unload(hass, account)
    report(simulator, monthly_spend=400)
    hass.set_state(CoreState.not_running)
    told = await arm(hass)
    await setup(hass, account)
    await unload(hass, account)
    await start(hass)
    assert told == []
    await setup(hass, account)
    assert said(told) == [("spend_level_reached", 80)]


async def test_crossed_in_a_reload(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    """Conditions and actions of what it runs find the account, as with any poll."""
    told = async_capture_events(hass, "told")
    automation = {
        "triggers": {"trigger": f"{DOMAIN}.spend_level_reached"},
        "conditions": {
            "condition": f"{DOMAIN}.is_over_budget",
            "options": {"level": 50},
        },
        "actions": [
            {
                "action": f"{DOMAIN}.get_usage",
                "data": {"config_entry_id": account.entry_id},
                "response_variable": "usage",
            },
            {
                "event": "told",
                "event_data": {"of": "{{ usage.account.monthly_spend.value }}"},
            },
        ],
    }
    assert await async_setup_component(hass, AUTOMATION, {AUTOMATION: automation})
    report(simulator, monthly_spend=400)
    await reload(hass, account)
    assert [event.data for event in told] == [{"of": 400}]


async def test_crossed_while_the_account_is_unloaded(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    """When its entities are gone nothing is told: the event would not show it."""
    told = await arm(hass)
    report(simulator, monthly_spend=400)
    entity, coordinator = entity_id(hass, "alerts"), account.runtime_data

    async def poll(event: Event[Any]) -> None:
        if event.data["entity_id"] == entity:
            await coordinator.async_refresh()

    stop = hass.bus.async_listen(EVENT_STATE_CHANGED, poll)
    await unload(hass, account)
    stop()
    assert coordinator.data.monthly_spend.amount == 400
    assert told == []
    await setup(hass, account)
    assert said(told) == [("spend_level_reached", 80)]
    assert last_event(hass) == ("spend_level", LEVEL_80)


@pytest.mark.usefixtures("account")
async def test_kept_after_it_was_sent_and_before_the_poll_ends(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """Sent first: a process that dies in between repeats an alert and loses none."""
    await poll()
    when_sent: list[Any] = []

    @callback
    def sent(event: Event[Any]) -> None:
        if event.data["entity_id"] == "event.model_studio_alerts":
            when_sent.append(levels_kept(kept))

    hass.bus.async_listen(EVENT_STATE_CHANGED, sent)
    report(simulator, monthly_spend=400)
    await account.runtime_data.async_refresh()
    # Not even the loop had a turn.
    assert levels_kept(kept) == ["80"]
    assert when_sent == [[None]]
    await hass.async_block_till_done()


@pytest.mark.logs("Error fetching", "Error fetching")
async def test_first_failure_is_kept_too(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """The second in a row counts, also if the process died between the two."""
    told = await arm(hass)
    simulator.fail(Fault.SERVER_ERROR)
    await poll()
    as_killed = deepcopy(kept[STORED])
    await unload(hass, account)
    kept[STORED] = as_killed
    assert told == []
    await setup(hass, account)
    assert said(told) == [("account_unavailable", None)]


@pytest.mark.parametrize("kind", ["spend_level", "balance_low", "model_level"])
async def test_dies_between_sending_and_keeping(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
    kind: str,
) -> None:
    """Then it is repeated with the same id, by which it can be told from a new one."""
    options, cause, _ = CAUSES[kind]
    hass.config_entries.async_update_entry(account, options=options)
    await reload(hass, account)
    told = await arm(hass)
    before = deepcopy(kept[STORED])
    cause(simulator)
    await poll()
    (first,) = ids(told)
    assert len(said(told)) == 1

    await unload(hass, account)
    kept[STORED] = before
    await setup(hass, account)
    assert ids(told) == [first]
    assert last_event(hass)[0] == kind
    assert len(said(told)) == 1
    await reload(hass, account)
    await poll()
    assert told == []


@pytest.mark.logs(*["Error fetching"] * 3)
async def test_failure_dies_between_sending_and_keeping(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """A failure, too, has the same id when it is repeated, and another the next time."""
    told = await arm(hass)
    simulator.fail(Fault.THROTTLED)
    await poll(LONG)
    before = deepcopy(kept[STORED])
    await poll(LONG)
    await unload(hass, account)
    kept[STORED] = before
    await setup(hass, account)
    first, again = ids(told)
    assert first == again
    assert said(told) == [("rate_limited", None)] * 2

    simulator.recover()
    await poll(LONG)
    simulator.fail(Fault.THROTTLED)
    await poll(LONG)
    await poll(LONG)
    assert first not in ids(told)
    assert said(told) == [("recovered", "rate_limited"), ("rate_limited", None)]


@pytest.mark.logs("Error fetching")
async def test_restored_figures_trigger_nothing(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """Throttled at a start, the figures of the last run are shown, and no news."""
    report(simulator, monthly_spend=400, used=850)
    await poll()
    await unload(hass, account)
    # As if nothing had been judged before.
    del kept[STORED]["data"]["alerts"]
    simulator.fail(Fault.THROTTLED)
    told = await arm(hass)
    await setup(hass, account)
    assert state(hass, "monthly_spend") == "400"
    assert state(hass, "usage_pct", "qwen-max") == "85.0"
    assert told == []
    await poll(LONG)
    assert said(told) == [("rate_limited", None)]
    simulator.recover()
    await poll(LONG)
    assert said(told) == [
        ("spend_level_reached", 80),
        ("model_level_reached", 80),
        ("recovered", "rate_limited"),
    ]


@pytest.mark.logs("Error fetching")
async def test_throttled_figures_repeat_nothing(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Figures that are kept while the service throttles are no news either."""
    told = await arm(hass)
    report(simulator, monthly_spend=400, used=850)
    await poll()
    said(told)
    simulator.fail(Fault.THROTTLED)
    await poll(LONG)
    await poll(LONG)
    assert state(hass, "monthly_spend") == "400"
    simulator.recover()
    await poll(LONG)
    assert said(told) == [("rate_limited", None), ("recovered", "rate_limited")]


async def test_unknown_triggers_nothing(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Nor does it arm anything: when the figures are back they are no news."""
    hass.config_entries.async_update_entry(account, options={CONF_LOW_BALANCE: 50})
    await reload(hass, account)
    told = await arm(hass)
    report(simulator, monthly_spend=400, used=850, available=40)
    await poll()
    known = deepcopy(simulator.body)
    assert len(said(told)) == 3
    unknown: list[dict[str, Any]] = [
        {"monthly_spend": None},
        {"spend_limit": None},
        {"spend_limit": 0},
        {"monthly_spend": "a lot"},
        {"available": None},
        {"models": None},
        {"models": []},
    ]
    for figures in unknown:
        report(simulator, **figures)
        await poll()
        await reload(hass, account)
        simulator.body = deepcopy(known)
        await poll()
        assert told == [], figures


async def test_unknown_from_the_start(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    told = await arm(hass)
    known = deepcopy(simulator.body)
    simulator.body["data"] = {"models": [], "spend_limit": 500}
    await setup(hass, entry)
    await poll()
    assert told == []
    simulator.body = known
    report(simulator, monthly_spend=400)
    await poll()
    assert said(told) == [("spend_level_reached", 80)]


async def test_works_with_every_entity_disabled(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Triggers do not hang on entities."""
    hass.config_entries.async_update_entry(entry, pref_disable_new_entities=True)
    told = await arm(hass)
    await setup(hass, entry)
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    assert len(entities) > 20
    assert all(entity.disabled for entity in entities)
    assert hass.states.async_all(("event", "sensor", "binary_sensor")) == []
    report(simulator, monthly_spend=400, used=850)
    await poll()
    assert said(told) == [("spend_level_reached", 80), ("model_level_reached", 80)]
    await reload(hass, entry)
    assert told == []


async def test_removed_account(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """Nothing is left of it on the disk; automations on it stay valid and silent."""
    device_id = account.runtime_data.device_id
    trigger = {**EVERY_TRIGGER[0], "options": {"device_id": device_id}}
    told = await arm(hass, trigger)
    report(simulator, monthly_spend=400)
    await poll()
    assert said(told) == [("spend_level_reached", 80)]
    assert STORED in kept
    assert await hass.config_entries.async_remove(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    report(simulator, monthly_spend=500)
    for _ in range(3):
        await poll(LONG)
    assert STORED not in kept
    assert told == []
    for service in ("turn_off", "turn_on"):
        await hass.services.async_call(
            AUTOMATION, service, {"entity_id": "automation.tell"}, blocking=True
        )
    assert hass.states.is_state("automation.tell", STATE_ON)
    result = await async_validate_trigger_config(hass, cv.TRIGGER_SCHEMA([trigger]))
    assert result[0]["options"] == {"device_id": [device_id]}


async def test_removed_in_the_middle_of_a_poll(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """What comes after says nothing, and leaves nothing."""
    told = await arm(hass)
    report(simulator, monthly_spend=400)
    polling = hass.async_create_task(account.runtime_data.async_refresh())
    assert await hass.config_entries.async_remove(account.entry_id)
    await polling
    await poll(LONG)
    assert told == []
    assert STORED not in kept


async def test_second_account(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """Each has its own alerts, event entity and store; ids are never the same."""
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
        told = await arm(hass)
        report(elsewhere, monthly_spend=400)
        await poll()
        assert [event.data["trigger"]["account"] for event in told] == ["Elsewhere"]
        assert last_event(hass) == (None, {})
        shown = hass.states.get("event.elsewhere_alerts")
        assert shown is not None
        assert shown.attributes["event_type"] == "spend_level"

        report(simulator, monthly_spend=400)
        await poll()
        assert [event.data["trigger"]["account"] for event in told] == [
            "Elsewhere",
            "Model Studio",
        ]
        assert last_event(hass) == ("spend_level", LEVEL_80)
        assert len(set(ids(told))) == 2
        told.clear()

        assert await hass.config_entries.async_remove("other")
        await hass.async_block_till_done(wait_background_tasks=True)
        assert f"{DOMAIN}.other" not in kept
        report(simulator, monthly_spend=500)
        report(elsewhere, monthly_spend=500)
        await poll()
        assert [event.data["trigger"]["account"] for event in told] == ["Model Studio"]
        assert STORED in kept


async def test_options_changed(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A level added or a budget changed tells only what is newly crossed."""
    told = await arm(hass)
    report(simulator, monthly_spend=400)
    await poll()
    assert said(told) == [("spend_level_reached", 80)]

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
        return said(told)

    assert await choose(spend_levels=["50", "75", "80", "100"]) == []
    assert await choose(monthly_budget=450) == []
    assert await choose(monthly_budget=390) == [("spend_level_reached", 100)]
    assert await choose(monthly_budget=450) == []
    assert await choose(monthly_budget=390) == []
    assert await choose(low_balance=200) == [("balance_low", None)]
    assert await choose(model_levels=["10"]) == [("model_level_reached", 10)]
    assert await choose(spend_levels=[]) == []
    report(simulator, monthly_spend=4000)
    await poll()
    assert told == []


@pytest.mark.logs("Error fetching")
async def test_reauth(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A new key neither repeats nor loses anything, and is what has recovered."""
    told = await arm(hass)
    report(simulator, monthly_spend=400)
    await poll()
    assert said(told) == [("spend_level_reached", 80)]
    simulator.api_keys = {"sk-another"}
    await poll()
    await poll(LONG)
    assert said(told) == [("api_key_rejected", None)]
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["context"]["source"] == SOURCE_REAUTH
    report(simulator, monthly_spend=500)
    result = await hass.config_entries.flow.async_configure(
        flow["flow_id"], {CONF_API_KEY: "sk-another"}
    )
    assert result["reason"] == "reauth_successful"
    await hass.async_block_till_done(wait_background_tasks=True)
    assert said(told) == [
        ("spend_level_reached", 100),
        ("recovered", "api_key_rejected"),
    ]
    await poll(LONG)
    assert told == []


async def test_renamed_account(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The name is the one that the account has now."""
    told = await arm(hass)
    hass.config_entries.async_update_entry(account, title="Work")
    await hass.async_block_till_done()
    report(simulator, monthly_spend=400)
    await poll()
    assert [event.data["trigger"]["account"] for event in told] == ["Work"]


async def test_forecast_by_own_observation(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """After three days that are over there is one, which is alerted once in a period."""
    freezer.move_to(noon(10))
    hass.config_entries.async_update_entry(entry, options={CONF_MONTHLY_BUDGET: 260})
    report(simulator, daily_spend=5, monthly_spend=95)
    await setup(hass, entry)
    told = await arm(hass)
    await spend_alike(simulator, freezer, poll, [10, 11, 12])
    for key in (
        "projected_monthly_spend",
        "budget_exhausted_on",
        "balance_lasts_until",
    ):
        assert state(hass, key) == STATE_UNKNOWN
    assert attributes(hass, "projected_monthly_spend")["low"] is None
    assert told == []

    await spend_alike(simulator, freezer, poll, [13])
    # 125 by noon, a half day and 18 whole ones to go at 10 a day.
    assert state(hass, "projected_monthly_spend") == "310.00"
    (event,) = told
    trigger = event.data["trigger"]
    assert {key: trigger[key] for key in NOTHING} == {
        **NOTHING,
        "spend": 125,
        "budget": 260,
        "projected": 310,
        "currency": "USD",
        "period": "2026-08-01",
    }
    assert said(told) == [("forecast_over_budget", None)]
    assert last_event(hass)[0] == "forecast_over_budget"

    await restart(hass, entry)
    assert state(hass, "projected_monthly_spend") == "310.00"
    await spend_alike(simulator, freezer, poll, [14])
    assert said(told) == [("spend_level_reached", 50)]
    # 135 by noon of the 14th, 17.5 days to go. A drift of 5 % a day makes the interval:
    # 1.2816 * 0.05 * 175 * sqrt(17.5 / 3) = 27.08.
    assert state(hass, "projected_monthly_spend") == "310.00"
    shown = attributes(hass, "projected_monthly_spend")
    assert (shown["low"], shown["high"]) == (282.92, 337.08)
    assert shown["unit_of_measurement"] == "USD"
    assert state(hass, "budget_usage_pct") == "51.9231"
    assert state(hass, "remaining_budget") == "125"
    # 5 until midnight, and 12 whole days.
    assert state(hass, "budget_exhausted_on") == "2026-08-26"
    # Of 100.25 the half day takes 5: 9.525 days from midnight, 12:36 of the 24th.
    assert state(hass, "balance_lasts_until") == "2026-08-24"


async def test_forecast_goes_with_the_day(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Also where the service says the same as yesterday, as nothing more is spent."""
    freezer.move_to(noon(10))
    hass.config_entries.async_update_entry(entry, options={CONF_MONTHLY_BUDGET: 260})
    report(simulator, daily_spend=5, monthly_spend=95)
    await setup(hass, entry)
    await spend_alike(simulator, freezer, poll, [10, 11, 12, 13, 14])
    reached, projected = "2026-08-26", "310.00"
    assert state(hass, "budget_exhausted_on") == reached
    report(simulator, daily_spend=0, monthly_spend=135)
    for day in range(15, 32):
        freezer.move_to(noon(day))
        await poll()
        now = state(hass, "projected_monthly_spend")
        assert now == str(entry.runtime_data.account.outlook.projected.amount)
    assert now != projected
    assert state(hass, "budget_exhausted_on") == STATE_UNKNOWN


async def test_forecast_of_a_month_that_is_over(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """A service that is late to begin the next one makes no budget exceeded."""
    freezer.move_to(noon(28))
    hass.config_entries.async_update_entry(entry, options={CONF_MONTHLY_BUDGET: 312})
    report(simulator, daily_spend=5, monthly_spend=275)
    await setup(hass, entry)
    told = await arm(hass)
    await spend_alike(simulator, freezer, poll, [28, 29, 30, 31])
    freezer.move_to("2026-08-31 23:58:00+08:00")
    report(simulator, daily_spend=10, monthly_spend=310)
    await poll()
    assert state(hass, "projected_monthly_spend") == "310.42"
    freezer.move_to("2026-09-01 00:04:00+08:00")
    await poll()
    assert state(hass, "projected_monthly_spend") == "310.00"
    assert state(hass, "budget_exhausted_on") == STATE_UNKNOWN
    report(
        simulator,
        daily_spend=0,
        monthly_spend=0,
        billing_period={"start": "2026-09-01", "end": "2026-09-30"},
    )
    freezer.move_to("2026-09-01 00:14:00+08:00")
    await poll()
    assert state(hass, "projected_monthly_spend") == "300.00"
    assert said(told) == []


async def test_forecast_alert_switched_off(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """There is a forecast then, and no alert of it."""
    freezer.move_to(noon(10))
    hass.config_entries.async_update_entry(
        entry, options={CONF_MONTHLY_BUDGET: 300, CONF_FORECAST_ALERT: False}
    )
    report(simulator, daily_spend=5, monthly_spend=95)
    await setup(hass, entry)
    told = await arm(hass)
    await spend_alike(simulator, freezer, poll, [10, 11, 12, 13])
    assert state(hass, "projected_monthly_spend") == "310.00"
    assert told == []


async def test_days_are_kept_over_restarts(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """Days that were seen in different runs count alike."""
    freezer.move_to(noon(10))
    report(simulator, daily_spend=5, monthly_spend=95)
    await setup(hass, entry)
    for day in (10, 11, 12):
        await spend_alike(simulator, freezer, poll, [day])
        assert state(hass, "projected_monthly_spend") == STATE_UNKNOWN
        await restart(hass, entry)
        kept[STORED] = json.loads(json.dumps(kept[STORED]))
    await spend_alike(simulator, freezer, poll, [13])
    assert state(hass, "projected_monthly_spend") == "310.00"


async def test_days_are_those_of_a_host(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """What was seen elsewhere is another account's."""
    freezer.move_to(noon(10))
    report(simulator, daily_spend=5, monthly_spend=95)
    await setup(hass, entry)
    await spend_alike(simulator, freezer, poll, [10, 11, 12])
    await unload(hass, entry)
    assert kept[STORED]["data"]["base_url"] == simulator.base_url
    kept[STORED]["data"]["base_url"] = "https://elsewhere.example/api/v1"
    await setup(hass, entry)
    await spend_alike(simulator, freezer, poll, [13])
    assert state(hass, "projected_monthly_spend") == STATE_UNKNOWN


@pytest.mark.parametrize(
    ("part", "damaged", "loses"),
    [
        ("alerts", {"failing": "of a later version"}, ("alerts",)),
        ("alerts", ["a list"], ("alerts",)),
        ("days", {"currency": "USD"}, ("forecast",)),
        ("days", {"currency": "USD", "billed": {"one": 1}}, ("forecast",)),
        ("spend", {"daily_spend": {"amount": "much"}}, ()),
    ],
)
@pytest.mark.logs("can't be read")
async def test_stored_and_damaged(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
    part: str,
    damaged: Any,
    loses: tuple[str, ...],
) -> None:
    """What can't be read is begun anew; all else is as it was."""
    freezer.move_to(noon(10))
    hass.config_entries.async_update_entry(entry, options={CONF_MONTHLY_BUDGET: 260})
    report(simulator, daily_spend=5, monthly_spend=95)
    await setup(hass, entry)
    await spend_alike(simulator, freezer, poll, [10, 11, 12, 13, 14])
    await unload(hass, entry)
    stored = kept[STORED]["data"]
    stored[part] = (
        stored[part] | damaged
        if part == "alerts" and isinstance(damaged, dict)
        else damaged
    )
    told = await arm(hass)
    await setup(hass, entry)
    assert state(hass, "monthly_spend") == "135"
    forecast = state(hass, "projected_monthly_spend")
    assert (forecast == STATE_UNKNOWN) is ("forecast" in loses)
    assert bool(said(told)) is ("alerts" in loses)
    await unload(hass, entry)
    assert kept[STORED]["data"][part] not in (damaged, None)


@pytest.mark.logs("Error setting up entry")
async def test_stored_by_a_later_version(
    hass: HomeAssistant, account: MockConfigEntry, kept: dict[str, Any]
) -> None:
    """It is left as it is, and said."""
    await unload(hass, account)
    kept[STORED]["version"] = 2
    before = deepcopy(kept[STORED])
    await hass.config_entries.async_setup(account.entry_id)
    assert account.state is ConfigEntryState.SETUP_ERROR
    assert account.error_reason_translation_key == "stored_by_later_version"
    assert kept[STORED] == before


async def test_news_while_it_is_written(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    hass_storage: dict[str, Any],
) -> None:
    """What comes then is yet to be written."""
    await setup(hass, with_access_key)
    store = with_access_key.runtime_data.store
    saving = hass.async_create_task(store.async_save())
    day, amount = date(2026, 8, 2), Money(amount=Decimal(77), currency="CNY")
    store.bill({day: amount}, "CNY")
    await saving
    assert store.unsaved
    await unload(hass, with_access_key)
    assert not store.unsaved
    assert hass_storage[STORED]["data"]["days"]["billed"]["2026-08-02"] == "77"


async def test_stored_by_an_earlier_version(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    kept: dict[str, Any],
) -> None:
    """It knew of no days and of no alerts."""
    await unload(hass, account)
    for key in ("days", "alerts", "history"):
        del kept[STORED]["data"][key]
    report(simulator, monthly_spend=400)
    told = await arm(hass)
    await setup(hass, account)
    assert said(told) == [("spend_level_reached", 80)]


def give_access_key(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, **options: Any
) -> None:
    """Let the API key of an account read limits only, and an AccessKey its bill.

    By `NOW`, 886.53 CNY are billed, and 2,353.47 CNY are left.
    """
    simulator.body = None
    simulator.account = Account(answer="limits")
    [(key_id, secret)] = simulator.access_keys.items()
    hass.config_entries.async_update_entry(
        entry,
        data={
            **entry.data,
            CONF_ACCESS_KEY_ID: key_id,
            CONF_ACCESS_KEY_SECRET: secret,
            CONF_REGION: "cn-beijing",
            CONF_BILLING_ENDPOINT: simulator.openapi_url,
            CONF_BALANCE_ENDPOINT: simulator.openapi_url,
            CONF_PROMETHEUS_URL: simulator.prometheus_url,
        },
        options={CONF_MODELS: ["qwen-max", "qwen-plus"], **options},
    )


@pytest.fixture
def with_access_key(
    hass: HomeAssistant,
    simulator: Simulator,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> MockConfigEntry:
    """Return an account whose bill is read, with a budget of 1,000."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator, monthly_budget=1000, forecast_alert=False)
    return entry


def bill(simulator: Simulator, amount: float) -> None:
    """Bill more today, in CNY."""
    simulator.account.adjust(simulator.account.today, "qwen-max", amount)


async def test_spend_of_the_bill(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """It counts where the API key reads none, and is kept before its poll ends."""
    told = await arm(hass)
    await setup(hass, with_access_key)
    (event,) = told
    trigger = event.data["trigger"]
    assert {key: trigger[key] for key in NOTHING} == {
        **NOTHING,
        "level": 80,
        "spend": 886.53,
        "budget": 1000,
        "currency": "CNY",
        "period": "2026-08-01",
    }
    assert said(told) == [("spend_level_reached", 80)]
    await reload(hass, with_access_key)
    await poll(LONG)
    assert told == []

    bill(simulator, 200)
    await with_access_key.runtime_data.sources[Source.SPEND].async_refresh()
    assert levels_kept(kept) == ["100"]
    await hass.async_block_till_done()
    assert said(told) == [("spend_level_reached", 100)]


@pytest.mark.logs("Error fetching")
async def test_revoked_api_key_beside_a_bill(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """What the AccessKey reads is alerted all the same, also from the start."""
    told = await arm(hass)
    simulator.api_keys = set()
    await setup(hass, with_access_key)
    assert said(told) == [("spend_level_reached", 80)]
    bill(simulator, 200)
    await poll(LONG)
    # Two polls, in either order.
    assert sorted(said(told)) == [
        ("api_key_rejected", None),
        ("spend_level_reached", 100),
    ]


@pytest.mark.logs("Error fetching")
async def test_throttled_api_key_beside_a_bill(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """A throttled start keeps back figures of an earlier run, not those of the bill."""
    told = await arm(hass)
    simulator.fail(Fault.THROTTLED)
    await setup(hass, with_access_key)
    assert state(hass, "monthly_spend") == "886.53"
    assert said(told) == [("spend_level_reached", 80)]


@pytest.mark.logs("Error fetching")
async def test_sources_do_not_count_as_polls(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """What they read between two polls of the account does not make its failure last."""
    told = await arm(hass)
    await setup(hass, with_access_key)
    assert said(told) == [("spend_level_reached", 80)]
    simulator.api_keys = set()
    await poll()
    asked = len(simulator.signed_requests)
    for _ in range(4):
        await poll(61)
    assert len(simulator.signed_requests) > asked
    assert told == []
    await poll(61)
    assert said(told) == [("api_key_rejected", None)]


@pytest.mark.logs(*["Error fetching"] * 4)
async def test_failing_sources(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """They are not the account's failures, and when they are back it is no news."""
    told = await arm(hass)
    await setup(hass, with_access_key)
    assert said(told) == [("spend_level_reached", 80)]
    for service in ("billing", "balance", "prometheus"):
        simulator.fail(Fault.THROTTLED, at=service)
    for _ in range(3):
        await poll(LONG)
    assert state(hass, "monthly_spend") == STATE_UNAVAILABLE
    simulator.recover()
    await poll(LONG)
    assert state(hass, "monthly_spend") != STATE_UNAVAILABLE
    assert told == []


async def test_balance_and_models_of_an_access_key(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """The balance is that of the console, a model's use that of the last minute."""
    hass.config_entries.async_update_entry(
        with_access_key,
        options={
            CONF_MODELS: ["qwen-max"],
            CONF_LOW_BALANCE: 2353.47,
            CONF_MODEL_LEVELS: [0.001],
        },
    )
    told = await arm(hass)
    await setup(hass, with_access_key)
    by_kind = {
        event.data["trigger"]["platform"]: event.data["trigger"] for event in told
    }
    assert len(told) == len(by_kind) == 2
    balance = by_kind[f"{DOMAIN}.balance_low"]
    assert (balance["balance"], balance["currency"]) == (2353.47, "CNY")
    model = by_kind[f"{DOMAIN}.model_level_reached"]
    assert model["model"] == "qwen-max"
    assert str(model["usage_pct"]) == state(hass, "load_pct", "qwen-max")
    # Those that are not followed are nobody's business.
    assert "qwen-plus" not in {trigger["model"] for trigger in by_kind.values()}


async def test_forecast_of_the_bill(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Its days count at once, and also after a restart that reads them no more."""
    hass.config_entries.async_update_entry(
        with_access_key, options={CONF_MONTHLY_BUDGET: 1000}
    )
    told = await arm(hass)
    await setup(hass, with_access_key)
    days = [date(2026, 8, day) for day in range(1, 15)]
    expected = forecast_period(
        {day: total_on(simulator.account, day) for day in days},
        spent=Decimal("886.53"),
        now=datetime.fromisoformat(NOW),
        end=date(2026, 8, 31),
    )
    assert expected is not None
    assert expected.projected > 1000
    assert state(hass, "projected_monthly_spend") == str(expected.projected)
    shown = attributes(hass, "projected_monthly_spend")
    assert (shown["low"], shown["high"]) == (float(expected.low), float(expected.high))
    assert shown["unit_of_measurement"] == "CNY"
    assert said(told) == [("spend_level_reached", 80), ("forecast_over_budget", None)]


async def test_days_of_the_bill_are_kept_over_restarts(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Those of last month, too, which are not read again, make a forecast.

    The bill of its last day may not have been all of it.
    """
    freezer.move_to("2026-08-31 23:59:59+08:00")
    await setup(hass, with_access_key)
    await unload(hass, with_access_key)
    freezer.move_to("2026-09-02 18:00:00+08:00")
    await setup(hass, with_access_key)
    days = [date(2026, 8, day) for day in range(1, 31)] + [date(2026, 9, 1)]
    expected = forecast_period(
        {day: total_on(simulator.account, day) for day in days},
        spent=Decimal(state(hass, "monthly_spend") or ""),
        now=simulator.account.now,
        end=date(2026, 9, 30),
    )
    assert expected is not None
    assert state(hass, "projected_monthly_spend") == str(expected.projected)


@pytest.mark.parametrize(("currency", "counts"), [("CNY", False), ("USD", True)])
async def test_bill_beside_spend_of_the_api_key(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    currency: str,
    counts: bool,
) -> None:
    """The days of a bill are those of the spend if it is in the same currency."""
    simulator.account.answer = "account"
    simulator.account.currency = currency
    await setup(hass, with_access_key)
    await reload(hass, with_access_key)
    assert attributes(hass, "monthly_spend")["unit_of_measurement"] == "USD"
    assert (state(hass, "projected_monthly_spend") != STATE_UNKNOWN) is counts


@pytest.mark.logs("Error fetching")
async def test_bill_in_another_currency_while_the_api_key_fails(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Days that were seen in the account's own outlast a start in an outage."""
    simulator.account.answer = "account"
    simulator.body = answer("account")
    freezer.move_to(noon(10))
    report(simulator, daily_spend=5, monthly_spend=95)
    await setup(hass, with_access_key)
    await spend_alike(simulator, freezer, poll, [10, 11, 12, 13])
    assert state(hass, "projected_monthly_spend") == "310.00"
    simulator.fail(Fault.SERVER_ERROR, at="quotas")
    await restart(hass, with_access_key)
    simulator.recover()
    await poll()
    assert state(hass, "projected_monthly_spend") == "310.00"


async def test_days_of_the_past(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """With a recorder the bills of the past are read, which makes a forecast at once."""
    freezer.move_to("2026-08-02 20:00:00+08:00")
    await setup(hass, with_access_key)
    days = [date(2026, 8, 1) - timedelta(days=age) for age in range(56)]
    expected = forecast_period(
        {day: total_on(simulator.account, day) for day in days},
        spent=Decimal(state(hass, "monthly_spend") or ""),
        now=simulator.account.now,
        end=date(2026, 8, 31),
    )
    assert expected is not None
    assert state(hass, "projected_monthly_spend") == str(expected.projected)
    await async_wait_recording_done(hass)
    sensor = entity_id(hass, "projected_monthly_spend") or ""
    history = await get_instance(hass).async_add_executor_job(
        state_changes_during_period,
        hass,
        dt_util.utcnow() - timedelta(days=1),
        None,
        sensor,
    )
    recorded = history[sensor][-1]
    assert recorded.state == str(expected.projected)
    assert {"low", "high"}.isdisjoint(recorded.attributes)
    imported = {
        statistic["name"]
        for statistic in await async_list_statistic_ids(hass)
        if statistic["source"] == DOMAIN
    }
    assert imported == {
        f"Model Studio {of}" for of in ("Daily spend", "qwen-max", "qwen-plus")
    }
    assert "unit_of_measurement" in recorded.attributes
    await unload(hass, with_access_key)
    await async_wait_recording_done(hass)


async def test_forecast_changes_with_the_hour(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Within it, only with what is spent: another model's use changes nothing."""
    freezer.move_to(noon(10))
    report(simulator, daily_spend=5, monthly_spend=95)
    await setup(hass, entry)
    await spend_alike(simulator, freezer, poll, [10, 11, 12, 13, 14])
    freezer.move_to(noon(14) + timedelta(minutes=1))
    shown = set()
    for used in range(20):
        report(simulator, used=used)
        await poll(120)
        shown.add(state(hass, "projected_monthly_spend"))
    assert len(shown) == 1
    report(simulator, used=50)
    await poll(60 * 60)
    assert state(hass, "projected_monthly_spend") not in shown
    report(simulator, monthly_spend=140)
    before = state(hass, "projected_monthly_spend")
    await poll()
    assert state(hass, "projected_monthly_spend") != before
