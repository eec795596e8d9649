"""The past spend of workspaces and API keys."""

from datetime import date
from decimal import Decimal
from typing import Any
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.model_studio import Dimension, SpendGroup
from custom_components.alibaba_cloud.owners import statistic_id
from homeassistant.components.recorder import Recorder
from homeassistant.components.recorder.statistics import (
    async_list_statistic_ids,
    valid_statistic_id,
)
from homeassistant.core import HomeAssistant
from tests.common import STORED, give_access_key, reload, setup, unload
from tests.simulator import Simulator
from tests.simulator.account import OTHER_WORKSPACE_ID, WORKSPACE_ID

from .common import ADD, DAY, ON_BOTH, YESTERDAY, World, rows_of

WORKSPACE = SpendGroup(dimension=Dimension.WORKSPACE, id=WORKSPACE_ID)
OTHER_WORKSPACE = SpendGroup(dimension=Dimension.WORKSPACE, id=OTHER_WORKSPACE_ID)
API_KEY = SpendGroup(dimension=Dimension.API_KEY, id="1280413")
ALL = ("qwen-max", WORKSPACE, OTHER_WORKSPACE, API_KEY)


def test_ids() -> None:
    """A group has another ID than a model or a group of another dimension."""
    names = ("1280413", "llm-1", "workspace_spend", "spend", "", "LLM-1")
    ids = [
        statistic_id("account", "CNY", owner)
        for name in names
        for owner in (
            name,
            SpendGroup(dimension=Dimension.WORKSPACE, id=name),
            SpendGroup(dimension=Dimension.API_KEY, id=name),
        )
    ]
    assert len(set(ids)) == len(ids)
    assert all(map(valid_statistic_id, ids))
    assert ids[:3] == [
        "alibaba_cloud:account_cny_spend_1280413",
        "alibaba_cloud:account_cny_workspace_spend_1280413",
        "alibaba_cloud:account_cny_api_key_spend_1280413",
    ]


@ON_BOTH
async def test_all_of_the_past(hass: HomeAssistant, world: World) -> None:
    """Another import writes nothing."""
    world.options = {"workspace_names": {WORKSPACE_ID: "Production"}}
    world.account.adjust(YESTERDAY - 2 * DAY, "qwen-max", "-123.45")
    await world.run(*ALL)
    world.bill(*ALL)
    await world.check()
    listed = await async_list_statistic_ids(hass, statistic_type="sum")
    assert {row["name"] for row in listed} == {
        "Spend (Model Studio)",
        "qwen-max spend (Model Studio)",
        "Spend of workspace Production (Model Studio)",
        f"Spend of workspace {OTHER_WORKSPACE_ID} (Model Studio)",
        "Spend of API key 1280413 (Model Studio)",
    }
    with patch(ADD) as add:
        assert await world.run(*ALL) == 3 * 2
    add.assert_not_called()


async def test_only_followed_dimensions_are_read(world: World) -> None:
    assert await world.run("qwen-max") > 0
    assert await world.run("qwen-max") == 2
    world.imported = ("qwen-max", WORKSPACE)
    await world.run("qwen-max", WORKSPACE)
    assert await world.run("qwen-max", WORKSPACE) == 2 * 2


async def test_group_followed_later_gets_its_past(world: World) -> None:
    """Only the bills of its dimension are read as a whole."""
    await world.run("qwen-max", API_KEY)
    world.away(3)
    whole = await world.run("qwen-max", API_KEY, WORKSPACE) - 2 * 2
    assert whole > 2
    world.bill("qwen-max", API_KEY, WORKSPACE)
    await world.check()


async def test_revised_bill(world: World) -> None:
    """A later import corrects the last weeks."""
    await world.run(*ALL)
    world.away(10)
    world.account.adjust(YESTERDAY, "qwen-max", "77.77")
    world.account.adjust(date(2026, 8, 20), "qwen-plus", "-3.33")
    await world.run(*ALL)
    world.bill(*ALL)
    await world.check()


@pytest.fixture
async def followed(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> MockConfigEntry:
    """Return an account that follows a workspace, set up, with its past imported."""
    give_access_key(hass, entry, simulator, workspaces=[WORKSPACE_ID])
    simulator.account.history_start = date(2026, 6, 17)
    await setup(hass, entry)
    return entry


async def test_account_remembers_what_was_imported(
    hass: HomeAssistant,
    followed: MockConfigEntry,
    simulator: Simulator,
    hass_storage: dict[str, Any],
) -> None:
    """A group that is followed again gets what it has missed."""

    def months_by(dimension: Dimension) -> int:
        return sum(
            dimension in request.query.get("groupBy", "")
            for request in simulator.signed_requests
        )

    statistic = statistic_id("account", "CNY", WORKSPACE)
    rows = await rows_of(hass, statistic)
    assert sum(amount for _, amount, _ in rows) > Decimal(1000)
    assert hass_storage[STORED]["data"]["history_groups"] == [WORKSPACE.key]
    simulator.forget()
    await reload(hass, followed)
    # One for the figures, two for the last weeks.
    assert months_by(Dimension.WORKSPACE) == 3

    hass.config_entries.async_update_entry(
        followed, options={**followed.options, "workspaces": []}
    )
    await reload(hass, followed)
    assert hass_storage[STORED]["data"]["history_groups"] == []
    hass.config_entries.async_update_entry(
        followed, options={**followed.options, "workspaces": [WORKSPACE_ID]}
    )
    simulator.forget()
    await reload(hass, followed)
    assert months_by(Dimension.WORKSPACE) > 3
    assert await rows_of(hass, statistic) == rows
    await unload(hass, followed)
