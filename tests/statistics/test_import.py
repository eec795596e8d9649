"""The first import of past spend, and imports that end early."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import date
from decimal import Decimal
from functools import partial
import json
from typing import Any
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)

from custom_components.alibaba_cloud import past_bills
from custom_components.alibaba_cloud.owners import statistic_id
from custom_components.alibaba_cloud.past_bills import EMPTY_MONTHS
from homeassistant.components.recorder.statistics import (
    async_add_external_statistics,
    async_list_statistic_ids,
)
from homeassistant.core import HomeAssistant
from tests.simulator import Account, Simulator

from .common import (
    ADD,
    DAY,
    MODELS,
    ON_BOTH,
    YESTERDAY,
    Billed,
    World,
    canned,
    cut_after,
    dump,
    nothing_before,
    rows_of,
    summed,
)


@ON_BOTH
async def test_all_of_the_past(hass: HomeAssistant, world: World) -> None:
    """The first import reads all months; a second import writes nothing."""
    first = world.account.history_start = date(2025, 6, 17)
    requests = await world.run(*MODELS)
    # The last weeks, the months before them, and the empty months that end the import.
    assert requests == 2 + 14 + EMPTY_MONTHS
    world.bill(*MODELS, first=first)
    await world.check()
    assert world.amounts[None][first] > 0
    assert min(world.amounts[None].values()) < 0

    listed = await async_list_statistic_ids(hass, statistic_type="sum")
    assert {
        (row["statistic_id"], row["name"], row["statistics_unit_of_measurement"])
        for row in listed
    } == {
        ("alibaba_cloud:account_cny_spend", "Spend (Model Studio)", "CNY"),
        (
            "alibaba_cloud:account_cny_spend_qwen_max",
            "qwen-max spend (Model Studio)",
            "CNY",
        ),
        (
            "alibaba_cloud:account_cny_spend_qwen_plus",
            "qwen-plus spend (Model Studio)",
            "CNY",
        ),
    }

    before = await dump(hass)
    with patch(ADD) as add:
        assert await world.run(*MODELS) == 2
        world.imported = ()
        assert await world.run(*MODELS) == requests
    add.assert_not_called()
    assert await dump(hass) == before


@ON_BOTH
async def test_names_in_another_language(hass: HomeAssistant, world: World) -> None:
    """The names of the statistics are in Home Assistant's language."""
    hass.config.language = "de"
    await world.run("qwen-max")
    await async_wait_recording_done(hass)
    listed = await async_list_statistic_ids(hass, statistic_type="sum")
    assert {row["name"] for row in listed} == {
        "Ausgaben (Model Studio)",
        "Ausgaben für qwen-max (Model Studio)",
    }


@ON_BOTH
@pytest.mark.parametrize("written", range(4))
@pytest.mark.parametrize("known", [False, True], ids=["at first", "after a while"])
async def test_import_fails_between_statistics(
    hass: HomeAssistant, world: World, written: int, known: bool
) -> None:
    """After a failure before or between statistics, the next import writes the rest."""
    rare = (*MODELS[:1], "rare")
    if known:
        await world.run(*rare)
        world.away(60)
        # The model's first bill since then, too old for the daily import.
        world.account.adjust(date(2026, 8, 20), "rare", "7.00")
    with cut_after(written):
        if written < 3:
            with pytest.raises(OSError):
                await world.run(*rare)
        else:
            await world.run(*rare)
    world.bill(*rare)
    if written < 3:
        await async_wait_recording_done(hass)
        world.away(1)
        await world.run(*rare)
        world.bill(*rare)
    await world.check()


async def test_import_is_canceled_between_two_models(
    hass: HomeAssistant, world: World
) -> None:
    """After a cancellation between two models, the next import writes the rest."""
    written = []

    def add(*args: Any) -> None:
        written.append(args)
        async_add_external_statistics(*args)
        task.cancel()

    task = hass.async_create_task(world.run(*MODELS))
    with patch(ADD, add), pytest.raises(asyncio.CancelledError):
        await task
    assert len(written) == 1
    world.away(1)
    await world.run(*MODELS)
    world.bill(*MODELS)
    await world.check()


async def test_import_fails_between_two_currencies(world: World) -> None:
    """After a failure between two currencies, the next import writes the rest."""
    days = [date(2026, 6, 1) + number * DAY for number in range(200)]
    billed: Billed = {str(day): {None: "1.50"} for day in days}

    def body(query: Mapping[str, str]) -> Any:
        cny, usd = (canned(billed, query, currency=unit) for unit in ("CNY", "USD"))
        cny["data"]["resultByTime"] += usd["data"]["resultByTime"]
        return cny

    world.simulator.trend_body = body
    await world.run()
    world.away(60)
    with cut_after(1), pytest.raises(OSError):
        await world.run()
    await async_wait_recording_done(world.hass)
    await world.run()
    world.amounts[None] = {
        day: Decimal("1.50") for day in days if day <= world.yesterday
    }
    await world.check("CNY")
    await world.check("USD")


async def test_two_accounts(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, world: World
) -> None:
    """Two accounts have separate statistics, each in its currency."""
    account = Account(history_start=date(2026, 1, 1), currency="USD", seed=1)
    async with Simulator(account=account) as simulator:
        other = World(
            hass=hass, freezer=freezer, simulator=simulator, entry_id="01JOTHER"
        )
        await world.run(*MODELS)
        await other.run(*MODELS)
        world.away(1)
        await other.run(*MODELS)
        await world.run(*MODELS)
        world.bill(*MODELS)
        other.bill(*MODELS, first=date(2026, 1, 1))
    await world.check()
    await other.check("USD")


@pytest.mark.parametrize("models", [(), MODELS], ids=["no models", "models"])
async def test_last_weeks_without_bills(world: World, models: tuple[str, ...]) -> None:
    """Spend is imported also if the last weeks have no bills."""
    days = [date(2026, 5, 20) + number * DAY for number in range(40)]
    billed: Billed = {str(day): {None: "1.50", "qwen-max": "1.50"} for day in days}
    world.simulator.trend_body = partial(canned, billed)
    if models:
        # Simulate a database that was lost after an import.
        world.imported = models
    await world.run(*models)
    for day in (days[0] + number * DAY for number in range(87)):
        for model in (None, *models[:1]):
            amount = Decimal("1.50") if day in days else Decimal()
            world.amounts.setdefault(model, {})[day] = amount
    assert max(world.amounts[None]) == YESTERDAY
    await world.check()
    assert await world.run(*models) == 2


@pytest.mark.parametrize("zeros", [False, True], ids=["left out", "zeros"])
@pytest.mark.parametrize("models", [(), MODELS], ids=["no models", "models"])
async def test_nothing_was_ever_billed(
    hass: HomeAssistant, world: World, models: Collection[str], zeros: bool
) -> None:
    """Empty months are read once only; the first bill is imported."""
    start = date(2026, 9, 1)
    world.account.history_start = start
    if zeros:
        world.simulator.trend_body = partial(nothing_before, start)
    assert await world.run(*models) == 1 + EMPTY_MONTHS
    assert len(await dump(hass)) == zeros
    for _ in range(2):
        world.away(1)
        assert await world.run(*models) == 2
    assert {row[2] for row in await rows_of(hass, statistic_id("account", "CNY"))} == (
        {Decimal("0.0")} if zeros else set()
    )

    world.freezer.move_to("2026-09-05 12:00:00+00:00")
    await world.run(*models)
    world.bill(*models, first=start)
    if zeros:
        rows = await rows_of(hass, statistic_id("account", "CNY"))
        assert [row for row in rows if row[2]] == summed(world.amounts.pop(None))
    await world.check()


async def test_service_with_endless_bills(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import stops at a limit if the service has a bill for every month."""
    monkeypatch.setattr(past_bills, "MOST_MONTHS", 20)
    world.simulator.trend_body = lambda query: canned(
        {json.loads(query["timePeriod"])["start"]: {None: "1.00"}}, query
    )
    assert await world.run() == 1 + 20
    rows = await rows_of(world.hass, statistic_id("account", "CNY"))
    assert rows[0][0] == date(2025, 1, 1)
    assert rows[-1][2] == 20

    # The import also stops if the service returns the same days for every query.
    world.entry_id, world.spend_import = "other", None
    world.simulator.trend_body = lambda query: canned(
        {"2026-08-14": {None: "1.00"}},
        {"timePeriod": '{"start": "2026-08-01", "end": "2026-08-31"}'},
    )
    assert await world.run() == 1 + 1 + EMPTY_MONTHS
    rows = await rows_of(world.hass, statistic_id("other", "CNY"))
    assert rows == [(YESTERDAY, Decimal(1), Decimal(1))]
