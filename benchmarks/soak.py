"""Thirty days of a Home Assistant in minutes: nothing grows, nothing is lost.

A Home Assistant with its recorder runs in a time of its own: where nothing is left to
do, the clock leaps to what is due next. Nothing else is pretended: requests go over
sockets to simulators, timers are the integration's and Home Assistant's own, statistics
are compiled at their hours, and the database is a file. Two accounts are set up in the
flow: one that reports usage, and one that reports limits alone and has an AccessKey.
Each day brings outages of all kinds, models that vanish and return, others in their
place, reloads and other choices of models.

People spend in office hours. The service says how much is spent "today", never how much
was spent yesterday: what nobody could look at before midnight can be in no statistics.
"""

import argparse
import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
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
from typing import Any, override
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

LIMITS_KEY = "sk-simulator-limits"
NOT_BILLED = ("qwen-long", "deepseek-v3")
"""Models of which an account knows limits and no more."""

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
        self.simulator.requests.clear()
        self.simulator.signed_requests.clear()


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


class World:
    """Both accounts, and what each day brings them."""

    def __init__(
        self, clock: VirtualTime, usage: Subject, limits: Subject, random: Random
    ) -> None:
        """Prepare."""
        self.clock = clock
        self.usage = usage
        self.limits = limits
        self.outages: list[Outage] = []
        self.changes = Counter[str]()
        self._random = random
        self._faults = {s: Deck(OUTAGES, random) for s in ("usage", "limits")}
        self._services = Deck(SERVICES, random)
        self._newcomer = ""

    async def live(self, day: date) -> None:
        """Go through a day, up to the end of the night that follows it."""
        midnight = datetime.combine(day, time_of_day(), BILLING_ZONE)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._usage_outages(midnight))
            group.create_task(self._limits_outages(midnight))
            for hours, act in self._plan(day):
                group.create_task(self._at(midnight + hours * HOUR, act))
        await self.until(datetime.combine(day + DAY, END_OF_DAY, BILLING_ZONE))

    async def until(self, moment: datetime) -> None:
        """Let time pass."""
        await asyncio.sleep(moment.timestamp() - self.clock.time())

    async def _at(
        self, moment: datetime, act: Callable[[], Awaitable[None] | None]
    ) -> None:
        # Not at the full minute, as whatever else happens.
        await self.until(moment + self._random.uniform(0, 20) * MINUTE)
        if (doing := act()) is not None:
            await doing

    def _plan(
        self, day: date
    ) -> Iterator[tuple[float, Callable[[], Awaitable[None] | None]]]:
        """Yield what is done on a day, and at what hour."""
        random, usage, limits = self._random, self.usage, self.limits
        counted = self._counted
        gone = random.choice(
            [m for m in usage.account.models if m.name != self._newcomer]
        )
        hidden = random.choice(NOT_BILLED)
        chosen = list(limits.entry.options[CONF_MODELS])
        dropped = random.choice([model for model in chosen if model != hidden])
        yield 8.5, counted("vanished", partial(usage.account.remove_model, gone.name))
        yield 9, counted("vanished", partial(limits.account.hide, hidden))
        yield 11, counted("returned", lambda: usage.account.models.append(gone))
        yield 11, counted("new", partial(self._take_turns, f"qwen-{day:%a}".lower()))
        yield 12, counted("chosen", partial(usage.choose, partial(random.sample, k=5)))
        yield 12.5, counted("reloaded", usage.reload)
        yield (
            13,
            counted(
                "chosen",
                partial(limits.choose, lambda _: [m for m in chosen if m != dropped]),
            ),
        )
        yield 14, counted("chosen", partial(usage.choose, lambda _: []))
        yield 14.5, counted("reloaded", limits.reload)
        yield 15, counted("returned", partial(limits.account.show, hidden))
        yield 16, counted("chosen", partial(limits.choose, lambda _: chosen))
        yield 17, counted("revised", self._revise)

    def _counted(
        self, name: str, act: Callable[[], Awaitable[None] | None]
    ) -> Callable[[], Awaitable[None] | None]:
        def counted() -> Awaitable[None] | None:
            self.changes[name] += 1
            return act()

        return counted

    def _take_turns(self, name: str) -> None:
        """Have another model in place of yesterday's, one for each day of the week.

        Of each that it has ever seen, Home Assistant remembers some for 30 days.
        """
        if self._newcomer:
            self.usage.account.remove_model(self._newcomer)
        self.usage.account.add_model(name, weight=0.02)
        self._newcomer = name

    def _revise(self) -> None:
        """Revise bills by a few cents: today's, and of the AccessKey's account an older one."""
        cents = Decimal(self._random.randint(-9, 9)) / 100
        self.usage.account.correction += cents
        account = self.limits.account
        day = account.today - self._random.randint(1, 5) * DAY
        if day >= max(START.date(), account.today.replace(day=1)):
            model = self._random.choice(account.model_names)
            account.adjust(day, model, cents)
            self.limits.late[model] += cents

    async def _usage_outages(self, midnight: datetime) -> None:
        """Have a service fail five times a day, and in some nights."""
        random = self._random
        await self.until(midnight + 8 * HOUR)
        for _ in range(5):
            await asyncio.sleep(random.uniform(60, 2400))
            lasts = random.choice((2, 10, 30, 90)) * MINUTE
            await self._fail(self.usage, "usage", ("quotas",), lasts)
        await self._fail_at_night(self.usage, "usage", ("quotas",), midnight)

    async def _limits_outages(self, midnight: datetime) -> None:
        """Have one of the services fail three times a day, and in some nights."""
        random = self._random
        await self.until(midnight + 8 * HOUR)
        for _ in range(3):
            await asyncio.sleep(random.uniform(60, 2400))
            lasts = random.choice((5, 20, 70, 130)) * MINUTE
            await self._fail(self.limits, "limits", (self._services.draw(),), lasts)
        await self._fail_at_night(self.limits, "limits", SERVICES, midnight)

    async def _fail_at_night(
        self,
        subject: Subject,
        name: str,
        services: Sequence[Service],
        midnight: datetime,
    ) -> None:
        """Fail over midnight, or not, once all that was spent has been read."""
        if self._random.random() < 0.4:
            await self.until(midnight + CLOSES + 20 * MINUTE)
            await self._fail(subject, name, services, 2.2 * HOUR)

    async def _fail(
        self,
        subject: Subject,
        name: str,
        services: Sequence[Service],
        lasts: timedelta,
    ) -> None:
        """Have services fail for a while, then see what becomes of it."""
        fault = self._faults[name].draw()
        if fault in SLOW:
            lasts = min(lasts, 10 * MINUTE)
        if fault is None:
            services = [s for s in SERVICES if s == "quotas" or name == "limits"]
        throttled = fault in {Fault.THROTTLED, Fault.THROTTLING_CODE}
        retry_after = self._random.choice((None, 60, 600)) if throttled else None
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
                    self._over_after(
                        subject, service, _due(service, fault, retry_after)
                    )
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

    async def _over_after(
        self, subject: Subject, service: Service, due: timedelta
    ) -> float | None:
        """Return after how many seconds all is well; None if that is not in time."""
        recovered = self.clock.time()
        while not subject.is_well(service):
            if self.clock.time() > recovered + due.total_seconds():
                return None
            await asyncio.sleep(1)
        return self.clock.time() - recovered


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
    """Of both accounts, up to now."""
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
    """Have SQLite do so for all connections: it keeps up to 16 MiB for each."""
    instance.queue_task(_Shrink())
    threads = len(vars(instance)["_db_executor"]._threads)  # noqa: SLF001
    together = threading.Barrier(threads)

    def shrink() -> None:
        # Each thread has a connection of its own, and gets one of these.
        together.wait()
        _Shrink().run(instance)

    await asyncio.gather(
        *(instance.async_add_executor_job(shrink) for _ in range(threads))
    )


async def sample(
    hass: HomeAssistant, loop: VirtualLoop, subjects: Sequence[Subject], began: float
) -> Sample:
    """Look at everything."""
    await settled(hass)
    wrong = []
    for subject in subjects:
        subject.forget_requests()
        wrong += await wrong_sums(hass, subject.statistics())
    await _shrink(get_instance(hass))
    await settled(hass)
    # What a collection frees is given back to the system, as far as it can be.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return Sample(
        day=f"{loop.clock.now(BILLING_ZONE) - DAY:%F}",
        polls=sum(subject.requests for subject in subjects),
        memory=_memory(),
        blocks=sys.getallocatedblocks(),
        **_counts(hass, loop, subjects),
        wrong=wrong,
        seconds=time.perf_counter() - began,
        cpu=time.process_time(),
    )


def _counts(
    hass: HomeAssistant, loop: VirtualLoop, subjects: Sequence[Subject]
) -> dict[str, int]:
    """Return how many there are of what can be left over."""
    devices, entities = dr.async_get(hass), er.async_get(hass)
    ids = [subject.entry.entry_id for subject in subjects]
    accounts = [subject.entry.runtime_data for subject in subjects]
    coordinators = [
        *accounts,
        *(source for account in accounts for source in account.sources.values()),
    ]
    return {
        # The simulators have one for each connection that is kept for the next request.
        "tasks": sum(
            getattr(task.get_coro(), "__qualname__", "") != "RequestHandler.start"
            for task in asyncio.all_tasks()
        ),
        "listeners": sum(hass.bus.async_listeners().values())
        + sum(len(vars(coordinator)["_listeners"]) for coordinator in coordinators),
        "timers": loop.timers,
        "devices": sum(
            len(dr.async_entries_for_config_entry(devices, entry_id))
            + len(dr.async_child_entries_for_config_entry(devices, entry_id))
            for entry_id in ids
        ),
        "entities": sum(
            len(er.async_entries_for_config_entry(entities, entry_id))
            for entry_id in ids
        ),
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


async def soak(days: int, seed: int, loop: VirtualLoop) -> Result:
    """Let the days pass; return what became of it."""
    began = time.perf_counter()
    clock, random, log = loop.clock, Random(seed), Log()
    logging.getLogger().addHandler(log)
    offices = [
        Office(
            clock=lambda: office_time(clock.utcnow()),
            seed=seed,
            history_start=START.date() - 70 * DAY,
            **kind,
        )
        for kind in ({"base_spend": 14}, {"answer": "limits"})
    ]
    for number in range(1, 5):
        offices[0].add_model(f"qwen3-variant-{number}", weight=0.01 * number)
    dt_util.set_default_time_zone(ZoneInfo(TIME_ZONE))
    async with (
        home_assistant(RECORDER) as hass,
        Simulator(account=offices[0]) as first,
        Simulator(account=offices[1]) as second,
    ):
        # With one key at one host they would be one account.
        second.api_keys = {LIMITS_KEY}
        usage, limits = Subject(hass, first), Subject(hass, second)
        subjects = [usage, limits]
        with loop.look_on(get_instance(hass)):
            await usage.set_up({"api_key": API_KEY, "base_url": first.base_url})
            await limits.set_up(
                {"api_key": LIMITS_KEY, "base_url": second.base_url},
                {
                    "access_key_id": DEFAULT_ACCESS_KEY_ID,
                    "access_key_secret": DEFAULT_ACCESS_KEY_SECRET,
                    "region": "cn-beijing",
                    "endpoints": {
                        "billing_endpoint": second.openapi_url,
                        "balance_endpoint": second.openapi_url,
                        "prometheus_url": second.prometheus_url,
                    },
                },
                {CONF_MODELS: [*offices[1].model_names[:2], *NOT_BILLED]},
            )
            world = World(clock, usage, limits, random)
            # What is there now stays, and need not be looked through again and again.
            gc.collect()
            gc.freeze()
            clock.stands_still = True
            samples = []
            for number in range(days):
                await world.live(START.date() + number * DAY)
                samples.append(await sample(hass, loop, subjects, began))
                progress(_line(samples[-1], world))
            # What was revised last is written to the past when that is read again.
            await limits.reload()
            await asyncio.sleep(600)
            await settled(hass)
            wrong = await wrong_sums(hass, limits.past_statistics())
            clock.stands_still = False
        for subject in subjects:
            assert await hass.config_entries.async_unload(subject.entry.entry_id)
    return result(samples, world, log, wrong, time.perf_counter() - began)


def _line(sample: Sample, world: World) -> str:
    """Return a day in a line."""
    outages = len(world.outages)
    counts = ", ".join(f"{getattr(sample, name)} {name}" for name in COUNTS)
    return (
        f"{sample.day}: {sample.memory / 2**20:.1f} MiB, {sample.blocks} blocks,"
        f" {counts}, {sample.polls} polls, {outages} outages,"
        f" {len(sample.wrong)} sums wrong, {sample.seconds:.0f} s, {sample.cpu:.0f} s CPU"
    )


def result(
    samples: Sequence[Sample],
    world: World,
    log: Log,
    wrong: Sequence[str],
    seconds: float,
) -> Result:
    """Return what came of it."""
    first, last = samples[0], samples[-1]
    growth = last.memory / first.memory - 1
    uneven = [
        f"{name} {sorted({getattr(sample, name) for sample in samples})}"
        for name in COUNTS
        if len({getattr(sample, name) for sample in samples}) > 1
    ]
    wrong = [*(text for sample in samples for text in sample.wrong), *wrong]
    bad = [
        outage
        for outage in world.outages
        if not outage.noticed or outage.over_after is None
    ]
    goals = [
        Goal(
            f"Memory at the end within {MOST_GROWTH:.0%} of that after the first day",
            f"{first.memory / 2**20:.1f} -> {last.memory / 2**20:.1f} MiB ({growth:+.1%})",
            abs(growth) <= MOST_GROWTH,
        ),
        Goal(
            f"As many {', '.join(COUNTS)} after each day",
            "; ".join(uneven)
            or ", ".join(str(getattr(first, name)) for name in COUNTS),
            not uneven,
        ),
        Goal(
            "Statistics add up to what was spent, each day",
            "; ".join(wrong[:5]) or "to the cent",
            not wrong,
        ),
        Goal(
            "Every outage noticed, and over when it can be",
            f"{len(world.outages) - len(bad)} of {len(world.outages)}",
            not bad,
        ),
        Goal(
            "Nothing in the log but the outages",
            "; ".join(log.unexpected[:5]) or f"{log.expected} lines",
            not log.unexpected,
        ),
    ]
    if len(samples) == DAYS:
        minutes = seconds / 60
        goals.append(
            Goal(
                f"{DAYS} days in {MOST_MINUTES} minutes",
                f"{minutes:.1f} minutes, {last.cpu / 60:.1f} of them CPU",
                minutes < MOST_MINUTES,
            )
        )
    columns = ["polls", "blocks", *COUNTS, "threads", "files", "issues", "flows"]
    return Result(
        name="soak",
        goals=goals,
        tables=[
            Table(
                "After each day",
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
            ),
            _outages(world.outages),
        ],
        notes=[", ".join(f"{n} {what}" for what, n in world.changes.items())],
        figures={
            "days": len(samples),
            "seconds": seconds,
            "growth": growth,
            "samples": [asdict(sample) for sample in samples],
            "outages": [asdict(outage) for outage in world.outages],
            "changes": dict(world.changes),
            "wrong": wrong,
            "unexpected": log.unexpected,
        },
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
    # Each thread would have a heap of its own, and each keep what it had at most.
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    loop = VirtualLoop(VirtualTime(START))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        found = runner.run(soak(options.days, options.seed, loop))
    report(found, options.json)
    return int(not all(goal.met for goal in found.goals))


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", type=int, default=DAYS, help=f"(default: {DAYS})")
    parser.add_argument("--seed", type=int, default=0, help="of what happens when")


if __name__ == "__main__":
    sys.exit(main())
