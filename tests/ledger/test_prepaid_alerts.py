"""Alerts of what expires, ends or is used up, of what is paid for in advance."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from custom_components.alibaba_cloud.ledger import AlertOptions, Observation
from custom_components.alibaba_cloud.ledger.prepaid_alerts import REMEMBERED
from custom_components.alibaba_cloud.ledger.windows import DAY
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    Asset,
    AssetKind,
    Seats,
    TokenPlan,
)

from .common import Account, Look, at, day, written

COUPON = Asset(
    kind=AssetKind.COUPON,
    amount=Decimal("60.5"),
    unit="CNY",
    expires=at("09-15"),
    is_active=True,
)
CARD = replace(COUPON, kind=AssetKind.PREPAID_CARD, expires=at("09-14 18:00"))


def expiring(today: str | None, *assets: Asset, days: int = 7) -> Look:
    """Return a look at assets on a day."""
    seen = Observation(
        account_id="account",
        account=AccountSnapshot(expiring=assets),
        today=None if today is None else day(today),
    )
    return Look(seen, AlertOptions(expiry_days=days))


def ending(today: str, ends: datetime | None, days: int = 7) -> Look:
    """Return a look at the end of a subscription on a day."""
    seen = Observation(
        account_id="account",
        account=AccountSnapshot(token_plan=TokenPlan(ends=ends)),
        today=day(today),
    )
    return Look(seen, AlertOptions(expiry_days=days))


def left(
    credits_left: int | None,
    *,
    total: int | None = 1000,
    refresh: str | None = "09-01",
    level: int = 20,
) -> Look:
    """Return a look at the credits of a Token Plan."""
    seats = Seats(
        credits=None if total is None else Decimal(total),
        credits_left=None if credits_left is None else Decimal(credits_left),
        refresh=None if refresh is None else at(refresh),
    )
    account = AccountSnapshot(token_plan=TokenPlan(seats=(seats,)))
    seen = Observation(account_id="account", account=account)
    return Look(seen, AlertOptions(low_credits=Decimal(level)))


# Expiries


def test_expiry() -> None:
    """The alert says what expires, how much of it and when."""
    assert written(Account().see_one(expiring("09-07", COUPON))) == (
        'credit_expiring {"asset": "coupon", "amount": 60.5, "unit": "CNY",'
        ' "ends": "2026-09-14"}'
    )


def test_once_for_each_day_on_which_something_expires() -> None:
    """What is used or added meanwhile repeats nothing."""
    account = Account()
    next_coupon = replace(COUPON, expires=at("09-16"))
    assert account.see(expiring("09-06", COUPON, next_coupon)) == []
    assert len(account.see(expiring("09-07", COUPON, next_coupon))) == 1
    used = replace(COUPON, amount=Decimal(20))
    assert account.see(expiring("09-07", used, COUPON, next_coupon)) == []
    [alert] = account.see(expiring("09-08", used, next_coupon))
    assert alert.ends == day("09-15")
    assert account.see(expiring("09-14", used, next_coupon)) == []


def test_assets_of_a_kind_and_day_are_one_alert() -> None:
    """Assets of other kinds or units have alerts of their own."""
    dollars = replace(COUPON, unit="USD")
    alerts = Account().see(expiring("09-14", CARD, COUPON, dollars, COUPON))
    assert [(alert.asset, alert.amount, alert.unit) for alert in alerts] == [
        (AssetKind.PREPAID_CARD, Decimal("60.5"), "CNY"),
        (AssetKind.COUPON, Decimal(121), "CNY"),
        (AssetKind.COUPON, Decimal("60.5"), "USD"),
    ]
    assert len({alert.alert_id for alert in alerts}) == 3


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(expiring("09-06", COUPON), id="later"),
        pytest.param(expiring("09-15", COUPON), id="over"),
        pytest.param(expiring(None, COUPON), id="unknown day"),
        pytest.param(expiring("09-14", COUPON, days=0), id="turned off"),
        pytest.param(expiring("09-14", replace(COUPON, unit=None)), id="unknown unit"),
        pytest.param(
            expiring("09-14", COUPON, replace(COUPON, amount=None)), id="unknown amount"
        ),
        pytest.param(expiring("09-14", replace(COUPON, expires=None)), id="endless"),
    ],
)
def test_no_expiry(look: Look) -> None:
    assert Account().see(look) == []


@pytest.mark.parametrize("ahead", ["10-14", "10-15", "12-31"])
@pytest.mark.parametrize("looks", [1, 3])
def test_a_clock_that_was_ahead_repeats_nothing(ahead: str, looks: int) -> None:
    """What was alerted is remembered, by however much and for long the clock is ahead."""
    account = Account()
    assert len(account.see(expiring("09-10", COUPON))) == 1
    for _ in range(looks):
        assert account.see(expiring(ahead)) == []
    assert account.see(expiring("09-10", COUPON)) == []
    assert len(account.state.endings) == 1


def test_few_endings_are_remembered() -> None:
    """The oldest one is dropped once it is long past and many others followed."""
    account = Account()
    end = at("01-10")
    assets = [
        replace(COUPON, expires=end + number * DAY) for number in range(REMEMBERED + 1)
    ]
    assert account.see(expiring("01-01", *assets[:-1], days=90)) != []
    first, *_ = account.state.endings
    last = assets[-1]
    # It is not long past.
    assert len(account.see(expiring("02-08", last, days=90))) == 1
    assert len(account.state.endings) == REMEMBERED + 1
    # It is still listed.
    account.see(expiring("02-09", assets[0]))
    assert first in account.state.endings
    account.see(expiring("02-09"))
    assert first not in account.state.endings
    assert len(account.state.endings) == REMEMBERED


# The subscription


def test_end_of_a_subscription() -> None:
    """It alerts once for each last day."""
    account = Account()
    assert account.see(ending("09-03", at("09-12"))) == []
    assert written(account.see_one(ending("09-04", at("09-12")))) == (
        'subscription_ending {"ends": "2026-09-11"}'
    )
    assert account.see(ending("09-11", at("09-12"))) == []
    assert account.see(ending("09-11", at("10-12"))) == []
    assert len(account.see(ending("10-04", at("10-12")))) == 1


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(ending("09-12", at("09-12")), id="over"),
        pytest.param(ending("09-11", None), id="unknown"),
        pytest.param(ending("09-11", at("09-12"), days=0), id="turned off"),
    ],
)
def test_no_end(look: Look) -> None:
    assert Account().see(look) == []


# Credits


def test_low_credits() -> None:
    assert written(Account().see_one(left(195))) == (
        'credits_low {"level": 20, "amount": 195.0, "usage_pct": 80.5}'
    )


def test_once_until_the_refresh() -> None:
    """A refresh re-arms the alert, also if the credits are low again by then."""
    account = Account()
    for credits_left, refresh, times in (
        (201, "09-01", 0),
        (200, "09-01", 1),
        (0, "09-01", 0),
        (300, "09-01", 0),
        (100, None, 0),
        (100, "10-01", 1),
        (100, "09-01", 0),
        (100, "10-01", 0),
    ):
        assert len(account.see(left(credits_left, refresh=refresh))) == times


@pytest.mark.parametrize("refresh", [None, "09-01"])
def test_more_credits_re_arm_the_alert(refresh: str | None) -> None:
    account = Account()
    ids = []
    for credits_left, times in ((200, 1), (300, 0), (200, 0), (301, 0), (200, 1)):
        alerts = account.see(left(credits_left, refresh=refresh))
        assert len(alerts) == times
        ids += [alert.alert_id for alert in alerts]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("level", "held", "armed"),
    [(79, 890, 891), (80, 900, 901), (90, 950, 951), (95, 975, 976), (99, 995, 996)],
)
def test_high_level_is_re_armed(level: int, held: int, armed: int) -> None:
    """Nothing exceeds 100 %, so half of the way to it re-arms a high level."""
    account = Account()
    for credits_left, times in ((500, 1), (held, 0), (500, 0), (armed, 0), (500, 1)):
        look = left(credits_left, refresh=None, level=level)
        assert len(account.see(look)) == times


@pytest.mark.parametrize(
    "unknown",
    [{"credits_left": None}, {"total": None}, {"total": 0}, {"total": 5}, {"level": 0}],
)
def test_unknown_credits(unknown: dict[str, Any]) -> None:
    """They alert nothing, and re-arm nothing."""
    look = left(**{"credits_left": 10, **unknown})
    assert Account().see(look) == []
    account = Account()
    assert len(account.see(left(10))) == 1
    assert account.see(look) == []
    assert account.see(left(10)) == []
