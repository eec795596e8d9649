"""What is kept of an account across restarts."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
import time
from typing import Any, TypedDict

from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.exceptions import (
    ConfigEntryError,
    ConfigEntryNotReady,
    HomeAssistantError,
    UnsupportedStorageVersionError,
)
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util

from .const import DOMAIN, LOGGER
from .ledger import AlertState, Answer, Periods, Shown, ShownSpend, SpendDays, follow
from .ledger.stored import list_of, mapping, optional, text
from .model_studio import AccountSnapshot, ModelStudioError, Money, parse_answer

SAVE_DELAY = 15 * 60
"""Seconds after which what changed is written, if nothing hastens it."""


class StoredAccount(TypedDict):
    """An account as it stands on the disk."""

    base_url: str
    """Where it was read; elsewhere is another account."""
    answer: str | None
    """The last account answer as it came."""
    periods: dict[str, Any]
    """Which day and billing period the spend figures are of."""
    shown: dict[str, Any]
    """Which day and billing period were shown last."""
    history: list[str]
    """The models whose past spend stands in the statistics."""
    days: dict[str, Any]
    """What the last days cost."""
    alerts: dict[str, Any]
    """What was alerted."""


class AccountStore:
    """Keeps an account over restarts."""

    def __init__(self, hass: HomeAssistant, entry_id: str, base_url: str = "") -> None:
        """Prepare an empty account."""
        self._store = Store[StoredAccount](
            hass, 1, f"{DOMAIN}.{entry_id}", private=True, atomic_writes=True
        )
        self._base_url = base_url
        self._save_pending = False
        self._followed_at: float | None = None
        self.unsaved = False
        """Whether what changed is yet to be written."""
        self.answer: str | None = None
        """The last account answer, None where there was none or it listed limits."""
        self.periods = Periods()
        """Which day and billing period the spend figures are of."""
        self.shown = ShownSpend()
        """Which day and billing period were shown last."""
        self.history: list[str] = []
        """The models whose past spend stands in the statistics."""
        self.days = SpendDays()
        """What the last days cost."""
        self.alerts = AlertState()
        """What was alerted."""

    async def async_load(self) -> None:
        """Load what the last run left.

        A part that cannot be read starts empty. The others stay as they were.

        Raises `ConfigEntryError` if a later version stored it, and `ConfigEntryNotReady`
        while the file cannot be read.
        """
        try:
            stored = mapping(await self._store.async_load() or {})
        except UnsupportedStorageVersionError as err:
            raise ConfigEntryError(
                translation_domain=DOMAIN, translation_key="stored_by_later_version"
            ) from err
        except HomeAssistantError as err:
            raise ConfigEntryNotReady(
                translation_domain=DOMAIN, translation_key="storage_not_readable"
            ) from err
        except AttributeError, LookupError, TypeError, ValueError:
            LOGGER.warning("%s cannot be read", self._store.path)
            return
        if stored.get("base_url") == self._base_url:
            self.answer = self._read("answer", stored, text)
            self.history = self._read("history", stored, _names) or []
            self.periods = self._read("periods", stored, Periods.from_dict) or Periods()
            self.shown = self._read("shown", stored, _shown) or ShownSpend()
            self.days = self._read("days", stored, SpendDays.from_dict) or SpendDays()
        # Another host may be that of the same account: nothing is alerted again.
        self.alerts = self._read("alerts", stored, AlertState.from_dict) or AlertState()

    def _read[T](
        self, key: str, stored: Mapping[str, Any], read: Callable[[Any], T]
    ) -> T | None:
        """Return a stored part, None if it is missing or cannot be read."""
        try:
            return optional(stored.get(key), read)
        except ValueError:
            LOGGER.warning("%s in %s cannot be read", key, self._store.path)
            return None

    async def async_save(self) -> None:
        """Write the account now, and again later: a write that fails is only logged."""
        self.unsaved = True
        await self._store.async_save(self._to_store())
        self._save_within(SAVE_DELAY)

    async def async_save_last(self) -> None:
        """Write the account for the last time in this run."""
        await self._store.async_save(self._to_store())
        self.unsaved = False

    @callback
    def async_save_at_stop(self, _: Event) -> None:
        """Write the account with Home Assistant's last writes.

        When the figures were last seen changes with each poll, and is written only then:
        it tells the next run what it may have missed.
        """
        self._store.async_delay_save(self._to_store)

    async def async_remove(self) -> None:
        """Remove what is stored."""
        await self._store.async_remove()

    @property
    def account(self) -> AccountSnapshot | None:
        """The figures of the last account answer."""
        if self.answer is None:
            return None
        try:
            account = parse_answer(self.answer.encode())
        except ModelStudioError:
            return None
        return account if isinstance(account, AccountSnapshot) else None

    @callback
    def follow(
        self, account: AccountSnapshot, body: bytes | None, *, changed: bool
    ) -> None:
        """Note what was read, and which day and billing period its spend is of.

        A new day or period is written at once, all else that changed within a while and
        at the latest at the stop.
        """
        self.answer = body.decode(errors="replace") if body else None
        before, followed_at = self.periods, time.monotonic()
        daily, monthly = account.daily_spend, account.monthly_spend
        if spend := monthly or daily:
            self.periods = follow(
                before,
                Answer(
                    daily=daily.amount if daily else None,
                    monthly=monthly.amount if monthly else None,
                    period=account.billing_period,
                ),
                currency=spend.currency,
                now=dt_util.utcnow(),
                elapsed=None
                if self._followed_at is None
                else timedelta(seconds=followed_at - self._followed_at),
            )
            self._followed_at = followed_at
            if daily:
                self.days = self.days.follow(self.periods)
        if _starts(self.periods) != _starts(before):
            self._save_within(0)
        elif changed:
            self._save_within(SAVE_DELAY)

    @callback
    def show(self, account: AccountSnapshot) -> None:
        """Note the day and the billing period that are shown."""
        shown = self.shown.followed_by(account)
        if shown != self.shown:
            self.shown = shown
            self._save_within(0)

    @callback
    def bill(self, days: Mapping[date, Money], currency: str) -> None:
        """Note what was billed on some days, in the currency of the account's spend."""
        before = self.days
        now = self.periods.time or dt_util.utcnow()
        self.days = before.bill(days, currency, now)
        if self.days is not before:
            self._save_within(SAVE_DELAY)

    @callback
    def _save_within(self, delay: float) -> None:
        """Write the account so many seconds from now at the latest."""
        if delay and self._save_pending:
            return
        self.unsaved = self._save_pending = True
        self._store.async_delay_save(self._to_store, delay)

    @callback
    def _to_store(self) -> StoredAccount:
        """Return what is stored, now that it is."""
        self._save_pending = False
        return {
            "base_url": self._base_url,
            "answer": self.answer,
            "periods": self.periods.as_dict(),
            "shown": {
                "daily": self.shown.daily and self.shown.daily.as_dict(),
                "monthly": self.shown.monthly and self.shown.monthly.as_dict(),
            },
            "history": self.history,
            "days": self.days.as_dict(),
            "alerts": self.alerts.as_dict(),
        }


def _names(value: Any) -> list[str]:
    """Return stored names."""
    return list_of(value, text)


def _shown(value: Any) -> ShownSpend:
    """Return what was shown last."""
    known = mapping(value)
    return ShownSpend(
        daily=optional(known.get("daily"), Shown.from_dict),
        monthly=optional(known.get("monthly"), Shown.from_dict),
    )


def _starts(periods: Periods) -> tuple[object, ...]:
    """Return when the day and the billing period began."""
    return tuple(
        window and (window.since, window.start)
        for window in (periods.daily, periods.monthly)
    )
