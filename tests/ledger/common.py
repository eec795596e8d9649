"""Times, days, amounts and alerts, as the tests of the ledger write them."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
import json
import re
from typing import Any

from custom_components.alibaba_cloud.ledger import (
    Alert,
    AlertOptions,
    AlertState,
    Observation,
    Periods,
    decide,
    midnight,
)
from custom_components.alibaba_cloud.ledger.windows import Window
from custom_components.alibaba_cloud.model_studio import BillingPeriod, Money, Spend


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


def reported_periods(
    start: date | None, end: date | None, month: date | None
) -> Periods:
    """Return periods with a reported period and the first day of the month's figure."""
    window = (
        None
        if month is None
        else Window(
            amount=Decimal(1),
            since=midnight(month),
            start=month,
            earliest=month,
            latest=month,
        )
    )
    return Periods(monthly=window, period=BillingPeriod(start=start, end=end))


def spend(amount: str | int, start: str) -> Spend:
    """Return a spend in US dollars since a day of 2026, such as `08-15`."""
    return Spend(
        amount=Decimal(amount), currency="USD", since=at(start), start=day(start)
    )


@dataclass(frozen=True)
class Look:
    """What is seen, and what the user wants to be alerted of by then."""

    seen: Observation
    options: AlertOptions


class Account:
    """An account that restarts after each look."""

    def __init__(self) -> None:
        """Begin with nothing alerted."""
        self.state = AlertState()

    def see(self, look: Look) -> list[Alert]:
        """Return the alerts of a look: the same ones until the state is stored."""
        state, alerts = decide(self.state, look.seen, look.options)
        assert decide(self.state, look.seen, look.options) == (state, alerts)
        self.state = restarted(state)
        return alerts

    def see_one(self, look: Look) -> Alert:
        """Return the only alert of a look."""
        (alert,) = self.see(look)
        return alert

    def levels(self, look: Look) -> list[Any]:
        """Return the levels that a look alerts."""
        return [alert.level for alert in self.see(look)]

    def ignores(self, look: Look) -> bool:
        """Return whether a look changes nothing."""
        before = self.state
        return self.see(look) == [] and self.state == before


def restarted(state: AlertState) -> AlertState:
    """Return a state that was stored and read."""
    read = AlertState.from_dict(json.loads(json.dumps(state.as_dict())))
    assert read == state
    return read


def written(alert: Alert) -> str:
    """Return what an alert says, without its id."""
    content = {k: v for k, v in alert.as_dict().items() if v is not None}
    assert re.fullmatch("[0-9a-f]{32}", content.pop("alert_id"))
    return f"{alert.kind.value} {json.dumps(content)}"
