"""A model of the truth: what is spent, what the service says of it, and who looks when.

It knows nothing of the rules under test. A history has billing periods of any length, a
service whose day, month and reported period each change at a time of their own, and a
Home Assistant that polls, is down, restarts, and has a clock that may be wrong.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

from hypothesis import strategies as st

ZONE = timezone(timedelta(hours=8))
FIRST_DAY = date(2026, 8, 10)
STEP = 30
"""Minutes from one poll to the next."""
DAY = 24 * 60
FIRST_POLL = 7 * 60
QUIET = 30 * 60
"""Minutes at the end of a history in which nothing is spent, and the service catches up."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something spent, or given back, at a minute of the history."""

    at: int
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class Delay:
    """By how much a figure of the service changes late, in minutes (early: below 0)."""

    minutes: int
    frozen: bool
    """Whether the figure stands still meanwhile; else it goes on, and the rest is new."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What an answer says, and which day and period each figure is truly of."""

    daily: Decimal | None
    monthly: Decimal | None
    start: date | None
    end: date | None
    day: date
    month: date


@dataclass(frozen=True, kw_only=True)
class Poll:
    """One look at the service."""

    minute: int
    time: datetime
    clock: datetime
    """What the machine's clock says."""
    elapsed: timedelta | None
    """Since the poll before that was answered, None after a restart."""
    said: Said | None
    """None while the service cannot be read."""
    killed: bool
    """Whether Home Assistant was killed before this one."""


@dataclass(frozen=True, kw_only=True)
class History:
    """All that happens."""

    lengths: tuple[int, ...]
    """Of the billing periods, in days."""
    reported: bool
    """Whether the service reports billing periods at all."""
    exclusive: bool
    """Whether a period's end is the first day of the next."""
    day_delay: Delay
    month_delay: Delay
    period_delay: int
    days: int
    events: tuple[Event, ...]
    outages: tuple[tuple[int, int], ...] = ()
    """Minutes from which to which nothing is answered."""
    restarts: tuple[int, ...] = ()
    kills: tuple[int, ...] = ()
    missing: frozenset[tuple[int, str]] = frozenset()
    """Numbers of polls and the field that each lacks."""
    wrong_clock: tuple[int, int, int] | None = None
    """Minutes from which to which the clock is off, and by how many."""
    _starts: list[date] = field(default_factory=list, compare=False, repr=False)
    _placed: list[tuple[Event, date, date]] = field(
        default_factory=list, compare=False, repr=False
    )
    """Each event with the day and the period whose figures it is in."""

    def __post_init__(self) -> None:
        """Lay out the periods, and place the events in them."""
        start = FIRST_DAY
        for length in (*self.lengths, *[30] * 5):
            self._starts.append(start)
            start += timedelta(days=length)
        self._placed.extend(
            (event, self.day_of(event), self.month_of(event)) for event in self.events
        )

    def period_of(self, day: date) -> date:
        """Return the first day of the period that a day is in."""
        return self._starts[bisect_right(self._starts, day) - 1]

    def _label(self, delay: int, minute: int) -> date:
        """Return the day that the service reckons with, at a minute."""
        return FIRST_DAY + timedelta(days=(minute - delay) // DAY)

    def say(self, minute: int, number: int) -> Said:
        """Return the answer of a minute."""
        # Before its first change, a figure is of the first day.
        day = max(FIRST_DAY, self._label(self.day_delay.minutes, minute))
        month = self.period_of(
            max(FIRST_DAY, self._label(self.month_delay.minutes, minute))
        )
        period = self.period_of(max(FIRST_DAY, self._label(self.period_delay, minute)))
        seen = [placed for placed in self._placed if placed[0].at <= minute]
        daily = sum((event.amount for event, of, _ in seen if of == day), Decimal())
        monthly = sum((event.amount for event, _, of in seen if of == month), Decimal())
        following = self._starts[self._starts.index(period) + 1]
        end = following if self.exclusive else following - timedelta(days=1)
        no_period = not self.reported or (number, "period") in self.missing
        return Said(
            daily=None if (number, "daily") in self.missing else daily,
            monthly=None if (number, "monthly") in self.missing else monthly,
            start=None if no_period else period,
            end=None if no_period else end,
            day=day,
            month=month,
        )

    def day_of(self, event: Event) -> date:
        """Return the day whose figure an event is in."""
        delay = self.day_delay
        minutes = 0 if delay.frozen and delay.minutes > 0 else delay.minutes
        return max(FIRST_DAY, self._label(minutes, event.at))

    def month_of(self, event: Event) -> date:
        """Return the period whose figure an event is in."""
        delay = self.month_delay
        minutes = 0 if delay.frozen and delay.minutes > 0 else delay.minutes
        return self.period_of(max(FIRST_DAY, self._label(minutes, event.at)))

    @property
    def minutes(self) -> int:
        """How long it lasts."""
        return self.days * DAY + QUIET

    def changes(self, *, months: bool = False) -> list[int]:
        """Return the minutes at which the service starts a figure, or a month's, again."""
        found = []
        for number in range(1, self.days + 4):
            if not months:
                found.append(number * DAY + self.day_delay.minutes)
                # What is spent after midnight is not in the figure that stands still.
                if self.day_delay.frozen and self.day_delay.minutes > 0:
                    found.append(number * DAY)
            if FIRST_DAY + timedelta(days=number) in self._starts:
                found.append(number * DAY + self.month_delay.minutes)
        return sorted(found)

    def polls(self) -> Iterator[Poll]:
        """Yield each poll."""
        before: int | None = None
        events_at = {*self.restarts, *self.kills}
        for number, minute in enumerate(range(FIRST_POLL, self.minutes, STEP)):
            ended = any(minute - STEP < at <= minute for at in events_at)
            killed = any(minute - STEP < at <= minute for at in self.kills)
            if ended:
                before = None
            out = any(start <= minute < end for start, end in self.outages)
            offset = 0
            if self.wrong_clock and self.wrong_clock[0] <= minute < self.wrong_clock[1]:
                offset = self.wrong_clock[2]
            true = datetime.combine(FIRST_DAY, datetime.min.time(), ZONE) + timedelta(
                minutes=minute
            )
            yield Poll(
                minute=minute,
                time=true,
                clock=true + timedelta(minutes=offset),
                elapsed=None if before is None else timedelta(minutes=minute - before),
                said=None if out else self.say(minute, number),
                killed=killed,
            )
            if not out:
                before = minute


# Histories at random


def _amount(cents: int, number: int) -> Decimal:
    """Return an amount that no sum of others equals by chance."""
    return Decimal(cents) / 100 + Decimal(1).scaleb(-3 - number)


def delays() -> st.SearchStrategy[Delay]:
    """Return delays from an hour early to a day late."""
    return st.builds(
        Delay,
        minutes=st.sampled_from([0, 5, -5, -60, 60, 120, 1439])
        | st.integers(-60, 24 * 60),
        frozen=st.booleans(),
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Return a history that can be told apart from every other one by its answers.

    Left out is what cannot be told:
    - anything spent between two regular answers between which a figure started again
      (half an hour here, 30 seconds in truth);
    - refunds on the first day, in an outage that began on it or in which a figure started
      again, and where no period of at least five days is reported (`test_periods.py` has
      those that can);
    - anything spent in an outage in which the month started again, in the same case;
    - a start with a clock that is ahead;
    - a period that costs nothing but on its last day, and one of less than five days that
      is not reported.
    """
    days = draw(st.integers(1, 6))
    lengths = tuple(draw(st.lists(st.integers(1, 8) | st.integers(1, 45), max_size=7)))
    reported = draw(st.booleans()) or draw(st.booleans())
    if not reported:
        lengths = tuple(max(5, length) for length in lengths)
    day_delay, month_delay = draw(delays()), draw(delays())
    blank = History(
        lengths=lengths,
        reported=reported,
        exclusive=draw(st.booleans()),
        day_delay=day_delay,
        month_delay=month_delay,
        period_delay=draw(delays()).minutes,
        days=days,
        events=(),
    )
    last = days * DAY
    changes, months = blank.changes(), blank.changes(months=True)
    outages = tuple(
        (start, start + length)
        for start, length in draw(
            st.lists(
                st.tuples(st.integers(10 * 60, last), st.integers(30, 3 * DAY)),
                max_size=2,
            )
        )
    )
    events: list[Event] = []
    for number, (at, cents) in enumerate(
        sorted(
            draw(
                st.lists(
                    st.tuples(
                        st.integers(0, last),
                        st.integers(1, 5_000) | st.integers(-5_000, 5_000),
                    ),
                    max_size=25,
                    unique_by=lambda event: event[0],
                )
            )
        )
    ):
        tells = blank.reported and min(lengths, default=30) > 4
        if _unclear(at, changes, ()) or (not tells and _unclear(at, months, outages)):
            continue
        event = Event(at=at, amount=_amount(cents, number))
        following = FIRST_DAY + timedelta(days=at // DAY + 1)
        month = blank.month_of(event)
        if blank.period_of(following) != month and not any(
            blank.month_of(e) == month for e in events
        ):
            continue
        on_first_day = at < FIRST_POLL + DAY or any(
            start < FIRST_POLL + DAY and at <= end + 2 * STEP for start, end in outages
        )
        unclear = not tells or on_first_day or _unclear(at, changes, outages)
        if unclear:
            event = replace(event, amount=_amount(abs(cents), number))
        events.append(event)
    restarts = tuple(draw(st.lists(st.integers(10 * 60, last), max_size=2)))
    kills = tuple(draw(st.lists(st.integers(10 * 60, last), max_size=1)))
    polls = blank.minutes // STEP
    missing = frozenset(
        draw(
            st.lists(
                st.tuples(
                    st.integers(0, polls),
                    st.sampled_from(["daily", "monthly", "period"]),
                ),
                max_size=4,
            )
        )
    )
    wrong = None
    if draw(st.booleans()):
        at = draw(st.integers(12 * 60, last))
        if draw(st.booleans()):
            # Ahead for a while; a start in it looks like one after a long time.
            wrong = (
                at,
                at + draw(st.integers(STEP, 8 * 60)),
                draw(st.integers(5, 5 * DAY)),
            )
            restarts, kills = (
                tuple(t for t in times if t > wrong[1] + STEP)
                for times in (restarts, kills)
            )
        else:
            # Behind, after a restart.
            restarts = (*restarts, at)
            wrong = (
                at,
                at + draw(st.integers(STEP, 8 * 60)),
                -draw(st.integers(5, 5 * DAY)),
            )
    return History(
        lengths=lengths,
        reported=blank.reported,
        exclusive=blank.exclusive,
        day_delay=day_delay,
        month_delay=month_delay,
        period_delay=blank.period_delay,
        days=days,
        events=tuple(events),
        outages=outages,
        restarts=restarts,
        kills=kills,
        missing=missing,
        wrong_clock=wrong,
    )


def _unclear(at: int, changes: list[int], outages: tuple[tuple[int, int], ...]) -> bool:
    """Return whether a figure starts again between the answers around a minute."""
    spans = [(at - STEP, at + STEP), *outages]
    return any(
        start - 2 * STEP <= change <= end + 2 * STEP
        for start, end in spans
        if start - 2 * STEP <= at <= end + 2 * STEP
        for change in changes
    )
