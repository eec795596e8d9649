"""State of an account that is kept across restarts."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
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
from .ledger import (
    AlertState,
    Answer,
    Periods,
    Shown,
    ShownSpend,
    SpendDays,
    with_answer,
)
from .ledger.stored import list_of, mapping, optional, text
from .model_studio import AccountSnapshot, ModelStudioError, Money, parse_answer

SAVE_DELAY = 15 * 60
"""Write changes after this many seconds at the latest."""


class StoredAccount(TypedDict):
    """An account as it is stored on disk."""

    base_url: str
    """The host of the figures. Those of another host are not used."""
    answer: str | None
    """The body of the last answer with usage."""
    periods: dict[str, Any]
    """The day and the billing period of the spend figures."""
    shown: dict[str, Any]
    """The day and the billing period that the entities showed last."""
    history: list[str]
    """The models whose past spend was imported into the statistics."""
    history_groups: list[str]
    """The keys of the workspaces and API keys whose past spend was imported."""
    days: dict[str, Any]
    """The spend of the last days."""
    alerts: dict[str, Any]
    """The alerts that were sent."""


class AccountStore:
    """Stores an account in a file."""

    def __init__(self, hass: HomeAssistant, entry_id: str, base_url: str = "") -> None:
        """Start with an empty account."""
        self._store = Store[StoredAccount](
            hass, 1, f"{DOMAIN}.{entry_id}", private=True, atomic_writes=True
        )
        self._base_url = base_url
        self._save_pending = False
        self._answered_at: float | None = None
        self.has_changed = False
        """Whether anything changed in this run."""
        self.answer: str | None = None
        """The body of the last answer. None before the first, and if it listed limits."""
        self.periods = Periods()
        """The day and the billing period of the spend figures."""
        self.shown = ShownSpend()
        """The day and the billing period that the entities showed last."""
        self.history: list[str] = []
        """The models whose past spend was imported into the statistics."""
        self.history_groups: list[str] = []
        """The keys of the workspaces and API keys whose past spend was imported."""
        self.days = SpendDays()
        """The spend of the last days."""
        self.alerts = AlertState()
        """The alerts that were sent."""

    async def async_load(self) -> None:
        """Load what the last run stored.

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
            self.answer = self._read("answer", stored, text, None)
            self.history = self._read("history", stored, _names, [])
            self.history_groups = self._read("history_groups", stored, _names, [])
            self.periods = self._read("periods", stored, Periods.from_dict, Periods())
            self.shown = self._read("shown", stored, _shown, ShownSpend())
            self.days = self._read("days", stored, SpendDays.from_dict, SpendDays())
        # The alerts stay even if the host changed. It may be the same account.
        self.alerts = self._read("alerts", stored, AlertState.from_dict, AlertState())

    def _read[T](
        self, key: str, stored: Mapping[str, Any], read: Callable[[Any], T], empty: T
    ) -> T:
        """Return a stored part, an empty one if it is missing or cannot be read."""
        part = stored.get(key)
        try:
            return empty if part is None else read(part)
        except ValueError:
            LOGGER.warning("%s in %s cannot be read", key, self._store.path)
            return empty

    async def async_save(self) -> None:
        """Write the account now.

        A failed write is only logged, so it is written again later.
        """
        await self._store.async_save(self._to_store())
        self._save_within(SAVE_DELAY)

    @callback
    def save_later(self) -> None:
        """Write the account within 15 minutes."""
        self._save_within(SAVE_DELAY)

    async def async_save_last(self) -> None:
        """Write the account for the last time in this run."""
        await self._store.async_save(self._to_store())
        self.has_changed = False

    @callback
    def async_save_at_stop(self, _: Event) -> None:
        """Write the account when Home Assistant stops.

        The time of the last answer changes with each poll. It causes no other write, but
        the next run needs it to know what it may have missed.
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
    def record(
        self, account: AccountSnapshot, body: bytes | None, *, changed: bool
    ) -> None:
        """Record an answer, and the day and billing period of its spend.

        A new day or period is written at once, other changes within 15 minutes and when
        Home Assistant stops.
        """
        self.answer = body.decode(errors="replace") if body else None
        before, now, answered_at = self.periods, dt_util.utcnow(), time.monotonic()
        daily, monthly = account.daily_spend, account.monthly_spend
        spend = daily if monthly is None else monthly
        if spend is not None:
            self.periods = with_answer(
                before,
                Answer(
                    daily=None if daily is None else daily.amount,
                    monthly=None if monthly is None else monthly.amount,
                    period=account.billing_period,
                ),
                currency=spend.currency,
                now=now,
                elapsed=None
                if self._answered_at is None
                else timedelta(seconds=answered_at - self._answered_at),
            )
            self._answered_at = answered_at
            if daily is not None:
                self.days = self.days.with_reading(self.periods, now)
        if _starts(self.periods) != _starts(before):
            self._save_within(0)
        elif changed:
            self._save_within(SAVE_DELAY)

    @callback
    def record_shown(self, account: AccountSnapshot) -> None:
        """Record the day and the billing period that the entities show."""
        shown = self.shown.after(account)
        if shown != self.shown:
            self.shown = shown
            self._save_within(0)

    @callback
    def record_bills(self, days: Mapping[date, Money], currency: str) -> None:
        """Record the bills of some days, in the currency of the account's spend."""
        before = self.days
        self.days = before.bill(days, currency, self._now())
        if self.days is not before:
            self._save_within(SAVE_DELAY)

    def _now(self) -> datetime:
        """Return the time, by the clock that was trusted at the last answer of this run."""
        if self.periods.time is None or self._answered_at is None:
            return dt_util.utcnow()
        passed = time.monotonic() - self._answered_at
        return self.periods.time + timedelta(seconds=passed)

    @callback
    def _save_within(self, delay: float) -> None:
        """Write the account within this many seconds."""
        if delay and self._save_pending:
            return
        self.has_changed = self._save_pending = True
        self._store.async_delay_save(self._to_store, delay)

    @callback
    def _to_store(self) -> StoredAccount:
        """Return the data to write, and record that it is written."""
        self._save_pending = False
        return {
            "base_url": self._base_url,
            "answer": self.answer,
            "periods": self.periods.as_dict(),
            "shown": {
                "daily": optional(self.shown.daily, Shown.as_dict),
                "monthly": optional(self.shown.monthly, Shown.as_dict),
            },
            "history": self.history,
            "history_groups": self.history_groups,
            "days": self.days.as_dict(),
            "alerts": self.alerts.as_dict(),
        }


def _names(value: Any) -> list[str]:
    """Return stored names."""
    return list_of(value, text)


def _shown(value: Any) -> ShownSpend:
    """Return the stored day and period that were shown last."""
    data = mapping(value)
    return ShownSpend(
        daily=optional(data.get("daily"), Shown.from_dict),
        monthly=optional(data.get("monthly"), Shown.from_dict),
    )


def _starts(periods: Periods) -> tuple[object, ...]:
    """Return when the day and the billing period began."""
    return tuple(
        None if window is None else (window.since, window.start)
        for window in (periods.daily, periods.monthly)
    )
