"""The action that returns the spend of a range of days."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import (
    CONF_BASE_URL,
    CONF_WORKSPACE_NAMES,
    CONF_WORKSPACES,
    DOMAIN,
)
from homeassistant.const import CONF_API_KEY
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError

from .common import NOW, give_access_key, setup, state
from .simulator import Fault, Simulator
from .simulator.billing import total_on


@pytest.fixture
def entry(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> MockConfigEntry:
    """Return an account with an AccessKey that reads the bill."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator)
    return entry


async def get_spend(hass: HomeAssistant, **data: Any) -> Any:
    """Return the response of the action."""
    return await hass.services.async_call(
        DOMAIN,
        "get_spend",
        {"config_entry_id": "account", **data},
        blocking=True,
        return_response=True,
    )


@pytest.mark.parametrize("group_by", ["model", "workspace", "api_key", "business_type"])
@pytest.mark.parametrize("period", ["day", "month"])
async def test_get_spend(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    period: str,
    group_by: str,
) -> None:
    """All groups and periods add up to the bill of the account."""
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
    for part in periods:
        amounts = [Decimal(str(group["amount"])) for group in part["groups"]]
        assert sum(amounts) == Decimal(str(part["amount"]))
    assert sum(Decimal(str(part["amount"])) for part in periods) == billed
    if group_by == "model":
        assert len(periods[0]["groups"]) > 45
        assert {"qwen-max", "billed-model-40"} <= {
            group["name"] for group in periods[0]["groups"]
        }


async def test_get_spend_until_today(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    """By default, the spend is returned until today, by day and model."""
    spend = await get_spend(hass, start_date="2026-08-01")
    assert spend["total"] == float(state(hass, "monthly_spend") or 0)
    assert [part["start"] for part in spend["periods"]][-1] == "2026-08-15"
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


@pytest.mark.parametrize("period", ["day", "month"])
@pytest.mark.parametrize(
    ("start", "known"),
    [("9999-06-01", True), ("9999-12-31", True), ("9990-12-31", False)],
)
async def test_get_spend_until_the_last_day_there_is(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    period: str,
    start: str,
    known: bool,
) -> None:
    """The last possible dates are accepted, unless the range is too long."""
    await setup(hass, entry)
    dates = {"start_date": start, "end_date": "9999-12-31", "period": period}
    if known:
        assert (await get_spend(hass, **dates))["periods"] == []
    else:
        with pytest.raises(ServiceValidationError) as err:
            await get_spend(hass, **dates)
        assert err.value.translation_key == "range_too_long"


async def test_get_spend_by_default(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
) -> None:
    """The default is this month in the billing time zone; amounts are numbers."""
    # It is the first of September in Beijing.
    freezer.move_to("2026-08-31 17:00:00+00:00")
    await setup(hass, entry)
    assert [p["start"] for p in (await get_spend(hass))["periods"]] == ["2026-09-01"]

    freezer.move_to("2026-09-03 12:00:00+00:00")
    spend = await get_spend(hass)
    assert [p["start"] for p in spend["periods"]] == [
        "2026-09-01",
        "2026-09-02",
        "2026-09-03",
    ]
    assert spend["currency"] == "CNY"
    assert isinstance(spend["total"], float)
    for period in spend["periods"]:
        assert isinstance(period["amount"], float)
        assert all(isinstance(group["amount"], float) for group in period["groups"])
        assert [group["key"] for group in period["groups"] if group["key"]]


@pytest.mark.parametrize(
    ("language", "not_assigned", "others"),
    [("en", "Not assigned", "Others"), ("de", "Nicht zugeordnet", "Sonstige")],
)
async def test_get_spend_of_groups_without_a_key(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    language: str,
    not_assigned: str,
    others: str,
) -> None:
    """Groups without a key have a null key and a readable name."""
    hass.config.language = language
    hass.config_entries.async_update_entry(
        entry,
        options={
            **entry.options,
            CONF_WORKSPACES: ["ws-2"],
            CONF_WORKSPACE_NAMES: {"ws-2": "Production"},
        },
    )
    await setup(hass, entry)
    simulator.trend_body = {
        "success": True,
        "data": {
            "resultByTime": [
                {
                    "period": "20260815",
                    "total": {"amount": "10", "currency": "CNY"},
                    "periodDetails": [
                        {"key": "ws-1", "name": "Home", "amount": "2.10"},
                        {"key": "ws-2", "name": "ws-2", "amount": "2"},
                        {"key": "DIMENSION_FILTER_NULL_VALUE", "amount": "3"},
                        {"key": "-", "name": "-", "amount": "1"},
                    ],
                }
            ],
        },
    }
    spend = await get_spend(hass, group_by="workspace")
    assert spend == {
        "periods": [
            {
                "start": "2026-08-15",
                "amount": 10.0,
                "currency": "CNY",
                "groups": [
                    {"key": "ws-1", "name": "Home", "amount": 2.1},
                    {"key": "ws-2", "name": "Production", "amount": 2.0},
                    {"key": None, "name": not_assigned, "amount": 3.0},
                    {"key": None, "name": not_assigned, "amount": 1.0},
                    {"key": None, "name": others, "amount": 1.9},
                ],
            }
        ]
    }
