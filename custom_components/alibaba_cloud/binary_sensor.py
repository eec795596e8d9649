"""Binary sensors of an account."""

from typing import Any, override

from homeassistant.components.binary_sensor import BinarySensorEntity
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .account import Account, AlibabaCloudConfigEntry
from .const import DOMAIN
from .descriptions import FigureBinarySensorDescription
from .entity import AlibabaCloudEntity, FigureEntities, StatusEntity
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
        _remove_access_key_problem(hass, account)
    FigureEntities(
        entry, async_add_entities, AlibabaCloudBinarySensor, ACCOUNT_BINARY_SENSORS
    ).async_start()


@callback
def _remove_access_key_problem(hass: HomeAssistant, account: Account) -> None:
    """Remove the entity of an AccessKey that was removed."""
    registry = er.async_get(hass)
    unique_id = f"{account.identifier(None)}_access_key_problem"
    if entity_id := registry.async_get_entity_id(
        Platform.BINARY_SENSOR, DOMAIN, unique_id
    ):
        registry.async_remove(entity_id)


class AlibabaCloudBinarySensor(AlibabaCloudEntity, BinarySensorEntity):
    """A figure that is on or off."""

    entity_description: FigureBinarySensorDescription[Any]

    @property
    @override
    def is_on(self) -> bool | None:
        """Return the figure."""
        value: bool | None = self._value
        return value


class AlibabaCloudStatusBinarySensor(StatusEntity, AlibabaCloudBinarySensor):
    """Whether the last poll shows a problem with the key or the service."""
