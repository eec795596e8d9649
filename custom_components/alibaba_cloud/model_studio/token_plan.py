"""The Token Plan for teams: `GetSubscriptionStats` of Model Studio's OpenAPI (2026-02-10).

No other operation is called: similar ones return API keys or change members.
"""

from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from .errors import InvalidAnswerError
from .http import Poll
from .models import AccessKey
from .openapi import call
from .prepaid import Seats, TokenPlan
from .values import amount_of, moment_of, text_of


class TokenPlanClient:
    """Reads the Token Plan of an account with an AccessKey."""

    def __init__(
        self, session: aiohttp.ClientSession, *, endpoint: str, access_key: AccessKey
    ) -> None:
        """Create a client. Only the endpoints of `TOKEN_PLAN_REGIONS` can answer it."""
        self._session = session
        self._url = URL(endpoint) / "tokenplan/subscription/stats"
        self._access_key = access_key

    async def get_plan(self) -> TokenPlan:
        """Return the plan, which is empty for an account without a subscription.

        Raises the same errors as `openapi.call`.
        """
        return parse_plan(
            await call(
                Poll(),
                self._session,
                self._access_key,
                method="GET",
                url=self._url,
                action="GetSubscriptionStats",
                version="2026-02-10",
            )
        )


def parse_plan(answer: Mapping[str, Any]) -> TokenPlan:
    """Return the plan in an answer of `GetSubscriptionStats`.

    The service leaves `Data` out if there is no subscription. Raises
    `InvalidAnswerError` if it is of another type, or the whole answer is empty.
    """
    if not answer:
        raise InvalidAnswerError("The answer is empty")
    data = answer.get("Data")
    if data is None:
        return TokenPlan()
    if not isinstance(data, dict):
        raise InvalidAnswerError("The answer holds no plan")
    items = data.get("Items")
    if items is None:
        items = []
    if not isinstance(items, list):
        raise InvalidAnswerError("The answer holds no seats")
    return TokenPlan(
        starts=moment_of(data.get("SubscriptionStartTime")),
        ends=moment_of(data.get("SubscriptionEndTime")),
        seats=tuple(_seats(item) for item in items if isinstance(item, dict)),
    )


def _seats(item: Mapping[str, Any]) -> Seats:
    """Return the seats of one type. Credits are those of all these seats together."""
    return Seats(
        type=text_of(item.get("SeatType")),
        total=amount_of(item.get("TotalSeats")),
        assigned=amount_of(item.get("AssignedSeats")),
        credits=amount_of(item.get("SeatCredits")),
        credits_left=amount_of(item.get("SeatRemainingCredits")),
        refresh=moment_of(item.get("SeatRefreshTime")),
    )
