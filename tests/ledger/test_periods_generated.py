"""Whatever happens, the sums of the spend figures are what was spent."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from hypothesis import given

from custom_components.alibaba_cloud.ledger.periods import Answer, Periods, follow
from custom_components.alibaba_cloud.model_studio import BillingPeriod

from .truth import History, histories


@given(history=histories())
def test_sums_are_what_was_spent(history: History) -> None:
    """To the cent, for the day and the month, once the service has caught up."""
    known = stored = Periods()
    sums: dict[str, dict[datetime, Decimal]] = {"daily": {}, "monthly": {}}
    truth: dict[str, dict[date, Decimal]] = {"daily": {}, "monthly": {}}
    for poll in history.polls():
        if poll.said is None:
            continue
        if poll.killed:
            known = stored
        known = follow(
            known,
            Answer(
                daily=poll.said.daily,
                monthly=poll.said.monthly,
                period=BillingPeriod(start=poll.said.start, end=poll.said.end),
            ),
            currency="USD",
            now=poll.clock,
            elapsed=poll.elapsed,
        )
        stored = known
        for figure, label, window, held in (
            ("daily", poll.said.day, known.daily, known.daily_is_held),
            ("monthly", poll.said.month, known.monthly, known.monthly_is_held),
        ):
            amount = getattr(poll.said, figure)
            if amount is None:
                continue
            truth[figure][label] = amount
            if not held:
                assert window is not None
                assert window.amount == amount
                sums[figure][window.since] = amount
    for figure in ("daily", "monthly"):
        assert total(sums[figure]) == total(truth[figure]), figure


def total[T](amounts: Mapping[T, Decimal]) -> Decimal:
    """Return the sum of the last amounts of each window."""
    return sum(amounts.values(), Decimal())
