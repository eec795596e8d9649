"""Reads lists that a service answers in pages."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from .errors import InvalidAnswerError
from .models import Number

PAGE_SIZE = 100
"""Rows on a page. The service refuses more."""
MAX_PAGES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Page[ItemT]:
    """A page of a list."""

    rows: Sequence[str]
    """Each row as JSON, to recognize rows that are listed twice."""
    items: Sequence[ItemT]
    """The content of each row."""
    total: Number | None
    """Rows on all pages, None if the service reports no number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing[ItemT]:
    """All pages of a list."""

    items: Sequence[ItemT]
    pages: int
    total: Number | None


async def read_pages[ItemT](
    what: str, get_page: Callable[[int], Awaitable[Page[ItemT]]]
) -> Listing[ItemT]:
    """Read all pages of a list. `get_page` is called with 1, 2 and so on.

    Raises `InvalidAnswerError`, which names `what` is listed, unless the pages have as
    many rows as the service reports. If it reports no total, the list ends with a page
    that is empty or has no new rows.
    """
    listed: set[str] = set()
    items: list[ItemT] = []
    total = None
    for number in range(1, MAX_PAGES + 1):
        page = await get_page(number)
        if number > 1 and page.total != total:
            raise InvalidAnswerError(f"The {what} changed while they were listed")
        total = page.total
        new = [
            item
            for row, item in zip(page.rows, page.items, strict=True)
            if row not in listed
        ]
        listed.update(page.rows)
        items += new
        is_complete = len(items) == total
        if total is None:
            is_complete = not new
        if is_complete:
            return Listing(items=items, pages=number, total=total)
        if not new or (total is not None and len(items) > total):
            break
    raise InvalidAnswerError(f"The {what} do not add up: {len(items)} rows of {total}")
