"""Alerts of the budgets of workspaces and API keys."""

from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.alibaba_cloud.const import (
    CONF_API_KEYS,
    CONF_GROUP_BUDGETS,
    CONF_MONTHLY_BUDGET,
    CONF_SPEND_LEVELS,
    CONF_WORKSPACE_NAMES,
    CONF_WORKSPACES,
    DOMAIN,
    EVENT_ALERT,
)
from homeassistant.core import Event, HomeAssistant
from homeassistant.helpers import config_validation as cv, device_registry as dr
from homeassistant.helpers.condition import (
    async_from_config,
    async_validate_condition_config,
)
from homeassistant.setup import async_setup_component
from tests.common import (
    LONG,
    NOTHING,
    Poll,
    arm,
    described,
    device,
    devices,
    last_event,
    reload,
    restart,
    setup,
    triggered,
)
from tests.simulator import Fault, Simulator
from tests.simulator.account import WORKSPACE_ID

LEVEL_REACHED = f"{DOMAIN}.spend_level_reached"
QUARTER = 15 * 60 + 1
WORKSPACE = f"account_workspace_{WORKSPACE_ID}"
API_KEY = "account_api_key_1280977"
MODEL = "account_model_qwen-max"


@pytest.fixture
def entry(hass: HomeAssistant, entry: MockConfigEntry) -> MockConfigEntry:
    """Return an account with budgets of a workspace and an API key.

    The workspace has spent more than its budget, the API key less than half of it.
    """
    hass.config_entries.async_update_entry(
        entry,
        options={
            **entry.options,
            CONF_SPEND_LEVELS: [50],
            CONF_WORKSPACES: [WORKSPACE_ID],
            CONF_WORKSPACE_NAMES: {WORKSPACE_ID: "Production"},
            CONF_API_KEYS: ["1280977"],
            CONF_GROUP_BUDGETS: {
                f"workspace_{WORKSPACE_ID}": 10,
                "api_key_1280977": 1_000_000,
            },
        },
    )
    return entry


def child(hass: HomeAssistant, identifier: str = WORKSPACE) -> dr.ChildDeviceEntry:
    """Return the device of a group."""
    found = dr.async_get(hass).async_get_child_device_by_identifier(
        (DOMAIN, identifier), "account"
    )
    assert found
    return found


def device_ids(
    hass: HomeAssistant, entry: MockConfigEntry, targets: list[str]
) -> list[str]:
    """Return the devices of the account, and of its models and groups."""
    return [
        device(hass, entry) if target == "account" else child(hass, target).id
        for target in targets
    ]


def on(*device_ids: str) -> dict[str, Any]:
    """Return a trigger on the spend of some devices, or of all accounts."""
    return {
        "trigger": LEVEL_REACHED,
        "target": {"device_id": list(device_ids)},
    }


async def is_over_budget(hass: HomeAssistant, device_ids: list[str]) -> bool | None:
    """Return whether any of these devices is over budget."""
    return await holds(hass, "is_over_budget", device_ids)


async def holds(
    hass: HomeAssistant, condition: str, device_ids: list[str]
) -> bool | None:
    """Return the current result of a condition for some devices."""
    config = cv.CONDITION_SCHEMA(
        {
            "condition": f"{DOMAIN}.{condition}",
            "target": {"device_id": device_ids},
        }
    )
    checker = await async_from_config(
        hass, await async_validate_condition_config(hass, config)
    )
    try:
        return checker.async_check()
    finally:
        checker.async_unload()


async def test_budget_of_a_workspace(
    hass: HomeAssistant, entry: MockConfigEntry, poll: Poll
) -> None:
    """The alert is about the workspace's device, and comes once."""
    sent = async_capture_events(hass, EVENT_ALERT)
    await setup(hass, entry)
    kind, shown = last_event(hass)
    assert kind == "spend_level"
    assert shown == {
        **NOTHING,
        "level": 50,
        "spend": shown["spend"],
        "budget": 10,
        "currency": "CNY",
        "workspace_id": WORKSPACE_ID,
        "usage_pct": shown["usage_pct"],
        "period": "2026-08-01",
    }
    assert shown["spend"] > 10
    workspace = child(hass)
    assert sent[0].data["device_id"] == workspace.id
    assert described(hass, sent[0]) == {
        "name": "Model Studio",
        "message": "Spend of Production reached 50% of its budget",
        "entity_id": "event.model_studio_alerts",
    }
    dr.async_get(hass).async_update_child_device(workspace.id, name_by_user="Shop")
    assert described(hass, sent[0])["message"].startswith("Spend of Shop reached")
    await poll(QUARTER)
    await restart(hass, entry)
    assert len(sent) == 1


async def test_workspace_without_a_device_in_the_log(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Its alerts have its ID, and are not about the account's budget."""
    sent = async_capture_events(hass, EVENT_ALERT)
    await setup(hass, entry)
    hass.config_entries.async_update_entry(entry, options={CONF_SPEND_LEVELS: [50]})
    await reload(hass, entry)
    removed = sent[0]
    assert dr.async_get(hass).async_get(removed.data["device_id"]) is None
    of_account = {**removed.data, "device_id": device(hass, entry)}
    for event in (removed, Event(EVENT_ALERT, of_account)):
        assert described(hass, event) == {
            "name": "Model Studio",
            "message": f"Spend of {WORKSPACE_ID} reached 50% of its budget",
            "entity_id": "event.model_studio_alerts",
        }


@pytest.mark.parametrize(
    ("targets", "count"),
    [
        pytest.param([WORKSPACE], 1, id="workspace"),
        pytest.param([API_KEY], 0, id="another group"),
        pytest.param(["account"], 0, id="account"),
        pytest.param(["account", WORKSPACE], 0, id="both"),
        pytest.param([], 0, id="all accounts"),
    ],
)
async def test_trigger(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    poll: Poll,
    targets: list[str],
    count: int,
) -> None:
    """Only a trigger on the workspace itself fires: others mean the account's budget."""
    budgets = entry.options[CONF_GROUP_BUDGETS]
    hass.config_entries.async_update_entry(
        entry, options={**entry.options, CONF_GROUP_BUDGETS: {}}
    )
    await setup(hass, entry)
    events = await arm(hass, on(*device_ids(hass, entry, targets)))
    hass.config_entries.async_update_entry(
        entry, options={**entry.options, CONF_GROUP_BUDGETS: budgets}
    )
    await reload(hass, entry)
    assert triggered(events) == [("spend_level_reached", 50)] * count


@pytest.mark.parametrize(
    ("targets", "count"),
    [
        pytest.param([WORKSPACE], 0, id="workspace"),
        pytest.param([WORKSPACE, MODEL], 1, id="and a model"),
        pytest.param(["account", WORKSPACE], 1, id="and its account"),
        pytest.param([], 1, id="all accounts"),
    ],
)
async def test_budget_of_the_account(
    hass: HomeAssistant, entry: MockConfigEntry, targets: list[str], count: int
) -> None:
    """A trigger on a workspace alone is not about the budget of its account."""
    options = {**entry.options, CONF_GROUP_BUDGETS: {}}
    hass.config_entries.async_update_entry(entry, options=options)
    await setup(hass, entry)
    events = await arm(hass, on(*device_ids(hass, entry, targets)))
    hass.config_entries.async_update_entry(
        entry, options={**options, CONF_MONTHLY_BUDGET: 10}
    )
    await reload(hass, entry)
    assert triggered(events) == [("spend_level_reached", 50)] * count


@pytest.mark.parametrize(
    ("targets", "is_about_account"),
    [
        pytest.param([WORKSPACE], False, id="workspace"),
        pytest.param([API_KEY], False, id="API key"),
        pytest.param([WORKSPACE, API_KEY], False, id="both"),
        pytest.param([MODEL], True, id="model"),
        pytest.param([WORKSPACE, MODEL], True, id="and a model"),
        pytest.param(["account", WORKSPACE], True, id="and its account"),
        pytest.param([], True, id="all accounts"),
    ],
)
@pytest.mark.logs("Error fetching")
async def test_account_of_a_workspace(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    targets: list[str],
    is_about_account: bool,
) -> None:
    """Alerts and conditions of the account are not about its workspaces and API keys."""
    await setup(hass, entry)
    found = device_ids(hass, entry, targets)
    kinds = ["api_key_rejected", "recovered"]
    events = await arm(
        hass,
        *(
            {"trigger": f"{DOMAIN}.{kind}", "target": {"device_id": found}}
            for kind in kinds
        ),
    )
    simulator.fail(Fault.UNAUTHORIZED)
    await poll(LONG)
    await poll(LONG)
    assert await holds(hass, "is_api_key_rejected", found) is is_about_account
    simulator.recover()
    await poll(LONG)
    assert [kind for kind, _ in triggered(events)] == kinds * is_about_account


@pytest.mark.parametrize(
    ("budget", "targets", "is_over"),
    [
        pytest.param(1_000_000, [WORKSPACE], True, id="workspace"),
        pytest.param(1_000_000, [API_KEY], False, id="API key"),
        pytest.param(1_000_000, [API_KEY, WORKSPACE], True, id="both"),
        pytest.param(1_000_000, [WORKSPACE, MODEL], True, id="and a model"),
        pytest.param(1_000_000, ["account"], False, id="account"),
        pytest.param(1_000_000, ["account", WORKSPACE], False, id="and its account"),
        pytest.param(1_000_000, [], False, id="all accounts"),
        pytest.param(10, [API_KEY], False, id="API key of an account over budget"),
        pytest.param(10, [API_KEY, MODEL], True, id="model of an account over budget"),
        pytest.param(10, ["account"], True, id="account over budget"),
        pytest.param(10, [], True, id="all accounts over budget"),
    ],
)
async def test_condition(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    budget: int,
    targets: list[str],
    is_over: bool,
) -> None:
    """The workspace is over its own budget, and the API key is not."""
    hass.config_entries.async_update_entry(
        entry, options={**entry.options, CONF_MONTHLY_BUDGET: budget}
    )
    await setup(hass, entry)
    assert await is_over_budget(hass, device_ids(hass, entry, targets)) is is_over


async def test_condition_without_a_budget_or_a_spend(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """The condition is false, whatever the account spends."""
    await setup(hass, entry)
    device_id = child(hass).id
    assert await is_over_budget(hass, [device_id])
    hass.config_entries.async_update_entry(
        entry,
        options={**entry.options, CONF_GROUP_BUDGETS: {}, CONF_MONTHLY_BUDGET: 10},
    )
    await reload(hass, entry)
    assert not await is_over_budget(hass, [device_id])
    simulator.trend_body = {"success": True, "code": "200", "data": {}}
    hass.config_entries.async_update_entry(
        entry,
        options={**entry.options, CONF_GROUP_BUDGETS: {f"workspace_{WORKSPACE_ID}": 1}},
    )
    await reload(hass, entry)
    assert not await is_over_budget(hass, [device_id])


@pytest.mark.logs(
    *(f"Error fetching Model Studio {s}" for s in ("spend", "workspaces", "api_keys"))
)
async def test_condition_before_any_spend_is_read(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """The groups of a new account have no device yet, and none is over its budget."""
    simulator.fail(Fault.SERVER_ERROR, at="billing")
    await setup(hass, entry)
    assert "Production" not in devices(hass, entry)
    assert await is_over_budget(hass, [device(hass, entry)]) is False


async def test_offered_in_the_editor(
    hass: HomeAssistant, entry: MockConfigEntry, hass_ws_client: WebSocketGenerator
) -> None:
    """The editor offers what is about a budget for a workspace and an API key."""
    assert await async_setup_component(hass, "automation", {})
    await setup(hass, entry)
    client = await hass_ws_client(hass)
    for target in (WORKSPACE, API_KEY):
        for kind, key in (
            ("triggers", LEVEL_REACHED),
            ("conditions", f"{DOMAIN}.is_over_budget"),
        ):
            await client.send_json_auto_id(
                {
                    "type": f"get_{kind}_for_target",
                    "target": {"device_id": device_ids(hass, entry, [target])},
                }
            )
            offered = (await client.receive_json())["result"]
            assert key in offered
            assert f"{DOMAIN}.api_key_rejected" not in offered
            assert f"{DOMAIN}.is_api_key_rejected" not in offered
