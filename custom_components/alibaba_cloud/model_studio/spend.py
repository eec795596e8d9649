"""When a running spend figure started again at zero.

The service reports spend "of the day" and "of the month" and does not say when they
roll over. What tells is the figure itself, with the clock for what happened unseen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Self

from .models import AccountSnapshot

BILLING_TIME_ZONE = timezone(timedelta(hours=8))
"""The zone in which the service's billing days begin."""

_UNSEEN = timedelta(hours=1)
"""Without a look for so long, a roll-over may have been missed."""
_LATE = timedelta(days=1)
"""For so long a figure may still be that of the billing period before."""
_CORRECTION = Decimal("0.10")
"""Bills are revised by a few cents: a smaller drop alone is no roll-over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendWindow:
    """A spend figure as last seen, and since when it adds up."""

    amount: Decimal
    seen: datetime
    since: datetime

    def as_dict(self) -> dict[str, str]:
        """Return the window as JSON has it."""
        return {
            "amount": str(self.amount),
            "seen": self.seen.isoformat(),
            "since": self.since.isoformat(),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, str]) -> Self:
        """Return the window that `as_dict` made this of."""
        return cls(
            amount=Decimal(stored["amount"]),
            seen=datetime.fromisoformat(stored["seen"]),
            since=datetime.fromisoformat(stored["since"]),
        )


def follow_account(
    windows: Mapping[str, SpendWindow], account: AccountSnapshot, now: datetime
) -> dict[str, SpendWindow]:
    """Return the windows of `daily_spend` and `monthly_spend` as of a snapshot.

    The month begins with the billing period where the service reports one, at the latest
    a day after that. A figure that is missing stays in the window it was in.
    """
    now = now.astimezone(BILLING_TIME_ZONE)
    followed = dict(windows)
    if spend := account.daily_spend:
        followed["daily_spend"] = follow_spend(
            windows.get("daily_spend"),
            spend.amount,
            now=now,
            start=_midnight(now.date()),
        )
    if spend := account.monthly_spend:
        before, period = windows.get("monthly_spend"), account.billing_period.start
        start = _midnight(period or now.date().replace(day=1))
        month = follow_spend(before, spend.amount, now=now, start=start)
        late = before and month.since == before.since < start <= now < start + _LATE
        if period and not late:
            month = replace(month, since=start)
        followed["monthly_spend"] = month
    return followed


def follow_spend(
    window: SpendWindow | None, amount: Decimal, *, now: datetime, start: datetime
) -> SpendWindow:
    """Return the window that an amount seen now belongs to.

    `start` is when the current day or month should have begun. Within it, a new
    window is a drop to half or less, by more than a correction. Once `start` has
    passed either will do, and so will a long time without a look in which it passed;
    otherwise a service that rolls over late is waited for. A window with nothing in it
    begins anew with each `start`.
    """
    if window is None:
        return SpendWindow(amount=amount, seen=now, since=start)
    dropped = window.amount - amount >= _CORRECTION
    halved = 0 <= amount * 2 <= window.amount
    if start <= window.since:
        rolled_over = dropped and halved
    else:
        unseen = window.seen < start and now - window.seen > _UNSEEN
        rolled_over = dropped or halved or unseen or not window.amount
    if not rolled_over:
        since = window.since
    elif start > window.seen or not window.amount:
        since = start
    else:
        since = now
    return SpendWindow(amount=amount, seen=now, since=since)


def billed_since(key: str, day: date) -> datetime:
    """Return since when a figure of the bill adds up: a `daily_spend` or a monthly one."""
    return _midnight(day if key.endswith("daily_spend") else day.replace(day=1))


def _midnight(day: date) -> datetime:
    """Return when a billing day begins."""
    return datetime.combine(day, time.min, BILLING_TIME_ZONE)
