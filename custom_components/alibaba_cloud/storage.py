"""What of an account outlasts a run."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypedDict

from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryError, UnsupportedStorageVersionError
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util

from .const import DOMAIN, LOGGER
from .model_studio import (
    AccountSnapshot,
    AlertState,
    ModelStudioError,
    Money,
    SpendDays,
    SpendWindow,
    follow_account,
    parse_answer,
)

SAVE_DELAY = 15 * 60
"""Seconds after which what changed is written, if nothing hastens it."""


class StoredAccount(TypedDict):
    """An account as it stands on the disk."""

    base_url: str
    """Where it was read; elsewhere is another account."""
    answer: str | None
    """The last account answer as it came."""
    spend: dict[str, dict[str, str]]
    """Since when the spend figures add up."""
    history: list[str]
    """The models whose past spend stands in the statistics."""
    days: dict[str, Any]
    """What the last days cost."""
    alerts: dict[str, Any]
    """What was alerted."""


class AccountStore:
    """Keeps an account over restarts."""

    def __init__(self, hass: HomeAssistant, entry_id: str, base_url: str = "") -> None:
        """Know nothing yet."""
        self._store = Store[StoredAccount](
            hass, 1, f"{DOMAIN}.{entry_id}", private=True, atomic_writes=True
        )
        self._base_url = base_url
        self._save_pending = False
        self.unsaved = False
        """Whether what changed is yet to be written."""
        self.answer: str | None = None
        """The last account answer, None where there was none or it listed limits."""
        self.spend: dict[str, SpendWindow] = {}
        """The windows in which `daily_spend` and `monthly_spend` add up."""
        self.history: list[str] = []
        """The models whose past spend stands in the statistics."""
        self.days = SpendDays()
        """What the last days cost."""
        self.alerts = AlertState()
        """What was alerted."""

    async def async_load(self) -> None:
        """Take up the account where the last run left it.

        A part that can't be read is begun anew, and leaves the others as they were.

        Raises `ConfigEntryError` where a later version has stored it.
        """
        try:
            stored: dict[str, Any] = dict(await self._store.async_load() or {})
        except UnsupportedStorageVersionError as err:
            raise ConfigEntryError(
                translation_domain=DOMAIN, translation_key="stored_by_later_version"
            ) from err
        if stored.get("base_url") == self._base_url:
            self.answer = stored.get("answer")
            self.history = stored.get("history", [])
            self.spend = self._read("spend", stored, _windows) or {}
            self.days = self._read("days", stored, SpendDays.from_dict) or SpendDays()
        # Another host may well be that of the same account: nothing is told again.
        self.alerts = self._read("alerts", stored, AlertState.from_dict) or AlertState()

    def _read[T](
        self, key: str, stored: Mapping[str, Any], read: Callable[[Any], T]
    ) -> T | None:
        """Return a part of what is stored, None where it is not there or can't be read."""
        try:
            return read(part) if (part := stored.get(key)) else None
        except ArithmeticError, AttributeError, LookupError, TypeError, ValueError:
            LOGGER.warning("%s in %s can't be read", key, self._store.path)
            return None

    async def async_save(self) -> None:
        """Write the account now."""
        self.unsaved = True
        await self._store.async_save(self._to_store())
        # More may have come meanwhile.
        self.unsaved = self._save_pending

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
        """Note what was read, and since when the spend figures add up.

        A roll-over is written at once, all else that changed within a while and at the
        latest at the stop.
        """
        self.answer = body.decode(errors="replace") if body else None
        before, now = self.spend, dt_util.utcnow()
        self.spend = follow_account(before, account, now)
        self.days = self.days.follow(account, self.spend, now)
        if any(
            window.since != getattr(before.get(key), "since", None)
            for key, window in self.spend.items()
        ):
            self._save_within(0)
        elif changed:
            self._save_within(SAVE_DELAY)

    @callback
    def bill(self, days: Mapping[date, Money], currency: str) -> None:
        """Note what was billed on some days, in the currency of the account's spend."""
        before = self.days
        self.days = before.bill(days, currency, dt_util.utcnow())
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
            "spend": {key: window.as_dict() for key, window in self.spend.items()},
            "history": self.history,
            "days": self.days.as_dict(),
            "alerts": self.alerts.as_dict(),
        }


def _windows(stored: Mapping[str, Any]) -> dict[str, SpendWindow]:
    """Return the windows that `SpendWindow.as_dict` made these of."""
    return {key: SpendWindow.from_dict(window) for key, window in stored.items()}
