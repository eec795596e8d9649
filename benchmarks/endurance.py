"""Thirty days of a Home Assistant in minutes: nothing grows, nothing is lost.

A Home Assistant with its recorder runs in virtual time: when nothing is left to do, the
clock leaps to the next timer. Everything else is real: requests go over sockets to the
simulator, timers are those of the integration and Home Assistant, statistics are compiled
every hour, and the database is a file. There are two of them, each in its own process: one
account reports usage, the other reports limits only and has an AccessKey. Each day has
outages of all kinds, models that vanish and return, reloads, other choices of models, and
revised bills.

Money is spent in office hours only. The service reports the spend of today, but not of
yesterday, so statistics lack what could not be read before midnight.
"""

from abc import ABC, abstractmethod
import argparse
import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
import ctypes
from dataclasses import dataclass
from datetime import UTC, date, datetime, time as time_of_day, timedelta
from decimal import Decimal
from functools import partial
import gc
import json
import logging
from pathlib import Path
from random import Random
import resource
import selectors
import sqlite3
import sys
import time
from typing import Any, ClassVar, override
from unittest.mock import patch
from zoneinfo import ZoneInfo

from custom_components.alibaba_cloud.account import Account as CloudAccount
from custom_components.alibaba_cloud.const import CONF_MODELS, CONF_WORKSPACES
from custom_components.alibaba_cloud.failures import (
    LONGEST_BACKOFF,
    REJECTED_KEY_INTERVAL,
)
from custom_components.alibaba_cloud.model_studio import (
    client as quotas_client,
    http,
    openapi,
    telemetry as telemetry_client,
)
from custom_components.alibaba_cloud.owners import statistic_id
from custom_components.alibaba_cloud.sources import SOURCES, Source
from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.statistics import get_last_statistics
from homeassistant.components.recorder.table_managers.state_attributes import CACHE_SIZE
from homeassistant.components.rest import RestData
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.util import dt as dt_util
from tests.simulator import Account, Fault, Simulator
from tests.simulator.account import BILLING_ZONE, TOKENS_PER_USD, WORKSPACE_ID
from tests.simulator.billing import trend
from tests.simulator.server import Service

from .common import (
    CONTEXT,
    DOMAIN,
    Goal,
    access_key,
    add_account,
    home_assistant,
    progress,
    report,
    settled,
)

DAYS = 30
MOST_GROWTH = 0.02

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)

START = datetime(2026, 10, 10, 1, tzinfo=BILLING_ZONE)
"""Within thirty days, a month ends and so does summer time."""
TIME_ZONE = "Europe/Berlin"
END_OF_DAY = time_of_day(1, 12)
"""After midnight, what happened in the night and the statistics of its hour."""
OPENS, CLOSES = 7 * HOUR, 22 * HOUR
STEP = 5 * MINUTE
"""How often the service counts."""

# A nightly purge from the tenth day on would take memory that the first day did not. With
# a commit for each poll, it would take longer.
RECORDER = {"auto_purge": False, "commit_interval": 60}
M_ARENA_MAX = -8
"""As malloc.h has it."""
SQLITE_MEMORY = 2**20
"""Bytes. Each connection would have a cache of 16 MiB that fills within days."""
IN_FLIGHT = 0.02
"""Real seconds to wait for data that was sent over a socket."""
REQUESTS = (
    (quotas_client, "request"),
    (openapi, "request"),
    (telemetry_client, "request"),
    (RestData, "async_update"),
)
"""The functions that send requests: their owner and their name."""
PACKAGES = {"aiohttp", "custom_components", "homeassistant", "tests"}
"""Packages whose modules import functions that return the time."""

HARMLESS = {Fault.NO_MODELS, Fault.WRONG_TYPES, Fault.NOT_FINITE, Fault.HUGE}
OUTAGES = (None, *(fault for fault in Fault if fault not in HARMLESS))
"""Faults that keep a service from being read. None stops the service."""
SLOW = {Fault.HANG, Fault.HANG_BODY, Fault.TRICKLE}

READ_BY: dict[Service, tuple[Source, ...]] = {
    "quotas": (Source.QUOTAS,),
    "prices": (Source.PRICES,),
    "billing": (Source.SPEND, Source.WORKSPACES),
    "balance": (Source.BALANCE,),
    "assets": (Source.ASSETS,),
    "token_plan": (Source.TOKEN_PLAN,),
    "prometheus": (Source.RATES, Source.TOTALS),
}
INTERVAL = {
    service: max(SOURCES[source].interval for source in sources)
    for service, sources in READ_BY.items()
}
SLACK = timedelta(seconds=2 * http.TIMEOUT + 2)
"""A poll that has begun may run into two time-outs."""

type Act = Callable[[], Awaitable[None] | None]
"""Something that happens to an account."""


class VirtualTime:
    """Replaces the clocks of this process.

    It runs like the machine's clock until it is stopped; then it only leaps.
    """

    def __init__(self, start: datetime) -> None:
        """Replace the clocks."""
        self._real = time.monotonic
        self._stands_at: float | None = None
        self._ahead = 0.0
        self._epoch = start.timestamp() - self._real()
        replaced: dict[int, Callable[..., Any]] = {
            id(time.monotonic): self.monotonic,
            id(time.time): self.time,
            id(dt_util.utcnow): self.utcnow,
            id(dt_util.now): self.now,
        }
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in PACKAGES:
                for key, value in list(vars(module).items()):
                    if new := replaced.get(id(value)):
                        setattr(module, key, new)
        time.monotonic, time.time = self.monotonic, self.time

    @property
    def stands_still(self) -> bool:
        """Whether time passes only in leaps."""
        return self._stands_at is not None

    @stands_still.setter
    def stands_still(self, still: bool) -> None:
        now = self.monotonic()
        self._stands_at = now if still else None
        self._ahead = now - self._real()

    def leap(self, seconds: float) -> None:
        """Let time pass."""
        assert self._stands_at is not None
        self._stands_at += seconds

    def monotonic(self) -> float:
        """Return seconds."""
        if self._stands_at is None:
            return self._real() + self._ahead
        return self._stands_at

    def time(self) -> float:
        """Return the seconds of the epoch."""
        return self._epoch + self.monotonic()

    def utcnow(self) -> datetime:
        """Return the date and time."""
        return datetime.fromtimestamp(self.time(), UTC)

    def now(self, time_zone: Any = None) -> datetime:
        """Return the date and time in a time zone."""
        return self.utcnow().astimezone(time_zone or dt_util.get_default_time_zone())


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that leaps to the next timer when nothing else is left to do."""

    def __init__(self, clock: VirtualTime) -> None:
        """Follow a clock."""
        self.clock = clock
        self.recorder: Recorder | None = None
        self._jobs = 0
        self._requests = 0
        self._hanging = False
        """Whether the pending requests are assumed to hang."""
        self._recording = False
        super().__init__(_LeapingSelector(self))

    @override
    def time(self) -> float:
        return self.clock.monotonic()

    @override
    def run_in_executor[*ArgsT, ResultT](
        self,
        executor: Executor | None,
        func: Callable[[*ArgsT], ResultT],
        *args: *ArgsT,
    ) -> asyncio.Future[ResultT]:
        self._jobs += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, _: object) -> None:
        self._jobs -= 1

    @property
    def timers(self) -> int:
        """How many timers are set, without those of idle connections."""
        callbacks = [
            getattr(timer, "_callback", None)
            for timer in vars(self)["_scheduled"]
            if not timer.cancelled()
        ]
        return sum(
            not str(getattr(callback, "__module__", "")).startswith("aiohttp.")
            for callback in callbacks
        )

    def waits(self) -> bool:
        """Return whether a result of a thread or an answer is expected."""
        if self._jobs or self._recording:
            return True
        if self.recorder and self.recorder.backlog:
            return True
        return self._requests > 0 and not self._hanging

    def has_waited(self) -> None:
        """Assume that the pending requests hang, so that time can pass."""
        if not (self._jobs or self._recording):
            self._hanging = True

    def _counted(self, ask: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def request(*args: Any, **kwargs: Any) -> Any:
            self._requests += 1
            self._hanging = False
            try:
                return await ask(*args, **kwargs)
            finally:
                self._requests -= 1
                # Another one may have been sent meanwhile.
                self._hanging = False

        return request

    def watch(self, recorder: Recorder) -> ExitStack:
        """Count the requests of the integration and of `rest`, and watch the recorder."""
        self.recorder = recorder
        stack = ExitStack()
        for owner, name in REQUESTS:
            request = self._counted(getattr(owner, name))
            stack.enter_context(patch.object(owner, name, request))
        name = "_process_one_task_or_event_or_recover"
        process = getattr(Recorder, name)

        def record(recorder: Recorder, task: Any) -> None:
            self._recording = True
            try:
                process(recorder, task)
            finally:
                self._recording = False
                if not recorder.backlog and not self.is_closed():
                    # Wakes the loop.
                    self.call_soon_threadsafe(lambda: None)

        stack.enter_context(patch.object(Recorder, name, record))
        return stack


class _LeapingSelector(selectors.DefaultSelector):
    """Lets time pass instead of waiting."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    @override
    def select(self, timeout: float | None = None) -> list[Any]:
        clock = self._loop.clock
        if not clock.stands_still:
            return super().select(timeout)
        events = super().select(0)
        if events or timeout == 0:
            return events
        while self._loop.waits():
            if events := super().select(IN_FLIGHT):
                return events
            self._loop.has_waited()
        if timeout is None:
            return super().select(None)
        clock.leap(timeout)
        return []


def office_time(now: datetime) -> datetime:
    """Return the time that an account sees, which is a whole day in office hours."""
    now = now.astimezone(BILLING_ZONE)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    open_for = min(max(now - midnight - OPENS, timedelta()), CLOSES - OPENS)
    passed = (open_for // STEP) * STEP / (CLOSES - OPENS)
    return midnight + min(passed * DAY, DAY - timedelta(microseconds=1))


@dataclass(kw_only=True)
class Office(Account):
    """An account that is used in office hours only."""

    def show(self, name: str) -> None:
        """List a model again."""
        self._removed.discard(name)

    def spent_since(self, day: date) -> Decimal:
        """Return what was spent since a day."""
        days = (self.today - day).days + 1
        return sum((self.spend_on(day + n * DAY) for n in range(days)), Decimal())

    def tokens_since(self, start: datetime) -> int:
        """Return the tokens used since a time."""
        used = -int(self.month_worth(start) * TOKENS_PER_USD)
        for _, last in months(start.date(), self.today):
            end = datetime.combine(last, time_of_day.max, BILLING_ZONE)
            used += int(self.month_worth(min(end, self.now)) * TOKENS_PER_USD)
        return used

    def billed_since(self, day: date, until: date) -> dict[str | None, Decimal]:
        """Return the bill of some days by model. The key None is the total."""
        billed: dict[str | None, Decimal] = defaultdict(Decimal)
        for first, last in months(day, until):
            query = {
                "granularity": "DAY",
                "timePeriod": json.dumps({"start": str(first), "end": str(last)}),
                "groupBy": json.dumps([{"code": "BASE_MODEL"}]),
            }
            for group in trend(self, query)["groupByTotal"]:
                for key in (None, group["key"]):
                    billed[key] += Decimal(group["amount"])
        return billed


def months(start: date, end: date) -> Iterator[tuple[date, date]]:
    """Yield the first and last day of each month within a range."""
    while start <= end:
        following = (start.replace(day=1) + 32 * DAY).replace(day=1)
        yield start, min(end, following - DAY)
        start = following


class World(ABC):
    """An account in Home Assistant, and what each day brings."""

    account: ClassVar[dict[str, Any]]
    """Settings of the account."""
    services: ClassVar[tuple[Service, ...]]
    outages_a_day: ClassVar[int]
    outages_last: ClassVar[tuple[int, ...]]
    """Minutes."""

    def __init__(
        self, hass: HomeAssistant, clock: VirtualTime, office: Office, random: Random
    ) -> None:
        """Prepare."""
        self.hass = hass
        self.clock = clock
        self.office = office
        self.simulator = Simulator(account=office)
        self.random = random
        self.entry: ConfigEntry[CloudAccount]
        self.outages = 0
        self.wrong: list[str] = []
        """All that went wrong."""
        self._faults = deal(OUTAGES, random)
        self._services = deal(self.services, random)

    @abstractmethod
    async def set_up(self) -> None:
        """Set up the account."""

    @abstractmethod
    def plan(self) -> Iterator[tuple[float, Act]]:
        """Yield what happens on a day, each with its hour."""

    @abstractmethod
    def statistics(self) -> dict[str, Decimal]:
        """Return what the sum of each statistic must be now."""

    def past_statistics(self) -> dict[str, Decimal]:
        """Return what the sum of each imported statistic must be now."""
        return {}

    async def live(self, day: date) -> None:
        """Let a day pass, up to the end of the night after it."""
        midnight = datetime.combine(day, time_of_day(), BILLING_ZONE)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fail_at_times(midnight))
            for hours, act in self.plan():
                group.create_task(self._at(midnight + hours * HOUR, act))
        await self.until(datetime.combine(day + DAY, END_OF_DAY, BILLING_ZONE))

    async def until(self, moment: datetime) -> None:
        """Let time pass."""
        await asyncio.sleep(moment.timestamp() - self.clock.time())

    async def reload(self) -> None:
        """Reload the account."""
        await self.hass.config_entries.async_reload(self.entry.entry_id)

    async def choose(self, models: Sequence[str]) -> None:
        """Choose other models, as the options do."""
        self.hass.config_entries.async_update_entry(
            self.entry, options={**self.entry.options, CONF_MODELS: list(models)}
        )
        await self.reload()

    def is_well(self, service: Service) -> bool:
        """Return whether the figures of a service are known."""
        if self.entry.state is not ConfigEntryState.LOADED:
            return False
        sources = self.entry.runtime_data.sources
        return all(sources[source].report is not None for source in READ_BY[service])

    def entity_id(self, key: str) -> str:
        """Return the id of an entity."""
        entity_id = er.async_get(self.hass).async_get_entity_id(
            "sensor", DOMAIN, f"{self.entry.entry_id}_{key}"
        )
        assert entity_id, key
        return entity_id

    def cents(self) -> Decimal:
        """Return by how much a bill is revised."""
        return Decimal(self.random.randint(-9, 9)) / 100

    async def _at(self, moment: datetime, act: Act) -> None:
        # Not at a full minute, like everything else.
        await self.until(moment + self.random.uniform(0, 20) * MINUTE)
        if (doing := act()) is not None:
            await doing

    async def _fail_at_times(self, midnight: datetime) -> None:
        """Let services fail some times a day, and in some nights."""
        random = self.random
        await self.until(midnight + 8 * HOUR)
        for _ in range(self.outages_a_day):
            await asyncio.sleep(random.uniform(60, 2400))
            lasts = random.choice(self.outages_last) * MINUTE
            await self._fail((next(self._services),), lasts)
        if random.random() < 0.4:
            # Over midnight, once everything spent has been read.
            await self.until(midnight + CLOSES + 20 * MINUTE)
            await self._fail(self.services, 2.2 * HOUR)

    async def _fail(self, services: Sequence[Service], lasts: timedelta) -> None:
        """Let services fail for a while, and watch how they recover."""
        fault = next(self._faults)
        if fault in SLOW:
            lasts = min(lasts, 10 * MINUTE)
        throttled = fault in {Fault.THROTTLED, Fault.THROTTLING_CODE}
        retry_after = self.random.choice((None, 60, 600)) if throttled else None
        if fault is None:
            services = self.services
            await self.simulator.stop()
        for service in services:
            if fault is not None:
                self.simulator.fail(fault, retry_after=retry_after, at=service)
        started = self.clock.now(BILLING_ZONE)
        await asyncio.sleep(lasts.total_seconds())
        # An outage that ends before the next poll need not be noticed.
        noticed = [
            not self.is_well(service) or lasts < INTERVAL[service] + SLACK
            for service in services
        ]
        if fault is None:
            await self.simulator.start()
        for service in services:
            self.simulator.recover(at=service)
        over = await asyncio.gather(
            *(self._is_over(s, _due(s, fault, retry_after)) for s in services)
        )
        for service, was_noticed, is_over in zip(services, noticed, over, strict=True):
            self.outages += 1
            if not (was_noticed and is_over):
                what = "not noticed" if is_over else "not over in time"
                self.wrong.append(f"{fault} at {service}, {started:%F %T}: {what}")

    async def _is_over(self, service: Service, due: timedelta) -> bool:
        """Wait until a service can be read; return False if that takes too long."""
        end = self.clock.time() + due.total_seconds()
        while not self.is_well(service):
            if self.clock.time() > end:
                return False
            await asyncio.sleep(1)
        return True


class UsageWorld(World):
    """An account that reports usage."""

    account = {"base_spend": 14}
    services = ("quotas", "prices")
    outages_a_day = 5
    outages_last = (2, 10, 30, 90)
    GUESTS = ("qwen-morning", "qwen-noon", "qwen-evening")
    """Models that replace each other. Home Assistant remembers the names of removed models,
    so all of them exist on the first day."""

    @override
    async def set_up(self) -> None:
        for number in range(1, 5):
            self.office.add_model(f"qwen3-variant-{number}", weight=0.01 * number)
        self.entry = await add_account(self.hass, self.simulator.base_url)

    @override
    def plan(self) -> Iterator[tuple[float, Act]]:
        random, office = self.random, self.office
        gone = random.choice([m for m in office.models if m.name not in self.GUESTS])
        few = random.sample([m.name for m in office.models if m is not gone], 5)
        yield 8.5, partial(office.remove_model, gone.name)
        yield 11, lambda: office.models.append(gone)
        yield 12, partial(self.choose, few)
        yield 12.5, self.reload
        yield 14, partial(self.choose, [])
        for number, hour in enumerate((9, 14.5, 17.5)):
            yield hour, partial(self._replace_guest, number)
        yield 17, self._revise

    def _replace_guest(self, number: int) -> None:
        if (before := self.GUESTS[number - 1]) in self.office.model_names:
            self.office.remove_model(before)
        self.office.add_model(self.GUESTS[number], weight=0.02)

    def _revise(self) -> None:
        """Revise today's bill."""
        self.office.correction += self.cents()

    @override
    def statistics(self) -> dict[str, Decimal]:
        spent = self.office.spent_since(START.date())
        tokens = self.office.tokens_since(office_time(START))
        return {
            self.entity_id("daily_spend"): spent,
            self.entity_id("monthly_spend"): spent,
            self.entity_id("tokens_used"): Decimal(tokens),
        }


class LimitsWorld(World):
    """An account that reports limits only, and has an AccessKey."""

    account = {"answer": "limits"}
    services = tuple(READ_BY)
    outages_a_day = 3
    outages_last = (5, 20, 70, 130)
    NOT_BILLED = ("qwen-long", "deepseek-v3")
    """Models without usage."""

    @override
    async def set_up(self) -> None:
        self.late: dict[str | None, Decimal] = defaultdict(Decimal)
        """What was billed after the day was over, by model. The key None is the total."""
        self.entry = await add_account(
            self.hass,
            self.simulator.base_url,
            options={
                CONF_MODELS: [*self.office.model_names[:2], *self.NOT_BILLED],
                CONF_WORKSPACES: [WORKSPACE_ID],
            },
            **access_key(self.simulator),
        )

    @override
    def plan(self) -> Iterator[tuple[float, Act]]:
        random = self.random
        hidden = random.choice(self.NOT_BILLED)
        chosen = list(self.entry.options[CONF_MODELS])
        dropped = random.choice([model for model in chosen if model != hidden])
        yield 9, partial(self.office.remove_model, hidden)
        yield 13, partial(self.choose, [m for m in chosen if m != dropped])
        yield 14.5, self.reload
        yield 15, partial(self.office.show, hidden)
        yield 16, partial(self.choose, chosen)
        yield 17, self._revise

    def _revise(self) -> None:
        """Revise the bill of an earlier day of this month."""
        office, cents = self.office, self.cents()
        day = office.today - self.random.randint(1, 5) * DAY
        if day >= max(START.date(), office.today.replace(day=1)):
            model = self.random.choice(office.model_names)
            office.adjust(day, model, cents)
            for key in (None, model):
                self.late[key] += cents

    @override
    def statistics(self) -> dict[str, Decimal]:
        billed = self.office.billed_since(START.date(), self.office.today)
        sums = {}
        for model in (None, *self.entry.options[CONF_MODELS]):
            key = f"model_{model}_" if model else ""
            sums[self.entity_id(f"{key}monthly_spend")] = billed[model]
            # A bill that comes after its day counts for the month only.
            on_time = billed[model] - self.late[model]
            sums[self.entity_id(f"{key}daily_spend")] = on_time
        return sums

    @override
    def past_statistics(self) -> dict[str, Decimal]:
        office = self.office
        billed = office.billed_since(office.first_day, office.today - DAY)
        return {
            statistic_id(self.entry.entry_id, office.currency, model): billed[model]
            for model in (None, *self.entry.options[CONF_MODELS])
            if model in billed
        }


WORLDS: dict[str, type[World]] = {"usage": UsageWorld, "limits": LimitsWorld}


def deal[ItemT](cards: Sequence[ItemT], random: Random) -> Iterator[ItemT]:
    """Yield all cards in random order, again and again."""
    while True:
        yield from random.sample(cards, len(cards))


def _due(service: Service, fault: Fault | None, retry_after: int | None) -> timedelta:
    """Return how long an outage may be noticed after it has ended."""
    wait = INTERVAL[service]
    if fault in {Fault.UNAUTHORIZED, Fault.FORBIDDEN}:
        wait = max(wait, REJECTED_KEY_INTERVAL)
    elif fault in {Fault.THROTTLED, Fault.BUDGET_EXHAUSTED} or (
        # Prometheus has no such code.
        fault in {Fault.THROTTLING_CODE, Fault.ERROR_EVENT, Fault.FREE_TIER_ONLY}
        and service != "prometheus"
    ):
        wait = LONGEST_BACKOFF
        if retry_after is not None:
            wait = timedelta(seconds=retry_after)
    return wait + SLACK


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Measures at the end of a day."""

    requests: int
    """The requests of this day."""
    memory: float
    """Memory of the process in MiB."""
    counts: dict[str, int]
    """The number of objects that must not pile up, by kind."""


async def sample(hass: HomeAssistant, loop: VirtualLoop, world: World) -> Sample:
    """Check the statistics, and return the measures."""
    await settled(hass)
    requests = len(world.simulator.requests) + len(world.simulator.signed_requests)
    world.simulator.forget()
    world.wrong += await wrong_sums(hass, world.statistics())
    # What Python frees goes back to the system, as far as possible.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return Sample(
        requests=requests, memory=_memory(), counts=_counts(hass, loop, world)
    )


def _memory() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _counts(hass: HomeAssistant, loop: VirtualLoop, world: World) -> dict[str, int]:
    devices, entities = dr.async_get(hass), er.async_get(hass)
    entry_id, account = world.entry.entry_id, world.entry.runtime_data
    coordinators = account.sources.values()
    return {
        # The simulator has a task for each connection that is kept.
        "tasks": sum(
            getattr(task.get_coro(), "__qualname__", "") != "RequestHandler.start"
            for task in asyncio.all_tasks()
        ),
        "listeners": sum(hass.bus.async_listeners().values())
        + sum(len(vars(coordinator)["_listeners"]) for coordinator in coordinators)
        + sum(map(len, vars(vars(account)["_listeners"])["_by_owner"].values())),
        "timers": loop.timers,
        "devices": len(dr.async_entries_for_config_entry(devices, entry_id))
        + len(dr.async_child_entries_for_config_entry(devices, entry_id)),
        "entities": len(er.async_entries_for_config_entry(entities, entry_id)),
    }


async def fill_caches(hass: HomeAssistant) -> None:
    """Fill the caches of the recorder, as a home with more entities does in a day."""
    for number in range(CACHE_SIZE):
        what = {
            "number": number,
            "friendly_name": f"Something else, {number:>150}",
        }
        hass.states.async_set("sensor.house", str(number), what)
        hass.bus.async_fire("something_happened", what)
        if number % 100 == 0:
            await settled(hass)
    hass.states.async_remove("sensor.house")
    await settled(hass)


async def wrong_sums(hass: HomeAssistant, wanted: dict[str, Decimal]) -> list[str]:
    """Return the statistics whose sum is wrong."""

    def last(statistic: str) -> Decimal | None:
        rows = get_last_statistics(hass, 1, statistic, False, {"sum"}).get(statistic)
        return None if not rows else Decimal(str(round(rows[0]["sum"] or 0, 6)))

    wrong = []
    for statistic, right in wanted.items():
        found = await get_instance(hass).async_add_executor_job(last, statistic)
        if found != right:
            wrong.append(f"{statistic} {found}, not {right}")
    return wrong


class Log(logging.Handler):
    """Keeps warnings and errors, except those of outages."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not text.startswith(("Error fetching ", "We found a custom integration ")):
            cause = f": {record.exc_info[1]!r}" if record.exc_info else ""
            self.lines.append(f"{record.levelname} {record.name} {text}{cause}")


@dataclass(frozen=True, kw_only=True)
class Passed:
    """The result for an account."""

    samples: list[Sample]
    outages: int
    wrong: list[str]
    """All that went wrong: statistics, outages, and what was logged without one."""


def live_through(name: str, days: int, seed: int) -> Passed:
    """Let days pass in this process, and return the result for an account."""
    # Each thread would have a heap of its own that never shrinks.
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    # The limit is of the process.
    sqlite3.connect(":memory:").execute(f"PRAGMA soft_heap_limit = {SQLITE_MEMORY}")
    loop = VirtualLoop(VirtualTime(START))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(endure(name, days, seed, loop))


async def endure(name: str, days: int, seed: int, loop: VirtualLoop) -> Passed:
    """Let days pass in Home Assistant, and return the result for an account."""
    kind, clock, log = WORLDS[name], loop.clock, Log()
    logging.getLogger().addHandler(log)
    office = Office(
        clock=lambda: office_time(clock.utcnow()),
        seed=seed,
        history_start=START.date() - 70 * DAY,
        **kind.account,
    )
    dt_util.set_default_time_zone(ZoneInfo(TIME_ZONE))
    async with home_assistant(RECORDER) as hass:
        world = kind(hass, clock, office, Random(f"{name} {seed}"))
        await world.simulator.start()
        with loop.watch(get_instance(hass)):
            await world.set_up()
            await fill_caches(hass)
            # What exists now stays, and need not be collected again and again.
            gc.collect()
            gc.freeze()
            clock.stands_still = True
            samples = []
            for number in range(days):
                day = START.date() + number * DAY
                await world.live(day)
                samples.append(now := await sample(hass, loop, world))
                progress(f"{day} {name}: {now}")
            # Reads the history again, with what was revised last.
            await world.reload()
            await asyncio.sleep(600)
            await settled(hass)
            world.wrong += await wrong_sums(hass, world.past_statistics())
            clock.stands_still = False
        assert await hass.config_entries.async_unload(world.entry.entry_id)
        await world.simulator.stop()
    return Passed(
        samples=samples, outages=world.outages, wrong=[*world.wrong, *log.lines]
    )


def main() -> int:
    """Let days pass and report; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--seed", type=int, default=0, help="of what happens when")
    options = parser.parse_args()
    began = time.perf_counter()
    with ProcessPoolExecutor(len(WORLDS), mp_context=CONTEXT) as pool:
        live = partial(live_through, days=options.days, seed=options.seed)
        accounts = dict(zip(WORLDS, pool.map(live, WORLDS), strict=True))
    minutes = (time.perf_counter() - began) / 60
    rows, goals = [], []
    for name, passed in accounts.items():
        first, last = passed.samples[0], passed.samples[-1]
        growth = last.memory / first.memory - 1
        rows.append(
            [
                name,
                str(len(passed.samples)),
                str(sum(each.requests for each in passed.samples)),
                str(passed.outages),
                f"{first.memory:.1f} -> {last.memory:.1f}",
                ", ".join(f"{number} {what}" for what, number in last.counts.items()),
            ]
        )
        goals += [
            Goal(
                f"{name}: memory within {MOST_GROWTH:.0%} of the first day's",
                f"{growth:+.1%}",
                abs(growth) <= MOST_GROWTH,
            ),
            Goal(
                f"{name}: nothing piles up",
                "; ".join(sorted({str(each.counts) for each in passed.samples})),
                all(each.counts == first.counts for each in passed.samples),
            ),
            Goal(
                f"{name}: statistics are right to the cent, outages are noticed and end, "
                "nothing else is logged",
                "; ".join(passed.wrong[:5]) or f"in {minutes:.1f} minutes",
                not passed.wrong,
            ),
        ]
    columns = ["Account", "Days", "Requests", "Outages", "MiB, first and last day"]
    return report([*columns, "At the end of a day"], rows, goals)


if __name__ == "__main__":
    sys.exit(main())
