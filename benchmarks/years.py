"""Simulated years of spend, of several kinds. Needs nothing but Python."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate, pairwise
from random import Random

DAYS = [date(2026, 1, 1) + number * timedelta(days=1) for number in range(365)]
HOURS = (0, 12, 20)
"""Hours of the billing day at which its parts begin, and forecasts are made."""
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


def label(kind: Kind) -> str:
    """Return the name of a kind, and what it is."""
    return f"{kind.__name__}: {(kind.__doc__ or '').rstrip('.').lower()}"


def make_year(kind: Kind, number: int) -> tuple[list[Decimal], list[list[float]]]:
    """Return the spend of each day of a year, and the shares of it by hour.

    These are, for each day, the shares until the end of each of its 24 hours. The same
    number returns the same year.
    """
    random = Random(f"{kind.__name__} {number}")
    amounts = [Decimal(f"{CUSTOMARY * amount:.2f}") for amount in kind(random)]
    usual_parts = random.choice(PARTS)
    random_hours = Random(f"{kind.__name__} {number}, hours")
    usual_hours = [random_hours.gammavariate(2, 1) for _ in range(24)]
    shares = []
    for _ in DAYS:
        # Each part of a day, and each hour of a part, varies at random around the usual
        # split of the account.
        day: list[float] = []
        for usual, (start, end) in zip(
            usual_parts, pairwise((*HOURS, 24)), strict=True
        ):
            part = random.gammavariate(usual / 4, 1)
            hours = [
                random_hours.gammavariate(hour / 2, 1)
                for hour in usual_hours[start:end]
            ]
            day += [part * hour / sum(hours) for hour in hours]
        shares.append([spent / sum(day) for spent in accumulate(day)])
    return amounts, shares
