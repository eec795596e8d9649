"""The devices of a trigger's or condition's target."""

from typing import Any

import voluptuous as vol

from homeassistant.const import ATTR_DEVICE_ID, CONF_EXCLUDE, CONF_TARGET
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import (
    config_validation as cv,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.helpers.target import (
    TargetSelection,
    async_extract_referenced_entity_ids,
)
from homeassistant.helpers.typing import ConfigType

from .model_studio import SpendGroup
from .owners import owner_of

TARGET: dict[Any, Any] = {vol.Optional(CONF_TARGET): cv.TARGET_FIELDS}
"""The schema of an optional target."""


class Target:
    """The devices of a target. Without a selection, all of them.

    It is resolved each time it is asked, so it follows devices that move to another
    area or get another label.
    """

    def __init__(self, hass: HomeAssistant, config: ConfigType | None) -> None:
        """Prepare the target of a configuration."""
        self._hass = hass
        chosen = dict(config or {})
        self._excluded = TargetSelection(chosen.pop(CONF_EXCLUDE, {}))
        self._chosen = TargetSelection(chosen)
        self._is_everything = not any(chosen.values())

    @callback
    def has_account(self, entry_id: str) -> bool:
        """Return whether the target contains an account, or a model that stands for it.

        Workspaces and API keys stand for themselves only.
        """
        if self._is_everything:
            return True
        registry = dr.async_get(self._hass)
        return any(
            not isinstance(owner_of(entry_id, identifier), SpendGroup)
            for device_id in self._device_ids()
            if (device := registry.async_get(device_id))
            and device.config_entry_id == entry_id
            for _, identifier in device.identifiers
        )

    @callback
    def has_device(self, device_id: str) -> bool:
        """Return whether the target contains a device or the account it belongs to."""
        return self._is_everything or device_id in self._device_ids()

    @callback
    def has_only_child(self, device_id: str) -> bool:
        """Return whether the target contains a child device, but not its account."""
        if self._is_everything:
            return False
        device_ids = self._device_ids()
        device = dr.async_get(self._hass).async_get(device_id)
        return (
            device_id in device_ids
            and isinstance(device, dr.ChildDeviceEntry)
            and device.parent_device_id not in device_ids
        )

    def _device_ids(self) -> set[str]:
        """Return the devices that are chosen and not excluded."""
        return self._resolve(self._chosen) - self._resolve(self._excluded)

    def _resolve(self, selection: TargetSelection) -> set[str]:
        """Return the devices of a selection.

        An entity stands for its device, and an account's device for its child devices.
        Some models have diagnostic entities only.
        """
        found = async_extract_referenced_entity_ids(
            self._hass, selection, primary_entities_only=False
        )
        by_entity = self._devices_of(found.referenced)
        children = async_extract_referenced_entity_ids(
            self._hass, TargetSelection({ATTR_DEVICE_ID: list(by_entity)})
        ).referenced_devices
        return (
            found.referenced_devices
            | self._devices_of(found.indirectly_referenced)
            | children
        )

    def _devices_of(self, entity_ids: set[str]) -> set[str]:
        """Return the devices of entities."""
        registry = er.async_get(self._hass)
        return {
            entity.device_id
            for entity_id in entity_ids
            if (entity := registry.async_get(entity_id)) and entity.device_id
        }
