"""Binary sensors of an account."""

from typing import Any, override

from homeassistant.components.binary_sensor import BinarySensorEntity
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .account import AlibabaCloudConfigEntry
from .descriptions import FigureBinarySensorDescription
from .entity import (
    AlibabaCloudEntity,
    FigureEntities,
    StatusEntity,
    async_remove_figure,
)
from .figures import ACCOUNT_BINARY_SENSORS, STATUS_BINARY_SENSORS

PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant,
    entry: AlibabaCloudConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the binary sensors of an account."""
    account = entry.runtime_data
    async_add_entities(
        AlibabaCloudStatusBinarySensor(account, description)
        for description in STATUS_BINARY_SENSORS
        if description.exists(account)
    )
    if account.clients is None:
        # The account may have had an AccessKey before, and with it this entity.
        async_remove_figure(account, Platform.BINARY_SENSOR, "access_key_problem")
    FigureEntities(
        entry, async_add_entities, AlibabaCloudBinarySensor, ACCOUNT_BINARY_SENSORS
    ).async_start()


class AlibabaCloudBinarySensor(AlibabaCloudEntity, BinarySensorEntity):
    """A figure that is on or off."""

    entity_description: FigureBinarySensorDescription[Any]

    @override
    def _show(self, value: bool | None) -> None:
        """Show the figure."""
        self._attr_is_on = value


class AlibabaCloudStatusBinarySensor(StatusEntity, AlibabaCloudBinarySensor):
    """Whether the last poll shows a problem with the key or the service."""
