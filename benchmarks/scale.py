"""Several accounts in one Home Assistant: costs grow as they do, polls are spread.

Accounts are set up side by side, as they are when Home Assistant starts. What they cost
is held against their number, as the exponent of the power that fits best: with 1, ten
accounts cost ten times as much as one. A Home Assistant without any is taken off before.

Then a minute passes, a real one, and the service notes when it is asked. It does so for
small accounts, too: those are set up at once, while larger ones take so long that they
would be spread by that alone.
"""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from statistics import fmean, median
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator

from .common import (
    DOMAIN,
    POLL_INTERVAL,
    Cost,
    Result,
    Service,
    Table,
    arguments,
    at_most,
    home_assistant,
    imported,
    in_fresh_process,
    loop_cpu,
    measured,
    peak_memory,
    progress,
    report,
    reset_peak_memory,
    set_up_accounts,
    settled,
)

ACCOUNTS = (1, 3, 10)
MODELS = 500
FEW_MODELS = 10
SHARES = {"unchanged": 0.0, "5 % changed": 0.05}
ROUNDS = 12
MINUTE = 2 * POLL_INTERVAL

EXPONENT = 1.1
WINDOW = 3
"""Seconds, a tenth of those between two polls, in which there may be half of the polls."""


@dataclass
class Scale:
    """What so many accounts cost."""

    set_up: Cost
    polls: dict[str, float]
    """CPU seconds of the loop, for a poll of each account."""
    memory: int
    """Peak, in bytes."""
    asked: list[float]
    """When the service was asked within a minute, in seconds from its start."""


async def _measure(accounts: int, models: int) -> Scale:
    """Set accounts up, poll them, and look on for a minute."""
    with Service(*[models] * accounts) as service:
        async with home_assistant() as hass:
            await imported(hass, DOMAIN, "binary_sensor", "event", "sensor")
            before = reset_peak_memory()
            with measured() as cost:
                coordinators = await set_up_accounts(hass, service.base_urls)
            await settled(hass)
            memory = peak_memory() - before
            asked = await _look_on(service)
            polls = {
                name: await _poll_all(hass, service, coordinators, share)
                for name, share in SHARES.items()
            }
    return Scale(cost, polls, memory, asked)


async def _look_on(service: Service) -> list[float]:
    """Return when accounts are polled within the minute that follows."""
    loop = asyncio.get_running_loop()
    service.asked()
    start = loop.time()
    await asyncio.sleep(MINUTE)
    return sorted(when - start for account in service.asked() for when in account)


async def _poll_all(
    hass: HomeAssistant,
    service: Service,
    coordinators: Sequence[DataUpdateCoordinator[Any]],
    share: float,
) -> float:
    """Return the median CPU seconds that a poll of each account takes in all."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        service.move(share)
        rounds.append(
            sum(
                [
                    await loop_cpu(hass, account.async_refresh)
                    for account in coordinators
                ]
            )
        )
    # The first has more to do than others.
    return median(rounds[1:])


def measure(accounts: int, models: int) -> Scale:
    """Do so in this process."""
    return asyncio.run(_measure(accounts, models))


async def _measure_spread(accounts: int, models: int) -> list[float]:
    """Set accounts up, and return when they are polled within the next minute."""
    with Service(*[models] * accounts) as service:
        async with home_assistant() as hass:
            await imported(hass, DOMAIN, "binary_sensor", "event", "sensor")
            await set_up_accounts(hass, service.base_urls)
            return await _look_on(service)


def measure_spread(accounts: int, models: int) -> list[float]:
    """Do so in this process."""
    return asyncio.run(_measure_spread(accounts, models))


def exponent(costs: dict[int, float]) -> float:
    """Return the exponent of the power of the number of accounts that fits best."""
    points = [(log(number), log(cost)) for number, cost in costs.items()]
    x_mean, y_mean = (fmean(values) for values in zip(*points, strict=True))
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / sum(
        (x - x_mean) ** 2 for x, _ in points
    )


def most_at_once(asked: Sequence[float]) -> int:
    """Return how many polls there are, at most, within the window."""
    return max(sum(start <= when < start + WINDOW for when in asked) for start in asked)


def longest_pause(asked: Sequence[float]) -> float:
    """Return the longest time between two polls, in seconds."""
    ends = [0.0, *asked, float(MINUTE)]
    return max(later - earlier for earlier, later in pairwise(ends))


def result_of(
    scales: dict[int, Scale], models: int, small: dict[int, list[float]]
) -> Result:
    """Return what was measured, and what it means."""
    costs = {
        "CPU of set-up, s": {n: scale.set_up.cpu for n, scale in scales.items()},
        **{
            f"CPU of all polls, {name}, ms": {
                n: scale.polls[name] * 1000 for n, scale in scales.items()
            }
            for name in SHARES
        },
        "Peak memory, MB": {n: scale.memory / 2**20 for n, scale in scales.items()},
    }
    growth = Table(
        f"Cost of accounts with {models} models",
        ["Cost", *(_accounts(n) for n in scales), "Exponent"],
        [
            [name, *(f"{cost:.3g}" for cost in by.values()), f"{exponent(by):.2f}"]
            for name, by in costs.items()
        ],
    )
    spreads = {
        models: {n: scale.asked for n, scale in scales.items()},
        FEW_MODELS: small,
    }
    spread = Table(
        "Polls within a minute",
        ["Accounts", "Models", "Polls", f"Most within {WINDOW} s", "Longest pause, s"],
        [
            [
                str(n),
                str(size),
                str(len(asked)),
                str(most_at_once(asked)),
                f"{longest_pause(asked):.1f}",
            ]
            for size, by in spreads.items()
            for n, asked in by.items()
        ],
    )
    most = max(scales)
    at_once = [most_at_once(by[most]) for by in spreads.values()]
    return Result(
        "scale",
        tables=[growth, spread],
        goals=[
            *(
                at_most(f"{name}: exponent", EXPONENT, [exponent(by)])
                for name, by in costs.items()
            ),
            at_most(
                f"Polls of {_accounts(most)} within {WINDOW} s, a tenth of the interval",
                most / 2,
                at_once,
            ),
        ],
        notes=[
            (
                f"CPU of polls is that of the event loop's thread, the median of "
                f"{ROUNDS - 1} rounds of one poll of each account, one after the other."
            ),
        ],
        figures={"accounts": scales, "spread": spreads},
    )


def _accounts(number: int) -> str:
    return "1 account" if number == 1 else f"{number} accounts"


def main() -> None:
    """Measure and report."""

    def prepare(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--models",
            type=int,
            default=MODELS,
            help="in each account (default: %(default)s)",
        )

    options = arguments(
        "What several accounts cost, and when they are polled.", prepare
    )
    scales: dict[int, Scale] = {}
    for accounts in ACCOUNTS:
        progress(f"scale: {_accounts(accounts)} of {options.models} models")
        scales[accounts] = in_fresh_process(measure, accounts, options.models)
    small = {}
    for accounts in ACCOUNTS:
        progress(f"scale: {_accounts(accounts)} of {FEW_MODELS} models")
        small[accounts] = in_fresh_process(measure_spread, accounts, FEW_MODELS)
    report(result_of(scales, options.models, small), options.json)


if __name__ == "__main__":
    main()
