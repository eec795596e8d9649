"""The binary sensors of an account."""

import pytest
from syrupy.assertion import SnapshotAssertion

from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNKNOWN, Platform
from homeassistant.core import HomeAssistant

from .common import Poll, check_platform, state
from .simulator import Simulator


@pytest.mark.usefixtures("account")
async def test_binary_sensors(hass: HomeAssistant, snapshot: SnapshotAssertion) -> None:
    """Registry entries and states match the snapshot."""
    check_platform(hass, Platform.BINARY_SENSOR, snapshot)


@pytest.mark.parametrize(
    ("spend", "limit", "over"),
    [
        (499.99, 500, STATE_OFF),
        (500, 500, STATE_ON),
        (500.01, 500, STATE_ON),
        (None, 500, STATE_UNKNOWN),
        (500, None, STATE_UNKNOWN),
        (500, 0, STATE_UNKNOWN),
    ],
)
@pytest.mark.usefixtures("account")
async def test_over_spend_limit(
    hass: HomeAssistant,
    simulator: Simulator,
    poll: Poll,
    spend: float | None,
    limit: float | None,
    over: str,
) -> None:
    """The sensor is on at or above the limit, and unknown without both figures."""
    simulator.body["data"] |= {"monthly_spend": spend, "spend_limit": limit}
    await poll()
    assert state(hass, "over_spend_limit") == over
