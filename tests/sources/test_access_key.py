"""An AccessKey or API key that is rejected while the other one works."""

from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)

from custom_components.alibaba_cloud.const import (
    CONF_ACCESS_KEY_ID,
    CONF_PROMETHEUS_URL,
)
from homeassistant.components.recorder import Recorder
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from tests.common import Poll, entity_id, setup, state
from tests.simulator import Fault, Simulator

from .common import (
    FAILED,
    FILLED,
    FOLLOWED,
    LIMITS,
    failed_sources,
    filled_by,
    issues,
    reauth_steps,
    shown,
    unavailable,
)


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
    """A revoked AccessKey starts one reauth flow; limits and status stay."""
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
    # A reauth flow needs no issue.
    assert issues(hass) == set()

    simulator.access_keys = keys
    await poll(15 * 60 + 1)
    assert reauth_steps(hass) == []
    assert unavailable(hass) == set()


@pytest.mark.logs(
    *(f"Error fetching Model Studio {s}" for s in ("spend", "balance", "history")),
    *(f"Error fetching Model Studio {s}" for s in ("rates", "totals")),
    *(f"Error fetching Model Studio {s}" for s in ("assets", "token_plan")),
)
async def test_access_key_that_works_again_ends_the_reauth_flow(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """The daily import is retried as soon as any source can be read again."""
    keys, simulator.access_keys = simulator.access_keys, {}
    await setup(hass, entry)
    assert failed_sources(hass).keys() == {
        *("spend", "balance", "history"),
        *("rates", "totals"),
        *("assets", "token_plan"),
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
    """The sensor is on while a permission is missing, but not during an outage."""
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
    """The sensor exists only with an AccessKey."""
    data = dict(account.data)
    del data[CONF_ACCESS_KEY_ID]
    for entry_data, exists in ((data, False), (account.data, True)):
        hass.config_entries.async_update_entry(account, data=entry_data)
        await hass.config_entries.async_reload(account.entry_id)
        await hass.async_block_till_done(wait_background_tasks=True)
        assert (entity_id(hass, "access_key_problem") is not None) is exists
