"""The precedence of figures that both the API key and the bill report."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
import re
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from tests.common import NOW, Poll, answer, attributes, setup, state
from tests.simulator import Account, Fault, Simulator

from .common import FOLLOWED, SPEND, trend


@pytest.mark.parametrize(
    ("reports", "currency", "shown_after"),
    [
        # The bill replaces the API key's spend if it has the same currency.
        ("account", "USD", "bill"),
        # A bill in another currency would be a different figure.
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
        # The counter of another source would look like a sudden usage.
        assert state(hass, "tokens_used") == STATE_UNAVAILABLE


async def test_quotas_come_first(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Spend from the API key is preferred, as the bill lags."""
    simulator.account = Account(currency="USD")
    simulator.trend_body = trend("20260815", daily="1.00", monthly="2.00")
    await setup(hass, entry)
    assert state(hass, "monthly_spend") == str(simulator.account.monthly_spend)
    assert state(hass, "daily_spend") == str(simulator.account.daily_spend)
    assert state(hass, "monthly_spend", "qwen-max") == "2.00"


async def test_bill_in_another_currency_drops_no_day(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Not even if an answer of the API key has no monthly spend."""
    simulator.account = Account(currency="CNY")
    simulator.body = answer("account")
    await setup(hass, entry)
    before = entry.runtime_data.store.days
    assert before.readings
    del simulator.body["data"]["monthly_spend"]
    await poll(15 * 60 + 1)
    days = entry.runtime_data.store.days
    assert days.currency == "USD"
    assert days.readings.keys() == before.readings.keys()
    assert days.billed == {}


@pytest.mark.logs(*["Error fetching Model Studio data"] * 2)
async def test_bill_keeps_last_reset(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """`last_reset` stays if the bill replaces the spend of the API key."""
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
        # The spend of a model comes only from the bill.
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

    # The next day starts a new daily spend.
    simulator.fail(Fault.SERVER_ERROR, at="quotas")
    freezer.move_to("2026-09-02 09:00:00+08:00")
    await poll()
    await poll(15 * 60)
    assert attributes(hass, "daily_spend")["last_reset"] == "2026-09-02T00:00:00+08:00"
    assert attributes(hass, "monthly_spend")["last_reset"] == since


@pytest.mark.logs("Error fetching Model Studio data")
async def test_bill_of_yesterday_is_not_used_for_today(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """Today's spend is unavailable until the bill includes today."""
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


@pytest.mark.logs("Error fetching Model Studio data")
async def test_bill_of_another_period_is_not_used(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The bill's monthly spend is not used if the account's billing period differs."""
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
async def test_counters_follow_the_billing_cycle(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    period: Any,
    start: str,
) -> None:
    """Counters keep their start across a restart in an outage."""

    def counted_since() -> set[datetime]:
        """Return the start of the period in the queries."""
        minutes = {
            re.findall(r"\[(\d+)ms:", request.query["query"])[0]
            for request in simulator.signed_requests
            if "sum by (model) (sum_over_time" in request.query.get("query", "")
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


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Asia/Shanghai"])
async def test_month_ends_with_the_billing_time_zone(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
    zone: str,
) -> None:
    """September's bill starts at midnight in Beijing, while it is August locally."""
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


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.logs("Error fetching Model Studio data")
async def test_a_model_with_a_device_is_none_of_the_others(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    restarts: bool,
) -> None:
    """The bill shows its spend while the API key does not list it."""
    simulator.account = Account(currency="USD")
    simulator.body = answer("account")
    hass.config_entries.async_update_entry(entry, options={})
    await setup(hass, entry)

    def shown() -> list[str | None]:
        return [
            state(hass, "monthly_spend", "qwen-max"),
            state(hass, "other_models_monthly_spend"),
        ]

    before = shown()
    assert before == ["36.57", "47.56"]
    if restarts:
        assert await hass.config_entries.async_unload(entry.entry_id)
        simulator.fail(Fault.SERVER_ERROR, at="quotas")
        await setup(hass, entry)
        assert state(hass, "status") == "error"
        assert shown() == before
        simulator.recover()
    # An answer that can be read in part only shows no model to be gone.
    simulator.body["data"]["models"][0] = None
    await poll()
    assert state(hass, "status") == "ok"
    assert shown() == before
    if not restarts:
        simulator.fail(Fault.SERVER_ERROR, at="quotas")
        await poll()
        assert shown() == before


async def test_bill_of_a_model_whose_usage_is_no_longer_read(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """It keeps its device if the API key turns to limits only, and so its spend."""
    simulator.account = Account(currency="USD", answer="limits")
    simulator.body = answer("account")
    hass.config_entries.async_update_entry(entry, options={})
    await setup(hass, entry)
    spend = state(hass, "monthly_spend", "qwen-max")
    assert spend not in (None, STATE_UNKNOWN)
    others = state(hass, "other_models_monthly_spend")
    simulator.body = None
    await poll()
    assert state(hass, "usage_pct", "qwen-max") == STATE_UNKNOWN
    assert state(hass, "monthly_spend", "qwen-max") == spend
    assert state(hass, "other_models_monthly_spend") == others
