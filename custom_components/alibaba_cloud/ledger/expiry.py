"""Which kept figures no longer stand: those of a day or billing period that is over."""

from calendar import monthrange
from dataclasses import replace
from datetime import date, datetime, timedelta

from ..model_studio.models import AccountSnapshot, BillingPeriod
from .windows import BILLING_TIME_ZONE


def without_past(
    account: AccountSnapshot, *, read: datetime | None, now: datetime
) -> AccountSnapshot:
    """Return figures read earlier, without those that are of the past by now.

    With the day, its spend is over; with the billing period, its spend and counters.
    `read` is when the figures were read; None stands for a time long ago.
    """
    today = now.astimezone(BILLING_TIME_ZONE).date()
    day = read.astimezone(BILLING_TIME_ZONE).date() if read else date.min
    if today <= day:
        return account
    account = replace(account, daily_spend=None)
    if today < _next_period(account.billing_period, day):
        return account
    return replace(account, monthly_spend=None, tokens_used=None, requests_used=None)


def _next_period(period: BillingPeriod, day: date) -> date:
    """Return the first day of the period after the one that a day is in.

    The service may report the last day of a period, or the first of the next one.
    """
    start, end = period.start, period.end
    if end and end >= day:
        is_next = start and start < end and start.day == end.day
        return end if is_next else end + timedelta(days=1)
    if start is None or start > day or _month_after(start) <= day:
        start = day.replace(day=1)
    return _month_after(start)


def _month_after(day: date) -> date:
    """Return the same day of the next month, or that month's last day."""
    first = day.replace(day=1) + timedelta(days=monthrange(day.year, day.month)[1])
    return first.replace(day=min(day.day, monthrange(first.year, first.month)[1]))
