"""What a day usually costs, and when its spend is unusual. No I/O.

The spend so far today is compared with a whole usual day and, if the hours of enough past
days are known, with what these had cost by the same hour. `benchmarks/unusual.py` tests the
rules on simulated years.
"""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from ..model_studio.models import Spend, UsualDay
from .alerts import (
    AlertKind,
    AlertOptions,
    AlertState,
    Decision,
    Observation,
    new_alert,
)
from .forecast import WINDOW, DailySpend, Pace, pace_before

LEAST_DAYS = 14
"""The number of days of the last eight weeks that must be known."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """How much more than usual is unusual. Both parts must hold."""

    multiple: int
    """More than this many times the usual spend of the weekday."""
    deviations: int
    """Above the usual spend by more than this many standard deviations."""

    def above(self, usual: float, deviation: float) -> float:
        """Return the highest spend that is not unusual."""
        return max(self.multiple * usual, usual + self.deviations * deviation)


_UNUSUAL = _Rule(multiple=3, deviations=4)
"""For the spend of a whole day, and for the spend until an hour."""
_HIGH = _Rule(multiple=2, deviations=2)
"""Spend that is unusual for the hour must also be high for a whole day.

A day whose usual spend only comes earlier in the day is not unusual.
"""


def usual_day(
    daily: DailySpend, day: date, until_hour: DailySpend | None = None
) -> UsualDay | None:
    """Return the usual spend of a day's weekday, in the currency of `daily`.

    `until_hour` is what those days had cost by the end of the current hour. None while
    too few days before it are known, or if the usual spend is 0.
    """
    pace = _pace(daily, day)
    if pace is None:
        return None
    usual, deviation = pace.weekdays[day.weekday()], pace.deviation
    above = _UNUSUAL.above(usual, deviation)
    if (by_now := _by_now(daily, day, until_hour or {}, pace)) is not None:
        above = min(above, max(_UNUSUAL.above(*by_now), _HIGH.above(usual, deviation)))
    if not (spend := round(Decimal(usual), 2)):
        return None
    return UsualDay(spend=spend, unusual_above=round(Decimal(above), 2))


def _by_now(
    daily: DailySpend, day: date, until_hour: DailySpend, pace: Pace
) -> tuple[float, float] | None:
    """Return what a day usually costs until an hour, and its standard deviation.

    The days whose hours are known may have cost more or less than the others. They only
    show which share of a day is usually spent by then.
    """
    days = [other for other in until_hour if other in daily]
    by_hour = _pace({other: until_hour[other] for other in days}, day)
    by_day = _pace({other: daily[other] for other in days}, day)
    # They have the same days, so that either both or none of them is None.
    if by_hour is None or by_day is None:
        return None
    until, whole = by_hour.weekdays[day.weekday()], by_day.weekdays[day.weekday()]
    if not whole:
        return None
    scale, share = pace.weekdays[day.weekday()] / whole, until / whole
    return scale * until, max(scale * by_hour.deviation, share * pace.deviation)


def _pace(daily: DailySpend, day: date) -> Pace | None:
    """Return the usual spend before a day, None if too few days are known."""
    known = [other for other in daily if day - WINDOW <= other < day]
    return pace_before(daily, day) if len(known) >= LEAST_DAYS else None


def judge_unusual(
    state: AlertState, observation: Observation, options: AlertOptions
) -> Decision:
    """Alert a day of unusual spend, once."""
    spend = observation.account.daily_spend
    usual = observation.account.outlook.usual_day
    if not options.unusual_spend or usual is None or not isinstance(spend, Spend):
        return state, []
    is_alerted = state.unusual_day is not None and spend.start <= state.unusual_day
    if is_alerted or spend.amount <= usual.unusual_above:
        return state, []
    alert = new_alert(
        observation,
        AlertKind.UNUSUAL_SPEND,
        "",
        spend=spend.amount,
        usual=usual.spend,
        currency=spend.currency,
        period=spend.start,
    )
    return replace(state, unusual_day=spend.start), [alert]
