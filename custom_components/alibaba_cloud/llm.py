"""A tool for Assist that reads the accounts the user allows."""

from typing import Any, override

import voluptuous as vol

from homeassistant.components.llm import LLMTools
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.llm import (
    LLM_API_ASSIST,
    LLMContext,
    Tool,
    ToolAnnotations,
    ToolInput,
    ToolResult,
)

from .account import AlibabaCloudConfigEntry
from .const import CONF_ASSISTANT, DOMAIN
from .usage import async_describe, describe_status, matching_models

MOST_MODELS = 10
"""The most models in an answer. Each takes a hundred tokens or more."""


class GetAccountUsageTool(Tool):
    """Reads balance, spend, limits and forecast of the accounts."""

    name = "alibaba_cloud__get_account_usage"
    title = "Get account usage"
    description = (
        "Get what Alibaba Cloud Model Studio accounts (Qwen, DashScope) have spent today"
        " and in this billing period, what is left of balance and budget, what the period"
        " is projected to come to, and how close each model is to its limit. Each figure"
        " comes with its unit; one that is missing is unknown, not 0. `read_at` is when"
        f" they were read. At most {MOST_MODELS} models are listed, those nearest their"
        " limits first."
    )
    parameters = vol.Schema(
        {
            vol.Optional(
                "model",
                description="List only models with this name; * and ? are wildcards",
            ): str
        }
    )
    annotations = ToolAnnotations(
        read_only=True, destructive=False, idempotent=True, open_world=False
    )
    integration = DOMAIN

    @override
    async def async_call(
        self, hass: HomeAssistant, tool_input: ToolInput, llm_context: LLMContext
    ) -> ToolResult:
        """Return the last figures."""
        # Some language models send empty text for an argument that they leave out.
        pattern = self.parameters(tool_input.tool_args).get("model") or None
        return ToolResult(
            data={
                "accounts": [
                    await _async_usage(entry, pattern)
                    for entry in _allowed_entries(hass)
                ]
            }
        )


@callback
def async_get_tools(
    hass: HomeAssistant, llm_context: LLMContext, api_id: str
) -> LLMTools | None:
    """Return the tool, if there is an account that Assist may read."""
    if api_id != LLM_API_ASSIST or not _allowed_entries(hass):
        return None
    return LLMTools(tools=[GetAccountUsageTool()])


def _allowed_entries(hass: HomeAssistant) -> list[AlibabaCloudConfigEntry]:
    """Return the accounts that Assist may read."""
    entries: list[AlibabaCloudConfigEntry] = hass.config_entries.async_loaded_entries(
        DOMAIN
    )
    return [entry for entry in entries if entry.options.get(CONF_ASSISTANT)]


async def _async_usage(
    entry: AlibabaCloudConfigEntry, pattern: str | None
) -> dict[str, Any]:
    """Return the name, status and figures of an account."""
    account = entry.runtime_data
    if (figures := account.last_read()) is None:
        return {"name": entry.title, **describe_status(account)}
    models = matching_models(
        figures, pattern, account.followed if pattern is None else None
    )
    models.sort(key=lambda m: (m.level_pct is None, -(m.level_pct or 0), m.name))
    usage = await async_describe(account, figures, models[:MOST_MODELS])
    known = {"name": entry.title, "figures": usage.pop("account"), **usage}
    if len(models) > MOST_MODELS:
        known["models_not_listed"] = len(models) - MOST_MODELS
    return known
