"""Alerts of the monthly budgets of workspaces and API keys."""

from decimal import Decimal

import pytest

from custom_components.alibaba_cloud.ledger import AlertOptions, Observation
from custom_components.alibaba_cloud.ledger.budgets import group_reaches
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    Dimension,
    GroupFigures,
    Money,
    SpendGroup,
)

from .common import Account, Look, spend, usd, written

WORKSPACE = SpendGroup(dimension=Dimension.WORKSPACE, id="llm-1")
API_KEY = SpendGroup(dimension=Dimension.API_KEY, id="7")
LEVELS = (50, 80, 100)


def spent(
    *spends: Money | None,
    budget: int | None = 20,
    levels: tuple[int, ...] = LEVELS,
    asked: tuple[int, ...] = (),
) -> Look:
    """Return the monthly spend of a workspace and of an API key.

    Automations ask for the levels in `asked`. The API key has a budget of 100.
    """
    groups = {
        group: GroupFigures(monthly_spend=amount)
        for group, amount in zip((WORKSPACE, API_KEY), spends, strict=False)
    }
    budgets = {} if budget is None else {WORKSPACE: Decimal(budget)}
    return Look(
        Observation(
            account_id="account",
            account=AccountSnapshot(groups=groups),
            trigger_spend_levels=frozenset(map(Decimal, asked)),
        ),
        AlertOptions(
            spend_levels=tuple(map(Decimal, levels)),
            group_budgets={**budgets, API_KEY: Decimal(100)},
        ),
    )


def test_each_group_has_its_budget() -> None:
    """The alert names the group, its spend and its budget."""
    account = Account()
    look = spent(spend("16.004", "08-01"), spend(50, "08-01"), levels=(50,))
    assert [written(alert) for alert in account.see(look)] == [
        (
            'spend_level {"level": 50, "spend": 16.0, "budget": 20.0, "currency": "USD",'
            ' "workspace_id": "llm-1", "usage_pct": 80.02, "period": "2026-08-01"}'
        ),
        (
            'spend_level {"level": 50, "spend": 50.0, "budget": 100.0, "currency": "USD",'
            ' "api_key_id": "7", "usage_pct": 50.0, "period": "2026-08-01"}'
        ),
    ]


def test_once_a_month_and_level() -> None:
    """A refund re-arms nothing. The next month re-arms all levels."""
    account = Account()
    for amount, start, levels in (
        (9, "08-01", []),
        (10, "08-01", [50]),
        (5, "08-01", []),
        (20, "08-01", [80, 100]),
        (30, "08-01", []),
        (0, "09-01", []),
        (25, "09-01", [50, 80, 100]),
    ):
        assert account.levels(spent(spend(amount, start))) == levels


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(spent(None), id="unknown"),
        pytest.param(spent(usd(30)), id="of an unknown month"),
        pytest.param(spent(spend(30, "07-01")), id="of the month before"),
        pytest.param(spent(), id="not followed"),
    ],
)
def test_no_alert(look: Look) -> None:
    """Nothing is forgotten either."""
    account = Account()
    assert account.levels(spent(spend(10, "08-01"))) == [50]
    assert account.ignores(look)
    assert account.ignores(spent(spend(10, "08-01")))


def test_new_budget() -> None:
    """Levels that are not reached under the new budget are re-armed."""
    account = Account()
    assert account.levels(spent(spend(16, "08-01"))) == [50, 80]
    assert account.levels(spent(spend(16, "08-01"), budget=30)) == []
    assert account.levels(spent(spend(24, "08-01"), budget=30)) == [80]


def test_budget_that_is_removed_is_forgotten() -> None:
    account = Account()
    account.see(spent(spend(16, "08-01")))
    assert list(account.state.groups) == ["workspace_llm-1"]
    account.see(spent(spend(16, "08-01"), budget=None))
    assert not account.state.groups
    assert account.levels(spent(spend(16, "08-01"))) == [50, 80]


def test_level_of_automations() -> None:
    """A level that an automation asks for is no option."""
    account = Account()
    account.see(spent(spend(1, "08-01"), asked=(90,)))
    alert = account.see_one(spent(spend(19, "08-01"), levels=(), asked=(90,)))
    assert alert.level == 90
    assert not alert.is_option


@pytest.mark.parametrize("unknown", [(), (None,), (None, None)])
def test_new_level_while_the_spend_is_unknown(unknown: tuple[None, ...]) -> None:
    """It is compared with the spend once that is known, such as after a restart."""
    account = Account()
    assert account.levels(spent(spend(19, "08-01"), spend(1, "08-01"))) == [50, 80]
    look = spent(*unknown, asked=(90, 99))
    assert account.ignores(look)
    known = spent(spend(19, "08-01"), spend(1, "08-01"), asked=(90, 99))
    assert account.see(known) == []
    assert account.levels(spent(spend(20, "08-01"), asked=(90, 99))) == [99, 100]


def test_new_level_while_another_group_is_unknown() -> None:
    """Each group is compared with it by itself."""
    account = Account()
    assert account.levels(spent(spend(19, "08-01"), spend(95, "08-01"))) == [50, 80] * 2
    assert account.see(spent(None, spend(95, "08-01"), asked=(90,))) == []
    assert account.see(spent(spend(19, "08-01"), None, asked=(90,))) == []
    assert account.levels(spent(spend(1, "09-01"), None, asked=(90,))) == []
    assert account.levels(spent(spend(18, "09-01"), None, asked=(90,))) == [50, 80, 90]


def test_new_level_that_is_passed_already() -> None:
    """It alerts from the next month on."""
    account = Account()
    assert account.levels(spent(spend(19, "08-01"))) == [50, 80]
    assert account.levels(spent(spend(19, "08-01"), asked=(90, 99))) == []
    assert account.levels(spent(spend(20, "08-01"), asked=(90, 99))) == [99, 100]
    months = account.levels(spent(spend(20, "09-01"), asked=(90,)))
    assert months == [50, 80, 90, 100]


def test_group_without_figures_does_not_hide_the_next() -> None:
    """Each group is judged by itself."""
    account = Account()
    look = spent(None, spend(50, "08-01"), levels=(50,))
    assert [alert.group for alert in account.see(look)] == [API_KEY]


def test_level_of_an_automation_is_no_option() -> None:
    """The event entity shows only alerts at levels of the options."""
    account = Account()
    look = spent(spend(8, "08-01"), levels=(20,), asked=(40,))
    alerts = account.see(spent(spend(1, "08-01"), levels=(20,), asked=(40,)))
    assert alerts == []
    assert {alert.level: alert.is_option for alert in account.see(look)} == {
        Decimal(20): True,
        Decimal(40): False,
    }


@pytest.mark.parametrize(
    ("figures", "reaches"),
    [
        pytest.param(GroupFigures(monthly_spend=usd("9.99")), False, id="below"),
        pytest.param(GroupFigures(monthly_spend=usd(10)), True, id="at"),
        pytest.param(GroupFigures(monthly_spend=usd(30)), True, id="above"),
        pytest.param(GroupFigures(daily_spend=usd(30)), False, id="unknown"),
        pytest.param(None, False, id="no figures"),
    ],
)
def test_group_that_is_over_its_budget(
    figures: GroupFigures | None, reaches: bool
) -> None:
    """Half of a budget of 20 is 10."""
    assert group_reaches(figures, Decimal(20), Decimal(50)) is reaches
