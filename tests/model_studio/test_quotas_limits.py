"""Tests of the limits answer of `GET /quotas`."""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    InvalidAnswerError,
    ModelUsage,
    QuotasKind,
    RateLimit,
    parse_answer,
)
from custom_components.alibaba_cloud.model_studio.quotas import (
    LimitsPage,
    limits_account,
)
from tests.common import answer

from .common import MISSING, NO_LIMIT, encoded, short

NO_NUMBERS: list[Any] = [None, -600, True, {}, [1], "many", float("nan")]
NO_OBJECTS: list[Any] = [{}, None, True, 600, "high", [{"request_limit": 600}]]


def page(body: bytes) -> LimitsPage:
    """Return the page of limits in a body."""
    parsed = parse_answer(body)
    assert isinstance(parsed, LimitsPage)
    return parsed


def page_of(*rows: Any, total: Any = MISSING) -> LimitsPage:
    """Return the page of an answer with these rows."""
    output = {"quotas": list(rows), "total": len(rows) if total is MISSING else total}
    return page(encoded({"request_id": "1", "output": output}))


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


def limit_of(rows: Iterable[Any]) -> RateLimit:
    """Return the limit of the model `m` for some rows."""
    account = limits_account(page_of(*rows).limits)
    assert account.models.keys() == {"m"}
    return account.models["m"].rate_limit


def test_limits() -> None:
    limits = page(encoded(answer("limits")))
    assert limits.total == len(limits.rows) == 4
    assert limits.limits == (
        ("qwen-plus", RateLimit(rpm=15_000, tpm=5_000_000)),
        ("qwen-plus", RateLimit(rpm=12_000, tpm=6_000_000)),
        ("qwen-max", RateLimit(rpm=300, tpm=500_000)),
        ("wan2.2-t2v-plus", RateLimit(rpm=120, tpm=None)),
    )
    models = {
        "qwen-plus": RateLimit(rpm=12_000, tpm=5_000_000),
        "qwen-max": RateLimit(rpm=300, tpm=500_000),
        "wan2.2-t2v-plus": RateLimit(rpm=120, tpm=None),
    }
    assert limits_account(limits.limits) == AccountSnapshot(
        quotas_kind=QuotasKind.LIMITS,
        models=MappingProxyType(
            {
                name: ModelUsage(name=name, rate_limit=limit)
                for name, limit in models.items()
            }
        ),
        models_complete=True,
    )


def test_no_limits() -> None:
    assert limits_account([]) == AccountSnapshot(
        quotas_kind=QuotasKind.LIMITS, models_complete=True
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
        (tokens(1_000_000), RateLimit(tpm=1_000_000)),
        (tokens(1000, 1), RateLimit(tpm=60_000)),
        (tokens("1000", "1"), RateLimit(tpm=60_000)),
        (tokens(1000, field="input_tokens"), RateLimit(tpm=1000)),
        (tokens(1000, field="tokens"), RateLimit(tpm=1000)),
        (tokens(1000, field="token"), RateLimit(tpm=1000)),
        (requests(5) | tokens(None), RateLimit(rpm=5)),
        (requests(5) | tokens(7), RateLimit(rpm=5, tpm=7)),
        (requests(5, 60) | tokens(7, 1), RateLimit(rpm=5, tpm=420)),
        *(
            (requests(600, period), NO_LIMIT)
            for period in (0, "0", -60, None, True, [60], "minute", 5e-324)
        ),
        *((requests(limit), NO_LIMIT) for limit in NO_NUMBERS),
        (requests(float("inf"), 1), NO_LIMIT),
        (requests(10**17, 1), NO_LIMIT),
        ({"request_limit": 600}, NO_LIMIT),
        ({"request_limit_period": 60}, NO_LIMIT),
        *(
            (tokens(1000, field=field), NO_LIMIT)
            for field in ("image_count", "duration", None, "", ["total_tokens"], True)
        ),
        (tokens(1000, 0), NO_LIMIT),
        (tokens(1000, None), NO_LIMIT),
        (tokens(None), NO_LIMIT),
        (tokens("none"), NO_LIMIT),
        *((limit, NO_LIMIT) for limit in NO_OBJECTS),
    ],
    ids=short,
)
def test_limit_per_minute(limit: Any, expected: RateLimit) -> None:
    """A limit of the model or of the workspace is converted to a limit per minute."""
    for rows in ([row(limit)], [row(None, limit)]):
        found = limit_of(rows)
        assert found == expected
        assert type(found.rpm) is type(expected.rpm)
        assert type(found.tpm) is type(expected.tpm)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(
            [row(requests(1200)), row(requests(10, 1))],
            RateLimit(rpm=600),
            id="requests",
        ),
        pytest.param(
            [row(tokens(1_000_000)), row(tokens(60, 1)), row(tokens(5000))],
            RateLimit(tpm=3600),
            id="tokens",
        ),
        pytest.param(
            [row(requests(100) | tokens(9000)), row(requests(200) | tokens(10, 1))],
            RateLimit(rpm=100, tpm=600),
            id="requests and tokens of different rows",
        ),
        pytest.param(
            [row(requests(100)), row(tokens(9000)), row(None), row()],
            RateLimit(rpm=100, tpm=9000),
            id="one limit in each row",
        ),
        pytest.param(
            [row(requests(100) | tokens(9000), requests(1, 1) | tokens(5000))],
            RateLimit(rpm=60, tpm=5000),
            id="workspace",
        ),
        pytest.param(
            [row(requests(100) | tokens(9000), requests(50))],
            RateLimit(rpm=50, tpm=9000),
            id="workspace, requests",
        ),
        pytest.param(
            [row(requests(100) | tokens(9000), tokens(5000))],
            RateLimit(rpm=100, tpm=5000),
            id="workspace, tokens",
        ),
        pytest.param(
            [row(requests(100), requests(500))],
            RateLimit(rpm=100),
            id="workspace above the model",
        ),
        pytest.param(
            [row(requests(100), requests(0))], RateLimit(rpm=0), id="workspace of 0"
        ),
        pytest.param(
            [row(requests(100), requests(None))],
            RateLimit(rpm=100),
            id="workspace without a limit",
        ),
        pytest.param(
            [
                row(
                    requests(10, 1) | tokens(1000),
                    {"request_limit": 5, "usage_limit": 100}
                    | {"usage_limit_field": "total_tokens"},
                )
            ],
            RateLimit(rpm=300, tpm=100),
            id="workspace without a period",
        ),
        pytest.param(
            [row(requests(100), requests(50)), row(requests(40)), row(requests(70))],
            RateLimit(rpm=40),
            id="several rows and a workspace",
        ),
    ],
)
def test_tightest_limit(rows: list[Any], expected: RateLimit) -> None:
    """The lowest limit of all rows applies, in any order of the rows."""
    assert limit_of(rows) == limit_of(reversed(rows)) == expected


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (0, 0),
        (500, 500),
        ("500", 500),
        (500.0, 500),
        *((total, None) for total in NO_NUMBERS),
    ],
)
def test_total(total: Any, expected: int | None) -> None:
    assert page_of(row(), total=total).total == expected


def test_missing_total() -> None:
    empty = page(b'{"output": {"quotas": []}}')
    assert empty == LimitsPage(rows=(), limits=(), total=None)


@pytest.mark.parametrize(
    "invalid",
    [
        *(None, 7, "m", [], {}, {"name": "m"}),
        *({"model": name} for name in (None, "", " ", 5, ["m"])),
    ],
    ids=short,
)
def test_row_without_a_model(invalid: Any) -> None:
    """A row without a model makes the page invalid, as its model would seem gone."""
    for rows in ([invalid], [invalid, row()], [row(), invalid]):
        with pytest.raises(InvalidAnswerError, match="names no model"):
            page_of(*rows)


def test_rows_differ_if_their_values_do() -> None:
    """Rows are equal if their values are equal, in any order of the fields."""
    one = row(requests(100) | tokens(9000))
    reordered = dict(reversed(one.items()))
    others = [
        row(requests(101) | tokens(9000)),
        row(one["model_limit"], {}),
        row(one["model_limit"], True),
        row(one["model_limit"], 1),
        row(),
    ]
    rows = page_of(one, reordered, *others).rows
    assert rows[0] == rows[1]
    assert len(set(rows)) == 1 + len(others)


@pytest.mark.parametrize(
    "value",
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
    ids=lambda value: f"{len(value)}: {short(value)}",
)
@pytest.mark.parametrize("total", [b"1", b"NaN"])
def test_other_fields_are_ignored(value: bytes, total: bytes) -> None:
    body = (
        b'{"output": {"total": %s, "quotas": [{"model": "m", "model_limit":'
        b' {"request_limit": 5, "request_limit_period": 60}, "other": %s}]}}'
    ) % (total, value)
    assert page(body).limits == (("m", RateLimit(rpm=5)),)
