"""Stored values are read as they were written, and nothing else is."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
import json
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.ledger import (
    BILLING_TIME_ZONE,
    AlertKind,
    AlertState,
    stored,
)

type Read = Callable[[Any], Any]


def counts(value: Any) -> list[int]:
    """Return a list of counts."""
    return stored.list_of(value, stored.count)


def flags(value: Any) -> dict[str, bool]:
    """Return an object of truth values."""
    return stored.mapping_of(value, stored.flag)


def day_if_any(value: Any) -> date | None:
    """Return a day, or none."""
    return stored.optional(value, stored.day)


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (stored.mapping, {"any": [1]}, {"any": [1]}),
        (flags, {"one": True, "two": False}, {"one": True, "two": False}),
        (counts, [3, 0], [3, 0]),
        (stored.text, "", ""),
        (stored.flag, False, False),
        (stored.count, 0, 0),
        (stored.amount, "-80.50", Decimal("-80.5")),
        (stored.day, "2026-08-01", date(2026, 8, 1)),
        (
            stored.moment,
            "2026-08-01T06:30:00Z",
            datetime(2026, 8, 1, 6, 30, tzinfo=UTC),
        ),
        (day_if_any, "2026-08-01", date(2026, 8, 1)),
        (day_if_any, None, None),
    ],
)
def test_value(read: Read, value: Any, expected: Any) -> None:
    assert read(value) == expected


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (stored.mapping, [None, [], "{}", 1]),
        (flags, [None, [], {"one": 1}, {"one": True, "two": None}]),
        (counts, [None, {}, "12", [1, -1], [None]]),
        (stored.text, [None, 1, ["a"]]),
        (stored.flag, [None, 0, 1, "true"]),
        (stored.count, [None, -1, 1.0, True, "1"]),
        (stored.amount, [None, 1, 0.5, "", "x", "NaN", "sNaN", "Infinity", "-inf"]),
        (stored.day, [None, 20260801, "", "2026-02-30", "2026-08-01T00:00:00+08:00"]),
        (stored.moment, [None, 0, "now", "2026-08-01", "2026-08-01T00:00:00"]),
        (day_if_any, [False, 0, ""]),
    ],
)
def test_damaged_value(read: Read, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=r"."):
            read(value)


@given(amount=st.decimals(allow_nan=False, allow_infinity=False))
def test_amount_is_exact(amount: Decimal) -> None:
    assert stored.amount(str(amount)) == amount


@given(when=st.datetimes(timezones=st.sampled_from((UTC, BILLING_TIME_ZONE))))
def test_moment_is_exact(when: datetime) -> None:
    assert stored.moment(when.isoformat()) == when


STORED: dict[str, Any] = {
    "period": "2026-08-01T00:00:00+08:00",
    "budget": "99.5",
    "spend_levels": {"80": True, "90.5": False},
    "forecast_alerted": True,
    "low_balances": {"CNY": "10"},
    "model_levels": ["80", "100"],
    "models": {"qwen": ["80", "90.5"]},
    "failing": "rate_limited",
    "failures": ["rate_limited", "account_unavailable"],
    "rounds": 4,
}
DAMAGED: dict[str, list[Any]] = {
    "period": [0, "", "2026-08-01", "2026-08-01T00:00:00"],
    "budget": [99.5, "", "NaN", "Infinity"],
    "spend_levels": [None, ["80"], {"x": True}, {"NaN": True}, {"80": None}],
    "forecast_alerted": [None, 1, "true"],
    "low_balances": [None, ["10"], {"CNY": None}, {"CNY": 10}, {"CNY": "NaN"}],
    "model_levels": ["80", {"80": True}, [80], [None], ["NaN"]],
    "models": [None, ["80"], {"m": None}, {"m": {"80": True}}, {"m": ["-Infinity"]}],
    "failing": [1, "", "unheard_of", ["rate_limited"]],
    "failures": [None, "rate_limited", [None], ["unheard_of"], [["rate_limited"]]],
    "rounds": [None, -1, 1.5, True, "4"],
}
AMOUNTS = st.decimals(-1_000_000, 1_000_000, places=4)
LEVELS = st.frozensets(st.decimals("0.1", 1000, places=1), max_size=4)
NAMES = st.text(max_size=3)
STATES = st.builds(
    AlertState,
    period=st.none() | st.datetimes(timezones=st.just(BILLING_TIME_ZONE)),
    budget=st.none() | AMOUNTS,
    spend_levels=st.dictionaries(AMOUNTS, st.booleans(), max_size=3),
    forecast_alerted=st.booleans(),
    low_balances=st.dictionaries(NAMES, AMOUNTS, max_size=3),
    model_levels=st.none() | LEVELS,
    models=st.dictionaries(NAMES, LEVELS, max_size=3),
    failing=st.none() | st.sampled_from(AlertKind),
    failures=st.lists(st.sampled_from(AlertKind)).map(tuple),
    rounds=st.integers(min_value=0),
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NAMES,
    lambda values: st.lists(values) | st.dictionaries(NAMES, values),
    max_leaves=5,
)


def test_stored_alerts() -> None:
    """What is stored keeps its form."""
    state = AlertState.from_dict(STORED)
    assert state == AlertState(
        period=datetime(2026, 8, 1, tzinfo=BILLING_TIME_ZONE),
        budget=Decimal("99.5"),
        spend_levels={Decimal(80): True, Decimal("90.5"): False},
        forecast_alerted=True,
        low_balances={"CNY": Decimal(10)},
        model_levels=frozenset((Decimal(80), Decimal(100))),
        models={"qwen": frozenset((Decimal(80), Decimal("90.5")))},
        failing=AlertKind.RATE_LIMITED,
        failures=(AlertKind.RATE_LIMITED, AlertKind.ACCOUNT_UNAVAILABLE),
        rounds=4,
    )
    assert json.loads(json.dumps(state.as_dict())) == STORED


@given(state=STATES)
def test_any_alerts_are_kept(state: AlertState) -> None:
    assert AlertState.from_dict(json.loads(json.dumps(state.as_dict()))) == state


@pytest.mark.parametrize("key", STORED)
def test_damaged_part_of_alerts(key: str) -> None:
    for value in DAMAGED[key]:
        with pytest.raises(ValueError, match=r"."):
            AlertState.from_dict({**STORED, key: value})
    with pytest.raises(ValueError, match="missing"):
        AlertState.from_dict({name: STORED[name] for name in STORED if name != key})


@given(junk=JUNK, key=st.none() | st.sampled_from([*STORED]))
def test_damaged_alerts(junk: Any, key: str | None) -> None:
    """Whatever is stored, only one error is raised, and what is read can be kept."""
    try:
        state = AlertState.from_dict({**STORED, key: junk} if key else junk)
    except ValueError:
        return
    assert AlertState.from_dict(json.loads(json.dumps(state.as_dict()))) == state
