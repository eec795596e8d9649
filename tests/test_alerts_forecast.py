"""The forecast, its alert, and the days that it is based on."""

from datetime import date, datetime, timedelta
from decimal import Decimal
import json
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)

from custom_components.alibaba_cloud.const import CONF_MONTHLY_BUDGET, DOMAIN
from custom_components.alibaba_cloud.ledger.forecast import forecast_period
from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.history import state_changes_during_period
from homeassistant.components.recorder.statistics import async_list_statistic_ids
from homeassistant.const import STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util

from .common import (
    NOTHING,
    NOW,
    STORED,
    Poll,
    answer,
    arm,
    attributes,
    entity_id,
    get_usage,
    last_event,
    noon,
    reload,
    report,
    restart,
    setup,
    setup_at_noon,
    spend_alike,
    spend_levels,
    state,
    triggered,
    unload,
)
from .simulator import Fault, Simulator
from .simulator.billing import total_on

pytestmark = pytest.mark.usefixtures("kept", "low_figures")


async def test_forecast_by_own_observation(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """The forecast exists after three complete days, and alerts once per period."""
    await setup_at_noon(hass, freezer, entry, simulator, 10, monthly_budget=260)
    events = await arm(hass)
    await spend_alike(simulator, freezer, poll, [10, 11, 12])
    for key in (
        "projected_monthly_spend",
        "budget_exhausted_on",
        "balance_lasts_until",
    ):
        assert state(hass, key) == STATE_UNKNOWN
    assert attributes(hass, "projected_monthly_spend")["low"] is None
    assert events == []

    await spend_alike(simulator, freezer, poll, [13])
    # 125 by noon, and 18.5 days left at 10 per day.
    assert state(hass, "projected_monthly_spend") == "310.00"
    (event,) = events
    trigger = event.data["trigger"]
    assert {key: trigger[key] for key in NOTHING} == {
        **NOTHING,
        "spend": 125,
        "budget": 260,
        "projected": 310,
        "currency": "USD",
        "period": "2026-08-01",
    }
    assert triggered(events) == [("forecast_over_budget", None)]
    assert last_event(hass)[0] == "forecast_over_budget"

    await restart(hass, entry)
    assert state(hass, "projected_monthly_spend") == "310.00"
    await spend_alike(simulator, freezer, poll, [14])
    assert triggered(events) == spend_levels(50)
    # 135 by noon of the 14th, and 17.5 days left. A drift of 5 % per day gives:
    # 1.2816 * 0.05 * 175 * sqrt(17.5 / 3) = 27.08.
    assert state(hass, "projected_monthly_spend") == "310.00"
    shown = attributes(hass, "projected_monthly_spend")
    assert (shown["low"], shown["high"]) == (282.92, 337.08)
    assert shown["unit_of_measurement"] == "USD"
    assert state(hass, "budget_usage_pct") == "51.9231"
    assert state(hass, "remaining_budget") == "125"
    # 5 until midnight, and then 12 days.
    assert state(hass, "budget_exhausted_on") == "2026-08-26"
    # 100.25 less 5 for the half day lasts 9.525 days from midnight: 12:36 on the 24th.
    assert state(hass, "balance_lasts_until") == "2026-08-24"


async def test_forecast_goes_with_the_day(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """The forecast changes every day, even if the spend does not."""
    await setup_at_noon(hass, freezer, entry, simulator, 10, monthly_budget=260)
    await spend_alike(simulator, freezer, poll, [10, 11, 12, 13, 14])
    reached, projected = "2026-08-26", "310.00"
    assert state(hass, "budget_exhausted_on") == reached
    report(simulator, daily_spend=0, monthly_spend=135)
    for day in range(15, 32):
        freezer.move_to(noon(day))
        await poll()
        now = state(hass, "projected_monthly_spend")
        figure = (await get_usage(hass))["account"]["projected_monthly_spend"]
        assert float(now or 0) == figure["value"]
    assert now != projected
    assert state(hass, "budget_exhausted_on") == STATE_UNKNOWN


async def test_forecast_of_a_month_that_is_over(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """A service that starts the next month late does not exceed the budget."""
    freezer.move_to(noon(28))
    hass.config_entries.async_update_entry(entry, options={CONF_MONTHLY_BUDGET: 312})
    report(simulator, daily_spend=5, monthly_spend=275)
    await setup(hass, entry)
    events = await arm(hass)
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
    assert triggered(events) == []


async def test_forecast_alert_switched_off(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Without the option, the forecast exists but does not alert."""
    await setup_at_noon(
        hass, freezer, entry, simulator, 10, monthly_budget=300, forecast_alert=False
    )
    events = await arm(hass)
    await spend_alike(simulator, freezer, poll, [10, 11, 12, 13])
    assert state(hass, "projected_monthly_spend") == "310.00"
    assert events == []


async def test_days_are_kept_over_restarts(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """Days that were observed in several runs count for the forecast."""
    await setup_at_noon(hass, freezer, entry, simulator, 10)
    for day in (10, 11, 12):
        await spend_alike(simulator, freezer, poll, [day])
        assert state(hass, "projected_monthly_spend") == STATE_UNKNOWN
        await restart(hass, entry)
        kept[STORED] = json.loads(json.dumps(kept[STORED]))
    await spend_alike(simulator, freezer, poll, [13])
    assert state(hass, "projected_monthly_spend") == "310.00"


async def test_forecast_of_the_bill(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    freezer: FrozenDateTimeFactory,
) -> None:
    """The days of the bill count at once, also after a restart that can't read it."""
    hass.config_entries.async_update_entry(
        with_access_key, options={CONF_MONTHLY_BUDGET: 1000}
    )
    events = await arm(hass)
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
    assert triggered(events) == [*spend_levels(50, 80), ("forecast_over_budget", None)]


async def test_days_of_the_bill_are_kept_over_restarts(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Billed days of the last month count for the forecast after a restart.

    The last day of that month does not count, as its bill may have been incomplete.
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
    """Billed days count for the forecast if they have the currency of the spend."""
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
    """Days in the account's own currency survive a start during an outage."""
    simulator.account.answer = "account"
    simulator.body = answer("account")
    await setup_at_noon(hass, freezer, with_access_key, simulator, 10)
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
    """With a recorder, past bills are read, so the forecast exists at once."""
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
        f"{what} (Model Studio)"
        for what in ("Spend", "qwen-max spend", "qwen-plus spend")
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
    """Within an hour, only spend changes the forecast; usage of a model does not."""
    await setup_at_noon(hass, freezer, entry, simulator, 10)
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
