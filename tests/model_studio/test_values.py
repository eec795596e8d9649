"""Tests of single values in answers."""

from datetime import UTC, date, datetime
from decimal import Decimal
from math import inf, nan
from typing import Any
import unicodedata

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.model_studio.models import Number
from custom_components.alibaba_cloud.model_studio.values import (
    amount_of,
    currency_of,
    date_of,
    mapping_of,
    moment_of,
    number_of,
    plain_text,
    text_of,
)

from .common import short

# Hypothesis warns about its own random number generator.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

OTHER_TYPES = [None, True, False, [], [1], {}, {"amount": "1"}]
NO_NUMBERS = [
    *("", " ", "-", "a few", "free", "null", "0x10", "5 USD", "1_000"),
    *("1,00", "1,23", "1,2345", ",100", ",123", "12,34,567.00", "1.234,50"),
]
TOO_LARGE = [
    *(10**18, -(10**18), 1e18, inf, -inf, nan, 10**400),
    *("NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "inf", "1e999", "-1e999"),
    *("1e99", "1e9999999", "-1e9999999", "1e9999999999999999999"),
    *("1e-9999999999999999999", "9" * 400, "9" * 5000),
]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        (7, 7),
        (7.0, 7),
        (7.5, 7.5),
        (-0.0, 0),
        (10**18 - 1, 10**18 - 1),
        ("0", 0),
        ("-0", 0),
        ("7", 7),
        ("+7", 7),
        ("007", 7),
        (" 7 ", 7),
        ("7.0", 7),
        ("7.5", 7.5),
        ("1e3", 1000),
        ("1e-400", 0),
        ("0E-8", 0),
        ("1,000", 1000),
        ("1,234,567.5\n", 1_234_567.5),
        (str(10**18 - 1), 10**18 - 1),
    ],
)
def test_number(value: Any, number: Number) -> None:
    """Numbers and texts are read as numbers; whole numbers are int."""
    found = number_of(value)
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize(
    "value",
    [*OTHER_TYPES, *NO_NUMBERS, *TOO_LARGE, -1, -0.5, "-1", "-1e3", -(10**17)],
    ids=short,
)
def test_invalid_number(value: Any) -> None:
    assert number_of(value) is None


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (0, "0"),
        (12, "12"),
        (0.1, "0.1"),
        (12.0, "12"),
        (1e3, "1000"),
        (1e-300, "0"),
        (-3.21, "-3.21"),
        (123456789012.34, "123456789012.34"),
        # Python rounds the text of this float.
        (2.0**59, str(2**59)),
        ("0", "0"),
        ("0.10", "0.10"),
        ("12.50", "12.50"),
        ("  12.34 ", "12.34"),
        ("+5", "5"),
        ("-0.01", "-0.01"),
        ("-0.00", "0.00"),
        ("0E-8", "0"),
        ("1e3", "1000"),
        ("1e-999990", "0"),
        ("0.000001", "0.000001"),
        ("0.1234567890123456", "0.123456789012"),
        ("123456789012345.678901", "123456789012345.678901"),
        ("999,999", "999999"),
        ("1,234.50\r\n", "1234.50"),
        ("+1,234,567", "1234567"),
        ("-1,234.50", "-1234.50"),
        ("1,234,567.89", "1234567.89"),
    ],
)
def test_amount(value: Any, amount: str) -> None:
    """An amount keeps the decimal places of the answer, up to 12."""
    found = amount_of(value)
    assert isinstance(found, Decimal)
    assert str(found) == amount


@pytest.mark.parametrize("value", [*OTHER_TYPES, *NO_NUMBERS, *TOO_LARGE], ids=short)
def test_invalid_amount(value: Any) -> None:
    assert amount_of(value) is None


@pytest.mark.parametrize(
    ("value", "currency"),
    [
        ("USD", "USD"),
        (" cny ", "CNY"),
        ("¥", None),
        ("", None),
        ("renminbi", None),
        (156, None),
        (["CNY"], None),
        (None, None),
    ],
)
def test_currency(value: Any, currency: str | None) -> None:
    assert currency_of(value) == currency


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
    """A date is used as written; a time after the date is ignored."""
    assert date_of(text) == date(2026, 8, 2)


@pytest.mark.parametrize(
    "value",
    [
        *OTHER_TYPES,
        "",
        "soon",
        "2026-02-30",
        "2026-13-01",
        "2026-00-10",
        "12026-08-02",
        "2026-8-2",
        "2026/08/02",
        "02.08.2026",
        "08-02-2026",
        "2026-08",
        "\N{FULLWIDTH DIGIT TWO}026-08-02",
        20260802,
        1785600000,
        inf,
        # Placeholders.
        "0000-00-00",
        "0001-01-01",
        "1970-01-01",
        "1999-12-31",
        "3000-01-01",
        "9999-12-31",
    ],
    ids=short,
)
def test_invalid_date(value: Any) -> None:
    assert date_of(value) is None


@pytest.mark.parametrize("day", [date(2000, 1, 1), date(2999, 12, 31)])
def test_first_and_last_valid_date(day: date) -> None:
    assert date_of(day.isoformat()) == day


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (" on\r\n two\tlines ", "on two lines"),
        (42, "42"),
        ("", None),
        (" ", None),
        ("\u202e", None),
        (True, None),
        (1.5, None),
        (["a"], None),
        ({}, None),
        (None, None),
    ],
    ids=short,
)
def test_text(value: Any, text: str | None) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" a\n\tb\u2028c ", "a b c"),
        ("\x1b[31mred\x00", "[31mred"),
        ("gnp.\u202eexe\u2066\u200b\ufeff", "gnp.exe"),
        ("\ud800x", "x"),
        ("通义千问 🦄", "通义千问 🦄"),
        ("x" * 5000, "x" * 300),
        ("x" * 299 + " y", "x" * 299),
        (" " * 1199 + "xy", "x"),
        ("\u202e" * 20, ""),
    ],
    ids=short,
)
def test_plain_text(value: str, text: str) -> None:
    assert plain_text(value) == text


@given(st.text())
def test_plain_text_is_one_visible_line(value: str) -> None:
    text = plain_text(value)
    assert len(text) <= 300
    assert plain_text(text) == text
    assert not any(unicodedata.category(it) in ("Cc", "Cf", "Cs") for it in text)
    assert len(text.splitlines()) <= 1


@pytest.mark.parametrize("value", [None, True, 7, "fast", [], ["rpm"]], ids=short)
def test_mapping(value: Any) -> None:
    assert mapping_of(value) == {}
    assert mapping_of({"rpm": value}) == {"rpm": value}


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-09-15T15:15:50Z", datetime(2026, 9, 15, 15, 15, 50, tzinfo=UTC)),
        ("2026-09-15T15:15Z", datetime(2026, 9, 15, 15, 15, tzinfo=UTC)),
        ("2026-09-15 15:15:50", datetime(2026, 9, 15, 7, 15, 50, tzinfo=UTC)),
        (" 2026-09-15\n", datetime(2026, 9, 14, 16, tzinfo=UTC)),
        (1_788_328_800_000, datetime(2026, 9, 2, 6, tzinfo=UTC)),
        ("1788328800000", datetime(2026, 9, 2, 6, tzinfo=UTC)),
        (1_788_328_800, datetime(2026, 9, 2, 6, tzinfo=UTC)),
        (0, None),
        (-1, None),
        (10**17, None),
        ("9999-12-31 23:59:59", None),
        ("1970-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00", None),
        ("tomorrow", None),
        ("", None),
        (True, None),
        (None, None),
        ([], None),
    ],
)
def test_moments(value: Any, moment: datetime | None) -> None:
    assert moment_of(value) == moment
