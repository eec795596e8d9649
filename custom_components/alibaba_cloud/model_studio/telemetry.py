"""Usage, where an account has its monitoring data delivered: from its own Prometheus.

`model_usage` and `model_call_count` hold the sum of each minute, of one model, workspace
and API key each: once or several times, as often as they are sampled, and not at all
for a minute without calls. They come one to two minutes late.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
import logging
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import aiohttp
from yarl import URL

from .errors import (
    AccountError,
    AuthenticationError,
    InvalidAnswerError,
    ModelStudioError,
    PermissionDeniedError,
    RateLimitError,
)
from .http import Answer, Poll, request
from .models import AccessKey, Number
from .parsing import (
    code_and_message,
    common_error,
    decode_answer,
    mapping,
    number,
    plain_text,
    seconds_to_wait,
    text,
)

_LOGGER = logging.getLogger(__name__)

DELAY = timedelta(minutes=2)
"""After which a minute is complete for all series."""

_SHORTEST_PART = 4
"""Characters of a segment of a path; a shorter one stands in any text by chance."""
_LONGEST_PART = 8
_USUAL_PART = "prometheus"
"""Is in the path of every instance, and in many an error."""

_TOKENS = 'model_usage{usage_type="total_tokens"}'
_REQUESTS = "model_call_count"

# A sample stands for the minute that ends with it, and the last one of a minute for all
# of them. Over one minute, as an instant selector looks back five: across a gap it would
# count the same sample again. And a millisecond less, as Prometheus 2 includes both ends
# of a range: a sample on the minute would be in two. The comparison drops NaN, which
# else became the sum.
_MINUTE = "(last_over_time({series}[59999ms]) >= 0)"
_RATES = f"sum by (model) {_MINUTE}"
# The steps of a subquery are whole minutes, whenever it is evaluated.
_TOTALS = f"sum by (model) (sum_over_time({_MINUTE}[{{milliseconds}}ms:60s]))"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRate:
    """What a model used in a minute."""

    tokens_per_minute: Number | None = None
    requests_per_minute: Number | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTotals:
    """What a model used over a time."""

    tokens: Number | None = None
    requests: Number | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageTotals:
    """What an account used over a time.

    None is what there is no sample of, or no telling.
    """

    tokens: Number | None = None
    requests: Number | None = None
    models: Mapping[str, ModelTotals]
    """By name."""


class TelemetryClient:
    """Reads what an account uses, minute by minute."""

    def __init__(
        self, session: aiohttp.ClientSession, *, url: str, access_key: AccessKey
    ) -> None:
        """Keep where to ask, and the AccessKey, which goes there and nowhere else.

        url: what `/api/v1/query` is appended to.
        """
        self._session = session
        self._path = URL(url).raw_path
        self._url = URL(url) / "api/v1/query"
        self._access_key = access_key

    async def get_rates(self, now: datetime) -> Mapping[str, ModelRate]:
        """Return what each model used in the last minute that is complete, by name.

        Raises `AuthenticationError`, `PermissionDeniedError`, `RateLimitError`,
        `AccountError`, `ConnectionFailedError` or `InvalidAnswerError`.
        """
        minute = _whole_minute(now) - DELAY
        poll = Poll()
        tokens, requests = [
            await self._query(poll, _RATES.format(series=series), minute)
            for series in (_TOKENS, _REQUESTS)
        ]
        return MappingProxyType(
            {
                name: ModelRate(
                    tokens_per_minute=tokens.get(name),
                    requests_per_minute=requests.get(name),
                )
                for name in tokens | requests
                if name
            }
        )

    async def get_totals(self, start: datetime, now: datetime) -> UsageTotals:
        """Return what was used from a start, such as of the billing cycle, until now.

        The last minutes are counted as far as they are there. Raises as `get_rates`
        does.
        """
        end = _whole_minute(now)
        # Which leaves the minute out that ends with the start, whether or not a range
        # includes its ends.
        milliseconds = (end - start) // timedelta(milliseconds=1) - 1
        if milliseconds <= 0:
            return UsageTotals(models=MappingProxyType({}))
        poll = Poll()
        tokens, requests = [
            await self._query(
                poll,
                _TOTALS.format(series=series, milliseconds=milliseconds),
                end,
            )
            for series in (_TOKENS, _REQUESTS)
        ]
        return UsageTotals(
            tokens=_sum(tokens.values()),
            requests=_sum(requests.values()),
            models=MappingProxyType(
                {
                    name: ModelTotals(
                        tokens=tokens.get(name), requests=requests.get(name)
                    )
                    for name in tokens | requests
                    if name
                }
            ),
        )

    async def _query(
        self, poll: Poll, query: str, time: datetime
    ) -> dict[str, Number | None]:
        """Return the answer by model."""
        key_id, secret = self._access_key.id, self._access_key.secret
        if not self._access_key.is_possible:
            raise AuthenticationError("This can't be an AccessKey")
        encoded = b64encode(f"{key_id}:{secret}".encode()).decode()
        url = self._url.with_query(query=query, time=int(time.timestamp()))

        async def ask() -> Answer:
            return await request(
                self._session,
                "GET",
                url,
                headers={"Authorization": f"Basic {encoded}"},
                secrets=(secret, encoded),
            )

        answer = await poll.ask(ask)
        try:
            return parse_vector(answer)
        except ModelStudioError as err:
            err.redact(secret)
            err.redact(encoded)
            err.withhold(lambda words: repeats_path(words, self._path))
            raise


def repeats_path(words: str, path: str) -> bool:
    """Return whether words repeat part of a URL's path, which may hold a token.

    A part is a segment, or some characters of a longer one.
    """
    words = _decoded(words)
    return any(
        part[start : start + _LONGEST_PART] in words
        for part in _decoded(path).split("/")
        if len(part) >= _SHORTEST_PART and part != _USUAL_PART
        for start in range(max(1, len(part) - _LONGEST_PART + 1))
    )


def _decoded(text: str) -> str:
    """Return a text without percent-encoding, however often that was applied."""
    while (decoded := unquote(text)) != text:
        text = decoded
    return text.casefold()


def parse_vector(answer: Answer) -> dict[str, Number | None]:
    """Return the values of an instant vector by model.

    Under an empty name is what is of no model, and None is what is no count. Raises
    `InvalidAnswerError`, or what the answer stands for.
    """
    try:
        body = mapping(decode_answer(answer.body))
    except InvalidAnswerError:
        if answer.status == 200:
            raise
        body = {}
    if answer.status != 200 or body.get("status") == "error":
        raise _failure(answer, body)
    data = mapping(body.get("data"))
    rows = data.get("result")
    if data.get("resultType") != "vector" or not isinstance(rows, list):
        raise InvalidAnswerError("The answer is no vector")
    return dict(map(_row, rows))


def _failure(answer: Answer, body: Mapping[str, Any]) -> ModelStudioError:
    """Return the error that an answer stands for."""
    code, message = code_and_message(body)
    code = text(body.get("errorType")) or code or f"HTTP {answer.status}"
    if err := common_error(answer.status, code, message):
        if isinstance(err, RateLimitError):
            err.retry_after = seconds_to_wait(
                answer.headers.get("Retry-After"), datetime.now(UTC)
            )
        return err
    match answer.status:
        case 401:
            return AuthenticationError(message, code=code)
        case 403:
            return PermissionDeniedError(message, code=code)
    return AccountError(message, code=code, status=answer.status)


def _row(row: Any) -> tuple[str, Number | None]:
    """Return the model and the value of a row: `{"metric": {}, "value": [time, "1"]}`.

    Raises `InvalidAnswerError` where it is another shape.
    """
    labels, value = mapping(row).get("metric"), mapping(row).get("value")
    if not isinstance(labels, dict) or not isinstance(value, list) or len(value) != 2:
        raise InvalidAnswerError("A row of the answer is no sample")
    # To Prometheus, a label that is missing is an empty one.
    name = labels.get("model", "")
    if not isinstance(name, str):
        raise InvalidAnswerError("A model of the answer has no name")
    if (amount := number(value[1])) is None:
        _LOGGER.debug("What %s has used is no count", plain_text(name))
    return name, amount


def _sum(amounts: Iterable[Number | None]) -> Number | None:
    """Return the sum; None without amounts, or where one of them is not known."""
    known = list(amounts)
    whole = [amount for amount in known if amount is not None]
    return number(sum(whole)) if whole and len(whole) == len(known) else None


def _whole_minute(time: datetime) -> datetime:
    """Return the minute that a time is in."""
    return time.astimezone(UTC).replace(second=0, microsecond=0)
