"""Tests of usage from a real Prometheus server."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import pytest_socket

from custom_components.alibaba_cloud.model_studio import (
    AccessKey,
    AccountError,
    AuthenticationError,
    DayUsage,
    ModelRate,
    ModelTotals,
    TelemetryClient,
    UsageRates,
    UsageTotals,
)
from tests.prometheus import BILLING_ZONE, Prometheus, Series, Usage, generate_usage

from .common import HOUR, JANUARY, KEY, TELEMETRY_CALLS, TelemetryCall, failure, january

AUGUST = datetime(2026, 8, 1, tzinfo=BILLING_ZONE)
SEPTEMBER = datetime(2026, 9, 1, tzinfo=BILLING_ZONE)
FIRST, LAST = AUGUST - 4 * HOUR, SEPTEMBER + 4 * HOUR
SEED = 4
"""The seed of a month with calls across both ends."""


def series(
    amounts: Mapping[int, int | None], metric: str = "model_usage", **labels: str
) -> Series:
    """Return a series with values for some minutes of January."""
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
    # The first minute belongs to the year before. There are gaps, and an invalid value.
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
"""Series for cases that are rare in the generated month."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A Prometheus server and its usage."""

    url: str
    usage: Usage


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[60, 15])
async def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """Serve a month with samples every minute and every 15 seconds."""
    if not Prometheus.is_available():
        pytest.skip("There is no Prometheus: scripts/setup prometheus")
    usage = generate_usage(FIRST, LAST, interval=request.param, seed=SEED)
    usage = replace(usage, series=usage.series + SPECIAL)
    # The fixture `socket_enabled` has the scope of a test and can't be used here.
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


def expected_totals(usage: Usage, start: datetime, end: datetime) -> UsageTotals:
    """Return the totals that a client should return."""
    tokens = usage.totals("model_usage", start, end)
    requests = usage.totals("model_call_count", start, end)
    return UsageTotals(
        since=start,
        tokens=sum(tokens.values()) if tokens else None,
        requests=sum(requests.values()) if requests else None,
        models={
            name: ModelTotals(tokens=tokens.get(name), requests=requests.get(name))
            for name in tokens | requests
        },
    )


def expected_day(
    usage: Usage, start: datetime, end: datetime
) -> dict[str, dict[str, int]]:
    """Return by model and kind what a client should return for a day."""
    models: dict[str, dict[str, int]] = {}
    for series in usage.series:
        if series.metric == "model_usage":
            amounts = [
                amount
                for minute, amount in series.minutes.items()
                if amount is not None and start.timestamp() < minute <= end.timestamp()
            ]
            if amounts:
                kinds = models.setdefault(series.labels.get("model", ""), {})
                kind = series.labels["usage_type"]
                kinds[kind] = kinds.get(kind, 0) + sum(amounts)
    return models


def expected_rates(usage: Usage, minute: datetime) -> dict[str, ModelRate]:
    """Return the rates that a client should return for the minute before a time."""
    totals = expected_totals(usage, minute - timedelta(minutes=1), minute)
    rates = {}
    for name, model in totals.models.items():
        calls = calls_by_status(usage, name, minute)
        error_rate = 100 * calls["429"] / calls.total() if calls.total() else None
        rates[name] = ModelRate(
            tokens_per_minute=model.tokens,
            requests_per_minute=model.requests,
            throttled_calls=calls["429"] if calls else None,
            error_rate_pct=None if error_rate is None else round(error_rate, 4),
        )
    return rates


def calls_by_status(usage: Usage, model: str, minute: datetime) -> Counter[str]:
    """Return a model's calls in the minute before a time. All errors are 429."""
    calls = Counter[str]()
    for series in usage.series:
        amount = series.minutes.get(int(minute.timestamp()))
        of_model = series.metric == "model_call_count" and series.model == model
        if of_model and amount is not None:
            calls[series.labels["status_code"]] += amount
    return calls


def test_month_has_all_cases() -> None:
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
    assert totals == expected_totals(
        served.usage, start, now.replace(second=0, microsecond=0)
    )
    assert type(totals.tokens) is type(totals.requests) is int


@pytest.mark.parametrize("days", [0, 3, 30])
async def test_usage_of_a_day(
    telemetry: TelemetryClient, served: Served, days: int
) -> None:
    """It is that of the day's minutes, by kind, and the same once the day is closed."""
    start = AUGUST + timedelta(days=days)
    end = start + timedelta(days=1)
    usage = expected_day(served.usage, start, end)
    assert usage
    rates = await telemetry.get_rates(end, day_start=start)
    assert rates.today == DayUsage(start=start, models=usage)
    totals = await telemetry.get_totals(AUGUST, end + HOUR, closed_day=start)
    assert totals.closed_day == rates.today


async def test_every_minute_belongs_to_one_month(telemetry: TelemetryClient) -> None:
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
        assert rates.models == expected_rates(served.usage, minute)
        busy += bool(rates.models)
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
    # A series without a model counts for the account. An invalid value doesn't count.
    assert await telemetry.get_totals(JANUARY, january(40)) == UsageTotals(
        since=JANUARY,
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
                "image": ModelRate(
                    requests_per_minute=3, throttled_calls=1, error_rate_pct=33.3333
                ),
            },
        ),
        (
            2,
            {
                "gaps": ModelRate(tokens_per_minute=25),
                "image": ModelRate(requests_per_minute=0, throttled_calls=0),
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
    assert await telemetry.get_rates(now) == UsageRates(models=rates)


async def test_no_samples(telemetry: TelemetryClient) -> None:
    start = JANUARY - timedelta(days=200)
    assert await telemetry.get_totals(start, start + HOUR) == UsageTotals(
        since=start, models={}
    )
    assert await telemetry.get_rates(start) == UsageRates(models={})


@pytest.mark.parametrize(
    ("now", "has_usage"),
    [
        (JANUARY - HOUR, False),
        (january(1), True),
        (january(600), True),
        (january(32) + timedelta(days=6, hours=23), True),
        (january(32) + timedelta(days=7, minutes=1), False),
        (FIRST - HOUR, False),
        (LAST, True),
    ],
)
async def test_any_usage_of_a_week(
    telemetry: TelemetryClient, now: datetime, has_usage: bool
) -> None:
    assert await telemetry.has_usage(now) is has_usage


async def test_calls_are_enough(
    session: aiohttp.ClientSession, tmp_path: Path, socket_enabled: None
) -> None:
    """An instance of another product has none of the two series."""
    if not Prometheus.is_available():
        pytest.skip("There is no Prometheus: scripts/setup prometheus")
    usage = Usage(
        series=(
            series({1: 1}, "model_call_count", model="image", status_code="200"),
            series({59: 1}, "other_calls", model="image"),
        )
    )
    async with await Prometheus.start(
        tmp_path, usage.openmetrics(), username=KEY.id, password=KEY.secret
    ) as server:
        client = TelemetryClient(session, url=server.url, access_key=KEY)
        assert await client.has_usage(january(60))
        assert not await client.has_usage(january(2) + timedelta(days=7))


@TELEMETRY_CALLS
@pytest.mark.parametrize(
    "access_key",
    [
        AccessKey(id=KEY.id, secret="wrong-secret"),
        AccessKey(id="wrong-id", secret=KEY.secret),
    ],
)
async def test_wrong_access_key(
    session: aiohttp.ClientSession,
    served: Served,
    access_key: AccessKey,
    call: TelemetryCall,
) -> None:
    telemetry = TelemetryClient(session, url=served.url, access_key=access_key)
    err = await failure(call(telemetry))
    assert type(err) is AuthenticationError
    assert err.code == "HTTP 401"


@TELEMETRY_CALLS
async def test_wrong_path(
    session: aiohttp.ClientSession, served: Served, call: TelemetryCall
) -> None:
    telemetry = TelemetryClient(session, url=f"{served.url}/no", access_key=KEY)
    err = await failure(call(telemetry))
    assert isinstance(err, AccountError)
    assert (err.code, err.status) == ("HTTP 404", 404)
