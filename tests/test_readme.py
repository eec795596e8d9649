"""The documents: what they name exists, and nothing is missing in their tables."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import chain
import json
import re
from typing import Any

import pytest

from custom_components.alibaba_cloud.const import (
    CONF_ASSISTANT,
    CONF_FORECAST_ALERT,
    CONF_GROUP_BUDGETS,
    CONF_MODELS,
    CONF_UNUSUAL_SPEND,
    CONSOLES,
    DOMAIN,
    RAM_CONSOLES,
)
from custom_components.alibaba_cloud.dashboard import FRONTEND, MODULE_URL
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
from custom_components.alibaba_cloud.options import (
    GROUP_OPTIONS,
    OPTION_DEFAULTS,
    alert_options,
)
from custom_components.alibaba_cloud.options_validation import (
    ALERT_OPTIONS,
    MORE_ALERTS,
)
from custom_components.alibaba_cloud.sources import SOURCES, Source
from custom_components.alibaba_cloud.trigger import TRIGGERS
from homeassistant.components.sensor import SensorEntityDescription
from homeassistant.const import EntityCategory

from .common import PERMISSIONS
from .documents import (
    DOCUMENTS,
    EDITIONS,
    INTEGRATION,
    READMES,
    ROOT,
    anchors,
    blocks,
    examples,
    fields,
    links,
    names,
    pasted,
    rows,
    section,
    texts,
)

TEXTS = json.loads((INTEGRATION / "translations" / "en.json").read_text())
CHINESE = defaultdict[str, set[str]](set)
"""The Chinese texts for each English one."""
for text, translated in zip(texts("en"), texts("zh-Hans"), strict=True):
    CHINESE[text].add(translated)
# Home Assistant's lists of what can be installed show the English title.
del CHINESE["Alibaba Cloud Model Studio"]

editions = pytest.mark.parametrize(("english", "chinese"), EDITIONS.items())

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
        *ALERT_OPTIONS,
        *MORE_ALERTS,
    }
    for option in (*ALERT_OPTIONS, *MORE_ALERTS):
        default = OPTION_DEFAULTS.get(option, "empty")
        levels = default if isinstance(default, list) else [default]
        assert table[option] == ", ".join(map(str, levels))
    for option in (CONF_FORECAST_ALERT, CONF_UNUSUAL_SPEND):
        assert (table[option], OPTION_DEFAULTS[option]) == ("on", True)
    assert alert_options({}) == AlertOptions()
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
    source = "".join(it.read_text(encoding="utf-8") for it in FRONTEND.glob("*.js"))
    strategy = view["strategy"]
    assert f'"{strategy.pop("type").removeprefix("custom:")}"' in source
    assert all(f"options.{option}" in source for option in strategy)
    [resource] = resource_list["lovelace"]["resources"]
    assert resource["url"].partition("?")[0] == MODULE_URL
    assert resource["type"] == "module"


def shape(block: str) -> tuple[list[str], int, list[str]]:
    """Return the mark, the number of cells and the keys of a block."""
    mark = re.findall(r"^(?:#+|\||-|\d\.)", block)
    return mark, block.count("|") if mark == ["|"] else 0, sorted(names([block]))


@editions
def test_editions_have_the_same_content(english: str, chinese: str) -> None:
    """Headings, rows, items, paragraphs and keys are the same, and so are examples."""
    assert [*map(shape, blocks(chinese))] == [*map(shape, blocks(english))]
    for text, translated in zip(blocks(english), blocks(chinese), strict=True):
        figures, found = (Counter(re.findall(r"\d+", it)) for it in (text, translated))
        assert figures <= found, translated
    assert examples(chinese) == examples(english)


@editions
def test_editions_have_the_same_links(english: str, chinese: str) -> None:
    """The Chinese edition links to the Chinese editions, to the same sections."""

    def sections(document: str, other: str) -> list[tuple[str, int | None]]:
        return [
            (
                EDITIONS.get(target, target) if document == english else target,
                anchors(target).index(anchor) if anchor else None,
            )
            for target, anchor in links(document)
            if target != other
        ]

    assert sections(chinese, english) == sections(english, chinese)
    for document, other in ((english, chinese), (chinese, english)):
        assert other in {target for target, _ in links(document)}


@editions
def test_editions_use_the_same_names(english: str, chinese: str) -> None:
    """What has a name in the integration is called by its translation."""
    for text, translated in zip(blocks(english), blocks(chinese), strict=True):
        for name in {*re.split(r"^#+ |\*+| ?\| ?", text)} & CHINESE.keys():
            assert any(it in translated for it in CHINESE[name]), translated


def test_chinese_tables_of_entities() -> None:
    """Kinds are the same as in English, and sources have one name each."""
    english = "docs/entities.md"
    tables = (
        [[*map(str.strip, row.split("|")[1:-1])] for row in blocks(it) if row[0] == "|"]
        for it in (english, EDITIONS[english])
    )
    sources = {}
    for cells, translated in zip(*tables, strict=True):
        if len(cells) == 3:
            sources[cells[0]] = translated[0]
        elif names(cells[1:2]):
            assert translated[1:3] == cells[1:3]
            if len(cells) == 5:
                named = [sources[source] for source in cells[3].split(", ")]
                assert translated[3].split("、") == named


def test_architecture_names_every_module() -> None:
    """The document names every module, and no file that does not exist."""
    text = DOCUMENTS["docs/architecture.md"]
    modules = {path.name for path in INTEGRATION.glob("*.py")}
    table = names(cells[1] for cells in rows("docs/architecture.md", "Where is what"))
    named = {name for name in table if name.endswith(".py")}
    assert named - {"model_studio/errors.py"} == modules - {"__init__.py", "const.py"}
    for path in re.findall(r"`((?:model_studio|ledger)/\w+\.py)`", text):
        assert (INTEGRATION / path).is_file()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    for target, anchor in links(document):
        assert (ROOT / target).is_file(), target
        assert not anchor or anchor in anchors(target), f"{target}#{anchor}"


def test_every_document_is_linked() -> None:
    assert {target for name in DOCUMENTS for target, _ in links(name)} >= {*DOCUMENTS}
