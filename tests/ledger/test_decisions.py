"""Which alerts are due, and when they are re-armed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.ledger import (
    BILLING_TIME_ZONE,
    AlertKind,
    AlertOptions,
    Observation,
    Periods,
    outlook,
    reaches,
)
from custom_components.alibaba_cloud.model_studio.models import (
    AccountSnapshot,
    ModelUsage,
    Money,
    Spend,
)

from .common import Account, Look, written

JULY, AUGUST, SEPTEMBER = (
    datetime(2026, month, 1, tzinfo=BILLING_TIME_ZONE) for month in (7, 8, 9)
)
NOW = datetime(2026, 8, 15, 12, tzinfo=UTC)
USUAL = AlertOptions(low_balance=Decimal(10))
FAILURES = {
    "R": AlertKind.RATE_LIMITED,
    "K": AlertKind.API_KEY_REJECTED,
    "U": AlertKind.ACCOUNT_UNAVAILABLE,
}

type Amount = Decimal | str | int
type Levels = Sequence[Amount]


def decimals(amounts: Levels) -> tuple[Decimal, ...]:
    """Return levels as exact numbers."""
    return tuple(map(Decimal, amounts))


def money(amount: Amount | None, currency: str = "USD") -> Money | None:
    """Return an amount if there is one."""
    return None if amount is None else Money(amount=Decimal(amount), currency=currency)


def spent(
    spend: Amount | None,
    *,
    limit: Amount | None = 100,
    limit_currency: str = "USD",
    budget: Amount | None = None,
    projected: Amount | None = None,
    since: datetime | None = AUGUST,
    start: date | None = None,
    levels: Levels = (50, 80, 100),
    asked: Levels = (),
    forecast_alert: bool = True,
) -> Look:
    """Return an observation of a spend. Automations wait for the `asked` levels."""
    amount = money(spend)
    if amount is not None and since:
        first = start or since.date()
        amount = Spend(amount=amount.amount, currency="USD", since=since, start=first)
    options = replace(
        USUAL,
        monthly_budget=None if budget is None else Decimal(budget),
        spend_levels=decimals(levels),
        forecast_alert=forecast_alert,
    )
    account = AccountSnapshot(
        monthly_spend=amount, spend_limit=money(limit, limit_currency)
    )
    view = outlook(
        account, budget=options.monthly_budget, daily={}, periods=Periods(), now=NOW
    )
    seen = Observation(
        account_id="account",
        account=replace(account, outlook=replace(view, projected=money(projected))),
        trigger_spend_levels=frozenset(decimals(asked)),
    )
    return Look(seen, options)


def forecast(spend: Amount, projected: Amount, **more: Any) -> Look:
    """Return an observation of a forecast. No spend levels are watched."""
    return spent(spend, projected=projected, levels=(), **more)


def left(
    balance: Amount | None, threshold: Amount | None = 10, currency: str = "CNY"
) -> Look:
    """Return an observation of a balance."""
    account = AccountSnapshot(available_balance=money(balance, currency))
    low = None if threshold is None else Decimal(threshold)
    seen = Observation(account_id="account", account=account)
    return Look(seen, replace(USUAL, low_balance=low))


def used(
    *,
    levels: Levels = (80, 100),
    asked: Levels = (),
    gone: Sequence[str] = (),
    **models: float | None,
) -> Look:
    """Return an observation of models, each with its used quota in %."""
    seen = Observation(
        account_id="account",
        models=[ModelUsage(name=name, used=models[name], limit=100) for name in models],
        models_gone=gone,
        trigger_model_levels=frozenset(decimals(asked)),
    )
    return Look(seen, replace(USUAL, model_levels=decimals(levels)))


def polled(outcome: str) -> Look:
    """Return an observation after a poll that failed (a letter) or worked (a dot).

    A lower-case letter or a comma is an observation without a poll.
    """
    failure = FAILURES.get(outcome.upper())
    seen = Observation(account_id="account", polled=outcome in "RKU.", failure=failure)
    return Look(seen, USUAL)


def test_spend_level() -> None:
    """The alert has the level, the spend, the budget and the period."""
    assert written(Account().see_one(spent("80.29667", levels=(80,)))) == (
        'spend_level {"level": 80, "spend": 80.3, "budget": 100.0, "currency": "USD",'
        ' "usage_pct": 80.2967, "period": "2026-08-01"}'
    )


@given(
    levels=st.lists(st.decimals("0.1", 300, places=1), unique=True, max_size=5),
    looks=st.lists(
        st.tuples(
            st.decimals(-50, 400, places=2),
            st.sampled_from((None, 0, *decimals((80, "99.99", 100, 250)))),
        ),
        max_size=8,
    ),
)
def test_each_level_once(
    levels: list[Decimal], looks: list[tuple[Decimal, Decimal | None]]
) -> None:
    """Each level is alerted once, in ascending order, when the spend reaches it.

    Later changes of the spend or of the limit do not repeat an alert.
    """
    account = Account()
    alerted: set[Decimal] = set()
    for spend, limit in looks:
        due = sorted(
            level
            for level in levels
            if limit and spend * 100 >= level * limit and level not in alerted
        )
        assert account.levels(spent(spend, limit=limit, levels=levels)) == due
        alerted.update(due)


def test_new_period_arms_all_levels() -> None:
    account = Account()
    for since in (JULY, AUGUST, SEPTEMBER):
        assert account.see(spent(0, since=since)) == []
        alerts = account.see(spent(130, since=since))
        assert [str(alert.level) for alert in alerts] == ["50", "80", "100"]
        assert {alert.period for alert in alerts} == {since.date()}


def test_period_is_known_by_when_it_began() -> None:
    """A corrected first day does not start a new period. Another start time does."""
    account = Account()
    assert account.levels(spent(60)) == [50]
    corrected = date(2026, 8, 2)
    alert = account.see_one(spent(85, start=corrected))
    assert (alert.level, alert.period) == (Decimal(80), corrected)
    assert account.levels(spent(60, since=AUGUST.replace(hour=1))) == [50]


def test_period_before_changes_nothing() -> None:
    account = Account()
    account.see(spent(55, since=SEPTEMBER))
    assert account.ignores(spent(90, since=AUGUST, projected=200))
    assert account.ignores(spent(55, since=SEPTEMBER))


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param(spent(None, projected=200), id="spend"),
        pytest.param(spent(90, projected=200, since=None), id="period"),
        pytest.param(spent(90, projected=200, limit=None), id="budget"),
        pytest.param(spent(90, projected=200, limit_currency="CNY"), id="rate"),
        pytest.param(left(None), id="balance"),
        pytest.param(used(m=None), id="use of a model"),
        pytest.param(used(), id="models"),
        pytest.param(polled("r"), id="poll since a failure"),
        pytest.param(polled(","), id="poll"),
    ],
)
def test_unknown_changes_nothing(unknown: Look) -> None:
    """An unknown figure alerts nothing and re-arms nothing."""
    account = Account()
    for look in (spent(20, projected=30), left(100), used(m=40), polled(".")):
        assert account.see(look) == []
    assert account.ignores(unknown)
    looks = [spent(60, projected=200), left(5), used(m=90), polled("R"), polled("R")]
    assert [len(account.see(look)) for look in looks] == [2, 1, 1, 0, 1]
    assert account.ignores(unknown)
    assert [len(account.see(look)) for look in looks] == [0] * 5


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(spent(85, levels=(80,), asked=(80, 82)), id="spend"),
        pytest.param(used(m=85, levels=(80,), asked=(80, 82)), id="model"),
    ],
)
def test_level_of_automations(look: Look) -> None:
    """A level that only automations wait for is not marked as an option."""
    assert [alert.is_option for alert in Account().see(look)] == [True, False]


@pytest.mark.parametrize("name", ["levels", "asked"])
def test_new_spend_level(name: str) -> None:
    """A new level is alerted when it is reached, unless it was passed already."""
    account = Account()
    assert account.levels(spent(60, levels=(30,), asked=(40,))) == [30, 40]
    given: dict[str, Any] = {"levels": (30,), "asked": (40,)}
    given[name] = (*given[name], 55, 70)
    assert account.see(spent(60, **given)) == []
    assert account.see(spent(69, **given)) == []
    assert account.levels(spent(70, **given)) == [70]
    assert account.levels(spent(70, **given, since=SEPTEMBER)) == [30, 40, 55, 70]


def test_new_spend_level_that_is_passed_unseen() -> None:
    """A new level is not alerted if it is passed at the first known spend.

    This is also true if the first known spend is that of a new period.
    """
    account = Account()
    account.see(spent(40))
    assert account.ignores(spent(None, asked=(60,)))
    assert account.levels(spent(65, asked=(60,))) == [50]
    assert account.levels(spent(75, asked=(60, 70), since=SEPTEMBER)) == [50, 60]


def test_removed_spend_level() -> None:
    """A removed level is remembered only for the rest of the period."""
    account = Account()
    assert account.levels(spent(85)) == [50, 80]
    assert account.see(spent(85, levels=(50,))) == []
    assert account.see(spent(85)) == []
    account.see(spent(85, levels=(50,)))
    account.see(spent(20, levels=(50,), since=SEPTEMBER))
    assert account.state.spend_levels.keys() == {50}
    assert account.levels(spent(85, since=SEPTEMBER)) == [50]


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([(60, 75, [80]), (75, 75, [100])], id="lowered"),
        pytest.param([(60, 120, []), (95, 120, []), (96, 120, [80])], id="raised"),
        pytest.param([(60, 150, []), (74, 150, []), (75, 150, [50])], id="raised more"),
        pytest.param([(40, "1E+2", []), (60, "100.00", [])], id="the same"),
        pytest.param([(None, 200, []), (60, 200, []), (100, 200, [50])], id="unseen"),
    ],
)
def test_new_budget_of_the_user(
    looks: list[tuple[Amount | None, Amount | None, list[int]]],
) -> None:
    """A new budget in the options re-arms the levels that are not reached under it."""
    account = Account()
    assert account.levels(spent(60, budget=100)) == [50]
    for spend, budget, due in looks:
        assert account.levels(spent(spend, budget=budget)) == due


@pytest.mark.parametrize("limit", [100, None])
def test_new_budget_with_new_levels(limit: Amount | None) -> None:
    """A level that is new together with a budget is alerted if it is reached.

    One that only an automation waits for is not.
    """
    account = Account()
    assert account.levels(spent(60, limit=limit)) == ([50] if limit else [])
    new = spent(95, budget=100, levels=(50, 80, 90), asked=(70,))
    assert account.levels(new) == ([80, 90] if limit else [50, 80, 90])
    assert account.see(new) == []


def test_budget_of_the_user_removed() -> None:
    """A removed budget re-arms levels once the spend limit of the service is known."""
    account = Account()
    assert account.levels(spent(60, budget=100)) == [50]
    assert account.ignores(spent(40, limit=None))
    assert account.see(spent(40)) == []
    assert account.levels(spent(60)) == [50]


def test_level_of_each_budget_has_an_id_of_its_own() -> None:
    account = Account()
    first = account.see_one(spent(50, budget=100))
    assert account.see(spent(50, budget=200)) == []
    assert account.see_one(spent(100, budget=200)).alert_id != first.alert_id


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        pytest.param(spent("33.3"), True, id="exactly"),
        pytest.param(spent("33.29999"), False, id="almost"),
        pytest.param(spent(50, since=None), True, id="period unknown"),
        pytest.param(spent(None), False, id="spend unknown"),
        pytest.param(spent(50, limit=None), False, id="budget unknown"),
        pytest.param(spent(50, limit_currency="CNY"), False, id="another currency"),
    ],
)
def test_reaches(look: Look, expected: bool) -> None:
    assert reaches(look.seen.account, Decimal("33.3")) is expected


def test_forecast() -> None:
    """The alert has the spend, the budget, the projected spend and the period."""
    assert written(Account().see_one(spent(20, projected="120.5"))) == (
        'forecast_over_budget {"spend": 20.0, "budget": 100.0, "projected": 120.5,'
        ' "currency": "USD", "period": "2026-08-01"}'
    )


def test_forecast_beyond_the_budget() -> None:
    """A forecast over the budget is alerted only before the budget is spent."""
    account = Account()
    assert account.see(forecast(20, 100)) == []
    assert account.see(forecast(100, 120)) == []
    account.see_one(forecast("99.99", "100.01"))


def test_forecast_once_per_period() -> None:
    """Later changes of the forecast or of the budget do not repeat the alert."""
    account = Account()
    first = account.see_one(forecast(20, 120))
    assert account.see(forecast(20, 90)) == []
    assert account.see(forecast(20, 120)) == []
    assert account.see(forecast(20, 300, limit=150)) == []
    assert account.see(forecast(20, 300, budget=200)) == []
    second = account.see_one(forecast(20, 120, since=SEPTEMBER))
    assert first.alert_id != second.alert_id


def test_forecast_alert_switched_off() -> None:
    account = Account()
    assert account.see(forecast(20, 120, forecast_alert=False)) == []
    account.see_one(forecast(20, 120))


def test_balance() -> None:
    """The alert has the balance."""
    alert = Account().see_one(left(0))
    assert written(alert) == 'balance_low {"balance": 0.0, "currency": "CNY"}'


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param([("10.01", 10), (10, 10), (-5, 10)], [1], id="at the threshold"),
        pytest.param([(10, 10), ("10.99", 10), (9, 10)], [0], id="risen too little"),
        pytest.param([(10, 10), (11, 10), (10, 10), (9, 10)], [0, 2], id="risen"),
        pytest.param([(9, 10), (9, 20), (19, 20)], [0], id="threshold raised"),
        pytest.param([(9, 10), (22, 20), (20, 20)], [0, 2], id="raised, then risen"),
        pytest.param([(9, 10), (9, 8), (8, 8)], [0, 2], id="threshold lowered"),
        pytest.param([(9, 10), (9, 9), (8, 9)], [0], id="lowered too little"),
        pytest.param([(9, 10), (1, 0), (0, 0)], [0, 2], id="lowered to 0"),
        pytest.param([(9, None), (9, 10)], [1], id="threshold set later"),
        pytest.param([(9, 10), (10, None), (9, 10)], [0], id="removed and set again"),
        pytest.param([(9, 10), (11, None), (9, 10)], [0, 2], id="risen in between"),
    ],
)
def test_balance_low(
    looks: list[tuple[Amount, Amount | None]], expected: list[int]
) -> None:
    """A low balance is re-armed once it is a tenth above the threshold."""
    account = Account()
    alerts = [account.see(left(*look)) for look in looks]
    assert [number for number, due in enumerate(alerts) if due] == expected


def test_balance_in_another_currency() -> None:
    """The balance of each currency is alerted and re-armed on its own."""
    account = Account()
    assert account.see_one(left(9, currency="USD")).currency == "USD"
    assert account.ignores(left(300))
    assert account.see_one(left(9)).currency == "CNY"
    assert account.ignores(left(9, currency="USD"))
    account.see(left(300))
    assert account.ignores(left(9, currency="USD"))


def test_model_level() -> None:
    """The alert has the level, the model and its use."""
    alert = Account().see_one(used(m=85, levels=("80.5",)))
    expected = 'model_level {"level": 80.5, "model": "m", "usage_pct": 85.0}'
    assert written(alert) == expected


@pytest.mark.parametrize(
    ("level", "armed"),
    [(5, 2.5), (15, 7.5), (20, 10), (21, 11), (80, 70), (100, 90), (250, 240)],
)
def test_model_level_is_armed_again(level: int, armed: float) -> None:
    """A level is re-armed 10 points below it, and a level below 20 % at half of it."""
    account = Account()
    looks = [level - 0.01, level, level + 1, armed + 0.01, level, armed, level]
    alerts = [account.see(used(m=usage, levels=(level,))) for usage in looks]
    assert [number for number, due in enumerate(alerts) if due] == [1, 6]


@given(tenths=st.integers(1, 2000))
def test_model_level_is_exact(tenths: int) -> None:
    """A use that is displayed like the level reaches the level."""
    level = Decimal(tenths) / 10
    assert Account().levels(used(m=tenths / 10, levels=(level,))) == [level]


@given(usages=st.lists(st.integers(0, 120), max_size=8))
def test_model_levels(usages: list[int]) -> None:
    """Each level is re-armed on its own. Alerts have ascending levels."""
    account = Account()
    armed = {80, 100, 90}
    for usage in usages:
        armed |= {level for level in (80, 90, 100) if usage <= level - 10}
        due = sorted(level for level in armed if usage >= level)
        assert account.levels(used(m=usage, levels=(100, 80), asked=(90,))) == due
        armed -= {*due}


@pytest.mark.parametrize("name", ["levels", "asked"])
def test_new_model_level(name: str) -> None:
    """A new level is alerted when the use reaches it.

    If the use has passed the level already, the level must be re-armed first.
    """
    account = Account()
    assert account.levels(used(m=60, levels=(30,), asked=(40,))) == [30, 40]
    given: dict[str, Any] = {"levels": (30,), "asked": (40,)}
    given[name] = (*given[name], 55, 70)
    assert account.see(used(m=60, **given)) == []
    assert account.levels(used(m=70, **given)) == [70]
    assert account.see(used(m=45, **given)) == []
    assert account.levels(used(m=60, **given)) == [55]


@pytest.mark.parametrize("unknown", [used(asked=(70,)), used(m=None, asked=(70,))])
def test_new_model_level_while_the_use_is_unknown(unknown: Look) -> None:
    """It is compared with the use once that is known, such as after a restart."""
    account = Account()
    assert account.see(used(m=75)) == []
    assert account.ignores(unknown)
    assert account.see(used(m=75, asked=(70,))) == []
    assert account.see(used(m=60, asked=(70,))) == []
    assert account.levels(used(m=75, asked=(70,))) == [70]


@pytest.mark.parametrize(("lowest", "due"), [(71, []), (70, [80])])
def test_removed_model_level(lowest: int, due: list[int]) -> None:
    """A removed level is remembered until the use has fallen well below it."""
    account = Account()
    assert account.levels(used(m=85)) == [80]
    assert account.see(used(m=lowest, levels=(100,))) == []
    assert account.see(used(m=lowest)) == []
    assert account.levels(used(m=85)) == due


def test_models_apart() -> None:
    account = Account()
    alerts = account.see(used(m=85, n=None, o=85))
    assert [alert.model for alert in alerts] == ["m", "o"]
    assert account.see(used(m=70, o=85)) == []
    assert account.see_one(used(m=85, n=10, o=85)).model == "m"
    assert account.see_one(used(n=85)).model == "n"
    assert account.see(used(m=85, o=85)) == []


def test_models_that_are_gone_are_dropped() -> None:
    """Models that are gone, or have nothing alerted, are not remembered.

    A model that returns is alerted as a new one.
    """
    account = Account()
    account.see(used(m=85, n=85, o=85))
    account.see(used(m=70, gone=["n"]))
    assert account.state.models.keys() == {"o"}
    assert account.see_one(used(n=85)).model == "n"


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        pytest.param("R.R.K.U", "       ", id="every other poll"),
        pytest.param("RK", " K", id="in two ways"),
        pytest.param("RR.R.RR.", " R.   R.", id="recovered, a hiccup, and again"),
        pytest.param("RRKR.", " R  .", id="another one for a moment"),
        pytest.param("RRKKKRRR.", " R K    2", id="another one for a while"),
        pytest.param("RRKUKU.", " R    .", id="others by turns"),
        pytest.param("RRKRKK", " R   K", id="by turns, then for good"),
        pytest.param("RRKKUU.RR.", " R K U3 R.", id="all three"),
        pytest.param("RKRK.", " K  .", id="by turns from the start"),
        pytest.param("RrrR", "   R", id="seen more often than polled"),
        pytest.param("R,,R", "   R", id="no failure seen, nor polled"),
        pytest.param("RR,,r,.", " R    .", id="recovered once it is polled"),
        pytest.param("RRkkkK", " R    ", id="another one, polled once"),
        pytest.param("....", "    ", id="never"),
    ],
)
def test_failures(outcomes: str, expected: str) -> None:
    """Two failed polls in a row raise an alert. One that works ends all failures."""
    account = Account()
    letters = {kind: letter for letter, kind in FAILURES.items()}
    due = ""
    for outcome in outcomes:
        alerts = account.see(polled(outcome))
        text = "".join(letters.get(alert.kind, ".") for alert in alerts)
        due += text if len(text) == 1 else str(len(text) or " ")
    assert due == expected


def test_failure_and_recovery() -> None:
    """Each alerted failure has its own alert of the recovery."""
    account = Account()
    alerts = [alert for outcome in "RRKK." for alert in account.see(polled(outcome))]
    assert [written(alert) for alert in alerts] == [
        "rate_limited {}",
        "api_key_rejected {}",
        'recovered {"failure": "rate_limited"}',
        'recovered {"failure": "api_key_rejected"}',
    ]
    assert len({alert.alert_id for alert in alerts}) == 4


def at_once(spend: Look, balance: Look, models: Look, poll: Look) -> Look:
    """Return one observation of all figures."""
    left_over = balance.seen.account.available_balance
    account = replace(spend.seen.account, available_balance=left_over)
    return Look(replace(poll.seen, account=account, models=models.seen.models), USUAL)


LOOKS = st.builds(
    at_once,
    st.builds(
        spent,
        st.integers(-50, 300),
        limit=st.sampled_from((None, 50, 100, 200)),
        projected=st.none() | st.integers(0, 400),
        since=st.sampled_from((JULY, AUGUST, SEPTEMBER)),
    ),
    st.builds(left, st.integers(5, 15)),
    st.builds(used, m=st.integers(65, 105), n=st.integers(65, 105)),
    st.builds(polled, st.sampled_from("RRKU.")),
)


@given(looks=st.lists(LOOKS, max_size=12))
def test_ids_are_all_different(looks: list[Look]) -> None:
    """Another account with the same figures has other IDs as well."""
    account, other = Account(), Account()
    alerts = [alert for look in looks for alert in account.see(look)]
    for look in looks:
        seen = replace(look.seen, account_id="other")
        alerts += other.see(replace(look, seen=seen))
    assert len({alert.alert_id for alert in alerts}) == len(alerts)
