"""Tells what is worth an alert, and keeps what was told."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.dispatcher import (
    async_dispatcher_connect,
    async_dispatcher_send,
)
from homeassistant.helpers.start import async_at_started
from homeassistant.util.hass_dict import HassKey
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
from .ledger import Alert, AlertKind, AlertOptions, Observation, decide
from .model_studio import AccountSnapshot, ModelUsage

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
    device_id: str
    """The device that the alert is about: that of a model, or of the account."""
    alert: Alert


SIGNAL_ALERT = SignalType[AccountAlert](f"{DOMAIN}_alert")
SIGNAL_LEVELS = SignalType[()](f"{DOMAIN}_levels")
"""Sent when an automation asks for a level, or no longer does."""
TRIGGER_LEVELS: HassKey[Counter[tuple[AlertKind, Decimal]]] = HassKey(
    f"{DOMAIN}_trigger_levels"
)
"""The levels that automations wait for, and how many do."""


@callback
def async_watch_level(
    hass: HomeAssistant, kind: AlertKind, level: Decimal
) -> Callable[[], None]:
    """Watch a level that an automation waits for. Return a function that ends it."""
    levels = hass.data.setdefault(TRIGGER_LEVELS, Counter())
    levels[kind, level] += 1
    async_dispatcher_send(hass, SIGNAL_LEVELS)

    @callback
    def end() -> None:
        levels[kind, level] -= 1

    return end


def _watched_levels(hass: HomeAssistant, kind: AlertKind) -> frozenset[Decimal]:
    """Return the levels of a kind that automations wait for."""
    levels = hass.data.get(TRIGGER_LEVELS, Counter())
    return frozenset(
        level for (of, level), count in levels.items() if of is kind and count
    )


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
        self._judged_levels: tuple[frozenset[Decimal], ...] = ()
        self.polled = False
        """Whether the service was asked since the last judgement."""

    @callback
    def async_start(self) -> None:
        """Judge from now on, or once Home Assistant has started.

        Before that, nobody listens: automations are armed at the end of the start.
        """
        entry, hass = self._coordinator.config_entry, self._coordinator.hass
        entry.async_on_unload(async_at_started(hass, self._async_started))
        entry.async_on_unload(
            async_dispatcher_connect(hass, SIGNAL_LEVELS, self._async_levels_changed)
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

    @callback
    def _async_levels_changed(self) -> None:
        """Note whether a level that is new has been passed already."""
        self._coordinator.config_entry.async_create_task(
            self._coordinator.hass, self.async_judge(), eager_start=False
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
        levels = tuple(
            _watched_levels(coordinator.hass, kind)
            for kind in (AlertKind.SPEND_LEVEL, AlertKind.MODEL_LEVEL)
        )
        is_same = account is self._judged and levels == self._judged_levels
        if is_same and failure is store.alerts.failing is None:
            return
        before: Mapping[str, ModelUsage] = {}
        if self._judged and levels == self._judged_levels:
            before = self._judged.models
        gone: Collection[str] = ()
        if account.models_complete:
            gone = store.alerts.models.keys() - account.models
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
                models_gone=gone,
                trigger_spend_levels=levels[0],
                trigger_model_levels=levels[1],
                polled=self.polled,
                failure=failure,
            ),
            self.options,
        )
        self._judged, self._judged_levels = account, levels
        self.polled = False
        if state == store.alerts:
            return
        store.alerts = state
        for alert in alerts:
            async_dispatcher_send(
                coordinator.hass,
                SIGNAL_ALERT,
                AccountAlert(
                    entry_id=entry.entry_id,
                    account=entry.title,
                    device_id=self._device_of(alert.model),
                    alert=alert,
                ),
            )
        await store.async_save()

    def _device_of(self, model: str | None) -> str:
        """Return the device of a model, or that of the account if there is none."""
        coordinator = self._coordinator
        device = dr.async_get(coordinator.hass).async_get_child_device_by_identifier(
            (DOMAIN, coordinator.identifier(model)), coordinator.config_entry.entry_id
        )
        return device.id if device else coordinator.device_id
