"""The account's Prometheus: tokens and requests by model."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
import re
from typing import Any

from aiohttp import web

from .account import (
    BILLING_ZONE,
    REQUESTS_PER_USD,
    TOKENS_PER_USD,
    Account,
    Model,
    QueryError,
)
from .faults import Manners, Refusal

MINUTE = timedelta(minutes=1)

# Units per USD of each series.
_SERIES = {"model_usage": TOKENS_PER_USD, "model_call_count": REQUESTS_PER_USD}

type _Part = tuple[dict[str, str], int]
"""Labels and the part of an amount that belongs to them."""
type _Value = Callable[[Account, Model, int, datetime], int]

_SUBQUERY = re.compile(r"\[[^\]]*:[^\]]*\]")
_DAY_BY_KIND = re.compile(r"by \(model, usage_type\).*\[(\d+)ms:")
_INPUT_SHARE = 0.7
"""The part of a model's tokens that is input."""


def instant(account: Account, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the `data` of an instant query as JSON data.

    PromQL is not evaluated. The samples belong to the series that the query names. They
    are grouped by model, and by status code or kind if the query groups by it. A query
    with a subquery returns the use of the billing period up to the virtual time, or by
    kind the use of its range. Other queries return the use of the last full minute
    before `time`.

    Raises:
        QueryError: the query is missing, or its time is invalid.

    """
    text = query.get("query")
    if not text:
        raise QueryError('invalid parameter "query": unknown position: no expression')
    moment = _moment(query["time"]) if "time" in query else account.now
    per_usd = next((rate for name, rate in _SERIES.items() if name in text), None)
    kinds = _by_status if "status_code" in text else _by_nothing
    value: _Value = _of_month if _SUBQUERY.search(text) else _of_minute
    if day := _DAY_BY_KIND.search(text):
        kinds = _by_kind
        # The client asks for a millisecond less.
        value = partial(_of_range, range_=timedelta(milliseconds=int(day[1]) + 1))
    return {
        "resultType": "vector",
        "result": _vector(account, moment, per_usd, value, kinds) if per_usd else [],
    }


def _vector(
    account: Account,
    moment: datetime,
    per_usd: int,
    value: _Value,
    kinds: Callable[[Account, int], list[_Part]],
) -> list[dict[str, Any]]:
    """Return the samples of each model."""
    return [
        {
            "metric": {"model": model.name, **labels},
            "value": [moment.timestamp(), str(part)],
        }
        for model in account.models
        for labels, part in kinds(account, value(account, model, per_usd, moment))
    ]


def _by_nothing(_: Account, amount: int) -> list[_Part]:
    """Return an amount as a single part without labels."""
    return [({}, amount)]


def _by_status(account: Account, amount: int) -> list[_Part]:
    """Return the numbers of successful and throttled requests."""
    throttled = int(amount * account.throttled)
    return [
        ({"status_code": "200"}, amount - throttled),
        ({"status_code": "429"}, throttled),
    ]


def _by_kind(_: Account, amount: int) -> list[_Part]:
    """Return the kinds of a number of tokens."""
    put_in = int(amount * _INPUT_SHARE)
    return [
        ({"usage_type": "total_tokens"}, amount),
        ({"usage_type": "input_tokens"}, put_in),
        ({"usage_type": "output_tokens"}, amount - put_in),
    ]


def _of_month(account: Account, model: Model, per_usd: int, _: datetime) -> int:
    """Return the use of a model in the billing period."""
    return _used(account, model, per_usd, account.now)


def _of_minute(account: Account, model: Model, per_usd: int, moment: datetime) -> int:
    """Return the use of a model in the last full minute, in whole units."""
    return _of_range(account, model, per_usd, moment, MINUTE)


def _of_range(
    account: Account, model: Model, per_usd: int, moment: datetime, range_: timedelta
) -> int:
    """Return what a model has used until the last full minute, in whole units.

    It is that of a range in one month. The ranges of a month add up to the month.
    """
    end = moment.astimezone(BILLING_ZONE).replace(second=0, microsecond=0)
    start = end - range_
    # Midnight on the first of a month ends the last minute of the previous month.
    before = _used(account, model, per_usd, start)
    if start.month == end.month:
        return _used(account, model, per_usd, end) - before
    return _used(account, model, per_usd, end - timedelta(microseconds=1)) - before


def _used(account: Account, model: Model, per_usd: int, moment: datetime) -> int:
    """Return the use of a model in a month up to a moment."""
    return int(account.month_worth(moment) * per_usd * model.weight)


def _moment(text: str) -> datetime:
    """Return a time given as a Unix timestamp or in ISO format.

    Raises `QueryError` if the text is neither, or has no time zone.
    """
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except ValueError, OverflowError, OSError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise QueryError(
            f'invalid parameter "time": cannot parse "{text}" to a valid timestamp'
        )
    return moment


def admit(request: web.BaseRequest, access_keys: Mapping[str, str]) -> None:
    """Accept a request with a valid AccessKey.

    Raises:
        Refusal: the request has no valid AccessKey.

    """
    good = {
        f"Basic {b64encode(f'{access_key_id}:{secret}'.encode()).decode()}"
        for access_key_id, secret in access_keys.items()
    }
    if request.headers.get("Authorization") not in good:
        raise Refusal(401, "unauthorized", "Authorization failed")


def _error(
    refusal: Refusal, _: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an error in the format of Prometheus, or of its gateway (401, 403)."""
    if refusal.status in {401, 403}:
        return web.Response(
            text=f"{refusal.message}\n", status=refusal.status, headers=headers
        )
    return web.json_response(
        {"status": "error", "errorType": refusal.code, "error": refusal.message},
        status=refusal.status,
        headers=headers,
    )


def _clear(answer: dict[str, Any]) -> None:
    """Remove all samples from an answer."""
    answer["data"]["result"].clear()


MANNERS = Manners(
    error=_error,
    numbers=re.compile(r"\d+"),
    wrong_types={
        "data": {
            "resultType": 1,
            "result": [
                None,
                7,
                "qwen-max",
                {"metric": "qwen-max", "value": 1},
                {"metric": {"model": 5}, "value": ["now", {}, 1]},
            ],
        }
    },
    clear_models=_clear,
)
