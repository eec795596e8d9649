"""The balance of an account: `QueryAccountBalance` of the billing service (2017-12-14).

The balance lags by minutes to hours.
"""

from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from .errors import AccountError, InvalidAnswerError
from .http import Poll
from .models import AccessKey, Balance, Money
from .openapi import call
from .values import amount_of, currency_of, mapping_of

VERSION = "2017-12-14"
OTHER_SITE = "NotApplicable"
"""Error code of a site that the account doesn't belong to."""


class BalanceClient:
    """Reads the balance of an account with an AccessKey."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        endpoints: list[str],
        access_key: AccessKey,
    ) -> None:
        """Create a client that tries the endpoints in order.

        The client removes the endpoints of other sites from the list. Callers keep the
        list, because the service blocks users who ask the wrong site repeatedly.
        """
        self._session = session
        self._endpoints = endpoints
        self._access_key = access_key

    async def get_balance(self) -> Balance:
        """Return the balance. Raises the same errors as `openapi.call`."""
        poll = Poll()
        other_site = AccountError(
            "The account belongs to another site", code=OTHER_SITE
        )
        while self._endpoints:
            endpoint = self._endpoints[0]
            try:
                answer = await call(
                    poll,
                    self._session,
                    self._access_key,
                    method="POST",
                    url=URL(endpoint) / "",
                    action="QueryAccountBalance",
                    version=VERSION,
                )
            except AccountError as err:
                if err.code != OTHER_SITE:
                    raise
                other_site = err
                # Another client with the same list can have removed it meanwhile.
                self._endpoints[:] = [e for e in self._endpoints if e != endpoint]
            else:
                return parse_balance(answer)
        raise other_site


def parse_balance(answer: Mapping[str, Any]) -> Balance:
    """Return the balance in an answer of `QueryAccountBalance`.

    Raises `InvalidAnswerError` if there is no balance in it.
    """
    data = mapping_of(answer.get("Data"))
    currency = currency_of(data.get("Currency"))
    available = amount_of(data.get("AvailableAmount"))
    if currency is None or available is None:
        raise InvalidAnswerError("The answer holds no balance")
    credit = amount_of(data.get("CreditAmount"))
    return Balance(
        available=Money(amount=available, currency=currency),
        credit=None if credit is None else Money(amount=credit, currency=currency),
    )
