"""Answers of `GET /quotas` -> `AccountSnapshot`, and what went wrong -> error. No I/O.

Lenient: a field of the wrong type is as if it were missing. Only an answer that is
not one of the two documented shapes is refused.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from html import unescape
import json
import logging
import re
from types import MappingProxyType
from typing import Any
import unicodedata

import orjson

from .errors import (
    AccountError,
    AuthenticationError,
    BudgetExhaustedError,
    FreeQuotaUsedUpError,
    InvalidAnswerError,
    ModelStudioError,
    OverduePaymentError,
    RateLimitError,
    ServiceNotEnabledError,
)
from .models import (
    AccountSnapshot,
    BillingPeriod,
    LimitsPage,
    ModelUsage,
    Money,
    Number,
    RateLimit,
)

_LOGGER = logging.getLogger(__name__)

CURRENCY = "USD"
"""Of every amount in the account answer, also for accounts funded in another one."""

_BEYOND_ANY_FIGURE = 10**18
_MOST_DIGITS = 400
_MOST_PLACES = 12
_WITH_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
_LONGEST_MESSAGE = 300

_BUDGET_EXHAUSTED = re.compile(
    r"\bbudget\b.*\b(exhausted|used up|depleted)\b"
    r"|\b(exhausted|used up|depleted)\b.*\bbudget\b"
    "|[预預]算.*(用尽|用盡|耗尽|耗盡|用完)|(用尽|用盡|耗尽|耗盡|用完).*[预預]算",
    re.IGNORECASE | re.DOTALL,
)
"""The gist of what the service says; the code of such an answer is not documented."""

_PERIODS = ("request_limit_period", "usage_limit_period")

_XML_ELEMENT = re.compile(
    r"<(Code|Message)>\s*(?:<!\[CDATA\[(.*?)]]>|([^<]*?))\s*</\1>", re.DOTALL
)
_INVISIBLE = frozenset({"Cc", "Cf", "Cs"})
"""Categories of characters that control how text is shown, such as its direction."""


def parse_answer(body: bytes) -> AccountSnapshot | LimitsPage:
    """Return what an answer under HTTP 200 says of the account, or of its limits.

    Raises `InvalidAnswerError`, or the error that its `code` stands for.
    """
    return AnswerParser().parse(body)


class AnswerParser:
    """Parses an account's answers, one after the other.

    What is as it was in the answer before is the same object again: most of what a
    poll brings is nothing new, and need be neither parsed nor compared.
    """

    def __init__(self) -> None:
        """Know no answer yet."""
        self._data = b""
        self._rows: dict[str, bytes] = {}
        self._account = AccountSnapshot()

    def parse(self, body: bytes) -> AccountSnapshot | LimitsPage:
        """Return what `parse_answer` returns, and raise what it raises."""
        answer = decode_answer(body)
        if not isinstance(answer, dict):
            raise InvalidAnswerError("The answer is not a JSON object")
        code, message = code_and_message(answer)
        if code and code.casefold() == "success":
            code = None
        if code or answer.get("error"):
            raise _error(200, code or "error", message)
        if isinstance(data := answer.get("data"), dict):
            if (fingerprint := _fingerprint(data)) != self._data:
                self._account = self._parse_account(data)
                self._data = fingerprint
            return self._account
        output = answer.get("output")
        if isinstance(output, dict) and isinstance(output.get("quotas"), list):
            return _limits_page(output)
        raise InvalidAnswerError("The answer holds neither account data nor quotas")

    def _parse_account(self, data: Mapping[str, Any]) -> AccountSnapshot:
        """Return the account answer's figures."""
        models, complete = self._parse_models(data.get("models"))
        period = mapping(data.get("billing_period"))
        return AccountSnapshot(
            credit_balance=_money(data.get("credits")),
            available_balance=_money(data.get("available")),
            spend_limit=_limit(data.get("spend_limit")),
            daily_spend=_money(data.get("daily_spend")),
            monthly_spend=_money(data.get("monthly_spend")),
            tokens_used=number(data.get("tokens_used")),
            requests_used=number(data.get("requests_used")),
            rate_limit=_rate_limit(mapping(data.get("rate_limit"))),
            billing_period=BillingPeriod(
                start=_date(period.get("start")), end=_date(period.get("end"))
            ),
            models=MappingProxyType(models),
            models_complete=complete,
        )

    def _parse_models(self, value: Any) -> tuple[dict[str, ModelUsage], bool]:
        """Return the models of a list of rows or a map by name, and if that is all."""
        items: Iterable[tuple[Any, Any]] = ()
        complete = isinstance(value, list | dict)
        if isinstance(value, list):
            items = ((_row_name(mapping(row)), row) for row in value)
        elif isinstance(value, dict):
            items = value.items()
        known, known_models = self._rows, self._account.models
        rows: dict[str, bytes] = {}
        models: dict[str, ModelUsage] = {}
        for name, row in items:
            if not (isinstance(name, str) and name.strip() and isinstance(row, dict)):
                _LOGGER.debug("Skipped a model row without a name or of the wrong type")
                complete = False
                continue
            rows[name] = _fingerprint(row)
            if rows[name] == known.get(name):
                models[name] = known_models[name]
            else:
                models[name] = ModelUsage(
                    name=name,
                    used=number(row.get("used")),
                    limit=number(row.get("limit")),
                    rate_limit=_rate_limit(row),
                )
        self._rows = rows
        return models, complete


def parse_failure(status: int, body: bytes) -> ModelStudioError:
    """Return the error that an answer other than HTTP 200 stands for."""
    try:
        answer = decode_answer(body)
    except InvalidAnswerError:
        answer = None
    code, message = (
        code_and_message(answer) if isinstance(answer, dict) else (None, None)
    )
    return _error(status, code, message)


def _error(status: int, code: str | None, message: str | None) -> ModelStudioError:
    """Return what a status and a code mean; the vendor's own codes refine the status."""
    code = code or f"HTTP {status}"
    if err := common_error(status, code, message):
        return err
    if status in (401, 403):
        return AuthenticationError(message, code=code)
    return AccountError(message, code=code, status=status)


def common_error(
    status: int, code: str, message: str | None
) -> AccountError | RateLimitError | None:
    """Return what status and code mean with any of the services, None if nothing."""
    folded = code.casefold()
    if folded.startswith("arrearage"):
        return OverduePaymentError(message, code=code, status=status)
    if folded.startswith("accessdenied.unpurchased"):
        return ServiceNotEnabledError(message, code=code, status=status)
    if not (
        status == 429
        or code.startswith("Throttling")
        or (status == 403 and code.startswith("AllocationQuota"))
    ):
        return None
    if code.startswith("AllocationQuota.FreeTierOnly"):
        return FreeQuotaUsedUpError(message, code=code)
    if _BUDGET_EXHAUSTED.search(message or ""):
        return BudgetExhaustedError(message, code=code)
    return RateLimitError(message, code=code)


def decode_answer(body: bytes) -> Any:
    """Return the decoded JSON; of an event stream or XML, the error that it tells.

    Raises `InvalidAnswerError` for anything else.
    """
    try:
        return decode_json(body)
    except InvalidAnswerError:
        words = body.decode(errors="replace")
        for line in words.splitlines():
            if line.startswith("data:"):
                return decode_json(line.removeprefix("data:").encode())
        if words.lstrip("\ufeff \t\r\n").startswith(("<?xml", "<Error")):
            # Nothing is parsed, so no entity can grow.
            if error := {
                name.lower(): unescape(cdata or plain)
                for name, cdata, plain in _XML_ELEMENT.findall(words)
            }:
                return error
        raise


def decode_json(body: bytes) -> Any:
    """Return the decoded JSON.

    NaN and Infinity, which JSON does not know, cost the figure and not the answer.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        answer = json.loads(body, parse_int=_int, parse_constant=lambda _: None)
        # Half a surrogate pair is no text, and could not be stored.
        json.dumps(answer, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as err:
        raise InvalidAnswerError("The answer is not JSON") from err
    return answer


def _fingerprint(value: Any) -> bytes:
    """Return what tells a value from any other; to Python, true is 1."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Deeper, or with larger numbers, than this one writes.
        return repr(value).encode()


def _int(digits: str) -> int | None:
    """Return a whole number, None for one that is beyond any figure."""
    return int(digits) if len(digits) < _MOST_DIGITS else None


def code_and_message(answer: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return an answer's code and message, which may stand in an `error` beside it."""

    def words(fields: Mapping[str, Any], name: str) -> str | None:
        return text(fields.get(name)) or text(fields.get(name.capitalize()))

    code, message = words(answer, "code"), words(answer, "message")
    if not (error := answer.get("error")):
        return code, message
    inner = mapping(error)
    return (
        words(inner, "code") or code,
        words(inner, "message") or text(error) or message,
    )


def text(value: Any) -> str | None:
    """Return a short line of plain text, None for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return plain_text(str(value)) or None


def plain_text(value: str) -> str:
    """Return one short line without invisible characters, to show what others wrote.

    These could end a line of the log, or change the direction of what follows.
    """
    shown = "".join(
        character
        for character in value[: 4 * _LONGEST_MESSAGE]
        if character.isspace() or unicodedata.category(character) not in _INVISIBLE
    )
    return " ".join(shown.split())[:_LONGEST_MESSAGE].rstrip()


def seconds_to_wait(retry_after: str | None, now: datetime) -> float | None:
    """Return how long a Retry-After header asks to wait, None if it makes no sense.

    It holds seconds, or an HTTP date.
    """
    if not retry_after:
        return None
    seconds: Number | None
    if (seconds := number(retry_after)) is None:
        try:
            until = parsedate_to_datetime(retry_after)
        except ValueError, OverflowError:
            return None
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        seconds = (until - now).total_seconds()
    return float(seconds) if seconds > 0 else None


def _row_name(row: Mapping[str, Any]) -> str | None:
    """Return the name that a row carries."""
    return next(
        (
            name
            for name in (row.get("model"), row.get("name"))
            if isinstance(name, str) and name.strip()
        ),
        None,
    )


def _rate_limit(row: Mapping[str, Any]) -> RateLimit:
    """Return the caps per minute that a row names."""
    return RateLimit(rpm=number(row.get("rpm")), tpm=number(row.get("tpm")))


def _limits_page(output: Mapping[str, Any]) -> LimitsPage:
    """Return a page of the limits answer.

    Raises `InvalidAnswerError` for a row without a model: a list is whole or none.
    """
    rows = []
    limits = []
    for row in output["quotas"]:
        name = mapping(row).get("model")
        if not isinstance(name, str) or not name.strip():
            raise InvalidAnswerError("A row of the quotas names no model")
        rows.append(_fingerprint(row))
        model = mapping(row.get("model_limit"))
        workspace = mapping(row.get("workspace_limit"))
        # Where a workspace limit is set, it binds below the model's own. Without a
        # period, it has the model limit's.
        periods = {key: model.get(key) for key in _PERIODS if not workspace.get(key)}
        limits.append(
            (name, _tighter(_per_minute(model), _per_minute({**workspace, **periods})))
        )
    return LimitsPage(
        rows=tuple(rows), limits=tuple(limits), total=number(output.get("total"))
    )


def limits_account(limits: Iterable[tuple[str, RateLimit]]) -> AccountSnapshot:
    """Return the account that all rows of the limits answer describe.

    Of several rows of a model the tightest binds.
    """
    models: dict[str, ModelUsage] = {}
    for name, limit in limits:
        if name in models:
            limit = _tighter(models[name].rate_limit, limit)
        models[name] = ModelUsage(name=name, rate_limit=limit)
    return AccountSnapshot(
        models=MappingProxyType(models), models_complete=True, limits_only=True
    )


def _per_minute(limit: Mapping[str, Any]) -> RateLimit:
    """Return a limit of requests and usage per period (seconds) as one per minute."""
    tokens = "token" in (text(limit.get("usage_limit_field")) or "")
    return RateLimit(
        rpm=_each_minute(limit.get("request_limit"), limit.get("request_limit_period")),
        tpm=_each_minute(limit.get("usage_limit"), limit.get("usage_limit_period"))
        if tokens
        else None,
    )


def _each_minute(amount: Any, period: Any) -> Number | None:
    """Return an amount per period of seconds as one per minute."""
    amount, seconds = number(amount), number(period)
    if amount is None or not seconds:
        return None
    return number(amount * 60 / seconds)


def _tighter(one: RateLimit, other: RateLimit) -> RateLimit:
    """Return what binds of two limits, cap by cap."""
    return RateLimit(rpm=_smaller(one.rpm, other.rpm), tpm=_smaller(one.tpm, other.tpm))


def _smaller(one: Number | None, other: Number | None) -> Number | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def mapping(value: Any) -> Mapping[str, Any]:
    """Return an object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def number(value: Any) -> Number | None:
    """Return a count: finite and not negative, whole where it is."""
    if isinstance(value, str):
        value = decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    # NaN and the infinities fail the comparison too.
    if not 0 <= value < _BEYOND_ANY_FIGURE:
        return None
    whole = int(value)
    return whole if whole == value else float(value)


def _limit(value: Any) -> Money | None:
    """Return an amount that is a limit; a negative one stands for none."""
    limit = _money(value)
    return limit if limit and limit.amount >= 0 else None


def _money(value: Any) -> Money | None:
    """Return an amount, which may be negative, with its currency."""
    if (amount := amount_of(value)) is None:
        return None
    return Money(amount=amount, currency=CURRENCY)


def amount_of(value: Any) -> Decimal | None:
    """Return an amount, which may be negative, and come as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return decimal(str(value))


def decimal(text: str) -> Decimal | None:
    """Return the number a text is, whose thousands may be separated.

    It has at most 28 digits, and 12 of them behind the point.
    """
    text = text.strip()
    if len(text) > _MOST_DIGITS or "_" in text:
        return None
    if _WITH_THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    try:
        value = Decimal(text)
        # Comparing refuses a NaN.
        if not abs(value) < _BEYOND_ANY_FIGURE:
            return None
        # Adding 0 rounds to the context's precision and writes out an exponent.
        value += 0
        # A text as short as 1E-999990 would be written out with a million digits.
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and exponent < -_MOST_PLACES:
            value = round(value, _MOST_PLACES)
    except ArithmeticError:
        return None
    # What is written 0E-8 is to be shown as 0.
    return value if value or "E" not in str(value) else Decimal()


def _date(value: Any) -> date | None:
    """Return the day of a date, which may come with a time, as it was written.

    A day of another age is a placeholder, and no time zone could hold its midnight.
    """
    if not isinstance(value, str):
        return None
    try:
        day = date.fromisoformat(value.strip()[:10])
    except ValueError:
        return None
    return day if 2000 <= day.year < 3000 else None
