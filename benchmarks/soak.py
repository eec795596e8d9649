"""Thirty days of a Home Assistant in minutes: nothing grows, nothing is lost.

A Home Assistant with its recorder runs in a time of its own: where nothing is left to
do, the clock leaps to what is due next. Nothing else is pretended: requests go over
sockets to simulators, timers are the integration's and Home Assistant's own, statistics
are compiled at their hours, and the database is a file. There are two such Home Assistants,
each in a process of its own with an account that is set up in the flow: one reports
usage, the other limits alone, and has an AccessKey. Each day brings outages of all
kinds, models that vanish and return, others in their place, reloads and other choices
of models.

People spend in office hours. The service says how much is spent "today", never how much
was spent yesterday: what nobody could look at before midnight can be in no statistics.
"""

from abc import ABC, abstractmethod
import argparse
import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
import ctypes
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time as time_of_day, timedelta
from decimal import Decimal
from functools import partial
import gc
import json
import logging
from pathlib import Path
from random import Random
import re
import resource
import selectors
import sys
import threading
import time
from typing import Any, ClassVar, override
from unittest.mock import patch
from zoneinfo import ZoneInfo

from sqlalchemy import text

from custom_components.alibaba_cloud.const import CONF_MODELS
from custom_components.alibaba_cloud.coordinator import (
    UPDATE_INTERVAL,
    AlibabaCloudCoordinator,
)
from custom_components.alibaba_cloud.failures import (
    LONGEST_BACKOFF,
    REJECTED_KEY_INTERVAL,
    Status,
)
from custom_components.alibaba_cloud.history import statistic_id
from custom_components.alibaba_cloud.model_studio import (
    billing as billing_client,
    client as quotas_client,
    telemetry as telemetry_client,
    transport,
)
from custom_components.alibaba_cloud.sources import INTERVALS, Source
from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.statistics import get_last_statistics
from homeassistant.components.recorder.table_managers.state_attributes import CACHE_SIZE
from homeassistant.components.recorder.tasks import RecorderTask
from homeassistant.config_entries import SOURCE_USER, ConfigEntry, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import (
    device_registry as dr,
    entity_registry as er,
    issue_registry as ir,
)
from homeassistant.util import dt as dt_util
from tests.simulator import (
    DEFAULT_ACCESS_KEY_ID,
    DEFAULT_ACCESS_KEY_SECRET,
    Account,
    Fault,
    Simulator,
)
from tests.simulator.account import BILLING_ZONE, TOKENS_PER_USD
from tests.simulator.billing import trend
from tests.simulator.server import SERVICES, Service

from .common import (
    API_KEY,
    DOMAIN,
    Goal,
    Result,
    Table,
    arguments,
    home_assistant,
    in_fresh_process,
    progress,
    report,
    settled,
)

DAYS = 30
MOST_GROWTH = 0.02
MOST_MINUTES = 15

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

# By the clock of the bill. A month ends on the way, and summer time.
START = datetime(2026, 10, 10, 1, tzinfo=BILLING_ZONE)
TIME_ZONE = "Europe/Berlin"
END_OF_DAY = time_of_day(1, 12)
"""After midnight, what the night brings, and the statistics of its hour."""

OPENS, CLOSES = 7 * HOUR, 22 * HOUR
STEP = 5 * MINUTE
"""How often the service counts."""

RECORDER = {
    # From the tenth day on it would remove what is older, once a night, and take memory
    # of its own for that which it had not taken on the first day.
    "auto_purge": False,
    # Each poll would have a commit of its own; statistics have one anyway.
    "commit_interval": 60,
}
M_ARENA_MAX = -8
"""As malloc.h has it."""

IN_FLIGHT = 0.02
"""Seconds of the machine that what was sent may take to arrive."""

PACKAGES = {"aiohttp", "custom_components", "homeassistant", "tests"}
"""Where functions that tell the time are replaced, which modules have taken by name."""

# Faults under which a service brings nothing; None is that nobody listens.
OUTAGES: tuple[Fault | None, ...] = (
    None,
    *(
        fault
        for fault in Fault
        # Good answers, as far as they go; and one that takes as long to make up.
        if fault
        not in {Fault.NO_MODELS, Fault.WRONG_TYPES, Fault.NOT_FINITE, Fault.HUGE}
    ),
)
SLOW = {Fault.HANG, Fault.HANG_BODY, Fault.TRICKLE}

INTERVAL: dict[Service, timedelta] = {
    "quotas": UPDATE_INTERVAL,
    "billing": INTERVALS[Source.SPEND],
    "balance": INTERVALS[Source.BALANCE],
    "prometheus": INTERVALS[Source.TOTALS],
}
SOURCES: dict[Service, tuple[Source, ...]] = {
    "quotas": (),
    "billing": (Source.SPEND,),
    "balance": (Source.BALANCE,),
    "prometheus": (Source.RATES, Source.TOTALS),
}

# Of a poll that is under way: a time-out for each of two tries.
SLACK = timedelta(seconds=2 * transport.TIMEOUT + 2)

type Act = Callable[[], Awaitable[None] | None]
"""Something that happens to an account."""

LOGGED = re.compile("Error fetching .* data: ")
"""What an outage has an account say."""


# Time


class VirtualTime:
    """The time that all are told who ask.

    It goes as the machine's, until it is made to stand still but for leaps.
    """

    def __init__(self, start: datetime) -> None:
        """Take the place of the machine's clocks."""
        self._real = time.monotonic
        self._stands_at: float | None = None
        self._ahead = 0.0
        self._epoch = start.timestamp() - self._real()
        replaced: dict[Any, Any] = {
            time.monotonic: self.monotonic,
            time.time: self.time,
            dt_util.utcnow: self.utcnow,
            dt_util.now: self.now,
        }
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] not in PACKAGES:
                continue
            for key, value in list(vars(module).items()):
                if callable(value) and (new := _get(replaced, value)):
                    setattr(module, key, new)
        time.monotonic, time.time = self.monotonic, self.time

    @property
    def stands_still(self) -> bool:
        """Whether there is no time but in leaps."""
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


def _get(replaced: dict[Any, Any], value: Any) -> Any:
    """Return what replaces a value, of which not all can be looked up."""
    try:
        return replaced.get(value)
    except TypeError:
        return None


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that leaps to the next timer, where nothing else is under way."""

    def __init__(self, clock: VirtualTime) -> None:
        """Follow a clock."""
        self.clock = clock
        self.recorder: Recorder | None = None
        self._jobs = 0
        self._asked = 0
        self._answered = 0
        self._waited_for = 0
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
        """How many things are to be done later, but for ends of idle connections."""
        callbacks = [
            getattr(timer, "_callback", None)
            for timer in vars(self)["_scheduled"]
            if not timer.cancelled()
        ]
        return sum(not _is_of_aiohttp(callback) for callback in callbacks)

    def waits(self) -> bool:
        """Tell whether something comes by itself: from a thread, or over a socket."""
        if self._jobs or self._recording:
            return True
        if self.recorder and self.recorder.backlog:
            return True
        return self._asked - self._answered > 0 and self._waited_for != self._asked

    def has_waited(self) -> None:
        """Take it that what was asked hangs, and that time may pass."""
        if not (self._jobs or self._recording):
            self._waited_for = self._asked

    def look_on(self, recorder: Recorder) -> ExitStack:
        """Follow what the recorder does, and the integration's requests."""
        self.recorder = recorder
        stack = ExitStack()

        async def request(*args: Any, **kwargs: Any) -> transport.Answer:
            self._asked += 1
            try:
                return await transport.request(*args, **kwargs)
            finally:
                self._answered += 1
                # Another one may have been asked meanwhile.
                self._waited_for = 0

        for module in (quotas_client, billing_client, telemetry_client):
            stack.enter_context(patch.object(module, "request", request))
        name = "_process_one_task_or_event_or_recover"
        process = getattr(Recorder, name)

        def record(recorder: Recorder, task: Any) -> None:
            self._recording = True
            try:
                process(recorder, task)
            finally:
                self._recording = False
                if not recorder.backlog and not self.is_closed():
                    # Wakes whoever waits for it.
                    self.call_soon_threadsafe(_nothing)

        stack.enter_context(patch.object(Recorder, name, record))
        return stack


def _nothing() -> None:
    """Do nothing."""


def _is_of_aiohttp(function: Any) -> bool:
    """Tell whether a function is one of those that serve or end connections."""
    return (getattr(function, "__module__", None) or "").startswith("aiohttp.")


class _LeapingSelector(selectors.DefaultSelector):
    """Has time pass in place of waiting."""

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


# The accounts


def office_time(now: datetime) -> datetime:
    """Return the time up to which a day is spent: all of it while the office is open."""
    now = now.astimezone(BILLING_ZONE)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    open_for = min(max(now - midnight - OPENS, timedelta()), CLOSES - OPENS)
    passed = (open_for // STEP) * STEP / (CLOSES - OPENS)
    return midnight + min(passed * DAY, DAY - timedelta(microseconds=1))


@dataclass(kw_only=True)
class Office(Account):
    """An account that is used in office hours alone."""

    # What would be worked out anew at each poll.
    known: dict[tuple[date, datetime], float] = field(default_factory=dict, init=False)
    said: dict[Any, dict[str, Any]] = field(default_factory=dict, init=False)

    @override
    def respond(self, query: Mapping[str, str], request_id: str) -> dict[str, Any]:
        key = (
            self.now,
            tuple(query.items()),
            tuple(self.model_names),
            tuple(self._removed),
            self.correction,
        )
        if key not in self.said:
            if len(self.said) > 10:
                self.said.clear()
            self.said[key] = super().respond(query, request_id)
        return self.said[key] | {"request_id": request_id}

    @override
    def _worth(self, day: date, moment: datetime) -> float:
        midnight = datetime.combine(day + DAY, time_of_day(), BILLING_ZONE)
        key = day, min(moment, midnight)
        if key not in self.known:
            if len(self.known) > 500:
                self.known.clear()
            self.known[key] = super()._worth(*key)
        return self.known[key]

    def hide(self, name: str) -> None:
        """Have a model stand in no list of limits."""
        self._removed.add(name)

    def show(self, name: str) -> None:
        """List a model again."""
        self._removed.discard(name)

    def spent_since(self, day: date) -> Decimal:
        """Return what was spent from a day on."""
        days = (self.today - day).days + 1
        return sum((self.spend_on(day + n * DAY) for n in range(days)), Decimal())

    def tokens_since(self, start: datetime) -> int:
        """Return the tokens used from a time on."""
        used = -int(self.month_worth(start) * TOKENS_PER_USD)
        for first, last in months(start.date(), self.today):
            del first
            end = datetime.combine(last, time_of_day.max, BILLING_ZONE)
            used += int(self.month_worth(min(end, self.now)) * TOKENS_PER_USD)
        return used

    def billed_since(self, day: date, until: date) -> dict[str, Decimal]:
        """Return what is billed for each model, from one day to another."""
        billed: dict[str, Decimal] = defaultdict(Decimal)
        for first, last in months(day, until):
            query = {
                "granularity": "DAY",
                "timePeriod": json.dumps({"start": str(first), "end": str(last)}),
                "groupBy": json.dumps([{"code": "BASE_MODEL"}]),
            }
            for group in trend(self, query)["groupByTotal"]:
                billed[group["key"]] += Decimal(group["amount"])
        return billed


def months(start: date, end: date) -> Iterator[tuple[date, date]]:
    """Yield the first and last day of each month, or of what is asked of it."""
    while start <= end:
        following = (start.replace(day=1) + 32 * DAY).replace(day=1)
        yield start, min(end, following - DAY)
        start = following


# What happens


class Subject:
    """An account in Home Assistant, and what is known of it outside."""

    def __init__(self, hass: HomeAssistant, simulator: Simulator) -> None:
        """Look at a service, whose account is not set up yet."""
        self.hass = hass
        self.simulator = simulator
        assert isinstance(simulator.account, Office)
        self.account = simulator.account
        self.entry: ConfigEntry[AlibabaCloudCoordinator]
        self.late: dict[str, Decimal] = defaultdict(Decimal)
        """What was billed for each model on days that were over."""
        self.requests = 0

    async def set_up(self, *steps: dict[str, Any]) -> None:
        """Set it up, as a user who fills in these forms."""
        flows = self.hass.config_entries.flow
        step = await flows.async_init(DOMAIN, context={"source": SOURCE_USER})
        for data in steps:
            step = await flows.async_configure(step["flow_id"], data)
        assert step["type"] is FlowResultType.CREATE_ENTRY, step
        self.entry = step["result"]
        await settled(self.hass)

    async def choose(self, pick: Callable[[list[str]], Sequence[str]]) -> None:
        """Choose other models, as soon as there are any to choose from."""
        flows = self.hass.config_entries.options
        while True:
            menu = await flows.async_init(self.entry.entry_id)
            step = await flows.async_configure(
                menu["flow_id"], {"next_step_id": "models"}
            )
            if step["type"] is FlowResultType.FORM:
                break
            # A user comes back later.
            await asyncio.sleep(600)
        account = self.entry.runtime_data.data
        assert account
        models = pick(list(account.models))
        await flows.async_configure(step["flow_id"], {CONF_MODELS: list(models)})

    async def reload(self) -> None:
        """Reload it."""
        await self.hass.config_entries.async_reload(self.entry.entry_id)

    def is_well(self, service: Service) -> bool:
        """Tell whether what a service brings is there."""
        if self.entry.state is not ConfigEntryState.LOADED:
            return False
        coordinator = self.entry.runtime_data
        if service == "quotas":
            return coordinator.status is Status.OK
        sources = [coordinator.sources[source] for source in SOURCES[service]]
        return all(source.report is not None for source in sources)

    def statistics(self) -> dict[str, Decimal]:
        """Return what the sum of each statistic has to be by now."""
        start, account = START.date(), self.account
        if self.entry.runtime_data.clients is None:
            spent = account.spent_since(start)
            return {
                self._entity_id("daily_spend"): spent,
                self._entity_id("monthly_spend"): spent,
                self._entity_id("tokens_used"): Decimal(
                    account.tokens_since(office_time(START))
                ),
            }
        billed = account.billed_since(start, account.today)
        chosen = self.entry.options[CONF_MODELS]
        # The bill of a day that is over counts for the month alone.
        monthly: dict[str | None, Decimal] = {None: sum(billed.values(), Decimal())}
        monthly |= {model: billed.get(model, Decimal()) for model in chosen}
        sums = {}
        for model, amount in monthly.items():
            key = "" if model is None else f"model_{model}_"
            late = [self.late[model]] if model else list(self.late.values())
            sums[self._entity_id(f"{key}monthly_spend")] = amount
            sums[self._entity_id(f"{key}daily_spend")] = amount - sum(late, Decimal())
        return sums

    def past_statistics(self) -> dict[str, Decimal]:
        """Return what the sums of the statistics of the past have to be."""
        if self.entry.runtime_data.clients is None:
            return {}
        account = self.account
        billed = account.billed_since(account.first_day, account.today - DAY)
        amounts: dict[str | None, Decimal] = {None: sum(billed.values(), Decimal())}
        amounts |= {
            model: billed[model]
            for model in self.entry.options[CONF_MODELS]
            if model in billed
        }
        return {
            statistic_id(self.entry.entry_id, account.currency, model): amount
            for model, amount in amounts.items()
        }

    def _entity_id(self, key: str) -> str:
        entity_id = er.async_get(self.hass).async_get_entity_id(
            "sensor", DOMAIN, f"{self.entry.entry_id}_{key}"
        )
        assert entity_id, key
        return entity_id

    def forget_requests(self) -> None:
        """Count the requests, which the simulator keeps."""
        self.requests += len(self.simulator.requests)
        self.simulator.forget()


@dataclass(frozen=True, kw_only=True)
class Outage:
    """What went wrong for a while, and how it ended."""

    service: str
    fault: str
    started: str
    minutes: float
    noticed: bool
    over_after: float | None
    """Seconds after the service was well again; None is not within what is due."""
    due: float
    """Seconds within which it had to be over."""


class Deck[ItemT]:
    """Deals each card once before any comes again."""

    def __init__(self, cards: Sequence[ItemT], random: Random) -> None:
        """Shuffle."""
        self._cards = cards
        self._random = random
        self._left: list[ItemT] = []

    def draw(self) -> ItemT:
        """Return the next."""
        if not self._left:
            self._left = self._random.sample(self._cards, len(self._cards))
        return self._left.pop()


class World(ABC):
    """An account, and what each day brings it."""

    name: ClassVar[str]
    account: ClassVar[dict[str, Any]]
    """What kind of account it is."""
    services: ClassVar[tuple[Service, ...]]
    """What it is read from."""
    outages_a_day: ClassVar[int]
    outages_last: ClassVar[tuple[int, ...]]
    """Minutes."""

    def __init__(self, clock: VirtualTime, subject: Subject, random: Random) -> None:
        """Prepare."""
        self.clock = clock
        self.subject = subject
        self.outages: list[Outage] = []
        self.changes = Counter[str]()
        self.random = random
        self._faults = Deck(OUTAGES, random)
        self._services = Deck(self.services, random)

    @abstractmethod
    async def set_up(self) -> None:
        """Set the account up."""

    @abstractmethod
    def plan(self) -> Iterator[tuple[float, str, Act]]:
        """Yield what is done on a day: at what hour, what it is, and the act."""

    async def live(self, day: date) -> None:
        """Go through a day, up to the end of the night that follows it."""
        midnight = datetime.combine(day, time_of_day(), BILLING_ZONE)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._outages(midnight))
            for hours, name, act in self.plan():
                group.create_task(self._at(midnight + hours * HOUR, name, act))
        await self.until(datetime.combine(day + DAY, END_OF_DAY, BILLING_ZONE))

    async def until(self, moment: datetime) -> None:
        """Let time pass."""
        await asyncio.sleep(moment.timestamp() - self.clock.time())

    async def _at(self, moment: datetime, name: str, act: Act) -> None:
        # Not at the full minute, as whatever else happens.
        await self.until(moment + self.random.uniform(0, 20) * MINUTE)
        self.changes[name] += 1
        if (doing := act()) is not None:
            await doing

    async def _outages(self, midnight: datetime) -> None:
        """Have one of the services fail some times a day, and in some nights."""
        random = self.random
        await self.until(midnight + 8 * HOUR)
        for _ in range(self.outages_a_day):
            await asyncio.sleep(random.uniform(60, 2400))
            lasts = random.choice(self.outages_last) * MINUTE
            await self._fail((self._services.draw(),), lasts)
        if random.random() < 0.4:
            # Over midnight, or not, once all that was spent has been read.
            await self.until(midnight + CLOSES + 20 * MINUTE)
            await self._fail(self.services, 2.2 * HOUR)

    async def _fail(self, services: Sequence[Service], lasts: timedelta) -> None:
        """Have services fail for a while, then see what becomes of it."""
        subject = self.subject
        fault = self._faults.draw()
        if fault in SLOW:
            lasts = min(lasts, 10 * MINUTE)
        if fault is None:
            services = self.services
        throttled = fault in {Fault.THROTTLED, Fault.THROTTLING_CODE}
        retry_after = self.random.choice((None, 60, 600)) if throttled else None
        started = self.clock.now(BILLING_ZONE)
        if fault is None:
            await subject.simulator.stop()
        else:
            for service in services:
                subject.simulator.fail(fault, retry_after=retry_after, at=service)
        await asyncio.sleep(lasts.total_seconds())
        noticed = {service: not subject.is_well(service) for service in services}
        if fault is None:
            await subject.simulator.start()
        else:
            for service in services:
                subject.simulator.recover(at=service)
        for service, over_after in zip(
            services,
            await asyncio.gather(
                *(
                    self._over_after(service, _due(service, fault, retry_after))
                    for service in services
                )
            ),
            strict=True,
        ):
            self.outages.append(
                Outage(
                    service=service,
                    fault=fault or "nobody listens",
                    started=f"{started:%F %T}",
                    minutes=lasts / MINUTE,
                    # What ends before it is looked at need not be.
                    noticed=noticed[service] or lasts < INTERVAL[service] + SLACK,
                    over_after=over_after,
                    due=_due(service, fault, retry_after).total_seconds(),
                )
            )

    async def _over_after(self, service: Service, due: timedelta) -> float | None:
        """Return after how many seconds all is well; None if that is not in time."""
        recovered = self.clock.time()
        while not self.subject.is_well(service):
            if self.clock.time() > recovered + due.total_seconds():
                return None
            await asyncio.sleep(1)
        return self.clock.time() - recovered


class UsageWorld(World):
    """An account that reports usage."""

    name = "usage"
    account = {"base_spend": 14}
    services = ("quotas",)
    outages_a_day = 5
    outages_last = (2, 10, 30, 90)

    VARIANTS = 4
    GUESTS = ("qwen-morning", "qwen-noon", "qwen-evening")
    """Models that take turns. Of each that it has ever seen, Home Assistant remembers
    some for 30 days: it has seen all of them after the first."""

    @override
    async def set_up(self) -> None:
        for number in range(1, self.VARIANTS + 1):
            self.subject.account.add_model(
                f"qwen3-variant-{number}", weight=0.01 * number
            )
        await self.subject.set_up(
            {"api_key": API_KEY, "base_url": self.subject.simulator.base_url}
        )

    @override
    def plan(self) -> Iterator[tuple[float, str, Act]]:
        random, subject = self.random, self.subject
        account = subject.account
        gone = random.choice([m for m in account.models if m.name not in self.GUESTS])
        yield 8.5, "vanished", partial(account.remove_model, gone.name)
        yield 11, "returned", lambda: account.models.append(gone)
        yield 12, "chosen", partial(subject.choose, partial(random.sample, k=5))
        yield 12.5, "reloaded", subject.reload
        yield 14, "chosen", partial(subject.choose, lambda _: [])
        for number, hour in enumerate((9, 14.5, 17.5)):
            yield hour, "new", partial(self._take_turns, number)
        yield 17, "revised", self._revise

    def _take_turns(self, number: int) -> None:
        """Have another model in the place of the one before."""
        names = {model.name for model in self.subject.account.models}
        if (before := self.GUESTS[number - 1]) in names:
            self.subject.account.remove_model(before)
        self.subject.account.add_model(self.GUESTS[number], weight=0.02)

    def _revise(self) -> None:
        """Revise today's bill by a few cents."""
        self.subject.account.correction += _cents(self.random)


class LimitsWorld(World):
    """An account that reports limits alone, and has an AccessKey."""

    name = "limits"
    account = {"answer": "limits"}
    services = SERVICES
    outages_a_day = 3
    outages_last = (5, 20, 70, 130)

    NOT_BILLED = ("qwen-long", "deepseek-v3")
    """Models of which the account knows limits and no more."""

    @override
    async def set_up(self) -> None:
        simulator = self.subject.simulator
        await self.subject.set_up(
            {"api_key": API_KEY, "base_url": simulator.base_url},
            {
                "access_key_id": DEFAULT_ACCESS_KEY_ID,
                "access_key_secret": DEFAULT_ACCESS_KEY_SECRET,
                "region": "cn-beijing",
                "endpoints": {
                    "billing_endpoint": simulator.openapi_url,
                    "balance_endpoint": simulator.openapi_url,
                    "prometheus_url": simulator.prometheus_url,
                },
            },
            {CONF_MODELS: [*self.subject.account.model_names[:2], *self.NOT_BILLED]},
        )

    @override
    def plan(self) -> Iterator[tuple[float, str, Act]]:
        random, subject = self.random, self.subject
        hidden = random.choice(self.NOT_BILLED)
        chosen = list(subject.entry.options[CONF_MODELS])
        dropped = random.choice([model for model in chosen if model != hidden])
        fewer = [model for model in chosen if model != dropped]
        yield 9, "vanished", partial(subject.account.hide, hidden)
        yield 13, "chosen", partial(subject.choose, lambda _: fewer)
        yield 14.5, "reloaded", subject.reload
        yield 15, "returned", partial(subject.account.show, hidden)
        yield 16, "chosen", partial(subject.choose, lambda _: chosen)
        yield 17, "revised", self._revise

    def _revise(self) -> None:
        """Revise the bill of a day of this month by a few cents."""
        random, account, cents = self.random, self.subject.account, _cents(self.random)
        day = account.today - random.randint(1, 5) * DAY
        if day >= max(START.date(), account.today.replace(day=1)):
            model = random.choice(account.model_names)
            account.adjust(day, model, cents)
            self.subject.late[model] += cents


WORLDS: dict[str, type[World]] = {
    world.name: world for world in (UsageWorld, LimitsWorld)
}


def _cents(random: Random) -> Decimal:
    return Decimal(random.randint(-9, 9)) / 100


def _due(service: Service, fault: Fault | None, retry_after: int | None) -> timedelta:
    """Return after what time an outage has to be over."""
    wait = INTERVAL[service]
    if fault in {Fault.UNAUTHORIZED, Fault.FORBIDDEN}:
        wait = max(wait, REJECTED_KEY_INTERVAL)
    elif fault is Fault.THROTTLED or (
        # Prometheus has no code for it.
        fault in {Fault.THROTTLING_CODE, Fault.FREE_TIER_ONLY}
        and service != "prometheus"
    ):
        wait = LONGEST_BACKOFF
        if retry_after is not None:
            wait = timedelta(seconds=retry_after)
    return wait + SLACK


# What is looked at


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What there is at the end of a day."""

    day: str
    polls: int
    """And all else that was asked of the account's services, up to now."""
    memory: int
    """Bytes that the process holds."""
    blocks: int
    """Blocks that Python has allocated."""
    tasks: int
    listeners: int
    timers: int
    devices: int
    entities: int
    threads: int
    files: int
    issues: int
    flows: int
    wrong: list[str]
    """Statistics with another sum than is right."""
    seconds: float
    """Of the machine, since the beginning."""
    cpu: float
    """Seconds of a core."""


COUNTS = ("tasks", "listeners", "timers", "devices", "entities")
"""What is to be as many each day."""


class _Shrink(RecorderTask):
    """Has SQLite give back what it keeps for the connection of the thread."""

    @override
    def run(self, instance: Recorder) -> None:
        with instance.get_session() as session:
            session.execute(text("PRAGMA shrink_memory"))


async def _shrink(instance: Recorder) -> None:
    """Have SQLite do so for all connections: it keeps up to 16 MiB for each.

    Each thread of the recorder has one. They are made when several are needed at once,
    which some day they are: here all of them are there from the first day on.
    """
    instance.queue_task(_Shrink())
    threads = vars(instance)["_db_executor"]._max_workers  # noqa: SLF001
    together = threading.Barrier(threads)

    def shrink() -> None:
        # Each thread has a connection of its own, and gets one of these.
        together.wait()
        _Shrink().run(instance)

    await asyncio.gather(
        *(instance.async_add_executor_job(shrink) for _ in range(threads))
    )


async def sample(
    hass: HomeAssistant, loop: VirtualLoop, subject: Subject, began: float
) -> Sample:
    """Look at everything."""
    await settled(hass)
    subject.forget_requests()
    wrong = await wrong_sums(hass, subject.statistics())
    await _shrink(get_instance(hass))
    await settled(hass)
    # What a collection frees is given back to the system, as far as it can be.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return Sample(
        day=f"{loop.clock.now(BILLING_ZONE) - DAY:%F}",
        polls=subject.requests,
        memory=_memory(),
        blocks=sys.getallocatedblocks(),
        **_counts(hass, loop, subject),
        wrong=wrong,
        seconds=time.perf_counter() - began,
        cpu=time.process_time(),
    )


async def fill_caches(hass: HomeAssistant) -> None:
    """Have the recorder remember as many attributes and events as it ever does.

    In a house that has more than an account, its caches are full after the first day.
    """
    for number in range(CACHE_SIZE):
        what = {
            "number": number,
            "friendly_name": f"Something of a house, {number:>150}",
        }
        hass.states.async_set("sensor.house", str(number), what)
        hass.bus.async_fire("something_happened", what)
        if number % 100 == 0:
            await settled(hass)
    hass.states.async_remove("sensor.house")
    await settled(hass)


def _counts(hass: HomeAssistant, loop: VirtualLoop, subject: Subject) -> dict[str, int]:
    """Return how many there are of what can be left over."""
    devices, entities = dr.async_get(hass), er.async_get(hass)
    entry_id, account = subject.entry.entry_id, subject.entry.runtime_data
    coordinators = [account, *account.sources.values()]
    return {
        # The simulators have one for each connection that is kept for the next request.
        "tasks": sum(
            getattr(task.get_coro(), "__qualname__", "") != "RequestHandler.start"
            for task in asyncio.all_tasks()
        ),
        "listeners": sum(hass.bus.async_listeners().values())
        + sum(len(vars(coordinator)["_listeners"]) for coordinator in coordinators),
        "timers": loop.timers,
        "devices": len(dr.async_entries_for_config_entry(devices, entry_id))
        + len(dr.async_child_entries_for_config_entry(devices, entry_id)),
        "entities": len(er.async_entries_for_config_entry(entities, entry_id)),
        "threads": threading.active_count(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "issues": sum(issue.active for issue in ir.async_get(hass).issues.values()),
        "flows": len(hass.config_entries.flow.async_progress()),
    }


def _memory() -> int:
    """Return the bytes that the process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def wrong_sums(hass: HomeAssistant, wanted: dict[str, Decimal]) -> list[str]:
    """Return which statistics say something else than they should."""

    def last(statistic: str) -> Decimal | None:
        rows = get_last_statistics(hass, 1, statistic, False, {"sum"}).get(statistic)
        return None if not rows else Decimal(str(round(rows[0]["sum"] or 0, 6)))

    wrong = []
    for statistic, right in wanted.items():
        said = await get_instance(hass).async_add_executor_job(last, statistic)
        if said != right:
            wrong.append(f"{statistic} {said}, not {right}")
    return wrong


class Log(logging.Handler):
    """Keeps what is logged as a warning or worse."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        super().__init__(logging.WARNING)
        self.expected = 0
        self.unexpected: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name.startswith("custom_components.") and LOGGED.match(text):
            self.expected += 1
        elif not text.startswith("We found a custom integration "):
            cause = f": {record.exc_info[1]!r}" if record.exc_info else ""
            self.unexpected.append(f"{record.levelname} {record.name} {text}{cause}")


# All of it


@dataclass(frozen=True, kw_only=True)
class Passed:
    """What became of an account."""

    samples: list[Sample]
    outages: list[Outage]
    changes: dict[str, int]
    wrong: list[str]
    """Statistics with another sum than is right, at any time."""
    expected: int
    """Lines in the log that outages bring."""
    unexpected: list[str]
    """Other lines that are warnings or worse."""

    @property
    def growth(self) -> float:
        """How much more memory there is at the end than after the first day."""
        return self.samples[-1].memory / self.samples[0].memory - 1

    @property
    def uneven(self) -> dict[str, list[int]]:
        """What there is not as much of after each day."""
        counts = {name: {getattr(s, name) for s in self.samples} for name in COUNTS}
        return {name: sorted(count) for name, count in counts.items() if len(count) > 1}

    @property
    def bad(self) -> int:
        """How many outages were not noticed, or not over when they should."""
        return sum(not o.noticed or o.over_after is None for o in self.outages)


def live_through(name: str, days: int, seed: int) -> Passed:
    """Let days pass, in a process that has nothing else to do."""
    # Each thread would have a heap of its own, and each keep what it had at most.
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    loop = VirtualLoop(VirtualTime(START))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(soak(WORLDS[name], days, seed, loop))


async def soak(kind: type[World], days: int, seed: int, loop: VirtualLoop) -> Passed:
    """Let the days pass; return what became of the account."""
    began = time.perf_counter()
    clock, log = loop.clock, Log()
    logging.getLogger().addHandler(log)
    office = Office(
        clock=lambda: office_time(clock.utcnow()),
        seed=seed,
        history_start=START.date() - 70 * DAY,
        **kind.account,
    )
    dt_util.set_default_time_zone(ZoneInfo(TIME_ZONE))
    async with home_assistant(RECORDER) as hass, Simulator(account=office) as simulator:
        subject = Subject(hass, simulator)
        world = kind(clock, subject, Random(f"{kind.name} {seed}"))
        with loop.look_on(get_instance(hass)):
            await world.set_up()
            await fill_caches(hass)
            # What is there now stays, and need not be looked through again and again.
            gc.collect()
            gc.freeze()
            clock.stands_still = True
            samples = []
            for number in range(days):
                await world.live(START.date() + number * DAY)
                samples.append(await sample(hass, loop, subject, began))
                progress(_line(samples[-1], world))
            # What was revised last is written to the past when that is read again.
            await subject.reload()
            await asyncio.sleep(600)
            await settled(hass)
            wrong = await wrong_sums(hass, subject.past_statistics())
            clock.stands_still = False
        assert await hass.config_entries.async_unload(subject.entry.entry_id)
    return Passed(
        samples=samples,
        outages=world.outages,
        changes=dict(world.changes),
        wrong=[*(text for sample in samples for text in sample.wrong), *wrong],
        expected=log.expected,
        unexpected=log.unexpected,
    )


def _line(sample: Sample, world: World) -> str:
    """Return a day in a line."""
    outages = len(world.outages)
    counts = ", ".join(f"{getattr(sample, name)} {name}" for name in COUNTS)
    return (
        f"{sample.day} {world.name}: {sample.memory / 2**20:.1f} MiB,"
        f" {sample.blocks} blocks, {counts}, {sample.polls} polls, {outages} outages,"
        f" {len(sample.wrong)} sums wrong, {sample.seconds:.0f} s, {sample.cpu:.0f} s CPU"
    )


def result(accounts: dict[str, Passed], seconds: float) -> Result:
    """Return what came of it."""
    uneven = {name: found for name, p in accounts.items() if (found := p.uneven)}
    wrong = [text for passed in accounts.values() for text in passed.wrong]
    unexpected = [text for passed in accounts.values() for text in passed.unexpected]
    outages = [outage for passed in accounts.values() for outage in passed.outages]
    bad = sum(passed.bad for passed in accounts.values())
    goals = [
        Goal(
            f"Memory at the end within {MOST_GROWTH:.0%} of that after the first day",
            "; ".join(
                f"{name}: {passed.samples[0].memory / 2**20:.1f}"
                f" -> {passed.samples[-1].memory / 2**20:.1f} MiB ({passed.growth:+.1%})"
                for name, passed in accounts.items()
            ),
            all(abs(passed.growth) <= MOST_GROWTH for passed in accounts.values()),
        ),
        Goal(
            f"As many {', '.join(COUNTS)} after each day",
            "; ".join(
                f"{name}: {uneven.get(name) or _counted(passed.samples[0])}"
                for name, passed in accounts.items()
            ),
            not uneven,
        ),
        Goal(
            "Statistics add up to what was spent, each day",
            "; ".join(wrong[:5]) or "to the cent",
            not wrong,
        ),
        Goal(
            "Every outage noticed, and over when it can be",
            f"{len(outages) - bad} of {len(outages)}",
            not bad,
        ),
        Goal(
            "Nothing in the log but the outages",
            "; ".join(unexpected[:5])
            or f"{sum(passed.expected for passed in accounts.values())} lines",
            not unexpected,
        ),
    ]
    days = max(len(passed.samples) for passed in accounts.values())
    cpu = sum(passed.samples[-1].cpu for passed in accounts.values())
    if days == DAYS:
        goals.append(
            Goal(
                f"{DAYS} days in {MOST_MINUTES} minutes",
                f"{seconds / 60:.1f} minutes, of two cores {cpu / 60:.1f}",
                seconds < MOST_MINUTES * 60,
            )
        )
    return Result(
        name="soak",
        goals=goals,
        tables=[
            *(_days(name, passed.samples) for name, passed in accounts.items()),
            _outages(outages),
        ],
        notes=[
            f"{name}: " + ", ".join(f"{n} {what}" for what, n in passed.changes.items())
            for name, passed in accounts.items()
        ],
        figures={
            "days": days,
            "seconds": seconds,
            "accounts": {name: asdict(passed) for name, passed in accounts.items()},
        },
    )


def _counted(sample: Sample) -> str:
    return ", ".join(str(getattr(sample, name)) for name in COUNTS)


def _days(name: str, samples: Sequence[Sample]) -> Table:
    """Return what there is after each day."""
    columns = ["polls", "blocks", *COUNTS, "threads", "files", "issues", "flows"]
    return Table(
        f"After each day: {name}",
        ["Day", "Memory (MiB)", *(c.capitalize() for c in columns), "Seconds"],
        [
            [
                sample.day,
                f"{sample.memory / 2**20:.1f}",
                *(str(getattr(sample, column)) for column in columns),
                f"{sample.seconds:.0f}",
            ]
            for sample in samples
        ],
    )


def _outages(outages: Sequence[Outage]) -> Table:
    """Return the outages by what they were."""
    kinds: dict[tuple[str, str], list[Outage]] = defaultdict(list)
    for outage in outages:
        kinds[outage.service, outage.fault].append(outage)
    return Table(
        "Outages",
        ["Service", "Fault", "Times", "Hours", "Over after (s, at most)", "Due (s)"],
        [
            [
                service,
                fault,
                str(len(those)),
                f"{sum(outage.minutes for outage in those) / 60:.1f}",
                "never"
                if any(outage.over_after is None for outage in those)
                else f"{max(outage.over_after or 0 for outage in those):.0f}",
                f"{max(outage.due for outage in those):.0f}",
            ]
            for (service, fault), those in sorted(kinds.items())
        ],
    )


def main() -> int:
    """Return the exit status."""
    options = arguments(__doc__, _add_options)
    began = time.perf_counter()

    def live(name: str) -> Passed:
        return in_fresh_process(live_through, name, options.days, options.seed)

    with ThreadPoolExecutor() as pool:
        accounts = dict(zip(WORLDS, pool.map(live, WORLDS), strict=True))
    found = result(accounts, time.perf_counter() - began)
    report(found, options.json)
    return int(not all(goal.met for goal in found.goals))


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", type=int, default=DAYS, help=f"(default: {DAYS})")
    parser.add_argument("--seed", type=int, default=0, help="of what happens when")


if __name__ == "__main__":
    sys.exit(main())
