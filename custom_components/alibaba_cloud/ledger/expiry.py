"""Drops kept figures whose day or billing period is over."""

from calendar import monthrange
from dataclasses import replace
from datetime import date, datetime, timedelta

from ..model_studio.models import AccountSnapshot, BillingPeriod
from .windows import DAY, Periods, billing_day


def without_past(
    account: AccountSnapshot,
    *,
    periods: Periods,
    read: datetime | None,
    now: datetime,
) -> AccountSnapshot:
    """Return figures that were read earlier, without those of the past.

    The end of its day drops the daily spend. The end of its billing period drops the
    monthly spend, and the counters with it. `periods` are those of the figures: a figure
    may have been late when it was read. `read` is when that was. None is a time long ago.
    """
    today = billing_day(now)
    read_on = date.min if read is None else billing_day(read)
    if today > (read_on if periods.daily is None else periods.daily.start):
        account = replace(account, daily_spend=None)
    following = _end_of_window(periods)
    if following is None or following < read_on:
        # A figure is late by a day at most, so it was of a later period.
        following = _next_period(account.billing_period, read_on)
    if today < following:
        return account
    return replace(account, monthly_spend=None, tokens_used=None, requests_used=None)


def _end_of_window(periods: Periods) -> date | None:
    """Return the first day after the period of the monthly spend, None if unknown."""
    month, start = periods.monthly, periods.period.start
    if periods.last_day is not None:
        return periods.last_day + DAY
    if month is None:
        return None
    if start is not None and start > month.start:
        return start
    return month_after(month.start)


def _next_period(period: BillingPeriod, day: date) -> date:
    """Return the first day of the period after the one that contains a day.

    The service may report the last day of a period or the first day of the next one.
    """
    start, end = period.start, period.end
    if end is not None and end >= day:
        # A period that starts and ends on the same day of the month is whole months.
        is_next = start is not None and start < end and start.day == end.day
        return end if is_next else end + DAY
    if start is None or start > day or month_after(start) <= day:
        start = day.replace(day=1)
    return month_after(start)


def month_after(day: date) -> date:
    """Return the same day of the next month, or the last day of a shorter month."""
    first = day.replace(day=1) + timedelta(days=monthrange(day.year, day.month)[1])
    return first.replace(day=min(day.day, monthrange(first.year, first.month)[1]))
