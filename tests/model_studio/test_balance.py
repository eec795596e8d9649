"""Tests of the balance."""

from decimal import Decimal
from typing import Any

import aiohttp
from alibabacloud_bssopenapi20171214.models import QueryAccountBalanceResponseBody  # type: ignore[import-untyped]
import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountError,
    Balance,
    BalanceClient,
    InvalidAnswerError,
    Money,
)
from custom_components.alibaba_cloud.model_studio.balance import parse_balance
from tests.simulator import Account, Fault, Simulator
from tests.simulator.billing import total_on

from .common import AUGUST, KEY, NOW, TODAY, days


@pytest.mark.parametrize("currency", ["CNY", "USD", "JPY"])
async def test_balance(
    simulator: Simulator, balance: BalanceClient, currency: str
) -> None:
    """Amounts with thousands separators are exact."""
    simulator.account.currency = currency
    simulator.account.credits = 1_234_567.89
    simulator.account.exchange_rate = Decimal(1)
    spent = sum(total_on(simulator.account, day) for day in days(AUGUST, TODAY))
    assert await balance.get_balance() == Balance(
        available=Money(amount=Decimal("1234567.89") - spent, currency=currency),
        credit=Money(amount=Decimal(0), currency=currency),
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"AvailableAmount": "1,234.50", "CreditAmount": "100", "Currency": "USD"},
            ("1234.50", "100", "USD"),
        ),
        (
            {"AvailableAmount": "-0.01", "CreditAmount": None, "Currency": "cny"},
            ("-0.01", None, "CNY"),
        ),
        ({"AvailableAmount": 0, "Currency": "JPY"}, ("0", None, "JPY")),
    ],
)
def test_balance_equals_the_vendors(
    data: dict[str, Any], expected: tuple[str, str | None, str]
) -> None:
    """The vendor's SDK reads the same balance."""
    answer = {"Code": "200", "Success": True, "Data": data}
    found = parse_balance(answer)
    available, credit, currency = expected
    assert found.available == Money(amount=Decimal(available), currency=currency)
    assert found.credit == (credit and Money(amount=Decimal(credit), currency=currency))
    vendors = QueryAccountBalanceResponseBody().from_map(answer).data
    assert str(vendors.available_amount).replace(",", "") == available
    assert vendors.credit_amount == credit
    assert vendors.currency.upper() == currency


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"AvailableAmount": "1.00"},
        {"Currency": "CNY"},
        {"AvailableAmount": "1,23", "Currency": "CNY"},
        {"AvailableAmount": "1.00", "Currency": 156},
    ],
)
def test_answer_without_balance(data: Any) -> None:
    """An answer without a balance is an error and does not mean a balance of 0."""
    with pytest.raises(InvalidAnswerError, match=r"\AThe answer holds no balance\Z"):
        parse_balance({"Data": data})


async def test_other_site_is_remembered(
    session: aiohttp.ClientSession, simulator: Simulator
) -> None:
    """A client finds the account's site and requests the other site only once."""
    simulator.balance_applicable = False
    async with Simulator(account=Account(clock=lambda: NOW)) as other:
        other.access_keys = simulator.access_keys
        client = BalanceClient(
            session,
            endpoints=[simulator.openapi_url, other.openapi_url],
            access_key=KEY,
        )
        assert await client.get_balance() == await client.get_balance()
        asked = [len(site.signed_requests) for site in (simulator, other)]
        assert asked == [1, 2]
        assert other.signed_requests[0].method == "POST"

        other.balance_applicable = False
        for _ in range(3):
            with pytest.raises(AccountError, match="NotApplicable"):
                await client.get_balance()
        # The service blocks users that request the wrong site repeatedly.
        asked = [len(site.signed_requests) for site in (simulator, other)]
        assert asked == [1, 3]


async def test_other_site_is_not_asked_for_another_error(
    session: aiohttp.ClientSession, simulator: Simulator
) -> None:
    """Only `NotApplicable` makes the client request the other site."""
    client = BalanceClient(
        session, endpoints=[simulator.openapi_url] * 2, access_key=KEY
    )
    simulator.fail(Fault.SERVER_ERROR, at="balance")
    with pytest.raises(AccountError, match="InternalError"):
        await client.get_balance()
    assert len(simulator.signed_requests) == 1
