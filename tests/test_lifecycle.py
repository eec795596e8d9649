"""Starts, stops, reloads and removals at any moment, with services that hang."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)
from yarl import URL

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
from custom_components.alibaba_cloud.model_studio import http
from homeassistant.config_entries import (
    SOURCE_REAUTH,
    ConfigEntryDisabler,
    ConfigEntryState,
)
from homeassistant.const import CONF_API_KEY, CONF_REGION
from homeassistant.core import CoreState, HomeAssistant

from .common import API_KEY, NOW, Poll, attributes, refresh, setup, state
from .simulator import Account, Fault, Simulator

FAILED = "Error fetching Model Studio data"


@pytest.fixture
def with_access_key(
    hass: HomeAssistant,
    simulator: Simulator,
    entry: MockConfigEntry,
) -> MockConfigEntry:
    """Return an account with an AccessKey whose API key reads limits only."""
    simulator.body = None
    simulator.account = Account(answer="limits")
    [(access_key_id, secret)] = simulator.access_keys.items()
    hass.config_entries.async_update_entry(
        entry,
        data={
            CONF_API_KEY: API_KEY,
            CONF_BASE_URL: simulator.base_url,
            CONF_ACCESS_KEY_ID: access_key_id,
            CONF_ACCESS_KEY_SECRET: secret,
            CONF_REGION: "cn-beijing",
            CONF_BILLING_ENDPOINT: simulator.openapi_url,
            CONF_BALANCE_ENDPOINT: simulator.openapi_url,
            CONF_PROMETHEUS_URL: simulator.prometheus_url,
        },
        options={CONF_MODELS: ["qwen-max", "qwen-plus"]},
    )
    return entry


async def asked(requests: Collection[Any]) -> None:
    """Wait until a service has received a request."""
    while not requests:  # noqa: ASYNC110 - no event for this
        await asyncio.sleep(0)


def reauth_steps(hass: HomeAssistant) -> list[str]:
    """Return the current steps of the account's reauth flows."""
    return [
        flow["step_id"]
        for flow in hass.config_entries.flow.async_progress_by_handler(DOMAIN)
        if flow["context"]["source"] == SOURCE_REAUTH
    ]


# --- Services that hang


@pytest.mark.logs(FAILED)
@pytest.mark.parametrize("pages", [0, 1, 3])
async def test_set_up_waits_for_one_time_out(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    pages: int,
) -> None:
    """Set-up does not retry a request that hangs, not even within a listing."""
    monkeypatch.setattr(http, "TIMEOUT", 0.5)

    def hang_later(_: Any) -> None:
        if len(simulator.requests) > pages:
            simulator.fail(Fault.HANG)

    simulator.body = hang_later
    if not pages:
        simulator.fail(Fault.HANG)
    assert await hass.config_entries.async_setup(with_access_key.entry_id)
    hung = len(simulator.requests)
    assert hung == (pages + 2 if pages else 1)
    assert state(hass, "status") == "error"
    host = URL(simulator.base_url).authority
    assert attributes(hass, "status")["message"] == f"{host} did not answer in time"
    simulator.body = None
    simulator.recover()
    await refresh(hass)
    assert state(hass, "status") == "ok"


@pytest.mark.logs(FAILED)
async def test_poll_has_a_time_out_for_each_request(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A poll after set-up retries once, and both requests have a time-out."""
    await setup(hass, entry)
    monkeypatch.setattr(http, "TIMEOUT", 0.05)
    simulator.forget()
    simulator.fail(Fault.HANG)
    await refresh(hass)
    assert len(simulator.requests) == 2


@pytest.mark.parametrize("service", ["billing", "balance", "prometheus"])
@pytest.mark.parametrize("end", ["unload", "reload", "remove", "stop"])
async def test_nothing_waits_for_a_source_that_hangs(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    service: Any,
    end: str,
) -> None:
    """A source that hangs blocks neither set-up nor unload, removal or stop."""
    manager, entry_id = hass.config_entries, with_access_key.entry_id
    simulator.fail(Fault.HANG, at=service)
    assert await manager.async_setup(entry_id)
    await asked(simulator.signed_requests)
    await hass.async_block_till_done()
    await ENDS[end](hass, entry_id)
    assert entry_is(hass, entry_id, end)


@pytest.mark.parametrize("end", ["unload", "reload", "remove", "stop"])
@pytest.mark.parametrize("by", ["time", "hand"])
async def test_nothing_waits_for_a_poll_that_hangs(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    by: str,
    end: str,
) -> None:
    """A poll that hangs blocks nothing, also if it was requested."""
    simulator.forget()
    simulator.fail(Fault.HANG, times=1)
    if by == "time":
        freezer.tick(31)
        async_fire_time_changed(hass)
    else:
        waits = hass.async_create_background_task(refresh(hass), "update")
    await asked(simulator.requests)
    await hass.async_block_till_done()
    await ENDS[end](hass, account.entry_id)
    assert entry_is(hass, account.entry_id, end)
    if by == "hand":
        waits.cancel()


async def _reload(hass: HomeAssistant, entry_id: str) -> None:
    assert await hass.config_entries.async_reload(entry_id)


async def _unload(hass: HomeAssistant, entry_id: str) -> None:
    # Home Assistant does not unload entries during their set-up.
    entry = hass.config_entries.async_get_known_entry(entry_id)
    async with entry.setup_lock:
        assert await hass.config_entries.async_unload(entry_id, _lock=False)


async def _remove(hass: HomeAssistant, entry_id: str) -> None:
    assert not (await hass.config_entries.async_remove(entry_id))["require_restart"]


async def _disable(hass: HomeAssistant, entry_id: str) -> None:
    assert await hass.config_entries.async_set_disabled_by(
        entry_id, ConfigEntryDisabler.USER
    )


async def _stop(hass: HomeAssistant, entry_id: str) -> None:
    await hass.async_stop(force=True)


ENDS: dict[str, Callable[[HomeAssistant, str], Awaitable[None]]] = {
    "unload": _unload,
    "reload": _reload,
    "remove": _remove,
    "disable": _disable,
    "stop": _stop,
}


def entry_is(hass: HomeAssistant, entry_id: str, end: str) -> bool:
    """Return whether the account has the expected state after this action."""
    entry = hass.config_entries.async_get_entry(entry_id)
    match end:
        case "remove":
            return entry is None
        case "stop":
            return hass.state is CoreState.stopped
    assert entry is not None
    return entry.state is (
        ConfigEntryState.LOADED if end == "reload" else ConfigEntryState.NOT_LOADED
    )


# --- At any moment of set-up

ONCE = ("unload", "remove", "disable")


@pytest.mark.parametrize(
    "end",
    [
        *(pytest.param(end, marks=pytest.mark.logs(FAILED)) for end in ONCE),
        pytest.param("reload", marks=pytest.mark.logs(FAILED, FAILED)),
    ],
)
async def test_end_during_the_first_poll(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, end: str
) -> None:
    """A rejected key starts a reauth flow only if the account still exists."""
    simulator.fail(Fault.UNAUTHORIZED)
    task = hass.async_create_task(hass.config_entries.async_setup(entry.entry_id))
    await asked(simulator.requests)
    await ENDS[end](hass, entry.entry_id)
    await task
    await hass.async_block_till_done(wait_background_tasks=True)
    assert entry_is(hass, entry.entry_id, end)
    assert reauth_steps(hass) == (["reauth_confirm"] if end == "reload" else [])


@pytest.mark.parametrize("end", ["unload", "reload", "remove", "disable"])
@pytest.mark.parametrize("turns", [*range(8), 12, 24, 48])
async def test_end_at_any_turn_of_the_first_set_up(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    turns: int,
    end: str,
) -> None:
    """Set-up can be interrupted in any turn of the event loop."""
    manager = hass.config_entries
    task = hass.async_create_task(manager.async_setup(entry.entry_id))
    await asked(simulator.requests)
    for _ in range(turns):
        await asyncio.sleep(0)
    await ENDS[end](hass, entry.entry_id)
    await task
    await hass.async_block_till_done(wait_background_tasks=True)
    assert entry_is(hass, entry.entry_id, end)
    if end != "remove":
        await manager.async_set_disabled_by(entry.entry_id, None)
        if end == "unload":
            await manager.async_setup(entry.entry_id)
        await hass.async_block_till_done(wait_background_tasks=True)
        assert entry.state is ConfigEntryState.LOADED
        assert state(hass, "monthly_spend") == "187.65"
        assert state(hass, "used", "qwen-plus") == "150"


# --- Asking for another key


OUTAGES = [Fault.SERVER_ERROR, Fault.THROTTLED, Fault.HTML, Fault.RESET]


@pytest.mark.logs(
    *(f"Error fetching Model Studio {s}" for s in ("spend", "balance")),
    *(f"Error fetching Model Studio {s}" for s in ("rates", "totals")),
)
@pytest.mark.parametrize("fault", OUTAGES)
async def test_outage_does_not_withdraw_the_request_for_an_access_key(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    with_access_key: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    fault: Fault,
) -> None:
    """The reauth flow of the AccessKey stays open during an outage."""
    freezer.move_to(NOW)
    await setup(hass, with_access_key)
    keys, simulator.access_keys = simulator.access_keys, {}
    await poll(15 * 60 + 1)
    [flow] = hass.config_entries.flow.async_progress()
    for services in ("billing", "balance", "prometheus"), ("billing",), ():
        simulator.recover()
        for service in services:
            simulator.fail(fault, at=service)
        await poll(3600)
        assert [
            other["flow_id"] for other in hass.config_entries.flow.async_progress()
        ] == [flow["flow_id"]]
    simulator.access_keys = keys
    simulator.fail(fault, at="billing")
    # The first success makes the others try again; the second one ends the flow.
    await poll(3600)
    await poll(3600)
    assert reauth_steps(hass) == []


@pytest.mark.logs(FAILED)
@pytest.mark.parametrize("closed", [False, True])
async def test_key_is_asked_for_after_a_reconfiguration(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    closed: bool,
) -> None:
    """A reauth flow starts after a reconfiguration, even if one was closed before."""
    flows = hass.config_entries.flow
    simulator.fail(Fault.UNAUTHORIZED)
    if closed:
        await poll()
        [flow] = flows.async_progress()
        flows.async_abort(flow["flow_id"])
        await poll(301)
        assert flows.async_progress() == []
    flow = await account.start_reconfigure_flow(hass)
    await poll(301)
    assert reauth_steps(hass) == []
    flows.async_abort(flow["flow_id"])
    await poll(301)
    assert reauth_steps(hass) == ["reauth_confirm"]


@pytest.fixture
async def both_keys(
    hass: HomeAssistant,
    with_access_key: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Set up an account with an API key and an AccessKey, and no Prometheus."""
    freezer.move_to(NOW)
    hass.config_entries.async_update_entry(
        with_access_key,
        data={**with_access_key.data, CONF_PROMETHEUS_URL: ""},
    )
    await setup(hass, with_access_key)


@pytest.mark.usefixtures("both_keys")
@pytest.mark.logs(
    FAILED, *(f"Error fetching Model Studio {s}" for s in ("spend", "balance"))
)
async def test_keys_rejected_at_once_are_asked_for_one_after_the_other(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """A reauth flow for the second key starts once the first flow is closed."""
    simulator.access_keys = {}
    await poll(15 * 60 + 1)
    assert reauth_steps(hass) == ["reauth_access_key"]
    simulator.api_keys = set()
    await poll()
    await poll(301)
    assert reauth_steps(hass) == ["reauth_access_key"]
    [flow] = hass.config_entries.flow.async_progress()
    hass.config_entries.flow.async_abort(flow["flow_id"])
    await poll(301)
    assert reauth_steps(hass) == ["reauth_confirm"]


@pytest.mark.usefixtures("both_keys")
@pytest.mark.logs(
    FAILED, *(f"Error fetching Model Studio {s}" for s in ("spend", "balance"))
)
async def test_keys_rejected_at_once_are_each_asked_for_once(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """Once the user has closed the flows of both keys, neither starts again."""
    simulator.access_keys, simulator.api_keys = {}, set()
    seen: list[str] = []
    for _ in range(5):
        await poll(15 * 60 + 1)
        seen += reauth_steps(hass)
        for flow in hass.config_entries.flow.async_progress():
            hass.config_entries.flow.async_abort(flow["flow_id"])
    assert sorted(seen) == ["reauth_access_key", "reauth_confirm"]
