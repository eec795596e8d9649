"""Sends the alerts of an account, and watches the levels of automations."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.dispatcher import (
    async_dispatcher_connect,
    async_dispatcher_send,
)
from homeassistant.helpers.start import async_at_started
from homeassistant.util import dt as dt_util
from homeassistant.util.hass_dict import HassKey
from homeassistant.util.signal_type import SignalType

from .account import Account
from .const import DOMAIN
from .devices import async_own_device_id
from .failures import Status
from .ledger import Alert, AlertKind, AlertState, Observation, billing_day, decide
from .model_studio import AccountSnapshot

type Levels = Mapping[AlertKind, frozenset[Decimal]]

FAILED: Mapping[Status, AlertKind] = {
    Status.LIMITED: AlertKind.RATE_LIMITED,
    Status.AUTH: AlertKind.API_KEY_REJECTED,
    Status.ERROR: AlertKind.ACCOUNT_UNAVAILABLE,
}
"""The alert of each status of a failed poll, except for `BUDGET_EXHAUSTED`."""


@dataclass(frozen=True, kw_only=True)
class AccountAlert:
    """An alert, and the account that it is about."""

    entry_id: str
    account: str
    """The account's name."""
    device_id: str
    """The device of the model, the group or the account that the alert is about."""
    alert: Alert


SIGNAL_ALERT = SignalType[AccountAlert](f"{DOMAIN}_alert")
SIGNAL_LEVELS = SignalType[()](f"{DOMAIN}_levels")
"""Sent when an automation starts to watch a level."""
TRIGGER_LEVELS: HassKey[Counter[tuple[AlertKind, Decimal]]] = HassKey(
    f"{DOMAIN}_trigger_levels"
)
"""The levels that automations watch, and how many automations watch each."""


@callback
def async_watch_level(
    hass: HomeAssistant, kind: AlertKind, level: Decimal
) -> Callable[[], None]:
    """Watch a level for an automation. Return a function that ends it."""
    levels = hass.data.setdefault(TRIGGER_LEVELS, Counter())
    levels[kind, level] += 1
    async_dispatcher_send(hass, SIGNAL_LEVELS)

    @callback
    def end() -> None:
        levels[kind, level] -= 1

    return end


def _watched_levels(hass: HomeAssistant, kind: AlertKind) -> frozenset[Decimal]:
    """Return the levels of a kind that automations watch."""
    levels = hass.data.get(TRIGGER_LEVELS, Counter())
    return frozenset(
        level for (watched, level), count in levels.items() if watched is kind and count
    )


def _failure(account: Account) -> AlertKind | None:
    """Return the alert of a failed poll, None if the last poll did not fail."""
    if account.quotas.is_budget_exhausted:
        return AlertKind.BUDGET_EXHAUSTED
    return FAILED.get(account.status)


class Alerts:
    """Decides which alerts of an account to send, and sends them."""

    def __init__(self, account: Account) -> None:
        """Prepare to decide. Nothing is sent before `async_start`."""
        self._account = account
        self._is_started = False
        self._decided_on: tuple[AccountSnapshot, Levels, date] | None = None
        self._polls = 0
        """The polls with the API key that were decided on."""

    @callback
    def async_start(self) -> None:
        """Decide from now on, or once Home Assistant has started.

        Automations are set up at the end of the start. Until then, none listens.
        """
        entry, hass = self._account.entry, self._account.hass
        entry.async_on_unload(async_at_started(hass, self._async_started))
        entry.async_on_unload(self._account.async_add_listener(self._async_updated))
        entry.async_on_unload(
            async_dispatcher_connect(hass, SIGNAL_LEVELS, self._async_updated)
        )

    @callback
    def _async_started(self, hass: HomeAssistant) -> None:
        """Decide on what was read so far."""
        self._is_started = True
        self._async_updated()

    @callback
    def _async_updated(self) -> None:
        """Schedule a decision, once Home Assistant has started."""
        if self._is_started:
            self._account.entry.async_create_task(
                self._account.hass, self._async_decide(), eager_start=False
            )

    async def _async_decide(self) -> None:
        """Send the alerts that are due, and then store that they were sent.

        If the process dies in between, they are sent again with the same IDs, and none
        is lost.
        """
        account = self._account
        is_loaded = account.entry.state is ConfigEntryState.LOADED
        if not is_loaded or account.hass.is_stopping:
            # Until it is loaded, conditions and actions do not find the account. While
            # it unloads or Home Assistant stops, not every listener gets the alerts.
            # They are sent later.
            return
        state, alerts = self._observe_and_decide()
        before = account.store.alerts
        if state == before:
            return
        account.store.alerts = state
        for alert in alerts:
            owner = alert.model if alert.group is None else alert.group
            async_dispatcher_send(
                account.hass,
                SIGNAL_ALERT,
                AccountAlert(
                    entry_id=account.entry.entry_id,
                    account=account.entry.title,
                    device_id=async_own_device_id(account, owner),
                    alert=alert,
                ),
            )
        if replace(state, limits=before.limits) == before:
            # Only limits changed, and none was alerted. They can change with each answer.
            account.store.save_later()
        else:
            await account.store.async_save()

    def _observe_and_decide(self) -> tuple[AlertState, list[Alert]]:
        """Return what was alerted by now, and the alerts to send."""
        account, state = self._account, self._account.store.alerts
        snapshot = account.figures_of_this_run
        failure = _failure(account)
        levels = {
            kind: _watched_levels(account.hass, kind)
            for kind in (AlertKind.SPEND_LEVEL, AlertKind.MODEL_LEVEL)
        }
        today = billing_day(dt_util.utcnow())
        is_new = (snapshot, levels, today) != self._decided_on
        self._decided_on = snapshot, levels, today
        is_polled = account.quotas.polls != self._polls
        self._polls = account.quotas.polls
        is_settled = failure is None and state.failing is None
        if not is_new and is_settled and not state.awaits_answer:
            return state, []
        return decide(
            state,
            Observation(
                account_id=account.entry.entry_id,
                account=snapshot,
                today=today,
                models=[
                    model
                    for name in account.followed
                    if (model := snapshot.models.get(name)) is not None
                ],
                models_gone=state.models.keys() - snapshot.models.keys()
                if snapshot.models_complete
                else (),
                trigger_spend_levels=levels[AlertKind.SPEND_LEVEL],
                trigger_model_levels=levels[AlertKind.MODEL_LEVEL],
                polled=is_polled,
                failure=failure,
            ),
            account.options,
        )
