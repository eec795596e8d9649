"""Tests of the client for an account that reports limits only."""

from collections.abc import Callable, Mapping
from functools import partial
import re
from typing import Any

import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountError,
    AuthenticationError,
    ConnectionFailedError,
    InvalidAnswerError,
    ModelStudioClient,
    ModelStudioError,
    ModelUsage,
    QuotasKind,
    RateLimit,
    RateLimitError,
    client as client_module,
    paging,
)
from tests.common import API_KEY, answer
from tests.simulator import Fault, Simulator

from .common import failure


def limits_row(model: str, limit: int | None = None) -> dict[str, Any]:
    """Return a row of the limits answer, with a limit of requests per minute."""
    model_limit = {"request_limit": limit, "request_limit_period": 60}
    return {"model": model, "model_limit": model_limit, "workspace_limit": None}


ROWS = [limits_row(f"model-{number}", number) for number in range(250)]
TOTAL = object()


def limits_page(
    rows: list[Any], query: Mapping[str, str], *, total: Any = TOTAL
) -> dict[str, Any]:
    """Return some rows of the page that a query asks for."""
    number, size = number_of(query), int(query.get("page_size", 20))
    return {
        "output": {
            "total": len(rows) if total is TOTAL else total,
            "quotas": rows[(number - 1) * size : number * size],
        }
    }


def number_of(query: Mapping[str, str]) -> int:
    """Return the number of the page that a query asks for."""
    return int(query.get("page_no", 1))


def pages_requested(simulator: Simulator) -> list[tuple[str, ...]]:
    """Return the page and size of the requests since the previous call."""
    pages = [tuple(request.query.values()) for request in simulator.requests]
    assert all(
        request.query.keys() in (set(), {"page_no", "page_size"})
        and request.headers["authorization"] == f"Bearer {API_KEY}"
        for request in simulator.requests
    )
    simulator.requests.clear()
    return pages


LISTING = [("1", "100"), ("2", "100"), ("3", "100")]
ONE_ROW = [("1", "1")]


async def test_listing(client: ModelStudioClient, simulator: Simulator) -> None:
    """The account contains the limits of all pages."""
    simulator.body = partial(limits_page, ROWS)
    account = await client.get_account()
    assert pages_requested(simulator) == [(), *LISTING]
    assert account.quotas_kind is QuotasKind.LIMITS
    assert account.models_complete
    assert account.models == {
        f"model-{number}": ModelUsage(
            name=f"model-{number}", rate_limit=RateLimit(rpm=number)
        )
        for number in range(250)
    }
    assert client.body is None
    assert client.listing is not None
    assert client.listing.account == account
    assert (client.listing.pages, client.listing.rows, client.listing.total) == (
        3,
        250,
        250,
    )


async def test_listing_of_the_catalog(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    """The client lists all models of the simulator's catalog."""
    simulator.body = None
    simulator.account.answer = "limits"
    account = await client.get_account()
    assert client.listing is not None
    assert client.listing.rows == client.listing.total
    assert account.models.keys() == {
        quota["model"] for quota in simulator.account._quotas()
    }


async def test_listing_is_kept_for_a_while(
    client: ModelStudioClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polls between two listings request a single row."""
    simulator.body = partial(limits_page, ROWS)
    account = await client.get_account()
    pages_requested(simulator)
    for _ in range(3):
        assert await client.get_account() is account
        assert pages_requested(simulator) == ONE_ROW

    monkeypatch.setattr(client_module, "LISTING_INTERVAL", -1)
    changed = [limits_row("model-0", 7), *ROWS[1:]]
    simulator.body = partial(limits_page, changed)
    account = await client.get_account()
    assert pages_requested(simulator) == [*ONE_ROW, *LISTING]
    assert account.models["model-0"].rate_limit.rpm == 7


@pytest.mark.parametrize("rows", [ROWS[:-1], [*ROWS, limits_row("model-250")], []])
async def test_another_number_of_rows_starts_a_listing(
    client: ModelStudioClient, simulator: Simulator, rows: list[Any]
) -> None:
    simulator.body = partial(limits_page, ROWS)
    await client.get_account()
    pages_requested(simulator)
    simulator.body = partial(limits_page, rows)
    account = await client.get_account()
    assert account.models.keys() == {row["model"] for row in rows}
    assert account.models_complete
    assert pages_requested(simulator)[:2] == [*ONE_ROW, LISTING[0]]
    assert await client.get_account() is account
    assert pages_requested(simulator) == ONE_ROW


@pytest.mark.parametrize("total", [None, "many", -1, {}])
async def test_listing_without_a_total(
    client: ModelStudioClient, simulator: Simulator, total: Any
) -> None:
    simulator.body = partial(limits_page, ROWS, total=total)
    account = await client.get_account()
    assert len(account.models) == 250
    assert pages_requested(simulator) == [(), *LISTING, ("4", "100")]
    assert client.listing is not None
    assert client.listing.total is None


@pytest.mark.parametrize("number", [0, 1, 99, 100, 101, 200])
async def test_listing_ends_at_the_total(
    client: ModelStudioClient, simulator: Simulator, number: int
) -> None:
    simulator.body = partial(limits_page, ROWS[:number])
    assert len((await client.get_account()).models) == number
    assert len(pages_requested(simulator)) == 1 + max(-(-number // 100), 1)


async def test_row_on_two_pages_counts_once(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    """A row can move to the next page while the pages are read."""

    def pages(query: Mapping[str, str]) -> Any:
        page = limits_page(ROWS, query)
        if number_of(query) > 1:
            page["output"]["quotas"].insert(0, ROWS[0])
        return page

    simulator.body = pages
    assert len((await client.get_account()).models) == 250
    assert client.listing is not None
    assert client.listing.rows == 250


BROKEN: dict[str, Callable[[Mapping[str, str]], Any]] = {
    "repeats": lambda query: limits_page(ROWS, {**query, "page_no": "1"}),
    "shrinks": lambda query: limits_page(ROWS, query, total=250 - number_of(query)),
    "grows": lambda query: limits_page(ROWS, query, total=250 + number_of(query)),
    "ends early": lambda query: limits_page(ROWS, query, total=251),
    "empty": lambda query: limits_page([], query, total=250),
    "loses its total": lambda query: limits_page(
        ROWS, query, total=250 if number_of(query) == 1 else None
    ),
    "more than its total": lambda query: limits_page(ROWS[:30], query, total=29),
    "more than none": lambda query: limits_page(ROWS, query, total=0),
    "never ends": lambda query: limits_page(
        [limits_row(f"model-{row}") for row in range(100 * number_of(query))],
        query,
        total=10**6,
    ),
    "never ends without a total": lambda query: limits_page(
        [limits_row(f"model-{row}") for row in range(100 * number_of(query))],
        query,
        total=None,
    ),
    "row of the wrong type": lambda query: limits_page([*ROWS[:-1], None], query),
    "row without a model": lambda query: limits_page(
        [*ROWS[:-1], limits_row("")], query
    ),
    "page of another shape": lambda query: (
        limits_page(ROWS, query)
        if number_of(query) < 3
        else {"output": {"quotas": "none"}}
    ),
    "another answer": lambda query: (
        limits_page(ROWS, query) if number_of(query) < 3 else answer("account")
    ),
    "no JSON": lambda query: (
        limits_page(ROWS, query) if number_of(query) < 3 else "<html></html>"
    ),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_invalid_listing(
    client: ModelStudioClient,
    simulator: Simulator,
    broken: Callable[[Mapping[str, str]], Any],
) -> None:
    """An incomplete or endless list is an error."""
    simulator.body = broken
    err = await failure(client.get_account())
    assert type(err) is InvalidAnswerError
    assert re.fullmatch(
        "The quotas changed while they were listed"
        r"|The quotas do not add up: \d+ rows of (\d+|None)"
        "|A row of the quotas names no model"
        "|The answer holds neither account data nor quotas"
        "|The answer is not JSON",
        str(err),
    )
    assert len(pages_requested(simulator)) <= 101
    assert client.listing is None


@pytest.mark.parametrize(
    ("broken", "pages"),
    [
        ("repeats", 2),
        ("empty", 1),
        ("more than its total", 1),
        ("more than none", 1),
    ],
)
async def test_invalid_listing_ends_early(
    client: ModelStudioClient, simulator: Simulator, broken: str, pages: int
) -> None:
    simulator.body = BROKEN[broken]
    await failure(client.get_account())
    assert pages_requested(simulator) == [(), *LISTING[:pages]]


@pytest.mark.parametrize("rows", [300, 301])
async def test_maximum_number_of_pages(
    client: ModelStudioClient,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
) -> None:
    monkeypatch.setattr(paging, "MAX_PAGES", 3)
    models = [limits_row(f"model-{number}") for number in range(rows)]
    simulator.body = partial(limits_page, models)
    if rows > 300:
        assert type(await failure(client.get_account())) is InvalidAnswerError
    else:
        assert len((await client.get_account()).models) == 300
    assert pages_requested(simulator) == [(), *LISTING]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.THROTTLED, RateLimitError),
        (Fault.UNAUTHORIZED, AuthenticationError),
        (Fault.SERVER_ERROR, AccountError),
        (Fault.GARBAGE, InvalidAnswerError),
    ],
)
async def test_failure_during_a_listing(
    client: ModelStudioClient,
    simulator: Simulator,
    fault: Fault,
    kind: type[ModelStudioError],
) -> None:
    """The last listing is kept, and the next poll starts a new one."""
    simulator.body = partial(limits_page, ROWS)
    await client.get_account()
    listing = client.listing

    def pages(query: Mapping[str, str]) -> Any:
        if number_of(query) == 2:
            # The fault affects the next request.
            simulator.fail(fault, times=1)
        return limits_page(ROWS[:-1], query)

    simulator.body = pages
    assert type(await failure(client.get_account())) is kind
    assert client.listing is listing
    pages_requested(simulator)
    simulator.body = partial(limits_page, ROWS[:-1])
    assert len((await client.get_account()).models) == 249
    assert pages_requested(simulator) == [*ONE_ROW, *LISTING]


@pytest.mark.parametrize("total", [None, 250])
async def test_listing_that_repeats_its_last_page(
    client: ModelStudioClient, simulator: Simulator, total: int | None
) -> None:
    """A repeated page ends a listing without a total."""

    def pages(query: Mapping[str, str]) -> Any:
        number = min(number_of(query), 3)
        return limits_page(ROWS, {**query, "page_no": str(number)}, total=total)

    simulator.body = pages
    account = await client.get_account()
    assert account.models_complete
    assert len(account.models) == 250
    assert len(pages_requested(simulator)) == (5 if total is None else 4)


@pytest.mark.parametrize("page", [1, 2, 3])
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CUT])
async def test_one_retry_per_listing(
    client: ModelStudioClient, simulator: Simulator, page: int, fault: Fault
) -> None:
    """A listing retries one request; a second failure on any page is an error."""
    faults = {page}

    def pages(query: Mapping[str, str]) -> Any:
        if len(simulator.requests) in faults:
            # The fault affects the next request.
            simulator.fail(fault, times=1)
        return limits_page(ROWS, query)

    simulator.body = pages
    expected = [(), *LISTING]
    expected.insert(page, expected[page])
    assert len((await client.get_account()).models) == 250
    assert pages_requested(simulator) == expected
    client.listing = None
    simulator.forget()
    for second in range(page + 2, len(expected)):
        faults = {page, second}
        assert type(await failure(client.get_account())) is ConnectionFailedError
        assert pages_requested(simulator) == expected[: second + 1]
    # Both requests for one page fail.
    simulator.fail(fault, times=2)
    assert type(await failure(client.get_account())) is ConnectionFailedError
    assert len(pages_requested(simulator)) == 2


async def test_failure_keeps_the_listing(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    simulator.body = partial(limits_page, ROWS)
    account = await client.get_account()
    simulator.fail(Fault.SERVER_ERROR, times=1)
    assert type(await failure(client.get_account())) is AccountError
    pages_requested(simulator)
    assert await client.get_account() is account
    assert pages_requested(simulator) == ONE_ROW


async def test_account_that_starts_to_report_usage(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    """The next poll detects a change from limits to usage and back."""
    simulator.body = partial(limits_page, ROWS)
    assert (await client.get_account()).quotas_kind is QuotasKind.LIMITS
    pages_requested(simulator)
    simulator.body = answer("account")
    assert (await client.get_account()).quotas_kind is QuotasKind.USAGE
    assert client.listing is None
    assert (await client.get_account()).quotas_kind is QuotasKind.USAGE
    assert pages_requested(simulator) == [*ONE_ROW, ()]
    simulator.body = partial(limits_page, ROWS)
    assert (await client.get_account()).quotas_kind is QuotasKind.LIMITS
    assert pages_requested(simulator) == [(), *LISTING]


async def test_trying_a_key_that_reads_limits_only(
    client: ModelStudioClient, simulator: Simulator
) -> None:
    simulator.body = partial(limits_page, ROWS)
    await client.try_key()
    assert pages_requested(simulator) == [()]
    assert client.listing is None


def test_listing_interval() -> None:
    assert client_module.LISTING_INTERVAL == 30 * 60
