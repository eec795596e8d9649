"""Which day and which billing period a spend figure belongs to.

The service reports what was spent "today" and "this month". It says neither when it
starts these figures again, nor does it do so at the moment the day or the period begins:
each figure, and the billing period it reports, may change up to an hour early and up to
a day late. Corrections and refunds make figures fall as well.

The rules, argued for in `docs/periods.md`:

1. The figures say whether one started again. The month's figure less the day's is what
   the period cost before today. It stays the same while both figures go on, grows by the
   old day's figure when the day starts again, and falls to nothing when the month does.
2. The clock and the reported billing period say only when that is possible, and what the
   new day or period is called.
3. What cannot be told yet is held back: the figure is unknown until an answer tells.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final, Self

from ..model_studio.models import BillingPeriod
from . import stored

BILLING_TIME_ZONE: Final = timezone(timedelta(hours=8))
"""The zone in which the service's billing days begin."""
EARLY: Final = timedelta(hours=1)
"""How long before its time a figure may start again."""
LATE: Final = timedelta(days=1)
"""How long after its time a figure may start again, or the clock may be doubted."""
_STEP: Final = timedelta(minutes=1)
"""A clock that is off by more than this from one answer to the next was changed."""
_UNSEEN: Final = timedelta(days=31)
"""The longest time for which Home Assistant is taken to have been down unnoticed, where
its clock says that no time has passed at all."""
_DAY: Final = timedelta(days=1)
_ZERO: Final = Decimal()


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The day or the billing period that a figure is of, and its last amount."""

    amount: Decimal
    since: datetime
    """When the figure started, as its `last_reset` says. Never changes."""
    start: date
    """The first day, as far as it is known; it may be corrected later."""
    earliest: date
    """The first day cannot be before this one."""
    latest: date
    """The first day cannot be after this one."""

    def as_dict(self) -> dict[str, Any]:
        """Return the window for JSON."""
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
        known = stored.mapping(value)
        return cls(
            amount=stored.amount(known["amount"]),
            since=stored.moment(known["since"]),
            start=stored.day(known["start"]),
            earliest=stored.day(known["earliest"]),
            latest=stored.day(known["latest"]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The figures of one answer. None is a figure that the answer lacks."""

    daily: Decimal | None = None
    monthly: Decimal | None = None
    period: BillingPeriod = field(default=BillingPeriod())


@dataclass(frozen=True, kw_only=True, slots=True)
class Periods:
    """What is known about the current day and billing period of an account."""

    currency: str = ""
    time: datetime | None = None
    """When the figures were last seen, by the clock that was believed."""
    doubted_since: datetime | None = None
    """Since when the machine's clock disagrees with `time`, None if it agrees."""
    settled: datetime | None = None
    """When it was last clear which windows the figures are of."""
    daily: Window | None = None
    monthly: Window | None = None
    daily_is_held: bool = False
    """Whether the last daily figure may be of another day than `daily`."""
    monthly_is_held: bool = False
    """Whether the last monthly figure may be of another period than `monthly`."""
    before_today: Decimal | None = None
    """The period's spend before the current day, as last seen."""
    before_day: Decimal | None = None
    """The same when the day's window began."""
    yesterday: Decimal = _ZERO
    """What the day before the current one came to."""
    period: BillingPeriod = field(default=BillingPeriod())
    """The billing period as last reported."""
    end_is_exclusive: bool | None = None
    """Whether periods end on the first day of the next; None until two were seen."""

    def as_dict(self) -> dict[str, Any]:
        """Return what is known for JSON."""
        return {
            "currency": self.currency,
            "time": self.time and self.time.isoformat(),
            "doubted_since": self.doubted_since and self.doubted_since.isoformat(),
            "settled": self.settled and self.settled.isoformat(),
            "daily": self.daily and self.daily.as_dict(),
            "monthly": self.monthly and self.monthly.as_dict(),
            "before_today": _text(self.before_today),
            "before_day": _text(self.before_day),
            "yesterday": str(self.yesterday),
            "period_start": self.period.start and self.period.start.isoformat(),
            "period_end": self.period.end and self.period.end.isoformat(),
            "end_is_exclusive": self.end_is_exclusive,
        }

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Return what `as_dict` wrote. Raises `ValueError` for anything else."""
        known = stored.mapping(value)
        try:
            return cls(
                currency=stored.text(known["currency"]),
                time=stored.optional(known["time"], stored.moment),
                doubted_since=stored.optional(known["doubted_since"], stored.moment),
                settled=stored.optional(known["settled"], stored.moment),
                daily=stored.optional(known["daily"], Window.from_dict),
                monthly=stored.optional(known["monthly"], Window.from_dict),
                before_today=stored.optional(known["before_today"], stored.amount),
                before_day=stored.optional(known["before_day"], stored.amount),
                yesterday=stored.amount(known["yesterday"]),
                period=BillingPeriod(
                    start=stored.optional(known["period_start"], stored.day),
                    end=stored.optional(known["period_end"], stored.day),
                ),
                end_is_exclusive=stored.optional(
                    known["end_is_exclusive"], stored.flag
                ),
            )
        except KeyError as err:
            raise ValueError("A part of the periods is missing") from err

    @property
    def last_day(self) -> date | None:
        """The last day of the reported period, None if none or another is current."""
        start, end = self.period.start, self.period.end
        if end is None or start is None or self.monthly is None:
            return None
        if start != self.monthly.start:
            return None
        return end - _DAY if self.ends_exclusively else end

    @property
    def ends_exclusively(self) -> bool:
        """Whether the reported period's end is the first day of the next period.

        Until two periods in a row have shown it, a period that ends on the day of the
        month on which it began is taken for whole months, which end the day before.
        """
        if self.end_is_exclusive is not None:
            return self.end_is_exclusive
        start, end = self.period.start, self.period.end
        return bool(start and end and start.day == end.day and start != end)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Times:
    """When an answer was given, as far as the clock can be trusted."""

    earliest: datetime
    latest: datetime
    likely: datetime
    """The time by which a new day or period is named."""
    gap: bool
    """Whether the figures were not seen for so long that anything may have been spent."""


def _text(amount: Decimal | None) -> str | None:
    """Return an amount for JSON."""
    return None if amount is None else str(amount)


def midnight(day: date) -> datetime:
    """Return when a billing day begins."""
    return datetime.combine(day, time.min, BILLING_TIME_ZONE)


def billing_day(when: datetime) -> date:
    """Return the billing day that a time is in."""
    return when.astimezone(BILLING_TIME_ZONE).date()


def follow(
    known: Periods,
    answer: Answer,
    *,
    currency: str,
    now: datetime,
    elapsed: timedelta | None,
) -> Periods:
    """Return what is known once an answer was read.

    `now` is the machine's clock, which may be wrong. `elapsed` is how long ago the
    answer before was read in this run, by a clock that nobody sets; None for the first
    answer of a run.
    """
    now = now.astimezone(BILLING_TIME_ZONE)
    if currency != known.currency:
        known = Periods(currency=currency)
    known, times = _read_clock(known, now, elapsed)
    known = _take_period(known, answer.period, times)
    day_rolled, month_rolled = _what_started_again(known, answer, times)
    day, month = known.daily, known.monthly
    yesterday = known.yesterday
    before_today, before_day = known.before_today, known.before_day
    if answer.daily is not None and day_rolled is not None:
        following = _follow_day(day, answer.daily, times, rolled=day_rolled)
        if day and following.since != day.since:
            yesterday = day.amount
            if before_today is not None:
                before_today += day.amount
                before_day = before_today
        day = following
    if answer.monthly is not None and month_rolled is not None:
        month = _follow_month(known, answer.monthly, times, rolled=month_rolled)
        if month_rolled:
            before_today = before_day = None
    if not (answer.daily is None or answer.monthly is None):
        before_today = answer.monthly - answer.daily
        # A day on which nothing was spent may have ended unseen.
        is_new = day_rolled or month_rolled or not (known.daily and known.daily.amount)
        if before_day is None or is_new:
            before_day = before_today
    return replace(
        known,
        settled=known.settled if None in (day_rolled, month_rolled) else known.time,
        daily=day,
        monthly=month,
        daily_is_held=day_rolled is None,
        monthly_is_held=month_rolled is None,
        before_today=before_today,
        before_day=before_day,
        yesterday=yesterday,
    )


def _read_clock(
    known: Periods, now: datetime, elapsed: timedelta | None
) -> tuple[Periods, _Times]:
    """Return when the answer was given, and what is known with that time.

    Between two answers of a run, the clock that nobody sets tells how much time has
    passed. Where the machine's clock says otherwise, either was or is wrong: both are
    possible until they agree again, or for a day.
    """
    if (before := known.time) is None:
        times = _Times(earliest=now, latest=now, likely=now, gap=False)
        return replace(known, time=now, settled=now), times
    expected = before + (elapsed or timedelta())
    doubted_since = None
    believed = now
    if abs(now - expected) > _STEP and (elapsed is not None or now < before):
        doubted_since = known.doubted_since or before
        if expected - doubted_since <= LATE:
            believed = expected
        else:
            doubted_since = None
    times = _Times(
        earliest=min(now, expected) if doubted_since or elapsed is None else now,
        latest=expected + _UNSEEN if doubted_since and now < expected else now,
        likely=min(now, expected) if doubted_since else now,
        gap=believed - (known.settled or before) > EARLY
        or (elapsed is None and now < before),
    )
    return replace(known, time=believed, doubted_since=doubted_since), times


def _take_period(known: Periods, period: BillingPeriod, times: _Times) -> Periods:
    """Return what is known with the billing period that an answer reports."""
    before = known.period
    if period.start is None or period == before:
        return known
    exclusive = known.end_is_exclusive
    if before.end and before.start != period.start:
        if period.start in (before.end, before.end + _DAY):
            exclusive = period.start == before.end
    known = replace(known, period=period, end_is_exclusive=exclusive)
    month = known.monthly
    if month is None:
        return known
    if month.earliest <= period.start <= month.latest:
        # The figure started again before the period was reported; one of nothing did so
        # unseen, and begins only now.
        if not month.amount and period.start > month.start:
            month = replace(month, since=_since(month, period.start, times))
        month = replace(month, start=period.start, latest=period.start)
    elif before.start is None:
        # The start was a guess, while no period was reported.
        month = replace(
            month,
            start=period.start,
            earliest=_earliest_start(period.start, times),
            latest=period.start,
        )
    return replace(known, monthly=month)


def _earliest_start(start: date, times: _Times) -> date:
    """Return the first day that a figure seen now may be of, if a period began.

    For a day, it may still be that of the period before.
    """
    return start - _DAY if times.earliest < midnight(start) + LATE else start


def _possible_starts(known: Periods, window: Window, times: _Times) -> list[date]:
    """Return the days after the window's first on which a period may have begun.

    A period that is over, or has no end, says nothing about those after it: they may
    begin on any day.
    """
    start, end = known.period.start, known.period.end
    if start and end and times.earliest <= midnight(end + _DAY) + LATE:
        days = {start, end, end + _DAY}
    else:
        days = _recent_days(times) | ({start} if start else set())
    return sorted(
        day
        for day in days
        if day > window.earliest and midnight(day) - EARLY <= times.latest
    )


def _recent_days(times: _Times) -> set[date]:
    """Return the days that a figure which has just started again may be of."""
    first = billing_day(times.earliest - LATE)
    last = billing_day(times.latest + EARLY)
    return {first + n * _DAY for n in range((last - first).days + 1)}


type _Rolled = tuple[bool | None, bool | None]
"""Whether the day's and the month's figure started again; None where that is not clear."""


def _what_started_again(known: Periods, answer: Answer, times: _Times) -> _Rolled:
    """Return which figures of an answer started again.

    A figure that stayed the same did not, but for a day's over a gap in which more was
    spent; and one of nothing starts again unseen.
    """
    day, month = known.daily, known.monthly
    more = times.gap and month and answer.monthly not in (None, month.amount)
    day_can = bool(
        day
        and day.amount
        and answer.daily is not None
        and (answer.daily != day.amount or more)
        and midnight(day.earliest + _DAY) - EARLY <= times.latest
    )
    month_can = bool(
        month
        and month.amount
        and answer.monthly not in (None, month.amount)
        and _possible_starts(known, month, times)
    )
    if not (day_can or month_can):
        return False, False
    if not (
        day is None
        or month is None
        or answer.daily is None
        or answer.monthly is None
        or known.before_today is None
    ):
        return _by_both(known, answer, times, day_can=day_can, month_can=month_can)
    day_rolled: bool | None = False
    month_rolled: bool | None = False
    if day and day_can and answer.daily is not None:
        overdue = times.earliest >= midnight(day.latest + _DAY) + LATE
        day_rolled = _by_one(day.amount, answer.daily, times.gap, overdue)
        if day_rolled and known.before_today is not None and not overdue:
            day_rolled = None
    if month and month_can and answer.monthly is not None:
        overdue = _is_month_overdue(known, month, times.earliest)
        month_rolled = _by_one(month.amount, answer.monthly, False, overdue)
        if month_rolled and known.before_today is not None and not overdue:
            month_rolled = None
    return day_rolled, month_rolled


def _by_one(old: Decimal, new: Decimal, gap: bool, overdue: bool) -> bool:
    """Return whether a figure started again, where there is no other to compare with.

    It did if that is the smaller change: from nothing to the new amount rather than from
    the old amount. After a gap any fall will do, and after the longest delay any change.
    """
    if overdue:
        return new != old
    return abs(new) < abs(new - old) or (gap and new < old)


def _has_new_period(known: Periods, month: Window) -> bool:
    """Return whether a period is reported that is later than the month's figure."""
    return known.period.start is not None and known.period.start > month.latest


def _is_month_overdue(known: Periods, month: Window, now: datetime) -> bool:
    """Return whether a new period began, and the month should have started by now."""
    start = known.period.start
    return bool(
        start and _has_new_period(known, month) and now >= midnight(start) + LATE
    )


def _by_both(
    known: Periods, answer: Answer, times: _Times, *, day_can: bool, month_can: bool
) -> tuple[bool, bool]:
    """Return which figures started again, by what the period cost before today.

    Each possibility predicts that amount. One that is exact is right, else the one that
    is off by least. While answers come regularly, a possibility is the less likely the
    more must have been spent since the last one.
    """
    day, month, before_today = known.daily, known.monthly, known.before_today
    assert day and month and before_today is not None
    assert answer.daily is not None and answer.monthly is not None
    daily, monthly = answer.daily, answer.monthly
    before_now = monthly - daily
    before_day = before_today if known.before_day is None else known.before_day
    # What the period may have cost before today, by whether the day and the month
    # started again. A month that starts late starts at nothing, or with what was spent
    # meanwhile.
    possible = {(False, False): {before_today, before_day}}
    if day_can:
        possible[True, False] = {before_today + day.amount, before_day + day.amount}
    if month_can:
        possible[False, True] = {-day.amount, _ZERO, known.yesterday}
    if day_can and month_can:
        possible[True, True] = {_ZERO, day.amount}
    if before_now == before_today:
        # Both changed by the same amount: none started again, or both did, at the first
        # midnight after the first day of a period.
        possible = {rolled: p for rolled, p in possible.items() if len({*rolled}) == 1}
        is_new = _has_new_period(known, month)
        if not is_new and midnight(day.start + _DAY) - EARLY > times.latest:
            return False, False
    if not any(before_now in expected for expected in possible.values()):
        # Once the longest delay is over, it is another day or period.
        limit = times.latest if times.gap else times.earliest
        if day_can and limit >= midnight(day.latest + _DAY) + LATE:
            possible = {rolled: p for rolled, p in possible.items() if rolled[0]}
        if month_can and _is_month_overdue(known, month, limit):
            possible = {rolled: p for rolled, p in possible.items() if rolled[1]}

    def off(rolled: tuple[bool, bool]) -> tuple[bool, bool, Decimal, int]:
        today = daily if rolled[0] else daily - day.amount
        this_month = monthly if rolled[1] else monthly - month.amount
        errors = [before_now - value for value in possible[rolled]]
        if not times.gap:
            error = min(map(abs, errors))
            return error > 0, False, error + abs(today) + abs(this_month), sum(rolled)
        # Unseen spending only adds up. Whatever fell is rather another day.
        refunded, error = min((error < 0, abs(error)) for error in errors)
        refunded |= min(today, this_month) < 0
        return error > 0, refunded, error, sum(rolled)

    def unlikely(rolled: tuple[bool, bool]) -> tuple[bool, Decimal, bool, int]:
        is_off, refunded, error, changes = off(rolled)
        return is_off, error, refunded, changes

    # A refund does not make another period likelier than another day.
    by_month = [
        min(likely, key=off)
        for month_rolled in (False, True)
        if (likely := [rolled for rolled in possible if rolled[1] is month_rolled])
    ]
    return min(by_month, key=unlikely)


def _follow_day(
    day: Window | None, amount: Decimal, times: _Times, *, rolled: bool
) -> Window:
    """Return the window of a daily figure."""
    today = billing_day(times.likely)
    first, last = billing_day(times.earliest - LATE), billing_day(times.latest + EARLY)
    if day is None:
        return Window(
            amount=amount,
            since=min(midnight(today), times.likely),
            start=today,
            earliest=first,
            latest=last,
        )
    if rolled:
        first = max(first, day.earliest + _DAY)
        # A day that begins early is the next one already.
        start = max(first, min(max(today, day.start + _DAY), last), day.start)
        return Window(
            amount=amount,
            since=_since(day, start, times),
            start=start,
            earliest=first,
            latest=max(last, start),
        )
    if not day.amount and today > day.start:
        # A day on which nothing was spent ends unseen: it follows the clock.
        day = replace(
            day, start=today, since=_since(day, today, times), latest=max(last, today)
        )
    return replace(
        day, amount=amount, earliest=max(day.earliest, min(first, day.latest))
    )


def _follow_month(
    known: Periods, amount: Decimal, times: _Times, *, rolled: bool
) -> Window:
    """Return the window of a monthly figure."""
    month, reported = known.monthly, known.period.start
    if month is None:
        start = reported or billing_day(times.earliest).replace(day=1)
        return Window(
            amount=amount,
            since=min(midnight(start), times.likely),
            start=start,
            earliest=_earliest_start(start, times),
            latest=start,
        )
    if rolled:
        starts = _possible_starts(known, month, times)
        if not times.gap:
            # One that is not too long ago, if there is any.
            starts = [
                day for day in starts if times.earliest <= midnight(day) + LATE
            ] or starts
        start = _new_start(known, starts, times)
        certain = start == reported
        return Window(
            amount=amount,
            since=_since(month, start, times),
            start=start,
            earliest=start if certain else starts[0],
            latest=start if certain else starts[-1],
        )
    if not month.amount and (starts := _possible_starts(known, month, times)):
        # A period in which nothing was spent ends unseen.
        month = replace(month, latest=max(month.latest, starts[-1]))
        if reported in starts and reported > month.start:
            month = replace(month, start=reported, since=_since(month, reported, times))
    if month.start == reported and month.earliest < reported:
        earliest = _earliest_start(reported, times)
        month = replace(month, earliest=max(month.earliest, earliest))
    return replace(month, amount=amount)


def _new_start(known: Periods, starts: list[date], times: _Times) -> date:
    """Return the first day of the period that has begun, out of those possible."""
    start, end = known.period.start, known.period.end
    preferred = [start]
    if end:
        following = end if known.ends_exclusively else end + _DAY
        preferred += [following, end + _DAY, end]
    if times.gap:
        # Without a reported period, it is most likely one of the calendar.
        preferred.append(billing_day(times.likely).replace(day=1))
    preferred += [billing_day(times.likely + EARLY)]
    return next((day for day in preferred if day in starts), starts[-1])


def _since(before: Window, start: date, times: _Times) -> datetime:
    """Return when a window began that follows another one: its first day's midnight.

    It is now, where that is still to come, or began the window before.
    """
    since = min(midnight(start), times.likely)
    if since <= before.since:
        since = times.likely
    # By a clock that is behind, it began before the window before it.
    return max(since, before.since + timedelta(seconds=1))
