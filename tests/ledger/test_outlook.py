"""The spend of an account compared with its budget, and the forecast."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from custom_components.alibaba_cloud.ledger import (
    BILLING_TIME_ZONE,
    Periods,
    midnight,
    outlook,
)
from custom_components.alibaba_cloud.ledger.windows import Window
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    BillingPeriod,
    Estimate,
    Money,
    Outlook,
    Spend,
)

from .common import day, spend, usd

DAY = timedelta(days=1)


def at(text: str) -> datetime:
    """Return a time in the billing zone."""
    return datetime.fromisoformat(f"{text}+08:00")


NOW = at("2026-08-21T12:00")
AUGUST = date(2026, 8, 1)


def money(amount: str | int | None, currency: str = "USD") -> Money | None:
    """Return an amount if there is one."""
    return None if amount is None else Money(amount=Decimal(amount), currency=currency)


def costs(
    amount: str | int,
    days: int = 20,
    *,
    today: date = date(2026, 8, 21),
    currency: str = "USD",
) -> dict[date, Money]:
    """Return days before today that cost an amount each."""
    cost = Money(amount=Decimal(amount), currency=currency)
    return {today - age * DAY: cost for age in range(1, days + 1)}


def followed(
    start: date, period: BillingPeriod | None = None, *, exclusive: bool | None = None
) -> Periods:
    """Return the periods of a monthly spend that begins on a day."""
    return Periods(
        monthly=Window(
            amount=Decimal(),
            since=midnight(start),
            start=start,
            earliest=start,
            latest=start,
        ),
        period=BillingPeriod() if period is None else period,
        end_is_exclusive=exclusive,
    )


def view(
    spend: Money | None,
    *,
    budget: str | int | None = None,
    limit: Money | None = None,
    balance: Money | None = None,
    per_day: str | int = 10,
    days: int = 20,
    start: date | None = AUGUST,
    periods: Periods | None = None,
    now: datetime = NOW,
) -> Outlook:
    """Return the outlook of an account that spent `per_day` on the last days."""
    today = now.astimezone(BILLING_TIME_ZONE).date()
    currency = "USD" if spend is None else spend.currency
    if spend is not None and start:
        spend = Spend(
            amount=spend.amount,
            currency=spend.currency,
            since=midnight(start),
            start=start,
        )
    return outlook(
        AccountSnapshot(
            monthly_spend=spend, spend_limit=limit, available_balance=balance
        ),
        budget=None if budget is None else Decimal(budget),
        daily=costs(per_day, days, today=today, currency=currency),
        periods=Periods() if periods is None else periods,
        now=now,
    )


def days_left(start: str, now: str, periods: Periods | None = None) -> Decimal | None:
    """Return how many more days a period lasts, from a forecast of 1 per day."""
    made = view(
        money(0),
        per_day=1,
        start=date.fromisoformat(start),
        now=at(now),
        periods=periods,
    ).projected
    return None if made is None else made.amount


# The budget


def test_all_of_it() -> None:
    """An account with a budget, a balance and enough known days has all figures."""
    made = view(money(205), budget=250, limit=money(1000), balance=money(105))
    assert made == Outlook(
        budget=money(250),
        usage_pct=82,
        remaining=money(45),
        projected=money(310),
        low=made.low,
        high=made.high,
        budget_exhausted_on=date(2026, 8, 25),
        balance_lasts_until=date(2026, 8, 31),
    )
    assert made.low
    assert made.high
    assert 205 < made.low < 310 < made.high


@pytest.mark.parametrize(
    ("spend", "budget", "limit", "expected"),
    [
        pytest.param("5", 20, money(50), money(20), id="the user's comes first"),
        pytest.param("5", None, money(50), money(50), id="the service's limit"),
        pytest.param("5", None, None, None, id="none"),
        pytest.param("5", None, money(0), None, id="a limit of nothing"),
        pytest.param("5", None, money(-1), None, id="a limit below nothing"),
        pytest.param("5", 20, money(0), money(20), id="a limit of nothing, a budget"),
        pytest.param("5", None, money("0.01"), money("0.01"), id="a limit of a cent"),
        pytest.param(None, 20, money(50), money(20), id="a budget, no spend"),
        pytest.param(None, None, money(50), money(50), id="a limit, no spend"),
    ],
)
def test_budget(
    spend: str | None, budget: int | None, limit: Money | None, expected: Money | None
) -> None:
    assert view(money(spend), budget=budget, limit=limit).budget == expected


def test_budget_is_in_the_currency_of_the_spend() -> None:
    made = view(money(5, "CNY"), budget=20, limit=money(50, "USD"))
    assert made.budget == money(20, "CNY")
    assert made.remaining == money(15, "CNY")


@pytest.mark.parametrize("figure", ["daily_spend", "spend_limit", "available_balance"])
def test_budget_while_the_spend_is_unknown(figure: str) -> None:
    """The budget is in the currency of a known figure. Without one, it is unknown."""

    def made(**figures: Any) -> Outlook:
        return outlook(
            replace(AccountSnapshot(), **figures),
            budget=Decimal(20),
            daily={},
            periods=Periods(),
            now=NOW,
        )

    assert made(**{figure: money(5, "CNY")}) == Outlook(budget=money(20, "CNY"))
    assert made() == Outlook()


def test_limit_in_another_currency() -> None:
    """A limit in another currency is shown, but the spend is not compared with it."""
    made = view(money(5, "CNY"), limit=money(50, "USD"))
    assert made.budget == money(50, "USD")
    assert made.projected == money(110, "CNY")
    compared = (made.usage_pct, made.remaining, made.budget_exhausted_on)
    assert compared == (None, None, None)


def test_spend_unknown() -> None:
    """While the spend is unknown, only the limit is known."""
    assert view(None, limit=money(50), balance=money(5)) == Outlook(budget=money(50))


@pytest.mark.parametrize(
    ("spend", "budget", "usage", "left"),
    [
        ("0", "50", 0, "50"),
        ("12.34", "50", 24.68, "37.66"),
        ("1", "3", 33.3333, "2"),
        ("50", "50", 100, "0"),
        ("75", "50", 150, "-25"),
        ("-5", "50", -10, "55"),
    ],
)
def test_share_of_the_budget(spend: str, budget: str, usage: float, left: str) -> None:
    made = view(money(spend), budget=budget, start=None)
    assert made == Outlook(budget=money(budget), usage_pct=usage, remaining=money(left))


# The forecast


def test_period_unknown() -> None:
    """While the start of the period is unknown, there is no forecast."""
    made = view(money(205), budget=250, balance=money(105), start=None)
    assert made == Outlook(budget=money(250), usage_pct=82, remaining=money(45))


def test_three_days() -> None:
    """A forecast needs three known days. There is no fallback to an average."""
    made = view(money(205), budget=250, balance=money(105), days=2)
    assert made == Outlook(budget=money(250), usage_pct=82, remaining=money(45))
    made = view(money(205), budget=250, balance=money(105), days=3)
    assert made.projected == money(310)
    assert made.budget_exhausted_on
    assert made.balance_lasts_until


def test_projected_in_the_currency_of_the_spend() -> None:
    assert view(money(205, "CNY")).projected == money(310, "CNY")


def test_interval() -> None:
    """Both ends of the interval are those of the forecast."""
    made = view(money(5), days=20, per_day=10, now=at("2026-08-29T00:00"))
    assert (made.projected, made.low, made.high) == (
        money(35),
        Decimal("33.08"),
        Decimal("36.92"),
    )


@pytest.mark.parametrize(
    ("spend", "budget", "expected"),
    [
        pytest.param(205, 250, "2026-08-25", id="in days"),
        pytest.param(205, "310", "2026-08-31", id="at the end of the period"),
        pytest.param(205, "310.01", None, id="not in the period"),
        pytest.param(205, 205, None, id="reached"),
        pytest.param(206, 205, None, id="exceeded"),
        pytest.param(205, "205.01", "2026-08-21", id="at once"),
        pytest.param(205, "210", "2026-08-21", id="at midnight"),
        pytest.param(205, "210.01", "2026-08-22", id="after midnight"),
    ],
)
def test_limit_reached(spend: int, budget: int | str, expected: str | None) -> None:
    """Each day costs 10. There is no date if it is past or after the period."""
    made = view(money(spend), budget=budget)
    assert made.budget_exhausted_on == (expected and date.fromisoformat(expected))


def test_limit_of_the_service_reached() -> None:
    made = view(money(205), limit=money(250))
    assert made.budget_exhausted_on == date(2026, 8, 25)


def test_days_are_those_of_the_billing_zone() -> None:
    """Dates are billing days, even if it is still the day before in UTC."""
    now = at("2026-08-21T04:00").astimezone(UTC)
    made = view(money(205), budget=206, balance=money(1), now=now, days=30)
    assert made.budget_exhausted_on == made.balance_lasts_until == date(2026, 8, 21)


@pytest.mark.parametrize(
    ("balance", "expected"),
    [
        pytest.param(money(5), "2026-08-21", id="today"),
        pytest.param(money("6.4"), "2026-08-22", id="tomorrow"),
        pytest.param(money(1005), "2026-11-29", id="after the period"),
        pytest.param(money(0), None, id="nothing left"),
        pytest.param(money(-5), None, id="less than nothing"),
        pytest.param(money(10_000), None, id="not in sight"),
        pytest.param(money(5, "CNY"), None, id="another currency"),
        pytest.param(None, None, id="unknown"),
    ],
)
def test_balance_runs_out(balance: Money | None, expected: str | None) -> None:
    """Each day costs 10. A budget and the end of the period do not matter."""
    for budget in (None, 100, 1000):
        made = view(money(205), budget=budget, balance=balance)
        assert made.balance_lasts_until == (expected and date.fromisoformat(expected))


def test_nothing_is_spent() -> None:
    """Without spend, neither the budget nor the balance runs out."""
    made = view(money(0), budget=1, balance=money(1), per_day=0)
    assert made.projected == money(0)
    assert made.budget_exhausted_on is made.balance_lasts_until is None


# The end of the period


@pytest.mark.parametrize(
    ("start", "now", "days"),
    [
        pytest.param("2026-08-01", "2026-08-21T00:00", 11, id="August"),
        pytest.param("2026-09-01", "2026-09-21T00:00", 10, id="September"),
        pytest.param("2026-12-01", "2026-12-21T00:00", 11, id="December"),
        pytest.param("2026-02-01", "2026-02-21T00:00", 8, id="February"),
        pytest.param("2028-02-01", "2028-02-21T00:00", 9, id="leap year"),
        pytest.param("2026-08-01", "2026-08-31T18:00", "0.25", id="last hours"),
        pytest.param("2026-08-15", "2026-08-21T00:00", 25, id="from the 15th"),
        pytest.param("2026-08-15", "2026-09-14T00:00", 1, id="to the 14th"),
        pytest.param("2026-12-15", "2026-12-21T00:00", 25, id="over New Year"),
        pytest.param("2026-01-31", "2026-02-21T00:00", 7, id="from the 31st"),
        pytest.param("2026-01-28", "2026-02-21T00:00", 7, id="from the 28th"),
        pytest.param("2028-01-30", "2028-02-21T00:00", 8, id="in a leap year"),
        pytest.param("2026-03-31", "2026-04-21T00:00", 9, id="to the 29th"),
        pytest.param("2026-07-01", "2026-08-01T00:00", 0, id="over"),
        pytest.param("2026-07-01", "2026-08-03T12:00", 0, id="over for days"),
    ],
)
def test_period_without_an_end(start: str, now: str, days: int | str) -> None:
    """A period without a reported end lasts a month. Once over, it costs no more."""
    assert days_left(start, now) == Decimal(days)
    period = BillingPeriod(start=date.fromisoformat(start))
    known = followed(date.fromisoformat(start), period)
    assert days_left(start, now, known) == Decimal(days)


@pytest.mark.parametrize(
    ("start", "end", "exclusive", "days"),
    [
        pytest.param("2026-08-01", "2026-08-25", None, 5, id="inclusive"),
        pytest.param("2026-08-01", "2026-09-04", None, 15, id="longer than a month"),
        pytest.param("2026-08-01", "2026-08-21", None, 1, id="ends today"),
        pytest.param("2026-08-01", "2026-08-20", None, 0, id="ended yesterday"),
        # A period that starts and ends on the same day of the month is whole months.
        pytest.param("2026-08-01", "2026-08-31", None, 11, id="last of the month"),
        pytest.param("2026-08-01", "2026-09-01", None, 11, id="first of the next"),
        pytest.param("2026-08-15", "2026-09-14", None, 25, id="to the 14th"),
        pytest.param("2026-08-15", "2026-09-15", None, 25, id="15th to 15th"),
        # Two consecutive periods have shown whether the end is exclusive.
        pytest.param("2026-08-01", "2026-09-01", False, 12, id="known as inclusive"),
        pytest.param("2026-08-18", "2026-08-25", True, 4, id="known as exclusive"),
    ],
)
def test_reported_end(start: str, end: str, exclusive: bool | None, days: int) -> None:
    """A reported end is the last day of the period or the first day of the next one."""
    first = date.fromisoformat(start)
    period = BillingPeriod(start=first, end=date.fromisoformat(end))
    known = followed(first, period, exclusive=exclusive)
    assert days_left(start, "2026-08-21T00:00", known) == days


@pytest.mark.parametrize(
    ("start", "end", "of"),
    [
        pytest.param(None, "2026-08-25", "2026-08-01", id="no start"),
        pytest.param("2026-08-02", "2026-08-25", "2026-08-01", id="another period"),
        pytest.param("2026-08-21", "2026-08-25", "2026-08-21", id="another source"),
    ],
)
def test_end_of_another_period(start: str | None, end: str, of: str) -> None:
    """A reported end counts only if it belongs to the period of the spend."""
    period = BillingPeriod(
        start=date.fromisoformat(start) if start else None, end=date.fromisoformat(end)
    )
    known = followed(date.fromisoformat(of), period)
    assert days_left("2026-08-01", "2026-08-21T00:00", known) == 11


def test_last_day_is_that_of_the_billing_zone() -> None:
    """A period ends at midnight in the billing zone, not in UTC."""
    now = datetime(2026, 8, 31, 16, tzinfo=UTC)
    assert view(money(0), per_day=1, now=now).projected == money(0)
    assert view(money(0), per_day=1, now=now - timedelta(hours=12)).projected == money(
        "0.5"
    )


# The week


def week(start: str, spent: dict[str, int], amount: str = "2.5") -> Spend | None:
    """Return the spend of the week of a day of 2026 that cost an amount so far."""
    return outlook(
        AccountSnapshot(daily_spend=spend(amount, start)),
        budget=None,
        daily={day(text): usd(cost) for text, cost in spent.items()},
        periods=Periods(),
        now=NOW,
    ).weekly_spend


def test_week() -> None:
    """It begins on Monday, also in another month."""
    days = {"08-30": 100, "08-31": 1, "09-01": 2, "09-02": 4, "09-03": 100}
    assert week("09-03", days) == spend("9.5", "08-31")
    assert week("08-31", days) == spend("2.5", "08-31")


def test_week_that_begins_with_idle_days() -> None:
    """A day that cost nothing is known, also before the first spend."""
    assert week("09-03", {"08-31": 0, "09-01": 0, "09-02": 4}) == spend("6.5", "08-31")


def test_week_with_an_unknown_day() -> None:
    """The other days are what the week has cost at least."""
    assert week("09-03", {"08-31": 1, "09-02": 4}) == spend("7.5", "08-31")
    assert week("09-03", {}) == spend("2.5", "08-31")


def test_week_with_a_day_that_is_not_completely_billed() -> None:
    """It counts in the week only."""
    account = AccountSnapshot(daily_spend=spend(1, "08-21"))
    days = costs(30)
    without = {past: cost for past, cost in days.items() if past != day("08-20")}
    made, known = (
        outlook(
            account,
            budget=None,
            daily=without,
            at_least=at_least,
            periods=Periods(),
            now=NOW,
        )
        for at_least in (without | {day("08-20"): usd(3)}, without)
    )
    assert (made.weekly_spend, known.weekly_spend) == (
        spend(94, "08-17"),
        spend(91, "08-17"),
    )
    assert made.usual_day == known.usual_day


def test_week_without_a_spend_of_today() -> None:
    account = AccountSnapshot(daily_spend=money(5))
    made = outlook(account, budget=None, daily={}, periods=Periods(), now=NOW)
    assert made.weekly_spend is None


# Days that do not count


def outlook_after(days: Mapping[date, Money]) -> Outlook:
    """Return the outlook of an account in US dollars after some days."""
    account = AccountSnapshot(
        daily_spend=spend(1, "08-21"),
        monthly_spend=spend(100, "08-01"),
        available_balance=usd(50),
    )
    return outlook(account, budget=Decimal(150), daily=days, periods=Periods(), now=NOW)


def test_days_in_another_currency() -> None:
    """They count as unknown."""
    known = outlook_after(costs(10))
    assert known.usual_day is not None
    assert known.projected is not None
    assert known.weekly_spend == spend(41, "08-17")
    assert outlook_after(costs(70, currency="CNY")) == outlook_after({})


def test_idle_days_before_the_account_was_used() -> None:
    """They make no forecast, and no usual day."""
    days = costs(10, 16)
    before = costs(0, 10, today=min(days))
    assert outlook_after(before | days) == outlook_after(days)


@pytest.mark.parametrize(
    ("start", "currency", "above"),
    [
        pytest.param("08-21", "USD", 20, id="today"),
        pytest.param("08-20", "USD", 30, id="day that is over"),
        pytest.param("08-21", "CNY", 30, id="in another currency"),
    ],
)
def test_hour_of_a_usual_day(start: str, currency: str, above: int) -> None:
    """The spend of a day that is over is not compared with that of an hour."""
    made = outlook(
        AccountSnapshot(daily_spend=spend(1, start)),
        budget=None,
        daily=costs(10, 30),
        until_hour=costs(2, 30, currency=currency),
        periods=Periods(),
        now=NOW,
    )
    assert made.usual_day is not None
    assert made.usual_day.unusual_above == above


def test_hours_before_the_account_was_used() -> None:
    """Idle days do not count for the hours either."""
    days = costs(10, 20)
    idle = costs(0, 20, today=min(days))
    usual = [
        outlook(
            AccountSnapshot(daily_spend=spend(1, "08-21")),
            budget=None,
            daily=idle | days,
            until_hour=until_hour,
            periods=Periods(),
            now=NOW,
        ).usual_day
        for until_hour in (idle | costs(8, 20), costs(8, 20))
    ]
    assert usual[0] == usual[1]


# The balance while the bill lags


def estimate(
    amount: str, currency: str = "USD", day: date = date(2026, 8, 21)
) -> Spend:
    """Return what today cost at list prices."""
    return Spend(
        amount=Decimal(amount), currency=currency, since=midnight(day), start=day
    )


@pytest.mark.parametrize(
    ("estimated", "bill_pct", "billed", "until"),
    [
        # 10 a day: 105 last for ten and a half days from noon.
        (None, 100, None, date(2026, 8, 31)),
        # 30 of 40 are not billed yet: 75 are left.
        (estimate("40"), 100, estimate("10"), date(2026, 8, 28)),
        # There is no bill for today, or the one shown is of yesterday.
        (estimate("40"), 100, None, date(2026, 8, 27)),
        (estimate("40"), 100, estimate("30", day=date(2026, 8, 20)), date(2026, 8, 27)),
        (estimate("40"), 100, money(30), date(2026, 8, 27)),
        # The bill is ahead of the estimate.
        (estimate("10"), 100, estimate("40"), date(2026, 8, 31)),
        (estimate("40", "CNY"), 100, None, date(2026, 8, 31)),
        # Nothing is left of it.
        (estimate("105"), 100, None, date(2026, 8, 21)),
        (estimate("300"), 100, estimate("20"), date(2026, 8, 21)),
        # With discounts, the bill is a quarter of the estimate: 160 become 40.
        (estimate("160"), 400.0, estimate("10"), date(2026, 8, 28)),
        (estimate("160"), 400.0, estimate("40"), date(2026, 8, 31)),
        # It is never more than the estimate.
        (estimate("40"), 50.0, estimate("10"), date(2026, 8, 28)),
        (estimate("40"), 0.0, None, date(2026, 8, 27)),
        # All of it may be free.
        (estimate("300"), None, None, date(2026, 8, 31)),
    ],
)
def test_unbilled_spend_is_no_longer_there(
    estimated: Spend | None, bill_pct: float | None, billed: Money | None, until: date
) -> None:
    account = AccountSnapshot(
        monthly_spend=estimate("205", day=AUGUST),
        daily_spend=billed,
        available_balance=money(105),
        estimate=Estimate(daily_spend=estimated, bill_pct=bill_pct),
    )

    def lasts_until(**options: Any) -> date | None:
        return outlook(
            account,
            budget=None,
            daily=costs(10),
            periods=Periods(),
            now=NOW,
            **options,
        ).balance_lasts_until

    assert lasts_until(balance_lags=True) == until
    # In a balance without delay, nothing is missing.
    assert lasts_until() == date(2026, 8, 31)


def test_empty_balance_has_no_end() -> None:
    account = AccountSnapshot(
        monthly_spend=estimate("205", day=AUGUST),
        available_balance=money(0),
        estimate=Estimate(daily_spend=estimate("5"), bill_pct=100),
    )
    made = outlook(
        account, budget=None, daily={}, periods=Periods(), now=NOW, balance_lags=True
    )
    assert made.balance_lasts_until is None
