"""Tests of the simulator, with the vendor's SDK as a reference."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
import json
from typing import Any

import aiohttp
from alibabacloud_bssopenapi20171214.client import Client as BalanceClient  # type: ignore[import-untyped]
from alibabacloud_modelstudio20260210 import models as vendor  # type: ignore[import-untyped]
from alibabacloud_modelstudio20260210.client import Client as BillingClient  # type: ignore[import-untyped]
from alibabacloud_tea_openapi.exceptions import (  # type: ignore[import-untyped]
    AlibabaCloudException,
    ThrottlingException,
)
import pytest

from tests.simulator import (
    DEFAULT_ACCESS_KEY_ID,
    DEFAULT_ACCESS_KEY_SECRET,
    Account,
    Fault,
    Instance,
    Simulator,
)
from tests.simulator.billing import OTHERS_GROUP, balance, trend
from tests.simulator.faults import HUGE_SIZE
from tests.simulator.instances import INSTANCES_PATH
from tests.simulator.server import SERVICES, Service
from tests.vendor import TREND_PATH, client, now_text, signed

pytestmark = [
    pytest.mark.usefixtures("socket_enabled"),
    # Raised by the vendor's SDK.
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]

KEY = {"Authorization": "Bearer sk-simulator"}
ACCESS_KEY = (DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET)
NOON = datetime(2026, 8, 15, 4, tzinfo=UTC)
ROA: dict[Service, tuple[str, str]] = {
    "token_plan": ("/tokenplan/subscription/stats", "GetSubscriptionStats"),
    "workspaces": ("/modelstudio/workspaces", "ListWorkspaces"),
}
BALANCE: dict[str, Any] = {"action": "QueryAccountBalance", "version": "2017-12-14"}
RPC: dict[Service, dict[str, Any]] = {
    "balance": BALANCE,
    "assets": {"action": "QueryCashCoupons", "version": "2017-12-14"},
}
QUERY = {
    "granularity": "DAY",
    "groupBy": '[{"code":"BASE_MODEL"}]',
    "timePeriod": '{"start":"2026-08-01","end":"2026-08-31"}',
}
"""A query for the bill of the month by model."""


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Serve an account with a fixed clock."""
    account = Account(clock=lambda: NOON, has_assets=True, has_token_plan=True)
    account.instances = [Instance(id="i-1", name="Home", url="https://1.example")]
    async with Simulator(account=account) as simulator:
        yield simulator


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open a client session."""
    async with aiohttp.ClientSession() as session:
        yield session


def request(simulator: Simulator, service: Service) -> dict[str, Any]:
    """Return a good request for a service as arguments of aiohttp's `request`."""
    match service:
        case "quotas":
            url = f"{simulator.base_url}/quotas"
            return {"method": "GET", "url": url, "headers": KEY}
        case "prices":
            url = f"{simulator.base_url}/models"
            query = {"language": "en"}
            return {"method": "GET", "url": url, "headers": KEY, "params": query}
        case "billing":
            url = f"{simulator.openapi_url}{TREND_PATH}"
            headers = signed(simulator, QUERY)
            return {"method": "GET", "url": url, "headers": headers, "params": QUERY}
        case "balance" | "assets":
            headers = signed(simulator, {}, method="POST", path="/", **RPC[service])
            return {"method": "POST", "url": simulator.openapi_url, "headers": headers}
        case "token_plan" | "workspaces":
            path, action = ROA[service]
            headers = signed(simulator, {}, path=path, action=action)
            url = f"{simulator.openapi_url}{path}"
            return {"method": "GET", "url": url, "headers": headers}
        case "instances":
            headers = signed(
                simulator,
                {},
                path=INSTANCES_PATH,
                action="ListPrometheusInstances",
                version="2024-03-30",
            )
            url = f"{simulator.openapi_url}{INSTANCES_PATH}"
            return {"method": "GET", "url": url, "headers": headers}
    return {
        "method": "GET",
        "url": f"{simulator.prometheus_url}/api/v1/query",
        "params": {"query": 'model_usage{usage_type="total_tokens"}[15d:1m]'},
        "headers": {"Authorization": aiohttp.encode_basic_auth(*ACCESS_KEY)},
    }


async def ask(
    session: aiohttp.ClientSession,
    simulator: Simulator,
    service: Service = "quotas",
    **changes: Any,
) -> tuple[int, bytes]:
    """Send a good request with `changes`; return the status and the body."""
    asked = request(simulator, service) | {"allow_redirects": False} | changes
    async with session.request(**asked) as response:
        return response.status, await response.read()


async def touch(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str] | None = None
) -> None:
    """Send a POST; unlike a GET, aiohttp never repeats it."""
    async with session.post(url, headers=headers):
        pass


async def vendor_trend(simulator: Simulator, **settings: str) -> Any:
    """Return the bill of the month as read by the vendor's SDK."""
    request = vendor.GetBillingTrendRequest(
        granularity="DAY",
        group_by=[vendor.GetBillingTrendRequestGroupBy(code="BASE_MODEL")],
        time_period=vendor.GetBillingTrendRequestTimePeriod(
            start="2026-08-01", end="2026-08-31"
        ),
    )
    billing = client(BillingClient, simulator, **settings)
    return (await billing.get_billing_trend_async(request)).body


async def vendor_balance(simulator: Simulator, **settings: str) -> Any:
    """Return the balance as read by the vendor's SDK."""
    balances = client(BalanceClient, simulator, **settings)
    return (await balances.query_account_balance_async()).body


async def vendor_plan(simulator: Simulator, **settings: str) -> Any:
    """Return the Token Plan as read by the vendor's SDK."""
    plans = client(BillingClient, simulator, **settings)
    request = vendor.GetSubscriptionStatsRequest()
    return (await plans.get_subscription_stats_async(request)).body


def figures(account: Account) -> dict[str, Any]:
    """Return the `data` of the account answer."""
    data: dict[str, Any] = account.respond({}, "id")["data"]
    return data


def total(bill: dict[str, Any]) -> Decimal:
    """Return the total of a bill."""
    return Decimal(bill["costTotals"]["amount"])


async def test_account_answer(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """The account answer depends only on the time, except for the request ID."""
    answers = [json.loads((await ask(session, simulator))[1]) for _ in range(2)]
    assert answers[0].pop("request_id") != answers[1].pop("request_id")
    assert answers[0] == answers[1]
    other = Account(clock=lambda: NOON - timedelta(days=9))
    other.advance(timedelta(days=9))
    assert answers[0] == {"code": "Success", "data": figures(other)}
    period = {"start": "2026-08-01", "end": "2026-08-31"}
    assert answers[0]["data"]["billing_period"] == period
    simulator.account.models_as = "map"
    assert "qwen-max" in figures(simulator.account)["models"]


def test_days_and_months() -> None:
    """Spend starts at 0 each day and month; a correction belongs to its day."""
    account = Account(clock=lambda: NOON)
    before = figures(account)
    account.advance(timedelta(seconds=30))
    assert figures(account)["tokens_used"] > before["tokens_used"]
    account.correction = -0.07
    account.roll_over("day")
    after = figures(account)
    assert account.now.isoformat() == "2026-08-16T00:00:01+08:00"
    assert after["daily_spend"] == 0 < before["daily_spend"]
    assert after["monthly_spend"] > before["monthly_spend"]
    whole = Account(clock=lambda: NOON + timedelta(hours=12, seconds=1))
    assert account.monthly_spend == whole.monthly_spend - Decimal("0.07")
    account.roll_over("month")
    assert figures(account)["monthly_spend"] == 0
    assert figures(account)["billing_period"]["start"] == "2026-09-01"


@pytest.mark.parametrize("size", [7, 100])
async def test_limits_pages_cover_all(
    simulator: Simulator, session: aiohttp.ClientSession, size: int
) -> None:
    """The pages contain each row once; the page after the last one is empty."""
    simulator.account.answer = "limits"
    rows: list[str] = []
    for page in range(1, 480 // size + 3):
        query = {"page_no": str(page), "page_size": str(size)}
        _, body = await ask(session, simulator, params=query)
        output = json.loads(body)["output"]
        assert (output["page_no"], output["page_size"]) == (page, size)
        assert output["total"] == 480
        rows += [json.dumps(row) for row in output["quotas"]]
    assert output["quotas"] == []
    assert len(rows) == len(set(rows)) == 480
    status, body = await ask(session, simulator, params={"page_size": "101"})
    assert (status, json.loads(body)["code"]) == (400, "InvalidParameter")


@pytest.mark.parametrize("key", ["", "Bearer sk-other", "Basic sk-simulator"])
async def test_key_is_checked(
    simulator: Simulator, session: aiohttp.ClientSession, key: str
) -> None:
    """A request without a valid API key is rejected, even if `body` is set."""
    simulator.body = {}
    headers = {"Authorization": key}
    status, body = await ask(session, simulator, headers=headers)
    assert (status, json.loads(body)["code"]) == (401, "InvalidApiKey")
    assert await ask(session, simulator) == (HTTPStatus.OK, b"{}")


async def test_vendor_reads_the_bill(simulator: Simulator) -> None:
    """The vendor's SDK reads days and groups that add up to the total of the bill."""
    simulator.account.extra_models = 30
    body = await vendor_trend(simulator)

    assert (body.code, body.success) == ("200", True)
    totals = body.data.cost_totals
    assert totals.currency == "CNY"
    groups = body.data.group_by_total
    assert (len(groups), groups[-1].key) == (21, OTHERS_GROUP)
    days = body.data.result_by_time
    assert [row.period for row in days] == [f"202608{day:02}" for day in range(1, 16)]
    assert (
        sum(Decimal(group.amount) for group in groups)
        == sum(Decimal(row.total.amount) for row in days)
        == Decimal(totals.amount)
    )


async def test_vendor_reads_the_balance(simulator: Simulator) -> None:
    """The vendor's SDK reads the balance: the credits minus the bill."""
    body = await vendor_balance(simulator)
    assert (body.code, body.success) == ("200", True)
    assert body.data.to_map() == balance(simulator.account)
    spent = total(trend(simulator.account, QUERY))
    left = f"{450 * simulator.account.rate - spent:,.2f}"
    assert body.data.available_amount == left


@pytest.mark.parametrize(
    ("settings", "status", "code"),
    [
        ({"access_key_secret": "other"}, 400, "SignatureDoesNotMatch"),
        ({"access_key_id": "LTAI5tOther"}, 404, "InvalidAccessKeyId.NotFound"),
        ({"access_key_id": "LTAI5tOld"}, 400, "InvalidAccessKeyId.Inactive"),
    ],
)
@pytest.mark.parametrize("read", [vendor_trend, vendor_balance, vendor_plan])
async def test_vendor_is_refused(
    *,
    simulator: Simulator,
    read: Callable[..., Any],
    settings: dict[str, str],
    status: int,
    code: str,
) -> None:
    """A request without a valid AccessKey is rejected, even if a body is set."""
    simulator.access_keys["LTAI5tOld"] = DEFAULT_ACCESS_KEY_SECRET
    simulator.inactive_access_keys = {"LTAI5tOld"}
    simulator.trend_body = simulator.balance_body = {}
    with pytest.raises(AlibabaCloudException) as raised:
        await read(simulator, **settings)
    assert (raised.value.status_code, raised.value.code) == (status, code)


async def test_vendor_is_denied(simulator: Simulator) -> None:
    """A missing permission rejects one operation; others still succeed."""
    for grant, read, code, other in (
        ("GetBillingTrend", vendor_trend, "NoPermission", vendor_balance),
        ("QueryAccountBalance", vendor_balance, "NotAuthorized", vendor_trend),
        ("GetSubscriptionStats", vendor_plan, "NoPermission", vendor_balance),
    ):
        simulator.denied = {grant}
        with pytest.raises(AlibabaCloudException) as raised:
            await read(simulator)
        assert (raised.value.status_code, raised.value.code) == (403, code)
        assert (await other(simulator)).success


async def test_vendor_asks_the_wrong_site_or_too_often(simulator: Simulator) -> None:
    """The wrong site answers with HTTP 200; throttling includes the time to wait."""
    simulator.balance_applicable = False
    body = await vendor_balance(simulator)
    assert (body.code, body.success, body.data) == ("NotApplicable", False, None)

    simulator.fail(Fault.THROTTLED, retry_after=60, at="billing")
    with pytest.raises(ThrottlingException) as raised:
        await vendor_trend(simulator)
    assert (raised.value.code, raised.value.retry_after) == ("Throttling.User", 60)


@pytest.mark.parametrize(
    "name", ["action", "content-sha256", "date", "signature-nonce", "version"]
)
async def test_header_is_missing(
    simulator: Simulator, session: aiohttp.ClientSession, name: str
) -> None:
    """Each of the vendor's headers is required and must be signed."""
    headers = signed(simulator, QUERY, unsigned=f"x-acs-{name}")
    status, body = await ask(session, simulator, "billing", headers=headers)
    assert (status, json.loads(body)["Code"]) == (400, "SignatureDoesNotMatch")
    del headers[f"x-acs-{name}"]
    status, body = await ask(session, simulator, "billing", headers=headers)
    assert (status, json.loads(body)["Code"]) == (400, "IncompleteSignature")


async def test_signature_covers_all(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """A request that differs from its signature is rejected; other headers are free."""
    for query, headers in (
        (QUERY | {"granularity": "MONTH"}, signed(simulator, QUERY)),
        ([*QUERY.items(), ("topNum", "1")], signed(simulator, QUERY)),
        (QUERY, signed(simulator, QUERY, method="POST")),
        (QUERY, signed(simulator, QUERY, path="/")),
        (QUERY, signed(simulator, QUERY, unsigned="host")),
        (QUERY, signed(simulator, QUERY, secret="guess")),
        (QUERY, signed(simulator, QUERY) | {"x-acs-date": now_text(seconds=1)}),
        (QUERY, signed(simulator, QUERY) | {"x-acs-security-token": "more"}),
        (QUERY, signed(simulator, QUERY, body=b"more")),
    ):
        changes = {"params": query, "headers": headers}
        status, body = await ask(session, simulator, "billing", **changes)
        assert (status, json.loads(body)["Code"]) == (400, "SignatureDoesNotMatch")
    headers = signed(simulator, QUERY, x_acs_more="more") | {"Accept": "text/plain"}
    assert (await ask(session, simulator, "billing", headers=headers))[0] == 200


async def test_signature_is_good_once_and_now(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """A used nonce and a date 16 minutes off are rejected."""
    headers = signed(simulator, QUERY)
    late = signed(simulator, QUERY, x_acs_date=now_text(minutes=16))
    for sent, expected in (
        (headers, None),
        (headers, "SignatureNonceUsed"),
        (late, "InvalidTimeStamp.Expired"),
    ):
        _, body = await ask(session, simulator, "billing", headers=sent)
        assert json.loads(body).get("Code") == expected
    simulator.clock_offset = timedelta(minutes=16)
    assert (await ask(session, simulator, "billing", headers=late))[0] == 200


def test_bill_is_of_the_account() -> None:
    """The bill is the account's spend plus adjustments, from its first day to today."""
    account = Account(clock=lambda: NOON, currency="USD")
    before = trend(account, QUERY)
    assert total(before) == account.monthly_spend
    account.adjust(date(2026, 8, 3), "qwen-turbo", -2000)
    after = trend(account, QUERY)
    assert total(after) == account.monthly_spend - 2000
    assert after["resultByTime"][2]["total"]["amount"].startswith("-")
    assert after["resultByTime"][3]["total"] == before["resultByTime"][3]["total"]
    account.history_start = date(2026, 8, 10)
    days = trend(account, QUERY)["resultByTime"]
    assert [row["period"] for row in days] == [f"202608{n}" for n in range(10, 16)]


async def test_prometheus(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    """A subquery returns the use of each model in the account answer."""
    _, body = await ask(session, simulator, "prometheus")
    answer = json.loads(body)
    assert (answer["status"], answer["data"]["resultType"]) == ("success", "vector")
    found = {
        it["metric"]["model"]: int(it["value"][1]) for it in answer["data"]["result"]
    }
    rows = figures(simulator.account)["models"]
    assert found == {row["model"]: row["used"] for row in rows}
    simulator.denied = {"prometheus"}
    assert (await ask(session, simulator, "prometheus"))[0] == HTTPStatus.FORBIDDEN
    simulator.access_keys = {}
    assert (await ask(session, simulator, "prometheus"))[0] == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize(
    ("fault", "status", "start"),
    [
        (Fault.UNAUTHORIZED, 401, b'{"code": "InvalidApiKey"'),
        (Fault.FORBIDDEN, 403, b'{"code": "AccessDenied"'),
        (Fault.FREE_TIER_ONLY, 403, b'{"code": "AllocationQuota.FreeTierOnly"'),
        (Fault.THROTTLED, 429, b'{"code": "Throttling.RateQuota"'),
        (Fault.THROTTLING_CODE, 400, b'{"code": "Throttling.AllocationQuota"'),
        (Fault.BUDGET_EXHAUSTED, 429, b'{"code": "BudgetExceeded"'),
        (Fault.ARREARAGE, 400, b'{"code": "Arrearage"'),
        (Fault.NOT_ENABLED, 403, b'{"code": "AccessDenied.Unpurchased"'),
        (Fault.SERVER_ERROR, 500, b'{"code": "InternalError"'),
        (Fault.ERROR_CODE, 200, b'{"code": "SystemError"'),
        (Fault.ERROR_OBJECT, 200, b'{"error": {"code": "SystemError"'),
        (Fault.BAD_GATEWAY, 502, b"<html>"),
        (Fault.UNAVAILABLE, 503, b""),
        (Fault.HTML, 200, b"<!DOCTYPE html>"),
        (Fault.EMPTY, 200, b""),
        (Fault.NULL, 200, b"null"),
        (Fault.LIST, 200, b"[]"),
        (Fault.TRUNCATED, 200, b'{"code": "Success"'),
    ],
)
async def test_whole_answers(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    fault: Fault,
    status: int,
    start: bytes,
) -> None:
    """A fault has its status and body, and the header with the time to wait."""
    simulator.fail(fault, retry_after=60)
    async with session.get(
        f"{simulator.base_url}/quotas", allow_redirects=False
    ) as response:
        body = await response.read()
        assert response.status == status
        assert response.headers.get("Retry-After") == "60"
    assert body.startswith(start)
    if fault is Fault.TRUNCATED:
        with pytest.raises(ValueError):
            json.loads(body)


async def test_broken_connections(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """Faults reset, cut or hang a connection before or within the answer."""
    url = f"{simulator.base_url}/quotas"
    simulator.fail(Fault.RESET)
    with pytest.raises(aiohttp.ClientOSError):
        await touch(session, url)
    for fault in (Fault.CUT, Fault.HANG_BODY, Fault.TRICKLE):
        simulator.fail(fault)
        async with session.get(url) as response:
            assert await response.content.readany()
            if fault is not Fault.CUT:
                await simulator.stop()
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        await simulator.start()
    simulator.fail(Fault.HANG)
    number = len(simulator.requests)
    hanging = asyncio.ensure_future(touch(session, url))
    while len(simulator.requests) == number:  # noqa: ASYNC110 - no event for this
        await asyncio.sleep(0)
    assert not hanging.done()
    await simulator.stop()
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await hanging


async def test_redirect_and_huge_answer(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """Followed redirects are counted; a small answer decompresses to a huge one."""
    simulator.fail(Fault.REDIRECT)
    assert simulator.redirect_target_hits == 0
    assert (await ask(session, simulator, allow_redirects=True))[0] == HTTPStatus.OK
    assert simulator.redirect_target_hits == 1

    simulator.fail(Fault.HUGE)
    async with session.get(f"{simulator.base_url}/quotas") as response:
        assert int(response.headers["Content-Length"]) < HUGE_SIZE / 100
        length = 0
        async for part in response.content.iter_any():
            length += len(part)
    assert length == HUGE_SIZE


@pytest.mark.parametrize("service", SERVICES)
async def test_spoilt_answers(
    simulator: Simulator, session: aiohttp.ClientSession, service: Service
) -> None:
    """Faults make figures of wrong types or not finite, or remove all models."""
    answers = {}
    for fault in (None, Fault.WRONG_TYPES, Fault.NOT_FINITE, Fault.NO_MODELS):
        if fault:
            simulator.fail(fault, at=service)
        status, body = await ask(session, simulator, service)
        assert status == HTTPStatus.OK
        answer = json.loads(body)
        names = ("Data", "data", "output", "workspaces", "prometheusInstances")
        parts = map(answer.get, names)
        answers[fault] = leaves(next(filter(None, parts)))
    good = answers[None].items()
    assert not good & answers[Fault.WRONG_TYPES].items()
    text = " ".join(answers[Fault.NOT_FINITE].values()).lower()
    assert "nan" in text or "inf" in text
    assert "qwen" not in " ".join(answers[Fault.NO_MODELS].values())


def leaves(value: Any, path: str = "") -> dict[str, str]:
    """Return the scalar values of an answer by their path."""
    if not isinstance(value, (dict, list)):
        return {path: repr(value)}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {
        where: leaf
        for key, item in items
        for where, leaf in leaves(item, f"{path}.{key}").items()
    }


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("fault", Fault)
async def test_each_fault_at_each_service(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    service: Service,
    fault: Fault,
) -> None:
    """A fault affects one service and ends after `times` requests or `recover`."""
    seen = {"quotas": simulator.requests, "prices": simulator.price_requests}.get(
        service, simulator.signed_requests
    )
    simulator.fail(fault, times=1, at=service)
    asked = request(simulator, service)
    failed = asyncio.ensure_future(touch(session, asked["url"], asked["headers"]))
    while not seen:  # noqa: ASYNC110 - no event for this
        await asyncio.sleep(0)
    for each in SERVICES:
        assert (await ask(session, simulator, each))[0] == HTTPStatus.OK
    base_url = simulator.base_url
    await simulator.stop()
    await asyncio.gather(failed, return_exceptions=True)
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(session, simulator)
    await simulator.start()
    assert simulator.base_url == base_url
    simulator.fail(fault, at=service)
    simulator.recover()
    assert (await ask(session, simulator, service))[0] == HTTPStatus.OK


async def test_control(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    """The control API changes the simulator; an invalid request changes nothing."""
    wishes: dict[str, Any] = {
        "fault": "server_error",
        "options": {"status": 507},
        "roll_over": "day",
        "remove_models": ["qwen-max"],
    }
    async with session.post(simulator.control_url, json=wishes) as response:
        state = await response.json()
    assert state["faults"] == {
        "quotas": {"fault": "server_error", "options": {"status": 507}}
    }
    assert state["virtual_time"] == "2026-08-16T00:00:01+08:00"
    assert state["models"][0] == "qwen-plus"
    assert (await ask(session, simulator))[0] == HTTPStatus.INSUFFICIENT_STORAGE
    for bad in ({"fault": "rain"}, {"colour": "red"}, {"advance": -1}):
        wishes = {"roll_over": "month"} | bad
        async with session.post(simulator.control_url, json=wishes) as response:
            assert response.status == HTTPStatus.BAD_REQUEST
    async with session.get(simulator.control_url) as response:
        assert await response.json() == state | {"requests": 1}
