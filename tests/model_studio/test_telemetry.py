"""Tests of the client for usage with a simulated Prometheus."""

from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
import json
import logging
from string import ascii_letters, digits
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccessKey,
    AccountError,
    AuthenticationError,
    ConnectionFailedError,
    DayUsage,
    InvalidAnswerError,
    ModelRate,
    ModelStudioError,
    ModelTotals,
    OverduePaymentError,
    PermissionDeniedError,
    RateLimitError,
    TelemetryClient,
    UsageTotals,
)
from custom_components.alibaba_cloud.model_studio.telemetry import repeats_path
from tests.prometheus import MINUTE

from .common import (
    HOUR,
    JANUARY,
    KEY,
    NOW,
    REDACTED,
    TELEMETRY_CALLS,
    Serve,
    TelemetryCall,
    failure,
    january,
    raw_json,
    texts,
)

# Hypothesis warns about its own random number generator.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

ENCODED = b64encode(f"{KEY.id}:{KEY.secret}".encode()).decode()


@dataclass(kw_only=True)
class Service:
    """A service that gives the same answer to every request."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    failures: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """The status and the body for queries that contain these texts."""
    hang_ups: int = 0
    """The number of connections to close before the first answer."""
    requests: list[web.BaseRequest] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer, or close the connection."""
        self.requests.append(request)
        if self.hang_ups:
            self.hang_ups -= 1
            assert request.transport
            request.transport.abort()
        query = request.query["query"]
        status, body = next(
            (answer for text, answer in self.failures.items() if text in query),
            (self.status, self.body),
        )
        if not isinstance(body, bytes):
            body = json.dumps(body)
        return web.Response(status=status, headers=self.headers, body=body)


@pytest.fixture
async def service(socket_enabled: None) -> AsyncIterator[Service]:
    """Start a service with an empty answer."""
    service = Service(body=vector())
    async with RawTestServer(service.answer) as server:
        service.url = str(server.make_url("/"))
        yield service


@pytest.fixture
def client(session: aiohttp.ClientSession, service: Service) -> TelemetryClient:
    """Return a client of the service."""
    return TelemetryClient(session, url=service.url, access_key=KEY)


def vector(*rows: Any) -> dict[str, Any]:
    """Return an answer with these rows."""
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
    await client.has_usage(january(3.5))
    for request in service.requests:
        assert request.method == "GET"
        assert request.path == "/api/v1/query"
        assert request.headers["Authorization"] == f"Basic {ENCODED}"
    tokens = '(last_over_time(model_usage{usage_type="total_tokens"}[59999ms]) >= 0)'
    calls = "(last_over_time(model_call_count[59999ms]) >= 0)"
    start = int(JANUARY.timestamp())
    assert [dict(request.query) for request in service.requests] == [
        {"query": f"sum by (model) {tokens}", "time": f"{start}"},
        {"query": f"sum by (model, status_code) {calls}", "time": f"{start}"},
        {
            "query": f"sum by (model) (sum_over_time({tokens}[599999ms:60s]))",
            "time": f"{start + 10 * MINUTE}",
        },
        {
            "query": f"sum by (model) (sum_over_time({calls}[599999ms:60s]))",
            "time": f"{start + 10 * MINUTE}",
        },
        {
            "query": "count(last_over_time(model_usage[7d]))"
            " or count(last_over_time(model_call_count[7d]))",
            "time": f"{start + 3 * MINUTE}",
        },
    ]


async def test_requests_for_days(client: TelemetryClient, service: Service) -> None:
    """The usage of a day is asked for once more, by kind."""
    service.body = vector(
        {
            "metric": {"model": "qwen-max", "usage_type": "input_tokens"},
            "value": [0, "7"],
        },
        {
            "metric": {"model": "qwen-max", "usage_type": "output_tokens"},
            "value": [0, "2"],
        },
        {"metric": {"model": "qwen-plus"}, "value": [0, "many"]},
        {"metric": {"usage_type": "input_tokens"}, "value": [0, "1"]},
    )
    usage = DayUsage(
        start=JANUARY,
        models={
            "qwen-max": {"input_tokens": 7, "output_tokens": 2},
            "qwen-plus": {"": None},
            "": {"input_tokens": 1},
        },
    )
    rates = await client.get_rates(january(10.9), day_start=JANUARY)
    assert rates.today == usage
    totals = await client.get_totals(january(-60), january(2000), closed_day=JANUARY)
    assert totals.closed_day == usage
    query = (
        "sum by (model, usage_type) "
        "(sum_over_time((last_over_time(model_usage[59999ms]) >= 0)[{}ms:60s]))"
    )
    start = int(JANUARY.timestamp())
    assert [dict(service.requests[number].query) for number in (2, 5)] == [
        {"query": query.format(599_999), "time": f"{start + 10 * MINUTE}"},
        {"query": query.format(86_399_999), "time": f"{start + 1440 * MINUTE}"},
    ]
    assert len(service.requests) == 6


async def test_day_has_just_begun(client: TelemetryClient, service: Service) -> None:
    """Before its first minute is over, nothing is asked about a day."""
    rates = await client.get_rates(january(0.9), day_start=JANUARY)
    assert rates.today == DayUsage(start=JANUARY, models={})
    assert len(service.requests) == 2


@pytest.mark.parametrize("body", [b"", {"status": "error", "error": KEY.secret}])
@pytest.mark.parametrize("status", [200, 401, 403, 422, 429, 503])
async def test_day_that_cannot_be_read(
    client: TelemetryClient,
    service: Service,
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: Any,
) -> None:
    """Its usage is unknown. All else is read, and only the log says why."""
    caplog.set_level(logging.DEBUG)
    service.body = vector(row("7"))
    service.failures["usage_type)"] = status, body
    rates = await client.get_rates(january(10), day_start=JANUARY)
    assert rates.today is None
    assert rates.models["qwen-max"].tokens_per_minute == 7
    totals = await client.get_totals(JANUARY, january(2000), closed_day=JANUARY)
    assert totals.closed_day is None
    assert totals.tokens == 7
    said = [m for m in caplog.messages if m.startswith("The usage of a day can't be")]
    assert len(said) == 2
    assert KEY.secret not in caplog.text


@pytest.mark.parametrize(
    ("calls", "rate"),
    [
        (
            {"200": 90, "429": 6, "400": 3, "500": 1},
            ModelRate(requests_per_minute=100, throttled_calls=6, error_rate_pct=10),
        ),
        (
            {"200": 8, "201": 2},
            ModelRate(requests_per_minute=10, throttled_calls=0, error_rate_pct=0),
        ),
        (
            {"429": 3},
            ModelRate(requests_per_minute=3, throttled_calls=3, error_rate_pct=100),
        ),
        # Without requests, the error rate is unknown.
        ({"200": 0}, ModelRate(requests_per_minute=0, throttled_calls=0)),
        # Requests without a valid status may have failed.
        ({"200": 1, "": 2}, ModelRate(requests_per_minute=3)),
        ({"200": 1, "ok": 2}, ModelRate(requests_per_minute=3)),
        ({None: 2}, ModelRate(requests_per_minute=2)),
        ({200: 2}, ModelRate(requests_per_minute=2)),
        ({"200": 1, "429": "NaN"}, ModelRate()),
    ],
)
async def test_failed_calls(
    client: TelemetryClient,
    service: Service,
    calls: dict[Any, Any],
    rate: ModelRate,
) -> None:
    service.body = vector(
        *(
            {
                "metric": {"model": "qwen-max"}
                | ({} if status is None else {"status_code": status}),
                "value": [JANUARY.timestamp(), str(number)],
            }
            for status, number in calls.items()
        )
    )
    rates = (await client.get_rates(JANUARY)).models
    # The service gives the same answer to the query for tokens.
    assert replace(rates["qwen-max"], tokens_per_minute=None) == rate


@pytest.mark.parametrize(
    "path",
    [
        "prometheus/a1b2",
        "prometheus/a1b2/",
        "prometheus/a1b2/api/v1",
        "prometheus/a1b2/api/v1/query",
    ],
)
async def test_url_with_path(
    session: aiohttp.ClientSession, service: Service, path: str
) -> None:
    client = TelemetryClient(session, url=f"{service.url}{path}", access_key=KEY)
    await client.get_rates(JANUARY)
    assert service.requests[0].path == "/prometheus/a1b2/api/v1/query"


async def test_url_of_a_proxy(session: aiohttp.ClientSession, service: Service) -> None:
    client = TelemetryClient(session, url=f"{service.url}query", access_key=KEY)
    await client.get_rates(JANUARY)
    assert service.requests[0].path == "/query/api/v1/query"


@pytest.mark.parametrize(
    ("start", "now"),
    [
        (JANUARY, JANUARY - HOUR),
        (JANUARY, JANUARY),
        (JANUARY, january(0.99)),
        # In Prometheus, a range has at least one millisecond.
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
    rates = (await client.get_rates(JANUARY)).models
    assert rates["qwen-max"].tokens_per_minute == amount
    assert type(rates["qwen-max"].tokens_per_minute) is type(amount)
    totals = await client.get_totals(JANUARY, january(5))
    assert totals.requests == totals.tokens == amount + 1
    assert totals.models["qwen-max"] == ModelTotals(tokens=amount, requests=amount)


@pytest.mark.parametrize(
    "value",
    ["NaN", "+Inf", "-Inf", "-1", "many", "", None, True, [], "1" * 30, "1e400"],
)
async def test_invalid_values(
    client: TelemetryClient,
    service: Service,
    caplog: pytest.LogCaptureFixture,
    value: Any,
) -> None:
    caplog.set_level(logging.DEBUG)
    service.body = vector(row(value), row("1", "qwen-plus"))
    assert (await client.get_rates(JANUARY)).models == {
        "qwen-max": ModelRate(),
        "qwen-plus": ModelRate(tokens_per_minute=1, requests_per_minute=1),
    }
    assert "The usage of qwen-max is not a number" in caplog.messages
    # A sum without the invalid value would decrease, but a total never decreases.
    assert await client.get_totals(JANUARY, january(5)) == UsageTotals(
        since=JANUARY,
        models={
            "qwen-max": ModelTotals(),
            "qwen-plus": ModelTotals(tokens=1, requests=1),
        },
    )


@TELEMETRY_CALLS
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
    client: TelemetryClient, service: Service, body: Any, call: TelemetryCall
) -> None:
    service.body = body
    err = await failure(call(client))
    assert type(err) is InvalidAnswerError
    assert str(err) in (
        "The answer is not JSON",
        "The answer is no vector",
        "A row of the answer is no sample",
        "A model of the answer has no name",
    )


@TELEMETRY_CALLS
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
    call: TelemetryCall,
) -> None:
    service.status, service.body = status, body
    err = await failure(call(client))
    assert type(err) is type(error)
    assert vars(err).items() >= vars(error).items()
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("17", 17.0),
        ("soon", None),
        (None, None),
    ],
)
async def test_retry_after(
    client: TelemetryClient,
    service: Service,
    retry_after: str | None,
    seconds: float | None,
) -> None:
    service.status = 429
    if retry_after:
        service.headers = {"Retry-After": retry_after}
    err = await failure(client.get_rates(JANUARY))
    assert isinstance(err, RateLimitError)
    assert err.retry_after == seconds


@TELEMETRY_CALLS
@pytest.mark.parametrize("status", [200, 401, 403, 429, 500])
@pytest.mark.parametrize("secret", [KEY.secret, "s3cr3t"])
async def test_repeated_access_key_is_redacted(
    session: aiohttp.ClientSession,
    service: Service,
    caplog: pytest.LogCaptureFixture,
    secret: str,
    status: int,
    call: TelemetryCall,
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
    err = await failure(call(client))
    assert err.code == REDACTED
    assert err.message == f"Not {REDACTED}, Basic {REDACTED}"
    for hidden in (secret, encoded):
        assert hidden not in texts(err) + caplog.text + repr(client)


@TELEMETRY_CALLS
async def test_one_retry_per_call(
    client: TelemetryClient, service: Service, call: TelemetryCall
) -> None:
    await call(client)
    queries = len(service.requests)
    service.requests.clear()
    service.hang_ups = 1
    await call(client)
    assert len(service.requests) == queries + 1
    service.requests.clear()
    service.hang_ups = 2
    assert type(await failure(call(client))) is ConnectionFailedError
    assert len(service.requests) == 2


@TELEMETRY_CALLS
@pytest.mark.parametrize(
    ("key_id", "secret"),
    [("", "secret"), ("id", ""), ("i:d", "secret"), ("id", "gehe\xefm"), ("id", "a\n")],
)
async def test_invalid_access_key_is_not_sent(
    session: aiohttp.ClientSession,
    service: Service,
    key_id: str,
    secret: str,
    call: TelemetryCall,
) -> None:
    client = TelemetryClient(
        session, url=service.url, access_key=AccessKey(id=key_id, secret=secret)
    )
    err = await failure(call(client))
    assert type(err) is AuthenticationError
    assert str(err) == "This can't be an AccessKey"
    assert service.requests == []


PARTS: Final = st.text(
    st.sampled_from(ascii_letters + digits),
    min_size=4,
    max_size=40,
)


@given(parts=st.lists(PARTS, min_size=1, max_size=4), data=st.data())
def test_text_with_part_of_a_path(parts: list[str], data: st.DataObject) -> None:
    """Parts of a path are found in a text even if they are percent-encoded twice."""
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
    ("text", "path", "repeats"),
    [
        ("abcdefgh", "/abcdefghij", True),
        ("bcdefghi", "/abcdefghij", True),
        ("cdefghij", "/abcdefghij", True),
        ("abcdefg", "/abcdefghij", False),
        ("abcd", "/abcd", True),
        ("abc", "/abc", False),
        ("prometheus", "/prometheus", False),
        ("PROMETHEUS", "/Prometheus/abcd", False),
        ("/abc/def/", "/abc/def", False),
    ],
)
def test_parts_of_a_path(text: str, path: str, repeats: bool) -> None:
    assert repeats_path(f"No {text}!", path) is repeats


@pytest.mark.parametrize(
    "template",
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
async def test_repeated_path_is_redacted(
    session: aiohttp.ClientSession,
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    template: str,
    status: int,
) -> None:
    """A path that the service repeats is redacted, as it may contain a token."""
    token = "b0f1c2d3e4f5a6978899aabbccddeeff"
    path = f"/api/v1/prometheus/{token}/1234567890"
    text = template.format(
        path=path,
        token=token,
        token_encoded="".join(f"%{ord(character):02X}" for character in token),
        part=token[5:17],
    )
    origin = await serve(
        raw_json(status, {"status": "error", "errorType": text, "error": text})
    )
    client = TelemetryClient(session, url=f"{origin}{path}", access_key=KEY)
    err = await failure(client.get_rates(NOW))
    assert str(err) == f"{REDACTED}: {REDACTED}"
    assert token[5:17] not in texts(err) + caplog.text
