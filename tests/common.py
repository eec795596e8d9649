"""Helpers that several test modules share."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
import json
from pathlib import Path
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from pytest_homeassistant_custom_component.common import MockConfigEntry
from syrupy.assertion import SnapshotAssertion

from custom_components.alibaba_cloud import PLATFORMS
from custom_components.alibaba_cloud.const import (
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_BALANCE_ENDPOINT,
    CONF_BILLING_ENDPOINT,
    CONF_DAILY_BUDGET,
    CONF_LOW_BALANCE,
    CONF_MODELS,
    CONF_PROMETHEUS_URL,
    CONF_SPEND_LEVELS,
    DOMAIN,
    EVENT_ALERT,
)
from custom_components.alibaba_cloud.ledger import BILLING_TIME_ZONE
from custom_components.alibaba_cloud.logbook import async_describe_events
from custom_components.alibaba_cloud.owners import Owner, identifier
from custom_components.alibaba_cloud.sources import SOURCES
from custom_components.alibaba_cloud.validation import InvalidInput
from homeassistant.components.automation import DOMAIN as AUTOMATION
from homeassistant.components.homeassistant import (
    DOMAIN as HOMEASSISTANT_DOMAIN,
    SERVICE_UPDATE_ENTITY,
)
from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntry, ConfigFlowResult
from homeassistant.const import (
    ATTR_ENTITY_ID,
    CONF_REGION,
    STATE_OFF,
    STATE_ON,
    Platform,
)
from homeassistant.core import CoreState, Event, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.json import json_dumps
from homeassistant.setup import async_setup_component

from .simulator import Account, Fault, Simulator

FIXTURES = Path(__file__).parent / "fixtures"
API_KEY = "sk-simulator"
NOW = "2026-08-15 12:00:00+00:00"

PERMISSIONS = {
    "modelstudio:ListWorkspaces",
    *(row.permission for row in SOURCES.values() if row.permission),
}
"""The RAM actions and policies that the sources and the options need."""

type Poll = Callable[..., Awaitable[None]]

STORED = f"{DOMAIN}.account"
"""The storage key of the account of the fixture `entry`."""
LONG = 16 * 60
"""Seconds after which a poll with the API key is due, even after the longest backoff."""

FAILED_POLL = (
    r"ERROR custom_components\.alibaba_cloud Error fetching Model Studio data: "
)
"""The log line of an account's first failed poll."""
STATUS_STATES = {
    "ok": ("ok", STATE_OFF, STATE_OFF, STATE_ON),
    "auth": ("auth", STATE_ON, STATE_OFF, STATE_OFF),
    "limited": ("limited", STATE_OFF, STATE_ON, STATE_ON),
    "error": ("error", STATE_OFF, STATE_OFF, STATE_OFF),
}
"""The expected result of `status_states` for each status."""
FIGURES = ["187.65", "75060000", STATE_OFF, "82.0"]
"""The expected result of `figures` for the answer in fixtures/account.json."""

KINDS = {
    "spend_level": "spend_level_reached",
    "daily_budget": "daily_budget",
    "weekly_budget": "weekly_budget",
    "forecast_over_budget": "forecast_over_budget",
    "unusual_spend": "unusual_spend",
    "balance_low": "balance_low",
    "credit_expiring": "credit_expiring",
    "credits_low": "credits_low",
    "subscription_ending": "subscription_ending",
    "model_level": "model_level_reached",
    "limit_lowered": "limit_lowered",
    "rate_limited": "rate_limited",
    "budget_exhausted": "budget_exhausted",
    "api_key_rejected": "api_key_rejected",
    "account_unavailable": "account_unavailable",
    "recovered": "recovered",
}
"""Event types, each with its trigger."""
EVERY_TRIGGER = [{"trigger": f"{DOMAIN}.{key}"} for key in KINDS.values()]
FAILURES = (
    "rate_limited",
    "budget_exhausted",
    "api_key_rejected",
    "account_unavailable",
)

NOTHING = {
    "level": None,
    "spend": None,
    "budget": None,
    "projected": None,
    "usual": None,
    "balance": None,
    "currency": None,
    "asset": None,
    "amount": None,
    "unit": None,
    "ends": None,
    "model": None,
    "workspace_id": None,
    "api_key_id": None,
    "limit_type": None,
    "limit": None,
    "previous_limit": None,
    "usage_pct": None,
    "period": None,
    "failure": None,
}
"""The variables of an alert except its ID, if none of them applies."""
LEVEL_80 = {
    **NOTHING,
    "level": 80,
    "spend": 400,
    "budget": 500,
    "currency": "USD",
    "usage_pct": 80,
    "period": "2026-08-01",
}
"""The variables of the alert at 400 of 500 USD."""


def answer(name: str) -> Any:
    """Return one of the service's answers; the caller may change it."""
    return json.loads((FIXTURES / f"{name}.json").read_text())


def register(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Register the device of an account as in an earlier run."""
    dr.async_get(hass).async_get_or_create(
        config_entry_id=entry.entry_id, identifiers={(DOMAIN, entry.entry_id)}
    )


async def setup(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Set up an account and wait for its first polls."""
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)


async def refresh(hass: HomeAssistant) -> None:
    """Poll the account now with the action `homeassistant.update_entity`.

    Home Assistant delays the poll if the last one was less than ten seconds ago.
    """
    assert await async_setup_component(hass, HOMEASSISTANT_DOMAIN, {})
    await hass.services.async_call(
        HOMEASSISTANT_DOMAIN,
        SERVICE_UPDATE_ENTITY,
        {ATTR_ENTITY_ID: entity_id(hass, "status")},
        blocking=True,
    )


async def get_usage(hass: HomeAssistant, **data: Any) -> dict[str, Any]:
    """Return the response of the action `get_usage`, which contains no API key."""
    response = await hass.services.async_call(
        DOMAIN,
        "get_usage",
        {"config_entry_id": "account", **data},
        blocking=True,
        return_response=True,
    )
    assert API_KEY not in json_dumps(response)
    assert isinstance(response, dict)
    return response


def give_access_key(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, **options: Any
) -> None:
    """Let the API key of an account read limits only, and an AccessKey its bill.

    By `NOW`, 886.53 CNY are billed, and 2,353.47 CNY are left.
    """
    simulator.body = None
    simulator.account = Account(answer="limits")
    [(key_id, secret)] = simulator.access_keys.items()
    hass.config_entries.async_update_entry(
        entry,
        data={
            **entry.data,
            CONF_ACCESS_KEY_ID: key_id,
            CONF_ACCESS_KEY_SECRET: secret,
            CONF_REGION: "cn-beijing",
            CONF_BILLING_ENDPOINT: simulator.openapi_url,
            CONF_BALANCE_ENDPOINT: simulator.openapi_url,
            CONF_PROMETHEUS_URL: simulator.prometheus_url,
        },
        options={CONF_MODELS: ["qwen-max", "qwen-plus"], **options},
    )


async def open_options(
    hass: HomeAssistant, entry: MockConfigEntry, step: str = "models"
) -> ConfigFlowResult:
    """Open a step of the options menu and return its form."""
    options = hass.config_entries.options
    menu = await options.async_init(entry.entry_id)
    assert step in menu["menu_options"]
    return await options.async_configure(menu["flow_id"], {"next_step_id": step})


def check_platform(
    hass: HomeAssistant, platform: Platform, snapshot: SnapshotAssertion
) -> None:
    """Compare the registry entry and the state of each entity with the snapshot."""
    entities = [
        entity
        for entity in er.async_entries_for_config_entry(er.async_get(hass), "account")
        if entity.domain == platform
    ]
    assert entities
    for entity in entities:
        assert entity == snapshot(name=f"{entity.entity_id}-entry")
        assert hass.states.get(entity.entity_id) == snapshot(
            name=f"{entity.entity_id}-state"
        )


def state(
    hass: HomeAssistant, key: str, owner: Owner = None, *, account: str = "account"
) -> str | None:
    """Return the state of the entity with this key, None without one."""
    found = entity_id(hass, key, owner, account=account)
    current = hass.states.get(found) if found else None
    return current.state if current else None


def attributes(
    hass: HomeAssistant, key: str, owner: Owner = None, *, account: str = "account"
) -> dict[str, Any]:
    """Return the attributes of the entity with this key."""
    current = hass.states.get(entity_id(hass, key, owner, account=account) or "")
    assert current is not None
    return dict(current.attributes)


def entity_id(
    hass: HomeAssistant, key: str, owner: Owner = None, *, account: str = "account"
) -> str | None:
    """Return the entity id of a key of an owner, None without an entity.

    account: the entry id of the account.
    """
    unique_id = f"{identifier(account, owner)}_{key}"
    registry = er.async_get(hass)
    found = (
        registry.async_get_entity_id(platform, DOMAIN, unique_id)
        for platform in PLATFORMS
    )
    return next(filter(None, found), None)


def figures(hass: HomeAssistant, account: str = "account") -> list[str | None]:
    """Return the states of three figures of an account and one of a model."""
    return [
        state(hass, "monthly_spend", account=account),
        state(hass, "tokens_used", account=account),
        state(hass, "over_spend_limit", account=account),
        state(hass, "usage_pct", "qwen-max", account=account),
    ]


def status_states(
    hass: HomeAssistant, account: str = "account"
) -> tuple[str | None, ...]:
    """Return the states of the status and of the three entities that follow from it."""
    keys = ("status", "api_key_problem", "rate_limited", "account_available")
    return tuple(state(hass, key, account=account) for key in keys)


def device(
    hass: HomeAssistant, entry: MockConfigEntry, model: str | None = None
) -> str:
    """Return the ID of the device of an account or a model."""
    registry = dr.async_get(hass)
    if model is None:
        (found,) = dr.async_entries_for_config_entry(registry, entry.entry_id)
        return found.id
    child = registry.async_get_child_device_by_identifier(
        (DOMAIN, f"{entry.entry_id}_model_{model}"), entry.entry_id
    )
    assert child is not None
    return child.id


def reauth_flows(hass: HomeAssistant) -> list[Any]:
    """Return the reauth flows in progress."""
    return [
        flow
        for flow in hass.config_entries.flow.async_progress_by_handler(DOMAIN)
        if flow["context"]["source"] == SOURCE_REAUTH
    ]


def offered(form: Mapping[str, Any], field: str = CONF_MODELS) -> dict[str, str]:
    """Return what a field of a form offers, with the labels."""
    selector = form["data_schema"].schema[field]
    return {option["value"]: option["label"] for option in selector.config["options"]}


def devices(hass: HomeAssistant, entry: ConfigEntry) -> set[str | None]:
    """Return the names of the models that have a device."""
    return {
        device.name
        for device in dr.async_child_entries_for_config_entry(
            dr.async_get(hass), entry.entry_id
        )
    }


def report(simulator: Simulator, *, used: float | None = None, **figures: Any) -> None:
    """Change the reported figures; `used` is the usage of qwen-max, out of 1,000."""
    data = simulator.body["data"]
    data |= figures
    if used is not None:
        data["models"][0]["used"] = used


async def arm(
    hass: HomeAssistant, *triggers: dict[str, Any]
) -> list[Event[Mapping[str, Any]]]:
    """Set up an automation with these triggers, or with all triggers.

    Returns the events that it fires, each with the trigger's variables.
    """
    events: list[Event[Mapping[str, Any]]] = []

    @callback
    def record(event: Event[Mapping[str, Any]]) -> None:
        events.append(event)

    hass.bus.async_listen("triggered", record)
    assert await async_setup_component(
        hass,
        AUTOMATION,
        {
            AUTOMATION: {
                "alias": "Record",
                "mode": "parallel",
                "triggers": list(triggers or EVERY_TRIGGER),
                "actions": {
                    "event": "triggered",
                    "event_data": {"trigger": "{{ trigger }}"},
                },
            }
        },
    )
    await hass.async_block_till_done()
    return events


def at_level(level: float, key: str = "spend_level_reached") -> dict[str, Any]:
    """Return a trigger with a level."""
    return {"trigger": f"{DOMAIN}.{key}", "options": {"level": level}}


async def switch(hass: HomeAssistant, service: str) -> None:
    """Turn the automation of `arm` on or off."""
    await hass.services.async_call(
        AUTOMATION, service, {"entity_id": "automation.record"}, blocking=True
    )
    await hass.async_block_till_done()


def triggered(events: list[Event[Mapping[str, Any]]]) -> list[tuple[Any, ...]]:
    """Return the recorded triggers of the automation, and clear the events."""
    triggers = [event.data["trigger"] for event in events]
    events.clear()
    return [
        (
            trigger["platform"].removeprefix(f"{DOMAIN}."),
            trigger["level"] or trigger["failure"],
        )
        for trigger in triggers
    ]


def spend_levels(*levels: float) -> list[tuple[str, float]]:
    """Return the expected result of `triggered` for levels of the spend."""
    return [("spend_level_reached", level) for level in levels]


def model_levels(*levels: float) -> list[tuple[str, float]]:
    """Return the expected result of `triggered` for levels of a model."""
    return [("model_level_reached", level) for level in levels]


def alert_ids(events: list[Event[Mapping[str, Any]]]) -> list[str]:
    """Return the IDs of the alerts that triggered the automation."""
    return [event.data["trigger"]["alert_id"] for event in events]


def last_event(hass: HomeAssistant) -> tuple[str | None, dict[str, Any]]:
    """Return the type of the last event and its attributes without the ID.

    Attributes that the event does not have are None.
    """
    shown = attributes(hass, "alerts")
    kind = shown["event_type"]
    if kind is None:
        return None, {}
    assert len(shown["alert_id"]) == 32
    assert [key for key in NOTHING if shown.get(key, kind) is None] == []
    return kind, {key: shown.get(key) for key in NOTHING}


async def unload(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Unload the account."""
    assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)


async def reload(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Reload the account."""
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)


async def restart(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Unload and set up the account as in a restart of Home Assistant."""
    await unload(hass, entry)
    hass.set_state(CoreState.not_running)
    await setup(hass, entry)
    await start(hass)


async def start(hass: HomeAssistant) -> None:
    """Complete the start of Home Assistant."""
    await hass.async_start()
    await hass.async_block_till_done(wait_background_tasks=True)


async def setup_at_noon(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    day: int,
    **options: Any,
) -> None:
    """Set up an account with these options at noon of a day in August.

    It spends 10 USD per day, spread evenly over the hours.
    """
    freezer.move_to(noon(day))
    hass.config_entries.async_update_entry(entry, options=entry.options | options)
    report(simulator, daily_spend=5, monthly_spend=10 * day - 5)
    await setup(hass, entry)


async def spend_alike(
    simulator: Simulator, freezer: FrozenDateTimeFactory, poll: Poll, days: list[int]
) -> None:
    """Poll at noon of each of these days in August, with 10 USD spent per day."""
    for day in days:
        freezer.move_to(noon(day))
        report(simulator, daily_spend=5, monthly_spend=10 * day - 5)
        await poll()


def noon(day: int) -> datetime:
    """Return 31 seconds before noon in August, so that the next poll ends at noon."""
    return datetime(2026, 8, day, 12, tzinfo=BILLING_TIME_ZONE) - timedelta(seconds=31)


def levels_kept(kept: dict[str, Any]) -> list[str]:
    """Return the spend levels that are stored as already alerted."""
    levels = kept[STORED]["data"]["alerts"]["spend_levels"]
    return sorted((level for level, alerted in levels.items() if alerted), key=float)


def described(hass: HomeAssistant, event: Event[Any]) -> dict[str, Any]:
    """Return what the activity log shows of an event."""
    found: dict[tuple[str, str], Any] = {}

    def register(domain: str, event_type: str, describe: Any) -> None:
        found[domain, event_type] = describe

    async_describe_events(hass, register)
    assert found.keys() == {(DOMAIN, EVENT_ALERT)}
    entry: dict[str, Any] = found[DOMAIN, EVENT_ALERT](event)
    return entry


CAUSES: dict[
    str, tuple[dict[str, Any], Callable[[Simulator], None], list[dict[str, Any]]]
] = {
    "spend_level": (
        {},
        lambda simulator: report(simulator, monthly_spend="400.00"),
        [{**LEVEL_80, "level": 50}, LEVEL_80],
    ),
    "daily_budget": (
        {CONF_DAILY_BUDGET: 20, CONF_SPEND_LEVELS: [80]},
        lambda simulator: report(simulator, daily_spend=18),
        [
            {
                **NOTHING,
                "level": 80,
                "spend": 18,
                "budget": 20,
                "currency": "USD",
                "usage_pct": 90,
                "period": "2026-08-15",
            }
        ],
    ),
    "balance_low": (
        {CONF_LOW_BALANCE: 50},
        lambda simulator: report(simulator, available=49.504),
        [{**NOTHING, "balance": 49.5, "currency": "USD"}],
    ),
    "model_level": (
        {},
        lambda simulator: report(simulator, used=1001),
        [
            {**NOTHING, "level": level, "model": "qwen-max", "usage_pct": 100.1}
            for level in (80, 100)
        ],
    ),
    "rate_limited": ({}, lambda simulator: simulator.fail(Fault.THROTTLED), [NOTHING]),
    "budget_exhausted": (
        {},
        lambda simulator: simulator.fail(Fault.BUDGET_EXHAUSTED),
        [NOTHING],
    ),
    "api_key_rejected": (
        {},
        lambda simulator: simulator.fail(Fault.UNAUTHORIZED),
        [NOTHING],
    ),
    "account_unavailable": (
        {},
        lambda simulator: simulator.fail(Fault.SERVER_ERROR),
        [NOTHING],
    ),
}
"""Kinds of alerts: the options, the cause, and the variables of each alert."""


def errors_of(validate: Callable[..., object], *args: object) -> dict[str, str]:
    """Return the errors of an input; empty if the input is valid."""
    try:
        validate(*args)
    except InvalidInput as err:
        return err.errors
    return {}
