"""Tests of the client for `/quotas`: requests, errors and API keys."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
import json
from typing import Any

import aiohttp
import pytest
from yarl import URL

from custom_components.alibaba_cloud.model_studio import (
    AccountError,
    AccountSnapshot,
    AuthenticationError,
    BudgetExhaustedError,
    ConnectionFailedError,
    FreeQuotaUsedUpError,
    InvalidAnswerError,
    ModelStudioClient,
    ModelStudioError,
    OverduePaymentError,
    RateLimit,
    RateLimitError,
    ServiceNotEnabledError,
    http,
    parse_answer,
)
from tests.common import API_KEY, answer
from tests.simulator import Fault, Simulator

from .common import (
    REDACTED,
    SECRET,
    Serve,
    encoded,
    failure,
    raw_answer,
    raw_json,
    short,
    texts,
)

type Call = Callable[[ModelStudioClient], Awaitable[AccountSnapshot | None]]

CALLS = pytest.mark.parametrize(
    "call", [ModelStudioClient.get_account, ModelStudioClient.try_key]
)


@CALLS
async def test_request(
    client: ModelStudioClient, simulator: Simulator, call: Call
) -> None:
    """A call sends one GET without a query; only one header contains the API key."""
    await call(client)
    (request,) = simulator.requests
    assert (request.method, request.path) == ("GET", "/api/v1/quotas")
    assert request.query == {}
    assert request.headers["authorization"] == f"Bearer {API_KEY}"
    assert request.headers.keys() <= {
        *("host", "authorization", "accept", "accept-encoding", "user-agent"),
        "connection",
    }
    secret = [name for name, text in request.headers.items() if API_KEY in text]
    assert secret == ["authorization"]


async def test_account(client: ModelStudioClient, simulator: Simulator) -> None:
    """Each call requests the figures again."""
    account = await client.get_account()
    assert account == parse_answer(encoded(answer("account")))
    assert client.listing is None
    simulator.body["data"]["tokens_used"] = 75_060_001
    assert (await client.get_account()).tokens_used == 75_060_001
    assert len(simulator.requests) == 2


async def test_host(session: aiohttp.ClientSession) -> None:
    for base_url, host in {
        "https://a.example/api/v1": "a.example",
        "https://a.example:8443": "a.example:8443",
    }.items():
        client = ModelStudioClient(session, base_url=base_url, api_key=SECRET)
        assert client.host == host
        assert SECRET not in f"{client} {client!r}"


async def test_last_body_is_kept(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    """The body of the last account answer can be parsed again after failures."""
    body = json.dumps(answer("account"), indent=1).encode()
    simulator.body = body
    account = await client.get_account()
    assert client.body == body
    assert parse_answer(client.body) == account
    simulator.fail(Fault.SERVER_ERROR, times=1)
    await failure(client.get_account())
    simulator.body = {"code": "SystemError", "data": {}}
    await failure(client.get_account())
    assert client.body == body
    simulator.body = b'{"data": {}}'
    await client.get_account()
    assert client.body == b'{"data": {}}'


async def test_wrong_api_key(
    session: aiohttp.ClientSession, simulator: Simulator
) -> None:
    client = ModelStudioClient(session, base_url=simulator.base_url, api_key=SECRET)
    err = await failure(client.get_account())
    assert type(err) is AuthenticationError
    assert str(err) == "InvalidApiKey: Invalid API-key provided."
    assert len(simulator.requests) == 1


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The error for a fault."""

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
USABLE = {Fault.WRONG_TYPES: None, Fault.NOT_FINITE: 6, Fault.NO_MODELS: 0}
"""Faults that leave a valid answer, and the number of models in it."""
SLOW = (Fault.HANG, Fault.HANG_BODY, Fault.TRICKLE)


def test_every_fault_is_tested() -> None:
    assert {*FAILURES, *USABLE} == set(Fault)


@pytest.mark.parametrize(("fault", "expected"), FAILURES.items())
async def test_failure(
    monkeypatch: pytest.MonkeyPatch,
    client: ModelStudioClient,
    simulator: Simulator,
    fault: Fault,
    expected: Expected,
) -> None:
    """A failed connection is retried once. The client recovers from every failure."""
    simulator.fail(fault)
    with monkeypatch.context() as patch:
        if fault in SLOW:
            patch.setattr(http, "TIMEOUT", 0.2)
        err = await failure(client.get_account())
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


@pytest.mark.parametrize(("fault", "models"), USABLE.items())
async def test_usable_answer(
    client: ModelStudioClient, simulator: Simulator, fault: Fault, models: int | None
) -> None:
    """Faults that leave a valid answer make figures unknown; the poll succeeds."""
    simulator.fail(fault)
    account = await client.get_account()
    assert account.models_complete is (models is not None)
    assert len(account.models) == (models or 0)
    if fault is not Fault.NO_MODELS:
        assert account.monthly_spend is None
        assert account.tokens_used is None
        assert account.rate_limit == RateLimit()
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CUT, Fault.HANG])
async def test_trying_a_key_is_one_request(
    client: ModelStudioClient, simulator: Simulator, fault: Fault, short_timeout: None
) -> None:
    """A request that tries a key is not retried."""
    simulator.fail(fault)
    assert type(await failure(client.try_key())) is ConnectionFailedError
    assert len(simulator.requests) == 1


@pytest.mark.parametrize(
    "fault", [Fault.RESET, Fault.CUT, Fault.HANG, Fault.HANG_BODY, Fault.TRICKLE]
)
async def test_retry(
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


async def test_retry_that_fails(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    """If the retry fails, the call raises the error of the second request."""
    simulator.body = "<html></html>"
    simulator.fail(Fault.RESET, times=1)
    assert type(await failure(client.get_account())) is InvalidAnswerError
    simulator.api_keys = set()
    simulator.fail(Fault.RESET, times=1)
    assert type(await failure(client.get_account())) is AuthenticationError
    assert len(simulator.requests) == 4


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(None, None), ("7", 7.0), ("soon", None)]
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
    retry_after: str | None,
    seconds: float | None,
) -> None:
    simulator.fail(fault, status=status, retry_after=retry_after)
    err = await failure(client.get_account())
    assert isinstance(err, RateLimitError)
    assert err.retry_after == seconds
    assert len(simulator.requests) == 1


async def test_service_that_restarts(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    await client.get_account()
    await simulator.stop()
    assert type(await failure(client.get_account())) is ConnectionFailedError
    await simulator.start()
    assert (await client.get_account()).tokens_used == 75_060_000


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        "".join(rf"\u{ord(character):04x}" for character in SECRET),
        "".join(rf"\u{ord(character):04X}" for character in SECRET),
        rf"\u{ord(SECRET[0]):04x}{SECRET[1:]}",
    ],
)
async def test_repeated_key_is_not_a_name(
    session: aiohttp.ClientSession, simulator: Simulator, spelled: str
) -> None:
    """An API key that the service repeats is in neither figures nor kept body."""
    body = json.dumps(answer("account")).replace("qwen-max", f"of {spelled}")
    simulator.body = body.replace(r"\\u", r"\u")
    simulator.api_keys = {SECRET}
    client = ModelStudioClient(session, base_url=simulator.base_url, api_key=SECRET)
    account = await client.get_account()
    assert account.models[f"of {REDACTED}"].used == 820
    assert len(account.models) == 3
    assert SECRET not in repr(account)
    assert client.body is not None
    assert SECRET not in repr(json.loads(client.body))


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
@CALLS
async def test_repeated_key_is_redacted(
    session: aiohttp.ClientSession,
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    status: int,
    echo: Callable[[str], Mapping[str, Any]],
    call: Call,
) -> None:
    base_url = await serve(raw_json(status, echo(SECRET)))
    client = ModelStudioClient(session, base_url=base_url, api_key=SECRET)
    err = await failure(call(client))
    assert REDACTED in str(err)
    assert SECRET not in texts(err)
    assert SECRET not in caplog.text
    if isinstance(err, AccountError):
        assert err.status == status


@pytest.mark.parametrize(
    ("key", "echo"),
    [("s3cr3t", "s3cr3t"), (SECRET, SECRET.replace("0", r"\u0030"))],
    ids=["short", "escaped"],
)
async def test_key_that_only_the_message_shows_is_redacted(
    session: aiohttp.ClientSession, serve: Serve, key: str, echo: str
) -> None:
    body = f'{{"code": "InvalidApiKey", "message": "Bad key {echo}."}}'.encode()
    base_url = await serve(raw_json(401, body))
    client = ModelStudioClient(session, base_url=base_url, api_key=key)
    err = await failure(client.get_account())
    assert str(err) == f"InvalidApiKey: Bad key {REDACTED}."
    assert key not in texts(err)


@pytest.mark.parametrize("before", range(265, 301, 5))
async def test_truncated_key_is_redacted(
    session: aiohttp.ClientSession, serve: Serve, before: int
) -> None:
    """No part of the key remains if the message is truncated within the key."""
    message = "m" * before + SECRET + "m" * 50
    base_url = await serve(raw_json(401, {"message": message}))
    client = ModelStudioClient(session, base_url=base_url, api_key=SECRET)
    assert SECRET[:6] not in texts(await failure(client.get_account()))


@pytest.mark.parametrize("status", [200, 401, 500])
async def test_long_code_and_message_are_truncated(
    session: aiohttp.ClientSession, serve: Serve, status: int
) -> None:
    base_url = await serve(
        raw_json(status, {"code": "c" * 301, "message": "m" * 10_000})
    )
    client = ModelStudioClient(session, base_url=base_url, api_key=SECRET)
    err = await failure(client.get_account())
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
@CALLS
async def test_broken_http_does_not_show_the_key(
    session: aiohttp.ClientSession, serve: Serve, raw: bytes, call: Call
) -> None:
    """Neither an error nor the traceback of its causes contains the API key."""
    client = ModelStudioClient(session, base_url=await serve(raw), api_key=SECRET)
    err = await failure(call(client))
    assert type(err) is ConnectionFailedError
    assert SECRET not in texts(err)


@pytest.mark.parametrize(
    "key",
    [
        *("", " ", "sk-a b", " sk-a", "sk-a ", "sk-a\n", "sk-a\r\nX-Injected: 1"),
        *("sk-a\tb", "sk-a\x00", "sk-a\x7f", "sk-ä", "sk-a\u200b", "sk-a\u00a0"),
        *("密钥", "\ud800", "“sk-a”"),
    ],
    ids=short,
)
@CALLS
async def test_invalid_key_is_not_sent(
    session: aiohttp.ClientSession, simulator: Simulator, key: str, call: Call
) -> None:
    client = ModelStudioClient(session, base_url=simulator.base_url, api_key=key)
    err = await failure(call(client))
    assert type(err) is AuthenticationError
    assert str(err) == "This can't be an API key"
    assert simulator.requests == []


@pytest.mark.parametrize("key", ["a", "sk-a", "sk-ws.A_b-c.1~2/3+4=", "!" * 400])
async def test_valid_key_is_sent(
    session: aiohttp.ClientSession, simulator: Simulator, key: str
) -> None:
    simulator.api_keys = {key}
    client = ModelStudioClient(session, base_url=simulator.base_url, api_key=key)
    await client.get_account()
    assert simulator.requests[0].headers["authorization"] == f"Bearer {key}"
