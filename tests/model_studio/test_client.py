"""The client over real sockets: what it asks, and what it makes of what comes back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
import json
import socket
import traceback
import tracemalloc
from typing import Any, Protocol, override

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
import pytest
from yarl import URL

from custom_components.alibaba_cloud.model_studio import (
    DEFAULT_REGION,
    REGIONS,
    WORKSPACE_REGIONS,
    AccountError,
    AccountSnapshot,
    AuthenticationError,
    BudgetExhaustedError,
    ConnectionFailedError,
    FreeQuotaUsedUpError,
    InvalidAnswerError,
    InvalidURLError,
    InvalidWorkspaceError,
    ModelStudioClient,
    ModelStudioError,
    ModelUsage,
    OverduePaymentError,
    PermissionDeniedError,
    QuotasKind,
    RateLimit,
    RateLimitError,
    ServiceNotEnabledError,
    client as client_module,
    http,
    normalize_base_url,
    paging,
    workspace_base_url,
)
from custom_components.alibaba_cloud.model_studio.quotas import parse_answer
from tests.common import API_KEY, answer
from tests.simulator import Fault, Simulator
from tests.simulator.faults import HUGE_SIZE

type Ask = Callable[[ModelStudioClient], Awaitable[AccountSnapshot | None]]


class Serve(Protocol):
    """Answers every request with these bytes; returns the base URL."""

    async def __call__(self, raw: bytes, *, hang: bool = False) -> str:
        """Start to serve; hang up after the bytes, or else do nothing more."""


SECRET = "sk-0123456789abcdef0123456789abcdef"
"""A key that no other text holds by chance."""
REDACTED = "**REDACTED**"

ASKS = pytest.mark.parametrize(
    "ask", [ModelStudioClient.get_account, ModelStudioClient.try_key]
)


@pytest.fixture
def client(session: aiohttp.ClientSession, simulator: Simulator) -> ModelStudioClient:
    """Return a client of the simulator."""
    return ModelStudioClient(session, base_url=simulator.base_url, api_key=API_KEY)


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the client's patience end soon."""
    monkeypatch.setattr(http, "TIMEOUT", 0.2)


@pytest.fixture
async def serve(socket_enabled: None) -> AsyncIterator[Serve]:
    """Return a function that serves raw bytes."""
    servers: list[asyncio.Server] = []

    async def serve(raw: bytes, *, hang: bool = False) -> str:
        async def handle(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            if hang:
                # Until the other side hangs up.
                await reader.read()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"

    yield serve
    for server in servers:
        server.close()
        await server.wait_closed()


async def failure(
    client: ModelStudioClient, ask: Ask = ModelStudioClient.get_account
) -> ModelStudioError:
    """Return the error that a client raises."""
    with pytest.raises(ModelStudioError) as caught:
        await ask(client)
    return caught.value


def texts(error: BaseException) -> str:
    """Return all that could be shown of an error, and of those that it came from."""
    parts = traceback.format_exception(error)
    seen: BaseException | None = error
    while seen is not None:
        parts += [str(seen), repr(seen), repr(vars(seen))]
        hidden = None if seen.__suppress_context__ else seen.__context__
        seen = seen.__cause__ or hidden
    return "\n".join(parts)


async def test_request(client: ModelStudioClient, simulator: Simulator) -> None:
    """It is one GET, the key stands in one header, and nothing else is told."""
    await client.get_account()
    (request,) = simulator.requests
    assert (request.method, request.path) == ("GET", "/api/v1/quotas")
    assert request.query == {}
    assert request.headers["authorization"] == f"Bearer {API_KEY}"
    assert request.headers.keys() <= {
        *("host", "authorization", "accept", "accept-encoding", "user-agent"),
        "connection",
    }
    told = [name for name, text in request.headers.items() if API_KEY in text]
    assert told == ["authorization"]


async def test_account(client: ModelStudioClient) -> None:
    account = await client.get_account()
    assert account == parse_answer(json.dumps(answer("account")).encode())
    assert client.listing is None


async def test_last_answer_is_kept_as_it_came(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    """Whatever fails later; it can be read again."""
    body = json.dumps(answer("account"), indent=1).encode()
    simulator.body = body
    account = await client.get_account()
    assert client.body == body
    assert parse_answer(client.body) == account
    simulator.fail(Fault.SERVER_ERROR, times=1)
    await failure(client)
    simulator.body = {"code": "SystemError", "data": {}}
    await failure(client)
    assert client.body == body
    simulator.body = b'{"data": {}}'
    await client.get_account()
    assert client.body == b'{"data": {}}'


async def test_try_key(client: ModelStudioClient, simulator: Simulator) -> None:
    """It is one request like any other."""
    await client.try_key()
    (request,) = simulator.requests
    assert (request.method, request.path) == ("GET", "/api/v1/quotas")
    assert request.query == {}
    assert request.headers["authorization"] == f"Bearer {API_KEY}"


async def test_every_account_is_asked_for_anew(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    await client.get_account()
    simulator.body["data"]["tokens_used"] = 75_060_001
    assert (await client.get_account()).tokens_used == 75_060_001
    assert len(simulator.requests) == 2


async def test_wrong_key(session: aiohttp.ClientSession, simulator: Simulator) -> None:
    client = ModelStudioClient(session, base_url=simulator.base_url, api_key=SECRET)
    err = await failure(client)
    assert type(err) is AuthenticationError
    assert str(err) == "InvalidApiKey: Invalid API-key provided."
    assert len(simulator.requests) == 1


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a fault is to a caller."""

    kind: type[ModelStudioError]
    code: str | None = None
    message: str | None = None
    status: int | None = None
    requests: int = 1


NOT_JSON = Expected(kind=InvalidAnswerError, message="The answer is not JSON")
NOT_AN_OBJECT = Expected(
    kind=InvalidAnswerError, message="The answer is not a JSON object"
)
NO_ANSWER = Expected(
    kind=ConnectionFailedError,
    message="No answer from {host} in time",
    requests=2,
)
FAILURES = {
    Fault.UNAUTHORIZED: Expected(
        kind=AuthenticationError,
        code="InvalidApiKey",
        message="Invalid API-key provided.",
    ),
    Fault.FORBIDDEN: Expected(
        kind=AuthenticationError, code="AccessDenied", message="Access denied."
    ),
    Fault.FREE_TIER_ONLY: Expected(
        kind=FreeQuotaUsedUpError, code="AllocationQuota.FreeTierOnly"
    ),
    Fault.THROTTLED: Expected(kind=RateLimitError, code="Throttling.RateQuota"),
    Fault.THROTTLING_CODE: Expected(
        kind=RateLimitError, code="Throttling.AllocationQuota"
    ),
    Fault.ARREARAGE: Expected(kind=OverduePaymentError, code="Arrearage", status=400),
    Fault.NOT_ENABLED: Expected(
        kind=ServiceNotEnabledError, code="AccessDenied.Unpurchased", status=403
    ),
    Fault.BUDGET_EXHAUSTED: Expected(kind=BudgetExhaustedError, code="BudgetExceeded"),
    Fault.BAD_REQUEST: Expected(
        kind=AccountError,
        code="InvalidParameter",
        message="Required parameter is missing.",
        status=400,
    ),
    Fault.NOT_FOUND: Expected(kind=AccountError, code="NotFound", status=404),
    Fault.REQUEST_TIMEOUT: Expected(
        kind=AccountError, code="RequestTimeOut", status=408
    ),
    Fault.SERVER_ERROR: Expected(kind=AccountError, code="InternalError", status=500),
    Fault.BAD_GATEWAY: Expected(kind=AccountError, code="HTTP 502", status=502),
    Fault.UNAVAILABLE: Expected(kind=AccountError, code="HTTP 503", status=503),
    Fault.ERROR_CODE: Expected(kind=AccountError, code="SystemError", status=200),
    Fault.ERROR_OBJECT: Expected(kind=AccountError, code="SystemError", status=200),
    Fault.ERROR_XML: Expected(kind=OverduePaymentError, code="Arrearage", status=403),
    Fault.ERROR_EVENT: Expected(kind=RateLimitError, code="Throttling"),
    Fault.HTML: NOT_JSON,
    Fault.EMPTY: NOT_JSON,
    Fault.NULL: NOT_AN_OBJECT,
    Fault.LIST: NOT_AN_OBJECT,
    Fault.GARBAGE: NOT_JSON,
    Fault.TRUNCATED: NOT_JSON,
    Fault.CUT: Expected(kind=ConnectionFailedError, requests=2),
    Fault.RESET: Expected(kind=ConnectionFailedError, requests=2),
    Fault.HANG: NO_ANSWER,
    Fault.HANG_BODY: NO_ANSWER,
    Fault.TRICKLE: NO_ANSWER,
    Fault.REDIRECT: Expected(kind=AccountError, code="HTTP 302", status=302),
    Fault.HUGE: Expected(
        kind=InvalidAnswerError,
        message=f"The answer is larger than {8 * 1024 * 1024} bytes",
    ),
}
BEARABLE = (Fault.WRONG_TYPES, Fault.NOT_FINITE, Fault.NO_MODELS)
"""Faults of an answer that is one all the same."""
SLOW = (Fault.HANG, Fault.HANG_BODY, Fault.TRICKLE)


def test_every_fault_is_known() -> None:
    assert {*FAILURES, *BEARABLE} == set(Fault)


@pytest.mark.parametrize(("fault", "expected"), FAILURES.items())
async def test_failure(
    monkeypatch: pytest.MonkeyPatch,
    client: ModelStudioClient,
    simulator: Simulator,
    fault: Fault,
    expected: Expected,
) -> None:
    """Each fault is one error; what failed on the way is asked for once more."""
    simulator.fail(fault)
    with monkeypatch.context() as patience:
        if fault in SLOW:
            patience.setattr(http, "TIMEOUT", 0.2)
        err = await failure(client)
    assert type(err) is expected.kind
    assert err.code == expected.code
    if expected.message:
        host = URL(simulator.base_url).authority
        assert err.message == expected.message.format(host=host)
    if isinstance(err, AccountError):
        assert err.status == expected.status
    if isinstance(err, RateLimitError):
        assert err.retry_after is None
    assert str(err)
    assert API_KEY not in texts(err)
    assert len(simulator.requests) == expected.requests
    assert simulator.redirect_target_hits == 0

    simulator.recover()
    assert (await client.get_account()).tokens_used == 75_060_000


def test_patience() -> None:
    """Seconds for a request, and between two listings."""
    assert http.TIMEOUT == 10
    assert client_module.LISTING_INTERVAL == 30 * 60


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CUT, Fault.HANG])
async def test_key_is_tried_once(
    client: ModelStudioClient, simulator: Simulator, fault: Fault, short_timeout: None
) -> None:
    """Trying a key costs one request, whatever comes of it."""
    simulator.fail(fault)
    assert (
        type(await failure(client, ModelStudioClient.try_key)) is ConnectionFailedError
    )
    assert len(simulator.requests) == 1


@pytest.mark.parametrize(
    "fault", [Fault.RESET, Fault.CUT, Fault.HANG, Fault.HANG_BODY, Fault.TRICKLE]
)
async def test_failure_on_the_way_is_forgiven_once(
    monkeypatch: pytest.MonkeyPatch,
    client: ModelStudioClient,
    simulator: Simulator,
    fault: Fault,
) -> None:
    if fault in SLOW:
        # Long enough for the second request.
        monkeypatch.setattr(http, "TIMEOUT", 0.5)
    simulator.fail(fault, times=1)
    assert (await client.get_account()).tokens_used == 75_060_000
    assert len(simulator.requests) == 2


async def test_second_failure_counts(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    """What comes after a reset is what there is to know."""
    simulator.body = "<html></html>"
    simulator.fail(Fault.RESET, times=1)
    assert type(await failure(client)) is InvalidAnswerError
    simulator.api_keys = set()
    simulator.fail(Fault.RESET, times=1)
    assert type(await failure(client)) is AuthenticationError
    assert len(simulator.requests) == 4


@pytest.mark.parametrize(
    ("fault", "models"),
    [(Fault.WRONG_TYPES, None), (Fault.NOT_FINITE, 6), (Fault.NO_MODELS, 0)],
)
async def test_bearable_answer(
    client: ModelStudioClient, simulator: Simulator, fault: Fault, models: int | None
) -> None:
    """A service that is out of its mind costs figures and no poll."""
    simulator.fail(fault)
    account = await client.get_account()
    assert account.models_complete is (models is not None)
    assert len(account.models) == (models or 0)
    if fault is not Fault.NO_MODELS:
        assert account.monthly_spend is None
        assert account.tokens_used is None
        assert account.rate_limit == RateLimit()
    assert len(simulator.requests) == 1


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (None, None),
        (7, 7.0),
        ("7", 7.0),
        (0, None),
        (-7, None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
    ],
)
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.THROTTLED, None),
        (Fault.THROTTLING_CODE, None),
        (Fault.THROTTLING_CODE, 503),
        (Fault.THROTTLING_CODE, 200),
        (Fault.FREE_TIER_ONLY, None),
        (Fault.HTML, 429),
        (Fault.EMPTY, 429),
    ],
)
async def test_retry_after(
    client: ModelStudioClient,
    simulator: Simulator,
    fault: Fault,
    status: int | None,
    retry_after: int | str | None,
    seconds: float | None,
) -> None:
    """Whoever is throttled is told for how long, under whatever status."""
    simulator.fail(fault, status=status, retry_after=retry_after)
    err = await failure(client)
    assert isinstance(err, RateLimitError)
    assert err.retry_after == seconds
    assert len(simulator.requests) == 1


async def test_retry_after_as_a_date(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    simulator.fail(Fault.THROTTLED, retry_after="Fri, 01 Jan 2100 00:00:00 GMT")
    err = await failure(client)
    assert isinstance(err, RateLimitError)
    assert err.retry_after is not None
    assert err.retry_after > 365 * 24 * 60 * 60


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["another host", "itself"])
async def test_redirect_is_not_followed(
    client: ModelStudioClient, simulator: Simulator, status: int, to: str
) -> None:
    """The key reaches no place but the one it was given for."""
    location = f"{simulator.base_url}/quotas" if to == "itself" else None
    simulator.fail(Fault.REDIRECT, status=status, location=location)
    err = await failure(client)
    assert type(err) is AccountError
    assert str(err) == f"HTTP {status}"
    assert len(simulator.requests) == 1
    assert simulator.redirect_target_hits == 0


@pytest.mark.parametrize("status", [200, 401, 500])
async def test_compressed_bomb_is_not_held(
    client: ModelStudioClient, simulator: Simulator, status: int
) -> None:
    """What unpacks to hundreds of megabytes is dropped on the way."""
    simulator.fail(Fault.HUGE, status=status)
    # The simulator packs it once, and that is its own affair.
    await failure(client)
    tracemalloc.start()
    try:
        err = await failure(client)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024 * 1024 < HUGE_SIZE
    assert (
        type(err)
        is {
            200: InvalidAnswerError,
            401: AuthenticationError,
            500: AccountError,
        }[status]
    )


@pytest.mark.parametrize("excess", [0, 1])
async def test_largest_body(
    client: ModelStudioClient, simulator: Simulator, excess: int
) -> None:
    """8 MiB are an answer, and a byte more is none."""
    simulator.body = b'{"data": {"tokens_used": 7}}'.ljust(8 * 1024 * 1024 + excess)
    if excess:
        assert type(await failure(client)) is InvalidAnswerError
    else:
        assert (await client.get_account()).tokens_used == 7
    assert len(simulator.requests) == 1


async def test_long_body_of_a_failure_is_not_read(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    """The status says enough."""
    simulator.fail(Fault.UNAUTHORIZED, message="m" * 1024 * 1024)
    err = await failure(client)
    assert type(err) is AuthenticationError
    assert str(err) == "HTTP 401"
    assert len(simulator.requests) == 1


def raw_answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    """Return an answer as it goes over the wire."""
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, "", "")).encode() + body


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"220 mail ESMTP\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
        raw_answer("banana"),
        raw_answer("200 OK", "no header"),
        raw_answer("200 OK", "Content-Length: many"),
        raw_answer("200 OK", f"X-Long: {'x' * 100_000}"),
        raw_answer("200 OK", "Content-Length: 100", body=b'{"data"'),
        raw_answer("200 OK", "Transfer-Encoding: chunked", body=b"zz\r\n{}"),
        raw_answer("200 OK", "Transfer-Encoding: chunked", body=b"5\r\n{"),
        raw_answer(
            "200 OK", "Content-Encoding: gzip", "Content-Length: 5", body=b"plain"
        ),
        raw_answer(
            "200 OK", "Content-Encoding: deflate", "Content-Length: 5", body=b"plain"
        ),
    ],
    ids=lambda raw: ascii(raw[:60]),
)
async def test_broken_http(
    session: aiohttp.ClientSession, serve: Serve, raw: bytes
) -> None:
    """What speaks no HTTP, or breaks off, is no answer."""
    client = ModelStudioClient(session, base_url=await serve(raw), api_key=SECRET)
    err = await failure(client)
    assert type(err) is ConnectionFailedError
    assert str(err)
    assert SECRET not in f"{err} {err!r}"


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 100",),
        ("Content-Encoding: gzip", "Content-Length: 20"),
    ],
)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("401 Unauthorized", AuthenticationError),
        ("403", AuthenticationError),
        ("429 Too Many Requests", RateLimitError),
        ("500 Oops", AccountError),
        ("999 Go Away", AccountError),
    ],
)
async def test_status_counts_where_the_body_breaks_off(
    session: aiohttp.ClientSession,
    serve: Serve,
    status: str,
    kind: type[ModelStudioError],
    headers: tuple[str, ...],
) -> None:
    raw = raw_answer(status, *headers, body=b'{"code": "InvalidApi')
    client = ModelStudioClient(session, base_url=await serve(raw), api_key=SECRET)
    err = await failure(client)
    assert type(err) is kind
    assert str(err) == f"HTTP {status.partition(' ')[0]}"


async def test_body_that_breaks_off_is_empty(
    session: aiohttp.ClientSession, serve: Serve
) -> None:
    raw = raw_answer("500 Oops", "Content-Length: 100", body=b'{"code"')
    status, _, body = await http.request(
        session, "GET", URL(await serve(raw)), headers={}, secrets=(SECRET,)
    )
    assert (status, body) == (500, b"")


async def test_status_counts_where_the_body_hangs(
    session: aiohttp.ClientSession, serve: Serve, short_timeout: None
) -> None:
    raw = raw_answer("401 Unauthorized", "Content-Length: 100", body=b'{"code"')
    base_url = await serve(raw, hang=True)
    client = ModelStudioClient(session, base_url=base_url, api_key=SECRET)
    err = await failure(client)
    assert type(err) is AuthenticationError
    assert str(err) == "HTTP 401"


async def test_refused_connection(session: aiohttp.ClientSession) -> None:
    with socket.socket() as unused:
        # Bound and not listening: nobody else gets it, and nobody answers.
        unused.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{unused.getsockname()[1]}/api/v1"
        client = ModelStudioClient(session, base_url=base_url, api_key=SECRET)
        err = await failure(client)
    assert type(err) is ConnectionFailedError
    assert str(err) == f"Connection refused by {URL(base_url).authority}"
    assert SECRET not in texts(err)


async def test_stopped_service_is_found_again(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    await client.get_account()
    await simulator.stop()
    assert type(await failure(client)) is ConnectionFailedError
    await simulator.start()
    assert (await client.get_account()).tokens_used == 75_060_000


class NoSuchHost(AbstractResolver):
    """Knows no host; the real ones raise the same."""

    def __init__(self) -> None:
        """Count how often one was asked for."""
        self.asked: list[str] = []

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        raise OSError(None, "Name or service not known")

    @override
    async def close(self) -> None:
        """Hold nothing."""


async def test_unknown_host(socket_enabled: None) -> None:
    resolver = NoSuchHost()
    connector = aiohttp.TCPConnector(resolver=resolver)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = ModelStudioClient(
            session, base_url="https://nonexistent.invalid/api/v1", api_key=SECRET
        )
        err = await failure(client)
    assert type(err) is ConnectionFailedError
    assert "nonexistent.invalid" in str(err)
    assert set(resolver.asked) == {"nonexistent.invalid"}
    assert SECRET not in texts(err)


async def test_no_tls(session: aiohttp.ClientSession, simulator: Simulator) -> None:
    """A port that speaks plain HTTP does not get to see the key."""
    base_url = simulator.base_url.replace("http://", "https://")
    client = ModelStudioClient(session, base_url=base_url, api_key=SECRET)
    err = await failure(client)
    assert type(err) is ConnectionFailedError
    assert str(err) == f"No secure connection to {URL(base_url).authority}"
    assert simulator.requests == []
    assert SECRET not in texts(err)


@pytest.mark.parametrize("indent", [None, 1])
async def test_echoed_key_is_not_kept(
    session: aiohttp.ClientSession, simulator: Simulator, indent: int | None
) -> None:
    """Not in figures either, nor in the answer that may be stored."""
    whole = answer("account")
    whole["request_id"] = SECRET
    whole["data"]["models"].append({"model": f"model of {SECRET}", "used": 1})
    simulator.body = json.dumps(whole, indent=indent)
    simulator.api_keys = {SECRET}
    client = ModelStudioClient(session, base_url=simulator.base_url, api_key=SECRET)
    account = await client.get_account()
    assert SECRET not in repr(account)
    assert client.body is not None
    assert SECRET.encode() not in client.body
    assert account.models["qwen-max"].used == 820
    assert len(account.models) == 4


ECHOES: dict[str, Callable[[str], Mapping[str, Any]]] = {
    "message": lambda key: {"code": "InvalidApiKey", "message": f"Bad key {key}."},
    "code": lambda key: {"code": f"Bad.{key}", "message": "Denied."},
    "both, twice": lambda key: {"code": key * 2, "message": f"{key} {key}"},
    "error": lambda key: {"error": f"No such key: {key}"},
    "nested": lambda key: {"error": {"code": key, "message": f"Bearer {key}"}},
    "long": lambda key: {"code": "InvalidApiKey", "message": "m" * 250 + key},
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500])
@ASKS
async def test_echoed_key_is_redacted(
    session: aiohttp.ClientSession,
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    status: int,
    echo: Callable[[str], Mapping[str, Any]],
    ask: Ask,
) -> None:
    """A service that repeats the key it refuses does not make it public."""
    body = json.dumps(echo(SECRET)).encode()
    raw = raw_answer(f"{status} X", f"Content-Length: {len(body)}", body=body)
    client = ModelStudioClient(session, base_url=await serve(raw), api_key=SECRET)
    err = await failure(client, ask)
    assert REDACTED in str(err)
    assert SECRET not in texts(err)
    assert SECRET not in caplog.text
    if isinstance(err, AccountError):
        assert err.status == status


@pytest.mark.parametrize(
    ("key", "echo"),
    [("s3cr3t", "s3cr3t"), (SECRET, SECRET.replace("sk", r"\u0073k"))],
    ids=["short", "escaped"],
)
async def test_key_that_only_the_message_shows_is_redacted(
    session: aiohttp.ClientSession, serve: Serve, key: str, echo: str
) -> None:
    body = f'{{"code": "InvalidApiKey", "message": "Bad key {echo}."}}'.encode()
    raw = raw_answer("401 X", f"Content-Length: {len(body)}", body=body)
    client = ModelStudioClient(session, base_url=await serve(raw), api_key=key)
    err = await failure(client)
    assert str(err) == f"InvalidApiKey: Bad key {REDACTED}."
    assert key not in texts(err)


@pytest.mark.parametrize("before", range(265, 301, 5))
async def test_cut_key_is_redacted(
    session: aiohttp.ClientSession, serve: Serve, before: int
) -> None:
    """Where a long message is cut within the key, no part of the key is left."""
    body = json.dumps({"message": "m" * before + SECRET + "m" * 50}).encode()
    raw = raw_answer("401 X", f"Content-Length: {len(body)}", body=body)
    client = ModelStudioClient(session, base_url=await serve(raw), api_key=SECRET)
    err = await failure(client)
    assert SECRET[:6] not in texts(err)


@pytest.mark.parametrize("status", [200, 401, 500])
async def test_long_words_are_cut(
    session: aiohttp.ClientSession, serve: Serve, status: int
) -> None:
    """What the service says fits a state attribute and a form."""
    body = json.dumps({"code": "c" * 301, "message": "m" * 10_000}).encode()
    raw = raw_answer(f"{status} X", f"Content-Length: {len(body)}", body=body)
    client = ModelStudioClient(session, base_url=await serve(raw), api_key=SECRET)
    err = await failure(client)
    assert (err.code, err.message) == ("c" * 300, "m" * 300)


@pytest.mark.parametrize(
    "raw",
    [
        raw_answer(f"banana {SECRET}"),
        raw_answer("200 OK", f"bad header {SECRET}"),
        f"{SECRET}\r\n\r\n".encode(),
        raw_answer("200 OK", "no header"),
    ],
    ids=["status", "header", "line", "no echo"],
)
@ASKS
async def test_broken_http_does_not_tell_the_key(
    session: aiohttp.ClientSession, serve: Serve, raw: bytes, ask: Ask
) -> None:
    """It is not in what the error came from either, which a traceback may show."""
    client = ModelStudioClient(session, base_url=await serve(raw), api_key=SECRET)
    err = await failure(client, ask)
    assert type(err) is ConnectionFailedError
    assert SECRET not in texts(err)


async def test_client_does_not_show_its_key(session: aiohttp.ClientSession) -> None:
    client = ModelStudioClient(session, base_url="https://a.example", api_key=SECRET)
    assert SECRET not in f"{client} {client!r}"


@pytest.mark.parametrize(
    "key",
    [
        "",
        " ",
        "sk-a b",
        " sk-a",
        "sk-a ",
        "sk-a\n",
        "sk-a\r\nX-Injected: 1",
        "sk-a\tb",
        "sk-a\x00",
        "sk-a\x7f",
        "sk-ä",
        "sk-a\u200b",
        "sk-a\u00a0",
        "密钥",
        "\ud800",
        "“sk-a”",
    ],
    ids=ascii,
)
@ASKS
async def test_key_that_is_none(
    session: aiohttp.ClientSession, simulator: Simulator, key: str, ask: Ask
) -> None:
    """It is refused here, and sent nowhere."""
    client = ModelStudioClient(session, base_url=simulator.base_url, api_key=key)
    err = await failure(client, ask)
    assert type(err) is AuthenticationError
    assert str(err)
    assert not key.strip() or key not in texts(err)
    assert simulator.requests == []


@pytest.mark.parametrize("key", ["a", "sk-a", "sk-ws.A_b-c.1~2/3+4=", "!" * 400])
async def test_key_that_is_sent(
    session: aiohttp.ClientSession, simulator: Simulator, key: str
) -> None:
    simulator.api_keys = {key}
    client = ModelStudioClient(session, base_url=simulator.base_url, api_key=key)
    await client.get_account()
    assert simulator.requests[0].headers["authorization"] == f"Bearer {key}"


@pytest.mark.parametrize(
    ("err", "text"),
    [
        (ModelStudioError(), ""),
        (ModelStudioError("It broke."), "It broke."),
        (AccountError("It broke.", code="E1"), "E1: It broke."),
        (AccountError(code="HTTP 502", status=502), "HTTP 502"),
        (RateLimitError("Wait.", code="Throttling"), "Throttling: Wait."),
        (AuthenticationError(f"{SECRET}!", code=f"E.{SECRET}"), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error(err: ModelStudioError, text: str | None) -> None:
    """Code and message are one line; what is redacted is so everywhere."""
    said = str(err)
    err.redact("")
    assert said == str(err) == (text or said)
    err.redact(SECRET)
    if text is not None:
        assert str(err) == text
    assert err.args == (err.message, err.code)
    assert SECRET not in texts(err)
    if isinstance(err, AccountError):
        assert err.status == (502 if err.code == "HTTP 502" else 200)


def test_error_that_names_what_is_not_permitted() -> None:
    err = PermissionDeniedError("No.", code="NoPermission", action="bss:Query")
    assert (str(err), err.action) == ("NoPermission: No.", "bss:Query")


def limits_row(model: str, limit: int | None = None) -> dict[str, Any]:
    """Return a row of the limits answer, with a limit of requests per minute."""
    model_limit = {"request_limit": limit, "request_limit_period": 60}
    return {"model": model, "model_limit": model_limit, "workspace_limit": None}


ROWS = [limits_row(f"model-{number}", number) for number in range(250)]
TOTAL = object()


def limits_page(
    rows: list[Any], query: Mapping[str, str], *, total: Any = TOTAL
) -> dict[str, Any]:
    """Return the page of some rows that a query asks for."""
    number, size = number_of(query), int(query.get("page_size", 20))
    return {
        "output": {
            "total": len(rows) if total is TOTAL else total,
            "quotas": rows[(number - 1) * size : number * size],
        }
    }


def number_of(query: Mapping[str, str]) -> int:
    """Return the page that a query asks for."""
    return int(query.get("page_no", 1))


def asked(simulator: Simulator) -> list[tuple[str, ...]]:
    """Return page and size of the requests since the last look."""
    pages = [tuple(request.query.values()) for request in simulator.requests]
    assert all(
        request.query.keys() in (set(), {"page_no", "page_size"})
        and request.headers["authorization"] == f"Bearer {API_KEY}"
        for request in simulator.requests
    )
    simulator.requests.clear()
    return pages


LISTING = [("1", "100"), ("2", "100"), ("3", "100")]
ONE_ROW = [("1", "1")]


async def test_limits_are_listed(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    """An account that reports limits only is all pages of them."""
    simulator.body = partial(limits_page, ROWS)
    account = await client.get_account()
    assert asked(simulator) == [(), *LISTING]
    assert account.quotas_kind is QuotasKind.LIMITS
    assert account.models_complete
    assert account.models == {
        f"model-{number}": ModelUsage(
            name=f"model-{number}", rate_limit=RateLimit(rpm=number)
        )
        for number in range(250)
    }
    assert client.body is None
    assert client.listing is not None
    assert client.listing.account == account
    assert (client.listing.pages, client.listing.rows, client.listing.total) == (
        3,
        250,
        250,
    )


async def test_simulated_limits_are_listed(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    """The pages of the whole catalogue, as the vendor documents them."""
    simulator.body = None
    simulator.account.answer = "limits"
    account = await client.get_account()
    assert client.listing is not None
    assert client.listing.rows == client.listing.total
    assert account.models.keys() == {
        quota["model"] for quota in simulator.account._quotas()
    }


async def test_listing_stands_for_a_while(
    client: ModelStudioClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile one row tells whether the account is still there."""
    simulator.body = partial(limits_page, ROWS)
    account = await client.get_account()
    asked(simulator)
    for _ in range(3):
        assert await client.get_account() is account
        assert asked(simulator) == ONE_ROW

    monkeypatch.setattr(client_module, "LISTING_INTERVAL", -1)
    changed = [limits_row("model-0", 7), *ROWS[1:]]
    simulator.body = partial(limits_page, changed)
    account = await client.get_account()
    assert asked(simulator) == [*ONE_ROW, *LISTING]
    assert account.models["model-0"].rate_limit.rpm == 7


@pytest.mark.parametrize("rows", [ROWS[:-1], [*ROWS, limits_row("model-250")], []])
async def test_another_number_of_rows_is_listed_at_once(
    client: ModelStudioClient, simulator: Simulator, rows: list[Any]
) -> None:
    simulator.body = partial(limits_page, ROWS)
    await client.get_account()
    asked(simulator)
    simulator.body = partial(limits_page, rows)
    account = await client.get_account()
    assert account.models.keys() == {row["model"] for row in rows}
    assert account.models_complete
    assert asked(simulator)[:2] == [*ONE_ROW, LISTING[0]]
    assert await client.get_account() is account
    assert asked(simulator) == ONE_ROW


@pytest.mark.parametrize("total", [None, "many", -1, {}])
async def test_listing_without_a_total_ends_with_an_empty_page(
    client: ModelStudioClient, simulator: Simulator, total: Any
) -> None:
    simulator.body = partial(limits_page, ROWS, total=total)
    account = await client.get_account()
    assert len(account.models) == 250
    assert asked(simulator) == [(), *LISTING, ("4", "100")]
    assert client.listing is not None
    assert client.listing.total is None


@pytest.mark.parametrize("number", [0, 1, 99, 100, 101, 200])
async def test_listing_asks_for_no_page_beyond_the_total(
    client: ModelStudioClient, simulator: Simulator, number: int
) -> None:
    simulator.body = partial(limits_page, ROWS[:number])
    assert len((await client.get_account()).models) == number
    assert len(asked(simulator)) == 1 + max(-(-number // 100), 1)


async def test_row_that_moves_to_the_next_page_counts_once(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    """While pages are read a row may come to stand on another."""

    def pages(query: Mapping[str, str]) -> Any:
        page = limits_page(ROWS, query)
        if number_of(query) > 1:
            page["output"]["quotas"].insert(0, ROWS[0])
        return page

    simulator.body = pages
    assert len((await client.get_account()).models) == 250
    assert client.listing is not None
    assert client.listing.rows == 250


BROKEN: dict[str, Callable[[Mapping[str, str]], Any]] = {
    "repeats": lambda query: limits_page(ROWS, {**query, "page_no": "1"}),
    "shrinks": lambda query: limits_page(ROWS, query, total=250 - number_of(query)),
    "grows": lambda query: limits_page(ROWS, query, total=250 + number_of(query)),
    "ends early": lambda query: limits_page(ROWS, query, total=251),
    "empty": lambda query: limits_page([], query, total=250),
    "loses its total": lambda query: limits_page(
        ROWS, query, total=250 if number_of(query) == 1 else None
    ),
    "more than its total": lambda query: limits_page(ROWS[:30], query, total=29),
    "more than none": lambda query: limits_page(ROWS, query, total=0),
    "never ends": lambda query: limits_page(
        [limits_row(f"model-{row}") for row in range(100 * number_of(query))],
        query,
        total=10**6,
    ),
    "never ends without a total": lambda query: limits_page(
        [limits_row(f"model-{row}") for row in range(100 * number_of(query))],
        query,
        total=None,
    ),
    "row of the wrong type": lambda query: limits_page([*ROWS[:-1], None], query),
    "row without a model": lambda query: limits_page(
        [*ROWS[:-1], limits_row("")], query
    ),
    "page of another shape": lambda query: (
        limits_page(ROWS, query)
        if number_of(query) < 3
        else {"output": {"quotas": "none"}}
    ),
    "another answer": lambda query: (
        limits_page(ROWS, query) if number_of(query) < 3 else answer("account")
    ),
    "no JSON": lambda query: (
        limits_page(ROWS, query) if number_of(query) < 3 else "<html></html>"
    ),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_partial_listing_is_no_listing(
    client: ModelStudioClient,
    simulator: Simulator,
    broken: Callable[[Mapping[str, str]], Any],
) -> None:
    """A list is whole or none, and reading it comes to an end."""
    simulator.body = broken
    err = await failure(client)
    assert type(err) is InvalidAnswerError
    assert str(err)
    assert len(asked(simulator)) <= 101
    assert client.listing is None


@pytest.mark.parametrize(
    ("broken", "pages"),
    [
        ("repeats", 2),
        ("empty", 1),
        ("more than its total", 1),
        ("more than none", 1),
    ],
)
async def test_listing_ends_where_it_can_not_be_whole(
    client: ModelStudioClient, simulator: Simulator, broken: str, pages: int
) -> None:
    simulator.body = BROKEN[broken]
    await failure(client)
    assert asked(simulator) == [(), *LISTING[:pages]]


@pytest.mark.parametrize("rows", [300, 301])
async def test_listing_ends_with_the_last_page_allowed(
    client: ModelStudioClient,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
) -> None:
    monkeypatch.setattr(paging, "MAX_PAGES", 3)
    models = [limits_row(f"model-{number}") for number in range(rows)]
    simulator.body = partial(limits_page, models)
    if rows > 300:
        assert type(await failure(client)) is InvalidAnswerError
    else:
        assert len((await client.get_account()).models) == 300
    assert asked(simulator) == [(), *LISTING]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.THROTTLED, RateLimitError),
        (Fault.UNAUTHORIZED, AuthenticationError),
        (Fault.SERVER_ERROR, AccountError),
        (Fault.GARBAGE, InvalidAnswerError),
    ],
)
async def test_failure_within_a_listing(
    client: ModelStudioClient,
    simulator: Simulator,
    fault: Fault,
    kind: type[ModelStudioError],
) -> None:
    """The last listing stands, and is made again at the next chance."""
    simulator.body = partial(limits_page, ROWS)
    await client.get_account()
    listing = client.listing

    def pages(query: Mapping[str, str]) -> Any:
        if number_of(query) == 2:
            # The next one.
            simulator.fail(fault, times=1)
        return limits_page(ROWS[:-1], query)

    simulator.body = pages
    assert type(await failure(client)) is kind
    assert client.listing is listing
    asked(simulator)
    simulator.body = partial(limits_page, ROWS[:-1])
    assert len((await client.get_account()).models) == 249
    assert asked(simulator) == [*ONE_ROW, *LISTING]


@pytest.mark.parametrize("total", [None, 250])
async def test_listing_without_a_total_ends_with_a_page_that_brings_nothing_new(
    client: ModelStudioClient, simulator: Simulator, total: int | None
) -> None:
    """It is then complete."""

    def pages(query: Mapping[str, str]) -> Any:
        number = min(number_of(query), 3)
        return limits_page(ROWS, {**query, "page_no": str(number)}, total=total)

    simulator.body = pages
    account = await client.get_account()
    assert account.models_complete
    assert len(account.models) == 250
    assert len(asked(simulator)) == (5 if total is None else 4)


@pytest.mark.parametrize("page", [1, 2, 3])
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CUT])
async def test_one_page_of_a_poll_is_asked_for_once_more(
    client: ModelStudioClient, simulator: Simulator, page: int, fault: Fault
) -> None:
    """A fault costs no listing, on whichever page; a second one does."""
    faults = {page}

    def pages(query: Mapping[str, str]) -> Any:
        if len(simulator.requests) in faults:
            # The next one.
            simulator.fail(fault, times=1)
        return limits_page(ROWS, query)

    simulator.body = pages
    expected = [(), *LISTING]
    expected.insert(page, expected[page])
    assert len((await client.get_account()).models) == 250
    assert asked(simulator) == expected
    client.listing = None
    simulator.forget()
    for second in range(page + 2, len(expected)):
        faults = {page, second}
        assert type(await failure(client)) is ConnectionFailedError
        assert asked(simulator) == expected[: second + 1]
    # The same page again.
    simulator.fail(fault, times=2)
    assert type(await failure(client)) is ConnectionFailedError
    assert len(asked(simulator)) == 2


async def test_failure_keeps_the_listing(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    simulator.body = partial(limits_page, ROWS)
    account = await client.get_account()
    simulator.fail(Fault.SERVER_ERROR, times=1)
    assert type(await failure(client)) is AccountError
    asked(simulator)
    assert await client.get_account() is account
    assert asked(simulator) == ONE_ROW


async def test_account_that_comes_to_report_usage(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    """And back: the other answer is taken for what it is at once."""
    simulator.body = partial(limits_page, ROWS)
    assert (await client.get_account()).quotas_kind is QuotasKind.LIMITS
    asked(simulator)
    simulator.body = answer("account")
    assert (await client.get_account()).quotas_kind is QuotasKind.USAGE
    assert client.listing is None
    assert (await client.get_account()).quotas_kind is QuotasKind.USAGE
    assert asked(simulator) == [*ONE_ROW, ()]
    simulator.body = partial(limits_page, ROWS)
    assert (await client.get_account()).quotas_kind is QuotasKind.LIMITS
    assert asked(simulator) == [(), *LISTING]


async def test_key_that_reads_limits_only_is_a_key(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    simulator.body = partial(limits_page, ROWS)
    await client.try_key()
    assert asked(simulator) == [()]
    assert client.listing is None


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("https://dashscope.aliyuncs.com/api/v1", None),
        ("https://dashscope.aliyuncs.com", None),
        ("https://llm-1.cn-beijing.maas.aliyuncs.com/api/v1", None),
        ("https://a.example/api/v1/", "https://a.example/api/v1"),
        *(
            (f"https://{host}/compatible-mode/v1{rest}", f"https://{host}/api/v1")
            for host in (
                "dashscope.aliyuncs.com",
                "cn-hongkong.dashscope.aliyuncs.com",
                "llm-1.cn-beijing.maas.aliyuncs.com",
            )
            for rest in ("", "/", "/chat/completions", "/models")
        ),
        ("https://a.example/compatible-mode/v1", None),
        (
            "https://dashscope.aliyuncs.com./api/v1",
            "https://dashscope.aliyuncs.com/api/v1",
        ),
        ("https://1.2.3.4.:8443/", "https://1.2.3.4:8443"),
        ("http://localhost./", "http://localhost"),
        ("http://169.254.1.1", None),
        ("http://[fd00::1]", None),
        ("http://[fe80::1]", None),
        ("http://[::ffff:10.0.0.1]", None),
        ("https://a.example/api/v1//", "https://a.example/api/v1"),
        ("https://a.example/api/v1/quotas", "https://a.example/api/v1"),
        ("https://a.example/api/v1/quotas/", "https://a.example/api/v1"),
        ("https://a.example/api/v1//quotas//", "https://a.example/api/v1"),
        ("https://a.example/", "https://a.example"),
        ("https://a.example/quotas", "https://a.example"),
        ("https://a.example/myquotas", None),
        ("https://a.example/quotas/v1", None),
        ("https://quotas", None),
        ("https://quotas/", "https://quotas"),
        ("https://quotas/quotas", "https://quotas"),
        ("  https://a.example/api/v1 ", "https://a.example/api/v1"),
        ("\thttps://a.example/api/v1\r\n", "https://a.example/api/v1"),
        (
            "https://DashScope.AliYunCS.com/API/v1",
            "https://dashscope.aliyuncs.com/API/v1",
        ),
        ("HTTPS://a.example/api", "https://a.example/api"),
        ("https://a.example:8443/api", None),
        ("https://a.example:443/api", "https://a.example/api"),
        ("https://a_b.example/api", None),
        ("https://bücher.example/api", "https://xn--bcher-kva.example/api"),
        ("https://1.2.3.4/api", None),
        ("https://[2001:4860:4860::8888]/api", None),
        ("https://localhost", None),
        ("http://localhost", None),
        ("http://LOCALHOST:8080/", "http://localhost:8080"),
        ("http://127.0.0.1:8765/api/v1", None),
        ("http://127.255.255.254", None),
        ("http://10.0.0.1", None),
        ("http://172.16.0.1/a", None),
        ("http://172.31.255.255/a", None),
        ("http://192.168.178.20:3000", None),
        ("http://[::1]:8765/api/v1", None),
        ("http://[::1]", None),
        ("http://[fd12:3456::1]/api", None),
        ("http://[::ffff:192.168.0.1]/api", None),
        ("HTTP://127.0.0.1", "http://127.0.0.1"),
    ],
)
def test_base_url(text: str, base_url: str | None) -> None:
    """It is what the user meant, and stays so."""
    expected = text if base_url is None else base_url
    assert normalize_base_url(text) == expected
    assert normalize_base_url(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "dashscope.aliyuncs.com",
        "dashscope.aliyuncs.com/api/v1",
        "dashscope.aliyuncs.com:443/api/v1",
        "//dashscope.aliyuncs.com/api/v1",
        "/api/v1",
        "cn-beijing",
        "https",
        "https:",
        "https:/",
        "https://",
        "https:///api/v1",
        "https://:443/api",
        "https:a.example",
        "ftp://a.example/api",
        "ws://127.0.0.1",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "httpss://a.example",
        "http://a.example/api",
        "http://dashscope.aliyuncs.com/api/v1",
        "http://8.8.8.8",
        "http://0.0.0.0",
        "http://100.64.0.1",
        "http://192.0.2.1",
        "http://198.18.0.1",
        "http://240.0.0.1",
        "http://255.255.255.255",
        "http://[::]",
        "http://[2001::1]",
        "http://[2001:db8::1]",
        "http://[2002:a00:1::]",
        "http://[64:ff9b::a00:1]",
        "https://a..",
        "http://172.15.255.255",
        "http://172.32.0.1",
        "http://192.169.0.1",
        "http://[2001:4860:4860::8888]",
        "http://[::ffff:8.8.8.8]",
        "http://localhost.a.example",
        "http://a.localhost.example",
        "http://notlocalhost",
        "http://127.0.0.1.a.example",
        "http://2130706433",
        "http://0x7f000001",
        "http://user@127.0.0.1",
        "https://user:password@a.example",
        "https://user@a.example",
        "https://:password@a.example",
        "https://127.0.0.1@a.example",
        "https://a.example/api?region=cn",
        "https://a.example/api?a",
        "https://a.example/quotas?page_no=1",
        "https://a.example/api#fragment",
        "https://a.example:65536/api",
        "https://a.example:99999/api",
        "https://a.example:-1/api",
        "https://a.example:port/api",
        "https://a.example:4 43/api",
        f"https://{'a' * 70}.example",
        f"https://a.{'b' * 64}.example",
        "https://a..example",
        "https://.a.example",
        "https://a b.example",
        "https://a.example /api",
        "https://a.example/api v1",
        "https://a.example/a\tb",
        "https://a.exam\nple/api",
        "https://a.example\x00/api",
        "https://a\x00.example/api",
        "https://a.example\\@b.example",
        "https://[::1",
        "https://[localhost]",
        "https://[1.2.3.4]",
    ],
    ids=ascii,
)
def test_base_url_that_is_refused(text: str) -> None:
    """No key goes in the clear over a public network, nor to nowhere."""
    with pytest.raises(InvalidURLError):
        normalize_base_url(text)


@pytest.mark.parametrize("base_url", REGIONS.values(), ids=REGIONS)
def test_regions(base_url: str) -> None:
    assert normalize_base_url(base_url) == base_url
    assert base_url.startswith("https://")
    assert base_url.endswith(".aliyuncs.com/api/v1")


def test_default_region() -> None:
    assert REGIONS[DEFAULT_REGION] == "https://dashscope.aliyuncs.com/api/v1"


@pytest.mark.parametrize("region", WORKSPACE_REGIONS)
@pytest.mark.parametrize(
    ("workspace_id", "label"),
    [
        ("llm-8q2v5kx0r7t1m3zc", "llm-8q2v5kx0r7t1m3zc"),
        ("  llm-8q2v5kx0r7t1m3zc\n", "llm-8q2v5kx0r7t1m3zc"),
        ("LLM-8Q2V", "llm-8q2v"),
        ("7", "7"),
        ("a" * 63, "a" * 63),
    ],
)
def test_workspace_base_url(workspace_id: str, label: str, region: str) -> None:
    base_url = workspace_base_url(workspace_id, region)
    assert base_url == f"https://{label}.{region}.maas.aliyuncs.com/api/v1"
    assert normalize_base_url(base_url) == base_url


@pytest.mark.parametrize(
    "workspace_id",
    [
        "",
        " ",
        "llm_1",
        "llm 1",
        "llm.1",
        "llm/1",
        "llm:1",
        "llm@1",
        "llm#1",
        "llm?1",
        "llm\n1",
        "-llm",
        "llm-",
        "a" * 64,
        "lİm",
        "模型",
        "https://llm-1.cn-beijing.maas.aliyuncs.com",
        "a.example/#",
    ],
    ids=ascii,
)
def test_workspace_that_is_none(workspace_id: str) -> None:
    """Nothing typed in leads the key to another host."""
    with pytest.raises(InvalidWorkspaceError):
        workspace_base_url(workspace_id, DEFAULT_REGION)
