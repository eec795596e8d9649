"""The blueprints: the automations made from them, and their notifications."""

from collections.abc import Awaitable, Callable
import json
from pathlib import Path
import shutil
from typing import Any
from urllib.parse import quote

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
    async_mock_service,
)

from custom_components.alibaba_cloud.const import (
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_BALANCE_ENDPOINT,
    CONF_BILLING_ENDPOINT,
    CONF_GROUP_BUDGETS,
    CONF_MODELS,
    CONF_PROMETHEUS_URL,
    CONF_SPEND_LEVELS,
    CONF_WORKSPACES,
    DOMAIN,
)
from custom_components.alibaba_cloud.failures import escape_markdown
from homeassistant.components.automation import automations_with_blueprint
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml_dict

from .common import NOW, Poll, give_access_key, reload, setup, state
from .simulator import Fault, Simulator
from .simulator.account import WORKSPACE_ID

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "blueprints" / "automation" / DOMAIN
BLUEPRINTS = sorted(FOLDER.iterdir())
README = (ROOT / "README.md").read_text()
HOME = json.loads((ROOT / "custom_components" / DOMAIN / "manifest.json").read_text())[
    "documentation"
]

type Automate = Callable[..., Awaitable[list[ServiceCall]]]


@pytest.fixture
def automate(hass: HomeAssistant, tmp_path: Path) -> Automate:
    """Return a function that adds an automation and returns its notifications."""

    async def automate(name: str, **inputs: Any) -> list[ServiceCall]:
        hass.config.config_dir = str(tmp_path)
        shutil.copytree(FOLDER, tmp_path / "blueprints" / "automation" / DOMAIN)
        notifications = async_mock_service(hass, "persistent_notification", "create")
        path = f"{DOMAIN}/{name}.yaml"
        assert await async_setup_component(
            hass,
            "automation",
            {"automation": {"use_blueprint": {"path": path, "input": inputs}}},
        )
        await hass.async_block_till_done()
        [automation] = automations_with_blueprint(hass, path)
        state = hass.states.get(automation)
        assert state is not None
        assert state.state == "on"
        return notifications

    return automate


def device_id(hass: HomeAssistant, entry: MockConfigEntry) -> str:
    """Return the device ID of an account."""
    device = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, entry.entry_id), config_entry_id=entry.entry_id
    )
    assert device is not None
    return device.id


def texts_of(notifications: list[ServiceCall]) -> list[tuple[str, str]]:
    """Return the title and message of each notification; their IDs must differ."""
    ids = [call.data["notification_id"] for call in notifications]
    assert len(set(ids)) == len(ids)
    return [(call.data["title"], call.data["message"]) for call in notifications]


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_can_be_imported(path: Path) -> None:
    blueprint = load_yaml_dict(path)["blueprint"]
    assert blueprint["source_url"] == (
        f"{HOME}/blob/main/{path.relative_to(ROOT).as_posix()}"
    )
    required = json.loads((ROOT / "hacs.json").read_text())["homeassistant"]
    assert blueprint["homeassistant"]["min_version"] == required
    badge = (
        "https://my.home-assistant.io/redirect/blueprint_import/?blueprint_url="
        f"{quote(blueprint['source_url'], safe='')}"
    )
    assert f"]({badge})" in README
    assert f"]({path.relative_to(ROOT).as_posix()})" in README


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_works_in_every_home(path: Path) -> None:
    """A blueprint names no entity; every input except the account has a default."""
    text = path.read_text()
    assert "sensor." not in text
    assert "entity_id" not in text
    inputs: dict[str, Any] = {}
    for name, field in load_yaml_dict(path)["blueprint"]["input"].items():
        inputs |= field.get("input", {name: field})
    without = {name for name, field in inputs.items() if "default" not in field}
    assert without <= {"account"}
    assert all(field["name"] and field["selector"] for field in inputs.values())


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("name", ["spend_level", "throttled", "account_problem"])
async def test_run_by_hand(hass: HomeAssistant, automate: Automate, name: str) -> None:
    """A manual run sends a test notification and runs no other action."""
    events = async_capture_events(hass, "switched_off")
    inputs = (
        {"actions": [{"event": "switched_off"}], "actions_level": 1}
        if name == "spend_level"
        else {}
    )
    notifications = await automate(name, **inputs)
    [automation] = automations_with_blueprint(hass, f"{DOMAIN}/{name}.yaml")
    await hass.services.async_call(
        "automation", "trigger", {"entity_id": automation}, blocking=True
    )
    assert texts_of(notifications) == [
        ("Alibaba Cloud Model Studio", "This is a test notification.")
    ]
    assert events == []


async def test_spend_level(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    automate: Automate,
    poll: Poll,
) -> None:
    notifications = await automate("spend_level")
    for spend in (260, 399.99, 400, 410, 520.5, 530):
        simulator.body["data"]["monthly_spend"] = spend
        await poll()
    period = "in the billing period that began on 2026-08-01."
    assert texts_of(notifications) == [
        (
            "Model Studio: 80% of the budget",
            f"You have spent 400.00 of 500.00 USD {period}",
        ),
        (
            "Model Studio: 100% of the budget",
            f"You have spent 520.50 of 500.00 USD {period}",
        ),
    ]


async def test_spend_level_does_more(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    automate: Automate,
    poll: Poll,
) -> None:
    """Actions run from their own level on, even if no notification is due."""
    switched_off = async_mock_service(hass, "homeassistant", "turn_off")
    notifications = await automate(
        "spend_level",
        accounts={"device_id": [device_id(hass, account)]},
        level=100,
        notify=[
            {"action": "persistent_notification.create", "data": {"message": "{{ 1 }}"}}
        ],
        actions=[{"action": "homeassistant.turn_off"}],
        actions_level=80,
    )
    simulator.body["data"]["monthly_spend"] = 260
    await poll()
    assert not switched_off
    simulator.body["data"]["monthly_spend"] = 400
    await poll()
    assert len(switched_off) == 1
    assert not notifications
    simulator.body["data"]["monthly_spend"] = 500
    await poll()
    assert len(switched_off) == 2
    assert len(notifications) == 1


async def test_spend_level_of_a_workspace(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    automate: Automate,
) -> None:
    """A workspace with a budget of its own can be watched, too."""
    options: dict[str, Any] = {CONF_WORKSPACES: [WORKSPACE_ID], CONF_SPEND_LEVELS: [80]}
    give_access_key(hass, entry, simulator, **options)
    await setup(hass, entry)
    workspace = dr.async_get(hass).async_get_child_device_by_identifier(
        (DOMAIN, f"{entry.entry_id}_workspace_{WORKSPACE_ID}"), entry.entry_id
    )
    assert workspace
    notifications = await automate(
        "spend_level", accounts={"device_id": [workspace.id]}
    )
    hass.config_entries.async_update_entry(
        entry,
        options={**options, CONF_GROUP_BUDGETS: {f"workspace_{WORKSPACE_ID}": 10}},
    )
    await reload(hass, entry)
    [(title, _)] = texts_of(notifications)
    assert title == f"Model Studio ({WORKSPACE_ID}): 80% of the budget"


async def test_other_accounts_send_nothing(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    automate: Automate,
    poll: Poll,
) -> None:
    notifications = await automate(
        "spend_level", accounts={"device_id": ["of-another-account"]}
    )
    simulator.body["data"]["monthly_spend"] = 500
    await poll()
    assert not notifications


@pytest.mark.logs("Error fetching", "Error fetching")
@pytest.mark.parametrize(
    ("fault", "title", "message"),
    [
        (
            Fault.THROTTLED,
            "Model Studio: throttled",
            (
                "The service refuses requests of this account. An assistant that"
                " uses it may not answer for a while."
            ),
        ),
        (
            Fault.BUDGET_EXHAUSTED,
            "Model Studio: budget used up",
            (
                "The service refuses requests of this account because the budget set in"
                " the console is used up. An assistant that uses it does not answer until"
                " you raise the budget."
            ),
        ),
    ],
)
async def test_throttled(
    account: MockConfigEntry,
    simulator: Simulator,
    automate: Automate,
    poll: Poll,
    fault: Fault,
    title: str,
    message: str,
) -> None:
    notifications = await automate("throttled")
    simulator.fail(fault)
    await poll()
    assert not notifications
    await poll(61)
    await poll(121)
    simulator.recover()
    await poll(1000)
    # This blueprint does not notify about other failures.
    simulator.fail(Fault.SERVER_ERROR)
    for _ in range(2):
        await poll()
    simulator.recover()
    await poll()
    assert texts_of(notifications) == [
        (title, message),
        ("Model Studio: no longer throttled", "The service accepts requests again."),
    ]


@pytest.mark.logs("Error fetching")
@pytest.mark.parametrize(
    ("name", "fault"),
    [("throttled", Fault.THROTTLED), ("account_problem", Fault.SERVER_ERROR)],
)
async def test_recovery_is_optional(
    account: MockConfigEntry,
    simulator: Simulator,
    automate: Automate,
    poll: Poll,
    name: str,
    fault: Fault,
) -> None:
    notifications = await automate(name, tell_recovery=False)
    simulator.fail(fault)
    await poll()
    await poll(61)
    simulator.recover()
    await poll(1000)
    assert len(notifications) == 1


@pytest.mark.logs(*["Error fetching"] * 4)
async def test_account_problem(
    account: MockConfigEntry, simulator: Simulator, automate: Automate, poll: Poll
) -> None:
    notifications = await automate("account_problem")
    for fault in (
        Fault.UNAUTHORIZED,
        Fault.SERVER_ERROR,
        Fault.THROTTLED,
        Fault.BUDGET_EXHAUSTED,
    ):
        simulator.fail(fault)
        await poll(1000)
        await poll(1000)
        simulator.recover()
        await poll(1000)
    titles = [title for title, _ in texts_of(notifications)]
    assert titles == [
        "Model Studio: API key rejected",
        "Model Studio: works again",
        "Model Studio: unavailable",
        "Model Studio: works again",
    ]
    assert "Enter a new one" in notifications[0].data["message"]


async def digest(
    hass: HomeAssistant, notifications: list[ServiceCall], poll: Poll
) -> tuple[str, list[str]]:
    """Advance to the time of the digest; return its title and its lines."""
    assert not notifications
    await poll(60)
    # Stop the automation, which now waits for the next day.
    await hass.services.async_call(
        "automation", "turn_off", {"entity_id": "all"}, blocking=True
    )
    [call] = notifications
    return call.data["title"], call.data["message"].split("\n")


async def test_daily_digest(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    automate: Automate,
    poll: Poll,
) -> None:
    await hass.config.async_set_time_zone("UTC")
    notifications = await automate(
        "daily_digest", account=account.entry_id, time="12:01:00", models=2
    )
    title, lines = await digest(hass, notifications, poll)
    assert title == "Model Studio"
    assert lines == [
        "- Available balance: 100.25 USD",
        "- Spent today: 12.34 USD",
        "- Spent in this billing period: 187.65 USD",
        "- Budget used: 38%",
        "- Budget left: 312.35 USD",
        "- qwen-max: 82% of its limit",
        "- qwen-plus: 8% of its limit",
    ]


async def test_daily_digest_of_models_with_a_load(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    automate: Automate,
    poll: Poll,
) -> None:
    """Without reported usage, the digest contains the load of the last minute."""
    freezer.move_to(NOW)
    for row in simulator.body["data"]["models"][1:]:
        del row["used"]
    [(key_id, secret)] = simulator.access_keys.items()
    hass.config_entries.async_update_entry(
        entry,
        data={
            **entry.data,
            CONF_ACCESS_KEY_ID: key_id,
            CONF_ACCESS_KEY_SECRET: secret,
            CONF_BILLING_ENDPOINT: simulator.openapi_url,
            CONF_BALANCE_ENDPOINT: simulator.openapi_url,
            CONF_PROMETHEUS_URL: simulator.prometheus_url,
        },
    )
    await setup(hass, entry)
    load = float(state(hass, "load_pct", "qwen-plus") or 0)
    assert load
    await hass.config.async_set_time_zone("UTC")
    notifications = await automate(
        "daily_digest", account=entry.entry_id, time="12:01:00", models=3
    )
    _, lines = await digest(hass, notifications, poll)
    assert lines[-2:] == [
        "- qwen-max: 82% of its limit",
        f"- qwen-plus: {load:.0f}% of its limit",
    ]


async def test_daily_digest_shows_names_as_they_are(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    automate: Automate,
    poll: Poll,
) -> None:
    """A model's name is plain text in the digest, without links, images or HTML."""
    await hass.config.async_set_time_zone("UTC")
    name = r"![a](https://a.example/a.png) <b> \ www.a.example a@a.example"
    simulator.body["data"]["models"] = [{"model": name, "used": 1, "limit": 2}]
    await poll()
    notifications = await automate(
        "daily_digest", account=account.entry_id, time="12:01:00", models=1
    )
    _, lines = await digest(hass, notifications, poll)
    assert lines[-1] == f"- {escape_markdown(name)}: 50% of its limit"
    assert lines[-1].startswith(r"- !\[a\](https\://a.example/a.png) \<b\> \\ www\.a")


async def test_daily_digest_tells_the_forecast(
    hass: HomeAssistant,
    account: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    automate: Automate,
    poll: Poll,
) -> None:
    await hass.config.async_set_time_zone("UTC")
    for _ in range(5):
        await poll(24 * 60 * 60)
        simulator.body["data"]["monthly_spend"] += 12
    freezer.move_to("2026-08-20 12:00:30+00:00")
    notifications = await automate(
        "daily_digest", account=account.entry_id, time="12:01:00", models=0
    )
    _, lines = await digest(hass, notifications, poll)
    assert [line.partition(":")[0] for line in lines[-2:]] == [
        "- Forecast for this billing period",
        "- The balance lasts until 2026-08-28",
    ]


@pytest.mark.logs("Error fetching")
async def test_daily_digest_of_an_account_that_cannot_be_read(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    automate: Automate,
    poll: Poll,
) -> None:
    await hass.config.async_set_time_zone("UTC")
    simulator.fail(Fault.SERVER_ERROR)
    notifications = await automate(
        "daily_digest", account=account.entry_id, time="12:01:00"
    )
    await poll(31)
    _, lines = await digest(hass, notifications, poll)
    assert lines[:2] == [
        "The account can't be read at the moment. These are its latest figures:",
        "- Available balance: 100.25 USD",
    ]


@pytest.mark.logs("Error fetching", "Error executing script")
async def test_daily_digest_of_an_account_that_never_was_read(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    automate: Automate,
    poll: Poll,
) -> None:
    freezer.move_to("2026-08-15 12:00:00+00:00")
    await hass.config.async_set_time_zone("UTC")
    simulator.fail(Fault.SERVER_ERROR)
    await setup(hass, entry)
    notifications = await automate(
        "daily_digest", account=entry.entry_id, time="12:01:00"
    )
    assert await digest(hass, notifications, poll) == (
        "Model Studio",
        ["This account has no figures yet."],
    )


async def test_daily_digest_leaves_out_what_is_not_known(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    automate: Automate,
    poll: Poll,
) -> None:
    """The digest of a key that reads limits only has no amounts and no usage."""
    freezer.move_to("2026-08-15 12:00:00+00:00")
    await hass.config.async_set_time_zone("UTC")
    simulator.body = None
    simulator.account.answer = "limits"
    hass.config_entries.async_update_entry(entry, options={CONF_MODELS: ["qwen-max"]})
    await setup(hass, entry)
    notifications = await automate(
        "daily_digest", account=entry.entry_id, time="12:01:00"
    )
    assert await digest(hass, notifications, poll) == (
        "Model Studio",
        ["This account has no figures yet."],
    )
