"""The sentence of an alert under Activity.

Home Assistant adds a line of its own for the state of the event entity, which names only
the kind of the alert. No integration can leave that line out or put a text into it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from homeassistant.components.event import ATTR_EVENT_TYPE
from homeassistant.components.logbook import (
    LOGBOOK_ENTRY_ENTITY_ID,
    LOGBOOK_ENTRY_MESSAGE,
    LOGBOOK_ENTRY_NAME,
    LazyEventPartialState,
)
from homeassistant.const import ATTR_DEVICE_ID, ATTR_ENTITY_ID
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.translation import async_get_cached_translations

from .const import DOMAIN, EVENT_ALERT
from .model_studio import plain_text

AMOUNTS = ("spend", "budget", "projected", "usual", "balance")
NAMED = ("asset", "limit_type")
"""Attributes whose values have names."""
_ATTRIBUTES = f"component.{DOMAIN}.entity.event.alerts.state_attributes"


def _as_shown(key: str, value: Any) -> Any:
    """Return a value of an alert as people read it: amounts have two decimals."""
    if isinstance(value, str):
        return plain_text(value)
    if key == "amount":
        return f"{value:.2f}".removesuffix(".00")
    return f"{value:.2f}" if key in AMOUNTS else value


@callback
def async_describe_events(
    hass: HomeAssistant,
    async_describe_event: Callable[
        [str, str, Callable[[LazyEventPartialState], dict[str, Any]]], None
    ],
) -> None:
    """Describe alerts."""

    @callback
    def describe(event: LazyEventPartialState) -> dict[str, Any]:
        """Return a sentence in Home Assistant's language: the log has one for all users."""
        alert: Mapping[str, Any] = event.data
        texts, names = (
            async_get_cached_translations(hass, hass.config.language, category, DOMAIN)
            for category in ("common", "entity")
        )
        values = {key: _as_shown(key, value) for key, value in alert.items()}
        for attribute in NAMED:
            if (value := alert.get(attribute)) is not None:
                values[attribute] = names[f"{_ATTRIBUTES}.{attribute}.state.{value}"]
        key = f"alert_{alert[ATTR_EVENT_TYPE]}"
        if group_id := alert.get("workspace_id") or alert.get("api_key_id"):
            key = f"{key}_group"
            device = dr.async_get(hass).async_get(alert[ATTR_DEVICE_ID])
            values["group"] = plain_text(group_id)
            # If the group has no device, the alert has the device of the account.
            if isinstance(device, dr.ChildDeviceEntry):
                values["group"] = device.name_by_user or device.name or values["group"]
        return {
            LOGBOOK_ENTRY_NAME: alert["account"],
            LOGBOOK_ENTRY_MESSAGE: texts[f"component.{DOMAIN}.common.{key}"].format(
                **values
            ),
            LOGBOOK_ENTRY_ENTITY_ID: alert[ATTR_ENTITY_ID],
        }

    async_describe_event(DOMAIN, EVENT_ALERT, describe)
