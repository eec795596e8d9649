"""A port that serves HTTP, and can be closed like that of a service that is down."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

type Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

HOST = "127.0.0.1"


class Listener:
    """A server on a loopback port that can be closed and opened again."""

    def __init__(self, handler: Handler, port: int = 0) -> None:
        """Store the handler; for port 0, the first `open` chooses a free port."""
        self.port = port
        self._handler = handler
        self._open: tuple[asyncio.Server, web.Server] | None = None

    async def open(self) -> None:
        """Start to listen.

        Raises:
            OSError: the port is taken.

        """
        if self._open:
            return
        # Cancellation ends a hanging handler as soon as its connection is lost.
        server = web.Server(self._handler, handler_cancellation=True, access_log=None)
        listener = await asyncio.get_running_loop().create_server(
            server, HOST, self.port
        )
        self._open = listener, server
        self.port = listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Close the port and all connections and wait for their tasks to end."""
        if not self._open:
            return
        listener, server = self._open
        self._open = None
        # A connection that is accepted but not set up yet would not be closed. Stop
        # accepting, and let pending connections be set up first.
        asyncio.get_running_loop().remove_reader(listener.sockets[0])
        await asyncio.sleep(0)
        listener.close()
        listener.abort_clients()
        await listener.wait_closed()
        # A connection is listed until its task ends; all tasks are cancelled by now.
        while server.connections:  # noqa: ASYNC110 - no event for this
            await asyncio.sleep(0)
