"""Actions: all that is known of an account, whether or not it has entities."""

from collections.abc import Iterable
from datetime import date, timedelta
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
    AccountSnapshot,
    AuthenticationError,
    Dimension,
    Granularity,
    ModelStudioError,
    ModelUsage,
    Money,
)
from .sensor import ACCOUNT_SENSORS, MODEL_SENSORS, projected_range
from .sources import INVALID_ACCESS_KEY, PERMISSIONS, Source, billing_today

SERVICE_GET_USAGE: Final = "get_usage"
ATTR_MODEL: Final = "model"

SERVICE_GET_SPEND: Final = "get_spend"
ATTR_START_DATE: Final = "start_date"
ATTR_END_DATE: Final = "end_date"
ATTR_PERIOD: Final = "period"
ATTR_GROUP_BY: Final = "group_by"

MOST_YEARS: Final = 5
"""Of spend that one call may ask for: a request for each month."""

PERIODS = {period.name.lower(): period for period in Granularity}
GROUPS = {group.name.lower(): group for group in Dimension}

GET_SPEND_SCHEMA = vol.Schema(
    {
        vol.Required(ATTR_CONFIG_ENTRY_ID): cv.string,
        vol.Required(ATTR_START_DATE): cv.date,
        vol.Optional(ATTR_END_DATE): cv.date,
        vol.Optional(ATTR_PERIOD, default="day"): vol.In(list(PERIODS)),
        vol.Optional(ATTR_GROUP_BY, default="model"): vol.In(list(GROUPS)),
    }
)
GET_USAGE_SCHEMA = vol.Schema(
    {
        vol.Required(ATTR_CONFIG_ENTRY_ID): cv.string,
        vol.Optional(ATTR_MODEL, default="*"): cv.string,
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
    """Return what was spent in a range of days, by period and group.

    Amounts are decimal strings, as the bill has them; a group's key is the service's
    own. Raises `ServiceValidationError` for an account that is not there or has no
    AccessKey and for what is no range, and `HomeAssistantError` where the bill can't be
    read.
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
    start: date = call.data[ATTR_START_DATE]
    end: date = call.data.get(ATTR_END_DATE) or billing_today()
    if not timedelta() <= end - start <= timedelta(days=366 * MOST_YEARS):
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="invalid_range",
            translation_placeholders={
                "start": start.isoformat(),
                "end": end.isoformat(),
                "years": str(MOST_YEARS),
            },
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
    return {
        "total": str(trend.total.amount) if trend.total else None,
        "currency": trend.total.currency if trend.total else None,
        "periods": [
            {
                "start": period.start.isoformat(),
                "amount": str(period.total.amount),
                "currency": period.total.currency,
                "groups": [
                    {
                        "key": key,
                        "name": trend.names.get(key, key),
                        "amount": str(amount),
                    }
                    for key, amount in period.groups.items()
                ],
            }
            for period in trend.periods
        ],
    }


async def _async_get_usage(call: ServiceCall) -> ServiceResponse:
    """Return the figures of an account and of its models, as last read, with units.

    Raises `ServiceValidationError` for an account or model that is not there, and
    `HomeAssistantError` where nothing has been read yet.
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
    models = matching_models(account, call.data[ATTR_MODEL])
    if not models and call.data[ATTR_MODEL] != "*":
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="no_such_model",
            translation_placeholders={
                "account": entry.title,
                "model": call.data[ATTR_MODEL],
            },
        )
    return await async_describe(call.hass, coordinator, account, models)


def matching_models(account: AccountSnapshot, pattern: str) -> list[ModelUsage]:
    """Return the models whose names match a pattern, with * and ? as wildcards."""
    pattern = pattern.replace("[", "[[]")
    return [
        model for name, model in account.models.items() if fnmatchcase(name, pattern)
    ]


async def async_describe(
    hass: HomeAssistant,
    coordinator: AlibabaCloudCoordinator,
    account: AccountSnapshot,
    models: Iterable[ModelUsage],
) -> dict[str, Any]:
    """Return the figures of an account and of some of its models, with units."""
    translations = await async_get_translations(hass, "en", "entity", {DOMAIN})

    def figure(description: FigureDescription[Any], source: Any) -> Any:
        value = description.value_fn(source)
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
        return {"value": value, "unit": unit}

    figures = {
        description.key: figure(description, account)
        for description in (*ACCOUNT_SENSORS, *ACCOUNT_BINARY_SENSORS)
    }
    figures["projected_monthly_spend"] |= projected_range(account)
    return {
        "status": coordinator.status,
        "message": coordinator.message,
        "read_at": coordinator.read_at and coordinator.read_at.isoformat(),
        "account": figures,
        "models": {
            model.name: {
                description.key: figure(description, model)
                for description in MODEL_SENSORS
            }
            for model in models
        },
    }
