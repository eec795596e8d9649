"""What a day usually costs, and when its spend is unusual. No I/O.

Only the totals of days are known, not the spend of each hour. The spend so far today is
therefore compared with that of a whole usual day. Spend that only comes earlier than usual
does not alert. `benchmarks/unusual.py` tests the rule on simulated years.
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
"""An unusual day costs more than this many times the usual spend of its weekday."""
DEVIATIONS = 4
"""It also exceeds the usual spend by more than this many standard deviations."""
LEAST_DAYS = 14
"""Days of the last eight weeks that must be known."""


def usual_day(daily: DailySpend, day: date) -> UsualDay | None:
    """Return the usual spend of a day's weekday, in the currency of `daily`.

    None while too few days before it are known, or if the usual spend is 0.
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
    """Alert a day of unusual spend, once."""
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
