"""The spend of workspaces and API keys."""

from collections.abc import Mapping
from decimal import Decimal
import json
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud import async_remove_config_entry_device
from custom_components.alibaba_cloud.const import (
    CONF_API_KEYS,
    CONF_WORKSPACE_NAMES,
    CONF_WORKSPACES,
    DOMAIN,
)
from custom_components.alibaba_cloud.model_studio import Dimension, SpendGroup
from custom_components.alibaba_cloud.options import GROUP_OPTIONS
from custom_components.alibaba_cloud.targets import Target
from homeassistant.const import CONF_API_KEY, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from tests.common import (
    Poll,
    attributes,
    devices,
    entity_id,
    get_usage,
    reload,
    setup,
    state,
)
from tests.simulator import Fault, Simulator
from tests.simulator.account import OTHER_WORKSPACE_ID, WORKSPACE_ID
from tests.simulator.faults import Refusal

from .common import FOLLOWED, SPEND, failed_sources, issues

QUARTER = 15 * 60 + 1
API_KEY_IDS = ("1280413", "1280977")
WORKSPACE_IDS = (WORKSPACE_ID, OTHER_WORKSPACE_ID)
WORKSPACE = SpendGroup(dimension=Dimension.WORKSPACE, id=WORKSPACE_ID)
API_KEY = SpendGroup(dimension=Dimension.API_KEY, id=API_KEY_IDS[0])
OTHERS = {
    Dimension.WORKSPACE: "other_workspaces",
    Dimension.API_KEY: "other_api_keys",
}
BOTH = {
    CONF_WORKSPACES: [WORKSPACE_ID],
    CONF_WORKSPACE_NAMES: {WORKSPACE_ID: "Production"},
    CONF_API_KEYS: [API_KEY_IDS[0]],
}


def follow(hass: HomeAssistant, entry: MockConfigEntry, **options: Any) -> None:
    """Change the options of an account."""
    hass.config_entries.async_update_entry(entry, options=entry.options | options)


def child(hass: HomeAssistant, owner: SpendGroup | str) -> dr.ChildDeviceEntry | None:
    """Return the device of a model or a group."""
    key = owner.key if isinstance(owner, SpendGroup) else f"model_{owner}"
    return dr.async_get(hass).async_get_child_device_by_identifier(
        (DOMAIN, f"account_{key}"), "account"
    )


def dimensions(simulator: Simulator) -> list[str]:
    """Return what the bill was asked for, by each request."""
    return [
        json.loads(request.query["groupBy"])[0]["code"]
        for request in simulator.signed_requests
        if "groupBy" in request.query
    ]


def is_by(query: Mapping[str, str], dimension: Dimension) -> bool:
    """Return whether a query is for the bill by a dimension."""
    return dimension.value in query["groupBy"]


@pytest.fixture
async def account(hass: HomeAssistant, entry: MockConfigEntry) -> MockConfigEntry:
    """Return an account with a followed workspace and a followed API key, set up."""
    follow(hass, entry, **BOTH)
    await setup(hass, entry)
    return entry


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("dimension", "ids"),
    [(Dimension.WORKSPACE, WORKSPACE_IDS), (Dimension.API_KEY, API_KEY_IDS)],
)
async def test_spend_adds_up(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    dimension: Dimension,
    ids: tuple[str, ...],
    count: int,
) -> None:
    """Groups and others add up to the account's spend. Nothing is shown of the rest."""
    simulator.account.adjust(simulator.account.today, "qwen-max", Decimal("-3.21"))
    follow(hass, entry, **{GROUP_OPTIONS[dimension]: list(ids[:count])})
    await setup(hass, entry)
    groups = [SpendGroup(dimension=dimension, id=group_id) for group_id in ids]
    for key in SPEND:
        parts = [state(hass, key, group) for group in groups[:count]]
        parts.append(state(hass, f"{OTHERS[dimension]}_{key}"))
        assert all(Decimal(str(part)) > 0 for part in parts)
        assert sum(Decimal(str(part)) for part in parts) == Decimal(
            str(state(hass, key))
        )
        assert [entity_id(hass, key, group) for group in groups[count:]] == [
            None for _ in groups[count:]
        ]
        figure = attributes(hass, key, groups[0])
        assert figure["unit_of_measurement"] == "CNY"
        assert figure["last_reset"] == attributes(hass, key)["last_reset"]
    [other] = OTHERS.keys() - {dimension}
    assert entity_id(hass, f"{OTHERS[other]}_monthly_spend") is None
    assert set(dimensions(simulator)) == {Dimension.MODEL, dimension}


async def test_nothing_followed_costs_nothing(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    await setup(hass, entry)
    assert dimensions(simulator) == [Dimension.MODEL]
    for others in OTHERS.values():
        assert entity_id(hass, f"{others}_monthly_spend") is None


async def test_without_an_access_key(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    follow(hass, entry, **BOTH)
    hass.config_entries.async_update_entry(
        entry, data={key: entry.data[key] for key in (CONF_API_KEY, "base_url")}
    )
    await setup(hass, entry)
    assert simulator.signed_requests == []
    assert devices(hass, entry) == set(FOLLOWED)


async def test_pace(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Each followed dimension costs a request every 15 minutes. Names cost none."""
    simulator.forget()
    for _ in range(2):
        await poll(QUARTER)
    by = dimensions(simulator)
    assert {dimension: by.count(dimension) for dimension in by} == {
        Dimension.MODEL: 2,
        Dimension.WORKSPACE: 2,
        Dimension.API_KEY: 2,
    }
    paths = {request.path for request in simulator.signed_requests}
    assert "/modelstudio/workspaces" not in paths


async def test_devices(hass: HomeAssistant, account: MockConfigEntry) -> None:
    """A workspace is named, if its name is known. An API key has an ID only."""
    assert devices(hass, account) == {*FOLLOWED, "Production", "API key 1280413"}
    follow(hass, account, workspace_names={})
    await reload(hass, account)
    assert devices(hass, account) == {
        *FOLLOWED,
        f"Workspace {WORKSPACE_ID}",
        "API key 1280413",
    }
    assert (found := child(hass, WORKSPACE)) is not None
    (parent,) = dr.async_entries_for_config_entry(dr.async_get(hass), "account")
    assert found.parent_device_id == parent.id
    assert entity_id(hass, "monthly_spend", WORKSPACE) == (
        "sensor.model_studio_production_monthly_spend"
    )


async def test_group_that_is_no_longer_followed_loses_its_device(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    """It returns with the same entity IDs."""
    found = entity_id(hass, "daily_spend", API_KEY)
    assert found is not None
    follow(hass, account, api_keys=[])
    await reload(hass, account)
    assert child(hass, API_KEY) is None
    assert entity_id(hass, "daily_spend", API_KEY) is None
    assert entity_id(hass, "other_api_keys_daily_spend") is None
    assert entity_id(hass, "other_workspaces_daily_spend") is not None
    assert child(hass, WORKSPACE) is not None
    assert {model for model in FOLLOWED if child(hass, model)} == set(FOLLOWED)
    follow(hass, account, api_keys=[API_KEY.id])
    await reload(hass, account)
    assert entity_id(hass, "daily_spend", API_KEY) == found


async def test_group_stays_when_models_vanish(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    for model in simulator.account.model_names:
        simulator.account.remove_model(model)
    await poll(30 * 60 + 1)
    await poll(30 * 60 + 1)
    assert devices(hass, account) == {"Production", "API key 1280413"}
    assert state(hass, "monthly_spend", WORKSPACE) == "0"


async def test_device_as_a_target(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    """It stands for itself only, unlike the device of a model."""
    device, model = child(hass, WORKSPACE), child(hass, FOLLOWED[0])
    assert device is not None
    assert model is not None
    target = Target(hass, {"device_id": [device.id]})
    assert not target.has_account("account")
    assert target.has_device(device.id)
    assert not target.has_device(model.id)
    with_model = Target(hass, {"device_id": [device.id, model.id]})
    assert with_model.has_account("account")
    whole = Target(hass, {"device_id": [device.parent_device_id]})
    assert whole.has_account("account")
    assert whole.has_device(device.id)


async def test_device_can_be_removed_once_it_is_not_followed(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    for group in (WORKSPACE, API_KEY):
        device = child(hass, group)
        assert device is not None
        assert not await async_remove_config_entry_device(hass, account, device)
        account.runtime_data.groups = ()
        assert await async_remove_config_entry_device(hass, account, device)
        account.runtime_data.groups = (WORKSPACE, API_KEY)


@pytest.mark.parametrize("failing", [WORKSPACE, API_KEY])
async def test_failing_dimension_takes_its_own_figures_alone(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    request: pytest.FixtureRequest,
    failing: SpendGroup,
) -> None:
    """It has the issue of the spend after an hour."""
    others = {WORKSPACE: "workspaces", API_KEY: "api_keys"}
    source = others.pop(failing)
    [(working, other_source)] = others.items()
    request.applymarker(pytest.mark.logs(f"Error fetching Model Studio {source} data"))

    def refuse(query: Mapping[str, str]) -> None:
        if is_by(query, failing.dimension):
            raise Refusal(500, "InternalError", "Try again")

    simulator.trend_body = refuse
    await poll(QUARTER)
    for key in SPEND:
        assert state(hass, key, failing) == STATE_UNAVAILABLE
        assert state(hass, f"other_{source}_{key}") == STATE_UNAVAILABLE
        for owner in (None, working, *FOLLOWED):
            assert Decimal(str(state(hass, key, owner))) > 0
        assert Decimal(str(state(hass, f"other_{other_source}_{key}"))) > 0
    assert failed_sources(hass).keys() == {source}
    for _ in range(4):
        assert issues(hass) == set()
        await poll(QUARTER)
    assert issues(hass) == {"spend_failing"}
    simulator.trend_body = None
    await poll(QUARTER)
    assert issues(hass) == set()
    assert Decimal(str(state(hass, "monthly_spend", failing))) > 0


@pytest.mark.logs(
    *(f"Error fetching Model Studio {s}" for s in ("spend", "workspaces", "api_keys"))
)
async def test_restart_while_the_bill_fails(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    before = devices(hass, account)
    simulator.fail(Fault.SERVER_ERROR, at="billing")
    await reload(hass, account)
    assert devices(hass, account) == before
    for owner in (None, WORKSPACE, API_KEY):
        assert state(hass, "monthly_spend", owner) == STATE_UNAVAILABLE


@pytest.mark.logs(
    *(f"Error fetching Model Studio {s}" for s in ("spend", "workspaces", "api_keys"))
)
async def test_missing_permission(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    simulator.denied = {"GetBillingTrend"}
    await poll(QUARTER)
    assert failed_sources(hass).keys() == {"spend", "workspaces", "api_keys"}
    assert {
        "modelstudio:GetBillingTrend" in text for text in failed_sources(hass).values()
    } == {True}
    assert state(hass, "access_key_problem") == "on"


@pytest.mark.parametrize(
    ("others", "spend"), [("0.00", "0"), ("1.00", None)], ids=["complete", "partial"]
)
async def test_group_that_is_not_billed(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    others: str,
    spend: str | None,
) -> None:
    """Its spend is 0 if the bill is complete. Else, it and the others' are unknown."""
    total = {"amount": "3.00", "currency": "CNY"}
    rows = [
        {"key": "ws-1", "amount": "2.00"},
        {"key": "-", "amount": str(1 - Decimal(others))},
    ]
    simulator.trend_body = {
        "success": True,
        "data": {
            "costTotals": total,
            "resultByTime": [
                {"period": "20260815", "total": total, "periodDetails": rows}
            ],
        },
    }
    follow(hass, entry, workspaces=["ws-1", WORKSPACE_ID])
    await setup(hass, entry)
    for key in SPEND:
        assert state(hass, key, WORKSPACE) == spend
        rest = None if spend is None else "1.00"
        assert state(hass, f"other_workspaces_{key}") == rest


async def test_month_without_a_bill_is_unknown(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    simulator.trend_body = {"success": True, "code": "200", "data": {}}
    await poll(QUARTER)
    for key in SPEND:
        assert state(hass, key, WORKSPACE) == STATE_UNKNOWN
        assert state(hass, f"other_workspaces_{key}") == STATE_UNKNOWN


async def test_removed_access_key_leaves_its_figures_unknown(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    hass.config_entries.async_update_entry(
        account, data={key: account.data[key] for key in (CONF_API_KEY, "base_url")}
    )
    await reload(hass, account)
    assert state(hass, "monthly_spend", WORKSPACE) == STATE_UNKNOWN
    assert state(hass, "other_api_keys_monthly_spend") == STATE_UNKNOWN
    device = child(hass, WORKSPACE)
    assert device is not None
    assert await async_remove_config_entry_device(hass, account, device)


async def test_get_usage(hass: HomeAssistant, account: MockConfigEntry) -> None:
    """A dimension without a followed group is left out."""

    def spend(group: SpendGroup) -> dict[str, Any]:
        return {
            key: {"value": float(str(state(hass, key, group))), "unit": "CNY"}
            for key in SPEND
        }

    usage = await get_usage(hass)
    assert usage["workspaces"] == {
        WORKSPACE_ID: {"name": "Production", **spend(WORKSPACE)}
    }
    assert usage["api_keys"] == {API_KEY.id: spend(API_KEY)}
    follow(hass, account, api_keys=[])
    await reload(hass, account)
    usage = await get_usage(hass)
    assert "workspaces" in usage
    assert "api_keys" not in usage
