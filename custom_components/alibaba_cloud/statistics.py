"""Past spend as long-term statistics: imported once, and again where bills were revised.

Only the recorder's database remembers what was imported. Rows are computed from the
bills each time, so importing them twice changes nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from typing import NamedTuple

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
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.helpers.translation import async_get_translations
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN
from .failures import PollFailed, Status
from .model_studio import (
    TIMEOUT,
    BillingClient,
    Dimension,
    Money,
    SpendGroup,
    SpendPeriod,
)
from .options import group_name
from .owners import Owner, bill_key, dimension_of, statistic_id
from .past_bills import DAY, REVISED_DAYS, Bills, PastBills
from .sources import SOURCES, Source, billing_today

EPOCH = date(1970, 1, 1)
LONGEST_NAME = 255
"""The largest number of characters of a name that the recorder can store."""
DATABASE_TIMEOUT = 5 * 60
"""Seconds that the recorder may take to read, or to write what is queued."""

STATISTICS_NOT_WRITTEN = "statistics_not_written"
"""The translation key of a failing recorder database."""

NEVER_BILLED: HassKey[set[str]] = HassKey(f"{DOMAIN}_never_billed")
"""The entries whose whole past was read without finding a bill."""

HOUR_OF_DAY = time(10, tzinfo=UTC)
"""The hour that a day's bill is stored at.

It has the date of the billing day in every time zone from Honolulu to Auckland, so that
daily charts agree with the bill.
"""


class Row(NamedTuple):
    """The statistic of a day."""

    amount: float
    total: float
    """The sum up to the end of the day."""


type Written = Mapping[date, Row]
"""The rows of a statistic."""
type Statistics = Mapping[Owner, Written]
"""The statistics of an account in one currency, by owner."""


class SpendImport:
    """Imports the past spend of an account."""

    def __init__(
        self, hass: HomeAssistant, billing: BillingClient, entry: ConfigEntry
    ) -> None:
        """Prepare to import."""
        self._hass = hass
        self._entry = entry
        self._entry_id = entry.entry_id
        self._past = {
            dimension: PastBills(billing, dimension) for dimension in Dimension
        }

    async def async_run(
        self, owners: Collection[Owner], imported: Collection[Owner]
    ) -> Mapping[date, Money]:
        """Import the spend of each day up to yesterday, of the account and these owners.

        The first import reads all days, later ones those that may have been revised.
        `imported` are the owners whose past was imported before. Everything is read
        before anything is written. If an import fails, the next one writes the rest.
        Return the account's spend of the days that were read. Raises as
        `BillingClient.get_trend`, and `PollFailed` if the recorder's database fails.
        """
        written = await _async_written(self._hass, self._entry_id, owners)
        bills: dict[Dimension, Bills] = {}
        for dimension in dict.fromkeys(map(dimension_of, (None, *owners))):
            bills[dimension] = await self._async_read(
                dimension,
                [owner for owner in owners if dimension_of(owner) is dimension],
                imported,
                written,
            )
        new = await self._async_write(bills, owners, written)
        if new:
            await _async_check(self._hass, self._entry_id, new)
        for past in self._past.values():
            past.forget()
        return bills[Dimension.MODEL].totals

    async def _async_read(
        self,
        dimension: Dimension,
        owners: Collection[Owner],
        imported: Collection[Owner],
        written: Mapping[str, Statistics],
    ) -> Bills:
        """Return the bills that may differ from what is written, or all of them.

        `owners` are the owners of this dimension.
        """
        last = billing_today() - DAY
        reached = [
            max(statistics[None])
            for statistics in written.values()
            if None in statistics
        ]
        newest = min(max(reached, default=last), last)
        never_billed = self._hass.data.setdefault(NEVER_BILLED, set())
        past = self._past[dimension]
        bills = await past.async_read(last, newest - REVISED_DAYS + DAY)
        has_new = any(owner not in imported for owner in owners)
        is_first = not reached and self._entry_id not in never_billed
        if has_new or is_first or _is_past_missing(bills, owners, written):
            bills = await past.async_read(last)
            if not bills.daily:
                never_billed.add(self._entry_id)
        return bills

    async def _async_write(
        self,
        bills: Mapping[Dimension, Bills],
        owners: Collection[Owner],
        written: Mapping[str, Statistics],
    ) -> dict[tuple[str, Owner], Written]:
        """Queue the rows that changed. Return them by currency and owner."""
        texts = await async_get_translations(
            self._hass, self._hass.config.language, "common", {DOMAIN}
        )
        new: dict[tuple[str, Owner], Written] = {}
        # The account comes last: its last row shows how far the others are written.
        for owner in (*owners, None):
            # Hundreds of models have hundreds of rows each.
            await asyncio.sleep(0)
            of_owner = bills[dimension_of(owner)]
            for currency in of_owner.daily:
                before = written.get(currency, {}).get(owner, {})
                rows = dict(_rows(of_owner, currency, owner, before))
                if rows:
                    new[currency, owner] = rows
                    self._add(self._name(owner, texts), currency, owner, rows)
        return new

    def _name(self, owner: Owner, texts: Mapping[str, str]) -> str:
        """Return the name of an owner's statistic, cut to what can be stored."""
        key, name = "spend", owner
        if isinstance(owner, SpendGroup):
            key = f"{owner.dimension.name.lower()}_spend"
            name = group_name(self._entry.options, owner) or owner.id
        elif owner is not None:
            key = "model_spend"
        return texts[f"component.{DOMAIN}.common.statistic_{key}"].format(
            model=name, name=name, account=self._entry.title
        )[:LONGEST_NAME]

    def _add(self, name: str, currency: str, owner: Owner, rows: Written) -> None:
        """Queue the rows of a statistic."""
        async_add_external_statistics(
            self._hass,
            StatisticMetaData(
                mean_type=StatisticMeanType.NONE,
                has_sum=True,
                name=name,
                source=DOMAIN,
                statistic_id=statistic_id(self._entry_id, currency, owner),
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


async def async_remove_statistics(hass: HomeAssistant, entry_id: str) -> None:
    """Remove the imported statistics of an account, if there is a recorder.

    Raises `PollFailed` if its database fails.
    """
    if "recorder" not in hass.config.components:
        return
    recorder = get_instance(hass)
    async with _database(TIMEOUT):
        # Statistics that are still queued are not found.
        await _async_queue_done(recorder)
        known = await recorder.async_add_executor_job(
            partial(get_metadata, hass, statistic_source=DOMAIN)
        )
    prefix = f"{DOMAIN}:{entry_id.lower()}_"
    recorder.async_clear_statistics([s for s in known if s.startswith(prefix)])


async def _async_queue_done(recorder: Recorder) -> None:
    """Wait until the recorder has processed its queue.

    Its own `async_block_till_done` does not wait for the last task.
    """
    done = recorder.hass.loop.create_future()
    recorder.queue_task(SynchronizeTask(done))
    await done


@asynccontextmanager
async def _database(seconds: float) -> AsyncIterator[None]:
    """Wait for the recorder for a limited time.

    Raises `PollFailed`. It does not name the statement that failed or its values.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except SQLAlchemyError, TimeoutError:
        raise _not_written() from None


async def _async_written(
    hass: HomeAssistant,
    entry_id: str,
    owners: Collection[Owner],
    since: date = EPOCH,
) -> Mapping[str, Statistics]:
    """Return the statistics of an account and these owners since a day, by currency.

    Raises `PollFailed` if the database can't be read.
    """
    async with _database(DATABASE_TIMEOUT):
        return await get_instance(hass).async_add_executor_job(
            _written, hass, entry_id, owners, since
        )


async def _async_check(
    hass: HomeAssistant,
    entry_id: str,
    new: Mapping[tuple[str, Owner], Written],
) -> None:
    """Wait until the rows are written.

    Raises `PollFailed` if they are not: the recorder drops rows that its database refuses.
    """
    async with _database(DATABASE_TIMEOUT):
        await _async_queue_done(get_instance(hass))
    written = await _async_written(
        hass,
        entry_id,
        {owner for _, owner in new},
        min(day for rows in new.values() for day in rows),
    )
    for (currency, owner), rows in new.items():
        stored = written.get(currency, {}).get(owner, {})
        if any(stored.get(day) != row for day, row in rows.items()):
            raise _not_written()


def _not_written() -> PollFailed:
    """Return the error of a recorder whose database fails."""
    return PollFailed(
        Status.ERROR, STATISTICS_NOT_WRITTEN, {}, SOURCES[Source.HISTORY].retry_interval
    )


def _is_past_missing(
    bills: Bills, owners: Collection[Owner], written: Mapping[str, Statistics]
) -> bool:
    """Return whether days between the written rows and these bills are missing.

    The past of an owner that is billed and has no statistic is missing as well: the
    statistic may have been deleted.
    """
    for currency, daily in bills.daily.items():
        known = written.get(currency, {})
        account = known.get(None, {})
        if max(account, default=date.min) < bills.first - DAY:
            return True
        is_older = min(account) < bills.first
        for owner in owners:
            is_billed = any(_amount(period, owner) for period in daily.values())
            if is_older and is_billed and owner not in known:
                return True
    return False


def _rows(
    bills: Bills, currency: str, owner: Owner, written: Written
) -> Iterator[tuple[date, Row]]:
    """Yield the rows of an owner that differ from the written ones.

    The first row is that of the first day with a bill.
    """
    daily = bills.daily[currency]
    before = max((day for day in written if day < bills.first), default=None)
    total = Decimal(str(0 if before is None else written[before].total))
    started = before is not None
    for number in range((bills.last - bills.first).days + 1):
        day = bills.first + number * DAY
        row, period = written.get(day), daily.get(day)
        amount = _amount(period, owner)
        if amount is None:
            # The bill does not show this owner, so the written amount stays.
            amount = Decimal(str(0 if row is None else row.amount))
        total += amount
        is_account_bill = owner is None and period is not None
        started = started or row is not None or bool(amount) or is_account_bill
        new = Row(float(amount), float(total))
        if started and new != row:
            yield day, new


def _amount(period: SpendPeriod | None, owner: Owner) -> Decimal | None:
    """Return the bill of an owner in a period, None if it is unknown."""
    if period is None:
        return None
    if (key := bill_key(owner)) is None:
        return period.total.amount
    return period.spend_of(key)


def _written(
    hass: HomeAssistant, entry_id: str, owners: Collection[Owner], since: date
) -> Mapping[str, Statistics]:
    """Return the statistics of an account and these owners since a day, by currency."""
    known = get_metadata(hass, statistic_source=DOMAIN)
    currencies = {
        metadata["unit_of_measurement"] or "" for _, metadata in known.values()
    }
    ids = {
        statistic: (currency, owner)
        for currency in currencies
        for owner in {None, *owners}
        if (statistic := statistic_id(entry_id, currency, owner)) in known
    }
    written: dict[str, dict[Owner, Written]] = defaultdict(dict)
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
            currency, owner = ids[statistic]
            written[currency][owner] = {
                datetime.fromtimestamp(row["start"], UTC).date(): Row(
                    row.get("state") or 0.0, row.get("sum") or 0.0
                )
                for row in rows
            }
    return written
