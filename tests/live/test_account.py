"""An account in a complete Home Assistant: set-up, restarts and failures."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from tests.simulator import Account, Fault, Simulator

from .account import DOMAIN, WITHIN, LiveAccount, enter_account
from .conftest import API_KEY, ExpectedLog
from .instance import HomeAssistant, States, eventually

LOGGER = f"custom_components.{DOMAIN}"

OFF_BY_DEFAULT = ("limit", "rpm", "tpm")

HEALTHY: dict[str, str | float] = {
    "status": "ok",
    "api_key_problem": "off",
    "rate_limited": "off",
    "account_available": "on",
}
REJECTED = HEALTHY | {
    "status": "auth",
    "api_key_problem": "on",
    "account_available": "off",
}
THROTTLED = HEALTHY | {"status": "limited", "rate_limited": "on"}
OUT_OF_REACH = HEALTHY | {"status": "error", "account_available": "off"}


def figures(account: Account) -> dict[str, str | float]:
    """Return the states of all figures that an account reports, by key."""
    data = account.respond({}, "")["data"]
    states = {
        "credit_balance": data["credits"],
        "available_balance": data["available"],
        "rpm": data["rate_limit"]["rpm"],
        "tpm": data["rate_limit"]["tpm"],
        "billing_cycle_start": data["billing_period"]["start"],
        "billing_cycle_end": data["billing_period"]["end"],
        "over_spend_limit": "off",
    } | {
        key: data[key]
        for key in (
            "spend_limit",
            "daily_spend",
            "monthly_spend",
            "tokens_used",
            "requests_used",
        )
    }
    for model in data["models"]:
        key = f"model_{model['model']}"
        states[f"{key}_used"] = model["used"]
        states[f"{key}_usage_pct"] = 100 * model["used"] / model["limit"]
    return states


def no_figures(account: Account) -> dict[str, str | float]:
    """Return the same figures as unavailable, by key."""
    return dict.fromkeys(figures(account), "unavailable")


def attributes(states: States) -> dict[str, dict[str, Any]]:
    """Return the attributes by key."""
    return {key: state["attributes"] for key, state in states.items()}


async def test_set_up(home_assistant: HomeAssistant, simulator: Simulator) -> None:
    form = await home_assistant.start_flow(DOMAIN)
    assert form["step_id"] == "api_key"
    assert [field["name"] for field in form["data_schema"]] == [
        "name",
        "api_key",
        "base_url",
    ]

    form = await home_assistant.continue_flow(
        form["flow_id"], api_key="sk-wrong", base_url="url"
    )
    form = await home_assistant.continue_flow(form["flow_id"], url=simulator.base_url)
    assert form["errors"] == {"base": "invalid_auth"}

    step = await home_assistant.continue_flow(
        form["flow_id"], api_key=API_KEY, url=f"{simulator.base_url}/"
    )
    assert step["type"] == "create_entry"
    account = LiveAccount(home_assistant, step["result"]["entry_id"])
    await account.shows(**HEALTHY, **figures(simulator.account))

    models = simulator.account.model_names
    entities = await account.entities()
    for model, key in product(models, OFF_BY_DEFAULT):
        assert entities[f"model_{model}_{key}"]["disabled_by"] == "integration"
    entry = await account.entry()
    devices = await account.devices()
    assert devices.keys() == {entry["title"], *models}
    assert devices[entry["title"]]["entry_type"] == "service"
    assert {devices[model]["parent_device_id"] for model in models} == {
        devices[entry["title"]]["id"]
    }

    again = await enter_account(
        home_assistant, api_key=API_KEY, base_url=simulator.base_url
    )
    assert again["reason"] == "already_configured"


async def test_diagnostics(account: LiveAccount) -> None:
    diagnostics = await account.home_assistant.request(
        "GET", f"/api/diagnostics/config_entry/{account.entry_id}"
    )
    assert diagnostics["data"]
    assert API_KEY not in str(diagnostics)


async def test_figures_move_by_themselves(
    account: LiveAccount, simulator: Simulator
) -> None:
    before = figures(simulator.account)
    await account.shows(**before)

    simulator.account.advance(timedelta(hours=3))

    after = figures(simulator.account)
    assert after["monthly_spend"] != before["monthly_spend"]
    await account.shows(**after)


async def test_restart(
    account: LiveAccount, log: ExpectedLog, simulator: Simulator
) -> None:
    wanted = HEALTHY | figures(simulator.account)
    before = await account.shows(**wanted)

    await account.home_assistant.restart()

    after = await account.shows(**wanted)
    assert attributes(after) == attributes(before)

    # The recorder warns about the unclean shutdown of its database.
    log.expect("homeassistant.components.recorder.util", 2)
    await account.home_assistant.kill()
    await account.home_assistant.start()

    after = await account.shows(**wanted)
    assert attributes(after) == attributes(before)


async def test_key_revoked(
    account: LiveAccount, log: ExpectedLog, simulator: Simulator
) -> None:
    simulator.api_keys = {"sk-new"}
    log.expect(LOGGER)

    await account.home_assistant.restart()

    await account.shows(**REJECTED, **no_figures(simulator.account))
    assert (await account.entry())["state"] == "loaded"
    flow = await eventually(account.reauth_flow, within=WITHIN)
    form = await account.home_assistant.continue_flow(flow["flow_id"], api_key="sk-old")
    assert form["errors"] == {"base": "invalid_auth"}

    step = await account.home_assistant.continue_flow(flow["flow_id"], api_key="sk-new")

    assert step["reason"] == "reauth_successful"
    await account.shows(**HEALTHY, **figures(simulator.account))
    assert await account.reauth_flow() is None


async def test_key_revoked_for_a_while(
    account: LiveAccount, log: ExpectedLog, simulator: Simulator
) -> None:
    log.expect(LOGGER)

    simulator.api_keys = set()
    await account.refresh()

    await account.shows(**REJECTED, **no_figures(simulator.account))
    await eventually(account.reauth_flow, within=WITHIN)

    simulator.api_keys = {API_KEY}
    await account.refresh()

    await account.shows(**HEALTHY, **figures(simulator.account))
    assert await account.reauth_flow() is None


async def test_service_stopped(
    account: LiveAccount, log: ExpectedLog, simulator: Simulator
) -> None:
    log.expect(LOGGER, 2)

    await simulator.stop()
    await account.refresh()
    await account.shows(**OUT_OF_REACH, **no_figures(simulator.account))

    await account.home_assistant.restart()
    await account.shows(**OUT_OF_REACH, **no_figures(simulator.account))
    assert (await account.entry())["state"] == "loaded"

    await simulator.start()
    await account.refresh()
    await account.shows(**HEALTHY, **figures(simulator.account))


async def test_throttled(
    account: LiveAccount, log: ExpectedLog, simulator: Simulator
) -> None:
    before = figures(simulator.account)
    log.expect(LOGGER, 2)

    simulator.fail(Fault.THROTTLED, retry_after=60)
    simulator.account.advance(timedelta(hours=3))
    await account.refresh()
    await account.shows(**THROTTLED, **before)

    await account.home_assistant.restart()
    await account.shows(**THROTTLED, **before)
    assert (await account.entry())["state"] == "loaded"

    simulator.recover()
    await account.refresh()
    await account.shows(**HEALTHY, **figures(simulator.account))


async def test_models_come_and_go(account: LiveAccount, simulator: Simulator) -> None:
    before = await account.entity_ids()

    simulator.account.add_model("qwen-new")
    simulator.account.remove_model("qwen-max")
    await account.refresh()

    await account.shows(**figures(simulator.account))
    assert not [key for key in await account.entities() if "qwen-max" in key]
    devices = await account.devices()
    assert "qwen-new" in devices
    assert "qwen-max" not in devices

    await account.home_assistant.stop()
    simulator.account.remove_model("qwen-new")
    simulator.account.add_model("qwen-max")
    await account.home_assistant.start()

    await account.shows(**figures(simulator.account))
    assert await account.entity_ids() == before
    assert "qwen-new" not in await account.devices()


@pytest.fixture
async def with_key_in_environment(
    home_assistant: HomeAssistant,
) -> AsyncIterator[HomeAssistant]:
    """Run Home Assistant with the key in its environment."""
    home_assistant.environment["ALIBABA_CLOUD_API_KEY"] = "sk-of-the-environment"
    await home_assistant.restart()
    yield home_assistant
    home_assistant.environment.clear()
    await home_assistant.stop()


async def test_key_in_environment(
    with_key_in_environment: HomeAssistant, simulator: Simulator
) -> None:
    home_assistant = with_key_in_environment
    simulator.api_keys = {"sk-of-the-environment"}

    menu = await home_assistant.start_flow(DOMAIN)
    assert menu["menu_options"] == ["environment", "api_key"]
    form = await home_assistant.continue_flow(
        menu["flow_id"], next_step_id="environment"
    )
    form = await home_assistant.continue_flow(form["flow_id"], base_url="url")
    step = await home_assistant.continue_flow(form["flow_id"], url=simulator.base_url)

    account = LiveAccount(home_assistant, step["result"]["entry_id"])
    await account.shows(**HEALTHY, **figures(simulator.account))
    await home_assistant.restart()
    await account.shows(**HEALTHY, **figures(simulator.account))
    assert not [
        path
        for path in (home_assistant.directory / ".storage").iterdir()
        if "sk-of-the-environment" in path.read_text()
    ]
