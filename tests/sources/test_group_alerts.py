"""Alerts of the budgets of workspaces and API keys."""

from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)

from custom_components.alibaba_cloud.const import (
    CONF_API_KEYS,
    CONF_GROUP_BUDGETS,
    CONF_SPEND_LEVELS,
    CONF_WORKSPACE_NAMES,
    CONF_WORKSPACES,
    DOMAIN,
    EVENT_ALERT,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from tests.common import (
    NOTHING,
    Poll,
    arm,
    described,
    device,
    last_event,
    reload,
    restart,
    setup,
    triggered,
)
from tests.simulator.account import WORKSPACE_ID

LEVEL_REACHED = f"{DOMAIN}.spend_level_reached"
QUARTER = 15 * 60 + 1
WORKSPACE = f"account_workspace_{WORKSPACE_ID}"


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


def on(*device_ids: str) -> dict[str, Any]:
    """Return a trigger on the spend of some devices."""
    return {
        "trigger": LEVEL_REACHED,
        "target": {"device_id": list(device_ids)},
    }


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
        "name": "Production",
        "message": "Spend reached 50% of its budget",
        "entity_id": "event.model_studio_alerts",
    }
    dr.async_get(hass).async_update_child_device(workspace.id, name_by_user="Shop")
    assert described(hass, sent[0])["name"] == "Shop"
    await poll(QUARTER)
    await restart(hass, entry)
    assert len(sent) == 1


async def test_workspace_that_is_gone_from_the_log(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """An old alert of a removed device is told of the account."""
    sent = async_capture_events(hass, EVENT_ALERT)
    await setup(hass, entry)
    hass.config_entries.async_update_entry(entry, options={CONF_SPEND_LEVELS: [50]})
    await reload(hass, entry)
    assert described(hass, sent[0])["name"] == "Model Studio"


@pytest.mark.parametrize(
    ("targets", "count"),
    [
        pytest.param([WORKSPACE], 1, id="workspace"),
        pytest.param(["account_api_key_1280977"], 0, id="another group"),
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
    devices = [
        device(hass, entry) if target == "account" else child(hass, target).id
        for target in targets
    ]
    events = await arm(hass, on(*devices) if devices else {"trigger": LEVEL_REACHED})
    hass.config_entries.async_update_entry(
        entry, options={**entry.options, CONF_GROUP_BUDGETS: budgets}
    )
    await reload(hass, entry)
    assert triggered(events) == [("spend_level_reached", 50)] * count
