"""What reports say of a day or a billing cycle that is over is left out."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from custom_components.alibaba_cloud.ledger import (
    Periods,
    Reports,
    current_reports,
    midnight,
)
from custom_components.alibaba_cloud.ledger.windows import Window
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    BillingPeriod,
    Dimension,
    GroupSpend,
    SpendReport,
)
from custom_components.alibaba_cloud.model_studio.usage import (
    DayUsage,
    ModelRate,
    ModelTotals,
    UsageRates,
    UsageTotals,
)

from .common import billing_period, day, spend, usd

BILL = SpendReport(
    day=day("08-31"),
    monthly=usd(9),
    daily=usd(4),
    days={day("08-31"): usd(4)},
    groups={"a": GroupSpend(monthly=usd(5), daily=usd(1))},
    complete=True,
    day_complete=True,
)
ACCOUNT = AccountSnapshot(
    available_balance=usd(1),
    daily_spend=spend(4, "08-31"),
    monthly_spend=spend(9, "08-01"),
    tokens_used=6,
    requests_used=7,
)
CLOSED_DAY = DayUsage(start=midnight(day("08-29")), models={})
TOTALS = UsageTotals(
    since=midnight(day("08-01")),
    tokens=6,
    requests=7,
    models={"a": ModelTotals(tokens=6)},
    closed_day=CLOSED_DAY,
)
OF_MONTH = replace(
    BILL,
    daily=None,
    day_complete=False,
    groups={"a": GroupSpend(monthly=usd(5), daily=None)},
)
AUGUST = "08-01/08-31"


def moment(text: str) -> datetime:
    """Return the start of a day of the billing zone, in UTC."""
    return midnight(day(text)).astimezone(UTC)


def current(
    reports: Reports, today: str, period: str | None = None, *, is_live: bool = True
) -> Reports:
    """Return the reports at the start of a day."""
    month = Window(
        amount=Decimal(9),
        since=moment("08-01"),
        start=day("08-01"),
        earliest=day("08-01"),
        latest=day("08-01"),
    )
    reported = BillingPeriod() if period is None else billing_period(period)
    periods = Periods(monthly=month, period=reported)
    return current_reports(reports, periods=periods, now=moment(today), is_live=is_live)


@pytest.mark.parametrize(
    ("read", "today", "expected"),
    [
        ("08-31", "08-31", BILL),
        ("08-30", "08-31", replace(OF_MONTH, day=day("08-30"))),
        ("08-01", "08-31", replace(OF_MONTH, day=day("08-01"))),
        ("08-31", "09-01", SpendReport(day=day("09-01"))),
        ("07-31", "09-02", SpendReport(day=day("09-02"))),
        # The clock was ahead when the bill was read.
        ("09-01", "08-31", replace(BILL, day=day("09-01"))),
    ],
)
def test_bill(read: str, today: str, expected: SpendReport) -> None:
    """A new day drops the day of each owner, and a new month drops all of the bill."""
    bill = replace(BILL, day=day(read))
    reports = Reports(spend=bill, groups={Dimension.WORKSPACE: bill})
    made = current(reports, today)
    assert made.spend == expected
    assert made.groups == {Dimension.WORKSPACE: expected}


@pytest.mark.parametrize(
    ("today", "period", "is_day"),
    [
        ("08-31", AUGUST, True),
        ("09-01", AUGUST, False),
        ("09-01", None, False),
        # A day may begin early.
        ("08-30", AUGUST, True),
    ],
)
def test_quotas(today: str, period: str | None, is_day: bool) -> None:
    """A service that is late may still report a day that is over."""
    expected = ACCOUNT if is_day else replace(ACCOUNT, daily_spend=None)
    assert current(Reports(account=ACCOUNT), today, period).account == expected


@pytest.mark.parametrize(
    ("since", "today", "period", "is_current"),
    [
        ("08-01", "08-31", None, True),
        ("08-01", "09-01", None, False),
        ("08-01", "09-01", AUGUST, False),
        ("08-01", "09-01", "08-01/09-14", True),
        ("09-01", "09-01", AUGUST, True),
        (None, "08-31", None, False),
    ],
)
def test_totals(
    since: str | None, today: str, period: str | None, is_current: bool
) -> None:
    """A new billing cycle drops the totals. The closed day is a past day anyway."""
    totals = replace(TOTALS, since=None if since is None else moment(since))
    expected = totals if is_current else UsageTotals(models={}, closed_day=CLOSED_DAY)
    assert current(Reports(totals=totals), today, period).totals == expected


@pytest.mark.parametrize("is_live", [True, False])
def test_rates(is_live: bool) -> None:
    """The usage of a past minute is dropped. That of the day stays."""
    rates = UsageRates(models={"a": ModelRate(tokens_per_minute=6)}, today=CLOSED_DAY)
    shown = current(Reports(rates=rates), "08-31", is_live=is_live).rates
    assert shown is not None
    assert dict(shown.models) == (rates.models if is_live else {})
    assert shown.today == CLOSED_DAY


def test_nothing_read() -> None:
    for is_live in (True, False):
        assert current(Reports(), "09-01", AUGUST, is_live=is_live) == Reports()
