"""Reads stored values. Each function raises `ValueError` for any other value."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object."""
    return _of_type(value, dict)


def mapping_of[T](value: Any, read: Callable[[Any], T]) -> dict[str, T]:
    """Return a JSON object whose values are read by a function."""
    return {key: read(item) for key, item in mapping(value).items()}


def list_of[T](value: Any, read: Callable[[Any], T]) -> list[T]:
    """Return a list whose items are read by a function."""
    items: list[Any] = _of_type(value, list)
    return [read(item) for item in items]


def text(value: Any) -> str:
    """Return a text."""
    return _of_type(value, str)


def flag(value: Any) -> bool:
    """Return a Boolean."""
    return _of_type(value, bool)


def count(value: Any) -> int:
    """Return a whole number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("Not a count")
    return value


def number(value: Any) -> int | float:
    """Return a finite number that was written as a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("Not a number")  # noqa: TRY004 - one error for all
    if not isfinite(value):
        raise ValueError("Not a finite number")
    return value


def amount(value: Any) -> Decimal:
    """Return a finite number that was stored as a text."""
    try:
        number = Decimal(text(value))
    except InvalidOperation as err:
        raise ValueError("Not a number") from err
    if not number.is_finite():
        raise ValueError("Not a finite number")
    return number


def day(value: Any) -> date:
    """Return a date."""
    return date.fromisoformat(text(value))


def moment(value: Any) -> datetime:
    """Return a time. It must have a time zone."""
    when = datetime.fromisoformat(text(value))
    if when.tzinfo is None:
        raise ValueError("No time zone")
    return when


def optional[T](value: Any, read: Callable[[Any], T]) -> T | None:
    """Return a value read by a function. None stays None."""
    return None if value is None else read(value)


def _of_type[T](value: Any, kind: type[T]) -> T:
    """Return a value that must have a type."""
    if not isinstance(value, kind):
        raise ValueError(f"Not a {kind.__name__}")  # noqa: TRY004 - all errors are alike
    return value
