"""No alert is lost and none is repeated through reloads, restarts and crashes."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
    async_mock_restore_state_shutdown_restart,
)

from custom_components.alibaba_cloud.const import DOMAIN
from homeassistant.components.automation import DOMAIN as AUTOMATION
from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE
from homeassistant.core import CoreState, Event, HomeAssistant, callback
from homeassistant.setup import async_setup_component

from .common import (
    CAUSES,
    LEVEL_80,
    LONG,
    STORED,
    Poll,
    alert_ids,
    arm,
    at_level,
    entity_id,
    last_event,
    levels_kept,
    model_levels,
    refresh,
    reload,
    report,
    restart,
    setup,
    spend_levels,
    start,
    state,
    triggered,
    unload,
)
from .simulator import Simulator

pytestmark = pytest.mark.usefixtures("kept", "low_figures")


async def test_restored_over_a_restart(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The last event is restored with its attributes and time."""
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
    """A reload or restart repeats no alert, and levels crossed then alert."""
    events = await arm(hass)
    report(simulator, monthly_spend=400, used=850)
    await poll()
    assert triggered(events) == spend_levels(50, 80) + model_levels(80)
    for _ in range(2):
        await again(hass, account)
        await poll()
    assert events == []
    report(simulator, monthly_spend=500, used=1000)
    await again(hass, account)
    assert triggered(events) == spend_levels(100) + model_levels(100)
    await again(hass, account)
    assert events == []


@pytest.mark.logs("Error fetching", "Error fetching")
async def test_crossed_in_an_outage(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """After an outage, old alerts do not repeat; levels crossed in the outage alert."""
    events = await arm(hass)
    report(simulator, monthly_spend=400)
    await poll()
    assert triggered(events) == spend_levels(50, 80)
    for spend, levels in ((420, []), (520, spend_levels(100))):
        await simulator.stop()
        report(simulator, monthly_spend=spend)
        await poll()
        assert state(hass, "monthly_spend") == STATE_UNAVAILABLE
        await simulator.start()
        await poll()
        assert triggered(events) == levels


@pytest.mark.parametrize("automation_first", [True, False])
async def test_crossed_while_home_assistant_was_down(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
    automation_first: bool,
) -> None:
    """Levels crossed during downtime alert once, after automations are set up."""
    report(simulator, monthly_spend=400)
    await poll()
    await unload(hass, account)
    report(simulator, monthly_spend=500)

    hass.set_state(CoreState.not_running)
    if automation_first:
        events = await arm(hass)
        await setup(hass, account)
    else:
        await setup(hass, account)
        events = await arm(hass)
    # Polls while other integrations still start.
    await poll()
    await poll()
    assert levels_kept(kept) == ["50", "80"]
    assert last_event(hass) == ("spend_level", LEVEL_80)
    assert events == []

    await start(hass)
    assert triggered(events) == spend_levels(100)
    assert last_event(hass)[1]["level"] == 100
    assert levels_kept(kept) == ["50", "80", "100"]
    await poll()
    await reload(hass, account)
    assert events == []


async def test_crossed_while_home_assistant_stops(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    """A level crossed while Home Assistant stops alerts after the restart."""
    events = await arm(hass)
    report(simulator, monthly_spend=400)
    hass.set_state(CoreState.stopping)
    await refresh(hass)
    assert state(hass, "monthly_spend") == "400"
    assert last_event(hass) == (None, {})
    await restart(hass, account)
    assert triggered(events) == spend_levels(50, 80)


async def test_unloaded_before_the_start_ends(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    """An unloaded account does not alert; after the next set-up, it alerts once."""
    await unload(hass, account)
    report(simulator, monthly_spend=400)
    hass.set_state(CoreState.not_running)
    events = await arm(hass)
    await setup(hass, account)
    await unload(hass, account)
    await start(hass)
    assert events == []
    await setup(hass, account)
    assert triggered(events) == spend_levels(50, 80)


async def test_crossed_in_a_reload(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    """Actions of an automation triggered in a reload can use the account."""
    events = async_capture_events(hass, "triggered")
    automation = {
        "triggers": at_level(80),
        "conditions": {
            "condition": f"{DOMAIN}.is_over_budget",
            "options": {"level": 80},
        },
        "actions": [
            {
                "action": f"{DOMAIN}.get_usage",
                "data": {"config_entry_id": account.entry_id},
                "response_variable": "usage",
            },
            {
                "event": "triggered",
                "event_data": {"of": "{{ usage.account.monthly_spend.value }}"},
            },
        ],
    }
    assert await async_setup_component(hass, AUTOMATION, {AUTOMATION: automation})
    report(simulator, monthly_spend=400)
    await reload(hass, account)
    assert [event.data for event in events] == [{"of": 400}]


async def test_crossed_while_the_account_is_unloaded(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    """Nothing alerts once the entities are gone, as the event entity can't show it."""
    events = await arm(hass)
    report(simulator, monthly_spend=400)
    entity, quotas = entity_id(hass, "alerts"), account.runtime_data.quotas

    async def poll(event: Event[Any]) -> None:
        if event.data["entity_id"] == entity:
            await quotas.async_refresh()

    stop = hass.bus.async_listen(EVENT_STATE_CHANGED, poll)
    await unload(hass, account)
    stop()
    assert quotas.data.monthly_spend.amount == 400
    assert events == []
    await setup(hass, account)
    assert triggered(events) == spend_levels(50, 80)
    assert last_event(hass) == ("spend_level", LEVEL_80)


async def test_stored_after_it_was_sent(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """An alert is sent before it is stored, so a crash may repeat it but not lose it."""
    await poll()
    when_sent: list[Any] = []

    @callback
    def sent(event: Event[Any]) -> None:
        if event.data["entity_id"] == "event.model_studio_alerts":
            when_sent.append(levels_kept(kept))

    hass.bus.async_listen(EVENT_STATE_CHANGED, sent)
    report(simulator, monthly_spend=400)
    await account.runtime_data.quotas.async_refresh()
    await hass.async_block_till_done()
    assert levels_kept(kept) == ["50", "80"]
    assert when_sent == [[], []]


@pytest.mark.parametrize(
    "kind", ["spend_level", "daily_budget", "balance_low", "model_level"]
)
async def test_dies_between_sending_and_keeping(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
    kind: str,
) -> None:
    """After a crash, the alert repeats with the same ID, so it can be recognized."""
    options, cause, alerts = CAUSES[kind]
    hass.config_entries.async_update_entry(account, options=options)
    await reload(hass, account)
    events = await arm(hass)
    before = deepcopy(kept[STORED])
    cause(simulator)
    await poll()
    first = alert_ids(events)
    assert len(set(first)) == len(triggered(events)) == len(alerts)

    await unload(hass, account)
    kept[STORED] = before
    await setup(hass, account)
    assert alert_ids(events) == first
    assert last_event(hass)[0] == kind
    assert len(triggered(events)) == len(alerts)
    await reload(hass, account)
    await poll()
    assert events == []
