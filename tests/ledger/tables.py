"""Tables of answers, and of the windows that are right after each of them.

Each row is a poll that gets a new answer:

    time (month-day time)  daily  monthly  period | day  month

The time is the true one. Figures and the period are as the service reports them. `-` is a
missing figure. `down` at the start means that Home Assistant was not running until then.
`clock=` at the end is the time of a wrong clock. Between two rows, there are polls every
ten minutes that get the same answer.

After the bar are the first days of the right windows. If a window does not begin at the
midnight of its first day, `@` and its `last_reset` follow. `?` is a held figure.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
import json

from custom_components.alibaba_cloud.ledger import (
    Answer,
    Periods,
    midnight,
    with_answer,
)
from custom_components.alibaba_cloud.ledger.windows import Window

from .common import at, billing_period

POLL = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table."""

    time: datetime
    answer: Answer
    expected: str
    clock: datetime
    was_down: bool


def amount(text: str) -> Decimal | None:
    """Return a figure if there is one."""
    return None if text == "-" else Decimal(text)


def rows(table: str) -> Iterator[Row]:
    """Yield the rows of a table."""
    for text in table.strip().splitlines():
        line, _, clock = text.partition("clock=")
        poll, _, expected = line.partition("|")
        day, hour, daily, monthly, period = poll.replace("down", "").split()
        time = at(f"{day} {hour}")
        yield Row(
            time=time,
            answer=Answer(
                daily=amount(daily),
                monthly=amount(monthly),
                period=billing_period(period),
            ),
            expected=" ".join(expected.split()),
            clock=at(clock.strip()) if clock else time,
            was_down="down" in poll,
        )


def described(window: Window | None, *, held: bool) -> str:
    """Return a window in the form of the tables."""
    if held:
        return "?"
    if window is None:
        return "-"
    if window.since == midnight(window.start):
        return f"{window.start:%m-%d}"
    return f"{window.start:%m-%d}@{window.since:%m-%dT%H:%M}"


class Follower:
    """Follows the figures, and sums them up as Home Assistant does."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self.periods = Periods()
        self.sums: dict[str, dict[datetime, Decimal]] = {"daily": {}, "monthly": {}}
        self._last: Row | None = None

    def poll(self, row: Row) -> str:
        """Poll until the time of a row, and return the windows after its answer."""
        elapsed = None
        if self._last is not None and not row.was_down:
            elapsed = self._poll_until(row.time, self._last)
        self._last = row
        self._read(row.time, row.clock, row.answer, elapsed)
        day, month = self.periods.daily, self.periods.monthly
        return (
            f"{described(day, held=self.periods.daily_is_held)} "
            f"{described(month, held=self.periods.monthly_is_held)}"
        )

    def _poll_until(self, end: datetime, last: Row) -> timedelta:
        """Get the last answer until a time, and return what is left of the interval."""
        time = last.time + POLL
        while time < end:
            self._read(time, last.clock + (time - last.time), last.answer, POLL)
            time += POLL
        return end - (time - POLL)

    def _read(
        self, time: datetime, clock: datetime, answer: Answer, elapsed: timedelta | None
    ) -> None:
        """Read an answer, and check what always holds."""
        before = self.periods
        self.periods = with_answer(
            before, answer, currency="USD", now=clock, elapsed=elapsed
        )
        check_stored(self.periods)
        for key in self.sums:
            window: Window | None = getattr(self.periods, key)
            last_window: Window | None = getattr(before, key)
            figure = getattr(answer, key)
            if window is None:
                continue
            assert window.since <= time
            assert last_window is None or last_window.since <= window.since
            if figure is not None and not getattr(self.periods, f"{key}_is_held"):
                assert window.amount == figure
                self.sums[key][window.since] = figure

    def total(self, key: str) -> Decimal:
        """Return the long-term sum of a figure in Home Assistant."""
        return sum(self.sums[key].values(), Decimal())


def check_stored(periods: Periods) -> None:
    """Check that periods are the same after a restart, except for what is held."""
    read = Periods.from_dict(json.loads(json.dumps(periods.as_dict())))
    assert read.as_dict() == periods.as_dict()


def check(table: str) -> Follower:
    """Follow the answers of a table, and check the windows after each row."""
    follower = Follower()
    found, expected = [], []
    for row in rows(table):
        time = f"{row.time:%m-%d %H:%M:%S}"
        found.append((time, follower.poll(row)))
        expected.append((time, row.expected))
    assert found == expected
    return follower
