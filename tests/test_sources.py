"""The optional sources in a running Home Assistant: their figures, paces and failures."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
import re
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from syrupy.assertion import SnapshotAssertion

from custom_components.alibaba_cloud.const import (
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_BALANCE_ENDPOINT,
    CONF_BASE_URL,
    CONF_BILLING_ENDPOINT,
    CONF_MODELS,
    CONF_PROMETHEUS_URL,
    DOMAIN,
)
from custom_components.alibaba_cloud.sources import Source
from homeassistant.components.recorder import Recorder
from homeassistant.config_entries import SOURCE_REAUTH
from homeassistant.const import CONF_API_KEY, CONF_REGION, STATE_UNAVAILABLE, Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er, issue_registry as ir

from .conftest import (
    API_KEY,
    NOW,
    Poll,
    answer,
    attributes,
    check_platform,
    entity_id,
    setup,
    state,
)
from .simulator import Account, Fault, Simulator
from .simulator.billing import total_on

FOLLOWED = ["qwen-max", "qwen-plus"]


@pytest.fixture
def entry(
    hass: HomeAssistant,
    enable_custom_integrations: None,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> MockConfigEntry:
    """Return an account whose API key reads limits only, with an AccessKey."""
    freezer.move_to(NOW)
    simulator.body = None
    simulator.account = Account(answer="limits")
    [(key_id, secret)] = simulator.access_keys.items()
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Model Studio",
        entry_id="account",
        data={
            CONF_API_KEY: API_KEY,
            CONF_BASE_URL: simulator.base_url,
            CONF_ACCESS_KEY_ID: key_id,
            CONF_ACCESS_KEY_SECRET: secret,
            CONF_REGION: "cn-beijing",
            CONF_BILLING_ENDPOINT: simulator.openapi_url,
            CONF_BALANCE_ENDPOINT: simulator.openapi_url,
            CONF_PROMETHEUS_URL: simulator.prometheus_url,
        },
        options={CONF_MODELS: FOLLOWED},
    )
    entry.add_to_hass(hass)
    return entry


@pytest.fixture
async def account(
    hass: HomeAssistant, entry: MockConfigEntry, enable_all_entities: None
) -> MockConfigEntry:
    """Return this account, set up, with all its entities."""
    await setup(hass, entry)
    return entry


SPEND = ("monthly_spend", "daily_spend")
OTHER = ("other_models_monthly_spend", "other_models_daily_spend")
BALANCE = ("available_balance", "credit_balance")
TOTALS = ("tokens_used", "requests_used")
MODEL_TOTALS = ("tokens", "requests")
RATES = ("tokens_per_minute", "requests_per_minute", "load_pct")
LIMITS = ("rpm", "tpm")

# What each service alone fills: keys of the account, then of each model.
FILLED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "billing": ((*SPEND, *OTHER), SPEND),
    "balance": (BALANCE, ()),
    "prometheus": (TOTALS, (*MODEL_TOTALS, *RATES)),
}
FAILED = {
    "billing": {"spend"},
    "balance": {"balance"},
    "prometheus": {"rates", "totals"},
}
ALL_KEYS = (
    tuple(key for keys, _ in FILLED.values() for key in keys),
    (*(key for _, keys in FILLED.values() for key in keys), *LIMITS),
)

# Faults of the services, with what Home Assistant calls them.
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


def shown(hass: HomeAssistant) -> dict[tuple[str | None, str], str | None]:
    """Return the states of all figures that an AccessKey reads, and of the limits."""
    account, model = ALL_KEYS
    return {(None, key): state(hass, key) for key in account} | {
        (name, key): state(hass, key, name) for name in FOLLOWED for key in model
    }


def unavailable(hass: HomeAssistant) -> set[tuple[str | None, str]]:
    """Return which of these are unavailable; none is ever unknown here."""
    states = shown(hass)
    assert {"unknown", None}.isdisjoint(states.values())
    return {key for key, value in states.items() if value == STATE_UNAVAILABLE}


def filled_by(*services: str) -> set[tuple[str | None, str]]:
    """Return the figures that these services alone fill."""
    return {
        figure
        for service in services
        for figure in (
            *((None, key) for key in FILLED[service][0]),
            *((name, key) for name in FOLLOWED for key in FILLED[service][1]),
        )
    }


def failed_sources(hass: HomeAssistant) -> dict[str, str]:
    """Return what the status says of the sources that can't be read."""
    failed: dict[str, str] = attributes(hass, "status")["failed_sources"]
    return failed


def issues(hass: HomeAssistant) -> set[str]:
    """Return the account's issues."""
    return {
        issue_id.removesuffix("_account")
        for domain, issue_id in ir.async_get(hass).issues
        if domain == DOMAIN
    }


def reauth_steps(hass: HomeAssistant) -> list[str]:
    """Return where the account's reauth flows stand."""
    return [
        flow["step_id"]
        for flow in hass.config_entries.flow.async_progress_by_handler(DOMAIN)
        if flow["context"]["source"] == SOURCE_REAUTH
    ]


async def test_figures(
    hass: HomeAssistant, account: MockConfigEntry, snapshot: SnapshotAssertion
) -> None:
    check_platform(hass, Platform.SENSOR, snapshot)


@pytest.mark.parametrize("models", [[], ["qwen-max"], FOLLOWED], ids=len)
async def test_spend_by_model_adds_up(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, models: list[str]
) -> None:
    """The followed models and the others are the account, to the cent."""
    simulator.account.extra_models = 40
    simulator.account.adjust(simulator.account.today, "qwen-max", Decimal("-3.21"))
    hass.config_entries.async_update_entry(entry, options={CONF_MODELS: models})
    await setup(hass, entry)
    for key in SPEND:
        parts = [state(hass, key, model) for model in models]
        parts.append(state(hass, f"other_models_{key}"))
        assert sum(Decimal(str(part)) for part in parts) == Decimal(
            str(state(hass, key))
        )


async def test_paces(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Bills every 15 minutes, what is used in a minute every minute."""

    def asked() -> dict[str, int]:
        kinds = [
            "totals" if ":" in request.query.get("query", "") else request.path
            for request in simulator.signed_requests
        ]
        return {kind: kinds.count(kind) for kind in set(kinds)}

    before = asked()
    for _ in range(120):
        await poll(30)
    rates = "/prometheus/api/v1/query"
    assert {kind: count - before[kind] for kind, count in asked().items()} == {
        "/modelstudio/billing/trend": 4,
        "/": 4,
        "totals": 2 * 4,
        rates: 2 * 60,
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
    """Each names the missing permission, and disappears once it is granted."""
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
async def test_wrong_site_is_asked_once(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Not again in later polls, nor after a reload."""
    simulator.balance_applicable = False
    await poll(15 * 60 + 1)
    simulator.signed_requests.clear()
    for _ in range(3):
        await poll(15 * 60 + 1)
    assert await hass.config_entries.async_reload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert state(hass, "available_balance") == "unavailable"
    assert "/" not in {request.path for request in simulator.signed_requests}


async def test_month_without_a_bill_is_unknown(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Nothing has failed, and nothing is known."""
    simulator.trend_body = {"success": True, "code": "200", "data": {}}
    await poll(15 * 60 + 1)
    for key in SPEND:
        assert state(hass, key) == "unknown"
        assert state(hass, key, FOLLOWED[0]) == "unknown"
    assert failed_sources(hass) == {}


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
    """It may want a token instead: the AccessKey is good, and not asked for."""
    simulator.fail(Fault.UNAUTHORIZED, at="prometheus")
    for _ in range(6):
        await poll(15 * 60 + 1)
        assert reauth_steps(hass) == []
    assert issues(hass) == {"telemetry_failing"}


@pytest.mark.logs(
    *(
        f"Error fetching Model Studio {source}.*InvalidAccessKeyId"
        for source in ("spend", "balance")
    ),
    *(f"Error fetching Model Studio {source}" for source in ("rates", "totals")),
)
async def test_revoked_access_key(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Limits and status stay, and another one is asked for once, however long it lasts."""
    keys, simulator.access_keys = simulator.access_keys, {}
    before = shown(hass)
    for _ in range(8):
        await poll(15 * 60 + 1)
        assert reauth_steps(hass) == ["reauth_access_key"]
        assert state(hass, "status") == "ok"
        assert state(hass, "api_key_problem") == "off"
    assert unavailable(hass) == filled_by(*FILLED)
    for name in FOLLOWED:
        for key in LIMITS:
            assert state(hass, key, name) == before[name, key]
    # What is asked for is no repair besides.
    assert issues(hass) == set()

    simulator.access_keys = keys
    await poll(15 * 60 + 1)
    assert reauth_steps(hass) == []
    assert unavailable(hass) == set()


@pytest.mark.logs(
    *(f"Error fetching Model Studio {s}" for s in ("spend", "balance", "history")),
    *(f"Error fetching Model Studio {s}" for s in ("rates", "totals")),
)
async def test_access_key_that_works_again_is_asked_for_no_more(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """What is read but once a day is tried again as soon as anything else is read."""
    keys, simulator.access_keys = simulator.access_keys, {}
    await setup(hass, entry)
    assert failed_sources(hass).keys() == {
        *("spend", "balance", "history"),
        *("rates", "totals"),
    }
    assert reauth_steps(hass) == ["reauth_access_key"]
    simulator.access_keys = keys
    await poll(15 * 60 + 1)
    assert failed_sources(hass) == {}
    assert reauth_steps(hass) == []
    await hass.config_entries.async_unload(entry.entry_id)
    await async_wait_recording_done(hass)


@pytest.mark.logs(
    *(f"Error fetching Model Studio {source}" for source in ("spend", "balance") * 2),
    *(f"Error fetching Model Studio {source}" for source in ("rates", "totals") * 2),
)
async def test_access_key_is_asked_for_each_time_it_is_revoked(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    keys = simulator.access_keys
    for _ in range(2):
        simulator.access_keys = {}
        await poll(15 * 60 + 1)
        assert reauth_steps(hass) == ["reauth_access_key"]
        simulator.access_keys = keys
        await poll(15 * 60 + 1)
        assert reauth_steps(hass) == []


@pytest.mark.logs(
    "Error fetching Model Studio data",
    *(f"Error fetching Model Studio {s}" for s in ("spend", "balance")),
    *(f"Error fetching Model Studio {s}" for s in ("rates", "totals")),
)
async def test_both_keys_revoked_are_asked_for_one_after_the_other(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    api_keys, simulator.api_keys = simulator.api_keys, set()
    simulator.access_keys = {}
    await poll()
    await poll(15 * 60 + 1)
    assert reauth_steps(hass) == ["reauth_confirm"]
    simulator.api_keys = api_keys
    await poll(5 * 60 + 1)
    await poll(15 * 60 + 1)
    assert reauth_steps(hass) == ["reauth_access_key"]


@pytest.mark.logs(
    "Error fetching Model Studio data",
    *(f"Error fetching Model Studio {s}" for s in ("spend", "balance")),
    *(f"Error fetching Model Studio {s}" for s in ("rates", "totals")),
)
async def test_access_key_that_works_again_leaves_the_api_key_asked_for(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    keys, simulator.access_keys = simulator.access_keys, {}
    await poll(15 * 60 + 1)
    [flow] = hass.config_entries.flow.async_progress()
    hass.config_entries.flow.async_abort(flow["flow_id"])
    simulator.api_keys = set()
    await poll()
    assert reauth_steps(hass) == ["reauth_confirm"]
    simulator.access_keys = keys
    await poll(15 * 60 + 1)
    assert failed_sources(hass) == {}
    assert reauth_steps(hass) == ["reauth_confirm"]


@pytest.mark.logs(*(f"Error fetching Model Studio {s}" for s in ("spend", "balance")))
async def test_access_key_is_not_asked_for_while_it_is_changed(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    hass.config_entries.async_update_entry(
        account,
        data={k: v for k, v in account.data.items() if k != CONF_PROMETHEUS_URL},
    )
    await hass.config_entries.async_reload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    flow = await account.start_reconfigure_flow(hass)
    simulator.access_keys = {}
    await poll(15 * 60 + 1)
    assert reauth_steps(hass) == []
    hass.config_entries.flow.async_abort(flow["flow_id"])
    await poll(15 * 60 + 1)
    assert reauth_steps(hass) == ["reauth_access_key"]


@pytest.mark.logs("Error fetching Model Studio data")
async def test_api_key_that_fails_leaves_what_the_access_key_reads(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    simulator.api_keys = set()
    await poll()
    limits = {(name, key) for name in FOLLOWED for key in LIMITS}
    nearest = {(name, "load_pct") for name in FOLLOWED}
    assert unavailable(hass) == limits | nearest
    assert state(hass, "status") == "auth"


@pytest.mark.logs("Error fetching Model Studio data")
async def test_restart_with_an_api_key_that_fails(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    before = shown(hass)
    simulator.api_keys = set()
    await hass.config_entries.async_reload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    limits = {(name, key) for name in FOLLOWED for key in LIMITS}
    nearest = {(name, "load_pct") for name in FOLLOWED}
    assert unavailable(hass) == limits | nearest
    after = shown(hass)
    assert {k: v for k, v in after.items() if v != STATE_UNAVAILABLE} == {
        k: v for k, v in before.items() if k not in limits | nearest
    }


@pytest.mark.logs("Error fetching Model Studio data")
async def test_source_read_during_a_poll_is_no_poll(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Of the account, two polls in a row have to fail before there is an alert."""
    simulator.fail(Fault.SERVER_ERROR, at="quotas")
    await poll()
    assert state(hass, "status") == "error"
    simulator.requests.clear()
    simulator.fail(Fault.HANG, at="quotas", times=1)
    freezer.tick(31)
    async_fire_time_changed(hass)
    while not simulator.requests:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0)
    await account.runtime_data.sources[Source.RATES].async_refresh()
    assert state(hass, "alerts") == "unknown"
    await hass.config_entries.async_unload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)


@pytest.mark.logs("Error fetching Model Studio balance.*Throttling")
async def test_throttled_balance_waits_as_told(
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


@pytest.mark.parametrize(
    ("reports", "currency", "shown_after"),
    [
        # The bill stands in for an account whose API key reads money, in its currency.
        ("account", "USD", "bill"),
        # Another currency would be another figure under the same name.
        ("account", "CNY", STATE_UNAVAILABLE),
        ("limits", "CNY", "bill"),
        ("limits", "USD", "bill"),
    ],
)
@pytest.mark.logs("Error fetching Model Studio data")
async def test_no_sensor_mixes_currencies(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    reports: Any,
    currency: str,
    shown_after: str,
) -> None:
    simulator.account = Account(answer=reports, currency=currency)
    await setup(hass, entry)
    unit = "USD" if reports == "account" else currency
    assert attributes(hass, "monthly_spend")["unit_of_measurement"] == unit
    assert attributes(hass, "monthly_spend", "qwen-max")["unit_of_measurement"] == (
        currency
    )
    simulator.fail(Fault.SERVER_ERROR, at="quotas")
    await poll()
    value = state(hass, "monthly_spend")
    assert attributes(hass, "monthly_spend")["unit_of_measurement"] == unit
    if shown_after == "bill":
        assert value not in (STATE_UNAVAILABLE, "unknown")
    else:
        assert value == shown_after
    assert attributes(hass, "monthly_spend", "qwen-max")["unit_of_measurement"] == (
        currency
    )
    if reports == "account":
        # Another source's counter would look as if that had been used at once.
        assert state(hass, "tokens_used") == STATE_UNAVAILABLE


async def test_quotas_come_first(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """They are near real time, where the bill lags."""
    simulator.account = Account(currency="USD")
    simulator.trend_body = trend("20260815", daily="1.00", monthly="2.00")
    await setup(hass, entry)
    assert state(hass, "monthly_spend") == str(simulator.account.monthly_spend)
    assert state(hass, "daily_spend") == str(simulator.account.daily_spend)
    assert state(hass, "monthly_spend", "qwen-max") == "2.00"


@pytest.mark.logs(*["Error fetching Model Studio data"] * 2)
async def test_bill_that_steps_in_is_of_the_same_day_and_month(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Also where the service began them late: begun anew, they would count twice."""
    keys = ("daily_spend", "monthly_spend")
    freezer.move_to("2026-08-31 23:59:00+08:00")
    simulator.account.currency = "USD"
    simulator.body = answer("account")
    simulator.body["data"]["billing_period"] = None
    await setup(hass, entry)
    await poll(30 * 60)
    assert attributes(hass, "daily_spend")["last_reset"] == "2026-08-31T00:00:00+08:00"
    assert (
        attributes(hass, "monthly_spend")["last_reset"] == "2026-08-01T00:00:00+08:00"
    )
    simulator.body["data"] |= {"daily_spend": 0.5, "monthly_spend": 0.5}
    await poll(60)
    since = "2026-09-01T00:00:00+08:00"
    for key in keys:
        assert attributes(hass, key)["last_reset"] == since
        # What a model costs is of the bill alone.
        assert attributes(hass, key, "qwen-max")["last_reset"] == since
    await poll(4 * 60 * 60)
    simulator.fail(Fault.SERVER_ERROR, at="quotas")
    await poll()
    for key in keys:
        assert state(hass, key) not in ("0.5", STATE_UNAVAILABLE)
        assert attributes(hass, key)["last_reset"] == since
    simulator.recover()
    await poll()
    for key in keys:
        assert state(hass, key) == "0.5"
        assert attributes(hass, key)["last_reset"] == since

    # The next day: what was not looked at before is begun with it.
    simulator.fail(Fault.SERVER_ERROR, at="quotas")
    freezer.move_to("2026-09-02 09:00:00+08:00")
    await poll()
    await poll(15 * 60)
    assert attributes(hass, "daily_spend")["last_reset"] == "2026-09-02T00:00:00+08:00"
    assert attributes(hass, "monthly_spend")["last_reset"] == since


@pytest.mark.logs("Error fetching Model Studio data")
async def test_bill_of_yesterday_does_not_step_in(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Once today has begun, its spend is unavailable until the bill has it too."""
    freezer.move_to("2026-08-15 23:59:00+08:00")
    simulator.account.currency = "USD"
    simulator.body = answer("account")
    await setup(hass, entry)
    simulator.body["data"]["daily_spend"] = 0
    await poll(90)
    assert attributes(hass, "daily_spend")["last_reset"] == "2026-08-16T00:00:00+08:00"
    simulator.fail(Fault.SERVER_ERROR, at="quotas")
    await poll()
    assert state(hass, "daily_spend") == STATE_UNAVAILABLE
    await poll(15 * 60)
    assert state(hass, "daily_spend") != STATE_UNAVAILABLE
    assert attributes(hass, "daily_spend")["last_reset"] == "2026-08-16T00:00:00+08:00"


async def test_models_that_are_the_same_stay_the_same(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    """Whatever else is read anew: who listens to them need not look again."""
    coordinator = account.runtime_data
    before = coordinator.account
    await coordinator.sources[Source.BALANCE].async_refresh()
    assert coordinator.account is not before
    for name in FOLLOWED:
        assert coordinator.account.models[name] is before.models[name]


@pytest.mark.logs("Error fetching Model Studio data")
async def test_bill_of_another_period_does_not_step_in(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """It is of the calendar's month, which the account's may not be."""
    simulator.account.currency = "USD"
    simulator.body = answer("account")
    period = {"start": "2026-07-20", "end": "2026-08-19"}
    simulator.body["data"]["billing_period"] = period
    await setup(hass, entry)
    assert state(hass, "monthly_spend") == "187.65"
    simulator.fail(Fault.SERVER_ERROR, at="quotas")
    await poll()
    assert state(hass, "monthly_spend") == STATE_UNAVAILABLE
    assert state(hass, "daily_spend") not in ("12.34", STATE_UNAVAILABLE)


@pytest.mark.parametrize(
    ("period", "start"),
    [
        ({"start": "2026-08-10"}, "2026-08-10"),
        ({"start": "2026-07-20", "end": "2026-08-19"}, "2026-07-20"),
        ({"start": "2026-07-16", "end": "2026-08-15"}, "2026-07-16"),
        ({"start": "2026-07-14", "end": "2026-08-13"}, "2026-08-14"),
        (None, "2026-08-01"),
    ],
)
@pytest.mark.logs("Error fetching Model Studio data")
async def test_counters_go_on_with_the_billing_cycle(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    period: Any,
    start: str,
) -> None:
    """Also after a start at which it can't be read: another would count all again."""

    def counted_since() -> set[datetime]:
        """Return since when the usage was asked for."""
        minutes = {
            re.findall(r"\[(\d+)ms:", request.query["query"])[0]
            for request in simulator.signed_requests
            if ":" in request.query.get("query", "")
        }
        simulator.signed_requests.clear()
        now = datetime.fromisoformat(NOW)
        return {now - timedelta(milliseconds=int(ms) + 1) for ms in minutes}

    simulator.body = answer("account")
    simulator.body["data"]["billing_period"] = period
    await setup(hass, entry)
    expected = {datetime.fromisoformat(f"{start} 00:00+08:00")}
    assert counted_since() == expected
    simulator.fail(Fault.SERVER_ERROR, at="quotas")
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert state(hass, "status") == "error"
    assert counted_since() == expected


async def test_available_data(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The AccessKey adds spend and usage to the limits."""
    await setup(hass, entry)
    assert state(hass, "available_data") == "spend_and_usage"


@pytest.mark.logs(
    *(f"Error fetching Model Studio {source}" for source in ("spend", "balance"))
)
async def test_available_data_of_a_rejected_access_key(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """It is what is read now: the AccessKey may be refused, and accepted again."""
    hass.config_entries.async_update_entry(
        entry, data={k: v for k, v in entry.data.items() if k != CONF_PROMETHEUS_URL}
    )
    keys, simulator.access_keys = simulator.access_keys, {}
    await setup(hass, entry)
    assert state(hass, "available_data") == "limits"
    simulator.access_keys = keys
    await poll(15 * 60 + 1)
    assert state(hass, "available_data") == "spend"


@pytest.mark.logs(
    "Error fetching Model Studio data",
    *(f"Error fetching Model Studio {s}" for s in ("spend", "balance")),
    *(f"Error fetching Model Studio {s}" for s in ("rates", "totals")),
)
async def test_available_data_while_nothing_is_read(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """It is unknown, not unavailable."""
    simulator.access_keys = {}
    await poll(15 * 60 + 1)
    assert state(hass, "available_data") == "limits"
    simulator.api_keys = set()
    await poll()
    assert state(hass, "available_data") == "unknown"


@pytest.mark.parametrize(
    ("denied", "service"),
    [
        ("GetBillingTrend", "billing"),
        ("QueryAccountBalance", "balance"),
        ("prometheus", "prometheus"),
    ],
)
async def test_access_key_problem(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    request: pytest.FixtureRequest,
    denied: str,
    service: Any,
) -> None:
    """It is on while a permission is missing, and not for an outage."""
    request.applymarker(
        pytest.mark.logs(
            *(f"Error fetching Model Studio {s}" for s in (*FAILED[service],) * 2)
        )
    )
    assert state(hass, "access_key_problem") == "off"
    simulator.denied = {denied}
    await poll(15 * 60 + 1)
    assert state(hass, "access_key_problem") == "on"
    simulator.denied = set()
    await poll(15 * 60 + 1)
    assert state(hass, "access_key_problem") == "off"
    simulator.fail(Fault.SERVER_ERROR, at=service)
    await poll(15 * 60 + 1)
    assert state(hass, "access_key_problem") == "off"


@pytest.mark.logs(
    *(f"Error fetching Model Studio {s}" for s in ("spend", "balance")),
    *(f"Error fetching Model Studio {s}" for s in ("rates", "totals")),
)
async def test_access_key_problem_of_a_rejected_access_key(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    simulator.access_keys = {}
    await poll(15 * 60 + 1)
    assert state(hass, "access_key_problem") == "on"


async def test_access_key_problem_goes_with_the_access_key(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    """Without an AccessKey there is none; there is one again with the next."""
    data = dict(account.data)
    del data[CONF_ACCESS_KEY_ID]
    for entry_data, exists in ((data, False), (account.data, True)):
        hass.config_entries.async_update_entry(account, data=entry_data)
        await hass.config_entries.async_reload(account.entry_id)
        await hass.async_block_till_done(wait_background_tasks=True)
        assert (entity_id(hass, "access_key_problem") is not None) is exists


async def test_rates_are_disabled_by_default(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """They change every minute, and the load says how close they are to the limits."""
    await setup(hass, entry)
    assert state(hass, "load_pct", "qwen-max") is not None
    for key in ("tokens_per_minute", "requests_per_minute"):
        assert entity_id(hass, key, "qwen-max") is not None
        assert state(hass, key, "qwen-max") is None


async def test_accounts_in_two_currencies(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    async with Simulator(account=Account(answer="limits", currency="USD")) as other:
        [(key_id, secret)] = other.access_keys.items()
        entry = MockConfigEntry(
            domain=DOMAIN,
            title="International",
            data={
                CONF_API_KEY: API_KEY,
                CONF_BASE_URL: other.base_url,
                CONF_ACCESS_KEY_ID: key_id,
                CONF_ACCESS_KEY_SECRET: secret,
                CONF_REGION: "ap-southeast-1",
                CONF_BILLING_ENDPOINT: other.openapi_url,
                CONF_BALANCE_ENDPOINT: other.openapi_url,
            },
        )
        entry.add_to_hass(hass)
        await setup(hass, entry)
        for key in ("monthly_spend", "available_balance"):
            found = er.async_get(hass).async_get_entity_id(
                "sensor", DOMAIN, f"{entry.entry_id}_{key}"
            )
            assert found is not None
            there = hass.states.get(found)
            assert there is not None
            assert there.attributes["unit_of_measurement"] == "USD"
            assert attributes(hass, key)["unit_of_measurement"] == "CNY"
        await hass.config_entries.async_remove(entry.entry_id)


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Asia/Shanghai"])
async def test_month_ends_with_the_billing_time_zone(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
    zone: str,
) -> None:
    """At home it is still August when September's bill begins."""
    await hass.config.async_set_time_zone(zone)
    freezer.move_to("2026-08-31 15:50:00+00:00")
    await setup(hass, entry)

    def since(key: str, model: str | None = None) -> datetime:
        return datetime.fromisoformat(attributes(hass, key, model)["last_reset"])

    august = Decimal(str(state(hass, "monthly_spend")))
    for model in (None, *FOLLOWED):
        assert since("monthly_spend", model) == datetime(2026, 7, 31, 16, tzinfo=UTC)
        assert since("daily_spend", model) == datetime(2026, 8, 30, 16, tzinfo=UTC)
    await poll(15 * 60 + 1)
    for model in (None, *FOLLOWED):
        for key in SPEND:
            assert since(key, model) == datetime(2026, 8, 31, 16, tzinfo=UTC)
    assert 0 < Decimal(str(state(hass, "monthly_spend"))) < august / 100


async def test_today_without_a_bill_is_unknown(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """The bill says nothing of today, which does not mean that nothing was spent."""
    simulator.trend_body = trend("20260814", daily="1.00", monthly="2.00")
    await setup(hass, entry)
    assert state(hass, "monthly_spend") == "2.00"
    assert entity_id(hass, "daily_spend") is None


async def test_bill_without_days(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """It tells what the month costs, and of no day what that does."""
    simulator.trend_body = trend("20260815", daily="1.00", monthly="2.00")
    simulator.trend_body["data"]["resultByTime"] = []
    await setup(hass, entry)
    assert state(hass, "monthly_spend") == "2.00"
    assert state(hass, "daily_spend") is None
    assert entry.runtime_data.store.days.billed == {}


async def test_bill_that_outlives_its_account(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    hass_storage: dict[str, Any],
) -> None:
    """What it tells after the end is kept nowhere."""
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


async def test_nothing_delivered_is_unknown(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    simulator.telemetry_body = {
        "status": "success",
        "data": {"resultType": "vector", "result": []},
    }
    await poll(15 * 60 + 1)
    for key in (*MODEL_TOTALS, *RATES):
        assert state(hass, key, "qwen-max") == "unknown"
    assert failed_sources(hass) == {}


async def test_nearer_limit_is_what_is_used(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """qwen-max may have 1,200 requests and 1,000,000 tokens a minute."""

    def telemetry(tokens: int, requests: int) -> Callable[[Any], Any]:
        def body(query: Any) -> Any:
            value = requests if "model_call_count" in query["query"] else tokens
            return {
                "status": "success",
                "data": {
                    "resultType": "vector",
                    "result": [
                        {"metric": {"model": "qwen-max"}, "value": [0, str(value)]}
                    ],
                },
            }

        return body

    for tokens, requests, load in (
        (500_000, 120, "50.0"),
        (100_000, 900, "75.0"),
        (1_500_000, 1, "150.0"),
        (0, 0, "0.0"),
    ):
        simulator.telemetry_body = telemetry(tokens, requests)
        await poll(61)
        assert state(hass, "load_pct", "qwen-max") == load
        assert state(hass, "tokens_per_minute", "qwen-max") == str(tokens)
        assert state(hass, "requests_per_minute", "qwen-max") == str(requests)
    assert state(hass, "load_pct", "qwen-plus") == "unknown"


async def test_unchanged_sources_write_nothing(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    trend_body = simulator.trend_body = trend("20260815", daily="1.00", monthly="2.00")
    simulator.balance_body = {
        "Code": "200",
        "Success": True,
        "Data": {"AvailableAmount": "1,000.00", "Currency": "CNY"},
    }
    simulator.telemetry_body = {
        "status": "success",
        "data": {"resultType": "vector", "result": []},
    }
    assert trend_body
    await poll(15 * 60 + 1)
    changes: list[Any] = []

    @callback
    def note(event: Any) -> None:
        changes.append(event)

    @callback
    def all_of_them(data: Any) -> bool:
        return True

    hass.bus.async_listen("state_changed", note)
    hass.bus.async_listen("state_reported", note, event_filter=all_of_them)
    asked = len(simulator.signed_requests)
    for _ in range(20):
        await poll(61)
    assert len(simulator.signed_requests) > asked + 20
    assert changes == []


async def test_removed_access_key_leaves_its_figures_unknown(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    hass.config_entries.async_update_entry(
        account,
        data={k: account.data[k] for k in (CONF_API_KEY, CONF_BASE_URL)},
    )
    await hass.config_entries.async_reload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert state(hass, "monthly_spend") == "unknown"
    assert state(hass, "rpm", "qwen-max") == "1200"
    assert "failed_sources" not in attributes(hass, "status")


async def get_spend(hass: HomeAssistant, **data: Any) -> dict[str, Any]:
    """Return what the action returns."""
    answer = await hass.services.async_call(
        DOMAIN,
        "get_spend",
        {"config_entry_id": "account", **data},
        blocking=True,
        return_response=True,
    )
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize("group_by", ["model", "workspace", "api_key", "business_type"])
@pytest.mark.parametrize("period", ["day", "month"])
async def test_get_spend(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    period: str,
    group_by: str,
) -> None:
    """All that is told adds up to what the account was billed."""
    simulator.account.extra_models = 40
    spend = await get_spend(
        hass,
        start_date="2026-05-01",
        end_date="2026-08-14",
        period=period,
        group_by=group_by,
    )
    days = [date(2026, 5, 1) + timedelta(days=n) for n in range(106)]
    billed = sum((total_on(simulator.account, day) for day in days), Decimal())
    assert Decimal(str(spend["total"])) == billed
    assert spend["currency"] == "CNY"
    periods = spend["periods"]
    assert len(periods) == (4 if period == "month" else 106)
    assert periods[0]["start"] == "2026-05-01"
    for told in periods:
        amounts = [Decimal(str(group["amount"])) for group in told["groups"]]
        assert sum(amounts) == Decimal(str(told["amount"]))
    assert sum(Decimal(str(told["amount"])) for told in periods) == billed
    if group_by == "model":
        assert len(periods[0]["groups"]) > 45
        assert {"qwen-max", "billed-model-40"} <= {
            group["name"] for group in periods[0]["groups"]
        }


async def test_get_spend_until_today(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    """By day and model, without being told."""
    spend = await get_spend(hass, start_date="2026-08-01")
    assert spend["total"] == float(state(hass, "monthly_spend") or 0)
    assert [told["start"] for told in spend["periods"]][-1] == "2026-08-15"
    assert spend["periods"][-1]["amount"] == float(state(hass, "daily_spend") or 0)


@pytest.mark.parametrize(
    ("dates", "text"),
    [
        (
            {"start_date": "2026-08-02", "end_date": "2026-08-01"},
            "The start date 2026-08-02 is after the end date 2026-08-01",
        ),
        (
            {"start_date": "2026-08-16"},
            "The start date 2026-08-16 is after the end date 2026-08-15",
        ),
        (
            {"end_date": "2026-07-31"},
            "The start date 2026-08-01 is after the end date 2026-07-31",
        ),
        (
            {"start_date": "2020-01-01"},
            "The range of dates is longer than 5 years",
        ),
    ],
)
@pytest.mark.usefixtures("account")
async def test_get_spend_of_no_range(
    hass: HomeAssistant, dates: dict[str, str], text: str
) -> None:
    with pytest.raises(ServiceValidationError) as caught:
        await get_spend(hass, **dates)
    assert str(caught.value) == text


async def test_get_spend_without_an_access_key(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    hass.config_entries.async_update_entry(
        entry, data={k: entry.data[k] for k in (CONF_API_KEY, CONF_BASE_URL)}
    )
    await setup(hass, entry)
    with pytest.raises(ServiceValidationError, match="Model Studio has no AccessKey"):
        await get_spend(hass, start_date="2026-08-01")


@pytest.mark.parametrize(
    ("fail", "text"),
    [
        (
            lambda simulator: setattr(simulator, "denied", {"GetBillingTrend"}),
            "The AccessKey lacks the permission modelstudio:GetBillingTrend",
        ),
        (
            lambda simulator: setattr(simulator, "access_keys", {}),
            "The service does not accept the AccessKey",
        ),
        (
            lambda simulator: setattr(simulator, "clock_offset", timedelta(hours=-1)),
            "The clock of this system is wrong",
        ),
        (
            lambda simulator: simulator.fail(Fault.RESET, at="billing"),
            "The connection to 127.0.0.1:\\d+ was lost",
        ),
    ],
    ids=["denied", "rejected", "clock", "reset"],
)
async def test_get_spend_that_fails(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    fail: Callable[[Simulator], None],
    text: str,
) -> None:
    fail(simulator)
    with pytest.raises(HomeAssistantError, match=text):
        await get_spend(hass, start_date="2026-08-01")


async def test_get_usage_has_what_the_access_key_reads(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    usage = await hass.services.async_call(
        DOMAIN,
        "get_usage",
        {"config_entry_id": "account", "model": "qwen-max"},
        blocking=True,
        return_response=True,
    )
    assert isinstance(usage, dict)
    figures: Any = usage
    assert figures["account"]["monthly_spend"] == {
        "value": float(str(state(hass, "monthly_spend"))),
        "unit": "CNY",
    }
    assert figures["models"]["qwen-max"]["tokens_per_minute"] == {
        "value": int(str(state(hass, "tokens_per_minute", "qwen-max"))),
        "unit": "tokens/min",
    }


def trend(period: str, *, daily: str, monthly: str) -> dict[str, Any]:
    """Return a bill of one day in which qwen-max is all there is."""
    return {
        "code": "200",
        "success": True,
        "data": {
            "costTotals": {"amount": monthly, "currency": "CNY"},
            "groupByTotal": [],
            "resultByTime": [
                {
                    "period": f"{period[:6]}01",
                    "total": {
                        "amount": str(Decimal(monthly) - Decimal(daily)),
                        "currency": "CNY",
                    },
                    "periodDetails": [
                        {
                            "key": "qwen-max",
                            "name": "qwen-max",
                            "amount": str(Decimal(monthly) - Decimal(daily)),
                        }
                    ],
                },
                {
                    "period": period,
                    "total": {"amount": daily, "currency": "CNY"},
                    "periodDetails": [
                        {"key": "qwen-max", "name": "qwen-max", "amount": daily}
                    ],
                },
            ],
        },
    }
