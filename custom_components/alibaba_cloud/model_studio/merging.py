"""What the sources say -> one `AccountSnapshot`. No I/O."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType

from .models import AccountSnapshot, Balance, ModelUsage, Money, SpendReport
from .parsing import CURRENCY
from .telemetry import ModelRate, ModelTotals, UsageTotals

_NO_RATE = ModelRate()
_NO_TOTALS = ModelTotals()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reports:
    """What each source reported last; None for one that says nothing now."""

    account: AccountSnapshot | None = None
    spend: SpendReport | None = None
    balance: Balance | None = None
    rates: Mapping[str, ModelRate] | None = None
    totals: UsageTotals | None = None


def merge(
    reports: Reports,
    *,
    followed: Collection[str],
    reports_usage: bool,
    by_month: bool = True,
    before: AccountSnapshot | None = None,
) -> AccountSnapshot:
    """Return all figures of an account, each from the first source that has it.

    `/quotas` comes first, as it is near real time. Where an account has money and usage
    from there (`reports_usage`), another source steps in only with the same currency,
    the bill only if its `monthly_spend` is `by_month` of the calendar, and none with
    counters: another one's would look as if they had been used. What is as it was
    `before` is the same object again.
    """
    account = reports.account or AccountSnapshot()
    models = dict(account.models)
    for name in followed:
        model = _model(models.get(name, ModelUsage(name=name)), reports)
        known = before.models.get(name) if before else None
        models[name] = known if known == model else model

    def money(figure: Money | None, other: Money | None) -> Money | None:
        if figure is None and other and reports_usage and other.currency != CURRENCY:
            return None
        return figure or other

    spend, balance = reports.spend, reports.balance
    totals = None if reports_usage else reports.totals
    month = spend.monthly if spend and (by_month or not reports_usage) else None
    spent = [models[name] for name in set(followed)]
    return replace(
        account,
        available_balance=money(
            account.available_balance, balance.available if balance else None
        ),
        credit_balance=money(
            account.credit_balance, balance.credit if balance else None
        ),
        daily_spend=money(account.daily_spend, spend.daily if spend else None),
        monthly_spend=money(account.monthly_spend, month),
        other_models_daily_spend=_rest(
            spend.daily if spend else None, (model.daily_spend for model in spent)
        ),
        other_models_monthly_spend=_rest(
            spend.monthly if spend else None, (model.monthly_spend for model in spent)
        ),
        tokens_used=totals.tokens if totals else account.tokens_used,
        requests_used=totals.requests if totals else account.requests_used,
        models=MappingProxyType(models),
        limits_only=None
        if reports.account is None
        else account.limits_only and not (spend or balance or totals),
    )


def _model(model: ModelUsage, reports: Reports) -> ModelUsage:
    """Return a model with what the other sources say of it."""
    rate = (reports.rates or {}).get(model.name, _NO_RATE)
    totals = (
        reports.totals.models.get(model.name, _NO_TOTALS)
        if reports.totals
        else _NO_TOTALS
    )
    daily = monthly = None
    if report := reports.spend:
        if spend := report.models.get(model.name):
            daily, monthly = spend.daily, spend.monthly
        elif report.complete:
            monthly = report.monthly and replace(report.monthly, amount=Decimal())
            daily = report.daily and replace(report.daily, amount=Decimal())
    return replace(
        model,
        tokens_per_minute=rate.tokens_per_minute,
        requests_per_minute=rate.requests_per_minute,
        tokens_used=totals.tokens,
        requests_used=totals.requests,
        daily_spend=daily,
        monthly_spend=monthly,
    )


def _rest(total: Money | None, parts: Iterable[Money | None]) -> Money | None:
    """Return what is left of a total, so that all adds up to it."""
    if total is None:
        return None
    known = sum((part.amount for part in parts if part), Decimal())
    return replace(total, amount=total.amount - known)
