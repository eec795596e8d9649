"""Times, days, and amounts, as the tests of the ledger write them."""

from datetime import date, datetime
from decimal import Decimal

from custom_components.alibaba_cloud.model_studio import BillingPeriod, Money


def at(text: str) -> datetime:
    """Return a time of 2026 in the billing zone, of the form `08-15 12:30`."""
    day_of_year, _, clock = text.partition(" ")
    return datetime.fromisoformat(f"2026-{day_of_year}T{clock or '00:00'}+08:00")


def day(text: str) -> date:
    """Return a day of 2026, of the form `08-15`."""
    return date.fromisoformat(f"2026-{text}")


def usd(amount: str | int) -> Money:
    """Return an amount in US dollars."""
    return Money(amount=Decimal(amount), currency="USD")


def billing_period(text: str) -> BillingPeriod:
    """Return a period of the form `08-01/08-31`. Either day may be missing."""
    start, _, end = text.partition("/")
    return BillingPeriod(
        start=day(start) if start.strip("-") else None,
        end=day(end) if end.strip("-") else None,
    )
