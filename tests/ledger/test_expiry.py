"""Kept figures are dropped once their day or billing period is over."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from custom_components.alibaba_cloud.ledger import Periods, midnight, without_past
from custom_components.alibaba_cloud.ledger.windows import Window
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    BillingPeriod,
    Money,
)

SECOND = timedelta(seconds=1)
USD = Money(amount=Decimal(5), currency="USD")
ACCOUNT = AccountSnapshot(
    credit_balance=USD,
    available_balance=USD,
    spend_limit=USD,
    daily_spend=USD,
    monthly_spend=USD,
    tokens_used=6,
    requests_used=7,
)
NEXT_DAY = replace(ACCOUNT, daily_spend=None)
ONLY_NEXT_PERIOD = replace(
    ACCOUNT, monthly_spend=None, tokens_used=None, requests_used=None
)
NEXT_PERIOD = replace(ONLY_NEXT_PERIOD, daily_spend=None)


def at(text: str) -> datetime:
    """Return a time of the billing zone, converted to UTC."""
    return datetime.fromisoformat(f"{text}+08:00").astimezone(UTC)


def day(text: str | None) -> date | None:
    """Return a day if there is one."""
    return date.fromisoformat(text) if text else None


@pytest.mark.parametrize(
    ("read", "now", "expected"),
    [
        ("2026-08-15T00:00", "2026-08-15T23:59", ACCOUNT),
        ("2026-08-15T23:59", "2026-08-16T00:00", NEXT_DAY),
        ("2026-08-15T00:00", "2026-08-31T23:59", NEXT_DAY),
        ("2026-08-31T23:59", "2026-09-01T00:00", NEXT_PERIOD),
        ("2026-08-15T00:00", "2027-08-15T00:00", NEXT_PERIOD),
        ("2026-12-31T23:59", "2027-01-01T00:00", NEXT_PERIOD),
        # The clock was ahead when the figures were read.
        ("2026-08-15T00:00", "2026-08-14T00:00", ACCOUNT),
    ],
)
def test_month_of_the_calendar(read: str, now: str, expected: AccountSnapshot) -> None:
    """Without a reported period, figures expire with days and months in UTC+8."""
    assert (
        without_past(ACCOUNT, periods=Periods(), read=at(read), now=at(now)) == expected
    )


def test_unknown_when_it_was_read() -> None:
    """Figures that were read at an unknown time count as those of a past period."""
    now = at("2026-08-15T00:00")
    assert without_past(ACCOUNT, periods=Periods(), read=None, now=now) == NEXT_PERIOD


def test_what_stands_is_the_same_object() -> None:
    """If no figure is dropped, the same object is returned: it is compared often."""
    now = at("2026-08-15T00:00")
    assert without_past(ACCOUNT, periods=Periods(), read=now, now=now) is ACCOUNT


@pytest.mark.parametrize(
    ("start", "end", "following"),
    [
        pytest.param("2026-08-01", "2026-08-31", "2026-09-01", id="last day"),
        pytest.param("2026-08-01", "2026-09-01", "2026-09-01", id="first day after"),
        pytest.param("2026-08-16", "2026-09-15", "2026-09-16", id="from the 16th"),
        pytest.param("2026-08-16", "2026-09-16", "2026-09-16", id="16th to 16th"),
        pytest.param("2026-08-20", "2026-08-20", "2026-08-21", id="a day"),
        pytest.param(None, "2026-09-09", "2026-09-10", id="end alone"),
        pytest.param("2026-08-16", None, "2026-09-16", id="start alone"),
        pytest.param("2026-08-01", None, "2026-09-01", id="start of the month alone"),
        # The reported period is over, is about to end, or has not begun yet.
        pytest.param("2026-07-01", "2026-07-31", "2026-09-01", id="period before"),
        pytest.param("2026-07-21", None, "2026-08-21", id="until today"),
        pytest.param("2026-07-20", None, "2026-09-01", id="start of the period before"),
        pytest.param("2026-08-21", None, "2026-09-01", id="start in the future"),
    ],
)
def test_reported_period(start: str | None, end: str | None, following: str) -> None:
    """The monthly spend is kept until the next period begins."""
    period = BillingPeriod(start=day(start), end=day(end))
    account = replace(ACCOUNT, billing_period=period)
    read, begins = at("2026-08-20T12:00"), at(f"{following}T00:00")
    if begins > at("2026-08-21T00:00"):
        before = without_past(
            account, periods=Periods(), read=read, now=at("2026-08-21T00:00")
        )
        assert before.monthly_spend == USD
    assert (
        without_past(account, periods=Periods(), read=read, now=begins).monthly_spend
        is None
    )


@pytest.mark.parametrize(
    ("start", "read", "following"),
    [
        ("2026-01-31", "2026-02-01", "2026-02-28"),
        ("2028-01-31", "2028-02-01", "2028-02-29"),
        ("2026-12-15", "2027-01-01", "2027-01-15"),
    ],
)
def test_month_from_a_start(start: str, read: str, following: str) -> None:
    """In a month that is too short, the next period begins on the month's last day."""
    account = replace(ACCOUNT, billing_period=BillingPeriod(start=day(start)))
    begins = at(f"{following}T00:00")
    made = without_past(
        account, periods=Periods(), read=at(f"{read}T12:00"), now=begins
    )
    assert made.monthly_spend is None


def window(start: str) -> Window:
    """Return the window of a figure."""
    first = date.fromisoformat(start)
    return Window(
        amount=Decimal(5),
        since=midnight(first),
        start=first,
        earliest=first,
        latest=first,
    )


@pytest.mark.parametrize(
    ("daily", "now", "expected"),
    [
        pytest.param("2026-08-15", "2026-08-16T00:20", NEXT_DAY, id="late"),
        pytest.param("2026-08-16", "2026-08-16T23:59", ACCOUNT, id="on time"),
        pytest.param("2026-08-17", "2026-08-17T23:59", ACCOUNT, id="early"),
        pytest.param("2026-08-17", "2026-08-18T00:00", NEXT_DAY, id="early, over"),
    ],
)
def test_day_of_the_figure(daily: str, now: str, expected: AccountSnapshot) -> None:
    """The daily spend ends with its own day, whenever it was read."""
    periods = Periods(daily=window(daily))
    read = at("2026-08-16T00:10")
    assert without_past(ACCOUNT, periods=periods, read=read, now=at(now)) == expected


@pytest.mark.parametrize(
    ("monthly", "start", "end", "is_exclusive", "following"),
    [
        pytest.param("08-01", "08-01", "08-31", None, "09-01", id="last day"),
        pytest.param("08-01", "08-01", "09-01", None, "09-01", id="first day after"),
        pytest.param("08-01", "08-01", "08-31", True, "08-31", id="30 days, exclusive"),
        pytest.param("08-01", "09-01", "09-30", None, "09-01", id="late"),
        pytest.param("09-01", "08-01", "08-31", None, "10-01", id="early"),
        pytest.param("08-20", "08-20", None, None, "09-20", id="start alone"),
        pytest.param("08-20", None, None, None, "09-20", id="not reported"),
    ],
)
def test_period_of_the_figure(
    monthly: str,
    start: str | None,
    end: str | None,
    is_exclusive: bool | None,
    following: str,
) -> None:
    """The monthly spend and the counters end with their own period."""
    begins = at(f"2026-{following}T00:00")
    period = BillingPeriod(
        start=day(start and f"2026-{start}"), end=day(end and f"2026-{end}")
    )
    periods = Periods(
        daily=window("2026-12-31"),
        monthly=window(f"2026-{monthly}"),
        period=period,
        end_is_exclusive=is_exclusive,
    )
    account = replace(ACCOUNT, billing_period=period)
    dropped = replace(ONLY_NEXT_PERIOD, billing_period=period)
    for read in (begins, None):
        for now, expected in ((begins - SECOND, account), (begins, dropped)):
            made = without_past(account, periods=periods, read=read, now=now)
            assert made == expected


def test_period_that_was_over_when_it_was_read() -> None:
    """A figure is late by a day at most. Read later, it is of another period."""
    periods = Periods(daily=window("2026-10-15"), monthly=window("2026-08-01"))
    read = at("2026-10-15T12:00")
    for now, expected in (
        ("2026-10-15T12:00", ACCOUNT),
        ("2026-10-31T23:59", NEXT_DAY),
        ("2026-11-01T00:00", NEXT_PERIOD),
    ):
        made = without_past(ACCOUNT, periods=periods, read=read, now=at(now))
        assert made == expected
