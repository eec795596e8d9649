"""The server: listens, checks the key, answers or fails, and can be steered."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import count
import json
from typing import Any, Self
from uuid import NAMESPACE_URL, uuid5

from aiohttp import web

from .account import ANSWERS, PERIODS, Account, QueryError
from .faults import OPTIONS, Failure, Fault, error_response, json_bytes

type Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

HOST = "127.0.0.1"
BASE_PATH = "/api/v1"
QUOTAS_PATH = f"{BASE_PATH}/quotas"
CONTROL_PATH = "/control"
DEFAULT_KEY = "sk-simulator"

LONGEST_ADVANCE = 366 * 24 * 60 * 60
LARGEST_NUMBER = 1_000_000_000

# What a control request may hold.
_WISHES = {
    "fault",
    "options",
    "answer",
    "roll_over",
    "advance",
    "add_models",
    "remove_models",
    "api_keys",
    "correction",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it came; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]


class WishError(ValueError):
    """A control request makes no sense; the text says why."""


class _Listener:
    """A port of the loopback that is served, and can be dropped and taken again."""

    def __init__(self, handler: Handler, port: int = 0) -> None:
        """Remember what answers; port 0 becomes a free one at the first `open`."""
        self.port = port
        self._handler = handler
        self._open: tuple[asyncio.Server, web.Server] | None = None

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.

        """
        if self._open:
            return
        # Cancellation frees what hangs as soon as its connection is lost.
        server = web.Server(self._handler, handler_cancellation=True, access_log=None)
        listener = await asyncio.get_running_loop().create_server(
            server, HOST, self.port
        )
        self._open = listener, server
        self.port = listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Drop the port and all connections at once, and leave no task behind."""
        if not self._open:
            return
        listener, server = self._open
        self._open = None
        # What is accepted and not yet connected would be lost halfway: accept no more,
        # and let it get there before it is dropped.
        asyncio.get_running_loop().remove_reader(listener.sockets[0])
        await asyncio.sleep(0)
        listener.close()
        listener.abort_clients()
        await listener.wait_closed()
        # A connection stands here until the task that served it has ended; all of them
        # are cancelled by now.
        while server.connections:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0)


class Simulator:
    """The service, at a port of 127.0.0.1, as an asynchronous context manager.

    account: what is answered from.
    api_keys: the keys that are let in.
    body: answered verbatim to a good key instead of the account's answer: bytes and str
        as they are, anything else as JSON; None is the account's answer. A function is
        given the query, and returns one of these.
    requests: what came to the quotas, in order.
    redirect_target_hits: how many requests followed a redirect that was told no other
        location; they must be none where the key is to stay with one host.
    """

    def __init__(self, *, port: int = 0, account: Account | None = None) -> None:
        """Prepare to serve a port; 0 takes a free one."""
        self.account = account or Account()
        self.api_keys = {DEFAULT_KEY}
        self.body: Any = None
        self.requests: list[Request] = []
        self.redirect_target_hits = 0
        self._failure: Failure | None = None
        self._answered = count(1)
        self._listener = _Listener(self._handle, port)
        self._redirect_target = _Listener(self._handle_redirected)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    @property
    def base_url(self) -> str:
        """What the service's paths are appended to; known once started."""
        return f"http://{HOST}:{self._listener.port}{BASE_PATH}"

    @property
    def control_url(self) -> str:
        """Where the simulator is steered over HTTP; known once started."""
        return f"http://{HOST}:{self._listener.port}{CONTROL_PATH}"

    async def start(self) -> None:
        """Serve, on the same port as before.

        Raises:
            OSError: the port is taken.

        """
        await self._listener.open()
        await self._redirect_target.open()

    async def stop(self) -> None:
        """Drop the port and whoever is connected at once; all state is kept."""
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
    ) -> None:
        """Fail all requests from now on, or as many as `times` says.

        A fault comes before all else, the key included. The options are those of
        `Failure`.

        Raises:
            ValueError: an option is out of range.

        """
        self._failure = Failure(
            fault=fault,
            retry_after=retry_after,
            code=code,
            message=message,
            status=status,
            location=location,
            times=times,
        )

    def recover(self) -> None:
        """Fail no more; what hangs already goes on hanging."""
        self._failure = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer whatever comes, if somebody is still there."""
        try:
            return await self._answer(request)
        except ConnectionError:
            return web.Response()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer whatever comes.

        Raises:
            ConnectionError: nobody is there any more.

        """
        if request.path == CONTROL_PATH:
            return await self._control(request)
        request_id = self._request_id()
        if request.path == QUOTAS_PATH:
            return await self._quotas(request, request_id)
        return error_response(404, "NotFound", "No such path.", request_id)

    async def _handle_redirected(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer whoever followed a redirect as if all were well."""
        self.redirect_target_hits += 1
        return web.json_response(self.account.respond({}, self._request_id()))

    def _request_id(self) -> str:
        """Return an id no other answer has."""
        return str(uuid5(NAMESPACE_URL, str(next(self._answered))))

    async def _quotas(
        self, request: web.BaseRequest, request_id: str
    ) -> web.StreamResponse:
        """Answer a request for the quotas."""
        self.requests.append(
            Request(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                headers={name.lower(): text for name, text in request.headers.items()},
            )
        )
        if failure := self._next_failure():
            return await failure.answer(
                request,
                self.account.respond({}, request_id),
                f"http://{HOST}:{self._redirect_target.port}{QUOTAS_PATH}",
            )
        if request.method != "GET":
            return error_response(
                405, "MethodNotAllowed", "Only GET is allowed.", request_id
            )
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or key not in self.api_keys:
            return error_response(
                401, "InvalidApiKey", "Invalid API-key provided.", request_id
            )
        body = self.body
        if callable(body):
            body = body(request.query)
        if body is None:
            try:
                body = self.account.respond(request.query, request_id)
            except QueryError as err:
                return error_response(400, "InvalidParameter", str(err), request_id)
        if not isinstance(body, (str, bytes)):
            body = json_bytes(body)
        return web.Response(body=body, content_type="application/json")

    def _next_failure(self) -> Failure | None:
        """Return how the request at hand fails, if it does, and count it."""
        failure = self._failure
        if failure and failure.times:
            self._failure = (
                replace(failure, times=failure.times - 1) if failure.times > 1 else None
            )
        return failure

    async def _control(self, request: web.BaseRequest) -> web.Response:
        """Tell the state, or change it first."""
        if request.method == "POST":
            try:
                # Nothing is changed before all of it is known to make sense.
                for change in list(self._changes(json.loads(await request.read()))):
                    change()
            except ValueError as err:
                return web.json_response({"error": str(err)}, status=400)
        elif request.method != "GET":
            return web.json_response({"error": "GET or POST"}, status=405)
        return web.json_response(self._state())

    def _state(self) -> dict[str, Any]:
        """Return what there is to know, JSON-able."""
        return {
            "fault": self._failure and self._failure.fault,
            "options": self._failure.options if self._failure else {},
            "answer": self.account.answer,
            "requests": len(self.requests),
            "virtual_time": self.account.now.isoformat(),
            "api_keys": sorted(self.api_keys),
            "models": self.account.model_names,
        }

    def _changes(self, wishes: Any) -> Iterator[Callable[[], object]]:
        """Yield what is to be done to fulfil the wishes of a control request.

        Raises:
            WishError: a key or value is not known, or makes no sense now.

        """
        if not isinstance(wishes, dict):
            raise WishError("an object is wanted")
        if unknown := wishes.keys() - _WISHES:
            raise WishError(f"unknown: {', '.join(sorted(unknown))}")
        if "options" in wishes and wishes.get("fault") is None:
            raise WishError("options need a fault")
        account = self.account
        # The order is fixed: what is said of today is said of the day rolled over to.
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
        if "fault" in wishes:
            failure = _failure(wishes["fault"], wishes.get("options", {}))
            yield partial(setattr, self, "_failure", failure)


def _failure(name: Any, options: Any) -> Failure | None:
    """Return the failure a control request wants; None is none.

    Raises:
        WishError: the fault or an option is not known.

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
    """Return a value as the one of the known that it is.

    Raises:
        WishError: it is none of them.

    """
    for item in known:
        if item == value:
            return item
    raise WishError(f"{key} must be one of {', '.join(known)}")


def _number(key: str, value: Any) -> float:
    """Return a value that is a finite number.

    Raises:
        WishError: it is not.

    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WishError(f"{key} must be a number")
    if not abs(value) <= LARGEST_NUMBER:
        raise WishError(f"{key} must be finite and below {LARGEST_NUMBER}")
    return value


def _names(key: str, value: Any) -> list[str]:
    """Return a value that is a list of names, each of them once.

    Raises:
        WishError: it is not.

    """
    if not isinstance(value, list) or not all(
        isinstance(name, str) and name for name in value
    ):
        raise WishError(f"{key} must be a list of names")
    return list(dict.fromkeys(value))
