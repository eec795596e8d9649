"""Alerts of falling limits of a model while an account is polled."""

from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)

from custom_components.alibaba_cloud.const import EVENT_ALERT
from homeassistant.core import HomeAssistant

from .common import (
    LONG,
    NOTHING,
    STORED,
    Poll,
    arm,
    described,
    device,
    last_event,
    report,
    restart,
    triggered,
)
from .simulator import Fault, Simulator

pytestmark = pytest.mark.usefixtures("kept", "low_figures")

HOUR = 3600


def limit(simulator: Simulator, rpm: int | None) -> None:
    """Change the `rpm` limit of qwen-max, which starts at 600."""
    simulator.body["data"]["models"][0]["rpm"] = rpm


async def hour(poll: Poll) -> None:
    """Poll now, and again an hour later."""
    await poll()
    await poll(HOUR)


async def test_limit_lowered(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A lowered limit alerts within an hour, and only once, also across restarts."""
    events = await arm(
        hass,
        {
            "trigger": "alibaba_cloud.limit_lowered",
            "target": {"device_id": device(hass, account, "qwen-max")},
        },
    )
    sent = async_capture_events(hass, EVENT_ALERT)
    await hour(poll)
    limit(simulator, 300)
    await poll()
    assert triggered(events) == []
    await hour(poll)
    assert triggered(events) == [("limit_lowered", None)]
    assert last_event(hass) == (
        "limit_lowered",
        {
            **NOTHING,
            "model": "qwen-max",
            "limit_type": "rpm",
            "limit": 300,
            "previous_limit": 600,
        },
    )
    assert described(hass, sent[0])["message"] == (
        "qwen-max may be retiring: a limit fell from 600 to 300 (Requests per minute)"
    )
    assert sent[0].data["device_id"] == device(hass, account, "qwen-max")
    await restart(hass, account)
    await hour(poll)
    assert triggered(events) == []


async def test_next_answer_that_differs_confirms_it(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Two answers in a row confirm a lower limit, even with a restart between them."""
    events = await arm(hass)
    await hour(poll)
    limit(simulator, 300)
    await poll()
    await restart(hass, account)
    assert triggered(events) == [("limit_lowered", None)]
    limit(simulator, 200)
    await poll()
    report(simulator, tokens_used=1)
    await poll()
    assert triggered(events) == [("limit_lowered", None)]


@pytest.mark.logs("Error fetching")
async def test_no_limit_lowered(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A limit that wavers or is missing, and a failed poll, alert nothing."""
    events = await arm(hass)
    await hour(poll)
    for rpm in (300, 600, None, 600, 1200, 600):
        limit(simulator, rpm)
        await poll()
    limit(simulator, 300)
    await poll()
    simulator.fail(Fault.SERVER_ERROR)
    await poll(HOUR)
    simulator.recover()
    limit(simulator, 600)
    await hour(poll)
    assert triggered(events) == []


async def test_limit_that_wavers_is_written_later(
    account: MockConfigEntry, simulator: Simulator, poll: Poll, kept: dict[str, Any]
) -> None:
    """A new limit may change often, so only an alert is written at once."""

    def written() -> Any:
        return kept[STORED]["data"]["alerts"]["limits"]["qwen-max"]["rpm"]

    await hour(poll)
    await poll(LONG)
    limit(simulator, 300)
    await poll()
    assert written() == [600, None, None]
    await poll(LONG)
    assert written() == [600, 300, None]
