"""Since when the spend of a day or month adds up."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
import json
from random import Random

import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    BillingPeriod,
    Money,
    SpendWindow,
    billed_since,
    follow_account,
)
from custom_components.alibaba_cloud.model_studio.spend import (
    BILLING_TIME_ZONE,
    follow_spend,
)

YEAR_AND_MONTH = "2026-08"
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
CENT = Decimal("0.01")


def at(text: str) -> datetime:
    """Return a time of August 2026 in the billing zone, of the form `15 12:30:00`."""
    day, _, clock = text.partition(" ")
    return datetime.fromisoformat(f"{YEAR_AND_MONTH}-{day}T{clock or '00:00:00'}+08:00")


def midnight(now: datetime) -> datetime:
    """Return when the day began, in the billing zone."""
    return datetime.combine(
        now.astimezone(BILLING_TIME_ZONE), time.min, BILLING_TIME_ZONE
    )


def follow(looks: Iterable[tuple[datetime, Decimal]]) -> list[SpendWindow]:
    """Return the windows of a day's spend, after each of the looks at it."""
    window = None
    windows = []
    for now, amount in looks:
        window = follow_spend(window, amount, now=now, start=midnight(now))
        assert (window.seen, window.amount) == (now, amount)
        windows.append(window)
    return windows


def since(*looks: tuple[str, str]) -> datetime:
    """Return since when the spend adds up after some looks at it."""
    return follow((at(when), Decimal(amount)) for when, amount in looks)[-1].since


def total(windows: Iterable[SpendWindow]) -> Decimal:
    """Return what was spent in all: what each window came to in the end."""
    last = {window.since: window.amount for window in windows}
    return sum(last.values(), Decimal(0))


@pytest.mark.parametrize("amount", ["0", "0.01", "12.34", "-3"])
@pytest.mark.parametrize("when", ["15 00:00:00", "15 12:30:00", "15 23:59:59"])
def test_first_look(when: str, amount: str) -> None:
    """What is there has been spent since the day began."""
    assert since((when, amount)) == at("15")


@pytest.mark.parametrize(
    "amounts",
    [
        pytest.param(["0", "0", "0"], id="idle"),
        pytest.param(["1", "2", "3"], id="growth"),
        pytest.param(["1", "1", "900"], id="growth at once"),
        pytest.param(["12.34", "12.30", "12.31"], id="corrected by cents"),
        pytest.param(["12.34", "12.25", "12.30"], id="corrected by nine cents"),
        pytest.param(["0.08", "0.03", "0.05"], id="little, corrected by cents"),
        pytest.param(["0.05", "0", "0.02"], id="little, corrected to nothing"),
        pytest.param(["12.34", "7.00", "7.10"], id="refund of less than half"),
        pytest.param(["0", "-5", "-5"], id="refund of what was spent before"),
        pytest.param(["5", "-3", "-2.5"], id="refund of more than was spent"),
        pytest.param(["-5", "-6", "-20"], id="negative, and falling"),
        pytest.param(["-5", "-2", "0"], id="negative, and rising"),
        pytest.param(["-5", "0", "3"], id="from negative to positive"),
    ],
)
@pytest.mark.parametrize(
    "times",
    [
        pytest.param(["12:00:00", "12:00:30", "12:01:00"], id="often"),
        pytest.param(["00:00:00", "09:00:00", "23:59:59"], id="seldom"),
    ],
)
def test_within_a_day(amounts: list[str], times: list[str]) -> None:
    """Growth, corrections and refunds leave the window as it is."""
    windows = follow(
        (at(f"15 {when}"), Decimal(amount))
        for when, amount in zip(times, amounts, strict=True)
    )
    assert {window.since for window in windows} == {at("15")}


@pytest.mark.parametrize(
    ("before", "after"),
    [("12.34", "12.34"), ("12.34", "12.39"), ("12.34", "12.30"), ("12.34", "12.25")],
)
@pytest.mark.parametrize("when", ["16 00:00:00", "16 00:00:20", "16 00:45:00"])
def test_correction_just_after_midnight(before: str, after: str, when: str) -> None:
    """A service that rolls over late may still revise yesterday's bill."""
    assert since(("15 23:59:50", before), (when, after)) == at("15")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("12.34", "0"),
        ("12.34", "0.01"),
        ("12.34", "6"),
        ("12.34", "12.24"),
        ("0.10", "0"),
        ("0.05", "0"),
        ("0.05", "0.02"),
        ("0.01", "0"),
        ("900", "899"),
    ],
)
@pytest.mark.parametrize("when", ["16 00:00:00", "16 00:00:20", "16 00:45:00"])
def test_drop_over_midnight(before: str, after: str, when: str) -> None:
    """A new day began, and exactly at its start, whenever it was seen."""
    assert since(("15 23:59:50", before), (when, after)) == at("16")


def test_midnight_is_that_of_the_billing_zone() -> None:
    """The time of a look may be in any zone; a day begins at 16:00 UTC."""
    looks = [
        (datetime(2026, 8, 15, 15, 59, 45, tzinfo=UTC), Decimal(12)),
        (datetime(2026, 8, 15, 16, 0, 15, tzinfo=UTC), Decimal(0)),
    ]
    first, second = follow(looks)
    assert first.since == datetime(2026, 8, 14, 16, tzinfo=UTC)
    assert second.since == datetime(2026, 8, 15, 16, tzinfo=UTC)
    assert timedelta(hours=8) == BILLING_TIME_ZONE.utcoffset(None)


def test_drop_in_the_middle_of_a_day() -> None:
    """A service of another zone rolls over when it is seen to."""
    polls = [(at("15 07:59:50"), Decimal("12.34"))]
    for day in ("15", "16", "17"):
        fallen = at(f"{day} 08:00:20")
        while (now := polls[-1][0] + 10 * MINUTE) < fallen:
            polls.append((now, polls[-1][1] + CENT))
        polls.append((fallen, CENT))
        windows = follow(polls)
        assert windows[-1].since == fallen
    assert len({window.since for window in windows}) == 4


@pytest.mark.parametrize(
    ("before", "after", "rolls_over"),
    [
        ("10.00", "5.00", True),
        ("10.00", "4.99", True),
        ("10.00", "5.01", False),
        ("10.00", "9.90", False),
        ("1.00", "0.50", True),
        ("1.00", "0.51", False),
    ],
)
def test_within_a_day_a_drop_is_one_to_half(
    before: str, after: str, rolls_over: bool
) -> None:
    found = since(("15 12:00:00", before), ("15 12:00:30", after))
    assert found == (at("15 12:00:30") if rolls_over else at("15"))


@pytest.mark.parametrize("minutes", [1, 5, 30, 55])
def test_late_roll_over_is_waited_for(minutes: int) -> None:
    """Until the figure falls it is yesterday's, and it has fallen when it is seen to."""
    polls = [(at("15 23:59:40"), Decimal(12))]
    fallen = at("16") + minutes * MINUTE
    while (now := polls[-1][0] + 30 * SECOND) < fallen:
        polls.append((now, polls[-1][1] + CENT))
    windows = follow(polls)
    assert {window.since for window in windows} == {at("15")}
    windows = follow([*polls, (fallen, CENT), (fallen + MINUTE, 2 * CENT)])
    assert windows[-1].since == windows[-2].since == fallen
    assert total(windows) == polls[-1][1] + 2 * CENT


def test_late_roll_over_seen_from_midnight_on() -> None:
    """Who looked at midnight sharp knows that nothing had fallen by then."""
    looks = [("15 23:59:30", "12"), ("16 00:00:00", "12"), ("16 00:00:30", "0")]
    assert since(*looks) == at("16 00:00:30")


def test_look_at_midnight_leaves_nothing_unseen() -> None:
    """However long nobody looks after it."""
    looks = [("15 23:59:30", "12"), ("16 00:00:00", "12"), ("16 08:00:00", "12.30")]
    assert since(*looks) == at("15")


@pytest.mark.parametrize("before", ["15 22:00:00", "15 09:00:00", "13 12:00:00"])
@pytest.mark.parametrize("after", ["0", "0.50", "12", "12.30", "12.34", "12.40", "500"])
def test_restart_over_midnight(before: str, after: str) -> None:
    """After a long time without a look the clock tells, whatever the figure says."""
    assert since((before, "12.34"), ("16 08:00:00", after)) == at("16")


def test_restart_within_a_day() -> None:
    """However long it took."""
    assert since(("15 00:10:00", "1"), ("15 23:00:00", "12")) == at("15")
    assert since(("15 00:10:00", "1"), ("15 23:00:00", "0.95")) == at("15")


@pytest.mark.parametrize(
    ("gap", "rolls_over"),
    [(HOUR - SECOND, False), (HOUR, False), (HOUR + SECOND, True)],
)
def test_an_hour_without_a_look_is_long(gap: timedelta, rolls_over: bool) -> None:
    """Within it more than yesterday's spend is still yesterday's."""
    now = at("16 00:10:00")
    last = follow([(now - gap, Decimal(12)), (now, Decimal(13))])[-1]
    assert last.since == (at("16") if rolls_over else at("15"))


def test_idle_days() -> None:
    """Where nothing is spent nothing falls, and nothing is lost or counted twice."""
    looks = [
        ("14 23:59:30", "3"),
        ("15 00:00:10", "0"),
        ("15 12:00:00", "0"),
        ("15 12:30:00", "0"),
        ("15 23:59:40", "0"),
        ("16 00:00:10", "0"),
        ("16 23:59:40", "0"),
        ("17 00:00:10", "0"),
        ("17 00:30:00", "1"),
        ("17 00:45:00", "4"),
    ]
    windows = follow((at(when), Decimal(amount)) for when, amount in looks)
    assert windows[1].since == at("15")
    assert total(windows) == 7
    assert windows[-1].since <= at("17")


IDLE_DAY = [("14 23:59:40", "0"), ("15 00:00:10", "0"), ("15 00:30:00", "0")]
"""The night after a day without spend."""


def test_restart_on_the_day_after_an_idle_one() -> None:
    """Hours without a look at noon are no roll-over, though none was seen at night."""
    polls = [(at(when), Decimal(amount)) for when, amount in IDLE_DAY]
    while polls[-1][0] < at("15 11:00:00"):
        polls.append((polls[-1][0] + 10 * MINUTE, polls[-1][1] + CENT))
    spent = polls[-1][1]
    windows = follow([*polls, (at("15 13:00:00"), spent), (at("15 14:00:00"), spent)])
    assert total(windows) == spent
    assert windows[-1].since <= at("15")


@pytest.mark.parametrize("corrected", ["0.03", "0.02", "0"])
def test_correction_on_the_day_after_an_idle_one(corrected: str) -> None:
    """Cents are taken back from what is little yet; that is no roll-over either."""
    looks = [*IDLE_DAY, ("15 00:40:00", "0.06"), ("15 00:40:30", corrected)]
    windows = follow((at(when), Decimal(amount)) for when, amount in looks)
    assert total(windows) == Decimal(corrected)
    assert windows[-1].since <= at("15")


def test_window_survives_a_restart() -> None:
    """As JSON has it, to the last digit and zone."""
    window = SpendWindow(
        amount=Decimal("12.50"),
        seen=datetime(2026, 8, 15, 12, 0, 0, 123456, tzinfo=BILLING_TIME_ZONE),
        since=datetime(2026, 8, 15, tzinfo=BILLING_TIME_ZONE),
    )
    stored = json.loads(json.dumps(window.as_dict()))
    assert stored == {
        "amount": "12.50",
        "seen": "2026-08-15T12:00:00.123456+08:00",
        "since": "2026-08-15T00:00:00+08:00",
    }
    restored = SpendWindow.from_dict(stored)
    assert restored == window
    assert str(restored.amount) == "12.50"
    assert restored.seen.utcoffset() == timedelta(hours=8)


def usd(amount: str | None) -> Money | None:
    """Return an amount in US dollars."""
    return None if amount is None else Money(amount=Decimal(amount), currency="USD")


def snapshot(
    daily: str | None = None, monthly: str | None = None, start: date | None = None
) -> AccountSnapshot:
    """Return an account with these figures."""
    return AccountSnapshot(
        daily_spend=usd(daily),
        monthly_spend=usd(monthly),
        billing_period=BillingPeriod(start=start),
    )


NOON = at("15 12:00:00")
WINDOWS = follow_account({}, snapshot("5", "100"), NOON)


def test_day_and_month() -> None:
    """Both begin at midnight of the billing zone, in whatever zone the clock is."""
    for zone in (UTC, BILLING_TIME_ZONE, timezone(-12 * HOUR), timezone(14 * HOUR)):
        assert follow_account({}, snapshot("5", "100"), NOON.astimezone(zone)) == {
            "daily_spend": SpendWindow(amount=Decimal(5), seen=NOON, since=at("15")),
            "monthly_spend": SpendWindow(
                amount=Decimal(100), seen=NOON, since=at("01")
            ),
        }


def test_zero_is_a_figure() -> None:
    windows = follow_account({}, snapshot("0", "0"), NOON)
    assert windows.keys() == {"daily_spend", "monthly_spend"}


@pytest.mark.parametrize(
    "start", [date(2026, 8, 1), date(2026, 7, 20), date(2026, 8, 14)]
)
@pytest.mark.parametrize("monthly", ["100", "1", "-5", "0"])
def test_month_begins_with_the_billing_period(start: date, monthly: str) -> None:
    """Where the service says when, nothing is guessed from the figure."""
    expected = SpendWindow(
        amount=Decimal(monthly),
        seen=NOON + MINUTE,
        since=datetime.combine(start, time.min, BILLING_TIME_ZONE),
    )
    for windows in ({}, WINDOWS):
        account = snapshot(None, monthly, start)
        followed = follow_account(windows, account, NOON + MINUTE)
        assert followed["monthly_spend"] == expected


@pytest.mark.parametrize(
    ("minutes", "amount", "rolled_over"),
    [
        (0, "100", False),
        (1, "100", False),
        (1, "100.40", False),
        (1, "0.40", True),
        (1, "-3", True),
        (24 * 60 - 1, "101", False),
        (24 * 60, "101", True),
    ],
)
def test_billing_period_is_reported_before_its_spend(
    minutes: int, amount: str, *, rolled_over: bool
) -> None:
    """What still is the spend of the period before is not taken for that of this one."""
    first, second = date(2026, 7, 16), date(2026, 8, 16)
    windows = follow_account({}, snapshot(None, "100", first), at("15 23:59:50"))
    for now in (at("16 00:00:20"), *(at("16") + n * HOUR for n in range(1, 24))):
        if now < at("16") + minutes * MINUTE:
            windows = follow_account(windows, snapshot(None, "100", second), now)
    windows = follow_account(
        windows, snapshot(None, amount, second), at("16") + minutes * MINUTE
    )
    assert windows["monthly_spend"].since == datetime.combine(
        second if rolled_over else first, time.min, BILLING_TIME_ZONE
    )


def test_billing_period_goes_and_comes() -> None:
    """While the service does not say, the month goes on from where it said."""
    windows = follow_account({}, snapshot("5", "100", date(2026, 7, 20)), NOON)
    windows = follow_account(windows, snapshot("5", "101"), NOON + MINUTE)
    assert windows["monthly_spend"].since in (
        datetime(2026, 7, 20, tzinfo=BILLING_TIME_ZONE),
        at("01"),
    )
    windows = follow_account(
        windows, snapshot("5", "101", date(2026, 7, 20)), NOON + 2 * MINUTE
    )
    assert windows["monthly_spend"].since == datetime(
        2026, 7, 20, tzinfo=BILLING_TIME_ZONE
    )


def test_day_ends_within_a_month() -> None:
    windows = follow_account({}, snapshot("5", "100"), at("15 23:59:50"))
    windows = follow_account(windows, snapshot("0.02", "100.02"), at("16 00:00:20"))
    assert windows["daily_spend"].since == at("16")
    assert windows["monthly_spend"].since == at("01")


def test_day_goes_on_until_its_figure_falls() -> None:
    windows = follow_account({}, snapshot("5"), at("15 23:59:50"))
    windows = follow_account(windows, snapshot("5.02"), at("16 00:00:20"))
    assert windows["daily_spend"].since == at("15")


def test_month_ends() -> None:
    windows = follow_account({}, snapshot("5", "100"), at("31 23:59:50"))
    now = at("31 23:59:50") + 30 * SECOND
    windows = follow_account(windows, snapshot("0", "0"), now)
    first = datetime(2026, 9, 1, tzinfo=BILLING_TIME_ZONE)
    assert windows["daily_spend"].since == windows["monthly_spend"].since == first


def test_month_that_ends_unseen() -> None:
    windows = follow_account({}, snapshot("5", "100"), at("20"))
    now = datetime(2026, 9, 25, tzinfo=UTC)
    windows = follow_account(windows, snapshot("7", "150"), now)
    assert windows["monthly_spend"].since == datetime(
        2026, 9, 1, tzinfo=BILLING_TIME_ZONE
    )


@pytest.mark.parametrize(
    ("account", "changed"),
    [
        (snapshot(), set()),
        (snapshot(daily="6"), {"daily_spend"}),
        (snapshot(monthly="101"), {"monthly_spend"}),
        (snapshot(start=date(2026, 8, 1)), set()),
    ],
)
def test_missing_figure_stays_in_its_window(
    account: AccountSnapshot, changed: set[str]
) -> None:
    followed = follow_account(WINDOWS, account, NOON + MINUTE)
    assert followed.keys() == WINDOWS.keys()
    for key, window in followed.items():
        assert (window != WINDOWS[key]) is (key in changed)


def test_windows_are_not_changed_in_place() -> None:
    before = dict(WINDOWS)
    followed = follow_account(WINDOWS, snapshot("6", "101"), NOON + MINUTE)
    assert before == WINDOWS
    assert followed is not WINDOWS
    assert followed["daily_spend"] == replace(
        WINDOWS["daily_spend"], amount=Decimal(6), seen=NOON + MINUTE
    )


@pytest.mark.parametrize(
    ("key", "day"),
    [
        ("daily_spend", "15"),
        ("monthly_spend", "01"),
        ("other_models_daily_spend", "15"),
        ("other_models_monthly_spend", "01"),
    ],
)
def test_bill_begins_with_its_day_or_month(key: str, day: str) -> None:
    assert billed_since(key, date(2026, 8, 15)) == at(day)


@dataclass(frozen=True, kw_only=True)
class Look:
    """A poll: when it was, and the service's day and figure at the time."""

    now: datetime
    day: int
    amount: Decimal


def polls(random: Random, days: int, *, restarts: bool) -> list[datetime]:
    """Return times 30 s to 20 min apart, with hours between them at restarts."""
    now = at("01") + random.uniform(0, 20) * HOUR
    times = []
    while now < at("01") + days * DAY:
        times.append(now)
        restart = restarts and random.random() < 0.01
        now += (
            random.uniform(1.1, 14) * HOUR
            if restart
            else random.choice((30 * SECOND, random.uniform(0.5, 20) * MINUTE))
        )
    return times


def days_of(
    random: Random, times: list[datetime], offset: timedelta, *, late: bool
) -> Iterator[int]:
    """Yield the day the service is at in each of the polls.

    Its days begin that much after midnight, and where it is late up to half an hour
    later still. It is never late in a night in which nobody looks for more than an
    hour: nobody could tell.
    """
    day = 0
    begins = at("01") + DAY + offset
    delay = timedelta()
    for before, now in pairwise([times[0], *times]):
        while now >= begins + (delay if now - before <= HOUR else timedelta()):
            day += 1
            begins += DAY
            delay = random.uniform(0, 30) * MINUTE if late else timedelta()
        yield day


def history(
    random: Random, *, offset: timedelta, late: bool, restarts: bool
) -> list[Look]:
    """Return two months of spend, some of them idle, with corrections of a few cents.

    A correction takes no more than half of what is spent, and the first that is seen
    of a day is at most a quarter of the day before, unless it comes after hours: else
    no figure could tell a day from the next.
    """
    times = polls(random, 60, restarts=restarts)
    looks: list[Look] = []
    growth = 0
    for now, day in zip(times, days_of(random, times, offset, late=late), strict=True):
        last = looks[-1] if looks else None
        if last is None or day != last.day:
            # Cents at each look: an idle day, a quiet one, a busy one.
            growth = random.choice((0, 0, 3, 40))
            cents = random.randint(0, growth)
            if last and last.amount and now - last.now <= HOUR:
                cents = min(cents, int(last.amount * 100) // 4)
            amount = cents * CENT
        elif last.amount >= 20 * CENT and random.random() < 0.03:
            amount = last.amount - random.randint(1, 5) * CENT
        else:
            amount = last.amount + random.randint(0, growth) * CENT
        looks.append(Look(now=now, day=day, amount=amount))
    return looks


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("offset", "late", "restarts"),
    [
        pytest.param(timedelta(), False, False, id="on time"),
        pytest.param(timedelta(), True, False, id="late"),
        pytest.param(timedelta(), False, True, id="restarts"),
        pytest.param(timedelta(), True, True, id="late, restarts"),
        pytest.param(8 * HOUR, False, False, id="another zone"),
        pytest.param(-5 * HOUR, True, False, id="another zone, late"),
    ],
)
def test_windows_add_up_to_what_was_spent(
    offset: timedelta, late: bool, restarts: bool, seed: int
) -> None:
    """Whatever the days were like: nothing is lost, and nothing is counted twice."""
    looks = history(Random(seed), offset=offset, late=late, restarts=restarts)
    windows = follow((look.now, look.amount) for look in looks)
    spent = sum({look.day: look.amount for look in looks}.values(), Decimal(0))
    assert total(windows) == spent
    for before, after in pairwise(windows):
        assert before.since <= after.since <= after.seen


@pytest.mark.parametrize("seed", range(4))
def test_windows_begin_with_the_days(seed: int) -> None:
    """Where the service is on time, a window begins at a midnight, and no later."""
    looks = history(Random(seed), offset=timedelta(), late=False, restarts=True)
    for window, look in zip(
        follow((look.now, look.amount) for look in looks), looks, strict=True
    ):
        assert window.since == midnight(window.since)
        if look.amount:
            began = [other.now for other in looks if other.day == look.day]
            assert window.since <= midnight(began[0])
