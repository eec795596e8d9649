"""Shared by the benchmarks: a service to poll, a Home Assistant, measures and reports."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
import gc
import logging
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
import sys
from tempfile import TemporaryDirectory
import time
from types import MappingProxyType
from typing import Any, Self
from unittest.mock import patch

import aiohttp
import orjson

from homeassistant import bootstrap, loader
from homeassistant.components.recorder import get_instance
from homeassistant.config_entries import (
    SOURCE_USER,
    ConfigEntries,
    ConfigEntry,
    ConfigEntryState,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import aiohttp_client
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.recorder import async_initialize_recorder
from homeassistant.requirements import async_get_integration_with_requirements
from homeassistant.setup import async_setup_component
from tests.simulator import Account, Fault, Model, Simulator
from tests.simulator.prices import PRICES

DOMAIN = "alibaba_cloud"
API_KEY = "sk-simulator"
POLL_INTERVAL = 30
"""Seconds."""
SHARES = {"unchanged": 0.0, "5 % changed": 0.05}
"""Shares of the models that change from poll to poll."""
IDLE = 0.02
PLATFORMS = ("binary_sensor", "config_flow", "event", "sensor")

type Poll = Callable[[], Awaitable[object]]

# Every case runs in a fresh process, which starts with this module imported.
CONTEXT = ForkServerContext()
CONTEXT.set_forkserver_preload(["benchmarks.common"])


def model_names(models: int) -> list[str]:
    """Return the names of the models of a simulated account."""
    return [f"qwen3-coder-{number:03}" for number in range(models)]


class Load:
    """An account with many models, whose usage grows on demand."""

    def __init__(self, models: int) -> None:
        """Start with some usage."""
        self._answers = 0
        self._moved = 0
        self.names = model_names(models)
        self._rows: list[dict[str, Any]] = [
            {
                "model": name,
                "used": 1000 * number,
                "limit": 1_000_000 + 1000 * number,
                "rpm": 600,
                "tpm": 1_000_000,
            }
            for number, name in enumerate(self.names)
        ]

    def account(self) -> Account:
        """Return the account for an AccessKey: all models are priced and used now."""
        PRICES.update(dict.fromkeys(self.names, PRICES["qwen-plus"]))
        weight = 1 / len(self.names)
        return Account(
            base_spend=50_000,
            models=[Model(name=name, weight=weight) for name in self.names],
            has_assets=True,
            has_token_plan=True,
        )

    def move(self, share: float) -> None:
        """Use a share of the models, each in its turn."""
        for _ in range(max(1, round(share * len(self._rows)))):
            self._moved += 1
            self._rows[self._moved % len(self._rows)]["used"] += 1234

    def answer(self, _query: object) -> bytes:
        """Return the account answer, with a request id of its own."""
        self._answers += 1
        return orjson.dumps(
            {
                "code": "Success",
                "request_id": f"{self._answers:032x}",
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
    """Simulators in a process of their own, so that their CPU is not measured."""

    def __init__(self, *models: int) -> None:
        """Prepare an account for each number of models."""
        self._models = models
        self.base_urls: list[str] = []
        self.access_keys: list[dict[str, str]] = []
        """The data that is added to the entry of each account for an AccessKey."""

    def __enter__(self) -> Self:
        """Start."""
        self._pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(
            target=_serve, args=(theirs, self._models), daemon=True
        )
        self._process.start()
        theirs.close()
        self.base_urls, self.access_keys = self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._pipe.close()
        self._process.join()

    def move(self, share: float) -> None:
        """Use a share of the models of each account; none with 0."""
        if share:
            self._send(share)

    def fail(self) -> None:
        """Answer with an error from now on."""
        self._send(Fault.SERVER_ERROR)

    def _send(self, command: float | Fault) -> None:
        """Send a command to the service, and wait until it is done."""
        self._pipe.send(command)
        self._pipe.recv()


def _serve(pipe: Connection, models: Sequence[int]) -> None:
    """Serve until the other end of the pipe is closed."""
    # With 500 models, the last requests for the bill are too long, and are rejected.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    asyncio.run(_serve_accounts(pipe, models))


async def _serve_accounts(pipe: Connection, models: Sequence[int]) -> None:
    loads = [Load(count) for count in models]
    async with AsyncExitStack() as stack:
        simulators = [
            await stack.enter_async_context(Simulator(account=load.account()))
            for load in loads
        ]
        for simulator, load in zip(simulators, loads, strict=True):
            simulator.body = load.answer
        base_urls = [simulator.base_url for simulator in simulators]
        pipe.send((base_urls, list(map(access_key, simulators))))
        with suppress(EOFError):
            while True:
                command = await asyncio.to_thread(pipe.recv)
                for simulator, load in zip(simulators, loads, strict=True):
                    if isinstance(command, Fault):
                        simulator.fail(command)
                    else:
                        load.move(command)
                pipe.send(command)


def access_key(simulator: Simulator) -> dict[str, str]:
    """Return the data that is added to an entry for an AccessKey."""
    [(key_id, secret)] = simulator.access_keys.items()
    return {
        "access_key_id": key_id,
        "access_key_secret": secret,
        "region": "cn-beijing",
        "billing_endpoint": simulator.openapi_url,
        "balance_endpoint": simulator.openapi_url,
        "prometheus_url": simulator.prometheus_url,
    }


class _Resolver(aiohttp.ThreadedResolver):
    """Uses the resolver of the machine: Home Assistant's own asks the local network."""

    real_close = aiohttp.ThreadedResolver.close


@asynccontextmanager
async def home_assistant(
    recorder: dict[str, Any] | None = None,
) -> AsyncIterator[HomeAssistant]:
    """Run a Home Assistant with storage and recorder in this process.

    All entities are enabled. recorder: options of the recorder.
    """
    logging.basicConfig(level=logging.ERROR)
    with (
        TemporaryDirectory() as directory,
        patch.object(Entity, "entity_registry_enabled_default", True),
        patch.object(aiohttp_client, "_async_make_resolver", lambda _hass: _Resolver()),
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
    """Wait until Home Assistant and the recorder have nothing to do."""
    await hass.async_block_till_done(wait_background_tasks=True)
    await get_instance(hass).async_block_till_done()


async def import_cases(hass: HomeAssistant) -> None:
    """Import what the cases need, so that imports do not count as set-up."""
    for domain in (DOMAIN, "rest", "template", "binary_sensor", "event", "sensor"):
        integration = await async_get_integration_with_requirements(hass, domain)
        await integration.async_get_component()
        await integration.async_get_platforms(integration.platforms_exists(PLATFORMS))


async def add_account(
    hass: HomeAssistant,
    base_url: str,
    *,
    options: dict[str, Any] | None = None,
    **data: str,
) -> ConfigEntry:
    """Set up an account, and return its config entry."""
    entry = ConfigEntry(
        data={"api_key": API_KEY, "base_url": base_url, **data},
        discovery_keys=MappingProxyType({}),
        domain=DOMAIN,
        minor_version=1,
        options=options,
        source=SOURCE_USER,
        subentries_data=None,
        title=f"Account {len(hass.config_entries.async_entries(DOMAIN)) + 1}",
        unique_id=None,
        version=1,
    )
    await hass.config_entries.async_add(entry)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert entry.state is ConfigEntryState.LOADED
    return entry


def in_fresh_process[ResultT](
    measure: Callable[..., Awaitable[ResultT]], *args: Any
) -> ResultT:
    """Return the result of a coroutine function, which runs in a new process."""
    with ProcessPoolExecutor(1, mp_context=CONTEXT) as pool:
        return pool.submit(_run, measure, *args).result()


def _run[ResultT](measure: Callable[..., Awaitable[ResultT]], *args: Any) -> ResultT:
    return asyncio.run(measure(*args))


async def cpu_of_polls(
    hass: HomeAssistant,
    service: Service,
    polls: Sequence[Poll],
    *,
    share: float,
    rounds: int,
) -> list[list[float]]:
    """Return, for each poll, the CPU seconds on the event loop that it took each round.

    Before a round, a share of the models is used. Before each poll, the loop idles, as
    between two polls: right after other work, the processor's caches would be warm.
    """
    took: list[list[float]] = [[] for _ in polls]
    for _ in range(rounds):
        service.move(share)
        for poll, cpu in zip(polls, took, strict=True):
            await get_instance(hass).async_block_till_done()
            await asyncio.sleep(IDLE)
            started = time.thread_time()
            await poll()
            await hass.async_block_till_done()
            cpu.append(time.thread_time() - started)
    # The first round may have more to change than the others.
    return [cpu[1:] for cpu in took]


@contextmanager
def blocks() -> Iterator[list[float]]:
    """Measure each callback that the event loop runs in the block, in CPU seconds.

    Garbage collection is off: it goes through all objects of Home Assistant, and its time
    would count for any callback.
    """
    run = asyncio.Handle._run  # noqa: SLF001
    took: list[float] = []

    def timed_run(handle: asyncio.Handle) -> None:
        started = time.thread_time()
        run(handle)
        took.append(time.thread_time() - started)

    gc.disable()
    try:
        with patch.object(asyncio.Handle, "_run", timed_run):
            yield took
    finally:
        gc.enable()


@dataclass
class Goal:
    """A goal, and what was measured."""

    wanted: str
    measured: str
    met: bool


def at_most(what: str, limit: float, *measured: float) -> Goal:
    """Return the goal that no figure exceeds a limit."""
    figures = ", ".join(f"{figure:.3g}" for figure in measured)
    met = max(measured, default=limit) <= limit
    return Goal(f"{what}: at most {limit:g}", figures or "-", met)


def report(
    columns: Sequence[str], rows: Sequence[Sequence[str]], goals: Sequence[Goal]
) -> int:
    """Print the results and the goals as Markdown; return 1 if a goal is missed."""
    _print_table(columns, rows)
    _print_table(
        ["Goal", "Measured", "Met"],
        [[g.wanted, g.measured, "yes" if g.met else "**no**"] for g in goals],
    )
    return int(not all(goal.met for goal in goals))


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    cells = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [columns, ["-" * width for width in widths], *rows]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print(f"| {' | '.join(padded)} |")
    print(flush=True)


def progress(text: str) -> None:
    """Print what is being measured."""
    print(text, file=sys.stderr, flush=True)
