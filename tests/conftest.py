"""Fixtures for all tests: the simulator, an account, the clock and the log."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import is_dataclass
from datetime import timedelta
import logging
import os
import re
import sys
from typing import Any
from unittest.mock import patch

from aiohttp import ClientSession
from freezegun.api import FrozenDateTimeFactory
from hypothesis import HealthCheck, settings
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)
from pytest_homeassistant_custom_component.syrupy import HomeAssistantSnapshotExtension
from syrupy.assertion import SnapshotAssertion

from custom_components import alibaba_cloud
from custom_components.alibaba_cloud.clients import async_get_session
from custom_components.alibaba_cloud.const import (
    API_KEY_VARIABLES,
    BASE_URL_VARIABLES,
    CONF_BASE_URL,
    DOMAIN,
)
from homeassistant.const import CONF_API_KEY
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity import Entity
from homeassistant.util import dt as dt_util

# Failed assertions of the helpers show their values, as those of the tests do.
pytest.register_assert_rewrite("tests.common", "tests.flows")

from .common import API_KEY, NOW, Poll, answer, give_access_key, register, report, setup  # noqa: E402
from .simulator import DEFAULT_ACCESS_KEY_SECRET, Simulator  # noqa: E402

# Home Assistant warns about every custom integration and about anything that a busy machine
# delays for half a second, and its HTTP server about missing faster libraries and a frozen
# clock.
ALWAYS_LOGGED = re.compile(
    r"We found a custom integration |Updating state for .* took \d"
    "|zlib_ng and isal are not available|Error in logging$"
)

# Home Assistant's test framework logs each statement of the recorder's database.
for name in ("sqlalchemy.engine", "homeassistant.components.recorder"):
    logging.getLogger(name).setLevel(logging.WARNING)

# A slow machine must not fail a test.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", UNTIMED, max_examples=100)
settings.register_profile(
    "ci", UNTIMED, max_examples=500, derandomize=True, print_blob=True
)
settings.register_profile("nightly", UNTIMED, max_examples=100_000, print_blob=True)
# For scripts/mutate: the same examples for each mutant, and no example database.
settings.register_profile(
    "mutation", UNTIMED, max_examples=25, derandomize=True, database=None
)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker that `quiet_log` reads."""
    config.addinivalue_line("markers", "logs(*patterns): the warnings and errors due")


@pytest.fixture(autouse=True)
def quiet_log(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Fail a test that logs an unexpected warning or error, or lacks an expected one.

    `@pytest.mark.logs("regular expression", ...)` lists the expected lines of a test.
    """
    yield
    marker = request.node.get_closest_marker("logs")
    expected = list(marker.args) if marker else []
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    text = "".join(map(caplog.handler.format, records))
    assert API_KEY not in text
    assert DEFAULT_ACCESS_KEY_SECRET not in text
    lines = [
        f"{record.levelname} {record.name} {record.getMessage()}"
        for record in records
        if record.levelno >= logging.WARNING
        and not ALWAYS_LOGGED.match(record.getMessage())
    ]
    for pattern in expected:
        found = next((line for line in lines if re.search(pattern, line)), None)
        assert found is not None, f"Nothing like {pattern!r} was logged"
        lines.remove(found)
    assert lines == []


@pytest.fixture(autouse=True, scope="session")
def no_dataclass_as_condition() -> Iterator[None]:
    """Fail where a dataclass is a condition: unknown figures are compared with None."""

    def refuse(self: object) -> bool:
        raise AssertionError(f"{type(self).__name__} is used as a condition")

    # Importing the integration has imported all modules that define one.
    own = [
        item
        for name, module in sys.modules.items()
        if name.startswith(alibaba_cloud.__name__)
        for item in vars(module).values()
        if isinstance(item, type) and item.__module__ == name and is_dataclass(item)
    ]
    with pytest.MonkeyPatch.context() as patched:
        for item in own:
            patched.setattr(item, "__bool__", refuse, raising=False)
        yield


@pytest.fixture(autouse=True)
async def enable_event_loop_debug() -> None:
    """Leave asyncio's debug mode off, as in production.

    Home Assistant's test framework turns it on. It takes a large part of the run time.
    """


@pytest.fixture(autouse=True)
def no_key_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the API keys of the developer's environment."""
    for name in (*API_KEY_VARIABLES, *BASE_URL_VARIABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def session(hass: HomeAssistant, socket_enabled: None) -> ClientSession:
    """Return the HTTP session that the integration uses, as Home Assistant makes it."""
    return async_get_session(hass)


@pytest.fixture
async def simulator(socket_enabled: None) -> AsyncIterator[Simulator]:
    """Start the simulated service, with a fixed answer."""
    async with Simulator() as simulator:
        simulator.body = answer("account")
        yield simulator


@pytest.fixture
def low_figures(simulator: Simulator) -> None:
    """Report figures below all levels: 20 % of the limit of 500 USD."""
    report(simulator, monthly_spend=100, used=100)


@pytest.fixture
def kept(hass_storage: dict[str, Any]) -> dict[str, Any]:
    """Return the state that is stored across restarts."""
    return hass_storage


@pytest.fixture
def entry(
    hass: HomeAssistant, enable_custom_integrations: None, simulator: Simulator
) -> MockConfigEntry:
    """Return an account at the simulator; its device exists from an earlier run."""
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Model Studio",
        entry_id="account",
        data={CONF_API_KEY: API_KEY, CONF_BASE_URL: simulator.base_url},
    )
    entry.add_to_hass(hass)
    register(hass, entry)
    return entry


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Return snapshots without the values that differ in each run."""
    return snapshot.use_extension(HomeAssistantSnapshotExtension)


@pytest.fixture
def enable_all_entities() -> Iterator[None]:
    """Enable the entities that are disabled by default."""
    with patch.object(Entity, "entity_registry_enabled_default", True):
        yield


@pytest.fixture
async def account(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, entry: MockConfigEntry
) -> MockConfigEntry:
    """Return an account that is set up, with a frozen clock."""
    freezer.move_to(NOW)
    await setup(hass, entry)
    return entry


@pytest.fixture
def with_access_key(
    hass: HomeAssistant,
    simulator: Simulator,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> MockConfigEntry:
    """Return an account with an AccessKey and a budget of 1,000; it is not set up.

    Alerts that depend on the days before are off.
    """
    freezer.move_to(NOW)
    give_access_key(
        hass,
        entry,
        simulator,
        monthly_budget=1000,
        forecast_alert=False,
        unusual_spend=False,
    )
    return entry


@pytest.fixture
def poll(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> Poll:
    """Return a function that moves the clock and waits for the polls that are due."""

    async def poll(seconds: float = 31) -> None:
        freezer.tick(seconds)
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)

    return poll


@pytest.fixture
def real_time_poll(hass: HomeAssistant) -> Poll:
    """Return a function that starts the polls that are due within some seconds.

    The clock is not frozen, as time-outs would then never end.
    """

    async def poll(seconds: float = 31) -> None:
        async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=seconds))
        await hass.async_block_till_done(wait_background_tasks=True)

    return poll
