"""Past spend with a recorder that fails or hangs."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from unittest.mock import patch

import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.alibaba_cloud.const import DOMAIN
from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.statistics import async_add_external_statistics
from homeassistant.components.recorder.tasks import RecorderTask
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
from tests.common import attributes, get_usage, setup

from .common import ADD, DATABASE_FAILS, MODELS, World, execute, until


@pytest.mark.parametrize(
    "table",
    # Imports read and write statistics_meta; the first one only writes statistics.
    ["statistics_meta", "statistics"],
)
@pytest.mark.logs(DATABASE_FAILS)
@pytest.mark.usefixtures("quiet_recorder")
async def test_database_fails(
    hass: HomeAssistant, world: World, entry: MockConfigEntry, table: str
) -> None:
    """A failed import is a failed source with an issue, and is retried hourly."""
    await execute(hass, f"ALTER TABLE {table} RENAME TO away")
    await setup(hass, entry)
    for _ in range(2):
        [(source, message)] = attributes(hass, "status")["failed_sources"].items()
        assert source == "history"
        assert message == (
            "The recorder could not store the statistics of past spend."
            " Home Assistant tries again within an hour"
        )
        world.freezer.tick(timedelta(minutes=61))
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)
    registry = ir.async_get(hass)
    assert {issue for domain, issue in registry.issues if domain == DOMAIN} == {
        "statistics_not_written_account"
    }
    issue = registry.issues[DOMAIN, "statistics_not_written_account"]
    assert issue.translation_placeholders is not None
    assert "SELECT" not in str(issue.translation_placeholders)
    assert issue.learn_more_url is None

    await execute(hass, f"ALTER TABLE away RENAME TO {table}")
    world.freezer.tick(timedelta(minutes=61))
    async_fire_time_changed(hass)
    await hass.async_block_till_done(wait_background_tasks=True)
    world.bill(*MODELS)
    await world.check()
    assert attributes(hass, "status")["failed_sources"] == {}
    assert not [issue for domain, issue in registry.issues if domain == DOMAIN]


@dataclass(slots=True)
class Hold(RecorderTask):
    """A task that blocks the recorder."""

    event: Event

    def run(self, instance: Recorder) -> None:
        """Wait for the event, at most 10 seconds."""
        self.event.wait(10)


@pytest.mark.logs(DATABASE_FAILS)
async def test_recorder_that_hangs(
    hass: HomeAssistant, world: World, entry: MockConfigEntry
) -> None:
    """If the recorder hangs, polls continue and the import is retried."""
    release = Event()
    try:
        get_instance(hass).queue_task(Hold(release))
        simulator = world.simulator
        assert await hass.config_entries.async_setup(entry.entry_id)
        with patch(ADD, wraps=async_add_external_statistics) as add:
            await until(lambda: add.call_count == 3)
        await hass.async_block_till_done()
        for _ in range(2):
            world.freezer.tick(31)
            async_fire_time_changed(hass)
            while (await get_usage(hass))["read_at"] != dt_util.utcnow().isoformat():  # noqa: ASYNC110
                await asyncio.sleep(0)
            await hass.async_block_till_done()
        assert attributes(hass, "status")["failed_sources"] == {}
        world.freezer.tick(15 * 60)
        simulator.signed_requests.clear()
        async_fire_time_changed(hass)
        await until(lambda: len(simulator.signed_requests) == 2)
        await until(lambda: "history" in attributes(hass, "status")["failed_sources"])
    finally:
        release.set()
    await hass.async_block_till_done(wait_background_tasks=True)
    world.freezer.tick(timedelta(minutes=61))
    async_fire_time_changed(hass)
    await hass.async_block_till_done(wait_background_tasks=True)
    world.bill(*MODELS)
    await world.check()
