"""The answers of `GetBillingTrend`: spend by day or month, and by group. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
import logging
from types import MappingProxyType
from typing import Any

from .errors import InvalidAnswerError
from .models import GroupSpend, Money, SpendReport
from .values import amount_of, currency_of, mapping_of, text_of

_LOGGER = logging.getLogger(__name__)

OTHERS = "DIMENSION_GROUP_OTHERS_VALUE"
"""Key of the group into which the service merges the smallest groups."""
NULL_GROUP = "DIMENSION_FILTER_NULL_VALUE"
"""Key of the spend that belongs to no group."""
_NO_GROUP = frozenset({OTHERS, NULL_GROUP, "-"})
"""Keys and names of groups that are not a model, a workspace or an API key."""

_ROUNDING = Decimal("0.005")
"""Largest rounding error of an amount in cents."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendPeriod:
    """The spend of a day or a month of the billing time zone (UTC+8)."""

    start: date
    total: Money
    groups: Mapping[str, Decimal]
    """Spend by group key. The amounts add up to the total and have its currency."""
    complete: bool
    """Whether a group that is missing has no spend."""

    def spend_of(self, key: str) -> Decimal | None:
        """Return the spend of a group, None if it is unknown."""
        return self.groups.get(key, Decimal() if self.complete else None)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendTrend:
    """The spend of a range of days or months.

    Periods that the service does not report are left out.
    """

    total: Money | None
    """Total of the range, None if it is unknown or in several currencies."""
    periods: tuple[SpendPeriod, ...]
    names: Mapping[str, str]
    """Name of each group by key."""


def parse_trend(answer: Mapping[str, Any]) -> SpendTrend:
    """Return the trend in an answer of `GetBillingTrend`.

    Raises `InvalidAnswerError` if there is no spend in it.
    """
    rows = _rows(answer)
    totals = [mapping_of(row.get("total")) for row in rows]
    whole = mapping_of(mapping_of(answer.get("data")).get("costTotals"))
    currencies = {currency_of(total.get("currency")) for total in (whole, *totals)}
    currencies.discard(None)
    # An amount without a currency has that of the others, if they all have the same.
    default = currencies.pop() if len(currencies) == 1 else None
    names: dict[str, str] = {}
    billed = []
    for row, total in zip(rows, totals, strict=True):
        start, spend = _start_of(row.get("period")), _money(total, default)
        if start is None or spend is None:
            _LOGGER.debug("Skipped a period of the bill without a date or an amount")
            continue
        billed.append((start, spend, _groups(row.get("periodDetails"), names)))
    return SpendTrend(
        total=_money(whole, default),
        periods=tuple(
            _period(start, spend, groups, merged=OTHERS in names)
            for start, spend, groups in billed
        ),
        names=MappingProxyType(names),
    )


def _rows(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the periods in an answer. Raises `InvalidAnswerError` without any.

    An account without a bill can have a successful answer with an empty list, or with
    no list.
    """
    data = answer.get("data")
    rows = mapping_of(data).get("resultByTime")
    if rows == []:
        return []
    if isinstance(rows, list):
        objects = [mapping_of(row) for row in rows]
        if any(_start_of(row.get("period")) for row in objects):
            return objects
    elif (
        rows is None
        and (data is None or data == [] or isinstance(data, dict))
        and answer.get("success") in (True, "true")
    ):
        return []
    raise InvalidAnswerError("The answer holds no spend")


def _groups(details: Any, names: dict[str, str]) -> dict[str, Decimal]:
    """Return the amount of each group of a period, and add the groups to the names.

    A group is left out if one of its amounts can't be read.
    """
    groups: dict[str, Decimal] = {}
    unknown = set()
    for detail in details if isinstance(details, list) else ():
        fields = mapping_of(detail)
        key = _verbatim(fields.get("key")) or NULL_GROUP
        if (amount := amount_of(fields.get("amount"))) is None:
            _LOGGER.debug("Skipped a part of the bill without an amount")
            unknown.add(key)
            continue
        groups[key] = groups.get(key, Decimal()) + amount
        names[key] = _verbatim(fields.get("name")) or key
    return {key: amount for key, amount in groups.items() if key not in unknown}


def _period(
    start: date, total: Money, groups: Mapping[str, Decimal], *, merged: bool
) -> SpendPeriod:
    """Return a period. The difference between its total and its groups is `OTHERS`.

    `merged` is whether the service has merged groups in any period of the answer.
    """
    parts = {key: amount for key, amount in groups.items() if key != OTHERS}
    amounts = list(parts.values())
    if rest := total.amount - sum(amounts, Decimal()):
        parts[OTHERS] = rest
    return SpendPeriod(
        start=start,
        total=total,
        groups=MappingProxyType(parts),
        complete=not merged and _adds_up(amounts, total.amount),
    )


def with_groups(trend: SpendTrend, more: SpendTrend) -> SpendTrend:
    """Return a trend with the groups of a second trend for the same periods."""
    found = {(p.start, p.total.currency): p.groups for p in more.periods}
    names = {**trend.names, **more.names}
    merged = OTHERS in more.names
    if not merged:
        del names[OTHERS]
    return replace(
        trend,
        periods=tuple(
            _period(
                p.start,
                p.total,
                {**found.get((p.start, p.total.currency), {}), **p.groups},
                merged=merged,
            )
            for p in trend.periods
        ),
        names=MappingProxyType(names),
    )


def daily_totals(trend: SpendTrend, first: date, last: date) -> dict[date, Money]:
    """Return the spend of each day of a trend by day.

    If the reported days add up to the total, the other days have a spend of 0. If a day
    is billed in several currencies, its spend is the amount in the currency of the total.
    """
    total = trend.total
    reported: dict[date, Money] = {}
    for period in trend.periods:
        if period.start not in reported or (
            total is not None and period.total.currency == total.currency
        ):
            reported[period.start] = period.total
    if total is None or not _adds_up(
        [day.amount for day in reported.values() if day.currency == total.currency],
        total.amount,
    ):
        return reported
    nothing = replace(total, amount=Decimal())
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return dict.fromkeys(days, nothing) | reported


def month_report(trend: SpendTrend, day: date) -> SpendReport:
    """Return the spend of a month and of a day, from a trend that ends with this day.

    On a day whose bill lists all groups, one that is missing has a spend of 0. On any
    other day its spend is unknown, and so is that of its month. Without a bill, all
    figures are unknown.
    """
    if (monthly := trend.total) is None:
        return SpendReport(day=day)
    periods = [p for p in trend.periods if p.total.currency == monthly.currency]
    today = next((p for p in reversed(periods) if p.start == day), None)
    has_all_days = _adds_up([p.total.amount for p in periods], monthly.amount)

    def spend_of(key: str) -> GroupSpend:
        of_month = _sum_in(periods, key) if has_all_days else None
        of_day = None if today is None else today.spend_of(key)
        return GroupSpend(
            monthly=None if of_month is None else replace(monthly, amount=of_month),
            daily=None if of_day is None else replace(monthly, amount=of_day),
        )

    return SpendReport(
        day=day,
        monthly=monthly,
        daily=None if today is None else today.total,
        days=MappingProxyType(daily_totals(trend, day.replace(day=1), day)),
        groups=MappingProxyType({key: spend_of(key) for key in _keys(periods, trend)}),
        complete=has_all_days and all(period.complete for period in periods),
        day_complete=today is not None and today.complete,
    )


def _sum_in(periods: Iterable[SpendPeriod], key: str) -> Decimal | None:
    """Return the spend of a group in some periods, None if it is unknown in one."""
    total = Decimal()
    for period in periods:
        if (amount := period.spend_of(key)) is None:
            return None
        total += amount
    return total


def _keys(periods: Iterable[SpendPeriod], trend: SpendTrend) -> list[str]:
    """Return the groups that are listed in some periods of a trend."""
    keys = dict.fromkeys(key for period in periods for key in period.groups)
    return [key for key in keys if _is_group(key, trend)]


def group_totals(trend: SpendTrend) -> dict[str, Money | None]:
    """Return the spend of each group in a trend.

    None if it has several currencies, or is unknown in one of the periods.
    """
    return {
        key: sum_of(
            [
                replace(p.total, amount=p.groups[key]) if key in p.groups else None
                for p in trend.periods
                if key in p.groups or not p.complete
            ]
        )
        for key in _keys(trend.periods, trend)
    }


def sum_of(amounts: Sequence[Money | None]) -> Money | None:
    """Return the sum of amounts, None if one is unknown or the currencies differ."""
    known = [amount for amount in amounts if amount is not None]
    currencies = {amount.currency for amount in known}
    if len(known) < len(amounts) or len(currencies) != 1:
        return None
    return Money(
        amount=sum((amount.amount for amount in known), Decimal()),
        currency=currencies.pop(),
    )


def _is_group(key: str, trend: SpendTrend) -> bool:
    """Return whether a key of a trend is that of a model, a workspace or an API key."""
    return _NO_GROUP.isdisjoint((key, trend.names.get(key)))


def _adds_up(parts: Sequence[Decimal], total: Decimal) -> bool:
    """Return whether parts add up to a total, apart from rounding errors."""
    return abs(total - sum(parts, Decimal())) <= _ROUNDING * (len(parts) + 1)


def _start_of(period: Any) -> date | None:
    """Return the first day of a period, which is written 20260801 or 202608."""
    digits = (text_of(period) or "").replace("-", "")
    if len(digits) == 6:
        digits += "01"
    if len(digits) != 8:
        # `fromisoformat` would read an hour, such as 2026080100, as a whole day.
        return None
    try:
        return date.fromisoformat(digits)
    except ValueError:
        return None


def _money(total: Mapping[str, Any], default: str | None) -> Money | None:
    """Return an amount with its currency, or with the default currency."""
    amount = amount_of(total.get("amount"))
    currency = currency_of(total.get("currency")) or default
    if amount is None or currency is None:
        return None
    return Money(amount=amount, currency=currency)


def _verbatim(value: Any) -> str | None:
    """Return the key or name of a group unchanged, None if it is blank."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) if str(value).strip() else None
