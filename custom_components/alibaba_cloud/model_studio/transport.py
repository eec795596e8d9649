"""One HTTP request: no redirects, no secret in what comes back, bounded in all."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import aiohttp
from yarl import URL

from .errors import REDACTED, ConnectionFailedError, InvalidAnswerError

TIMEOUT = 10
"""Seconds for a request in all."""
LARGEST_BODY = 8 * 1024 * 1024
"""Bytes, decompressed."""
_LARGEST_FAILURE = 64 * 1024
_SHORTEST_SECRET = 8
"""Characters; what is shorter stands in any answer by chance."""


class Answer(NamedTuple):
    """What a service answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def request(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    *,
    headers: Mapping[str, str],
    secret: str,
) -> Answer:
    """Ask once; the secret is taken out of the answer and of what went wrong.

    The body of an answer other than 200 is empty where it can't be read. Raises
    `ConnectionFailedError`, which tells no more of the URL than host and port, or
    `InvalidAnswerError`.
    """
    failure = None
    try:
        async with session.request(
            method,
            url,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        ) as response:
            if response.status == 200:
                body = await _read(response, LARGEST_BODY)
            else:
                body = await _read_failure(response)
    except TimeoutError:
        failure = ConnectionFailedError(f"No answer within {TIMEOUT} s")
    except (aiohttp.ClientError, OSError) as err:
        failure = ConnectionFailedError(_reason(err) or type(err).__name__)
    if failure is not None:
        # Raised here, so that nothing hangs on it that has the request's headers.
        failure.redact(secret)
        raise failure
    # Services have been seen to repeat a secret they refuse.
    if len(secret) >= _SHORTEST_SECRET:
        body = body.replace(secret.encode(), REDACTED.encode())
    return Answer(response.status, response.headers, body)


async def retried[AnswerT](ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
    """Ask, and once more at once if the connection fails."""
    try:
        return await ask()
    except ConnectionFailedError:
        return await ask()


def _reason(err: aiohttp.ClientError | OSError) -> str:
    """Return what went wrong, empty where the text may hold the URL.

    A URL may be a secret, too: that of a Prometheus lets in whoever knows it.
    """
    if isinstance(err, aiohttp.ClientResponseError):
        # Behind the colon stands what came back, which may repeat the URL.
        return err.message.partition(":")[0]
    return str(err) if isinstance(err, OSError | aiohttp.ClientPayloadError) else ""


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
