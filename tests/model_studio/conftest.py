"""Fixtures for the tests of the client library."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import ClientSession
import pytest

from custom_components.alibaba_cloud.model_studio import (
    BalanceClient,
    BillingClient,
    ModelStudioClient,
    http,
)
from tests.common import API_KEY
from tests.simulator import Account, Simulator

from .common import KEY, NOW, Serve


@pytest.fixture
def simulator(simulator: Simulator) -> Simulator:
    """Return the simulator with a fixed clock that accepts `KEY`."""
    simulator.account = Account(clock=lambda: NOW)
    simulator.access_keys = {KEY.id: KEY.secret}
    return simulator


@pytest.fixture
def client(session: ClientSession, simulator: Simulator) -> ModelStudioClient:
    """Return a client for `/quotas` of the simulator."""
    return ModelStudioClient(session, base_url=simulator.base_url, api_key=API_KEY)


@pytest.fixture
def billing(session: ClientSession, simulator: Simulator) -> BillingClient:
    """Return a client for the bill of the simulator."""
    return BillingClient(session, endpoint=simulator.openapi_url, access_key=KEY)


@pytest.fixture
def balance(session: ClientSession, simulator: Simulator) -> BalanceClient:
    """Return a client for the balance of the simulator."""
    return BalanceClient(session, endpoints=[simulator.openapi_url], access_key=KEY)


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time-out of requests."""
    monkeypatch.setattr(http, "TIMEOUT", 0.2)


@pytest.fixture
async def serve(socket_enabled: None) -> AsyncIterator[Serve]:
    """Return a function that starts a server with a fixed answer."""
    servers: list[asyncio.Server] = []

    async def serve(raw: bytes, *, hang: bool = False) -> str:
        async def handle(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(raw.replace(b"ECHO", head.split()[1]))
            if hang:
                # Returns when the client closes the connection.
                await reader.read()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield serve
    for server in servers:
        server.close()
        await server.wait_closed()
