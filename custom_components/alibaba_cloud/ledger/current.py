"""Leaves out what reports say of a day or a billing cycle that is over. No I/O."""

from dataclasses import replace
from datetime import date, datetime
from types import MappingProxyType

from ..model_studio.models import AccountSnapshot, Spend, SpendReport
from ..model_studio.usage import UsageTotals
from .merge import Reports
from .snapshot import cycle_start
from .windows import Periods, billing_day


def current_reports(reports: Reports, *, periods: Periods, now: datetime) -> Reports:
    """Return reports without the figures of a past day, month or billing cycle.

    They may have been read long ago. `periods` are the day and the billing period of the
    account's own spend, which must be a result of `with_windows`. A billing period that
    the API key still reports is not over, whatever its dates are.
    """
    today = billing_day(now)
    since = cycle_start(periods, today)
    return replace(
        reports,
        account=None if reports.account is None else _account(reports.account, today),
        spend=None if reports.spend is None else _bill(reports.spend, today),
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
