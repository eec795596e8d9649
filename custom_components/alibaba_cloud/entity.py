"""The base of all entities: which figure they show, and when they write their state."""

from abc import abstractmethod
import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import batched, chain
from typing import Any, override

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .account import Account, AlibabaCloudConfigEntry
from .const import DOMAIN
from .descriptions import FigureDescription
from .devices import async_child_device_info
from .model_studio import Dimension, QuotasKind, SpendGroup
from .owners import Owner, devices_of, owner_of
from .sources import Source

_BATCH = 10
"""Entities that are added without a pause. Each is registered, too."""


class AlibabaCloudEntity(Entity):
    """A figure of an account, or of one of its models or groups."""

    _attr_has_entity_name = True
    _attr_should_poll = False
    entity_description: FigureDescription[Any]
    _state: tuple[Any, ...] | None = None
    """What the state and its attributes show. None until the figure is read."""

    def __init__(
        self,
        account: Account,
        description: FigureDescription[Any],
        owner: Owner = None,
    ) -> None:
        """Attach the entity to the device of an owner."""
        self.entity_description = description
        self._account = account
        self._owner = owner
        identifier = account.identifier(owner)
        self._attr_unique_id = f"{identifier}_{description.key}"
        self._attr_translation_key = description.key
        if (
            owner is not None
            and description.entity_category is EntityCategory.DIAGNOSTIC
            and account.last_quotas is not None
            and account.last_quotas.quotas_kind is QuotasKind.LIMITS
        ):
            # This API key reads nothing but limits of the models that the user chose.
            self._attr_entity_registry_enabled_default = True
        self._attr_device_info = (
            DeviceInfo(identifiers={(DOMAIN, identifier)})
            if owner is None
            else async_child_device_info(account, owner)
        )
        # The registry stores the unit when the entity is added.
        self._read()

    @property
    def _figures(self) -> Any:
        """The figures that this one is read from, None without any."""
        return self._account.figures(self._owner)

    def _is_available(self, value: Any) -> bool:
        """Return whether the figure is known, or none of its sources fails."""
        return value is not None or self._account.missing_sources.isdisjoint(
            self.entity_description.sources
        )

    def _attributes(self, figures: Any) -> dict[str, Any]:
        """Return the attributes of the figure."""
        return {}

    @abstractmethod
    def _show(self, value: Any) -> None:
        """Show the figure, None if it is unknown."""

    def _read(self) -> bool:
        """Read the figure, and return whether its state or an attribute changed."""
        value, attributes, figures = None, {}, self._figures
        if figures is not None:
            value = self.entity_description.value_fn(figures)
            attributes = self._attributes(figures)
        available = self._is_available(value)
        state = (value, available, attributes)
        if state == self._state:
            return False
        self._state = state
        self._attr_available = available
        self._attr_extra_state_attributes = attributes
        self._show(value)
        return True

    @override
    async def async_added_to_hass(self) -> None:
        """Listen to the account."""
        await super().async_added_to_hass()
        self._read()
        self.async_on_remove(
            self._account.async_add_listener(self._async_account_updated, self._owner)
        )

    @callback
    def _async_account_updated(self) -> None:
        """Write the state if it changed."""
        if self._read():
            self.async_write_ha_state()

    async def async_update(self) -> None:
        """Poll the sources of the figure when the user asks for it."""
        for source in self.entity_description.sources or (Source.QUOTAS,):
            if coordinator := self._account.sources.get(source):
                await coordinator.async_request_refresh()


class StatusEntity(AlibabaCloudEntity):
    """The result of the last poll, which is always known."""

    @property
    @override
    def _figures(self) -> Account:
        """The account itself."""
        return self._account

    @override
    def _is_available(self, value: Any) -> bool:
        """Return that the entity is always available."""
        return True


class FigureEntities:
    """Adds an entity for each figure once the service has reported it.

    Figures that were reported in an earlier run are in the registry. Their entities are
    added even if the service can't be read now. A model or a group whose device is
    removed loses its entities, and gets new ones when it returns.
    """

    def __init__(
        self,
        entry: AlibabaCloudConfigEntry,
        async_add_entities: AddConfigEntryEntitiesCallback,
        create: type[AlibabaCloudEntity],
        account: Sequence[FigureDescription[Any]],
        *,
        models: Sequence[FigureDescription[Any]] = (),
        groups: Mapping[Dimension, Sequence[FigureDescription[Any]]] | None = None,
    ) -> None:
        """Prepare to add the figures of an account and of its models and groups."""
        self._entry = entry
        self._account = entry.runtime_data
        self._hass = self._account.hass
        self._async_add_entities = async_add_entities
        self._create = create
        self._account_figures = account
        self._model_figures = models
        self._group_figures = groups or {}
        self._keys: dict[Owner, set[str]] = {
            owner: set() for owner in (None, *devices_of(self._hass, entry.entry_id))
        }
        """The keys of the figures that have an entity, by owner."""

    @callback
    def async_start(self) -> None:
        """Add the entities of what is known now, and then of what is reported later."""
        registered = {
            entity.unique_id
            for entity in er.async_entries_for_config_entry(
                er.async_get(self._hass), self._entry.entry_id
            )
        }
        self._keys |= {owner: set() for owner in self._owners}
        new = self._new_figures(self._keys, registered)
        self._entry.async_on_unload(
            self._account.async_add_listener(self._async_updated)
        )
        self._entry.async_on_unload(
            self._hass.bus.async_listen(
                dr.EVENT_DEVICE_REGISTRY_UPDATED, self._async_device_updated
            )
        )
        # Home Assistant limits the time that a platform may take to set up.
        self._entry.async_create_task(
            self._hass, self._async_add_first(new), f"{self._entry.title} entities"
        )

    @property
    def _owners(self) -> Iterator[Owner]:
        """The models and groups that have a device."""
        return chain(self._account.models, self._account.groups)

    @callback
    def _async_updated(self) -> None:
        """Add the entities of figures that are reported for the first time."""
        listed = [owner for owner in self._owners if owner not in self._keys]
        self._keys |= {owner: set() for owner in listed}
        changed = self._keys.keys() & set(self._account.changed)
        if new := self._new_figures([None, *listed, *changed.difference(listed)]):
            self._entry.async_create_task(
                self._hass, self._async_add(new), f"{self._entry.title} entities"
            )

    def _new_figures(
        self, owners: Collection[Owner], registered: Collection[str] = ()
    ) -> list[tuple[Owner, FigureDescription[Any]]]:
        """Return the figures that get an entity now, and record that they have one."""
        new: list[tuple[Owner, FigureDescription[Any]]] = []
        for owner in owners:
            keys, figures = self._keys[owner], self._account.figures(owner)
            unique_id = self._account.identifier(owner)
            for description in self._descriptions(owner):
                if description.key not in keys and (
                    f"{unique_id}_{description.key}" in registered
                    or (figures is not None and description.exists(figures))
                ):
                    keys.add(description.key)
                    new.append((owner, description))
        return new

    def _descriptions(self, owner: Owner) -> Sequence[FigureDescription[Any]]:
        """Return the figures that an owner can have."""
        if owner is None:
            return self._account_figures
        if isinstance(owner, SpendGroup):
            return self._group_figures.get(owner.dimension, ())
        return self._model_figures

    async def _async_add_first(
        self, figures: Sequence[tuple[Owner, FigureDescription[Any]]]
    ) -> None:
        """Add the first entities, and remove those that a killed run has left."""
        await self._async_add(figures)
        if self._model_figures and self._account.quotas.report is not None:
            _remove_without_device(self._hass, self._entry.entry_id)

    async def _async_add(
        self, figures: Sequence[tuple[Owner, FigureDescription[Any]]]
    ) -> None:
        """Add entities in batches: thousands at once would block the event loop."""
        for batch in batched(figures, _BATCH, strict=False):
            if self._entry.state is ConfigEntryState.UNLOAD_IN_PROGRESS:
                return
            self._async_add_entities(
                [
                    self._create(self._account, description, owner)
                    for owner, description in batch
                    if owner in self._keys
                ]
            )
            await asyncio.sleep(0)

    @callback
    def _async_device_updated(
        self, event: Event[dr.EventDeviceRegistryUpdatedData]
    ) -> None:
        """Forget an owner whose device was removed."""
        if event.data["action"] == "remove":
            for domain, identifier, *_ in event.data["device"]["identifiers"]:
                owner = owner_of(self._entry.entry_id, identifier)
                if domain == DOMAIN and owner is not None:
                    self._keys.pop(owner, None)


@callback
def async_remove_figure(account: Account, platform: Platform, key: str) -> None:
    """Remove the entity of a figure that the account no longer has."""
    registry = er.async_get(account.hass)
    unique_id = f"{account.identifier(None)}_{key}"
    if entity_id := registry.async_get_entity_id(platform, DOMAIN, unique_id):
        registry.async_remove(entity_id)


@callback
def _remove_without_device(hass: HomeAssistant, entry_id: str) -> None:
    """Remove the entities of models and groups whose devices were removed.

    Home Assistant writes its registries one after the other. If it is killed in between,
    a device is removed and its entities are not.
    """
    devices, entities = dr.async_get(hass), er.async_get(hass)
    for entity in er.async_entries_for_config_entry(entities, entry_id):
        if entity.device_id is None or devices.async_get(entity.device_id) is None:
            entities.async_remove(entity.entity_id)
