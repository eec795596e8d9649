"""The server: checks credentials, answers or fails, and offers a control API."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
import json
from typing import Any, Literal, Self, get_args
from uuid import NAMESPACE_URL, uuid5

from aiohttp import web

from . import assets, billing, instances, prices, telemetry
from .account import ANSWERS, PERIODS, Account, QueryError
from .faults import OPTIONS, QUOTAS_MANNERS, Failure, Fault, Refusal, json_bytes
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

type Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
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

HOST = "127.0.0.1"
BASE_PATH = "/api/v1"
QUOTAS_PATH = f"{BASE_PATH}/quotas"
PRICES_PATH = f"{BASE_PATH}/models"
PROMETHEUS_PATH = "/prometheus"
CONTROL_PATH = "/control"
DEFAULT_KEY = "sk-simulator"
DEFAULT_ACCESS_KEY_ID = "LTAI5tSimulator"
DEFAULT_ACCESS_KEY_SECRET = "secret-of-the-simulator"

SERVICES: tuple[Service, ...] = get_args(Service.__value__)
CURRENCIES = ("CNY", "USD", "JPY")
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

LONGEST_ADVANCE = 366 * 24 * 60 * 60
LARGEST_NUMBER = 1_000_000_000

# Keys of a control request.
_WISHES = {
    "fault",
    "at",
    "options",
    "answer",
    "roll_over",
    "advance",
    "add_models",
    "remove_models",
    "api_keys",
    "correction",
    "access_keys",
    "denied",
    "clock_offset",
    "currency",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """A received request; header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]


class WishError(ValueError):
    """Raised if a control request is invalid; the text is the reason."""


class _Listener:
    """A server on a loopback port that can be closed and opened again."""

    def __init__(self, handler: Handler, port: int = 0) -> None:
        """Store the handler; for port 0, the first `open` chooses a free port."""
        self.port = port
        self._handler = handler
        self._open: tuple[asyncio.Server, web.Server] | None = None

    async def open(self) -> None:
        """Start to listen.

        Raises:
            OSError: the port is taken.

        """
        if self._open:
            return
        # Cancellation ends a hanging handler as soon as its connection is lost.
        server = web.Server(self._handler, handler_cancellation=True, access_log=None)
        listener = await asyncio.get_running_loop().create_server(
            server, HOST, self.port
        )
        self._open = listener, server
        self.port = listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Close the port and all connections and wait for their tasks to end."""
        if not self._open:
            return
        listener, server = self._open
        self._open = None
        # A connection that is accepted but not set up yet would not be closed. Stop
        # accepting, and let pending connections be set up first.
        asyncio.get_running_loop().remove_reader(listener.sockets[0])
        await asyncio.sleep(0)
        listener.close()
        listener.abort_clients()
        await listener.wait_closed()
        # A connection is listed until its task ends; all tasks are cancelled by now.
        while server.connections:  # noqa: ASYNC110 - no event for this
            await asyncio.sleep(0)


class Simulator:
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
        self._listener = _Listener(self._handle, port)
        self._redirect_target = _Listener(self._handle_redirected)

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

    @property
    def control_url(self) -> str:
        """The URL of the control API; valid after `start`."""
        return f"{self.openapi_url}{CONTROL_PATH}"

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
        if request.path == CONTROL_PATH:
            return await self._control(request)
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

    async def _control(self, request: web.BaseRequest) -> web.Response:
        """Answer with the state, after changing it if the request is a POST."""
        if request.method == "POST":
            try:
                # Validate all changes before making any.
                for change in list(self._changes(json.loads(await request.read()))):
                    change()
            except ValueError as err:
                return web.json_response({"error": str(err)}, status=400)
        elif request.method != "GET":
            return web.json_response({"error": "GET or POST"}, status=405)
        return web.json_response(self._state())

    def _state(self) -> dict[str, Any]:
        """Return the state as JSON data."""
        return {
            **_told(self._failures.get("quotas")),
            "faults": {
                service: _told(self._failures[service])
                for service in SERVICES
                if service in self._failures
            },
            "answer": self.account.answer,
            "requests": len(self.requests),
            "signed_requests": len(self.signed_requests),
            "virtual_time": self.account.now.isoformat(),
            "api_keys": sorted(self.api_keys),
            "access_keys": sorted(self.access_keys),
            "denied": sorted(self.denied),
            "clock_offset": self.clock_offset.total_seconds(),
            "currency": self.account.currency,
            "models": self.account.model_names,
        }

    def _changes(self, wishes: Any) -> Iterator[Callable[[], object]]:
        """Yield the changes of a control request as functions to call.

        Raises `WishError` if a key or a value is unknown or invalid.
        """
        if not isinstance(wishes, dict):
            raise WishError("an object is wanted")
        if unknown := wishes.keys() - _WISHES:
            raise WishError(f"unknown: {', '.join(sorted(unknown))}")
        if "options" in wishes and wishes.get("fault") is None:
            raise WishError("options need a fault")
        if "at" in wishes and "fault" not in wishes:
            raise WishError("at needs a fault")
        account = self.account
        # The time changes first, so that a correction is of the new day.
        if "roll_over" in wishes:
            period = _one_of("roll_over", wishes["roll_over"], PERIODS)
            yield partial(account.roll_over, period)
        if "advance" in wishes:
            seconds = _number("advance", wishes["advance"])
            if not 0 <= seconds <= LONGEST_ADVANCE:
                raise WishError(f"advance must be 0 to {LONGEST_ADVANCE} seconds")
            yield partial(account.advance, timedelta(seconds=seconds))
        if "correction" in wishes:
            amount = _number("correction", wishes["correction"])
            yield partial(setattr, account, "correction", amount)
        if "answer" in wishes:
            answer = _one_of("answer", wishes["answer"], ANSWERS)
            yield partial(setattr, account, "answer", answer)
        for name in _names("remove_models", wishes.get("remove_models", [])):
            if not account.has_model(name):
                raise WishError(f"the account has no model {name}")
            yield partial(account.remove_model, name)
        for name in _names("add_models", wishes.get("add_models", [])):
            if name in account.model_names:
                raise WishError(f"the account already has the model {name}")
            yield partial(account.add_model, name)
        if "api_keys" in wishes:
            keys = set(_names("api_keys", wishes["api_keys"]))
            yield partial(setattr, self, "api_keys", keys)
        if "access_keys" in wishes:
            access_keys = _secrets("access_keys", wishes["access_keys"])
            yield partial(setattr, self, "access_keys", access_keys)
        if "denied" in wishes:
            denied = {
                _one_of("denied", name, GRANTS)
                for name in _names("denied", wishes["denied"])
            }
            yield partial(setattr, self, "denied", denied)
        if "clock_offset" in wishes:
            seconds = _number("clock_offset", wishes["clock_offset"])
            offset = timedelta(seconds=seconds)
            yield partial(setattr, self, "clock_offset", offset)
        if "currency" in wishes:
            currency = _one_of("currency", wishes["currency"], CURRENCIES)
            yield partial(setattr, account, "currency", currency)
        if "fault" in wishes:
            failure = _failure(wishes["fault"], wishes.get("options", {}))
            if "at" in wishes:
                at = _one_of("at", wishes["at"], SERVICES)
                yield partial(self._set_failure, at, failure)
            elif failure:
                yield partial(self._set_failure, "quotas", failure)
            else:
                yield self.recover

    def _set_failure(self, service: Service, failure: Failure | None) -> None:
        """Set the failure of a service; None ends it."""
        if failure:
            self._failures[service] = failure
        else:
            self.recover(at=service)


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


def _told(failure: Failure | None) -> dict[str, Any]:
    """Return a failure as JSON data."""
    return {
        "fault": failure and failure.fault,
        "options": failure.options if failure else {},
    }


def _failure(name: Any, options: Any) -> Failure | None:
    """Return the failure that a control request names; None ends the failure.

    Raises `WishError` if the fault or an option is unknown or invalid.
    """
    if name is None:
        return None
    fault = Fault(_one_of("fault", name, tuple(Fault)))
    if not isinstance(options, dict):
        raise WishError("options must be an object")
    for option, value in options.items():
        if option not in OPTIONS:
            raise WishError(f"options must be of {', '.join(OPTIONS)}, not {option}")
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, OPTIONS[option])
        ):
            raise WishError(f"options: {option} is of the wrong type")
    return Failure(fault=fault, **options)


def _one_of[T: str](key: str, value: Any, known: tuple[T, ...]) -> T:
    """Return the known value that equals a value; raises `WishError` without one."""
    for item in known:
        if item == value:
            return item
    raise WishError(f"{key} must be one of {', '.join(known)}")


def _number(key: str, value: Any) -> float:
    """Return a value; raises `WishError` unless it is a finite number in range."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WishError(f"{key} must be a number")
    if not abs(value) <= LARGEST_NUMBER:
        raise WishError(f"{key} must be finite and below {LARGEST_NUMBER}")
    return value


def _names(key: str, value: Any) -> list[str]:
    """Return a list of names without duplicates.

    Raises `WishError` if the value is not a list of names.
    """
    if not isinstance(value, list) or not all(
        isinstance(name, str) and name for name in value
    ):
        raise WishError(f"{key} must be a list of names")
    return list(dict.fromkeys(value))


def _secrets(key: str, value: Any) -> dict[str, str]:
    """Return a value; raises `WishError` unless it is an object of secrets by ID."""
    if not isinstance(value, dict) or not all(
        isinstance(secret, str) and access_key_id and secret
        for access_key_id, secret in value.items()
    ):
        raise WishError(f"{key} must be an object of secrets by id")
    return value
