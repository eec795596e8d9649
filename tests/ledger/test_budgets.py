"""Alerts of the daily and the weekly budget."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from custom_components.alibaba_cloud.ledger import AlertOptions, Observation
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    Money,
    Outlook,
    Spend,
)

from .common import Account, Look, spend, usd, written

OPTIONS = AlertOptions(daily_budget=Decimal(20), weekly_budget=Decimal(100))


def spent(
    today: Money | None = None, week: Spend | None = None, **options: Any
) -> Look:
    """Return a look at the spend of a day and a week."""
    account = AccountSnapshot(daily_spend=today, outlook=Outlook(weekly_spend=week))
    seen = Observation(account_id="account", account=account)
    return Look(seen, replace(OPTIONS, **options))


def test_both_budgets() -> None:
    """The alerts say what was reached, of what, and since when."""
    look = spent(
        spend("16.004", "08-15"), spend(80, "08-10"), spend_levels=(Decimal(80),)
    )
    assert [written(alert) for alert in Account().see(look)] == [
        (
            'daily_budget {"level": 80, "spend": 16.0, "budget": 20.0,'
            ' "currency": "USD", "usage_pct": 80.02, "period": "2026-08-15"}'
        ),
        (
            'weekly_budget {"level": 80, "spend": 80.0, "budget": 100.0,'
            ' "currency": "USD", "usage_pct": 80.0, "period": "2026-08-10"}'
        ),
    ]


def test_day_that_begins_twice() -> None:
    """If the service begins a day late, its start is corrected. It is the same day."""
    account = Account()
    day = spend(10, "08-15")
    assert account.levels(spent(day)) == [50]
    late = replace(day, since=day.since + timedelta(hours=1))
    assert account.levels(spent(late)) == []
    assert account.levels(spent(replace(late, amount=Decimal(16)))) == [80]


def test_once_a_day_and_level() -> None:
    """Corrections and a new budget repeat nothing; the next day begins again."""
    account = Account()
    for amount, start, levels in (
        (9, "08-15", []),
        (10, "08-15", [50]),
        (5, "08-15", []),
        (20, "08-15", [80, 100]),
        (30, "08-15", []),
        (0, "08-16", []),
        (25, "08-16", [50, 80, 100]),
    ):
        assert account.levels(spent(spend(amount, start))) == levels
    assert account.ignores(spent(spend(25, "08-16"), daily_budget=Decimal(5)))


def test_once_a_week_and_level() -> None:
    account = Account()
    for amount, start, levels in (
        (50, "08-10", [50]),
        (79, "08-10", []),
        (100, "08-10", [80, 100]),
        (49, "08-17", []),
        (50, "08-17", [50]),
    ):
        assert account.levels(spent(week=spend(amount, start))) == levels
    assert list(account.state.budgets) == ["weekly_budget"]


@pytest.mark.parametrize("again", ["08-14", "08-08"])
def test_spend_of_a_day_that_is_over(again: str) -> None:
    """A source that lags alerts nothing, and re-arms nothing."""
    account = Account()
    assert account.levels(spent(spend(10, "08-15"))) == [50]
    assert account.ignores(spent(spend(30, again)))
    assert account.ignores(spent(spend(10, "08-15")))


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(spent(), id="unknown"),
        pytest.param(spent(usd(30)), id="of an unknown day"),
        pytest.param(
            spent(
                spend(30, "08-15"),
                spend(300, "08-10"),
                daily_budget=None,
                weekly_budget=None,
            ),
            id="without a budget",
        ),
        pytest.param(
            spent(spend(30, "08-15"), spend(300, "08-10"), spend_levels=()),
            id="without levels",
        ),
    ],
)
def test_no_alert(look: Look) -> None:
    account = Account()
    account.see(spent())
    assert account.ignores(look)
