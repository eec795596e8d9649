"""The one request of a poll: `GET {base_url}/quotas`."""

from datetime import UTC, datetime
from ipaddress import ip_address

import aiohttp
from yarl import URL

from .errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidAnswerError,
    ModelStudioError,
)
from .models import AccountSnapshot
from .parsing import parse_answer, parse_failure

REGIONS = {
    "cn-beijing": "https://dashscope.aliyuncs.com/api/v1",
    "ap-southeast-1": "https://dashscope-intl.aliyuncs.com/api/v1",
    "us-east-1": "https://dashscope-us.aliyuncs.com/api/v1",
    "cn-hongkong": "https://cn-hongkong.dashscope.aliyuncs.com/api/v1",
}
"""Base URL by region. An API key belongs to one region."""
DEFAULT_REGION = "cn-beijing"

TIMEOUT = 10
"""Seconds for a request in all."""
LARGEST_BODY = 8 * 1024 * 1024
"""Bytes, decompressed."""
_LARGEST_FAILURE = 64 * 1024


class InvalidURLError(ValueError):
    """A base URL that no key may be sent to."""


class ModelStudioClient:
    """Reads an account with an API key."""

    def __init__(
        self, session: aiohttp.ClientSession, *, base_url: str, api_key: str
    ) -> None:
        """Keep where to ask, and the key, which goes there and nowhere else."""
        self._session = session
        self._url = URL(base_url) / "quotas"
        self._api_key = api_key

    async def get_account(self) -> AccountSnapshot:
        """Return the account's figures as of now.

        A connection that fails is tried once more at once. Raises
        `AuthenticationError`, `RateLimitError`, `AccountError`,
        `ConnectionFailedError` or `InvalidAnswerError`.
        """
        if not self._api_key.isascii() or not self._api_key.isprintable():
            raise AuthenticationError("The API key holds characters that no key has")
        if not self._api_key:
            raise AuthenticationError("There is no API key")
        try:
            try:
                return await self._get_quotas()
            except ConnectionFailedError:
                return await self._get_quotas()
        except ModelStudioError as err:
            # Services have been seen to repeat a key they refuse.
            err.redact(self._api_key)
            raise

    async def _get_quotas(self) -> AccountSnapshot:
        """Ask once."""
        try:
            async with self._session.get(
                self._url,
                headers={"Authorization": f"Bearer {self._api_key}"},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            ) as response:
                if response.status != 200:
                    raise await _failure(response)
                body = await _read(response, LARGEST_BODY)
        except TimeoutError as err:
            raise ConnectionFailedError(f"No answer within {TIMEOUT} s") from err
        except (aiohttp.ClientError, OSError) as err:
            raise ConnectionFailedError(str(err) or type(err).__name__) from err
        return parse_answer(body)


async def _read(response: aiohttp.ClientResponse, largest: int) -> bytes:
    """Return the body, refusing while reading what is too large."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > largest:
            raise InvalidAnswerError(f"The answer is larger than {largest} bytes")
    return bytes(body)


async def _failure(response: aiohttp.ClientResponse) -> ModelStudioError:
    """Return what an answer other than 200 stands for, whatever its body is."""
    try:
        body = await _read(response, _LARGEST_FAILURE)
    except aiohttp.ClientError, OSError, InvalidAnswerError:
        body = b""
    return parse_failure(
        response.status,
        body,
        response.headers.get("Retry-After"),
        now=datetime.now(UTC),
    )


def normalize_base_url(text: str) -> str:
    """Return the base URL that a user meant, without the slash or `/quotas` at its end.

    Raises `InvalidURLError` unless it is https (http for loopback and private
    addresses alone) and free of credentials, query and fragment.
    """
    try:
        url = URL(text.strip())
        host = url.host or ""
        host.encode("idna")
    except ValueError as err:
        raise InvalidURLError("Not a URL") from err
    allowed = ("https", "http") if _is_local(host) else ("https",)
    if (
        not host
        or url.scheme not in allowed
        or url.user is not None
        or url.password is not None
        or url.query_string
        or url.fragment
    ):
        raise InvalidURLError("Not a base URL")
    return str(url).rstrip("/").removesuffix("/quotas").rstrip("/")


def _is_local(host: str) -> bool:
    """Return whether a host is this machine or an address of a private network."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_private
