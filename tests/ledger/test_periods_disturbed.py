"""Windows of figures that fall, are missing, or are read by a wrong clock.

Most tests are tables; `looks.py` says how to read them.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
import json
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.ledger import Answer, Periods, follow
from custom_components.alibaba_cloud.model_studio import BillingPeriod

from .damage import damaged
from .looks import Follower, look_by_look, moment, read

# Corrections and refunds


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(
            """
            08-15 12:00:00  0.24   50.24  08-01/08-31 | 08-15 08-01
            08-15 12:00:30  0.10   50.10  08-01/08-31 | 08-15 08-01
            08-15 23:59:30  0.30   50.30  08-01/08-31 | 08-15 08-01
            08-16 00:00:00  0      50.30  08-01/08-31 | 08-16 08-01
            """,
            id="a day corrected",
        ),
        pytest.param(
            """
            08-15 23:59:30  0.24   50.24  08-01/08-31 | 08-15 08-01
            08-16 00:00:30  0.10   50.10  08-01/08-31 | 08-15 08-01
            08-16 00:01:00  0      50.10  08-01/08-31 | 08-16 08-01
            """,
            id="a day corrected after midnight",
        ),
        pytest.param(
            """
            08-15 12:00:00  11.20  61.20  08-01/08-31 | 08-15 08-01
            08-15 12:00:30  3.20   53.20  08-01/08-31 | 08-15 08-01
            08-16 00:00:00  0      53.20  08-01/08-31 | 08-16 08-01
            """,
            id="a day refunded",
        ),
        pytest.param(
            """
            08-15 23:59:30  11.20  61.20  08-01/08-31 | 08-15 08-01
            08-16 00:00:30  3.20   53.20  08-01/08-31 | 08-15 08-01
            08-16 00:01:00  0      53.20  08-01/08-31 | 08-16 08-01
            """,
            id="a day refunded after midnight",
        ),
        pytest.param(
            """
            08-15 12:00:00  1      51     08-01/08-31 | 08-15 08-01
            08-15 12:00:30  -2     48     08-01/08-31 | 08-15 08-01
            08-15 23:59:30  -2     48     08-01/08-31 | 08-15 08-01
            08-16 00:00:00  0      48     08-01/08-31 | 08-16 08-01
            08-16 00:00:30  0.50   48.50  08-01/08-31 | 08-16 08-01
            """,
            id="a day that ends below zero",
        ),
        pytest.param(
            """
            08-15 12:00:00  5      105    08-01/08-31 | 08-15 08-01
            08-15 12:00:30  0      100    08-01/08-31 | 08-15 08-01
            08-15 12:01:00  5      105    08-01/08-31 | 08-15 08-01
            """,
            id="a day that is nothing for a while",
        ),
        pytest.param(
            """
            08-15 12:00:00  5      105    08-01/08-31 | 08-15 08-01
            08-15 12:00:30  5      97     08-01/08-31 | 08-15 08-01
            08-16 00:00:00  0      97     08-01/08-31 | 08-16 08-01
            """,
            id="an earlier day refunded",
        ),
        pytest.param(
            """
            08-31 23:59:30  0.24   1.24   08-01/08-31 | 08-31 08-01
            09-01 00:00:30  0.10   1.10   08-01/08-31 | 08-31 08-01
            09-01 00:01:00  0      1.10   08-01/08-31 | 09-01 08-01
            09-01 00:01:30  0      0      09-01/09-30 | 09-01 09-01
            """,
            id="a month corrected after its end",
        ),
        pytest.param(
            """
            08-15 23:59:30  0.24   0.24   08-01/08-31 | 08-15 08-01
            08-16 00:00:30  0.10   0.10   08-01/08-31 | 08-15 08-01
            08-16 00:01:00  0      0.10   08-01/08-31 | 08-16 08-01
            """,
            id="a month of one day corrected",
        ),
        pytest.param(
            """
            08-31 23:59:30  11.20  15.20  08-01/08-31 | 08-31 08-01
            09-01 00:00:30  3.20   7.20   09-01/09-30 | 08-31 08-01
            09-01 00:01:00  0      0      09-01/09-30 | 09-01 09-01
            """,
            id="a month refunded after its end",
        ),
        pytest.param(
            """
            08-31 23:59:30  4      104    08-01/08-31 | 08-31 08-01
            09-01 00:00:30  4      96     09-01/09-30 | 08-31 08-01
            09-01 00:01:00  0      0      09-01/09-30 | 09-01 09-01
            """,
            id="an earlier day refunded after the month's end",
        ),
        pytest.param(
            """
            08-31 12:00:00  1      1      08-01/08-31 | 08-31 08-01
            08-31 12:00:30  -2     -2     08-01/08-31 | 08-31 08-01
            08-31 23:59:30  -2     -2     08-01/08-31 | 08-31 08-01
            09-01 00:00:00  0      0      09-01/09-30 | 09-01 09-01
            09-01 00:00:30  0.50   0.50   09-01/09-30 | 09-01 09-01
            """,
            id="a month that ends below zero",
        ),
        pytest.param(
            """
            08-31 23:59:30  4      104    08-20/09-19 | 08-31 08-20
            09-01 00:00:30  3.80   103.80 -           | 08-31 08-20
            09-01 00:01:00  0      103.80 08-20/09-19 | 09-01 08-20
            """,
            id="a correction in an answer without a period",
        ),
        pytest.param(
            """
            08-31 12:00:00  4      104    08-20/09-19 | 08-31 08-20
            08-31 12:00:30  3.80   103.80 -           | 08-31 08-20
            08-31 12:01:00  3.90   103.90 08-20/09-19 | 08-31 08-20
            """,
            id="the same by day",
        ),
    ],
)
def test_corrections(table: str) -> None:
    """Neither a day nor a month begins where its figure is revised."""
    look_by_look(table)


# Outages


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(
            """
                 08-15 14:00:00  5  105  08-01/08-31 | 08-15 08-01
            down 08-15 22:00:00  9  109  08-01/08-31 | 08-15 08-01
            """,
            id="within a day",
        ),
        pytest.param(
            """
                 08-15 14:00:00  5  105  08-01/08-31 | 08-15 08-01
            down 08-16 09:00:00  2  110  08-01/08-31 | 08-16 08-01
                 08-17 00:00:00  0  110  08-01/08-31 | 08-17 08-01
            """,
            id="over midnight",
        ),
        pytest.param(
            """
                 08-15 14:00:00  5  105  08-01/08-31 | 08-15 08-01
            down 08-18 09:00:00  2  130  08-01/08-31 | 08-18 08-01
            """,
            id="over some days",
        ),
        pytest.param(
            """
                 08-31 14:00:00  5  105  08-01/08-31 | 08-31 08-01
            down 09-01 09:00:00  2  2    09-01/09-30 | 09-01 09-01
            """,
            id="over the end of a period",
        ),
        pytest.param(
            """
                 08-31 14:00:00  5  105  -           | 08-31 08-01
            down 09-01 09:00:00  2  2    -           | 09-01 09-01
            """,
            id="over the end of a month, none reported",
        ),
        pytest.param(
            """
                 08-31 14:00:00  5  105  -           | 08-31 08-01
            down 09-11 09:00:00  2  40   -           | 09-11 09-01
            """,
            id="over the end of a month by days, none reported",
        ),
        pytest.param(
            """
                 08-31 20:00:00  4  104  08-20/09-19 | 08-31 08-20
            down 09-01 09:00:00  1  108  08-20/09-19 | 09-01 08-20
            """,
            id="over the 1st within a period",
        ),
        pytest.param(
            """
                 08-31 20:00:00  4  104  08-20/09-19 | 08-31 08-20
            down 09-01 09:00:00  1  108  -           | 09-01 08-20
                 09-01 09:00:30  1  108  08-20/09-19 | 09-01 08-20
            """,
            id="over the 1st within a period, then not reported",
        ),
        pytest.param(
            """
                 08-20 20:00:00  4  104  08-01/08-31 | 08-20 08-01
            down 10-25 09:00:00  1  50   10-01/10-31 | 10-25 10-01
            """,
            id="over months",
        ),
    ],
)
def test_outages(table: str) -> None:
    """After a time without a look, figures begin where they truly did."""
    look_by_look(table)


# Answers that lack a figure


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(
            """
            08-15 23:59:30  5     105     08-01/08-31 | 08-15 08-01
            08-16 00:00:30  0.10  -       08-01/08-31 | ?     08-01
            08-16 00:01:00  0.15  -       08-01/08-31 | ?     08-01
            08-16 00:01:30  0.20  105.20  08-01/08-31 | 08-16 08-01
            """,
            id="a day that began",
        ),
        pytest.param(
            """
            08-15 23:59:30  5     105     08-01/08-31 | 08-15 08-01
            08-16 00:00:30  2     -       08-01/08-31 | ?     08-01
            08-16 00:01:00  2     102     08-01/08-31 | 08-15 08-01
            08-16 00:01:30  0     102     08-01/08-31 | 08-16 08-01
            """,
            id="a day that was refunded",
        ),
        pytest.param(
            """
            08-31 23:59:30  4     104     08-01/08-31 | 08-31 08-01
            09-01 00:00:30  -     0.10    09-01/09-30 | 08-31 ?
            09-01 00:01:00  0.20  0.20    09-01/09-30 | 09-01 09-01
            """,
            id="a month that began",
        ),
        pytest.param(
            """
            08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
            08-15 12:00:30  6     -       -           | 08-15 08-01
            08-15 12:01:00  -     106     -           | 08-15 08-01
            08-15 12:01:30  -     -       -           | 08-15 08-01
            08-15 12:02:00  7     107     08-01/08-31 | 08-15 08-01
            """,
            id="within a day",
        ),
        pytest.param(
            """
            08-15 23:59:30  5     -       -           | 08-15 -
            08-16 00:00:00  0     -       -           | 08-16 -
            08-16 00:00:30  0.10  -       -           | 08-16 -
            """,
            id="a service that never reports the month",
        ),
        pytest.param(
            """
            08-31 23:59:30  -     105     08-01/08-31 | -     08-01
            09-01 00:00:00  -     0       09-01/09-30 | -     09-01
            """,
            id="a service that never reports the day",
        ),
    ],
)
def test_missing_figures(table: str) -> None:
    """What fell is held back until an answer with both figures tells why."""
    look_by_look(table)


# Wrong clocks


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(
            """
                 08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
            down 08-15 12:05:00  5.10  105.10  08-01/08-31 | 08-15 08-01  clock=08-10 03:00:00
                 08-15 12:05:30  5.20  105.20  08-01/08-31 | 08-15 08-01  clock=08-10 03:00:30
                 08-15 12:09:00  5.30  105.30  08-01/08-31 | 08-15 08-01
                 08-16 00:00:00  0     105.30  08-01/08-31 | 08-16@08-15T23:55 08-01
            """,
            id="behind after a start",
        ),
        pytest.param(
            """
                 08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
            down 08-15 12:05:00  5     105     08-01/08-31 | 08-15 08-01  clock=01-01 00:00:00
                 08-15 12:09:00  4.80  104.80  08-01/08-31 | 08-15 08-01
            """,
            id="months behind after a start",
        ),
        pytest.param(
            """
                 08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
                 08-15 12:00:30  5.10  105.10  08-01/08-31 | 08-15 08-01  clock=08-20 12:00:30
                 08-15 12:01:00  5.20  105.20  08-01/08-31 | 08-15 08-01
                 08-16 00:00:00  0     105.20  08-01/08-31 | 08-16 08-01
            """,
            id="days ahead once",
        ),
        pytest.param(
            """
                 08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
                 08-15 12:00:30  4.90  104.90  08-01/08-31 | 08-15 08-01  clock=09-03 00:00:30
                 08-15 12:01:00  5     105     08-01/08-31 | 08-15 08-01
            """,
            id="in the next month once, with a correction",
        ),
        pytest.param(
            """
                 08-15 12:00:00  0     100     08-01/08-31 | 08-15 08-01
                 08-15 12:00:30  0     100     08-01/08-31 | 08-15 08-01  clock=08-20 12:00:30
                 08-15 12:01:00  1     101     08-01/08-31 | 08-15 08-01
            """,
            id="ahead once on an idle day",
        ),
    ],
)
def test_wrong_clocks(table: str) -> None:
    """They begin nothing anew, and count nothing twice."""
    look_by_look(table)


def test_midnight_by_a_clock_that_is_behind() -> None:
    """The day's beginning is not known; it is after that of the day before."""
    follower = Follower()
    for look in read(
        """
             08-15 23:50:00  5     105     08-01/08-31 |
        down 08-16 00:05:00  0.10  105.10  08-01/08-31 |  clock=08-01 00:00:00
             08-16 00:10:00  0.20  105.20  08-01/08-31 |
             08-16 12:00:00  3     108     08-01/08-31 |
        """
    ):
        follower.look(look)
    assert follower.total("daily") == 8
    assert follower.total("monthly") == 108
    assert follower.known.daily
    assert follower.known.daily.since <= moment("08-16 00:10")


# What is stored


def test_another_currency_begins_anew() -> None:
    """Amounts in another one are no figures of the same window."""
    seen = moment("08-15 12:00")
    known = follow(
        Periods(),
        Answer(daily=Decimal(5), monthly=Decimal(105)),
        currency="USD",
        now=seen,
        elapsed=None,
    )
    answer = Answer(daily=Decimal(36), monthly=Decimal(750))
    later = seen + timedelta(seconds=30)
    again = follow(
        known, answer, currency="CNY", now=later, elapsed=timedelta(seconds=30)
    )
    assert again == follow(Periods(), answer, currency="CNY", now=later, elapsed=None)
    assert again.currency == "CNY"


STORED: dict[str, Any] = {
    "currency": "USD",
    "time": "2026-08-15T12:00:00+08:00",
    "doubted_since": None,
    "settled": "2026-08-15T12:00:00+08:00",
    "daily": {
        "amount": "5.10",
        "since": "2026-08-15T00:00:00+08:00",
        "start": "2026-08-15",
        "earliest": "2026-08-14",
        "latest": "2026-08-15",
    },
    "monthly": {
        "amount": "105.10",
        "since": "2026-08-01T00:00:00+08:00",
        "start": "2026-08-01",
        "earliest": "2026-08-01",
        "latest": "2026-08-01",
    },
    "before_today": "100.00",
    "before_day": "100.00",
    "yesterday": "0",
    "period_start": "2026-08-01",
    "period_end": "2026-08-31",
    "end_is_exclusive": None,
}


def test_stored() -> None:
    """What an earlier version stored is understood, to the letter."""
    known = follow(
        Periods(),
        Answer(
            daily=Decimal("5.10"),
            monthly=Decimal("105.10"),
            period=BillingPeriod(start=date(2026, 8, 1), end=date(2026, 8, 31)),
        ),
        currency="USD",
        now=datetime(2026, 8, 15, 4, tzinfo=UTC),
        elapsed=None,
    )
    assert known.as_dict() == STORED
    assert Periods.from_dict(json.loads(json.dumps(STORED))) == known
    assert Periods.from_dict(Periods().as_dict()) == Periods()


@given(value=damaged(STORED))
def test_stored_and_damaged(value: Any) -> None:
    """It is read as it was written, or not at all."""
    try:
        known = Periods.from_dict(value)
    except ValueError:
        return
    assert Periods.from_dict(json.loads(json.dumps(known.as_dict()))) == known


# Whatever comes

AMOUNTS = st.none() | st.decimals(-99, 999, places=2)
GAPS = st.one_of(
    st.timedeltas(timedelta(), timedelta(hours=2)),
    st.timedeltas(timedelta(), timedelta(days=70)),
)
LOOKS = st.lists(
    st.tuples(
        GAPS,
        st.one_of(st.just(timedelta()), st.timedeltas(-timedelta(99), timedelta(99))),
        st.booleans(),
        AMOUNTS,
        AMOUNTS,
        st.none() | st.dates(date(2026, 7, 1), date(2026, 12, 1)),
        st.none() | st.dates(date(2026, 7, 1), date(2026, 12, 1)),
    ),
    max_size=8,
)


@given(looks=LOOKS)
def test_windows_never_go_back(
    looks: list[
        tuple[
            timedelta,
            timedelta,
            bool,
            Decimal | None,
            Decimal | None,
            date | None,
            date | None,
        ]
    ],
) -> None:
    """Whatever the service and the clock say, a figure begins once or later."""
    known, now = Periods(), moment("08-15 12:00")
    for gap, off, is_down, daily, monthly, start, end in looks:
        now += gap
        before = known
        known = follow(
            before,
            Answer(
                daily=daily,
                monthly=monthly,
                period=BillingPeriod(start=start, end=end),
            ),
            currency="USD",
            now=now + off,
            elapsed=None if is_down else gap,
        )
        for was, window, figure, held in (
            (before.daily, known.daily, daily, known.daily_is_held),
            (before.monthly, known.monthly, monthly, known.monthly_is_held),
        ):
            if was:
                assert window
                assert was.since <= window.since
            if window:
                assert window.earliest <= window.latest
                assert figure is None or held or window.amount == figure
