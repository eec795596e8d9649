"""The figures that the AccessKey reads, and when each source is polled."""

from decimal import Decimal
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
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
from custom_components.alibaba_cloud.model_studio import OTHERS
from homeassistant.components.homeassistant import SERVICE_UPDATE_ENTITY
from homeassistant.const import ATTR_ENTITY_ID, CONF_API_KEY, CONF_REGION, Platform
from homeassistant.core import DOMAIN as HOMEASSISTANT_DOMAIN, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
from tests.common import (
    API_KEY,
    STORED,
    Poll,
    attributes,
    check_platform,
    entity_id,
    get_usage,
    reload,
    setup,
    state,
    unload,
)
from tests.simulator import Account, Simulator

from .common import (
    FOLLOWED,
    MODEL_TOTALS,
    OTHER,
    RATES,
    SPEND,
    failed_sources,
    per_minute,
    trend,
    vector,
)


async def test_figures(
    hass: HomeAssistant, account: MockConfigEntry, snapshot: SnapshotAssertion
) -> None:
    check_platform(hass, Platform.SENSOR, snapshot)


async def test_equal_report_stays_the_same_object(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    """A report that equals the last one is that one. Any other report is new."""
    sources = account.runtime_data.sources
    before = {name: source.data for name, source in sources.items()}
    assert len(before) > 5
    assert None not in before.values()
    requests = len(simulator.signed_requests) + len(simulator.price_requests)
    for source in sources.values():
        await source.async_refresh()
    assert len(simulator.signed_requests) + len(simulator.price_requests) > requests
    for name, source in sources.items():
        assert source.data is before[name], name
    simulator.account.add_model("qwen-long")
    simulator.account.adjust(simulator.account.today, "qwen-max", 7)
    for source in sources.values():
        await source.async_refresh()
    changed = {name for name, source in sources.items() if source.data != before[name]}
    assert {"quotas", "spend", "rates", "totals"} <= changed
    assert {name for name in sources if sources[name].data is before[name]} == (
        sources.keys() - changed
    )


@pytest.mark.parametrize("models", [[], ["qwen-max"], FOLLOWED], ids=len)
async def test_spend_by_model_adds_up(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, models: list[str]
) -> None:
    """The spend of all models adds up to that of the account, to the cent."""
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
    """Bill, balance and totals are read every 15 minutes, rates every minute."""

    def asked() -> dict[str, int]:
        kinds = [
            next((kind for kind in ("usage_type)", ":") if kind in query), request.path)
            for request in simulator.signed_requests
            for query in [request.query.get("query", "")]
        ]
        return {kind: kinds.count(kind) for kind in set(kinds)}

    before = asked()
    for _ in range(120):
        await poll(30)
    rates = "/prometheus/api/v1/query"
    assert {kind: count - before.get(kind, 0) for kind, count in asked().items()} == {
        "/modelstudio/billing/trend": 4,
        "/": 4,
        ":": 2 * 4,
        rates: 2 * 60,
        # Today and the closed day, for the estimate.
        "usage_type)": 60 + 4,
        "/tokenplan/subscription/stats": 0,
    }


async def test_month_without_a_bill_is_unknown(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """An empty bill is no failure, and its figures are unknown."""
    simulator.trend_body = {"success": True, "code": "200", "data": {}}
    await poll(15 * 60 + 1)
    for key in SPEND:
        assert state(hass, key) == "unknown"
        assert state(hass, key, FOLLOWED[0]) == "unknown"
    assert failed_sources(hass) == {}


async def test_available_data(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The AccessKey adds spend and usage to the limits."""
    await setup(hass, entry)
    assert state(hass, "available_data") == "spend_and_usage"


@pytest.mark.logs(
    *(f"Error fetching Model Studio {s}" for s in ("spend", "balance")),
    *(f"Error fetching Model Studio {s}" for s in ("assets", "token_plan")),
)
async def test_available_data_of_a_rejected_access_key(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The available data change once the AccessKey is accepted."""
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
    """The available data are unknown, not unavailable, while nothing can be read."""
    simulator.access_keys = {}
    await poll(15 * 60 + 1)
    assert state(hass, "available_data") == "limits"
    simulator.api_keys = set()
    await poll()
    assert state(hass, "available_data") == "unknown"


async def test_update_entity_polls_the_sources_of_the_figure(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
) -> None:
    """An update of the monthly spend polls `/quotas` and, with an AccessKey, a bill.

    A figure that comes from no single source is of `/quotas`.
    """
    assert await async_setup_component(hass, HOMEASSISTANT_DOMAIN, {})

    async def polled(key: str = "monthly_spend") -> tuple[list[str], list[str]]:
        simulator.forget()
        await hass.services.async_call(
            HOMEASSISTANT_DOMAIN,
            SERVICE_UPDATE_ENTITY,
            {ATTR_ENTITY_ID: entity_id(hass, key)},
            blocking=True,
        )
        await hass.async_block_till_done(wait_background_tasks=True)
        return (
            [request.path.rpartition("/")[2] for request in simulator.requests],
            [request.path.rpartition("/")[2] for request in simulator.signed_requests],
        )

    assert await polled() == (["quotas"], ["trend"])
    await reload(hass, account)
    assert await polled("available_data") == (["quotas"], [])
    hass.config_entries.async_update_entry(
        account,
        data={key: account.data[key] for key in (CONF_API_KEY, CONF_BASE_URL)},
    )
    assert await hass.config_entries.async_reload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert await polled() == (["quotas"], [])


async def test_rates_are_disabled_by_default(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Rates are disabled, as the live load is enough for most users."""
    await setup(hass, entry)
    assert state(hass, "load_pct", "qwen-max") is not None
    for key in (
        "tokens_per_minute",
        "requests_per_minute",
        "error_rate_pct",
        "throttled_calls",
    ):
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


async def test_today_without_a_bill_is_unknown(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Today's spend is unknown, and not 0, while the bill lacks today."""
    simulator.trend_body = trend("20260814", daily="1.00", monthly="2.00")
    await setup(hass, entry)
    assert state(hass, "monthly_spend") == "2.00"
    assert entity_id(hass, "daily_spend") is None


@pytest.mark.parametrize(
    "details",
    [
        [{"key": "qwen-plus", "amount": "1.00"}, {"key": OTHERS, "amount": "3.00"}],
        [{"key": "qwen-plus", "amount": "1.00"}, {"key": "qwen-max", "amount": "n/a"}],
        None,
    ],
    ids=["merged", "unreadable", "missing"],
)
async def test_model_missing_in_the_bill_of_today(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    details: Any,
) -> None:
    """If the bill of today is incomplete, a model that is missing in it is unknown."""
    body = trend("20260815", daily="4.00", monthly="9.00")
    body["data"]["resultByTime"][-1]["periodDetails"] = details
    simulator.trend_body = body
    await poll(15 * 60 + 1)
    for key, spent in zip(SPEND, ("9.00", "4.00"), strict=True):
        assert state(hass, key) == spent
        assert state(hass, key, "qwen-max") == "unknown"
        assert state(hass, f"other_models_{key}") == "unknown"
    usage = await get_usage(hass)
    assert usage["account"].keys() >= {*SPEND}
    assert usage["models"]["qwen-max"].keys().isdisjoint(SPEND)
    assert usage["account"].keys().isdisjoint(OTHER)


async def test_bill_without_days(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    hass_storage: dict[str, Any],
) -> None:
    """A bill may have a total for the month but no days."""
    simulator.trend_body = trend("20260815", daily="1.00", monthly="2.00")
    simulator.trend_body["data"]["resultByTime"] = []
    await setup(hass, entry)
    assert state(hass, "monthly_spend") == "2.00"
    assert state(hass, "daily_spend") is None
    await unload(hass, entry)
    assert hass_storage[STORED]["data"]["days"]["billed"] == {}


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
    """The load refers to the nearer of 1,200 requests and 1,000,000 tokens a minute."""

    for tokens, requests, load in (
        (500_000, 120, "50.0"),
        (100_000, 900, "75.0"),
        (1_500_000, 1, "150.0"),
        (0, 0, "0.0"),
    ):
        simulator.telemetry_body = per_minute(tokens, requests)
        await poll(61)
        assert state(hass, "load_pct", "qwen-max") == load
        assert state(hass, "tokens_per_minute", "qwen-max") == str(tokens)
        assert state(hass, "requests_per_minute", "qwen-max") == str(requests)
    assert state(hass, "load_pct", "qwen-plus") == "unknown"


async def test_failed_requests(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The error rate is unknown in a minute without requests."""
    for calls, rate, throttled in (
        ({"200": 7, "429": 2, "500": 1}, "30.0", "2"),
        ({"200": 10}, "0.0", "0"),
        ({"200": 0}, "unknown", "0"),
        ({}, "unknown", "unknown"),
    ):
        simulator.telemetry_body = vector(
            *(
                ({"model": "qwen-max", "status_code": status}, number)
                for status, number in calls.items()
            )
        )
        await poll(61)
        assert state(hass, "error_rate_pct", "qwen-max") == rate
        assert state(hass, "throttled_calls", "qwen-max") == throttled


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


async def test_get_usage_has_what_the_access_key_reads(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    figures = await get_usage(hass, model="qwen-max")
    assert figures["account"]["monthly_spend"] == {
        "value": float(str(state(hass, "monthly_spend"))),
        "unit": "CNY",
    }
    assert figures["models"]["qwen-max"]["tokens_per_minute"] == {
        "value": int(str(state(hass, "tokens_per_minute", "qwen-max"))),
        "unit": "tokens/min",
    }
