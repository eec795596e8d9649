"""The answers of `GET /models`: what the models cost. No I/O.

The service writes units and kinds as text, in the language of the request and in words
that differ by model. A price whose unit or kind is not understood is skipped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
import json
import re
from typing import Any
import unicodedata

from .answers import code_and_message, decode_answer
from .errors import InvalidAnswerError
from .paging import Page
from .quotas import parse_failure
from .values import amount_of, mapping_of, number_of, text_of


class PriceUnit(StrEnum):
    """What is paid for."""

    TOKEN = "token"  # noqa: S105 - no secret
    CHARACTER = "character"
    IMAGE = "image"
    SECOND = "second"
    CALL = "call"


class PriceKind(StrEnum):
    """Which part of a call is paid for."""

    INPUT = "input"
    CACHED_INPUT = "cached_input"
    """Input that the service has cached."""
    OUTPUT = "output"
    THINKING_OUTPUT = "thinking_output"
    """Output of a model in thinking mode."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """A price of a model."""

    amount: Decimal
    """For `per` units, in the currency of the list."""
    per: int
    unit: PriceUnit
    kind: PriceKind | None = None
    """None if the service does not say. Prices of tokens and characters have one."""
    name: str | None = None
    """The service's own words for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceStep:
    """The prices for a range of input lengths."""

    name: str | None = None
    """The range in the service's own words, None if there is only one."""
    prices: tuple[Price, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceList:
    """The list prices at a host, without discounts and free quotas."""

    currency: str | None
    """None if the host does not determine it."""
    models: Mapping[str, Sequence[PriceStep]] = field(hash=False)
    """The steps of each model in the order of the service, by the model's name.

    Empty if the host has no prices.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRow:
    """A row of the answer."""

    model: str
    steps: tuple[PriceStep, ...]
    skipped: frozenset[str]
    """The units and names of the prices that are not understood."""


_COUNTS = {
    "": 1,
    "百": 100,
    "千": 1_000,
    "k": 1_000,
    "thousand": 1_000,
    "万": 10_000,
    "百万": 1_000_000,
    "m": 1_000_000,
    "million": 1_000_000,
    "亿": 100_000_000,
}
_UNITS = {
    r"tokens?": (PriceUnit.TOKEN, 1),
    r"字符?|char(?:acter)?s?": (PriceUnit.CHARACTER, 1),
    r"(?:张|幅)(?:图片?)?|图片|images?|pictures?": (PriceUnit.IMAGE, 1),
    r"秒钟?|sec(?:ond)?s?": (PriceUnit.SECOND, 1),
    r"分钟|min(?:ute)?s?": (PriceUnit.SECOND, 60),
    r"小时|hours?": (PriceUnit.SECOND, 3600),
    r"次(?:调用|请求)?|calls?|requests?": (PriceUnit.CALL, 1),
}
_UNIT = re.compile(
    rf"(?:每|per|/)?(\d{{1,12}})?({'|'.join(filter(None, _COUNTS))})?个?"
    rf"(?:{'|'.join(f'({unit})' for unit in _UNITS)})"
)
_INPUT = re.compile("input|prompt|输入|輸入")
_OUTPUT = re.compile("output|completion|输出|輸出")
_CACHE = re.compile("cache|缓存|快取")
_CACHE_WRITE = re.compile("creat|writ|创建|写入|建立|寫入")
_BATCH = re.compile("batch|批")
_THINKING = re.compile(r"(?<!non)(?<!非)(?:think|思考)")


def parse_price_page(body: bytes) -> Page[ModelRow]:
    """Return a page of an answer with HTTP 200.

    Raises `InvalidAnswerError`, or the error for the `code` in the answer.
    """
    answer = decode_answer(body)
    if not isinstance(answer, dict):
        raise InvalidAnswerError("The answer is not a JSON object")
    code, _ = code_and_message(answer)
    is_success = code is None or code.casefold() in ("success", "200")
    if answer.get("success") is False or answer.get("error") or not is_success:
        raise parse_failure(200, body)
    output = mapping_of(answer.get("output"))
    rows = output.get("models")
    if not isinstance(rows, list):
        raise InvalidAnswerError("The answer lists no models")
    return Page(
        rows=[json.dumps(row, sort_keys=True) for row in rows],
        items=[_parse_row(mapping_of(row)) for row in rows],
        total=number_of(output.get("total")),
    )


def _parse_row(row: Mapping[str, Any]) -> ModelRow:
    """Return the prices of a model. Raises `InvalidAnswerError` for a row without a name."""
    model = row.get("model")
    if not isinstance(model, str) or not model.strip():
        raise InvalidAnswerError("A row of the prices names no model")
    skipped: set[str] = set()
    # A step stays even if none of its prices is understood: the next one is not the
    # price of its range.
    steps = tuple(
        PriceStep(
            name=text_of(step.get("range_name")),
            prices=tuple(_parse_prices(_rows(step.get("prices")), skipped)),
        )
        for step in _rows(row.get("prices"))
    )
    return ModelRow(model=model, steps=steps, skipped=frozenset(skipped))


def _rows(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects of a list. Anything else is an empty object."""
    return [mapping_of(row) for row in value] if isinstance(value, list) else []


def _parse_prices(rows: list[Mapping[str, Any]], skipped: set[str]) -> Iterator[Price]:
    """Yield the prices that are understood. Add the words of the others to `skipped`."""
    for row in rows:
        amount = amount_of(row.get("price"))
        name, unit_text = text_of(row.get("price_name")), text_of(row.get("price_unit"))
        type_text = text_of(row.get("type"))
        unit = parse_unit(unit_text or "")
        kind = parse_kind(type_text or "", name or "")
        if (
            amount is None
            or amount < 0
            or unit is None
            or (kind is None and unit[0] in (PriceUnit.TOKEN, PriceUnit.CHARACTER))
        ):
            skipped.add(f"{type_text}, {name}, {unit_text}")
            continue
        yield Price(amount=amount, unit=unit[0], per=unit[1], kind=kind, name=name)


def parse_unit(text: str) -> tuple[PriceUnit, int] | None:
    """Return the unit that a text names, and how many of it the price is for.

    `per 1,000,000 tokens` and `每百万Token` are a million tokens.
    """
    folded = re.sub(r"[\s,]", "", unicodedata.normalize("NFKC", text)).casefold()
    if not (match := _UNIT.fullmatch(folded)):
        return None
    number, count, *words = match.groups()
    unit, factor = next(
        unit for unit, word in zip(_UNITS.values(), words, strict=True) if word
    )
    per = int(number or 1) * _COUNTS[count or ""] * factor
    return (unit, per) if per else None


def parse_kind(type_text: str, name: str) -> PriceKind | None:
    """Return which part of a call a price is for, None if it does not say.

    The type counts before the name, which is in the language of the request. The price
    of writing to the cache is none of the kinds, and neither are those of batch calls.
    """
    both = re.sub(r"[\s_-]", "", f"{type_text} {name}").casefold()
    if _BATCH.search(both):
        return None
    if _CACHE.search(both):
        return None if _CACHE_WRITE.search(both) else PriceKind.CACHED_INPUT
    for text in (type_text.casefold(), name.casefold()):
        is_input, is_output = _INPUT.search(text), _OUTPUT.search(text)
        if is_input and not is_output:
            return PriceKind.INPUT
        if is_output and not is_input:
            is_thinking = _THINKING.search(both)
            return PriceKind.THINKING_OUTPUT if is_thinking else PriceKind.OUTPUT
    return None
