"""How far off the forecast of a month's spend is, compared with two simple ones.

The spend of each day is simulated, for years of several kinds. Three times a day, the
spend of the month is forecast from what is known by then:

- `forecast` is the integration's own.
- `run-rate` assumes that the month goes on as it was on average so far.
- `seven days` assumes that it goes on as the last seven days.

An error is a share of the spend of the month or, if that is more, of the year's average
month. There is no forecast at the first moment of a month, which has no run-rate, and none
in the first three days of the year.
"""

import argparse
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime, time
from decimal import Decimal
from itertools import accumulate
from statistics import fmean
import sys

from custom_components.alibaba_cloud.ledger import BILLING_TIME_ZONE
from custom_components.alibaba_cloud.ledger.forecast import forecast_period

from .common import Goal, progress, report
from .years import DAYS, HOURS, KINDS, Kind, label, make_year

WORST = 1.1
"""The largest error for any kind, as a multiple of the better simple forecast's."""
HOLDS = (0.75, 0.85)
"""How often the interval of 80 % should hold."""
DAYS_OF_MONTH = ("1 to 10", "11 to 20", "21 to the end")


@dataclass(frozen=True, slots=True)
class Errors:
    """The errors at one moment, or those of many on average."""

    forecast: float
    run_rate: float
    seven_days: float
    held: float
    """1 if the result was in the interval, else 0; or the average of these."""
    width: float
    """Width of the interval, in the unit of the errors."""

    @property
    def against(self) -> float:
        """The forecast's error as a multiple of the smaller one of the others."""
        return self.forecast / min(self.run_rate, self.seven_days)


def errors_of_year(kind: Kind, number: int) -> Iterator[tuple[date, Errors]]:
    """Yield how far off the forecasts of a year are."""
    amounts, shares = make_year(kind, number)
    # Before each day, with one more for the end of the year.
    totals = [float(total) for total in accumulate(amounts, initial=Decimal())]
    average = totals[-1] / 12
    known: dict[date, Decimal] = {}
    for today, (day, amount) in enumerate(zip(DAYS, amounts, strict=True)):
        days = monthrange(day.year, day.month)[1]
        start = today - day.day + 1
        truth = totals[start + days] - totals[start]
        unit = max(truth, average)
        week = totals[today] - totals[max(0, today - 7)]
        for hour in HOURS:
            share = shares[today][hour - 1] if hour else 0
            spent = Decimal(
                f"{totals[today] - totals[start] + float(amount) * share:.2f}"
            )
            passed = day.day - 1 + hour / 24
            forecast = forecast_period(
                known,
                spent=spent,
                now=datetime.combine(day, time(hour), BILLING_TIME_ZONE),
                end=DAYS[start + days - 1],
            )
            if forecast is None or not passed:
                continue
            run_rate = float(spent) / passed * days
            seven_days = float(spent) + week / min(today, 7) * (days - passed)
            yield (
                day,
                Errors(
                    forecast=abs(float(forecast.projected) - truth) / unit,
                    run_rate=abs(run_rate - truth) / unit,
                    seven_days=abs(seven_days - truth) / unit,
                    # To the cent, as money is.
                    held=float(forecast.low) - 0.011
                    < truth
                    < float(forecast.high) + 0.011,
                    width=float(forecast.high - forecast.low) / unit,
                ),
            )
        known[day] = amount


def mean(errors: list[Errors]) -> Errors:
    """Return the average of errors."""
    return Errors(
        *(fmean(getattr(one, field.name) for one in errors) for field in fields(Errors))
    )


def main() -> int:
    """Make the forecasts and report; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--years", type=int, default=20, help="of each kind")
    years = parser.parse_args().years
    found: dict[str, Errors] = {}
    by_day: dict[str, list[Errors]] = {name: [] for name in DAYS_OF_MONTH}
    for kind in KINDS:
        progress(kind.__name__)
        made = []
        for number in range(years):
            for day, errors in errors_of_year(kind, number):
                made.append(errors)
                by_day[DAYS_OF_MONTH[min(2, (day.day - 1) // 10)]].append(errors)
        found[label(kind)] = mean(made)
    worst = max(found, key=lambda name: found[name].against)
    overall = mean(list(found.values()))
    rows = found | {"all": overall}
    rows |= {
        f"days {name} of the month": mean(errors) for name, errors in by_day.items()
    }
    least, most = HOLDS
    return report(
        [
            "Spend",
            "Forecast",
            "Run-rate",
            "Seven days",
            "To the better",
            "Holds",
            "Width",
        ],
        [
            [
                name,
                f"{errors.forecast:.1%}",
                f"{errors.run_rate:.1%}",
                f"{errors.seven_days:.1%}",
                f"{errors.against:.2f}",
                f"{errors.held:.0%}",
                f"{errors.width:.0%}",
            ]
            for name, errors in rows.items()
        ],
        [
            Goal(
                "Better than both over all kinds",
                f"{overall.forecast:.1%}, {overall.run_rate:.1%}, {overall.seven_days:.1%}",
                overall.forecast < min(overall.run_rate, overall.seven_days),
            ),
            Goal(
                f"On no kind more than {WORST:.2f} times the error of the better",
                f"{found[worst].against:.2f} ({worst.partition(':')[0]})",
                found[worst].against <= WORST,
            ),
            Goal(
                f"The interval of 80 % holds {least:.0%} to {most:.0%} of the time",
                f"{overall.held:.0%}",
                least <= overall.held <= most,
            ),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
