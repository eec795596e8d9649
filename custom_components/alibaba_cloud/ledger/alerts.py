"""Alerts, what the user wants to be alerted about, and what was alerted before."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Self

from ..model_studio.groups import Dimension, SpendGroup
from ..model_studio.models import AccountSnapshot, ModelUsage, Number
from ..model_studio.prepaid import AssetKind
from . import stored


class AlertKind(StrEnum):
    """What an alert is about."""

    SPEND_LEVEL = "spend_level"
    DAILY_BUDGET = "daily_budget"
    WEEKLY_BUDGET = "weekly_budget"
    FORECAST_OVER_BUDGET = "forecast_over_budget"
    UNUSUAL_SPEND = "unusual_spend"
    BALANCE_LOW = "balance_low"
    CREDIT_EXPIRING = "credit_expiring"
    CREDITS_LOW = "credits_low"
    SUBSCRIPTION_ENDING = "subscription_ending"
    MODEL_LEVEL = "model_level"
    LIMIT_LOWERED = "limit_lowered"
    RATE_LIMITED = "rate_limited"
    BUDGET_EXHAUSTED = "budget_exhausted"
    API_KEY_REJECTED = "api_key_rejected"
    ACCOUNT_UNAVAILABLE = "account_unavailable"
    RECOVERED = "recovered"


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertOptions:
    """What the user wants to be alerted about."""

    monthly_budget: Decimal | None = None
    """In the account's currency. If it is None, the spend limit is the budget."""
    daily_budget: Decimal | None = None
    """In the account's currency, like `weekly_budget`."""
    weekly_budget: Decimal | None = None
    group_budgets: Mapping[SpendGroup, Decimal] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Monthly budgets of workspaces and API keys, in the currency of the bill."""
    spend_levels: tuple[Decimal, ...] = (Decimal(50), Decimal(80), Decimal(100))
    """In % of each budget."""
    low_balance: Decimal | None = None
    """In the account's currency."""
    model_levels: tuple[Decimal, ...] = (Decimal(80), Decimal(100))
    """In % of a model's quota or rate limit."""
    forecast_alert: bool = True
    unusual_spend: bool = True
    low_credits: Decimal = Decimal(20)
    """In % of the Token Plan's credits. 0 turns the alert off."""
    expiry_days: int = 7
    """Days before an expiry or the end of a subscription. 0 turns the alert off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """The state of an account that alerts depend on. Kept figures are left out."""

    account_id: str
    account: AccountSnapshot = field(default_factory=AccountSnapshot)
    today: date | None = None
    """In UTC+8. If it is None, no expiry and no end of a subscription is alerted."""
    models: Iterable[ModelUsage] = ()
    """The followed models."""
    models_gone: Collection[str] = ()
    """Models that the account certainly no longer has."""
    trigger_spend_levels: frozenset[Decimal] = frozenset()
    """Spend levels that automations wait for, in %."""
    trigger_model_levels: frozenset[Decimal] = frozenset()
    """Model levels that automations wait for, in %."""
    polled: bool = False
    """Whether the service was polled since the last observation."""
    failure: AlertKind | None = None
    """How the poll failed. None if it did not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """One alert."""

    kind: AlertKind
    alert_id: str
    """The same if an alert is sent again, such as after a power failure."""
    level: Decimal | None = None
    """In %."""
    is_option: bool = True
    """Whether the options have this level. False if only an automation asks for it."""
    spend: Decimal | None = None
    budget: Decimal | None = None
    projected: Decimal | None = None
    usual: Decimal | None = None
    """The usual spend of a whole day of this weekday."""
    balance: Decimal | None = None
    currency: str | None = None
    asset: AssetKind | None = None
    """The kind of the assets that expire."""
    amount: Decimal | None = None
    """The remaining amount of the assets, or the remaining credits of the Token Plan."""
    unit: str | None = None
    """Unit of the amount. None for credits."""
    ends: date | None = None
    """The last day of an asset or a subscription, in UTC+8."""
    model: str | None = None
    group: SpendGroup | None = None
    """The workspace or API key of the spend. None for the account."""
    limit_type: str | None = None
    """Which limit of a model fell: `limit`, `rpm` or `tpm`."""
    limit: Number | None = None
    """The new limit."""
    previous_limit: Number | None = None
    usage_pct: float | None = None
    """Share of the budget or of the model's limit that is used, in %."""
    period: date | None = None
    """The first day of the billing period, week or day of the spend."""
    failure: AlertKind | None = None
    """The failure that ended."""

    def as_dict(self) -> dict[str, Any]:
        """Return the alert as JSON data. Values that do not apply are None.

        Amounts are rounded to two decimals.
        """
        return {
            "level": _number(self.level),
            "spend": _cents(self.spend),
            "budget": _cents(self.budget),
            "projected": _cents(self.projected),
            "usual": _cents(self.usual),
            "balance": _cents(self.balance),
            "currency": self.currency,
            "asset": None if self.asset is None else self.asset.value,
            "amount": _cents(self.amount),
            "unit": self.unit,
            "ends": stored.optional(self.ends, date.isoformat),
            "model": self.model,
            "workspace_id": self._group_id(Dimension.WORKSPACE),
            "api_key_id": self._group_id(Dimension.API_KEY),
            "limit_type": self.limit_type,
            "limit": self.limit,
            "previous_limit": self.previous_limit,
            "usage_pct": self.usage_pct,
            "period": stored.optional(self.period, date.isoformat),
            "failure": None if self.failure is None else self.failure.value,
            "alert_id": self.alert_id,
        }

    def _group_id(self, dimension: Dimension) -> str | None:
        """Return the ID of the alert's group, None if it is of another dimension."""
        if self.group is None or self.group.dimension is not dimension:
            return None
        return self.group.id


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertedLevels:
    """The levels of a budget that were alerted in a day, week or month."""

    start: date
    """First day of the day, week or month, in UTC+8."""
    budget: Decimal
    levels: frozenset[Decimal]
    """In %, with levels that were reached before they were watched."""
    watched: frozenset[Decimal] = frozenset()
    """The levels that the spend of a group was last compared with."""

    def as_dict(self) -> dict[str, Any]:
        """Return the levels as JSON data."""
        return {
            "start": self.start.isoformat(),
            "budget": plain(self.budget),
            "levels": _sorted(self.levels),
            "watched": _sorted(self.watched),
        }

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Return what `as_dict` wrote. Raises `ValueError` or `KeyError`."""
        data = stored.mapping(value)
        return cls(
            start=stored.day(data["start"]),
            budget=stored.amount(data["budget"]),
            levels=_levels(data["levels"]),
            watched=_levels(data["watched"]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenLimit:
    """A limit of a model, as it was seen in the last answers."""

    known: Number | None = None
    """The last value that two answers in a row reported."""
    seen: Number | None = None
    """The value of the last answer, if it differs from `known`."""
    alerted: Number | None = None
    """The lowest value that was alerted."""

    def as_list(self) -> list[Number | None]:
        """Return the limit as JSON data."""
        return [self.known, self.seen, self.alerted]

    @classmethod
    def from_list(cls, value: Any) -> Self:
        """Return the limit that `as_list` wrote. Raises `ValueError`."""
        known, seen, alerted = stored.list_of(
            value, lambda number: stored.optional(number, stored.number)
        )
        return cls(known=known, seen=seen, alerted=alerted)


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertState:
    """Which alerts were sent. Kept across restarts."""

    period: datetime | None = None
    """When the billing period of the spend levels and of the forecast began."""
    budget: Decimal | None = None
    """The user's budget when the spend was last compared with the levels."""
    spend_levels: Mapping[Decimal, bool] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """The levels of this period, and whether each one was alerted or passed."""
    budgets: Mapping[AlertKind, AlertedLevels] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By kind, the levels of the last day or week in which one was alerted."""
    groups: Mapping[str, AlertedLevels] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """The levels of each group that has a budget, by its key."""
    forecast_alerted: bool = False
    unusual_day: date | None = None
    """The last day that was alerted as unusual."""
    low_balances: Mapping[str, Decimal] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By currency, the threshold of each alert that is not re-armed yet."""
    endings: Mapping[str, date] = field(default_factory=lambda: MappingProxyType({}))
    """The last day of each expiry or end that was alerted, by the ID of its alert."""
    credits_alerted: bool = False
    credits_refresh: datetime | None = None
    """The next refresh of the credits, as it was known when they were alerted."""
    model_levels: frozenset[Decimal] | None = None
    """The levels that models were last compared with. None before the first time."""
    models: Mapping[str, frozenset[Decimal]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By model, the levels that were alerted and are not re-armed yet."""
    limits: Mapping[str, Mapping[str, SeenLimit]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """The limits of the followed models, by model and type of limit."""
    failing: AlertKind | None = None
    """How the last poll failed. None if it did not."""
    failures: tuple[AlertKind, ...] = ()
    """The failures that were alerted since the account last worked."""
    rounds: int = 0
    """How often alerts were due. Makes the IDs of repeated alerts different."""

    @property
    def awaits_answer(self) -> bool:
        """Whether the next answer may confirm a limit, even if no figure changes."""
        return any(
            limit.seen is not None
            for limits in self.limits.values()
            for limit in limits.values()
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the state as JSON data."""
        return {
            "period": stored.optional(self.period, datetime.isoformat),
            "budget": stored.optional(self.budget, plain),
            "spend_levels": {
                plain(level): alerted for level, alerted in self.spend_levels.items()
            },
            "budgets": {
                kind.value: alerted.as_dict() for kind, alerted in self.budgets.items()
            },
            "groups": {key: levels.as_dict() for key, levels in self.groups.items()},
            "forecast_alerted": self.forecast_alerted,
            "unusual_day": stored.optional(self.unusual_day, date.isoformat),
            "low_balances": {
                currency: plain(threshold)
                for currency, threshold in self.low_balances.items()
            },
            "endings": {key: day.isoformat() for key, day in self.endings.items()},
            "credits_alerted": self.credits_alerted,
            "credits_refresh": stored.optional(
                self.credits_refresh, datetime.isoformat
            ),
            "model_levels": stored.optional(self.model_levels, _sorted),
            "models": {name: _sorted(levels) for name, levels in self.models.items()},
            "limits": {
                name: {kind: limit.as_list() for kind, limit in limits.items()}
                for name, limits in self.limits.items()
            },
            "failing": self.failing,
            "failures": list(self.failures),
            "rounds": self.rounds,
        }

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Return the state that `as_dict` wrote. Raises `ValueError`."""
        data = stored.mapping(value)
        try:
            return cls(
                period=stored.optional(data["period"], stored.moment),
                budget=stored.optional(data["budget"], stored.amount),
                spend_levels={
                    stored.amount(level): alerted
                    for level, alerted in stored.mapping_of(
                        data["spend_levels"], stored.flag
                    ).items()
                },
                budgets={
                    AlertKind(kind): alerted
                    for kind, alerted in stored.mapping_of(
                        data["budgets"], AlertedLevels.from_dict
                    ).items()
                },
                groups=stored.mapping_of(data["groups"], AlertedLevels.from_dict),
                forecast_alerted=stored.flag(data["forecast_alerted"]),
                unusual_day=stored.optional(data["unusual_day"], stored.day),
                low_balances=stored.mapping_of(data["low_balances"], stored.amount),
                endings=stored.mapping_of(data["endings"], stored.day),
                credits_alerted=stored.flag(data["credits_alerted"]),
                credits_refresh=stored.optional(data["credits_refresh"], stored.moment),
                model_levels=stored.optional(data["model_levels"], _levels),
                models=stored.mapping_of(data["models"], _levels),
                limits=stored.mapping_of(
                    data["limits"],
                    lambda limits: stored.mapping_of(limits, SeenLimit.from_list),
                ),
                failing=stored.optional(data["failing"], AlertKind),
                failures=tuple(stored.list_of(data["failures"], AlertKind)),
                rounds=stored.count(data["rounds"]),
            )
        except KeyError as err:
            raise ValueError("A part of the alerts is missing") from err


type Decision = tuple[AlertState, list[Alert]]
"""The new state, and the alerts to send."""


def new_alert(
    observation: Observation, kind: AlertKind, occasion: str | int, **values: Any
) -> Alert:
    """Return an alert. Its ID is unique among the account, kind, occasion and values."""
    level, period = values.get("level"), values.get("period")
    names = (
        observation.account_id,
        kind.value,
        occasion,
        None if level is None else plain(level),
        values.get("model"),
        None if period is None else period.isoformat(),
    )
    alert_id = sha256(repr(names).encode()).hexdigest()[:32]
    return Alert(kind=kind, alert_id=alert_id, **values)


def plain(number: Decimal) -> str:
    """Return the exact number without an exponent or trailing zeros."""
    return f"{number.normalize():f}"


def _sorted(levels: frozenset[Decimal]) -> list[str]:
    """Return levels as JSON data."""
    return [plain(level) for level in sorted(levels)]


def _levels(value: Any) -> frozenset[Decimal]:
    """Return the levels that `_sorted` wrote."""
    return frozenset(stored.list_of(value, stored.amount))


def _cents(amount: Decimal | None) -> float | None:
    """Return an amount as JSON data, rounded to two decimals."""
    return None if amount is None else float(round(amount, 2))


def _number(number: Decimal | None) -> int | float | None:
    """Return a number as JSON data. A whole number is an integer."""
    if number is None:
        return None
    return int(number) if number == number.to_integral_value() else float(number)
