"""Which day and which billing period a spend figure belongs to.

Most tests are tables; `looks.py` says how to read them.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from custom_components.alibaba_cloud.ledger import Answer, Periods, follow

from .looks import Follower, billing_period, look_by_look, read

# The first look


@pytest.mark.parametrize(
    ("table", "monthly"),
    [
        ("08-15 12:00:00  5  105  08-01/08-31 | 08-15 08-01", "105"),
        ("08-15 12:00:00  5  105  07-20/08-19 | 08-15 07-20", "105"),
        ("08-15 12:00:00  5  105  -           | 08-15 08-01", "105"),
        ("08-15 12:00:00  5  105  -/08-31     | 08-15 08-01", "105"),
        ("08-15 00:00:00  0    0  08-15/09-14 | 08-15 08-15", "0"),
        ("08-15 12:00:00  5    -  08-01/08-31 | 08-15 -", "0"),
    ],
)
def test_first_look(table: str, monthly: str) -> None:
    """What is there has been spent since the day and the period began."""
    assert look_by_look(table).total("monthly") == Decimal(monthly)


def test_first_look_without_the_day() -> None:
    look_by_look("08-15 12:00:00  -  105  08-01/08-31 | - 08-01")


def test_day_of_the_billing_zone() -> None:
    """The time of a look may be in any zone; a day begins at 16:00 UTC."""
    known = follow(
        Periods(),
        Answer(daily=Decimal(5), monthly=Decimal(9)),
        currency="USD",
        now=datetime(2026, 8, 31, 16, 30, tzinfo=UTC),
        elapsed=None,
    )
    assert known.daily
    assert known.monthly
    assert known.daily.start == known.monthly.start == date(2026, 9, 1)
    assert known.daily.since == datetime(2026, 8, 31, 16, tzinfo=UTC)


# Days


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(
            """
            08-15 23:59:30  5     105     08-01/08-31 | 08-15 08-01
            08-16 00:00:00  0     105     08-01/08-31 | 08-16 08-01
            08-16 00:00:30  0.10  105.10  08-01/08-31 | 08-16 08-01
            """,
            id="at midnight",
        ),
        pytest.param(
            """
            08-15 23:59:30  5     105     08-01/08-31 | 08-15 08-01
            08-16 02:00:00  5.40  105.40  08-01/08-31 | 08-15 08-01
            08-16 02:00:30  0     105.40  08-01/08-31 | 08-16 08-01
            08-16 23:59:30  2     107.40  08-01/08-31 | 08-16 08-01
            """,
            id="two hours late",
        ),
        pytest.param(
            """
            08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
            08-16 23:59:00  9     109     08-01/08-31 | 08-15 08-01
            08-16 23:59:30  0     109     08-01/08-31 | 08-16 08-01
            """,
            id="almost a day late",
        ),
        pytest.param(
            """
            08-14 23:00:30  5     105     08-01/08-31 | 08-14 08-01
            08-15 00:00:00  0     105     08-01/08-31 | 08-15 08-01
            08-15 23:00:00  6     111     08-01/08-31 | 08-15 08-01
            08-15 23:00:30  0.10  111.10  08-01/08-31 | 08-16@08-15T23:00 08-01
            08-16 12:00:00  3     114     08-01/08-31 | 08-16@08-15T23:00 08-01
            08-16 23:00:30  0     115     08-01/08-31 | 08-17@08-16T23:00 08-01
            """,
            id="an hour early",
        ),
        pytest.param(
            """
            08-15 23:59:30  5     105     08-01/08-31 | 08-15 08-01
            08-16 00:00:30  7     112     08-01/08-31 | 08-16 08-01
            """,
            id="more at once than the day before",
        ),
    ],
)
def test_next_day(table: str) -> None:
    """It begins when the figure starts again, and the month goes on."""
    follower = look_by_look(table)
    *_, last = read(table)
    assert last.answer.monthly == follower.total("monthly")


def test_idle_day() -> None:
    """A day on which nothing was spent ends unseen: it follows the clock."""
    follower = look_by_look(
        """
        08-15 12:00:00  0     100     08-01/08-31 | 08-15 08-01
        08-16 00:00:00  0     100     08-01/08-31 | 08-16 08-01
        08-16 12:00:00  1     101     08-01/08-31 | 08-16 08-01
        08-17 00:00:00  0     101     08-01/08-31 | 08-17 08-01
        08-18 00:00:00  0     101     08-01/08-31 | 08-18 08-01
        08-18 00:00:30  0.50  101.50  08-01/08-31 | 08-18 08-01
        """
    )
    assert follower.total("daily") == Decimal("1.50")


@pytest.mark.parametrize(
    "table",
    [
        """
             08-31 12:00:00  0     0       08-01/08-31 | 08-31 08-01
             09-01 00:00:00  0     0       09-01/09-30 | 09-01 09-01
             09-01 12:00:00  1     1       09-01/09-30 | 09-01 09-01
        """,
        """
             08-20 12:00:00  0     0       08-01/08-31 | 08-20 08-01
        down 09-05 12:00:00  0     0       09-01/09-30 | 09-05 09-01
             09-05 12:00:30  1     1       09-01/09-30 | 09-05 09-01
        """,
        """
             08-20 12:00:00  0     0       08-01/08-31 | 08-20 08-01
        down 09-05 12:00:00  1     3       09-01/09-30 | 09-05 09-01
        """,
    ],
    ids=["seen", "not seen", "spent before the next look"],
)
def test_idle_month(table: str) -> None:
    """A period after one in which nothing was spent begins as it is reported."""
    look_by_look(table)


# The month's figure and the reported period change in different polls


@pytest.mark.parametrize(
    ("table", "spent"),
    [
        pytest.param(
            """
            08-31 23:59:30  4     104     08-01/08-31 | 08-31 08-01
            09-01 00:00:00  0     0       08-01/08-31 | 09-01 09-01
            09-01 00:00:30  0     0       09-01/09-30 | 09-01 09-01
            09-01 00:01:00  0.10  0.10    09-01/09-30 | 09-01 09-01
            """,
            "104.10",
            id="period one poll after",
        ),
        pytest.param(
            """
            08-31 23:59:30  4     104     08-01/08-31 | 08-31 08-01
            09-01 00:00:00  0     104     09-01/09-30 | 09-01 08-01
            09-01 00:00:30  0     0       09-01/09-30 | 09-01 09-01
            09-01 00:01:00  0.10  0.10    09-01/09-30 | 09-01 09-01
            """,
            "104.10",
            id="period one poll before",
        ),
        pytest.param(
            """
            08-31 23:44:30  4     104     08-01/08-31 | 08-31 08-01
            08-31 23:45:00  4.10  104.10  09-01/09-30 | 08-31 08-01
            08-31 23:59:30  4.20  104.20  09-01/09-30 | 08-31 08-01
            09-01 00:00:00  0     0       09-01/09-30 | 09-01 09-01
            """,
            "104.20",
            id="period 15 minutes early",
        ),
        pytest.param(
            """
            08-31 22:59:30  4     104     08-01/08-31 | 08-31 08-01
            08-31 23:00:00  4     104     09-01/09-30 | 08-31 08-01
            08-31 23:30:00  4.10  104.10  09-01/09-30 | 08-31 08-01
            09-01 00:00:00  0     0       09-01/09-30 | 09-01 09-01
            """,
            "104.10",
            id="period an hour early",
        ),
        pytest.param(
            """
            08-31 22:59:30  4     104     08-01/08-31 | 08-31 08-01
            08-31 23:00:00  4     0       08-01/08-31 | 08-31 09-01@08-31T23:00
            08-31 23:30:00  4.10  0.10    08-01/08-31 | 08-31 09-01@08-31T23:00
            09-01 00:00:00  0     0.10    09-01/09-30 | 09-01 09-01@08-31T23:00
            """,
            "104.10",
            id="figure an hour early",
        ),
        pytest.param(
            """
            08-31 23:59:30  4     104     08-01/08-31 | 08-31 08-01
            09-01 00:00:00  0     0       08-01/08-31 | 09-01 09-01
            09-01 23:59:30  3     3       08-01/08-31 | 09-01 09-01
            09-02 00:00:00  0     3       09-01/09-30 | 09-02 09-01
            """,
            "107",
            id="period a day late",
        ),
        pytest.param(
            """
            08-31 23:59:30  4     104     08-01/08-31 | 08-31 08-01
            09-01 00:00:00  0     104     09-01/09-30 | 09-01 08-01
            09-01 23:59:30  3     107     09-01/09-30 | 09-01 08-01
            09-02 00:00:00  0     0       09-01/09-30 | 09-02 09-01
            09-02 00:00:30  0.10  0.10    09-01/09-30 | 09-02 09-01
            """,
            "107.10",
            id="figure a day late, and goes on",
        ),
        pytest.param(
            """
            08-31 23:59:30  4     104     08-01/08-31 | 08-31 08-01
            09-01 00:00:00  0     104     09-01/09-30 | 09-01 08-01
            09-01 23:59:30  3     104     09-01/09-30 | 09-01 08-01
            09-02 00:00:00  0     3       09-01/09-30 | 09-02 09-01
            09-02 00:00:30  0.10  3.10    09-01/09-30 | 09-02 09-01
            """,
            "107.10",
            id="figure a day late, and stands still",
        ),
    ],
)
def test_next_month(table: str, spent: str) -> None:
    """A month begins when its figure starts again, with the first day of the period."""
    assert look_by_look(table).total("monthly") == Decimal(spent)


# Periods of other lengths


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(
            """
            08-31 23:59:30  4     44      08-20/08-31 | 08-31 08-20
            09-01 00:00:00  0     0       08-20/08-31 | 09-01 09-01
            09-01 00:00:30  0     0       09-01/09-30 | 09-01 09-01
            09-30 23:59:30  1     99      09-01/09-30 | 09-30 09-01
            10-01 00:00:00  0     0       10-01/10-31 | 10-01 10-01
            """,
            id="short first period",
        ),
        pytest.param(
            """
            08-14 23:59:30  4     44      08-01/08-14 | 08-14 08-01
            08-15 00:00:00  0     0       08-01/08-14 | 08-15 08-15
            08-15 00:00:30  0     0       08-15/09-14 | 08-15 08-15
            08-31 23:59:30  2     60      08-15/09-14 | 08-31 08-15
            09-01 00:00:00  0     60      08-15/09-14 | 09-01 08-15
            09-14 23:59:30  2     80      08-15/09-14 | 09-14 08-15
            09-15 00:00:00  0     0       09-15/10-14 | 09-15 09-15
            """,
            id="moved cycle",
        ),
        pytest.param(
            """
            08-09 23:59:30  4     44      08-03/08-09 | 08-09 08-03
            08-10 00:00:00  0     0       08-10/08-16 | 08-10 08-10
            08-16 23:59:30  3     33      08-10/08-16 | 08-16 08-10
            08-17 00:00:00  0     0       08-10/08-16 | 08-17 08-17
            08-17 00:00:30  0.10  0.10    08-17/08-23 | 08-17 08-17
            """,
            id="weeks",
        ),
        pytest.param(
            """
            08-09 23:59:30  4     44      08-03/08-10 | 08-09 08-03
            08-10 00:00:00  0     0       08-10/08-17 | 08-10 08-10
            08-16 23:59:30  3     33      08-10/08-17 | 08-16 08-10
            08-17 00:00:00  0     0       08-10/08-17 | 08-17 08-17
            08-17 00:00:30  0.10  0.10    08-17/08-24 | 08-17 08-17
            """,
            id="weeks with an exclusive end",
        ),
    ],
)
def test_lengths_of_periods(table: str) -> None:
    """A period is as long as the service says, and the next one follows at once."""
    look_by_look(table)


def test_month_that_starts_again_on_the_27th() -> None:
    """Without a reported period, the figure alone tells."""
    look_by_look(
        """
        08-26 23:59:30  4     104     -           | 08-26 08-01
        08-27 00:00:00  0     0       -           | 08-27 08-27
        08-27 23:59:30  2     2       -           | 08-27 08-27
        08-28 00:00:00  0     2       -           | 08-28 08-27
        08-31 23:59:30  2     9       -           | 08-31 08-27
        09-01 00:00:00  0     9       -           | 09-01 08-27
        """
    )


def test_period_reported_later() -> None:
    """Until then its start was a guess; when the figure started stays as shown."""
    look_by_look(
        """
        08-26 12:00:00  4     104     -           | 08-26 08-01
        08-26 12:00:30  4     104     08-20/09-19 | 08-26 08-20@08-01T00:00
        """
    )


@pytest.mark.parametrize(
    ("before", "period", "last_day"),
    [
        # A period that ends on the day of the month on which it began is whole months.
        (None, "08-01/08-31", "08-31"),
        (None, "08-01/09-01", "08-31"),
        (None, "08-15/09-14", "09-14"),
        (None, "08-15/09-15", "09-14"),
        (None, "08-15/08-15", "08-15"),
        # Two periods in a row have shown it.
        ("08-03/08-09", "08-10/08-16", "08-16"),
        ("08-03/08-10", "08-10/08-17", "08-16"),
        ("07-01/07-31", "08-01/09-01", "09-01"),
        # One that does not follow the other shows nothing.
        ("07-01/07-25", "08-01/08-31", "08-31"),
        (None, "08-01/-", None),
        (None, "-/08-31", None),
        (None, "-", None),
    ],
)
def test_last_day(before: str | None, period: str, last_day: str | None) -> None:
    """The end of a period is its last day or the first of the next one."""
    follower = Follower()
    start = billing_period(period).start or date(2026, 8, 1)
    if before:
        at = f"{start - timedelta(days=1):%m-%d} 23:59:30"
        [*map(follower.look, read(f"{at} 4 104 {before}"))]
    [*map(follower.look, read(f"{start:%m-%d} 00:00:00 0 0 {period}"))]
    last = follower.known.last_day
    assert (last and f"{last:%m-%d}") == last_day


def test_last_day_while_the_figure_is_late() -> None:
    """The reported period is not the one that the figure is of."""
    follower = look_by_look(
        """
        08-31 23:59:30  4     104     08-01/08-31 | 08-31 08-01
        09-01 00:00:30  0     104     09-01/09-30 | 09-01 08-01
        """
    )
    assert follower.known.last_day is None
    assert Periods().last_day is None
