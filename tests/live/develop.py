"""Run a whole Home Assistant with an account set up, to try the integration by hand.

The account is the one of the API key in the environment variable ALIBABA_CLOUD_API_KEY,
at the base URL in ALIBABA_CLOUD_BASE_URL if there is one. Without a key there are two of
simulators: one whose key reads money and usage, and one whose key reads limits only, with
an AccessKey, a bill of more than a year, and a Prometheus that has its use of this month
and of a day to come. Everything is kept for the next start, which is to use the same
ports.
"""

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
import os
from pathlib import Path
import shutil
import signal
import socket
import sys
from typing import Self

from tests.prometheus import Prometheus, PrometheusError
from tests.simulator import DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET, Simulator

from . import access_key
from .account import DOMAIN, enter_account
from .instance import (
    HOST,
    PASSWORD,
    RESTART_EXIT_CODE,
    ROOT,
    USER,
    HomeAssistant,
    StartError,
)

KEY_VARIABLE = "ALIBABA_CLOUD_API_KEY"
URL_VARIABLE = "ALIBABA_CLOUD_BASE_URL"
DEFAULT_BASE_URL = "https://dashscope.aliyuncs.com/api/v1"
SIMULATOR_KEY = "sk-simulator"

AHEAD = timedelta(days=1)
"""How long there is something to see of what is used, without another start."""

CONFIGURATION = """\
logger:
  default: warning
  logs:
    custom_components.alibaba_cloud: debug
"""


class DevelopError(Exception):
    """There is nothing to develop with; the text says why."""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line; exits where they make no sense."""
    parser = argparse.ArgumentParser(
        prog="scripts/develop",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port",
        type=port_number,
        default=8123,
        help="of Home Assistant (default: 8123)",
    )
    parser.add_argument(
        "--simulator-port",
        type=port_number,
        default=8765,
        help="of the first simulator; that of the account with an AccessKey and its"
        " Prometheus have the next two (default: 8765)",
    )
    parser.add_argument("--reset", action="store_true", help="start from nothing")
    parser.add_argument(
        "--directory",
        type=Path,
        default=ROOT / ".develop",
        help="where everything is kept (default: .develop)",
    )
    return parser.parse_args(arguments)


def port_number(text: str) -> int:
    """Return a port.

    Raises:
        ValueError: it is none.

    """
    number = int(text)
    if not 0 < number < 65536:
        raise ValueError(text)
    return number


async def develop(options: argparse.Namespace) -> None:
    """Run until Home Assistant ends by itself.

    Raises:
        DevelopError: it can't start, the key is refused, or it ends.

    """
    require_free(options.port, "--port")
    api_key = os.environ.get(KEY_VARIABLE, "").strip()
    directory = options.directory / ("account" if api_key else "simulator")
    if options.reset:
        shutil.rmtree(directory, ignore_errors=True)
    async with AsyncExitStack() as stack:
        simulators = None
        if not api_key:
            simulators = await stack.enter_async_context(
                Simulators(options.simulator_port, directory / "prometheus")
            )
        say("Starting Home Assistant.")
        home_assistant = await stack.enter_async_context(
            HomeAssistant(
                directory,
                port=options.port,
                configuration=CONFIGURATION,
                environment={KEY_VARIABLE: api_key} if api_key else {},
                quiet=False,
            )
        )
        if not await home_assistant.entries(DOMAIN):
            await set_up(home_assistant, simulators)
        say(
            f"Home Assistant: {home_assistant.url}"
            f" (user {USER}, password {PASSWORD}). Ctrl-C ends it."
        )
        if simulators:
            say(simulators.told())
        while (status := await home_assistant.wait()) == RESTART_EXIT_CODE:
            await home_assistant.restart()
        raise DevelopError(f"Home Assistant ended with status {status}.")


class Simulators:
    """The services of both simulated accounts, as an asynchronous context manager."""

    def __init__(self, port: int, directory: Path) -> None:
        """Prepare to serve this port and the next two.

        directory: where Prometheus keeps its data; emptied at each start.
        """
        self.plain = Simulator(port=port)
        self.with_access_key = Simulator(
            port=port + 1, account=access_key.busy_account()
        )
        self.prometheus_url = ""
        self._ports = range(port, port + 2 + Prometheus.is_available())
        self._directory = directory
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start.

        Raises:
            DevelopError: a port is taken, or Prometheus does not start.

        """
        for port in self._ports:
            require_free(port, "--simulator-port")
        async with self._stack:
            for simulator in (self.plain, self.with_access_key):
                await self._stack.enter_async_context(simulator)
            self.prometheus_url = self.with_access_key.prometheus_url
            if Prometheus.is_available():
                prometheus = await self._stack.enter_async_context(
                    await self._start_prometheus()
                )
                self.prometheus_url = prometheus.url
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self._stack.aclose()

    def told(self) -> str:
        """Return where everything is, and what can be done with it."""
        plain, with_access_key = (
            self.plain.control_url,
            self.with_access_key.control_url,
        )
        return (
            f"Simulator:      {plain}\n"
            f'  curl -d \'{{"fault": "throttled"}}\' {plain}\n'
            f"  curl -d '{{\"fault\": null}}' {plain}\n"
            f"With AccessKey: {with_access_key}\n"
            f'  curl -d \'{{"fault": "throttled", "at": "billing"}}\''
            f" {with_access_key}\n"
            f"  curl -d '{{\"access_keys\": {{}}}}' {with_access_key}\n"
            f"Prometheus:     {self.prometheus_url}"
            f" (user {DEFAULT_ACCESS_KEY_ID}, password {DEFAULT_ACCESS_KEY_SECRET})"
        )

    async def _start_prometheus(self) -> Prometheus:
        """Return a Prometheus of this month and of some time to come.

        Raises:
            DevelopError: it does not start.

        """
        shutil.rmtree(self._directory, ignore_errors=True)
        usage = access_key.usage_of(
            self.with_access_key.account.models, datetime.now(UTC), ahead=AHEAD
        )
        try:
            return await access_key.serve_usage(
                usage, self.with_access_key, self._directory, port=self._ports[-1]
            )
        except PrometheusError as err:
            raise DevelopError(f"Prometheus does not start: {err}") from err


async def set_up(home_assistant: HomeAssistant, simulators: Simulators | None) -> None:
    """Set up the simulated accounts, else that of the key in the environment.

    Raises:
        DevelopError: the key is refused.

    """
    if simulators:
        await access_key.set_up(
            home_assistant, simulators.with_access_key, simulators.prometheus_url
        )
        base_url = simulators.plain.base_url
        step = await enter_account(
            home_assistant, api_key=SIMULATOR_KEY, base_url=base_url
        )
    else:
        base_url = os.environ.get(URL_VARIABLE) or DEFAULT_BASE_URL
        step = await home_assistant.start_flow(DOMAIN)
        for answer in (
            {"next_step_id": "environment"},
            {"base_url": "url"},
            {"url": base_url},
        ):
            step = await home_assistant.continue_flow(step["flow_id"], **answer)
    if step.get("step_id") == "access_key":
        # A key that reads limits only: an AccessKey can be added, and models chosen,
        # in the frontend.
        step = await home_assistant.continue_flow(step["flow_id"])
        step = await home_assistant.continue_flow(step["flow_id"], all_models=True)
    if step["type"] == "create_entry":
        return
    translations = await home_assistant.command(
        "frontend/get_translations",
        language="en",
        category="config",
        integration=[DOMAIN],
    )
    [error] = step["errors"].values()
    text: str = translations["resources"][f"component.{DOMAIN}.config.error.{error}"]
    raise DevelopError(
        f"No account could be set up at {base_url}: "
        + text.format(**step["description_placeholders"])
    )


def require_free(port: int, option: str) -> None:
    """Make sure that nobody listens on a port.

    Raises:
        DevelopError: somebody does.

    """
    try:
        socket.create_server((HOST, port)).close()
    except OSError as err:
        reason = os.strerror(err.errno or 0)
        raise DevelopError(
            f"Port {port} can't be used ({reason}): choose another one with {option}."
        ) from err


def say(text: str) -> None:
    """Tell the developer."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def run(options: argparse.Namespace) -> None:
    """Run until Ctrl-C or SIGTERM; a second one no longer waits for a clean end.

    Raises:
        DevelopError: there is no running.
        StartError: Home Assistant does not start.

    """
    task = asyncio.create_task(develop(options))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


def main() -> int:
    """Return the exit status."""
    try:
        asyncio.run(run(parse_arguments()))
    except (DevelopError, StartError) as err:
        sys.stderr.write(f"{err}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
