"""The usage of an account, from the Prometheus that its monitoring data is delivered to.

The series `model_usage` and `model_call_count` hold the sum of one minute for each
model, workspace and API key. A minute has one or several equal samples, depending on the
sampling interval, and none if there were no calls. Samples are one to two minutes late.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
import logging
import re
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote

import aiohttp
from yarl import URL

from .answers import code_and_message, common_error, decode_answer, set_retry_after
from .errors import (
    AccountError,
    AuthenticationError,
    InvalidAnswerError,
    ModelStudioError,
    PermissionDeniedError,
)
from .http import Answer, Poll, request
from .models import AccessKey, Number, percentage
from .usage import DayUsage, ModelRate, ModelTotals, UsageRates, UsageTotals
from .values import mapping_of, number_of, plain_text, text_of

_LOGGER = logging.getLogger(__name__)

DELAY = timedelta(minutes=2)
"""Time after which the samples of a minute are complete in all series."""

_MIN_SECRET_PART = 4
"""Characters. A path segment can be a secret if it has at least this length.

Shorter ones appear in any text by chance.
"""
_PART_LENGTH = 8
"""Characters. A text is searched for all parts of a segment with this length."""
_USUAL_SEGMENT = "prometheus"
"""Part of the path of every instance, and a common word in error messages."""
_DAY = timedelta(days=1)

_USAGE = "model_usage"
_TOKENS = f'{_USAGE}{{usage_type="total_tokens"}}'
_REQUESTS = "model_call_count"

# Each sample holds the sum of the minute before it, so the last one of a minute is
# enough. The range is one minute, because an instant selector looks back five minutes
# and would count a sample again in a gap. It is a millisecond shorter, because Prometheus
# 2 includes both ends of a range and would count a sample on the full minute twice. The
# comparison drops NaN, which would turn the whole sum into NaN.
_MINUTE = "(last_over_time({series}[59999ms]) >= 0)"
_RATES = f"sum by (model) {_MINUTE}"
_CALLS = f"sum by (model, status_code) {_MINUTE.format(series=_REQUESTS)}"
# The steps of a subquery are aligned to whole minutes, whenever it is evaluated.
_TOTAL = f"(sum_over_time({_MINUTE}[{{milliseconds}}ms:60s]))"
_TOTALS = f"sum by (model) {_TOTAL}"
_KINDS = f"sum by (model, usage_type) {_TOTAL}"
_ANY = " or ".join(
    f"count(last_over_time({series}[7d]))" for series in (_USAGE, _REQUESTS)
)

_STATUS = re.compile("[1-9][0-9]{2}")


class _Sample(NamedTuple):
    """A sample of an answer."""

    model: str
    """Empty for a sample without a model."""
    labels: Mapping[str, Any]
    value: Number | None
    """None if it is not a valid number."""


class TelemetryClient:
    """Reads the usage of an account, minute by minute."""

    def __init__(
        self, session: aiohttp.ClientSession, *, url: str, access_key: AccessKey
    ) -> None:
        """Create a client. The AccessKey is sent to this URL only.

        `url` is the address, with or without `/api/v1/query`. Its path can contain a
        token.
        """
        self._session = session
        base = URL(url.removesuffix("/api/v1/query").removesuffix("/api/v1"))
        self._path = base.raw_path
        self._url = base / "api/v1/query"
        self._access_key = access_key

    async def get_rates(
        self, now: datetime, *, day_start: datetime | None = None
    ) -> UsageRates:
        """Return the usage of the last complete minute, and since the day's start.

        Without a start, the usage of the day is not requested. If only that usage can't
        be read, it is None, and no error is raised.

        Raises `AuthenticationError`, `PermissionDeniedError`, `RateLimitError`,
        `AccountError`, `ConnectionFailedError` or `InvalidAnswerError`.
        """
        minute = _whole_minute(now) - DELAY
        poll = Poll()
        tokens = _by_model(
            await self._query(poll, _RATES.format(series=_TOKENS), minute)
        )
        calls = _by_model_and("status_code", await self._query(poll, _CALLS, minute))
        return UsageRates(
            models=MappingProxyType(
                {
                    name: replace(
                        _call_rate(calls.get(name, {})),
                        tokens_per_minute=tokens.get(name),
                    )
                    for name in dict.fromkeys((*tokens, *calls))
                    if name
                }
            ),
            today=None
            if day_start is None
            else await self._get_day(poll, day_start, now),
        )

    async def has_usage(self, now: datetime) -> bool:
        """Return whether there is any usage of the last seven days.

        Raises the same errors as `get_rates`.
        """
        return bool(await self._query(Poll(), _ANY, _whole_minute(now)))

    async def get_totals(
        self, start: datetime, now: datetime, *, closed_day: datetime | None = None
    ) -> UsageTotals:
        """Return the usage from a start, such as that of the billing cycle, until now.

        The last two minutes can be incomplete. `closed_day` is the start of a past day
        whose usage is also requested. If only that usage can't be read, it is None.
        Raises the same errors as `get_rates`.
        """
        end = _whole_minute(now)
        if (milliseconds := _milliseconds(start, end)) <= 0:
            return UsageTotals(models=MappingProxyType({}))
        poll = Poll()
        tokens, requests = [
            _by_model(
                await self._query(
                    poll,
                    _TOTALS.format(series=series, milliseconds=milliseconds),
                    end,
                )
            )
            for series in (_TOKENS, _REQUESTS)
        ]
        return UsageTotals(
            since=start,
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
            closed_day=None
            if closed_day is None
            else await self._get_day(poll, closed_day, closed_day + _DAY),
        )

    async def _get_day(
        self, poll: Poll, start: datetime, end: datetime
    ) -> DayUsage | None:
        """Return the usage from the start of a day until a time, by model and kind.

        None if it can't be read: only the estimate needs it, and a query over a day can
        be too large.
        """
        end = _whole_minute(end)
        samples: list[_Sample] = []
        if (milliseconds := _milliseconds(start, end)) > 0:
            query = _KINDS.format(series=_USAGE, milliseconds=milliseconds)
            try:
                samples = await self._query(poll, query, end)
            except ModelStudioError as err:
                _LOGGER.debug("The usage of a day can't be read: %s", err)
                return None
        return DayUsage(
            start=start, models=MappingProxyType(_by_model_and("usage_type", samples))
        )

    async def _query(self, poll: Poll, query: str, time: datetime) -> list[_Sample]:
        """Return the result of a query."""
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
            err.withhold(lambda text: repeats_path(text, self._path))
            set_retry_after(err, answer.headers)
            raise


def repeats_path(text: str, path: str) -> bool:
    """Return whether a text contains a part of a URL's path, which can hold a token.

    A part is a segment, or any 8 characters of a longer segment.
    """
    text = _decoded(text)
    return any(
        segment[start : start + _PART_LENGTH] in text
        for segment in _decoded(path).split("/")
        if len(segment) >= _MIN_SECRET_PART and segment != _USUAL_SEGMENT
        for start in range(max(1, len(segment) - _PART_LENGTH + 1))
    )


def _decoded(text: str) -> str:
    """Return a text in lower case, without any level of percent-encoding."""
    while (decoded := unquote(text)) != text:
        text = decoded
    return text.casefold()


def parse_vector(answer: Answer) -> list[_Sample]:
    """Return the samples of an instant vector.

    Raises `InvalidAnswerError`, or the error for the status and the code.
    """
    try:
        body = mapping_of(decode_answer(answer.body))
    except InvalidAnswerError:
        if answer.status == 200:
            raise
        body = {}
    if answer.status != 200 or body.get("status") == "error":
        raise _failure(answer.status, body)
    data = mapping_of(body.get("data"))
    rows = data.get("result")
    if data.get("resultType") != "vector" or not isinstance(rows, list):
        raise InvalidAnswerError("The answer is no vector")
    return [_sample(row) for row in rows]


def _failure(status: int, body: Mapping[str, Any]) -> ModelStudioError:
    """Return the error for a status and a body."""
    code, message = code_and_message(body)
    code = text_of(body.get("errorType")) or code or f"HTTP {status}"
    if err := common_error(status, code, message):
        return err
    match status:
        case 401:
            return AuthenticationError(message, code=code)
        case 403:
            return PermissionDeniedError(message, code=code)
    return AccountError(message, code=code, status=status)


def _sample(row: Any) -> _Sample:
    """Return the sample of a row: `{"metric": {}, "value": [time, "1"]}`.

    Raises `InvalidAnswerError` for any other shape.
    """
    labels, value = mapping_of(row).get("metric"), mapping_of(row).get("value")
    if not isinstance(labels, dict) or not isinstance(value, list) or len(value) != 2:
        raise InvalidAnswerError("A row of the answer is no sample")
    # In Prometheus, a missing label equals an empty one.
    name = labels.get("model", "")
    if not isinstance(name, str):
        raise InvalidAnswerError("A model of the answer has no name")
    if (number := number_of(value[1])) is None:
        _LOGGER.debug("The usage of %s is not a number", plain_text(name))
    return _Sample(name, labels, number)


def _by_model(samples: Iterable[_Sample]) -> dict[str, Number | None]:
    """Return the values by model name."""
    return {sample.model: sample.value for sample in samples}


def _by_model_and(
    label: str, samples: Iterable[_Sample]
) -> dict[str, dict[str, Number | None]]:
    """Return the values by model name and by a label, which is empty if it is missing."""
    values: dict[str, dict[str, Number | None]] = {}
    for sample in samples:
        text = sample.labels.get(label)
        of_model = values.setdefault(sample.model, {})
        of_model[text if isinstance(text, str) else ""] = sample.value
    return values


def _call_rate(calls: Mapping[str, Number | None]) -> ModelRate:
    """Return the rate of calls, which are given by their HTTP status.

    The number of failed calls is unknown if a call has no status.
    """
    requests = _sum(calls.values())
    if requests is None or not all(map(_STATUS.fullmatch, calls)):
        return ModelRate(requests_per_minute=requests)
    failed = _sum(calls[status] for status in calls if not status.startswith("2"))
    return ModelRate(
        requests_per_minute=requests,
        throttled_calls=calls.get("429", 0),
        error_rate_pct=percentage(failed or 0, requests),
    )


def _sum(numbers: Iterable[Number | None]) -> Number | None:
    """Return the sum, None if there are no numbers or if one of them is unknown."""
    numbers = list(numbers)
    known = [number for number in numbers if number is not None]
    return number_of(sum(known)) if known and len(known) == len(numbers) else None


def _milliseconds(start: datetime, end: datetime) -> int:
    """Return the time from a start to an end, minus one millisecond.

    A range of this length excludes the sample at the start, which is of the minute before.
    """
    return (end - start) // timedelta(milliseconds=1) - 1


def _whole_minute(time: datetime) -> datetime:
    """Return the start of a minute, in UTC."""
    return time.astimezone(UTC).replace(second=0, microsecond=0)
