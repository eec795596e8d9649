"""Decides which alerts are due.

A spend level is alerted once per billing period, whatever the budget or the spend do
later. A model's level is alerted again once its use was well below it.
"""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from ..model_studio.models import AccountSnapshot, Money, Spend
from .alerts import (
    Alert,
    AlertKind,
    AlertOptions,
    AlertState,
    Decision,
    Observation,
    new_alert,
    plain,
)
from .budgets import judge_budgets, judge_groups
from .limit_alerts import judge_limits
from .prepaid_alerts import judge_credits, judge_endings
from .unusual import judge_unusual

BALANCE_REARM = Decimal("1.1")
"""A low balance is re-armed once it exceeds the threshold by this factor."""
MODEL_REARM = 10
"""A model's level is re-armed once the use is this many points below it."""


def reaches(account: AccountSnapshot, level: Decimal) -> bool:
    """Return whether the monthly spend is at or above a level of the budget, in %."""
    spend, budget = account.monthly_spend, _comparable_budget(account)
    if spend is None or budget is None:
        return False
    return spend.amount * 100 >= level * budget.amount


def decide(
    state: AlertState, observation: Observation, options: AlertOptions
) -> Decision:
    """Return the new state and the alerts to send.

    An unknown figure changes nothing. Until the new state is stored, the same observation
    returns the same alerts with the same IDs.
    """
    alerts: list[Alert] = []
    rounds = state.rounds
    for judge in (
        _spend,
        judge_budgets,
        judge_groups,
        _forecast,
        judge_unusual,
        _balance,
        judge_endings,
        judge_credits,
        _models,
        judge_limits,
        _failures,
    ):
        state, due = judge(state, observation, options)
        alerts += due
    if alerts:
        state = replace(state, rounds=rounds + 1)
    return state, alerts


def _spend(
    state: AlertState, observation: Observation, options: AlertOptions
) -> Decision:
    """Alert each level that the spend reaches, once per period."""
    account = observation.account
    spend, budget = account.monthly_spend, _comparable_budget(account)
    if not isinstance(spend, Spend) or _is_of_past_period(spend, state):
        return state, []
    watched = {*options.spend_levels, *observation.trigger_spend_levels}
    if state.period is None or spend.since > state.period:
        state = _with_new_period(state, spend, watched)
    if budget is None:
        return state, []
    levels = _levels_before(state, account, options, watched)
    due = [
        level
        for level in sorted(watched)
        if not levels[level] and reaches(account, level)
    ]
    # Under each budget of the user's, a level is another alert.
    occasion = ""
    if options.monthly_budget is not None:
        occasion = f"{plain(budget.amount)} {budget.currency}"
    alerts = [
        new_alert(
            observation,
            AlertKind.SPEND_LEVEL,
            occasion,
            level=level,
            is_option=level in options.spend_levels,
            spend=spend.amount,
            budget=budget.amount,
            currency=budget.currency,
            usage_pct=account.outlook.usage_pct,
            period=spend.start,
        )
        for level in due
    ]
    levels |= dict.fromkeys(due, True)
    return replace(state, spend_levels=levels, budget=options.monthly_budget), alerts


def _is_of_past_period(spend: Spend, state: AlertState) -> bool:
    """Return whether a spend belongs to an earlier period than the state."""
    return state.period is not None and spend.since < state.period


def _with_new_period(
    state: AlertState, spend: Spend, watched: Iterable[Decimal]
) -> AlertState:
    """Return the state at the start of the period that a spend belongs to.

    Levels that are no longer watched are dropped. A level that was not watched before is
    left out: it may be passed already.
    """
    levels = {
        level: False
        for level in sorted(watched)
        if state.period is None or level in state.spend_levels
    }
    return replace(
        state, period=spend.since, spend_levels=levels, forecast_alerted=False
    )


def _levels_before(
    state: AlertState,
    account: AccountSnapshot,
    options: AlertOptions,
    watched: set[Decimal],
) -> dict[Decimal, bool]:
    """Return whether each level was alerted or passed before this observation."""
    levels = dict(state.spend_levels)
    if options.monthly_budget != state.budget:
        # A new budget of the user's re-arms the levels that are not reached under it.
        # The same form has the levels: those that are new with the budget are armed.
        levels = dict.fromkeys(options.spend_levels, False) | {
            level: alerted and reaches(account, level)
            for level, alerted in levels.items()
        }
    unwatched = [level for level in levels if level not in watched]
    new = [level for level in sorted(watched) if level not in levels]
    # No alert is due for a level that is passed while it is not watched.
    for level in (*unwatched, *new):
        levels[level] = levels.get(level, False) or reaches(account, level)
    return levels


def _forecast(
    state: AlertState, observation: Observation, options: AlertOptions
) -> Decision:
    """Alert once per period that the budget will be exceeded, before it is."""
    account = observation.account
    spend, budget = account.monthly_spend, _comparable_budget(account)
    projected = account.outlook.projected
    if not isinstance(spend, Spend) or budget is None or projected is None:
        return state, []
    if not options.forecast_alert or state.forecast_alerted:
        return state, []
    if _is_of_past_period(spend, state):
        return state, []
    if spend.amount >= budget.amount or projected.amount <= budget.amount:
        return state, []
    alert = new_alert(
        observation,
        AlertKind.FORECAST_OVER_BUDGET,
        "",
        spend=spend.amount,
        budget=budget.amount,
        projected=projected.amount,
        currency=budget.currency,
        period=spend.start,
    )
    return replace(state, forecast_alerted=True), [alert]


def _balance(
    state: AlertState, observation: Observation, options: AlertOptions
) -> Decision:
    """Alert a balance that is at or below the threshold, once until it is re-armed."""
    threshold, balance = options.low_balance, observation.account.available_balance
    if balance is None:
        return state, []
    low = dict(state.low_balances)
    alerted = low.get(balance.currency)
    if alerted is not None:
        level = alerted if threshold is None else threshold
        if balance.amount < level * BALANCE_REARM:
            return state, []
        del low[balance.currency]
        state = replace(state, low_balances=low)
    if threshold is None or balance.amount > threshold:
        return state, []
    alert = new_alert(
        observation,
        AlertKind.BALANCE_LOW,
        state.rounds,
        balance=balance.amount,
        currency=balance.currency,
    )
    low = {**low, balance.currency: threshold}
    return replace(state, low_balances=low), [alert]


def _models(
    state: AlertState, observation: Observation, options: AlertOptions
) -> Decision:
    """Alert each armed level that a model's use reaches."""
    watched = frozenset(options.model_levels) | observation.trigger_model_levels
    # A new level that is passed already is not alerted before it is re-armed.
    alertable = watched if state.model_levels is None else watched & state.model_levels
    models = {
        name: levels
        for name, levels in state.models.items()
        if name not in observation.models_gone
    }
    alerts = []
    compared = state.model_levels
    lowest = float(min(watched, default=Decimal("Infinity")))
    for model in observation.models:
        if (level_pct := model.level_pct) is None:
            continue
        compared = watched
        if level_pct < lowest and model.name not in models:
            continue
        usage = Decimal(str(level_pct))
        alerted = frozenset(
            level
            for level in models.pop(model.name, frozenset())
            if usage > _rearm_below(level)
        )
        reached = frozenset(level for level in watched if usage >= level)
        alerts += [
            new_alert(
                observation,
                AlertKind.MODEL_LEVEL,
                state.rounds,
                level=level,
                is_option=level in options.model_levels,
                model=model.name,
                usage_pct=level_pct,
            )
            for level in sorted((reached & alertable) - alerted)
        ]
        # A level that is no longer watched stays alerted until it is re-armed.
        if reached or alerted:
            models[model.name] = reached | alerted
    if compared != state.model_levels or models != state.models:
        state = replace(state, model_levels=compared, models=models)
    return state, alerts


def _rearm_below(level: Decimal) -> Decimal:
    """Return the use, in %, at or below which a model's level is re-armed."""
    return max(level - MODEL_REARM, level / 2)


def _failures(state: AlertState, observation: Observation, _: AlertOptions) -> Decision:
    """Alert a failure of two polls in a row, and the recovery from it."""
    if not observation.polled:
        return state, []
    failure = observation.failure
    if failure is None:
        return _recovered(state, observation)
    is_first = state.failing is None
    # If another failure was alerted, this one must last for two polls as well.
    is_other = len(state.failures) > 0 and failure != state.failing
    is_alerted = failure in state.failures
    state = replace(state, failing=failure)
    if is_first or is_other or is_alerted:
        return state, []
    alert = new_alert(observation, failure, state.rounds)
    return replace(state, failures=(*state.failures, failure)), [alert]


def _recovered(state: AlertState, observation: Observation) -> Decision:
    """Alert the recovery from each failure that was alerted."""
    if state.failing is None and not state.failures:
        return state, []
    alerts = [
        new_alert(
            observation,
            AlertKind.RECOVERED,
            f"{state.rounds} {failure.value}",
            failure=failure,
        )
        for failure in state.failures
    ]
    return replace(state, failing=None, failures=()), alerts


def _comparable_budget(account: AccountSnapshot) -> Money | None:
    """Return the budget. None if it is unknown or in another currency than the spend."""
    outlook = account.outlook
    return None if outlook.remaining is None else outlook.budget
