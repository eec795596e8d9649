"""Alerts of failures, and the effect of failures on other alerts."""

from copy import deepcopy
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import CONF_LOW_BALANCE, DOMAIN
from homeassistant.config_entries import SOURCE_REAUTH
from homeassistant.const import CONF_API_KEY
from homeassistant.core import CoreState, HomeAssistant

from .common import (
    CAUSES,
    FAILURES,
    LONG,
    NOTHING,
    STORED,
    Poll,
    alert_ids,
    arm,
    last_event,
    model_levels,
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
from .simulator import Fault, Simulator

pytestmark = pytest.mark.usefixtures("kept", "low_figures")


@pytest.mark.logs("Error fetching")
@pytest.mark.parametrize("kind", FAILURES)
async def test_recovered(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kind: str,
) -> None:
    """The end of an alerted failure alerts at once; a single failed poll never does."""
    events = await arm(hass)
    CAUSES[kind][1](simulator)
    await poll(LONG)
    await poll(LONG)
    assert triggered(events) == [(kind, None)]
    simulator.recover()
    await poll(LONG)
    assert last_event(hass) == ("recovered", {**NOTHING, "failure": kind})
    assert triggered(events) == [("recovered", kind)]
    await poll(LONG)
    assert events == []


@pytest.mark.logs("Error fetching")
async def test_recovered_while_home_assistant_was_down(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A recovery during downtime alerts after the start; a lasting failure does not."""
    events = await arm(hass)
    simulator.fail(Fault.UNAUTHORIZED)
    await poll(LONG)
    await poll(LONG)
    assert triggered(events) == [("api_key_rejected", None)]
    await unload(hass, account)
    simulator.recover()
    hass.set_state(CoreState.not_running)
    await setup(hass, account)
    assert events == []
    await start(hass)
    assert triggered(events) == [("recovered", "api_key_rejected")]


@pytest.mark.logs(*["Error fetching"] * 3)
async def test_failure_that_outlasts_restarts(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    events = await arm(hass)
    simulator.fail(Fault.UNAUTHORIZED)
    await poll(LONG)
    assert events == []
    await restart(hass, account)
    assert triggered(events) == [("api_key_rejected", None)]
    await restart(hass, account)
    await poll(LONG)
    assert events == []


@pytest.mark.logs("Error fetching", "Error fetching")
async def test_hiccups(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A single failed poll does not alert, however often it happens."""
    events = await arm(hass)
    for _ in range(2):
        simulator.fail(Fault.SERVER_ERROR)
        await poll(LONG)
        simulator.recover()
        await poll(LONG)
    assert events == []
    assert last_event(hass) == (None, {})


@pytest.mark.logs("Error fetching")
async def test_one_failure_becomes_another(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The second failure alerts if it lasts, and both recover."""
    events = await arm(hass)
    simulator.fail(Fault.SERVER_ERROR)
    await poll(LONG)
    await poll(LONG)
    simulator.fail(Fault.UNAUTHORIZED)
    await poll(LONG)
    assert triggered(events) == [("account_unavailable", None)]
    await poll(LONG)
    assert triggered(events) == [("api_key_rejected", None)]
    simulator.recover()
    await poll(LONG)
    assert triggered(events) == [
        ("recovered", "account_unavailable"),
        ("recovered", "api_key_rejected"),
    ]


@pytest.mark.logs("Error fetching", "Error fetching")
async def test_first_failure_is_kept_too(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """Two failed polls in a row alert even if Home Assistant restarts in between."""
    events = await arm(hass)
    simulator.fail(Fault.SERVER_ERROR)
    await poll()
    as_killed = deepcopy(kept[STORED])
    await unload(hass, account)
    kept[STORED] = as_killed
    assert events == []
    await setup(hass, account)
    assert triggered(events) == [("account_unavailable", None)]


@pytest.mark.logs(*["Error fetching"] * 3)
async def test_failure_dies_between_sending_and_keeping(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """A repeated alert of a failure has the same ID; the next failure has another."""
    events = await arm(hass)
    simulator.fail(Fault.THROTTLED)
    await poll(LONG)
    before = deepcopy(kept[STORED])
    await poll(LONG)
    await unload(hass, account)
    kept[STORED] = before
    await setup(hass, account)
    first, again = alert_ids(events)
    assert first == again
    assert triggered(events) == [("rate_limited", None)] * 2

    simulator.recover()
    await poll(LONG)
    simulator.fail(Fault.THROTTLED)
    await poll(LONG)
    await poll(LONG)
    assert first not in alert_ids(events)
    assert triggered(events) == [("recovered", "rate_limited"), ("rate_limited", None)]


@pytest.mark.logs("Error fetching")
async def test_restored_figures_trigger_nothing(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """Figures restored after a throttled start do not alert."""
    report(simulator, monthly_spend=400, used=850)
    await poll()
    await unload(hass, account)
    # Simulate an account whose alerts were never evaluated.
    del kept[STORED]["data"]["alerts"]
    simulator.fail(Fault.THROTTLED)
    events = await arm(hass)
    await setup(hass, account)
    assert state(hass, "monthly_spend") == "400"
    assert state(hass, "usage_pct", "qwen-max") == "85.0"
    assert events == []
    await poll(LONG)
    assert triggered(events) == [("rate_limited", None)]
    simulator.recover()
    await poll(LONG)
    assert triggered(events) == [
        *spend_levels(50, 80),
        *model_levels(80),
        ("recovered", "rate_limited"),
    ]


@pytest.mark.logs("Error fetching")
async def test_throttled_figures_repeat_nothing(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Figures kept while the service throttles do not alert."""
    events = await arm(hass)
    report(simulator, monthly_spend=400, used=850)
    await poll()
    triggered(events)
    simulator.fail(Fault.THROTTLED)
    await poll(LONG)
    await poll(LONG)
    assert state(hass, "monthly_spend") == "400"
    simulator.recover()
    await poll(LONG)
    assert triggered(events) == [("rate_limited", None), ("recovered", "rate_limited")]


async def test_unknown_triggers_nothing(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Unknown figures neither alert nor re-arm anything."""
    hass.config_entries.async_update_entry(account, options={CONF_LOW_BALANCE: 50})
    await reload(hass, account)
    events = await arm(hass)
    report(simulator, monthly_spend=400, used=850, available=40)
    await poll()
    known = deepcopy(simulator.body)
    assert len(triggered(events)) == 4
    unknown: list[dict[str, Any]] = [
        {"monthly_spend": None},
        {"spend_limit": None},
        {"spend_limit": 0},
        {"monthly_spend": "a lot"},
        {"available": None},
        {"models": None},
    ]
    for figures in unknown:
        report(simulator, **figures)
        await poll()
        await reload(hass, account)
        simulator.body = deepcopy(known)
        await poll()
        assert events == [], figures


async def test_unknown_from_the_start(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    events = await arm(hass)
    known = deepcopy(simulator.body)
    simulator.body["data"] = {"models": [], "spend_limit": 500}
    await setup(hass, entry)
    await poll()
    assert events == []
    simulator.body = known
    report(simulator, monthly_spend=400)
    await poll()
    assert triggered(events) == spend_levels(50, 80)


@pytest.mark.logs("Error fetching")
async def test_reauth(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A new key neither repeats nor loses an alert, and ends the failure."""
    events = await arm(hass)
    report(simulator, monthly_spend=400)
    await poll()
    assert triggered(events) == spend_levels(50, 80)
    simulator.api_keys = {"sk-another"}
    await poll()
    await poll(LONG)
    assert triggered(events) == [("api_key_rejected", None)]
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["context"]["source"] == SOURCE_REAUTH
    report(simulator, monthly_spend=500)
    result = await hass.config_entries.flow.async_configure(
        flow["flow_id"], {CONF_API_KEY: "sk-another"}
    )
    assert result["reason"] == "reauth_successful"
    await hass.async_block_till_done(wait_background_tasks=True)
    assert triggered(events) == [
        ("spend_level_reached", 100),
        ("recovered", "api_key_rejected"),
    ]
    await poll(LONG)
    assert events == []
