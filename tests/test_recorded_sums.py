"""Long-term sums of the spend sensors: nothing is lost or counted twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
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

from .common import Poll, attributes, entity_id, setup
from .simulator import Fault, Simulator

STEP = timedelta(minutes=30)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def database_before_anything_else(recorder_mock: Recorder) -> None:
    """Start the recorder before the account."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """The times at which the service resets its figures and reports a new period."""

    day: timedelta = timedelta()
    """The delay of the daily figure's reset after midnight."""
    month: timedelta = timedelta()
    """The delay of the monthly figure's reset after a period's first midnight."""
    period: timedelta | None = timedelta()
    """The delay of the report of the new period; None is never."""
    first_day: int = 1
    """The day of the month on which a period begins."""

    def period_start(self, day: date) -> date:
        """Return the first day of the period that contains a day."""
        if day.day < self.first_day:
            day = day.replace(day=1) - timedelta(days=1)
        return day.replace(day=self.first_day)


@dataclass(kw_only=True)
class World:
    """A spend process, the service that reports it, and Home Assistant.

    Time passes in steps of 30 minutes.
    """

    hass: HomeAssistant
    freezer: FrozenDateTimeFactory
    entry: MockConfigEntry
    simulator: Simulator
    service: Service
    now: datetime = datetime(2026, 8, 30, 20, 0, 20, tzinfo=BILLING_TIME_ZONE)
    spent: Decimal = Decimal(0)
    daily: Decimal = Decimal("3.20")
    monthly: Decimal = Decimal("41.75")

    def spend(self, amount: str) -> None:
        """Spend an amount; a negative amount is a correction."""
        self.spent += Decimal(amount)
        self.daily += Decimal(amount)
        self.monthly += Decimal(amount)
        self.publish()

    def publish(self) -> None:
        """Make the service report the current figures."""
        data = self.simulator.body["data"]
        data |= {"daily_spend": str(self.daily), "monthly_spend": str(self.monthly)}
        data["billing_period"] = None
        if self.service.period is not None:
            start = self.service.period_start((self.now - self.service.period).date())
            data["billing_period"] = {"start": str(start)}

    def pass_time(self, until: str, amount: str = "0") -> Iterator[datetime]:
        """Advance to a time, spending an amount in each step."""
        end = datetime.fromisoformat(until).replace(tzinfo=BILLING_TIME_ZONE)
        service = self.service
        while self.now < end:
            before, self.now = self.now, self.now + STEP
            if (self.now - service.day).date() != (before - service.day).date():
                self.daily = Decimal(0)
            if service.period_start(
                (self.now - service.month).date()
            ) != service.period_start((before - service.month).date()):
                self.monthly = Decimal(0)
            self.spend(amount)
            self.freezer.move_to(self.now)
            yield self.now

    def away(self, until: str, amount: str = "0") -> None:
        """Advance without Home Assistant."""
        for _ in self.pass_time(until, amount):
            pass

    async def live(self, until: str, amount: str = "0") -> None:
        """Advance with polls and statistics."""
        for now in self.pass_time(until, amount):
            async_fire_time_changed(self.hass, now)
            await self.compile()

    async def compile(self) -> None:
        """Compile the statistics of the five minutes that begin now."""
        await self.hass.async_block_till_done(wait_background_tasks=True)
        await async_wait_recording_done(self.hass)
        do_adhoc_statistics(self.hass, start=self.now.replace(second=0).astimezone(UTC))
        await async_wait_recording_done(self.hass)

    async def stop(self) -> None:
        """Unload the account."""
        assert await self.hass.config_entries.async_unload(self.entry.entry_id)
        await self.hass.async_block_till_done()

    async def start(self) -> None:
        """Set up the account."""
        self.freezer.move_to(self.now)
        await setup(self.hass, self.entry)
        await self.compile()

    async def check(self) -> None:
        """Check that the sums of both spend sensors equal the spent amount."""
        assert await self.sums() == {
            "daily_spend": self.spent,
            "monthly_spend": self.spent,
        }

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
    "service",
    [
        pytest.param(Service(), id="in time"),
        pytest.param(
            Service(
                day=timedelta(minutes=30), month=timedelta(minutes=30), period=None
            ),
            id="late, without a billing period",
        ),
    ],
)
async def test_sum_is_what_was_spent(world: World) -> None:
    """Sums are exact across midnights, the month's end, corrections and restarts."""
    simulator = world.simulator
    check = world.check
    world.publish()
    await world.start()

    await world.live("2026-08-30 22:00", "0.21")
    world.spend("-0.04")
    await world.live("2026-08-31 02:00", "0.11")
    await check()

    simulator.fail(Fault.SERVER_ERROR)
    await world.live("2026-08-31 13:00", "0.35")
    simulator.recover()
    await world.live("2026-08-31 18:00", "0.02")
    await check()

    # The end of the month, and a correction by a cent three hours later.
    await world.live("2026-09-01 03:00", "0.05")
    world.spend("-0.01")
    await world.live("2026-09-01 22:00", "0.01")
    await check()

    # A restart across midnight, after which the daily figure is lower.
    await world.stop()
    world.away("2026-09-02 00:30")
    world.away("2026-09-02 01:30", "0.02")
    await world.start()
    await world.live("2026-09-02 06:00", "0.01")
    await check()

    # A restart across midnight, after which the daily figure is higher.
    await world.stop()
    world.away("2026-09-03 00:30")
    world.away("2026-09-03 09:00", "0.40")
    await world.start()
    await world.live("2026-09-03 12:00", "0.10")
    await check()

    # An outage across midnight.
    simulator.fail(Fault.SERVER_ERROR)
    await world.live("2026-09-04 00:30")
    await world.live("2026-09-04 03:00", "0.30")
    simulator.recover()
    await world.live("2026-09-04 04:00", "0.10")
    await check()


@pytest.mark.parametrize(
    "service",
    [
        pytest.param(Service(period=-HOUR), id="period an hour early"),
        pytest.param(Service(period=DAY), id="period a day late"),
        pytest.param(Service(month=-HOUR), id="month an hour early"),
        pytest.param(Service(month=DAY, period=HOUR), id="month a day late"),
        pytest.param(Service(day=2 * HOUR), id="day two hours late"),
        pytest.param(Service(day=-HOUR, month=3 * HOUR), id="day early, month late"),
        pytest.param(
            Service(first_day=27, period=None), id="month on the 27th, unreported"
        ),
    ],
)
async def test_sum_with_figures_that_start_at_times_of_their_own(
    world: World, service: Service
) -> None:
    """The sums are exact with delays, a large refund and a restart during a delay."""
    month = 9 if service.first_day == 1 else 8
    end = datetime(2026, month, service.first_day, tzinfo=BILLING_TIME_ZONE)

    def at(days: int, clock: str) -> str:
        return f"{(end + timedelta(days=days)).date()} {clock}"

    world.now = datetime.fromisoformat(f"{at(-3, '20:00:20')}+08:00")
    world.publish()
    await world.start()

    await world.live(at(-2, "12:00"), "0.21")
    world.spend("-4.30")
    await world.live(at(-1, "22:30"), "0.13")
    await world.live(at(0, "01:00"), "0.05")
    await world.stop()
    await world.start()
    await world.live(at(0, "14:00"), "0.07")
    world.spend("-2.40")
    await world.live(at(1, "02:00"), "0.03")
    await world.live(at(1, "06:00"))
    await world.check()
    assert attributes(world.hass, "daily_spend")["last_reset"] <= world.now.isoformat()


@pytest.fixture
def world(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    service: Service,
) -> World:
    """Return the world before its first step."""
    return World(
        hass=hass, freezer=freezer, entry=entry, simulator=simulator, service=service
    )


@pytest.mark.parametrize(
    ("looks", "since"),
    [
        pytest.param(
            [(0, "0.5", "2026-08-15"), (31, "0.6", "2026-09-01")],
            "2026-09-01T00:00:00+08:00",
            id="the period is reported after the figure",
        ),
        pytest.param(
            [(0, "187.65", "2026-09-01"), (15 * 60, "0.5", "2026-09-01")],
            "2026-09-01T00:00:00+08:00",
            id="the period is reported before the figure",
        ),
        pytest.param(
            [(0, "150.00", "2026-08-15"), (31, "150.00", "2026-08-15")],
            "2026-08-15T00:00:00+08:00",
            id="a refund",
        ),
    ],
)
@pytest.mark.usefixtures("enable_custom_integrations")
async def test_last_reset_of_the_month(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    looks: list[tuple[float, str, str]],
    since: str,
) -> None:
    """`last_reset` is the first midnight of the figure's billing period."""
    freezer.move_to("2026-08-31 23:59:40+08:00")
    data = simulator.body["data"]
    data["billing_period"] = {"start": "2026-08-15", "end": "2026-08-31"}
    await setup(hass, entry)
    for seconds, spend, start in looks:
        data |= {"monthly_spend": spend, "billing_period": {"start": start}}
        await poll(seconds + 31)
    assert attributes(hass, "monthly_spend")["last_reset"] == since


@pytest.mark.usefixtures("account")
async def test_last_reset_of_the_day_moves_with_the_figure(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """`last_reset` moves with the figure, not at midnight or with a correction."""
    moved = []
    for spend, seconds in (
        (12.31, 31),
        (15.00, 3.9 * 3600),
        (15.00, 300),
        (14.96, 60),
        (0.02, 60),
        (0.03, 60),
    ):
        simulator.body["data"]["monthly_spend"] += (
            spend - simulator.body["data"]["daily_spend"] if spend > 1 else spend / 2
        )
        simulator.body["data"]["daily_spend"] = spend
        await poll(seconds)
        moved.append(attributes(hass, "daily_spend")["last_reset"])
    assert moved == [
        *["2026-08-15T00:00:00+08:00"] * 4,
        *["2026-08-16T00:00:00+08:00"] * 2,
    ]
