"""The account's bill by day and group, and its balance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
import json
from typing import Any

from .account import (
    CENT,
    DAY,
    OTHER_WORKSPACE_ID,
    WORKSPACE_ID,
    Account,
    QueryError,
    month_until,
)

NULL_GROUP = "DIMENSION_FILTER_NULL_VALUE"
OTHERS_GROUP = "DIMENSION_GROUP_OTHERS_VALUE"

# Dimensions by which a bill can be grouped and filtered.
DIMENSIONS = (
    "BASE_MODEL",
    "MAAS_TYPE",
    "API_KEY_ID",
    "WORKSPACE_ID",
    "FEE_TYPE",
    "CHARGE_TYPE",
    "BUSINESS_REGION",
    "SERVICE_SITE",
    "ARTICLE_CODE",
)

MOST_GROUPS = 20
LONGEST_RANGE = 31
MOST_MONTHS = 12

# Weights in the bill; the weights of the default models add up to 1.
NULL_WEIGHT = Decimal("0.01")
EXTRA_WEIGHT = Decimal("0.002")

# Each model is used with two API keys: ID, workspace and share of the model's use.
_API_KEYS = (
    ("1280413", WORKSPACE_ID, Decimal("0.7")),
    ("1280977", OTHER_WORKSPACE_ID, Decimal("0.3")),
)

# Names of the groups whose name differs from their key. API keys have none: only
# operations that also answer the keys name them.
_NAMES = {
    NULL_GROUP: "-",
    OTHERS_GROUP: "Others",
    "inference": "Model invocation",
    "subscription": "Subscription",
}

_PERIODS = {"DAY": "%Y%m%d", "MONTH": "%Y%m"}


@dataclass(frozen=True, kw_only=True)
class _Item:
    """A line of the bill.

    keys: the value of each dimension.
    amount: in the currency of the bill.
    """

    keys: Mapping[str, str]
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class _Filter:
    """A filter that includes or excludes the lines with some values of a dimension."""

    code: str
    values: frozenset[str]
    wanted: bool

    def lets_through(self, item: _Item) -> bool:
        """Return whether the filter accepts a line."""
        return (item.keys[self.code] in self.values) is self.wanted


@dataclass(frozen=True, kw_only=True)
class _Query:
    """A parsed query of the bill."""

    granularity: str
    start: date
    end: date
    group_by: str
    filters: Sequence[_Filter]
    top: int
    without_zero: bool


def split(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Split an amount by weight into whole cents that add up to it.

    The remaining cents go to the parts that lost most by rounding down.
    """
    cents = int(amount / CENT)
    total = sum(weights)
    shares = [cents * weight / total for weight in weights]
    parts = [int(share) for share in shares]
    by_loss = sorted(range(len(parts)), key=lambda index: parts[index] - shares[index])
    for index in by_loss[: cents - sum(parts)]:
        parts[index] += 1
    return [part * CENT for part in parts]


def total_on(account: Account, day: date) -> Decimal:
    """Return the bill of a day; negative if refunds exceed it."""
    return sum((item.amount for item in _items(account, day)), Decimal(0))


def trend(account: Account, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the `data` of GetBillingTrend as JSON data.

    Raises:
        QueryError: the service rejects the query.

    """
    asked = _parse(query)
    periods = _sums(account, asked)
    totals: dict[str, Decimal] = {}
    for groups in periods.values():
        _add(totals, groups)
    ranked = sorted(
        (key for key, amount in totals.items() if amount or not asked.without_zero),
        key=totals.__getitem__,
        reverse=True,
    )
    top = ranked[: asked.top]

    def shown(groups: Mapping[str, Decimal]) -> Iterator[tuple[str, Decimal]]:
        """Yield the groups that get a row: the largest ones and the others' sum."""
        rows = {key: groups[key] for key in top if key in groups}
        if ranked[asked.top :]:
            rows[OTHERS_GROUP] = sum(
                (amount for key, amount in groups.items() if key not in rows),
                Decimal(0),
            )
        for key, amount in rows.items():
            if amount or not asked.without_zero:
                yield key, amount

    def total(groups: Mapping[str, Decimal]) -> dict[str, str]:
        """Return the total of all groups."""
        amount = sum(groups.values(), Decimal(0))
        return {**_money(amount), "currency": account.currency}

    return {
        "costTotals": total(totals),
        "groupByTotal": [
            {"key": key, "name": _NAMES.get(key, key), **_money(amount)}
            for key, amount in shown(totals)
        ],
        "resultByTime": [
            {
                "period": period,
                "total": total(groups),
                "periodDetails": [
                    {
                        "key": key,
                        "name": _NAMES.get(key, key),
                        **_money(amount),
                        "percentage": _ratio(amount, sum(groups.values())),
                    }
                    for key, amount in shown(groups)
                ],
            }
            for period, groups in periods.items()
        ],
    }


def balance(account: Account) -> dict[str, str]:
    """Return the `Data` of QueryAccountBalance.

    Each month starts with the full credits; a larger bill makes the balance negative.
    """
    billed = sum(
        (
            total_on(account, day)
            for day in month_until(account.today)
            if day >= account.first_day
        ),
        Decimal(0),
    )
    credit = (Decimal(str(account.credits)) * account.rate).quantize(CENT)
    left = f"{credit - billed:,.2f}"
    return {
        "AvailableAmount": left,
        "AvailableCashAmount": left,
        "CreditAmount": "0.00",
        "MybankCreditAmount": "0.00",
        "QuotaLimit": "0.00",
        "Currency": account.currency,
    }


def _sums(account: Account, asked: _Query) -> dict[str, dict[str, Decimal]]:
    """Return the billed amounts by period and group; skip days outside the bill."""
    periods: dict[str, dict[str, Decimal]] = {}
    day = max(asked.start, account.first_day)
    while day <= min(asked.end, account.today):
        groups = periods.setdefault(f"{day:{_PERIODS[asked.granularity]}}", {})
        for item in _items(account, day):
            if all(it.lets_through(item) for it in asked.filters):
                _add(groups, {item.keys[asked.group_by]: item.amount})
        day += DAY
    return periods


def _items(account: Account, day: date) -> list[_Item]:
    """Return the lines of a day's bill so far; an amount may be 0."""
    lines = _lines(account)
    spent = (account.list_price(day) * account.rate).quantize(CENT)
    parts = split(spent, [weight for _, weight in lines])
    items = [
        _Item(keys=keys, amount=part)
        for (keys, _), part in zip(lines, parts, strict=True)
    ]
    if correction := account.correction_on(day):
        amount = (correction * account.rate).quantize(CENT)
        items.append(_Item(keys=lines[0][0], amount=amount))
    items += [
        _Item(keys=_keys(account, model, *_API_KEYS[0][:2]), amount=amount)
        for model, amount in account.adjustments_on(day).items()
    ]
    return items


def _lines(account: Account) -> list[tuple[dict[str, str], Decimal]]:
    """Return the keys of each line of the bill and its weight; at least one line."""
    weights = {model.name: Decimal(str(model.weight)) for model in account.models}
    for number in range(1, account.extra_models + 1):
        weights[f"billed-model-{number:02}"] = EXTRA_WEIGHT + EXTRA_WEIGHT / number
    lines = [
        (_keys(account, model, api_key, workspace), weight * part)
        for model, weight in weights.items()
        for api_key, workspace, part in _API_KEYS
    ]
    if account.null_share or not lines:
        lines.append((_keys(account, NULL_GROUP), NULL_WEIGHT))
    return lines


def _keys(
    account: Account,
    model: str,
    api_key: str = NULL_GROUP,
    workspace: str = NULL_GROUP,
) -> dict[str, str]:
    """Return the keys of a line; a line without a model is a subscription."""
    subscribed = model == NULL_GROUP
    domestic = account.currency == "CNY"
    return {
        "BASE_MODEL": model,
        "MAAS_TYPE": "subscription" if subscribed else "inference",
        "API_KEY_ID": NULL_GROUP if subscribed else api_key,
        "WORKSPACE_ID": NULL_GROUP if subscribed else workspace,
        "FEE_TYPE": "plan" if subscribed else "usage",
        "CHARGE_TYPE": "prepaid" if subscribed else "postpaid",
        "BUSINESS_REGION": "cn-beijing" if domestic else "ap-southeast-1",
        "SERVICE_SITE": "china" if domestic else "international",
        "ARTICLE_CODE": "sfm_plan" if subscribed else "sfm_inference",
    }


def _add(sums: dict[str, Decimal], more: Mapping[str, Decimal]) -> None:
    """Add amounts to the sums of the same keys."""
    for key, amount in more.items():
        sums[key] = sums.get(key, Decimal(0)) + amount


def _money(amount: Decimal) -> dict[str, str]:
    """Return an amount without tax as the fields of an answer."""
    return {
        "amount": f"{amount:.2f}",
        "pretaxAmount": f"{amount:.2f}",
        "taxAmount": "0.00",
    }


def _ratio(amount: Decimal, total: Decimal | int) -> str:
    """Return the share of an amount in a total; 0 if the total is 0."""
    return f"{amount / total:.4f}" if total else "0.0000"


def _parse(query: Mapping[str, str]) -> _Query:
    """Return the parsed query; raises `QueryError` if the service rejects it."""
    granularity = query.get("granularity", "")
    if granularity not in _PERIODS:
        raise QueryError("granularity must be DAY or MONTH")
    period = _object(query, "timePeriod")
    start, end = _day(period, "start"), _day(period, "end")
    if start > end:
        raise QueryError("timePeriod.start must not be after timePeriod.end")
    if granularity == "DAY":
        is_too_long = (end - start).days >= LONGEST_RANGE
    else:
        months = 12 * (end.year - start.year) + end.month - start.month + 1
        is_too_long = months > MOST_MONTHS
    if is_too_long:
        raise QueryError("The time range is too long")
    group_by = _json(query, "groupBy")
    if not isinstance(group_by, list) or len(group_by) != 1:
        raise QueryError("groupBy must hold exactly one element")
    top = query.get("topNum", str(MOST_GROUPS))
    if top not in map(str, range(1, MOST_GROUPS + 1)):
        raise QueryError(f"topNum must be 1 to {MOST_GROUPS}")
    # The vendor's SDK sends True and False.
    zero_filter = query.get("zeroFilter", "true").lower()
    if zero_filter not in {"true", "false"}:
        raise QueryError("zeroFilter must be true or false")
    return _Query(
        granularity=granularity,
        start=start,
        end=end,
        group_by=_dimension(group_by[0]),
        filters=_filters(query),
        top=int(top),
        without_zero=zero_filter == "true",
    )


def _filters(query: Mapping[str, str]) -> list[_Filter]:
    """Return the filters of a query; raises `QueryError` if one is invalid."""
    if "filter" not in query:
        return []
    dimensions = _object(query, "filter").get("dimensions")
    if not isinstance(dimensions, list):
        raise QueryError("filter.dimensions must be an array")
    filters = []
    for dimension in dimensions:
        code = _dimension(dimension)
        values = dimension.get("values")
        if not isinstance(values, list) or not all(
            isinstance(value, str) for value in values
        ):
            raise QueryError("filter.dimensions.values must be an array of strings")
        select_type = dimension.get("selectType")
        if select_type not in {"IN", "NOT"}:
            raise QueryError("filter.dimensions.selectType must be IN or NOT")
        filters.append(
            _Filter(code=code, values=frozenset(values), wanted=select_type == "IN")
        )
    return filters


def _dimension(value: Any) -> str:
    """Return the dimension that an element names.

    Raises `QueryError` if there is no such dimension.
    """
    code = value.get("code") if isinstance(value, dict) else None
    if not isinstance(code, str) or code not in DIMENSIONS:
        raise QueryError(f"The code must be one of {', '.join(DIMENSIONS)}")
    return code


def _day(period: Mapping[str, Any], name: str) -> date:
    """Return a day of the range; raises `QueryError` unless it is an ISO date."""
    text = period.get(name)
    try:
        day = date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise QueryError(f"timePeriod.{name} must be a date such as 2026-08-01")
    return day


def _object(query: Mapping[str, str], name: str) -> dict[str, Any]:
    """Return a parameter as an object; raises `QueryError` if it is not one."""
    value = _json(query, name)
    if not isinstance(value, dict):
        raise QueryError(f"{name} must be an object")
    return value


def _json(query: Mapping[str, str], name: str) -> Any:
    """Return the JSON of a parameter; raises `QueryError` if it is not valid JSON."""
    try:
        return json.loads(query.get(name, ""))
    except ValueError:
        raise QueryError(f"{name} must be JSON") from None
