"""Native conditions: the current state of accounts."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)
from pytest_homeassistant_custom_component.typing import WebSocketGenerator
import voluptuous as vol

from custom_components.alibaba_cloud.condition import CONDITIONS
from custom_components.alibaba_cloud.const import (
    CONF_BASE_URL,
    CONF_MONTHLY_BUDGET,
    DOMAIN,
)
from homeassistant.components.automation import DOMAIN as AUTOMATION
from homeassistant.const import CONF_API_KEY, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.condition import (
    async_from_config,
    async_validate_condition_config,
)
from homeassistant.setup import async_setup_component

from .common import API_KEY, LONG, Poll, answer, device, entity_id, report, setup, state
from .simulator import Fault, Simulator

OVER, LIMITED, REJECTED = "is_over_budget", "is_rate_limited", "is_api_key_rejected"
EXHAUSTED = "is_budget_exhausted"


async def holds(
    hass: HomeAssistant,
    condition: str,
    target: dict[str, Any] | None = None,
    **options: Any,
) -> bool | None:
    """Return the current result of a condition."""
    config: dict[str, Any] = {"condition": f"{DOMAIN}.{condition}"}
    if target is not None:
        config["target"] = target
    if options:
        config["options"] = options
    checker = await async_from_config(
        hass, await async_validate_condition_config(hass, cv.CONDITION_SCHEMA(config))
    )
    try:
        return checker.async_check()
    finally:
        checker.async_unload()


async def all_that_hold(hass: HomeAssistant, **target: Any) -> set[str]:
    """Return the conditions that are true now."""
    values = {key: await holds(hass, key, target or None) for key in CONDITIONS}
    assert set(values.values()) <= {True, False}
    return {key for key, value in values.items() if value}


@pytest.fixture
async def other(
    hass: HomeAssistant, account: MockConfigEntry
) -> AsyncIterator[tuple[MockConfigEntry, Simulator]]:
    """Return another account, and its simulator."""
    async with Simulator() as elsewhere:
        elsewhere.body = answer("account")
        other = MockConfigEntry(
            domain=DOMAIN,
            title="Elsewhere",
            entry_id="other",
            data={CONF_API_KEY: API_KEY, CONF_BASE_URL: elsewhere.base_url},
        )
        other.add_to_hass(hass)
        await setup(hass, other)
        yield other, elsewhere
        await hass.config_entries.async_unload("other")


@pytest.mark.usefixtures("account")
async def test_over_budget(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """The condition is true at or above its level; the default level is 100 %."""
    for spend, over, over_80, over_half in (
        (499.99, False, True, True),
        (500, True, True, True),
        (400, False, True, True),
        (399.99, False, False, True),
        (249, False, False, False),
        (-5, False, False, False),
        (750, True, True, True),
    ):
        report(simulator, monthly_spend=spend)
        await poll()
        assert await holds(hass, OVER) is over
        assert await holds(hass, OVER, level=100) is over
        assert await holds(hass, OVER, level=80) is over_80
        assert await holds(hass, OVER, level="49.9") is over_half
    assert await holds(hass, OVER, level=150)
    assert not await holds(hass, OVER, level=150.1)


async def test_over_the_budget_of_the_user(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    """The user's budget takes precedence over the service's limit."""
    assert not await holds(hass, OVER)
    hass.config_entries.async_update_entry(
        account, options={CONF_MONTHLY_BUDGET: 187.65}
    )
    assert await hass.config_entries.async_reload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert await holds(hass, OVER)


@pytest.mark.usefixtures("account")
async def test_nearly_over_budget(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """Spend a cent below a large budget does not reach 100 % of it."""
    report(simulator, spend_limit=1_000_000, monthly_spend="999999.99")
    await poll()
    assert not await holds(hass, OVER)


@pytest.mark.usefixtures("account")
async def test_budget_unknown(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """The condition is false while a figure is unknown."""
    known = {"monthly_spend": 600, "spend_limit": 500}
    for figure, unknown in (
        ("monthly_spend", None),
        ("spend_limit", None),
        ("spend_limit", 0),
    ):
        report(simulator, **known)
        await poll()
        assert await holds(hass, OVER)
        report(simulator, **{figure: unknown})
        await poll()
        assert state(hass, "budget_usage_pct") == STATE_UNKNOWN
        assert await all_that_hold(hass) == set()


@pytest.mark.logs("Error fetching")
@pytest.mark.usefixtures("account")
async def test_failures(hass: HomeAssistant, simulator: Simulator, poll: Poll) -> None:
    """Each condition is true only for its failure, as of the last poll."""
    assert await all_that_hold(hass) == set()
    for fault, expected in (
        (Fault.THROTTLED, {LIMITED}),
        (Fault.BUDGET_EXHAUSTED, {EXHAUSTED}),
        (Fault.UNAUTHORIZED, {REJECTED}),
        (Fault.SERVER_ERROR, set()),
        (Fault.FREE_TIER_ONLY, {LIMITED}),
    ):
        simulator.fail(fault)
        await poll(LONG)
        assert await all_that_hold(hass) == expected
    simulator.recover()
    await poll(LONG)
    assert await all_that_hold(hass) == set()


@pytest.mark.logs("Error fetching")
@pytest.mark.usefixtures("account")
async def test_over_budget_while_failing(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """Figures count while the service throttles, but not in an outage."""
    report(simulator, monthly_spend=600)
    await poll()
    simulator.fail(Fault.THROTTLED)
    await poll()
    assert await all_that_hold(hass) == {OVER, LIMITED}
    simulator.fail(Fault.SERVER_ERROR)
    await poll(LONG)
    assert await all_that_hold(hass) == set()


@pytest.mark.logs("Error fetching")
async def test_restored_figures(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Restored figures do not make the condition true."""
    report(simulator, monthly_spend=600)
    await poll()
    assert await hass.config_entries.async_unload(account.entry_id)
    simulator.fail(Fault.THROTTLED)
    await setup(hass, account)
    assert state(hass, "monthly_spend") == "600"
    assert await all_that_hold(hass) == {LIMITED}


@pytest.mark.logs("Error fetching", "Error fetching")
async def test_devices(
    hass: HomeAssistant,
    account: MockConfigEntry,
    other: tuple[MockConfigEntry, Simulator],
    simulator: Simulator,
    poll: Poll,
) -> None:
    """The condition is true if it is true for one of the selected accounts."""
    elsewhere, service = other
    report(service, monthly_spend=600)
    await poll()
    service.fail(Fault.THROTTLED)
    simulator.fail(Fault.UNAUTHORIZED)
    await poll()
    mine, theirs = {REJECTED}, {OVER, LIMITED}
    account_id, other_id = device(hass, account), device(hass, elsewhere)
    assert await all_that_hold(hass) == mine | theirs
    for chosen, expected in (
        ([], mine | theirs),
        (account_id, mine),
        ([account_id], mine),
        ([other_id], theirs),
        ([account_id, other_id], mine | theirs),
        ([device(hass, account, "qwen-max")], mine),
        ([device(hass, elsewhere, "qwen-max")], theirs),
        (["gone"], set()),
        (["gone", other_id], theirs),
    ):
        assert await all_that_hold(hass, device_id=chosen) == expected


@pytest.mark.logs("Error fetching")
async def test_account_that_is_not_loaded(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Conditions are false for unloaded or removed accounts."""
    simulator.fail(Fault.THROTTLED)
    await poll()
    device_id = device(hass, account)
    assert await all_that_hold(hass, device_id=device_id) == {LIMITED}
    assert await hass.config_entries.async_unload(account.entry_id)
    assert await all_that_hold(hass, device_id=device_id) == set()
    assert await all_that_hold(hass) == set()
    simulator.recover()
    report(simulator, monthly_spend=600)
    await setup(hass, account)
    assert await all_that_hold(hass, device_id=device_id) == {OVER}
    assert await hass.config_entries.async_remove(account.entry_id)
    assert await all_that_hold(hass, device_id=device_id) == set()
    assert await all_that_hold(hass) == set()


async def test_without_any_account(
    hass: HomeAssistant, enable_custom_integrations: None
) -> None:
    assert await all_that_hold(hass) == set()


@pytest.mark.usefixtures("account")
async def test_in_an_automation(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """An automation continues only if the condition is true."""
    events = async_capture_events(hass, "triggered")
    assert await async_setup_component(
        hass,
        AUTOMATION,
        {
            AUTOMATION: {
                "triggers": {"trigger": "event", "event_type": "asked"},
                "conditions": {
                    "condition": f"{DOMAIN}.is_over_budget",
                    "options": {"level": 80},
                },
                "actions": {"event": "triggered"},
            }
        },
    )
    for spend, times in ((300, 0), (450, 1), (300, 1)):
        report(simulator, monthly_spend=spend)
        await poll()
        hass.bus.async_fire("asked")
        await hass.async_block_till_done()
        assert len(events) == times


@pytest.mark.parametrize("key", CONDITIONS)
async def test_bad_options(
    hass: HomeAssistant, enable_custom_integrations: None, key: str
) -> None:
    unknown = "not a valid option|extra keys"
    refused: list[tuple[dict[str, Any], str]] = [
        ({"levels": 80}, unknown),
        ({"device_id": ["account"]}, unknown),
    ]
    if key == OVER:
        refused += [({"level": bad}, "expected float") for bad in ("high", None, [80])]
        refused += [({"level": bad}, "must be higher than 0") for bad in (0, -1, "-80")]
    else:
        refused.append(({"level": 80}, unknown))
    for options, error in refused:
        config = {"condition": f"{DOMAIN}.{key}", "options": options}
        with pytest.raises(vol.Invalid, match=error):
            await async_validate_condition_config(hass, cv.CONDITION_SCHEMA(config))


async def test_offered_in_the_editor(
    hass: HomeAssistant, account: MockConfigEntry, hass_ws_client: WebSocketGenerator
) -> None:
    """The editor offers each condition with its fields."""
    assert await async_setup_component(hass, AUTOMATION, {})
    client = await hass_ws_client(hass)
    await client.send_json_auto_id({"type": "condition_platforms/subscribe"})
    assert (await client.receive_json())["success"]
    described = (await client.receive_json())["event"]
    fields = {
        key.removeprefix(f"{DOMAIN}."): description.get("fields", {})
        for key, description in described.items()
        if key.startswith(f"{DOMAIN}.")
    }
    assert fields.keys() == {OVER, LIMITED, EXHAUSTED, REJECTED}
    for key, offered in fields.items():
        assert offered.keys() == ({"level"} if key == OVER else set())
    for target, expected in (
        ({"device_id": [device(hass, account)]}, {OVER, LIMITED, EXHAUSTED, REJECTED}),
        (
            {"entity_id": [entity_id(hass, "alerts")]},
            {OVER, LIMITED, EXHAUSTED, REJECTED},
        ),
        ({"device_id": [device(hass, account, "qwen-max")]}, set()),
    ):
        await client.send_json_auto_id(
            {"type": "get_conditions_for_target", "target": target}
        )
        result = (await client.receive_json())["result"]
        assert {
            key.removeprefix(f"{DOMAIN}.") for key in result if key.startswith(DOMAIN)
        } == expected


async def test_editor_tests_a_condition(
    hass: HomeAssistant,
    account: MockConfigEntry,
    hass_ws_client: WebSocketGenerator,
) -> None:
    """The editor can test a condition."""
    client = await hass_ws_client(hass)
    for level, expected in ((37, True), (38, False)):
        await client.send_json_auto_id(
            {
                "type": "test_condition",
                "condition": {
                    "condition": f"{DOMAIN}.is_over_budget",
                    "target": {"device_id": [device(hass, account)]},
                    "options": {"level": level},
                },
            }
        )
        assert (await client.receive_json())["result"]["result"] is expected
