"""The outlook of an account: its budget, the forecast and what is usual."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from ..model_studio.models import (
    AccountSnapshot,
    Money,
    Outlook,
    Spend,
    UsualDay,
    first_known,
    percentage,
)
from .forecast import DailySpend, forecast_period, reached_at, since_first_spend
from .unusual import usual_day
from .windows import DAY, Periods, billing_day, midnight, month_after


def outlook(
    account: AccountSnapshot,
    *,
    budget: Decimal | None,
    daily: Mapping[date, Money],
    periods: Periods,
    now: datetime,
    until_hour: Mapping[date, Money] | None = None,
    at_least: Mapping[date, Money] | None = None,
    balance_lags: bool = False,
) -> Outlook:
    """Return the outlook of an account.

    `budget` is the user's, None for the service's spend limit. `build_snapshot` explains
    `daily`, `until_hour` and `at_least`. Days in another currency than the spend are
    ignored. `balance_lags` is whether the balance is as old as the bill: then it still
    includes what today's usage costs.
    """
    spend, limit = account.monthly_spend, _limit(account, budget)
    result = Outlook(
        budget=limit,
        weekly_spend=_weekly_spend(account.daily_spend, at_least or daily),
        usual_day=_usual_day(account.daily_spend, daily, until_hour or {}, now),
    )
    if spend is None:
        return result
    left = _difference(limit, spend)
    if limit is not None and left is not None:
        result = replace(
            result,
            usage_pct=percentage(float(spend.amount), float(limit.amount)),
            remaining=left,
        )
    if not isinstance(spend, Spend):
        return result
    past = since_first_spend(_amounts(daily, spend.currency))
    end = _last_day(spend, periods)
    forecast = forecast_period(past, spent=spend.amount, now=now, end=end)
    if forecast is not None:
        result = replace(
            result,
            projected=Money(amount=forecast.projected, currency=spend.currency),
            low=forecast.low,
            high=forecast.high,
        )
    if left is not None:
        reached = reached_at(past, left=left.amount, now=now, end=end)
        result = replace(result, budget_exhausted_on=_day(reached))
    until = _lasts_until(account, spend, past, now, lags=balance_lags)
    return replace(result, balance_lasts_until=until)


def _limit(account: AccountSnapshot, budget: Decimal | None) -> Money | None:
    """Return the budget of the user, else the spend limit of the service unless it is 0.

    The user's is a number. Its currency is that of the monthly spend, else of the daily
    spend, the spend limit or the balance. If that is unknown, there is no budget.
    """
    limit = account.spend_limit
    if budget is None:
        return None if limit is None or limit.amount <= 0 else limit
    known = first_known(
        account.monthly_spend, account.daily_spend, limit, account.available_balance
    )
    return None if known is None else Money(amount=budget, currency=known.currency)


def _lasts_until(
    account: AccountSnapshot,
    spend: Spend,
    daily: DailySpend,
    now: datetime,
    *,
    lags: bool,
) -> date | None:
    """Return the day on which the balance is used up.

    If the balance lags, the part of today's usage that is not billed yet is subtracted
    first.
    """
    balance = account.available_balance
    if balance is None or balance.currency != spend.currency:
        return None
    left = balance.amount
    if lags:
        left -= _unbilled(account, balance.currency)
    if balance.amount > 0 and left <= 0:
        # The usage of today that is not billed yet uses up the balance.
        return billing_day(now)
    return _day(reached_at(daily, left=left, now=now))


def _unbilled(account: AccountSnapshot, currency: str) -> Decimal:
    """Return how much of today's usage is probably still to be billed, at least 0.

    The estimate uses list prices. Free quotas and discounts make the bill lower. The
    ratio of today's estimate to its bill is assumed to be that of the last completely
    billed day, but at least 100 %. 0 is returned if the ratio is unknown.
    """
    estimate, spend = account.estimate.daily_spend, account.daily_spend
    ratio = account.estimate.bill_pct
    if estimate is None or ratio is None or estimate.currency != currency:
        return Decimal()
    unbilled = estimate.amount * 100 / max(Decimal(str(ratio)), Decimal(100))
    if isinstance(spend, Spend) and spend.start == estimate.start:
        unbilled -= spend.amount
    return max(unbilled, Decimal())


def _amounts(daily: Mapping[date, Money], currency: str) -> DailySpend:
    """Return the spend of the days that is in a currency."""
    return {
        day: spend.amount for day, spend in daily.items() if spend.currency == currency
    }


def _usual_day(
    today: Money | None,
    daily: Mapping[date, Money],
    until_hour: Mapping[date, Money],
    now: datetime,
) -> UsualDay | None:
    """Return the usual spend of the current day."""
    if not isinstance(today, Spend):
        return None
    past = _amounts(daily, today.currency)
    # The spend of a day that is over is that of the whole day, whatever the hour is.
    is_today = today.start == billing_day(now)
    by_now = _amounts(until_hour, today.currency) if is_today else {}
    return usual_day(since_first_spend(past), today.start, by_now)


def _weekly_spend(today: Money | None, daily: Mapping[date, Money]) -> Spend | None:
    """Return the spend of a calendar week from Monday up to a day, at least.

    The days of the week whose spend is unknown are left out.
    """
    if not isinstance(today, Spend):
        return None
    past = _amounts(daily, today.currency)
    monday = today.start - today.start.weekday() * DAY
    before = (past.get(monday + n * DAY) for n in range(today.start.weekday()))
    amount = sum((day for day in before if day is not None), today.amount)
    return replace(today, amount=amount, since=midnight(monday), start=monday)


def _difference(limit: Money | None, spend: Money) -> Money | None:
    """Return what is left of a limit, negative if the spend exceeds it."""
    if limit is None or limit.currency != spend.currency:
        return None
    return replace(limit, amount=limit.amount - spend.amount)


def _last_day(spend: Spend, periods: Periods) -> date:
    """Return the last day of the period that the monthly spend is of.

    It may be over, if the service is late or could not be read. A period
    without a reported end is a month long.
    """
    month, last = periods.monthly, periods.last_day
    if month is not None and month.start == spend.start and last is not None:
        return last
    return month_after(spend.start) - DAY


def _day(when: datetime | None) -> date | None:
    """Return the day that a moment ends: midnight is the end of the day before."""
    return when and (when - timedelta.resolution).date()
