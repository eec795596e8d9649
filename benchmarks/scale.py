"""Several accounts in one Home Assistant: costs grow with them.

Growth is the exponent of the power of the number of accounts that fits best: with 1, ten
accounts cost ten times as much as one.
"""

import argparse
import asyncio
from dataclasses import dataclass
from math import log
from statistics import linear_regression, median
import sys
from typing import Any

from homeassistant.core import HomeAssistant

from .common import (
    DOMAIN,
    SHARES,
    Service,
    add_account,
    at_most,
    home_assistant,
    imported,
    in_fresh_process,
    loop_cpu,
    measured,
    progress,
    report,
    settled,
)

ACCOUNTS = (1, 3, 10)
MODELS = 500
ROUNDS = 12


@dataclass
class Scale:
    """What so many accounts cost."""

    set_up: float
    """CPU seconds."""
    polls: dict[str, float]
    """CPU seconds of the event loop for a poll of each account, by share of changes."""


async def _measure(accounts: int, models: int) -> Scale:
    with Service(*[models] * accounts) as service:
        async with home_assistant() as hass:
            await imported(hass, DOMAIN, "binary_sensor", "event", "sensor")
            with measured() as cost:
                entries = await asyncio.gather(
                    *(add_account(hass, base_url) for base_url in service.base_urls)
                )
            await settled(hass)
            coordinators = [entry.runtime_data.quotas for entry in entries]
            polls = {
                name: await _poll_all(hass, service, coordinators, share)
                for name, share in SHARES.items()
            }
    return Scale(cost.all, polls)


async def _poll_all(
    hass: HomeAssistant, service: Service, coordinators: list[Any], share: float
) -> float:
    """Return the median CPU seconds of a poll of each account, in all."""
    rounds = []
    for _ in range(ROUNDS):
        service.move(share)
        rounds.append(
            sum([await loop_cpu(hass, each.async_refresh) for each in coordinators])
        )
    # The first round may have more to change than the others.
    return median(rounds[1:])


def measure(accounts: int, models: int) -> Scale:
    """Set accounts up, and poll them."""
    return asyncio.run(_measure(accounts, models))


def exponent(costs: dict[int, float]) -> float:
    """Return the exponent of the power of the number of accounts that fits best."""
    line = linear_regression([*map(log, costs)], [*map(log, costs.values())])
    return line.slope


def main() -> int:
    """Measure and report; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=int, default=MODELS, help="in each account")
    models = parser.parse_args().models
    scales: dict[int, Scale] = {}
    for accounts in ACCOUNTS:
        progress(f"accounts: {accounts}")
        scales[accounts] = in_fresh_process(measure, accounts, models)
    costs = {"CPU of set-up, s": {n: scale.set_up for n, scale in scales.items()}}
    for share in SHARES:
        costs[f"CPU of all polls, {share}, ms"] = {
            n: scale.polls[share] * 1000 for n, scale in scales.items()
        }
    return report(
        [f"Accounts with {models} models", *map(str, ACCOUNTS), "Exponent"],
        [
            [name, *(f"{cost:.3g}" for cost in by.values()), f"{exponent(by):.2f}"]
            for name, by in costs.items()
        ],
        [at_most(f"{name}: exponent", 1.1, exponent(by)) for name, by in costs.items()],
    )


if __name__ == "__main__":
    sys.exit(main())
