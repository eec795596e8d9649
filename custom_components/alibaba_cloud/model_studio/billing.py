"""Money, with a read-only AccessKey: spend of Model Studio, balance of the account.

`GetBillingTrend` of Model Studio's OpenAPI (2026-02-10) and `QueryAccountBalance` of
the billing service's (2017-12-14). Both lag by minutes to hours. Nothing else is ever
called: the neighbours of these operations write limits, keys and members.
"""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
import json
import logging
import re
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import aiohttp
from yarl import URL

from .errors import (
    AccountError,
    AuthenticationError,
    ClockSkewError,
    InvalidAnswerError,
    ModelStudioError,
    PermissionDeniedError,
    RateLimitError,
)
from .http import Answer, Poll, request
from .models import AccessKey, Balance, ModelSpend, Money, SpendReport
from .parsing import (
    amount_of,
    code_and_message,
    common_error,
    decode_answer,
    mapping,
    number,
    seconds_to_wait,
    text,
)
from .signing import signed_headers

_LOGGER = logging.getLogger(__name__)

BILLING_ENDPOINT = "https://modelstudio.{region}.aliyuncs.com"
BALANCE_ENDPOINTS = (
    "https://business.aliyuncs.com",
    "https://business.ap-southeast-1.aliyuncs.com",
)
"""Of the China site and the international one."""

MOST_GROUPS = 20
"""Groups in an answer; the service merges the rest."""
_MOST_ANSWERS = 25
"""Answers that are asked for to get at all groups of one range."""
OTHERS = "DIMENSION_GROUP_OTHERS_VALUE"
"""The key of the groups that are merged."""
NULL_GROUP = "DIMENSION_FILTER_NULL_VALUE"
"""The key of what belongs to no group."""
_NO_GROUP = frozenset({OTHERS, NULL_GROUP, "-"})
"""Keys and names of groups that are no model."""

_ROUNDING = Decimal("0.005")
"""What an amount may be off that is told in cents."""

_CURRENCY = re.compile("[A-Z]{3}")
_OTHER_SITE = "NotApplicable"
_REJECTED = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "InvalidSecurityToken",
    # Asked for with a temporary AccessKey, whose token nobody enters.
    "MissingSecurityToken",
)
_CLOCK = ("InvalidTimeStamp", "IllegalTimestamp")
_FORBIDDEN = ("NoPermission", "NotAuthorized", "Forbidden", "AccessDenied")
_REFUSED = (400, 413, 414)


class Granularity(StrEnum):
    """Length of the periods that spend is told for."""

    DAY = "DAY"
    MONTH = "MONTH"


class Dimension(StrEnum):
    """What spend is grouped by."""

    MODEL = "BASE_MODEL"
    WORKSPACE = "WORKSPACE_ID"
    API_KEY = "API_KEY_ID"
    BUSINESS_TYPE = "MAAS_TYPE"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendPeriod:
    """What was spent on a day or in a month of the billing time zone."""

    start: date
    total: Money
    groups: Mapping[str, Decimal]
    """By key, in the currency of the total, to which they add up."""
    complete: bool
    """Whether a group that is missing comes to nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendTrend:
    """Spend over a range of time; a period that the service does not tell is left out."""

    total: Money | None
    """Of the whole range."""
    periods: tuple[SpendPeriod, ...]
    names: Mapping[str, str]
    """Of the groups, by key."""


def balance_endpoints(region: str) -> tuple[str, ...]:
    """Return where to ask for the balance, the likelier site first.

    An account belongs to a site, which its region does not tell for certain.
    """
    return BALANCE_ENDPOINTS if region.startswith("cn-") else BALANCE_ENDPOINTS[::-1]


class BillingClient:
    """Reads what an account has spent."""

    def __init__(
        self, session: aiohttp.ClientSession, *, endpoint: str, access_key: AccessKey
    ) -> None:
        """Keep where to ask, and the AccessKey, whose secret stays here."""
        self._session = session
        self._url = URL(endpoint) / "modelstudio/billing/trend"
        self._access_key = access_key

    async def get_trend(
        self,
        start: date,
        end: date,
        *,
        granularity: Granularity = Granularity.DAY,
        group_by: Dimension = Dimension.MODEL,
    ) -> SpendTrend:
        """Return the spend from one day to another, both included, by group.

        Days are those of the billing time zone (UTC+8). More groups than an answer
        holds are asked for by leaving out those already known. Raises
        `AuthenticationError`, `PermissionDeniedError`, `ClockSkewError`,
        `RateLimitError`, `AccountError`, `ConnectionFailedError` or
        `InvalidAnswerError`.
        """
        poll = Poll()
        trends = [
            await self._get_range(poll, first, last, granularity, group_by)
            for first, last in _ranges(start, end, granularity)
        ]
        currencies = {trend.total.currency for trend in trends if trend.total}
        total = None
        if len(currencies) == 1:
            [currency] = currencies
            amounts = [trend.total.amount for trend in trends if trend.total]
            if len(amounts) == len(trends):
                total = Money(amount=sum(amounts, Decimal()), currency=currency)
        return SpendTrend(
            total=total,
            periods=tuple(period for trend in trends for period in trend.periods),
            names=MappingProxyType(
                {key: name for trend in trends for key, name in trend.names.items()}
            ),
        )

    async def get_month(self, day: date) -> SpendReport:
        """Return what was spent in the month up to a day, and on that day, by model.

        Raises as `get_trend` does.
        """
        return month_report(await self.get_trend(day.replace(day=1), day), day)

    async def _get_range(
        self,
        poll: Poll,
        start: date,
        end: date,
        granularity: Granularity,
        group_by: Dimension,
    ) -> SpendTrend:
        """Return the spend of a range that one request may name, with all groups."""
        query = {
            "granularity": granularity.value,
            "groupBy": _compact([{"code": group_by.value}]),
            "timePeriod": _compact(
                {"start": start.isoformat(), "end": end.isoformat()}
            ),
            "topNum": str(MOST_GROUPS),
        }
        trend = parse_trend(await self._call(poll, query))
        for _ in range(_MOST_ANSWERS - 1):
            known = trend.names.keys() - {OTHERS}
            if OTHERS not in trend.names or not known:
                break
            leave_out = {
                "dimensions": [
                    {
                        "code": group_by.value,
                        "values": sorted(known),
                        "selectType": "NOT",
                    }
                ]
            }
            try:
                more = parse_trend(
                    await self._call(poll, {**query, "filter": _compact(leave_out)})
                )
            except AccountError as err:
                if not is_refused(err):
                    raise
                # Too many to leave out; what is known is good without the rest.
                break
            if not more.names.keys() - {OTHERS} - known:
                break
            trend = _with_groups(trend, more)
        first = start if granularity is Granularity.DAY else start.replace(day=1)
        return replace(
            trend, periods=tuple(p for p in trend.periods if first <= p.start <= end)
        )

    async def _call(self, poll: Poll, query: Mapping[str, str]) -> Mapping[str, Any]:
        """Return an answer to a query."""
        return await _call(
            poll,
            self._session,
            self._access_key,
            method="GET",
            url=self._url.with_query(query),
            action="GetBillingTrend",
            version="2026-02-10",
        )


class BalanceClient:
    """Reads what is left in an account."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        endpoints: list[str],
        access_key: AccessKey,
    ) -> None:
        """Keep where to ask; where an account is not of a site, the next is asked.

        `endpoints` loses those that are of another site: whoever keeps the list sees to
        it that none of them is ever asked again.
        """
        self._session = session
        self._endpoints = endpoints
        self._access_key = access_key

    async def get_balance(self) -> Balance:
        """Return the balance. Raises as `BillingClient.get_trend` does."""
        poll = Poll()
        other_site = AccountError(
            "The account belongs to another site", code=_OTHER_SITE
        )
        while self._endpoints:
            endpoint = self._endpoints[0]
            try:
                answer = await _call(
                    poll,
                    self._session,
                    self._access_key,
                    method="POST",
                    url=URL(endpoint) / "",
                    action="QueryAccountBalance",
                    version="2017-12-14",
                )
            except AccountError as err:
                if err.code != _OTHER_SITE:
                    raise
                other_site = err
                # Another client of the list may have found that out meanwhile.
                self._endpoints[:] = [e for e in self._endpoints if e != endpoint]
            else:
                return parse_balance(answer)
        raise other_site


async def _call(
    poll: Poll,
    session: aiohttp.ClientSession,
    access_key: AccessKey,
    *,
    method: str,
    url: URL,
    action: str,
    version: str,
) -> Mapping[str, Any]:
    """Return a signed request's answer.

    Each attempt has a signature of its own, as none is accepted twice.
    """
    if not access_key.is_possible:
        raise AuthenticationError("This can't be an AccessKey")

    async def ask() -> Answer:
        return await request(
            session,
            method,
            url,
            headers=signed_headers(
                access_key,
                method=method,
                url=url,
                action=action,
                version=version,
                now=datetime.now(UTC),
                nonce=uuid4().hex,
            ),
            secrets=(access_key.secret,),
        )

    answer = await poll.ask(ask)
    try:
        return parse_openapi(answer)
    except ModelStudioError as err:
        err.redact(access_key.secret)
        raise


def parse_openapi(answer: Answer) -> Mapping[str, Any]:
    """Return an answer that tells of success.

    Raises what it stands for otherwise.
    """
    try:
        body = mapping(decode_answer(answer.body))
    except InvalidAnswerError:
        if answer.status == 200:
            raise
        body = {}
    code, message = code_and_message(body)
    success = body.get("success", body.get("Success"))
    if answer.status == 200 and (
        success in (True, "true")
        or (success is None and (code or "200") in ("200", "Success"))
    ):
        return body
    if code in (None, "200", "Success"):
        code = f"HTTP {answer.status}"
    if err := common_error(answer.status, code, message):
        if isinstance(err, RateLimitError):
            # The vendor's own header counts in milliseconds.
            if milliseconds := number(answer.headers.get("x-acs-retry-after")):
                err.retry_after = milliseconds / 1000
            else:
                err.retry_after = seconds_to_wait(
                    answer.headers.get("Retry-After"), datetime.now(UTC)
                )
        raise err
    if code.startswith(_CLOCK):
        raise ClockSkewError(message, code=code)
    if code.startswith(_REJECTED) or answer.status == 401:
        raise AuthenticationError(message, code=code)
    if code.startswith(_FORBIDDEN) or answer.status == 403:
        detail = mapping(
            body.get("AccessDeniedDetail") or body.get("accessDeniedDetail")
        )
        raise PermissionDeniedError(
            message, code=code, action=text(detail.get("AuthAction"))
        )
    raise AccountError(message, code=code, status=answer.status)


def is_refused(err: AccountError) -> bool:
    """Return whether the service won't have what it was asked for, and never will.

    What stands behind its gateway refuses under HTTP 200.
    """
    return err.status in _REFUSED or (err.code or "").startswith(("400", "Invalid"))


def parse_trend(answer: Mapping[str, Any]) -> SpendTrend:
    """Return the trend that an answer of `GetBillingTrend` tells.

    Raises `InvalidAnswerError` where it tells none.
    """
    data = answer.get("data")
    told = mapping(data).get("resultByTime")
    if (
        told is None
        and (isinstance(data, dict | None) or data == [])
        and answer.get("success") in (True, "true")
    ):
        # Without a bill, there may be no list of them, or an empty one in its place.
        told = []
    rows = list(map(mapping, told)) if isinstance(told, list) else []
    starts = [_period_start(row.get("period")) for row in rows]
    if told != [] and not any(starts):
        raise InvalidAnswerError("The answer holds no spend")
    whole = mapping(mapping(data).get("costTotals"))
    totals = [mapping(row.get("total")) for row in rows]
    currencies = {_currency(total) for total in (whole, *totals)} - {None}
    # One that is not told is that of the others, where these agree.
    currency = currencies.pop() if len(currencies) == 1 else None
    names: dict[str, str] = {}
    billed = []
    for start, row, total in zip(starts, rows, totals, strict=True):
        spent = _money(total, currency)
        if start is None or spent is None:
            _LOGGER.debug("Skipped a period of the bill without a date or an amount")
            continue
        details = row.get("periodDetails")
        groups: dict[str, Decimal] = {}
        for detail in map(mapping, details if isinstance(details, list) else ()):
            if (part := amount_of(detail.get("amount"))) is None:
                _LOGGER.debug("Skipped a part of the bill without an amount")
                continue
            key = _name(detail.get("key")) or NULL_GROUP
            groups[key] = groups.get(key, Decimal()) + part
            names[key] = _name(detail.get("name")) or key
        billed.append((start, spent, groups))
    return SpendTrend(
        total=_money(whole, currency),
        periods=tuple(_period(*bill, merged=OTHERS in names) for bill in billed),
        names=MappingProxyType(names),
    )


def daily_totals(trend: SpendTrend, first: date, last: date) -> dict[date, Money]:
    """Return what was billed on each day of a trend by day.

    Where the days add up to the whole, nothing was billed on those that are not told. Of
    a day that is billed in several currencies it is the amount in that of the whole.
    """
    whole = trend.total
    told: dict[date, Money] = {}
    for period in trend.periods:
        if period.start not in told or (
            whole and period.total.currency == whole.currency
        ):
            told[period.start] = period.total
    if whole and _is_all(
        whole.amount,
        [t.amount for t in told.values() if t.currency == whole.currency],
    ):
        nothing = replace(whole, amount=Decimal())
        days = ((first + timedelta(days=n)) for n in range((last - first).days + 1))
        return dict.fromkeys(days, nothing) | told
    return told


def month_report(trend: SpendTrend, day: date) -> SpendReport:
    """Return what a trend from the first of the month to a day says of both.

    A model that has no part in the bill has spent nothing, if the bill names all parts.
    Without a bill, nothing is known.
    """
    if (monthly := trend.total) is None:
        return SpendReport(day=day)
    currency = monthly.currency
    months: dict[str, Decimal] = {}
    days: Mapping[str, Decimal] | None = None
    daily = None
    periods = [p for p in trend.periods if p.total.currency == currency]
    for period in periods:
        for key, amount in period.groups.items():
            months[key] = months.get(key, Decimal()) + amount
        if period.start == day:
            daily, days = period.total, period.groups
    zero = Decimal()
    return SpendReport(
        day=day,
        monthly=monthly,
        daily=daily,
        days=MappingProxyType(daily_totals(trend, day.replace(day=1), day)),
        models=MappingProxyType(
            {
                key: ModelSpend(
                    monthly=Money(amount=amount, currency=currency),
                    daily=None
                    if days is None
                    else Money(amount=days.get(key, zero), currency=currency),
                )
                for key, amount in months.items()
                if _NO_GROUP.isdisjoint((key, trend.names.get(key)))
            }
        ),
        complete=all(period.complete for period in periods)
        and _is_all(monthly.amount, [period.total.amount for period in periods]),
    )


def parse_balance(answer: Mapping[str, Any]) -> Balance:
    """Return the balance that an answer of `QueryAccountBalance` tells.

    Raises `InvalidAnswerError` where it tells none.
    """
    data = mapping(answer.get("Data"))
    currency = _currency(data, "Currency")
    available = amount_of(data.get("AvailableAmount"))
    if currency is None or available is None:
        raise InvalidAnswerError("The answer holds no balance")
    credit = amount_of(data.get("CreditAmount"))
    return Balance(
        available=Money(amount=available, currency=currency),
        credit=None if credit is None else Money(amount=credit, currency=currency),
    )


def _with_groups(whole: SpendTrend, more: SpendTrend) -> SpendTrend:
    """Return a trend with the groups that another one knows of the same periods."""
    known = {(p.start, p.total.currency): p.groups for p in more.periods}
    names = {**whole.names, **more.names}
    if not (merged := OTHERS in more.names):
        del names[OTHERS]
    return replace(
        whole,
        periods=tuple(
            _period(
                p.start,
                p.total,
                {**known.get((p.start, p.total.currency), {}), **p.groups},
                merged=merged,
            )
            for p in whole.periods
        ),
        names=MappingProxyType(names),
    )


def _period(
    start: date, total: Money, groups: dict[str, Decimal], *, merged: bool
) -> SpendPeriod:
    """Return a period whose groups add up to its total: what is missing is of others.

    `merged` is whether the service has merged groups, of this period or another.
    """
    groups.pop(OTHERS, None)
    amounts = list(groups.values())
    if rest := total.amount - sum(amounts, Decimal()):
        groups[OTHERS] = rest
    return SpendPeriod(
        start=start,
        total=total,
        groups=MappingProxyType(groups),
        complete=not merged and _is_all(total.amount, amounts),
    )


def _is_all(total: Decimal, parts: Sequence[Decimal]) -> bool:
    """Return whether parts are all of a total, where each amount may be rounded."""
    return abs(total - sum(parts, Decimal())) <= _ROUNDING * (len(parts) + 1)


def _ranges(
    start: date, end: date, granularity: Granularity
) -> list[tuple[date, date]]:
    """Return the ranges that one request each may name: a month, or a year of months."""
    ranges = []
    while start <= end:
        month = start.month if granularity is Granularity.DAY else 12
        last = date(start.year, month, monthrange(start.year, month)[1])
        ranges.append((start, min(end, last)))
        if end <= last:
            # There may be no day after it.
            break
        start = last + timedelta(days=1)
    return ranges


def _period_start(value: Any) -> date | None:
    """Return the first day of a period, which is written 20260801 or 202608."""
    digits = (text(value) or "").replace("-", "")
    if len(digits) == 6:
        digits += "01"
    if len(digits) != 8:
        # As of an hour: Python would take it for all of the day.
        return None
    try:
        return date.fromisoformat(digits)
    except ValueError:
        return None


def _money(total: Mapping[str, Any], default: str | None) -> Money | None:
    """Return an amount with its currency, or the one it has by default."""
    amount, currency = amount_of(total.get("amount")), _currency(total) or default
    if amount is None or currency is None:
        return None
    return Money(amount=amount, currency=currency)


def _currency(total: Mapping[str, Any], name: str = "currency") -> str | None:
    """Return the currency (ISO 4217) of an amount."""
    currency = (text(total.get(name)) or "").upper()
    return currency if _CURRENCY.fullmatch(currency) else None


def _name(value: Any) -> str | None:
    """Return a key or name of a group as it is written, None for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) if str(value).strip() else None


def _compact(value: Any) -> str:
    """Return compact JSON, which is how the service takes objects in a query."""
    return json.dumps(value, separators=(",", ":"))
