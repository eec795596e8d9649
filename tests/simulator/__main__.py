"""Serve the simulator by itself, for development: `python -m tests.simulator`."""

import argparse
import asyncio
from collections.abc import Sequence
import signal
import sys

from .account import ANSWERS, Account
from .control import CURRENCIES, Simulator
from .server import DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET, DEFAULT_KEY


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command-line options; exit with an error if they are invalid."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulator", description=__doc__
    )
    parser.add_argument(
        "--port", type=int, default=8765, help="0 is any free one (default: 8765)"
    )
    parser.add_argument(
        "--answer",
        choices=ANSWERS,
        default=ANSWERS[0],
        help="which of its two shapes the service speaks (default: account)",
    )
    parser.add_argument(
        "--api-key",
        default=DEFAULT_KEY,
        help=f"the key that is let in (default: {DEFAULT_KEY})",
    )
    parser.add_argument(
        "--currency",
        choices=CURRENCIES,
        default=CURRENCIES[0],
        help=f"of the bill and the balance (default: {CURRENCIES[0]})",
    )
    return parser.parse_args(arguments)


async def serve(options: argparse.Namespace) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        OSError: the port is taken.

    """
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    account = Account(answer=options.answer, currency=options.currency)
    async with Simulator(port=options.port, account=account) as simulator:
        simulator.api_keys = {options.api_key}
        sys.stdout.write(
            f"Base URL:   {simulator.base_url}\n"
            f"OpenAPI:    {simulator.openapi_url}\n"
            f"Prometheus: {simulator.prometheus_url}\n"
            f"Control:    {simulator.control_url}\n"
            f"API key:    {options.api_key}\n"
            f"AccessKey:  {DEFAULT_ACCESS_KEY_ID} {DEFAULT_ACCESS_KEY_SECRET}\n"
            "\n"
            f"curl -H 'Authorization: Bearer {options.api_key}'"
            f" {simulator.base_url}/quotas\n"
            f"curl -H 'Authorization: Bearer {options.api_key}'"
            f" '{simulator.base_url}/models?language=en'\n"
            f"curl -u {DEFAULT_ACCESS_KEY_ID}:{DEFAULT_ACCESS_KEY_SECRET}"
            f" {simulator.prometheus_url}/api/v1/query?query=model_usage\n"
            f'curl -d \'{{"fault": "throttled", "at": "billing", "options":'
            f' {{"retry_after": 60}}}}\' {simulator.control_url}\n'
        )
        sys.stdout.flush()
        await stopped.wait()


def main() -> int:
    """Run the simulator until it is stopped and return the exit status."""
    options = parse_arguments()
    try:
        asyncio.run(serve(options))
    except (OSError, OverflowError) as err:
        sys.stderr.write(f"Cannot serve port {options.port}: {err}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
