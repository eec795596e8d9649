"""Simulated years of spend, of several kinds. Needs nothing but Python."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate
from random import Random

DAYS = [date(2026, 1, 1) + number * timedelta(days=1) for number in range(365)]
HOURS = (0, 12, 20)
"""Hours of the billing day at which its spend so far is checked, besides at its end."""
CUSTOMARY = 10
"""The spend of a usual day."""
PARTS = ((12, 8, 4), (14, 9, 1), (4, 14, 6), (5, 2, 10))
"""How the spend of a day is split: until noon, until 20:00, and later. One per account."""
WEEKEND = 5

type Kind = Callable[[Random], list[float]]
"""Returns the spend of each day of a year, as a multiple of a usual day."""


def noise(random: Random, spread: float = 0.3) -> float:
    """Return a random factor that is 1 on average."""
    return random.lognormvariate(-spread * spread / 2, spread)


def flat(random: Random) -> list[float]:
    """Nothing but noise."""
    return [noise(random) for _ in DAYS]


def weekly(random: Random) -> list[float]:
    """Less at weekends."""
    week = [noise(random, 0.15) for _ in range(WEEKEND)]
    week += [random.uniform(0.1, 0.4) for _ in range(7 - WEEKEND)]
    return [week[day.weekday()] * noise(random) for day in DAYS]


def weekends(random: Random) -> list[float]:
    """Only at weekends."""
    return [noise(random) * (day.weekday() >= WEEKEND) for day in DAYS]


def growth(random: Random) -> list[float]:
    """60 % more each quarter."""
    return [1.6 ** (number * 4 / 365) * noise(random) for number in range(365)]


def bursts(random: Random) -> list[float]:
    """One day in twenty is ten times as much."""
    return [noise(random) * (10 if random.random() < 0.05 else 1) for _ in DAYS]


def stopped(random: Random) -> list[float]:
    """Nothing for one to five months in the middle of the year."""
    stop = random.randrange(90, 210)
    resumed = stop + random.randrange(30, 150)
    return [noise(random) * (not stop <= number < resumed) for number in range(365)]


def refunds(random: Random) -> list[float]:
    """Three days in a hundred give back what two to ten cost."""
    return [
        -random.uniform(2, 10) if random.random() < 0.03 else noise(random)
        for _ in DAYS
    ]


def steps(random: Random) -> list[float]:
    """Every 75 days or so, another level from that day on: 0.3 to 3 times as much."""
    level, year = 1.0, []
    for _ in DAYS:
        if random.random() < 1 / 75:
            level *= random.choice((0.3, 0.5, 2, 3))
        year.append(level * noise(random))
    return year


def drift(random: Random) -> list[float]:
    """Less at weekends, of a level that wanders by 5 % a day."""
    level, year = 1.0, []
    for day in DAYS:
        level *= random.lognormvariate(0, 0.05)
        year.append(level * noise(random) * (0.4 if day.weekday() >= WEEKEND else 1))
    return year


def seldom(random: Random) -> list[float]:
    """Four days in five cost nothing."""
    return [noise(random, 0.8) * (random.random() < 0.2) for _ in DAYS]


KINDS: tuple[Kind, ...] = (
    flat,
    weekly,
    weekends,
    growth,
    bursts,
    stopped,
    refunds,
    steps,
    drift,
    seldom,
)


@dataclass(frozen=True, slots=True)
class Year:
    """A year of an account."""

    amounts: list[Decimal]
    """The spend of each day."""
    shares: list[list[float]]
    """For each day, the share of its spend until each of `HOURS` and until its end."""
    hourly: list[list[float]]
    """For each day, the share of its spend until the end of each of its 24 hours."""


def make_year(kind: Kind, number: int) -> Year:
    """Return a year of a kind. The same number returns the same year."""
    random = Random(f"{kind.__name__} {number}")
    amounts = [Decimal(f"{CUSTOMARY * amount:.2f}") for amount in kind(random)]
    usual = random.choice(PARTS)
    shares = []
    for _ in DAYS:
        # Each day varies at random around the usual split of the account.
        parts = [random.gammavariate(part / 4, 1) for part in usual]
        shares.append([part / sum(parts) for part in accumulate(parts, initial=0)])
    return Year(
        amounts, shares, _by_hour(shares, Random(f"{kind.__name__} {number}, hours"))
    )


def _by_hour(shares: list[list[float]], random: Random) -> list[list[float]]:
    """Return shares of days by hour, for their shares until each of `HOURS`.

    Each hour of a day varies at random around that hour's usual share of the account.
    """
    usual = [random.gammavariate(2, 1) for _ in range(24)]
    days = []
    for until in shares:
        day: list[float] = []
        for first, end, before, after in zip(
            HOURS, (*HOURS[1:], 24), until, until[1:], strict=False
        ):
            parts = [
                random.gammavariate(usual[hour] / 2, 1) for hour in range(first, end)
            ]
            day += [
                before + (after - before) * part / sum(parts)
                for part in accumulate(parts)
            ]
        days.append(day)
    return days
