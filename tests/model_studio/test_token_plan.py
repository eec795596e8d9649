"""The Token Plan for teams."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiohttp
from alibabacloud_modelstudio20260210 import models as vendor  # type: ignore[import-untyped]
from alibabacloud_modelstudio20260210.client import Client  # type: ignore[import-untyped]
from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.model_studio import (
    InvalidAnswerError,
    PermissionDeniedError,
    Seats,
    TokenPlan,
    TokenPlanClient,
)
from custom_components.alibaba_cloud.model_studio.token_plan import parse_plan
from tests.simulator import Simulator
from tests.simulator.assets import subscription
from tests.vendor import client

from .common import ANYTHING, KEY

pytestmark = [
    pytest.mark.usefixtures("socket_enabled"),
    pytest.mark.filterwarnings("ignore:It looks like `register_random`"),
    # Raised by the vendor's SDK.
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]

REFRESH = datetime(2026, 9, 11, 16, tzinfo=UTC)
FIELDS = (
    *("SeatType", "SeatRefreshTime", "TotalSeats", "AssignedSeats"),
    *("SeatCredits", "SeatRemainingCredits"),
)
"""The fields that the client reads."""


@pytest.fixture
def simulator(simulator: Simulator) -> Simulator:
    """Return the service with an account that has a plan and a fixed clock."""
    simulator.account.has_token_plan = True
    return simulator


@pytest.fixture
def plans(session: aiohttp.ClientSession, simulator: Simulator) -> TokenPlanClient:
    """Return a client of the simulator."""
    return TokenPlanClient(session, endpoint=simulator.openapi_url, access_key=KEY)


def plan_of(*items: Any) -> TokenPlan:
    """Return the plan in an answer with these seats."""
    return parse_plan({"Success": True, "Data": {"Items": [*items]}})


async def test_plan(simulator: Simulator, plans: TokenPlanClient) -> None:
    plan = await plans.get_plan()
    assert plan == TokenPlan(
        starts=datetime(2026, 7, 13, 16, tzinfo=UTC),
        ends=REFRESH,
        seats=(
            Seats(
                type="standard",
                total=Decimal(6),
                assigned=Decimal(5),
                credits=Decimal(150_000),
                credits_left=Decimal("41250.5"),
                refresh=REFRESH,
            ),
            Seats(
                type="pro",
                total=Decimal(2),
                assigned=Decimal(2),
                credits=Decimal(100_000),
                credits_left=Decimal(100_000),
                refresh=REFRESH,
            ),
        ),
    )
    assert plan.total_seats == 8
    assert plan.assigned_seats == 7
    assert plan.credits == 250_000
    assert plan.credits_left == Decimal("141250.5")
    assert plan.credits_used_pct == 43.4998
    assert plan.refresh == REFRESH
    [request] = simulator.signed_requests
    assert request.path == "/tokenplan/subscription/stats"


async def test_account_without_a_plan(
    simulator: Simulator, plans: TokenPlanClient
) -> None:
    simulator.account.has_token_plan = False
    assert await plans.get_plan() == TokenPlan()


async def test_missing_permission(simulator: Simulator, plans: TokenPlanClient) -> None:
    simulator.denied = {"GetSubscriptionStats"}
    with pytest.raises(PermissionDeniedError) as raised:
        await plans.get_plan()
    assert raised.value.action == "modelstudio:GetSubscriptionStats"


def test_example_of_the_documentation() -> None:
    """The documented refresh time may be in seconds or in milliseconds."""
    for refresh in (1_790_920_800_000, 1_790_920_800):
        plan = plan_of(
            {
                "SeatType": "standard",
                "SeatRefreshTime": refresh,
                "TotalSeats": 2,
                "AssignedSeats": 1,
                "SeatCredits": 100,
                "SeatRemainingCredits": 40,
            }
        )
        assert plan.refresh == datetime(2026, 10, 2, 6, tzinfo=UTC)
        assert plan.credits_used_pct == 60


def test_first_refresh_counts() -> None:
    plan = plan_of(
        {"SeatRefreshTime": 1_790_920_800_000},
        {"SeatRefreshTime": None},
        {"SeatRefreshTime": 1_788_328_800_000},
    )
    assert plan.refresh == datetime(2026, 9, 2, 6, tzinfo=UTC)


def test_sum_of_an_unknown_figure_is_unknown() -> None:
    plan = plan_of({"SeatCredits": 100, "TotalSeats": 1}, {"SeatCredits": "many"})
    assert (plan.credits, plan.total_seats) == (None, None)
    assert TokenPlan().credits is None


@pytest.mark.parametrize(
    ("total", "left", "used"),
    [
        (100, 0, 100),
        (100, 100, 0),
        (0, 0, None),
        (100, None, None),
        (None, 100, None),
        (100, 101, None),
    ],
)
def test_used_credits(total: Any, left: Any, used: float | None) -> None:
    plan = plan_of({"SeatCredits": total, "SeatRemainingCredits": left})
    assert plan.credits_used_pct == used


@pytest.mark.parametrize("data", [7, "none", [{}], {"Items": {}}, {"Items": "two"}])
def test_invalid_answer(data: Any) -> None:
    with pytest.raises(InvalidAnswerError):
        parse_plan({"Success": True, "Data": data})


def test_empty_answer() -> None:
    """An empty answer is an error and does not mean that there is no plan."""
    with pytest.raises(InvalidAnswerError):
        parse_plan({})


def test_seats_of_the_wrong_type() -> None:
    assert plan_of(None, 7, "standard", []) == TokenPlan()
    assert parse_plan({"Data": {}}) == TokenPlan()
    assert plan_of({field: [] for field in FIELDS}) == TokenPlan(seats=(Seats(),))


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), ANYTHING), max_size=3))
def test_any_seats_are_parsed(items: list[dict[str, Any]]) -> None:
    plan = plan_of(*items)
    assert len(plan.seats) == len(items)
    used = plan.credits_used_pct
    assert used is None or used >= 0


async def test_vendor_reads_the_simulator(simulator: Simulator) -> None:
    """The vendor's SDK reads the plan of the simulator, or its absence."""
    request = vendor.GetSubscriptionStatsRequest()
    body = (
        await client(
            Client, simulator, access_key_secret=KEY.secret
        ).get_subscription_stats_async(request)
    ).body
    assert body.success
    assert body.data.to_map() == subscription(simulator.account)
    simulator.account.has_token_plan = False
    body = (
        await client(
            Client, simulator, access_key_secret=KEY.secret
        ).get_subscription_stats_async(request)
    ).body
    assert body.data is None
