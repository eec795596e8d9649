"""The names of workspaces: `ListWorkspaces` of Model Studio's OpenAPI (2026-02-10).

No other operation is called: similar ones create and delete workspaces.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
from yarl import URL

from .errors import InvalidAnswerError
from .http import Poll
from .models import AccessKey
from .openapi import call
from .values import text_of

_MAX_PAGES = 50


class WorkspacesClient:
    """Reads the names of an account's workspaces with an AccessKey."""

    def __init__(
        self, session: aiohttp.ClientSession, *, endpoint: str, access_key: AccessKey
    ) -> None:
        """Create a client. The secret of the AccessKey is not sent."""
        self._session = session
        self._url = URL(endpoint) / "modelstudio/workspaces"
        self._access_key = access_key

    async def get_names(self) -> Mapping[str, str]:
        """Return the name of each workspace by ID. Workspaces without a name are left out.

        Raises the same errors as `openapi.call`.
        """
        poll = Poll()
        names: dict[str, str] = {}
        token, seen = "", set[str]()
        # The last page has no token. A token that is repeated would cause a loop.
        while token not in seen and len(seen) < _MAX_PAGES:
            seen.add(token)
            answer = await call(
                poll,
                self._session,
                self._access_key,
                method="GET",
                url=self._url.with_query({"nextToken": token} if token else {}),
                action="ListWorkspaces",
                version="2026-02-10",
            )
            names |= _names(answer)
            token = str(answer.get("nextToken") or "")
        return names


def _names(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the ID and the name of each workspace in an answer of `ListWorkspaces`.

    Raises `InvalidAnswerError` if there is no list in it.
    """
    rows = answer.get("workspaces")
    if not isinstance(rows, list):
        raise InvalidAnswerError("The answer holds no workspaces")
    for row in rows:
        if isinstance(row, dict):
            workspace, name = row.get("workspaceId"), text_of(row.get("workspaceName"))
            if isinstance(workspace, str) and name:
                yield workspace, name
