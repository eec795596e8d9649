"""Binary sensors of an account."""

from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import AlibabaCloudConfigEntry, AlibabaCloudCoordinator
from .entity import (
    AlibabaCloudEntity,
    FigureDescription,
    StatusEntity,
    async_setup_figures,
)
from .failures import Status
from .model_studio import AccountSnapshot

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class FigureBinarySensorDescription[SourceT](
    FigureDescription[SourceT], BinarySensorEntityDescription
):
    """A figure that is on or off."""


ACCOUNT_BINARY_SENSORS: tuple[FigureBinarySensorDescription[AccountSnapshot], ...] = (
    FigureBinarySensorDescription(
        key="over_spend_limit",
        translation_key="over_spend_limit",
        device_class=BinarySensorDeviceClass.PROBLEM,
        value_fn=lambda account: account.over_spend_limit,
        exists_fn=lambda account: account.spend_limit is not None,
    ),
)

STATUS_BINARY_SENSORS: tuple[
    FigureBinarySensorDescription[AlibabaCloudCoordinator], ...
] = (
    FigureBinarySensorDescription(
        key="api_key_problem",
        translation_key="api_key_problem",
        device_class=BinarySensorDeviceClass.PROBLEM,
        value_fn=lambda coordinator: coordinator.status is Status.AUTH,
    ),
    FigureBinarySensorDescription(
        key="rate_limited",
        translation_key="rate_limited",
        device_class=BinarySensorDeviceClass.PROBLEM,
        value_fn=lambda coordinator: coordinator.status is Status.LIMITED,
    ),
    FigureBinarySensorDescription(
        key="account_available",
        translation_key="account_available",
        device_class=BinarySensorDeviceClass.CONNECTIVITY,
        value_fn=lambda coordinator: coordinator.status is Status.OK,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: AlibabaCloudConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the binary sensors of an account."""
    async_add_entities(
        AlibabaCloudStatusBinarySensor(entry.runtime_data, description)
        for description in STATUS_BINARY_SENSORS
    )
    async_setup_figures(
        entry,
        async_add_entities,
        AlibabaCloudBinarySensor,
        account=ACCOUNT_BINARY_SENSORS,
    )


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
    """What the last poll says of the key or the service."""
