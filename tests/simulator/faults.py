"""The faults of the service and of the connection to it."""

import asyncio
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
import gzip
from itertools import chain, cycle, repeat
import json
from math import inf, nan
from random import Random
import re
import socket
import struct
from typing import Any, Never
from xml.sax.saxutils import escape

from aiohttp import web

# Seconds between two bytes of a trickle: shorter than any read timeout.
TRICKLE_PAUSE = 0.05

HUGE_SIZE = 200 * 1024 * 1024


class Fault(StrEnum):
    """A fault that a request can meet."""

    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    FREE_TIER_ONLY = "free_tier_only"
    THROTTLED = "throttled"
    THROTTLING_CODE = "throttling_code"
    BUDGET_EXHAUSTED = "budget_exhausted"
    ARREARAGE = "arrearage"
    NOT_ENABLED = "not_enabled"
    BAD_REQUEST = "bad_request"
    NOT_FOUND = "not_found"
    REQUEST_TIMEOUT = "request_timeout"
    SERVER_ERROR = "server_error"
    BAD_GATEWAY = "bad_gateway"
    UNAVAILABLE = "unavailable"
    ERROR_CODE = "error_code"
    ERROR_OBJECT = "error_object"
    ERROR_XML = "error_xml"
    ERROR_EVENT = "error_event"
    HTML = "html"
    EMPTY = "empty"
    NULL = "null"
    LIST = "list"
    GARBAGE = "garbage"
    TRUNCATED = "truncated"
    CUT = "cut"
    RESET = "reset"
    HANG = "hang"
    HANG_BODY = "hang_body"
    TRICKLE = "trickle"
    REDIRECT = "redirect"
    HUGE = "huge"
    WRONG_TYPES = "wrong_types"
    NOT_FINITE = "not_finite"
    NO_MODELS = "no_models"


# Answers with an error code: status, code, message.
_ERRORS = {
    Fault.UNAUTHORIZED: (401, "InvalidApiKey", "Invalid API-key provided."),
    Fault.FORBIDDEN: (403, "AccessDenied", "Access denied."),
    Fault.FREE_TIER_ONLY: (
        403,
        "AllocationQuota.FreeTierOnly",
        (
            "The free tier of the model has been exhausted. If you wish to continue access"
            ' the model on a paid basis, please disable the "use free tier only" mode in'
            " the management console."
        ),
    ),
    Fault.THROTTLED: (
        429,
        "Throttling.RateQuota",
        "Requests rate limit exceeded, please try again later.",
    ),
    Fault.THROTTLING_CODE: (
        400,
        "Throttling.AllocationQuota",
        "Allocated quota exceeded, please increase your quota limit.",
    ),
    Fault.ARREARAGE: (
        400,
        "Arrearage",
        "Access denied, please make sure your account is in good standing.",
    ),
    Fault.BUDGET_EXHAUSTED: (
        429,
        "BudgetExceeded",
        (
            "The configured budget has been exhausted. Calls are refused until the budget"
            " is raised or reset."
        ),
    ),
    Fault.NOT_ENABLED: (
        403,
        "AccessDenied.Unpurchased",
        "Access to the service is denied, please make sure it is activated.",
    ),
    Fault.BAD_REQUEST: (400, "InvalidParameter", "Required parameter is missing."),
    Fault.NOT_FOUND: (404, "NotFound", "The requested resource is not found."),
    Fault.REQUEST_TIMEOUT: (
        408,
        "RequestTimeOut",
        "Request timed out, please try again later.",
    ),
    Fault.SERVER_ERROR: (
        500,
        "InternalError",
        "An internal error has occurred, please try again later.",
    ),
    Fault.ERROR_CODE: (
        200,
        "SystemError",
        "A system error has occurred, please try again later.",
    ),
    Fault.ERROR_XML: (403, "Arrearage", "The account's bill is overdue."),
    Fault.ERROR_EVENT: (400, "Throttling", "Requests are throttled."),
    Fault.ERROR_OBJECT: (
        200,
        "SystemError",
        "A system error has occurred, please try again later.",
    ),
}

# Answers without an error code: status, content type, body.
_BODIES = {
    Fault.BAD_GATEWAY: (
        502,
        "text/html",
        (
            b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
            b"<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
        ),
    ),
    Fault.UNAVAILABLE: (503, "text/plain", b""),
    Fault.HTML: (
        200,
        "text/html",
        (
            b"<!DOCTYPE html><html><head><title>Guest network</title></head><body>"
            b"<h1>Welcome</h1><form>Accept the terms to go online.</form></body></html>"
        ),
    ),
    Fault.EMPTY: (200, "application/json", b""),
    Fault.NULL: (200, "application/json", b"null"),
    Fault.LIST: (200, "application/json", b"[]"),
    Fault.GARBAGE: (200, "application/json", Random(0).randbytes(512)),
}

# Wrong values for both shapes of the answer: account (`data`) and limits (`output`).
_WRONG_TYPES: dict[str, Any] = {
    "request_id": 17,
    "data": {
        "rate_limit": "fast",
        "credits": [450],
        "available": {"amount": 430},
        "spend_limit": True,
        "daily_spend": "a few dollars",
        "monthly_spend": False,
        "tokens_used": {"total": 1},
        "requests_used": "lots",
        "billing_period": ["2026-08-01", "2026-08-31"],
        "models": [
            None,
            7,
            "qwen-max",
            [],
            {"model": 5, "used": "many", "limit": True, "rpm": [], "tpm": {}},
        ],
    },
    "output": {
        "total": "all",
        "page_no": [1],
        "page_size": {},
        "quotas": [
            None,
            7,
            "qwen-max",
            [],
            {
                "model": 5,
                "workspace_id": {},
                "model_limit": "high",
                "workspace_limit": [1],
            },
        ],
    },
}


class Refusal(Exception):
    """Raised if a service rejects a request; `details` are extra answer fields."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Store the parts of the error answer."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details or {}


type ErrorForm = Callable[[Refusal, str, Mapping[str, str] | None], web.Response]


@dataclass(frozen=True, kw_only=True)
class Manners:
    """The answer format of a service.

    error: returns the answer for a refusal, a request ID and headers.
    wrong_types: values that replace those of a good answer, by top-level field.
    clear_models: removes all models from a good answer.
    errors: status, code and message of the faults that this service names differently.
    retry_after: the header with the time to wait.
    numbers: matches texts of the answer that are numbers.
    """

    error: ErrorForm
    wrong_types: Mapping[str, Any]
    clear_models: Callable[[dict[str, Any]], None]
    errors: Mapping[Fault, tuple[int, str, str]] = field(default_factory=dict)
    retry_after: str = "Retry-After"
    numbers: re.Pattern[str] = re.compile("(?!)")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A fault with its options; None is the default of the fault.

    retry_after: the header with the time to wait, in seconds or as an HTTP date. Faults
        that reset, cut or delay the answer ignore it.
    location: the target of a redirect.
    times: how many more requests fail; None is all of them.
    """

    fault: Fault
    retry_after: int | str | None = None
    code: str | None = None
    message: str | None = None
    status: int | None = None
    location: str | None = None
    times: int | None = None

    def __post_init__(self) -> None:
        """Validate the options.

        Raises:
            ValueError: the status or the number of times is out of range.

        """
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError(f"status must be 200 to 599, not {self.status}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times must be 1 or more, not {self.times}")

    @property
    def options(self) -> dict[str, int | str]:
        """The options that are set, by name."""
        return {
            name: value
            for name in OPTIONS
            if (value := getattr(self, name)) is not None
        }

    async def answer(
        self,
        request: web.BaseRequest,
        request_id: str,
        *,
        manners: Manners,
        healthy: dict[str, Any],
        redirect_target: str,
    ) -> web.StreamResponse:
        """Answer a request with the fault.

        healthy: the good answer of the service; some faults modify it.
        redirect_target: the target of a redirect without a `location`.
        """
        headers = {}
        if self.retry_after is not None:
            headers[manners.retry_after] = str(self.retry_after)
        if self.fault in _ERRORS:
            return self._error(manners, request_id, headers)
        if self.fault in _BODIES:
            status, content_type, body = _BODIES[self.fault]
            return web.Response(
                status=self.status or status,
                body=body,
                content_type=content_type,
                headers=headers,
            )
        match self.fault:
            case Fault.REDIRECT:
                headers["Location"] = self.location or redirect_target
                return web.Response(status=self.status or 302, headers=headers)
            case Fault.RESET:
                await _reset(request)
            case Fault.HANG:
                await _hang()
            case Fault.CUT | Fault.HANG_BODY:
                await _answer_half(request, json_bytes(healthy))
                if self.fault is Fault.CUT and request.transport:
                    request.transport.close()
                await _hang()
            case Fault.TRICKLE:
                return await _trickle(request, json_bytes(healthy))
            case Fault.HUGE:
                headers["Content-Encoding"] = "gzip"
                body = _huge()
            case Fault.TRUNCATED:
                body = _half(json_bytes(healthy))
            case Fault.WRONG_TYPES:
                body = json_bytes(_of_wrong_types(healthy, manners.wrong_types))
            case Fault.NOT_FINITE:
                body = json_bytes(_not_finite(healthy, manners.numbers))
            case Fault.NO_MODELS:
                answer = deepcopy(healthy)
                manners.clear_models(answer)
                body = json_bytes(answer)
        return web.Response(
            status=self.status or 200,
            body=body,
            content_type="application/json",
            headers=headers,
        )

    def _error(
        self, manners: Manners, request_id: str, headers: Mapping[str, str]
    ) -> web.Response:
        """Return an error answer with a code and a message in the service's format."""
        status, code, message = manners.errors.get(self.fault, _ERRORS[self.fault])
        status = self.status or status
        code = code if self.code is None else self.code
        message = message if self.message is None else self.message
        if self.fault is Fault.ERROR_OBJECT:
            return web.json_response(
                {"error": {"code": code, "message": message}},
                status=status,
                headers=headers,
            )
        if self.fault is Fault.ERROR_XML:
            return web.Response(
                text="<?xml version='1.0' encoding='UTF-8'?><Error>"
                f"<RequestId>{request_id}</RequestId><Code>{escape(code)}</Code>"
                f"<Message>{escape(message)}</Message></Error>",
                content_type="text/xml",
                status=status,
                headers=headers,
            )
        if self.fault is Fault.ERROR_EVENT:
            body = json_bytes({"code": code, "message": message}).decode()
            return web.Response(
                text=f"id:1\nevent:error\n:HTTP_STATUS/{status}\ndata:{body}\n\n",
                content_type="text/event-stream",
                status=status,
                headers=headers,
            )
        return manners.error(Refusal(status, code, message), request_id, headers)


# The options of a failure and their types.
OPTIONS: dict[str, type | tuple[type, ...]] = {
    "retry_after": (int, str),
    "code": str,
    "message": str,
    "status": int,
    "location": str,
    "times": int,
}


def json_bytes(value: object) -> bytes:
    """Return a value as JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False).encode()


def _half(body: bytes) -> bytes:
    """Return the first half of a body."""
    return body[: len(body) // 2]


async def _hang() -> Never:
    """Wait until the client disconnects, which cancels the handler."""
    future: asyncio.Future[Never] = asyncio.get_running_loop().create_future()
    await future


async def _reset(request: web.BaseRequest) -> Never:
    """Reset the connection: closing with a linger time of 0 sends a TCP RST."""
    if request.transport:
        request.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        request.transport.abort()
    await _hang()


async def _answer_half(request: web.BaseRequest, body: bytes) -> None:
    """Send the headers of an answer and half of its body."""
    response = web.StreamResponse()
    response.content_type = "application/json"
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(_half(body))


async def _trickle(request: web.BaseRequest, body: bytes) -> web.StreamResponse:
    """Send an answer byte by byte, then spaces without end."""
    response = web.StreamResponse()
    response.content_type = "application/json"
    response.enable_chunked_encoding()
    await response.prepare(request)
    for byte in chain(body, repeat(ord(" "))):
        await response.write(bytes((byte,)))
        await asyncio.sleep(TRICKLE_PAUSE)
    return response


@cache
def _huge() -> bytes:
    """Return a small gzip body that decompresses to `HUGE_SIZE` bytes of valid JSON."""
    return gzip.compress(
        b'{"code": "Success", "data": {}}'.ljust(HUGE_SIZE), compresslevel=1
    )


def _of_wrong_types(
    healthy: Mapping[str, Any], wrong: Mapping[str, Any]
) -> dict[str, Any]:
    """Return an answer whose fields have wrong types, as far as `wrong` names them."""
    return {key: wrong.get(key, value) for key, value in healthy.items()}


def _not_finite(healthy: Mapping[str, Any], text: re.Pattern[str]) -> dict[str, Any]:
    """Return an answer without a finite number; `text` matches numbers in strings."""
    numbers = cycle((nan, inf, -inf))

    def spoil(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: spoil(item) for key, item in value.items()}
        if isinstance(value, list):
            return [spoil(item) for item in value]
        if isinstance(value, str):
            return str(next(numbers)) if text.fullmatch(value) else value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return value
        return next(numbers)

    return {key: spoil(value) for key, value in healthy.items()}


def _quotas_error(
    refusal: Refusal, request_id: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an error in the format of Model Studio."""
    return web.json_response(
        {
            "code": refusal.code,
            "message": refusal.message,
            "request_id": request_id,
            **refusal.details,
        },
        status=refusal.status,
        headers=headers,
    )


def _clear_quotas(answer: dict[str, Any]) -> None:
    """Remove all models from an answer of either shape."""
    if "data" in answer:
        answer["data"]["models"].clear()
    else:
        answer["output"]["quotas"].clear()
        answer["output"]["total"] = 0


QUOTAS_MANNERS = Manners(
    error=_quotas_error, wrong_types=_WRONG_TYPES, clear_models=_clear_quotas
)
