"""The action that returns all that is known."""

from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from syrupy.assertion import SnapshotAssertion

from custom_components.alibaba_cloud.const import (
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_BALANCE_ENDPOINT,
    CONF_BILLING_ENDPOINT,
    DOMAIN,
)
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.json import json_dumps

from .conftest import API_KEY, setup
from .simulator import Fault, Simulator


async def get_usage(hass: HomeAssistant, **data: Any) -> dict[str, Any]:
    """Call the action."""
    response = await hass.services.async_call(
        DOMAIN,
        "get_usage",
        {"config_entry_id": "account", **data},
        blocking=True,
        return_response=True,
    )
    assert API_KEY not in json_dumps(response)
    assert isinstance(response, dict)
    return response


@pytest.mark.usefixtures("account")
async def test_get_usage(
    hass: HomeAssistant, simulator: Simulator, snapshot: SnapshotAssertion
) -> None:
    """All figures with their units, without asking the service."""
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
    ],
)
@pytest.mark.usefixtures("account")
async def test_get_usage_of_models(
    hass: HomeAssistant, pattern: str, models: set[str]
) -> None:
    """A name may have wildcards."""
    assert (await get_usage(hass, model=pattern))["models"].keys() == models


async def test_get_usage_of_limits(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Models without a device are in it too, and what is unknown is None."""
    simulator.body = None
    simulator.account.answer = "limits"
    await setup(hass, entry)
    usage = await get_usage(hass)
    assert usage["account"]["available_data"]["value"] == "limits"
    assert usage["account"]["monthly_spend"] == {"value": None, "unit": None}
    assert len(usage["models"]) > 100
    model = simulator.account.models[0]
    assert usage["models"][model.name]["rpm"] == {
        "value": model.rpm,
        "unit": "requests/min",
    }


@pytest.mark.usefixtures("account")
async def test_no_such_model(hass: HomeAssistant) -> None:
    """It says so."""
    with pytest.raises(ServiceValidationError) as err:
        await get_usage(hass, model="gpt-*")
    assert str(err.value) == "Model Studio lists no model that matches gpt-*"


@pytest.mark.parametrize("config_entry_id", ["nobody", ""])
@pytest.mark.usefixtures("account")
async def test_no_such_account(hass: HomeAssistant, config_entry_id: str) -> None:
    """It says so, too."""
    with pytest.raises(ServiceValidationError) as err:
        await get_usage(hass, config_entry_id=config_entry_id)
    assert err.value.translation_key == "service_config_entry_not_found"


@pytest.mark.logs("Error fetching")
async def test_nothing_read_yet(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """The reason is given."""
    simulator.fail(Fault.ARREARAGE)
    await setup(hass, entry)
    with pytest.raises(HomeAssistantError, match="Arrearage") as err:
        await get_usage(hass)
    assert err.value.translation_key == "nothing_read"


@pytest.mark.parametrize("period", ["day", "month"])
@pytest.mark.parametrize(
    ("start", "known"),
    [("9999-06-01", True), ("9999-12-31", True), ("9990-12-31", False)],
)
async def test_get_spend_until_the_last_day_there_is(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    period: str,
    start: str,
    known: bool,
) -> None:
    """Nothing is billed there, and a range that is too long is refused all the same."""
    [(access_key_id, secret)] = simulator.access_keys.items()
    hass.config_entries.async_update_entry(
        entry,
        data={
            **entry.data,
            CONF_ACCESS_KEY_ID: access_key_id,
            CONF_ACCESS_KEY_SECRET: secret,
            CONF_BILLING_ENDPOINT: simulator.openapi_url,
            CONF_BALANCE_ENDPOINT: simulator.openapi_url,
        },
    )
    await setup(hass, entry)

    async def get_spend() -> Any:
        return await hass.services.async_call(
            DOMAIN,
            "get_spend",
            {
                "config_entry_id": "account",
                "start_date": start,
                "end_date": "9999-12-31",
                "period": period,
            },
            blocking=True,
            return_response=True,
        )

    if known:
        assert (await get_spend())["periods"] == []
    else:
        with pytest.raises(ServiceValidationError) as err:
            await get_spend()
        assert err.value.translation_key == "invalid_range"
