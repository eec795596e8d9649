"""The data of the periods: the last day, the billing cycle and the stored format."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
import json
from typing import Any

from hypothesis import given
import pytest

from custom_components.alibaba_cloud.ledger import (
    Answer,
    Periods,
    cycle_start,
    midnight,
    with_answer,
)
from custom_components.alibaba_cloud.ledger.windows import month_after
from custom_components.alibaba_cloud.model_studio import BillingPeriod

from .common import billing_period, reported_periods
from .damage import damaged
from .tables import Follower, check, rows

TODAY = date(2026, 8, 15)


@pytest.mark.parametrize(
    ("before", "period", "last_day"),
    [
        # A period that starts and ends on the same day of the month is whole months.
        (None, "08-01/08-31", "08-31"),
        (None, "08-01/09-01", "08-31"),
        (None, "08-15/09-14", "09-14"),
        (None, "08-15/09-15", "09-14"),
        (None, "08-15/08-15", "08-15"),
        # Two consecutive periods show whether the end is exclusive.
        ("08-03/08-09", "08-10/08-16", "08-16"),
        ("08-03/08-10", "08-10/08-17", "08-16"),
        ("07-01/07-31", "08-01/09-01", "09-01"),
        # Periods that are not consecutive show nothing.
        ("07-01/07-25", "08-01/08-31", "08-31"),
        (None, "08-01/-", None),
        (None, "-/08-31", None),
        (None, "-", None),
    ],
)
def test_last_day(before: str | None, period: str, last_day: str | None) -> None:
    """A period's end is its last day or the first day of the next period."""
    follower = Follower()
    start = billing_period(period).start or date(2026, 8, 1)
    if before:
        at = f"{start - timedelta(days=1):%m-%d} 23:59:30"
        [*map(follower.poll, rows(f"{at} 4 104 {before}"))]
    [*map(follower.poll, rows(f"{start:%m-%d} 00:00:00 0 0 {period}"))]
    last = follower.periods.last_day
    assert (last and f"{last:%m-%d}") == last_day


def test_last_day_while_the_monthly_figure_is_late() -> None:
    """The monthly figure does not belong to the reported period yet."""
    follower = check(
        """
        08-31 23:59:30  4     104     08-01/08-31 | 08-31 08-01
        09-01 00:00:30  0     104     09-01/09-30 | 09-01 08-01
        """
    )
    assert follower.periods.last_day is None
    assert Periods().last_day is None


def test_end_of_a_period_that_is_not_reported() -> None:
    assert not Periods().ends_exclusively


@pytest.mark.parametrize(
    ("day", "day_of_month", "after"),
    [
        (date(2026, 1, 15), None, date(2026, 2, 15)),
        (date(2026, 12, 31), None, date(2027, 1, 31)),
        (date(2026, 1, 31), None, date(2026, 2, 28)),
        (date(2028, 1, 31), None, date(2028, 2, 29)),
        (date(2026, 2, 28), None, date(2026, 3, 28)),
        (date(2026, 2, 28), 31, date(2026, 3, 31)),
        (date(2026, 3, 31), 31, date(2026, 4, 30)),
    ],
)
def test_month_after(day: date, day_of_month: int | None, after: date) -> None:
    assert month_after(day, day_of_month) == after


@pytest.mark.parametrize(
    ("start", "end", "month", "expected"),
    [
        # Without a figure or a reported period, the cycle is the calendar month.
        (None, None, None, date(2026, 8, 1)),
        (None, None, date(2026, 7, 27), date(2026, 8, 1)),
        (date(2026, 7, 27), date(2026, 8, 26), None, date(2026, 8, 1)),
        # The reported period is current.
        (date(2026, 7, 27), date(2026, 8, 26), date(2026, 7, 27), date(2026, 7, 27)),
        (date(2026, 7, 27), None, date(2026, 7, 27), date(2026, 7, 27)),
        # The last day of the period is today.
        (date(2026, 7, 16), date(2026, 8, 15), date(2026, 7, 16), date(2026, 7, 16)),
        # The period is over, and the service is late.
        (date(2026, 7, 15), date(2026, 8, 14), date(2026, 7, 15), date(2026, 8, 15)),
        (date(2026, 7, 1), date(2026, 7, 31), date(2026, 7, 1), date(2026, 8, 1)),
        (date(2026, 7, 1), None, date(2026, 7, 1), date(2026, 8, 1)),
        # Several periods are over, and were not reported.
        (date(2026, 3, 1), date(2026, 3, 31), date(2026, 3, 1), date(2026, 8, 1)),
        (date(2026, 4, 20), date(2026, 5, 20), date(2026, 4, 20), date(2026, 7, 20)),
        (date(2026, 4, 20), None, date(2026, 4, 20), date(2026, 7, 20)),
        (date(2026, 1, 31), None, date(2026, 1, 31), date(2026, 7, 31)),
        (date(2025, 12, 31), date(2026, 1, 30), date(2025, 12, 31), date(2026, 7, 31)),
    ],
)
def test_cycle_start(
    start: date | None, end: date | None, month: date | None, expected: date
) -> None:
    assert cycle_start(reported_periods(start, end, month), TODAY) == midnight(expected)


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
    "before_day": ["100.00"],
    "yesterday": "0",
    "period_start": "2026-08-01",
    "period_end": "2026-08-31",
    "end_is_exclusive": None,
}


def test_stored() -> None:
    """The stored format stays the same."""
    periods = with_answer(
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
    assert periods.as_dict() == STORED
    assert Periods.from_dict(json.loads(json.dumps(STORED))) == periods
    assert Periods.from_dict(Periods().as_dict()) == Periods()


@given(value=damaged(STORED))
def test_damaged(value: Any) -> None:
    """Damaged data raises `ValueError`, or is read as data that can be stored."""
    try:
        periods = Periods.from_dict(value)
    except ValueError:
        return
    assert Periods.from_dict(json.loads(json.dumps(periods.as_dict()))) == periods
