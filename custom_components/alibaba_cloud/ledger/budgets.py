"""Decides the alerts of daily and weekly budgets, and of budgets of groups. No I/O."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from decimal import Decimal

from ..model_studio.groups import SpendGroup
from ..model_studio.models import GroupFigures, Money, Spend
from .alerts import (
    Alert,
    AlertedLevels,
    AlertKind,
    AlertOptions,
    AlertState,
    Decision,
    Observation,
    new_alert,
    plain,
)


def group_reaches(
    figures: GroupFigures | None, budget: Decimal, level: Decimal
) -> bool:
    """Return whether a group's monthly spend is at or above a level of a budget, in %.

    `budget` is in the currency of the spend. False while the spend is unknown.
    """
    spend = None if figures is None else figures.monthly_spend
    return spend is not None and bool(_reached(spend, budget, (level,)))


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
        if last is not None and spend.start < last.start:
            continue
        alerted: frozenset[Decimal] = frozenset()
        if last is not None and spend.start == last.start:
            alerted = last.levels
        due = _reached(spend, budget, set(options.spend_levels) - alerted)
        if not due:
            continue
        alerts += [
            _alert(observation, kind, spend, budget, level=level) for level in due
        ]
        levels = AlertedLevels(
            start=spend.start, budget=budget, levels=alerted.union(due)
        )
        state = replace(state, budgets={**state.budgets, kind: levels})
    return state, alerts


def judge_groups(
    state: AlertState, observation: Observation, options: AlertOptions
) -> Decision:
    """Alert each level of a group's budget that its spend reaches, once per month.

    A level that is already reached when it is first watched is not alerted. A new
    budget re-arms the levels that are not reached under it.
    """
    watched = observation.trigger_spend_levels.union(options.spend_levels)
    groups: dict[str, AlertedLevels] = {}
    alerts: list[Alert] = []
    for group, budget in options.group_budgets.items():
        figures = observation.account.groups.get(group)
        spend = None if figures is None else figures.monthly_spend
        last = state.groups.get(group.key)
        if last is not None:
            groups[group.key] = last
        if not isinstance(spend, Spend):
            continue
        if last is not None and spend.start < last.start:
            continue
        reached = _reached(spend, budget, watched)
        passed = _passed(spend, budget, last, reached)
        due = [level for level in reached if level not in passed]
        alerts += [
            _alert(
                observation,
                AlertKind.SPEND_LEVEL,
                spend,
                budget,
                level=level,
                is_option=level in options.spend_levels,
                group=group,
            )
            for level in due
        ]
        groups[group.key] = AlertedLevels(
            start=spend.start, budget=budget, levels=passed.union(due), watched=watched
        )
    if groups != state.groups:
        state = replace(state, groups=groups)
    return state, alerts


def _reached(spend: Money, budget: Decimal, levels: Iterable[Decimal]) -> list[Decimal]:
    """Return the levels of a budget (in %) that a spend reaches, in ascending order."""
    return sorted(level for level in levels if spend.amount * 100 >= level * budget)


def _passed(
    spend: Spend,
    budget: Decimal,
    last: AlertedLevels | None,
    reached: Collection[Decimal],
) -> frozenset[Decimal]:
    """Return the levels of a group that are not alerted again this month."""
    if last is None or spend.start > last.start:
        return frozenset()
    passed = last.levels
    if budget != last.budget:
        passed = passed.intersection(reached)
    return passed.union(level for level in reached if level not in last.watched)


def _alert(
    observation: Observation,
    kind: AlertKind,
    spend: Spend,
    budget: Decimal,
    *,
    level: Decimal,
    is_option: bool = True,
    group: SpendGroup | None = None,
) -> Alert:
    """Return the alert of a level of a budget that a spend reaches."""
    return new_alert(
        observation,
        kind,
        "" if group is None else f"{group.key} {plain(budget)} {spend.currency}",
        level=level,
        is_option=is_option,
        spend=spend.amount,
        budget=budget,
        currency=spend.currency,
        usage_pct=round(float(spend.amount * 100 / budget), 4),
        group=group,
        period=spend.start,
    )
