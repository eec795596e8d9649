"""Tests of the client for the bill."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
import json
from typing import Any

import pytest

from custom_components.alibaba_cloud.model_studio import (
    NULL_GROUP,
    OTHERS,
    AccountError,
    BillingClient,
    Dimension,
    Granularity,
    ModelStudioError,
    Money,
    PermissionDeniedError,
    RateLimitError,
    SpendTrend,
)
from custom_components.alibaba_cloud.model_studio.trend import month_report
from tests.simulator import Account, Simulator
from tests.simulator.billing import _items, total_on
from tests.simulator.faults import Refusal

from .common import AUGUST, TODAY, bill, cny, days, period


def billed(account: Account, day: date, group_by: str) -> dict[str, Decimal]:
    """Return the bill of a day by group, without groups of 0."""
    groups: dict[str, Decimal] = {}
    for item in _items(account, day):
        key = item.keys[group_by]
        groups[key] = groups.get(key, Decimal()) + item.amount
    return {key: amount for key, amount in groups.items() if amount}


def ranges(simulator: Simulator) -> list[tuple[str, str]]:
    """Return the ranges of all requests."""
    asked = [
        json.loads(request.query["timePeriod"]) for request in simulator.signed_requests
    ]
    return [(period["start"], period["end"]) for period in asked]


async def test_query(simulator: Simulator, billing: BillingClient) -> None:
    """A query has compact JSON objects and the maximum of 20 groups."""
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
    """The bill of each day, with refunds, for every dimension."""
    account = simulator.account
    account.currency = currency
    account.adjust(date(2026, 8, 3), "qwen-max", "-1000.07")
    account.adjust(date(2026, 8, 4), "qwen-plus", "1234567.89")
    trend = await billing.get_trend(AUGUST, TODAY, group_by=group_by)

    assert [p.start for p in trend.periods] == days(AUGUST, TODAY)
    for p in trend.periods:
        assert p.total == Money(amount=total_on(account, p.start), currency=currency)
        assert p.groups == billed(account, p.start, group_by)
        assert p.complete
    assert trend.periods[2].total.amount < 0
    spent = sum(p.total.amount for p in trend.periods)
    assert trend.total == Money(amount=Decimal(spent), currency=currency)
    assert set(trend.names) == {key for p in trend.periods for key in p.groups}
    assert ranges(simulator) == [("2026-08-01", "2026-08-15")]


async def test_one_request_for_each_month(
    simulator: Simulator, billing: BillingClient
) -> None:
    """The client splits a range into months, as longer ranges are not documented."""
    first = date(2025, 12, 31)
    trend = await billing.get_trend(first, date(2026, 3, 1))

    assert ranges(simulator) == [
        ("2025-12-31", "2025-12-31"),
        ("2026-01-01", "2026-01-31"),
        ("2026-02-01", "2026-02-28"),
        ("2026-03-01", "2026-03-01"),
    ]
    assert [p.start for p in trend.periods] == days(first, date(2026, 3, 1))
    assert trend.total is not None
    assert trend.total.amount == sum(
        total_on(simulator.account, p.start) for p in trend.periods
    )


@pytest.mark.parametrize(
    ("granularity", "first"), [("DAY", date(9999, 11, 30)), ("MONTH", date(9998, 5, 1))]
)
async def test_range_up_to_the_last_date(
    simulator: Simulator, billing: BillingClient, granularity: str, first: date
) -> None:
    """A range may end on the last date that Python supports."""
    trend = await billing.get_trend(
        first, date.max, granularity=Granularity(granularity)
    )
    assert trend.periods == ()
    assert ranges(simulator) == (
        [("9999-11-30", "9999-11-30"), ("9999-12-01", "9999-12-31")]
        if granularity == "DAY"
        else [("9998-05-01", "9998-12-31"), ("9999-01-01", "9999-12-31")]
    )


async def test_trend_by_month(simulator: Simulator, billing: BillingClient) -> None:
    """A trend by month takes one request per year; its first month is complete."""
    trend = await billing.get_trend(
        date(2025, 11, 20), TODAY, granularity=Granularity.MONTH
    )
    assert ranges(simulator) == [
        ("2025-11-20", "2025-12-31"),
        ("2026-01-01", "2026-08-15"),
    ]
    assert [(p.start.year, p.start.month, p.start.day) for p in trend.periods] == [
        (2025, 11, 1),
        (2025, 12, 1),
        *((2026, month, 1) for month in range(1, 9)),
    ]
    january = days(date(2026, 1, 1), date(2026, 1, 31))
    assert trend.periods[2].total.amount == sum(
        total_on(simulator.account, day) for day in january
    )


@pytest.mark.parametrize(
    ("extra", "requests"), [(12, 1), (13, 2), (32, 2), (33, 3), (45, 3), (93, 6)]
)
async def test_all_groups_are_found(
    simulator: Simulator, billing: BillingClient, extra: int, requests: int
) -> None:
    """More requests find the groups that the first answer merges into others."""
    simulator.account.extra_models = extra
    simulator.account.adjust(date(2026, 8, 2), "refunded", "-7.77")
    simulator.account.adjust(date(2026, 8, 3), "refunded", "7.76")
    trend = await billing.get_trend(AUGUST, TODAY)
    report = month_report(trend, TODAY)

    # The bill has the 6 models, the extra ones, the null group and the refund. The
    # refund comes last, because its spend is negative.
    assert len(trend.names) == 6 + extra + 2
    assert {NULL_GROUP, "qwen-max", "refunded"} <= set(trend.names)
    assert OTHERS not in trend.names
    for p in trend.periods:
        assert p.groups == billed(simulator.account, p.start, "BASE_MODEL")
        assert p.complete
    assert len(simulator.signed_requests) == requests
    assert report.complete
    assert report.groups["refunded"].monthly == cny("-0.01")


async def test_nothing_billed(simulator: Simulator, billing: BillingClient) -> None:
    """Days before the account existed have no periods; an empty range has no total."""
    simulator.account.history_start = AUGUST
    trend = await billing.get_trend(date(2026, 7, 1), date(2026, 7, 31))
    assert trend == SpendTrend(total=cny("0"), periods=(), names={})
    assert (await billing.get_trend(TODAY, AUGUST)).total is None
    assert len(simulator.signed_requests) == 1


def excluded(query: Mapping[str, str]) -> list[str]:
    """Return the groups that a query excludes."""
    if "filter" not in query:
        return []
    [dimension] = json.loads(query["filter"])["dimensions"]
    assert (dimension["code"], dimension["selectType"]) == ("BASE_MODEL", "NOT")
    values: list[str] = dimension["values"]
    return values


def refusing(refusal: Refusal) -> Callable[[Mapping[str, str]], Any]:
    """Return a body for a service that rejects queries with excluded groups."""

    def body(query: Mapping[str, str]) -> Any:
        if excluded(query):
            raise refusal
        return bill(period("20260815", "30.00", qwen="20.00", **{OTHERS: "10.00"}))

    return body


@pytest.mark.parametrize(
    ("body", "requests"),
    [
        # The service ignores the filter.
        (bill(period("20260815", "30.00", qwen="20.00", **{OTHERS: "10.00"})), 2),
        # There is no group to exclude.
        (bill(period("20260815", "30.00", **{OTHERS: "30.00"})), 1),
        # The second answer has no new group.
        (
            lambda query: (
                bill(period("20260815", "10.00", **{OTHERS: "10.00"}))
                if excluded(query)
                else bill(period("20260815", "30.00", a="20.00", **{OTHERS: "10.00"}))
            ),
            2,
        ),
        (refusing(Refusal(400, "InvalidParameter", "values: at most 50")), 2),
        (refusing(Refusal(414, "RequestTooLong", "URI too long")), 2),
        (refusing(Refusal(200, "InvalidParameter.Values", "too many")), 2),
        (refusing(Refusal(200, "400", "too many")), 2),
        # Each answer has one new group.
        (
            lambda query: bill(
                period(
                    "20260815",
                    "30.00",
                    **{f"m{len(excluded(query)):02}": "1.00", OTHERS: "29.00"},
                )
            ),
            25,
        ),
    ],
    ids=[
        "filter ignored",
        "all merged",
        "nothing new",
        "refused",
        "too long",
        "refused with status 200",
        "refused in the body",
        "endless",
    ],
)
async def test_groups_that_stay_merged(
    simulator: Simulator, billing: BillingClient, body: Any, requests: int
) -> None:
    """The spend of unknown groups belongs to `OTHERS`, and the bill is incomplete."""
    simulator.trend_body = body
    trend = await billing.get_trend(AUGUST, TODAY)

    [p] = trend.periods
    assert p.groups[OTHERS] > 0
    assert sum(p.groups.values()) == p.total.amount == 30
    assert not p.complete
    assert OTHERS in trend.names
    assert not month_report(trend, TODAY).complete
    assert OTHERS not in month_report(trend, TODAY).groups
    assert len(simulator.signed_requests) == requests


async def test_day_without_merged_groups(
    simulator: Simulator, billing: BillingClient
) -> None:
    """A day without `OTHERS` is incomplete if another day has `OTHERS`."""
    answers = [
        bill(
            period("20260814", "15.00", a="10.00", **{OTHERS: "5.00"}),
            period("20260815", "15.00", a="15.00"),
        ),
        bill(period("20260814", "5.00", b="2.00", **{OTHERS: "3.00"})),
        bill(),
    ]
    simulator.trend_body = lambda query: answers[len(excluded(query))]
    trend = await billing.get_trend(AUGUST, TODAY)
    assert [p.groups for p in trend.periods] == [
        {"a": 10, "b": 2, OTHERS: 3},
        {"a": 15},
    ]
    assert [p.complete for p in trend.periods] == [False, False]


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
async def test_failure_of_a_later_request(
    simulator: Simulator,
    billing: BillingClient,
    refusal: Refusal,
    error: type[ModelStudioError],
) -> None:
    """If a later request fails, the client returns an error instead of some groups."""
    simulator.trend_body = refusing(refusal)
    with pytest.raises(error):
        await billing.get_trend(AUGUST, TODAY)


async def test_currency_that_changes(
    simulator: Simulator, billing: BillingClient
) -> None:
    """A range in two currencies has no total; each day keeps its currency."""
    simulator.trend_body = lambda query: (
        bill(period("20260731", "7.00", "USD", a="7.00"), total="7", currency="USD")
        if "2026-07-01" in query["timePeriod"]
        else bill(period("20260801", "30.00", a="30.00"))
    )
    trend = await billing.get_trend(date(2026, 7, 1), TODAY)
    assert trend.total is None
    assert [p.total.currency for p in trend.periods] == ["USD", "CNY"]


async def test_month_without_a_total(
    simulator: Simulator, billing: BillingClient
) -> None:
    """If a month has no total, the whole range has none."""
    simulator.trend_body = lambda query: (
        bill(period("20260731", "7.00", a="7.00"), total=None)
        if "2026-07-01" in query["timePeriod"]
        else bill(period("20260801", "30.00", a="30.00"))
    )
    trend = await billing.get_trend(date(2026, 7, 1), TODAY)
    assert trend.total is None
    assert [p.total for p in trend.periods] == [cny("7.00"), cny("30.00")]


@pytest.mark.parametrize("granularity", Granularity)
async def test_days_outside_the_range_are_dropped(
    simulator: Simulator, billing: BillingClient, granularity: Granularity
) -> None:
    """Days outside the range are dropped, so that no day counts in two months."""
    simulator.trend_body = bill(
        *(
            period(start, "10.00", a="10.00")
            for start in ("20260731", "20260801", "202608", "20260815", "20260816")
        )
    )
    trend = await billing.get_trend(date(2026, 8, 2), TODAY, granularity=granularity)
    assert [p.start for p in trend.periods] == (
        [TODAY] if granularity is Granularity.DAY else [AUGUST, AUGUST, TODAY]
    )


async def test_month(simulator: Simulator, billing: BillingClient) -> None:
    """The monthly report covers the first of the month up to the given day."""
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


@pytest.mark.parametrize("group_by", [Dimension.WORKSPACE, Dimension.API_KEY])
async def test_month_by_group(
    simulator: Simulator, billing: BillingClient, group_by: Dimension
) -> None:
    """What belongs to no group is not among them."""
    report = await billing.get_month(TODAY, group_by=group_by)
    assert report == replace(await billing.get_month(TODAY), groups=report.groups)
    today = billed(simulator.account, TODAY, group_by)
    assert NULL_GROUP in today
    assert {key: spend.daily for key, spend in report.groups.items()} == {
        key: cny(str(amount)) for key, amount in today.items() if key != NULL_GROUP
    }
    assert all(
        spend.monthly is not None and spend.monthly.amount > 0
        for spend in report.groups.values()
    )
