"""Drops kept figures whose day or billing period is over."""

from calendar import monthrange
from dataclasses import replace
from datetime import date, datetime, timedelta

from ..model_studio.models import AccountSnapshot, BillingPeriod
from .windows import DAY, billing_day


def without_past(
    account: AccountSnapshot, *, read: datetime | None, now: datetime
) -> AccountSnapshot:
    """Return figures that were read earlier, without those of the past.

    A new day drops the daily spend. A new billing period also drops the monthly spend and
    the counters. `read` is when the figures were read. None is a time long ago.
    """
    today = billing_day(now)
    day = date.min if read is None else billing_day(read)
    if today <= day:
        return account
    account = replace(account, daily_spend=None)
    if today < _next_period(account.billing_period, day):
        return account
    return replace(account, monthly_spend=None, tokens_used=None, requests_used=None)


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
