"""Actions: all that is known of an account, whether or not it has entities."""

from datetime import date
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
from .coordinator import AlibabaCloudConfigEntry
from .entity import FigureDescription
from .model_studio import Money
from .sensor import ACCOUNT_SENSORS, MODEL_SENSORS

SERVICE_GET_USAGE: Final = "get_usage"
ATTR_MODEL: Final = "model"

GET_USAGE_SCHEMA = vol.Schema(
    {
        vol.Required(ATTR_CONFIG_ENTRY_ID): cv.string,
        vol.Optional(ATTR_MODEL, default="*"): cv.string,
    }
)


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions."""
    hass.services.async_register(
        DOMAIN,
        SERVICE_GET_USAGE,
        _async_get_usage,
        schema=GET_USAGE_SCHEMA,
        supports_response=SupportsResponse.ONLY,
    )


async def _async_get_usage(call: ServiceCall) -> ServiceResponse:
    """Return the figures of an account and of its models, as last read, with units.

    Raises `ServiceValidationError` for an account or model that is not there, and
    `HomeAssistantError` where nothing has been read yet.
    """
    entry: AlibabaCloudConfigEntry = async_get_config_entry(
        call.hass, DOMAIN, call.data[ATTR_CONFIG_ENTRY_ID]
    )
    coordinator = entry.runtime_data
    if (account := coordinator.data) is None:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="nothing_read",
            translation_placeholders={
                "account": entry.title,
                "message": coordinator.message or "",
            },
        )
    # Only * and ? are wildcards.
    pattern = call.data[ATTR_MODEL].replace("[", "[[]")
    models = [
        model for name, model in account.models.items() if fnmatchcase(name, pattern)
    ]
    if not models and pattern != "*":
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="no_such_model",
            translation_placeholders={
                "account": entry.title,
                "model": call.data[ATTR_MODEL],
            },
        )
    translations = await async_get_translations(call.hass, "en", "entity", {DOMAIN})

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

    return {
        "status": coordinator.status,
        "message": coordinator.message,
        "account": {
            description.key: figure(description, account)
            for description in (*ACCOUNT_SENSORS, *ACCOUNT_BINARY_SENSORS)
        },
        "models": {
            model.name: {
                description.key: figure(description, model)
                for description in MODEL_SENSORS
            }
            for model in models
        },
    }
