"""What the benchmarks share: a service to poll, a Home Assistant, measures, reports.

Each benchmark is a program of its own, `python -m benchmarks.NAME [--json FILE]`, and
makes a `Result`. This module by itself, `python -m benchmarks.common RESULT.json ...`,
writes results into the README beside it.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
import gc
import json
import logging
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
import os
from pathlib import Path
import platform
import re
import sqlite3
import sys
from tempfile import TemporaryDirectory
import threading
import time
from types import MappingProxyType, TracebackType
from typing import Any, Self
from unittest.mock import patch

import aiohttp
import orjson

from homeassistant import bootstrap, loader
from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.tasks import CommitTask
from homeassistant.config_entries import (
    SOURCE_USER,
    ConfigEntries,
    ConfigEntry,
    ConfigEntryState,
)
from homeassistant.const import CONF_API_KEY, __version__ as home_assistant_version
from homeassistant.core import EventBus, HomeAssistant, StateMachine
from homeassistant.helpers import aiohttp_client
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.recorder import async_initialize_recorder
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from homeassistant.requirements import async_get_integration_with_requirements
from homeassistant.setup import async_setup_component
from tests.simulator import Fault, Simulator

ROOT = Path(__file__).resolve().parents[1]
README = Path(__file__).with_name("README.md")
DOMAIN = "alibaba_cloud"
API_KEY = "sk-simulator"
POLL_INTERVAL = 30

DATABASE = "home-assistant_v2.db"
IDLE = 0.02
TABLES = ("states", "state_attributes", "events", "event_data")

# Fresh processes: nothing that another case has left counts for a case. They begin with
# this module and all that it takes imported.
_CONTEXT = ForkServerContext()
_CONTEXT.set_forkserver_preload(["benchmarks.common"])


# The service


class Load:
    """An account with many models, of which some move on when they are told to."""

    def __init__(self, models: int) -> None:
        """Stand still."""
        self.asked: list[float] = []
        """When it was asked, in seconds of the clock that never goes back."""
        self._moved = 0
        self._rows: list[dict[str, Any]] = [
            {
                "model": f"qwen3-coder-{number:03}",
                "used": 1000 * number,
                "limit": 1_000_000 + 1000 * number,
                "rpm": 600,
                "tpm": 1_000_000,
            }
            for number in range(models)
        ]

    def move(self, share: float) -> None:
        """Move the next models in turn, and the totals, as calls to them would."""
        for _ in range(max(1, round(share * len(self._rows)))):
            self._moved += 1
            self._rows[self._moved % len(self._rows)]["used"] += 1234

    def answer(self, _query: object) -> bytes:
        """Return the account answer; no two are of the same id."""
        self.asked.append(time.monotonic())
        return orjson.dumps(
            {
                "code": "Success",
                "request_id": f"{len(self.asked):032x}",
                "data": {
                    "rate_limit": {"rpm": 1200, "tpm": 5_000_000},
                    "credits": 450,
                    "available": 400,
                    "spend_limit": 500,
                    "daily_spend": 1.25,
                    "monthly_spend": (2000 + self._moved) / 100,
                    "tokens_used": 1_000_000 + 1234 * self._moved,
                    "requests_used": 5000 + self._moved,
                    "billing_period": {"start": "2026-11-01", "end": "2026-11-30"},
                    "models": self._rows,
                },
            }
        )


class Service:
    """Simulators in a process of their own, each with one account.

    Their CPU does not count for whoever polls them.
    """

    def __init__(self, *models: int) -> None:
        """Prepare an account for each number of models."""
        self._models = models
        self.base_urls: list[str] = []

    def __enter__(self) -> Self:
        """Start."""
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(
            target=_serve, args=(theirs, self._models), daemon=True
        )
        self._process.start()
        theirs.close()
        self.base_urls = self._pipe.recv()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self._pipe.close()
        self._process.join()

    def move(self, share: float) -> None:
        """Move a share of the models of each account; of none with 0."""
        if share:
            self._tell("move", share)

    def fail(self) -> None:
        """Answer no more, but with an error."""
        self._tell("fail")

    def recover(self) -> None:
        """Answer again."""
        self._tell("recover")

    def asked(self) -> list[list[float]]:
        """Return when each account was asked since this was called last."""
        asked: list[list[float]] = self._tell("asked")
        return asked

    def _tell(self, *wish: object) -> Any:
        self._pipe.send(wish)
        return self._pipe.recv()


def _serve(pipe: Connection, models: Sequence[int]) -> None:
    """Serve until the other end of the pipe is closed."""
    asyncio.run(_serve_accounts(pipe, models))


async def _serve_accounts(pipe: Connection, models: Sequence[int]) -> None:
    loads = [Load(count) for count in models]
    closed = asyncio.Event()

    def obey() -> None:
        try:
            wish, *details = pipe.recv()
        except EOFError:
            closed.set()
            return
        answer = None
        match wish:
            case "move":
                for load in loads:
                    load.move(*details)
            case "fail":
                for simulator in simulators:
                    simulator.fail(Fault.SERVER_ERROR)
            case "recover":
                for simulator in simulators:
                    simulator.recover()
            case "asked":
                answer = [load.asked for load in loads]
                for load in loads:
                    load.asked = []
        pipe.send(answer)

    async with AsyncExitStack() as stack:
        simulators = [await stack.enter_async_context(Simulator()) for _ in loads]
        for simulator, load in zip(simulators, loads, strict=True):
            simulator.body = load.answer
        pipe.send([simulator.base_url for simulator in simulators])
        asyncio.get_running_loop().add_reader(pipe.fileno(), obey)
        await closed.wait()
        asyncio.get_running_loop().remove_reader(pipe.fileno())


# Home Assistant


class _Resolver(aiohttp.ThreadedResolver):
    """Resolves by the machine's own means, and closes as Home Assistant's own does."""

    real_close = aiohttp.ThreadedResolver.close


@asynccontextmanager
async def home_assistant(
    recorder: dict[str, Any] | None = None,
) -> AsyncIterator[HomeAssistant]:
    """Run a Home Assistant in this process, with storage and recorder, and no more.

    It is a real one, which saves its registries and records what is written: both are
    part of what an integration costs. All entities that an integration adds are
    enabled. The recorder's options are those that it has without any, but for these.
    """
    logging.basicConfig(level=logging.ERROR)
    with (
        TemporaryDirectory() as directory,
        patch.object(Entity, "entity_registry_enabled_default", True),
        # There is no name to resolve: its own one would ask the local network.
        patch.object(
            aiohttp_client,
            "_async_make_resolver",
            lambda _hass: _Resolver(),
        ),
    ):
        hass = HomeAssistant(directory)
        loader.async_setup(hass)
        hass.config_entries = ConfigEntries(hass, {})
        await loader.async_get_custom_components(hass)
        assert await bootstrap.async_load_base_functionality(hass)
        assert await async_setup_component(hass, "homeassistant", {})
        async_initialize_recorder(hass)
        assert await async_setup_component(
            hass, "recorder", {"recorder": recorder or {}}
        )
        await hass.async_start()
        await get_instance(hass).async_recorder_ready.wait()
        await settled(hass)
        try:
            yield hass
        finally:
            await hass.async_stop(force=True)


async def settled(hass: HomeAssistant) -> None:
    """Wait until nothing is under way, in the recorder neither."""
    await hass.async_block_till_done(wait_background_tasks=True)
    await get_instance(hass).async_block_till_done()


async def imported(hass: HomeAssistant, *domains: str) -> None:
    """Have integrations imported, and what they require installed, before the clock runs."""
    for domain in domains:
        integration = await async_get_integration_with_requirements(hass, domain)
        await integration.async_get_component()
        await integration.async_get_platforms(
            [
                platform
                for platform in ("binary_sensor", "config_flow", "event", "sensor")
                if (integration.file_path / f"{platform}.py").exists()
            ]
        )


async def set_up_accounts(
    hass: HomeAssistant, base_urls: Sequence[str]
) -> list[DataUpdateCoordinator[Any]]:
    """Set this integration up with these accounts, all at once; return what polls them."""
    entries = [
        ConfigEntry(
            data={CONF_API_KEY: API_KEY, "base_url": base_url},
            discovery_keys=MappingProxyType({}),
            domain=DOMAIN,
            minor_version=1,
            options=None,
            source=SOURCE_USER,
            subentries_data=None,
            title=f"Account {number}",
            unique_id=None,
            version=1,
        )
        for number, base_url in enumerate(base_urls)
    ]
    await asyncio.gather(*map(hass.config_entries.async_add, entries))
    await hass.async_block_till_done(wait_background_tasks=True)
    assert all(entry.state is ConfigEntryState.LOADED for entry in entries)
    return [entry.runtime_data for entry in entries]


def in_fresh_process[ResultT](function: Callable[..., ResultT], *args: Any) -> ResultT:
    """Return what a function returns in a process that nothing else has run in."""
    with ProcessPoolExecutor(1, mp_context=_CONTEXT) as pool:
        return pool.submit(function, *args).result()


class MovedClock:
    """Lets an event loop believe that time has passed."""

    def __init__(self) -> None:
        """Take over the clock of the running loop, which goes on at its pace."""
        loop = asyncio.get_running_loop()
        real = loop.time
        self._ahead = 0.0
        loop.time = lambda: real() + self._ahead  # type: ignore[method-assign]

    def advance(self, seconds: float) -> None:
        """Make due what is due within so many seconds."""
        self._ahead += seconds


# Measures


@dataclass
class Cost:
    """What something took, in seconds."""

    loop_cpu: float = 0.0
    """CPU of the thread of the event loop."""
    cpu: float = 0.0
    """CPU of all threads."""
    wall: float = 0.0


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure a block of code."""
    cost = Cost()
    wall, cpu, loop_cpu = time.perf_counter(), time.process_time(), time.thread_time()
    yield cost
    cost.loop_cpu = time.thread_time() - loop_cpu
    cost.cpu = time.process_time() - cpu
    cost.wall = time.perf_counter() - wall


async def loop_cpu(hass: HomeAssistant, act: Callable[[], Awaitable[object]]) -> float:
    """Return the CPU seconds that an act takes on the event loop, with all it leads to.

    The recorder has caught up before, and the loop has been idle, as it is between two
    polls: what follows at once upon other work finds the processor's caches warm.
    """
    await get_instance(hass).async_block_till_done()
    await asyncio.sleep(IDLE)
    with measured() as cost:
        await act()
        await hass.async_block_till_done()
    return cost.loop_cpu


@dataclass(frozen=True)
class Writes:
    """What a poll leaves in Home Assistant and its database."""

    states: int
    """States written, whether or not they are new."""
    events: int
    rows: int


async def writes(hass: HomeAssistant, act: Callable[[], Awaitable[object]]) -> Writes:
    """Count what an act writes."""
    count = Counter[str]()
    set_state, fire = StateMachine.async_set_internal, EventBus.async_fire_internal

    def counted_set(states: StateMachine, *args: Any, **kwargs: Any) -> None:
        count["states"] += 1
        set_state(states, *args, **kwargs)

    def counted_fire(bus: EventBus, *args: Any, **kwargs: Any) -> None:
        count["events"] += 1
        fire(bus, *args, **kwargs)

    before = await _rows(hass)
    with (
        patch.object(StateMachine, "async_set_internal", counted_set),
        patch.object(EventBus, "async_fire_internal", counted_fire),
    ):
        await act()
        await hass.async_block_till_done()
    return Writes(
        states=count["states"],
        events=count["events"],
        rows=await _rows(hass) - before,
    )


async def _rows(hass: HomeAssistant) -> int:
    """Return the number of rows that are recorded, once all is committed."""

    def count() -> int:
        database = sqlite3.connect(hass.config.path(DATABASE))
        try:
            return sum(
                database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in TABLES
            )
        finally:
            database.close()

    get_instance(hass).queue_task(CommitTask())
    await get_instance(hass).async_block_till_done()
    return await hass.async_add_executor_job(count)


@dataclass(frozen=True)
class Block:
    """A time in which the event loop could do nothing else, in seconds."""

    cpu: float
    """Without garbage collections."""
    wall: float
    """Also while another process had the core, or another thread the interpreter."""
    what: str


class Blocks:
    """All that the event loop runs meanwhile, callback by callback.

    A callback is what the loop runs between two looks at what else is due: a step of a
    task up to where it waits, or a function. Each is timed as the loop runs it. Python's
    garbage collections are timed by themselves: they go through all that Home Assistant
    holds, and come to whoever happens to be at work.
    """

    SHORTEST = 0.0005

    def __init__(self) -> None:
        """Have seen nothing."""
        self.seen: list[Block] = []
        self.collections: list[float] = []
        """CPU seconds of each garbage collection in the thread of the loop."""

    def __enter__(self) -> Self:
        """Look on."""
        run = asyncio.Handle._run  # noqa: SLF001
        seen, collections = self.seen, self.collections
        thread = threading.get_ident()
        began = 0.0

        def collected(phase: str, _: object) -> None:
            nonlocal began
            if threading.get_ident() != thread:
                return
            if phase == "start":
                began = time.thread_time()
            else:
                collections.append(time.thread_time() - began)

        def timed_run(handle: asyncio.Handle) -> None:
            callback = handle._callback  # type: ignore[attr-defined] # noqa: SLF001
            before = len(collections)
            wall, cpu = time.perf_counter(), time.thread_time()
            run(handle)
            wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
            cpu -= sum(collections[before:])
            if wall > self.SHORTEST:
                seen.append(Block(cpu, wall, _name(callback)))

        self._patch = patch.object(asyncio.Handle, "_run", timed_run)
        self._patch.start()
        self._collected = collected
        gc.callbacks.append(collected)
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._patch.stop()
        gc.callbacks.remove(self._collected)

    def longest(self) -> Block:
        """Return the block that took most CPU."""
        return max(self.seen, key=lambda block: block.cpu, default=Block(0, 0, ""))


def _name(callback: Any) -> str:
    """Return what a callback of the loop belongs to."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return getattr(owner.get_coro(), "__qualname__", owner.get_name())
    return getattr(callback, "__qualname__", type(callback).__name__)


def reset_peak_memory() -> int:
    """Forget the largest memory this process has had; return what it has now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def peak_memory() -> int:
    """Return the largest memory this process has had since, in bytes."""
    return _memory("VmHWM")


def _memory(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found
    return int(found[1]) * 1024


# Reports


@dataclass
class Table:
    """Figures for a reader; the cells are text."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)


@dataclass
class Goal:
    """What is wanted, and what was measured."""

    wanted: str
    measured: str
    met: bool


def at_most(what: str, limit: float, measured: Sequence[float]) -> Goal:
    """Return the goal that none of these exceeds a limit."""
    return Goal(
        f"{what}: at most {limit:g}", _figures(measured), max(measured) <= limit
    )


def at_least(what: str, limit: float, measured: float) -> Goal:
    """Return the goal that this reaches a limit."""
    return Goal(f"{what}: at least {limit:g}", _figures([measured]), measured >= limit)


def _figures(figures: Sequence[float]) -> str:
    return ", ".join(f"{figure:.3g}" for figure in figures)


@dataclass
class Result:
    """What a benchmark found out."""

    name: str
    """As `scripts/bench` takes it."""
    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    """All that was measured, for programs."""
    command: str = ""
    machine: dict[str, str] = field(default_factory=dict)


def arguments(
    description: str | None, prepare: Callable[[argparse.ArgumentParser], object]
) -> argparse.Namespace:
    """Return the options of a benchmark: its own, and where the result is written to."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result")
    prepare(parser)
    return parser.parse_args()


def report(result: Result, path: Path | None) -> None:
    """Print a result, and write it as JSON where that is wanted."""
    result.command = result.command or f"scripts/bench {result.name}"
    result.machine = result.machine or machine()
    print(as_markdown(result))
    if path:
        path.write_text(
            json.dumps(asdict(result), indent=2, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )


def progress(text: str) -> None:
    """Tell whoever waits what is being measured."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def machine() -> dict[str, str]:
    """Return what a result depends on beside the code."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        cpu = found[1] if found else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    manifest = ROOT / "custom_components" / DOMAIN / "manifest.json"
    return {
        "Date": datetime.now(UTC).date().isoformat(),
        "CPU": cpu,
        "Cores": str(os.cpu_count()),
        "Memory": f"{memory:.0f} GiB",
        "Python": platform.python_version(),
        "Home Assistant": home_assistant_version,
        "Integration": json.loads(manifest.read_text())["version"],
    }


def as_markdown(result: Result) -> str:
    """Return a result as the README has it."""
    lines = [
        f"Of `{result.command}`, on: "
        + ", ".join(f"{name} {value}" for name, value in result.machine.items())
        + "."
    ]
    tables = result.tables
    if result.goals:
        goals = Table("Goals", ["Goal", "Measured", "Met"])
        goals.rows = [
            [goal.wanted, goal.measured, "yes" if goal.met else "**no**"]
            for goal in result.goals
        ]
        tables = [goals, *tables]
    for table in tables:
        lines += ["", f"**{table.title}**", "", *_aligned(table)]
    if result.notes:
        lines += ["", *(f"- {note}" for note in result.notes)]
    return "\n".join(lines)


def _aligned(table: Table) -> Iterator[str]:
    """Yield the lines of a table, columns under each other."""
    cells = [table.columns, *table.rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        yield _row(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        if number == 0:
            yield _row("-" * width for width in widths)


def _row(cells: Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_readme(result: Result) -> None:
    """Replace what stands between the marks of a benchmark by its last result."""
    start, end = f"<!-- {result.name} -->", f"<!-- /{result.name} -->"
    text = README.read_text(encoding="utf-8")
    before, found, rest = text.partition(start)
    if not found:
        sys.exit(f"{README.name} has no {start}")
    after = rest.partition(end)[2]
    README.write_text(
        f"{before}{start}\n\n{as_markdown(result)}\n\n{end}{after}", encoding="utf-8"
    )


def load_result(path: Path) -> Result:
    """Return what `report` has written."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    return Result(
        **stored
        | {
            "tables": [Table(**table) for table in stored["tables"]],
            "goals": [Goal(**goal) for goal in stored["goals"]],
        }
    )


def main() -> None:
    """Write results into the README."""
    for name in sys.argv[1:]:
        write_readme(load_result(Path(name)))


if __name__ == "__main__":
    main()
