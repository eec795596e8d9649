"""Coupons, cards, savings plans, resource packages and the Token Plan for teams."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import DOMAIN
from homeassistant.const import CONF_REGION, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from tests.common import Poll, attributes, entity_id, get_usage, setup, state
from tests.simulator import Fault, Simulator
from tests.simulator.openapi import ASSET_OPERATIONS

from .common import failed_sources, issues, reauth_steps

SIX_HOURS = 6 * 3600 + 1
HOUR = 3600 + 1
ASSETS = {
    "coupons_balance": "1060.50",
    "prepaid_cards_balance": "150.00",
    "savings_plans_balance": "320.25",
    "resource_packages_left": "250000",
    "next_expiry": "2026-09-14T16:00:00+00:00",
}
PLAN = {
    "plan_credits": "250000",
    "plan_credits_left": "141250.5",
    "plan_credits_used_pct": "43.4998",
    "plan_credits_refresh": "2026-09-11T16:00:00+00:00",
    "plan_ends": "2026-09-11T16:00:00+00:00",
    "plan_seats": "8",
}
FIGURES = {"assets": ASSETS, "token_plan": PLAN}


@pytest.fixture
def entry(entry: MockConfigEntry, simulator: Simulator) -> MockConfigEntry:
    """Return an account with assets and a Token Plan."""
    simulator.account.has_assets = True
    simulator.account.has_token_plan = True
    return entry


def states(hass: HomeAssistant, *sources: str) -> dict[str, str | None]:
    """Return the states of the figures of these sources."""
    return {key: state(hass, key) for source in sources for key in FIGURES[source]}


def requests(simulator: Simulator) -> list[str]:
    """Return the operations that were requested for assets and plans."""
    return [
        action
        for request in simulator.signed_requests
        if (action := request.headers.get("x-acs-action"))
        in {*ASSET_OPERATIONS, "GetSubscriptionStats"}
    ]


async def test_figures(hass: HomeAssistant, account: MockConfigEntry) -> None:
    assert states(hass, "assets", "token_plan") == ASSETS | PLAN
    for key in ("coupons_balance", "prepaid_cards_balance", "savings_plans_balance"):
        assert attributes(hass, key)["unit_of_measurement"] == "CNY"
    packages = attributes(hass, "resource_packages_left")
    assert packages["unit_of_measurement"] == "Tokens"
    expiry = attributes(hass, "next_expiry")
    assert {key: expiry[key] for key in ("kind", "amount", "currency", "unit")} == {
        "kind": "coupon",
        "amount": 60.5,
        "currency": "CNY",
        "unit": None,
    }
    seats = attributes(hass, "plan_seats")
    assert seats["assigned"] == 7
    assert seats["by_type"] == {
        "standard": {
            "seats": 6,
            "assigned": 5,
            "credits": 150_000,
            "credits_left": 41_250.5,
        },
        "pro": {
            "seats": 2,
            "assigned": 2,
            "credits": 100_000,
            "credits_left": 100_000,
        },
    }


async def test_seats_of_the_same_type(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """They add up, as the figures of all seats do. A sum with an unknown part is unknown."""
    items: list[dict[str, Any]] = [
        {"SeatType": "pro", "TotalSeats": 2, "AssignedSeats": 1, "SeatCredits": 100},
        {"SeatType": "max", "TotalSeats": 1, "AssignedSeats": 1, "SeatCredits": 500},
        {"SeatType": "pro", "TotalSeats": 3, "AssignedSeats": 3, "SeatCredits": 150},
        {"TotalSeats": 4, "AssignedSeats": 0},
    ]
    items[0]["SeatRemainingCredits"] = 50
    items[1]["SeatRemainingCredits"] = 400
    simulator.token_plan_body = {"Success": True, "Data": {"Items": items}}
    await setup(hass, entry)
    assert state(hass, "plan_seats") == "10"
    seats = attributes(hass, "plan_seats")
    assert seats["assigned"] == 5
    assert seats["by_type"] == {
        "pro": {"seats": 5, "assigned": 4, "credits": 250, "credits_left": None},
        "max": {"seats": 1, "assigned": 1, "credits": 500, "credits_left": 400},
    }


async def test_account_without_them_has_no_entities(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    simulator.account.has_assets = False
    simulator.account.has_token_plan = False
    await setup(hass, entry)
    assert {entity_id(hass, key) for key in ASSETS | PLAN} == {None}
    assert failed_sources(hass) == {}


async def test_package_that_expires_next(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    simulator.assets_bodies = {
        action: {"Success": True}
        for action in ASSET_OPERATIONS
        if action != "QueryResourcePackageInstances"
    }
    await setup(hass, entry)
    expiry = attributes(hass, "next_expiry")
    assert expiry["kind"] == "resource_package"
    assert (expiry["amount"], expiry["currency"]) == (250_000, None)
    assert expiry["unit"] == "Tokens"


async def test_old_coupons_make_no_entity(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """An entity is added with the first usable coupon and is 0 after the last one."""

    def coupons(status: str) -> dict[str, Any]:
        row = {"Balance": "5.00", "Status": status}
        return {"Success": True, "Data": {"CashCoupon": [row]}}

    simulator.assets_bodies["QueryCashCoupons"] = coupons("Expired")
    await setup(hass, entry)
    assert entity_id(hass, "coupons_balance") is None
    for status, shown in (("Available", "5.00"), ("Expired", "0")):
        simulator.assets_bodies["QueryCashCoupons"] = coupons(status)
        await poll(SIX_HOURS)
        assert state(hass, "coupons_balance") == shown


async def test_coupon_expires_between_two_polls(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Expired coupons stop counting within an hour, even if they are still listed."""
    simulator.assets_bodies["QueryCashCoupons"] = {
        "Success": True,
        "Data": {
            "CashCoupon": [{"Balance": "5.00", "ExpiryTime": "2026-08-15T18:59:00Z"}]
        },
    }
    await poll(SIX_HOURS)
    assert state(hass, "coupons_balance") == "5.00"
    assert attributes(hass, "next_expiry")["amount"] == 5
    before = len(requests(simulator))
    await poll(3599)
    assert len(requests(simulator)) == before
    assert state(hass, "coupons_balance") == "0"
    assert attributes(hass, "next_expiry")["kind"] == "savings_plan"


async def test_intervals(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Assets and plan are read every six hours with five requests in total."""
    before = len(requests(simulator))
    for _ in range(11):
        await poll(30 * 60)
    assert len(requests(simulator)) == before
    await poll(30 * 60 + 1)
    assert len(requests(simulator)) == before + 5


@pytest.mark.parametrize("service", FIGURES)
async def test_each_fails_alone(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    request: pytest.FixtureRequest,
    service: Any,
) -> None:
    """A failing service affects only its own figures and is polled again hourly."""
    request.applymarker(pytest.mark.logs(f"Error fetching Model Studio {service}"))
    [other] = FIGURES.keys() - {service}
    simulator.fail(Fault.SERVER_ERROR, at=service)
    await poll(SIX_HOURS)
    assert failed_sources(hass).keys() == {service}
    assert set(states(hass, service).values()) == {STATE_UNAVAILABLE}
    assert states(hass, other) == FIGURES[other]
    assert state(hass, "available_balance") not in (None, STATE_UNAVAILABLE)
    assert state(hass, "access_key_problem") == "off"
    simulator.recover()
    await poll(HOUR)
    assert failed_sources(hass) == {}
    assert states(hass, service) == FIGURES[service]


@pytest.mark.logs("Error fetching Model Studio assets")
async def test_assets_without_permission_are_an_issue(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Assets share the issue and the permission of the balance."""
    simulator.denied = {*ASSET_OPERATIONS}
    await setup(hass, entry)
    assert state(hass, "access_key_problem") == "on"
    assert issues(hass) == set()
    await poll(HOUR)
    assert issues(hass) == {"balance_failing"}
    issue = ir.async_get(hass).async_get_issue(DOMAIN, "balance_failing_account")
    assert issue is not None
    assert issue.translation_placeholders is not None
    assert issue.translation_placeholders["permission"] == "AliyunBSSReadOnlyAccess"
    simulator.denied = set()
    await poll(HOUR)
    assert issues(hass) == set()
    assert states(hass, "assets") == ASSETS


async def test_one_kind_without_permission(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """What can't be read is unknown, and not 0. The other kinds are read."""
    simulator.denied = {"QueryCashCoupons"}
    await poll(SIX_HOURS)
    assert failed_sources(hass) == {}
    shown = states(hass, "assets")
    assert shown.pop("coupons_balance") == "unknown"
    assert shown.items() < {**ASSETS, "next_expiry": shown["next_expiry"]}.items()
    assert attributes(hass, "next_expiry")["kind"] == "savings_plan"


@pytest.mark.logs("Error fetching Model Studio assets")
async def test_passing_error_of_one_kind(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """It does not make another asset the next one to expire."""
    simulator.fail(Fault.SERVER_ERROR, at="assets", times=1)
    await poll(SIX_HOURS)
    assert failed_sources(hass).keys() == {"assets"}
    assert set(states(hass, "assets").values()) == {STATE_UNAVAILABLE}
    await poll(HOUR)
    assert failed_sources(hass) == {}
    assert states(hass, "assets") == ASSETS


async def test_token_plan_without_permission_is_no_failure(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The permission for the plan is optional; once granted, the plan is shown."""
    simulator.denied = {"GetSubscriptionStats"}
    await setup(hass, entry)
    for _ in range(2):
        assert {entity_id(hass, key) for key in PLAN} == {None}
        assert failed_sources(hass) == {}
        assert state(hass, "access_key_problem") == "off"
        assert issues(hass) == set()
        await poll(SIX_HOURS)
    simulator.denied = set()
    await poll(SIX_HOURS)
    assert states(hass, "token_plan") == PLAN


@pytest.mark.logs("Error fetching Model Studio token_plan")
async def test_failing_token_plan_has_no_issue(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    simulator.fail(Fault.SERVER_ERROR, at="token_plan")
    await poll(SIX_HOURS)
    for _ in range(3):
        await poll(HOUR)
    assert issues(hass) == set()


async def test_subscription_that_is_over(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    simulator.account.has_token_plan = False
    await poll(SIX_HOURS)
    assert set(states(hass, "token_plan").values()) == {"unknown"}
    assert attributes(hass, "plan_seats")["by_type"] == {}


@pytest.mark.parametrize(
    ("region", "exists"),
    [("cn-beijing", True), ("ap-southeast-1", True), ("eu-central-1", False)],
)
async def test_token_plan_is_asked_for_in_two_regions(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    region: str,
    exists: bool,
) -> None:
    hass.config_entries.async_update_entry(
        entry, data={**entry.data, CONF_REGION: region}
    )
    await setup(hass, entry)
    assert ("GetSubscriptionStats" in requests(simulator)) is exists
    assert (entity_id(hass, "plan_credits") is not None) is exists


async def test_operation_that_is_not_applicable_survives_a_reload(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """An operation that is not applicable is not requested after a reload."""
    simulator.not_applicable = {"QuerySavingsPlansInstance"}
    await poll(SIX_HOURS)
    assert state(hass, "savings_plans_balance") == "unknown"
    simulator.signed_requests.clear()
    assert await hass.config_entries.async_reload(account.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    await poll(SIX_HOURS)
    assert "QueryCashCoupons" in requests(simulator)
    assert "QuerySavingsPlansInstance" not in requests(simulator)
    assert state(hass, "coupons_balance") == ASSETS["coupons_balance"]


async def test_balance_is_read_before_the_assets(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    """The balance is read first, as it finds the site of the account."""
    actions = [
        request.headers.get("x-acs-action") for request in simulator.signed_requests
    ]
    assert actions.index("QueryAccountBalance") < actions.index("QueryCashCoupons")


@pytest.mark.parametrize("service", FIGURES)
async def test_other_source_rejects_the_access_key(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    request: pytest.FixtureRequest,
    service: Any,
) -> None:
    """A reauth flow starts if any of the services rejects the AccessKey."""
    request.applymarker(pytest.mark.logs(f"Error fetching Model Studio {service}"))
    simulator.fail(Fault.UNAUTHORIZED, at=service)
    await poll(SIX_HOURS)
    assert reauth_steps(hass) == ["reauth_access_key"]
    simulator.recover()
    await poll(HOUR)
    assert reauth_steps(hass) == []


async def test_get_usage(hass: HomeAssistant, account: MockConfigEntry) -> None:
    figures = (await get_usage(hass))["account"]
    assert figures["coupons_balance"] == {"value": 1060.5, "unit": "CNY"}
    assert figures["resource_packages_left"] == {"value": 250_000.0, "unit": "Tokens"}
    assert figures["next_expiry"] == {
        "value": ASSETS["next_expiry"],
        "kind": "coupon",
        "amount": 60.5,
        "currency": "CNY",
    }
    assert figures["plan_credits_left"] == {"value": 141_250.5, "unit": "credits"}
    assert figures["plan_seats"]["value"] == 8.0
    assert figures["plan_seats"]["by_type"]["pro"]["credits_left"] == 100_000
