"""The action that returns an account's figures."""

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from syrupy.assertion import SnapshotAssertion

from custom_components.alibaba_cloud.const import CONF_MODELS
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError

from .common import Poll, get_usage, setup
from .simulator import Fault, Simulator


@pytest.mark.usefixtures("account")
async def test_get_usage(
    hass: HomeAssistant, simulator: Simulator, snapshot: SnapshotAssertion
) -> None:
    """The action returns all figures with their units, without a request."""
    simulator.requests.clear()
    assert await get_usage(hass) == snapshot
    assert simulator.requests == []


@pytest.mark.parametrize(
    ("pattern", "models"),
    [
        ("qwen-max", {"qwen-max"}),
        ("qwen-*", {"qwen-max", "qwen-plus"}),
        ("*v?", {"text-embedding-v4"}),
        ("*", {"qwen-max", "qwen-plus", "text-embedding-v4"}),
        ("", {"qwen-max", "qwen-plus", "text-embedding-v4"}),
    ],
)
@pytest.mark.usefixtures("account")
async def test_get_usage_of_models(
    hass: HomeAssistant, pattern: str, models: set[str]
) -> None:
    """The name of a model may contain wildcards."""
    assert (await get_usage(hass, model=pattern))["models"].keys() == models


async def test_get_usage_of_limits(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Only followed models are returned, unless all are requested."""
    simulator.body = None
    simulator.account.answer = "limits"
    followed, other = (model.name for model in simulator.account.models[:2])
    hass.config_entries.async_update_entry(entry, options={CONF_MODELS: [followed]})
    await setup(hass, entry)
    usage = await get_usage(hass)
    assert usage["account"]["available_data"] == {"value": "limits"}
    assert "monthly_spend" not in usage["account"]
    assert usage["models"].keys() == {followed}
    assert usage["models"][followed]["rpm"] == {
        "value": simulator.account.models[0].rpm,
        "unit": "requests/min",
    }
    everything = await get_usage(hass, include_all_models=True)
    assert len(everything["models"]) > 100
    assert everything["models"][followed] == usage["models"][followed]
    found = await get_usage(hass, model=other, include_all_models=True)
    assert found["models"].keys() == {other}
    with pytest.raises(ServiceValidationError) as err:
        await get_usage(hass, model=other)
    assert err.value.translation_key == "no_followed_model"
    assert str(err.value).startswith(
        f"No followed model of Model Studio matches {other}"
    )


async def test_get_usage_without_nulls(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Unknown figures and models without figures are left out; a figure of 0 is not."""
    simulator.body["data"] = {
        "monthly_spend": 0,
        "models": [{"model": "qwen-max"}, {"model": "qwen-plus", "used": 0}],
    }
    await setup(hass, entry)
    usage = await get_usage(hass)
    assert usage.keys() == {"status", "read_at", "account", "models"}
    assert usage["account"] == {
        "monthly_spend": {"value": 0.0, "unit": "USD"},
        "available_data": {"value": "spend_and_usage"},
    }
    assert usage["models"] == {"qwen-plus": {"used": {"value": 0}}}


@pytest.mark.usefixtures("account")
async def test_no_such_model(hass: HomeAssistant) -> None:
    """The error names the account and the pattern."""
    with pytest.raises(ServiceValidationError) as err:
        await get_usage(hass, model="gpt-*", include_all_models=True)
    assert str(err.value) == "Model Studio lists no model that matches gpt-*"


@pytest.mark.parametrize("config_entry_id", ["nobody", ""])
@pytest.mark.usefixtures("account")
async def test_no_such_account(hass: HomeAssistant, config_entry_id: str) -> None:
    """An unknown account is an error."""
    with pytest.raises(ServiceValidationError) as err:
        await get_usage(hass, config_entry_id=config_entry_id)
    assert err.value.translation_key == "service_config_entry_not_found"


@pytest.mark.logs("Error fetching")
async def test_nothing_read_yet(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Before the first answer, the error contains the reason."""
    simulator.fail(Fault.ARREARAGE)
    await setup(hass, entry)
    with pytest.raises(HomeAssistantError, match="Arrearage") as err:
        await get_usage(hass)
    assert err.value.translation_key == "nothing_read"


@pytest.mark.logs("Error fetching")
async def test_get_usage_of_a_failing_account(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """During a failure, the last figures are returned with the reason."""
    simulator.fail(Fault.UNAUTHORIZED)
    await poll(60)
    usage = await get_usage(hass)
    assert usage["status"] == "auth"
    assert "InvalidApiKey" in usage["message"]
    assert usage["read_at"] == "2026-08-15T12:00:00+00:00"
    assert usage["account"]["daily_spend"] == {"value": 12.34, "unit": "USD"}
    await poll(24 * 3600)
    usage = await get_usage(hass)
    assert "daily_spend" not in usage["account"]
    assert usage["account"]["monthly_spend"] == {"value": 187.65, "unit": "USD"}
