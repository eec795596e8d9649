"""The vendor's SDK as a reference for the simulator and the integration's clients."""

from collections.abc import Callable
from typing import Any

from alibabacloud_tea_openapi.utils_models import Config  # type: ignore[import-untyped]

from .simulator import DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET, Simulator


def client[T](kind: Callable[[Any], T], simulator: Simulator, **settings: str) -> T:
    """Return a client of the vendor's SDK that connects to the simulator."""
    defaults = {
        "access_key_id": DEFAULT_ACCESS_KEY_ID,
        "access_key_secret": DEFAULT_ACCESS_KEY_SECRET,
        "protocol": "http",
        "endpoint": simulator.openapi_url.removeprefix("http://"),
    }
    return kind(Config(**(defaults | settings)))
