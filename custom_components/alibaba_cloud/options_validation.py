"""Validation of the options of alerts and budgets. No I/O."""

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal, InvalidOperation
import re
from typing import Any

from .const import (
    CONF_DAILY_BUDGET,
    CONF_EXPIRY_DAYS,
    CONF_LOW_BALANCE,
    CONF_LOW_CREDITS,
    CONF_MODEL_LEVELS,
    CONF_MONTHLY_BUDGET,
    CONF_SPEND_LEVELS,
    CONF_WEEKLY_BUDGET,
    HIGHEST_LEVEL,
)
from .model_studio import SpendGroup
from .validation import InvalidInput

CONF_MORE_ALERTS = "more_alerts"
MOST_LEVELS = 10
MOST_DAYS = 365
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d{1,2}$)")
"""A decimal comma. A comma before three digits separates thousands."""
_TWO_LEVELS = re.compile(r"[1-9]\d*,[1-9]\d")
"""Matches an ambiguous input: `50,80` can be one level or two."""


def validate_alerts(user_input: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the alerts. Raises `InvalidInput`, with all errors.

    The options of the form's section are included, unless the section is missing.
    """
    options, errors = _parsed(user_input, ALERT_OPTIONS)
    if (section := options.pop(CONF_MORE_ALERTS, None)) is not None:
        more, errors_within = _parsed(section, MORE_ALERTS)
        options |= more
        for key in errors_within:
            # The frontend shows an error at a section, but not at a field in it.
            errors[CONF_MORE_ALERTS] = f"invalid_{key}"
    if errors:
        raise InvalidInput(errors)
    return options


def validate_group_budgets(
    user_input: Mapping[str, Any], groups: Mapping[str, Mapping[str, SpendGroup]]
) -> dict[str, int | float]:
    """Return the budget of each group that has one, by its key.

    `groups` are the groups by section and field of the form. Raises `InvalidInput`, with
    the errors by section.
    """
    budgets: dict[str, int | float] = {}
    errors = {}
    for section, fields in groups.items():
        for name, group in fields.items():
            try:
                amount = _amount(user_input.get(section, {}).get(name))
            except ValueError as err:
                errors[section] = str(err)
            else:
                if amount is not None:
                    budgets[group.key] = amount
    if errors:
        raise InvalidInput(errors)
    return budgets


def _parsed(
    user_input: Mapping[str, Any], fields: Mapping[str, Callable[[Any], object]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the input with some of its fields parsed, and their errors."""
    options, errors = dict(user_input), {}
    for key, parse in fields.items():
        try:
            options[key] = parse(user_input.get(key))
        except ValueError as err:
            errors[key] = str(err)
    return options, errors


def _amount(entered: Any) -> int | float | None:
    """Return an amount of money, None for an empty field.

    Raises `ValueError` with the key of a text.
    """
    if entered in (None, ""):
        return None
    if (amount := _number(entered)) is None or amount <= 0:
        raise ValueError("invalid_amount")
    return amount


def _levels(entered: Any) -> list[int | float]:
    """Return levels (in %) in order, each once; none for an empty field.

    Raises `ValueError` with the key of a text.
    """
    if entered is None:
        entered = []
    elif isinstance(entered, str) or not isinstance(entered, Collection):
        entered = [entered]
    levels = set()
    for item in entered:
        level = _percentage(item)
        is_unclear = isinstance(item, str) and _TWO_LEVELS.fullmatch(item.strip(" %"))
        if is_unclear or level is None or not 0 < level <= HIGHEST_LEVEL:
            raise ValueError("invalid_level")
        levels.add(level)
    if len(levels) > MOST_LEVELS:
        raise ValueError("too_many_levels")
    return sorted(levels)


def _number(entered: Any) -> int | float | None:
    """Return a number, as an integer if it is whole; None for anything else."""
    if isinstance(entered, bool) or not isinstance(entered, int | float | str):
        return None
    text = _DECIMAL_COMMA.sub(".", str(entered).strip())
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    # Python reads an underscore as part of a number. People do not.
    if "_" in text or not number.is_finite() or abs(number.adjusted()) > 15:
        return None
    return int(number) if number == number.to_integral_value() else float(number)


def _percentage(entered: Any) -> int | float | None:
    """Return a number in %, with or without its sign; None for anything else."""
    return _number(entered.rstrip(" %") if isinstance(entered, str) else entered)


def _share(entered: Any) -> int | float:
    """Return a share in %, 0 for an empty field. Raises `ValueError`."""
    if entered in (None, ""):
        return 0
    share = _percentage(entered)
    if share is None or not 0 < share <= 100:
        raise ValueError("invalid_share")
    return share


def _days(entered: Any) -> int:
    """Return a number of days, 0 for an empty field. Raises `ValueError`."""
    if entered in (None, ""):
        return 0
    days = _number(entered)
    if not isinstance(days, int) or not 0 < days <= MOST_DAYS:
        raise ValueError("invalid_days")
    return days


ALERT_OPTIONS: Mapping[str, Callable[[Any], object]] = {
    CONF_MONTHLY_BUDGET: _amount,
    CONF_SPEND_LEVELS: _levels,
    CONF_LOW_BALANCE: _amount,
    CONF_MODEL_LEVELS: _levels,
}
MORE_ALERTS: Mapping[str, Callable[[Any], object]] = {
    CONF_DAILY_BUDGET: _amount,
    CONF_WEEKLY_BUDGET: _amount,
    CONF_LOW_CREDITS: _share,
    CONF_EXPIRY_DAYS: _days,
}
"""Options in the section of the form."""
PREPAID_ALERTS = (CONF_LOW_CREDITS, CONF_EXPIRY_DAYS)
"""Those of them whose figures only an AccessKey reads."""
