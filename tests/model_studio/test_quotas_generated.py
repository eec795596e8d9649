"""Tests of `GET /quotas` with generated answers, valid and broken ones.

`HYPOTHESIS_PROFILE` sets the number of answers per test: `dev` (100), `ci` (500, always
the same ones) or `nightly` (100,000).
"""

from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
import json
import logging
from math import inf, isfinite
from types import MappingProxyType
from typing import Any, Final

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    BillingPeriod,
    ModelStudioError,
    ModelUsage,
    Money,
    Number,
    QuotasKind,
    RateLimit,
    parse_answer,
)
from custom_components.alibaba_cloud.model_studio.answers import seconds_to_wait
from custom_components.alibaba_cloud.model_studio.quotas import (
    LimitsPage,
    QuotasParser,
    limits_account,
    parse_failure,
)

from .common import MISSING
from .damage import EXTRAS, FEW, JUNK, SCALARS, TEXTS, body_of, damaged, written

# Hypothesis warns about its own random number generator.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

BEYOND: Final = 10**18
"""Numbers above this limit are not accepted as figures."""

type Field = tuple[Any, Any]
"""A field of an answer and its expected figure."""
type AccountAnswers = tuple[dict[str, Any], dict[str, Any], AccountSnapshot]
type Answer = AccountSnapshot | LimitsPage | ModelStudioError
type Rows = list[tuple[str, RateLimit]]
type LimitsAnswers = tuple[dict[str, Any], list[tuple[str, RateLimit, RateLimit]]]


def encoded(value: Any) -> bytes:
    """Return a body."""
    return written(value).encode()


def present(**written: Any) -> dict[str, Any]:
    """Return an object without the missing fields."""
    return {key: value for key, value in written.items() if value is not MISSING}


def maybe(field: st.SearchStrategy[Field]) -> st.SearchStrategy[Field]:
    """Generate a field that is reported, null or missing."""
    return st.one_of(st.just((None, None)), st.just((MISSING, None)), field)


def _rounded(exact: Decimal) -> Decimal:
    """Return a number with the decimal places that are kept."""
    places = exact.as_tuple().exponent
    assert isinstance(places, int)
    return round(exact, 12) if places < -12 else exact


def _usd(amount: Decimal) -> Money:
    return Money(amount=_rounded(amount), currency="USD")


def _count_in_text(number: Number) -> Field:
    """Return a count as a text."""
    exact = _rounded(Decimal(repr(number)))
    return f" {number!r}\n", int(exact) if exact == int(exact) else float(exact)


NUMBERS: Final = st.one_of(
    st.integers(0, BEYOND - 1), st.floats(0, BEYOND, exclude_max=True)
)
COUNTS: Final = maybe(
    st.one_of(NUMBERS.map(lambda it: (it, it)), NUMBERS.map(_count_in_text))
)
AMOUNTS: Final = st.decimals(
    -(10**15), 10**15, places=6, allow_nan=False, allow_infinity=False
)
MONEY: Final = maybe(
    st.one_of(
        st.integers(1 - BEYOND, BEYOND - 1).map(lambda it: (it, _usd(Decimal(it)))),
        st.floats(-BEYOND, BEYOND, exclude_min=True, exclude_max=True).map(
            lambda it: (it, _usd(Decimal(int(it) if it.is_integer() else repr(it))))
        ),
        AMOUNTS.map(lambda it: (str(it), _usd(it))),
        AMOUNTS.map(lambda it: (f" {it:f}\n", _usd(it))),
        AMOUNTS.map(lambda it: (f"{it:,f}\r\n", _usd(it))),
        st.integers(-999_999, -13).map(lambda it: (f"1e{it}", _usd(Decimal()))),
    )
)
DAYS: Final = maybe(
    st.tuples(
        st.dates(date(2000, 1, 1), date(2999, 12, 31)),
        st.sampled_from(["{}", "{}T23:59:59Z", " {} 00:00:00"]),
    ).map(lambda it: (it[1].format(it[0].isoformat()), it[0]))
)
NAMES: Final = st.text(min_size=1, max_size=6).filter(str.strip)


@st.composite
def _model_rows(draw: st.DrawFn) -> tuple[dict[str, Any], ModelUsage]:
    """Generate a row of a model without its name, and its figures."""
    name = draw(NAMES)
    used, limit, rpm, tpm = (draw(COUNTS) for _ in range(4))
    return (
        present(used=used[0], limit=limit[0], rpm=rpm[0], tpm=tpm[0]),
        ModelUsage(
            name=name,
            used=used[1],
            limit=limit[1],
            rate_limit=RateLimit(rpm=rpm[1], tpm=tpm[1]),
        ),
    )


MODELS: Final = st.one_of(
    st.none(),
    st.lists(_model_rows(), unique_by=lambda model: model[1].name, max_size=4),
)
CODES: Final = st.sampled_from(["Success", "success", "", None, MISSING])
NAME_KEYS: Final = st.sampled_from(["model", "name"])


@st.composite
def _account_answers(draw: st.DrawFn) -> AccountAnswers:
    """Generate an account answer with a list and with a map, and its figures."""
    keys = ("credits", "available", "spend_limit", "daily_spend", "monthly_spend")
    money = {key: draw(MONEY) for key in keys}
    tokens, requests, rpm, tpm = (draw(COUNTS) for _ in range(4))
    start, end = draw(DAYS), draw(DAYS)
    models = draw(MODELS)
    limit = money["spend_limit"][1]
    if limit is not None and limit.amount < 0:
        # A negative spend limit is no limit.
        money["spend_limit"] = (money["spend_limit"][0], None)
    data = present(
        **{key: field[0] for key, field in money.items()},
        tokens_used=tokens[0],
        requests_used=requests[0],
        rate_limit=present(rpm=rpm[0], tpm=tpm[0], remaining=draw(EXTRAS)),
        billing_period=present(start=start[0], end=end[0]),
        usage=draw(EXTRAS),
    )
    as_list: Any = MISSING
    as_map: Any = MISSING
    if models is not None:
        name = draw(NAME_KEYS)
        as_list = [{name: model.name, **row} for row, model in models]
        as_map = {model.name: dict(row) for row, model in models}
    code = draw(CODES)
    return (
        present(code=code, data=data | present(models=as_list), request_id="6f0c5b5e"),
        present(code=code, data=data | present(models=as_map), message="ok"),
        AccountSnapshot(
            quotas_kind=QuotasKind.USAGE,
            credit_balance=money["credits"][1],
            available_balance=money["available"][1],
            spend_limit=money["spend_limit"][1],
            daily_spend=money["daily_spend"][1],
            monthly_spend=money["monthly_spend"][1],
            tokens_used=tokens[1],
            requests_used=requests[1],
            rate_limit=RateLimit(rpm=rpm[1], tpm=tpm[1]),
            billing_period=BillingPeriod(start=start[1], end=end[1]),
            models=MappingProxyType({model.name: model for _, model in models or []}),
            models_complete=models is not None,
        ),
    )


ACCOUNT_ANSWERS: Final = _account_answers()


def _limit(amounts: tuple[int | None, int, int | None, int, str | None]) -> Field:
    """Return a limit of the limits answer, and the limit per minute."""
    requests, period, usage, usage_period, unit = amounts
    counted = usage is not None and unit in ("total_tokens", "input_tokens")
    return (
        {
            "request_limit": requests,
            "request_limit_period": period,
            "usage_limit": usage,
            "usage_limit_field": unit,
            "usage_limit_period": usage_period,
            "async_user_queue_limit": None,
        },
        RateLimit(
            rpm=None if requests is None else requests * 60 // period,
            tpm=(usage or 0) * 60 // usage_period if counted else None,
        ),
    )


PER_PERIOD: Final = st.one_of(st.none(), st.integers(0, 10**9))
PERIODS: Final = st.sampled_from([1, 2, 10, 60])
UNITS: Final = st.sampled_from(["total_tokens", "input_tokens", "image_count", None])
LIMITS: Final = st.tuples(PER_PERIOD, PERIODS, PER_PERIOD, PERIODS, UNITS).map(_limit)
LIMIT_ROWS: Final = st.lists(
    st.tuples(NAMES, LIMITS, st.one_of(st.just((None, RateLimit())), LIMITS)),
    max_size=4,
)


def _limits_answer(page: tuple[int, list[tuple[str, Field, Field]]]) -> LimitsAnswers:
    """Return a page of limits, and both limits of each row."""
    total, rows = page
    quotas = [
        {
            "model": name,
            "workspace_id": "llm-8q2v5kx0r7t1m3zc",
            "model_limit": of_model[0],
            "workspace_limit": of_workspace[0],
        }
        for name, of_model, of_workspace in rows
    ]
    output = {"total": total, "page_no": 1, "page_size": 100, "quotas": quotas}
    meant = [(name, one[1], other[1]) for name, one, other in rows]
    return {"request_id": "6f0c5b5e", "output": output}, meant


LIMITS_ANSWERS: Final = st.tuples(st.integers(0, 10_000), LIMIT_ROWS).map(
    _limits_answer
)

ANSWERS: Final = st.one_of(
    ACCOUNT_ANSWERS.map(lambda answers: answers[0]),
    ACCOUNT_ANSWERS.map(lambda answers: answers[1]),
    LIMITS_ANSWERS.map(lambda answers: answers[0]),
    st.fixed_dictionaries(
        {}, optional={"code": SCALARS, "message": SCALARS, "error": JUNK, "data": JUNK}
    ),
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Generate a body."""
    return body_of(draw, draw(ANSWERS))


ANY_BODY: Final = st.one_of(bodies(), st.binary(max_size=32))


@st.composite
def dates_in_headers(draw: st.DrawFn) -> str:
    """Generate a slightly invalid HTTP date."""
    date = b"Sat, 15 Aug 2026 12:00:00 GMT"
    return damaged(draw, date).decode(errors="ignore")


RETRY_AFTER: Final = st.one_of(
    dates_in_headers(),
    st.text(max_size=12),
    st.one_of(st.integers(), st.floats()).map(str),
    st.sampled_from(TEXTS),
)


@st.composite
def sequences(draw: st.DrawFn) -> list[bytes]:
    """Generate a sequence of similar bodies."""
    answer = draw(ANSWERS)
    return [
        body_of(draw, answer if draw(FEW) > 1 else draw(ANSWERS))
        for _ in range(1 + draw(FEW))
    ]


def check_count(count: Number | None) -> None:
    """Check that a number is unknown or valid."""
    if count is not None:
        assert type(count) in (int, float)
        assert isfinite(count)
        assert count >= 0


def check(figure: Any) -> None:
    """Check that all values in a snapshot can be displayed and stored."""
    match figure:
        case Money():
            assert figure.amount.is_finite()
            assert isfinite(float(figure.amount))
            assert figure.currency == "USD"
        case str():
            assert figure.strip()
            figure.encode()
        case MappingProxyType():
            for name, model in figure.items():
                assert model.name == name
                check(model)
                check_count(model.usage_pct)
                check_count(model.load_pct)
        case tuple():
            for item in figure:
                check(item)
        case bool() | date():
            pass
        case _ if is_dataclass(figure):
            for field in fields(figure):
                value = getattr(figure, field.name)
                assert not isinstance(value, bool) or field.name == "models_complete"
                check(value)
        case _:
            check_count(figure)


def read(parser: QuotasParser, body: bytes) -> Answer:
    """Return the content of a body, or the error."""
    try:
        return parser.parse(body)
    except ModelStudioError as err:
        return err


def comparable(answer: Answer) -> Any:
    """Return an answer in a form that can be compared."""
    if isinstance(answer, ModelStudioError):
        return type(answer), answer.code, answer.message
    return answer


@pytest.fixture(autouse=True)
def few_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Drop debug lines, of which there would be millions."""
    caplog.set_level(logging.INFO, "custom_components.alibaba_cloud")


@given(body=ANY_BODY)
def test_any_body(body: bytes) -> None:
    """Any answer gives valid figures or an error."""
    match answer := read(QuotasParser(), body):
        case ModelStudioError():
            str(answer).encode()
        case AccountSnapshot():
            check(answer)
            assert answer.over_spend_limit in (None, False, True)
        case LimitsPage():
            assert len(answer.rows) == len(answer.limits)
            check_count(answer.total)
            check(limits_account(answer.limits))


@given(status=st.integers(100, 599), body=ANY_BODY)
def test_any_failure(status: int, body: bytes) -> None:
    """Any failed answer gives an error with a code."""
    error = parse_failure(status, body)
    assert error.code
    str(error).encode()


@given(retry_after=RETRY_AFTER)
def test_any_retry_after(retry_after: str) -> None:
    seconds = seconds_to_wait(
        {"Retry-After": retry_after}, datetime(2026, 8, 15, tzinfo=UTC)
    )
    assert seconds is None or 0 < seconds < inf


@given(answers=ACCOUNT_ANSWERS)
def test_account(answers: AccountAnswers) -> None:
    """All figures are read, in both shapes of the models."""
    as_list, as_map, snapshot = answers
    assert parse_answer(encoded(as_list)) == snapshot
    assert parse_answer(encoded(as_map)) == snapshot


@given(answers=LIMITS_ANSWERS)
def test_limits(answers: LimitsAnswers) -> None:
    """The limit of a row is the lower one of model and workspace, per minute."""
    answer, meant = answers
    page = parse_answer(encoded(answer))
    assert isinstance(page, LimitsPage)
    assert page.total == answer["output"]["total"]
    assert [json.loads(row) for row in page.rows] == answer["output"]["quotas"]
    assert [name for name, _ in page.limits] == [name for name, _, _ in meant]
    for (_, limit), (_, one, other) in zip(page.limits, meant, strict=True):
        for cap, caps in (
            (limit.rpm, (one.rpm, other.rpm)),
            (limit.tpm, (one.tpm, other.tpm)),
        ):
            assert cap == min((it for it in caps if it is not None), default=None)


@given(bodies=sequences())
def test_previous_answers_do_not_matter(bodies: list[bytes]) -> None:
    parser = QuotasParser()
    for body in bodies:
        after_others, alone = read(parser, body), read(QuotasParser(), body)
        assert comparable(after_others) == comparable(alone)


EQUAL: Final = ((0, 0.0, -0.0, False), (1, 1.0, True), (2**59, 2.0**59), (None,))
"""Values of different types that are equal in Python."""
FIGURES: Final = ("spend_limit", "available", "tokens_used")
MODEL_FIGURES: Final = ("used", "limit", "rpm")


@st.composite
def equal_answers(draw: st.DrawFn) -> list[bytes]:
    """Generate answers whose data are equal in Python."""
    account = {key: draw(st.sampled_from(EQUAL)) for key in FIGURES}
    model = {key: draw(st.sampled_from(EQUAL)) for key in MODEL_FIGURES}
    as_map = draw(st.booleans())

    def drawn(values: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
        return {key: draw(st.sampled_from(equal)) for key, equal in values.items()}

    bodies = []
    for _ in range(1 + draw(FEW)):
        row = drawn(model)
        models: Any = {"a": row} if as_map else [{"model": "a", **row}]
        data = drawn(account) | {"models": models, "rate_limit": row}
        bodies.append(encoded({"data": data}))
    return bodies


@given(bodies=equal_answers())
def test_equal_data_of_other_types(bodies: list[bytes]) -> None:
    """A parser does not mix up equal values of other types, such as True and 1."""
    parser = QuotasParser()
    for body in bodies:
        assert read(parser, body) == read(QuotasParser(), body)


CAPS: Final = st.one_of(st.none(), NUMBERS)
ROWS: Final = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]), st.builds(RateLimit, rpm=CAPS, tpm=CAPS)
    ),
    max_size=6,
)


def not_above(cap: Number | None, other: Number | None) -> bool:
    """Return whether a limit is at most another. None is the highest limit."""
    return (inf if cap is None else cap) <= (inf if other is None else other)


@given(rows=ROWS, more=ROWS)
def test_more_rows_never_raise_a_limit(rows: Rows, more: Rows) -> None:
    before, after = limits_account(rows).models, limits_account([*rows, *more]).models
    assert after.keys() == {name for name, _ in [*rows, *more]}
    for name, model in before.items():
        assert not_above(after[name].rate_limit.rpm, model.rate_limit.rpm)
        assert not_above(after[name].rate_limit.tpm, model.rate_limit.tpm)


@given(rows=ROWS, data=st.data())
def test_order_of_rows_does_not_matter(rows: Rows, data: st.DataObject) -> None:
    assert limits_account(data.draw(st.permutations(rows))) == limits_account(rows)


@given(used=st.tuples(NUMBERS, NUMBERS).map(sorted), limit=NUMBERS)
def test_percentage_never_decreases_with_usage(
    used: list[Number], limit: Number
) -> None:
    less, more = (ModelUsage(name="m", used=it, limit=limit).usage_pct for it in used)
    # There is no percentage without a limit, or if it would be infinite.
    assert more is None or (less is not None and 0 <= less <= more < inf)
