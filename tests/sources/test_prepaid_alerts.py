"""Alerts of coupons that expire, and of the Token Plan."""

from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)

from custom_components.alibaba_cloud.const import (
    CONF_EXPIRY_DAYS,
    CONF_LOW_CREDITS,
    EVENT_ALERT,
)
from homeassistant.core import HomeAssistant
from tests.common import (
    NOTHING,
    Poll,
    arm,
    described,
    last_event,
    restart,
    setup,
    triggered,
)
from tests.simulator import Fault, Simulator
from tests.simulator.account import Answer

DAY = 24 * 3600
COUPON = {
    **NOTHING,
    "asset": "coupon",
    "amount": 60.5,
    "unit": "CNY",
    "ends": "2026-09-14",
}
"""The coupon that expires in 30 days, after the Token Plan."""


@pytest.fixture
def entry(hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator) -> Any:
    """Return an account with assets and a Token Plan, and other alerts off."""
    simulator.account.has_assets = True
    simulator.account.has_token_plan = True
    options = {**entry.options, CONF_EXPIRY_DAYS: 0, CONF_LOW_CREDITS: 0}
    hass.config_entries.async_update_entry(entry, options=options)
    return entry


def choose(hass: HomeAssistant, entry: MockConfigEntry, **options: Any) -> None:
    """Change options of an account that is not set up."""
    hass.config_entries.async_update_entry(entry, options={**entry.options, **options})


async def test_credit_expiring(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """It alerts on the first day, without another poll, and once."""
    choose(hass, entry, expiry_days=29)
    simulator.account.has_token_plan = False
    await setup(hass, entry)
    events = await arm(hass)
    sent = async_capture_events(hass, EVENT_ALERT)
    await poll(3 * 3600)
    assert triggered(events) == []
    # At midnight in UTC+8.
    await poll(3600)
    assert triggered(events) == [("credit_expiring", None)]
    assert last_event(hass) == ("credit_expiring", COUPON)
    assert described(hass, sent[0])["message"] == (
        "Prepaid credit expires after 2026-09-14: 60.50 CNY left (Coupon)"
    )
    await poll(6 * 3600)
    await restart(hass, entry)
    await poll(DAY)
    assert triggered(events) == []


@pytest.mark.parametrize("answer", ["account", "limits"])
@pytest.mark.logs("Error fetching")
async def test_credit_expiring_while_the_api_key_is_throttled(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    answer: Answer,
) -> None:
    """The figures of the API key are of the last run, those of the AccessKey are not."""
    choose(hass, entry, expiry_days=29)
    simulator.account.answer = answer
    simulator.account.has_token_plan = False
    await setup(hass, entry)
    events = await arm(hass)
    simulator.fail(Fault.BUDGET_EXHAUSTED, at="quotas")
    await restart(hass, entry)
    await poll(4 * 3600)
    assert ("credit_expiring", None) in triggered(events)


@pytest.mark.logs("Error fetching Model Studio assets")
async def test_assets_that_can_not_be_read(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """They alert nothing until they can."""
    choose(hass, entry, expiry_days=30)
    simulator.account.has_token_plan = False
    simulator.fail(Fault.SERVER_ERROR, at="assets")
    await setup(hass, entry)
    events = await arm(hass)
    await poll()
    assert triggered(events) == []
    simulator.recover()
    await poll(3601)
    assert triggered(events) == [("credit_expiring", None)]


@pytest.mark.parametrize(
    ("option", "alert", "sentence"),
    [
        (
            CONF_EXPIRY_DAYS,
            ("subscription_ending", {**NOTHING, "ends": "2026-09-11"}),
            "The Token Plan subscription ends after 2026-09-11",
        ),
        (
            CONF_LOW_CREDITS,
            (
                "credits_low",
                {**NOTHING, "level": 57, "amount": 141250.5, "usage_pct": 43.4998},
            ),
            "The Token Plan has no more than 57% of its credits left: 141250.50",
        ),
    ],
)
async def test_token_plan(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    option: str,
    alert: tuple[str, dict[str, Any]],
    sentence: str,
) -> None:
    """Each alert is sent once, also across restarts."""
    choose(hass, entry, **{option: 57})
    simulator.account.has_assets = False
    sent = async_capture_events(hass, EVENT_ALERT)
    await setup(hass, entry)
    events = await arm(hass)
    assert last_event(hass) == alert
    assert [described(hass, event)["message"] for event in sent] == [sentence]
    await restart(hass, entry)
    await poll(DAY)
    assert triggered(events) == []
