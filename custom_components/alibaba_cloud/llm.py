"""A tool for Assist: what the accounts spend, for those that the user opened to it."""

from typing import Any, override

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

from .const import CONF_ASSISTANT, DOMAIN
from .coordinator import AlibabaCloudConfigEntry
from .services import async_describe


class GetAccountUsageTool(Tool):
    """Reads balance, spend, limits and forecast of the accounts."""

    name = "alibaba_cloud__get_account_usage"
    title = "Get account usage"
    description = (
        "Get what Alibaba Cloud Model Studio accounts (Qwen, DashScope) have spent today"
        " and in this billing period, what is left of balance and budget, what the period"
        " is projected to come to, and how close each model is to its limit. Each figure"
        " comes with its unit; one that is missing is unknown, not 0."
    )
    annotations = ToolAnnotations(
        read_only=True, destructive=False, idempotent=True, open_world=False
    )
    integration = DOMAIN

    @override
    async def async_call(
        self, hass: HomeAssistant, tool_input: ToolInput, llm_context: LLMContext
    ) -> ToolResult:
        """Return the figures as last read."""
        return ToolResult(
            data={
                "accounts": [
                    await _async_usage(hass, entry) for entry in _opened_entries(hass)
                ]
            }
        )


@callback
def async_get_tools(
    hass: HomeAssistant, llm_context: LLMContext, api_id: str
) -> LLMTools | None:
    """Return the tool, if there is an account that it may read."""
    if api_id != LLM_API_ASSIST or not _opened_entries(hass):
        return None
    return LLMTools(tools=[GetAccountUsageTool()])


def _opened_entries(hass: HomeAssistant) -> list[AlibabaCloudConfigEntry]:
    """Return the accounts that the user opened to Assist."""
    entries: list[AlibabaCloudConfigEntry] = hass.config_entries.async_loaded_entries(
        DOMAIN
    )
    return [entry for entry in entries if entry.options.get(CONF_ASSISTANT)]


async def _async_usage(
    hass: HomeAssistant, entry: AlibabaCloudConfigEntry
) -> dict[str, Any]:
    """Return what is known of an account."""
    coordinator = entry.runtime_data
    known: dict[str, Any] = {"name": entry.title, "status": coordinator.status}
    if coordinator.message:
        known["message"] = coordinator.message
    if (account := coordinator.last_read) is None:
        return known
    followed = [
        model for name in coordinator.followed if (model := account.models.get(name))
    ]
    usage = await async_describe(hass, coordinator, account, followed)
    figures = _without_unknown(usage["account"])
    models = {
        name: told
        for name, figures in usage["models"].items()
        if (told := _without_unknown(figures))
    }
    return {**known, "figures": figures, "models": models}


def _without_unknown(figures: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the figures that are known."""
    return {
        key: figure for key, figure in figures.items() if figure["value"] is not None
    }
