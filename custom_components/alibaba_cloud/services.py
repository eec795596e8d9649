"""Actions that return an account's figures and its spend."""

from collections.abc import Collection, Iterable
from datetime import date, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final

import voluptuous as vol

from homeassistant.const import ATTR_CONFIG_ENTRY_ID, Platform
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.service import async_get_config_entry
from homeassistant.helpers.translation import async_get_translations

from .binary_sensor import ACCOUNT_BINARY_SENSORS
from .const import DOMAIN
from .coordinator import AlibabaCloudConfigEntry, AlibabaCloudCoordinator
from .entity import FigureDescription
from .failures import poll_error
from .model_studio import (
    NULL_GROUP,
    OTHERS,
    AccountSnapshot,
    AuthenticationError,
    Dimension,
    Granularity,
    ModelStudioError,
    ModelUsage,
    Money,
    Spend,
)
from .sensor import ACCOUNT_SENSORS, MODEL_SENSORS, projected_range
from .sources import INVALID_ACCESS_KEY, PERMISSIONS, Source, billing_today

SERVICE_GET_USAGE: Final = "get_usage"
ATTR_MODEL: Final = "model"
ATTR_INCLUDE_ALL_MODELS: Final = "include_all_models"

SERVICE_GET_SPEND: Final = "get_spend"
ATTR_START_DATE: Final = "start_date"
ATTR_END_DATE: Final = "end_date"
ATTR_PERIOD: Final = "period"
ATTR_GROUP_BY: Final = "group_by"

MOST_YEARS: Final = 5
"""The longest range of one call. Each month takes a request."""

PERIODS = {period.name.lower(): period for period in Granularity}
GROUPS = {group.name.lower(): group for group in Dimension}
GROUPS_WITHOUT_KEY = {
    NULL_GROUP: "group_not_assigned",
    "-": "group_not_assigned",
    OTHERS: "group_others",
}
"""What the bill has in place of a group's key, and the text that names it."""

GET_SPEND_SCHEMA = vol.Schema(
    {
        vol.Required(ATTR_CONFIG_ENTRY_ID): cv.string,
        vol.Optional(ATTR_START_DATE): cv.date,
        vol.Optional(ATTR_END_DATE): cv.date,
        vol.Optional(ATTR_PERIOD, default="day"): vol.In(list(PERIODS)),
        vol.Optional(ATTR_GROUP_BY, default="model"): vol.In(list(GROUPS)),
    }
)
GET_USAGE_SCHEMA = vol.Schema(
    {
        vol.Required(ATTR_CONFIG_ENTRY_ID): cv.string,
        vol.Optional(ATTR_MODEL): cv.string,
        vol.Optional(ATTR_INCLUDE_ALL_MODELS, default=False): cv.boolean,
    }
)


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions."""
    for name, action, schema in (
        (SERVICE_GET_SPEND, _async_get_spend, GET_SPEND_SCHEMA),
        (SERVICE_GET_USAGE, _async_get_usage, GET_USAGE_SCHEMA),
    ):
        hass.services.async_register(
            DOMAIN,
            name,
            action,
            schema=schema,
            supports_response=SupportsResponse.ONLY,
        )


async def _async_get_spend(call: ServiceCall) -> ServiceResponse:
    """Return the spend of a range of days, by period and group.

    Amounts are numbers in the currency that stands beside them. A total that the bill
    does not state is left out. Raises `ServiceValidationError` if the account does not
    exist, is not loaded or has no AccessKey, and if the range is not valid. Raises
    `HomeAssistantError` if the bill can't be read.
    """
    entry: AlibabaCloudConfigEntry = async_get_config_entry(
        call.hass, DOMAIN, call.data[ATTR_CONFIG_ENTRY_ID]
    )
    if (clients := entry.runtime_data.clients) is None:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="no_access_key",
            translation_placeholders={"account": entry.title},
        )
    today = billing_today()
    start: date = call.data.get(ATTR_START_DATE) or today.replace(day=1)
    end: date = call.data.get(ATTR_END_DATE) or today
    if start > end:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="start_after_end",
            translation_placeholders={
                "start": start.isoformat(),
                "end": end.isoformat(),
            },
        )
    if end - start > timedelta(days=366 * MOST_YEARS):
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="range_too_long",
            translation_placeholders={"years": str(MOST_YEARS)},
        )
    try:
        trend = await clients.billing.get_trend(
            start,
            end,
            granularity=PERIODS[call.data[ATTR_PERIOD]],
            group_by=GROUPS[call.data[ATTR_GROUP_BY]],
        )
    except ModelStudioError as err:
        key, placeholders = poll_error(err)
        if isinstance(err, AuthenticationError):
            key = INVALID_ACCESS_KEY
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key=key,
            translation_placeholders={
                **placeholders,
                "permission": PERMISSIONS[Source.SPEND],
            },
        ) from err
    texts = await async_get_translations(
        call.hass, call.hass.config.language, "common", {DOMAIN}
    )

    def group(key: str, amount: Decimal) -> dict[str, Any]:
        name = trend.names.get(key, key)
        without_key = GROUPS_WITHOUT_KEY.get(key) or GROUPS_WITHOUT_KEY.get(name)
        if without_key:
            name = texts.get(f"component.{DOMAIN}.common.{without_key}", name)
        return {
            "key": None if without_key else key,
            "name": name,
            "amount": float(amount),
        }

    return {
        **(_amount(trend.total, "total") if trend.total else {}),
        "periods": [
            {
                "start": period.start.isoformat(),
                **_amount(period.total, "amount"),
                "groups": [group(*item) for item in period.groups.items()],
            }
            for period in trend.periods
        ],
    }


def _amount(money: Money, key: str) -> dict[str, Any]:
    """Return an amount as a number, and its currency."""
    return {key: float(money.amount), "currency": money.currency}


async def _async_get_usage(call: ServiceCall) -> ServiceResponse:
    """Return the last figures of an account and its models, with units.

    Raises `ServiceValidationError` if the account does not exist or is not loaded, or
    if no model matches. Raises `HomeAssistantError` if nothing has been read yet.
    """
    entry: AlibabaCloudConfigEntry = async_get_config_entry(
        call.hass, DOMAIN, call.data[ATTR_CONFIG_ENTRY_ID]
    )
    coordinator = entry.runtime_data
    if (account := coordinator.last_read) is None:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="nothing_read",
            translation_placeholders={
                "account": entry.title,
                "message": coordinator.message or "",
            },
        )
    include_all: bool = call.data[ATTR_INCLUDE_ALL_MODELS]
    pattern: str | None = call.data.get(ATTR_MODEL)
    models = matching_models(
        account, pattern, None if include_all else coordinator.followed
    )
    if pattern is not None and not models:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="no_such_model" if include_all else "no_followed_model",
            translation_placeholders={"account": entry.title, "model": pattern},
        )
    return await async_describe(call.hass, coordinator, account, models)


def matching_models(
    account: AccountSnapshot,
    pattern: str | None,
    among: Collection[str] | None = None,
) -> list[ModelUsage]:
    """Return the models whose names match a pattern, with * and ? as wildcards.

    Without a pattern, all of them. `among` restricts the names.
    """
    pattern = "*" if pattern is None else pattern.replace("[", "[[]")
    return [
        model
        for name, model in account.models.items()
        if (among is None or name in among) and fnmatchcase(name, pattern)
    ]


def describe_status(coordinator: AlibabaCloudCoordinator) -> dict[str, Any]:
    """Return how the last poll ended, what failed, and when the API key was last read.

    What does not apply is left out.
    """
    status = {
        "status": coordinator.status,
        "message": coordinator.message,
        "failed_sources": coordinator.failed_sources.get("failed_sources"),
        "read_at": coordinator.read_at and coordinator.read_at.isoformat(),
    }
    return {key: value for key, value in status.items() if value}


async def async_describe(
    hass: HomeAssistant,
    coordinator: AlibabaCloudCoordinator,
    account: AccountSnapshot,
    models: Iterable[ModelUsage],
) -> dict[str, Any]:
    """Return the known figures of an account and some of its models, with units.

    An unknown figure is left out, and so is the daily spend of an earlier day.
    """
    translations = await async_get_translations(hass, "en", "entity", {DOMAIN})
    today = billing_today()

    def is_known(description: FigureDescription[Any], value: Any) -> bool:
        if isinstance(value, Spend) and description.key.endswith("daily_spend"):
            return value.start == today
        return value is not None

    def figure(description: FigureDescription[Any], value: Any) -> dict[str, Any]:
        if isinstance(value, Money):
            return {"value": float(value.amount), "unit": value.currency}
        unit = getattr(
            description, "native_unit_of_measurement", None
        ) or translations.get(
            f"component.{DOMAIN}.entity.{Platform.SENSOR}"
            f".{description.translation_key}.unit_of_measurement"
        )
        if isinstance(value, date):
            value = value.isoformat()
        return {"value": value} | ({"unit": unit} if unit else {})

    def figures(
        descriptions: Iterable[FigureDescription[Any]], source: Any
    ) -> dict[str, Any]:
        return {
            description.key: figure(description, value)
            for description in descriptions
            if is_known(description, value := description.value_fn(source))
        }

    known = figures((*ACCOUNT_SENSORS, *ACCOUNT_BINARY_SENSORS), account)
    if projected := known.get("projected_monthly_spend"):
        projected |= projected_range(account)
    return {
        **describe_status(coordinator),
        "account": known,
        "models": {
            model.name: told
            for model in models
            if (told := figures(MODEL_SENSORS, model))
        },
    }
