"""The time of an answer, even if the machine's clock is wrong.

The tables are explained in `tables.py`.
"""

from datetime import timedelta

import pytest

from custom_components.alibaba_cloud.ledger import Periods
from custom_components.alibaba_cloud.ledger.clock import Times, read_clock

from .common import at
from .tables import Follower, check, rows


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(
            """
                 08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
            down 08-15 12:05:00  5.10  105.10  08-01/08-31 | 08-15 08-01  clock=08-10 03:00:00
                 08-15 12:05:30  5.20  105.20  08-01/08-31 | 08-15 08-01  clock=08-10 03:00:30
                 08-15 12:09:00  5.30  105.30  08-01/08-31 | 08-15 08-01
                 08-16 00:00:00  0     105.30  08-01/08-31 | 08-16@08-15T23:55 08-01
            """,
            id="behind after a start",
        ),
        pytest.param(
            """
                 08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
            down 08-15 12:05:00  5     105     08-01/08-31 | 08-15 08-01  clock=01-01 00:00:00
                 08-15 12:09:00  4.80  104.80  08-01/08-31 | 08-15 08-01
            """,
            id="months behind after a start",
        ),
        pytest.param(
            """
                 08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
                 08-15 12:00:30  5.10  105.10  08-01/08-31 | 08-15 08-01  clock=08-20 12:00:30
                 08-15 12:01:00  5.20  105.20  08-01/08-31 | 08-15 08-01
                 08-16 00:00:00  0     105.20  08-01/08-31 | 08-16 08-01
            """,
            id="days ahead for one answer",
        ),
        pytest.param(
            """
                 08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
                 08-15 12:00:30  4.90  104.90  08-01/08-31 | 08-15 08-01  clock=09-03 00:00:30
                 08-15 12:01:00  5     105     08-01/08-31 | 08-15 08-01
            """,
            id="in the next month for one answer, with a correction",
        ),
        pytest.param(
            """
                 08-15 12:00:00  0     100     08-01/08-31 | 08-15 08-01
                 08-15 12:00:30  0     100     08-01/08-31 | 08-15 08-01  clock=08-20 12:00:30
                 08-15 12:01:00  1     101     08-01/08-31 | 08-15 08-01
            """,
            id="ahead for one answer on an idle day",
        ),
    ],
)
def test_wrong_clocks(table: str) -> None:
    """A wrong clock starts no new window and counts nothing twice."""
    check(table)


def test_midnight_while_the_clock_is_behind() -> None:
    """While the clock is behind, a new day counts and does not begin in the future."""
    follower = Follower()
    for row in rows(
        """
             08-15 23:50:00  5     105     08-01/08-31 |
        down 08-16 00:05:00  0.10  105.10  08-01/08-31 |  clock=08-01 00:00:00
             08-16 00:10:00  0.20  105.20  08-01/08-31 |
             08-16 12:00:00  3     108     08-01/08-31 |
        """
    ):
        follower.poll(row)
    assert follower.total("daily") == 8
    assert follower.total("monthly") == 108
    assert follower.periods.daily is not None
    assert follower.periods.daily.since <= at("08-16 00:10")


def clock(
    *,
    now: str,
    elapsed: timedelta | None,
    doubted_since: str | None = None,
    settled: str = "08-15 12:00",
) -> tuple[Periods, Times]:
    """Read the clock. The last answer was read on August 15 at 12:00."""
    periods = Periods(
        time=at("08-15 12:00"),
        settled=at(settled),
        doubted_since=at(doubted_since) if doubted_since else None,
    )
    return read_clock(periods, at(now), elapsed)


MINUTE = timedelta(minutes=1)


def test_first_answer() -> None:
    now = at("08-15 12:00")
    assert read_clock(Periods(), now, None) == (
        Periods(time=now, settled=now),
        Times(earliest=now, latest=now, likely=now, gap=False),
    )


@pytest.mark.parametrize(
    ("now", "elapsed", "earliest"),
    [
        pytest.param("08-15 12:01", MINUTE, "08-15 12:01", id="same run"),
        pytest.param("08-15 12:02", MINUTE, "08-15 12:02", id="a minute ahead"),
        pytest.param("08-15 12:00", MINUTE, "08-15 12:00", id="a minute behind"),
        pytest.param("08-15 12:30", None, "08-15 12:00", id="restart"),
        pytest.param("08-15 12:00", None, "08-15 12:00", id="restart at once"),
    ],
)
def test_trusted_clock(now: str, elapsed: timedelta | None, earliest: str) -> None:
    """A clock that is off by at most a minute is trusted.

    After a restart, the figures may have rolled over at any time since the last answer.
    """
    periods, times = clock(now=now, elapsed=elapsed)
    assert periods.time == at(now)
    assert periods.doubted_since is None
    assert times == Times(
        earliest=at(earliest), latest=at(now), likely=at(now), gap=False
    )


@pytest.mark.parametrize(
    ("now", "elapsed", "earliest", "latest"),
    [
        pytest.param(
            "08-15 12:02:01", MINUTE, "08-15 12:01", "08-15 12:02:01", id="ahead"
        ),
        pytest.param(
            "08-15 11:59:59", MINUTE, "08-15 11:59:59", "09-15 12:01", id="behind"
        ),
        pytest.param(
            "08-15 11:58", None, "08-15 11:58", "09-15 12:00", id="behind at a start"
        ),
    ],
)
def test_doubted_clock(
    now: str, elapsed: timedelta | None, earliest: str, latest: str
) -> None:
    """If the clock disagrees with the time passed, both times are possible.

    If the clock is behind, the true time may also be up to 31 days later.
    """
    periods, times = clock(now=now, elapsed=elapsed)
    assert periods.doubted_since == at("08-15 12:00") + (elapsed or timedelta())
    assert periods.time == periods.doubted_since
    assert (times.earliest, times.likely) == (at(earliest), at(earliest))
    assert times.latest == at(latest)


def test_clock_that_is_set_in_a_long_outage() -> None:
    """The clock is doubted from the first answer after the outage on."""
    periods, times = clock(now="08-18 20:00", elapsed=timedelta(days=3))
    assert periods.doubted_since == at("08-18 12:00")
    assert (times.earliest, times.latest) == (at("08-18 12:00"), at("08-18 20:00"))


@pytest.mark.parametrize(
    ("doubted_since", "expected"),
    [("08-14 12:01", "08-14 12:01"), ("08-14 12:00", None)],
)
def test_clock_is_doubted_for_a_day(doubted_since: str, expected: str | None) -> None:
    """After a day of doubt, the clock is trusted."""
    now = "08-20 12:00"
    periods, times = clock(now=now, elapsed=MINUTE, doubted_since=doubted_since)
    assert periods.doubted_since == (at(expected) if expected else None)
    assert periods.time == at("08-15 12:01" if expected else now)
    assert times.earliest == periods.time


@pytest.mark.parametrize(
    ("now", "elapsed", "settled", "gap"),
    [
        pytest.param("08-15 13:00", None, "08-15 12:00", False, id="an hour"),
        pytest.param("08-15 13:00:01", None, "08-15 12:00", True, id="over an hour"),
        pytest.param("08-15 12:01", MINUTE, "08-15 11:00", True, id="held figures"),
        pytest.param(
            "08-15 11:59:59", None, "08-15 12:00", True, id="behind at a start"
        ),
        pytest.param("08-15 11:59:59", MINUTE, "08-15 12:00", False, id="behind"),
    ],
)
def test_gap(now: str, elapsed: timedelta | None, settled: str, gap: bool) -> None:
    """A gap is over an hour without clear figures, or a start with a clock behind."""
    assert clock(now=now, elapsed=elapsed, settled=settled)[1].gap is gap
