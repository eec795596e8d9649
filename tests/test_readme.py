"""The documents: their examples work, and the things that they name exist."""

from collections.abc import Callable, Iterable, Iterator, Mapping
import csv
from decimal import Decimal
from itertools import chain
import json
from pathlib import Path
import re
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
    async_mock_service,
)
import yaml

from custom_components.alibaba_cloud.condition import CONDITIONS
from custom_components.alibaba_cloud.const import (
    CONF_ASSISTANT,
    CONF_BASE_URL,
    CONF_FORECAST_ALERT,
    CONF_GROUP_BUDGETS,
    CONF_MODELS,
    CONF_UNUSUAL_SPEND,
    CONSOLES,
    DOMAIN,
    RAM_CONSOLES,
)
from custom_components.alibaba_cloud.dashboard import MODULE, MODULE_URL
from custom_components.alibaba_cloud.descriptions import FigureDescription
from custom_components.alibaba_cloud.failures import Status
from custom_components.alibaba_cloud.figures import (
    ACCOUNT_BINARY_SENSORS,
    ACCOUNT_SENSORS,
    MODEL_SENSORS,
    STATUS,
    STATUS_BINARY_SENSORS,
)
from custom_components.alibaba_cloud.group_figures import GROUP_SENSORS
from custom_components.alibaba_cloud.ledger import Alert, AlertKind, AlertOptions
from custom_components.alibaba_cloud.llm import GetAccountUsageTool
from custom_components.alibaba_cloud.options import GROUP_OPTIONS
from custom_components.alibaba_cloud.options_flow import (
    AMOUNTS,
    LEVELS,
    MORE_AMOUNTS,
    MORE_NUMBERS,
)
from custom_components.alibaba_cloud.sources import SOURCES, Source
from custom_components.alibaba_cloud.trigger import TRIGGERS
from homeassistant.components.automation import EVENT_AUTOMATION_TRIGGERED
from homeassistant.components.sensor import SensorEntityDescription
from homeassistant.const import CONF_API_KEY, EVENT_CALL_SERVICE, EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers import condition, config_validation as cv, trigger
from homeassistant.setup import async_setup_component

from .common import API_KEY, NOW, PERMISSIONS, Poll, give_access_key, setup
from .simulator import Fault, Simulator

ROOT = Path(__file__).parent.parent
INTEGRATION = ROOT / "custom_components" / DOMAIN
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
}
TEXTS = json.loads((INTEGRATION / "translations" / "en.json").read_text())
NAME = "Model Studio (cn-beijing)"
README_EXAMPLE = "Model Studio budget"

READ_BY = {
    Source.QUOTAS: "API key",
    Source.SPEND: "Bill",
    Source.WORKSPACES: "Workspaces",
    Source.API_KEYS: "API keys",
    Source.BALANCE: "Balance",
    Source.ASSETS: "Assets",
    Source.TOKEN_PLAN: "Token Plan",
    Source.RATES: "Prometheus",
    Source.TOTALS: "Prometheus",
    Source.PRICES: "Prices",
}

type Described = FigureDescription[Any]
type Told = Callable[[str], list[tuple[str, str]]]


def section(document: str, title: str) -> str:
    """Return a section of a document up to the next heading of its level or higher."""
    text = DOCUMENTS[document]
    found = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    assert found, f"{document} has no section {title}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(document: str, title: str) -> list[list[str]]:
    """Return the rows of the tables in a section, without their headings."""
    tables = re.findall(
        r"^\|.*\n\|[-|]+\|\n((?:\|.*\n)*)", section(document, title), re.MULTILINE
    )
    return [
        [cell.strip() for cell in row.strip("|").split("|")]
        for table in tables
        for row in table.splitlines()
    ]


def names(cells: Iterable[str]) -> list[str]:
    """Return the names in code spans of cells."""
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def pasted(text: str) -> list[Any]:
    """Return the YAML examples of a text."""
    return [
        yaml.safe_load(block)
        for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    ]


def fields(file: str) -> dict[str, Any]:
    """Return the descriptions in a YAML file of the integration by name.

    Names with a leading dot are YAML anchors and left out.
    """
    offered = yaml.safe_load((INTEGRATION / file).read_text())
    return {name: it for name, it in offered.items() if not name.startswith(".")}


# Automations


def without_target(automation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an automation without targets, since examples name made-up devices."""
    return {
        **automation,
        "triggers": [
            {key: value for key, value in trigger.items() if key != "target"}
            for trigger in automation["triggers"]
        ],
    }


def automations() -> list[dict[str, Any]]:
    """Return the complete automations of the documents."""
    examples = pasted(section("docs/automations.md", "Complete automations"))
    return [*examples, *map(without_target, pasted(section("README.md", "Example")))]


@pytest.fixture
async def automated(
    hass: HomeAssistant,
    enable_custom_integrations: None,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
) -> None:
    """Set up an account with the name from the examples, and the automations."""
    freezer.move_to(NOW)
    entry = MockConfigEntry(
        domain=DOMAIN,
        title=NAME,
        data={CONF_API_KEY: API_KEY, CONF_BASE_URL: simulator.base_url},
    )
    entry.add_to_hass(hass)
    await setup(hass, entry)
    assert await async_setup_component(hass, "persistent_notification", {})
    assert await async_setup_component(
        hass, "automation", {"automation": automations()}
    )
    await hass.async_block_till_done()


@pytest.fixture
def told(automated: None, hass: HomeAssistant) -> Told:
    """Return a function that returns the notifications of an automation so far.

    Each notification is a title and a message.
    """
    calls = async_capture_events(hass, EVENT_CALL_SERVICE)
    runs = async_capture_events(hass, EVENT_AUTOMATION_TRIGGERED)

    def told(alias: str) -> list[tuple[str, str]]:
        contexts = {run.context.id for run in runs if run.data["name"] == alias}
        return [
            (data["title"], data["message"])
            for call in calls
            if call.context.id in contexts and (data := call.data["service_data"])
        ]

    return told


async def test_spend_automation(simulator: Simulator, poll: Poll, told: Told) -> None:
    for spend in (260, 399.99, 400, 410, 500, 510):
        simulator.body["data"]["monthly_spend"] = spend
        await poll()
    assert told("Model Studio spend") == [
        (NAME, "You have spent 80% of the budget: 400.00 of 500.00 USD."),
    ]


@pytest.mark.parametrize("document", READMES)
async def test_example_of_the_readme(
    simulator: Simulator, poll: Poll, told: Told, document: str
) -> None:
    """The automation sends the message that the README quotes."""
    data = simulator.body["data"]
    for data["monthly_spend"] in (200, 243.5, 259):
        data["spend_limit"] = 260
        await poll()
    [(title, message)] = told(README_EXAMPLE)
    assert title == NAME
    assert re.search(rf'["“]{message}["”]', DOCUMENTS[document])


@pytest.mark.logs("Error fetching")
async def test_throttled_automation(
    simulator: Simulator, poll: Poll, told: Told
) -> None:
    simulator.fail(Fault.THROTTLED)
    await poll()
    assert told("Model Studio is throttled") == []
    for _ in range(2):
        await poll(1000)
    [(title, message)] = told("Model Studio is throttled")
    assert title == NAME
    assert message.startswith("The service refuses requests.")


@pytest.mark.logs("Error fetching")
async def test_rejected_key_automation(
    simulator: Simulator, poll: Poll, told: Told
) -> None:
    simulator.fail(Fault.UNAUTHORIZED)
    await poll()
    assert told("Model Studio key rejected") == []
    for _ in range(2):
        await poll(1000)
    assert told("Model Studio key rejected") == [
        (NAME, "The service rejects the API key.")
    ]


@pytest.mark.logs("Error fetching")
async def test_automation_on_a_figure(
    simulator: Simulator, poll: Poll, told: Told
) -> None:
    """An automation on a figure fires again after an outage, as documented."""
    simulator.body["data"]["monthly_spend"] = 400
    await poll()
    assert told("Model Studio spend above 80%") == []
    simulator.body["data"]["monthly_spend"] = 410
    await poll()
    simulator.fail(Fault.SERVER_ERROR)
    await poll()
    simulator.recover()
    await poll()
    assert (
        told("Model Studio spend above 80%")
        == [("Model Studio", "You have spent 410.00 of 500.00 USD.")] * 2
    )
    assert len(told("Model Studio spend")) == 1


@pytest.mark.usefixtures("automated")
async def test_automations_name_entities_that_exist(hass: HomeAssistant) -> None:
    examples = section("docs/automations.md", "Complete automations")
    named = set(re.findall(r"\b(?:binary_)?sensor\.\w+", examples))
    assert named
    assert {name for name in named if hass.states.get(name) is None} == set()


def examples_of(kind: str) -> Iterator[dict[str, Any]]:
    """Yield all triggers or conditions of the integration in the documents."""
    for text in DOCUMENTS.values():
        for block in pasted(text):
            if isinstance(block, dict):
                for example in block.get(f"{kind}s", ()):
                    if example[kind].startswith(f"{DOMAIN}."):
                        yield example


@pytest.mark.parametrize(
    ("kind", "existing"), [("trigger", TRIGGERS), ("condition", CONDITIONS)]
)
def test_there_is_an_example_of_each_with_a_target(
    kind: str, existing: Mapping[str, object]
) -> None:
    offered = fields(f"{kind}s.yaml")
    with_target = set()
    for example in examples_of(kind):
        name = example[kind].removeprefix(f"{DOMAIN}.")
        assert example.keys() <= {kind, "target", "options"}
        options = example.get("options", {}).keys()
        assert options <= offered[name].get("fields", {}).keys()
        if "target" in example:
            with_target.add(name)
    assert with_target == existing.keys()


@pytest.mark.usefixtures("automated")
async def test_examples_are_valid(hass: HomeAssistant) -> None:
    triggers = cv.TRIGGER_SCHEMA(list(examples_of("trigger")))
    await trigger.async_validate_trigger_config(hass, triggers)
    for example in examples_of("condition"):
        checked = cv.CONDITION_SCHEMA(example)
        await condition.async_validate_condition_config(hass, checked)


@pytest.mark.parametrize(
    ("kind", "title"), [("trigger", "Triggers"), ("condition", "Conditions")]
)
def test_triggers_and_conditions_are_in_their_tables(kind: str, title: str) -> None:
    offered = fields(f"{kind}s.yaml")
    table = {
        name.removeprefix(f"{DOMAIN}."): cells
        for cells in rows("docs/automations.md", title)
        for name in names(cells[:1])
    }
    assert table.keys() == offered.keys()
    for name, cells in table.items():
        options = {*offered[name].get("fields", {})}
        assert {*names(cells[3:])} == options
        assert cells[1] == TEXTS[f"{kind}s"][name]["name"]
        if kind == "trigger":
            assert names(cells[2:3]) == [TRIGGERS[name].kind]  # type: ignore[attr-defined]


# Reference tables


def test_all_of_the_alerts_is_in_the_tables() -> None:
    """The tables list exactly the kinds and the attributes of alerts."""
    attributes = Alert(kind=AlertKind.RECOVERED, alert_id="").as_dict()
    assert sorted(
        names(cells[0] for cells in rows("docs/automations.md", "Alerts"))
    ) == sorted([*AlertKind, *attributes])


def kind_of(figure: Described) -> str:
    """Return the kind of a figure as written in the tables."""
    unit = state_class = None
    if isinstance(figure, SensorEntityDescription):
        unit, state_class = figure.native_unit_of_measurement, figure.state_class
    kind = figure.device_class or unit or "number"
    return f"{kind}, {state_class}" if state_class else kind


def read_by(figure: Described) -> str:
    """Return the sources of a figure as written in the tables."""
    return ", ".join(dict.fromkeys(READ_BY[source] for source in figure.sources))


def name_of(figure: Described) -> str:
    """Return the English name of the entity of a figure."""
    domain = (
        "sensor" if isinstance(figure, SensorEntityDescription) else "binary_sensor"
    )
    name: str = TEXTS["entity"][domain][figure.key]["name"]
    return name


ACCOUNT: list[Described] = [
    *ACCOUNT_SENSORS,
    STATUS,
    *ACCOUNT_BINARY_SENSORS,
    *STATUS_BINARY_SENSORS,
]
DIAGNOSTIC = {
    figure.key: figure
    for figure in ACCOUNT
    if figure.entity_category is EntityCategory.DIAGNOSTIC
}


@pytest.mark.parametrize(
    ("title", "figures"),
    [
        ("Account", [f for f in ACCOUNT if f.key not in DIAGNOSTIC]),
        ("Model", MODEL_SENSORS),
        ("Workspace and API key", [*chain(*GROUP_SENSORS.values())]),
    ],
)
def test_entities_are_in_the_tables(title: str, figures: list[Described]) -> None:
    assert {tuple(cells[:4]) for cells in rows("docs/entities.md", title)} == {
        (name_of(figure), f"`{figure.key}`", kind_of(figure), read_by(figure))
        for figure in figures
    }


def test_diagnostic_entities_are_in_the_table() -> None:
    table = rows("docs/entities.md", "Account: diagnostic")
    assert {tuple(cells[:3]) for cells in table} == {
        (name_of(figure), f"`{figure.key}`", kind_of(figure))
        for figure in DIAGNOSTIC.values()
    }


def test_model_entities_say_what_is_disabled_or_diagnostic() -> None:
    table = {
        cells[1].strip("`"): cells[4] for cells in rows("docs/entities.md", "Model")
    }
    for figure in MODEL_SENSORS:
        text = table[figure.key]
        disabled = not figure.entity_registry_enabled_default
        assert ("Disabled by default" in text) is disabled
        assert ("(diagnostic)" in text) is (
            figure.entity_category is EntityCategory.DIAGNOSTIC
        )


def test_intervals_are_in_the_table() -> None:
    title = "When an entity exists, and what it shows"
    table = {cells[0]: cells[2] for cells in rows("docs/entities.md", title)}
    for source, name in READ_BY.items():
        if SOURCES[source].permission:
            minutes = SOURCES[source].interval.total_seconds() / 60
            interval = f"{minutes:.0f} minute"
            if minutes >= 60:
                interval = f"{minutes / 60:.0f} hour"
            assert re.search(rf"\b{interval}", table[name])


def test_options_are_in_the_tables() -> None:
    defaults = AlertOptions()
    table = {
        name: cells[2]
        for title in (
            "Models",
            "Workspaces and API keys",
            "Budget and alerts",
            "Assist",
        )
        for cells in rows("docs/options.md", title)
        for name in names(cells[:1])
    }
    assert table.keys() == {
        *(CONF_MODELS, CONF_ASSISTANT, CONF_FORECAST_ALERT, CONF_UNUSUAL_SPEND),
        *(*GROUP_OPTIONS.values(), CONF_GROUP_BUDGETS),
        *AMOUNTS,
        *MORE_AMOUNTS,
        *MORE_NUMBERS,
        *LEVELS,
    }
    for option, levels in LEVELS.items():
        assert table[option] == ", ".join(map(str, levels))
    for option, number in MORE_NUMBERS.items():
        assert (table[option], getattr(defaults, option)) == (str(number), number)
    for option in (*AMOUNTS, *MORE_AMOUNTS):
        assert (table[option], getattr(defaults, option)) == ("empty", None)
    assert (table[CONF_FORECAST_ALERT], defaults.forecast_alert) == ("on", True)
    assert (table[CONF_UNUSUAL_SPEND], defaults.unusual_spend) == ("on", True)
    assert f"`{GetAccountUsageTool.name}`" in section("docs/options.md", "Assist")


def test_fields_of_the_set_up_are_in_the_table() -> None:
    """The table lists each field of each form by its English name."""
    table = section("docs/options.md", "Fields of the set-up")
    for step in ("api_key", "workspace", "url", "access_key"):
        form = TEXTS["config"]["step"][step]
        for name in form["data"].values():
            assert re.search(rf"^\| (.*, )?{name}\b", table, re.MULTILINE)
    for name in form["sections"]["endpoints"]["data"].values():
        assert f"| Endpoints: {name} |" in table


@pytest.mark.parametrize(("name", "action"), fields("services.yaml").items())
def test_actions_are_in_the_tables(name: str, action: Mapping[str, Any]) -> None:
    title = TEXTS["services"][name]["name"]
    table = rows("docs/actions.md", title)
    assert names(cells[0] for cells in table) == [*action["fields"]]
    for cells in table:
        [field] = names(cells[:1])
        required = action["fields"][field].get("required", False)
        assert cells[1].startswith("Optional.") is not required
    example, *_ = pasted(section("docs/actions.md", title))
    assert example["action"] == f"{DOMAIN}.{name}"
    assert example["data"].keys() <= action["fields"].keys()


async def test_csv_script(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
) -> None:
    """The script sends rows by day and model that add up to the spend."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator)
    await setup(hass, entry)
    title = "Example: the spend of the month as CSV"
    [script] = pasted(section("docs/actions.md", title))
    script["sequence"][0]["data"]["config_entry_id"] = entry.entry_id
    sent = async_mock_service(hass, "notify", "send_message")
    assert await async_setup_component(hass, "script", {"script": {"csv": script}})
    await hass.services.async_call("script", "csv", blocking=True)

    [message] = [call.data["message"] for call in sent]
    lines = list(csv.DictReader(message.splitlines()))
    assert {line["date"] for line in lines} == {
        f"2026-08-{day:02}" for day in range(1, 16)
    }
    assert {"qwen-max", "qwen-plus"} <= {line["model"] for line in lines}
    assert {line["currency"] for line in lines} == {"CNY"}
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal("886.53")


def test_permissions_are_in_the_table() -> None:
    table = rows("docs/permissions.md", "AccessKey")
    assert {*names(cells[1] for cells in table)} == {*PERMISSIONS}


@pytest.mark.parametrize("document", READMES)
def test_readmes_name_what_exists(document: str) -> None:
    text = DOCUMENTS[document]
    for status in Status:
        assert text.count(f"\n| `{status}` |") == 1
    for permission in PERMISSIONS:
        assert f"`{permission}`" in text
    for url in (*CONSOLES.values(), *RAM_CONSOLES.values()):
        assert f"]({url})" in text
    commands = [
        line
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    assert commands == ["scripts/develop", "scripts/test"]


def test_issues_are_in_the_table() -> None:
    """The table lists issues by title; issues with the same fix share a row."""
    titles = [
        it["title"].removeprefix("{account}: ") for it in TEXTS["issues"].values()
    ]
    table = [cells[0] for cells in rows("README.md", "Troubleshooting")]
    issues = [title for cell in table for title in re.split(r", (?=[A-Z])", cell)]
    # The first rows are the statuses.
    assert sorted(map(str.lower, issues[len(Status) :])) == sorted(
        map(str.lower, titles)
    )


@pytest.mark.parametrize("document", READMES)
def test_dashboard(document: str) -> None:
    """The examples for the dashboard name the module and its options."""
    own_view, resource_list, *_ = pasted(DOCUMENTS[document])
    [view] = own_view["views"]
    module = MODULE.read_text(encoding="utf-8")
    strategy = view["strategy"]
    assert f'"{strategy.pop("type").removeprefix("custom:")}"' in module
    assert all(f"options.{option}" in module for option in strategy)
    [resource] = resource_list["lovelace"]["resources"]
    assert resource["url"].partition("?")[0] == MODULE_URL
    assert resource["type"] == "module"


def test_both_readmes_have_the_same_content() -> None:
    """Both READMEs have the same sections, tables, pictures, links and examples."""
    english, chinese = (DOCUMENTS[name] for name in READMES)
    for pattern in (
        r"^#+ ",
        r"^\|(?=.)",
        r"\]\((?!README)([^)#]+)",
        r"^```\w*$",
        r"^\d\. ",
    ):
        assert re.findall(pattern, english, re.MULTILINE) == re.findall(
            pattern, chinese, re.MULTILINE
        )
    assert pasted(english) == pasted(chinese)


def test_architecture_names_every_module() -> None:
    """The document names every module, and no file that does not exist."""
    text = DOCUMENTS["docs/architecture.md"]
    modules = {path.name for path in INTEGRATION.glob("*.py")}
    table = names(cells[1] for cells in rows("docs/architecture.md", "Where is what"))
    named = {name for name in table if name.endswith(".py")}
    assert named - {"model_studio/errors.py"} == modules - {"__init__.py", "const.py"}
    for path in re.findall(r"`((?:model_studio|ledger)/\w+\.py)`", text):
        assert (INTEGRATION / path).is_file()


# Links


def anchors(document: str) -> set[str]:
    """Return the anchors of a document's headings on GitHub."""
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", DOCUMENTS[document], re.MULTILINE)
    }


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    text = re.sub(r"```.*?```", "", DOCUMENTS[document], flags=re.DOTALL)
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.is_file(), link
        if anchor:
            name = target.resolve().relative_to(ROOT).as_posix()
            assert anchor in anchors(name), link


def test_every_document_is_linked() -> None:
    linked = {
        path
        for text in DOCUMENTS.values()
        for path in re.findall(r"\]\((?:\.\./|docs/)*([\w.-]+\.md)", text)
    }
    assert {name.removeprefix("docs/") for name in DOCUMENTS} <= linked
