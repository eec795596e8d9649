"""System health: how many accounts, and whether their hosts can be reached."""

import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    get_system_health_info,
)
from yarl import URL

from custom_components.alibaba_cloud.const import DOMAIN
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component

from .simulator import Simulator


@pytest.mark.usefixtures("account")
async def test_system_health(
    hass: HomeAssistant, simulator: Simulator, account: MockConfigEntry
) -> None:
    """Hosts are checked without a key; an unreachable host is reported."""
    assert await async_setup_component(hass, "system_health", {})
    host = URL(simulator.base_url).authority
    simulator.requests.clear()
    info = await get_system_health_info(hass, DOMAIN)
    assert info["accounts"] == 1
    assert await info[host] == "ok"
    assert all("authorization" not in seen.headers for seen in simulator.requests)

    await simulator.stop()
    info = await get_system_health_info(hass, DOMAIN)
    assert await info[host] == {"type": "failed", "error": "unreachable"}
    await simulator.start()
