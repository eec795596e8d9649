"""What the answers of all services have in common: JSON, error codes, Retry-After.

Nothing here does I/O.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
import json
import re
from typing import Any

import orjson

from .errors import (
    AccountError,
    BudgetExhaustedError,
    FreeQuotaUsedUpError,
    InvalidAnswerError,
    ModelStudioError,
    OverduePaymentError,
    RateLimitError,
    ServiceNotEnabledError,
)
from .models import Number
from .values import mapping_of, number_of, text_of

_MAX_DIGITS = 400

_XML_ELEMENT = re.compile(
    r"<(Code|Message)>\s*(?:<!\[CDATA\[(.*?)]]>|([^<]*?))\s*</\1>", re.DOTALL
)
_BUDGET_EXHAUSTED = re.compile(
    r"\bbudget\b.*\b(exhausted|used up|depleted)\b"
    r"|\b(exhausted|used up|depleted)\b.*\bbudget\b"
    "|[预預]算.*(用尽|用盡|耗尽|耗盡|用完)|(用尽|用盡|耗尽|耗盡|用完).*[预預]算",
    re.IGNORECASE | re.DOTALL,
)
"""Matches the message of an exhausted budget, whose code is not documented."""


def decode_answer(body: bytes) -> Any:
    """Return the decoded JSON of a body.

    Gateways also send an error as an event stream or as XML. Both are returned as an
    object with `code` and `message`. Raises `InvalidAnswerError` for anything else.
    """
    try:
        return _decode_json(body)
    except InvalidAnswerError:
        text = body.decode(errors="replace")
        for line in text.splitlines():
            if line.startswith("data:"):
                return _decode_json(line.removeprefix("data:").encode())
        if text.lstrip("\ufeff \t\r\n").startswith(("<?xml", "<Error")):
            # A regular expression instead of a parser: no XML entity is expanded.
            if error := {
                name.lower(): unescape(cdata or plain)
                for name, cdata, plain in _XML_ELEMENT.findall(text)
            }:
                return error
        raise


def _decode_json(body: bytes) -> Any:
    """Return the decoded JSON.

    NaN and Infinity are not valid JSON. They become null, so that only their figure is
    lost.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        answer = json.loads(
            body, parse_int=_whole_number, parse_constant=lambda _: None
        )
        # Half of a surrogate pair can't be stored.
        json.dumps(answer, ensure_ascii=False).encode()
    except ValueError, RecursionError:
        # The cause would contain the whole body.
        raise InvalidAnswerError("The answer is not JSON") from None
    return answer


def _whole_number(digits: str) -> int | None:
    """Return a whole number, None if it is too long to be a figure."""
    return int(digits) if len(digits) < _MAX_DIGITS else None


def code_and_message(answer: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the code and the message of an answer.

    Both can also be in an `error` object, whose values come first.
    """

    def field(fields: Mapping[str, Any], name: str) -> str | None:
        return text_of(fields.get(name)) or text_of(fields.get(name.capitalize()))

    code, message = field(answer, "code"), field(answer, "message")
    if not (error := answer.get("error")):
        return code, message
    inner = mapping_of(error)
    return (
        field(inner, "code") or code,
        field(inner, "message") or text_of(error) or message,
    )


def common_error(
    status: int, code: str, message: str | None
) -> AccountError | RateLimitError | None:
    """Return the error for a status and a code that mean the same for all services.

    Returns None for other codes.
    """
    folded = code.casefold()
    if folded.startswith("arrearage"):
        return OverduePaymentError(message, code=code, status=status)
    if folded.startswith("accessdenied.unpurchased"):
        return ServiceNotEnabledError(message, code=code, status=status)
    if not (
        status == 429
        or code.startswith("Throttling")
        or (status == 403 and code.startswith("AllocationQuota"))
    ):
        return None
    if code.startswith("AllocationQuota.FreeTierOnly"):
        return FreeQuotaUsedUpError(message, code=code)
    if _BUDGET_EXHAUSTED.search(message or ""):
        return BudgetExhaustedError(message, code=code)
    return RateLimitError(message, code=code)


def set_retry_after(err: ModelStudioError, headers: Mapping[str, str]) -> None:
    """Set how long the service asks to wait, if the error is a `RateLimitError`."""
    if isinstance(err, RateLimitError):
        err.retry_after = seconds_to_wait(headers, datetime.now(UTC))


def seconds_to_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how many seconds the headers ask to wait, None without a valid value.

    The vendor's own header is in milliseconds. Retry-After is in seconds, or an HTTP
    date.
    """
    if milliseconds := number_of(headers.get("x-acs-retry-after")):
        return milliseconds / 1000
    retry_after = headers.get("Retry-After")
    if not retry_after:
        return None
    seconds: Number | None
    if (seconds := number_of(retry_after)) is None:
        try:
            until = parsedate_to_datetime(retry_after)
        except ValueError, OverflowError:
            return None
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        seconds = (until - now).total_seconds()
    return float(seconds) if seconds > 0 else None
