"""Sensors of an account, its models and its groups."""

from typing import Any, override

from homeassistant.components.sensor import SensorEntity
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .account import AlibabaCloudConfigEntry
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
    def _attributes(self, figures: Any) -> dict[str, Any]:
        """Return the attributes that the description names."""
        attributes_fn = self.entity_description.attributes_fn
        return {} if attributes_fn is None else attributes_fn(figures)

    @override
    def _show(self, value: Any) -> None:
        """Show the figure. Its currency or unit stays while the amount is unknown."""
        if isinstance(value, Money):
            self._attr_native_unit_of_measurement = value.currency
        elif isinstance(value, Quantity):
            self._attr_native_unit_of_measurement = value.unit
        is_amount = isinstance(value, Money | Quantity)
        self._attr_native_value = value.amount if is_amount else value
        self._attr_last_reset = value.since if isinstance(value, Spend) else None


class AlibabaCloudStatusSensor(StatusEntity, AlibabaCloudSensor):
    """How the last poll ended."""
