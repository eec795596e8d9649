"""Tests of HTTP requests: broken connections, retries, limits, and secrets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
import json
import socket
import struct
import tracemalloc
from typing import Any, Final, override

from aiohttp import ClientSession, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given, settings, strategies as st
import pytest
from yarl import URL

from custom_components.alibaba_cloud.model_studio import (
    TIMEOUT,
    AccountError,
    AuthenticationError,
    BalanceClient,
    BillingClient,
    ConnectionFailedError,
    ConnectionFailure,
    InvalidAnswerError,
    ModelStudioClient,
    PricesClient,
    TelemetryClient,
    http,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from tests.common import API_KEY, answer
from tests.simulator import Account, Fault, Simulator
from tests.simulator.billing import balance, trend
from tests.simulator.faults import HUGE_SIZE
from tests.simulator.openapi import roa_answer, rpc_answer
from tests.simulator.prices import page

from .common import (
    KEY,
    NOW,
    REDACTED,
    SECRET,
    TODAY,
    Serve,
    failure,
    raw_answer,
    raw_json,
    short,
    texts,
)

# Hypothesis warns about its own random number generator.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

ACCOUNT: Final = Account(clock=lambda: NOW)
QUERY: Final = {
    "granularity": "DAY",
    "timePeriod": '{"start": "2026-08-15", "end": "2026-08-15"}',
    "groupBy": '[{"code": "BASE_MODEL"}]',
}

type Call = Callable[[ClientSession, str], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Service:
    """How to call a service, its answer, and how many requests a call takes."""

    call: Call
    body: Any
    requests: int = 1


SERVICES: Final = {
    "quotas": Service(
        call=lambda session, url: ModelStudioClient(
            session, base_url=url, api_key=API_KEY
        ).get_account(),
        body=answer("account"),
    ),
    "prices": Service(
        call=lambda session, url: PricesClient(
            session, base_url=url, api_key=API_KEY
        ).get_prices(),
        body=page(ACCOUNT, {"language": "en", "page_size": "100"}, "1"),
    ),
    "bill": Service(
        call=lambda session, url: BillingClient(
            session, endpoint=url, access_key=KEY
        ).get_month(TODAY),
        body=roa_answer(trend(ACCOUNT, QUERY), "1"),
    ),
    "balance": Service(
        call=lambda session, url: BalanceClient(
            session, endpoints=[url], access_key=KEY
        ).get_balance(),
        body=rpc_answer(balance(ACCOUNT), "1"),
    ),
    "prometheus": Service(
        call=lambda session, url: TelemetryClient(
            session, url=url, access_key=KEY
        ).get_rates(NOW),
        body={"status": "success", "data": {"resultType": "vector", "result": []}},
        requests=2,
    ),
}
EACH_SERVICE = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


@dataclass(kw_only=True)
class Wire:
    """A server whose connections can break at any byte."""

    url: str = ""
    raw: bytes
    """The whole answer."""
    faults: list[tuple[int | None, int, bool] | None] = field(default_factory=list)
    """Faults of the next requests: the number of bytes to read (None for all) and to
    send, and whether to reset the connection. None is no fault."""
    heads: list[bytes] = field(default_factory=list)
    """The bytes that were read of each request."""

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection, which can have many requests."""
        try:
            while first := await reader.read(1):
                self.heads.append(first)
                fault = self.faults.pop(0) if self.faults else None
                read, sent, reset = fault or (None, len(self.raw), False)
                if read is None:
                    self.heads[-1] += await reader.readuntil(b"\r\n\r\n")
                elif read > 1:
                    self.heads[-1] += await reader.readexactly(read - 1)
                writer.write(self.raw[:sent])
                await writer.drain()
                if fault:
                    if reset:
                        writer.get_extra_info("socket").setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                        )
                        writer.transport.abort()
                    return
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def wire(body: Any) -> AsyncIterator[Wire]:
    """Serve an answer until faults are set."""
    content = json.dumps(body).encode()
    raw = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"Set-Cookie: session=kept; Path=/\r\n"
        + f"Content-Length: {len(content)}\r\n\r\n".encode()
        + content
    )
    served = Wire(raw=raw)
    server = await asyncio.start_server(served.handle, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        server.close()
        server.close_clients()
        await server.wait_closed()


def signatures(heads: list[bytes]) -> list[bytes]:
    """Return the signatures of the requests that were read completely."""
    return [
        line
        for head in heads
        for line in head.split(b"\r\n")
        if line.startswith((b"x-acs-signature-nonce", b"Authorization: ACS3"))
    ]


@EACH_SERVICE
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_connection_that_breaks_at_any_byte(
    session: ClientSession, service: Service, reset: bool
) -> None:
    """A connection that breaks is retried once with a new signature."""
    async with wire(service.body) as served:
        await service.call(session, served.url)
        longest = len(served.heads[0])
        faults: list[tuple[int | None, int, bool]] = [
            *((read, 0, reset) for read in range(1, longest)),
            *((None, sent, reset) for sent in range(len(served.raw))),
        ]
        # The nightly profile tests all faults, other profiles a sample of them.
        step = max(1, len(faults) * 4 // settings().max_examples)
        for fault in faults[::step]:
            served.heads.clear()
            served.faults = [fault]
            await service.call(session, served.url)
            assert len(served.heads) == service.requests + 1, fault
            assert len(set(signatures(served.heads))) == len(signatures(served.heads))
            served.heads.clear()
            served.faults = [fault, fault]
            with pytest.raises(ConnectionFailedError) as caught:
                await service.call(session, served.url)
            assert caught.value.failure is ConnectionFailure.LOST
            assert caught.value.host == URL(served.url).authority
            assert len(served.heads) == 2, fault
            assert not served.faults


@EACH_SERVICE
async def test_every_second_connection_breaks(
    session: ClientSession, service: Service
) -> None:
    """All requests of a call share one retry."""
    async with wire(service.body) as served:
        served.faults = [(None, 0, False), None, (None, 0, False), None]
        try:
            await service.call(session, served.url)
        except ConnectionFailedError:
            assert service.requests > 1
        assert len(served.heads) == service.requests + 1


class ThisMachine(AbstractResolver):
    """Resolves all names to this machine."""

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=0,
            )
        ]

    @override
    async def close(self) -> None:
        """Do nothing, as nothing is open."""


@EACH_SERVICE
async def test_no_cookies(
    hass: HomeAssistant,
    session: ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    service: Service,
) -> None:
    """No cookie is sent or stored: neither the service's nor Home Assistant's."""
    shared = async_get_clientsession(hass)
    async with (
        wire(service.body) as served,
        TCPConnector(resolver=ThisMachine()) as connector,
    ):
        for each in (shared, session):
            monkeypatch.setattr(each, "_connector", connector)
        url = served.url.replace("127.0.0.1", "service.test")
        # Home Assistant's shared session stores the cookie.
        await (await shared.get(url)).read()
        [cookie] = shared.cookie_jar
        assert cookie.key == "session"
        shared.cookie_jar.clear()
        shared.cookie_jar.update_cookies({"of": "another"}, URL(url))
        served.heads.clear()
        for _ in range(2):
            await service.call(session, url)
        heads = b"".join(served.heads).lower()
        assert b"\r\ncookie:" not in heads
        assert [cookie.key for cookie in shared.cookie_jar] == ["of"]
        assert len(session.cookie_jar) == 0
        assert heads.count(b"\r\naccept: application/json\r\n") == len(served.heads)


@EACH_SERVICE
async def test_connection_is_reused(session: ClientSession, service: Service) -> None:
    async with wire(service.body) as served:
        connections = 0
        handle = served.handle

        async def count(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            nonlocal connections
            connections += 1
            await handle(reader, writer)

        server = await asyncio.start_server(count, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for _ in range(3):
            await service.call(session, url)
        assert connections == 1
        server.close_clients()
        server.close()


def test_timeout() -> None:
    """A request may take 10 seconds in total."""
    assert TIMEOUT == 10


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["another host", "itself"])
async def test_redirect_is_not_followed(
    client: ModelStudioClient, simulator: Simulator, status: int, to: str
) -> None:
    """A redirect is not followed, so no other host gets the API key."""
    location = f"{simulator.base_url}/quotas" if to == "itself" else None
    simulator.fail(Fault.REDIRECT, status=status, location=location)
    err = await failure(client.get_account())
    assert type(err) is AccountError
    assert str(err) == f"HTTP {status}"
    assert len(simulator.requests) == 1
    assert simulator.redirect_target_hits == 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, InvalidAnswerError), (401, AuthenticationError), (500, AccountError)],
)
async def test_compressed_bomb_is_not_kept_in_memory(
    client: ModelStudioClient,
    simulator: Simulator,
    status: int,
    kind: type[Exception],
) -> None:
    simulator.fail(Fault.HUGE, status=status)
    # The simulator compresses the body once, before memory is measured.
    await failure(client.get_account())
    tracemalloc.start()
    try:
        err = await failure(client.get_account())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024 * 1024 < HUGE_SIZE
    assert type(err) is kind


@pytest.mark.parametrize("excess", [0, 1])
async def test_largest_body(
    client: ModelStudioClient, simulator: Simulator, excess: int
) -> None:
    """A body of 8 MiB is read; a larger one is an error."""
    simulator.body = b'{"data": {"tokens_used": 7}}'.ljust(8 * 1024 * 1024 + excess)
    if excess:
        err = await failure(client.get_account())
        assert type(err) is InvalidAnswerError
        assert str(err) == "The answer is larger than 8388608 bytes"
    else:
        assert (await client.get_account()).tokens_used == 7
    assert len(simulator.requests) == 1


@pytest.mark.parametrize(("excess", "size"), [(0, 64 * 1024), (1, 0)])
async def test_largest_body_of_an_error(
    session: ClientSession, serve: Serve, excess: int, size: int
) -> None:
    """The body of an error is ignored if it is larger than 64 KiB."""
    origin = await serve(raw_json(500, b"m" * (64 * 1024 + excess)))
    status, headers, body = await http.request(
        session, "GET", URL(origin), headers={}, secrets=(SECRET,)
    )
    assert (status, len(body)) == (500, size)
    assert headers["content-length"] == str(64 * 1024 + excess)


@pytest.mark.parametrize("hang", [False, True])
@pytest.mark.parametrize("status", [401, 403, 429, 500, 999])
@pytest.mark.parametrize(
    "headers",
    [("Content-Length: 100",), ("Content-Encoding: gzip", "Content-Length: 20")],
    ids=["plain", "gzip"],
)
async def test_unreadable_body_of_an_error(
    session: ClientSession,
    serve: Serve,
    short_timeout: None,
    headers: tuple[str, ...],
    status: int,
    hang: bool,
) -> None:
    """An error whose body can't be read is reported with its status."""
    raw = raw_answer(f"{status} X", *headers, body=b'{"code": "InvalidApi')
    origin = await serve(raw, hang=hang)
    found, _, body = await http.request(
        session, "GET", URL(origin), headers={}, secrets=(SECRET,)
    )
    assert (found, body) == (status, b"")


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.RESET, Fault.CUT])
async def test_nonce_is_used_once(
    billing: BillingClient,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
) -> None:
    """The simulator rejects a used nonce, like the gateway."""
    monkeypatch.setattr(http, "TIMEOUT", 0.3)
    simulator.fail(fault, at="billing", times=1)
    assert (await billing.get_month(TODAY)).monthly is not None
    simulator.forget()
    simulator.fail(fault, at="billing", times=2)
    with pytest.raises(ConnectionFailedError):
        await billing.get_month(TODAY)
    assert len(simulator.signed_requests) == 2


CHARACTERS: Final = st.characters(min_codepoint=0x21, max_codepoint=0x7E)


@given(
    secret=st.text(CHARACTERS, min_size=8, max_size=40),
    ways=st.lists(st.sampled_from("pjJxXde"), min_size=40, max_size=40),
)
def test_secret_is_redacted_in_every_spelling(secret: str, ways: list[str]) -> None:
    """A secret is redacted even if its characters are escaped for JSON, XML or URLs."""
    spelled = "".join(
        {
            "p": json.dumps(character)[1:-1],
            "j": rf"\u{ord(character):04x}",
            "J": rf"\u{ord(character):04X}",
            "x": f"&#x{ord(character):x};",
            "X": f"&#x{ord(character):04X};",
            "d": f"&#{ord(character)};",
            "e": f"%{ord(character):02X}",
        }[way]
        for character, way in zip(secret, ways, strict=False)
    )
    assert http._redacted(f"<{spelled}>".encode(), secret) == f"<{REDACTED}>".encode()


@pytest.mark.parametrize("body", [b"{}", b'{"a": "\\u0061%61&#97;"}'])
def test_body_without_the_secret_is_unchanged(body: bytes) -> None:
    assert http._redacted(body, SECRET) == body


@pytest.mark.parametrize(
    ("secret", "expected"), [("s3cr3t!", "s3cr3t!"), ("s3cr3t!!", REDACTED)]
)
def test_short_secret_is_not_redacted(secret: str, expected: str) -> None:
    """Secrets shorter than 8 characters are kept, as they may appear by chance."""
    assert http._redacted(secret.encode(), secret) == expected.encode()


LOST: Final = "Connection to {} lost"
INVALID: Final = "No valid answer from {}"


async def reason(session: ClientSession, origin: str) -> str:
    """Return why a request fails, and check that the error doesn't show its URL."""
    url = URL(f"{origin}/h1dden/api/v1/query?query=h1dden&time=1785600000")
    headers = {"Authorization": SECRET}
    err = await failure(
        http.request(session, "GET", url, headers=headers, secrets=(SECRET,))
    )
    assert type(err) is ConnectionFailedError
    assert err.__context__ is err.__cause__ is None
    assert "h1dden" not in texts(err)
    assert SECRET not in texts(err)
    return str(err)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", LOST),
        (b"\r\n\r\n", LOST),
        (b"SSH-2.0-OpenSSH_9.9\r\n", INVALID),
        (b"220 mail ESMTP\r\n", INVALID),
        (b"\x15\x03\x01\x00\x02\x02\x16", INVALID),
        (b"HTTP/1.1 200 OK\r\nX-Path: ECHO", LOST),
        (b"500 No such command: GET ECHO\r\n", INVALID),
        (raw_answer("banana"), INVALID),
        (raw_answer("200 OK", "no header"), INVALID),
        (raw_answer("200 OK", "ECHO"), INVALID),
        (raw_answer("200 OK", "Content-Length: many"), INVALID),
        (raw_answer("200 OK", "Content-Length: ECHO"), INVALID),
        (raw_answer("200 OK", f"X-Path: {'ECHO' * 3000}"), INVALID),
        (raw_answer("200 OK", f"X-Long: {'x' * 100_000}"), INVALID),
        (raw_answer("200 OK", "Content-Length: 1000", body=b"ECHO"), LOST),
        (raw_answer("200 OK", "Transfer-Encoding: chunked", body=b"5\r\n{"), LOST),
        (
            raw_answer("200 OK", "Transfer-Encoding: chunked", body=b"ECHO\r\n"),
            INVALID,
        ),
        *(
            (
                raw_answer(
                    "200 OK",
                    f"Content-Encoding: {encoding}",
                    "Content-Length: 4",
                    body=b"ECHO",
                ),
                LOST,
            )
            for encoding in ("gzip", "deflate")
        ),
    ],
    ids=short,
)
async def test_broken_http(
    session: ClientSession, serve: Serve, raw: bytes, text: str
) -> None:
    origin = await serve(raw)
    assert await reason(session, origin) == text.format(URL(origin).authority)


async def test_unreachable_service(
    session: ClientSession, simulator: Simulator
) -> None:
    origin = simulator.openapi_url
    host = URL(origin).authority
    text = await reason(session, origin.replace("http", "https"))
    assert text == f"No secure connection to {host}"
    # The request was not sent unencrypted.
    assert simulator.requests == simulator.signed_requests == []
    await simulator.stop()
    assert await reason(session, origin) == f"Connection refused by {host}"


async def test_slow_service(
    session: ClientSession, serve: Serve, short_timeout: None
) -> None:
    origin = await serve(b"", hang=True)
    text = await reason(session, origin)
    assert text == f"No answer from {URL(origin).authority} in time"


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        ("http://", "No valid answer from "),
        ("ftp://127.0.0.1", "No valid answer from 127.0.0.1"),
    ],
)
async def test_invalid_url(session: ClientSession, origin: str, text: str) -> None:
    assert await reason(session, origin) == text


class NoSuchHost(AbstractResolver):
    """Resolves no name, with the error of the real resolvers."""

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        raise OSError(None, "Name or service not known")

    @override
    async def close(self) -> None:
        """Do nothing, as nothing is open."""


async def test_unknown_host(socket_enabled: None) -> None:
    connector = TCPConnector(resolver=NoSuchHost())
    async with ClientSession(connector=connector) as session:
        text = await reason(session, "https://nonexistent.invalid")
    assert text == "Host nonexistent.invalid not found"
