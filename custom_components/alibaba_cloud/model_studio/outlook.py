"""Where an account's spend stands against its budget, and where it is going."""

from calendar import monthrange
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from .forecast import DailySpend, forecast_period, reached_at
from .models import AccountSnapshot, Money, Outlook, percentage
from .spend import BILLING_TIME_ZONE

_DAY = timedelta(days=1)


def outlook(
    account: AccountSnapshot,
    *,
    budget: Decimal | None,
    daily: DailySpend,
    since: datetime | None,
    now: datetime,
) -> Outlook:
    """Return the outlook of an account.

    `budget` is the user's, in the currency of the account's spend (while that is unknown,
    of the account's other money); without one, the service's spend limit stands in. `daily` is what the days before cost, in that
    currency too, and `since` when the monthly spend began to add up.
    """
    spend, limit = account.monthly_spend, account.spend_limit
    if budget is not None:
        known = spend or account.daily_spend or limit or account.available_balance
        limit = replace(known, amount=budget) if known else None
    elif limit and limit.amount <= 0:
        limit = None
    made = Outlook(budget=limit)
    if spend is None:
        return made
    left = _difference(limit, spend)
    if limit and left:
        made = replace(
            made,
            usage_pct=percentage(float(spend.amount), float(limit.amount)),
            remaining=left,
        )
    if since is None:
        return made
    end = _last_day(account, since)
    if forecast := forecast_period(daily, spent=spend.amount, now=now, end=end):
        made = replace(
            made,
            projected=replace(spend, amount=forecast.projected),
            low=forecast.low,
            high=forecast.high,
        )
    if left:
        reached = reached_at(daily, left=left.amount, now=now, end=end)
        made = replace(made, budget_exhausted_on=_day(reached))
    balance = account.available_balance
    if balance and balance.currency == spend.currency:
        empty = reached_at(daily, left=balance.amount, now=now)
        made = replace(made, balance_lasts_until=_day(empty))
    return made


def _difference(limit: Money | None, spend: Money) -> Money | None:
    """Return what a limit leaves, below zero where it is exceeded."""
    if limit is None or limit.currency != spend.currency:
        return None
    return replace(limit, amount=limit.amount - spend.amount)


def _last_day(account: AccountSnapshot, since: datetime) -> date:
    """Return the last day of the period that the monthly spend is of.

    It may be over: then the service is late to begin anew, or to be read.
    """
    start = since.astimezone(BILLING_TIME_ZONE).date()
    period = account.billing_period
    if period.end and (period.start is None or period.start <= start):
        return period.end
    if period.start is None:
        # What began in the midst of a month is a figure that was revised.
        start = start.replace(day=1)
    following = start.replace(day=1) + timedelta(
        days=monthrange(start.year, start.month)[1]
    )
    days = monthrange(following.year, following.month)[1]
    following = following.replace(day=min(start.day, days))
    return following - _DAY


def _day(when: datetime | None) -> date | None:
    """Return the day that a moment ends: midnight is the end of the day before."""
    return when and (when - timedelta.resolution).date()
