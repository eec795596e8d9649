"""Which spend figures rolled over, that is, started again in a new day or period.

A figure that falls was either corrected or rolled over. The month's figure minus the
day's is the period's spend before today. Each case predicts this amount. The clock and
the reported period only limit which cases are possible. `docs/periods.md` explains why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from .clock import Times
from .windows import (
    DAY,
    EARLY,
    LATE,
    ZERO,
    Answer,
    Periods,
    Window,
    billing_day,
    midnight,
)


class Rollovers(NamedTuple):
    """Which figures rolled over. None if an answer does not show it."""

    day: bool | None
    month: bool | None


NEITHER = Rollovers(day=False, month=False)
ONLY_DAY = Rollovers(day=True, month=False)
ONLY_MONTH = Rollovers(day=False, month=True)
BOTH = Rollovers(day=True, month=True)

type _Cases = Mapping[Rollovers, set[Decimal]]
"""For each possible case, the possible amounts of the period's spend before today.

Cases with fewer rollovers come first.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Change:
    """Both figures of the last answer and of this one."""

    day: Window
    month: Window
    daily: Decimal
    monthly: Decimal
    before_today: Decimal
    """The period's spend before the current day, by the last answer."""
    ahead: Decimal
    """What the month's figure grew by while the day's one stood still."""

    @property
    def before_now(self) -> Decimal:
        """The period's spend before the current day, by this answer."""
        return self.monthly - self.daily


class _Misfit(NamedTuple):
    """How badly an answer fits a case.

    Cases of the same period are compared in this order. `_best` compares the others.
    """

    is_off: bool
    """Whether no prediction of the case is exact."""
    needs_refund: bool
    """Whether the case needs a refund. Always False without a gap if it is off."""
    amount: Decimal
    """The error. Without a gap, plus the spend that the case implies."""


def find_rollovers(periods: Periods, answer: Answer, times: Times) -> Rollovers:
    """Return which figures of an answer rolled over."""
    day_may = _may_day_roll_over(periods, answer, times)
    month_may = _may_month_roll_over(periods, answer, times)
    if not day_may and not month_may:
        return NEITHER
    change = _change(periods, answer)
    if change is not None:
        cases = _cases(periods, change, times, day_may=day_may, month_may=month_may)
        cases = _plausible(cases, periods, change, times)
        return _best(cases, change, gap=times.gap)
    return Rollovers(
        day=day_may and _day_by_itself(periods, answer, times),
        month=month_may and _month_by_itself(periods, answer, times),
    )


def possible_starts(periods: Periods, window: Window, times: Times) -> list[date]:
    """Return the days after the window's first on which a period may have begun.

    A reported period that is over or has no end does not limit the days after it.
    """
    start, end = periods.period.start, periods.period.end
    if (
        start is not None
        and end is not None
        and times.earliest <= midnight(end + DAY) + LATE
    ):
        days = {start, end, end + DAY}
    else:
        days = _recent_days(times)
        if start is not None:
            days.add(start)
    return sorted(
        day
        for day in days
        if day > window.earliest and midnight(day) - EARLY <= times.latest
    )


def _recent_days(times: Times) -> set[date]:
    """Return the days on which a figure may have rolled over just now."""
    first = billing_day(times.earliest - LATE)
    last = billing_day(times.latest + EARLY)
    return {first + number * DAY for number in range((last - first).days + 1)}


def _may_day_roll_over(periods: Periods, answer: Answer, times: Times) -> bool:
    """Return whether the daily figure may have rolled over.

    A figure of zero rolls over unnoticed. A figure that stayed the same did not roll
    over, unless there was a gap in which the month's figure changed.
    """
    day = periods.daily
    if day is None or day.amount == 0 or answer.daily is None:
        return False
    has_changed = answer.daily != day.amount
    if not has_changed and not (times.gap and _has_month_changed(periods, answer)):
        return False
    return midnight(day.earliest + DAY) - EARLY <= times.latest


def _may_month_roll_over(periods: Periods, answer: Answer, times: Times) -> bool:
    """Return whether the monthly figure may have rolled over.

    A figure of zero rolls over unnoticed.
    """
    month = periods.monthly
    if month is None or month.amount == 0 or not _has_month_changed(periods, answer):
        return False
    return len(possible_starts(periods, month, times)) > 0


def _has_month_changed(periods: Periods, answer: Answer) -> bool:
    """Return whether the monthly figure differs from that of the last answer."""
    if periods.monthly is None or answer.monthly is None:
        return False
    return answer.monthly != periods.monthly.amount


def _change(periods: Periods, answer: Answer) -> _Change | None:
    """Return how both figures changed. None if one of the changes is unknown."""
    if periods.daily is None or periods.monthly is None or periods.before_today is None:
        return None
    if answer.daily is None or answer.monthly is None:
        return None
    return _Change(
        day=periods.daily,
        month=periods.monthly,
        daily=answer.daily,
        monthly=answer.monthly,
        before_today=periods.before_today,
        ahead=periods.before_today
        - max(periods.before_day, default=periods.before_today),
    )


def _cases(
    periods: Periods, change: _Change, times: Times, *, day_may: bool, month_may: bool
) -> _Cases:
    """Return the amounts that each case predicts for the spend before today."""
    day, before_today = change.day.amount, change.before_today
    before = {before_today, *periods.before_day}
    cases = {NEITHER: before}
    if day_may:
        cases[ONLY_DAY] = {amount + day for amount in before}
        if _may_be_counted(periods, change, times):
            cases[ONLY_DAY].add(change.month.amount - change.daily)
    # What the daily figure grew by while the old month's one stood still. A larger amount
    # was refunded.
    not_in_month = max(
        [ZERO, *(amount - before_today for amount in periods.before_day)]
    )
    if not_in_month > day:
        not_in_month = ZERO
    if month_may:
        # The new month's figure is still zero, or has only what was spent since the last
        # answer or what the old one lacked. Or the day is the first of the new period, or
        # the second.
        cases[ONLY_MONTH] = {
            -change.daily,
            -day,
            not_in_month - day,
            ZERO,
            periods.yesterday,
        }
    if day_may and month_may:
        # The new day is the first of the new period, without or with what the old month's
        # figure lacked, or the second. Or it is the last one of the old period, and the
        # new month's figure is still zero.
        cases[BOTH] = {ZERO, not_in_month, day, -change.daily}
    return cases


def _may_be_counted(periods: Periods, change: _Change, times: Times) -> bool:
    """Return whether a new day may leave the month's figure unchanged.

    This is possible if that figure belongs to a later period or already includes the new day.
    """
    if change.day.earliest + DAY < change.month.start:
        return True
    if _may_be_over(change.day, times):
        # The month's figure was below the day's when the day began: only the month's one
        # had rolled over. Soon after a day of the old period, it is more likely corrected.
        is_late = midnight(change.day.start + DAY) + EARLY <= times.latest
        is_same_start = change.month.start == change.day.start
        may_be_later = is_same_start or (
            change.month.start > change.day.start and is_late
        )
        if may_be_later and any(amount < 0 for amount in periods.before_day):
            return True
        # The month's figure is still the old period's. If the day's figure falls while it
        # is, it may belong to a new day. If it grows, it belongs to the same day.
        falls = change.daily < change.day.amount
        if falls and _has_new_period(periods, change.month):
            return True
    # If the old day began in a gap, the month's figure may already include spend of the
    # new day. It then also includes all spend until the end of the old day.
    began_in_gap = len(periods.before_day) > 1
    return began_in_gap and change.before_now >= (
        periods.before_day[0] + change.day.amount
    )


def _plausible(
    cases: _Cases, periods: Periods, change: _Change, times: Times
) -> _Cases:
    """Return the cases without those that the change or the time rules out."""
    has_new_period = _has_new_period(periods, change.month)
    if change.before_now == change.before_today:
        # Both figures changed by the same amount, by spend or a correction of today. Or
        # both rolled over, as after a period of one day: nothing was spent before it, and
        # nothing before the new day.
        is_next_day = midnight(change.day.start + DAY) - EARLY <= times.latest
        allowed = {NEITHER, BOTH} if is_next_day or has_new_period else {NEITHER}
        return {case: cases[case] for case in cases if case in allowed}
    now = times.likely if times.gap else times.earliest
    is_over = midnight(change.day.start + DAY) <= now
    has_changed = change.daily != change.day.amount
    exact = [case for case in cases if change.before_now in cases[case]]
    if exact:
        # Spend in the answer in which only the month rolls over, while the day is late.
        is_spend = change.daily > change.day.amount and change.monthly == 0
        if BOTH in exact and is_over and has_changed and (times.gap or not is_spend):
            # The month's figure is late by less than a day, so the day rolled over too.
            return {case: cases[case] for case in cases if case != ONLY_MONTH}
        return cases
    if times.gap and is_over and has_changed and change.day.amount < 0:
        # A day's figure below zero plus unknown spend fits the old and a new day. By the
        # clock, it is a new one.
        cases = {case: cases[case] for case in cases if case.day} or cases
    # No case is exact. After the longest delay, it is another day or period.
    if _is_day_overdue(change.day, now):
        new_day = {case: cases[case] for case in cases if case.day}
        cases = new_day or cases
    elif change.daily == change.day.amount and (
        billing_day(times.likely) <= change.day.start
    ):
        # It is likely the same day: two days rarely cost the same.
        cases = {case: cases[case] for case in cases if not case.day}
    if _is_month_overdue(periods, change.month, now):
        new_month = {case: cases[case] for case in cases if case.month}
        cases = new_month or cases
    return cases


def _best(cases: _Cases, change: _Change, *, gap: bool) -> Rollovers:
    """Return the case that fits an answer best, the first one if several are equal."""
    misfits = {
        case: _misfit(case, predicted, change, gap=gap)
        for case, predicted in cases.items()
    }
    same_month = [case for case in cases if not case.month]
    new_month = [case for case in cases if case.month]
    finalists = [
        min(group, key=misfits.__getitem__)
        for group in (same_month, new_month)
        if group
    ]

    # A refund decides between days only. It does not make another period more likely.
    def rank(case: Rollovers) -> tuple[bool, Decimal, bool]:
        misfit = misfits[case]
        return misfit.is_off, misfit.amount, misfit.needs_refund

    return min(finalists, key=rank)


def _misfit(
    case: Rollovers, predicted: set[Decimal], change: _Change, *, gap: bool
) -> _Misfit:
    """Return how badly an answer fits a case."""
    daily_spent = change.daily if case.day else change.daily - change.day.amount
    monthly_spent = change.monthly
    if not case.month:
        monthly_spent -= change.month.amount
    errors = [change.before_now - amount for amount in predicted]
    if not gap:
        # Little is spent between two regular answers.
        error = min(map(abs, errors))
        least_spent = abs(daily_spent)
        if case.day:
            # The new day's figure may show at once what the month's one already had.
            least_spent = min(least_spent, abs(change.daily - change.ahead))
        return _Misfit(
            is_off=error > 0,
            needs_refund=error == 0 and daily_spent < 0,
            amount=error + least_spent + abs(monthly_spent),
        )
    # In a gap, spending adds up. A figure that fell more likely rolled over.
    is_negative, error = min((error < 0, abs(error)) for error in errors)
    return _Misfit(
        is_off=error > 0,
        needs_refund=is_negative or daily_spent < 0 or monthly_spent < 0,
        amount=error,
    )


def _day_by_itself(periods: Periods, answer: Answer, times: Times) -> bool | None:
    """Return whether the daily figure rolled over, judged by itself. None if held."""
    day, daily = periods.daily, answer.daily
    assert day is not None and daily is not None
    if _is_day_overdue(day, times.earliest):
        return daily != day.amount
    falls = daily < day.amount
    rolled_over = (times.gap and falls) or _is_smaller(daily, day.amount)
    may = rolled_over or (falls and _may_be_over(day, times))
    return _unless_held(periods, rolled_over, may=may)


def _month_by_itself(periods: Periods, answer: Answer, times: Times) -> bool | None:
    """Return whether the monthly figure rolled over, judged by itself. None if held."""
    month, monthly = periods.monthly, answer.monthly
    assert month is not None and monthly is not None
    if _is_month_overdue(periods, month, times.earliest):
        return True
    rolled_over = _is_smaller(monthly, month.amount)
    return _unless_held(periods, rolled_over, may=rolled_over)


def _is_smaller(new: Decimal, old: Decimal) -> bool:
    """Return whether `new` is closer to zero than to `old`."""
    return abs(new) < abs(new - old)


def _unless_held(periods: Periods, rolled_over: bool, *, may: bool) -> bool | None:
    """Return None for a possible rollover that an answer with both figures can confirm."""
    if may and periods.before_today is not None:
        return None
    return rolled_over


def _may_be_over(day: Window, times: Times) -> bool:
    """Return whether the most likely day of a window may be over."""
    return midnight(day.start + DAY) - EARLY <= times.latest


def _is_day_overdue(day: Window, now: datetime) -> bool:
    """Return whether the day should have rolled over by now, with the longest delay."""
    return now >= midnight(day.latest + DAY) + LATE


def _is_month_overdue(periods: Periods, month: Window, now: datetime) -> bool:
    """Return whether a reported new period began longer ago than the longest delay."""
    start = periods.period.start
    if start is None or not _has_new_period(periods, month):
        return False
    return now >= midnight(start) + LATE


def _has_new_period(periods: Periods, month: Window) -> bool:
    """Return whether the reported period is later than that of the monthly figure."""
    start = periods.period.start
    return start is not None and start > month.latest
