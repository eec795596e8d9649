"""Long-term statistics of spend, by the recorder itself: nothing lost, nothing twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
    do_adhoc_statistics,
)

from custom_components.alibaba_cloud.ledger import BILLING_TIME_ZONE
from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.statistics import get_last_short_term_statistics
from homeassistant.core import HomeAssistant

from .conftest import Poll, attributes, entity_id, setup
from .simulator import Fault, Simulator

STEP = timedelta(minutes=15)


@pytest.fixture(autouse=True)
def database_before_anything_else(recorder_mock: Recorder) -> None:
    """Start the recorder before the account."""


@dataclass(kw_only=True)
class World:
    """Someone who spends, what the service says of it, and a Home Assistant to look.

    Time goes in steps of a quarter of an hour. `late` is how long after midnight the
    service starts its figures again.
    """

    hass: HomeAssistant
    freezer: FrozenDateTimeFactory
    entry: MockConfigEntry
    simulator: Simulator
    late: timedelta
    period: bool
    now: datetime = datetime(2026, 8, 30, 20, 0, 20, tzinfo=BILLING_TIME_ZONE)
    spent: Decimal = Decimal(0)
    daily: Decimal = Decimal("3.20")
    monthly: Decimal = Decimal("41.75")

    def spend(self, amount: str) -> None:
        """Spend an amount; a negative one is the correction of a bill."""
        self.spent += Decimal(amount)
        self.daily += Decimal(amount)
        self.monthly += Decimal(amount)
        self.publish()

    def publish(self) -> None:
        """Let the service answer with the figures as they are."""
        data = self.simulator.body["data"]
        data |= {"daily_spend": str(self.daily), "monthly_spend": str(self.monthly)}
        start = (self.now - self.late).date().replace(day=1)
        data["billing_period"] = {"start": str(start)} if self.period else None

    def pass_time(self, until: str, amount: str = "0") -> Iterator[datetime]:
        """Go on until a time, spending an amount in each step."""
        end = datetime.fromisoformat(until).replace(tzinfo=BILLING_TIME_ZONE)
        while self.now < end:
            before = (self.now - self.late).date()
            self.now += STEP
            today = (self.now - self.late).date()
            if today != before:
                self.daily = Decimal(0)
            if today.month != before.month:
                self.monthly = Decimal(0)
            self.spend(amount)
            self.freezer.move_to(self.now)
            yield self.now

    def away(self, until: str, amount: str = "0") -> None:
        """Go on without Home Assistant."""
        for _ in self.pass_time(until, amount):
            pass

    async def live(self, until: str, amount: str = "0") -> None:
        """Go on with polls, and with statistics compiled."""
        for now in self.pass_time(until, amount):
            async_fire_time_changed(self.hass, now)
            await self.compile()

    async def compile(self) -> None:
        """Compile the statistics of the five minutes that begin here."""
        await self.hass.async_block_till_done(wait_background_tasks=True)
        await async_wait_recording_done(self.hass)
        do_adhoc_statistics(self.hass, start=self.now.replace(second=0).astimezone(UTC))
        await async_wait_recording_done(self.hass)

    async def stop(self) -> None:
        """Stop Home Assistant, as far as the account is concerned."""
        assert await self.hass.config_entries.async_unload(self.entry.entry_id)
        await self.hass.async_block_till_done()

    async def start(self) -> None:
        """Start it again."""
        await setup(self.hass, self.entry)
        await self.compile()

    async def sums(self) -> dict[str, Decimal]:
        """Return the long-term sum of each spend sensor."""
        sums = {}
        for key in ("daily_spend", "monthly_spend"):
            statistic_id = entity_id(self.hass, key)
            assert statistic_id
            (row,) = (
                await get_instance(self.hass).async_add_executor_job(
                    get_last_short_term_statistics,
                    self.hass,
                    1,
                    statistic_id,
                    True,
                    {"sum"},
                )
            )[statistic_id]
            sums[key] = round(Decimal(row["sum"] or 0), 6)
        return sums


@pytest.mark.logs(
    "Error fetching Model Studio data", "Error fetching Model Studio data"
)
@pytest.mark.parametrize(
    ("late", "period"),
    [(timedelta(), True), (timedelta(minutes=30), False)],
    ids=["in time", "late, without a billing period"],
)
async def test_sum_is_what_was_spent(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    late: timedelta,
    period: bool,
) -> None:
    """Midnights, a month's end, corrections, an outage and restarts lose no cent."""
    world = World(
        hass=hass,
        freezer=freezer,
        entry=entry,
        simulator=simulator,
        late=late,
        period=period,
    )
    freezer.move_to(world.now)
    world.publish()
    await world.start()

    async def check() -> None:
        assert await world.sums() == {
            "daily_spend": world.spent,
            "monthly_spend": world.spent,
        }

    await world.live("2026-08-30 22:00", "0.21")
    world.spend("-0.04")
    await world.live("2026-08-31 02:00", "0.11")
    await check()

    simulator.fail(Fault.SERVER_ERROR)
    await world.live("2026-08-31 13:00", "0.35")
    simulator.recover()
    await world.live("2026-08-31 18:00", "0.02")
    await check()

    # The month's end, with a correction of a cent right after it.
    await world.live("2026-09-01 03:00", "0.05")
    world.spend("-0.01")
    await world.live("2026-09-01 22:00", "0.01")
    await check()

    # A restart over midnight: less than before when it is back.
    await world.stop()
    world.away("2026-09-02 00:30")
    world.away("2026-09-02 01:15", "0.02")
    await world.start()
    await world.live("2026-09-02 06:00", "0.01")
    await check()

    # Another: by the time it is back, more than before has been spent.
    await world.stop()
    world.away("2026-09-03 00:30")
    world.away("2026-09-03 09:00", "0.40")
    await world.start()
    await world.live("2026-09-03 12:00", "0.10")
    await check()

    # An outage over midnight.
    simulator.fail(Fault.SERVER_ERROR)
    await world.live("2026-09-04 00:30")
    await world.live("2026-09-04 03:00", "0.30")
    simulator.recover()
    await world.live("2026-09-04 04:00", "0.10")
    await check()


@pytest.mark.usefixtures("account")
async def test_last_reset_of_the_month_is_the_start_of_the_billing_period(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """As the service reports it."""
    assert attributes(hass, "monthly_spend")["last_reset"] == (
        "2026-08-01T00:00:00+08:00"
    )
    assert attributes(hass, "daily_spend")["last_reset"] == "2026-08-15T00:00:00+08:00"
    simulator.body["data"] |= {
        "monthly_spend": 0.5,
        "billing_period": {"start": "2026-08-16", "end": "2026-09-15"},
    }
    await poll()
    assert attributes(hass, "monthly_spend")["last_reset"] == (
        "2026-08-16T00:00:00+08:00"
    )
    assert attributes(hass, "daily_spend")["last_reset"] == "2026-08-15T00:00:00+08:00"


@pytest.mark.usefixtures("account")
async def test_last_reset_of_the_day_moves_with_a_drop_alone(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """A correction by a few cents is none, and midnight alone is none either."""
    moved = []
    for spend, seconds in (
        (12.31, 31),
        (15.00, 3.9 * 3600),
        (15.00, 300),
        (14.96, 60),
        (0.02, 60),
        (0.03, 60),
    ):
        simulator.body["data"]["daily_spend"] = spend
        await poll(seconds)
        moved.append(attributes(hass, "daily_spend")["last_reset"])
    assert moved == [
        *["2026-08-15T00:00:00+08:00"] * 4,
        *["2026-08-16T00:01:31+08:00"] * 2,
    ]
