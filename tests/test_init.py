"""Set-up, unload and removal of accounts, and the devices of models."""

import asyncio
import json
from typing import Any
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.alibaba_cloud.const import CONF_BASE_URL, CONF_MODELS, DOMAIN
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_API_KEY, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import UnknownFlow
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.setup import async_setup_component

from .common import Poll, entity_id, open_options, setup, state
from .simulator import Fault, Simulator


def models(hass: HomeAssistant) -> set[str | None]:
    """Return the names of the models that have a device."""
    return {
        device.name
        for device in dr.async_child_entries_for_config_entry(
            dr.async_get(hass), "account"
        )
    }


STORED = f"{DOMAIN}.account"
ALL = {"qwen-max", "qwen-plus", "text-embedding-v4"}


async def test_devices(hass: HomeAssistant, account: MockConfigEntry) -> None:
    """The account is a service device, and its models are child devices."""
    registry = dr.async_get(hass)
    (device,) = dr.async_entries_for_config_entry(registry, account.entry_id)
    assert device.entry_type is dr.DeviceEntryType.SERVICE
    assert device.name == "Model Studio"
    assert device.identifiers == {(DOMAIN, "account")}
    child = registry.async_get_child_device_by_identifier(
        (DOMAIN, "account_model_qwen-max"), account.entry_id
    )
    assert child is not None
    assert child.parent_device_id == device.id
    assert models(hass) == ALL


@pytest.fixture
def new_entry(hass: HomeAssistant, entry: MockConfigEntry) -> MockConfigEntry:
    """Return an account that was never set up."""
    registry = dr.async_get(hass)
    for device in dr.async_entries_for_config_entry(registry, entry.entry_id):
        registry.async_remove_device(device.id)
    return entry


@pytest.mark.logs("Error fetching", "Error fetching")
async def test_first_setup_fails(
    hass: HomeAssistant,
    new_entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """The set-up of a new account is retried until the account is read.

    Afterwards, the account is set up even if the service fails.
    """
    loaded = hass.config_entries.async_loaded_entries
    simulator.fail(Fault.SERVER_ERROR)
    assert not await hass.config_entries.async_setup(new_entry.entry_id)
    assert new_entry.state is ConfigEntryState.SETUP_RETRY
    assert new_entry.error_reason_translation_key == "account_unavailable"
    registry = dr.async_get(hass)
    assert not dr.async_entries_for_config_entry(registry, new_entry.entry_id)

    simulator.recover()
    await poll(60)
    assert loaded(DOMAIN) == [new_entry]
    assert state(hass, "status") == "ok"

    simulator.fail(Fault.SERVER_ERROR)
    assert await hass.config_entries.async_reload(new_entry.entry_id)
    assert loaded(DOMAIN) == [new_entry]
    assert state(hass, "status") == "error"


@pytest.mark.logs(
    "Error fetching", "could not authenticate: Invalid or expired API key"
)
async def test_first_setup_with_a_rejected_key(
    hass: HomeAssistant, new_entry: MockConfigEntry, simulator: Simulator
) -> None:
    """A rejected key of a new account starts one reauth flow."""
    simulator.fail(Fault.UNAUTHORIZED)
    assert not await hass.config_entries.async_setup(new_entry.entry_id)
    await hass.async_block_till_done()
    assert new_entry.state is ConfigEntryState.SETUP_ERROR
    assert new_entry.error_reason_translation_key == "invalid_auth"
    [flow] = hass.config_entries.flow.async_progress()
    assert flow["step_id"] == "reauth_confirm"


@pytest.mark.logs("Unexpected error fetching")
async def test_first_setup_with_an_unexpected_error(
    hass: HomeAssistant, new_entry: MockConfigEntry
) -> None:
    """After an unexpected error, the set-up is retried."""
    with patch(
        "custom_components.alibaba_cloud.model_studio.ModelStudioClient.get_account",
        side_effect=RuntimeError,
    ):
        assert not await hass.config_entries.async_setup(new_entry.entry_id)
    assert new_entry.state is ConfigEntryState.SETUP_RETRY


@pytest.mark.usefixtures("account")
async def test_models_come_and_go(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """A model that returns has the same IDs and its figures."""
    rows = simulator.body["data"]["models"]
    before = entity_id(hass, "usage_pct", "qwen-max")
    for _ in range(2):
        gone = rows.pop(0)
        await poll()
        assert models(hass) == ALL - {"qwen-max"}
        assert entity_id(hass, "usage_pct", "qwen-max") is None
        assert before is not None
        assert hass.states.get(before) is None

        rows.insert(0, gone)
        await poll()
        assert models(hass) == ALL
        assert entity_id(hass, "usage_pct", "qwen-max") == before
        assert state(hass, "usage_pct", "qwen-max") == "82.0"

    rows.append({"name": "qwen-turbo", "used": 1, "limit": 2})
    await poll()
    assert models(hass) == ALL | {"qwen-turbo"}
    assert state(hass, "usage_pct", "qwen-turbo") == "50.0"


async def test_models_come_and_go_while_down(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    """Changes during downtime are applied at the start."""
    before = entity_id(hass, "used", "qwen-plus")
    rows = simulator.body["data"]["models"]
    await hass.config_entries.async_unload(account.entry_id)
    gone = rows.pop(1)
    await setup(hass, account)
    assert models(hass) == ALL - {"qwen-plus"}
    await hass.config_entries.async_unload(account.entry_id)
    rows.append(gone)
    await setup(hass, account)
    assert models(hass) == ALL
    assert entity_id(hass, "used", "qwen-plus") == before
    assert state(hass, "used", "qwen-plus") == "150"


@pytest.mark.parametrize(
    "answered",
    [
        "null",
        '"none"',
        "[1, 2]",
        '[{"model": "qwen-max", "used": 820, "limit": 1000}, {"used": 1}]',
        '{"qwen-max": {"used": 820, "limit": 1000}, "qwen-plus": null}',
    ],
)
@pytest.mark.usefixtures("account")
async def test_partial_answer_removes_no_model(
    hass: HomeAssistant, simulator: Simulator, poll: Poll, answered: str
) -> None:
    """Only a complete list removes models."""
    simulator.body["data"]["models"] = json.loads(answered)
    await poll()
    assert models(hass) == ALL
    assert state(hass, "used", "qwen-plus") == "unknown"


@pytest.mark.usefixtures("account")
async def test_model_of_a_partial_answer_goes_too(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """A model from a partial answer is removed if the next complete one lacks it."""
    rows = simulator.body["data"]["models"]
    simulator.body["data"]["models"] = [*rows, {"name": "new", "used": 1}, None]
    await poll()
    assert models(hass) == ALL | {"new"}
    simulator.body["data"]["models"] = rows
    await poll()
    assert models(hass) == ALL


@pytest.mark.logs("Error fetching", "Error fetching")
async def test_failed_answer_removes_no_model(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A failure removes no model, neither while running nor at the start."""
    simulator.fail(Fault.SERVER_ERROR)
    await poll()
    assert models(hass) == ALL
    await hass.config_entries.async_unload(account.entry_id)
    await setup(hass, account)
    assert models(hass) == ALL
    assert state(hass, "used", "qwen-plus") == STATE_UNAVAILABLE
    simulator.recover()
    await poll()
    assert state(hass, "used", "qwen-plus") == "150"


@pytest.mark.logs("rejected by integration", "rejected by integration")
async def test_removing_a_device(
    hass: HomeAssistant,
    account: MockConfigEntry,
    hass_ws_client: WebSocketGenerator,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """The user can remove a model that is no longer reported; it may return."""
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client(hass)
    registry = dr.async_get(hass)
    (device,) = dr.async_entries_for_config_entry(registry, account.entry_id)
    child = registry.async_get_child_device_by_identifier(
        (DOMAIN, "account_model_qwen-max"), account.entry_id
    )
    assert child is not None

    async def remove(device_id: str) -> bool:
        response = await client.remove_device(device_id)
        return bool(response["success"])

    assert not await remove(device.id)
    assert not await remove(child.id)

    row = simulator.body["data"]["models"].pop(0)
    simulator.body["data"]["models"].append("of the wrong type")
    await poll()
    assert models(hass) == ALL
    assert await remove(child.id)
    assert models(hass) == ALL - {"qwen-max"}

    simulator.body["data"]["models"].append(row)
    await poll()
    assert models(hass) == ALL
    assert state(hass, "usage_pct", "qwen-max") == "82.0"


@pytest.mark.logs("Error fetching", *["rejected by integration"] * 4)
async def test_removing_a_device_while_nothing_is_known(
    hass: HomeAssistant,
    account: MockConfigEntry,
    hass_ws_client: WebSocketGenerator,
    simulator: Simulator,
) -> None:
    """Before the first answer, no model counts as gone."""
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client(hass)
    await hass.config_entries.async_unload(account.entry_id)
    simulator.fail(Fault.SERVER_ERROR)
    await setup(hass, account)
    registry = dr.async_get(hass)
    (device,) = dr.async_entries_for_config_entry(registry, account.entry_id)
    children = dr.async_child_entries_for_config_entry(registry, account.entry_id)
    for each in (device, *children):
        assert not (await client.remove_device(each.id))["success"]
    assert models(hass) == ALL


async def test_unload_and_reload_leave_nothing(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """An unload stops polling; a reload duplicates nothing."""
    states = hass.states.async_all()
    listeners = hass.bus.async_listeners()
    for _ in range(3):
        assert await hass.config_entries.async_reload(account.entry_id)
        await hass.async_block_till_done(wait_background_tasks=True)
    assert {state.entity_id: state.state for state in hass.states.async_all()} == {
        state.entity_id: state.state for state in states
    }
    assert hass.bus.async_listeners() == listeners
    simulator.requests.clear()
    await poll()
    assert len(simulator.requests) == 1

    assert await hass.config_entries.async_unload(account.entry_id)
    assert account.state is ConfigEntryState.NOT_LOADED
    await poll(3600)
    assert len(simulator.requests) == 1
    assert all(state.state == STATE_UNAVAILABLE for state in hass.states.async_all())


async def test_spend_windows_are_stored(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Spend is stored at a roll-over, every 15 minutes and at the unload."""

    def amount() -> Any:
        return hass_storage[STORED]["data"]["periods"]["daily"]["amount"]

    await poll()
    assert amount() == "12.34"
    for spend in range(13, 41):
        simulator.body["data"]["daily_spend"] = spend
        await poll()
        assert amount() == "12.34"
    for _ in range(3):
        await poll()
    assert amount() == "40"

    simulator.body["data"]["daily_spend"] = 41
    await poll()
    simulator.body["data"]["daily_spend"] = 1
    await poll()
    await poll()
    assert amount() == "1"

    simulator.body["data"]["daily_spend"] = 2
    await poll()
    assert amount() == "1"
    await hass.config_entries.async_unload(account.entry_id)
    assert amount() == "2"


@pytest.mark.parametrize("last", ["reload", "remove"])
async def test_everything_at_once(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    last: str,
) -> None:
    """A poll, reloads, options, reauth and a removal at once leave nothing behind."""
    manager = hass.config_entries
    listeners = hass.bus.async_listeners()
    await setup(hass, entry)
    options = await open_options(hass, entry)
    reauth = await entry.start_reauth_flow(hass)

    simulator.requests.clear()
    simulator.fail(Fault.HANG, times=1)
    freezer.tick(31)
    async_fire_time_changed(hass)
    while not simulator.requests:  # noqa: ASYNC110 - no event for this
        await asyncio.sleep(0)

    results = await asyncio.gather(
        manager.async_reload(entry.entry_id),
        manager.options.async_configure(
            options["flow_id"], {CONF_MODELS: ["qwen-max"]}
        ),
        manager.flow.async_configure(reauth["flow_id"], {CONF_API_KEY: "sk-simulator"}),
        manager.async_reload(entry.entry_id),
        return_exceptions=True,
    )
    # Home Assistant ends the reauth flow itself once a reload has succeeded.
    assert {type(result) for result in results} <= {bool, dict, UnknownFlow}
    if last == "remove":
        await manager.async_remove(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert manager.flow.async_progress() == []

    simulator.requests.clear()
    await poll()
    if last == "reload":
        assert models(hass) == {"qwen-max"}
        assert len(simulator.requests) == 1
        await manager.async_remove(entry.entry_id)
        await hass.async_block_till_done(wait_background_tasks=True)
    else:
        assert simulator.requests == []
    assert hass.states.async_all() == []
    assert models(hass) == set()
    left = hass.bus.async_listeners()
    assert left.get("device_registry_updated") == listeners.get(
        "device_registry_updated"
    )


async def test_removal(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    account: MockConfigEntry,
    poll: Poll,
) -> None:
    """An account that is removed leaves no device, entity or stored data."""
    await poll()
    assert STORED in hass_storage
    await hass.config_entries.async_remove(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert STORED not in hass_storage
    assert hass.states.async_all() == []
    assert models(hass) == set()
    assert not dr.async_entries_for_config_entry(dr.async_get(hass), "account")
    assert not er.async_entries_for_config_entry(er.async_get(hass), "account")


@pytest.mark.logs("Error fetching Second")
async def test_accounts_do_not_disturb_each_other(
    hass: HomeAssistant, account: MockConfigEntry, poll: Poll
) -> None:
    """One account fails while the other is fine."""
    async with Simulator() as other:
        second = MockConfigEntry(
            domain=DOMAIN,
            title="Second",
            entry_id="second",
            data={CONF_API_KEY: "sk-simulator", CONF_BASE_URL: other.base_url},
        )
        second.add_to_hass(hass)
        await setup(hass, second)
        other.fail(Fault.UNAUTHORIZED)
        await poll()
        assert state(hass, "status") == "ok"
        status = hass.states.get("sensor.second_status")
        assert status is not None
        assert status.state == "auth"
        await hass.config_entries.async_remove(second.entry_id)
        await hass.async_block_till_done(wait_background_tasks=True)
    await poll()
    assert state(hass, "monthly_spend") == "187.65"
