"""An account's figures as data, for the actions and for Assist."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from homeassistant.const import Platform
from homeassistant.helpers.translation import async_get_translations

from .account import Account
from .const import DOMAIN
from .descriptions import FigureDescription
from .figures import ACCOUNT_BINARY_SENSORS, ACCOUNT_SENSORS, MODEL_SENSORS
from .group_figures import GROUP_SENSORS
from .model_studio import AccountSnapshot, ModelUsage, Money, Quantity
from .options import GROUP_OPTIONS, group_name


def matching_models(
    snapshot: AccountSnapshot,
    pattern: str | None,
    among: Collection[str] | None = None,
) -> list[ModelUsage]:
    """Return the models whose names match a pattern, with * and ? as wildcards.

    Without a pattern, all of them. `among` restricts the names.
    """
    return [
        snapshot.models[name]
        for name in matching_names(snapshot.models, pattern)
        if among is None or name in among
    ]


def matching_names(names: Iterable[str], pattern: str | None) -> list[str]:
    """Return the names that match a pattern, with * and ? as wildcards.

    Without a pattern, all of them.
    """
    pattern = "*" if pattern is None else pattern.replace("[", "[[]")
    return [name for name in names if fnmatchcase(name, pattern)]


def describe_status(account: Account) -> dict[str, Any]:
    """Return the status, the errors and the time of the last figures.

    What does not apply is left out.
    """
    status = {
        "status": account.status,
        "message": account.message,
        "failed_sources": account.failed_sources,
        "read_at": account.read_at and account.read_at.isoformat(),
    }
    return {key: value for key, value in status.items() if value}


async def async_describe(
    account: Account, snapshot: AccountSnapshot, models: Iterable[ModelUsage]
) -> dict[str, Any]:
    """Return the known figures of an account, some of its models and its groups.

    Figures have units, and the attributes of their entities. What is unknown is left out.
    """
    translations = await async_get_translations(account.hass, "en", "entity", {DOMAIN})
    figures = partial(_figures, translations)
    described = {
        **describe_status(account),
        "account": figures((*ACCOUNT_SENSORS, *ACCOUNT_BINARY_SENSORS), snapshot),
        "models": {
            model.name: reported
            for model in models
            if (reported := figures(MODEL_SENSORS, model))
        },
    }
    for group, spend in snapshot.groups.items():
        name = group_name(account.entry.options, group)
        described.setdefault(GROUP_OPTIONS[group.dimension], {})[group.id] = {
            **({"name": name} if name else {}),
            **figures(GROUP_SENSORS[group.dimension], spend),
        }
    return described


def _figures(
    translations: Mapping[str, str],
    descriptions: Iterable[FigureDescription[Any]],
    reported: Any,
) -> dict[str, Any]:
    """Return the known figures of an account, a model or a group.

    Each has its unit and its attributes, but for those that are figures themselves.
    """
    descriptions = list(descriptions)
    keys = {description.key for description in descriptions}
    known = {}
    for description in descriptions:
        value = description.value_fn(reported)
        if value is not None:
            unit = getattr(
                description, "native_unit_of_measurement", None
            ) or translations.get(
                f"component.{DOMAIN}.entity.{Platform.SENSOR}"
                f".{description.key}.unit_of_measurement"
            )
            attributes_fn = getattr(description, "attributes_fn", None)
            attributes = {} if attributes_fn is None else attributes_fn(reported)
            known[description.key] = _with_unit(value, unit) | {
                key: attribute
                for key, attribute in _known(attributes).items()
                if key not in keys
            }
    return known


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes, also of parts such as types of seats, without unknown ones."""
    return {
        key: _known(value) if isinstance(value, Mapping) else value
        for key, value in attributes.items()
        if value is not None
    }


def _with_unit(value: Any, unit: str | None) -> dict[str, Any]:
    """Return a figure for JSON, with its currency or unit."""
    if isinstance(value, Money):
        value, unit = value.amount, value.currency
    elif isinstance(value, Quantity):
        value, unit = value.amount, value.unit
    if isinstance(value, Decimal):
        value = float(value)
    elif isinstance(value, date):
        value = value.isoformat()
    return {"value": value} | ({"unit": unit} if unit else {})
