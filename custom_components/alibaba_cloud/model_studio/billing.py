"""The bill of an account: `GetBillingTrend` of Model Studio's OpenAPI (2026-02-10).

The bill lags by minutes to hours. No other operation is called: similar ones change
limits, API keys and members.
"""

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from enum import StrEnum
import json
from types import MappingProxyType
from typing import Any

import aiohttp
from yarl import URL

from .errors import AccountError
from .groups import Dimension
from .http import Poll
from .models import AccessKey, SpendReport
from .openapi import call, is_refused
from .trend import OTHERS, SpendTrend, month_report, parse_trend, sum_of, with_groups

_MAX_GROUPS = 20
"""Groups in one answer. The service merges the rest into `OTHERS`."""
_MAX_REQUESTS = 25
"""Requests for the groups of one range."""


class Granularity(StrEnum):
    """Length of the periods in a trend."""

    DAY = "DAY"
    MONTH = "MONTH"


class BillingClient:
    """Reads the bill of an account with an AccessKey."""

    def __init__(
        self, session: aiohttp.ClientSession, *, endpoint: str, access_key: AccessKey
    ) -> None:
        """Create a client. The secret of the AccessKey is not sent."""
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
        """Return the spend from one day to another (inclusive) by group.

        Days are in the billing time zone (UTC+8). Raises `AuthenticationError`,
        `PermissionDeniedError`, `ClockSkewError`, `RateLimitError`, `AccountError`,
        `ConnectionFailedError` or `InvalidAnswerError`.
        """
        poll = Poll()
        trends = [
            await self._get_range(poll, first, last, granularity, group_by)
            for first, last in _ranges(start, end, granularity)
        ]
        return SpendTrend(
            total=sum_of([trend.total for trend in trends]),
            periods=tuple(period for trend in trends for period in trend.periods),
            names=MappingProxyType(
                {key: name for trend in trends for key, name in trend.names.items()}
            ),
        )

    async def get_month(
        self, day: date, *, group_by: Dimension = Dimension.MODEL
    ) -> SpendReport:
        """Return the spend of a month up to a day, and of this day, by group.

        Raises the same errors as `get_trend`.
        """
        trend = await self.get_trend(day.replace(day=1), day, group_by=group_by)
        return month_report(trend, day)

    async def _get_range(
        self,
        poll: Poll,
        start: date,
        end: date,
        granularity: Granularity,
        group_by: Dimension,
    ) -> SpendTrend:
        """Return the spend of a range that fits in one request, with all groups."""
        query = {
            "granularity": granularity.value,
            "groupBy": _compact([{"code": group_by.value}]),
            "timePeriod": _compact(
                {"start": start.isoformat(), "end": end.isoformat()}
            ),
            "topNum": str(_MAX_GROUPS),
        }
        trend = parse_trend(await self._call(poll, query))
        trend = await self._add_merged_groups(poll, query, trend, group_by)
        first = start if granularity is Granularity.DAY else start.replace(day=1)
        return replace(
            trend, periods=tuple(p for p in trend.periods if first <= p.start <= end)
        )

    async def _add_merged_groups(
        self,
        poll: Poll,
        query: Mapping[str, str],
        trend: SpendTrend,
        group_by: Dimension,
    ) -> SpendTrend:
        """Return a trend with the groups that the service has merged.

        Each request excludes the groups found so far.
        """
        for _ in range(_MAX_REQUESTS - 1):
            found = trend.names.keys() - {OTHERS}
            if OTHERS not in trend.names or not found:
                break
            exclude = {
                "code": group_by.value,
                "values": sorted(found),
                "selectType": "NOT",
            }
            query = {**query, "filter": _compact({"dimensions": [exclude]})}
            try:
                more = parse_trend(await self._call(poll, query))
            except AccountError as err:
                if not is_refused(err):
                    raise
                # Too many groups to exclude. The groups found so far are correct.
                break
            if not more.names.keys() - {OTHERS} - found:
                break
            trend = with_groups(trend, more)
        return trend

    async def _call(self, poll: Poll, query: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the answer to a query."""
        return await call(
            poll,
            self._session,
            self._access_key,
            method="GET",
            url=self._url.with_query(query),
            action="GetBillingTrend",
            version="2026-02-10",
        )


def _ranges(
    start: date, end: date, granularity: Granularity
) -> list[tuple[date, date]]:
    """Return ranges that fit in one request: a month of days, or a year of months."""
    ranges = []
    while start <= end:
        month = start.month if granularity is Granularity.DAY else 12
        last = date(start.year, month, monthrange(start.year, month)[1])
        ranges.append((start, min(end, last)))
        if end <= last:
            # Adding a day to `date.max` would fail.
            break
        start = last + timedelta(days=1)
    return ranges


def _compact(value: Any) -> str:
    """Return compact JSON, as the service expects objects in a query."""
    return json.dumps(value, separators=(",", ":"))
