"""Follows which day and which billing period the spend figures belong to.

The service reports what was spent "today" and "this month". It does not report when
these figures roll over. Each figure, and the reported billing period, may change up to an
hour early and up to a day late, independently. Corrections and refunds also make figures
fall.

The rules are explained in `docs/periods.md`:

1. The two figures together show whether one of them rolled over (`rollover.py`).
2. The clock and the reported billing period only limit when that is possible, and
   determine the first day of the new day or period.
3. If an answer does not show whether a figure rolled over, the figure is held: it is
   unknown.
"""

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from ..model_studio.models import BillingPeriod
from .clock import Times, read_clock
from .rollover import Rollovers, find_rollovers, possible_starts
from .windows import (
    BILLING_TIME_ZONE,
    DAY,
    EARLY,
    LATE,
    Answer,
    Periods,
    Window,
    billing_day,
    midnight,
)


def with_answer(
    periods: Periods,
    answer: Answer,
    *,
    currency: str,
    now: datetime,
    elapsed: timedelta | None,
) -> Periods:
    """Return the periods after an answer.

    `now` is the machine's clock, which may be wrong. `elapsed` is the time since the last
    answer of this run, by a monotonic clock. It is None for the first answer of a run.
    If the currency changes, the periods start from nothing.
    """
    now = now.astimezone(BILLING_TIME_ZONE)
    if currency != periods.currency:
        periods = Periods(currency=currency)
    periods, times = read_clock(periods, now, elapsed)
    periods = _with_reported_period(periods, answer.period, times)
    rollovers = find_rollovers(periods, answer, times)
    is_settled = rollovers.day is not None and rollovers.month is not None
    following = replace(
        periods,
        settled=periods.time if is_settled else periods.settled,
        daily=_daily_window(periods.daily, answer.daily, times, rollovers.day),
        monthly=_monthly_window(periods, answer.monthly, times, rollovers.month),
        daily_is_held=rollovers.day is None,
        monthly_is_held=rollovers.month is None,
    )
    return _with_spend_before(periods, following, answer, rollovers, gap=times.gap)


def _with_spend_before(
    before: Periods,
    following: Periods,
    answer: Answer,
    rollovers: Rollovers,
    *,
    gap: bool,
) -> Periods:
    """Return the following periods with the spend before the current day."""
    yesterday, old_day, new_day = before.yesterday, before.daily, following.daily
    before_today, before_day = before.before_today, before.before_day
    if old_day is not None and new_day is not None and new_day.since != old_day.since:
        yesterday = old_day.amount
        before_day = tuple(amount + yesterday for amount in before_day[:1])
        if before_today is not None:
            before_today += yesterday
    if rollovers.month:
        before_today, before_day = None, ()
    if answer.daily is not None and answer.monthly is not None:
        before_today = answer.monthly - answer.daily
        # After a day without spend, a new one may have begun unnoticed, so that the amount
        # is taken again. If the monthly figure is less than the daily one and stays the
        # same, it only lags.
        was_idle = old_day is None or old_day.amount == 0
        is_same = before.monthly is not None and answer.monthly == before.monthly.amount
        lags = before_today < 0 and is_same
        if rollovers.day or (was_idle and not lags) or not before_day:
            # After a gap, the month may include spend of a day that is not reported yet.
            expected = before_day[:1] if gap else ()
            before_day = tuple(dict.fromkeys((*expected, before_today)))
    return replace(
        following, before_today=before_today, before_day=before_day, yesterday=yesterday
    )


def _with_reported_period(
    periods: Periods, reported: BillingPeriod, times: Times
) -> Periods:
    """Return the periods with the billing period that an answer reports."""
    last = periods.period
    if reported.start is None or reported == last:
        return periods
    exclusive = periods.end_is_exclusive
    previous = None
    if last.end is not None and last.start != reported.start:
        if reported.start == last.end:
            exclusive, previous = True, last.start
        elif reported.start == last.end + DAY:
            exclusive, previous = False, last.start
    month = periods.monthly
    if month is not None:
        is_first = last.start is None
        month = _with_start(month, reported.start, times, is_first=is_first)
        starts_then = month.latest == reported.start
        if starts_then and previous is not None and month.earliest > previous:
            # The reported period follows the last one. No other period began in between.
            month = replace(month, earliest=reported.start)
    return replace(periods, period=reported, end_is_exclusive=exclusive, monthly=month)


def _with_start(month: Window, start: date, times: Times, *, is_first: bool) -> Window:
    """Return the month's window with the reported start, if that is possible.

    The first reported start always replaces the old one, which was a guess.
    """
    if month.earliest <= start <= month.latest:
        since = month.since
        # A figure may roll over before the period is reported. A figure of zero did so
        # unnoticed: its window starts now.
        if month.amount == 0 and start > month.start:
            since = _since(month, start, times)
        return replace(month, since=since, start=start, latest=start)
    if is_first:
        earliest = _earliest_start(start, times)
        return replace(month, start=start, earliest=earliest, latest=start)
    return month


def _earliest_start(start: date, times: Times) -> date:
    """Return the earliest start of a monthly figure while a period is reported.

    Until 24 hours after the start, the figure may still belong to the period before. With
    the day before as its earliest start, it can still roll over.
    """
    return start - DAY if times.earliest < midnight(start) + LATE else start


def _daily_window(
    day: Window | None, amount: Decimal | None, times: Times, rolled_over: bool | None
) -> Window | None:
    """Return the window of a daily figure. It stays if the figure is missing or held."""
    if amount is None or rolled_over is None:
        return day
    if day is None:
        return _first_day(amount, times)
    return (
        _next_day(day, amount, times) if rolled_over else _same_day(day, amount, times)
    )


def _first_day(amount: Decimal, times: Times) -> Window:
    """Return the first window of a daily figure."""
    today = billing_day(times.likely)
    first, last = _possible_days(times)
    return Window(
        amount=amount,
        since=min(midnight(today), times.likely),
        start=today,
        earliest=first,
        latest=last,
    )


def _next_day(day: Window, amount: Decimal, times: Times) -> Window:
    """Return the window of a daily figure that rolled over."""
    first, last = _possible_days(times)
    first = max(first, day.earliest + DAY)
    # If a day begins early, its date is tomorrow.
    start = min(max(billing_day(times.likely), day.start + DAY), last)
    start = max(start, first, day.start)
    return Window(
        amount=amount,
        since=_since(day, start, times),
        start=start,
        earliest=first,
        latest=max(last, start),
    )


def _same_day(day: Window, amount: Decimal, times: Times) -> Window:
    """Return the window of a daily figure that did not roll over."""
    today = billing_day(times.likely)
    first, last = _possible_days(times)
    if day.amount == 0 and today > day.start:
        # A day on which nothing was spent ends unnoticed. It follows the clock.
        since = _since(day, today, times)
        day = replace(day, start=today, since=since, latest=max(last, today))
    earliest = max(day.earliest, min(first, day.latest))
    return replace(day, amount=amount, earliest=earliest)


def _possible_days(times: Times) -> tuple[date, date]:
    """Return the first and the last day that a daily figure may belong to."""
    return billing_day(times.earliest - LATE), billing_day(times.latest + EARLY)


def _monthly_window(
    periods: Periods, amount: Decimal | None, times: Times, rolled_over: bool | None
) -> Window | None:
    """Return the window of a monthly figure. It stays if the figure is missing or held."""
    month = periods.monthly
    if amount is None or rolled_over is None:
        return month
    if month is None:
        return _first_month(periods, amount, times)
    if rolled_over:
        return _next_month(periods, month, amount, times)
    return _same_month(periods, month, amount, times)


def _first_month(periods: Periods, amount: Decimal, times: Times) -> Window:
    """Return the first window of a monthly figure."""
    start = periods.period.start or billing_day(times.earliest).replace(day=1)
    return Window(
        amount=amount,
        since=min(midnight(start), times.likely),
        start=start,
        earliest=_earliest_start(start, times),
        latest=start,
    )


def _next_month(
    periods: Periods, month: Window, amount: Decimal, times: Times
) -> Window:
    """Return the window of a monthly figure that rolled over."""
    starts = possible_starts(periods, month, times)
    if not times.gap:
        # Prefer the starts within the longest delay, if there are any.
        recent = [day for day in starts if times.earliest <= midnight(day) + LATE]
        starts = recent or starts
    start = _new_start(periods, starts, times)
    is_reported = start == periods.period.start
    return Window(
        amount=amount,
        since=_since(month, start, times),
        start=start,
        earliest=start if is_reported else starts[0],
        latest=start if is_reported else starts[-1],
    )


def _same_month(
    periods: Periods, month: Window, amount: Decimal, times: Times
) -> Window:
    """Return the window of a monthly figure that did not roll over."""
    reported = periods.period.start
    if month.amount == 0:
        month = _idle_month(periods, month, times)
    if reported is not None and reported == month.start and reported > month.earliest:
        earliest = max(month.earliest, _earliest_start(reported, times))
        month = replace(month, earliest=earliest)
    return replace(month, amount=amount)


def _idle_month(periods: Periods, month: Window, times: Times) -> Window:
    """Return the window of a period in which nothing was spent.

    It ends unnoticed and follows the reported period.
    """
    reported = periods.period.start
    starts = possible_starts(periods, month, times)
    if not starts:
        return month
    month = replace(month, latest=max(month.latest, starts[-1]))
    if reported is not None and reported in starts and reported > month.start:
        since = _since(month, reported, times)
        month = replace(month, start=reported, since=since)
    return month


def _new_start(periods: Periods, starts: list[date], times: Times) -> date:
    """Return the most likely start of a new period among the possible ones."""
    start, end = periods.period.start, periods.period.end
    preferred = [] if start is None else [start]
    if end is not None:
        following = end if periods.ends_exclusively else end + DAY
        preferred += [following, end + DAY, end]
    if times.gap:
        # If no period is reported, a month of the calendar is most likely.
        preferred.append(billing_day(times.likely).replace(day=1))
    preferred.append(billing_day(times.likely + EARLY))
    return next((day for day in preferred if day in starts), starts[-1])


def _since(last: Window, start: date, times: Times) -> datetime:
    """Return when a window begins that follows the last one.

    This is the midnight of its first day, or the time of the answer if that midnight is
    in the future or not after the last window's beginning.
    """
    since = min(midnight(start), times.likely)
    if since <= last.since:
        since = times.likely
    # The time of the answer is too early if the clock is behind.
    return max(since, last.since + timedelta(seconds=1))
