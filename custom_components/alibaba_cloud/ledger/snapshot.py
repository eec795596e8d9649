"""The one snapshot of an account: all reports, the budget and the forecast. No I/O."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from ..model_studio.models import AccountSnapshot
from .forecast import DailySpend
from .merge import Reports, ShownSpend, merge
from .outlook import outlook
from .periods import Periods


def build_snapshot(
    reports: Reports,
    *,
    followed: Collection[str],
    reports_usage: bool,
    periods: Periods,
    shown: ShownSpend,
    daily: DailySpend,
    budget: Decimal | None,
    now: datetime,
) -> AccountSnapshot:
    """Return all figures of an account.

    `periods` are those of its spend, and `shown` those that were shown last. `daily` is
    the spend of the days before, `budget` the user's. For the rest see `merge`.
    """
    month = periods.monthly
    snapshot = merge(
        reports,
        followed=followed,
        reports_usage=reports_usage,
        shown=shown,
        by_month=month is None or month.start.day == 1,
    )
    return replace(
        snapshot,
        outlook=outlook(snapshot, budget=budget, daily=daily, periods=periods, now=now),
    )
