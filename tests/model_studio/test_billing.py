"""The bill and the balance: what is asked, and what is made of what comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
import json
import logging
import traceback
from typing import Any

import aiohttp
from alibabacloud_bssopenapi20171214.models import QueryAccountBalanceResponseBody  # type: ignore[import-untyped]
from alibabacloud_modelstudio20260210.models import GetBillingTrendResponseBody  # type: ignore[import-untyped]
from hypothesis import given, strategies as st
import pytest
from yarl import URL

from custom_components.alibaba_cloud.model_studio import (
    NULL_GROUP,
    OTHERS,
    AccessKey,
    AccountError,
    AuthenticationError,
    Balance,
    BalanceClient,
    BillingClient,
    ClockSkewError,
    ConnectionFailedError,
    Dimension,
    Granularity,
    InvalidAnswerError,
    ModelStudioError,
    Money,
    OverduePaymentError,
    PermissionDeniedError,
    RateLimitError,
    ServiceNotEnabledError,
    SpendReport,
    SpendTrend,
    balance_endpoints,
    daily_totals,
    http,
)
from custom_components.alibaba_cloud.model_studio.answers import set_retry_after
from custom_components.alibaba_cloud.model_studio.balance import parse_balance
from custom_components.alibaba_cloud.model_studio.hosts import BALANCE_ENDPOINTS
from custom_components.alibaba_cloud.model_studio.http import Answer
from custom_components.alibaba_cloud.model_studio.models import ModelSpend
from custom_components.alibaba_cloud.model_studio.openapi import parse_openapi
from custom_components.alibaba_cloud.model_studio.trend import month_report, parse_trend
from custom_components.alibaba_cloud.model_studio.values import amount_of
from tests.simulator import Account, Fault, Simulator
from tests.simulator.billing import _items, total_on, trend
from tests.simulator.faults import Refusal
from tests.simulator.openapi import roa_answer

# Hypothesis's own, of the generator it keeps.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

NOW = datetime(2026, 8, 15, 12, tzinfo=UTC)
TODAY = date(2026, 8, 15)
AUGUST = date(2026, 8, 1)
DAY = timedelta(days=1)
SECRET = "0123456789abcdefghijABCDEFGHIJ"
"""One that no other text holds by chance."""


@pytest.fixture
def simulator(simulator: Simulator) -> Simulator:
    """Return the service, with an account at a time that stands still."""
    simulator.account = Account(clock=lambda: NOW)
    simulator.access_keys = {"LTAI5tSimulator": SECRET}
    return simulator


@pytest.fixture
def access_key() -> AccessKey:
    """Return the one that the service knows."""
    return AccessKey(id="LTAI5tSimulator", secret=SECRET)


@pytest.fixture
def billing(
    session: aiohttp.ClientSession, simulator: Simulator, access_key: AccessKey
) -> BillingClient:
    """Return what reads the bill of the simulator."""
    return BillingClient(session, endpoint=simulator.openapi_url, access_key=access_key)


@pytest.fixture
def balance(
    session: aiohttp.ClientSession, simulator: Simulator, access_key: AccessKey
) -> BalanceClient:
    """Return what reads the balance of the simulator."""
    return BalanceClient(
        session, endpoints=[simulator.openapi_url], access_key=access_key
    )


def cny(amount: str) -> Money:
    """Return an amount of the currency that most of the bills here are in."""
    return Money(amount=Decimal(amount), currency="CNY")


def bill(
    *periods: Any, total: Any = "30.00", currency: Any = "CNY", **data: Any
) -> dict[str, Any]:
    """Return the answer that tells these periods."""
    totals = {"amount": total, "currency": currency}
    return roa_answer(
        {"costTotals": totals, "resultByTime": [*periods], **data}, "request"
    )


def period(
    start: Any, total: Any, /, currency: Any = "CNY", **groups: Any
) -> dict[str, Any]:
    """Return a period as it stands in an answer, with groups by key."""
    return {
        "period": start,
        "total": {"amount": total, "currency": currency},
        "periodDetails": [
            {"key": key, "name": key.title(), "amount": amount}
            for key, amount in groups.items()
        ],
    }


def billed(account: Account, day: date, group_by: str) -> dict[str, Decimal]:
    """Return the bill of a day by group, without those of nothing."""
    groups: dict[str, Decimal] = {}
    for item in _items(account, day):
        key = item.keys[group_by]
        groups[key] = groups.get(key, Decimal()) + item.amount
    return {key: amount for key, amount in groups.items() if amount}


def days(first: date, last: date) -> list[date]:
    """Return the days from one to another, both included."""
    return [first + number * DAY for number in range((last - first).days + 1)]


def ranges(simulator: Simulator) -> list[tuple[str, str]]:
    """Return the ranges that were asked for."""
    asked = [
        json.loads(request.query["timePeriod"]) for request in simulator.signed_requests
    ]
    return [(period["start"], period["end"]) for period in asked]


# --- What is billed


async def test_query(simulator: Simulator, billing: BillingClient) -> None:
    """As documented: objects are compact JSON, and no answer has more than 20 groups."""
    await billing.get_trend(AUGUST, TODAY)
    [request] = simulator.signed_requests
    assert (request.method, request.path) == ("GET", "/modelstudio/billing/trend")
    assert request.query == {
        "granularity": "DAY",
        "groupBy": '[{"code":"BASE_MODEL"}]',
        "timePeriod": '{"start":"2026-08-01","end":"2026-08-15"}',
        "topNum": "20",
    }


@pytest.mark.parametrize("group_by", Dimension)
@pytest.mark.parametrize("currency", ["CNY", "USD"])
async def test_trend_by_day(
    simulator: Simulator, billing: BillingClient, group_by: Dimension, currency: str
) -> None:
    """Each day's bill, refunds and all, by any group."""
    account = simulator.account
    account.currency = currency
    account.adjust(date(2026, 8, 3), "qwen-max", "-1000.07")
    account.adjust(date(2026, 8, 4), "qwen-plus", "1234567.89")
    told = await billing.get_trend(AUGUST, TODAY, group_by=group_by)

    assert [p.start for p in told.periods] == days(AUGUST, TODAY)
    for p in told.periods:
        assert p.total == Money(amount=total_on(account, p.start), currency=currency)
        assert p.groups == billed(account, p.start, group_by)
        assert p.complete
    assert told.periods[2].total.amount < 0
    spent = sum(p.total.amount for p in told.periods)
    assert told.total == Money(amount=Decimal(spent), currency=currency)
    assert set(told.names) == {key for p in told.periods for key in p.groups}
    assert ranges(simulator) == [("2026-08-01", "2026-08-15")]


async def test_trend_by_day_is_asked_month_by_month(
    simulator: Simulator, billing: BillingClient
) -> None:
    """Which is the longest that is known to be answered."""
    first = date(2025, 12, 31)
    told = await billing.get_trend(first, date(2026, 3, 1))

    assert ranges(simulator) == [
        ("2025-12-31", "2025-12-31"),
        ("2026-01-01", "2026-01-31"),
        ("2026-02-01", "2026-02-28"),
        ("2026-03-01", "2026-03-01"),
    ]
    assert [p.start for p in told.periods] == days(first, date(2026, 3, 1))
    assert told.total
    assert told.total.amount == sum(
        total_on(simulator.account, p.start) for p in told.periods
    )


@pytest.mark.parametrize(
    ("granularity", "first"), [("DAY", date(9999, 11, 30)), ("MONTH", date(9998, 5, 1))]
)
async def test_days_have_an_end(
    simulator: Simulator, billing: BillingClient, granularity: str, first: date
) -> None:
    """After the last one that a calendar has, no more are asked for."""
    told = await billing.get_trend(
        first, date.max, granularity=Granularity(granularity)
    )
    assert told.periods == ()
    assert ranges(simulator) == (
        [("9999-11-30", "9999-11-30"), ("9999-12-01", "9999-12-31")]
        if granularity == "DAY"
        else [("9998-05-01", "9998-12-31"), ("9999-01-01", "9999-12-31")]
    )


async def test_trend_by_month(simulator: Simulator, billing: BillingClient) -> None:
    """Asked for by year, and from within a month on."""
    told = await billing.get_trend(
        date(2025, 11, 20), TODAY, granularity=Granularity.MONTH
    )
    assert ranges(simulator) == [
        ("2025-11-20", "2025-12-31"),
        ("2026-01-01", "2026-08-15"),
    ]
    assert [(p.start.year, p.start.month, p.start.day) for p in told.periods] == [
        (2025, 11, 1),
        (2025, 12, 1),
        *((2026, month, 1) for month in range(1, 9)),
    ]
    january = days(date(2026, 1, 1), date(2026, 1, 31))
    assert told.periods[2].total.amount == sum(
        total_on(simulator.account, day) for day in january
    )


@pytest.mark.parametrize(
    ("extra", "requests"), [(12, 1), (13, 2), (32, 2), (33, 3), (45, 3), (93, 6)]
)
async def test_all_groups_are_found(
    simulator: Simulator, billing: BillingClient, extra: int, requests: int
) -> None:
    """However many there are, in answers of 20: six models, the extra ones, two more."""
    simulator.account.extra_models = extra
    simulator.account.adjust(date(2026, 8, 2), "refunded", "-7.77")
    simulator.account.adjust(date(2026, 8, 3), "refunded", "7.76")
    told = await billing.get_trend(AUGUST, TODAY)
    report = month_report(told, TODAY)

    # That with a refund is the last of all: less than nothing was spent on it.
    assert len(told.names) == 6 + extra + 2
    assert {NULL_GROUP, "qwen-max", "refunded"} <= set(told.names)
    assert OTHERS not in told.names
    for p in told.periods:
        assert p.groups == billed(simulator.account, p.start, "BASE_MODEL")
        assert p.complete
    assert len(simulator.signed_requests) == requests
    assert report.complete
    assert report.models["refunded"].monthly == cny("-0.01")


async def test_nothing_billed(simulator: Simulator, billing: BillingClient) -> None:
    """Neither before the account nor in no range at all."""
    simulator.account.history_start = AUGUST
    told = await billing.get_trend(date(2026, 7, 1), date(2026, 7, 31))
    assert told == SpendTrend(total=cny("0"), periods=(), names={})
    assert (await billing.get_trend(TODAY, AUGUST)).total is None
    assert len(simulator.signed_requests) == 1


# --- Groups that stay merged


def left_out(query: Mapping[str, str]) -> list[str]:
    """Return the groups that a query leaves out."""
    if "filter" not in query:
        return []
    [dimension] = json.loads(query["filter"])["dimensions"]
    assert (dimension["code"], dimension["selectType"]) == ("BASE_MODEL", "NOT")
    values: list[str] = dimension["values"]
    return values


def refusing(refusal: Refusal) -> Callable[[Mapping[str, str]], Any]:
    """Return a service that refuses to leave a group out."""

    def body(query: Mapping[str, str]) -> Any:
        if left_out(query):
            raise refusal
        return bill(period("20260815", "30.00", qwen="20.00", **{OTHERS: "10.00"}))

    return body


@pytest.mark.parametrize(
    ("body", "requests"),
    [
        # It does not heed the filter.
        (bill(period("20260815", "30.00", qwen="20.00", **{OTHERS: "10.00"})), 2),
        # There is nothing to leave out.
        (bill(period("20260815", "30.00", **{OTHERS: "30.00"})), 1),
        # It knows no more of what is merged, and then no period.
        (
            lambda query: (
                bill(period("20260815", "10.00", **{OTHERS: "10.00"}))
                if left_out(query)
                else bill(period("20260815", "30.00", a="20.00", **{OTHERS: "10.00"}))
            ),
            2,
        ),
        (refusing(Refusal(400, "InvalidParameter", "values: at most 50")), 2),
        (refusing(Refusal(414, "RequestTooLong", "URI too long")), 2),
        (refusing(Refusal(200, "InvalidParameter.Values", "too many")), 2),
        (refusing(Refusal(200, "400", "too many")), 2),
        # One at a time, and never all.
        (
            lambda query: bill(
                period(
                    "20260815",
                    "30.00",
                    **{f"m{len(left_out(query)):02}": "1.00", OTHERS: "29.00"},
                )
            ),
            25,
        ),
    ],
    ids=[
        "not heeded",
        "all merged",
        "nothing new",
        "refused",
        "too long",
        "refused as if all were well",
        "refused in the body",
        "endless",
    ],
)
async def test_groups_stay_merged(
    simulator: Simulator, billing: BillingClient, body: Any, requests: int
) -> None:
    """What is known is told; the rest is of others, and no model is known to be free."""
    simulator.trend_body = body
    told = await billing.get_trend(AUGUST, TODAY)

    [p] = told.periods
    assert p.groups[OTHERS] > 0
    assert sum(p.groups.values()) == p.total.amount == 30
    assert not p.complete
    assert OTHERS in told.names
    assert not month_report(told, TODAY).complete
    assert OTHERS not in month_report(told, TODAY).models
    assert len(simulator.signed_requests) == requests


def test_merged_groups_may_cancel_out() -> None:
    """On a day without others, too, there may be models among them."""
    told = parse_trend(
        bill(
            period("20260814", "15.00", a="10.00", **{OTHERS: "5.00"}),
            period("20260815", "15.00", a="15.00"),
        )
    )
    assert [p.complete for p in told.periods] == [False, False]


async def test_merged_groups_may_cancel_out_to_the_end(
    simulator: Simulator, billing: BillingClient
) -> None:
    """Also on a day that the answers without the known groups do not tell."""
    answers = [
        bill(
            period("20260814", "15.00", a="10.00", **{OTHERS: "5.00"}),
            period("20260815", "15.00", a="15.00"),
        ),
        bill(period("20260814", "5.00", b="2.00", **{OTHERS: "3.00"})),
        bill(),
    ]
    simulator.trend_body = lambda query: answers[len(left_out(query))]
    told = await billing.get_trend(AUGUST, TODAY)
    assert [p.groups for p in told.periods] == [
        {"a": 10, "b": 2, OTHERS: 3},
        {"a": 15},
    ]
    assert [p.complete for p in told.periods] == [False, False]


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Refusal(500, "InternalError", "Try again"), AccountError),
        (Refusal(200, "SystemError", "Try again"), AccountError),
        (Refusal(429, "Throttling.User", "Slow down"), RateLimitError),
        (Refusal(403, "NoPermission", "Not any more"), PermissionDeniedError),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
async def test_failure_between_two_answers(
    simulator: Simulator,
    billing: BillingClient,
    refusal: Refusal,
    error: type[ModelStudioError],
) -> None:
    """What failed may be asked for again: no half of it is taken for the whole."""
    simulator.trend_body = refusing(refusal)
    with pytest.raises(error):
        await billing.get_trend(AUGUST, TODAY)


# --- What answers say


DOCUMENTED = {
    "requestId": "099A671E-FA21-5A36-8A73-918572DDEF53",
    "code": "200",
    "message": "null",
    "success": True,
    "data": {
        "costTotals": {
            "amount": "100",
            "pretaxAmount": "94.34",
            "taxAmount": "5.66",
            "currency": "CNY",
        },
        "groupByTotal": [
            {
                "key": "qwen-plus",
                "name": "qwen-plus",
                "amount": "60",
                "pretaxAmount": "56.60",
                "taxAmount": "3.40",
            }
        ],
        "resultByTime": [
            {
                "period": "20260801",
                "total": {
                    "amount": "30",
                    "pretaxAmount": "28.30",
                    "taxAmount": "1.70",
                    "currency": "CNY",
                },
                "periodDetails": [
                    {
                        "key": "qwen-plus",
                        "name": "qwen-plus",
                        "amount": "20",
                        "pretaxAmount": "18.87",
                        "taxAmount": "1.13",
                        "percentage": "0.6667",
                    }
                ],
            }
        ],
    },
}


def test_documented_answer() -> None:
    """What the vendor's example leaves out is of others."""
    told = parse_trend(DOCUMENTED)
    assert told.total == cny("100")
    [p] = told.periods
    assert (p.start, p.total, p.complete) == (AUGUST, cny("30"), False)
    assert p.groups == {"qwen-plus": 20, OTHERS: 10}


@pytest.mark.parametrize(
    "answer",
    [
        DOCUMENTED,
        bill(
            period("20260801", "0.10", a="0.30", b="-0.20"),
            period("20260802", "-12345678901234.56", a="-12345678901234.56"),
            total="-12345678901234.46",
        ),
        *(
            roa_answer(
                trend(
                    Account(clock=lambda: NOW, currency=currency),
                    {
                        "granularity": granularity,
                        "timePeriod": '{"start": "2026-08-01", "end": "2026-08-15"}',
                        "groupBy": '[{"code": "BASE_MODEL"}]',
                    },
                ),
                "request",
            )
            for currency in ("CNY", "USD")
            for granularity in Granularity
        ),
    ],
)
def test_vendor_reads_the_same_trend(answer: Any) -> None:
    """Figure by figure."""
    data = GetBillingTrendResponseBody().from_map(answer).data
    told = parse_trend(answer)

    def money(total: Any) -> Money:
        return Money(amount=Decimal(total.amount), currency=total.currency)

    assert told.total == money(data.cost_totals)
    assert [
        (f"{p.start:%Y%m%d}", p.total, set(p.groups.items())) for p in told.periods
    ] == [
        (
            f"{row.period}01"[:8],
            money(row.total),
            {(part.key, Decimal(part.amount)) for part in row.period_details}
            | ({(OTHERS, Decimal(10))} if answer is DOCUMENTED else set()),
        )
        for row in data.result_by_time
    ]


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("0.10", "0.10"),
        ("  12.34 ", "12.34"),
        ("-0.01", "-0.01"),
        ("1,234,567.89", "1234567.89"),
        ("-1,234.50", "-1234.50"),
        ("999,999", "999999"),
        ("0.000001", "0.000001"),
        (12, "12"),
        (0.1, "0.1"),
        ("1,23", None),
        ("1,2345", None),
        (",123", None),
        ("12,34,567.00", None),
        ("1.234,50", None),
        ("", None),
        ("-", None),
        ("free", None),
        ("NaN", None),
        ("Infinity", None),
        ("1e99", None),
        ("1_000", None),
        (True, None),
        (None, None),
        ([], None),
        ({"amount": "1"}, None),
    ],
)
def testamount_of(value: Any, amount: str | None) -> None:
    """To the cent, or not at all."""
    assert str(amount_of(value)) == str(amount)


def test_groups_have_names() -> None:
    """Such as an API key, which is billed under its id."""
    told = parse_trend(bill(period("20260815", "30.00", a="10.00", b="20.00")))
    assert told.names == {"a": "A", "b": "B"}


def test_groups_by_odd_names() -> None:
    """What has no key belongs to no group, and the same group may come twice."""
    row = period("20260815", "30.00", a="1.00", **{NULL_GROUP: "2.00"})
    row["periodDetails"] += [
        {"key": "a", "amount": "3.00"},
        {"key": None, "name": "-", "amount": "4.00"},
        {"amount": "5.00"},
        {"key": "  ", "amount": "6.00"},
        {"key": 7, "amount": "9.00"},
    ]
    told = parse_trend(bill(row))
    assert told.periods[0].groups == {"a": 4, NULL_GROUP: 17, "7": 9}
    assert told.names == {"a": "a", NULL_GROUP: NULL_GROUP, "7": "7"}


@pytest.mark.parametrize(
    ("written", "start"),
    [
        ("20260815", TODAY),
        ("2026-08-15", TODAY),
        (20260815, TODAY),
        ("202608", AUGUST),
        ("2026-08", AUGUST),
        (202608, AUGUST),
    ],
)
def test_start_of_a_period(written: str | int, start: date) -> None:
    [p] = parse_trend(bill(period(written, "30.00"))).periods
    assert p.start == start


ODD_ROWS: list[Any] = [
    None,
    7,
    "20260801",
    [],
    {},
    period(None, "1.00"),
    period("yesterday", "1.00"),
    period("20260231", "1.00"),
    period("2026", "1.00"),
    period("2026081501", "1.00"),
    period(20260801.5, "1.00"),
    period(True, "1.00"),
    period("20260801", None),
    period("20260801", "1,23"),
    period("20260801", ["1.00"]),
    {"period": "20260801"},
    {"period": "20260801", "total": "1.00"},
]


@pytest.mark.parametrize("row", ODD_ROWS)
def test_odd_period_is_skipped(row: Any, caplog: pytest.LogCaptureFixture) -> None:
    """And said of; what is missing in the sum is not taken for nothing."""
    caplog.set_level(logging.DEBUG)
    told = parse_trend(bill(row, period("20260815", "29.00", a="29.00")))
    assert [p.start for p in told.periods] == [TODAY]
    assert "Skipped a period" in caplog.text
    report = month_report(told, TODAY)
    assert (report.monthly, report.daily) == (cny("30.00"), cny("29.00"))
    assert not report.complete


@pytest.mark.parametrize("amount", [None, "1,23", "-", True, ["1.00"], {}])
def test_odd_group_is_of_others(amount: Any, caplog: pytest.LogCaptureFixture) -> None:
    """And no model is known to be free."""
    caplog.set_level(logging.DEBUG)
    told = parse_trend(bill(period("20260815", "30.00", b=amount, a="29.00")))
    [p] = told.periods
    assert p.groups == {"a": 29, OTHERS: 1}
    assert not p.complete
    assert "Skipped a part" in caplog.text
    assert set(month_report(told, TODAY).models) == {"a"}


@pytest.mark.parametrize("details", [None, "none", 7, {}, []])
def test_no_groups(details: Any) -> None:
    """Where all of a bill is of others, nobody knows of whom."""
    row = period("20260815", "30.00") | {"periodDetails": details}
    report = month_report(parse_trend(bill(row)), TODAY)
    assert (report.daily, report.models) == (cny("30.00"), {})
    assert not report.complete


@pytest.mark.parametrize(
    ("parts", "complete"),
    [
        (("10.00", "19.99"), True),
        (("10.01", "20.00"), True),
        (("10.000", "19.985"), True),
        (("10.000", "19.984"), False),
        (("10.00", "20.02"), False),
    ],
)
def test_rounded_groups(parts: tuple[str, str], complete: bool) -> None:
    """What is off by rounding is of others, and yet a model that is missing is free."""
    row = period("20260815", "30.00", a=parts[0], b=parts[1])
    told = parse_trend(bill(row))
    [p] = told.periods
    assert sum(p.groups.values()) == 30
    assert p.complete is complete
    assert month_report(told, TODAY).complete is complete


@pytest.mark.parametrize(
    ("total", "periods", "expected"),
    [
        ("CNY", ("CNY", "CNY"), ("CNY", ["CNY", "CNY"])),
        ("cny", ("Cny", " CNY "), ("CNY", ["CNY", "CNY"])),
        # What is told once is told of all.
        ("USD", (None, None), ("USD", ["USD", "USD"])),
        (None, (None, "USD"), ("USD", ["USD", "USD"])),
        (None, ("USD", 156), ("USD", ["USD", "USD"])),
        # Nobody says which.
        (None, (None, None), (None, [])),
        (None, ("¥", ""), (None, [])),
        ("renminbi", (["CNY"], "1.00"), (None, [])),
        # Neither can be put in for what is missing, and they are no sum.
        (None, ("CNY", "USD"), (None, ["CNY", "USD"])),
        ("CNY", ("USD", None), ("CNY", ["USD"])),
        ("CNY", ("USD", "CNY"), ("CNY", ["USD", "CNY"])),
    ],
)
def test_currencies(
    total: Any, periods: tuple[Any, Any], expected: tuple[str | None, list[str]]
) -> None:
    """Each amount has one, or is not told."""
    told = parse_trend(
        bill(
            period("20260814", "10.00", periods[0], a="10.00"),
            period("20260815", "20.00", periods[1], b="20.00"),
            currency=total,
        )
    )
    currency = told.total and told.total.currency
    assert (currency, [p.total.currency for p in told.periods]) == expected


def test_month_in_two_currencies() -> None:
    """One is told; what is in the other may be part of it, or not."""
    told = parse_trend(
        bill(
            period("20260814", "10.00", "USD", a="10.00"),
            period("20260814", "10.00", "CNY", a="10.00"),
            period("20260815", "20.00", "CNY", b="20.00"),
            period("20260815", "20.00", "USD", b="20.00"),
        )
    )
    report = month_report(told, TODAY)
    assert (report.monthly, report.daily) == (cny("30.00"), cny("20.00"))
    assert report.models == {
        "a": ModelSpend(monthly=cny("10.00"), daily=cny("0")),
        "b": ModelSpend(monthly=cny("20.00"), daily=cny("20.00")),
    }
    assert report.complete
    assert not month_report(replace(told, total=cny("31.00")), TODAY).complete


def test_month_without_a_total() -> None:
    """Which no sum can stand for, where nobody knows what is missing."""
    told = parse_trend(bill(period("20260815", "30.00", a="30.00"), total=None))
    assert month_report(told, TODAY) == SpendReport(day=TODAY)


async def test_currency_changes_from_month_to_month(
    simulator: Simulator, billing: BillingClient
) -> None:
    """Which makes no sum; each day is told in its own."""
    simulator.trend_body = lambda query: (
        bill(period("20260731", "7.00", "USD", a="7.00"), total="7", currency="USD")
        if "2026-07-01" in query["timePeriod"]
        else bill(period("20260801", "30.00", a="30.00"))
    )
    told = await billing.get_trend(date(2026, 7, 1), TODAY)
    assert told.total is None
    assert [p.total.currency for p in told.periods] == ["USD", "CNY"]


async def test_one_range_without_a_total(
    simulator: Simulator, billing: BillingClient
) -> None:
    """Then there is none of the whole."""
    simulator.trend_body = lambda query: (
        bill(period("20260731", "7.00", a="7.00"), total=None)
        if "2026-07-01" in query["timePeriod"]
        else bill(period("20260801", "30.00", a="30.00"))
    )
    told = await billing.get_trend(date(2026, 7, 1), TODAY)
    assert told.total is None
    assert [p.total for p in told.periods] == [cny("7.00"), cny("30.00")]


@pytest.mark.parametrize("granularity", Granularity)
async def test_days_that_were_not_asked_for(
    simulator: Simulator, billing: BillingClient, granularity: Granularity
) -> None:
    """No day is counted in two months."""
    simulator.trend_body = bill(
        *(
            period(start, "10.00", a="10.00")
            for start in ("20260731", "20260801", "202608", "20260815", "20260816")
        )
    )
    told = await billing.get_trend(date(2026, 8, 2), TODAY, granularity=granularity)
    assert [p.start for p in told.periods] == (
        [TODAY] if granularity is Granularity.DAY else [AUGUST, AUGUST, TODAY]
    )


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"data": None},
        {"data": {}},
        {"data": {"resultByTime": None}},
        {"success": True, "data": [1]},
        {"success": True, "data": "none"},
        {"success": True, "data": {"resultByTime": {"20260815": "1.00"}}},
        {"success": "yes", "Data": {"resultByTime": []}},
    ],
)
def test_answer_without_spend(answer: Any) -> None:
    """Which is not one of nothing."""
    with pytest.raises(InvalidAnswerError, match="no spend"):
        parse_trend(answer)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"resultByTime": None},
        {"costTotals": None, "resultByTime": []},
        {"costTotals": {"amount": "0.00"}, "resultByTime": []},
        {"costTotals": {}, "resultByTime": [{"period": "20260815", "total": {}}]},
        {"resultByTime": [{"period": "20260815", "total": {"amount": "0E-8"}}]},
    ],
)
def test_answer_without_a_bill(data: Any) -> None:
    """A service that has none may well put it so; what a month came to is not told."""
    told = parse_trend({"code": "200", "success": True, "data": data})
    assert told == SpendTrend(total=None, periods=(), names={})
    assert month_report(told, TODAY) == SpendReport(day=TODAY)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(
        ["1.10", "-2,000.20", "CNY", "USD", "20260815", "202608", OTHERS, "a", "", "x"]
    ),
    lambda value: (
        st.lists(value, max_size=3)
        | st.dictionaries(
            st.sampled_from(["amount", "currency", "key", "name", "period", "total"]),
            value,
        )
    ),
    max_leaves=8,
)
AMOUNTS = st.fixed_dictionaries(
    {}, optional={"amount": JSON, "currency": JSON, "key": JSON, "name": JSON}
)
ROWS = st.fixed_dictionaries(
    {},
    optional={
        "period": JSON,
        "total": AMOUNTS | JSON,
        "periodDetails": st.lists(AMOUNTS | JSON, max_size=4) | JSON,
    },
)
TRENDS = st.fixed_dictionaries(
    {"resultByTime": st.lists(ROWS | JSON, max_size=4)},
    optional={"costTotals": AMOUNTS | JSON},
)


@given(data=TRENDS | JSON)
def test_any_trend_adds_up(data: Any) -> None:
    """Whatever is answered is told whole, or skipped, or refused, and nothing else."""
    try:
        told = parse_trend({"data": data})
        report = month_report(told, TODAY)
    except InvalidAnswerError:
        return
    for p in told.periods:
        assert sum(p.groups.values(), Decimal()) == p.total.amount
        assert p.complete <= (OTHERS not in told.names)
    currency = report.monthly and report.monthly.currency
    assert {m.monthly.currency for m in report.models.values()} <= {currency}


# --- A month as of a day


def test_month() -> None:
    """What was spent in the month and on its last day, by model."""
    report = month_report(
        parse_trend(
            bill(
                period("20260814", "7.00", a="4.00", b="2.50", **{NULL_GROUP: "0.50"}),
                period("20260815", "3.00", a="3.25", c="-0.25"),
                total="10.00",
            )
        ),
        TODAY,
    )
    assert (report.day, report.monthly, report.daily) == (
        TODAY,
        cny("10.00"),
        cny("3.00"),
    )
    assert report.models == {
        "a": ModelSpend(monthly=cny("7.25"), daily=cny("3.25")),
        "b": ModelSpend(monthly=cny("2.50"), daily=cny("0")),
        "c": ModelSpend(monthly=cny("-0.25"), daily=cny("-0.25")),
    }
    assert report.days == dict.fromkeys(days(AUGUST, TODAY), cny("0")) | {
        TODAY - DAY: cny("7.00"),
        TODAY: cny("3.00"),
    }
    assert report.complete


@pytest.mark.parametrize("no_model", ["-", NULL_GROUP])
@pytest.mark.parametrize("place", ["key", "name"])
def test_group_that_is_no_model(no_model: str, place: str) -> None:
    answer = bill(period("20260815", "5.00", a="3.00", b="2.00"), total="5.00")
    [told] = answer["data"]["resultByTime"]
    [group] = [detail for detail in told["periodDetails"] if detail["key"] == "b"]
    group[place] = no_model
    report = month_report(parse_trend(answer), TODAY)
    assert report.models.keys() == {"a"}
    assert report.monthly == cny("5.00")


def test_name_of_a_model_is_kept_verbatim() -> None:
    name = " a  b\u200d\n" + "x" * 400
    answer = bill(period("20260815", "5.00", **{name: "5.00"}), total="5.00")
    assert month_report(parse_trend(answer), TODAY).models.keys() == {name}


@pytest.mark.parametrize(
    ("total", "others"),
    [
        ("30.00", dict.fromkeys(days(AUGUST, TODAY), cny("0"))),
        ("31.00", {}),
        (None, {}),
    ],
)
def test_days_that_are_not_told(total: Any, others: dict[date, Money]) -> None:
    """Nothing was billed on them if the others are all of the bill."""
    told = parse_trend(
        bill(period("20260803", "10.00"), period("20260805", "20.00"), total=total)
    )
    assert daily_totals(told, AUGUST, TODAY) == others | {
        date(2026, 8, 3): cny("10.00"),
        date(2026, 8, 5): cny("20.00"),
    }


@pytest.mark.parametrize("order", [1, -1])
def test_day_in_two_currencies(order: int) -> None:
    """What is billed of it in the currency of the whole is what is known."""
    rows = [
        period("20260815", "30.00"),
        period("20260815", "20.00", "USD"),
    ]
    told = parse_trend(bill(*rows[::order]))
    assert daily_totals(told, TODAY, TODAY) == {TODAY: cny("30.00")}
    assert month_report(told, TODAY).days[TODAY] == cny("30.00")


def test_today_is_not_billed_yet() -> None:
    """Which is not to have spent nothing."""
    told = parse_trend(bill(period("20260814", "30.00", a="30.00")))
    report = month_report(told, TODAY)
    assert report.daily is None
    assert report.models == {"a": ModelSpend(monthly=cny("30.00"), daily=None)}
    assert report.complete


async def test_month_is_asked_from_the_first(
    simulator: Simulator, billing: BillingClient
) -> None:
    """Of a day, and of the first alone."""
    report = await billing.get_month(TODAY)
    assert report.daily == Money(
        amount=total_on(simulator.account, TODAY), currency="CNY"
    )
    spent = sum(
        (total_on(simulator.account, day) for day in days(AUGUST, TODAY)), Decimal()
    )
    assert report.monthly == Money(amount=spent, currency="CNY")
    first = await billing.get_month(AUGUST)
    assert first.daily == first.monthly
    assert ranges(simulator) == [
        ("2026-08-01", "2026-08-15"),
        ("2026-08-01", "2026-08-01"),
    ]


# --- The balance


def test_balance_sites() -> None:
    """Where to ask first follows from the region, though not for certain."""
    china, international = BALANCE_ENDPOINTS
    assert balance_endpoints("cn-beijing") == (china, international)
    assert balance_endpoints("cn-hongkong") == (china, international)
    assert balance_endpoints("ap-southeast-1") == (international, china)


@pytest.mark.parametrize("currency", ["CNY", "USD", "JPY"])
async def test_balance(
    simulator: Simulator, balance: BalanceClient, currency: str
) -> None:
    """To the cent, though its thousands are separated."""
    simulator.account.currency = currency
    simulator.account.credits = 1_234_567.89
    simulator.account.exchange_rate = Decimal(1)
    spent = sum(total_on(simulator.account, day) for day in days(AUGUST, TODAY))
    assert await balance.get_balance() == Balance(
        available=Money(amount=Decimal("1234567.89") - spent, currency=currency),
        credit=Money(amount=Decimal(0), currency=currency),
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"AvailableAmount": "1,234.50", "CreditAmount": "100", "Currency": "USD"},
            ("1234.50", "100", "USD"),
        ),
        (
            {"AvailableAmount": "-0.01", "CreditAmount": None, "Currency": "cny"},
            ("-0.01", None, "CNY"),
        ),
        ({"AvailableAmount": 0, "Currency": "JPY"}, ("0", None, "JPY")),
    ],
)
def test_vendor_reads_the_same_balance(
    data: dict[str, Any], expected: tuple[str, str | None, str]
) -> None:
    """Figure by figure."""
    answer = {"Code": "200", "Success": True, "Data": data}
    told = parse_balance(answer)
    available, credit, currency = expected
    assert told.available == Money(amount=Decimal(available), currency=currency)
    assert told.credit == (credit and Money(amount=Decimal(credit), currency=currency))
    vendors = QueryAccountBalanceResponseBody().from_map(answer).data
    assert str(vendors.available_amount).replace(",", "") == available
    assert vendors.credit_amount == credit
    assert vendors.currency.upper() == currency


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"AvailableAmount": "1.00"},
        {"Currency": "CNY"},
        {"AvailableAmount": "1,23", "Currency": "CNY"},
        {"AvailableAmount": "1.00", "Currency": 156},
    ],
)
def test_answer_without_balance(data: Any) -> None:
    """Which is not one of nothing."""
    with pytest.raises(InvalidAnswerError, match="no balance"):
        parse_balance({"Data": data})


async def test_other_site_is_remembered(
    session: aiohttp.ClientSession, simulator: Simulator, access_key: AccessKey
) -> None:
    """An account is of one site; the other is asked once."""
    simulator.balance_applicable = False
    async with Simulator(account=Account(clock=lambda: NOW)) as other:
        other.access_keys = simulator.access_keys
        client = BalanceClient(
            session,
            endpoints=[simulator.openapi_url, other.openapi_url],
            access_key=access_key,
        )
        assert await client.get_balance() == await client.get_balance()
        asked = [len(site.signed_requests) for site in (simulator, other)]
        assert asked == [1, 2]
        assert other.signed_requests[0].method == "POST"

        other.balance_applicable = False
        for _ in range(3):
            with pytest.raises(AccountError, match="NotApplicable"):
                await client.get_balance()
        # A service blocks who asks at the wrong site again and again.
        asked = [len(site.signed_requests) for site in (simulator, other)]
        assert asked == [1, 3]


async def test_other_site_is_not_asked_for_another_error(
    session: aiohttp.ClientSession, simulator: Simulator, access_key: AccessKey
) -> None:
    """Only the wrong site says that it is."""
    client = BalanceClient(
        session, endpoints=[simulator.openapi_url] * 2, access_key=access_key
    )
    simulator.fail(Fault.SERVER_ERROR, at="balance")
    with pytest.raises(AccountError, match="InternalError"):
        await client.get_balance()
    assert len(simulator.signed_requests) == 1


# --- What goes wrong


def failed(
    status: int, body: Any = b"", headers: Mapping[str, str] | None = None
) -> ModelStudioError:
    """Return the error that an answer stands for."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ModelStudioError) as caught:
        parse_openapi(Answer(status, headers or {}, raw))
    return caught.value


@pytest.mark.parametrize("form", [("Code", "Message"), ("code", "message")])
@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "InvalidAccessKeyId.NotFound", AuthenticationError),
        (400, "InvalidAccessKeyId.Inactive", AuthenticationError),
        (403, "InvalidAccessKeyId", AuthenticationError),
        (400, "SignatureDoesNotMatch", AuthenticationError),
        (400, "IncompleteSignature", AuthenticationError),
        (400, "InvalidSecurityToken.Expired", AuthenticationError),
        (401, "Unauthorized", AuthenticationError),
        (400, "InvalidTimeStamp.Expired", ClockSkewError),
        (400, "InvalidTimeStamp.Format", ClockSkewError),
        (400, "IllegalTimestamp", ClockSkewError),
        (403, "NoPermission", PermissionDeniedError),
        (200, "NotAuthorized", PermissionDeniedError),
        (400, "Forbidden.RAM", PermissionDeniedError),
        (403, "AccessDenied", PermissionDeniedError),
        (403, "Whatever", PermissionDeniedError),
        (400, "Throttling.User", RateLimitError),
        (200, "Throttling.Api", RateLimitError),
        (429, "TooManyRequests", RateLimitError),
        (429, "NoPermission", RateLimitError),
        (200, "NotApplicable", AccountError),
        (400, "MissingSecurityToken", AuthenticationError),
        (403, "AccessDenied.Unpurchased", ServiceNotEnabledError),
        (403, "Arrearage", OverduePaymentError),
        (400, "InvalidParameter", AccountError),
        (400, "SignatureNonceUsed", AccountError),
        (404, "InvalidAction.NotFound", AccountError),
        (500, "InternalError", AccountError),
        (503, "ServiceUnavailable", AccountError),
    ],
)
def test_error_codes(
    form: tuple[str, str], status: int, code: str, error: type[ModelStudioError]
) -> None:
    """The gateway writes its fields otherwise than what stands behind it."""
    body = {form[0]: code, form[1]: "Why", "Success": False}
    err = failed(status, body)
    assert type(err) is error
    assert (err.code, err.message) == (code, "Why")
    assert getattr(err, "status", status) == status


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (500, b"<html>500</html>", AccountError, "HTTP 500"),
        (502, b"", AccountError, "HTTP 502"),
        (302, b"", AccountError, "HTTP 302"),
        (204, b"", AccountError, "HTTP 204"),
        (500, [], AccountError, "HTTP 500"),
        (500, {"code": ["?"], "message": {}}, AccountError, "HTTP 500"),
        (500, {"code": "200", "success": True}, AccountError, "HTTP 500"),
        (500, {"code": "Success"}, AccountError, "HTTP 500"),
        (401, b"", AuthenticationError, "HTTP 401"),
        (403, b"<html>", PermissionDeniedError, "HTTP 403"),
        (429, b"<html>", RateLimitError, "HTTP 429"),
        # As if all were well.
        (200, {"success": False}, AccountError, "HTTP 200"),
        (200, {"code": "200", "success": False}, AccountError, "HTTP 200"),
        (200, {"success": "no", "message": "Why"}, AccountError, "HTTP 200: Why"),
        (200, {"code": 500, "message": "Why"}, AccountError, "500: Why"),
        (200, {"Code": "Busy", "Success": False}, AccountError, "Busy"),
        (200, b"<html>", InvalidAnswerError, "The answer is not JSON"),
        (200, b"", InvalidAnswerError, "The answer is not JSON"),
    ],
)
def test_errors_without_a_code(
    status: int, body: Any, error: type[ModelStudioError], said: str
) -> None:
    """The status says it then."""
    err = failed(status, body)
    assert (type(err), str(err)) == (error, said)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"success": True},
        {"success": "true", "code": "Success"},
        {"code": "200"},
        {"code": 200},
        {"Code": "Success"},
        {"Success": True, "Code": "Fine"},
        [],
        None,
    ],
)
def test_success(body: Any) -> None:
    """Told in many ways; what has no figures is found out later."""
    answer = Answer(200, {}, json.dumps(body).encode())
    assert parse_openapi(answer) == (body or {})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        # The vendor's clients wait for as many milliseconds.
        ({"x-acs-retry-after": "2500"}, 2.5),
        ({"x-acs-retry-after": "2500", "Retry-After": "7"}, 2.5),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, None),
        ({"x-acs-retry-after": "0", "Retry-After": "7"}, 7),
        ({"x-acs-retry-after": "soon", "Retry-After": "7"}, 7),
        ({"x-acs-retry-after": "-1"}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """As told in either header."""
    err = RateLimitError()
    set_retry_after(err, headers)
    assert err.retry_after == seconds


@pytest.mark.parametrize("name", ["AccessDeniedDetail", "accessDeniedDetail"])
@pytest.mark.parametrize(
    ("detail", "action"),
    [
        (
            {"AuthAction": "modelstudio:GetBillingTrend", "PolicyType": "?"},
            "modelstudio:GetBillingTrend",
        ),
        ({"AuthAction": ["?"]}, None),
        ("?", None),
        (None, None),
    ],
)
def test_permission_that_is_missing(name: str, detail: Any, action: str | None) -> None:
    """As the service names it."""
    err = failed(403, {"Code": "NoPermission", name: detail})
    assert isinstance(err, PermissionDeniedError)
    assert err.action == action


def _unknown(simulator: Simulator) -> None:
    simulator.access_keys = {"LTAI5tOther": SECRET}


def _inactive(simulator: Simulator) -> None:
    simulator.inactive_access_keys = {"LTAI5tSimulator"}


def _other_secret(simulator: Simulator) -> None:
    simulator.access_keys = {"LTAI5tSimulator": SECRET.swapcase()}


def _late(simulator: Simulator) -> None:
    simulator.clock_offset = timedelta(minutes=16)


def _denied(simulator: Simulator) -> None:
    simulator.denied = {"GetBillingTrend", "QueryAccountBalance"}


@pytest.mark.parametrize(
    ("spoil", "error", "code"),
    [
        (_unknown, AuthenticationError, "InvalidAccessKeyId.NotFound"),
        (_inactive, AuthenticationError, "InvalidAccessKeyId.Inactive"),
        (_other_secret, AuthenticationError, "SignatureDoesNotMatch"),
        (_late, ClockSkewError, "InvalidTimeStamp.Expired"),
        (_denied, PermissionDeniedError, "NoPermission|NotAuthorized"),
    ],
)
async def test_refused(
    simulator: Simulator,
    billing: BillingClient,
    balance: BalanceClient,
    spoil: Callable[[Simulator], None],
    error: type[ModelStudioError],
    code: str,
) -> None:
    """By a service that checks all there is to a signature."""
    spoil(simulator)
    for ask in (billing.get_month(TODAY), balance.get_balance()):
        with pytest.raises(error, match=code):
            await ask
    assert len(simulator.signed_requests) == 2


@pytest.mark.parametrize(
    ("fault", "error", "requests"),
    [
        (Fault.RESET, ConnectionFailedError, 2),
        (Fault.CUT, ConnectionFailedError, 2),
        (Fault.HUGE, InvalidAnswerError, 1),
        (Fault.HTML, InvalidAnswerError, 1),
        (Fault.GARBAGE, InvalidAnswerError, 1),
        (Fault.TRUNCATED, InvalidAnswerError, 1),
        (Fault.EMPTY, InvalidAnswerError, 1),
        (Fault.NULL, InvalidAnswerError, 1),
        (Fault.LIST, InvalidAnswerError, 1),
        (Fault.WRONG_TYPES, InvalidAnswerError, 1),
        (Fault.BAD_GATEWAY, AccountError, 1),
        (Fault.SERVER_ERROR, AccountError, 1),
        (Fault.ERROR_CODE, AccountError, 1),
        (Fault.REDIRECT, AccountError, 1),
        (Fault.THROTTLED, RateLimitError, 1),
    ],
)
async def test_faults(
    simulator: Simulator,
    billing: BillingClient,
    balance: BalanceClient,
    fault: Fault,
    error: type[ModelStudioError],
    requests: int,
) -> None:
    """Each is one of the errors; only a connection that fails is tried once more."""
    simulator.fail(fault, at="billing")
    with pytest.raises(error) as spend:
        await billing.get_month(TODAY)
    simulator.fail(fault, at="balance")
    with pytest.raises(error) as left:
        await balance.get_balance()
    assert type(spend.value) is type(left.value) is error
    nonces = {r.headers["x-acs-signature-nonce"] for r in simulator.signed_requests}
    assert len(simulator.signed_requests) == len(nonces) == 2 * requests
    assert simulator.redirect_target_hits == 0


async def test_connection_that_fails_once(
    simulator: Simulator, billing: BillingClient, balance: BalanceClient
) -> None:
    """It is tried again at once, with a signature of its own."""
    simulator.fail(Fault.RESET, at="billing", times=1)
    simulator.fail(Fault.RESET, at="balance", times=1)
    await billing.get_month(TODAY)
    await balance.get_balance()
    nonces = {r.headers["x-acs-signature-nonce"] for r in simulator.signed_requests}
    assert len(simulator.signed_requests) == len(nonces) == 4


async def test_nobody_is_there(
    simulator: Simulator, billing: BillingClient, balance: BalanceClient
) -> None:
    """Then nobody hears anything."""
    await simulator.stop()
    for ask in (billing.get_month(TODAY), balance.get_balance()):
        with pytest.raises(ConnectionFailedError):
            await ask
    assert simulator.signed_requests == []


async def test_no_answer(
    simulator: Simulator, billing: BillingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it hangs, there is an end to patience."""
    monkeypatch.setattr(http, "TIMEOUT", 0.1)
    simulator.fail(Fault.HANG, at="billing")
    with pytest.raises(ConnectionFailedError, match="No answer"):
        await billing.get_month(TODAY)
    assert len(simulator.signed_requests) == 2


# --- The secret


@pytest.mark.parametrize(
    ("access_key_id", "secret"),
    [
        ("", SECRET),
        ("LTAI 5t", SECRET),
        (" LTAI5t", SECRET),
        ("LTAI5t\n", SECRET),
        ("LTAI5t,SignedHeaders=host", SECRET),
        ("LTAI5t:x", SECRET),
        ("LTAI5tÄ", SECRET),
        ("LTAI5t", ""),
        ("LTAI5t", f"{SECRET} "),
        ("LTAI5t", f"{SECRET}\n"),
        ("LTAI5t", f"{SECRET}\u200b"),
        ("LTAI5t", f"{SECRET}\ud800"),
    ],
)
async def test_no_access_key(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    access_key_id: str,
    secret: str,
) -> None:
    """What can't be one goes nowhere."""
    key = AccessKey(id=access_key_id, secret=secret)
    url = simulator.openapi_url
    billing = BillingClient(session, endpoint=url, access_key=key)
    balance = BalanceClient(session, endpoints=[url], access_key=key)
    for ask in (billing.get_month(TODAY), balance.get_balance()):
        with pytest.raises(AuthenticationError, match="can't be an AccessKey") as err:
            await ask
        assert SECRET not in "".join(traceback.format_exception(err.value))
    assert simulator.signed_requests == []


@pytest.mark.parametrize("secret", [SECRET, "s3cr3t"])
@pytest.mark.parametrize("status", [200, 400, 403, 429, 500])
async def test_secret_that_is_repeated(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    caplog: pytest.LogCaptureFixture,
    secret: str,
    status: int,
) -> None:
    """A service that repeats it tells nobody else."""
    caplog.set_level(logging.DEBUG)
    escaped = secret.replace("c", "\\u0063")

    def refuse(query: Mapping[str, str]) -> bytes:
        raise Refusal(
            status,
            f"Bad.{secret}",
            f"{secret}{secret}",
            {"AccessDeniedDetail": {"AuthAction": "ram:Some"}},
        )

    simulator.access_keys = {"LTAI5t": secret}
    client = BillingClient(
        session,
        endpoint=simulator.openapi_url,
        access_key=AccessKey(id="LTAI5t", secret=secret),
    )
    for body in (
        refuse,
        f'{{"code": "Bad", "success": false, "message": "{escaped}"}}',
        f'{{"data": {{"resultByTime": "{escaped}"}}}}',
        f"<html>{secret}</html>",
    ):
        simulator.trend_body = body
        with pytest.raises(ModelStudioError) as err:
            await client.get_month(TODAY)
        told = "".join(traceback.format_exception(err.value))
        assert secret not in f"{told}{err.value!r}{vars(err.value)}"
        assert simulator.signed_requests
    assert secret not in caplog.text
    for request in simulator.signed_requests:
        assert secret not in str(request)


# --- The URL, which may be a secret, too


def raw_answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    """Return an answer as it goes over the wire."""
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, "", "")).encode() + body


@asynccontextmanager
async def answering(raw: bytes | None) -> AsyncIterator[str]:
    """Answer every request with raw bytes, in which the path may be repeated, or never."""

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if raw is None:
            # Until the other side hangs up.
            await reader.read()
        else:
            writer.write(raw.replace(b"ECHO", asked.split()[1]))
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


LOST = "Connection to {} lost"
NOT_VALID = "No valid answer from {}"


async def reason(session: aiohttp.ClientSession, origin: str) -> str:
    """Return why an answer from a secret URL fails, which nothing else of it tells."""
    url = URL(f"{origin}/h1dden/api/v1/query?query=h1dden&time=1785600000")
    with pytest.raises(ConnectionFailedError) as caught:
        await http.request(session, "GET", url, headers={}, secrets=(SECRET,))
    told = "".join(traceback.format_exception(caught.value, chain=True))
    assert "h1dden" not in f"{told}{caught.value!r}{vars(caught.value)}"
    assert caught.value.__context__ is caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", LOST),
        (b"HTTP/1.1 200 OK\r\nX-Path: ECHO", LOST),
        (b"500 No such command: GET ECHO\r\n", NOT_VALID),
        (raw_answer("banana"), NOT_VALID),
        (raw_answer("200 OK", "ECHO"), NOT_VALID),
        (raw_answer("200 OK", "Content-Length: ECHO"), NOT_VALID),
        (raw_answer("200 OK", f"X-Path: {'ECHO' * 3000}"), NOT_VALID),
        (
            raw_answer("200 OK", "Transfer-Encoding: chunked", body=b"ECHO\r\n"),
            NOT_VALID,
        ),
        (raw_answer("200 OK", "Content-Length: 1000", body=b"ECHO"), LOST),
        (
            raw_answer(
                "200 OK", "Content-Encoding: gzip", "Content-Length: 4", body=b"ECHO"
            ),
            LOST,
        ),
    ],
    ids=lambda value: ascii(value[:60]),
)
async def test_answer_that_is_none_does_not_tell_the_url(
    session: aiohttp.ClientSession, raw: bytes, told: str
) -> None:
    async with answering(raw) as origin:
        assert await reason(session, origin) == told.format(URL(origin).authority)


async def test_service_that_is_not_reached_tells_its_host_alone(
    session: aiohttp.ClientSession, simulator: Simulator
) -> None:
    origin = simulator.openapi_url
    host = URL(origin).authority
    told = await reason(session, origin.replace("http", "https"))
    assert told == f"No secure connection to {host}"
    await simulator.stop()
    assert await reason(session, origin) == f"Connection refused by {host}"


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        ("http://", "No valid answer from "),
        ("ftp://127.0.0.1", "No valid answer from 127.0.0.1"),
    ],
)
async def test_url_that_is_none_is_not_told(
    session: aiohttp.ClientSession, origin: str, told: str
) -> None:
    assert await reason(session, origin) == told


async def test_slow_service_does_not_tell_the_url(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.1)
    async with answering(None) as origin:
        told = await reason(session, origin)
        assert told == f"No answer from {URL(origin).authority} in time"
