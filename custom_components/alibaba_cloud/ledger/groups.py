"""The spend of workspaces and API keys, and of all others. No I/O."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from ..model_studio.groups import Dimension, SpendGroup
from ..model_studio.models import AccountSnapshot, GroupFigures, Spend, SpendReport
from .merge import day_and_month, rest, spend_of


def with_groups(
    snapshot: AccountSnapshot,
    reports: Mapping[Dimension, SpendReport],
    groups: Collection[SpendGroup],
) -> AccountSnapshot:
    """Return the figures of an account with those of its followed groups.

    `reports` are the bills by dimension. The rest of each bill is the spend of all other
    groups, and spend that belongs to no group. It and the spend of the followed groups
    add up to the bill. It is unknown if that of a followed group is.
    """
    figures = {
        group: _figures(*spend_of(reports.get(group.dimension), group.id))
        for group in groups
    }
    others = {}
    for dimension, report in reports.items():
        followed = [figures[g] for g in figures if g.dimension is dimension]
        day, month = day_and_month(report)
        others[dimension] = _figures(
            rest(day, (group.daily_spend for group in followed)),
            rest(month, (group.monthly_spend for group in followed)),
        )
    return replace(
        snapshot,
        groups=MappingProxyType(figures),
        other_groups=MappingProxyType(others),
    )


def _figures(daily: Spend | None, monthly: Spend | None) -> GroupFigures:
    """Return the figures of a group, or of all other groups together."""
    return GroupFigures(daily_spend=daily, monthly_spend=monthly)
