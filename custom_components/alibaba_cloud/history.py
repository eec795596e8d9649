"""Past spend as long-term statistics: what was billed before, and bills revised since.

Nothing of it is remembered but what stands in the recorder's database: what is written
is worked out anew from the bill, so that writing it twice changes nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
import re
from typing import NamedTuple
from zlib import crc32

from sqlalchemy.exc import SQLAlchemyError

from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.models import (
    StatisticData,
    StatisticMeanType,
    StatisticMetaData,
)
from homeassistant.components.recorder.statistics import (
    async_add_external_statistics,
    get_metadata,
    statistics_during_period,
)
from homeassistant.components.recorder.tasks import SynchronizeTask
from homeassistant.core import HomeAssistant
from homeassistant.helpers.translation import async_get_translations
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN
from .failures import PollFailed, Status
from .model_studio import (
    TIMEOUT,
    AccountError,
    BillingClient,
    Money,
    SpendPeriod,
    SpendTrend,
    daily_totals,
    is_refused,
)
from .sources import HISTORY_RETRY_INTERVAL, billing_today

REVISED_DAYS = timedelta(days=35)
"""How long bills are revised."""
EPOCH = date(1970, 1, 1)
EMPTY_MONTHS = 12
"""Months without a bill, after which the service is taken to know no more."""
MOST_MONTHS = 120
"""Months that are asked for at most."""
DAY = timedelta(days=1)
DATABASE_TIMEOUT = 5 * 60
"""Seconds that the recorder may take to read, or to write what is queued before."""

STATISTICS_NOT_WRITTEN = "statistics_not_written"
"""What it is called, in the translations, that the recorder's database fails."""

NEVER_BILLED: HassKey[set[str]] = HassKey(f"{DOMAIN}_never_billed")
"""The entries of which all there is was read, and nothing found."""

HOUR_OF_DAY = time(10, tzinfo=UTC)
"""Where in time a day's bill is put: an hour of the billing day that has the same date
in every time zone from Honolulu to Auckland, so that charts by day agree with the bill."""

_PLAIN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Row(NamedTuple):
    """What a statistic says of a day."""

    amount: float
    total: float
    """Up to the end of the day."""


type Written = Mapping[date, Row]
"""What a statistic holds."""
type Statistics = Mapping[str | None, Written]
"""Those of an account in one currency, by model, with its own under None."""


@dataclass(frozen=True, kw_only=True)
class Bills:
    """What the bill says of all days from one to another."""

    first: date
    last: date
    daily: Mapping[str, Mapping[date, SpendPeriod]]
    """By currency."""
    totals: Mapping[date, Money]
    """Of the account."""


@dataclass
class Past:
    """The months that were read by an import that did not end.

    The next one asks for the rest alone.
    """

    read_on: date = date.min
    """The last day that had a bill when they were read."""
    months: dict[tuple[date, date], SpendTrend] = field(default_factory=dict)
    """By their first and their last day."""

    def go_on(self, last: date) -> None:
        """Forget what may have been revised since, if this is another day."""
        if last != self.read_on:
            self.months = {
                days: trend
                for days, trend in self.months.items()
                if days[1] <= self.read_on - REVISED_DAYS
            }
            self.read_on = last


def statistic_id(entry_id: str, currency: str, model: str | None = None) -> str:
    """Return the id of the spend of an account, or of one of its models.

    The currency is part of it: amounts in another one are other statistics.
    """
    parts = [entry_id.lower(), currency.lower(), "spend"]
    if model is not None:
        parts.append("_".join(re.findall("[a-z0-9]+", model.lower())))
        if not _PLAIN.fullmatch(model):
            # Other names become the same letters and digits.
            parts.append(f"{crc32(model.encode()):08x}")
    return f"{DOMAIN}:{'_'.join(filter(None, parts))}"


async def async_import_spend(
    hass: HomeAssistant,
    billing: BillingClient,
    *,
    entry_id: str,
    title: str,
    models: Collection[str],
    imported: Collection[str],
    past: Past,
) -> Mapping[date, Money]:
    """Write what was billed by day, up to yesterday: all of it once, then what may change.

    `imported` are the models whose past is written already. Nothing is written before
    all is read, and then one statistic after the other: what an import does not get to,
    the next one writes. `past` is kept from one import to the next. Returns what was
    billed on the days that were read. Raises as `BillingClient.get_trend` does, and
    `PollFailed` where the recorder's database fails.
    """
    last = billing_today() - DAY
    past.go_on(last)
    written = await _async_written(hass, entry_id, models)
    reached = [
        max(statistics[None]) for statistics in written.values() if None in statistics
    ]
    newest = min(max(reached, default=last), last)
    never_billed = hass.data.setdefault(NEVER_BILLED, set())
    # What is younger than it was to be revised when it was read last, or not read yet.
    bills = await _async_bills(billing, past, last, newest - REVISED_DAYS + DAY)
    if (
        not set(models) <= set(imported)
        or not (reached or entry_id in never_billed)
        or _is_past_missing(bills, models, written)
    ):
        bills = await _async_bills(billing, past, last)
        if not bills.daily:
            never_billed.add(entry_id)
    texts = await async_get_translations(hass, hass.config.language, "common", {DOMAIN})

    def name(model: str | None) -> str:
        text = "statistic_spend" if model is None else "statistic_model_spend"
        return texts[f"component.{DOMAIN}.common.{text}"].format(
            model=model, account=title
        )

    new: dict[tuple[str, str | None], Written] = {}
    # The account's come last: up to where they reach, those of its models are written.
    for model in (*models, None):
        # Hundreds of models have rows by the hundred: others have their turn in between.
        await asyncio.sleep(0)
        for currency in bills.daily:
            known = written.get(currency, {}).get(model, {})
            if rows := dict(_rows(bills, currency, model, known)):
                new[currency, model] = rows
                async_add_external_statistics(
                    hass,
                    StatisticMetaData(
                        mean_type=StatisticMeanType.NONE,
                        has_sum=True,
                        name=name(model),
                        source=DOMAIN,
                        statistic_id=statistic_id(entry_id, currency, model),
                        unit_class=None,
                        unit_of_measurement=currency,
                    ),
                    [
                        StatisticData(
                            start=datetime.combine(day, HOUR_OF_DAY),
                            state=row.amount,
                            sum=row.total,
                        )
                        for day, row in rows.items()
                    ],
                )
    if new:
        await _async_check(hass, entry_id, new)
    past.months.clear()
    return bills.totals


async def async_remove_statistics(hass: HomeAssistant, entry_id: str) -> None:
    """Remove what was imported of an account, if there is a recorder.

    Raises `PollFailed` where its database fails.
    """
    if "recorder" not in hass.config.components:
        return
    recorder = get_instance(hass)
    async with _database(TIMEOUT):
        # What is still queued is to be found, too.
        await _async_queue_done(recorder)
        known = await recorder.async_add_executor_job(
            partial(get_metadata, hass, statistic_source=DOMAIN)
        )
    prefix = f"{DOMAIN}:{entry_id.lower()}_"
    recorder.async_clear_statistics([s for s in known if s.startswith(prefix)])


async def _async_queue_done(recorder: Recorder) -> None:
    """Wait until the recorder has done what is queued.

    Its own `async_block_till_done` does not wait for the last task of the queue.
    """
    done = recorder.hass.loop.create_future()
    recorder.queue_task(SynchronizeTask(done))
    await done


@asynccontextmanager
async def _database(seconds: float) -> AsyncIterator[None]:
    """Wait for the recorder, but not for ever.

    Raises `PollFailed`, without the statement that failed and what it holds.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except SQLAlchemyError, TimeoutError:
        raise PollFailed(
            Status.ERROR, STATISTICS_NOT_WRITTEN, {}, HISTORY_RETRY_INTERVAL
        ) from None


async def _async_written(
    hass: HomeAssistant,
    entry_id: str,
    models: Collection[str | None],
    since: date = EPOCH,
) -> Mapping[str, Statistics]:
    """Return what is written of an account and its models since a day, by currency.

    Raises `PollFailed` where the database can't be read.
    """
    async with _database(DATABASE_TIMEOUT):
        return await get_instance(hass).async_add_executor_job(
            _written, hass, entry_id, models, since
        )


async def _async_check(
    hass: HomeAssistant,
    entry_id: str,
    new: Mapping[tuple[str, str | None], Written],
) -> None:
    """Wait until this is written.

    Raises `PollFailed` if it is not: the recorder drops what its database refuses.
    """
    async with _database(DATABASE_TIMEOUT):
        await _async_queue_done(get_instance(hass))
    written = await _async_written(
        hass,
        entry_id,
        {model for _, model in new},
        min(day for rows in new.values() for day in rows),
    )
    for (currency, model), rows in new.items():
        if not rows.items() <= written.get(currency, {}).get(model, {}).items():
            raise PollFailed(
                Status.ERROR, STATISTICS_NOT_WRITTEN, {}, HISTORY_RETRY_INTERVAL
            )


async def _async_bills(
    billing: BillingClient, past: Past, last: date, first: date = date.min
) -> Bills:
    """Return the bills from one day to another, or all there are before it.

    They are read month by month backwards, as far as the service has them, but for
    those that an earlier import has read.
    """
    trends: list[SpendTrend] = []
    totals: dict[date, Money] = {}
    start, empty = last + DAY, 0
    while start > first and empty < EMPTY_MONTHS and len(trends) < MOST_MONTHS:
        end = start - DAY
        month = max(end.replace(day=1), first)
        if (trend := past.months.get((month, end))) is None:
            try:
                trend = await billing.get_trend(month, end)
            except AccountError as err:
                # The service refuses months from before the account, or its memory.
                if not (trends and is_refused(err)):
                    raise
                break
            past.months[month, end] = trend
        trends.append(trend)
        totals |= daily_totals(trend, month, end)
        start = month
        empty = 0 if any(map(_is_bill, trend.periods)) else empty + 1
    daily: dict[str, dict[date, SpendPeriod]] = defaultdict(dict)
    for trend in trends:
        for period in trend.periods:
            daily[period.total.currency][period.start] = period
    if first == date.min:
        # What the service has forgotten may look like days on which nothing was billed.
        start = min(
            (p.start for t in trends for p in t.periods if _is_bill(p)), default=last
        )
    return Bills(first=start, last=last, daily=daily, totals=totals)


def _is_bill(period: SpendPeriod) -> bool:
    """Return whether anything was billed."""
    return bool(period.total.amount) or any(period.groups.values())


def _is_past_missing(
    bills: Bills, models: Collection[str], written: Mapping[str, Statistics]
) -> bool:
    """Return whether what is written does not reach up to these bills.

    A model that is billed for the first time gets its past, too: its statistic may also
    have been deleted.
    """
    for currency, daily in bills.daily.items():
        known = written.get(currency, {})
        account = known.get(None, {})
        if max(account, default=date.min) < bills.first - DAY:
            return True
        if min(account) < bills.first and any(
            any(_amount(period, model) for period in daily.values())
            for model in models
            if model not in known
        ):
            return True
    return False


def _rows(
    bills: Bills, currency: str, model: str | None, written: Written
) -> Iterator[tuple[date, Row]]:
    """Yield what is to be written of an account or a model: a row a day, if it changes.

    The first is that of the first day on which anything was billed.
    """
    daily = bills.daily[currency]
    before = max((day for day in written if day < bills.first), default=None)
    total = Decimal(str(written[before].total if before else 0))
    started = before is not None
    for number in range((bills.last - bills.first).days + 1):
        day = bills.first + number * DAY
        row, period = written.get(day), daily.get(day)
        amount = _amount(period, model)
        if amount is None:
            # What is not told now stays as it was.
            amount = Decimal(str(row.amount if row else 0))
        total += amount
        started = bool(started or row or amount or (model is None and period))
        new = Row(float(amount), float(total))
        if started and new != row:
            yield day, new


def _amount(period: SpendPeriod | None, model: str | None) -> Decimal | None:
    """Return what was billed for a model or, without one, in all; None if unknown."""
    if period is None:
        return None
    if model is None:
        return period.total.amount
    return period.groups.get(model, Decimal() if period.complete else None)


def _written(
    hass: HomeAssistant, entry_id: str, models: Collection[str | None], since: date
) -> Mapping[str, Statistics]:
    """Return what is written of an account and its models since a day, by currency."""
    known = get_metadata(hass, statistic_source=DOMAIN)
    currencies = {
        metadata["unit_of_measurement"] or "" for _, metadata in known.values()
    }
    ids = {
        statistic: (currency, model)
        for currency in currencies
        for model in {None, *models}
        if (statistic := statistic_id(entry_id, currency, model)) in known
    }
    written: dict[str, dict[str | None, Written]] = defaultdict(dict)
    if ids:
        for statistic, rows in statistics_during_period(
            hass,
            datetime.combine(since, time(), UTC),
            None,
            set(ids),
            "hour",
            None,
            {"state", "sum"},
        ).items():
            currency, model = ids[statistic]
            written[currency][model] = {
                datetime.fromtimestamp(row["start"], UTC).date(): Row(
                    row.get("state") or 0.0, row.get("sum") or 0.0
                )
                for row in rows
            }
    return written
