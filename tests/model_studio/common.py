"""Helpers for the tests of the client library."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
import json
import traceback
from typing import Any, Final, Protocol

from hypothesis import strategies as st
import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccessKey,
    AccountSnapshot,
    ModelStudioError,
    Money,
    RateLimit,
    TelemetryClient,
    parse_answer,
)
from tests.prometheus import BILLING_ZONE
from tests.simulator.openapi import roa_answer

NOW: Final = datetime(2026, 8, 15, 12, tzinfo=UTC)
TODAY: Final = date(2026, 8, 15)
AUGUST: Final = date(2026, 8, 1)
DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
JANUARY: Final = datetime(2026, 1, 1, tzinfo=BILLING_ZONE)

SECRET: Final = "0123456789abcdefghijABCDEFGHIJ"
"""A secret that no other text contains by chance."""
REDACTED: Final = "**REDACTED**"
KEY: Final = AccessKey(id="LTAI5tSimulator", secret=SECRET)
ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
"""Any JSON value."""


class Missing(Enum):
    """The type of `MISSING`, which marks a field that an answer lacks."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
NO_LIMIT: Final = RateLimit()
HTML: Final = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


type TelemetryCall = Callable[[TelemetryClient], Awaitable[object]]

TELEMETRY_CALLS: Final = pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get_rates(JANUARY),
        lambda client: client.get_totals(JANUARY, january(60)),
        lambda client: client.has_usage(JANUARY),
    ],
    ids=["rates", "totals", "any"],
)


class Serve(Protocol):
    """Starts a server that answers every request with these bytes."""

    async def __call__(self, raw: bytes, *, hang: bool = False) -> str:
        """Return the origin of the server.

        `ECHO` in the bytes is replaced by the path of the request. The server closes the
        connection after the bytes, or waits for the client to close it.
        """


def usd(amount: str) -> Money:
    """Return an amount in US dollars."""
    return Money(amount=Decimal(amount), currency="USD")


def cny(amount: str) -> Money:
    """Return an amount in Chinese yuan."""
    return Money(amount=Decimal(amount), currency="CNY")


def january(minutes: float) -> datetime:
    """Return a time, in minutes after the start of the year."""
    return JANUARY + timedelta(minutes=minutes)


def days(first: date, last: date) -> list[date]:
    """Return the days from one to another, both included."""
    return [first + number * DAY for number in range((last - first).days + 1)]


def short(value: object) -> str:
    """Return a test ID. Mutmut can't select tests whose IDs have a backslash."""
    return ascii(value).replace("\\", "")[:60]


def encoded(value: Any) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value).encode()


def bill(
    *periods: Any, total: Any = "30.00", currency: Any = "CNY", **data: Any
) -> dict[str, Any]:
    """Return the answer of `GetBillingTrend` with these periods."""
    totals = {"amount": total, "currency": currency}
    return roa_answer(
        {"costTotals": totals, "resultByTime": [*periods], **data}, "request"
    )


def period(
    start: Any, total: Any, /, currency: Any = "CNY", **groups: Any
) -> dict[str, Any]:
    """Return a period of an answer, with amounts by group key."""
    return {
        "period": start,
        "total": {"amount": total, "currency": currency},
        "periodDetails": [
            {"key": key, "name": key.title(), "amount": amount}
            for key, amount in groups.items()
        ],
    }


def raw_answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    """Return the bytes of an HTTP answer."""
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, "", "")).encode() + body


def raw_json(status: int, body: Any) -> bytes:
    """Return the bytes of an HTTP answer with JSON in its body."""
    content = body if isinstance(body, bytes) else encoded(body)
    length = f"Content-Length: {len(content)}"
    return raw_answer(f"{status} X", length, body=content)


def account_of(body: bytes) -> AccountSnapshot:
    """Return the account in the body of an answer."""
    account = parse_answer(body)
    assert isinstance(account, AccountSnapshot)
    return account


async def failure(call: Awaitable[object]) -> ModelStudioError:
    """Return the error that a call raises."""
    with pytest.raises(ModelStudioError) as caught:
        await call
    return caught.value


def texts(error: BaseException) -> str:
    """Return every text that a traceback of an error can show, including its causes."""
    parts = traceback.format_exception(error)
    current: BaseException | None = error
    while current is not None:
        parts += [str(current), repr(current), repr(vars(current))]
        context = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or context
    return "\n".join(parts)
