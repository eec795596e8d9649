"""The spend of each of the last days."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
import json
from typing import Any, Self

from hypothesis import given
import pytest

from custom_components.alibaba_cloud.ledger import (
    Answer,
    Periods,
    SpendDays,
    with_answer,
)
from custom_components.alibaba_cloud.model_studio import BillingPeriod, Money

from .damage import damaged

DAY = timedelta(days=1)

type Amount = str | int


def at(text: str) -> datetime:
    """Return a time of 2026 in the billing zone, of the form `08-15 12:30`."""
    day, _, clock = text.partition(" ")
    return datetime.fromisoformat(f"2026-{day}T{clock}+08:00")


def day(text: str) -> date:
    """Return a day of 2026, of the form `08-15`."""
    return date.fromisoformat(f"2026-{text}")


def money(amount: Amount | Decimal, currency: str = "USD") -> Money:
    """Return an amount, in US dollars by default."""
    return Money(amount=Decimal(amount), currency=currency)


def kept(days: SpendDays) -> SpendDays:
    """Store and read days, as a restart does."""
    read = SpendDays.from_dict(json.loads(json.dumps(days.as_dict())))
    assert read == days
    return read


class Account:
    """An account whose figures are read, with a restart after each reading."""

    def __init__(self, period_start: str | None = None, currency: str = "USD") -> None:
        """Start with nothing known."""
        self.period = BillingPeriod(start=day(period_start) if period_start else None)
        self.currency = currency
        self.periods = Periods()
        self.days = SpendDays()

    def look(
        self,
        when: str | datetime,
        daily: Amount | None,
        monthly: Amount | None = None,
        *,
        elapsed: timedelta | None = None,
    ) -> Self:
        """Read the figures of an answer."""
        now = at(when) if isinstance(when, str) else when
        self.periods = with_answer(
            self.periods,
            Answer(
                daily=None if daily is None else Decimal(daily),
                monthly=None if monthly is None else Decimal(monthly),
                period=self.period,
            ),
            currency=self.currency,
            now=now,
            elapsed=elapsed,
        )
        self.days = kept(self.days.with_reading(self.periods, now))
        return self

    def bill(
        self,
        currency: str = "USD",
        when: str = "08-30 12:00",
        **days: Amount | Money,
    ) -> Self:
        """Read a bill of some days, each of the form `d08_15`."""
        self.days = kept(
            self.days.bill(
                {
                    day(name[1:].replace("_", "-")): figure
                    if isinstance(figure, Money)
                    else money(figure)
                    for name, figure in days.items()
                },
                currency,
                at(when),
            )
        )
        return self

    def totals(self, when: str) -> dict[str, str]:
        """Return the spend of each past day that is known at a time."""
        return {
            f"{day:%m-%d}": str(total.amount)
            for day, total in sorted(self.days.totals(at(when)).items())
        }


# Days from the account's figures


@pytest.mark.parametrize(
    ("seen", "known"),
    [
        pytest.param("08-15 22:59:59", False, id="over an hour before its end"),
        pytest.param("08-15 23:00:00", True, id="an hour before its end"),
        pytest.param("08-15 23:59:59", True, id="at its end"),
        pytest.param("08-15 00:00:00", False, id="at its start"),
    ],
)
def test_last_look_of_a_day(seen: str, known: bool) -> None:
    """A figure that is read in the last hour of a day is the day's spend."""
    expected = {"08-15": "7.5"} if known else {}
    account = Account().look(seen, "7.5", "100")
    assert account.totals("08-16 00:00") == expected
    assert account.totals("08-20 12:00") == expected


def test_today() -> None:
    """The spend of a day is known only once the day is over."""
    account = Account().look("08-15 23:30", 7)
    assert account.totals("08-15 23:59:59.999999") == {}
    assert account.totals("08-16 00:00") == {"08-15": "7"}


def test_last_look_counts() -> None:
    """The last reading of a day counts."""
    account = Account().look("08-15 23:10", 7).look("08-15 23:40", "7.20")
    assert account.totals("08-16 09:00") == {"08-15": "7.20"}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param(
            ("08-15 14:00", 5, 105),
            ("08-16 09:00", 2, 110),
            {"08-15": "8"},
            id="the next day tells",
        ),
        pytest.param(
            ("08-15 00:01", 0, 100),
            ("08-16 22:58", 20, 129),
            {"08-15": "9"},
            id="a day apart and more",
        ),
        pytest.param(
            ("08-15 23:30", 5, 105),
            ("08-16 00:30", 1, 107),
            {"08-15": "6"},
            id="rather than the last hour",
        ),
        pytest.param(
            ("08-15 14:00", 5, 105),
            ("08-16 09:00", 0, 104),
            {"08-15": "4"},
            id="a refund since",
        ),
        pytest.param(
            ("08-15 14:00", 5, 105), ("08-17 09:00", 2, 130), {}, id="a day between"
        ),
        pytest.param(
            ("08-15 23:00", 5, 105),
            ("08-17 09:00", 2, 130),
            {"08-15": "5"},
            id="a day between, and the last hour",
        ),
        pytest.param(
            ("08-15 14:00", 5), ("08-16 09:00", 2, 110), {}, id="no month before"
        ),
        pytest.param(
            ("08-15 14:00", 5, 105), ("08-16 09:00", 2), {}, id="no month after"
        ),
        pytest.param(
            ("08-15 23:00", 5, 105),
            ("08-16 09:00", 2),
            {"08-15": "5"},
            id="no month after, and the last hour",
        ),
        pytest.param(
            ("08-15 23:00", 5),
            ("08-16 09:00", 2, 107),
            {"08-15": "5"},
            id="no month before, and the last hour",
        ),
        pytest.param(("08-15 23:00", 5), ("08-16 09:00", 2), {"08-15": "5"}, id="none"),
    ],
)
def test_outage_over_midnight(
    first: tuple[str, Amount, Amount],
    second: tuple[str, Amount, Amount],
    expected: dict[str, str],
) -> None:
    """The next day's monthly figure shows what a day cost until its end.

    If the next day was missed, or either day has no monthly figure, only a reading of
    the day's last hour counts.
    """
    account = Account().look(*first).look(*second)
    assert account.totals("08-17 12:00") == expected
    assert account.totals("08-18 00:00") == expected


def test_each_day_of_a_week() -> None:
    """One reading at noon of each day is enough to know the spend of the day before."""
    account = Account()
    monthly = 0
    for number in range(1, 8):
        account.look(f"08-0{number} 12:00", number, monthly + number)
        monthly += 2 * number
    expected = {f"08-0{number}": str(2 * number) for number in range(1, 7)}
    assert account.totals("08-08 09:00") == expected


@pytest.mark.parametrize(
    ("seen", "expected"), [("08-31 22:00", {}), ("08-31 23:00", {"08-31": "5"})]
)
def test_end_of_a_month(seen: str, expected: dict[str, str]) -> None:
    """The new month's figure does not include the old month's last day."""
    account = Account().look(seen, 5, 105).look("09-01 09:00", 2, 2)
    assert account.totals("09-02 00:00") == expected


def test_end_of_a_month_within_a_period() -> None:
    """The monthly figure covers the billing period, even across the end of a month."""
    account = Account("08-15").look("08-31 12:00", 5, 105)
    account.look("09-01 09:00", 2, 110)
    assert account.totals("09-02 00:00") == {"08-31": "8"}


def test_end_of_a_period_within_a_month() -> None:
    account = Account("07-15").look("08-14 12:00", 5, 105)
    account.period = BillingPeriod(start=day("08-15"))
    account.look("08-15 09:00", 2, 2)
    assert account.totals("08-16 00:00") == {}


def test_late_roll_over() -> None:
    """Until the daily figure rolls over, it counts for the old day."""
    account = Account().look("08-15 23:30", 5).look("08-16 00:10", 6)
    assert account.totals("08-16 00:15") == {"08-15": "6"}
    account.look("08-16 00:20", 0)
    assert account.totals("08-16 00:25") == {"08-15": "6"}
    account.look("08-16 23:50", 9)
    assert account.totals("08-17 00:00") == {"08-15": "6", "08-16": "9"}


def test_days_of_the_billing_zone() -> None:
    """A billing day ends at 16:00 UTC."""
    account = Account()
    account.look(datetime(2026, 8, 15, 15, 30, tzinfo=UTC), 5)
    account.look(datetime(2026, 8, 15, 16, 30, tzinfo=UTC), "0.5")
    days = account.days
    before_it = datetime(2026, 8, 15, 15, 59, 59, tzinfo=UTC)
    assert days.totals(before_it) == {}
    over = datetime(2026, 8, 15, 16, tzinfo=UTC)
    assert days.totals(over) == {day("08-15"): money(5)}


@pytest.mark.parametrize("monthly", [None, 9])
def test_spend_of_the_day_unknown(monthly: Amount | None) -> None:
    """An answer without a daily figure adds no reading."""
    days = Account().look("08-15 23:30", None, monthly).days
    assert days == SpendDays()


def test_nothing_seen_yet() -> None:
    days = SpendDays()
    assert days.with_reading(Periods(), at("08-15 12:00")) is days


def test_currency_changed() -> None:
    """A new currency drops the readings and bills in the old one."""
    account = Account().look("08-14 23:30", 5).bill(d08_13=4)
    account.currency = "CNY"
    account.look("08-15 23:30", 30)
    assert account.days.totals(at("08-16 12:00")) == {day("08-15"): money(30, "CNY")}


def test_month_that_is_not_clear() -> None:
    """A held monthly figure is not used for the spend of the day before."""
    account = Account("08-01").look("08-31 23:30", 5, 105)
    account.look("09-01 00:00", 0, 105, elapsed=timedelta(minutes=30))
    account.look("09-01 00:01", None, 1, elapsed=timedelta(minutes=1))
    assert account.periods.monthly_is_held
    assert account.totals("09-02 00:00") == {"08-31": "5"}


# Billed days


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param("08-16 00:00", "7", id="at once"),
        pytest.param("08-16 11:59:59", "7", id="before noon"),
        pytest.param("08-16 12:00", "7.77", id="at noon"),
        pytest.param("08-30 00:00", "7.77", id="later"),
    ],
)
def test_bill_of_yesterday(now: str, expected: str) -> None:
    """A day's bill replaces its reading, but only from the next noon on.

    Before noon, the bill may be incomplete.
    """
    account = Account().look("08-15 23:30", 7).bill(when=now, d08_15="7.77")
    assert account.totals("08-30 00:00") == {"08-15": expected}


def test_noon_of_the_billing_zone() -> None:
    billed = {day("08-15"): money(7)}
    noon = datetime(2026, 8, 16, 4, tzinfo=UTC)
    days = SpendDays()
    early = noon - timedelta(seconds=1)
    assert days.bill(billed, "USD", early).totals(early) == {}
    assert days.bill(billed, "USD", noon).totals(noon) == {day("08-15"): money(7)}


def test_bill_of_days_not_seen() -> None:
    """Each day is known from its bill or, without a bill, from its reading."""
    account = Account().bill(when="08-17 11:59", d08_12=2, d08_13=3, d08_16=6)
    account.look("08-13 23:30", 9, 90).look("08-14 23:30", 4, 94)
    account.look("08-15 23:30", 5, 99)
    expected = {"08-12": "2", "08-13": "3", "08-14": "4", "08-15": "5"}
    assert account.totals("08-17 11:59") == expected
    account.bill(when="08-17 12:00", d08_16=6, d08_17=7)
    assert account.totals("08-17 12:00") == {**expected, "08-16": "6"}


def test_least_spend_of_a_day() -> None:
    """It includes what was billed so far, until the day is known."""
    account = Account().bill(when="08-16 23:50", d08_15=4, d08_16=6)
    now = at("08-17 00:10")
    assert account.totals("08-17 00:10") == {"08-15": "4"}
    least = {day("08-15"): money(4), day("08-16"): money(6)}
    assert account.days.at_least(at("08-16 23:50")) == {day("08-15"): money(4)}
    assert account.days.at_least(now) == least
    # The bill of the next month does not list the day.
    account.bill(when="08-17 13:00", d08_17=1)
    assert account.days.at_least(now) == least
    account.bill(when="08-17 14:00", d08_16="6.5")
    assert account.days.at_least(now) == least | {day("08-16"): money("6.5")}
    account.bill("CNY", when="08-17 15:00", d08_17=money(1, "CNY"))
    assert account.days.at_least(now) == {}


def test_idle_days() -> None:
    """They are known, also before the first spend."""
    account = Account().bill(d08_12=0, d08_13=4, d08_14=0)
    expected = {"08-12": "0", "08-13": "4", "08-14": "0"}
    assert account.totals("08-17 12:00") == expected


def test_bill_of_nothing_and_of_refunds() -> None:
    """Bills of zero and of refunds count like any other."""
    account = Account().look("08-14 23:30", 9)
    account.bill(d08_13=3, d08_14=0, d08_15="-2.5")
    assert account.totals("08-17 00:00") == {
        "08-13": "3",
        "08-14": "0",
        "08-15": "-2.5",
    }


def test_bill_revised() -> None:
    """A new bill replaces the old bill of the same days and keeps other days."""
    account = Account().bill(d08_14=4, d08_15=5).bill(d08_15="5.10").bill(d08_16=6)
    expected = {"08-14": "4", "08-15": "5.10", "08-16": "6"}
    assert account.totals("08-17 12:00") == expected


def test_bill_without_news() -> None:
    """A bill that changes nothing returns the same object, so nothing is written."""
    days = Account().bill(d08_14=4, d08_15=5).days
    now = at("08-30 12:00")
    assert days.bill({day("08-15"): money("5.00")}, "USD", now) is days
    assert days.bill({}, "USD", now) is days
    assert days.bill({}, "CNY", now) is days
    assert days.bill({day("08-15"): money(9, "CNY")}, "USD", now) is days
    assert days.bill({day("08-15"): money("5.01")}, "USD", now) is not days


def test_bill_in_another_currency() -> None:
    """Only amounts in the account's currency count. A new currency drops the old."""
    account = Account().look("08-13 23:30", 3).bill(d08_14=4)
    account.bill("CNY", d08_15=money(50, "CNY"), d08_16=6)
    assert account.days.currency == "CNY"
    assert account.totals("08-18 12:00") == {"08-15": "50"}


# Hours


def until(days: SpendDays, when: str) -> dict[str, str]:
    """Return what past days had cost by the end of the hour of a time."""
    return {
        f"{day:%m-%d}": str(spend.amount)
        for day, spend in days.until_hour(at(when)).items()
    }


def test_spend_until_an_hour() -> None:
    """The last reading in the hour counts, and neighbouring hours do not."""
    account = Account().look("08-14 09:00", 1, 1).look("08-14 09:59:59", 2, 2)
    account.look("08-14 10:00", 3, 3)
    account.look("08-15 09:30", 7, 10).look("08-15 11:00", 8, 11)
    assert until(account.days, "08-16 09:00") == {"08-14": "2", "08-15": "7"}
    assert until(account.days, "08-16 10:59:59") == {"08-14": "3"}
    assert until(account.days, "08-16 08:00") == {}
    assert until(account.days, "08-15 09:45") == {"08-14": "2"}


def test_hours_of_the_billing_zone() -> None:
    days = Account().look(datetime(2026, 8, 14, 15, 30, tzinfo=UTC), 5).days
    now = datetime(2026, 8, 15, 15, tzinfo=UTC)
    assert days.until_hour(now) == {day("08-14"): money(5)}


def test_hour_after_a_late_roll_over() -> None:
    """Until the figure rolls over, it is of no hour of the new day."""
    account = Account().look("08-14 23:30", 5).look("08-15 00:10", 6)
    assert until(account.days, "08-16 00:30") == {}
    assert until(account.days, "08-16 23:30") == {"08-14": "5"}
    account.look("08-15 00:20", 0)
    assert until(account.days, "08-16 00:30") == {"08-15": "0"}


# Stored days


def test_eight_weeks_of_looks() -> None:
    """Readings are dropped once no forecast uses them."""
    account = Account("06-01")
    first = at("06-01 23:30")
    spent = 0
    for number in range(70):
        spent += number
        account.look(first + number * DAY, number, spent)
    oldest, last = first.date() + 12 * DAY, first.date() + 69 * DAY
    assert sorted(account.days.readings) == [oldest + n * DAY for n in range(58)]
    assert max(account.days.readings) == last
    totals = account.days.totals(first + 70 * DAY)
    assert totals[last - 56 * DAY] == money(13)


def test_eight_weeks_of_bills() -> None:
    first = day("06-01")
    billed = {first + number * DAY: money(number) for number in range(70)}
    now = datetime.combine(first + 70 * DAY, time(5), UTC)
    days = SpendDays().bill(billed, "USD", now)
    assert sorted(days.billed) == [first + n * DAY for n in range(13, 70)]
    days = days.bill({first + 70 * DAY: money(1)}, "USD", now + DAY)
    assert sorted(days.billed) == [first + n * DAY for n in range(14, 71)]


@pytest.mark.parametrize("ahead", ["2026-09-30 12:00:30", "2099-08-15 12:00:30"])
@pytest.mark.parametrize("daily", [2, 3])
def test_clock_that_is_ahead_once(ahead: str, daily: int) -> None:
    """One answer with a clock that is ahead drops no past day."""
    account = Account().look("08-13 23:30", 3, 3).look("08-14 23:30", 4, 7)
    account.bill(when="08-15 12:00", d08_12=2).look("08-15 12:00", 2, 9)
    before = account.days
    seconds = timedelta(seconds=30)
    account.look(
        datetime.fromisoformat(f"{ahead}+08:00"),
        daily,
        7 + daily,
        elapsed=seconds,
    )
    assert account.days.readings.keys() == before.readings.keys() - {day("08-15")}
    account.look("08-15 12:01", daily, 7 + daily, elapsed=seconds)
    assert account.days.readings.keys() == before.readings.keys()
    assert account.days.billed == before.billed
    expected = {"08-12": "2", "08-13": "3", "08-14": "4"}
    assert account.totals("08-15 12:01") == expected
    account.look("08-15 23:30", 6, 13).look("08-16 00:30", 0, 13)
    assert account.totals("08-16 00:30") == {**expected, "08-15": "6"}


def test_clock_that_is_behind_after_a_restart() -> None:
    """A restart with a clock that is behind neither drops nor adds days."""
    account = Account().look("08-14 23:30", 4, 7).look("08-15 12:00", 2, 9)
    account.look("08-01 00:00", 2, 9)
    account.look("08-15 12:10", 3, 10, elapsed=timedelta(minutes=1))
    assert account.days.readings.keys() == {day("08-14"), day("08-15")}
    assert account.totals("08-16 00:00") == {"08-14": "4"}


def test_clock_that_is_set_by_minutes() -> None:
    """No day is lost, whether the machine paused or its clock was corrected."""
    account = Account().look("08-12 23:30", 1, 1)
    for night in range(13, 20):
        account.look(f"08-{night} 02:00", 0, night - 12)
        # Paused for five minutes.
        account.look(f"08-{night} 02:06", 0, night - 12, elapsed=timedelta(minutes=1))
        rest = timedelta(hours=21, minutes=24)
        account.look(f"08-{night} 23:30", 1, night - 11, elapsed=rest)
    assert account.totals("08-20 00:00") == {f"08-{n}": "1" for n in range(12, 20)}


@pytest.mark.parametrize("clock", ["08-14 12:02", "08-14 11:30"])
def test_clock_that_is_set_after_a_restart(clock: str) -> None:
    """Until it is trusted, nothing is known of the days: a machine kept the old time."""
    account = Account().look("08-13 23:50", 6, 20).look("08-14 12:00", 6, 26)
    account.look(clock, 5, 31)
    elapsed = timedelta(minutes=1)
    account.look("08-15 20:00", 5, 31, elapsed=elapsed)
    account.look("08-15 23:30", 11, 37, elapsed=timedelta(hours=3, minutes=30))
    account.look("08-16 12:00", 6, 43, elapsed=timedelta(hours=12, minutes=30))
    assert account.totals("08-17 00:00") == {"08-13": "6"}
    account.look("08-17 12:00", 6, 49, elapsed=timedelta(days=1))
    account.look("08-17 23:30", 8, 51, elapsed=timedelta(hours=11, minutes=30))
    assert account.totals("08-18 00:00") == {"08-13": "6", "08-17": "8"}


@pytest.mark.parametrize(
    ("daily", "monthly"),
    [
        pytest.param(8, None, id="the month"),
        pytest.param(None, 108, id="the day"),
        pytest.param(None, None, id="both"),
    ],
)
def test_answer_that_lacks_a_figure(daily: int | None, monthly: int | None) -> None:
    """A missing figure does not change the period's spend before the day."""
    account = Account().look("08-15 14:00", 5, 105)
    account.look("08-15 15:00", daily, monthly)
    account.look("08-16 09:00", 2, 111)
    assert account.totals("08-17 00:00") == {"08-15": "9"}


def test_figures_of_which_the_day_is_not_clear() -> None:
    """A held daily figure adds no reading until an answer shows its day."""
    account = Account().look("08-15 23:30", 5, 105)
    before = account.days
    account.look("08-16 00:10", 1, None)
    assert account.periods.daily_is_held
    assert account.days == before
    account.look("08-16 00:11", 1, 106)
    assert account.totals("08-17 00:00") == {"08-15": "5"}


def test_long_gap() -> None:
    """The first reading after months drops all older ones."""
    account = Account().look("01-15 23:30", 5, 50).look("08-15 23:30", 7, 70)
    assert list(account.days.readings) == [day("08-15")]


STORED: dict[str, Any] = {
    "currency": "USD",
    "looks": {
        "2026-08-14": {
            "seen": "2026-08-14T14:00:00+08:00",
            "daily": "5.10",
            "monthly": None,
            "month": "2026-08-14",
            "hours": {"14": "5.10"},
        },
        "2026-08-15": {
            "seen": "2026-08-15T23:30:00+08:00",
            "daily": "2",
            "monthly": "107.10",
            "month": "2026-08-01",
            "hours": {"23": "2"},
        },
    },
    "billed": {"2026-08-13": "4.00"},
    "unsettled": {"2026-08-14": "5.00"},
}


def test_stored() -> None:
    """The stored format stays the same, so data of earlier versions can be read."""
    account = Account().bill(when="08-14 13:00", d08_13="4.00", d08_14="5.00")
    account.look("08-14 14:00", "5.10")
    account.look(datetime(2026, 8, 15, 15, 30, tzinfo=UTC), 2, "107.10")
    assert account.days.as_dict() == STORED
    read = SpendDays.from_dict(json.loads(json.dumps(STORED)))
    assert read == account.days
    assert read.totals(at("08-16 12:00")) == account.days.totals(at("08-16 12:00"))


@given(value=damaged(STORED))
def test_stored_and_damaged(value: Any) -> None:
    """Damaged data raises `ValueError`, or is read as data that can be stored."""
    try:
        days = SpendDays.from_dict(value)
    except ValueError:
        return
    assert kept(days) == days


@pytest.mark.parametrize("hour", ["24", "-1", "noon", "", "1.5"])
def test_hour_that_does_not_exist(hour: str) -> None:
    data = {"2026-08-15": STORED["looks"]["2026-08-15"] | {"hours": {hour: "2"}}}
    with pytest.raises(ValueError):
        SpendDays.from_dict(STORED | {"looks": data})


def test_stored_before_unsettled_days_were() -> None:
    account = Account().bill(d08_13="4.00")
    earlier = {k: v for k, v in account.days.as_dict().items() if k != "unsettled"}
    assert SpendDays.from_dict(earlier) == account.days


def test_nothing_stored() -> None:
    empty = {"currency": "", "looks": {}, "billed": {}, "unsettled": {}}
    assert SpendDays().as_dict() == empty
    assert kept(SpendDays()) == SpendDays()
    assert SpendDays().totals(at("08-15 12:00")) == {}
