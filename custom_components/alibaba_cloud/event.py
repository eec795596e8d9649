"""The alerts of an account, as events."""

from typing import override

from homeassistant.components.event import ATTR_EVENT_TYPE, EventEntity
from homeassistant.const import ATTR_DEVICE_ID, ATTR_ENTITY_ID
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .account import AlibabaCloudConfigEntry
from .alerts import SIGNAL_ALERT, AccountAlert
from .const import DOMAIN, EVENT_ALERT
from .ledger import AlertKind

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
        self._entry = entry
        self._attr_unique_id = f"{entry.entry_id}_alerts"
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, entry.entry_id)})

    @override
    async def async_added_to_hass(self) -> None:
        """Listen to the alerts."""
        await super().async_added_to_hass()
        self.async_on_remove(
            async_dispatcher_connect(self.hass, SIGNAL_ALERT, self._async_alert)
        )

    @callback
    def _async_alert(self, sent: AccountAlert) -> None:
        """Show an alert of the account, at a level of its options."""
        alert = sent.alert
        if sent.entry_id != self._entry.entry_id or not alert.is_option:
            return
        attributes = {k: v for k, v in alert.as_dict().items() if v is not None}
        self._trigger_event(alert.kind.value, attributes)
        self.async_write_ha_state()
        self.hass.bus.async_fire(
            EVENT_ALERT,
            {
                ATTR_ENTITY_ID: self.entity_id,
                ATTR_DEVICE_ID: sent.device_id,
                "account": sent.account,
                ATTR_EVENT_TYPE: alert.kind.value,
                **attributes,
            },
        )
