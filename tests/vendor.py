"""The vendor's SDK as a reference for the simulator and the integration's clients."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from alibabacloud_tea_openapi.utils import Utils  # type: ignore[import-untyped]
from alibabacloud_tea_openapi.utils_models import Config  # type: ignore[import-untyped]

from .simulator import DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET, Simulator

TREND_PATH = "/modelstudio/billing/trend"


def client[T](kind: Callable[[Any], T], simulator: Simulator, **settings: str) -> T:
    """Return a client of the vendor's SDK that connects to the simulator."""
    defaults = {
        "access_key_id": DEFAULT_ACCESS_KEY_ID,
        "access_key_secret": DEFAULT_ACCESS_KEY_SECRET,
        "protocol": "http",
        "endpoint": simulator.openapi_url.removeprefix("http://"),
    }
    return kind(Config(**(defaults | settings)))


def signed(
    simulator: Simulator,
    query: Mapping[str, str],
    *,
    method: str = "GET",
    path: str = TREND_PATH,
    action: str = "GetBillingTrend",
    version: str = "2026-02-10",
    body: bytes = b"",
    secret: str = DEFAULT_ACCESS_KEY_SECRET,
    unsigned: str = "",
    **changed: str,
) -> dict[str, str]:
    """Return the headers of a request, signed by the vendor's SDK.

    unsigned: a header to leave out of the signature.
    changed: further or changed headers, with _ for -.
    """
    headers = {
        "host": simulator.openapi_url.removeprefix("http://"),
        "x-acs-action": action,
        "x-acs-content-sha256": sha256(body).hexdigest(),
        "x-acs-date": now_text(),
        "x-acs-signature-nonce": uuid4().hex,
        "x-acs-version": version,
    } | {name.replace("_", "-"): text for name, text in changed.items()}
    authorization = Utils.get_authorization(
        SimpleNamespace(
            method=method,
            pathname=path,
            query=query,
            headers={name: text for name, text in headers.items() if name != unsigned},
        ),
        "ACS3-HMAC-SHA256",
        headers["x-acs-content-sha256"],
        DEFAULT_ACCESS_KEY_ID,
        secret,
    )
    return headers | {"Authorization": authorization}


def now_text(**ahead: float) -> str:
    """Return the current time plus an offset in the format of a signature."""
    return f"{datetime.now(UTC) + timedelta(**ahead):%Y-%m-%dT%H:%M:%SZ}"
