"""The action that returns the list prices of models."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import CONF_BASE_URL, DOMAIN
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.json import json_dumps

from .common import API_KEY, NOW, Poll, get_usage, setup, state
from .flows import BEIJING, answering_at, tls
from .simulator import Fault, Simulator
from .simulator.prices import PRICES

DAY = 24 * 60 * 60 + 1
HOUR = 60 * 60 + 1


async def get_prices(hass: HomeAssistant, **data: Any) -> Any:
    """Return the response of the action, which contains no API key."""
    response = await hass.services.async_call(
        DOMAIN,
        "get_prices",
        {"config_entry_id": "account", **data},
        blocking=True,
        return_response=True,
    )
    assert API_KEY not in json_dumps(response)
    return response


@pytest.mark.usefixtures("account")
async def test_get_prices(hass: HomeAssistant, simulator: Simulator) -> None:
    """The action returns the prices of the last poll, without nulls."""
    simulator.price_requests.clear()
    prices = await get_prices(hass)
    assert prices["models"].keys() == PRICES.keys() - {"model-unit"}
    # The simulator is not at a host of the vendor: the currency is unknown.
    million = {"per": 1_000_000, "unit": "token"}
    assert prices["models"]["qwen-max"] == {
        "steps": [
            {
                "prices": [
                    {"kind": "input", "name": "Input", "amount": 1.6} | million,
                    {"kind": "output", "name": "Output", "amount": 6.4} | million,
                    {"kind": "cached_input", "name": "Cached input", "amount": 0.64}
                    | million,
                ]
            }
        ]
    }
    assert prices["models"]["qwen-image"]["steps"] == [
        {
            "prices": [
                {
                    "name": "Image generation",
                    "amount": 0.035,
                    "per": 1,
                    "unit": "image",
                }
            ]
        }
    ]
    assert [step["range"] for step in prices["models"]["qwen-plus"]["steps"]] == [
        "0<Token≤256K",
        "256K<Token≤1M",
    ]
    assert simulator.price_requests == []


async def test_currency_at_a_host_of_the_vendor(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, tmp_path: Path
) -> None:
    hass.config_entries.async_update_entry(
        entry, data={**entry.data, CONF_BASE_URL: BEIJING}
    )
    contexts = tls(tmp_path, ["dashscope.aliyuncs.com"])
    async with answering_at(hass, simulator, contexts):
        await setup(hass, entry)
    [step] = (await get_prices(hass, model="qwen-max"))["models"]["qwen-max"]["steps"]
    assert {price["currency"] for price in step["prices"]} == {"CNY"}


@pytest.mark.parametrize(
    ("pattern", "models"),
    [
        ("qwen-plus", {"qwen-plus"}),
        (
            "qwen-*",
            {"qwen-max", "qwen-plus", "qwen-turbo", "qwen-vl-max", "qwen-image"},
        ),
        ("*v?", {"text-embedding-v4"}),
    ],
)
@pytest.mark.usefixtures("account")
async def test_get_prices_of_models(
    hass: HomeAssistant, pattern: str, models: set[str]
) -> None:
    """The name may contain wildcards; models without a device have prices, too."""
    assert (await get_prices(hass, model=pattern))["models"].keys() == models


@pytest.mark.usefixtures("account")
async def test_empty_pattern(hass: HomeAssistant) -> None:
    assert await get_prices(hass, model="") == await get_prices(hass)


async def test_step_without_a_known_price_is_left_out(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    price = {
        "type": "input_token",
        "price": "1",
        "price_unit": "per 1K tokens",
        "price_name": "",
    }
    simulator.prices_body = {
        "output": {
            "models": [
                {
                    "model": "qwen-max",
                    "prices": [
                        {"range_name": "short", "prices": [{**price, "price": "?"}]},
                        {"range_name": "long", "prices": [price]},
                    ],
                }
            ],
            "total": 1,
        }
    }
    await setup(hass, entry)
    assert await get_prices(hass) == {
        "models": {
            "qwen-max": {
                "steps": [
                    {
                        "range": "long",
                        "prices": [
                            {
                                "kind": "input",
                                "amount": 1.0,
                                "per": 1000,
                                "unit": "token",
                            }
                        ],
                    }
                ]
            }
        }
    }


@pytest.mark.usefixtures("account")
async def test_no_such_model(hass: HomeAssistant) -> None:
    with pytest.raises(ServiceValidationError) as err:
        await get_prices(hass, model="gpt-*")
    assert str(err.value) == (
        "Model Studio has no prices of a model that matches gpt-*"
    )


async def test_host_without_prices(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """A host without prices is no failure; the action raises an error."""
    simulator.fail(Fault.NOT_FOUND, at="prices")
    await setup(hass, entry)
    for data in ({}, {"model": "qwen-max"}):
        with pytest.raises(ServiceValidationError) as err:
            await get_prices(hass, **data)
        assert str(err.value) == (
            "The region or host of Model Studio does not report any prices"
        )
    assert "failed_sources" not in await get_usage(hass)


@pytest.mark.logs("Error fetching Model Studio prices")
async def test_prices_that_fail(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
) -> None:
    """The error contains the reason, and prices are read again after an hour."""
    freezer.move_to(NOW)
    simulator.fail(Fault.SERVER_ERROR, at="prices")
    await setup(hass, entry)
    assert state(hass, "status") == "ok"
    with pytest.raises(HomeAssistantError, match="InternalError") as err:
        await get_prices(hass)
    assert err.value.translation_key == "prices_not_read"
    assert (await get_usage(hass))["failed_sources"].keys() == {"prices"}
    simulator.recover()
    await poll(HOUR)
    assert (await get_prices(hass))["models"]
    assert "failed_sources" not in await get_usage(hass)


@pytest.mark.logs("Error fetching Model Studio prices")
async def test_last_prices_are_kept(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Prices are read once a day; a failure leaves the last prices."""
    simulator.price_requests.clear()
    for _ in range(23):
        await poll(HOUR)
    assert simulator.price_requests == []
    simulator.fail(Fault.SERVER_ERROR, at="prices")
    await poll(HOUR)
    assert len(simulator.price_requests) == 1
    assert (await get_prices(hass))["models"]


@pytest.mark.logs("Error fetching Model Studio data")
async def test_prices_wait_for_the_key(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
) -> None:
    """While the API key is rejected, prices are not requested."""
    freezer.move_to(NOW)
    keys, simulator.api_keys = simulator.api_keys, set()
    await setup(hass, entry)
    assert simulator.price_requests == []
    with pytest.raises(HomeAssistantError, match="InvalidApiKey") as err:
        await get_prices(hass)
    assert err.value.translation_key == "prices_not_read"
    simulator.api_keys = keys
    await poll(5 * 60 + 1)
    assert len(simulator.price_requests) == 1
    assert (await get_prices(hass))["models"]
    await poll()
    assert len(simulator.price_requests) == 1


@pytest.mark.parametrize("fault", [Fault.UNAUTHORIZED, Fault.FORBIDDEN])
@pytest.mark.logs("Error fetching Model Studio prices")
async def test_prices_that_are_refused_ask_for_no_key(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    fault: Fault,
) -> None:
    """Rejected requests for prices start no reauth flow."""
    simulator.fail(fault, at="prices")
    await setup(hass, with_access_key)
    assert state(hass, "status") == "ok"
    assert state(hass, "api_key_problem") == "off"
    assert state(hass, "access_key_problem") == "off"
    assert hass.config_entries.flow.async_progress() == []


@pytest.mark.logs("Error fetching Model Studio prices data")
async def test_failing_prices_cost_nothing(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Failing prices do not notify listeners, as no figure depends on prices."""
    simulator.fail(Fault.SERVER_ERROR, at="prices")
    await setup(hass, entry)
    await poll()
    listener = Mock()
    entry.runtime_data.async_add_listener(listener)
    await poll()
    listener.assert_not_called()
    assert state(hass, "status") == "ok"
