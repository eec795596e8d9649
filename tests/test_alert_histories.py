"""A thousand histories: no alert is lost and none comes twice, whatever happens.

Each is made up, and goes through the alert function and the store, with restarts and
with kills at any moment. What should have been told is worked out afterwards, from a
log of all that was seen, by the rules that people are given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from itertools import pairwise
import logging
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import async_test_home_assistant

from custom_components.alibaba_cloud.ledger import (
    Alert,
    AlertKind,
    AlertOptions,
    Observation,
    decide,
    outlook,
)
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    ModelUsage,
    Money,
)
from custom_components.alibaba_cloud.storage import AccountStore
from homeassistant.core import HomeAssistant

HISTORIES = 1_000
LOOKS = 25
NOW = datetime(2026, 8, 15, 12, tzinfo=UTC)
FAILURES = (
    AlertKind.RATE_LIMITED,
    AlertKind.API_KEY_REJECTED,
    AlertKind.ACCOUNT_UNAVAILABLE,
)


# What happens


@dataclass(kw_only=True)
class World:
    """An account and its user, who change as chance has it."""

    random: Random
    month: int = 7
    spend: Decimal = Decimal()
    balance: Decimal = Decimal(30)
    models: dict[str, float] = field(default_factory=lambda: {"m": 20, "n": 70, "o": 0})
    away: set[str] = field(default_factory=set)
    limit: Money | None = None
    currency: str = "USD"
    failure: AlertKind | None = None
    removed_levels: set[Decimal] = field(default_factory=set)
    options: AlertOptions = field(
        default_factory=lambda: AlertOptions(low_balance=Decimal(10))
    )

    def __post_init__(self) -> None:
        """Let the user choose for the first time, and stay fickle about some of it."""
        random = self.random
        self.fickleness = random.choice((5, 15, 30))
        self.budgets = random.sample(
            (None, *decimals([40, 80, 100, 125, 200])), random.randint(1, 3)
        )
        self.thresholds = random.sample(
            (None, *decimals([5, 10, 20])), random.randint(1, 3)
        )
        self.limit = Money(amount=Decimal(100), currency="USD")
        for _ in range(4):
            self.change_options()

    def chance(self, percent: float) -> bool:
        """Return whether something happens that does so often."""
        return self.random.random() * 100 < percent

    def go_on(self) -> None:
        """Let some time pass."""
        random = self.random
        self.spend += random.choice((0, 0, 1, 4, 9, 25)) * Decimal("1.25")
        if self.chance(4):
            self.spend -= random.choice((1, 10, 60))
        if self.chance(4):
            self.month += random.choice((1, 1, 1, 2, 12))
            self.spend = random.choice((Decimal(), Decimal("0.5"), Decimal(60)))
        self.balance -= random.choice((0, 1, 2, 5)) * Decimal("0.5")
        if self.balance < 15 and self.chance(20):
            self.balance += random.choice((1, 2, 10, 40))
        for name, usage in self.models.items():
            drift = random.choice((-60, -10, -5, -1, 0, 0.25, 1, 5, 10, 30))
            self.models[name] = min(max(0, usage + drift), 130)
        if self.chance(8):
            self.away ^= {random.choice("mno")}
        if self.failure is None:
            if self.chance(15):
                self.failure = random.choice(FAILURES)
        elif self.chance(40):
            self.failure = random.choice((None, None, *FAILURES))

    def change_options(self) -> None:
        """Let the user, or the service, change one thing."""
        random, options = self.random, self.options
        match random.randrange(8):
            case 0 | 1:
                budget = random.choice(self.budgets)
                self.options = replace(options, monthly_budget=budget)
            case 2:
                levels = random.sample(
                    (25, 50, 75, 80, 90, 100, 150), random.randint(0, 5)
                )
                self.options = replace(options, spend_levels=decimals(levels))
            case 3:
                threshold = random.choice(self.thresholds)
                self.options = replace(options, low_balance=threshold)
            case 4:
                self.change_model_levels()
            case 5:
                self.options = replace(
                    options, forecast_alert=not options.forecast_alert
                )
            case 6:
                self.currency = random.choice(("USD", "USD", "USD", "CNY"))
            case 7:
                amount = random.choice((0, 50, 100, 160))
                self.limit = Money(
                    amount=Decimal(amount), currency=random.choice(("USD", "CNY"))
                )

    def change_model_levels(self) -> None:
        """Remove a level, or add one above all others.

        Whether another one that is added has been reached before is open to dispute.
        """
        levels = set(self.options.model_levels)
        highest = max(levels | self.removed_levels)
        if levels and self.chance(50):
            gone = self.random.choice(sorted(levels))
            self.removed_levels.add(gone)
            levels.remove(gone)
        elif highest < 120:
            levels.add(highest + self.random.choice((4, 10, 20)))
        changed = self.random.sample(sorted(levels), len(levels))
        self.options = replace(self.options, model_levels=tuple(changed))

    def seen(self, *, polled: bool) -> Observation:
        """Return what is seen of it."""
        failure = self.failure if polled else self.random.choice((None, self.failure))
        spend = Money(amount=self.spend, currency=self.currency)
        account = AccountSnapshot(
            monthly_spend=None if self.chance(6) else spend,
            spend_limit=None if self.chance(6) else self.limit,
            available_balance=None
            if self.chance(6)
            else Money(amount=self.balance, currency=self.currency),
        )
        view = outlook(
            account,
            budget=self.options.monthly_budget,
            daily={},
            since=None,
            now=NOW,
        )
        if not self.chance(30):
            more = self.random.choice((0, 5, 40, 100))
            view = replace(view, projected=replace(spend, amount=self.spend + more))
        day = 2 if self.chance(3) else 1
        seen = Observation(
            account_id="account",
            account=replace(account, outlook=view),
            models=[
                ModelUsage(name=name, used=usage, limit=None if self.chance(6) else 100)
                for name, usage in self.models.items()
                if name not in self.away
            ],
            period=None
            if self.chance(5)
            else date(2026 + self.month // 12, self.month % 12 + 1, day),
            today=date(2026 + self.month // 12, self.month % 12 + 1, 20),
            polled=polled,
            failure=failure,
        )
        if failure and failure is not AlertKind.RATE_LIMITED:
            # Nothing stands any more, but for what another source says.
            bill = account.monthly_spend if self.chance(20) else None
            known = replace(seen.account, monthly_spend=bill, available_balance=None)
            if bill is None:
                known = AccountSnapshot()
            seen = replace(seen, account=known, models=())
        return seen


def decimals(numbers: Sequence[int]) -> tuple[Decimal, ...]:
    """Return numbers as options have them."""
    return tuple(map(Decimal, numbers))


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen once, and what the user wanted to be told then."""

    seen: Observation
    options: AlertOptions


@dataclass(kw_only=True)
class History:
    """What was seen and told in a run of an account, crashes and all."""

    looks: list[Look] = field(default_factory=list)
    """Without those that a crash has undone."""
    told: list[list[Alert]] = field(default_factory=list)
    """After each of them."""
    undone: list[tuple[int, Look, list[Alert]]] = field(default_factory=list)
    """What a crash has undone: after how many looks, which one, and what it told."""
    sent: list[Alert] = field(default_factory=list)
    """All that was told, in order."""


async def live(hass: HomeAssistant, entry_id: str, world: World) -> History:
    """Let an account be looked at for a while, and restart or kill what looks now and then."""
    history = History()
    random = world.random
    store = AccountStore(hass, entry_id)
    await store.async_load()
    again: Look | None = None
    while len(history.looks) < LOOKS:
        if again is None:
            for _ in range(random.choice((1, 1, 1, 1, 6))):
                world.go_on()
            if world.chance(world.fickleness):
                world.change_options()
        last = len(history.looks) == LOOKS - 1
        look = again or Look(
            seen=world.seen(polled=world.chance(85)), options=world.options
        )
        again = None
        state, alerts = decide(store.alerts, look.seen, look.options)
        # As a kill may come at any time: before anything is sent, after some of it, or
        # after all of it and before it is written.
        if world.chance(25 if alerts else 2) and not last:
            sent = alerts[: random.randint(0, len(alerts))]
            history.sent += sent
            history.undone.append((len(history.looks), look, sent))
            store = AccountStore(hass, entry_id)
            await store.async_load()
            again = look if world.chance(60) else None
            continue
        if state != store.alerts:
            store.alerts = state
            history.sent += alerts
            await store.async_save()
        else:
            assert alerts == []
        history.looks.append(look)
        history.told.append(alerts)
        if world.chance(12):
            # With another base URL, which is another account but for what was alerted.
            url = random.choice(("", "https://elsewhere"))
            store = AccountStore(hass, entry_id, url)
            await store.async_load()
            assert store.alerts == state
    await store.async_remove()
    return history


# What should have been told


type Telling = tuple[Any, ...]
"""What an alert says, without its id."""


def telling(alert: Alert) -> Telling:
    """Return what an alert says."""
    return tuple(
        getattr(alert, said.name) for said in fields(alert) if said.name != "alert_id"
    )


def should_tell(kind: AlertKind, **what: Any) -> Telling:
    """Return what an alert should say."""
    return telling(Alert(kind=kind, alert_id="", **what))


def due(log: Sequence[Look]) -> list[list[Telling]]:
    """Return what should have been told after each look of a log."""
    told: list[list[Telling]] = [[] for _ in log]
    for rule in (spend_due, forecast_due, balance_due, models_due, failures_due):
        for number, what in rule(log):
            told[number].append(what)
    return told


@dataclass(frozen=True, kw_only=True)
class Bill:
    """A look at what was spent of a budget in a period, all three of them known."""

    number: int
    spend: Decimal
    budget: Decimal
    currency: str
    period: date
    look: Look

    @property
    def share(self) -> Decimal:
        """What is spent of the budget, in %."""
        return self.spend / self.budget * 100


def bills(log: Sequence[Look]) -> Iterator[list[Bill]]:
    """Yield the looks of each period at what was spent of a budget.

    A period is known by its month and has the first day that was seen of it.
    """
    periods: dict[tuple[int, int], list[Bill]] = {}
    begun: dict[tuple[int, int], date] = {}
    for number, look in enumerate(log):
        spend, period = look.seen.account.monthly_spend, look.seen.period
        if spend is None or period is None:
            continue
        month = (period.year, period.month)
        begun.setdefault(month, period)
        limit = look.seen.account.spend_limit
        if look.options.monthly_budget is not None:
            budget = look.options.monthly_budget
        elif limit and limit.amount > 0 and limit.currency == spend.currency:
            budget = limit.amount
        else:
            continue
        periods.setdefault(month, []).append(
            Bill(
                number=number,
                spend=spend.amount,
                budget=budget,
                currency=spend.currency,
                period=begun[month],
                look=look,
            )
        )
    yield from periods.values()


def with_budget(looks: Sequence[Bill], at: int) -> list[int]:
    """Return which looks of a period had the budget of one of them, up to that one."""
    budget = (looks[at].budget, looks[at].currency)
    return [n for n in range(at + 1) if (looks[n].budget, looks[n].currency) == budget]


def spend_due(log: Sequence[Look]) -> Iterator[tuple[int, Telling]]:
    """Yield the levels of the spend: each once in a period, the highest of several."""
    for looks in bills(log):

        @cache
        def reached(at: int, looks: list[Bill] = looks) -> list[Decimal]:
            levels = looks[at].look.options.spend_levels
            return [level for level in levels if looks[at].share >= level]

        def is_old(level: Decimal, at: int, looks: list[Bill] = looks) -> bool:
            """Return whether a level of a look's budget was sent, or counts so, by then."""
            return any(
                level <= higher for n in with_budget(looks, at) for higher in reached(n)
            )

        for at, look in enumerate(looks):
            if not reached(at):
                continue
            level = max(reached(at))
            # With a new budget, what was sent for the one before and is reached still is
            # no news.
            *earlier, _ = with_budget(looks, at)
            before = earlier[-1] if earlier else at - 1
            if before < 0 or not is_old(level, before):
                yield (
                    look.number,
                    should_tell(
                        AlertKind.SPEND_LEVEL,
                        level=level,
                        spend=look.spend,
                        budget=look.budget,
                        currency=look.currency,
                        period=look.period,
                    ),
                )


def forecast_due(log: Sequence[Look]) -> Iterator[tuple[int, Telling]]:
    """Yield the forecasts: once in a period for a budget that is not exceeded yet."""
    for period in bills(log):
        looks = [
            look
            for look in period
            if look.look.options.forecast_alert and projected(look) is not None
        ]

        @cache
        def is_over(at: int, looks: list[Bill] = looks) -> bool:
            amount = projected(looks[at])
            return amount is not None and looks[at].spend < looks[at].budget < amount

        def is_old(at: int, looks: list[Bill] = looks) -> bool:
            """Return whether it was sent for a look's budget, or counts so, by then."""
            return any(map(is_over, with_budget(looks, at)))

        for at, look in enumerate(looks):
            *earlier, _ = with_budget(looks, at)
            before = earlier[-1] if earlier else at - 1
            if is_over(at) and (before < 0 or not is_old(before)):
                yield (
                    look.number,
                    should_tell(
                        AlertKind.FORECAST_OVER_BUDGET,
                        spend=look.spend,
                        budget=look.budget,
                        projected=projected(look),
                        currency=look.currency,
                        period=look.period,
                    ),
                )


def projected(look: Bill) -> Decimal | None:
    """Return what a period is going to come to."""
    amount = look.look.seen.account.outlook.projected
    return amount.amount if amount else None


def balance_due(log: Sequence[Look]) -> Iterator[tuple[int, Telling]]:
    """Yield the low balances, with one a tenth above the threshold between any two.

    One in another currency is another balance.
    """
    for currency in ("USD", "CNY"):
        looks = [
            (number, balance.amount, look.options.low_balance)
            for number, look in enumerate(log)
            if (balance := look.seen.account.available_balance)
            and balance.currency == currency
        ]
        low: int | None = None
        alerted = Decimal()
        for at, (number, amount, threshold) in enumerate(looks):
            if threshold is None or amount > threshold:
                continue
            between = looks[low + 1 : at] if low is not None else ()
            if low is None or any(
                other * 10 >= (alerted if then is None else then) * 11
                for _, other, then in between
            ):
                low, alerted = at, threshold
                yield (
                    number,
                    should_tell(
                        AlertKind.BALANCE_LOW, balance=amount, currency=currency
                    ),
                )


def models_due(log: Sequence[Look]) -> Iterator[tuple[int, Telling]]:
    """Yield the levels of the models, with a use 10 points below between any two."""
    for name in "mno":
        uses = [
            (number, model.usage_pct, look.options.model_levels)
            for number, look in enumerate(log)
            for model in look.seen.models
            if model.name == name and model.usage_pct is not None
        ]
        sent: list[tuple[int, Decimal]] = []
        for at, (number, usage, levels) in enumerate(uses):
            level = max((level for level in levels if level <= usage), default=None)
            if level is None:
                continue
            times = [when for when, higher in sent if higher >= level]
            since = uses[times[-1] + 1 : at] if times else []
            if not times or any(use + 10 <= level for _, use, _ in since):
                sent.append((at, level))
                yield (
                    number,
                    should_tell(
                        AlertKind.MODEL_LEVEL, level=level, model=name, usage_pct=usage
                    ),
                )


def failures_due(log: Sequence[Look]) -> Iterator[tuple[int, Telling]]:
    """Yield the failures that last for two polls, and the end of those that did."""
    polls = [
        (number, look.seen.failure)
        for number, look in enumerate(log)
        if look.seen.polled
    ]
    told: set[AlertKind] = set()
    for (_, before), (number, failure) in pairwise([(-1, None), *polls]):
        if failure is None:
            for past in told:
                yield number, should_tell(AlertKind.RECOVERED, failure=past)
            told = set()
        elif before and failure not in told and (not told or before is failure):
            told.add(failure)
            yield number, should_tell(failure)


# Whether it was


def check(history: History) -> None:
    """Hold what was told against what should have been."""
    assert [sorted(map(telling, alerts), key=repr) for alerts in history.told] == [
        sorted(tellings, key=repr) for tellings in due(history.looks)
    ]
    # What a crash has undone was right, too.
    for count, look, alerts in history.undone:
        if alerts:
            right = due([*history.looks[:count], look])[-1]
            assert all(telling(alert) in right for alert in alerts)
    # What comes twice comes with the same id, and only if a crash undid the first one.
    kept = [alert for alerts in history.told for alert in alerts]
    ids = [alert.alert_id for alert in kept]
    assert len(set(ids)) == len(ids)
    undone = [alert for *_, alerts in history.undone for alert in alerts]
    assert len(history.sent) == len(kept) + len(undone)
    for count, look, alerts in history.undone:
        if count < len(history.looks) and history.looks[count] is look:
            assert all(alert in history.told[count] for alert in alerts)
    # Whoever goes by the ids has each occasion once.
    once = {alert.alert_id: alert for alert in history.sent}
    assert once.keys() >= set(ids)
    occasions = [occasion(alert) for alert in once.values() if alert.period]
    assert len(set(occasions)) == len(occasions)


def occasion(alert: Alert) -> tuple[Any, ...]:
    """Return what there is once in a period."""
    return alert.kind, alert.period, alert.budget, alert.currency, alert.level


async def test_histories(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A thousand, each with its own number to make it anew."""
    told: dict[AlertKind, int] = dict.fromkeys(AlertKind, 0)
    repeated = 0
    async with async_test_home_assistant(
        load_registries=False, config_dir=str(tmp_path)
    ) as hass:
        # What is written for whoever debugs would take as long as all the rest.
        hass.loop.set_debug(False)
        caplog.set_level(logging.WARNING)
        for number in range(HISTORIES):
            history = await live(hass, f"{number}", World(random=Random(number)))
            try:
                check(history)
            except AssertionError as err:
                err.add_note(f"in history {number}")
                raise
            for alert in history.sent:
                told[alert.kind] += 1
            repeated += len(history.sent) - len(
                {alert.alert_id for alert in history.sent}
            )
        await hass.async_stop(force=True)
    assert min(told.values()) > HISTORIES / 2
    assert repeated > HISTORIES / 2
