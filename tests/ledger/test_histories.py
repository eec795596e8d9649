"""In any history, sums are exact and each level is alerted once per period.

A history comes from a model of the truth (`truth.py`). The rules see only its answers
and its clock. The tests compute the expected results from the truth alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.alibaba_cloud.ledger import (
    Alert,
    AlertOptions,
    AlertState,
    Answer,
    Observation,
    Periods,
    Reports,
    ShownSpend,
    decide,
    merge,
    outlook,
    with_answer,
    with_windows,
)
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    BillingPeriod,
    Money,
)
from custom_components.alibaba_cloud.model_studio.models import Spend

from .truth import DAY, STEP, Delay, Event, History, Poll, Said, histories

MORE = settings(max_examples=min(4 * settings().max_examples, 100_000))
"""2,000 in CI. Wrong orders of events are rarer than odd values."""
LEVELS = (Decimal(50), Decimal(80), Decimal(100))


def usd(amount: Decimal | None) -> Money | None:
    """Return an amount in US dollars, or None if it is unknown."""
    return None if amount is None else Money(amount=amount, currency="USD")


@dataclass(kw_only=True)
class Account:
    """Follows answers as the integration does, and keeps the same state."""

    periods: Periods = field(default_factory=Periods)
    shown: ShownSpend = field(default_factory=ShownSpend)
    alerts: AlertState = field(default_factory=AlertState)
    stored_alerts: AlertState = field(default_factory=AlertState)
    """The state of the alerts that was stored before the last poll."""
    trigger_levels: frozenset[Decimal] = frozenset()
    sent: list[Alert] = field(default_factory=list)

    def read(self, poll: Poll, said: Said, limit: Decimal) -> AccountSnapshot:
        """Follow an answer. Return the shown figures."""
        if poll.elapsed is None:
            self.periods = Periods.from_dict(self.periods.as_dict())
        self.periods = with_answer(
            self.periods,
            Answer(
                daily=said.daily,
                monthly=said.monthly,
                period=BillingPeriod(start=said.start, end=said.end),
            ),
            currency="USD",
            now=poll.clock,
            elapsed=poll.elapsed,
        )
        figures = AccountSnapshot(
            daily_spend=usd(said.daily),
            monthly_spend=usd(said.monthly),
            spend_limit=usd(limit),
        )
        account = merge(
            Reports(account=with_windows(figures, self.periods)),
            followed=(),
            reports_usage=True,
            shown=self.shown,
        )
        self.shown = self.shown.after(account)
        return account

    def poll(self, poll: Poll, said: Said, limit: Decimal) -> None:
        """Follow an answer and send alerts that are due."""
        if poll.killed:
            # The state after the last alerts was not stored.
            self.alerts = self.stored_alerts
        if poll.elapsed is None:
            self.alerts = AlertState.from_dict(self.alerts.as_dict())
        account = self.read(poll, said, limit)
        account = replace(
            account,
            outlook=outlook(
                account, budget=None, daily={}, periods=self.periods, now=poll.clock
            ),
        )
        self.stored_alerts = self.alerts
        self.alerts, alerts = decide(
            self.alerts,
            Observation(
                account_id="account",
                account=account,
                trigger_spend_levels=self.trigger_levels,
                polled=True,
            ),
            AlertOptions(spend_levels=LEVELS),
        )
        self.sent = alerts


@MORE
@given(history=histories())
def test_sums_are_what_was_spent(history: History) -> None:
    """Sums are exact. `last_reset` never goes back and is never in the future."""
    check_sums(history)


@pytest.mark.parametrize("reported", [True, False])
@pytest.mark.parametrize(
    "day", [(-60, False), (0, False), (30, False), (60, True), (600, False)]
)
@pytest.mark.parametrize(
    "month", [(-60, False), (0, False), (30, False), (120, True), (1380, False)]
)
def test_sums_of_steady_spend(
    reported: bool, day: tuple[int, bool], month: tuple[int, bool]
) -> None:
    """Sums are exact if some is spent between any two answers.

    The figures roll over late by some minutes, and may stand still until then.
    """
    days = 7
    history = History(
        lengths=(5,),
        reported=reported,
        exclusive=False,
        day_delay=Delay(minutes=day[0], frozen=day[1]),
        month_delay=Delay(minutes=month[0], frozen=month[1]),
        period_delay=0,
        days=days,
        # No two sums of consecutive amounts are the same by chance.
        events=tuple(
            Event(at=at, amount=Decimal(700 + at * 7919 % 613) / 10_000)
            for at in range(STEP // 2, days * DAY, STEP)
        ),
    )
    check_sums(history)


def check_sums(history: History) -> None:
    """Check the sums of a history, and each `last_reset`."""
    account = Account()
    sums: dict[str, dict[datetime, Decimal]] = {"daily": {}, "monthly": {}}
    truth: dict[str, dict[date, Decimal]] = {"daily": {}, "monthly": {}}
    for poll in history.polls():
        if (said := poll.said) is None:
            continue
        figures = account.read(poll, said, Decimal(100))
        for name, label, amount, spend in (
            ("daily", said.day, said.daily, figures.daily_spend),
            ("monthly", said.month, said.monthly, figures.monthly_spend),
        ):
            if amount is not None:
                truth[name][label] = amount
            if spend is not None:
                assert isinstance(spend, Spend)
                assert spend.amount == amount
                assert spend.since <= poll.time
                assert spend.since >= max(sums[name], default=spend.since)
                sums[name][spend.since] = amount
    for name, windows in sums.items():
        assert total(windows) == total(truth[name]), name


def total[T](amounts: Mapping[T, Decimal]) -> Decimal:
    """Return the sum of the last amounts of each day or period."""
    return sum(amounts.values(), Decimal())


@MORE
@given(
    history=histories(),
    limit=st.integers(1, 20_000),
    waver=st.sampled_from([0, 1, 30]),
    asked=st.tuples(st.integers(0, 300), st.sampled_from([37, 90, 130])),
)
def test_each_level_is_alerted_once_per_period(
    history: History, limit: int, waver: int, asked: tuple[int, int]
) -> None:
    """A level is alerted within two answers after the first one that shows it.

    The alert names the right period. The spend limit varies. From some poll on, an
    automation waits for a level of its own.
    """
    account = Account()
    budget = Decimal(limit) / 100
    first_asked, level = asked[0], Decimal(asked[1])
    due: dict[tuple[date, Decimal], int] = {}
    alerted: dict[tuple[date, Decimal], tuple[int, str]] = {}
    passed: set[tuple[date, Decimal]] = set()
    number = 0
    behind = False
    for count, poll in enumerate(history.polls()):
        if (said := poll.said) is None:
            continue
        limit_now = budget * (1000 + waver * (count % 3 - 1)) / 1000
        if count >= first_asked:
            account.trigger_levels = frozenset({level})
        before = account.stored_alerts if poll.killed else account.alerts
        account.poll(poll, said, limit_now)
        is_new = before.period is not None and level not in before.spend_levels
        if is_new and level in account.alerts.spend_levels:
            # The level was passed before the automation waited for it.
            if _is_reached(said, level, limit_now):
                passed.add((said.month, level))
        # While the clock is doubted, figures may be hidden. Such answers do not count.
        behind = account.periods.doubted_since is not None
        number += not behind
        for alert in account.sent:
            assert alert.level is not None
            key = said.month, alert.level
            assert key in due or _is_reached(said, alert.level, limit_now)
            if key in alerted:
                assert alerted[key][1] == alert.alert_id
            assert key not in passed
            alerted.setdefault(key, (number, alert.alert_id))
            if said.start == said.month:
                assert alert.period == said.month
        for wanted in (*LEVELS, *account.alerts.spend_levels):
            if _is_reached(said, wanted, limit_now):
                due.setdefault((said.month, wanted), number)
    late = {
        key: (first, alerted.get(key))
        for key, first in due.items()
        if key not in passed and (key not in alerted or alerted[key][0] > first + 2)
    }
    assert late == {}


def _is_reached(said: Said, level: Decimal, budget: Decimal) -> bool:
    """Return whether an answer shows that a level is reached."""
    return said.monthly is not None and said.monthly * 100 >= level * budget
