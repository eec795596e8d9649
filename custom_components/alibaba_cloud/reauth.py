"""Asks the user for another key when one is rejected."""

from functools import partial
from typing import Any, cast

from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigFlowContext,
    ConfigFlowResult,
)
from homeassistant.const import CONF_API_KEY
from homeassistant.core import HomeAssistant, callback

from .account import Account
from .const import CONF_ACCESS_KEY_ID
from .failures import Status
from .sources import SourceCoordinator

CONF_REAUTH = "reauth"
"""Names the key that a flow asks for: `access_key_id`, or `api_key` by default."""


@callback
def async_watch_rejections(account: Account) -> None:
    """Start a reauthentication when a key is rejected, and end it when it works."""
    api_key = Reauth(account.hass, account.entry, CONF_API_KEY)
    access_key = Reauth(account.hass, account.entry, CONF_ACCESS_KEY_ID)

    @callback
    def update_api_key() -> None:
        if account.status is Status.AUTH:
            api_key.ask()
        elif account.status is Status.OK:
            api_key.withdraw()

    @callback
    def update_access_key(source: SourceCoordinator[Any]) -> None:
        if source.rejects_access_key:
            access_key.ask()
        elif source.report is not None:
            _accept_access_key(account, access_key)

    update_api_key()
    account.entry.async_on_unload(account.quotas.async_add_listener(update_api_key))
    for source in account.access_key_sources:
        if source.description.checks_access_key:
            account.entry.async_on_unload(
                source.async_add_listener(partial(update_access_key, source))
            )


def _accept_access_key(account: Account, reauth: Reauth) -> None:
    """Poll the sources again that rejected the AccessKey. End the flow if none did."""
    rejecting = [s for s in account.access_key_sources if s.rejects_access_key]
    if not rejecting:
        reauth.withdraw()
    for source in rejecting:
        account.entry.async_create_background_task(
            account.hass, source.async_request_refresh(), source.name
        )


class Reauth:
    """Asks for a key once it is rejected, until it works again."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry, key: str) -> None:
        """Prepare to ask for the key with this name."""
        self._hass = hass
        self._entry = entry
        self._key = key
        self._asked = False
        # The next run, which may have another key, asks for itself.
        entry.async_on_unload(self.withdraw)

    @callback
    def ask(self) -> None:
        """Start a flow that asks for the key, unless one was started before.

        Home Assistant has one such flow for each account. If another one is open, wait:
        the next rejected poll after it closes starts one. After a reconfiguration that
        leaves the key rejected, ask again.
        """
        flows = self._flows()
        if not (flows or self._asked):
            marker = {CONF_REAUTH: self._key}
            self._entry.async_start_reauth(
                self._hass, context=cast(ConfigFlowContext, marker), data=marker
            )
            flows = self._flows()
        if any(map(self._is_mine, flows)):
            self._asked = True
        elif any(flow["context"]["source"] == SOURCE_RECONFIGURE for flow in flows):
            self._asked = False

    @callback
    def withdraw(self) -> None:
        """End the flow that asks for this key, if there is one."""
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
        """Return whether a flow asks for this key."""
        return (
            flow["context"]["source"] == SOURCE_REAUTH
            and flow["context"].get(CONF_REAUTH, CONF_API_KEY) == self._key
        )
