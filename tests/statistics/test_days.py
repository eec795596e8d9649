"""The days of the statistics in every time zone."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from custom_components.alibaba_cloud.owners import statistic_id
from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util

from .common import Amounts, World

MONTHS_END = (
    # Just before and just after midnight in the billing time zone.
    ("2026-08-31 15:59:59+00:00", date(2026, 8, 1), date(2026, 8, 30)),
    ("2026-08-31 16:00:00+00:00", date(2026, 8, 1), date(2026, 8, 31)),
)
MOST_OF_A_YEAR = ("2026-10-31 23:30:00+00:00", date(2026, 2, 27), date(2026, 10, 31))
"""Includes both changes of daylight saving time."""


@pytest.mark.parametrize(
    ("time_zone", "now", "first", "yesterday"),
    [
        ("America/New_York", *MONTHS_END[0]),
        ("America/New_York", *MONTHS_END[1]),
        ("America/New_York", *MOST_OF_A_YEAR),
        ("Asia/Kolkata", *MONTHS_END[1]),
        ("Asia/Shanghai", *MONTHS_END[1]),
        ("Europe/Berlin", *MOST_OF_A_YEAR),
        ("Pacific/Auckland", *MONTHS_END[0]),
        ("Pacific/Auckland", *MOST_OF_A_YEAR),
        ("Pacific/Honolulu", *MONTHS_END[1]),
    ],
)
async def test_days_in_the_local_time_zone(
    hass: HomeAssistant,
    world: World,
    time_zone: str,
    now: str,
    first: date,
    yesterday: date,
) -> None:
    """Each bill counts for the same date in every time zone, also across DST changes."""
    await hass.config.async_set_time_zone(time_zone)
    world.freezer.move_to(now)
    world.account.history_start = first
    await world.run()
    world.bill(first=first)
    await world.check()
    assert world.yesterday == yesterday
    statistic = statistic_id("account", "CNY")
    for period, written in (
        ("day", world.amounts[None]),
        ("month", months(world.amounts[None])),
    ):
        rows = await get_instance(hass).async_add_executor_job(
            statistics_during_period,
            hass,
            datetime.fromtimestamp(0, UTC),
            None,
            {statistic},
            period,
            None,
            {"change"},
        )
        assert {
            dt_util.as_local(datetime.fromtimestamp(row["start"], UTC)).date(): (
                round(Decimal(str(row["change"])), 2)
            )
            for row in rows[statistic]
        } == written


def months(amounts: Amounts) -> Amounts:
    """Return the sums per month, by the month's first day."""
    sums: dict[date, Decimal] = {}
    for day, amount in amounts.items():
        month = day.replace(day=1)
        sums[month] = sums.get(month, Decimal()) + amount
    return sums
