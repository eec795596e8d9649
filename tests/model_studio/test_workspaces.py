"""The names of workspaces."""

from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
from alibabacloud_modelstudio20260210 import models as vendor  # type: ignore[import-untyped]
from alibabacloud_modelstudio20260210.client import Client  # type: ignore[import-untyped]
import pytest

from custom_components.alibaba_cloud.model_studio import (
    InvalidAnswerError,
    PermissionDeniedError,
    WorkspacesClient,
)
from tests.simulator import Simulator
from tests.vendor import client

from .common import KEY

pytestmark = [
    pytest.mark.usefixtures("socket_enabled"),
    # Of the vendor's client.
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]


@pytest.fixture
def workspaces(
    session: aiohttp.ClientSession, simulator: Simulator
) -> WorkspacesClient:
    """Return a client that asks the simulator."""
    return WorkspacesClient(session, endpoint=simulator.openapi_url, access_key=KEY)


def page(*rows: Any, token: Any = None) -> dict[str, Any]:
    """Return an answer with these workspaces."""
    return {"success": True, "workspaces": [*rows], "nextToken": token}


def row(workspace_id: Any, name: Any) -> dict[str, Any]:
    """Return a workspace of an answer."""
    return {"workspaceId": workspace_id, "workspaceName": name}


async def test_names(simulator: Simulator, workspaces: WorkspacesClient) -> None:
    """All pages are read."""
    assert await workspaces.get_names() == simulator.account.workspaces
    assert [(request.path, request.query) for request in simulator.signed_requests] == [
        ("/modelstudio/workspaces", {}),
        ("/modelstudio/workspaces", {"nextToken": "2"}),
    ]


async def test_missing_permission(
    simulator: Simulator, workspaces: WorkspacesClient
) -> None:
    simulator.denied = {"ListWorkspaces"}
    with pytest.raises(PermissionDeniedError) as raised:
        await workspaces.get_names()
    assert raised.value.action == "modelstudio:ListWorkspaces"


@pytest.mark.parametrize(
    ("body", "names", "requests"),
    [
        (page(), {}, 1),
        (page(row("a", "A"), token=""), {"a": "A"}, 1),
        (page(row("a", "A"), token="again"), {"a": "A"}, 2),
        (
            lambda query: page(token=query.get("nextToken", "") + "x"),
            {},
            50,
        ),
        (
            page(None, 7, "a", [], {}, row("a", None), row(7, "A"), row("b", " \n")),
            {},
            1,
        ),
        (page(row("a", " Team\u202e\n A ")), {"a": "Team A"}, 1),
    ],
    ids=["none", "one page", "same token", "endless", "wrong types", "odd text"],
)
async def test_unusual_answer(
    simulator: Simulator,
    workspaces: WorkspacesClient,
    body: Mapping[str, Any] | Callable[[Mapping[str, str]], Any],
    names: dict[str, str],
    requests: int,
) -> None:
    simulator.workspaces_body = body
    assert await workspaces.get_names() == names
    assert len(simulator.signed_requests) == requests


@pytest.mark.parametrize("rows", [None, {}, "none", 7])
async def test_invalid_answer(
    simulator: Simulator, workspaces: WorkspacesClient, rows: Any
) -> None:
    simulator.workspaces_body = {"success": True, "workspaces": rows}
    with pytest.raises(InvalidAnswerError):
        await workspaces.get_names()


async def test_vendor_reads_the_simulator(simulator: Simulator) -> None:
    """The vendor's client signs, asks and reads as this integration does."""
    names: dict[str, str] = {}
    token = None
    while True:
        body = (
            await client(
                Client, simulator, access_key_secret=KEY.secret
            ).list_workspaces_async(
                vendor.ListWorkspacesRequest(max_results=1, next_token=token)
            )
        ).body
        assert body.success
        names |= {row.workspace_id: row.workspace_name for row in body.workspaces}
        if not (token := body.next_token):
            break
    assert names == simulator.account.workspaces
