"""Alerts of days that cost unusually much while an account is polled."""

from datetime import timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)

from custom_components.alibaba_cloud.const import EVENT_ALERT
from homeassistant.core import HomeAssistant

from .common import (
    NOTHING,
    Poll,
    arm,
    described,
    last_event,
    noon,
    report,
    restart,
    setup_at_noon,
    spend_alike,
    triggered,
)
from .simulator import Simulator

pytestmark = pytest.mark.usefixtures("kept", "low_figures")


async def used(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    **options: Any,
) -> None:
    """Add an account that costs 10 USD a day, and let 14 days pass."""
    await setup_at_noon(hass, freezer, entry, simulator, 1, spend_levels=[], **options)
    await spend_alike(simulator, freezer, poll, list(range(1, 16)))


@pytest.mark.parametrize(
    ("hours", "usual"),
    [
        pytest.param(0, 20, id="hour that was read on past days"),
        pytest.param(6, 30, id="hour that was never read"),
    ],
)
async def test_unusual_spend(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    hours: int,
    usual: int,
) -> None:
    """A day alerts once.

    At noon, when a day has usually cost 5 USD, more than twice the usual spend of a whole
    day is unusual. Else, a day must cost more than three times as much as usual.
    """
    await used(hass, freezer, entry, simulator, poll)
    await restart(hass, entry)
    freezer.tick(timedelta(hours=hours))
    events = await arm(hass)
    sent = async_capture_events(hass, EVENT_ALERT)
    for spend, times in ((usual, 0), (usual + 1, 1), (40, 0)):
        report(simulator, daily_spend=spend, monthly_spend=140 + spend)
        await poll()
        assert triggered(events) == [("unusual_spend", None)] * times
    assert last_event(hass) == (
        "unusual_spend",
        {
            **NOTHING,
            "spend": usual + 1,
            "usual": 10,
            "currency": "USD",
            "period": "2026-08-15",
        },
    )
    assert described(hass, sent[0])["message"] == (
        f"Today's spend of {usual + 1}.00 USD is unusual:"
        " such a day usually costs 10.00 USD"
    )
    await restart(hass, entry)
    await poll()
    freezer.move_to(noon(16))
    report(simulator, daily_spend=5, monthly_spend=185)
    await poll()
    assert triggered(events) == []


async def test_turned_off(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    await used(hass, freezer, entry, simulator, poll, unusual_spend=False)
    events = await arm(hass)
    report(simulator, daily_spend=90, monthly_spend=230)
    await poll()
    assert triggered(events) == []
