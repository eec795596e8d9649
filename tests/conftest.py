"""What the tests share: the simulator, an account set up against it, time, the log."""

import asyncio.constants
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
import json
import logging
import os
from pathlib import Path
import re
from typing import Any
from unittest.mock import patch

from aiohttp import ClientSession
from freezegun.api import FrozenDateTimeFactory
from hypothesis import settings
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)
from pytest_homeassistant_custom_component.syrupy import HomeAssistantSnapshotExtension
from syrupy.assertion import SnapshotAssertion

from custom_components.alibaba_cloud import PLATFORMS
from custom_components.alibaba_cloud.const import (
    API_KEY_VARIABLES,
    BASE_URL_VARIABLES,
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_BALANCE_ENDPOINT,
    CONF_BASE_URL,
    CONF_BILLING_ENDPOINT,
    CONF_MODELS,
    CONF_PROMETHEUS_URL,
    DOMAIN,
)
from custom_components.alibaba_cloud.sources import async_get_session
from homeassistant.config_entries import ConfigFlowResult
from homeassistant.const import CONF_API_KEY, CONF_REGION, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.entity import Entity

from .simulator import DEFAULT_ACCESS_KEY_SECRET, Account, Simulator

FIXTURES = Path(__file__).parent / "fixtures"
API_KEY = "sk-simulator"
NOW = "2026-08-15 12:00:00+00:00"

# Said of every custom integration; by asyncio's debug mode and by Home Assistant of what
# a busy machine interrupts for half a second; and by Home Assistant's own HTTP server
# without its faster libraries, and where time stands still.
ALWAYS_LOGGED = re.compile(
    r"We found a custom integration |Executing <|Updating state for .* took \d"
    "|zlib_ng and isal are not available|Error in logging$"
)

# asyncio's debug mode, which Home Assistant's test framework turns on, notes where each
# future was made, with ten frames of the stack for each: a good part of the time it takes.
asyncio.constants.DEBUG_STACK_DEPTH = 1  # type: ignore[misc]

settings.register_profile("dev", max_examples=200, deadline=None)
settings.register_profile(
    "ci", max_examples=2_000, deadline=None, derandomize=True, print_blob=True
)
settings.register_profile(
    "nightly", max_examples=100_000, deadline=None, print_blob=True
)
# For scripts/mutate: the same examples for each mutant, and none kept from one to the next.
settings.register_profile(
    "mutation", max_examples=25, deadline=None, derandomize=True, database=None
)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
)

type Poll = Callable[..., Awaitable[None]]


def answer(name: str) -> Any:
    """Return one of the service's answers, to be changed at will."""
    return json.loads((FIXTURES / f"{name}.json").read_text())


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker that `quiet_log` reads."""
    config.addinivalue_line("markers", "logs(*patterns): the warnings and errors due")


@pytest.fixture(autouse=True)
def quiet_log(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Fail a test that logs a warning or error, or lacks one it expects.

    A test names what it expects with `@pytest.mark.logs("regular expression", ...)`,
    once for each line.
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


@pytest.fixture(autouse=True)
def no_key_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the keys of whoever runs the tests out of them."""
    for name in (*API_KEY_VARIABLES, *BASE_URL_VARIABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def session(hass: HomeAssistant, socket_enabled: None) -> ClientSession:
    """Return the HTTP session that the integration uses, as Home Assistant makes it."""
    return async_get_session(hass)


@pytest.fixture
async def simulator(socket_enabled: None) -> AsyncIterator[Simulator]:
    """Start the stand-in service, with an answer that does not move."""
    async with Simulator() as simulator:
        simulator.body = answer("account")
        yield simulator


@pytest.fixture
def entry(
    hass: HomeAssistant, enable_custom_integrations: None, simulator: Simulator
) -> MockConfigEntry:
    """Return an account at the simulator that was set up in an earlier run."""
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Model Studio",
        entry_id="account",
        data={CONF_API_KEY: API_KEY, CONF_BASE_URL: simulator.base_url},
    )
    entry.add_to_hass(hass)
    register(hass, entry)
    return entry


def register(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Register the device of an account, as an earlier run has done."""
    dr.async_get(hass).async_get_or_create(
        config_entry_id=entry.entry_id, identifiers={(DOMAIN, entry.entry_id)}
    )


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Return snapshots that leave out what differs from run to run."""
    return snapshot.use_extension(HomeAssistantSnapshotExtension)


@pytest.fixture
def enable_all_entities() -> Iterator[None]:
    """Enable the entities, too, that are disabled by default."""
    with patch.object(Entity, "entity_registry_enabled_default", True):
        yield


@pytest.fixture
async def account(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, entry: MockConfigEntry
) -> MockConfigEntry:
    """Return an account that is set up, at a time that stands still."""
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
    """Return an account whose bill is read, with a budget of 1,000."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator, monthly_budget=1000, forecast_alert=False)
    return entry


@pytest.fixture
def poll(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> Poll:
    """Return a function that lets time pass, and with it the polls due."""

    async def poll(seconds: float = 31) -> None:
        freezer.tick(seconds)
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)

    return poll


async def setup(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Set an account up, polls and all."""
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)


def give_access_key(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, **options: Any
) -> None:
    """Let the API key of an account read limits only, and an AccessKey its bill.

    By `NOW`, 886.53 CNY are billed, and 2,353.47 CNY are left.
    """
    simulator.body = None
    simulator.account = Account(answer="limits")
    [(key_id, secret)] = simulator.access_keys.items()
    hass.config_entries.async_update_entry(
        entry,
        data={
            **entry.data,
            CONF_ACCESS_KEY_ID: key_id,
            CONF_ACCESS_KEY_SECRET: secret,
            CONF_REGION: "cn-beijing",
            CONF_BILLING_ENDPOINT: simulator.openapi_url,
            CONF_BALANCE_ENDPOINT: simulator.openapi_url,
            CONF_PROMETHEUS_URL: simulator.prometheus_url,
        },
        options={CONF_MODELS: ["qwen-max", "qwen-plus"], **options},
    )


async def open_options(
    hass: HomeAssistant, entry: MockConfigEntry, step: str = "models"
) -> ConfigFlowResult:
    """Open the options at a step of their menu; return what it shows."""
    options = hass.config_entries.options
    menu = await options.async_init(entry.entry_id)
    assert step in menu["menu_options"]
    return await options.async_configure(menu["flow_id"], {"next_step_id": step})


def check_platform(
    hass: HomeAssistant, platform: Platform, snapshot: SnapshotAssertion
) -> None:
    """Hold every entity of a platform, as registered and as shown, to its snapshot."""
    entities = [
        entity
        for entity in er.async_entries_for_config_entry(er.async_get(hass), "account")
        if entity.domain == platform
    ]
    assert entities
    for entity in entities:
        assert entity == snapshot(name=f"{entity.entity_id}-entry")
        assert hass.states.get(entity.entity_id) == snapshot(
            name=f"{entity.entity_id}-state"
        )


def state(hass: HomeAssistant, key: str, model: str | None = None) -> str | None:
    """Return the state of the entity with this key, None without one."""
    found = entity_id(hass, key, model)
    current = hass.states.get(found) if found else None
    return current.state if current else None


def attributes(
    hass: HomeAssistant, key: str, model: str | None = None
) -> dict[str, Any]:
    """Return the attributes of the entity with this key."""
    current = hass.states.get(entity_id(hass, key, model) or "")
    assert current is not None
    return dict(current.attributes)


def entity_id(hass: HomeAssistant, key: str, model: str | None = None) -> str | None:
    """Return the entity id that a key, and its model, are registered under."""
    unique_id = f"account_{key}" if model is None else f"account_model_{model}_{key}"
    registry = er.async_get(hass)
    found = (
        registry.async_get_entity_id(platform, DOMAIN, unique_id)
        for platform in PLATFORMS
    )
    return next(filter(None, found), None)
