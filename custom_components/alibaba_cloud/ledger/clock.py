"""When an answer was given, as far as the machine's clock can be trusted."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from .windows import EARLY, LATE, Periods

_TOLERANCE: Final = timedelta(minutes=1)
"""If the clock is off by more than this between two answers, it was changed."""
_LONGEST_OUTAGE: Final = timedelta(days=31)
"""How long Home Assistant may have been down if its clock is behind the last answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """The times at which an answer may have been given."""

    earliest: datetime
    latest: datetime
    likely: datetime
    """The time that determines the first day of a new day or period."""
    gap: bool
    """Whether any amount may have been spent because the figures were unknown for long."""


def read_clock(
    periods: Periods, now: datetime, elapsed: timedelta | None
) -> tuple[Periods, Times]:
    """Return the periods with the time of an answer, and the possible times.

    `now` is the machine's clock. `elapsed` is the time since the last answer of this
    run, by a monotonic clock. If the two disagree, the machine's clock was wrong before
    or is wrong now. Both times are then possible until they agree again, or for a day.
    """
    before = periods.time
    if before is None:
        times = Times(earliest=now, latest=now, likely=now, gap=False)
        return replace(periods, time=now, settled=now), times
    expected = before if elapsed is None else before + elapsed
    is_behind = elapsed is None and now < before
    doubted_since = None
    if is_behind or elapsed is not None:
        doubted_since = _doubted_since(periods, now, expected)
    trusted = now if doubted_since is None else expected
    gap = is_behind or trusted - (periods.settled or before) > EARLY
    if doubted_since is not None:
        first = min(now, expected)
        last = expected + _LONGEST_OUTAGE if now < expected else now
        times = Times(earliest=first, latest=last, likely=first, gap=gap)
    else:
        first = min(now, expected) if elapsed is None else now
        times = Times(earliest=first, latest=now, likely=now, gap=gap)
    return replace(periods, time=trusted, doubted_since=doubted_since), times


def _doubted_since(
    periods: Periods, now: datetime, expected: datetime
) -> datetime | None:
    """Return since when the clock is doubted. None if it is right or after a day."""
    if abs(now - expected) <= _TOLERANCE:
        return None
    since = periods.doubted_since or expected
    return since if expected - since <= LATE else None
