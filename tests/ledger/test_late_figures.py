"""Rollovers of figures that lag or stand still, by more or less than each other.

The tables are explained in `tables.py`.
"""

import pytest

from .tables import check


@pytest.mark.parametrize("last_day", [4, 6])
def test_days_that_are_late_while_the_month_is_early(last_day: int) -> None:
    """A new period starts while the daily figure is still of the last day but one."""
    check(
        f"""
        08-30 23:59:00  5     105     08-01/08-31 | 08-30 08-01
        08-31 12:00:00  5     {105 + last_day} 08-01/08-31 | 08-30 08-01
        08-31 23:00:00  5     0       08-01/08-31 | 08-30 09-01@08-31T23:00
        08-31 23:59:00  {last_day} 0       08-01/08-31 | 08-31 09-01@08-31T23:00
        09-01 23:59:00  1     1       09-01/09-30 | 09-01 09-01@08-31T23:00
        """
    )


def test_day_that_is_late_when_the_month_starts() -> None:
    """Both figures roll over while the daily one shows the old period's last day."""
    check(
        """
        08-30 12:00:00  4     104     08-01/08-31 | 08-30 08-01
        08-30 23:59:00  5     105     08-01/08-31 | 08-30 08-01
        08-31 12:00:00  5     111     08-01/08-31 | 08-30 08-01
        09-01 00:00:00  6     0       09-01/09-30 | 09-01 09-01
        """
    )


def test_day_that_goes_on_while_the_month_is_late() -> None:
    """Spend on the first day starts no new day while the monthly figure is late.

    The clock was behind before, in an idle period.
    """
    check(
        """
             08-31 16:00:00  0     0       08-01/08-31 | 08-31 08-01
        down 08-31 16:30:00  0     0       08-01/08-31 | 08-31 08-01 clock=08-31 15:58:00
             09-01 00:30:00  0     0       09-01/09-30 | 09-01 09-01
             09-01 02:00:00  1     0       09-01/09-30 | 09-01 09-01
             09-01 02:30:00  2     0       09-01/09-30 | 09-01 09-01
        """
    )


def test_figures_that_show_each_day_at_its_end() -> None:
    """The month's figure rolls over as late as the day's: it never shows an idle day."""
    check(
        """
        08-10 07:00:00  22    22      08-10/08-11 | 08-10 08-10
        08-11 02:00:00  22    42      08-10/08-11 | 08-10 08-10
        08-12 00:00:00  20    42      08-12/09-10 | 08-12 08-10
        08-13 00:00:00  18    18      08-12/09-10 | 08-13 08-12
        08-14 00:00:00  0     18      08-12/09-10 | 08-14 08-12
        """
    )


def test_day_that_is_shown_at_its_end_while_the_month_rolls_over() -> None:
    """The month is less than the day: it rolled over while that was of the old period."""
    check(
        """
        08-10 07:00:00  22    22      08-10/08-11 | 08-10 08-10
        08-11 02:00:00  22    42      08-10/08-11 | 08-10 08-10
        08-12 00:00:00  20    42      08-12/09-10 | 08-12 08-10
        08-12 02:00:00  20    60      08-12/09-10 | 08-12 08-10
        08-12 03:30:00  20    0       08-12/09-10 | 08-12 08-12
        08-13 00:00:00  18    0       08-12/09-10 | 08-13 08-12
        08-14 00:00:00  0     0       08-12/09-10 | 08-14 08-12
        """
    )


def test_month_that_stands_still_before_it_starts() -> None:
    """The day's figure included spend that the old month's one never showed."""
    check(
        """
        08-10 07:00:00  22    22      08-10/08-11 | 08-10 08-10
        08-11 02:00:00  0     22      08-10/08-11 | 08-11 08-10
        08-11 03:30:00  20    42      08-10/08-11 | 08-11 08-10
        08-12 00:00:00  60    42      08-12/09-10 | 08-11 08-10
        08-12 02:00:00  0     40      08-12/09-10 | 08-12 08-12
        """
    )


def test_idle_day_while_only_the_month_goes_on() -> None:
    """The month's figure includes the next day's spend before the day's figure does."""
    check(
        """
        08-10 07:00:00  0     0       - | 08-10 08-01
        08-11 02:00:00  0     22      - | 08-11 08-01
        08-11 03:30:00  22    22      - | 08-11 08-01
        08-12 02:00:00  22    42      - | 08-11 08-01
        08-12 03:30:00  20    42      - | 08-12 08-01
        """
    )
