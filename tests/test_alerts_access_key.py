"""Alerts of the figures that an AccessKey reads."""

from datetime import date
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import (
    CONF_LOW_BALANCE,
    CONF_MODEL_LEVELS,
    CONF_MODELS,
    DOMAIN,
)
from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.util import dt as dt_util

from .common import (
    LONG,
    NOTHING,
    Poll,
    arm,
    entity_id,
    levels_kept,
    reload,
    setup,
    spend_levels,
    state,
    triggered,
)
from .simulator import Fault, Simulator

pytestmark = pytest.mark.usefixtures("kept", "low_figures")


def bill(simulator: Simulator, amount: float) -> None:
    """Increase today's bill by this amount in CNY."""
    simulator.account.adjust(simulator.account.today, "qwen-max", amount)


async def test_spend_of_the_bill(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """The bill alerts if the API key reads no spend; the alert is stored in its poll."""
    events = await arm(hass)
    await setup(hass, with_access_key)
    trigger = events[-1].data["trigger"]
    assert {key: trigger[key] for key in NOTHING} == {
        **NOTHING,
        "level": 80,
        "spend": 886.53,
        "budget": 1000,
        "currency": "CNY",
        "usage_pct": 88.653,
        "period": "2026-08-01",
    }
    assert triggered(events) == spend_levels(50, 80)
    await reload(hass, with_access_key)
    await poll(LONG)
    assert events == []

    levels_seen: list[list[str]] = []

    @callback
    def event_sent(event: Event[EventStateChangedData]) -> None:
        if event.data["entity_id"] == entity_id(hass, "alerts"):
            levels_seen.append(levels_kept(kept))

    hass.bus.async_listen(EVENT_STATE_CHANGED, event_sent)
    bill(simulator, 200)
    await poll(15 * 60 + 1)
    assert levels_seen == [["50", "80"]]
    assert levels_kept(kept) == ["50", "80", "100"]
    assert triggered(events) == spend_levels(100)


@pytest.mark.logs("Error fetching")
async def test_revoked_api_key_beside_a_bill(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Figures of the AccessKey alert even if the API key is rejected from the start."""
    events = await arm(hass)
    simulator.api_keys = set()
    await setup(hass, with_access_key)
    assert triggered(events) == spend_levels(50, 80)
    bill(simulator, 200)
    await poll(LONG)
    # Two polls, in any order.
    assert sorted(triggered(events)) == [
        ("api_key_rejected", None),
        ("spend_level_reached", 100),
    ]


async def move(freezer: FrozenDateTimeFactory, poll: Poll, moment: str) -> None:
    """Move to a moment of the year in UTC+8, and poll all sources."""
    freezer.move_to(f"2026-{moment}:00+08:00")
    await poll()
    await poll(LONG)


@pytest.mark.parametrize(
    ("evening", "morning", "monday"),
    [
        ("08-18 23:30", "08-19 00:30", date(2026, 8, 17)),
        # The bill of the new month does not list the day.
        ("08-31 23:30", "09-01 00:30", date(2026, 8, 31)),
    ],
)
async def test_week_of_the_bill(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    with_access_key: MockConfigEntry,
    poll: Poll,
    evening: str,
    morning: str,
    monday: date,
) -> None:
    """It includes yesterday, although its bill may be incomplete."""
    await setup(hass, with_access_key)
    account = with_access_key.runtime_data
    await move(freezer, poll, evening)
    before = account.snapshot.outlook.weekly_spend
    await move(freezer, poll, morning)
    week = account.snapshot.outlook.weekly_spend
    assert week.start == before.start == monday
    assert week.amount > account.snapshot.daily_spend.amount > 0
    assert week.amount >= before.amount + account.snapshot.daily_spend.amount


@pytest.mark.parametrize(
    "rejected",
    [
        False,
        pytest.param(True, marks=pytest.mark.logs("Error fetching", "Error fetching")),
    ],
)
async def test_bills_while_the_api_key_is_rejected(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    rejected: bool,
) -> None:
    """The days since then are known from the bill."""
    simulator.account.answer = "account"
    simulator.account.currency = "USD"
    await setup(hass, with_access_key)
    if rejected:
        simulator.api_keys = set()
    await move(freezer, poll, "08-16 12:00")
    await move(freezer, poll, "08-19 12:00")
    known = account_days(with_access_key)
    assert known[-2:] == [date(2026, 8, 17), date(2026, 8, 18)]


def account_days(entry: MockConfigEntry) -> list[date]:
    """Return the past days whose spend is known."""
    return sorted(entry.runtime_data.store.days.totals(dt_util.utcnow()))


@pytest.mark.logs("Error fetching")
async def test_throttled_api_key_beside_a_bill(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """After a throttled start, restored figures do not alert, but the bill does."""
    events = await arm(hass)
    simulator.fail(Fault.THROTTLED)
    await setup(hass, with_access_key)
    assert state(hass, "monthly_spend") == "886.53"
    assert triggered(events) == spend_levels(50, 80)


@pytest.mark.logs("Error fetching")
async def test_sources_do_not_count_as_polls(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Polls of the sources do not count as polls of the account."""
    events = await arm(hass)
    await setup(hass, with_access_key)
    assert triggered(events) == spend_levels(50, 80)
    simulator.api_keys = set()
    await poll()
    asked = len(simulator.signed_requests)
    for _ in range(4):
        await poll(61)
    assert len(simulator.signed_requests) > asked
    assert events == []
    await poll(61)
    assert triggered(events) == [("api_key_rejected", None)]


@pytest.mark.logs(*["Error fetching"] * 4)
async def test_failing_sources(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Failing sources and their recovery do not alert as account failures."""
    events = await arm(hass)
    await setup(hass, with_access_key)
    assert triggered(events) == spend_levels(50, 80)
    for service in ("billing", "balance", "prometheus"):
        simulator.fail(Fault.THROTTLED, at=service)
    for _ in range(3):
        await poll(LONG)
    assert state(hass, "monthly_spend") == STATE_UNAVAILABLE
    simulator.recover()
    await poll(LONG)
    assert state(hass, "monthly_spend") != STATE_UNAVAILABLE
    assert events == []


async def test_balance_and_models_of_an_access_key(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """The balance of the console and a model's live load alert."""
    hass.config_entries.async_update_entry(
        with_access_key,
        options={
            CONF_MODELS: ["qwen-max"],
            CONF_LOW_BALANCE: 2353.47,
            CONF_MODEL_LEVELS: [0.001],
        },
    )
    events = await arm(hass)
    await setup(hass, with_access_key)
    by_kind = {
        event.data["trigger"]["platform"]: event.data["trigger"] for event in events
    }
    assert len(events) == len(by_kind) == 2
    balance = by_kind[f"{DOMAIN}.balance_low"]
    assert (balance["balance"], balance["currency"]) == (2353.47, "CNY")
    model = by_kind[f"{DOMAIN}.model_level_reached"]
    assert model["model"] == "qwen-max"
    assert str(model["usage_pct"]) == state(hass, "load_pct", "qwen-max")
    # Models that are not followed do not alert.
    assert "qwen-plus" not in {trigger["model"] for trigger in by_kind.values()}
