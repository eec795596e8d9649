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
"""Seconds per minute; all times that are numbers are in seconds."""

BILLING_ZONE = timezone(timedelta(hours=8))
BUSY_HOURS = range(9, 19)
"""The hours with the most calls, in the billing time zone."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """The sums of a metric per minute, by the end of the minute.

    An idle minute has no entry. None is a sample that is not a number.
    """

    metric: str
    labels: Mapping[str, str]
    minutes: Mapping[int, int | None]

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.labels["model"]

    @property
    def counts(self) -> bool:
        """Whether totals include the series: all requests, and the total tokens."""
        return self.labels.get("usage_type", "total_tokens") == "total_tokens"


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Series with samples every `interval` seconds up to the end of each minute."""

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
        """Return the exact use of each model between two times.

        The minute that ends at `start` is excluded; the one that ends at `end` is
        included.
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
        """Yield the lines of a series; each sample has the sum of its minute."""
        labels = ",".join(f'{name}="{text}"' for name, text in series.labels.items())
        for minute, amount in sorted(series.minutes.items()):
            value = "NaN" if amount is None else amount
            for time in range(minute - MINUTE, minute, self.interval):
                yield f"{series.metric}{{{labels}}} {value} {time + self.interval}"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An API key in a workspace that calls a model.

    rate: the maximum of calls per minute.
    tokens: the maximum of tokens per call; 0 for a model without tokens.
    since: the share of the time that passes before the first call.
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
    """Generate usage between two times; equal arguments give equal usage.

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
    """Yield the series of a caller; their values of the same minute are consistent."""
    labels = {
        "model": caller.model,
        "workspace_id": caller.workspace,
        "apikey_id": caller.api_key,
    }
    usage: dict[str, dict[int, int | None]] = {}
    calls: dict[str, dict[int, int | None]] = {}
    busy = False
    for minute in minutes:
        # Busy runs of minutes alternate with idle ones; by day, idle runs are shorter.
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
    """Raised if no server can be started; the text is the reason."""


class Prometheus:
    """A Prometheus server on a port of 127.0.0.1, as an asynchronous context manager.

    The server scrapes nothing. It serves the samples that it was started with.
    """

    def __init__(self, port: int, process: asyncio.subprocess.Process) -> None:
        """Store a running process; use `start` to create an instance."""
        self.url = f"http://{HOST}:{port}"
        self._process = process

    @staticmethod
    def is_available() -> bool:
        """Return whether Prometheus is installed on this machine."""
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
        """Start a server with its data in a directory and wait until it is ready.

        openmetrics: samples of any age, which are added to the existing data.
        username, password: the credentials that each request needs.
        port: 0 chooses a free one.

        Raises:
            PrometheusError: Prometheus is not installed, rejects the samples or does
                not start.

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
            # Samples may be older than the default retention time.
            "--storage.tsdb.retention.time=10y",
            # Nobody reads the output while the server runs. Errors fit the pipe.
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
        """Stop the server cleanly; do nothing if it has ended.

        Raises:
            TimeoutError: the server did not stop in time and was killed.

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
        """Return the running server."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the server."""
        await self.stop()

    async def _wait_until_ready(self, username: str, password: str) -> None:
        """Wait until the server answers queries.

        Raises `PrometheusError` if the server ends or takes too long.
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
    """Return the path of a program, unpacked by `scripts/setup` or installed."""
    return shutil.which(name, path=ROOT / ".prometheus") or shutil.which(name)


async def _run(name: str, *arguments: str) -> asyncio.subprocess.Process:
    """Start a program; raises `PrometheusError` if it is not installed."""
    if (path := _program(name)) is None:
        raise PrometheusError(f"There is no {name}: scripts/setup prometheus")
    return await asyncio.create_subprocess_exec(
        path,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # A new session does not receive the Ctrl-C of the terminal.
        start_new_session=True,
    )


def _write_configuration(directory: Path, username: str, password: str) -> None:
    """Write the configuration files of the server."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CONFIGURATION).write_text("{}")
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4)).decode()
    (directory / WEB_CONFIGURATION).write_text(
        json.dumps({"basic_auth_users": {username: hashed}})
    )


async def _import(openmetrics: str, directory: Path) -> None:
    """Write samples into blocks of the server's data.

    Raises `PrometheusError` if Prometheus rejects the samples.
    """
    with NamedTemporaryFile("w", dir=directory, suffix=".txt") as samples:
        samples.write(openmetrics)
        samples.flush()
        process = await _run(
            "promtool",
            *("tsdb", "create-blocks-from", "openmetrics", "--quiet"),
            # Each block takes 0.1 s, as promtool reads all samples again. A month makes
            # one or two blocks of this size, but hundreds of the default size.
            "--max-block-duration=1488h",
            samples.name,
            str(directory / DATA),
        )
        output, _ = await process.communicate()
    if process.returncode:
        raise PrometheusError(output.decode(errors="replace"))
