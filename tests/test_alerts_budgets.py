"""Alerts of the daily and the weekly budget while an account is polled."""

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from homeassistant.core import HomeAssistant

from .common import (
    NOTHING,
    Poll,
    arm,
    last_event,
    noon,
    report,
    restart,
    setup_at_noon,
    spend_alike,
    triggered,
)
from .simulator import Fault, Simulator

pytestmark = pytest.mark.usefixtures("kept")


async def added(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    day: int,
) -> None:
    """Add an account with a weekly budget on a day of August."""
    report(simulator, spend_limit=None)
    await setup_at_noon(
        hass, freezer, entry, simulator, day, weekly_budget=40, spend_levels=[50, 80]
    )


@pytest.mark.logs("Error fetching", "Error fetching")
async def test_weekly_budget(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Each level alerts once a week, also across restarts and failures."""
    await added(hass, freezer, entry, simulator, 10)
    events = await arm(hass, {"trigger": "alibaba_cloud.weekly_budget"})
    await spend_alike(simulator, freezer, poll, [10, 11])
    assert triggered(events) == []
    await spend_alike(simulator, freezer, poll, [12])
    assert last_event(hass) == (
        "weekly_budget",
        {
            **NOTHING,
            "level": 50,
            "spend": 25,
            "budget": 40,
            "currency": "USD",
            "usage_pct": 62.5,
            "period": "2026-08-10",
        },
    )
    assert triggered(events) == [("weekly_budget", 50)]
    simulator.fail(Fault.SERVER_ERROR)
    await poll()
    await restart(hass, entry)
    simulator.recover()
    await poll()
    assert triggered(events) == []
    await spend_alike(simulator, freezer, poll, [13])
    assert triggered(events) == [("weekly_budget", 80)]
    await spend_alike(simulator, freezer, poll, [14, 15, 16, 17, 18])
    assert triggered(events) == []
    await spend_alike(simulator, freezer, poll, [19])
    assert triggered(events) == [("weekly_budget", 50)]


async def test_week_that_began_before_the_account_was_added(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """What its spend before the first poll was is unknown, and left out."""
    await added(hass, freezer, entry, simulator, 11)
    events = await arm(hass, {"trigger": "alibaba_cloud.weekly_budget"})
    await spend_alike(simulator, freezer, poll, [11, 12])
    assert triggered(events) == []
    await spend_alike(simulator, freezer, poll, [13])
    assert triggered(events) == [("weekly_budget", 50)]
    await spend_alike(simulator, freezer, poll, [14, 15, 16])
    assert triggered(events) == [("weekly_budget", 80)]
    await spend_alike(simulator, freezer, poll, [17, 18])
    assert triggered(events) == []
    await spend_alike(simulator, freezer, poll, [19])
    assert triggered(events) == [("weekly_budget", 50)]


async def test_daily_budget(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Each level alerts once a day, also across restarts."""
    await setup_at_noon(hass, freezer, entry, simulator, 10, daily_budget=12)
    events = await arm(hass, {"trigger": "alibaba_cloud.daily_budget"})
    for spend, levels in ((6, [50]), (5, []), (10, [80]), (12, [100]), (13, [])):
        report(simulator, daily_spend=spend, monthly_spend=90 + spend)
        await poll()
        assert triggered(events) == [("daily_budget", level) for level in levels]
        await restart(hass, entry)
    freezer.move_to(noon(11))
    report(simulator, daily_spend=6, monthly_spend=109)
    await poll()
    assert triggered(events) == [("daily_budget", 50)]
