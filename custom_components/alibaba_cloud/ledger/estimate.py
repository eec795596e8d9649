"""What usage costs at list prices. No I/O.

The usage does not include the input length of each call, on which some prices depend. The
lowest price counts, so the estimate is a lower bound. There is one exception: input from
the cache counts like other input if it is not reported separately.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from types import MappingProxyType

from ..model_studio.models import Estimate, ModelUsage, Money, Number, Spend, percentage
from ..model_studio.price_list import (
    PriceKind,
    PriceList,
    PriceStep,
    PriceUnit,
    parse_kind,
)
from ..model_studio.usage import DayUsage
from ..model_studio.values import plain_text
from .merge import CACHED_ACCOUNTS, ModelFigures
from .windows import billing_day, midnight

type _Priced = tuple[PriceUnit, tuple[PriceKind | None, ...]]

_INPUT, _OUTPUT, _TOTAL = "input_tokens", "output_tokens", "total_tokens"
_PAID: Mapping[str, _Priced] = {
    _INPUT: (PriceUnit.TOKEN, (PriceKind.INPUT,)),
    _OUTPUT: (PriceUnit.TOKEN, (PriceKind.OUTPUT, PriceKind.THINKING_OUTPUT)),
    "image_count": (PriceUnit.IMAGE, (None, PriceKind.OUTPUT)),
}
"""The prices of each kind of billable usage. The lowest one counts."""
_CACHED: _Priced = (PriceUnit.TOKEN, (PriceKind.CACHED_INPUT,))
_NO_MODELS: ModelFigures = MappingProxyType({})
_MILLION = 1_000_000
_DECIMAL_PLACES = 4
_MOST_NAMES = 20
"""The largest number of models without a price that are listed by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cost:
    """What the usage of a model costs."""

    amount: Decimal | None
    """None if no part of the usage has a price."""
    tokens: Decimal
    priced_tokens: Decimal
    is_complete: bool
    """Whether all usage has a price."""
    prices: Mapping[str, Decimal]
    """The price of one unit, by kind of usage."""


def estimate(
    prices: PriceList | None,
    *,
    today: DayUsage | None,
    closed_day: DayUsage | None,
    daily: Mapping[date, Money],
    currency: str | None,
    now: datetime,
) -> tuple[Estimate, ModelFigures]:
    """Return the estimate of an account's spend, and the figures of each used model.

    `today` and `closed_day` are the usage of these days. `daily` is the spend of past
    days. `currency` is the currency of the account, None if it is unknown. Prices without
    a currency are in the currency of the account. Nothing is estimated if the two
    currencies differ, or if both are unknown.
    """
    result, by_model = Estimate(), _NO_MODELS
    if prices is None or (unit := prices.currency or currency) is None:
        return result, by_model
    if currency not in (None, unit):
        return result, by_model
    if today is not None and billing_day(today.start) == billing_day(now):
        result, by_model = _of_today(today, prices, unit)
    if closed_day is None:
        return result, by_model
    day = billing_day(closed_day.start)
    bill, amount = daily.get(day), _total(closed_day, prices)
    if bill is None or bill.currency != unit or bill.amount <= 0 or amount is None:
        return result, by_model
    share = percentage(float(amount), float(bill.amount))
    return replace(result, bill_pct=share, closed_day=day), by_model


@lru_cache(maxsize=CACHED_ACCOUNTS)
def _of_today(
    day: DayUsage, prices: PriceList, currency: str
) -> tuple[Estimate, ModelFigures]:
    """Return the estimate of an account for a day, and the figures of each used model."""

    def of_a_million(price: Decimal | None) -> Money | None:
        if price is None:
            return None
        return Money(amount=price * _MILLION, currency=currency)

    costs = _costs(day, prices)
    by_model = {
        name: ModelUsage(
            name=name,
            daily_spend_estimate=_spend(cost.amount, currency, day),
            input_price=of_a_million(cost.prices.get(_INPUT)),
            output_price=of_a_million(cost.prices.get(_OUTPUT)),
        )
        for name, cost in costs.items()
    }
    return _estimate(costs, currency, day), MappingProxyType(by_model)


@lru_cache(maxsize=CACHED_ACCOUNTS)
def _total(day: DayUsage, prices: PriceList) -> Decimal | None:
    """Return what the usage of a day costs, None if no part of it has a price."""
    return _sum(_costs(day, prices).values())


def _costs(day: DayUsage, prices: PriceList) -> dict[str, _Cost]:
    """Return what the usage of a day costs by model."""
    return {
        name: _cost(used, prices.models.get(name, ()))
        for name, used in day.models.items()
    }


def _cost(used: Mapping[str, Number | None], steps: Sequence[PriceStep]) -> _Cost:
    """Return what usage costs. Usage without a price or a valid amount is left out."""
    amounts = {kind: Decimal(str(n)) for kind, n in used.items() if n}
    # A kind without a valid amount was used as well, so that the estimate is incomplete.
    paid = {kind for kind in _PAID if used.get(kind, 0) != 0}
    is_unused = all(n == 0 for n in used.values())
    prices = {
        kind: price
        for kind, priced in _PAID.items()
        if (price := _lowest(steps, priced)) is not None
    }
    parts = {
        kind: amounts[kind] * prices[kind]
        for kind in paid
        if kind in amounts and kind in prices
    }
    if _INPUT in parts and (cached := _cached(amounts)):
        # Input from the cache is part of the input, so it must not count twice.
        price = _lowest(steps, _CACHED)
        if price is not None and price < prices[_INPUT]:
            saved = prices[_INPUT] - price
            parts[_INPUT] -= min(cached, amounts[_INPUT]) * saved
    tokens = {kind: amounts.get(kind, Decimal()) for kind in (_INPUT, _OUTPUT)}
    known = sum(tokens.values(), Decimal())
    total = max(amounts.get(_TOTAL, Decimal()), known)
    has_others = total > known or any(_is_other(kind, used) for kind in used)
    return _Cost(
        amount=sum(parts.values(), Decimal()) if parts or is_unused else None,
        tokens=total,
        priced_tokens=sum(
            (tokens[kind] for kind in tokens if kind in parts), Decimal()
        ),
        is_complete=parts.keys() == paid and not has_others and bool(paid or is_unused),
        prices=prices,
    )


def _is_other(kind: str, used: Mapping[str, Number | None]) -> bool:
    """Return whether usage of this kind is neither paid for nor a part of another kind.

    The cache is a part of the input. The total includes tokens of any kind.
    """
    if kind in _PAID or kind == _TOTAL or "cache" in kind or used[kind] == 0:
        return False
    return used.get(_TOTAL) is None or not kind.endswith("_tokens")


def _cached(amounts: Mapping[str, Decimal]) -> Decimal:
    """Return the input tokens that came from the cache, 0 if that is not reported."""
    return max(
        (
            amount
            for kind, amount in amounts.items()
            if "cache" in kind and parse_kind(kind, "") is PriceKind.CACHED_INPUT
        ),
        default=Decimal(),
    )


def _lowest(steps: Iterable[PriceStep], priced: _Priced) -> Decimal | None:
    """Return the lowest price of one unit in any step.

    None if a step has no price: the missing price could be lower.
    """
    unit, kinds = priced
    lowest = [
        min(
            (
                price.amount / price.per
                for price in step.prices
                if price.unit is unit and price.kind in kinds
            ),
            default=None,
        )
        for step in steps
    ]
    known = [price for price in lowest if price is not None]
    return min(known) if known and len(known) == len(lowest) else None


def _sum(costs: Iterable[_Cost]) -> Decimal | None:
    """Return the sum of the known amounts, None if none is known."""
    amounts = [cost.amount for cost in costs if cost.amount is not None]
    return sum(amounts, Decimal()) if amounts else None


def _estimate(costs: Mapping[str, _Cost], currency: str, day: DayUsage) -> Estimate:
    """Return the estimate of an account for a day."""
    incomplete = sorted(name for name, cost in costs.items() if not cost.is_complete)
    tokens = sum(cost.tokens for cost in costs.values())
    priced = sum(cost.priced_tokens for cost in costs.values())
    return Estimate(
        daily_spend=_spend(_sum(costs.values()), currency, day),
        models_without_price=tuple(
            shown for name in incomplete if (shown := plain_text(name))
        )[:_MOST_NAMES],
        share_priced=percentage(float(priced), float(tokens)),
    )


def _spend(amount: Decimal | None, currency: str, day: DayUsage) -> Spend | None:
    """Return the estimated spend of a day, None if the amount is too large to be one."""
    if amount is None:
        return None
    try:
        amount = round(amount, _DECIMAL_PLACES)
    except InvalidOperation:
        return None
    start = billing_day(day.start)
    return Spend(
        amount=amount,
        currency=currency,
        since=midnight(start),
        start=start,
    )
