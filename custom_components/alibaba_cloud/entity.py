"""What all entities share: whose they are, when they exist and when they write."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any, override

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EntityCategory
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.device_registry import ChildDeviceInfo, DeviceInfo
from homeassistant.helpers.entity import EntityDescription
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .const import DOMAIN
from .coordinator import AlibabaCloudConfigEntry, AlibabaCloudCoordinator
from .model_studio import AccountSnapshot, QuotasKind, plain_text
from .sources import Source

_PORTION = 10
"""Entities that are added at once; with each goes an entry of the registry."""


@dataclass(frozen=True, kw_only=True)
class FigureDescription[SourceT](EntityDescription):
    """A figure of an account, a model, or the coordinator itself."""

    value_fn: Callable[[SourceT], Any]
    """The figure, None where it is unknown."""
    exists_fn: Callable[[SourceT], bool] | None = None
    """Whether it was reported, for a figure that can be unknown from the start."""
    sources: tuple[Source, ...] = (Source.QUOTAS,)
    """What can report the figure; it is unavailable while none does and one fails."""

    def exists(self, source: SourceT) -> bool:
        """Return whether the service has reported this figure."""
        if self.exists_fn:
            return self.exists_fn(source)
        return self.value_fn(source) is not None


class AlibabaCloudEntity(CoordinatorEntity[AlibabaCloudCoordinator]):
    """A figure of an account, or of one of its models."""

    _attr_has_entity_name = True
    entity_description: FigureDescription[Any]
    _shown: tuple[Any, ...] = ()

    def __init__(
        self,
        coordinator: AlibabaCloudCoordinator,
        description: FigureDescription[Any],
        model: str | None = None,
    ) -> None:
        """Attach the entity to the account's device, or to that of a model."""
        super().__init__(coordinator, model)
        self.entity_description = description
        self._model = model
        identifier = coordinator.identifier(model)
        self._attr_unique_id = f"{identifier}_{description.key}"
        if (
            model is not None
            and description.entity_category is EntityCategory.DIAGNOSTIC
            and coordinator.data
            and coordinator.data.quotas_kind is QuotasKind.LIMITS
        ):
            # Limits are all that this API key reads of a model the user chose.
            self._attr_entity_registry_enabled_default = True
        self._attr_device_info = (
            DeviceInfo(identifiers={(DOMAIN, identifier)})
            if model is None
            else ChildDeviceInfo(
                identifiers={(DOMAIN, identifier)},
                name=plain_text(model) or None,
                parent_device_id=coordinator.device_id,
            )
        )

    @property
    def _source(self) -> Any:
        """What the figure is read from, None while there is nothing."""
        return self.coordinator.figures(self._model)

    @property
    def _value(self) -> Any:
        """The figure."""
        if (source := self._source) is None:
            return None
        return self.entity_description.value_fn(source)

    @property
    @override
    def available(self) -> bool:
        """Return whether the figure stands."""
        return self._value is not None or self.coordinator.failing.isdisjoint(
            self.entity_description.sources
        )

    def _shows(self) -> tuple[Any, ...]:
        """Return all that makes up the state."""
        return (self.available, self._value, self.extra_state_attributes)

    @override
    async def async_added_to_hass(self) -> None:
        """Remember what the first state, written after this, shows."""
        await super().async_added_to_hass()
        self._shown = self._shows()

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Write the state, if there is anything new in it."""
        if (shows := self._shows()) != self._shown:
            self._shown = shows
            super()._handle_coordinator_update()


class StatusEntity(AlibabaCloudEntity):
    """Says how the last poll ended, which is known whatever happens."""

    @property
    @override
    def _source(self) -> AlibabaCloudCoordinator:
        """The coordinator itself."""
        return self.coordinator

    @property
    @override
    def available(self) -> bool:
        """Return that the entity is always available."""
        return True


@callback
def async_setup_figures(
    entry: AlibabaCloudConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    create: type[AlibabaCloudEntity],
    *,
    account: Sequence[FigureDescription[Any]],
    models: Sequence[FigureDescription[Any]] = (),
) -> None:
    """Add an entity for each figure once the service has reported it, or ever had.

    What an earlier run had stands in the registries, and comes back even if the
    service can't be read now. A model whose device is removed takes its entities
    along, and gets new ones when it returns.
    """
    coordinator = entry.runtime_data
    hass, entry_id = coordinator.hass, entry.entry_id
    looked_at = AccountSnapshot()
    devices = dr.async_get(hass)
    registered = {
        entity.unique_id
        for entity in er.async_entries_for_config_entry(er.async_get(hass), entry_id)
    }
    prefix = coordinator.identifier("")
    known: dict[str | None, set[str]] = {None: set()} | {
        identifier.removeprefix(prefix): set()
        for device in dr.async_child_entries_for_config_entry(devices, entry_id)
        for _, identifier in device.identifiers
    }

    def new_figures() -> Iterator[tuple[str | None, FigureDescription[Any]]]:
        nonlocal looked_at
        for name in coordinator.models:
            known.setdefault(name, set())
        before, looked_at = looked_at, coordinator.account
        for model, keys in known.items():
            descriptions = account if model is None else models
            source = coordinator.figures(model)
            if keys and model is not None and source is before.models.get(model):
                # Of hundreds of models most are the same object as before.
                continue
            for description in descriptions:
                if description.key not in keys and (
                    f"{coordinator.identifier(model)}_{description.key}" in registered
                    or (source is not None and description.exists(source))
                ):
                    keys.add(description.key)
                    yield model, description

    async def add(
        figures: Sequence[tuple[str | None, FigureDescription[Any]]],
    ) -> None:
        # Thousands in one go would hold up everything else for seconds.
        for portion in batched(figures, _PORTION, strict=False):
            if entry.state is ConfigEntryState.UNLOAD_IN_PROGRESS:
                return
            async_add_entities(
                [
                    create(coordinator, description, model)
                    for model, description in portion
                    if model in known
                ]
            )
            await asyncio.sleep(0)

    async def add_first() -> None:
        await add(new)
        if models and coordinator.last_update_success:
            _remove_without_device(hass, entry_id, prefix)

    @callback
    def add_new() -> None:
        if new := list(new_figures()):
            entry.async_create_task(hass, add(new), f"{entry.title} entities")

    @callback
    def forget(event: Event[dr.EventDeviceRegistryUpdatedData]) -> None:
        if event.data["action"] == "remove":
            for domain, identifier, *_ in event.data["device"]["identifiers"]:
                if domain == DOMAIN and identifier.startswith(prefix):
                    known.pop(identifier.removeprefix(prefix), None)

    new = list(new_figures())
    registered.clear()
    entry.async_on_unload(coordinator.async_add_listener(add_new))
    entry.async_on_unload(
        hass.bus.async_listen(dr.EVENT_DEVICE_REGISTRY_UPDATED, forget)
    )
    # Not within the time that Home Assistant gives a platform to set up.
    entry.async_create_task(hass, add_first(), f"{entry.title} entities")


@callback
def _remove_without_device(hass: HomeAssistant, entry_id: str, prefix: str) -> None:
    """Remove the entities that models have left whose devices are gone.

    Home Assistant writes its registries one after the other: if it is killed in between,
    a device is gone and its entities are not.
    """
    devices, entities = dr.async_get(hass), er.async_get(hass)
    for entity in er.async_entries_for_config_entry(entities, entry_id):
        if entity.unique_id.startswith(prefix) and (
            entity.device_id is None or devices.async_get(entity.device_id) is None
        ):
            entities.async_remove(entity.entity_id)
