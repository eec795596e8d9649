"""Binary sensors of an account."""

from dataclasses import dataclass
from functools import partial
from typing import Any, override

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import DOMAIN
from .coordinator import AlibabaCloudConfigEntry, AlibabaCloudCoordinator
from .entity import (
    AlibabaCloudEntity,
    FigureDescription,
    StatusEntity,
    async_setup_figures,
)
from .failures import Status
from .model_studio import AccountSnapshot, AuthenticationError, PermissionDeniedError

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

_problem = partial(
    FigureBinarySensorDescription[AlibabaCloudCoordinator],
    device_class=BinarySensorDeviceClass.PROBLEM,
    entity_category=EntityCategory.DIAGNOSTIC,
)

STATUS_BINARY_SENSORS: tuple[
    FigureBinarySensorDescription[AlibabaCloudCoordinator], ...
] = (
    _problem(
        key="api_key_problem",
        translation_key="api_key_problem",
        value_fn=lambda coordinator: coordinator.status is Status.AUTH,
    ),
    _problem(
        key="access_key_problem",
        translation_key="access_key_problem",
        exists_fn=lambda coordinator: bool(coordinator.sources),
        value_fn=lambda coordinator: any(
            isinstance(source.error, AuthenticationError | PermissionDeniedError)
            for source in coordinator.sources.values()
        ),
    ),
    _problem(
        key="rate_limited",
        translation_key="rate_limited",
        value_fn=lambda coordinator: coordinator.status is Status.LIMITED,
    ),
    FigureBinarySensorDescription(
        key="account_available",
        translation_key="account_available",
        device_class=BinarySensorDeviceClass.CONNECTIVITY,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda coordinator: coordinator.status in (Status.OK, Status.LIMITED),
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: AlibabaCloudConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the binary sensors of an account."""
    coordinator = entry.runtime_data
    async_add_entities(
        AlibabaCloudStatusBinarySensor(coordinator, description)
        for description in STATUS_BINARY_SENSORS
        if description.exists(coordinator)
    )
    if not coordinator.sources:
        _remove_access_key_problem(hass, coordinator)
    async_setup_figures(
        entry,
        async_add_entities,
        AlibabaCloudBinarySensor,
        account=ACCOUNT_BINARY_SENSORS,
    )


@callback
def _remove_access_key_problem(
    hass: HomeAssistant, coordinator: AlibabaCloudCoordinator
) -> None:
    """Remove what an AccessKey that is gone has left in the registry."""
    registry = er.async_get(hass)
    unique_id = f"{coordinator.identifier(None)}_access_key_problem"
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
    """What the last poll says of the key or the service."""
