"""The figures of prepaid assets and of the Token Plan for teams."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from homeassistant.components.sensor import SensorDeviceClass, SensorStateClass
from homeassistant.const import UnitOfRatio

from .descriptions import FigureSensorDescription, total
from .model_studio import AccountSnapshot, AssetKind, Money, Quantity
from .sources import Source

_MONEY_SOURCES = (Source.ASSETS, Source.BALANCE, Source.SPEND)
"""Coupons and cards have the currency of the balance or the bill."""


def _has_something_left(left: Money | Quantity | None) -> bool:
    """Return whether an amount is left.

    The service also lists assets that expired years ago.
    """
    return left is not None and left.amount > 0


def _number(figure: Decimal | None) -> float | None:
    """Return a figure as JSON data."""
    return None if figure is None else float(figure)


def _expires(snapshot: AccountSnapshot) -> datetime | None:
    """Return when the first asset expires."""
    asset = snapshot.next_expiry
    return None if asset is None else asset.expires


def _next_expiry(snapshot: AccountSnapshot) -> dict[str, Any]:
    """Return the kind and the remaining amount of the first asset to expire."""
    asset = snapshot.next_expiry
    if asset is None:
        return dict.fromkeys(("kind", "amount", "currency", "unit"))
    is_package = asset.kind is AssetKind.RESOURCE_PACKAGE
    return {
        "kind": asset.kind.value,
        "amount": _number(asset.amount),
        "currency": None if is_package else asset.unit,
        "unit": asset.unit if is_package else None,
    }


def _seats(snapshot: AccountSnapshot) -> dict[str, Any]:
    """Return the assigned seats, and the figures of each type of seats.

    The service may list seats of the same type several times.
    """
    plan = snapshot.token_plan
    types = dict.fromkeys(seats.type for seats in plan.seats if seats.type)
    of_type = {
        name: replace(plan, seats=tuple(s for s in plan.seats if s.type == name))
        for name in types
    }
    return {
        "assigned": _number(plan.assigned_seats),
        "by_type": {
            name: {
                "seats": _number(part.total_seats),
                "assigned": _number(part.assigned_seats),
                "credits": _number(part.credits),
                "credits_left": _number(part.credits_left),
            }
            for name, part in of_type.items()
        },
    }


_plan = partial(FigureSensorDescription[AccountSnapshot], sources=(Source.TOKEN_PLAN,))
_plan_number = partial(
    _plan, state_class=SensorStateClass.MEASUREMENT, suggested_display_precision=0
)

PREPAID_SENSORS: tuple[FigureSensorDescription[AccountSnapshot], ...] = (
    total(
        key="coupons_balance",
        sources=_MONEY_SOURCES,
        exists_fn=lambda snapshot: _has_something_left(snapshot.coupons_balance),
        value_fn=lambda snapshot: snapshot.coupons_balance,
    ),
    total(
        key="prepaid_cards_balance",
        sources=_MONEY_SOURCES,
        exists_fn=lambda snapshot: _has_something_left(snapshot.prepaid_cards_balance),
        value_fn=lambda snapshot: snapshot.prepaid_cards_balance,
    ),
    total(
        key="savings_plans_balance",
        sources=(Source.ASSETS,),
        exists_fn=lambda snapshot: _has_something_left(snapshot.savings_plans_balance),
        value_fn=lambda snapshot: snapshot.savings_plans_balance,
    ),
    FigureSensorDescription(
        key="resource_packages_left",
        sources=(Source.ASSETS,),
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        exists_fn=lambda snapshot: _has_something_left(snapshot.resource_packages_left),
        value_fn=lambda snapshot: snapshot.resource_packages_left,
    ),
    FigureSensorDescription(
        key="next_expiry",
        sources=(Source.ASSETS,),
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=_expires,
        attributes_fn=_next_expiry,
    ),
    _plan_number(
        key="plan_credits", value_fn=lambda snapshot: snapshot.token_plan.credits
    ),
    _plan_number(
        key="plan_credits_left",
        value_fn=lambda snapshot: snapshot.token_plan.credits_left,
    ),
    _plan(
        key="plan_credits_used_pct",
        native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=1,
        value_fn=lambda snapshot: snapshot.token_plan.credits_used_pct,
    ),
    _plan(
        key="plan_credits_refresh",
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=lambda snapshot: snapshot.token_plan.refresh,
    ),
    _plan(
        key="plan_ends",
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=lambda snapshot: snapshot.token_plan.ends,
    ),
    _plan_number(
        key="plan_seats",
        value_fn=lambda snapshot: snapshot.token_plan.total_seats,
        attributes_fn=_seats,
    ),
)
