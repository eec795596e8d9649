"""The one request of a poll: `GET {base_url}/quotas`.

An account whose key reads limits only has some 500 rows on several pages. They are
settings: they are listed now and then, and a poll asks for one row, to know that the
service, the key and the number of rows are what they were.
"""

from datetime import UTC, datetime
from ipaddress import ip_address
import re
import time

import aiohttp
from yarl import URL

from .errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidAnswerError,
    ModelStudioError,
)
from .models import AccountSnapshot, LimitsListing, LimitsPage, RateLimit
from .parsing import AnswerParser, limits_account, parse_failure

REGIONS = {
    "cn-beijing": "https://dashscope.aliyuncs.com/api/v1",
    "ap-southeast-1": "https://dashscope-intl.aliyuncs.com/api/v1",
    "us-east-1": "https://dashscope-us.aliyuncs.com/api/v1",
    "cn-hongkong": "https://cn-hongkong.dashscope.aliyuncs.com/api/v1",
}
"""Base URL by region. An API key belongs to one region."""
DEFAULT_REGION = "cn-beijing"
WORKSPACE_REGIONS = (*REGIONS, "eu-central-1", "ap-northeast-1")
"""Regions with a host for each workspace; the last two have no other."""

TIMEOUT = 10
"""Seconds for a request in all."""
LARGEST_BODY = 8 * 1024 * 1024
"""Bytes, decompressed."""
_LARGEST_FAILURE = 64 * 1024

LISTING_INTERVAL = 30 * 60
"""Seconds after which the limits are listed again."""
PAGE_SIZE = 100
"""Rows; the service refuses more."""
MOST_PAGES = 100


WORKSPACE_BASE_URL = "https://{workspace_id}.{region}.maas.aliyuncs.com/api/v1"
_WORKSPACE_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class InvalidURLError(ValueError):
    """A base URL that no key may be sent to."""


class InvalidWorkspaceError(ValueError):
    """What is no id of a workspace."""


class ModelStudioClient:
    """Reads an account with an API key."""

    def __init__(
        self, session: aiohttp.ClientSession, *, base_url: str, api_key: str
    ) -> None:
        """Keep where to ask, and the key, which goes there and nowhere else."""
        self._session = session
        self._url = URL(base_url) / "quotas"
        self._api_key = api_key
        self._parser = AnswerParser()
        self._listed = 0.0
        self.listing: LimitsListing | None = None
        """The limits as last listed, None for an account that reports more."""
        self.body: bytes | None = None
        """The last account answer as it came, for `parse_answer` to read again."""

    async def get_account(self) -> AccountSnapshot:
        """Return the account's figures as of now.

        Raises `AuthenticationError`, `RateLimitError`, `AccountError`,
        `ConnectionFailedError` or `InvalidAnswerError`.
        """
        if not self._api_key.isascii() or not self._api_key.isprintable():
            raise AuthenticationError("The API key holds characters that no key has")
        if not self._api_key:
            raise AuthenticationError("There is no API key")
        try:
            return await self._get_account()
        except ModelStudioError as err:
            # Services have been seen to repeat a key they refuse.
            err.redact(self._api_key)
            raise

    async def try_key(self) -> None:
        """Ask once whether the key is accepted. Raises as `get_account` does."""
        await self._get(self._url)

    async def _get_account(self) -> AccountSnapshot:
        """Ask for the account; list its limits if that is all there is, and it is time."""
        answer = await self._get_quotas(page=1, size=1 if self.listing else None)
        if isinstance(answer, AccountSnapshot):
            self.listing = None
            return answer
        if (
            self.listing is None
            or self.listing.total != answer.total
            or time.monotonic() - self._listed > LISTING_INTERVAL
        ):
            self.listing = await self._list_limits()
            self._listed = time.monotonic()
        return self.listing.account

    async def _list_limits(self) -> LimitsListing:
        """Read all pages of the limits answer.

        Raises `InvalidAnswerError` unless that is as many rows as the service says
        there are: a list is whole or none.
        """
        seen: set[bytes] = set()
        limits: list[tuple[str, RateLimit]] = []
        total = None
        for number in range(1, MOST_PAGES + 1):
            page = await self._get_quotas(page=number, size=PAGE_SIZE)
            if not isinstance(page, LimitsPage) or (number > 1 and page.total != total):
                raise InvalidAnswerError("The quotas changed while they were listed")
            total = page.total
            new = [
                limit
                for row, limit in zip(page.rows, page.limits, strict=True)
                if row not in seen
            ]
            seen.update(page.rows)
            limits += new
            if not page.rows if total is None else len(limits) >= total:
                return LimitsListing(
                    account=limits_account(limits),
                    pages=number,
                    rows=len(limits),
                    total=total,
                )
            if not new:
                break
        raise InvalidAnswerError(
            f"The quotas are incomplete: {len(limits)} rows of {total}"
        )

    async def _get_quotas(
        self, *, page: int, size: int | None
    ) -> AccountSnapshot | LimitsPage:
        """Ask once, and once more at once if the connection fails.

        Without a size there is no paging in the request.
        """
        url = self._url
        if size is not None:
            url = url.with_query(page_no=page, page_size=size)
        try:
            return await self._get(url)
        except ConnectionFailedError:
            return await self._get(url)

    async def _get(self, url: URL) -> AccountSnapshot | LimitsPage:
        """Ask once."""
        try:
            async with self._session.get(
                url,
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
        answer = self._parser.parse(body)
        if isinstance(answer, AccountSnapshot):
            self.body = body
        return answer


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
    text = text.strip()
    try:
        url = URL(text)
        host = url.host or ""
        host.encode("idna")
    except ValueError as err:
        raise InvalidURLError("Not a URL") from err
    allowed = ("https", "http") if _is_local(host) else ("https",)
    if (
        not host
        or len(text.split()) > 1
        or url.scheme not in allowed
        or url.user is not None
        or url.password is not None
        or url.query_string
        or url.fragment
    ):
        raise InvalidURLError("Not a base URL")
    return str(url).rstrip("/").removesuffix("/quotas").rstrip("/")


def workspace_base_url(workspace_id: str, region: str) -> str:
    """Return the base URL of a workspace in a region.

    Raises `InvalidWorkspaceError` unless the id can stand in a host name, as ids do.
    """
    workspace_id = workspace_id.strip().lower()
    if not _WORKSPACE_ID.fullmatch(workspace_id):
        raise InvalidWorkspaceError("Not the id of a workspace")
    return WORKSPACE_BASE_URL.format(workspace_id=workspace_id, region=region)


def _is_local(host: str) -> bool:
    """Return whether a host is this machine or an address of a private network."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_private
