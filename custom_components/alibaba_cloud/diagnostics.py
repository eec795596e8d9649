"""Diagnostics of an account from its last figures, without keys and IDs."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
import re
from typing import Any

from yarl import URL

from homeassistant.components.diagnostics import REDACTED, async_redact_data
from homeassistant.const import CONF_API_KEY
from homeassistant.core import HomeAssistant

from .account import AlibabaCloudConfigEntry
from .const import (
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_API_KEYS,
    CONF_BASE_URL,
    CONF_GROUP_BUDGETS,
    CONF_PROMETHEUS_URL,
    CONF_WORKSPACE_NAMES,
    CONF_WORKSPACES,
)
from .model_studio import ModelUsage

# Anyone who knows the URL of some Prometheus instances can read them.
TO_REDACT = {
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_API_KEY,
    CONF_API_KEYS,
    CONF_PROMETHEUS_URL,
    CONF_WORKSPACE_NAMES,
    CONF_WORKSPACES,
}

_WORKSPACE_HOST = re.compile(r"[^.]+(?=\.[^.]+\.maas\.aliyuncs\.com)")
_IDS = (
    # An account: 16 digits.
    r"(?<!\d)\d{16}(?!\d)",
    # A workspace.
    r"\b(?:llm|ws)-[0-9a-z]+",
)


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: AlibabaCloudConfigEntry
) -> dict[str, Any]:
    """Return diagnostics of an account."""
    account = entry.runtime_data
    quotas, listing = account.last_quotas, account.client.listing
    options = async_redact_data(entry.options, TO_REDACT)
    alerts = account.store.alerts.as_dict()
    # The keys of these contain the IDs of workspaces and API keys.
    if CONF_GROUP_BUDGETS in options:
        options[CONF_GROUP_BUDGETS] = list(options[CONF_GROUP_BUDGETS].values())
    alerts["groups"] = list(alerts["groups"].values())
    diagnostics = {
        "entry": async_redact_data(entry.data, TO_REDACT),
        "options": options,
        "answer": {
            "quotas_kind": None if quotas is None else quotas.quotas_kind,
            "pages": None if listing is None else listing.pages,
            "rows": None if listing is None else listing.rows,
        },
        "status": account.status,
        "message": account.message,
        "failed_sources": account.failed_sources,
        "account": account.snapshot,
        "periods": account.store.periods.as_dict(),
        "alerts": alerts,
    }
    groups = [group.id for group in account.groups]
    plain: dict[str, Any] = _plain(diagnostics, _ids(entry.data, groups))
    return plain


def _ids(data: Mapping[str, Any], groups: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern of the IDs that may appear in texts of this account.

    The text of an error can contain the IDs of the AccessKey, the account and its
    workspace, and the host of its Prometheus. `groups` are the IDs of the followed
    workspaces and API keys.
    """
    known = [*groups]
    if access_key_id := data.get(CONF_ACCESS_KEY_ID):
        known.append(access_key_id)
    if workspace := _WORKSPACE_HOST.match(URL(data[CONF_BASE_URL]).host or ""):
        known.append(workspace[0])
    if host := URL(data.get(CONF_PROMETHEUS_URL, "")).host:
        known.append(host)
    whole = (rf"(?<![\w-]){re.escape(known_id)}(?![\w-])" for known_id in known)
    return re.compile("|".join([*whole, *_IDS]), re.IGNORECASE)


def _plain(value: Any, ids: re.Pattern[str]) -> Any:
    """Return a value for JSON, with the IDs in its texts redacted."""
    if is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name), ids)
            for field in fields(value)
        }
    if isinstance(value, ModelUsage):
        value = value._asdict()
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: _plain(item, ids) for key, item in value.items()}
        value = value.items()
    if isinstance(value, str):
        return ids.sub(REDACTED, value)
    if isinstance(value, Iterable):
        return [_plain(item, ids) for item in value]
    return str(value) if isinstance(value, Decimal) else value
