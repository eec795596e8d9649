"""The alerts of an account, as events."""

from typing import override

from homeassistant.components.event import EventEntity
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .alerting import SIGNAL_ALERT, AccountAlert
from .const import DOMAIN
from .coordinator import AlibabaCloudConfigEntry
from .model_studio import AlertKind

PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant,
    entry: AlibabaCloudConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the alerts of an account."""
    async_add_entities([AlibabaCloudAlerts(entry)])


class AlibabaCloudAlerts(EventEntity):
    """Shows the last alert, and says each one."""

    _attr_has_entity_name = True
    _attr_should_poll = False
    _attr_translation_key = "alerts"
    _attr_event_types = [kind.value for kind in AlertKind]

    def __init__(self, entry: AlibabaCloudConfigEntry) -> None:
        """Attach the entity to the account's device."""
        self._entry_id = entry.entry_id
        self._attr_unique_id = f"{entry.entry_id}_alerts"
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, entry.entry_id)})

    @override
    async def async_added_to_hass(self) -> None:
        """Listen to the alerts."""
        await super().async_added_to_hass()
        self.async_on_remove(
            async_dispatcher_connect(self.hass, SIGNAL_ALERT, self._told)
        )

    @callback
    def _told(self, told: AccountAlert) -> None:
        """Say an alert of the account."""
        if told.entry_id == self._entry_id:
            self._trigger_event(told.alert.kind.value, told.alert.as_dict())
            self.async_write_ha_state()
