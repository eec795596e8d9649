"""Names and addresses shared across the integration."""

import logging
from typing import Final

from .model_studio import is_china_site

DOMAIN: Final = "alibaba_cloud"
LOGGER = logging.getLogger(__package__)

EVENT_ALERT: Final = f"{DOMAIN}_alert"
"""The event that the activity log describes. Automations use the triggers."""

CONF_API_KEY_ENV: Final = "api_key_env"
"""The name of the environment variable that holds the key. The key is not stored."""
CONF_BASE_URL: Final = "base_url"

CONF_ACCESS_KEY_ID: Final = "access_key_id"
CONF_ACCESS_KEY_SECRET: Final = "access_key_secret"  # noqa: S105 - a name
CONF_BILLING_ENDPOINT: Final = "billing_endpoint"
CONF_BALANCE_ENDPOINT: Final = "balance_endpoint"
CONF_PROMETHEUS_URL: Final = "prometheus_url"

CONF_INSTANCE: Final = "instance"
NO_INSTANCE: Final = "none"
"""The choice of no Prometheus instance."""

CONF_WORKSPACE_ID: Final = "workspace_id"
CONF_MODELS: Final = "models"
"""Names of the models to follow. Without it, all models that report usage."""

CONF_WORKSPACES: Final = "workspaces"
CONF_API_KEYS: Final = "api_keys"
"""IDs of the workspaces and API keys whose spend is followed."""
CONF_WORKSPACE_NAMES: Final = "workspace_names"
"""Names of the followed workspaces by ID, as the options flow last read them."""

CONF_GROUP_BUDGETS: Final = "group_budgets"
"""Monthly budgets of the followed workspaces and API keys, by `SpendGroup.key`."""
CONF_MONTHLY_BUDGET: Final = "monthly_budget"
CONF_DAILY_BUDGET: Final = "daily_budget"
CONF_WEEKLY_BUDGET: Final = "weekly_budget"
CONF_SPEND_LEVELS: Final = "spend_levels"
CONF_LOW_BALANCE: Final = "low_balance"
CONF_MODEL_LEVELS: Final = "model_levels"
CONF_LOW_CREDITS: Final = "low_credits"
CONF_EXPIRY_DAYS: Final = "expiry_days"
CONF_UNUSUAL_SPEND: Final = "unusual_spend"
CONF_FORECAST_ALERT: Final = "forecast_alert"
CONF_ASSISTANT: Final = "assistant"
"""Whether Assist may read the account's figures."""
CONF_LEVEL: Final = "level"
HIGHEST_LEVEL: Final = 1000
"""In %, of a budget or a limit."""

API_KEY_VARIABLES: Final = ("ALIBABA_CLOUD_API_KEY", "DASHSCOPE_API_KEY")
"""Environment variables that may hold an API key, in order of preference."""
BASE_URL_VARIABLES: Final = ("DASHSCOPE_HTTP_BASE_URL", "DASHSCOPE_BASE_URL")
"""Environment variables in which the vendor's SDK keeps the base URL."""

CONSOLES: Final = {
    "console_china": "https://bailian.console.aliyun.com/?tab=model#/api-key",
    "console_international": "https://modelstudio.console.alibabacloud.com/?tab=playground#/api-key",
}
"""The vendor's consoles, by site."""
RAM_CONSOLES: Final = {
    "ram_china": "https://ram.console.aliyun.com/users",
    "ram_international": "https://ram.console.alibabacloud.com/users",
}
"""The consoles in which AccessKeys are created, by site."""


def console_url(base_url: str) -> str:
    """Return the Model Studio console of the site that a host belongs to."""
    return CONSOLES[f"console_{_site(base_url)}"]


def ram_console_url(base_url: str) -> str:
    """Return the RAM console of the site that a host belongs to."""
    return RAM_CONSOLES[f"ram_{_site(base_url)}"]


def _site(base_url: str) -> str:
    """Return the site that a host belongs to."""
    return "china" if is_china_site(base_url) else "international"
