"""What an account knows, without its keys. Nothing is asked of the service."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

from homeassistant.components.diagnostics import async_redact_data
from homeassistant.const import CONF_API_KEY
from homeassistant.core import HomeAssistant

from .const import CONF_ACCESS_KEY_ID, CONF_ACCESS_KEY_SECRET, CONF_PROMETHEUS_URL
from .coordinator import AlibabaCloudConfigEntry

# The URL of some Prometheus instances lets in whoever knows it.
TO_REDACT = {
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_API_KEY,
    CONF_PROMETHEUS_URL,
}


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: AlibabaCloudConfigEntry
) -> dict[str, Any]:
    """Return diagnostics of an account."""
    coordinator = entry.runtime_data
    listing = coordinator.client.listing
    return {
        "entry": async_redact_data(entry.data, TO_REDACT),
        "options": dict(entry.options),
        "answer": {
            "limits_only": coordinator.data and coordinator.data.limits_only,
            "pages": listing and listing.pages,
            "rows": listing and listing.rows,
        },
        "status": coordinator.status,
        "message": coordinator.message,
        **coordinator.failed_sources,
        "account": _plain(coordinator.account),
        "periods": coordinator.store.periods.as_dict(),
        "alerts": coordinator.store.alerts.as_dict(),
    }


def _plain(value: Any) -> Any:
    """Return a snapshot as JSON has it; `asdict` stops at mappings and decimals."""
    if is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name)) for field in fields(value)
        }
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, Decimal) else value
