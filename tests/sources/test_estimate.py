"""What today's usage costs at list prices, before it is billed."""

from decimal import Decimal
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import CONF_MODELS
from homeassistant.core import HomeAssistant
from tests.common import Poll, attributes, entity_id, get_usage, reload, setup, state
from tests.simulator import Fault, Simulator
from tests.simulator.prices import price_of

from .common import vector

KEYS = ("estimated_daily_spend", "estimate_to_bill_ratio")
HOUR = 3600
DAY = 24 * HOUR
LONG = 15 * 60 + 1


@pytest.fixture
def entry(entry: MockConfigEntry, simulator: Simulator) -> MockConfigEntry:
    """Return an account that pays in USD, and so at prices in USD."""
    simulator.account.currency = "USD"
    return entry


def shown(hass: HomeAssistant) -> tuple[str | None, ...]:
    """Return the estimates of the account and of a model."""
    return (
        state(hass, "estimated_daily_spend"),
        state(hass, "daily_spend_estimate", "qwen-max"),
    )


def day_queries(simulator: Simulator) -> int:
    """Return how often the usage of a day was asked for."""
    return sum(
        "usage_type)" in request.query.get("query", "")
        for request in simulator.signed_requests
    )


def usage(**kinds: int) -> dict[str, Any]:
    """Return an answer with what qwen-max has used."""
    return vector(
        *(
            ({"model": "qwen-max", "usage_type": kind}, amount)
            for kind, amount in kinds.items()
        )
    )


async def test_figures(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Today's tokens at their prices."""
    simulator.telemetry_body = usage(input_tokens=1_000_000, output_tokens=500_000)
    await poll(61)
    amount = 1_000_000 * price_of("qwen-max", "input_token")
    amount += 500_000 * price_of("qwen-max", "output_token")
    assert [Decimal(str(figure)) for figure in shown(hass)] == [amount, amount]
    for key, model in (
        ("estimated_daily_spend", None),
        ("daily_spend_estimate", "qwen-max"),
    ):
        of_it = attributes(hass, key, model)
        assert of_it["unit_of_measurement"] == "USD"
        assert of_it["last_reset"] == "2026-08-15T00:00:00+08:00"
    of_model = attributes(hass, "daily_spend_estimate", "qwen-max")
    assert (of_model["input_price"], of_model["output_price"]) == (1.6, 6.4)


async def test_real_shares(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """All models of the account count, and the one without a price is named."""
    simulator.account.add_model("my-model", weight=0.2)
    await poll(61)
    coverage = attributes(hass, "estimated_daily_spend")
    assert coverage["models_without_price"] == ["my-model", "text-embedding-v4"]
    # 0.04 of the tokens are of the embedding, of which no output has a price.
    assert coverage["share_priced"] == pytest.approx(
        100 * (0.96 + 0.04 * 0.7) / 1.2, abs=0.001
    )
    account_total, of_model = (Decimal(str(figure)) for figure in shown(hass))
    assert account_total > of_model > 0


async def test_ratio(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The estimate of the last day that is billed completely, compared with its bill."""
    await poll(LONG)
    assert attributes(hass, "estimate_to_bill_ratio")["day"] == "2026-08-14"
    before = Decimal(str(state(hass, "estimate_to_bill_ratio")))
    day = simulator.account.today.replace(day=14)
    billed = simulator.account.spend_on(day)
    simulator.account.adjust(day, "qwen-max", billed)
    await poll(LONG)
    after = Decimal(str(state(hass, "estimate_to_bill_ratio")))
    assert after * 2 == pytest.approx(before, rel=Decimal("0.0001"))


@pytest.mark.logs(
    "Error fetching Model Studio spend", "Error fetching Model Studio balance"
)
async def test_prices_of_an_unknown_currency(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """At a host that is not the vendor's, they are in that of bill and balance."""
    simulator.account.currency = "CNY"
    simulator.denied = {"GetBillingTrend", "QueryAccountBalance"}
    await setup(hass, entry)
    await poll(LONG)
    assert day_queries(simulator)
    assert {entity_id(hass, key) for key in KEYS} == {None}
    assert entity_id(hass, "daily_spend_estimate", "qwen-max") is None
    simulator.denied = set()
    await poll(LONG)
    for key, model in (
        ("estimated_daily_spend", None),
        ("daily_spend_estimate", "qwen-max"),
    ):
        assert attributes(hass, key, model)["unit_of_measurement"] == "CNY"


async def test_host_without_prices(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Without prices, the usage of the day is not asked for."""
    simulator.fail(Fault.NOT_FOUND, at="prices")
    await setup(hass, entry)
    await poll(LONG)
    assert day_queries(simulator) == 0
    assert {entity_id(hass, key) for key in KEYS} == {None}


@pytest.mark.logs("Error fetching Model Studio prices")
async def test_prices_that_were_never_read(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """While they can't be read, the usage of the day is not asked for."""
    simulator.fail(Fault.SERVER_ERROR, at="prices")
    await setup(hass, entry)
    before = day_queries(simulator)
    for _ in range(3):
        await poll(LONG)
    assert day_queries(simulator) == before
    assert {entity_id(hass, key) for key in KEYS} == {None}
    simulator.recover()
    await poll(3600)
    await poll(LONG)
    assert day_queries(simulator) > before
    for key in KEYS:
        assert Decimal(str(state(hass, key))) > 0


async def test_intervals(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Today's usage is read every minute, that of the closed day every 15 minutes."""
    await poll(61)
    before = day_queries(simulator)
    for _ in range(60):
        await poll(60)
    assert day_queries(simulator) == before + 60 + 4


@pytest.mark.logs("Error fetching Model Studio data")
async def test_prices_that_are_read_after_the_usage(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The usage of the day is read before, so the estimate is shown with the prices."""
    simulator.fail(Fault.SERVER_ERROR)
    simulator.forget()
    await reload(hass, account)
    assert simulator.price_requests == []
    assert shown(hass) == ("unavailable", "unavailable")
    read = day_queries(simulator)
    assert read > 0
    simulator.recover()
    await poll()
    assert day_queries(simulator) == read
    assert all(Decimal(str(figure)) > 0 for figure in shown(hass))


@pytest.mark.logs("Error fetching Model Studio prices")
async def test_prices_fail(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The estimate goes on with the last prices."""
    await poll(61)
    simulator.fail(Fault.SERVER_ERROR, at="prices")
    await poll(DAY)
    assert account.runtime_data.failed_sources.keys() == {"prices"}
    simulator.telemetry_body = usage(input_tokens=1_000_000)
    await poll(61)
    assert shown(hass) == ("1.6000", "1.6000")
    assert state(hass, "estimate_to_bill_ratio") not in (None, "unknown")


@pytest.mark.logs("Error fetching Model Studio prices")
async def test_prices_that_are_lost(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Without any prices, the estimate is unavailable, like with any other source."""
    simulator.fail(Fault.SERVER_ERROR, at="prices")
    await reload(hass, account)
    await poll(61)
    assert shown(hass) == ("unavailable", "unavailable")
    assert state(hass, "daily_spend") not in ("unavailable", "unknown")
    simulator.recover()
    await poll(HOUR)
    await poll(61)
    assert "unavailable" not in shown(hass)


@pytest.mark.logs("Error fetching Model Studio rates")
async def test_prometheus_fails(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    await poll(61)
    simulator.fail(Fault.SERVER_ERROR, at="prometheus")
    await poll(61)
    assert shown(hass) == ("unavailable", "unavailable")
    simulator.recover()
    await poll(61)
    assert "unavailable" not in shown(hass)


async def test_new_day(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    freezer: FrozenDateTimeFactory,
) -> None:
    """At midnight (UTC+8), the estimate starts again with the day."""
    simulator.telemetry_body = usage(input_tokens=1_000_000)
    await poll(61)
    freezer.move_to("2026-08-15 15:59:30+00:00")
    await poll(0)
    assert "unknown" not in shown(hass)
    await poll(45)
    assert shown(hass) == ("unknown", "unknown")
    assert "estimated_daily_spend" not in (await get_usage(hass))["account"]
    simulator.telemetry_body = usage(input_tokens=500_000)
    await poll(100)
    assert [Decimal(str(figure)) for figure in shown(hass)] == [Decimal("0.8")] * 2
    last_reset = attributes(hass, "estimated_daily_spend")["last_reset"]
    assert last_reset == "2026-08-16T00:00:00+08:00"


async def test_get_usage(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    simulator.telemetry_body = usage(input_tokens=1_000_000)
    await poll(61)
    figures = await get_usage(hass, model="qwen-max")
    expected = {"value": 1.6, "unit": "USD"}
    coverage = {"models_without_price": [], "share_priced": 100.0}
    assert figures["account"]["estimated_daily_spend"] == expected | coverage
    prices = {"input_price": 1.6, "output_price": 6.4}
    assert figures["models"]["qwen-max"]["daily_spend_estimate"] == expected | prices


async def test_balance_lasts_until(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """What is not billed yet is no longer there, as far as it will be billed."""
    hass.config_entries.async_update_entry(entry, options={CONF_MODELS: ["qwen-max"]})
    await setup(hass, entry)
    await poll(LONG)
    before = state(hass, "balance_lasts_until")
    assert before is not None
    simulator.telemetry_body = usage(output_tokens=1_000_000_000)
    await poll(61)
    assert state(hass, "balance_lasts_until") == "2026-08-15" < before
