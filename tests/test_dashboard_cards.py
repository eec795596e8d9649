"""The cards of the dashboard, as its modules describe them.

The tests in tests/live check them in a browser.
"""

from collections.abc import Callable, Iterable
from itertools import chain
import json
import shutil
import subprocess
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import CONF_MODELS, DOMAIN
from custom_components.alibaba_cloud.dashboard import FRONTEND
from custom_components.alibaba_cloud.model_studio import Dimension, SpendGroup
from custom_components.alibaba_cloud.owners import statistic_id
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.template import Template

from .common import (
    NOW,
    Poll,
    attributes,
    entity_id,
    give_access_key,
    reload,
    setup,
    state,
)
from .simulator import Simulator
from .simulator.account import OTHER_WORKSPACE_ID, WORKSPACE_ID
from .simulator.prices import PRICES

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None, reason="Node.js is not installed"
)
STUBS = """
globalThis.window = globalThis;
globalThis.HTMLElement = class {};
const elements = {};
globalThis.customElements = {
  get: (tag) => elements[tag],
  define: (tag, element) => { elements[tag] = element; },
};
const [folder, input] = JSON.parse(process.argv[1]);
const load = (name) => import(new URL(`${name}?v=1`, folder));
"""
"""What the modules need of a browser."""

type Run = Callable[[str, Any], Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs a script, with the modules and an input as JSON data.

    It returns what the script prints.
    """
    folder = tmp_path_factory.mktemp("frontend")
    shutil.copytree(FRONTEND, folder, dirs_exist_ok=True)
    # Otherwise, Node.js does not take the files for modules.
    (folder / "package.json").write_text('{"type": "module"}')

    def run(script: str, given: Any) -> Any:
        node = subprocess.run(
            [
                *("node", "--input-type=module", "--eval", STUBS + script),
                json.dumps([f"{folder.as_uri()}/", given]),
            ],
            capture_output=True,
            check=True,
            text=True,
        )
        return json.loads(node.stdout)

    return run


MATCH = """
const { statisticsOf } = await load("accounts.js");
const [parts, ends] = input;
const found = parts.map((part) => ends.filter((end) => statisticsOf(...part).test(end)));
console.log(JSON.stringify(found));
"""
"""Prints the ends of the IDs of the statistics of each model and group."""


def test_statistics_of_models(run: Run) -> None:
    """The module matches each model, workspace and API key with its own statistics."""
    models = [
        "qwen-max",
        "qwen-max-latest",
        "qwen3.5-plus",
        "qwen3-5-plus",
        "模型",
        "A_b",
        # Its checksum begins with zeros.
        "Qwen 21",
        f"a-{'b' * 147}-c",
        f"a-{'b' * 148}-c",
        "a" * 151,
    ]
    prefix = statistic_id("account", "CNY").removesuffix("cny_spend")
    ends = [
        statistic_id("account", "CNY", model).removeprefix(prefix) for model in models
    ]
    ends_of_groups = [
        statistic_id(
            "account", "CNY", SpendGroup(dimension=dimension, id="qwen-max")
        ).removeprefix(prefix)
        for dimension in (Dimension.WORKSPACE, Dimension.API_KEY)
    ]
    parts = [
        *([model] for model in models),
        ["qwen-max", "workspace_"],
        ["qwen-max", "api_key_"],
    ]
    ends += ends_of_groups
    assert run(MATCH, [parts, ends]) == [[end] for end in ends]


DRAW = """
await load("dashboard.js");
const hass = input;
hass.callWS = async ({ type, statistic_ids: ids }) => {
  if (type === "recorder/list_statistic_ids") {
    return hass.statistics.map((id) => ({ statistic_id: id, name: id }));
  }
  return Object.fromEntries(ids.map((id) => [id, Array(hass.months).fill({})]));
};
hass.loadBackendTranslation = async () => (key, values = {}) =>
  [key.split("dashboard_").pop(), ...Object.values(values)].join(" ");
elements["ll-strategy-view-alibaba-cloud"].generate({}, hass).then((view) => {
  const sections = view.sections.map(({ cards: [heading, ...cards], ...section }) => [
    heading.heading, { ...section, cards },
  ]);
  console.log(JSON.stringify(Object.fromEntries(sections)));
});
"""
"""Prints the sections of the view by heading."""


def drawn(
    hass: HomeAssistant,
    run: Run,
    statistics: Iterable[str] | None = (),
    months: int = 0,
) -> dict[str, dict[str, Any]]:
    """Return the sections that the dashboard draws, by their heading.

    The statistics have figures of so many months. They are None without a recorder.
    """
    registries = {
        "entities": {
            entity.entity_id: {
                "entity_id": entity.entity_id,
                "platform": entity.platform,
                "device_id": entity.device_id,
                "translation_key": entity.translation_key,
                "hidden": entity.hidden_by is not None,
            }
            for entity in er.async_get(hass).entities.values()
            if not entity.disabled_by
        },
        "devices": {
            device.id: {
                "id": device.id,
                "name": device.name,
                "name_by_user": device.name_by_user,
                "identifiers": [*device.identifiers],
                "parent_device_id": getattr(device, "parent_device_id", None),
            }
            for device in (
                *dr.async_entries_for_config_entry(dr.async_get(hass), "account"),
                *dr.async_child_entries_for_config_entry(dr.async_get(hass), "account"),
            )
        },
        "states": {it.entity_id: {"state": it.state} for it in hass.states.async_all()},
        "config": {"components": []},
        "language": "en",
        "statistics": statistics and [*statistics],
        "months": months,
    }
    sections: dict[str, dict[str, Any]] = run(DRAW, registries)
    return sections


def shown(section: dict[str, Any]) -> list[tuple[str | None, Any]]:
    """Return the entity and the name of each card of a section."""
    return [(card.get("entity"), card.get("name")) for card in section["cards"]]


async def test_model_without_a_visible_name(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, run: Run
) -> None:
    """The dashboard is drawn even if a device has no name."""
    simulator.body["data"]["models"][0]["model"] = "\u200b"
    await setup(hass, entry)
    section = drawn(hass, run)["usage_pct"]
    assert entity_id(hass, "usage_pct", "\u200b") in dict(shown(section))


async def test_names_and_hidden_entities(
    hass: HomeAssistant, account: MockConfigEntry, run: Run
) -> None:
    """The user's names are shown, and what the user hides is not."""

    def gauges() -> list[str | None]:
        section = drawn(hass, run)["usage_pct"]
        return [card["entity"] for card in section["cards"] if card["type"] == "gauge"]

    of_max, of_plus = (
        entity_id(hass, "usage_pct", model) for model in ("qwen-max", "qwen-plus")
    )
    assert {of_max, of_plus} <= {*gauges()}
    er.async_get(hass).async_update_entity(
        of_max or "", hidden_by=er.RegistryEntryHider.USER
    )
    await hass.async_block_till_done()
    assert of_max not in gauges()
    assert of_plus in gauges()

    device = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, "account"), "account"
    )
    assert device is not None
    dr.async_get(hass).async_update_device(device.id, name_by_user="Mine")
    assert {"Model Studio", "Mine"} & drawn(hass, run).keys() == {"Mine"}


REGENERATE = """
await load("dashboard.js");
const [entities, devices, before, now] = input;
const hass = (states) => ({ entities, devices, states });
const view = elements["ll-strategy-view-alibaba-cloud"];
console.log(view.shouldRegenerate({}, hass(before), hass(now)));
"""
"""Prints whether the view is drawn again."""


@pytest.mark.parametrize(
    ("changes", "is_drawn_again"),
    [
        ({}, False),
        ({"budget": ("10", "20")}, True),
        # The bars have the highest costs as their maximum.
        ({"plus": ("3", "6.1")}, True),
        ({"plus": ("6.1", "3")}, True),
        ({"plus": ("0", "unknown")}, False),
        ({"plus": ("unknown", "3")}, True),
        ({"plus": ("unavailable", "3")}, True),
        ({"plus": ("0", "0.001")}, True),
        ({"plus": ("3", "unknown")}, True),
        ({"plus": ("-1", "-3")}, False),
        ({"plus": ("2.1", "3.9")}, False),
        ({"max": ("100", "100"), "plus": ("3", "6.1")}, False),
        ({"rest": ("3", "6.1")}, True),
        # Those of today have one of their own.
        ({"max": ("100", "100"), "estimate": ("3", "6.1")}, True),
        ({"max": ("100", "100"), "estimate": ("2.1", "3.9")}, False),
        # The other entities have no bars.
        ({"account": ("3", "6.1"), "daily": ("3", "6.1")}, False),
        ({"foreign": ("3", "6.1")}, False),
    ],
)
def test_drawn_again(
    run: Run, changes: dict[str, tuple[str, str]], is_drawn_again: bool
) -> None:
    """If the costs have more than doubled or halved."""
    keys = {
        "budget": ("budget", "account", DOMAIN),
        "account": ("monthly_spend", "account", DOMAIN),
        "rest": ("other_models_monthly_spend", "account", DOMAIN),
        "max": ("monthly_spend", "model", DOMAIN),
        "plus": ("monthly_spend", "model", DOMAIN),
        "daily": ("daily_spend", "model", DOMAIN),
        "estimate": ("daily_spend_estimate", "model", DOMAIN),
        "foreign": ("monthly_spend", "model", "another"),
    }
    entities = {
        name: {
            "entity_id": name,
            "platform": platform,
            "device_id": device,
            "translation_key": key,
        }
        for name, (key, device, platform) in keys.items()
    }
    devices = {"account": {}, "model": {"parent_device_id": "account"}}
    before, now = (
        {name: {"state": states[which]} for name, states in changes.items()}
        for which in (0, 1)
    )
    assert run(REGENERATE, [entities, devices, before, now]) is is_drawn_again


async def test_spend_of_groups(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, run: Run
) -> None:
    """Workspaces and API keys have a section each, if any is followed."""
    give_access_key(
        hass,
        entry,
        simulator,
        workspaces=[OTHER_WORKSPACE_ID, WORKSPACE_ID],
        workspace_names={WORKSPACE_ID: "Production"},
    )
    await setup(hass, entry)
    sections = drawn(hass, run)
    device = {"type": "device"}

    def spend_of(group_id: str) -> str | None:
        group = SpendGroup(dimension=Dimension.WORKSPACE, id=group_id)
        return entity_id(hass, "monthly_spend", group)

    assert shown(sections["workspaces_this_month"]) == [
        (spend_of(WORKSPACE_ID), device),
        (spend_of(OTHER_WORKSPACE_ID), device),
        (entity_id(hass, "other_workspaces_monthly_spend"), "other_workspaces"),
    ]
    assert "api_keys_this_month" not in sections
    assert shown(sections["models_this_month"]) == [
        (entity_id(hass, "monthly_spend", "qwen-max"), device),
        (entity_id(hass, "monthly_spend", "qwen-plus"), device),
        (entity_id(hass, "other_models_monthly_spend"), "other_models"),
    ]
    give_access_key(hass, entry, simulator, api_keys=["1280977"])
    await reload(hass, entry)
    of_keys = shown(drawn(hass, run)["api_keys_this_month"])
    assert [name for _, name in of_keys] == [device, "other_api_keys"]


async def test_spend_of_groups_per_day(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, run: Run
) -> None:
    """The imported days of models, workspaces and API keys have a graph each."""
    workspaces = [WORKSPACE_ID, OTHER_WORKSPACE_ID]
    give_access_key(hass, entry, simulator, workspaces=workspaces, api_keys=["1280977"])
    await setup(hass, entry)
    assert not {name for name in drawn(hass, run) if name.endswith("_per_day")}

    groups = {
        Dimension.WORKSPACE: workspaces,
        Dimension.API_KEY: ["1280977", "1280413"],
    }
    imported = {
        dimension: [
            statistic_id("account", "CNY", SpendGroup(dimension=dimension, id=it))
            for it in ids
        ]
        for dimension, ids in groups.items()
    }
    of_models = [
        statistic_id("account", "CNY", model) for model in ("qwen-max", "qwen-plus")
    ]
    sections = drawn(hass, run, [*of_models, *chain(*imported.values())])
    graphs = {
        name: section["cards"]
        for name, section in sections.items()
        if name.endswith("_per_day")
    }
    assert {
        name: [it["entity"] for [card] in [cards] for it in card["entities"]]
        for name, cards in graphs.items()
    } == {
        "models_per_day": of_models,
        "workspaces_per_day": imported[Dimension.WORKSPACE],
        # The other API key is not followed.
        "api_keys_per_day": imported[Dimension.API_KEY][:1],
    }
    # Without a legend, the title says whose spend it is.
    assert [cards[0].get("title") for cards in graphs.values()] == [
        None,
        None,
        "API key 1280977",
    ]


async def test_spend_of_the_account(
    hass: HomeAssistant, account: MockConfigEntry, run: Run
) -> None:
    """The graphs show the bill if it is imported, and what was recorded otherwise.

    The graph of the months needs two of them.
    """
    recorded = entity_id(hass, "monthly_spend") or ""
    bill = statistic_id("account", "CNY")

    def graphs(months: int, *statistics: str) -> dict[str, str]:
        sections = drawn(hass, run, statistics, months)
        return {
            name: card["entities"][0]["entity"]
            for name in ("spend_per_day", "spend_per_month")
            for card in sections.get(name, {"cards": []})["cards"]
        }

    assert "spend_per_day" not in drawn(hass, run, None)
    assert graphs(0, recorded) == {}
    assert graphs(1, recorded) == {"spend_per_day": recorded}
    for statistics, shown_one in (((recorded,), recorded), ((recorded, bill), bill)):
        assert graphs(2, *statistics) == {
            "spend_per_day": shown_one,
            "spend_per_month": shown_one,
        }


async def test_most_models_in_a_graph(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, run: Run
) -> None:
    """The eight models that cost the most are shown."""
    names = [f"model-{number}" for number in range(9)]
    give_access_key(hass, entry, simulator, models=names)
    for number, name in enumerate(names):
        simulator.account.add_model(name, weight=number + 1)
    await setup(hass, entry)
    of_models = [statistic_id("account", "CNY", name) for name in names]
    [card] = drawn(hass, run, of_models)["models_per_day"]["cards"]
    assert [it["name"] for it in card["entities"]] == names[:0:-1]


@pytest.fixture
def in_dollars(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> MockConfigEntry:
    """Return an account that pays in USD, like the prices, so that it has estimates."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator)
    for name in ("my-model", "my_own_model"):
        simulator.account.add_model(name, weight=0.5)
    models = [model.name for model in simulator.account.models]
    hass.config_entries.async_update_entry(entry, options={CONF_MODELS: models})
    simulator.account.currency = "USD"
    return entry


async def test_estimates(
    hass: HomeAssistant,
    in_dollars: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The models with the highest estimates of today are shown, and what is left out."""
    monkeypatch.setitem(PRICES, "my-model", PRICES["qwen-max"])
    await setup(hass, in_dollars)
    await poll(61)
    sections = drawn(hass, run)
    ranking = sections["models_today"]
    estimates = {
        name: figure
        for name in (model.name for model in simulator.account.models)
        if (figure := state(hass, "daily_spend_estimate", name))
    }
    assert len(estimates) == 7
    highest = sorted(estimates, key=lambda name: -float(estimates[name]))[:6]
    assert highest[0] == "my-model"
    assert shown(ranking) == [
        (entity_id(hass, "daily_spend_estimate", name), {"type": "device"})
        for name in highest
    ]
    assert {card["features"][0]["max"] for card in ranking["cards"]} == {
        float(estimates["my-model"])
    }
    # Before anything is used, there are neither bars nor a heading.
    [either] = ranking["visibility"]
    assert either["conditions"] == [
        condition for card in ranking["cards"] for condition in card["visibility"]
    ]

    [note] = [card for card in sections["spend"]["cards"] if "content" in card]
    template = Template(note["content"], hass)
    share = int(attributes(hass, "estimated_daily_spend")["share_priced"])
    assert 0 < share < 100
    assert template.async_render() == (
        f"estimate_covers {share}<br>estimate_leaves_out"
        " `my_own_model`, `text-embedding-v4`"
    )
    estimate = hass.states.get(entity_id(hass, "estimated_daily_spend") or "")
    assert estimate is not None
    names = dict(estimate.attributes) | {
        "share_priced": 100,
        "models_without_price": ["`a` ![b](c)", "d"],
    }
    hass.states.async_set(estimate.entity_id, estimate.state, names)
    assert template.async_render() == "estimate_leaves_out `a ![b](c)`, `d`"
    # All is covered, or nothing is known.
    for share_priced in (100.0, None):
        attributes_now = dict(estimate.attributes) | {
            "share_priced": share_priced,
            "models_without_price": [],
        }
        hass.states.async_set(estimate.entity_id, estimate.state, attributes_now)
        assert template.async_render() == ""
    hass.states.async_set(estimate.entity_id, STATE_UNAVAILABLE)
    assert template.async_render() == ""


async def test_estimate_and_bill(
    hass: HomeAssistant, in_dollars: MockConfigEntry, poll: Poll, run: Run
) -> None:
    """The estimate is compared with the bill if that entity is enabled."""
    await setup(hass, in_dollars)
    await poll(15 * 60 + 1)
    ratio = entity_id(hass, "estimate_to_bill_ratio")
    assert ratio
    assert ratio in dict(shown(drawn(hass, run)["spend"]))
    er.async_get(hass).async_update_entity(
        ratio, disabled_by=er.RegistryEntryDisabler.USER
    )
    await hass.async_block_till_done()
    assert ratio not in dict(shown(drawn(hass, run)["spend"]))


async def test_without_estimates(
    hass: HomeAssistant, entry: MockConfigEntry, run: Run
) -> None:
    """An account with an API key only has nothing of what an AccessKey reads."""
    await setup(hass, entry)
    sections = drawn(hass, run)
    assert not {"prepaid", "models_today", "models_this_month"} & sections.keys()
    assert not [card for card in sections["spend"]["cards"] if "content" in card]


async def test_token_plan(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, run: Run
) -> None:
    """All figures of the Token Plan are beside each other, and their names fit."""
    give_access_key(hass, entry, simulator)
    simulator.account.has_token_plan = True
    await setup(hass, entry)
    entities = [entity for entity, _ in shown(drawn(hass, run)["prepaid"]) if entity]
    assert list(dict.fromkeys(entities)) == [
        entity_id(hass, f"plan_{key}")
        for key in (
            "credits_used_pct",
            "credits_left",
            "seats",
            "credits_refresh",
            "ends",
        )
    ]
    cards = drawn(hass, run)["prepaid"]["cards"]
    tiles = [
        card for card in cards if card["type"] == "tile" and "visibility" not in card
    ]
    assert [card["grid_options"] for card in tiles] == 4 * [{"columns": 12}]


async def test_seat_types(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, run: Run
) -> None:
    """Each type of seats has a line if there are several, and its figures are known."""
    give_access_key(hass, entry, simulator)
    simulator.account.has_token_plan = True
    await setup(hass, entry)
    cards = drawn(hass, run)["prepaid"]["cards"]
    [note] = [card for card in cards if "content" in card]
    template = Template(note["content"], hass)
    pro = "seat_type `pro` 100000 100000 2 2<br>"
    assert template.async_render() == f"seat_type `standard` 41251 150000 5 6<br>{pro}"

    plan = hass.states.get(entity_id(hass, "plan_seats") or "")
    assert plan is not None
    types = plan.attributes["by_type"]
    unknown = {**types["standard"], "credits_left": None}
    for by_type, content in (
        ({**types, "standard": unknown}, pro),
        ({"`pro`": types["pro"], "basic": unknown}, pro),
        ({"pro": types["pro"]}, ""),
        ({}, ""),
    ):
        hass.states.async_set(plan.entity_id, plan.state, {"by_type": by_type})
        assert template.async_render() == content
    hass.states.async_set(plan.entity_id, STATE_UNAVAILABLE)
    assert template.async_render() == ""


async def test_next_expiry(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, run: Run
) -> None:
    """The tile shows when it is, and all attributes of what expires."""
    give_access_key(hass, entry, simulator)
    simulator.account.has_assets = True
    await setup(hass, entry)
    [content] = [
        card["state_content"]
        for card in drawn(hass, run)["prepaid"]["cards"]
        if card.get("entity") == entity_id(hass, "next_expiry")
    ]
    of_all_entities = {"device_class", "friendly_name"}
    own = attributes(hass, "next_expiry").keys() - of_all_entities
    assert content[0] == "state"
    assert {*content[1:]} == own


@pytest.mark.usefixtures("enable_all_entities")
async def test_errors(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, run: Run
) -> None:
    """The models have their error rate and throttled requests if those are enabled."""
    give_access_key(hass, entry, simulator)
    await setup(hass, entry)

    def tiles() -> list[str | None]:
        return [entity for entity, _ in shown(drawn(hass, run)["errors"]) if entity]

    of_max, throttled_of_max, *of_plus = (
        entity_id(hass, key, model)
        for model in ("qwen-max", "qwen-plus")
        for key in ("error_rate_pct", "throttled_calls")
    )
    assert tiles() == [of_max, throttled_of_max, *of_plus]
    headings = [card.get("heading") for card in drawn(hass, run)["errors"]["cards"]]
    assert headings == ["qwen-max", None, None, "qwen-plus", None, None]
    registry = er.async_get(hass)
    for entity in (of_max, *of_plus):
        registry.async_update_entity(
            entity or "", disabled_by=er.RegistryEntryDisabler.USER
        )
    await hass.async_block_till_done()
    assert tiles() == [throttled_of_max]
    registry.async_update_entity(
        throttled_of_max or "", disabled_by=er.RegistryEntryDisabler.USER
    )
    await hass.async_block_till_done()
    assert "errors" not in drawn(hass, run)


async def test_suggestion_of_an_access_key(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, run: Run
) -> None:
    """It is for accounts without an AccessKey, even if one reads nothing."""
    without = dict(entry.data)
    give_access_key(hass, entry, simulator)
    await setup(hass, entry)
    assert "more" not in drawn(hass, run)
    hass.config_entries.async_update_entry(entry, data=without)
    await reload(hass, entry)
    [suggestion] = drawn(hass, run)["more"]["cards"]
    assert suggestion["content"].startswith("add_access_key")
