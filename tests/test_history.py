"""Past spend in the recorder's own database: nothing lost, nothing twice, no day moved."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
import json
import logging
import os
from pathlib import Path
import pwd
from random import Random
import shutil
import subprocess
import tempfile
from threading import Event
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from freezegun.api import FrozenDateTimeFactory
from hypothesis import given, strategies as st
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from sqlalchemy import create_engine, text

from custom_components.alibaba_cloud import history
from custom_components.alibaba_cloud.const import (
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_BALANCE_ENDPOINT,
    CONF_BASE_URL,
    CONF_BILLING_ENDPOINT,
    CONF_MODELS,
    DOMAIN,
)
from custom_components.alibaba_cloud.history import (
    EMPTY_MONTHS,
    REVISED_DAYS,
    Past,
    async_import_spend,
    statistic_id,
)
from custom_components.alibaba_cloud.model_studio import (
    OTHERS,
    AccessKey,
    AccountError,
    BillingClient,
    ModelStudioError,
    RateLimitError,
)
from custom_components.alibaba_cloud.sources import Source, async_get_session
from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.models import StatisticMeanType
from homeassistant.components.recorder.statistics import (
    async_add_external_statistics,
    async_list_statistic_ids,
    statistics_during_period,
    valid_statistic_id,
)
from homeassistant.components.recorder.tasks import RecorderTask
from homeassistant.components.recorder.util import session_scope
from homeassistant.const import CONF_API_KEY, CONF_REGION
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util

from .conftest import API_KEY, answer, attributes, setup
from .simulator import Account, Fault, Simulator
from .simulator.billing import _items, total_on
from .simulator.faults import Refusal
from .simulator.openapi import roa_answer

# Hypothesis's own, of the generator it keeps.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

type Amounts = Mapping[date, Decimal]
type Billed = Mapping[str, Mapping[str | None, str]]
"""Amounts by day and group, with the total under None."""

DAY = timedelta(days=1)
NOW = "2026-08-15 12:00:00+00:00"
FIRST = date(2026, 6, 17)
"""The day of the first bill, unless a test says otherwise."""
YESTERDAY = date(2026, 8, 14)
MODELS = ("qwen-max", "qwen-plus")
ADD = "custom_components.alibaba_cloud.history.async_add_external_statistics"

ON_BOTH = pytest.mark.parametrize(
    "recorder_db_url", ["sqlite", "postgresql"], indirect=True
)


# --- The database


def _postgres_binaries() -> Path | None:
    """Return where the newest PostgreSQL of this machine has its programs."""
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("initdb"):
        known.append(Path(found).parent)
    for binaries in known:
        if all((binaries / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return binaries
    return None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[[str], str]]:
    """Start a PostgreSQL server; return what makes the URL of a database."""
    pytest.importorskip("psycopg2", reason="There is no driver for PostgreSQL")
    if (binaries := _postgres_binaries()) is None:
        pytest.skip("There is no PostgreSQL server on this machine")
    # It does not run as root, and its socket's path must be short.
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
    """Return an empty database: in memory, or on a server."""
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


# --- The account


@dataclass(kw_only=True)
class World:
    """An account with a past, and a Home Assistant that is to tell of it."""

    hass: HomeAssistant
    freezer: FrozenDateTimeFactory
    simulator: Simulator
    entry_id: str = "account"
    imported: Collection[str] = ()
    past: Past = field(default_factory=Past)
    amounts: dict[str | None, dict[date, Decimal]] = field(default_factory=dict)
    """What is to stand in the database, by model, with the account under None."""

    @property
    def account(self) -> Account:
        """The account as the service has it."""
        return self.simulator.account

    @property
    def yesterday(self) -> date:
        """The last day whose bill is told."""
        return self.account.today - DAY

    async def run(self, *models: str) -> int:
        """Import the spend as of now; return how many requests it took."""
        before = len(self.simulator.signed_requests)
        [(access_key_id, secret)] = self.simulator.access_keys.items()
        await async_import_spend(
            self.hass,
            BillingClient(
                async_get_session(self.hass),
                endpoint=self.simulator.openapi_url,
                access_key=AccessKey(id=access_key_id, secret=secret),
            ),
            entry_id=self.entry_id,
            title="Model Studio",
            models=models,
            imported=self.imported,
            past=self.past,
        )
        self.imported = models
        return len(self.simulator.signed_requests) - before

    def away(self, days: int) -> None:
        """Let days pass."""
        self.freezer.tick(days * DAY)

    def bill(self, *models: str, first: date = FIRST, last: date | None = None) -> None:
        """Expect the bills of some days as they are now, of the account and models."""
        for model in (None, *models):
            known = self.amounts.setdefault(model, {})
            day = first
            while day <= (last or self.yesterday):
                known[day] = (
                    total_on(self.account, day)
                    if model is None
                    else sum(
                        (
                            item.amount
                            for item in _items(self.account, day)
                            if item.keys["BASE_MODEL"] == model
                        ),
                        Decimal(),
                    )
                )
                day += DAY

    async def check(self, currency: str = "CNY") -> None:
        """Hold each statistic to the bills: a row a day, to the cent, with the sum."""
        for model, amounts in self.amounts.items():
            statistic = statistic_id(self.entry_id, currency, model)
            assert await rows_of(self.hass, statistic) == summed(amounts)


def summed(amounts: Amounts) -> list[tuple[date, Decimal, Decimal]]:
    """Return the rows that say this, from the first of something on."""
    total = Decimal()
    rows: list[tuple[date, Decimal, Decimal]] = []
    for day, amount in sorted(amounts.items()):
        total += amount
        if rows or amount:
            rows.append((day, amount, total))
    return rows


async def rows_of(
    hass: HomeAssistant, statistic: str
) -> list[tuple[date, Decimal, Decimal]]:
    """Return the rows of a statistic: day, amount and sum."""
    await async_wait_recording_done(hass)
    rows = await get_instance(hass).async_add_executor_job(
        statistics_during_period,
        hass,
        datetime.fromtimestamp(0, UTC),
        None,
        {statistic},
        "hour",
        None,
        {"state", "sum"},
    )
    return [
        (
            datetime.fromtimestamp(row["start"], UTC).date(),
            Decimal(str(row["state"])),
            Decimal(str(row["sum"])),
        )
        for row in rows.get(statistic, [])
    ]


async def dump(hass: HomeAssistant, *, without: str = "") -> list[tuple[Any, ...]]:
    """Return all there is in the tables of long-term statistics, but one statistic."""
    await async_wait_recording_done(hass)

    def read() -> list[tuple[Any, ...]]:
        with session_scope(hass=hass, read_only=True) as session:
            return [
                tuple(row)
                for row in session.execute(
                    text(
                        "SELECT statistics.*, statistics_meta.statistic_id"
                        " FROM statistics JOIN statistics_meta"
                        " ON statistics_meta.id = statistics.metadata_id"
                        " WHERE statistic_id <> :without ORDER BY statistics.id"
                    ),
                    {"without": without},
                )
            ]

    return await get_instance(hass).async_add_executor_job(read)


@pytest.fixture
def world(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    enable_custom_integrations: None,
) -> World:
    """Return an account of two months, with refunds among its bills."""
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


def canned(
    billed: Billed,
    query: Mapping[str, str],
    *,
    currency: Mapping[str, str] | str = "CNY",
) -> dict[str, Any]:
    """Return the answer to a query: of these days, groups by key with a total."""
    asked = json.loads(query["timePeriod"])
    periods = []
    for day, groups in billed.items():
        if asked["start"] <= day <= asked["end"]:
            unit = currency if isinstance(currency, str) else currency[day]
            periods.append(
                {
                    "period": day.replace("-", ""),
                    "total": {"amount": groups[None], "currency": unit},
                    "periodDetails": [
                        {"key": key, "amount": amount}
                        for key, amount in groups.items()
                        if key
                    ],
                }
            )
    return roa_answer({"costTotals": {}, "resultByTime": periods}, "request")


def nothing_before(start: date, query: Mapping[str, str]) -> Any:
    """Answer that nothing was billed on the days before a month."""
    if json.loads(query["timePeriod"])["start"] >= str(start):
        return None
    days = [start - number * DAY for number in range(1, 600)]
    billed: Billed = {str(day): {None: "0.00", "qwen-max": "0.00"} for day in days}
    return canned(billed, query)


# --- What is written


@ON_BOTH
async def test_all_of_the_past(hass: HomeAssistant, world: World) -> None:
    """Once, month by month; and again it is the same."""
    first = world.account.history_start = date(2025, 6, 17)
    requests = await world.run(*MODELS)
    # The last weeks, then the months before, then those that are too long ago.
    assert requests == 2 + 14 + EMPTY_MONTHS
    world.bill(*MODELS, first=first)
    await world.check()
    assert world.amounts[None][first] > 0
    assert min(world.amounts[None].values()) < 0

    listed = await async_list_statistic_ids(hass, statistic_type="sum")
    assert {
        (row["statistic_id"], row["name"], row["statistics_unit_of_measurement"])
        for row in listed
    } == {
        ("alibaba_cloud:account_cny_spend", "Spend (Model Studio)", "CNY"),
        (
            "alibaba_cloud:account_cny_spend_qwen_max",
            "qwen-max spend (Model Studio)",
            "CNY",
        ),
        (
            "alibaba_cloud:account_cny_spend_qwen_plus",
            "qwen-plus spend (Model Studio)",
            "CNY",
        ),
    }

    before = await dump(hass)
    with patch(ADD) as add:
        assert await world.run(*MODELS) == 2
        world.imported = ()
        assert await world.run(*MODELS) == requests
    add.assert_not_called()
    assert await dump(hass) == before


@ON_BOTH
async def test_names_in_another_language(hass: HomeAssistant, world: World) -> None:
    """The names are in Home Assistant's language."""
    hass.config.language = "de"
    await world.run("qwen-max")
    await async_wait_recording_done(hass)
    listed = await async_list_statistic_ids(hass, statistic_type="sum")
    assert {row["name"] for row in listed} == {
        "Ausgaben (Model Studio)",
        "Ausgaben für qwen-max (Model Studio)",
    }


@contextmanager
def cut_after(written: int) -> Iterator[None]:
    """Have an import end after so many statistics."""
    left = written

    def add(*args: Any) -> None:
        nonlocal left
        if not left:
            raise OSError
        left -= 1
        async_add_external_statistics(*args)

    with patch(ADD, add):
        yield


@ON_BOTH
@pytest.mark.parametrize("written", range(4))
@pytest.mark.parametrize("known", [False, True], ids=["at first", "after a while"])
async def test_cut_off(
    hass: HomeAssistant, world: World, written: int, known: bool
) -> None:
    """Before or between any two statistics: what is left out is written the next time."""
    rare = (*MODELS[:1], "rare")
    if known:
        await world.run(*rare)
        world.away(60)
        # Of a model that had not been used, and long before what is read each day.
        world.account.adjust(date(2026, 8, 20), "rare", "7.00")
    with cut_after(written):
        if written < 3:
            with pytest.raises(OSError):
                await world.run(*rare)
        else:
            await world.run(*rare)
    world.bill(*rare)
    if written < 3:
        await async_wait_recording_done(hass)
        world.away(1)
        await world.run(*rare)
        world.bill(*rare)
    await world.check()


async def test_ended_between_two_models(hass: HomeAssistant, world: World) -> None:
    """Others have their turn there, and may end it: the rest is written the next time."""
    written = []

    def add(*args: Any) -> None:
        written.append(args)
        async_add_external_statistics(*args)
        task.cancel()

    task = hass.async_create_task(world.run(*MODELS))
    with patch(ADD, add), pytest.raises(asyncio.CancelledError):
        await task
    assert len(written) == 1
    world.away(1)
    await world.run(*MODELS)
    world.bill(*MODELS)
    await world.check()


async def test_cut_off_between_two_currencies(world: World) -> None:
    """What one of them lacks is written, however long ago it was."""
    days = [date(2026, 6, 1) + number * DAY for number in range(200)]
    billed: Billed = {str(day): {None: "1.50"} for day in days}

    def body(query: Mapping[str, str]) -> Any:
        cny, usd = (canned(billed, query, currency=unit) for unit in ("CNY", "USD"))
        cny["data"]["resultByTime"] += usd["data"]["resultByTime"]
        return cny

    world.simulator.trend_body = body
    await world.run()
    world.away(60)
    with cut_after(1), pytest.raises(OSError):
        await world.run()
    await async_wait_recording_done(world.hass)
    await world.run()
    world.amounts[None] = {
        day: Decimal("1.50") for day in days if day <= world.yesterday
    }
    await world.check("CNY")
    await world.check("USD")


@ON_BOTH
async def test_bills_are_revised(world: World) -> None:
    """For as long as they are; what is younger follows, what is older stays."""
    await world.run(*MODELS)
    world.bill(*MODELS)
    world.away(1)
    world.bill(*MODELS, first=world.yesterday)
    first = YESTERDAY - REVISED_DAYS + DAY
    assert first == date(2026, 7, 11)
    for day, amount in ((first, "5.00"), (YESTERDAY, "-100.00")):
        world.account.adjust(day, "qwen-max", amount)
        world.bill(*MODELS, first=day, last=day)
    world.account.adjust(first - DAY, "qwen-max", "9.00")
    assert await world.run(*MODELS) == 2
    await world.check()


async def test_bill_is_taken_back(world: World) -> None:
    """The only one of a model: then its sum is nothing again."""
    world.account.adjust(date(2026, 8, 10), "other", "5.00")
    await world.run("other")
    world.bill("other")
    await world.check()
    world.away(1)
    world.account.adjust(date(2026, 8, 10), "other", "-5.00")
    await world.run("other")
    world.bill()
    world.amounts["other"] = {}
    await async_wait_recording_done(world.hass)
    rows = await rows_of(world.hass, statistic_id("account", "CNY", "other"))
    assert rows == [
        (date(2026, 8, 10) + number * DAY, Decimal("0.0"), Decimal("0.0"))
        for number in range(6)
    ]


async def test_bills_that_cancel_out(world: World) -> None:
    """A first day that comes to nothing in all does not come to nothing for each."""
    world.simulator.trend_body = partial(
        canned,
        {
            "2026-07-01": {None: "0.00", "a": "5.00", "b": "-5.00"},
            "2026-08-14": {None: "1.00", "a": "1.00"},
        },
    )
    await world.run("a", "b")
    for model, first, last in ((None, "0", "1.00"), ("a", "5.00", "1.00")):
        rows = await rows_of(world.hass, statistic_id("account", "CNY", model))
        assert (rows[-1][0], rows[-1][2]) == (YESTERDAY, Decimal(first) + Decimal(last))
    rows = await rows_of(world.hass, statistic_id("account", "CNY", "b"))
    assert {row[2] for row in rows} == {Decimal("-5.0")}


@ON_BOTH
async def test_long_absence(world: World) -> None:
    """Without a gap; also what was revised after the last look is looked at."""
    await world.run(*MODELS)
    world.account.adjust(YESTERDAY - REVISED_DAYS + DAY, "qwen-plus", "3.21")
    world.away(60)
    world.account.adjust(date(2026, 9, 1), "qwen-max", "-50.00")
    assert await world.run(*MODELS) == 4
    world.bill(*MODELS)
    await world.check()


@ON_BOTH
async def test_model_is_newly_followed(hass: HomeAssistant, world: World) -> None:
    """It gets its past, and the others are left as they are, unless they are revised."""
    await world.run("qwen-max")
    before = await dump(hass)
    await world.run("qwen-max", "rare")
    new = statistic_id("account", "CNY", "rare")
    assert await dump(hass, without=new) == before
    world.bill("qwen-max", "rare")
    await world.check()
    assert len(await rows_of(hass, new)) == (YESTERDAY - date(2026, 7, 5)).days + 1


async def test_model_is_followed_again(world: World) -> None:
    """Without a gap for the time between."""
    await world.run(*MODELS)
    world.away(50)
    assert await world.run("qwen-max") == 4
    world.away(1)
    await world.run(*MODELS)
    world.bill(*MODELS)
    await world.check()


async def delete(hass: HomeAssistant, statistic: str) -> None:
    """Delete a statistic, as one does in the developer tools."""
    get_instance(hass).async_clear_statistics([statistic])
    assert await rows_of(hass, statistic) == []


@ON_BOTH
@pytest.mark.parametrize("model", [None, "qwen-max"])
async def test_statistic_is_deleted(
    hass: HomeAssistant, world: World, model: str | None
) -> None:
    """It comes back with all of its past, once, and the others are left as they are."""
    await world.run(*MODELS)
    statistic = statistic_id("account", "CNY", model)
    await delete(hass, statistic)
    before = await dump(hass)
    requests = await world.run(*MODELS)
    assert requests == 2 + 2 + EMPTY_MONTHS
    assert await dump(hass, without=statistic) == before
    world.bill(*MODELS)
    await world.check()
    assert await world.run(*MODELS) == 2


async def test_deleted_statistic_of_a_model_out_of_use(
    hass: HomeAssistant, world: World
) -> None:
    """It comes back with the next bill, and until then nothing is read for it."""
    await world.run("rare")
    world.away(50)
    await world.run("rare")
    await delete(hass, statistic_id("account", "CNY", "rare"))
    assert await world.run("rare") == 3
    world.account.adjust(world.yesterday, "rare", "2.00")
    await world.run("rare")
    world.bill("rare")
    await world.check()


async def test_model_is_billed_for_the_first_time(world: World) -> None:
    """All is read once where that may have been before, and not for one without bills."""
    await world.run("other", "never")
    for requests in (2, 2 + 2 + EMPTY_MONTHS, 2):
        await async_wait_recording_done(world.hass)
        world.away(1)
        if requests > 2:
            world.account.adjust(world.yesterday, "other", "5.00")
        assert await world.run("other", "never") == requests
    world.bill("other", "never")
    await world.check()

    # Of an account whose past is read each day, there is no more to be had.
    world.account.history_start = date(2026, 8, 1)
    world.entry_id, world.imported = "young", ()
    world.amounts.clear()
    await world.run("another")
    await async_wait_recording_done(world.hass)
    world.away(1)
    world.account.adjust(world.yesterday, "another", "5.00")
    assert await world.run("another") == 2
    world.bill("another", first=date(2026, 8, 1))
    await world.check()


async def test_currency_changes(hass: HomeAssistant, world: World) -> None:
    """Amounts in another one are another statistic, and neither is added to the other."""
    change = date(2026, 7, 10)
    days = [date(2026, 5, 1) + number * DAY for number in range(200)]
    currency = {str(day): "CNY" if day < change else "USD" for day in days}
    billed = {str(day): {None: "1.50", "a": "1.00", "b": "0.50"} for day in days}
    world.simulator.trend_body = partial(canned, billed, currency=currency)

    def expected(unit: str, amount: str, until: date) -> Amounts:
        return {
            day: Decimal(amount if currency[str(day)] == unit else 0)
            for day in days
            if day <= until and (unit == "CNY" or day >= change)
        }

    async def check(until: Mapping[str, date]) -> None:
        for unit, last in until.items():
            world.amounts = {
                None: dict(expected(unit, "1.50", last)),
                "a": dict(expected(unit, "1.00", last)),
            }
            await world.check(unit)

    # Still all in one.
    world.freezer.move_to("2026-07-08 12:00:00+00:00")
    await world.run("a")
    await check({"CNY": date(2026, 7, 7)})
    # Now the other one begins.
    world.away(10)
    await world.run("a")
    both = date(2026, 7, 17)
    await check({"CNY": both, "USD": both})
    # It takes no more requests than one currency does.
    world.away(10)
    assert await world.run("a") <= 3
    # And in the end the old one is over.
    for _ in range(3):
        world.away(20)
        assert await world.run("a") <= 3
    listed = await rows_of(hass, statistic_id("account", "CNY", "a"))
    await check({"CNY": listed[-1][0], "USD": world.yesterday})
    assert listed[-1][0] < world.yesterday
    assert listed[-1][2] == (change - days[0]).days


async def test_two_accounts(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, world: World
) -> None:
    """Side by side, each in its currency."""
    account = Account(history_start=date(2026, 1, 1), currency="USD", seed=1)
    async with Simulator(account=account) as simulator:
        other = World(
            hass=hass, freezer=freezer, simulator=simulator, entry_id="01JOTHER"
        )
        await world.run(*MODELS)
        await other.run(*MODELS)
        world.away(1)
        await other.run(*MODELS)
        await world.run(*MODELS)
        world.bill(*MODELS)
        other.bill(*MODELS, first=date(2026, 1, 1))
    await world.check()
    await other.check("USD")


# --- Names


def test_names() -> None:
    """What is plain can be read."""
    assert statistic_id("01JENTRY", "USD") == "alibaba_cloud:01jentry_usd_spend"
    assert statistic_id("01JENTRY", "USD", "qwen3-coder-plus") == (
        "alibaba_cloud:01jentry_usd_spend_qwen3_coder_plus"
    )


ALIKE = [
    "qwen-2-5",
    "qwen-2.5",
    "qwen-2_5",
    "qwen_2.5",
    "qwen 2.5",
    "Qwen-2.5",
    "QWEN-2.5",
    "qwen--2.5",
    "-qwen-2.5",
    "qwen-2.5-",
    "qwen/2.5",
    "通义千问",
    "通义",
    "",
    "-",
    "_",
    "..",
]


def test_names_that_are_alike() -> None:
    """Each is another statistic, of another account's, and of the account's own."""
    ids = [
        statistic_id(entry_id, currency, model)
        for entry_id in ("account", "other")
        for currency in ("CNY", "USD")
        for model in (None, *ALIKE)
    ]
    assert len(set(ids)) == len(ids)
    assert all(map(valid_statistic_id, ids))


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_any_names(names: Collection[str]) -> None:
    """Whatever they are called."""
    ids = {statistic_id("account", "CNY", name) for name in (None, *names)}
    assert len(ids) == len(names) + 1
    assert all(map(valid_statistic_id, ids))


async def test_models_that_are_alike(world: World) -> None:
    """None gets what is another one's."""
    names = ALIKE[:6]
    for number, name in enumerate(names):
        world.account.adjust(YESTERDAY, name, f"{number + 1}.00")
    await world.run(*names)
    world.bill(*names)
    await world.check()


# --- Days


MONTHS_END = (
    # In the billing zone: not yet, and just.
    ("2026-08-31 15:59:59+00:00", date(2026, 8, 1), date(2026, 8, 30)),
    ("2026-08-31 16:00:00+00:00", date(2026, 8, 1), date(2026, 8, 31)),
)
MOST_OF_A_YEAR = ("2026-10-31 23:30:00+00:00", date(2026, 2, 27), date(2026, 10, 31))
"""With both changes of daylight saving time."""


@pytest.mark.parametrize(
    ("time_zone", "now", "first", "yesterday"),
    [
        ("America/New_York", *MONTHS_END[0]),
        ("America/New_York", *MONTHS_END[1]),
        ("America/New_York", *MOST_OF_A_YEAR),
        ("Asia/Kolkata", *MONTHS_END[1]),
        ("Asia/Shanghai", *MONTHS_END[1]),
        ("Europe/Berlin", *MOST_OF_A_YEAR),
        ("Pacific/Auckland", *MONTHS_END[0]),
        ("Pacific/Auckland", *MOST_OF_A_YEAR),
        ("Pacific/Honolulu", *MONTHS_END[1]),
    ],
)
async def test_days_at_home(
    hass: HomeAssistant,
    world: World,
    time_zone: str,
    now: str,
    first: date,
    yesterday: date,
) -> None:
    """Each bill's day is the same at home, wherever that is, and on either side of DST."""
    await hass.config.async_set_time_zone(time_zone)
    world.freezer.move_to(now)
    world.account.history_start = first
    await world.run()
    world.bill(first=first)
    await world.check()
    assert world.yesterday == yesterday
    statistic = statistic_id("account", "CNY")
    for period, written in (
        ("day", world.amounts[None]),
        ("month", months(world.amounts[None])),
    ):
        rows = await get_instance(hass).async_add_executor_job(
            statistics_during_period,
            hass,
            datetime.fromtimestamp(0, UTC),
            None,
            {statistic},
            period,
            None,
            {"change"},
        )
        assert {
            dt_util.as_local(datetime.fromtimestamp(row["start"], UTC)).date(): (
                round(Decimal(str(row["change"])), 2)
            )
            for row in rows[statistic]
        } == written


def months(amounts: Amounts) -> Amounts:
    """Return amounts by the first of their month."""
    sums: dict[date, Decimal] = {}
    for day, amount in amounts.items():
        month = day.replace(day=1)
        sums[month] = sums.get(month, Decimal()) + amount
    return sums


# --- What the service does not tell


def before(first: str, refusal: Refusal) -> Callable[[Mapping[str, str]], None]:
    """Return a service that does not tell of what was before a day."""

    def body(query: Mapping[str, str]) -> None:
        if json.loads(query["timePeriod"])["start"] < first:
            raise refusal

    return body


REFUSALS = [
    Refusal(400, "InvalidParameter", "timePeriod.start is too early"),
    Refusal(200, "InvalidParameter.TimePeriod", "timePeriod.start is too early"),
    Refusal(200, "400", "timePeriod.start is too early"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["gateway", "service", "number"])
async def test_old_months_are_refused(world: World, refusal: Refusal) -> None:
    """Then there is nothing to be told of them, now or after a longer absence."""
    world.simulator.trend_body = before("2026-07-01", refusal)
    await world.run(*MODELS)
    world.bill(*MODELS, first=date(2026, 7, 1))
    await world.check()

    world.away(150)
    world.simulator.trend_body = before("2026-12-01", refusal)
    await world.run(*MODELS)
    # What was billed in between is gone for good.
    world.bill(*MODELS, first=date(2026, 12, 1))
    await world.check()


@pytest.mark.parametrize(
    ("first", "refusal", "error"),
    [
        ("2026-07-01", Refusal(500, "InternalError", "?"), AccountError),
        ("2026-07-01", Refusal(200, "SystemError", "?"), AccountError),
        ("2026-07-01", Refusal(429, "Throttling.User", "?"), RateLimitError),
        ("2026-09-01", REFUSALS[0], AccountError),
    ],
    ids=["500", "in the body", "throttled", "all refused"],
)
@pytest.mark.parametrize("known", [False, True], ids=["at first", "after a while"])
async def test_failure_in_the_middle(
    hass: HomeAssistant,
    world: World,
    first: str,
    refusal: Refusal,
    error: type[ModelStudioError],
    known: bool,
) -> None:
    """Nothing is written by half."""
    if known:
        await world.run(*MODELS)
    before_it = await dump(hass)
    assert bool(before_it) is known
    world.away(1)
    world.simulator.trend_body = before(first, refusal)
    with pytest.raises(error):
        await world.run(*MODELS, "rare")
    assert await dump(hass) == before_it

    world.simulator.trend_body = None
    await world.run(*MODELS, "rare")
    world.bill(*MODELS, "rare")
    await world.check()


@pytest.mark.parametrize(
    "forgotten", ["left out", "told as nothing", "told as null", "refused"]
)
async def test_forgotten_months_stay(world: World, forgotten: str) -> None:
    """What the service tells no more is not taken for days of nothing."""
    await world.run("qwen-max")
    world.bill("qwen-max")
    start = date(2026, 8, 1)
    if forgotten == "refused":
        world.simulator.trend_body = before(str(start), REFUSALS[0])
    else:
        world.account.history_start = start
    if forgotten == "told as nothing":
        world.simulator.trend_body = partial(nothing_before, start)
    if forgotten == "told as null":
        world.simulator.trend_body = lambda query: (
            roa_answer(None, "request")
            if json.loads(query["timePeriod"])["start"] < str(start)
            else None
        )
    await world.run("qwen-max", "qwen-plus")
    await world.check()
    world.amounts.clear()
    world.bill("qwen-plus", first=start)
    del world.amounts[None]
    await world.check()


async def test_what_is_not_told_stays(world: World) -> None:
    """A day that is left out, and a model that may be among those that are merged."""
    billed: dict[str, dict[str | None, str]] = {
        "2026-08-12": {None: "10.00", "a": "6.00", "b": "4.00"},
        "2026-08-13": {None: "20.00", "a": "15.00", "b": "5.00"},
        "2026-08-14": {None: "30.00", "a": "24.00", "b": "6.00"},
    }
    world.simulator.trend_body = partial(canned, billed)
    await world.run("a", "b")

    def expect(*amounts: tuple[str, str, str]) -> None:
        for model, column in zip(
            (None, "a", "b"), zip(*amounts, strict=True), strict=True
        ):
            world.amounts[model] = {
                date(2026, 8, 12 + number): Decimal(amount)
                for number, amount in enumerate(column)
            }

    told = (("10.00", "6.00", "4.00"), ("20.00", "15.00", "5.00"))
    expect(*told, ("30.00", "24.00", "6.00"))
    await world.check()

    world.away(1)
    del billed["2026-08-13"]
    billed["2026-08-14"] = {None: "33.00", "a": "25.00", OTHERS: "8.00"}
    billed["2026-08-15"] = {None: "7.00", OTHERS: "7.00"}
    await world.run("a", "b")
    expect(*told, ("33.00", "25.00", "6.00"), ("7.00", "0", "0"))
    await world.check()

    # Once they are told, they follow.
    world.away(1)
    billed["2026-08-13"] = {None: "20.00", "a": "20.00"}
    billed["2026-08-15"] = {None: "7.00", "b": "7.00"}
    billed["2026-08-14"] = {None: "33.00", "a": "33.00"}
    await world.run("a", "b")
    expect(
        ("10.00", "6.00", "4.00"),
        ("20.00", "20.00", "0"),
        ("33.00", "33.00", "0"),
        ("7.00", "0", "7.00"),
        ("0", "0", "0"),
    )
    await world.check()


@pytest.mark.parametrize("models", [(), MODELS], ids=["no models", "models"])
async def test_nothing_was_billed_lately(world: World, models: tuple[str, ...]) -> None:
    """What was billed before is there all the same."""
    days = [date(2026, 5, 20) + number * DAY for number in range(40)]
    billed: Billed = {str(day): {None: "1.50", "qwen-max": "1.50"} for day in days}
    world.simulator.trend_body = partial(canned, billed)
    if models:
        # As if the database had been lost since.
        world.imported = models
    await world.run(*models)
    for day in (days[0] + number * DAY for number in range(87)):
        for model in (None, *models[:1]):
            amount = Decimal("1.50") if day in days else Decimal()
            world.amounts.setdefault(model, {})[day] = amount
    assert max(world.amounts[None]) == YESTERDAY
    await world.check()
    assert await world.run(*models) == 2


@pytest.mark.parametrize("zeros", [False, True], ids=["left out", "told as nothing"])
@pytest.mark.parametrize("models", [(), MODELS], ids=["no models", "models"])
async def test_nothing_was_ever_billed(
    hass: HomeAssistant, world: World, models: Collection[str], zeros: bool
) -> None:
    """Which does not take a request for each month every day; and then something is."""
    start = date(2026, 9, 1)
    world.account.history_start = start
    if zeros:
        world.simulator.trend_body = partial(nothing_before, start)
    assert await world.run(*models) == 1 + EMPTY_MONTHS
    assert len(await dump(hass)) == zeros
    for _ in range(2):
        world.away(1)
        assert await world.run(*models) == 2
    assert {row[2] for row in await rows_of(hass, statistic_id("account", "CNY"))} == (
        {Decimal("0.0")} if zeros else set()
    )

    world.freezer.move_to("2026-09-05 12:00:00+00:00")
    await world.run(*models)
    world.bill(*models, first=start)
    if zeros:
        rows = await rows_of(hass, statistic_id("account", "CNY"))
        assert [row for row in rows if row[2]] == summed(world.amounts.pop(None))
    await world.check()


async def test_service_that_knows_no_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells something of any month, and is asked for no more than makes sense."""
    monkeypatch.setattr(history, "MOST_MONTHS", 20)
    world.simulator.trend_body = lambda query: canned(
        {json.loads(query["timePeriod"])["start"]: {None: "1.00"}}, query
    )
    assert await world.run() == 1 + 20
    rows = await rows_of(world.hass, statistic_id("account", "CNY"))
    assert rows[0][0] == date(2025, 1, 1)
    assert rows[-1][2] == 20

    # Nor does one that tells of the same days whatever it is asked for.
    world.entry_id = "other"
    world.simulator.trend_body = lambda query: canned(
        {"2026-08-14": {None: "1.00"}},
        {"timePeriod": '{"start": "2026-08-01", "end": "2026-08-31"}'},
    )
    assert await world.run() == 1 + 1 + EMPTY_MONTHS
    rows = await rows_of(world.hass, statistic_id("other", "CNY"))
    assert rows == [(YESTERDAY, Decimal(1), Decimal(1))]


# --- In a running Home Assistant


@pytest.fixture
def entry(hass: HomeAssistant, world: World) -> MockConfigEntry:
    """Return that account with an AccessKey."""
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


async def test_entry(hass: HomeAssistant, world: World, entry: MockConfigEntry) -> None:
    """An account with an AccessKey brings its past along, and goes on every day."""
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

    # After a restart, what is written is known.
    await hass.config_entries.async_unload(entry.entry_id)
    await setup(hass, entry)
    assert months_asked() == asked + 3
    await world.check()


@pytest.mark.logs(
    *(f"Error fetching Model Studio {source}" for source in ("spend", "history"))
)
async def test_bill_that_cannot_be_read_is_asked_for_every_hour(
    hass: HomeAssistant, world: World, entry: MockConfigEntry
) -> None:
    """Until it can: a day's bill is not waited for a whole day."""
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


# --- A service that throttles


@pytest.mark.parametrize("allowed", [1, 2, 5])
async def test_throttled_import_goes_on_where_it_was(
    world: World, allowed: int
) -> None:
    """Months that were read are not asked for again, but for the refused request."""
    world.account.history_start = first = date(2025, 6, 17)
    left = 0

    def body(query: Mapping[str, str]) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Refusal(429, "Throttling.User", "?")

    world.simulator.trend_body = body
    left = attempts = 0
    while True:
        left = allowed
        try:
            await world.run(*MODELS)
        except RateLimitError:
            attempts += 1
        else:
            break
    needed = 2 + 14 + EMPTY_MONTHS
    assert attempts == (needed - 1) // allowed
    assert len(world.simulator.signed_requests) == needed + attempts
    world.bill(*MODELS, first=first)
    await world.check()
    # Nothing is kept once all is written.
    assert world.past.months == {}


@pytest.mark.parametrize("seed", range(6))
async def test_throttled_import_in_a_world_that_changes(
    world: World, seed: int
) -> None:
    """Days pass between the attempts, bills are revised: what is written is true."""
    random = Random(seed)
    world.account.history_start = first = date(2026, 1, 5)
    left = 0

    def body(query: Mapping[str, str]) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise random.choice(
                [
                    Refusal(429, "Throttling.User", "?"),
                    Refusal(500, "InternalError", "?"),
                ]
            )

    world.simulator.trend_body = body
    for _ in range(3):
        for _ in range(5):
            left = random.randrange(6)
            with suppress(AccountError, RateLimitError):
                await world.run(*MODELS)
            world.away(random.choice([0, 1, 1, 3]))
            day = world.yesterday - random.randrange(30) * DAY
            world.account.adjust(day, random.choice(MODELS), "12.34")
            assert len(world.past.months) < 30
        left = 100
        # What was read on the same day is a day old at most by the next.
        world.away(1)
        await world.run(*MODELS)
        world.bill(*MODELS, first=first)
        await world.check()


# --- A database that fails


DATABASE_FAILS = (
    "ERROR custom_components.alibaba_cloud Error fetching Model Studio history data:"
    " The recorder could not store the statistics of past spend"
)


@pytest.fixture
def quiet_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out of the log what the recorder itself says of its database."""
    for name in ("components.recorder.util", "helpers.recorder"):
        logger = logging.getLogger(f"homeassistant.{name}")
        monkeypatch.setattr(logger, "disabled", True)


async def execute(hass: HomeAssistant, statement: str) -> None:
    """Do something to the database."""
    await async_wait_recording_done(hass)

    def run() -> None:
        with session_scope(hass=hass) as session:
            session.execute(text(statement))

    await get_instance(hass).async_add_executor_job(run)


@pytest.mark.parametrize(
    "table",
    # One is read and written, the other one is not read where nothing is known.
    ["statistics_meta", "statistics"],
)
@pytest.mark.logs(DATABASE_FAILS)
@pytest.mark.usefixtures("quiet_recorder")
async def test_database_fails(
    hass: HomeAssistant, world: World, entry: MockConfigEntry, table: str
) -> None:
    """It is tried again within the hour, and nothing that was read is asked for again."""
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
    """Holds the recorder up."""

    event: Event

    def run(self, instance: Recorder) -> None:
        """Wait."""
        self.event.wait(10)


@pytest.mark.logs(DATABASE_FAILS)
async def test_recorder_that_hangs(
    hass: HomeAssistant, world: World, entry: MockConfigEntry
) -> None:
    """Polls and the other sources go on, and the import is tried again."""
    release = Event()
    try:
        get_instance(hass).queue_task(Hold(release))
        simulator = world.simulator
        assert await hass.config_entries.async_setup(entry.entry_id)
        history_source = entry.runtime_data.sources[Source.HISTORY]
        with patch(ADD, wraps=async_add_external_statistics) as add:
            await until(lambda: add.call_count == 3)
        await hass.async_block_till_done()
        for _ in range(2):
            world.freezer.tick(31)
            async_fire_time_changed(hass)
            await until(lambda: entry.runtime_data.read_at == dt_util.utcnow())
            await hass.async_block_till_done()
        assert attributes(hass, "status")["failed_sources"] == {}
        world.freezer.tick(15 * 60)
        simulator.signed_requests.clear()
        async_fire_time_changed(hass)
        await until(lambda: len(simulator.signed_requests) == 2)
        await until(lambda: not history_source.last_update_success)
    finally:
        release.set()
    await hass.async_block_till_done(wait_background_tasks=True)
    world.freezer.tick(timedelta(minutes=61))
    async_fire_time_changed(hass)
    await hass.async_block_till_done(wait_background_tasks=True)
    world.bill(*MODELS)
    await world.check()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that no event tells of."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


# --- Starts and ends


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
    usage: bool,
    partial_answer: bool,
) -> None:
    """An API key that fails says nothing of the models: their past is not read again."""
    simulator = world.simulator
    body = answer("account")
    if usage:
        simulator.body = body
    # A chosen model that is not listed is not followed.
    options = {} if usage else {CONF_MODELS: [*MODELS, "gone"]}
    hass.config_entries.async_update_entry(entry, options=options)
    await setup(hass, entry)
    known = list(entry.runtime_data.store.history)
    assert set(MODELS) <= set(known)
    await hass.config_entries.async_unload(entry.entry_id)

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
        # This month's bill, and what may have been revised.
        assert len(asked) == 3
        assert entry.runtime_data.store.history == known
        await hass.config_entries.async_unload(entry.entry_id)
        world.away(1)


@ON_BOTH
async def test_removed_account_takes_its_statistics_along(
    hass: HomeAssistant, world: World, entry: MockConfigEntry
) -> None:
    """Also those that were only queued; another account's stay."""
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
    """There is nothing to remove, and another account's stay."""
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
    """The account is removed all the same."""
    await setup(hass, entry)
    await execute(hass, "ALTER TABLE statistics_meta RENAME TO away")
    await hass.config_entries.async_remove(entry.entry_id)
    assert hass.config_entries.async_entries(DOMAIN) == []
    await execute(hass, "ALTER TABLE away RENAME TO statistics_meta")
