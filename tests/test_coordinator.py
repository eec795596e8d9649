"""Polling: its interval, and the effect of each failure on status, figures and log."""

from datetime import datetime
from typing import Any
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)

from custom_components.alibaba_cloud.const import (
    CONF_API_KEY_ENV,
    CONF_BASE_URL,
    DOMAIN,
)
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import (
    CONF_API_KEY,
    EVENT_STATE_CHANGED,
    STATE_OFF,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import HomeAssistant

from .common import (
    API_KEY,
    FAILED_POLL,
    FIGURES,
    NOW,
    STATUS_STATES,
    Poll,
    attributes,
    figures,
    reauth_flows,
    setup,
    state,
    status_states,
)
from .simulator import Fault, Simulator

AUTH = [Fault.UNAUTHORIZED, Fault.FORBIDDEN]
LIMITED = [Fault.THROTTLED, Fault.THROTTLING_CODE, Fault.FREE_TIER_ONLY]
ERROR = [
    Fault.ARREARAGE,
    Fault.BAD_REQUEST,
    Fault.NOT_FOUND,
    Fault.REQUEST_TIMEOUT,
    Fault.SERVER_ERROR,
    Fault.BAD_GATEWAY,
    Fault.UNAVAILABLE,
    Fault.ERROR_CODE,
    Fault.ERROR_OBJECT,
    Fault.HTML,
    Fault.EMPTY,
    Fault.NULL,
    Fault.LIST,
    Fault.GARBAGE,
    Fault.TRUNCATED,
    Fault.CUT,
    Fault.RESET,
    Fault.REDIRECT,
    Fault.HUGE,
]
EVERY_FAILURE = [
    *((fault, "auth") for fault in AUTH),
    *((fault, "limited") for fault in LIMITED),
    *((fault, "error") for fault in ERROR),
]


GONE = [STATE_UNAVAILABLE] * 4


@pytest.mark.usefixtures("account")
async def test_polls_every_30_seconds(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """A poll is one request every 30 seconds, and updates the figures."""
    assert len(simulator.requests) == 1
    simulator.body["data"]["tokens_used"] = 75_060_001
    await poll(28)
    assert len(simulator.requests) == 1
    await poll(3)
    assert len(simulator.requests) == 2
    assert state(hass, "tokens_used") == "75060001"


@pytest.mark.usefixtures("account")
async def test_nothing_new_writes_nothing(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """An unchanged answer writes no state; a changed figure writes only its own."""

    def written() -> dict[str, datetime]:
        return {
            state.entity_id: state.last_reported for state in hass.states.async_all()
        }

    before = written()
    simulator.body["request_id"] = "another"
    await poll()
    assert len(simulator.requests) == 2
    assert written() == before

    simulator.body["data"]["tokens_used"] += 1
    simulator.body["data"]["models"][0]["rpm"] += 1
    await poll()
    assert {key for key, when in written().items() if when != before[key]} == {
        "sensor.model_studio_tokens_used"
    }


@pytest.mark.logs(FAILED_POLL)
@pytest.mark.parametrize(("fault", "status"), EVERY_FAILURE)
async def test_failure_while_running(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    status: str,
) -> None:
    """A failure changes the status, is logged once, and ends with the next answer."""
    assert (status_states(hass), figures(hass)) == (STATUS_STATES["ok"], FIGURES)
    simulator.fail(fault)
    for _ in range(3):
        await poll(20 * 60)
        assert status_states(hass) == STATUS_STATES[status]
        assert figures(hass) == (FIGURES if status == "limited" else GONE)
        assert attributes(hass, "status")["message"]
        assert len(reauth_flows(hass)) == (status == "auth")

    simulator.recover()
    await poll(20 * 60)
    assert (status_states(hass), figures(hass)) == (STATUS_STATES["ok"], FIGURES)
    assert attributes(hass, "status")["message"] is None
    assert reauth_flows(hass) == []
    assert caplog.text.count("Fetching Model Studio data recovered") == 1
    assert simulator.redirect_target_hits == 0


@pytest.mark.logs(FAILED_POLL)
@pytest.mark.parametrize(("fault", "status"), EVERY_FAILURE)
async def test_failure_at_start(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    fault: Fault,
    status: str,
) -> None:
    """A known account loads even if the service fails, and shows the failure."""
    assert await hass.config_entries.async_unload(account.entry_id)
    simulator.fail(fault)
    await setup(hass, account)
    assert account.state is ConfigEntryState.LOADED
    assert status_states(hass) == STATUS_STATES[status]
    assert figures(hass) == (FIGURES if status == "limited" else GONE)
    assert len(reauth_flows(hass)) == (status == "auth")

    simulator.recover()
    await poll(20 * 60)
    assert (status_states(hass), figures(hass)) == (STATUS_STATES["ok"], FIGURES)
    assert reauth_flows(hass) == []


@pytest.mark.logs(FAILED_POLL)
async def test_service_stopped(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The status is `error` while nothing listens."""
    await simulator.stop()
    await poll()
    assert (status_states(hass), figures(hass)) == (STATUS_STATES["error"], GONE)
    await simulator.start()
    await poll()
    assert (status_states(hass), figures(hass)) == (STATUS_STATES["ok"], FIGURES)


@pytest.mark.usefixtures("account")
async def test_broken_connection_is_retried_at_once(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """A connection that breaks once is retried within the poll, without any change."""
    changed = async_capture_events(hass, EVENT_STATE_CHANGED)
    simulator.fail(Fault.RESET, times=1)
    await poll()
    assert len(simulator.requests) == 1 + 2
    assert changed == []


@pytest.mark.logs(FAILED_POLL)
@pytest.mark.usefixtures("account")
async def test_one_failure_becomes_another(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """The status follows the current failure, without another log line."""
    for fault, status in (
        (Fault.SERVER_ERROR, "error"),
        (Fault.THROTTLED, "limited"),
        (Fault.UNAUTHORIZED, "auth"),
        (Fault.ARREARAGE, "error"),
    ):
        simulator.fail(fault)
        await poll(20 * 60)
        assert status_states(hass) == STATUS_STATES[status]
        assert figures(hass) == (FIGURES if status == "limited" else GONE)
    assert "Arrearage" in attributes(hass, "status")["message"]


@pytest.mark.logs(FAILED_POLL)
@pytest.mark.parametrize(
    "stored", [None, "", "not JSON", '{"output": {"total": 0, "quotas": []}}', "{}"]
)
async def test_throttled_at_start_with_nothing_to_keep(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    account: MockConfigEntry,
    simulator: Simulator,
    stored: str | None,
) -> None:
    """Figures are unavailable after a throttled start without stored figures."""
    await hass.config_entries.async_unload(account.entry_id)
    hass_storage[f"{DOMAIN}.account"]["data"]["answer"] = stored
    simulator.fail(Fault.THROTTLED)
    await setup(hass, account)
    assert (status_states(hass), figures(hass)) == (STATUS_STATES["limited"], GONE)


@pytest.mark.logs(FAILED_POLL)
async def test_throttled_over_midnight(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """The daily spend is unknown from midnight on, even before the next poll."""
    freezer.move_to("2026-08-15 15:58:00+00:00")
    await setup(hass, entry)
    simulator.fail(Fault.THROTTLED, retry_after=3600)
    await poll()
    assert state(hass, "daily_spend") == "12.34"
    before = len(simulator.requests)
    await poll(90)
    assert len(simulator.requests) == before
    assert state(hass, "status") == "limited"
    assert state(hass, "daily_spend") == STATE_UNKNOWN
    assert state(hass, "monthly_spend") == "187.65"
    assert state(hass, "available_balance") == "100.25"

    simulator.recover()
    await poll(3600)
    assert state(hass, "daily_spend") == "12.34"


@pytest.mark.logs(FAILED_POLL, FAILED_POLL, FAILED_POLL)
async def test_throttled_over_the_end_of_a_period(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Figures of a period that is over are unknown, also after a reload."""
    freezer.move_to("2026-08-31 15:58:00+00:00")
    await setup(hass, entry)
    simulator.fail(Fault.THROTTLED)
    await poll()
    over = (
        "daily_spend",
        "monthly_spend",
        "tokens_used",
        "requests_used",
        "budget_usage_pct",
        "remaining_budget",
        "over_spend_limit",
    )
    for key in over:
        assert state(hass, key) not in (STATE_UNKNOWN, STATE_UNAVAILABLE, None)
    for _ in range(2):
        await poll(90)
        for key in over:
            assert state(hass, key) == STATE_UNKNOWN
        assert state(hass, "budget") == state(hass, "spend_limit") == "500"
        assert state(hass, "usage_pct", "qwen-max") == "82.0"
        await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done(wait_background_tasks=True)


@pytest.mark.logs(FAILED_POLL)
async def test_throttled_while_the_figures_are_late(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Late figures are of the old day and period, so both are over while throttled."""
    freezer.move_to("2026-08-31 15:58:00+00:00")
    await setup(hass, entry)
    await poll(600)
    assert state(hass, "daily_spend") == "12.34"
    assert state(hass, "monthly_spend") == "187.65"
    simulator.fail(Fault.THROTTLED)
    await poll(600)
    assert state(hass, "status") == "limited"
    for key in ("daily_spend", "monthly_spend", "tokens_used", "budget_usage_pct"):
        assert state(hass, key) == STATE_UNKNOWN


async def due(simulator: Simulator, poll: Poll, seconds: float) -> None:
    """Check that the next poll is after this many seconds, and not earlier."""
    before = len(simulator.requests)
    await poll(seconds - 2)
    assert len(simulator.requests) == before
    await poll(3)
    assert len(simulator.requests) > before


@pytest.mark.logs(FAILED_POLL)
@pytest.mark.usefixtures("account")
async def test_throttled_without_advice_backs_off(
    simulator: Simulator, poll: Poll
) -> None:
    """Without Retry-After, waits double from 1 to 15 minutes; a success resets them."""
    simulator.fail(Fault.THROTTLED)
    await poll()
    for seconds in (60, 120, 240, 480, 900, 900):
        await due(simulator, poll, seconds)
    simulator.recover()
    await due(simulator, poll, 900)
    await due(simulator, poll, 30)


@pytest.mark.logs(FAILED_POLL)
@pytest.mark.usefixtures("account")
async def test_another_failure_resets_the_back_off(
    simulator: Simulator, poll: Poll
) -> None:
    """Another failure in between resets the back-off."""
    simulator.fail(Fault.THROTTLED)
    await poll()
    await due(simulator, poll, 60)
    simulator.fail(Fault.SERVER_ERROR)
    await due(simulator, poll, 120)
    simulator.fail(Fault.THROTTLED)
    await due(simulator, poll, 30)
    await due(simulator, poll, 60)


@pytest.mark.logs(FAILED_POLL)
@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (7, 30),
        (90, 90),
        ("Sat, 15 Aug 2026 12:10:31 GMT", 600),
        (3600, 3600),
        (86_400, 3600),
        (0, 60),
        (-5, 60),
        ("soon", 60),
    ],
)
@pytest.mark.usefixtures("account")
async def test_throttled_waits_for_retry_after(
    simulator: Simulator, poll: Poll, retry_after: int | str, seconds: int
) -> None:
    """Retry-After is respected up to an hour; invalid values are ignored."""
    simulator.fail(Fault.THROTTLED, retry_after=retry_after)
    await poll()
    await due(simulator, poll, seconds)


@pytest.mark.logs(FAILED_POLL)
@pytest.mark.usefixtures("account")
async def test_rejected_key_is_tried_every_5_minutes(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """Polls continue every 5 minutes with one reauth flow until the key works again."""
    simulator.fail(Fault.UNAUTHORIZED)
    await poll()
    await due(simulator, poll, 300)
    (flow,) = reauth_flows(hass)
    hass.config_entries.flow.async_abort(flow["flow_id"])
    await due(simulator, poll, 300)
    assert reauth_flows(hass) == []

    simulator.recover()
    await due(simulator, poll, 300)
    assert (status_states(hass), figures(hass)) == (STATUS_STATES["ok"], FIGURES)
    await due(simulator, poll, 30)


@pytest.mark.logs(FAILED_POLL, FAILED_POLL)
@pytest.mark.usefixtures("account")
async def test_reauth_is_asked_for_again_after_a_recovery(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """A key that is rejected again after a recovery starts another reauth flow."""
    for _ in range(2):
        simulator.fail(Fault.UNAUTHORIZED)
        await poll()
        assert len(reauth_flows(hass)) == 1
        simulator.recover()
        await poll(300)
        assert reauth_flows(hass) == []


@pytest.mark.logs(FAILED_POLL)
async def test_reauth_waits_for_a_reconfiguration(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """During a reconfiguration, no reauth flow starts; afterwards, it does."""
    flow = await account.start_reconfigure_flow(hass)
    simulator.fail(Fault.UNAUTHORIZED)
    await poll()
    assert reauth_flows(hass) == []
    hass.config_entries.flow.async_abort(flow["flow_id"])
    await poll(300)
    assert len(reauth_flows(hass)) == 1


@pytest.mark.parametrize(
    "fault",
    [pytest.param(Fault.UNAUTHORIZED, marks=pytest.mark.logs(FAILED_POLL)), None],
)
async def test_poll_that_ends_after_the_unload(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    account: MockConfigEntry,
    simulator: Simulator,
    fault: Fault | None,
) -> None:
    """A poll that ends after the unload starts no reauth flow and stores nothing."""
    if fault:
        simulator.fail(fault)
    simulator.body["data"]["daily_spend"] = 0
    quotas = account.runtime_data.quotas
    polling = hass.async_create_task(quotas.async_refresh())
    await hass.config_entries.async_unload(account.entry_id)
    hass_storage.clear()
    await polling
    await hass.async_block_till_done(wait_background_tasks=True)
    assert quotas.last_update_success is (fault is None)
    assert reauth_flows(hass) == []
    assert hass_storage == {}


@pytest.mark.logs(FAILED_POLL)
async def test_key_revoked_while_down(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    """A new key entered in the reauth flow restores everything."""
    await hass.config_entries.async_unload(account.entry_id)
    simulator.api_keys = {"sk-new"}
    await setup(hass, account)
    assert (status_states(hass), figures(hass)) == (STATUS_STATES["auth"], GONE)

    (flow,) = reauth_flows(hass)
    await hass.config_entries.flow.async_configure(
        flow["flow_id"], {CONF_API_KEY: "sk-new"}
    )
    await hass.async_block_till_done(wait_background_tasks=True)
    assert (status_states(hass), figures(hass)) == (STATUS_STATES["ok"], FIGURES)
    assert reauth_flows(hass) == []


@pytest.mark.logs(FAILED_POLL)
async def test_environment_variable_gone(
    hass: HomeAssistant,
    enable_custom_integrations: None,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A missing environment variable is reported without a request."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", API_KEY)
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Model Studio",
        entry_id="account",
        data={
            CONF_API_KEY_ENV: "DASHSCOPE_API_KEY",
            CONF_BASE_URL: simulator.base_url,
        },
    )
    entry.add_to_hass(hass)
    await setup(hass, entry)
    assert status_states(hass) == STATUS_STATES["ok"]

    await hass.config_entries.async_unload(entry.entry_id)
    monkeypatch.delenv("DASHSCOPE_API_KEY")
    simulator.requests.clear()
    await setup(hass, entry)
    assert (status_states(hass), figures(hass)) == (STATUS_STATES["auth"], GONE)
    assert attributes(hass, "status")["message"] == (
        "The environment variable DASHSCOPE_API_KEY, which held the API key, is not"
        " set. Set it and restart Home Assistant, or enter a key"
    )
    assert simulator.requests == []
    assert len(reauth_flows(hass)) == 1


@pytest.mark.logs(FAILED_POLL)
@pytest.mark.usefixtures("account")
async def test_service_that_repeats_the_key(
    hass: HomeAssistant,
    simulator: Simulator,
    poll: Poll,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A key repeated in the service's message is in neither state nor log."""
    simulator.fail(Fault.SERVER_ERROR, message=f"no luck with {API_KEY} today")
    await poll()
    assert "no luck with **REDACTED** today" in attributes(hass, "status")["message"]
    assert API_KEY not in caplog.text


@pytest.mark.logs(r"ERROR .* Unexpected error fetching Model Studio data")
@pytest.mark.usefixtures("account")
async def test_unexpected_error(hass: HomeAssistant, poll: Poll) -> None:
    """An unexpected exception is an error, and the next good poll ends it."""
    with patch(
        "custom_components.alibaba_cloud.model_studio.ModelStudioClient.get_account",
        side_effect=RuntimeError,
    ):
        await poll()
    assert (status_states(hass), figures(hass)) == (STATUS_STATES["error"], GONE)
    await poll()
    assert (status_states(hass), figures(hass)) == (STATUS_STATES["ok"], FIGURES)


@pytest.mark.usefixtures("account")
async def test_metric_that_goes_missing_is_unknown(
    hass: HomeAssistant, simulator: Simulator, poll: Poll, account: MockConfigEntry
) -> None:
    """The entity of a missing figure stays, also after a restart, and is unknown."""
    del simulator.body["data"]["tokens_used"]
    simulator.body["data"]["monthly_spend"] = None
    del simulator.body["data"]["models"][0]["used"]
    await poll()
    unknown = [STATE_UNKNOWN] * 4
    assert figures(hass) == unknown
    await hass.config_entries.async_reload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert figures(hass) == unknown


@pytest.mark.logs(FAILED_POLL)
@pytest.mark.usefixtures("account")
async def test_model_that_an_answer_lacks_in_an_outage(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """Its figures are unknown, and unavailable in the outage, like all others."""
    rows = simulator.body["data"]["models"]
    name = rows[0]["model"]
    rows[0] = None
    await poll()
    assert state(hass, "usage_pct", name) == STATE_UNKNOWN
    simulator.fail(Fault.SERVER_ERROR)
    await poll()
    assert state(hass, "usage_pct", name) == STATE_UNAVAILABLE


async def test_metric_that_comes_later(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """An entity exists once its figure is reported."""
    freezer.move_to(NOW)
    data = simulator.body["data"]
    limit = data.pop("spend_limit")
    tokens = data.pop("tokens_used")
    row = data["models"][2]
    await setup(hass, entry)
    assert state(hass, "spend_limit") is None
    assert state(hass, "over_spend_limit") is None
    assert state(hass, "tokens_used") is None
    assert state(hass, "usage_pct", row["model"]) is None

    data |= {"spend_limit": limit, "tokens_used": tokens}
    row["limit"] = 60
    await poll()
    assert state(hass, "spend_limit") == "500"
    assert state(hass, "over_spend_limit") == STATE_OFF
    assert state(hass, "tokens_used") == "75060000"
    assert state(hass, "usage_pct", row["model"]) == "50.0"
