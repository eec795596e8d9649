"""The spend of workspaces and API keys, and of all others."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.ledger.groups import with_groups
from custom_components.alibaba_cloud.ledger.windows import midnight
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    Dimension,
    GroupFigures,
    GroupSpend,
    Money,
    Spend,
    SpendGroup,
    SpendReport,
)

# Hypothesis warns about the random generator that Home Assistant's tests register.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

TODAY = date(2026, 8, 15)
MONTH = date(2026, 8, 1)
AMOUNTS = st.decimals(-1000, 1000, places=2)


def cny(amount: Decimal | str) -> Money:
    """Return an amount."""
    return Money(amount=Decimal(amount), currency="CNY")


def spend(amount: str, start: date) -> Spend:
    """Return a spend since the start of a day."""
    return Spend(
        amount=Decimal(amount), currency="CNY", since=midnight(start), start=start
    )


def group(group_id: str, dimension: Dimension = Dimension.WORKSPACE) -> SpendGroup:
    """Return a group."""
    return SpendGroup(dimension=dimension, id=group_id)


REPORT = SpendReport(
    day=TODAY,
    monthly=cny("100.00"),
    daily=cny("10.00"),
    groups={
        "a": GroupSpend(monthly=cny("60.00"), daily=cny("6.00")),
        "b": GroupSpend(monthly=cny("30.00"), daily=None),
    },
    complete=True,
    day_complete=True,
)


def figures(
    report: SpendReport, *ids: str
) -> tuple[dict[str, GroupFigures], GroupFigures]:
    """Return the figures of these workspaces by ID, and those of the others."""
    snapshot = with_groups(
        AccountSnapshot(), {Dimension.WORKSPACE: report}, list(map(group, ids))
    )
    assert snapshot.other_groups.keys() == {Dimension.WORKSPACE}
    groups = {found.id: spent for found, spent in snapshot.groups.items()}
    return groups, snapshot.other_groups[Dimension.WORKSPACE]


def test_followed_and_others() -> None:
    groups, others = figures(REPORT, "a")
    assert groups == {
        "a": GroupFigures(
            daily_spend=spend("6.00", TODAY), monthly_spend=spend("60.00", MONTH)
        )
    }
    assert others == GroupFigures(
        daily_spend=spend("4.00", TODAY), monthly_spend=spend("40.00", MONTH)
    )


def test_day_without_a_bill() -> None:
    """The day of the others is unknown if that of a followed group is."""
    groups, others = figures(REPORT, "a", "b")
    assert groups["b"].daily_spend is None
    assert groups["b"].monthly_spend == spend("30.00", MONTH)
    assert others.daily_spend is None
    assert others.monthly_spend == spend("10.00", MONTH)
    groups, others = figures(replace(REPORT, daily=None), "c")
    assert groups["c"].daily_spend is None
    assert others.daily_spend is None


@pytest.mark.parametrize(
    ("complete", "day_complete"),
    [(True, True), (True, False), (False, True), (False, False)],
)
def test_group_without_a_bill(complete: bool, day_complete: bool) -> None:
    """It has no spend where the bill is complete. Else, it and the others are unknown."""
    report = replace(REPORT, complete=complete, day_complete=day_complete)
    groups, others = figures(report, "c")
    assert groups == {
        "c": GroupFigures(
            daily_spend=spend("0", TODAY) if day_complete else None,
            monthly_spend=spend("0", MONTH) if complete else None,
        )
    }
    assert others == GroupFigures(
        daily_spend=spend("10.00", TODAY) if day_complete else None,
        monthly_spend=spend("100.00", MONTH) if complete else None,
    )


def test_month_without_a_bill() -> None:
    groups, others = figures(SpendReport(day=TODAY), "a")
    assert groups == {"a": GroupFigures()}
    assert others == GroupFigures()


def test_dimension_that_is_not_read() -> None:
    """Its groups are unknown, and there are no others."""
    api_key = group("a", Dimension.API_KEY)
    snapshot = with_groups(
        AccountSnapshot(), {Dimension.WORKSPACE: REPORT}, [group("a"), api_key]
    )
    assert snapshot.groups.keys() == {group("a"), api_key}
    assert snapshot.groups[api_key] == GroupFigures()
    assert snapshot.other_groups.keys() == {Dimension.WORKSPACE}


def test_account_stays() -> None:
    account = AccountSnapshot(monthly_spend=cny("1.00"), tokens_used=7)
    changed = with_groups(account, {Dimension.WORKSPACE: REPORT}, [group("a")])
    assert replace(changed, groups={}, other_groups={}) == account


@given(
    billed=st.dictionaries(st.sampled_from("abcde"), AMOUNTS),
    nobody=AMOUNTS,
    followed=st.sets(st.sampled_from("abcdefg")),
    complete=st.booleans(),
)
def test_parts_add_up(
    billed: dict[str, Decimal], nobody: Decimal, followed: set[str], complete: bool
) -> None:
    """The followed groups and the others are the whole bill, to the cent.

    The others are unknown if one of the followed groups is.
    """
    total = sum(billed.values(), nobody)
    report = SpendReport(
        day=TODAY,
        monthly=cny(total),
        daily=cny(total),
        groups={
            key: GroupSpend(monthly=cny(amount), daily=cny(amount))
            for key, amount in billed.items()
        },
        complete=complete,
        day_complete=complete,
    )
    groups, others = figures(report, *followed)
    for key in ("daily_spend", "monthly_spend"):
        parts = [getattr(part, key) for part in groups.values()]
        rest = getattr(others, key)
        assert (rest is None) is (None in parts)
        if rest is not None:
            assert sum(part.amount for part in (*parts, rest)) == total
