"""The vendor's OpenAPI: checks signatures and formats answers."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
import hmac
import re
from types import SimpleNamespace
from typing import Any, Literal

from aiohttp import web
from multidict import CIMultiDict

from .faults import ErrorForm, Fault, Manners, Refusal

type Style = Literal["ROA", "RPC"]

ALGORITHM = "ACS3-HMAC-SHA256"
LARGEST_SKEW = timedelta(minutes=15)

_AUTHORIZATION = re.compile(
    f"{ALGORITHM} Credential=([^,]+),SignedHeaders=([a-z0-9;-]+),Signature=([0-9a-f]+)"
)
_DATE = "%Y-%m-%dT%H:%M:%SZ"

# Headers that a request must have and sign.
_REQUIRED = {
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-version",
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An API operation and the permission that it needs."""

    action: str
    version: str
    style: Style
    method: str
    permission: str
    not_permitted: str


GET_BILLING_TREND = Operation(
    action="GetBillingTrend",
    version="2026-02-10",
    style="ROA",
    method="GET",
    permission="modelstudio:GetBillingTrend",
    not_permitted="NoPermission",
)
QUERY_ACCOUNT_BALANCE = Operation(
    action="QueryAccountBalance",
    version="2017-12-14",
    style="RPC",
    method="POST",
    permission="bssapi:QueryAccountBalance",
    not_permitted="NotAuthorized",
)
GET_SUBSCRIPTION_STATS = Operation(
    action="GetSubscriptionStats",
    version="2026-02-10",
    style="ROA",
    method="GET",
    permission="modelstudio:GetSubscriptionStats",
    not_permitted="NoPermission",
)
LIST_WORKSPACES = replace(
    GET_SUBSCRIPTION_STATS,
    action="ListWorkspaces",
    permission="modelstudio:ListWorkspaces",
)
INSTANCE_OPERATIONS = {
    action: Operation(
        action=action,
        version="2024-03-30",
        style="ROA",
        method="GET",
        permission=f"cms:{action}",
        not_permitted="NoPermission",
    )
    for action in ("ListPrometheusInstances", "GetPrometheusInstance")
}
ASSET_OPERATIONS = {
    action: replace(QUERY_ACCOUNT_BALANCE, action=action, permission=permission)
    for action, permission in (
        ("QueryCashCoupons", "bss:DescribeCoupons"),
        ("QueryPrepaidCards", "bss:DescrbePrepaidCards"),
        ("QuerySavingsPlansInstance", "bssapi:QuerySavingsPlansInstance"),
        ("QueryResourcePackageInstances", "bss:DescribeInstances"),
    )
}


class Gate:
    """Accepts signed requests, each nonce once."""

    def __init__(self) -> None:
        """Start without used nonces."""
        self._nonces: set[str] = set()

    def admit(
        self,
        request: web.BaseRequest,
        body: bytes,
        operation: Operation,
        *,
        access_keys: Mapping[str, str],
        inactive: Collection[str],
        denied: Collection[str],
        now: datetime,
    ) -> None:
        """Accept a request.

        Raises:
            Refusal: the signature is invalid, or the user lacks the permission.

        """
        headers = request.headers
        match = _AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
        if not match or not all(headers.get(name) for name in _REQUIRED):
            raise Refusal(
                400,
                "IncompleteSignature",
                "The request signature does not conform to Aliyun standards.",
            )
        access_key_id, names, _ = match.groups()
        _check_date(headers["x-acs-date"], now)
        if access_key_id not in access_keys:
            raise Refusal(
                404,
                "InvalidAccessKeyId.NotFound",
                "Specified access key is not found.",
            )
        if access_key_id in inactive:
            raise Refusal(
                400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled."
            )
        _check_signature(
            request, body, set(names.split(";")), access_key_id, access_keys
        )
        nonce = headers["x-acs-signature-nonce"]
        if nonce in self._nonces:
            raise Refusal(
                400,
                "SignatureNonceUsed",
                "Specified signature nonce was used already.",
            )
        self._nonces.add(nonce)
        _check_operation(request, operation)
        if operation.action in denied:
            raise _not_permitted(operation)


def _check_date(text: str, now: datetime) -> None:
    """Check the date of a signature.

    Raises `Refusal` if the date is invalid or too far from `now`.
    """
    try:
        date = datetime.strptime(text, _DATE).replace(tzinfo=UTC)
    except ValueError:
        raise Refusal(
            400,
            "InvalidTimeStamp.Format",
            "Specified time stamp or date value is not well formatted.",
        ) from None
    if abs(now - date) > LARGEST_SKEW:
        raise Refusal(
            400,
            "InvalidTimeStamp.Expired",
            "Specified time stamp or date value is expired.",
        )


def _check_signature(
    request: web.BaseRequest,
    body: bytes,
    names: set[str],
    access_key_id: str,
    access_keys: Mapping[str, str],
) -> None:
    """Check the signature of a request.

    Raises `Refusal` if the signature does not match the request and the secret, or if a
    required header is not signed.
    """
    # Imported only when needed: the import is slow, and most tests sign nothing.
    from alibabacloud_tea_openapi.utils import Utils  # type: ignore[import-untyped]

    signed = CIMultiDict(
        (name, text) for name, text in request.headers.items() if name.lower() in names
    )
    must = _REQUIRED.union(
        name.lower() for name in request.headers if name.lower().startswith("x-acs-")
    )
    digest = request.headers["x-acs-content-sha256"]
    expected: str = Utils.get_authorization(
        SimpleNamespace(
            method=request.method,
            pathname=request.rel_url.raw_path,
            query=dict(request.query),
            headers=signed,
        ),
        ALGORITHM,
        digest,
        access_key_id,
        access_keys[access_key_id],
    )
    if (
        not must <= names
        # The signature would cover only one value of a repeated parameter.
        or len(request.query) != len(set(request.query))
        or digest != sha256(body).hexdigest()
        or not hmac.compare_digest(
            request.headers["Authorization"].encode(), expected.encode()
        )
    ):
        raise Refusal(
            400,
            "SignatureDoesNotMatch",
            "Specified signature is not matched with our calculation.",
        )


def _check_operation(request: web.BaseRequest, operation: Operation) -> None:
    """Check that the signed operation is the one of the path.

    Raises `Refusal` if the method, the action or the version differs.
    """
    asked = (
        request.method,
        request.headers["x-acs-action"],
        request.headers["x-acs-version"],
    )
    if asked != (operation.method, operation.action, operation.version):
        raise Refusal(
            404,
            "InvalidAction.NotFound",
            "Specified api is not found, please check your url and method.",
        )


def _not_permitted(operation: Operation) -> Refusal:
    """Return the refusal of a user without the permission."""
    if operation.style == "RPC":
        return Refusal(
            403,
            operation.not_permitted,
            "This API is not authorized for caller.",
        )
    return Refusal(
        403,
        operation.not_permitted,
        f"You are not authorized to perform {operation.permission}.",
        {
            "AccessDeniedDetail": {
                "AuthAction": operation.permission,
                "AuthPrincipalType": "SubUser",
                "AuthPrincipalDisplayName": "home-assistant",
                "NoPermissionType": "ImplicitDeny",
                "PolicyType": "AccountLevelIdentityBasedPolicy",
            }
        },
    )


def roa_answer(data: Any, request_id: str) -> dict[str, Any]:
    """Return the answer of an operation with its own path."""
    return {
        "requestId": request_id,
        "code": "200",
        "message": "success",
        "success": True,
        "data": data,
    }


def rpc_answer(data: Any, request_id: str) -> dict[str, Any]:
    """Return the answer of an operation that a header names."""
    return {
        "Code": "200",
        "Message": "Successful!",
        "RequestId": request_id,
        "Success": True,
        "Data": data,
    }


def stats_answer(data: Any, request_id: str) -> dict[str, Any]:
    """Return the answer of GetSubscriptionStats, whose field names are capitalized.

    Without a subscription, the answer has no `Data`.
    """
    answer = {"Code": "Success", "Success": True, "RequestId": request_id}
    return answer if data is None else answer | {"Data": data}


def workspaces_answer(data: Any, request_id: str) -> dict[str, Any]:
    """Return an answer of ListWorkspaces, whose fields are beside its status."""
    return {
        "requestId": request_id,
        "code": "Success",
        "success": True,
        "httpStatusCode": 200,
        **data,
    }


def _roa_error(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """Return the error of an operation with its own path.

    The gateway capitalizes the field names. The service behind the gateway does not,
    and only that service returns errors with HTTP 200.
    """
    if refusal.status == 200:
        return {
            "requestId": request_id,
            "code": refusal.code,
            "message": refusal.message,
            "success": False,
        }
    return {
        "RequestId": request_id,
        "Code": refusal.code,
        "Message": refusal.message,
        **refusal.details,
    }


def _rpc_error(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """Return the error of an operation that a header names."""
    return {
        "Code": refusal.code,
        "Message": refusal.message,
        "RequestId": request_id,
        "Success": False,
        **refusal.details,
    }


def _form(body: Callable[[Refusal, str], dict[str, Any]]) -> ErrorForm:
    """Return a function that answers a refusal with the body that `body` returns."""

    def error(
        refusal: Refusal, request_id: str, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        return web.json_response(
            body(refusal, request_id), status=refusal.status, headers=headers
        )

    return error


def _clear_trend(answer: dict[str, Any]) -> None:
    """Remove all groups from a bill but keep the totals."""
    answer["data"]["groupByTotal"].clear()
    for period in answer["data"]["resultByTime"]:
        period["periodDetails"].clear()


_ERRORS = {
    Fault.UNAUTHORIZED: (
        404,
        "InvalidAccessKeyId.NotFound",
        "Specified access key is not found.",
    ),
    Fault.THROTTLED: (
        429,
        "Throttling.User",
        "Request was denied due to user flow control.",
    ),
    Fault.THROTTLING_CODE: (
        400,
        "Throttling.Api",
        "Request was denied due to api flow control.",
    ),
}

_WRONG_MONEY = {
    "amount": ["1.00"],
    "pretaxAmount": {},
    "taxAmount": True,
    "currency": 156,
}

TREND_MANNERS = Manners(
    error=_form(_roa_error),
    errors=_ERRORS | {Fault.FORBIDDEN: (403, "NoPermission", "Not permitted.")},
    retry_after="x-acs-retry-after",
    numbers=re.compile(r"-?[\d,]+\.\d+"),
    wrong_types={
        "requestId": 17,
        "data": {
            "costTotals": _WRONG_MONEY,
            "groupByTotal": {"qwen-max": "1.00"},
            "resultByTime": [
                None,
                7,
                "20260801",
                {"period": ["20260801"], "total": "1.00", "periodDetails": "none"},
                {
                    "period": 20260801.5,
                    "total": _WRONG_MONEY,
                    "periodDetails": [None, 7, "qwen-max", {"key": 5, "amount": []}],
                },
            ],
        },
    },
    clear_models=_clear_trend,
)
BALANCE_MANNERS = Manners(
    error=_form(_rpc_error),
    errors=_ERRORS | {Fault.FORBIDDEN: (403, "NotAuthorized", "Not authorized.")},
    retry_after="x-acs-retry-after",
    numbers=TREND_MANNERS.numbers,
    wrong_types={
        "RequestId": 17,
        "Data": {
            "AvailableAmount": ["1.00"],
            "AvailableCashAmount": {},
            "CreditAmount": True,
            "MybankCreditAmount": "a lot",
            "QuotaLimit": [],
            "Currency": 156,
        },
    },
    # A balance names no models.
    clear_models=lambda _: None,
)
ASSETS_MANNERS = replace(
    BALANCE_MANNERS,
    wrong_types={
        "RequestId": 17,
        "Data": {
            "CashCoupon": {"Balance": "1.00"},
            "PrepaidCard": "none",
            "Items": 7,
            "Instances": [1, 2],
        },
    },
)
TOKEN_PLAN_MANNERS = replace(
    TREND_MANNERS,
    wrong_types={
        "Data": {
            "SubscriptionStartTime": [],
            "SubscriptionEndTime": "tomorrow",
            "Items": {"standard": 2},
        }
    },
    # A Token Plan names no models.
    clear_models=lambda _: None,
)
WORKSPACES_MANNERS = replace(
    TREND_MANNERS,
    wrong_types={"requestId": 17, "workspaces": {"llm-1": "Production"}},
    clear_models=lambda _: None,
)
INSTANCES_MANNERS = replace(
    TREND_MANNERS,
    numbers=re.compile(r"\d+"),
    wrong_types={
        "nextToken": 7,
        "prometheusInstances": [
            None,
            7,
            "qwen",
            {"prometheusInstanceId": ["id"], "prometheusInstanceName": {}},
        ],
        "prometheusInstance": {"httpApiInterUrl": ["https://"]},
    },
    # They name none.
    clear_models=lambda _: None,
)
