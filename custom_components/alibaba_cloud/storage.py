"""What of an account outlasts a run."""

from collections.abc import Mapping
from datetime import date
from typing import Any, TypedDict

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util

from .const import DOMAIN
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
        self._store = Store[StoredAccount](hass, 1, f"{DOMAIN}.{entry_id}")
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
        """Take up the account where the last run left it."""
        stored: dict[str, Any] = dict(await self._store.async_load() or {})
        if stored.get("base_url") == self._base_url:
            self.answer = stored["answer"]
            self.spend = {
                key: SpendWindow.from_dict(window)
                for key, window in stored["spend"].items()
            }
            # Earlier versions knew neither of these.
            self.history = stored.get("history", [])
            if days := stored.get("days"):
                self.days = SpendDays.from_dict(days)
        # Another host may well be that of the same account: nothing is told again.
        if alerts := stored.get("alerts"):
            self.alerts = AlertState.from_dict(alerts)

    async def async_save(self) -> None:
        """Write the account now."""
        self.unsaved = True
        await self._store.async_save(self._to_store())
        self.unsaved = False

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
