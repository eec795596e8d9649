"""What was spent on each of the last days: as billed, else as the figures showed it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Self

from ..model_studio.models import Money
from . import stored
from .forecast import WINDOW
from .windows import BILLING_TIME_ZONE, Periods, billing_day

_DAY = timedelta(days=1)
_TO_THE_END = timedelta(hours=1)
"""A day's spend that was seen so shortly before the day's end is that of the day."""
_BILL_LAG = timedelta(hours=12)
"""For so long after a day its bill may not be all of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """The last look at the figures on a day of the billing time zone."""

    seen: datetime
    daily: Decimal
    monthly: Decimal | None
    month: date
    """When the period of `monthly` began."""

    @property
    def before(self) -> Decimal | None:
        """What of the period was spent before the day."""
        return None if self.monthly is None else self.monthly - self.daily


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendDays:
    """What is known of the spend of the last days, all in one currency."""

    currency: str = ""
    looks: Mapping[date, _Look] = field(default_factory=lambda: MappingProxyType({}))
    """By day of the billing time zone."""
    billed: Mapping[date, Decimal] = field(default_factory=lambda: MappingProxyType({}))

    def follow(self, periods: Periods) -> Self:
        """Return the days once an answer was read, with what is known of its periods."""
        day, month = periods.daily, periods.monthly
        if day is None or periods.daily_is_held or periods.time is None:
            return self
        # Not the month's last amount: an answer may have lacked it.
        before = None if periods.monthly_is_held else periods.before_today
        look = _Look(
            seen=periods.time.astimezone(BILLING_TIME_ZONE),
            daily=day.amount,
            monthly=None if before is None else before + day.amount,
            month=(month or day).start,
        )
        days = self._in(periods.currency)
        looks = {**days.looks, day.start: look}
        if day.start not in days.looks:
            looks = _recent(looks, periods.time)
        return replace(days, looks=looks)

    def bill(self, days: Mapping[date, Money], currency: str, now: datetime) -> Self:
        """Return the days with some of them as billed now, in the account's currency.

        A day whose bill may not be all of it yet is left out.
        """
        settled = last_settled_day(now)
        billed = {
            day: money.amount
            for day, money in days.items()
            if day <= settled and money.currency == currency
        }
        if not billed:
            return self
        known = self._in(currency)
        billed = _recent({**known.billed, **billed}, now)
        return known if billed == known.billed else replace(known, billed=billed)

    def _in(self, currency: str) -> Self:
        """Return the days in a currency: others start without any."""
        return self if currency == self.currency else type(self)(currency=currency)

    def totals(self, now: datetime) -> dict[date, Decimal]:
        """Return what was spent on the days that are over, as far as that is known.

        Days before the account was used for the first time are left out.
        """
        today = billing_day(now)
        seen = {
            day: total
            for day, look in self.looks.items()
            if day < today and (total := self._total(day, look)) is not None
        }
        totals = seen | dict(self.billed)
        first = min((day for day, total in totals.items() if total), default=date.min)
        return {day: total for day, total in totals.items() if day >= first}

    def _total(self, day: date, look: _Look) -> Decimal | None:
        """Return what a look, and one on the day after, say of a day."""
        after = self.looks.get(day + _DAY)
        if after and after.month == look.month:
            # What had been spent by the end of the day is still told on the next one.
            if after.before is not None and look.before is not None:
                return after.before - look.before
        end = datetime.combine(day + _DAY, time.min, BILLING_TIME_ZONE)
        return look.daily if end - look.seen <= _TO_THE_END else None

    def as_dict(self) -> dict[str, Any]:
        """Return the days as JSON has them."""
        return {
            "currency": self.currency,
            "looks": {
                day.isoformat(): {
                    "seen": look.seen.isoformat(),
                    "daily": str(look.daily),
                    "monthly": None if look.monthly is None else str(look.monthly),
                    "month": look.month.isoformat(),
                }
                for day, look in self.looks.items()
            },
            "billed": {
                day.isoformat(): str(amount) for day, amount in self.billed.items()
            },
        }

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Return the days that `as_dict` wrote. Raises `ValueError` for anything else."""
        known = stored.mapping(value)
        try:
            return cls(
                currency=stored.text(known["currency"]),
                looks={
                    date.fromisoformat(day): look
                    for day, look in stored.mapping_of(known["looks"], _look).items()
                },
                billed={
                    date.fromisoformat(day): amount
                    for day, amount in stored.mapping_of(
                        known["billed"], stored.amount
                    ).items()
                },
            )
        except KeyError as err:
            raise ValueError("A part of the days is missing") from err


def last_settled_day(now: datetime) -> date:
    """Return the last day whose bill should be all of it."""
    return billing_day(now - _BILL_LAG) - _DAY


def _look(value: Any) -> _Look:
    """Return a stored look."""
    known = stored.mapping(value)
    return _Look(
        seen=stored.moment(known["seen"]).astimezone(BILLING_TIME_ZONE),
        daily=stored.amount(known["daily"]),
        monthly=stored.optional(known["monthly"], stored.amount),
        month=stored.day(known["month"]),
    )


def _recent[T](days: dict[date, T], now: datetime) -> dict[date, T]:
    """Return the days without those that say nothing, or are of a clock that was wrong."""
    today = billing_day(now)
    oldest = today - WINDOW - _DAY
    return {day: value for day, value in days.items() if oldest <= day <= today}
