"""The translations: complete in all languages, with exactly the texts that are used."""

from collections.abc import Iterator
from itertools import chain
import json
from pathlib import Path
import re
from string import Formatter
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol

from custom_components.alibaba_cloud.condition import CONDITIONS, AccountCondition
from custom_components.alibaba_cloud.const import CONF_UNUSUAL_SPEND, DOMAIN
from custom_components.alibaba_cloud.event import AlibabaCloudAlerts
from custom_components.alibaba_cloud.failures import FAILURES
from custom_components.alibaba_cloud.figures import (
    ACCOUNT_BINARY_SENSORS,
    ACCOUNT_SENSORS,
    MODEL_SENSORS,
    STATUS,
    STATUS_BINARY_SENSORS,
)
from custom_components.alibaba_cloud.group_figures import GROUP_SENSORS
from custom_components.alibaba_cloud.ledger import Alert, AlertKind
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    ConnectionFailure,
)
from custom_components.alibaba_cloud.options_validation import MORE_ALERTS
from custom_components.alibaba_cloud.repairs import SOURCE_ISSUES
from custom_components.alibaba_cloud.services import (
    GET_PRICES_SCHEMA,
    GET_SPEND_SCHEMA,
    GET_USAGE_SCHEMA,
    GROUPS_WITHOUT_KEY,
    SERVICE_GET_PRICES,
    SERVICE_GET_SPEND,
    SERVICE_GET_USAGE,
)
from custom_components.alibaba_cloud.statistics import STATISTICS_NOT_WRITTEN
from custom_components.alibaba_cloud.trigger import TRIGGERS, AlertTrigger
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity import EntityDescription
from homeassistant.util.yaml import load_yaml_dict

from .common import PERMISSIONS, give_access_key, open_options
from .simulator import Simulator

INTEGRATION = Path(__file__).parent.parent / "custom_components" / "alibaba_cloud"
TRANSLATIONS = INTEGRATION / "translations"
LINK = re.compile(r"\]\(([^)]*)\)")
CODE = re.compile(r"`[^`]*`")
MARKUP = re.compile(r"\*\*|\n+")
HALF_WIDTH_BRACKET = re.compile(r"(?<!\])\(")

# The texts that are the same as in English, by language. All languages are listed.
SAME_AS_ENGLISH: dict[str, set[str]] = {
    "de": {
        "AccessKey",
        "Alibaba Cloud Model Studio",
        "Assist",
        "Budget",
        "Credits",
        "Limits",
        "Name",
        "OK",
        "Prometheus",
        "Region",
        "Status",
        "URL",
        "Workspace",
        "Workspace {id}",
        "Workspaces",
    },
    "es": {
        "AccessKey",
        "Alibaba Cloud Model Studio",
        "Assist",
        "China (Hong Kong)",
        "Endpoints",
        "Error",
        "OK",
        "Prometheus",
        "URL",
        "tokens",
        "tokens/min",
    },
    "fr": {
        "AccessKey",
        "Alibaba Cloud Model Studio",
        "Assist",
        "Budget",
        "Coupon",
        "Message",
        "OK",
        "Options",
        "Prometheus",
        "Quota",
        "URL",
    },
    "ja": {
        "AccessKey",
        "AccessKey ID",
        "Alibaba Cloud Model Studio",
        "OK",
        "Prometheus",
        "URL",
    },
    "zh-Hans": {"AccessKey", "AccessKey ID", "Prometheus", "URL"},
    "zh-Hant": {"AccessKey", "AccessKey ID", "Prometheus", "URL"},
}

DESCRIPTIONS: dict[str, tuple[EntityDescription, ...]] = {
    "binary_sensor": (*ACCOUNT_BINARY_SENSORS, *STATUS_BINARY_SENSORS),
    "sensor": (
        STATUS,
        *ACCOUNT_SENSORS,
        *MODEL_SENSORS,
        *chain(*GROUP_SENSORS.values()),
    ),
}
FAILURE_KEYS = {key for _, key in FAILURES.values()}
SERVICES: dict[str, vol.Schema] = {
    SERVICE_GET_SPEND: GET_SPEND_SCHEMA,
    SERVICE_GET_USAGE: GET_USAGE_SCHEMA,
    SERVICE_GET_PRICES: GET_PRICES_SCHEMA,
}

# The placeholders of each issue's description.
ISSUES: dict[str, set[str]] = {
    "account_unavailable": {"error"},
    "arrearage": {"error"},
    "balance_failing": {"error", "permission"},
    "budget_exhausted": {"error"},
    "environment_variable_missing": {"variable"},
    "free_quota_used_up": {"error"},
    "history_failing": {"error", "permission"},
    "model_gone": {"models"},
    "no_access_key": set(),
    "no_models": set(),
    "over_spend_limit": {"spend", "limit"},
    "service_not_enabled": {"error"},
    "spend_failing": {"error", "permission"},
    "statistics_not_written": set(),
    "telemetry_failing": {"error", "permission"},
}


def read(path: Path) -> Any:
    """Return the contents of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def texts(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts of a translation with their paths, in the order of the file."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from texts(value, f"{path}.{key}" if path else key)
    else:
        assert isinstance(node, str), path
        yield path, node


def placeholders(text: str) -> list[str]:
    """Return the placeholders of a text, sorted, as languages differ in order."""
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def links(text: str) -> list[str]:
    """Return the targets of the Markdown links of a text in order."""
    return LINK.findall(text)


def code(text: str) -> list[str]:
    """Return the code spans of a text in order."""
    return CODE.findall(text)


def markup(text: str) -> list[str]:
    """Return the bold marks and the line breaks of a text in order."""
    return MARKUP.findall(text)


@pytest.fixture(name="english", scope="module")
def english_fixture() -> Any:
    """Return the English translation."""
    return read(TRANSLATIONS / "en.json")


def test_languages() -> None:
    assert {path.stem for path in TRANSLATIONS.iterdir()} == {"en", *SAME_AS_ENGLISH}


@pytest.mark.parametrize("language", SAME_AS_ENGLISH)
def test_language(language: str, english: Any) -> None:
    original = dict(texts(english))
    translated = dict(texts(read(TRANSLATIONS / f"{language}.json")))

    assert list(translated) == list(original)
    assert [path for path, text in translated.items() if not text.strip()] == []
    for path, text in translated.items():
        assert placeholders(text) == placeholders(original[path]), path
        assert links(text) == links(original[path]), path
        assert code(text) == code(original[path]), path
        assert markup(text) == markup(original[path]), path
        # The frontend shows a placeholder as plain text after an apostrophe.
        assert "'{" not in text, path
    same = {text for path, text in translated.items() if text == original[path]}
    assert same == SAME_AS_ENGLISH[language]


@pytest.mark.parametrize("language", ["ja", "zh-Hans", "zh-Hant"])
def test_full_width_brackets(language: str) -> None:
    translated = texts(read(TRANSLATIONS / f"{language}.json"))
    assert [path for path, text in translated if HALF_WIDTH_BRACKET.search(text)] == []


def test_english_has_no_empty_text(english: Any) -> None:
    assert [path for path, text in texts(english) if not text.strip()] == []
    assert [path for path, text in texts(english) if "'{" in text] == []


@pytest.mark.parametrize("word", ["qwen", "dashscope", "bailian", "百炼", "阿里云"])
def test_search_finds_the_integration(word: str) -> None:
    """The frontend finds a word in the first 20 characters of the manifest's name."""
    name = read(INTEGRATION / "manifest.json")["name"].lower()
    assert 0 <= name.find(word) <= 20


def test_entities(english: Any) -> None:
    named = english["entity"]
    icons = read(INTEGRATION / "icons.json")["entity"]
    assert named.keys() == icons.keys() == {*DESCRIPTIONS, "event"}
    for platform, descriptions in DESCRIPTIONS.items():
        for description in descriptions:
            states = named[platform][description.key].get("state", {})
            assert states.keys() == set(getattr(description, "options", None) or ())
        keys = {description.key for description in descriptions}
        assert named[platform].keys() == keys
        assert icons[platform].keys() == keys
        assert [key for key in keys if not named[platform][key].get("name")] == []
        assert [key for key in keys if not icons[platform][key].get("default")] == []


def test_account_attributes(english: Any) -> None:
    named = english["entity"]["sensor"]
    for description in ACCOUNT_SENSORS:
        of = description.attributes_fn
        attributes = named[description.key].get("state_attributes", {})
        assert attributes.keys() == (of(AccountSnapshot()).keys() if of else set())
        assert [key for key in attributes if not attributes[key].get("name")] == []


def test_alerts(english: Any) -> None:
    entity = AlibabaCloudAlerts(MockConfigEntry(domain=DOMAIN))
    icons = read(INTEGRATION / "icons.json")["entity"]["event"]
    assert english["entity"]["event"].keys() == icons.keys() == {entity.translation_key}
    assert icons[entity.translation_key].keys() == {"default"}
    named = english["entity"]["event"][entity.translation_key]
    assert named.keys() == {"name", "state_attributes"}
    attributes = named["state_attributes"]
    alert = Alert(kind=AlertKind.RECOVERED, alert_id="").as_dict()
    assert attributes.keys() == {"event_type", *alert}
    assert [key for key in attributes if "name" not in attributes[key]] == []
    assert attributes["event_type"]["state"].keys() == set(AlertKind)


def test_activity(english: Any) -> None:
    """Each alert has a sentence for the activity log, from its own attributes."""
    said = {
        key: text for key, text in english["common"].items() if key.startswith("alert_")
    }
    groups = {"alert_spend_level_group"}
    assert said.keys() == {f"alert_{kind}" for kind in AlertKind} | groups
    assert {field for text in said.values() for field in placeholders(text)} <= {
        *Alert(kind=AlertKind.RECOVERED, alert_id="").as_dict(),
        "group",
    }


def test_groups_without_a_key(english: Any) -> None:
    named = {key for key in english["common"] if key.startswith("group_")}
    assert named == set(GROUPS_WITHOUT_KEY.values())


def test_statistics(english: Any) -> None:
    """The names of statistics contain the account, and the model if there is one."""
    named = {
        key: placeholders(text)
        for key, text in english["common"].items()
        if key.startswith("statistic_")
    }
    assert named == {
        "statistic_spend": ["account"],
        "statistic_model_spend": ["account", "model"],
        "statistic_workspace_spend": ["account", "name"],
        "statistic_api_key_spend": ["account", "name"],
    }


def test_exceptions(english: Any) -> None:
    wanted = (FAILURE_KEYS - {"cannot_connect"}) | {
        *(f"connection_{failure}" for failure in ConnectionFailure),
        "environment_variable_missing",
        "instances_not_listed",
        "invalid_access_key",
        "no_access_key",
        "no_followed_model",
        "no_priced_model",
        "no_prices",
        "no_such_model",
        "nothing_read",
        "prices_not_read",
        "range_too_long",
        "start_after_end",
        "statistics_not_written",
        "storage_not_readable",
        "stored_by_later_version",
    }
    assert english["exceptions"].keys() == wanted
    assert [key for key in wanted if "message" not in english["exceptions"][key]] == []


def test_every_field_is_explained(english: Any) -> None:
    """Each field has a label and a description, also in the sections of a form."""

    def forms(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            if "data" in node:
                yield node
            for part in node.values():
                yield from forms(part)

    found = [*forms(english["config"]), *forms(english["options"])]
    assert len(found) > 10
    for form in found:
        assert form["data"].keys() == form["data_description"].keys()


def test_form_errors(english: Any) -> None:
    wanted = FAILURE_KEYS | {
        "access_key_incomplete",
        "already_configured",
        "environment_variable_missing",
        "free_quota_used_up",
        "instance_not_encrypted",
        "instance_not_read",
        "invalid_access_key",
        "invalid_balance_endpoint",
        "invalid_billing_endpoint",
        "invalid_prometheus_url",
        "invalid_url",
        "invalid_workspace_id",
        "no_instance_url",
        "no_models_selected",
        "no_usage",
        "not_found",
        "other_models",
        "unknown",
        "wrong_account",
    }
    assert english["config"]["error"].keys() == wanted


@pytest.mark.parametrize("language", ["en", *SAME_AS_ENGLISH])
def test_errors_of_a_section_name_the_field(language: str) -> None:
    options = read(TRANSLATIONS / f"{language}.json")["options"]
    labels = options["step"]["alerts"]["sections"]["more_alerts"]["data"]
    assert labels.keys() == {*MORE_ALERTS, CONF_UNUSUAL_SPEND}
    for field in MORE_ALERTS:
        assert labels[field] in options["error"][f"invalid_{field}"]


@pytest.mark.parametrize("language", ["en", *SAME_AS_ENGLISH])
def test_access_key(language: str) -> None:
    """The AccessKey forms differ only in their purpose; errors name their fields."""
    config = read(TRANSLATIONS / f"{language}.json")["config"]
    first = config["step"]["access_key"]
    for step in ("reconfigure_access_key", "reauth_access_key"):
        again = config["step"][step]
        assert first.keys() == again.keys()
        assert {path for path, _ in {*texts(first)} ^ {*texts(again)}} == {
            "title",
            "description",
            "data_description.access_key_secret",
        }
    for field, label in first["sections"]["endpoints"]["data"].items():
        assert label in config["error"][f"invalid_{field}"]


async def test_options(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    english: Any,
) -> None:
    give_access_key(hass, account, simulator)
    menu = await hass.config_entries.options.async_init(account.entry_id)
    options = menu["menu_options"]
    assert isinstance(options, list)
    steps = english["options"]["step"]
    # The fields of the budgets are named by what they are of.
    sections = steps["group_budgets"].pop("sections")
    assert steps.pop("group_budgets").keys() == {"title", "description"}
    assert {key: texts_of["name"] for key, texts_of in sections.items()} == (
        steps["groups"]["data"]
    )
    assert steps.keys() == {"init", *options}
    assert steps["init"].keys() == {
        "title",
        "menu_options",
        "menu_option_descriptions",
    }
    assert steps["init"]["menu_options"].keys() == set(options)
    assert steps["init"]["menu_option_descriptions"].keys() == set(options)
    for step in options:
        form = await open_options(hass, account, step)
        assert form["step_id"] == step
        assert form["data_schema"] is not None
        asked = {str(key): it for key, it in form["data_schema"].schema.items()}
        named = dict(steps[step])
        for key, texts_of in named.pop("sections", {}).items():
            assert texts_of.keys() == {"name", "data", "data_description"}
            within = {str(field) for field in asked.pop(key).schema.schema}
            assert texts_of["data"].keys() == within
        assert named.keys() == {"title", "description", "data", "data_description"}
        assert named["data"].keys() == named["data_description"].keys() == asked.keys()
        filled = form["description_placeholders"] or {}
        assert set(placeholders(named["description"])) == filled.keys()


async def test_option_errors(
    hass: HomeAssistant, account: MockConfigEntry, english: Any
) -> None:
    form = await open_options(hass, account, "alerts")
    form = await hass.config_entries.options.async_configure(
        form["flow_id"],
        {
            "monthly_budget": 0,
            "spend_levels": ["high"],
            "forecast_alert": True,
            "model_levels": [str(level) for level in range(1, 12)],
        },
    )
    errors = {
        "monthly_budget": "invalid_amount",
        "spend_levels": "invalid_level",
        "model_levels": "too_many_levels",
    }
    assert form["errors"] == errors
    assert english["options"]["error"].keys() == {
        *errors.values(),
        *(f"invalid_{key}" for key in MORE_ALERTS),
        "no_models_selected",
        "bill_not_read",
    }


def test_issues(english: Any) -> None:
    assert english["issues"].keys() == ISSUES.keys()
    for key, filled in ISSUES.items():
        issue = english["issues"][key]
        assert placeholders(issue["title"]) == ["account"]
        body = issue
        if "fix_flow" in issue:
            assert issue.keys() == {"title", "fix_flow"}
            assert issue["fix_flow"]["abort"].keys() == {"none_left"}
            body = issue["fix_flow"]["step"]["confirm"]
        assert body.keys() == {"title", "description"}
        assert set(placeholders(body["description"])) == filled


@pytest.mark.parametrize("language", ["en", *SAME_AS_ENGLISH])
def test_titles_of_repairs(language: str) -> None:
    """On a phone, a title of two lines would cover the line below it.

    Chinese and Japanese characters are twice as wide as others.
    """
    for issue in read(TRANSLATIONS / f"{language}.json")["issues"].values():
        if "fix_flow" in issue:
            title = issue["fix_flow"]["step"]["confirm"]["title"]
            assert sum(1 + (character > "\u2e80") for character in title) <= 26


@pytest.mark.parametrize("language", ["en", *SAME_AS_ENGLISH])
def test_issues_of_a_missing_permission(language: str) -> None:
    """Each description has one placeholder for a permission and names no other."""
    texts_of = read(TRANSLATIONS / f"{language}.json")["issues"]
    for key in SOURCE_ISSUES.keys() - {STATISTICS_NOT_WRITTEN}:
        assert code(texts_of[key]["description"]) == ["`{permission}`"]
        for permission in PERMISSIONS:
            assert permission not in texts_of[key]["description"]


def test_services(english: Any) -> None:
    named = english["services"]
    services = load_yaml_dict(str(INTEGRATION / "services.yaml"))
    icons = read(INTEGRATION / "icons.json")["services"]
    assert named.keys() == services.keys() == icons.keys() == SERVICES.keys()
    assert [key for key in icons if not icons[key].get("service")] == []
    for service, schema in SERVICES.items():
        fields = named[service]["fields"]
        assert fields.keys() == services[service]["fields"].keys()
        assert fields.keys() == {str(key) for key in schema.schema}
        for texts_of in (named[service], *fields.values()):
            assert {"name", "description"} <= texts_of.keys()


def test_service_selectors(english: Any) -> None:
    selects = {
        f"{service}.{key}": field["selector"]["select"]
        for service, texts_of in load_yaml_dict(
            str(INTEGRATION / "services.yaml")
        ).items()
        for key, field in texts_of["fields"].items()
        if "select" in field["selector"]
    }
    assert selects
    for path, select in selects.items():
        options = english["selector"][select["translation_key"]]["options"]
        assert options.keys() == set(select["options"]), path


@pytest.mark.parametrize(
    ("kind", "parts"), [("trigger", TRIGGERS), ("condition", CONDITIONS)]
)
def test_triggers_and_conditions(
    kind: str, parts: dict[str, type[Any]], english: Any
) -> None:
    named = english[f"{kind}s"]
    # Keys with a leading dot are YAML anchors.
    described = {
        key: description
        for key, description in load_yaml_dict(
            str(INTEGRATION / f"{kind}s.yaml")
        ).items()
        if not key.startswith(".")
    }
    icons = read(INTEGRATION / "icons.json")[f"{kind}s"]
    assert named.keys() == described.keys() == icons.keys() == parts.keys()
    assert [key for key in icons if not icons[key].get(kind)] == []
    for key, part in parts.items():
        assert issubclass(part, AlertTrigger | AccountCondition)
        # The search in the dialog matches names and descriptions.
        assert "Alibaba Cloud Model Studio" in named[key]["description"]
        fields = named[key].get("fields", {})
        assert fields.keys() == described[key].get("fields", {}).keys()
        assert fields.keys() == {str(option) for option in part.options}
        for texts_of in (named[key], *fields.values()):
            assert {"name", "description"} <= texts_of.keys()
