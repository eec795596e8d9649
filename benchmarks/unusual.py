"""How often a day is alerted as unusual, on simulated years.

Each day of a year is compared with the days before it, at the end of each hour. Then the
spend of each day is raised to five times the average of the same weekday in the eight weeks
before. Days with an average of 0 are not raised.

- *Alerts* is the number of alerts in a month, without raised days.
- *False* is the number of those alerts on days that cost less than three times the average.
- *Found* is the share of the raised days that are alerted by an hour. `--whole-days` shows
  what would be found if only whole days were compared.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import fmean
import sys

from custom_components.alibaba_cloud.ledger.unusual import usual_day

from .years import DAYS, KINDS, Kind, label, make_year

RAISED = 5
"""The spend of a raised day, as a multiple of the average."""
MONTHS = 12
WEEK = timedelta(weeks=1)
MOST = 1.0
"""The largest number of false alerts in a month, for any kind of year."""
STEADY = ("flat", "weekly", "growth", "drift")
"""Kinds without bursts, refunds and pauses."""
LEAST = 0.75
"""The smallest share of raised days that must be found in `STEADY` years."""
SHOWN = (8, 12, 16, 20, 24)
"""The hours of the billing day for which the report shows the share that is found."""


@dataclass(frozen=True, slots=True)
class Found:
    """The alerts of one or more years of a kind."""

    alerts: float
    """In a month."""
    false: float
    by_hour: list[float]
    """Share of the raised days that are found until each of `SHOWN`."""


def backtest(kind: Kind, years: int, *, whole_days: bool = False) -> Found:
    """Return the alerts of some years of a kind."""
    alerts = false = raised = 0
    found = [0] * len(SHOWN)
    for number in range(years):
        amounts, hourly = make_year(kind, number)
        known: dict[date, Decimal] = {}
        by_hour: list[dict[date, Decimal]] = [{} for _ in range(24)]
        for day, amount, shares in zip(DAYS, amounts, hourly, strict=True):
            limits = _limits(known, day, [] if whole_days else by_hour)
            if limits:
                if _is_above(limits, amount, shares):
                    alerts += 1
                    false += amount < 3 * _average(known, day)
                if (cost := RAISED * _average(known, day)) > 0:
                    raised += 1
                    for number_shown, hour in enumerate(SHOWN):
                        found[number_shown] += _is_above(limits, cost, shares[:hour])
            known[day] = amount
            for hour, share in enumerate(shares):
                by_hour[hour][day] = round(amount * Decimal(share), 2)
    months = years * MONTHS
    return Found(alerts / months, false / months, [count / raised for count in found])


def _limits(
    known: dict[date, Decimal], day: date, by_hour: list[dict[date, Decimal]]
) -> list[float]:
    """Return the highest spend until the end of each hour that is not unusual."""
    usual = [usual_day(known, day, until) for until in by_hour or [{}] * 24]
    return [float(limit.unusual_above) for limit in usual if limit is not None]


def _is_above(
    limits: list[float], amount: float | Decimal, shares: Sequence[float]
) -> bool:
    """Return whether a day is unusual at the end of one of these hours."""
    return any(
        float(amount) * share > limit
        for limit, share in zip(limits, shares, strict=False)
    )


def _average(known: dict[date, Decimal], day: date) -> float:
    """Return the average of a weekday in the eight weeks before."""
    days = [day - number * WEEK for number in range(1, 9)]
    return fmean(float(known[other]) for other in days if other in known)


def main() -> int:
    """Compare the days and report; return the exit status."""
    from .common import Goal, progress, report

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--years", type=int, default=20, help="of each kind")
    parser.add_argument(
        "--whole-days", action="store_true", help="ignore the hours of past days"
    )
    options = parser.parse_args()
    results = {}
    for kind in KINDS:
        progress(kind.__name__)
        results[kind.__name__] = backtest(
            kind, options.years, whole_days=options.whole_days
        )
    most = max(results, key=lambda name: results[name].false)
    least = min(STEADY, key=lambda name: results[name].by_hour[-1])
    return report(
        ["Spend", "Alerts", "False", *(f"By {hour}:00" for hour in SHOWN)],
        [
            [
                label(kind),
                f"{results[kind.__name__].alerts:.2f}",
                f"{results[kind.__name__].false:.2f}",
                *(f"{share:.0%}" for share in results[kind.__name__].by_hour),
            ]
            for kind in KINDS
        ],
        [
            Goal(
                f"At most {MOST:.0f} false alert in a month, for any kind",
                f"{results[most].false:.2f} ({most})",
                results[most].false <= MOST,
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
