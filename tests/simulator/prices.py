"""The list prices of the models, which an API key may read."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .account import LARGEST_PAGE, PAGE_SIZE, Account, QueryError, positive
from .faults import QUOTAS_MANNERS, Manners

LANGUAGES = ("en", "zh")

MILLION = "per 1,000,000 tokens"
THOUSAND = "per 1K tokens"

_CHINESE = {
    MILLION: "每百万Token",
    THOUSAND: "每千Token",
    "per 10,000 characters": "每万字符",
    "per image": "每张",
    "per second": "每秒",
    "per call": "每次",
    "per GPU": "每GPU",
    "Input": "输入",
    "Cached input": "输入（缓存命中）",
    "Output": "输出",
    "Output (thinking)": "输出（思考模式）",
    "Image generation": "图片生成",
    "Video": "视频",
    "Speech": "输入",
    "Search": "搜索",
    "Rental": "租用",
}


@dataclass(frozen=True, kw_only=True)
class _Price:
    """A price in USD: its type, English name and English unit."""

    type: str
    price: str
    name: str
    unit: str = MILLION


def _text(
    put_in: str, put_out: str, *, cached: str | None = None, thinking: str | None = None
) -> list[_Price]:
    """Return the prices of a text model per million tokens."""
    prices = [
        _Price(type="input_token", price=put_in, name="Input"),
        _Price(type="output_token", price=put_out, name="Output"),
    ]
    if cached:
        prices.append(
            _Price(type="input_token_cache", price=cached, name="Cached input")
        )
    if thinking:
        prices.append(
            _Price(
                type="thinking_output_token", price=thinking, name="Output (thinking)"
            )
        )
    return prices


# The prices of each model by range of input lengths; None is all lengths.
PRICES: dict[str, dict[str | None, list[_Price]]] = {
    "qwen-max": {None: _text("1.6", "6.4", cached="0.64")},
    "qwen-plus": {
        "0<Token≤256K": _text("0.4", "1.2", cached="0.16", thinking="4"),
        "256K<Token≤1M": _text("1.2", "3.6", cached="0.48", thinking="12"),
    },
    "qwen-turbo": {
        None: [
            _Price(type="input_token", price="0.00005", name="Input", unit=THOUSAND),
            _Price(type="output_token", price="0.0002", name="Output", unit=THOUSAND),
        ]
    },
    "qwen3-coder-plus": {
        "0<Token≤32K": _text("1", "5", cached="0.1"),
        "32K<Token≤128K": _text("1.8", "9", cached="0.18"),
        "128K<Token≤256K": _text("3", "15", cached="0.3"),
    },
    "qwen-vl-max": {None: _text("0.8", "3.2")},
    "text-embedding-v4": {
        None: [_Price(type="input_token", price="0.07", name="Input")]
    },
    "qwen-image": {
        None: [
            _Price(
                type="image_number",
                price="0.035",
                name="Image generation",
                unit="per image",
            )
        ]
    },
    "wan2.2-t2v-plus": {
        None: [_Price(type="video", price="0.1", name="Video", unit="per second")]
    },
    "qwen3-tts-flash": {
        None: [
            _Price(
                type="input_char",
                price="0.1",
                name="Speech",
                unit="per 10,000 characters",
            )
        ]
    },
    "web-search": {
        None: [_Price(type="call", price="0.01", name="Search", unit="per call")]
    },
    "model-unit": {
        None: [_Price(type="rent", price="120", name="Rental", unit="per GPU")]
    },
}


def page(account: Account, query: Mapping[str, str], request_id: str) -> dict[str, Any]:
    """Return the answer for a page of the prices as JSON data.

    Raises:
        QueryError: the requested page or language is invalid.

    """
    language = query.get("language")
    if language not in LANGUAGES:
        raise QueryError("Required parameter language is missing or invalid")
    number = positive(query, "page_no", 1)
    size = positive(query, "page_size", PAGE_SIZE)
    if size > LARGEST_PAGE:
        raise QueryError("Pagination parameter page_size exceeds the length limit")
    rows = [_row(model, language) for model in PRICES]
    rows += [
        _row("qwen-vl-max", language) | {"model": f"priced-model-{number}"}
        for number in range(account.priced_rows)
    ]
    return {
        "success": True,
        "code": None,
        "message": None,
        "request_id": request_id,
        "output": {
            "total": len(rows),
            "page_no": number,
            "page_size": size,
            "models": rows[(number - 1) * size : number * size],
        },
    }


def _row(model: str, language: str) -> dict[str, Any]:
    """Return the row of a model in a language."""

    def translated(text: str) -> str:
        return text if language == "en" else _CHINESE[text]

    return {
        "model": model,
        "name": model.title(),
        "prices": [
            {
                "range_name": step,
                "prices": [
                    {
                        "type": price.type,
                        "price": price.price,
                        "price_unit": translated(price.unit),
                        "price_name": translated(price.name),
                    }
                    for price in prices
                ],
            }
            for step, prices in PRICES[model].items()
        ],
    }


def price_of(model: str, kind: str) -> Decimal:
    """Return the price of a token of a type in the shortest range, in USD."""
    prices = next(iter(PRICES[model].values()))
    [price] = [price for price in prices if price.type == kind]
    return Decimal(price.price) / (1_000_000 if price.unit == MILLION else 1_000)


def _clear(answer: dict[str, Any]) -> None:
    """Remove all models from an answer."""
    answer["output"]["models"].clear()
    answer["output"]["total"] = 0


MANNERS = Manners(
    error=QUOTAS_MANNERS.error,
    wrong_types={
        "output": {
            "total": "all",
            "page_no": [1],
            "page_size": {},
            "models": [
                None,
                7,
                "qwen-max",
                {"model": 5, "name": {}, "prices": "high"},
            ],
        }
    },
    clear_models=_clear,
)
