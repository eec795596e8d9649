"""The Prometheus instances of an account: CloudMonitor's OpenAPI (2024-03-30).

No other operation is called. The answer of `GetPrometheusInstance` also contains a token
with which anyone could read the instance. The token is not kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
import re
from typing import Any

import aiohttp
from yarl import URL

from .errors import InvalidAnswerError
from .hosts import InvalidURLError, UnencryptedURLError, trusted_url
from .http import Poll
from .models import AccessKey
from .openapi import call
from .values import mapping_of, text_of

_PAGE_SIZE = 100
_MAX_PAGES = 10
_ID = re.compile("[A-Za-z0-9_-]+")
"""An ID is a part of the path of a request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrometheusInstance:
    """A Prometheus instance of an account."""

    id: str
    name: str | None = None
    region: str | None = None


class InstancesClient:
    """Finds the Prometheus instances of an account with an AccessKey."""

    def __init__(
        self, session: aiohttp.ClientSession, *, endpoint: str, access_key: AccessKey
    ) -> None:
        """Create a client. The endpoint is that of a region, or the user's own."""
        self._session = session
        self._url = URL(endpoint) / "prometheus-instances"
        self._access_key = access_key

    async def get_instances(self) -> tuple[PrometheusInstance, ...]:
        """Return the instances, at most 1000.

        Raises the same errors as `openapi.call`.
        """
        poll = Poll()
        found: dict[str, PrometheusInstance] = {}
        query: dict[str, str | int] = {"maxResults": _PAGE_SIZE}
        for _ in range(_MAX_PAGES):
            answer = await self._call(
                poll, "ListPrometheusInstances", self._url.with_query(query)
            )
            known = len(found)
            found |= {instance.id: instance for instance in parse_instances(answer)}
            token = answer.get("nextToken")
            if not isinstance(token, str) or not token or len(found) == known:
                break
            query["nextToken"] = token
        return tuple(found.values())

    async def get_url(self, instance_id: str) -> str | None:
        """Return the public URL of an instance's HTTP API.

        None if there is no such URL, or if its host is neither the vendor's nor that of
        the endpoint. The URL can contain a token. Raises `UnencryptedURLError`, and the
        same errors as `openapi.call`.
        """
        answer = await self._call(
            Poll(), "GetPrometheusInstance", self._url / instance_id
        )
        return parse_url(answer, str(self._url))

    async def _call(self, poll: Poll, action: str, url: URL) -> Mapping[str, Any]:
        """Call an operation."""
        return await call(
            poll,
            self._session,
            self._access_key,
            method="GET",
            url=url,
            action=action,
            version="2024-03-30",
        )


def parse_instances(answer: Mapping[str, Any]) -> list[PrometheusInstance]:
    """Return the instances in an answer of `ListPrometheusInstances`.

    Instances without a usable ID are left out. Raises `InvalidAnswerError` if there is no
    list.
    """
    rows = answer.get("prometheusInstances")
    if not isinstance(rows, list):
        raise InvalidAnswerError("The answer lists no instances")
    return [
        PrometheusInstance(
            id=instance_id,
            name=text_of(row.get("prometheusInstanceName")),
            region=text_of(row.get("regionId")),
        )
        for row in map(mapping_of, rows)
        if isinstance(instance_id := row.get("prometheusInstanceId"), str)
        and _ID.fullmatch(instance_id)
    ]


def parse_url(answer: Mapping[str, Any], endpoint: str) -> str | None:
    """Return the URL in an answer of `GetPrometheusInstance` from an endpoint.

    None if it can't be used. Raises `UnencryptedURLError` if the AccessKey would be sent
    unencrypted, and `InvalidAnswerError` if there is no instance.
    """
    instance = answer.get("prometheusInstance")
    if not isinstance(instance, dict):
        raise InvalidAnswerError("The answer holds no instance")
    url = instance.get("httpApiInterUrl")
    try:
        return trusted_url(url, endpoint) if isinstance(url, str) else None
    except UnencryptedURLError:
        raise
    except InvalidURLError:
        return None
