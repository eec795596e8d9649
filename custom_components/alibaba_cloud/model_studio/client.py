"""The one request of a poll: `GET {base_url}/quotas`.

An account whose key reads limits only has some 500 rows on several pages. They are
settings: they are listed now and then, and a poll asks for one row, to know that the
service, the key and the number of rows are what they were.
"""

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
import re
import time

import aiohttp
from yarl import URL

from .errors import (
    AuthenticationError,
    InvalidAnswerError,
    ModelStudioError,
    RateLimitError,
)
from .http import Answer, Poll, request
from .models import AccountSnapshot, LimitsListing, LimitsPage, RateLimit
from .parsing import AnswerParser, limits_account, parse_failure, seconds_to_wait

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

LISTING_INTERVAL = 30 * 60
"""Seconds after which the limits are listed again."""
PAGE_SIZE = 100
"""Rows; the service refuses more."""
MOST_PAGES = 100

WORKSPACE_BASE_URL = "https://{workspace_id}.{region}.maas.aliyuncs.com/api/v1"
_LOCAL_NETWORKS = tuple(
    map(
        ip_network,
        (
            "127.0.0.0/8",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "169.254.0.0/16",
            "::1/128",
            "fc00::/7",
            "fe80::/10",
        ),
    )
)
"""Loopback, private (RFC 1918, RFC 4193) and link-local addresses.

`is_private` also covers addresses that lead elsewhere, such as 0.0.0.0 and 240.0.0.0/4.
"""
_VENDOR = ".aliyuncs.com"
_COMPATIBLE_PATH = re.compile("/compatible-mode/v1(/.*)?")
"""The OpenAI-compatible API, which has no quotas."""
_API_KEY = re.compile(r"[!-~]+")
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
        """The last answer as it came, if it was an account's, to be parsed again."""

    @property
    def host(self) -> str:
        """Who is asked, with the port unless it is the usual one."""
        return self._url.host_port_subcomponent or ""

    async def get_account(self) -> AccountSnapshot:
        """Return the account's figures as of now.

        Raises `AuthenticationError`, `RateLimitError`, `AccountError`,
        `ConnectionFailedError` or `InvalidAnswerError`.
        """
        poll = Poll()
        answer = await self._get_quotas(poll, page=1, size=1 if self.listing else None)
        if isinstance(answer, AccountSnapshot):
            self.listing = None
            return answer
        if (
            self.listing is None
            or self.listing.total != answer.total
            or time.monotonic() - self._listed > LISTING_INTERVAL
        ):
            self.listing = await self._list_limits(poll)
            self._listed = time.monotonic()
        return self.listing.account

    async def try_key(self) -> None:
        """Ask once whether the key is accepted. Raises as `get_account` does."""
        await self._get(self._url)

    async def _list_limits(self, poll: Poll) -> LimitsListing:
        """Read all pages of the limits answer.

        Raises `InvalidAnswerError` unless that is as many rows as the service says
        there are: a list is whole or none. A service that does not say ends the list
        with a page that is empty or brings nothing new.
        """
        seen: set[bytes] = set()
        limits: list[tuple[str, RateLimit]] = []
        total = None
        for number in range(1, MOST_PAGES + 1):
            page = await self._get_quotas(poll, page=number, size=PAGE_SIZE)
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
            if not new if total is None else len(limits) == total:
                return LimitsListing(
                    account=limits_account(limits),
                    pages=number,
                    rows=len(limits),
                    total=total,
                )
            if not new or (total is not None and len(limits) > total):
                break
        raise InvalidAnswerError(
            f"The quotas do not add up: {len(limits)} rows of {total}"
        )

    async def _get_quotas(
        self, poll: Poll, *, page: int, size: int | None
    ) -> AccountSnapshot | LimitsPage:
        """Return a page; without a size there is no paging in the request."""
        url = self._url
        if size is not None:
            url = url.with_query(page_no=page, page_size=size)
        return await poll.ask(lambda: self._get(url))

    async def _get(self, url: URL) -> AccountSnapshot | LimitsPage:
        """Ask once."""
        if not _API_KEY.fullmatch(self._api_key):
            raise AuthenticationError("This can't be an API key")
        answer = await request(
            self._session,
            "GET",
            url,
            headers={"Authorization": f"Bearer {self._api_key}"},
            secrets=(self._api_key,),
        )
        return self._parse(answer)

    def _parse(self, answer: Answer) -> AccountSnapshot | LimitsPage:
        """Return what an answer says, or raise what it stands for."""
        try:
            if answer.status != 200:
                raise parse_failure(answer.status, answer.body)
            parsed = self._parser.parse(answer.body)
        except ModelStudioError as err:
            err.redact(self._api_key)
            if isinstance(err, RateLimitError):
                err.retry_after = seconds_to_wait(
                    answer.headers.get("Retry-After"), datetime.now(UTC)
                )
            raise
        self.body = answer.body if isinstance(parsed, AccountSnapshot) else None
        return parsed


def normalize_base_url(text: str) -> str:
    """Return the base URL that a user meant, without the slash or `/quotas` at its end.

    On the vendor's own hosts, the URL of the OpenAI-compatible API stands for that of
    the API. Raises `InvalidURLError` unless the URL is https (http for this machine and
    private addresses alone) and free of credentials, query and fragment.
    """
    text = text.strip()
    try:
        url = URL(text)
        host = url.host or ""
        host.encode("idna")
        if host.endswith("."):
            # The same host as without it.
            host = host.removesuffix(".")
            url = url.with_host(host)
    except ValueError as err:
        raise InvalidURLError("Not a URL") from err
    allowed = ("https", "http") if _is_local(host) else ("https",)
    if (
        not host
        or not text.isprintable()
        or " " in text
        or url.scheme not in allowed
        or url.user is not None
        or url.password is not None
        or url.query_string
        or url.fragment
    ):
        raise InvalidURLError("Not a base URL")
    path = url.raw_path.rstrip("/").removesuffix("/quotas").rstrip("/")
    if host.endswith(_VENDOR) and _COMPATIBLE_PATH.fullmatch(path):
        path = "/api/v1"
    return f"{url.origin()}{path}"


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
    # An IPv4 address in an IPv6 one is what is connected to.
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in _LOCAL_NETWORKS)
