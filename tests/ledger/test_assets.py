"""The remaining amounts of an account's assets, and the next expiry."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from custom_components.alibaba_cloud.ledger import Reports, ShownSpend, build_snapshot
from custom_components.alibaba_cloud.ledger.assets import with_assets
from custom_components.alibaba_cloud.ledger.windows import Periods
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    Asset,
    AssetKind,
    Balance,
    Money,
    Quantity,
    SpendReport,
    TokenPlan,
)

NOW = datetime(2026, 8, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)

COUPON = Asset(
    kind=AssetKind.COUPON,
    amount=Decimal(10),
    unit=None,
    expires=NOW + DAY,
    is_active=True,
)
CARD = replace(COUPON, kind=AssetKind.PREPAID_CARD)
PLAN = replace(COUPON, kind=AssetKind.SAVINGS_PLAN, unit="USD")
PACKAGE = replace(COUPON, kind=AssetKind.RESOURCE_PACKAGE, unit="Tokens")


def figures(*assets: Asset, currency: str | None = "CNY") -> AccountSnapshot:
    """Return the figures of an account with these assets."""
    return with_assets(AccountSnapshot(), assets, currency=currency, now=NOW)


def cny(amount: int) -> Money:
    """Return an amount in Chinese yuan."""
    return Money(amount=Decimal(amount), currency="CNY")


def test_each_kind_has_its_own_figure() -> None:
    shown = figures(COUPON, COUPON, CARD, PLAN, PACKAGE)
    assert shown.coupons_balance == cny(20)
    assert shown.prepaid_cards_balance == cny(10)
    assert shown.savings_plans_balance == Money(amount=Decimal(10), currency="USD")
    assert shown.resource_packages_left == Quantity(amount=Decimal(10), unit="Tokens")


def test_nothing_listed_is_unknown() -> None:
    assert figures() == AccountSnapshot()


@pytest.mark.parametrize(
    "unusable",
    [
        {"is_active": False},
        {"expires": NOW},
        {"expires": NOW - DAY},
        {"effective": NOW + timedelta.resolution},
        {"is_active": False, "amount": None},
    ],
)
def test_unusable_assets_are_worth_nothing(unusable: dict[str, Any]) -> None:
    old = replace(COUPON, **unusable)
    assert figures(old).coupons_balance == cny(0)
    assert figures(old).next_expiry is None
    assert figures(old, COUPON).coupons_balance == cny(10)


def test_an_asset_without_an_expiry_is_usable() -> None:
    endless = replace(COUPON, expires=None)
    assert figures(endless).coupons_balance == cny(10)
    assert figures(endless).next_expiry is None


@pytest.mark.parametrize("effective", [None, NOW, NOW - DAY])
def test_an_asset_that_has_begun_is_usable(effective: datetime | None) -> None:
    coupon = replace(COUPON, effective=effective)
    assert figures(coupon).coupons_balance == cny(10)
    assert figures(coupon).next_expiry == replace(coupon, unit="CNY")


def test_an_unknown_part_makes_the_sum_unknown() -> None:
    assert figures(COUPON, replace(COUPON, amount=None)).coupons_balance is None
    assert figures(COUPON, currency=None).coupons_balance is None


def test_different_units_have_no_sum() -> None:
    """A package that is no longer active is ignored."""
    calls = replace(PACKAGE, unit="calls")
    assert figures(PACKAGE, calls).resource_packages_left is None
    assert figures(replace(PACKAGE, unit=None)).resource_packages_left is None
    expired = replace(calls, is_active=False)
    assert figures(PACKAGE, expired).resource_packages_left == Quantity(
        amount=Decimal(10), unit="Tokens"
    )
    in_yuan = replace(PLAN, unit="CNY")
    assert figures(PLAN, in_yuan).savings_plans_balance is None


def test_first_of_all_kinds_expires_next() -> None:
    later = replace(COUPON, expires=NOW + 2 * DAY)
    assert figures(later, PACKAGE).next_expiry == PACKAGE
    assert figures(later, COUPON).next_expiry == replace(COUPON, unit="CNY")


def test_what_expires_together_is_added_up() -> None:
    """Only assets of the same kind and unit, and only to the second."""
    other = replace(COUPON, amount=Decimal(5))
    both = replace(COUPON, unit="CNY", amount=Decimal(15))
    assert figures(COUPON, other).expiring == (both,)
    assert figures(COUPON, CARD, other).next_expiry == both
    alone = replace(COUPON, unit="CNY")
    for another in (
        replace(other, expires=NOW + 2 * DAY),
        replace(other, unit="USD"),
        replace(other, amount=Decimal()),
        replace(other, is_active=False),
        replace(PLAN, expires=COUPON.expires),
    ):
        assert figures(COUPON, another).next_expiry == alone
    unknown = replace(other, amount=None)
    assert figures(COUPON, unknown).next_expiry == replace(alone, amount=None)
    package = replace(PACKAGE, unit=None)
    assert figures(package, package).next_expiry == replace(package, amount=None)
    in_unknown_currency = figures(COUPON, COUPON, currency=None).next_expiry
    assert in_unknown_currency == replace(COUPON, amount=Decimal(20))


def test_what_is_used_up_does_not_expire() -> None:
    later = replace(PACKAGE, expires=NOW + 2 * DAY)
    for used_up in (COUPON, CARD, PACKAGE):
        made = figures(replace(used_up, amount=Decimal()), later)
        assert made.next_expiry == later
    unknown = replace(PACKAGE, amount=None)
    assert figures(unknown, later).next_expiry == unknown


def test_savings_plan_ends_even_if_this_cycle_is_used_up() -> None:
    later = replace(PACKAGE, expires=NOW + 2 * DAY)
    used_up = replace(PLAN, amount=Decimal())
    assert figures(used_up, later).next_expiry == used_up


def snapshot(**reports: Any) -> AccountSnapshot:
    """Return the figures of an account from these reports."""
    return build_snapshot(
        Reports(**reports),
        followed=(),
        groups=(),
        reports_usage=False,
        periods=Periods(),
        shown=ShownSpend(),
        daily={},
        until_hour={},
        at_least={},
        budget=None,
        now=NOW,
    )


def test_currency_is_that_of_the_balance_or_the_bill() -> None:
    balance = Balance(available=cny(1), credit=None)
    spend = SpendReport(day=date(2026, 8, 15), monthly=cny(1))
    dollars = Balance(available=Money(amount=Decimal(1), currency="USD"), credit=None)
    assets = (COUPON,)
    for reports, currency in (
        ({"balance": balance}, "CNY"),
        ({"spend": spend}, "CNY"),
        ({"spend": spend, "balance": dollars}, "USD"),
    ):
        left = snapshot(assets=assets, **reports).coupons_balance
        assert left == Money(amount=Decimal(10), currency=currency)
    empty = SpendReport(day=date(2026, 8, 15))
    assert snapshot(assets=assets, spend=empty).coupons_balance is None
    assert snapshot(assets=assets).coupons_balance is None


def test_sources_that_report_nothing() -> None:
    plan = TokenPlan(ends=NOW + DAY)
    assert snapshot(token_plan=plan).token_plan == plan
    assert snapshot().token_plan == TokenPlan()
    assert snapshot(balance=None).coupons_balance is None
