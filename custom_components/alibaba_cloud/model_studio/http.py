"""HTTP requests with limits on time and size.

Requests follow no redirects, and secrets are removed from answers.
"""

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
"""Seconds for a whole request."""
_MAX_BODY = 8 * 1024 * 1024
"""Bytes after decompression."""
_MAX_ERROR_BODY = 64 * 1024
_ESCAPES = (b"\\", b"%", b"&")
"""What every escape in JSON, URLs and XML starts with."""
_MIN_SECRET = 8
"""Characters. Shorter secrets appear in any answer by chance."""

_FAILURES_BY_ERRNO: Mapping[int | None, ConnectionFailure] = {
    errno.ECONNREFUSED: ConnectionFailure.REFUSED,
    errno.ETIMEDOUT: ConnectionFailure.TIMED_OUT,
    errno.ECONNRESET: ConnectionFailure.LOST,
    errno.ECONNABORTED: ConnectionFailure.LOST,
    errno.EPIPE: ConnectionFailure.LOST,
}


class Answer(NamedTuple):
    """The answer of a service."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Poll:
    """The requests of one poll, which share a single retry.

    A poll can take many requests. If each had its own retry, a service that drops
    connections would get twice as many.
    """

    def __init__(self) -> None:
        """Create a poll that can still retry."""
        self._retried = False

    async def ask[AnswerT](self, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """Send a request, and retry it immediately if the connection fails.

        Raises `ConnectionFailedError` if the retry fails or is used up, and any error
        of `ask`.
        """
        try:
            return await ask()
        except ConnectionFailedError:
            if self._retried:
                raise
        self._retried = True
        return await ask()


class _Interrupted(aiohttp.ClientError):
    """Wraps an error after which aiohttp itself would retry the request."""


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request without aiohttp's own retry.

    That retry would have the same signature, which a service accepts only once.
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
    """Send one request, and return the answer without the secrets.

    For statuses other than 200, the body is empty if it can't be read. Raises
    `ConnectionFailedError`, or `InvalidAnswerError` for an answer that is too large.
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
                body = await _read(response, _MAX_BODY)
            else:
                body = await _read_error(response)
    except _Interrupted as err:
        failure = _failure(err.__cause__)
    except (aiohttp.ClientError, OSError) as err:
        failure = _failure(err)
    if failure is not None:
        # Raised outside the handlers: their errors contain the request's headers.
        raise ConnectionFailedError(failure, url.host_port_subcomponent or "")
    for secret in secrets:
        body = _redacted(body, secret)
    return Answer(response.status, response.headers, body)


def _failure(err: BaseException | None) -> ConnectionFailure:
    """Return why a request failed."""
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
    return _FAILURES_BY_ERRNO.get(getattr(err, "errno", None), ConnectionFailure.OTHER)


def _redacted(body: bytes, secret: str) -> bytes:
    """Return a body without a secret, which some services repeat.

    The pattern also matches the escapes of JSON, XML and URLs for each character.
    """
    if len(secret) < _MIN_SECRET:
        return body
    if not any(escape in body for escape in _ESCAPES):
        # Much faster for the body of every poll.
        return body.replace(secret.encode(), REDACTED.encode())
    spellings = "".join(
        rf"(?:(?i:(?:\\u00|%){code:02x}|&\#x0*{code:x};)|&\#0*{code};"
        rf"|\\?{re.escape(chr(code))})"
        for code in secret.encode()
    )
    return re.sub(spellings.encode(), REDACTED.encode(), body)


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the body. Raises `InvalidAnswerError` as soon as it is too large."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise InvalidAnswerError(f"The answer is larger than {limit} bytes")
    return bytes(body)


async def _read_error(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of an error, empty if it can't be read."""
    try:
        return await _read(response, _MAX_ERROR_BODY)
    except aiohttp.ClientError, OSError, InvalidAnswerError:
        return b""
