"""The vendor's OpenAPI: who signed a request, and the form of what is answered."""

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

# Headers that must be there, and be signed.
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
    """Something that can be asked for, and what a user needs to be granted for it."""

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
    """Lets in who signed, each signature once."""

    def __init__(self) -> None:
        """Begin with no nonce seen."""
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
        """Let a request through.

        Raises:
            Refusal: it is not signed as it must be, or not by one who may do this.

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
    """Refuse a signature that is not of now.

    Raises:
        Refusal: its date is none, or is too far off.

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
    """Refuse a signature that is not of this request and this secret.

    Raises:
        Refusal: it is not, or does not cover what it must.

    """
    # Imported once it is needed: it takes longer than most tests, which sign nothing.
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
        # A name that comes twice would be signed once.
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
    """Refuse what is signed for something else than the path is for.

    Raises:
        Refusal: it is.

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
    """Return what a user is told that lacks a permission."""
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
    """Return an answer of an operation that has a path of its own."""
    return {
        "requestId": request_id,
        "code": "200",
        "message": "success",
        "success": True,
        "data": data,
    }


def rpc_answer(data: Any, request_id: str) -> dict[str, Any]:
    """Return an answer of an operation that is named in a header."""
    return {
        "Code": "200",
        "Message": "Successful!",
        "RequestId": request_id,
        "Success": True,
        "Data": data,
    }


def stats_answer(data: Any, request_id: str) -> dict[str, Any]:
    """Return an answer of GetSubscriptionStats, whose fields are in upper case.

    Without a subscription, there is no `Data`.
    """
    answer = {"Code": "Success", "Success": True, "RequestId": request_id}
    return answer if data is None else answer | {"Data": data}


def _roa_error(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """Return an error of an operation that has a path of its own.

    The gateway writes its fields otherwise than what stands behind it, which alone
    answers an error as if it were none.
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
    """Return an error of an operation that is named in a header."""
    return {
        "Code": refusal.code,
        "Message": refusal.message,
        "RequestId": request_id,
        "Success": False,
        **refusal.details,
    }


def _form(body: Callable[[Refusal, str], dict[str, Any]]) -> ErrorForm:
    """Return what makes an answer of a refusal, given what makes its body."""

    def error(
        refusal: Refusal, request_id: str, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        return web.json_response(
            body(refusal, request_id), status=refusal.status, headers=headers
        )

    return error


def _clear_trend(answer: dict[str, Any]) -> None:
    """Take all groups out of a bill, and leave what they came to."""
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
    # A balance has none.
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
    # It names none.
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
