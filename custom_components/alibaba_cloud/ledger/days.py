"""The spend of each of the last days: as billed, or else from the account's figures.

The account's figures also show what a day had cost by each hour.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Self

from ..model_studio.models import Money
from . import stored
from .forecast import WINDOW
from .windows import BILLING_TIME_ZONE, DAY, EARLY, Periods, billing_day, midnight

_LAST_HOUR = timedelta(hours=1)
"""A figure that is read this shortly before the end of a day is the day's spend."""
_BILL_LAG = timedelta(hours=12)
"""The bill of a day may be incomplete for this long after the day."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """The last figures that were read for a billing day."""

    time: datetime
    daily: Decimal
    monthly: Decimal | None
    month: date
    """The first day of the period that `monthly` belongs to."""
    hours: Mapping[int, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    """The last amount that was read in each hour of the day."""

    @property
    def before(self) -> Decimal | None:
        """The period's spend before the day."""
        return None if self.monthly is None else self.monthly - self.daily


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendDays:
    """What is known about the spend of the last days. All amounts have one currency."""

    currency: str = ""
    readings: Mapping[date, _Reading] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By billing day."""
    billed: Mapping[date, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    unsettled: Mapping[date, Decimal] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """What was billed so far for days whose bill may still be incomplete."""

    def with_reading(self, periods: Periods, now: datetime) -> Self:
        """Return the days with the reading of an answer, which `periods` include.

        `now` is the machine's clock. If it disagrees with the trusted time by more than
        a figure can be early, the current day may be another one. What was read for it
        is dropped.
        """
        day, month = periods.daily, periods.monthly
        if day is None or periods.daily_is_held or periods.time is None:
            return self
        is_near = timedelta() <= now - periods.time <= EARLY
        if not is_near:
            certain = {d: r for d, r in self.readings.items() if d < day.start}
            return replace(self, readings=certain)
        # The month's amount may be older than the day's: an answer may lack it.
        before = None if periods.monthly_is_held else periods.before_today
        days = self._in(periods.currency)
        time = periods.time.astimezone(BILLING_TIME_ZONE)
        known = days.readings.get(day.start)
        hours = {} if known is None else known.hours
        if time.date() == day.start:
            hours = {**hours, time.hour: day.amount}
        reading = _Reading(
            time=time,
            daily=day.amount,
            monthly=None if before is None else before + day.amount,
            month=day.start if month is None else month.start,
            hours=hours,
        )
        readings = {**days.readings, day.start: reading}
        if day.start not in days.readings:
            readings = _recent(readings, periods.time)
        return replace(days, readings=readings)

    def bill(self, days: Mapping[date, Money], currency: str, now: datetime) -> Self:
        """Return the days with the billed amounts that are in the account's currency."""
        amounts = {
            day: money.amount
            for day, money in days.items()
            if money.currency == currency
        }
        if not amounts:
            return self
        current, last = self._in(currency), last_settled_day(now)
        settled = {day: amount for day, amount in amounts.items() if day <= last}
        billed = _recent({**current.billed, **settled}, now)
        unsettled = _recent({**current.unsettled, **amounts}, now)
        changed = replace(
            current,
            billed=billed,
            unsettled={d: amount for d, amount in unsettled.items() if d not in billed},
        )
        return current if changed == current else changed

    def _in(self, currency: str) -> Self:
        """Return the days in a currency. Another currency starts from nothing."""
        return self if currency == self.currency else type(self)(currency=currency)

    def totals(self, now: datetime) -> dict[date, Money]:
        """Return the spend of each past day that is known."""
        today = billing_day(now)
        read = {
            day: total
            for day, reading in self.readings.items()
            if day < today and (total := self._total(day, reading)) is not None
        }
        return {
            day: Money(amount=total, currency=self.currency)
            for day, total in (read | dict(self.billed)).items()
        }

    def at_least(self, now: datetime) -> dict[date, Money]:
        """Return what past days cost at least: also those whose bill is incomplete."""
        today = billing_day(now)
        billed = {
            day: Money(amount=amount, currency=self.currency)
            for day, amount in self.unsettled.items()
            if day < today
        }
        return billed | self.totals(now)

    def until_hour(self, now: datetime) -> dict[date, Money]:
        """Return what past days had cost by the end of the current hour of the day.

        Days on which nothing was read in this hour are left out.
        """
        today, hour = billing_day(now), now.astimezone(BILLING_TIME_ZONE).hour
        return {
            day: Money(amount=reading.hours[hour], currency=self.currency)
            for day, reading in self.readings.items()
            if day < today and hour in reading.hours
        }

    def _total(self, day: date, reading: _Reading) -> Decimal | None:
        """Return the spend of a day, from its reading and the next day's."""
        following = self.readings.get(day + DAY)
        if following is not None and following.month == reading.month:
            # On the next day, the month's figure includes the whole spend of the day.
            if following.before is not None and reading.before is not None:
                return following.before - reading.before
        is_last_hour = midnight(day + DAY) - reading.time <= _LAST_HOUR
        return reading.daily if is_last_hour else None

    def as_dict(self) -> dict[str, Any]:
        """Return the days as JSON data."""
        return {
            "currency": self.currency,
            "looks": {
                day.isoformat(): {
                    "seen": reading.time.isoformat(),
                    "daily": str(reading.daily),
                    "monthly": stored.optional(reading.monthly, str),
                    "month": reading.month.isoformat(),
                    "hours": {
                        str(hour): str(amount) for hour, amount in reading.hours.items()
                    },
                }
                for day, reading in self.readings.items()
            },
            "billed": _amounts_as_dict(self.billed),
            "unsettled": _amounts_as_dict(self.unsettled),
        }

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Return the days that `as_dict` wrote. Raises `ValueError`."""
        data = stored.mapping(value)
        try:
            return cls(
                currency=stored.text(data["currency"]),
                readings={
                    date.fromisoformat(day): reading
                    for day, reading in stored.mapping_of(
                        data["looks"], _reading
                    ).items()
                },
                billed=_amounts_from(data["billed"]),
                unsettled=_amounts_from(data.get("unsettled", {})),
            )
        except KeyError as err:
            raise ValueError("A part of the days is missing") from err


def last_settled_day(now: datetime) -> date:
    """Return the last day whose bill should be complete."""
    return billing_day(now - _BILL_LAG) - DAY


def _amounts_as_dict(amounts: Mapping[date, Decimal]) -> dict[str, str]:
    """Return the amounts of days as JSON data."""
    return {day.isoformat(): str(amount) for day, amount in amounts.items()}


def _amounts_from(value: Any) -> dict[date, Decimal]:
    """Return the stored amounts of days. Raises `ValueError`."""
    return {
        date.fromisoformat(day): amount
        for day, amount in stored.mapping_of(value, stored.amount).items()
    }


def _reading(value: Any) -> _Reading:
    """Return a stored reading."""
    data = stored.mapping(value)
    return _Reading(
        time=stored.moment(data["seen"]).astimezone(BILLING_TIME_ZONE),
        daily=stored.amount(data["daily"]),
        monthly=stored.optional(data["monthly"], stored.amount),
        month=stored.day(data["month"]),
        hours={
            _hour(hour): amount
            for hour, amount in stored.mapping_of(data["hours"], stored.amount).items()
        },
    )


def _hour(text: str) -> int:
    """Return a stored hour of a day."""
    hour = int(text)
    if hour not in range(24):
        raise ValueError("Not an hour of a day")
    return hour


def _recent[T](days: dict[date, T], now: datetime) -> dict[date, T]:
    """Return the days that a forecast uses. Days in the future are from a wrong clock."""
    today = billing_day(now)
    oldest = today - WINDOW - DAY
    return {day: value for day, value in days.items() if oldest <= day <= today}
