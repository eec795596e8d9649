"""The options of a config entry: what is followed, the budget and the alerts."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .const import (
    CONF_API_KEYS,
    CONF_ASSISTANT,
    CONF_DAILY_BUDGET,
    CONF_EXPIRY_DAYS,
    CONF_FORECAST_ALERT,
    CONF_GROUP_BUDGETS,
    CONF_LOW_BALANCE,
    CONF_LOW_CREDITS,
    CONF_MODEL_LEVELS,
    CONF_MONTHLY_BUDGET,
    CONF_SPEND_LEVELS,
    CONF_UNUSUAL_SPEND,
    CONF_WEEKLY_BUDGET,
    CONF_WORKSPACE_NAMES,
    CONF_WORKSPACES,
)
from .ledger import AlertOptions
from .model_studio import Dimension, SpendGroup

_DEFAULTS = AlertOptions()
OPTION_DEFAULTS: Mapping[str, Any] = {
    CONF_SPEND_LEVELS: list(_DEFAULTS.spend_levels),
    CONF_MODEL_LEVELS: list(_DEFAULTS.model_levels),
    CONF_FORECAST_ALERT: _DEFAULTS.forecast_alert,
    CONF_UNUSUAL_SPEND: _DEFAULTS.unusual_spend,
    CONF_LOW_CREDITS: int(_DEFAULTS.low_credits),
    CONF_EXPIRY_DAYS: _DEFAULTS.expiry_days,
    CONF_ASSISTANT: False,
}
"""The values of options that are not stored. It is None for any other option."""
GROUP_OPTIONS: Mapping[Dimension, str] = {
    Dimension.WORKSPACE: CONF_WORKSPACES,
    Dimension.API_KEY: CONF_API_KEYS,
}
"""The option that lists the followed groups of each dimension, by ID."""


def followed_groups(options: Mapping[str, Any]) -> tuple[SpendGroup, ...]:
    """Return the workspaces and API keys that the user follows."""
    return tuple(
        SpendGroup(dimension=dimension, id=group_id)
        for dimension, key in GROUP_OPTIONS.items()
        for group_id in options.get(key, ())
    )


def group_name(options: Mapping[str, Any], group: SpendGroup) -> str | None:
    """Return the name of a workspace, None if it is unknown. API keys have none."""
    if group.dimension is not Dimension.WORKSPACE:
        return None
    name: str | None = options.get(CONF_WORKSPACE_NAMES, {}).get(group.id)
    return name


def alert_options(options: Mapping[str, Any]) -> AlertOptions:
    """Return the budget and the levels that the user set, else the defaults."""
    current = {**OPTION_DEFAULTS, **options}

    def amount(key: str) -> Decimal | None:
        value = current.get(key)
        return None if value is None else Decimal(str(value))

    def levels(key: str) -> tuple[Decimal, ...]:
        return tuple(Decimal(str(value)) for value in current[key])

    budgets: Mapping[str, float] = options.get(CONF_GROUP_BUDGETS, {})
    return AlertOptions(
        monthly_budget=amount(CONF_MONTHLY_BUDGET),
        group_budgets={
            group: Decimal(str(budgets[group.key]))
            for group in followed_groups(options)
            if group.key in budgets
        },
        daily_budget=amount(CONF_DAILY_BUDGET),
        weekly_budget=amount(CONF_WEEKLY_BUDGET),
        spend_levels=levels(CONF_SPEND_LEVELS),
        low_balance=amount(CONF_LOW_BALANCE),
        model_levels=levels(CONF_MODEL_LEVELS),
        low_credits=Decimal(str(current[CONF_LOW_CREDITS])),
        expiry_days=current[CONF_EXPIRY_DAYS],
        unusual_spend=current[CONF_UNUSUAL_SPEND],
        forecast_alert=current[CONF_FORECAST_ALERT],
    )
