"""The import in a running Home Assistant: daily, after a restart, at the removal."""

from datetime import timedelta
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)

from custom_components.alibaba_cloud.const import CONF_MODELS, DOMAIN
from custom_components.alibaba_cloud.owners import statistic_id
from homeassistant.components.recorder.models import StatisticMeanType
from homeassistant.components.recorder.statistics import (
    async_add_external_statistics,
    async_list_statistic_ids,
)
from homeassistant.core import HomeAssistant
from tests.common import STORED, answer, setup
from tests.simulator import Fault

from .common import MODELS, ON_BOTH, World, execute, rows_of


async def test_import_at_setup_and_daily(
    hass: HomeAssistant, world: World, entry: MockConfigEntry
) -> None:
    """Past spend is imported at set-up and then once a day."""
    simulator = world.simulator
    await setup(hass, entry)
    world.bill(*MODELS)
    await world.check()

    def months_asked() -> int:
        return sum(
            "2026-07" in request.query.get("timePeriod", "")
            for request in simulator.signed_requests
        )

    asked = months_asked()
    for _ in range(2):
        world.away(1)
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)
    world.bill(*MODELS)
    await world.check()
    assert months_asked() == asked + 2

    # After a restart, past spend is not read again.
    await hass.config_entries.async_unload(entry.entry_id)
    await setup(hass, entry)
    assert months_asked() == asked + 3
    await world.check()


@pytest.mark.logs(
    *(f"Error fetching Model Studio {source}" for source in ("spend", "history"))
)
async def test_failed_import_is_tried_every_hour(
    hass: HomeAssistant, world: World, entry: MockConfigEntry
) -> None:
    """After a failure, the import is tried every hour, not once a day."""
    world.simulator.fail(Fault.SERVER_ERROR, at="billing")
    await setup(hass, entry)
    world.simulator.recover()
    for minutes in (50, 11):
        assert await rows_of(hass, statistic_id("account", "CNY")) == []
        world.freezer.tick(timedelta(minutes=minutes))
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)
    world.bill(*MODELS)
    await world.check()


@pytest.mark.parametrize("usage", [False, True], ids=["limits", "usage"])
@pytest.mark.parametrize(
    "partial_answer",
    [
        pytest.param(
            False,
            marks=pytest.mark.logs(*["Error fetching Model Studio data"] * 2),
            id="fails",
        ),
        pytest.param(True, id="in part"),
    ],
)
async def test_start_without_the_models(
    hass: HomeAssistant,
    world: World,
    entry: MockConfigEntry,
    hass_storage: dict[str, Any],
    usage: bool,
    partial_answer: bool,
) -> None:
    """If the models are unknown after a start, their past spend is not read again."""
    simulator = world.simulator
    body = answer("account")
    if usage:
        simulator.body = body
    # A selected model that the service does not list is not followed.
    options = {} if usage else {CONF_MODELS: [*MODELS, "gone"]}
    hass.config_entries.async_update_entry(entry, options=options)
    await setup(hass, entry)
    await hass.config_entries.async_unload(entry.entry_id)
    known = hass_storage[STORED]["data"]["history"]
    assert set(MODELS) <= set(known)

    if partial_answer:
        simulator.body = answer("account")
        simulator.body["data"]["models"] = "?"
    else:
        simulator.fail(Fault.SERVER_ERROR)
    for _ in range(2):
        simulator.signed_requests.clear()
        await setup(hass, entry)
        asked = [
            request.query["timePeriod"]
            for request in simulator.signed_requests
            if "timePeriod" in request.query
        ]
        # This month's bill, and the days that may have been revised.
        assert len(asked) == 3
        await hass.config_entries.async_unload(entry.entry_id)
        assert hass_storage[STORED]["data"]["history"] == known
        world.away(1)


@ON_BOTH
async def test_removal_deletes_the_statistics(
    hass: HomeAssistant, world: World, entry: MockConfigEntry
) -> None:
    """Queued statistics are deleted, too; those of another account stay."""
    other = World(
        hass=hass, freezer=world.freezer, simulator=world.simulator, entry_id="01JOTHER"
    )
    await other.run(*MODELS)
    await setup(hass, entry)
    async_add_external_statistics(
        hass,
        {
            "mean_type": StatisticMeanType.NONE,
            "has_sum": True,
            "name": None,
            "source": DOMAIN,
            "statistic_id": statistic_id("account", "USD"),
            "unit_class": None,
            "unit_of_measurement": "USD",
        },
        [],
    )
    await hass.config_entries.async_remove(entry.entry_id)
    await async_wait_recording_done(hass)
    left = await async_list_statistic_ids(hass, statistic_type="sum")
    assert {row["statistic_id"] for row in left} == {
        statistic_id("01JOTHER", "CNY", model) for model in (None, *MODELS)
    }
    other.bill(*MODELS)
    await other.check()


async def test_removal_of_an_account_without_statistics(
    hass: HomeAssistant, world: World, entry: MockConfigEntry
) -> None:
    """Removal works without statistics; those of another account stay."""
    world.entry_id = "01JOTHER"
    await world.run(*MODELS)
    await hass.config_entries.async_remove(entry.entry_id)
    world.bill(*MODELS)
    await world.check()


@pytest.mark.logs("The statistics of Model Studio are left")
@pytest.mark.usefixtures("quiet_recorder")
async def test_removal_while_the_database_fails(
    hass: HomeAssistant, world: World, entry: MockConfigEntry
) -> None:
    """The account is removed even if its statistics can't be deleted."""
    await setup(hass, entry)
    await execute(hass, "ALTER TABLE statistics_meta RENAME TO away")
    await hass.config_entries.async_remove(entry.entry_id)
    assert hass.config_entries.async_entries(DOMAIN) == []
    await execute(hass, "ALTER TABLE away RENAME TO statistics_meta")
