"""Imports that are throttled and continue later."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from random import Random

import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountError,
    Dimension,
    RateLimitError,
)
from custom_components.alibaba_cloud.past_bills import EMPTY_MONTHS
from tests.simulator.faults import Refusal

from .common import DAY, MODELS, World


@pytest.mark.parametrize("allowed", [1, 2, 5])
async def test_throttled_import_continues(world: World, allowed: int) -> None:
    """The next attempt continues with the rejected request and repeats no other."""
    world.account.history_start = first = date(2025, 6, 17)
    left = 0

    def body(query: Mapping[str, str]) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Refusal(429, "Throttling.User", "?")

    world.simulator.trend_body = body
    left = attempts = 0
    while True:
        left = allowed
        try:
            await world.run(*MODELS)
        except RateLimitError:
            attempts += 1
        else:
            break
    needed = 2 + 14 + EMPTY_MONTHS
    assert attempts == (needed - 1) // allowed
    assert len(world.simulator.signed_requests) == needed + attempts
    world.bill(*MODELS, first=first)
    await world.check()
    # Once everything is written, no bill stays in memory; recent ones are read again.
    left = 100
    assert await world.run(*MODELS) == 2


@pytest.mark.parametrize("seed", range(6))
async def test_throttled_import_while_bills_change(world: World, seed: int) -> None:
    """The sums are right if days pass and bills are revised between attempts."""
    random = Random(seed)
    world.account.history_start = first = date(2026, 1, 5)
    left = 0

    def body(query: Mapping[str, str]) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise random.choice(
                [
                    Refusal(429, "Throttling.User", "?"),
                    Refusal(500, "InternalError", "?"),
                ]
            )

    world.simulator.trend_body = body
    for _ in range(3):
        for _ in range(5):
            left = random.randrange(6)
            with suppress(AccountError, RateLimitError):
                await world.run(*MODELS)
            world.away(random.choice([0, 1, 1, 3]))
            day = world.yesterday - random.randrange(30) * DAY
            world.account.adjust(day, random.choice(MODELS), "12.34")
            assert world.spend_import is not None
            assert len(world.spend_import._past[Dimension.MODEL]._months) < 30
        left = 100
        # Bills that were read on one day are read again on the next day.
        world.away(1)
        await world.run(*MODELS)
        world.bill(*MODELS, first=first)
        await world.check()
