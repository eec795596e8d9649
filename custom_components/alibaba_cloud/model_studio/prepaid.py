"""What is prepaid: coupons, cards, plans and resource packages."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Self


class AssetKind(StrEnum):
    """Kind of an asset."""

    COUPON = "coupon"
    PREPAID_CARD = "prepaid_card"
    SAVINGS_PLAN = "savings_plan"
    RESOURCE_PACKAGE = "resource_package"


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """An amount in a unit that the service names."""

    amount: Decimal
    unit: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """A prepaid asset that can be used for Model Studio."""

    kind: AssetKind
    amount: Decimal | None
    """The remaining amount, None if it is unknown."""
    unit: str | None
    """Unit of the amount, which is a currency except for resource packages.

    None if the service doesn't name it: coupons and cards have the account's currency.
    """
    effective: datetime | None = None
    """The time from which it can be used. None if it is not reported."""
    expires: datetime | None
    is_active: bool
    """Whether the service lists it as usable."""

    def is_usable(self, now: datetime) -> bool:
        """Return whether it is active, has begun and has not expired."""
        return (
            self.is_active
            and (self.effective is None or self.effective <= now)
            and (self.expires is None or self.expires > now)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Seats:
    """All seats of one type in a Token Plan. A figure is None if it is not reported."""

    type: str | None = None
    """Such as `standard`, `pro` or `max`."""
    total: Decimal | None = None
    assigned: Decimal | None = None
    credits: Decimal | None = None
    """Credits of these seats in each cycle."""
    credits_left: Decimal | None = None
    """The remaining credits of these seats in the current cycle."""
    refresh: datetime | None = None
    """When the credits are refreshed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenPlan:
    """The subscription of a Token Plan for teams. Empty without a subscription."""

    ends: datetime | None = None
    starts: datetime | None = None
    seats: tuple[Seats, ...] = ()

    def at(self, now: datetime) -> Self:
        """Return the plan without figures that are out of date.

        It is empty once the subscription has ended. The remaining credits are unknown
        once they were refreshed.
        """
        if self.ends is not None and self.ends <= now:
            return type(self)()
        return replace(
            self,
            seats=tuple(
                replace(seats, credits_left=None)
                if seats.refresh is not None and seats.refresh <= now
                else seats
                for seats in self.seats
            ),
        )

    @property
    def total_seats(self) -> Decimal | None:
        """The number of seats."""
        return self._sum(lambda seats: seats.total)

    @property
    def assigned_seats(self) -> Decimal | None:
        """The number of seats that are assigned to a member."""
        return self._sum(lambda seats: seats.assigned)

    @property
    def credits(self) -> Decimal | None:
        """The credits of all seats in each cycle."""
        return self._sum(lambda seats: seats.credits)

    @property
    def credits_left(self) -> Decimal | None:
        """The remaining credits of all seats in the current cycle."""
        return self._sum(lambda seats: seats.credits_left)

    @property
    def credits_used_pct(self) -> float | None:
        """Used share of the credits in %, None if it can't be calculated."""
        total, left = self.credits, self.credits_left
        if not total or left is None or left > total:
            return None
        return round(float((total - left) * 100 / total), 4)

    @property
    def refresh(self) -> datetime | None:
        """When credits are refreshed next."""
        known = [seats.refresh for seats in self.seats if seats.refresh]
        return min(known, default=None)

    def _sum(self, figure: Callable[[Seats], Decimal | None]) -> Decimal | None:
        """Return the sum of a figure, None if it is unknown for some of the seats."""
        values = [value for value in map(figure, self.seats) if value is not None]
        if not values or len(values) < len(self.seats):
            return None
        return sum(values, Decimal())
