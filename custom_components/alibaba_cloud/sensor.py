"""Sensors of an account, its models and its groups."""

from datetime import datetime
from typing import Any, override

from homeassistant.components.sensor import SensorEntity
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .account import Account, AlibabaCloudConfigEntry
from .descriptions import FigureSensorDescription
from .entity import (
    AlibabaCloudEntity,
    FigureEntities,
    StatusEntity,
    async_remove_figure,
)
from .figures import ACCOUNT_SENSORS, MODEL_SENSORS, STATUS
from .group_figures import GROUP_SENSORS, OTHER_GROUPS_SENSORS
from .model_studio import Money, Quantity, Spend
from .owners import Owner
from .sources import GROUP_SOURCES

PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant,
    entry: AlibabaCloudConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the sensors of an account."""
    account = entry.runtime_data
    async_add_entities([AlibabaCloudStatusSensor(account, STATUS)])
    followed = {GROUP_SOURCES[group.dimension] for group in account.groups}
    for description in OTHER_GROUPS_SENSORS:
        if followed.isdisjoint(description.sources):
            async_remove_figure(account, Platform.SENSOR, description.key)
    FigureEntities(
        entry,
        async_add_entities,
        AlibabaCloudSensor,
        ACCOUNT_SENSORS,
        models=MODEL_SENSORS,
        groups=GROUP_SENSORS,
    ).async_start()


class AlibabaCloudSensor(AlibabaCloudEntity, SensorEntity):
    """A figure. An amount comes with its currency or unit."""

    entity_description: FigureSensorDescription[Any]
    # They change with the state, which is recorded, or only explain the current state.
    _unrecorded_attributes = frozenset(
        {
            "high",
            "input_price",
            "low",
            "models_without_price",
            "output_price",
            "share_priced",
        }
    )

    @override
    def __init__(
        self,
        account: Account,
        description: FigureSensorDescription[Any],
        owner: Owner = None,
    ) -> None:
        """Attach the sensor to the device of an owner."""
        super().__init__(account, description, owner)
        self._follow_unit()

    def _follow_unit(self) -> None:
        """Show the currency or unit of the figure. It stays while that is unknown."""
        if isinstance(value := self._value, Money):
            self._attr_native_unit_of_measurement = value.currency
        elif isinstance(value, Quantity):
            self._attr_native_unit_of_measurement = value.unit

    @override
    async def async_added_to_hass(self) -> None:
        """Listen to the account."""
        self._follow_unit()
        await super().async_added_to_hass()

    @callback
    @override
    def _async_account_updated(self) -> None:
        """Write the state if it changed."""
        self._follow_unit()
        super()._async_account_updated()

    @property
    @override
    def native_value(self) -> Any:
        """Return the figure."""
        value = self._value
        return value.amount if isinstance(value, Money | Quantity) else value

    @property
    @override
    def last_reset(self) -> datetime | None:
        """Return when the day or the period of a spend began."""
        value = self._value
        return value.since if isinstance(value, Spend) else None

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any] | None:
        """Return the attributes that the description names."""
        attributes_fn = self.entity_description.attributes_fn
        if attributes_fn is None or (figures := self._figures) is None:
            return None
        return attributes_fn(figures)


class AlibabaCloudStatusSensor(StatusEntity, AlibabaCloudSensor):
    """How the last poll ended."""
