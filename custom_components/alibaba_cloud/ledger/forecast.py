"""Forecasts spend from the spend of past days.

A day is expected to cost as much as recent days, adjusted for the weekday and without
outliers. Each constant is the simplest one that did well in `benchmarks/forecast.py`, which
compares the method with simpler ones on generated years.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import sqrt

from .windows import BILLING_TIME_ZONE, DAY

type DailySpend = Mapping[date, Decimal]
"""The spend of billing days, all in one currency.

The spend of a missing day is unknown, not zero. Today and later days are ignored.
"""

LEAST_DAYS = 3
"""The number of known days that a forecast needs."""
WINDOW = timedelta(weeks=8)
"""Older days are not used."""

_HALF_LIFE = 4
"""The days after which a day counts half as much."""
_PER_BURST = 14
"""Of this many days, the highest and the lowest are outliers: a burst, a refund."""
_DRIFT = 0.05
"""The standard deviation of the level's change in a day, as a share of the level."""
_WITHIN = 1.2816
"""80 % of a normal distribution is within this many standard deviations."""
_LONGEST = timedelta(days=366)
"""The longest forecast."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The expected spend of a whole period, in the currency of its days."""

    projected: Decimal
    low: Decimal
    """`low` to `high` is an 80 % interval."""
    high: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """The expected cost of a day."""

    weekdays: tuple[float, ...]
    """By weekday, Monday first. None is negative."""
    deviation: float
    """The standard deviation of a day's spend from its expected cost."""
    days: float
    """The number of equally weighted days that would be as exact."""


def since_first_spend(daily: DailySpend) -> DailySpend:
    """Return the days from the first one that cost something, all if none did.

    Idle days before an account was first used do not show what a day usually costs.
    """
    first = min((day for day, amount in daily.items() if amount), default=date.min)
    return {day: amount for day, amount in daily.items() if day >= first}


def forecast_period(
    daily: DailySpend, *, spent: Decimal, now: datetime, end: date
) -> Forecast | None:
    """Return the expected spend of a period whose last day is `end`.

    `spent` is its spend until `now`. The rest is rounded to cents. The rest of today is
    a part of an average day of this weekday, whatever was spent today. Refunds are not
    expected: no figure is below `spent`. A period that is over costs `spent`. None if
    fewer than three of the last 56 days are known, or if `end` is more than 366 days
    away.
    """
    now = now.astimezone(BILLING_TIME_ZONE)
    if end - now.date() > _LONGEST or (pace := pace_before(daily, now.date())) is None:
        return None
    days = expected = 0.0
    for start, share in _days(now, end):
        days += share
        expected += share * pace.weekdays[start.weekday()]
    # The errors of days are independent. The error of the level is the same on all days.
    # The level itself is a random walk: the variance of its sum over n days is n³/3.
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
    """Return when `left` more is expected to be spent, in the billing time zone.

    `left` is the rest of a budget or a balance. None if that is not expected by the last
    moment of `end` and within 366 days, if nothing is left, or if fewer than three of the
    last 56 days are known.
    """
    now = now.astimezone(BILLING_TIME_ZONE)
    if left <= 0 or (pace := pace_before(daily, now.date())) is None:
        return None
    rest = float(left)
    for start, share in _days(now, min(end or date.max, now.date() + _LONGEST)):
        expected = share * pace.weekdays[start.weekday()]
        if expected >= rest:
            return start + rest / expected * share * DAY
        rest -= expected
    return None


def _days(now: datetime, end: date) -> Iterator[tuple[datetime, float]]:
    """Yield the start of each day until `end`, `now` for today, and the share that is left."""
    midnight = datetime.combine(now, time.min, now.tzinfo)
    start = now
    while start.date() <= end:
        midnight += DAY
        yield start, (midnight - start) / DAY
        start = midnight


def pace_before(daily: DailySpend, today: date) -> Pace | None:
    """Return the expected cost of a day, None if too few days before `today` are known."""
    first = today - WINDOW
    known = {day: float(cost) for day, cost in daily.items() if first <= day < today}
    if len(known) < LEAST_DAYS:
        return None
    usual = _without_bursts(known)
    mean = sum(usual.values()) / len(usual)
    # One average day is added to each weekday, so that few days change it little.
    totals, counts = [mean] * 7, [1] * 7
    for day, amount in usual.items():
        totals[day.weekday()] += amount
        counts[day.weekday()] += 1
    pattern = [total / count for total, count in zip(totals, counts, strict=True)]
    weights = {day: 0.5 ** ((today - day).days / _HALF_LIFE) for day in usual}
    # The mean of quotients would be wrong: any amount is many times the usual cost of a
    # weekday that costs next to nothing.
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
    """Return the days with outliers limited to the next value, and none below zero."""
    ordered = sorted(known.values())
    bursts = max(1, len(ordered) // _PER_BURST)
    lowest, highest = max(0.0, ordered[bursts]), max(0.0, ordered[-1 - bursts])
    return {day: min(max(amount, lowest), highest) for day, amount in known.items()}


def _cents(amount: float) -> Decimal:
    """Return an amount rounded to cents."""
    return round(Decimal(amount), 2)
