"""The forecast of an account's spend."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.alibaba_cloud.ledger import BILLING_TIME_ZONE
from custom_components.alibaba_cloud.ledger.forecast import (
    LEAST_DAYS,
    WINDOW,
    Forecast,
    forecast_period,
    reached_at,
)

# Hypothesis warns about its own random generator.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

# Each example takes long to generate, and the input of a forecast is trusted.
FEWER = settings(max_examples=max(25, settings().max_examples // 10))

TODAY = date(2026, 8, 13)
"""A Thursday."""
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
CENT = Decimal("0.01")

type Amounts = Sequence[Decimal | int | None]
"""The spend of consecutive days, yesterday last. None is unknown."""


def before(today: date, amounts: Amounts) -> dict[date, Decimal]:
    """Return the spend of the days before `today`."""
    first = today - len(amounts) * DAY
    return {
        first + number * DAY: Decimal(amount)
        for number, amount in enumerate(amounts)
        if amount is not None
    }


def at(clock: str, day: date = TODAY) -> datetime:
    """Return a time of a billing day."""
    return datetime.combine(day, time.fromisoformat(clock), BILLING_TIME_ZONE)


def forecast(
    amounts: Amounts,
    *,
    spent: Decimal | str | int = 0,
    now: datetime | None = None,
    days: int = 19,
) -> Forecast:
    """Return the forecast of a period that lasts for some more days, today included."""
    now = now or at("00:00")
    made = forecast_period(
        before(now.date(), amounts),
        spent=Decimal(spent),
        now=now,
        end=now.date() + (days - 1) * DAY,
    )
    assert made is not None
    return made


def reached(
    amounts: Amounts,
    left: Decimal | str | int,
    now: datetime | None = None,
    days: int | None = None,
) -> datetime | None:
    """Return when `left` more will be spent, within some days, today included."""
    now = now or at("00:00")
    return reached_at(
        before(now.date(), amounts),
        left=Decimal(left),
        now=now,
        end=None if days is None else now.date() + (days - 1) * DAY,
    )


def money(least: int, most: int) -> st.SearchStrategy[Decimal]:
    """Return amounts with cents, between two whole amounts."""
    return st.integers(100 * least, 100 * most).map(lambda cents: cents * CENT)


def known(amounts: st.SearchStrategy[Decimal]) -> st.SearchStrategy[list[Decimal]]:
    """Return the spend of enough consecutive days for a forecast."""
    return st.lists(amounts, min_size=LEAST_DAYS, max_size=WINDOW.days)


SPENT = st.one_of(money(0, 50), money(0, 10**6), st.just(Decimal()))
REFUNDED = st.one_of(SPENT, money(-50, 0), money(-(10**6), 0))
MOMENTS = st.timedeltas(timedelta(), timedelta(days=4000)).map(
    lambda since: at("00:00", date(2020, 1, 1)) + since
)
DAYS = st.integers(1, 40)


# The spend of a period


def test_three_days() -> None:
    """With three known days, a coming day is expected to cost the middle amount."""
    made = forecast([2, 400, 3], spent="1.234", now=at("12:00"), days=3)
    assert made.projected == Decimal("1.234") + Decimal("2.5") * 3


def test_interval() -> None:
    """Even if all days cost the same, the interval allows for drift of the level."""
    # 1.2816 x 5 % of 30 x the square root of 3 days / 3
    assert forecast([10] * 20, spent=5, days=3) == Forecast(
        projected=Decimal(35), low=Decimal("33.08"), high=Decimal("36.92")
    )


@pytest.mark.parametrize(("days", "off"), [(2, Decimal("2.57")), (3, Decimal("3.69"))])
def test_interval_where_days_differ(days: int, off: Decimal) -> None:
    """The interval also covers the differences between days."""
    # The standard deviation of a day is 1. The weights are 2^(-1/4), 2^(-2/4), 2^(-3/4).
    # The square of their sum is 2.942 times the sum of their squares. For 2 days, the
    # variance is 2 + 2² / 2.942, and (5 % of 20)² x 2 / 3 more for drift of the level.
    # The interval ends 1.2816 x its square root above and below the projection.
    projected = Decimal(10 * days)
    assert forecast([9, 10, 11], days=days) == Forecast(
        projected=projected, low=projected - off, high=projected + off
    )


def test_interval_widens() -> None:
    """The interval is wider the further away the end is."""
    forecasts = [forecast([5, 9, 14, 6, 10, 12, 8, 11], days=n) for n in range(20)]
    widths = [made.high - made.low for made in forecasts]
    assert widths[0] == 0
    assert widths == sorted(set(widths))


def test_weekdays() -> None:
    """A weekday is expected to cost its past average, with one average day added."""
    week = [7, 7, 0, 0, 7, 7, 7]  # from Thursday on
    totals = [forecast(week * 8, days=days).projected for days in range(8)]
    costs = [float(totals[day + 1] - totals[day]) for day in range(7)]
    working, weekend = costs[0], costs[2]
    assert costs == pytest.approx(
        [working if day else weekend for day in week], abs=0.02
    )
    # (8 x 7 + 5) / 9 and (8 x 0 + 5) / 9
    assert working / weekend == pytest.approx(61 / 5, rel=0.02)
    assert sum(costs) == pytest.approx(sum(week), rel=0.03)


def test_few_weeks() -> None:
    """A weekday that was idle once is expected to cost up to half of the others."""
    totals = [forecast([10] * 5 + [0] * 2, days=days).projected for days in range(8)]
    costs = [totals[day + 1] - totals[day] for day in range(7)]
    assert costs[5] == costs[6] > costs[0] / 3
    assert costs[5] < costs[0] / 2


@pytest.mark.parametrize(
    ("amounts", "like"),
    [
        pytest.param([10] * 40 + [20] * 16, 20, id="twice as much for two weeks"),
        pytest.param([10] * 50 + [0] * 14, 0, id="nothing for two weeks"),
        pytest.param([0] * 42 + [10] * 14, 10, id="begun two weeks ago"),
    ],
)
def test_level(amounts: list[int], like: int) -> None:
    """After two weeks at another level, the level before hardly counts."""
    assert forecast(amounts, days=7).projected == pytest.approx(7 * like, abs=8)


@pytest.mark.parametrize("day", [0, 10, 19])
@pytest.mark.parametrize("amount", [1000, 10**15, -1000, -(10**15)])
def test_one_burst(day: int, amount: int) -> None:
    """One burst or refund widens the interval without changing the forecast."""
    amounts = [10] * 20
    amounts[day] = amount
    made = forecast(amounts, spent=99)
    assert made.projected == 99 + 19 * 10
    # Another burst or refund may come.
    assert made.high > forecast([10] * 20, spent=99).high


def test_bursts() -> None:
    """One burst in two weeks hardly changes the forecast."""
    calm = [9, 10, 11, 10, 9, 11, 10] * 8
    stormy = [500 if day % 15 == 1 else amount for day, amount in enumerate(calm)]
    assert stormy.count(500) == 4
    as_usual = float(forecast(calm).projected)
    assert float(forecast(stormy).projected) == pytest.approx(as_usual, rel=0.1)


@pytest.mark.parametrize(
    ("now", "spent", "projected"),
    [
        ("00:00", "0", "10"),
        ("06:00", "3", "10.50"),
        ("12:00", "40.125", "45.125"),
        ("23:59:59.999", "9", "9"),
    ],
)
def test_last_day(now: str, spent: str, projected: str) -> None:
    """The rest of today is expected to cost its share of a usual day."""
    made = forecast([10] * 10, spent=spent, now=at(now), days=1)
    assert made.projected == Decimal(projected)


def test_past_the_end() -> None:
    """Once a period is over, the forecast equals the spend."""
    made = forecast([10, 20, 30], spent=7, days=0)
    assert made == Forecast(projected=Decimal(7), low=Decimal(7), high=Decimal(7))


def test_beyond_sight() -> None:
    """An end more than 366 days away is a placeholder and gets no forecast."""
    daily = before(TODAY, [10] * 10)
    for end, seen in ((366, True), (367, False), (300_000, False)):
        made = forecast_period(
            daily, spent=Decimal(), now=at("12:00"), end=TODAY + end * DAY
        )
        assert (made is not None) is seen


@pytest.mark.parametrize(
    "amounts",
    [
        [],
        [10, 10],
        [10, None, 10, None],
        [*[10] * 30, *[None] * (WINDOW.days - 2)],
    ],
)
def test_too_few_days(amounts: Amounts) -> None:
    """Two known days are not enough. Days before the window do not count."""
    daily = before(TODAY, amounts)
    # Neither today nor later days count.
    daily |= {TODAY + number * DAY: Decimal(10) for number in range(5)}
    for now in (at("00:00"), at("23:59")):
        assert forecast_period(daily, spent=Decimal(5), now=now, end=TODAY) is None
        assert reached_at(daily, left=Decimal(5), now=now) is None


@FEWER
@given(amounts=st.lists(st.none() | REFUNDED, max_size=80), now=MOMENTS)
def test_three_day_rule(amounts: list[Decimal | None], now: datetime) -> None:
    """There is a forecast exactly if three or more days of the window are known."""
    days = [amount for amount in amounts[-WINDOW.days :] if amount is not None]
    made = forecast_period(
        before(now.date(), amounts), spent=Decimal(), now=now, end=now.date()
    )
    assert (made is not None) is (len(days) >= LEAST_DAYS)


@FEWER
@given(amounts=known(REFUNDED), spent=REFUNDED, now=MOMENTS, days=DAYS)
def test_order(
    amounts: list[Decimal], spent: Decimal, now: datetime, days: int
) -> None:
    """The projection is in the interval, which begins at the spend so far or above."""
    made = forecast(amounts, spent=spent, now=now, days=days)
    assert spent <= made.low <= made.projected <= made.high


@FEWER
@given(amounts=known(REFUNDED), spent=REFUNDED, more=REFUNDED, now=MOMENTS, days=DAYS)
def test_spent_so_far(
    amounts: list[Decimal], spent: Decimal, more: Decimal, now: datetime, days: int
) -> None:
    """The spend so far is added to each figure of the forecast."""
    one = forecast(amounts, spent=spent, now=now, days=days)
    other = forecast(amounts, spent=spent + more, now=now, days=days)
    assert other == Forecast(
        projected=one.projected + more, low=one.low + more, high=one.high + more
    )


@FEWER
@given(amounts=known(REFUNDED), now=MOMENTS, days=DAYS, later=st.floats(0, 1))
def test_less_to_come(
    amounts: list[Decimal], now: datetime, days: int, later: float
) -> None:
    """The forecast does not rise during a day, nor is it lower for a later end."""
    made = forecast(amounts, now=now, days=days)
    midnight = at("00:00", now.date() + DAY)
    then = now + later * (midnight - SECOND - now)
    if then > now:
        assert forecast(amounts, now=then, days=days).projected <= made.projected
    assert forecast(amounts, now=now, days=days + 1).projected >= made.projected


@FEWER
@given(amounts=known(SPENT), now=MOMENTS, days=DAYS)
def test_bounded(amounts: list[Decimal], now: datetime, days: int) -> None:
    """No day is expected to cost over nine times as much as the most expensive one."""
    made = forecast(amounts, now=now, days=days)
    assert made.projected <= 9 * days * max(amounts) + CENT


@FEWER
@given(amount=SPENT, days=DAYS, data=st.data())
def test_same_each_day(amount: Decimal, days: int, data: st.DataObject) -> None:
    """If all known days cost the same, each coming day is expected to as well."""
    amounts = data.draw(
        st.lists(st.sampled_from([amount, None]), max_size=60).map(
            lambda some: [*some, amount, amount, amount]
        )
    )
    made = forecast(amounts, days=days)
    assert made.projected == pytest.approx(days * amount, rel=Decimal("1e-9"), abs=CENT)


@FEWER
@given(amounts=known(REFUNDED), days=DAYS, power=st.integers(1, 6))
def test_currency_of_other_size(amounts: list[Decimal], days: int, power: int) -> None:
    """If all amounts are multiplied by a factor, the forecast is as well."""
    one = forecast(amounts, days=days)
    factor = 10**power
    other = forecast([amount * factor for amount in amounts], days=days)
    for name in ("low", "projected", "high"):
        assert getattr(other, name) == pytest.approx(
            getattr(one, name) * factor, rel=Decimal("1e-6"), abs=factor * CENT
        )


@FEWER
@given(
    amounts=known(REFUNDED),
    number=st.integers(0, WINDOW.days - 1),
    days=DAYS,
    above=SPENT,
)
def test_size_of_a_burst(
    amounts: list[Decimal], number: int, days: int, above: Decimal
) -> None:
    """The most expensive day counts as much as the second most expensive one."""
    number %= len(amounts)
    others = amounts[:number] + amounts[number + 1 :]
    highest = max(others)
    least = [*amounts[:number], highest, *amounts[number + 1 :]]
    burst = [*amounts[:number], highest + above, *amounts[number + 1 :]]
    assert forecast(burst, days=days).projected == forecast(least, days=days).projected


@FEWER
@given(
    amounts=known(REFUNDED),
    other=st.dictionaries(st.integers(-100, 100), REFUNDED),
    now=MOMENTS,
    days=DAYS,
    zone=st.sampled_from([UTC, ZoneInfo("America/New_York"), ZoneInfo("Asia/Tokyo")]),
    data=st.data(),
)
def test_what_does_not_matter(
    amounts: list[Decimal],
    other: dict[int, Decimal],
    now: datetime,
    days: int,
    zone: tzinfo,
    data: st.DataObject,
) -> None:
    """Days outside the window, the order of days and the time zone change nothing."""
    today = now.date()
    daily = before(today, amounts)
    beside = {
        today + number * DAY: amount
        for number, amount in other.items()
        if number >= 0 or number < -WINDOW.days
    }
    shuffled = dict(data.draw(st.permutations([*(daily | beside).items()])))
    end = today + (days - 1) * DAY
    spent = Decimal(7)
    made = forecast_period(daily, spent=spent, now=now, end=end)
    assert made == forecast_period(
        shuffled, spent=spent, now=now.astimezone(zone), end=end
    )
    assert reached_at(daily, left=spent, now=now) == reached_at(
        shuffled, left=spent, now=now.astimezone(zone)
    )


@FEWER
@given(
    amounts=known(st.one_of(money(-(10**18), 10**18), st.just(Decimal("1e-18")))),
    now=MOMENTS,
)
def test_largest_figures(amounts: list[Decimal], now: datetime) -> None:
    """The largest and smallest amounts of the service give a valid forecast."""
    made = forecast(amounts, spent="1e18", now=now, days=367)
    assert made.low <= made.projected <= made.high
    for left in ("1e-18", "1e18"):
        assert (reached(amounts, left, now) or now) >= now


# When an amount is reached


@pytest.mark.parametrize(
    ("left", "now", "expected"),
    [
        pytest.param("5", "00:00", "2026-08-13 12:00", id="today"),
        pytest.param("2.5", "12:00", "2026-08-13 18:00", id="in the afternoon"),
        pytest.param("20", "12:00", "2026-08-15 12:00", id="in two days"),
        pytest.param("0.01", "23:00", "2026-08-13 23:01:26.4", id="at once"),
        pytest.param("185", "12:00", "2026-09-01 00:00", id="in weeks"),
    ],
)
def test_reached(left: str, now: str, expected: str) -> None:
    """Each day costs 10, spread evenly over its hours."""
    moment = reached([10] * 10, left, at(now))
    assert moment
    assert moment.utcoffset() == timedelta(hours=8)
    assert abs(moment - datetime.fromisoformat(f"{expected}+08:00")) < SECOND


def test_reached_on_a_weekday() -> None:
    """An amount lasts longer over a cheap weekend: until Monday instead of Sunday."""
    week = [7, 7, 0, 0, 7, 7, 7]  # from Thursday on
    moment = reached(week * 8, 17)
    assert moment
    assert moment.date() == date(2026, 8, 17)


@pytest.mark.parametrize("left", ["0", "-0.01", "-100"])
def test_reached_already(left: str) -> None:
    """There is no time if the amount is already spent."""
    assert reached([10] * 10, left) is None


@pytest.mark.parametrize("amounts", [[0] * 20, [-10] * 20, [10] + [0] * 20])
def test_never_reached(amounts: list[int]) -> None:
    """An amount is never reached if no spend is expected."""
    assert reached(amounts, "0.01") is None


def test_in_sight() -> None:
    """A limit counts until the period ends. A balance may last for up to 366 days."""
    assert reached([10] * 10, "29.99", days=3)
    assert reached([10] * 10, "30.01", days=3) is None
    assert reached([8] * 3, 24, days=3) == at("00:00", TODAY + 3 * DAY)
    assert reached([10] * 10, "3669.99")
    assert reached([10] * 10, "3670.01") is None
    assert reached([10] * 10, "3670.01", days=300_000) is None
    assert reached([10] * 10, "0.01", days=0) is None


@FEWER
@given(amounts=known(REFUNDED), left=SPENT, now=MOMENTS, days=DAYS)
def test_both_agree(
    amounts: list[Decimal], left: Decimal, now: datetime, days: int
) -> None:
    """A limit is reached in a period exactly if the forecast is above the limit."""
    moment = reached(amounts, left, now, days)
    to_come = forecast(amounts, now=now, days=days).projected
    if moment:
        assert now <= moment <= at("00:00", now.date() + days * DAY)
        assert to_come >= left - CENT
        # Up to the day before, the forecast does not exceed the amount.
        before_it = forecast(amounts, now=now, days=(moment.date() - now.date()).days)
        assert before_it.projected <= left + CENT
    elif left:
        assert to_come <= left + CENT


@FEWER
@given(amounts=known(REFUNDED), left=SPENT, more=SPENT, now=MOMENTS)
def test_more_lasts_longer(
    amounts: list[Decimal], left: Decimal, more: Decimal, now: datetime
) -> None:
    """A larger amount is never used up earlier."""
    late = reached(amounts, left + more, now)
    soon = reached(amounts, left, now)
    if late and left:
        assert soon
        assert soon <= late
