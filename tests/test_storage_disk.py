"""The stored state on a real disk: damaged, unreadable, full, and written at stop."""

from collections.abc import Iterator
from decimal import Decimal
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.alibaba_cloud.ledger import SpendDays
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import (
    EVENT_HOMEASSISTANT_FINAL_WRITE,
    EVENT_HOMEASSISTANT_STOP,
)
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util
from homeassistant.util.file import WriteError

from .common import (
    STORED,
    Poll,
    arm,
    attributes,
    refresh,
    report,
    setup,
    spend_levels,
    state,
    triggered,
    unload,
)
from .simulator import Simulator

pytestmark = pytest.mark.usefixtures("low_figures")

REAL = {
    name: getattr(Store, name)
    for name in ("_async_load", "_async_write_data", "async_remove")
}
"""The functions that the fixture `hass` replaces so that nothing is written."""


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """Give each test its own directory."""
    return hass_tmp_config_dir


@pytest.fixture(autouse=True)
def disk(hass: HomeAssistant) -> Iterator[Path]:
    """Store on the disk. Yield the file that the account is stored in."""
    with patch.multiple(Store, **REAL):
        yield Path(hass.config.path(".storage", STORED))


def read(disk: Path) -> str:
    """Return the contents of the file."""
    return disk.read_text()


def write(disk: Path, content: str) -> None:
    """Write the file."""
    disk.parent.mkdir(exist_ok=True)
    disk.write_text(content)


def stored(disk: Path) -> dict[str, Any]:
    """Return the stored data of the account."""
    data: dict[str, Any] = json.loads(read(disk))["data"]
    return data


def make_unreadable(disk: Path) -> None:
    """Replace the file with a directory, which causes an I/O error."""
    disk.unlink()
    disk.mkdir()


def make_readable(disk: Path, content: str) -> None:
    """Restore the file."""
    disk.rmdir()
    write(disk, content)


@pytest.mark.parametrize(
    "content",
    [
        "null",
        "[]",
        "[1, 2]",
        "0",
        '"text"',
        "{}",
        '{"version": 1}',
        '{"version": null, "data": {}}',
        '{"version": "one", "data": {}}',
        '{"version": 1, "data": null}',
        '{"version": 1, "data": [1]}',
        '{"version": 1, "data": {"alerts": NaN}}',
        "",
        "\x00\x00",
        '{"version": 1, "data": {"ale',
    ],
)
async def test_other_content(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    disk: Path,
    caplog: pytest.LogCaptureFixture,
    content: str,
) -> None:
    """The account is set up and stored again with any contents of the file."""
    write(disk, content)
    await setup(hass, entry)
    assert entry.state is ConfigEntryState.LOADED
    assert state(hass, "monthly_spend") == "100"
    await unload(hass, entry)
    assert stored(disk)["answer"]
    # Home Assistant logs invalid JSON; the integration logs JSON of another shape.
    caplog.clear()


@pytest.mark.logs("JSON file reading failed")
async def test_not_readable(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    disk: Path,
) -> None:
    """While the file can't be read, set-up is retried, and nothing is lost."""
    events = await arm(hass)
    report(simulator, monthly_spend=400)
    await refresh(hass)
    await hass.async_block_till_done()
    assert triggered(events) == spend_levels(50, 80)
    await unload(hass, account)
    before = read(disk)
    make_unreadable(disk)
    assert not await hass.config_entries.async_setup(account.entry_id)
    await hass.async_block_till_done()
    assert account.state.name == "SETUP_RETRY"
    assert account.error_reason_translation_key == "storage_not_readable"
    make_readable(disk, before)
    freezer.tick(60)
    async_fire_time_changed(hass)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert account.state.name == "LOADED"
    assert events == []


@pytest.mark.logs("Error writing config")
async def test_full_disk(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    disk: Path,
) -> None:
    """A failed write is repeated within 15 minutes, even if nothing changes."""
    events = await arm(hass)
    # Let Home Assistant write its registries first.
    await poll()
    report(simulator, monthly_spend=400)
    with patch(
        "homeassistant.helpers.storage.write_utf8_file_atomic",
        side_effect=WriteError("No space left on device"),
    ):
        await poll()
    assert triggered(events) == spend_levels(50, 80)
    for _ in range(16):
        await poll(60)
    levels = stored(disk)["alerts"]["spend_levels"]
    assert levels == {"50": True, "80": True, "100": False}


async def test_written_when_home_assistant_stops(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
    disk: Path,
) -> None:
    """A day that starts late after a restart is not counted twice.

    The stored time of the last poll shows that the daily figure was not reset.
    """
    freezer.move_to("2026-08-15 12:00:00+08:00")
    report(simulator, daily_spend=5, monthly_spend=100)
    await setup(hass, entry)
    freezer.move_to("2026-08-15 23:59:00+08:00")
    await poll()
    began = attributes(hass, "daily_spend")["last_reset"]

    hass.set_state(CoreState.stopping)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await hass.async_block_till_done()
    hass.set_state(CoreState.final_write)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)
    await hass.async_block_till_done()
    assert stored(disk)["periods"]["time"] == "2026-08-15T23:59:31+08:00"
    at_stop = read(disk)
    hass.set_state(CoreState.running)
    await unload(hass, entry)
    write(disk, at_stop)

    freezer.move_to("2026-08-16 00:05:00+08:00")
    report(simulator, daily_spend=6, monthly_spend=101)
    await setup(hass, entry)
    assert state(hass, "daily_spend") == "6"
    assert attributes(hass, "daily_spend")["last_reset"] == began
    report(simulator, daily_spend=1, monthly_spend=102)
    freezer.move_to("2026-08-16 01:00:00+08:00")
    await poll()
    assert state(hass, "daily_spend") == "1"
    assert attributes(hass, "daily_spend")["last_reset"] > began
    await unload(hass, entry)
    days = SpendDays.from_dict(stored(disk)["days"])
    totals = days.totals(dt_util.utcnow()).values()
    assert sum(spend.amount for spend in totals) <= Decimal(7)
