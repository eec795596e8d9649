"""A model of the truth: the spend, the answers of the service, and the polls.

The model does not know the rules under test. A history has billing periods of any
length, and a service whose daily figure, monthly figure and reported period each change
at a time of their own. Its Home Assistant polls, is down, restarts, and has a clock
that may be wrong.
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
"""Minutes between two polls."""
DAY = 24 * 60
FIRST_POLL = 7 * 60
QUIET = 30 * 60
"""Minutes without spend at the end of a history, in which the service catches up."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Spend, or a refund, at a minute of the history."""

    at: int
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class Delay:
    """How late a figure of the service rolls over, in minutes. Negative if early."""

    minutes: int
    frozen: bool
    """Whether a late figure stops at midnight. The new figure has all later spend.

    Otherwise, the old figure has the spend until the rollover.
    """


@dataclass(frozen=True, kw_only=True)
class Said:
    """An answer, and the true day and period of its figures."""

    daily: Decimal | None
    monthly: Decimal | None
    start: date | None
    end: date | None
    day: date
    month: date


@dataclass(frozen=True, kw_only=True)
class Poll:
    """One poll of the service."""

    minute: int
    time: datetime
    clock: datetime
    """The time by the machine's clock."""
    elapsed: timedelta | None
    """The time since the last answered poll. None after a restart."""
    said: Said | None
    """None while the service can't be read."""
    killed: bool
    """Whether Home Assistant was killed since the poll before."""


@dataclass(frozen=True, kw_only=True)
class History:
    """Everything that happens in some days."""

    lengths: tuple[int, ...]
    """The lengths of the billing periods, in days."""
    reported: bool
    """Whether the service reports billing periods at all."""
    exclusive: bool
    """Whether a period's end is the first day of the next period."""
    day_delay: Delay
    month_delay: Delay
    period_delay: int
    days: int
    events: tuple[Event, ...]
    outages: tuple[tuple[int, int], ...] = ()
    """The start and the end of each outage, in minutes."""
    restarts: tuple[int, ...] = ()
    kills: tuple[int, ...] = ()
    missing: frozenset[tuple[int, str]] = frozenset()
    """Numbers of polls, each with a field that the answer lacks."""
    wrong_clock: tuple[int, int, int] | None = None
    """The start, the end and the error of a wrong clock, in minutes."""
    _starts: list[date] = field(default_factory=list, compare=False, repr=False)
    _placed: list[tuple[Event, date, date]] = field(
        default_factory=list, compare=False, repr=False
    )
    """Each event, with the day and the period whose figures include the event."""

    def __post_init__(self) -> None:
        """Compute the starts of the periods, and assign the events to figures."""
        start = FIRST_DAY
        for length in (*self.lengths, *[30] * 5):
            self._starts.append(start)
            start += timedelta(days=length)
        self._placed.extend(
            (event, self.day_of(event), self.month_of(event)) for event in self.events
        )

    def period_of(self, day: date) -> date:
        """Return the first day of the period that contains a day."""
        return self._starts[bisect_right(self._starts, day) - 1]

    def _label(self, delay: int, minute: int) -> date:
        """Return the current day of the service at a minute, with a delay."""
        return FIRST_DAY + timedelta(days=(minute - delay) // DAY)

    def say(self, minute: int, number: int) -> Said:
        """Return the answer to a poll at a minute. `number` is that of the poll."""
        # Before the first rollover, a figure belongs to the first day.
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
        """Return the day whose figure includes an event."""
        delay = self.day_delay
        minutes = 0 if delay.frozen and delay.minutes > 0 else delay.minutes
        return max(FIRST_DAY, self._label(minutes, event.at))

    def month_of(self, event: Event) -> date:
        """Return the period whose figure includes an event."""
        delay = self.month_delay
        minutes = 0 if delay.frozen and delay.minutes > 0 else delay.minutes
        return self.period_of(max(FIRST_DAY, self._label(minutes, event.at)))

    @property
    def minutes(self) -> int:
        """The length of the history, in minutes."""
        return self.days * DAY + QUIET

    def changes(self, *, months: bool = False) -> list[int]:
        """Return the minutes of all rollovers, or of those of the monthly figure."""
        found = []
        for number in range(1, self.days + 4):
            if not months:
                found.append(number * DAY + self.day_delay.minutes)
                # A frozen figure does not include spend after midnight.
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


# Random histories


def _amount(cents: int, number: int) -> Decimal:
    """Return an amount that no sum of other amounts equals by chance."""
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
    """Return a history whose rollovers the answers show.

    Cases that the answers do not show are left out:
    - spend between two regular answers between which a figure rolls over (half an hour
      here, 30 seconds in reality), as it is not little here;
    - spend before and after a midnight in an outage, if the daily figure then shows only
      the first of both, and the monthly one all of it;
    - refunds on the first day, in an outage that begins on the first day, and in an
      outage in which a figure rolls over;
    - refunds, and spend in an outage in which the month rolls over, unless periods of
      at least five days are reported;
    - a restart with a clock that is ahead;
    - a period that costs nothing before its last day;
    - a period of less than five days that is not reported.

    `test_rollover.py` tests the refunds of these cases that the rules do recognize, and
    `test_sums_of_steady_spend` spend at each rollover.
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
    outages = _merged(
        draw(
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
        if day_delay.frozen and _is_frozen_after_outage(
            at, day_delay.minutes, events, outages
        ):
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
            # The clock is ahead for a while. A restart in this time is left out, as it
            # resembles one after a long outage.
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
            # The clock is behind after a restart.
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
    """Return whether a figure rolls over between the answers around a minute."""
    spans = [(at - STEP, at + STEP), *outages]
    return any(
        start - 2 * STEP <= change <= end + 2 * STEP
        for start, end in spans
        if start - 2 * STEP <= at <= end + 2 * STEP
        for change in changes
    )


def _merged(outages: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the starts and ends of outages, given as starts and lengths.

    Outages without a poll between them are one.
    """
    merged: list[tuple[int, int]] = []
    for start, length in sorted(outages):
        end = start + length
        if merged and start < merged[-1][1] + STEP:
            first, last = merged.pop()
            start, end = first, max(last, end)
        merged.append((start, end))
    return tuple(merged)


def _is_frozen_after_outage(
    at: int, delay: int, events: list[Event], outages: tuple[tuple[int, int], ...]
) -> bool:
    """Return whether a new day and the one before it had spend in the same outage.

    After the outage, the daily figure still shows the day before.
    """
    midnight = at // DAY * DAY
    return any(
        start <= midnight <= at <= end + STEP
        and midnight + delay > end
        and any(start - STEP <= event.at < midnight for event in events)
        for start, end in outages
    )
