"""Run a whole Home Assistant with an account set up, to try the integration by hand.

The account is the one of the API key in the environment variable ALIBABA_CLOUD_API_KEY,
at the base URL in ALIBABA_CLOUD_BASE_URL if there is one. Without a key it is that of a
simulator. Everything is kept for the next start.
"""

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
import os
from pathlib import Path
import shutil
import signal
import socket
import sys

from tests.simulator import Simulator

from .account import DOMAIN
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
        "--simulator-port", type=port_number, default=8765, help="(default: 8765)"
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
        simulator = None
        if not api_key:
            require_free(options.simulator_port, "--simulator-port")
            simulator = await stack.enter_async_context(
                Simulator(port=options.simulator_port)
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
            await set_up(home_assistant, simulator)
        say(
            f"Home Assistant: {home_assistant.url}"
            f" (user {USER}, password {PASSWORD}). Ctrl-C ends it."
        )
        if simulator:
            say(
                f"Simulator:      {simulator.control_url}\n"
                '  curl -d \'{"fault": "throttled"}\''
                f" {simulator.control_url}\n"
                f"  curl -d '{{\"fault\": null}}' {simulator.control_url}"
            )
        while (status := await home_assistant.wait()) == RESTART_EXIT_CODE:
            await home_assistant.restart()
        raise DevelopError(f"Home Assistant ended with status {status}.")


async def set_up(home_assistant: HomeAssistant, simulator: Simulator | None) -> None:
    """Set up the simulator's account, else that of the key in the environment.

    Raises:
        DevelopError: the key is refused.

    """
    step = await home_assistant.start_flow(DOMAIN)
    if simulator:
        data = {"api_key": SIMULATOR_KEY, "base_url": simulator.base_url}
    else:
        data = {"base_url": os.environ.get(URL_VARIABLE) or DEFAULT_BASE_URL}
        step = await home_assistant.continue_flow(
            step["flow_id"], next_step_id="environment"
        )
    step = await home_assistant.continue_flow(step["flow_id"], **data)
    if step.get("step_id") == "models":
        # A key that reads limits only; models can be chosen in the options.
        step = await home_assistant.continue_flow(step["flow_id"], models=[])
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
        f"No account could be set up at {data['base_url']}: "
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
