"""Single values of an answer: numbers, amounts, dates and texts.

Each function returns None (or an empty object) for a value of the wrong type, so that an
odd field costs one figure and not the whole answer.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
import re
from typing import Any
import unicodedata

from .models import Number

_MAXIMUM = 10**18
"""Numbers from here on are placeholders such as the largest int64."""
_MAX_DIGITS = 400
_MAX_DECIMAL_PLACES = 12
_WITH_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
_CURRENCY = re.compile("[A-Z]{3}")

_BILLING_TIME_ZONE = timezone(timedelta(hours=8))
_MILLISECONDS = 10**11
"""Timestamps from here on are in milliseconds. As seconds, they begin in the year 5138."""

_MAX_TEXT_LENGTH = 300
_INVISIBLE = frozenset({"Cc", "Cf", "Cs"})
"""Unicode categories of characters that control how text is displayed."""


def mapping_of(value: Any) -> Mapping[str, Any]:
    """Return an object, or an empty one for any other type."""
    return value if isinstance(value, dict) else {}


def number_of(value: Any) -> Number | None:
    """Return a number that is finite and not negative, as an int if it is whole.

    Numbers can come as text. A boolean is not a number.
    """
    if isinstance(value, str):
        value = _decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    # NaN and the infinities fail the comparison too.
    if not 0 <= value < _MAXIMUM:
        return None
    whole = int(value)
    return whole if whole == value else float(value)


def amount_of(value: Any) -> Decimal | None:
    """Return an amount of money. It can be negative, and can come as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float) and value.is_integer():
        # Equal numbers make equal amounts: the text of a large float is rounded.
        value = int(value)
    return _decimal(str(value))


def _decimal(text: str) -> Decimal | None:
    """Return the number in a text, which can have thousands separators.

    The result has at most 28 digits, of which at most 12 are decimal places.
    """
    text = text.strip()
    if len(text) > _MAX_DIGITS or "_" in text:
        return None
    if _WITH_THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    try:
        value = Decimal(text)
        # Comparing raises an error for NaN.
        if abs(value) >= _MAXIMUM:
            return None
        # Adding 0 rounds to the context's precision and expands the exponent.
        value += 0
        # A text as short as 1E-999990 would expand to a million digits.
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and exponent < -_MAX_DECIMAL_PLACES:
            value = round(value, _MAX_DECIMAL_PLACES)
    except ArithmeticError:
        return None
    # Decimal("0E-8") would be displayed with its exponent.
    return value if value or "E" not in str(value) else Decimal()


def currency_of(value: Any) -> str | None:
    """Return a currency code (ISO 4217) in upper case."""
    currency = (text_of(value) or "").upper()
    return currency if _CURRENCY.fullmatch(currency) else None


def date_of(value: Any) -> date | None:
    """Return the day of a date, which can have a time after it.

    Days outside the years 2000 to 2999 are placeholders. Some of them have no midnight
    in every time zone.
    """
    if not isinstance(value, str):
        return None
    try:
        day = date.fromisoformat(value.strip()[:10])
    except ValueError:
        return None
    return day if 2000 <= day.year < 3000 else None


def moment_of(value: Any) -> datetime | None:
    """Return a time. It can be a timestamp in seconds or milliseconds, or a text.

    A text without a time zone is in the billing time zone (UTC+8). As in `date_of`, years
    outside 2000 to 2999 are placeholders.
    """
    try:
        if isinstance(value, str) and not value.strip().isdigit():
            moment = datetime.fromisoformat(value.strip())
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=_BILLING_TIME_ZONE)
            moment = moment.astimezone(UTC)
        elif (seconds := number_of(value)) is not None:
            if seconds >= _MILLISECONDS:
                seconds /= 1000
            moment = datetime.fromtimestamp(seconds, UTC)
        else:
            return None
    except ValueError, OverflowError, OSError:
        return None
    return moment if 2000 <= moment.year < 3000 else None


def text_of(value: Any) -> str | None:
    """Return a text or a whole number as one short line, None if nothing is left."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return plain_text(str(value)) or None


def plain_text(value: str) -> str:
    """Return one line of at most 300 characters, without invisible ones.

    Such characters could forge lines in the log or reverse the text that follows.
    """
    visible = "".join(
        character
        for character in value[: 4 * _MAX_TEXT_LENGTH]
        if character.isspace() or unicodedata.category(character) not in _INVISIBLE
    )
    return " ".join(visible.split())[:_MAX_TEXT_LENGTH].rstrip()
