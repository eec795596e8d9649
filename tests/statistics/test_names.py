"""The IDs of the statistics."""

from collections.abc import Collection

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.model_studio import Dimension, SpendGroup
from custom_components.alibaba_cloud.owners import statistic_id
from homeassistant.components.recorder.statistics import (
    async_list_statistic_ids,
    valid_statistic_id,
)
from homeassistant.core import HomeAssistant

from .common import ON_BOTH, YESTERDAY, World

# Hypothesis warns about the random generator that Home Assistant's tests register.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

ALIKE = [
    "qwen-2-5",
    "qwen-2.5",
    "qwen-2_5",
    "qwen_2.5",
    "qwen 2.5",
    "Qwen-2.5",
    "QWEN-2.5",
    "qwen--2.5",
    "-qwen-2.5",
    "qwen-2.5-",
    "qwen/2.5",
    "通义千问",
    "通义",
    "",
    "-",
    "_",
    "..",
]


def test_names() -> None:
    """The ID contains the account, the currency and the model."""
    assert statistic_id("01JENTRY", "USD") == "alibaba_cloud:01jentry_usd_spend"
    assert statistic_id("01JENTRY", "USD", "qwen3-coder-plus") == (
        "alibaba_cloud:01jentry_usd_spend_qwen3_coder_plus"
    )


def test_names_that_are_alike() -> None:
    """Similar names have different IDs, also across accounts and currencies."""
    ids = [
        statistic_id(entry_id, currency, model)
        for entry_id in ("account", "other")
        for currency in ("CNY", "USD")
        for model in (None, *ALIKE)
    ]
    assert len(set(ids)) == len(ids)
    assert all(map(valid_statistic_id, ids))


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_any_names(names: Collection[str]) -> None:
    """Any names have different and valid IDs."""
    ids = {statistic_id("account", "CNY", name) for name in (None, *names)}
    assert len(ids) == len(names) + 1
    assert all(map(valid_statistic_id, ids))


def test_longest_id() -> None:
    """The recorder stores IDs of at most 255 characters."""
    names = [f"{'x' * 149} {end * 400}" for end in "yz"]
    ids = {
        statistic_id("01jentry" * 4, "USD", SpendGroup(dimension=dimension, id=name))
        for name in names
        for dimension in (Dimension.WORKSPACE, Dimension.API_KEY)
    }
    assert len(ids) == 4
    assert all(map(valid_statistic_id, ids))
    assert max(map(len, ids)) <= 255


@ON_BOTH
async def test_long_names(hass: HomeAssistant, world: World) -> None:
    """The recorder stores names of at most 255 characters."""
    names = [f"{'x' * 299}{number}" for number in range(2)]
    for name in names:
        world.account.adjust(YESTERDAY, name, "1.00")
    await world.run(*names)
    world.bill(*names)
    await world.check()
    listed = await async_list_statistic_ids(hass, statistic_type="sum")
    assert sorted(len(row["name"] or "") for row in listed) == [20, 255, 255]


async def test_models_that_are_alike(world: World) -> None:
    """Models with similar names have separate amounts."""
    names = ALIKE[:6]
    for number, name in enumerate(names):
        world.account.adjust(YESTERDAY, name, f"{number + 1}.00")
    await world.run(*names)
    world.bill(*names)
    await world.check()
