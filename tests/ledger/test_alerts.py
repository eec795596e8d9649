"""What is worth an alert: once, and not again before it is armed anew."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
import json
from random import Random
import re
from typing import Any

import pytest

from custom_components.alibaba_cloud.ledger import (
    Alert,
    AlertKind,
    AlertOptions,
    AlertState,
    Observation,
    decide,
    outlook,
)
from custom_components.alibaba_cloud.ledger.alerts import ModelAlerts
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    ModelUsage,
    Money,
)

JULY = date(2026, 7, 1)
AUGUST = date(2026, 8, 1)
SEPTEMBER = date(2026, 9, 1)
NOW = datetime(2026, 8, 15, 12, tzinfo=UTC)
TODAY = NOW.date()
USUAL = AlertOptions()

type Amount = Decimal | str | int
type Levels = tuple[Amount, ...]

FAILURES = {
    "R": AlertKind.RATE_LIMITED,
    "K": AlertKind.API_KEY_REJECTED,
    "U": AlertKind.ACCOUNT_UNAVAILABLE,
}


def money(amount: Amount | None, currency: str = "USD") -> Money | None:
    """Return an amount, if there is one."""
    return None if amount is None else Money(amount=Decimal(amount), currency=currency)


def spent(
    spend: Amount | None,
    budget: Amount | None = 100,
    *,
    projected: Amount | None = None,
    period: date | None = AUGUST,
    currency: str = "USD",
    budget_currency: str | None = None,
    account_id: str = "account",
    today: date | None = None,
) -> Observation:
    """Return what is seen of an account that has spent something."""
    account = AccountSnapshot(
        monthly_spend=money(spend, currency),
        spend_limit=money(budget, budget_currency or currency),
    )
    view = outlook(account, budget=None, daily={}, since=None, now=NOW)
    return Observation(
        account_id=account_id,
        account=replace(
            account, outlook=replace(view, projected=money(projected, currency))
        ),
        period=period,
        today=today or period or TODAY,
    )


def left(balance: Amount | None, currency: str = "CNY") -> Observation:
    """Return what is seen of an account with a balance."""
    return Observation(
        account_id="account",
        account=AccountSnapshot(available_balance=money(balance, currency)),
        today=TODAY,
    )


def used(**models: float | None) -> Observation:
    """Return what is seen of models of which so many % are used."""
    return Observation(
        account_id="account",
        models=[
            ModelUsage(name=name, used=usage, limit=None if usage is None else 100)
            for name, usage in models.items()
        ],
        today=TODAY,
    )


def polled(outcome: str) -> Observation:
    """Return what is seen after a poll: a failure, or none; in lower case, no poll."""
    return Observation(
        account_id="account",
        polled=not outcome.islower() and outcome != ",",
        failure=FAILURES.get(outcome.upper()),
        today=TODAY,
    )


def kept(state: AlertState) -> AlertState:
    """Return a state as it is after a restart."""
    read = AlertState.from_dict(json.loads(json.dumps(state.as_dict())))
    assert read == state
    return read


class Account:
    """An account that is looked at, with a restart after each look."""

    def __init__(self, options: AlertOptions = USUAL) -> None:
        """Begin with nothing alerted."""
        self.options = options
        self.state = AlertState()

    def see(self, seen: Observation, **options: Any) -> list[Alert]:
        """Return the alerts of a look, from which on some options are different."""
        self.options = replace(self.options, **options)
        state, alerts = decide(self.state, seen, self.options)
        assert decide(kept(self.state), seen, self.options) == (state, alerts)
        self.state = kept(state)
        return alerts

    def see_one(self, seen: Observation, **options: Any) -> Alert:
        """Return the only alert of a look."""
        (alert,) = self.see(seen, **options)
        return alert

    def ignores(self, seen: Observation, **options: Any) -> bool:
        """Return whether a look changes nothing."""
        before = self.state
        return self.see(seen, **options) == [] and self.state == before


def top(alerts: Sequence[Alert], kind: AlertKind) -> Decimal | None:
    """Return the level of the one alert there may be."""
    assert len(alerts) <= 1
    assert all(alert.kind is kind for alert in alerts)
    return alerts[0].level if alerts else None


def spend_levels(
    looks: Iterable[Sequence[Amount]], levels: Levels | None = None
) -> list[Decimal | None]:
    """Return the level that each look alerts: at a spend, of 100 or another budget."""
    account = Account()
    if levels is not None:
        account.options = AlertOptions(spend_levels=tuple(map(Decimal, levels)))
    return [top(account.see(spent(*look)), AlertKind.SPEND_LEVEL) for look in looks]


def forecasts(looks: Iterable[Sequence[Amount]]) -> list[bool]:
    """Return whether each look alerts: at a spend, a projected one, and a budget."""
    account = Account(AlertOptions(spend_levels=()))
    told = [
        account.see(spent(spend, budget, projected=projected))
        for spend, projected, budget in looks
    ]
    for alerts in told:
        top(alerts, AlertKind.FORECAST_OVER_BUDGET)
    return [bool(alerts) for alerts in told]


def model_levels(
    looks: Iterable[float | None], levels: Levels = (80, 100)
) -> list[Decimal | None]:
    """Return the level that each look at a model alerts, at so many % used."""
    account = Account(AlertOptions(model_levels=tuple(map(Decimal, levels))))
    return [top(account.see(used(m=look)), AlertKind.MODEL_LEVEL) for look in looks]


# Spend


def test_spend_level() -> None:
    """It says what was reached, of what, and in which period."""
    alert = Account().see_one(spent("80.50"))
    assert alert == Alert(
        kind=AlertKind.SPEND_LEVEL,
        alert_id=alert.alert_id,
        level=Decimal(80),
        spend=Decimal("80.50"),
        budget=Decimal(100),
        currency="USD",
        period=AUGUST,
    )
    assert re.fullmatch("[0-9a-f]{32}", alert.alert_id)


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param(
            ["0", "49.99", "50", "50", "79.99", "80", "99.99", "100", "100", "1e6"],
            [None, None, 50, None, None, 80, None, 100, None, None],
            id="one after the other",
        ),
        pytest.param(["49.99", 85, 90], [None, 80, None], id="two at once"),
        pytest.param([100, 101], [100, None], id="all at once"),
        pytest.param([51, 100, 80], [50, 100, None], id="the rest at once"),
        pytest.param(
            [85, 40, 0, 50, 79, 80, 85, 100],
            [80, None, None, None, None, None, None, 100],
            id="down and up again",
        ),
        pytest.param([-5, -100, 50], [None, None, 50], id="refunds"),
    ],
)
def test_each_level_once(looks: list[Amount], expected: list[int | None]) -> None:
    """Of several that are reached at once, the highest; the others count as sent."""
    assert spend_levels([[look] for look in looks]) == expected


@pytest.mark.parametrize(
    ("looks", "levels", "expected"),
    [
        pytest.param([49, 85, 100], (100, 50, 80), [None, 80, 100], id="in no order"),
        pytest.param([99, 100, 1000], (), [None, None, None], id="none"),
        pytest.param([99, "999.9", 1000], (1000,), [None, None, 1000], id="ten times"),
        pytest.param(["0.49", "0.5"], ("0.5",), [None, Decimal("0.5")], id="half a %"),
    ],
)
def test_levels_of_the_users(
    looks: list[Amount], levels: Levels, expected: list[Any]
) -> None:
    assert spend_levels([[look] for look in looks], levels) == expected


@pytest.mark.parametrize(
    ("spend", "expected"), [("33.29667", Decimal("33.3")), ("33.29666", None)]
)
def test_spend_is_exact(spend: str, expected: Decimal | None) -> None:
    """No rounding makes a level reached, or keeps it from being."""
    assert spend_levels([(spend, "99.99")], ("33.3",)) == [expected]


def test_new_period_arms_all() -> None:
    account = Account()
    for period in (JULY, AUGUST, SEPTEMBER, date(2027, 9, 1)):
        told = [account.see(spent(spend, period=period)) for spend in (0, 60, 90, 130)]
        levels = [top(alerts, AlertKind.SPEND_LEVEL) for alerts in told]
        assert levels == [None, 50, 80, 100]
        assert {alert.period for alerts in told for alert in alerts} == {period}


def test_new_period_at_once() -> None:
    """What was reached in a new period before the first look is alerted in it."""
    account = Account()
    account.see(spent(85))
    assert account.see_one(spent(85, period=SEPTEMBER)).level == 80


@pytest.mark.parametrize("day", [2, 28])
def test_period_whose_first_day_is_corrected(day: int) -> None:
    """A month has one period, whatever day it is thought to have begun on."""
    account = Account()
    account.see(spent(50))
    later = AUGUST.replace(day=day)
    assert account.ignores(spent(60, period=later))
    assert account.see_one(spent(80, period=later)).period == AUGUST


def test_period_whose_figure_is_revised() -> None:
    """Within a month it may seem to begin anew on any day but the last ones."""
    account = Account()
    account.see(spent(85))
    assert account.ignores(spent(85, period=AUGUST.replace(day=28)))
    assert account.see_one(spent(85, period=AUGUST.replace(day=29))).level == 80


def test_period_that_began_late() -> None:
    """The shortest month, of which the first day was taken for a later one."""
    account = Account()
    for day in ("2026-02-04", "2026-03-01"):
        period = date.fromisoformat(day)
        assert account.see_one(spent(85, period=period)).period == period


def test_period_before() -> None:
    """A bill of last month that stands in for a moment arms nothing."""
    account = Account()
    account.see(spent(85))
    account.see(spent(55, period=SEPTEMBER))
    assert account.ignores(spent(85, projected=200, today=SEPTEMBER))
    assert account.ignores(spent(85, projected=200, period=JULY, today=SEPTEMBER))
    assert account.ignores(spent(55, period=SEPTEMBER))


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(["2026-07-01", "2026-07-31", "2026-08-30"], id="of thirty days"),
        pytest.param(["2026-07-01", "2026-07-29", "2026-08-26"], id="of four weeks"),
        pytest.param(["2026-07-15", "2026-08-15", "2026-09-15"], id="from the 15th"),
        pytest.param(["2026-01-31", "2026-02-28", "2026-03-31"], id="at the end"),
        pytest.param(["2026-02-04", "2026-03-01"], id="seen to begin three days late"),
    ],
)
def test_periods_that_are_no_months(begin: list[str]) -> None:
    account = Account()
    for period in map(date.fromisoformat, begin):
        assert account.see_one(spent(85, period=period)).period == period
        assert account.ignores(spent(85, period=period))


def test_month_of_another_source() -> None:
    """The bill's month that steps in is not the account's period, which goes on."""
    account = Account()
    account.see(spent(55, period=date(2026, 7, 15)))
    assert account.ignores(spent(1000, projected=2000))
    assert account.see_one(spent(85, period=date(2026, 7, 15))).level == 80
    assert account.see_one(spent(55, period=date(2026, 8, 15))).level == 50


def test_clock_that_was_ahead() -> None:
    """What was told of a month to come is told again when that has come."""
    account = Account()
    account.see(spent(85, period=SEPTEMBER))
    assert account.see_one(spent(85, today=TODAY)).period == AUGUST
    assert account.ignores(spent(85, today=TODAY))
    assert account.see_one(spent(85, period=SEPTEMBER)).period == SEPTEMBER


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param(spent(None), id="spend"),
        pytest.param(spent(None, period=SEPTEMBER), id="spend in a new period"),
        pytest.param(spent(1000, None), id="budget"),
        pytest.param(spent(1000, period=None), id="period"),
        pytest.param(spent(1000, projected=2000, period=None), id="forecast's period"),
        pytest.param(spent(1000, budget_currency="CNY"), id="in another currency"),
        pytest.param(
            spent(5, projected=2000, budget_currency="CNY"), id="forecast in another"
        ),
        pytest.param(spent(None, projected=2000), id="spend of a forecast"),
        pytest.param(spent(5, None, projected=2000), id="budget of a forecast"),
        pytest.param(left(None), id="balance"),
        pytest.param(used(m=None), id="use of a model"),
        pytest.param(used(), id="models"),
        pytest.param(polled(","), id="no poll"),
        pytest.param(polled("r"), id="no poll since a failure"),
    ],
)
def test_unknown_changes_nothing(unknown: Observation) -> None:
    """Neither what is alerted, nor what is armed."""
    account = Account(AlertOptions(low_balance=Decimal(10)))
    looks = [spent(20, projected=30), left(100), used(m=40), polled(".")]
    for look in looks:
        account.see(look)
    assert account.ignores(unknown)
    looks = [spent(60, projected=200), left(5), used(m=90), polled("R"), polled("R")]
    assert [len(account.see(look)) for look in looks] == [2, 1, 1, 0, 1]
    assert account.ignores(unknown)
    assert [len(account.see(look)) for look in looks] == [0] * 5


def test_unknown_from_the_start() -> None:
    for unknown in (
        spent(None),
        spent(90, projected=200, period=None),
        left(5),
        used(m=None),
        Observation(account_id="account", today=TODAY),
    ):
        assert Account().ignores(unknown)


def test_budget_that_becomes_known() -> None:
    """What had been reached before is alerted then."""
    account = Account()
    assert account.see(spent(85, None)) == []
    assert account.see(spent(85, budget_currency="CNY")) == []
    assert account.see_one(spent(85)).level == 80


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param(
            [(85, (50, 80)), (85, (50, 70, 80)), (60, (50, 55)), (56, (50, 55))],
            [80, None, None, None],
            id="added below what was alerted",
        ),
        pytest.param(
            [(85, (50, 80)), (85, (50, 80, 85)), (85, (50, 80, 85))],
            [80, 85, None],
            id="added above and reached",
        ),
        pytest.param(
            [(85, (50, 80)), (85, (90,)), (89, (90,)), (90, (90,))],
            [80, None, None, 90],
            id="added above and not reached",
        ),
        pytest.param(
            [(85, (50, 80)), (85, (50,)), (85, (50, 80)), (85, ()), (85, (80, 84))],
            [80, None, None, None, 84],
            id="removed and added back",
        ),
        pytest.param(
            [(45, (50,)), (45, (40, 50)), (50, (40, 50))],
            [None, 40, 50],
            id="the first one added",
        ),
    ],
)
def test_levels_changed(
    looks: list[tuple[int, tuple[int, ...]]], expected: list[int | None]
) -> None:
    """Only what is newly reached is alerted: above all that was alerted before."""
    account = Account()
    assert [
        top(
            account.see(spent(spend), spend_levels=tuple(map(Decimal, levels))),
            AlertKind.SPEND_LEVEL,
        )
        for spend, levels in looks
    ] == expected


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param(
            [(90, 100), (90, 200), (99, 200), (100, 200), (160, 200), (200, 200)],
            [80, None, None, 50, 80, 100],
            id="raised above all levels",
        ),
        pytest.param(
            [(90, 100), (90, 150), (119, 150), (120, 150)],
            [80, None, None, 80],
            id="raised, one level reached still",
        ),
        pytest.param(
            [(100, 100), (100, 125), (124, 125), (125, 125)],
            [100, None, None, 100],
            id="raised, the level below reached still",
        ),
        pytest.param(
            [(60, 100), (60, 120), (95, 120), (96, 120)],
            [50, None, None, 80],
            id="raised, the only level reached still",
        ),
        pytest.param([(60, 100), (60, 50)], [50, 100], id="lowered below the spend"),
        pytest.param([(60, 100), (60, 76)], [50, None], id="lowered, nothing new"),
        pytest.param([(45, 100), (45, 50)], [None, 80], id="lowered, the first level"),
        pytest.param(
            [(90, 100), (90, 200), (90, 100), (99, 100), (100, 100)],
            [80, None, None, None, 100],
            id="raised and lowered back",
        ),
        pytest.param(
            [(90, 100), (90, 200), (100, 200), (100, 100)],
            [80, None, 50, 100],
            id="raised and lowered back, more spent in between",
        ),
        pytest.param(
            [(60, 100), (60, 50), (60, 100), (79, 100), (80, 100)],
            [50, 100, None, None, 80],
            id="lowered and raised back",
        ),
        pytest.param(
            [(90, 100), (90, 200), (90, 110)],
            [80, None, 80],
            id="raised, and lowered to something else",
        ),
        pytest.param(
            [(90, 100), (90, 200), (90, 100), (97, 120)],
            [80, None, None, None],
            id="raised, lowered back, and raised a little",
        ),
        pytest.param(
            [(90, 100), (90, "100.00"), (90, "1e2")],
            [80, None, None],
            id="written in another way",
        ),
    ],
)
def test_budget_changed(
    looks: list[tuple[int, Amount]], expected: list[int | None]
) -> None:
    """Only what is newly reached is alerted."""
    assert spend_levels(looks) == expected


def test_budget_changed_with_the_period() -> None:
    """Nothing of the period before matters."""
    account = Account()
    account.see(spent(90))
    assert account.see_one(spent(90, 110, period=SEPTEMBER)).level == 80


def test_currency_changed() -> None:
    """A budget in another currency is another one."""
    account = Account()
    account.see(spent(90))
    assert account.see(spent(90, currency="CNY")) == []
    assert account.see_one(spent(100, currency="CNY")).currency == "CNY"
    assert account.see_one(spent(100)).currency == "USD"


# Forecast


def test_forecast() -> None:
    """It says what the period is going to come to."""
    alert = Account().see_one(spent(20, projected="120.5"))
    assert alert == Alert(
        kind=AlertKind.FORECAST_OVER_BUDGET,
        alert_id=alert.alert_id,
        spend=Decimal(20),
        budget=Decimal(100),
        projected=Decimal("120.5"),
        currency="USD",
        period=AUGUST,
    )


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param(
            [(20, 100, 100), (20, "100.01", 100), (20, 150, 100)],
            [False, True, False],
            id="more than the budget",
        ),
        pytest.param(
            [(100, 120, 100), (101, 120, 100), ("99.99", 120, 100)],
            [False, False, True],
            id="spent already",
        ),
        pytest.param(
            [(20, 120, 100), (20, 90, 100), (20, 120, 100)],
            [True, False, False],
            id="down and up again",
        ),
        pytest.param(
            [(0, 120, 100), (0, 120, 100)], [True, False], id="nothing spent yet"
        ),
        pytest.param(
            [(20, 120, 100), (20, 120, 110), (20, 120, 90)],
            [True, False, False],
            id="other budgets, exceeded as well",
        ),
        pytest.param(
            [(20, 120, 100), (20, 120, 150), (20, 160, 150), (20, 160, 150)],
            [True, False, True, False],
            id="budget raised beyond the forecast",
        ),
        pytest.param(
            [(20, 120, 150), (20, 120, 100)], [False, True], id="budget lowered"
        ),
        pytest.param(
            [(20, 120, 100), (20, 120, 150), (20, 120, 100)],
            [True, False, False],
            id="budget raised and lowered back",
        ),
        pytest.param(
            [(20, 120, 100), (20, 120, 150), (20, 120, 110)],
            [True, False, True],
            id="budget raised, and lowered to something else",
        ),
        pytest.param(
            [(20, 120, 100), (20, 120, 150), (20, 120, 100), (20, 120, 110)],
            [True, False, False, False],
            id="budget raised, lowered back, and raised a little",
        ),
    ],
)
def test_forecast_once(
    looks: list[tuple[Amount, Amount, Amount]], expected: list[bool]
) -> None:
    """While the budget is not exceeded yet, and once for what is newly exceeded."""
    assert forecasts(looks) == expected


def test_forecast_in_a_new_period() -> None:
    account = Account()
    first = account.see_one(spent(20, projected=120))
    second = account.see_one(spent(20, projected=120, period=SEPTEMBER))
    assert second.period == SEPTEMBER
    assert first.alert_id != second.alert_id
    assert account.ignores(spent(20, projected=120, period=SEPTEMBER))


def test_forecast_alert_switched_off() -> None:
    """It comes once it is switched on, unless it came before."""
    account = Account(AlertOptions(forecast_alert=False))
    assert account.see(spent(20, projected=120)) == []
    assert account.see_one(spent(20, projected=120), forecast_alert=True)
    assert account.see(spent(20, projected=120), forecast_alert=False) == []
    assert account.see(spent(20, projected=120), forecast_alert=True) == []


def test_forecast_beside_a_level() -> None:
    """One look may alert more than one thing."""
    kinds = [alert.kind for alert in Account().see(spent(60, projected=120))]
    assert kinds == [AlertKind.SPEND_LEVEL, AlertKind.FORECAST_OVER_BUDGET]


# Balance


def test_balance() -> None:
    """It says what is left."""
    account = Account(AlertOptions(low_balance=Decimal(10)))
    alert = account.see_one(left("9.5"))
    assert alert == Alert(
        kind=AlertKind.BALANCE_LOW,
        alert_id=alert.alert_id,
        balance=Decimal("9.5"),
        currency="CNY",
    )


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param(["10.01", "10", "9", "-5"], [1], id="at the threshold"),
        pytest.param(["10", "10.99", "9", "10.9999", "10"], [0], id="not armed"),
        pytest.param(["10", "11", "10.01", "10", "9"], [0, 3], id="armed again"),
        pytest.param(["0", "500", "-1"], [0, 2], id="below nothing"),
    ],
)
def test_balance_low(looks: list[str], expected: list[int]) -> None:
    """It can be low again only after it was a tenth above the threshold."""
    account = Account(AlertOptions(low_balance=Decimal(10)))
    alerts = [account.see(left(look)) for look in looks]
    assert [number for number, told in enumerate(alerts) if told] == expected
    assert len({alert.alert_id for told in alerts for alert in told}) == len(expected)


def test_balance_of_another_source() -> None:
    """In another currency it is another one, each low for itself."""
    account = Account(AlertOptions(low_balance=Decimal(50)))
    assert account.see_one(left(40, "USD")).currency == "USD"
    assert account.ignores(left("326.87"))
    assert account.ignores(left(40, "USD"))
    assert account.see_one(left(50)).currency == "CNY"
    assert account.ignores(left(40, "USD"))
    account.see(left(55, "USD"))
    assert account.ignores(left(40))
    assert account.see_one(left(40, "USD")).currency == "USD"


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param([(9, 10), (9, 20), (19, 20)], [0], id="raised"),
        pytest.param([(15, 10), (15, 15)], [1], id="raised to the balance"),
        pytest.param([(9, 10), (21, 20), (22, 20), (20, 20)], [0, 3], id="then armed"),
        pytest.param([(9, 10), (9, 8), (8, 8)], [0, 2], id="lowered by enough"),
        pytest.param([(9, 10), (9, 9), (8, 9)], [0], id="lowered by too little"),
        pytest.param([(9, None), (0, None), (9, 10)], [2], id="set later"),
        pytest.param([(9, 10), (9, None), (9, 10)], [0], id="removed and set again"),
        pytest.param(
            [(9, 10), (None, None), (9, 10)], [0], id="removed, balance unknown"
        ),
        pytest.param(
            [(9, 10), (11, None), (9, 10)], [0, 2], id="removed, armed, and set again"
        ),
        pytest.param(
            [(9, 10), (10, None), (9, 10)], [0], id="removed, hardly risen, set again"
        ),
    ],
)
def test_threshold_changed(
    looks: list[tuple[int | None, int | None]], expected: list[int]
) -> None:
    account = Account()
    alerts = [
        account.see(
            left(balance),
            low_balance=None if threshold is None else Decimal(threshold),
        )
        for balance, threshold in looks
    ]
    assert [number for number, told in enumerate(alerts) if told] == expected


# Models


def test_model_level() -> None:
    """It says which model reached what."""
    alert = Account().see_one(used(m=85.5))
    assert alert == Alert(
        kind=AlertKind.MODEL_LEVEL,
        alert_id=alert.alert_id,
        level=Decimal(80),
        model="m",
        usage_pct=85.5,
    )


@pytest.mark.parametrize("level", [5, 50, 80, 100, 250])
def test_model_level_is_armed_again(level: int) -> None:
    """Where its use has fallen 10 points below, and not before."""
    looks = [level - 0.01, level, level + 1, level - 9.99, level, level - 10, level]
    expected = [None, level, None, None, None, None, level]
    assert model_levels(looks, (level,)) == expected


@pytest.mark.parametrize(
    ("looks", "levels", "expected"),
    [
        pytest.param([79, 80, 99, 100], (80, 100), [None, 80, None, 100], id="each"),
        pytest.param([120, 85, 80], (80, 100), [100, None, None], id="both at once"),
        pytest.param(
            [100, 90, 89, 99, 100],
            (80, 100),
            [100, None, None, None, 100],
            id="the upper one armed",
        ),
        pytest.param(
            [100, 70, 80, 100],
            (80, 100),
            [100, None, 80, 100],
            id="both armed",
        ),
        pytest.param(
            [100, 70.01, 80, 100],
            (100, 80),
            [100, None, None, 100],
            id="the lower one not armed",
        ),
        pytest.param(
            [86, 75.01, 85, 75, 84, 85],
            (80, 85),
            [85, None, None, None, None, 85],
            id="close to each other",
        ),
        pytest.param(
            [100, 78, 89, 90, 99],
            (80, 85, 90, 100),
            [100, None, None, 90, None],
            id="two of four armed",
        ),
        pytest.param([500, 0, 500], (), [None, None, None], id="none"),
    ],
)
def test_model_levels(
    looks: list[float], levels: Levels, expected: list[int | None]
) -> None:
    """Each is armed on its own; of several the highest is alerted."""
    assert model_levels(looks, levels) == expected


def test_model_that_was_away() -> None:
    """What it had reached before, it does not reach again."""
    account = Account()
    assert account.see_one(used(m=85, n=10)).model == "m"
    assert account.ignores(used(n=10))
    assert account.ignores(used(m=None, n=10))
    assert account.ignores(used(m=85, n=10))
    account.see(used(n=10))
    assert account.see(used(m=70)) == []
    assert account.see_one(used(m=85)).model == "m"


def test_models_apart() -> None:
    """What one has reached is nothing to the other."""
    account = Account()
    alerts = account.see(used(m=85, n=85, o=10))
    assert [alert.model for alert in alerts] == ["m", "n"]
    assert len({alert.alert_id for alert in alerts}) == 2
    assert account.see(used(m=70, n=85)) == []
    assert [alert.model for alert in account.see(used(n=85, m=85))] == ["m"]
    assert account.see(used(o=None, m=85, n=85)) == []


def test_model_without_a_figure_among_others() -> None:
    alerts = Account().see(used(m=None, n=85))
    assert [alert.model for alert in alerts] == ["n"]


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param(
            [(85, (80,)), (85, (80, 85)), (85, (80, 85))], [80, 85, None], id="above"
        ),
        pytest.param([(85, (80,)), (85, (60, 80))], [80, None], id="below"),
        pytest.param(
            [(85, (80,)), (85, (100,)), (75, (100,)), (85, (80, 100))],
            [80, None, None, None],
            id="removed and added back",
        ),
        pytest.param(
            [(85, (80,)), (70, (100,)), (85, (80, 100))],
            [80, None, 80],
            id="removed, armed, and added back",
        ),
        pytest.param(
            [(105, (80, 100)), (90, (80,)), (105, (80, 100))],
            [100, None, 100],
            id="the upper one removed, armed, and added back",
        ),
    ],
)
def test_model_levels_changed(
    looks: list[tuple[int, tuple[int, ...]]], expected: list[int | None]
) -> None:
    account = Account()
    assert [
        top(
            account.see(used(m=usage), model_levels=tuple(map(Decimal, levels))),
            AlertKind.MODEL_LEVEL,
        )
        for usage, levels in looks
    ] == expected


def test_model_level_back_before_it_is_armed() -> None:
    """Its use has not fallen 10 points below since it was sent."""
    account = Account()
    three, two = (Decimal(80), Decimal(90), Decimal(100)), (Decimal(80), Decimal(100))
    assert account.see_one(used(m=100), model_levels=three).level == 100
    assert account.see(used(m=85), model_levels=two) == []
    assert account.see(used(m=92), model_levels=three) == []


def test_model_levels_with_a_fraction() -> None:
    """Every one is reached by a use that is shown as the same number."""
    for tenths in range(1, 2000):
        level = Decimal(tenths) / 10
        seen = Observation(
            account_id="account",
            models=[ModelUsage(name="m", used=tenths, limit=1000)],
            today=TODAY,
        )
        account = Account(AlertOptions(model_levels=(level,)))
        assert account.see_one(seen).level == level


# Failures


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        pytest.param("R", " ", id="once"),
        pytest.param("R.R.K.U", "       ", id="every other poll"),
        pytest.param("RRRR", " R  ", id="throttled"),
        pytest.param("KKKK", " K  ", id="rejected"),
        pytest.param("UUUU", " U  ", id="unavailable"),
        pytest.param("RK", " K", id="in two ways"),
        pytest.param("RR...", " R.  ", id="recovered"),
        pytest.param("RR.R.", " R.  ", id="recovered, and a hiccup"),
        pytest.param("RR.RR.", " R. R.", id="twice"),
        pytest.param("RRKR.", " R  .", id="another one for a moment"),
        pytest.param("RRKK.", " R K..", id="another one"),
        pytest.param("RRKKKRRR.", " R K    ..", id="another one for a while"),
        pytest.param("RRKUKU.", " R    .", id="others by turns"),
        pytest.param("RRKRKRK.", " R     .", id="by turns"),
        pytest.param("RRKRKK", " R   K", id="by turns, then for good"),
        pytest.param("RRKKUU.RR.", " R K U... R.", id="all three"),
        pytest.param("RKRK.", " K  .", id="by turns from the start"),
        pytest.param("RrrR", "   R", id="seen more often than polled"),
        pytest.param("R,,R", "   R", id="no failure seen, nor polled"),
        pytest.param("R,r.r,", "      ", id="nothing but one poll"),
        pytest.param("RR,,r,.", " R    .", id="recovered once it is polled"),
        pytest.param("RRkkkK", " R    ", id="another one, polled once"),
        pytest.param(".,..", "    ", id="never"),
    ],
)
def test_failures(outcomes: str, expected: str) -> None:
    """Two polls in a row have to fail, and one of them not to."""
    account = Account()
    told = ""
    for outcome in outcomes:
        alerts = account.see(polled(outcome))
        for alert in alerts:
            told += "." if alert.kind is AlertKind.RECOVERED else alert.kind[0].upper()
        told += "" if alerts else " "
    assert told == expected.replace("K", "A").replace("U", "A")


@pytest.mark.parametrize("outcome", FAILURES)
def test_failure_and_recovery(outcome: str) -> None:
    """They say what fails, and what does no more."""
    account = Account()
    kind = FAILURES[outcome]
    assert account.see(polled(outcome)) == []
    failed = account.see_one(polled(outcome))
    assert failed == Alert(kind=kind, alert_id=failed.alert_id)
    recovered = account.see_one(polled("."))
    assert recovered == Alert(
        kind=AlertKind.RECOVERED, alert_id=recovered.alert_id, failure=kind
    )
    assert failed.alert_id != recovered.alert_id


def test_recovered_from_each_failure() -> None:
    """Whoever was told of one is told that it is over."""
    account = Account()
    told = [account.see(polled(outcome)) for outcome in "RRKK."]
    assert [alert.failure for alert in told[-1]] == [
        AlertKind.RATE_LIMITED,
        AlertKind.API_KEY_REJECTED,
    ]
    assert len({alert.alert_id for alert in told[-1]}) == 2


# All of it


def walk(account_id: str, looks: int, seed: int) -> list[Alert]:
    """Return all alerts of an account whose figures wander."""
    random = Random(seed)
    account = Account(AlertOptions(low_balance=Decimal(20)))
    alerts = []
    spend, balance, month = Decimal(), Decimal(50), 0
    usage = {"m": 50, "n": 90, "o": 0}
    for _ in range(looks):
        spend += random.randint(0, 8)
        balance = abs(balance + random.randint(-9, 9))
        usage = {name: max(0, x + random.randint(-15, 15)) for name, x in usage.items()}
        if random.random() < 0.05:
            month, spend = month + 1, Decimal()
        seen = spent(
            spend,
            random.choice((100, 100, 200)),
            projected=spend + random.randint(0, 100),
            period=date(2026 + month // 12, month % 12 + 1, 1),
            account_id=account_id,
        )
        seen = replace(
            seen,
            account=replace(seen.account, available_balance=money(balance)),
            models=used(**usage).models,
            polled=True,
            failure=random.choice((*FAILURES.values(), None)),
        )
        alerts += account.see(seen)
    return alerts


def test_ids_are_all_different() -> None:
    """In a long run, and in that of another account, which went the same way."""
    alerts = walk("one", 2000, seed=1)
    others = walk("other", 2000, seed=1)
    assert {alert.kind for alert in alerts} == set(AlertKind)
    assert len(alerts) > 1000
    assert [replace(alert, alert_id="") for alert in alerts] == [
        replace(alert, alert_id="") for alert in others
    ]
    ids = {alert.alert_id for alert in (*alerts, *others)}
    assert len(ids) == len(alerts) + len(others)


def test_alerts_are_fit_for_json() -> None:
    """All of them, with all of what they say."""
    for alert in walk("account", 300, seed=2):
        said = alert.as_dict()
        assert json.loads(json.dumps(said)) == said
        assert said["alert_id"] == alert.alert_id


@pytest.mark.parametrize(
    ("alert", "said"),
    [
        pytest.param(
            Alert(
                kind=AlertKind.SPEND_LEVEL,
                alert_id="1",
                level=Decimal(80),
                spend=Decimal("1.2e2"),
                budget=Decimal("150.00"),
                currency="USD",
                period=AUGUST,
            ),
            '{"level": 80, "spend": 120, "budget": 150, "projected": null,'
            ' "balance": null, "currency": "USD", "model": null, "usage_pct": null,'
            ' "period": "2026-08-01", "failure": null, "alert_id": "1"}',
            id="whole numbers",
        ),
        pytest.param(
            Alert(
                kind=AlertKind.MODEL_LEVEL,
                alert_id="2",
                level=Decimal("80.5"),
                projected=Decimal("0.01"),
                balance=Decimal("-3.25"),
                model="qwen",
                usage_pct=81.0,
                failure=AlertKind.RATE_LIMITED,
            ),
            '{"level": 80.5, "spend": null, "budget": null, "projected": 0.01,'
            ' "balance": -3.25, "currency": null, "model": "qwen", "usage_pct": 81.0,'
            ' "period": null, "failure": "rate_limited", "alert_id": "2"}',
            id="others",
        ),
    ],
)
def test_alert_as_dict(alert: Alert, said: str) -> None:
    assert json.dumps(alert.as_dict()) == said


STORED = {
    "period": "2026-08-01",
    "levels": [["200 USD", None], ["99.5 CNY", "80.5"], ["100 USD", "100"]],
    "forecasts": [["200 USD", False], ["100 USD", True]],
    "low_balances": {"CNY": "10"},
    "balances_sent": 3,
    "models": {"qwen": [["80", "90.5"], 2], "wan": [[], 1]},
    "failing": "rate_limited",
    "failures": ["rate_limited", "account_unavailable"],
    "failures_sent": 4,
}
STATE = AlertState(
    period=AUGUST,
    levels=(
        ("200 USD", None),
        ("99.5 CNY", Decimal("80.5")),
        ("100 USD", Decimal(100)),
    ),
    forecasts=(("200 USD", False), ("100 USD", True)),
    low_balances={"CNY": Decimal(10)},
    balances_sent=3,
    models={
        "qwen": ModelAlerts(levels=frozenset((Decimal("90.5"), Decimal(80))), sent=2),
        "wan": ModelAlerts(sent=1),
    },
    failing=AlertKind.RATE_LIMITED,
    failures=(AlertKind.RATE_LIMITED, AlertKind.ACCOUNT_UNAVAILABLE),
    failures_sent=4,
)


def test_stored() -> None:
    """What an earlier version stored is understood, to the letter."""
    assert json.loads(json.dumps(STATE.as_dict())) == STORED
    state = AlertState.from_dict(STORED)
    assert state == STATE
    assert state.failing is AlertKind.RATE_LIMITED
    assert state.failures[1] is AlertKind.ACCOUNT_UNAVAILABLE


def test_what_is_stored() -> None:
    """What was sent is counted, and of each budget it is known what was."""
    account = Account(AlertOptions(low_balance=Decimal(10)))
    for look in (spent(85, projected=90), spent(85, 200, projected=220)):
        account.see(look)
    for _ in range(2):
        account.see(left(5))
        account.see(left(50))
        account.see(used(m=85))
        account.see(used(m=5))
        for outcome in "RR.":
            account.see(polled(outcome))
    assert account.state.as_dict() == {
        "period": "2026-08-01",
        "levels": [["100 USD", "80"], ["200 USD", None]],
        "forecasts": [["100 USD", False], ["200 USD", True]],
        "low_balances": {},
        "balances_sent": 2,
        "models": {"m": [[], 2]},
        "failing": None,
        "failures": [],
        "failures_sent": 2,
    }


def test_stored_goes_on() -> None:
    """What was alerted before a restart is what counts after it."""
    account = Account()
    account.state = AlertState.from_dict(json.loads(json.dumps(STORED)))
    assert account.see(spent(150, projected=160)) == []
    assert account.see(spent(81, "99.5", currency="CNY")) == []
    assert account.see_one(spent(81, 80)).budget == 80
    assert account.see(used(qwen=85)) == []
    assert account.see_one(used(wan=85)).model == "wan"
    assert [alert.failure for alert in account.see(polled("."))] == [
        AlertKind.RATE_LIMITED,
        AlertKind.ACCOUNT_UNAVAILABLE,
    ]


def test_nothing_stored() -> None:
    """A first start is one with nothing alerted."""
    assert kept(AlertState()) == AlertState()
    assert AlertState().as_dict() == {
        "period": None,
        "levels": [],
        "forecasts": [],
        "low_balances": {},
        "balances_sent": 0,
        "models": {},
        "failing": None,
        "failures": [],
        "failures_sent": 0,
    }


def test_usual_options() -> None:
    """What one is told who chooses nothing."""
    assert AlertOptions() == AlertOptions(
        monthly_budget=None,
        spend_levels=(Decimal(50), Decimal(80), Decimal(100)),
        low_balance=None,
        model_levels=(Decimal(80), Decimal(100)),
        forecast_alert=True,
    )
