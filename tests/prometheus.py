"""A real Prometheus server, and usage of some models for it to serve."""

import asyncio
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
import json
from pathlib import Path
from random import Random
import shutil
import socket
from tempfile import NamedTemporaryFile
from typing import Self

import aiohttp
import bcrypt

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[1]

PROGRAMS = ("prometheus", "promtool")
CONFIGURATION = "prometheus.yml"
WEB_CONFIGURATION = "web.yml"
DATA = "data"

READY_TRIES = 600
READY_INTERVAL = 0.05
STOP_WITHIN = 30.0

MINUTE = 60
"""Seconds, as are all times that are numbers."""

BILLING_ZONE = timezone(timedelta(hours=8))
BUSY_HOURS = range(9, 19)
"""In which most calls are made; in the billing time zone."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """The sums of a metric, by the time at which their minute ends.

    There is none of an idle minute, and None is a sample that is not a number.
    """

    metric: str
    labels: Mapping[str, str]
    minutes: Mapping[int, int | None]

    @property
    def model(self) -> str:
        """The model's name."""
        return self.labels["model"]

    @property
    def counts(self) -> bool:
        """Whether it is of what is counted: all requests, but not all kinds of usage."""
        return self.labels.get("usage_type", "total_tokens") == "total_tokens"


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Series as they are sampled, every `interval` seconds up to the end of a minute."""

    series: tuple[Series, ...]
    interval: int = MINUTE

    def openmetrics(self) -> str:
        """Return all samples as OpenMetrics text."""
        lines: list[str] = []
        for metric in dict.fromkeys(series.metric for series in self.series):
            lines.append(f"# TYPE {metric} gauge")
            for series in self.series:
                if series.metric == metric:
                    lines += self._samples(series)
        return "\n".join([*lines, "# EOF", ""])

    def totals(self, metric: str, start: datetime, end: datetime) -> dict[str, int]:
        """Return by model what was used in the minutes of a time, the exact sums.

        The minute that ends at the start is not one of them; the one at the end is.
        """
        first, last = (int(time.timestamp()) // MINUTE for time in (start, end))
        minutes = range((first + 1) * MINUTE, (last + 1) * MINUTE, MINUTE)
        totals: dict[str, int] = {}
        for series in self.series:
            if series.metric == metric and series.counts:
                for amount in map(series.minutes.get, minutes):
                    if amount is not None:
                        totals[series.model] = totals.get(series.model, 0) + amount
        return totals

    def _samples(self, series: Series) -> Iterator[str]:
        """Yield the lines of a series: the sum of a minute is sampled all through it."""
        labels = ",".join(f'{name}="{text}"' for name, text in series.labels.items())
        for minute, amount in sorted(series.minutes.items()):
            value = "NaN" if amount is None else amount
            for time in range(minute - MINUTE, minute, self.interval):
                yield f"{series.metric}{{{labels}}} {value} {time + self.interval}"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An API key in a workspace that calls a model.

    rate: the most calls in a minute; tokens: the most in a call, 0 for a model that has
    none; since: the part of the time in which it does not call yet.
    """

    model: str
    workspace: str
    api_key: str
    rate: int
    tokens: int
    since: float = 0


CALLERS = (
    Caller(
        model="qwen-max", workspace="llm-home", api_key="101", rate=40, tokens=9_000
    ),
    Caller(
        model="qwen-max", workspace="llm-work", api_key="202", rate=15, tokens=30_000
    ),
    Caller(
        model="qwen-plus",
        workspace="llm-home",
        api_key="103",
        rate=90,
        tokens=4_000,
        since=0.5,
    ),
    Caller(model="qwen-image", workspace="llm-work", api_key="202", rate=4, tokens=0),
)


def generate_usage(
    start: datetime,
    end: datetime,
    *,
    interval: int = MINUTE,
    seed: int = 0,
    callers: Sequence[Caller] = CALLERS,
) -> Usage:
    """Return what may have been used from a start to an end; the same for the same.

    interval: seconds between samples, a divisor of 60.
    """
    first, last = (int(time.timestamp()) // MINUTE * MINUTE for time in (start, end))
    series: list[Series] = []
    for number, caller in enumerate(callers):
        since = first + int((last - first) * caller.since) // MINUTE * MINUTE
        minutes = range(since + MINUTE, last + MINUTE, MINUTE)
        series += _caller_series(caller, minutes, Random(f"{seed} {number}"))
    return Usage(series=tuple(series), interval=interval)


def _caller_series(
    caller: Caller, minutes: Iterable[int], random: Random
) -> Iterator[Series]:
    """Yield the series of a caller, of which those of one minute go together."""
    labels = {
        "model": caller.model,
        "workspace_id": caller.workspace,
        "apikey_id": caller.api_key,
    }
    usage: dict[str, dict[int, int | None]] = {}
    calls: dict[str, dict[int, int | None]] = {}
    busy = False
    for minute in minutes:
        # Calls come in runs of minutes, with some or many between them.
        by_day = datetime.fromtimestamp(minute, BILLING_ZONE).hour in BUSY_HOURS
        if random.random() < (0.1 if busy else 0.05 if by_day else 0.02):
            busy = not busy
        if not busy:
            continue
        succeeded = random.randint(1, caller.rate)
        refused = max(0, random.randint(-40, 5))
        calls.setdefault("200", {})[minute] = succeeded
        if refused:
            calls.setdefault("429", {})[minute] = refused
        if caller.tokens:
            tokens = succeeded * random.randint(caller.tokens // 10, caller.tokens)
            put_in = tokens * random.randint(5, 9) // 10
            lost = random.random() < 0.01
            usage.setdefault("total_tokens", {})[minute] = None if lost else tokens
            usage.setdefault("input_tokens", {})[minute] = None if lost else put_in
        else:
            usage.setdefault("image_count", {})[minute] = succeeded
    for kind, amounts in usage.items():
        yield Series(
            metric="model_usage", labels=labels | {"usage_type": kind}, minutes=amounts
        )
    for status, amounts in calls.items():
        yield Series(
            metric="model_call_count",
            labels=labels | {"status_code": status},
            minutes=amounts,
        )


class PrometheusError(Exception):
    """There is no server; the text says why."""


class Prometheus:
    """A server at a port of 127.0.0.1; as a context manager it ends with the block.

    It scrapes nothing: what it serves is what it was started with.
    """

    def __init__(self, port: int, process: asyncio.subprocess.Process) -> None:
        """Take over a process; `start` is how to get one."""
        self.url = f"http://{HOST}:{port}"
        self._process = process

    @staticmethod
    def is_available() -> bool:
        """Whether there is a server on this machine."""
        return all(_program(name) for name in PROGRAMS)

    @classmethod
    async def start(
        cls,
        directory: Path,
        openmetrics: str | None = None,
        username: str = "prometheus",
        password: str = "prometheus",
        port: int = 0,
    ) -> Self:
        """Return a server that is ready, with its data in a directory.

        openmetrics: samples of any age that it gets on top of the data it has.
        username, password: are asked for in each request.
        port: 0 takes a free one.

        Raises:
            PrometheusError: there is none, it refuses the samples, or does not start.

        """
        _write_configuration(directory, username, password)
        if openmetrics is not None:
            await _import(openmetrics, directory)
        with socket.create_server((HOST, port)) as listener:
            port = listener.getsockname()[1]
        process = await _run(
            "prometheus",
            f"--config.file={directory / CONFIGURATION}",
            f"--web.config.file={directory / WEB_CONFIGURATION}",
            f"--web.listen-address={HOST}:{port}",
            f"--storage.tsdb.path={directory / DATA}",
            # Samples may be older than what a server keeps by default.
            "--storage.tsdb.retention.time=10y",
            # What little is said fits into the pipe that nobody reads while it runs.
            "--log.level=error",
        )
        server = cls(port, process)
        try:
            await server._wait_until_ready(username, password)
        except BaseException:
            await server.stop()
            raise
        return server

    async def stop(self) -> None:
        """End it in good order; does nothing where it has ended.

        Raises:
            TimeoutError: it had to be killed.

        """
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await self._process.wait()
        finally:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def __aenter__(self) -> Self:
        """Use it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def _wait_until_ready(self, username: str, password: str) -> None:
        """Return once it answers queries.

        Raises:
            PrometheusError: it ends, or takes too long.

        """
        credentials = b64encode(f"{username}:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            for _ in range(READY_TRIES):
                if self._process.returncode is not None:
                    output, _ = await self._process.communicate()
                    raise PrometheusError(output.decode(errors="replace"))
                with suppress(aiohttp.ClientConnectionError):
                    async with session.get(f"{self.url}/-/ready") as response:
                        if response.ok:
                            return
                await asyncio.sleep(READY_INTERVAL)
        raise PrometheusError(f"Prometheus is not ready after {READY_TRIES} tries")


def _program(name: str) -> str | None:
    """Return where a program is: unpacked by `scripts/setup`, or the machine's own."""
    return shutil.which(name, path=ROOT / ".prometheus") or shutil.which(name)


async def _run(name: str, *arguments: str) -> asyncio.subprocess.Process:
    """Start a program.

    Raises:
        PrometheusError: it is nowhere.

    """
    if (path := _program(name)) is None:
        raise PrometheusError(f"There is no {name}: scripts/setup prometheus")
    return await asyncio.create_subprocess_exec(
        path,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # A Ctrl-C at the terminal is for this process alone.
        start_new_session=True,
    )


def _write_configuration(directory: Path, username: str, password: str) -> None:
    """Write what the server reads at its start."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CONFIGURATION).write_text("{}")
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4)).decode()
    (directory / WEB_CONFIGURATION).write_text(
        json.dumps({"basic_auth_users": {username: hashed}})
    )


async def _import(openmetrics: str, directory: Path) -> None:
    """Write samples into blocks of the server's data.

    Raises:
        PrometheusError: they are refused.

    """
    with NamedTemporaryFile("w", dir=directory, suffix=".txt") as samples:
        samples.write(openmetrics)
        samples.flush()
        process = await _run(
            "promtool",
            *("tsdb", "create-blocks-from", "openmetrics", "--quiet"),
            # All samples are read again for each block. Of a month that is one or two,
            # where else there were hundreds, at a tenth of a second each.
            "--max-block-duration=1488h",
            samples.name,
            str(directory / DATA),
        )
        output, _ = await process.communicate()
    if process.returncode:
        raise PrometheusError(output.decode(errors="replace"))
