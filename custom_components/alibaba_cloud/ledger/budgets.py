"""Decides the alerts of the daily and the weekly budget. No I/O."""

from dataclasses import replace

from ..model_studio.models import Spend
from .alerts import (
    AlertedLevels,
    AlertKind,
    AlertOptions,
    AlertState,
    Decision,
    Observation,
    new_alert,
)


def judge_budgets(
    state: AlertState, observation: Observation, options: AlertOptions
) -> Decision:
    """Alert each spend level of the daily and weekly budget, once per day or week."""
    account = observation.account
    alerts = []
    for kind, spend, budget in (
        (AlertKind.DAILY_BUDGET, account.daily_spend, options.daily_budget),
        (AlertKind.WEEKLY_BUDGET, account.outlook.weekly_spend, options.weekly_budget),
    ):
        if budget is None or not isinstance(spend, Spend):
            continue
        last = state.budgets.get(kind)
        if last is not None and spend.since < last.since:
            continue
        is_same = last is not None and spend.since == last.since
        alerted = last.levels if last and is_same else frozenset()
        share = spend.amount * 100 / budget
        due = [
            level
            for level in sorted(set(options.spend_levels) - alerted)
            if share >= level
        ]
        if not due:
            continue
        alerts += [
            new_alert(
                observation,
                kind,
                "",
                level=level,
                spend=spend.amount,
                budget=budget,
                currency=spend.currency,
                usage_pct=round(float(share), 4),
                period=spend.start,
            )
            for level in due
        ]
        reached = AlertedLevels(since=spend.since, levels=alerted.union(due))
        state = replace(state, budgets={**state.budgets, kind: reached})
    return state, alerts
