"""Tests of the answers of `GetBillingTrend`."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
import logging
from typing import Any

from alibabacloud_modelstudio20260210.models import GetBillingTrendResponseBody  # type: ignore[import-untyped]
from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.model_studio import (
    NULL_GROUP,
    OTHERS,
    Dimension,
    Granularity,
    GroupSpend,
    InvalidAnswerError,
    Money,
    SpendReport,
    SpendTrend,
    daily_totals,
    group_totals,
)
from custom_components.alibaba_cloud.model_studio.trend import month_report, parse_trend
from tests.simulator import Account
from tests.simulator.billing import trend as simulated_trend
from tests.simulator.openapi import roa_answer

from .common import AUGUST, DAY, NOW, TODAY, bill, cny, days, period, usd

# Hypothesis warns about its own random number generator.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

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
    """The amount that the vendor's example omits belongs to `OTHERS`."""
    trend = parse_trend(DOCUMENTED)
    assert trend.total == cny("100")
    [p] = trend.periods
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
                simulated_trend(
                    Account(clock=lambda: NOW, currency=currency),
                    {
                        "granularity": granularity,
                        "timePeriod": '{"start": "2026-08-01", "end": "2026-08-15"}',
                        "groupBy": f'[{{"code": "{dimension}"}}]',
                    },
                ),
                "request",
            )
            for currency in ("CNY", "USD")
            for granularity in Granularity
            for dimension in Dimension
        ),
    ],
)
def test_trend_equals_the_vendors(answer: Any) -> None:
    """The vendor's SDK reads the same figures."""
    data = GetBillingTrendResponseBody().from_map(answer).data
    trend = parse_trend(answer)

    def money(total: Any) -> Money:
        return Money(amount=Decimal(total.amount), currency=total.currency)

    assert trend.total == money(data.cost_totals)
    assert [
        (f"{p.start:%Y%m%d}", p.total, set(p.groups.items())) for p in trend.periods
    ] == [
        (
            f"{row.period}01"[:8],
            money(row.total),
            {(part.key, Decimal(part.amount)) for part in row.period_details}
            | ({(OTHERS, Decimal(10))} if answer is DOCUMENTED else set()),
        )
        for row in data.result_by_time
    ]


def test_names_of_groups() -> None:
    """The trend contains the name of each group by its key."""
    trend = parse_trend(bill(period("20260815", "30.00", a="10.00", b="20.00")))
    assert trend.names == {"a": "A", "b": "B"}


def test_unusual_keys_of_groups() -> None:
    """Parts with the same key are added up; parts without a key are the null group."""
    row = period("20260815", "30.00", a="1.00", **{NULL_GROUP: "2.00"})
    row["periodDetails"] += [
        {"key": "a", "amount": "3.00"},
        {"key": None, "name": "-", "amount": "4.00"},
        {"amount": "5.00"},
        {"key": "  ", "amount": "6.00"},
        {"key": 7, "amount": "9.00"},
    ]
    trend = parse_trend(bill(row))
    assert trend.periods[0].groups == {"a": 4, NULL_GROUP: 17, "7": 9}
    assert trend.names == {"a": "a", NULL_GROUP: NULL_GROUP, "7": "7"}


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


INVALID_PERIODS: list[Any] = [
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


@pytest.mark.parametrize("row", INVALID_PERIODS)
def test_invalid_period_is_skipped(row: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An invalid period is skipped, and the bill is incomplete."""
    caplog.set_level(logging.DEBUG)
    trend = parse_trend(bill(row, period("20260815", "29.00", a="29.00")))
    assert [p.start for p in trend.periods] == [TODAY]
    assert "Skipped a period" in caplog.text
    report = month_report(trend, TODAY)
    assert (report.monthly, report.daily) == (cny("30.00"), cny("29.00"))
    assert not report.complete
    # What the model cost on the skipped day is unknown, so its month is as well.
    assert report.day_complete
    assert report.groups == {"a": GroupSpend(monthly=None, daily=cny("29.00"))}


@pytest.mark.parametrize("amount", [None, "1,23", "-", True, ["1.00"], {}])
def test_invalid_group_belongs_to_others(
    amount: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An invalid amount of a group belongs to `OTHERS`; the bill is incomplete."""
    caplog.set_level(logging.DEBUG)
    trend = parse_trend(bill(period("20260815", "30.00", b=amount, a="29.00")))
    [p] = trend.periods
    assert p.groups == {"a": 29, OTHERS: 1}
    assert not p.complete
    assert "Skipped a part" in caplog.text
    assert set(month_report(trend, TODAY).groups) == {"a"}


def test_group_with_an_invalid_part() -> None:
    """A group of which one part can't be read is unknown. It is not its other parts."""
    row = period("20260815", "30.00", a="20.00", b="1.00")
    row["periodDetails"].append({"key": "b", "amount": "n/a"})
    report = month_report(parse_trend(bill(row)), TODAY)
    assert report.groups == {
        "a": GroupSpend(monthly=cny("20.00"), daily=cny("20.00")),
    }
    assert not report.complete


@pytest.mark.parametrize("details", [None, "none", 7, {}, []])
def test_no_groups(details: Any) -> None:
    """Without groups, the whole spend belongs to `OTHERS`."""
    row = period("20260815", "30.00") | {"periodDetails": details}
    report = month_report(parse_trend(bill(row)), TODAY)
    assert (report.daily, report.groups) == (cny("30.00"), {})
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
    """A rounding error belongs to `OTHERS`, and the bill is still complete."""
    row = period("20260815", "30.00", a=parts[0], b=parts[1])
    trend = parse_trend(bill(row))
    [p] = trend.periods
    assert sum(p.groups.values()) == 30
    assert p.complete is complete
    assert month_report(trend, TODAY).complete is complete


@pytest.mark.parametrize(
    ("total", "periods", "expected"),
    [
        ("CNY", ("CNY", "CNY"), ("CNY", ["CNY", "CNY"])),
        ("cny", ("Cny", " CNY "), ("CNY", ["CNY", "CNY"])),
        # The currency of the other amounts replaces a missing one.
        ("USD", (None, None), ("USD", ["USD", "USD"])),
        (None, (None, "USD"), ("USD", ["USD", "USD"])),
        (None, ("USD", 156), ("USD", ["USD", "USD"])),
        # No amount has a currency.
        (None, (None, None), (None, [])),
        (None, ("¥", ""), (None, [])),
        ("renminbi", (["CNY"], "1.00"), (None, [])),
        # Two currencies neither replace a missing one nor add up.
        (None, ("CNY", "USD"), (None, ["CNY", "USD"])),
        ("CNY", ("USD", None), ("CNY", ["USD"])),
        ("CNY", ("USD", "CNY"), ("CNY", ["USD", "CNY"])),
    ],
)
def test_currencies(
    total: Any, periods: tuple[Any, Any], expected: tuple[str | None, list[str]]
) -> None:
    """An amount without a known currency is left out."""
    trend = parse_trend(
        bill(
            period("20260814", "10.00", periods[0], a="10.00"),
            period("20260815", "20.00", periods[1], b="20.00"),
            currency=total,
        )
    )
    currency = None if trend.total is None else trend.total.currency
    assert (currency, [p.total.currency for p in trend.periods]) == expected


def test_month_in_two_currencies() -> None:
    """Only amounts in the currency of the total count."""
    trend = parse_trend(
        bill(
            period("20260814", "10.00", "USD", a="10.00"),
            period("20260814", "10.00", "CNY", a="10.00"),
            period("20260815", "20.00", "CNY", b="20.00"),
            period("20260815", "20.00", "USD", b="20.00"),
        )
    )
    report = month_report(trend, TODAY)
    assert (report.monthly, report.daily) == (cny("30.00"), cny("20.00"))
    assert report.groups == {
        "a": GroupSpend(monthly=cny("10.00"), daily=cny("0")),
        "b": GroupSpend(monthly=cny("20.00"), daily=cny("20.00")),
    }
    assert report.complete
    assert not month_report(replace(trend, total=cny("31.00")), TODAY).complete


def test_month_without_a_total() -> None:
    """The sum of the days doesn't replace the total: days can be missing."""
    trend = parse_trend(bill(period("20260815", "30.00", a="30.00"), total=None))
    assert month_report(trend, TODAY) == SpendReport(day=TODAY)


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
    """An answer without spend is an error and does not mean a spend of 0."""
    with pytest.raises(InvalidAnswerError, match=r"\AThe answer holds no spend\Z"):
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
def test_month_without_a_bill(data: Any) -> None:
    """The spend of a month without a bill is unknown, which is no error."""
    trend = parse_trend({"code": "200", "success": True, "data": data})
    assert trend == SpendTrend(total=None, periods=(), names={})
    assert month_report(trend, TODAY) == SpendReport(day=TODAY)


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
def test_groups_of_any_answer_add_up(data: Any) -> None:
    """The groups of any valid answer add up to the total of each period."""
    try:
        trend = parse_trend({"data": data})
        report = month_report(trend, TODAY)
    except InvalidAnswerError:
        return
    for p in trend.periods:
        assert sum(p.groups.values(), Decimal()) == p.total.amount
        assert p.complete <= (OTHERS not in trend.names)
    currency = None if report.monthly is None else report.monthly.currency
    currencies = {m.monthly.currency for m in report.groups.values() if m.monthly}
    assert currencies <= {currency}


def test_month() -> None:
    """The report contains the spend of the month and its last day, by model."""
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
    assert report.groups == {
        "a": GroupSpend(monthly=cny("7.25"), daily=cny("3.25")),
        "b": GroupSpend(monthly=cny("2.50"), daily=cny("0")),
        "c": GroupSpend(monthly=cny("-0.25"), daily=cny("-0.25")),
    }
    assert report.days == dict.fromkeys(days(AUGUST, TODAY), cny("0")) | {
        TODAY - DAY: cny("7.00"),
        TODAY: cny("3.00"),
    }
    assert report.complete


@pytest.mark.parametrize("no_model", ["-", NULL_GROUP])
@pytest.mark.parametrize("place", ["key", "name"])
def test_group_without_a_model(no_model: str, place: str) -> None:
    answer = bill(period("20260815", "5.00", a="3.00", b="2.00"), total="5.00")
    [trend] = answer["data"]["resultByTime"]
    [group] = [detail for detail in trend["periodDetails"] if detail["key"] == "b"]
    group[place] = no_model
    report = month_report(parse_trend(answer), TODAY)
    assert report.groups.keys() == {"a"}
    assert report.monthly == cny("5.00")


def test_name_of_a_model_is_kept_verbatim() -> None:
    name = " a  b\u200d\n" + "x" * 400
    answer = bill(period("20260815", "5.00", **{name: "5.00"}), total="5.00")
    assert month_report(parse_trend(answer), TODAY).groups.keys() == {name}


@pytest.mark.parametrize(
    ("total", "others"),
    [
        ("30.00", dict.fromkeys(days(AUGUST, TODAY), cny("0"))),
        ("31.00", {}),
        (None, {}),
    ],
)
def test_missing_days(total: Any, others: dict[date, Money]) -> None:
    """Missing days have a spend of 0 if the other days add up to the total."""
    trend = parse_trend(
        bill(period("20260803", "10.00"), period("20260805", "20.00"), total=total)
    )
    assert daily_totals(trend, AUGUST, TODAY) == others | {
        date(2026, 8, 3): cny("10.00"),
        date(2026, 8, 5): cny("20.00"),
    }


@pytest.mark.parametrize("order", [1, -1])
def test_day_in_two_currencies(order: int) -> None:
    """Of a day in two currencies, the amount in the total's currency counts."""
    rows = [
        period("20260815", "30.00"),
        period("20260815", "20.00", "USD"),
    ]
    trend = parse_trend(bill(*rows[::order]))
    assert daily_totals(trend, TODAY, TODAY) == {TODAY: cny("30.00")}
    assert month_report(trend, TODAY).days[TODAY] == cny("30.00")


def test_day_without_a_bill() -> None:
    """The spend of today is unknown, and not 0, while the bill lacks today."""
    trend = parse_trend(bill(period("20260814", "30.00", a="30.00")))
    report = month_report(trend, TODAY)
    assert report.daily is None
    assert report.groups == {"a": GroupSpend(monthly=cny("30.00"), daily=None)}
    assert report.complete
    assert not report.day_complete


@pytest.mark.parametrize(
    "details",
    [
        [{"key": "b", "amount": "1.00"}, {"key": OTHERS, "amount": "9.00"}],
        [{"key": "b", "amount": "1.00"}, {"key": "a", "amount": "n/a"}],
        [{"key": "b", "amount": "1.00"}],
        pytest.param([], id="empty"),
        None,
    ],
)
@pytest.mark.parametrize("incomplete", [14, 15])
def test_group_missing_on_an_incomplete_day(incomplete: int, details: Any) -> None:
    """What it cost on that day is unknown, not 0, and so is what it cost in the month."""
    rows = [period(f"202608{day}", "10.00", a="6.00", b="4.00") for day in (13, 14, 15)]
    rows[incomplete - 13]["periodDetails"] = details
    report = month_report(parse_trend(bill(*rows)), TODAY)
    a, b = report.groups["a"], report.groups["b"]
    is_today = incomplete == TODAY.day
    assert a == GroupSpend(monthly=None, daily=None if is_today else cny("6.00"))
    if details:
        daily = cny("1.00") if is_today else cny("4.00")
        assert b == GroupSpend(monthly=cny("9.00"), daily=daily)
    assert (report.monthly, report.daily) == (cny("30.00"), cny("10.00"))
    assert not report.complete
    # If the service merges groups on one day, it may have merged some on another.
    is_merged = any(detail["key"] == OTHERS for detail in details or ())
    assert report.day_complete is not (is_today or is_merged)


def test_merged_groups_may_cancel_out() -> None:
    """A day without `OTHERS` is incomplete too, if the service has merged groups."""
    trend = parse_trend(
        bill(
            period("20260814", "15.00", a="10.00", **{OTHERS: "5.00"}),
            period("20260815", "15.00", a="15.00"),
        )
    )
    assert [p.complete for p in trend.periods] == [False, False]


def test_totals_of_groups() -> None:
    """What belongs to no group is left out. A group in two currencies has no total.

    A group that is missing in an incomplete period has none either.
    """
    trend = parse_trend(
        bill(
            period("20260701", "9.00", a="4.00", b="2.00", **{NULL_GROUP: "3.00"}),
            period("20260801", "7.00", a="1.50", **{"-": "2.50", OTHERS: "3.00"}),
            period("20260801", "8.00", "USD", b="1.00", c="7.00"),
        )
    )
    assert group_totals(trend) == {"a": None, "b": None, "c": None}
    complete = tuple(replace(p, complete=True) for p in trend.periods)
    trend = replace(trend, periods=complete)
    assert group_totals(trend) == {"a": cny("5.50"), "b": None, "c": usd("7.00")}
