"""Which day and which billing period a spend figure belongs to.

The tables are explained in `tables.py`.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.ledger import Answer, Periods, with_answer
from custom_components.alibaba_cloud.model_studio import BillingPeriod

from .common import at
from .tables import check, check_stored, rows

# The first answer


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
def test_first_answer(table: str, monthly: str) -> None:
    """The figures count from the start of the day and of the period."""
    assert check(table).total("monthly") == Decimal(monthly)


def test_first_answer_without_a_daily_figure() -> None:
    check("08-15 12:00:00  -  105  08-01/08-31 | - 08-01")


def test_days_of_the_billing_zone() -> None:
    """A billing day begins at 16:00 UTC, also if the clock has another time zone."""
    periods = with_answer(
        Periods(),
        Answer(daily=Decimal(5), monthly=Decimal(9)),
        currency="USD",
        now=datetime(2026, 8, 31, 16, 30, tzinfo=UTC),
        elapsed=None,
    )
    assert periods.daily is not None
    assert periods.monthly is not None
    assert periods.daily.start == periods.monthly.start == date(2026, 9, 1)
    assert periods.daily.since == datetime(2026, 8, 31, 16, tzinfo=UTC)


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
            id="at once more than on the day before",
        ),
    ],
)
def test_next_day(table: str) -> None:
    """A day begins when the daily figure rolls over. The monthly figure goes on."""
    follower = check(table)
    *_, last = rows(table)
    assert last.answer.monthly == follower.total("monthly")


def test_idle_day() -> None:
    """A day on which nothing was spent follows the clock."""
    follower = check(
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
    ids=["running", "down", "spent before the next answer"],
)
def test_idle_month(table: str) -> None:
    """A period in which nothing was spent follows the reported period."""
    check(table)


# The monthly figure and the reported period change in different answers


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
            id="figure a day late, still counting",
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
            id="figure a day late, frozen",
        ),
    ],
)
def test_next_month(table: str, spent: str) -> None:
    """A period begins when its figure rolls over. Its name is the reported start."""
    assert check(table).total("monthly") == Decimal(spent)


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
        pytest.param(
            """
            08-30 23:59:30  4     104     08-01/08-31 | 08-30 08-01
            08-31 00:00:00  0     104     08-01/08-31 | 08-31 08-01
            08-31 23:30:00  5     5       08-01/08-31 | 08-31 09-01@08-31T23:30
            09-01 00:00:00  0     5       08-31/09-30 | 09-01 08-31@08-31T23:30
            09-01 00:00:30  0.10  5.10    08-31/09-30 | 09-01 08-31@08-31T23:30
            """,
            id="30 days with an exclusive end, late",
        ),
        pytest.param(
            """
            08-15 23:30:00  4     4       08-15/08-16 | 08-15 08-15
            08-16 23:30:00  4     4       08-16/08-17 | 08-15 08-15
            08-16 23:30:30  0     0       08-16/08-17 | 08-16 08-16
            """,
            id="days, late",
        ),
    ],
)
def test_lengths_of_periods(table: str) -> None:
    """A period is as long as reported, and the next one follows immediately."""
    check(table)


def test_period_from_the_27th_that_is_not_reported() -> None:
    """If no period is reported, the figures show when a period begins."""
    check(
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
    """A period that is reported later corrects the guessed start, not `last_reset`."""
    check(
        """
        08-26 12:00:00  4     104     -           | 08-26 08-01
        08-26 12:00:30  4     104     08-20/09-19 | 08-26 08-20@08-01T00:00
        """
    )


def test_another_currency_starts_from_nothing() -> None:
    """Windows in another currency are dropped, as amounts can't be compared."""
    time, elapsed = at("08-15 12:00"), timedelta(seconds=30)
    periods = with_answer(
        Periods(),
        Answer(daily=Decimal(5), monthly=Decimal(105)),
        currency="USD",
        now=time,
        elapsed=None,
    )
    answer = Answer(daily=Decimal(36), monthly=Decimal(750))
    later = time + elapsed
    changed = with_answer(periods, answer, currency="CNY", now=later, elapsed=elapsed)
    new = with_answer(Periods(), answer, currency="CNY", now=later, elapsed=None)
    assert changed == new
    assert changed.currency == "CNY"


# State for the next answers


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        pytest.param("09-01/-", ("09-01", "09-01", "09-01"), id="reported"),
        pytest.param("-", ("09-01", "08-31", "09-01"), id="not reported"),
    ],
)
def test_range_of_a_new_start(period: str, expected: tuple[str, str, str]) -> None:
    """A reported start is certain. Otherwise, several days are possible."""
    follower = check(
        f"""
        08-31 23:59:30  4     104     08-01/- | 08-31 08-01
        09-01 00:00:00  0     0       {period} | 09-01 09-01
        """
    )
    month = follower.periods.monthly
    assert month is not None
    days = (month.start, month.earliest, month.latest)
    assert tuple(f"{day:%m-%d}" for day in days) == expected


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param(
            """
            08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
            """,
            (100, (100,), 0),
            id="first answer",
        ),
        pytest.param(
            """
            08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
            08-15 12:00:30  5     95      08-01/08-31 | 08-15 08-01
            """,
            (90, (100,), 0),
            id="an earlier day refunded",
        ),
        pytest.param(
            """
            08-15 12:00:00  0     100     08-01/08-31 | 08-15 08-01
            08-15 12:00:30  0     95      08-01/08-31 | 08-15 08-01
            """,
            (95, (95,), 0),
            id="an earlier day refunded on an idle day",
        ),
        pytest.param(
            """
            08-15 23:59:30  5     105     08-01/08-31 | 08-15 08-01
            08-16 00:00:00  1     106     08-01/08-31 | 08-16 08-01
            """,
            (105, (105,), 5),
            id="a new day",
        ),
        pytest.param(
            """
            08-15 12:00:00  5     105     08-01/08-31 | 08-15 08-01
            08-16 23:59:30  5     95      08-01/08-31 | 08-15 08-01
            08-17 00:00:00  1     -       08-01/08-31 | 08-17 08-01
            """,
            (95, (105,), 5),
            id="a new day in an answer without a month",
        ),
        pytest.param(
            """
            08-31 23:59:30  5     105     08-01/08-31 | 08-31 08-01
            09-01 00:00:00  1     1       09-01/09-30 | 09-01 09-01
            """,
            (0, (0,), 5),
            id="a new period",
        ),
        pytest.param(
            """
            08-31 23:59:30  5     105     08-01/08-31 | 08-31 08-01
            09-01 00:00:00  5     0       09-01/09-30 | 08-31 09-01
            """,
            (-5, (-5,), 0),
            id="a new period before its first day",
        ),
        pytest.param(
            """
            08-31 12:00:00  5     105     08-01/08-31 | 08-31 08-01
            09-02 00:00:00  -     1       09-01/09-30 | 08-31 09-01
            """,
            (None, (), 0),
            id="a new period in an answer without a day",
        ),
        pytest.param(
            """
                 08-15 22:00:00  5     105     08-01/08-31 | 08-15 08-01
            down 08-16 02:00:00  1     108     08-01/08-31 | 08-16 08-01
            """,
            (107, (105, 107), 5),
            id="a new day in a gap",
        ),
        pytest.param(
            """
                 08-15 12:00:00  0     100     08-01/08-31 | 08-15 08-01
            down 08-15 14:00:00  1     103     08-01/08-31 | 08-15 08-01
            """,
            (102, (100, 102), 0),
            id="an idle day that may have ended in a gap",
        ),
        pytest.param(
            """
                 08-15 22:00:00  5     105     08-01/08-31 | 08-15 08-01
            down 08-16 02:00:00  1     106     08-01/08-31 | 08-16 08-01
            """,
            (105, (105,), 5),
            id="a new day in a gap in which no other day cost anything",
        ),
    ],
)
def test_spend_before_today(
    table: str,
    expected: tuple[Decimal | int | None, tuple[Decimal | int, ...], Decimal],
) -> None:
    """An answer updates three amounts that later answers are compared with.

    They are the period's spend before today, its values when the day began, and the
    spend of yesterday.
    """
    periods = check(table).periods
    assert (periods.before_today, periods.before_day, periods.yesterday) == expected


# Any answers and any clock

AMOUNTS = st.none() | st.decimals(-99, 999, places=2)
GAPS = st.one_of(
    st.timedeltas(timedelta(), timedelta(hours=2)),
    st.timedeltas(timedelta(), timedelta(days=70)),
)
ANSWERS = st.lists(
    st.tuples(
        GAPS,
        st.one_of(st.just(timedelta()), st.timedeltas(-timedelta(99), timedelta(99))),
        st.booleans(),
        AMOUNTS,
        AMOUNTS,
        st.none() | st.dates(date(2026, 7, 1), date(2026, 12, 1)),
        st.none() | st.dates(date(2026, 7, 1), date(2026, 12, 1)),
    ),
    max_size=8,
)


@given(answers=ANSWERS)
def test_windows_never_go_back(
    answers: list[
        tuple[
            timedelta,
            timedelta,
            bool,
            Decimal | None,
            Decimal | None,
            date | None,
            date | None,
        ]
    ],
) -> None:
    """With any answers and any clock, a window never begins before the last one."""
    periods, now = Periods(), at("08-15 12:00")
    for gap, clock_error, was_down, daily, monthly, start, end in answers:
        now += gap
        before = periods
        periods = with_answer(
            before,
            Answer(
                daily=daily,
                monthly=monthly,
                period=BillingPeriod(start=start, end=end),
            ),
            currency="USD",
            now=now + clock_error,
            elapsed=None if was_down else gap,
        )
        check_stored(periods)
        for last, window, figure, held in (
            (before.daily, periods.daily, daily, periods.daily_is_held),
            (before.monthly, periods.monthly, monthly, periods.monthly_is_held),
        ):
            if last is not None:
                assert window is not None
                assert last.since <= window.since
                if last.amount != 0 and last.since != window.since:
                    assert window.earliest <= window.start <= window.latest
            if window is not None:
                assert window.earliest <= window.latest
                assert figure is None or held or window.amount == figure
