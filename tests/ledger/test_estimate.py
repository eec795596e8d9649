"""What usage costs at list prices. All amounts are calculated by hand."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
import json
from typing import Any

import pytest

from custom_components.alibaba_cloud.ledger import Reports, ShownSpend, midnight
from custom_components.alibaba_cloud.ledger.estimate import estimate
from custom_components.alibaba_cloud.ledger.merge import merge
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    DayUsage,
    Estimate,
    ModelUsage,
    Money,
    Number,
    PriceList,
    Spend,
)
from custom_components.alibaba_cloud.model_studio.price_list import parse_price_page

from .common import usd

TODAY = date(2026, 8, 15)
YESTERDAY = date(2026, 8, 14)
NOW = datetime.fromisoformat("2026-08-15T12:00+08:00")
MILLION = 1_000_000

type Used = Mapping[str, Mapping[str, Number | None]]
type Row = tuple[str, str, str]
"""The type, the amount and the unit of a price."""


def price_list(currency: str | None = "USD", **models: list[list[Row]]) -> PriceList:
    """Return the prices of models by step, read from an answer of the service."""
    page = parse_price_page(
        json.dumps(
            {
                "output": {
                    "models": [
                        {
                            "model": model.replace("_", "-"),
                            "prices": [
                                {
                                    "prices": [
                                        {
                                            "type": kind,
                                            "price": price,
                                            "price_unit": unit,
                                        }
                                        for kind, price, unit in rows
                                    ]
                                }
                                for rows in steps
                            ],
                        }
                        for model, steps in models.items()
                    ]
                }
            }
        ).encode()
    )
    return PriceList(
        currency=currency, models={row.model: row.steps for row in page.items}
    )


def text(
    put_in: str, put_out: str, unit: str = "per 1,000,000 tokens", **others: str
) -> list[Row]:
    """Return the prices of a text model in one step."""
    return [
        ("input_token", put_in, unit),
        ("output_token", put_out, unit),
        *((kind, price, unit) for kind, price in others.items()),
    ]


QWEN_MAX = price_list(qwen_max=[text("1.6", "6.4")])


def day_usage(day: date = TODAY, **models: Mapping[str, Number | None]) -> DayUsage:
    """Return the usage of some models on a day."""
    return DayUsage(
        start=midnight(day),
        models={name.replace("_", "-"): used for name, used in models.items()},
    )


def spend(amount: str, day: date = TODAY, currency: str = "USD") -> Spend:
    """Return the spend of a day or of a month that begins with it."""
    return Spend(
        amount=Decimal(amount), currency=currency, since=midnight(day), start=day
    )


def estimated(
    today: DayUsage | None,
    prices: PriceList | None = QWEN_MAX,
    **options: Any,
) -> AccountSnapshot:
    """Return the figures of an account, of which qwen-max is followed."""
    made, by_model = estimate(
        prices,
        today=today,
        **{"closed_day": None, "daily": {}, "currency": "USD", "now": NOW} | options,
    )
    return merge(
        Reports(account=AccountSnapshot(estimate=made)),
        followed=["qwen-max"],
        reports_usage=False,
        shown=ShownSpend(),
        estimated=by_model,
    )


@pytest.mark.parametrize(
    ("steps", "used", "amount"),
    [
        # 2 million at 1.60 and 0.5 million at 6.40.
        (
            [text("1.6", "6.4")],
            {"input_tokens": 2 * MILLION, "output_tokens": MILLION // 2},
            "6.4",
        ),
        # The total is the sum of the two, and is not paid for again.
        (
            [text("1.6", "6.4")],
            {"total_tokens": 3000, "input_tokens": 2000, "output_tokens": 1000},
            "0.0096",
        ),
        (
            [text("0.00005", "0.0002", "per 1K tokens")],
            {"input_tokens": 40_000},
            "0.002",
        ),
        ([text("0.5", "2", "每百万Token")], {"output_tokens": 30_000}, "0.06"),
        ([text("0.0003", "0.0006", "每千Token")], {"input_tokens": 10_000}, "0.003"),
        # In the order of the service, or in any other: the lowest step counts.
        ([text("1", "5"), text("1.8", "9")], {"input_tokens": MILLION}, "1"),
        ([text("1.8", "9"), text("1", "5")], {"output_tokens": MILLION}, "5"),
        # The output of a model in thinking mode costs at least as much.
        (
            [text("0.4", "1.2", thinking_output_token="4")],
            {"output_tokens": MILLION},
            "1.2",
        ),
        (
            [[("thinking_output_token", "4", "per 1,000,000 tokens")]],
            {"output_tokens": MILLION},
            "4",
        ),
        # Input from the cache is part of the input: 0.6 million at 1.60, 0.4 at 0.64.
        (
            [text("1.6", "6.4", input_token_cache="0.64")],
            {"input_tokens": MILLION, "cached_tokens": 400_000},
            "1.216",
        ),
        # It can't be more than the input, nor dearer.
        (
            [text("1.6", "6.4", input_token_cache="0.64")],
            {"input_tokens": MILLION, "cached_tokens": 2 * MILLION},
            "0.64",
        ),
        (
            [text("1.6", "6.4", input_token_cache="2")],
            {"input_tokens": MILLION, "cached_tokens": 400_000},
            "1.6",
        ),
        # Without a price of its own, it counts like other input.
        (
            [text("1.6", "6.4")],
            {"input_tokens": MILLION, "cached_tokens": 400_000},
            "1.6",
        ),
        # What is written to the cache is not what comes from it.
        (
            [text("1.6", "6.4", input_token_cache="0.64")],
            {"input_tokens": MILLION, "cache_creation_tokens": 400_000},
            "1.6",
        ),
        ([[("image_number", "0.035", "per image")]], {"image_count": 12}, "0.42"),
        # Parts of a cent are kept, up to four decimal places.
        ([text("1.6", "6.4")], {"input_tokens": 77}, "0.0001"),
        ([text("1.6", "6.4")], {"input_tokens": 12.5 * MILLION}, "20"),
        ([text("0", "0")], {"input_tokens": MILLION}, "0"),
        # Tokens of other kinds are parts of the input and the output.
        (
            [text("1.6", "6.4")],
            {
                "total_tokens": 3000,
                "input_tokens": 2000,
                "output_tokens": 1000,
                "reasoning_tokens": 700,
            },
            "0.0096",
        ),
        ([text("1.6", "6.4")], {"input_tokens": MILLION, "video_duration": 0}, "1.6"),
        # Nothing was used, which costs nothing.
        ([text("1.6", "6.4")], {"input_tokens": 0, "total_tokens": 0}, "0"),
    ],
)
def test_amount(
    steps: list[list[Row]], used: Mapping[str, Number], amount: str
) -> None:
    made = estimated(day_usage(qwen_max=used), price_list(qwen_max=steps))
    assert made.estimate.daily_spend == spend(amount)
    assert made.estimate.models_without_price == ()
    assert made.models["qwen-max"].daily_spend_estimate == spend(amount)


@pytest.mark.parametrize(
    ("prices", "used", "amount", "share"),
    [
        # No price at all, or none of what was used.
        (price_list(), {"input_tokens": 7, "output_tokens": 3}, None, 0),
        (
            price_list(qwen_max=[[("image_number", "0.035", "per image")]]),
            {"input_tokens": 7},
            None,
            0,
        ),
        # The price of the first step is not understood. It could be lower.
        (
            price_list(qwen_max=[text("1", "5", "per GPU"), text("2", "9")]),
            {"input_tokens": MILLION},
            None,
            0,
        ),
        # A part of it has a price.
        (
            price_list(qwen_max=[[("input_token", "2", "per 1,000,000 tokens")]]),
            {"input_tokens": 3 * MILLION, "output_tokens": MILLION},
            "6",
            75,
        ),
        # How much of it is input is not known.
        (QWEN_MAX, {"total_tokens": 10}, None, 0),
        # Tokens of another kind.
        (
            QWEN_MAX,
            {"total_tokens": 8 * MILLION, "input_tokens": 2 * MILLION},
            "3.2",
            25,
        ),
        (QWEN_MAX, {"total_tokens": 500_000, "input_tokens": 1000}, "0.0016", 0.2),
        (QWEN_MAX, {"total_tokens": 10, "audio_tokens": 10}, None, 0),
        # It may be a part of the input, or not.
        (QWEN_MAX, {"input_tokens": MILLION, "audio_tokens": 1}, "1.6", 100),
        (
            QWEN_MAX,
            {"input_tokens": MILLION, "audio_tokens": 1, "total_tokens": None},
            "1.6",
            100,
        ),
        # Usage that is not counted in tokens.
        (QWEN_MAX, {"video_seconds": 10}, None, None),
        (QWEN_MAX, {"input_tokens": MILLION, "video_duration": 10}, "1.6", 100),
        (QWEN_MAX, {"input_tokens": MILLION, "video_duration": None}, "1.6", 100),
        (
            QWEN_MAX,
            {"total_tokens": MILLION, "input_tokens": MILLION, "video_duration": 10},
            "1.6",
            100,
        ),
        # The cache is a part of an input that is missing.
        (QWEN_MAX, {"cached_tokens": 10, "total_tokens": 10}, None, 0),
        (QWEN_MAX, {"cached_tokens": 10}, None, None),
        (QWEN_MAX, {"total_tokens": None}, None, None),
    ],
)
def test_what_is_left_out(
    prices: PriceList,
    used: Mapping[str, Number | None],
    amount: str | None,
    share: float | None,
) -> None:
    made = estimated(day_usage(qwen_max=used), prices)
    expected = None if amount is None else spend(amount)
    assert made.estimate.daily_spend == expected
    assert made.estimate.share_priced == share
    assert made.models["qwen-max"].daily_spend_estimate == expected
    assert made.estimate.models_without_price == ("qwen-max",)


def test_account_with_several_models() -> None:
    """All models count, whether they are followed or not, and usage without a model."""
    prices = price_list(
        qwen_max=[text("1.6", "6.4")],
        qwen_plus=[text("0.4", "1.2"), text("1.2", "3.6")],
    )
    used = {
        "qwen-max": {"input_tokens": MILLION, "output_tokens": MILLION},
        "qwen-plus": {"input_tokens": MILLION},
        "free": {"input_tokens": MILLION},
        "": {"total_tokens": MILLION},
    }
    made = estimated(DayUsage(start=midnight(TODAY), models=used), prices)
    assert made.estimate == Estimate(
        daily_spend=spend("8.4"), models_without_price=("free",), share_priced=60
    )
    assert made.models == {
        "qwen-max": ModelUsage(
            name="qwen-max",
            daily_spend_estimate=spend("8"),
            input_price=Money(amount=Decimal("1.6"), currency="USD"),
            output_price=Money(amount=Decimal("6.4"), currency="USD"),
        )
    }


def test_prices_of_a_million_tokens() -> None:
    """Each is that of the lowest step, and unknown without one."""
    prices = price_list(
        qwen_max=[[("input_token", "0.002", "per 1K tokens")], text("3", "9")]
    )
    model = estimated(day_usage(qwen_max={"input_tokens": 5}), prices).models[
        "qwen-max"
    ]
    assert model.input_price == Money(amount=Decimal(2), currency="USD")
    assert model.output_price is None


def test_invalid_amount_is_left_out() -> None:
    used = {"input_tokens": None, "output_tokens": MILLION}
    made = estimated(day_usage(qwen_max=used, other={"output_tokens": 0}))
    assert made.estimate == Estimate(
        daily_spend=spend("6.4"), models_without_price=("qwen-max",), share_priced=100
    )
    made = estimated(day_usage(qwen_max={"input_tokens": None}))
    assert made.estimate == Estimate(models_without_price=("qwen-max",))


@pytest.mark.parametrize(
    ("tokens", "amount"),
    [(10**27, "1600000000000000000000"), (10**30, None), (10**300, None)],
)
def test_amount_that_is_too_large_is_unknown(tokens: int, amount: str | None) -> None:
    expected = None if amount is None else spend(amount)
    made = estimated(
        day_usage(qwen_max={"input_tokens": tokens}),
        closed_day=day_usage(YESTERDAY, qwen_max={"input_tokens": tokens}),
        daily={YESTERDAY: usd(2)},
    )
    assert made.estimate.daily_spend == expected
    assert made.models["qwen-max"].daily_spend_estimate == expected
    assert made.estimate.models_without_price == ()


def test_names_are_bounded_and_plain() -> None:
    used = {f"model\n{number:03}": {"input_tokens": 1} for number in range(500)}
    made = estimated(DayUsage(start=midnight(TODAY), models=used))
    names = made.estimate.models_without_price
    assert len(names) == 20
    assert names[0] == "model 000"


@pytest.mark.parametrize(
    ("today", "prices", "options"),
    [
        (None, QWEN_MAX, {}),
        (day_usage(qwen_max={"input_tokens": 1}), None, {}),
        (day_usage(), QWEN_MAX, {}),
        # The day is over.
        (
            day_usage(qwen_max={"input_tokens": 1}),
            QWEN_MAX,
            {"now": NOW + timedelta(days=1)},
        ),
        # The account pays in another currency.
        (day_usage(qwen_max={"input_tokens": 1}), QWEN_MAX, {"currency": "CNY"}),
        # Nobody knows what the prices are in.
        (
            day_usage(qwen_max={"input_tokens": 1}),
            price_list(None, qwen_max=[text("1", "2")]),
            {"currency": None},
        ),
    ],
)
def test_unknown(
    today: DayUsage | None, prices: PriceList | None, options: dict[str, Any]
) -> None:
    made = estimated(today, prices, **options)
    assert made.estimate == Estimate()
    assert made.models["qwen-max"] == ModelUsage(name="qwen-max")


def test_currency_is_that_of_the_prices() -> None:
    """It is not known what an account pays in without a bill or a balance."""
    for currency in ("CNY", None):
        made = estimated(
            day_usage(qwen_max={"input_tokens": MILLION}),
            price_list("CNY", qwen_max=[text("2.4", "9.6")]),
            currency=currency,
        )
        assert made.estimate.daily_spend == spend("2.4", currency="CNY")


def test_currency_is_that_of_the_account() -> None:
    """If the host does not show that of the prices."""
    made = estimated(
        day_usage(qwen_max={"input_tokens": MILLION}),
        price_list(None, qwen_max=[text("2.4", "9.6")]),
        closed_day=day_usage(YESTERDAY, qwen_max={"input_tokens": MILLION}),
        daily={YESTERDAY: Money(amount=Decimal("4.80"), currency="CNY")},
        currency="CNY",
    )
    assert made.estimate.daily_spend == spend("2.4", currency="CNY")
    assert made.estimate.bill_pct == 50
    model = made.models["qwen-max"]
    assert model.daily_spend_estimate == spend("2.4", currency="CNY")
    assert model.input_price == Money(amount=Decimal("2.4"), currency="CNY")


@pytest.mark.parametrize(
    ("bill", "used", "share"),
    [
        ("4.00", {"input_tokens": 2 * MILLION}, 80),
        ("1.60", {"input_tokens": 2 * MILLION}, 200),
        ("0.80", {"input_tokens": MILLION // 4}, 50),
        ("4.00", {"input_tokens": 0}, 0),
        # One of the two is unknown, or there is nothing to compare with.
        (None, {"input_tokens": 2 * MILLION}, None),
        ("0.00", {"input_tokens": 2 * MILLION}, None),
        ("-1.00", {"input_tokens": 2 * MILLION}, None),
        ("4.00", {"total_tokens": 2 * MILLION}, None),
    ],
)
def test_compared_with_the_bill(
    bill: str | None, used: Mapping[str, Number], share: float | None
) -> None:
    made = estimated(
        None,
        closed_day=day_usage(YESTERDAY, qwen_max=used),
        daily={} if bill is None else {YESTERDAY: usd(bill), TODAY: usd(99)},
    )
    day = None if share is None else YESTERDAY
    assert made.estimate == Estimate(bill_pct=share, closed_day=day)


def test_bill_in_another_currency() -> None:
    """It can't be compared."""
    made = estimated(
        None,
        closed_day=day_usage(YESTERDAY, qwen_max={"input_tokens": MILLION}),
        daily={YESTERDAY: Money(amount=Decimal(4), currency="CNY")},
    )
    assert made.estimate == Estimate()
