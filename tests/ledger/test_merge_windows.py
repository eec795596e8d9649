"""The day and the period of a spend that both the account and the bill report."""

from datetime import UTC, datetime, timedelta
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
    Spend,
    SpendReport,
)

from .common import at, day, usd
from .damage import damaged


def spend(amount: str, start: str, since: str | None = None) -> Spend:
    """Return a spend since the midnight of its first day, or since another time."""
    return Spend(
        amount=Decimal(amount),
        currency="USD",
        since=at(since or start),
        start=day(start),
    )


def bill(of: str, daily: str | None, monthly: str) -> SpendReport:
    """Return the bill of a month up to a day."""
    return SpendReport(
        day=day(of),
        monthly=usd(monthly),
        daily=None if daily is None else usd(daily),
        days={},
        groups={},
        complete=True,
    )


class Display:
    """Shows the spend of an account, and sums it up as Home Assistant does."""

    def __init__(self) -> None:
        """Start with nothing shown."""
        self.shown = ShownSpend()
        self.resets: list[datetime] = []
        self.totals: dict[datetime, Decimal] = {}

    def show(
        self,
        now: str,
        *,
        own: Spend | None = None,
        billed: SpendReport | None = None,
        month: Spend | None = None,
    ) -> AccountSnapshot:
        """Show the reported spend. `own` and `month` are the account's own figures."""
        account = merge(
            Reports(
                account=AccountSnapshot(daily_spend=own, monthly_spend=month),
                spend=billed,
            ),
            followed=(),
            reports_usage=True,
            shown=self.shown,
        )
        self.shown = restarted(self.shown.after(account))
        if isinstance(daily := account.daily_spend, Spend):
            self.resets.append(daily.since)
            self.totals[daily.since] = daily.amount
        return account

    @property
    def total(self) -> Decimal:
        """The long-term sum of the daily spend in Home Assistant."""
        assert self.resets == sorted(self.resets)
        return sum(self.totals.values(), Decimal())


def restarted(shown: ShownSpend) -> ShownSpend:
    """Store and read the shown windows, as a restart does."""

    def read(part: Shown | None) -> Shown | None:
        if part is None:
            return None
        return Shown.from_dict(json.loads(json.dumps(part.as_dict())))

    stored = ShownSpend(daily=read(shown.daily), monthly=read(shown.monthly))
    assert stored == shown
    return stored


# When the bill steps in


def test_old_day_is_not_shown_again() -> None:
    """Once the bill's new day is shown, the account's old day is ignored."""
    display = Display()
    display.show("08-15 23:50", own=spend("12", "08-15"))
    # The API key fails; the bill steps in.
    display.show("08-16 00:30", billed=bill("08-16", "0.50", "112.60"))
    # The API key works again, but its figure is still that of yesterday.
    late = display.show(
        "08-16 01:30",
        own=spend("12.10", "08-15"),
        billed=bill("08-16", "0.70", "112.80"),
    )
    assert late.daily_spend == spend("0.70", "08-16")
    alone = display.show("08-16 01:50", own=spend("12.10", "08-15"))
    assert alone.daily_spend is None
    begun = display.show("08-16 02:00", own=spend("0.90", "08-16"))
    assert begun.daily_spend == spend("0.90", "08-16")
    assert display.total == Decimal("12.90")


def test_old_month_is_not_shown_again() -> None:
    display = Display()
    display.show("08-31 23:50", month=spend("112", "08-01"))
    display.show("09-01 00:30", billed=bill("09-01", "0.50", "0.50"))
    late = display.show(
        "09-01 01:00",
        month=spend("112.10", "08-01"),
        billed=bill("09-01", "0.60", "0.60"),
    )
    assert late.monthly_spend == spend("0.60", "09-01")
    begun = display.show("09-01 02:00", month=spend("0.90", "09-01"))
    assert begun.monthly_spend == spend("0.90", "09-01")


def test_late_bill_is_not_shown() -> None:
    """Once today is shown, yesterday's bill is ignored."""
    display = Display()
    display.show("08-16 00:10", own=spend("0.10", "08-16"))
    shown = display.show("08-16 00:20", billed=bill("08-15", "12", "112"))
    assert shown.daily_spend is None


@pytest.mark.parametrize("began", ["08-15 23:10", "08-16 02:00"])
def test_bill_keeps_the_day_that_is_shown(began: str) -> None:
    """The bill keeps the account's `last_reset`, so that nothing is counted twice."""
    display = Display()
    display.show("08-16 12:00", own=spend("4", "08-16", began))
    shown = display.show("08-16 12:10", billed=bill("08-16", "4.10", "100"))
    assert shown.daily_spend == spend("4.10", "08-16", began)
    again = display.show("08-16 12:20", own=spend("4.20", "08-16", began))
    assert again.daily_spend == spend("4.20", "08-16", began)
    assert display.total == Decimal("4.20")


def test_account_keeps_the_day_that_is_shown() -> None:
    """An account's day that began early keeps the bill's `last_reset`."""
    display = Display()
    display.show("08-16 12:00", billed=bill("08-16", "4", "100"))
    shown = display.show("08-16 12:10", own=spend("4.10", "08-16", "08-15 23:10"))
    assert shown.daily_spend == spend("4.10", "08-16")
    assert display.total == Decimal("4.10")


def test_figure_that_rolls_over_within_a_day() -> None:
    """A figure that rolls over late begins a second window on the same day."""
    display = Display()
    display.show("08-16 00:30", own=spend("12", "08-16"))
    shown = display.show("08-16 02:00", own=spend("0.10", "08-16", "08-16 02:00"))
    assert shown.daily_spend == spend("0.10", "08-16", "08-16 02:00")
    assert display.total == Decimal("12.10")


def test_first_day_that_is_corrected() -> None:
    """A corrected first day with the same `last_reset` starts no new period."""
    display = Display()
    display.show("08-25 12:00", month=spend("9", "08-20", "08-01"))
    shown = display.show("08-25 12:01", month=spend("9.10", "08-19", "08-01"))
    assert shown.monthly_spend == spend("9.10", "08-19", "08-01")


# A clock that is behind


def test_clock_that_is_behind_shows_no_earlier_day() -> None:
    """While the clock is behind, the bill of an earlier day is ignored."""
    display = Display()
    display.show("08-15 12:00", own=spend("3", "08-15"))
    shown = display.show("08-14 12:00", billed=bill("08-14", "9", "50"))
    assert shown.daily_spend is None
    own = spend("4", "08-15")
    shown = display.show("08-14 12:01", own=own, billed=bill("08-14", "9", "50"))
    assert shown.daily_spend == own
    assert display.total == 4


# Windows of the figures


def test_spend_without_a_window_is_unknown() -> None:
    """While the day of a spend is unknown, the bill steps in."""
    account = AccountSnapshot(daily_spend=usd("5"), monthly_spend=usd("50"))
    for billed, daily in ((None, None), (bill("08-15", "4", "9"), spend("4", "08-15"))):
        merged = merge(
            Reports(account=account, spend=billed),
            followed=(),
            reports_usage=True,
            shown=ShownSpend(),
        )
        assert merged.daily_spend == daily


def test_missing_spend_keeps_what_was_shown() -> None:
    shown = ShownSpend(
        daily=Shown(since=at("08-15"), start=day("08-15")),
        monthly=Shown(since=at("08-01"), start=day("08-01")),
    )
    assert shown.after(AccountSnapshot()) == shown
    other = shown.after(AccountSnapshot(daily_spend=spend("1", "08-16")))
    assert other == ShownSpend(
        daily=Shown(since=at("08-16"), start=day("08-16")), monthly=shown.monthly
    )


def window(start: str, since: str | None = None) -> Window:
    """Return a window since the midnight of its first day, or since another time."""
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
    """A figure gets its day or period. A held figure is unknown."""
    placed = with_windows(ACCOUNT, periods)
    assert (placed.daily_spend, placed.monthly_spend) == (daily, monthly)
    assert placed.available_balance == ACCOUNT.available_balance
    assert placed.billing_period == ACCOUNT.billing_period


def test_windows_of_missing_figures() -> None:
    placed = with_windows(AccountSnapshot(), Periods(daily=DAY, monthly=MONTH))
    assert placed == AccountSnapshot()


# The stored data

STORED = {"since": "2026-08-14T15:30:00+00:00", "start": "2026-08-15"}


def test_stored() -> None:
    """The stored format stays the same."""
    shown = Shown(since=datetime(2026, 8, 14, 15, 30, tzinfo=UTC), start=day("08-15"))
    assert shown.as_dict() == STORED
    assert Shown.from_dict(STORED) == shown
    assert shown.since == midnight(shown.start) - timedelta(minutes=30)


@given(value=damaged(STORED))
def test_damaged(value: Any) -> None:
    """Damaged data raises `ValueError`, or is read as data that can be stored."""
    try:
        shown = Shown.from_dict(value)
    except ValueError:
        return
    assert Shown.from_dict(shown.as_dict()) == shown
