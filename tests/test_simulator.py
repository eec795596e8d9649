"""The stand-in service: what a client gets to see of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
import errno
from http import HTTPStatus
from itertools import pairwise
import json
from math import isfinite
from pathlib import Path
import signal
import socket
import sys
from typing import Any

import aiohttp
import pytest

from tests.simulator import Account, Fault, Model, QueryError, Simulator
from tests.simulator.__main__ import parse_arguments
from tests.simulator.account import ANSWERS, Answer
from tests.simulator.faults import HUGE_SIZE

pytestmark = pytest.mark.usefixtures("socket_enabled")

KEY = {"Authorization": "Bearer sk-simulator"}
# A Saturday noon, billing time.
NOON = datetime(2026, 8, 15, 4, tzinfo=UTC)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Serve an account whose clock stands still."""
    async with Simulator(account=Account(clock=lambda: NOON)) as simulator:
        yield simulator


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open a client that takes a new connection each time and never retries."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        # Else a lost connection is hidden behind a second request.
        session._retry_connection = False
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
        await get(session, simulator)

    assert raised.value.errno == errno.ECONNRESET
    assert len(simulator.requests) == 1


async def test_hang(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    """Nothing comes, until the plug is pulled."""
    simulator.fail(Fault.HANG)
    request = asyncio.create_task(get(session, simulator))
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

    assert await control(session, simulator) == (
        HTTPStatus.OK,
        {
            "fault": "throttled",
            "options": {"retry_after": 60, "times": 3},
            "answer": "account",
            "requests": 1,
            "virtual_time": "2026-08-15T12:00:00+08:00",
            "api_keys": ["sk-simulator"],
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
        },
    )

    assert status == HTTPStatus.OK
    assert state == {
        "fault": "server_error",
        "options": {"code": "Full", "status": 507},
        "answer": "limits",
        "requests": 0,
        "virtual_time": "2026-08-16T00:01:00+08:00",
        "api_keys": ["sk-a", "sk-b"],
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
    status, body = await get(session, simulator)
    assert status == HTTPStatus.INSUFFICIENT_STORAGE
    assert json.loads(body)["code"] == "Full"

    _, state = await control(session, simulator, {"fault": None})
    assert state["fault"] is None
    assert state["options"] == {}


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
    assert (options.port, options.answer, options.api_key) == (
        8765,
        "account",
        "sk-simulator",
    )
    options = parse_arguments(["--port=0", "--answer=limits", "--api-key=sk-x"])
    assert (options.port, options.answer, options.api_key) == (0, "limits", "sk-x")


@pytest.mark.parametrize("argument", ["--answer=all", "--port=x", "--speed=1"])
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

    process.send_signal(number)
    output, errors = await process.communicate()
    assert process.returncode == 0
    assert output.count(b"curl ") == 2
    assert errors == b""
