"""What a day usually costs, and when one costs unusually much. No I/O.

Only the totals of days are known, not how they are spread over the hours. So the day so
far is compared with a whole usual day: the alert never comes because a day begins early.
`benchmarks/unusual.py` tries the rule on made-up years.
"""

from dataclasses import replace
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
from .forecast import WINDOW, DailySpend, pace_before

MULTIPLE = 3
"""An unusual day costs more than this many times a usual one of its weekday."""
DEVIATIONS = 4
"""And it exceeds that one by more than this many standard deviations of the last days."""
LEAST_DAYS = 14
"""Days of the last eight weeks that must be known."""


def usual_day(daily: DailySpend, day: date) -> UsualDay | None:
    """Return what a day of its weekday usually costs, in the currency of `daily`.

    None while too few days before it are known, or if such days cost nothing.
    """
    known = [other for other in daily if day - WINDOW <= other < day]
    if len(known) < LEAST_DAYS or (pace := pace_before(daily, day)) is None:
        return None
    usual = pace.weekdays[day.weekday()]
    above = max(MULTIPLE * usual, usual + DEVIATIONS * pace.deviation)
    if not (spend := round(Decimal(usual), 2)):
        return None
    return UsualDay(spend=spend, unusual_above=round(Decimal(above), 2))


def judge_unusual(
    state: AlertState, observation: Observation, options: AlertOptions
) -> Decision:
    """Alert a day that costs unusually much, once."""
    spend = observation.account.daily_spend
    usual = observation.account.outlook.usual_day
    if not options.unusual_spend or usual is None or not isinstance(spend, Spend):
        return state, []
    is_alerted = state.unusual_day is not None and spend.since <= state.unusual_day
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
    return replace(state, unusual_day=spend.since), [alert]
