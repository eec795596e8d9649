"""Client for `GET {base_url}/quotas`, the only request that needs no AccessKey.

An API key reads either all figures of an account, or only its limits. Limits are some
500 rows on several pages, and rarely change. They are listed every half hour. Each poll
in between asks for one row, which is enough to check the service, the API key and the
number of rows.
"""

from dataclasses import dataclass
import re
import time

import aiohttp
from yarl import URL

from .answers import set_retry_after
from .errors import AuthenticationError, InvalidAnswerError, ModelStudioError
from .http import Answer, Poll, request
from .models import AccountSnapshot, Number, RateLimit
from .paging import PAGE_SIZE, Page, read_pages
from .quotas import LimitsPage, QuotasParser, limits_account, parse_failure

LISTING_INTERVAL = 30 * 60
"""Seconds between two listings of all limits."""
_API_KEY = re.compile(r"[!-~]+")


async def get_with_key(
    session: aiohttp.ClientSession, url: URL, api_key: str
) -> Answer:
    """Send one request with an API key, and return the answer without it.

    Raises `AuthenticationError` if the key has characters that must not be sent, and
    the errors of `http.request`.
    """
    if not _API_KEY.fullmatch(api_key):
        raise AuthenticationError("This can't be an API key")
    return await request(
        session,
        "GET",
        url,
        headers={"Authorization": f"Bearer {api_key}"},
        secrets=(api_key,),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitsListing:
    """All pages of the limits answer."""

    account: AccountSnapshot
    pages: int
    rows: int
    total: Number | None
    """Number of rows that the service reports."""


class ModelStudioClient:
    """Reads an account with an API key."""

    def __init__(
        self, session: aiohttp.ClientSession, *, base_url: str, api_key: str
    ) -> None:
        """Create a client. The API key is sent to the base URL only."""
        self._session = session
        self._url = URL(base_url) / "quotas"
        self._api_key = api_key
        self._parser = QuotasParser()
        self._listed_at = 0.0
        self.listing: LimitsListing | None = None
        """The last listing, None for an account that reports more than limits."""
        self.body: bytes | None = None
        """The body of the last account answer, None after a limits answer."""

    @property
    def host(self) -> str:
        """The host of the service, with the port unless it is the default one."""
        return self._url.host_port_subcomponent or ""

    async def get_account(self) -> AccountSnapshot:
        """Return the current figures of the account.

        Raises `AuthenticationError`, `RateLimitError`, `AccountError`,
        `ConnectionFailedError` or `InvalidAnswerError`.
        """
        poll = Poll()
        size = None if self.listing is None else 1
        answer = await self._get_quotas(poll, page=1, size=size)
        if isinstance(answer, AccountSnapshot):
            self.listing = None
            return answer
        if (
            self.listing is None
            or self.listing.total != answer.total
            or time.monotonic() - self._listed_at > LISTING_INTERVAL
        ):
            self.listing = await self._list_limits(poll)
            self._listed_at = time.monotonic()
        return self.listing.account

    async def try_key(self) -> None:
        """Check the API key with one request. Raises the same as `get_account`."""
        await self._get(self._url)

    async def _list_limits(self, poll: Poll) -> LimitsListing:
        """Read all pages of the limits answer. Raises as `read_pages`."""

        async def get_page(number: int) -> Page[tuple[str, RateLimit]]:
            page = await self._get_quotas(poll, page=number, size=PAGE_SIZE)
            if not isinstance(page, LimitsPage):
                raise InvalidAnswerError("The quotas changed while they were listed")
            return Page(rows=page.rows, items=page.limits, total=page.total)

        listing = await read_pages("quotas", get_page)
        return LimitsListing(
            account=limits_account(listing.items),
            pages=listing.pages,
            rows=len(listing.items),
            total=listing.total,
        )

    async def _get_quotas(
        self, poll: Poll, *, page: int, size: int | None
    ) -> AccountSnapshot | LimitsPage:
        """Return the answer for a page. Without a size, the request has no paging."""
        url = self._url
        if size is not None:
            url = url.with_query(page_no=page, page_size=size)
        return await poll.ask(lambda: self._get(url))

    async def _get(self, url: URL) -> AccountSnapshot | LimitsPage:
        """Send one request."""
        return self._parse(await get_with_key(self._session, url, self._api_key))

    def _parse(self, answer: Answer) -> AccountSnapshot | LimitsPage:
        """Return the content of an answer, or raise the error for it."""
        try:
            if answer.status != 200:
                raise parse_failure(answer.status, answer.body)
            content = self._parser.parse(answer.body)
        except ModelStudioError as err:
            err.redact(self._api_key)
            set_retry_after(err, answer.headers)
            raise
        self.body = answer.body if isinstance(content, AccountSnapshot) else None
        return content
