"""Asking the user for another key."""

from typing import cast

from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigFlowContext,
    ConfigFlowResult,
)
from homeassistant.const import CONF_API_KEY
from homeassistant.core import HomeAssistant, callback

CONF_REAUTH = "reauth"
"""Names the key that a flow asks for: `api_key`, if left out, or `access_key_id`."""


class Reauth:
    """Asks for a key once it is rejected, and no longer once it works again."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry, key: str) -> None:
        """Ask for nothing yet."""
        self._hass = hass
        self._entry = entry
        self._key = key
        self._asked = False
        # The next run, which may have another key, asks for itself.
        entry.async_on_unload(self.withdraw)

    @callback
    def ask(self) -> None:
        """Ask, unless that is done, or the user is at something else.

        Home Assistant has one such flow of an account at a time. While there is another
        one, nothing counts as asked: the first rejected poll after it asks again.
        """
        if not (flows := self._flows()):
            if self._asked:
                # The user has closed the flow.
                return
            marker = {CONF_REAUTH: self._key}
            self._entry.async_start_reauth(
                self._hass, context=cast(ConfigFlowContext, marker), data=marker
            )
            flows = self._flows()
        self._asked = any(map(self._is_mine, flows))

    @callback
    def withdraw(self) -> None:
        """End the flow that asks for a key that works again."""
        if self._asked:
            self._asked = False
            for flow in self._flows():
                if self._is_mine(flow):
                    self._hass.config_entries.flow.async_abort(flow["flow_id"])

    def _flows(self) -> list[ConfigFlowResult]:
        """Return the account's flows that are open."""
        return list(
            self._entry.async_get_active_flows(
                self._hass, {SOURCE_REAUTH, SOURCE_RECONFIGURE}
            )
        )

    def _is_mine(self, flow: ConfigFlowResult) -> bool:
        """Tell whether a flow asks for this key."""
        return (
            flow["context"]["source"] == SOURCE_REAUTH
            and flow["context"].get(CONF_REAUTH, CONF_API_KEY) == self._key
        )
