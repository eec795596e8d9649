"""Account usage, spend and limits of Alibaba Cloud Model Studio."""

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv, device_registry as dr
from homeassistant.helpers.entity_platform import async_get_platforms
from homeassistant.helpers.typing import ConfigType

from . import devices
from .account import Account, AlibabaCloudConfigEntry
from .alerts import Alerts
from .const import DOMAIN, LOGGER
from .dashboard import (
    async_add_dashboard,
    async_remove_dashboard,
    async_serve_dashboard,
)
from .failures import PollFailed
from .reauth import async_watch_rejections
from .repairs import async_manage_issues, async_withdraw_issues
from .services import async_setup_services
from .sources import async_read_first
from .statistics import async_remove_statistics
from .storage import AccountStore

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)
PLATFORMS = [Platform.BINARY_SENSOR, Platform.EVENT, Platform.SENSOR]


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Register the actions and serve the dashboard, also without an account."""
    async_setup_services(hass)
    await async_serve_dashboard(hass)
    return True


async def async_setup_entry(
    hass: HomeAssistant, entry: AlibabaCloudConfigEntry
) -> bool:
    """Set up an account.

    An account that was read before is set up even if it can't be read now: its status
    says why. Raises `ConfigEntryAuthFailed` or `ConfigEntryNotReady` if it never was.
    """
    account = entry.runtime_data = Account(hass, entry)
    await async_add_dashboard(hass)
    await account.async_start(is_new=not devices.async_is_registered(hass, entry))
    if entry.disabled_by:
        # It was disabled during setup. Its platforms would not be set up.
        async_withdraw_issues(hass, entry)
        return False
    async_watch_rejections(account)
    devices.async_register(hass, entry)
    devices.async_remove_gone(account)
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    async_manage_issues(hass, entry)
    Alerts(account).async_start()
    entry.async_create_background_task(
        hass, async_read_first(account.access_key_sources), f"{entry.title} sources"
    )
    return True


async def async_unload_entry(
    hass: HomeAssistant, entry: AlibabaCloudConfigEntry
) -> bool:
    """Unload an account."""
    if entry.disabled_by:
        async_withdraw_issues(hass, entry)
    # A platform is not set up if its turn came after the entry was disabled.
    loaded = [
        platform.domain
        for platform in async_get_platforms(hass, DOMAIN)
        if platform.config_entry is entry
    ]
    return await hass.config_entries.async_unload_platforms(entry, loaded)


async def async_remove_entry(
    hass: HomeAssistant, entry: AlibabaCloudConfigEntry
) -> None:
    """Remove the issues, the stored state and the imported statistics of an account."""
    async_withdraw_issues(hass, entry)
    await AccountStore(hass, entry.entry_id).async_remove()
    try:
        await async_remove_statistics(hass, entry.entry_id)
    except PollFailed:
        LOGGER.warning(
            "The statistics of %s are left, because the database can't be read",
            entry.title,
        )
    if not hass.config_entries.async_entries(DOMAIN):
        await async_remove_dashboard(hass)


async def async_remove_config_entry_device(
    hass: HomeAssistant, entry: AlibabaCloudConfigEntry, device: dr.AnyDeviceEntry
) -> bool:
    """Allow removing the device of a gone model, or of a group that is not read."""
    account = entry.runtime_data
    if account.last_quotas is None:
        return False
    groups = () if account.clients is None else account.groups
    current = set(map(account.identifier, (None, *account.models, *groups)))
    return not any(identifier in current for _, identifier in device.identifiers)
