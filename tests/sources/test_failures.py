"""Sources that fail: each affects only its own figures."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.alibaba_cloud.const import DOMAIN
from custom_components.alibaba_cloud.sources import Source
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from tests.common import Poll, get_usage, reload, restart, setup, state
from tests.simulator import Fault, Simulator

from .common import (
    FAILED,
    FILLED,
    failed_sources,
    filled_by,
    issues,
    per_minute,
    reauth_steps,
    unavailable,
)

# Faults of the services, with the start of the message.
FAULTS = {
    Fault.SERVER_ERROR: "The service answered without the data",
    Fault.HTML: "The answer is not from Model Studio, or it is damaged",
    Fault.EMPTY: "The answer is not from Model Studio, or it is damaged",
    Fault.NULL: "The answer ",
    Fault.LIST: "The answer ",
    Fault.TRUNCATED: "The answer is not from Model Studio, or it is damaged",
    Fault.CUT: "The connection to 127.0.0.1",
    Fault.RESET: "The connection to 127.0.0.1",
    Fault.REDIRECT: "The service answered without the data",
    Fault.THROTTLED: "The service is throttling this account",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("service", FILLED)
async def test_failing_source_takes_its_own_figures_alone(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
    service: Any,
    fault: Fault,
) -> None:
    request.applymarker(
        pytest.mark.logs(*(f"Error fetching Model Studio {s}" for s in FAILED[service]))
    )
    assert unavailable(hass) == set()
    assert failed_sources(hass) == {}
    simulator.fail(fault, at=service)
    await poll(15 * 60 + 1)
    await poll(15 * 60 + 1)
    assert unavailable(hass) == filled_by(service)
    assert state(hass, "status") == "ok"
    assert failed_sources(hass).keys() == FAILED[service]
    assert all(text.startswith(FAULTS[fault]) for text in failed_sources(hass).values())
    assert reauth_steps(hass) == []

    simulator.recover()
    await poll(15 * 60 + 1)
    assert unavailable(hass) == set()
    assert failed_sources(hass) == {}


@pytest.mark.logs(*(f"Error fetching Model Studio {s}" for s in ("spend", "balance")))
async def test_lasting_failure_is_an_issue(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """An issue names the missing permission, and disappears once it is granted."""
    simulator.denied = {"GetBillingTrend", "QueryAccountBalance"}
    for _ in range(4):
        await poll(15 * 60 + 1)
        assert issues(hass) == set()
    assert failed_sources(hass)["spend"].startswith(
        "The AccessKey lacks the permission modelstudio:GetBillingTrend"
    )
    await poll(15 * 60 + 1)
    assert issues(hass) == {"spend_failing", "balance_failing"}
    for key, error, permission in (
        (
            "balance_failing",
            "NotAuthorized: This API is not authorized for caller.",
            "AliyunBSSReadOnlyAccess",
        ),
        (
            "spend_failing",
            (
                "NoPermission: You are not authorized to perform"
                " modelstudio:GetBillingTrend."
            ),
            "modelstudio:GetBillingTrend",
        ),
    ):
        issue = ir.async_get(hass).async_get_issue(DOMAIN, f"{key}_account")
        assert issue is not None
        assert issue.learn_more_url == "https://ram.console.alibabacloud.com/users"
        assert issue.translation_placeholders == {
            "account": "Model Studio",
            "error": error,
            "permission": permission,
        }
    simulator.denied = set()
    await poll(15 * 60 + 1)
    assert issues(hass) == set()


@pytest.mark.logs(*["Error fetching Model Studio balance"] * 2)
@pytest.mark.parametrize("again", [reload, restart])
async def test_ignored_issue_stays_ignored(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    again: Callable[..., Awaitable[None]],
) -> None:
    """A reload or a restart keeps an issue until its source is read or fails on."""

    def is_ignored() -> bool | None:
        issue = ir.async_get(hass).async_get_issue(DOMAIN, "balance_failing_account")
        return None if issue is None else issue.dismissed_version is not None

    simulator.denied = {"QueryAccountBalance"}
    for _ in range(5):
        await poll(15 * 60 + 1)
    assert is_ignored() is False
    ir.async_ignore_issue(hass, DOMAIN, "balance_failing_account", ignore=True)
    await again(hass, account)
    assert is_ignored()
    for _ in range(5):
        await poll(15 * 60 + 1)
        assert is_ignored()
    assert issues(hass) == {"balance_failing"}
    simulator.denied = set()
    await again(hass, account)
    assert is_ignored() is None


@pytest.mark.logs(*["Error fetching"] * 7)
async def test_access_key_that_is_rejected_after_an_issue(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The issue is gone at once: another AccessKey is asked for instead."""
    simulator.denied = {"QueryAccountBalance"}
    for _ in range(5):
        await poll(15 * 60 + 1)
    assert issues(hass) == {"balance_failing"}
    simulator.access_keys.clear()
    await reload(hass, account)
    await poll(61)
    assert issues(hass) == set()
    assert reauth_steps(hass) == ["reauth_access_key"]


@pytest.mark.logs(
    *["Error fetching Model Studio balance"] * 2, "Error fetching Model Studio assets"
)
async def test_wrong_site_is_asked_once(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The wrong site is requested once, and not again in later polls or a reload."""
    simulator.balance_applicable = False
    await poll(15 * 60 + 1)
    simulator.signed_requests.clear()
    for _ in range(3):
        await poll(15 * 60 + 1)
    assert await hass.config_entries.async_reload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert state(hass, "available_balance") == "unavailable"
    assert "/" not in {request.path for request in simulator.signed_requests}


@pytest.mark.logs(*(f"Error fetching Model Studio {s}" for s in ("rates", "totals")))
async def test_lasting_failure_of_prometheus_is_one_issue(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    simulator.denied = {"prometheus"}
    for _ in range(6):
        await poll(15 * 60 + 1)
    assert issues(hass) == {"telemetry_failing"}
    issue = ir.async_get(hass).async_get_issue(DOMAIN, "telemetry_failing_account")
    assert issue is not None
    assert issue.translation_placeholders is not None
    assert issue.translation_placeholders["permission"] == (
        "AliyunPrometheusMetricReadAccess"
    )
    simulator.denied = set()
    await poll(15 * 60 + 1)
    assert issues(hass) == set()


@pytest.mark.logs(*(f"Error fetching Model Studio {s}" for s in ("rates", "totals")))
async def test_prometheus_that_rejects_the_access_key(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """No reauth flow starts if only Prometheus rejects the AccessKey."""
    simulator.fail(Fault.UNAUTHORIZED, at="prometheus")
    for _ in range(6):
        await poll(15 * 60 + 1)
        assert reauth_steps(hass) == []
    assert issues(hass) == {"telemetry_failing"}


@pytest.mark.logs("Error fetching Model Studio data")
async def test_source_read_during_a_poll_is_no_poll(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """A source that is read during a poll does not count as a second failed poll."""
    simulator.fail(Fault.SERVER_ERROR, at="quotas")
    await poll()
    assert state(hass, "status") == "error"
    simulator.requests.clear()
    simulator.telemetry_body = per_minute(tokens=77, requests=1)
    simulator.fail(Fault.HANG, at="quotas", times=1)
    freezer.tick(31)
    async_fire_time_changed(hass)
    # The rates are due as well. There is no event for their end.
    while state(hass, "tokens_per_minute", "qwen-max") != "77":  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert len(simulator.requests) == 1
    assert state(hass, "alerts") == "unknown"
    await hass.config_entries.async_unload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)


@pytest.mark.logs("Error fetching Model Studio balance.*Throttling")
async def test_throttled_balance_waits_for_retry_after(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    def asked() -> int:
        return sum(request.path == "/" for request in simulator.signed_requests)

    simulator.fail(Fault.THROTTLED, retry_after=120_000, at="balance", times=1)
    await poll(15 * 60 + 1)
    before = asked()
    await poll(100)
    assert asked() == before
    await poll(21)
    assert asked() == before + 1
    assert unavailable(hass) == set()


async def test_bill_that_outlives_its_account(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    hass_storage: dict[str, Any],
) -> None:
    """A bill that arrives after the account is removed is not stored."""
    coordinator = account.runtime_data
    day = date(2026, 8, 2)
    before = coordinator.store.days.billed[day]
    simulator.account.adjust(day, "qwen-max", 5)
    reading = hass.async_create_task(coordinator.sources[Source.SPEND].async_refresh())
    await hass.config_entries.async_remove(account.entry_id)
    await reading
    assert coordinator.sources[Source.SPEND].data.days[day].amount == before + 5
    assert coordinator.store.days.billed[day] == before
    assert "alibaba_cloud.account" not in hass_storage


@pytest.mark.logs(
    *(
        f"Error fetching Model Studio {source}"
        for source in ("spend", "workspaces", "totals", "rates")
    )
)
async def test_figures_of_a_past_month(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    freezer: FrozenDateTimeFactory,
) -> None:
    """The actions return no figure of a month that is over, of whatever owner."""
    hass.config_entries.async_update_entry(
        entry,
        options={"models": ["qwen-max"], "workspaces": ["ws-1"], "monthly_budget": 900},
    )
    await setup(hass, entry)
    of_month = {
        "monthly_spend",
        "other_models_monthly_spend",
        "other_workspaces_monthly_spend",
        "projected_monthly_spend",
        "budget_usage_pct",
        "remaining_budget",
        "tokens_used",
        "requests_used",
    }
    of_owner = {"monthly_spend", "tokens", "requests"}
    usage = await get_usage(hass)
    assert usage["account"].keys() >= of_month
    assert usage["models"]["qwen-max"].keys() >= of_owner
    assert usage["workspaces"]["ws-1"].keys() >= {"monthly_spend"}
    simulator.fail(Fault.SERVER_ERROR, at="billing")
    simulator.fail(Fault.SERVER_ERROR, at="prometheus")
    freezer.move_to("2026-08-31 12:00:00+00:00")
    await poll(15 * 60 + 1)
    usage = await get_usage(hass)
    assert usage["failed_sources"].keys() >= {"spend", "totals", "workspaces"}
    assert usage["account"].keys() >= of_month
    assert usage["models"]["qwen-max"].keys() >= of_owner
    assert usage["workspaces"]["ws-1"].keys() >= {"monthly_spend"}
    freezer.move_to("2026-08-31 16:00:00+00:00")
    usage = await get_usage(hass)
    assert usage["account"].keys().isdisjoint(of_month)
    assert usage["account"]["available_balance"]["value"] > 0
    assert usage["models"]["qwen-max"].keys().isdisjoint(of_owner)
    assert usage["workspaces"]["ws-1"].keys().isdisjoint({"monthly_spend"})
