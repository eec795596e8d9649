"""What is read of stored values, and what is not."""

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from custom_components.alibaba_cloud.ledger import stored

MOMENT = datetime(2026, 8, 15, 12, tzinfo=timezone(timedelta(hours=8)))


def counts(value: Any) -> list[int]:
    """Return a list of counts."""
    return stored.list_of(value, stored.count)


def named_counts(value: Any) -> dict[str, int]:
    """Return an object of counts."""
    return stored.mapping_of(value, stored.count)


def maybe_count(value: Any) -> int | None:
    """Return a count, if there is one."""
    return stored.optional(value, stored.count)


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (stored.mapping, {"a": None}, {"a": None}),
        (named_counts, {"a": 1}, {"a": 1}),
        (counts, [0, 1], [0, 1]),
        (maybe_count, None, None),
        (maybe_count, 0, 0),
        (stored.text, "", ""),
        (stored.flag, False, False),
        (stored.count, 0, 0),
        (stored.amount, "-1.50", Decimal("-1.50")),
        (stored.day, "2026-08-15", date(2026, 8, 15)),
        (stored.moment, "2026-08-15T12:00:00+08:00", MOMENT),
    ],
)
def test_what_was_written(
    read: Callable[[Any], Any], value: Any, expected: Any
) -> None:
    assert read(value) == expected


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (stored.mapping, []),
        (stored.mapping, None),
        (named_counts, {"a": "1"}),
        (named_counts, [1]),
        (counts, {"a": 1}),
        (counts, "1"),
        (counts, [-1]),
        (maybe_count, ""),
        (stored.text, 1),
        (stored.text, None),
        (stored.flag, 1),
        (stored.count, -1),
        (stored.count, True),
        (stored.count, 1.0),
        (stored.amount, 1),
        (stored.amount, "one"),
        (stored.amount, "NaN"),
        (stored.amount, "Infinity"),
        (stored.day, "2026-02-30"),
        (stored.day, 20260815),
        (stored.moment, "2026-08-15T12:00:00"),
        (stored.moment, "soon"),
    ],
)
def test_anything_else(read: Callable[[Any], Any], value: Any) -> None:
    """It is refused in one way, whatever is wrong with it."""
    with pytest.raises(ValueError):
        read(value)
