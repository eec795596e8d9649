"""The start of the billing cycle, from which usage is counted."""

from datetime import date
from decimal import Decimal

import pytest

from custom_components.alibaba_cloud.ledger import Periods, cycle_start, midnight
from custom_components.alibaba_cloud.ledger.windows import Window
from custom_components.alibaba_cloud.model_studio import BillingPeriod

TODAY = date(2026, 8, 15)


def periods(start: date | None, end: date | None, month: date | None) -> Periods:
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


@pytest.mark.parametrize(
    ("start", "end", "month", "expected"),
    [
        # Without a figure or a reported period, the cycle is the calendar month.
        (None, None, None, date(2026, 8, 1)),
        (None, None, date(2026, 7, 27), date(2026, 8, 1)),
        (date(2026, 7, 27), date(2026, 8, 26), None, date(2026, 8, 1)),
        # The reported period is current.
        (date(2026, 7, 27), date(2026, 8, 26), date(2026, 7, 27), date(2026, 7, 27)),
        (date(2026, 7, 27), None, date(2026, 7, 27), date(2026, 7, 27)),
        # The last day of the period is today.
        (date(2026, 7, 16), date(2026, 8, 15), date(2026, 7, 16), date(2026, 7, 16)),
        # The period is over, and the service is late.
        (date(2026, 7, 15), date(2026, 8, 14), date(2026, 7, 15), date(2026, 8, 15)),
        (date(2026, 7, 1), date(2026, 7, 31), date(2026, 7, 1), date(2026, 8, 1)),
    ],
)
def test_cycle_start(
    start: date | None, end: date | None, month: date | None, expected: date
) -> None:
    assert cycle_start(periods(start, end, month), TODAY) == midnight(expected)
