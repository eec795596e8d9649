"""The fault matrix: each way to fail, wherever it can strike, and what is seen of it.

docs/faults.md shows it. `UPDATE_FAULT_MATRIX=1 scripts/test tests/test_faults.py` brings it
up to date there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cache
import json
import logging
import os
from pathlib import Path
import re
import ssl
import struct
import tracemalloc
from typing import Any, Final, cast, override

import aiohttp
from aiohttp.resolver import AsyncResolver
from aiohttp.test_utils import RawTestServer
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.alibaba_cloud.const import CONF_BASE_URL, CONF_MODELS, DOMAIN
from custom_components.alibaba_cloud.model_studio import http, plain_text
from custom_components.alibaba_cloud.sources import async_get_session
from homeassistant.config_entries import (
    SOURCE_USER,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlowResult,
)
from homeassistant.const import CONF_API_KEY, CONF_URL, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.translation import async_get_translations
from homeassistant.util import dt as dt_util

from .conftest import API_KEY, Poll, answer, open_options, setup
from .simulator import Fault, Simulator, faults
from .test_coordinator import FAILED, FIGURES, TOLD, reauth_flows
from .test_limits import devices, offered

PAGE: Final = Path(__file__).parent.parent / "docs" / "faults.md"
SECTION: Final = re.compile(
    r"(?<=<!-- fault matrix -->\n).*(?=<!-- /fault matrix -->\n)", re.DOTALL
)

HOST: Final = "127.0.0.1"
SECRET: Final = bytes(16)
NEW_KEY: Final = "sk-another"
MODELS: Final = ("qwen-max", "qwen-plus", "text-embedding-v4")
CHOSEN: Final = "qwen-max"
SHORT: Final = 0.05
"""Seconds in which a service answers that never does."""
LONG: Final = 3601
"""Seconds after which every poll is due."""
FLAT: Final = 64 * 1024 * 1024
"""Bytes that no answer costs."""

STATUSES: Final = {
    "": "ok",
    "invalid_auth": "auth",
    "rate_limited": "limited",
    "free_quota_used_up": "limited",
    "budget_exhausted": "limited",
    "arrearage": "error",
    "service_not_enabled": "error",
    "account_unavailable": "error",
    "not_found": "error",
    "cannot_connect": "error",
    "invalid_answer": "error",
}
"""The status that goes with the error of a form, "" being none."""

UNKNOWN: Final = [STATE_UNKNOWN] * 4
UNAVAILABLE: Final = [STATE_UNAVAILABLE] * 4
NONE: Final = [None] * 4
MODEL_UNKNOWN: Final = [*FIGURES[:3], STATE_UNKNOWN]
MODEL_GONE: Final = [*FIGURES[:3], None]

ODD_NAMES: Final = (
    "qwen/qwen-max",
    "a\\b",
    "../../etc/passwd",
    "the \"best\" of 'them'",
    "<b>{model}</b> %s",
    "🦄",
    "通义千问 🇨🇳",
    "-",
    "x" * 500,
)
MANY: Final = 10_000
HUGE: Final = int("9" * 400)


class Column(StrEnum):
    """Where a fault can strike."""

    FIRST = "Start"
    RUNNING = "Running"
    FLOW = "Config flow"
    REAUTH = "Reauth"
    RECONFIGURE = "Reconfigure"
    OPTIONS = "Options flow"


class Way(StrEnum):
    """What can break on the way to the service."""

    PORT = "nobody listens"
    NAME = "the host's name is not found"
    TLS = "whoever listens does not speak TLS"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A fault, and what is seen of it.

    fault, options: how the simulator fails; or body: what it answers; or way: what
        breaks on the way there.
    error: of a form, "" where the answer is taken; the status follows from it.
    words: part of what is said of it.
    issue: what Repairs says of it.
    figures: those an account shows that had all of them before; None is those its
        status stands for.
    models, partial: those in the answer, and whether there may be others.
    chosen: one model is, where a device for each would take too long.
    flat: it costs little memory.
    """

    name: str
    fault: Fault | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    body: Callable[[], Any] | None = None
    way: Way | None = None
    error: str = ""
    words: str = ""
    issue: str | None = None
    figures: Sequence[str | None] | None = None
    models: tuple[str, ...] = MODELS
    partial: bool = False
    chosen: bool = False
    flat: bool = False

    @property
    def status(self) -> str:
        """What the status shows."""
        return STATUSES[self.error]

    @property
    def later(self) -> list[str | None]:
        """The figures, where there were some before."""
        if self.figures:
            return list(self.figures)
        return list(UNAVAILABLE if self.status in ("auth", "error") else FIGURES)

    @property
    def first(self) -> list[str | None]:
        """The figures, where there were none before: nothing is made up."""
        return [
            None if self.error or figure == STATE_UNKNOWN else figure
            for figure in self.later
        ]

    def followed(self, before: tuple[str, ...] = ()) -> set[str]:
        """Return the models that have a device, where some had one before."""
        if self.error:
            return {CHOSEN} & {*before} if self.chosen else {*before}
        models = {*before} if self.partial else {*before}.intersection(self.models)
        if self.figures != UNKNOWN:
            models |= {*self.models}
        return {CHOSEN} & models if self.chosen else models

    @property
    def cells(self) -> dict[Column, str]:
        """What is seen of it, by where it strikes; nothing where that is not tried."""
        asked = form_cell(self.error)
        cells = {
            Column.FIRST: account_cell(self.status, self.first, self.issue),
            Column.RUNNING: account_cell(self.status, self.later, self.issue),
            Column.FLOW: asked,
            Column.REAUTH: asked,
            Column.RECONFIGURE: asked,
            Column.OPTIONS: options_cell(len(MODELS if self.error else self.models)),
        }
        if self.chosen:
            # A flow sets up an account in which nothing is chosen.
            del cells[Column.FLOW]
        return cells


def account_cell(status: str, figures: list[str | None], issue: str | None) -> str:
    """Return what is seen of an account, in a few words."""
    if figures == FIGURES:
        words = "read" if status == "ok" else "kept"
    elif figures in (UNKNOWN, UNAVAILABLE, NONE):
        words = figures[0] or "none"
    else:
        words = "in part"
    return f"`{status}`, {words}" + (f", `{issue}`" if issue else "")


def form_cell(error: str) -> str:
    """Return what is seen of a form."""
    return f"`{error}`" if error else "accepted"


def options_cell(models: int) -> str:
    """Return what is seen of the options."""
    return "1 model" if models == 1 else f"{models:,} models"


def fails(name: str, fault: Fault, error: str, words: str, **more: Any) -> Row:
    """Return a fault of the simulator's, with its options."""
    row = {key: more.pop(key) for key in ("issue", "flat") if key in more}
    return Row(name=name, fault=fault, options=more, error=error, words=words, **row)


def unavailable(name: str, fault: Fault, words: str, **more: Any) -> Row:
    """Return a fault that the account or its service is the cause of."""
    return fails(
        name,
        fault,
        "account_unavailable",
        words,
        **{"issue": "account_unavailable"} | more,
    )


def read(name: str, body: Callable[[], Any], **more: Any) -> Row:
    """Return an odd answer that is taken."""
    return Row(name=name, body=body, **more)


def refused(name: str, body: Callable[[], Any], words: str) -> Row:
    """Return an answer that makes no sense."""
    return Row(name=name, body=body, error="invalid_answer", words=words)


def data(**changes: Any) -> Callable[[], Any]:
    """Return what makes a good answer with other data."""

    def body() -> Any:
        good = answer("account")
        good["data"] |= changes
        return good

    return body


def numbers(number: float) -> Callable[[], Any]:
    """Return what makes a good answer but for its numbers, all of which are this one."""

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item) for item in value]
        return number if isinstance(value, int | float) else value

    return lambda: replaced(answer("account"))


def duplicated() -> str:
    """Return a good answer in which each key has stood before with another value."""

    def written(value: Any) -> str:
        if isinstance(value, dict):
            pairs = [f'{json.dumps(key)}: "other"' for key in value]
            pairs += [f"{json.dumps(key)}: {written(it)}" for key, it in value.items()]
            return f"{{{', '.join(pairs)}}}"
        if isinstance(value, list):
            return f"[{', '.join(map(written, value))}]"
        return json.dumps(value)

    return written(answer("account"))


def usage(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return rows of models with these names."""
    return [{"model": name, "used": 1, "limit": 2} for name in names]


@cache
def many_models() -> bytes:
    """Return a good answer that lists many models more."""
    good = answer("account")
    good["data"]["models"] += usage(MANY_MODELS[len(MODELS) :])
    return json.dumps(good).encode()


MANY_MODELS: Final = (*MODELS, *(f"model-{n}" for n in range(MANY - len(MODELS))))

ROWS: Final = (
    unavailable("400", Fault.BAD_REQUEST, "InvalidParameter: Required parameter"),
    *(
        fails(
            f"{status} `{code}`" + (" in an error object" if nested else ""),
            Fault.ERROR_OBJECT if nested else fault,
            error,
            f"{code}: ",
            issue=error,
            status=status,
            code=code,
        )
        for fault, code, error in (
            (Fault.ARREARAGE, "Arrearage", "arrearage"),
            (Fault.NOT_ENABLED, "AccessDenied.Unpurchased", "service_not_enabled"),
        )
        for status, nested in ((400, False), (403, False), (403, True))
    ),
    *(
        fails(
            f"429 {name}",
            Fault.BUDGET_EXHAUSTED,
            "budget_exhausted",
            message,
            issue="budget_exhausted",
            message=message,
        )
        for name, message in (
            ('"budget … exhausted"', "The budget you set has been exhausted."),
            ("“预算 … 已用尽”", "您设置的预算本月已用尽，请提升预算。"),
        )
    ),
    fails(
        "429 `insufficient_quota`",
        Fault.THROTTLED,
        "rate_limited",
        "insufficient_quota: You exceeded your current quota",
        code="insufficient_quota",
        message="You exceeded your current quota, please check your plan.",
    ),
    fails(
        "429 whose text says when to come back",
        Fault.THROTTLED,
        "rate_limited",
        "Your 5-hour allowance returns at 2026-08-15 14:00:00 UTC+8",
        message="Your 5-hour allowance returns at 2026-08-15 14:00:00 UTC+8.",
    ),
    fails(
        "403 `Arrearage` in XML",
        Fault.ERROR_XML,
        "arrearage",
        "Arrearage: The account's bill is overdue.",
        issue="arrearage",
    ),
    fails(
        "400 `Throttling` in an event stream",
        Fault.ERROR_EVENT,
        "rate_limited",
        "Throttling: Requests are throttled.",
    ),
    *(
        fails(
            f"{status} `{code}`" if code else f"{status} without a code",
            Fault.UNAUTHORIZED if code else Fault.UNAVAILABLE,
            error,
            code or f"HTTP {status}",
            issue=issue,
            **({"status": status, "code": code} if code else {"status": status}),
        )
        for status, code, error, issue in (
            (401, "InvalidApiKey", "invalid_auth", None),
            (401, "AccessDenied", "invalid_auth", None),
            (401, "AllocationQuota.FreeTierOnly", "invalid_auth", None),
            (401, None, "invalid_auth", None),
            (403, "InvalidApiKey", "invalid_auth", None),
            (403, "AccessDenied", "invalid_auth", None),
            (
                403,
                "AllocationQuota.FreeTierOnly",
                "free_quota_used_up",
                "free_quota_used_up",
            ),
            (403, None, "invalid_auth", None),
        )
    ),
    fails(
        "404",
        Fault.NOT_FOUND,
        "not_found",
        "NotFound: The requested resource",
        issue="account_unavailable",
    ),
    unavailable(
        "408", Fault.REQUEST_TIMEOUT, "RequestTimeOut: Request timed out", issue=None
    ),
    *(
        fails(
            f"429, {name}",
            Fault.THROTTLED,
            "rate_limited",
            "Throttling.RateQuota: ",
            retry_after=retry_after,
        )
        for name, retry_after in (
            ("`Retry-After` in seconds", 7),
            ("`Retry-After` as a date", "Fri, 31 Dec 9999 23:59:59 GMT"),
            ("no `Retry-After`", None),
            ("`Retry-After` of centuries", 10**10),
            ("`Retry-After` in the past", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("`Retry-After` without sense", "NaN minutes"),
        )
    ),
    fails(
        "429 without a code",
        Fault.UNAVAILABLE,
        "rate_limited",
        "HTTP 429",
        status=429,
    ),
    *(
        fails(
            f"{status} `Throttling.AllocationQuota`",
            Fault.THROTTLING_CODE,
            "rate_limited",
            "Throttling.AllocationQuota: ",
            status=status,
        )
        for status in (200, 400, 403, 503)
    ),
    unavailable("500", Fault.SERVER_ERROR, "InternalError: ", issue=None),
    unavailable("502 in HTML", Fault.BAD_GATEWAY, "HTTP 502", issue=None),
    unavailable("503 without a body", Fault.UNAVAILABLE, "HTTP 503", issue=None),
    unavailable("200 with another code", Fault.ERROR_CODE, "SystemError: A system"),
    unavailable("200 with an error in it", Fault.ERROR_OBJECT, "SystemError: A system"),
    *(
        unavailable(
            f"{status} to another host",
            Fault.REDIRECT,
            f"HTTP {status}",
            status=status,
            issue=None,
        )
        for status in (302, 308)
    ),
    *(
        fails(name, fault, "invalid_answer", words)
        for name, fault, words in (
            ("Captive portal in HTML", Fault.HTML, "not JSON"),
            ("Empty", Fault.EMPTY, "not JSON"),
            ("`null`", Fault.NULL, "not a JSON object"),
            ("List", Fault.LIST, "not a JSON object"),
            ("Garbage", Fault.GARBAGE, "not JSON"),
            ("Truncated JSON", Fault.TRUNCATED, "not JSON"),
        )
    ),
    fails(
        "200 MB of JSON in 1 MB of gzip",
        Fault.HUGE,
        "invalid_answer",
        "larger than 8388608 bytes",
        flat=True,
    ),
    refused("Number", lambda: 17, "not a JSON object"),
    refused("Empty object", dict, "neither account data nor quotas"),
    refused("100,000 brackets", lambda: "[" * 100_000, "not JSON"),
    refused(
        "Data of the wrong type",
        lambda: {"code": "Success", "data": [answer("account")["data"]]},
        "neither account data nor quotas",
    ),
    refused(
        "Limits of the wrong type",
        lambda: {"output": {"total": 1, "quotas": {"qwen-max": {}}}},
        "neither account data nor quotas",
    ),
    refused(
        "Limits with rows of the wrong type",
        lambda: {"output": {"total": 4, "quotas": [None, 7, "qwen-max", []]}},
        "names no model",
    ),
    refused(
        "Limits on pages that repeat",
        lambda: {"output": {"total": 2, "quotas": [{"model": "qwen-max"}]}},
        "add up: 1 rows of 2",
    ),
    *(
        fails(name, fault, "cannot_connect", words)
        for name, fault, words in (
            ("Hang before the answer", Fault.HANG, "did not answer in time"),
            ("Hang within the body", Fault.HANG_BODY, "did not answer in time"),
            ("Slow trickle", Fault.TRICKLE, "did not answer in time"),
            ("Reset", Fault.RESET, " was lost"),
            ("Cut within the body", Fault.CUT, " was lost"),
        )
    ),
    *(
        Row(name=name, way=way, error="cannot_connect", words=words)
        for name, way, words in (
            ("Connection refused", Way.PORT, "Connection refused by 127.0.0.1:"),
            ("DNS failure", Way.NAME, "The host service.test:"),
            ("TLS failure", Way.TLS, "No secure connection to service.test:"),
        )
    ),
    Row(
        name="Success with every field of the wrong type",
        fault=Fault.WRONG_TYPES,
        figures=UNKNOWN,
        models=(),
        partial=True,
    ),
    read("Code of the wrong type", lambda: answer("account") | {"code": ["Success"]}),
    read(
        "Models of the wrong type",
        data(models="qwen-max"),
        figures=MODEL_UNKNOWN,
        models=(),
        partial=True,
    ),
    read("NaN for every number", numbers(float("nan")), figures=UNKNOWN),
    read("Infinity for every number", numbers(float("inf")), figures=UNKNOWN),
    read("-Infinity for every number", numbers(float("-inf")), figures=UNKNOWN),
    read("400 digits for every number", numbers(HUGE), figures=UNKNOWN),
    read("Each key twice", duplicated),
    read(
        "No models", data(models=[]), figures=MODEL_GONE, models=(), issue="no_models"
    ),
    read(
        "Models without a name",
        data(
            models=[
                *answer("account")["data"]["models"][:1],
                *usage(("", " \t")),
                {"used": 1, "limit": 2},
            ]
        ),
        models=MODELS[:1],
        partial=True,
    ),
    read(
        "Models with slashes, quotes, emoji or 500 characters in their names",
        data(models=[*answer("account")["data"]["models"], *usage(ODD_NAMES)]),
        models=(*MODELS, *ODD_NAMES),
    ),
    read("10,000 models", many_models, models=MANY_MODELS, chosen=True, flat=True),
)

CELLS: Final = {
    (row.name, column): text for row in ROWS for column, text in row.cells.items()
}


def render(cells: Mapping[tuple[str, Column], str]) -> str:
    """Return the matrix as a table."""
    lines = [["Fault", *Column], ["---"] * (1 + len(Column))]
    lines += [
        [row.name, *(cells.get((row.name, column), "") for column in Column)]
        for row in ROWS
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def each(column: Column) -> pytest.MarkDecorator:
    """Run a test for each row that has this column."""
    return pytest.mark.parametrize(
        "row", [pytest.param(row, id=row.name) for row in ROWS if column in row.cells]
    )


@contextmanager
def _flat() -> Iterator[None]:
    """Check that memory stays flat; what the simulator makes once does not count."""
    faults._huge()
    many_models()
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < FLAT


def _pre_shared(protocol: int) -> ssl.SSLContext:
    """Return one side of TLS that needs no certificate: both know a secret."""
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("PSK")
    if protocol == ssl.PROTOCOL_TLS_CLIENT:
        context.set_psk_client_callback(lambda hint: ("", SECRET))
    else:
        context.set_psk_server_callback(lambda identity: SECRET)
    return context


class Names(asyncio.DatagramProtocol):
    """A name server to which all names are this machine, until there are none."""

    known = True
    _transport: asyncio.DatagramTransport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to answer through."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    @override
    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer a query for an IPv4 address; of other kinds there are none."""
        end = data.index(b"\0", 12) + 5
        asked = data[12:end]
        addresses = b""
        if self.known and asked[-4:] == b"\0\1\0\1":
            addresses = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1"
        flags = 0x8180 if self.known else 0x8183
        header = struct.pack("!HHHHH", flags, 1, bool(addresses), 0, 0)
        self._transport.sendto(data[:2] + header + asked + addresses, addr)


class Service:
    """The simulator, which fails as a row says, or the way there does."""

    def __init__(
        self, row: Row, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keep what fails, and what does not yet."""
        self._row = row
        self._simulator = simulator
        self._monkeypatch = monkeypatch
        self._names = Names()
        self._front: RawTestServer | None = None
        self._port: int | None = None

    @property
    def base_url(self) -> str:
        """Where an account is, by name and over TLS if that is what breaks."""
        if self._port:
            return f"https://service.test:{self._port}/api/v1"
        return self._simulator.base_url

    @asynccontextmanager
    async def at_a_name(self, hass: HomeAssistant) -> AsyncIterator[None]:
        """Have Home Assistant's HTTP session find the service by name and over TLS.

        The framework of these tests lets no name be looked up: it is asked of a name
        server here.
        """
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self._names, (HOST, 0)
        )
        _, port = transport.get_extra_info("sockname")
        connector = aiohttp.TCPConnector(
            resolver=AsyncResolver(nameservers=[HOST], udp_port=port, tcp_port=port),
            ssl=_pre_shared(ssl.PROTOCOL_TLS_CLIENT),
            use_dns_cache=False,
            force_close=True,
        )
        self._monkeypatch.setattr(async_get_session(hass), "_connector", connector)
        await self._open(_pre_shared(ssl.PROTOCOL_TLS_SERVER))
        yield
        await self._close()
        await connector.close()
        transport.close()

    async def _open(self, tls: ssl.SSLContext | None) -> None:
        """Listen, at the same port as before."""
        self._front = RawTestServer(self._simulator._handle, host=HOST, port=self._port)
        await self._front.start_server(ssl=tls)
        self._port = self._front.port

    async def _close(self) -> None:
        """Listen no more."""
        if self._front:
            await self._front.close()

    @asynccontextmanager
    async def broken(self) -> AsyncIterator[None]:
        """Fail for a while."""
        row, simulator = self._row, self._simulator
        with (
            self._monkeypatch.context() as patch,
            _flat() if row.flat else nullcontext(),
        ):
            if row.fault in (Fault.HANG, Fault.HANG_BODY, Fault.TRICKLE):
                patch.setattr(http, "TIMEOUT", SHORT)
            if row.fault:
                simulator.fail(row.fault, **row.options)
            if row.body:
                body = row.body
                simulator.body = lambda query: body()
            match row.way:
                case Way.PORT:
                    await simulator.stop()
                case Way.NAME:
                    self._names.known = False
                case Way.TLS:
                    await self._close()
                    await self._open(None)
            yield
        simulator.recover()
        simulator.body = answer("account")
        match row.way:
            case Way.PORT:
                await simulator.start()
            case Way.NAME:
                self._names.known = True
            case Way.TLS:
                await self._close()
                await self._open(_pre_shared(ssl.PROTOCOL_TLS_SERVER))


@pytest.fixture
def poll(hass: HomeAssistant) -> Poll:
    """Return a function that brings the polls of so many seconds forward.

    The clock is the real one: with one that stands still no time-out would end.
    """

    async def poll(seconds: float = 31) -> None:
        async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=seconds))
        await hass.async_block_till_done(wait_background_tasks=True)

    return poll


@pytest.fixture
async def service(
    hass: HomeAssistant,
    row: Row,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Service]:
    """Return the service that a row breaks."""
    service = Service(row, simulator, monkeypatch)
    named = row.way in (Way.NAME, Way.TLS)
    async with service.at_a_name(hass) if named else nullcontext():
        yield service


@pytest.fixture
def added(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    row: Row,
    service: Service,
) -> MockConfigEntry:
    """Return an account at the service, not yet set up."""
    hass.config_entries.async_update_entry(
        entry,
        data={**entry.data, CONF_BASE_URL: service.base_url},
        options={CONF_MODELS: [CHOSEN]} if row.chosen else {},
    )
    return entry


@pytest.fixture
async def running(hass: HomeAssistant, added: MockConfigEntry) -> MockConfigEntry:
    """Return an account that is set up, and read once."""
    await setup(hass, added)
    return added


@pytest.fixture
def one_line(request: pytest.FixtureRequest, row: Row) -> None:
    """Expect a failure to be logged, once."""
    if row.error:
        request.node.add_marker(pytest.mark.logs(FAILED))


@pytest.fixture(scope="session")
def matrix() -> dict[tuple[str, Column], str]:
    """Return the cells that were seen in this run, of which there may be few."""
    return {}


type Cell = Callable[[Column, str], None]


@pytest.fixture
def cell(
    row: Row,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    matrix: dict[tuple[str, Column], str],
) -> Iterator[Cell]:
    """Return what takes down a cell, and check in the end what goes for all of them."""

    def take_down(column: Column, text: str) -> None:
        matrix[row.name, column] = text
        assert text == row.cells[column]

    yield take_down
    assert simulator.redirect_target_hits == 0
    assert not any(
        record.exc_info and record.levelno >= logging.WARNING
        for record in caplog.get_records("call")
    )


def shown(
    hass: HomeAssistant, entry: ConfigEntry, key: str, model: str | None = None
) -> str | None:
    """Return the state of an account's entity, None without one."""
    of_model = "" if model is None else f"model_{model}_"
    unique_id = f"{entry.entry_id}_{of_model}{key}"
    registry = er.async_get(hass)
    for domain in ("sensor", "binary_sensor"):
        if found := registry.async_get_entity_id(domain, DOMAIN, unique_id):
            state = hass.states.get(found)
            return state.state if state else None
    return None


def figures(hass: HomeAssistant, entry: ConfigEntry) -> list[str | None]:
    """Return some of the figures, of the account and of a model."""
    return [
        *(
            shown(hass, entry, key)
            for key in ("monthly_spend", "tokens_used", "over_spend_limit")
        ),
        shown(hass, entry, "usage_pct", CHOSEN),
    ]


def told(hass: HomeAssistant, entry: ConfigEntry) -> tuple[str | None, ...]:
    """Return the status, and whether key, throttling and service are a problem."""
    keys = ("status", "api_key_problem", "rate_limited", "account_available")
    return tuple(shown(hass, entry, key) for key in keys)


def message(hass: HomeAssistant, entry: ConfigEntry) -> str | None:
    """Return what the status says went wrong."""
    status = er.async_get(hass).async_get_entity_id(
        "sensor", DOMAIN, f"{entry.entry_id}_status"
    )
    assert status is not None
    state = hass.states.get(status)
    assert state is not None
    text: str | None = state.attributes["message"]
    return text


def issues(hass: HomeAssistant) -> list[str | None]:
    """Return what Repairs says of accounts."""
    return [
        issue.translation_key
        for issue in ir.async_get(hass).issues.values()
        if issue.domain == DOMAIN
    ]


def check(
    hass: HomeAssistant,
    entry: ConfigEntry,
    row: Row,
    expected: list[str | None],
    before: tuple[str, ...] = (),
) -> str:
    """Check all that is seen of an account while a row lasts, and return it in short."""
    assert entry.state is ConfigEntryState.LOADED
    assert told(hass, entry) == TOLD[row.status]
    assert figures(hass, entry) == expected
    said = message(hass, entry)
    if row.error:
        assert said and row.words in said
    else:
        assert said is None
    assert len(reauth_flows(hass)) == (row.status == "auth")
    followed = row.followed(before)
    assert devices(hass, entry) == set(map(plain_text, followed))
    for model in followed:
        assert shown(hass, entry, "used", model) is not None
    assert issues(hass) == ([row.issue] if row.issue else [])
    return account_cell(row.status, figures(hass, entry), row.issue)


def check_recovered(hass: HomeAssistant, entry: ConfigEntry, row: Row) -> None:
    """Check that nothing is left of it."""
    assert told(hass, entry) == TOLD["ok"]
    assert figures(hass, entry) == FIGURES
    assert message(hass, entry) is None
    assert devices(hass, entry) == ({CHOSEN} if row.chosen else set(MODELS))
    assert hass.config_entries.flow.async_progress() == []
    assert issues(hass) == []


async def submit(
    hass: HomeAssistant, form: ConfigFlowResult, **user_input: str
) -> ConfigFlowResult:
    """Fill in a form, and let what comes of it settle."""
    result = await hass.config_entries.flow.async_configure(form["flow_id"], user_input)
    await hass.async_block_till_done(wait_background_tasks=True)
    return result


async def check_form(hass: HomeAssistant, result: ConfigFlowResult, row: Row) -> str:
    """Check what comes of a form while a row lasts, and return it in short."""
    if not row.error:
        assert result["type"] is not FlowResultType.FORM
        return form_cell("")
    errors, placeholders = result["errors"], result["description_placeholders"]
    assert errors is not None and placeholders is not None
    assert row.words in placeholders["error"]
    texts = await async_get_translations(hass, "en", "config", [DOMAIN])
    # Raises where the text, or what is to stand in it, is missing.
    texts[f"component.{DOMAIN}.config.error.{errors['base']}"].format_map(placeholders)
    assert list(errors) == ["base"]
    return form_cell(errors["base"])


@each(Column.FIRST)
@pytest.mark.usefixtures("one_line")
async def test_start(
    hass: HomeAssistant,
    row: Row,
    service: Service,
    added: MockConfigEntry,
    poll: Poll,
    cell: Cell,
) -> None:
    """A known account whose first poll fails is there, and makes nothing up."""
    async with service.broken():
        await setup(hass, added)
        cell(Column.FIRST, check(hass, added, row, row.first))
    await poll(LONG)
    check_recovered(hass, added, row)


@each(Column.RUNNING)
@pytest.mark.usefixtures("one_line")
async def test_running(
    hass: HomeAssistant,
    row: Row,
    service: Service,
    running: MockConfigEntry,
    poll: Poll,
    cell: Cell,
) -> None:
    """A poll that fails shows; the next good one ends it."""
    async with service.broken():
        await poll()
        cell(Column.RUNNING, check(hass, running, row, row.later, MODELS))
    await poll(LONG)
    check_recovered(hass, running, row)


@each(Column.FLOW)
async def test_config_flow(
    hass: HomeAssistant,
    enable_custom_integrations: None,
    row: Row,
    service: Service,
    poll: Poll,
    cell: Cell,
) -> None:
    """A form says what is wrong, and can be submitted again."""
    form = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    typed = {CONF_URL: service.base_url}
    form = await submit(hass, form, api_key=API_KEY, base_url="url")
    async with service.broken():
        result = await submit(hass, form, **typed)
        cell(Column.FLOW, await check_form(hass, result, row))
        if not row.error:
            check(hass, result["result"], row, row.first)
    if row.error:
        assert hass.config_entries.async_entries(DOMAIN) == []
        result = await submit(hass, result, **typed)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await poll(LONG)
    check_recovered(hass, result["result"], row)


@each(Column.REAUTH)
async def test_reauth(
    hass: HomeAssistant,
    row: Row,
    service: Service,
    running: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    cell: Cell,
) -> None:
    """Another key is taken once the service says that it is good."""
    simulator.api_keys |= {NEW_KEY}
    form = await running.start_reauth_flow(hass)
    typed = {CONF_API_KEY: NEW_KEY}
    text = await mended(hass, row, service, running, poll, form, typed)
    cell(Column.REAUTH, text)


@each(Column.RECONFIGURE)
async def test_reconfigure(
    hass: HomeAssistant,
    row: Row,
    service: Service,
    running: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    cell: Cell,
) -> None:
    """Other settings are taken once the service answers to them."""
    simulator.api_keys |= {NEW_KEY}
    menu = await running.start_reconfigure_flow(hass)
    form = await submit(hass, menu, next_step_id="api_key")
    form = await submit(hass, form, api_key=NEW_KEY, base_url="url")
    typed = {CONF_URL: service.base_url}
    text = await mended(hass, row, service, running, poll, form, typed)
    cell(Column.RECONFIGURE, text)


async def mended(
    hass: HomeAssistant,
    row: Row,
    service: Service,
    entry: MockConfigEntry,
    poll: Poll,
    form: ConfigFlowResult,
    typed: dict[str, str],
) -> str:
    """Submit a form of an account that works, and go on to the good end.

    Return what came of it while a row lasted.
    """
    before = dict(entry.data)
    async with service.broken():
        result = await submit(hass, form, **typed)
        text = await check_form(hass, result, row)
        if row.error:
            assert entry.data == before
            assert told(hass, entry) == TOLD["ok"]
            assert figures(hass, entry) == FIGURES
        else:
            check(hass, entry, row, row.later, MODELS)
    if row.error:
        result = await submit(hass, result, **typed)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] in ("reauth_successful", "reconfigure_successful")
    assert entry.data == before | {CONF_API_KEY: NEW_KEY}
    await poll(LONG)
    check_recovered(hass, entry, row)
    return text


@each(Column.OPTIONS)
@pytest.mark.usefixtures("one_line")
async def test_options_flow(
    hass: HomeAssistant,
    row: Row,
    service: Service,
    running: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    cell: Cell,
) -> None:
    """The options open with what was read last, and ask for nothing."""
    options = hass.config_entries.options
    async with service.broken():
        await poll()
        asked = len(simulator.requests)
        form = await open_options(hass, running)
        cell(Column.OPTIONS, options_cell(len(offered(form))))
        assert len(simulator.requests) == asked
        options.async_abort(form["flow_id"])
    await poll(LONG)
    form = await open_options(hass, running)
    await options.async_configure(form["flow_id"], {CONF_MODELS: [CHOSEN, MODELS[1]]})
    await hass.async_block_till_done(wait_background_tasks=True)
    assert told(hass, running) == TOLD["ok"]
    assert devices(hass, running) == {CHOSEN, MODELS[1]}


def test_page_shows_the_matrix(matrix: dict[tuple[str, Column], str]) -> None:
    """What it shows is what is expected of all cells, and was seen of those that ran."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    table = render(CELLS | matrix)
    text = PAGE.read_text()
    section = SECTION.search(text)
    assert section
    if os.environ.get("UPDATE_FAULT_MATRIX"):
        PAGE.write_text(SECTION.sub(lambda _: f"\n{table}\n", text))
    else:
        assert section.group() == f"\n{table}\n"
