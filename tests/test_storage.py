"""The stored state of an account: damaged, of another host or version, removed."""

import asyncio
from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from decimal import Decimal
import json
import logging
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import CONF_LOW_BALANCE
from custom_components.alibaba_cloud.model_studio import AccountSnapshot, Money
from custom_components.alibaba_cloud.storage import AccountStore
from homeassistant.components.automation import DOMAIN as AUTOMATION
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_ON, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.trigger import async_validate_trigger_config
from homeassistant.util import dt as dt_util

from .common import (
    EVERY_TRIGGER,
    LONG,
    STORED,
    Poll,
    arm,
    device,
    noon,
    refresh,
    report,
    setup,
    setup_at_noon,
    spend_alike,
    spend_levels,
    state,
    triggered,
    unload,
)
from .simulator import Simulator

pytestmark = pytest.mark.usefixtures("kept", "low_figures")


async def test_removed_account(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """The file is removed; automations stay valid and do not trigger."""
    device_id = device(hass, account)
    trigger = {**EVERY_TRIGGER[0], "target": {"device_id": [device_id]}}
    events = await arm(hass, trigger)
    report(simulator, monthly_spend=400)
    await poll()
    assert triggered(events) == spend_levels(50, 80)
    assert STORED in kept
    assert await hass.config_entries.async_remove(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    report(simulator, monthly_spend=500)
    for _ in range(3):
        await poll(LONG)
    assert STORED not in kept
    assert events == []
    for service in ("turn_off", "turn_on"):
        await hass.services.async_call(
            AUTOMATION, service, {"entity_id": "automation.record"}, blocking=True
        )
    assert hass.states.is_state("automation.record", STATE_ON)
    result = await async_validate_trigger_config(hass, cv.TRIGGER_SCHEMA([trigger]))
    assert result[0]["target"] == {"device_id": [device_id]}


async def test_removed_in_the_middle_of_a_poll(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """An answer after the removal triggers nothing and stores nothing."""
    events = await arm(hass)
    report(simulator, monthly_spend=400)
    body = simulator.body
    removals: list[asyncio.Task[Any]] = []

    def remove(_: Any) -> Any:
        remover = hass.config_entries.async_remove(account.entry_id)
        removals.append(hass.async_create_task(remover))
        return body

    simulator.body = remove
    await refresh(hass)
    [removal] = removals
    await removal
    await poll(LONG)
    assert events == []
    assert STORED not in kept


async def test_days_are_those_of_a_host(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """Stored days of another host are not used for the forecast."""
    await setup_at_noon(hass, freezer, entry, simulator, 10)
    await spend_alike(simulator, freezer, poll, [10, 11, 12])
    await unload(hass, entry)
    assert kept[STORED]["data"]["base_url"] == simulator.base_url
    kept[STORED]["data"]["base_url"] = "https://elsewhere.example/api/v1"
    await setup(hass, entry)
    await spend_alike(simulator, freezer, poll, [13])
    assert state(hass, "projected_monthly_spend") == STATE_UNKNOWN


DAMAGED: list[Any] = [
    ["a list", 1],
    {},
    {"of": "another version"},
    "text",
    0,
    float("nan"),
    True,
]


@pytest.mark.parametrize("damaged", DAMAGED)
@pytest.mark.parametrize("part", ["alerts", "days", "periods", "shown", "history"])
async def test_damaged_part(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    part: str,
    damaged: Any,
) -> None:
    """A damaged part starts empty; the other parts stay."""
    await setup_at_noon(hass, freezer, entry, simulator, 10, monthly_budget=260)
    await spend_alike(simulator, freezer, poll, [10, 11, 12, 13, 14])
    await unload(hass, entry)
    kept[STORED]["data"][part] = damaged
    events = await arm(hass)
    await setup(hass, entry)
    # All of `shown` is optional.
    readable = part == "shown" and damaged in DAMAGED[1:3]
    logged = [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and "cannot be read" in record.getMessage()
    ]
    assert len(logged) == (0 if readable else 1)
    assert all(message.startswith(f"{part} in ") for message in logged)
    caplog.clear()
    assert state(hass, "monthly_spend") == "135"
    if part != "periods":
        forecast = state(hass, "projected_monthly_spend")
        assert (forecast == STATE_UNKNOWN) is (part == "days")
    assert bool(triggered(events)) is (part == "alerts")
    await unload(hass, entry)
    assert kept[STORED]["data"][part] != damaged


def replaced(value: Any, by: Any) -> Iterator[Any]:
    """Yield copies of a stored value, each with one of its values replaced."""
    yield by
    if isinstance(value, dict):
        for key, inner in value.items():
            for other in replaced(inner, by):
                yield {**value, key: other}
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            for other in replaced(inner, by):
                yield [*value[:number], other, *value[number + 1 :]]


@pytest.mark.parametrize(
    "damaged",
    [None, [], {}, "", "text", "NaN", "2026-08-15T12:00:00", -1, 1e400, True],
)
async def test_damaged_anywhere(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    damaged: Any,
) -> None:
    """The account is set up and polled with any value damaged."""
    freezer.move_to(noon(10))
    hass.config_entries.async_update_entry(entry, options={CONF_LOW_BALANCE: 500})
    report(simulator, daily_spend=5, monthly_spend=405, used=900)
    await setup(hass, entry)
    await spend_alike(simulator, freezer, poll, [10, 11, 12])
    await unload(hass, entry)
    stored = deepcopy(kept[STORED]["data"])
    assert all(stored["alerts"][key] for key in ("low_balances", "models"))
    for data in replaced(stored, damaged):
        kept[STORED]["data"] = data
        store = AccountStore(hass, entry.entry_id, simulator.base_url)
        await store.async_load()
        store.record_shown(AccountSnapshot())
        assert json.loads(json.dumps(store.alerts.as_dict()))
        assert store.periods.as_dict()
        assert store.days.totals(dt_util.utcnow()) is not None
    caplog.clear()


@pytest.mark.parametrize("damaged", [None, ["a list"], "text", 0, float("nan"), True])
async def test_damaged_whole(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    kept: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    damaged: Any,
) -> None:
    """An account whose stored data is not an object starts empty."""
    await unload(hass, account)
    kept[STORED]["data"] = damaged
    await setup(hass, account)
    assert account.state is ConfigEntryState.LOADED
    assert state(hass, "monthly_spend") == "100"
    assert ("cannot be read" in caplog.text) is bool(damaged)
    caplog.clear()


@pytest.mark.logs("Error setting up entry")
async def test_stored_by_a_later_version(
    hass: HomeAssistant, account: MockConfigEntry, kept: dict[str, Any]
) -> None:
    """A file of a later version is not changed; the set-up fails with the reason."""
    await unload(hass, account)
    kept[STORED]["version"] = 2
    before = deepcopy(kept[STORED])
    await hass.config_entries.async_setup(account.entry_id)
    assert account.state is ConfigEntryState.SETUP_ERROR
    assert account.error_reason_translation_key == "stored_by_later_version"
    assert kept[STORED] == before


async def test_news_while_it_is_written(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    hass_storage: dict[str, Any],
) -> None:
    """A change during a write is written later."""
    await setup(hass, with_access_key)
    store = with_access_key.runtime_data.store
    saving = hass.async_create_task(store.async_save())
    day, amount = date(2026, 8, 2), Money(amount=Decimal(77), currency="CNY")
    store.record_bills({day: amount}, "CNY")
    await saving
    assert store.has_changed
    await unload(hass, with_access_key)
    assert not store.has_changed
    assert hass_storage[STORED]["data"]["days"]["billed"]["2026-08-02"] == "77"


@pytest.mark.usefixtures("account")
async def test_changes_with_each_poll(
    hass: HomeAssistant, simulator: Simulator, poll: Poll, kept: dict[str, Any]
) -> None:
    """A change does not put off the write of the changes before it."""
    await poll(LONG)
    for number in range(32):
        report(simulator, tokens_used=number)
        await poll(31)
    stored = json.loads(kept[STORED]["data"]["answer"])["data"]["tokens_used"]
    # The last ones are not due yet.
    assert 0 < stored < 31


@pytest.mark.usefixtures("account")
async def test_nothing_new_is_not_written(poll: Poll, kept: dict[str, Any]) -> None:
    await poll(LONG)
    await poll(LONG)
    del kept[STORED]
    for _ in range(32):
        await poll(31)
    assert STORED not in kept


async def test_stored_by_an_earlier_version(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    kept: dict[str, Any],
) -> None:
    """A file without days and alerts is read."""
    await unload(hass, account)
    for key in ("days", "alerts", "history"):
        del kept[STORED]["data"][key]
    report(simulator, monthly_spend=400)
    events = await arm(hass)
    await setup(hass, account)
    assert triggered(events) == spend_levels(50, 80)
