"""Account usage, spend and limits of Alibaba Cloud Model Studio."""

from homeassistant.const import EVENT_HOMEASSISTANT_STOP, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv, device_registry as dr
from homeassistant.helpers.entity_platform import async_get_platforms
from homeassistant.helpers.typing import ConfigType

from .const import CONF_BASE_URL, DOMAIN, LOGGER, console_url
from .coordinator import AlibabaCloudConfigEntry, AlibabaCloudCoordinator
from .dashboard import (
    async_add_dashboard,
    async_remove_dashboard,
    async_serve_dashboard,
)
from .failures import PollFailed
from .history import async_remove_statistics
from .repairs import async_follow_issues, async_withdraw_issues
from .services import async_setup_services
from .storage import AccountStore

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)
PLATFORMS = [Platform.BINARY_SENSOR, Platform.EVENT, Platform.SENSOR]


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Register the actions, which are there with or without an account."""
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
    coordinator = entry.runtime_data = AlibabaCloudCoordinator(hass, entry)
    devices = dr.async_get(hass)
    identifier = (DOMAIN, entry.entry_id)
    await async_add_dashboard(hass)
    await coordinator.store.async_load()
    entry.async_on_unload(
        hass.bus.async_listen(
            EVENT_HOMEASSISTANT_STOP, coordinator.store.async_save_at_stop
        )
    )
    await coordinator.async_first_refresh(
        known=devices.async_get_device_by_identifier(identifier, entry.entry_id)
        is not None
    )
    coordinator.device_id = devices.async_get_or_create(
        config_entry_id=entry.entry_id,
        identifiers={identifier},
        name=entry.title,
        manufacturer="Alibaba Cloud",
        model="Model Studio",
        entry_type=dr.DeviceEntryType.SERVICE,
        configuration_url=console_url(entry.data[CONF_BASE_URL]),
    ).id
    if entry.disabled_by:
        # It was disabled meanwhile, and its platforms would not be set up.
        async_withdraw_issues(hass, entry)
        return False
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    async_follow_issues(hass, entry)
    coordinator.alerts.async_start()
    entry.async_create_background_task(
        hass, coordinator.async_start_sources(), f"{entry.title} sources"
    )
    return True


async def async_unload_entry(
    hass: HomeAssistant, entry: AlibabaCloudConfigEntry
) -> bool:
    """Unload an account."""
    # What would be told from now on, half of those who listen would not hear.
    entry.runtime_data.alerts.async_stop()
    if entry.disabled_by:
        async_withdraw_issues(hass, entry)
    # A platform whose turn came after the entry was disabled has not been set up.
    loaded = [
        platform.domain
        for platform in async_get_platforms(hass, DOMAIN)
        if platform.config_entry is entry
    ]
    return await hass.config_entries.async_unload_platforms(entry, loaded)


async def async_remove_entry(
    hass: HomeAssistant, entry: AlibabaCloudConfigEntry
) -> None:
    """Remove what an account leaves: its issues, what it had stored and imported."""
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
    """Let a model's device be removed once the account no longer lists the model."""
    coordinator = entry.runtime_data
    if coordinator.data is None:
        return False
    current = {coordinator.identifier(None)}
    current.update(map(coordinator.identifier, coordinator.models))
    return not any(identifier in current for _, identifier in device.identifiers)
