"""Coupons, cards, savings plans and resource packages."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
import logging
from typing import Any

import aiohttp
from alibabacloud_bssopenapi20171214 import models as vendor  # type: ignore[import-untyped]
from alibabacloud_bssopenapi20171214.client import Client  # type: ignore[import-untyped]
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException  # type: ignore[import-untyped]
from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountError,
    AssetKind,
    AssetsClient,
    AuthenticationError,
    BalanceClient,
    InvalidAnswerError,
    ModelStudioError,
    PermissionDeniedError,
    RateLimitError,
)
from custom_components.alibaba_cloud.model_studio.assets import _OPERATIONS, rows_of
from tests.simulator import Account, Fault, Simulator
from tests.simulator.assets import (
    cash_coupons,
    prepaid_cards,
    resource_packages,
    savings_plans,
)
from tests.simulator.faults import Refusal
from tests.simulator.openapi import ASSET_OPERATIONS, rpc_answer
from tests.vendor import client

from .common import ANYTHING, KEY, NOW

pytestmark = [
    pytest.mark.usefixtures("socket_enabled"),
    pytest.mark.filterwarnings("ignore:It looks like `register_random`"),
    # Raised by the vendor's SDK.
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]

OPERATIONS = {operation.action: operation for operation in _OPERATIONS}
VOUCHERS = ("QueryCashCoupons", "QueryPrepaidCards")
FIELDS = (
    *("ApplicableProducts", "ApplicableScenarios", "Balance", "CommodityCode"),
    *("Currency", "EffectiveTime", "EndTime", "EndTimestamp", "ExpiryTime"),
    *("RemainingAmount", "RemainingAmountUnit", "RestPoolValue", "StartTime"),
    *("StartTimestamp", "Status"),
)
"""The fields that the client reads."""


@pytest.fixture
def simulator(simulator: Simulator) -> Simulator:
    """Return the service with an account that has assets and a fixed clock."""
    simulator.account.has_assets = True
    return simulator


@pytest.fixture
def refused() -> set[tuple[str, str]]:
    """Return the set of rejected operations, empty at first."""
    return set()


@pytest.fixture
def assets(
    session: aiohttp.ClientSession, simulator: Simulator, refused: set[tuple[str, str]]
) -> AssetsClient:
    """Return a client of the simulator."""
    return AssetsClient(
        session,
        endpoints=[simulator.openapi_url],
        refused=refused,
        access_key=KEY,
    )


def actions(simulator: Simulator) -> list[str]:
    """Return the requested operations, and clear the requests."""
    found = [request.headers["x-acs-action"] for request in simulator.signed_requests]
    simulator.signed_requests.clear()
    return found


def day(month: int, number: int, *, year: int = 2026) -> datetime:
    """Return the start of a day in UTC+8."""
    return datetime(year, month, number, tzinfo=UTC) - timedelta(hours=8)


async def test_assets(simulator: Simulator, assets: AssetsClient) -> None:
    """Assets for Model Studio are returned; those for other products are not."""
    found = await assets.get_assets()
    assert [
        (asset.kind, asset.amount, asset.unit, asset.expires, asset.is_active)
        for asset in found
    ] == [
        ("coupon", Decimal("60.50"), None, day(9, 15), True),
        ("coupon", Decimal("1000.00"), None, day(10, 20), True),
        ("coupon", Decimal("20.00"), None, day(7, 31), False),
        ("prepaid_card", Decimal("150.00"), None, day(4, 23, year=2027), True),
        ("savings_plan", Decimal("320.25"), "CNY", day(9, 20), True),
        ("resource_package", Decimal(250_000), "Tokens", day(10, 30), True),
    ]
    assert actions(simulator) == [*ASSET_OPERATIONS]


async def test_account_without_assets(
    simulator: Simulator, assets: AssetsClient
) -> None:
    simulator.account.has_assets = False
    assert await assets.get_assets() == ()
    simulator.assets_bodies = {action: {"Success": True} for action in OPERATIONS}
    assert await assets.get_assets() == ()


@pytest.mark.parametrize(
    ("total", "requests"), [(0, 1), (19, 1), (20, 2), (21, 2), (60, 4)]
)
async def test_pages(
    simulator: Simulator, assets: AssetsClient, total: int, requests: int
) -> None:
    """All pages are read, each package once."""
    simulator.account.resource_packages = total
    packages = [
        asset.amount
        for asset in await assets.get_assets()
        if asset.kind is AssetKind.RESOURCE_PACKAGE
    ]
    assert packages == [250_000 + number for number in range(total)]
    assert actions(simulator).count("QueryResourcePackageInstances") == requests


async def test_pages_that_repeat(simulator: Simulator, assets: AssetsClient) -> None:
    """Paging ends after the second request if the service repeats a page."""
    simulator.account.resource_packages = 50
    page = resource_packages(simulator.account, {"ProductCode": "sfm"})
    simulator.assets_bodies["QueryResourcePackageInstances"] = rpc_answer(page, "id")
    assert len(await assets.get_assets()) == 5 + 20
    assert actions(simulator).count("QueryResourcePackageInstances") == 2


async def test_row_that_moves_to_the_next_page(
    simulator: Simulator, assets: AssetsClient
) -> None:
    """A new row that is listed first moves another one, which counts once."""
    simulator.account.resource_packages = 30

    def shifted(query: Any) -> Any:
        every = {"ProductCode": "sfm", "PageSize": "100"}
        rows = resource_packages(simulator.account, every)["Instances"]["Instance"]
        first = (int(query["PageNum"]) - 1) * 20
        page = rows[max(first - 1, 0) :][:20]
        return rpc_answer({"Instances": {"Instance": page}}, "id")

    simulator.assets_bodies["QueryResourcePackageInstances"] = shifted
    amounts = [
        asset.amount
        for asset in await assets.get_assets()
        if asset.kind is AssetKind.RESOURCE_PACKAGE
    ]
    assert amounts == [250_000 + number for number in range(30)]


@pytest.mark.parametrize("action", ASSET_OPERATIONS)
async def test_equal_rows_of_a_page(
    simulator: Simulator, assets: AssetsClient, action: str
) -> None:
    """Two assets may be alike."""
    simulator.assets_bodies = {
        each: {"Success": True} for each in ASSET_OPERATIONS if each != action
    }
    row: dict[str, Any] = {"CommodityCode": "sfm_plan", "Balance": "1.00"}
    data: Any = [row, row]
    for name in reversed(OPERATIONS[action].path):
        data = {name: data}
    simulator.assets_bodies[action] = rpc_answer(data, "id")
    twice = await assets.get_assets()
    assert len(twice) == 2
    assert twice[0] == twice[1]


async def test_pages_that_never_end(simulator: Simulator, assets: AssetsClient) -> None:
    def endless(query: Any) -> Any:
        row = {"CommodityCode": "sfm_plan", "RestPoolValue": query["PageNum"]}
        return rpc_answer({"Items": [row] * 20}, "id")

    simulator.assets_bodies["QuerySavingsPlansInstance"] = endless
    await assets.get_assets()
    assert actions(simulator).count("QuerySavingsPlansInstance") == 50


@pytest.mark.parametrize("action", ASSET_OPERATIONS)
async def test_operation_that_is_not_applicable_is_asked_once(
    simulator: Simulator, assets: AssetsClient, action: str
) -> None:
    """An operation that is not applicable is requested once; others are still read."""
    everything = await assets.get_assets()
    simulator.not_applicable = {action}
    some = await assets.get_assets()
    assert set(some) < set(everything)
    actions(simulator)
    assert await assets.get_assets() == some
    assert action not in actions(simulator)


async def test_site_of_the_balance_is_asked(
    session: aiohttp.ClientSession,
    simulator: Simulator,
    refused: set[tuple[str, str]],
) -> None:
    """Assets use the site that the balance found among the shared endpoints."""
    async with Simulator(account=Account(clock=lambda: NOW)) as other:
        other.access_keys = simulator.access_keys
        other.balance_applicable = False
        endpoints = [other.openapi_url, simulator.openapi_url]
        balance = BalanceClient(session, endpoints=endpoints, access_key=KEY)
        assets = AssetsClient(
            session, endpoints=endpoints, refused=refused, access_key=KEY
        )
        # Before the site is known, each operation is requested once at the wrong one.
        for _ in range(2):
            assert await assets.get_assets() == ()
        assert actions(other) == [*ASSET_OPERATIONS]
        await balance.get_balance()
        assert len(await assets.get_assets()) == 6
        assert actions(other) == ["QueryAccountBalance"]
        simulator.balance_applicable = False
        with pytest.raises(AccountError):
            await balance.get_balance()
        actions(simulator)
        with pytest.raises(AccountError, match="NotApplicable"):
            await assets.get_assets()
        assert actions(simulator) == []


@pytest.mark.parametrize("action", ASSET_OPERATIONS)
async def test_missing_permission(
    simulator: Simulator,
    assets: AssetsClient,
    caplog: pytest.LogCaptureFixture,
    action: str,
) -> None:
    """Assets of the other kinds are read."""
    caplog.set_level(logging.DEBUG)
    everything = await assets.get_assets()
    simulator.denied = {action}
    some = await assets.get_assets()
    assert {asset.kind for asset in some} < {asset.kind for asset in everything}
    assert len({asset.kind for asset in some}) == len(ASSET_OPERATIONS) - 1
    assert f"{action} can't be read: " in caplog.text
    assert KEY.secret not in caplog.text
    simulator.denied = {*ASSET_OPERATIONS}
    with pytest.raises(PermissionDeniedError):
        await assets.get_assets()
    # Those that are not applicable were not read either.
    simulator.denied.remove(action)
    simulator.not_applicable = {action}
    with pytest.raises(PermissionDeniedError):
        await assets.get_assets()


@pytest.mark.parametrize("action", ASSET_OPERATIONS)
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "MissingParameter"),
        (404, "InvalidApi.NotFound"),
        (200, "InvalidParameter"),
    ],
)
async def test_refusal(
    simulator: Simulator, assets: AssetsClient, action: str, status: int, code: str
) -> None:
    """The service may never list assets of one kind. The others are read."""

    def refuse(_: Any) -> Any:
        raise Refusal(status, code, "no")

    everything = await assets.get_assets()
    simulator.assets_bodies = {action: refuse}
    some = await assets.get_assets()
    assert set(some) < set(everything)
    assert len({asset.kind for asset in some}) == len(ASSET_OPERATIONS) - 1
    simulator.assets_bodies = dict.fromkeys(ASSET_OPERATIONS, refuse)
    with pytest.raises(AccountError, match=code):
        await assets.get_assets()


@pytest.mark.parametrize("action", ASSET_OPERATIONS)
@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "InternalError"), (503, "ServiceUnavailable"), (200, "SystemBusy")],
)
async def test_failure_of_one(
    simulator: Simulator,
    assets: AssetsClient,
    refused: set[tuple[str, str]],
    action: str,
    status: int,
    code: str,
) -> None:
    """An error that may pass ends the poll: assets of its kind are not gone."""

    def fail(_: Any) -> Any:
        raise Refusal(status, code, "later")

    simulator.assets_bodies = {action: fail}
    with pytest.raises(AccountError, match=code):
        await assets.get_assets()
    assert refused == set()
    simulator.assets_bodies = {}
    assert len(await assets.get_assets()) == 6


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.SERVER_ERROR, AccountError),
        (Fault.THROTTLED, RateLimitError),
        (Fault.UNAUTHORIZED, AuthenticationError),
        (Fault.HTML, InvalidAnswerError),
    ],
)
async def test_failure_of_all(
    simulator: Simulator,
    assets: AssetsClient,
    fault: Fault,
    error: type[ModelStudioError],
) -> None:
    """An error that concerns all operations ends the poll at once."""
    simulator.fail(fault, at="assets")
    with pytest.raises(error):
        await assets.get_assets()
    assert len(actions(simulator)) == 1


async def test_one_retry_for_all_requests(
    simulator: Simulator, assets: AssetsClient
) -> None:
    simulator.fail(Fault.RESET, at="assets", times=1)
    assert len(await assets.get_assets()) == 6
    assert len(actions(simulator)) == 5


@pytest.mark.parametrize(
    ("products", "applies"),
    [
        (None, True),
        ("", True),
        (" ", True),
        ("通用", True),
        ("全部产品", True),
        ("所有云产品", True),
        ("全场通用", True),
        ("All Alibaba Cloud services", True),
        ("Universal", True),
        ("大模型服务平台百炼", True),
        ("百煉", True),
        ("ECS, Model Studio", True),
        ("Alibaba Cloud ModelStudio", True),
        ("sfm", True),
        ("DashScope", True),
        ("云服务器ECS", False),
        ("通用型云服务器", False),
        ("Object Storage Service", False),
        ("Allowlist service", False),
        ("全部产品（百炼除外）", False),
        # Names of products fill more than a text that is shown.
        (f"{'ECS, ' * 1000}Model Studio", True),
        (f"All products {', ' * 1000}except Model Studio", False),
        (f"{'ECS, ' * 5000}Model Studio", False),
        (7, False),
        ("All products except Model Studio", False),
    ],
)
def test_products(products: Any, applies: bool) -> None:
    for action in VOUCHERS:
        row = {"Balance": "1.00", "ApplicableProducts": products}
        assert (OPERATIONS[action].parse(row) is not None) is applies


@pytest.mark.parametrize(
    ("scenarios", "applies"),
    [
        (None, True),
        ("", True),
        (" ", True),
        ("阿里云按量付费账单", True),
        ("后付费", True),
        ("後付費帳單", True),
        ("Pay-As-You-Go bills", True),
        ("pay as you go", True),
        ("Postpaid", True),
        ("post-paid usage", True),
        ("通用", True),
        ("All scenarios", True),
        (f"{'新购, ' * 1000}按量付费", True),
        ("包年包月", False),
        ("预付费订单新购、续费", False),
        ("Subscription orders", False),
        ("Prepaid", False),
        (7, False),
    ],
)
def test_scenarios(scenarios: Any, applies: bool) -> None:
    """A voucher for orders only can't pay for usage."""
    for action in VOUCHERS:
        row = {"Balance": "1.00", "ApplicableScenarios": scenarios}
        assert (OPERATIONS[action].parse(row) is not None) is applies


@pytest.mark.parametrize(
    ("action", "row"),
    [
        ("QueryCashCoupons", {"EffectiveTime": "2026-08-31T16:00:00Z"}),
        ("QueryPrepaidCards", {"EffectiveTime": "2026-09-01 00:00:00"}),
        ("QuerySavingsPlansInstance", {"StartTimestamp": 1_788_192_000_000}),
        ("QuerySavingsPlansInstance", {"StartTime": "2026-09-01 00:00:00"}),
        ("QueryResourcePackageInstances", {"EffectiveTime": "2026-08-31T16:00:00Z"}),
    ],
)
def test_begin(action: str, row: dict[str, Any]) -> None:
    asset = OPERATIONS[action].parse({"CommodityCode": "sfm", **row})
    assert asset is not None
    assert asset.effective == day(9, 1)


@pytest.mark.parametrize(
    ("row", "applies"),
    [
        ({}, True),
        ({"CommodityCode": "sfm_package"}, True),
        ({"ApplicableProducts": {"Product": ["sfm"]}}, True),
        ({"ApplicableProducts": {"Product": ["oss"]}}, False),
        ({"ApplicableProducts": {"Product": ["oss " * 1000 + "sfm"]}}, True),
        ({"CommodityCode": "ossbag"}, False),
        ({"ApplicableProducts": "oss", "CommodityCode": "sfm"}, True),
    ],
)
def test_products_of_a_package(row: dict[str, Any], applies: bool) -> None:
    parsed = OPERATIONS["QueryResourcePackageInstances"].parse(row)
    assert (parsed is not None) is applies


@pytest.mark.parametrize("code", [None, "", "savingplan_common_public_cn", 7])
def test_savings_plan_for_something_else(code: Any) -> None:
    row = {"CommodityCode": code, "RestPoolValue": "1.00", "Currency": "CNY"}
    assert OPERATIONS["QuerySavingsPlansInstance"].parse(row) is None


@pytest.mark.parametrize(
    ("status", "is_active"),
    [
        ("Available", True),
        ("NORMAL", True),
        (None, True),
        ("Expired", False),
        ("Cancelled", False),
        ("LIMIT", False),
        ("RELEASE", False),
        ("whatever", False),
    ],
)
def test_status(status: str | None, is_active: bool) -> None:
    for operation in _OPERATIONS:
        asset = operation.parse({"CommodityCode": "sfm", "Status": status})
        assert asset is not None
        assert asset.is_active is is_active


def test_unknown_figures() -> None:
    """A field that is missing or of the wrong type is unknown."""
    for operation in _OPERATIONS:
        odd: Any
        for odd in (None, [], {}, True):
            row = dict.fromkeys(FIELDS, odd) | {"CommodityCode": "sfm_x"}
            del row["ApplicableProducts"], row["ApplicableScenarios"]
            asset = operation.parse(row)
            assert asset is not None
            assert (asset.amount, asset.unit) == (None, None)
            assert (asset.effective, asset.expires) == (None, None)


@pytest.mark.parametrize(
    ("text", "unit"),
    [("Tokens", "Tokens"), (" 万次 ", "万次"), ("x" * 32, "x" * 32), ("x" * 33, None)],
)
def test_units(text: str, unit: str | None) -> None:
    row = {"RemainingAmount": "1", "RemainingAmountUnit": text}
    asset = OPERATIONS["QueryResourcePackageInstances"].parse(row)
    assert asset is not None
    assert asset.unit == unit


def test_savings_plan_without_a_timestamp() -> None:
    row = {"CommodityCode": "sfm", "EndTime": "2026-09-20 00:00:00"}
    asset = OPERATIONS["QuerySavingsPlansInstance"].parse(row)
    assert asset is not None
    assert asset.expires == day(9, 20)


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
def test_any_row_is_parsed(row: dict[str, Any]) -> None:
    for operation in _OPERATIONS:
        asset = operation.parse(row)
        assert asset is None or asset.expires is None or asset.expires.tzinfo is UTC


@given(ANYTHING)
def test_any_answer_is_parsed_or_invalid(data: Any) -> None:
    for path in (("Items",), ("Instances", "Instance")):
        for answer in ({"Data": data}, {"Data": {path[0]: data}}):
            with suppress(InvalidAnswerError):
                assert all(isinstance(row, dict) for row in rows_of(answer, path))


@pytest.mark.parametrize(
    "data", [7, "none", [{}], {"Items": {"Balance": 1}}, {"Items": "none"}]
)
def test_answer_without_a_list(data: Any) -> None:
    with pytest.raises(InvalidAnswerError):
        rows_of({"Data": data}, ("Items",))


def test_empty_answer() -> None:
    """An answer without data is an error and does not mean that there are no assets."""
    with pytest.raises(InvalidAnswerError):
        rows_of({}, ("Items",))


@pytest.mark.parametrize(
    ("operation", "request_", "expected"),
    [
        ("query_cash_coupons", vendor.QueryCashCouponsRequest(), cash_coupons),
        ("query_prepaid_cards", vendor.QueryPrepaidCardsRequest(), prepaid_cards),
        (
            "query_savings_plans_instance",
            vendor.QuerySavingsPlansInstanceRequest(page_num=1, page_size=20),
            savings_plans,
        ),
        (
            "query_resource_package_instances",
            vendor.QueryResourcePackageInstancesRequest(product_code="sfm", page_num=2),
            resource_packages,
        ),
    ],
)
async def test_vendor_reads_the_simulator(
    simulator: Simulator, operation: str, request_: Any, expected: Callable[..., Any]
) -> None:
    """The vendor's SDK signs, requests and reads assets like this integration."""
    simulator.account.resource_packages = 30
    read = getattr(
        client(Client, simulator, access_key_secret=KEY.secret), f"{operation}_async"
    )
    body = (await read(request_)).body
    assert (body.code, body.success) == ("200", True)
    query = {name: str(value) for name, value in request_.to_map().items()}
    assert body.data.to_map() == expected(simulator.account, query)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        (
            "query_resource_package_instances",
            vendor.QueryResourcePackageInstancesRequest(product_code="oss"),
        ),
        (
            "query_savings_plans_instance",
            vendor.QuerySavingsPlansInstanceRequest(page_num=0),
        ),
    ],
)
async def test_vendor_is_refused(
    simulator: Simulator, operation: str, request_: Any
) -> None:
    """The simulator rejects an invalid product or page."""
    with pytest.raises(AlibabaCloudException) as raised:
        await getattr(
            client(Client, simulator, access_key_secret=KEY.secret),
            f"{operation}_async",
        )(request_)
    assert (raised.value.status_code, raised.value.code) == (400, "InvalidParameter")
