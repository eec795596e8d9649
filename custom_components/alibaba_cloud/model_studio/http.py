"""One HTTP request: no redirects, no secret in what comes back, bounded in all."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
import errno
import re
import ssl
from typing import NamedTuple

import aiohttp
from yarl import URL

from .errors import (
    REDACTED,
    ConnectionFailedError,
    ConnectionFailure,
    InvalidAnswerError,
)

TIMEOUT = 10
"""Seconds for a request in all."""
LARGEST_BODY = 8 * 1024 * 1024
"""Bytes, decompressed."""
_LARGEST_FAILURE = 64 * 1024
_SHORTEST_SECRET = 8
"""Characters; what is shorter stands in any answer by chance."""


_BY_ERRNO: Mapping[int | None, ConnectionFailure] = {
    errno.ECONNREFUSED: ConnectionFailure.REFUSED,
    errno.ETIMEDOUT: ConnectionFailure.TIMED_OUT,
    errno.ECONNRESET: ConnectionFailure.LOST,
    errno.ECONNABORTED: ConnectionFailure.LOST,
    errno.EPIPE: ConnectionFailure.LOST,
}


class Answer(NamedTuple):
    """What a service answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Poll:
    """The requests of one poll, of which one may be sent again.

    A service that drops connections is asked once more in a poll, however many requests
    the poll takes.
    """

    def __init__(self) -> None:
        """Start with the retry unused."""
        self._retried = False

    async def ask[AnswerT](self, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """Ask, and once more at once if the connection fails."""
        try:
            return await ask()
        except ConnectionFailedError:
            if self._retried:
                raise
        self._retried = True
        return await ask()


class _Interrupted(aiohttp.ClientError):
    """Hides an error after which aiohttp would send the request again by itself."""


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request, and let `Poll` decide whether it is sent again.

    What aiohttp repeats has the same signature, which a service takes once.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as err:
        raise _Interrupted from err


async def request(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    *,
    headers: Mapping[str, str],
    secrets: Iterable[str],
) -> Answer:
    """Send one request; secrets are taken out of the answer.

    The body of an answer other than 200 is empty where it can't be read. Raises
    `ConnectionFailedError` or `InvalidAnswerError`.
    """
    failure = None
    try:
        async with session.request(
            method,
            url,
            headers={"Accept": "application/json", **headers},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            middlewares=(_send_once,),
        ) as response:
            if response.status == 200:
                body = await _read(response, LARGEST_BODY)
            else:
                body = await _read_failure(response)
    except _Interrupted as err:
        failure = _failure(err.__cause__)
    except (aiohttp.ClientError, OSError) as err:
        failure = _failure(err)
    if failure is not None:
        # Raised here, so that nothing hangs on it that has the request's headers.
        raise ConnectionFailedError(failure, url.host_port_subcomponent or "")
    for secret in secrets:
        body = _redacted(body, secret)
    return Answer(response.status, response.headers, body)


def _failure(err: BaseException | None) -> ConnectionFailure:
    """Return why there is no answer."""
    if isinstance(err, aiohttp.ClientConnectorDNSError):
        return ConnectionFailure.HOST_NOT_FOUND
    if isinstance(err, aiohttp.ClientConnectorError):
        err = err.os_error
    if isinstance(err, TimeoutError):
        return ConnectionFailure.TIMED_OUT
    if isinstance(err, ssl.SSLError):
        return ConnectionFailure.TLS
    if isinstance(
        err,
        aiohttp.ServerDisconnectedError
        | aiohttp.ClientPayloadError
        | ConnectionResetError,
    ):
        return ConnectionFailure.LOST
    return _BY_ERRNO.get(getattr(err, "errno", None), ConnectionFailure.OTHER)


def _redacted(body: bytes, secret: str) -> bytes:
    """Return a body without the secret: services have been seen to repeat it.

    JSON, XML and URLs can write each character in another way, too.
    """
    if len(secret) < _SHORTEST_SECRET:
        return body
    spellings = "".join(
        rf"(?:(?i:(?:\\u00|%){code:02x}|&\#x0*{code:x};)|&\#0*{code};"
        rf"|\\?{re.escape(character)})"
        for character, code in zip(secret, secret.encode(), strict=True)
    )
    return re.sub(spellings.encode(), REDACTED.encode(), body)


async def _read(response: aiohttp.ClientResponse, largest: int) -> bytes:
    """Return the body, refusing while reading what is too large."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > largest:
            raise InvalidAnswerError(f"The answer is larger than {largest} bytes")
    return bytes(body)


async def _read_failure(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of an answer other than 200, empty if it can't be read."""
    try:
        return await _read(response, _LARGEST_FAILURE)
    except aiohttp.ClientError, OSError, InvalidAnswerError:
        return b""
