"""Which day and period of a spend are shown, where two sources report it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
import json
from typing import Any

from hypothesis import given
import pytest

from custom_components.alibaba_cloud.ledger import (
    Periods,
    Reports,
    Shown,
    ShownSpend,
    merge,
    midnight,
    with_windows,
)
from custom_components.alibaba_cloud.ledger.windows import Window
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    BillingPeriod,
    Money,
    Spend,
    SpendReport,
)

from .damage import damaged


def at(text: str) -> datetime:
    """Return a time of 2026 in the billing zone, of the form `08-15 12:30`."""
    day, _, clock = text.partition(" ")
    return datetime.fromisoformat(f"2026-{day}T{clock or '00:00'}+08:00")


def day(text: str) -> date:
    """Return a day of 2026."""
    return date.fromisoformat(f"2026-{text}")


def usd(amount: str) -> Money:
    """Return an amount."""
    return Money(amount=Decimal(amount), currency="USD")


def spend(amount: str, start: str, since: str | None = None) -> Spend:
    """Return a spend since the midnight of its first day, or another time."""
    return Spend(
        amount=Decimal(amount),
        currency="USD",
        since=at(since or start),
        start=day(start),
    )


def bill(of: str, daily: str | None, monthly: str) -> SpendReport:
    """Return the bill up to a day."""
    return SpendReport(
        day=day(of),
        monthly=usd(monthly),
        daily=None if daily is None else usd(daily),
        days={},
        models={},
        complete=True,
    )


class Display:
    """What is shown of an account, look by look."""

    def __init__(self) -> None:
        """Begin with nothing shown."""
        self.shown = ShownSpend()
        self.resets: list[datetime] = []
        self.totals: dict[datetime, Decimal] = {}

    def look(
        self,
        now: str,
        *,
        own: Spend | None = None,
        billed: SpendReport | None = None,
        month: Spend | None = None,
    ) -> AccountSnapshot:
        """Show what the sources report, and add up the daily spend."""
        account = merge(
            Reports(
                account=AccountSnapshot(daily_spend=own, monthly_spend=month),
                spend=billed,
            ),
            followed=(),
            reports_usage=True,
            shown=self.shown,
        )
        self.shown = kept(self.shown.followed_by(account))
        if isinstance(daily := account.daily_spend, Spend):
            self.resets.append(daily.since)
            self.totals[daily.since] = daily.amount
        return account

    @property
    def total(self) -> Decimal:
        """What the statistics of Home Assistant make of the daily spend."""
        assert self.resets == sorted(self.resets)
        return sum(self.totals.values(), Decimal())


def kept(shown: ShownSpend) -> ShownSpend:
    """Return what was shown as it is after a restart."""

    def read(part: Shown | None) -> Shown | None:
        return part and Shown.from_dict(json.loads(json.dumps(part.as_dict())))

    known = ShownSpend(daily=read(shown.daily), monthly=read(shown.monthly))
    assert known == shown
    return known


# Where the bill steps in


def test_day_that_begins_late_does_not_come_back() -> None:
    """The bill's new day was shown: the service's old one is not shown again."""
    display = Display()
    display.look("08-15 23:50", own=spend("12", "08-15"))
    # The API key fails; the bill steps in.
    display.look("08-16 00:30", billed=bill("08-16", "0.50", "112.60"))
    # The API key works again, but its figure is still that of yesterday.
    late = display.look(
        "08-16 01:30",
        own=spend("12.10", "08-15"),
        billed=bill("08-16", "0.70", "112.80"),
    )
    assert late.daily_spend == spend("0.70", "08-16")
    alone = display.look("08-16 01:50", own=spend("12.10", "08-15"))
    assert alone.daily_spend is None
    begun = display.look("08-16 02:00", own=spend("0.90", "08-16"))
    assert begun.daily_spend == spend("0.90", "08-16")
    assert display.total == Decimal("12.90")


def test_month_that_begins_late_does_not_come_back() -> None:
    display = Display()
    display.look("08-31 23:50", month=spend("112", "08-01"))
    display.look("09-01 00:30", billed=bill("09-01", "0.50", "0.50"))
    late = display.look(
        "09-01 01:00",
        month=spend("112.10", "08-01"),
        billed=bill("09-01", "0.60", "0.60"),
    )
    assert late.monthly_spend == spend("0.60", "09-01")
    begun = display.look("09-01 02:00", month=spend("0.90", "09-01"))
    assert begun.monthly_spend == spend("0.90", "09-01")


def test_bill_that_is_late_does_not_come_back() -> None:
    """A bill of yesterday does not step in once today was shown."""
    display = Display()
    display.look("08-16 00:10", own=spend("0.10", "08-16"))
    shown = display.look("08-16 00:20", billed=bill("08-15", "12", "112"))
    assert shown.daily_spend is None


@pytest.mark.parametrize("began", ["08-15 23:10", "08-16 02:00"])
def test_bill_keeps_the_day_that_is_shown(began: str) -> None:
    """It has the service's day, wherever that began: nothing is counted twice."""
    display = Display()
    display.look("08-16 12:00", own=spend("4", "08-16", began))
    shown = display.look("08-16 12:10", billed=bill("08-16", "4.10", "100"))
    assert shown.daily_spend == spend("4.10", "08-16", began)
    again = display.look("08-16 12:20", own=spend("4.20", "08-16", began))
    assert again.daily_spend == spend("4.20", "08-16", began)
    assert display.total == Decimal("4.20")


def test_service_keeps_the_day_that_is_shown() -> None:
    """A day of the service's that began early goes on from the bill's midnight."""
    display = Display()
    display.look("08-16 12:00", billed=bill("08-16", "4", "100"))
    shown = display.look("08-16 12:10", own=spend("4.10", "08-16", "08-15 23:10"))
    assert shown.daily_spend == spend("4.10", "08-16")
    assert display.total == Decimal("4.10")


def test_figure_that_starts_again_within_a_day() -> None:
    """The first look was at yesterday's figure, which ended late."""
    display = Display()
    display.look("08-16 00:30", own=spend("12", "08-16"))
    shown = display.look("08-16 02:00", own=spend("0.10", "08-16", "08-16 02:00"))
    assert shown.daily_spend == spend("0.10", "08-16", "08-16 02:00")
    assert display.total == Decimal("12.10")


def test_first_day_that_is_corrected() -> None:
    """With the same beginning it is the same period, whatever its first day is."""
    display = Display()
    display.look("08-25 12:00", month=spend("9", "08-20", "08-01"))
    shown = display.look("08-25 12:01", month=spend("9.10", "08-19", "08-01"))
    assert shown.monthly_spend == spend("9.10", "08-19", "08-01")


# Where a clock is behind


def test_clock_that_is_behind_shows_nothing_older() -> None:
    """What the bill says then is of an earlier day than the one that was shown."""
    display = Display()
    display.look("08-15 12:00", own=spend("3", "08-15"))
    shown = display.look("08-14 12:00", billed=bill("08-14", "9", "50"))
    assert shown.daily_spend is None
    own = spend("4", "08-15")
    shown = display.look("08-14 12:01", own=own, billed=bill("08-14", "9", "50"))
    assert shown.daily_spend == own
    assert display.total == 4


# What is shown


def test_spend_without_a_window_is_unknown() -> None:
    """Where it is not clear which day it is of, the bill steps in."""
    account = AccountSnapshot(daily_spend=usd("5"), monthly_spend=usd("50"))
    for billed, daily in ((None, None), (bill("08-15", "4", "9"), spend("4", "08-15"))):
        merged = merge(
            Reports(account=account, spend=billed),
            followed=(),
            reports_usage=True,
            shown=ShownSpend(),
        )
        assert merged.daily_spend == daily


def test_missing_spend_leaves_what_was_shown() -> None:
    shown = ShownSpend(
        daily=Shown(since=at("08-15"), start=day("08-15")),
        monthly=Shown(since=at("08-01"), start=day("08-01")),
    )
    assert shown.followed_by(AccountSnapshot()) == shown
    other = shown.followed_by(AccountSnapshot(daily_spend=spend("1", "08-16")))
    assert other == ShownSpend(
        daily=Shown(since=at("08-16"), start=day("08-16")), monthly=shown.monthly
    )


def window(start: str, since: str | None = None) -> Window:
    """Return a window since the midnight of its first day, or another time."""
    return Window(
        amount=Decimal(1),
        since=at(since or start),
        start=day(start),
        earliest=day(start),
        latest=day(start),
    )


ACCOUNT = AccountSnapshot(
    daily_spend=usd("5"),
    monthly_spend=usd("50"),
    available_balance=usd("9"),
    billing_period=BillingPeriod(start=day("08-01")),
)
DAY = window("08-15", "08-14 23:30")
MONTH = window("08-01")


@pytest.mark.parametrize(
    ("periods", "daily", "monthly"),
    [
        (
            Periods(daily=DAY, monthly=MONTH),
            spend("5", "08-15", "08-14 23:30"),
            spend("50", "08-01"),
        ),
        (
            Periods(daily=DAY, monthly=MONTH, daily_is_held=True),
            None,
            spend("50", "08-01"),
        ),
        (
            Periods(daily=DAY, monthly=MONTH, monthly_is_held=True),
            spend("5", "08-15", "08-14 23:30"),
            None,
        ),
        (Periods(daily=DAY), spend("5", "08-15", "08-14 23:30"), None),
        (Periods(), None, None),
    ],
)
def test_windows(periods: Periods, daily: Spend | None, monthly: Spend | None) -> None:
    """A figure gets its day or period; where that is not clear, it is unknown."""
    placed = with_windows(ACCOUNT, periods)
    assert (placed.daily_spend, placed.monthly_spend) == (daily, monthly)
    assert placed.available_balance == ACCOUNT.available_balance
    assert placed.billing_period == ACCOUNT.billing_period


def test_windows_of_missing_figures() -> None:
    placed = with_windows(AccountSnapshot(), Periods(daily=DAY, monthly=MONTH))
    assert placed == AccountSnapshot()


# What is stored

STORED = {"since": "2026-08-14T15:30:00+00:00", "start": "2026-08-15"}


def test_stored() -> None:
    """What an earlier version stored is understood, to the letter."""
    shown = Shown(since=datetime(2026, 8, 14, 15, 30, tzinfo=UTC), start=day("08-15"))
    assert shown.as_dict() == STORED
    assert Shown.from_dict(STORED) == shown
    assert shown.since == midnight(shown.start) - timedelta(minutes=30)


@given(value=damaged(STORED))
def test_stored_and_damaged(value: Any) -> None:
    """It is read as it was written, or not at all."""
    try:
        shown = Shown.from_dict(value)
    except ValueError:
        return
    assert Shown.from_dict(shown.as_dict()) == shown
