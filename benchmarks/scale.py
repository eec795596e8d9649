"""Several accounts in one Home Assistant: costs grow with them.

Growth is the exponent of the power of the number of accounts that fits best: with 1, ten
accounts cost ten times as much as one.
"""

import argparse
import asyncio
from collections import defaultdict
from math import log
from statistics import linear_regression, median
import sys
import time

from .common import (
    SHARES,
    Service,
    at_most,
    cpu_of_polls,
    home_assistant,
    import_cases,
    in_fresh_process,
    progress,
    report,
    settled,
)
from .poll import set_up_ours

ACCOUNTS = (1, 3, 10)
MODELS = 500
ROUNDS = 12


async def measure(accounts: int, models: int) -> dict[str, float]:
    """Set up and poll accounts; return the costs by the name of the row."""
    with Service(*[models] * accounts) as service:
        async with home_assistant() as hass:
            await import_cases(hass)
            started = time.process_time()
            polls = await asyncio.gather(
                *(set_up_ours(hass, base_url) for base_url in service.base_urls)
            )
            costs = {"CPU of set-up, s": time.process_time() - started}
            await settled(hass)
            for name, share in SHARES.items():
                took = await cpu_of_polls(
                    hass, service, polls, share=share, rounds=ROUNDS
                )
                rounds = map(sum, zip(*took, strict=True))
                costs[f"CPU of all polls, {name}, ms"] = median(rounds) * 1000
    return costs


def exponent(costs: list[float]) -> float:
    """Return the exponent of the power of the number of accounts that fits best."""
    return linear_regression([*map(log, ACCOUNTS)], [*map(log, costs)]).slope


def main() -> int:
    """Measure and report; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=int, default=MODELS, help="in each account")
    models = parser.parse_args().models
    costs: dict[str, list[float]] = defaultdict(list)
    for accounts in ACCOUNTS:
        progress(f"accounts: {accounts}")
        for name, cost in in_fresh_process(measure, accounts, models).items():
            costs[name].append(cost)
    return report(
        [f"Accounts with {models} models", *map(str, ACCOUNTS), "Exponent"],
        [
            [name, *(f"{cost:.3g}" for cost in by), f"{exponent(by):.2f}"]
            for name, by in costs.items()
        ],
        [at_most(f"{name}: exponent", 1.1, exponent(by)) for name, by in costs.items()],
    )


if __name__ == "__main__":
    sys.exit(main())
