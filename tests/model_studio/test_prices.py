"""Tests of the list prices: requests and answers."""

from collections.abc import Mapping
from decimal import Decimal
import logging
from typing import Any

from aiohttp import ClientSession
import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountError,
    AuthenticationError,
    ConnectionFailedError,
    InvalidAnswerError,
    ModelStudioError,
    OverduePaymentError,
    Price,
    PriceKind,
    PricesClient,
    PriceStep,
    PriceUnit,
    RateLimitError,
    paging,
)
from custom_components.alibaba_cloud.model_studio.price_list import (
    parse_kind,
    parse_unit,
)
from tests.common import API_KEY
from tests.simulator import Account, Fault, Simulator
from tests.simulator.prices import PRICES, page

MILLION = 1_000_000
SECRET = "sk-0123456789abcdef0123456789abcdef"
"""A key that no other text contains by chance."""


@pytest.fixture
def client(session: ClientSession, simulator: Simulator) -> PricesClient:
    """Return a client of the simulator."""
    return PricesClient(session, base_url=simulator.base_url, api_key=API_KEY)


def tokens(amount: str, kind: PriceKind, name: str, *, per: int = MILLION) -> Price:
    """Return an expected price for tokens."""
    return Price(
        amount=Decimal(amount), per=per, unit=PriceUnit.TOKEN, kind=kind, name=name
    )


def row(*prices: Any, model: str = "qwen-max", step: Any = None) -> dict[str, Any]:
    """Return a row of an answer with one step."""
    return {"model": model, "prices": [{"range_name": step, "prices": list(prices)}]}


def listed(*rows: Any, total: Any = None) -> dict[str, Any]:
    """Return an answer with these rows on one page."""
    return {
        "success": True,
        "output": {"total": len(rows) if total is None else total, "models": rows},
    }


def price(amount: Any = "1.6", **changes: Any) -> dict[str, Any]:
    """Return a price of an answer."""
    return {
        "type": "input_token",
        "price": amount,
        "price_unit": "per 1,000,000 tokens",
        "price_name": "Input",
    } | changes


async def test_prices(client: PricesClient, simulator: Simulator) -> None:
    """One request reads all prices; steps keep their order."""
    prices = await client.get_prices()
    (request,) = simulator.price_requests
    assert request.path == "/api/v1/models"
    assert request.query == {"page_no": "1", "page_size": "100", "language": "en"}
    assert request.headers["authorization"] == f"Bearer {API_KEY}"
    # The simulator is not at a host of the vendor.
    assert prices.currency is None
    # The unit of the price per GPU is unknown.
    assert prices.models.keys() == PRICES.keys() - {"model-unit"}
    assert prices.models["qwen-plus"] == (
        PriceStep(
            name="0<Token≤256K",
            prices=(
                tokens("0.4", PriceKind.INPUT, "Input"),
                tokens("1.2", PriceKind.OUTPUT, "Output"),
                tokens("0.16", PriceKind.CACHED_INPUT, "Cached input"),
                tokens("4", PriceKind.THINKING_OUTPUT, "Output (thinking)"),
            ),
        ),
        PriceStep(
            name="256K<Token≤1M",
            prices=(
                tokens("1.2", PriceKind.INPUT, "Input"),
                tokens("3.6", PriceKind.OUTPUT, "Output"),
                tokens("0.48", PriceKind.CACHED_INPUT, "Cached input"),
                tokens("12", PriceKind.THINKING_OUTPUT, "Output (thinking)"),
            ),
        ),
    )
    assert prices.models["qwen-turbo"][0].prices[0] == tokens(
        "0.00005", PriceKind.INPUT, "Input", per=1_000
    )
    assert prices.models["qwen-image"] == (
        PriceStep(
            prices=(
                Price(
                    amount=Decimal("0.035"),
                    per=1,
                    unit=PriceUnit.IMAGE,
                    name="Image generation",
                ),
            )
        ),
    )


async def test_prices_in_chinese(client: PricesClient, simulator: Simulator) -> None:
    """The same prices are read from an answer in Chinese."""

    def without_names(models: Mapping[str, Any]) -> Any:
        return {
            model: [
                [(it.amount, it.per, it.unit, it.kind) for it in step.prices]
                for step in steps
            ]
            for model, steps in models.items()
        }

    english = await client.get_prices()
    query = {"language": "zh", "page_size": "100"}
    simulator.prices_body = page(simulator.account, query, "1")
    chinese = await client.get_prices()
    assert chinese.models["qwen-max"][0].prices[0].name == "输入"
    assert without_names(chinese.models) == without_names(english.models)


@pytest.mark.parametrize(
    ("text", "unit", "per"),
    [
        ("每百万Token", PriceUnit.TOKEN, MILLION),
        ("每百万 Tokens", PriceUnit.TOKEN, MILLION),
        ("百万Token", PriceUnit.TOKEN, MILLION),
        ("每千Token", PriceUnit.TOKEN, 1_000),
        ("每1000个Token", PriceUnit.TOKEN, 1_000),
        ("per 1,000,000 tokens", PriceUnit.TOKEN, MILLION),
        ("per million tokens", PriceUnit.TOKEN, MILLION),
        ("per 1M tokens", PriceUnit.TOKEN, MILLION),
        ("per 1K tokens", PriceUnit.TOKEN, 1_000),
        ("Per Thousand Tokens", PriceUnit.TOKEN, 1_000),
        ("/1K tokens", PriceUnit.TOKEN, 1_000),
        ("per token", PriceUnit.TOKEN, 1),
        ("每万字符", PriceUnit.CHARACTER, 10_000),
        ("per 10,000 characters", PriceUnit.CHARACTER, 10_000),
        ("per 10K chars", PriceUnit.CHARACTER, 10_000),
        ("每张", PriceUnit.IMAGE, 1),
        ("每百张图片", PriceUnit.IMAGE, 100),
        ("per image", PriceUnit.IMAGE, 1),
        ("每秒", PriceUnit.SECOND, 1),
        ("per second", PriceUnit.SECOND, 1),
        ("per minute", PriceUnit.SECOND, 60),
        ("每小时", PriceUnit.SECOND, 3600),
        ("每次", PriceUnit.CALL, 1),
        ("每千次调用", PriceUnit.CALL, 1_000),
        ("per call", PriceUnit.CALL, 1),
        ("per request", PriceUnit.CALL, 1),
    ],
)
def test_units(text: str, unit: PriceUnit, per: int) -> None:
    assert parse_unit(text) == (unit, per)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "per",
        "每百万",
        "per GPU",
        "per 0 tokens",
        "per 1.5 tokens",
        "tokens per day",
    ],
)
def test_unknown_units(text: str) -> None:
    assert parse_unit(text) is None


@pytest.mark.parametrize(
    ("type_text", "name", "kind"),
    [
        ("input_token", "", PriceKind.INPUT),
        ("", "Input", PriceKind.INPUT),
        ("", "输入", PriceKind.INPUT),
        ("prompt_tokens", "", PriceKind.INPUT),
        ("output_token", "", PriceKind.OUTPUT),
        ("", "输出", PriceKind.OUTPUT),
        ("", "Output (non-thinking mode)", PriceKind.OUTPUT),
        ("", "输出（非思考模式）", PriceKind.OUTPUT),
        ("thinking_output_token", "Output", PriceKind.THINKING_OUTPUT),
        ("output_token", "输出（思考模式）", PriceKind.THINKING_OUTPUT),
        ("thinking_input_token", "Input", PriceKind.INPUT),
        ("input_token_cache", "Cached input", PriceKind.CACHED_INPUT),
        ("", "输入（缓存命中）", PriceKind.CACHED_INPUT),
        # The type takes precedence over the name.
        ("output_token", "Output for text input", PriceKind.OUTPUT),
        ("", "Output for text input", None),
        ("input_token_cache_creation", "Input", None),
        ("", "创建缓存", None),
        ("batch_input_token", "Input", None),
        ("output_token", "输出（批量调用）", None),
        ("training", "Training", None),
        ("", "", None),
    ],
)
def test_kinds(type_text: str, name: str, kind: PriceKind | None) -> None:
    assert parse_kind(type_text, name) == kind


async def test_price_that_is_not_understood_is_logged_once(
    client: PricesClient, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """An unknown price is skipped and logged once; other prices of the model stay."""
    caplog.set_level(logging.DEBUG, "custom_components.alibaba_cloud")

    def logged() -> list[str]:
        lines = [
            it.getMessage()
            for it in caplog.records
            if it.name.startswith("custom_components.alibaba_cloud")
        ]
        caplog.clear()
        return lines

    good = price()
    simulator.prices_body = listed(
        row(
            price(price_unit="per GPU"),
            price("free"),
            price(-1),
            price(type="batch", price_name="Batch\n"),
            "1.6",
            good,
        )
    )
    for lines in (
        [
            (
                "Skipped prices that are not understood: None, None, None;"
                " batch, Batch, per 1,000,000 tokens; input_token, Input, per"
                " 1,000,000 tokens; input_token, Input, per GPU"
            )
        ],
        [],
    ):
        prices = await client.get_prices()
        assert prices.models == {
            "qwen-max": (PriceStep(prices=(tokens("1.6", PriceKind.INPUT, "Input"),)),)
        }
        assert logged() == lines
    simulator.prices_body = listed(row(good, price(price_unit="per week")))
    await client.get_prices()
    assert logged() == [
        "Skipped prices that are not understood: input_token, Input, per week"
    ]


async def test_step_that_is_not_understood_keeps_its_place(
    client: PricesClient, simulator: Simulator
) -> None:
    """A step without known prices stays, so that the next step keeps its position."""
    simulator.prices_body = listed(
        {
            "model": "qwen-max",
            "prices": [
                row(price(price_unit="?"), step="short")["prices"][0],
                None,
                row(price(2), step="long")["prices"][0],
            ],
        },
        {"model": "free", "prices": []},
        {"model": "odd", "prices": "high"},
    )
    prices = await client.get_prices()
    assert prices.models == {
        "qwen-max": (
            PriceStep(name="short"),
            PriceStep(),
            PriceStep(name="long", prices=(tokens("2", PriceKind.INPUT, "Input"),)),
        )
    }


async def test_first_row_of_a_model_counts(
    client: PricesClient, simulator: Simulator
) -> None:
    simulator.prices_body = listed(row(price(1)), row(price(2)))
    [step] = (await client.get_prices()).models["qwen-max"]
    assert [it.amount for it in step.prices] == [1]


async def test_pages(client: PricesClient, simulator: Simulator) -> None:
    simulator.account.priced_rows = 220
    prices = await client.get_prices()
    assert len(prices.models) == len(PRICES) - 1 + 220
    assert [it.query["page_no"] for it in simulator.price_requests] == ["1", "2", "3"]
    assert {it.query["language"] for it in simulator.price_requests} == {"en"}


@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param([listed(row(price()), total=3)], id="repeats"),
        pytest.param([listed(row(price()), total=2), listed(total=2)], id="ends"),
        pytest.param(
            [listed(row(price()), total=2), listed(row(price(2)), total=3)],
            id="changes",
        ),
        pytest.param([listed(row(price()), row(price(2)), total=1)], id="exceeds"),
    ],
)
async def test_incomplete_pages_are_no_prices(
    client: PricesClient, simulator: Simulator, bodies: list[Any]
) -> None:
    simulator.prices_body = lambda query: bodies[
        min(int(query["page_no"]), len(bodies)) - 1
    ]
    with pytest.raises(InvalidAnswerError, match="prices"):
        await client.get_prices()


async def test_pages_end(
    client: PricesClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list with more than the maximum of pages is an error."""
    monkeypatch.setattr(paging, "MAX_PAGES", 3)
    simulator.prices_body = lambda query: listed(
        row(price(query["page_no"])), total=1_000
    )
    with pytest.raises(InvalidAnswerError):
        await client.get_prices()
    assert len(simulator.price_requests) == 3


async def test_host_without_prices(client: PricesClient, simulator: Simulator) -> None:
    """A host without the path for prices has no prices, which is no error."""
    simulator.fail(Fault.NOT_FOUND, at="prices")
    prices = await client.get_prices()
    assert prices.models == {}
    assert len(simulator.price_requests) == 1


async def test_page_that_vanishes(client: PricesClient, simulator: Simulator) -> None:
    simulator.account.priced_rows = 100
    answers = [page(simulator.account, {"language": "en", "page_size": "100"}, "1")]

    def body(query: Mapping[str, str]) -> Any:
        if query["page_no"] == "1":
            simulator.fail(Fault.NOT_FOUND, at="prices")
        return answers[0]

    simulator.prices_body = body
    with pytest.raises(InvalidAnswerError, match="do not add up: 100 rows of 111"):
        await client.get_prices()


@pytest.mark.parametrize(
    ("fault", "error", "requests"),
    [
        (Fault.UNAUTHORIZED, AuthenticationError, 1),
        (Fault.FORBIDDEN, AuthenticationError, 1),
        (Fault.THROTTLED, RateLimitError, 1),
        (Fault.ARREARAGE, OverduePaymentError, 1),
        (Fault.SERVER_ERROR, AccountError, 1),
        (Fault.ERROR_CODE, AccountError, 1),
        (Fault.ERROR_OBJECT, AccountError, 1),
        (Fault.REDIRECT, AccountError, 1),
        (Fault.HTML, InvalidAnswerError, 1),
        (Fault.LIST, InvalidAnswerError, 1),
        (Fault.TRUNCATED, InvalidAnswerError, 1),
        (Fault.HUGE, InvalidAnswerError, 1),
        (Fault.WRONG_TYPES, InvalidAnswerError, 1),
        (Fault.RESET, ConnectionFailedError, 2),
        (Fault.CUT, ConnectionFailedError, 2),
    ],
)
async def test_errors(
    client: PricesClient,
    simulator: Simulator,
    fault: Fault,
    error: type[ModelStudioError],
    requests: int,
) -> None:
    simulator.fail(fault, at="prices", retry_after=7)
    with pytest.raises(error) as caught:
        await client.get_prices()
    assert type(caught.value) is error
    assert len(simulator.price_requests) == requests
    assert simulator.redirect_target_hits == 0
    if isinstance(caught.value, RateLimitError):
        assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "output": {"models": []}},
        {"code": "SystemError", "output": {"models": []}},
        {"output": {}},
        {"output": {"models": {}}},
        listed({"model": " "}),
        listed("qwen-max"),
    ],
)
async def test_answers_without_prices(
    client: PricesClient, simulator: Simulator, body: Any
) -> None:
    simulator.prices_body = body
    with pytest.raises(ModelStudioError):
        await client.get_prices()


@pytest.mark.parametrize("code", [None, "", "Success", "200"])
async def test_codes_of_success(
    client: PricesClient, simulator: Simulator, code: Any
) -> None:
    simulator.prices_body = listed(row(price())) | {"code": code}
    assert (await client.get_prices()).models.keys() == {"qwen-max"}


async def test_one_retry_for_all_pages(
    client: PricesClient, simulator: Simulator
) -> None:
    simulator.account.priced_rows = 220
    simulator.fail(Fault.RESET, at="prices", times=1)
    assert len((await client.get_prices()).models) > 220
    simulator.price_requests.clear()
    simulator.fail(Fault.RESET, at="prices", times=2)
    with pytest.raises(ConnectionFailedError):
        await client.get_prices()
    assert len(simulator.price_requests) == 2


async def test_key_is_in_no_error(session: ClientSession, simulator: Simulator) -> None:
    """No error contains the API key, even if the service repeats the key."""
    simulator.api_keys = {SECRET}
    client = PricesClient(session, base_url=simulator.base_url, api_key=SECRET)
    simulator.prices_body = {"code": "Denied", "message": f"{SECRET} may not"}
    with pytest.raises(AccountError) as caught:
        await client.get_prices()
    assert SECRET not in repr(caught.value)
    simulator.fail(Fault.SERVER_ERROR, at="prices", message=f"{SECRET} failed")
    with pytest.raises(AccountError) as caught:
        await client.get_prices()
    assert SECRET not in repr(caught.value)


async def test_impossible_key_is_not_sent(
    session: ClientSession, simulator: Simulator
) -> None:
    client = PricesClient(session, base_url=simulator.base_url, api_key="sk-\n")
    with pytest.raises(AuthenticationError):
        await client.get_prices()
    assert simulator.price_requests == []


def test_simulator_wants_a_language() -> None:
    """The simulator rejects requests without a language and too large pages."""
    for query in ({}, {"language": "fr"}, {"language": "en", "page_size": "101"}):
        with pytest.raises(ValueError, match=r"language|page_size"):
            page(Account(), query, "1")
