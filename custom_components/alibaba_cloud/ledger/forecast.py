"""What an account is going to spend, from what it has spent on the days before.

A day is expected to cost what recent days did, with the pattern of the week and without
bursts. Each constant is the simplest one that did well in `benchmarks/forecast.py`, which
holds the method against cruder ones on made-up years.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import sqrt

from .windows import BILLING_TIME_ZONE

type DailySpend = Mapping[date, Decimal]
"""What was spent on billing days, all in one currency.

A day that is missing is not known, which is not the same as one on which nothing was
spent. Today's and later ones are not looked at.
"""

LEAST_DAYS = 3
"""Days that must be known before anything is forecast."""
WINDOW = timedelta(weeks=8)
"""What is older says nothing of the days to come."""

_HALF_LIFE = 4
"""In so many days a day's say in the level is halved."""
_PER_BURST = 14
"""In so many days, one is a burst, and another is one downwards, such as a refund."""
_DRIFT = 0.05
"""By what share of itself the level drifts in a day (standard deviation)."""
_WITHIN = 1.2816
"""Standard deviations either side of the mean that hold 80 % of a normal distribution."""
_LONGEST = timedelta(days=366)
"""How far ahead anything is told."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What will have been spent by the end of a period, in the currency of its days."""

    projected: Decimal
    low: Decimal
    """The truth is expected between this and `high` four times out of five."""
    high: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """What days are expected to cost."""

    weekdays: tuple[float, ...]
    """By weekday, Monday first; none is negative."""
    deviation: float
    """What a day is off that (standard deviation)."""
    days: float
    """How many days, all with the same say, would tell the level as well."""


def forecast_period(
    daily: DailySpend, *, spent: Decimal, now: datetime, end: date
) -> Forecast | None:
    """Return what a period that ends with a day will come to.

    `spent` is what it has come to by `now`; what is to come is told in whole cents. Of
    today that is a part of an average such day, as large as what is left of the day,
    whatever was spent so far. Refunds are not foreseen: nothing is below `spent`. None
    while fewer than three days of the last eight weeks are known, and for an end more
    than 366 days off. A period that is over comes to what was spent.
    """
    now = now.astimezone(BILLING_TIME_ZONE)
    if end - now.date() > _LONGEST or (pace := pace_before(daily, now.date())) is None:
        return None
    days = expected = 0.0
    for start, share in _days(now, end):
        days += share
        expected += share * pace.weekdays[start.weekday()]
    # Days are off each on its own; the level is off on all of them alike, and goes on
    # like a random walk, of which the sum over n days varies with n³/3.
    variance = pace.deviation**2 * (days + days**2 / pace.days)
    variance += (_DRIFT * expected) ** 2 * days / 3
    off = _WITHIN * sqrt(variance)
    return Forecast(
        projected=spent + _cents(expected),
        low=spent + _cents(max(0.0, expected - off)),
        high=spent + _cents(expected + off),
    )


def reached_at(
    daily: DailySpend, *, left: Decimal, now: datetime, end: date | None = None
) -> datetime | None:
    """Return when `left` more will have been spent, in the billing time zone.

    That is what a limit leaves, or what a balance holds. None where that is not in
    sight, within 366 days and by the end of the day given; where nothing is left, as it
    has been then; and while fewer than three days of the last eight weeks are known.
    """
    now = now.astimezone(BILLING_TIME_ZONE)
    if left <= 0 or (pace := pace_before(daily, now.date())) is None:
        return None
    rest = float(left)
    for start, share in _days(now, min(end or date.max, now.date() + _LONGEST)):
        expected = share * pace.weekdays[start.weekday()]
        if expected >= rest:
            return start + rest / expected * share * _DAY
        rest -= expected
    return None


def _days(now: datetime, end: date) -> Iterator[tuple[datetime, float]]:
    """Yield when each day from now to the last one starts, and how much of it is left."""
    midnight = datetime.combine(now, time.min, now.tzinfo)
    start = now
    while start.date() <= end:
        midnight += _DAY
        yield start, (midnight - start) / _DAY
        start = midnight


def pace_before(daily: DailySpend, today: date) -> Pace | None:
    """Return what days cost as of one, None while too few before it are known."""
    known = {
        day: float(daily[day])
        for age in range(1, WINDOW.days + 1)
        if (day := today - age * _DAY) in daily
    }
    if len(known) < LEAST_DAYS:
        return None
    usual = _without_bursts(known)
    mean = sum(usual.values()) / len(usual)
    # Each weekday has one average day more than it has days: few say little of it.
    totals, counts = [mean] * 7, [1] * 7
    for day, amount in usual.items():
        totals[day.weekday()] += amount
        counts[day.weekday()] += 1
    pattern = [total / count for total, count in zip(totals, counts, strict=True)]
    weights = {day: 0.5 ** ((today - day).days / _HALF_LIFE) for day in usual}
    # Not the mean of quotients: on a day that usually costs next to nothing, any amount
    # is many times that.
    typical = sum(weight * pattern[day.weekday()] for day, weight in weights.items())
    level = sum(weight * usual[day] for day, weight in weights.items()) / (typical or 1)
    weekdays = tuple(level * part for part in pattern)
    squares = sum(
        (amount - weekdays[day.weekday()]) ** 2 for day, amount in known.items()
    )
    return Pace(
        weekdays=weekdays,
        deviation=sqrt(squares / (len(known) - 1)),
        days=sum(weights.values()) ** 2 / sum(w * w for w in weights.values()),
    )


def _without_bursts(known: Mapping[date, float]) -> dict[date, float]:
    """Return days with the most extreme ones cut to the next, and none below zero."""
    ordered = sorted(known.values())
    bursts = max(1, len(ordered) // _PER_BURST)
    lowest, highest = max(0.0, ordered[bursts]), max(0.0, ordered[-1 - bursts])
    return {day: min(max(amount, lowest), highest) for day, amount in known.items()}


def _cents(amount: float) -> Decimal:
    return round(Decimal(amount), 2)
