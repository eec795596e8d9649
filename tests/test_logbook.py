"""Alerts in the activity log."""

from collections.abc import Callable

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)

from custom_components.alibaba_cloud.const import (
    CONF_DAILY_BUDGET,
    CONF_LOW_BALANCE,
    DOMAIN,
    EVENT_ALERT,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.translation import async_load_integrations

from .common import FAILURES, Poll, described, report, setup, setup_at_noon, spend_alike
from .simulator import Fault, Simulator

LONG = 16 * 60
ACCOUNT = "Model Studio"

CAUSES: dict[str, tuple[Callable[[Simulator], None], str, str]] = {
    "spend_level": (
        lambda simulator: report(simulator, monthly_spend=310),
        ACCOUNT,
        "Spend reached 50% of the budget",
    ),
    "daily_budget": (
        lambda simulator: report(simulator, daily_spend=16.5),
        ACCOUNT,
        "Today's spend reached 80% of the daily budget",
    ),
    "balance_low": (
        lambda simulator: report(simulator, available=49.5),
        ACCOUNT,
        "The balance is low: 49.50 USD",
    ),
    "model_level": (
        lambda simulator: report(simulator, used=810),
        "qwen-max",
        "qwen-max reached 80% of its limit",
    ),
    "rate_limited": (
        lambda simulator: simulator.fail(Fault.THROTTLED),
        ACCOUNT,
        "The account is rate limited",
    ),
    "budget_exhausted": (
        lambda simulator: simulator.fail(Fault.BUDGET_EXHAUSTED),
        ACCOUNT,
        "The budget set in the console is used up, and requests are refused",
    ),
    "api_key_rejected": (
        lambda simulator: simulator.fail(Fault.UNAUTHORIZED),
        ACCOUNT,
        "The API key was rejected",
    ),
    "account_unavailable": (
        lambda simulator: simulator.fail(Fault.SERVER_ERROR),
        ACCOUNT,
        "The account is unavailable",
    ),
}


@pytest.mark.parametrize("kind", CAUSES)
async def test_alerts(
    request: pytest.FixtureRequest,
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kind: str,
) -> None:
    """Each alert is a sentence about the account or the model."""
    cause, device_name, message = CAUSES[kind]
    report(simulator, monthly_spend=100, used=100)
    hass.config_entries.async_update_entry(
        entry, options={CONF_LOW_BALANCE: 50, CONF_DAILY_BUDGET: 20}
    )
    await setup(hass, entry)
    events = async_capture_events(hass, EVENT_ALERT)
    cause(simulator)
    await poll(LONG)
    await poll(LONG)
    simulator.recover()
    await poll(LONG)
    failed = kind in FAILURES
    if failed:
        request.node.add_marker(pytest.mark.logs("Error fetching"))
    assert [event.data["event_type"] for event in events] == [
        kind,
        *(["recovered"] if failed else []),
    ]
    assert None not in events[0].data.values()
    shown = {"name": ACCOUNT, "entity_id": "event.model_studio_alerts"}
    assert described(hass, events[0]) == {**shown, "message": message}
    if failed:
        assert described(hass, events[1]) == {
            **shown,
            "message": "The account is working again",
        }
    device = dr.async_get(hass).async_get(events[0].data["device_id"])
    assert device
    assert device.name == device_name


async def test_forecast(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    report(simulator, used=100)
    await setup_at_noon(hass, freezer, entry, simulator, 10, monthly_budget=290)
    events = async_capture_events(hass, EVENT_ALERT)
    await spend_alike(simulator, freezer, poll, [10, 11, 12, 13])
    assert described(hass, events[0])["message"] == (
        "The forecast of 310.00 USD exceeds the budget of 290.00 USD"
    )


async def test_names_of_the_service_are_plain_text(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    events = async_capture_events(hass, EVENT_ALERT)
    name = "qwen\u202e\nmax"
    simulator.body["data"]["models"][0]["model"] = name
    report(simulator, used=810)
    await poll()
    assert events[-1].data["model"] == name
    assert described(hass, events[-1])["message"] == "qwen max reached 80% of its limit"


async def test_language_of_home_assistant(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The log is written once for all users."""
    hass.config.language = "zh-Hans"
    await async_load_integrations(hass, {DOMAIN})
    events = async_capture_events(hass, EVENT_ALERT)
    report(simulator, monthly_spend=410)
    await poll()
    assert described(hass, events[1])["message"] == "费用已达预算的 80%"
