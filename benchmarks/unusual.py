"""How often a day is alerted to cost unusually much, on made-up years.

Each day of a year is compared with the days before it, three times and at its end, as an
account does. Then each day is made to cost five times what is usual: the average of the
same weekday in the eight weeks before. Days that usually cost nothing are left out.

- *Alerts* is how many alerts the years have in a month, as they are.
- *False* is how many of them are of days that cost less than three times that average.
- *Found* is the share of the days of five times the cost that are alerted, by each hour.
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
"""How many times as much a day costs that should be found."""
MONTHS = 12
WEEK = timedelta(weeks=1)
MOST = 1.0
"""Alerts in a month, for any kind of year."""
STEADY = ("flat", "weekly", "growth", "drift")
"""Kinds without bursts, refunds and pauses."""
LEAST = 0.75
"""Share of the raised days to find on those."""


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
    """Look at the years and report; return the exit status."""
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
