"""Drops kept figures whose day or billing period is over. No I/O."""

from dataclasses import replace
from datetime import date, datetime
from types import MappingProxyType

from ..model_studio.models import AccountSnapshot, BillingPeriod, Spend, SpendReport
from ..model_studio.usage import UsageTotals
from .merge import Reports
from .windows import DAY, Periods, billing_day, cycle_start, month_after


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
    may have been late when it was read. `read` is when they were read. If it is None, that
    was long ago.
    """
    today = billing_day(now)
    read_on = date.min if read is None else billing_day(read)
    day = read_on if periods.daily is None else periods.daily.start
    if today > day:
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


def current_reports(
    reports: Reports, *, periods: Periods, now: datetime, is_live: bool
) -> Reports:
    """Return reports without the figures of a past minute, day, month or billing cycle.

    They may have been read long ago. The spend of `/quotas` must be a result of
    `with_windows`. Its month is left as it is: `without_past` drops it from kept figures.
    `periods` are the day and the billing period of `/quotas`. `is_live` says whether the
    last read of the rates succeeded.
    """
    rates = reports.rates
    if rates is not None and not is_live:
        # The estimate of the day stays.
        rates = replace(rates, models=MappingProxyType({}))
    today = billing_day(now)
    since = cycle_start(periods, today)
    return replace(
        reports,
        account=None if reports.account is None else _account(reports.account, today),
        spend=None if reports.spend is None else _bill(reports.spend, today),
        rates=rates,
        totals=None if reports.totals is None else _totals(reports.totals, since),
        groups={
            dimension: _bill(report, today)
            for dimension, report in reports.groups.items()
        },
    )


def _account(account: AccountSnapshot, today: date) -> AccountSnapshot:
    """Return the API key's figures without the spend of a past day."""
    daily = account.daily_spend
    is_over = isinstance(daily, Spend) and daily.start < today
    return replace(account, daily_spend=None) if is_over else account


def _bill(report: SpendReport, today: date) -> SpendReport:
    """Return the bill of this month, without the day if that is over."""
    if report.day >= today:
        return report
    if report.day < today.replace(day=1):
        return SpendReport(day=today)
    groups = {key: replace(spend, daily=None) for key, spend in report.groups.items()}
    return replace(
        report, daily=None, day_complete=False, groups=MappingProxyType(groups)
    )


def _totals(totals: UsageTotals, since: datetime) -> UsageTotals:
    """Return the usage of this billing cycle, which began at `since`."""
    if totals.since is not None and totals.since >= since:
        return totals
    return UsageTotals(models=MappingProxyType({}), closed_day=totals.closed_day)
