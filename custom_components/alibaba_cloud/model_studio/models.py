"""What is known of an account at one moment.

A figure is None where no source reported it. Where a figure came from is not part
of it: every source fills the same fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from math import isfinite
import re
from types import MappingProxyType

_ACCESS_KEY_ID = re.compile(r"[A-Za-z0-9._-]+")
_SECRET = re.compile(r"[!-~]+")

type Number = int | float
"""A count: whole where it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Money:
    """An amount in a currency (ISO 4217)."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Spend(Money):
    """What was spent in a day or a billing period so far."""

    since: datetime
    """When it began to add up."""
    start: date
    """The first day of it, in UTC+8."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessKey:
    """A RAM AccessKey, which signs requests for money and usage."""

    id: str
    secret: str = field(repr=False)

    @property
    def is_possible(self) -> bool:
        """Whether this can be one: anything else is not to be sent."""
        return bool(
            _ACCESS_KEY_ID.fullmatch(self.id) and _SECRET.fullmatch(self.secret)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimit:
    """Caps of an account or a model; the service reports no live counters."""

    rpm: Number | None = None
    """Requests per minute."""
    tpm: Number | None = None
    """Tokens per minute."""

    @property
    def known(self) -> bool:
        """Whether there is any cap."""
        return not (self.rpm is self.tpm is None)


@dataclass(frozen=True, kw_only=True, slots=True)
class BillingPeriod:
    """First and last day of the billing cycle, as the service wrote them."""

    start: date | None = None
    end: date | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelUsage:
    """One model's use of its quota, both in the service's own units."""

    name: str
    used: Number | None = None
    limit: Number | None = None
    rate_limit: RateLimit = RateLimit()
    tokens_per_minute: Number | None = None
    """Of the last complete minute, as `requests_per_minute`; from CloudMonitor."""
    requests_per_minute: Number | None = None
    tokens: Number | None = None
    """Used in the billing cycle, as are `requests`; from CloudMonitor."""
    requests: Number | None = None
    daily_spend: Money | None = None
    """From the bill, as `monthly_spend`."""
    monthly_spend: Money | None = None

    @property
    def usage_pct(self) -> float | None:
        """Used share of the quota in %, above 100 if it is exceeded.

        None without a quota, or with one of 0 or next to it.
        """
        return percentage(self.used, self.limit)

    @property
    def load_pct(self) -> float | None:
        """The last minute's share of the nearer limit in %: of tokens or of requests.

        None while the use of the last minute is unknown, or without a limit.
        """
        shares = (
            percentage(self.tokens_per_minute, self.rate_limit.tpm),
            percentage(self.requests_per_minute, self.rate_limit.rpm),
        )
        return max((share for share in shares if share is not None), default=None)

    @property
    def level_pct(self) -> float | None:
        """What alert levels are compared with: the quota used, else the load."""
        return self.load_pct if self.usage_pct is None else self.usage_pct

    @property
    def reports_use(self) -> bool:
        """Whether any source reports how much the model is used."""
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


def percentage(used: Number | None, limit: Number | None) -> float | None:
    """Return a share of a limit in %, None where it is not to be had."""
    if used is None or not limit:
        return None
    share = used * 100 / limit
    return round(share, 4) if isfinite(share) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpend:
    """One model's part in the bill of a month, and of the month's last day."""

    monthly: Money
    daily: Money | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendReport:
    """The bill of a month up to a day, both of the billing time zone.

    Before the first bill of a month, its figures are unknown.
    """

    day: date
    monthly: Money | None = None
    daily: Money | None = None
    days: Mapping[date, Money] = field(default_factory=lambda: MappingProxyType({}))
    """What was billed on each day of the month, as far as that is known."""
    models: Mapping[str, ModelSpend] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By name."""
    complete: bool = False
    """Whether a model that is missing has spent nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """What is left in an account."""

    available: Money
    credit: Money | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """Where the monthly spend stands against its budget, and where it is going."""

    budget: Money | None = None
    """What levels refer to: the user's budget, without one the spend limit."""
    usage_pct: float | None = None
    """The share of the budget that is spent, in %."""
    remaining: Money | None = None
    """What the budget leaves, below zero where it is exceeded."""
    projected: Money | None = None
    """What the billing period is going to come to."""
    low: Decimal | None = None
    """The truth is expected between this and `high` four times out of five."""
    high: Decimal | None = None
    budget_exhausted_on: date | None = None
    """The day in UTC+8 on which the budget is used up. None: not in sight."""
    balance_lasts_until: date | None = None
    """The day in UTC+8 on which the balance is used up. None: not in sight."""


class AvailableData(StrEnum):
    """What an account's credentials read; each of them reads limits as well."""

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
    """What the bill holds beside the models that are followed."""
    other_models_monthly_spend: Money | None = None
    tokens_used: Number | None = None
    requests_used: Number | None = None
    rate_limit: RateLimit = RateLimit()
    billing_period: BillingPeriod = BillingPeriod()
    models: Mapping[str, ModelUsage] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By name."""
    models_complete: bool = False
    """Whether `models` is all of them: only then is a missing model gone."""
    limits_only: bool = False
    """Whether the API key's answer lists the limits of models and nothing else."""
    outlook: Outlook = Outlook()
    """Worked out of the figures, with the user's budget and the days before."""

    @property
    def available_data(self) -> AvailableData | None:
        """What is read now besides the balance, None while that is nothing."""
        spend = not (self.daily_spend is self.monthly_spend is None)
        models = self.models.values()
        usage = not (self.tokens_used is self.requests_used is None) or any(
            model.reports_use for model in models
        )
        if spend:
            return AvailableData.SPEND_AND_USAGE if usage else AvailableData.SPEND
        if usage:
            return AvailableData.USAGE
        if self.rate_limit.known or any(
            model.rate_limit.known or model.limit is not None for model in models
        ):
            return AvailableData.LIMITS
        return None

    @property
    def over_spend_limit(self) -> bool | None:
        """Whether this month's spend is at or above the spend limit.

        None where either is unknown, the currencies differ, or the limit is 0.
        """
        spend, limit = self.monthly_spend, self.spend_limit
        if spend is None or limit is None or spend.currency != limit.currency:
            return None
        return spend.amount >= limit.amount if limit.amount > 0 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitsPage:
    """One page of the limits answer.

    `rows` are the rows as they came, `limits` what binds the model of each: a model
    may stand in several rows.
    """

    rows: tuple[bytes, ...]
    limits: tuple[tuple[str, RateLimit], ...]
    total: Number | None
    """Rows on all pages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitsListing:
    """All pages of the limits answer."""

    account: AccountSnapshot
    pages: int
    rows: int
    total: Number | None
    """Rows as the service counts them."""
