"""How often a day is alerted as unusual, on simulated years.

Each day of a year is compared with the days before it, at three hours and at its end. Then
the spend of each day is raised to five times the average of the same weekday in the eight
weeks before. Days with an average of 0 are not raised.

- *Alerts* is the number of alerts in a month, without raised days.
- *False* is the number of those alerts on days that cost less than three times the average.
- *Found* is the share of the raised days that are alerted by each hour.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import fmean
import sys

from custom_components.alibaba_cloud.ledger.unusual import usual_day

from .years import DAYS, HOURS, KINDS, Kind, make_year

RAISED = 5
"""The spend of a raised day, as a multiple of the average."""
MONTHS = 12
WEEK = timedelta(weeks=1)
MOST = 1.0
"""The largest number of alerts in a month, for any kind of year."""
STEADY = ("flat", "weekly", "growth", "drift")
"""Kinds without bursts, refunds and pauses."""
LEAST = 0.75
"""The smallest share of the raised days to find on those."""


@dataclass(frozen=True, slots=True)
class Found:
    """The alerts of one or more years of a kind."""

    alerts: float
    """In a month."""
    false: float
    by_hour: list[float]
    """Share of the raised days that are found by each of `HOURS` and by their end."""


def backtest(kind: Kind, years: int) -> Found:
    """Return the alerts of some years of a kind."""
    alerts = false = raised = 0
    found = [0] * (len(HOURS) + 1)
    for number in range(years):
        year = make_year(kind, number)
        known: dict[date, Decimal] = {}
        for day, amount, shares in zip(DAYS, year.amounts, year.shares, strict=True):
            if usual := usual_day(known, day):
                if max(shares) * float(amount) > usual.unusual_above:
                    alerts += 1
                    false += amount < 3 * _average(known, day)
                if (cost := RAISED * _average(known, day)) > 0:
                    raised += 1
                    for hour, share in enumerate(shares):
                        found[hour] += cost * share > usual.unusual_above
            known[day] = amount
    months = years * MONTHS
    return Found(alerts / months, false / months, [count / raised for count in found])


def _average(known: dict[date, Decimal], day: date) -> float:
    """Return the average of a weekday in the eight weeks before."""
    days = [day - number * WEEK for number in range(1, 9)]
    return fmean(float(known[other]) for other in days if other in known)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the days and report; return the exit status."""
    from .common import Goal, progress, report

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--years", type=int, default=20, help="of each kind")
    years = parser.parse_args(arguments).years
    results = {}
    for kind in KINDS:
        progress(kind.__name__)
        results[kind.__name__] = backtest(kind, years)
    most = max(results, key=lambda name: results[name].alerts)
    least = min(STEADY, key=lambda name: results[name].by_hour[-1])
    return report(
        ["Spend", "Alerts", "False", "By 12:00", "By 20:00", "Found"],
        [
            [
                f"{kind.__name__}: {(kind.__doc__ or '').rstrip('.').lower()}",
                f"{results[kind.__name__].alerts:.2f}",
                f"{results[kind.__name__].false:.2f}",
                *(f"{share:.0%}" for share in results[kind.__name__].by_hour[1:]),
            ]
            for kind in KINDS
        ],
        [
            Goal(
                f"At most {MOST:.0f} alert in a month, for any kind",
                f"{results[most].alerts:.2f} ({most})",
                results[most].alerts <= MOST,
            ),
            Goal(
                f"{LEAST:.0%} of the days at {RAISED} times found on steady kinds",
                f"{results[least].by_hour[-1]:.0%} ({least})",
                results[least].by_hour[-1] >= LEAST,
            ),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
