"""What goes over the wire, and what becomes of it when the wire breaks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
import json
import socket
from string import ascii_letters, digits
import struct
from typing import Any, Final, override
from urllib.parse import quote

from aiohttp import ClientSession, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given, settings, strategies as st
import pytest
from yarl import URL

from custom_components.alibaba_cloud.model_studio import (
    AccessKey,
    BalanceClient,
    BillingClient,
    ConnectionFailedError,
    ConnectionFailure,
    ModelStudioClient,
    ModelStudioError,
    PricesClient,
    TelemetryClient,
    http,
)
from custom_components.alibaba_cloud.model_studio.telemetry import repeats_path
from homeassistant.core import HomeAssistant
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from tests.common import API_KEY, answer
from tests.simulator import Account, Fault, Simulator
from tests.simulator.billing import balance, trend
from tests.simulator.openapi import roa_answer, rpc_answer
from tests.simulator.prices import page

# Hypothesis's own, of the generator it keeps.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

NOW: Final = datetime(2026, 8, 15, 12, tzinfo=UTC)
TODAY: Final = date(2026, 8, 15)
SECRET: Final = "0123456789abcdefghijABCDEFGHIJ"
KEY: Final = AccessKey(id="LTAI5tSimulator", secret=SECRET)
ACCOUNT: Final = Account(clock=lambda: NOW)
QUERY: Final = {
    "granularity": "DAY",
    "timePeriod": '{"start": "2026-08-15", "end": "2026-08-15"}',
    "groupBy": '[{"code": "BASE_MODEL"}]',
}

type Ask = Callable[[ClientSession, str], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Service:
    """How a service is asked, what it answers, and in how many requests."""

    ask: Ask
    body: Any
    requests: int = 1


SERVICES: Final = {
    "quotas": Service(
        ask=lambda session, url: ModelStudioClient(
            session, base_url=url, api_key=API_KEY
        ).get_account(),
        body=answer("account"),
    ),
    "prices": Service(
        ask=lambda session, url: PricesClient(
            session, base_url=url, api_key=API_KEY
        ).get_prices(),
        body=page(ACCOUNT, {"language": "en", "page_size": "100"}, "1"),
    ),
    "bill": Service(
        ask=lambda session, url: BillingClient(
            session, endpoint=url, access_key=KEY
        ).get_month(TODAY),
        body=roa_answer(trend(ACCOUNT, QUERY), "1"),
    ),
    "balance": Service(
        ask=lambda session, url: BalanceClient(
            session, endpoints=[url], access_key=KEY
        ).get_balance(),
        body=rpc_answer(balance(ACCOUNT), "1"),
    ),
    "prometheus": Service(
        ask=lambda session, url: TelemetryClient(
            session, url=url, access_key=KEY
        ).get_rates(NOW),
        body={"status": "success", "data": {"resultType": "vector", "result": []}},
        requests=2,
    ),
}
EACH_SERVICE = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


@dataclass(kw_only=True)
class Wire:
    """A server that answers well but for some connections.

    faults: of the requests to come, each is (bytes that are read, bytes that are sent,
        whether the connection is reset and not closed); None is a good answer.
    heads: what came of each request.
    """

    url: str = ""
    raw: bytes
    faults: list[tuple[int | None, int, bool] | None] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection, which may carry many requests."""
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
    """Serve good answers until faults are set."""
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
    """Return the signatures of requests, of those that were read to the end."""
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
    """One more request is sent for it, with a signature of its own, and no third."""
    async with wire(service.body) as served:
        await service.ask(session, served.url)
        longest = len(served.heads[0])
        faults: list[tuple[int | None, int, bool]] = [
            *((read, 0, reset) for read in range(1, longest)),
            *((None, sent, reset) for sent in range(len(served.raw))),
        ]
        # All of them in the night; else as many as Hypothesis takes examples.
        step = max(1, len(faults) * 4 // settings().max_examples)
        for fault in faults[::step]:
            served.heads.clear()
            served.faults = [fault]
            await service.ask(session, served.url)
            assert len(served.heads) == service.requests + 1, fault
            assert len(set(signatures(served.heads))) == len(signatures(served.heads))
            served.heads.clear()
            served.faults = [fault, fault]
            with pytest.raises(ConnectionFailedError) as caught:
                await service.ask(session, served.url)
            assert caught.value.failure is ConnectionFailure.LOST
            assert caught.value.host == URL(served.url).authority
            assert len(served.heads) == 2, fault
            assert not served.faults


@EACH_SERVICE
async def test_every_second_connection_breaks(
    session: ClientSession, service: Service
) -> None:
    """A poll of several requests is forgiven one of them."""
    async with wire(service.body) as served:
        served.faults = [(None, 0, False), None, (None, 0, False), None]
        try:
            await service.ask(session, served.url)
        except ConnectionFailedError:
            assert service.requests > 1
        assert len(served.heads) == service.requests + 1


class ThisMachine(AbstractResolver):
    """Finds every name here."""

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
        """Hold nothing."""


@EACH_SERVICE
async def test_no_cookies(
    hass: HomeAssistant,
    session: ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    service: Service,
) -> None:
    """None is sent or kept, neither the service's nor Home Assistant's."""
    shared = async_get_clientsession(hass)
    async with (
        wire(service.body) as served,
        TCPConnector(resolver=ThisMachine()) as connector,
    ):
        for each in (shared, session):
            monkeypatch.setattr(each, "_connector", connector)
        url = served.url.replace("127.0.0.1", "service.test")
        # Home Assistant's own session keeps it.
        await (await shared.get(url)).read()
        [cookie] = shared.cookie_jar
        assert cookie.key == "session"
        shared.cookie_jar.clear()
        shared.cookie_jar.update_cookies({"of": "another"}, URL(url))
        served.heads.clear()
        for _ in range(2):
            await service.ask(session, url)
        heads = b"".join(served.heads).lower()
        assert b"\r\ncookie:" not in heads
        assert [cookie.key for cookie in shared.cookie_jar] == ["of"]
        assert len(session.cookie_jar) == 0
        assert heads.count(b"\r\naccept: application/json\r\n") == len(served.heads)


@EACH_SERVICE
async def test_connection_is_used_again(
    session: ClientSession, service: Service
) -> None:
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
            await service.ask(session, url)
        assert connections == 1
        server.close_clients()
        server.close()


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.RESET, Fault.CUT])
async def test_nonce_is_used_once(
    session: ClientSession,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
) -> None:
    """The simulator refuses one that comes again, as the gateway does."""
    monkeypatch.setattr(http, "TIMEOUT", 0.3)
    simulator.account = ACCOUNT
    simulator.access_keys = {KEY.id: KEY.secret}
    client = BillingClient(session, endpoint=simulator.openapi_url, access_key=KEY)
    simulator.fail(fault, at="billing", times=1)
    assert (await client.get_month(TODAY)).monthly
    simulator.forget()
    simulator.fail(fault, at="billing", times=2)
    with pytest.raises(ConnectionFailedError):
        await client.get_month(TODAY)
    assert len(simulator.signed_requests) == 2


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        "".join(rf"\u{ord(character):04x}" for character in SECRET),
        "".join(rf"\u{ord(character):04X}" for character in SECRET),
        rf"\u{ord(SECRET[0]):04x}{SECRET[1:]}",
    ],
)
async def test_key_in_escapes_is_no_name(
    session: ClientSession, simulator: Simulator, spelled: str
) -> None:
    """A service that repeats the key as a model's name does not make it public."""
    body = json.dumps(answer("account")).replace("qwen-max", f"of {spelled}")
    body = body.replace(r"\\u", r"\u")
    simulator.api_keys = {SECRET}
    simulator.body = body
    client = ModelStudioClient(session, base_url=simulator.base_url, api_key=SECRET)
    account = await client.get_account()
    assert "of **REDACTED**" in account.models
    assert SECRET not in repr(account)
    assert client.body is not None
    assert SECRET not in repr(json.loads(client.body))


CHARACTERS: Final = st.characters(min_codepoint=0x21, max_codepoint=0x7E)


@given(
    secret=st.text(CHARACTERS, min_size=8, max_size=40),
    ways=st.lists(st.sampled_from("pjJxXde"), min_size=40, max_size=40),
)
def test_secret_is_found_however_it_is_spelled(secret: str, ways: list[str]) -> None:
    """In JSON, XML and URLs, each character in a way of its own."""
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
    assert http._redacted(f"<{spelled}>".encode(), secret) == b"<**REDACTED**>"


PARTS: Final = st.text(
    st.sampled_from(ascii_letters + digits),
    min_size=4,
    max_size=40,
)


@given(parts=st.lists(PARTS, min_size=1, max_size=4), data=st.data())
def test_words_that_repeat_a_path(parts: list[str], data: st.DataObject) -> None:
    """All of it, a segment, or a part of one, percent-encoded or not."""
    path = f"/{'/'.join(parts)}"
    part = data.draw(st.sampled_from([path, *parts]))
    if len(part) > 8:
        start = data.draw(st.integers(0, len(part) - 8))
        part = part[start : data.draw(st.integers(start + 8, len(part)))]
    if part.strip("/").casefold() not in "prometheus" and "/" not in part:
        for spelled in (
            part,
            part.upper(),
            quote(part, safe=""),
            "".join(f"%{ord(character):02x}" for character in part),
            "".join(f"%25{ord(character):02x}" for character in part),
        ):
            assert repeats_path(f"No handler for {spelled}!", path)
    assert not repeats_path("", path)


@pytest.mark.parametrize(
    "said",
    [
        "{path}",
        "404 page not found: {path}/api/v1/query",
        "no such instance: {token}",
        "token {token} has expired",
        "{token_encoded}",
        "tok…{part}",
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
async def test_path_of_prometheus_is_not_repeated(
    session: ClientSession,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    said: str,
    status: int,
) -> None:
    token = "b0f1c2d3e4f5a6978899aabbccddeeff"
    path = f"/api/v1/prometheus/{token}/1234567890"
    words = said.format(
        path=path,
        token=token,
        token_encoded="".join(f"%{ord(character):02X}" for character in token),
        part=token[5:17],
    )
    content = json.dumps({"status": "error", "errorType": words, "error": words})

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content.encode())}\r\n\r\n"
        writer.write(f"{head}{content}".encode())
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
        client = TelemetryClient(session, url=url, access_key=KEY)
        with pytest.raises(ModelStudioError) as caught:
            await client.get_rates(NOW)
    assert str(caught.value) == "**REDACTED**: **REDACTED**"
    assert token[5:17] not in f"{caught.value!r}{vars(caught.value)}{caplog.text}"
