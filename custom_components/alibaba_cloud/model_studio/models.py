"""The figures of an account at one moment.

A figure is None if no source reports it. All sources fill the same fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from math import isfinite
import re
from types import MappingProxyType
from typing import NamedTuple

from .groups import Dimension, SpendGroup
from .prepaid import Asset, Quantity, TokenPlan

_ACCESS_KEY_ID = re.compile(r"[A-Za-z0-9._-]+")
_SECRET = re.compile(r"[!-~]+")

CURRENCY = "USD"
"""The currency of all amounts that `GET /quotas` reports, for every account."""

type Number = int | float
"""A number that is an int if it is whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Money:
    """An amount in a currency (ISO 4217)."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Spend(Money):
    """The spend of a day or a billing period so far."""

    since: datetime
    """When the day or period began."""
    start: date
    """First day, in UTC+8."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessKey:
    """A RAM AccessKey, for spend, balance and usage."""

    id: str
    secret: str = field(repr=False)

    @property
    def is_possible(self) -> bool:
        """Whether ID and secret have valid characters. Others must not be sent."""
        return bool(
            _ACCESS_KEY_ID.fullmatch(self.id) and _SECRET.fullmatch(self.secret)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimit:
    """Limits of an account or a model, None for no limit."""

    rpm: Number | None = None
    """Requests per minute."""
    tpm: Number | None = None
    """Tokens per minute."""

    @property
    def is_set(self) -> bool:
        """Whether there is a limit."""
        return self.rpm is not None or self.tpm is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class BillingPeriod:
    """First and last day of the billing cycle, as the service reports them."""

    start: date | None = None
    end: date | None = None


class ModelUsage(NamedTuple):
    """The figures of a model.

    A tuple, because each poll makes and compares hundreds of them.
    """

    name: str
    used: Number | None = None
    """Used part of the quota, in the service's own unit."""
    limit: Number | None = None
    """The quota, in the same unit."""
    rate_limit: RateLimit = RateLimit()
    tokens_per_minute: Number | None = None
    """In the last complete minute, like `requests_per_minute`. From Prometheus."""
    requests_per_minute: Number | None = None
    throttled_calls: Number | None = None
    """Requests of that minute that the service refused with HTTP 429."""
    error_rate_pct: float | None = None
    """Share of that minute's requests that failed, in %. None without requests."""
    tokens: Number | None = None
    """In the billing cycle, like `requests`. From Prometheus."""
    requests: Number | None = None
    daily_spend: Money | None = None
    """From the bill, like `monthly_spend`."""
    monthly_spend: Money | None = None
    daily_spend_estimate: Spend | None = None
    """Today's usage at list prices."""
    input_price: Money | None = None
    """Lowest list price of a million tokens, like `output_price`."""
    output_price: Money | None = None

    @property
    def usage_pct(self) -> float | None:
        """Used share of the quota in %, above 100 if the quota is exceeded.

        None without a quota, or if it is (almost) 0.
        """
        return percentage(self.used, self.limit)

    @property
    def load_pct(self) -> float | None:
        """Usage of the last minute in % of the limit for tokens or requests.

        The higher percentage counts. None without a limit, or if the usage is unknown.
        """
        shares = (
            percentage(self.tokens_per_minute, self.rate_limit.tpm),
            percentage(self.requests_per_minute, self.rate_limit.rpm),
        )
        return max((share for share in shares if share is not None), default=None)

    @property
    def level_pct(self) -> float | None:
        """Percentage for alerts: the used quota, or else the load."""
        usage = self.usage_pct
        return self.load_pct if usage is None else usage

    @property
    def reports_use(self) -> bool:
        """Whether any source reports usage of the model."""
        return any(
            figure is not None
            for figure in (
                self.used,
                self.tokens_per_minute,
                self.requests_per_minute,
                self.tokens,
                self.requests,
            )
        )


def first_known[T](*values: T | None) -> T | None:
    """Return the first value that is known, None if none is."""
    return next((value for value in values if value is not None), None)


def percentage(used: Number | None, limit: Number | None) -> float | None:
    """Return a share of a limit in %, None if it can't be calculated."""
    if used is None or not limit:
        return None
    share = used * 100 / limit
    return round(share, 4) if isfinite(share) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupSpend:
    """The spend of a group in a month and on a day, None if it is unknown."""

    monthly: Money | None
    daily: Money | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendReport:
    """The bill of a month up to a day, in the billing time zone (UTC+8).

    The figures are None until the service has a bill for the month.
    """

    day: date
    monthly: Money | None = None
    daily: Money | None = None
    days: Mapping[date, Money] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    """Spend of each day of the month, as far as it is known."""
    groups: Mapping[str, GroupSpend] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    """By the name of a model, or by the ID of a workspace or an API key."""
    complete: bool = False
    """Whether a group that is missing has no spend in the month."""
    day_complete: bool = False
    """Whether a group that is missing has no spend on the day."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """The balance of an account."""

    available: Money
    credit: Money | None


@dataclass(frozen=True, kw_only=True, slots=True)
class UsualDay:
    """What a day usually costs, in the currency of the account's spend."""

    spend: Decimal
    unusual_above: Decimal
    """A day that has cost more by now is unusual."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """The monthly spend compared with its budget, and the forecast."""

    budget: Money | None = None
    """The user's budget, or else the spend limit."""
    usage_pct: float | None = None
    """Spent share of the budget in %."""
    remaining: Money | None = None
    """What is left of the budget. Negative if the budget is exceeded."""
    projected: Money | None = None
    """Expected spend of the whole billing period."""
    low: Decimal | None = None
    """`low` to `high` is an 80 % interval for the projected spend."""
    high: Decimal | None = None
    budget_exhausted_on: date | None = None
    """Day in UTC+8 on which the budget is used up, None if it is too far off."""
    balance_lasts_until: date | None = None
    """Day in UTC+8 on which the balance is used up, None if it is too far off."""
    weekly_spend: Spend | None = None
    """Since Monday in UTC+8, at least: days whose spend is unknown are left out."""
    usual_day: UsualDay | None = None
    """The usual spend of the weekday of the daily spend."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupFigures:
    """The billed spend of a group, or of all groups that are not followed."""

    daily_spend: Money | None = None
    monthly_spend: Money | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What usage costs at list prices."""

    daily_spend: Spend | None = None
    """Today so far. Usage without a price is left out."""
    models_without_price: tuple[str, ...] = ()
    """Models whose usage of today is left out, wholly or in part."""
    share_priced: float | None = None
    """Share of today's tokens that have a price, in %."""
    bill_pct: float | None = None
    """The estimate of `closed_day` in % of its bill."""
    closed_day: date | None = None


class QuotasKind(StrEnum):
    """What the last answer of `GET /quotas` reports."""

    UNREAD = "unread"
    """There is no answer yet."""
    USAGE = "usage"
    """Money, usage and limits."""
    LIMITS = "limits"
    """Nothing but limits."""


class AvailableData(StrEnum):
    """What the credentials of an account can read. All of them can read limits."""

    LIMITS = "limits"
    SPEND = "spend"
    USAGE = "usage"
    SPEND_AND_USAGE = "spend_and_usage"


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountSnapshot:
    """All figures of an account."""

    credit_balance: Money | None = None
    available_balance: Money | None = None
    spend_limit: Money | None = None
    """The hard cap on spend."""
    daily_spend: Money | None = None
    monthly_spend: Money | None = None
    other_models_daily_spend: Money | None = None
    """Billed spend of all models without a device.

    None while the spend of a model that has a device is unknown.
    """
    other_models_monthly_spend: Money | None = None
    tokens_used: Number | None = None
    requests_used: Number | None = None
    coupons_balance: Money | None = None
    """The remaining amount of all coupons. None without any, as in the next three."""
    prepaid_cards_balance: Money | None = None
    savings_plans_balance: Money | None = None
    """In the current cycle."""
    resource_packages_left: Quantity | None = None
    """Also None if the packages have several units."""
    expiring: tuple[Asset, ...] = ()
    """The usable assets that expire, in the order of their expiry."""
    token_plan: TokenPlan = field(default_factory=TokenPlan)
    rate_limit: RateLimit = RateLimit()
    billing_period: BillingPeriod = BillingPeriod()
    models: Mapping[str, ModelUsage] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By name."""
    models_complete: bool = False
    """Whether `models` has all models. Only then, a missing model is gone."""
    groups: Mapping[SpendGroup, GroupFigures] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """The workspaces and API keys that the user follows."""
    other_groups: Mapping[Dimension, GroupFigures] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """All other groups together, for each dimension with a followed group."""
    quotas_kind: QuotasKind = QuotasKind.UNREAD
    outlook: Outlook = Outlook()
    """Calculated from the other figures, the user's budget and the previous days."""
    estimate: Estimate = Estimate()

    @property
    def next_expiry(self) -> Asset | None:
        """The first asset to expire, with all of its kind that expire together."""
        return self.expiring[0] if self.expiring else None

    @property
    def available_data(self) -> AvailableData | None:
        """What is reported now, None if there is no more than a balance."""
        spend = self.daily_spend is not None or self.monthly_spend is not None
        models = self.models.values()
        usage = (
            self.tokens_used is not None
            or self.requests_used is not None
            or any(model.reports_use for model in models)
        )
        if spend:
            return AvailableData.SPEND_AND_USAGE if usage else AvailableData.SPEND
        if usage:
            return AvailableData.USAGE
        if self.rate_limit.is_set or any(
            model.rate_limit.is_set or model.limit is not None for model in models
        ):
            return AvailableData.LIMITS
        return None

    @property
    def over_spend_limit(self) -> bool | None:
        """Whether the monthly spend has reached the spend limit.

        None if one of them is unknown, the currencies differ, or the limit is 0.
        """
        spend, limit = self.monthly_spend, self.spend_limit
        if spend is None or limit is None or spend.currency != limit.currency:
            return None
        if limit.amount <= 0:
            return None
        return spend.amount >= limit.amount
