"""The fault matrix: the results of each fault in each situation.

docs/faults.md contains the matrix. `UPDATE_FAULT_MATRIX=1 scripts/test
tests/test_faults.py` updates it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
import logging
import os
import re
import ssl
import struct
import tracemalloc
from typing import Any, Final, cast, override

import aiohttp
from aiohttp.resolver import AsyncResolver
from aiohttp.test_utils import RawTestServer
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.clients import async_get_session
from custom_components.alibaba_cloud.const import CONF_BASE_URL, CONF_MODELS, DOMAIN
from custom_components.alibaba_cloud.model_studio import http, plain_text
from homeassistant.config_entries import (
    SOURCE_USER,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlowResult,
)
from homeassistant.const import CONF_API_KEY, CONF_URL
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.translation import async_get_translations

from .common import (
    API_KEY,
    FAILED_POLL,
    FIGURES,
    STATUS_STATES,
    Poll,
    answer,
    attributes,
    devices,
    figures,
    offered,
    open_options,
    reauth_flows,
    setup,
    state,
    status_states,
)
from .faults import (
    CELLS,
    CHOSEN,
    LONG,
    MODELS,
    PAGE,
    ROWS,
    Column,
    Row,
    Way,
    account_cell,
    form_cell,
    many_models,
    options_cell,
    render,
)
from .simulator import Fault, Simulator, faults

SECTION: Final = re.compile(
    r"(?<=<!-- fault matrix -->\n).*(?=<!-- /fault matrix -->\n)", re.DOTALL
)

HOST: Final = "127.0.0.1"
SECRET: Final = bytes(16)
NEW_KEY: Final = "sk-another"
SHORT: Final = 0.05
"""The time-out in seconds for services that never answer."""
FLAT: Final = 64 * 1024 * 1024
"""The maximum of memory in bytes that an answer may need."""


def each(column: Column) -> pytest.MarkDecorator:
    """Run a test for each row that has this column."""
    return pytest.mark.parametrize(
        "row", [pytest.param(row, id=row.name) for row in ROWS if column in row.cells]
    )


@contextmanager
def _flat() -> Iterator[None]:
    """Check the peak of memory without the data that the simulator creates once."""
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
    """Return a TLS context with a pre-shared key, which needs no certificate."""
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
    """A name server that resolves all names to the loopback address, or none."""

    known = True
    _transport: asyncio.DatagramTransport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    @override
    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer a query for an IPv4 address; other queries get an empty answer."""
        end = data.index(b"\0", 12) + 5
        asked = data[12:end]
        addresses = b""
        if self.known and asked[-4:] == b"\0\1\0\1":
            addresses = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1"
        flags = 0x8180 if self.known else 0x8183
        header = struct.pack("!HHHHH", flags, 1, bool(addresses), 0, 0)
        self._transport.sendto(data[:2] + header + asked + addresses, addr)


class Service:
    """The simulator with the fault of a row, in its answers or its connection."""

    def __init__(
        self, row: Row, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Initialize without a failure."""
        self._row = row
        self._simulator = simulator
        self._monkeypatch = monkeypatch
        self._names = Names()
        self._front: RawTestServer | None = None
        self._port: int | None = None

    @property
    def base_url(self) -> str:
        """The base URL; with a host name and TLS if the row breaks one of them."""
        if self._port:
            return f"https://service.test:{self._port}/api/v1"
        return self._simulator.base_url

    @asynccontextmanager
    async def at_a_name(self, hass: HomeAssistant) -> AsyncIterator[None]:
        """Let Home Assistant's HTTP session reach the service by name and over TLS.

        Home Assistant's test framework blocks DNS, so a local name server answers.
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
        """Listen at the same port as before."""
        self._front = RawTestServer(self._simulator._handle, host=HOST, port=self._port)
        await self._front.start_server(ssl=tls)
        self._port = self._front.port

    async def _close(self) -> None:
        """Stop listening."""
        if self._front:
            await self._front.close()

    @asynccontextmanager
    async def broken(self) -> AsyncIterator[None]:
        """Fail as in the row within this context."""
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
    """Return an account at the service that is not set up."""
    hass.config_entries.async_update_entry(
        entry,
        data={**entry.data, CONF_BASE_URL: service.base_url},
        options={CONF_MODELS: [CHOSEN]} if row.chosen else {},
    )
    return entry


@pytest.fixture
async def running(hass: HomeAssistant, added: MockConfigEntry) -> MockConfigEntry:
    """Return an account that is set up and polled once."""
    await setup(hass, added)
    return added


@pytest.fixture
def one_line(request: pytest.FixtureRequest, row: Row) -> None:
    """Expect one log line if the row is a failure."""
    if row.error:
        request.node.add_marker(pytest.mark.logs(FAILED_POLL))


@pytest.fixture(scope="session")
def matrix() -> dict[tuple[str, Column], str]:
    """Return the cells observed in this run; a run may test only a few."""
    return {}


type Cell = Callable[[Column, str], None]


@pytest.fixture
def cell(
    row: Row,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    matrix: dict[tuple[str, Column], str],
) -> Iterator[Cell]:
    """Return a function that records a cell; then make the checks of all rows."""

    def record(column: Column, text: str) -> None:
        matrix[row.name, column] = text
        assert text == row.cells[column]

    yield record
    assert simulator.redirect_target_hits == 0
    assert not any(
        record.exc_info and record.levelno >= logging.WARNING
        for record in caplog.get_records("call")
    )


def issues(hass: HomeAssistant) -> list[str | None]:
    """Return the translation keys of the issues."""
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
    """Check the states of an account during the fault of a row, and return the cell."""
    assert entry.state is ConfigEntryState.LOADED
    assert status_states(hass, entry.entry_id) == STATUS_STATES[row.status]
    assert figures(hass, entry.entry_id) == expected
    message = attributes(hass, "status", account=entry.entry_id)["message"]
    if row.error:
        assert message and row.words in message
    else:
        assert message is None
    assert len(reauth_flows(hass)) == (row.status == "auth")
    followed = row.followed(before)
    assert devices(hass, entry) == set(map(plain_text, followed))
    for model in followed:
        assert state(hass, "used", model, account=entry.entry_id) is not None
    assert issues(hass) == ([row.issue] if row.issue else [])
    return account_cell(row.status, figures(hass, entry.entry_id), row.issue)


def check_recovered(hass: HomeAssistant, entry: ConfigEntry, row: Row) -> None:
    """Check that the account is as it was before the fault."""
    assert status_states(hass, entry.entry_id) == STATUS_STATES["ok"]
    assert figures(hass, entry.entry_id) == FIGURES
    assert attributes(hass, "status", account=entry.entry_id)["message"] is None
    assert devices(hass, entry) == ({CHOSEN} if row.chosen else set(MODELS))
    assert hass.config_entries.flow.async_progress() == []
    assert issues(hass) == []


async def submit(
    hass: HomeAssistant, form: ConfigFlowResult, **user_input: str
) -> ConfigFlowResult:
    """Submit a form, and wait until Home Assistant is idle."""
    result = await hass.config_entries.flow.async_configure(form["flow_id"], user_input)
    await hass.async_block_till_done(wait_background_tasks=True)
    return result


async def check_form(hass: HomeAssistant, result: ConfigFlowResult, row: Row) -> str:
    """Check the result of a form during the fault of a row, and return the cell."""
    if not row.error:
        assert result["type"] is not FlowResultType.FORM
        return form_cell("")
    errors, placeholders = result["errors"], result["description_placeholders"]
    assert errors is not None and placeholders is not None
    assert row.words in placeholders["error"]
    texts = await async_get_translations(hass, "en", "config", [DOMAIN])
    # Raises if the text or one of its placeholders is missing.
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
    real_time_poll: Poll,
    cell: Cell,
) -> None:
    """A known account loads even if its first poll fails, without figures."""
    async with service.broken():
        await setup(hass, added)
        cell(Column.FIRST, check(hass, added, row, row.first))
    await real_time_poll(LONG)
    check_recovered(hass, added, row)


@each(Column.RUNNING)
@pytest.mark.usefixtures("one_line")
async def test_running(
    hass: HomeAssistant,
    row: Row,
    service: Service,
    running: MockConfigEntry,
    real_time_poll: Poll,
    cell: Cell,
) -> None:
    """A failed poll changes the status; the next good poll restores it."""
    async with service.broken():
        await real_time_poll()
        cell(Column.RUNNING, check(hass, running, row, row.later, MODELS))
    await real_time_poll(LONG)
    check_recovered(hass, running, row)


@each(Column.FLOW)
async def test_config_flow(
    hass: HomeAssistant,
    enable_custom_integrations: None,
    row: Row,
    service: Service,
    real_time_poll: Poll,
    cell: Cell,
) -> None:
    """A form shows the error, and can be submitted again."""
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
    await real_time_poll(LONG)
    check_recovered(hass, result["result"], row)


@each(Column.REAUTH)
async def test_reauth(
    hass: HomeAssistant,
    row: Row,
    service: Service,
    running: MockConfigEntry,
    simulator: Simulator,
    real_time_poll: Poll,
    cell: Cell,
) -> None:
    """A new key is accepted once the service accepts it."""
    simulator.api_keys |= {NEW_KEY}
    form = await running.start_reauth_flow(hass)
    typed = {CONF_API_KEY: NEW_KEY}
    text = await complete(hass, row, service, running, real_time_poll, form, typed)
    cell(Column.REAUTH, text)


@each(Column.RECONFIGURE)
async def test_reconfigure(
    hass: HomeAssistant,
    row: Row,
    service: Service,
    running: MockConfigEntry,
    simulator: Simulator,
    real_time_poll: Poll,
    cell: Cell,
) -> None:
    """New settings are accepted once the service answers."""
    simulator.api_keys |= {NEW_KEY}
    menu = await running.start_reconfigure_flow(hass)
    form = await submit(hass, menu, next_step_id="api_key")
    form = await submit(hass, form, api_key=NEW_KEY, base_url="url")
    typed = {CONF_URL: service.base_url}
    text = await complete(hass, row, service, running, real_time_poll, form, typed)
    cell(Column.RECONFIGURE, text)


async def complete(
    hass: HomeAssistant,
    row: Row,
    service: Service,
    entry: MockConfigEntry,
    real_time_poll: Poll,
    form: ConfigFlowResult,
    typed: dict[str, str],
) -> str:
    """Submit a form during and after the fault of a row, and complete the flow.

    Return the cell for the form during the fault.
    """
    before = dict(entry.data)
    async with service.broken():
        result = await submit(hass, form, **typed)
        text = await check_form(hass, result, row)
        if row.error:
            assert entry.data == before
            assert status_states(hass, entry.entry_id) == STATUS_STATES["ok"]
            assert figures(hass, entry.entry_id) == FIGURES
        else:
            check(hass, entry, row, row.later, MODELS)
    if row.error:
        result = await submit(hass, result, **typed)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] in ("reauth_successful", "reconfigure_successful")
    assert entry.data == before | {CONF_API_KEY: NEW_KEY}
    await real_time_poll(LONG)
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
    real_time_poll: Poll,
    cell: Cell,
) -> None:
    """The options open with the last models read, without a request."""
    options = hass.config_entries.options
    async with service.broken():
        await real_time_poll()
        asked = len(simulator.requests)
        form = await open_options(hass, running)
        cell(Column.OPTIONS, options_cell(len(offered(form))))
        assert len(simulator.requests) == asked
        options.async_abort(form["flow_id"])
    await real_time_poll(LONG)
    form = await open_options(hass, running)
    await options.async_configure(form["flow_id"], {CONF_MODELS: [CHOSEN, MODELS[1]]})
    await hass.async_block_till_done(wait_background_tasks=True)
    assert status_states(hass, running.entry_id) == STATUS_STATES["ok"]
    assert devices(hass, running) == {CHOSEN, MODELS[1]}


def test_page_shows_the_matrix(matrix: dict[tuple[str, Column], str]) -> None:
    """The page shows the expected cells, and the tests that ran observed the same."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    table = render(CELLS | matrix)
    text = PAGE.read_text()
    section = SECTION.search(text)
    assert section
    if os.environ.get("UPDATE_FAULT_MATRIX"):
        PAGE.write_text(SECTION.sub(lambda _: f"\n{table}\n", text))
    else:
        assert section.group() == f"\n{table}\n"
