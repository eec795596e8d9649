"""The snapshot of all reports."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from custom_components.alibaba_cloud.ledger import (
    Periods,
    Reports,
    ShownSpend,
    build_snapshot,
    midnight,
)
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    Balance,
    DayUsage,
    ModelRate,
    Price,
    PriceKind,
    PriceList,
    PriceStep,
    PriceUnit,
    Seats,
    SpendReport,
    TokenPlan,
    UsageRates,
    UsageTotals,
    UsualDay,
)

from .common import reported_periods, spend, usd

TODAY = date(2026, 8, 15)
NOW = midnight(TODAY) + timedelta(hours=12)
DAY = timedelta(days=1)
PRICES = PriceList(
    currency="USD",
    models={
        "qwen-max": (
            PriceStep(
                prices=(
                    Price(
                        amount=Decimal(1),
                        per=1,
                        unit=PriceUnit.TOKEN,
                        kind=PriceKind.INPUT,
                        name="Input",
                    ),
                )
            ),
        )
    },
)


def snapshot(
    now: datetime = NOW, options: Mapping[str, Any] | None = None, **reports: Any
) -> AccountSnapshot:
    """Return the figures of an account that spent 10 USD on each of the last days."""
    given: dict[str, Any] = {
        "followed": (),
        "groups": (),
        "reports_usage": False,
        "periods": Periods(),
        "shown": ShownSpend(),
        "daily": {TODAY - age * DAY: usd(10) for age in range(1, 31)},
        "until_hour": {},
        "at_least": {},
        "budget": None,
        **(options or {}),
    }
    return build_snapshot(Reports(**reports), now=now, **given)


def test_token_plan_that_ends() -> None:
    """Without an end, it is taken to go on."""
    plan = TokenPlan(ends=NOW, seats=(Seats(total=Decimal(2)),))
    for now in (NOW, NOW + DAY):
        assert snapshot(now, token_plan=plan).token_plan == TokenPlan()
    assert snapshot(NOW - timedelta.resolution, token_plan=plan).token_plan == plan
    endless = replace(plan, ends=None)
    assert snapshot(token_plan=endless).token_plan == endless


def test_credits_that_are_refreshed() -> None:
    """What is left of them is unknown until the plan is read again."""
    first = Seats(credits=Decimal(10), credits_left=Decimal(1), refresh=NOW)
    later = replace(first, refresh=NOW + DAY)
    unknown = replace(first, refresh=None)
    plan = TokenPlan(seats=(first, later, unknown))
    before = snapshot(NOW - timedelta.resolution, token_plan=plan).token_plan
    assert before == plan
    assert before.credits_left == 3
    after = snapshot(token_plan=plan).token_plan
    assert after.seats == (replace(first, credits_left=None), later, unknown)
    assert after.credits == 30
    assert after.credits_left is None
    assert after.credits_used_pct is None


def used(tokens: int, day: date) -> DayUsage:
    """Return how many tokens of 1 USD were used on a day."""
    return DayUsage(start=midnight(day), models={"qwen-max": {"input_tokens": tokens}})


@pytest.mark.parametrize(
    ("account", "until"),
    [
        # What is not billed yet is missing in a balance of the AccessKey only.
        (None, date(2026, 8, 22)),
        (AccountSnapshot(), date(2026, 8, 22)),
        (AccountSnapshot(available_balance=usd(105)), date(2026, 8, 25)),
    ],
)
def test_balance_that_lags(account: AccountSnapshot | None, until: date) -> None:
    """It was 105 USD before 30 USD were used today."""
    made = snapshot(
        account=account,
        spend=SpendReport(day=TODAY, monthly=usd(140), daily=usd(0)),
        balance=Balance(available=usd(105), credit=None),
        prices=PRICES,
        rates=UsageRates(models={}, today=used(30, TODAY)),
        totals=UsageTotals(models={}, closed_day=used(10, TODAY - DAY)),
    )
    assert made.estimate.bill_pct == 100
    assert made.outlook.balance_lasts_until == until


@pytest.mark.parametrize(
    ("month", "reports_usage", "is_billed"),
    [
        (None, True, True),
        (date(2026, 8, 1), True, True),
        (date(2026, 8, 2), True, False),
        (date(2026, 8, 2), False, True),
    ],
)
def test_bill_of_another_period(
    month: date | None, reports_usage: bool, is_billed: bool
) -> None:
    """A bill is by calendar month. The periods of the account may not be."""
    made = snapshot(
        options={
            "periods": reported_periods(None, None, month),
            "reports_usage": reports_usage,
        },
        spend=SpendReport(day=TODAY, monthly=usd(140), daily=usd(5)),
    )
    assert (made.monthly_spend is not None) is is_billed


def test_figures_of_a_followed_model() -> None:
    """It has those of the bill, of Prometheus and of the estimate.

    Prices without a currency are in the currency of the bill.
    """
    made = snapshot(
        options={"followed": ["qwen-max"]},
        spend=SpendReport(day=TODAY, monthly=usd(140), daily=usd(5)),
        prices=replace(PRICES, currency=None),
        rates=UsageRates(
            models={"qwen-max": ModelRate(tokens_per_minute=7)}, today=used(30, TODAY)
        ),
    )
    model = made.models["qwen-max"]
    assert model.tokens_per_minute == 7
    assert model.daily_spend_estimate == made.estimate.daily_spend == spend(30, "08-15")


def test_budget_and_what_is_usual_by_this_hour() -> None:
    """A usual day costs 10 USD, and 9 USD by this hour."""
    made = snapshot(
        options={
            "budget": Decimal(200),
            "until_hour": {TODAY - age * DAY: usd(9) for age in range(1, 31)},
        },
        spend=SpendReport(day=TODAY, monthly=usd(140), daily=usd(5)),
    )
    assert made.outlook.budget == usd(200)
    assert made.outlook.remaining == usd(60)
    assert made.outlook.usual_day == UsualDay(
        spend=Decimal(10), unusual_above=Decimal(27)
    )
