"""Merges what the sources report into one `AccountSnapshot`. No I/O."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Self

from ..model_studio.groups import Dimension
from ..model_studio.models import (
    CURRENCY,
    AccountSnapshot,
    Balance,
    ModelUsage,
    Money,
    Spend,
    SpendReport,
    first_known,
)
from ..model_studio.prepaid import Asset, TokenPlan
from ..model_studio.price_list import PriceList
from ..model_studio.usage import ModelRate, ModelTotals, UsageRates, UsageTotals
from . import stored
from .windows import Periods, Window, midnight

type ModelFigures = Mapping[str, ModelUsage]
"""Figures of models by name, as far as some sources report them."""

_NO_USAGE = ModelUsage(name="")
_NO_RATE = ModelRate()
_NO_TOTALS = ModelTotals()
CACHED_ACCOUNTS = 32
"""The number of accounts whose figures by model are cached.

`/quotas` changes more often than the reports that these figures are from.
"""
_CACHED_MODELS = 2048
"""The number of models whose figures are cached. Of hundreds, few change with a poll."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reports:
    """The last report of each source, None while it can't be read."""

    account: AccountSnapshot | None = None
    spend: SpendReport | None = None
    balance: Balance | None = None
    rates: UsageRates | None = None
    totals: UsageTotals | None = None
    groups: Mapping[Dimension, SpendReport] = field(default_factory=dict)
    """The bills by workspace and by API key."""
    assets: tuple[Asset, ...] | None = None
    token_plan: TokenPlan | None = None
    prices: PriceList | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """The day or the period of the spend that was shown last."""

    since: datetime
    start: date

    def as_dict(self) -> dict[str, Any]:
        """Return the day or the period as JSON data."""
        return {"since": self.since.isoformat(), "start": self.start.isoformat()}

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Return what `as_dict` wrote. Raises `ValueError` for anything else."""
        data = stored.mapping(value)
        try:
            return cls(
                since=stored.moment(data["since"]), start=stored.day(data["start"])
            )
        except KeyError as err:
            raise ValueError("A part of what was shown is missing") from err


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownSpend:
    """The day and the period of the spend that were shown last."""

    daily: Shown | None = None
    monthly: Shown | None = None

    def after(self, account: AccountSnapshot) -> Self:
        """Return the day and the period after these figures were shown."""
        return replace(
            self,
            daily=first_known(_shown(account.daily_spend), self.daily),
            monthly=first_known(_shown(account.monthly_spend), self.monthly),
        )


def _shown(spend: Money | None) -> Shown | None:
    """Return the day or the period of a spend."""
    if not isinstance(spend, Spend):
        return None
    return Shown(since=spend.since, start=spend.start)


def with_windows(account: AccountSnapshot, periods: Periods) -> AccountSnapshot:
    """Return an account's figures with the day and the period of its spend.

    A spend whose day or period is not clear is unknown.
    """
    return replace(
        account,
        daily_spend=_placed(
            account.daily_spend, None if periods.daily_is_held else periods.daily
        ),
        monthly_spend=_placed(
            account.monthly_spend, None if periods.monthly_is_held else periods.monthly
        ),
    )


def _placed(spend: Money | None, window: Window | None) -> Spend | None:
    """Return a spend with its window."""
    if spend is None or window is None:
        return None
    return Spend(
        amount=spend.amount,
        currency=spend.currency,
        since=window.since,
        start=window.start,
    )


def _billed(spend: Money | None, start: date) -> Spend | None:
    """Return a billed spend with the start of its day or month."""
    if spend is None:
        return None
    return Spend(
        amount=spend.amount,
        currency=spend.currency,
        since=midnight(start),
        start=start,
    )


def _latest(
    own: Spend | None, billed: Spend | None, shown: Shown | None
) -> Spend | None:
    """Return the first spend that is not of an earlier day or period than shown before.

    The account's own figure may start again within a day, the bill's does not. If the two
    disagree on when a day began, the start that was shown first is kept.
    """
    for spend in (own, billed):
        if spend is None:
            continue
        if shown is None or spend.since == shown.since:
            return spend
        if spend.start < shown.start:
            continue
        since = max(spend.since, shown.since)
        if spend is billed and spend.start == shown.start:
            since = shown.since
        return replace(spend, since=since)
    return None


def merge(
    reports: Reports,
    *,
    followed: Collection[str],
    reports_usage: bool,
    shown: ShownSpend,
    estimated: ModelFigures = MappingProxyType({}),
    by_month: bool = True,
) -> AccountSnapshot:
    """Return all figures of an account, each from the first source that has it.

    `/quotas` comes first, because it is near real time. Its spend must be a result of
    `with_windows`. If `/quotas` reports money and usage (`reports_usage`), three rules
    limit the other sources. Their amounts must have the same currency. The bill reports
    the monthly spend only if billing periods are calendar months (`by_month`). Counters
    are not replaced, because the difference would look like usage.

    A spend is never of an earlier day or period than the one that was `shown` last.
    `estimated` are figures of models that are estimated from their usage and prices.
    """
    account = AccountSnapshot() if reports.account is None else reports.account
    models = _models(account, followed, reports, estimated)

    def usable[MoneyT: Money](other: MoneyT | None) -> MoneyT | None:
        is_foreign = other is not None and other.currency != CURRENCY
        return None if is_foreign and reports_usage else other

    available, credit = _available_and_credit(reports.balance)
    totals = None if reports_usage else reports.totals
    day, month = day_and_month(reports.spend)
    other_months = month if by_month or not reports_usage else None
    other_daily, other_monthly = _of_other_models(reports.spend, frozenset(followed))
    return replace(
        account,
        available_balance=first_known(account.available_balance, usable(available)),
        credit_balance=first_known(account.credit_balance, usable(credit)),
        daily_spend=_latest(_as_spend(account.daily_spend), usable(day), shown.daily),
        monthly_spend=_latest(
            _as_spend(account.monthly_spend), usable(other_months), shown.monthly
        ),
        other_models_daily_spend=other_daily,
        other_models_monthly_spend=other_monthly,
        tokens_used=account.tokens_used if totals is None else totals.tokens,
        requests_used=account.requests_used if totals is None else totals.requests,
        models=MappingProxyType(models),
    )


def _available_and_credit(
    balance: Balance | None,
) -> tuple[Money | None, Money | None]:
    """Return the two amounts of a balance."""
    return (None, None) if balance is None else (balance.available, balance.credit)


def day_and_month(report: SpendReport | None) -> tuple[Spend | None, Spend | None]:
    """Return the account's billed spend of the day and of the month of a report."""
    if report is None:
        return None, None
    return (
        _billed(report.daily, report.day),
        _billed(report.monthly, report.day.replace(day=1)),
    )


def spend_of(
    report: SpendReport | None, key: str | None
) -> tuple[Spend | None, Spend | None]:
    """Return the billed spend of a group on the day and in the month of a report.

    A group that is missing has a spend of 0 on a day or in a month whose bill is
    complete, else an unknown one. The key None stands for any group that is missing.
    """
    if report is None:
        return None, None
    if key is not None and key in report.groups:
        spend = report.groups[key]
        daily, monthly = spend.daily, spend.monthly
    else:
        daily = _nothing(report.daily) if report.day_complete else None
        monthly = _nothing(report.monthly) if report.complete else None
    return _billed(daily, report.day), _billed(monthly, report.day.replace(day=1))


def _nothing(total: Money | None) -> Money | None:
    """Return 0 in the currency of a total, None if that is unknown."""
    return None if total is None else replace(total, amount=Decimal())


def _models(
    account: AccountSnapshot,
    followed: Collection[str],
    reports: Reports,
    estimated: ModelFigures,
) -> dict[str, ModelUsage]:
    """Return the models of an account, the followed ones with figures of all sources."""
    models = dict(account.models)
    by_model, of_others = _by_model(reports.spend, reports.rates, reports.totals)
    for name in followed:
        models[name] = _with_figures(
            name,
            models.get(name, _NO_USAGE),
            by_model.get(name, of_others),
            estimated.get(name, _NO_USAGE),
        )
    return models


@lru_cache(maxsize=_CACHED_MODELS)
def _with_figures(
    name: str, own: ModelUsage, other: ModelUsage, estimated: ModelUsage
) -> ModelUsage:
    """Return a model with what `/quotas`, the other sources and the estimate say of it."""
    return other._replace(
        name=name,
        used=own.used,
        limit=own.limit,
        rate_limit=own.rate_limit,
        daily_spend_estimate=estimated.daily_spend_estimate,
        input_price=estimated.input_price,
        output_price=estimated.output_price,
    )


@lru_cache(maxsize=CACHED_ACCOUNTS)
def _by_model(
    spend: SpendReport | None, rates: UsageRates | None, totals: UsageTotals | None
) -> tuple[ModelFigures, ModelUsage]:
    """Return the figures of each model in these reports, and those of any other."""
    rate_of = {} if rates is None else rates.models
    used_of = {} if totals is None else totals.models
    billed = {} if spend is None else spend.groups

    def figures(name: str | None) -> ModelUsage:
        rate = _NO_RATE if name is None else rate_of.get(name, _NO_RATE)
        used = _NO_TOTALS if name is None else used_of.get(name, _NO_TOTALS)
        daily, monthly = spend_of(spend, name)
        return ModelUsage(
            name="" if name is None else name,
            tokens_per_minute=rate.tokens_per_minute,
            requests_per_minute=rate.requests_per_minute,
            throttled_calls=rate.throttled_calls,
            error_rate_pct=rate.error_rate_pct,
            tokens=used.tokens,
            requests=used.requests,
            daily_spend=daily,
            monthly_spend=monthly,
        )

    names = {*rate_of, *used_of, *billed}
    return {name: figures(name) for name in names}, figures(None)


@lru_cache(maxsize=CACHED_ACCOUNTS)
def _of_other_models(
    report: SpendReport | None, followed: frozenset[str]
) -> tuple[Spend | None, Spend | None]:
    """Return the billed spend of all models that are not followed, as `rest`."""
    day, month = day_and_month(report)
    spent = [spend_of(report, name) for name in followed]
    return (
        rest(day, (daily for daily, _ in spent)),
        rest(month, (monthly for _, monthly in spent)),
    )


def _as_spend(money: Money | None) -> Spend | None:
    """Return a spend of `/quotas`, None if its window is not clear."""
    return money if isinstance(money, Spend) else None


def rest(total: Spend | None, parts: Iterable[Money | None]) -> Spend | None:
    """Return a total minus its parts.

    None if one of them is unknown: what such a part has cost is not the rest's.
    """
    amounts = [None if part is None else part.amount for part in parts]
    known = [amount for amount in amounts if amount is not None]
    if total is None or len(known) < len(amounts):
        return None
    return replace(total, amount=total.amount - sum(known, Decimal()))
