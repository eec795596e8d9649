"""Helpers for the tests of past spend in the long-term statistics."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
import json
from typing import Any
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from sqlalchemy import text

from custom_components.alibaba_cloud.clients import async_get_session
from custom_components.alibaba_cloud.model_studio import AccessKey, BillingClient
from custom_components.alibaba_cloud.owners import (
    Owner,
    bill_key,
    dimension_of,
    statistic_id,
)
from custom_components.alibaba_cloud.statistics import SpendImport
from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.statistics import (
    async_add_external_statistics,
    statistics_during_period,
)
from homeassistant.components.recorder.util import session_scope
from homeassistant.core import HomeAssistant
from tests.simulator import Account, Simulator
from tests.simulator.billing import _items, total_on
from tests.simulator.faults import Refusal
from tests.simulator.openapi import roa_answer

type Amounts = Mapping[date, Decimal]
type Billed = Mapping[str, Mapping[str | None, str]]
"""Amounts by day and group, with the total under None."""

DAY = timedelta(days=1)
FIRST = date(2026, 6, 17)
"""The day of the first bill by default."""
YESTERDAY = date(2026, 8, 14)
MODELS = ("qwen-max", "qwen-plus")
ADD = "custom_components.alibaba_cloud.statistics.async_add_external_statistics"

ON_BOTH = pytest.mark.parametrize(
    "recorder_db_url", ["sqlite", "postgresql"], indirect=True
)


@dataclass(kw_only=True)
class World:
    """An account with past spend, and a Home Assistant that imports it."""

    hass: HomeAssistant
    freezer: FrozenDateTimeFactory
    simulator: Simulator
    entry_id: str = "account"
    imported: Collection[Owner] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    """The options of the account's entry."""
    spend_import: SpendImport | None = None
    amounts: dict[Owner, dict[date, Decimal]] = field(default_factory=dict)
    """The amounts expected in the database by owner."""

    @property
    def account(self) -> Account:
        """The account that the simulator bills."""
        return self.simulator.account

    @property
    def yesterday(self) -> date:
        """The last complete day, which is the last one that is imported."""
        return self.account.today - DAY

    async def run(self, *owners: Owner) -> int:
        """Import the spend up to now, and return the number of requests."""
        before = len(self.simulator.signed_requests)
        if self.spend_import is None:
            [(access_key_id, secret)] = self.simulator.access_keys.items()
            billing = BillingClient(
                async_get_session(self.hass),
                endpoint=self.simulator.openapi_url,
                access_key=AccessKey(id=access_key_id, secret=secret),
            )
            entry = MockConfigEntry(
                entry_id=self.entry_id, title="Model Studio", options=self.options
            )
            self.spend_import = SpendImport(self.hass, billing, entry)
        await self.spend_import.async_run(owners, self.imported)
        self.imported = owners
        return len(self.simulator.signed_requests) - before

    def away(self, days: int) -> None:
        """Let days pass."""
        self.freezer.tick(days * DAY)

    def bill(
        self, *owners: Owner, first: date = FIRST, last: date | None = None
    ) -> None:
        """Expect the current bills of some days, of the account and these owners."""
        for owner in (None, *owners):
            known = self.amounts.setdefault(owner, {})
            day = first
            while day <= (last or self.yesterday):
                known[day] = (
                    total_on(self.account, day)
                    if owner is None
                    else sum(
                        (
                            item.amount
                            for item in _items(self.account, day)
                            if item.keys[dimension_of(owner)] == bill_key(owner)
                        ),
                        Decimal(),
                    )
                )
                day += DAY

    async def check(self, currency: str = "CNY") -> None:
        """Check that each statistic has exact amounts and sums for each day."""
        for owner, amounts in self.amounts.items():
            statistic = statistic_id(self.entry_id, currency, owner)
            assert await rows_of(self.hass, statistic) == summed(amounts)


def summed(amounts: Amounts) -> list[tuple[date, Decimal, Decimal]]:
    """Return the expected rows, from the first day with an amount."""
    total = Decimal()
    rows: list[tuple[date, Decimal, Decimal]] = []
    for day, amount in sorted(amounts.items()):
        total += amount
        if rows or amount:
            rows.append((day, amount, total))
    return rows


async def rows_of(
    hass: HomeAssistant, statistic: str
) -> list[tuple[date, Decimal, Decimal]]:
    """Return the rows of a statistic: day, amount and sum."""
    await async_wait_recording_done(hass)
    rows = await get_instance(hass).async_add_executor_job(
        statistics_during_period,
        hass,
        datetime.fromtimestamp(0, UTC),
        None,
        {statistic},
        "hour",
        None,
        {"state", "sum"},
    )
    return [
        (
            datetime.fromtimestamp(row["start"], UTC).date(),
            Decimal(str(row["state"])),
            Decimal(str(row["sum"])),
        )
        for row in rows.get(statistic, [])
    ]


async def dump(hass: HomeAssistant, *, without: str = "") -> list[tuple[Any, ...]]:
    """Return all rows of the long-term statistics except those of one statistic."""
    await async_wait_recording_done(hass)

    def read() -> list[tuple[Any, ...]]:
        with session_scope(hass=hass, read_only=True) as session:
            return [
                tuple(row)
                for row in session.execute(
                    text(
                        "SELECT statistics.*, statistics_meta.statistic_id"
                        " FROM statistics JOIN statistics_meta"
                        " ON statistics_meta.id = statistics.metadata_id"
                        " WHERE statistic_id <> :without ORDER BY statistics.id"
                    ),
                    {"without": without},
                )
            ]

    return await get_instance(hass).async_add_executor_job(read)


def canned(
    billed: Billed,
    query: Mapping[str, str],
    *,
    currency: Mapping[str, str] | str = "CNY",
) -> dict[str, Any]:
    """Return the bill for a query: the total and the groups of each day."""
    asked = json.loads(query["timePeriod"])
    periods = []
    for day, groups in billed.items():
        if asked["start"] <= day <= asked["end"]:
            unit = currency if isinstance(currency, str) else currency[day]
            periods.append(
                {
                    "period": day.replace("-", ""),
                    "total": {"amount": groups[None], "currency": unit},
                    "periodDetails": [
                        {"key": key, "amount": amount}
                        for key, amount in groups.items()
                        if key
                    ],
                }
            )
    return roa_answer({"costTotals": {}, "resultByTime": periods}, "request")


def nothing_before(start: date, query: Mapping[str, str]) -> Any:
    """Return a bill of 0 for all days before a month; None for later queries."""
    if json.loads(query["timePeriod"])["start"] >= str(start):
        return None
    days = [start - number * DAY for number in range(1, 600)]
    billed: Billed = {str(day): {None: "0.00", "qwen-max": "0.00"} for day in days}
    return canned(billed, query)


@contextmanager
def cut_after(written: int) -> Iterator[None]:
    """Make an import fail after this many statistics are written."""
    left = written

    def add(*args: Any) -> None:
        nonlocal left
        if not left:
            raise OSError
        left -= 1
        async_add_external_statistics(*args)

    with patch(ADD, add):
        yield


async def delete(hass: HomeAssistant, statistic: str) -> None:
    """Delete a statistic, as the developer tools do."""
    get_instance(hass).async_clear_statistics([statistic])
    assert await rows_of(hass, statistic) == []


def refuse_before(first: str, refusal: Refusal) -> Callable[[Mapping[str, str]], None]:
    """Return a body that rejects queries for days before this one."""

    def body(query: Mapping[str, str]) -> None:
        if json.loads(query["timePeriod"])["start"] < first:
            raise refusal

    return body


REFUSALS = [
    Refusal(400, "InvalidParameter", "timePeriod.start is too early"),
    Refusal(200, "InvalidParameter.TimePeriod", "timePeriod.start is too early"),
    Refusal(200, "400", "timePeriod.start is too early"),
]


DATABASE_FAILS = (
    "ERROR custom_components.alibaba_cloud Error fetching Model Studio history data:"
    " The recorder could not store the statistics of past spend"
)


async def execute(hass: HomeAssistant, statement: str) -> None:
    """Execute an SQL statement in the recorder's database."""
    await async_wait_recording_done(hass)

    def run() -> None:
        with session_scope(hass=hass) as session:
            session.execute(text(statement))

    await get_instance(hass).async_add_executor_job(run)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that no event announces."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)
