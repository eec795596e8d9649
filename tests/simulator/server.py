"""The server of all services: checks credentials, and answers or fails."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
import json
from typing import Any, Literal, Self, get_args
from uuid import NAMESPACE_URL, uuid5

from aiohttp import web

from . import assets, billing, instances, prices, telemetry
from .account import Account, QueryError
from .faults import QUOTAS_MANNERS, Failure, Fault, Refusal, json_bytes
from .listener import HOST, Listener
from .openapi import (
    ASSET_OPERATIONS,
    ASSETS_MANNERS,
    BALANCE_MANNERS,
    GET_BILLING_TREND,
    GET_SUBSCRIPTION_STATS,
    INSTANCE_OPERATIONS,
    INSTANCES_MANNERS,
    LIST_WORKSPACES,
    QUERY_ACCOUNT_BALANCE,
    TOKEN_PLAN_MANNERS,
    TREND_MANNERS,
    WORKSPACES_MANNERS,
    Gate,
    Operation,
    roa_answer,
    rpc_answer,
    stats_answer,
    workspaces_answer,
)

type Service = Literal[
    "quotas",
    "prices",
    "billing",
    "balance",
    "assets",
    "token_plan",
    "instances",
    "workspaces",
    "prometheus",
]

BASE_PATH = "/api/v1"
QUOTAS_PATH = f"{BASE_PATH}/quotas"
PRICES_PATH = f"{BASE_PATH}/models"
PROMETHEUS_PATH = "/prometheus"
DEFAULT_KEY = "sk-simulator"
DEFAULT_ACCESS_KEY_ID = "LTAI5tSimulator"
DEFAULT_ACCESS_KEY_SECRET = "secret-of-the-simulator"

SERVICES: tuple[Service, ...] = get_args(Service.__value__)
# Permissions that a user can lack.
GRANTS = (
    GET_BILLING_TREND.action,
    QUERY_ACCOUNT_BALANCE.action,
    GET_SUBSCRIPTION_STATS.action,
    LIST_WORKSPACES.action,
    *ASSET_OPERATIONS,
    *INSTANCE_OPERATIONS,
    "prometheus",
)

_PATHS: dict[str, Service] = {
    QUOTAS_PATH: "quotas",
    PRICES_PATH: "prices",
    "/modelstudio/billing/trend": "billing",
    "/": "balance",
    "/tokenplan/subscription/stats": "token_plan",
    "/modelstudio/workspaces": "workspaces",
    f"{PROMETHEUS_PATH}/api/v1/query": "prometheus",
}
_MANNERS = {
    "quotas": QUOTAS_MANNERS,
    "prices": prices.MANNERS,
    "billing": TREND_MANNERS,
    "balance": BALANCE_MANNERS,
    "assets": ASSETS_MANNERS,
    "token_plan": TOKEN_PLAN_MANNERS,
    "instances": INSTANCES_MANNERS,
    "workspaces": WORKSPACES_MANNERS,
    "prometheus": telemetry.MANNERS,
}
_ASSETS: dict[str, Callable[[Account, Mapping[str, str]], dict[str, Any]]] = {
    "QueryCashCoupons": assets.cash_coupons,
    "QueryPrepaidCards": assets.prepaid_cards,
    "QuerySavingsPlansInstance": assets.savings_plans,
    "QueryResourcePackageInstances": assets.resource_packages,
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """A received request; header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]


class Server:
    """All services on one port of 127.0.0.1, as an asynchronous context manager.

    account: the account that the answers are about.
    api_keys: the API keys that the quotas and the prices accept.
    body: the answer of the quotas to a valid key. None is the account's answer. Bytes
        and str are sent unchanged, other values as JSON. A function gets the query and
        returns the answer.
    prices_body, trend_body, balance_body, telemetry_body: the same for the prices, the
        bill, the balance and Prometheus.
    assets_bodies: the same for the operations that list assets, by operation.
    token_plan_body, workspaces_body, instances_body: the same for the Token Plan, the
        workspaces, and the list and the details of Prometheus instances.
    requests: the requests to the quotas, in order.
    price_requests: the requests to the prices, in order.
    signed_requests: the requests to the other services, in order.
    access_keys: the AccessKeys that the other services accept, secret by ID.
    inactive_access_keys: the IDs of the disabled AccessKeys.
    denied: the permissions of `GRANTS` that the user of the AccessKeys lacks.
    clock_offset: the error of the clock that checks the dates of signatures. That clock
        is the real one, not the one of the account.
    balance_applicable: False if the account belongs to the vendor's other site; the
        balance and the assets then answer `NotApplicable`.
    not_applicable: further operations that answer `NotApplicable`.
    redirect_target_hits: the number of requests that followed a redirect without a
        `location`. It must stay 0 where a key must not reach another host.
    """

    def __init__(self, *, port: int = 0, account: Account | None = None) -> None:
        """Prepare to serve on a port; 0 chooses a free one."""
        self.account = account or Account()
        self.api_keys = {DEFAULT_KEY}
        self.access_keys = {DEFAULT_ACCESS_KEY_ID: DEFAULT_ACCESS_KEY_SECRET}
        self.inactive_access_keys: set[str] = set()
        self.denied: set[str] = set()
        self.clock_offset = timedelta()
        self.balance_applicable = True
        self.body: Any = None
        self.prices_body: Any = None
        self.trend_body: Any = None
        self.balance_body: Any = None
        self.telemetry_body: Any = None
        self.assets_bodies: dict[str, Any] = {}
        self.token_plan_body: Any = None
        self.workspaces_body: Any = None
        self.instances_body: Any = None
        self.not_applicable: set[str] = set()
        self.requests: list[Request] = []
        self.price_requests: list[Request] = []
        self.signed_requests: list[Request] = []
        self.redirect_target_hits = 0
        self._failures: dict[Service, Failure] = {}
        self._gate = Gate()
        self._answered = count(1)
        self._listener = Listener(self._handle, port)
        self._redirect_target = Listener(self._handle_redirected)

    async def __aenter__(self) -> Self:
        """Start to serve."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop serving."""
        await self.stop()

    @property
    def base_url(self) -> str:
        """The base URL of the quotas and the prices; valid after `start`."""
        return f"{self.openapi_url}{BASE_PATH}"

    @property
    def openapi_url(self) -> str:
        """The URL of the OpenAPI services; valid after `start`."""
        return f"http://{HOST}:{self._listener.port}"

    @property
    def prometheus_url(self) -> str:
        """The base URL of Prometheus; valid after `start`."""
        return f"{self.openapi_url}{PROMETHEUS_PATH}"

    async def start(self) -> None:
        """Start to serve; a restart uses the same port.

        Raises:
            OSError: the port is taken.

        """
        await self._listener.open()
        await self._redirect_target.open()

    async def stop(self) -> None:
        """Close the port and all connections at once; keep all other state."""
        await self._listener.close()
        await self._redirect_target.close()

    def fail(
        self,
        fault: Fault,
        *,
        retry_after: int | str | None = None,
        code: str | None = None,
        message: str | None = None,
        status: int | None = None,
        location: str | None = None,
        times: int | None = None,
        at: Service = "quotas",
    ) -> None:
        """Fail the next `times` requests to a service, or all from now on.

        The fault takes precedence over all checks, including that of the key. The
        options are those of `Failure`.

        Raises:
            ValueError: an option is out of range.

        """
        self._failures[at] = Failure(
            fault=fault,
            retry_after=retry_after,
            code=code,
            message=message,
            status=status,
            location=location,
            times=times,
        )

    def recover(self, *, at: Service | None = None) -> None:
        """End the failure of one service or all; requests that hang keep hanging."""
        for service in SERVICES if at is None else (at,):
            self._failures.pop(service, None)

    def forget(self) -> None:
        """Clear the recorded requests and the used nonces."""
        self.requests.clear()
        self.price_requests.clear()
        self.signed_requests.clear()
        self._gate = Gate()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; ignore a lost connection."""
        try:
            return await self._answer(request)
        except ConnectionError:
            return web.Response()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; raises `ConnectionError` if the client disconnects."""
        request_id = self._request_id()
        service = _service(request)
        if service is None:
            missing = Refusal(404, "NotFound", "No such path.")
            return QUOTAS_MANNERS.error(missing, request_id, None)
        return await self._serve(service, request, request_id)

    async def _handle_redirected(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request that followed a redirect with a good answer."""
        self.redirect_target_hits += 1
        service = _service(request) or "quotas"
        action = _action(request)
        return web.json_response(self._healthy(service, self._request_id(), action))

    def _request_id(self) -> str:
        """Return an ID that no other answer has."""
        return str(uuid5(NAMESPACE_URL, str(next(self._answered))))

    async def _serve(
        self, service: Service, request: web.BaseRequest, request_id: str
    ) -> web.StreamResponse:
        """Record a request to a service and answer it."""
        self._came(service).append(
            Request(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                headers={name.lower(): text for name, text in request.headers.items()},
            )
        )
        manners = _MANNERS[service]
        if failure := self._next_failure(service):
            return await failure.answer(
                request,
                request_id,
                manners=manners,
                healthy=self._healthy(service, request_id, _action(request)),
                redirect_target=(
                    f"http://{HOST}:{self._redirect_target.port}{request.path}"
                ),
            )
        try:
            await self._admit(service, request)
            body = self._body(service, request, request_id)
        except Refusal as err:
            return manners.error(err, request_id, None)
        if not isinstance(body, (str, bytes)):
            body = json_bytes(body)
        return web.Response(body=body, content_type="application/json")

    def _came(self, service: Service) -> list[Request]:
        """Return the list that records the requests to a service."""
        match service:
            case "quotas":
                return self.requests
            case "prices":
                return self.price_requests
        return self.signed_requests

    async def _admit(self, service: Service, request: web.BaseRequest) -> None:
        """Check the method, the credentials and the permission of a request.

        Raises `Refusal` if one of them is invalid.
        """
        match service:
            case "quotas" | "prices":
                _require_get(request)
                scheme, _, key = request.headers.get("Authorization", "").partition(" ")
                if scheme != "Bearer" or key not in self.api_keys:
                    raise Refusal(401, "InvalidApiKey", "Invalid API-key provided.")
            case "billing":
                await self._admit_signed(request, GET_BILLING_TREND)
            case "balance":
                await self._admit_signed(request, QUERY_ACCOUNT_BALANCE)
            case "assets":
                await self._admit_signed(request, ASSET_OPERATIONS[_action(request)])
            case "token_plan":
                await self._admit_signed(request, GET_SUBSCRIPTION_STATS)
            case "workspaces":
                await self._admit_signed(request, LIST_WORKSPACES)
            case "instances":
                await self._admit_signed(request, _instance_operation(request))
            case "prometheus":
                _require_get(request)
                telemetry.admit(
                    request,
                    {
                        access_key_id: secret
                        for access_key_id, secret in self.access_keys.items()
                        if access_key_id not in self.inactive_access_keys
                    },
                )
                if service in self.denied:
                    raise Refusal(403, "forbidden", "Not permitted")

    async def _admit_signed(
        self, request: web.BaseRequest, operation: Operation
    ) -> None:
        """Check the signature of a request; raises `Refusal` if it is not accepted."""
        self._gate.admit(
            request,
            await request.read(),
            operation,
            access_keys=self.access_keys,
            inactive=self.inactive_access_keys,
            denied=self.denied,
            now=datetime.now(UTC) + self.clock_offset,
        )

    def _body(self, service: Service, request: web.BaseRequest, request_id: str) -> Any:
        """Return the answer to an accepted request.

        Raises `Refusal` if the service rejects the query.
        """
        action = _action(request)
        body = {
            "quotas": self.body,
            "prices": self.prices_body,
            "billing": self.trend_body,
            "balance": self.balance_body,
            "assets": self.assets_bodies.get(action),
            "token_plan": self.token_plan_body,
            "workspaces": self.workspaces_body,
            "instances": self.instances_body,
            "prometheus": self.telemetry_body,
        }[service]
        if callable(body):
            body = body(request.query)
        if body is not None:
            return body
        if action in self.not_applicable or (
            service in ("balance", "assets") and not self.balance_applicable
        ):
            # The service returns this error with HTTP 200.
            raise Refusal(
                200, "NotApplicable", "This API is not applicable for caller."
            )
        try:
            query = dict(request.query)
            if service == "instances":
                query["path"] = request.path
            return self._answer_of(service, query, request_id, action)
        except QueryError as err:
            code = "bad_data" if service == "prometheus" else "InvalidParameter"
            raise Refusal(400, code, str(err)) from None

    def _answer_of(
        self, service: Service, query: Mapping[str, str], request_id: str, action: str
    ) -> dict[str, Any]:
        """Return a service's answer from the account.

        Raises `QueryError` if the service rejects the query.
        """
        match service:
            case "quotas":
                return self.account.respond(query, request_id)
            case "prices":
                return prices.page(self.account, query, request_id)
            case "billing":
                return roa_answer(billing.trend(self.account, query), request_id)
            case "balance":
                return rpc_answer(billing.balance(self.account), request_id)
            case "assets":
                return rpc_answer(_ASSETS[action](self.account, query), request_id)
            case "token_plan":
                return stats_answer(assets.subscription(self.account), request_id)
            case "workspaces":
                page = self.account.list_workspaces(query)
                return workspaces_answer(page, request_id)
            case "instances":
                path = query["path"]
                return instances.answer(self.account, path, query, request_id)
            case "prometheus":
                data = telemetry.instant(self.account, query)
                return {"status": "success", "data": data}

    def _healthy(
        self, service: Service, request_id: str, action: str
    ) -> dict[str, Any]:
        """Return a good answer of a service to a fixed query."""
        today = self.account.today.isoformat()
        query = {
            "quotas": {},
            "prices": {"language": "en", "page_size": "100"},
            "billing": {
                "granularity": "DAY",
                "timePeriod": json.dumps({"start": today, "end": today}),
                "groupBy": '[{"code": "BASE_MODEL"}]',
            },
            "balance": {},
            "assets": {"ProductCode": "sfm"},
            "token_plan": {},
            "workspaces": {},
            "instances": {"path": instances.INSTANCES_PATH},
            "prometheus": {"query": "model_usage"},
        }[service]
        return self._answer_of(service, query, request_id, action)

    def _next_failure(self, service: Service) -> Failure | None:
        """Return the failure of the current request, if any, and count it."""
        failure = self._failures.get(service)
        if failure and failure.times:
            if failure.times > 1:
                self._failures[service] = replace(failure, times=failure.times - 1)
            else:
                del self._failures[service]
        return failure


def _action(request: web.BaseRequest) -> str:
    """Return the operation that a request names, or an empty string."""
    return request.headers.get("x-acs-action", "")


def _service(request: web.BaseRequest) -> Service | None:
    """Return the service of a request; None if there is no such path.

    The balance and the assets share a path; their operations differ. Each Prometheus
    instance has a path.
    """
    if request.path.startswith(instances.INSTANCES_PATH):
        return "instances"
    service = _PATHS.get(request.path)
    if service == "balance" and _action(request) in ASSET_OPERATIONS:
        return "assets"
    return service


def _instance_operation(request: web.BaseRequest) -> Operation:
    """Return the operation of a path: the list, or the details of an instance."""
    is_list = request.path == instances.INSTANCES_PATH
    name = "ListPrometheusInstances" if is_list else "GetPrometheusInstance"
    return INSTANCE_OPERATIONS[name]


def _require_get(request: web.BaseRequest) -> None:
    """Raise `Refusal` if the method of a request is not GET."""
    if request.method != "GET":
        raise Refusal(405, "MethodNotAllowed", "Only GET is allowed.")
