"""Hundreds of models and several accounts: updates do not block the event loop.

Further tests check models that a killed Home Assistant removed only partly.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import DOMAIN
from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er

from .common import (
    Poll,
    answer,
    arm,
    device as device_id,
    entity_id,
    model_levels,
    refresh,
    setup,
    state,
    triggered,
)
from .simulator import Fault, Simulator

MODELS = [f"model-{number:03}" for number in range(200)]


def many_models() -> dict[str, Any]:
    """Return an answer with all the models."""
    body: dict[str, Any] = answer("account")
    body["data"]["models"] = [
        {"model": name, "used": 1, "limit": 100} for name in MODELS
    ]
    return body


@contextmanager
def turns(hass: HomeAssistant) -> Iterator[list[int]]:
    """Count the states that are written in each turn of the event loop."""
    written = [0]
    over = False

    @callback
    def count(_: Event[Any]) -> None:
        written[-1] += 1

    def next_turn() -> None:
        if not over:
            written.append(0)
            hass.loop.call_soon(next_turn)

    stop = hass.bus.async_listen(EVENT_STATE_CHANGED, count)
    next_turn()
    yield written
    over = True
    stop()


async def test_entities_are_added_in_portions(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """The first set-up of many models does not block the event loop."""
    simulator.body = many_models()
    with turns(hass) as written:
        await setup(hass, entry)
    assert sum(written) > 2 * len(MODELS)
    assert max(written) < 50
    assert {state(hass, "used", name) for name in MODELS} == {"1"}


async def test_unload_while_entities_are_added(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """After an unload, no more entities are added; the next set-up adds the rest."""
    simulator.body = many_models()
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert state(hass, "used", MODELS[-1]) is None
    assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert state(hass, "used", MODELS[-1]) is None
    states = {state.state for state in hass.states.async_all()}
    assert states == {STATE_UNAVAILABLE}
    await setup(hass, entry)
    assert {state(hass, "used", name) for name in MODELS} == {"1"}


@pytest.mark.logs("ERROR .* Error fetching Model Studio data")
async def test_models_are_updated_in_portions(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """An outage updates all models in portions."""
    simulator.body = many_models()
    await poll()
    simulator.fail(Fault.SERVER_ERROR)
    with turns(hass) as written:
        await poll()
    assert sum(written) > 2 * len(MODELS)
    assert max(written) < 100
    assert {state(hass, "used", name) for name in MODELS} == {STATE_UNAVAILABLE}
    simulator.recover()
    await poll()
    assert {state(hass, "used", name) for name in MODELS} == {"1"}


@pytest.mark.logs("ERROR .* Error fetching Model Studio data")
async def test_only_listeners_of_changed_models_are_called(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A model's listener is called if its figures change or it is gone.

    A listener of the account is called if any figure changes, and after each poll that
    fails. While nothing changes, no listener is called.
    """
    await poll()
    listeners = {name: Mock() for name in (None, "qwen-max", "qwen-plus")}
    for name, listener in listeners.items():
        account.runtime_data.async_add_listener(listener, name)
    await poll()
    assert len(simulator.requests) == 3
    assert [listener.call_count for listener in listeners.values()] == [0, 0, 0]
    body = answer("account")
    body["data"]["models"][0]["used"] += 1
    simulator.body = body
    await poll()
    assert [listener.call_count for listener in listeners.values()] == [1, 1, 0]
    del body["data"]["models"][1]
    await poll()
    assert [listener.call_count for listener in listeners.values()] == [2, 1, 1]
    simulator.fail(Fault.THROTTLED)
    for seconds, calls in ((31, 3), (61, 4)):
        await poll(seconds)
        assert listeners[None].call_count == calls
    simulator.recover()
    for seconds, calls in ((121, 5), (31, 5)):
        await poll(seconds)
        assert listeners[None].call_count == calls


@pytest.mark.logs("ERROR .* Unexpected error in a listener of Model Studio")
async def test_listener_that_fails_or_is_removed(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Other listeners are still called if one fails or is removed."""
    await poll()
    removed, last = Mock(), Mock()
    add = account.runtime_data.async_add_listener
    add(removed)()
    add(Mock(side_effect=ValueError))
    add(last)
    simulator.body = {"data": {"daily_spend": 1}}
    await poll()
    last.assert_called_once_with()
    removed.assert_not_called()


@pytest.mark.logs("ERROR .* Error fetching Model Studio data")
async def test_entities_that_outlasted_their_device(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Entities of missing models are removed once the models are read."""
    registry = er.async_get(hass)
    for name in ("qwen-max", "gone"):
        registry.async_get_or_create(
            "sensor", DOMAIN, f"account_model_{name}_used", config_entry=entry
        )
    simulator.fail(Fault.SERVER_ERROR)
    await setup(hass, entry)
    assert entity_id(hass, "used", "gone")
    simulator.recover()
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert entity_id(hass, "used", "gone") is None
    assert state(hass, "used", "qwen-max") == "820"


@pytest.mark.parametrize("back", [1, 30])
async def test_models_that_return_at_once(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    back: int,
) -> None:
    """An alert of a model reaches its device, even before its entities are added."""
    simulator.body = many_models()
    await setup(hass, entry)
    last = device_id(hass, entry, MODELS[-1])
    events = await arm(
        hass,
        {
            "trigger": f"{DOMAIN}.model_level_reached",
            "target": {"device_id": [last]},
        },
    )
    rows = simulator.body["data"]["models"]
    gone, rows[-back:] = rows[-back:], []
    await poll()
    assert MODELS[-1] not in devices(hass)
    for other in rows:
        other["used"] = 2
    rows.extend(row | {"used": 100} for row in gone)
    await poll()
    assert triggered(events) == model_levels(80, 100)
    assert device_id(hass, entry, MODELS[-1]) == last
    assert state(hass, "used", MODELS[-1]) == "100"


def devices(hass: HomeAssistant) -> set[str | None]:
    """Return the names of the models that have a device."""
    return {
        device.name
        for device in dr.async_child_entries_for_config_entry(
            dr.async_get(hass), "account"
        )
    }


@pytest.fixture
async def removing(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> MockConfigEntry:
    """Return an account that is removing all its models except the last."""
    simulator.body = many_models()
    await setup(hass, entry)
    simulator.body = many_models()
    del simulator.body["data"]["models"][:-1]
    await refresh(hass)
    assert 0 < len(MODELS) - len(devices(hass)) < 100
    return entry


async def test_models_are_removed_in_portions(
    hass: HomeAssistant, removing: MockConfigEntry
) -> None:
    """Removing hundreds of models does not block the event loop."""
    left, turns = len(devices(hass)), 0
    while left > 1:
        before, left = left, len(devices(hass))
        assert before - left < 20
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
    await hass.async_block_till_done(wait_background_tasks=True)
    assert devices(hass) == {MODELS[-1]}
    assert {name for name in MODELS if entity_id(hass, "used", name)} == {MODELS[-1]}


@pytest.mark.usefixtures("removing")
async def test_models_return_while_they_are_removed(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """Models that return during the removal stay or come back."""
    simulator.body = many_models()
    del simulator.body["data"]["models"][100:150]
    await poll()
    expected = {*MODELS[:100], *MODELS[150:]}
    assert devices(hass) == expected
    assert {name for name in MODELS if state(hass, "used", name) == "1"} == expected


async def test_device_is_removed_by_hand_meanwhile(
    hass: HomeAssistant, removing: MockConfigEntry
) -> None:
    """Devices that the user removes meanwhile do not stop the removal."""
    registry = dr.async_get(hass)
    for name in MODELS[100:102]:
        device = registry.async_get_child_device_by_identifier(
            (DOMAIN, f"account_model_{name}"), "account"
        )
        assert device is not None
        registry.async_remove_device(device.id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert devices(hass) == {MODELS[-1]}


async def test_device_that_comes_after_its_model_has_gone(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Entities are added in portions: a poll may no longer list their model by then."""
    dr.async_get(hass).async_get_or_create_child(
        config_entry_id="account",
        identifiers={(DOMAIN, "account_model_gone")},
        name="gone",
        parent_device_id=device_id(hass, account),
    )
    assert "gone" in devices(hass)
    simulator.body["data"]["models"][0]["used"] += 1
    await poll()
    assert "gone" not in devices(hass)


async def test_unload_while_models_are_removed(
    hass: HomeAssistant, removing: MockConfigEntry
) -> None:
    """After an unload, the next set-up removes the rest."""
    assert await hass.config_entries.async_unload(removing.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert len(devices(hass)) > 1
    await setup(hass, removing)
    assert devices(hass) == {MODELS[-1]}
    assert {name for name in MODELS if entity_id(hass, "used", name)} == {MODELS[-1]}


@pytest.mark.logs("ERROR .* Error fetching Model Studio data")
async def test_outage_while_models_are_removed(
    hass: HomeAssistant, removing: MockConfigEntry, simulator: Simulator
) -> None:
    """An outage does not stop the removal."""
    simulator.fail(Fault.SERVER_ERROR)
    await removing.runtime_data.quotas.async_refresh()
    await hass.async_block_till_done(wait_background_tasks=True)
    assert devices(hass) == {MODELS[-1]}
