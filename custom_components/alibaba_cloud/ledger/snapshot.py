"""The one snapshot of an account: all reports, the budget and the forecast. No I/O."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from ..model_studio.groups import SpendGroup
from ..model_studio.models import AccountSnapshot, Estimate, Money
from .assets import with_assets
from .estimate import estimate
from .groups import with_groups
from .merge import ModelFigures, Reports, ShownSpend, merge
from .outlook import outlook
from .windows import Periods


def build_snapshot(
    reports: Reports,
    *,
    followed: Collection[str],
    groups: Collection[SpendGroup],
    reports_usage: bool,
    periods: Periods,
    shown: ShownSpend,
    daily: Mapping[date, Money],
    until_hour: Mapping[date, Money],
    at_least: Mapping[date, Money],
    budget: Decimal | None,
    now: datetime,
) -> AccountSnapshot:
    """Return all figures of an account.

    `periods` are the day and the billing period of its spend, `shown` those shown last.
    `daily` is the spend of past days, `until_hour` what it was by this hour, `at_least`
    what also days cost whose bill is incomplete. `budget` is the user's monthly budget.
    `groups` are the followed workspaces and API keys. `merge` explains the others.
    """
    estimated, by_model = _estimate(reports, daily, now)
    snapshot = merge(
        reports,
        followed=followed,
        reports_usage=reports_usage,
        shown=shown,
        estimated=by_model,
        by_month=periods.monthly is None or periods.monthly.start.day == 1,
    )
    snapshot = with_groups(snapshot, reports.groups, groups)
    if reports.assets is not None:
        snapshot = with_assets(
            snapshot, reports.assets, currency=_currency(reports), now=now
        )
    plan = snapshot.token_plan if reports.token_plan is None else reports.token_plan
    snapshot = replace(snapshot, estimate=estimated, token_plan=plan.at(now))
    view = outlook(
        snapshot,
        budget=budget,
        daily=daily,
        until_hour=until_hour,
        at_least=at_least,
        periods=periods,
        now=now,
        # The balance that the API key reports is near real time.
        balance_lags=reports.account is None
        or reports.account.available_balance is None,
    )
    return replace(snapshot, outlook=view)


def _estimate(
    reports: Reports, daily: Mapping[date, Money], now: datetime
) -> tuple[Estimate, ModelFigures]:
    """Return the estimate of an account's spend, and the figures of each used model."""
    return estimate(
        reports.prices,
        today=None if reports.rates is None else reports.rates.today,
        closed_day=None if reports.totals is None else reports.totals.closed_day,
        daily=daily,
        currency=_currency(reports),
        now=now,
    )


def _currency(reports: Reports) -> str | None:
    """Return the currency of the account, None if it is unknown."""
    if reports.balance is not None:
        return reports.balance.available.currency
    if reports.spend is not None and reports.spend.monthly is not None:
        return reports.spend.monthly.currency
    return None
