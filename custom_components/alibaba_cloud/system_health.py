"""System health: the number of accounts, and whether their hosts can be reached."""

from typing import Any

from yarl import URL

from homeassistant.components.system_health import (
    SystemHealthRegistration,
    async_check_can_reach_url,
)
from homeassistant.core import HomeAssistant, callback

from .account import AlibabaCloudConfigEntry
from .const import CONF_BASE_URL, DOMAIN


@callback
def async_register(hass: HomeAssistant, register: SystemHealthRegistration) -> None:
    """Register the info callback."""
    register.async_register_info(async_info)


async def async_info(hass: HomeAssistant) -> dict[str, Any]:
    """Return the number of accounts, and whether each host can be reached."""
    entries: list[AlibabaCloudConfigEntry] = hass.config_entries.async_loaded_entries(
        DOMAIN
    )
    origins = {URL(entry.data[CONF_BASE_URL]).origin() for entry in entries}
    return {
        "accounts": len(entries),
        **{
            origin.authority: async_check_can_reach_url(hass, str(origin))
            for origin in sorted(origins)
        },
    }
