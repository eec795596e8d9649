"""Notifies the entities of an account, in batches if there are many."""

import asyncio
from collections.abc import Callable, Collection
from itertools import islice

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback

from .const import LOGGER
from .owners import Owner

BATCH = 50
"""Listeners that are called without a pause. Each may write a state."""


class Listeners:
    """The listeners of an account and of its models and groups."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry) -> None:
        """Start without listeners."""
        self._hass = hass
        self._entry = entry
        self._by_owner: dict[Owner, list[Callable[[], None]]] = {}
        """The listeners by owner of the figures."""
        self._due: dict[Callable[[], None], None] = {}
        self._is_notifying = False

    @property
    def owners(self) -> set[Owner]:
        """The owners of figures that have listeners, without the account."""
        return self._by_owner.keys() - {None}

    @callback
    def async_add(self, update: Callable[[], None], owner: Owner) -> Callable[[], None]:
        """Add a listener. Return a function that removes it."""
        listeners = self._by_owner.setdefault(owner, [])
        listeners.append(update)

        @callback
        def remove() -> None:
            listeners.remove(update)
            if not listeners:
                self._by_owner.pop(owner, None)
            self._due.pop(update, None)

        return remove

    @callback
    def async_notify(self, changed: Collection[Owner]) -> None:
        """Call the account's listeners, and then those of the owners that changed.

        In an outage hundreds of models change together. Their listeners are called in
        batches, so that they do not block the event loop.
        """
        for update in list(self._by_owner.get(None, ())):
            self._call(update)
        for owner in changed:
            self._due |= dict.fromkeys(self._by_owner.get(owner, ()))
        if self._due and not self._is_notifying:
            self._entry.async_create_task(
                self._hass, self._async_call_due(), f"{self._entry.title} listeners"
            )

    async def _async_call_due(self) -> None:
        """Call the listeners that are due, in batches."""
        self._is_notifying = True
        try:
            while self._due:
                for update in list(islice(self._due, BATCH)):
                    self._due.pop(update, None)
                    self._call(update)
                if self._due:
                    await asyncio.sleep(0)
        finally:
            self._is_notifying = False

    def _call(self, update: Callable[[], None]) -> None:
        """Call a listener. An error in it is logged, so that the others are called too."""
        try:
            update()
        except Exception:
            LOGGER.exception("Unexpected error in a listener of %s", self._entry.title)
