"""Which alerts are due. Pure: `decide` turns what was alerted and what is seen into both.

A spend level is alerted once per billing period, whatever the budget or the spend do
later. A model's level is alerted again once its use has fallen well below it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Self

from ..model_studio.models import AccountSnapshot, ModelUsage, Money, Spend
from . import stored

BALANCE_REARM = Decimal("1.1")
"""A low balance is alerted again once it exceeded the threshold by this factor."""
MODEL_REARM = 10
"""A model's level is armed again once the use fell this many points below it."""
CENT = Decimal("0.01")


class AlertKind(StrEnum):
    """What an alert is about."""

    SPEND_LEVEL = "spend_level"
    FORECAST_OVER_BUDGET = "forecast_over_budget"
    BALANCE_LOW = "balance_low"
    MODEL_LEVEL = "model_level"
    RATE_LIMITED = "rate_limited"
    API_KEY_REJECTED = "api_key_rejected"
    ACCOUNT_UNAVAILABLE = "account_unavailable"
    RECOVERED = "recovered"


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertOptions:
    """What the user wants to be alerted of."""

    monthly_budget: Decimal | None = None
    """In the account's currency. None: the service's spend limit is the budget."""
    spend_levels: tuple[Decimal, ...] = (Decimal(50), Decimal(80), Decimal(100))
    """In % of the budget."""
    low_balance: Decimal | None = None
    """In the account's currency."""
    model_levels: tuple[Decimal, ...] = (Decimal(80), Decimal(100))
    """In % of a model's limit."""
    forecast_alert: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What is seen of an account: figures that were read now, none that are kept."""

    account_id: str
    account: AccountSnapshot = field(default_factory=AccountSnapshot)
    models: Iterable[ModelUsage] = ()
    """The followed models."""
    models_gone: Collection[str] = ()
    """Models that the account is known to have no longer."""
    trigger_spend_levels: frozenset[Decimal] = frozenset()
    """Levels of the spend that automations wait for, in %."""
    trigger_model_levels: frozenset[Decimal] = frozenset()
    """Levels of the models' use that automations wait for, in %."""
    polled: bool = False
    """Whether the service was asked since the last observation."""
    failure: AlertKind | None = None
    """How it failed, if it did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """One alert."""

    kind: AlertKind
    alert_id: str
    """Stays the same if the same alert is sent again, such as after a power loss."""
    level: Decimal | None = None
    """In %."""
    is_option: bool = True
    """Whether the options have this level, rather than an automation alone."""
    spend: Decimal | None = None
    budget: Decimal | None = None
    projected: Decimal | None = None
    balance: Decimal | None = None
    currency: str | None = None
    model: str | None = None
    usage_pct: float | None = None
    """Share of the budget or of the model's limit, in %."""
    period: date | None = None
    """The first day of the billing period."""
    failure: AlertKind | None = None
    """What the account has recovered from."""

    def as_dict(self) -> dict[str, Any]:
        """Return the alert for JSON, None for what does not apply to it.

        Amounts have two decimals.
        """
        return {
            "level": _number(self.level),
            "spend": _cents(self.spend),
            "budget": _cents(self.budget),
            "projected": _cents(self.projected),
            "balance": _cents(self.balance),
            "currency": self.currency,
            "model": self.model,
            "usage_pct": self.usage_pct,
            "period": self.period and self.period.isoformat(),
            "failure": self.failure and self.failure.value,
            "alert_id": self.alert_id,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertState:
    """What was alerted."""

    period: datetime | None = None
    """When the period began that the spend levels and the forecast are of."""
    budget: Decimal | None = None
    """The user's budget that the spend levels were compared with."""
    spend_levels: Mapping[Decimal, bool] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """The levels that are watched, and whether each was alerted in the period."""
    forecast_alerted: bool = False
    low_balances: Mapping[str, Decimal] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By currency, the threshold of a low balance that was alerted and is not over."""
    model_levels: frozenset[Decimal] | None = None
    """The levels that are watched; None before the first observation."""
    models: Mapping[str, frozenset[Decimal]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By model, the levels that were alerted and are not armed again."""
    failing: AlertKind | None = None
    """How the last poll failed, if it did."""
    failures: tuple[AlertKind, ...] = ()
    """Those that were alerted since the account last worked."""
    rounds: int = 0
    """How often alerts were due. It tells one occasion from the next."""

    def as_dict(self) -> dict[str, Any]:
        """Return the state for JSON."""
        return {
            "period": self.period and self.period.isoformat(),
            "budget": _text(self.budget),
            "spend_levels": {
                str(_text(level)): alerted
                for level, alerted in self.spend_levels.items()
            },
            "forecast_alerted": self.forecast_alerted,
            "low_balances": {
                currency: _text(threshold)
                for currency, threshold in self.low_balances.items()
            },
            "model_levels": None
            if self.model_levels is None
            else [_text(level) for level in sorted(self.model_levels)],
            "models": {
                name: [_text(level) for level in sorted(levels)]
                for name, levels in self.models.items()
            },
            "failing": self.failing,
            "failures": list(self.failures),
            "rounds": self.rounds,
        }

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Return the state that `as_dict` wrote. Raises `ValueError` for anything else."""
        known = stored.mapping(value)
        try:
            return cls(
                period=stored.optional(known["period"], stored.moment),
                budget=stored.optional(known["budget"], stored.amount),
                spend_levels={
                    stored.amount(level): alerted
                    for level, alerted in stored.mapping_of(
                        known["spend_levels"], stored.flag
                    ).items()
                },
                forecast_alerted=stored.flag(known["forecast_alerted"]),
                low_balances=stored.mapping_of(known["low_balances"], stored.amount),
                model_levels=stored.optional(known["model_levels"], _levels),
                models=stored.mapping_of(known["models"], _levels),
                failing=stored.optional(known["failing"], AlertKind),
                failures=tuple(stored.list_of(known["failures"], AlertKind)),
                rounds=stored.count(known["rounds"]),
            )
        except KeyError as err:
            raise ValueError("A part of the alerts is missing") from err


def _levels(value: Any) -> frozenset[Decimal]:
    """Return stored levels."""
    return frozenset(stored.list_of(value, stored.amount))


type Verdict = tuple[AlertState, list[Alert]]
"""What is alerted from now on, and what is to be sent."""


def reaches(account: AccountSnapshot, level: Decimal) -> bool:
    """Return whether the monthly spend is at or above a level of the budget, in %."""
    spend, budget = account.monthly_spend, _budget(account)
    return bool(spend and budget and spend.amount * 100 >= level * budget.amount)


def decide(state: AlertState, seen: Observation, options: AlertOptions) -> Verdict:
    """Return what is alerted from now on, and the alerts to send.

    What is unknown changes nothing. Until the returned state is stored, the same
    observation leads to the same alerts with the same ids.
    """
    alerts: list[Alert] = []
    before = state
    for judge in (_spend, _forecast, _balance, _models, _failures):
        state, more = judge(state, seen, options)
        alerts += more
    if alerts:
        state = replace(state, rounds=before.rounds + 1)
    return state, alerts


def _spend(state: AlertState, seen: Observation, options: AlertOptions) -> Verdict:
    """Alert each level that the spend has reached, once per period."""
    chosen = {*options.spend_levels}
    wanted = chosen | seen.trigger_spend_levels
    spend, budget = seen.account.monthly_spend, _budget(seen.account)
    if not isinstance(spend, Spend) or _is_earlier(spend, state):
        return state, []
    if state.period is None or spend.since > state.period:
        # Levels that nobody waits for any longer are dropped with their period.
        levels = {
            level: False
            for level in wanted
            if state.period is None or level in state.spend_levels
        }
        state = replace(
            state, period=spend.since, spend_levels=levels, forecast_alerted=False
        )
    if budget is None:
        return state, []
    levels = dict(state.spend_levels)
    if options.monthly_budget != state.budget:
        # With another budget of the user's, a level that is not reached is news again.
        levels = {
            level: alerted and reaches(seen.account, level)
            for level, alerted in levels.items()
        }
    for level in levels.keys() - wanted:
        # What is passed while nobody waits for it is no news to those who do later.
        levels[level] = levels[level] or reaches(seen.account, level)
    alerts = []
    for level in sorted(wanted):
        reached = reaches(seen.account, level)
        if level not in levels:
            # It was passed before anyone asked for it.
            levels[level] = reached
        elif reached and not levels[level]:
            levels[level] = True
            alerts.append(
                _alert(
                    seen,
                    AlertKind.SPEND_LEVEL,
                    f"{_text(budget.amount)} {budget.currency}"
                    if options.monthly_budget
                    else "",
                    level=level,
                    is_option=level in chosen,
                    spend=spend.amount,
                    budget=budget.amount,
                    currency=budget.currency,
                    usage_pct=seen.account.outlook.usage_pct,
                    period=spend.start,
                )
            )
    return replace(state, spend_levels=levels, budget=options.monthly_budget), alerts


def _is_earlier(spend: Spend, state: AlertState) -> bool:
    """Return whether a spend is of a period before the one that is known."""
    return state.period is not None and spend.since < state.period


def _forecast(state: AlertState, seen: Observation, options: AlertOptions) -> Verdict:
    """Alert once per period that the budget will be exceeded, before it is."""
    spend, budget = seen.account.monthly_spend, _budget(seen.account)
    projected = seen.account.outlook.projected
    if (
        not isinstance(spend, Spend)
        or budget is None
        or projected is None
        or not options.forecast_alert
        or _is_earlier(spend, state)
    ):
        return state, []
    over = projected.amount > budget.amount > spend.amount
    if state.forecast_alerted or not over:
        return state, []
    alert = _alert(
        seen,
        AlertKind.FORECAST_OVER_BUDGET,
        "",
        spend=spend.amount,
        budget=budget.amount,
        projected=projected.amount,
        currency=budget.currency,
        period=spend.start,
    )
    return replace(state, forecast_alerted=True), [alert]


def _balance(state: AlertState, seen: Observation, options: AlertOptions) -> Verdict:
    """Alert a balance that fell to the threshold."""
    threshold, balance = options.low_balance, seen.account.available_balance
    if balance is None:
        return state, []
    low = dict(state.low_balances)
    if (alerted := low.get(balance.currency)) is not None:
        if balance.amount < (threshold or alerted) * BALANCE_REARM:
            return state, []
        del low[balance.currency]
        state = replace(state, low_balances=low)
    if threshold is None or balance.amount > threshold:
        return state, []
    alert = _alert(
        seen,
        AlertKind.BALANCE_LOW,
        state.rounds,
        balance=balance.amount,
        currency=balance.currency,
    )
    low = {**low, balance.currency: threshold}
    return replace(state, low_balances=low), [alert]


def _models(state: AlertState, seen: Observation, options: AlertOptions) -> Verdict:
    """Alert each level that a model's use has reached, if it is armed."""
    chosen = {*options.model_levels}
    wanted = frozenset(chosen | seen.trigger_model_levels)
    watched = wanted if state.model_levels is None else state.model_levels
    alerted = {
        name: levels
        for name, levels in state.models.items()
        if name not in seen.models_gone
    }
    alerts = []
    for model in seen.models:
        if model.level_pct is None:
            continue
        usage = Decimal(str(model.level_pct))
        # A level that nobody waits for any longer counts as alerted until it is armed.
        before = {
            level
            for level in alerted.get(model.name, frozenset())
            if usage > _rearm(level)
        }
        reached = {level for level in wanted if usage >= level}
        alerts += [
            _alert(
                seen,
                AlertKind.MODEL_LEVEL,
                state.rounds,
                level=level,
                is_option=level in chosen,
                model=model.name,
                usage_pct=model.level_pct,
            )
            for level in sorted((reached & watched) - before)
        ]
        if levels := frozenset(reached | before):
            alerted[model.name] = levels
        else:
            alerted.pop(model.name, None)
    if wanted != state.model_levels or alerted != state.models:
        state = replace(state, model_levels=wanted, models=alerted)
    return state, alerts


def _rearm(level: Decimal) -> Decimal:
    """Return the use in % at which a model's level is armed again."""
    return max(level - MODEL_REARM, level / 2)


def _failures(state: AlertState, seen: Observation, _: AlertOptions) -> Verdict:
    """Alert a service that fails twice in a row, and its recovery."""
    if not seen.polled:
        return state, []
    if (failure := seen.failure) is None:
        if state.failing is None and not state.failures:
            return state, []
        return replace(state, failing=None, failures=()), [
            _alert(
                seen, AlertKind.RECOVERED, f"{state.rounds} {past.value}", failure=past
            )
            for past in state.failures
        ]
    failing = replace(state, failing=failure)
    # While one failure is alerted, another one has to last as well.
    if (
        state.failing is None
        or failure in state.failures
        or (state.failures and failure is not state.failing)
    ):
        return failing, []
    return (
        replace(failing, failures=(*state.failures, failure)),
        [_alert(seen, failure, state.rounds)],
    )


def _alert(
    seen: Observation, kind: AlertKind, occasion: str | int, **what: Any
) -> Alert:
    """Return an alert, with an id that tells it from any other."""
    period = what.get("period")
    names = (
        seen.account_id,
        kind.value,
        occasion,
        _text(what.get("level")),
        what.get("model"),
        period and period.isoformat(),
    )
    return Alert(
        kind=kind, alert_id=sha256(repr(names).encode()).hexdigest()[:32], **what
    )


def _budget(account: AccountSnapshot) -> Money | None:
    """Return the budget, if it is in the currency of the spend."""
    outlook = account.outlook
    return outlook.budget if outlook.remaining else None


def _cents(amount: Decimal | None) -> float | None:
    """Return an amount as it is billed, with two decimals."""
    return None if amount is None else float(round(amount, 2))


def _text(number: Decimal | None) -> str | None:
    """Return a number as JSON keeps it exactly."""
    return None if number is None else f"{number.normalize():f}"


def _number(number: Decimal | None) -> int | float | None:
    """Return a number for JSON, whole where it is."""
    if number is None:
        return None
    return int(number) if number == number.to_integral_value() else float(number)
