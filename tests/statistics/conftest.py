"""Fixtures: databases, and an account whose past spend is imported."""

from collections.abc import Callable, Iterator
from datetime import date
import logging
import os
from pathlib import Path
import pwd
import shutil
import subprocess
import tempfile
from typing import Any
from urllib.parse import quote

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from sqlalchemy import create_engine, text

from custom_components.alibaba_cloud.const import (
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_BALANCE_ENDPOINT,
    CONF_BASE_URL,
    CONF_BILLING_ENDPOINT,
    CONF_MODELS,
    DOMAIN,
)
from homeassistant.components.recorder import Recorder
from homeassistant.const import CONF_API_KEY, CONF_REGION
from homeassistant.core import HomeAssistant
from tests.common import API_KEY, NOW
from tests.simulator import Account, Simulator

from .common import FIRST, MODELS, World


def _postgres_binaries() -> Path | None:
    """Return the program folder of the newest PostgreSQL; None without one."""
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("initdb"):
        known.append(Path(found).parent)
    for binaries in known:
        if all((binaries / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return binaries
    return None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[[str], str]]:
    """Start a PostgreSQL server, and return a function for the URL of a database."""
    pytest.importorskip("psycopg2", reason="There is no driver for PostgreSQL")
    if (binaries := _postgres_binaries()) is None:
        pytest.skip("There is no PostgreSQL server on this machine")
    # PostgreSQL does not run as root, and the path of its socket must be short.
    user: dict[str, Any] = {}
    directory = Path(tempfile.mkdtemp(prefix="postgresql-"))
    if os.geteuid() == 0:
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip(
                "PostgreSQL does not run as root, and there is no user postgres"
            )
        os.chown(directory, owner.pw_uid, owner.pw_gid)
        user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": ()}

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [binaries / program, "-D", directory / "data", *arguments],
            check=True,
            cwd=directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **user,
        )

    try:
        try:
            run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
            options = f"-k {directory} -c listen_addresses= -c fsync=off"
            run("pg_ctl", "start", "-w", "-o", options)
        except subprocess.CalledProcessError as err:
            pytest.skip(f"PostgreSQL does not start here: {err}")
        try:
            yield (
                lambda name: (
                    f"postgresql://postgres@/{name}?host={quote(str(directory))}"
                )
            )
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate")
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def recorder_db_url(
    request: pytest.FixtureRequest, hass_fixture_setup: list[bool]
) -> Iterator[str]:
    """Create an empty database in memory or on a server; return its URL."""
    assert not hass_fixture_setup
    if getattr(request, "param", "sqlite") == "sqlite":
        yield "sqlite://"
        return
    url = request.getfixturevalue("postgresql")
    server = create_engine(url("postgres"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("CREATE DATABASE history"))
    yield url("history")
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE history WITH (FORCE)"))
    server.dispose()


@pytest.fixture(autouse=True)
def database_before_anything_else(recorder_mock: Recorder) -> None:
    """Start the recorder before the account."""


@pytest.fixture
def world(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    enable_custom_integrations: None,
) -> World:
    """Return an account with bills of two months, some of them refunds."""
    freezer.move_to(NOW)
    simulator.account = Account(history_start=FIRST)
    for day, model, amount in (
        (date(2026, 6, 24), "qwen-max", "-123.45"),
        (date(2026, 6, 30), "qwen-plus", "98765.43"),
        (date(2026, 7, 1), "qwen-plus", "-98765.42"),
        (date(2026, 7, 5), "rare", "0.01"),
    ):
        simulator.account.adjust(day, model, amount)
    return World(hass=hass, freezer=freezer, simulator=simulator)


@pytest.fixture
def entry(hass: HomeAssistant, world: World) -> MockConfigEntry:
    """Return the config entry of that account, with an AccessKey."""
    simulator = world.simulator
    simulator.account.answer = "limits"
    simulator.body = None
    [(access_key_id, secret)] = simulator.access_keys.items()
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Model Studio",
        entry_id="account",
        data={
            CONF_API_KEY: API_KEY,
            CONF_BASE_URL: simulator.base_url,
            CONF_ACCESS_KEY_ID: access_key_id,
            CONF_ACCESS_KEY_SECRET: secret,
            CONF_REGION: "cn-beijing",
            CONF_BILLING_ENDPOINT: simulator.openapi_url,
            CONF_BALANCE_ENDPOINT: simulator.openapi_url,
        },
        options={CONF_MODELS: list(MODELS)},
    )
    entry.add_to_hass(hass)
    return entry


@pytest.fixture
def quiet_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence the recorder's own log about its database."""
    for name in ("components.recorder.util", "helpers.recorder"):
        logger = logging.getLogger(f"homeassistant.{name}")
        monkeypatch.setattr(logger, "disabled", True)
