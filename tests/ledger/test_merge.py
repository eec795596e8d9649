"""The figures of one account, merged from several sources."""

from collections.abc import Collection, Mapping
from copy import replace
from datetime import date, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.ledger import (
    Reports,
    ShownSpend,
    merge as merge_reports,
    midnight,
)
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    Balance,
    ModelRate,
    ModelTotals,
    ModelUsage,
    Money,
    QuotasKind,
    RateLimit,
    Spend,
    SpendReport,
    UsageRates,
    UsageTotals,
)
from custom_components.alibaba_cloud.model_studio.models import GroupSpend

# Hypothesis warns about its own random generator.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

TODAY = date(2026, 8, 15)
AUGUST = date(2026, 8, 1)
NOW = midnight(TODAY) + timedelta(hours=12)
FOLLOWED = ("qwen-max", "qwen-plus")


def usd(amount: int) -> Money:
    """Return an amount in the currency of `ACCOUNT`."""
    return Money(amount=Decimal(amount), currency="USD")


def cny(amount: int) -> Money:
    """Return an amount in another currency."""
    return Money(amount=Decimal(amount), currency="CNY")


def of_day(amount: Money) -> Spend:
    """Return an amount as the spend of today."""
    return spent(amount, TODAY)


def of_month(amount: Money) -> Spend:
    """Return an amount as the spend of the month."""
    return spent(amount, AUGUST)


def spent(amount: Money, start: date) -> Spend:
    """Return an amount as the spend since a day."""
    return Spend(
        amount=amount.amount,
        currency=amount.currency,
        since=midnight(start),
        start=start,
    )


ACCOUNT = AccountSnapshot(
    credit_balance=usd(1),
    available_balance=usd(2),
    spend_limit=usd(3),
    daily_spend=of_day(usd(4)),
    monthly_spend=of_month(usd(5)),
    tokens_used=6,
    requests_used=7,
    rate_limit=RateLimit(rpm=8, tpm=9),
    models=MappingProxyType(
        {
            "qwen-max": ModelUsage(name="qwen-max", used=50, limit=200),
            "qwen-vl": ModelUsage(name="qwen-vl", rate_limit=RateLimit(rpm=60)),
        }
    ),
    models_complete=True,
    quotas_kind=QuotasKind.USAGE,
)
LIMITS = AccountSnapshot(
    models=MappingProxyType(
        {
            name: ModelUsage(name=name, rate_limit=RateLimit(rpm=100, tpm=10_000))
            for name in (*FOLLOWED, "qwen-vl")
        }
    ),
    models_complete=True,
    quotas_kind=QuotasKind.LIMITS,
)


def spend(currency: str = "CNY", *, complete: bool = True) -> SpendReport:
    """Return a bill that lists one of the followed models, and another model."""

    def money(amount: int) -> Money:
        return Money(amount=Decimal(amount), currency=currency)

    return SpendReport(
        day=TODAY,
        monthly=money(100),
        daily=money(10),
        days={},
        groups={
            "qwen-max": GroupSpend(monthly=money(60), daily=money(6)),
            "qwen-vl": GroupSpend(monthly=money(30), daily=money(3)),
        },
        complete=complete,
        day_complete=complete,
    )


def balance(currency: str = "CNY") -> Balance:
    """Return a balance."""
    return Balance(
        available=Money(amount=Decimal(70), currency=currency),
        credit=Money(amount=Decimal(80), currency=currency),
    )


RATES = UsageRates(
    models={"qwen-max": ModelRate(tokens_per_minute=2500, requests_per_minute=50)}
)
TOTALS = UsageTotals(
    tokens=1000,
    requests=20,
    models={"qwen-max": ModelTotals(tokens=900, requests=15)},
)


def figures(account: AccountSnapshot) -> dict[str, Any]:
    """Return the balances, the spend and the counters of an account."""
    names = (
        "available_balance",
        "credit_balance",
        "daily_spend",
        "monthly_spend",
        "tokens_used",
        "requests_used",
    )
    return {name: getattr(account, name) for name in names}


def merge(
    reports: Reports,
    *,
    reports_usage: bool = False,
    followed: Collection[str] = FOLLOWED,
    by_month: bool = True,
) -> AccountSnapshot:
    """Merge reports while no spend was shown before."""
    return merge_reports(
        reports,
        followed=followed,
        reports_usage=reports_usage,
        shown=ShownSpend(),
        by_month=by_month,
    )


def test_model_keeps_its_own_figures() -> None:
    """What `/quotas` reports of a model stays, whatever the other sources report."""
    own = ModelUsage(name="qwen-max", used=1, limit=2, rate_limit=RateLimit(rpm=3))
    account = replace(ACCOUNT, models={"qwen-max": own})
    merged = merge(Reports(account=account, rates=RATES)).models["qwen-max"]
    rate = RATES.models["qwen-max"]
    assert merged == replace(
        own,
        tokens_per_minute=rate.tokens_per_minute,
        requests_per_minute=rate.requests_per_minute,
    )


def test_every_figure_of_a_model_has_a_source() -> None:
    own = ModelUsage(name="qwen-max", used=1, limit=2, rate_limit=RateLimit(rpm=3))
    rate = ModelRate(
        tokens_per_minute=4,
        requests_per_minute=5,
        throttled_calls=6,
        error_rate_pct=7.5,
    )
    estimated = ModelUsage(
        name="qwen-max",
        daily_spend_estimate=of_day(usd(8)),
        input_price=usd(9),
        output_price=usd(10),
    )
    account = merge_reports(
        Reports(
            account=replace(LIMITS, models={"qwen-max": own}),
            spend=spend("USD"),
            rates=UsageRates(models={"qwen-max": rate}),
            totals=TOTALS,
        ),
        followed=["qwen-max"],
        reports_usage=False,
        shown=ShownSpend(),
        estimated={"qwen-max": estimated},
    )
    model = account.models["qwen-max"]
    assert None not in model
    assert model == ModelUsage(
        name="qwen-max",
        used=1,
        limit=2,
        rate_limit=RateLimit(rpm=3),
        tokens_per_minute=4,
        requests_per_minute=5,
        throttled_calls=6,
        error_rate_pct=7.5,
        tokens=900,
        requests=15,
        daily_spend=of_day(usd(6)),
        monthly_spend=of_month(usd(60)),
        daily_spend_estimate=of_day(usd(8)),
        input_price=usd(9),
        output_price=usd(10),
    )


def test_unchanged_model_is_the_same_object() -> None:
    """Whatever else is new: comparing hundreds of models takes time."""
    before = merge(Reports(account=ACCOUNT, rates=RATES, totals=TOTALS))
    account = replace(
        ACCOUNT,
        requests_used=1_000_000,
        models={
            **ACCOUNT.models,
            "qwen-plus": ModelUsage(name="qwen-plus", used=5),
        },
    )
    after = merge(Reports(account=account, rates=RATES, totals=TOTALS))
    assert after.models["qwen-max"] is before.models["qwen-max"]
    assert after.models["qwen-plus"].used == 5


OWN = figures(ACCOUNT)
UNKNOWN = dict.fromkeys(OWN)


def money_of(currency: str) -> dict[str, Any]:
    """Return the amounts of the bill and of the balance."""
    return {
        "available_balance": balance(currency).available,
        "credit_balance": balance(currency).credit,
        "daily_spend": of_day(Money(amount=Decimal(10), currency=currency)),
        "monthly_spend": of_month(Money(amount=Decimal(100), currency=currency)),
    }


@pytest.mark.parametrize(
    ("account", "reports_usage", "currency", "expected"),
    [
        # The account's own figures come first.
        (ACCOUNT, True, "CNY", OWN),
        (ACCOUNT, True, "USD", OWN),
        # If they are missing, amounts in the same currency step in, but no counters.
        (None, True, "USD", UNKNOWN | money_of("USD")),
        (None, True, "CNY", UNKNOWN),
        (
            AccountSnapshot(quotas_kind=QuotasKind.USAGE),
            True,
            "USD",
            UNKNOWN | money_of("USD"),
        ),
        (AccountSnapshot(quotas_kind=QuotasKind.USAGE), True, "CNY", UNKNOWN),
        # If the account reports no usage, the other sources provide all figures.
        *(
            (
                account,
                False,
                currency,
                money_of(currency) | {"tokens_used": 1000, "requests_used": 20},
            )
            for account in (LIMITS, None)
            for currency in ("CNY", "USD")
        ),
    ],
)
def test_precedence(
    account: AccountSnapshot | None,
    reports_usage: bool,
    currency: str,
    expected: Mapping[str, Any],
) -> None:
    """Each figure comes from the first source that has it, and keeps its currency."""
    merged = merge(
        Reports(
            account=account,
            spend=spend(currency),
            balance=balance(currency),
            rates=RATES,
            totals=TOTALS,
        ),
        reports_usage=reports_usage,
    )
    assert figures(merged) == expected
    base = AccountSnapshot() if account is None else account
    for name in ("spend_limit", "rate_limit", "billing_period", "models_complete"):
        assert getattr(merged, name) == getattr(base, name)
    # Figures that only the bill has are in the bill's currency.
    rest = Money(amount=Decimal(4), currency=currency)
    assert merged.other_models_daily_spend == of_day(rest)
    assert merged.other_models_monthly_spend == of_month(
        replace(rest, amount=Decimal(40))
    )


@pytest.mark.parametrize(
    ("reports_usage", "by_month", "monthly"),
    [
        (True, True, of_month(usd(100))),
        (True, False, None),
        (False, False, of_month(usd(100))),
    ],
)
def test_month_of_the_bill(
    reports_usage: bool, by_month: bool, monthly: Money | None
) -> None:
    """The bill's month does not step in for a period that is no calendar month."""
    merged = merge(
        Reports(spend=spend("USD")),
        reports_usage=reports_usage,
        by_month=by_month,
    )
    assert merged.monthly_spend == monthly
    assert merged.daily_spend == of_day(usd(10))


@pytest.mark.parametrize(
    ("reports", "available"),
    [
        (Reports(account=LIMITS), "limits"),
        (Reports(account=LIMITS, balance=balance()), "limits"),
        (Reports(account=LIMITS, spend=spend()), "spend"),
        (Reports(account=LIMITS, spend=spend(), balance=balance()), "spend"),
        (Reports(account=LIMITS, rates=RATES), "usage"),
        (Reports(account=LIMITS, totals=TOTALS), "usage"),
        (Reports(account=LIMITS, spend=spend(), rates=RATES), "spend_and_usage"),
        (Reports(account=ACCOUNT), "spend_and_usage"),
        (Reports(spend=spend()), "spend"),
        (Reports(rates=RATES), "usage"),
        (Reports(balance=balance()), None),
        (Reports(), None),
    ],
)
def test_available_data(reports: Reports, available: str | None) -> None:
    """The available data depends on the current reports."""
    merged = merge(reports)
    assert merged.available_data == available


def test_one_figure_that_is_missing() -> None:
    """Each missing figure is replaced on its own, if the currency is the same."""
    merged = merge(
        Reports(
            account=replace(ACCOUNT, daily_spend=None, credit_balance=None),
            spend=spend("USD"),
            balance=Balance(available=cny(70), credit=cny(80)),
        ),
        reports_usage=True,
    )
    assert figures(merged) == OWN | {
        "daily_spend": of_day(usd(10)),
        "credit_balance": None,
    }


def test_models() -> None:
    """A followed model gets the figures of all sources. Other models stay the same."""
    merged = merge(
        Reports(
            account=ACCOUNT, spend=spend(), rates=RATES, totals=TOTALS, balance=None
        ),
        reports_usage=True,
    )
    assert merged.models == {
        "qwen-max": ModelUsage(
            name="qwen-max",
            used=50,
            limit=200,
            tokens_per_minute=2500,
            requests_per_minute=50,
            tokens=900,
            requests=15,
            daily_spend=of_day(cny(6)),
            monthly_spend=of_month(cny(60)),
        ),
        # No source lists this model. As the bill is complete, it cost nothing.
        "qwen-plus": ModelUsage(
            name="qwen-plus",
            daily_spend=of_day(cny(0)),
            monthly_spend=of_month(cny(0)),
        ),
        "qwen-vl": ACCOUNT.models["qwen-vl"],
    }
    assert merged.models["qwen-vl"] is ACCOUNT.models["qwen-vl"]
    assert merged.models["qwen-max"].usage_pct == 25


@pytest.mark.parametrize("account", [ACCOUNT, LIMITS, None])
@pytest.mark.parametrize("reports_usage", [True, False])
def test_unknown_stays_unknown(
    account: AccountSnapshot | None, reports_usage: bool
) -> None:
    """A figure that no source reports is unknown, not 0."""
    merged = merge(Reports(account=account), reports_usage=reports_usage)
    base = AccountSnapshot() if account is None else account
    assert figures(merged) == figures(base)
    assert merged.other_models_daily_spend is None
    assert merged.other_models_monthly_spend is None
    for name in FOLLOWED:
        assert merged.models[name] == base.models.get(name, ModelUsage(name=name))


def test_model_in_an_incomplete_bill_is_unknown() -> None:
    """A model that an incomplete bill does not list has an unknown spend, not 0."""
    merged = merge(
        Reports(spend=spend(complete=False), totals=UsageTotals(models={})),
    )
    assert merged.models["qwen-plus"] == ModelUsage(name="qwen-plus")
    assert merged.tokens_used is None


@pytest.mark.parametrize("day_complete", [True, False])
@pytest.mark.parametrize("complete", [True, False])
def test_rest_of_an_incomplete_bill(complete: bool, day_complete: bool) -> None:
    """What a followed model has cost is not added to the others while it is unknown."""
    report = replace(spend(complete=complete), day_complete=day_complete)
    merged = merge(Reports(spend=report))
    model = merged.models["qwen-plus"]
    assert model.daily_spend == (of_day(cny(0)) if day_complete else None)
    assert model.monthly_spend == (of_month(cny(0)) if complete else None)
    assert merged.other_models_daily_spend == (of_day(cny(4)) if day_complete else None)
    assert merged.other_models_monthly_spend == (
        of_month(cny(40)) if complete else None
    )
    assert (merged.daily_spend, merged.monthly_spend) == (
        of_day(cny(10)),
        of_month(cny(100)),
    )


def test_day_without_a_bill() -> None:
    """If only the month is billed, the day is unknown for each model and the rest."""
    report = replace(
        spend(),
        daily=None,
        groups={"qwen-max": GroupSpend(monthly=cny(60), daily=None)},
    )
    merged = merge(Reports(spend=report))
    assert (merged.daily_spend, merged.other_models_daily_spend) == (None, None)
    for name, amount in (("qwen-max", 60), ("qwen-plus", 0)):
        assert merged.models[name].daily_spend is None
        assert merged.models[name].monthly_spend == of_month(cny(amount))


@pytest.mark.parametrize(
    ("limit", "rate", "load_pct"),
    [
        (RateLimit(tpm=10_000, rpm=100), ModelRate(tokens_per_minute=2500), 25),
        (
            RateLimit(tpm=10_000, rpm=100),
            ModelRate(tokens_per_minute=2500, requests_per_minute=50),
            50,
        ),
        (
            RateLimit(tpm=10_000, rpm=100),
            ModelRate(tokens_per_minute=12_500, requests_per_minute=50),
            125,
        ),
        (RateLimit(tpm=10_000), ModelRate(requests_per_minute=50), None),
        (RateLimit(rpm=100), ModelRate(requests_per_minute=0), 0),
        (RateLimit(rpm=0, tpm=0), RATES.models["qwen-max"], None),
        (RateLimit(), RATES.models["qwen-max"], None),
        (RateLimit(tpm=10_000, rpm=100), ModelRate(), None),
    ],
)
def test_nearest_limit(
    limit: RateLimit, rate: ModelRate, load_pct: float | None
) -> None:
    """The load is the higher share of the limits for tokens and requests."""
    model = ModelUsage(name="qwen-max", rate_limit=limit)
    merged = merge(
        Reports(
            account=replace(LIMITS, models={"qwen-max": model}),
            rates=UsageRates(models={"qwen-max": rate}),
        ),
        followed=["qwen-max"],
    )
    assert merged.models["qwen-max"].load_pct == load_pct
    assert merged.models["qwen-max"].level_pct == load_pct
    assert merged.models["qwen-max"].usage_pct is None


NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
CENTS = st.integers(-(10**12), 10**12).map(lambda cents: Decimal(cents).scaleb(-2))


@given(
    monthly=CENTS,
    daily=CENTS | st.none(),
    parts=st.dictionaries(NAMES, st.tuples(CENTS, CENTS)),
    followed=st.lists(NAMES) | st.sets(NAMES),
    account=st.sampled_from([ACCOUNT, LIMITS, None]),
    reports_usage=st.booleans(),
    complete=st.booleans(),
)
def test_all_parts_add_up(
    monthly: Decimal,
    daily: Decimal | None,
    parts: Mapping[str, tuple[Decimal, Decimal]],
    followed: Collection[str],
    account: AccountSnapshot | None,
    reports_usage: bool,
    complete: bool,
) -> None:
    """The followed models and the rest add up to the exact amount of the bill.

    The rest is unknown if a model's part is.
    """

    def money(amount: Decimal) -> Money:
        return Money(amount=amount, currency="CNY")

    report = SpendReport(
        day=TODAY,
        monthly=money(monthly),
        daily=None if daily is None else money(daily),
        days={},
        groups={
            name: GroupSpend(
                monthly=money(of_month), daily=None if daily is None else money(of_day)
            )
            for name, (of_month, of_day) in parts.items()
        },
        complete=complete,
        day_complete=complete,
    )
    merged = merge(
        Reports(account=account, spend=report),
        followed=followed,
        reports_usage=reports_usage,
    )
    models = [merged.models[name] for name in set(followed)]
    for rest, parts_of, total in (
        (
            merged.other_models_monthly_spend,
            [m.monthly_spend for m in models],
            report.monthly,
        ),
        (
            merged.other_models_daily_spend,
            [m.daily_spend for m in models],
            report.daily,
        ),
    ):
        known = [amount for amount in parts_of if amount is not None]
        assert (rest is None) is (total is None or len(known) < len(parts_of))
        if rest is not None and total is not None:
            assert {amount.currency for amount in known} <= {rest.currency}
            amounts = sum((amount.amount for amount in known), Decimal())
            assert rest.amount + amounts == total.amount
