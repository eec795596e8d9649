"""Tables of looks at the service, and of what is right after each.

A line is one look:

    when (month-day time)  daily  monthly  period | day  month

`when` is the true time. Figures and the period are as the service reports them, `-` is
missing. `down` in front stands for a Home Assistant that was not running until then, and
`clock=` at the end for what a wrong clock says. Between two lines it polls every ten
minutes and reads the same figures again.

Behind the bar is the right answer: the first day of the figures' windows, with the time
at which each began (`last_reset`) unless that is the first day's midnight. `?` is a
figure that is not clear yet.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
import json

from custom_components.alibaba_cloud.ledger import Answer, Periods, follow, midnight
from custom_components.alibaba_cloud.ledger.windows import Window
from custom_components.alibaba_cloud.model_studio import BillingPeriod

POLL = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Look:
    """A line of a table."""

    at: datetime
    answer: Answer
    expected: str
    clock: datetime
    was_down: bool


def moment(text: str) -> datetime:
    """Return a time of 2026 in the billing zone, of the form `08-15 12:30`."""
    day, _, clock = text.partition(" ")
    return datetime.fromisoformat(f"2026-{day}T{clock or '00:00'}+08:00")


def amount(text: str) -> Decimal | None:
    """Return a figure, if there is one."""
    return None if text == "-" else Decimal(text)


def billing_period(text: str) -> BillingPeriod:
    """Return a period of the form `08-01/08-31`; either day may be missing."""
    start, _, end = text.partition("/")
    return BillingPeriod(
        start=date.fromisoformat(f"2026-{start}") if start.strip("-") else None,
        end=date.fromisoformat(f"2026-{end}") if end.strip("-") else None,
    )


def read(table: str) -> Iterator[Look]:
    """Yield the lines of a table."""
    for text in table.strip().splitlines():
        line, _, clock = text.partition("clock=")
        seen, _, expected = line.partition("|")
        was_down = "down" in seen
        day, hour, daily, monthly, period = seen.replace("down", "").split()
        at = moment(f"{day} {hour}")
        yield Look(
            at=at,
            answer=Answer(
                daily=amount(daily),
                monthly=amount(monthly),
                period=billing_period(period),
            ),
            expected=" ".join(expected.split()),
            clock=moment(clock.strip()) if clock else at,
            was_down=was_down,
        )


def described(window: Window | None, *, held: bool) -> str:
    """Return a window as tables write it."""
    if window is None or held:
        return "?" if held else "-"
    if window.since == midnight(window.start):
        return f"{window.start:%m-%d}"
    return f"{window.start:%m-%d}@{window.since:%m-%dT%H:%M}"


class Follower:
    """Follows the figures, and adds up what they come to."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.known = Periods()
        self.sums: dict[str, dict[datetime, Decimal]] = {"daily": {}, "monthly": {}}
        self._last: Look | None = None

    def look(self, look: Look) -> str:
        """Look at the service, after the polls since the last look."""
        if (last := self._last) and not look.was_down:
            at = last.at + POLL
            while at < look.at:
                self._read(at, last.clock + (at - last.at), last.answer, POLL)
                at += POLL
            elapsed = look.at - (at - POLL)
        else:
            elapsed = None
        self._last = look
        self._read(look.at, look.clock, look.answer, elapsed)
        day, month = self.known.daily, self.known.monthly
        return (
            f"{described(day, held=self.known.daily_is_held)} "
            f"{described(month, held=self.known.monthly_is_held)}"
        )

    def _read(
        self, at: datetime, clock: datetime, answer: Answer, elapsed: timedelta | None
    ) -> None:
        """Read an answer, and check what always holds."""
        before = self.known
        self.known = restarted(
            follow(before, answer, currency="USD", now=clock, elapsed=elapsed)
        )
        for key in self.sums:
            window: Window | None = getattr(self.known, key)
            figure = getattr(answer, key)
            if window is None:
                continue
            assert window.since <= at
            if was := getattr(before, key):
                assert was.since <= window.since
            if figure is not None and not getattr(self.known, f"{key}_is_held"):
                assert window.amount == figure
                self.sums[key][window.since] = figure

    def total(self, key: str) -> Decimal:
        """Return what the statistics of Home Assistant make of a figure."""
        return sum(self.sums[key].values(), Decimal())


def restarted(known: Periods) -> Periods:
    """Return what is known as it is after a restart."""
    again = Periods.from_dict(json.loads(json.dumps(known.as_dict())))
    # Held figures are of the answer; the next one tells.
    assert again.as_dict() == known.as_dict()
    return known


def look_by_look(table: str) -> Follower:
    """Follow the looks of a table, and check that each comes out as it says."""
    follower = Follower()
    looks = [*read(table)]
    made = [(f"{look.at:%m-%d %H:%M:%S}", follower.look(look)) for look in looks]
    assert made == [(f"{look.at:%m-%d %H:%M:%S}", look.expected) for look in looks]
    return follower
