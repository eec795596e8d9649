"""Reads the bills of past days, month by month backwards."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from .model_studio import (
    AccountError,
    BillingClient,
    Dimension,
    Money,
    SpendPeriod,
    SpendTrend,
    daily_totals,
    is_refused,
)

REVISED_DAYS = timedelta(days=35)
"""How long after a day its bill may be revised."""
EMPTY_MONTHS = 12
"""Stop after this many consecutive months without a bill."""
MOST_MONTHS = 120
"""Never read more months than this."""
DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Bills:
    """The bills of all days from `first` to `last`."""

    first: date
    last: date
    daily: Mapping[str, Mapping[date, SpendPeriod]]
    """The bill of each day that has one, by currency."""
    totals: Mapping[date, Money]
    """The account's spend of each day."""


class PastBills:
    """Reads an account's bills. If a read fails, the next one continues there."""

    def __init__(self, billing: BillingClient, dimension: Dimension) -> None:
        """Prepare to read the bills, grouped by a dimension."""
        self._billing = billing
        self._dimension = dimension
        self._months: dict[tuple[date, date], SpendTrend] = {}
        """The months read so far, by their first and last day."""
        self._read_up_to = date.min
        """The last day of the previous read."""

    async def async_read(self, last: date, first: date | None = None) -> Bills:
        """Return the bills from `first` to `last`, or all that there are up to `last`.

        Raises as `BillingClient.get_trend`.
        """
        self._forget_revised(last)
        trends: list[SpendTrend] = []
        totals: dict[date, Money] = {}
        start, empty = last + DAY, 0
        while (
            (first is None or start > first)
            and empty < EMPTY_MONTHS
            and len(trends) < MOST_MONTHS
        ):
            end = start - DAY
            month = end.replace(day=1)
            if first is not None:
                month = max(month, first)
            try:
                trend = await self._async_read_month(month, end)
            except AccountError as err:
                # The service refuses months before the account's first.
                if not (trends and is_refused(err)):
                    raise
                break
            trends.append(trend)
            totals |= daily_totals(trend, month, end)
            start = month
            empty = 0 if any(map(_is_bill, trend.periods)) else empty + 1
        daily: dict[str, dict[date, SpendPeriod]] = defaultdict(dict)
        for trend in trends:
            for period in trend.periods:
                daily[period.total.currency][period.start] = period
        if first is None:
            # Days that the service no longer knows look like days without spend.
            billed = [p.start for t in trends for p in t.periods if _is_bill(p)]
            start = min(billed, default=last)
        return Bills(first=start, last=last, daily=daily, totals=totals)

    async def _async_read_month(self, first: date, last: date) -> SpendTrend:
        """Return a month's bills, from memory if they were read before."""
        days = first, last
        if days not in self._months:
            self._months[days] = await self._billing.get_trend(
                first, last, group_by=self._dimension
            )
        return self._months[days]

    def _forget_revised(self, last: date) -> None:
        """Forget the months that may have been revised, if a day has passed."""
        if last != self._read_up_to:
            self._months = {
                days: trend
                for days, trend in self._months.items()
                if days[1] <= self._read_up_to - REVISED_DAYS
            }
            self._read_up_to = last

    def forget(self) -> None:
        """Forget what was read, once it is stored."""
        self._months.clear()


def _is_bill(period: SpendPeriod) -> bool:
    """Return whether anything was billed."""
    return bool(period.total.amount) or any(period.groups.values())
