"""The models that a flow offers and preselects."""

import pytest

from custom_components.alibaba_cloud.const import DOMAIN
from homeassistant.config_entries import SOURCE_USER
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from tests.flows import assert_aborted, fields, known, placeholder
from tests.simulator import Simulator

from .common import AccessFlows, stored_anew, without_access_key

pytestmark = pytest.mark.usefixtures("enable_custom_integrations")


@pytest.mark.parametrize(
    ("denied", "chosen"),
    [
        (set(), True),
        ({"QueryAccountBalance"}, True),
        ({"prometheus"}, True),
        ({"GetBillingTrend"}, False),
    ],
)
async def test_models_that_cost_money_are_chosen(
    flows: AccessFlows, simulator: Simulator, denied: set[str], chosen: bool
) -> None:
    account = simulator.account
    names = sorted(account.model_names)
    account.add_model("qwen-free", weight=0)
    account.extra_models = 2
    form = await flows.ask(SOURCE_USER)
    simulator.denied = denied
    result = await flows.type_in(form)
    if denied:
        result = await flows.choose(result, "accept_access_key")
    simulator.denied = set()
    assert result["step_id"] == "models"
    offered = [
        option["value"] for option in fields(result)["models"][1].config["options"]
    ]
    assert {"qwen-free", *names} < set(offered)
    assert not any("billed-model" in name for name in offered)
    assert placeholder(result, "count") == str(len(offered))
    assert flows.shown(result) == {
        "all_models": False,
        "models": names if chosen else [],
    }
    await flows.end(result, SOURCE_USER)
    assert flows.entry.options == ({"models": names} if chosen else {})


async def test_what_is_paid_back_has_cost_nothing(
    flows: AccessFlows, simulator: Simulator
) -> None:
    simulator.trend_body = {
        "success": True,
        "data": {
            "costTotals": {"amount": "1.00", "currency": "CNY"},
            "resultByTime": [
                {
                    "period": period,
                    "total": {"amount": total, "currency": "CNY"},
                    "periodDetails": [
                        {"key": model, "amount": amount}
                        for model, amount in amounts.items()
                    ],
                }
                for period, total, amounts in (
                    ("20260803", "6.00", {"qwen-max": "1.00", "qwen-plus": "5.00"}),
                    ("20260804", "-5.00", {"qwen-plus": "-5.00"}),
                )
            ],
        },
    }
    form = await flows.type_in(await flows.ask(SOURCE_USER))
    assert flows.shown(form) == {"all_models": False, "models": ["qwen-max"]}


async def test_model_with_an_unknown_spend_is_chosen(
    flows: AccessFlows, simulator: Simulator
) -> None:
    """It is in the bill, though one day's bill may lack a part of what it cost."""
    simulator.trend_body = {
        "success": True,
        "data": {
            "costTotals": {"amount": "9.00", "currency": "CNY"},
            "resultByTime": [
                {
                    "period": f"202608{day}",
                    "total": {"amount": total, "currency": "CNY"},
                    "periodDetails": [{"key": "qwen-max", "amount": "4.00"}][:rows],
                }
                for day, total, rows in (("03", "4.00", 1), ("04", "5.00", 0))
            ],
        },
    }
    form = await flows.type_in(await flows.ask(SOURCE_USER))
    assert flows.shown(form) == {"all_models": False, "models": ["qwen-max"]}


async def test_chosen_models_can_be_unchosen(
    flows: AccessFlows, simulator: Simulator
) -> None:
    form = await flows.type_in(await flows.ask(SOURCE_USER))
    result = await flows.submit(form, models=["qwen-max"])
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["options"] == {"models": ["qwen-max"]}
    assert result["data"] == stored_anew(simulator)


async def test_used_models_come_first(flows: AccessFlows, simulator: Simulator) -> None:
    """Used models come first, then Qwen models, then all others."""
    for name in ("deepseek-v3", "qwen-unused", "qwq-32b", "wan-unused"):
        simulator.account.add_model(name, weight=0)
    form = await flows.type_in(await flows.ask(SOURCE_USER))
    selector = fields(form)["models"][1].config
    names = [option["value"] for option in selector["options"]]
    used = flows.shown(form)["models"]
    assert names[: len(used)] == sorted(used)
    assert "text-embedding-v4" in used
    rest = names[len(used) :]
    family = [name for name in rest if name.startswith("qw")]
    assert rest == [*sorted(family), *sorted({*rest}.difference(family))]
    assert {"qwen-unused", "qwq-32b"} < {*family}
    assert {"deepseek-v3", "wan-unused"} < {*rest}
    assert not selector.get("sort")


async def test_models_have_to_be_selected_if_only_limits_are_read(
    flows: AccessFlows,
) -> None:
    """An account that is set up without looking would show nothing."""
    form = await flows.ask(SOURCE_USER)
    form = await flows.fill(form, access_key_id=None, access_key_secret=None)
    assert flows.shown(form) == {"all_models": False, "models": []}
    form = await flows.submit(form, **flows.shown(form))
    assert form["errors"] == {"models": "no_models_selected"}
    result = await flows.submit(form, all_models=False, models=["qwen-max"])
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["options"] == {"models": ["qwen-max"]}


async def test_all_models_instead_of_the_selected(
    flows: AccessFlows, simulator: Simulator
) -> None:
    form = await flows.type_in(await flows.ask(SOURCE_USER))
    form = await flows.submit(form, all_models=False, models=[])
    assert form["errors"] == {"models": "no_models_selected"}
    assert flows.shown(form) == {"all_models": False, "models": []}
    result = await flows.submit(form, all_models=True, models=["qwen-max"])
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["options"] == {}


async def test_another_flow_comes_first(
    hass: HomeAssistant, flows: AccessFlows, simulator: Simulator
) -> None:
    form = await flows.ask(SOURCE_USER)
    other = known(hass, **without_access_key(simulator))
    form = await flows.type_in(form)
    result = await flows.fill(form)
    assert_aborted(result, "already_configured")
    assert hass.config_entries.async_entries(DOMAIN) == [other]
