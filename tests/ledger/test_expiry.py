"""Kept figures are dropped once their day or billing period is over."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from custom_components.alibaba_cloud.ledger import without_past
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    BillingPeriod,
    Money,
)

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
NEXT_PERIOD = replace(
    NEXT_DAY, monthly_spend=None, tokens_used=None, requests_used=None
)


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
    assert without_past(ACCOUNT, read=at(read), now=at(now)) == expected


def test_unknown_when_it_was_read() -> None:
    """Figures that were read at an unknown time count as those of a past period."""
    now = at("2026-08-15T00:00")
    assert without_past(ACCOUNT, read=None, now=now) == NEXT_PERIOD


def test_what_stands_is_the_same_object() -> None:
    """If no figure is dropped, the same object is returned: it is compared often."""
    now = at("2026-08-15T00:00")
    assert without_past(ACCOUNT, read=now, now=now) is ACCOUNT


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
        before = without_past(account, read=read, now=at("2026-08-21T00:00"))
        assert before.monthly_spend == USD
    assert without_past(account, read=read, now=begins).monthly_spend is None


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
    made = without_past(account, read=at(f"{read}T12:00"), now=begins)
    assert made.monthly_spend is None
