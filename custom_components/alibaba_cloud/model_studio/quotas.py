"""The answers of `GET /quotas`: figures of an account, or a page of limits. No I/O.

Parsing is lenient: a field of the wrong type counts as missing. Only an answer with
neither of the two documented shapes is an error.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import json
import logging
from types import MappingProxyType
from typing import Any

from .answers import code_and_message, common_error, decode_answer
from .errors import (
    AccountError,
    AuthenticationError,
    InvalidAnswerError,
    ModelStudioError,
)
from .models import (
    CURRENCY,
    AccountSnapshot,
    BillingPeriod,
    ModelUsage,
    Money,
    Number,
    QuotasKind,
    RateLimit,
)
from .values import amount_of, date_of, mapping_of, number_of, text_of

_LOGGER = logging.getLogger(__name__)

_FIGURE_DEPTH = 3
"""Objects and lists in which a figure is nested at most: data, models and row."""
_PERIODS = ("request_limit_period", "usage_limit_period")


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitsPage:
    """One page of the limits answer."""

    rows: tuple[str, ...]
    """Each row as JSON, to recognize rows that are listed twice."""
    limits: tuple[tuple[str, RateLimit], ...]
    """Model and limit of each row. A model can have several rows."""
    total: Number | None
    """Rows on all pages."""


def parse_answer(body: bytes) -> AccountSnapshot | LimitsPage:
    """Return the content of an answer with HTTP 200.

    Raises `InvalidAnswerError`, or the error for the `code` in the answer.
    """
    return QuotasParser().parse(body)


class QuotasParser:
    """Parses the answers of one account, one after the other.

    If the data equal those of the previous answer, the previous snapshot is returned.
    Else a model is the previous object if its row equals the previous one.
    """

    def __init__(self) -> None:
        """Create a parser without a previous answer."""
        self._data: Mapping[str, Any] | None = None
        self._rows: Mapping[str, Any] = {}
        self._account = AccountSnapshot()

    def parse(self, body: bytes) -> AccountSnapshot | LimitsPage:
        """Return the same as `parse_answer`, and raise the same errors."""
        answer = decode_answer(body)
        if not isinstance(answer, dict):
            raise InvalidAnswerError("The answer is not a JSON object")
        code, message = code_and_message(answer)
        if code and code.casefold() == "success":
            code = None
        if code or answer.get("error"):
            raise _error(200, code or "error", message)
        if isinstance(data := answer.get("data"), dict):
            if b"true" in body or b"false" in body:
                data = _without_booleans(data, _FIGURE_DEPTH)
            if data != self._data:
                self._account = self._parse_account(data)
                self._data = data
            return self._account
        output = answer.get("output")
        if isinstance(output, dict) and isinstance(output.get("quotas"), list):
            return _limits_page(output)
        raise InvalidAnswerError("The answer holds neither account data nor quotas")

    def _parse_account(self, data: Mapping[str, Any]) -> AccountSnapshot:
        """Return the figures in the account answer."""
        models, complete = self._parse_models(data.get("models"))
        period = mapping_of(data.get("billing_period"))
        return AccountSnapshot(
            quotas_kind=QuotasKind.USAGE,
            credit_balance=_money(data.get("credits")),
            available_balance=_money(data.get("available")),
            spend_limit=_spend_limit(data.get("spend_limit")),
            daily_spend=_money(data.get("daily_spend")),
            monthly_spend=_money(data.get("monthly_spend")),
            tokens_used=number_of(data.get("tokens_used")),
            requests_used=number_of(data.get("requests_used")),
            rate_limit=_rate_limit(mapping_of(data.get("rate_limit"))),
            billing_period=BillingPeriod(
                start=date_of(period.get("start")), end=date_of(period.get("end"))
            ),
            models=MappingProxyType(models),
            models_complete=complete,
        )

    def _parse_models(self, value: Any) -> tuple[dict[str, ModelUsage], bool]:
        """Return the models by name, and whether these are all models.

        The answer has them as a list of rows, or as a map from name to row.
        """
        items: Iterable[tuple[Any, Any]] = ()
        complete = isinstance(value, list | dict)
        if isinstance(value, list):
            items = ((_row_name(mapping_of(row)), row) for row in value)
        elif isinstance(value, dict):
            items = value.items()
        previous_rows, previous_models = self._rows, self._account.models
        rows: dict[str, Any] = {}
        models: dict[str, ModelUsage] = {}
        for name, row in items:
            if not (isinstance(name, str) and name.strip() and isinstance(row, dict)):
                _LOGGER.debug("Skipped a model row without a name or of the wrong type")
                complete = False
                continue
            rows[name] = row
            if row == previous_rows.get(name):
                models[name] = previous_models[name]
            else:
                models[name] = ModelUsage(
                    name=name,
                    used=number_of(row.get("used")),
                    limit=number_of(row.get("limit")),
                    rate_limit=_rate_limit(row),
                )
        self._rows = rows
        return models, complete


def parse_failure(status: int, body: bytes) -> ModelStudioError:
    """Return the error for an answer with another status than HTTP 200."""
    try:
        answer = decode_answer(body)
    except InvalidAnswerError:
        answer = None
    code, message = code_and_message(mapping_of(answer))
    return _error(status, code, message)


def _error(status: int, code: str | None, message: str | None) -> ModelStudioError:
    """Return the error for a status and a code."""
    code = code or f"HTTP {status}"
    if err := common_error(status, code, message):
        return err
    if status in (401, 403):
        return AuthenticationError(message, code=code)
    return AccountError(message, code=code, status=status)


def _without_booleans(value: Any, depth: int) -> Any:
    """Return decoded JSON with null for each boolean, down to a depth.

    No figure is a boolean. But in Python, True equals 1, so that two answers with
    different figures could compare as equal.
    """
    if isinstance(value, bool):
        return None
    if depth and isinstance(value, dict):
        return {key: _without_booleans(it, depth - 1) for key, it in value.items()}
    if depth and isinstance(value, list):
        return [_without_booleans(it, depth - 1) for it in value]
    return value


def _row_name(row: Mapping[str, Any]) -> str | None:
    """Return the model's name in a row."""
    for name in (row.get("model"), row.get("name")):
        if isinstance(name, str) and name.strip():
            return name
    return None


def _rate_limit(row: Mapping[str, Any]) -> RateLimit:
    """Return the limits per minute in a row."""
    return RateLimit(rpm=number_of(row.get("rpm")), tpm=number_of(row.get("tpm")))


def _money(value: Any) -> Money | None:
    """Return an amount with its currency."""
    if (amount := amount_of(value)) is None:
        return None
    return Money(amount=amount, currency=CURRENCY)


def _spend_limit(value: Any) -> Money | None:
    """Return the spend limit. A negative amount means that there is none."""
    limit = _money(value)
    return None if limit is None or limit.amount < 0 else limit


def _limits_page(output: Mapping[str, Any]) -> LimitsPage:
    """Return a page of the limits answer.

    Raises `InvalidAnswerError` for a row without a model: part of a list is no use,
    because a missing model counts as gone.
    """
    rows = []
    limits = []
    for row in output["quotas"]:
        name = mapping_of(row).get("model")
        if not isinstance(name, str) or not name.strip():
            raise InvalidAnswerError("A row of the quotas names no model")
        rows.append(json.dumps(row, sort_keys=True))
        model = mapping_of(row.get("model_limit"))
        workspace = mapping_of(row.get("workspace_limit"))
        # A workspace limit without a period has the period of the model limit.
        periods = {key: model.get(key) for key in _PERIODS if not workspace.get(key)}
        limits.append(
            (name, _tighter(_per_minute(model), _per_minute({**workspace, **periods})))
        )
    return LimitsPage(
        rows=tuple(rows), limits=tuple(limits), total=number_of(output.get("total"))
    )


def limits_account(limits: Iterable[tuple[str, RateLimit]]) -> AccountSnapshot:
    """Return the account for the rows of all limits pages.

    If a model has several rows, the tightest limit applies.
    """
    models: dict[str, ModelUsage] = {}
    for name, limit in limits:
        if name in models:
            limit = _tighter(models[name].rate_limit, limit)
        models[name] = ModelUsage(name=name, rate_limit=limit)
    return AccountSnapshot(
        quotas_kind=QuotasKind.LIMITS,
        models=MappingProxyType(models),
        models_complete=True,
    )


def _per_minute(limit: Mapping[str, Any]) -> RateLimit:
    """Return a limit per minute. The answer has it per period of some seconds."""
    counts_tokens = "token" in (text_of(limit.get("usage_limit_field")) or "")
    return RateLimit(
        rpm=_times_per_minute(
            limit.get("request_limit"), limit.get("request_limit_period")
        ),
        tpm=_times_per_minute(limit.get("usage_limit"), limit.get("usage_limit_period"))
        if counts_tokens
        else None,
    )


def _times_per_minute(value: Any, period: Any) -> Number | None:
    """Return a number per period of seconds as a number per minute."""
    number, seconds = number_of(value), number_of(period)
    if number is None or not seconds:
        return None
    return number_of(number * 60 / seconds)


def _tighter(one: RateLimit, other: RateLimit) -> RateLimit:
    """Return the lower of two limits, for requests and tokens separately."""
    return RateLimit(rpm=_lower(one.rpm, other.rpm), tpm=_lower(one.tpm, other.tpm))


def _lower(one: Number | None, other: Number | None) -> Number | None:
    """Return the lower of two numbers, where None means unlimited."""
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
