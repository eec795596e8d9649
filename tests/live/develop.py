"""Run Home Assistant with an account that is set up, to try the integration by hand.

The account belongs to the API key in the environment variable ALIBABA_CLOUD_API_KEY.
ALIBABA_CLOUD_BASE_URL may contain its base URL. Without a key, two simulated accounts
are set up. The API key of the first one reads money and usage. The API key of the
second one reads limits only; this account has an AccessKey, bills of more than a year,
and a Prometheus with its usage of this month and the next day. All data is kept for the
next start, which needs the same ports.

The set-up finds the Prometheus of the second account. Reconfigure its AccessKey without
the URL of Prometheus to see the list.
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
from tests.simulator import (
    DEFAULT_ACCESS_KEY_ID,
    DEFAULT_ACCESS_KEY_SECRET,
    Instance,
    Simulator,
)

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

MODELS = 5
"""The models of a real account that get a device, if its key reads limits only."""
AHEAD = timedelta(days=1)
"""How far ahead Prometheus has usage; then a new start is needed."""

CONFIGURATION = """\
logger:
  default: warning
  logs:
    custom_components.alibaba_cloud: debug
"""


class DevelopError(Exception):
    """Raised if nothing can be started; the text is the reason."""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command-line options; exit with an error if they are invalid."""
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
    """Return the port number that a text contains.

    Raises:
        ValueError: the text is not a port number.

    """
    number = int(text)
    if not 0 < number < 65536:
        raise ValueError(text)
    return number


async def develop(options: argparse.Namespace) -> None:
    """Run Home Assistant until it ends or the task is cancelled.

    Raises:
        DevelopError: the start fails, the key is rejected, or Home Assistant ends.

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
            say(simulators.summary())
        while (status := await home_assistant.wait()) == RESTART_EXIT_CODE:
            await home_assistant.restart()
        raise DevelopError(f"Home Assistant ended with status {status}.")


class Simulators:
    """The services of both simulated accounts, as an asynchronous context manager."""

    def __init__(self, port: int, directory: Path) -> None:
        """Prepare to serve on this port and the next two.

        directory: the data folder of Prometheus, which is deleted at each start.
        """
        self.plain = Simulator(port=port)
        self.with_access_key = Simulator(
            port=port + 1, account=access_key.complete_account()
        )
        self.prometheus_url = ""
        self._ports = range(port, port + 2 + Prometheus.is_available())
        self._directory = directory
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start all services.

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
            self.with_access_key.account.instances = [
                Instance(id="rw-1", name="Model Studio", url=self.prometheus_url),
                # The set-up refuses its host.
                Instance(id="rw-2", name="Elsewhere", url="https://example.com"),
            ]
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop all services."""
        await self._stack.aclose()

    def summary(self) -> str:
        """Return a text with the URLs of all services and examples to control them."""
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
        """Start a Prometheus with the usage of this month and the time ahead.

        Raises `DevelopError` if Prometheus does not start.
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
    """Set up the simulated accounts or, without simulators, that of the environment.

    Raises:
        DevelopError: the account can't be set up.

    """
    if simulators:
        account = await access_key.set_up(
            home_assistant, simulators.with_access_key, simulators.prometheus_url
        )
        # New options reload the account, which would cancel the import.
        await access_key.past_spend(account, "usd")
        await access_key.follow_groups(account)
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
        # The key reads limits only. The developer can add an AccessKey and select
        # other models in the frontend.
        step = await home_assistant.continue_flow(step["flow_id"])
        [models] = [f for f in step["data_schema"] if f["name"] == "models"]
        names = [option["value"] for option in models["selector"]["select"]["options"]]
        step = await home_assistant.continue_flow(
            step["flow_id"], all_models=False, models=names[:MODELS]
        )
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
    """Check that a port is free; `option` is the one that changes it.

    Raises:
        DevelopError: the port is in use.

    """
    try:
        socket.create_server((HOST, port)).close()
    except OSError as err:
        reason = os.strerror(err.errno or 0)
        raise DevelopError(
            f"Port {port} can't be used ({reason}): choose another one with {option}."
        ) from err


def say(text: str) -> None:
    """Print a text for the developer."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def run(options: argparse.Namespace) -> None:
    """Run until Ctrl-C or a signal; a second signal skips the clean shutdown.

    Raises:
        DevelopError: nothing can be started, or Home Assistant ends.
        StartError: Home Assistant does not start.

    """
    task = asyncio.create_task(develop(options))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


def main() -> int:
    """Run the script and return the exit status."""
    try:
        asyncio.run(run(parse_arguments()))
    except (DevelopError, StartError) as err:
        sys.stderr.write(f"{err}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
