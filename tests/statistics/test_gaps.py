"""Months and days that the service rejects, fails on or omits."""

from datetime import date
from decimal import Decimal
from functools import partial
import json

import pytest

from custom_components.alibaba_cloud.model_studio import (
    OTHERS,
    AccountError,
    ModelStudioError,
    RateLimitError,
)
from homeassistant.core import HomeAssistant
from tests.simulator.faults import Refusal
from tests.simulator.openapi import roa_answer

from .common import MODELS, REFUSALS, World, canned, dump, nothing_before, refuse_before


@pytest.mark.parametrize("refusal", REFUSALS, ids=["gateway", "service", "number"])
async def test_old_months_are_refused(world: World, refusal: Refusal) -> None:
    """Months that the service rejects are skipped, also after a long absence."""
    world.simulator.trend_body = refuse_before("2026-07-01", refusal)
    await world.run(*MODELS)
    world.bill(*MODELS, first=date(2026, 7, 1))
    await world.check()

    world.away(150)
    world.simulator.trend_body = refuse_before("2026-12-01", refusal)
    await world.run(*MODELS)
    # The months in between can't be read any more.
    world.bill(*MODELS, first=date(2026, 12, 1))
    await world.check()


@pytest.mark.parametrize(
    ("first", "refusal", "error"),
    [
        ("2026-07-01", Refusal(500, "InternalError", "?"), AccountError),
        ("2026-07-01", Refusal(200, "SystemError", "?"), AccountError),
        ("2026-07-01", Refusal(429, "Throttling.User", "?"), RateLimitError),
        ("2026-09-01", REFUSALS[0], AccountError),
    ],
    ids=["500", "in the body", "throttled", "all refused"],
)
@pytest.mark.parametrize("known", [False, True], ids=["at first", "after a while"])
async def test_failure_in_the_middle(
    hass: HomeAssistant,
    world: World,
    first: str,
    refusal: Refusal,
    error: type[ModelStudioError],
    known: bool,
) -> None:
    """An import that fails writes nothing."""
    if known:
        await world.run(*MODELS)
    rows_before = await dump(hass)
    assert bool(rows_before) is known
    world.away(1)
    world.simulator.trend_body = refuse_before(first, refusal)
    with pytest.raises(error):
        await world.run(*MODELS, "rare")
    assert await dump(hass) == rows_before

    world.simulator.trend_body = None
    await world.run(*MODELS, "rare")
    world.bill(*MODELS, "rare")
    await world.check()


@pytest.mark.parametrize("forgotten", ["left out", "zeros", "null", "refused"])
async def test_months_no_longer_reported_stay(world: World, forgotten: str) -> None:
    """Months that the service no longer reports keep their amounts."""
    await world.run("qwen-max")
    world.bill("qwen-max")
    start = date(2026, 8, 1)
    if forgotten == "refused":
        world.simulator.trend_body = refuse_before(str(start), REFUSALS[0])
    else:
        world.account.history_start = start
    if forgotten == "zeros":
        world.simulator.trend_body = partial(nothing_before, start)
    if forgotten == "null":
        world.simulator.trend_body = lambda query: (
            roa_answer(None, "request")
            if json.loads(query["timePeriod"])["start"] < str(start)
            else None
        )
    await world.run("qwen-max", "qwen-plus")
    await world.check()
    world.amounts.clear()
    world.bill("qwen-plus", first=start)
    del world.amounts[None]
    await world.check()


async def test_days_and_models_left_out_stay(world: World) -> None:
    """A missing day, or a model that may be merged into others, keeps its amount."""
    billed: dict[str, dict[str | None, str]] = {
        "2026-08-12": {None: "10.00", "a": "6.00", "b": "4.00"},
        "2026-08-13": {None: "20.00", "a": "15.00", "b": "5.00"},
        "2026-08-14": {None: "30.00", "a": "24.00", "b": "6.00"},
    }
    world.simulator.trend_body = partial(canned, billed)
    await world.run("a", "b")

    def expect(*amounts: tuple[str, str, str]) -> None:
        for model, column in zip(
            (None, "a", "b"), zip(*amounts, strict=True), strict=True
        ):
            world.amounts[model] = {
                date(2026, 8, 12 + number): Decimal(amount)
                for number, amount in enumerate(column)
            }

    unchanged = (("10.00", "6.00", "4.00"), ("20.00", "15.00", "5.00"))
    expect(*unchanged, ("30.00", "24.00", "6.00"))
    await world.check()

    world.away(1)
    del billed["2026-08-13"]
    billed["2026-08-14"] = {None: "33.00", "a": "25.00", OTHERS: "8.00"}
    billed["2026-08-15"] = {None: "7.00", OTHERS: "7.00"}
    await world.run("a", "b")
    expect(*unchanged, ("33.00", "25.00", "6.00"), ("7.00", "0", "0"))
    await world.check()

    # Once the service reports them again, the rows change.
    world.away(1)
    billed["2026-08-13"] = {None: "20.00", "a": "20.00"}
    billed["2026-08-15"] = {None: "7.00", "b": "7.00"}
    billed["2026-08-14"] = {None: "33.00", "a": "33.00"}
    await world.run("a", "b")
    expect(
        ("10.00", "6.00", "4.00"),
        ("20.00", "20.00", "0"),
        ("33.00", "33.00", "0"),
        ("7.00", "0", "7.00"),
        ("0", "0", "0"),
    )
    await world.check()
