"""Issues: raised with their cause, withdrawn when it is gone."""

from collections.abc import Callable
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.alibaba_cloud.const import (
    CONF_API_KEY_ENV,
    CONF_BASE_URL,
    CONF_MODELS,
    DOMAIN,
)
from homeassistant.config_entries import ConfigEntryDisabler
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.translation import async_get_translations
from homeassistant.setup import async_setup_component

from .conftest import API_KEY, Poll, answer, setup
from .simulator import Fault, Simulator


def issues(hass: HomeAssistant) -> dict[str, dict[str, str] | None]:
    """Return the issues of the integration, with what their texts are filled with."""
    return {
        issue.translation_key or "": issue.translation_placeholders
        for issue in ir.async_get(hass).issues.values()
        if issue.domain == DOMAIN
    }


def changed(**data: Any) -> Any:
    """Return the account answer with other data."""
    body = answer("account")
    body["data"] |= data
    return body


@pytest.mark.parametrize(
    ("cause", "key", "placeholders"),
    [
        (
            lambda simulator: simulator.fail(
                Fault.ERROR_CODE, code="AccessDenied", message="Not activated."
            ),
            "account_unavailable",
            {"error": "AccessDenied: Not activated."},
        ),
        (
            lambda simulator: simulator.fail(Fault.ARREARAGE, message="Overdue."),
            "arrearage",
            {"error": "Arrearage: Overdue."},
        ),
        (
            lambda simulator: simulator.fail(Fault.FREE_TIER_ONLY, message="Used up."),
            "free_quota_used_up",
            {"error": "AllocationQuota.FreeTierOnly: Used up."},
        ),
        (
            lambda simulator: setattr(simulator, "body", changed(models=[])),
            "no_models",
            {},
        ),
        (
            lambda simulator: setattr(
                simulator, "body", {"output": {"total": 0, "quotas": []}}
            ),
            "no_models",
            {},
        ),
        (
            lambda simulator: setattr(simulator, "body", changed(monthly_spend=512.5)),
            "over_spend_limit",
            {"spend": "512.5 USD", "limit": "500 USD"},
        ),
    ],
)
async def test_issue(
    request: pytest.FixtureRequest,
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    cause: Callable[[Simulator], None],
    key: str,
    placeholders: dict[str, str],
) -> None:
    """It comes with its cause, outlasts an outage and a reload, and goes with it."""
    expected = {key: {"account": "Model Studio", **placeholders}}
    failures = key in {"account_unavailable", "arrearage", "free_quota_used_up"}
    request.node.add_marker(
        pytest.mark.logs(*["Error fetching"] * (4 if failures else 1))
    )
    assert issues(hass) == {}
    cause(simulator)
    await poll()
    assert issues(hass) == expected
    await simulator.stop()
    await poll(20 * 60)
    assert issues(hass) == expected
    await simulator.start()
    await poll()
    assert issues(hass) == expected
    assert await hass.config_entries.async_reload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert issues(hass) == expected

    simulator.recover()
    simulator.body = answer("account")
    await poll(20 * 60)
    assert issues(hass) == {}
    cause(simulator)
    await poll()
    assert issues(hass) == expected
    await hass.config_entries.async_set_disabled_by(
        account.entry_id, ConfigEntryDisabler.USER
    )
    assert issues(hass) == {}
    await hass.config_entries.async_set_disabled_by(account.entry_id, None)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert issues(hass) == expected
    await hass.config_entries.async_remove(account.entry_id)
    assert issues(hass) == {}


@pytest.mark.logs("Error fetching")
@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.HTML, Fault.UNAUTHORIZED])
@pytest.mark.usefixtures("account")
async def test_no_issue_of_what_ends_by_itself(
    hass: HomeAssistant, simulator: Simulator, poll: Poll, fault: Fault
) -> None:
    """There is nothing to mend for the user, or reauthentication asks for it."""
    simulator.fail(fault)
    await poll()
    assert issues(hass) == {}


@pytest.mark.logs("Error fetching")
async def test_environment_variable(
    hass: HomeAssistant,
    enable_custom_integrations: None,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Model Studio",
        data={
            CONF_API_KEY_ENV: "DASHSCOPE_API_KEY",
            CONF_BASE_URL: simulator.base_url,
        },
    )
    entry.add_to_hass(hass)
    await setup(hass, entry)
    assert issues(hass) == {
        "environment_variable_missing": {
            "account": "Model Studio",
            "variable": "DASHSCOPE_API_KEY",
        }
    }
    monkeypatch.setenv("DASHSCOPE_API_KEY", API_KEY)
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert issues(hass) == {}


async def test_chosen_model_is_gone(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """It is said which, goes when they return, and offers to give them up."""
    hass.config_entries.async_update_entry(
        entry, options={CONF_MODELS: ["qwen-max", "qwen-old", "wan-old"]}
    )
    await setup(hass, entry)
    expected = {
        "model_gone": {"account": "Model Studio", "models": "qwen-old, wan-old"}
    }
    assert issues(hass) == expected

    rows = simulator.body["data"]["models"]
    rows.extend({"model": name, "used": 1} for name in ("qwen-old", "wan-old"))
    await poll()
    assert issues(hass) == {}
    del rows[-2:]
    await poll()
    assert issues(hass) == expected

    assert await async_setup_component(hass, "repairs", {})
    client = await hass_client()
    response = await client.post(
        "/api/repairs/issues/fix",
        json={"handler": DOMAIN, "issue_id": "model_gone_account"},
    )
    form = await response.json()
    assert form["step_id"] == "confirm"
    assert form["description_placeholders"]["models"] == "qwen-old, wan-old"
    response = await client.post(f"/api/repairs/issues/fix/{form['flow_id']}", json={})
    assert (await response.json())["type"] == "create_entry"
    await hass.async_block_till_done(wait_background_tasks=True)
    assert entry.options == {CONF_MODELS: ["qwen-max"]}
    assert issues(hass) == {}


@pytest.mark.usefixtures("enable_custom_integrations")
async def test_every_issue_has_its_text(hass: HomeAssistant) -> None:
    """Title and what to do, or a fix flow with both."""
    texts = await async_get_translations(hass, "en", "issues", [DOMAIN])
    keys = {key.split(".")[3] for key in texts}
    assert keys == {
        "account_unavailable",
        "arrearage",
        "balance_failing",
        "environment_variable_missing",
        "free_quota_used_up",
        "history_failing",
        "model_gone",
        "no_models",
        "over_spend_limit",
        "spend_failing",
        "telemetry_failing",
    }
