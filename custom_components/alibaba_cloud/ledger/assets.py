"""Adds up an account's prepaid assets, and orders them by expiry. No I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from ..model_studio.models import AccountSnapshot, Money
from ..model_studio.prepaid import Asset, AssetKind, Quantity


def with_assets(
    snapshot: AccountSnapshot,
    assets: Iterable[Asset],
    *,
    currency: str | None,
    now: datetime,
) -> AccountSnapshot:
    """Return the figures of an account with those of its assets.

    `currency` is that of the account, None if it is unknown.
    """
    known = [
        asset
        if asset.unit or asset.kind is AssetKind.RESOURCE_PACKAGE
        else replace(asset, unit=currency)
        for asset in assets
    ]

    def money(kind: AssetKind) -> Money | None:
        if (left := _left(known, kind, now)) is None:
            return None
        return Money(amount=left.amount, currency=left.unit)

    return replace(
        snapshot,
        coupons_balance=money(AssetKind.COUPON),
        prepaid_cards_balance=money(AssetKind.PREPAID_CARD),
        savings_plans_balance=money(AssetKind.SAVINGS_PLAN),
        resource_packages_left=_left(known, AssetKind.RESOURCE_PACKAGE, now),
        expiring=_expiring(known, now),
    )


def _left(assets: Iterable[Asset], kind: AssetKind, now: datetime) -> Quantity | None:
    """Return what is left of all assets of a kind that can be used now.

    None if none is listed, the amount of a usable one is unknown, or units differ.
    """
    listed = [asset for asset in assets if asset.kind is kind]
    usable = [asset for asset in listed if asset.is_usable(now)]
    units = {asset.unit for asset in usable or listed}
    amounts = [asset.amount for asset in usable if asset.amount is not None]
    unit = units.pop() if len(units) == 1 else None
    if unit is None or len(amounts) < len(usable):
        return None
    return Quantity(amount=sum(amounts, Decimal()), unit=unit)


def _expiring(assets: Iterable[Asset], now: datetime) -> tuple[Asset, ...]:
    """Return the usable assets that expire, in the order of their expiry.

    Assets of the same kind and unit that expire together are one. Packages without a unit
    have no sum. Assets that are used up are left out. A savings plan stays, because its
    amount is that of the current cycle.
    """
    expiring: dict[tuple[datetime, AssetKind, str | None], list[Asset]] = {}
    for asset in assets:
        has_some = asset.amount != 0 or asset.kind is AssetKind.SAVINGS_PLAN
        if asset.expires and asset.is_usable(now) and has_some:
            key = asset.expires, asset.kind, asset.unit
            expiring.setdefault(key, []).append(asset)
    return tuple(
        _together(same)
        for _, same in sorted(expiring.items(), key=lambda item: item[0][0])
    )


def _together(assets: Sequence[Asset]) -> Asset:
    """Return assets of the same kind, unit and expiry as one.

    Its amount is None if one of them is unknown, or if packages have no unit.
    """
    first, amounts = assets[0], [asset.amount for asset in assets]
    if len(assets) == 1:
        return first
    known = [amount for amount in amounts if amount is not None]
    is_package = first.kind is AssetKind.RESOURCE_PACKAGE
    if len(known) < len(amounts) or (is_package and first.unit is None):
        return replace(first, amount=None)
    return replace(first, amount=sum(known, Decimal()))
