"""Pages of the price list, as the service answers them."""

from decimal import Decimal
import json
from typing import Any

import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountError,
    Price,
    PriceKind,
    PriceUnit,
)
from custom_components.alibaba_cloud.model_studio.price_list import parse_price_page


def listed(*prices: dict[str, Any], **others: Any) -> bytes:
    """Return an answer with a model that has these prices."""
    row = {"model": "qwen-max", "prices": [{"prices": list(prices)}]}
    return json.dumps({"output": {"models": [row]}, **others}).encode()


def test_free_model() -> None:
    """A price of 0 is a price."""
    page = parse_price_page(
        listed({"type": "input_token", "price": "0", "price_unit": "per 1K tokens"})
    )
    (row,) = page.items
    (step,) = row.steps
    assert step.prices == (
        Price(
            amount=Decimal(0),
            per=1000,
            unit=PriceUnit.TOKEN,
            kind=PriceKind.INPUT,
            name=None,
        ),
    )
    assert row.skipped == frozenset()


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({"error": {"message": "Busy"}}, id="error"),
        pytest.param({"success": False}, id="no success"),
        pytest.param({"code": "Busy"}, id="code"),
    ],
)
def test_error_with_prices(others: dict[str, Any]) -> None:
    """An answer that tells of an error has no prices, even if it lists some."""
    with pytest.raises(AccountError) as raised:
        parse_price_page(listed(**others))
    assert raised.value.status == 200


def test_order_of_keys() -> None:
    """Two pages are equal if only the order of their keys differs."""
    first, other = {"price": "1", "type": "input"}, {"type": "input", "price": "1"}
    assert parse_price_page(listed(first)).rows == parse_price_page(listed(other)).rows
