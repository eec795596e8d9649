"""The spend of workspaces and API keys, one description each."""

from collections.abc import Mapping

from .descriptions import FigureSensorDescription, total
from .model_studio import AccountSnapshot, Dimension, GroupFigures
from .sources import GROUP_SOURCES, Source

GROUP_SENSORS: Mapping[Dimension, tuple[FigureSensorDescription[GroupFigures], ...]] = {
    dimension: (
        total(
            key="daily_spend",
            sources=(source,),
            value_fn=lambda group: group.daily_spend,
        ),
        total(
            key="monthly_spend",
            sources=(source,),
            value_fn=lambda group: group.monthly_spend,
        ),
    )
    for dimension, source in GROUP_SOURCES.items()
}
"""The figures of a followed group, by its dimension."""


def _others(snapshot: AccountSnapshot, dimension: Dimension) -> GroupFigures:
    """Return the figures of the groups that are not followed, empty if none is."""
    return snapshot.other_groups.get(dimension, GroupFigures())


OTHER_GROUPS_SENSORS: tuple[FigureSensorDescription[AccountSnapshot], ...] = (
    total(
        key="other_workspaces_daily_spend",
        sources=(Source.WORKSPACES,),
        value_fn=lambda snapshot: _others(snapshot, Dimension.WORKSPACE).daily_spend,
    ),
    total(
        key="other_workspaces_monthly_spend",
        sources=(Source.WORKSPACES,),
        value_fn=lambda snapshot: _others(snapshot, Dimension.WORKSPACE).monthly_spend,
    ),
    total(
        key="other_api_keys_daily_spend",
        sources=(Source.API_KEYS,),
        value_fn=lambda snapshot: _others(snapshot, Dimension.API_KEY).daily_spend,
    ),
    total(
        key="other_api_keys_monthly_spend",
        sources=(Source.API_KEYS,),
        value_fn=lambda snapshot: _others(snapshot, Dimension.API_KEY).monthly_spend,
    ),
)
