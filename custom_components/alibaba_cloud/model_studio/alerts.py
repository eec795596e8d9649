"""What is worth an alert: once, and not again before it is armed anew. No I/O.

`decide` is all of it: of what was alerted before and what is seen now it makes what is
alerted from now on, and the alerts to send.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Self

from .models import AccountSnapshot, ModelUsage, Money

BALANCE_REARM = Decimal("1.1")
"""The balance has to rise to so many times the threshold before it can be low again."""
_SHORTEST = timedelta(days=28)
"""No billing period is shorter."""
_LATE = timedelta(days=3)
"""By so much the day on which a period seems to begin may be off."""
MODEL_REARM = 10
"""Points that a model's use has to fall below a level before it can reach it again."""

type ByBudget[T] = tuple[tuple[str, T], ...]
"""Something for each budget there was in a period; the one that holds comes last."""


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
    """What the user wants to be told."""

    monthly_budget: Decimal | None = None
    """In the account's currency; without one, the service's spend limit stands in."""
    spend_levels: tuple[Decimal, ...] = (Decimal(50), Decimal(80), Decimal(100))
    """In % of the budget."""
    low_balance: Decimal | None = None
    """In the account's currency."""
    model_levels: tuple[Decimal, ...] = (Decimal(80), Decimal(100))
    """In % of a model's limit."""
    forecast_alert: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What is seen of an account: figures that were read, none that are kept or restored."""

    account_id: str
    account: AccountSnapshot = field(default_factory=AccountSnapshot)
    models: Iterable[ModelUsage] = ()
    """Those that may have changed."""
    period: date | None = None
    """When the period of the monthly spend began, None where that is not known."""
    today: date
    """In the billing time zone."""
    polled: bool = False
    """Whether the service was asked since the last time."""
    failure: AlertKind | None = None
    """How it failed, if it did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """Something to be told."""

    kind: AlertKind
    alert_id: str
    """The same for the same event, should it be told twice."""
    level: Decimal | None = None
    """In %."""
    spend: Decimal | None = None
    budget: Decimal | None = None
    projected: Decimal | None = None
    balance: Decimal | None = None
    currency: str | None = None
    model: str | None = None
    usage_pct: float | None = None
    period: date | None = None
    failure: AlertKind | None = None
    """What an account has recovered from."""

    def as_dict(self) -> dict[str, Any]:
        """Return what it says, as JSON has it; what does not apply is None."""
        return {
            "level": _number(self.level),
            "spend": _number(self.spend),
            "budget": _number(self.budget),
            "projected": _number(self.projected),
            "balance": _number(self.balance),
            "currency": self.currency,
            "model": self.model,
            "usage_pct": self.usage_pct,
            "period": self.period.isoformat() if self.period else None,
            "failure": self.failure.value if self.failure else None,
            "alert_id": self.alert_id,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelAlerts:
    """What was alerted of a model."""

    levels: frozenset[Decimal] = frozenset()
    """Those that are not armed."""
    sent: int = 0


_NO_ALERTS = ModelAlerts()


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertState:
    """What was alerted before."""

    period: date | None = None
    """The billing period that `levels` and `forecasts` are of."""
    levels: ByBudget[Decimal | None] = ()
    """The highest level that was alerted."""
    forecasts: ByBudget[bool] = ()
    """Whether the forecast was."""
    low_balances: Mapping[str, Decimal] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By currency, the threshold that a balance was alerted for, until it has risen.

    A source in another currency says nothing of it.
    """
    balances_sent: int = 0
    models: Mapping[str, ModelAlerts] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By name."""
    failing: AlertKind | None = None
    """How the last poll failed, if it did."""
    failures: tuple[AlertKind, ...] = ()
    """Those that were alerted since it worked last."""
    failures_sent: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the state as JSON has it."""
        return {
            "period": self.period.isoformat() if self.period else None,
            "levels": [[budget, _text(level)] for budget, level in self.levels],
            "forecasts": [list(forecast) for forecast in self.forecasts],
            "low_balances": {
                currency: _text(threshold)
                for currency, threshold in self.low_balances.items()
            },
            "balances_sent": self.balances_sent,
            "models": {
                name: [[_text(level) for level in sorted(model.levels)], model.sent]
                for name, model in self.models.items()
            },
            "failing": self.failing,
            "failures": list(self.failures),
            "failures_sent": self.failures_sent,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return the state that `as_dict` made this of."""
        return cls(
            period=date.fromisoformat(stored["period"]) if stored["period"] else None,
            levels=tuple((budget, _level(level)) for budget, level in stored["levels"]),
            forecasts=tuple((budget, sent) for budget, sent in stored["forecasts"]),
            low_balances={
                currency: Decimal(threshold)
                for currency, threshold in stored["low_balances"].items()
            },
            balances_sent=stored["balances_sent"],
            models={
                name: ModelAlerts(levels=frozenset(map(Decimal, levels)), sent=sent)
                for name, (levels, sent) in stored["models"].items()
            },
            failing=AlertKind(stored["failing"]) if stored["failing"] else None,
            failures=tuple(map(AlertKind, stored["failures"])),
            failures_sent=stored["failures_sent"],
        )


def reaches(account: AccountSnapshot, level: Decimal) -> bool:
    """Return whether the monthly spend is at or above a level of the budget, in %."""
    spend, budget = account.monthly_spend, _budget(account)
    return bool(spend and budget and spend.amount * 100 >= level * budget.amount)


type Verdict = tuple[AlertState, list[Alert]]
"""What is alerted from now on, and what is to be sent."""


def decide(state: AlertState, seen: Observation, options: AlertOptions) -> Verdict:
    """Return what is alerted from now on, and the alerts to send.

    What is unknown changes nothing. Until the state it returns is kept, the same
    observation leads to the same alerts, with the same ids.
    """
    alerts: list[Alert] = []
    for judge in (_spend, _forecast, _balance, _models, _failures):
        state, more = judge(state, seen, options)
        alerts += more
    return state, alerts


def _spend(state: AlertState, seen: Observation, options: AlertOptions) -> Verdict:
    """Alert the highest level that the spend has reached, if that is a new one."""
    spend, budget = seen.account.monthly_spend, _budget(seen.account)
    if spend is None or seen.period is None:
        return state, []
    if _is_of_another(seen, state.period):
        return state, []
    if _begins_anew(seen, state.period):
        state = replace(state, period=seen.period, levels=(), forecasts=())
    if budget is None:
        return state, []
    reached = [level for level in options.spend_levels if reaches(seen.account, level)]
    key, known = _key(budget), dict(state.levels)
    sent = known.get(key)
    if key not in known and known and (before := state.levels[-1][1]) is not None:
        # What was alerted for another budget and is reached still is no news.
        sent = max((level for level in reached if level <= before), default=None)
    alerts = []
    top = max(reached, default=None)
    if top is not None and (sent is None or top > sent):
        sent = top
        alerts.append(
            _alert(
                seen,
                AlertKind.SPEND_LEVEL,
                key,
                level=top,
                spend=spend.amount,
                budget=budget.amount,
                currency=budget.currency,
                period=state.period,
            )
        )
    return replace(state, levels=_with_last(known, key, sent)), alerts


def _forecast(state: AlertState, seen: Observation, options: AlertOptions) -> Verdict:
    """Alert that the budget is going to be exceeded, while it is not yet."""
    spend, budget = seen.account.monthly_spend, _budget(seen.account)
    projected = seen.account.outlook.projected
    if not (
        options.forecast_alert and spend and budget and projected and seen.period
    ) or _is_of_another(seen, state.period):
        return state, []
    over = projected.amount > budget.amount > spend.amount
    key, known = _key(budget), dict(state.forecasts)
    sent = known.get(key, False)
    if key not in known and known:
        # What was alerted for another budget and still holds is no news.
        sent = over and state.forecasts[-1][1]
    alerts = []
    if over and not sent:
        sent = True
        alerts.append(
            _alert(
                seen,
                AlertKind.FORECAST_OVER_BUDGET,
                key,
                spend=spend.amount,
                budget=budget.amount,
                projected=projected.amount,
                currency=budget.currency,
                period=state.period,
            )
        )
    return replace(state, forecasts=_with_last(known, key, sent)), alerts


def _balance(state: AlertState, seen: Observation, options: AlertOptions) -> Verdict:
    """Alert a balance that has come down to the threshold."""
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
    number = state.balances_sent + 1
    alert = _alert(
        seen,
        AlertKind.BALANCE_LOW,
        number,
        balance=balance.amount,
        currency=balance.currency,
    )
    low = {**low, balance.currency: threshold}
    state = replace(state, low_balances=low, balances_sent=number)
    return state, [alert]


def _models(state: AlertState, seen: Observation, options: AlertOptions) -> Verdict:
    """Alert the highest level that each model's use has reached, if that is armed."""
    changed: dict[str, ModelAlerts] = {}
    alerts = []
    for model in seen.models:
        if model.level_pct is None:
            continue
        usage = Decimal(str(model.level_pct))
        before = state.models.get(model.name, _NO_ALERTS)
        kept = {level for level in before.levels if usage > level - MODEL_REARM}
        reached = {level for level in options.model_levels if usage >= level}
        top, number = max(reached | kept, default=None), before.sent
        if top is not None and top not in kept:
            number += 1
            alerts.append(
                _alert(
                    seen,
                    AlertKind.MODEL_LEVEL,
                    number,
                    level=top,
                    model=model.name,
                    usage_pct=model.level_pct,
                )
            )
        after = ModelAlerts(levels=frozenset(reached | kept), sent=number)
        if after != before:
            changed[model.name] = after
    if changed:
        state = replace(state, models={**state.models, **changed})
    return state, alerts


def _failures(state: AlertState, seen: Observation, _: AlertOptions) -> Verdict:
    """Alert a service that fails twice in a row, and once it has recovered."""
    if not seen.polled:
        return state, []
    number = state.failures_sent
    if (failure := seen.failure) is None:
        return replace(state, failing=None, failures=()), [
            _alert(seen, AlertKind.RECOVERED, f"{number} {past.value}", failure=past)
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
    number += 1
    return (
        replace(failing, failures=(*state.failures, failure), failures_sent=number),
        [_alert(seen, failure, number)],
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


def _key(budget: Money) -> str:
    """Return what names a budget."""
    return f"{_text(budget.amount)} {budget.currency}"


def _is_of_another(seen: Observation, known: date | None) -> bool:
    """Return whether what is seen is of a period that is not to be judged.

    That is one before the one that is known, where a source is late; or one that begins
    in its midst, as the calendar's month does that another source reckons with.
    """
    if _begins_anew(seen, known):
        return False
    assert seen.period and known
    return _month(seen.period) != _month(known)


def _begins_anew(seen: Observation, known: date | None) -> bool:
    """Return whether what is seen is of a new period.

    Within a month, a period may seem to begin when a figure is revised.
    """
    assert seen.period
    if known is None or known > seen.today:
        # Such a one was never seen but by a clock that was wrong.
        return True
    same_month = _month(seen.period) == _month(known)
    return seen.period - known >= (_SHORTEST if same_month else _SHORTEST - _LATE)


def _month(day: date) -> tuple[int, int]:
    """Return the month."""
    return day.year, day.month


def _with_last[T](known: Mapping[str, T], key: str, value: T) -> ByBudget[T]:
    """Return what is known of budgets, with the one that holds now."""
    return (*((k, v) for k, v in known.items() if k != key), (key, value))


def _text(number: Decimal | None) -> str | None:
    """Return a number as JSON keeps it exactly."""
    return None if number is None else f"{number.normalize():f}"


def _level(text: str | None) -> Decimal | None:
    """Return the number that `_text` made this of."""
    return None if text is None else Decimal(text)


def _number(number: Decimal | None) -> int | float | None:
    """Return a number as JSON has it, whole where it is."""
    if number is None:
        return None
    return int(number) if number == number.to_integral_value() else float(number)
