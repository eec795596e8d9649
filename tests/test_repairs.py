"""Issues: created with their cause, and deleted with it."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp.test_utils import TestClient
from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.alibaba_cloud.const import (
    CONF_API_KEY_ENV,
    CONF_ASSISTANT,
    CONF_BASE_URL,
    CONF_MODELS,
    DOMAIN,
)
from homeassistant.config_entries import ConfigEntryDisabler
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.translation import async_get_translations
from homeassistant.setup import async_setup_component

from .common import (
    API_KEY,
    NOW,
    Poll,
    answer,
    devices,
    give_access_key,
    refresh,
    register,
    reload,
    setup,
    state,
)
from .simulator import Fault, Simulator


def issues(hass: HomeAssistant) -> dict[str, dict[str, str] | None]:
    """Return the issues of the integration with their placeholders."""
    return {
        issue.translation_key or "": issue.translation_placeholders
        for issue in ir.async_get(hass).issues.values()
        if issue.domain == DOMAIN
    }


def changed(**data: Any) -> Any:
    """Return the account answer with changed data."""
    body = answer("account")
    body["data"] |= data
    return body


@pytest.mark.parametrize(
    ("cause", "key", "placeholders"),
    [
        (
            lambda simulator: simulator.fail(
                Fault.ERROR_CODE, code="AccessDenied", message="Not activated."
            ),
            "account_unavailable",
            {"error": "AccessDenied: Not activated."},
        ),
        (
            lambda simulator: simulator.fail(Fault.ARREARAGE, message="Overdue."),
            "arrearage",
            {"error": "Arrearage: Overdue."},
        ),
        (
            lambda simulator: simulator.fail(
                Fault.ARREARAGE, status=403, message="See ![x](http://a.example/x.png)"
            ),
            "arrearage",
            {"error": r"Arrearage: See !\[x\](http\://a.example/x.png)"},
        ),
        (
            lambda simulator: simulator.fail(Fault.NOT_ENABLED, message="Activate it."),
            "service_not_enabled",
            {"error": "AccessDenied.Unpurchased: Activate it."},
        ),
        (
            lambda simulator: simulator.fail(
                Fault.BUDGET_EXHAUSTED, code="", message="Your budget is used up."
            ),
            "budget_exhausted",
            {"error": "HTTP 429: Your budget is used up."},
        ),
        (
            lambda simulator: simulator.fail(Fault.FREE_TIER_ONLY, message="Used up."),
            "free_quota_used_up",
            {"error": "AllocationQuota.FreeTierOnly: Used up."},
        ),
        (
            lambda simulator: setattr(simulator, "body", changed(models=[])),
            "no_models",
            {},
        ),
        (
            lambda simulator: setattr(
                simulator, "body", {"output": {"total": 0, "quotas": []}}
            ),
            "no_models",
            {},
        ),
        (
            lambda simulator: setattr(simulator, "body", changed(monthly_spend=512.5)),
            "over_spend_limit",
            {"spend": "512.50 USD", "limit": "500.00 USD"},
        ),
    ],
)
async def test_issue(
    request: pytest.FixtureRequest,
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    cause: Callable[[Simulator], None],
    key: str,
    placeholders: dict[str, str],
) -> None:
    """An issue stays through an outage and a reload until its cause is gone."""
    expected = {key: {"account": "Model Studio", **placeholders}}
    failures = key not in {"no_models", "over_spend_limit"}
    request.node.add_marker(
        pytest.mark.logs(*["Error fetching"] * (4 if failures else 1))
    )
    assert issues(hass) == {}
    cause(simulator)
    await poll()
    assert issues(hass) == expected
    await simulator.stop()
    await poll(20 * 60)
    assert issues(hass) == expected
    await simulator.start()
    await poll()
    assert issues(hass) == expected
    assert await hass.config_entries.async_reload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert issues(hass) == expected

    simulator.recover()
    simulator.body = answer("account")
    await poll(20 * 60)
    assert issues(hass) == {}
    cause(simulator)
    await poll()
    assert issues(hass) == expected
    await hass.config_entries.async_set_disabled_by(
        account.entry_id, ConfigEntryDisabler.USER
    )
    assert issues(hass) == {}
    await hass.config_entries.async_set_disabled_by(account.entry_id, None)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert issues(hass) == expected
    await hass.config_entries.async_remove(account.entry_id)
    assert issues(hass) == {}


@pytest.mark.logs("Error fetching")
@pytest.mark.parametrize(
    ("fault", "details"),
    [
        (Fault.SERVER_ERROR, {}),
        (Fault.HTML, {}),
        (Fault.UNAUTHORIZED, {}),
        # Without a code, it may be from a proxy.
        (Fault.ERROR_CODE, {"status": 404, "code": "", "message": "Not found."}),
    ],
)
@pytest.mark.usefixtures("account")
async def test_no_issue_of_what_ends_by_itself(
    hass: HomeAssistant,
    simulator: Simulator,
    poll: Poll,
    fault: Fault,
    details: dict[str, Any],
) -> None:
    """Failures that the user can't fix or that start a reauth flow create no issue."""
    simulator.fail(fault, **details)
    await poll()
    assert issues(hass) == {}


@pytest.mark.parametrize("removed", [0, 1])
async def test_issue_of_another_account_stays(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, removed: int
) -> None:
    other = MockConfigEntry(domain=DOMAIN, entry_id="other", data=entry.data)
    other.add_to_hass(hass)
    simulator.body = changed(models=[])
    await setup(hass, entry)
    entries = (entry, other)
    await hass.config_entries.async_remove(entries[removed].entry_id)
    assert [
        issue_id for domain, issue_id in ir.async_get(hass).issues if domain == DOMAIN
    ] == [f"no_models_{entries[1 - removed].entry_id}"]


@pytest.mark.logs("Error fetching")
async def test_environment_variable(
    hass: HomeAssistant,
    enable_custom_integrations: None,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Model Studio",
        data={
            CONF_API_KEY_ENV: "DASHSCOPE_API_KEY",
            CONF_BASE_URL: simulator.base_url,
        },
    )
    entry.add_to_hass(hass)
    register(hass, entry)
    await setup(hass, entry)
    assert issues(hass) == {
        "environment_variable_missing": {
            "account": "Model Studio",
            "variable": "DASHSCOPE_API_KEY",
        }
    }
    monkeypatch.setenv("DASHSCOPE_API_KEY", API_KEY)
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert issues(hass) == {}


@pytest.mark.logs("Error fetching Model Studio data")
async def test_limits_only(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """The issue for limits only can be ignored, and ends with an AccessKey."""
    simulator.body = None
    simulator.account.answer = "limits"
    await setup(hass, entry)
    registry = ir.async_get(hass)
    issue = registry.async_get_issue(DOMAIN, "no_access_key_account")
    assert issue is not None
    assert issue.severity is ir.IssueSeverity.WARNING
    assert not issue.is_fixable
    assert issue.learn_more_url == "https://ram.console.alibabacloud.com/users"
    assert issues(hass) == {"no_access_key": {"account": "Model Studio"}}

    ir.async_ignore_issue(hass, DOMAIN, issue.issue_id, ignore=True)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    issue = registry.async_get_issue(DOMAIN, "no_access_key_account")
    assert issue is not None
    assert issue.dismissed_version is not None

    give_access_key(hass, entry, simulator)
    simulator.fail(Fault.SERVER_ERROR)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert issues(hass) == {}


MODELS_GONE = "qwen-old, wan-old"


class Repairs:
    """Goes through the repair of missing models."""

    def __init__(self, hass: HomeAssistant, client: TestClient[Any, Any]) -> None:
        """Keep the HTTP client."""
        self._hass = hass
        self._client = client

    async def open(self, models: str = MODELS_GONE) -> str:
        """Open the repair, check that it names the models, and return its URL."""
        response = await self._client.post(
            "/api/repairs/issues/fix",
            json={"handler": DOMAIN, "issue_id": "model_gone_account"},
        )
        form = await response.json()
        assert form["step_id"] == "confirm"
        assert form["description_placeholders"]["models"] == models
        return f"/api/repairs/issues/fix/{form['flow_id']}"

    async def confirm(self, repair: str) -> dict[str, Any]:
        """Confirm the repair, and return the result once Home Assistant is idle."""
        response = await self._client.post(repair, json={})
        result: dict[str, Any] = await response.json()
        await self._hass.async_block_till_done(wait_background_tasks=True)
        return result

    async def submit(self, repair: str) -> None:
        """Confirm the repair, and check that this solves the issue."""
        assert (await self.confirm(repair))["type"] == "create_entry"
        assert issues(self._hass) == {}


@pytest.fixture
async def without_models(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, entry: MockConfigEntry
) -> MockConfigEntry:
    """Return an account with two selected models that are missing."""
    freezer.move_to(NOW)
    hass.config_entries.async_update_entry(
        entry,
        options={
            CONF_MODELS: ["qwen-max", "qwen-old", "qwen-plus", "wan-old"],
            CONF_ASSISTANT: True,
        },
    )
    await setup(hass, entry)
    assert issues(hass) == {
        "model_gone": {"account": "Model Studio", "models": MODELS_GONE}
    }
    return entry


@pytest.fixture
async def repairs(hass: HomeAssistant, hass_client: ClientSessionGenerator) -> Repairs:
    """Return the helper that goes through repairs as the frontend does."""
    assert await async_setup_component(hass, "repairs", {})
    return Repairs(hass, await hass_client())


async def test_chosen_model_is_gone(
    hass: HomeAssistant,
    without_models: MockConfigEntry,
    repairs: Repairs,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """The issue names the missing models, and offers to deselect them."""
    expected = issues(hass)

    rows = simulator.body["data"]["models"]
    rows.extend({"model": name, "used": 1} for name in ("qwen-old", "wan-old"))
    await poll()
    assert issues(hass) == {}
    del rows[-2:]
    await poll()
    assert issues(hass) == expected

    await repairs.submit(await repairs.open())
    assert without_models.options == {
        CONF_MODELS: ["qwen-max", "qwen-plus"],
        CONF_ASSISTANT: True,
    }
    # The account was reloaded with the new options.
    await poll()
    assert issues(hass) == {}


async def test_no_chosen_model_would_be_left(
    hass: HomeAssistant, account: MockConfigEntry, repairs: Repairs
) -> None:
    """The repair does not empty the selection, which would then mean all models."""
    options = {CONF_MODELS: ["qwen-old"]}
    hass.config_entries.async_update_entry(account, options=options)
    await reload(hass, account)
    expected = {"model_gone": {"account": "Model Studio", "models": "qwen-old"}}
    assert issues(hass) == expected
    result = await repairs.confirm(await repairs.open("qwen-old"))
    assert (result["type"], result["reason"]) == ("abort", "none_left")
    assert account.options == options
    assert devices(hass, account) == set()
    assert issues(hass) == expected


async def test_names_of_models_that_are_gone(
    hass: HomeAssistant, account: MockConfigEntry, repairs: Repairs
) -> None:
    """Names with special characters are shown as plain text."""
    gone = [
        "![a](https://a.example/a.png)",
        "<img src=//a.example>",
        "qwen-max, qwen-plus",
        'the "best"',
        "x\u202eexe.\x1b[31m",
        "通义\\千问",
    ]
    hass.config_entries.async_update_entry(
        account, options={CONF_MODELS: ["qwen-max", *gone, "qwen-plus"]}
    )
    await hass.config_entries.async_reload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    shown = (
        r"!\[a\](https\://a.example/a.png), \<img src=//a.example\>, "
        'qwen-max, qwen-plus, the "best", '
        r"xexe.\[31m, 通义\\千问"
    )
    await repairs.submit(await repairs.open(shown))
    assert account.options == {CONF_MODELS: ["qwen-max", "qwen-plus"]}


async def stop(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Reload an account whose service is down."""
    await simulator.stop()
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert state(hass, "status") == "error"


async def shorten(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Let an account read an answer that may lack models."""
    simulator.body = changed(models=[{"used": 1}])
    await refresh(hass)


async def unload(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Unload an account."""
    assert await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("opened", ["before", "after"])
@pytest.mark.parametrize(
    "happen",
    [
        pytest.param(stop, marks=pytest.mark.logs(*["Error fetching"] * 2)),
        shorten,
        unload,
    ],
)
async def test_only_models_that_are_gone_are_given_up(
    hass: HomeAssistant,
    without_models: MockConfigEntry,
    repairs: Repairs,
    simulator: Simulator,
    happen: Callable[..., Awaitable[None]],
    opened: str,
) -> None:
    """The repair removes only the missing models, even if the account changes."""
    if opened == "before":
        repair = await repairs.open()
    await happen(hass, without_models, simulator)
    if opened == "after":
        repair = await repairs.open()
    await repairs.submit(repair)
    assert without_models.options[CONF_MODELS] == ["qwen-max", "qwen-plus"]


async def test_repair_of_an_account_that_is_removed_meanwhile(
    hass: HomeAssistant, without_models: MockConfigEntry, repairs: Repairs
) -> None:
    repair = await repairs.open()
    await hass.config_entries.async_remove(without_models.entry_id)
    await repairs.submit(repair)


@pytest.mark.usefixtures("enable_custom_integrations")
async def test_every_issue_has_its_text(hass: HomeAssistant) -> None:
    """Each issue has a title and a description, or a fix flow with both."""
    texts = await async_get_translations(hass, "en", "issues", [DOMAIN])
    keys = {key.split(".")[3] for key in texts}
    assert keys == {
        "account_unavailable",
        "arrearage",
        "balance_failing",
        "budget_exhausted",
        "environment_variable_missing",
        "free_quota_used_up",
        "history_failing",
        "model_gone",
        "no_access_key",
        "no_models",
        "over_spend_limit",
        "service_not_enabled",
        "spend_failing",
        "statistics_not_written",
        "telemetry_failing",
    }
