"""Client for `GET {base_url}/models`, the list prices. It needs an API key only."""

import logging
from types import MappingProxyType

import aiohttp
from yarl import URL

from .answers import set_retry_after
from .client import get_with_key
from .errors import ModelStudioError
from .hosts import price_currency
from .http import Answer, Poll
from .paging import PAGE_SIZE, Page, read_pages
from .price_list import ModelRow, PriceList, parse_price_page
from .quotas import parse_failure

_LOGGER = logging.getLogger(__name__)

LANGUAGE = "en"
"""The language of names and units. The service wants one with each request."""
_MAX_LOGGED = 20


class PricesClient:
    """Reads the prices at the host of an API key."""

    def __init__(
        self, session: aiohttp.ClientSession, *, base_url: str, api_key: str
    ) -> None:
        """Create a client. The API key is sent to the base URL only."""
        self._session = session
        self._url = URL(base_url) / "models"
        self._api_key = api_key
        self._currency = price_currency(base_url)
        self._skipped: frozenset[str] = frozenset()

    async def get_prices(self) -> PriceList:
        """Return all prices. A host that answers HTTP 404 has none.

        Raises `AuthenticationError`, `RateLimitError`, `AccountError`,
        `ConnectionFailedError` or `InvalidAnswerError`.
        """
        poll = Poll()
        first = await self._get(poll, 1)
        if first is None:
            return PriceList(currency=self._currency, models=MappingProxyType({}))

        async def get_page(number: int) -> Page[ModelRow]:
            page = first if number == 1 else await self._get(poll, number)
            # A page that is missing is empty.
            return Page(rows=(), items=(), total=first.total) if page is None else page

        listing = await read_pages("prices", get_page)
        self._log_skipped(frozenset().union(*(row.skipped for row in listing.items)))
        models = {
            row.model: row.steps
            for row in reversed(listing.items)
            if any(step.prices for step in row.steps)
        }
        return PriceList(currency=self._currency, models=MappingProxyType(models))

    async def _get(self, poll: Poll, number: int) -> Page[ModelRow] | None:
        """Return a page, None if the service has no such path."""
        url = self._url.with_query(
            page_no=number, page_size=PAGE_SIZE, language=LANGUAGE
        )
        answer = await poll.ask(lambda: get_with_key(self._session, url, self._api_key))
        return None if answer.status == 404 else self._parse(answer)

    def _parse(self, answer: Answer) -> Page[ModelRow]:
        """Return the content of an answer, or raise the error for it."""
        try:
            if answer.status != 200:
                raise parse_failure(answer.status, answer.body)
            return parse_price_page(answer.body)
        except ModelStudioError as err:
            err.redact(self._api_key)
            set_retry_after(err, answer.headers)
            raise

    def _log_skipped(self, skipped: frozenset[str]) -> None:
        """Log the prices that are not understood, unless they were logged before."""
        if skipped - self._skipped:
            _LOGGER.debug(
                "Skipped prices that are not understood: %s",
                "; ".join(sorted(skipped)[:_MAX_LOGGED]),
            )
        self._skipped = skipped
