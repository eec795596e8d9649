"""Days and billing periods, as the windows that spend figures belong to."""

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final, Self

from ..model_studio.models import BillingPeriod
from . import stored

BILLING_TIME_ZONE: Final = timezone(timedelta(hours=8))
"""The zone in which the service's billing days begin."""
EARLY: Final = timedelta(hours=1)
"""A figure may roll over this long before its day or period ends."""
LATE: Final = timedelta(days=1)
"""A figure may roll over this long after its day or period ended."""
DAY: Final = timedelta(days=1)
ZERO: Final = Decimal()


def midnight(day: date) -> datetime:
    """Return when a billing day begins."""
    return datetime.combine(day, time.min, BILLING_TIME_ZONE)


def billing_day(when: datetime) -> date:
    """Return the billing day that contains a time."""
    return when.astimezone(BILLING_TIME_ZONE).date()


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The day or billing period that a figure belongs to, and its last amount."""

    amount: Decimal
    since: datetime
    """When the figure started, for `last_reset`. It never changes."""
    start: date
    """The likely first day. A later answer may correct it."""
    earliest: date
    """The first day is not before this one."""
    latest: date
    """The first day is not after this one."""

    def as_dict(self) -> dict[str, Any]:
        """Return the window as JSON data."""
        return {
            "amount": str(self.amount),
            "since": self.since.isoformat(),
            "start": self.start.isoformat(),
            "earliest": self.earliest.isoformat(),
            "latest": self.latest.isoformat(),
        }

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Return the window that `as_dict` wrote. Raises `ValueError` or `KeyError`."""
        data = stored.mapping(value)
        return cls(
            amount=stored.amount(data["amount"]),
            since=stored.moment(data["since"]),
            start=stored.day(data["start"]),
            earliest=stored.day(data["earliest"]),
            latest=stored.day(data["latest"]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The figures of one answer. A figure that the answer lacks is None."""

    daily: Decimal | None = None
    monthly: Decimal | None = None
    period: BillingPeriod = field(default=BillingPeriod())


@dataclass(frozen=True, kw_only=True, slots=True)
class Periods:
    """The current day and billing period of an account, as far as they are known."""

    currency: str = ""
    time: datetime | None = None
    """When the last answer was read, by the clock that was trusted."""
    doubted_since: datetime | None = None
    """Since when the machine's clock disagrees with `time`. None if they agree."""
    settled: datetime | None = None
    """When it was last certain which windows both figures belong to."""
    daily: Window | None = None
    monthly: Window | None = None
    daily_is_held: bool = False
    """Whether the last daily figure may belong to another day than `daily`."""
    monthly_is_held: bool = False
    """Whether the last monthly figure may belong to another period than `monthly`."""
    before_today: Decimal | None = None
    """The period's spend before the current day, by the last answer that has both."""
    before_day: tuple[Decimal, ...] = ()
    """The value of `before_today` when the current day began.

    If it began in a gap: the expected value, and the first one after the gap.
    """
    yesterday: Decimal = ZERO
    """The last amount of the day before the current one."""
    period: BillingPeriod = field(default=BillingPeriod())
    """The billing period that was last reported."""
    end_is_exclusive: bool | None = None
    """Whether a period's end is the first day of the next period.

    None until two consecutive periods were reported.
    """

    def as_dict(self) -> dict[str, Any]:
        """Return the periods as JSON data."""
        return {
            "currency": self.currency,
            "time": stored.optional(self.time, datetime.isoformat),
            "doubted_since": stored.optional(self.doubted_since, datetime.isoformat),
            "settled": stored.optional(self.settled, datetime.isoformat),
            "daily": stored.optional(self.daily, Window.as_dict),
            "monthly": stored.optional(self.monthly, Window.as_dict),
            "before_today": stored.optional(self.before_today, str),
            "before_day": [str(amount) for amount in self.before_day],
            "yesterday": str(self.yesterday),
            "period_start": stored.optional(self.period.start, date.isoformat),
            "period_end": stored.optional(self.period.end, date.isoformat),
            "end_is_exclusive": self.end_is_exclusive,
        }

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Return the periods that `as_dict` wrote. Raises `ValueError`."""
        data = stored.mapping(value)
        try:
            return cls(
                currency=stored.text(data["currency"]),
                time=stored.optional(data["time"], stored.moment),
                doubted_since=stored.optional(data["doubted_since"], stored.moment),
                settled=stored.optional(data["settled"], stored.moment),
                daily=stored.optional(data["daily"], Window.from_dict),
                monthly=stored.optional(data["monthly"], Window.from_dict),
                before_today=stored.optional(data["before_today"], stored.amount),
                before_day=tuple(stored.list_of(data["before_day"], stored.amount)),
                yesterday=stored.amount(data["yesterday"]),
                period=BillingPeriod(
                    start=stored.optional(data["period_start"], stored.day),
                    end=stored.optional(data["period_end"], stored.day),
                ),
                end_is_exclusive=stored.optional(data["end_is_exclusive"], stored.flag),
            )
        except KeyError as err:
            raise ValueError("A part of the periods is missing") from err

    @property
    def last_day(self) -> date | None:
        """The last day of the period that `monthly` belongs to.

        None if its end is not reported, or if another period is reported.
        """
        start, end = self.period.start, self.period.end
        if start is None or end is None or self.monthly is None:
            return None
        if start != self.monthly.start:
            return None
        return end - DAY if self.ends_exclusively else end

    @property
    def ends_exclusively(self) -> bool:
        """Whether the reported period's end is the first day of the next period.

        Until two consecutive periods show it, this is a guess: the end is exclusive if a
        period starts and ends on the same day of the month.
        """
        if self.end_is_exclusive is not None:
            return self.end_is_exclusive
        start, end = self.period.start, self.period.end
        if start is None or end is None:
            return False
        return start.day == end.day and start != end


def month_after(day: date, day_of_month: int | None = None) -> date:
    """Return the same day of the next month, or the last day of a shorter month.

    `day_of_month` is the wanted day of the next month, by default that of the given day.
    """
    first = day.replace(day=1) + timedelta(days=monthrange(day.year, day.month)[1])
    wanted = day_of_month or day.day
    return first.replace(day=min(wanted, monthrange(first.year, first.month)[1]))


def cycle_start(periods: Periods, today: date) -> datetime:
    """Return the reported start of the billing cycle, else that of the month.

    If the reported cycle is over, others followed it. Each is a month long.
    """
    if periods.monthly is None or periods.period.start is None:
        return midnight(today.replace(day=1))
    start, last_day = periods.monthly.start, periods.last_day
    following = month_after(start) if last_day is None else last_day + DAY
    # A cycle that begins on the 31st begins earlier in a short month only.
    day = start.day if following == month_after(start) else following.day
    while following <= today:
        start, following = following, month_after(following, day)
    return midnight(start)
