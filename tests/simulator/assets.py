"""The prepaid assets of the account: coupons, cards, plans and packages."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

from .account import BILLING_ZONE, Account, QueryError

STANDARD_SEATS = 6
PRO_SEATS = 2
CREDITS = {"standard": 150_000, "pro": 100_000}
"""Credits per cycle of all seats of a type."""


def _moment(account: Account, day: int) -> datetime:
    """Return the start of a day; 0 is the first of the current month."""
    first = datetime.combine(account.today.replace(day=1), time(), BILLING_ZONE)
    return first + timedelta(days=day)


def _iso(account: Account, day: int) -> str:
    """Return a time in UTC, as most operations write it."""
    return f"{_moment(account, day).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _local(account: Account, day: int) -> str:
    """Return a time in the billing time zone, as some operations write it."""
    return f"{_moment(account, day):%Y-%m-%d %H:%M:%S}"


def _milliseconds(account: Account, day: int) -> int:
    """Return a time as a timestamp in milliseconds."""
    return int(_moment(account, day).timestamp() * 1000)


def _page(
    query: Mapping[str, str], rows: list[dict[str, Any]]
) -> tuple[int, int, list[dict[str, Any]]]:
    """Return the number, the size and the rows of a page.

    Raises `QueryError` if one of the parameters is invalid.
    """
    number, size = query.get("PageNum", "1"), query.get("PageSize", "20")
    for name, text, largest in (("PageNum", number, 10**6), ("PageSize", size, 300)):
        if not text.isdigit() or not 0 < int(text) <= largest:
            raise QueryError(f"The specified parameter {name} is not valid")
    start = (int(number) - 1) * int(size)
    return int(number), int(size), rows[start : start + int(size)]


def cash_coupons(account: Account, _: Mapping[str, str]) -> dict[str, Any]:
    """Return the `Data` of QueryCashCoupons."""
    if not account.has_assets:
        return {"CashCoupon": []}
    coupons = (
        ("大模型服务平台百炼", "100.00", "60.50", 45, "Available"),
        ("通用", "1,000.00", "1,000.00", 80, "Available"),
        ("云服务器ECS", "500.00", "500.00", 40, "Available"),
        ("通用", "20.00", "20.00", -1, "Expired"),
    )
    return {
        "CashCoupon": [
            {
                "CashCouponId": 34534253254325 + number,
                "CashCouponNo": f"Q-b1485def8f04{number}",
                "ApplicableProducts": products,
                "ApplicableScenarios": "阿里云按量付费账单",
                "GrantedTime": _iso(account, -30),
                "EffectiveTime": _iso(account, -30),
                "ExpiryTime": _iso(account, expiry),
                "NominalValue": value,
                "Balance": balance,
                "Status": status,
            }
            for number, (products, value, balance, expiry, status) in enumerate(coupons)
        ]
    }


def prepaid_cards(account: Account, _: Mapping[str, str]) -> dict[str, Any]:
    """Return the `Data` of QueryPrepaidCards."""
    if not account.has_assets:
        return {"PrepaidCard": []}
    return {
        "PrepaidCard": [
            {
                "PrepaidCardId": 213432432,
                "PrepaidCardNo": "Q-7edaab979fc9",
                "ApplicableProducts": "通用",
                "ApplicableScenarios": "阿里云按量付费账单",
                "GrantedTime": _local(account, -100),
                "EffectiveTime": _local(account, -100),
                "ExpiryTime": _local(account, 265),
                "NominalValue": "200.00",
                "Balance": "150.00",
                "Status": "Available",
            }
        ]
    }


def savings_plans(account: Account, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the `Data` of QuerySavingsPlansInstance.

    Raises:
        QueryError: the service rejects the page.

    """
    plans = [
        {
            "InstanceId": "spn-model-studio",
            "CommodityCode": "sfm_savingplan_public_cn",
            "SavingsType": "universal",
            "Currency": account.currency,
            "Cycle": "1:Month",
            "PoolValue": "500.00",
            "RestPoolValue": "320.25",
            "CurrentPoolValue": "500.00",
            "Utilization": "0.3595",
            "StartTime": _local(account, -20),
            "StartTimestamp": _milliseconds(account, -20),
            "EndTime": _local(account, 50),
            "EndTimestamp": _milliseconds(account, 50),
            "Status": "NORMAL",
            "Tags": [],
        },
        {
            "InstanceId": "spn-servers",
            "CommodityCode": "savingplan_common_public_cn",
            "SavingsType": "ecs",
            "Currency": account.currency,
            "PoolValue": "1.00",
            "RestPoolValue": "1.00",
            "EndTime": _local(account, 40),
            "EndTimestamp": _milliseconds(account, 40),
            "Status": "NORMAL",
            "Tags": [],
        },
    ]
    plans = plans if account.has_assets else []
    number, size, rows = _page(query, plans)
    return {
        "PageNum": number,
        "PageSize": size,
        "TotalCount": len(plans),
        "Items": rows,
    }


def resource_packages(account: Account, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the `Data` of QueryResourcePackageInstances.

    Raises:
        QueryError: the service rejects the page or the product.

    """
    if query.get("ProductCode") != "sfm":
        raise QueryError("The specified parameter ProductCode is not valid")
    packages = [
        {
            "InstanceId": f"sfm-package-{number:03}",
            "CommodityCode": "sfm_package_public_cn",
            "ApplicableProducts": {"Product": ["sfm"]},
            "PackageType": "FPT_sfm_tokens",
            "Region": "cn-beijing",
            "Remark": "大模型推理资源包",
            "DeductType": "Absolute",
            "TotalAmount": "1000000",
            "TotalAmountUnit": "Tokens",
            "RemainingAmount": str(250_000 + number),
            "RemainingAmountUnit": "Tokens",
            "EffectiveTime": _iso(account, -10),
            "ExpiryTime": _iso(account, 90 + number),
            "Status": "Available",
        }
        for number in range(account.resource_packages)
    ]
    packages = packages if account.has_assets else []
    number, size, rows = _page(query, packages)
    return {
        "HostId": "cn",
        "PageNum": str(number),
        "PageSize": str(size),
        "TotalCount": str(len(packages)),
        "Instances": {"Instance": rows},
    }


def subscription(account: Account) -> dict[str, Any] | None:
    """Return the `Data` of GetSubscriptionStats; None without a subscription."""
    if not account.has_token_plan:
        return None
    refresh = _milliseconds(account, 42)
    return {
        "SubscriptionStartTime": _milliseconds(account, -18),
        "SubscriptionEndTime": _milliseconds(account, 42),
        "Items": [
            {
                "SeatType": "standard",
                "SeatRefreshTime": refresh,
                "TotalSeats": STANDARD_SEATS,
                "AssignedSeats": STANDARD_SEATS - 1,
                "SeatCredits": CREDITS["standard"],
                "SeatRemainingCredits": 41_250.5,
            },
            {
                "SeatType": "pro",
                "SeatRefreshTime": refresh,
                "TotalSeats": PRO_SEATS,
                "AssignedSeats": PRO_SEATS,
                "SeatCredits": CREDITS["pro"],
                "SeatRemainingCredits": 100_000,
            },
        ],
    }
