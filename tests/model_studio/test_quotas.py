"""Tests of the account answer of `GET /quotas`, and of its errors."""

from collections.abc import Mapping
from copy import replace
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountError,
    AccountSnapshot,
    AuthenticationError,
    BillingPeriod,
    FreeQuotaUsedUpError,
    InvalidAnswerError,
    ModelStudioError,
    ModelUsage,
    OverduePaymentError,
    QuotasKind,
    RateLimit,
    RateLimitError,
    ServiceNotEnabledError,
    parse_answer,
)
from custom_components.alibaba_cloud.model_studio.quotas import (
    LimitsPage,
    QuotasParser,
    parse_failure,
)
from tests.common import answer

from .common import HTML, MISSING, NO_LIMIT, account_of, encoded, short, usd

ACCOUNT = AccountSnapshot(
    quotas_kind=QuotasKind.USAGE,
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
                name="text-embedding-v4", used=30, limit=0, rate_limit=NO_LIMIT
            ),
        }
    ),
    models_complete=True,
)
"""The figures in all fixtures of an account."""
NO_FIGURES = AccountSnapshot(quotas_kind=QuotasKind.USAGE)

# The path of each figure in the answer with models as a map, and in the snapshot.
MONEY = {
    "credits": "credit_balance",
    "available": "available_balance",
    "spend_limit": "spend_limit",
    "daily_spend": "daily_spend",
    "monthly_spend": "monthly_spend",
}
NUMBERS = {
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
FIGURES = {**MONEY, **NUMBERS, **DATES}


def body_with(path: str, value: Any) -> bytes:
    """Return the body of the fixture with another value at a path."""
    whole = answer("account_map")
    *parents, name = path.split(".")
    inner = whole["data"]
    for parent in parents:
        inner = inner[parent]
    if value is MISSING:
        del inner[name]
    else:
        inner[name] = value
    return encoded(whole)


def account_with(path: str, value: Any) -> AccountSnapshot:
    """Return the account of the fixture with another value at a path."""
    return account_of(body_with(path, value))


def changed(whole: Any, path: str, value: Any) -> Any:
    """Return a snapshot with another value at a path."""
    name, _, rest = path.partition(".")
    if isinstance(whole, Mapping):
        inner = changed(whole[name], rest, value) if rest else value
        return MappingProxyType({**whole, name: inner})
    inner = changed(getattr(whole, name), rest, value) if rest else value
    return replace(whole, **{name: inner})


@pytest.mark.parametrize("name", ["account", "account_map", "account_strings"])
def test_account(name: str) -> None:
    """Models can be a list or a map, and numbers can be text."""
    assert account_of(encoded(answer(name))) == ACCOUNT


def test_list_and_map_of_models_are_equal() -> None:
    rows = answer("account")["data"]["models"]
    by_name = {row["model"]: row for row in rows}
    named = [{"name": row["model"], **row, "model": None} for row in rows]
    for models in (rows, by_name, named):
        assert account_with("models", models) == ACCOUNT


@pytest.mark.parametrize(
    "value",
    [MISSING, None, True, False, "", "a few", [], [1], {}, {"amount": 1}],
    ids=short,
)
def test_invalid_figure_is_unknown(value: Any) -> None:
    """An invalid figure is unknown; other figures do not change."""
    for path, figure in FIGURES.items():
        assert account_with(path, value) == changed(ACCOUNT, figure, None), path


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "1e999", "9" * 400, "9" * 5000])
def test_invalid_number_is_unknown(literal: str) -> None:
    """A number out of range is unknown, even if it is not valid JSON."""
    for path, figure in {**MONEY, **NUMBERS}.items():
        body = body_with(path, "@").replace(b'"@"', literal.encode())
        assert account_of(body) == changed(ACCOUNT, figure, None), path


@pytest.mark.parametrize("value", [7, "7", " 7.00 "])
def test_number(value: Any) -> None:
    for path, figure in NUMBERS.items():
        assert account_with(path, value) == changed(ACCOUNT, figure, 7), path


@pytest.mark.parametrize("value", [0, -3.21, " -3.21\r\n", "-3.21", 3.21])
def test_amount(value: Any) -> None:
    """An amount may be negative after a refund; a negative spend limit is no limit."""
    expected = usd(str(value).strip())
    for path, figure in MONEY.items():
        no_limit = figure == "spend_limit" and expected.amount < 0
        amount = None if no_limit else expected
        assert account_with(path, value) == changed(ACCOUNT, figure, amount), path


def test_date_with_a_time() -> None:
    for path, figure in DATES.items():
        expected = changed(ACCOUNT, figure, date(2026, 8, 2))
        assert account_with(path, "2026-08-02T23:59:59Z") == expected, path


def test_amounts_add_up() -> None:
    """Amounts are decimals and not floats."""
    account = account_of(b'{"data": {"credits": 0.1, "available": 0.2}}')
    assert account.credit_balance is not None
    assert account.available_balance is not None
    total = account.credit_balance.amount + account.available_balance.amount
    assert total == Decimal("0.3")


@pytest.mark.parametrize("no_limit", [-1, "-1", "unlimited", 2**63 - 1, str(2**63 - 1)])
def test_no_limit(no_limit: Any) -> None:
    data = {
        "spend_limit": no_limit,
        "rate_limit": {"rpm": no_limit, "tpm": no_limit},
        "models": [{"model": "a", "limit": no_limit, "rpm": no_limit, "used": 3}],
    }
    account = account_of(encoded({"data": data}))
    assert account.spend_limit is None
    assert account.rate_limit == NO_LIMIT
    assert account.models["a"] == ModelUsage(name="a", used=3)


@pytest.mark.parametrize(
    "value", [MISSING, None, True, 7, "fast", [], ["rpm"], [{"rpm": 7}]], ids=short
)
@pytest.mark.parametrize(
    ("path", "empty"),
    [("rate_limit", RateLimit()), ("billing_period", BillingPeriod())],
)
def test_object_of_the_wrong_type(path: str, empty: Any, value: Any) -> None:
    assert account_with(path, value) == changed(ACCOUNT, path, empty)


@pytest.mark.parametrize("value", [MISSING, None, True, 7, "qwen-max"], ids=short)
def test_models_of_the_wrong_type(value: Any) -> None:
    """Models of the wrong type make the list incomplete, so no model is gone."""
    expected = replace(ACCOUNT, models=MappingProxyType({}), models_complete=False)
    assert account_with("models", value) == expected


@pytest.mark.parametrize("value", [[], {}])
def test_no_models(value: Any) -> None:
    """An empty list of models is complete, so all models are gone."""
    expected = replace(ACCOUNT, models=MappingProxyType({}))
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
    ids=short,
)
def test_row_without_a_model(row: Any) -> None:
    """A row without a model is skipped and makes the list incomplete."""
    for position in (0, 1, 3):
        rows = answer("account")["data"]["models"]
        rows.insert(position, row)
        assert account_with("models", rows) == replace(ACCOUNT, models_complete=False)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        *(("qwen-turbo", row) for row in (None, 7, True, "820", [], [820])),
        *((name, {"used": 1}) for name in ("", " ", "\t")),
    ],
    ids=short,
)
def test_invalid_model_of_a_map(name: str, row: Any) -> None:
    models = {**answer("account_map")["data"]["models"], name: row}
    assert account_with("models", models) == replace(ACCOUNT, models_complete=False)


@pytest.mark.parametrize("invalid", [5, True, ["qwen-turbo"], {"id": 1}, "", None])
def test_name_replaces_an_invalid_model(invalid: Any) -> None:
    account = account_with("models", [{"model": invalid, "name": "qwen-turbo"}])
    assert account.models == {"qwen-turbo": ModelUsage(name="qwen-turbo")}
    assert account.models_complete


@pytest.mark.parametrize(
    "name",
    [
        *("qwen2.5-72b", "Qwen Max", "通义千问", "a/b:c", "qwen_max", "€" * 200),
        *("__class__", " a ", "\N{GRINNING FACE}"),
    ],
    ids=short,
)
@pytest.mark.parametrize("shape", ["model", "name", "map"])
def test_name_is_kept_verbatim(name: str, shape: str) -> None:
    row = {"used": 1, "limit": 4}
    models = {name: row} if shape == "map" else [{shape: name, **row}]
    assert account_with("models", models).models == {
        name: ModelUsage(name=name, used=1, limit=4)
    }


def test_empty_data() -> None:
    assert account_of(b'{"code": "Success", "data": {}}') == NO_FIGURES


def test_other_fields_are_ignored() -> None:
    body = answer("account")
    body |= {"message": "", "success": True, "data2": {}, "usage": float("nan")}
    body["data"] |= {"usage": {"tokens": 1}, "currency": "CNY", "nested": [[[{}]]]}
    body["data"]["models"][0] |= {"reset_time": None, "price": [1]}
    assert account_of(encoded(body)) == ACCOUNT


@pytest.mark.parametrize("depth", [100, 900, 1023, 1024])
def test_nested_figure_is_unknown(depth: int) -> None:
    assert account_of(nested(depth)) == NO_FIGURES


def test_usage_comes_before_limits() -> None:
    """An answer with both shapes is an account answer."""
    body = answer("account") | answer("limits")
    assert account_of(encoded(body)) == ACCOUNT


@pytest.mark.parametrize(
    "code", [MISSING, None, "", " ", "Success", "success", "SUCCESS", " Success "]
)
def test_success(code: Any) -> None:
    """A missing or empty code means success if there are data."""
    body = answer("account") | {"code": code}
    if code is MISSING:
        del body["code"]
    assert account_of(encoded(body)) == ACCOUNT


@pytest.mark.parametrize("code", ["Success", "", None])
@pytest.mark.parametrize("key", ["data", "output"])
@pytest.mark.parametrize("value", [MISSING, None, True, 7, "figures", [], [{}]])
def test_success_without_data(code: str | None, key: str, value: Any) -> None:
    body = {"code": code, "message": "fine", key: value}
    if value is MISSING:
        del body[key]
    with pytest.raises(InvalidAnswerError):
        parse_answer(encoded(body))


@pytest.mark.parametrize(
    "body", [b"null", b"true", b"7", b"[]", b'"Success"', b'[{"data": {}}]', HTML]
)
def test_invalid_answer(body: bytes) -> None:
    with pytest.raises(InvalidAnswerError):
        parse_answer(body)


def test_truncated_answer() -> None:
    body = encoded(answer("account"))
    for length in range(len(body)):
        with pytest.raises(InvalidAnswerError):
            parse_answer(body[:length])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"code": "SystemError", "message": "Why."}, "SystemError: Why."),
        ({"code": "Successful"}, "Successful"),
        ({"code": 500, "message": "Why."}, "500: Why."),
        ({"error": "It broke."}, "error: It broke."),
        ({"error": {"code": "E2"}}, "E2"),
        ({"error": {"reason": "unknown"}}, "error"),
        ({"code": "Success", "error": "It broke."}, "error: It broke."),
        ({"code": "Success", "error": {"code": "E2"}}, "E2"),
        ({"code": "InvalidApiKey"}, "InvalidApiKey"),
        ({"code": "AllocationQuota.FreeTierOnly"}, "AllocationQuota.FreeTierOnly"),
    ],
    ids=short,
)
@pytest.mark.parametrize("data", [{}, {"data": {"credits": 1}}], ids=["bare", "data"])
def test_error_with_status_200(
    body: dict[str, Any], text: str, data: dict[str, Any]
) -> None:
    """Any code except Success is an error, even if there are data."""
    with pytest.raises(AccountError) as caught:
        parse_answer(encoded(body | data))
    assert type(caught.value) is AccountError
    assert str(caught.value) == text
    assert caught.value.status == 200


@pytest.mark.parametrize("error", [None, False, 0, "", [], {}])
def test_empty_error_is_no_error(error: Any) -> None:
    assert account_of(encoded(answer("account") | {"error": error})) == ACCOUNT


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (200, "Throttling.RateQuota", RateLimitError),
        (200, "Arrearage", OverduePaymentError),
        (200, "AccessDenied.Unpurchased", ServiceNotEnabledError),
        (204, "NoContent", AccountError),
        (302, "Moved", AccountError),
        (400, "InvalidParameter", AccountError),
        (400, "Throttling", RateLimitError),
        (400, "AllocationQuota.FreeTierOnly", AccountError),
        (401, "InvalidApiKey", AuthenticationError),
        (401, "Throttling.User", RateLimitError),
        (401, "AllocationQuota", AuthenticationError),
        (402, "PaymentRequired", AccountError),
        (403, "AccessDenied", AuthenticationError),
        (403, "AccessDenied.Unpurchased", ServiceNotEnabledError),
        (403, "AllocationQuota.FreeTierOnly", FreeQuotaUsedUpError),
        (403, "Arrearage", OverduePaymentError),
        (404, "NotFound", AccountError),
        (429, "LimitRequests", RateLimitError),
        (500, "InternalError", AccountError),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_error_code(
    status: int, code: str, kind: type[ModelStudioError], nested: bool
) -> None:
    body: dict[str, Any] = {"code": code, "message": "Why.", "request_id": "1"}
    err = error_of(status, encoded({"error": body} if nested else body))
    assert type(err) is kind
    assert (err.code, err.message) == (code, "Why.")
    assert getattr(err, "status", status) == status


def error_of(status: int, body: bytes) -> ModelStudioError:
    """Return the error for an answer."""
    if status != 200:
        return parse_failure(status, body)
    with pytest.raises(ModelStudioError) as caught:
        parse_answer(body)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationError),
        (403, AuthenticationError),
        (429, RateLimitError),
        (400, AccountError),
        (502, AccountError),
    ],
)
@pytest.mark.parametrize(
    ("body", "text"),
    [
        *(
            (body, "")
            for body in (
                *(b"", HTML, b"null", b"[]", b"{}", b"7", b'"InvalidApiKey"'),
                b'{"code": "", "message": null}',
                b'{"code": {}, "message": []}',
                b'{"code": "Thrott',
                b"[" * 100_000,
                b"\xff\xfe\xfd",
                b'{"code": "\\ud800"}',
                encoded(answer("account") | {"code": None}),
            )
        ),
        (b'{"error": "It broke."}', ": It broke."),
        (b'{"error": {"message": "It broke."}}', ": It broke."),
    ],
    ids=short,
)
def test_status_without_a_code(
    status: int, kind: type[ModelStudioError], body: bytes, text: str
) -> None:
    """Without a code, the status decides the error and replaces the code."""
    err = parse_failure(status, body)
    assert type(err) is kind
    assert str(err) == f"HTTP {status}{text}"


def test_equal_data_are_the_same_snapshot() -> None:
    """Equal figures give the same snapshot, even after other answers."""
    parser = QuotasParser()
    whole = answer("account")
    account = parser.parse(encoded(whole))
    assert account == ACCOUNT
    whole |= {"request_id": "2", "code": "success", "success": True}
    assert parser.parse(encoded(whole)) is account
    with pytest.raises(AccountError):
        parser.parse(b'{"code": "SystemError", "data": {"credits": 1}}')
    with pytest.raises(InvalidAnswerError):
        parser.parse(b'{"data": {"credits": 1}')
    assert isinstance(parser.parse(encoded(answer("limits"))), LimitsPage)
    whole["data"]["tokens_used"] = float(whole["data"]["tokens_used"])
    assert parser.parse(encoded(whole)) is account


@pytest.mark.parametrize("name", ["account", "account_map"])
def test_equal_row_is_the_same_model(name: str) -> None:
    parser = QuotasParser()
    whole = answer(name)
    before = parser.parse(encoded(whole))
    assert isinstance(before, AccountSnapshot)
    models = whole["data"]["models"]
    (models[0] if isinstance(models, list) else models["qwen-max"])["used"] = 821
    whole["data"]["tokens_used"] += 1
    after = parser.parse(encoded(whole))
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
        (1, "1"),
        (1, None),
        (None, 1),
        (1, [1]),
        ("2026-08-02", "2026-08-03"),
        (1, MISSING),
        (MISSING, 1),
    ],
    ids=short,
)
def test_previous_answer_does_not_matter(before: Any, after: Any) -> None:
    """True is not a number, although it equals 1 in Python."""
    for path in FIGURES:
        parser = QuotasParser()
        parser.parse(body_with(path, before))
        body = body_with(path, after)
        assert parser.parse(body) == account_of(body), path


def test_models_come_and_go() -> None:
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
        [{**one, "used": True}],
        [one],
        [{**one, "used": 3}, one],
        [one, None],
        {"a": {"used": 1}},
        {"a": one},
        [one],
        [{**one, "model": "b"}],
    ]
    for models in lists:
        body = encoded({"data": {"models": models}})
        assert parser.parse(body) == account_of(body), models


def nested(depth: int) -> bytes:
    """Return an account answer with a figure in this many nested lists."""
    return b'{"data": {"credits": %s1%s}}' % (b"[" * depth, b"]" * depth)


@pytest.mark.parametrize(
    "depth", [200, 300, 1000, 1030, 2000, 5000, 10_000, 20_000, 40_000]
)
def test_nested_figure_that_repeats(depth: int) -> None:
    """A repeated answer of any depth is parsed or is an error."""
    parser = QuotasParser()
    for body in (nested(depth), nested(depth), nested(depth - 1), nested(depth)):
        try:
            parsed = parser.parse(body)
        except InvalidAnswerError:
            continue
        assert parsed == NO_FIGURES
