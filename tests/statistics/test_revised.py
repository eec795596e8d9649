"""Bills, models, currencies and statistics that change after the import."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import partial

import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)

from custom_components.alibaba_cloud.owners import statistic_id
from custom_components.alibaba_cloud.past_bills import EMPTY_MONTHS, REVISED_DAYS
from homeassistant.core import HomeAssistant

from .common import (
    DAY,
    MODELS,
    ON_BOTH,
    YESTERDAY,
    Amounts,
    World,
    canned,
    delete,
    dump,
    rows_of,
)


@ON_BOTH
async def test_bills_are_revised(world: World) -> None:
    """Revised bills change the sums if they are recent enough; older rows stay."""
    await world.run(*MODELS)
    world.bill(*MODELS)
    world.away(1)
    world.bill(*MODELS, first=world.yesterday)
    first = YESTERDAY - REVISED_DAYS + DAY
    assert first == date(2026, 7, 11)
    for day, amount in ((first, "5.00"), (YESTERDAY, "-100.00")):
        world.account.adjust(day, "qwen-max", amount)
        world.bill(*MODELS, first=day, last=day)
    world.account.adjust(first - DAY, "qwen-max", "9.00")
    assert await world.run(*MODELS) == 2
    await world.check()


async def test_bill_is_taken_back(world: World) -> None:
    """If the only bill of a model is refunded, its sum is 0 again."""
    world.account.adjust(date(2026, 8, 10), "other", "5.00")
    await world.run("other")
    world.bill("other")
    await world.check()
    world.away(1)
    world.account.adjust(date(2026, 8, 10), "other", "-5.00")
    await world.run("other")
    world.bill()
    world.amounts["other"] = {}
    await async_wait_recording_done(world.hass)
    rows = await rows_of(world.hass, statistic_id("account", "CNY", "other"))
    assert rows == [
        (date(2026, 8, 10) + number * DAY, Decimal("0.0"), Decimal("0.0"))
        for number in range(6)
    ]


async def test_bills_that_cancel_out(world: World) -> None:
    """A day with a total of 0 still counts for the models that were billed."""
    world.simulator.trend_body = partial(
        canned,
        {
            "2026-07-01": {None: "0.00", "a": "5.00", "b": "-5.00"},
            "2026-08-14": {None: "1.00", "a": "1.00"},
        },
    )
    await world.run("a", "b")
    for model, first, last in ((None, "0", "1.00"), ("a", "5.00", "1.00")):
        rows = await rows_of(world.hass, statistic_id("account", "CNY", model))
        assert (rows[-1][0], rows[-1][2]) == (YESTERDAY, Decimal(first) + Decimal(last))
    rows = await rows_of(world.hass, statistic_id("account", "CNY", "b"))
    assert {row[2] for row in rows} == {Decimal("-5.0")}


@ON_BOTH
async def test_long_absence(world: World) -> None:
    """A long absence leaves no gap, and bills revised meanwhile are read."""
    await world.run(*MODELS)
    world.account.adjust(YESTERDAY - REVISED_DAYS + DAY, "qwen-plus", "3.21")
    world.away(60)
    world.account.adjust(date(2026, 9, 1), "qwen-max", "-50.00")
    assert await world.run(*MODELS) == 4
    world.bill(*MODELS)
    await world.check()


@ON_BOTH
async def test_model_is_newly_followed(hass: HomeAssistant, world: World) -> None:
    """A new model gets its past spend; the other statistics do not change."""
    await world.run("qwen-max")
    before = await dump(hass)
    await world.run("qwen-max", "rare")
    new = statistic_id("account", "CNY", "rare")
    assert await dump(hass, without=new) == before
    world.bill("qwen-max", "rare")
    await world.check()
    assert len(await rows_of(hass, new)) == (YESTERDAY - date(2026, 7, 5)).days + 1


async def test_model_is_followed_again(world: World) -> None:
    """A model that is followed again has no gap."""
    await world.run(*MODELS)
    world.away(50)
    assert await world.run("qwen-max") == 4
    world.away(1)
    await world.run(*MODELS)
    world.bill(*MODELS)
    await world.check()


@ON_BOTH
@pytest.mark.parametrize("model", [None, "qwen-max"])
async def test_statistic_is_deleted(
    hass: HomeAssistant, world: World, model: str | None
) -> None:
    """A deleted statistic is imported again; the others do not change."""
    await world.run(*MODELS)
    statistic = statistic_id("account", "CNY", model)
    await delete(hass, statistic)
    before = await dump(hass)
    requests = await world.run(*MODELS)
    assert requests == 2 + 2 + EMPTY_MONTHS
    assert await dump(hass, without=statistic) == before
    world.bill(*MODELS)
    await world.check()
    assert await world.run(*MODELS) == 2


async def test_deleted_statistic_of_a_model_out_of_use(
    hass: HomeAssistant, world: World
) -> None:
    """A deleted statistic is imported again with the model's next bill."""
    await world.run("rare")
    world.away(50)
    await world.run("rare")
    await delete(hass, statistic_id("account", "CNY", "rare"))
    assert await world.run("rare") == 3
    world.account.adjust(world.yesterday, "rare", "2.00")
    await world.run("rare")
    world.bill("rare")
    await world.check()


async def test_model_is_billed_for_the_first_time(world: World) -> None:
    """A model's first bill makes the import read all months once."""
    await world.run("other", "never")
    for requests in (2, 2 + 2 + EMPTY_MONTHS, 2):
        await async_wait_recording_done(world.hass)
        world.away(1)
        if requests > 2:
            world.account.adjust(world.yesterday, "other", "5.00")
        assert await world.run("other", "never") == requests
    world.bill("other", "never")
    await world.check()

    # If the daily import covers the whole past, nothing more is read.
    world.account.history_start = date(2026, 8, 1)
    world.entry_id, world.imported, world.spend_import = "young", (), None
    world.amounts.clear()
    await world.run("another")
    await async_wait_recording_done(world.hass)
    world.away(1)
    world.account.adjust(world.yesterday, "another", "5.00")
    assert await world.run("another") == 2
    world.bill("another", first=date(2026, 8, 1))
    await world.check()


async def test_currency_changes(hass: HomeAssistant, world: World) -> None:
    """Each currency has its own statistics; amounts are never mixed."""
    change = date(2026, 7, 10)
    days = [date(2026, 5, 1) + number * DAY for number in range(200)]
    currency = {str(day): "CNY" if day < change else "USD" for day in days}
    billed = {str(day): {None: "1.50", "a": "1.00", "b": "0.50"} for day in days}
    world.simulator.trend_body = partial(canned, billed, currency=currency)

    def expected(unit: str, amount: str, until: date) -> Amounts:
        return {
            day: Decimal(amount if currency[str(day)] == unit else 0)
            for day in days
            if day <= until and (unit == "CNY" or day >= change)
        }

    async def check(until: Mapping[str, date]) -> None:
        for unit, last in until.items():
            world.amounts = {
                None: dict(expected(unit, "1.50", last)),
                "a": dict(expected(unit, "1.00", last)),
            }
            await world.check(unit)

    # One currency only.
    world.freezer.move_to("2026-07-08 12:00:00+00:00")
    await world.run("a")
    await check({"CNY": date(2026, 7, 7)})
    # Now the second currency begins.
    world.away(10)
    await world.run("a")
    both = date(2026, 7, 17)
    await check({"CNY": both, "USD": both})
    # Two currencies take no more requests than one.
    world.away(10)
    assert await world.run("a") <= 3
    # In the end, the first currency stops.
    for _ in range(3):
        world.away(20)
        assert await world.run("a") <= 3
    listed = await rows_of(hass, statistic_id("account", "CNY", "a"))
    await check({"CNY": listed[-1][0], "USD": world.yesterday})
    assert listed[-1][0] < world.yesterday
    assert listed[-1][2] == (change - days[0]).days
