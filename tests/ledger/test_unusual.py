"""Alerts of days that cost unusually much."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from benchmarks.unusual import LEAST, MOST, STEADY, backtest
from benchmarks.years import KINDS, Kind
from custom_components.alibaba_cloud.ledger import AlertOptions, Observation, midnight
from custom_components.alibaba_cloud.ledger.unusual import LEAST_DAYS, usual_day
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    Money,
    Outlook,
    UsualDay,
)

from .common import Account, Look, spend, usd, written

TODAY = date(2026, 8, 13)
HOUR = timedelta(hours=1)
USUAL = UsualDay(spend=Decimal(10), unusual_above=Decimal(30))


def before(*amounts: int | str) -> dict[date, Decimal]:
    """Return what was spent on the days before today, yesterday last."""
    first = TODAY - timedelta(days=len(amounts))
    return {
        first + timedelta(days=number): Decimal(amount)
        for number, amount in enumerate(amounts)
    }


def spent(
    today: Money | None, usual: UsualDay | None = USUAL, *, is_on: bool = True
) -> Look:
    """Return a look at the spend of a day."""
    account = AccountSnapshot(daily_spend=today, outlook=Outlook(usual_day=usual))
    seen = Observation(account_id="account", account=account)
    return Look(seen, AlertOptions(unusual_spend=is_on))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_made_up_years(kind: Kind) -> None:
    """There is at most one false alert in a month.

    Five times the usual cost is found.
    """
    found = backtest(kind, 1)
    assert found.false <= MOST
    if kind.__name__ in STEADY:
        assert found.by_hour[-1] >= LEAST


def test_days_that_are_alike() -> None:
    """A day that costs more than three times as much is unusual."""
    for days in (LEAST_DAYS, 56):
        assert usual_day(before(*[10] * days), TODAY) == USUAL
    assert usual_day(before(*["0.01"] * 56), TODAY) == UsualDay(
        spend=Decimal("0.01"), unusual_above=Decimal("0.03")
    )


def test_days_that_differ() -> None:
    """It also exceeds the usual cost by four standard deviations."""
    usual = usual_day(before(*[0, 20] * 28), TODAY)
    assert usual is not None
    # Of 56 days, each 10 off: 10 x the root of 56 / 55, times 4.
    assert usual.unusual_above - usual.spend == pytest.approx(Decimal("40.36"), abs=1)


@pytest.mark.parametrize(
    ("until_hour", "above"),
    [
        pytest.param([4] * 56, 20, id="twice a day"),
        pytest.param([8] * 56, 24, id="three times what is usual by then"),
        pytest.param([10] * 56, 30, id="last hour"),
        pytest.param([11] * 56, 30, id="more than in the day: refunds"),
        pytest.param([4] * LEAST_DAYS, 20, id="enough days"),
        pytest.param([4] * (LEAST_DAYS - 1), 30, id="too few days"),
        pytest.param([], 30, id="no day"),
    ],
)
def test_spend_until_an_hour(until_hour: list[int], above: int) -> None:
    """Days that cost 10 had cost `until_hour` by the same hour."""
    usual = usual_day(before(*[10] * 56), TODAY, before(*until_hour))
    assert usual == UsualDay(spend=Decimal(10), unusual_above=Decimal(above))


@pytest.mark.parametrize(
    ("cost", "above"),
    [
        pytest.param(5, 54, id="less"),
        pytest.param(20, 54, id="as much"),
        pytest.param(40, 54, id="more"),
        pytest.param(0, 60, id="nothing"),
    ],
)
def test_hours_of_other_days(cost: int, above: int) -> None:
    """Days whose hours are known may have cost more or less than those after them.

    They show that 90 % of a day had been spent by the hour. The days after them cost 20.
    """
    daily = before(*[cost] * LEAST_DAYS, *[20] * 42)
    with_hours = sorted(daily)[:LEAST_DAYS]
    until_hour = {day: daily[day] * Decimal("0.9") for day in with_hours}
    usual = usual_day(daily, TODAY, until_hour)
    assert usual is not None
    assert usual.unusual_above == pytest.approx(Decimal(above), abs=Decimal("0.6"))


def test_hours_of_days_that_differ() -> None:
    """A day exceeds the usual cost of a whole day by two standard deviations.

    It also exceeds the usual cost until the hour by four.
    """
    usual = usual_day(before(*[0, 20] * 28), TODAY, before(*[4] * 56))
    assert usual is not None
    assert usual.unusual_above - usual.spend == pytest.approx(Decimal("20.18"), abs=1)
    usual = usual_day(before(*[10] * 56), TODAY, before(*[0, 9] * 28))
    assert usual is not None
    assert usual.unusual_above == pytest.approx(Decimal("22.7"), abs=1)


@pytest.mark.parametrize(
    "days",
    [
        pytest.param(before(*[10] * (LEAST_DAYS - 1)), id="too few"),
        pytest.param(before(*[10] * 56, *[0] * 56), id="nothing for long"),
        pytest.param(before(*["0.004"] * 56), id="next to nothing"),
        pytest.param({}, id="none"),
    ],
)
def test_no_usual_day(days: dict[date, Decimal]) -> None:
    assert usual_day(days, TODAY) is None


def test_once_a_day() -> None:
    account = Account()
    assert account.see(spent(spend(30, "08-15"))) == []
    assert written(account.see_one(spent(spend("30.01", "08-15")))) == (
        'unusual_spend {"spend": 30.01, "usual": 10.0, "currency": "USD",'
        ' "period": "2026-08-15"}'
    )
    for amount, start, times in (
        (50, "08-15", 0),
        (5, "08-15", 0),
        (50, "08-15", 0),
        (50, "08-14", 0),
        (5, "08-16", 0),
        (50, "08-16", 1),
    ):
        assert len(account.see(spent(spend(amount, start)))) == times
    late = replace(spend(60, "08-16"), since=midnight(date(2026, 8, 16)) + HOUR)
    assert account.see(spent(late)) == []


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(spent(spend(50, "08-15"), None), id="unknown usual"),
        pytest.param(spent(None), id="unknown spend"),
        pytest.param(spent(usd(50)), id="of an unknown day"),
        pytest.param(spent(spend(50, "08-15"), is_on=False), id="turned off"),
    ],
)
def test_no_alert(look: Look) -> None:
    account = Account()
    account.see(replace(look, seen=spent(None).seen))
    assert account.ignores(look)
