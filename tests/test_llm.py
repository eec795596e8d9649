"""The tool for Assist: its accounts, its answers and its limits."""

from collections.abc import AsyncIterator
import json
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol

from custom_components.alibaba_cloud.const import CONF_ASSISTANT, CONF_BASE_URL, DOMAIN
from homeassistant.components.llm import async_get_tools
from homeassistant.const import CONF_API_KEY
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers.llm import (
    LLM_API_ASSIST,
    LLMContext,
    Tool,
    ToolInput,
    ToolResult,
    async_get_api,
)
from homeassistant.setup import async_setup_component

from .common import (
    API_KEY,
    NOW,
    Poll,
    answer,
    attributes,
    give_access_key,
    setup,
    setup_at_noon,
    spend_alike,
    state,
)
from .simulator import (
    DEFAULT_ACCESS_KEY_ID,
    DEFAULT_ACCESS_KEY_SECRET,
    Fault,
    Simulator,
)

TOOL = "alibaba_cloud__get_account_usage"
OPENED = {CONF_ASSISTANT: True}


@pytest.fixture(autouse=True)
async def assist(hass: HomeAssistant) -> None:
    """Set up the integration that collects tools."""
    assert await async_setup_component(hass, "llm", {})


@pytest.fixture
async def other(
    hass: HomeAssistant, entry: MockConfigEntry
) -> AsyncIterator[MockConfigEntry]:
    """Return another account, at another simulator, without the option for Assist."""
    async with Simulator() as elsewhere:
        elsewhere.body = answer("account")
        other = MockConfigEntry(
            domain=DOMAIN,
            title="Elsewhere",
            entry_id="other",
            data={CONF_API_KEY: API_KEY, CONF_BASE_URL: elsewhere.base_url},
        )
        other.add_to_hass(hass)
        yield other
        await hass.config_entries.async_unload("other")


def asked_by() -> LLMContext:
    """Return the context of a voice assistant."""
    return LLMContext(
        platform="test",
        context=Context(),
        language="en",
        assistant="conversation",
        device_id=None,
    )


async def tools(hass: HomeAssistant) -> list[Tool]:
    """Return the tools of this integration in the Assist API."""
    api = await async_get_api(hass, LLM_API_ASSIST, asked_by())
    return [tool for tool in api.tools if tool.name.startswith(DOMAIN)]


async def call(hass: HomeAssistant, tool: Tool, **arguments: Any) -> ToolResult:
    """Call a tool like its API, but without traces."""
    result = await tool.async_call(
        hass, ToolInput(tool_name=tool.name, tool_args=arguments), asked_by()
    )
    assert isinstance(result, ToolResult)
    return result


async def ask(hass: HomeAssistant, **arguments: Any) -> dict[str, dict[str, Any]]:
    """Return the tool's answer for each account by name."""
    (tool,) = await tools(hass)
    result = await call(hass, tool, **arguments)
    text = json.dumps(result.data)
    for secret in (API_KEY, DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET):
        assert secret not in text
    accounts: dict[str, Any] = json.loads(text)
    assert accounts.keys() == {"accounts"}
    return {account["name"]: account for account in accounts["accounts"]}


async def open_account(
    hass: HomeAssistant, entry: MockConfigEntry, **options: Any
) -> None:
    """Set up an account with the option for Assist."""
    hass.config_entries.async_update_entry(entry, options={**OPENED, **options})
    await setup(hass, entry)


@pytest.mark.usefixtures("account")
async def test_off_by_default(hass: HomeAssistant) -> None:
    assert await tools(hass) == []


async def test_opened_and_closed(hass: HomeAssistant, account: MockConfigEntry) -> None:
    """The tool exists only while an account has the option on."""
    for opened in (True, False):
        hass.config_entries.async_update_entry(
            account, options={CONF_ASSISTANT: opened}
        )
        assert [tool.name for tool in await tools(hass)] == [TOOL] * opened
    hass.config_entries.async_update_entry(account, options=OPENED)
    assert await hass.config_entries.async_unload(account.entry_id)
    assert await tools(hass) == []


async def test_the_tool(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """The tool has a description, is read-only, and has a parameter for models."""
    await open_account(hass, entry)
    (tool,) = await tools(hass)
    assert tool.integration == DOMAIN
    assert [str(key) for key in tool.parameters.schema] == ["model"]
    assert tool.description is not None
    assert "Alibaba Cloud Model Studio" in tool.description
    assert tool.annotations is not None
    assert tool.annotations.read_only
    assert tool.annotations.idempotent
    assert not tool.annotations.destructive


async def test_other_apis(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Only the Assist API contains the tool."""
    await open_account(hass, entry)
    given = await async_get_tools(hass, asked_by(), "another")
    assert not [tool for tool in given.tools if tool.name == TOOL]
    given = await async_get_tools(hass, asked_by(), LLM_API_ASSIST)
    assert [tool for tool in given.tools if tool.name == TOOL]


async def test_figures(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
) -> None:
    """The answer contains all known figures with their units, without a request."""
    freezer.move_to(NOW)
    await open_account(hass, entry, monthly_budget=300)
    simulator.requests.clear()
    accounts = await ask(hass)
    assert simulator.requests == []
    (account,) = accounts.values()
    assert account == {
        "name": "Model Studio",
        "status": "ok",
        "read_at": NOW.replace(" ", "T"),
        "figures": {
            "credit_balance": {"value": 120.5, "unit": "USD"},
            "available_balance": {"value": 100.25, "unit": "USD"},
            "spend_limit": {"value": 500.0, "unit": "USD"},
            "daily_spend": {"value": 12.34, "unit": "USD"},
            "monthly_spend": {"value": 187.65, "unit": "USD"},
            "budget": {"value": 300.0, "unit": "USD"},
            "budget_usage_pct": {"value": 62.55, "unit": "%"},
            "remaining_budget": {"value": 112.35, "unit": "USD"},
            "tokens_used": {"value": 75060000, "unit": "tokens"},
            "requests_used": {"value": 33777, "unit": "requests"},
            "rpm": {"value": 1200, "unit": "requests/min"},
            "tpm": {"value": 5000000, "unit": "tokens/min"},
            "billing_cycle_start": {"value": "2026-08-01"},
            "billing_cycle_end": {"value": "2026-08-31"},
            "available_data": {"value": "spend_and_usage"},
            "over_spend_limit": {"value": False},
        },
        "models": {
            "qwen-max": {
                "usage_pct": {"value": 82.0, "unit": "%"},
                "used": {"value": 820},
                "limit": {"value": 1000},
                "rpm": {"value": 600, "unit": "requests/min"},
                "tpm": {"value": 1000000, "unit": "tokens/min"},
            },
            "qwen-plus": {
                "usage_pct": {"value": 7.5, "unit": "%"},
                "used": {"value": 150},
                "limit": {"value": 2000},
                "rpm": {"value": 15000, "unit": "requests/min"},
                "tpm": {"value": 1200000, "unit": "tokens/min"},
            },
            "text-embedding-v4": {
                "used": {"value": 30},
                "limit": {"value": 0},
            },
        },
    }


async def test_forecast(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """The forecast comes with its range and the dates."""
    await setup_at_noon(
        hass, freezer, entry, simulator, 10, **OPENED, monthly_budget=260
    )
    assert "projected_monthly_spend" not in (await ask(hass))["Model Studio"]["figures"]
    await spend_alike(simulator, freezer, poll, [10, 11, 12, 13, 14])
    figures = (await ask(hass))["Model Studio"]["figures"]
    assert figures["projected_monthly_spend"] == {
        "value": 310.0,
        "unit": "USD",
        "low": 282.92,
        "high": 337.08,
    }
    assert figures["budget_exhausted_on"]["value"] == "2026-08-26"
    assert figures["balance_lasts_until"]["value"] == "2026-08-24"


async def test_many_models(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """The answer contains the models nearest their limits, or those requested."""
    simulator.body["data"]["models"] = [
        {"model": f"qwen-{number:03}", "used": number, "limit": 500}
        for number in range(500)
    ] + [{"model": "wan", "used": 1}]
    await open_account(hass, entry)
    account = (await ask(hass))["Model Studio"]
    assert list(account["models"]) == [f"qwen-{n}" for n in range(499, 489, -1)]
    assert account["models_not_listed"] == 491
    assert (await ask(hass, model=""))["Model Studio"] == account
    account = (await ask(hass, model="qwen-00*"))["Model Studio"]
    assert list(account["models"]) == [f"qwen-00{n}" for n in range(9, -1, -1)]
    assert "models_not_listed" not in account
    assert (await ask(hass, model="wan"))["Model Studio"]["models"] == {
        "wan": {"used": {"value": 1}}
    }
    assert (await ask(hass, model="none"))["Model Studio"]["models"] == {}
    with pytest.raises(vol.Invalid):
        await ask(hass, model=["qwen-max"])


@pytest.mark.logs("Error fetching")
async def test_figures_of_days_ago(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """The daily spend of an earlier day is left out."""
    freezer.move_to(NOW)
    await open_account(hass, entry)
    read_at = (await ask(hass))["Model Studio"]["read_at"]
    assert read_at == "2026-08-15T12:00:00+00:00"
    simulator.fail(Fault.UNAUTHORIZED)
    await poll(60)
    account = (await ask(hass))["Model Studio"]
    assert account["figures"]["daily_spend"]["value"] == 12.34
    await poll(4 * 24 * 3600)
    account = (await ask(hass))["Model Studio"]
    assert account["read_at"] == read_at
    assert account["figures"]["monthly_spend"]["value"] == 187.65
    assert "daily_spend" not in account["figures"]


@pytest.mark.logs("Error fetching Model Studio spend", "Error fetching")
async def test_failing_source(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """A failing source is named with the reason; its last figures stay for the day."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator)
    await open_account(hass, entry, models=["qwen-max"])
    account = (await ask(hass))["Model Studio"]
    assert "failed_sources" not in account
    assert "daily_spend" in account["models"]["qwen-max"]
    simulator.fail(Fault.SERVER_ERROR, at="billing")
    simulator.fail(Fault.SERVER_ERROR, at="balance")
    await poll(15 * 60 + 1)
    account = (await ask(hass))["Model Studio"]
    assert account["failed_sources"].keys() == {"spend", "balance"}
    assert account["figures"]["monthly_spend"]["value"] == 886.53
    assert "daily_spend" in account["figures"]
    assert "daily_spend" in account["models"]["qwen-max"]
    await poll(24 * 3600)
    account = (await ask(hass))["Model Studio"]
    assert account["figures"]["monthly_spend"]["value"] == 886.53
    assert "daily_spend" not in account["figures"]
    assert "other_models_daily_spend" not in account["figures"]
    assert "daily_spend" not in account["models"]["qwen-max"]


@pytest.mark.logs("Error fetching Model Studio rates")
async def test_failing_prometheus(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """The load of an earlier minute is not the live load."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator)
    await open_account(hass, entry, models=["qwen-max"])
    account = (await ask(hass))["Model Studio"]
    assert "load_pct" in account["models"]["qwen-max"]
    simulator.fail(Fault.SERVER_ERROR, at="prometheus")
    await poll(61)
    assert state(hass, "load_pct", "qwen-max") == "unavailable"
    account = (await ask(hass))["Model Studio"]
    assert "rates" in account["failed_sources"]
    assert "load_pct" not in account["models"]["qwen-max"]
    assert "tokens" in account["models"]["qwen-max"]
    simulator.recover()
    await poll(61)
    account = (await ask(hass))["Model Studio"]
    assert "load_pct" in account["models"]["qwen-max"]


async def test_unknown_is_left_out(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Unknown figures and models without figures are left out; 0 is not."""
    simulator.body["data"] = {
        "monthly_spend": 0,
        "models": [{"model": "qwen-max"}, {"model": "qwen-plus", "used": 0}],
    }
    await open_account(hass, entry)
    account = (await ask(hass))["Model Studio"]
    assert account["figures"] == {
        "monthly_spend": {"value": 0.0, "unit": "USD"},
        "available_data": {"value": "spend_and_usage"},
    }
    assert account["models"] == {"qwen-plus": {"used": {"value": 0}}}


async def test_opened_accounts_only(
    hass: HomeAssistant, account: MockConfigEntry, other: MockConfigEntry
) -> None:
    """Other accounts are not mentioned at all."""
    await setup(hass, other)
    hass.config_entries.async_update_entry(account, options=OPENED)
    accounts = await ask(hass)
    assert accounts.keys() == {"Model Studio"}
    assert "Elsewhere" not in json.dumps(accounts)
    hass.config_entries.async_update_entry(other, options=OPENED)
    assert (await ask(hass)).keys() == {"Model Studio", "Elsewhere"}
    hass.config_entries.async_update_entry(account, options={})
    assert (await ask(hass)).keys() == {"Elsewhere"}


async def test_closed_while_it_is_asked(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    """A tool that is still in use returns nothing once the option is off."""
    hass.config_entries.async_update_entry(account, options=OPENED)
    (tool,) = await tools(hass)
    hass.config_entries.async_update_entry(account, options={})
    result = await call(hass, tool)
    assert result.data == {"accounts": []}


@pytest.mark.logs("Error fetching")
async def test_before_anything_was_read(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Before the first answer, the tool returns the reason."""
    simulator.fail(Fault.SERVER_ERROR)
    await open_account(hass, entry)
    account = (await ask(hass))["Model Studio"]
    assert account.keys() == {"name", "status", "message"}
    assert account["status"] == "error"
    assert account["message"] == attributes(hass, "status")["message"]
    assert "InternalError" in account["message"]


@pytest.mark.logs("Error fetching")
async def test_while_it_cannot_be_read(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """During a failure, the tool returns the last figures and the status."""
    freezer.move_to(NOW)
    await open_account(hass, entry)
    simulator.fail(Fault.UNAUTHORIZED)
    await poll()
    account = (await ask(hass))["Model Studio"]
    assert account["status"] == "auth"
    assert "InvalidApiKey" in account["message"]
    assert account["figures"]["monthly_spend"] == {"value": 187.65, "unit": "USD"}


async def test_with_an_access_key(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
) -> None:
    """The answer contains the AccessKey's figures of followed models, but no key."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator)
    await open_account(hass, entry, models=["qwen-max"])
    account = (await ask(hass))["Model Studio"]
    assert account["models"].keys() == {"qwen-max"}
    assert account["figures"]["monthly_spend"] == {"value": 886.53, "unit": "CNY"}
    assert account["figures"]["available_balance"] == {"value": 2353.47, "unit": "CNY"}
    spent = account["models"]["qwen-max"]["monthly_spend"]
    assert spent == {
        "value": float(state(hass, "monthly_spend", "qwen-max") or 0),
        "unit": "CNY",
    }


@pytest.mark.logs("Error fetching")
async def test_revoked_api_key_with_an_access_key(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
) -> None:
    """The answer contains the bill even if the API key never worked."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator)
    simulator.api_keys = set()
    await open_account(hass, entry)
    account = (await ask(hass))["Model Studio"]
    assert account["status"] == "auth"
    assert account["figures"]["monthly_spend"] == {"value": 886.53, "unit": "CNY"}
