"""The stand-in service: what a client gets to see of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
import errno
from hashlib import sha256
from http import HTTPStatus
from itertools import pairwise
import json
from math import isfinite
from pathlib import Path
import signal
import socket
import sys
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import aiohttp
from alibabacloud_bssopenapi20171214.client import Client as BalanceClient  # type: ignore[import-untyped]
from alibabacloud_modelstudio20260210 import models as vendor  # type: ignore[import-untyped]
from alibabacloud_modelstudio20260210.client import Client as BillingClient  # type: ignore[import-untyped]
from alibabacloud_tea_openapi.exceptions import (  # type: ignore[import-untyped]
    AlibabaCloudException,
    ThrottlingException,
)
from alibabacloud_tea_openapi.utils import Utils  # type: ignore[import-untyped]
from alibabacloud_tea_openapi.utils_models import Config  # type: ignore[import-untyped]
from hypothesis import given, strategies as st
import pytest

from tests.simulator import (
    DEFAULT_ACCESS_KEY_ID,
    DEFAULT_ACCESS_KEY_SECRET,
    Account,
    Fault,
    Model,
    QueryError,
    Simulator,
)
from tests.simulator.__main__ import parse_arguments
from tests.simulator.account import ANSWERS, BILLING_ZONE, Answer
from tests.simulator.billing import (
    DIMENSIONS,
    NULL_GROUP,
    OTHERS_GROUP,
    balance,
    split,
    total_on,
    trend,
)
from tests.simulator.faults import HUGE_SIZE
from tests.simulator.server import GRANTS, SERVICES, Service
from tests.simulator.telemetry import instant

pytestmark = [
    pytest.mark.usefixtures("socket_enabled"),
    # Of the vendor's clients.
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]

KEY = {"Authorization": "Bearer sk-simulator"}
ACCESS_KEY = (DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET)
# A Saturday noon, billing time.
NOON = datetime(2026, 8, 15, 4, tzinfo=UTC)
TODAY = date(2026, 8, 15)
SIGNED: tuple[Service, ...] = ("billing", "balance", "prometheus")
TREND_PATH = "/modelstudio/billing/trend"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Serve an account whose clock stands still."""
    async with Simulator(account=Account(clock=lambda: NOON)) as simulator:
        yield simulator


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open a client, which sends a GET again by itself if the connection is lost."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def account() -> Account:
    """Return an account whose clock stands still."""
    return Account(clock=lambda: NOON)


async def get(
    session: aiohttp.ClientSession,
    simulator: Simulator,
    headers: dict[str, str] | None = None,
    **query: str,
) -> tuple[int, bytes]:
    """Return status and body of a request for the quotas."""
    async with session.get(
        f"{simulator.base_url}/quotas",
        headers=KEY if headers is None else headers,
        params=query,
        allow_redirects=False,
    ) as response:
        return response.status, await response.read()


async def touch(session: aiohttp.ClientSession, simulator: Simulator) -> None:
    """Request the quotas, and look at no body."""
    async with session.get(f"{simulator.base_url}/quotas"):
        pass


async def arrived(simulator: Simulator, number: int) -> None:
    """Wait until a number of requests have come."""
    while len(simulator.requests) < number:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0)


def figures(account: Account) -> dict[str, Any]:
    """Return the `data` of the account's answer."""
    data: dict[str, Any] = account.respond({}, "id")["data"]
    return data


def limits(account: Account, **query: str) -> dict[str, Any]:
    """Return the `output` of the account's answer."""
    output: dict[str, Any] = account.respond(query, "id")["output"]
    return output


async def test_account_answer(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """The account answer has all that the service reports."""
    status, body = await get(session, simulator)

    assert status == HTTPStatus.OK
    answer = json.loads(body)
    assert answer.keys() == {"code", "data", "request_id"}
    assert answer["code"] == "Success"
    assert answer["data"] == figures(simulator.account)
    assert answer["data"].keys() == {
        "rate_limit",
        "credits",
        "available",
        "spend_limit",
        "daily_spend",
        "monthly_spend",
        "tokens_used",
        "requests_used",
        "billing_period",
        "models",
    }
    assert answer["data"]["rate_limit"] == {"rpm": 1200, "tpm": 5_000_000}
    assert answer["data"]["billing_period"] == {
        "start": "2026-08-01",
        "end": "2026-08-31",
    }
    assert answer["data"]["models"][0].keys() == {
        "model",
        "used",
        "limit",
        "rpm",
        "tpm",
    }


async def test_request_ids_differ(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """No two answers have the same id."""
    answers = [json.loads((await get(session, simulator))[1]) for _ in range(3)]

    assert len({answer["request_id"] for answer in answers}) == 3


def test_same_moment_same_figures() -> None:
    """The figures follow from the time and the seed alone."""
    one = Account(clock=lambda: NOON)
    other = Account(clock=lambda: NOON - timedelta(days=9))
    other.advance(timedelta(days=9))

    assert figures(one) == figures(other)
    assert figures(one) != figures(Account(clock=lambda: NOON, seed=1))


def test_rises_within_a_day(account: Account) -> None:
    """From midnight on spend and usage rise, and what is left falls."""
    account.roll_over("day")
    seen = []
    for _ in range(95):
        seen.append(figures(account))
        account.advance(timedelta(minutes=15))

    for earlier, later in pairwise(seen):
        # A quarter of an hour at night may cost no cent.
        assert earlier["daily_spend"] <= later["daily_spend"]
        assert earlier["monthly_spend"] <= later["monthly_spend"]
        assert earlier["tokens_used"] < later["tokens_used"]
        assert earlier["requests_used"] < later["requests_used"]
        assert earlier["credits"] >= later["credits"] > later["available"] > 0
        for before, after in zip(earlier["models"], later["models"], strict=True):
            assert before["used"] < after["used"]
    assert 0 == seen[0]["daily_spend"] < seen[-1]["daily_spend"]


def test_usage_rises_between_two_polls(account: Account) -> None:
    """Even in the dead of night half a minute uses some tokens."""
    account.roll_over("day")
    account.advance(timedelta(hours=4))
    before = figures(account)
    account.advance(timedelta(seconds=30))

    assert figures(account)["tokens_used"] > before["tokens_used"]


def test_roll_over_day(account: Account) -> None:
    """A new day starts at nothing, and the month goes on."""
    before = figures(account)
    account.roll_over("day")
    after = figures(account)

    assert account.now.isoformat() == "2026-08-16T00:00:01+08:00"
    assert after["daily_spend"] == 0 < before["daily_spend"]
    assert after["monthly_spend"] > before["monthly_spend"]
    assert after["tokens_used"] > before["tokens_used"]


def test_roll_over_month(account: Account) -> None:
    """A new month starts at nothing, with the credits topped up."""
    account.roll_over("month")
    data = figures(account)

    assert account.now.isoformat() == "2026-09-01T00:00:01+08:00"
    assert data["billing_period"] == {"start": "2026-09-01", "end": "2026-09-30"}
    assert data["daily_spend"] == data["monthly_spend"] == 0
    assert data["credits"] == 450
    assert data["tokens_used"] < 100
    assert data["requests_used"] == 0


def test_roll_over_year() -> None:
    """December is followed by January."""
    account = Account(clock=lambda: datetime(2026, 12, 31, 15, 59, tzinfo=UTC))
    account.roll_over("month")

    assert account.today == date(2027, 1, 1)
    assert figures(account)["billing_period"]["end"] == "2027-01-31"


def test_month_is_sum_of_days(account: Account) -> None:
    """To the cent, on each day of the month."""
    account.roll_over("month")
    days: list[Decimal] = []
    for _ in range(30):
        account.advance(timedelta(hours=23, minutes=59))
        assert account.monthly_spend == sum(days) + account.daily_spend
        account.roll_over("day")
        days.append(account.spend_on(account.today - timedelta(days=1)))

    assert account.today == date(2026, 10, 1)


@pytest.mark.parametrize("month", range(1, 13))
def test_a_month_is_plausible(month: int) -> None:
    """By the end 200 to 350 USD are spent, and one model is near its limit."""
    first = datetime(2026, month, 1, tzinfo=UTC)
    account = Account(clock=lambda: first)
    account.roll_over("month")
    account.advance(timedelta(seconds=-2))
    data = figures(account)

    assert data["billing_period"]["start"] == first.date().isoformat()
    assert 200 < data["monthly_spend"] < 350
    assert data["available"] > 0
    used = sorted(row["used"] / row["limit"] for row in data["models"])
    assert used[-2] < 0.75 < used[-1] < 1


def test_correction_stays_with_its_day(account: Account) -> None:
    """A revised bill changes its day and the month, no usage and no later day."""
    before = figures(account)
    account.correction = -0.07
    after = figures(account)

    assert account.correction == Decimal("-0.07")
    for key in ("daily_spend", "monthly_spend"):
        assert after[key] == pytest.approx(before[key] - 0.07)
    assert after["credits"] == pytest.approx(before["credits"] + 0.07)
    assert after["tokens_used"] == before["tokens_used"]

    revised = account.today
    account.roll_over("day")
    assert account.correction == 0
    assert account.daily_spend == 0
    assert account.monthly_spend == sum(
        account.spend_on(date(2026, 8, number))
        for number in range(1, account.today.day + 1)
    )
    assert account.spend_on(revised) != Account(clock=lambda: NOON).spend_on(revised)


def test_nothing_is_negative(account: Account) -> None:
    """Neither a revised bill nor credits that ran out make a figure negative."""
    account.credits = 1
    account.correction = -1000
    data = figures(account)

    assert data["daily_spend"] == 0
    assert data["credits"] == data["available"] == 0


def test_models_come_and_go(account: Account) -> None:
    """A model that comes or goes changes no other."""
    others = figures(account)["models"]
    account.add_model("qwen-new", limit=10, rpm=1, tpm=2, weight=0.1)
    assert figures(account)["models"][:-1] == others
    assert figures(account)["models"][-1]["model"] == "qwen-new"
    with pytest.raises(ValueError, match="already has the model qwen-new"):
        account.add_model("qwen-new")

    account.remove_model("qwen-new")
    assert figures(account)["models"] == others
    with pytest.raises(ValueError, match="no model qwen-new"):
        account.remove_model("qwen-new")


def test_models_as_map(account: Account) -> None:
    """The map holds what the list holds."""
    rows = figures(account)["models"]
    account.models_as = "map"

    assert figures(account)["models"] == {
        row["model"]: {key: row[key] for key in ("used", "limit", "rpm", "tpm")}
        for row in rows
    }


@pytest.mark.parametrize("size", [1, 7, 20, 100])
async def test_limits_pages_cover_all(
    simulator: Simulator, session: aiohttp.ClientSession, size: int
) -> None:
    """The pages hold each row once, and the one after the last holds none."""
    simulator.account.answer = "limits"
    simulator.account.catalogue_rows = 44
    rows = []
    page = 1
    while True:
        status, body = await get(
            session, simulator, page_no=str(page), page_size=str(size)
        )
        assert status == HTTPStatus.OK
        output = json.loads(body)["output"]
        assert (output["page_no"], output["page_size"]) == (page, size)
        assert output["total"] == 50
        if not output["quotas"]:
            break
        rows += [json.dumps(row) for row in output["quotas"]]
        page += 1

    assert page == -(-50 // size) + 1
    assert len(rows) == len(set(rows)) == 50


def test_limits_by_default(account: Account) -> None:
    """Some 480 rows, twenty a page, in all the varieties there are."""
    account.answer = "limits"
    output = limits(account)
    assert output["total"] == 480
    assert (output["page_no"], output["page_size"]) == (1, 20)
    assert len(output["quotas"]) == 20

    rows = [
        row
        for page in range(1, 6)
        for row in limits(account, page_no=str(page), page_size="100")["quotas"]
    ]
    assert len(rows) == 480
    periods: dict[str, list[int]] = {}
    for row in rows:
        assert row.keys() == {
            "model",
            "workspace_id",
            "model_limit",
            "workspace_limit",
        }
        limit = row["model_limit"]
        periods.setdefault(row["model"], []).append(limit["request_limit_period"])
    assert {tuple(found) for found in periods.values()} == {(60,), (1,), (60, 1)}
    assert any(row["workspace_limit"] for row in rows)
    assert any(row["model_limit"]["usage_limit"] is None for row in rows)
    assert any(row["model_limit"]["async_user_queue_limit"] for row in rows)


def test_limits_filter(account: Account) -> None:
    """`model` is the name, `name` a part of it."""
    account.answer = "limits"

    assert {row["model"] for row in limits(account, model="qwen-max")["quotas"]} == {
        "qwen-max"
    }
    found = limits(account, name="EMBEDDING", page_size="100")
    assert 1 < found["total"] == len(found["quotas"]) < 100
    assert all("embedding" in row["model"] for row in found["quotas"])
    assert limits(account, model="qwen")["total"] == 0


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            {"page_size": "101"},
            "Pagination parameter page_size exceeds the length limit",
        ),
        ({"page_size": "0"}, "Pagination parameter page_size is invalid"),
        ({"page_no": "0"}, "Pagination parameter page_no is invalid"),
        ({"page_no": "-1"}, "Pagination parameter page_no is invalid"),
        ({"page_no": "first"}, "Pagination parameter page_no is invalid"),
    ],
)
async def test_limits_refuse(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    query: dict[str, str],
    message: str,
) -> None:
    """A page that cannot be is refused, in the vendor's form."""
    simulator.account.answer = "limits"
    with pytest.raises(QueryError, match=message):
        simulator.account.respond(query, "id")

    status, body = await get(session, simulator, None, **query)
    assert status == HTTPStatus.BAD_REQUEST
    answer = json.loads(body)
    assert (answer["code"], answer["message"]) == ("InvalidParameter", message)


def test_limits_models_come_and_go(account: Account) -> None:
    """The limits answer knows the account's models and loses what is removed."""
    account.answer = "limits"
    account.add_model("qwen-new", rpm=7, tpm=9)
    (row,) = limits(account, model="qwen-new")["quotas"]
    assert row["model_limit"]["request_limit"] == 7
    assert row["model_limit"]["usage_limit"] == 9
    assert limits(account)["total"] == 481

    assert limits(account, model="qwen-flash")["total"] > 0
    account.remove_model("qwen-flash")
    assert limits(account, model="qwen-flash")["total"] == 0
    account.add_model("qwen-flash")
    assert limits(account, model="qwen-flash")["total"] == 1


def test_own_models() -> None:
    """An account may have any models, also one the catalogue has."""
    account = Account(
        clock=lambda: NOON, models=[Model(name="deepseek-v3")], answer="limits"
    )

    assert account.model_names == ["deepseek-v3"]
    assert limits(account, model="deepseek-v3")["total"] == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer sk-other"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic sk-simulator"},
    ],
)
async def test_key_is_checked(
    simulator: Simulator, session: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    """Without a good key there is no answer, whatever the answer would be."""
    simulator.body = {}
    status, body = await get(session, simulator, headers)

    assert status == HTTPStatus.UNAUTHORIZED
    assert json.loads(body).keys() == {"code", "message", "request_id"}
    assert json.loads(body)["code"] == "InvalidApiKey"


async def test_keys_change(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """A key can be revoked and another given out while it runs."""
    simulator.api_keys.remove("sk-simulator")
    assert (await get(session, simulator))[0] == HTTPStatus.UNAUTHORIZED

    simulator.api_keys.add("sk-new")
    headers = {"Authorization": "Bearer sk-new"}
    assert (await get(session, simulator, headers))[0] == HTTPStatus.OK


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        ({"code": ""}, b'{"code": ""}'),
        ([], b"[]"),
        ({}, b"{}"),
        ("plain é", "plain é".encode()),
        ("", b""),
        (b"\xff", b"\xff"),
    ],
)
async def test_body(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    body: object,
    answered: bytes,
) -> None:
    """A body of the test's own is answered as it is."""
    simulator.body = body
    assert await get(session, simulator) == (HTTPStatus.OK, answered)

    simulator.body = None
    _, account = await get(session, simulator)
    assert json.loads(account)["code"] == "Success"


async def test_requests_are_kept(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """What came to the quotas, however it was answered, and nothing else."""
    await get(session, simulator, page_no="2")
    simulator.fail(Fault.UNAVAILABLE, times=1)
    await get(session, simulator)
    async with session.post(f"{simulator.base_url}/quotas", headers=KEY) as response:
        assert response.status == HTTPStatus.METHOD_NOT_ALLOWED
    async with session.get(f"{simulator.base_url}/models", headers=KEY) as response:
        assert response.status == HTTPStatus.NOT_FOUND

    assert [request.method for request in simulator.requests] == ["GET", "GET", "POST"]
    request = simulator.requests[0]
    assert request.path == "/api/v1/quotas"
    assert request.query == {"page_no": "2"}
    assert request.headers["authorization"] == "Bearer sk-simulator"
    simulator.requests.clear()
    assert not simulator.requests


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.UNAUTHORIZED, 401, "InvalidApiKey"),
        (Fault.FORBIDDEN, 403, "AccessDenied"),
        (Fault.FREE_TIER_ONLY, 403, "AllocationQuota.FreeTierOnly"),
        (Fault.THROTTLED, 429, "Throttling.RateQuota"),
        (Fault.THROTTLING_CODE, 400, "Throttling.AllocationQuota"),
        (Fault.ARREARAGE, 400, "Arrearage"),
        (Fault.BAD_REQUEST, 400, "InvalidParameter"),
        (Fault.NOT_FOUND, 404, "NotFound"),
        (Fault.REQUEST_TIMEOUT, 408, "RequestTimeOut"),
        (Fault.SERVER_ERROR, 500, "InternalError"),
        (Fault.ERROR_CODE, 200, "SystemError"),
    ],
)
async def test_errors(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    fault: Fault,
    status: int,
    code: str,
) -> None:
    """An error has the vendor's form, and the code and message that are asked for."""
    simulator.fail(fault)
    found, body = await get(session, simulator)
    answer = json.loads(body)
    assert (found, answer["code"]) == (status, code)
    assert answer["message"]
    assert answer["request_id"]

    simulator.fail(fault, status=418, code="Teapot", message="Short and stout.")
    found, body = await get(session, simulator)
    answer = json.loads(body)
    assert found == HTTPStatus.IM_A_TEAPOT
    assert (answer["code"], answer["message"]) == ("Teapot", "Short and stout.")


async def test_error_object(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """An error may stand in an object of its own."""
    simulator.fail(Fault.ERROR_OBJECT, message="No.")

    assert await get(session, simulator) == (
        HTTPStatus.OK,
        b'{"error": {"code": "SystemError", "message": "No."}}',
    )


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [
        (None, None),
        (60, "60"),
        (0, "0"),
        ("Sat, 15 Aug 2026 05:00:00 GMT", "Sat, 15 Aug 2026 05:00:00 GMT"),
    ],
)
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.UNAVAILABLE])
async def test_retry_after(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    fault: Fault,
    retry_after: int | str | None,
    header: str | None,
) -> None:
    """A failure may say how long to wait, in either form."""
    simulator.fail(fault, retry_after=retry_after)
    async with session.get(f"{simulator.base_url}/quotas") as response:
        assert response.headers.get("Retry-After") == header


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "start"),
    [
        (Fault.BAD_GATEWAY, 502, "text/html", b"<html>"),
        (Fault.UNAVAILABLE, 503, "text/plain", b""),
        (Fault.HTML, 200, "text/html", b"<!DOCTYPE html>"),
        (Fault.EMPTY, 200, "application/json", b""),
        (Fault.NULL, 200, "application/json", b"null"),
        (Fault.LIST, 200, "application/json", b"[]"),
    ],
)
async def test_meaningless_bodies(
    *,
    simulator: Simulator,
    session: aiohttp.ClientSession,
    fault: Fault,
    status: int,
    content_type: str,
    start: bytes,
) -> None:
    """What comes is not from the service, or is nothing."""
    simulator.fail(fault)
    async with session.get(f"{simulator.base_url}/quotas") as response:
        assert response.status == status
        assert response.content_type == content_type
        body = await response.read()
    assert body.startswith(start)
    assert bool(body) is bool(start)


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.TRUNCATED])
async def test_not_json(
    simulator: Simulator, session: aiohttp.ClientSession, fault: Fault
) -> None:
    """What comes is complete by its length, and is not JSON."""
    simulator.fail(fault)
    status, body = await get(session, simulator)

    assert status == HTTPStatus.OK
    assert len(body) > 100
    with pytest.raises(ValueError):
        json.loads(body)


async def test_cut(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    """The connection is closed before the promised length has come."""
    simulator.fail(Fault.CUT)
    async with session.get(f"{simulator.base_url}/quotas") as response:
        assert response.status == HTTPStatus.OK
        assert await response.content.readany()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_reset(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    """The connection is reset, not closed, before anything has come."""
    simulator.fail(Fault.RESET)
    with pytest.raises(aiohttp.ClientOSError) as raised:
        await session.post(f"{simulator.base_url}/quotas")

    assert raised.value.errno == errno.ECONNRESET
    assert len(simulator.requests) == 1


async def test_hang(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    """Nothing comes, until the plug is pulled."""
    simulator.fail(Fault.HANG)
    request = asyncio.ensure_future(session.post(f"{simulator.base_url}/quotas"))
    await arrived(simulator, 1)

    assert not request.done()
    await simulator.stop()
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await request


async def test_hang_body(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    """Half of an answer comes, and no more until the plug is pulled."""
    simulator.fail(Fault.HANG_BODY)
    async with session.get(f"{simulator.base_url}/quotas") as response:
        part = await response.content.readany()
        assert part.startswith(b'{"code": "Success"')
        assert response.content_length is not None
        assert len(part) == response.content_length // 2
        await simulator.stop()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_trickle(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An answer comes a byte at a time and is never over."""
    monkeypatch.setattr("tests.simulator.faults.TRICKLE_PAUSE", 0)
    simulator.fail(Fault.TRICKLE)
    async with session.get(f"{simulator.base_url}/quotas") as response:
        assert await response.content.readexactly(8) == b'{"code":'
        text = await response.content.readuntil(b"}  ")
        assert text.endswith(b"}  ")
        assert not response.content.at_eof()
        await simulator.stop()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_redirect(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    """A redirect leads to another port, which knows who followed it."""
    simulator.fail(Fault.REDIRECT)
    assert (await get(session, simulator))[0] == HTTPStatus.FOUND
    assert simulator.redirect_target_hits == 0

    async with session.get(f"{simulator.base_url}/quotas", headers=KEY) as response:
        assert response.status == HTTPStatus.OK
        assert str(response.url) != f"{simulator.base_url}/quotas"
        assert (await response.json())["code"] == "Success"
    assert simulator.redirect_target_hits == 1


async def test_redirect_elsewhere(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """A redirect may lead anywhere."""
    simulator.fail(Fault.REDIRECT, location="https://example.com/", status=308)
    async with session.get(
        f"{simulator.base_url}/quotas", allow_redirects=False
    ) as response:
        assert response.status == HTTPStatus.PERMANENT_REDIRECT
        assert response.headers["Location"] == "https://example.com/"


async def test_huge(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    """A small answer unpacks to a great one."""
    simulator.fail(Fault.HUGE)
    async with session.get(f"{simulator.base_url}/quotas") as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert int(response.headers["Content-Length"]) < HUGE_SIZE / 100
        length = 0
        async for part in response.content.iter_any():
            length += len(part)
    assert length == HUGE_SIZE


@pytest.mark.parametrize("answer", ANSWERS)
async def test_wrong_types(
    simulator: Simulator, session: aiohttp.ClientSession, answer: Answer
) -> None:
    """Of the fields of a good answer none has the type it had."""
    simulator.account.answer = answer
    _, good = await get(session, simulator)
    simulator.fail(Fault.WRONG_TYPES)
    status, wrong = await get(session, simulator)

    assert status == HTTPStatus.OK
    key = "data" if answer == "account" else "output"
    healthy, spoilt = json.loads(good)[key], json.loads(wrong)[key]
    assert healthy.keys() == spoilt.keys()
    rows = "models" if answer == "account" else "quotas"
    for name, value in healthy.items():
        if name != rows:
            assert type(value) is not type(spoilt[name])
    assert not any(
        isinstance(row, dict) and isinstance(row["model"], str) for row in spoilt[rows]
    )


@pytest.mark.parametrize("answer", ANSWERS)
async def test_not_finite(
    simulator: Simulator, session: aiohttp.ClientSession, answer: Answer
) -> None:
    """NaN and Infinity stand where numbers were."""
    simulator.account.answer = answer
    simulator.fail(Fault.NOT_FINITE)
    status, body = await get(session, simulator)

    assert status == HTTPStatus.OK
    assert b"NaN" in body
    assert b"-Infinity" in body
    key, number = ("data", "credits") if answer == "account" else ("output", "total")
    assert not isfinite(json.loads(body)[key][number])


async def test_no_models(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    """A good answer may list no models, in all shapes."""
    simulator.fail(Fault.NO_MODELS)
    _, body = await get(session, simulator)
    assert json.loads(body)["data"] == figures(simulator.account) | {"models": []}

    simulator.account.models_as = "map"
    _, body = await get(session, simulator)
    assert json.loads(body)["data"]["models"] == {}

    simulator.account.answer = "limits"
    _, body = await get(session, simulator)
    assert json.loads(body)["output"]["quotas"] == []
    assert json.loads(body)["output"]["total"] == 0

    simulator.recover()
    _, body = await get(session, simulator)
    assert json.loads(body)["output"]["total"] == 480


@pytest.mark.parametrize("fault", Fault)
async def test_times_and_recovery(
    simulator: Simulator, session: aiohttp.ClientSession, fault: Fault
) -> None:
    """Each fault may last a number of requests, and leaves no trace."""
    simulator.fail(fault, times=2)
    hanging = []
    for number in (1, 2):
        hanging.append(asyncio.create_task(touch(session, simulator)))
        await arrived(simulator, number)

    assert (await get(session, simulator))[0] == HTTPStatus.OK
    await simulator.stop()
    await asyncio.gather(*hanging, return_exceptions=True)
    await simulator.start()

    simulator.fail(fault)
    simulator.recover()
    assert (await get(session, simulator))[0] == HTTPStatus.OK


@pytest.mark.parametrize("option", [{"status": 99}, {"status": 600}, {"times": 0}])
def test_options_out_of_range(option: dict[str, int]) -> None:
    """What cannot be answered is refused at once."""
    with pytest.raises(ValueError, match=next(iter(option))):
        Simulator().fail(Fault.SERVER_ERROR, **option)  # type: ignore[arg-type]


async def test_stop_and_start(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """The port is gone and comes back the same, with all state."""
    await get(session, simulator)
    base_url = simulator.base_url
    for _ in range(2):
        await simulator.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(session, simulator)

    for _ in range(2):
        await simulator.start()
    assert simulator.base_url == base_url
    assert (await get(session, simulator))[0] == HTTPStatus.OK
    assert len(simulator.requests) == 2


async def test_stop_drops_idle_connections(simulator: Simulator) -> None:
    """A client that keeps its connection open is dropped as well."""
    async with aiohttp.ClientSession() as session:
        await get(session, simulator)
        await simulator.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await get(session, simulator)
        await simulator.start()
        assert (await get(session, simulator))[0] == HTTPStatus.OK


async def test_stop_at_any_moment(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Connections on their way are dropped without a trace."""
    for steps in range(20):
        requests = [asyncio.create_task(touch(session, simulator)) for _ in range(5)]
        for _ in range(steps):
            await asyncio.sleep(0)
        await simulator.stop()
        await asyncio.gather(*requests, return_exceptions=True)
        await simulator.start()

    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_fixed_port(session: aiohttp.ClientSession) -> None:
    """A port can be asked for; one that is taken is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await Simulator(port=port).start()

    async with Simulator(port=port) as simulator:
        assert simulator.base_url == f"http://127.0.0.1:{port}/api/v1"
        assert (await get(session, simulator))[0] == HTTPStatus.OK


def client[T](kind: Callable[[Any], T], simulator: Simulator, **settings: str) -> T:
    """Return one of the vendor's own clients."""
    defaults = {
        "access_key_id": DEFAULT_ACCESS_KEY_ID,
        "access_key_secret": DEFAULT_ACCESS_KEY_SECRET,
        "protocol": "http",
        "endpoint": simulator.openapi_url.removeprefix("http://"),
    }
    return kind(Config(**(defaults | settings)))


def trend_request(**settings: Any) -> vendor.GetBillingTrendRequest:
    """Return a request for the bill of the month, as the vendor's client takes it."""
    return vendor.GetBillingTrendRequest(
        granularity="DAY",
        group_by=[vendor.GetBillingTrendRequestGroupBy(code="BASE_MODEL")],
        time_period=vendor.GetBillingTrendRequestTimePeriod(
            start="2026-08-01", end="2026-08-31"
        ),
        **settings,
    )


async def vendor_trend(
    simulator: Simulator,
    request: vendor.GetBillingTrendRequest | None = None,
    **settings: str,
) -> Any:
    """Return the bill that the vendor's client reads."""
    response = await client(
        BillingClient, simulator, **settings
    ).get_billing_trend_async(request or trend_request())
    assert response.status_code == HTTPStatus.OK
    return response.body


async def vendor_balance(simulator: Simulator, **settings: str) -> Any:
    """Return the balance that the vendor's client reads."""
    response = await client(
        BalanceClient, simulator, **settings
    ).query_account_balance_async()
    assert response.status_code == HTTPStatus.OK
    return response.body


def asked(**query: str) -> dict[str, str]:
    """Return the query for the bill of the month by model, changed at will."""
    return {
        "granularity": "DAY",
        "groupBy": '[{"code":"BASE_MODEL"}]',
        "timePeriod": '{"start":"2026-08-01","end":"2026-08-31"}',
    } | query


def between(start: str, end: str) -> str:
    """Return a range of days as the query has it."""
    return json.dumps({"start": start, "end": end})


def only(code: str, select: str, *values: str) -> str:
    """Return a filter of one dimension as the query has it."""
    dimension = {"code": code, "values": values, "selectType": select}
    return json.dumps({"dimensions": [dimension]})


def amounts(rows: list[dict[str, str]]) -> dict[str, Decimal]:
    """Return the amounts of groups, by key."""
    return {row["key"]: Decimal(row["amount"]) for row in rows}


def added_up(rows: list[dict[str, str]]) -> Decimal:
    """Return what groups come to."""
    return sum(amounts(rows).values(), Decimal(0))


def billed(account: Account, **query: str) -> dict[str, Decimal]:
    """Return what is billed in the month, by group, changed at will."""
    return amounts(trend(account, asked(**query))["groupByTotal"])


def signed(
    simulator: Simulator,
    query: Mapping[str, str],
    *,
    method: str = "GET",
    path: str = TREND_PATH,
    action: str = "GetBillingTrend",
    version: str = "2026-02-10",
    body: bytes = b"",
    access_key: tuple[str, str] = ACCESS_KEY,
    unsigned: str = "",
    **changed: str,
) -> dict[str, str]:
    """Return the headers of a signed request, with the vendor's code.

    unsigned: a header that the signature leaves out; changed: further headers, or ones
    that are otherwise, with _ for -.
    """
    headers = {
        "host": simulator.openapi_url.removeprefix("http://"),
        "x-acs-action": action,
        "x-acs-content-sha256": sha256(body).hexdigest(),
        "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": uuid4().hex,
        "x-acs-version": version,
    } | {name.replace("_", "-"): text for name, text in changed.items()}
    request = SimpleNamespace(
        method=method,
        pathname=path,
        query=query,
        headers={name: text for name, text in headers.items() if name != unsigned},
    )
    digest = headers["x-acs-content-sha256"]
    authorization = Utils.get_authorization(
        request, "ACS3-HMAC-SHA256", digest, *access_key
    )
    return headers | {"Authorization": authorization}


async def call(
    session: aiohttp.ClientSession,
    simulator: Simulator,
    headers: Mapping[str, str],
    query: Any = None,
    *,
    method: str = "GET",
    path: str = TREND_PATH,
    body: bytes | None = None,
) -> tuple[int, dict[str, Any]]:
    """Return status and answer of a request for what must be signed."""
    async with session.request(
        method,
        f"{simulator.openapi_url}{path}",
        params=asked() if query is None else query,
        headers=headers,
        data=body,
        allow_redirects=False,
    ) as response:
        return response.status, await response.json()


async def metrics(
    session: aiohttp.ClientSession,
    simulator: Simulator,
    access_key: tuple[str, str] | None = ACCESS_KEY,
    **query: Any,
) -> tuple[int, str]:
    """Return status and body of a request for Prometheus."""
    headers = (
        {"Authorization": aiohttp.encode_basic_auth(*access_key)} if access_key else {}
    )
    async with session.get(
        f"{simulator.prometheus_url}/api/v1/query",
        params=query,
        headers=headers,
        allow_redirects=False,
    ) as response:
        return response.status, await response.text()


async def ask(
    session: aiohttp.ClientSession, simulator: Simulator, service: Service
) -> tuple[int, Mapping[str, str], bytes]:
    """Return status, headers and body of a good request for a service."""
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    method, url = "GET", f"{simulator.openapi_url}{TREND_PATH}"
    match service:
        case "quotas":
            url, headers = f"{simulator.base_url}/quotas", KEY
        case "billing":
            query = asked()
            headers = signed(simulator, query)
        case "balance":
            method, url = "POST", f"{simulator.openapi_url}/"
            headers = signed(
                simulator,
                {},
                method="POST",
                path="/",
                action="QueryAccountBalance",
                version="2017-12-14",
            )
        case "prometheus":
            url, query = (
                f"{simulator.prometheus_url}/api/v1/query",
                {"query": "model_usage"},
            )
            headers = {"Authorization": aiohttp.encode_basic_auth(*ACCESS_KEY)}
    async with session.request(
        method, url, params=query, headers=headers, allow_redirects=False
    ) as response:
        return response.status, response.headers, await response.read()


async def test_vendor_reads_the_bill(simulator: Simulator) -> None:
    """The vendor's client gets all of it, to the cent."""
    simulator.account.extra_models = 30
    body = await vendor_trend(simulator)

    assert (body.code, body.success) == ("200", True)
    assert body.request_id
    total = Decimal(body.data.cost_totals.amount)
    assert total > 0
    assert body.data.cost_totals.currency == "CNY"
    keys = [group.key for group in body.data.group_by_total]
    assert len(keys) == 21
    assert keys[:2] == ["qwen-max", "qwen-plus"]
    assert keys[-1] == OTHERS_GROUP
    assert {group.name for group in body.data.group_by_total} > {"qwen-max", "Others"}
    assert sum(Decimal(group.amount) for group in body.data.group_by_total) == total
    assert [row.period for row in body.data.result_by_time] == [
        f"202608{day:02}" for day in range(1, 16)
    ]
    assert sum(Decimal(row.total.amount) for row in body.data.result_by_time) == total
    for row in body.data.result_by_time:
        assert row.total.currency == "CNY"
        assert sum(Decimal(it.amount) for it in row.period_details) == Decimal(
            row.total.amount
        )
        assert sum(
            Decimal(it.percentage) for it in row.period_details
        ) == pytest.approx(1, abs=Decimal("0.003"))
        for it in (row.total, *row.period_details):
            assert (it.pretax_amount, it.tax_amount) == (it.amount, "0.00")
    (request,) = simulator.signed_requests
    assert (request.method, request.path) == ("GET", TREND_PATH)
    assert request.query.keys() == asked().keys()
    for name in ("groupBy", "timePeriod"):
        assert json.loads(request.query[name]) == json.loads(asked()[name])
        assert " " not in request.query[name]
    assert request.headers["x-acs-action"] == "GetBillingTrend"
    assert simulator.requests == []


async def test_vendor_asks_for_a_part(simulator: Simulator) -> None:
    """All that the vendor's client can send is understood."""
    dimension = vendor.GetBillingTrendRequestFilterDimensions(
        code="BASE_MODEL", select_type="NOT", values=["qwen-max", NULL_GROUP]
    )
    request = trend_request(
        filter=vendor.GetBillingTrendRequestFilter(dimensions=[dimension]),
        locale="en-US",
        region_id="cn-beijing",
        top_num=2,
        zero_filter=False,
    )
    request.granularity = "MONTH"
    request.time_period.start = "2026-07-01"
    body = await vendor_trend(simulator, request)

    assert [row.period for row in body.data.result_by_time] == ["202607", "202608"]
    assert [group.key for group in body.data.group_by_total] == [
        "qwen-plus",
        "qwen3-coder-plus",
        OTHERS_GROUP,
    ]


async def test_vendor_reads_the_balance(simulator: Simulator) -> None:
    """The vendor's client gets all of it, with thousands separated."""
    body = await vendor_balance(simulator)

    assert (body.code, body.success) == ("200", True)
    assert body.request_id
    spent = billed(simulator.account)
    assert body.data.to_map() == balance(simulator.account)
    assert body.data.currency == "CNY"
    assert body.data.available_amount == body.data.available_cash_amount
    assert body.data.available_amount[1] == ","
    assert Decimal(body.data.available_amount.replace(",", "")) == 450 * Decimal(
        "7.2"
    ) - sum(spent.values())
    (request,) = simulator.signed_requests
    assert (request.method, request.path, request.query) == ("POST", "/", {})


@pytest.mark.parametrize(
    ("settings", "status", "code"),
    [
        ({"access_key_secret": "other"}, 400, "SignatureDoesNotMatch"),
        ({"access_key_id": "LTAI5tOther"}, 404, "InvalidAccessKeyId.NotFound"),
        ({"access_key_id": "LTAI5tOld"}, 400, "InvalidAccessKeyId.Inactive"),
    ],
)
@pytest.mark.parametrize("read", [vendor_trend, vendor_balance])
async def test_vendor_is_refused(
    *,
    simulator: Simulator,
    read: Callable[..., Any],
    settings: dict[str, str],
    status: int,
    code: str,
) -> None:
    """Without a good AccessKey there is no answer, whatever the answer would be."""
    simulator.access_keys["LTAI5tOld"] = DEFAULT_ACCESS_KEY_SECRET
    simulator.inactive_access_keys = {"LTAI5tOld"}
    simulator.trend_body = simulator.balance_body = {}
    with pytest.raises(AlibabaCloudException) as raised:
        await read(simulator, **settings)

    assert (raised.value.status_code, raised.value.code) == (status, code)
    assert raised.value.request_id


async def test_vendor_is_denied_the_bill(simulator: Simulator) -> None:
    """A permission that is missing is named, and is that of one operation."""
    simulator.denied = {"GetBillingTrend"}
    with pytest.raises(AlibabaCloudException) as raised:
        await vendor_trend(simulator)

    assert (raised.value.status_code, raised.value.code) == (403, "NoPermission")
    detail = raised.value.access_denied_detail
    assert detail["AuthAction"] == "modelstudio:GetBillingTrend"
    assert (await vendor_balance(simulator)).success


async def test_vendor_is_denied_the_balance(simulator: Simulator) -> None:
    """The other style has a code of its own, and no details."""
    simulator.denied = {"QueryAccountBalance"}
    with pytest.raises(AlibabaCloudException) as raised:
        await vendor_balance(simulator)

    assert (raised.value.status_code, raised.value.code) == (403, "NotAuthorized")
    assert raised.value.access_denied_detail is None
    assert raised.value.data.keys() == {
        "Code",
        "Message",
        "RequestId",
        "Success",
        "statusCode",
    }
    assert raised.value.data["Success"] is False
    assert (await vendor_trend(simulator)).success


async def test_vendor_asks_the_wrong_site(simulator: Simulator) -> None:
    """The account is of one site; the other one says so, as if it were a success."""
    simulator.balance_applicable = False
    body = await vendor_balance(simulator)

    assert (body.code, body.success, body.data) == ("NotApplicable", False, None)
    async with Simulator(account=simulator.account) as other:
        assert (await vendor_balance(other)).data.currency == "CNY"


async def test_vendor_is_throttled(simulator: Simulator) -> None:
    """The vendor's client reads how long to wait."""
    simulator.fail(Fault.THROTTLED, retry_after=60, at="billing")
    with pytest.raises(ThrottlingException) as raised:
        await vendor_trend(simulator)

    assert (raised.value.status_code, raised.value.code) == (429, "Throttling.User")
    assert raised.value.retry_after == 60


async def test_access_keys_change(simulator: Simulator) -> None:
    """An AccessKey can be revoked and another given out while it runs."""
    simulator.access_keys = {"LTAI5tNew": "new"}
    with pytest.raises(AlibabaCloudException, match="NotFound"):
        await vendor_balance(simulator)

    new = {"access_key_id": "LTAI5tNew", "access_key_secret": "new"}
    assert (await vendor_balance(simulator, **new)).success


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer sk-simulator",
        "ACS3-HMAC-SHA256",
        "ACS3-HMAC-SHA256 Credential=LTAI5tSimulator,Signature=00",
        "ACS3-HMAC-SM3 Credential=LTAI5tSimulator,SignedHeaders=host,Signature=00",
    ],
)
async def test_signature_is_incomplete(
    simulator: Simulator, session: aiohttp.ClientSession, authorization: str
) -> None:
    """What is no signature is told from one that is wrong."""
    headers = signed(simulator, asked()) | {"Authorization": authorization}
    status, answer = await call(session, simulator, headers)

    assert (status, answer["Code"]) == (400, "IncompleteSignature")
    assert answer.keys() == {"RequestId", "Code", "Message"}


@pytest.mark.parametrize(
    "name",
    [
        "x-acs-action",
        "x-acs-content-sha256",
        "x-acs-date",
        "x-acs-signature-nonce",
        "x-acs-version",
    ],
)
async def test_header_is_missing(
    simulator: Simulator, session: aiohttp.ClientSession, name: str
) -> None:
    """Each of the vendor's headers is needed, and needs to be signed."""
    headers = signed(simulator, asked(), unsigned=name)
    status, answer = await call(session, simulator, headers)
    assert (status, answer["Code"]) == (400, "SignatureDoesNotMatch")

    del headers[name]
    status, answer = await call(session, simulator, headers)
    assert (status, answer["Code"]) == (400, "IncompleteSignature")


async def test_signature_covers_all(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """Whatever is not as it was signed is refused; other headers need no signature."""
    query = asked()
    other = asked(granularity="MONTH")
    for sent, headers in (
        (other, signed(simulator, query)),
        ([*query.items(), ("topNum", "1")], signed(simulator, query)),
        # The last of them stands in for both where a query is taken for a mapping.
        (
            [("topNum", "1"), *query.items(), ("topNum", "2")],
            signed(simulator, {**query, "topNum": "2"}),
        ),
        (query, signed(simulator, query, method="POST")),
        (query, signed(simulator, query, path="/")),
        (query, signed(simulator, query, unsigned="host")),
        (query, signed(simulator, query) | {"x-acs-date": now_text(seconds=1)}),
        (query, signed(simulator, query) | {"x-acs-security-token": "more"}),
        (query, signed(simulator, query, body=b"more")),
    ):
        status, answer = await call(session, simulator, headers, sent)
        assert (status, answer["Code"]) == (400, "SignatureDoesNotMatch")

    headers = signed(simulator, query, x_acs_more="more") | {"Accept": "text/plain"}
    assert (await call(session, simulator, headers))[0] == HTTPStatus.OK


def now_text(**ahead: float) -> str:
    """Return the time as a signature has it, or one that is off."""
    return f"{datetime.now(UTC) + timedelta(**ahead):%Y-%m-%dT%H:%M:%SZ}"


async def test_signature_covers_the_body(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """What is sent has the hash that was signed."""
    balance_call: dict[str, Any] = {
        "method": "POST",
        "path": "/",
        "action": "QueryAccountBalance",
        "version": "2017-12-14",
    }
    for body, status in ((b"a=1", 200), (b"a=2", 400), (b"", 400)):
        headers = signed(simulator, {}, body=b"a=1", **balance_call)
        assert (
            await call(
                session, simulator, headers, {}, method="POST", path="/", body=body
            )
        )[0] == status


async def test_signature_is_good_once(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """A nonce that was seen is refused, one of a bad signature was not seen."""
    forged = signed(simulator, asked(), access_key=(DEFAULT_ACCESS_KEY_ID, "guess"))
    nonce = forged["x-acs-signature-nonce"]
    await call(session, simulator, forged)
    headers = signed(simulator, asked(), x_acs_signature_nonce=nonce)
    assert (await call(session, simulator, headers))[0] == HTTPStatus.OK

    status, answer = await call(session, simulator, headers)
    assert (status, answer["Code"]) == (400, "SignatureNonceUsed")

    assert simulator.signed_requests
    simulator.forget()
    assert not simulator.signed_requests
    assert (await call(session, simulator, headers))[0] == HTTPStatus.OK


@pytest.mark.parametrize("minutes", [16, -16])
async def test_signature_is_of_now(
    simulator: Simulator, session: aiohttp.ClientSession, minutes: int
) -> None:
    """A clock may be a quarter of an hour off, whoever's it is."""
    late: dict[str, Any] = {"x_acs_date": now_text(minutes=minutes)}
    status, answer = await call(session, simulator, signed(simulator, asked(), **late))
    assert (status, answer["Code"]) == (400, "InvalidTimeStamp.Expired")

    simulator.clock_offset = timedelta(minutes=minutes)
    for headers, expected in (
        (signed(simulator, asked(), **late), 200),
        (signed(simulator, asked()), 400),
    ):
        assert (await call(session, simulator, headers))[0] == expected


async def test_date_is_no_date(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """A date is in the one form there is."""
    headers = signed(simulator, asked(), x_acs_date="Sat, 15 Aug 2026 04:00:00 GMT")
    status, answer = await call(session, simulator, headers)

    assert (status, answer["Code"]) == (400, "InvalidTimeStamp.Format")


@pytest.mark.parametrize(
    "changed",
    [
        {"action": "DeleteApiKey"},
        {"version": "2017-12-14"},
        {"method": "POST"},
    ],
)
async def test_operation_is_named(
    simulator: Simulator, session: aiohttp.ClientSession, changed: dict[str, Any]
) -> None:
    """What is signed for has to be what the path is for."""
    method = changed.get("method", "GET")
    headers = signed(simulator, asked(), **changed)
    status, answer = await call(session, simulator, headers, method=method)

    assert (status, answer["Code"]) == (404, "InvalidAction.NotFound")


@given(
    st.integers(0, 10**7),
    st.lists(st.decimals("0.001", 2, places=3), min_size=1, max_size=60),
)
def test_split(cents: int, weights: list[Decimal]) -> None:
    """The parts add up, and none is a cent or more off."""
    amount = Decimal(cents) / 100
    parts = split(amount, weights)

    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - amount * weight / sum(weights)) < Decimal("0.01")


def test_bill_is_of_the_account(account: Account) -> None:
    """It comes to what the account spends, in its currency."""
    account.currency = "USD"
    data = trend(account, asked())
    assert data["costTotals"]["currency"] == "USD"
    assert Decimal(data["costTotals"]["amount"]) == account.monthly_spend
    for row in data["resultByTime"]:
        day = date.fromisoformat(row["period"])
        assert Decimal(row["total"]["amount"]) == account.spend_on(day)

    account.currency = "CNY"
    account.exchange_rate = Decimal(2)
    data = trend(account, asked())
    assert data["costTotals"]["currency"] == "CNY"
    assert Decimal(data["costTotals"]["amount"]) == 2 * account.monthly_spend


def test_bill_is_the_same_each_time() -> None:
    """The bill follows from the time and the seed alone."""
    one = Account(clock=lambda: NOON, extra_models=3)
    other = Account(clock=lambda: NOON - timedelta(days=9), extra_models=3)
    other.advance(timedelta(days=9))

    assert trend(one, asked()) == trend(other, asked())


def test_bill_of_months_is_that_of_their_days(account: Account) -> None:
    """A month has what its days have."""
    account.extra_models = 3
    query = {"timePeriod": between("2026-06-10", "2026-08-31"), "granularity": "MONTH"}
    months = trend(account, asked(**query))

    assert [row["period"] for row in months["resultByTime"]] == [
        "202606",
        "202607",
        "202608",
    ]
    for row, start, end in zip(
        months["resultByTime"],
        ("2026-06-10", "2026-07-01", "2026-08-01"),
        ("2026-06-30", "2026-07-31", "2026-08-31"),
        strict=True,
    ):
        days = trend(account, asked(timePeriod=between(start, end)))
        assert row["total"] == days["costTotals"]
        assert amounts(row["periodDetails"]) == amounts(days["groupByTotal"])


@pytest.mark.parametrize("code", DIMENSIONS)
def test_bill_by_dimension(account: Account, code: str) -> None:
    """By whatever it is grouped, it comes to the same; each group can be filtered."""
    account.extra_models = 3
    whole = trend(account, asked())["costTotals"]
    groups = billed(account, groupBy=json.dumps([{"code": code}]))
    assert sum(groups.values()) == Decimal(whole["amount"])

    for key, amount in groups.items():
        kept = trend(account, asked(filter=only(code, "IN", key)))
        assert Decimal(kept["costTotals"]["amount"]) == amount
        left_out = trend(account, asked(filter=only(code, "NOT", key)))
        assert Decimal(left_out["costTotals"]["amount"]) + amount == Decimal(
            whole["amount"]
        )


def test_filters_add_up(account: Account) -> None:
    """A line has to pass all of them; several values are any of them."""
    both = json.loads(only("BASE_MODEL", "IN", "qwen-max", "qwen-plus"))
    assert billed(account, filter=json.dumps(both)).keys() == {"qwen-max", "qwen-plus"}

    both["dimensions"] += json.loads(only("BASE_MODEL", "NOT", "qwen-max"))[
        "dimensions"
    ]
    assert billed(account, filter=json.dumps(both)).keys() == {"qwen-plus"}
    assert billed(account, filter='{"dimensions":[]}') == billed(account)
    nothing = trend(account, asked(filter=only("BASE_MODEL", "IN", "qwen-none")))
    assert nothing["costTotals"]["amount"] == "0.00"
    assert nothing["groupByTotal"] == []
    # The periods are there all the same.
    assert len(nothing["resultByTime"]) == 15
    assert nothing["resultByTime"][0]["periodDetails"] == []


def test_null_group(account: Account) -> None:
    """A small part belongs to no model, if one wants."""
    (row,) = (
        row
        for row in trend(account, asked())["groupByTotal"]
        if row["key"] == NULL_GROUP
    )
    assert row["name"] == "-"
    assert 0 < Decimal(row["amount"]) < account.monthly_spend * account.rate / 50
    assert NULL_GROUP not in billed(
        account, filter=only("BASE_MODEL", "NOT", NULL_GROUP)
    )

    account.null_share = False
    assert NULL_GROUP not in billed(account)


def test_others(account: Account) -> None:
    """Beyond the top the groups are merged; those left out by name make room."""
    account.extra_models = 60
    whole = billed(account)
    assert len(whole) == 21
    assert len(billed(account, topNum="1")) == 2
    found: dict[str, Decimal] = {}
    for _ in range(10):
        groups = billed(account, filter=only("BASE_MODEL", "NOT", *found))
        found |= {key: groups[key] for key in groups.keys() - {OTHERS_GROUP}}
        if OTHERS_GROUP not in groups:
            break

    assert len(found) == 67
    assert sum(found.values()) == sum(whole.values())
    ranked = sorted(found.values(), reverse=True)
    assert list(whole.values())[:20] == ranked[:20]
    assert whole[OTHERS_GROUP] == sum(ranked[20:])


def test_top_is_of_the_whole_range(account: Account) -> None:
    """Who costs most in all has a row on each day, whoever did on that day."""
    account.adjust(date(2026, 8, 3), "qwen-vl-max", 100)
    data = trend(account, asked(topNum="1"))

    assert [row["key"] for row in data["groupByTotal"]] == ["qwen-max", OTHERS_GROUP]
    for row in data["resultByTime"]:
        assert [it["key"] for it in row["periodDetails"]] == ["qwen-max", OTHERS_GROUP]


def test_zero_filter(account: Account) -> None:
    """Groups of nothing are left out, of the whole or of a day, unless one asks."""
    account.models.append(Model(name="qwen-idle", weight=0))
    assert "qwen-idle" not in billed(account)
    assert billed(account, zeroFilter="false")["qwen-idle"] == 0

    account.adjust(date(2026, 8, 3), "qwen-idle", "0.05")
    for zero_filter, days in (("true", ["20260803"]), ("False", None)):
        data = trend(account, asked(zeroFilter=zero_filter))
        seen = [
            row["period"]
            for row in data["resultByTime"]
            if "qwen-idle" in amounts(row["periodDetails"])
        ]
        assert seen == (days or [row["period"] for row in data["resultByTime"]])


def test_nothing_is_spent_yet(account: Account) -> None:
    """The first second of a day has a period in which there is nothing."""
    account.roll_over("month")
    (row,) = trend(account, asked(timePeriod=between("2026-09-01", "2026-09-30")))[
        "resultByTime"
    ]

    assert (row["period"], row["total"]["amount"]) == ("20260901", "0.00")
    assert row["periodDetails"] == []
    rows = trend(
        account,
        asked(timePeriod=between("2026-09-01", "2026-09-01"), zeroFilter="false"),
    )["resultByTime"][0]["periodDetails"]
    assert {it["percentage"] for it in rows} == {"0.0000"}


def test_nobody_uses_anything(account: Account) -> None:
    """What an account without models spends belongs to none."""
    account.models = []
    account.null_share = False

    assert billed(account).keys() == {NULL_GROUP}


def test_adjust(account: Account) -> None:
    """A refund or late charge is of one model and day, and of nothing else."""
    before = trend(account, asked())
    quotas = figures(account)
    account.adjust(date(2026, 8, 3), "qwen-turbo", -2000)
    account.adjust(date(2026, 8, 3), "qwen-turbo", Decimal("0.01"))
    account.adjust(date(2026, 8, 4), "qwen-gone", 1.5)
    after = trend(account, asked())

    for days, change in ((2, Decimal("-1999.99")), (3, Decimal("1.50"))):
        was, now = before["resultByTime"][days], after["resultByTime"][days]
        assert (
            Decimal(now["total"]["amount"]) == Decimal(was["total"]["amount"]) + change
        )
    assert after["resultByTime"][2]["total"]["amount"].startswith("-")
    assert total_on(account, date(2026, 8, 3)) < 0
    groups, were = amounts(after["groupByTotal"]), amounts(before["groupByTotal"])
    assert groups.pop("qwen-turbo") == were.pop("qwen-turbo") - Decimal("1999.99")
    assert groups.pop("qwen-gone") == Decimal("1.50")
    assert groups == were
    # Less than nothing is the last in rank.
    assert after["groupByTotal"][-1]["key"] == "qwen-turbo"
    assert figures(account) == quotas


def test_correction_shows_in_the_bill(account: Account) -> None:
    """A revised bill is one here, too; it may even be less than nothing."""
    before = billed(account)
    account.correction = -0.07
    account.currency = "USD"
    assert Decimal(trend(account, asked())["costTotals"]["amount"]) == (
        account.monthly_spend
    )

    account.currency = "CNY"
    changed = {
        key: amount - before[key]
        for key, amount in billed(account).items()
        if amount != before[key]
    }
    assert changed == {"qwen-max": Decimal("-0.50")}
    account.correction = -1000
    assert total_on(account, TODAY) < 0 == account.daily_spend


def test_history(account: Account) -> None:
    """The bill begins somewhere, and ends today."""

    def periods(start: str, end: str, granularity: str = "DAY") -> list[str]:
        """Return the periods that a range has."""
        query = asked(timePeriod=between(start, end), granularity=granularity)
        return [row["period"] for row in trend(account, query)["resultByTime"]]

    assert account.first_day == TODAY - timedelta(days=400)
    assert periods("2025-07-01", "2025-07-31")[0] == "20250711"
    assert periods("2025-06-01", "2025-06-30") == []
    assert periods("2026-08-14", "2026-09-10") == ["20260814", "20260815"]
    assert periods("2026-08-16", "2026-08-20") == []
    account.history_start = date(2026, 7, 30)
    assert periods("2026-07-15", "2026-08-01") == ["20260730", "20260731", "20260801"]
    assert periods("2026-01-01", "2026-12-31", "MONTH") == ["202607", "202608"]
    assert trend(account, asked(timePeriod=between("2026-05-01", "2026-05-02"))) == {
        "costTotals": {
            "amount": "0.00",
            "pretaxAmount": "0.00",
            "taxAmount": "0.00",
            "currency": "CNY",
        },
        "groupByTotal": [],
        "resultByTime": [],
    }


def test_today_is_the_billing_zones(account: Account) -> None:
    """The day begins at midnight in China."""
    account.advance(timedelta(hours=12, seconds=1))
    assert account.now.astimezone(UTC).date() == TODAY

    rows = trend(account, asked())["resultByTime"]
    assert rows[-1]["period"] == "20260816"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"granularity": "HOUR"}, "granularity must be DAY or MONTH"),
        ({"timePeriod": ""}, "timePeriod must be JSON"),
        ({"timePeriod": "[]"}, "timePeriod must be an object"),
        ({"timePeriod": '{"start":"2026-08-01"}'}, "timePeriod.end must be a date"),
        ({"timePeriod": between("20260801", "2026-08-02")}, "timePeriod.start must be"),
        ({"timePeriod": between("2026-08-32", "2026-08-02")}, "timePeriod.start must"),
        ({"timePeriod": between("2026-08-02", "2026-08-01")}, "must not be after"),
        ({"timePeriod": between("2026-07-01", "2026-08-01")}, "range is too long"),
        (
            {"granularity": "MONTH", "timePeriod": between("2025-08-31", "2026-08-01")},
            "The time range is too long",
        ),
        ({"groupBy": "BASE_MODEL"}, "groupBy must be JSON"),
        ({"groupBy": "[]"}, "groupBy must hold exactly one element"),
        (
            {"groupBy": '[{"code":"BASE_MODEL"},{"code":"MAAS_TYPE"}]'},
            "groupBy must hold exactly one element",
        ),
        ({"groupBy": '["BASE_MODEL"]'}, "The code must be one of BASE_MODEL, "),
        ({"groupBy": '[{"code":"base_model"}]'}, "The code must be one of"),
        ({"groupBy": '[{"code":[]}]'}, "The code must be one of"),
        ({"topNum": "0"}, "topNum must be 1 to 20"),
        ({"topNum": "21"}, "topNum must be 1 to 20"),
        ({"zeroFilter": "no"}, "zeroFilter must be true or false"),
        ({"filter": "[]"}, "filter must be an object"),
        ({"filter": "{}"}, "filter.dimensions must be an array"),
        ({"filter": only("MODEL", "IN", "qwen-max")}, "The code must be one of"),
        ({"filter": only("BASE_MODEL", "OR", "qwen-max")}, "selectType must be IN or"),
        (
            {"filter": '{"dimensions":[{"code":"BASE_MODEL","values":"qwen-max"}]}'},
            "filter.dimensions.values must be an array of strings",
        ),
    ],
)
async def test_trend_refuses(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    query: dict[str, str],
    message: str,
) -> None:
    """What makes no sense is refused, in the vendor's form."""
    query = asked(**query)
    with pytest.raises(QueryError, match=message):
        trend(simulator.account, query)

    status, answer = await call(session, simulator, signed(simulator, query), query)
    assert (status, answer["Code"]) == (400, "InvalidParameter")
    assert message in answer["Message"]


@pytest.mark.parametrize(
    ("granularity", "period"),
    [
        ("DAY", between("2026-07-16", "2026-08-15")),
        ("MONTH", between("2025-09-01", "2026-08-31")),
    ],
)
def test_longest_range(account: Account, granularity: str, period: str) -> None:
    """A month of days and a year of months can be asked for at once."""
    data = trend(account, asked(granularity=granularity, timePeriod=period))

    assert len(data["resultByTime"]) == (31 if granularity == "DAY" else 12)


def test_balance_follows_the_bill(account: Account) -> None:
    """What is billed is gone, what is refunded is back, and debts are told."""

    def available() -> Decimal:
        """Return what is left."""
        return Decimal(balance(account)["AvailableAmount"].replace(",", ""))

    full = available()
    account.advance(timedelta(hours=6))
    assert available() < full
    full = available()
    account.adjust(TODAY, "qwen-max", -1000)
    assert available() == full + 1000
    account.adjust(TODAY, "qwen-max", 10_000)
    assert available() == full - 9000 < 0

    account.roll_over("month")
    account.currency = "USD"
    assert balance(account) == {
        "AvailableAmount": "450.00",
        "AvailableCashAmount": "450.00",
        "CreditAmount": "0.00",
        "MybankCreditAmount": "0.00",
        "QuotaLimit": "0.00",
        "Currency": "USD",
    }
    account.credits = 1_234_567.5
    assert balance(account)["AvailableAmount"] == "1,234,567.50"


def test_balance_of_a_new_account(account: Account) -> None:
    """What was before the first bill costs nothing."""
    account.history_start = TODAY

    assert balance(account)["AvailableAmount"] == (
        f"{450 * account.rate - total_on(account, TODAY):,.2f}"
    )


def values(data: dict[str, Any]) -> dict[str, int]:
    """Return the samples of an answer, by model."""
    assert data["resultType"] == "vector"
    return {it["metric"]["model"]: int(it["value"][1]) for it in data["result"]}


async def test_metrics_of_the_month(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """With a subquery it is what the other answer says of the billing period."""
    query = (
        'sum by (model) (sum_over_time(model_usage{usage_type="total_tokens"}[15d:1m]))'
    )
    status, text = await metrics(session, simulator, query=query)

    assert status == HTTPStatus.OK
    answer = json.loads(text)
    assert answer["status"] == "success"
    assert {it["value"][0] for it in answer["data"]["result"]} == {NOON.timestamp()}
    assert values(answer["data"]) == {
        row["model"]: row["used"] for row in figures(simulator.account)["models"]
    }
    _, text = await metrics(
        session, simulator, query=query.replace("model_usage", "model_call_count")
    )
    requests = figures(simulator.account)["requests_used"]
    assert sum(values(json.loads(text)["data"]).values()) == pytest.approx(
        requests, abs=6
    )
    (request, _) = simulator.signed_requests
    assert request.query == {"query": query}


def test_metrics_of_a_minute(account: Account) -> None:
    """The minutes of an hour come to what the hour used; within one they stand still."""
    query = {"query": "sum by (model) (model_usage)"}
    before = values(instant(account, {"query": "model_usage[1d:1m]"}))
    hour = dict.fromkeys(before, 0)
    for _ in range(60):
        account.advance(timedelta(seconds=60))
        for model, tokens in values(instant(account, query)).items():
            hour[model] += tokens
    after = values(instant(account, {"query": "model_usage[1d:1m]"}))
    assert hour == {model: after[model] - before[model] for model in after}
    assert all(0 < tokens < 100_000 for tokens in hour.values())

    minute = instant(account, query)
    account.advance(timedelta(seconds=59))
    assert values(instant(account, query)) == values(minute)


def test_metrics_at_a_time(account: Account) -> None:
    """A minute is that before `time`, in either form, also across a month."""
    query = {"query": "model_usage"}
    now = instant(account, query)
    assert instant(account, query | {"time": str(NOON.timestamp())}) == now
    assert instant(account, query | {"time": "2026-08-15T12:00:00+08:00"}) == now
    night = values(instant(account, query | {"time": "2026-08-14T20:00:00Z"}))
    assert night["qwen-max"] < values(now)["qwen-max"]

    midnight = datetime(2026, 8, 1, tzinfo=BILLING_ZONE)
    last, first, second = (
        values(instant(account, query | {"time": f"{midnight + minute:%FT%T%z}"}))
        for minute in (timedelta(), timedelta(minutes=1), timedelta(minutes=2))
    )
    assert first["qwen-max"] == pytest.approx(second["qwen-max"], abs=5)
    # Friday's, where the others are Saturday's.
    assert last["qwen-max"] > first["qwen-max"] > 0


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, 'invalid parameter "query"'),
        ({"query": ""}, 'invalid parameter "query"'),
        ({"query": "model_usage", "time": "noon"}, 'cannot parse "noon"'),
        ({"query": "model_usage", "time": "nan"}, 'cannot parse "nan"'),
        ({"query": "model_usage", "time": "1e99"}, 'cannot parse "1e99"'),
        ({"query": "model_usage", "time": "2026-08-15T12:00:00"}, "cannot parse"),
    ],
)
async def test_metrics_refuse(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    query: dict[str, Any],
    message: str,
) -> None:
    """What makes no sense is refused, in the form of Prometheus."""
    status, text = await metrics(session, simulator, **query)

    assert status == HTTPStatus.BAD_REQUEST
    answer = json.loads(text)
    assert (answer["status"], answer["errorType"]) == ("error", "bad_data")
    assert message in answer["error"]


async def test_metrics_of_another_series(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """What is not there has no samples."""
    _, text = await metrics(session, simulator, query="up")

    assert json.loads(text)["data"] == {"resultType": "vector", "result": []}


@pytest.mark.parametrize(
    "access_key",
    [
        None,
        (DEFAULT_ACCESS_KEY_ID, "other"),
        ("LTAI5tOther", DEFAULT_ACCESS_KEY_SECRET),
        ("LTAI5tOld", DEFAULT_ACCESS_KEY_SECRET),
    ],
)
async def test_metrics_need_an_access_key(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    access_key: tuple[str, str] | None,
) -> None:
    """Without a good AccessKey there is no answer, and none in JSON."""
    simulator.access_keys["LTAI5tOld"] = DEFAULT_ACCESS_KEY_SECRET
    simulator.inactive_access_keys = {"LTAI5tOld"}

    assert await metrics(session, simulator, access_key, query="model_usage") == (
        HTTPStatus.UNAUTHORIZED,
        "Authorization failed\n",
    )


async def test_metrics_are_denied(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """A permission may be missing, and only GET is understood."""
    simulator.denied = {"prometheus"}
    assert (await metrics(session, simulator, query="model_usage"))[0] == (
        HTTPStatus.FORBIDDEN
    )
    async with session.post(f"{simulator.prometheus_url}/api/v1/query") as response:
        assert response.status == HTTPStatus.METHOD_NOT_ALLOWED
    assert set(GRANTS) > simulator.denied


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        ({"Code": "é"}, '{"Code": "é"}'.encode()),
        ("plain", b"plain"),
        (b"\xff", b"\xff"),
        # Of a query its names.
        (sorted, None),
    ],
)
async def test_bodies(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    body: Any,
    answered: bytes | None,
) -> None:
    """Each service can be given a body of the test's own."""
    before = [json.loads((await ask(session, simulator, it))[2]) for it in SIGNED]
    simulator.trend_body = simulator.balance_body = simulator.telemetry_body = body
    queries = {"billing": sorted(asked()), "balance": [], "prometheus": ["query"]}
    for service in SIGNED:
        expected = answered or json.dumps(queries[service]).encode()
        assert (await ask(session, simulator, service))[2] == expected

    simulator.trend_body = simulator.balance_body = simulator.telemetry_body = None
    after = [json.loads((await ask(session, simulator, it))[2]) for it in SIGNED]
    for was, now in zip(before, after, strict=True):
        assert was | {"requestId": "", "RequestId": ""} == (
            now | {"requestId": "", "RequestId": ""}
        )


@pytest.mark.parametrize("failing", SERVICES)
async def test_services_fail_apart(
    simulator: Simulator, session: aiohttp.ClientSession, failing: Service
) -> None:
    """A fault is at one service, comes before the key, and ends there or everywhere."""

    async def fails() -> set[Service]:
        """Return the services that fail."""
        return {it for it in SERVICES if (await ask(session, simulator, it))[0] != 200}

    assert await fails() == set()
    simulator.fail(Fault.UNAVAILABLE, at=failing)
    assert await fails() == {failing}
    simulator.fail(Fault.SERVER_ERROR, at="quotas", times=1)
    simulator.fail(Fault.SERVER_ERROR, at="billing", times=1)
    assert await fails() == {failing, "quotas", "billing"}
    assert await fails() == {failing} - {"quotas", "billing"}
    for service in SERVICES:
        simulator.fail(Fault.BAD_GATEWAY, at=service)
    simulator.api_keys = set()
    simulator.access_keys = {}
    simulator.recover(at=failing)
    assert await fails() == set(SERVICES)
    assert (await ask(session, simulator, failing))[0] != HTTPStatus.BAD_GATEWAY

    simulator.api_keys = {"sk-simulator"}
    simulator.access_keys = dict([ACCESS_KEY])
    assert await fails() == {*SERVICES} - {failing}
    simulator.recover()
    assert await fails() == set()


@pytest.mark.parametrize("service", SIGNED)
@pytest.mark.parametrize(
    ("fault", "status", "codes"),
    [
        (
            Fault.UNAUTHORIZED,
            {"prometheus": 401, "billing": 404, "balance": 404},
            {"*": "InvalidAccessKeyId.NotFound"},
        ),
        (
            Fault.FORBIDDEN,
            {"*": 403},
            {"billing": "NoPermission", "balance": "NotAuthorized"},
        ),
        (Fault.THROTTLED, {"*": 429}, {"*": "Throttling.User"}),
        (Fault.THROTTLING_CODE, {"*": 400}, {"*": "Throttling.Api"}),
        (Fault.SERVER_ERROR, {"*": 500}, {"*": "InternalError"}),
        (Fault.ERROR_CODE, {"*": 200}, {"*": "SystemError"}),
    ],
)
async def test_errors_of_services(
    *,
    simulator: Simulator,
    session: aiohttp.ClientSession,
    service: Service,
    fault: Fault,
    status: dict[str, int],
    codes: dict[str, str],
) -> None:
    """An error has the form of the service, and says in its way how long to wait."""
    simulator.fail(fault, at=service, retry_after=7)
    found, headers, body = await ask(session, simulator, service)

    assert found == status.get(service, status.get("*"))
    waits = {name for name in headers if name.lower().endswith("retry-after")}
    assert waits == {"Retry-After" if service == "prometheus" else "x-acs-retry-after"}
    if service == "prometheus":
        if found in {401, 403}:
            assert b"{" not in body
        else:
            assert json.loads(body).keys() == {"status", "errorType", "error"}
        return
    answer = json.loads(body)
    code = codes.get(service, codes.get("*"))
    if service == "balance":
        assert answer.keys() == {"Code", "Message", "RequestId", "Success"}
    elif found == 200:
        assert answer.keys() == {"code", "message", "requestId", "success"}
    else:
        assert answer.keys() == {"Code", "Message", "RequestId"}
    assert code == answer.get("Code", answer.get("code"))


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return what stands in an answer that holds nothing itself, by where it stands."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = {str(index): item for index, item in enumerate(value)}.items()
    else:
        return {path: value}
    return {
        where: leaf
        for key, item in items
        for where, leaf in leaves(item, f"{path}.{key}").items()
    }


@pytest.mark.parametrize("service", SIGNED)
async def test_spoilt_answers_of_services(
    simulator: Simulator, session: aiohttp.ClientSession, service: Service
) -> None:
    """Figures may be of the wrong type, not finite, or of no model."""

    async def answer(fault: Fault) -> dict[str, Any]:
        """Return the answer that a fault spoils."""
        simulator.fail(fault, at=service)
        status, _, body = await ask(session, simulator, service)
        assert status == HTTPStatus.OK
        spoilt: dict[str, Any] = json.loads(body)
        return spoilt

    key = "Data" if service == "balance" else "data"
    _, _, body = await ask(session, simulator, service)
    good = json.loads(body)[key]
    wrong = (await answer(Fault.WRONG_TYPES))[key]
    assert wrong.keys() == good.keys()
    assert not leaves(good).items() & {
        (where, leaf) for where, leaf in leaves(wrong).items()
    }

    spoilt = leaves((await answer(Fault.NOT_FINITE))[key])
    assert any(
        not isfinite(float(leaf))
        for leaf in spoilt.values()
        if str(leaf) in {"nan", "inf", "-inf"}
    )
    for where, leaf in spoilt.items():
        if where.lower().endswith(("amount", "value.0", "value.1")):
            assert not isfinite(float(leaf))
    emptied = (await answer(Fault.NO_MODELS))[key]
    assert not any("qwen" in str(leaf) for leaf in leaves(emptied).values())
    assert emptied.keys() == good.keys()


@pytest.mark.parametrize("service", SIGNED)
async def test_services_are_redirected(
    simulator: Simulator, session: aiohttp.ClientSession, service: Service
) -> None:
    """A redirect leads to what answers as the service does."""
    simulator.fail(Fault.REDIRECT, at=service)
    status, headers, _ = await ask(session, simulator, service)
    assert status == HTTPStatus.FOUND

    async with session.get(headers["Location"]) as response:
        assert response.url.path == simulator.signed_requests[0].path
        answer = await response.json()
    assert answer.keys() & {"data", "Data"}
    assert simulator.redirect_target_hits == 1


@pytest.mark.parametrize("service", SIGNED)
@pytest.mark.parametrize("fault", Fault)
async def test_each_fault_at_each_service(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    service: Service,
    fault: Fault,
) -> None:
    """Each fault is one of all services, may last a while, and leaves no trace."""
    simulator.fail(fault, times=1, at=service)
    failed = asyncio.create_task(touch_service(session, simulator, service))
    while not simulator.signed_requests:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0)

    assert (await ask(session, simulator, service))[0] == HTTPStatus.OK
    await simulator.stop()
    await asyncio.gather(failed, return_exceptions=True)
    assert len(simulator.signed_requests) == 2


async def touch_service(
    session: aiohttp.ClientSession, simulator: Simulator, service: Service
) -> None:
    """Request a service unsigned, and look at no body.

    What is posted is sent once, whatever becomes of it.
    """
    path = {
        "billing": TREND_PATH,
        "balance": "/",
        "prometheus": "/prometheus/api/v1/query",
    }[service]
    async with session.post(f"{simulator.openapi_url}{path}"):
        pass


async def control(
    session: aiohttp.ClientSession, simulator: Simulator, wishes: object = None
) -> tuple[int, dict[str, Any]]:
    """Return status and answer of a control request, a POST where it has wishes."""
    method = "GET" if wishes is None else "POST"
    data = wishes if isinstance(wishes, (bytes, type(None))) else json.dumps(wishes)
    async with session.request(method, simulator.control_url, data=data) as response:
        return response.status, await response.json()


async def test_control_state(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """The state is told to whoever asks."""
    await get(session, simulator)
    simulator.fail(Fault.THROTTLED, retry_after=60, times=3)
    simulator.fail(Fault.RESET, at="balance")

    assert await control(session, simulator) == (
        HTTPStatus.OK,
        {
            "fault": "throttled",
            "options": {"retry_after": 60, "times": 3},
            "faults": {
                "quotas": {
                    "fault": "throttled",
                    "options": {"retry_after": 60, "times": 3},
                },
                "balance": {"fault": "reset", "options": {}},
            },
            "answer": "account",
            "requests": 1,
            "signed_requests": 0,
            "virtual_time": "2026-08-15T12:00:00+08:00",
            "api_keys": ["sk-simulator"],
            "access_keys": ["LTAI5tSimulator"],
            "denied": [],
            "clock_offset": 0,
            "currency": "CNY",
            "models": [
                "qwen-max",
                "qwen-plus",
                "qwen-turbo",
                "qwen3-coder-plus",
                "qwen-vl-max",
                "text-embedding-v4",
            ],
        },
    )


async def test_control_changes(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """All that can be steered, at once."""
    status, state = await control(
        session,
        simulator,
        {
            "fault": "server_error",
            "options": {"status": 507, "code": "Full", "times": None},
            "answer": "limits",
            "roll_over": "day",
            "advance": 59.0,
            "add_models": ["qwen-new", "qwen-new", "qwen-newer"],
            "remove_models": ["qwen-max", "qwen-flash"],
            "api_keys": ["sk-a", "sk-b"],
            "correction": 0.5,
            "access_keys": {"LTAI-b": "two", "LTAI-a": "one"},
            "denied": ["prometheus", "GetBillingTrend"],
            "clock_offset": -901.5,
            "currency": "USD",
        },
    )

    assert status == HTTPStatus.OK
    assert state == {
        "fault": "server_error",
        "options": {"code": "Full", "status": 507},
        "faults": {
            "quotas": {
                "fault": "server_error",
                "options": {"code": "Full", "status": 507},
            }
        },
        "answer": "limits",
        "requests": 0,
        "signed_requests": 0,
        "virtual_time": "2026-08-16T00:01:00+08:00",
        "api_keys": ["sk-a", "sk-b"],
        "access_keys": ["LTAI-a", "LTAI-b"],
        "denied": ["GetBillingTrend", "prometheus"],
        "clock_offset": -901.5,
        "currency": "USD",
        "models": [
            "qwen-plus",
            "qwen-turbo",
            "qwen3-coder-plus",
            "qwen-vl-max",
            "text-embedding-v4",
            "qwen-new",
            "qwen-newer",
        ],
    }
    assert simulator.account.correction == Decimal("0.5")
    assert simulator.access_keys == {"LTAI-a": "one", "LTAI-b": "two"}
    status, body = await get(session, simulator)
    assert status == HTTPStatus.INSUFFICIENT_STORAGE
    assert json.loads(body)["code"] == "Full"

    _, state = await control(session, simulator, {"fault": None})
    assert state["fault"] is None
    assert state["options"] == {}
    assert state["faults"] == {}


async def test_control_of_faults(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """A fault is at the quotas unless it says where; without one all or one recovers."""

    async def faults(**wishes: object) -> dict[str, object]:
        """Return what fails how once the wishes are fulfilled."""
        _, state = await control(session, simulator, wishes)
        return {at: it["fault"] for at, it in state["faults"].items()}

    assert await faults(fault="reset", at="billing") == {"billing": "reset"}
    assert await faults(fault="hang") == {"quotas": "hang", "billing": "reset"}
    assert await faults(fault="null", at="prometheus") == {
        "quotas": "hang",
        "billing": "reset",
        "prometheus": "null",
    }
    assert await faults(fault=None, at="quotas") == {
        "billing": "reset",
        "prometheus": "null",
    }
    assert await faults(fault=None) == {}


@pytest.mark.parametrize(
    ("wishes", "error"),
    [
        (b"{", "Expecting"),
        (b"\xff", "decode"),
        ([], "an object is wanted"),
        ({"colour": "red", "speed": 1}, "unknown: colour, speed"),
        ({"fault": "rain"}, "fault must be one of unauthorized, "),
        ({"fault": ["reset"]}, "fault must be one of"),
        ({"options": {"times": 1}}, "options need a fault"),
        ({"fault": None, "options": {}}, "options need a fault"),
        ({"fault": "reset", "options": []}, "options must be an object"),
        ({"fault": "reset", "options": {"depth": 1}}, "not depth"),
        ({"fault": "reset", "options": {"times": "1"}}, "times is of the wrong type"),
        ({"fault": "reset", "options": {"times": True}}, "times is of the wrong type"),
        ({"fault": "reset", "options": {"times": 0}}, "times must be 1 or more"),
        ({"fault": "reset", "options": {"status": 1}}, "status must be 200 to 599"),
        ({"answer": "all"}, "answer must be one of account, limits"),
        ({"roll_over": "year"}, "roll_over must be one of day, month"),
        ({"advance": "1"}, "advance must be a number"),
        ({"advance": True}, "advance must be a number"),
        ({"advance": -1}, "advance must be 0 to"),
        ({"advance": 1e9}, "advance must be 0 to"),
        (b'{"advance": NaN}', "advance must be finite"),
        (b'{"correction": Infinity}', "correction must be finite"),
        ({"correction": None}, "correction must be a number"),
        ({"add_models": "qwen-new"}, "add_models must be a list of names"),
        ({"add_models": [""]}, "add_models must be a list of names"),
        ({"add_models": ["qwen-max"]}, "already has the model qwen-max"),
        ({"remove_models": ["qwen-new"]}, "no model qwen-new"),
        ({"api_keys": [1]}, "api_keys must be a list of names"),
        ({"at": "billing"}, "at needs a fault"),
        ({"fault": None, "at": "bank"}, "at must be one of quotas, billing, balance"),
        ({"access_keys": ["LTAI"]}, "access_keys must be an object of secrets by id"),
        ({"access_keys": {"LTAI": 1}}, "access_keys must be an object"),
        ({"access_keys": {"LTAI": ""}}, "access_keys must be an object"),
        ({"access_keys": {"": "secret"}}, "access_keys must be an object"),
        ({"denied": ["all"]}, "denied must be one of GetBillingTrend, "),
        ({"denied": "prometheus"}, "denied must be a list of names"),
        ({"clock_offset": "900"}, "clock_offset must be a number"),
        ({"currency": "EUR"}, "currency must be one of CNY, USD, JPY"),
    ],
)
async def test_control_refuses(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    wishes: object,
    error: str,
) -> None:
    """What makes no sense is refused with its reason, and nothing is changed."""
    before = await control(session, simulator)
    if isinstance(wishes, dict):
        wishes = {"roll_over": "month", "api_keys": []} | wishes
    status, answer = await control(session, simulator, wishes)

    assert status == HTTPStatus.BAD_REQUEST
    assert error in answer["error"]
    assert await control(session, simulator) == before


async def test_control_methods(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """There are two methods."""
    async with session.delete(simulator.control_url) as response:
        assert response.status == HTTPStatus.METHOD_NOT_ALLOWED


def test_arguments() -> None:
    """All options have a default."""
    options = parse_arguments([])
    assert vars(options) == {
        "port": 8765,
        "answer": "account",
        "api_key": "sk-simulator",
        "currency": "CNY",
    }
    options = parse_arguments(
        ["--port=0", "--answer=limits", "--api-key=sk-x", "--currency=USD"]
    )
    assert vars(options) == {
        "port": 0,
        "answer": "limits",
        "api_key": "sk-x",
        "currency": "USD",
    }


@pytest.mark.parametrize(
    "argument", ["--answer=all", "--port=x", "--speed=1", "--currency=EUR"]
)
def test_arguments_refused(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not known is refused."""
    with pytest.raises(SystemExit):
        parse_arguments([argument])
    assert "usage: python -m tests.simulator" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_command(session: aiohttp.ClientSession, number: signal.Signals) -> None:
    """It says where it serves, serves, and ends cleanly when told to."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.simulator",
        "--port=0",
        "--api-key=sk-x",
        "--currency=USD",
        cwd=Path(__file__).parent.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    base_url = (await process.stdout.readline()).split()[-1].decode()
    async with session.get(
        f"{base_url}/quotas", headers={"Authorization": "Bearer sk-x"}
    ) as response:
        assert response.status == HTTPStatus.OK
    printed = {}
    while (line := await process.stdout.readline()).strip():
        name, _, text = line.decode().partition(":")
        printed[name] = text.strip()
    assert printed == {
        "OpenAPI": base_url.removesuffix("/api/v1"),
        "Prometheus": base_url.replace("/api/v1", "/prometheus"),
        "Control": base_url.replace("/api/v1", "/control"),
        "API key": "sk-x",
        "AccessKey": "LTAI5tSimulator secret-of-the-simulator",
    }
    async with session.get(printed["Control"]) as response:
        assert (await response.json())["currency"] == "USD"

    process.send_signal(number)
    output, errors = await process.communicate()
    assert process.returncode == 0
    assert output.count(b"curl ") == 3
    assert errors == b""
