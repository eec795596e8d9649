"""Which figures rolled over.

The tables are explained in `tables.py`.
"""

from decimal import Decimal

import pytest

from custom_components.alibaba_cloud.ledger import Answer, Periods, midnight
from custom_components.alibaba_cloud.ledger.clock import Times
from custom_components.alibaba_cloud.ledger.rollover import (
    BOTH,
    NEITHER,
    ONLY_DAY,
    ONLY_MONTH,
    Rollovers,
    find_rollovers,
    possible_starts,
)
from custom_components.alibaba_cloud.ledger.windows import Window

from .common import at, billing_period, day
from .tables import amount, check

# Corrections and refunds


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(
            """
            08-15 12:00:00  0.24   50.24  08-01/08-31 | 08-15 08-01
            08-15 12:00:30  0.10   50.10  08-01/08-31 | 08-15 08-01
            08-15 23:59:30  0.30   50.30  08-01/08-31 | 08-15 08-01
            08-16 00:00:00  0      50.30  08-01/08-31 | 08-16 08-01
            """,
            id="a day corrected",
        ),
        pytest.param(
            """
            08-15 23:59:30  0.24   50.24  08-01/08-31 | 08-15 08-01
            08-16 00:00:30  0.10   50.10  08-01/08-31 | 08-15 08-01
            08-16 00:01:00  0      50.10  08-01/08-31 | 08-16 08-01
            """,
            id="a day corrected after midnight",
        ),
        pytest.param(
            """
            08-15 12:00:00  11.20  61.20  08-01/08-31 | 08-15 08-01
            08-15 12:00:30  3.20   53.20  08-01/08-31 | 08-15 08-01
            08-16 00:00:00  0      53.20  08-01/08-31 | 08-16 08-01
            """,
            id="a day refunded",
        ),
        pytest.param(
            """
            08-15 23:59:30  11.20  61.20  08-01/08-31 | 08-15 08-01
            08-16 00:00:30  3.20   53.20  08-01/08-31 | 08-15 08-01
            08-16 00:01:00  0      53.20  08-01/08-31 | 08-16 08-01
            """,
            id="a day refunded after midnight",
        ),
        pytest.param(
            """
            08-15 12:00:00  1      51     08-01/08-31 | 08-15 08-01
            08-15 12:00:30  -2     48     08-01/08-31 | 08-15 08-01
            08-15 23:59:30  -2     48     08-01/08-31 | 08-15 08-01
            08-16 00:00:00  0      48     08-01/08-31 | 08-16 08-01
            08-16 00:00:30  0.50   48.50  08-01/08-31 | 08-16 08-01
            """,
            id="a day that ends below zero",
        ),
        pytest.param(
            """
            08-15 12:00:00  5      105    08-01/08-31 | 08-15 08-01
            08-15 12:00:30  0      100    08-01/08-31 | 08-15 08-01
            08-15 12:01:00  5      105    08-01/08-31 | 08-15 08-01
            """,
            id="a day that is zero for a while",
        ),
        pytest.param(
            """
            08-15 12:00:00  5      105    08-01/08-31 | 08-15 08-01
            08-15 12:00:30  5      97     08-01/08-31 | 08-15 08-01
            08-16 00:00:00  0      97     08-01/08-31 | 08-16 08-01
            """,
            id="an earlier day refunded",
        ),
        pytest.param(
            """
            08-31 23:59:30  0.24   1.24   08-01/08-31 | 08-31 08-01
            09-01 00:00:30  0.10   1.10   08-01/08-31 | 08-31 08-01
            09-01 00:01:00  0      1.10   08-01/08-31 | 09-01 08-01
            09-01 00:01:30  0      0      09-01/09-30 | 09-01 09-01
            """,
            id="a month corrected after its end",
        ),
        pytest.param(
            """
            08-15 23:59:30  0.24   0.24   08-01/08-31 | 08-15 08-01
            08-16 00:00:30  0.10   0.10   08-01/08-31 | 08-15 08-01
            08-16 00:01:00  0      0.10   08-01/08-31 | 08-16 08-01
            """,
            id="a month of one day corrected",
        ),
        pytest.param(
            """
            08-31 23:59:30  11.20  15.20  08-01/08-31 | 08-31 08-01
            09-01 00:00:30  3.20   7.20   09-01/09-30 | 08-31 08-01
            09-01 00:01:00  0      0      09-01/09-30 | 09-01 09-01
            """,
            id="a month refunded after its end",
        ),
        pytest.param(
            """
            08-31 23:59:30  4      104    08-01/08-31 | 08-31 08-01
            09-01 00:00:30  4      96     09-01/09-30 | 08-31 08-01
            09-01 00:01:00  0      0      09-01/09-30 | 09-01 09-01
            """,
            id="an earlier day refunded after the month's end",
        ),
        pytest.param(
            """
            08-31 12:00:00  1      1      08-01/08-31 | 08-31 08-01
            08-31 12:00:30  -2     -2     08-01/08-31 | 08-31 08-01
            08-31 23:59:30  -2     -2     08-01/08-31 | 08-31 08-01
            09-01 00:00:00  0      0      09-01/09-30 | 09-01 09-01
            09-01 00:00:30  0.50   0.50   09-01/09-30 | 09-01 09-01
            """,
            id="a month that ends below zero",
        ),
        pytest.param(
            """
            08-31 23:59:30  4      104    08-20/09-19 | 08-31 08-20
            09-01 00:00:30  3.80   103.80 -           | 08-31 08-20
            09-01 00:01:00  0      103.80 08-20/09-19 | 09-01 08-20
            """,
            id="a correction in an answer without a period",
        ),
        pytest.param(
            """
            08-31 12:00:00  4      104    08-20/09-19 | 08-31 08-20
            08-31 12:00:30  3.80   103.80 -           | 08-31 08-20
            08-31 12:01:00  3.90   103.90 08-20/09-19 | 08-31 08-20
            """,
            id="the same before midnight",
        ),
    ],
)
def test_corrections(table: str) -> None:
    """A corrected figure does not start a new day or period."""
    check(table)


# Outages


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(
            """
                 08-15 14:00:00  5  105  08-01/08-31 | 08-15 08-01
            down 08-15 22:00:00  9  109  08-01/08-31 | 08-15 08-01
            """,
            id="within a day",
        ),
        pytest.param(
            """
                 08-15 14:00:00  5  105  08-01/08-31 | 08-15 08-01
            down 08-16 09:00:00  2  110  08-01/08-31 | 08-16 08-01
                 08-17 00:00:00  0  110  08-01/08-31 | 08-17 08-01
            """,
            id="over midnight",
        ),
        pytest.param(
            """
                 08-15 14:00:00  5  105  08-01/08-31 | 08-15 08-01
            down 08-18 09:00:00  2  130  08-01/08-31 | 08-18 08-01
            """,
            id="over some days",
        ),
        pytest.param(
            """
                 08-31 14:00:00  5  105  08-01/08-31 | 08-31 08-01
            down 09-01 09:00:00  2  2    09-01/09-30 | 09-01 09-01
            """,
            id="over the end of a period",
        ),
        pytest.param(
            """
                 08-31 14:00:00  5  105  -           | 08-31 08-01
            down 09-01 09:00:00  2  2    -           | 09-01 09-01
            """,
            id="over the end of a month, not reported",
        ),
        pytest.param(
            """
                 08-31 14:00:00  5  105  -           | 08-31 08-01
            down 09-11 09:00:00  2  40   -           | 09-11 09-01
            """,
            id="over the end of a month by days, not reported",
        ),
        pytest.param(
            """
                 08-31 20:00:00  4  104  08-20/09-19 | 08-31 08-20
            down 09-01 09:00:00  1  108  08-20/09-19 | 09-01 08-20
            """,
            id="over the 1st within a period",
        ),
        pytest.param(
            """
                 08-31 20:00:00  4  104  08-20/09-19 | 08-31 08-20
            down 09-01 09:00:00  1  108  -           | 09-01 08-20
                 09-01 09:00:30  1  108  08-20/09-19 | 09-01 08-20
            """,
            id="over the 1st within a period that is not reported once",
        ),
        pytest.param(
            """
                 08-20 20:00:00  4  104  08-01/08-31 | 08-20 08-01
            down 10-25 09:00:00  1  50   10-01/10-31 | 10-25 10-01
            """,
            id="over months",
        ),
    ],
)
def test_outages(table: str) -> None:
    """After an outage, both figures get the right day and period."""
    check(table)


# Answers that lack a figure


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(
            """
            08-15 23:59:30  5     105     08-01/08-31 | 08-15 08-01
            08-16 00:00:30  0.10  -       08-01/08-31 | ?     08-01
            08-16 00:01:00  0.15  -       08-01/08-31 | ?     08-01
            08-16 00:01:30  0.20  105.20  08-01/08-31 | 08-16 08-01
            """,
            id="a day that began",
        ),
        pytest.param(
            """
            08-15 23:59:30  5     105     08-01/08-31 | 08-15 08-01
            08-16 00:00:30  2     -       08-01/08-31 | ?     08-01
            08-16 00:01:00  2     102     08-01/08-31 | 08-15 08-01
            08-16 00:01:30  0     102     08-01/08-31 | 08-16 08-01
            """,
            id="a day that was refunded",
        ),
        pytest.param(
            """
            08-31 23:59:30  4     104     08-01/08-31 | 08-31 08-01
            09-01 00:00:30  -     0.10    09-01/09-30 | 08-31 ?
            09-01 00:01:00  0.20  0.20    09-01/09-30 | 09-01 09-01
            """,
            id="a month that began",
        ),
        pytest.param(
            """
            08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
            08-15 12:00:30  6     -       -           | 08-15 08-01
            08-15 12:01:00  -     106     -           | 08-15 08-01
            08-15 12:01:30  -     -       -           | 08-15 08-01
            08-15 12:02:00  7     107     08-01/08-31 | 08-15 08-01
            """,
            id="within a day",
        ),
        pytest.param(
            """
            08-15 23:59:30  5     -       -           | 08-15 -
            08-16 00:00:00  0     -       -           | 08-16 -
            08-16 00:00:30  0.10  -       -           | 08-16 -
            """,
            id="a service that never reports the month",
        ),
        pytest.param(
            """
            08-31 23:59:30  -     105     08-01/08-31 | -     08-01
            09-01 00:00:00  -     0       09-01/09-30 | -     09-01
            """,
            id="a service that never reports the day",
        ),
    ],
)
def test_missing_figures(table: str) -> None:
    """A figure that falls is held until an answer has both figures.

    If the service never reports one of them, the other one is not held.
    """
    check(table)


# One answer


def window(figure: str, start: str, latest: str | None = None) -> Window:
    """Return the window of a figure."""
    return Window(
        amount=Decimal(figure),
        since=midnight(day(start)),
        start=day(start),
        earliest=day(start),
        latest=day(latest or start),
    )


def found(
    answer: str,
    *,
    time: str,
    gap: bool = False,
    period: str = "08-01/08-31",
    before_today: str = "100",
    before_day: str = "",
    yesterday: str = "7",
    start: str = "08-15",
) -> Rollovers:
    """Return the rollovers of an answer.

    The last answer was a daily figure of 5 and a monthly figure of 105.
    """
    periods = Periods(
        daily=window("5", start),
        monthly=window("105", "08-01"),
        before_today=amount(before_today),
        before_day=tuple(map(Decimal, before_day.split())),
        yesterday=Decimal(yesterday),
        period=billing_period(period),
    )
    daily, monthly = answer.split()
    return find_rollovers(
        periods,
        Answer(daily=amount(daily), monthly=amount(monthly)),
        Times(earliest=at(time), latest=at(time), likely=at(time), gap=gap),
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param("1 101", NEITHER, id="corrected"),
        pytest.param("2 107", ONLY_DAY, id="exact"),
        pytest.param("5 110", NEITHER, id="the same daily figure"),
        pytest.param("3 106", NEITHER, id="nearer to a correction"),
        pytest.param("1 106.5", ONLY_DAY, id="nearer to a new day"),
    ],
)
def test_day(answer: str, expected: Rollovers) -> None:
    """The spend before today is 100 on the same day, and 105 on a new day."""
    assert found(answer, time="08-16 00:00") == expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("08-15 22:59:59", NEITHER),
        ("08-15 23:00", ONLY_DAY),
        ("08-17 23:59", ONLY_DAY),
    ],
)
def test_day_from_an_hour_before_midnight(time: str, expected: Rollovers) -> None:
    assert found("2 107", time=time) == expected


def test_earlier_day_that_was_corrected_today() -> None:
    """A new day may also fit the spend before today as it was when the day began."""
    time = "08-16 00:00"
    assert found("3 105", time=time, before_day="97") == ONLY_DAY
    assert found("3 105", time=time) == NEITHER


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param("5 110", ONLY_DAY, id="the same daily figure"),
        pytest.param("5 111", ONLY_DAY, id="the same daily figure, smaller error"),
        pytest.param("5 105", NEITHER, id="the same figures"),
        pytest.param("7 127", ONLY_DAY, id="smaller error"),
        pytest.param("7 108", NEITHER, id="a new day needs a refund"),
        pytest.param("5 106", NEITHER, id="an idle day does not"),
        pytest.param("1 104", ONLY_DAY, id="both need a refund"),
        pytest.param("4 124", ONLY_DAY, id="only a fall needs a refund"),
    ],
)
def test_day_after_a_gap(answer: str, expected: Rollovers) -> None:
    """Any amount may be spent in a gap. A refund is less likely."""
    assert found(answer, time="08-16 00:00", gap=True) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("5 111", NEITHER), ("5 110", ONLY_DAY), ("4 111", ONLY_DAY)],
)
def test_end_of_a_day_after_a_gap(answer: str, expected: Rollovers) -> None:
    """Before midnight, an unchanged figure is a new day only if the month fits exactly.

    Two days hardly cost the same amount.
    """
    assert found(answer, time="08-15 23:30", gap=True) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param("4 103", ONLY_DAY, id="the expected spend"),
        pytest.param("4 109", ONLY_DAY, id="the spend after the gap"),
        pytest.param("4 105", ONLY_DAY, id="an unknown part of it"),
        pytest.param("6 105", ONLY_DAY, id="an unknown part of it, more than before"),
        pytest.param("4 104", NEITHER, id="corrected"),
        pytest.param("6 106", NEITHER, id="spent"),
        pytest.param("7 105", NEITHER, id="less than was spent before"),
    ],
)
def test_day_after_one_that_began_in_a_gap(answer: str, expected: Rollovers) -> None:
    """After a gap, the monthly figure may already include spend of the new day."""
    assert found(answer, time="08-16 02:00", before_day="94 100") == expected


def test_restart_with_a_clock_that_is_behind() -> None:
    """An unchanged daily figure starts no new day while the true time is unknown."""
    check(
        """
             08-10 23:30:00  5     105     - | 08-10 08-01
        down 08-11 00:00:00  5     106     - | 08-10 08-01 clock=08-10 23:28:00
             08-11 02:00:00  1     106     - | 08-11 08-01
        """
    )


@pytest.mark.parametrize(
    ("time", "gap", "expected"),
    [
        ("08-16 23:59:59", False, NEITHER),
        ("08-17 00:00", False, ONLY_DAY),
        ("08-16 23:59:59", True, NEITHER),
        ("08-17 00:00", True, ONLY_DAY),
    ],
)
def test_overdue_day(time: str, gap: bool, expected: Rollovers) -> None:
    """If no case is exact, a day ends a day late at the latest."""
    assert found("6 107", time=time, gap=gap) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param("2 2", BOTH, id="both"),
        pytest.param("6 1", ONLY_MONTH, id="the month, which starts at nothing"),
        pytest.param("6 13", ONLY_MONTH, id="the month, with yesterday"),
        pytest.param("1 6", BOTH, id="both, the month a day before"),
        pytest.param("2 107", ONLY_DAY, id="the day"),
        pytest.param("6 106", NEITHER, id="neither"),
        pytest.param("4.9 104.9", NEITHER, id="neither, corrected"),
    ],
)
def test_month(answer: str, expected: Rollovers) -> None:
    assert found(answer, time="09-01 00:00", start="08-31") == expected


@pytest.mark.parametrize(
    ("time", "expected"), [("08-31 23:59", ONLY_MONTH), ("09-01 00:00", BOTH)]
)
def test_month_of_one_day(time: str, expected: Rollovers) -> None:
    """The month's figure is late by less than a day, so the day rolls over with it."""
    assert found("6 6", time=time, start="08-31") == expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [("09-01 23:59:59", ONLY_DAY), ("09-02 00:00", BOTH)],
)
def test_overdue_month(time: str, expected: Rollovers) -> None:
    """If no case is exact, a month ends at most a day after the next reported start."""
    answer, period = "3 110", "09-01/09-30"
    assert found(answer, time=time, period=period, start="08-31") == expected


@pytest.mark.parametrize(
    ("answer", "time", "period", "expected"),
    [
        ("0 0", "08-02 00:00", "08-01/08-31", NEITHER),
        ("0 0", "08-02 00:00", "08-02/08-31", BOTH),
        ("0 0", "08-02 00:00", "08-01/08-01", BOTH),
        ("0 0", "08-01 22:59:59", "08-01/08-01", NEITHER),
        ("0 0", "08-01 23:00", "08-01/08-01", BOTH),
        ("4 4", "08-02 00:00", "08-01/08-01", NEITHER),
    ],
)
def test_first_day_of_a_period(
    answer: str, time: str, period: str, expected: Rollovers
) -> None:
    """Both figures may fall to the same amount once a period of one day is over."""
    periods = Periods(
        daily=window("5", "08-01"),
        monthly=window("5", "08-01"),
        before_today=Decimal(),
        period=billing_period(period),
    )
    daily, monthly = map(Decimal, answer.split())
    times = Times(earliest=at(time), latest=at(time), likely=at(time), gap=False)
    result = find_rollovers(periods, Answer(daily=daily, monthly=monthly), times)
    assert result == expected


@pytest.mark.parametrize(
    ("answer", "before_today", "gap", "expected"),
    [
        pytest.param("2.5 -", "-", False, NEITHER, id="half of it"),
        pytest.param("2.49 -", "-", False, ONLY_DAY, id="less than half"),
        pytest.param("4 -", "-", True, ONLY_DAY, id="a fall in a gap"),
        pytest.param("6 -", "-", True, NEITHER, id="a rise in a gap"),
        pytest.param("2.49 -", "100", False, Rollovers(None, False), id="held"),
        pytest.param("4.9 -", "100", False, Rollovers(None, False), id="held fall"),
        pytest.param("6 -", "100", False, NEITHER, id="a rise is not held"),
        pytest.param("- 52.5", "-", False, NEITHER, id="half of the month"),
        pytest.param("- 52", "-", False, ONLY_MONTH, id="less than half of the month"),
        pytest.param("- 104", "-", True, NEITHER, id="a month that falls in a gap"),
        pytest.param("- 52", "100", False, Rollovers(False, None), id="held month"),
        pytest.param("- -", "100", True, NEITHER, id="no figure"),
    ],
)
def test_one_figure(
    answer: str, before_today: str, gap: bool, expected: Rollovers
) -> None:
    """A figure alone has rolled over if a correction would be the larger change.

    In a gap, a daily figure that falls has rolled over. A rollover is held if the
    service usually reports both figures. If the day may be over, any fall is held.
    """
    result = found(
        answer, time="09-01 00:00", start="08-31", before_today=before_today, gap=gap
    )
    assert result == expected


@pytest.mark.parametrize(
    ("answer", "time", "expected"),
    [
        ("6 -", "09-01 23:59:59", NEITHER),
        ("6 -", "09-02 00:00", ONLY_DAY),
        ("- 107", "09-01 23:59:59", NEITHER),
        ("- 107", "09-02 00:00", ONLY_MONTH),
    ],
)
def test_one_figure_that_is_overdue(
    answer: str, time: str, expected: Rollovers
) -> None:
    assert found(answer, time=time, period="09-01/09-30", start="08-31") == expected


@pytest.mark.parametrize(
    ("period", "earliest", "latest", "expected"),
    [
        ("08-01/08-31", "08-31 22:59:59", "08-31 22:59:59", "08-01 08-31"),
        ("08-01/08-31", "08-31 23:00", "08-31 23:00", "08-01 08-31 09-01"),
        ("08-01/08-31", "09-02 00:00", "09-02 00:00", "08-01 08-31 09-01"),
        ("08-01/08-31", "09-02 00:00:01", "09-02 00:00:01", "08-01 09-01 09-02"),
        ("08-01/08-31", "08-31 12:00", "09-10 00:00", "08-01 08-31 09-01"),
        ("08-20/-", "08-25 00:00", "08-26 23:00", "08-20 08-24 08-25 08-26 08-27"),
        ("-/08-31", "08-25 00:00", "08-25 22:00", "08-24 08-25"),
        ("-", "08-25 00:00", "08-25 22:00", "08-24 08-25"),
    ],
)
def test_possible_starts(
    period: str, earliest: str, latest: str, expected: str
) -> None:
    """Any recent day is possible unless both dates of a current period are reported."""
    times = Times(
        earliest=at(earliest), latest=at(latest), likely=at(latest), gap=False
    )
    periods = Periods(period=billing_period(period))
    starts = possible_starts(periods, window("105", "07-20"), times)
    assert " ".join(f"{start:%m-%d}" for start in starts) == expected


def test_possible_starts_are_later_than_the_last_one() -> None:
    time = at("08-25 00:00")
    times = Times(earliest=time, latest=time, likely=time, gap=False)
    starts = possible_starts(Periods(), window("105", "08-24", "08-26"), times)
    assert starts == [day("08-25")]
