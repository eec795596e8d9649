"""What each answer of the service means, and how little of it has to make sense."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
import json
from math import isfinite
from random import Random
from types import MappingProxyType
from typing import Any, Final
import unicodedata
from xml.sax.saxutils import escape

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountError,
    AccountSnapshot,
    AuthenticationError,
    BillingPeriod,
    BudgetExhaustedError,
    FreeQuotaUsedUpError,
    InvalidAnswerError,
    ModelStudioError,
    ModelUsage,
    Money,
    OverduePaymentError,
    QuotasKind,
    RateLimit,
    RateLimitError,
    ServiceNotEnabledError,
    plain_text,
)
from custom_components.alibaba_cloud.model_studio.answers import seconds_to_wait
from custom_components.alibaba_cloud.model_studio.models import Number
from custom_components.alibaba_cloud.model_studio.quotas import (
    LimitsPage,
    QuotasParser,
    limits_account,
    parse_answer,
    parse_failure,
)
from tests.common import answer

NOW = datetime(2026, 8, 15, 12, tzinfo=UTC)
MISSING: Final = object()
NOTHING = RateLimit()


def usd(amount: str) -> Money:
    """Return an amount in US dollars."""
    return Money(amount=Decimal(amount), currency="USD")


ACCOUNT = AccountSnapshot(
    credit_balance=usd("120.5"),
    available_balance=usd("100.25"),
    spend_limit=usd("500"),
    daily_spend=usd("12.34"),
    monthly_spend=usd("187.65"),
    tokens_used=75_060_000,
    requests_used=33_777,
    rate_limit=RateLimit(rpm=1200, tpm=5_000_000),
    billing_period=BillingPeriod(start=date(2026, 8, 1), end=date(2026, 8, 31)),
    models=MappingProxyType(
        {
            "qwen-max": ModelUsage(
                name="qwen-max",
                used=820,
                limit=1000,
                rate_limit=RateLimit(rpm=600, tpm=1_000_000),
            ),
            "qwen-plus": ModelUsage(
                name="qwen-plus",
                used=150,
                limit=2000,
                rate_limit=RateLimit(rpm=15_000, tpm=1_200_000),
            ),
            "text-embedding-v4": ModelUsage(
                name="text-embedding-v4", used=30, limit=0, rate_limit=NOTHING
            ),
        }
    ),
    models_complete=True,
    quotas_kind=QuotasKind.USAGE,
)
"""What account.json says; the other account answers in the fixtures say the same."""

NO_FIGURES = AccountSnapshot(quotas_kind=QuotasKind.USAGE)

# Where a figure stands in the answer, with the models as a map, and in the snapshot.
MONEY = {
    "credits": "credit_balance",
    "available": "available_balance",
    "spend_limit": "spend_limit",
    "daily_spend": "daily_spend",
    "monthly_spend": "monthly_spend",
}
COUNTS = {
    "tokens_used": "tokens_used",
    "requests_used": "requests_used",
    "rate_limit.rpm": "rate_limit.rpm",
    "rate_limit.tpm": "rate_limit.tpm",
    "models.qwen-max.used": "models.qwen-max.used",
    "models.qwen-max.limit": "models.qwen-max.limit",
    "models.qwen-max.rpm": "models.qwen-max.rate_limit.rpm",
    "models.qwen-max.tpm": "models.qwen-max.rate_limit.tpm",
}
DATES = {
    "billing_period.start": "billing_period.start",
    "billing_period.end": "billing_period.end",
}
FIGURES = {**MONEY, **COUNTS, **DATES}


def account_of(body: bytes) -> AccountSnapshot:
    """Return the account that a body describes."""
    account = parse_answer(body)
    assert isinstance(account, AccountSnapshot)
    return account


def account_with(place: str, value: Any) -> AccountSnapshot:
    """Return what the fixture says with another value in one place, or without it."""
    return account_of(body_with(place, value))


def body_with(place: str, value: Any) -> bytes:
    """Return the fixture as a body, with another value in one place or without it."""
    whole = answer("account_map")
    *path, name = place.split(".")
    inner = whole["data"]
    for part in path:
        inner = inner[part]
    if value is MISSING:
        del inner[name]
    else:
        inner[name] = value
    return json.dumps(whole).encode()


def changed(whole: Any, place: str, value: Any) -> Any:
    """Return a snapshot with another value in one place."""
    name, _, rest = place.partition(".")
    if isinstance(whole, Mapping):
        inner = changed(whole[name], rest, value) if rest else value
        return MappingProxyType({**whole, name: inner})
    inner = changed(getattr(whole, name), rest, value) if rest else value
    return replace(whole, **{name: inner})


def at(account: AccountSnapshot, place: str) -> Any:
    """Return the value in one place of a snapshot."""
    value: Any = account
    for name in place.split("."):
        value = value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value


@pytest.mark.parametrize("name", ["account", "account_map", "account_strings"])
def test_account(name: str) -> None:
    """Models as a list or a map, named either way, numbers as they are or as text."""
    account = account_of(json.dumps(answer(name)).encode())
    assert account == ACCOUNT
    assert account.models["qwen-max"].usage_pct == 82.0
    assert account.models["text-embedding-v4"].usage_pct is None


def test_list_and_map_of_models_are_equal() -> None:
    rows = answer("account")["data"]["models"]
    by_name = {row["model"]: row for row in rows}
    named = [{"name": row["model"], **row, "model": None} for row in rows]
    snapshots = [account_with("models", models) for models in (rows, by_name, named)]
    assert snapshots == [ACCOUNT] * 3


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(MISSING, id="missing"),
        None,
        True,
        False,
        [],
        [1],
        ["2026-08-01"],
        {},
        {"amount": 1},
        "",
        " ",
        "a few",
        "1,00",
        ",100",
        "1_000",
        "0x10",
        "5 USD",
        "null",
    ],
    ids=ascii,
)
def test_figure_that_is_none(value: Any) -> None:
    """It is missing, and the rest of the answer stands."""
    for place, figure in FIGURES.items():
        assert account_with(place, value) == changed(ACCOUNT, figure, None), place


@pytest.mark.parametrize(
    "literal",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "1e18",
        "9" * 400,
        "-" + "9" * 400,
        "9" * 5000,
        '"NaN"',
        '"-NaN"',
        '"sNaN"',
        '"Infinity"',
        '"-Infinity"',
        '"inf"',
        '"1e999"',
        '"-1e999"',
        '"1e9999999"',
        '"-1e9999999"',
        '"1e9999999999999999999"',
        '"1e-9999999999999999999"',
        f'"{"9" * 400}"',
        f'"{"9" * 5000}"',
    ],
    ids=lambda literal: literal[:16] if len(literal) < 400 else f"{len(literal)} long",
)
def test_figure_beyond_measure(literal: str) -> None:
    """What is no finite number of this world is missing, and the rest stands."""
    for place, figure in {**MONEY, **COUNTS}.items():
        body = body_with(place, "@").replace(b'"@"', literal.encode())
        assert account_of(body) == changed(ACCOUNT, figure, None), place


@pytest.mark.parametrize("value", [-1, -0.5, "-1", "-1e3", -(10**17)])
def test_negative_count(value: Any) -> None:
    for place, figure in COUNTS.items():
        assert account_with(place, value) == changed(ACCOUNT, figure, None), place


@pytest.mark.parametrize("value", [-3.21, "-3.21", " -3.21 "])
def test_negative_amount(value: Any) -> None:
    """A refund, or an account in the red. A limit that is negative is none."""
    for place, figure in MONEY.items():
        amount = None if figure == "spend_limit" else usd("-3.21")
        assert account_with(place, value) == changed(ACCOUNT, figure, amount), place


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (7, 7),
        (7.0, 7),
        (7.5, 7.5),
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("7.0", 7),
        ("7.5", 7.5),
        ("1e3", 1000),
        ("+7", 7),
        ("007", 7),
        (-0.0, 0),
        ("-0", 0),
        (10**18 - 1, 10**18 - 1),
        (str(10**18 - 1), 10**18 - 1),
        ("1e-400", 0),
        ("1,000", 1000),
        ("1,234,567.5\n", 1_234_567.5),
        ("0E-8", 0),
    ],
)
def test_count(value: Any, count: Number) -> None:
    """A count is whole where it is one."""
    for place, figure in COUNTS.items():
        found = at(account_with(place, value), figure)
        assert found == count, place
        assert type(found) is type(count), place


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ("0", "0"),
        ("100", "100"),
        ("0.1", "0.1"),
        ("0.3", "0.3"),
        ("1e3", "1000"),
        ("12.0", "12"),
        ("5.764607523034235e17", "576460752303423488"),
        ("123456789012.34", "123456789012.34"),
        ('"1,234.50\\r\\n"', "1234.50"),
        ('"+1,234,567"', "1234567"),
        ('"0E-8"', "0"),
        ('"-0.00"', "0.00"),
        ('"1e-999990"', "0"),
        ("1e-300", "0"),
        ('"0.1234567890123456"', "0.123456789012"),
        ('"0"', "0"),
        ('"0.1"', "0.1"),
        ('"12.50"', "12.50"),
        ('" 12.50 "', "12.50"),
        ('"1e3"', "1000"),
        ('"+5"', "5"),
        ('"123456789012345.678901"', "123456789012345.678901"),
    ],
)
def test_amount(literal: str, text: str) -> None:
    """An amount is the decimal that was written, in US dollars."""
    for place, figure in MONEY.items():
        if figure == "spend_limit" and text.startswith("-"):
            continue
        body = body_with(place, "@").replace(b'"@"', literal.encode())
        money = at(account_of(body), figure)
        assert isinstance(money.amount, Decimal), place
        assert (str(money.amount), money.currency) == (text, "USD"), place


def test_amounts_add_up() -> None:
    account = account_of(b'{"data": {"credits": 0.1, "available": 0.2}}')
    assert account.credit_balance is not None
    assert account.available_balance is not None
    total = account.credit_balance.amount + account.available_balance.amount
    assert total == Decimal("0.3")


@pytest.mark.parametrize(
    "text",
    [
        "2026-08-02",
        " 2026-08-02 ",
        "2026-08-02T00:00:00",
        "2026-08-02T23:59:59.999Z",
        "2026-08-02T00:00:00+08:00",
        "2026-08-02 12:00",
        "2026-08-02T at noon",
    ],
)
def test_date(text: str) -> None:
    """A date may come with a time; the day is the one that was written."""
    for place, figure in DATES.items():
        expected = changed(ACCOUNT, figure, date(2026, 8, 2))
        assert account_with(place, text) == expected, place


@pytest.mark.parametrize(
    "value",
    [
        "2026-02-30",
        "2026-13-01",
        "2026-00-10",
        "0000-00-00",
        "0001-01-01",
        "1970-01-01",
        "1999-12-31",
        "3000-01-01",
        "9999-12-31",
        "12026-08-02",
        "2026-8-2",
        "2026/08/02",
        "02.08.2026",
        "08-02-2026",
        "2026-08",
        "soon",
        "\N{FULLWIDTH DIGIT TWO}026-08-02",
        20260802,
        1785600000,
        1785600000000,
        1e999,
    ],
)
def test_date_that_is_none(value: Any) -> None:
    """A day that is not in the calendar, of another age, or not written as a date."""
    for place, figure in DATES.items():
        assert account_with(place, value) == changed(ACCOUNT, figure, None), place


@pytest.mark.parametrize("day", [date(2000, 1, 1), date(2999, 12, 31)])
def test_first_and_last_day_of_this_age(day: date) -> None:
    for place, figure in DATES.items():
        expected = changed(ACCOUNT, figure, day)
        assert account_with(place, day.isoformat()) == expected, place


@pytest.mark.parametrize("limit", [0, 0.0, "0", None, MISSING, "none", -5, True])
def test_no_percentage_without_a_limit(limit: Any) -> None:
    model = account_with("models.qwen-max.limit", limit).models["qwen-max"]
    assert model.usage_pct is None
    assert model.used == 820
    assert not model.limit


@pytest.mark.parametrize(
    ("used", "percentage"),
    [(0, 0.0), (1000, 100.0), (1234.5, 123.45), ("2000", 200.0), (None, None)],
)
def test_percentage(used: Any, percentage: float | None) -> None:
    """Who uses more than the limit is above 100 %."""
    account = account_with("models.qwen-max.used", used)
    assert account.models["qwen-max"].usage_pct == percentage


@pytest.mark.parametrize(
    "value", [MISSING, None, True, 7, "fast", [], ["rpm"], [{"rpm": 7}]], ids=ascii
)
@pytest.mark.parametrize(
    ("place", "empty"),
    [("rate_limit", RateLimit()), ("billing_period", BillingPeriod())],
)
def test_object_of_the_wrong_type(place: str, empty: Any, value: Any) -> None:
    assert account_with(place, value) == changed(ACCOUNT, place, empty)


@pytest.mark.parametrize("value", [MISSING, None, True, 7, "qwen-max"], ids=ascii)
def test_models_that_are_none(value: Any) -> None:
    """Where no models are reported none is gone."""
    expected = replace(ACCOUNT, models=MappingProxyType({}), models_complete=False)
    assert account_with("models", value) == expected


@pytest.mark.parametrize("value", [[], {}])
def test_no_models(value: Any) -> None:
    """An empty list is complete: the account has no model."""
    expected = replace(ACCOUNT, models=MappingProxyType({}), models_complete=True)
    assert account_with("models", value) == expected


@pytest.mark.parametrize(
    "row",
    [
        None,
        7,
        True,
        "qwen-turbo",
        [],
        ["qwen-turbo"],
        {},
        {"used": 1, "limit": 2},
        {"model": None, "used": 1},
        {"model": "", "used": 1},
        {"model": " ", "used": 1},
        {"model": 5, "used": 1},
        {"model": ["qwen-turbo"], "used": 1},
        {"name": "", "used": 1},
        {"name": {"model": "qwen-turbo"}, "used": 1},
        {"model": "", "name": None},
    ],
    ids=ascii,
)
def test_row_without_a_model(row: Any) -> None:
    """It is skipped; what it was is not known, so no other model is gone."""
    for position in (0, 1, 3):
        rows = answer("account")["data"]["models"]
        rows.insert(position, row)
        assert account_with("models", rows) == replace(ACCOUNT, models_complete=False)


@pytest.mark.parametrize("row", [None, 7, True, "820", [], [820]], ids=ascii)
def test_model_of_a_map_that_is_none(row: Any) -> None:
    models = {**answer("account_map")["data"]["models"], "qwen-turbo": row}
    assert account_with("models", models) == replace(ACCOUNT, models_complete=False)


@pytest.mark.parametrize("name", ["", " ", "\t"])
def test_model_of_a_map_without_a_name(name: str) -> None:
    models = {**answer("account_map")["data"]["models"], name: {"used": 1}}
    assert account_with("models", models) == replace(ACCOUNT, models_complete=False)


@pytest.mark.parametrize("wrong", [5, True, ["qwen-turbo"], {"id": 1}, "", None])
def test_name_stands_in_for_a_model_of_the_wrong_type(wrong: Any) -> None:
    account = account_with("models", [{"model": wrong, "name": "qwen-turbo"}])
    assert account.models.keys() == {"qwen-turbo"}
    assert account.models_complete


@pytest.mark.parametrize(
    "name",
    [
        "qwen2.5-72b",
        "Qwen Max",
        "通义千问",
        "a/b:c",
        "qwen_max",
        "€" * 200,
        "__class__",
    ],
)
@pytest.mark.parametrize("shape", ["model", "name", "map"])
def test_name_is_kept_verbatim(name: str, shape: str) -> None:
    row = {"used": 1, "limit": 4}
    models = {name: row} if shape == "map" else [{shape: name, **row}]
    assert account_with("models", models).models == {
        name: ModelUsage(name=name, used=1, limit=4)
    }


def test_model_without_figures() -> None:
    account = account_with("models", [{"model": "qwen-turbo"}])
    assert account.models == {"qwen-turbo": ModelUsage(name="qwen-turbo")}
    assert account.models_complete


def test_empty_data_is_an_account_of_which_nothing_is_known() -> None:
    assert account_of(b'{"code": "Success", "data": {}}') == NO_FIGURES


def test_unknown_fields_are_ignored() -> None:
    body = answer("account")
    body |= {"message": "", "success": True, "data2": {}, "output": {"quotas": []}}
    body["data"] |= {"usage": {"tokens": 1}, "currency": "CNY", "nested": [[[{}]]]}
    body["data"]["models"][0] |= {"reset_time": None, "price": [1]}
    assert account_of(json.dumps(body).encode()) == ACCOUNT


@pytest.mark.parametrize(
    "code", [MISSING, None, "", " ", "Success", "success", "SUCCESS", " Success "]
)
def test_success(code: Any) -> None:
    """A code that is missing or empty is success where there are data."""
    body = answer("account") | {"code": code}
    if code is MISSING:
        del body["code"]
    assert account_of(json.dumps(body).encode()) == ACCOUNT


@pytest.mark.parametrize("code", ["Success", "", None])
@pytest.mark.parametrize("key", ["data", "output"])
@pytest.mark.parametrize("value", [MISSING, None, True, 7, "figures", [], [{}]])
def test_success_without_data(code: str | None, key: str, value: Any) -> None:
    """It promises what is not there."""
    body = {"code": code, "message": "fine", key: value}
    if value is MISSING:
        del body[key]
    with pytest.raises(InvalidAnswerError):
        parse_answer(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (
            {"code": "SystemError", "message": "Try again.", "request_id": "1"},
            "SystemError",
            "Try again.",
        ),
        ({"code": "SystemError"}, "SystemError", None),
        ({"code": "SystemError", "message": ""}, "SystemError", None),
        ({"code": "SystemError", "message": None}, "SystemError", None),
        ({"code": "SystemError", "message": ["a"]}, "SystemError", None),
        ({"code": "SystemError", "message": 5}, "SystemError", "5"),
        ({"code": 500, "message": "Broken."}, "500", "Broken."),
        ({"code": "Successful", "message": None}, "Successful", None),
        ({"error": "It broke."}, "error", "It broke."),
        ({"code": "E1", "error": "It broke."}, "E1", "It broke."),
        ({"code": "E1", "message": "Why.", "error": True}, "E1", "Why."),
        ({"error": {"code": "E2", "message": "It broke."}}, "E2", "It broke."),
        ({"error": {"code": "E2"}}, "E2", None),
        ({"error": {"code": "E2"}, "message": "Why."}, "E2", "Why."),
        ({"error": {"message": "It broke."}}, "error", "It broke."),
        ({"error": {"message": "It broke."}, "code": "E1"}, "E1", "It broke."),
        ({"error": {"code": 42, "message": {}}}, "42", None),
        ({"error": {"code": [], "message": {}}}, "error", None),
        ({"error": {"reason": "unknown"}}, "error", None),
        ({"error": ["It broke."]}, "error", None),
        ({"error": 13}, "error", "13"),
        (
            {"code": "Success", "error": {"code": "E2", "message": "It broke."}},
            "E2",
            "It broke.",
        ),
        ({"code": "Success", "error": "It broke."}, "error", "It broke."),
        ({"code": "Success", "error": {"message": "It broke."}}, "error", "It broke."),
        ({"code": "E1", "message": " on\r\n two\tlines "}, "E1", "on two lines"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("data", [MISSING, {"credits": 1}], ids=["bare", "with data"])
def test_error_under_200(
    body: Mapping[str, Any], code: str, message: str | None, data: Any
) -> None:
    """Another code than Success, or an error, is one; also where there are data."""
    if data is not MISSING:
        body = {**body, "data": data}
    with pytest.raises(AccountError) as caught:
        parse_answer(json.dumps(body).encode())
    assert type(caught.value) is AccountError
    assert (caught.value.code, caught.value.message) == (code, message)
    assert caught.value.status == 200


@pytest.mark.parametrize("error", [None, False, 0, "", [], {}])
def test_error_that_is_none(error: Any) -> None:
    body = answer("account") | {"error": error}
    assert account_of(json.dumps(body).encode()) == ACCOUNT


HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "InvalidParameter", AccountError),
        *(
            (status, code, kind)
            for status in (400, 401, 403, 404, 429, 500)
            for code, kind in (
                ("Arrearage", OverduePaymentError),
                ("arrearage", OverduePaymentError),
                ("Arrearage.Postpaid", OverduePaymentError),
                ("AccessDenied.Unpurchased", ServiceNotEnabledError),
            )
        ),
        (400, "Throttling", RateLimitError),
        (400, "Throttling.RateQuota", RateLimitError),
        (400, "Throttling.AllocationQuota", RateLimitError),
        (400, "AllocationQuota.FreeTierOnly", AccountError),
        (401, "InvalidApiKey", AuthenticationError),
        (401, "Throttling.User", RateLimitError),
        (401, "AllocationQuota", AuthenticationError),
        (402, "PaymentRequired", AccountError),
        (403, "AccessDenied", AuthenticationError),
        (403, "AllocationQuota", RateLimitError),
        (403, "AllocationQuota.FreeTierOnly", FreeQuotaUsedUpError),
        (403, "Throttling.RateQuota", RateLimitError),
        (403, "Model.AllocationQuota", AuthenticationError),
        (404, "NotFound", AccountError),
        (408, "RequestTimeOut", AccountError),
        (429, "LimitRequests", RateLimitError),
        (429, "insufficient_quota", RateLimitError),
        (429, "AllocationQuota.FreeTierOnly", FreeQuotaUsedUpError),
        (429, "InvalidApiKey", RateLimitError),
        (500, "InternalError", AccountError),
        (500, "Throttling.RateQuota", RateLimitError),
        (503, "ServiceUnavailable", AccountError),
        (503, "Throttling", RateLimitError),
        (302, "Moved", AccountError),
        (204, "NoContent", AccountError),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_failure(
    status: int, code: str, kind: type[ModelStudioError], nested: bool
) -> None:
    """The status says what went wrong, and the vendor's own codes refine it."""
    body: dict[str, Any] = {"code": code, "message": "Why.", "request_id": "1"}
    if nested:
        body = {"error": body}
    err = parse_failure(status, json.dumps(body).encode())
    assert type(err) is kind
    assert (err.code, err.message, str(err)) == (code, "Why.", f"{code}: Why.")
    if isinstance(err, AccountError):
        assert err.status == status


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("Throttling", RateLimitError),
        ("Throttling.RateQuota", RateLimitError),
        ("Arrearage", OverduePaymentError),
        ("AccessDenied.Unpurchased", ServiceNotEnabledError),
        ("InvalidApiKey", AccountError),
        ("AllocationQuota.FreeTierOnly", AccountError),
    ],
)
def test_code_under_200(code: str, kind: type[ModelStudioError]) -> None:
    """Throttling is throttling under any status."""
    with pytest.raises(kind) as caught:
        parse_answer(json.dumps({"code": code, "message": "Why."}).encode())
    assert type(caught.value) is kind
    assert str(caught.value) == f"{code}: Why."


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationError),
        (403, AuthenticationError),
        (429, RateLimitError),
        (400, AccountError),
        (500, AccountError),
        (502, AccountError),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        HTML,
        b"null",
        b"[]",
        b'["InvalidApiKey"]',
        b"{}",
        b"7",
        b'"InvalidApiKey"',
        b'{"code": null, "message": null}',
        b'{"code": "", "message": ""}',
        b'{"code": {}, "message": []}',
        b'{"code": true, "message": false}',
        b'{"code": "Thrott',
        b"[" * 100_000,
        b"\xff\xfe\xfd",
        b'{"code": "\\ud800"}',
    ],
    ids=lambda body: ascii(body)[:40],
)
def test_failure_without_words(
    status: int, kind: type[ModelStudioError], body: bytes
) -> None:
    """Whatever the body of an error is, its status counts."""
    err = parse_failure(status, body)
    assert type(err) is kind
    assert (err.code, err.message, str(err)) == (
        f"HTTP {status}",
        None,
        f"HTTP {status}",
    )


@pytest.mark.parametrize("status", [400, 401, 403, 429, 502])
@pytest.mark.parametrize(
    "body", [{"error": "It broke."}, {"error": {"message": "It broke."}}], ids=ascii
)
def test_failure_without_a_code(status: int, body: Any) -> None:
    """The status stands in for the code where the service gave none."""
    err = parse_failure(status, json.dumps(body).encode())
    assert str(err) == f"HTTP {status}: It broke."


def test_failure_does_not_take_success_for_an_answer() -> None:
    err = parse_failure(500, json.dumps(answer("account")).encode())
    assert type(err) is AccountError
    assert err.status == 500


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (None, None),
        ("", None),
        (" ", None),
        ("0", None),
        ("-1", None),
        ("-0", None),
        ("1", 1.0),
        (" 30 ", 30.0),
        ("2.5", 2.5),
        ("86400", 86_400.0),
        ("99999999", 99_999_999.0),
        ("9" * 30, None),
        ("9" * 5000, None),
        ("1e999", None),
        ("1e9999999", None),
        ("-1e9999999", None),
        ("NaN", None),
        ("Infinity", None),
        ("soon", None),
        ("30 seconds", None),
        ("12:01", None),
        ("[30]", None),
        ("\x00", None),
        ("é", None),
        ("Sat, 15 Aug 2026 12:01:00 GMT", 60.0),
        ("Sat, 15 Aug 2026 12:01:00 UTC", 60.0),
        ("Sat, 15 Aug 2026 20:01:00 +0800", 60.0),
        ("Sat, 15 Aug 2026 12:01:00 -0000", 60.0),
        ("Sat, 15 Aug 2026 12:01:00", 60.0),
        ("15 Aug 2026 12:01:00 GMT", 60.0),
        ("Saturday, 15-Aug-26 12:01:00 GMT", 60.0),
        ("Sat Aug 15 12:01:00 2026", 60.0),
        ("Sun, 16 Aug 2026 12:00:00 GMT", 86_400.0),
        ("Sat, 15 Aug 2026 12:00:00 GMT", None),
        ("Sat, 15 Aug 2026 11:59:59 GMT", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", None),
        ("Sat, 32 Aug 2026 12:01:00 GMT", None),
        ("Sat, 15 Aug 2026 25:01:00 GMT", None),
        ("Sat, 15 Aug 99999 12:01:00 GMT", None),
        ("Sat, 15 Aug 99999999999999999999 12:01:00 GMT", None),
        ("Sat, 15 Aug 2026 12:01:00 +99999999999999", None),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_retry_after(retry_after: str | None, seconds: float | None) -> None:
    """Seconds or an HTTP date, of which a naive one is UTC; what is past is no wait."""
    found = seconds_to_wait(
        {"Retry-After": retry_after} if retry_after is not None else {}, NOW
    )
    assert found == seconds
    assert type(found) is type(seconds)


def test_retry_after_of_far_away() -> None:
    """The service may ask for an age; how much of it to heed is the caller's affair."""
    seconds = seconds_to_wait({"Retry-After": "Fri, 31 Dec 9999 23:59:59 -2359"}, NOW)
    assert seconds is not None
    assert isfinite(seconds)


@pytest.mark.parametrize("seed", range(4))
def test_retry_after_of_any_text(seed: int) -> None:
    """No header makes anything but a wait, or none."""
    random = Random(seed)
    parts = [
        *("Sat,", "15", "Aug", "2026", "12:01:00", "GMT", "+0800", "-9999", "-"),
        *("1e9", "1e99999999", ":", "::", "+", "99999999999999999999", "a", ",", "."),
        *("\x00", "é", "(", ")", '"', "\\", "Feb-31", "0", "00:00", "AM"),
    ]
    for _ in range(1000):
        chosen = random.choices(parts, k=random.randint(1, 7))
        text = random.choice(("", " ")).join(chosen)
        seconds = seconds_to_wait({"Retry-After": text}, NOW)
        assert seconds is None or 0 < seconds < float("inf"), text


def deep(depth: int) -> bytes:
    """Return an account answer that holds as many lists within each other."""
    return b'{"data": {"credits": %s1%s}}' % (b"[" * depth, b"]" * depth)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        HTML,
        b"OK",
        b"null",
        b"true",
        b"7",
        b"NaN",
        b"[]",
        b'[{"code": "Success", "data": {}}]',
        b'"Success"',
        b"{}",
        b"{'code': 'Success', 'data': {}}",
        b'{"code": "Success", "data": {}',
        b'{"code": "Success", "data": {}}}',
        b'{"code": "Success", "data": {}} trailing',
        b'{"code": "Success", "data": {}}{"code": "Success", "data": {}}',
        b'{"code": "Success", "data": {"credits": 01}}',
        b'{"code": "Success", "data": {"credits": +1}}',
        b'{"code": "Success", "data": {"credits": .5}}',
        b'{"code": "Success", "data": {"credits": 1,}}',
        b'{"code": "Success", // a comment\n"data": {}}',
        b'{"code": "Success", "data": {"credits": "\xff"}}',
        b'{"code": "Success", "data": {"credits": "\\ud800"}}',
        b'{"code": "Success", "data": {"\\udfff": 1}}',
        b'{"code": "Success", "data": {"models": [{"model": "\\ud83d"}]}}',
        b'{"code": "Success", "data": {"models": {"\\ud83d": {}}}}',
        b'{"code": "Success", "data": {"credits": "\n\x01"}}',
        b"\x00" * 64,
        b"\xff" * 64,
        b"\x1f\x8b\x08\x00",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"data":' * 100_000,
        deep(100_000),
    ],
    ids=lambda body: f"{len(body)}: {body[:60]!a}",
)
def test_body_that_is_no_answer(body: bytes) -> None:
    with pytest.raises(InvalidAnswerError):
        parse_answer(body)


def test_cut_body_is_no_answer() -> None:
    """Wherever it breaks off."""
    body = json.dumps(answer("account")).encode()
    for length in range(len(body)):
        with pytest.raises(InvalidAnswerError):
            parse_answer(body[:length])


@pytest.mark.parametrize("depth", [100, 900, 1023, 1024])
def test_nested_field_is_of_the_wrong_type(depth: int) -> None:
    """Up to a depth it costs the figure, and beyond it the answer."""
    assert account_of(deep(depth)) == NO_FIGURES


@pytest.mark.parametrize(
    "depth", [200, 300, 1000, 1030, 2000, 5000, 10_000, 20_000, 40_000]
)
def test_nested_field_that_comes_again(depth: int) -> None:
    """However deep it is, it is no more than an answer that is refused."""
    parser = QuotasParser()
    for body in (deep(depth), deep(depth), deep(depth - 1), deep(depth)):
        try:
            parsed = parser.parse(body)
        except InvalidAnswerError:
            continue
        assert parsed == NO_FIGURES


def test_byte_order_mark_is_forgiven() -> None:
    body = b"\xef\xbb\xbf" + json.dumps(answer("account")).encode()
    assert account_of(body) == ACCOUNT


def test_whole_surrogate_pair_is_text() -> None:
    account = account_of(rb'{"data": {"models": {"\ud83d\ude00": {"used": 1}}}}')
    assert account.models.keys() == {"\N{GRINNING FACE}"}


def test_last_of_duplicate_keys_counts() -> None:
    body = b'{"code": "E1", "code": "Success", "data": {"credits": 1, "credits": 2}}'
    assert account_of(body).credit_balance == usd("2")
    # A number that JSON does not know leads another way to the same.
    body = body.replace(b": 1,", b": NaN,")
    assert account_of(body).credit_balance == usd("2")


def test_not_finite_number_costs_the_figure_alone() -> None:
    """Also in fields that nobody reads."""
    body = json.dumps(answer("account") | {"usage": float("nan")}).encode()
    assert b"NaN" in body
    assert account_of(body) == ACCOUNT


def page_of(*rows: Any, total: Any = MISSING) -> LimitsPage:
    """Return the page of a limits answer with these rows."""
    output = {"quotas": list(rows), "total": len(rows) if total is MISSING else total}
    page = parse_answer(json.dumps({"request_id": "1", "output": output}).encode())
    assert isinstance(page, LimitsPage)
    return page


def row(
    model_limit: Any = None, workspace_limit: Any = None, *, model: str = "m"
) -> dict[str, Any]:
    """Return a row of the limits answer."""
    return {
        "model": model,
        "workspace_id": "llm-1",
        "model_limit": model_limit,
        "workspace_limit": workspace_limit,
    }


def requests(limit: Any, period: Any = 60) -> dict[str, Any]:
    """Return a limit of requests."""
    return {"request_limit": limit, "request_limit_period": period}


def tokens(limit: Any, period: Any = 60, field: Any = "total_tokens") -> dict[str, Any]:
    """Return a limit of usage."""
    return {
        "usage_limit": limit,
        "usage_limit_field": field,
        "usage_limit_period": period,
    }


def caps(rows: Iterable[Any]) -> RateLimit:
    """Return what binds the model of some rows, per minute."""
    account = limits_account(page_of(*rows).limits)
    assert account.models.keys() == {"m"}
    return account.models["m"].rate_limit


def test_limits() -> None:
    page = parse_answer(json.dumps(answer("limits")).encode())
    assert isinstance(page, LimitsPage)
    assert page.total == len(page.rows) == len(page.limits) == 4
    assert page.limits == (
        ("qwen-plus", RateLimit(rpm=15_000, tpm=5_000_000)),
        ("qwen-plus", RateLimit(rpm=12_000, tpm=6_000_000)),
        ("qwen-max", RateLimit(rpm=300, tpm=500_000)),
        ("wan2.2-t2v-plus", RateLimit(rpm=120, tpm=None)),
    )
    limits = {
        "qwen-plus": RateLimit(rpm=12_000, tpm=5_000_000),
        "qwen-max": RateLimit(rpm=300, tpm=500_000),
        "wan2.2-t2v-plus": RateLimit(rpm=120, tpm=None),
    }
    assert limits_account(page.limits) == AccountSnapshot(
        models=MappingProxyType(
            {
                name: ModelUsage(name=name, rate_limit=limit)
                for name, limit in limits.items()
            }
        ),
        models_complete=True,
        quotas_kind=QuotasKind.LIMITS,
    )


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (requests(600), RateLimit(rpm=600)),
        (requests(10, 1), RateLimit(rpm=600)),
        (requests(36_000, 3600), RateLimit(rpm=600)),
        (requests(1, 120), RateLimit(rpm=0.5)),
        (requests(0), RateLimit(rpm=0)),
        (requests("600", "60"), RateLimit(rpm=600)),
        (requests("10", "1.0"), RateLimit(rpm=600)),
        (requests(600, 0), NOTHING),
        (requests(600, "0"), NOTHING),
        (requests(600, -60), NOTHING),
        (requests(600, None), NOTHING),
        (requests(600, True), NOTHING),
        (requests(600, [60]), NOTHING),
        (requests(600, "minute"), NOTHING),
        (requests(600, 5e-324), NOTHING),
        ({"request_limit": 600}, NOTHING),
        ({"request_limit_period": 60}, NOTHING),
        (requests(None), NOTHING),
        (requests(-600), NOTHING),
        (requests(True), NOTHING),
        (requests({}), NOTHING),
        (requests("many"), NOTHING),
        (requests(float("nan")), NOTHING),
        (requests(float("inf"), 1), NOTHING),
        (requests(10**17, 1), NOTHING),
        (tokens(1_000_000), RateLimit(tpm=1_000_000)),
        (tokens(1000, 1), RateLimit(tpm=60_000)),
        (tokens("1000", "1"), RateLimit(tpm=60_000)),
        (tokens(1000, field="input_tokens"), RateLimit(tpm=1000)),
        (tokens(1000, field="tokens"), RateLimit(tpm=1000)),
        (tokens(1000, field="token"), RateLimit(tpm=1000)),
        (tokens(1000, field="image_count"), NOTHING),
        (tokens(1000, field="duration"), NOTHING),
        (tokens(1000, field=None), NOTHING),
        (tokens(1000, field=""), NOTHING),
        (tokens(1000, field=["total_tokens"]), NOTHING),
        (tokens(1000, field=True), NOTHING),
        (tokens(1000, 0), NOTHING),
        (tokens(1000, None), NOTHING),
        (tokens(None), NOTHING),
        (tokens("none"), NOTHING),
        (requests(5) | tokens(None), RateLimit(rpm=5)),
        (requests(5) | tokens(7), RateLimit(rpm=5, tpm=7)),
        (requests(5, 60) | tokens(7, 1), RateLimit(rpm=5, tpm=420)),
        ({}, NOTHING),
        (None, NOTHING),
        (True, NOTHING),
        (600, NOTHING),
        ("high", NOTHING),
        ([requests(600)], NOTHING),
    ],
    ids=ascii,
)
def test_limit_per_minute(limit: Any, expected: RateLimit) -> None:
    """A limit is normalised to a minute, whichever of the two sets it."""
    for rows in ([row(limit)], [row(None, limit)]):
        found = caps(rows)
        assert found == expected
        assert type(found.rpm) is type(expected.rpm)
        assert type(found.tpm) is type(expected.tpm)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(
            [row(requests(1200)), row(requests(10, 1))],
            RateLimit(rpm=600),
            id="tightest in requests",
        ),
        pytest.param(
            [row(tokens(1_000_000)), row(tokens(60, 1)), row(tokens(5000))],
            RateLimit(tpm=3600),
            id="tightest in tokens",
        ),
        pytest.param(
            [row(requests(100) | tokens(9000)), row(requests(200) | tokens(10, 1))],
            RateLimit(rpm=100, tpm=600),
            id="each cap by itself",
        ),
        pytest.param(
            [row(requests(100)), row(tokens(9000)), row(None), row()],
            RateLimit(rpm=100, tpm=9000),
            id="one cap in each row",
        ),
        pytest.param(
            [row(requests(100) | tokens(9000), requests(1, 1) | tokens(5000))],
            RateLimit(rpm=60, tpm=5000),
            id="workspace binds",
        ),
        pytest.param(
            [row(requests(100) | tokens(9000), requests(50))],
            RateLimit(rpm=50, tpm=9000),
            id="workspace binds in requests",
        ),
        pytest.param(
            [row(requests(100) | tokens(9000), tokens(5000))],
            RateLimit(rpm=100, tpm=5000),
            id="workspace binds in tokens",
        ),
        pytest.param(
            [row(requests(100), requests(500))],
            RateLimit(rpm=100),
            id="workspace has more than the account",
        ),
        pytest.param(
            [row(requests(100), requests(0))], RateLimit(rpm=0), id="workspace has none"
        ),
        pytest.param(
            [row(requests(100), requests(None))],
            RateLimit(rpm=100),
            id="workspace is unlimited",
        ),
        pytest.param(
            [row(requests(100), requests(50)), row(requests(40)), row(requests(70))],
            RateLimit(rpm=40),
            id="rows and workspace",
        ),
    ],
)
def test_limit_that_binds(rows: list[Any], expected: RateLimit) -> None:
    """In whatever order the rows come."""
    assert caps(rows) == caps(reversed(rows)) == expected


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (0, 0),
        (500, 500),
        ("500", 500),
        (500.0, 500),
        (None, None),
        ("all", None),
        (-1, None),
        (True, None),
        ([1], None),
        ({}, None),
        (float("nan"), None),
    ],
)
def test_total(total: Any, expected: int | None) -> None:
    assert page_of(row(), total=total).total == expected


def test_total_may_be_missing() -> None:
    page = parse_answer(b'{"output": {"quotas": []}}')
    assert page == LimitsPage(rows=(), limits=(), total=None)


@pytest.mark.parametrize(
    "bad",
    [
        None,
        7,
        "m",
        [],
        {},
        {"model": None},
        {"model": ""},
        {"model": " "},
        {"model": 5},
        {"model": ["m"]},
        {"name": "m"},
    ],
    ids=ascii,
)
def test_row_of_the_limits_without_a_model(bad: Any) -> None:
    """A list is whole or none."""
    for rows in ([bad], [bad, row()], [row(), bad]):
        with pytest.raises(InvalidAnswerError) as caught:
            page_of(*rows)
        assert str(caught.value)


def test_rows_tell_each_other_apart() -> None:
    """By what they say, and not by how they are written."""
    one = row(requests(100) | tokens(9000))
    same = dict(reversed(one.items()))
    others = [row(requests(101) | tokens(9000)), row(one["model_limit"], {}), row()]
    page = page_of(one, same, *others)
    assert page.rows[0] == page.rows[1]
    assert len(set(page.rows)) == 1 + len(others)


@pytest.mark.parametrize(
    "odd",
    [
        b"18446744073709551616",
        b"9" * 400,
        b"-" + b"9" * 400,
        b"NaN",
        b"1e999",
        b"[" * 300 + b"]" * 300,
        b"[" * 1000 + b"]" * 1000,
        b'{"a": ' * 300 + b"1" + b"}" * 300,
    ],
    ids=lambda odd: f"{len(odd)}: {odd[:20]!r}",
)
@pytest.mark.parametrize("total", [b"1", b"NaN"])
def test_odd_field_of_a_limits_row(odd: bytes, total: bytes) -> None:
    """A field that nobody reads costs nothing."""
    body = (
        b'{"output": {"total": %s, "quotas": [{"model": "m", "model_limit":'
        b' {"request_limit": 5, "request_limit_period": 60}, "odd": %s}]}}'
    ) % (total, odd)
    page = parse_answer(body)
    assert isinstance(page, LimitsPage)
    assert page.limits == (("m", RateLimit(rpm=5)),)


def test_limits_of_no_rows() -> None:
    account = limits_account([])
    assert account.models == {}
    assert account.models_complete
    assert account.quotas_kind is QuotasKind.LIMITS


def test_usage_comes_before_limits() -> None:
    """An answer that holds both shapes is an account."""
    body = answer("account") | answer("limits")
    assert account_of(json.dumps(body).encode()) == ACCOUNT


def test_answer_that_brings_nothing_new_is_the_same_object() -> None:
    """Whatever stands beside the data, and whatever came between."""
    parser = QuotasParser()
    whole = answer("account")
    account = parser.parse(json.dumps(whole).encode())
    assert account == ACCOUNT
    whole |= {"request_id": "2", "code": "success"}
    assert parser.parse(json.dumps(whole).encode()) is account
    with pytest.raises(AccountError):
        parser.parse(b'{"code": "SystemError", "data": {"credits": 1}}')
    with pytest.raises(InvalidAnswerError):
        parser.parse(b'{"data": {"credits": 1}')
    assert isinstance(parser.parse(json.dumps(answer("limits")).encode()), LimitsPage)
    assert parser.parse(json.dumps(whole).encode()) is account


@pytest.mark.parametrize("name", ["account", "account_map"])
def test_model_that_is_as_it_was_is_the_same_object(name: str) -> None:
    """In an answer that changed elsewhere; the snapshot before stays as it was."""
    parser = QuotasParser()
    whole = answer(name)
    before = parser.parse(json.dumps(whole).encode())
    assert isinstance(before, AccountSnapshot)
    models = whole["data"]["models"]
    (models[0] if isinstance(models, list) else models["qwen-max"])["used"] = 821
    whole["data"]["tokens_used"] += 1
    after = parser.parse(json.dumps(whole).encode())
    assert isinstance(after, AccountSnapshot)
    expected = changed(ACCOUNT, "models.qwen-max.used", 821)
    assert after == changed(expected, "tokens_used", 75_060_001)
    assert before == ACCOUNT
    for model in ("qwen-plus", "text-embedding-v4"):
        assert after.models[model] is before.models[model]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (1, True),
        (0, False),
        (True, 1),
        (False, 0),
        (1.0, True),
        (0.0, False),
        (1, "1"),
        (1, None),
        (None, 1),
        (1, [1]),
        ("2026-08-02", "2026-08-03"),
        (1, MISSING),
        (MISSING, 1),
    ],
    ids=ascii,
)
def test_answer_before_leaves_no_trace(before: Any, after: Any) -> None:
    """A truth value is no number, though it equals one."""
    for place in FIGURES:
        parser = QuotasParser()
        parser.parse(body_with(place, before))
        body = body_with(place, after)
        assert parser.parse(body) == account_of(body), place


def test_models_come_and_go() -> None:
    """Each answer is parsed as if it were the first."""
    parser = QuotasParser()
    one, other = {"model": "a", "used": 1}, {"model": "b", "used": 2}
    lists: list[Any] = [
        [one],
        [one, other],
        [other],
        [],
        [one],
        None,
        [one],
        [one, {**one, "used": 3}],
        [one],
        [{**one, "used": 3}, one],
        [one, None],
        {"a": {"used": 1}},
        {"a": one},
        [one],
        [{**one, "model": "b"}],
    ]
    for models in lists:
        body = json.dumps({"data": {"models": models}}).encode()
        assert parser.parse(body) == account_of(body), models


JUNK = (
    *("null", "true", "false", "0", "-1", "0.5", "7", "1e999", "-1e999", "NaN"),
    *("Infinity", "-Infinity", "9" * 400, "1e-400", '""', '" "', '"text"', '"1e3"'),
    *('"NaN"', '"1e999"', '"1e9999999"', '"-1e9999999"', '"2026-99-99"', '"\\u0000"'),
    *("[]", "[[]]", "[null]", "[7]", "{}", '{"model": {}}', '{"": null}'),
    *('{"used": [], "limit": {}}', "[" * 300 + "]" * 300, '"\\ud83d\\ude00"'),
)


def spoil(value: Any, random: Random, odds: float) -> str:
    """Return a value as JSON in which junk stands here and there."""
    if random.random() < odds:
        return random.choice(JUNK)
    if isinstance(value, dict):
        members = (
            f"{json.dumps(key)}: {spoil(item, random, odds)}"
            for key, item in value.items()
            if random.random() >= odds
        )
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(spoil(item, random, odds) for item in value)}]"
    return json.dumps(value)


def counts(limit: RateLimit) -> tuple[Number | None, Number | None]:
    """Return the caps of a limit."""
    return limit.rpm, limit.tpm


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "name", ["account", "account_map", "account_strings", "limits"]
)
def test_any_junk_is_parsed_or_refused(name: str, seed: int) -> None:
    """No answer raises anything else, makes a figure that is none, or leaves a trace."""
    random = Random(f"{name} {seed}")
    whole = answer(name)
    parser = QuotasParser()
    for _ in range(200):
        body = spoil(whole, random, random.choice((0.02, 0.1, 0.3))).encode()
        parse_failure(random.choice((400, 401, 403, 429, 500)), body)
        try:
            parsed = parse_answer(body)
        except ModelStudioError as err:
            with pytest.raises(type(err)):
                parser.parse(body)
            continue
        assert parser.parse(body) == parsed
        if isinstance(parsed, LimitsPage):
            parsed = limits_account(parsed.limits)
        numbers = [
            parsed.tokens_used,
            parsed.requests_used,
            *counts(parsed.rate_limit),
        ]
        for key, model in parsed.models.items():
            assert model.name == key
            numbers += [model.used, model.limit, *counts(model.rate_limit)]
            assert model.usage_pct is None or isfinite(model.usage_pct)
        assert all(
            type(number) in (int, float) and isfinite(number) and number >= 0
            for number in numbers
            if number is not None
        )
        for place in MONEY.values():
            money = at(parsed, place)
            assert money is None or money.amount.is_finite()
        for place in DATES:
            assert isinstance(at(parsed, place), date | None)


@pytest.mark.parametrize(
    "message",
    [
        "The configured budget has been exhausted.",
        "Budget used up for workspace llm-1; raise it or wait.",
        "You have used up your monthly budget.",
        "您配置的预算已用尽，请提升预算或等待重置。",
        "本月预算额度已耗尽",
        "您設定的預算已用盡",
    ],
)
@pytest.mark.parametrize("code", ["", "Throttling.Budget", "LimitExceeded"])
def test_budget_that_is_used_up(message: str, code: str) -> None:
    """The text alone says so: its code is not documented."""
    body = json.dumps({"code": code, "message": message}).encode()
    err = parse_failure(429, body)
    assert type(err) is BudgetExhaustedError
    assert err.message == message


@pytest.mark.parametrize(
    "message",
    [
        "You exceeded your current quota, please check your plan and billing details.",
        "Requests rate limit exceeded. Budget your calls.",
        "Your free quota is exhausted.",
        "请求过于频繁，请稍后再试",
        "额度已用尽",
        "The 5-hour allowance returns at 14:00.",
        None,
    ],
)
def test_throttling_is_no_budget(message: str | None) -> None:
    body = json.dumps({"code": "insufficient_quota", "message": message}).encode()
    err = parse_failure(429, body)
    assert type(err) is RateLimitError
    assert err.message == message


WORDS: Final = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Zs"]),
    min_size=1,
    max_size=30,
)


@given(code=WORDS, message=WORDS, status=st.sampled_from([400, 404, 500]))
def test_error_in_any_form(code: str, message: str, status: int) -> None:
    """JSON, nested or not, an event stream and XML tell the same."""
    plain = {"code": code, "message": message}
    written = json.dumps(plain, ensure_ascii=False)
    xml = f"<Code>{escape(code)}</Code><Message>\n {escape(message)}\n</Message>"
    bodies = [
        written,
        json.dumps({"error": plain}),
        f"id:1\nevent:error\ndata:{written}\n\n",
        f"event: error\r\ndata: {json.dumps({'error': plain})}\r\n\r\n",
        f"<?xml version='1.0'?>\n<Error>{xml}</Error>",
    ]
    if "]]>" not in message:
        bodies.append(
            f"<Error><Message><![CDATA[{message}]]></Message>"
            f"<Code>{escape(code)}</Code></Error>"
        )
    told = [parse_failure(status, body.encode()) for body in bodies]
    assert {str(err) for err in told} == {str(told[0])}
    assert {type(err) for err in told} == {type(told[0])}
    assert told[0].message == message


@pytest.mark.parametrize(
    "body",
    [
        "<?xml version='1.0'?><Error/>",
        "<Error><Code></Code></Error>",
        "<html><Code>A</Code></html>",
        "data: none\n\n",
        "event: error\n\n",
        "<Error><Code>A<b/></Code></Error>",
    ],
)
def test_no_error_in_other_words(body: str) -> None:
    assert str(parse_failure(400, body.encode())) == "HTTP 400"


def test_entities_of_xml_do_not_grow() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    body = f'<?xml version="1.0"?><!DOCTYPE Error [<!ENTITY e0 "x">{entities}]>'
    err = parse_failure(400, f"{body}<Error><Code>&e11;</Code></Error>".encode())
    assert err.code == "&e11;"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (" a\n\tb\u2028c ", "a b c"),
        ("\x1b[31mred\x00", "[31mred"),
        ("gnp.\u202eexe\u2066\u200b\ufeff", "gnp.exe"),
        ("\ud800x", "x"),
        ("通义千问 🦄", "通义千问 🦄"),
        ("x" * 5000, "x" * 300),
        ("\u202e" * 20, ""),
    ],
)
def test_plain_text(value: str, shown: str) -> None:
    assert plain_text(value) == shown


@given(st.text())
def test_any_plain_text(value: str) -> None:
    """It is one printable line, and stays what it is."""
    shown = plain_text(value)
    assert len(shown) <= 300
    assert plain_text(shown) == shown
    assert not any(unicodedata.category(it) in ("Cc", "Cf", "Cs") for it in shown)
    assert len(shown.splitlines()) <= 1


def test_workspace_limit_without_a_period_has_that_of_the_model() -> None:
    page = parse_answer(
        json.dumps(
            {
                "output": {
                    "quotas": [
                        {
                            "model": "qwen-max",
                            "model_limit": {
                                "request_limit": 10,
                                "request_limit_period": 1,
                                "usage_limit": 1000,
                                "usage_limit_field": "total_tokens",
                                "usage_limit_period": 60,
                            },
                            "workspace_limit": {
                                "request_limit": 5,
                                "usage_limit": 100,
                                "usage_limit_field": "total_tokens",
                            },
                        }
                    ]
                }
            }
        ).encode()
    )
    assert isinstance(page, LimitsPage)
    assert page.limits == (("qwen-max", RateLimit(rpm=300, tpm=100)),)


@pytest.mark.parametrize("none", [-1, "-1", "unlimited", 2**63 - 1, str(2**63 - 1)])
def test_limit_that_is_none(none: Any) -> None:
    data = {
        "spend_limit": none,
        "rate_limit": {"rpm": none, "tpm": none},
        "models": [{"model": "a", "limit": none, "rpm": none, "used": 3}],
    }
    account = account_of(json.dumps({"data": data}).encode())
    assert account.spend_limit is None
    assert account.rate_limit == NOTHING
    assert account.models["a"] == ModelUsage(name="a", used=3)
