"""Reading stored values: anything but what was written raises an error."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.ledger import BILLING_TIME_ZONE, stored

type Read = Callable[[Any], Any]


def counts(value: Any) -> list[int]:
    """Return a list of counts."""
    return stored.list_of(value, stored.count)


def flags(value: Any) -> dict[str, bool]:
    """Return an object of Boolean values."""
    return stored.mapping_of(value, stored.flag)


def day_if_any(value: Any) -> date | None:
    """Return a day if there is one."""
    return stored.optional(value, stored.day)


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (stored.mapping, {"any": [1]}, {"any": [1]}),
        (flags, {"one": True, "two": False}, {"one": True, "two": False}),
        (counts, [3, 0], [3, 0]),
        (stored.text, "", ""),
        (stored.flag, False, False),
        (stored.count, 0, 0),
        (stored.number, -0.5, -0.5),
        (stored.amount, "-80.50", Decimal("-80.5")),
        (stored.day, "2026-08-01", date(2026, 8, 1)),
        (
            stored.moment,
            "2026-08-01T06:30:00Z",
            datetime(2026, 8, 1, 6, 30, tzinfo=UTC),
        ),
        (day_if_any, "2026-08-01", date(2026, 8, 1)),
        (day_if_any, None, None),
    ],
)
def test_value(read: Read, value: Any, expected: Any) -> None:
    assert read(value) == expected


@pytest.mark.parametrize(
    ("read", "error", "values"),
    [
        (stored.mapping, "Not a dict", [None, [], "{}", 1]),
        (
            flags,
            "Not a (dict|bool)",
            [None, [], {"one": 1}, {"one": True, "two": None}],
        ),
        (counts, "Not a (list|count)", [None, {}, "12", [1, -1], [None]]),
        (stored.text, "Not a str", [None, 1, ["a"]]),
        (stored.flag, "Not a bool", [None, 0, 1, "true"]),
        (stored.count, "Not a count", [None, -1, 1.0, True, "1"]),
        (stored.number, "Not a number", [None, True, "1", [1]]),
        (stored.number, "Not a finite number", [float("nan"), float("inf")]),
        (stored.amount, "Not a str", [None, 1, 0.5]),
        (stored.amount, "Not a number", ["", "x"]),
        (stored.amount, "Not a finite number", ["NaN", "sNaN", "Infinity", "-inf"]),
        (stored.day, "Not a str", [None, 20260801]),
        (stored.day, ".+", ["", "2026-02-30", "2026-08-01T00:00:00+08:00"]),
        (stored.moment, "Not a str|Invalid .+", [None, 0, "now"]),
        (stored.moment, "No time zone", ["2026-08-01", "2026-08-01T00:00:00"]),
        (day_if_any, "Not a str|Invalid .+", [False, 0, ""]),
    ],
)
def test_damaged_value(read: Read, error: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^({error})$"):
            read(value)


@given(amount=st.decimals(allow_nan=False, allow_infinity=False))
def test_amount_is_exact(amount: Decimal) -> None:
    assert stored.amount(str(amount)) == amount


@given(when=st.datetimes(timezones=st.sampled_from((UTC, BILLING_TIME_ZONE))))
def test_moment_is_exact(when: datetime) -> None:
    assert stored.moment(when.isoformat()) == when
