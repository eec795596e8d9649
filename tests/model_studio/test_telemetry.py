"""Usage from a real Prometheus, and what is made of answers that no good one gives."""

from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
import json
import logging
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import RawTestServer
import pytest
import pytest_asyncio
import pytest_socket

from custom_components.alibaba_cloud.model_studio.errors import (
    AccountError,
    AuthenticationError,
    ConnectionFailedError,
    InvalidAnswerError,
    ModelStudioError,
    OverduePaymentError,
    PermissionDeniedError,
    RateLimitError,
)
from custom_components.alibaba_cloud.model_studio.models import (
    AccessKey,
    ModelRate,
    ModelTotals,
    UsageTotals,
)
from custom_components.alibaba_cloud.model_studio.telemetry import TelemetryClient
from tests.prometheus import (
    BILLING_ZONE,
    MINUTE,
    Prometheus,
    Series,
    Usage,
    generate_usage,
)

type Ask = Callable[[TelemetryClient], Awaitable[object]]

KEY = AccessKey(id="LTAI5tSimulator", secret="0123456789abcdefghijABCDEFGHIJ")
ENCODED = b64encode(f"{KEY.id}:{KEY.secret}".encode()).decode()
REDACTED = "**REDACTED**"

HOUR = timedelta(hours=1)
AUGUST = datetime(2026, 8, 1, tzinfo=BILLING_ZONE)
SEPTEMBER = datetime(2026, 9, 1, tzinfo=BILLING_ZONE)
FIRST, LAST = AUGUST - 4 * HOUR, SEPTEMBER + 4 * HOUR
SEED = 4
"""Of a month with calls across both its ends."""

JANUARY = datetime(2026, 1, 1, tzinfo=BILLING_ZONE)


def january(minutes: float) -> datetime:
    """Return a time so many minutes after the start of the year."""
    return JANUARY + timedelta(minutes=minutes)


def series(
    amounts: Mapping[int, int | None], metric: str = "model_usage", **labels: str
) -> Series:
    """Return a series with amounts of some minutes of January."""
    if metric == "model_usage":
        labels.setdefault("usage_type", "total_tokens")
    return Series(
        metric=metric,
        labels=labels,
        minutes={
            int(january(minute).timestamp()): amount
            for minute, amount in amounts.items()
        },
    )


SPECIAL = (
    # The first minute is of the year before; there are gaps, and one that is no number.
    series(
        {0: 1000, 1: 10, 2: 20, 30: 40, 31: None, 32: 50},
        model="gaps",
        workspace_id="home",
        apikey_id="1",
    ),
    series({2: 5}, model="gaps", workspace_id="work", apikey_id="2"),
    series({2: 3}, model="gaps", usage_type="input_tokens"),
    series({20: 7}, model="late"),
    series({5: None}, model="lost"),
    series({3: 9}),
    series({1: 3}, model="image", usage_type="image_count"),
    series({1: 2, 2: 0}, "model_call_count", model="image", status_code="200"),
    series({1: 1}, "model_call_count", model="image", status_code="429"),
)
"""Beside the month, which says the rest: what few minutes of it would show."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """What is to be had from a server."""

    url: str
    usage: Usage


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[60, 15])
async def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """Serve a month, sampled every minute, and again every 15 seconds."""
    if not Prometheus.is_available():
        pytest.skip("There is no Prometheus: scripts/setup prometheus")
    usage = generate_usage(FIRST, LAST, interval=request.param, seed=SEED)
    usage = replace(usage, series=usage.series + SPECIAL)
    # Where `socket_enabled`, which is of one test, is not yet.
    pytest_socket.enable_socket()
    try:
        server = await Prometheus.start(
            tmp_path_factory.mktemp("prometheus"),
            usage.openmetrics(),
            username=KEY.id,
            password=KEY.secret,
        )
    finally:
        pytest_socket.disable_socket(allow_unix_socket=True)
    async with server:
        yield Served(url=server.url, usage=usage)


@pytest.fixture
def telemetry(session: aiohttp.ClientSession, served: Served) -> TelemetryClient:
    """Return a client of the real server."""
    return TelemetryClient(session, url=served.url, access_key=KEY)


def totals_by_hand(usage: Usage, start: datetime, end: datetime) -> UsageTotals:
    """Return what a client should make of a time."""
    tokens = usage.totals("model_usage", start, end)
    requests = usage.totals("model_call_count", start, end)
    return UsageTotals(
        tokens=sum(tokens.values()) if tokens else None,
        requests=sum(requests.values()) if requests else None,
        models={
            name: ModelTotals(tokens=tokens.get(name), requests=requests.get(name))
            for name in tokens | requests
        },
    )


def rates_by_hand(usage: Usage, minute: datetime) -> dict[str, ModelRate]:
    """Return what a client should make of the minute that ends at a time."""
    totals = totals_by_hand(usage, minute - timedelta(minutes=1), minute)
    return {
        name: ModelRate(
            tokens_per_minute=model.tokens, requests_per_minute=model.requests
        )
        for name, model in totals.models.items()
    }


def test_month_has_it_all() -> None:
    usage = generate_usage(FIRST, LAST, seed=SEED)
    assert usage == generate_usage(FIRST, LAST, seed=SEED)
    assert usage != generate_usage(FIRST, LAST)
    counted = [series for series in usage.series if series.counts]
    assert len(counted) < len(usage.series)
    for label in ("model", "workspace_id", "apikey_id", "status_code"):
        assert len({series.labels.get(label) for series in counted}) > 1
    assert any(None in series.minutes.values() for series in counted)
    middle = (AUGUST + timedelta(days=15)).timestamp()
    assert any(min(series.minutes) > middle for series in counted)
    minutes = {minute for series in counted for minute in series.minutes}
    assert {AUGUST.timestamp(), SEPTEMBER.timestamp()} < minutes
    assert len(minutes) < (LAST - FIRST) // timedelta(minutes=1)


@pytest.mark.parametrize(
    ("start", "now"),
    [
        (AUGUST, AUGUST + HOUR),
        (AUGUST, AUGUST + timedelta(days=9, hours=14, seconds=59.999999)),
        (AUGUST, (SEPTEMBER - timedelta(seconds=1)).astimezone(UTC)),
        (AUGUST, SEPTEMBER),
        (AUGUST.astimezone(UTC), SEPTEMBER + timedelta(minutes=1)),
        (SEPTEMBER, SEPTEMBER + 3 * HOUR),
        (FIRST, LAST),
        (FIRST - HOUR, LAST + HOUR),
    ],
)
async def test_totals_of_month(
    telemetry: TelemetryClient, served: Served, start: datetime, now: datetime
) -> None:
    totals = await telemetry.get_totals(start, now)
    assert totals == totals_by_hand(
        served.usage, start, now.replace(second=0, microsecond=0)
    )
    assert type(totals.tokens) is type(totals.requests) is int


async def test_every_minute_is_of_one_month(telemetry: TelemetryClient) -> None:
    first, second, both = [
        await telemetry.get_totals(start, end)
        for start, end in ((FIRST, AUGUST), (AUGUST, LAST), (FIRST, LAST))
    ]
    assert first.tokens and second.tokens and both.tokens
    assert first.tokens + second.tokens == both.tokens
    assert first.requests and second.requests and both.requests
    assert first.requests + second.requests == both.requests


async def test_rates_of_month(telemetry: TelemetryClient, served: Served) -> None:
    # The minutes of an evening and a morning, across the end of the month.
    busy = 0
    for minutes in range(-90, 90, 3):
        minute = SEPTEMBER + timedelta(minutes=minutes)
        rates = await telemetry.get_rates(minute + timedelta(minutes=2, seconds=30))
        assert rates == rates_by_hand(served.usage, minute)
        busy += bool(rates)
    assert 0 < busy < 60


@pytest.mark.parametrize(
    ("minutes", "tokens"),
    [(1, 10), (1.99, 10), (2, 35), (29, 35), (30, 75), (31, 75), (32, 125), (600, 125)],
)
async def test_totals_with_gaps(
    telemetry: TelemetryClient, minutes: float, tokens: int
) -> None:
    totals = await telemetry.get_totals(JANUARY, january(minutes))
    assert totals.models["gaps"] == ModelTotals(tokens=tokens)


async def test_totals_of_all_kinds(telemetry: TelemetryClient) -> None:
    # What has no model is of the account; what is not a number is nothing.
    assert await telemetry.get_totals(JANUARY, january(40)) == UsageTotals(
        tokens=125 + 7 + 9,
        requests=3,
        models={
            "gaps": ModelTotals(tokens=125),
            "late": ModelTotals(tokens=7),
            "image": ModelTotals(requests=3),
        },
    )


@pytest.mark.parametrize(
    "start",
    [
        JANUARY - HOUR,
        january(0.5),
        january(59 / 60),
        january(1) - timedelta(milliseconds=2),
    ],
)
async def test_cycle_starts_within_minute(
    telemetry: TelemetryClient, start: datetime
) -> None:
    before = 1000 if start < JANUARY else 0
    totals = await telemetry.get_totals(start, january(1))
    assert totals.models["gaps"] == ModelTotals(tokens=before + 10)


@pytest.mark.parametrize("seconds", [0, 59.9])
@pytest.mark.parametrize(
    ("minute", "rates"),
    [
        (-1, {}),
        (0, {"gaps": ModelRate(tokens_per_minute=1000)}),
        (
            1,
            {
                "gaps": ModelRate(tokens_per_minute=10),
                "image": ModelRate(requests_per_minute=3),
            },
        ),
        (
            2,
            {
                "gaps": ModelRate(tokens_per_minute=25),
                "image": ModelRate(requests_per_minute=0),
            },
        ),
        (3, {}),
        (5, {}),
        (30, {"gaps": ModelRate(tokens_per_minute=40)}),
        (31, {}),
        (33, {}),
    ],
)
async def test_rates_of_a_minute(
    telemetry: TelemetryClient,
    minute: int,
    rates: dict[str, ModelRate],
    seconds: float,
) -> None:
    now = january(minute + 2) + timedelta(seconds=seconds)
    assert await telemetry.get_rates(now) == rates


async def test_no_samples(telemetry: TelemetryClient) -> None:
    start = JANUARY - timedelta(days=200)
    assert await telemetry.get_totals(start, start + HOUR) == UsageTotals(models={})
    assert await telemetry.get_rates(start) == {}


ASKS = pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.get_rates(JANUARY),
        lambda client: client.get_totals(JANUARY, january(60)),
    ],
    ids=["rates", "totals"],
)


@ASKS
@pytest.mark.parametrize(
    "access_key",
    [
        AccessKey(id=KEY.id, secret="wrong-secret"),
        AccessKey(id="wrong-id", secret=KEY.secret),
    ],
)
async def test_wrong_access_key(
    session: aiohttp.ClientSession, served: Served, access_key: AccessKey, ask: Ask
) -> None:
    telemetry = TelemetryClient(session, url=served.url, access_key=access_key)
    with pytest.raises(AuthenticationError) as caught:
        await ask(telemetry)
    assert caught.value.code == "HTTP 401"


@ASKS
async def test_wrong_path(
    session: aiohttp.ClientSession, served: Served, ask: Ask
) -> None:
    telemetry = TelemetryClient(session, url=f"{served.url}/no", access_key=KEY)
    with pytest.raises(AccountError) as caught:
        await ask(telemetry)
    assert (caught.value.code, caught.value.status) == ("HTTP 404", 404)


@dataclass(kw_only=True)
class Service:
    """Answers whatever is asked with the same; `hang_ups` come first."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    hang_ups: int = 0
    requests: list[web.BaseRequest] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer, or hang up."""
        self.requests.append(request)
        if self.hang_ups:
            self.hang_ups -= 1
            assert request.transport
            request.transport.abort()
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body)
        return web.Response(status=self.status, headers=self.headers, body=body)


@pytest.fixture
async def service(socket_enabled: None) -> AsyncIterator[Service]:
    """Start a service that has nothing."""
    service = Service(body=vector())
    async with RawTestServer(service.answer) as server:
        service.url = str(server.make_url("/"))
        yield service


@pytest.fixture
def client(session: aiohttp.ClientSession, service: Service) -> TelemetryClient:
    """Return a client of that service."""
    return TelemetryClient(session, url=service.url, access_key=KEY)


def vector(*rows: Any) -> dict[str, Any]:
    """Return the answer that holds these rows."""
    return {
        "status": "success",
        "data": {"resultType": "vector", "result": list(rows)},
    }


def row(value: Any, model: Any = "qwen-max") -> dict[str, Any]:
    """Return a row with this value."""
    return {"metric": {"model": model}, "value": [JANUARY.timestamp(), value]}


async def test_requests(client: TelemetryClient, service: Service) -> None:
    await client.get_rates(january(2.9))
    await client.get_totals(JANUARY, january(10.1))
    for request in service.requests:
        assert request.method == "GET"
        assert request.path == "/api/v1/query"
        assert request.headers["Authorization"] == f"Basic {ENCODED}"
    tokens = '(last_over_time(model_usage{usage_type="total_tokens"}[59999ms]) >= 0)'
    calls = "(last_over_time(model_call_count[59999ms]) >= 0)"
    start = int(JANUARY.timestamp())
    assert [dict(request.query) for request in service.requests] == [
        {"query": f"sum by (model) {tokens}", "time": f"{start}"},
        {"query": f"sum by (model) {calls}", "time": f"{start}"},
        {
            "query": f"sum by (model) (sum_over_time({tokens}[599999ms:60s]))",
            "time": f"{start + 10 * MINUTE}",
        },
        {
            "query": f"sum by (model) (sum_over_time({calls}[599999ms:60s]))",
            "time": f"{start + 10 * MINUTE}",
        },
    ]


@pytest.mark.parametrize("path", ["prometheus/a1b2", "prometheus/a1b2/"])
async def test_url_with_path(
    session: aiohttp.ClientSession, service: Service, path: str
) -> None:
    client = TelemetryClient(session, url=f"{service.url}{path}", access_key=KEY)
    await client.get_rates(JANUARY)
    assert service.requests[0].path == "/prometheus/a1b2/api/v1/query"


@pytest.mark.parametrize(
    ("start", "now"),
    [
        (JANUARY, JANUARY - HOUR),
        (JANUARY, JANUARY),
        (JANUARY, january(0.99)),
        # To Prometheus, a range has a whole millisecond at least.
        (january(1) - timedelta(microseconds=1999), january(1)),
    ],
)
async def test_no_minute_yet(
    client: TelemetryClient, service: Service, start: datetime, now: datetime
) -> None:
    totals = await client.get_totals(start, now)
    assert totals == UsageTotals(models={})
    assert service.requests == []


@pytest.mark.parametrize(
    ("value", "amount"),
    [("12", 12), ("12.0", 12), ("0", 0), ("12.5", 12.5), ("1e3", 1000), (7, 7)],
)
async def test_values(
    client: TelemetryClient, service: Service, value: Any, amount: float
) -> None:
    service.body = vector(row(value), row("1", "qwen-plus"))
    rates = await client.get_rates(JANUARY)
    assert rates["qwen-max"].tokens_per_minute == amount
    assert type(rates["qwen-max"].tokens_per_minute) is type(amount)
    totals = await client.get_totals(JANUARY, january(5))
    assert totals.requests == totals.tokens == amount + 1
    assert totals.models["qwen-max"] == ModelTotals(tokens=amount, requests=amount)


@pytest.mark.parametrize(
    "value",
    ["NaN", "+Inf", "-Inf", "-1", "many", "", None, True, [], "1" * 30, "1e400"],
)
async def test_values_that_are_none(
    client: TelemetryClient,
    service: Service,
    caplog: pytest.LogCaptureFixture,
    value: Any,
) -> None:
    caplog.set_level(logging.DEBUG)
    service.body = vector(row(value), row("1", "qwen-plus"))
    assert await client.get_rates(JANUARY) == {
        "qwen-max": ModelRate(),
        "qwen-plus": ModelRate(tokens_per_minute=1, requests_per_minute=1),
    }
    assert "The usage of qwen-max is not a number" in caplog.messages
    # A sum without it would fall, which a total never does.
    assert await client.get_totals(JANUARY, january(5)) == UsageTotals(
        models={
            "qwen-max": ModelTotals(),
            "qwen-plus": ModelTotals(tokens=1, requests=1),
        }
    )


@ASKS
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b'{"status": "success", "data": {"resultType": "vec',
        None,
        [],
        {},
        {"status": "success"},
        {"status": "success", "data": []},
        {"status": "success", "data": {"resultType": "vector"}},
        {"status": "success", "data": {"resultType": "vector", "result": {}}},
        {"status": "success", "data": {"resultType": "matrix", "result": []}},
        {"status": "success", "data": {"resultType": "scalar", "result": [1, "1"]}},
        vector(None),
        vector({}),
        vector({"metric": {}}),
        vector({"value": [1, "1"]}),
        vector({"metric": [], "value": [1, "1"]}),
        vector({"metric": {}, "value": "1"}),
        vector({"metric": {}, "value": [1]}),
        vector({"metric": {}, "value": [1, "1", "1"]}),
        vector({"metric": {}, "values": [[1, "1"]]}),
        vector(row("1"), row("1", 1)),
        vector(row("1"), row("1", None)),
    ],
)
async def test_invalid_answers(
    client: TelemetryClient, service: Service, body: Any, ask: Ask
) -> None:
    service.body = body
    with pytest.raises(InvalidAnswerError) as caught:
        await ask(client)
    assert str(caught.value)


@ASKS
@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (
            400,
            {"status": "error", "errorType": "bad_data", "error": "parse error"},
            AccountError("parse error", code="bad_data", status=400),
        ),
        (
            200,
            {"status": "error", "errorType": "execution", "error": "too many"},
            AccountError("too many", code="execution", status=200),
        ),
        (200, {"status": "error"}, AccountError(code="HTTP 200", status=200)),
        (201, b"Created", AccountError(code="HTTP 201", status=201)),
        (302, b"", AccountError(code="HTTP 302", status=302)),
        (502, b"Bad gateway", AccountError(code="HTTP 502", status=502)),
        (503, [], AccountError(code="HTTP 503", status=503)),
        (500, vector(), AccountError(code="HTTP 500", status=500)),
        (401, b"Unauthorized", AuthenticationError(code="HTTP 401")),
        (
            403,
            {"code": "Forbidden", "message": "No permission"},
            PermissionDeniedError("No permission", code="Forbidden"),
        ),
        (
            403,
            {"error": {"code": "Arrearage", "message": "Overdue"}},
            OverduePaymentError("Overdue", code="Arrearage", status=403),
        ),
        (
            403,
            b"<?xml version='1.0'?><Error><Code>Forbidden</Code></Error>",
            PermissionDeniedError(code="Forbidden"),
        ),
        (429, b"", RateLimitError(code="HTTP 429")),
    ],
)
async def test_failures(
    client: TelemetryClient,
    service: Service,
    status: int,
    body: Any,
    error: ModelStudioError,
    ask: Ask,
) -> None:
    service.status, service.body = status, body
    with pytest.raises(ModelStudioError) as caught:
        await ask(client)
    assert type(caught.value) is type(error)
    assert vars(caught.value).items() >= vars(error).items()
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("17", 17.0),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        (None, None),
    ],
)
async def test_throttled(
    client: TelemetryClient,
    service: Service,
    retry_after: str | None,
    seconds: float | None,
) -> None:
    service.status = 429
    if retry_after:
        service.headers = {"Retry-After": retry_after}
    with pytest.raises(RateLimitError) as caught:
        await client.get_rates(JANUARY)
    assert caught.value.retry_after == seconds


@ASKS
@pytest.mark.parametrize("status", [200, 401, 403, 429, 500])
@pytest.mark.parametrize("secret", [KEY.secret, "s3cr3t"])
async def test_access_key_is_not_repeated(
    session: aiohttp.ClientSession,
    service: Service,
    caplog: pytest.LogCaptureFixture,
    secret: str,
    status: int,
    ask: Ask,
) -> None:
    caplog.set_level(logging.DEBUG)
    key = replace(KEY, secret=secret)
    client = TelemetryClient(session, url=service.url, access_key=key)
    encoded = b64encode(f"{key.id}:{secret}".encode()).decode()
    service.status = status
    service.body = {
        "status": "error",
        "errorType": secret,
        "error": f"Not {secret}, Basic {encoded}",
    }
    with pytest.raises(ModelStudioError) as caught:
        await ask(client)
    assert caught.value.code == REDACTED
    assert caught.value.message == f"Not {REDACTED}, Basic {REDACTED}"
    for hidden in (secret, encoded):
        assert hidden not in repr(caught.value) + caplog.text + repr(client)


@ASKS
async def test_connection_is_tried_twice(
    client: TelemetryClient, service: Service, ask: Ask
) -> None:
    service.hang_ups = 1
    await ask(client)
    assert len(service.requests) == 3
    service.hang_ups = 2
    with pytest.raises(ConnectionFailedError):
        await ask(client)
    assert len(service.requests) == 5


@ASKS
@pytest.mark.parametrize(
    ("key_id", "secret"),
    [("", "secret"), ("id", ""), ("i:d", "secret"), ("id", "gehe\xefm"), ("id", "a\n")],
)
async def test_impossible_access_key(
    session: aiohttp.ClientSession,
    service: Service,
    key_id: str,
    secret: str,
    ask: Ask,
) -> None:
    client = TelemetryClient(
        session, url=service.url, access_key=AccessKey(id=key_id, secret=secret)
    )
    with pytest.raises(AuthenticationError) as caught:
        await ask(client)
    assert str(caught.value)
    assert service.requests == []
