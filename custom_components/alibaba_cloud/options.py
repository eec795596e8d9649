"""The options of a config entry that the alerts and the outlook follow."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .const import (
    CONF_DAILY_BUDGET,
    CONF_EXPIRY_DAYS,
    CONF_FORECAST_ALERT,
    CONF_LOW_BALANCE,
    CONF_LOW_CREDITS,
    CONF_MODEL_LEVELS,
    CONF_MONTHLY_BUDGET,
    CONF_SPEND_LEVELS,
    CONF_UNUSUAL_SPEND,
    CONF_WEEKLY_BUDGET,
)
from .ledger import AlertOptions

DEFAULTS = AlertOptions()


def alert_options(options: Mapping[str, Any]) -> AlertOptions:
    """Return the budget and the levels that the user set, else the defaults."""

    def amount(key: str) -> Decimal | None:
        value = options.get(key)
        return None if value is None else Decimal(str(value))

    def levels(key: str, default: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
        if (values := options.get(key)) is None:
            return default
        return tuple(Decimal(str(value)) for value in values)

    return AlertOptions(
        monthly_budget=amount(CONF_MONTHLY_BUDGET),
        daily_budget=amount(CONF_DAILY_BUDGET),
        weekly_budget=amount(CONF_WEEKLY_BUDGET),
        spend_levels=levels(CONF_SPEND_LEVELS, DEFAULTS.spend_levels),
        low_balance=amount(CONF_LOW_BALANCE),
        model_levels=levels(CONF_MODEL_LEVELS, DEFAULTS.model_levels),
        low_credits=Decimal(str(options.get(CONF_LOW_CREDITS, DEFAULTS.low_credits))),
        expiry_days=options.get(CONF_EXPIRY_DAYS, DEFAULTS.expiry_days),
        unusual_spend=options.get(CONF_UNUSUAL_SPEND, DEFAULTS.unusual_spend),
        forecast_alert=options.get(CONF_FORECAST_ALERT, DEFAULTS.forecast_alert),
    )
