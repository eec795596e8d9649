"""The options: the workspaces and API keys to follow."""

from collections.abc import Mapping
import json
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import (
    CONF_API_KEYS,
    CONF_GROUP_BUDGETS,
    CONF_MODELS,
    CONF_WORKSPACE_NAMES,
    CONF_WORKSPACES,
)
from custom_components.alibaba_cloud.model_studio import Dimension
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType

from .common import (
    NOW,
    attributes,
    devices,
    give_access_key,
    offered,
    open_options,
    setup,
)
from .simulator import Fault, Simulator
from .simulator.account import OTHER_WORKSPACE_ID, WORKSPACE_ID
from .simulator.faults import Refusal

MODELS = ["qwen-max", "qwen-plus"]
API_KEYS = {
    "1280413": "1280413 (3,365.66 CNY)",
    "1280977": "1280977 (1,442.43 CNY)",
}
BY_NAME = {
    WORKSPACE_ID: f"Production ({WORKSPACE_ID}, 3,365.66 CNY)",
    OTHER_WORKSPACE_ID: f"Research <b>lab</b> ({OTHER_WORKSPACE_ID}, 1,442.43 CNY)",
}
BY_ID = {
    WORKSPACE_ID: f"{WORKSPACE_ID} (3,365.66 CNY)",
    OTHER_WORKSPACE_ID: f"{OTHER_WORKSPACE_ID} (1,442.43 CNY)",
}


@pytest.fixture
async def entry(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> MockConfigEntry:
    """Return an account with an AccessKey, set up."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator)
    await setup(hass, entry)
    return entry


async def choose(
    hass: HomeAssistant, form: Mapping[str, Any], **selected: list[str]
) -> None:
    """Submit the form without budgets, and wait for the reload."""
    options = hass.config_entries.options
    result = await options.async_configure(form["flow_id"], selected)
    if selected:
        assert result["step_id"] == "group_budgets"
        empty = {key: dict[str, Any]() for key in selected}
        result = await options.async_configure(form["flow_id"], empty)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done(wait_background_tasks=True)


def suggested(form: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what is selected in the form."""
    return {
        str(key): key.description["suggested_value"]
        for key in form["data_schema"].schema
    }


def budgets_suggested(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return the amounts that the form of the budgets shows."""
    return {
        str(name): name.description["suggested_value"]
        for part in form["data_schema"].schema.values()
        for name in part.schema.schema
    }


async def test_billed_groups_are_offered(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Those with the highest spend come first. What belongs to nobody is left out."""
    simulator.forget()
    form = await open_options(hass, entry, "groups")
    assert form["errors"] == {}
    assert form["description_placeholders"] == {"since": "2026-06-01"}
    assert list(offered(form, CONF_WORKSPACES).items()) == [*BY_NAME.items()]
    assert list(offered(form, CONF_API_KEYS).items()) == [*API_KEYS.items()]
    assert suggested(form) == {CONF_WORKSPACES: [], CONF_API_KEYS: []}
    asked = [request.query for request in simulator.signed_requests if request.query]
    assert [
        (query["granularity"], json.loads(query["timePeriod"])["start"])
        for query in asked
        if "groupBy" in query
    ] == [("MONTH", "2026-06-01")] * 2


async def test_selected_groups_are_followed(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """The other options stay, and an empty selection leaves no option behind."""
    form = await open_options(hass, entry, "groups")
    await choose(hass, form, workspaces=[WORKSPACE_ID], api_keys=["1280977"])
    assert entry.options == {
        CONF_MODELS: MODELS,
        CONF_WORKSPACES: [WORKSPACE_ID],
        CONF_WORKSPACE_NAMES: {WORKSPACE_ID: "Production"},
        CONF_API_KEYS: ["1280977"],
    }
    assert devices(hass, entry) == {*MODELS, "Production", "API key 1280977"}

    form = await open_options(hass, entry, "groups")
    assert suggested(form) == {
        CONF_WORKSPACES: [WORKSPACE_ID],
        CONF_API_KEYS: ["1280977"],
    }
    await choose(hass, form)
    assert entry.options == {CONF_MODELS: MODELS}
    assert devices(hass, entry) == set(MODELS)


async def test_renamed_workspace(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    form = await open_options(hass, entry, "groups")
    await choose(hass, form, workspaces=[WORKSPACE_ID])
    simulator.account.workspaces[WORKSPACE_ID] = "Prod"
    form = await open_options(hass, entry, "groups")
    await choose(hass, form, workspaces=[WORKSPACE_ID])
    assert devices(hass, entry) == {*MODELS, "Prod"}


async def test_names_that_can_not_be_read(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Workspaces are listed by ID then. Names that were read before stay."""
    simulator.denied = {"ListWorkspaces"}
    form = await open_options(hass, entry, "groups")
    assert form["errors"] == {}
    assert offered(form, CONF_WORKSPACES) == BY_ID
    await choose(hass, form, workspaces=[WORKSPACE_ID])
    assert CONF_WORKSPACE_NAMES not in entry.options
    assert devices(hass, entry) == {*MODELS, f"Workspace {WORKSPACE_ID}"}
    assert attributes(hass, "status")["failed_sources"] == {}

    simulator.denied = set()
    form = await open_options(hass, entry, "groups")
    await choose(hass, form, workspaces=[WORKSPACE_ID])
    simulator.fail(Fault.SERVER_ERROR, at="workspaces")
    form = await open_options(hass, entry, "groups")
    assert offered(form, CONF_WORKSPACES) == {
        WORKSPACE_ID: BY_NAME[WORKSPACE_ID],
        OTHER_WORKSPACE_ID: BY_ID[OTHER_WORKSPACE_ID],
    }
    await choose(hass, form, workspaces=[WORKSPACE_ID])
    assert devices(hass, entry) == {*MODELS, "Production"}


async def test_bill_that_can_not_be_read(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """What is followed now can still be removed."""
    form = await open_options(hass, entry, "groups")
    await choose(hass, form, workspaces=[WORKSPACE_ID], api_keys=["1280413"])

    def refuse(query: Mapping[str, str]) -> None:
        if Dimension.API_KEY in query["groupBy"]:
            raise Refusal(500, "InternalError", "Try again")

    simulator.trend_body = refuse
    form = await open_options(hass, entry, "groups")
    assert form["errors"] == {"base": "bill_not_read"}
    assert form["description_placeholders"] == {
        "since": "2026-06-01",
        "error": "InternalError: Try again",
    }
    assert offered(form, CONF_WORKSPACES) == {
        WORKSPACE_ID: f"Production ({WORKSPACE_ID})"
    }
    assert offered(form, CONF_API_KEYS) == {"1280413": "1280413"}
    await choose(hass, form, workspaces=[WORKSPACE_ID])
    assert devices(hass, entry) == {*MODELS, "Production"}


async def test_groups_without_one_currency(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """They are listed last, without an amount."""

    def month(period: str, currency: str, **groups: str) -> dict[str, Any]:
        return {
            "period": period,
            "total": {"amount": "9.00", "currency": currency},
            "periodDetails": [
                {"key": key, "name": key, "amount": amount}
                for key, amount in groups.items()
            ],
        }

    simulator.trend_body = {
        "success": True,
        "data": {
            "resultByTime": [
                month("202607", "USD", a="4.00", b="5.00"),
                month("202608", "CNY", b="1.00", c="8.00"),
            ]
        },
    }
    form = await open_options(hass, entry, "groups")
    assert list(offered(form, CONF_API_KEYS).values()) == [
        "c (8.00 CNY)",
        "a (4.00 USD)",
        "b",
    ]


async def test_budgets(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Each followed group has a field. A budget stays until its group is not followed."""
    options = hass.config_entries.options
    form = await open_options(hass, entry, "groups")
    selected = {CONF_WORKSPACES: [WORKSPACE_ID], CONF_API_KEYS: ["1280977"]}
    production = f"Production ({WORKSPACE_ID})"
    form = await options.async_configure(form["flow_id"], selected)
    assert form["data_schema"] is not None
    asked = form["data_schema"].schema
    fields = {
        str(key): {str(name): each.config for name, each in part.schema.schema.items()}
        for key, part in asked.items()
    }
    amount = {"min": 0, "step": "any", "mode": "box", "unit_of_measurement": "CNY"}
    assert {key: list(part) for key, part in fields.items()} == {
        CONF_WORKSPACES: [production],
        CONF_API_KEYS: ["1280977"],
    }
    assert amount.items() <= fields[CONF_WORKSPACES][production].items()

    typed: dict[str, dict[str, Any]] = {
        CONF_WORKSPACES: {production: "many"},
        CONF_API_KEYS: {"1280977": "12,5"},
    }
    form = await options.async_configure(form["flow_id"], typed)
    assert form["errors"] == {CONF_WORKSPACES: "invalid_amount"}
    assert budgets_suggested(form) == {production: "many", "1280977": "12,5"}
    typed[CONF_WORKSPACES] = {production: 3000}
    await options.async_configure(form["flow_id"], typed)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert entry.options[CONF_GROUP_BUDGETS] == {
        f"workspace_{WORKSPACE_ID}": 3000,
        "api_key_1280977": 12.5,
    }

    form = await open_options(hass, entry, "groups")
    selected.pop(CONF_WORKSPACES)
    form = await options.async_configure(form["flow_id"], selected)
    assert budgets_suggested(form) == {"1280977": 12.5}
    await options.async_configure(form["flow_id"], {CONF_API_KEYS: {}})
    await hass.async_block_till_done(wait_background_tasks=True)
    assert CONF_GROUP_BUDGETS not in entry.options


async def test_menu(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """The page needs an AccessKey, or something that is followed."""
    options = hass.config_entries.options
    menu = await options.async_init(entry.entry_id)
    assert menu["menu_options"] == ["models", "groups", "alerts", "assistant"]
    hass.config_entries.async_update_entry(
        entry, data={key: entry.data[key] for key in ("api_key", "base_url")}
    )
    menu = await options.async_init(entry.entry_id)
    assert menu["menu_options"] == ["models", "alerts", "assistant"]


async def test_without_the_access_key(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """What was followed with it can be removed."""
    form = await open_options(hass, entry, "groups")
    await choose(hass, form, workspaces=[WORKSPACE_ID], api_keys=["1280413"])
    hass.config_entries.async_update_entry(
        entry, data={key: entry.data[key] for key in ("api_key", "base_url")}
    )
    await hass.async_block_till_done(wait_background_tasks=True)
    simulator.forget()
    form = await open_options(hass, entry, "groups")
    assert form["errors"] == {}
    assert simulator.signed_requests == []
    assert offered(form, CONF_WORKSPACES) == {
        WORKSPACE_ID: f"Production ({WORKSPACE_ID})"
    }
    assert offered(form, CONF_API_KEYS) == {"1280413": "1280413"}
    await choose(hass, form, workspaces=[WORKSPACE_ID])
    assert devices(hass, entry) == {*MODELS, "Production"}
    form = await open_options(hass, entry, "groups")
    await choose(hass, form)
    assert entry.options == {CONF_MODELS: MODELS}
    assert devices(hass, entry) == set(MODELS)
