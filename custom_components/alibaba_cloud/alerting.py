"""Tells what is worth an alert, and keeps what was told."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.dispatcher import async_dispatcher_send
from homeassistant.helpers.start import async_at_started
from homeassistant.util.signal_type import SignalType

from .const import (
    CONF_FORECAST_ALERT,
    CONF_LOW_BALANCE,
    CONF_MODEL_LEVELS,
    CONF_MONTHLY_BUDGET,
    CONF_SPEND_LEVELS,
    DOMAIN,
)
from .failures import Status
from .model_studio import (
    BILLING_TIME_ZONE,
    AccountSnapshot,
    Alert,
    AlertKind,
    AlertOptions,
    Observation,
    decide,
)
from .sources import billing_today

if TYPE_CHECKING:
    from .coordinator import AlibabaCloudCoordinator

FAILED: Mapping[Status, AlertKind] = {
    Status.LIMITED: AlertKind.RATE_LIMITED,
    Status.AUTH: AlertKind.API_KEY_REJECTED,
    Status.ERROR: AlertKind.ACCOUNT_UNAVAILABLE,
}
"""What each failed poll may become an alert of."""

DEFAULTS = AlertOptions()


@dataclass(frozen=True, kw_only=True)
class AccountAlert:
    """An alert, and whose it is."""

    entry_id: str
    account: str
    """The account's name."""
    alert: Alert


SIGNAL_ALERT = SignalType[AccountAlert](f"{DOMAIN}_alert")


def alert_options(options: Mapping[str, Any]) -> AlertOptions:
    """Return what the user of an entry wants to be told."""

    def amount(key: str) -> Decimal | None:
        value = options.get(key)
        return None if value is None else Decimal(str(value))

    def levels(key: str, default: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
        if (values := options.get(key)) is None:
            return default
        return tuple(Decimal(str(value)) for value in values)

    return AlertOptions(
        monthly_budget=amount(CONF_MONTHLY_BUDGET),
        spend_levels=levels(CONF_SPEND_LEVELS, DEFAULTS.spend_levels),
        low_balance=amount(CONF_LOW_BALANCE),
        model_levels=levels(CONF_MODEL_LEVELS, DEFAULTS.model_levels),
        forecast_alert=options.get(CONF_FORECAST_ALERT, DEFAULTS.forecast_alert),
    )


class Alerts:
    """Judges what an account's polls bring, and sends what is worth an alert."""

    def __init__(self, coordinator: AlibabaCloudCoordinator) -> None:
        """Wait for the start."""
        self._coordinator = coordinator
        self.options = alert_options(coordinator.config_entry.options)
        self._listened_to = False
        self._judged: AccountSnapshot | None = None
        self.polled = False
        """Whether the service was asked since the last judgement."""

    @callback
    def async_start(self) -> None:
        """Judge from now on, or once Home Assistant has started.

        Before that, nobody listens: automations are armed at the end of the start.
        """
        self._coordinator.config_entry.async_on_unload(
            async_at_started(self._coordinator.hass, self._async_started)
        )

    @callback
    def async_stop(self) -> None:
        """Judge no more: whatever is still to come is for the next run."""
        self._listened_to = False

    @callback
    def _async_started(self, hass: HomeAssistant) -> None:
        """Judge what has been read so far, once the entry is loaded.

        Before that, neither conditions nor actions of an automation find the account.
        """
        self._listened_to = True
        self._coordinator.config_entry.async_create_task(
            hass, self.async_judge(), eager_start=False
        )

    async def async_judge(self) -> None:
        """Send what is worth an alert now, and then keep that it was sent.

        In this order: should the process die in between, it is sent again with the
        same id, and nothing is lost.
        """
        coordinator, store = self._coordinator, self._coordinator.store
        if not self._listened_to or coordinator.hass.is_stopping:
            # What is told while all else stops may be lost: the next run tells it.
            return
        account = coordinator.account_read
        failure = FAILED.get(coordinator.status)
        if account is self._judged and failure is store.alerts.failing is None:
            return
        before = self._judged.models if self._judged else {}
        since = coordinator.spend_since(None, "monthly_spend")
        entry = coordinator.config_entry
        state, alerts = decide(
            store.alerts,
            Observation(
                account_id=entry.entry_id,
                account=account,
                models=[
                    model
                    for name in coordinator.followed
                    if (model := account.models.get(name))
                    and model is not before.get(name)
                ],
                period=since.astimezone(BILLING_TIME_ZONE).date() if since else None,
                today=billing_today(),
                polled=self.polled,
                failure=failure,
            ),
            self.options,
        )
        self._judged, self.polled = account, False
        if state == store.alerts:
            return
        store.alerts = state
        for alert in alerts:
            async_dispatcher_send(
                coordinator.hass,
                SIGNAL_ALERT,
                AccountAlert(entry_id=entry.entry_id, account=entry.title, alert=alert),
            )
        await store.async_save()


def entries_of(hass: HomeAssistant, device_ids: Collection[str]) -> set[str]:
    """Return the entries of accounts, each named by its device or one of its models'."""
    registry = dr.async_get(hass)
    return {
        device.config_entry_id
        for device_id in device_ids
        if (device := registry.async_get(device_id))
    }


def concerns(
    hass: HomeAssistant, told: AccountAlert, device_ids: Collection[str]
) -> bool:
    """Return whether an alert is of one of these devices.

    An account's device stands for its models too. To what is told of an account as a
    whole, a model's device stands for its account.
    """
    model = told.alert.model
    if model is None:
        return told.entry_id in entries_of(hass, device_ids)
    mine = {(DOMAIN, told.entry_id), (DOMAIN, f"{told.entry_id}_model_{model}")}
    registry = dr.async_get(hass)
    return any(
        not mine.isdisjoint(device.identifiers)
        for device_id in device_ids
        if (device := registry.async_get(device_id))
    )
